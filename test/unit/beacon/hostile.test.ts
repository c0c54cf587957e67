/** What who has the mesh key, or a recording of those who have it, can make the beacon machine do: bounded, and not for good. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Beacon, beaconKey, encodeBeacon, encodeProbe, latestTime } from '../../../agent/beacon/frame.ts';
import { beaconSettings, type ProfileName } from '../../../agent/beacon/profile.ts';
import { Slots } from '../../../agent/beacon/slots.ts';
import { toHex } from '../../../agent/core/hex.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { BeaconAir, type Station } from '../../../tools/bench/beacon-air.ts';
import { seeded } from '../../../tools/bench/seeded.ts';

const KEY = beaconKey('5e'.repeat(32));
const PORT = 21;
const LIAR = '02:66:66:66:66:66';
const settingsOf = (profile: ProfileName) =>
  beaconSettings({ profile, intervalNs: 0, slotNs: 0, guardNs: 0, rateKbit: 6000, ethertype: 0x88b5 });

function air(count: number, profile: ProfileName, links: readonly (readonly [number, number])[]): BeaconAir {
  const conditions = { settings: settingsOf(profile), draw: seeded(5), links, loss: () => 0, skew: 50e-6, ogms: true };
  return new BeaconAir(count, conditions);
}

function line(count: number, profile: ProfileName): BeaconAir {
  const one = air(
    count,
    profile,
    Array.from({ length: count - 1 }, (_, n) => [n, n + 1] as const),
  );
  for (let id = 0; id < count; id++) one.at(id * 70 * MS, () => one.start(id));
  return one;
}

const count = ({ metrics }: Station, name: string): number => metrics.get(name) ?? 0;
const said = ({ symptoms }: Station) => symptoms.map(({ symptom }) => symptom.what);

function lie(profile: ProfileName, planned: Nanos, more: Partial<Beacon> = {}, source = '02:66:66:66:66:67'): string {
  const superframe = Math.floor(planned / settingsOf(profile).superframeNs);
  const beacon: Beacon = {
    node: LIAR,
    epoch: 1,
    seq: 1,
    superframe,
    slot: 3,
    stride: 1,
    phase: 0,
    next: 1,
    planned,
    sent: { seq: 0, at: 0 },
    bound: 0,
    root: LIAR,
    rootSeq: 1,
    depth: 0,
    partial: false,
    reports: [],
    ...more,
  };
  return toHex(encodeBeacon(beacon, source, 0x88b5, KEY));
}

for (const profile of ['default', 'fast'] as const)
  test(`a time near the end of all times, told by who has the key, does not end the beacons: profile ${profile}`, () => {
    const end = latestTime(settingsOf(profile).superframeNs);
    const half = end / 2;
    for (const planned of [end - 30 * SECOND, end - SECOND, half + SECOND, half, half - SECOND, end / 4]) {
      const one = line(4, profile);
      one.run(20 * SECOND);
      one.feed(one.stations[1]!, { type: 'frame', interface: PORT, frame: lie(profile, planned) });
      one.run(60 * SECOND);
      const before = one.stations.map((station) => count(station, 'beacons_received_total'));
      // Who comes now can join all the same.
      one.stop(3);
      one.start(3);
      one.run(90 * SECOND);
      const views = one.stations.map((station) => station.machine.view(one.local(station))!);
      assert.equal(new Set(views.map(({ root }) => root)).size, 1, `${planned}: ${views.map(({ root }) => root)}`);
      for (const [id, station] of one.stations.entries()) {
        const more = count(station, 'beacons_received_total') - before[id]!;
        assert.ok(more > (20 * SECOND) / settingsOf(profile).superframeNs, `${planned}, router ${id}: ${more} beacons`);
        assert.equal(count(station, 'beacons_refused_total planned'), 0);
      }
      assert.ok(planned > half || views[0]!.meshNs > planned, `${views[0]!.meshNs}`);
    }
  });

for (const profile of ['default', 'fast'] as const)
  test(`a root that is said to have spoken long hence is not taken for dead when it speaks next: profile ${profile}`, () => {
    for (const hence of [2 ** 31 - 1000, 100_000, 1000]) {
      const one = line(3, profile);
      one.run(20 * SECOND);
      const views = () => one.stations.map((station) => station.machine.view(one.local(station))!);
      const { root, meshNs } = views()[1]!;
      const rootSeq = Math.floor(meshNs / settingsOf(profile).superframeNs) + hence;
      const frame = lie(profile, meshNs, { root: root!, rootSeq });
      one.feed(one.stations[1]!, { type: 'frame', interface: PORT, frame });
      for (let t = 25; t <= 200; t += 5) {
        one.run(t * SECOND);
        const [first, ...others] = views();
        assert.deepEqual([first!.root, first!.depth], [root, 0]);
        for (const { root: its, meshNs: time, boundNs } of others) {
          assert.equal(its, root, `${hence} superframes, after ${t} s`);
          assert.ok(Math.abs(time - first!.meshNs) <= boundNs!, `${hence} superframes, after ${t} s`);
        }
      }
    }
  });

/** All follow one root, and nobody is further from its time than he says. */
function assertOne(one: BeaconAir, about: string): void {
  const views = one.stations.map((station) => station.machine.view(one.local(station))!);
  const roots = new Set(views.map(({ root }) => root));
  assert.equal(roots.size, 1, `${about}: ${[...roots]}`);
  // Who gave a later time up shows that one still, and says by how much it may be wrong. One at least does not.
  const time = Math.min(...views.map(({ meshNs }) => meshNs));
  for (const { meshNs, boundNs } of views)
    assert.ok(boundNs !== null && meshNs - time <= boundNs + MS, `${about}: ${meshNs - time} ns, ${boundNs} said`);
}

