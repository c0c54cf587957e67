/**
 * A common mesh time out of beacons alone. One router is the root: its clock is the mesh's. Every other router compares its
 * clock with one neighbour that is nearer to the root, in both directions, and knows from that between which two times the
 * mesh time must lie.
 *
 * What a neighbour's beacon left at (its mesh time) and when it arrived (our clock) says: the mesh time is at least so much
 * ahead of our clock. When our own beacon left and when the neighbour received it says: at most so much. Delays only ever
 * make the two wider apart, so the bound holds however the frames were held up. Between samples clocks drift: by no more
 * than DRIFT against each other, and no more than WANDER faster or slower than the samples themselves show.
 *
 * The estimate between the two limits is a Theil-Sen line through the midpoints of pairs: the median of all slopes, so
 * that a few late frames move nothing. A sample that contradicts the others is doubted; three in a row, and the others go.
 *
 * The root is whoever was first. When it falls silent the routers nearest to it take over one after the other, and carry
 * their estimate on, at the rate of their own clocks. Where two meshes meet the later time wins, so that time never runs backwards; where the times agree,
 * the lower address. A time that comes near the end of what beacons can tell wins nothing: one frame with it would
 * otherwise end the beacons of a whole mesh for good. And who has such a time himself, which others do not take from him,
 * gives it up for theirs, or the mesh would be two for good; for its users time then stands still.
 */
import type { Mac } from '../core/ids.ts';
import { MS, type Nanos, NEVER, SECOND, US } from '../core/time.ts';
import { latestTime, UNKNOWN_BOUND } from './frame.ts';
import { median, slopes, theilSen } from './regression.ts';

/** Two crystals of +-50 ppm each, and as much again for heat and age. */
const DRIFT = 200e-6;
/** What a crystal's rate changes by while the samples of one window are taken. */
const WANDER = 3e-6;
const WIDEST = [-DRIFT, DRIFT] as const;
/** Kernel stamps become monotonic by two clock readings, and receipts travel in units of 16 ns. */
const STAMP: Nanos = 2 * US;
/** Samples that are kept of each neighbour, in each direction. */
const WINDOW = 16;
/** Fewer are too few to call another one wrong. */
const TRUSTED = 4;
const DOUBTS = 3;
/** Two meshes whose times differ by less are one. */
const SAME: Nanos = 20 * MS;
/** A neighbour whose beacons, of the same root, tell times that are so far apart has another time now. */
const APART: Nanos = 10 * SECOND;
/** In superframes: a newcomer listens before it is a root itself. In beacons: a root, a neighbour are gone after so many. */
const LISTEN = 6;
const ROOT_GONE = 8;
const NEIGHBOUR_GONE = 8;
/**
 * Of the time that beacons can tell, so much is left to go on in, whatever another mesh's time is: half of it where ours
 * has begun, a little less with each hop, so that all follow whom one follows; a quarter for a newcomer, who can then
 * still join them.
 */
const KEEP = 1 / 2;
const KEEP_LESS = 1 / 256;
const KEEP_NEW = 1 / 4;
/** Silent roots that are remembered, so that what others still say of them revives nobody. */
const GHOSTS = 16;
export const DEEPEST = 30;

/** At local time `at` the mesh time is ahead of the local clock by at least (at most) `ahead`. */
interface Limit {
  readonly at: Nanos;
  readonly ahead: Nanos;
  /** The neighbour's own error bound, which is in `ahead` already. */
  readonly error: Nanos;
}

interface Source {
  readonly root: Mac;
  rootSeq: number;
  depth: number;
  bound: Nanos;
  heardAt: Nanos;
  /** From the plan of its last beacon: good to some milliseconds. */
  coarse: Nanos;
  atLeast: Limit[];
  atMost: Limit[];
  doubts: number;
  doubt: Nanos;
}

/** What a neighbour's beacon says of time. Times named mesh are its mesh time, local ones ours. */
export interface Word {
  readonly root: Mac;
  readonly rootSeq: number;
  readonly depth: number;
  readonly bound: Nanos;
  /** This beacon was planned for `planned`, and arrived at `arrived`. */
  readonly planned: Nanos;
  readonly arrived: Nanos;
  /** An earlier beacon of it: left and arrived. */
  readonly down: { readonly mesh: Nanos; readonly local: Nanos } | null;
  /** A beacon of ours: left, and arrived there. */
  readonly up: { readonly local: Nanos; readonly mesh: Nanos } | null;
}

export interface ClockOptions {
  readonly superframeNs: Nanos;
  /** The longest time between two beacons of a router in quiet times. */
  readonly slowestNs: Nanos;
}

/** mesh time = local + ahead + slope * (local - at) */
interface Line {
  readonly at: Nanos;
  readonly ahead: Nanos;
  readonly slope: number;
}

