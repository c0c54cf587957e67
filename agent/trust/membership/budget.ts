/** How much of others' joining and renewing is looked at, each source for itself: a burst, then so many a second. */
import { type Nanos, SECOND } from '../../core/time.ts';

const RATE = 5;
const BURST = 150;
const MOST_SOURCES = 2048;

export class Budgets {
  readonly #left = new Map<string, { readonly left: number; readonly at: Nanos }>();

  take(source: string, now: Nanos): boolean {
    const { left, at } = this.#left.get(source) ?? { left: BURST, at: now };
    const there = Math.min(BURST, left + ((now - at) / SECOND) * RATE);
    this.#left.delete(source);
    if (this.#left.size >= MOST_SOURCES) this.#left.delete(this.#left.keys().next().value!);
    this.#left.set(source, { left: there < 1 ? there : there - 1, at: now });
    return there >= 1;
  }
}
