import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log } from '../../../agent/core/log.ts';
import { openAir } from '../../../agent/host/air.ts';
import { Drops } from '../../../agent/host/drops.ts';
import type { Native } from '../../../agent/host/native.ts';

test('more frames than the shim takes in one call all leave, in order, and what fails is named', () => {
  const sent: number[] = [];
  const lines: string[] = [];
  const native = {
    openPacket: () => ({
      sendMany(frames: readonly (readonly [Uint8Array, number])[]) {
        // As native/packet.c: MANY_MAX.
        if (frames.length > 4096) throw new TypeError('sendMany takes an array of at most 4096');
        for (const [, index] of frames) sent.push(index);
        return frames.flatMap(([, to], index) => (to === 4500 ? [{ index, code: 'ENXIO' }] : []));
      },
      statistics: () => ({ received: 0, dropped: 0 }),
      close() {},
    }),
  } as unknown as Native;
  const log = new Log('debug', (line) => void lines.push(line));
  const air = openAir({ native, log, drops: new Drops(), onFrame() {}, onOwnOgm() {} });
  const frames = Array.from({ length: 5000 }, (_, index) => ({ interface: index, frame: new Uint8Array(60) }));
  air.send(frames);
  air.send([]);
  air.close();
  assert.deepEqual(
    sent,
    frames.map((one) => one.interface),
  );
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /interface=4500 errno="ENXIO"/);
});
