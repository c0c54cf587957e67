/** One core's part of the bench `seeds`: it is given ranges of seeds, and answers what each broke. */
import { parentPort } from 'node:worker_threads';
import { scenarioOf } from '../../agent/twin/chance.ts';
import { play, read } from '../../agent/twin/trial.ts';

export interface SeedRange {
  readonly from: number;
  readonly to: number;
}

export interface SeedsPlayed extends SeedRange {
  readonly broken: readonly { readonly seed: number; readonly invariant: string; readonly what: string }[];
  readonly virtualHours: number;
}

parentPort?.on('message', ({ from, to }: SeedRange) => {
  const broken: SeedsPlayed['broken'][number][] = [];
  let virtualHours = 0;
  for (let seed = from; seed <= to; seed++) {
    const { breaches, simulation } = play(read(scenarioOf(seed)));
    virtualHours += simulation.now / 3.6e12;
    for (const { invariant, what } of breaches) broken.push({ seed, invariant, what });
  }
  parentPort?.postMessage({ from, to, broken, virtualHours } satisfies SeedsPlayed);
});
