/**
 * Bench `topology`: shortest paths between all pairs of a real community, Leipzig's 279 nodes (test/data/freifunk), and of
 * meshes twice and four times its size.
 *
 * A larger mesh is several copies of Leipzig, in each of which every tenth node that has links has one more: to itself in
 * the next copy, at the cost of its cheapest link. So degrees stay as they are, and all copies hang together.
 *
 * `ms_N`: all pairs among N nodes, the median run. `growth_2`, `growth_4`: times longer than the original; 4 and 16 would
 * be the square of the size, 8 and 64 its cube. `yen_ms`: three ways between two routers of the largest part (worst of 50
 * pairs), `cuts_ms`: all articulation routers and bridges, both on Leipzig itself. Baseline: Floyd and Warshall over a
 * matrix of doubles, the textbook's all-pairs.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { alternatives } from '../../agent/mesh/alternatives.ts';
import { cuts, partitions } from '../../agent/mesh/cuts.ts';
import { graphOf, readMap } from '../../agent/mesh/map.ts';
import { Pairs } from '../../agent/mesh/pairs.ts';
import { type Edge, Graph } from '../../agent/mesh/topology.ts';
import { type BenchResult, median, type Progress } from './stats.ts';

const FILE = join(import.meta.dirname, '../../test/data/freifunk/leipzig-meshviewer.json.gz');
const RUNS = 15;
const PAIRS = 50;
const SEAM = 10;

export function enlarged(graph: Graph, copies: number): Graph {
  const name = (node: string, copy: number): string => (copy === 0 ? node : `${node}#${copy}`);
  const edges: Edge[] = [];
  const nodes: string[] = [];
  const linked = graph.nodes().filter((node) => graph.neighbours(node).size > 0);
  for (let copy = 0; copy < copies; copy++) {
    nodes.push(...graph.nodes().map((node) => name(node, copy)));
    for (const { from, to, cost } of graph.edges()) edges.push({ from: name(from, copy), to: name(to, copy), cost });
    if (copy === 0) continue;
    for (let i = 0; i < linked.length; i += SEAM) {
      const cost = Math.min(...graph.neighbours(linked[i]!).values());
      edges.push({ from: name(linked[i]!, copy - 1), to: name(linked[i]!, copy), cost });
    }
  }
  return Graph.of(edges, nodes);
}

function allPairs(graph: Graph): number {
  const pairs = new Pairs(graph);
  let found = 0;
  for (let i = 0; i < pairs.nodes.length; i++) {
    pairs.from(i);
    found += pairs.reached;
  }
  return found;
}

function floydWarshall(graph: Graph): void {
  const nodes = graph.nodes();
  const n = nodes.length;
  const index = new Map(nodes.map((node, i) => [node, i]));
  const cost = new Float64Array(n * n).fill(Number.POSITIVE_INFINITY);
  for (const [i, node] of nodes.entries()) {
    cost[i * n + i] = 0;
    for (const [other, step] of graph.neighbours(node)) cost[i * n + index.get(other)!] = step;
  }
  for (let k = 0; k < n; k++)
    for (let i = 0; i < n; i++) {
      const there = cost[i * n + k]!;
      if (there === Number.POSITIVE_INFINITY) continue;
      for (let j = 0; j < n; j++) {
        const way = there + cost[k * n + j]!;
        if (way < cost[i * n + j]!) cost[i * n + j] = way;
      }
    }
}

function took(what: () => unknown): number {
  const began = performance.now();
  what();
  return performance.now() - began;
}

export async function run(progress: Progress): Promise<BenchResult> {
  const leipzig = graphOf(readMap(gunzipSync(readFileSync(FILE))));
  const ms: number[] = [];
  const matrix: number[] = [];
  for (const copies of [1, 2, 4]) {
    const graph = enlarged(leipzig, copies);
    const nodes = graph.nodes().length;
    progress(`${nodes} nodes, ${graph.edges().length} edges, ${partitions(graph).length} parts`);
    ms.push(median(Array.from({ length: RUNS }, () => took(() => allPairs(graph)))));
    matrix.push(median(Array.from({ length: 3 }, () => took(() => floydWarshall(graph)))));
  }
  const [part] = partitions(leipzig);
  const pairs = Array.from({ length: PAIRS }, (_, i) => [part![i]!, part!.at(-1 - i)!] as const);
  return {
    figures: {
      ms_279: ms[0]!,
      ms_558: ms[1]!,
      ms_1116: ms[2]!,
      growth_2: ms[1]! / ms[0]!,
      growth_4: ms[2]! / ms[0]!,
      yen_ms: Math.max(...pairs.map(([from, to]) => took(() => alternatives(leipzig, from, to, 3)))),
      cuts_ms: median(Array.from({ length: RUNS }, () => took(() => cuts(leipzig)))),
    },
    baseline: { matrix_ms_279: matrix[0]!, matrix_ms_558: matrix[1]!, matrix_ms_1116: matrix[2]! },
    targets: [],
  };
}
