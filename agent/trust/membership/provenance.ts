/**
 * By which credential each router came that a steward has let in, here or elsewhere: so that a credential whose router is revoked
 * lets nobody else in (ledger/ledger.ts has what is declared of that). Not forgotten when a certificate ends, since it may turn
 * out later that a router was stolen. Part of the membership machine (membership.ts).
 */
import type { Keeping } from './kept.ts';

export interface Came {
  /** Fingerprint of its identity key. */
  readonly key: string;
  readonly node: string;
  /** By name (ledger/statement.ts). */
  readonly credentials: readonly string[];
  /** The steward that let it in. */
  readonly by: string;
}

/** Of routers that this one has let in, those that one other steward has told of, and all others together. The oldest go first. */
const MOST_OWN = 2048;
const MOST_TOLD = 512;
const MOST_TOLD_BY_ALL = 2048;
/** By one SSH host key or certificate: a router that forgets its keys at each restart comes anew each time. */
const MOST_BY_ONE = 16;
/** Of one router. */
export const MOST_CREDENTIALS = 2;

export class Provenance {
  readonly #keeping: Keeping;
  readonly #own: string;
  readonly #all = new Map<string, Came>();

  /** `own`: the key of this router. */
  constructor(keeping: Keeping, own: string) {
    this.#keeping = keeping;
    this.#own = own;
  }

  /** Those that this steward has let in itself. */
  own(): Came[] {
    return this.#of(this.#own);
  }

  get(key: string): Came | undefined {
    return this.#all.get(key);
  }

  /** Who came by it. */
  by(credential: string): Came[] {
    return [...this.#all.values()].filter(({ credentials }) => credentials.includes(credential));
  }

  /** One that was kept. */
  remember(one: Came): void {
    this.#all.set(one.key, one);
  }

  /** What a steward has seen itself stands, whatever others say of the same key. */
  note(one: Came): void {
    const known = this.#all.get(one.key);
    if (known !== undefined && (known.by !== one.by || known.credentials.join() === one.credentials.join())) {
      if (one.by !== this.#own || known.by === this.#own) return;
    }
    if (known === undefined) {
      const others = this.#of(one.by);
      const isOwn = one.by === this.#own;
      if (others.length >= (isOwn ? MOST_OWN : MOST_TOLD)) this.#forget(others[0]!.key);
      else if (!isOwn && this.#all.size - this.own().length >= MOST_TOLD_BY_ALL) this.#forget(this.#longest());
      for (const credential of one.credentials) {
        // A SPIFFE ID may be that of many.
        const same = credential.startsWith('spiffe:') ? [] : this.by(credential).filter(({ by }) => by === one.by);
        if (same.length >= MOST_BY_ONE) this.#forget(same[0]!.key);
      }
    }
    this.#all.set(one.key, one);
    this.#keeping.provenance(one);
  }

  #forget(key: string): void {
    this.#all.delete(key);
    this.#keeping.noProvenance(key);
  }

  /** The oldest of the steward that has told of most: who tells much puts out its own. */
  #longest(): string {
    const told = new Map<string, string[]>();
    for (const { key, by } of this.#all.values()) if (by !== this.#own) told.set(by, [...(told.get(by) ?? []), key]);
    return [...told.values()].reduce((most, keys) => (keys.length > most.length ? keys : most))[0]!;
  }

  #of(by: string): Came[] {
    return [...this.#all.values()].filter((one) => one.by === by);
  }
}
