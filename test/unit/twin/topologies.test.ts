import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Problem } from '../../../agent/twin/fields.ts';
import { buildTopology, type MeshGraph, MOST_FILE_BYTES, topologyField } from '../../../agent/twin/topologies.ts';

function build(topology: unknown, seed = 1, files: Record<string, string | number> = {}): MeshGraph | Problem[] {
  const problems: Problem[] = [];
  const say = (code: Problem['code'], path: string, message: string) => void problems.push({ code, path, message });
  const spec = topologyField.read(topology, '$.topology', say);
  const graph = spec && buildTopology(spec, seed, (name) => files[name], '$.topology', say);
  assert.equal(graph === undefined, problems.length > 0);
  return graph ?? problems;
}

function graphOf(topology: unknown, seed = 1, files: Record<string, string> = {}): MeshGraph {
  const built = build(topology, seed, files);
  assert.ok(!Array.isArray(built), JSON.stringify(built));
  return built;
}

function degrees({ nodes, links }: MeshGraph): number[] {
  const found = nodes.map(() => 0);
  for (const { a, b } of links) {
    found[a]! += 1;
    found[b]! += 1;
  }
  return found;
}

/** By union of sets: another way than the code's. */
function isConnected({ nodes, links }: MeshGraph): boolean {
  const group = nodes.map((_, n) => n);
  const root = (n: number): number => (group[n] === n ? n : root(group[n]!));
  for (const { a, b } of links) group[root(a)] = root(b);
  return new Set(nodes.map((_, n) => root(n))).size === 1;
}

function check(graph: MeshGraph): void {
  assert.ok(isConnected(graph));
  assert.equal(new Set(graph.links.map(({ a, b }) => `${a} ${b}`)).size, graph.links.length, 'a link twice');
  for (const { a, b } of graph.links) assert.ok(a < b && b < graph.nodes.length && a >= 0);
  assert.equal(new Set(graph.nodes).size, graph.nodes.length, 'a name twice');
  for (const [x, y] of graph.places ?? []) assert.ok(x >= 0 && x <= 1 && y >= 0 && y <= 1, `${x} ${y}`);
  if (graph.places) assert.equal(graph.places.length, graph.nodes.length);
}

const size = fc.integer({ min: 3, max: 200 });
const counted = (values: readonly number[], wanted: number) => values.filter((value) => value === wanted).length;

test('ring, line, star, full, tree: connected, with the degrees that their names promise', () => {
  fc.assert(
    fc.property(size, fc.integer({ min: 1, max: 9 }), (nodes, branching) => {
      const ring = graphOf({ kind: 'ring', nodes });
      const line = graphOf({ kind: 'line', nodes });
      const star = graphOf({ kind: 'star', nodes });
      const tree = graphOf({ kind: 'tree', nodes, branching });
      for (const graph of [ring, line, star, tree]) check(graph);
      assert.equal(counted(degrees(ring), 2), nodes);
      assert.deepEqual([counted(degrees(line), 1), counted(degrees(line), 2)], [2, nodes - 2]);
      assert.deepEqual(degrees(star).slice(0, 2), [nodes - 1, 1]);
      for (const graph of [line, star, tree]) assert.equal(graph.links.length, nodes - 1);
      assert.ok(Math.max(...degrees(tree)) <= branching + 1);
    }),
    { numRuns: 60 },
  );
  const full = graphOf({ kind: 'full', nodes: 9 });
  check(full);
  assert.equal(counted(degrees(full), 8), 9);
});

test('grid: each inner node has four neighbours, each corner two', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 14 }), fc.integer({ min: 2, max: 14 }), (width, height) => {
      const graph = graphOf({ kind: 'grid', width, height });
      check(graph);
      assert.equal(graph.nodes.length, width * height);
      const found = degrees(graph);
      assert.equal(found.reduce((sum, one) => sum + one) / 2, (width - 1) * height + (height - 1) * width);
      assert.equal(counted(found, 4), (width - 2) * (height - 2));
    }),
    { numRuns: 40 },
  );
});

