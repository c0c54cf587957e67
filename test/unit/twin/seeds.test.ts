/** Whole agents in small meshes that something befalls. X0_TWIN_SEED=7 plays number 7 alone and tells what happened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarioOf } from '../../../agent/twin/chance.ts';
import { INVARIANTS, type Invariant } from '../../../agent/twin/invariants.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const SEEDS = 200;
const only = process.env.X0_TWIN_SEED;
const broken = new Map<Invariant, string[]>();

for (let seed = Number(only ?? 1); seed <= Number(only ?? SEEDS); seed++) {
  const { breaches, simulation } = play(read(scenarioOf(seed)));
  for (const { invariant, at, what } of breaches)
    broken.set(invariant, [...(broken.get(invariant) ?? []), `seed ${seed} after ${(at / 1e9).toFixed(3)} s: ${what}`]);
  if (only === undefined) continue;
  console.log(JSON.stringify(scenarioOf(seed)));
  for (const { node, decision } of simulation.journal)
    console.log(
      node,
      (decision.at / 1e9).toFixed(3),
      decision.fault.id,
      decision.fault.class,
      decision.step,
      decision.action,
      decision.result,
    );
}

for (const [invariant, promise] of Object.entries(INVARIANTS))
  test(`twin: ${promise}`, () => {
    const found = broken.get(invariant as Invariant) ?? [];
    assert.equal(found.length, 0, `broken ${found.length} times:\n${found.slice(0, 8).join('\n')}`);
  });

/** On every Node and every machine. What changes decisions, of the twin or the agent, changes these. */
test('the same seeds give the same journals, byte for byte', { skip: only !== undefined }, () => {
  const digestOf = (seed: number) =>
    play(read(scenarioOf(seed)))
      .simulation.digest()
      .slice(0, 16);
  assert.deepEqual([1, 6, 9, 10].map(digestOf), [
    'ca6f92734d8c5dee',
    '29c4cdc5e2edbe02',
    'f27ebe3a3d3efa32',
    'a7c213641cf0fa90',
  ]);
});
