/**
 * Originator messages as this router's kernel sends them: its own, continued, and those it forwards, withdrawn.
 *
 * Layouts: struct batadv_ogm_packet and struct batadv_ogm2_packet in the kernel's include/uapi/linux/batadv_packet.h
 * (compatibility version 15). Both begin type(1) version(1) ttl(1) flags(1) seqno(4, big-endian) orig(6).
 */
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';
import type { RoutingAlgorithm } from '../core/kernel.ts';

export const ETH_P_BATMAN = 0x4305;
const ETHER = 14;
const COMPAT_VERSION = 15;
const TYPES: Readonly<Record<RoutingAlgorithm, { type: number; header: number; tvlvLength: number }>> = {
  BATMAN_IV: { type: 0x00, header: 24, tvlvLength: 22 },
  BATMAN_V: { type: 0x04, header: 20, tvlvLength: 14 },
};

/** Flag of a forwarded OGM that did not come by the best next hop (enum batadv_iv_flags): receivers ignore it. */
const NOT_BEST_NEXT_HOP = 0x01;
const TQ_OFFSET = 21;
const THROUGHPUT_OFFSET = 16;
/** Worth next to nothing, and still above zero after the receiver's own link has been multiplied in: a TQ of 0 is dropped. */
const WITHDRAWN_TQ = 10;
const WITHDRAWN_THROUGHPUT = 1;

export interface Ogm {
  readonly algorithm: RoutingAlgorithm;
  readonly seqno: number;
  readonly originator: Mac;
  /** This OGM alone, from its type byte to the end of its TVLVs. */
  readonly packet: Uint8Array;
}

/** The OGMs of one Ethernet frame (BATMAN_IV and V aggregate several), up to the first thing that is none. */
export function parseOgms(frame: Uint8Array, algorithm: RoutingAlgorithm): Ogm[] {
  const { type, header, tvlvLength } = TYPES[algorithm];
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const found: Ogm[] = [];
  if (frame.length < ETHER + header || view.getUint16(12) !== ETH_P_BATMAN) return found;
  for (let at = ETHER; at + header <= frame.length; ) {
    if (frame[at] !== type || frame[at + 1] !== COMPAT_VERSION) break;
    const end = at + header + view.getUint16(at + tvlvLength);
    if (end > frame.length) break;
    // Marked ones say nothing about a route of ours.
    if (algorithm === 'BATMAN_V' || (frame[at + 3]! & NOT_BEST_NEXT_HOP) === 0) {
      found.push({
        algorithm,
        seqno: view.getUint32(at + 4),
        originator: macFromBytes(frame, at + 8),
        packet: frame.slice(at, end),
      });
    }
    at = end;
  }
  return found;
}

/** The same OGM with another sequence number, as a broadcast frame from `source`. */
export function continueOgm(ogm: Ogm, seqno: number, source: Mac): Uint8Array {
  const frame = broadcast(ogm, source);
  new DataView(frame.buffer).setUint32(ETHER + 4, seqno >>> 0);
  return frame;
}

/**
 * Another router's OGM as we forwarded it last, once more, and worth next to nothing: our way to that router is gone
 * (route poisoning, RFC 2453 3.4.3). A receiver takes the same sequence number from the same neighbour again into its
 * window of five (bat_iv_ogm.c, batadv_iv_ogm_process_per_outif: `sameseq`), so a few of these empty it at once, where
 * silence takes five further OGMs.
 */
export function withdrawOgm(ogm: Ogm, source: Mac): Uint8Array {
  const frame = broadcast(ogm, source);
  if (ogm.algorithm === 'BATMAN_IV') frame[ETHER + TQ_OFFSET] = WITHDRAWN_TQ;
  else new DataView(frame.buffer).setUint32(ETHER + THROUGHPUT_OFFSET, WITHDRAWN_THROUGHPUT);
  return frame;
}

function broadcast(ogm: Ogm, source: Mac): Uint8Array {
  const frame = new Uint8Array(ETHER + ogm.packet.length);
  frame.fill(0xff, 0, 6);
  macToBytes(source, frame, 6);
  new DataView(frame.buffer).setUint16(12, ETH_P_BATMAN);
  frame.set(ogm.packet, ETHER);
  return frame;
}

/** How far `a` is ahead of `b`, in sequence numbers modulo 2^32 (negative: behind). */
export function seqnoAhead(a: number, b: number): number {
  return (a - b) | 0;
}
