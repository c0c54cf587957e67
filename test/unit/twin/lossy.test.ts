/** Lossy and slow links: traffic leaves them, and what was done about one does not keep it on the next. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { beginsAt } from '../../../agent/twin/stage.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const RING = [
  ['r0', 'r1'],
  ['r1', 'r2'],
  ['r2', 'r3'],
  ['r3', 'r0'],
] as const;
const LOSSY = { fault: 'partial-loss', loss_pct: 35, for_s: 120 } as const;

for (const seed of [1, 2, 3])
  test(`a link that was lossy twice and is good again carries what the next lossy one cannot, seed ${seed}`, () => {
    const scenario = read({
      format: 1,
      name: 'lossy links, one after the other',
      seed,
      topology: { kind: 'links', links: RING, medium: 'cable' },
      agent: { modes: { 'link-lossy': 'act' } },
      probes: [0, 1, 2, 3].map((n) => ({ from: `r${n}`, to: `r${(n + 2) % 4}`, interval_ms: 50 })),
      timeline: [
        { at_s: 150, link: ['r3', 'r0'], ...LOSSY },
        { at_s: 450, link: ['r3', 'r0'], ...LOSSY },
        { at_s: 750, link: ['r1', 'r2'], ...LOSSY },
      ],
      duration_s: 900,
    });
    const { breaches, simulation } = play(scenario);
    assert.deepEqual(breaches, []);
    const from = beginsAt(scenario) + 840 * SECOND;
    const last = simulation.probes.map((probe) =>
      probe.filter(({ sent }) => sent >= from && sent < from + 30 * SECOND),
    );
    assert.deepEqual(
      last.map((probe) => probe.filter(({ received }) => received === 0).length),
      [0, 0, 0, 0],
      'nothing is lost while the third link loses a third',
    );
  });

for (const seed of [3, 7])
  test(`neighbours of a slow link say which other way there is once it is dear, seed ${seed}`, () => {
    const scenario = read({
      format: 1,
      name: 'slow links, one after the other',
      seed,
      topology: { kind: 'links', links: RING, medium: 'cable' },
      agent: { modes: { 'link-slow': 'act' } },
      probes: [0, 1, 2, 3].map((n) => ({ from: `r${n}`, to: `r${(n + 2) % 4}`, interval_ms: 50 })),
      timeline: [
        { at_s: 150, fault: 'delay', link: ['r0', 'r1'], delay_ms: 150, for_s: 150 },
        { at_s: 570, fault: 'delay', link: ['r1', 'r2'], delay_ms: 150, for_s: 150 },
        { at_s: 990, fault: 'delay', link: ['r2', 'r3'], delay_ms: 150, for_s: 150 },
        { at_s: 1410, fault: 'delay', link: ['r3', 'r0'], delay_ms: 150, for_s: 150 },
      ],
      duration_s: 1570,
    });
    const { breaches, simulation } = play(scenario);
    assert.deepEqual(breaches, []);
    for (const { at_s } of scenario.timeline) {
      const from = beginsAt(scenario) + (at_s + 120) * SECOND;
      const last = simulation.probes.flatMap((probe) =>
        probe.filter(({ sent }) => sent >= from && sent < from + 29 * SECOND),
      );
      assert.deepEqual(
        last.filter(({ sent, received }) => received === 0 || received - sent > SECOND / 10),
        [],
        `at ${at_s} s`,
      );
    }
  });

test('a bad link that is the only way is made dear and cheap again a few times an hour, and nothing is lost by that', () => {
  const scenario = read({
    format: 1,
    name: 'a slow link in a line',
    seed: 1,
    topology: { kind: 'links', links: RING.slice(0, 3), medium: 'cable' },
    agent: { modes: { 'link-slow': 'act' } },
    probes: [{ from: 'r0', to: 'r3', interval_ms: 100 }],
    timeline: [{ at_s: 150, fault: 'delay', link: ['r1', 'r2'], delay_ms: 150 }],
    duration_s: 3750,
  });
  const { breaches, simulation } = play(scenario);
  assert.deepEqual(breaches, []);
  const steps = simulation.journal.map(({ node, decision: { step, action } }) => `${node} ${step} ${action}`);
  for (const node of ['r1', 'r2']) {
    const tries = steps.filter((one) => one === `${node} rolled-back link-cost`).length;
    assert.ok(tries >= 1 && tries <= 7, `${node}: ${tries} times`);
  }
  assert.ok(!steps.some((one) => one.endsWith('verified link-cost')));
  const arrived = simulation.now - SECOND;
  const lost = simulation.probes[0]!.filter(({ sent, received }) => sent < arrived && received === 0);
  assert.deepEqual(lost, []);
});
