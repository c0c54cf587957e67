/** A file that somebody named on the command line. */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { clean, clip } from './terminal.ts';

/** How long a full pipe is left alone. */
const FULL_MS = 5;

/** As text, without the mark that some editors begin a file with. Throws E_USAGE for what is not UTF-8. */
export function textOf(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new AgentError('E_USAGE', `${clip(file, 255)} is not UTF-8`);
  }
}

/** Its bytes. Throws E_NOT_FOUND, E_FORBIDDEN, or E_USAGE for what is no file or larger than `most` bytes. */
export function readNamed(file: string, most: number): Uint8Array {
  let fd: number | undefined;
  try {
    // Not blocking: a FIFO in the file's place must not hang the command.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = fstatSync(fd);
    if (!fstatSync(fd).isFile()) throw new AgentError('E_USAGE', `${clip(file, 255)} is not a file`);
    if (size > most) throw new AgentError('E_USAGE', `${clip(file, 255)} has ${size} bytes, at most ${most} are read`);
    const bytes = new Uint8Array(size);
    let length = 0;
    for (let n = 1; n > 0 && length < size; length += n) n = readSync(fd, bytes, length, size - length, null);
    return bytes.subarray(0, length);
  } catch (thrown) {
    if (thrown instanceof AgentError) throw thrown;
    const { code } = thrown as NodeJS.ErrnoException;
    const kind = code === 'ENOENT' || code === 'ENOTDIR' ? 'E_NOT_FOUND' : 'E_FORBIDDEN';
    throw new AgentError(kind, `${clip(file, 255)} cannot be read: ${code ?? String(thrown)}`, {}, { cause: thrown });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * The text of a file that another one names, in the directory of that one or below, wherever links lead: it may come from anybody.
 * Its size where it has more than `most` bytes; undefined where it is elsewhere, or cannot be read.
 */
export function readBeside(file: string, name: string, most: number): string | number | undefined {
  if (isAbsolute(name) || name.split('/').includes('..')) return undefined;
  try {
    const within = realpathSync(dirname(file));
    const found = realpathSync(join(within, name));
    if (!found.startsWith(within.endsWith(sep) ? within : within + sep)) return undefined;
    const { size } = statSync(found);
    return size > most ? size : Buffer.from(readNamed(found, most)).toString('utf8');
  } catch {
    return undefined;
  }
}

/**
 * For nobody else to read, through no link that somebody else has laid, and into a file only: a device would be closed to
 * others, and a FIFO wait for a reader. - is standard output. Throws E_USAGE, E_FORBIDDEN.
 */
export function writeNamed(into: string, bytes: Uint8Array): void {
  if (into === '' || into !== clean(into))
    throw new AgentError('E_USAGE', `FILE: '${clean(into)}' is no name for a file`);
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants;
  try {
    const fd = into === '-' ? 1 : openSync(into, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW, 0o600);
    try {
      if (fd !== 1) {
        if (!fstatSync(fd).isFile()) throw new AgentError('E_USAGE', `FILE: ${clip(into, 255)} is not a file`);
        fchmodSync(fd, 0o600);
        ftruncateSync(fd);
      }
      for (let at = 0; at < bytes.length; ) at += writeSome(fd, bytes, at);
    } finally {
      if (fd !== 1) closeSync(fd);
    }
  } catch (thrown) {
    if (thrown instanceof AgentError) throw thrown;
    const { code } = thrown as NodeJS.ErrnoException;
    const message = `FILE: ${clip(into, 255)} cannot be written: ${code ?? String(thrown)}`;
    throw new AgentError('E_FORBIDDEN', message, { file: into }, { cause: thrown });
  }
}

/** Node has made a pipe on the standard output non-blocking: who reads it slowly is waited for. */
function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  try {
    return writeSync(fd, bytes, at);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EAGAIN') throw thrown;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_MS);
    return 0;
  }
}
