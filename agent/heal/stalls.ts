/**
 * When this router itself stood still: no CPU for it, or a machine that was suspended. What it did not hear meanwhile says
 * nothing of others, so silence is counted without it.
 */
import { MS, type Nanos, SECOND } from '../core/time.ts';

/** Sooner than that a timer is only late. */
const LEAST: Nanos = 200 * MS;
/** Longer than any silence that is waited for. */
const REMEMBERED: Nanos = 120 * SECOND;
const MOST = 64;

export class Stalls {
  #stalls: readonly { readonly from: Nanos; readonly to: Nanos }[] = [];

  /** A timer that was due at `due` runs now. */
  note(due: Nanos, now: Nanos): void {
    if (now - due < LEAST) return;
    this.#stalls = [...this.#stalls.filter(({ to }) => now - to < REMEMBERED), { from: due, to: now }].slice(-MOST);
  }

  /** How much of the time since `from` it stood still. */
  since(from: Nanos): Nanos {
    return this.#stalls.reduce((sum, stall) => sum + Math.max(0, stall.to - Math.max(from, stall.from)), 0);
  }
}
