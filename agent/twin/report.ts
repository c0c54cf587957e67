/** What a scenario showed in the twin, over one seed or many: for x0ctl, as JSON and in words. */
import { MS, SECOND } from '../core/time.ts';
import { outage } from './outage.ts';
import type { Scenario } from './scenario.ts';
import { beginsAt } from './stage.ts';
import { play } from './trial.ts';

export interface SeedReport {
  readonly seed: number;
  /** Of every decision and change, in their order. */
  readonly digest: string;
  readonly broken: readonly { readonly invariant: string; readonly atS: number; readonly what: string }[];
  /** By fault and probe, in milliseconds. */
  readonly outages: readonly {
    readonly fault: string;
    readonly probe: string;
    readonly ms: number;
    readonly back: boolean;
  }[];
  readonly repairs: Readonly<Record<string, number>>;
  readonly virtualS: number;
}

/** `mended`: afterwards everything outside is made whole, and what must hold after a quiet time is asked too. */
export function playSeed(scenario: Scenario, agents: 'on' | 'off', mended: boolean): SeedReport {
  const { breaches, simulation } = play(scenario, { agents, mended });
  const begin = beginsAt(scenario);
  const { timeline, probes } = scenario;
  const end = simulation.story.lengthNs;
  const outages = timeline.flatMap(({ name, at_s }, n) => {
    const from = begin + at_s * SECOND;
    const next = timeline[n + 1];
    const until = next === undefined ? end : begin + next.at_s * SECOND;
    return probes.map(({ name: probe }, i) => {
      const { ns, recovered } = outage(simulation.probes[i]!, from, Math.max(until, from + MS));
      return { fault: name, probe, ms: Math.round(ns / MS), back: recovered };
    });
  });
  const repairs: Record<string, number> = {};
  for (const { decision } of simulation.journal) {
    if (decision.step !== 'verified' && decision.step !== 'rolled-back' && decision.step !== 'failed') continue;
    const key = `${decision.fault.class}: ${decision.action} ${decision.step}`;
    repairs[key] = (repairs[key] ?? 0) + 1;
  }
  return {
    seed: scenario.seed,
    digest: simulation.digest(),
    broken: breaches.map(({ invariant, at, what }) => ({ invariant, atS: at / SECOND, what })),
    outages,
    repairs,
    virtualS: Math.round(simulation.now / SECOND),
  };
}
