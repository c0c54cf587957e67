/** Lossy links, one after the other: what was done about one must not keep traffic on the next. */
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
