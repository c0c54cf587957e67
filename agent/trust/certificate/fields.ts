/** What the messages of a mesh are made of, as DER: numbers, texts, fingerprints, lists of bytes. */
import { der, integer, Malformed, type Reader, sequence, TAG } from './der.ts';

/** Reads with a Reader; null where it throws Malformed. */
export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof Malformed) return null;
    throw thrown;
  }
}

export function number(value: number): Buffer {
  const hex = value.toString(16);
  return integer(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
}

export function readNumber(from: Reader): number {
  const bytes = from.take(TAG.integer);
  if (bytes.length === 0 || bytes.length > 7 || bytes[0]! >= 0x80) throw new Malformed('a number out of range');
  const value = Number(`0x${bytes.toString('hex')}`);
  if (!Number.isSafeInteger(value)) throw new Malformed('a number out of range');
  return value;
}

/** The end of the year 9999, beyond which a certificate can say no time. */
export const LAST_MOMENT = 253_402_300_799_999;

/** Milliseconds since 1970. Throws Malformed too for what no certificate can say, and a Date perhaps not hold. */
export function readMoment(from: Reader): number {
  const value = readNumber(from);
  if (value > LAST_MOMENT) throw new Malformed('a time out of range');
  return value;
}

export function text(value: string): Buffer {
  return der(TAG.utf8, Buffer.from(value));
}

/** At most 255 bytes of printable ASCII: what names and reasons need, and nothing that a terminal obeys. */
export function readText(from: Reader): string {
  const value = from.take(TAG.utf8).toString('latin1');
  if (!/^[\x20-\x7e]{0,255}$/.test(value)) throw new Malformed('a text out of bounds');
  return value;
}

/** A fingerprint, as hexadecimal. */
export function key32(from: Reader): string {
  const bytes = from.take(TAG.octets);
  if (bytes.length !== 32) throw new Malformed('a fingerprint of another length');
  return bytes.toString('hex');
}

export function list(parts: readonly Uint8Array[]): Buffer {
  return sequence(...parts.map((part) => der(TAG.octets, part)));
}

/** What `list` wrote. Throws Malformed. */
export function octets(from: Reader): Uint8Array[] {
  const parts = from.enter(TAG.sequence);
  const found: Uint8Array[] = [];
  while (!parts.isAtEnd) found.push(parts.take(TAG.octets));
  return found;
}
