/** Neighbours, by beacon or by batman-adv's tables, that were not there before: with them sessions are due soon. */
import type { Mac } from '../core/ids.ts';
import { type Nanos, SECOND } from '../core/time.ts';

/** Others' addresses can be made up: they are no reason to speak more often than this. */
const PACE: Nanos = 5 * SECOND;

export class Newcomers {
  #known: ReadonlySet<Mac> = new Set();
  #isOwed = false;
  #next: Nanos = Number.NEGATIVE_INFINITY;

  /** `near`: all that are there now. Answers whether this is the moment to say where this router is. */
  take(near: ReadonlySet<Mac>, now: Nanos): boolean {
    this.#isOwed ||= [...near].some((mac) => !this.#known.has(mac));
    this.#known = near;
    if (!this.#isOwed || now < this.#next) return false;
    this.#isOwed = false;
    this.#next = now + PACE;
    return true;
  }
}
