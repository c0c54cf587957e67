/**
 * Messages under a key that both sides have: ChaCha20-Poly1305 (RFC 8439), the suite and a counter in front.
 *
 *     suite 2 | counter 8 | ciphertext | tag 16        big-endian
 *
 * The tag covers suite and counter too. The counter is the nonce, so each direction has a key of its own.
 */
import { AgentError, invariant } from '../../core/errors.ts';
import type { Aead } from './primitives.ts';
import type { SecretBytes } from './secret.ts';

const SUITE = 2;
const HEAD = SUITE + 8;

/** The sending side. It counts by itself: no caller can use a nonce twice with a key that only one Sealer has. */
export class Sealer {
  readonly #aead: Aead;
  readonly #suite: number;
  readonly #key: SecretBytes;
  #next = 0;

  constructor(aead: Aead, suite: number, key: SecretBytes) {
    this.#aead = aead;
    this.#suite = suite;
    this.#key = key;
  }

  /** `aad` is not sent, but the other side has to give the same. */
  seal(text: Uint8Array, aad: Uint8Array): Uint8Array {
    invariant(this.#next < Number.MAX_SAFE_INTEGER, 'fewer than 2^53 messages under one key');
    const head = Buffer.alloc(HEAD);
    head.writeUInt16BE(this.#suite);
    head.writeBigUInt64BE(BigInt(this.#next++), SUITE);
    return Buffer.concat([head, this.#aead.seal(this.#key.reveal(), nonce(head), Buffer.concat([head, aad]), text)]);
  }
}

export interface Opened {
  readonly text: Uint8Array;
  /** From 0. An old message opens as well as a new one: whoever minds asks for a counter that it has not seen. */
  readonly counter: number;
}

/** The receiving side. Throws E_SUITE for another suite's message, E_SEAL for what was not sealed with this key. */
export function open(aead: Aead, suite: number, key: SecretBytes, message: Uint8Array, aad: Uint8Array): Opened {
  if (message.length < HEAD) throw new AgentError('E_SEAL', 'a sealed message is too short');
  const head = Buffer.from(message.subarray(0, HEAD));
  requireSuite(head, suite);
  const counter = head.readBigUInt64BE(SUITE);
  if (counter >= Number.MAX_SAFE_INTEGER)
    throw new AgentError('E_SEAL', 'the counter of a sealed message is too large');
  const text = aead.open(key.reveal(), nonce(head), Buffer.concat([head, aad]), message.subarray(HEAD));
  return { text, counter: Number(counter) };
}

/** `bytes` begin with the suite that they are of. Throws E_SUITE with {found, expected} if it is another. */
export function requireSuite(bytes: Uint8Array, expected: number): void {
  const found = bytes.length < SUITE ? null : (bytes[0]! << 8) | bytes[1]!;
  if (found === expected) return;
  throw new AgentError('E_SUITE', `cipher suite ${found ?? 'missing'} instead of ${expected}`, { found, expected });
}

function nonce(head: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes.set(head.subarray(SUITE), 4);
  return bytes;
}
