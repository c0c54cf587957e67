/** OGMs of one neighbour that were due and did not come: what a link loses on the way to us. */
import { MS, type Nanos } from '../core/time.ts';

/** Missing at a reading, where the last frame is so many intervals old: one that is late is not lost. */
const LATE = 1.25;
/** A reading that comes sooner than that after an OGM was due cannot tell. */
const TELLING = 1 - (LATE - 1);
/** What is usual is followed over so many OGMs; before there are any, a link loses this share of them. */
const FOLLOWED = 1500;
const PRIOR = 50;
const PRIOR_LOSS = 0.004;

export class Missed {
  /** OGMs that were due, and those of them that were missing: the older, the less they count. */
  #due = 0;
  #missed = 0;
  /** Missing now: a loss if it is heard again, else the beginning of a silence. */
  #pending = 0;
  #sampledAt: Nanos = Number.NEGATIVE_INFINITY;

  /** A reading: the last OGM is `silentMs` old, and one is due every `everyMs`. */
  read(silentMs: number, everyMs: number, now: Nanos): void {
    if (now - this.#sampledAt < everyMs * MS * 0.9) return;
    this.#sampledAt = now;
    this.#due = this.#due * (1 - 1 / FOLLOWED) + 1;
    this.#missed *= 1 - 1 / FOLLOWED;
    if (silentMs > LATE * everyMs) this.#pending += 1;
  }

  /** It is heard anew: what was missing was lost. */
  heard(): void {
    this.#missed += this.#pending;
    this.#pending = 0;
  }

  /** What was missing was the beginning of a silence. */
  silent(): void {
    this.#pending = 0;
  }

  /** 0..1 */
  loss(): number {
    return Math.min(1, (this.#missed / TELLING + PRIOR_LOSS * PRIOR) / (this.#due + PRIOR));
  }
}

/** How often something of this likelihood has to happen in a row until that is less likely than `chance`. */
export function repeated(likelihood: number, chance: number, fewest: number, most: number): number {
  let times = 1;
  for (let all = likelihood; all > chance && times < most; times++) all *= likelihood;
  return Math.max(times, fewest);
}
