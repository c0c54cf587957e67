/** Messages recorded on live kernels (test/data/netlink/README.md): decoded, and compared with what batctl printed. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import * as decode from '../../../agent/host/netlink/batadv.ts';
import { decodeFamily } from '../../../agent/host/netlink/genetlink.ts';
import { decodeAnswer, eachMessage, NLMSG_DONE, NLMSG_ERROR } from '../../../agent/host/netlink/message.ts';
import { decodeAddress, decodeIpNeighbour, decodeLink } from '../../../agent/host/netlink/rtnetlink.ts';
import { batctlRows, COMPARISONS } from '../../lab/batctl-agreement.ts';

type Capture = Record<string, { datagrams: string[]; batctl?: string }> & { kernel: never };
type Decode = (bytes: Uint8Array, start: number, end: number) => unknown;

const DATA = new URL('../../data/netlink/', import.meta.url);

function rows<T>(
  datagrams: readonly string[],
  read: (bytes: Uint8Array, start: number, end: number) => T,
): NonNullable<T>[] {
  const out: NonNullable<T>[] = [];
  for (const hex of datagrams) {
    const bytes = Buffer.from(hex, 'hex');
    eachMessage(bytes, (type, _flags, _seq, start, end) => {
      if (type === NLMSG_DONE || type === NLMSG_ERROR) return;
      const row = read(bytes, start, end);
      if (row !== undefined && row !== null) out.push(row);
    });
  }
  return out;
}

/** The captured answers in the place of a live kernel. */
function replay(capture: Capture): decode.Batadv {
  const of =
    <T>(table: string, read: (bytes: Uint8Array, start: number, end: number) => T) =>
    async () =>
      rows(capture[table]!.datagrams, read);
  return {
    mesh: async () => rows(capture.mesh!.datagrams, decode.decodeMesh)[0],
    hardInterfaces: of('hardifs', decode.decodeHardInterface),
    originators: of('originators', decode.decodeOriginator),
    neighbours: of('neighbours', decode.decodeNeighbour),
    gateways: of('gateways', decode.decodeGateway),
    localStations: of('translation-local', decode.decodeLocalStation),
    remoteStations: of('translation-global', decode.decodeRemoteStation),
    claims: of('claims', decode.decodeClaim),
    backbones: of('backbones', decode.decodeBackbone),
    arpCache: of('arp-cache', decode.decodeArpEntry),
    multicastFlags: of('multicast-flags', decode.decodeMulticastFlags),
  } as unknown as decode.Batadv;
}

const sortKeys = (row: object) =>
  JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))));

for (const file of readdirSync(DATA).filter((name) => /^(batman|rtnetlink)-.*\.json$/.test(name))) {
  const capture = JSON.parse(readFileSync(new URL(file, DATA), 'utf8')) as Capture;
  describe(`${file}, kernel ${capture.kernel}`, () => {
    const batadv = replay(capture);
    for (const comparison of COMPARISONS) {
      const found = capture[comparison.table];
      if (!found) continue;
      test(`${comparison.table} as batctl printed it`, async () => {
        const ours = (await comparison.ours(batadv, 0)).map(sortKeys).sort();
        assert.deepEqual(ours, batctlRows(found.batctl!, comparison.table));
      });
    }

    test('interfaces, addresses, neighbours', () => {
      const links = rows(capture.links!.datagrams, decodeLink);
      assert.ok(links.some((link) => link.name === 'lo' && link.index === 1));
      for (const link of links) assert.ok(link.index > 0 && link.mtu > 0 && link.name !== '');
      if (capture.mesh) {
        const mesh = links.find((link) => link.kind === 'batadv');
        assert.ok(mesh && links.filter((link) => link.master === mesh.index).length >= 2);
      }
      assert.ok(rows(capture.addresses!.datagrams, decodeAddress).every((row) => row.index > 0));
      for (const row of rows(capture['ip-neighbours']!.datagrams, decodeIpNeighbour)) assert.ok(row.address.length > 2);
    });

    test('a refusal', () => {
      const bytes = Buffer.from(capture.refused!.datagrams[0]!, 'hex');
      eachMessage(bytes, (type, flags, _seq, start, end) => {
        assert.equal(type, NLMSG_ERROR);
        assert.ok(decodeAnswer(type, flags, bytes, start, end).errno > 0);
      });
    });

    if (capture.family)
      test('the family and its groups', () => {
        const [family] = rows(capture.family!.datagrams, decodeFamily);
        assert.equal(family?.name, 'batadv');
        assert.equal(family.version, 1);
        assert.deepEqual([...family.groups.keys()].sort(), ['config', 'tpmeter']);
        const algorithms = rows(capture.algorithms!.datagrams, decode.decodeRoutingAlgorithm);
        assert.deepEqual(algorithms.sort(), ['BATMAN_IV', 'BATMAN_V']);
      });

    test('cut off anywhere and with any byte changed, it never does worse than E_NETLINK_DECODE', () => {
      const readers: Decode[] = [
        decodeLink,
        decodeAddress,
        decodeFamily,
        decode.decodeMesh,
        decode.decodeOriginator,
        decode.decodeRemoteStation,
        decode.decodeHardInterface,
      ];
      const datagrams = Object.values(capture)
        .flatMap((one: { datagrams?: string[] }) => one.datagrams ?? [])
        .map((hex) => Buffer.from(hex, 'hex'));
      const where = fc.tuple(
        fc.constantFrom(...datagrams),
        fc.nat(),
        fc.nat(),
        fc.nat(255),
        fc.constantFrom(...readers),
      );
      fc.assert(
        fc.property(where, ([datagram, cut, place, value, read]) => {
          const bytes = Buffer.from(datagram.subarray(0, cut % (datagram.length + 1)));
          if (bytes.length > 0) bytes[place % bytes.length] = value;
          try {
            eachMessage(bytes, (_type, _flags, _seq, start, end) => void read(bytes, start, end));
          } catch (error) {
            if (!(error instanceof AgentError) || error.code !== 'E_NETLINK_DECODE') throw error;
          }
        }),
        { numRuns: 2000 },
      );
    });
  });
}
