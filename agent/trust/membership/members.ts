/**
 * Whom the stewards have let in, as far as this router has heard, also before it was started. Part of the membership machine
 * (membership.ts).
 */
import { surplus } from '../join/share.ts';
import type { Keeping } from './kept.ts';
import type { Member } from './words.ts';

/** Of those that this steward has let in or renewed itself. */
const MOST_OWN = 2048;
/** Of those that one other steward has told of first, and all others. */
const TOLD = { each: 1024, all: 2048 } as const;
/** Certificates are renewed every few hours, and flash wears: by so much may what is kept say that one ends too early. */
const KEPT_BEHIND_MS = 24 * 3_600_000;

export class Members {
  readonly #keeping: Keeping;
  readonly #all = new Map<string, Member>();
  /** As they are kept. */
  readonly #kept = new Map<string, Member>();
  /** Who told of it first: renewing those of another puts nobody out of that one's share. */
  readonly #first = new Map<string, string>();
  readonly #own: string;

  /** `own`: the key of this steward. */
  constructor(keeping: Keeping, own: string) {
    this.#keeping = keeping;
    this.#own = own;
  }

  has(key: string): boolean {
    return this.#all.has(key);
  }

  all(): Member[] {
    return [...this.#all.values()];
  }

  /** One that was kept. */
  remember(one: Member): void {
    this.#all.set(one.key, one);
    this.#kept.set(one.key, one);
    this.#first.set(one.key, one.by);
  }

  note(one: Member): void {
    const known = this.#all.get(one.key);
    if (known !== undefined && known.notAfter > one.notAfter) return;
    const isOwn = one.by === this.#own;
    if (isOwn && this.#first.get(one.key) !== this.#own) {
      if (this.#of(true).length >= MOST_OWN) return;
      this.#first.set(one.key, this.#own);
    }
    if (known === undefined && !isOwn) this.#first.set(one.key, one.by);
    this.#all.set(one.key, one);
    if (known === undefined && !isOwn) {
      const extra = surplus(this.#of(false), {
        ...TOLD,
        by: ({ key }) => this.#first.get(key)!,
        name: ({ key }) => key,
      });
      if (extra !== null) this.forget(extra.key);
      if (extra?.key === one.key) return;
    }
    const kept = this.#kept.get(one.key);
    if (kept?.node === one.node && one.notAfter < kept.notAfter + KEPT_BEHIND_MS) return;
    this.#kept.set(one.key, one);
    this.#keeping.member(one);
  }

  forget(key: string): void {
    this.#all.delete(key);
    this.#first.delete(key);
    if (this.#kept.delete(key)) this.#keeping.noMember(key);
  }

  #of(isOwn: boolean): Member[] {
    return this.all().filter(({ key }) => (this.#first.get(key) === this.#own) === isOwn);
  }

  /** Forgets whose certificate had ended by then. */
  prune(wallMs: number): void {
    for (const { key, notAfter } of this.all()) if (notAfter + KEPT_BEHIND_MS < wallMs) this.forget(key);
  }
}
