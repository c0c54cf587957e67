/** The whole machine on a simulated air: frames as bytes, clocks that are wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Beacon } from '../../../agent/beacon/beacon.ts';
import { beaconSettings, type ProfileName } from '../../../agent/beacon/profile.ts';
import type { Event } from '../../../agent/core/event.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import { STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import { type AirConditions, BeaconAir, type Station } from '../../../tools/bench/beacon-air.ts';
import { seeded } from '../../../tools/bench/seeded.ts';

const settingsOf = (profile: ProfileName) =>
  beaconSettings({ profile, intervalNs: 0, slotNs: 0, guardNs: 0, rateKbit: 6000, ethertype: 0x88b5 });

function air(count: number, profile: ProfileName, more: Partial<AirConditions> = {}, key?: string): BeaconAir {
  const links = Array.from({ length: count - 1 }, (_, n) => [n, n + 1] as const);
  const conditions = { settings: settingsOf(profile), draw: seeded(5), links, loss: () => 0, skew: 50e-6, ogms: true };
  const made = new BeaconAir(count, { ...conditions, ...more }, key);
  for (let id = 0; id < count; id++) made.at(id * 70 * MS, () => made.start(id));
  return made;
}

const view = (of: BeaconAir, id: number) => of.stations[id]!.machine.view(of.local(of.stations[id]!))!;
const said = ({ symptoms }: Station) => symptoms.map(({ symptom }) => symptom.what);

for (const profile of ['brief', 'default', 'fast'] as const)
  test(`a line of five, profile ${profile}, one frame in twenty lost: one time, one schedule, no false word`, () => {
    const draw = seeded(2);
    const one = air(5, profile, { loss: () => 0.05, draw });
    one.run(60 * settingsOf(profile).superframeNs);
    const views = one.stations.map((_, id) => view(one, id));
    assert.equal(new Set(views.map(({ root }) => root)).size, 1);
    const root = one.stations.find(({ node }) => node === views[0]!.root)!;
    const truth = root.machine.read(one.local(root))!.mesh;
    for (const [id, { boundNs, meshNs, neighbours, place }] of views.entries()) {
      assert.ok(
        boundNs !== null && Math.abs(meshNs - truth) <= boundNs + 1,
        `router ${id}: ${meshNs - truth}, ${boundNs}`,
      );
      assert.equal(neighbours.length, id === 0 || id === 4 ? 1 : 2);
      for (const other of [id + 1, id + 2])
        if (views[other]) assert.notEqual(place!.slot, views[other]!.place!.slot, `${id} and ${other} share a slot`);
      assert.deepEqual(said(one.stations[id]!), []);
      assert.ok((one.stations[id]!.metrics.get('beacons_sent_total') ?? 0) > 40);
    }
  });

const LIMITS = [
  ['default', 1500],
  ['fast', 300],
] as const;
for (const [profile, limit] of LIMITS)
  test(`a link that goes silent is noticed at both ends within ${limit} ms, and so is its return: profile ${profile}`, () => {
    const dead = { from: 20 * SECOND, to: 30 * SECOND };
    const loss = (a: number, b: number, t: number) => (a + b === 3 && t > dead.from && t < dead.to ? 1 : 0);
    const one = air(4, profile, { loss });
    one.run(40 * SECOND);
    for (const [near, far] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const { symptoms } = one.stations[near]!;
      assert.deepEqual(said(one.stations[near]!), ['neighbour-silent', 'neighbour-heard']);
      const [gone, back] = symptoms as [(typeof symptoms)[0], (typeof symptoms)[0]];
      assert.equal(gone.symptom.peer, one.stations[far]!.port);
      assert.equal(gone.symptom.source, 'beacon');
      assert.match(gone.symptom.detail, /nothing heard for \d+ ms; \d+ questions without an answer/);
      assert.ok(gone.t - dead.from <= limit * MS, `${(gone.t - dead.from) / MS} ms`);
      assert.ok(back.t - dead.to <= 3 * SECOND, `back after ${(back.t - dead.to) / MS} ms`);
    }
    assert.deepEqual(said(one.stations[0]!), []);
  });

/** A router that nobody hears, from its 20th to its 60th superframe: `lateNs` late at each tick. Its beacons, by superframe, when handed over. */
function heldUp(profile: ProfileName, node: Mac, lateNs: Nanos) {
  const settings = settingsOf(profile);
  const machine = new Beacon(settings, { ...NO_SETTINGS, mode: 'act', key: '5e'.repeat(32) });
  const begun = 1000 * SECOND;
  let now = begun;
  const feed = (event: Event) => machine.on(event, now);
  const link = { up: true, carrier: true, mtu: 1532, peer: 0 };
  const primary = { index: 21, name: 'wlan0', mac: node };
  const bat0 = { index: 10, name: 'bat0', mac: '02:ff:00:00:00:00' };
  feed({ type: 'link', link: { ...link, ...bat0, master: 0, kind: 'batadv' }, cause: 'resync' });
  feed({ type: 'link', link: { ...link, ...primary, master: 10, kind: '' }, cause: 'resync' });
  const mesh = { ...bat0, version: '', algorithm: 'BATMAN_IV' as const, settings: STOCK_SETTINGS, primary };
  const hardInterfaces = [{ ...primary, active: true }];
  feed({ type: 'tables', tables: { mesh, hardInterfaces, originators: [], neighbours: [], gateways: [] } });
  feed({ type: 'started', node, epoch: 1, marks: [] });
  const tick = (late: Nanos) => {
    now = Math.max(now, machine.deadline()) + late;
    return feed({ type: 'tick' });
  };
  const handed: { readonly superframe: number; readonly early: Nanos }[] = [];
  while (machine.deadline() < begun + 20 * settings.superframeNs) tick(0);
  while (machine.deadline() < begun + 60 * settings.superframeNs)
    for (const effect of tick(lateNs))
      if (effect.type === 'transmit-at')
        handed.push({ superframe: Math.floor((effect.at - begun) / settings.superframeNs), early: effect.at - now });
  return { handed, tick };
}