for (const profile of ['default', 'fast'] as const) {
  const end = latestTime(settingsOf(profile).superframeNs);

  test(`who took a time that others do not take gives it up for theirs: profile ${profile}`, () => {
    // From far from a root more is taken; by a newcomer most.
    for (const [planned, depth, isNew] of [[0.6 * end, 29, false] as const, [0.7 * end, 0, true] as const]) {
      const one = line(3, profile);
      one.run(20 * SECOND);
      const victim = one.stations[2]!;
      if (isNew) one.start(2);
      one.feed(victim, { type: 'frame', interface: PORT, frame: lie(profile, planned, { depth }) });
      assert.equal(victim.machine.view(one.local(victim))!.root, LIAR);
      one.run(180 * SECOND);
      assertOne(one, `${planned}`);
      for (const id of [0, 1])
        assert.ok(one.stations[id]!.machine.read(one.local(one.stations[id]!))!.mesh < 3600 * SECOND);
    }
  });

  test(`of two that name one root the one whose time is not taken leads nowhere: profile ${profile}`, () => {
    const one = line(2, profile);
    one.run(20 * SECOND);
    const [first, victim] = one.stations as [Station, Station];
    const root = '02:66:66:66:66:68';
    const hour = first.machine.read(one.local(first))!.mesh + 3600 * SECOND;
    const late = lie(profile, end - SECOND, { root, depth: 0 });
    one.feed(victim, { type: 'frame', interface: PORT, frame: late });
    const next = lie(profile, hour, { root, depth: 1, node: root }, '02:66:66:66:66:69');
    one.feed(victim, { type: 'frame', interface: PORT, frame: next });
    assert.equal(victim.machine.view(one.local(victim))!.root, root);
    assert.ok(victim.machine.read(one.local(victim))!.mesh < 2 * hour);
    one.run(180 * SECOND);
    assertOne(one, 'an hour');
  });
}

test('a newcomer that is told such a time does not take it either', () => {
  const one = line(2, 'default');
  one.run(SECOND);
  one.feed(one.stations[0]!, { type: 'frame', interface: PORT, frame: lie('default', 2 ** 60 - 9 * SECOND) });
  one.run(30 * SECOND);
  for (const station of one.stations) {
    assert.ok(station.machine.view(one.local(station))!.meshNs < 60 * SECOND);
    assert.ok(count(station, 'beacons_received_total') > 20);
  }
});

/** Beacons (kind 32) of one station as another one hears them. */
function tape(one: BeaconAir, from: number, to: number): string[] {
  const found: string[] = [];
  const source = one.stations[from]!.port.replaceAll(':', '');
  const feed = one.feed.bind(one);
  one.feed = (station, event) => {
    if (station.id === to && event.type === 'frame' && event.frame.slice(12, 24) === source)
      if (event.frame.slice(34, 36) === '20') found.push(event.frame);
    feed(station, event);
  };
  return found;
}

