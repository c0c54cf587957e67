/** Faults of other routers, told from what is no longer heard: one that died, and a mesh that fell apart. */
import type { Event, LinkFigures } from '../../core/event.ts';
import type { Mac } from '../../core/ids.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import type { Finding } from '../../core/words.ts';
import { attached, type Surroundings } from '../surroundings.ts';
import { type About, type Detector, type FaultSpec, NOTHING, percent, Steady } from './spec.ts';

export const ROUTER_FAULTS: readonly FaultSpec[] = [
  {
    class: 'neighbour-dead',
    words: 'a neighbouring router is heard on no link and by no other way',
    safe: false,
    repairs: ['tell'],
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'router-dead',
    words: 'a router was not heard of for a long time',
    safe: true,
    repairs: ['none'],
    begins: ['originator-dead', 0.9, 'batadv tables'],
    ends: 'originator-heard',
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'partition',
    words: 'a part of the mesh was lost at once',
    safe: false,
    repairs: ['tell'],
    rightAfterNs: 30 * SECOND,
  },
];

/** OGM intervals without a word of a router, and never less than this, before it counts as lost. */
const MISSED = 10;
const LEAST: Nanos = 10 * SECOND;
/** A router known for less has not settled. */
const KNOWN_FOR: Nanos = 60 * SECOND;
/** A partition loses its routers within so many intervals of each other: at least two, and this share of all. */
const TOGETHER = 6;
const SHARE = 0.2;
const MOST = 4096;

interface Known {
  readonly since: Nanos;
  heardAt: Nanos;
  /** It was a neighbour of ours when it was last heard. */
  near: boolean;
}

export class LostRoutersDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['links'];
  readonly #around: Surroundings;
  readonly #known = new Map<Mac, Known>();
  readonly #dead = new Steady('neighbour-dead', 0, 2, 0);
  readonly #partition = new Steady('partition', 2 * SECOND, 3, 0);
  #lost: readonly Mac[] = [];

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    const { tables, started } = this.#around;
    if (event.type !== 'links' || !started || !tables?.mesh) return [];
    const interval = Math.max(1000, tables.mesh.settings.origInterval) * MS;
    const lostAfter = Math.max(LEAST, MISSED * interval);
    this.#listen(event.links, now);
    const findings: Finding[] = [];
    // Of a router without a live interface nobody is heard, and that is no fault of theirs.
    const isListening = attached(this.#around).some(({ up, carrier }) => up && carrier);
    const [alive, lost]: [Mac[], Mac[]] = [[], []];
    for (const [router, known] of this.#known) {
      const silence = now - known.heardAt;
      if (silence > 20 * lostAfter) {
        this.#known.delete(router);
        continue;
      }
      if (known.heardAt - known.since >= KNOWN_FOR || silence < lostAfter)
        (silence >= lostAfter ? lost : alive).push(router);
      const about: About = { interface: '', index: 0, peer: router };
      if (silence < lostAfter) findings.push(...this.#dead.end(about, 'it is heard again'));
      else if (known.near && isListening && known.heardAt - known.since >= KNOWN_FOR) {
        const what = `nothing was heard of it for ${Math.round(silence / SECOND)} s, on any link or by others`;
        findings.push(...this.#dead.read(about, { confidence: 0.85, source: 'batadv tables', what }, now));
      }
    }
    findings.push(...this.#dead.sweep(now - 1, 'it is given up'));
    return [...findings, ...this.#judgePartition(alive, lost, interval, isListening, now)];
  }

  #listen(links: readonly LinkFigures[], now: Nanos): void {
    const { originators, neighbours } = this.#around.tables!;
    const hard = new Map<Mac, Mac | null>(neighbours.map(({ neighbour }) => [neighbour, null]));
    for (const { neighbour, originator } of links) hard.set(neighbour, originator);
    const hear = (router: Mac | null, at: Nanos, near: boolean) => {
      if (router === null) return;
      const known = this.#known.get(router);
      if (known === undefined) {
        if (this.#known.size < MOST) this.#known.set(router, { since: at, heardAt: at, near });
        return;
      }
      if (at > known.heardAt) known.heardAt = at;
      known.near ||= near;
    };
    // Whose address belongs to which router is inferred, and may change: what counted as one goes on to be heard as one.
    const mayBe = (address: Mac, router: Mac | null, at: Nanos, near: boolean) => {
      hear(router, at, near);
      if (address !== router && this.#known.has(address)) hear(address, at, near);
    };
    for (const { originator, lastSeenMs } of originators)
      mayBe(originator, hard.has(originator) ? hard.get(originator)! : originator, now - lastSeenMs * MS, false);
    for (const { neighbour, originator, lastSeen } of links) mayBe(neighbour, originator, lastSeen, true);
  }

  #judgePartition(
    alive: readonly Mac[],
    lost: readonly Mac[],
    interval: Nanos,
    isListening: boolean,
    now: Nanos,
  ): Finding[] {
    if (this.#partition.isOpen(NOTHING)) {
      const back = this.#lost.filter((router) => alive.includes(router)).length;
      const left = this.#lost.filter((router) => this.#known.has(router)).length;
      // Those that were given up say nothing any more.
      if (left > 0 && 2 * back < left) return [];
      const how = left > 0 ? `${back} of ${this.#lost.length} routers are heard again` : 'they are given up';
      return this.#partition.end(NOTHING, how);
    }
    const newest = Math.max(...lost.map((router) => this.#known.get(router)!.heardAt));
    const together = lost.filter((router) => newest - this.#known.get(router)!.heardAt <= TOGETHER * interval);
    const all = alive.length + together.length;
    if (together.length < 2 || together.length < SHARE * all || !isListening)
      return this.#partition.read(NOTHING, 'all are heard', now);
    this.#lost = together;
    const spread = Math.round((newest - Math.min(...together.map((one) => this.#known.get(one)!.heardAt))) / SECOND);
    const what = `${together.length} of ${all} routers (${percent(together.length / all)}) fell silent within ${spread} s`;
    const confidence = alive.length > 0 ? 0.85 : 0.8;
    const whole = alive.length > 0 ? what : `${what}: this router is cut off from all others`;
    return this.#partition.read(
      NOTHING,
      { confidence, source: 'batadv tables', what: whole, affected: together.slice(0, 50) },
      now,
    );
  }
}
