/** What the tests of cryptography share. */
import { provider } from '../../../agent/host/openssl.ts';
import { checked } from '../../../agent/trust/keys/checked.ts';
import { noble } from '../../../agent/trust/keys/noble.ts';
import type { Primitives } from '../../../agent/trust/keys/primitives.ts';

/** Both, each as a router would have it: OpenSSL for what this Node has of it, and @noble for all. */
export const PROVIDERS: readonly (readonly [name: string, Primitives])[] = [
  ['node:crypto', (await provider()).primitives],
  ['noble', (await provider({})).primitives],
];

/** Every pair of a provider that makes and one that takes. */
export const PAIRS = PROVIDERS.flatMap(([maker, a]) =>
  PROVIDERS.map(([taker, b]) => [`${maker} to ${taker}`, a, b] as const),
);

/** @noble with these bytes for all its randomness, in order. */
export function scripted(random: Uint8Array): Primitives {
  let at = 0;
  return checked(
    noble((length) => {
      at += length;
      if (at > random.length) throw new Error('more randomness was drawn than the test has');
      return Uint8Array.from(random.subarray(at - length, at));
    }),
  );
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = bit % (copy.length * 8);
  copy[at >> 3]! ^= 1 << (at & 7);
  return copy;
}
