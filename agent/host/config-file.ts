/** Reads and replaces a configuration file. */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MAX_FILE } from '../config/uci.ts';
import { AgentError } from '../core/errors.ts';

function failed(file: string, what: 'read' | 'written', thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  const reason = code ?? (thrown instanceof Error ? thrown.message : String(thrown));
  return new AgentError(
    'E_CONFIG_READ',
    `${file} cannot be ${what}: ${reason}`,
    { file, errno: code },
    { cause: thrown },
  );
}

/**
 * The bytes of a configuration file. Throws E_CONFIG_READ with {file, errno}; errno is ENOENT where there is none,
 * which a caller may take for "all defaults". A file above MAX_FILE is refused before it fills the memory.
 */
export function readConfigFile(file: string): Uint8Array {
  let fd: number | undefined;
  try {
    // Not blocking: a FIFO in the file's place must not hang the agent.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new AgentError('E_CONFIG_READ', `${file} cannot be read: it is not a file`, { file });
    const bytes = new Uint8Array(Math.min(stat.size, MAX_FILE) + 1);
    let length = 0;
    for (let n = 1; n > 0 && length < bytes.length; length += n)
      n = readSync(fd, bytes, length, bytes.length - length, null);
    if (length > MAX_FILE) {
      throw new AgentError('E_CONFIG_READ', `${file} cannot be read: it is larger than ${MAX_FILE} bytes`, { file });
    }
    return bytes.subarray(0, length);
  } catch (thrown) {
    throw failed(file, 'read', thrown);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Replaces a configuration file so that a power cut leaves the old or the new one, whole. Mode and owner stay, a
 * symbolic link stays one; a new file gets mode 0600, for it may hold a key. Throws E_CONFIG_READ with {file, errno}.
 */
export function writeConfigFile(file: string, bytes: Uint8Array): void {
  let temporary: string | undefined;
  let fd: number | undefined;
  try {
    if (bytes.length > MAX_FILE)
      throw new AgentError('E_CONFIG_READ', `${file} cannot be written: more than ${MAX_FILE} bytes`, { file });
    const old = statSync(file, { throwIfNoEntry: false });
    const target = old ? realpathSync(file) : file;
    temporary = join(dirname(target), `.${basename(target)}.x0-${process.pid}`);
    rmSync(temporary, { force: true });
    fd = openSync(temporary, 'wx', 0o600);
    if (old) {
      if (old.uid !== process.geteuid?.() || old.gid !== process.getegid?.()) fchownSync(fd, old.uid, old.gid);
      fchmodSync(fd, old.mode & 0o7777);
    }
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(temporary, target);
    temporary = undefined;
    fd = openSync(dirname(target), constants.O_RDONLY | constants.O_DIRECTORY);
    fsyncSync(fd);
  } catch (thrown) {
    throw failed(file, 'written', thrown);
  } finally {
    if (fd !== undefined) closeSync(fd);
    if (temporary !== undefined) rmSync(temporary, { force: true });
  }
}
