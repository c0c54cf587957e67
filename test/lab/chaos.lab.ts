/**
 * Faults by chance on a real kernel, several at a time, while agents are killed and stopped at moments of chance: in the end
 * the mesh is whole, every setting as it was, every agent runs. X0_CHAOS_SEED=7 plays number 7 alone.
 */

import { Random } from '../../agent/twin/random.ts';
import { parseScenario, type Scenario } from '../../agent/twin/scenario.ts';
import { play, unplayable } from '../../tools/lab/play.ts';
import { buildReport } from '../../tools/lab/report.ts';
import { prepareLab, umlMissing } from '../../tools/lab/uml.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'chaos';
export const soak = true;

const { X0_CHAOS_SEED: only } = process.env;
const SEEDS = only === undefined ? [1, 2, 3, 4] : [Number(only)];
/** A ring of five with a chord: no single fault splits it. */
const NODES = ['r0', 'r1', 'r2', 'r3', 'r4'] as const;
const LINKS = [
  ['r0', 'r1'],
  ['r1', 'r2'],
  ['r2', 'r3'],
  ['r3', 'r4'],
  ['r0', 'r4'],
  ['r1', 'r3'],
] as const;
const FAULTS = 7;
const LENGTH_S = 45;
/** What was taken out goes back half a minute after its last return, and costs are lent for a minute more. */
const REST_S = 100;

export async function run(report: Report): Promise<void> {
  const missing = umlMissing();
  if (missing !== undefined) return report.skip('chaos', missing);
  prepareLab();
  for (const seed of SEEDS) {
    const scenario = scenarioOf(seed);
    const story = scenario.timeline.map(
      (one) => `${one.at_s} ${one.fault} ${JSON.stringify('link' in one ? one.link : 'node' in one ? one.node : '')}`,
    );
    try {
      const told = buildReport(scenario, 'uml', [await play(scenario, { agent: 'on' })]);
      const [played] = told.runs;
      for (const { expect, held, why } of told.expectations)
        if (held) report.pass(`seed ${seed}: ${expect}`);
        else report.fail(`seed ${seed}: ${expect}`, `${why}; ${story.join('; ')}`);
      if (played!.problems.length > 0) report.fail(`seed ${seed}`, played!.problems.join('; '));
    } catch (thrown) {
      report.fail(`seed ${seed}`, (thrown as Error).message);
    }
  }
}

/** The first of a seed's scenarios that a lab can play: what undoes another's fault it refuses. */
function scenarioOf(seed: number): Scenario {
  for (let attempt = 0; ; attempt++) {
    const random = new Random(seed, `chaos ${attempt}`);
    const parsed = parseScenario(
      JSON.stringify({
        format: 1,
        name: `chaos ${seed}`,
        seed,
        topology: { kind: 'links', links: LINKS },
        probes: [
          { from: 'r0', to: 'r2', interval_ms: 20 },
          { from: 'r4', to: 'r1', interval_ms: 20 },
        ],
        timeline: timeline(random),
        duration_s: LENGTH_S + REST_S,
        expect: ['reachable', 'settings-as-before', 'agents-alive'].map((expect) => ({ expect })),
      }),
    );
    if (parsed.ok && unplayable(parsed.scenario).length === 0) return parsed.scenario;
    if (attempt > 500) throw new Error(JSON.stringify(parsed.ok ? unplayable(parsed.scenario) : parsed.problems));
  }
}

function timeline(random: Random): readonly Readonly<Record<string, unknown>>[] {
  const at = (most: number) => Math.round(random.between(0.5, most) * 1000) / 1000;
  const faults = Array.from({ length: FAULTS }, () => {
    const for_s = Math.round(random.between(1, 12) * 1000) / 1000;
    const link = random.pick(LINKS);
    const about = random.pick([
      { fault: 'carrier-loss', link, for_s },
      { fault: 'silent-loss', link, for_s },
      { fault: 'one-way', link, for_s },
      { fault: 'partial-loss', link, for_s, loss_pct: random.pick([10, 40]) },
      { fault: 'flapping', link, for_s, down_s: 0.4, up_s: 0.6 },
      { fault: 'interface-taken', link, for_s },
      { fault: 'interface-bridged', link, for_s },
      { fault: 'bat0-deleted', node: random.pick(NODES), for_s },
      { fault: 'setting-changed', node: random.pick(NODES), setting: 'hop_penalty', value: 77, for_s },
    ]);
    return { at_s: at(LENGTH_S - for_s), ...about };
  });
  // Each router's once: what still starts cannot be started again.
  const kills = NODES.map((node) => ({
    at_s: at(LENGTH_S - 8),
    fault: random.is(0.7) ? 'agent-killed' : 'agent-stopped',
    node,
    for_s: Math.round(random.between(0.2, 6) * 1000) / 1000,
  }));
  return [...faults, ...kills];
}
