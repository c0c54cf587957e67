/**
 * Bench `calibrate`: the cuts of bench `heal` made in the twin (a link in use, hops in turn, one probe each 2 ms), and how
 * far its medians are from those measured on real kernels, which are written down here with what they were measured on.
 * `*_ms`: the twin's median outage; `*_off_pct`: how far from the kernels' (below 0: the twin is quicker).
 * `turns_*_ms`: cut after cut in one grid, each mended after five seconds and the next some nine after that, no link twice
 * within 62 s, as bench `heal` does it, but a thousand of them and every router with a CPU of its own: what the protocol
 * costs where nobody waits for one.
 */
import { MS, type Nanos, SECOND } from '../../agent/core/time.ts';
import { Random } from '../../agent/twin/random.ts';
import { Simulation } from '../../agent/twin/simulation.ts';
import { type Link, story } from '../../agent/twin/story.ts';
import { cut, ring } from './cut.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';
import { runsOr } from './trials.ts';

const RUNS = 100;
const SETTLED: Nanos = 20 * SECOND;
const WATCH: Nanos = 10 * SECOND;
const TURNS = 20;
const TURN_MENDED: Nanos = 5 * SECOND;
const TURN_RESTS: Nanos = 8 * SECOND;
const LINK_RESTS: Nanos = 62 * SECOND;

interface Variant {
  readonly name: string;
  readonly topology: 'ring' | 'grid';
  readonly agents: boolean;
  readonly origInterval: number;
  readonly algorithm?: 'BATMAN_V';
  /** Of bench `heal` in user-mode Linux (kernel 6.1, batman-adv 2022.3): README, Measured. Tuned: of the cuts that cost anything. */
  readonly measuredMs: number;
}

const VARIANTS: readonly Variant[] = [
  { name: 'stock_ring', topology: 'ring', agents: false, origInterval: 1000, measuredMs: 4745 },
  { name: 'stock_grid', topology: 'grid', agents: false, origInterval: 1000, measuredMs: 4418 },
  { name: 'tuned_ring', topology: 'ring', agents: false, origInterval: 200, measuredMs: 695 },
  { name: 'tuned_grid', topology: 'grid', agents: false, origInterval: 200, measuredMs: 747 },
  { name: 'agent_ring', topology: 'ring', agents: true, origInterval: 1000, measuredMs: 15 },
  { name: 'agent_grid', topology: 'grid', agents: true, origInterval: 1000, measuredMs: 23 },
  {
    name: 'stock_v_ring',
    topology: 'ring',
    agents: false,
    origInterval: 1000,
    algorithm: 'BATMAN_V',
    measuredMs: 4679,
  },
  {
    name: 'stock_v_grid',
    topology: 'grid',
    agents: false,
    origInterval: 1000,
    algorithm: 'BATMAN_V',
    measuredMs: 4348,
  },
];

const SHAPES: Readonly<Record<Variant['topology'], { readonly routers: number; readonly width: number }>> = {
  ring: { routers: 4, width: 2 },
  grid: { routers: 9, width: 3 },
};

export async function run(progress: Progress): Promise<BenchResult> {
  const runs = runsOr(RUNS);
  const figures: Record<string, number> = {};
  for (const variant of VARIANTS) {
    const times = Array.from({ length: runs }, (_, n) => trial(variant, n + 1));
    const ms = median(times);
    figures[`${variant.name}_ms`] = ms;
    figures[`${variant.name}_off_pct`] = (100 * (ms - variant.measuredMs)) / variant.measuredMs;
    progress(`${variant.name}: ${ms.toFixed(0)} ms in the twin, ${variant.measuredMs} ms on kernels, ${runs} cuts`);
  }
  const inTurn = Array.from({ length: Math.ceil(runs / 2) }, (_, n) => turns(n + 1)).flat();
  figures.turns_p50_ms = median(inTurn);
  for (const q of [95, 99]) figures[`turns_p${q}_ms`] = percentile(inTurn, q);
  figures.turns_max_ms = Math.max(...inTurn);
  figures.turns_n = inTurn.length;
  return { figures, baseline: {}, targets: [] };
}

