/** What a twin's world answers to its agent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { scenarioOf } from '../../../agent/twin/chance.ts';
import { MTU } from '../../../agent/twin/kernel.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { type Story, story } from '../../../agent/twin/story.ts';
import { play, read } from '../../../agent/twin/trial.ts';
import { FREE_KIB, type Rehearsing } from '../../../agent/twin/world.ts';

const RING: Partial<Story> = {
  links: [
    { a: 0, b: 1 },
    { a: 1, b: 2 },
    { a: 0, b: 2 },
  ],
  modes: { 'config-drift': 'act' },
  faults: [{ at: 20e9, fault: { kind: 'setting', router: 1, settings: { hopPenalty: 90 } } }],
};

/** What becomes of a changed setting, where a rehearsal comes to this. */
function restored(rehearsing: Rehearsing): { steps: string[]; hopPenalty: number } {
  const simulation = new Simulation(
    story({ seed: 1, routers: 3, lengthNs: 40 * SECOND, ...RING }),
    () => [],
    rehearsing,
  );
  simulation.run();
  const steps = simulation.journal
    .filter(({ decision }) => decision.fault.class === 'config-drift')
    .map(({ decision }) => `${decision.step} ${decision.action}`);
  return { steps, hopPenalty: simulation.routers[1]!.kernel.mesh!.settings.hopPenalty };
}

test('an agent in the twin is told what its rehearsal came to', () => {
  const asked: Parameters<Rehearsing>[] = [];
  const better = restored((...all) => {
    asked.push(all);
    return { verdict: 'better', detail: '', afterNs: SECOND };
  });
  assert.deepEqual(better, { steps: ['planned restore', 'verified restore'], hopPenalty: 30 });
  const [effect, known] = asked[0]!;
  assert.deepEqual(effect.changes, [{ kind: 'set-mesh', mesh: 'bat0', settings: { hopPenalty: 30 } }]);
  assert.equal(known!.tables.mesh!.settings.hopPenalty, 90);
  const worse = restored(() => ({ verdict: 'worse', detail: '', afterNs: SECOND }));
  assert.deepEqual(worse.steps.slice(0, 2), ['planned restore', 'dropped restore']);
  assert.equal(worse.hopPenalty, 90);
});

test('seeds meet verdicts of every kind, and break nothing', () => {
  const dropped = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const document = scenarioOf(seed);
    if (!('modes' in ((document.agent ?? {}) as object))) continue;
    const { breaches, simulation } = play(read(document), { verdicts: 'drawn' });
    assert.deepEqual(breaches, [], `seed ${seed}`);
    for (const { decision } of simulation.journal)
      if (decision.step === 'dropped') dropped.add(`${decision.action} ${decision.result?.slice(0, 9)}`);
  }
  assert.ok(
    [...dropped].some((one) => one.endsWith('rehearsed')),
    [...dropped].join(),
  );
});

test('what an agent asks of its kernel is done in the order in which it was asked', () => {
  const simulation = new Simulation(
    story({ seed: 3, routers: 2, links: [{ a: 0, b: 1 }], agents: [], lengthNs: 30 * SECOND }),
  );
  simulation.run(6 * SECOND);
  const { world, kernel } = simulation.routers[0]!;
  world.start();
  for (let round = 0; round < 40; round++) {
    const set = (mtu: number): Effect => {
      const change = { kind: 'set-mtu', interface: 'eth0', mtu } as const;
      return { type: 'change', id: `x${round}`, change, undo: null };
    };
    world.carryOut(set(1400));
    world.carryOut(set(1500));
    simulation.run(simulation.now + SECOND / 10);
    assert.equal(kernel.byName('eth0')!.mtu, 1500, `round ${round}`);
  }
});

test('where all routers are one machine each frame takes its time, and agents wait for it', () => {
  const took = (together: boolean): number[] => {
    const probes = [1, 2].map((to) => ({ from: 0, to, everyNs: SECOND / 100, fromNs: 8 * SECOND }));
    const links = RING.links!;
    const simulation = new Simulation(
      story({ seed: 1, routers: 3, links, agents: [], probes, together, lengthNs: 9e9 }),
    );
    simulation.run();
    const times = simulation.probes.map((all) =>
      all.map(({ sent, received }) => received - sent).sort((a, b) => a - b),
    );
    return times.map((all) => all[all.length >> 1]!);
  };
  const [apart, one] = [took(false), took(true)];
  assert.ok(Math.max(...apart) < 60_000, apart.join());
  assert.ok(one[0]! >= apart[0]! + 100_000, 'a frame');
  assert.ok(one[1]! >= apart[1]! + 200_000, 'and the one behind it');
});

