/** What the benches that cut links in the twin have in common. */
import { MS, type Nanos } from '../../agent/core/time.ts';
import { outage } from '../../agent/twin/outage.ts';
import type { Simulation } from '../../agent/twin/simulation.ts';

/** Cuts a link now (carrier lost) and runs on for so long: the outage that the first probe, or that one, saw, in milliseconds. */
export function cut(simulation: Simulation, a: number, b: number, watch: Nanos, probe = 0): number {
  const fault = simulation.now;
  simulation.inject({ kind: 'cut', a, b, silent: false });
  simulation.run(fault + watch);
  return outage(simulation.probes[probe]!, fault, fault + watch).ns / MS;
}

export const ring = (size: number) => Array.from({ length: size }, (_, n) => ({ a: n, b: (n + 1) % size }));
