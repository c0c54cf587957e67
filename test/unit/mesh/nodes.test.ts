import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import { type Heard, Nodes } from '../../../agent/mesh/nodes.ts';

const X = '02:00:00:00:00:01';
const heard = (lastSeen: Nanos, more: Partial<Heard> = {}): Heard => ({
  originator: X,
  lastSeen,
  nextHop: '02:00:00:00:00:02',
  interface: 'eth0',
  tq: 255,
  throughput: null,
  ...more,
});
const states = (nodes: Nodes) => nodes.view().map(({ state, health }) => `${state} ${health}`);

test('joined, registered, left, dead, forgotten', () => {
  const nodes = new Nodes();
  assert.deepEqual(nodes.read([heard(0)], 0), [{ originator: X, from: null, to: 'joined' }]);
  for (let s = 1; s < 5; s++) assert.deepEqual(nodes.read([heard(s * SECOND)], s * SECOND), []);
  assert.deepEqual(nodes.read([heard(5 * SECOND)], 5 * SECOND), [{ originator: X, from: 'joined', to: 'registered' }]);
  assert.deepEqual(states(nodes), ['registered healthy']);

  // The tables keep a silent originator for 200 s; what counts is when it was heard.
  assert.deepEqual(nodes.read([heard(5 * SECOND)], 9 * SECOND), []);
  assert.deepEqual(states(nodes), ['registered degraded']);
  assert.equal(nodes.deadline(), 15 * SECOND);
  assert.deepEqual(nodes.advance(15 * SECOND), [{ originator: X, from: 'registered', to: 'left' }]);
  assert.deepEqual(states(nodes), ['left unreachable']);
  assert.equal(nodes.deadline(), 65 * SECOND);
  assert.deepEqual(nodes.advance(65 * SECOND - 1), []);
  assert.deepEqual(nodes.advance(65 * SECOND), [{ originator: X, from: 'left', to: 'dead' }]);
  assert.deepEqual(nodes.advance(605 * SECOND), [{ originator: X, from: 'dead', to: null }]);
  assert.equal(nodes.deadline(), Number.POSITIVE_INFINITY);
});

test('one whose routes are gone has left at once, and joins anew', () => {
  const nodes = new Nodes();
  nodes.read([heard(0)], 0);
  assert.deepEqual(nodes.read([], SECOND), [{ originator: X, from: 'joined', to: 'left' }]);
  assert.deepEqual(nodes.read([heard(2 * SECOND)], 2 * SECOND), [{ originator: X, from: 'left', to: 'joined' }]);
});

test('a poor path is degraded health', () => {
  const nodes = new Nodes();
  nodes.read([heard(0, { tq: 127 })], 0);
  assert.deepEqual(states(nodes), ['joined degraded']);
  nodes.read([heard(1, { tq: null, throughput: 999 })], 1);
  assert.deepEqual(states(nodes), ['joined degraded']);
});

test('every deadline brings a change: time alone never makes it spin', () => {
  const nodes = new Nodes();
  // A large uptime, where nanoseconds in a double are no longer exact.
  const start = 3e16 + 1;
  nodes.read([heard(start), heard(start - 3e8, { originator: '02:00:00:00:00:09' })], start);
  let turns = 0;
  for (let at = nodes.deadline(); at !== Number.POSITIVE_INFINITY; at = nodes.deadline()) {
    assert.ok(nodes.advance(at).length > 0);
    assert.ok(++turns < 20);
  }
});

test('inventing originators does not fill the memory', () => {
  const nodes = new Nodes();
  const many = Array.from({ length: 10_000 }, (_, i) => heard(0, { originator: `02:00:00:00:${i}` }));
  nodes.read(many, 0);
  assert.equal(nodes.view().length, 4096);
});
