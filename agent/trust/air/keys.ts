/**
 * The keys of the air: what alarms, echoes and beacons are sealed with once routers have identities. Members hand them on over
 * their sessions, so that who is no member has none; pure, like the membership machine that drives it.
 *
 * A key names those who were revoked when it was made. It is **clean** for a router that knows of no other revocation: then
 * nobody who was cast out has ever had it, because nobody hands it to who is named in it. Of two keys the clean one is better,
 * then the one of the higher epoch, then that of the lower id. Nothing else decides, so routers that have seen the same keys
 * and revocations send under the same key, in whatever order they saw them; two halves of a mesh that meet again
 * exchange what they have, and agree.
 *
 * Any member can make the next key. Who does follows from its fingerprint: each waits for a while of its own, stewards for a
 * shorter one, and does nothing if a better key has come meanwhile. Two that make one at once make no harm: one is better.
 *
 *     age      a new key is accepted at once, sent under after SETTLES, when all have it; the old one is accepted for KEPT more
 *     revoked  a new key within two seconds, sent under STOPS after the revocation; the old ones are dropped at DROPS
 */
import { createHash } from 'node:crypto';
import { MS, type Nanos, NEVER, SECOND } from '../../core/time.ts';

/** Accepted by all who have a session by then. */
const SETTLES: Nanos = 60 * SECOND;
const KEPT: Nanos = 1800 * SECOND;
const STOPS: Nanos = 2500 * MS;
const DROPS: Nanos = 5 * SECOND;
/** Keys at once, and keys that are not taken again once they have been dropped. */
export const MOST_AIR_KEYS = 8;
const MOST_DROPPED = 64;
/** 2^40 keys are enough for everybody; who counts up to it alone gains nothing. */
export const LAST_EPOCH = 2 ** 40;
/** How long who has none at all waits for somebody who has: a steward, which may be the first router, and others. */
const FIRST_STEWARD: Nanos = 2 * SECOND;
const FIRST: Nanos = 15 * SECOND;
/** After a revocation. */
const SOON_STEWARD: Nanos = 200 * MS;
const SOON: Nanos = 500 * MS;
const SOON_SPREAD: Nanos = 1500 * MS;
const LONGEST_WINDOW: Nanos = 60 * SECOND;
/** Of a fingerprint, as a key names who was revoked: 64 bits, which nobody meets by chance or for a gain. */
const NAME = 16;

/** A key of the air as it is kept, in a file that nobody else can read. */
export interface KeptAirKey {
  readonly epoch: number;
  readonly secret: Uint8Array;
  readonly ageMs: number;
  readonly against: readonly string[];
}

/** What frames on the air are sealed with: all keys that are accepted, the best first, and the one to send under. */
export interface AirState {
  readonly keys: readonly { readonly id: string; readonly epoch: number; readonly secret: Uint8Array }[];
  readonly sending: string | null;
  /** Whether the mesh key counts beside them. */
  readonly isMixed: boolean;
}

export interface AirKey {
  /** 16 hexadecimal digits; says nothing of the secret. */
  readonly id: string;
  readonly epoch: number;
  readonly secret: Uint8Array;
  /** Beginnings of the fingerprints of those who were revoked when it was made, sorted. */
  readonly against: readonly string[];
  /** When it was made, as far as is known here. */
  readonly born: Nanos;
  readonly held: Nanos;
}

export interface AirOptions {
  /** Fingerprint of this router's key. */
  readonly self: string;
  /** How long a key is sent under. */
  rotate(): Nanos;
  isSteward(): boolean;
  random(length: number): Uint8Array;
}

interface Held extends AirKey {
  /** A better one has been sent under since then; null while it is the best. */
  passed: Nanos | null;
  /** Since when it is known not to be clean. */
  soiled: Nanos | null;
}

export class AirKeys {
  readonly #options: AirOptions;
  #held: Held[] = [];
  #sending: Held | null = null;
  readonly #dropped = new Set<string>();
  /** Names of those who are revoked now, sorted. */
  #revoked: readonly string[] = [];
  /** Since when this router is a member without any key. */
  #lacking: Nanos | null = null;
  #isMember = false;

  constructor(options: AirOptions) {
    this.#options = options;
  }

  /** Those that are accepted, the best first. */
  keys(): readonly AirKey[] {
    return this.#held;
  }

  /** The one to send under. */
  get sending(): AirKey | null {
    return this.#sending;
  }

  /** What was kept across a restart; their age goes on. */
  restore(kept: readonly KeptAirKey[], now: Nanos): void {
    for (const { epoch, secret, ageMs, against } of kept) this.take(epoch, secret, ageMs, against, now);
  }

