/**
 * Which routers to have a session with, when to try, and which of two sessions with the same router stays.
 *
 * Sessions are kept with whom the configuration names and with direct neighbours; with others when something is asked of
 * them, and in a small mesh with all. Between two routers that found each other the one whose name sorts first dials,
 * and the other only if nothing has come of that. A failed attempt is repeated ever later, at a moment drawn by chance, so
 * that a mesh that has come back does not dial in step.
 */
import type { Mac } from '../core/ids.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Announcement } from './announce.ts';
import type { Role } from './proof.ts';

const MOST_TARGETS = 512;
/** Addresses where somebody has proven to be one of ours. */
const MOST_PROVEN = 256;
export const MOST_SESSIONS = 128;
/** With so few routers around everybody keeps a session with everybody. */
const FEW = 8;
const FIRST_RETRY: Nanos = 1 * SECOND;
const LAST_RETRY: Nanos = 60 * SECOND;
/** What is only of use where the mesh itself does not carry is left so long. */
const LAST_WAY: Nanos = 6 * SECOND;
/** The one who sorts second leaves the first so long. */
const LEAVES_IT: Nanos = 3 * SECOND;
/** What has not been announced for so long is no longer there. */
const STALE: Nanos = 300 * SECOND;
/** A session that was only asked for is kept so long after. */
const KEPT: Nanos = 300 * SECOND;
/** Two sessions begun within this time are a coincidence; beyond it the older one is a leftover. */
const COINCIDENCE: Nanos = 10 * SECOND;

/** Where a session can be had. */
export interface Target {
  /** `address port`. An IPv6 link-local address carries its interface: fe80::1%bat0. */
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** Who should be there; null where only the address is known. */
  readonly id: string | null;
}

interface Known extends Target {
  readonly configured: boolean;
  /** On a hard interface: it ends with the link, where one over the mesh finds another way. */
  readonly isLast: boolean;
  originator: Mac | '';
  seen: Nanos;
  nextTry: Nanos;
  failures: number;
  dialling: boolean;
  /** A connection to it ended at ourselves. */
  self: boolean;
}

export interface Held {
  /** Names the link in its world. */
  readonly link: number;
  readonly id: string;
  /** This router's part in it. */
  readonly role: Role;
  readonly target: string | null;
  readonly since: Nanos;
  /** The same at both ends, and no other session's. */
  readonly tag: string;
}

/** `leave`: links that a newer or better one makes superfluous. */
export interface Verdict {
  readonly keep: boolean;
  readonly leave: readonly number[];
}

export class Roster {
  readonly #self: () => string;
  readonly #random: () => number;
  readonly #targets = new Map<string, Known>();
  readonly #held = new Map<number, Held>();
  /** The newest last. */
  readonly #proven = new Set<string>();
  /** Until when a session with this router is wanted, because somebody asked for it. */
  readonly #wanted = new Map<string, Nanos>();
  #neighbours: ReadonlySet<Mac> = new Set();

  /** `self`: this router's own name at the moment. `random`: 0 to below 1. */
  constructor(self: () => string, random: () => number) {
    this.#self = self;
    this.#random = random;
  }

