import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test as nodeTest, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { SECOND } from '../../../agent/core/time.ts';
import { BURST_BUDGET, DAILY_BUDGET } from '../../../agent/host/state/budget.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { Bench, decision, WALL } from './help.ts';

const refusal = sqliteRefusal();

function test(name: string, body: (t: TestContext) => void): void {
  nodeTest(name, { skip: refusal ?? false }, body);
}

test('a recording is kept whole, over a restart, with its faults', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  const recording = randomBytes(100_000);
  assert.ok(state.keepRecording(recording, ['e1-f1', 'e1-f2']));
  assert.ok(state.keepRecording(Buffer.of(1), [], 'ended'));
  state.close();
  const again = bench.open();
  assert.deepEqual(again.recordings(), [
    { id: 1, wall: WALL + bench.time / 1e6, bytes: 100_000, faults: ['e1-f1', 'e1-f2'], why: 'faults' },
    { id: 2, wall: WALL + bench.time / 1e6, bytes: 1, faults: [], why: 'ended' },
  ]);
  assert.deepEqual(again.recording(1), recording);
  assert.deepEqual(again.recording(2), Buffer.of(1));
  assert.equal(again.recording(3), null);
  again.close();
});

test('an eighth of the size limit is for recordings, the oldest go first, and the journal lives on', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ sizeLimitKib: 1024 });
  for (let n = 1; n <= 200; n++) {
    state.append(decision(n));
    if (n % 10 === 0) {
      bench.time += 86_400 * SECOND;
      assert.ok(state.keepRecording(randomBytes(50_000), [`e1-f${n}`]), `${n}`);
    }
    bench.pass(state, 10 * SECOND);
  }
  assert.deepEqual(
    state.recordings().map(({ faults }) => faults),
    [['e1-f190'], ['e1-f200']],
  );
  assert.equal(state.recording(20)!.length, 50_000);
  const warned = () => bench.lines.filter((line) => /a recording is not kept.*kib="?129.*limit_kib="?128/.test(line));
  assert.equal(warned().length, 0);
  for (const _ of [1, 2])
    assert.ok(!state.keepRecording(randomBytes(128 * 1024 + 1), []), 'larger than all of them may be');
  assert.equal(warned().length, 1, 'a person is told, once');
  assert.equal(state.recordings().length, 2);
  assert.equal(state.trouble, null);
  assert.ok(state.status().usedKib <= 1024);
  assert.equal(state.query({ limit: 1000 }).length, 200);
  assert.ok(state.verify().ok);
  state.close();
});

test('flash has had enough at some time of a day, and what the journal needs is left', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ sizeLimitKib: 8192 });
  let bytes = 0;
  for (let n = 0; n < 24 * 60; n++) {
    if (state.keepRecording(randomBytes(200_000), [])) bytes += 2 * 200_000;
    bench.time += 60 * SECOND;
  }
  assert.ok(bytes > DAILY_BUDGET / 2, `${bytes}`);
  assert.ok(bytes <= DAILY_BUDGET + BURST_BUDGET / 2, `${bytes}`);
  state.append(decision(1));
  assert.ok(state.flushDue() - bench.time <= SECOND, 'a decision is written at once all the same');
  state.close();
});

test('one that was cut off by a loss of power is none, and its room is used again', (t) => {
  const bench = new Bench(t);
  bench.open().close();
  const db = new Database(bench.file);
  db.prepare('INSERT INTO recording_parts (recording, data) VALUES (1, ?)').run(Buffer.from('half'));
  db.close();
  const state = bench.open();
  assert.deepEqual([state.recordings(), state.recording(1)], [[], null]);
  assert.ok(state.keepRecording(Buffer.from('whole'), []));
  assert.equal(String(state.recording(1)), 'whole');
  state.close();
});

test('without a disk none is kept', (t) => {
  const state = new Bench(t).open({ directory: null });
  assert.equal(state.keepRecording(Buffer.of(1), []), false);
  assert.deepEqual([state.recordings(), state.recording(1)], [[], null]);
});

test('what a recording may have is told before it is made, by flash and by the size limit', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ sizeLimitKib: 8192 });
  const room = state.recordingRoom();
  // The ring's default; a whole one may be more than flash spares at once.
  assert.ok(room > 192 * 1024 && room < 256 * 1024, `${room}`);
  assert.equal(state.keepRecording(randomBytes(room + 1), []), false);
  assert.ok(state.keepRecording(randomBytes(room), []));
  assert.ok(state.recordingRoom() <= 0);
  state.settle({ journalEntries: 1000, sizeLimitKib: 256, writeIntervalNs: 300 * SECOND });
  bench.time += 86_400 * SECOND;
  assert.equal(state.recordingRoom(), 32 * 1024);
  state.close();
  assert.equal(new Bench(t).open({ directory: null }).recordingRoom(), 0);
});
