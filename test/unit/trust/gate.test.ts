/** Whose frames come in: a table of what is said and proven, and who is admitted and isolated then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate, MOST_ADDRESSES } from '../../../agent/trust/air/gate.ts';

const SECOND = 1e9;
const HOUR = 3600 * SECOND;
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
const [attic, hall, shed] = ['aa', 'bb', 'cc'].map((two) => two.repeat(32)) as [string, string, string];
const out = (...keys: readonly string[]) => new Map(keys.map((key) => [key, { node: 'shed', by: 'the owner' }]));

test('admitted is who says so over a session, and who seals a frame; both for half a day after', () => {
  const gate = new Gate();
  gate.claimed(hall, 'hall', [A, B]);
  gate.proven(C, 0);
  assert.deepEqual(gate.admitted(HOUR), [C, A, B], 'who was heard here comes first');
  gate.left(hall, HOUR);
  assert.deepEqual(gate.admitted(11 * HOUR), [C, A, B]);
  assert.equal(gate.deadline(), 12 * HOUR);
  assert.deepEqual(gate.admitted(12 * HOUR), [A, B], 'an agent that died lets its batman-adv go on for as long');
  assert.deepEqual(gate.admitted(13 * HOUR), []);
  gate.claimed(hall, 'hall', [B]);
  assert.deepEqual(gate.admitted(14 * HOUR), [B], 'what it says last counts');
});

test('what a router is called: as it says itself, and nobody where two say so', () => {
  const gate = new Gate();
  gate.own([C]);
  gate.claimed(hall, 'hall', [A, B]);
  gate.claimed(shed, 'shed', [B, C]);
  assert.deepEqual([...gate.names()], [[A, 'hall']], 'our own address is nobody else’s');
  gate.claimed(attic, 'attic', [B]);
  assert.deepEqual([...gate.names()], [[A, 'hall']], 'nor is it the third one’s');
  gate.claimed(attic, 'attic', []);
  gate.left(hall, 1);
  gate.claimed(shed, 'shed', [B]);
  assert.deepEqual(
    [...gate.names()],
    [
      [A, 'hall'],
      [B, 'shed'],
    ],
    'of two, one after the other, the later one',
  );
  gate.revoke(out(shed), 2);
  assert.deepEqual([...gate.names()], [[A, 'hall']]);
});

test('who is revoked is isolated, with its reason; and let in where it is revoked no longer', () => {
  const gate = new Gate();
  gate.claimed(shed, 'shed', [A, B]);
  gate.proven(A, 0);
  const [news] = gate.revoke(out(shed), 1);
  assert.deepEqual(news, { what: 'isolated', who: `shed: ${A} ${B}`, why: 'shed was revoked by the owner' });
  assert.deepEqual([gate.admitted(2), gate.isolated()], [[], [A, B]]);
  gate.proven(A, 3);
  assert.deepEqual(gate.admitted(3), [], 'a frame sealed with the old key helps nobody');
  assert.deepEqual(gate.revoke(out(shed), 4), [], 'said once');
  assert.deepEqual(gate.claimed(shed, 'shed', [C]), [], 'nothing it says counts');
  assert.equal(gate.revoke(out(), 5)[0]?.what, 'let-in');
  assert.deepEqual(gate.isolated(), []);
});

test('one whose session ended long ago is isolated all the same', () => {
  const gate = new Gate();
  gate.claimed(shed, 'shed', [A]);
  gate.left(shed, 0);
  gate.admitted(40 * HOUR);
  gate.revoke(out(shed), 41 * HOUR);
  assert.deepEqual(gate.isolated(), [A]);
});

test('the addresses of others, and our own, are not isolated with whoever named them', () => {
  const gate = new Gate();
  gate.own([A]);
  gate.claimed(hall, 'hall', [B]);
  gate.claimed(shed, 'shed', [A, B, C]);
  gate.revoke(out(shed), 0);
  assert.deepEqual(gate.isolated(), [C]);
  const [news] = gate.claimed(attic, 'attic', [C]);
  assert.deepEqual(
    [news?.what, gate.isolated(), gate.admitted(1)],
    ['let-in', [], [B, C]],
    'who is admitted anew has it now',
  );
});

test('a router that was let in anew under other keys, and is revoked again, is isolated again', () => {
  const gate = new Gate();
  gate.claimed(hall, 'shed', [A]);
  gate.left(hall, 0);
  gate.claimed(shed, 'shed', [A]);
  gate.revoke(out(shed), 1);
  assert.deepEqual(gate.isolated(), [A], 'what its former self had said does not shield it');
});

test('after a revocation whatever only was proven has to be proven anew, under the new key', () => {
  const gate = new Gate();
  gate.proven(A, 0);
  gate.proven(B, 0);
  gate.revoke(out(shed), HOUR);
  gate.proven(B, HOUR + 4 * SECOND);
  gate.proven(A, HOUR + 7 * SECOND);
  assert.deepEqual(gate.admitted(HOUR + 59 * SECOND), [A, B]);
  assert.deepEqual(gate.admitted(HOUR + 61 * SECOND), [A], 'the old key still counted when B did so');
});

test('what is kept comes back, and addresses are bounded and never a group’s', () => {
  const gate = new Gate();
  gate.restore([{ key: shed, node: 'shed', addresses: [A] }]);
  assert.deepEqual(gate.revoke(out(shed), 0), []);
  assert.deepEqual(gate.isolated(), [A]);
  const many = Array.from(
    { length: 300 },
    (_, i) => `02:00:00:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
  );
  gate.claimed(hall, 'hall', ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '00:00:00:00:00:00', ...many]);
  assert.equal(gate.admitted(1).length, MOST_ADDRESSES);
  for (const mac of many) gate.proven(mac, 2);
  assert.ok(gate.admitted(3).length <= 256 + MOST_ADDRESSES);
  gate.proven('ff:ff:ff:ff:ff:ff', 4);
  assert.ok(!gate.admitted(5).includes('ff:ff:ff:ff:ff:ff'));
});
