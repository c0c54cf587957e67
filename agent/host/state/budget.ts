/** How many bytes may still go to flash: wear is bounded whatever happens in the mesh. */
import { type Nanos, SECOND } from '../../core/time.ts';

/** Bytes a day that go to flash whatever happens, and how many of them can go at once. */
export const DAILY_BUDGET = 8 * 1024 * 1024;
export const BURST_BUDGET = 1024 * 1024;
const DAY: Nanos = 86_400 * SECOND;

export class FlashBudget {
  readonly #now: () => Nanos;
  #credit = BURST_BUDGET;
  #creditAt: Nanos;

  constructor(now: () => Nanos) {
    this.#now = now;
    this.#creditAt = now();
  }

  spend(bytes: number): void {
    this.#refill();
    this.#credit -= bytes;
  }

  /** Whether so many bytes leave half of what can go at once: for what is not the budget's first purpose. */
  spares(bytes: number): boolean {
    return this.#refill() - bytes >= BURST_BUDGET / 2;
  }

  /** The time until the budget is no longer overdrawn; 0 and less while it is not. */
  debt(): Nanos {
    return (-this.#refill() / DAILY_BUDGET) * DAY;
  }

  #refill(): number {
    const now = this.#now();
    this.#credit = Math.min(BURST_BUDGET, this.#credit + ((now - this.#creditAt) / DAY) * DAILY_BUDGET);
    this.#creditAt = now;
    return this.#credit;
  }
}
