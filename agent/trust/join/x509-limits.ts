/**
 * What a certificate's extensions limit (RFC 5280, 4.2), as far as node:crypto leaves it to its caller: that knows a CA by
 * its basic constraints and key usage, and nothing of how long a path may be or of what it does not know itself.
 */
import { Malformed, Reader, TAG } from '../certificate/der.ts';

export interface Limits {
  /** CAs that may follow below this one; null: any number. */
  readonly pathLength: number | null;
  /** False where a key usage says what the key is for, and signing is not among it. */
  readonly maySign: boolean;
  /** An extension that must be understood, and is not: its OID's bytes in hexadecimal. */
  readonly unknown: string | null;
}

/** Below id-ce, 2.5.29. */
const KEY_USAGE = '551d0f';
const BASIC_CONSTRAINTS = '551d13';
const NAME_CONSTRAINTS = '551d1e';
/** Names, key identifiers, policies, what a key is for by extension, where lists are: they take nothing from a proof. */
const HARMLESS: ReadonlySet<string> = new Set(['551d0e', '551d11', '551d12', '551d1f', '551d20', '551d23', '551d25']);
const DIGITAL_SIGNATURE = 0x80;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;

/** `certificate`: DER. Throws Malformed. */
export function limitsOf(certificate: Uint8Array): Limits {
  let pathLength: number | null = null;
  let maySign = true;
  let unknown: string | null = null;
  for (const { id, isCritical, value } of extensionsOf(certificate)) {
    if (id === BASIC_CONSTRAINTS) {
      const inside = new Reader(value).enter(TAG.sequence);
      if (inside.has(TAG.boolean)) inside.take(TAG.boolean);
      // A number of more than six bytes limits nothing.
      if (inside.has(TAG.integer)) pathLength = numberOf(inside.take(TAG.integer));
    } else if (id === KEY_USAGE) {
      // The first byte tells how many bits of the last are not used.
      maySign = ((new Reader(value).take(TAG.bitString)[1] ?? 0) & DIGITAL_SIGNATURE) !== 0;
    } else if (id === NAME_CONSTRAINTS || (isCritical && !HARMLESS.has(id))) unknown ??= id;
  }
  return { pathLength, maySign, unknown };
}

function* extensionsOf(certificate: Uint8Array): Generator<{ id: string; isCritical: boolean; value: Buffer }> {
  const fields = new Reader(certificate).enter(TAG.sequence).enter(TAG.sequence);
  if (fields.has(VERSION)) fields.enter(VERSION);
  fields.enter(TAG.integer);
  // Algorithm, issuer, validity, subject, key.
  for (let i = 0; i < 5; i++) fields.enter(TAG.sequence);
  // Two numbers of issuer and subject that nobody writes any more.
  for (const tag of [0x81, 0x82]) if (fields.has(tag)) fields.enter(tag);
  if (!fields.has(EXTENSIONS)) return;
  const list = fields.enter(EXTENSIONS).enter(TAG.sequence);
  while (!list.isAtEnd) {
    const one = list.enter(TAG.sequence);
    const id = one.take(TAG.oid).toString('hex');
    const isCritical = one.has(TAG.boolean) && one.take(TAG.boolean)[0] !== 0;
    yield { id, isCritical, value: one.take(TAG.octets) };
  }
}

function numberOf(bytes: Buffer): number | null {
  if (bytes.length === 0 || bytes[0]! >= 0x80) throw new Malformed('a path length below zero');
  return bytes.length > 6 ? null : bytes.readUIntBE(0, bytes.length);
}
