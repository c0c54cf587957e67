import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { graphOf, type MeshMap, readMap } from '../../../agent/mesh/map.ts';
import { writeNetjson } from '../../../agent/mesh/netjson.ts';
import { statistics } from '../../../agent/mesh/topology.ts';

const community = (name: string): Buffer =>
  gunzipSync(readFileSync(join(import.meta.dirname, '../../data/freifunk', `${name}-meshviewer.json.gz`)));

/** The message of the E_MAP that reading answers. */
function refusal(source: string | Uint8Array): string {
  try {
    readMap(source);
  } catch (thrown) {
    assert.ok(thrown instanceof AgentError, String(thrown));
    assert.equal(thrown.code, 'E_MAP');
    assert.equal(thrown.blame, 'caller');
    assert.ok(thrown.message.startsWith(`${thrown.detail.path}: `), thrown.message);
    return thrown.message;
  }
  assert.fail('it was read');
}

const NETJSON = {
  type: 'NetworkGraph',
  protocol: 'olsr',
  version: '0.6.6.2',
  revision: '5031a799fcbe17f61d57e387bc3806de',
  metric: 'etx',
  router_id: '172.16.40.24',
  label: 'a town',
  nodes: [
    { id: '172.16.40.24', label: 'node-A', local_addresses: ['10.0.0.1'], properties: { deep: { er: [1] } } },
    { id: '172.16.40.60', extra: true },
    { id: '__proto__' },
  ],
  links: [
    { source: '172.16.40.24', target: '172.16.40.60', cost: 1, cost_text: '1020 bit/s', properties: { lq: 1 } },
    { source: '172.16.40.60', target: '172.16.40.24', cost: 1.5 },
    { source: '__proto__', target: '172.16.40.60', cost: 2 },
  ],
};
const VIEWER = {
  timestamp: '2020-03-03T14:26:09+0100',
  nodes: [
    { node_id: 'a', hostname: 'attic', mac: '', macs: ['02:00:00:00:00:01'], is_online: true, is_gateway: false },
    { node_id: 'b' },
  ],
  links: [{ source: 'a', target: 'b', source_tq: 0.5, target_tq: 1, type: 'wifi' }],
};

describe('communities', () => {
  for (const [name, nodes, online, links] of [
    ['bielefeld', 273, 245, 238],
    ['leipzig', 279, 208, 347],
    ['ulm', 228, 213, 234],
  ] as const) {
    test(`${name} loads whole`, () => {
      const map = readMap(community(name));
      assert.equal(map.nodes.length, nodes);
      assert.equal(map.nodes.filter((node) => node.online).length, online);
      assert.equal(map.links.length, links);
      assert.deepEqual(map.notes, []);
      assert.ok(map.links.every(({ cost, back }) => cost >= 1 && cost <= 255 && back !== null && back >= 1));
      assert.equal(graphOf(map).nodes().length, nodes);
    });

    test(`${name} as NetJSON says the same`, () => {
      const map = readMap(community(name));
      const again = readMap(writeNetjson(map));
      assert.equal(again.format, 'netjson');
      assert.deepEqual(
        again.nodes.map(({ id }) => id),
        map.nodes.map(({ id }) => id),
      );
      assert.deepEqual(statistics(graphOf(again), 1e6), statistics(graphOf(map), 1e6));
    });
  }
});

test('NetJSON is read', () => {
  const map = readMap(JSON.stringify(NETJSON));
  assert.deepEqual(map, {
    format: 'netjson',
    protocol: 'olsr',
    version: '0.6.6.2',
    metric: 'etx',
    router: '172.16.40.24',
    label: 'a town',
    nodes: [
      { id: '172.16.40.24', label: 'node-A', addresses: ['10.0.0.1'], online: null, gateway: null },
      { id: '172.16.40.60', label: null, addresses: [], online: null, gateway: null },
      { id: '__proto__', label: null, addresses: [], online: null, gateway: null },
    ],
    links: [
      { source: '172.16.40.24', target: '172.16.40.60', cost: 1, back: 1.5, type: null },
      { source: '__proto__', target: '172.16.40.60', cost: 2, back: null, type: null },
    ],
    notes: [],
  });
  assert.deepEqual(
    graphOf(map)
      .edges()
      .map(({ cost }) => cost),
    [1.5, 2],
  );
});

test('static routes need neither version nor metric nor cost', () => {
  const map = readMap(
    JSON.stringify({
      ...NETJSON,
      protocol: 'static',
      version: null,
      metric: null,
      links: [{ source: '172.16.40.24', target: '172.16.40.60' }],
    }),
  );
  assert.deepEqual([map.version, map.metric, map.links[0]?.cost], [null, null, 1]);
});

