import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Beacon,
  beaconKey,
  decodeFrame,
  encodeBeacon,
  encodeProbe,
  LONGEST_BEACON,
  MOST_REPORTED,
  MOST_SLOTS,
  type Report,
  UNKNOWN_BOUND,
} from '../../../agent/beacon/frame.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import { isBeacon } from '../../../agent/heal/wire.ts';
import { seeded } from '../../../tools/bench/seeded.ts';

const KEY = beaconKey('5e'.repeat(32));
const SOURCE = '02:00:00:00:01:0a';
const ETHERTYPE = 0x88b5;
/** One frame a line, as hex: good ones of each kind and what the fuzzer began with. */
const CORPUS = readFileSync(join(import.meta.dirname, '../../data/beacon/corpus.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map(fromHex);

const place = fc.integer({ min: 0, max: 3 }).chain((power) =>
  fc.record({
    slot: fc.integer({ min: 0, max: MOST_SLOTS - 1 }),
    stride: fc.constant(1 << power),
    phase: fc.integer({ min: 0, max: (1 << power) - 1 }),
  }),
);
const mac = fc
  .uint8Array({ minLength: 5, maxLength: 5 })
  .map((bytes) => `02:${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`);
const u32 = fc.nat({ max: 0xffff_ffff });
const PLANNED = 1e15;
const report: fc.Arbitrary<Report> = fc
  .tuple(place, u32, u32, fc.option(fc.nat({ max: 0xffff_fffe })), fc.nat(255), fc.nat(255))
  .map(([where, name, seq, ago, age, heard]) => ({
    ...where,
    name,
    seq,
    at: ago === null ? null : PLANNED - ago * 16,
    age,
    heard: heard / 255,
  }));
const beacon: fc.Arbitrary<Beacon> = fc
  .tuple(
    place,
    mac,
    mac,
    fc.tuple(u32, u32, u32, u32, u32),
    fc.record({ next: fc.nat(255), depth: fc.nat(255), bound: u32, partial: fc.boolean(), sentAt: fc.nat(2 ** 50) }),
    fc.array(report, { maxLength: MOST_REPORTED }),
  )
  .map(([where, node, root, [epoch, seq, superframe, rootSeq, sentSeq], { sentAt, ...rest }, reports]) => ({
    ...where,
    ...rest,
    node,
    root,
    epoch,
    seq,
    superframe,
    rootSeq,
    planned: PLANNED,
    sent: { seq: sentSeq, at: sentAt },
    reports,
  }));

test('a beacon is read as it was written, with padding behind it or without', () => {
  fc.assert(
    fc.property(beacon, fc.nat(60), (word, padding) => {
      const frame = encodeBeacon(word, SOURCE, ETHERTYPE, KEY);
      assert.ok(frame.length <= LONGEST_BEACON);
      assert.ok(isBeacon(frame), 'the alarms leave it alone');
      const padded = Buffer.concat([frame, Buffer.alloc(padding)]);
      assert.deepEqual(decodeFrame(padded, KEY), { kind: 'beacon', source: SOURCE, beacon: word });
    }),
  );
});

test('a probe is read as it was written', () => {
  fc.assert(
    fc.property(mac, u32, u32, fc.boolean(), (asker, epoch, counter, answer) => {
      const probe = { asker, epoch, counter };
      const frame = encodeProbe(probe, answer, '02:00:00:00:00:0b', SOURCE, ETHERTYPE, KEY);
      assert.deepEqual(decodeFrame(frame, KEY), { kind: answer ? 'answer' : 'probe', source: SOURCE, probe });
    }),
  );
});

test('one bit changed anywhere but in destination, ethertype and padding is refused', () => {
  fc.assert(
    fc.property(beacon, fc.nat(), (word, where) => {
      const frame = Buffer.from(encodeBeacon(word, SOURCE, ETHERTYPE, KEY));
      const bits = [...Array(frame.length * 8).keys()].filter((bit) => bit >= 48 && (bit < 96 || bit >= 112));
      const bit = bits[where % bits.length]!;
      frame[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => decodeFrame(frame, KEY), { code: 'E_FRAME' });
    }),
  );
});

const GOOD: Beacon = {
  node: '02:00:00:00:00:0a',
  epoch: 3,
  seq: 9,
  superframe: 120,
  slot: 7,
  stride: 2,
  phase: 1,
  next: 2,
  planned: 60e9 + 35e6,
  sent: { seq: 8, at: 59e9 + 35.1e6 },
  bound: 12_345,
  root: '02:00:00:00:00:01',
  rootSeq: 119,
  depth: 2,
  partial: false,
  reports: [{ name: 77, slot: 3, stride: 1, phase: 0, seq: 4, at: 60e9 + 15e6, age: 1, heard: 1 }],
};

/** Signed again after the change: what only a router with the key could send. */
const REFUSED: readonly [field: string, change: Partial<Beacon>, bytes?: (frame: Buffer) => void][] = [
  ['slot', { slot: 250 }],
  ['stride', { stride: 16, phase: 0 }],
  ['stride', { stride: 2, phase: 3 }],
  ['report', { reports: [{ ...GOOD.reports[0]!, stride: 4, phase: 7 }] }],
  ['slot', { reports: [{ ...GOOD.reports[0]!, slot: 255 }] }],
  ['planned', { planned: 2 ** 61 }],
  ['sent', { sent: { seq: 1, at: 2 ** 62 } }],
  ['node', { node: '03:00:00:00:00:0a' }],
  ['node', { node: '00:00:00:00:00:00' }],
];
for (const [field, change] of REFUSED)
  test(`refused although it is signed: ${field} of ${JSON.stringify(change)}`, () => {
    const frame = encodeBeacon({ ...GOOD, ...change }, SOURCE, ETHERTYPE, KEY);
    assert.throws(
      () => decodeFrame(frame, KEY),
      (error: AgentError) => error.code === 'E_FRAME' && error.detail.field === field,
    );
  });

test('refused before any cryptography, naming the field', () => {
  const frame = Buffer.from(encodeBeacon(GOOD, SOURCE, ETHERTYPE, KEY));
  const cases: [string, (bytes: Buffer) => Uint8Array][] = [
    ['short', (bytes) => bytes.subarray(0, 40)],
    ['short', (bytes) => bytes.subarray(0, bytes.length - 1)],
    ['magic', (bytes) => bytes.fill(0, 14, 16)],
    ['version', (bytes) => bytes.fill(9, 16, 17)],
    ['kind', (bytes) => bytes.fill(35, 17, 18)],
    ['key-epoch', (bytes) => bytes.fill(1, 19, 20)],
    ['mesh', (bytes) => bytes.fill(1, 22, 26)],
    ['reports', (bytes) => bytes.fill(25, 89, 90)],
    ['tag', (bytes) => bytes.fill(1, bytes.length - 4)],
    ['tag', (bytes) => bytes.fill(0x0c, 11, 12)],
  ];
  for (const [field, change] of cases)
    assert.throws(
      () => decodeFrame(change(Buffer.from(frame)), KEY),
      (error: AgentError) => error.code === 'E_FRAME' && error.detail.field === field,
      field,
    );
  assert.throws(() => decodeFrame(frame, beaconKey('5f'.repeat(32))), { code: 'E_FRAME' });
  assert.throws(() => decodeFrame(frame, beaconKey('5e'.repeat(32), 1)), { code: 'E_FRAME' });
});

test('more neighbours than fit: the first ones, and the beacon says that some are missing', () => {
  const reports = Array.from({ length: MOST_REPORTED + 3 }, (_, i) => ({ ...GOOD.reports[0]!, name: i }));
  const frame = encodeBeacon({ ...GOOD, reports, bound: Number.POSITIVE_INFINITY }, SOURCE, ETHERTYPE, KEY);
  assert.equal(frame.length, LONGEST_BEACON);
  const read = decodeFrame(frame, KEY);
  assert.ok(read.kind === 'beacon' && read.beacon.partial && read.beacon.reports.length === MOST_REPORTED);
  assert.equal(read.beacon.bound, UNKNOWN_BOUND);
});

test('the wire format has not changed', () => {
  assert.equal(toHex(encodeBeacon(GOOD, SOURCE, ETHERTYPE, KEY)), toHex(CORPUS[0]!));
});

test('hostile bytes: E_FRAME or a frame, and nothing else, for whatever the corpus becomes, sealed anew or not', () => {
  const draw = seeded(Number(process.env.X0_FUZZ_SEED ?? 1));
  const end = performance.now() + 5000;
  let [tried, beacons, behindTag] = [0, 0, 0];
  for (; tried < 4000 && performance.now() < end; tried++) {
    const bytes = mutated(CORPUS[Math.floor(draw() * CORPUS.length)]!, draw);
    // Behind the tag are those who have the key, so most are given one that is right: what reads on is what is tried.
    const frame = draw() < 0.75 ? resealed(bytes) : bytes;
    try {
      const read = decodeFrame(frame, KEY);
      if (read.kind !== 'beacon') continue;
      beacons++;
      const { reports, planned, sent, bound } = read.beacon;
      assert.ok(reports.length <= MOST_REPORTED && frame.length >= 14 + 76 + 16 * reports.length + 16, toHex(frame));
      for (const { slot, stride, phase } of [read.beacon, ...reports])
        assert.ok(slot < MOST_SLOTS && stride <= 8 && phase < stride, toHex(frame));
      assert.ok([planned, sent.at].every((ns) => ns <= 2 ** 60) && bound <= UNKNOWN_BOUND, toHex(frame));
      for (const { at, heard } of reports)
        assert.ok((at === null || (at <= planned && at >= planned - 2 ** 36)) && heard <= 1, toHex(frame));
    } catch (thrown) {
      assert.ok(thrown instanceof AgentError && thrown.code === 'E_FRAME', `${toHex(frame)}: ${thrown}`);
      if (!/^(short|magic|version|kind|mesh|key-epoch|reports|tag)$/.test(String(thrown.detail.field))) behindTag++;
    }
  }
  assert.ok(tried > 300 && beacons > tried / 20 && behindTag > tried / 50, `${tried}: ${beacons}, ${behindTag}`);
});

/** With the tag that who has the key would give it, if it is long enough for one. */
function resealed(bytes: Uint8Array): Uint8Array {
  const reports = bytes[14 + 3] === 32 ? (bytes[14 + 75] ?? 0) : 0;
  const end = 14 + (bytes[14 + 3] === 32 ? 76 + 16 * reports : 26);
  if (bytes.length < end + 16) return bytes;
  const key = createHmac('sha256', Buffer.from('5e'.repeat(32), 'hex'))
    .update('x0tta6bl4 beacon v1')
    .digest();
  const tag = createHmac('sha256', key).update(bytes.subarray(6, 12)).update(bytes.subarray(14, end)).digest();
  return Buffer.concat([bytes.subarray(0, end), tag.subarray(0, 16), bytes.subarray(end + 16)]);
}

/** Bits turned, bytes set to odd values, pieces cut out, doubled or taken from another frame. */
function mutated(from: Uint8Array, draw: () => number): Uint8Array {
  let bytes = Buffer.from(from);
  const int = (limit: number) => Math.floor(draw() * limit);
  for (let times = 1 + int(4); times > 0 && bytes.length > 0; times--) {
    const at = int(bytes.length);
    switch (int(6)) {
      case 0:
        bytes[at]! ^= 1 << int(8);
        break;
      case 1:
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 24, 25, 250][int(8)]!;
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(int(at + 1))]);
        break;
      case 4:
        bytes = Buffer.concat([bytes, Buffer.alloc(int(64), int(256))]);
        break;
      default:
        bytes.set(CORPUS[int(CORPUS.length)]!.subarray(at, at + 8).subarray(0, bytes.length - at), at);
    }
  }
  return bytes;
}
