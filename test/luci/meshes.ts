/**
 * Answers of an agent in meshes that the machine of a test does not have: radios, gateways, a bad hour, 300 routers. In the
 * shapes of the API, which the suite holds them against.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe } from '../../agent/config/describe.ts';
import { readMap } from '../../agent/mesh/map.ts';
import type { Of } from '../../agent/report/shape.ts';
import type * as shapes from '../../agent/report/shapes.ts';
import { topologyOfMap } from '../../agent/report/topology.ts';
import type { Args } from '../../tools/luci/plugin.ts';

type Answers = Readonly<Record<string, (args: Args) => unknown>>;
type Topology = Of<typeof shapes.topology>;

const hex = (n: number): string => n.toString(16).padStart(2, '0');
export const router = (n: number): string => `02:00:00:00:${hex(n >> 8)}:${hex(n & 255)}`;
const NAMES = [
  'roof-north',
  'library',
  'bakery',
  'school',
  'old-mill',
  'harbour',
  'town-hall',
  'garden',
  'workshop',
  'church',
];
const SELF = router(0);

/** Who hears whom, with the transmit quality. Router 0 is where we are, 6 and 9 have a way out. */
const HEARD: readonly (readonly [number, number, number])[] = [
  [0, 1, 255],
  [0, 2, 231],
  [0, 3, 170],
  [1, 4, 250],
  [1, 5, 196],
  [2, 6, 243],
  [3, 7, 120],
  [4, 8, 238],
  [6, 9, 216],
  [7, 8, 70],
];

function topologyOf(heard: readonly (readonly [number, number, number])[], count: number): Topology {
  const edges = heard.map(([from, to, tq]) => ({
    from: router(from),
    to: router(to),
    kind: from === 0 ? ('link' as const) : ('route' as const),
    cost: Math.round((255 / tq) * 1000) / 1000,
  }));
  return {
    version: 1,
    algorithm: 'BATMAN_IV',
    batmanVersion: '2025.4',
    self: SELF,
    nodes: Array.from({ length: count }, (_, n) => ({ id: router(n), cost: n, hops: n === 0 ? 0 : 1, via: null })),
    edges: [...edges, { from: router(3), to: router(4), kind: 'alternative', cost: 2.4 }],
    statistics: {
      nodes: count,
      edges: edges.length,
      components: 1,
      meanDegree: 2,
      diameterCost: 6,
      diameterHops: 5,
      meanCost: 3,
      sources: count,
    },
    cuts: { routers: [{ id: router(2), parts: [7, 2] }], edges: [] },
  };
}

/** Every other one is known by its certificate, the rest by /etc/bat-hosts. */
const certified = (n: number): string | null => (n % 2 === 1 ? NAMES[n]! : null);
const hopOf = (n: number): number => (n === 4 || n === 5 || n === 8 ? 1 : n === 6 || n === 9 ? 2 : n === 7 ? 3 : n);

const nodeOf = (n: number, over: object = {}) => ({
  originator: router(n),
  node: certified(n),
  state: 'joined',
  health: 'healthy',
  nextHop: router(hopOf(n)),
  nextHopNode: certified(hopOf(n)),
  interface: n === 1 ? 'eth1' : 'mesh0',
  tq: 200,
  throughput: null,
  lastSeenSeconds: 0.6,
  sinceSeconds: 86_400 * n,
  ...over,
});

const linkOf = (n: number, over: object) => ({
  interface: 'mesh0',
  neighbour: `06:00:00:00:01:${hex(n)}`,
  originator: router(n),
  node: certified(n),
  quality: 'GOOD',
  carrier: true,
  tq: 231,
  throughput: null,
  latencyMs: 2.4,
  loss: 0.008,
  lastSeenSeconds: 0.4,
  kind: 'wifi',
  radio: null,
  incoming: null,
  ...over,
});

const radio = (signalDbm: number) => ({
  signalDbm,
  bitrateKbits: 130_000,
  expectedKbits: 62_000,
  retries: 120,
  failed: 3,
  inactiveMs: 40,
  peerLink: 'established',
});

let number = 0;
const entry = (minutesAgo: number, fault: string, step: string, over: object = {}) => ({
  id: ++number,
  time: new Date(Date.now() - minutesAgo * 60_000).toISOString(),
  fault,
  class: 'link-down',
  interface: 'eth1',
  peer: router(1),
  step,
  action: 'kick',
  afterMs: 0.14,
  faultAtNs: 5e9,
  why: 'routes move at once',
  result: null,
  ...over,
});