test('meshviewer.json is read, a UTF-8 byte order mark before it or not', () => {
  const map = readMap(Buffer.from(`\ufeff${JSON.stringify(VIEWER)}`));
  assert.equal(map.format, 'meshviewer');
  assert.deepEqual(map.nodes, [
    { id: 'a', label: 'attic', addresses: ['02:00:00:00:00:01'], online: true, gateway: false },
    { id: 'b', label: null, addresses: [], online: null, gateway: null },
  ]);
  assert.deepEqual(map.links, [{ source: 'a', target: 'b', cost: 2, back: 1, type: 'wifi' }]);
});

test('a link without quality costs most, one without word of it what its other direction costs', () => {
  const links = [
    { source: 'a', target: 'b', source_tq: 0, target_tq: 1 },
    { source: 'a', target: 'b', target_tq: 0.5 },
    { source: 'a', target: 'b' },
  ];
  const map = readMap(JSON.stringify({ ...VIEWER, links }));
  assert.deepEqual(
    map.links.map(({ cost, back }) => [cost, back]),
    [
      [255, 1],
      [2, null],
      [1, null],
    ],
  );
});

test('links to oneself are left out, and that is said', () => {
  const self = { source: 'a', target: 'a', source_tq: 1, target_tq: 1 };
  const map = readMap(JSON.stringify({ ...VIEWER, links: [self, ...VIEWER.links, self] }));
  assert.equal(map.links.length, 1);
  assert.deepEqual(map.notes, ['2 links from a node to itself left out']);
});

test('what NetJSON says survives being written', () => {
  const parallel = [NETJSON.links[0], NETJSON.links[0], ...NETJSON.links];
  const map = readMap(JSON.stringify({ ...NETJSON, links: parallel }));
  assert.deepEqual(
    map.links.map(({ back }) => back),
    [1.5, null, null, null],
  );
  const text = writeNetjson(map);
  assert.deepEqual(readMap(text), map);
  const written = JSON.parse(text) as typeof NETJSON;
  for (const key of ['type', 'protocol', 'version', 'metric', 'router_id', 'label'] as const)
    assert.equal(written[key], NETJSON[key]);
  assert.equal(written.links.length, 5);
});

const change = (path: string, value: unknown, of: object = NETJSON): string => {
  const copy = structuredClone(of) as Record<string, unknown>;
  const keys = path.split('.');
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  if (value === undefined) delete at[keys.at(-1)!];
  else at[keys.at(-1)!] = value;
  return JSON.stringify(copy);
};

