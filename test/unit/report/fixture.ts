/** A mesh of three in a row, seen from its end, with one repaired fault; and the sources of an API over it. */
import type { BeaconView } from '../../../agent/beacon/beacon.ts';
import type { Tables } from '../../../agent/core/event.ts';
import { type Link, type MeshInfo, type Neighbour, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { Decision, Fault } from '../../../agent/core/words.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import { Mesh } from '../../../agent/mesh/mesh.ts';
import type { PeerView } from '../../../agent/report/api/peers.ts';
import type { JournalEntry, Sources, TrustDesk } from '../../../agent/report/sources.ts';

export const SELF = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
const B1 = '02:00:00:00:01:0b';
const C1 = '02:00:00:00:01:0c';

export const link: Link = {
  index: 7,
  name: 'eth0',
  mac: '02:00:00:00:01:0a',
  up: true,
  carrier: true,
  mtu: 1532,
  master: 3,
  kind: '',
  peer: 0,
};

export const MESH_INFO: MeshInfo = {
  index: 3,
  name: 'bat0',
  mac: '02:00:00:00:02:0a',
  version: '2022.3',
  algorithm: 'BATMAN_IV',
  primary: { index: 4, name: 'primary0', mac: SELF },
  settings: STOCK_SETTINGS,
};

/** C's far interface is an originator too while it is our neighbour's neighbour; B1 is one as any neighbour's is. */
export function tablesOfThree(neighbour: Partial<Neighbour> = {}, tq = 255): Tables {
  const path = (originator: string, its: number) => ({
    originator,
    neighbour: B1,
    interface: link.index,
    interfaceName: link.name,
    best: true,
    lastSeenMs: 100,
    tq: its,
  });
  return {
    mesh: MESH_INFO,
    hardInterfaces: [
      { index: 4, name: 'primary0', mac: SELF, active: true },
      { index: link.index, name: link.name, mac: link.mac, active: true },
    ],
    originators: [path(B1, tq), path(B, tq), path(C, 225)],
    neighbours: [{ neighbour: B1, interface: link.index, interfaceName: link.name, lastSeenMs: 100, ...neighbour }],
    gateways: [],
  };
}

export function meshOfThree(): Mesh {
  const mesh = new Mesh();
  mesh.on({ type: 'settings', settings: { ...NO_SETTINGS, mode: 'act' } }, 0);
  mesh.on({ type: 'link', link, cause: 'resync' }, 0);
  mesh.on({ type: 'tables', tables: tablesOfThree() }, 0);
  mesh.on({ type: 'started', node: 'router-a', epoch: 1, marks: [] }, 0);
  return mesh;
}

export const FAULT: Fault = {
  id: 'e1-f1',
  class: 'link-down',
  at: 5 * SECOND,
  interface: 'eth1',
  interfaceIndex: 8,
  peer: C1,
  confidence: 1,
  evidence: [{ source: 'rtnetlink', what: 'the carrier is gone', at: 5 * SECOND }],
  affected: [],
};

const planned: Decision = {
  fault: FAULT,
  step: 'planned',
  at: 5 * SECOND + 0.12 * MS,
  action: 'detach',
  alternatives: [
    { action: 'none', cost: 0, refused: '2 routers were reached through it' },
    { action: 'kick', cost: 1, refused: null },
    { action: 'detach', cost: 2, refused: null },
    { action: 'recreate-mesh', cost: 9, refused: 'the mesh interface is there' },
  ],
  why: 'the kick moves routes at once, and out of the mesh no stale route stays',
  result: null,
};

const verified: Decision = {
  ...planned,
  step: 'verified',
  at: 5 * SECOND + 43.1 * MS,
  result: '2 of 2 routes go another way',
};

export const ENTRIES: readonly JournalEntry[] = [
  { id: 1, wall: Date.UTC(2026, 0, 2, 3, 4, 5, 6), decision: planned },
  { id: 2, wall: Date.UTC(2026, 0, 2, 3, 4, 5, 49), decision: verified },
];

const NOTHING = { id: 0, hash: new Uint8Array(32) };
export const BEACON: BeaconView = {
  profile: 'default',
  superframeNs: 500 * MS,
  slotNs: 5 * MS,
  slots: 100,
  place: { slot: 42, stride: 1, phase: 0 },
  overfull: false,
  within2Hops: 2,
  collisions: 1,
  root: C,
  depth: 2,
  meshNs: 60 * SECOND,
  offsetNs: 50 * SECOND,
  driftPpm: -12.3456,
  boundNs: 87_654,
  jitterNs: 61_000,
  suspicions: 3,
  neighbours: [{ interface: 'eth0', address: B1, node: B, slot: 7, heard: 0.9375, state: 'alive', lastNs: 120 * MS }],
};

/** A steward of a mesh of two, and an invitation that it makes. */
export const DESK: TrustDesk = {
  wake: () => true,
  view: () => ({
    state: 'member',
    id: 'spiffe://x0tta6bl4.mesh/router/attic',
    key: 'ab'.repeat(32),
    trustDomain: 'x0tta6bl4.mesh',
    isSteward: true,
    notBefore: Date.UTC(2026, 0, 2),
    notAfter: Date.UTC(2026, 0, 3),
    nowMs: Date.UTC(2026, 0, 2, 3),
    clock: 'confirmed',
    bundle: 1,
    stewards: [{ node: 'attic', notAfter: Date.UTC(2027, 0, 2), isReached: true }],
    revoked: [{ node: 'shed', key: 'cd'.repeat(32), at: Date.UTC(2026, 0, 2), by: 'ab'.repeat(32), isByOwner: false }],
    sessions: 1,
    openInvitations: 0,
    air: { epoch: 7, keys: 2, ageNs: 90 * MS * 1000, isMixed: false },
    outcasts: [{ key: 'cd'.repeat(32), node: 'shed', addresses: ['02:00:00:00:00:5d'] }],
    admitted: [B1],
    names: new Map([
      [B, 'hall'],
      [B1, 'hall'],
    ]),
    trouble: '',
    suite: 'X-Wing',
    providers: { x25519: 'node:crypto', mlDsa65: 'noble' },
  }),
  trouble: () => null,
  join() {},
  joinBy() {},
  invite: (_node, lifeMs) => ({ text: 'aaaaa-bbbbb', id: 'ff'.repeat(8), untilMs: Date.UTC(2026, 0, 2) + lifeMs }),
  revoke() {},
  install() {},
  candidate: () => ({ node: 'attic', identity: new Uint8Array(4), spki: new Uint8Array(4) }),
  members: () => [{ key: 'ab'.repeat(32), node: 'attic', notAfter: Date.UTC(2026, 0, 3), by: 'ab'.repeat(32) }],
  barred: () => [
    { credential: `ssh:${'cd'.repeat(32)}`, key: 'ef'.repeat(32), node: 'shed', at: Date.UTC(2026, 0, 2) },
  ],
  items: () => [{ kind: 'bundle', bytes: new Uint8Array(4), hash: 'ef'.repeat(16) }],
};

export const PEER: PeerView = {
  id: 'spiffe://x0tta6bl4.mesh/router/attic',
  node: 'attic',
  address: 'fe80::1%bat0',
  role: 'initiator',
  since: 4 * SECOND,
  suite: 'X-Wing',
  hybrid: 'TLS',
  rttNs: 1.5e6,
  asked: 1,
  handled: 2,
  queued: 300,
  bytesIn: 4000,
  bytesOut: 5000,
};

export interface Asking extends Sources {
  readonly asked: unknown[];
}

export function sources(more: Partial<Sources> = {}): Asking {
  const mesh = meshOfThree();
  const asked: unknown[] = [];
  return {
    version: '0.1.0',
    startedAt: 0,
    now: () => 10 * SECOND,
    wall: () => Date.UTC(2026, 0, 2, 3, 4, 10),
    degraded: () => [],
    isRadio: () => false,
    mesh: () => mesh.view(),
    beacon: () => BEACON,
    stamps: () => ({ xdp: 30, socket: 10 }),
    dropped: () => [{ hears: 'alarms', interface: null, frames: 0 }],
    probes: () => ({
      why: null,
      targets: [
        { target: '10.77.0.2', sent: 61, answered: 60, lastNs: 3.2e6, medianNs: 2.75e6, loss: 1 / 60, error: null },
        { target: 'fe80::1%bat0', sent: 2, answered: 0, lastNs: null, medianNs: null, loss: 1, error: 'EHOSTUNREACH' },
      ],
    }),
    heal: () => ({
      mode: 'act',
      faults: [],
      untold: 0,
      repairs: [],
      budgets: [{ name: 'kick', left: 19.5, capacity: 20 }],
      classes: [
        { class: 'link-lossy', mode: 'auto', safe: false, acts: false, right: 19.5, wrong: 1, confidence: 0.8 },
      ],
      known: [{ class: 'link-lossy', action: 'link-cost', tries: 4, successes: 3, repairNs: 9e9, sideEffects: 0 }],
      undoArmed: ['detach-eth1'],
      authenticated: true,
    }),
    journal: {
      query: ({ limit, sinceId, faultId }) => {
        const found = ENTRIES.filter(
          ({ id, decision }) => id > (sinceId ?? 0) && (faultId === undefined || decision.fault.id === faultId),
        );
        return sinceId === undefined ? found.slice(-limit) : found.slice(0, limit);
      },
      status: () => ({ entries: ENTRIES.length, pending: 0, omitted: 0 }),
      chain: () => ({ checkpoint: NOTHING, head: NOTHING, rows: [] }),
    },
    recorder: {
      list: () => [{ id: 3, wall: Date.UTC(2026, 0, 2, 3, 5, 5), bytes: 12_345, faults: ['e1-f1'], why: 'faults' }],
      export: (id) => (id === null || id === 3 ? Buffer.from(`recording ${id}`) : null),
    },
    peers: {
      view: () => [PEER],
      halfOpen: 1,
      ask: () => '0123456789abcdef',
      answer: () => '{"version":1}',
    },
    config: () => ({ heal: { mode: 'act' } }),
    process: () => ({ rssBytes: 50 * 2 ** 20, cpuSeconds: 1.25 }),
    outcome: () => null,
    ask: (event) => {
      asked.push(event);
      return event.type === 'kick-asked' ? [{ ...planned, action: 'kick' }] : [];
    },
    asked,
    ...more,
  };
}
