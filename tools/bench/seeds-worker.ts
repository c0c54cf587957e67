/** One core's part of the bench `seeds`: it is given ranges of seeds, and answers what each broke, and what it has shown. */
import { parentPort } from 'node:worker_threads';
import type { Decision } from '../../agent/core/words.ts';
import { type Document, scenarioOf } from '../../agent/twin/chance.ts';
import { longScenarioOf } from '../../agent/twin/chance-long.ts';
import { rareScenarioOf } from '../../agent/twin/chance-rare.ts';
import { isAction } from '../../agent/twin/expected.ts';
import { play, read } from '../../agent/twin/trial.ts';

export type SeedKind = 'short' | 'long' | 'rare';

/** A stream of scenarios each. */
export const STREAMS: Readonly<Record<SeedKind, (seed: number) => Document>> = {
  short: scenarioOf,
  long: longScenarioOf,
  rare: rareScenarioOf,
};

export interface SeedRange {
  readonly from: number;
  readonly to: number;
  readonly kind: SeedKind;
}

export interface SeedsPlayed extends SeedRange {
  readonly broken: readonly { readonly seed: number; readonly invariant: string; readonly what: string }[];
  readonly virtualHours: number;
  /** How many faults of each class agents saw, and how often they did each repair, to whatever end. */
  readonly faults: Readonly<Record<string, number>>;
  readonly repairs: Readonly<Record<string, number>>;
}

parentPort?.on('message', ({ from, to, kind }: SeedRange) => {
  const broken: SeedsPlayed['broken'][number][] = [];
  const [faults, repairs]: Record<string, number>[] = [{}, {}];
  let virtualHours = 0;
  for (let seed = from; seed <= to; seed++) {
    const { breaches, simulation } = play(read(STREAMS[kind](seed)));
    virtualHours += simulation.now / 3.6e12;
    for (const { invariant, what } of breaches) broken.push({ seed, invariant, what });
    const seen = new Set<string>();
    for (const { node, decision } of simulation.journal) {
      const { fault, action } = decision;
      if (!seen.has(`${node} ${fault.id}`)) count(faults!, fault.class);
      seen.add(`${node} ${fault.id}`);
      if (isDone(decision)) count(repairs!, action);
    }
  }
  parentPort?.postMessage({
    from,
    to,
    kind,
    broken,
    virtualHours,
    faults: faults!,
    repairs: repairs!,
  } satisfies SeedsPlayed);
});

function isDone({ step, action, fault }: Decision): boolean {
  return action === 'tell' ? step === 'done' : isAction({ step, action, class: fault.class });
}

function count(into: Record<string, number>, what: string): void {
  into[what] = (into[what] ?? 0) + 1;
}