test('random geometric: connected or an error, links by distance alone, the same for the same seed', () => {
  let refused = 0;
  const different = new Set<string>();
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 60 }),
      fc.double({ min: 0.15, max: 0.6, noNaN: true }),
      fc.nat(),
      (nodes, radius, seed) => {
        const spec = { kind: 'random-geometric', nodes, radius };
        const graph = build(spec, seed);
        assert.deepEqual(build(spec, seed), graph);
        if (Array.isArray(graph)) {
          refused += 1;
          assert.deepEqual(
            graph.map(({ code, path }) => [code, path]),
            [['E_SCENARIO_TOPOLOGY', '$.topology']],
          );
          return;
        }
        check(graph);
        const links = new Set(graph.links.map(({ a, b }) => `${a} ${b}`));
        const isNear = ([x, y]: readonly [number, number], [u, v]: readonly [number, number]) =>
          (x - u) ** 2 + (y - v) ** 2 <= radius ** 2;
        for (const [a, place] of graph.places!.entries())
          for (const [b, other] of graph.places!.entries())
            if (a < b) assert.equal(links.has(`${a} ${b}`), isNear(place, other));
        if (nodes > 10) different.add(JSON.stringify(graph.places));
      },
    ),
    { numRuns: 120, seed: 7 },
  );
  assert.ok(refused > 0, 'no mesh was refused: the property has not seen that side');
  assert.ok(different.size > 30, 'seeds make no difference');
});

test('random geometric: this seed gives this mesh, on every engine', () => {
  const { links } = graphOf({ kind: 'random-geometric', nodes: 8, radius: 0.5, seed: 42 });
  assert.equal(
    links.map(({ a, b }) => `${a}-${b}`).join(' '),
    '0-2 0-3 1-3 1-4 1-6 2-3 2-5 2-7 3-6 3-7 4-5 4-6 4-7 5-7',
  );
});

test('its own seed counts before that of the scenario', () => {
  const spec = { kind: 'random-geometric', nodes: 12, radius: 0.6 };
  assert.deepEqual(graphOf({ ...spec, seed: 5 }, 1), graphOf({ ...spec, seed: 5 }, 2));
  assert.notDeepEqual(graphOf(spec, 1), graphOf(spec, 2));
});

test('explicit links: nodes in the order asked for, else as they come', () => {
  const links = [
    ['b', 'a'],
    ['c', 'b'],
  ];
  assert.deepEqual(graphOf({ kind: 'links', links }).nodes, ['b', 'a', 'c']);
  const ordered = graphOf({ kind: 'links', links, nodes: ['a', 'b', 'c'], medium: 'shared' });
  assert.deepEqual(ordered, {
    medium: 'shared',
    nodes: ['a', 'b', 'c'],
    links: [
      { a: 0, b: 1 },
      { a: 1, b: 2 },
    ],
  });
});

const NETJSON = JSON.stringify({
  type: 'NetworkGraph',
  protocol: 'batman-adv',
  version: '2022.3',
  metric: 'TQ',
  nodes: ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id })),
  links: [
    { source: 'a', target: 'b', cost: 1 },
    { source: 'b', target: 'c', cost: 2 },
    { source: 'c', target: 'a', cost: 1.25 },
    { source: 'd', target: 'e', cost: 1 },
  ],
});
const MESHVIEWER = JSON.stringify({
  timestamp: '2020-03-03T14:05:01',
  nodes: ['a', 'b', 'c'].map((node_id) => ({ node_id, mac: '', hostname: `<${node_id}>`, is_online: true })),
  links: [
    { source: 'a', target: 'b', source_tq: 0.5, target_tq: 0.25, type: 'wifi' },
    { source: 'b', target: 'c', source_tq: 1, target_tq: 1, type: 'other' },
  ],
});

test('files: the largest part, a number of nodes, losses from the quality', () => {
  const files = { 'n.json': NETJSON, 'm.json': MESHVIEWER };
  const largest = graphOf({ kind: 'netjson', file: 'n.json', part: 'largest' }, 1, files);
  assert.deepEqual(largest.nodes, ['a', 'b', 'c']);
  check(largest);
  assert.equal(graphOf({ kind: 'netjson', file: 'n.json', part: 'largest', limit_nodes: 2 }, 1, files).nodes.length, 2);
  const lossy = graphOf({ kind: 'meshviewer', file: 'm.json', loss_from_quality: true }, 1, files);
  assert.deepEqual(lossy.links[0], { a: 0, b: 1, loss: [0.5, 0.75] });
  assert.deepEqual(lossy.links[1]!.loss, [0, 0]);
});

