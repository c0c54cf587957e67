/** Where more were admitted than the program's map holds: on a packet socket's tally, which has the same places. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tables } from '../../../agent/core/event.ts';
import { STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { Log } from '../../../agent/core/log.ts';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import { NEIGHBOURS_MOST } from '../../../agent/host/bpf/layout.ts';
import { Xdp } from '../../../agent/host/bpf/xdp.ts';
import { Drops } from '../../../agent/host/drops.ts';
import type { Native } from '../../../agent/host/native.ts';

const PORTS = [
  { index: 2, name: 'eth0', mac: '02:00:00:00:00:02', active: true },
  { index: 3, name: 'eth1', mac: '02:00:00:00:00:03', active: true },
  { index: 4, name: 'wlan0', mac: '02:00:00:00:00:04', active: true },
];
const MEMBERS = Array.from({ length: 120 }, (_, i) => `02:00:00:00:01:${i.toString(16).padStart(2, '0')}`);

const tables = (...heard: readonly (readonly [neighbour: string, port: number])[]): Tables => ({
  mesh: { index: 99, name: 'bat0', mac: PORTS[0]!.mac, version: '', algorithm: 'BATMAN_IV', settings: STOCK_SETTINGS },
  hardInterfaces: PORTS,
  originators: [],
  neighbours: heard.map(([neighbour, port]) => ({
    neighbour,
    interface: PORTS[port]!.index,
    interfaceName: PORTS[port]!.name,
    lastSeenMs: 500,
  })),
  gateways: [],
});

/** Follows a mesh for so long, looking at its tables so often. Answers who had a place when. */
function follow(everyNs: Nanos, lastNs: Nanos, of: Tables): string[][] {
  let now = 1000 * SECOND;
  const socket = { close() {}, unref() {}, statistics: () => ({ received: 0, dropped: 0 }) };
  const native = { bpfObstacle: () => 'not here', now: () => now, openPacket: () => socket } as unknown as Native;
  const xdp = new Xdp({
    native,
    drops: new Drops(),
    log: new Log('error', () => {}),
    settings: { deadlineNs: 0, admitted: [], stamped: [], port: 17447, generic: true, epsilon: 0 },
    feed() {},
  });
  xdp.gate(MEMBERS, []);
  const seen: string[][] = [];
  for (const end = now + lastNs; now < end; now += everyNs) {
    xdp.tables(of);
    seen.push(xdp.view().neighbours.map(({ interface: port, neighbour }) => `${port} ${neighbour}`));
  }
  xdp.close();
  return seen;
}

for (const everyNs of [SECOND, 60 * SECOND])
  test(`each member can be heard on each interface some time, with a look each ${everyNs / SECOND} s`, () => {
    const seen = follow(everyNs, 10 * everyNs + 60 * SECOND, tables());
    assert.ok(seen.every(({ length }) => length === NEIGHBOURS_MOST));
    assert.equal(new Set(seen.flat()).size, MEMBERS.length * PORTS.length);
  });

test('who has a place has it for some OGMs, and who is heard for good', () => {
  const last = MEMBERS.at(-1)!;
  const seen = follow(SECOND, 60 * SECOND, tables([last, 2]));
  assert.ok(seen.every((places) => places.includes(`wlan0 ${last}`)));
  const changes = seen.filter((places, i) => i > 0 && places.join() !== seen[i - 1]!.join());
  assert.equal(changes.length, 5);
});
