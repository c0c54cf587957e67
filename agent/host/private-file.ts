/**
 * Small secrets as JSON in a file that nobody else can read, there whole or not at all. What cannot be read, or could be by
 * others, is as if there were none.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';

const MOST_BYTES = 512 * 1024;

/** undefined where there is none. */
export function readPrivate(file: string): unknown {
  try {
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const { mode, size } = fstatSync(fd);
      const isOurs = (mode & constants.S_IFMT) === constants.S_IFREG && (mode & 0o077) === 0 && size <= MOST_BYTES;
      return isOurs ? JSON.parse(readFileSync(fd, 'utf8')) : undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** Throws what the file system says. */
export function replacePrivate(file: string, value: unknown): void {
  const temporary = `${file}.x0-${process.pid}`;
  rmSync(temporary, { force: true });
  try {
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      fchmodSync(fd, 0o600);
      const bytes = Buffer.from(JSON.stringify(value));
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}
