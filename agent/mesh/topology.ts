/** The mesh as a weighted graph: shortest paths, diameter, statistics. Pure functions over an undirected graph. */
import { partitions } from './cuts.ts';
import { Pairs } from './pairs.ts';

/** Cost is additive, above 0 and finite: expected transmissions (BATMAN_IV), or ms a Mbit takes (BATMAN_V). */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly cost: number;
}

export class Graph {
  readonly #adjacent = new Map<string, Map<string, number>>();

  static of(edges: Iterable<Edge>, nodes: Iterable<string> = []): Graph {
    const graph = new Graph();
    for (const node of nodes) graph.addNode(node);
    for (const { from, to, cost } of edges) graph.addEdge(from, to, cost);
    return graph;
  }

  addNode(node: string): void {
    if (!this.#adjacent.has(node)) this.#adjacent.set(node, new Map());
  }

  /** Of several links between two nodes the cheapest counts. Self loops and senseless costs are left out. */
  addEdge(from: string, to: string, cost: number): void {
    this.addNode(from);
    this.addNode(to);
    if (from === to || !(cost > 0) || !Number.isFinite(cost)) return;
    const cheapest = Math.min(cost, this.#adjacent.get(from)!.get(to) ?? cost);
    this.#adjacent.get(from)!.set(to, cheapest);
    this.#adjacent.get(to)!.set(from, cheapest);
  }

  nodes(): readonly string[] {
    return [...this.#adjacent.keys()];
  }

  neighbours(node: string): ReadonlyMap<string, number> {
    return this.#adjacent.get(node) ?? NONE;
  }

  edges(): Edge[] {
    const found: Edge[] = [];
    for (const [from, to] of this.#adjacent)
      for (const [other, cost] of to) if (from < other) found.push({ from, to: other, cost });
    return found;
  }
}

const NONE: ReadonlyMap<string, number> = new Map();

export interface Path {
  readonly cost: number;
  readonly hops: number;
  /** The node before this one, null at the source. */
  readonly previous: string | null;
}

/** A heap of [key, node], smallest key at the top. */
class Heap {
  readonly #items: [number, string][] = [];

  push(key: number, node: string): void {
    const items = this.#items;
    let at = items.length;
    items.push([key, node]);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]![0] <= key) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = [key, node];
  }

  pop(): [number, string] | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]![0] < items[child]![0]) child += 1;
      if (items[child]![0] >= last[0]) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return top;
  }
}

/**
 * Dijkstra's shortest paths from one node to all that can be reached, over edges that `passable` lets by (all without it).
 * O((n + m) log n).
 */
export function shortestPaths(
  graph: Graph,
  source: string,
  passable?: (from: string, to: string) => boolean,
): Map<string, Path> {
  const best = new Map<string, Path>([[source, { cost: 0, hops: 0, previous: null }]]);
  const done = new Set<string>();
  const heap = new Heap();
  heap.push(0, source);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const [cost, node] = top;
    // An entry that a cheaper one has overtaken.
    if (done.has(node)) continue;
    done.add(node);
    const { hops } = best.get(node)!;
    for (const [other, step] of graph.neighbours(node)) {
      if (done.has(other) || passable?.(node, other) === false) continue;
      const next = cost + step;
      if (next >= (best.get(other)?.cost ?? Number.POSITIVE_INFINITY)) continue;
      best.set(other, { cost: next, hops: hops + 1, previous: node });
      heap.push(next, other);
    }
  }
  return best;
}

/** The nodes of a shortest path from its source to `target`, both included; null if it cannot be reached. */
export function pathTo(paths: ReadonlyMap<string, Path>, target: string): string[] | null {
  if (!paths.has(target)) return null;
  const nodes: string[] = [];
  for (let at: string | null = target; at !== null; at = paths.get(at)!.previous) nodes.push(at);
  return nodes.reverse();
}

/** The first node after the source on the path to each that can be reached. O(n), however long the paths are. */
export function firstHops(paths: ReadonlyMap<string, Path>): Map<string, string> {
  const first = new Map<string, string>();
  for (const target of paths.keys()) {
    const way: string[] = [];
    let at = target;
    for (let before = paths.get(at)!.previous; before !== null && !first.has(at); before = paths.get(at)!.previous) {
      way.push(at);
      at = before;
    }
    // What is left is the source, or a node whose first is known.
    const known = first.get(at) ?? way.at(-1);
    for (const node of way) first.set(node, known!);
  }
  return first;
}

export interface Statistics {
  readonly nodes: number;
  readonly edges: number;
  /** Parts that cannot reach each other. */
  readonly components: number;
  readonly meanDegree: number;
  /** The most expensive of all shortest paths, within components: its cost. */
  readonly diameterCost: number;
  /** The most hops that a cheapest path takes. */
  readonly diameterHops: number;
  readonly meanCost: number;
  /** Nodes from which the three were reckoned: where not all, the diameter is a lower bound; 0 where they were left out. */
  readonly sources: number;
}

/**
 * `visits`: nodes and ends of edges that all runs together may visit, at some ten million a second. In a mesh too large for
 * that the costs are those from a sample of nodes.
 */
export function statistics(graph: Graph, visits: number): Statistics {
  const pairsOf = new Pairs(graph);
  const { nodes, cost, hops, order, size } = pairsOf;
  const edges = size / 2;
  const most = Math.floor(visits / Math.max(1, nodes.length + size));
  const step = Math.max(1, Math.ceil(nodes.length / Math.max(1, most)));
  let sources = 0;
  let diameterCost = 0;
  let diameterHops = 0;
  let sum = 0;
  let pairs = 0;
  for (let i = most === 0 ? nodes.length : 0; i < nodes.length; i += step) {
    sources += 1;
    pairsOf.from(i);
    // The first is the source itself.
    for (let n = 1; n < pairsOf.reached; n++) {
      const node = order[n]!;
      diameterCost = Math.max(diameterCost, cost[node]!);
      diameterHops = Math.max(diameterHops, hops[node]!);
      sum += cost[node]!;
      pairs += 1;
    }
  }
  return {
    nodes: nodes.length,
    edges,
    components: partitions(graph).length,
    meanDegree: nodes.length === 0 ? 0 : (2 * edges) / nodes.length,
    diameterCost,
    diameterHops,
    meanCost: pairs === 0 ? 0 : sum / pairs,
    sources,
  };
}
