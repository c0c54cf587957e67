import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { macFromBytes } from '../../../agent/core/ids.ts';
import type { Alarm } from '../../../agent/core/words.ts';
import { continueOgm, parseOgms, seqnoAhead, tvlvsOf, withdrawOgm } from '../../../agent/heal/ogm.ts';
import {
  decodeFrame,
  encodeAlarm,
  encodeEcho,
  fromInterface,
  MOST_AFFECTED,
  macKey,
  OF_WAYS,
  peekAlarm,
} from '../../../agent/heal/wire.ts';

const secret = new Uint8Array(32).fill(7);
const key = macKey(secret);
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macFromBytes(bytes));
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const alarm: fc.Arbitrary<Alarm> = fc.record(
  {
    sender: mac,
    epoch: u32,
    counter: u32,
    kind: fc.constantFrom('link-down', 'neighbour-lost', 'interface-gone', 'kick', 'way-lost', 'way-asked'),
    near: mac,
    far: mac,
    affected: fc.array(mac, { maxLength: MOST_AFFECTED }),
    hops: fc.integer({ min: 0, max: 255 }),
  },
  { noNullPrototype: true },
);

/** Throws nothing, or an E_FRAME that names a field. */
function refusalOf(frame: Uint8Array): string | null {
  try {
    decodeFrame(frame, key);
    return null;
  } catch (thrown) {
    assert.ok(thrown instanceof AgentError, String(thrown));
    assert.equal(thrown.code, 'E_FRAME');
    return String(thrown.detail.field);
  }
}

test('an alarm comes back as it was, with Ethernet padding behind it or not', () => {
  fc.assert(
    fc.property(alarm, mac, fc.nat(40), (word, source, padding) => {
      const frame = encodeAlarm(word, source, key);
      const padded = new Uint8Array(frame.length + padding);
      padded.set(frame);
      const read = decodeFrame(padded, key);
      assert.deepEqual(read, { kind: 'alarm', alarm: word, source });
      const { sender, epoch, counter } = word;
      assert.deepEqual(peekAlarm(padded), { sender, epoch, counter });
    }),
  );
});

test('the tag is HMAC-SHA-256, hop count as zero, first 16 bytes; of words of ways the addresses too', () => {
  fc.assert(
    fc.property(alarm, (word) => {
      const frame = Buffer.from(encodeAlarm(word, '02:00:00:00:00:01', key));
      const payload = Buffer.from(frame.subarray(14, frame.length - 16));
      payload[4] = 0;
      const addresses = frame.subarray(0, OF_WAYS.has(word.kind) ? 12 : 0);
      const expected = createHmac('sha256', secret).update(payload).update(addresses).digest().subarray(0, 16);
      assert.deepEqual(frame.subarray(frame.length - 16), expected);
    }),
  );
});

test('the largest alarm fits an Ethernet frame; of more than it holds it names as many as fit', () => {
  const word = {
    sender: '02:00:00:00:00:01',
    epoch: 1,
    counter: 1,
    kind: 'kick',
    near: '02:00:00:00:00:01',
    far: '02:00:00:00:00:01',
    hops: 8,
  } as const;
  const full = encodeAlarm({ ...word, affected: new Array<string>(MOST_AFFECTED).fill(word.near) }, word.near, key);
  assert.ok(full.length <= 1514, `${full.length} bytes`);
  const over = decodeFrame(
    encodeAlarm({ ...word, affected: new Array<string>(MOST_AFFECTED + 1).fill(word.near) }, word.near, key),
    key,
  );
  assert.equal(over.kind === 'alarm' && over.alarm.affected.length, MOST_AFFECTED);
});

test('an echo comes back as it was', () => {
  fc.assert(
    fc.property(mac, mac, mac, u32, u32, fc.boolean(), (asker, to, source, epoch, counter, reply) => {
      const echo = { asker, epoch, counter, reply };
      assert.deepEqual(decodeFrame(encodeEcho(echo, to, source, key), key), { kind: 'echo', echo, source });
    }),
  );
});

test('every single changed byte behind the addresses is noticed, but for the hop count', () => {
  fc.assert(
    fc.property(alarm, fc.nat(), fc.integer({ min: 1, max: 255 }), (word, at, change) => {
      const frame = encodeAlarm(word, '02:00:00:00:00:01', key);
      const index = 12 + (at % (frame.length - 12));
      frame[index]! ^= change;
      if (index === 18) assert.equal(refusalOf(frame), null, 'a relay changes the hop count');
      else assert.notEqual(refusalOf(frame), null, `byte ${index}`);
    }),
  );
});

test('from another interface only what is of no interface', () => {
  fc.assert(
    fc.property(alarm, mac, (word, other) => {
      fc.pre(other !== '02:00:00:00:00:01');
      const moved = fromInterface(encodeAlarm(word, '02:00:00:00:00:01', key), other);
      assert.equal(refusalOf(moved), OF_WAYS.has(word.kind) ? 'tag' : null);
    }),
  );
});

test('random and truncated bytes: refused by name, never a crash', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1600 }), (bytes) => void refusalOf(bytes)),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(alarm, fc.nat(), (word, length) => {
      const frame = encodeAlarm(word, '02:00:00:00:00:01', key);
      assert.notEqual(refusalOf(frame.subarray(0, length % frame.length)), null);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void peekAlarm(bytes)));
});

test('an OGM goes on with another number and source, the rest as it was; what is aggregated behind it is left out', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.uint8Array({ maxLength: 60 }),
      u32,
      mac,
      (tvlvs, behind, seqno, source) => {
        const frame = new Uint8Array(14 + 24 + tvlvs.length + behind.length);
        const view = new DataView(frame.buffer);
        view.setUint16(12, 0x4305);
        frame.set([0, 15, 50, 0], 14);
        view.setUint32(18, 41);
        view.setUint16(14 + 22, tvlvs.length);
        frame.set(tvlvs, 14 + 24);
        frame.set(behind, 14 + 24 + tvlvs.length);
        const ogm = parseOgms(frame)[0]!;
        assert.deepEqual([ogm.seqno, ogm.continued], [41, false]);
        const hung = [...tvlvsOf(ogm).values()].map((value) => 4 + value.length);
        assert.ok(
          hung.reduce((sum, length) => sum + length, 0) <= tvlvs.length,
          'a length that lies reaches no further',
        );
        const next = parseOgms(continueOgm(ogm, seqno, source))[0]!;
        assert.deepEqual([next.seqno, next.continued], [seqno, true]);
        assert.equal(next.packet.length, 24 + tvlvs.length);
        assert.deepEqual(changed(ogm.packet, next.packet.with(4, 0).with(5, 0).with(6, 0).with(7, 41)), [20]);
        const gone = withdrawOgm(ogm, source);
        assert.deepEqual(changed(ogm.packet, gone.subarray(14)), [20, 21], 'the mark, and what it is worth');
        assert.deepEqual(parseOgms(gone), [], 'nobody learns a route from it');
      },
    ),
  );
});

function changed(before: Uint8Array, after: Uint8Array): number[] {
  assert.equal(after.length, before.length);
  return [...after.keys()].filter((i) => after[i] !== before[i]);
}

test('bytes from the wire that are no OGM of ours are no OGM', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseOgms(bytes)),
    { numRuns: 1000 },
  );
});

test('sequence numbers wrap', () => {
  assert.equal(seqnoAhead(5, 3), 2);
  assert.equal(seqnoAhead(2, 0xffff_ffff), 3);
  assert.equal(seqnoAhead(0xffff_ffff, 2), -3);
});
