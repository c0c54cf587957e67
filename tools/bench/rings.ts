/**
 * Bench `rings`: how a repair grows with the way round, in the twin. One link in use is cut (carrier lost) in a ring of 4,
 * 6, 8 and 12 routers, between any two that are no neighbours, with the agent on every router and without; watched for 40 s.
 * Each router on the wrong side of the cut has to turn round, and learns of the other way only when the one before it has.
 *
 *     agents_N_p50_ms, agents_N_p95_ms   N routers; baseline: stock_N_...
 */
import { MS, type Nanos, SECOND } from '../../agent/core/time.ts';
import { outage } from '../../agent/twin/outage.ts';
import { Random } from '../../agent/twin/random.ts';
import { Simulation } from '../../agent/twin/simulation.ts';
import { story } from '../../agent/twin/story.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';
import { runsOr } from './trials.ts';

const RUNS = 100;
const SIZES = [4, 6, 8, 12];
const SETTLED: Nanos = 25 * SECOND;
const WATCH: Nanos = 40 * SECOND;

export async function run(progress: Progress): Promise<BenchResult> {
  const runs = runsOr(RUNS);
  const figures: Record<string, number> = {};
  const baseline: Record<string, number> = {};
  for (const size of SIZES)
    for (const [who, into] of [
      ['stock', baseline],
      ['agents', figures],
    ] as const) {
      const times = Array.from({ length: runs }, (_, n) => trial(size, who === 'agents', n + 1));
      into[`${who}_${size}_p50_ms`] = median(times);
      into[`${who}_${size}_p95_ms`] = percentile(times, 95);
      progress(`${size} routers, ${who}: ${median(times).toFixed(0)} ms, ${runs} cuts`);
    }
  return { figures, baseline, targets: [] };
}

/** In milliseconds. */
function trial(size: number, agents: boolean, seed: number): number {
  const random = new Random(seed, 'rings');
  const all = Array.from({ length: size }, (_, n) => n);
  const from = random.int(size);
  const to = (from + 2 + random.int(size - 3)) % size;
  const simulation = new Simulation(
    story({
      seed,
      routers: size,
      links: all.map((n) => ({ a: n, b: (n + 1) % size })),
      agents: agents ? all : [],
      probes: [{ from, to, everyNs: 4 * MS, fromNs: SETTLED - SECOND }],
      lengthNs: SETTLED + WATCH + 2 * SECOND,
    }),
  );
  simulation.run(SETTLED + random.unit() * SECOND);
  const way = simulation.route(from, to);
  const hop = random.int(way.length - 1);
  const fault = simulation.now;
  simulation.inject({ kind: 'cut', a: way[hop]!, b: way[hop + 1]!, silent: false });
  simulation.run(fault + WATCH);
  return outage(simulation.probes[0]!, fault, fault + WATCH).ns / MS;
}