test('an agent that is held up for less than its lead loses no beacon, wherever its slot lies', () => {
  for (const profile of ['brief', 'default', 'fast'] as const)
    for (let last = 10; last < 50; last++) {
      const node = `02:00:00:00:00:${last}`;
      const { leadNs } = settingsOf(profile);
      const superframes = (lateNs: Nanos) => heldUp(profile, node, lateNs).handed.map(({ superframe }) => superframe);
      const { handed } = heldUp(profile, node, 0.9 * leadNs);
      const inTime = superframes(0);
      assert.ok(inTime.length > 15);
      assert.deepEqual(
        handed.map(({ superframe }) => superframe).slice(0, inTime.length - 1),
        inTime.slice(0, -1),
        node,
      );
      for (const { early } of handed) assert.ok(early > 0, `${profile}, ${node}: ${-early} ns too late`);
    }
});

test('a beacon that slept over its time is not sent, and counts', () => {
  const { tick } = heldUp('default', '02:00:00:00:00:10', 0);
  let failed = 0;
  for (let i = 0; i < 100; i++)
    for (const effect of tick(i % 10 === 0 ? 3 * SECOND : 0)) {
      if (effect.type === 'transmit-at') assert.ok(effect.latest > effect.at);
      if (effect.type === 'metric' && effect.name === 'beacons_failed_total') failed++;
    }
  assert.ok(failed > 1, `${failed}`);
});

