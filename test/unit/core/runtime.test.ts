import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { Event, WorldEvent } from '../../../agent/core/event.ts';
import type { Machine } from '../../../agent/core/machine.ts';
import { Runtime } from '../../../agent/core/runtime.ts';
import { NEVER } from '../../../agent/core/time.ts';

const TICK: WorldEvent = { type: 'tick' };
const POLL: Effect = { type: 'poll' };

function machine(name: string, on: (event: Event) => Effect[]): Machine {
  return { name, on, deadline: () => NEVER };
}

/** The n-th of events that only count. */
function over(n: number): Effect {
  return { type: 'emit', event: { type: 'fault-over', fault: String(n), how: '' } };
}

function numberOf(event: Event): number {
  return event.type === 'fault-over' ? Number(event.fault) : 0;
}

/** What a runtime of these machines makes of one tick. */
function effectsOf(...machines: Machine[]): Effect[] {
  const effects: Effect[] = [];
  new Runtime(machines, { carryOut: (effect) => void effects.push(effect) }).feed(TICK, 1);
  return effects;
}

const logged = (effects: readonly Effect[]) => effects.flatMap((effect) => (effect.type === 'log' ? [effect] : []));

test('thousands of events may follow from one: a mesh that dies at once is no loop', () => {
  const many = machine('many', (event) => {
    if (event.type === 'tick') return Array.from({ length: 5000 }, (_, n) => over(n));
    return [POLL];
  });
  const effects = effectsOf(many);
  assert.equal(effects.filter(({ type }) => type === 'poll').length, 5000);
  assert.deepEqual(logged(effects), []);
});

test('machines that answer each other for ever are stopped and named; the next event finds them at work', () => {
  const effects: Effect[] = [];
  const ping = machine('ping', (event) => [over(numberOf(event) + 1)]);
  const other = machine('other', (event) => (event.type === 'tick' ? [POLL] : []));
  const runtime = new Runtime([ping, other], { carryOut: (effect) => void effects.push(effect) });
  for (let turn = 1; turn <= 2; turn++) {
    runtime.feed(TICK, turn);
    assert.equal(effects.filter(({ type }) => type === 'poll').length, turn);
    assert.equal(logged(effects).length, turn);
  }
  const [said] = logged(effects);
  assert.match(said!.message, /loop over 'fault-over'/);
  assert.equal(said!.fields.code, 'E_BUG');
});

test('a loop that also multiplies ends at the bound of all events', () => {
  let asked = 0;
  const rabbits = machine('rabbits', () => {
    asked += 1;
    return [over(1), over(2)];
  });
  const effects = effectsOf(rabbits);
  assert.equal(logged(effects).length, 1);
  assert.ok(asked <= 100_000, `${asked}`);
});

test('a machine that throws is logged, with the place where it threw', () => {
  const bad = machine('bad', () => {
    throw new TypeError('not a function');
  });
  const effects = effectsOf(
    bad,
    machine('good', () => [POLL]),
  );
  assert.equal(effects.length, 2);
  const [said] = logged(effects);
  assert.match(said!.message, /machine bad failed on 'tick': not a function/);
  assert.match(String(said!.fields.stack), /runtime\.test/);
  assert.deepEqual(effects[1], POLL);
});

test('an effect that the world fails on is logged, and the rest of the turn is carried out', () => {
  const done: Effect[] = [];
  const two = machine('two', (event) => (event.type === 'tick' ? [POLL, over(1), POLL] : [POLL]));
  let failures = 0;
  const runtime = new Runtime([two], {
    carryOut(effect) {
      if (effect.type === 'poll' && ++failures === 1) throw new Error('no socket');
      done.push(effect);
    },
  });
  runtime.feed(TICK, 1);
  assert.deepEqual(
    done.map(({ type }) => type),
    ['log', 'poll', 'poll'],
  );
  assert.match(logged(done)[0]!.message, /the world failed on 'poll': no socket/);
});

test('a world that fails on everything, logs included, takes nothing down', () => {
  const seen: string[] = [];
  const watcher = machine('watcher', (event) => {
    seen.push(event.type);
    return event.type === 'tick' ? [POLL, over(1)] : [];
  });
  const runtime = new Runtime([watcher], {
    carryOut() {
      throw new Error('nothing works');
    },
  });
  runtime.feed(TICK, 1);
  runtime.feed(TICK, 2);
  assert.deepEqual(seen, ['tick', 'fault-over', 'tick', 'fault-over']);
});
