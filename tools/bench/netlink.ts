/**
 * Bench `netlink`: milliseconds to decode an originator dump of 10, 1000 and 10000 rows (a quarter as many originators with
 * four paths each), as it comes off the socket: datagrams of up to 32 KiB, every message framed and read into objects.
 * Baseline: the same bytes through npm `netlink`'s parsers, to its generic attributes only (it knows no batadv).
 */
import { createRequire } from 'node:module';
import type { OriginatorPath } from '../../agent/core/kernel.ts';
import {
  flagAttribute,
  join,
  macAttribute,
  stringAttribute,
  u8Attribute,
  u32Attribute,
} from '../../agent/host/netlink/attributes.ts';
import { decodeOriginator } from '../../agent/host/netlink/batadv.ts';
import { encodeGeneric } from '../../agent/host/netlink/genetlink.ts';
import { eachMessage, NLM_F_MULTI, stamp } from '../../agent/host/netlink/message.ts';
import type { BenchResult } from './stats.ts';

const FAMILY = 29;
const GET_ORIGINATORS = 8;
const SIZES = [10, 1000, 10000] as const;
const DATAGRAM = 32 * 1024;

const hex = (n: number) => n.toString(16).padStart(2, '0');
const mac = (n: number) =>
  `02:00:${hex((n >> 24) & 255)}:${hex((n >> 16) & 255)}:${hex((n >> 8) & 255)}:${hex(n & 255)}`;

/** The attributes in the order in which batman-adv 2022.3 (bat_iv_ogm.c) writes them. */
function row(index: number): Uint8Array {
  const path = index % 4;
  const message = encodeGeneric(
    FAMILY,
    GET_ORIGINATORS,
    1,
    macAttribute(9, mac(0x10000 + (index >> 2))),
    macAttribute(24, mac(path + 1)),
    stringAttribute(7, `wlan${path}`),
    u32Attribute(6, 3 + path),
    u8Attribute(25, 255 - (index % 200)),
    u32Attribute(23, (index * 37) % 1000),
    ...(path === 0 ? [flagAttribute(22)] : []),
  );
  stamp(message, 7, NLM_F_MULTI);
  return message;
}

/** A dump as the kernel cuts it: as many whole messages a datagram as fit. */
export function originatorDump(rows: number): Buffer[] {
  const datagrams: Buffer[] = [];
  let parts: Uint8Array[] = [];
  let length = 0;
  const flush = () => {
    if (parts.length > 0) datagrams.push(Buffer.from(join(parts)));
    parts = [];
    length = 0;
  };
  for (let i = 0; i < rows; i++) {
    const message = row(i);
    if (length + message.length > DATAGRAM) flush();
    parts.push(message);
    length += message.length;
  }
  flush();
  return datagrams;
}

export function decodeDump(datagrams: readonly Buffer[]): OriginatorPath[] {
  const rows: OriginatorPath[] = [];
  for (const datagram of datagrams)
    eachMessage(datagram, (_type, _flags, _seq, start, end) => rows.push(decodeOriginator(datagram, start, end)));
  return rows;
}

interface Structs {
  parseMessages(bytes: Buffer): { data: Buffer }[];
  parseAttributes(bytes: Buffer, visit: (attribute: { type: number; data: Buffer }) => void): void;
}

function decodeWithNpm({ parseMessages, parseAttributes }: Structs, datagrams: readonly Buffer[]): unknown[] {
  const rows: unknown[] = [];
  for (const datagram of datagrams)
    for (const message of parseMessages(datagram)) {
      const attributes: Record<number, Buffer> = {};
      parseAttributes(message.data.subarray(4), ({ type, data }) => {
        attributes[type] = data;
      });
      rows.push(attributes);
    }
  return rows;
}

/** Median milliseconds; small dumps are decoded many times a sample, so that the clock's grain does not show. */
function median(decode: () => unknown[], rows: number): number {
  const repeat = Math.max(1, Math.round(2000 / rows));
  const samples = Array.from({ length: 31 }, () => {
    const start = performance.now();
    for (let i = 0; i < repeat; i++) if (decode().length !== rows) throw new Error('rows were lost');
    return (performance.now() - start) / repeat;
  }).sort((a, b) => a - b);
  return Number(samples[15]!.toPrecision(3));
}

export async function run(): Promise<BenchResult> {
  const structs = createRequire(import.meta.url)('netlink/dist/structs.js') as Structs;
  const figures: Record<string, number> = {};
  const baseline: Record<string, number> = {};
  // The first, unwarmed run is what an agent sees that polls every few seconds after a quiet start.
  const large = originatorDump(10000);
  const start = performance.now();
  decodeDump(large);
  figures.ms_10000_first = Number((performance.now() - start).toPrecision(3));
  for (const size of SIZES) {
    const datagrams = originatorDump(size);
    figures[`ms_${size}`] = median(() => decodeDump(datagrams), size);
    baseline[`npm_netlink_ms_${size}`] = median(() => decodeWithNpm(structs, datagrams), size);
  }
  // Ten times the rows: how many times longer each one takes.
  const growth = figures.ms_10000! / figures.ms_1000! / 10;
  figures.growth = Number(growth.toPrecision(3));
  return {
    figures,
    baseline,
    targets: [
      { figure: 'ms_10000', atMost: 30 },
      { figure: 'growth', atMost: 1 },
    ],
  };
}
