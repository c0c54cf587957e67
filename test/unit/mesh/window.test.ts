import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { OriginatorPath } from '../../../agent/core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { Addresses } from '../../../agent/mesh/addresses.ts';
import { Mesh } from '../../../agent/mesh/mesh.ts';
import { SteadyQuality } from '../../../agent/mesh/quality.ts';
import { TqWindow, WINDOW_OGMS } from '../../../agent/mesh/window.ts';
import { link, MESH_INFO, meshOfThree, tablesOfThree } from '../report/fixture.ts';

const B = '02:00:00:00:00:0b';
const B1 = '02:00:00:00:01:0b';
const EMPTY = { ...tablesOfThree(), originators: [], neighbours: [] };

/** What the kernel shows of a perfect cable after `n` OGMs of a new window; `before` is what the average still holds. */
function tqAfter(n: number, before: number[] = []): number {
  const one = (i: number) => 255 - Math.floor((255 * (64 - Math.min(i, 64)) ** 3) / 64 ** 3);
  const ring = [...before, ...Array.from({ length: n }, (_, i) => one(i + 1))].slice(-5);
  return Math.floor(ring.reduce((sum, tq) => sum + tq, 0) / ring.length);
}

const tables = (mesh: Mesh, now: Nanos, tq: number) => mesh.on({ type: 'tables', tables: tablesOfThree({}, tq) }, now);
const first = (mesh: Mesh) => mesh.view().links[0]!;
const joins = (effects: readonly Effect[]) =>
  effects.filter((effect) => effect.type === 'log' && effect.message === 'router joined');

function reattach(mesh: Mesh, at: Nanos): void {
  mesh.on({ type: 'link', link: { ...link, carrier: false }, cause: 'event' }, at);
  mesh.on({ type: 'link', link: { ...link, carrier: false, master: 0 }, cause: 'event' }, at + SECOND);
  mesh.on({ type: 'tables', tables: EMPTY }, at + 2 * SECOND);
  mesh.on({ type: 'link', link: { ...link, master: 0 }, cause: 'event' }, at + 3 * SECOND);
  mesh.on({ type: 'link', link, cause: 'event' }, at + 4 * SECOND);
}

test('a perfect cable that was out of bat0 is unknown, then EXCELLENT; BAD only for the time of hysteresis', () => {
  for (const latency of [null, 2 * MS]) {
    const mesh = meshOfThree();
    assert.equal(first(mesh).loss, 0);
    reattach(mesh, 10 * SECOND);
    assert.equal(first(mesh).quality, 'BAD', 'carrier lost');
    for (let n = 1; n <= 80; n++) {
      const now = (14 + n) * SECOND;
      if (latency !== null) mesh.on({ type: 'echo', neighbour: B1, interface: link.index, rttNs: latency }, now);
      tables(mesh, now, tqAfter(n));
      const { loss, quality } = first(mesh);
      if (tqAfter(n) < 255 && (latency === null || n < 20)) assert.equal(loss, null, `${n} OGMs`);
      if (n >= 4) assert.equal(quality, latency === null && loss === null ? null : 'EXCELLENT', `${n} OGMs`);
    }
    assert.equal(first(mesh).loss, 0);
  }
});

test('carrier lost is BAD at once while the loss is unknown', () => {
  const mesh = meshOfThree();
  reattach(mesh, 10 * SECOND);
  for (let n = 1; n < 10; n++) tables(mesh, (14 + n) * SECOND, tqAfter(n));
  assert.equal(first(mesh).quality, null);
  mesh.on({ type: 'link', link: { ...link, carrier: false }, cause: 'event' }, 30 * SECOND);
  assert.equal(first(mesh).quality, 'BAD');
});

test('a lossy link says so when the window has had its time, and at once where it was full before', () => {
  const mesh = new Mesh();
  mesh.on({ type: 'link', link, cause: 'resync' }, 0);
  for (let s = 0; s < WINDOW_OGMS; s++) tables(mesh, s * SECOND, 200);
  assert.equal(first(mesh).loss, null);
  tables(mesh, WINDOW_OGMS * SECOND, 200);
  assert.equal(first(mesh).quality, 'BAD');

  const other = meshOfThree();
  for (let s = 1; s <= 10; s++) tables(other, s * SECOND, 255 - 4 * s);
  assert.equal(first(other).quality, 'BAD');
});

