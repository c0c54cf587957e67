/**
 * Bench `heal`: what a cut of a link in use costs the user's packets (carrier lost at both ends; outage as outage.ts
 * defines it, probe every 2 ms), in a ring of four and a 3x3 grid of cables, with the agent on every router, against
 * stock batman-adv and against stock with an OGM every 200 ms. The agent's times come from one kernel alone on the
 * machine; stock and tuned, which count in seconds, from three side by side.
 *
 * For a quick look: `--runs N`, and X0_BENCH_ONLY with the prefixes wanted, as in `,grid_`. X0_BENCH_LOGS names a
 * directory for the agents' logs.
 *
 * Without a prefix: ring, BATMAN_IV, bridge loop avoidance off. grid_: the grid. bla_: BLA on. v_: BATMAN_V. xdp_: XDP
 * attached (`bpf.enabled`), without a stock of its own; only where X0_BENCH_ONLY names it, as `,xdp_` for both.
 */
import { type BenchResult, median, type Progress } from './stats.ts';
import {
  burst,
  everyRouter,
  outages,
  p95,
  runsOr,
  type Series,
  type SeriesSpec,
  series,
  sideBySide,
} from './trials.ts';

const AFTER_MS = 5000;
const STOCK_AFTER_MS = 8000;
/** Kernels side by side where no agent runs: they are idle most of the time. */
const WIDTH = 3;

interface Variant {
  readonly prefix: string;
  readonly spec: Pick<SeriesSpec, 'topology' | 'algorithm' | 'bla' | 'config'>;
  readonly runs: number;
  /** 0: held against no stock, and no targets. */
  readonly stockRuns: number;
  readonly tunedRuns: number;
  /** Over how long quiet frames are counted; only where the ratio is a figure. */
  readonly idleSeconds: number;
}

const XDP = 'xdp_';
const VARIANTS: readonly Variant[] = [
  { prefix: '', spec: { topology: 'ring4' }, runs: 20, stockRuns: 20, tunedRuns: 20, idleSeconds: 60 },
  { prefix: 'grid_', spec: { topology: 'grid3x3' }, runs: 20, stockRuns: 20, tunedRuns: 20, idleSeconds: 60 },
  { prefix: 'bla_', spec: { topology: 'ring4', bla: true }, runs: 20, stockRuns: 20, tunedRuns: 0, idleSeconds: 0 },
  {
    prefix: 'bla_grid_',
    spec: { topology: 'grid3x3', bla: true },
    runs: 20,
    stockRuns: 20,
    tunedRuns: 0,
    idleSeconds: 0,
  },
  {
    prefix: 'v_',
    spec: { topology: 'ring4', algorithm: 'BATMAN_V' },
    runs: 20,
    stockRuns: 8,
    tunedRuns: 4,
    idleSeconds: 0,
  },
  {
    prefix: 'v_grid_',
    spec: { topology: 'grid3x3', algorithm: 'BATMAN_V' },
    runs: 20,
    stockRuns: 8,
    tunedRuns: 0,
    idleSeconds: 0,
  },
  {
    prefix: XDP,
    spec: { topology: 'ring4', config: { bpf: { enabled: 1 } } },
    runs: 20,
    stockRuns: 0,
    tunedRuns: 0,
    idleSeconds: 0,
  },
];

export async function run(progress: Progress): Promise<BenchResult> {
  const only = process.env.X0_BENCH_ONLY;
  const variants = VARIANTS.filter(({ prefix }) =>
    only === undefined ? prefix !== XDP : only.split(',').includes(prefix),
  );
  const name = ({ prefix, spec }: Variant) =>
    `${prefix === '' ? '' : `${prefix.replaceAll('_', ' ')}`}${spec.topology}`;
  const withAgents = new Map<Variant, Series>();
  for (const variant of variants) {
    const { spec, runs, idleSeconds } = variant;
    const agents = everyRouter(spec.topology);
    const counted = runsOr(runs) < runs ? Math.min(idleSeconds, 20) : idleSeconds;
    withAgents.set(
      variant,
      await series(
        `${name(variant)}, agents`,
        { ...spec, agents, runs: runsOr(runs), afterMs: AFTER_MS, idleSeconds: counted },
        progress,
      ),
    );
  }
  const stock = new Map<Variant, Series>();
  const tuned = new Map<Variant, Series>();
  await sideBySide(
    variants.flatMap((variant) =>
      [
        { into: stock, what: 'stock', runs: variant.stockRuns, origIntervalMs: 1000 },
        { into: tuned, what: 'tuned', runs: variant.tunedRuns, origIntervalMs: 200 },
      ]
        .filter(({ runs }) => runs > 0)
        .map(({ into, what, runs, origIntervalMs }) => async () => {
          const spec = { ...variant.spec, agents: [], runs: runsOr(runs), afterMs: STOCK_AFTER_MS, origIntervalMs };
          into.set(variant, await series(`${name(variant)}, ${what}`, spec, progress));
        }),
    ),
    WIDTH,
  );

  const figures: Record<string, number | null> = {};
  const baseline: Record<string, number | null> = {};
  for (const variant of variants) {
    const { prefix } = variant;
    const mine = withAgents.get(variant)!;
    const times = outages(mine);
    figures[`${prefix}repair_ms_p50`] = median(times);
    figures[`${prefix}repair_ms_p95`] = p95(times);
    figures[`${prefix}repair_ms_max`] = Math.max(...times);
    const stockSeries = stock.get(variant);
    if (stockSeries) {
      const stockMs = median(outages(stockSeries));
      figures[`${prefix}stock_ms_p50`] = stockMs;
      figures[`${prefix}ratio_p50`] = stockMs / Math.max(1, median(times));
    }
    const tunedSeries = tuned.get(variant);
    if (tunedSeries) figures[`${prefix}tuned_ms_p50`] = median(outages(tunedSeries));
    figures[`${prefix}lost_ms_p50`] = median(mine.trials.map(({ lostMs }) => lostMs));
    if (mine.idle.without > 0) figures[`${prefix}idle_frames_ratio`] = mine.idle.with / mine.idle.without;
    figures[`${prefix}burst_frames`] = burst(mine);
    figures[`${prefix}n`] = times.length;
    // The series ended early, because the mesh did not become whole again: worth more attention than any time.
    figures[`${prefix}broken`] = mine.broken === undefined ? 0 : 1;
    if (stockSeries) {
      figures[`${prefix}n_stock`] = stockSeries.trials.length;
      baseline[`${prefix}stock_burst_frames`] = burst(stockSeries);
    }
    if (tunedSeries) figures[`${prefix}n_tuned`] = tunedSeries.trials.length;
    if (mine.idle.without > 0) baseline[`${prefix}stock_idle_frames_per_s`] = mine.idle.without;
  }
  const targets = variants
    .filter(({ prefix, stockRuns }) => !prefix.startsWith('v_') && stockRuns > 0)
    .flatMap(({ prefix, idleSeconds }) => [
      { figure: `${prefix}repair_ms_p50`, atMost: 60 },
      { figure: `${prefix}repair_ms_p95`, atMost: 250 },
      { figure: `${prefix}ratio_p50`, atLeast: 50 },
      ...(idleSeconds > 0 ? [{ figure: `${prefix}idle_frames_ratio`, atMost: 1.1 }] : []),
    ]);
  return { figures, baseline, targets };
}