export class Clock {
  readonly #self: Mac;
  readonly #superframe: Nanos;
  readonly #slowest: Nanos;
  #listensUntil: Nanos;
  readonly #sources = new Map<string, Source>();
  readonly #ghosts = new Map<Mac, number>();
  #parent: string | null = null;
  /** What the line rests on: the parent's samples, also when that has fallen silent. */
  #basis: Source | null = null;
  /** The line is of this mesh's time, if not yet of this root's. */
  #settled = false;
  #root: Mac | null = null;
  #rootSeq = 0;
  #rootHeardAt: Nanos;
  #line: Line;
  /** How fast the mesh time may run against ours, as the parent's samples show. */
  #rates: readonly [slowest: number, fastest: number] = WIDEST;
  #shown: Nanos = 0;
  depth = 0;

  /** Mesh time begins with zero, should this router be the first. */
  constructor(self: Mac, { superframeNs, slowestNs }: ClockOptions, now: Nanos) {
    this.#self = self;
    this.#superframe = superframeNs;
    this.#slowest = slowestNs;
    this.#listensUntil = now + LISTEN * superframeNs;
    this.#rootHeardAt = now;
    this.#line = { at: now, ahead: -now, slope: 0 };
  }

  /** null while it listens. */
  get root(): Mac | null {
    return this.#root;
  }

  get rootSeq(): number {
    return this.#rootSeq;
  }

  /** The neighbour that this clock follows, by the key it was told with; null for none. */
  get parent(): string | null {
    return this.#parent;
  }

  get isRoot(): boolean {
    return this.#root === this.#self;
  }

  /** How much faster the mesh time runs than our clock: 1e-6 is one ppm. */
  get drift(): number {
    return this.#line.slope;
  }

  /** The best estimate, which may step back by what it was wrong. */
  mesh(local: Nanos): Nanos {
    const { at, ahead, slope } = this.#line;
    return local + ahead + slope * (local - at);
  }

  /** When, by our clock, it is `mesh`. */
  local(mesh: Nanos): Nanos {
    const { at, ahead, slope } = this.#line;
    return at + (mesh - at - ahead) / (1 + slope);
  }

