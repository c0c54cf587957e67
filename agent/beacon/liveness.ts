/**
 * When silence is suspicious. Every router with beacons says when its next one comes; any frame of it is a sign of life. A
 * neighbour that is silent for too long is asked at once, frame by frame to its own address (Wi-Fi acknowledges and repeats
 * those), and declared silent only when none of the questions was answered for a while.
 *
 * Others know more: evidence() is where a deadline that expired in the kernel, a station that a radio lost, frames that
 * nobody acknowledged come in. They make a neighbour suspected at once, never dead.
 */
import type { NeighbourEvidence } from '../core/event.ts';
import { MS, type Nanos, NEVER } from '../core/time.ts';

export interface LivenessOptions {
  /** Silence that is suspicious, where no beacon was announced for later. */
  readonly suspectNs: Nanos;
  /** After an announced beacon did not come. */
  readonly overdueNs: Nanos;
  /** Questions without an answer for so long make a neighbour silent. */
  readonly askNs: Nanos;
  /** Between two questions. */
  readonly paceNs: Nanos;
}

/** Of the questions that there is time for, so many have to be asked: who was held up while asking knows less. */
const SHARE = 0.5;
/** Signs that a silent neighbour must give before it counts as heard again: one lucky frame is none. */
const RETURN = 3;
/** A tick that comes so late was held up, and frames with it: they are read before anything is said of them. */
const HELD_UP: Nanos = 5 * MS;
const GRACE: Nanos = 10 * MS;
/** Clocks are read at different moments. */
const EARLY: Nanos = MS;
const WORDS: Readonly<Record<Exclude<NeighbourEvidence, 'heard'>, string>> = {
  deadline: 'the kernel saw no frame of it until its deadline',
  'station-gone': 'our radio has dropped it',
  'packets-lost': 'frames to it are not acknowledged',
};
/** The kernel answers at once, and its answer is read when the turn is over. */
const LOOK: Nanos = 2 * MS;
/** The tables are read so long before a silence is declared: what the kernel heard, nobody else may have told. */
const READING: Nanos = 40 * MS;
/** Who answers one of so many questions was only quiet: a neighbour listens in a superframe of its own now and then. */
const ODD = 3;
/** Neighbours that are asked in one tick. */
const MOST_ASKED = 32;

interface Watched {
  sign: Nanos;
  /** When its next beacon was announced for; 0 for none. */
  due: Nanos;
  state: 'alive' | 'suspected' | 'silent';
  since: Nanos;
  nextProbe: Nanos;
  probes: number;
  signs: number;
  grace: Nanos;
  why: string;
  /** The kernel sees each of its frames, and has been asked since the last sign when it saw one. */
  seen: boolean;
  looked: boolean;
  /** The tables were asked for since it is suspected. */
  read: boolean;
}

/** What a tick found: neighbours by their keys. */
export interface Found {
  readonly ask: string[];
  /** Suspicious, but the kernel may have seen frames that nobody told us of. */
  readonly look: string[];
  /** Some that are asked have not answered for a while. */
  isOdd: boolean;
  /** Some are about to be declared silent, and only batman-adv's tables can tell of other frames of them. */
  isBlind: boolean;
  /** Declared silent, with the figures that it rests on. */
  readonly silent: { readonly key: string; readonly detail: string }[];
}

