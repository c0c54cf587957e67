/** What the hybrid KEMs have in common. */
import { createHash } from 'node:crypto';
import type { Primitives } from './primitives.ts';

/** The X25519 half of an encapsulation: a key for this once, and what it shares with `theirs`. Throws E_KEY. */
export function ephemeral(
  { x25519, random }: Pick<Primitives, 'x25519' | 'random'>,
  theirs: Uint8Array,
): { readonly publicKey: Uint8Array; readonly shared: Uint8Array } {
  const secret = random(32);
  const key = x25519.key(secret);
  secret.fill(0);
  try {
    return { publicKey: key.publicKey, shared: key.shared(theirs) };
  } finally {
    key.wipe();
  }
}

/** SHA3-256 of the secrets and of what they are bound to, in order. It takes the secrets in, and wipes them. */
export function combine(secrets: readonly Uint8Array[], bound: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha3-256');
  for (const part of [...secrets, ...bound]) hash.update(part);
  for (const secret of secrets) secret.fill(0);
  return hash.digest();
}
