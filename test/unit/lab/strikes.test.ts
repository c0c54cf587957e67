/** What makes the faults of a scenario, against a mesh that is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseScenario } from '../../../agent/twin/scenario.ts';
import type { Mesh } from '../../../tools/lab/mesh.ts';
import { type Stage, Striker, type Weather } from '../../../tools/lab/strikes.ts';

test('a flapping link that cannot be mended in between is told when it is taken back, and ends nothing', async () => {
  const parsed = parseScenario(
    JSON.stringify({
      format: 1,
      name: 'flaps',
      topology: { kind: 'line', nodes: 2 },
      timeline: [{ at_s: 0, fault: 'flapping', how: 'silent', link: ['r0', 'r1'], down_s: 0.05, up_s: 0.05, for_s: 1 }],
    }),
  );
  assert.ok(parsed.ok);
  const { scenario } = parsed;
  const link = { id: 0, a: 0, b: 1, ends: ['to1', 'to0'], medium: 'cable' };
  let tries = 0;
  const mesh = {
    links: [link],
    cutSilently: async () => ({ ns: 1 }),
    mend: async () => {
      tries += 1;
      throw new Error('there is no such interface');
    },
  } as unknown as Mesh;
  const stage: Stage = { mesh, scenario, withAgents: false, killAgent: async () => {}, startAgent: async () => {} };
  const made = await new Striker(stage, {} as Weather).strike(scenario.timeline[0]!);
  await sleep(150);
  assert.equal(tries, 1);
  await assert.rejects(made.mend(), /no such interface/);
});
