/** What decisions ask of the topology: other ways, and what would split the mesh. Held against brute force. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { alternatives } from '../../../agent/mesh/alternatives.ts';
import { cuts, partitions } from '../../../agent/mesh/cuts.ts';
import { graphOf, readMap } from '../../../agent/mesh/map.ts';
import { type Edge, Graph } from '../../../agent/mesh/topology.ts';

const NODES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const node = fc.constantFrom(...NODES);
const graphs = fc
  .array(fc.record({ from: node, to: node, cost: fc.integer({ min: 1, max: 5 }) }), { maxLength: 14 })
  .map((edges: Edge[]) => Graph.of(edges, NODES));

const edge = (from: string, to: string, cost = 1): Edge => ({ from, to, cost });

/** Every way without loops. */
function ways(graph: Graph, at: readonly string[], target: string): { nodes: readonly string[]; cost: number }[] {
  const here = at.at(-1)!;
  if (here === target) return [{ nodes: at, cost: 0 }];
  const found = [];
  for (const [next, cost] of graph.neighbours(here)) {
    if (at.includes(next)) continue;
    for (const way of ways(graph, [...at, next], target)) found.push({ ...way, cost: way.cost + cost });
  }
  return found;
}

test('alternatives are the cheapest of all ways, in order', () => {
  fc.assert(
    fc.property(graphs, node, node, fc.integer({ min: 0, max: 9 }), (graph, source, target, k) => {
      const found = alternatives(graph, source, target, k);
      if (source === target) return assert.deepEqual(found, []);
      const all = ways(graph, [source], target).sort(
        (a, b) => a.cost - b.cost || a.nodes.length - b.nodes.length || (a.nodes.join() < b.nodes.join() ? -1 : 1),
      );
      assert.deepEqual(
        found.map(({ cost }) => cost),
        all.slice(0, k).map(({ cost }) => cost),
      );
      for (const way of found) assert.ok(all.some(({ nodes }) => nodes.join() === way.nodes.join()));
      assert.equal(new Set(found.map(({ nodes }) => nodes.join())).size, found.length);
    }),
    { numRuns: 500 },
  );
});

test('alternatives around a ring, and over a square with a diagonal', () => {
  const ring = Graph.of([edge('a', 'b'), edge('b', 'c'), edge('c', 'd'), edge('d', 'a', 2)]);
  assert.deepEqual(alternatives(ring, 'a', 'd', 3), [
    { nodes: ['a', 'd'], cost: 2 },
    { nodes: ['a', 'b', 'c', 'd'], cost: 3 },
  ]);
  const square = Graph.of([edge('a', 'b'), edge('b', 'c'), edge('c', 'd'), edge('d', 'a'), edge('a', 'c', 2)]);
  assert.deepEqual(
    alternatives(square, 'a', 'c', 9).map(({ nodes }) => nodes.join('')),
    ['ac', 'abc', 'adc'],
  );
  assert.deepEqual(alternatives(square, 'a', 'z', 2), []);
  assert.deepEqual(alternatives(square, 'z', 'a', 2), []);
});

const count = (edges: readonly Edge[], nodes: readonly string[]): number => partitions(Graph.of(edges, nodes)).length;

test('cuts are what leaves more parts behind, with their sizes', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const edges = graph.edges();
      const parts = count(edges, NODES);
      const { routers, edges: bridges } = cuts(graph);
      for (const one of NODES) {
        const rest = NODES.filter((other) => other !== one);
        const left = edges.filter(({ from, to }) => from !== one && to !== one);
        const mine = partitions(graph).find((part) => part.includes(one))!;
        const fell = partitions(Graph.of(left, rest)).filter((part) => part.some((other) => mine.includes(other)));
        const found = routers.find((router) => router.node === one);
        assert.deepEqual(found?.parts, fell.length > 1 ? fell.map((part) => part.length) : undefined);
      }
      for (const one of edges) {
        const left = edges.filter((other) => other !== one);
        const isBridge = count(left, NODES) > parts;
        const found = bridges.find(({ from, to }) => [from, to].sort().join() === [one.from, one.to].sort().join());
        assert.equal(found !== undefined, isBridge);
        if (found === undefined) continue;
        const after = partitions(Graph.of(left, NODES));
        const sizes = [found.from, found.to].map((end) => after.find((part) => part.includes(end))!.length);
        assert.deepEqual(found.sides, sizes);
      }
      assert.equal(bridges.length <= edges.length && routers.length <= NODES.length, true);
    }),
    { numRuns: 500 },
  );
});

test('two rings that share one router, and a tail', () => {
  const graph = Graph.of([
    ...[edge('a', 'b'), edge('b', 'c'), edge('c', 'a')],
    ...[edge('c', 'd'), edge('d', 'e'), edge('e', 'c')],
    edge('e', 'f'),
  ]);
  assert.deepEqual(cuts(graph), {
    routers: [
      { node: 'c', parts: [3, 2] },
      { node: 'e', parts: [4, 1] },
    ],
    edges: [{ from: 'e', to: 'f', sides: [5, 1] }],
  });
  assert.deepEqual(cuts(Graph.of([edge('a', 'b'), edge('b', 'c'), edge('c', 'a')])), { routers: [], edges: [] });
  assert.deepEqual(cuts(new Graph()), { routers: [], edges: [] });
});

test('partitions: the largest first, nobody left out', () => {
  const graph = Graph.of([edge('b', 'c'), edge('d', 'e'), edge('e', 'f')], NODES);
  assert.deepEqual(partitions(graph), [['d', 'e', 'f'], ['b', 'c'], ['a'], ['g']]);
});

test('a line of 20000 does not exhaust the stack', () => {
  const line = Array.from({ length: 20_000 }, (_, i) => edge(`${i}`, `${i + 1}`));
  const { routers, edges } = cuts(Graph.of(line));
  assert.equal(routers.length, 19_999);
  assert.equal(edges.length, 20_000);
  assert.deepEqual(routers[0]?.parts, [10_000, 10_000]);
});

test('Leipzig: parts, cuts and other ways, in no time', () => {
  const file = join(import.meta.dirname, '../../data/freifunk/leipzig-meshviewer.json.gz');
  const graph = graphOf(readMap(gunzipSync(readFileSync(file))));
  const began = performance.now();
  const [largest] = partitions(graph);
  const { routers, edges } = cuts(graph);
  const found = alternatives(graph, largest![0]!, largest!.at(-1)!, 5);
  assert.ok(performance.now() - began < 2000);
  assert.equal(found.length, 5);
  for (const { node, parts } of routers.slice(0, 5)) {
    const rest = graph.nodes().filter((other) => other !== node);
    const left = graph.edges().filter(({ from, to }) => from !== node && to !== node);
    assert.equal(count(left, rest), partitions(graph).length + parts.length - 1);
  }
  assert.ok(edges.length > 0);
});