function journal() {
  number = 0;
  return [
    entry(2900, 'e3-f1', 'planned', {
      class: 'link-lossy',
      interface: 'mesh0',
      peer: router(3),
      action: 'link-cost',
      afterMs: 1.2,
    }),
    entry(2899, 'e3-f1', 'observed', {
      class: 'link-lossy',
      interface: 'mesh0',
      peer: router(3),
      action: 'link-cost',
      afterMs: 1.3,
    }),
    entry(300, 'e3-f2', 'planned', {
      class: 'gateway-lost',
      interface: null,
      peer: router(9),
      action: 'gateway-reselect',
      afterMs: 0.4,
    }),
    entry(300, 'e3-f2', 'failed', {
      class: 'gateway-lost',
      interface: null,
      peer: router(9),
      action: 'gateway-reselect',
      afterMs: 5000,
      result: 'no gateway answered',
    }),
    entry(41, 'e3-f3', 'planned', { interface: 'mesh0', peer: router(3), class: 'link-silent', afterMs: 0.21 }),
    entry(41, 'e3-f3', 'verified', {
      interface: 'mesh0',
      peer: router(3),
      class: 'link-silent',
      afterMs: 71.4,
      result: '3 of 3 routes go another way',
    }),
    entry(18, 'e3-f4', 'planned'),
    entry(18, 'e3-f4', 'done', { action: 'detach', afterMs: 1.9 }),
    entry(18, 'e3-f4', 'verified', { afterMs: 38.2, result: '5 of 5 routes go another way' }),
    entry(17, 'e3-f4', 'over', { afterMs: 61_000 }),
  ];
}

/** A town's mesh of ten with radios, seen from one of them. */
export function town(health: 'ok' | 'degraded' | 'problem' = 'ok'): Answers {
  return {
    names: () => ({
      names: Object.fromEntries(NAMES.flatMap((name, n) => (certified(n) === null ? [[router(n), name]] : []))),
    }),
    status: () => ({
      version: 1,
      agent: { version: '0.1.0', uptimeSeconds: 793_000, degraded: [] },
      health,
      reasons:
        health === 'ok'
          ? []
          : health === 'degraded'
            ? [
                'link-lossy of mesh0 02:00:00:00:00:03 (e3-f5) is left to batman-adv: every router that is there is reached another way',
              ]
            : ['link-down of eth1 02:00:00:00:00:01 (e3-f6) is not over, and it is the way to 4 routers'],
      node: 'roof-north',
      now: new Date().toISOString(),
      originator: SELF,
      mesh: {
        interface: 'bat0',
        present: true,
        algorithm: 'BATMAN_IV',
        batmanVersion: '2025.4',
        originatorIntervalMs: 1000,
        hopPenalty: 30,
        peers: 9,
        gateways: 2,
      },
      hardInterfaces: [
        { name: 'primary0', mac: SELF, active: true, carrier: true, primary: true },
        { name: 'mesh0', mac: '06:00:00:00:01:00', active: true, carrier: true, primary: false },
        { name: 'eth1', mac: '06:00:00:00:02:00', active: true, carrier: health !== 'problem', primary: false },
      ],
      xdp: null,
      dropped: [],
      identity: null,
      heal: {
        mode: 'act',
        authenticated: true,
        open: health === 'problem' ? 1 : 0,
        faults: [],
        repairs: [],
        last: [],
        budgets: [{ name: 'kicks', left: 20, capacity: 20 }],
        undoArmed: [],
      },
    }),
    links: () => ({
      version: 1,
      links: [
        linkOf(1, { interface: 'eth1', kind: 'ethernet', quality: 'EXCELLENT', tq: 255, latencyMs: 0.31, loss: 0 }),
        linkOf(2, { radio: radio(-61) }),
        linkOf(3, { quality: 'POOR', tq: 170, loss: 0.043, latencyMs: 18.4, radio: radio(-79), lastSeenSeconds: 1.7 }),
      ],
      isolated: [],
    }),
    nodes: () => ({ version: 1, nodes: Array.from({ length: 9 }, (_, n) => nodeOf(n + 1)) }),
    gateways: () => ({
      version: 1,
      gateways: [
        { originator: router(6), best: true, tq: 219, throughput: null, downKbits: 100_000, upKbits: 40_000 },
        { originator: router(9), best: false, tq: 180, throughput: null, downKbits: 50_000, upKbits: 10_000 },
      ],
    }),
    topology: () => topologyOf(HEARD, 10),
    history: () => {
      const { edges } = topologyOf(HEARD, 10);
      const used = edges.filter(({ kind }) => kind !== 'alternative');
      return {
        version: 1,
        edges: used.map(({ from, to, kind }) => ({ from, to, kind })),
        frames: [
          { ageSeconds: 3600, changes: used.flatMap(({ cost }, i) => [i, cost]) },
          { ageSeconds: 2460, changes: [2, 0] },
          { ageSeconds: 2100, changes: [2, 1.5] },
          { ageSeconds: 1080, changes: [0, 0, 3, 0, 4, 0] },
          { ageSeconds: 1020, changes: [0, 1, 3, 1.02, 4, 1.3] },
        ],
      };
    },
    options: () => ({ version: 1, sections: describe() }),
    config_trial: () => ({ version: 1, secondsLeft: null }),
    heal_mode: () => ({
      version: 1,
      mode: 'act',
      classes: (['link-down', 'link-silent', 'link-lossy', 'gateway-lost', 'partition'] as const).map((name, n) => ({
        class: name,
        mode: 'auto',
        safe: n < 2,
        acts: n < 2,
        right: 14 - n * 3,
        wrong: n,
        confidence: 0.9 - n / 10,
        repairs: [],
      })),
    }),
    explain: ({ fault }) => {
      const entries = journal().filter((one) => one.fault === fault);
      return {
        version: 1,
        fault,
        text: [
          'Fault e3-f4: the link lost its carrier (interface eth1).',
          '',
          'What was seen:',
          '  +0.00 ms  rtnetlink: the carrier is gone',
        ],
        evidence: [
          { source: 'rtnetlink', what: 'eth1 lost its carrier', afterMs: 0 },
          { source: 'batadv tables', what: '5 routers were reached through it', afterMs: 0.05 },
        ],
        alternatives: [
          { action: 'none', cost: 0, refused: '5 routers were reached through it', taken: false },
          { action: 'kick', cost: 1, refused: null, taken: true },
          { action: 'detach', cost: 2, refused: null, taken: true },
          { action: 'recreate-mesh', cost: 9, refused: 'the mesh interface is there', taken: false },
        ],
        entries,
      };
    },
    heal_log: ({ limit }) => ({ version: 1, entries: journal().slice(-Number(limit ?? 20)) }),
  };
}

