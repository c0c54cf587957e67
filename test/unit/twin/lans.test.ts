/** Client networks that a cable joins behind the mesh's back, and clocks that somebody sets, in the twin. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { Kernel } from '../../../agent/twin/kernel.ts';
import { Lans } from '../../../agent/twin/lans.ts';
import { Scheduler } from '../../../agent/twin/scheduler.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const LOOP = { fault: 'bridge-loop', nodes: ['r0', 'r2'] };

function played(more: Readonly<Record<string, unknown>>) {
  const scenario = { format: 1, name: 'lans', topology: { kind: 'ring', nodes: 4 }, settle_s: 0, ...more };
  const { breaches, simulation } = play(read(scenario as unknown as Parameters<typeof read>[0]));
  assert.deepEqual(breaches, []);
  return simulation.journal.map(({ node, at, decision: { fault, step, action } }) => ({
    atS: at / 1e9,
    what: `${node} ${fault.class} ${step} ${action}`,
  }));
}

test('broadcasts go round: both routers at the cable see it, turn loop avoidance on, and nobody else says anything', () => {
  const journal = played({
    agent: { modes: { 'broadcast-storm': 'act' } },
    timeline: [{ at_s: 20, ...LOOP, for_s: 40 }],
    duration_s: 200,
  });
  const whats = journal.map(({ what }) => what);
  assert.deepEqual(
    whats.sort(),
    ['r0', 'r2'].flatMap((node) => [
      ...['planned', 'verified'].map((step) => `${node} address-taken ${step} announce`),
      ...['over', 'planned', 'verified'].map((step) => `${node} broadcast-storm ${step} set-feature`),
    ]),
  );
  const first = Math.min(...journal.map(({ atS }) => atS));
  assert.ok(first > 26 && first < 26 + 16, `told after ${first - 26} s`);
});

test('a cable between client networks is no circle where both avoid loops, nor where the mesh does not join them', () => {
  assert.deepEqual(played({ kernel: { bla: true }, timeline: [{ at_s: 10, ...LOOP }], duration_s: 60 }), []);
  const parts = { fault: 'partition', nodes: ['r0', 'r1'] };
  const journal = played({
    timeline: [
      { at_s: 5, ...parts },
      { at_s: 15, ...LOOP },
    ],
    duration_s: 60,
  });
  assert.ok(!journal.some(({ what }) => what.includes('broadcast-storm')));
});

test('a cable that is out for less than a look is one cable: no more goes round than before', () => {
  const scheduler = new Scheduler();
  const kernel = (number: number) =>
    ({
      number,
      mesh: { up: true, master: 2, settings: { bridgeLoopAvoidance: false } },
      byName: () => ({ index: 2 }),
      attached: () => [],
    }) as unknown as Kernel;
  const pair = [kernel(0), kernel(1)] as const;
  const lans = new Lans(
    scheduler,
    () => pair,
    () => true,
  );
  const received = () => lans.counters(pair[0])[0]!.rxPackets;
  lans.join(pair, true);
  scheduler.run(SECOND);
  const before = received();
  lans.join(pair, false);
  scheduler.run(SECOND + 50 * MS);
  lans.join(pair, true);
  scheduler.run(2 * SECOND);
  assert.equal(received() - before, before);
});

test('a clock that somebody sets is told by its own router, once each time', () => {
  const clock = { fault: 'clock-stepped', node: 'r1' };
  const timeline = [
    { at_s: 10, ...clock, step_s: 3600 },
    { at_s: 70, ...clock, step_s: -3600 },
    // As NTP slews.
    { at_s: 130, ...clock, step_s: 0.5 },
  ];
  const told = played({ timeline, duration_s: 200 });
  assert.deepEqual([...new Set(told.map(({ what }) => what))], ['r1 clock-stepped planned none']);
  assert.equal(told.length, 2);
});
