/** Beacons under the keys that identities agree on: rotated without a word lost, and beside routers that have none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { airBeaconKey, beaconKey, decodeFrame, encodeProbe, keyOf } from '../../../agent/beacon/frame.ts';
import { beaconSettings } from '../../../agent/beacon/profile.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import type { AirKey, Event } from '../../../agent/core/event.ts';
import { fromHex } from '../../../agent/core/hex.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import { BeaconAir } from '../../../tools/bench/beacon-air.ts';
import { seeded } from '../../../tools/bench/seeded.ts';

const [OLD, NEW] = [1, 2].map((n) => ({
  id: `k${n}`,
  epoch: n,
  key: `0${n}`.repeat(32),
  marks: [],
})) as readonly AirKey[] as [AirKey, AirKey];

function air(count: number): BeaconAir {
  const settings = beaconSettings({
    profile: 'default',
    intervalNs: 0,
    slotNs: 0,
    guardNs: 0,
    rateKbit: 6000,
    ethertype: 0x88b5,
  });
  const links = Array.from({ length: count - 1 }, (_, n) => [n, n + 1] as const);
  const made = new BeaconAir(count, { settings, draw: seeded(5), links, loss: () => 0, skew: 50e-6, ogms: true });
  for (let id = 0; id < count; id++) made.at(id * 70 * MS, () => made.start(id));
  return made;
}

function tell(of: BeaconAir, id: number, keys: readonly AirKey[], sending = keys[0]!.id, mixed = false): void {
  const event: Event = { type: 'air-keys', keys, sending, mixed, hello: false };
  const station = of.stations[id]!;
  station.machine.on(event, of.local(station));
}

const refused = (of: BeaconAir) =>
  of.stations.map(({ metrics }) => [...metrics].filter(([name]) => name.startsWith('beacons_refused')).length);
const said = (of: BeaconAir) => of.stations.map(({ symptoms }) => symptoms.length);

test('a rotation that reaches the routers of a line one after the other: no beacon is refused, nobody seems silent', () => {
  const one = air(5);
  one.run(SECOND);
  for (let id = 0; id < 5; id++) tell(one, id, [OLD]);
  one.run(20 * SECOND);
  for (let id = 0; id < 5; id++) one.at(one.t + id * 300 * MS, () => tell(one, id, [NEW, OLD], OLD.id));
  one.run(one.t + 5 * SECOND);
  for (let id = 0; id < 5; id++) one.at(one.t + (5 - id) * 700 * MS, () => tell(one, id, [NEW, OLD]));
  one.run(one.t + 10 * SECOND);
  for (let id = 0; id < 5; id++) tell(one, id, [NEW]);
  one.run(one.t + 20 * SECOND);
  assert.deepEqual([refused(one), said(one)], [Array(5).fill(0), Array(5).fill(0)]);
  for (const { metrics } of one.stations) assert.ok((metrics.get('beacons_received_total') ?? 0) > 40);
});

test('routers that get an identity one after the other hear each other all the while, and end under the key of the air', () => {
  const one = air(4);
  one.run(10 * SECOND);
  for (let id = 0; id < 4; id++) {
    tell(one, id, [NEW], NEW.id, true);
    one.run(one.t + 20 * SECOND);
  }
  assert.deepEqual([refused(one), said(one)], [Array(4).fill(0), Array(4).fill(0)]);
  one.run(one.t + 10 * SECOND);
  // From here on the mesh key counts no more. A beacon that was planned under it may still be on its way.
  for (let id = 0; id < 4; id++) tell(one, id, [NEW]);
  one.run(one.t + 3 * SECOND);
  const before = one.stations.map(({ metrics }) => ({ ...Object.fromEntries(metrics) }));
  one.run(one.t + 20 * SECOND);
  assert.deepEqual(said(one), Array(4).fill(0));
  for (const [id, { metrics }] of one.stations.entries()) {
    for (const [name, count] of metrics)
      if (name.startsWith('beacons_refused')) assert.ok(count <= 2 && count === before[id]![name], `${id}: ${count}`);
    assert.ok(metrics.get('beacons_received_total')! > before[id]!.beacons_received_total! + 10);
  }
});

test('frames of either version: what is read was sealed with that very key, whatever else the bytes say', () => {
  const keys = [
    airBeaconKey(fromHex(NEW.key), 258),
    airBeaconKey(fromHex(OLD.key), 1),
    beaconKey('5e'.repeat(32), 0, true),
  ];
  const probe = { asker: '02:00:00:00:00:0a', epoch: 3, counter: 9 };
  const good = keys.map((key) => encodeProbe(probe, false, '02:00:00:00:00:0b', '02:00:00:00:01:0a', 0x88b5, key));
  for (const [i, frame] of good.entries()) {
    const { mac: _, ...named } = keys[i]!;
    assert.deepEqual(keyOf(frame), named);
    for (const [j, key] of keys.entries())
      if (i === j) assert.equal(decodeFrame(frame, key).kind, 'probe');
      else assert.throws(() => decodeFrame(frame, key), AgentError);
  }
  fc.assert(
    fc.property(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, where, change) => {
      const frame = Uint8Array.from(good[which]!);
      const at = 14 + (where % (frame.length - 14));
      frame[at]! ^= change;
      assert.throws(() => decodeFrame(frame, keys[which]!), AgentError, `byte ${at}`);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void keyOf(bytes)));
});
