/** Writes a tar archive (POSIX.1-1988, ustar): files only, small ones, with nothing of this router in their headers. */
import { Buffer } from 'node:buffer';

const BLOCK = 512;
const MOST_NAME = 100;

export interface Entry {
  readonly name: string;
  readonly data: string | Uint8Array;
}

/** `seconds` since 1970 is the time of all. Throws a RangeError for a name that ustar cannot hold. */
export function tar(entries: readonly Entry[], seconds: number): Buffer {
  const parts: Buffer[] = [];
  for (const { name, data } of entries) {
    const bytes = Buffer.from(data as string);
    parts.push(header(name, bytes.length, seconds), bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, seconds: number): Buffer {
  if (!/^[\x21-\x7e]+$/.test(name) || name.length > MOST_NAME) throw new RangeError(`no name for an archive: ${name}`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${Math.max(0, Math.floor(value)).toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  block.write(name, 0, 'latin1');
  octal(0o600, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(seconds, 136, 11);
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  // The sum of all bytes, its own field as blanks.
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
