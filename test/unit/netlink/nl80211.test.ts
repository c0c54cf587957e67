/** nl80211 messages: those recorded on a live kernel as iw printed them, built ones, and bytes that make no sense. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import {
  bytesAttribute,
  join,
  macAttribute,
  nest,
  u8Attribute,
  u16Attribute,
  u32Attribute,
} from '../../../agent/host/netlink/attributes.ts';
import { decodeFamily } from '../../../agent/host/netlink/genetlink.ts';
import { eachMessage } from '../../../agent/host/netlink/message.ts';
import * as nl80211 from '../../../agent/host/netlink/nl80211.ts';
import { disagreements, type RadioCapture, rowsOf } from '../../lab/iw-agreement.ts';

const STATION = '02:00:00:00:01:01';
const DECODERS = [
  nl80211.decodeRadioInterface,
  nl80211.decodeStation,
  nl80211.decodePacketsLost,
  nl80211.decodePeerCandidate,
];

function decoded<T>(decode: (bytes: Uint8Array, start: number, end: number) => T, ...attributes: Uint8Array[]): T {
  const bytes = join([new Uint8Array(4), ...attributes]);
  return decode(bytes, 0, bytes.length);
}

/** Reads, or says E_NETLINK_DECODE; anything else is a failure. */
function survives(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'E_NETLINK_DECODE') throw error;
  }
}

const FILE = new URL('../../data/netlink/radio-6.1.json', import.meta.url);
const capture = JSON.parse(readFileSync(FILE, 'utf8')) as RadioCapture;

