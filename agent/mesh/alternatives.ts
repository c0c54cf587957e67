/** The cheapest ways from one router to another, not only the best one. Pure. */
import { type Graph, pathTo, shortestPaths } from './topology.ts';

export interface Way {
  /** From the source to the target, both included, none twice. */
  readonly nodes: readonly string[];
  /** The sum of its edges' costs. */
  readonly cost: number;
}

/** A way begins as one that is known and leaves it at this node: what came before need not be tried again (Lawler). */
interface Candidate extends Way {
  readonly leavesAt: number;
}

/**
 * Up to `k` ways without loops, the cheapest first; of equal cost the shorter, then by the names of their nodes, so that
 * the answer is the same everywhere. Empty where there is no way. Yen 1971: at most k times the length of a way runs of
 * Dijkstra.
 */
export function alternatives(graph: Graph, source: string, target: string, k: number): Way[] {
  if (source === target) return [];
  const found: Candidate[] = [];
  const waiting: Candidate[] = [];
  const known = new Set<string>();
  const offer = (nodes: readonly string[], leavesAt: number): void => {
    const name = JSON.stringify(nodes);
    if (known.has(name)) return;
    known.add(name);
    waiting.push({ nodes, cost: costOf(graph, nodes), leavesAt });
  };
  const best = pathTo(shortestPaths(graph, source), target);
  if (best !== null) offer(best, 0);
  while (waiting.length > 0 && found.length < k) {
    waiting.sort(byCost);
    const last = waiting.shift()!;
    found.push(last);
    for (let i = last.leavesAt; i < last.nodes.length - 1; i++) {
      const root = last.nodes.slice(0, i + 1);
      const spur = root[i]!;
      const before = new Set(root);
      // Where a known way with the same beginning goes on, another one must not.
      const taken = new Set(
        found.filter(({ nodes }) => root.every((node, n) => nodes[n] === node)).map((way) => way.nodes[i + 1]!),
      );
      const passable = (from: string, to: string): boolean => !before.has(to) && !(from === spur && taken.has(to));
      const rest = pathTo(shortestPaths(graph, spur, passable), target);
      if (rest !== null) offer([...root, ...rest.slice(1)], i);
    }
  }
  return found.map(({ nodes, cost }) => ({ nodes, cost }));
}

function costOf(graph: Graph, nodes: readonly string[]): number {
  let cost = 0;
  for (let i = 1; i < nodes.length; i++) cost += graph.neighbours(nodes[i - 1]!).get(nodes[i]!)!;
  return cost;
}

function byCost(a: Way, b: Way): number {
  if (a.cost !== b.cost) return a.cost - b.cost;
  if (a.nodes.length !== b.nodes.length) return a.nodes.length - b.nodes.length;
  return JSON.stringify(a.nodes) < JSON.stringify(b.nodes) ? -1 : 1;
}
