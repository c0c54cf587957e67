/**
 * batman-adv's own ICMP: the echo that its kernel answers at layer 2, over however many hops, without IP.
 *
 * Layout: struct batadv_icmp_packet and batadv_icmp_packet_rr in the kernel's include/uapi/linux/batadv_packet.h
 * (compatibility version 15), after an Ethernet header: type(1) version(1) ttl(1) message(1) dst(6) orig(6) uid(1)
 * rr_cur(1) seqno(2, big-endian), and where the way is to be recorded 16 addresses: the sender enters its own interface,
 * every router on the way, there and back, the one that the packet came in by.
 */
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';

const ETH_P_BATMAN = 0x4305;
/** enum batadv_packettype */
export const PACKET_ICMP = 0x43;
export const COMPAT_VERSION = 15;
const ETHER = 14;
const HEADER = 20;
const MOST_RECORDED = 16;
/** Of the frame: what a filter looks at. */
export const TYPE_AT = ETHER;
export const UID_AT = ETHER + 16;

/** enum batadv_icmp_packettype */
const ECHO_REQUEST = 8;
const MESSAGES = { 0: 'reply', 3: 'unreachable', 11: 'ttl-exceeded' } as const;

export interface EchoRequest {
  /** Our hard interface, and the next hop's. */
  readonly source: Mac;
  readonly nextHop: Mac;
  /** Originator addresses. */
  readonly self: Mac;
  readonly target: Mac;
  /** Tells whose echo it is. */
  readonly uid: number;
  readonly seq: number;
  readonly ttl: number;
  readonly record: boolean;
}

/** Bytes of it behind the Ethernet header. */
export function echoLength(record: boolean): number {
  return HEADER + (record ? MOST_RECORDED * 6 : 0);
}

/** The whole Ethernet frame. */
export function encodeEcho({ source, nextHop, self, target, uid, seq, ttl, record }: EchoRequest): Uint8Array {
  const frame = new Uint8Array(ETHER + echoLength(record));
  const view = new DataView(frame.buffer);
  macToBytes(nextHop, frame, 0);
  macToBytes(source, frame, 6);
  view.setUint16(12, ETH_P_BATMAN);
  frame.set([PACKET_ICMP, COMPAT_VERSION, ttl, ECHO_REQUEST], ETHER);
  macToBytes(target, frame, ETHER + 4);
  macToBytes(self, frame, ETHER + 10);
  frame[UID_AT] = uid;
  view.setUint16(ETHER + 18, seq);
  if (record) {
    frame[ETHER + 17] = 1;
    macToBytes(source, frame, ETHER + HEADER);
  }
  return frame;
}

export interface EchoAnswer {
  readonly kind: (typeof MESSAGES)[keyof typeof MESSAGES];
  /** The originator that answers: who was asked, or a router on the way. */
  readonly from: Mac;
  readonly to: Mac;
  readonly uid: number;
  readonly seq: number;
  readonly ttl: number;
  /** Interfaces by which it came in on its way there and back, the sender's own first; empty where none was recorded. */
  readonly recorded: readonly Mac[];
}

/** null for what is no answer to an echo. */
export function decodeEcho(frame: Uint8Array): EchoAnswer | null {
  if (frame.length < ETHER + HEADER) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETH_P_BATMAN || frame[ETHER] !== PACKET_ICMP || frame[ETHER + 1] !== COMPAT_VERSION)
    return null;
  const kind = (MESSAGES as Readonly<Record<number, EchoAnswer['kind']>>)[frame[ETHER + 3]!];
  if (kind === undefined) return null;
  const recorded: Mac[] = [];
  // Frames on cables are padded: of a short packet, only one that is as long as it should be has a record.
  const room = frame.length >= ETHER + echoLength(true) ? Math.min(frame[ETHER + 17]!, MOST_RECORDED) : 0;
  for (let n = 0; n < room; n++) recorded.push(macFromBytes(frame, ETHER + HEADER + n * 6));
  return {
    kind,
    from: macFromBytes(frame, ETHER + 10),
    to: macFromBytes(frame, ETHER + 4),
    uid: frame[UID_AT]!,
    seq: view.getUint16(ETHER + 18),
    ttl: frame[ETHER + 2]!,
    recorded,
  };
}
