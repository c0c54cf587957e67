/**
 * How long what a repair has in force stays so after its fault: longer each time that it was given back within the hour and
 * wanted again. A fault that comes and goes while it stays says nothing against giving it back: a dear link that is good again
 * stands in the way of the next repair.
 */
import { type Nanos, SECOND } from '../core/time.ts';

const LINGER: Nanos = 60 * SECOND;
const LONGEST_LINGER: Nanos = 600 * SECOND;
const HOUR: Nanos = 3600 * SECOND;
/** So often within the hour is no accident. */
const OFTEN = 3;
const MOST_KEYS = 64;
const MOST_OF_A_KEY = 16;

interface Parting {
  readonly at: Nanos;
  /** It was given back; else the fault was there again before that. */
  readonly given: boolean;
}

/** By key: a repair, and what it was about. */
export class Partings {
  readonly #partings = new Map<string, readonly Parting[]>();

  /** The fault is over whose repair is in force: how long that stays, in ns. */
  begin(key: string, now: Nanos): Nanos {
    const before = this.#lately(key, now);
    const all = [...before, { at: now, given: false }];
    this.#partings.delete(key);
    // Those given back are few, as each lingered; the others, however many, must not push them out.
    this.#partings.set(
      key,
      all.filter(({ given }, i) => given || i >= all.length - MOST_OF_A_KEY),
    );
    if (this.#partings.size > MOST_KEYS) this.#partings.delete(this.#partings.keys().next().value!);
    return Math.min(LONGEST_LINGER, LINGER * 2 ** before.filter(({ given }) => given).length);
  }

  /** It is given back now. */
  give(key: string): void {
    const all = this.#partings.get(key) ?? [];
    const last = all.at(-1);
    if (last !== undefined) this.#partings.set(key, [...all.slice(0, -1), { ...last, given: true }]);
  }

  /** Was the fault over again and again within the hour? */
  isOften(key: string, now: Nanos): boolean {
    return this.#lately(key, now).length >= OFTEN;
  }

  /** And what mended it given back each time? */
  isOftenGiven(key: string, now: Nanos): boolean {
    return this.#lately(key, now).filter(({ given }) => given).length >= OFTEN;
  }

  /** The oldest first. */
  #lately(key: string, now: Nanos): readonly Parting[] {
    return (this.#partings.get(key) ?? []).filter(({ at }) => now - at < HOUR);
  }
}
