import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAction, isJudged, judge, type Outcome } from '../../../agent/twin/expected.ts';
import { playSeed } from '../../../agent/twin/report.ts';
import { EXPECTATIONS, type Expectation, parseScenario, type Scenario } from '../../../agent/twin/scenario.ts';

const OUTCOME: Outcome = {
  reach: [
    { from: 'a', to: 'b', ok: true },
    { from: 'a', to: 'c', ok: false },
    { from: 'b', to: 'c', ok: false },
  ],
  costs: [
    { fault: 'f1', probe: 'p1', outageMs: 40, recovered: true },
    { fault: 'f1', probe: 'p2', outageMs: 12_000, recovered: true },
    { fault: 'f2', probe: 'p1', outageMs: 0, recovered: false },
  ],
  probes: [
    { name: 'p1', lossPct: 0.5 },
    { name: 'p2', lossPct: 12 },
  ],
  actions: [{ router: 'b', action: 'kick', class: 'link-down', atMs: 3210 }],
};

type Without<T> = T extends unknown ? Omit<T, 'agent'> : never;

test('what is judged, and in which words', () => {
  const cases: readonly (readonly [Without<Expectation>, held: boolean, why: string])[] = [
    [{ expect: 'reachable' }, false, 'a does not reach c; b does not reach c'],
    [{ expect: 'reachable', from: 'a', to: 'b' }, true, '1 pair'],
    [{ expect: 'reachable', to: 'a', from: 'b' }, true, '1 pair'],
    [{ expect: 'reachable', from: 'c' }, false, 'a does not reach c; b does not reach c'],
    [{ expect: 'unreachable', to: 'c' }, true, '2 pairs'],
    [{ expect: 'unreachable' }, false, 'a reaches b'],
    [{ expect: 'outage-below', ms: 50, fault: 'f1', probe: 'p1' }, true, 'f1 cost p1 40 ms'],
    [{ expect: 'outage-below', ms: 40, fault: 'f1', probe: 'p1' }, false, 'f1 cost p1 40 ms'],
    [{ expect: 'outage-below', ms: 1e5, fault: 'f1' }, true, 'f1 cost p1 40 ms; f1 cost p2 12.0 s'],
    [{ expect: 'outage-below', ms: 1e5 }, false, 'f2 cost p1 0 ms and was not over'],
    [{ expect: 'outage-below', ms: 1e5, fault: 'f3' }, false, 'no packet was sent after the fault'],
    [{ expect: 'loss-below', pct: 1, probe: 'p1' }, true, 'p1 lost 0.50 %'],
    [{ expect: 'loss-below', pct: 12 }, false, 'p2 lost 12.00 %'],
    [{ expect: 'no-actions' }, false, 'b: kick for link-down at 3.2 s'],
  ];
  for (const [expectation, held, why] of cases)
    assert.deepEqual(judge({ ...expectation, agent: 'on' } as Expectation, OUTCOME), { held, why });
  assert.deepEqual(judge({ expect: 'no-actions', agent: 'on' }, { ...OUTCOME, actions: [] }), {
    held: true,
    why: 'none',
  });
});

test('every word of expect is judged here or named as one that is not', () => {
  for (const expect of Object.keys(EXPECTATIONS)) {
    const expectation = { expect, agent: 'on', ms: 1, pct: 1 } as Expectation;
    assert.equal(judge(expectation, OUTCOME) !== null, isJudged(expectation), expect);
  }
});

test('what counts as an action', () => {
  const entry = { step: 'done', action: 'kick', class: 'link-down' };
  assert.ok(isAction(entry));
  for (const other of [
    { step: 'planned' },
    { step: 'observed' },
    { action: 'none' },
    { action: 'tell' },
    { class: 'asked' },
  ])
    assert.ok(!isAction({ ...entry, ...other }), JSON.stringify(other));
});

function scenario(more: object): Scenario {
  const parsed = parseScenario(
    JSON.stringify({
      format: 1,
      name: 'line',
      topology: {
        kind: 'links',
        links: [
          ['west', 'middle'],
          ['middle', 'east'],
        ],
      },
      settle_s: 0,
      probes: [{ name: 'over', from: 'west', to: 'east', interval_ms: 10 }],
      ...more,
    }),
  );
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.scenario;
}
const judgedOf = (more: object, agents: 'on' | 'off' = 'on'): Record<string, boolean> => {
  const { expectations, broken } = playSeed(scenario(more), agents, true);
  assert.deepEqual(broken, []);
  return Object.fromEntries(expectations.map(({ path, held }) => [path.slice(9, -1), held]));
};

test('a line in two: who reaches whom at the end, before all is made whole; by their own names', () => {
  const cut = [{ at_s: 1, fault: 'carrier-loss', link: ['middle', 'east'] }];
  const expect = [
    { expect: 'reachable', from: 'west', to: 'middle' },
    { expect: 'reachable', from: 'west', to: 'east' },
    { expect: 'unreachable', from: 'east' },
    { expect: 'outage-below', ms: 1e8 },
    { expect: 'loss-below', pct: 5 },
    { expect: 'no-actions' },
    { expect: 'settings-as-before' },
    { expect: 'reachable', from: 'west', to: 'east', agent: 'off' },
  ];
  assert.deepEqual(judgedOf({ timeline: cut, duration_s: 4, expect }), {
    0: true,
    1: false,
    2: true,
    3: false,
    4: false,
    5: false,
  });
  // No outage is below anything where there is no fault.
  const whole = { timeline: [], duration_s: 2, expect: expect.toSpliced(3, 1) };
  assert.deepEqual(judgedOf(whole), { 0: true, 1: true, 2: false, 3: true, 4: true });
  assert.deepEqual(judgedOf(whole, 'off'), { 6: true });
});

test('a fault costs a probe nothing after it was taken back, nor one whose own end is off', () => {
  const expect = [
    { expect: 'outage-below', fault: 'short', ms: 3000 },
    { expect: 'outage-below', fault: 'dead', ms: 1e8 },
  ];
  const probes = [
    { name: 'over', from: 'west', to: 'east', interval_ms: 10 },
    { name: 'near', from: 'west', to: 'middle', interval_ms: 10 },
  ];
  const timeline = [
    { name: 'short', at_s: 1, fault: 'partial-loss', loss_pct: 5, link: ['west', 'middle'], for_s: 2 },
    { name: 'dead', at_s: 8, fault: 'router-killed', node: 'east' },
  ];
  const played = { timeline, probes, duration_s: 12, expect };
  assert.deepEqual(judgedOf(played), { 0: true, 1: true });
  const { outages } = playSeed(scenario(played), 'on', true);
  assert.deepEqual(
    outages.map(({ fault, probe }) => `${fault} ${probe}`),
    ['short over', 'short near', 'dead near'],
    'and what is shown is what is judged',
  );
});
