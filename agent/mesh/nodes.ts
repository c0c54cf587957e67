/** The routers of the mesh and their life: joined, registered, left, dead. One entry an originator. */
import type { Mac } from '../core/ids.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';

/**
 * joined: heard of, not yet for long. registered: heard of steadily. left: out of the tables, or silent for some OGM
 * intervals. dead: unseen for `deadAfterNs`. What is heard again joins anew.
 */
export type NodeState = 'joined' | 'registered' | 'left' | 'dead';
export type Health = 'healthy' | 'degraded' | 'unreachable';

/** The best path to an originator, out of one reading of the tables. */
export interface Heard {
  readonly originator: Mac;
  readonly lastSeen: Nanos;
  readonly nextHop: Mac;
  readonly interface: string;
  /** BATMAN_IV, 0..255 */
  readonly tq: number | null;
  /** BATMAN_V, kbit/s */
  readonly throughput: number | null;
}

export interface NodeView extends Heard {
  readonly state: NodeState;
  readonly health: Health;
  readonly firstSeen: Nanos;
  /** Since when it is in this state. */
  readonly since: Nanos;
}

export interface NodeChange {
  readonly originator: Mac;
  readonly from: NodeState | null;
  readonly to: NodeState | null;
}

/** Seen this long without a gap makes a node registered. */
const REGISTER_AFTER: Nanos = 5 * SECOND;
/** Missed OGM intervals before a path counts as late, and before its node counts as gone. */
const LATE = 3.5;
const GONE = 10;
/** A path below these is a poor one: half of the transmissions are lost, or less than 1 Mbit/s is left. */
const POOR_TQ = 128;
const POOR_THROUGHPUT = 1000;
/** Forgotten after so many times `deadAfterNs`. */
const FORGET = 10;
/** A hostile or broken neighbour can invent originators; the memory of a router is small. */
const MOST_NODES = 4096;

type Entry = { -readonly [K in keyof NodeView]: NodeView[K] };

export class Nodes {
  deadAfterNs: Nanos = 60 * SECOND;
  intervalNs: Nanos = SECOND;
  readonly #entries = new Map<Mac, Entry>();
  /** Reckoned once a change: it is asked for after every event, those of a fault included. */
  #deadline: Nanos = NEVER;

  /** Takes in the best paths of one reading. What is missing in it has lost its routes. */
  read(paths: readonly Heard[], now: Nanos): NodeChange[] {
    const changes: NodeChange[] = [];
    const seen = new Set<Mac>();
    for (const path of paths) {
      if (now >= path.lastSeen + this.#leftAfter) continue;
      seen.add(path.originator);
      const known = this.#entries.get(path.originator);
      if (known === undefined) {
        if (this.#entries.size >= MOST_NODES) continue;
        this.#entries.set(path.originator, { ...path, state: 'joined', health: 'healthy', firstSeen: now, since: now });
        changes.push({ originator: path.originator, from: null, to: 'joined' });
      } else {
        const lastSeen = Math.max(known.lastSeen, path.lastSeen);
        Object.assign(known, path, { lastSeen });
        if (known.state === 'left' || known.state === 'dead') changes.push(this.#become(known, 'joined', now));
      }
    }
    for (const entry of this.#entries.values()) {
      if (seen.has(entry.originator) || entry.state === 'left' || entry.state === 'dead') continue;
      changes.push(this.#become(entry, 'left', now));
    }
    return [...changes, ...this.advance(now)];
  }

  /** What time alone brings about. */
  advance(now: Nanos): NodeChange[] {
    const changes: NodeChange[] = [];
    for (const entry of this.#entries.values()) {
      const { state, lastSeen } = entry;
      if (now >= lastSeen + FORGET * this.deadAfterNs) {
        this.#entries.delete(entry.originator);
        changes.push({ originator: entry.originator, from: state, to: null });
      } else if (now >= lastSeen + this.deadAfterNs) {
        if (state !== 'dead') changes.push(this.#become(entry, 'dead', now));
      } else if (now >= lastSeen + this.#leftAfter) {
        if (state !== 'left') changes.push(this.#become(entry, 'left', now));
      } else if (state === 'joined' && now >= entry.since + REGISTER_AFTER) {
        changes.push(this.#become(entry, 'registered', now));
      }
      entry.health = this.#healthOf(entry, now);
    }
    this.#deadline = this.#next();
    return changes;
  }

  /** When `advance` next has something to change, or NEVER. */
  deadline(): Nanos {
    return this.#deadline;
  }

  #next(): Nanos {
    let earliest = NEVER;
    for (const { state, lastSeen, since } of this.#entries.values()) {
      const left = lastSeen + this.#leftAfter;
      const next =
        state === 'dead'
          ? lastSeen + FORGET * this.deadAfterNs
          : state === 'left'
            ? lastSeen + this.deadAfterNs
            : state === 'joined'
              ? Math.min(left, since + REGISTER_AFTER)
              : left;
      earliest = Math.min(earliest, next);
    }
    return earliest;
  }

  get(originator: Mac): NodeView | undefined {
    return this.#entries.get(originator);
  }

  view(): readonly NodeView[] {
    return [...this.#entries.values()]
      .map((entry) => ({ ...entry }))
      .sort((a, b) => (a.originator < b.originator ? -1 : 1));
  }

  /** An address that turned out to be no router of its own: a further interface of one that is known already. */
  drop(originator: Mac): void {
    this.#entries.delete(originator);
  }

  get #leftAfter(): Nanos {
    return Math.min(GONE * this.intervalNs, this.deadAfterNs);
  }

  #healthOf(entry: Entry, now: Nanos): Health {
    if (entry.state === 'left' || entry.state === 'dead') return 'unreachable';
    const late = now - entry.lastSeen > LATE * this.intervalNs;
    const poor = (entry.tq ?? 255) < POOR_TQ || (entry.throughput ?? POOR_THROUGHPUT) < POOR_THROUGHPUT;
    return late || poor ? 'degraded' : 'healthy';
  }

  #become(entry: Entry, to: NodeState, now: Nanos): NodeChange {
    const from = entry.state;
    entry.state = to;
    entry.since = now;
    return { originator: entry.originator, from, to };
  }
}
