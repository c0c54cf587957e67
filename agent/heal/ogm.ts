/**
 * Originator messages of BATMAN_IV as this router's kernel sends them: its own, continued, and those it forwards,
 * withdrawn. What we send ourselves carries a mark, so that a tap that hears it too does not take it for the kernel's.
 *
 * Layout: struct batadv_ogm_packet in the kernel's include/uapi/linux/batadv_packet.h (compatibility version 15):
 * type(1) version(1) ttl(1) flags(1) seqno(4, big-endian) orig(6) prev_sender(6) reserved(1) tq(1) tvlv_len(2).
 */
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';

export const ETH_P_BATMAN = 0x4305;
/** enum batadv_packettype */
export const IV_OGM = 0x00;
const ETHER = 14;
const COMPAT_VERSION = 15;
const HEADER = 24;
/** Flag of a forwarded OGM that did not come by the best next hop (enum batadv_iv_flags): receivers ignore it. */
const NOT_BEST_NEXT_HOP = 0x01;
/** `reserved`: sent as zero and ignored by the kernel. A relay leaves it as it is. */
const MARK_OFFSET = 20;
const CONTINUED = 0x78;
const WITHDRAWN = 0x79;
const RESTORED = 0x7a;
const ANNOUNCED = 0x7b;
const TTL_OFFSET = 2;
const PREVIOUS_OFFSET = 14;
const TQ_OFFSET = 21;
/** Worth next to nothing, and still above zero after the receiver's own link has been multiplied in: a TQ of 0 is dropped. */
const WITHDRAWN_TQ = 10;

export interface Ogm {
  readonly seqno: number;
  readonly originator: Mac;
  /** The neighbour by which it came to whoever sent this frame; its own address where it is the originator's. */
  readonly previous: Mac;
  /** Begun by an agent's kick rather than by the originator's kernel. */
  readonly continued: boolean;
  /** This OGM alone, from its type byte to the end of its TVLVs. */
  readonly packet: Uint8Array;
}

/** The OGMs of one Ethernet frame (BATMAN_IV aggregates several), up to the first thing that is none. */
export function parseOgms(frame: Uint8Array): Ogm[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const found: Ogm[] = [];
  if (frame.length < ETHER + HEADER || view.getUint16(12) !== ETH_P_BATMAN) return found;
  for (let at = ETHER; at + HEADER <= frame.length; ) {
    if (frame[at] !== IV_OGM || frame[at + 1] !== COMPAT_VERSION) break;
    const end = at + HEADER + view.getUint16(at + 22);
    if (end > frame.length) break;
    const mark = frame[at + MARK_OFFSET];
    // Neither says anything about a route of ours.
    if ((frame[at + 3]! & NOT_BEST_NEXT_HOP) === 0 && mark !== WITHDRAWN && mark !== RESTORED && mark !== ANNOUNCED) {
      found.push({
        seqno: view.getUint32(at + 4),
        originator: macFromBytes(frame, at + 8),
        previous: macFromBytes(frame, at + PREVIOUS_OFFSET),
        continued: mark === CONTINUED,
        packet: frame.slice(at, end),
      });
    }
    at = end;
  }
  return found;
}

/** enum batadv_tvlv_type. Every router that announces anything announces its stations. */
export const TVLV_TT = 0x04;

/** What hangs on an OGM, by its type (struct batadv_tvlv_hdr: type, version, length). */
export function tvlvsOf({ packet }: Ogm): Map<number, Uint8Array> {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const found = new Map<number, Uint8Array>();
  for (let at = HEADER; at + 4 <= packet.length; ) {
    const end = at + 4 + view.getUint16(at + 2);
    if (end > packet.length) break;
    found.set(packet[at]!, packet.subarray(at + 4, end));
    at = end;
  }
  return found;
}

/** The same OGM with another sequence number, as a broadcast frame from `source`. */
export function continueOgm(ogm: Ogm, seqno: number, source: Mac): Uint8Array {
  const frame = broadcast(ogm, source, CONTINUED);
  new DataView(frame.buffer).setUint32(ETHER + 4, seqno >>> 0);
  return frame;
}

/**
 * Another router's OGM as we would forward its next ones: what they would be worth, and who passed them to us. With a TTL of 1
 * nobody passes it on: elsewhere a number that the originator has not sent yet would push good ways out.
 */
export function announceOgm(ogm: Ogm, seqno: number, tq: number, previous: Mac, source: Mac): Uint8Array {
  const frame = continueOgm(ogm, seqno, source);
  macToBytes(previous, frame, ETHER + PREVIOUS_OFFSET);
  frame[ETHER + TQ_OFFSET] = tq;
  frame[ETHER + TTL_OFFSET] = 1;
  frame[ETHER + MARK_OFFSET] = ANNOUNCED;
  return frame;
}

/**
 * Another router's OGM as we forwarded it last, once more, and worth next to nothing: our way to that router is gone
 * (route poisoning, RFC 2453 3.4.3). A receiver takes the same sequence number from the same neighbour again into its
 * window of five (bat_iv_ogm.c, batadv_iv_ogm_process_per_outif: `sameseq`), so a few of these empty it at once, where
 * silence takes five further OGMs.
 */
export function withdrawOgm(ogm: Ogm, source: Mac, seqno = ogm.seqno): Uint8Array {
  const frame = broadcast(ogm, source, WITHDRAWN);
  new DataView(frame.buffer).setUint32(ETHER + 4, seqno >>> 0);
  frame[ETHER + TQ_OFFSET] = WITHDRAWN_TQ;
  return frame;
}

/** What we have forwarded, once more as it is: where we withdrew the way before, it fills the window again. */
export function restoreOgm(ogm: Ogm, source: Mac): Uint8Array {
  return broadcast(ogm, source, RESTORED);
}

/** The same, worth what it is by another way: the one by which it came is gone. */
export function rerouteOgm(ogm: Ogm, tq: number, previous: Mac, source: Mac): Uint8Array {
  const frame = broadcast(ogm, source, RESTORED);
  macToBytes(previous, frame, ETHER + PREVIOUS_OFFSET);
  frame[ETHER + TQ_OFFSET] = tq;
  return frame;
}

function broadcast(ogm: Ogm, source: Mac, mark: number): Uint8Array {
  const frame = new Uint8Array(ETHER + ogm.packet.length);
  frame.fill(0xff, 0, 6);
  macToBytes(source, frame, 6);
  new DataView(frame.buffer).setUint16(12, ETH_P_BATMAN);
  frame.set(ogm.packet, ETHER);
  frame[ETHER + MARK_OFFSET] = mark;
  return frame;
}

/** How far `a` is ahead of `b`, in sequence numbers modulo 2^32 (negative: behind). */
export function seqnoAhead(a: number, b: number): number {
  return (a - b) | 0;
}
