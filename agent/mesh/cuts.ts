/** What holds a mesh together: its parts, and the routers and edges without which one would fall apart. Pure. */
import type { Graph } from './topology.ts';

export interface CutRouter {
  readonly node: string;
  /** The sizes of the parts that its own would fall into without it, the largest first; at least two. */
  readonly parts: readonly number[];
}

/** An edge that no other way goes around. Several links between the same two routers are one edge. */
export interface CutEdge {
  readonly from: string;
  readonly to: string;
  /** The sizes of both sides: from's, to's. */
  readonly sides: readonly [number, number];
}

export interface Cuts {
  /** Articulation points, those first that would leave the smallest largest part. */
  readonly routers: readonly CutRouter[];
  /** Bridges, in the same order. */
  readonly edges: readonly CutEdge[];
}

/** The parts that cannot reach each other, each with its nodes in the graph's order; the largest first. */
export function partitions(graph: Graph): string[][] {
  const seen = new Set<string>();
  const found: string[][] = [];
  for (const start of graph.nodes()) {
    if (seen.has(start)) continue;
    const part = [start];
    seen.add(start);
    for (const node of part) {
      for (const other of graph.neighbours(node).keys()) {
        if (seen.has(other)) continue;
        seen.add(other);
        part.push(other);
      }
    }
    found.push(part);
  }
  return found.sort((a, b) => b.length - a.length);
}

interface Visit {
  readonly node: string;
  readonly parent: Visit | null;
  /** When it was first met, and the earliest that is met from it or below it other than by the way down. */
  readonly met: number;
  low: number;
  /** Nodes from here down. */
  size: number;
  /** Sizes of the parts below that only this node holds. */
  readonly held: number[];
  readonly ways: Iterator<string>;
}

/** Articulation points and bridges of every part, in one walk (Tarjan 1972). O(n + m), no recursion. */
export function cuts(graph: Graph): Cuts {
  const routers: CutRouter[] = [];
  const edges: CutEdge[] = [];
  const met = new Map<string, Visit>();
  const visit = (node: string, parent: Visit | null): Visit => {
    const at = met.size;
    const made = { node, parent, met: at, low: at, size: 1, held: [], ways: graph.neighbours(node).keys() };
    met.set(node, made);
    return made;
  };
  for (const part of partitions(graph)) {
    const total = part.length;
    for (let at: Visit | null = visit(part[0]!, null); at !== null; ) {
      const way: IteratorResult<string> = at.ways.next();
      if (way.done !== true) {
        const there = met.get(way.value);
        if (there === undefined) at = visit(way.value, at);
        else if (there !== at.parent) at.low = Math.min(at.low, there.met);
        continue;
      }
      const { node, parent, held, low, size }: Visit = at;
      const rest = total - 1 - held.reduce((sum, one) => sum + one, 0);
      const parts = rest > 0 ? [...held, rest] : held;
      if (parts.length > 1) routers.push({ node, parts: parts.sort((a, b) => b - a) });
      if (parent !== null) {
        parent.low = Math.min(parent.low, low);
        parent.size += size;
        if (low >= parent.met) parent.held.push(size);
        if (low > parent.met) edges.push({ from: parent.node, to: node, sides: [total - size, size] });
      }
      at = parent;
    }
  }
  routers.sort((a, b) => a.parts[0]! - b.parts[0]! || order(a.node, b.node));
  edges.sort((a, b) => Math.max(...a.sides) - Math.max(...b.sides) || order(a.from + a.to, b.from + b.to));
  return { routers, edges };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