test('who takes over as root goes by its own clock, whatever it took the rate of the old one for: the stated bounds hold', () => {
  for (let seed = 1; seed <= 6; seed++) {
    // Late frames, and a root that dies young: what its follower knows of its rate is next to nothing.
    const draw = seeded(seed);
    const delay = () => (draw() < 0.3 ? draw() * 60 * MS : 20_000);
    const one = air(4, 'fast', { draw, delay, loss: () => 0.2 });
    one.run(3 * SECOND);
    const root = one.stations.find(({ node }) => node === view(one, 1).root)!;
    one.stop(root.id);
    for (let t = 6; t < 40; t += 0.5) {
      one.run(t * SECOND);
      for (const station of one.stations) {
        if (!station.alive) continue;
        const { root: node, depth, boundNs, meshNs } = view(one, station.id);
        const leader = one.stations.find((other) => other.alive && other.node === node);
        if (depth === 0 || leader === undefined || view(one, leader.id).depth !== 0 || boundNs === null) continue;
        const its = leader.machine.read(one.local(leader))!;
        const wrong = Math.abs(meshNs - its.mesh);
        assert.ok(wrong <= boundNs + its.bound + 2, `seed ${seed}, ${t} s: ${wrong} ns wrong, ${boundNs} said`);
      }
    }
  }
});

for (const profile of ['brief', 'default'] as const)
  test(`a neighbour whose agent has died, while its kernel goes on, is not called silent where nobody counts frames: profile ${profile}`, () => {
    for (let seed = 1; seed <= 8; seed++) {
      const one = air(2, profile, { draw: seeded(seed) });
      one.run(60 * SECOND);
      const dead = one.stations[1]!.machine;
      dead.on = () => [];
      dead.deadline = () => Number.POSITIVE_INFINITY;
      one.run(160 * SECOND);
      assert.deepEqual(said(one.stations[0]!), [], `seed ${seed}`);
      assert.deepEqual(view(one, 0).neighbours, []);
    }
  });

for (const profile of ['default', 'fast'] as const)
  test(`a router whose healing is turned off says farewell, and nobody takes it for dead; it comes back: profile ${profile}`, () => {
    const one = air(3, profile);
    one.run(20 * SECOND);
    const asked = (mode: 'off' | 'act') => one.feed(one.stations[1]!, { type: 'mode-asked', by: 'root', mode });
    const sent = () => one.stations[1]!.metrics.get('beacons_sent_total')!;
    asked('off');
    const before = sent();
    one.run(40 * SECOND);
    assert.ok(sent() <= before + 1, 'a beacon may have been on its way');
    for (const id of [0, 2]) {
      assert.deepEqual(said(one.stations[id]!), []);
      assert.deepEqual(view(one, id).neighbours, []);
    }
    asked('act');
    one.run(60 * SECOND);
    assert.ok(sent() > before + 20);
    for (const id of [0, 2]) assert.equal(view(one, id).neighbours.length, 1);
    for (const station of one.stations) assert.deepEqual(said(station), []);
    assert.equal(new Set(one.stations.map((_, id) => view(one, id).root)).size, 1);
  });

for (const profile of ['default', 'fast'] as const)
  test(`a mesh key that changes at one router after the other makes nobody silent: profile ${profile}`, () => {
    const one = air(3, profile);
    const key = (id: number, digits: string) =>
      one.feed(one.stations[id]!, { type: 'settings', settings: { ...NO_SETTINGS, mode: 'act', key: digits } });
    one.run(20 * SECOND);
    for (const [at, id] of [
      [20, 1],
      [30, 0],
      [40, 2],
    ] as const) {
      one.run(at * SECOND);
      key(id, '5f'.repeat(32));
    }
    one.run(60 * SECOND);
    for (const station of one.stations) assert.deepEqual(said(station), []);
    assert.deepEqual(
      one.stations.map((_, id) => view(one, id).neighbours.length),
      [1, 2, 1],
    );
    assert.equal(new Set(one.stations.map((_, id) => view(one, id).root)).size, 1);
    // The same one again changes nothing.
    for (const id of [0, 1, 2]) key(id, '5f'.repeat(32));
    assert.equal(view(one, 1).neighbours.length, 2);
    // Without one nothing is sent.
    key(1, '');
    one.run(70 * SECOND);
    for (const station of one.stations) assert.deepEqual(said(station), []);
    assert.deepEqual(view(one, 0).neighbours, []);
  });

