/**
 * Bench `heal-mixed`: the agent on a third and on two thirds of the routers, the rest stock. `worse` counts the runs that
 * cost more than stock does beyond its noise: more than the worst stock run of the same mesh (or what a repair costs
 * stock as a rule, where that is more) and its whole span again, or one OGM interval where that is more.
 * The gain is stock's median over the mixed one's.
 */
import { type BenchResult, median, type Progress } from './stats.ts';
import { outages, runsOr, type Series, series, sideBySide } from './trials.ts';

/** Spread over the mesh, so that most ways cross both kinds. */
export const MIXES = {
  ring4: { third: [0], two_thirds: [0, 1, 2] },
  grid3x3: { third: [0, 4, 8], two_thirds: [0, 1, 3, 4, 7, 8] },
} as const;

/** Where in its interval a cut falls moves a stock repair by as much, so few stock runs show too little noise. */
const OGM_INTERVAL_MS = 1000;

/**
 * A link on the way costs stock five OGM intervals as a rule (measured: 4.2 to 5.1 s). In a grid many a cut costs less,
 * by luck of where the route lay: a few runs without bad luck do not make that the measure.
 */
const STOCK_MS = 5100;

/** The outage that stock's own noise explains. */
export function noiseLimit(stock: readonly number[]): number {
  const worst = Math.max(STOCK_MS, ...stock);
  return worst + Math.max(OGM_INTERVAL_MS, worst - Math.min(...stock));
}

export async function run(progress: Progress): Promise<BenchResult> {
  const jobs = Object.entries(MIXES).flatMap(([topology, mixes]) =>
    Object.entries({ stock: [], ...mixes }).map(([mix, agents]) => ({
      topology,
      mix,
      agents: [...agents] as number[],
    })),
  );
  const done = await sideBySide(
    jobs.map(({ topology, mix, agents }) => async () => {
      const spec = { topology, agents, runs: runsOr(20), afterMs: 8000 };
      return { topology, mix, of: await series(`${topology} ${mix}`, spec, progress) };
    }),
    3,
  );
  const figures: Record<string, number> = { worse: 0 };
  const baseline: Record<string, number> = {};
  const find = (topology: string, mix: string): Series =>
    done.find((one) => one.topology === topology && one.mix === mix)!.of;
  for (const [topology, mixes] of Object.entries(MIXES)) {
    const stock = outages(find(topology, 'stock'));
    const limit = noiseLimit(stock);
    const prefix = topology === 'ring4' ? '' : 'grid_';
    baseline[`${prefix}stock_ms_p50`] = median(stock);
    baseline[`${prefix}stock_ms_max`] = Math.max(...stock);
    baseline[`${prefix}noise_limit_ms`] = limit;
    baseline[`${prefix}n_stock`] = stock.length;
    for (const mix of Object.keys(mixes)) {
      const times = outages(find(topology, mix));
      const worse = times.filter((ms) => ms > limit).length;
      figures.worse! += worse;
      figures[`${prefix}${mix}_worse`] = worse;
      figures[`${prefix}${mix}_ms_p50`] = median(times);
      figures[`${prefix}${mix}_ms_max`] = Math.max(...times);
      figures[`${prefix}${mix}_gain`] = median(stock) / Math.max(1, median(times));
      figures[`${prefix}${mix}_n`] = times.length;
    }
  }
  return { figures, baseline, targets: [{ figure: 'worse', atMost: 0 }] };
}
