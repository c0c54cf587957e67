/** The netlink codecs: round trips, npm `netlink` as an independent oracle, and bytes that make no sense. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { macFromBytes, macToBytes } from '../../../agent/core/ids.ts';
import * as attributes from '../../../agent/host/netlink/attributes.ts';
import * as batadv from '../../../agent/host/netlink/batadv.ts';
import { decodeFamily, encodeGetFamily } from '../../../agent/host/netlink/genetlink.ts';
import * as message from '../../../agent/host/netlink/message.ts';
import { decodeRoute } from '../../../agent/host/netlink/routes.ts';
import * as rt from '../../../agent/host/netlink/rtnetlink.ts';

const { bytesAttribute, flagAttribute, join, macAttribute, nest, reader, stringAttribute } = attributes;
const { u8Attribute, u16Attribute, u32Attribute, u32Bytes } = attributes;

interface Oracle {
  parseMessages(bytes: Buffer): { type: number; flags: number; seq: number; data: Buffer }[];
  parseAttributes(bytes: Buffer, visit: (a: { type: number; nested?: boolean; data: Buffer }) => void): void;
  formatAttribute(a: { type: number; nested?: boolean; data: Uint8Array }): Uint8Array[];
  parseError(bytes: Buffer, flags: number): { errno: number; tlvData?: Buffer };
}
const oracle = createRequire(import.meta.url)('netlink/dist/structs.js') as Oracle;

const runs = { numRuns: 500 };
const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((raw) => macFromBytes(raw));

/** Attributes as the oracle sees them. */
function seenByOracle(stream: Uint8Array): { type: number; nested: boolean; data: string }[] {
  const out: { type: number; nested: boolean; data: string }[] = [];
  oracle.parseAttributes(Buffer.from(stream), ({ type, nested, data }) => {
    out.push({ type, nested: nested ?? false, data: data.toString('hex') });
  });
  return out;
}

/** Runs a decoder on anything: it answers or throws E_NETLINK_DECODE, nothing else. */
function survives(decode: (raw: Uint8Array, start: number, end: number) => unknown, raw: Uint8Array): void {
  try {
    decode(raw, 0, raw.length);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'E_NETLINK_DECODE') throw error;
  }
}

const DECODERS = {
  decodeLink: rt.decodeLink,
  decodeAddress: rt.decodeAddress,
  decodeIpNeighbour: rt.decodeIpNeighbour,
  decodeRoute,
  decodeFamily,
  decodeMesh: batadv.decodeMesh,
  decodeHardInterface: batadv.decodeHardInterface,
  decodeVlan: batadv.decodeVlan,
  decodeOriginator: batadv.decodeOriginator,
  decodeNeighbour: batadv.decodeNeighbour,
  decodeGateway: batadv.decodeGateway,
  decodeLocalStation: batadv.decodeLocalStation,
  decodeRemoteStation: batadv.decodeRemoteStation,
  decodeClaim: batadv.decodeClaim,
  decodeBackbone: batadv.decodeBackbone,
  decodeArpEntry: batadv.decodeArpEntry,
  decodeMulticastFlags: batadv.decodeMulticastFlags,
  decodeRoutingAlgorithm: batadv.decodeRoutingAlgorithm,
  decodeThroughputResult: batadv.decodeThroughputResult,
};