test('busy air where all is well: all send half as often, though each listens in its own slot now and then; 1.8 s find silence', () => {
  // More than a quarter of 25 slots is taken.
  const slots = { intervalNs: 0, slotNs: 20 * MS, guardNs: 0, rateKbit: 6000, ethertype: 0x88b5 };
  const links = Array.from({ length: 8 }, (_, a) => a).flatMap((a) =>
    Array.from({ length: a }, (_, b) => [a, b] as const),
  );
  const one = air(8, 'default', { settings: beaconSettings({ profile: 'default', ...slots }), links });
  const strides = () => one.stations.map((_, id) => view(one, id).place!.stride);
  one.run(60 * SECOND);
  assert.ok(strides().every((stride) => stride === 1));
  for (let t = 120; t <= 300; t += 5) {
    one.run(t * SECOND);
    assert.ok(
      strides().every((stride) => stride === 2),
      `after ${t} s: ${strides()}`,
    );
  }
  const sent = one.stations[0]!.metrics.get('beacons_sent_total')!;
  one.run(360 * SECOND);
  assert.ok(one.stations[0]!.metrics.get('beacons_sent_total')! - sent <= 61);
  for (const station of one.stations) assert.deepEqual(said(station), []);
  const at = 360.3 * SECOND;
  one.run(at);
  one.stop(3);
  one.run(at + 5 * SECOND);
  for (const [id, station] of one.stations.entries()) {
    if (id === 3) continue;
    assert.deepEqual(said(station), ['neighbour-silent']);
    assert.ok(station.symptoms[0]!.t - at <= 1800 * MS, `${(station.symptoms[0]!.t - at) / MS} ms`);
  }
  // And when something is odd all send as often as they can.
  assert.ok(
    strides().every((stride, id) => id === 3 || stride === 1),
    `${strides()}`,
  );
});

test('a router that leaves politely is missed by nobody, and its slot is free', () => {
  const one = air(3, 'default');
  one.run(20 * SECOND);
  assert.equal(view(one, 0).within2Hops, 2);
  one.stop(2, true);
  one.run(one.t + 10 * SECOND);
  assert.deepEqual(one.stations.map(said), [[], [], []]);
  assert.equal(view(one, 0).within2Hops, 1);
  assert.deepEqual(
    view(one, 1).neighbours.map(({ node }) => node),
    [one.stations[0]!.node],
  );
});

test('an agent that dies while its router lives on: asked about, then no longer waited for', () => {
  const one = air(2, 'default');
  one.run(20 * SECOND);
  const [watcher, dying] = one.stations as [Station, Station];
  // Its kernel goes on sending OGMs.
  const ogm = setOgm(watcher, one);
  dying.alive = false;
  one.run(one.t + 20 * SECOND);
  ogm.end = true;
  assert.deepEqual(view(one, 0).neighbours, []);
  const told = said(watcher);
  assert.equal(
    told.filter((what) => what === 'neighbour-silent').length,
    told.filter((what) => what === 'neighbour-heard').length,
  );
});

/** OGMs of station 1 as the first one's kernel hears them. */
function setOgm(station: Station, one: BeaconAir): { end: boolean } {
  const handle = { end: false };
  const again = (): void => {
    if (handle.end) return;
    station.lastOgm.set(1, one.t);
    one.at(one.t + SECOND, again);
  };
  again();
  return handle;
}

test("the kernel watches with the schedule's deadline, and frames that it alone saw are signs of life", () => {
  const lost = 20 * SECOND;
  const idle = 40 * SECOND;
  const one = air(2, 'default', { ogms: true, loss: (from, _to, t) => (from === 1 && t > lost ? 1 : 0) });
  const [watcher] = one.stations as [Station];
  const deadlines: (number | null)[] = [];
  const start = one.start.bind(one);
  // User traffic comes in all the time until `idle`: only the kernel sees it.
  one.start = (id) => {
    start(id);
    if (id !== 0) return;
    const { machine } = watcher;
    const on = machine.on.bind(machine);
    machine.on = (event, now) => {
      const effects = on(event, now);
      for (const effect of effects)
        if (effect.type === 'deadline') {
          deadlines.push(effect.silenceNs);
          const { neighbour, interface: index } = effect;
          const at = one.local(watcher, Math.min(one.t, idle));
          const answer = { type: 'neighbour-evidence', neighbour, interface: index, what: 'heard', at } as const;
          one.at(one.t, () => one.feed(watcher, answer));
        }
      return effects;
    };
  };
  one.run(lost + SECOND);
  assert.deepEqual([...new Set(deadlines)], [650 * MS]);
  one.run(idle);
  assert.deepEqual(said(watcher), []);
  assert.equal(view(one, 0).suspicions, 0, 'nobody was even asked');
  assert.ok(deadlines.length < 45, `${deadlines.length} looks in twenty seconds`);
  one.run(idle + 1600 * MS);
  assert.deepEqual(said(watcher), ['neighbour-silent']);
});

