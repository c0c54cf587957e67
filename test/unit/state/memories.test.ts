import assert from 'node:assert/strict';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { SECOND } from '../../../agent/core/time.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { Bench } from './help.ts';

const skip = sqliteRefusal() ?? false;

test('what was learned is there after a restart; the newest word counts, and what is forgotten stays so', {
  skip,
}, (t) => {
  const bench = new Bench(t);
  const first = bench.open();
  first.remember('repair', 'link-down kick', '[1,1,5,0]');
  first.remember('class-mode', 'link-lossy', 'act');
  first.remember('class-mode', 'link-slow', 'observe');
  assert.equal(first.memories().length, 3, 'at once');
  bench.pass(first, 600 * SECOND);
  first.remember('repair', 'link-down kick', '[2,2,9,0]');
  first.remember('class-mode', 'link-slow', null);
  first.close();
  const again = bench.open();
  assert.deepEqual(again.memories(), [
    { kind: 'class-mode', key: 'link-lossy', value: 'act' },
    { kind: 'repair', key: 'link-down kick', value: '[2,2,9,0]' },
  ]);
  // The same again is nothing to write.
  again.remember('class-mode', 'link-lossy', 'act');
  assert.equal(again.flushDue(), Number.POSITIVE_INFINITY);
  again.close();
});

test('what is urgent is written within a second, the rest with what else is collected', { skip }, (t) => {
  const bench = new Bench(t);
  const state = bench.open({ writeIntervalNs: 60 * SECOND });
  const due = () => (state.flushDue() - bench.time) / SECOND;
  state.remember('trust', 'member a', 'attic 1 b');
  assert.equal(due(), 60);
  state.remember('trust', 'item 1', 'revocation x', true);
  assert.equal(due(), 1);
  state.close();
});

test('what is no text in the file is no memory', { skip }, (t) => {
  const bench = new Bench(t);
  const first = bench.open();
  first.remember('class-mode', 'link-lossy', 'act');
  first.close();
  const db = new Database(bench.file);
  db.exec("INSERT INTO memories VALUES ('repair', x'00', '[]'), ('repair', 'link-down kick', x'5b5d')");
  db.close();
  const again = bench.open();
  assert.deepEqual(again.memories(), [{ kind: 'class-mode', key: 'link-lossy', value: 'act' }]);
  again.close();
});

test('memories are bounded, in memory as on the medium', { skip }, (t) => {
  const bench = new Bench(t);
  const state = bench.open({ directory: null });
  for (let i = 0; i < 13_000; i++) state.remember('repair', `x ${i}`, '[]');
  assert.equal(state.memories().length, 12_288);
  state.remember('repair', 'x 5', '[7]');
  assert.equal(state.memories().find(({ key }) => key === 'x 5')!.value, '[7]');
});
