/** The simulated kernels by themselves: what batman-adv is known to do (README and bench heal measured it on real ones). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { outage, type Probe } from '../../../agent/twin/outage.ts';
import { Random } from '../../../agent/twin/random.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { type Fault, type Routes, type Story, story, type Timed } from '../../../agent/twin/story.ts';
import { outage as labOutage } from '../../../tools/lab/outage.ts';

const RING = [
  { a: 0, b: 1 },
  { a: 1, b: 2 },
  { a: 2, b: 3 },
  { a: 0, b: 3 },
];
const FAULT: Nanos = 12 * SECOND;

/** The first link of the way across the ring. */
const inUse = (routes: Routes): Fault => ({ kind: 'cut', a: 0, b: routes.route(0, 2)[1]!, silent: true });

function played(given: Partial<Story>, faults: readonly Timed['fault'][] = [], lengthNs = 24 * SECOND): Simulation {
  const simulation = new Simulation(
    story({
      seed: 1,
      routers: 4,
      links: RING,
      agents: [],
      faults: faults.map((fault) => ({ at: FAULT, fault })),
      ...given,
      lengthNs,
    }),
  );
  simulation.run();
  return simulation;
}

const rowsOf = (simulation: Simulation, router: number) => simulation.routers[router]!.kernel.tables().originators;

test('a ring knows each router by both ways, the worth of each less by its hops', () => {
  const rows = rowsOf(played({}), 0).filter(({ originator }) => originator.endsWith('00:02:00:01'));
  assert.equal(rows.length, 2);
  for (const { tq } of rows) assert.ok(tq! >= 220 && tq! <= 225, `${tq}`);
  assert.equal(rows.filter(({ best }) => best).length, 1);
});

for (const algorithm of ['BATMAN_IV', 'BATMAN_V'] as const)
  test(`${algorithm}: a cut in use is routed around after four to five messages`, () => {
    for (const seed of [1, 2, 3, 4]) {
      const probes = [{ from: 0, to: 2, everyNs: 5 * MS, fromNs: FAULT - SECOND }];
      const simulation = played({ seed, algorithm, probes }, [inUse]);
      const { ns, recovered } = outage(simulation.probes[0]!, FAULT, 24 * SECOND);
      assert.ok(recovered);
      assert.ok(ns > 3 * SECOND && ns < 5.8 * SECOND, `${ns / SECOND} s`);
    }
  });

test('a shorter interval repairs sooner', () => {
  const probes = [{ from: 0, to: 2, everyNs: 5 * MS, fromNs: FAULT - SECOND }];
  const { ns } = outage(played({ mesh: { origInterval: 200 }, probes }, [inUse]).probes[0]!, FAULT, 24 * SECOND);
  assert.ok(ns > 0.5 * SECOND && ns < 1.4 * SECOND, `${ns / SECOND} s`);
});

test('a link that hears in one direction only carries nothing', () => {
  const simulation = played({ routers: 2, links: [{ a: 0, b: 1, loss: [1, 0] }] });
  for (const router of [0, 1]) assert.deepEqual(simulation.route(router, 1 - router), []);
});

test('an interface that leaves takes its routes along, at once', () => {
  const simulation = played({}, [{ kind: 'taken', router: 0, towards: 1 }], FAULT + 100 * MS);
  assert.deepEqual(simulation.route(0, 1), [0, 3, 2, 1]);
  assert.ok(rowsOf(simulation, 0).every(({ interfaceName }) => interfaceName === 'eth1'));
});

test('loss shows as a lower worth, about as much as is lost', () => {
  const simulation = played({ routers: 2, links: [{ a: 0, b: 1, loss: [0.2, 0.2] }] }, [], 120 * SECOND);
  const link = rowsOf(simulation, 0).find(({ originator, neighbour }) => originator === neighbour)!;
  assert.ok(link.tq! > 150 && link.tq! < 235, `${link.tq}`);
});

