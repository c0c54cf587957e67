/** A scenario played to its end, made whole from outside, and left alone for a while: what was broken on the way? */
import { AgentError } from '../core/errors.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { STATIONS_EVERY } from '../heal/faults/traffic.ts';
import type { Document } from './chance.ts';
import { type Breach, Invariants, QUIET } from './invariants.ts';
import { wordsOf } from './rehearsal.ts';
import { rehearse } from './rehearse.ts';
import { parseScenario, type Scenario } from './scenario.ts';
import { Simulation } from './simulation.ts';
import { stage } from './stage.ts';
import type { Rehearsing } from './world.ts';

export interface Trial {
  readonly breaches: readonly Breach[];
  readonly simulation: Simulation;
}

/** Told after each event where it is in virtual time, and about where it will end. */
export type OnStep = (now: Nanos, end: Nanos) => void;

/** What a rehearsal takes on a thread of its own. */
const TAKES: Nanos = 400 * MS;
/** It may come late, too. */
const LONGEST: Nanos = 12 * SECOND;

/**
 * In longer scenarios there is what agents tell only by minutes, and which is over minutes later: a link that flaps after
 * three. Until then it may still be repaired, once what was lent for another fault of that link is given back.
 */
const LONG_S = 120;
const LONG_QUIET: Nanos = 300 * SECOND;
/**
 * Whose address a bridge loop has carried to whom shows only once loop avoidance is given back, a minute after the storm; to a
 * router that has lent nothing at its next look at stations; and is mended after that.
 */
const AFTER_LOOPS: Nanos = STATIONS_EVERY + 20 * SECOND;

/** Played for real; what is rehearsed in it rehearses nothing. */
const played: Rehearsing = ({ plan, changes }, known) => {
  if (known === null || changes.length === 0) return { verdict: 'unknown', detail: 'nothing to show', afterNs: 0 };
  const verdict = rehearse(known, plan, changes);
  return { verdict: verdict.verdict, detail: wordsOf(verdict), afterNs: TAKES };
};

/** Any verdict, at any time, or none: an agent has to bear each. */
const drawn: Rehearsing = (_effect, _known, random) => {
  if (random.is(0.1)) return null;
  const verdict = random.pick(['better', 'same', 'worse', 'unknown'] as const);
  return { verdict, detail: 'by chance', afterNs: Math.round(random.unit() * random.unit() * LONGEST) };
};

/**
 * `mended` false: it ends as the scenario does, and what holds only after a quiet time is not asked. `verdicts`: of rehearsals.
 * `atEnd`: looks at the mesh as the scenario leaves it, where nothing was broken. `onStep`: for who waits.
 */
export function play(
  scenario: Scenario,
  options: {
    readonly agents?: 'on' | 'off';
    readonly mended?: boolean;
    readonly verdicts?: 'played' | 'drawn';
    readonly atEnd?: (simulation: Simulation) => void;
    readonly onStep?: OnStep;
  } = {},
): Trial {
  const { agents = 'on', mended = true, verdicts = 'played', atEnd, onStep } = options;
  let invariants!: Invariants;
  const watchers = (of: Simulation) => {
    invariants = new Invariants(of);
    return [invariants];
  };
  const simulation = new Simulation(stage(scenario, agents), watchers, verdicts === 'played' ? played : drawn);
  const { lengthNs, lans } = simulation.story;
  const quiet = (scenario.duration_s > LONG_S ? LONG_QUIET : QUIET) + (lans.length > 0 ? AFTER_LOOPS : 0);
  const isOver = () => {
    onStep?.(simulation.now, lengthNs + (mended ? quiet : 0));
    return invariants.isBroken;
  };
  simulation.run(lengthNs, isOver);
  invariants.checkMemory();
  if (!invariants.isBroken) atEnd?.(simulation);
  if (mended && !invariants.isBroken) {
    simulation.mendAll();
    simulation.run(simulation.now + quiet, isOver);
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
