/**
 * Compares what agent/host/netlink/nl80211.ts reads with what `iw` prints: of a live kernel (wifi.lab.ts) and of a
 * recorded one (test/unit/netlink/nl80211.test.ts).
 */
import type { RadioStation } from '../../agent/core/kernel.ts';
import { eachMessage, NLMSG_DONE, NLMSG_ERROR } from '../../agent/host/netlink/message.ts';
import { decodeRadioInterface, decodeStation } from '../../agent/host/netlink/nl80211.ts';

type Row = Readonly<Record<string, unknown>>;

const PEER_LINKS: Readonly<Record<string, string>> = {
  LISTEN: 'listen',
  OPN_SNT: 'open-sent',
  OPN_RCVD: 'open-received',
  CNF_RCVD: 'confirm-received',
  ESTAB: 'established',
  HOLDING: 'holding',
  BLOCKED: 'blocked',
};
const TYPES: Readonly<Record<string, string>> = { 'mesh point': 'mesh', IBSS: 'ibss', managed: 'station', AP: 'ap' };

const number = (text: string): number => Number.parseInt(text, 10);
const mbits = (text: string): number => Math.round(Number.parseFloat(text) * 1000);

/** Of each line of `iw dev X station dump`: the field that it fills, and how. */
const LINES: Readonly<Record<string, readonly [keyof RadioStation, (text: string) => unknown]>> = {
  'inactive time': ['inactiveMs', number],
  'rx packets': ['rxPackets', number],
  'tx packets': ['txPackets', number],
  'tx retries': ['txRetries', number],
  'tx failed': ['txFailed', number],
  signal: ['signal', number],
  'signal avg': ['signalAverage', number],
  'avg ack signal': ['ackSignal', number],
  'tx bitrate': ['txBitrate', mbits],
  'rx bitrate': ['rxBitrate', mbits],
  'expected throughput': ['expectedThroughput', mbits],
  'mesh plink': ['peerLink', (text) => PEER_LINKS[text]],
  'connected time': ['connectedSeconds', number],
};

/** What `iw dev X station dump` printed, as rows of ours; `interface` is left out, which it gives by name. */
function iwStations(text: string): Row[] {
  return text.split(/^(?=Station )/m).flatMap((block) => {
    const station = /^Station (\S+)/.exec(block)?.[1];
    if (station === undefined) return [];
    const row: Record<string, unknown> = { station };
    for (const [, name, value] of block.matchAll(/^\t([^:]+):\s*(.*)$/gm)) {
      const line = LINES[name!.trim()];
      if (line !== undefined) row[line[0]] = line[1](value!.replace(/^\((.*)\)/, '$1').trim());
    }
    return [row];
  });
}

/** What `iw dev` printed, as rows of ours. */
function iwInterfaces(text: string): Row[] {
  return text.split(/^(?=phy#)/m).flatMap((block) => {
    const wiphy = Number(/^phy#(\d+)/.exec(block)?.[1]);
    return block.split(/^(?=\tInterface )/m).flatMap((part) => {
      const name = /^\tInterface (\S+)/.exec(part)?.[1];
      if (name === undefined) return [];
      const of = (key: string): string => new RegExp(`^\\t\\t${key} (.+)$`, 'm').exec(part)?.[1] ?? '';
      const frequency = /channel \d+ \((\d+) MHz\)/.exec(part)?.[1];
      return [
        {
          index: Number(of('ifindex')),
          name,
          mac: of('addr'),
          type: TYPES[of('type')] ?? '',
          wiphy,
          ...(frequency !== undefined && { frequency: Number(frequency) }),
        },
      ];
    });
  });
}

/** What capture-radio.ts writes. */
export interface RadioCapture {
  readonly kernel: string;
  readonly family: { readonly datagrams: readonly string[] };
  readonly interfaces: { readonly datagrams: readonly string[]; readonly iw: string };
  readonly stations: { readonly datagrams: readonly string[]; readonly before: string; readonly after: string };
  readonly events: { readonly datagrams: readonly string[] };
}

/** Every row of these datagrams that `decode` makes something of. */
export function rowsOf<T>(
  datagrams: readonly string[],
  decode: (bytes: Uint8Array, start: number, end: number) => T | undefined,
): T[] {
  const rows: T[] = [];
  for (const hex of datagrams) {
    const bytes = Buffer.from(hex, 'hex');
    eachMessage(bytes, (type, _flags, _sequence, start, end) => {
      const row = type === NLMSG_DONE || type === NLMSG_ERROR ? undefined : decode(bytes, start, end);
      if (row !== undefined) rows.push(row);
    });
  }
  return rows;
}

/** Runs on by itself, to and fro. */
const RUNNING = new Set(['interface', 'inactiveMs', 'connectedSeconds']);

/** How many radios and stations there are, and what we read of them that iw does not say. */
export function disagreements({ interfaces, stations }: RadioCapture): {
  readonly interfaces: number;
  readonly stations: number;
  readonly wrong: readonly string[];
} {
  const wrong: string[] = [];
  const radios: Row[] = rowsOf(interfaces.datagrams, decodeRadioInterface).map((radio) => ({ ...radio }));
  const theirs = iwInterfaces(interfaces.iw);
  const byIndex = (index: unknown): Row => theirs.find((row) => row.index === index) ?? {};
  for (const radio of radios) compare(`radio ${radio.name}`, radio, byIndex(radio.index), byIndex(radio.index), wrong);
  if (theirs.length !== radios.length) wrong.push(`iw has ${theirs.length} radios, we ${radios.length}`);

  // iw takes the kernel's kilobit for 1024 bits.
  const rows: Row[] = rowsOf(stations.datagrams, decodeStation).map(({ expectedThroughput: expected, ...row }) => ({
    ...row,
    ...(expected !== undefined && { expectedThroughput: Math.floor((expected * 1000) / 1024) }),
  }));
  const [before, after] = [iwStations(stations.before), iwStations(stations.after)];
  const of = (list: readonly Row[], station: unknown): Row => list.find((row) => row.station === station) ?? {};
  for (const row of rows)
    compare(`station ${row.station}`, row, of(before, row.station), of(after, row.station), wrong);
  if (before.length !== rows.length) wrong.push(`iw has ${before.length} stations, we ${rows.length}`);
  return { interfaces: radios.length, stations: rows.length, wrong };
}

/** Every field of either is in the other: a number between what it was before and after, all else as it was either time. */
function compare(what: string, ours: Row, before: Row, after: Row, wrong: string[]): void {
  for (const key of new Set([...Object.keys(ours), ...Object.keys(before)])) {
    if (RUNNING.has(key)) continue;
    const [mine, was, is] = [ours[key], before[key], after[key]];
    const isBetween =
      typeof mine === 'number' && typeof was === 'number' && typeof is === 'number'
        ? mine >= Math.min(was, is) && mine <= Math.max(was, is)
        : mine === was || mine === is;
    if (!isBetween) wrong.push(`${what}: ${key} is ${mine}, says iw ${was}, then ${is}`);
  }
}
