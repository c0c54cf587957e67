/** Keeps a router's secrets: one file that nobody else can read, there whole or not at all. */
import { closeSync, constants, fstatSync, fsyncSync, linkSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { decodeKeyFile, encodeKeyFile, MOST_KEY_FILE } from '../trust/keys/file.ts';
import type { RouterSecrets } from '../trust/keys/router.ts';

/**
 * The secrets in `file`. Throws E_KEY_FILE with {file, errno}; errno is ENOENT where there is none, which a caller may
 * take for "a router without keys yet". A file that others could read or replace is refused: its keys may be known.
 */
export function readKeyFile(file: string): RouterSecrets {
  return withFile(file, 'read', () => {
    // Not blocking: a FIFO in the file's place must not hang the agent. No link: it could point to what others own.
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const bytes = new Uint8Array(MOST_KEY_FILE + 1);
    try {
      const { mode, uid } = fstatSync(fd);
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw untrusted(file, 'it is not a file');
      if ((mode & 0o077) !== 0) throw untrusted(file, `its mode is ${(mode & 0o777).toString(8)}, not 600`);
      if (uid !== process.geteuid?.() && uid !== 0) throw untrusted(file, 'it belongs to somebody else');
      let length = 0;
      for (let n = 1; n > 0 && length < bytes.length; length += n)
        n = readSync(fd, bytes, length, bytes.length - length, null);
      if (length > MOST_KEY_FILE) throw untrusted(file, `it is larger than ${MOST_KEY_FILE} bytes`);
      return decodeKeyFile(bytes.subarray(0, length));
    } finally {
      bytes.fill(0);
      closeSync(fd);
    }
  });
}

/**
 * Makes `file`, mode 0600, so that a power cut leaves all of it or nothing. Never replaces one: keys that are gone are an
 * identity that is gone. Throws E_KEY_FILE with {file, errno}; errno is EEXIST where there is one.
 */
export function createKeyFile(file: string, secrets: RouterSecrets): void {
  const temporary = join(dirname(file), `.${basename(file)}.x0-${process.pid}`);
  const bytes = encodeKeyFile(secrets);
  withFile(file, 'written', () => {
    try {
      rmSync(temporary, { force: true });
      synced(openSync(temporary, 'wx', 0o600), (fd) => {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      });
      // Not rename, which would replace what is there.
      linkSync(temporary, file);
    } finally {
      bytes.fill(0);
      rmSync(temporary, { force: true });
    }
    synced(openSync(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY), () => {});
  });
}

function synced(fd: number, work: (fd: number) => void): void {
  try {
    work(fd);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function withFile<T>(file: string, what: 'read' | 'written', work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof AgentError && 'file' in thrown.detail) throw thrown;
    const code = thrown instanceof AgentError ? undefined : (thrown as NodeJS.ErrnoException).code;
    const isThere = what === 'written' && code === 'EEXIST';
    const reason = isThere
      ? 'it is there already, and a key is never replaced'
      : (code ?? (thrown instanceof Error ? thrown.message : String(thrown)));
    throw new AgentError('E_KEY_FILE', `${file} cannot be ${what}: ${reason}`, { file, errno: code });
  }
}

function untrusted(file: string, why: string): AgentError {
  return new AgentError('E_KEY_FILE', `${file} is not trusted: ${why}`, { file });
}