export class Liveness {
  readonly #options: LivenessOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #fewest: number;
  /** Neighbours that were suspected, and that turned out to be alive. */
  suspicions = 0;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#fewest = Math.ceil((SHARE * options.askNs) / options.paceNs);
  }

  state(key: string): 'alive' | 'suspected' | 'silent' | null {
    return this.#watched.get(key)?.state ?? null;
  }

  /** A beacon arrived, and the next is announced for `due`. True where a silent neighbour is heard again. */
  beacon(key: string, at: Nanos, due: Nanos): boolean {
    let record = this.#watched.get(key);
    if (record === undefined) {
      record = {
        sign: at,
        due,
        state: 'alive',
        since: at,
        nextProbe: NEVER,
        probes: 0,
        signs: 0,
        grace: 0,
        why: '',
        seen: false,
        looked: false,
        read: false,
      };
      this.#watched.set(key, record);
      return false;
    }
    record.due = due;
    return this.sign(key, at);
  }

  /** Any frame of a neighbour that sends beacons; others are not watched here. True as of beacon(). */
  sign(key: string, at: Nanos): boolean {
    const record = this.#watched.get(key);
    if (record === undefined || at <= record.sign) return false;
    record.sign = at;
    record.grace = 0;
    record.looked = false;
    if (record.state === 'alive') return false;
    record.signs += 1;
    const wasSilent = record.state === 'silent';
    if (wasSilent && record.signs < RETURN) return false;
    if (!wasSilent) this.suspicions += 1;
    record.state = 'alive';
    record.nextProbe = NEVER;
    return wasSilent;
  }

  /** What the kernel, a driver or another part of the agent knows of a neighbour. True as of beacon(). */
  evidence(key: string, what: NeighbourEvidence, at: Nanos, now: Nanos): boolean {
    const record = this.#watched.get(key);
    if (record === undefined) return false;
    if (what === 'heard') {
      record.seen = true;
      return this.sign(key, at);
    }
    // A deadline that saw less than we did (a packet socket's) or was set for another schedule says nothing.
    const isEarly = what === 'deadline' && now < this.#suspicious(record) - EARLY;
    if (record.state === 'alive' && !isEarly) this.#suspect(record, WORDS[what], now);
    return false;
  }

  /** The silence that is suspicious of a neighbour whose beacons are so far apart: the kernel's deadline for it. */
  patience(gap: Nanos): Nanos {
    return Math.max(this.#options.suspectNs, gap + this.#options.overdueNs);
  }

  forget(key: string): void {
    this.#watched.delete(key);
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const record of this.#watched.values()) {
      if (record.state === 'alive') earliest = Math.min(earliest, Math.max(this.#suspicious(record), record.grace));
      else if (record.state === 'suspected') earliest = Math.min(earliest, record.nextProbe, this.#decidable(record));
    }
    return earliest;
  }

  tick(now: Nanos): Found {
    const found: Found = { ask: [], look: [], isOdd: false, isBlind: false, silent: [] };
    for (const [key, record] of this.#watched) {
      if (record.state === 'alive') {
        const at = this.#suspicious(record);
        if (now < Math.max(at, record.grace) || this.#isHeldUp(record, at, now)) continue;
        if (record.seen && !record.looked) {
          record.looked = true;
          record.grace = now + LOOK;
          found.look.push(key);
          continue;
        }
        this.#suspect(record, `nothing heard for ${Math.round((now - record.sign) / MS)} ms`, now);
      }
      if (record.state !== 'suspected') continue;
      const end = this.#decidable(record);
      if (!record.seen && !record.read && now >= record.since + this.#options.askNs - READING) {
        record.read = true;
        found.isBlind = true;
      }
      if (now >= end && !this.#isHeldUp(record, end, now)) {
        record.state = 'silent';
        record.signs = 0;
        record.nextProbe = NEVER;
        const ms = Math.round((now - record.sign) / MS);
        found.silent.push({
          key,
          detail: `${record.why}; ${record.probes} questions without an answer, ${ms} ms in all`,
        });
      } else if (now >= record.nextProbe && found.ask.length < MOST_ASKED) {
        record.probes += 1;
        record.nextProbe = now + this.#options.paceNs;
        if (record.probes > ODD) found.isOdd = true;
        found.ask.push(key);
      }
    }
    return found;
  }

  #suspicious({ sign, due }: Watched): Nanos {
    const { suspectNs, overdueNs } = this.#options;
    return Math.max(sign + suspectNs, due > 0 ? due + overdueNs : 0);
  }

  /** When its silence can be declared, the last question's answer waited for; NEVER while too little was asked. */
  #decidable({ since, probes, nextProbe, grace }: Watched): Nanos {
    return probes < this.#fewest ? NEVER : Math.max(since + this.#options.askNs, nextProbe, grace);
  }

  #suspect(record: Watched, why: string, now: Nanos): void {
    Object.assign(record, {
      state: 'suspected',
      since: now,
      nextProbe: now,
      probes: 0,
      signs: 0,
      grace: 0,
      read: false,
      why,
    });
  }

  #isHeldUp(record: Watched, wanted: Nanos, now: Nanos): boolean {
    if (record.grace > 0 || now - wanted < HELD_UP) return false;
    record.grace = now + GRACE;
    return true;
  }
}