function play(one: BeaconAir, to: Station, frames: readonly string[]): void {
  for (const [i, frame] of frames.entries())
    one.at(one.t + i * 500 * MS, () => one.feed(to, { type: 'frame', interface: PORT, frame, at: one.local(to) }));
  one.run(one.t + (frames.length + 40) * 500 * MS);
}

test('recordings of a router that is not here call nobody silent', () => {
  // Recorded where it followed another root, by somebody without the key.
  const there = air(4, 'default', [[2, 3]]);
  there.start(2);
  there.start(3);
  const frames = tape(there, 2, 3);
  there.run(15 * SECOND);
  assert.ok(frames.length > 15);
  const here = line(2, 'default');
  here.run(60 * SECOND);
  const [, victim] = here.stations as [Station, Station];
  play(here, victim, frames);
  assert.deepEqual(said(victim), []);
});

test('what a router sent before its farewell brings it back for nobody', () => {
  const one = line(3, 'default');
  const frames = tape(one, 2, 1);
  one.run(20 * SECOND);
  one.stop(2, true);
  one.run(one.t + 100 * MS);
  const [, victim] = one.stations as [Station, Station];
  // Not the farewell itself.
  const last = frames.slice(-8, -1);
  for (const frame of last) one.feed(victim, { type: 'frame', interface: PORT, frame, at: one.local(victim) });
  assert.equal(count(victim, 'beacons_refused_total replay'), last.length);
  one.run(one.t + 10 * SECOND);
  assert.deepEqual(said(victim), []);
  // It may come back itself.
  one.start(2);
  one.run(one.t + 10 * SECOND);
  assert.equal(victim.machine.view(one.local(victim))!.neighbours.length, 2);
});

test('recorded questions, played again without end, leave the neighbours their answers', () => {
  const one = line(2, 'default');
  one.run(20 * SECOND);
  const [asked, asking] = one.stations as [Station, Station];
  const question = (asker: string, source: string, counter: number) => {
    const frame = encodeProbe({ asker, epoch: 1, counter }, false, asked.port, source, 0x88b5, KEY);
    const effects = asked.machine.on({ type: 'frame', interface: PORT, frame: toHex(frame) }, one.local(asked));
    return effects.filter(({ type }) => type === 'send').length;
  };
  assert.equal(question(asking.node, asking.port, 2 ** 30), 1);
  let answered = 0;
  for (let i = 0; i < 1000; i++) {
    answered += question(LIAR, '02:66:66:66:66:67', 7);
    assert.equal(question(asking.node, asking.port, 2 ** 30), 0, 'a replay');
  }
  assert.ok(answered > 0 && answered <= 50, `${answered}`);
  assert.equal(question(asking.node, asking.port, 2 ** 30 + 1), 1);
});

test('a neighbour that never hears us is not called silent for what it cannot answer', () => {
  const conditions = {
    settings: settingsOf('default'),
    draw: seeded(5),
    links: [[0, 1]] as const,
    loss: (from: number, _to: number, t: Nanos) => (from === 0 || (t > 30 * SECOND && t < 40 * SECOND) ? 1 : 0),
  };
  const one = new BeaconAir(2, conditions);
  one.start(0);
  one.start(1);
  one.run(50 * SECOND);
  assert.deepEqual(said(one.stations[0]!), []);
});

test('invented routers in the slot map do not make a choice long', () => {
  const slots = new Slots(1, { slots: 100, ease: 2, lead: 20 });
  let worst = 0;
  for (let k = 0; k < 20; k++) {
    for (let n = 0; n < 256; n++) {
      const place = { slot: 7, stride: 8, phase: 0 };
      const reports = Array.from({ length: 24 }, (_, i) => ({ ...place, name: 1e5 + 24 * n + i, seq: 1, age: 0 }));
      slots.heard(String(n), { ...place, name: 1000 + n, seq: k + 1, next: 1, partial: true, reports }, k);
    }
    const before = process.cpuUsage();
    slots.plan(k);
    const { user, system } = process.cpuUsage(before);
    worst = Math.max(worst, user + system);
    slots.sent(k + 1, k);
  }
  assert.ok(slots.within2Hops() > 6000);
  assert.ok(worst < 60_000, `${worst} us of CPU`);
});