/** The outages of one grid's cuts, in milliseconds. */
export function turns(seed: number): number[] {
  const { routers, width } = SHAPES.grid;
  const random = new Random(seed, 'turns');
  const pairs = Array.from({ length: 4 }, () => farApart(random, 'grid'));
  const simulation = new Simulation(
    story({
      seed,
      routers,
      links: linksOf(routers, width, 'grid'),
      agents: Array.from({ length: routers }, (_, n) => n),
      probes: pairs.map(([from, to]) => ({ from, to, everyNs: 2 * MS, fromNs: SETTLED - SECOND })),
      lengthNs: SETTLED + TURNS * (TURN_MENDED + TURN_RESTS + 2 * SECOND),
    }),
  );
  simulation.run(SETTLED);
  const cutAt = new Map<string, Nanos>();
  return Array.from({ length: TURNS }, () => {
    const fault = simulation.now;
    const n = random.int(pairs.length);
    const way = simulation.route(...pairs[n]!);
    const hops = way.slice(1).map((to, i) => ({ a: way[i]!, b: to, link: [way[i]!, to].sort().join() }));
    const rested = hops.filter(({ link }) => fault - (cutAt.get(link) ?? Number.NEGATIVE_INFINITY) > LINK_RESTS);
    const hop = rested[random.int(Math.max(1, rested.length))];
    if (hop === undefined) {
      simulation.run(fault + TURN_RESTS);
      return [];
    }
    const { a, b, link } = hop;
    cutAt.set(link, fault);
    const ms = cut(simulation, a, b, TURN_MENDED, n);
    simulation.inject({ kind: 'mend', a, b });
    simulation.run(fault + TURN_MENDED + TURN_RESTS + random.unit() * 2 * SECOND);
    return [ms];
  }).flat();
}

/** The outage of one cut, in milliseconds. */
function trial({ topology, agents, origInterval, algorithm }: Variant, seed: number): number {
  const { routers, width } = SHAPES[topology];
  const random = new Random(seed, 'calibrate');
  const [from, to] = farApart(random, topology);
  const all = Array.from({ length: routers }, (_, n) => n);
  const simulation = new Simulation(
    story({
      seed,
      routers,
      algorithm: algorithm ?? 'BATMAN_IV',
      links: linksOf(routers, width, topology),
      agents: agents ? all : [],
      mesh: { origInterval },
      probes: [{ from, to, everyNs: 2 * MS, fromNs: SETTLED - SECOND }],
      lengthNs: SETTLED + WATCH + SECOND,
      // All of them are one machine, in the lab.
      together: true,
    }),
  );
  simulation.run(SETTLED + random.unit() * SECOND);
  const way = simulation.route(from, to);
  const hop = seed % (way.length - 1);
  return cut(simulation, way[hop]!, way[hop + 1]!, WATCH);
}

/** Opposite corners of the ring; three hops or four in the grid. */
function farApart(random: Random, topology: Variant['topology']): [number, number] {
  if (topology === 'ring') {
    const from = random.int(4);
    return [from, (from + 2) % 4];
  }
  for (;;) {
    const [from, to] = [random.int(9), random.int(9)];
    const hops = Math.abs((from % 3) - (to % 3)) + Math.abs(Math.floor(from / 3) - Math.floor(to / 3));
    if (hops >= 3) return [from, to];
  }
}

function linksOf(routers: number, width: number, topology: Variant['topology']): Link[] {
  if (topology === 'ring') return ring(routers);
  const links: Link[] = [];
  for (let n = 0; n < routers; n++) {
    if ((n + 1) % width !== 0) links.push({ a: n, b: n + 1 });
    if (n + width < routers) links.push({ a: n, b: n + width });
  }
  return links;
}
