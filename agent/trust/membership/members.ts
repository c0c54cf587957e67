/**
 * Whom the stewards have let in, as far as this router has heard, also before it was started. Part of the membership machine
 * (membership.ts).
 */
import type { Keeping } from './kept.ts';
import type { Member } from './words.ts';

const MOST = 2048;
/** Certificates are renewed every few hours, and flash wears: by so much may what is kept say that one ends too early. */
const KEPT_BEHIND_MS = 24 * 3_600_000;

export class Members {
  readonly #keeping: Keeping;
  readonly #all = new Map<string, Member>();
  /** As they are kept. */
  readonly #kept = new Map<string, Member>();

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
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
  }

  note(one: Member): void {
    const known = this.#all.get(one.key);
    if (known !== undefined && known.notAfter > one.notAfter) return;
    if (known === undefined && this.#all.size >= MOST) return;
    this.#all.set(one.key, one);
    const kept = this.#kept.get(one.key);
    if (kept?.node === one.node && one.notAfter < kept.notAfter + KEPT_BEHIND_MS) return;
    this.#kept.set(one.key, one);
    this.#keeping.member(one);
  }

  forget(key: string): void {
    this.#all.delete(key);
    if (this.#kept.delete(key)) this.#keeping.noMember(key);
  }

  /** Forgets whose certificate had ended by then. */
  prune(wallMs: number): void {
    for (const { key, notAfter } of this.all()) if (notAfter + KEPT_BEHIND_MS < wallMs) this.forget(key);
  }
}