describe(`recorded on kernel ${capture.kernel}`, () => {
  test('the family and its groups', () => {
    const [family] = rowsOf(capture.family.datagrams, decodeFamily);
    assert.equal(family?.name, 'nl80211');
    assert.ok(family.groups.has('mlme'));
  });

  test('radios and stations as iw printed them', () => {
    const { interfaces, stations, wrong } = disagreements(capture);
    assert.deepEqual({ interfaces, stations, wrong }, { interfaces: 1, stations: 2, wrong: [] });
  });

  test('events: frames lost to a station that fell silent, one that left, came back, and one never met before', () => {
    const commands = new Map<number, unknown[]>();
    for (const hex of capture.events.datagrams) {
      const bytes = Buffer.from(hex, 'hex');
      eachMessage(bytes, (_type, _flags, _sequence, start, end) => {
        const decode = { 19: nl80211.decodeStation, 20: nl80211.decodeStation, 64: nl80211.decodePacketsLost }[
          bytes[start]!
        ];
        const row = (decode ?? nl80211.decodePeerCandidate)(bytes, start, end);
        commands.set(bytes[start]!, [...(commands.get(bytes[start]!) ?? []), row]);
      });
    }
    const [lost] = commands.get(64) as nl80211.PacketsLost[];
    assert.equal(lost?.station, STATION);
    assert.ok(lost.count >= 50);
    for (const command of [19, 20]) {
      const [station] = commands.get(command) as { station: string }[];
      assert.equal(station?.station, '02:00:00:00:03:01');
    }
    assert.equal((commands.get(20) as { peerLink?: string }[])[0]?.peerLink !== undefined, true);
    const candidates = commands.get(72) as nl80211.PeerCandidate[] | undefined;
    for (const { station, signal } of candidates ?? []) assert.ok(station.startsWith('02:00:00:00:') && signal !== 0);
  });

  test('cut off anywhere and with any byte changed, it never does worse than E_NETLINK_DECODE', () => {
    const all = [capture.interfaces, capture.stations, capture.events].flatMap(({ datagrams }) => datagrams);
    const datagrams = all.map((hex) => Buffer.from(hex, 'hex'));
    const damage = fc.tuple(
      fc.constantFrom(...datagrams),
      fc.nat(),
      fc.nat(),
      fc.nat(255),
      fc.constantFrom(...DECODERS),
    );
    fc.assert(
      fc.property(damage, ([datagram, cut, place, value, decode]) => {
        const bytes = Buffer.from(datagram.subarray(0, cut % (datagram.length + 1)));
        if (bytes.length > 0) bytes[place % bytes.length] = value;
        survives(() => eachMessage(bytes, (_type, _flags, _sequence, start, end) => void decode(bytes, start, end)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a station', () => {
  const of = (...info: Uint8Array[]) =>
    decoded(nl80211.decodeStation, u32Attribute(3, 7), macAttribute(6, STATION), nest(21, ...info));
  const known = { interface: 7, station: STATION };

  for (const [name, info, expected] of [
    ['of which nothing is said', [], {}],
    [
      'with signals, which are negative',
      [u8Attribute(7, 0xce), u8Attribute(13, 0xb5)],
      { signal: -50, signalAverage: -75 },
    ],
    ['with a 16-bit bitrate', [nest(8, u16Attribute(1, 540))], { txBitrate: 54_000 }],
    [
      'with both bitrates: the wider counts',
      [nest(14, u16Attribute(1, 1), u32Attribute(5, 98_000))],
      { rxBitrate: 9_800_000 },
    ],
    ['with a bitrate of which nothing is said', [nest(8)], {}],
    ['with a peer link', [u8Attribute(6, 4)], { peerLink: 'established' }],
    ['with a state of its peer link that is not known here', [u8Attribute(6, 40)], {}],
    ['with attributes that are not known here', [u32Attribute(200, 1), u8Attribute(20_000, 1)], {}],
    ['with counters', [u32Attribute(11, 4e9), u32Attribute(12, 3)], { txRetries: 4e9, txFailed: 3 }],
  ] as const)
    test(name, () => assert.deepEqual(of(...info), { ...known, ...expected }));

  test('without details, or without what it is', () => {
    assert.deepEqual(decoded(nl80211.decodeStation, u32Attribute(3, 7), macAttribute(6, STATION)), known);
    assert.throws(() => decoded(nl80211.decodeStation, u32Attribute(3, 7)), /NEW_STATION: MAC is missing/);
  });
});

test('a radio without a network interface is none of ours; one of a kind not known here has no kind', () => {
  assert.equal(decoded(nl80211.decodeRadioInterface, u32Attribute(5, 10), u32Attribute(1, 0)), undefined);
  const nan = decoded(nl80211.decodeRadioInterface, u32Attribute(5, 12), u32Attribute(1, 2), u32Attribute(3, 4));
  assert.deepEqual(nan, { index: 4, name: '', mac: '', type: '', wiphy: 2 });
});

test('what NOTIFY_CQM tells beside lost packets is passed over', () => {
  const threshold = nest(94, u32Attribute(3, 1));
  assert.equal(decoded(nl80211.decodePacketsLost, u32Attribute(3, 4), macAttribute(6, STATION), threshold), undefined);
});

test('attributes with any content: an answer or E_NETLINK_DECODE', () => {
  const numbers = fc.constantFrom(1, 3, 4, 5, 6, 7, 8, 14, 21, 38, 94, 151);
  const tree = fc.letrec((tie) => ({
    payload: fc.oneof(
      { maxDepth: 3 },
      fc.uint8Array({ maxLength: 24 }),
      fc.array(tie('attribute') as fc.Arbitrary<Uint8Array>, { maxLength: 6 }).map(join),
    ),
    attribute: fc
      .tuple(numbers, tie('payload') as fc.Arbitrary<Uint8Array>)
      .map(([type, data]) => bytesAttribute(type, data)),
  }));
  fc.assert(
    fc.property(fc.array(tree.attribute, { maxLength: 10 }), fc.constantFrom(...DECODERS), (list, decode) =>
      survives(() => decoded<unknown>(decode, ...list)),
    ),
    { numRuns: 1000 },
  );
});