/** Whatever comes into the head of who has the key. */
function anything(one: BeaconAir, station: Station, profile: ProfileName, draw: () => number): string {
  const below = (n: number) => Math.floor(draw() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const { superframeNs, slots } = settingsOf(profile);
  const macs = [LIAR, ...one.stations.flatMap(({ node, port }) => [node, port]), '02:66:66:66:66:68'];
  const mesh = station.machine.read(one.local(station))?.mesh ?? 0;
  const near = mesh + (draw() - 0.5) * pick([20 * MS, 20 * SECOND]);
  const time = () => Math.max(0, pick([mesh, near, mesh + draw() * 1e15, 2 ** 60 * draw(), 2 ** 60 - 1, 0]));
  const planned = Math.min(time(), 2 ** 32 * superframeNs - 1);
  const superframe = Math.floor(planned / superframeNs);
  if (below(10) === 0) {
    const probe = { asker: pick(macs), epoch: below(3), counter: below(100) };
    return toHex(encodeProbe(probe, below(2) === 0, station.port, pick(macs), 0x88b5, KEY));
  }
  return lie(
    profile,
    planned,
    {
      node: pick(macs),
      epoch: pick([1, 2, 0xffffffff]),
      seq: pick([0, below(1000), 0xffffffff]),
      slot: below(slots),
      stride: 1 << below(4),
      next: below(256),
      sent: { seq: below(10), at: time() },
      bound: pick([0, 1000, below(1e9), 0xffffffff]),
      root: pick(macs),
      rootSeq: pick([0, below(1000), 0xffffffff, Math.floor(mesh / superframeNs), superframe, superframe + 2]),
      depth: pick([0, 1, 29, 30, 255]),
      reports: Array.from({ length: below(25) }, () => ({
        name: below(2 ** 32),
        slot: below(250),
        stride: 1 << below(4),
        phase: 0,
        seq: below(2 ** 32),
        at: pick([null, planned, planned - draw() * SECOND]),
        age: below(256),
        heard: draw(),
      })),
    },
    pick(['02:66:66:66:66:67', '02:66:66:66:66:69']),
  );
}

test('whatever who has the key says, time runs forwards and every figure is one', () => {
  const seed = Number(process.env.X0_FUZZ_SEED ?? 1);
  const end = performance.now() + 1000;
  for (let round = seed; round < seed + 40 && performance.now() < end; round++) {
    const draw = seeded(round);
    const profile = draw() < 0.5 ? 'default' : 'fast';
    const one = line(3, profile);
    one.run(Math.floor(draw() * 10) * SECOND);
    const last = [0, 0, 0];
    for (let i = 0; i < 200; i++) {
      one.run(one.t + Math.floor(draw() * 60) * MS);
      const station = one.stations[Math.floor(draw() * 3)]!;
      one.feed(station, { type: 'frame', interface: PORT, frame: anything(one, station, profile, draw) });
      for (const { id, machine, alive } of one.stations) {
        const now = one.local(one.stations[id]!);
        if (!alive) continue;
        const view = machine.view(now);
        for (const [name, value] of Object.entries(view ?? {}))
          if (typeof value === 'number') assert.ok(Number.isFinite(value), `${name}: seed ${round}, frame ${i}`);
        const read = machine.read(now)?.mesh ?? 0;
        assert.ok(read >= last[id]!, `back by ${last[id]! - read} ns: seed ${round}, frame ${i}`);
        last[id] = read;
        assert.ok(machine.deadline() > now - 2 * SECOND, `seed ${round}, frame ${i}`);
      }
    }
  }
});

test('whatever was said, there is one mesh with one time again when nobody says it any more', () => {
  const seed = Number(process.env.X0_FUZZ_SEED ?? 1);
  const end = performance.now() + 3000;
  for (let round = seed; round < seed + 1000 && performance.now() < end; round++) {
    const draw = seeded(round);
    const profile = draw() < 0.5 ? 'default' : 'fast';
    const one = line(3, profile);
    one.run(Math.floor(draw() * 10) * SECOND);
    for (let i = 0; i < 100; i++) {
      one.run(one.t + Math.floor(draw() * 60) * MS);
      const station = one.stations[Math.floor(draw() * 3)]!;
      one.feed(station, { type: 'frame', interface: PORT, frame: anything(one, station, profile, draw) });
    }
    one.run(one.t + 120 * SECOND);
    assertOne(one, `seed ${round}, profile ${profile}`);
  }
});