test('a neighbour that comes back counts anew, and its link is worth little for a while', () => {
  const faults: Fault[] = [{ kind: 'taken', router: 0, towards: 1 }];
  const simulation = new Simulation(
    story({
      seed: 3,
      routers: 2,
      links: [{ a: 0, b: 1 }],
      agents: [],
      faults: [
        ...faults.map((fault) => ({ at: FAULT, fault })),
        { at: FAULT + SECOND, fault: { kind: 'given', router: 0, towards: 1 } },
      ],
      lengthNs: 200 * SECOND,
    }),
  );
  const worth = () => Math.max(0, ...rowsOf(simulation, 0).map(({ tq }) => tq ?? 0));
  simulation.run(FAULT + 8 * SECOND);
  assert.ok(worth() > 0 && worth() < 120, `${worth()}`);
  simulation.run();
  assert.ok(worth() > 245, `${worth()}`);
});

test('a router that is gone is forgotten: its ways after 200 s, itself after 400 s', () => {
  const simulation = played({}, [{ kind: 'router-off', router: 2 }], FAULT + 190 * SECOND);
  const has = () => rowsOf(simulation, 0).some(({ originator }) => originator.endsWith('00:02:00:01'));
  assert.ok(has());
  simulation.run(FAULT + 210 * SECOND);
  assert.equal(has(), false);
});

test('clients choose a gateway and keep it while no other is much better', () => {
  const special = new Map([
    [1, { gwMode: 'server' }],
    [2, { gwMode: 'server', gwBandwidthDown: 500 }],
  ] as const);
  const simulation = played({ special, mesh: { gwMode: 'client' } });
  const { gateways } = simulation.routers[0]!.kernel.tables();
  assert.equal(gateways.length, 2);
  const best = gateways.filter((gateway) => gateway.best);
  assert.equal(best.length, 1);
  assert.ok(best[0]!.originator.endsWith('00:01:00:01'), 'the nearer one');
  assert.equal(gateways.find(({ originator }) => originator.endsWith('00:02:00:01'))!.bandwidthDown, 500);
});

test('on a shared medium two that do not hear each other talk by way of a third', () => {
  const links = [
    { a: 0, b: 1 },
    { a: 1, b: 2 },
  ];
  const simulation = played({ routers: 3, links, medium: 'shared' });
  assert.deepEqual(simulation.route(0, 2), [0, 1, 2]);
});

test('by radio near routers hear each other and far ones do not', () => {
  const places = [0, 60, 120, 900].map((x) => ({ x, y: 0 }));
  const simulation = played({ links: [], places });
  assert.ok(simulation.route(0, 2).length >= 2);
  assert.deepEqual(simulation.route(0, 3), []);
});

test('an interferer that is on drowns a weak link, and lets go of it when it is off', () => {
  const places = [0, 110].map((x) => ({ x, y: 0 }));
  const interferers = [{ x: 55, y: 20, powerDbm: 20, onNs: 30 * SECOND, offNs: 60 * SECOND }];
  const heardAt = (until: Nanos) => {
    const simulation = played({ routers: 2, links: [], places, interferers }, [], until);
    return Math.min(...simulation.routers[0]!.kernel.tables().neighbours.map(({ lastSeenMs }) => lastSeenMs));
  };
  assert.equal(heardAt(28 * SECOND), Number.POSITIVE_INFINITY);
  assert.ok(heardAt(80 * SECOND) < 3000);
  assert.ok(heardAt(118 * SECOND) > 20_000);
});

test('an outage is what the lab calls one', () => {
  const random = new Random(1, 'outage');
  for (let round = 0; round < 300; round++) {
    const probes: Probe[] = [];
    let isLost = false;
    for (let sent = 0; sent < 4000; sent += 20) {
      if (random.is(0.1)) isLost = !isLost;
      probes.push({ sent: sent * MS, received: isLost && sent > 1000 ? 0 : sent * MS + MS });
    }
    const mine = outage(probes, 1010 * MS, 3500 * MS);
    const lab = labOutage(probes, 1010 * MS, { untilNs: 3500 * MS });
    assert.equal(mine.recovered, lab.recovered);
    if (mine.recovered) assert.equal(mine.ns / MS, lab.outageMs);
  }
});
