/** How many bytes may still go to flash: wear is bounded whatever happens in the mesh. */
import { type Nanos, SECOND } from '../../core/time.ts';

/** Bytes a day that go to flash whatever happens, and how many of them can go at once. */
export const DAILY_BUDGET = 8 * 1024 * 1024;
export const BURST_BUDGET = 1024 * 1024;
const DAY: Nanos = 86_400 * SECOND;
/** A recording is written to the log first and to the file later, and some pages of tree beside it. */
const COPIES = 2;
const AROUND = 8 * 4096;

export function recordingCost(bytes: number): number {
  return COPIES * bytes + AROUND;
}

/** The time that the daily budget has for what a recording of so many bytes costs. */
export function recordingPace(bytes: number): Nanos {
  return (recordingCost(bytes) / DAILY_BUDGET) * DAY;
}

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

  /** Whether a recording of so many bytes leaves half of what can go at once: it is not the budget's first purpose. */
  spares(bytes: number): boolean {
    return bytes <= this.recordingRoom();
  }

  /** The largest recording that does; below 0 where there is none. */
  recordingRoom(): number {
    return Math.floor((this.#refill() - BURST_BUDGET / 2 - AROUND) / COPIES);
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
