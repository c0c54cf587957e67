/** How much of what others ask is looked at, each source for itself: a burst, then so many a second. */
import { type Nanos, SECOND } from '../../core/time.ts';

/** Of joining and renewing. */
const USUAL = { rate: 5, burst: 150 };
const MOST_SOURCES = 2048;

export class Budgets {
  readonly #rate: number;
  readonly #burst: number;
  readonly #left = new Map<string, { readonly left: number; readonly at: Nanos }>();

  /** `rate`: a second. */
  constructor({ rate, burst }: { readonly rate: number; readonly burst: number } = USUAL) {
    this.#rate = rate;
    this.#burst = burst;
  }

  take(source: string, now: Nanos): boolean {
    const { left, at } = this.#left.get(source) ?? { left: this.#burst, at: now };
    const there = Math.min(this.#burst, left + ((now - at) / SECOND) * this.#rate);
    this.#left.delete(source);
    if (this.#left.size >= MOST_SOURCES) this.#left.delete(this.#left.keys().next().value!);
    this.#left.set(source, { left: there < 1 ? there : there - 1, at: now });
    return there >= 1;
  }
}
