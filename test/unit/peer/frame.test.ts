import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { fromCbor, toCbor } from '../../../agent/peer/cbor.ts';
import { decodeFrame, encodeFrame, type Frame, FrameReader, framed, MOST_PART } from '../../../agent/peer/frame.ts';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const bytes = fc.uint8Array({ maxLength: 400 });
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('proof' as const), bytes }),
  fc.record({
    type: fc.constant('part' as const),
    stream: fc.nat(255),
    last: fc.boolean(),
    id: u32,
    bytes: fc.uint8Array({ maxLength: MOST_PART }),
  }),
  fc.record({ type: fc.constant('credit' as const), stream: fc.nat(255), bytes: u32 }),
  fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), number: u32 }),
  fc.record({ type: fc.constant('cancel' as const), id: u32 }),
  fc.record({ type: fc.constant('bye' as const), reason: fc.nat(255) }),
);

function isProtocol(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.code === 'E_PEER_PROTOCOL';
}

/** The bytes of a frame as plain arrays, so that Buffer and Uint8Array compare. */
function plain(one: Frame): unknown {
  return 'bytes' in one && typeof one.bytes !== 'number' ? { ...one, bytes: [...one.bytes] } : { ...one };
}

test('frames come out as they went in, however the connection cuts them', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 9000 })), (frames, cuts) => {
      const stream = Buffer.concat(frames.map((one) => framed(encodeFrame(one))));
      const reader = new FrameReader();
      const read: Frame[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const end = at + (cuts.length === 0 ? stream.length : cuts[i % cuts.length]!);
        // A view that is overwritten later, as a socket's buffer is.
        for (const one of reader.read(Uint8Array.from(stream.subarray(at, end)))) read.push(decodeFrame(one));
        at = end;
      }
      assert.deepEqual(read.map(plain), frames.map(plain));
    }),
  );
});

test('one byte at a time', () => {
  const reader = new FrameReader();
  const stream = framed(encodeFrame({ type: 'ping', number: 7 }));
  const found = [...stream].flatMap((byte) => reader.read(Uint8Array.of(byte)));
  assert.deepEqual(found.map(decodeFrame), [{ type: 'ping', number: 7 }]);
});

test('garbage is refused with E_PEER_PROTOCOL, and nothing else happens', () => {
  fc.assert(
    fc.property(bytes, (some) => {
      try {
        decodeFrame(some);
        for (const one of new FrameReader().read(some)) decodeFrame(one);
      } catch (thrown) {
        assert.ok(isProtocol(thrown), String(thrown));
      }
    }),
    { numRuns: 2000 },
  );
});

const LENGTHS: readonly [number[], string][] = [
  [[0, 0, 0, 0], 'none'],
  [[0, 0, 0x40, 0], 'too long'],
  [[0xff, 0xff, 0xff, 0xff], 'four gigabytes'],
  [[0x16, 3, 1, 2], 'a TLS record'],
  [[...Buffer.from('GET ')], 'HTTP'],
];

for (const [head, what] of LENGTHS)
  test(`a length that no frame has: ${what}`, () => {
    assert.throws(() => new FrameReader().read(Uint8Array.from(head)), isProtocol);
  });

const NOT_CBOR: readonly [Uint8Array, string][] = [
  [Uint8Array.of(), 'nothing'],
  [Buffer.alloc(60_000, 0x81), 'arrays in arrays without end'],
  [Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff), 'an array of four thousand million'],
  [Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff), 'bytes that are not there'],
  [Uint8Array.of(0x9f, 0xff), 'an indefinite length'],
  [Uint8Array.of(0x18, 0x01), 'a number longer than it need be'],
  [Uint8Array.of(0xa1, 0x01, 0x02), 'a key that is no text'],
  [Uint8Array.of(0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02), 'a key twice'],
  [Uint8Array.of(0xc0, 0x01), 'a tag'],
  [Uint8Array.of(0xf7), 'undefined'],
  [Uint8Array.of(0x01, 0x01), 'something behind'],
  [Uint8Array.of(0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 'an integer beyond 2^53'],
  [Uint8Array.of(0xf9, 0x7e, 0x00), 'no number'],
];

for (const [some, what] of NOT_CBOR)
  test(`not CBOR as it is spoken here: ${what}`, () => {
    assert.throws(() => fromCbor(some), isProtocol);
  });

test('CBOR: values come back, and a key cannot reach the prototype', () => {
  const values = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(values, (value) => {
      // -0 is the integer 0 in CBOR.
      assert.deepEqual(fromCbor(toCbor(value)), JSON.parse(JSON.stringify(value)));
    }),
  );
  const read = fromCbor(toCbor(JSON.parse('{"__proto__":{"admin":true}}'))) as Record<string, unknown>;
  assert.equal(read.admin, undefined);
});
