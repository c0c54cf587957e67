/** A scenario played to its end, made whole from outside, and left alone for a while: what was broken on the way? */
import { AgentError } from '../core/errors.ts';
import type { Document } from './chance.ts';
import { type Breach, Invariants, QUIET } from './invariants.ts';
import { parseScenario, type Scenario } from './scenario.ts';
import { Simulation } from './simulation.ts';
import { stage } from './stage.ts';

export interface Trial {
  readonly breaches: readonly Breach[];
  readonly simulation: Simulation;
}

/** `mended` false: it ends as the scenario does, and what holds only after a quiet time is not asked. */
export function play(
  scenario: Scenario,
  options: { readonly agents?: 'on' | 'off'; readonly mended?: boolean } = {},
): Trial {
  const { agents = 'on', mended = true } = options;
  let invariants!: Invariants;
  const simulation = new Simulation(stage(scenario, agents), (of) => {
    invariants = new Invariants(of);
    return [invariants];
  });
  const isOver = () => invariants.isBroken;
  simulation.run(simulation.story.lengthNs, isOver);
  invariants.checkMemory();
  if (mended && !invariants.isBroken) {
    simulation.mendAll();
    simulation.run(simulation.story.lengthNs + QUIET, isOver);
    if (!invariants.isBroken) invariants.checkEnd();
  }
  return { breaches: invariants.breaches, simulation };
}

/** Throws what is wrong with a document: ours are written by a program, and are right. */
export function read(document: Document): Scenario {
  const parsed = parseScenario(JSON.stringify(document));
  if (parsed.ok) return parsed.scenario;
  const { code, path, message } = parsed.problems[0]!;
  throw new AgentError(code, `${path} ${message}`, { path });
}
