/** Frames as neighbours send them, for the tests of what counts them. */
import { type Mac, macToBytes } from '../../../agent/core/ids.ts';

export function ether(from: Mac, type: number, body: Uint8Array, to: Mac = 'ff:ff:ff:ff:ff:ff'): Buffer {
  const frame = Buffer.alloc(14 + body.length);
  macToBytes(to, frame);
  macToBytes(from, frame, 6);
  frame.writeUInt16BE(type, 12);
  frame.set(body, 14);
  return frame;
}

/** An OGM of BATMAN_IV: its originator's own where that is `from`. */
export function ogm(from: Mac, seqno: number, originator: Mac = from): Buffer {
  const body = Buffer.alloc(46);
  body.set([0x00, 15, 50]);
  body.writeUInt32BE(seqno >>> 0, 4);
  macToBytes(originator, body, 8);
  return ether(from, 0x4305, body);
}

export function elp(from: Mac, seqno: number): Buffer {
  const body = Buffer.alloc(16);
  body.set([0x03, 15]);
  body.writeUInt32BE(seqno >>> 0, 8);
  return ether(from, 0x4305, body);
}

/** An aggregate of BATMAN_V: [seqno, ttl] each. */
export function ogm2(from: Mac, ...each: readonly (readonly [seqno: number, ttl: number])[]): Buffer {
  const one = ([seqno, ttl]: readonly [number, number], i: number) => {
    const body = Buffer.alloc(20 + 4 * i);
    body.set([0x04, 15, ttl]);
    body.writeUInt32BE(seqno >>> 0, 4);
    body.writeUInt16BE(4 * i, 14);
    return body;
  };
  return ether(from, 0x4305, Buffer.concat(each.map(one)));
}

export interface Segment {
  readonly flags: string;
  readonly seq: number;
  readonly length?: number;
  readonly back?: boolean;
  readonly port?: number;
  readonly ipv6?: boolean;
  readonly vlan?: boolean;
  readonly fourAddresses?: boolean;
  /** IPv4's flags and offset. */
  readonly fragment?: number;
  readonly kind?: number;
}

const FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

/** A TCP segment within Ethernet within a unicast frame of batman-adv. */
export function tcp(from: Mac, s: Segment): Buffer {
  const { flags, seq, length = 0, back = false, port = 40000, ipv6 = false, vlan = false, fourAddresses = false } = s;
  const outer = Buffer.alloc(fourAddresses ? 18 : 10);
  outer.set([s.kind ?? (fourAddresses ? 0x42 : 0x40), 15, 50]);
  const inner = Buffer.from(`020000aa0001020000aa0002${vlan ? '81000007' : ''}${ipv6 ? '86dd' : '0800'}`, 'hex');
  const ends = [
    [1, port],
    [2, 80],
  ] as const;
  const [[a, sport], [b, dport]] = back ? [ends[1], ends[0]] : ends;
  const segment = Buffer.alloc(20 + length);
  segment.writeUInt16BE(sport, 0);
  segment.writeUInt16BE(dport, 2);
  segment.writeUInt32BE(seq >>> 0, 4);
  segment[12] = 0x50;
  for (const flag of flags) segment[13]! |= FLAGS[flag]!;
  const ip = Buffer.alloc(ipv6 ? 40 : 20);
  if (ipv6) {
    ip[0] = 0x60;
    ip.writeUInt16BE(segment.length, 4);
    ip[6] = 6;
    ip[23] = a;
    ip[39] = b;
  } else {
    ip[0] = 0x45;
    ip.writeUInt16BE(20 + segment.length, 2);
    ip.writeUInt16BE(s.fragment ?? 0x4000, 6);
    ip[9] = 6;
    ip.set([10, 0, 0, a, 10, 0, 0, b], 12);
  }
  return ether(from, 0x4305, Buffer.concat([outer, inner, ip, segment]));
}
