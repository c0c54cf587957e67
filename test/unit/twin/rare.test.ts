/** What needs a cause of its own (agent/twin/chance-rare.ts): X0_TWIN_SEED=rare-7 of seeds.test.ts plays number 7 alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision, FaultClass } from '../../../agent/core/words.ts';
import { CATALOGUE } from '../../../agent/heal/faults/catalogue.ts';
import { causeOf } from '../../../agent/twin/causes.ts';
import { rareScenarioOf } from '../../../agent/twin/chance-rare.ts';
import { INVARIANTS, type Invariant } from '../../../agent/twin/invariants.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const SEEDS = 30;
/** What names a fault rightly, and the others that are right beside it. */
const NAMES: Readonly<Record<string, readonly [FaultClass, ...FaultClass[]]>> = {
  'bat0-down': ['mesh-misconfigured'],
  'bat0-unbridged': ['mesh-misconfigured'],
  'algorithm-changed': ['mesh-mismatch', 'link-silent', 'router-dead', 'neighbour-dead', 'partition', 'remote-alarm'],
  'a feature that is lacking': ['mesh-mismatch'],
  'table-stale': ['translation-inconsistent'],
  'route-stuck': ['routing-loop'],
};
/** Decisions that end a fault's story: what came of a repair, that it was told, or that it was only looked at. */
const ENDS: ReadonlySet<Decision['step']> = new Set(['verified', 'rolled-back', 'failed', 'done', 'over', 'observed']);

const broken = new Map<Invariant, string[]>();
/** By fault: what agents that act and agents that only observe have said and done, each seed. */
const shown = new Map<string, { seed: number; acts: boolean; named: boolean; others: string[]; ends: Set<string> }[]>();

for (let seed = 1; seed <= SEEDS; seed++) {
  const document = rareScenarioOf(seed);
  const { breaches, simulation } = play(read(document));
  for (const { invariant, at, what } of breaches)
    broken.set(invariant, [...(broken.get(invariant) ?? []), `rare-${seed} after ${(at / 1e9).toFixed(3)} s: ${what}`]);
  const fault = (document.timeline[0]?.fault as string | undefined) ?? 'a feature that is lacking';
  const decisions = simulation.journal.map(({ decision }) => decision);
  const [name, ...beside] = NAMES[fault]!;
  const own = decisions.filter((one) => one.fault.class === name);
  shown.set(fault, [
    ...(shown.get(fault) ?? []),
    {
      seed,
      acts: Object.keys((document.agent as { modes: object }).modes).length > 0,
      named: own.length > 0,
      others: decisions.map((one) => one.fault.class).filter((one) => one !== name && !beside.includes(one)),
      ends: new Set(own.filter(({ step }) => ENDS.has(step)).map(({ step, action }) => `${step} ${action}`)),
    },
  ]);
}

for (const [invariant, promise] of Object.entries(INVARIANTS))
  test(`twin, rare scenarios: ${promise}`, () => assert.deepEqual(broken.get(invariant as Invariant) ?? [], []));

for (const [fault, [name]] of Object.entries(NAMES))
  test(`${fault} is named ${name} each time, and nothing that is not there`, () => {
    const trials = shown.get(fault) ?? [];
    assert.ok(trials.length > 0);
    for (const { seed, named, others } of trials) {
      assert.ok(named, `rare-${seed}`);
      assert.deepEqual(others, [], `rare-${seed}`);
    }
  });

test('what may act ends repaired or told, what may not is observed', () => {
  /** By class: what its repairs come to where it acts, and which one is observed where it does not. */
  const ends: Readonly<Record<string, readonly [acts: readonly string[], observes: string]>> = {
    'bat0-down': [['verified restore'], 'observed restore'],
    'bat0-unbridged': [['verified restore'], 'observed restore'],
    'algorithm-changed': [['done tell'], 'observed tell'],
    'table-stale': [['done tell'], 'observed tell'],
    'route-stuck': [['verified link-cost'], 'observed link-cost'],
  };
  const seen = { acts: 0, observes: 0 };
  for (const [fault, [acts, observes]] of Object.entries(ends))
    for (const trial of shown.get(fault)!) {
      const found = [...trial.ends];
      if (trial.acts)
        assert.ok(
          acts.every((end) => found.includes(end)),
          `rare-${trial.seed}: ${found}`,
        );
      else assert.deepEqual(found, [observes], `rare-${trial.seed}`);
      seen[trial.acts ? 'acts' : 'observes'] += 1;
    }
  assert.ok(seen.acts > 5 && seen.observes > 3, JSON.stringify(seen));
  const lacking = new Set(shown.get('a feature that is lacking')!.flatMap((trial) => [...trial.ends]));
  assert.ok(lacking.has('done tell') || lacking.has('observed tell'), [...lacking].join());
});

test('every class of faults has a cause here, but what a person asks for', () => {
  const without = CATALOGUE.map((spec) => spec.class).filter((kind) => causeOf(kind).length === 0);
  assert.deepEqual(without, ['asked']);
});

/** On every Node and every machine, as in seeds.test.ts. */
test('the same rare seeds give the same journals, byte for byte', () => {
  const digestOf = (seed: number) =>
    play(read(rareScenarioOf(seed)))
      .simulation.digest()
      .slice(0, 16);
  assert.deepEqual([1, 2, 3, 7].map(digestOf), [
    'c3badfee2b3d6763',
    'b609245ee0c5f081',
    '90addc847d6a0060',
    '0db20df7a73ebf2e',
  ]);
});
