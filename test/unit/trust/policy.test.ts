import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POWERS, Policy, readRule } from '../../../agent/trust/policy.ts';

const RULES = [
  'spiffe://a/router/* read-status',
  'spiffe://a/router/desk admit,revoke',
  'router/attic admit',
  'router/roof tell-faults,change-configuration',
];
const policy = new Policy(RULES.map(readRule));

const TABLE: readonly [id: string, allowed: readonly (typeof POWERS)[number][]][] = [
  ['spiffe://a/router/kitchen', ['read-status']],
  ['spiffe://a/router/desk', ['read-status', 'admit', 'revoke']],
  ['spiffe://a/router/attic', ['read-status', 'admit']],
  ['spiffe://a/router/roof', ['read-status', 'tell-faults', 'change-configuration']],
  ['spiffe://a/router/', []],
  ['spiffe://a/router/x/y', []],
  ['spiffe://a/router', []],
  ['spiffe://b/router/desk', []],
  ['spiffe://b/router/attic', []],
  ['spiffe://a/routers/desk', []],
  ['router/attic', []],
  ['', []],
];

for (const [id, allowed] of TABLE) {
  test(`${id || 'nobody'} may ${allowed.join(', ') || 'nothing'}`, () => {
    for (const power of POWERS) {
      const { isAllowed, why } = policy.decide(id, power, 'a');
      assert.equal(isAllowed, allowed.includes(power), power);
      assert.ok(why.length > 0);
    }
  });
}

test('router/* is every router of the trust domain that this one is in, and of no other', () => {
  const own = new Policy([readRule('router/* read-status')]);
  const may = (id: string, domain: string | null) => own.decide(id, 'read-status', domain).isAllowed;
  for (const domain of ['x0tta6bl4.mesh', 'example.org']) {
    assert.ok(may(`spiffe://${domain}/router/kitchen`, domain));
    assert.ok(!may(`spiffe://${domain}.evil/router/kitchen`, domain));
    assert.ok(!may(`spiffe://${domain}/workload/kitchen`, domain));
    assert.ok(!may(`spiffe://${domain}/router/kitchen/x`, domain));
    assert.ok(!may(`spiffe://${domain}/router/kitchen`, null), 'a router without an identity is in none');
  }
  assert.ok(!may('spiffe://x0tta6bl4.mesh/router/kitchen', 'example.org'));
  assert.match(own.decide('spiffe://b/router/x', 'admit', 'b').why, /^no rule for router\/\* allows it$/);
});

test('a name is one that has a rule of its own', () => {
  const cases: readonly [id: string, isNamed: boolean][] = [
    ['spiffe://a/router/desk', true],
    ['spiffe://a/router/attic', true],
    ['spiffe://a/router/kitchen', false],
    ['spiffe://b/router/desk', false],
  ];
  for (const [id, isNamed] of cases) assert.equal(policy.names(id, 'a'), isNamed, id);
});

test('without rules everything is denied, and the reason names what there is', () => {
  assert.deepEqual(new Policy([]).decide('spiffe://a/router/x', 'read-status', 'a'), {
    id: 'spiffe://a/router/x',
    power: 'read-status',
    isAllowed: false,
    why: 'no rule is for this ID',
  });
  const { why } = new Policy(RULES.map(readRule)).decide('spiffe://a/router/attic', 'revoke', 'a');
  assert.match(why, /router\/\* or router\/attic allows it/);
});

test('a rule that is none is named', () => {
  for (const bad of [
    '',
    'x',
    'router/*',
    'router/ read-status',
    'routers/* read-status',
    'spiffe://a/router/*',
    'spiffe://a/* read',
    'spiffe://a/*/b read-status',
    '* read-status',
  ])
    assert.throws(() => readRule(bad), { code: 'E_CONFIG_VALUE' }, bad);
  assert.throws(() => readRule('spiffe://a/router/x read-status admit'), { code: 'E_CONFIG_VALUE' });
  assert.throws(() => readRule('router/* read-status,fly'), {
    code: 'E_CONFIG_VALUE',
    message:
      '"fly" is nothing that another router can ask for: read-status, tell-faults, change-configuration, admit, revoke are',
  });
});
