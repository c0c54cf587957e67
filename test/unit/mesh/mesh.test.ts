import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tables } from '../../../agent/core/event.ts';
import type { Link, MeshInfo, Neighbour, OriginatorPath } from '../../../agent/core/kernel.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import { Mesh } from '../../../agent/mesh/mesh.ts';
import { link, MESH_INFO, meshOfThree, tablesOfThree } from '../report/fixture.ts';

const SELF = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
/** B's interface towards us. */
const B1 = '02:00:00:00:01:0b';

test('a neighbour is mapped to its originator, and its interface is no router', () => {
  const view = meshOfThree().view();
  assert.equal(view.self, SELF);
  assert.deepEqual(
    view.links.map(({ neighbour, originator, quality }) => [neighbour, originator, quality]),
    [[B1, B, 'EXCELLENT']],
  );
  assert.deepEqual(
    view.nodes.map(({ originator, nextHop }) => [originator, nextHop]),
    [
      [B, B1],
      [C, B1],
    ],
  );
  assert.deepEqual(
    view.edges.map(({ from, to, kind }) => [from, to, kind]),
    [
      [SELF, B, 'link'],
      [B, C, 'route'],
    ],
  );
  assert.ok(Math.abs(view.edges[1]!.cost - 255 / 225) < 1e-9);
});

test('what neighbours offer besides is an alternative, unless it fell silent or leads nowhere', () => {
  const D1 = '02:00:00:00:01:0d';
  const D = '02:00:00:00:00:0d';
  const other: Link = { ...link, index: 8, name: 'eth1', mac: '02:00:00:00:03:0a' };
  const over1 = (originator: string, tq: number, more: Partial<OriginatorPath> = {}): OriginatorPath => {
    return { ...path(originator, tq), neighbour: D1, interface: other.index, interfaceName: 'eth1', ...more };
  };
  const kinds = (more: Partial<OriginatorPath>) => {
    const mesh = meshOfThree();
    mesh.on({ type: 'link', link: other, cause: 'resync' }, 0);
    const paths = [path(B1, 255), path(B, 255), path(C, 225), over1(D1, 255), over1(D, 255)];
    const offered = [over1(C, 200, { best: false, ...more }), over1(B, 180, { best: false, ...more })];
    const read = tables([...paths, ...offered]);
    const near = { neighbour: D1, interface: other.index, interfaceName: 'eth1', lastSeenMs: 100 };
    mesh.on({ type: 'tables', tables: { ...read, neighbours: [...read.neighbours, near] } }, SECOND);
    return mesh.view().edges.map(({ from, to, kind }) => `${from.slice(-1)}${to.slice(-1)} ${kind}`);
  };
  assert.deepEqual(kinds({}), ['ab link', 'ad link', 'bc route', 'dc alternative', 'db alternative']);
  assert.deepEqual(kinds({ lastSeenMs: 3600 }), ['ab link', 'ad link', 'bc route']);
  assert.deepEqual(kinds({ tq: 0 }), ['ab link', 'ad link', 'bc route']);
});

test('a neighbour whose primary is the interface that we hear is its own originator', () => {
  const mesh = new Mesh();
  mesh.on({ type: 'link', link, cause: 'resync' }, 0);
  const paths: OriginatorPath[] = [path(B1, 255), path(C, 220)];
  mesh.on({ type: 'tables', tables: tables(paths) }, 0);
  const view = mesh.view();
  assert.equal(view.links[0]!.originator, B1);
  assert.deepEqual(
    view.nodes.map(({ originator }) => originator),
    [C, B1],
  );
});

