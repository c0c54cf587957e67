/**
 * Announcements: "I am here", from time to time to all of the mesh, by UDP to a multicast group on bat0. They find routers
 * that are more than one hop away, and say where a session can be had; who is there is proven by the session alone.
 *
 *     version 1 | nonce 12 | sealed: CBOR [id, port, originator, epoch, counter]
 *
 * Sealed with ChaCha20-Poly1305 under a key that all routers of the mesh have, so that a passer-by neither reads nor forges
 * one. Who has the key can send others to an address where nobody of the name is, and no further. Epoch and counter go up
 * for each id, so that an old announcement is ignored while newer ones are remembered.
 */
import { isMac, type Mac } from '../core/ids.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Aead } from '../trust/keys/primitives.ts';
import type { SecretBytes } from '../trust/keys/secret.ts';
import { fromCbor, toCbor } from './cbor.ts';

const VERSION = 1;
const NONCE = 12;
const HEAD = 1 + NONCE;
const AAD = Buffer.from('x0tta6bl4 announcement v1');
const LONGEST_ID = 400;
export const MOST_ANNOUNCEMENT = 600;
const MOST_REMEMBERED = 1024;
/** Then a lower epoch is believed too: its router may have lost its state. */
const REMEMBERED: Nanos = 300 * SECOND;
/** Datagrams that are looked at. */
const PER_SECOND = 100;
const MOST_AT_ONCE = 300;

export interface Announcement {
  /** '' where there is no key that others do not have. */
  readonly id: string;
  /** 0: nobody is to connect, it only asks who else is there. */
  readonly port: number;
  /** The sender's originator address, '' where it has none. */
  readonly originator: Mac | '';
  readonly epoch: number;
  readonly counter: number;
}

/** `nonce`: 12 bytes that have never been used with this key. */
export function sealAnnouncement(aead: Aead, key: SecretBytes, nonce: Uint8Array, said: Announcement): Uint8Array {
  const text = toCbor([said.id, said.port, said.originator, said.epoch, said.counter]);
  return Buffer.concat([Uint8Array.of(VERSION), nonce, aead.seal(key.reveal(), nonce, AAD, text)]);
}

/** null for whatever is none of this mesh. */
export function openAnnouncement(aead: Aead, key: SecretBytes, datagram: Uint8Array): Announcement | null {
  if (datagram.length <= HEAD || datagram.length > MOST_ANNOUNCEMENT || datagram[0] !== VERSION) return null;
  let said: unknown;
  try {
    said = fromCbor(aead.open(key.reveal(), datagram.subarray(1, HEAD), AAD, datagram.subarray(HEAD)));
  } catch {
    return null;
  }
  if (!Array.isArray(said) || said.length !== 5) return null;
  const [id, port, originator, epoch, counter] = said;
  if (typeof id !== 'string' || id.length > LONGEST_ID || !isCount(port) || port > 65535) return null;
  if (typeof originator !== 'string' || (originator !== '' && !isMac(originator))) return null;
  return isCount(epoch) && isCount(counter) ? { id, port, originator, epoch, counter } : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** How many are looked at, whatever comes in, and which are new. */
export class Announcements {
  readonly #last = new Map<string, { readonly epoch: number; readonly counter: number; readonly at: Nanos }>();
  #left = MOST_AT_ONCE;
  #at: Nanos;

  constructor(now: Nanos) {
    this.#at = now;
  }

  /** Whether one more datagram is worth opening. */
  affords(now: Nanos): boolean {
    this.#left = Math.min(MOST_AT_ONCE, this.#left + ((now - this.#at) / SECOND) * PER_SECOND);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  /** What there is to know of an announcement: said by somebody not heard of lately, again, or long since known. */
  judge({ id, epoch, counter }: Announcement, address: string, now: Nanos): 'first' | 'again' | 'old' {
    const who = id || address;
    const last = this.#last.get(who);
    const known = last !== undefined && now < last.at + REMEMBERED;
    if (known && (epoch < last.epoch || (epoch === last.epoch && counter <= last.counter))) return 'old';
    this.#last.delete(who);
    this.#last.set(who, { epoch, counter, at: now });
    if (this.#last.size > MOST_REMEMBERED) this.#last.delete(this.#last.keys().next().value!);
    return known ? 'again' : 'first';
  }
}
