import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MS } from '../../../agent/core/time.ts';
import {
  BETTER_AFTER,
  classify,
  Echoes,
  lossOfTq,
  MARGIN,
  type Reading,
  SteadyQuality,
  WORSE_AFTER,
} from '../../../agent/mesh/quality.ts';

const NOTHING: Reading = { loss: null, latencyNs: null, throughput: null };
const reading = (loss: number | null, latencyMs: number | null, throughput: number | null): Reading => ({
  loss,
  latencyNs: latencyMs === null ? null : latencyMs * MS,
  throughput,
});

test('classes follow the thresholds, and what is unknown does not count', () => {
  const table: [number | null, number | null, number | null, string | null][] = [
    [0.0005, 5, 150_000, 'EXCELLENT'],
    [0, null, null, 'EXCELLENT'],
    [0.001, 5, 150_000, 'GOOD'],
    [0.0005, 10, 150_000, 'GOOD'],
    [0.0005, 5, 100_000, 'GOOD'],
    [0.01, 5, 150_000, 'FAIR'],
    [null, 50, null, 'FAIR'],
    [null, null, 50_000, 'FAIR'],
    [0.03, 5, null, 'POOR'],
    [null, 150, 5_000, 'POOR'],
    [0.05, 1, 200_000, 'BAD'],
    [null, 200, null, 'BAD'],
    [null, null, 1_000, 'BAD'],
    [null, null, null, null],
  ];
  for (const [loss, latency, throughput, expected] of table)
    assert.equal(classify(reading(loss, latency, throughput)), expected, `${loss} ${latency} ${throughput}`);
});

test('clearly worse falls at once, a little worse after some readings, better only when clearly so', () => {
  const link = new SteadyQuality();
  assert.equal(link.take(NOTHING), null);
  assert.equal(link.take(reading(0.005, null, null)), 'GOOD');
  assert.equal(link.take(reading(0.02, null, null)), 'FAIR');
  for (let i = 0; i < 10; i++) assert.equal(link.take(reading(0.009, null, null)), 'FAIR', 'within the margin');
  for (let i = 1; i < BETTER_AFTER; i++) assert.equal(link.take(reading(0.005, null, null)), 'FAIR');
  assert.equal(link.take(reading(0.005, null, null)), 'GOOD');
  for (let i = 1; i < WORSE_AFTER; i++) assert.equal(link.take(reading(0.0105, null, null)), 'GOOD');
  assert.equal(link.take(reading(0.0105, null, null)), 'FAIR');
  assert.equal(link.take(NOTHING), 'FAIR', 'no news is no change');
  link.force('BAD');
  assert.equal(link.quality, 'BAD');
});

test('a link that wanders about a limit by less than the margin changes at most once', () => {
  const limits = fc.constantFrom(
    ...[0.001, 0.01, 0.03, 0.05].map((limit) => (share: number) => reading(limit * share, null, null)),
    ...[10, 50, 100, 200].map((limit) => (share: number) => reading(null, limit * share, null)),
    ...[100_000, 50_000, 10_000, 1_000].map((limit) => (share: number) => reading(null, null, limit / share)),
  );
  const shares = fc.array(fc.double({ min: 1 - MARGIN + 0.001, max: 1 + MARGIN - 0.001, noNaN: true }), {
    minLength: 2,
    maxLength: 200,
  });
  fc.assert(
    fc.property(limits, shares, (at, wandering) => {
      const link = new SteadyQuality();
      const seen = wandering.map((share) => link.take(at(share)));
      const changes = seen.filter((quality, i) => i > 0 && quality !== seen[i - 1]).length;
      assert.ok(changes <= 1, `${changes} changes`);
    }),
  );
});

test('a steady figure settles on its own class unless it is within the margin', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 0.2, noNaN: true }),
      fc.double({ min: 0, max: 0.2, noNaN: true }),
      (before, after) => {
        const link = new SteadyQuality();
        link.take(reading(before, null, null));
        for (let i = 0; i < WORSE_AFTER + BETTER_AFTER; i++) link.take(reading(after, null, null));
        const near = [0.001, 0.01, 0.03, 0.05].some((limit) => Math.abs(after - limit) <= limit * MARGIN * 1.001);
        if (!near) assert.equal(link.quality, classify(reading(after, null, null)));
      },
    ),
  );
});

test('TQ and echoes become loss and latency', () => {
  assert.equal(lossOfTq(255), 0);
  assert.equal(lossOfTq(0), 1);
  assert.ok(Math.abs(lossOfTq(253) - 2 / 255) < 1e-12);

  const echoes = new Echoes();
  assert.equal(echoes.loss, null);
  for (let i = 0; i < 100; i++) echoes.answered(10 * MS);
  assert.equal(echoes.latencyNs, 5 * MS, 'half of the round trip');
  assert.equal(echoes.loss, 0);
  for (let i = 0; i < 19; i++) echoes.lost();
  assert.ok(Math.abs(echoes.loss! - 0.1) < 1e-9, '81 of 100 survive both ways: 90 % each');
  for (let i = 0; i < 100; i++) echoes.answered(10 * MS);
  assert.equal(echoes.loss, 0, 'the window moves on');
});