test('BATMAN_V: the one originator at full throughput, unless two could be', () => {
  const info: MeshInfo = { ...MESH_INFO, algorithm: 'BATMAN_V' };
  const v = (originator: string, throughput: number): OriginatorPath => {
    const { tq: _, ...rest } = path(originator, 0);
    return { ...rest, throughput };
  };
  const read = (...paths: OriginatorPath[]) => {
    const mesh = new Mesh();
    mesh.on({ type: 'link', link, cause: 'resync' }, 0);
    mesh.on({ type: 'tables', tables: tables(paths, info, { throughput: 90_000 }) }, 0);
    return mesh.view();
  };
  const clear = read(v(B, 90_000), v(C, 79_000));
  assert.equal(clear.links[0]!.originator, B);
  assert.equal(clear.links[0]!.quality, 'GOOD');
  assert.ok(Math.abs(clear.edges[0]!.cost - 1e6 / 90_000) < 1e-9);
  assert.equal(read(v(B, 90_000), v(C, 90_000)).links[0]!.originator, null);
});

test('carrier lost is BAD at once, silence after some intervals', () => {
  const mesh = meshOfThree();
  const effects = mesh.on({ type: 'link', link: { ...link, carrier: false }, cause: 'event' }, SECOND);
  assert.equal(mesh.view().links[0]!.quality, 'BAD');
  assert.equal(mesh.view().links[0]!.carrier, false);
  assert.ok(effects.some((effect) => effect.type === 'log' && effect.level === 'info'));

  const other = meshOfThree();
  other.on({ type: 'tables', tables: tablesOfThree({ lastSeenMs: 3600 }) }, 20 * SECOND);
  assert.equal(other.view().links[0]!.quality, 'BAD');
});

test('echoes give latency and loss', () => {
  const mesh = meshOfThree();
  const about = { neighbour: B1, interface: link.index };
  for (let i = 0; i < 30; i++) mesh.on({ type: 'echo', ...about, rttNs: 3 * MS }, i);
  mesh.on({ type: 'echo-lost', ...about }, 31);
  mesh.on({ type: 'echo', neighbour: C, interface: 99, rttNs: MS }, 32);
  const [seen] = mesh.view().links;
  assert.equal(seen!.latencyNs, 1.5 * MS);
  assert.ok(seen!.loss! > 0.01 && seen!.loss! < 0.02);
});

test('readings close together count once', () => {
  const mesh = meshOfThree();
  const before = mesh.view().links[0]!.quality;
  for (let i = 0; i < 50; i++) mesh.on({ type: 'tables', tables: tablesOfThree({}, 254) }, 10 * SECOND + i * 10 * MS);
  assert.equal(mesh.view().links[0]!.quality, before === 'EXCELLENT' ? 'GOOD' : before);
});

test('what is gone is forgotten, and no event makes it throw', () => {
  const mesh = meshOfThree();
  mesh.on({ type: 'settings', settings: { ...NO_SETTINGS, deadAfterNs: 5 * SECOND } }, SECOND);
  const empty: Tables = { mesh: null, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };
  mesh.on({ type: 'tables', tables: empty }, 20 * SECOND);
  assert.deepEqual(mesh.view().links, []);
  assert.deepEqual(
    mesh.view().nodes.map(({ state }) => state),
    ['dead', 'dead'],
  );
  assert.equal(mesh.view().self, SELF);
  mesh.on({ type: 'link-gone', index: link.index, name: link.name }, 21 * SECOND);
  mesh.on({ type: 'tick' }, 100 * SECOND);
  assert.deepEqual(mesh.view().nodes, []);
});

function path(originator: string, tq: number): OriginatorPath {
  return {
    originator,
    neighbour: B1,
    interface: link.index,
    interfaceName: link.name,
    best: true,
    lastSeenMs: 100,
    tq,
  };
}

function tables(originators: OriginatorPath[], mesh: MeshInfo = MESH_INFO, neighbour: Partial<Neighbour> = {}): Tables {
  const row = { neighbour: B1, interface: link.index, interfaceName: link.name, lastSeenMs: 100, ...neighbour };
  return { mesh, hardInterfaces: [], originators, neighbours: [row], gateways: [] };
}
