/**
 * How many connections may be half-open: begun, and nobody has proven anything. They are what a stranger can have for
 * nothing, so they are few, short-lived, and a flood of them displaces itself first: the oldest of the address that has
 * most of them makes room. Addresses at which a router of ours is known to be have a share that strangers cannot take.
 */
import { type Nanos, NEVER, SECOND } from '../core/time.ts';

const MOST_STRANGERS = 48;
const MOST_KNOWN = 32;
const MOST_OF_ADDRESS = 12;
/** TLS handshakes a second that are paid for strangers and for the known, and how many at once. */
const PER_SECOND = 25;
const AT_ONCE = 50;
/** From the first packet of a connection to its proof. */
export const HALF_OPEN_FOR: Nanos = 8 * SECOND;

interface HalfOpen {
  readonly key: number;
  readonly address: string;
  readonly known: boolean;
  readonly since: Nanos;
}

export interface Admission {
  /** Names the connection here; null where it is turned away. */
  readonly key: number | null;
  /** Those that have to go for it. */
  readonly evicted: readonly number[];
}

interface Bucket {
  left: number;
  at: Nanos;
}

export class Gate {
  readonly #open = new Map<number, HalfOpen>();
  readonly #buckets: Readonly<Record<'known' | 'stranger', Bucket>>;
  #next = 1;
  refused = 0;

  constructor(now: Nanos) {
    this.#buckets = { known: { left: AT_ONCE, at: now }, stranger: { left: AT_ONCE, at: now } };
  }

  get size(): number {
    return this.#open.size;
  }

  /** Somebody connects. */
  knock(address: string, known: boolean, now: Nanos): Admission {
    if (!this.#pay(this.#buckets[known ? 'known' : 'stranger'], now)) {
      this.refused += 1;
      return { key: null, evicted: [] };
    }
    const evicted: number[] = [];
    const alike = [...this.#open.values()].filter((one) => one.known === known);
    const ofAddress = alike.filter((one) => one.address === address);
    if (ofAddress.length >= MOST_OF_ADDRESS) evicted.push(ofAddress[0]!.key);
    else if (alike.length >= (known ? MOST_KNOWN : MOST_STRANGERS)) evicted.push(crowd(alike)[0]!.key);
    for (const key of evicted) this.#open.delete(key);
    this.refused += evicted.length;
    const key = this.#next++;
    this.#open.set(key, { key, address, known, since: now });
    return { key, evicted };
  }

  /** It has proven who it is, or is gone. */
  leave(key: number): void {
    this.#open.delete(key);
  }

  deadline(): Nanos {
    const oldest = this.#open.values().next().value;
    return oldest === undefined ? NEVER : oldest.since + HALF_OPEN_FOR;
  }

  /** Those whose time is up. */
  tick(now: Nanos): number[] {
    const late = [...this.#open.values()].filter(({ since }) => now >= since + HALF_OPEN_FOR).map(({ key }) => key);
    for (const key of late) this.#open.delete(key);
    return late;
  }

  #pay(bucket: Bucket, now: Nanos): boolean {
    bucket.left = Math.min(AT_ONCE, bucket.left + ((now - bucket.at) / SECOND) * PER_SECOND);
    bucket.at = now;
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }
}

/** Sessions of routers without an identity, and how long each has for itself when others want one. */
export const MOST_VISITORS = 4;
const VISIT: Nanos = 5 * SECOND;

interface Visitor<T> {
  readonly who: T;
  readonly address: string;
  readonly since: Nanos;
}

/**
 * Who asks to be let in has proven nothing either: whoever holds all of these places would keep everybody else out. So who
 * comes takes the place of the oldest one of the address that has several, or of the oldest that has had its time.
 */
export class Visitors<T> {
  #all: readonly Visitor<T>[] = [];

  /** `turnedOut`: who goes for it. Where `comes` is false there is no place. */
  arrive(who: T, address: string, now: Nanos): { readonly comes: boolean; readonly turnedOut: T | null } {
    let last: Visitor<T> | undefined;
    if (this.#all.length >= MOST_VISITORS) {
      const most = crowd(this.#all);
      const [oldest] = this.#all;
      last = most.length > 1 ? most[0] : now >= oldest!.since + VISIT ? oldest : undefined;
      if (last === undefined) return { comes: false, turnedOut: null };
    }
    this.#all = [...this.#all.filter((one) => one !== last), { who, address, since: now }];
    return { comes: true, turnedOut: last?.who ?? null };
  }

  leave(who: T): void {
    this.#all = this.#all.filter((one) => one.who !== who);
  }
}

/** Those of the address that has most of them, oldest first. */
function crowd<T extends { readonly address: string }>(open: readonly T[]): readonly T[] {
  const by = new Map<string, T[]>();
  for (const one of open) by.set(one.address, [...(by.get(one.address) ?? []), one]);
  return [...by.values()].reduce((most, some) => (some.length > most.length ? some : most));
}
