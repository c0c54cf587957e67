/**
 * What is declared to all, as it travels: a bundle, a steward's certificate or a revocation, of a router or of a credential, not
 * looked at yet.
 */
import { der, Malformed, type Reader, sequence, TAG } from '../certificate/der.ts';
import { number, readNumber } from '../certificate/fields.ts';

export type ItemKind = 'bundle' | 'steward' | 'revocation';

/** On the wire. */
const KINDS: readonly ItemKind[] = ['bundle', 'steward', 'revocation'];

export interface Loose {
  readonly kind: ItemKind;
  readonly bytes: Uint8Array;
}

export function item({ kind, bytes }: Loose): Buffer {
  return sequence(number(KINDS.indexOf(kind)), der(TAG.octets, bytes));
}

/** Throws Malformed. */
export function readItem(from: Reader): Loose {
  const kind = KINDS[readNumber(from)];
  const bytes = from.take(TAG.octets);
  from.end();
  if (kind === undefined) throw new Malformed('an item of an unknown kind');
  return { kind, bytes };
}
