/**
 * Bench `rings`: how a repair grows with the way round, in the twin. One link in use is cut (carrier lost) in a ring of 4,
 * 6, 8 and 12 routers, between any two that are no neighbours, with the agent on every router and without; watched for 40 s.
 * Each router on the wrong side of the cut has to turn round, and learns of the other way only when the one before it has.
 * `returned`: in a ring of eight two links of one router are cut first and come back five seconds later, 13 s apart, and nine seconds
 * after that a third, on the long way round: an interface that was taken out meanwhile would still be new to the others.
 *
 *     agents_N_p50_ms, agents_N_p95_ms          N routers; baseline: stock_N_...
 *     agents_returned_p50_ms, agents_returned_max_ms
 */
import { MS, type Nanos, SECOND } from '../../agent/core/time.ts';
import { Random } from '../../agent/twin/random.ts';
import { Simulation } from '../../agent/twin/simulation.ts';
import { story } from '../../agent/twin/story.ts';
import { cut, ring } from './cut.ts';
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
  for (const [who, into] of [
    ['stock', baseline],
    ['agents', figures],
  ] as const) {
    const times = Array.from({ length: Math.ceil(runs / 5) }, (_, n) => returned(who === 'agents', n + 1));
    into[`${who}_returned_p50_ms`] = median(times);
    into[`${who}_returned_max_ms`] = Math.max(...times);
    progress(`after two links that came back, ${who}: ${median(times).toFixed(0)} ms, ${times.length} cuts`);
  }
  return { figures, baseline, targets: [] };
}

function ringOf(size: number, agents: boolean, seed: number, from: number, to: number, lengthNs: Nanos): Simulation {
  const all = Array.from({ length: size }, (_, n) => n);
  return new Simulation(
    story({
      seed,
      routers: size,
      links: ring(size),
      agents: agents ? all : [],
      probes: [{ from, to, everyNs: 4 * MS, fromNs: SETTLED - SECOND }],
      lengthNs,
    }),
  );
}

/** In milliseconds. */
function returned(agents: boolean, seed: number): number {
  const simulation = ringOf(8, agents, seed, 3, 1, SETTLED + 27 * SECOND + WATCH + SECOND);
  simulation.run(SETTLED);
  for (const [a, b, cutAt] of [
    [2, 3, 0],
    [1, 2, 13 * SECOND],
  ] as const) {
    simulation.run(SETTLED + cutAt);
    simulation.inject({ kind: 'cut', a, b, silent: false });
    simulation.run(SETTLED + cutAt + 5 * SECOND);
    simulation.inject({ kind: 'mend', a, b });
  }
  simulation.run(SETTLED + 27 * SECOND);
  return cut(simulation, 6, 7, WATCH);
}

/** In milliseconds. */
function trial(size: number, agents: boolean, seed: number): number {
  const random = new Random(seed, 'rings');
  const from = random.int(size);
  const to = (from + 2 + random.int(size - 3)) % size;
  const simulation = ringOf(size, agents, seed, from, to, SETTLED + WATCH + 2 * SECOND);
  simulation.run(SETTLED + random.unit() * SECOND);
  const way = simulation.route(from, to);
  const hop = random.int(way.length - 1);
  return cut(simulation, way[hop]!, way[hop + 1]!, WATCH);
}