describe('attributes', () => {
  const EVERY = reader({
    name: 'test',
    attributes: {
      A: [1, 'u8'],
      B: [2, 'u16'],
      C: [3, 'u32'],
      D: [4, 'u64'],
      E: [5, 'mac'],
      F: [6, 'string'],
      G: [7, 'flag'],
      H: [8, 'bytes'],
      I: [9, 'nested'],
    },
    mandatory: ['A'],
  });

  test('every kind comes back as it was written', () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.nat(65535),
        fc.nat(0xffff_ffff),
        mac,
        fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)), maxLength: 100 }),
        bytes(300),
        (a, b, c, e, f, h) => {
          const stream = join([
            u8Attribute(1, a),
            u16Attribute(2, b),
            bytesAttribute(4, join([u32Bytes(c), u32Bytes(c & 0x1fffff)])),
            u32Attribute(3, c),
            macAttribute(5, e),
            stringAttribute(6, f),
            flagAttribute(7),
            bytesAttribute(8, h),
            nest(9, u8Attribute(1, a)),
            u32Attribute(4000, 1),
          ]);
          EVERY.read(stream, 0, stream.length);
          assert.equal(EVERY.u8(1), a);
          assert.equal(EVERY.u16(2), b);
          assert.equal(EVERY.u32(3), c);
          if (attributes.LITTLE_ENDIAN) assert.equal(EVERY.u64(4), c + (c & 0x1fffff) * 2 ** 32);
          assert.equal(EVERY.mac(5), e);
          assert.equal(EVERY.string(6), f);
          assert.ok(EVERY.has(7));
          assert.deepEqual(Buffer.from(EVERY.bytes(8)), Buffer.from(h));
          assert.deepEqual(seenByOracle(stream.subarray(EVERY.start(9), EVERY.end(9))), [
            { type: 1, nested: false, data: Buffer.of(a).toString('hex') },
          ]);
        },
      ),
      runs,
    );
  });

  test('the oracle writes the same bytes, and reads ours', () => {
    fc.assert(
      fc.property(fc.nat(0x3fff), fc.boolean(), bytes(200), (type, nested, data) => {
        const ours = nested ? nest(type, data) : bytesAttribute(type, data);
        const theirs = Buffer.concat(oracle.formatAttribute({ type, nested, data }));
        assert.deepEqual(Buffer.from(ours), Buffer.concat([theirs, Buffer.alloc(-theirs.length & 3)]));
        assert.deepEqual(seenByOracle(ours), [{ type, nested, data: Buffer.from(data).toString('hex') }]);
      }),
      runs,
    );
  });

  test('a missing mandatory, a short, and an overlong attribute are errors that name it', () => {
    const fails = (stream: Uint8Array, pattern: RegExp) =>
      assert.throws(() => EVERY.read(stream, 0, stream.length), { code: 'E_NETLINK_DECODE', message: pattern });
    fails(u16Attribute(2, 1), /A is missing/);
    fails(join([u8Attribute(1, 1), bytesAttribute(5, new Uint8Array(5))]), /E of 5 bytes/);
    fails(Uint8Array.of(3, 0, 1, 0), /attribute of 3 bytes/);
    fails(Uint8Array.of(200, 0, 1, 0), /attribute of 200 bytes/);
    fails(join([u8Attribute(1, 1), Uint8Array.of(1, 2)]), /2 bytes left over/);
    assert.throws(() => EVERY.read(new Uint8Array(8), 4, 12), { code: 'E_NETLINK_DECODE' });
  });

  test('a kernel string cannot carry control characters on', () => {
    const raw = Buffer.from('wlan\u001b[31m\u202e0\0rest');
    assert.equal(attributes.stringAt(raw, 0, raw.length), 'wlan\ufffd[31m\ufffd0');
    fc.assert(
      fc.property(bytes(200), (junk) => {
        assert.doesNotMatch(attributes.stringAt(junk, 0, junk.length), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
      runs,
    );
  });
});

describe('messages', () => {
  test('the oracle reads what we frame, and we what a datagram of several holds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(65535), fc.nat(65535), fc.nat(0xffff_ffff), bytes(50)), { maxLength: 10 }),
        (list) => {
          const parts = list.map(([type, flags, seq, data]) => {
            const one = message.encodeMessage(type, flags, data);
            message.stamp(one, seq, 0);
            return join([one, new Uint8Array(-one.length & 3)]);
          });
          const datagram = Buffer.from(join(parts));
          const seen: { type: number; flags: number; seq: number; data: string }[] = [];
          message.eachMessage(datagram, (type, flags, seq, start, end) => {
            seen.push({ type, flags, seq, data: datagram.subarray(start, end).toString('hex') });
          });
          const expected = list.map(([type, flags, seq, data]) => {
            return { type, flags: flags | message.NLM_F_REQUEST, seq, data: Buffer.from(data).toString('hex') };
          });
          assert.deepEqual(seen, expected);
          assert.deepEqual(
            oracle
              .parseMessages(datagram)
              .map(({ type, flags, seq, data }) => ({ type, flags, seq, data: data.toString('hex') })),
            expected,
          );
        },
      ),
      runs,
    );
  });

  test('an error with words and an offset is read, capped and with the whole request', () => {
    const request = message.encodeMessage(16, 0, new Uint8Array(20));
    const words = join([stringAttribute(1, 'no such thing'), u32Attribute(2, 32)]);
    const code = u32Bytes(-19);
    for (const [flags, original] of [
      [0x300, request.subarray(0, 16)],
      [0x200, request],
    ] as const) {
      const payload = join([code, original, words]);
      assert.deepEqual(message.decodeAnswer(message.NLMSG_ERROR, flags, payload, 0, payload.length), {
        errno: 19,
        words: 'no such thing',
        offset: 32,
      });
      const theirs = oracle.parseError(Buffer.from(payload), flags);
      assert.equal(Math.abs(theirs.errno), 19);
    }
    assert.equal(message.errnoName(95), 'EOPNOTSUPP');
    assert.equal(message.errnoName(11), 'EAGAIN');
    assert.equal(message.errnoName(105), 'ENOBUFS');
    const error = message.refusal('test', { errno: 19, words: 'no such thing' });
    assert.equal(error.message, 'test: ENODEV, no such thing');
    assert.ok(message.isErrno(error, 'ENODEV'));
  });

  test('random datagrams end in an answer or E_NETLINK_DECODE', () => {
    fc.assert(
      fc.property(bytes(400), (junk) => {
        survives((raw) => message.eachMessage(raw, () => {}), junk);
        for (const type of [message.NLMSG_ERROR, message.NLMSG_DONE])
          for (const flags of [0, 0x200, 0x300])
            survives((raw, start, end) => message.decodeAnswer(type, flags, raw, start, end), junk);
      }),
      runs,
    );
  });
});

