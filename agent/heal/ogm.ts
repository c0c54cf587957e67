/**
 * This router's own originator messages, read off the wire and continued.
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

export interface OwnOgm {
  readonly seqno: number;
  readonly originator: Mac;
  /** The OGM alone, from its type byte to the end of its TVLVs: what an aggregate carries behind it is cut off. */
  readonly packet: Uint8Array;
}

/** The first OGM of an Ethernet frame, or null if the frame is no OGM of this algorithm. */
export function parseOgm(frame: Uint8Array, algorithm: RoutingAlgorithm): OwnOgm | null {
  const { type, header, tvlvLength } = TYPES[algorithm];
  if (frame.length < ETHER + header) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETH_P_BATMAN) return null;
  if (frame[ETHER] !== type || frame[ETHER + 1] !== COMPAT_VERSION) return null;
  const length = header + view.getUint16(ETHER + tvlvLength);
  if (frame.length < ETHER + length) return null;
  return {
    seqno: view.getUint32(ETHER + 4),
    originator: macFromBytes(frame, ETHER + 8),
    packet: frame.slice(ETHER, ETHER + length),
  };
}

/** The same OGM with another sequence number, as a broadcast frame from `source`. */
export function continueOgm(ogm: OwnOgm, seqno: number, source: Mac): Uint8Array {
  const frame = new Uint8Array(ETHER + ogm.packet.length);
  frame.fill(0xff, 0, 6);
  macToBytes(source, frame, 6);
  const view = new DataView(frame.buffer);
  view.setUint16(12, ETH_P_BATMAN);
  frame.set(ogm.packet, ETHER);
  view.setUint32(ETHER + 4, seqno >>> 0);
  return frame;
}

/** How far `a` is ahead of `b`, in sequence numbers modulo 2^32 (negative: behind). */
export function seqnoAhead(a: number, b: number): number {
  return (a - b) | 0;
}
