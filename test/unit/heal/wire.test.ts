import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { macFromBytes } from '../../../agent/core/ids.ts';
import type { Alarm } from '../../../agent/core/words.ts';
import { continueOgm, parseOgms, seqnoAhead, withdrawOgm } from '../../../agent/heal/ogm.ts';
import { decodeFrame, encodeAlarm, encodeEcho, MOST_AFFECTED, macKey, peekAlarm } from '../../../agent/heal/wire.ts';

const secret = new Uint8Array(32).fill(7);
const key = macKey(secret);
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macFromBytes(bytes));
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const alarm: fc.Arbitrary<Alarm> = fc.record(
  {
    sender: mac,
    epoch: u32,
    counter: u32,
    kind: fc.constantFrom('link-down', 'neighbour-lost', 'interface-gone', 'kick'),
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

test('the tag is HMAC-SHA-256, hop count as zero, first 16 bytes', () => {
  fc.assert(
    fc.property(alarm, (word) => {
      const frame = Buffer.from(encodeAlarm(word, '02:00:00:00:00:01', key));
      const payload = Buffer.from(frame.subarray(14, frame.length - 16));
      payload[4] = 0;
      const expected = createHmac('sha256', secret).update(payload).digest().subarray(0, 16);
      assert.deepEqual(frame.subarray(frame.length - 16), expected);
    }),
  );
});

test('the largest alarm fits an Ethernet frame; more than it holds names nobody', () => {
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
  assert.deepEqual(over.kind === 'alarm' && over.alarm.affected, []);
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
  const types = { BATMAN_IV: [0x00, 24, 22], BATMAN_V: [0x04, 20, 14] } as const;
  fc.assert(
    fc.property(
      fc.constantFrom('BATMAN_IV' as const, 'BATMAN_V' as const),
      fc.uint8Array({ maxLength: 60 }),
      fc.uint8Array({ maxLength: 60 }),
      u32,
      mac,
      (algorithm, tvlvs, behind, seqno, source) => {
        const [type, header, tvlvLength] = types[algorithm];
        const frame = new Uint8Array(14 + header + tvlvs.length + behind.length);
        const view = new DataView(frame.buffer);
        view.setUint16(12, 0x4305);
        frame.set([type, 15, 50, 0], 14);
        view.setUint32(18, 41);
        view.setUint16(14 + tvlvLength, tvlvs.length);
        frame.set(tvlvs, 14 + header);
        frame.set(behind, 14 + header + tvlvs.length);
        const ogm = parseOgms(frame, algorithm)[0]!;
        assert.equal(ogm.seqno, 41);
        const next = parseOgms(continueOgm(ogm, seqno, source), algorithm)[0]!;
        assert.equal(next.seqno, seqno);
        assert.equal(next.packet.length, header + tvlvs.length);
        assert.deepEqual([...next.packet.subarray(8)], [...ogm.packet.subarray(8)]);
        const gone = parseOgms(withdrawOgm(ogm, source), algorithm)[0]!;
        assert.deepEqual([gone.seqno, gone.originator, gone.packet.length], [41, ogm.originator, ogm.packet.length]);
        const at = algorithm === 'BATMAN_IV' ? [21] : [16, 17, 18, 19];
        const changed = [...gone.packet.keys()].filter((i) => gone.packet[i] !== ogm.packet[i]);
        assert.ok(
          changed.every((i) => at.includes(i)),
          'nothing but what it is worth',
        );
      },
    ),
  );
});

test('bytes from the wire that are no OGM of ours are no OGM', () => {
  for (const algorithm of ['BATMAN_IV', 'BATMAN_V'] as const) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseOgms(bytes, algorithm)),
      { numRuns: 1000 },
    );
  }
});

test('sequence numbers wrap', () => {
  assert.equal(seqnoAhead(5, 3), 2);
  assert.equal(seqnoAhead(2, 0xffff_ffff), 3);
  assert.equal(seqnoAhead(0xffff_ffff, 2), -3);
});
