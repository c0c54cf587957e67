/**
 * Bench `seeds`: 10 000 scenarios by chance, small meshes of whole agents that something befalls, each with every
 * invariant of the twin checked at every event (agent/twin/invariants.ts). `broken`: scenarios that broke one; the first
 * of each kind is printed, made as short as it can be. `--runs N` plays the first N.
 */
import { scenarioOf } from '../../agent/twin/chance.ts';
import { shrink } from '../../agent/twin/shrink.ts';
import { play, read } from '../../agent/twin/trial.ts';
import type { BenchResult, Progress } from './stats.ts';
import { runsOr } from './trials.ts';

const SEEDS = 10_000;
const SILENCE_MS = 5000;

export async function run(progress: Progress): Promise<BenchResult> {
  const seeds = runsOr(SEEDS);
  const shown = new Set<string>();
  let broken = 0;
  let virtual = 0;
  const began = performance.now();
  let said = began;
  for (let seed = 1; seed <= seeds; seed++) {
    const { breaches, simulation } = play(read(scenarioOf(seed)));
    virtual += simulation.now / 3.6e12;
    if (breaches.length > 0) broken += 1;
    for (const { invariant, what } of breaches) {
      if (shown.has(invariant)) continue;
      shown.add(invariant);
      progress(`seed ${seed} breaks '${invariant}': ${what}`);
      progress(`the shortest that still does: ${JSON.stringify(shrink(scenarioOf(seed), invariant).document)}`);
    }
    if (performance.now() - said < SILENCE_MS) continue;
    said = performance.now();
    progress(`${seed} of ${seeds}, ${broken} broken`);
  }
  const seconds = (performance.now() - began) / 1000;
  return {
    figures: { broken, seeds, virtual_hours: virtual, seeds_s: seeds / seconds },
    baseline: {},
    targets: [{ figure: 'broken', atMost: 0 }],
  };
}
