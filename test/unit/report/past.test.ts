import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { TopologyEdge } from '../../../agent/mesh/mesh.ts';
import { gateways, history } from '../../../agent/report/api/past.ts';
import { answer } from '../../../agent/report/api.ts';
import { LOOK, Past } from '../../../agent/report/past.ts';
import { mismatch } from '../../../agent/report/shape.ts';
import { sources } from './fixture.ts';

const edge = (from: string, to: string, cost: number, kind: TopologyEdge['kind'] = 'link'): TopologyEdge => ({
  from,
  to,
  cost,
  kind,
});
const IV = 'BATMAN_IV' as const;

/** What was in use at a time, as whoever replays it puts it together. */
function at(past: Past, time: Nanos): Record<string, number> {
  const { ways, frames } = past.view();
  const found: Record<string, number> = {};
  for (const frame of frames) {
    if (frame.at > time) break;
    for (let i = 0; i < frame.changes.length; i += 2) {
      const { from, to } = ways[frame.changes[i]!]!;
      if (frame.changes[i + 1] === 0) delete found[`${from}${to}`];
      else found[`${from}${to}`] = frame.changes[i + 1]!;
    }
  }
  return found;
}

test('every moment can be put together again from what changed', () => {
  const past = new Past();
  past.take(
    { edges: [edge('a', 'b', 1), edge('b', 'c', 2, 'route'), edge('a', 'd', 9, 'alternative')], algorithm: IV },
    0,
  );
  past.take({ edges: [edge('a', 'b', 1.05), edge('b', 'c', 2, 'route')], algorithm: IV }, 1 * LOOK);
  past.take({ edges: [edge('b', 'c', 2, 'route')], algorithm: IV }, 2 * LOOK);
  past.take({ edges: [edge('a', 'b', 3), edge('b', 'c', 2, 'route')], algorithm: IV }, 3 * LOOK);
  assert.deepEqual(at(past, 0), { ab: 1, bc: 2 });
  assert.equal(past.view().frames.length, 3, 'what moves by five per cent has not moved');
  assert.deepEqual(at(past, 2 * LOOK), { bc: 2 });
  assert.deepEqual(at(past, 3 * LOOK), { ab: 3, bc: 2 });
});

test('what is older than an hour goes, and what was so then stays known', () => {
  const past = new Past();
  past.take({ edges: [edge('a', 'b', 1), edge('a', 'c', 1)], algorithm: IV }, 0);
  for (let n = 1; n <= 400; n++)
    past.take({ edges: [edge('a', 'b', n % 2 === 0 ? 1 : 2), edge('a', 'c', 1)], algorithm: IV }, n * LOOK);
  const { frames } = past.view();
  assert.ok(frames.length <= 242, `${frames.length}`);
  assert.ok(frames[1]!.at >= 400 * LOOK - 3600 * SECOND);
  assert.deepEqual(at(past, frames[0]!.at).ac, 1);
  assert.deepEqual(at(past, 400 * LOOK), { ab: 1, ac: 1 });
});

test('a mesh in which everything changes all the time is bounded, and other units begin anew', () => {
  const past = new Past();
  for (let n = 0; n < 90; n++)
    past.take(
      { edges: Array.from({ length: 200 }, (_, i) => edge(`${n}`, `${i}`, 1 + (n % 5))), algorithm: IV },
      n * LOOK,
    );
  const { ways, frames } = past.view();
  const numbers = frames.reduce((sum, { changes }) => sum + changes.length, 0);
  assert.ok(numbers <= 12_000 && ways.length <= 6400, `${numbers} ${ways.length}`);
  assert.equal(Object.keys(at(past, 300 * LOOK)).length, 200);
  past.take({ edges: [edge('a', 'b', 7)], algorithm: 'BATMAN_V' }, 300 * LOOK);
  assert.deepEqual([past.view().ways.length, at(past, 300 * LOOK)], [1, { ab: 7 }]);
});

test('the API tells history and gateways in their shapes', () => {
  const past = new Past();
  past.take({ edges: [edge('02:00:00:00:00:0a', '02:00:00:00:00:0b', 1)], algorithm: IV }, 4 * SECOND);
  const offer = {
    originator: '02:00:00:00:00:0c',
    router: '02:00:00:00:01:0b',
    interfaceName: 'eth0',
    best: true,
    tq: 225,
    bandwidthDown: 1000,
    bandwidthUp: 200,
  };
  const base = sources();
  const from = sources({ past: () => past.view(), mesh: () => ({ ...base.mesh(), offers: [offer] }) });
  const get = (url: string, of = from) =>
    JSON.parse(answer(of, { method: 'GET', url, body: '', caller: { name: 'test', mayChange: false } }).body);
  const told = get('/mesh/history');
  assert.equal(mismatch(history.schema, told), null);
  assert.deepEqual(told.frames, [{ ageSeconds: 6, changes: [0, 1] }]);
  assert.deepEqual(get('/mesh/history', base).frames, [], 'before there is a past');
  const offers = get('/mesh/gateways');
  assert.equal(mismatch(gateways.schema, offers), null);
  assert.deepEqual(offers.gateways[0], {
    originator: '02:00:00:00:00:0c',
    best: true,
    tq: 225,
    throughput: null,
    downKbits: 100_000,
    upKbits: 20_000,
  });
});