test('the other end began anew: unknown, and the class stays', () => {
  for (const gap of [1, 3, 10]) {
    const mesh = meshOfThree();
    for (let s = 1; s <= 5; s++) tables(mesh, s * SECOND, 255);
    for (let n = 1; n <= 80; n++) {
      tables(mesh, (4 + gap + n) * SECOND, tqAfter(n, [255, 255, 255, 255, 255]));
      assert.equal(first(mesh).quality, 'EXCELLENT', `gap ${gap}, ${n} OGMs`);
    }
    assert.equal(first(mesh).loss, 0);
  }
});

test('a lossy link stays BAD while its window fills anew', () => {
  const steady = new SteadyQuality();
  steady.take({ loss: 0.2, latencyNs: MS, throughput: null });
  for (let i = 0; i < 20; i++) assert.equal(steady.take({ loss: null, latencyNs: MS, throughput: null }), 'BAD');
  steady.force('BAD');
  for (let i = 0; i < 3; i++) steady.take({ loss: null, latencyNs: MS, throughput: null });
  assert.equal(steady.quality, 'EXCELLENT', 'but not what was forced');
});

test('echoes go before TQ where there are enough, and none is lost by a cut', () => {
  const mesh = meshOfThree();
  const about = { neighbour: B1, interface: link.index };
  for (let i = 0; i < 30; i++) mesh.on({ type: 'echo', ...about, rttNs: 3 * MS }, i);
  for (let s = 1; s < 20; s++) tables(mesh, s * SECOND, 240);
  assert.equal(first(mesh).loss, 0);
  mesh.on({ type: 'link', link: { ...link, carrier: false }, cause: 'event' }, 20 * SECOND);
  mesh.on({ type: 'echo-lost', ...about }, 21 * SECOND);
  assert.equal(first(mesh).loss, 0);
});

test('our own short interval and kicks change nothing', () => {
  const lent = (mesh: Mesh, returned: boolean, now: Nanos) =>
    mesh.on({ type: 'lent', settings: { origInterval: 1000 }, returned }, now);
  const mesh = meshOfThree();
  lent(mesh, false, SECOND);
  for (let s = 1; s < 6; s++) tables(mesh, s * SECOND, 230);
  lent(mesh, true, 6 * SECOND);
  for (let s = 6; s < 13; s++) tables(mesh, s * SECOND, 235);
  assert.deepEqual([first(mesh).quality, first(mesh).loss], ['EXCELLENT', 0]);
  for (let s = 14; s < 20; s++) tables(mesh, s * SECOND, 235);
  assert.equal(first(mesh).quality, 'BAD', 'but what stays is believed');

  const kicked = meshOfThree();
  kicked.on({ type: 'kick-done', fault: 'f', frames: 8, refused: null }, SECOND);
  for (let s = 1; s < 8; s++) tables(kicked, s * SECOND, 235);
  assert.equal(first(kicked).quality, 'EXCELLENT');

  // Nor does the window seem to fill faster, or a neighbour that sends every 5 s seem silent.
  const slow = new Mesh();
  slow.on({ type: 'link', link, cause: 'resync' }, 0);
  slow.on({ type: 'lent', settings: { origInterval: 5000 }, returned: false }, 0);
  const info = { ...MESH_INFO, settings: { ...MESH_INFO.settings, origInterval: 50 } };
  for (let s = 0; s < 100; s++)
    slow.on({ type: 'tables', tables: { ...tablesOfThree({ lastSeenMs: 4900 }, 150), mesh: info } }, s * SECOND);
  assert.deepEqual([first(slow).quality, first(slow).loss], [null, null]);
});

test('a window is unknown again without an originator entry', () => {
  const window = new TqWindow(0);
  window.read(255, 0, SECOND, false, 0);
  assert.equal(window.loss, 0);
  window.read(null, 0, SECOND, false, SECOND);
  window.read(12, 2 * SECOND, SECOND, false, 2 * SECOND);
  assert.equal(window.loss, null);
});

