import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MS, NEVER, SECOND } from '../../../agent/core/time.ts';
import { Flusher } from '../../../agent/host/flusher.ts';

/** A state that is due when it is told so, under a clock that is set by hand. */
function scene(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = {
    now: 0,
    due: NEVER,
    busy: false,
    flushes: [] as number[],
    pass(ms: number): void {
      for (let left = ms; left > 0; left -= 50) {
        made.now += 50 * MS;
        t.mock.timers.tick(50);
      }
    },
  };
  const state = {
    flushDue: () => made.due,
    flush: () => {
      made.flushes.push(made.now / MS);
      made.due = NEVER;
    },
  };
  const flusher = new Flusher(
    state,
    () => made.now,
    () => made.busy,
  );
  return Object.assign(made, { flusher });
}

test('what becomes due sooner than the timer is written sooner', (t) => {
  const scenery = scene(t);
  scenery.due = 60 * SECOND;
  scenery.flusher.settle();
  scenery.pass(1000);
  scenery.due = 2 * SECOND;
  scenery.flusher.settle();
  scenery.pass(5000);
  assert.deepEqual(scenery.flushes, [2000]);
  scenery.pass(60_000);
  assert.equal(scenery.flushes.length, 1, 'the first timer is gone');
});

test('not while a repair is under way, and soon after it', (t) => {
  const scenery = scene(t);
  scenery.due = SECOND;
  scenery.busy = true;
  scenery.flusher.settle();
  scenery.pass(5000);
  assert.deepEqual(scenery.flushes, []);
  scenery.busy = false;
  scenery.pass(200);
  assert.equal(scenery.flushes.length, 1);
});

test('what is put off is not written before its time, nor is nothing', (t) => {
  const scenery = scene(t);
  scenery.flusher.settle();
  scenery.due = SECOND;
  scenery.flusher.settle();
  // The budget of bytes is spent: the state wants it later.
  scenery.due = 3 * SECOND;
  scenery.pass(2500);
  assert.deepEqual(scenery.flushes, []);
  scenery.pass(1000);
  assert.equal(scenery.flushes.length, 1);
  scenery.pass(100_000);
  assert.equal(scenery.flushes.length, 1);
});
