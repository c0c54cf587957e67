import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Native, PacketOptions } from '../../../agent/host/native.ts';
import { hasMesh, parseDump, restartRadio } from '../../../agent/host/netifd.ts';
import {
  cpuTimes,
  defaultRoute,
  parseCounters,
  type SurveyOptions,
  Surveyor,
  wallOffsetMs,
} from '../../../agent/host/survey.ts';

test('/proc/net/dev: counters by name, and nothing of what is no line of it', () => {
  const head = 'Inter-|   Receive                     |  Transmit\n face |bytes packets ...|bytes ...\n';
  const lines =
    '    lo:  100    2    0    0    0     0          0         0      100       2    0    0    0     0       0          0\n' +
    'eth0.1: 4000   40    1    2    0     0          0         7     8000      80    0    0    0     0       0          0\n' +
    'short: 1 2 3\n';
  assert.deepEqual(parseCounters(head + lines), [
    { name: 'lo', rxBytes: 100, rxPackets: 2, rxMulticast: 0, txBytes: 100, txPackets: 2 },
    { name: 'eth0.1', rxBytes: 4000, rxPackets: 40, rxMulticast: 7, txBytes: 8000, txPackets: 80 },
  ]);
  for (const bad of ['', 'x', `${head}eth0: a b`, head]) assert.deepEqual(parseCounters(bad), []);
});

test('/proc/stat: idle and waiting is not busy', () => {
  assert.deepEqual(cpuTimes('cpu  10 0 20 60 5 1 2 2 0 0\ncpu0 1 2 3 4\n'), { busy: 35, total: 100 });
  assert.equal(cpuTimes(''), null);
});

test('/proc/net/route: the best default route that leads out of the mesh', () => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
  const row = (name: string, to: string, by: string, metric: number, flags = '0003') =>
    `${name}\t${to}\t${by}\t${flags}\t0\t0\t${metric}\t00000000\t0\t0\t0\n`;
  const table = head + row('br-lan', '00000000', '0101A8C0', 0) + row('wan', '00000000', '0100000A', 5);
  assert.deepEqual(defaultRoute(table, ['bat0', 'br-lan']), { metric: 5, interface: 'wan', gateway: '10.0.0.1' });
  assert.equal(defaultRoute(table, [])!.interface, 'br-lan');
  assert.equal(defaultRoute(head + row('ppp0', '00000000', '00000000', 0), [])!.gateway, '', 'a point-to-point link');
  assert.equal(defaultRoute(head + row('wan', '00000000', '0100000A', 5, '0000'), []), null, 'a route that is down');
  assert.equal(defaultRoute(head + row('wan', '0000A8C0', '0100000A', 5), []), null);
  for (const bad of ['', 'x\ty', `${head}a\tb`]) assert.equal(defaultRoute(bad, []), null);
});

test('netifd: what it declares by device; what a person stopped is left alone', () => {
  const dump = {
    interface: [
      { interface: 'bat0_lan0', up: true, autostart: true, l3_device: 'lan0', device: 'lan0', proto: 'batadv_hardif' },
      { interface: 'bat0', autostart: true, device: 'bat0', proto: 'batadv' },
      { interface: 'wan6', autostart: false, device: 'wan' },
      { interface: 'loopback' },
      null,
      { device: 'x' },
    ],
  };
  assert.deepEqual(parseDump(JSON.stringify(dump)), [
    { name: 'bat0_lan0', devices: ['lan0'] },
    { name: 'bat0', devices: ['bat0'] },
    { name: 'loopback', devices: [] },
  ]);
  for (const odd of ['{}', 'null', '[]', '{"interface":{}}']) assert.deepEqual(parseDump(odd), []);
  assert.throws(() => parseDump('no'));
});

test('netifd: where it does not run it restarts no radio', { skip: existsSync('/sbin/netifd') }, async () => {
  assert.equal(await restartRadio('mesh0'), 'netifd does not run here');
});

test('netifd: a mesh that it declares is its own, up or not', () => {
  const row = { interface: 'bat0', proto: 'batadv', up: false, autostart: true };
  const dump = (...rows: unknown[]): string => JSON.stringify({ interface: rows });
  const cases: readonly (readonly [string, boolean])[] = [
    [dump(row), true],
    [dump({ ...row, up: true, l3_device: 'bat0' }), true],
    [dump({ ...row, interface: 'bat1' }), false],
    [dump({ ...row, proto: 'batadv_hardif' }), false],
    [dump(null, 'x', 7, row), true],
    [dump(), false],
    ['{}', false],
    ['null', false],
  ];
  for (const [text, expected] of cases) assert.equal(hasMesh(text, 'bat0'), expected, text);
});

test('the wall clock beside the monotonic one: a router that stands still between the two has not been set', () => {
  const readings = (stalls: readonly number[]) => {
    let ns = 5e9;
    const left = [...stalls];
    const wall = () => {
      const at = 1_790_000_000_000 + ns / 1e6;
      ns += (left.shift() ?? 0) * 1e6;
      return at;
    };
    return Math.round(wallOffsetMs(() => ns, wall));
  };
  const whole = readings([]);
  assert.equal(readings([1500]), whole);
  assert.equal(readings([1500, 0.2, 1500]), whole);
  // Where it is never quiet the quietest counts.
  assert.ok(Math.abs(readings([400, 300, 40, 300, 200]) - whole) <= 20);
});

/** Classic BPF, as far as it is used here: load a byte, compare, answer. */
function passes(filter: NonNullable<PacketOptions['filter']>, frame: Uint8Array): boolean {
  let held = 0;
  for (let at = 0; at < filter.length; at++) {
    const [code, yes, no, k] = filter[at]!;
    if (code === 0x30) held = frame[k]!;
    else if (code === 0x15) at += held === k ? yes : no;
    else return k > 0;
  }
  throw new Error('it has no end');
}

test('what is spoken on an interface: by kind and sender, and nothing of the traffic', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let opened: PacketOptions | null = null;
  let closed = 0;
  const told: unknown[] = [];
  const native = {
    now: () => 0,
    openPacket: (options: PacketOptions) => {
      opened = options;
      return { close: () => (closed += 1) };
    },
  } as unknown as Native;
  const surveyor = new Surveyor({ native, feed: (event: unknown) => told.push(event) } as unknown as SurveyOptions);
  surveyor.air([21]);
  surveyor.air([21]);
  const { filter, onFrame } = opened! as PacketOptions;
  const hear = (source: number, type: number, version: number, packetType = 1) => {
    const frame = Buffer.alloc(64);
    frame[11] = source;
    frame.writeUInt16BE(0x4305, 12);
    frame[14] = type;
    frame[15] = version;
    if (passes(filter!, frame)) onFrame(frame, 21, packetType, 0);
  };
  // Broadcast, unicast and fragments are what people send; our own OGM is not heard.
  for (const type of [0x01, 0x02, 0x40, 0x41]) hear(1, type, 15);
  hear(9, 0x00, 15, 4);
  for (let i = 0; i < 9; i++) for (const type of [0x03, 0x04]) hear(1, type, 15);
  hear(2, 0x00, 15);
  hear(3, 0x01, 14);
  t.mock.timers.tick(2500);
  const one = (source: number, type: number, version: number) => {
    return { source: `00:00:00:00:00:0${source}`, type, version };
  };
  const heard = [one(1, 3, 15), one(1, 4, 15), one(1, 3, 15), one(1, 4, 15), one(2, 0, 15), one(3, 1, 14)];
  assert.deepEqual(told, [{ type: 'overheard', interface: 21, heard }]);
  assert.equal(closed, 1);
});