describe('rtnetlink', () => {
  test('requests, as the oracle reads them', () => {
    const sent = Buffer.from(rt.encodeCreateVeth('a0', 'b0', '02:00:00:00:00:01', '02:00:00:00:00:02'));
    const [one] = oracle.parseMessages(sent);
    assert.equal(one!.type, 16);
    assert.equal(one!.flags, 0x601);
    const top = seenByOracle(one!.data.subarray(16));
    assert.deepEqual(
      top.slice(0, 2).map(({ type, data }) => [type, data]),
      [
        [3, '613000'],
        [1, '020000000001'],
      ],
    );
    const info = seenByOracle(Buffer.from(top[2]!.data, 'hex'));
    assert.deepEqual(info[0], { type: 1, nested: false, data: Buffer.from('veth\0').toString('hex') });
    const peer = seenByOracle(Buffer.from(info[1]!.data, 'hex'))[0]!;
    assert.deepEqual(
      seenByOracle(Buffer.from(peer.data, 'hex').subarray(16)).map(({ type, data }) => [type, data]),
      [
        [3, '623000'],
        [1, '020000000002'],
      ],
    );
    const mesh = Buffer.from(rt.encodeCreateBatadv('bat0', 'BATMAN_V'));
    assert.ok(mesh.includes('BATMAN_V\0'));
    const down = Buffer.from(rt.encodeSetUp(7, false));
    assert.equal(down.readInt32LE(20), 7);
    assert.deepEqual([down.readUInt32LE(24), down.readUInt32LE(28)], [0, 1]);
  });

  test('a bridge port and a wireless event are not mistaken for the interface; a peer elsewhere keeps its index', () => {
    const body = (family: number, ...more: Uint8Array[]) =>
      join([
        Uint8Array.of(family, 0, 1, 0),
        u32Bytes(5),
        u32Bytes(0x10001),
        u32Bytes(0),
        stringAttribute(3, 'wlan0'),
        ...more,
      ]);
    const read = (raw: Uint8Array) => rt.decodeLink(raw, 0, raw.length);
    const mtu = u32Attribute(4, 1500);
    assert.equal(read(body(7, mtu)), undefined);
    assert.equal(read(body(0)), undefined);
    assert.equal(read(body(0, mtu, bytesAttribute(11, new Uint8Array(8)))), undefined);
    assert.deepEqual(read(body(0, mtu, u32Attribute(5, 9), u32Attribute(37, 0))), {
      index: 5,
      name: 'wlan0',
      mac: '',
      up: true,
      carrier: true,
      mtu: 1500,
      master: 0,
      kind: '',
      peer: 9,
    });
  });

  test('IP addresses: text to bytes and back', () => {
    for (const [text, canonical] of [
      ['10.0.0.1', '10.0.0.1'],
      ['::', '::'],
      ['::1', '::1'],
      ['fd00:0:0:1::2', 'fd00:0:0:1::2'],
      ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
      ['fe80::', 'fe80::'],
      ['::ffff:1.2.3.4', '::ffff:102:304'],
    ] as const)
      assert.equal(rt.ipText(rt.ipBytes(text)), canonical);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(0xffff), (raw, zeroes) => {
        for (let i = 0; i < 16; i++) if (zeroes & (1 << i)) raw[i] = 0;
        assert.deepEqual(rt.ipBytes(rt.ipText(raw)), raw);
        // WHATWG's URL writes the same canonical form.
        assert.equal(new URL(`http://[${rt.ipText(raw)}]`).hostname, `[${rt.ipText(raw)}]`);
      }),
      runs,
    );
    for (const bad of ['', '1.2.3', 'fe80::1%eth0', 'g::', '1::2::3', '1.2.3.4.5'])
      assert.throws(() => rt.ipBytes(bad), RangeError);
  });
});

