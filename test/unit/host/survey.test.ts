import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { hasMesh, parseDump, restartRadio } from '../../../agent/host/netifd.ts';
import { cpuTimes, defaultRoute, parseCounters, wallOffsetMs } from '../../../agent/host/survey.ts';

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
