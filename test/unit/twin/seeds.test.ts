/**
 * Whole agents in small meshes that something befalls. X0_TWIN_SEED=7 plays number 7 alone and tells what happened,
 * X0_TWIN_SEED=long-7 that of the long ones, rare-7 that of the rare ones (rare.test.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarioOf } from '../../../agent/twin/chance.ts';
import { longScenarioOf } from '../../../agent/twin/chance-long.ts';
import { rareScenarioOf } from '../../../agent/twin/chance-rare.ts';
import { INVARIANTS, type Invariant } from '../../../agent/twin/invariants.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const SEEDS = 200;
const LONG = 8;
const only = process.env.X0_TWIN_SEED;
const numbers = (last: number, name: (seed: number) => string) => Array.from({ length: last }, (_, n) => name(n + 1));
const broken = new Map<Invariant, string[]>();
/** Classes of faults that agents saw in long scenarios. */
const seen = new Set<string>();

for (const name of only === undefined ? [...numbers(SEEDS, String), ...numbers(LONG, (n) => `long-${n}`)] : [only]) {
  const isLong = name.startsWith('long-');
  const number = Number(name.replace(/^(long|rare)-/, ''));
  const of = isLong ? longScenarioOf : name.startsWith('rare-') ? rareScenarioOf : scenarioOf;
  const document = of(number);
  const { breaches, simulation } = play(read(document));
  for (const { invariant, at, what } of breaches)
    broken.set(invariant, [...(broken.get(invariant) ?? []), `seed ${name} after ${(at / 1e9).toFixed(3)} s: ${what}`]);
  if (isLong) for (const { decision } of simulation.journal) seen.add(decision.fault.class);
  if (only === undefined) continue;
  console.log(JSON.stringify(document));
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

test('long scenarios reach what takes minutes to tell', { skip: only !== undefined }, () => {
  const slow = [
    'link-flapping',
    'link-lossy',
    'link-one-way',
    'neighbour-dead',
    'overload',
    'partition',
    'config-drift',
  ];
  assert.deepEqual(
    slow.filter((name) => !seen.has(name)),
    [],
  );
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