describe('batadv', () => {
  test('settings written are the settings read, and only those named', () => {
    const settings = {
      aggregatedOgms: fc.boolean(),
      apIsolation: fc.boolean(),
      bonding: fc.boolean(),
      bridgeLoopAvoidance: fc.boolean(),
      distributedArpTable: fc.boolean(),
      fragmentation: fc.boolean(),
      gwMode: fc.constantFrom('off' as const, 'client' as const, 'server' as const),
      gwBandwidthDown: fc.nat(0xffff_ffff),
      gwBandwidthUp: fc.nat(0xffff_ffff),
      gwSelClass: fc.nat(0xffff_ffff),
      hopPenalty: fc.nat(255),
      multicastForceflood: fc.boolean(),
      multicastFanout: fc.nat(0xffff_ffff),
      origInterval: fc.nat(0xffff_ffff),
      isolationMark: fc.nat(0xffff_ffff),
      isolationMask: fc.nat(0xffff_ffff),
    };
    const identity = [
      stringAttribute(1, '2025.4'),
      stringAttribute(2, 'BATMAN_IV'),
      stringAttribute(4, 'bat0'),
      macAttribute(5, '02:00:00:00:00:01'),
    ];
    fc.assert(
      fc.property(fc.record(settings, { requiredKeys: [] }), (some) => {
        const request = batadv.encodeSetMesh(30, 4, some);
        assert.equal(seenByOracle(request.subarray(20)).length, 1 + Object.keys(some).length);
        const answer = join([request, ...identity]);
        const mesh = batadv.decodeMesh(answer, message.NLMSG_HEADER, answer.length);
        assert.equal(mesh.index, 4);
        assert.deepEqual({ ...mesh.settings, ...some }, mesh.settings);
        assert.equal(mesh.primary, undefined);
      }),
      runs,
    );
    assert.throws(() => {
      const answer = join([batadv.encodeSetMesh(30, 4, {}), ...identity.slice(1)]);
      batadv.decodeMesh(answer, message.NLMSG_HEADER, answer.length);
    }, /GET_MESH: VERSION is missing/);
  });

  test('what only one algorithm has is absent under the other', () => {
    const row = [macAttribute(9, '02:00:00:00:00:01'), macAttribute(24, '02:00:00:00:00:02'), u32Attribute(6, 3)];
    const read = (...more: Uint8Array[]) => {
      const raw = join([new Uint8Array(4), ...row, u32Attribute(23, 70), ...more]);
      return batadv.decodeOriginator(raw, 0, raw.length);
    };
    const common = {
      originator: '02:00:00:00:00:01',
      neighbour: '02:00:00:00:00:02',
      interface: 3,
      interfaceName: '',
      lastSeenMs: 70,
    };
    assert.deepEqual(read(u8Attribute(25, 255), flagAttribute(22)), { ...common, best: true, tq: 255 });
    assert.deepEqual(read(u32Attribute(26, 10000)), { ...common, best: false, throughput: 10000 });
  });

  test('hard-interface and VLAN settings', () => {
    assert.deepEqual(
      seenByOracle(
        batadv
          .encodeSetHardInterface(30, 4, 7, { hopPenalty: 5, elpInterval: 200, throughputOverride: 1 })
          .subarray(20),
      ).map(({ type }) => type),
      [3, 6, 53, 58, 59],
    );
    assert.deepEqual(
      seenByOracle(batadv.encodeSetVlan(30, 4, 7, true).subarray(20)).map(({ type, data }) => [type, data]),
      [
        [3, '04000000'],
        [40, '0700'],
        [42, '01'],
      ],
    );
    assert.ok(Buffer.from(encodeGetFamily('batadv')).includes('batadv\0'));
  });
});

describe('bytes that make no sense', () => {
  for (const [name, decode] of Object.entries(DECODERS)) {
    test(`${name} answers or throws E_NETLINK_DECODE`, () => {
      fc.assert(
        fc.property(bytes(300), (junk) => survives(decode, junk)),
        runs,
      );
      // Well-formed attributes with any content reach further in.
      const stream = fc.array(fc.tuple(fc.nat(64), bytes(20)), { maxLength: 20 });
      fc.assert(
        fc.property(bytes(16), stream, (head, list) => {
          const tail = list.map(([type, data]) => bytesAttribute(type, data));
          for (const size of [4, 8, 12, 16])
            survives(decode, join([Buffer.concat([head, Buffer.alloc(16)], size), ...tail]));
        }),
        runs,
      );
    });
  }
});

test('MAC addresses: bytes to text and back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (raw) => {
      assert.equal(
        macFromBytes(raw),
        Buffer.from(raw)
          .toString('hex')
          .replace(/..(?=.)/g, '$&:'),
      );
      assert.deepEqual(macToBytes(macFromBytes(raw)), raw);
    }),
  );
});
