/** Frames on time as the host has them: what is handed to the shim, and what comes back as events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { WorldEvent } from '../../../agent/core/event.ts';
import { Log } from '../../../agent/core/log.ts';
import { openBeat } from '../../../agent/host/beat.ts';
import { Drops } from '../../../agent/host/drops.ts';
import type { Native, PacketOptions, TransmitterOptions } from '../../../agent/host/native.ts';

const FRAME = 'ffffffffffff02000000000a88b5783001';
const effect = (id: string): Extract<Effect, { type: 'transmit-at' }> => {
  return { type: 'transmit-at', id, interface: 7, frame: FRAME, at: 1000, latest: 2000 };
};

/** A shim that writes down what it is handed. */
function scene(ethertype: number, stampOf?: Parameters<typeof openBeat>[0]['stampOf']) {
  const sent: unknown[] = [];
  const events: WorldEvent[] = [];
  const closed: string[] = [];
  let transmitter: TransmitterOptions | undefined;
  let packet: PacketOptions | undefined;
  const native = {
    openTransmitter(options: TransmitterOptions) {
      transmitter = options;
      return {
        realtime: true,
        send(frame: Uint8Array, index: number, at: number, latest: number) {
          if (sent.length === 2) throw Object.assign(new Error('send failed'), { code: 'ENOBUFS' });
          return sent.push([Buffer.from(frame).toString('hex'), index, at, latest]);
        },
        close: () => void closed.push('transmitter'),
      };
    },
    openPacket(options: PacketOptions) {
      packet = options;
      return { statistics: () => ({ received: 0, dropped: 0 }), close: () => void closed.push('packet') };
    },
  } as unknown as Native;
  const feed = (event: WorldEvent) => void events.push(event);
  const log = new Log('error', () => {});
  const beat = openBeat({ native, log, drops: new Drops(), ethertype, feed, ...(stampOf && { stampOf }) });
  return { beat, sent, events, closed, transmitter: transmitter!, packet: () => packet };
}

test('what left, what failed and what could not be taken come back under their names', () => {
  const { beat, sent, events, transmitter } = scene(0x88b5);
  for (const id of ['a', 'b', 'c']) beat.transmit(effect(id));
  assert.deepEqual(sent[0], [FRAME, 7, 1000, 2000]);
  transmitter.onFailed(2, 2100, 'ETIME');
  transmitter.onSent(1, 1005, true);
  transmitter.onSent(1, 1005, true);
  transmitter.onSent(99, 1005, true);
  assert.deepEqual(events, [
    { type: 'transmitted', id: 'c', at: 1000, stamped: false, error: 'ENOBUFS' },
    { type: 'transmitted', id: 'b', at: 2100, stamped: false, error: 'ETIME' },
    { type: 'transmitted', id: 'a', at: 1005, stamped: true, error: null },
  ]);
});

test('on the ethertype of the alarms their socket serves, on another one its own', () => {
  const shared = scene(0x88b5);
  shared.beat.close();
  assert.equal(shared.packet(), undefined);
  assert.deepEqual(shared.closed, ['transmitter']);
  const own = scene(0x88b6);
  const options = own.packet()!;
  assert.deepEqual([options.ethertype, options.timestamps], [0x88b6, true]);
  options.onFrame(Buffer.from(FRAME, 'hex'), 7, 2, 12345);
  assert.deepEqual(own.events, [{ type: 'frame', interface: 7, frame: FRAME, at: 12345 }]);
  const better = scene(0x88b6, (index, frame, at) => at - index - frame.length);
  better.packet()!.onFrame(Buffer.from(FRAME, 'hex'), 7, 2, 12345);
  assert.equal((better.events[0] as { at?: number }).at, 12345 - 7 - FRAME.length / 2);
  own.beat.close();
  assert.deepEqual(own.closed, ['transmitter', 'packet']);
});

test('where the beacons cannot be heard, nothing of their transmitter stays', () => {
  const closed: string[] = [];
  const native = {
    openTransmitter: () => ({ realtime: true, send: () => 1, close: () => void closed.push('transmitter') }),
    openPacket: () => {
      throw Object.assign(new Error('packet socket: EMFILE'), { code: 'EMFILE' });
    },
  } as unknown as Native;
  const log = new Log('error', () => {});
  const options = { native, log, drops: new Drops(), ethertype: 0x88b6, feed: () => {} };
  assert.throws(() => openBeat(options), { code: 'EMFILE' });
  assert.deepEqual(closed, ['transmitter']);
});