/** The same with a topology of its own: a star of stars, as a router knows a mesh of which it hears a few. */
export function large(count: number): Answers {
  const heard = Array.from({ length: count - 1 }, (_, i): [number, number, number] =>
    i < 6 ? [0, i + 1, 255 - i * 20] : [1 + (i % (i < 30 ? 6 : 24)), i + 1, 250 - ((i * 37) % 190)],
  );
  const topology = topologyOf(heard, count);
  const nodes = Array.from({ length: 9 }, (_, n) => nodeOf(n + 1, { node: null, nextHopNode: null }));
  return { ...town(), topology: () => topology, nodes: () => ({ version: 1, nodes }), names: () => ({ names: {} }) };
}

/** A community's mesh as it was in March 2020: Leipzig, 279 routers, seen from the one with the most links. */
export function community(): Answers {
  const path = join(import.meta.dirname, '..', 'data', 'freifunk', 'leipzig-meshviewer.json.gz');
  const map = readMap(gunzipSync(readFileSync(path)));
  const count = new Map<string, number>();
  for (const { source, target } of map.links)
    for (const end of [source, target]) count.set(end, (count.get(end) ?? 0) + 1);
  const self = [...count].sort((a, b) => b[1] - a[1])[0]![0];
  const found = topologyOfMap({ ...map, router: self });
  const base = town();
  return {
    ...base,
    topology: () => ({ version: 1, ...found, algorithm: 'BATMAN_IV' }),
    status: () => ({ ...(base.status!({}) as object), originator: self }),
    gateways: () => ({
      version: 1,
      gateways: map.nodes
        .filter(({ gateway }) => gateway === true)
        .map(({ id }, i) => ({
          originator: id,
          best: i === 0,
          tq: 200,
          throughput: null,
          downKbits: 1e5,
          upKbits: 1e5,
        })),
    }),
    links: () => ({ version: 1, links: [], isolated: [] }),
    nodes: () => ({ version: 1, nodes: [] }),
    names: () => ({ names: {} }),
  };
}
