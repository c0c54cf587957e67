import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POWERS, Policy, readRule } from '../../../agent/trust/policy.ts';

const RULES = ['spiffe://a/router/* read-status,tell-faults', 'spiffe://a/router/desk change-configuration,admit'];
const policy = new Policy(RULES.map(readRule));

const TABLE: readonly [id: string, allowed: readonly (typeof POWERS)[number][]][] = [
  ['spiffe://a/router/kitchen', ['read-status', 'tell-faults']],
  ['spiffe://a/router/desk', ['read-status', 'tell-faults', 'change-configuration', 'admit']],
  ['spiffe://a/router/', []],
  ['spiffe://a/router/x/y', []],
  ['spiffe://a/router', []],
  ['spiffe://b/router/desk', []],
  ['spiffe://a/routers/desk', []],
  ['', []],
];

for (const [id, allowed] of TABLE) {
  test(`${id || 'nobody'} may ${allowed.join(', ') || 'nothing'}`, () => {
    for (const power of POWERS) {
      const { isAllowed, why } = policy.decide(id, power);
      assert.equal(isAllowed, allowed.includes(power), power);
      assert.ok(why.length > 0);
    }
  });
}

test('without rules everything is denied, and the reason names what there is', () => {
  assert.deepEqual(new Policy([]).decide('spiffe://a/router/x', 'read-status'), {
    id: 'spiffe://a/router/x',
    power: 'read-status',
    isAllowed: false,
    why: 'no rule is for this ID',
  });
  assert.match(policy.decide('spiffe://a/router/desk', 'revoke').why, /router\/\* or .*router\/desk allows it/);
});

test('a rule that is none is named', () => {
  for (const bad of [
    '',
    'x',
    'spiffe://a/router/*',
    'spiffe://a/* read',
    'spiffe://a/*/b read-status',
    '* read-status',
  ])
    assert.throws(() => readRule(bad), { code: 'E_CONFIG_VALUE' }, bad);
  assert.throws(() => readRule('spiffe://a/router/x read-status tell-faults'), { code: 'E_CONFIG_VALUE' });
});