const IMPOSSIBLE: readonly [what: string, topology: object, code: string, path: string][] = [
  ['a grid of one', { kind: 'grid', width: 1, height: 1 }, 'E_SCENARIO_TOPOLOGY', '$.topology'],
  ['a grid of four million', { kind: 'grid', width: 2000, height: 2000 }, 'E_SCENARIO_LIMIT', '$.topology'],
  ['out of earshot', { kind: 'random-geometric', nodes: 50, radius: 0.02 }, 'E_SCENARIO_TOPOLOGY', '$.topology'],
  [
    'a link twice',
    {
      kind: 'links',
      links: [
        ['a', 'b'],
        ['b', 'a'],
      ],
    },
    'E_SCENARIO_TOPOLOGY',
    '$.topology.links[1]',
  ],
  [
    'two parts',
    {
      kind: 'links',
      links: [
        ['a', 'b'],
        ['c', 'd'],
      ],
    },
    'E_SCENARIO_TOPOLOGY',
    '$.topology',
  ],
  ['a node apart', { kind: 'links', links: [['a', 'b']], nodes: ['a', 'b', 'c'] }, 'E_SCENARIO_TOPOLOGY', '$.topology'],
  [
    'a node twice',
    { kind: 'links', links: [['a', 'b']], nodes: ['a', 'b', 'a'] },
    'E_SCENARIO_TOPOLOGY',
    '$.topology.nodes[2]',
  ],
  [
    'a link to nobody',
    { kind: 'links', links: [['a', 'z']], nodes: ['a', 'b'] },
    'E_SCENARIO_REFERENCE',
    '$.topology.links[0][1]',
  ],
  [
    'radios of which nobody says where they stand',
    { kind: 'links', links: [['a', 'b']], medium: 'radio' },
    'E_SCENARIO_TOPOLOGY',
    '$.topology.medium',
  ],
  [
    'radios one of which stands nowhere',
    { kind: 'links', links: [['a', 'b']], medium: 'radio', places: { a: [0, 1] } },
    'E_SCENARIO_TOPOLOGY',
    '$.topology.places',
  ],
  [
    'a place of nobody',
    { kind: 'links', links: [['a', 'b']], places: { a: [0, 1], b: [0, 0], c: [1, 1] } },
    'E_SCENARIO_REFERENCE',
    '$.topology.places.c',
  ],
  ['metres of cables', { kind: 'ring', nodes: 3, side_m: 9 }, 'E_SCENARIO_KEY', '$.topology.side_m'],
  ['a file that is not there', { kind: 'netjson', file: 'x' }, 'E_SCENARIO_REFERENCE', '$.topology.file'],
  ['a file that is too large', { kind: 'netjson', file: 'large' }, 'E_SCENARIO_LIMIT', '$.topology.file'],
  ['a file that is none', { kind: 'netjson', file: 'none' }, 'E_SCENARIO_TOPOLOGY', '$.topology.file'],
  ['a file of the other format', { kind: 'meshviewer', file: 'n.json' }, 'E_SCENARIO_TOPOLOGY', '$.topology.file'],
  ['a file in two parts', { kind: 'netjson', file: 'n.json' }, 'E_SCENARIO_TOPOLOGY', '$.topology'],
  ['a file of nobody', { kind: 'netjson', file: 'empty', part: 'largest' }, 'E_SCENARIO_TOPOLOGY', '$.topology'],
];

const EMPTY = JSON.stringify({ ...(JSON.parse(NETJSON) as object), nodes: [], links: [] });

for (const [what, topology, code, path] of IMPOSSIBLE) {
  test(`impossible: ${what}`, () => {
    const files = { 'n.json': NETJSON, none: '{"nodes":', empty: EMPTY, large: MOST_FILE_BYTES + 1 };
    const problems = build(topology, 1, files);
    assert.ok(Array.isArray(problems), 'it was built');
    assert.deepEqual(
      problems.map((one) => [one.code, one.path]),
      [[code, path]],
    );
  });
}

test('radios stand so that the longest link is a hundred metres, or as far as is said', () => {
  const line = graphOf({ kind: 'line', nodes: 5, medium: 'radio' });
  assert.deepEqual([line.medium, line.sideM], ['radio', 400]);
  assert.equal(graphOf({ kind: 'line', nodes: 5, medium: 'radio', side_m: 70 }).sideM, 70);
  assert.equal(graphOf({ kind: 'line', nodes: 5 }).sideM, undefined);
  const places = { b: [0.5, 0], a: [0.5, 0.5] };
  const named = graphOf({ kind: 'links', links: [['a', 'b']], medium: 'radio', places });
  assert.deepEqual(
    [named.places, named.sideM],
    [
      [
        [0.5, 0.5],
        [0.5, 0],
      ],
      200,
    ],
  );
});
