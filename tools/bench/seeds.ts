/**
 * Bench `seeds`: 10 000 scenarios by chance, small meshes of whole agents that something befalls, each with every
 * invariant of the twin checked at every event (agent/twin/invariants.ts), a worker thread a core. `broken`: scenarios that
 * broke one; the first of each kind is printed, made as short as it can be. `--runs N` plays the first N. To every ten short
 * ones comes a long one (agent/twin/chance-long.ts), and of both it is said which faults were seen and which repairs done.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CATALOGUE } from '../../agent/heal/faults/catalogue.ts';
import { scenarioOf } from '../../agent/twin/chance.ts';
import { longScenarioOf } from '../../agent/twin/chance-long.ts';
import type { Invariant } from '../../agent/twin/invariants.ts';
import { shrink } from '../../agent/twin/shrink.ts';
import type { SeedRange, SeedsPlayed } from './seeds-worker.ts';
import type { BenchResult, Progress } from './stats.ts';
import { runsOr } from './trials.ts';

const SEEDS = 10_000;
/** So many at a time: few enough that all cores end together. */
const AT_ONCE = 20;
const SILENCE_MS = 5000;
/** One long scenario to so many short ones: it takes as long to play as some five. */
const SHORT_TO_LONG = 10;

export async function run(progress: Progress): Promise<BenchResult> {
  const seeds = runsOr(SEEDS);
  const long = Math.floor(seeds / SHORT_TO_LONG);
  const ranges = [...rangesOf(seeds, false), ...rangesOf(long, true)];
  const workers = Math.min(availableParallelism(), ranges.length);
  const began = performance.now();
  const broken: Broken[] = [];
  const [faults, repairs]: [Counts, Counts] = [
    { short: {}, long: {} },
    { short: {}, long: {} },
  ];
  let [played, virtual, said] = [0, 0, began];

  await Promise.all(
    Array.from({ length: workers }, async () => {
      const worker = new Worker(new URL('./seeds-worker.ts', import.meta.url));
      try {
        for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
          worker.postMessage(range);
          const [part] = (await once(worker, 'message')) as [SeedsPlayed];
          const kind = range.long ? 'long' : 'short';
          broken.push(...part.broken.map((one) => ({ ...one, kind }) as const));
          add(faults[kind], part.faults);
          add(repairs[kind], part.repairs);
          virtual += part.virtualHours;
          played += range.to - range.from + 1;
          if (performance.now() - said < SILENCE_MS) continue;
          said = performance.now();
          progress(`${played} of ${seeds + long}, ${count(broken)} broken`);
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;

  for (const kind of ['short', 'long'] as const) {
    progress(`${kind}, faults seen: ${inWords(faults[kind])}`);
    progress(`${kind}, repairs done: ${inWords(repairs[kind])}`);
  }
  const all = CATALOGUE.filter((spec) => spec.class !== 'asked');
  const unseen = all.filter((spec) => !(spec.class in faults.short) && !(spec.class in faults.long));
  progress(`never seen: ${unseen.map((spec) => spec.class).join(', ') || 'none'}`);

  const shown = new Set<string>();
  for (const { seed, kind, invariant, what } of broken.sort((a, b) => a.seed - b.seed)) {
    if (shown.has(invariant)) continue;
    shown.add(invariant);
    progress(`${kind} seed ${seed} breaks '${invariant}': ${what}`);
    const { document } = shrink(kind === 'long' ? longScenarioOf(seed) : scenarioOf(seed), invariant as Invariant);
    progress(`the shortest that still does: ${JSON.stringify(document)}`);
  }
  return {
    figures: {
      broken: count(broken),
      seeds,
      long,
      classes_unseen: unseen.length,
      virtual_hours: virtual,
      seeds_s: (seeds + long) / seconds,
      cores: workers,
    },
    baseline: {},
    targets: [{ figure: 'broken', atMost: 0 }],
  };
}

type Broken = SeedsPlayed['broken'][number] & { readonly kind: 'short' | 'long' };
type Counts = Record<'short' | 'long', Record<string, number>>;

/** The last come first: long ones, so that no core ends much later than the others. */
function rangesOf(last: number, long: boolean): SeedRange[] {
  const size = long ? AT_ONCE / SHORT_TO_LONG : AT_ONCE;
  return Array.from({ length: Math.ceil(last / size) }, (_, n) => {
    return { from: n * size + 1, to: Math.min(last, (n + 1) * size), long };
  });
}

function add(into: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [what, times] of Object.entries(more)) into[what] = (into[what] ?? 0) + times;
}

function inWords(counts: Readonly<Record<string, number>>): string {
  const rows = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return rows.map(([what, times]) => `${what} ${times}`).join(', ') || 'none';
}

function count(broken: readonly Broken[]): number {
  return new Set(broken.map(({ kind, seed }) => `${kind} ${seed}`)).size;
}
