/** What XDP measured, as the API, the metrics and x0ctl show it; and what of it they do not show to everybody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linksText, profileText, statusText, xdpText } from '../../../agent/ctl/views.ts';
import type { Caller } from '../../../agent/report/api/call.ts';
import type { XdpView } from '../../../agent/report/api/xdp.ts';
import { answer } from '../../../agent/report/api.ts';
import { collect, Metrics } from '../../../agent/report/metrics.ts';
import { mismatch, type Of } from '../../../agent/report/shape.ts';
import * as shapes from '../../../agent/report/shapes.ts';
import { sources } from './fixture.ts';

const ROOT: Caller = { name: 'uid 0 (pid 1)', mayChange: true };
const GUEST: Caller = { name: 'HTTP', mayChange: false };
const SCREEN = { columns: 80, color: false, isScreen: false } as never;

const [link] = sources().mesh().links;

const VIEW: XdpView = {
  level: 'generic',
  why: 'wlan0: the driver has no XDP of its own',
  variant: 'no-timer',
  jit: false,
  interfaces: [{ name: 'wlan0', level: 'generic', why: 'the driver has no XDP of its own' }],
  neighbours: [
    {
      interface: link!.interface,
      neighbour: link!.neighbour,
      frames: 1234,
      bytes: 99_000,
      silent: true,
      lastSeenNs: 5_500_000_000,
      received: 90,
      lost: 10,
      lossOnAir: 0.1,
      restarts: 1,
      medianGapNs: 2 ** 20,
    },
  ],
  totals: {
    strangers: 7,
    isolated: 1,
    unadmitted: 0,
    fragments: 2,
    unstamped: 0,
    segments: 500,
    opened: 20,
    retransmitted: 3,
  },
  strangers: 4,
  medianHandshakeNs: 2 ** 21,
  programs: [{ name: 'entry', verified: 1134, runs: 0, ns: 0 }],
  lockedBytes: 169_048,
  shared: { opened: 17, established: 15, spent: 0.25 },
};

function ask<T>(path: string, caller = ROOT, xdp: XdpView | null = VIEW): T {
  const found = answer(sources({ xdp: () => xdp }), { method: 'GET', url: path, body: '', caller });
  assert.equal(found.status, 200);
  return JSON.parse(found.body) as T;
}

test('links carry what came in, where it was measured', () => {
  const answered = ask<Of<typeof shapes.links>>('/mesh/links');
  assert.equal(mismatch(shapes.links.schema, answered), null);
  const [first, second] = answered.links;
  assert.deepEqual(first!.incoming, {
    frames: 1234,
    bytes: 99_000,
    silent: true,
    lastSeenMs: 5500,
    received: 90,
    lost: 10,
    lossOnAir: 0.1,
    restarts: 1,
    medianGapMs: 1.049,
  });
  assert.equal(second?.incoming ?? null, null);
  const text = linksText(answered, SCREEN);
  assert.match(text, /What came in:\nVIA +NEIGHBOUR +FRAMES +KIB +AIR LOSS +LAST FRAME/);
  assert.match(text, /1234 +97 +10\.0% +5\.50? ?s +silent/);
  assert.ok(text.split('\n').every((line) => line.length <= 80));
  assert.ok(!linksText(ask('/mesh/links', ROOT, null), SCREEN).includes('What came in'));
});

test('what users did is exact for who may change the router alone', () => {
  const root = ask<Of<typeof shapes.xdp>>('/mesh/xdp');
  const guest = ask<Of<typeof shapes.xdp>>('/mesh/xdp', GUEST);
  for (const one of [root, guest]) assert.equal(mismatch(shapes.xdp.schema, one), null);
  assert.equal(root.totals.opened, 20);
  assert.equal(root.medianHandshakeMs, 2.097);
  assert.deepEqual(guest.totals, { strangers: 7, isolated: 1, unadmitted: 0, fragments: 2, unstamped: 0 });
  assert.equal(guest.medianHandshakeMs, null);
});

test('status says which level is in use', () => {
  const status = ask<Of<typeof shapes.status>>('/mesh/status');
  assert.equal(mismatch(shapes.status.schema, status), null);
  assert.match(statusText(status, SCREEN), /\n {2}xdp +generic: wlan0: the driver has no XDP of its own\n/);
  const off = ask<Of<typeof shapes.status>>('/mesh/status', ROOT, null);
  assert.equal(off.xdp, null);
  assert.ok(!statusText(off, SCREEN).includes('xdp'));
});

test('what packet sockets had no room for is shown where there was something, and counted from the start', () => {
  const dropped = [
    { hears: 'alarms', interface: null, frames: 1 },
    { hears: 'neighbours', interface: 'wlan1-mesh-5ghz', frames: 4_294_967_295 },
    { hears: 'own-ogms', interface: 'primary0', frames: 0 },
  ] as const;
  const from = sources({ dropped: () => dropped });
  const found = answer(from, { method: 'GET', url: '/mesh/status', body: '', caller: ROOT });
  const status = JSON.parse(found.body) as Of<typeof shapes.status>;
  assert.equal(mismatch(shapes.status.schema, status), null);
  assert.deepEqual(status.dropped, dropped.slice(0, 2));
  const text = statusText(status, SCREEN);
  assert.match(text, /\n {2}dropped +1 frame with alarms, echoes or beacons, on any interface: no room\n/);
  assert.match(text, /4294967295 frames with OGMs or ELP, on wlan1-mesh-5ghz: no room/);
  assert.ok(text.split('\n').every((line) => line.length <= 80));
  assert.ok(!statusText(ask('/mesh/status'), SCREEN).includes('dropped'));
  const metrics = new Metrics();
  collect(metrics, from);
  for (const line of [
    'mesh_socket_frames_dropped_total{interface="any",hears="alarms"} 1',
    'mesh_socket_frames_dropped_total{interface="primary0",hears="own-ogms"} 0',
  ])
    assert.ok(metrics.render().includes(`${line}\n`), line);
});

test('off says so', () => {
  const off = ask<Of<typeof shapes.xdp>>('/mesh/xdp', ROOT, null);
  assert.equal(mismatch(shapes.xdp.schema, off), null);
  assert.deepEqual([off.level, off.why], ['off', 'bpf.enabled is 0']);
  assert.equal(xdpText(off, SCREEN), 'off (bpf.enabled is 0)\n');
});

test('x0ctl xdp and bpf profile in words', () => {
  const text = xdpText(ask('/mesh/xdp'), SCREEN);
  assert.match(text, /^generic \(wlan0: the driver/);
  assert.match(text, /interpreted, no kernel timer: silence is looked for, maps take 165 KiB/);
  assert.match(text, /retransmitted +3\n/);
  const rows = [
    { name: 'entry', runs: 1000, nsARun: 85.4, runsASecond: 200, share: 0.0000171 },
    { name: 'tcp', runs: 0, nsARun: 0, runsASecond: 0, share: 0 },
  ];
  assert.match(profileText(rows, SCREEN), /entry +1000 +85 +200\.0 +0\.002%\ntcp +0 +- /);
});

test('the metrics have counters of neighbours, and of connections only the noised ones', () => {
  const metrics = new Metrics();
  collect(metrics, sources({ xdp: () => VIEW }));
  const page = metrics.render();
  const labels = `interface="${link!.interface}",neighbour="${link!.neighbour}"`;
  for (const line of [
    `mesh_neighbour_frames_total{${labels}} 1234`,
    `mesh_neighbour_sequence_numbers_total{${labels},outcome="lost"} 10`,
    `mesh_neighbour_silent{${labels}} 1`,
    `mesh_neighbour_last_seen_seconds{${labels}} 5.5`,
    `mesh_neighbour_gap_seconds{${labels}} 0.001048576`,
    `mesh_neighbour_restarts_total{${labels}} 1`,
    'mesh_xdp_interface{interface="wlan0",level="generic"} 1',
    'mesh_xdp_frames_total{what="strangers"} 7',
    'mesh_tcp_connections_total{step="opened"} 17',
    'mesh_privacy_budget_spent 0.25',
  ])
    assert.ok(page.includes(`${line}\n`), line);
  assert.ok(!page.includes('retransmitted'));
  collect(metrics, sources({ xdp: () => null }));
  assert.ok(!metrics.render().includes('mesh_neighbour_frames_total'));
});
