/**
 * Bench `seeds`: 10 000 scenarios by chance, small meshes of whole agents that something befalls, each with every
 * invariant of the twin checked at every event (agent/twin/invariants.ts), a worker thread a core. `broken`: scenarios that
 * broke one, each printed as it is found; the first of each invariant is made as short as it can be. `--runs N` plays the first N. To every ten short
 * ones comes a long one (agent/twin/chance-long.ts), to every twenty a rare one (chance-rare.ts), and of each kind it is said which
 * faults were seen and which repairs done.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CATALOGUE } from '../../agent/heal/faults/catalogue.ts';
import type { Invariant } from '../../agent/twin/invariants.ts';
import { shrink } from '../../agent/twin/shrink.ts';
import { type SeedKind, type SeedRange, type SeedsPlayed, STREAMS } from './seeds-worker.ts';
import type { BenchResult, Progress } from './stats.ts';
import { runsOr } from './trials.ts';

const SEEDS = 10_000;
/** So many at a time: few enough that all cores end together. */
const AT_ONCE = 20;
const SILENCE_MS = 5000;
/** One scenario of a kind to so many short ones: a long one takes as long to play as some five. */
const SHORT_TO: Readonly<Record<SeedKind, number>> = { short: 1, long: 10, rare: 20 };
const KINDS = Object.keys(STREAMS) as SeedKind[];

export async function run(progress: Progress): Promise<BenchResult> {
  const seeds = runsOr(SEEDS);
  const of = (kind: SeedKind) => Math.floor(seeds / SHORT_TO[kind]);
  const all = KINDS.reduce((sum, kind) => sum + of(kind), 0);
  // The last come first: those that take long, so that no core ends much later than the others.
  const ranges = (['short', 'rare', 'long'] as const).flatMap((kind) => rangesOf(of(kind), kind));
  const workers = Math.min(availableParallelism(), ranges.length);
  const began = performance.now();
  const broken: Broken[] = [];
  const [faults, repairs] = [counts(), counts()];
  let [played, virtual, said] = [0, 0, began];

  await Promise.all(
    Array.from({ length: workers }, async () => {
      const worker = new Worker(new URL('./seeds-worker.ts', import.meta.url));
      try {
        for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
          worker.postMessage(range);
          const [part] = (await once(worker, 'message')) as [SeedsPlayed];
          const { kind } = range;
          for (const one of part.broken) {
            broken.push({ ...one, kind });
            progress(`${kind} seed ${one.seed} breaks '${one.invariant}': ${one.what}`);
          }
          add(faults[kind], part.faults);
          add(repairs[kind], part.repairs);
          virtual += part.virtualHours;
          played += range.to - range.from + 1;
          if (performance.now() - said < SILENCE_MS) continue;
          said = performance.now();
          progress(`${played} of ${all}, ${count(broken)} broken`);
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;

  for (const kind of KINDS) {
    progress(`${kind}, faults seen: ${inWords(faults[kind])}`);
    progress(`${kind}, repairs done: ${inWords(repairs[kind])}`);
  }
  const classes = CATALOGUE.filter((spec) => spec.class !== 'asked');
  const unseen = classes.filter((spec) => KINDS.every((kind) => !(spec.class in faults[kind])));
  progress(`never seen: ${unseen.map((spec) => spec.class).join(', ') || 'none'}`);

  const shown = new Set<string>();
  for (const { seed, kind, invariant } of broken.sort((a, b) => a.seed - b.seed)) {
    if (shown.has(invariant)) continue;
    shown.add(invariant);
    const { document } = shrink(STREAMS[kind](seed), invariant as Invariant);
    progress(`the shortest that breaks '${invariant}' as ${kind} seed ${seed} does: ${JSON.stringify(document)}`);
  }
  return {
    figures: {
      broken: count(broken),
      seeds,
      long: of('long'),
      rare: of('rare'),
      classes_unseen: unseen.length,
      virtual_hours: virtual,
      seeds_s: all / seconds,
      cores: workers,
    },
    baseline: {},
    targets: [{ figure: 'broken', atMost: 0 }],
  };
}

type Broken = SeedsPlayed['broken'][number] & { readonly kind: SeedKind };
type Counts = Record<SeedKind, Record<string, number>>;

const counts = (): Counts => ({ short: {}, long: {}, rare: {} });

function rangesOf(last: number, kind: SeedKind): SeedRange[] {
  const size = AT_ONCE / (kind === 'short' ? 1 : SHORT_TO.long);
  return Array.from({ length: Math.ceil(last / size) }, (_, n) => {
    return { from: n * size + 1, to: Math.min(last, (n + 1) * size), kind };
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
