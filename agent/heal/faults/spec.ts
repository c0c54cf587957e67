/** What a fault of the catalogue is, and how its detector speaks. */
import type { Survey } from '../../core/effect.ts';
import type { Event } from '../../core/event.ts';
import type { IfIndex, Mac } from '../../core/ids.ts';
import type { Nanos } from '../../core/time.ts';
import type { Action, FaultClass, Finding, Remedy, Symptom } from '../../core/words.ts';

export interface FaultSpec {
  readonly class: FaultClass;
  /** What happened, in one clause, for people. */
  readonly words: string;
  /** Its repairs act from the first day; those of the others have to earn it (earned.ts). */
  readonly safe: boolean;
  /** The repairs it may have. Of a safe class all that are not refused, in this order; else one, gentlest first. */
  readonly repairs: readonly Action[];
  /** Where the monitor's symptoms alone tell it: what begins it, with what confidence, and what ends it. */
  readonly begins?: readonly [symptom: Symptom['what'], confidence: number, source: string];
  readonly ends?: Symptom['what'];
  /** Nobody else repairs it: what failed is tried again, ever more slowly. */
  readonly lasting?: boolean;
  /** One that lasted this long was no false alarm: a repair would have been right. */
  readonly rightAfterNs: Nanos;
}

/** Watches for one fault or a family of them. Pure: state of its own, told events and the time. */
export interface Detector {
  readonly wants: readonly Event['type'][];
  on(event: Event, now: Nanos): readonly Finding[];
  /** What it wants looked at beyond the usual, now: asked after every event. Named once, it is forgotten. */
  wish?(): { readonly of: Survey; readonly interfaces: readonly IfIndex[] } | null;
}

/** What a condition is about. */
export interface About {
  readonly interface: string;
  readonly index: IfIndex;
  readonly peer: Mac | null;
  /** Which of several things of that. */
  readonly part?: string;
}

export const NOTHING: About = { interface: '', index: 0, peer: null };

/** What was seen of a condition that holds now. */
export interface Seen {
  readonly confidence: number;
  readonly source: string;
  readonly what: string;
  readonly affected?: readonly Mac[];
  readonly remedy?: Remedy;
}

/** What a hostile or broken neighbour can make a detector remember is bounded. */
const MOST = 256;

interface Held {
  about: About;
  since: Nanos;
  /** When it was last seen, and how often in a row. */
  last: Nanos;
  count: number;
  said: boolean;
  confidence: number;
}

/** A condition that has to hold for a while before it is a fault, and to be gone for a while before that is over. */
export class Steady {
  readonly #class: FaultClass;
  readonly #after: Nanos;
  readonly #readings: number;
  readonly #clear: Nanos;
  readonly #held = new Map<string, Held>();

  /** `after` and `readings`: how long, and in how many readings, it has to be seen without a gap; `clear`: the gap. */
  constructor(fault: FaultClass, after: Nanos, readings: number, clear: Nanos) {
    this.#class = fault;
    this.#after = after;
    this.#readings = readings;
    this.#clear = clear;
  }

  isOpen(about: About): boolean {
    return this.#held.get(keyOf(about))?.said === true;
  }

  /** One reading: `seen` where the condition holds, else why it does not, in words. */
  read(about: About, seen: Seen | string, now: Nanos): Finding[] {
    const key = keyOf(about);
    const held = this.#held.get(key);
    if (typeof seen === 'string') {
      if (held === undefined) return [];
      if (held.said && now - held.last < this.#clear) return [];
      this.#held.delete(key);
      return held.said ? [this.#over(held, seen)] : [];
    }
    if (held === undefined) {
      if (this.#held.size >= MOST) return [];
      const begun = { about, since: now, last: now, count: 1, said: false, confidence: 0 };
      this.#held.set(key, begun);
      return this.#judge(begun, seen, now);
    }
    held.last = now;
    held.count += 1;
    return this.#judge(held, seen, now);
  }

  /** All that was not read since `before` is over: what it was about is no more. */
  sweep(before: Nanos, why: string): Finding[] {
    const findings: Finding[] = [];
    for (const [key, held] of this.#held) {
      if (held.last >= before) continue;
      this.#held.delete(key);
      if (held.said) findings.push({ ...this.#over(held, why), moot: true });
    }
    return findings;
  }

  /** It is over at once, and `right` says whether a repair would have been right. */
  end(about: About, why: string, right?: boolean): Finding[] {
    const held = this.#held.get(keyOf(about));
    if (held === undefined) return [];
    this.#held.delete(keyOf(about));
    return held.said ? [this.#over(held, why, right)] : [];
  }

  /** It is over at once: what it was about is gone, or cannot be seen any more. */
  lose(about: About, why: string): Finding[] {
    return this.end(about, why).map((finding) => ({ ...finding, moot: true }));
  }

  #judge(held: Held, seen: Seen, now: Nanos): Finding[] {
    const surer = held.said && seen.confidence >= held.confidence + 0.1;
    if ((held.said && !surer) || now - held.since < this.#after || held.count < this.#readings) return [];
    held.said = true;
    held.confidence = seen.confidence;
    return [{ class: this.#class, ...held.about, over: false, ...seen }];
  }

  #over({ about, confidence }: Held, what: string, right?: boolean): Finding {
    const about0 = { class: this.#class, ...about, over: true, confidence, source: '', what };
    return right === undefined ? about0 : { ...about0, right };
  }
}

function keyOf({ interface: name, peer, part }: About): string {
  return `${name} ${peer ?? ''} ${part ?? ''}`;
}

/** A figure's usual value: an average that follows over `overNs`, however often it is read. */
export class Usual {
  value: number | null = null;
  /** For how long it has been followed. */
  knownNs: Nanos = 0;
  readonly #over: Nanos;
  #at: Nanos = 0;

  constructor(over: Nanos) {
    this.#over = over;
  }

  learn(figure: number, now: Nanos): void {
    if (this.value === null) {
      this.value = figure;
    } else {
      const dt = Math.min(now - this.#at, this.#over);
      this.knownNs += dt;
      // Young, it is a plain mean.
      this.value += (figure - this.value) * (dt / (Math.min(this.knownNs, this.#over) + dt || 1));
    }
    this.#at = now;
  }

  /** Time passed in which nothing was to be learned. */
  skip(now: Nanos): void {
    this.#at = now;
  }
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