test('a root that dies is replaced, and the time goes on for users', () => {
  const one = air(4, 'fast', {
    links: [
      [0, 1],
      [1, 2],
      [2, 3],
      [0, 2],
      [1, 3],
    ],
  });
  one.run(10 * SECOND);
  const root = one.stations.find(({ node }) => node === view(one, 0).root)!;
  const rest = one.stations.filter((station) => station !== root);
  const before = rest.map((station) => station.machine.read(one.local(station))!.mesh);
  one.stop(root.id);
  one.run(20 * SECOND);
  for (const [i, station] of rest.entries()) {
    const passed = station.machine.read(one.local(station))!.mesh - before[i]!;
    assert.ok(Math.abs(passed - 10 * SECOND) < 5 * MS, `${passed}`);
    assert.notEqual(view(one, station.id).root, root.node);
  }
  assert.equal(new Set(rest.map(({ id }) => view(one, id).root)).size, 1);
});

test('frames that are played again, later or to somebody new, are refused', () => {
  const frames: string[] = [];
  const one = air(2, 'fast');
  const [a, b] = one.stations as [Station, Station];
  const feed = one.feed.bind(one);
  one.feed = (station, event) => {
    // Beacons only: kind 32.
    if (event.type === 'frame' && station === b && event.frame.slice(34, 36) === '20') frames.push(event.frame);
    feed(station, event);
  };
  one.run(5 * SECOND);
  const count = frames.length;
  assert.ok(count > 20);
  for (const frame of frames.slice(0, count)) feed(b, { type: 'frame', interface: 21, frame });
  assert.equal(b.metrics.get('beacons_refused_total replay'), count);
  one.run(20 * SECOND);
  // Forgotten by the receiver, but planned for another time.
  a.alive = false;
  b.machine.on({ type: 'link-gone', index: 21, name: 'wlan0' }, one.local(b));
  const link = {
    index: 21,
    name: 'wlan0',
    mac: b.port,
    up: true,
    carrier: true,
    mtu: 1532,
    peer: 0,
    master: 10,
    kind: '',
  };
  feed(b, { type: 'link', link, cause: 'event' });
  assert.equal(view(one, 1).root, a.node);
  const before = b.metrics.get('beacons_refused_total replay')!;
  for (const frame of frames.slice(20, count)) feed(b, { type: 'frame', interface: 21, frame });
  assert.equal(b.metrics.get('beacons_refused_total replay')! - before, count - 20);
});

test('a beacon of another mesh, or of another profile, is refused', () => {
  const one = air(2, 'fast');
  one.run(5 * SECOND);
  const [station] = one.stations as [Station];
  const last = (of: BeaconAir): string => {
    const [effect] = of.stations[0]!.machine.farewell(of.local(of.stations[0]!));
    assert.ok(effect?.type === 'send');
    return effect.frames[0]!.frame;
  };
  const stranger = air(1, 'fast', { links: [] }, '66'.repeat(32));
  const slower = air(1, 'brief', { links: [] });
  for (const other of [stranger, slower]) other.run(60 * SECOND);
  one.feed(station, { type: 'frame', interface: 21, frame: last(stranger) });
  assert.equal(station.metrics.get('beacons_refused_total mesh'), 1);
  const frame = last(slower).replace(`${station.port}`.replaceAll(':', ''), '020000000901');
  one.feed(station, { type: 'frame', interface: 21, frame });
  assert.equal(station.metrics.get('beacons_refused_total tag'), 1, 'the source is under the tag');
  one.feed(one.stations[1]!, { type: 'frame', interface: 21, frame: last(slower) });
  assert.equal(one.stations[1]!.metrics.get('beacons_refused_total profile'), 1);
});

