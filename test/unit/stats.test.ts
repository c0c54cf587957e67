import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mean, median, percentile, reached, round } from '../../tools/bench/stats.ts';

test('percentiles interpolate between the ordered samples', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([10], 95), 10);
  assert.equal(percentile([1, 2, 3, 4, 5], 0), 1);
  assert.equal(percentile([1, 2, 3, 4, 5], 100), 5);
  assert.equal(
    percentile(
      Array.from({ length: 101 }, (_, i) => i),
      95,
    ),
    95,
  );
  assert.equal(percentile([1, Number.POSITIVE_INFINITY], 100), Number.POSITIVE_INFINITY);
  assert.equal(mean([1, 2, 6]), 3);
  assert.throws(() => median([]), RangeError);
  assert.throws(() => percentile([1], 101), RangeError);
});

test('a percentile lies within the samples and grows with p', () => {
  const samples = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), { minLength: 1 });
  fc.assert(
    fc.property(samples, fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }), (values, a, b) => {
      const [low, high] = [percentile(values, Math.min(a, b)), percentile(values, Math.max(a, b))];
      assert.ok(Math.min(...values) <= low && low <= high + 1e-9 && high <= Math.max(...values));
    }),
  );
});

test('figures are rounded to three digits, small and large ones', () => {
  assert.deepEqual([41.2345, 4123.45, 0.0123456, 0, -1.23456].map(round), [41.2, 4123, 0.0123, 0, -1.23]);
});

test('a target is missed by a figure that is not there', () => {
  assert.ok(reached({ figure: 'a', atMost: 5 }, { a: 5 }));
  assert.ok(!reached({ figure: 'a', atMost: 5 }, { a: 5.1 }));
  assert.ok(!reached({ figure: 'a', atLeast: 5 }, { a: 4 }));
  assert.ok(!reached({ figure: 'a', atMost: 5 }, { a: null }));
  assert.ok(!reached({ figure: 'a', atMost: 5 }, {}));
});
