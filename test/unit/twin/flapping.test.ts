/** Links that come and go without a carrier: told where that is new, and not where radios always live at the edge. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { Random } from '../../../agent/twin/random.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { story } from '../../../agent/twin/story.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const RING = [
  ['r0', 'r1'],
  ['r1', 'r2'],
  ['r2', 'r3'],
  ['r3', 'r0'],
] as const;

test('a link that falls silent over and over is told at both ends, made dear, and as it was when it keeps still', () => {
  const { breaches, simulation } = play(
    read({
      format: 1,
      name: 'a link that falls silent over and over',
      seed: 3,
      topology: { kind: 'links', links: RING, medium: 'cable' },
      agent: { modes: { 'link-flapping': 'act' } },
      timeline: [
        { at_s: 400, fault: 'flapping', how: 'silent', link: ['r0', 'r1'], down_s: 5, up_s: 8, for_s: 100 },
        { at_s: 440, fault: 'partial-loss', link: ['r2', 'r3'], loss_pct: 2 },
      ],
      duration_s: 900,
    }),
  );
  assert.deepEqual(breaches, []);
  const told = simulation.journal.filter(({ decision }) => decision.fault.class === 'link-flapping');
  assert.deepEqual([...new Set(told.map(({ node }) => node))].sort(), ['r0', 'r1']);
  assert.equal(new Set(told.map(({ decision }) => decision.fault.id)).size, 2, 'once at either end');
  const steps = told.map(({ decision: { step, action } }) => `${step} ${action}`);
  assert.ok(steps.includes('verified link-cost'), steps.join());
  assert.equal(
    steps.filter((step) => step === 'verified link-cost').length,
    steps.filter((step) => step === 'over link-cost').length,
  );
});

test('radios, many of whose links are at the edge of what they reach, do not tell of it all the time', () => {
  const random = new Random(1, 'places');
  const places = Array.from({ length: 8 }, () => ({ x: random.unit() * 420, y: random.unit() * 420 }));
  const simulation = new Simulation(story({ seed: 1, routers: 8, places, lengthNs: 1500 * SECOND }));
  simulation.run(1500 * SECOND);
  const faults = simulation.journal.map(({ decision }) => decision.fault);
  assert.ok(
    faults.some(({ class: kind }) => kind === 'link-silent' || kind === 'link-lossy'),
    'some links are bad',
  );
  const flapping = new Set(faults.filter(({ class: kind }) => kind === 'link-flapping').map(({ id }) => id));
  assert.ok(flapping.size <= 2, `${flapping.size} times`);
});