  /** For users: never runs backwards. `bound` of the same instant holds for it. */
  read(local: Nanos): { mesh: Nanos; bound: Nanos } {
    const estimate = this.mesh(local);
    this.#shown = Math.max(this.#shown, estimate);
    return { mesh: this.#shown, bound: this.bound(local) + this.#shown - estimate };
  }

  /** No estimate of the mesh time at that local time is further from that of the root. Infinite where nothing is known. */
  bound(local: Nanos): Nanos {
    if (this.isRoot) return 0;
    if (this.#basis === null) return NEVER;
    const { at, ahead, slope } = this.#line;
    const estimate = ahead + slope * (local - at);
    const [least, most] = this.#limits(this.#basis, local);
    return Math.max(most - estimate, estimate - least) + this.#basis.doubt;
  }

  /** What a beacon may state of all these local times at once. */
  stated(locals: readonly Nanos[]): Nanos {
    let most = 0;
    for (const local of locals) most = Math.max(most, this.bound(local));
    return Math.min(UNKNOWN_BOUND, most);
  }

  /** Takes in a neighbour's beacon. True where the mesh time became another one, so that superframes are numbered anew. */
  heard(key: string, word: Word, now: Nanos): boolean {
    if (word.root === this.#self || word.depth >= DEEPEST) {
      this.#sources.delete(key);
      if (this.#parent === key) this.#follow(now);
      // Of our life before a restart: until they have found another root, our own time would only confuse them.
      if (word.root === this.#self && this.#root === null)
        this.#listensUntil = Math.max(this.#listensUntil, now + LISTEN * this.#superframe);
      return false;
    }
    const source = this.#source(key, word, now);
    if (word.bound < UNKNOWN_BOUND) {
      if (word.down !== null) this.#down(source, word.down, word.bound);
      if (word.up !== null) this.#up(source, word.up, word.bound);
    }
    const before = this.#root === null ? null : this.mesh(now);
    this.#elect(source, word, now);
    if (source.root === this.#root && !this.isRoot) {
      if (newer(word.rootSeq, this.#rootSeq)) {
        this.#rootSeq = word.rootSeq;
        this.#rootHeardAt = now;
      }
      this.#follow(now);
    }
    return before === null ? this.#root !== null : Math.abs(this.mesh(now) - before) > SAME;
  }

  /** The neighbour is dead. */
  lost(key: string, now: Nanos): void {
    if (this.#sources.delete(key) && this.#parent === key) this.#follow(now);
  }

  /** Once a superframe: takes over where there is no root, counts on where it is one. True as of heard(). */
  tick(now: Nanos): boolean {
    for (const [key, { heardAt }] of this.#sources)
      if (now - heardAt > NEIGHBOUR_GONE * this.#slowest) this.lost(key, now);
    if (this.isRoot) {
      this.#rootSeq = this.#superframeOf(now);
      return false;
    }
    if (this.#root === null && now < this.#listensUntil) return false;
    // One after the other by depth, then by address: mostly the first one's word arrives before the second speaks.
    const patience = ROOT_GONE + 2 * Math.min(this.depth, 8) + (this.#self.charCodeAt(16) % 4);
    if (this.#root !== null && now - this.#rootHeardAt <= patience * this.#slowest) return false;
    const wasNone = this.#root === null;
    if (this.#root !== null) this.#bury(this.#root, this.#rootSeq);
    this.#root = this.#self;
    this.#parent = null;
    this.#basis = null;
    this.#settled = true;
    this.depth = 0;
    // Its own rate from here on: one that it took the old root's for, out of few samples, the others' DRIFT would not bear.
    this.#line = { at: now, ahead: this.mesh(now) - now, slope: 0 };
    this.#rootSeq = this.#superframeOf(now);
    return wasNone;
  }

  #superframeOf(now: Nanos): number {
    return Math.max(0, Math.floor(this.mesh(now) / this.#superframe));
  }

  #bury(root: Mac, seq: number): void {
    this.#ghosts.delete(root);
    this.#ghosts.set(root, seq);
    if (this.#ghosts.size > GHOSTS) this.#ghosts.delete(this.#ghosts.keys().next().value!);
  }

  #source(key: string, word: Word, now: Nanos): Source {
    let source = this.#sources.get(key);
    const coarse = word.planned - word.arrived;
    if (source === undefined || source.root !== word.root || Math.abs(coarse - source.coarse) > APART) {
      const { root, rootSeq, depth, bound } = word;
      source = { root, rootSeq, depth, bound, heardAt: now, coarse, atLeast: [], atMost: [], doubts: 0, doubt: 0 };
      this.#sources.set(key, source);
    }
    source.rootSeq = word.rootSeq;
    source.depth = word.depth;
    source.bound = word.bound;
    source.heardAt = now;
    source.coarse = coarse;
    return source;
  }

  #down(source: Source, { mesh, local }: { mesh: Nanos; local: Nanos }, error: Nanos): void {
    const limit = { at: local, ahead: mesh - local - error - STAMP, error: error + STAMP };
    const [, most] = this.#limits(source, local, true);
    this.#accept(source, limit.ahead - most, () => push(source.atLeast, limit));
  }

  #up(source: Source, { local, mesh }: { local: Nanos; mesh: Nanos }, error: Nanos): void {
    const limit = { at: local, ahead: mesh - local + error + STAMP, error: error + STAMP };
    const [least] = this.#limits(source, local, true);
    this.#accept(source, least - limit.ahead, () => push(source.atMost, limit));
  }

  /** `excess`: by how much the new limit contradicts those that there are. */
  #accept(source: Source, excess: Nanos, take: () => void): void {
    if (excess > 0) {
      source.doubts += 1;
      const isEstablished = source.atLeast.length >= TRUSTED && source.atMost.length >= TRUSTED;
      if (isEstablished && source.doubts < DOUBTS) {
        source.doubt = Math.max(source.doubt, excess + STAMP + 2 * source.bound);
        return;
      }
      source.atLeast = [];
      source.atMost = [];
    }
    source.doubts = 0;
    source.doubt = 0;
    take();
  }

  /**
   * Between what the mesh time is ahead of ours at a local time. `widely`: whatever the rates seem to be, so that a
   * clock that has changed its rate is not called wrong.
   */
  #limits({ atLeast, atMost }: Source, local: Nanos, widely = false): [least: Nanos, most: Nanos] {
    const [slowest, fastest] = widely ? WIDEST : this.#rates;
    let least = -NEVER;
    let most = NEVER;
    for (const { at, ahead } of atLeast) {
      const since = local - at;
      least = Math.max(least, ahead + since * (since > 0 ? slowest : fastest));
    }
    for (const { at, ahead } of atMost) {
      const since = local - at;
      most = Math.min(most, ahead + since * (since > 0 ? fastest : slowest));
    }
    return [least, most];
  }

  /** Is the neighbour's root a better one than ours? */
  #elect(source: Source, word: Word, now: Nanos): void {
    if (source.root === this.#root) return;
    const ahead = this.#root === null ? 0 : word.planned - this.mesh(word.arrived);
    const isSame = Math.abs(ahead) <= SAME;
    // The numbers of an earlier time do not compare with those of a later one.
    const ghost = ahead < -SAME ? undefined : this.#ghosts.get(source.root);
    if (ghost !== undefined && !newer(word.rootSeq, ghost)) return;
    if (this.#root === null) {
      if (this.#left(word.planned) < KEEP_NEW) return;
    } else {
      if (isSame ? source.root > this.#root : !this.#wins(word, ahead)) return;
      if (ahead < -SAME) this.#ghosts.clear();
      this.#settled &&= isSame;
    }
    this.#root = source.root;
    this.#rootSeq = word.rootSeq;
    this.#rootHeardAt = now;
    this.#parent = null;
    this.#basis = null;
    // Who told another time of that root, while we followed none of the two.
    for (const [key, other] of this.#sources)
      if (other.root === source.root && Math.abs(other.coarse - source.coarse) > APART) this.#sources.delete(key);
  }

  /**
   * Of two times the later one, but for those that no others take; of two of these the earlier one. At the other router
   * this is the other way round, so that one of them gives in.
   */
  #wins({ planned, depth, arrived }: Word, ahead: Nanos): boolean {
    const isTenable = this.#isTenable(planned, depth);
    return isTenable === this.#isTenable(this.mesh(arrived), this.depth) ? isTenable === ahead > 0 : isTenable;
  }

  /** Do others take this time from who is so far from its root? */
  #isTenable(mesh: Nanos, depth: number): boolean {
    return this.#left(mesh) >= KEEP - KEEP_LESS * depth;
  }

  /** The share of all time that is to come. */
  #left(mesh: Nanos): number {
    return 1 - mesh / latestTime(this.#superframe);
  }

  /** Chooses whom to follow, and brings the line up to date. */
  #follow(now: Nanos): void {
    if (this.isRoot) return;
    let best: [string, Source] | null = null;
    for (const entry of this.#sources) if (this.#mayLead(entry[1]) && this.#isBetter(entry, best)) best = entry;
    this.#parent = best?.[0] ?? null;
    if (best === null) return;
    const [, source] = best;
    this.depth = source.depth + 1;
    this.#basis = source;
    if (knows(source)) {
      this.#line = this.#fitted(source, now);
      this.#settled = true;
    } else {
      this.#rates = WIDEST;
      if (!this.#settled) this.#line = { at: now, ahead: source.coarse, slope: 0 };
    }
  }

  /** Its word of the root is fresh, and it has something to say. */
  #mayLead({ root, rootSeq }: Source): boolean {
    const slack = (ROOT_GONE * this.#slowest) / this.#superframe;
    return root === this.#root && !newer(this.#rootSeq, rootSeq + slack);
  }

  #isBetter([key, source]: [string, Source], than: [string, Source] | null): boolean {
    if (than === null) return true;
    if (knows(source) !== knows(than[1])) return knows(source);
    if (source.depth !== than[1].depth) return source.depth < than[1].depth;
    return key === this.#parent;
  }

  #fitted(source: Source, now: Nanos): Line {
    const { atLeast, atMost } = source;
    this.#rates = rates(atLeast, atMost);
    let [least, most] = this.#limits(source, now);
    if (least > most) {
      this.#rates = WIDEST;
      [least, most] = this.#limits(source, now);
    }
    const points = pairs(atLeast, atMost);
    const slope = Math.min(this.#rates[1], Math.max(this.#rates[0], theilSen(points)));
    const middle = median(points.map(({ x, y }) => y + slope * (now - x)));
    return { at: now, ahead: Math.min(most, Math.max(least, middle)), slope };
  }
}

function knows({ atLeast, atMost }: Source): boolean {
  return atLeast.length > 0 && atMost.length > 0;
}

/** The neighbour's own errors drop out of the middle of a pair: they are alike on both sides. */
function pairs(atLeast: readonly Limit[], atMost: readonly Limit[]): { x: number; y: number }[] {
  return atLeast.map(({ at, ahead, error }) => {
    let near = atMost[0]!;
    for (const other of atMost) if (Math.abs(other.at - at) < Math.abs(near.at - at)) near = other;
    return { x: (at + near.at) / 2, y: (ahead + error + near.ahead - near.error) / 2 };
  });
}

/** How slowly and how fast the mesh time can have run, as the limits show. */
function rates(atLeast: readonly Limit[], atMost: readonly Limit[]): readonly [number, number] {
  const [slowest, fastest] = slopes(atLeast, atMost);
  const found: [number, number] = [Math.max(-DRIFT, slowest - WANDER), Math.min(DRIFT, fastest + WANDER)];
  return found[0] <= found[1] ? found : WIDEST;
}

function push(limits: Limit[], limit: Limit): void {
  // The same stamp may be told twice.
  if (limits.some(({ at }) => at === limit.at)) return;
  limits.push(limit);
  if (limits.length > WINDOW) limits.shift();
}

/** Of two numbers of 32 bits that go round. */
function newer(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}