const MALFORMED: readonly [what: string, source: string | Uint8Array, says: RegExp][] = [
  ['nothing', '', /^\$: no JSON: Unexpected end/],
  ['not an object', '[1]', /^\$: expected an object, found an array$/],
  ['null', 'null', /^\$: expected an object, found null$/],
  ['cut off', '{\n"type": "Netw', /^\$: no JSON: .*line 2 column 14/],
  ['a slip', '{"type": "NetworkGraph",\n "nodes": [,]}', /^\$: no JSON: .*"nodes": \[,\]\}/],
  ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /^\$: not UTF-8$/],
  ['another type', change('type', 'NetworkRoutes'), /^\$\.type: expected "NetworkGraph", found "NetworkRoutes"$/],
  ['a type that is none', change('type', 7), /^\$\.type: expected "NetworkGraph", found 7$/],
  ['no nodes', change('nodes', undefined), /^\$\.nodes: expected an array, found nothing$/],
  ['nodes no array', change('nodes', {}), /^\$\.nodes: expected an array, found an object$/],
  ['no links', change('links', undefined), /^\$\.links: expected an array, found nothing$/],
  ['no protocol', change('protocol', undefined), /^\$\.protocol: expected a string/],
  ['a node that is none', change('nodes.1', 'b'), /^\$\.nodes\[1\]: expected an object, found "b"$/],
  ['an id that is no string', change('nodes.1.id', 5), /^\$\.nodes\[1\]\.id: expected a string.*found 5$/],
  ['an inherited id', change('nodes.1', {}), /^\$\.nodes\[1\]\.id: expected a string.*found nothing$/],
  ['an empty id', change('nodes.1.id', ''), /^\$\.nodes\[1\]\.id: /],
  ['a long id', change('nodes.1.id', 'x'.repeat(257)), /^\$\.nodes\[1\]\.id: .{1,120}$/],
  ['an id for the terminal', change('nodes.1.id', '\x1b[2J'), /^\$\.nodes\[1\]\.id: .*"\\u001b\[2J"$/],
  [
    'a second node of an id',
    change('nodes.1.id', '172.16.40.24'),
    /^\$\.nodes\[1\]\.id: a second node "172.16.40.24"$/,
  ],
  ['addresses no array', change('nodes.0.local_addresses', 'x'), /^\$\.nodes\[0\]\.local_addresses: expected an array/],
  ['an address no string', change('nodes.0.local_addresses', [1]), /^\$\.nodes\[0\]\.local_addresses\[0\]: /],
  ['a link to nobody', change('links.2.target', 'z'), /^\$\.links\[2\]\.target: there is no node "z"$/],
  ['a link from nobody', change('links.0.source', 'toString'), /^\$\.links\[0\]\.source: there is no node "toString"$/],
  ['a link without end', change('links.0.target', undefined), /^\$\.links\[0\]\.target: expected a string/],
  [
    'a cost of 0',
    change('links.0.cost', 0),
    /^\$\.links\[0\]\.cost: expected a number from 1e-9 to 1000000000, found 0$/,
  ],
  ['a cost below 0', change('links.0.cost', -1), /^\$\.links\[0\]\.cost: /],
  ['a cost without end', change('links.0.cost', 8).replace(':8', ':1e999'), /^\$\.links\[0\]\.cost: /],
  ['a cost in words', change('links.0.cost', '1'), /^\$\.links\[0\]\.cost: expected a number.*found "1"$/],
  ['neither format', '{}', /^\$\.nodes: expected an array, found nothing$/],
  ['no node_id', change('nodes.1', {}, VIEWER), /^\$\.nodes\[1\]\.node_id: expected a string/],
  [
    'a TQ above 1',
    change('links.0.source_tq', 255, VIEWER),
    /^\$\.links\[0\]\.source_tq: expected a number from 0 to 1, found 255$/,
  ],
  ['a TQ below 0', change('links.0.target_tq', -0.1, VIEWER), /^\$\.links\[0\]\.target_tq: /],
  [
    'online in words',
    change('nodes.0.is_online', 'yes', VIEWER),
    /^\$\.nodes\[0\]\.is_online: expected true or false, found "yes"$/,
  ],
  ['nested deeply', `{"type": ${'['.repeat(200_000)}`, /^\$: nested deeper than 64 at line 1, column 73$/],
  ['many small parts', `[${'[],'.repeat(500_001)}0]`, /^\$: more than 500000 objects and arrays$/],
  [
    'many nodes',
    JSON.stringify({ nodes: Array.from({ length: 10_001 }, (_, i) => ({ node_id: `${i}` })), links: [] }),
    /^\$\.nodes: 10001 entries, at most 10000 are read$/,
  ],
  ['large', new Uint8Array(16 * 1024 * 1024 + 1), /^\$: larger than 16777216 bytes$/],
];

for (const [what, source, says] of MALFORMED) {
  test(`refused: ${what}`, () => assert.match(refusal(source), says));
}

test('brackets in strings are not counted', () => {
  const label = `${'['.repeat(100)}\\"${'{'.repeat(100)}`;
  assert.equal(readMap(JSON.stringify({ ...NETJSON, label })).label, label);
});

test('anything is read or refused, and what is read keeps its promises', () => {
  const value = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('a', 'b', '172.16.40.24', '172.16.40.60', '__proto__', '') },
    fc.json().map((text) => JSON.parse(text) as unknown),
    fc.double(),
    fc.constant(undefined),
  );
  const paths = fc.constantFrom(
    ...['type', 'protocol', 'metric', 'nodes', 'links', 'label', 'nodes.0', 'nodes.0.id', 'nodes.1.id', 'links.0'],
    ...['links.0.source', 'links.1.target', 'links.1.cost', 'nodes.0.local_addresses', 'nodes.2.node_id'],
  );
  fc.assert(
    fc.property(paths, value, fc.constantFrom(NETJSON, VIEWER), (path, to, of) => {
      let source: string;
      try {
        source = change(path, to, of);
      } catch {
        return; // The other format has no such place.
      }
      let map: MeshMap;
      try {
        map = readMap(source);
      } catch (thrown) {
        assert.equal((thrown as AgentError).code, 'E_MAP', String(thrown));
        return;
      }
      const ids = new Set(map.nodes.map(({ id }) => id));
      assert.equal(ids.size, map.nodes.length);
      for (const { source: from, target, cost, back } of map.links) {
        assert.ok(ids.has(from) && ids.has(target) && from !== target);
        assert.ok(cost > 0 && Number.isFinite(cost) && (back === null || (back > 0 && Number.isFinite(back))));
      }
    }),
    { numRuns: 2000 },
  );
});

test('any bytes are refused with a place', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      assert.match(refusal(bytes), /^\$/);
    }),
  );
});