test('a farewell ends the deadline in the kernel, and the silence of who was called silent', () => {
  for (const isSilent of [false, true]) {
    const one = air(2, 'default');
    one.run(10 * SECOND);
    const [parting, left] = one.stations as [Station, Station];
    if (isSilent) {
      parting.alive = false;
      one.run(15 * SECOND);
      assert.deepEqual(said(left), ['neighbour-silent']);
    }
    const [farewell] = parting.machine.farewell(one.local(parting));
    assert.ok(farewell?.type === 'send');
    const { frame } = farewell.frames[0]!;
    const effects = left.machine.on({ type: 'frame', interface: 21, frame }, one.local(left));
    const [deadline, ...others] = effects.filter(({ type }) => type !== 'metric');
    assert.deepEqual(deadline, { type: 'deadline', neighbour: parting.port, interface: 21, silenceNs: null });
    const ends = others.map(
      (effect) => effect.type === 'emit' && effect.event.type === 'symptom' && effect.event.symptom,
    );
    assert.deepEqual(
      ends.map((symptom) => symptom && [symptom.what, symptom.detail]),
      isSilent ? [['neighbour-heard', 'it said farewell']] : [],
    );
  }
});

test('a router that is silent for good is given up in the end, and nobody says that it was heard', () => {
  const one = air(2, 'default');
  one.run(10 * SECOND);
  one.stations[0]!.alive = false;
  one.run(400 * SECOND);
  const tables = { mesh: null, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };
  one.feed(one.stations[1]!, { type: 'tables', tables, since: one.local(one.stations[1]!) });
  const details = one.stations[1]!.symptoms.map(({ symptom }) => symptom.detail);
  assert.equal(details.length, 2);
  assert.match(details[1]!, /waited for no longer/);
});

test('a link that becomes one-way makes who is no longer heard move a few times, not for ever', () => {
  for (const profile of ['default', 'fast'] as const) {
    const loss = (from: number, to: number, t: number) => (from === 0 && to === 1 && t > 30 * SECOND ? 1 : 0);
    const one = air(3, profile, { loss });
    one.run(300 * SECOND);
    assert.ok(view(one, 0).collisions <= 5, `${profile}: ${view(one, 0).collisions} moves`);
    assert.ok(view(one, 0).place!.stride <= 2);
  }
});

const SILENT = [
  ['without a mesh key', { ...NO_SETTINGS, mode: 'act', key: '' }],
  ['in mode off', { ...NO_SETTINGS, mode: 'off', key: '5e'.repeat(32) }],
] as const;
for (const [name, heal] of SILENT)
  test(`nothing is sent or wanted ${name}`, () => {
    const one = air(2, 'fast');
    one.run(5 * SECOND);
    const [station] = one.stations as [Station];
    station.machine.on({ type: 'settings', settings: heal }, one.local(station));
    assert.equal(station.machine.deadline(), Number.POSITIVE_INFINITY);
    assert.deepEqual(station.machine.on({ type: 'tick' }, one.local(station) + SECOND), []);
    assert.deepEqual(station.machine.farewell(one.local(station)), []);
  });

test('an interface that goes takes its neighbours with it, without a word of silence', () => {
  const one = air(2, 'fast');
  one.run(5 * SECOND);
  const [station] = one.stations as [Station];
  const link = {
    index: 21,
    name: 'wlan0',
    mac: station.port,
    up: true,
    carrier: false,
    mtu: 1532,
    peer: 0,
    master: 10,
    kind: '',
  };
  one.feed(station, { type: 'link', link, cause: 'event' });
  assert.deepEqual(view(one, 0).neighbours, []);
  one.run(8 * SECOND);
  assert.deepEqual(said(station), []);
});