  /** Whether this router is a member, and who is revoked. A router that is none has no keys. */
  settle(isMember: boolean, revoked: readonly string[], now: Nanos): void {
    this.#isMember = isMember;
    this.#revoked = [...new Set(revoked.map((key) => key.slice(0, NAME)))].sort();
    if (!isMember) {
      for (const one of this.#held) one.secret.fill(0);
      this.#held = [];
      this.#sending = this.#lacking = null;
      return;
    }
    this.#choose(now);
  }

  /** Takes a key that a member has handed on. True where it is to be handed on to others. */
  take(epoch: number, secret: Uint8Array, ageMs: number, against: readonly string[], now: Nanos): boolean {
    const id = idOf(secret);
    if (secret.length !== 32 || !Number.isSafeInteger(epoch) || epoch < 1 || epoch > LAST_EPOCH) return false;
    if (this.#dropped.has(id) || this.#held.some((one) => one.id === id)) return false;
    // Its age makes it due sooner, never later.
    const born = now - Math.max(0, Math.min(ageMs * MS, this.#options.rotate()));
    const one: Held = {
      id,
      epoch,
      secret: Uint8Array.from(secret),
      against: [...new Set(against)].sort(),
      born,
      held: now,
      passed: null,
      soiled: null,
    };
    if (this.#isMember && !this.#isClean(one)) return false;
    this.#held.push(one);
    this.#choose(now);
    return this.#held.includes(one);
  }

  /** To whom a key may be handed. */
  isFor(key: AirKey, fingerprint: string): boolean {
    const name = fingerprint.slice(0, NAME);
    return !key.against.includes(name) && !this.#revoked.includes(name);
  }

  deadline(): Nanos {
    if (!this.#isMember) return NEVER;
    let at = Math.min(this.#dueAt(), this.#switchAt());
    for (const one of this.#held) at = Math.min(at, this.#endOf(one));
    return at;
  }

  /** Answers a key that was made here. */
  tick(now: Nanos): AirKey | null {
    if (!this.#isMember) return null;
    let made: Held | null = null;
    if (now >= this.#dueAt()) {
      // A clean key is better than any other, whatever their epochs: who is cast out with a count near its end does not leave that
      // behind, for there no key would ever be changed for its age again.
      const counted = this.#held.filter((one) => this.#isClean(one) || one.epoch < LAST_EPOCH / 2);
      const epoch = Math.min(LAST_EPOCH, Math.max(0, ...counted.map((one) => one.epoch)) + 1);
      const secret = this.#options.random(32);
      made = {
        id: idOf(secret),
        epoch,
        secret,
        against: this.#revoked,
        born: now,
        held: now,
        passed: null,
        soiled: null,
      };
      this.#held.push(made);
    }
    this.#choose(now);
    return made;
  }

  /** Nothing that is due is left undone. */
  #choose(now: Nanos): void {
    this.#held.sort((a, b) => this.#compare(a, b));
    const best = this.#best();
    for (const one of this.#held) one.soiled = this.#isClean(one) ? null : (one.soiled ?? now);
    if (best !== null && now >= this.#switchAt()) this.#sending = best;
    for (const one of this.#held)
      if (this.#sending !== null && one !== this.#sending && this.#isWorse(one, this.#sending)) one.passed ??= now;
      else one.passed = null;
    for (const one of this.#held.filter((old) => now >= this.#endOf(old))) this.#drop(one);
    // The worst goes first, and never what is sent under or is to be.
    for (const one of [...this.#held].reverse()) {
      if (this.#held.length <= MOST_AIR_KEYS) break;
      if (one !== this.#sending && one !== best) this.#drop(one);
    }
    this.#lacking = this.#held.length > 0 ? null : (this.#lacking ?? now);
  }

  #drop(one: Held): void {
    this.#held = this.#held.filter((other) => other !== one);
    if (this.#sending === one) this.#sending = this.#best();
    one.secret.fill(0);
    this.#dropped.add(one.id);
    if (this.#dropped.size > MOST_DROPPED) this.#dropped.delete(this.#dropped.keys().next().value!);
  }

  #best(): Held | null {
    const first = this.#held[0];
    return first !== undefined && this.#isClean(first) ? first : null;
  }

  #isClean({ against }: AirKey): boolean {
    return this.#revoked.every((name) => against.includes(name));
  }

  #isWorse(a: Held, b: Held): boolean {
    return this.#compare(a, b) > 0;
  }

  #compare(a: Held, b: Held): number {
    const clean = Number(this.#isClean(b)) - Number(this.#isClean(a));
    if (clean !== 0) return clean;
    if (a.epoch !== b.epoch) return b.epoch - a.epoch;
    return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
  }

  /** When the best key is to be sent under, if it is not. */
  #switchAt(): Nanos {
    const best = this.#best();
    if (best === null || best === this.#sending) return NEVER;
    if (this.#sending === null) return best.held;
    if (this.#sending.soiled !== null) return Math.max(best.held, this.#sending.soiled + STOPS);
    return best.held + Math.min(SETTLES, this.#options.rotate() / 4);
  }

  #endOf(one: Held): Nanos {
    if (one.soiled !== null) return one.soiled + DROPS;
    return one.passed === null ? NEVER : one.passed + KEPT;
  }

  /** When this router makes a key, unless it hears of a better one before. */
  #dueAt(): Nanos {
    const { rotate, isSteward } = this.#options;
    const best = this.#best();
    if (best !== null) {
      if (best.epoch === LAST_EPOCH) return NEVER;
      const window = Math.min(LONGEST_WINDOW, rotate() / 10);
      const share = this.#share(best.id);
      return best.born + rotate() + (isSteward() ? share / 4 : 1 / 4 + (3 * share) / 4) * window;
    }
    if (this.#held.length > 0) {
      const share = this.#share('soon');
      const soiled = Math.max(...this.#held.map((one) => one.soiled ?? 0));
      return soiled + (isSteward() ? share * SOON_STEWARD : SOON + share * SOON_SPREAD);
    }
    if (this.#lacking === null) return NEVER;
    const wait = isSteward() ? FIRST_STEWARD : FIRST;
    return this.#lacking + wait * (1 + this.#share('first'));
  }

  /** 0 to 1, other for each router and key. */
  #share(about: string): number {
    return createHash('sha256').update(`${this.#options.self} ${about}`).digest().readUInt32BE(0) / 2 ** 32;
  }
}

export function idOf(secret: Uint8Array): string {
  return createHash('sha256').update('x0tta6bl4 air key v1').update(secret).digest('hex').slice(0, 16);
}
