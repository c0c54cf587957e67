/**
 * Bench `silent`: a link in use that loses every frame in both directions and keeps its carrier, in a ring of four and a
 * 3x3 grid, with beacons (profile fast) on every router, against stock batman-adv in the same shape; the default profile
 * beside it. `detect_ms`: from the fault until the first router at either end has said so (its journal); `repair_ms`: the
 * outage, as the bench `heal` counts it. grid_: the grid. half_: the grid with half as many beacons: nine agents of the other
 * profile leave nothing of the one CPU that all routers of the lab share. default_: profile default, in the ring. xdp_: the
 * ring, with XDP, whose deadlines tell the silence.
 *
 * `--runs N` for a quick look; X0_BENCH_ONLY with the series wanted, as in `ring,grid,half,default,xdp`.
 */
import { type BenchResult, median, type Progress, percentile } from './stats.ts';
import { everyRouter, outages, runsOr, type Series, series, sideBySide } from './trials.ts';

const FAST = { beacon: { enabled: 1, profile: 'fast', rate: 6000 } } as const;
const HALF = { beacon: { ...FAST.beacon, interval: 200 } } as const;
const DEFAULT = { beacon: { enabled: 1, profile: 'default', rate: 6000 } } as const;
const VARIANTS = [
  { name: 'ring', prefix: '', topology: 'ring4', config: FAST, runs: 20, detect: 300, repair: 400, ratio: 12 },
  { name: 'grid', prefix: 'grid_', topology: 'grid3x3', config: FAST, runs: 20, detect: 300, repair: 400, ratio: 12 },
  { name: 'half', prefix: 'half_', topology: 'grid3x3', config: HALF, runs: 20, detect: 600, repair: 0, ratio: 0 },
  {
    name: 'default',
    prefix: 'default_',
    topology: 'ring4',
    config: DEFAULT,
    runs: 20,
    detect: 1800,
    repair: 0,
    ratio: 0,
  },
  {
    name: 'xdp',
    prefix: 'xdp_',
    topology: 'ring4',
    config: { ...FAST, bpf: { enabled: 1 } },
    runs: 10,
    detect: 300,
    repair: 400,
    ratio: 12,
  },
] as const;

const detections = ({ trials }: Series) => trials.flatMap(({ detectMs }) => (detectMs === undefined ? [] : [detectMs]));

export async function run(progress: Progress): Promise<BenchResult> {
  const only = process.env.X0_BENCH_ONLY?.split(',');
  const variants = VARIANTS.filter(({ name }) => only === undefined || only.includes(name));
  const base = { fault: 'cut-silently' } as const;
  const agents = new Map<string, Series>();
  for (const { name, topology, config, runs } of variants) {
    const spec = { ...base, topology, agents: everyRouter(topology), runs: runsOr(runs), config, afterMs: 6000 };
    agents.set(name, await series(`${name}, agents`, spec, progress));
  }
  const shapes = [...new Set(variants.map(({ topology }) => topology))];
  const stock = await sideBySide(
    shapes.map((topology) => () => {
      const spec = { ...base, topology, agents: [], runs: runsOr(8), afterMs: 9000 };
      return series(`${topology}, stock`, spec, progress);
    }),
  );
  const figures: Record<string, number | null> = {};
  const targets: BenchResult['targets'][number][] = [];
  for (const { name, prefix, topology, detect, repair, ratio } of variants) {
    const mine = agents.get(name)!;
    const times = outages(mine);
    const found = detections(mine);
    const stockMs = median(outages(stock[shapes.indexOf(topology)]!));
    figures[`${prefix}detect_ms_p50`] = found.length > 0 ? median(found) : null;
    figures[`${prefix}detect_ms_p95`] = found.length > 0 ? percentile(found, 95) : null;
    figures[`${prefix}repair_ms_p50`] = median(times);
    figures[`${prefix}repair_ms_p95`] = percentile(times, 95);
    figures[`${prefix}stock_ms_p50`] = stockMs;
    figures[`${prefix}ratio_p50`] = stockMs / Math.max(1, median(times));
    figures[`${prefix}undetected`] = mine.trials.length - found.length;
    figures[`${prefix}n`] = times.length;
    targets.push({ figure: `${prefix}detect_ms_p95`, atMost: detect });
    if (repair > 0) targets.push({ figure: `${prefix}repair_ms_p50`, atMost: repair });
    if (ratio > 0) targets.push({ figure: `${prefix}ratio_p50`, atLeast: ratio });
  }
  return { figures, baseline: {}, targets };
}
