import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorldEvent } from '../../../agent/core/event.ts';
import { Known } from '../../../agent/record/known.ts';
import type { Learned } from '../../../agent/record/turns.ts';
import { linkOf, SETTINGS } from '../../../tools/bench/fixture.ts';

const link = (index: number, carrier = true): WorldEvent => {
  return { type: 'link', link: linkOf({ index, name: `eth${index}`, mac: '' }, { carrier }), cause: 'event' };
};
const learn = (key: string, value: string | null): Learned => ({ type: 'remember', kind: 'repair', key, value });

test('a keyframe tells the newest of each, in the order of a start', () => {
  const known = new Known();
  assert.deepEqual(known.keyframe(5), []);
  const memories = [
    { kind: 'repair', key: 'a', value: '1' },
    { kind: 'repair', key: 'b', value: '1' },
  ] as const;
  known.take({ event: { type: 'started', node: 'r', epoch: 1, marks: [], memories } });
  for (const event of [link(1), link(2), link(1, false)]) known.take({ event });
  known.take({ event: { type: 'settings', settings: SETTINGS } });
  known.take({ event: { type: 'mode-asked', by: 'x', mode: 'observe' } });
  for (const interfaces of [['eth1'], ['eth1', 'bat0']]) known.take({ event: { type: 'declared', interfaces } });
  known.take({ event: { type: 'tick' }, learned: [learn('a', '2'), learn('b', null), learn('c', '3')] });
  known.take({ event: { type: 'link-gone', index: 2, name: 'eth2' } });
  const keyframe = known.keyframe(7);
  assert.ok(keyframe.every(([now]) => now === 7));
  const events = keyframe.map(([, event]) => event);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['settings', 'link', 'started', 'mode-asked', 'declared'],
  );
  assert.deepEqual(events[4], { type: 'declared', interfaces: ['eth1', 'bat0'] });
  assert.ok(events[1]!.type === 'link' && events[1]!.cause === 'resync' && !events[1]!.link.carrier);
  assert.deepEqual(events[2]!.type === 'started' && events[2]!.memories, [
    { kind: 'repair', key: 'a', value: '2' },
    { kind: 'repair', key: 'c', value: '3' },
  ]);
  // The file was read again: what a person asked for is over.
  known.take({ event: { type: 'settings', settings: SETTINGS } });
  assert.ok(known.keyframe(8).every(([, event]) => event.type !== 'mode-asked'));
});
