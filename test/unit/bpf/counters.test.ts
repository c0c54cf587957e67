/** Figures out of maps and frames, who has a place in the maps, and what may leave the router. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { discreteLaplace, figuresOf, openLedger, quantile, release, roster } from '../../../agent/host/bpf/counters.ts';
import * as layout from '../../../agent/host/bpf/layout.ts';
import { profileOf } from '../../../agent/host/bpf/profiler.ts';
import { Tally } from '../../../agent/host/bpf/tally.ts';
import { elp, ogm, ogm2 } from './frames.ts';

const A = '02:00:00:00:00:0a';
const WHO = { neighbour: A, index: 3 };

/** mulberry32 */
function randomness(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('layout', () => {
  test('a fresh neighbour is read as it was written', () => {
    for (const size of [88, 104]) {
      const keys = layout.encodeKey(WHO);
      const values = layout.encodeNeighbour(5e9, 77, size);
      assert.equal(values.length, size);
      const [row] = layout.decodeNeighbours(keys, values, size);
      assert.deepEqual(
        [row!.neighbour, row!.index, row!.deadline, row!.state, row!.place, row!.last],
        [A, 3, 5e9, 'unheard', 77, 0],
      );
    }
  });

  test('frames are counted beyond what 32 bits hold, over all CPUs: a busy link has as many within weeks', () => {
    const [cpu, places] = [136, 4];
    const values = new Uint8Array(places * 2 * cpu).fill(255);
    const view = new DataView(values.buffer);
    const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
    values.fill(0, 2 * 2 * cpu, 3 * 2 * cpu);
    for (const at of [4 * cpu, 5 * cpu]) {
      view.setBigUint64(at, 1500n * 2n ** 32n, little);
      for (const [bucket, count] of [3n * 2n ** 32n, 5n].entries())
        view.setBigUint64(at + 8 + 8 * bucket, count, little);
    }
    const { frames, bytes, between } = layout.decodeCounts(values, 2, 2 * cpu);
    assert.deepEqual([frames, bytes], [2 * (3 * 2 ** 32 + 5), 3000 * 2 ** 32]);
    assert.deepEqual(between.slice(0, 3), [6 * 2 ** 32, 10, 0]);
    assert.deepEqual(layout.decodeCounts(values, 9, 2 * cpu).frames, 0, 'no such place');
  });

  test('bytes that are too few or of other records give nothing, and throw nothing', () => {
    for (let length = 0; length < 200; length++) {
      const bytes = new Uint8Array(length).fill(255);
      assert.equal(layout.decodeStamp(bytes) === null, length !== 64);
      layout.decodeEvent(bytes);
      layout.decodeNeighbours(bytes, bytes, 104);
      layout.decodeCounts(bytes, 0, 136);
      layout.decodeNeighbours(bytes, bytes, 8);
      layout.decodeTotals(bytes);
      layout.decodeStrangers(bytes);
    }
    assert.equal(layout.decodeEvent(new Uint8Array(32)), null, 'unheard is no event');
  });
});

describe('figures', () => {
  const tally = (...frames: readonly Buffer[]) => {
    const of = new Tally();
    of.add(WHO, 0);
    for (const [i, frame] of frames.entries()) of.take(frame, 3, 1e9 + i * 1e9);
    return of.rows()[0]!;
  };

  test('gaps, duplicates, a restart, and a number that wraps', () => {
    const row = tally(...[-2, -1, 2, 2, 1, 3, 5000, 5001].map((n) => ogm(A, n)));
    assert.deepEqual(row.ogm, { newest: 5001, got: 6, lost: 2, late: 2 });
    assert.equal(row.restarts, 1);
    assert.equal(row.frames, 8);
    assert.deepEqual(tally(ogm(A, 5, '02:00:00:00:00:0b')).ogm.got, 0, "another's");
  });

  test('of aggregated OGM2s the one that nobody forwarded', () => {
    const row = tally(ogm2(A, [9, 49], [100, 50]), ogm2(A, [103, 50], [1, 3]), ogm2(A, [7, 49]));
    assert.deepEqual([row.ogm2.got, row.ogm2.lost], [2, 2]);
    tally(ogm2(A, [9, 49]).subarray(0, 40));
    assert.equal(tally(ogm2(A, [9, 49], [100, 50]).fill(14, 35, 36)).ogm2.got, 0, 'behind it another version');
  });

  test('ELP says more than OGMs', () => {
    const figures = figuresOf(tally(ogm(A, 1), ogm(A, 9), elp(A, 1), elp(A, 2)), 'wlan0', 5e9);
    assert.deepEqual([figures.received, figures.lost, figures.lossOnAir], [2, 0, 0]);
    assert.equal(figures.lastSeenNs, 1e9);
    const none = figuresOf(tally(), 'wlan0', 5e9);
    assert.deepEqual([none.lossOnAir, none.lastSeenNs, none.medianGapNs], [null, null, null]);
  });

  test('frames of strangers, other interfaces and other lengths count nothing', () => {
    const of = new Tally();
    of.add(WHO, 0);
    assert.equal(of.take(ogm('02:00:00:00:00:99', 1), 3, 1), null);
    assert.equal(of.take(ogm(A, 1), 4, 1), null);
    assert.equal(of.take(ogm(A, 1).subarray(0, 20), 3, 1), null);
    assert.deepEqual(of.take(ogm(A, 1), 3, 1), WHO);
    assert.equal(of.take(ogm(A, 2), 3, 2), null, 'heard once');
    for (let i = 0; i < 400; i++) of.add({ neighbour: A, index: 100 + i }, 0);
    assert.equal(of.rows().length, layout.NEIGHBOURS_MOST);
  });

  test('the quantile of a histogram is the upper bound of its bucket', () => {
    assert.equal(quantile([1, 0, 0], 8, 0.5), 8);
    assert.equal(quantile([1, 2, 1], 8, 0.5), 16);
    assert.equal(quantile([0, 0], 8, 0.5), null);
  });

  test('a profile is the difference of two readings', () => {
    const before = [{ name: 'entry', runs: 10, ns: 1000 }];
    const after = [
      { name: 'entry', runs: 30, ns: 3000 },
      { name: 'new', runs: 1, ns: 1 },
    ];
    assert.deepEqual(profileOf(before, after, 2), [
      { name: 'entry', runs: 20, nsARun: 100, runsASecond: 10, share: 1e-6 },
    ]);
    assert.equal(profileOf(after, after, 1)[0]!.nsARun, 0);
  });
});

describe('the roster', () => {
  const candidate = (i: number, lastSeenMs = 0) => ({
    neighbour: `02:00:00:00:00:${i.toString(16).padStart(2, '0')}`,
    index: 1,
    lastSeenMs,
    vouched: false,
  });

  test('who is there stays; the newest word first among newcomers; who is gone makes room', () => {
    const [a, b, c, d] = [candidate(1), candidate(2, 900), candidate(3, 5), candidate(4, 50)];
    assert.deepEqual(
      roster([a], [a, b, c, d], 3).add.map(({ neighbour }) => neighbour),
      [c.neighbour, d.neighbour],
    );
    assert.deepEqual(roster([a, b], [c, d], 2), {
      add: [
        { neighbour: c.neighbour, index: 1 },
        { neighbour: d.neighbour, index: 1 },
      ],
      remove: [a, b],
    });
    assert.deepEqual(roster([a, b], [a, b, c, d], 2), { add: [], remove: [] });
    assert.deepEqual(roster([], [], 2), { add: [], remove: [] });
  });

  test('invented neighbours that were there first give way to those who know the mesh key, and to no others', () => {
    const invented = Array.from({ length: 4 }, (_, i) => candidate(i));
    const [real, other] = [{ ...candidate(10, 800), vouched: true }, candidate(11)];
    const names = ({ add, remove }: ReturnType<typeof roster>) =>
      [add, remove].map((list) => list.map(({ neighbour }) => Number.parseInt(neighbour.slice(-2), 16)));
    assert.deepEqual(names(roster(invented, [...invented, other, real], 4)), [[10], [3]]);
    const settled = [...invented.slice(0, 3), real];
    assert.deepEqual(names(roster(settled, [...invented, other, real], 4)), [[], []], 'and stays');
    const many = Array.from({ length: 6 }, (_, i) => ({ ...candidate(20 + i, i), vouched: true }));
    assert.deepEqual(names(roster(settled, [...settled, ...many], 4)), [
      [20, 21, 22],
      [0, 1, 2],
    ]);
    assert.deepEqual(names(roster(many.slice(0, 4), many, 4)), [[], []]);
    assert.deepEqual(names(roster(invented, [...invented.slice(1), other, real], 4)), [[10], [0]]);
  });
});

describe('what is shared', () => {
  const totals = (opened: number): layout.Totals => ({
    ...layout.decodeTotals(new Uint8Array(176)),
    opened,
    established: opened,
  });
  const HOUR = 3600 * SECOND;

  test('noise has the mean and spread of a discrete Laplace distribution', () => {
    const uniform = randomness(1);
    for (const epsilon of [0.05, 0.5, 2]) {
      const n = 20_000;
      const draws = Array.from({ length: n }, () => discreteLaplace(epsilon, uniform));
      const p = Math.exp(-epsilon);
      const variance = (2 * p) / (1 - p) ** 2;
      const mean = draws.reduce((sum, k) => sum + k, 0) / n;
      const spread = draws.reduce((sum, k) => sum + k * k, 0) / n;
      assert.ok(Math.abs(mean) < 4 * Math.sqrt(variance / n), `${mean}`);
      assert.ok(Math.abs(spread / variance - 1) < 0.1, `${spread} ${variance}`);
      assert.ok(draws.every(Number.isInteger));
      const [zero, one] = [0, 1].map((k) => draws.filter((draw) => draw === k).length) as [number, number];
      // One connection more or less changes no probability by more than exp(epsilon).
      assert.ok(zero / one < Math.exp(epsilon) * 1.15);
    }
  });

  test('once an hour, never less than before, and no more than the day has', () => {
    let ledger = openLedger(totals(5), 0);
    assert.equal(release(ledger, totals(50), HOUR - 1, 1, Math.random), ledger, 'not yet');
    assert.equal(release(ledger, totals(50), HOUR, 0, Math.random), ledger, 'nothing is to be shared');
    const uniform = randomness(2);
    let releases = 0;
    let before = 0;
    for (let hour = 1; hour <= 24; hour++)
      for (let again = 0; again < 3; again++) {
        const next = release(ledger, totals(5 + hour * 1000), hour * HOUR + again, 1, uniform);
        if (next !== ledger) releases++;
        assert.ok(next.shared.opened >= before);
        before = next.shared.opened;
        ledger = next;
      }
    assert.equal(releases, 24);
    assert.ok(ledger.spent <= 1 + 1e-9);
    // 24 draws of scale 48 around 24000 connections.
    assert.ok(Math.abs(ledger.shared.opened - 24_000) < 3000, `${ledger.shared.opened}`);
    assert.notEqual(ledger.shared.opened, 24_000);
  });

  test('the noise is as wide as one connection, opened and established, asks for, and no wider', () => {
    const uniform = randomness(3);
    const n = 20_000;
    let spread = 0;
    for (let i = 0; i < n; i++) {
      const { noised } = release(openLedger(totals(0), 0), totals(0), HOUR, 24, uniform);
      spread += (noised.opened ** 2 + noised.established ** 2) / 2 / n;
    }
    // Epsilon 1 a release, halves of it for either figure.
    const p = Math.exp(-1 / 2);
    assert.ok(Math.abs(spread / ((2 * p) / (1 - p) ** 2) - 1) < 0.1, `${spread}`);
  });

  test('an exhausted budget shares nothing until the next day', () => {
    const spent = { ...openLedger(totals(0), 0), spent: 1 };
    assert.equal(release(spent, totals(9), HOUR, 1, Math.random), spent);
    assert.notEqual(release(spent, totals(9), 24 * HOUR, 1, Math.random), spent);
  });
});
