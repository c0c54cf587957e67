/**
 * Bench `heal-shared`: one shared interface a router (air-ring4: one radio for everything), where two routers no longer
 * hear each other. No carrier tells of that, so the times count from the moment that the agents at both ends know: they
 * are told through their control sockets at the instant of the cut. Beside it, as untold_: what it costs, from the fault,
 * when they have to find it in batman-adv's tables.
 */
import { type BenchResult, median, type Progress } from './stats.ts';
import { burst, everyRouter, outages, p95, runsOr, type SeriesSpec, series, sideBySide } from './trials.ts';

const SHAPE = 'air-ring4';

export async function run(progress: Progress): Promise<BenchResult> {
  const base = { topology: SHAPE, afterMs: 9000 } as const;
  const agents = everyRouter(SHAPE);
  const told = await series('told', { ...base, agents, runs: runsOr(20), afterMs: 5000, tell: true }, progress);
  const slow: readonly [string, SeriesSpec][] = [
    ['untold', { ...base, agents, runs: runsOr(6) }],
    ['stock', { ...base, agents: [], runs: runsOr(8) }],
  ];
  const [untold, stock] = await sideBySide(
    slow.map(
      ([name, spec]) =>
        () =>
          series(name, spec, progress),
    ),
  );
  const times = outages(told);
  const stockMs = median(outages(stock!));
  return {
    figures: {
      repair_ms_p50: median(times),
      repair_ms_p95: p95(times),
      repair_ms_max: Math.max(...times),
      stock_ms_p50: stockMs,
      ratio_p50: stockMs / Math.max(1, median(times)),
      untold_ms_p50: median(outages(untold!)),
      untold_ms_p95: p95(outages(untold!)),
      told_after_ms_p50: median(told.trials.map(({ toldMs = 0 }) => toldMs)),
      burst_frames: burst(told),
      n: times.length,
      n_stock: stock!.trials.length,
      n_untold: untold!.trials.length,
    },
    baseline: { stock_burst_frames: burst(stock!) },
    targets: [
      { figure: 'repair_ms_p50', atMost: 150 },
      { figure: 'repair_ms_p95', atMost: 400 },
    ],
  };
}
