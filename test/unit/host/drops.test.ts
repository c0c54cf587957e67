/** What packet sockets had no room for: added up over readings that each begin anew, and over sockets that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drops } from '../../../agent/host/drops.ts';
import type { Native } from '../../../agent/host/native.ts';

/** A shim whose sockets have dropped what is written here since they were asked last, and throw where that is null. */
function scene() {
  const dropped: (number | null)[] = [];
  const closed: number[] = [];
  const native = {
    openPacket() {
      const at = dropped.push(0) - 1;
      return {
        statistics() {
          const count = dropped[at];
          if (count == null) throw Object.assign(new Error('getsockopt failed'), { code: 'EBADF' });
          dropped[at] = 0;
          return { received: 99, dropped: count };
        },
        close: () => void closed.push(at),
      };
    },
  } as unknown as Native;
  const drops = new Drops();
  const open = (hears: 'alarms' | 'own-ogms', name: string | null) =>
    drops.open(native, { hears, interface: name }, { ethertype: 1, onFrame() {}, onError() {} });
  return { dropped, closed, drops, open };
}

test('readings add up, sockets of one kind are one figure, and what was dropped outlives its socket', () => {
  const { dropped, closed, drops, open } = scene();
  open('alarms', null);
  const tap = open('own-ogms', 'primary0');
  assert.deepEqual(drops.view(), [
    { hears: 'alarms', interface: null, frames: 0 },
    { hears: 'own-ogms', interface: 'primary0', frames: 0 },
  ]);
  dropped[0] = 3;
  drops.view();
  dropped[0] = 4;
  dropped[1] = 5;
  drops.close(tap);
  assert.deepEqual(closed, [1]);
  const again = open('own-ogms', 'primary0');
  const other = open('own-ogms', 'eth0');
  dropped[2] = 6;
  assert.deepEqual(drops.view(), [
    { hears: 'alarms', interface: null, frames: 7 },
    { hears: 'own-ogms', interface: 'primary0', frames: 11 },
    { hears: 'own-ogms', interface: 'eth0', frames: 0 },
  ]);
  drops.close(again);
  drops.close(other);
  assert.deepEqual(
    drops.view().map((row) => row.interface),
    [null, 'primary0'],
    'an interface that lost nothing and is heard no more is no row',
  );
});

test('a socket that does not answer is closed all the same, and keeps its figure', () => {
  const { dropped, closed, drops, open } = scene();
  const socket = open('alarms', null);
  dropped[0] = 2;
  drops.view();
  dropped[0] = null;
  assert.deepEqual(drops.view(), [{ hears: 'alarms', interface: null, frames: 2 }]);
  drops.close(socket);
  assert.deepEqual(closed, [0]);
  assert.deepEqual(drops.view(), [{ hears: 'alarms', interface: null, frames: 2 }]);
});
