import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../../agent/twin/clock.ts';
import { Random } from '../../../agent/twin/random.ts';
import { Scheduler } from '../../../agent/twin/scheduler.ts';

test('what is due runs in order of time, and in the order asked for where that is the same', () => {
  const scheduler = new Scheduler();
  const random = new Random(1);
  const ran: [number, number][] = [];
  for (let i = 0; i < 2000; i++) {
    const at = random.int(300);
    scheduler.at(at, () => ran.push([at, i]));
  }
  scheduler.run(1000);
  assert.equal(ran.length, 2000);
  for (const [n, [at, i]] of ran.entries()) {
    const [before, j] = ran[n - 1] ?? [-1, -1];
    assert.ok(at > before || (at === before && i > j));
  }
  assert.equal(scheduler.now, 1000);
});

test('what an event asks for in the past comes at once, and the end is kept', () => {
  const scheduler = new Scheduler();
  const seen: string[] = [];
  scheduler.at(10, () => {
    scheduler.at(5, () => seen.push(`late at ${scheduler.now}`));
    scheduler.after(100, () => seen.push('too late'));
  });
  scheduler.run(50);
  assert.deepEqual(seen, ['late at 10']);
  scheduler.run(200);
  assert.deepEqual(seen, ['late at 10', 'too late']);
});

test('a run stops where somebody has seen enough', () => {
  const scheduler = new Scheduler();
  for (const at of [1, 2, 3]) scheduler.at(at, () => {});
  scheduler.run(10, () => scheduler.now === 2);
  assert.equal(scheduler.now, 2);
});

test('a clock that runs wrong is still the same both ways', () => {
  const random = new Random(2);
  for (let i = 0; i < 2000; i++) {
    const clock = new Clock(random.between(-100, 100), random.int(1e9) * 1000);
    const local = clock.local(random.int(2 ** 32) * 1000) + random.int(1e9);
    const time = clock.time(local);
    assert.ok(clock.local(time) >= local, 'not before it shows it');
    assert.ok(clock.local(time - 4) < local, 'and not long after');
  }
});
