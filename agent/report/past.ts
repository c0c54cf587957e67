/**
 * The ways in use over the last hour, for whoever looks at a map later. Taken every now and then, kept as what changed since
 * the time before, in numbers: bounded in time, in frames and in changes, whatever a mesh does.
 */
import type { RoutingAlgorithm } from '../core/kernel.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { TopologyEdge } from '../mesh/mesh.ts';

/** Between two looks, and how far back they reach. */
export const LOOK: Nanos = 15 * SECOND;
const REACH: Nanos = 3600 * SECOND;
/** Numbers in all frames together, two for a change: what ubus can carry with the ways that they name. */
const MOST = 12_000;
/** A cost that moved by less than this share is the same. */
const SAME = 0.15;

export interface Way {
  readonly from: string;
  readonly to: string;
  readonly kind: TopologyEdge['kind'];
}

/** A moment in which something was other than before: numbers of ways, each with its cost; 0 where it is gone. */
export interface Frame {
  readonly at: Nanos;
  readonly changes: readonly number[];
}

export class Past {
  #ways: Way[] = [];
  readonly #numbers = new Map<string, number>();
  /** Cost by number of what is in use now. */
  readonly #now = new Map<number, number>();
  #frames: Frame[] = [];
  #size = 0;
  #algorithm: RoutingAlgorithm | null = null;

  take(
    { edges, algorithm }: { readonly edges: readonly TopologyEdge[]; readonly algorithm: RoutingAlgorithm },
    at: Nanos,
  ): void {
    // Costs of the one mean nothing to the other.
    if (algorithm !== this.#algorithm) this.#forget();
    this.#algorithm = algorithm;
    const changes: number[] = [];
    const seen = new Set<number>();
    for (const { from, to, kind, cost } of edges) {
      if (kind === 'alternative') continue;
      const number = this.#numberOf({ from, to, kind });
      seen.add(number);
      const before = this.#now.get(number);
      if (before !== undefined && Math.abs(cost - before) < SAME * before) continue;
      const rounded = Math.max(0.001, Math.round(cost * 1000) / 1000);
      this.#now.set(number, rounded);
      changes.push(number, rounded);
    }
    for (const number of this.#now.keys()) {
      if (seen.has(number)) continue;
      this.#now.delete(number);
      changes.push(number, 0);
    }
    if (changes.length > 0) {
      this.#frames.push({ at, changes });
      this.#size += changes.length;
    }
    while (this.#frames.length > 1 && (this.#frames[1]!.at < at - REACH || this.#size > MOST)) this.#merge();
    if (this.#ways.length > MOST / 2) this.#renumber();
  }

  /** The first frame holds everything that was in use when it begins. */
  view(): { readonly ways: readonly Way[]; readonly frames: readonly Frame[] } {
    return { ways: this.#ways, frames: this.#frames };
  }

  #numberOf(way: Way): number {
    const key = `${way.from} ${way.to} ${way.kind}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#ways.length;
      this.#ways.push(way);
      this.#numbers.set(key, number);
    }
    return number;
  }

  /** The oldest two frames become one. */
  #merge(): void {
    const [first, second] = this.#frames as [Frame, Frame];
    const costs = new Map<number, number>();
    for (const { changes } of [first, second])
      for (let i = 0; i < changes.length; i += 2) costs.set(changes[i]!, changes[i + 1]!);
    const changes = [...costs].filter(([, cost]) => cost > 0).flat();
    this.#frames.splice(0, 2, { at: second.at, changes });
    this.#size += changes.length - first.changes.length - second.changes.length;
  }

  /** Ways that no frame speaks of any more get no number. */
  #renumber(): void {
    const old = this.#ways;
    this.#ways = [];
    this.#numbers.clear();
    this.#frames = this.#frames.map(({ at, changes }) => ({
      at,
      changes: changes.map((value, i) => (i % 2 === 0 ? this.#numberOf(old[value]!) : value)),
    }));
    const now = [...this.#now].map(([number, cost]): [number, number] => [this.#numberOf(old[number]!), cost]);
    this.#now.clear();
    for (const [number, cost] of now) this.#now.set(number, cost);
  }

  #forget(): void {
    this.#ways = [];
    this.#numbers.clear();
    this.#now.clear();
    this.#frames = [];
    this.#size = 0;
  }
}