const route = (originator: string, neighbour: string, tq: number, index = link.index): OriginatorPath => ({
  originator,
  neighbour,
  interface: index,
  interfaceName: `eth${index}`,
  best: true,
  lastSeenMs: 100,
  tq,
});

const routers = (mesh: Mesh) => mesh.view().nodes.map(({ originator }) => originator);

test("a neighbour's interface is no router after a cut, a detach, or when its router's path is withdrawn", () => {
  const D = '02:00:00:00:00:0d';
  const known = meshOfThree();
  const before = routers(known);

  // The path of B through B1 is worth nothing for a moment, and B1's own is.
  const poisoned = { ...tablesOfThree(), originators: [route(B1, B1, 255), route(B, B1, 10)] };
  const effects = known.on({ type: 'tables', tables: poisoned }, SECOND);
  assert.equal(first(known).originator, B);

  // Its interface is gone, and B1 is heard through another router.
  effects.push(...known.on({ type: 'link-gone', index: link.index, name: link.name }, 2 * SECOND));
  const row = { neighbour: D, interface: 8, interfaceName: 'eth8', lastSeenMs: 100 };
  const originators = [route(B1, D, 225, 8), route(B, D, 225, 8), route(D, D, 255, 8)];
  for (let s = 3; s < 1000; s += 5)
    effects.push(...known.on({ type: 'tables', tables: { ...EMPTY, originators, neighbours: [row] } }, s * SECOND));
  assert.ok(!routers(known).includes(B1));

  // And it is put back: the windows fill, each at its own pace.
  for (let n = 1; n < 70; n++) {
    const [own, other] = [tqAfter(n), tqAfter(Math.max(1, n - 2))];
    const back = { ...tablesOfThree(), originators: [route(B1, B1, own), route(B, B1, other)] };
    effects.push(...known.on({ type: 'tables', tables: back }, (1000 + n) * SECOND));
    assert.equal(first(known).originator, B);
  }
  assert.ok(before.includes(B) && !routers(known).includes(B1));
  assert.ok(joins(effects).every((effect) => effect.type === 'log' && effect.fields?.originator !== B1));
});

test('nor is that of a router never seen before; one of a single interface is, after a moment', () => {
  const mesh = new Mesh();
  mesh.on({ type: 'link', link, cause: 'resync' }, 0);
  for (let n = 1; n < 70; n++) {
    const paths = [route(B1, B1, tqAfter(n)), ...(n < 3 ? [] : [route(B, B1, tqAfter(n - 2))])];
    mesh.on({ type: 'tables', tables: { ...tablesOfThree(), originators: paths } }, n * SECOND);
    assert.ok(!routers(mesh).includes(B1), `${n} OGMs`);
  }
  assert.deepEqual([first(mesh).originator, ...routers(mesh)], [B, B]);

  const single = new Mesh();
  single.on({ type: 'link', link, cause: 'resync' }, 0);
  for (let n = 1; n < 6; n++)
    single.on({ type: 'tables', tables: { ...tablesOfThree(), originators: [route(B1, B1, tqAfter(n))] } }, n * SECOND);
  assert.deepEqual(routers(single), [B1]);

  // With others behind it, it takes until a hop penalty can be told from the window.
  const through = new Mesh();
  through.on({ type: 'link', link, cause: 'resync' }, 0);
  for (let n = 1; n < 40; n++) {
    const paths = [route(B1, B1, tqAfter(n)), route(B, B1, Math.floor(tqAfter(n) * 0.88))];
    through.on({ type: 'tables', tables: { ...tablesOfThree(), originators: paths } }, n * SECOND);
  }
  assert.deepEqual(routers(through), [B, B1]);
});

test('addresses are forgotten after minutes, and inventing them does not fill the memory', () => {
  const addresses = new Addresses();
  addresses.note(B1, B, 0);
  addresses.note(B1, null, SECOND);
  assert.equal(addresses.routerOf(B1), B);
  addresses.read(new Set([B]), new Set(), 200 * SECOND);
  assert.equal(addresses.routerOf(B1), B);
  addresses.read(new Set([B]), new Set(), 240 * SECOND);
  assert.equal(addresses.routerOf(B1), null);
  for (let i = 0; i < 5000; i++) addresses.note(`x${i}`, null, 0);
  assert.equal([...addresses.aliases()].length, 1024);
});
