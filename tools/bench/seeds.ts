/**
 * Bench `seeds`: 10 000 scenarios by chance, small meshes of whole agents that something befalls, each with every
 * invariant of the twin checked at every event (agent/twin/invariants.ts), a worker thread a core. `broken`: scenarios that
 * broke one; the first of each kind is printed, made as short as it can be. `--runs N` plays the first N.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { scenarioOf } from '../../agent/twin/chance.ts';
import type { Invariant } from '../../agent/twin/invariants.ts';
import { shrink } from '../../agent/twin/shrink.ts';
import type { SeedRange, SeedsPlayed } from './seeds-worker.ts';
import type { BenchResult, Progress } from './stats.ts';
import { runsOr } from './trials.ts';

const SEEDS = 10_000;
/** So many at a time: few enough that all cores end together. */
const AT_ONCE = 20;
const SILENCE_MS = 5000;

export async function run(progress: Progress): Promise<BenchResult> {
  const seeds = runsOr(SEEDS);
  const workers = Math.min(availableParallelism(), Math.ceil(seeds / AT_ONCE));
  const began = performance.now();
  const broken: SeedsPlayed['broken'][number][] = [];
  let [next, played, virtual, said] = [1, 0, 0, began];

  await Promise.all(
    Array.from({ length: workers }, async () => {
      const worker = new Worker(new URL('./seeds-worker.ts', import.meta.url));
      try {
        while (next <= seeds) {
          const range: SeedRange = { from: next, to: Math.min(seeds, next + AT_ONCE - 1) };
          next = range.to + 1;
          worker.postMessage(range);
          const [part] = (await once(worker, 'message')) as [SeedsPlayed];
          broken.push(...part.broken);
          virtual += part.virtualHours;
          played += range.to - range.from + 1;
          if (performance.now() - said < SILENCE_MS) continue;
          said = performance.now();
          progress(`${played} of ${seeds}, ${count(broken)} broken`);
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;

  const shown = new Set<string>();
  for (const { seed, invariant, what } of broken.sort((a, b) => a.seed - b.seed)) {
    if (shown.has(invariant)) continue;
    shown.add(invariant);
    progress(`seed ${seed} breaks '${invariant}': ${what}`);
    const { document } = shrink(scenarioOf(seed), invariant as Invariant);
    progress(`the shortest that still does: ${JSON.stringify(document)}`);
  }
  return {
    figures: { broken: count(broken), seeds, virtual_hours: virtual, seeds_s: seeds / seconds, cores: workers },
    baseline: {},
    targets: [{ figure: 'broken', atMost: 0 }],
  };
}

function count(broken: SeedsPlayed['broken']): number {
  return new Set(broken.map(({ seed }) => seed)).size;
}