/** A pair of routers, one of them without memory to spare from the first minute on. */
function short(restart: boolean) {
  const simulation = new Simulation(
    story({
      seed: 5,
      routers: 2,
      links: [{ a: 0, b: 1 }],
      settings: { restart },
      modes: { overload: 'act' },
      faults: [{ at: 20e9, fault: { kind: 'memory', router: 0, kib: FREE_KIB - 3 * 1024 } }],
      lengthNs: 900 * SECOND,
    }),
  );
  const starts: number[] = [];
  const { world } = simulation.routers[0]!;
  const start = world.start.bind(world);
  world.start = () => {
    if (world.agent === null) starts.push(simulation.now);
    start();
  };
  simulation.run();
  const done = simulation.journal
    .filter(({ node, decision }) => node === 'r0' && decision.step !== 'planned')
    .map(({ at, decision }) => ({ at, what: `${decision.action} ${decision.step}` }));
  return { starts, done, world };
}

test('an agent that restarts itself begins anew after the five seconds of procd, once: it knows that it did', () => {
  const { starts, done, world } = short(true);
  const restarts = done.filter(({ what }) => what === 'restart-service done');
  assert.equal(restarts.length, 1, done.map(({ what }) => what).join());
  assert.deepEqual(
    starts.slice(1).map((at) => at - restarts[0]!.at),
    [5 * SECOND],
  );
  assert.notEqual(world.agent, null);
  // What had been tried before the restart is not tried again by who remembers it.
  assert.ok(
    done.some(({ at, what }) => what === 'tell done' && at > starts[1]!),
    done.map(({ what }) => what).join(),
  );
  const without = short(false);
  assert.equal(without.starts.length, 1);
  assert.ok(without.done.every(({ what }) => !what.startsWith('restart-service')));
});

test('whoever ends an agent that was about to be started again, or starts it sooner, has the last word', () => {
  const simulation = new Simulation(story({ seed: 3, routers: 2, links: [{ a: 0, b: 1 }], lengthNs: 60 * SECOND }));
  const [one, other] = simulation.routers.map(({ world }) => world);
  simulation.run(8 * SECOND);
  for (const world of [one!, other!]) world.carryOut({ type: 'restart', why: 'a test' });
  simulation.run(10 * SECOND);
  assert.deepEqual([one!.agent, other!.agent], [null, null]);
  one!.kill();
  other!.start();
  const { agent } = other!;
  simulation.run(20 * SECOND);
  assert.equal(one!.agent, null);
  assert.equal(other!.agent, agent);
});

test('what an agent has learned its next one is told, and what it has forgotten is gone', () => {
  const told: string[][] = [];
  const simulation = new Simulation(
    story({
      seed: 3,
      routers: 1,
      modes: { overload: 'act', 'link-slow': 'observe' },
      lengthNs: 60 * SECOND,
    }),
    () => [
      {
        onEvent: (_world, event) => {
          if (event.type === 'started')
            told.push((event.memories ?? []).map((one) => `${one.kind} ${one.key} ${one.value}`));
        },
        onEffect: () => {},
      },
    ],
  );
  simulation.run(8 * SECOND);
  const { world } = simulation.routers[0]!;
  world.carryOut({ type: 'remember', kind: 'repair', key: 'link-down kick', value: '[1,1,5,0]' });
  world.carryOut({ type: 'remember', kind: 'class-mode', key: 'overload', value: null });
  world.kill();
  world.start();
  assert.deepEqual(told, [
    ['class-mode overload act', 'class-mode link-slow observe'],
    ['class-mode link-slow observe', 'repair link-down kick [1,1,5,0]'],
  ]);
});

test('an interface that is plugged in again, or whose router was without power, is as new', () => {
  const simulation = new Simulation(
    story({ seed: 3, routers: 2, links: [{ a: 0, b: 1 }], agents: [], lengthNs: 60 * SECOND }),
  );
  simulation.run(8 * SECOND);
  const { kernel } = simulation.routers[0]!;
  const spoil = () => {
    kernel.apply({ kind: 'set-mtu', interface: 'eth0', mtu: 1400 });
    kernel.apply({ kind: 'set-hard', interface: 'eth0', settings: { hopPenalty: 60, throughputOverride: 100 } });
  };
  const device = kernel.byName('eth0')!;
  for (const [gone, back] of [
    [
      { kind: 'unplugged', router: 0, towards: 1 },
      { kind: 'plugged', router: 0, towards: 1 },
    ],
    [
      { kind: 'router-off', router: 0 },
      { kind: 'router-on', router: 0 },
    ],
  ] as const) {
    spoil();
    assert.deepEqual([device.mtu, device.settings], [1400, { hopPenalty: 60, throughputOverride: 100 }]);
    simulation.inject(gone);
    simulation.inject(back);
    assert.deepEqual([device.mtu, device.settings], [MTU, { hopPenalty: 0 }], gone.kind);
  }
});
