/**
 * How doctor and diag look at this router: files, directories and programs, each with a bound and none throwing, for what
 * they are there to find out is what is missing or broken. `root` is / but in tests.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';

export interface Seen {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly isFile: boolean;
}

export interface Edge {
  /** Where it really lies. */
  path(path: string): string;
  /** The first `most` bytes as text; '' where it cannot be read. */
  read(path: string, most?: number): string;
  look(path: string): Seen | null;
  list(path: string): string[];
  link(path: string): string | null;
  freeKib(path: string): number | null;
  /** What the program says on its standard output; null where it is missing, fails, or takes too long. */
  run(program: string, words: readonly string[], timeoutMs?: number): Promise<string | null>;
}

const MOST = 1 << 20;
const MOST_OUTPUT = 4 << 20;
const TIMEOUT_MS = 5_000;
/** SSH's own PATH on OpenWrt has them; a cron job's may not. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export function edge(root = '/'): Edge {
  return {
    path: (path) => join(root, path),
    read: (path, most = MOST) => readText(join(root, path), most),
    look(path) {
      try {
        const { mode, uid, size, mtimeMs } = statSync(join(root, path));
        return { mode: mode & 0o7777, uid, size, mtimeMs, isFile: (mode & constants.S_IFMT) === constants.S_IFREG };
      } catch {
        return null;
      }
    },
    list(path) {
      try {
        return readdirSync(join(root, path)).sort();
      } catch {
        return [];
      }
    },
    link(path) {
      try {
        return readlinkSync(join(root, path));
      } catch {
        return null;
      }
    },
    freeKib(path) {
      try {
        const { bavail, bsize } = statfsSync(join(root, path));
        return (bavail * bsize) / 1024;
      } catch {
        return null;
      }
    },
    run: (program, words, timeoutMs = TIMEOUT_MS) =>
      new Promise((resolve) => {
        // An empty part of it would be the directory that x0ctl was called in, which may be anybody's.
        const env = { PATH: [...(process.env.PATH ?? '').split(':'), PATH].filter(Boolean).join(':'), LC_ALL: 'C' };
        execFile(program, [...words], { timeout: timeoutMs, maxBuffer: MOST_OUTPUT, env }, (error, stdout) =>
          resolve(error === null ? stdout : null),
        );
      }),
  };
}

/** Not readFile: files of /proc have no size, and a FIFO would hang us. */
function readText(path: string, most: number): string {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFile()) return '';
    const chunks: Buffer[] = [];
    for (let length = 0; length < most; ) {
      const chunk = Buffer.alloc(Math.min(65_536, most - length));
      const n = readSync(fd, chunk, 0, chunk.length, null);
      if (n === 0) break;
      chunks.push(chunk.subarray(0, n));
      length += n;
    }
    return Buffer.concat(chunks).toString('utf8');
  } catch {
    return '';
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
