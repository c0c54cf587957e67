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
import type { NetlinkConnection, Subscriber } from '../../../agent/host/netlink/connection.ts';
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

const DATA = new URL('../../data/netlink/', import.meta.url);
const captureOf = (type: string) =>
  JSON.parse(readFileSync(new URL(`radio-${type}-6.1.json`, DATA), 'utf8')) as RadioCapture;

for (const type of ['mesh', 'ibss']) {
  const capture = captureOf(type);
  describe(`${type}, recorded on kernel ${capture.kernel}`, () => {
    test('the family and its groups', () => {
      const [family] = rowsOf(capture.family.datagrams, decodeFamily);
      assert.equal(family?.name, 'nl80211');
      assert.ok(family.groups.has('mlme'));
    });

    test('radios and stations as iw printed them', () => {
      const { interfaces, stations, wrong } = disagreements(capture);
      assert.deepEqual({ interfaces, stations, wrong }, { interfaces: 1, stations: 2, wrong: [] });
      const rows = rowsOf(capture.stations.datagrams, nl80211.decodeStation);
      for (const row of rows) assert.equal(row.peerLink, type === 'mesh' ? 'established' : undefined);
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
        { numRuns: 1000 },
      );
    });
  });
}

test('events: frames lost to a station that fell silent; one that was deleted, and came back', () => {
  const told: string[] = [];
  let lost: nl80211.PacketsLost | undefined;
  const group = { groups: new Map([['mlme', 5]]), id: 40, name: 'nl80211', version: 1 };
  let subscriber: Subscriber | undefined;
  const generic = {
    request: () => Promise.resolve([group]),
    subscribe: (_group: number, to: Subscriber) => {
      subscriber = to;
      return () => {};
    },
  } as unknown as NetlinkConnection;
  return nl80211.openNl80211(generic).then((opened) => {
    opened!.subscribe({
      onStation: ({ station }) => told.push(`new ${station}`),
      onGone: ({ station }) => told.push(`gone ${station}`),
      onPacketsLost: (packets) => {
        lost = packets;
      },
      onCandidate: () => {},
      onResync: () => {},
    });
    for (const hex of captureOf('ibss').events.datagrams) {
      const bytes = Buffer.from(hex, 'hex');
      eachMessage(bytes, (_type, _flags, _sequence, start, end) => subscriber!.onMessage(group.id, bytes, start, end));
      // Of another family, which the same socket may bring.
      eachMessage(bytes, (_type, _flags, _sequence, start, end) => subscriber!.onMessage(41, bytes, start, end));
    }
    assert.equal(lost?.station, STATION);
    assert.ok(lost.count >= 50, `${lost.count} in a row`);
    assert.deepEqual(told.slice(-2), ['gone 02:00:00:00:03:01', 'new 02:00:00:00:03:01']);
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
