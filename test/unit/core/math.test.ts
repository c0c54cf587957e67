import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decibels, exp, fromDecibels, log, power } from '../../../agent/core/math.ts';
import { Random } from '../../../agent/twin/random.ts';

const view = new DataView(new ArrayBuffer(8));

/** How many doubles lie between two of the same sign. */
function ulps(a: number, b: number): number {
  const bits = (x: number) => {
    view.setFloat64(0, x);
    return view.getBigInt64(0);
  };
  if (Object.is(a, b) || a === b) return 0;
  const [x, y] = [bits(a), bits(b)];
  return Number(x > y ? x - y : y - x);
}

function worst(mine: (x: number) => number, theirs: (x: number) => number, xs: Iterable<number>): number {
  let most = 0;
  for (const x of xs) most = Math.max(most, ulps(mine(x), theirs(x)));
  return most;
}

function* numbers(count: number, make: (random: Random) => number): Iterable<number> {
  const random = new Random(1, 'math');
  for (let i = 0; i < count; i++) yield make(random);
}

test('log is within two ulps of Math.log, near one and far from it', () => {
  assert.ok(
    worst(
      log,
      Math.log,
      numbers(20_000, (random) => random.between(0.5, 2)),
    ) <= 2,
  );
  assert.ok(
    worst(
      log,
      Math.log,
      numbers(20_000, (random) => 2 ** random.between(-1000, 1000)),
    ) <= 2,
  );
  assert.equal(log(1), 0);
  assert.equal(log(0), Number.NEGATIVE_INFINITY);
  assert.ok(Number.isNaN(log(-1)) && Number.isNaN(log(Number.NaN)));
  assert.equal(log(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});

test('exp is within two ulps of Math.exp where results are normal numbers', () => {
  assert.ok(
    worst(
      exp,
      Math.exp,
      numbers(20_000, (random) => random.between(-1, 1)),
    ) <= 2,
  );
  assert.ok(
    worst(
      exp,
      Math.exp,
      numbers(20_000, (random) => random.between(-700, 700)),
    ) <= 2,
  );
  assert.equal(exp(0), 1);
  assert.equal(exp(1000), Number.POSITIVE_INFINITY);
  assert.equal(exp(-1000), 0);
  assert.ok(Number.isNaN(exp(Number.NaN)));
});

test('decibels', () => {
  assert.ok(Math.abs(decibels(2) - 3.0103) < 1e-4);
  for (const ratio of numbers(1000, (random) => random.between(1e-6, 1e6)))
    assert.ok(Math.abs(fromDecibels(decibels(ratio)) / ratio - 1) < 1e-13);
});

/** On every engine: a single other bit would be another story. */
test('these bits and no others', () => {
  let sum = 0;
  for (const x of numbers(5000, (random) => random.between(1e-3, 1e3)))
    sum = (sum * 31 + ulps(log(x), 1) + ulps(exp(-x), 1)) % 2 ** 40;
  assert.equal(sum, 451661090816);
});

test('powers are products', () => {
  assert.equal(power(1.5, 3), 1.5 * 1.5 * 1.5);
  assert.equal(power(7, 1), 7);
  assert.equal(power(7, 0), 1);
  assert.equal(power(7, -2), 1);
});
