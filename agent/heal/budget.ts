import { type Nanos, SECOND } from '../core/time.ts';
import type { KickReason } from '../core/words.ts';

const MINUTE: Nanos = 60 * SECOND;

/** At most `perMinute` in any minute. */
export class Budget {
  readonly #perMinute: () => number;
  /** When they were taken, oldest first. */
  #taken: Nanos[] = [];

  /** `perMinute`: asked each time, as settings change. */
  constructor(perMinute: () => number) {
    this.#perMinute = perMinute;
  }

  /** Takes one, or answers false and takes none. */
  take(now: Nanos): boolean {
    if (this.left(now) < 1) return false;
    this.#taken.push(now);
    return true;
  }

  left(now: Nanos): number {
    const recent = this.#taken.findIndex((at) => now - at < MINUTE);
    if (recent !== 0) this.#taken = recent < 0 ? [] : this.#taken.slice(recent);
    return Math.max(0, Math.floor(this.#perMinute()) - this.#taken.length);
  }
}

/** A budget of which half at most may go to what others can cause: our own interfaces' faults always find some left. */
export class SharedBudget {
  readonly #all: Budget;
  readonly #others: Budget;

  constructor(perMinute: () => number) {
    this.#all = new Budget(perMinute);
    this.#others = new Budget(() => (perMinute() < 2 ? 0 : perMinute() / 2));
  }

  /** Takes one, or answers false and takes none. */
  take(reason: KickReason, now: Nanos): boolean {
    if (this.#all.left(now) < 1) return false;
    const isOurs = reason === 'own-fault' || reason === 'operator';
    return (isOurs || this.#others.take(now)) && this.#all.take(now);
  }

  left(now: Nanos): number {
    return this.#all.left(now);
  }
}
