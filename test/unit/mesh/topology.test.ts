import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pairs } from '../../../agent/mesh/pairs.ts';
import { type Edge, firstHops, Graph, pathTo, shortestPaths, statistics } from '../../../agent/mesh/topology.ts';

const NODES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const graphs = fc
  .array(
    fc.record({
      from: fc.constantFrom(...NODES),
      to: fc.constantFrom(...NODES),
      cost: fc.integer({ min: 1, max: 9 }),
    }),
    { maxLength: 15 },
  )
  .map((edges: Edge[]) => Graph.of(edges, NODES));

/** Floyd and Warshall: slow, and different enough. */
function allCosts(graph: Graph): Map<string, number> {
  const cost = new Map<string, number>();
  const of = (a: string, b: string) => cost.get(a + b) ?? Number.POSITIVE_INFINITY;
  for (const a of NODES) {
    for (const [b, c] of graph.neighbours(a)) cost.set(a + b, c);
    cost.set(a + a, 0);
  }
  for (const k of NODES)
    for (const i of NODES) for (const j of NODES) cost.set(i + j, Math.min(of(i, j), of(i, k) + of(k, j)));
  return cost;
}

test('Dijkstra agrees with brute force, and its paths add up to its costs', () => {
  fc.assert(
    fc.property(graphs, fc.constantFrom(...NODES), (graph, source) => {
      const expected = allCosts(graph);
      const paths = shortestPaths(graph, source);
      for (const target of NODES) {
        const cost = expected.get(source + target)!;
        assert.equal(paths.get(target)?.cost ?? Number.POSITIVE_INFINITY, cost);
        const nodes = pathTo(paths, target);
        if (nodes === null) {
          assert.equal(cost, Number.POSITIVE_INFINITY);
          continue;
        }
        assert.equal(nodes[0], source);
        assert.equal(nodes.length - 1, paths.get(target)!.hops);
        let sum = 0;
        for (let i = 1; i < nodes.length; i++) sum += graph.neighbours(nodes[i - 1]!).get(nodes[i]!)!;
        assert.equal(sum, cost);
      }
    }),
  );
});

test('many sources one after the other answer what each would alone', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const pairs = new Pairs(graph);
      for (const [i, source] of [...pairs.nodes.entries(), ...pairs.nodes.entries()]) {
        pairs.from(i);
        const alone = shortestPaths(graph, source);
        const order = [...pairs.order.subarray(0, pairs.reached)];
        assert.equal(new Set(order).size, alone.size);
        const costs = order.map((node) => pairs.cost[node]!);
        assert.deepEqual(
          costs,
          costs.toSorted((a, b) => a - b),
        );
        for (const node of order) assert.equal(pairs.cost[node], alone.get(pairs.nodes[node]!)?.cost);
      }
    }),
  );
});

test('statistics agree with brute force', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const costs = allCosts(graph);
      const finite = [...costs].filter(([pair, cost]) => pair[0] !== pair[1] && Number.isFinite(cost));
      const found = statistics(graph, Number.POSITIVE_INFINITY);
      assert.equal(found.diameterCost, Math.max(0, ...finite.map(([, cost]) => cost)));
      const components = new Set(NODES.map((a) => NODES.find((b) => Number.isFinite(costs.get(a + b)!))));
      assert.equal(found.components, components.size);
    }),
  );
});

test('a ring of four: two hops across, whichever way', () => {
  const ring = Graph.of([
    { from: 'a', to: 'b', cost: 1 },
    { from: 'b', to: 'c', cost: 1 },
    { from: 'c', to: 'd', cost: 1 },
    { from: 'd', to: 'a', cost: 1 },
  ]);
  assert.deepEqual(statistics(ring, 1000), {
    nodes: 4,
    edges: 4,
    components: 1,
    meanDegree: 2,
    diameterCost: 2,
    diameterHops: 2,
    meanCost: 4 / 3,
    sources: 4,
  });
});

test('senseless edges and empty graphs do no harm', () => {
  const odd = Graph.of([
    { from: 'a', to: 'a', cost: 1 },
    { from: 'a', to: 'b', cost: 0 },
    { from: 'a', to: 'c', cost: Number.NaN },
    { from: 'a', to: 'd', cost: 3 },
    { from: 'd', to: 'a', cost: 2 },
  ]);
  assert.deepEqual(odd.edges(), [{ from: 'a', to: 'd', cost: 2 }]);
  assert.equal(statistics(new Graph(), 1000).meanDegree, 0);
  assert.equal(pathTo(shortestPaths(new Graph(), 'x'), 'y'), null);
});

test('a mesh of thousands does not hold the agent up: fewer runs, and none where one would be too much', () => {
  const line = Array.from({ length: 4000 }, (_, i) => ({ from: `n${i}`, to: `n${i + 1}`, cost: 1 }));
  const star = Array.from({ length: 4000 }, (_, i) => ({ from: 'hub', to: `m${i}`, cost: 1 }));
  const graph = Graph.of([...line, ...star]);
  const found = statistics(graph, 100_000);
  // 8002 nodes and 16000 ends of edges a run.
  assert.deepEqual([found.sources, found.components, found.diameterHops], [4, 2, 4000]);
  const { diameterHops, meanCost, sources, nodes, edges, components } = statistics(graph, 24_001);
  assert.deepEqual([diameterHops, meanCost, sources], [0, 0, 0]);
  assert.deepEqual([nodes, edges, components], [8002, 8000, 2], 'what costs little is there all the same');
  assert.equal(statistics(Graph.of(star), 100_000).diameterHops, 2);
});

test('the first hop of every path, in one walk', () => {
  fc.assert(
    fc.property(graphs, fc.constantFrom(...NODES), (graph, source) => {
      const paths = shortestPaths(graph, source);
      const first = firstHops(paths);
      for (const node of NODES) assert.equal(first.get(node), pathTo(paths, node)?.[1]);
    }),
  );
});
