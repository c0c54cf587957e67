import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { outage, type ProbeRecord, quantile, usualLossOf } from '../../../tools/lab/outage.ts';

const MS = 1e6;
const START = 10_000 * MS;

/** A probe every 2 ms from START on: '.' came through after 0.3 ms, 'x' was lost. */
function probes(picture: string): ProbeRecord[] {
  return [...picture].map((mark, i) => {
    const sent = START + i * 2 * MS;
    return { sent, received: mark === 'x' ? 0 : sent + 0.3 * MS };
  });
}
const at = (index: number) => START + index * 2 * MS;

test('nothing lost is no outage', () => {
  assert.deepEqual(outage(probes('..........'), at(4)), { outageMs: 0, lostMs: 0, lost: 0, runs: 0, recovered: true });
});

test('an outage lasts from the fault to the first probe that gets through after the run', () => {
  const { outageMs, lostMs, firstLossMs, runs, recovered } = outage(probes('....xxxxx.....'), at(4) - MS);
  assert.equal(outageMs, 11, 'fault 1 ms before probe 4, probe 9 gets through 10 ms after probe 4');
  assert.equal(lostMs, 10);
  assert.equal(firstLossMs, 1);
  assert.equal(runs, 1);
  assert.equal(recovered, true);
});

test('a lucky packet right after the cut does not end the outage', () => {
  const { outageMs, runs } = outage(probes('...xxx.xxxx....'), at(3));
  assert.equal(outageMs, 16);
  assert.equal(runs, 2);
});

test('a lucky packet at the very beginning does not hide it', () => {
  assert.equal(outage(probes('....xxxxxx...'), at(2)).outageMs, 16);
});

test('one or two lost probes are no outage, but lost time', () => {
  const { outageMs, lostMs, lost, runs } = outage(probes('...xx...x....'), at(3));
  assert.equal(outageMs, 0);
  assert.equal(lost, 3);
  assert.equal(lostMs, 6);
  assert.equal(runs, 0);
});

test('where some is always lost only a run that chance does not bring is an outage', () => {
  const lossy = '..x.'.repeat(100);
  const records = probes(`${lossy}xxxx${lossy}xxx${lossy}`);
  const usualLoss = usualLossOf(records, at(400) - MS);
  assert.ok(Math.abs(usualLoss - 0.25) < 0.01, `${usualLoss}`);
  assert.equal(outage(records, at(400)).runs, 2, 'three in a row, where nothing is usual');
  assert.deepEqual(outage(records, at(400), { usualLoss }).runs, 0);
  const cut = probes(`${lossy}${'x'.repeat(20)}${lossy}xxx${lossy}`);
  const { runs, outageMs, recovered } = outage(cut, at(400), { usualLoss });
  assert.deepEqual([runs, outageMs, recovered], [1, 40, true]);
  assert.equal(outage(cut.slice(0, 415), at(400), { usualLoss }).recovered, false);
  assert.equal(usualLossOf([], 0), 0);
});

test('a burst long after the repair counts: the outage ends with it', () => {
  const { outageMs, lostMs, runs, lastRunMs } = outage(probes(`...xxxx${'.'.repeat(100)}xxx...`), at(3));
  assert.equal(lastRunMs, (4 + 100) * 2, 'and when the second one began');
  assert.equal(outageMs, (4 + 100 + 3) * 2);
  assert.equal(lostMs, 14, 'time lost tells the two apart');
  assert.equal(runs, 2);
});

test('late single losses do not stretch the outage', () => {
  assert.equal(outage(probes('...xxxx....x....xx...'), at(3)).outageMs, 8);
});

test('what never recovers lasts to the end of the record', () => {
  const { outageMs, recovered } = outage(probes('...xxxxxxx'), at(3));
  assert.equal(outageMs, 14);
  assert.equal(recovered, false);
});

test('two lost at the very end are not yet an outage', () => {
  assert.equal(outage(probes('...xxxx...xx'), at(3)).recovered, true);
});

test('probes under way at the fault belong to it, earlier losses do not', () => {
  const { lost, firstLossMs } = outage(probes('xxx...xxxx....'), at(7));
  assert.equal(lost, 4);
  assert.equal(firstLossMs, -2);
});

test('what is lost after the mending is not the fault’s', () => {
  const { outageMs, lost } = outage(probes('...xxxx....xxxxx..'), at(3), { untilNs: at(10) });
  assert.equal(outageMs, 8);
  assert.equal(lost, 4);
});

test('a probe that comes seconds late counts as lost', () => {
  const records = probes('..........').map((r, i) => (i >= 3 && i < 7 ? { ...r, received: r.sent + 1500 * MS } : r));
  assert.equal(outage(records, at(3)).outageMs, 8);
  assert.equal(outage(records, at(3), { lateMs: 2000 }).outageMs, 0);
});

test('a stall of the machine is neither loss nor pace', () => {
  const records = probes('...xxxx....').map((r, i) =>
    i >= 8 ? { sent: r.sent + 70 * MS, received: r.received + 70 * MS } : r,
  );
  assert.equal(outage(records, at(3)).lostMs, 8);
});

test('without a probe after the fault there is nothing to say', () => {
  assert.throws(() => outage(probes('....'), at(100)), RangeError);
});

test('any picture: within the record, no less than its longest run, more losses never make it shorter', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('.', '.', 'x'), { minLength: 6, maxLength: 200 }),
      fc.nat(4),
      (marks, index) => {
        const picture = marks.join('');
        const result = outage(probes(picture), at(index));
        assert.ok(result.outageMs >= 0 && result.outageMs <= (picture.length - index) * 2);
        const worse = outage(probes(`${picture}xxx.`), at(index));
        assert.ok(worse.outageMs >= result.outageMs && worse.lostMs > result.lostMs);
        const longest = Math.max(0, ...(picture.slice(index).match(/x{3,}/g) ?? []).map((run) => run.length));
        assert.ok(result.outageMs >= longest * 2);
        assert.equal(result.outageMs > 0, result.runs > 0);
      },
    ),
  );
});

test('quantile takes the nearest rank', () => {
  assert.equal(quantile([5, 1, 4, 2, 3], 0.5), 3);
  assert.equal(quantile([1, 2], 0.95), 2);
  assert.equal(quantile([7], 0), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});
