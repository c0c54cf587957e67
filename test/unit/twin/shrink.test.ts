import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Document, scenarioOf } from '../../../agent/twin/chance.ts';
import { longScenarioOf } from '../../../agent/twin/chance-long.ts';
import { rareScenarioOf } from '../../../agent/twin/chance-rare.ts';
import { FAULTS, parseScenario } from '../../../agent/twin/scenario.ts';
import { shrink } from '../../../agent/twin/shrink.ts';

const valid = (document: Document) => parseScenario(JSON.stringify(document)).ok;

test('what remains is the shortest that still shows it', () => {
  const document: Document = {
    format: 1,
    name: 'long',
    topology: {
      kind: 'links',
      links: [
        ['r0', 'r1'],
        ['r1', 'r2'],
        ['r2', 'r3'],
        ['r3', 'r0'],
        ['r0', 'r2'],
      ],
      medium: 'cable',
    },
    link: { loss_pct: 3 },
    timeline: [
      { at_s: 3, fault: 'carrier-loss', link: ['r0', 'r1'], for_s: 8 },
      { at_s: 9, fault: 'bat0-deleted', node: 'r2' },
      { at_s: 12, fault: 'router-killed', node: 'r3', for_s: 4 },
    ],
    duration_s: 60,
  };
  const { document: shortest, tries } = shrink(
    document,
    'whole',
    (one) => valid(one) && one.timeline.some(({ fault }) => fault === 'bat0-deleted'),
  );
  assert.deepEqual(shortest.timeline, [{ at_s: 0, fault: 'bat0-deleted', node: 'r2' }]);
  assert.equal(shortest.topology.links.length, 1);
  assert.equal('link' in shortest, false);
  assert.equal(shortest.duration_s, 1);
  assert.ok(tries < 100);
});

test('routers that are left keep their order, and those that are gone are in it no more', () => {
  const document: Document = {
    format: 1,
    name: 'ordered',
    topology: {
      kind: 'links',
      links: [
        ['a', 'c'],
        ['c', 'b'],
        ['b', 'd'],
      ],
      nodes: ['d', 'c', 'b', 'a'],
      medium: 'cable',
    },
    timeline: [{ at_s: 0, fault: 'bat0-deleted', node: 'b' }],
  };
  const { topology } = shrink(document, 'whole', (one) => valid(one) && one.timeline.length > 0).document;
  assert.deepEqual(topology.nodes, ['d', 'b']);
  assert.deepEqual(topology.links, [['b', 'd']]);
});

test('what cannot be made shorter stays, and the tries are bounded', () => {
  const document = scenarioOf(10);
  const same = JSON.stringify(document);
  assert.deepEqual(shrink(document, 'loop', (one) => JSON.stringify(one) === same).document, document);
  let tries = 0;
  shrink(document, 'loop', () => {
    tries += 1;
    return true;
  });
  assert.ok(tries <= 400);
});

test('scenarios by chance are scenarios, and all the same for the same seed', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const parsed = parseScenario(JSON.stringify(scenarioOf(seed)));
    assert.ok(parsed.ok, JSON.stringify(parsed));
  }
  assert.deepEqual(scenarioOf(3), scenarioOf(3));
  assert.notDeepEqual(scenarioOf(3), scenarioOf(4));
});

test('long and rare ones are scenarios too, and between them and the short ones every fault is drawn', () => {
  const drawn = new Set<string>();
  const restarts = new Set<unknown>();
  for (let seed = 1; seed <= 500; seed++) {
    const document = longScenarioOf(seed);
    const parsed = parseScenario(JSON.stringify(document));
    assert.ok(parsed.ok, JSON.stringify(parsed));
    const rare = rareScenarioOf(seed);
    const read = parseScenario(JSON.stringify(rare));
    assert.ok(read.ok, JSON.stringify(read));
    for (const { fault } of [document, scenarioOf(seed), rare].flatMap(({ timeline }) => timeline))
      drawn.add(String(fault));
    restarts.add((document.agent as { config: { heal: { restart: boolean } } }).config.heal.restart);
    const ends = document.timeline.map(({ at_s, for_s }) => at_s + Number(for_s ?? 0));
    assert.ok(Math.max(...ends) < Number(document.duration_s), 'all of it happens');
  }
  assert.deepEqual([...drawn].sort(), Object.keys(FAULTS).sort());
  assert.equal(restarts.size, 2);
  assert.deepEqual(longScenarioOf(3), longScenarioOf(3));
  assert.notDeepEqual(longScenarioOf(3), longScenarioOf(4));
  assert.deepEqual(rareScenarioOf(3), rareScenarioOf(3));
  assert.notDeepEqual(rareScenarioOf(3), rareScenarioOf(13));
});
