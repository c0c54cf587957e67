/**
 * By which credential each router came that a steward has let in, here or elsewhere: so that a credential whose router is revoked
 * lets nobody else in (ledger/ledger.ts has what is declared of that). Not forgotten when a certificate ends, since it may turn
 * out later that a router was stolen. Part of the membership machine (membership.ts).
 */
import { surplus } from '../join/share.ts';
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

/** Of routers that this one has let in; the oldest go first. */
const MOST_OWN = 2048;
/** Of those that one other steward has told of, and all others. */
const TOLD = { each: 512, all: 2048 } as const;
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
    const isOwn = one.by === this.#own;
    if (known === undefined) {
      const others = this.#of(one.by);
      if (isOwn && others.length >= MOST_OWN) this.#forget(others[0]!.key);
      for (const credential of one.credentials) {
        // A SPIFFE ID may be that of many.
        const same = credential.startsWith('spiffe:') ? [] : this.by(credential).filter(({ by }) => by === one.by);
        if (same.length >= MOST_BY_ONE) this.#forget(same[0]!.key);
      }
    }
    this.#all.set(one.key, one);
    const told = isOwn ? [] : [...this.#all.values()].filter(({ by }) => by !== this.#own);
    const extra = surplus(told, { ...TOLD, by: ({ by }) => by, name: ({ key }) => key });
    if (extra !== null) this.#forget(extra.key);
    if (extra?.key !== one.key) this.#keeping.provenance(one);
  }

  #forget(key: string): void {
    this.#all.delete(key);
    this.#keeping.noProvenance(key);
  }

  #of(by: string): Came[] {
    return [...this.#all.values()].filter((one) => one.by === by);
  }
}
