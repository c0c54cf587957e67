/** How good a link is: five classes by loss, latency and throughput, with hysteresis. */
import { MS, type Nanos } from '../core/time.ts';

/** Best first. */
export const QUALITIES = ['EXCELLENT', 'GOOD', 'FAIR', 'POOR', 'BAD'] as const;
export type Quality = (typeof QUALITIES)[number];

/** What is known of a link. null is unknown, and does not count. */
export interface Reading {
  /** 0..1, one way. */
  readonly loss: number | null;
  /** One way. */
  readonly latencyNs: Nanos | null;
  /** kbit/s */
  readonly throughput: number | null;
}

/** A class asks for less loss, less latency and more throughput than these. What meets no row is BAD. */
const LIMITS: readonly { readonly loss: number; readonly latencyNs: Nanos; readonly throughput: number }[] = [
  { loss: 0.001, latencyNs: 10 * MS, throughput: 100_000 },
  { loss: 0.01, latencyNs: 50 * MS, throughput: 50_000 },
  { loss: 0.03, latencyNs: 100 * MS, throughput: 10_000 },
  { loss: 0.05, latencyNs: 200 * MS, throughput: 1_000 },
];

/** How far beyond a limit counts as clearly beyond it, as a share of the limit. */
export const MARGIN = 0.2;
/** Readings in a row that must be clearly better before the class rises. */
export const BETTER_AFTER = 3;
/** Readings in a row that must be a little worse before the class falls; clearly worse falls at once. */
export const WORSE_AFTER = 5;

/** `ease` above 1 loosens every limit by that factor, below 1 tightens it. */
function rank(reading: Reading, ease: number): number | null {
  const { loss, latencyNs, throughput } = reading;
  if (loss === null && latencyNs === null && throughput === null) return null;
  const found = LIMITS.findIndex(
    (limit) =>
      (loss === null || loss < limit.loss * ease) &&
      (latencyNs === null || latencyNs < limit.latencyNs * ease) &&
      (throughput === null || throughput > limit.throughput / ease),
  );
  return found === -1 ? LIMITS.length : found;
}

/** The class of one reading by the bare limits; null when nothing is known. */
export function classify(reading: Reading): Quality | null {
  const found = rank(reading, 1);
  return found === null ? null : QUALITIES[found]!;
}

/**
 * The class of a link over time. A link whose figures wander about a limit, by less than the margin, changes its class
 * at most once: down after some readings, and not up again before it has cleared the limit by the margin.
 */
export class SteadyQuality {
  #rank: number | null = null;
  #better = 0;
  #worse = 0;
  /** The least good that the run of better readings would allow, and the best of the run of worse ones. */
  #betterRank = 0;
  #worseRank = 0;
  #forced = false;
  /** Of the last reading that knew it. */
  #loss: number | null = null;

  get quality(): Quality | null {
    return this.#rank === null ? null : QUALITIES[this.#rank]!;
  }

  /**
   * Takes in one reading and answers the class from now on. Where the loss is no longer known it counts as it last was,
   * so that a lossy link does not look good meanwhile for its latency alone.
   */
  take({ loss, latencyNs, throughput }: Reading): Quality | null {
    if (loss === null && latencyNs === null && throughput === null) return this.#nothing();
    this.#loss = loss ?? this.#loss;
    const reading = { loss: this.#loss, latencyNs, throughput };
    const bare = rank(reading, 1)!;
    if (this.#rank === null) return this.#become(bare);

    const eased = rank(reading, 1 + MARGIN)!;
    if (eased > this.#rank) return this.#become(eased);

    if (bare > this.#rank) {
      this.#worseRank = this.#worse === 0 ? bare : Math.min(this.#worseRank, bare);
      this.#worse += 1;
      if (this.#worse >= WORSE_AFTER) return this.#become(this.#worseRank);
    } else {
      this.#worse = 0;
    }

    const strict = rank(reading, 1 - MARGIN)!;
    if (strict < this.#rank) {
      this.#betterRank = Math.max(this.#betterRank, strict);
      this.#better += 1;
      if (this.#better >= BETTER_AFTER) return this.#become(this.#betterRank);
    } else {
      this.#better = 0;
      this.#betterRank = 0;
    }
    return this.quality;
  }

  /** For what is certain and needs no patience: a link without carrier. */
  force(quality: Quality): void {
    this.#become(QUALITIES.indexOf(quality));
    this.#forced = true;
    this.#loss = null;
  }

  /** No news is no change; but what was forced is over by now, and then nothing is known. */
  #nothing(): Quality | null {
    if (this.#forced) {
      this.#better += 1;
      if (this.#better >= BETTER_AFTER) {
        this.#rank = null;
        this.#forced = false;
      }
    }
    return this.quality;
  }

  #become(next: number): Quality {
    this.#rank = next;
    this.#forced = false;
    this.#better = 0;
    this.#worse = 0;
    this.#betterRank = 0;
    return QUALITIES[next]!;
  }
}

/**
 * Loss towards a direct neighbour from its TQ (BATMAN_IV, originator == neighbour: no hop penalty in it).
 * TQ/255 is the share of our OGMs that arrive there (echoes heard divided by receive quality), lowered by the kernel
 * for an asymmetric link; so this is an upper bound, in steps of 0.4 %, and far off while the kernel's window of 64 OGMs
 * is not full (window.ts).
 */
export function lossOfTq(tq: number): number {
  return 1 - Math.min(Math.max(tq, 0), 255) / 255;
}

/** Echoes that the loss is reckoned over, and how many it takes before it says anything. */
const WINDOW = 100;
const ENOUGH = 20;
/** Latency is the median of so many round trips: one slow answer moves nothing, and a change shows at the second one. */
const LATEST = 3;

/** Latency and loss of a link from echoes. One way is taken as half of the round trip; there is no clock to do better. */
export class Echoes {
  #latest: readonly Nanos[] = [];
  #answered: boolean[] = [];
  #at = 0;
  #lost = 0;

  answered(rttNs: Nanos): void {
    this.#latest = [...this.#latest, rttNs / 2].slice(-LATEST);
    this.#note(true);
  }

  get latencyNs(): Nanos | null {
    return this.#latest.toSorted((a, b) => a - b)[(this.#latest.length - 1) >> 1] ?? null;
  }

  lost(): void {
    this.#note(false);
  }

  /** The link was cut or out of the mesh: what was lost meanwhile says nothing of it. */
  restart(): void {
    this.#answered = [];
    this.#at = 0;
    this.#lost = 0;
  }

  /** 0..1 one way, or null for too few echoes. An echo survives both ways, so one way is the square root. */
  get loss(): number | null {
    const count = this.#answered.length;
    return count < ENOUGH ? null : 1 - Math.sqrt(1 - this.#lost / count);
  }

  #note(answered: boolean): void {
    if (this.#answered.length === WINDOW && !this.#answered[this.#at]) this.#lost -= 1;
    this.#answered[this.#at] = answered;
    this.#at = (this.#at + 1) % WINDOW;
    if (!answered) this.#lost += 1;
  }
}