  held(): readonly Held[] {
    return [...this.#held.values()];
  }

  sessionWith(id: string): Held | null {
    for (const held of this.#held.values()) if (held.id === id) return held;
    return null;
  }

  /**
   * Where routers of ours are known to be, for who lets connections in. An announcement without a name is anybody's.
   */
  isKnown(address: string): boolean {
    if (this.#proven.has(address)) return true;
    for (const { address: at, configured, id } of this.#targets.values())
      if (at === address && (configured || id !== null)) return true;
    return false;
  }

  /** Somebody at this address has proven to be one of ours. */
  provenAt(address: string): void {
    this.#proven.delete(address);
    this.#proven.add(address);
    if (this.#proven.size > MOST_PROVEN) this.#proven.delete(this.#proven.values().next().value!);
  }

  /** All of them; those that the configuration names first, and those beside the mesh last. */
  places(): readonly Target[] {
    const rank = ({ configured, isLast }: Known) => (configured ? 0 : isLast ? 2 : 1);
    return [...this.#targets.values()].sort((a, b) => rank(a) - rank(b));
  }

  /** The addresses that the configuration names; those that it no longer names go. */
  configure(addresses: readonly { readonly address: string; readonly port: number }[], now: Nanos): void {
    const keys = new Set(addresses.map(keyOf));
    for (const [key, { configured }] of this.#targets) if (configured && !keys.has(key)) this.#targets.delete(key);
    for (const one of addresses) {
      if (this.#targets.get(keyOf(one))?.configured) continue;
      this.#targets.set(keyOf(one), { ...this.#fresh(one, now), configured: true, nextTry: now });
    }
  }

  /**
   * A router says where it is; its name is '' where announcements can be read by anybody. Answers whether that was not
   * known.
   */
  announced({ id, port, originator }: Announcement, address: string, now: Nanos, isLast = false): boolean {
    if (id !== '' && id === this.#self()) return false;
    const at = { address, port };
    const known = this.#targets.get(keyOf(at));
    if (known !== undefined && (known.configured || known.id === (id || null))) {
      known.seen = now;
      known.originator = originator;
      return false;
    }
    if (this.#targets.size >= MOST_TARGETS && !this.#forgetOne()) return false;
    const first = this.#self() < id;
    const wait = isLast ? LAST_WAY : 0;
    const nextTry = now + wait + (first ? 0.5 * SECOND * this.#random() : LEAVES_IT + SECOND * this.#random());
    this.#targets.set(keyOf(at), { ...this.#fresh(at, now), id: id || null, originator, nextTry, isLast });
    return known === undefined;
  }

  /** The originators of the direct neighbours. */
  neighbours(originators: ReadonlySet<Mac>): void {
    this.#neighbours = originators;
  }

  /** Somebody wants to ask this router something. False where nobody knows where it is. */
  want(id: string, now: Nanos): boolean {
    this.#wanted.set(id, now + KEPT);
    if (this.sessionWith(id) !== null) return true;
    const targets = [...this.#targets.values()].filter((one) => one.id === id);
    for (const target of targets) target.nextTry = Math.min(target.nextTry, now);
    return targets.length > 0;
  }

  /** Those to dial now. Each is to end in `failed` or `opened`. */
  tick(now: Nanos): Target[] {
    const due: Target[] = [];
    for (const [key, target] of this.#targets) {
      if (!target.configured && now >= target.seen + STALE && !target.dialling) {
        this.#targets.delete(key);
        continue;
      }
      if (now < this.#due(target, now)) continue;
      target.dialling = true;
      due.push(target);
    }
    for (const [id, until] of this.#wanted) if (now >= until) this.#wanted.delete(id);
    return due;
  }

  /** Sessions that nobody has a use for any more. */
  idle(now: Nanos): number[] {
    return this.held()
      .filter(({ id, role, since }) => role === 'initiator' && now >= since + KEPT && !this.#isWantedId(id, now))
      .map(({ link }) => link);
  }

  deadline(now: Nanos): Nanos {
    let at = NEVER;
    for (const target of this.#targets.values()) {
      at = Math.min(at, this.#due(target, now));
      if (!target.configured) at = Math.min(at, target.seen + STALE);
    }
    return at;
  }

  /** This router shows another certificate: where nobody believed the one before, it is tried again now. */
  anew(now: Nanos): void {
    for (const target of this.#targets.values()) {
      if (target.failures === 0) continue;
      target.failures = 0;
      target.nextTry = Math.min(target.nextTry, now + SECOND * this.#random());
    }
  }

  /** An attempt came to nothing. */
  failed(key: string, now: Nanos): void {
    const target = this.#targets.get(key);
    if (target === undefined) return;
    target.dialling = false;
    const pause = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** Math.min(target.failures, 10));
    target.failures += 1;
    target.nextTry = now + pause * (0.5 + this.#random());
  }

  /** A session stands. Both ends come to the same verdict. */
  opened(link: Held, now: Nanos): Verdict {
    const target = link.target === null ? undefined : this.#targets.get(link.target);
    if (target !== undefined) Object.assign(target, { dialling: false, failures: 0 });
    if (link.id === this.#self()) {
      if (target !== undefined) target.self = true;
      return { keep: false, leave: [] };
    }
    const others = this.held().filter(({ id }) => id === link.id);
    const keep =
      others.length > 0 || this.#held.size < MOST_SESSIONS
        ? others.every((other) => this.#prefers(link, other, now))
        : false;
    if (!keep) return { keep, leave: [] };
    this.#held.set(link.link, link);
    for (const other of others) this.#held.delete(other.link);
    return { keep, leave: others.map((other) => other.link) };
  }

  /** A session has ended; `redial` soon, where one is wanted. */
  closed(link: number, now: Nanos): void {
    const held = this.#held.get(link);
    if (held === undefined) return;
    this.#held.delete(link);
    for (const target of this.#targets.values()) {
      if (target.key !== held.target && target.id !== held.id) continue;
      const pause = this.#self() < held.id ? FIRST_RETRY : LEAVES_IT;
      target.nextTry = now + pause * (0.5 + this.#random());
    }
  }

  #prefers(fresh: Held, old: Held, now: Nanos): boolean {
    if (now - old.since >= COINCIDENCE) return true;
    // The two ends may see them begin in another order.
    if (fresh.role === old.role) return fresh.tag < old.tag;
    const initiator = fresh.role === 'initiator' ? this.#self() : fresh.id;
    const other = fresh.role === 'initiator' ? fresh.id : this.#self();
    return initiator < other;
  }

  #due(target: Known, now: Nanos): Nanos {
    if (target.dialling || target.self) return NEVER;
    for (const { target: key, id } of this.#held.values()) if (key === target.key || id === target.id) return NEVER;
    return this.#isWanted(target, now) ? target.nextTry : NEVER;
  }

  #isWanted(target: Known, now: Nanos): boolean {
    if (target.configured || this.#targets.size <= FEW) return true;
    return this.#neighbours.has(target.originator) || (target.id !== null && this.#isAsked(target.id, now));
  }

  #isWantedId(id: string, now: Nanos): boolean {
    const targets = [...this.#targets.values()].filter((one) => one.id === id);
    return this.#isAsked(id, now) || targets.some((one) => this.#isWanted(one, now)) || this.#isOfConfigured(id);
  }

  #isOfConfigured(id: string): boolean {
    const { target = null } = this.sessionWith(id) ?? {};
    return target !== null && this.#targets.get(target)?.configured === true;
  }

  #isAsked(id: string, now: Nanos): boolean {
    return now < (this.#wanted.get(id) ?? 0);
  }

  #fresh({ address, port }: { address: string; port: number }, now: Nanos): Known {
    return {
      key: keyOf({ address, port }),
      address,
      port,
      id: null,
      configured: false,
      isLast: false,
      originator: '',
      seen: now,
      nextTry: now,
      failures: 0,
      dialling: false,
      self: false,
    };
  }

  /** Makes room for another target: the one that was announced longest ago goes. */
  #forgetOne(): boolean {
    const held = new Set(this.held().map(({ target }) => target));
    let oldest: Known | null = null;
    for (const one of this.#targets.values())
      if (!one.configured && !one.dialling && !held.has(one.key) && one.seen < (oldest?.seen ?? NEVER)) oldest = one;
    return oldest !== null && this.#targets.delete(oldest.key);
  }
}

export function keyOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address} ${port}`;
}
