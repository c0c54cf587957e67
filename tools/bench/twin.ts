/**
 * Bench `twin`: how fast and how large the twin is. Routers with whole agents at random places of one density, one radio
 * each, every one of them heard by some eight others; the mesh settles, then virtual time is measured against CPU time.
 *
 * `vh_s_N`: virtual hours a second at N agents. `kib_agent`: memory that each of 500 agents adds, kernel and radio
 * included. BATMAN_IV floods every router's messages through every other: that is N times N times neighbours a second, in
 * the air and here, and each agent reads as many rows. `us_N`: microseconds for one message from one neighbour at one
 * router in one interval, the unit of that; it should not grow.
 */
import { SECOND } from '../../agent/core/time.ts';
import { Random } from '../../agent/twin/random.ts';
import { Simulation } from '../../agent/twin/simulation.ts';
import { story } from '../../agent/twin/story.ts';
import type { BenchResult, Progress } from './stats.ts';

/** Metres between routers, about: eight neighbours each. */
const SPACING = 150;
const SETTLE = 20;
const SIZES: readonly { readonly agents: number; readonly seconds: number }[] = [
  { agents: 10, seconds: 600 },
  { agents: 100, seconds: 30 },
  { agents: 500, seconds: 6 },
];

export async function run(progress: Progress): Promise<BenchResult> {
  const figures: Record<string, number> = {};
  for (const { agents, seconds } of SIZES) {
    const before = memory();
    const simulation = new Simulation(meshOf(agents, (SETTLE + seconds) * SECOND));
    for (let s = 1; s <= SETTLE; s++) {
      simulation.run(s * SECOND);
      if (s % 5 === 0) progress(`${agents} agents: ${s} of ${SETTLE} virtual seconds to settle`);
    }
    const began = process.cpuUsage();
    for (let s = 1; s <= seconds; s++) {
      simulation.run((SETTLE + s) * SECOND);
      simulation.journal.length = 0;
      if (agents >= 500) progress(`${agents} agents: ${s} of ${seconds} virtual seconds`);
    }
    const { user, system } = process.cpuUsage(began);
    const spent = (user + system) / 1e6;
    figures[`vh_s_${agents}`] = seconds / 3600 / spent;
    figures[`neighbours_${agents}`] = rowsOf(simulation) / agents;
    figures[`us_${agents}`] = (spent * 1e6) / seconds / agents / (figures[`neighbours_${agents}`]! || 1);
    if (agents === 500) {
      figures.kib_agent = Math.max(0, memory() - before) / 1024 / agents;
      figures.mib_500 = process.memoryUsage().rss / 2 ** 20;
    }
    progress(`${agents} agents: ${spent.toFixed(1)} s of CPU for ${seconds} virtual seconds`);
  }
  return { figures, baseline: {}, targets: [{ figure: 'mib_500', atMost: 2048 }] };
}

function meshOf(agents: number, lengthNs: number) {
  const random = new Random(agents, 'places');
  const side = SPACING * Math.sqrt(agents);
  const places = Array.from({ length: agents }, () => ({ x: random.unit() * side, y: random.unit() * side }));
  return story({ seed: 1, routers: agents, places, lengthNs });
}

/** Ways to originators that all routers know together: what is read, and what OGMs come by. */
function rowsOf({ routers }: Simulation): number {
  return routers.reduce((sum, { kernel }) => sum + kernel.tables().originators.length, 0);
}

function memory(): number {
  return process.memoryUsage().rss;
}
