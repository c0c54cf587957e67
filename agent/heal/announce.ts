/**
 * A frame of this router's own to itself, through bat0: batman-adv takes note of whence it came, tells at once who held the
 * address before, and the others with its next OGM (translation-table.c, batadv_tt_local_add). Where nobody holds the address
 * the frame is dropped before it is on the air; else it goes to who does, and the bridges on the way learn from it as well.
 */
import type { Effect } from '../core/effect.ts';
import { toHex } from '../core/hex.ts';
import { macToBytes } from '../core/ids.ts';
import type { Taken } from '../core/kernel.ts';
import type { Fault } from '../core/words.ts';
import type { Surroundings } from './surroundings.ts';

/** The Configuration Testing Protocol's (Ethernet 2.0, 8): what routers have long sent to themselves, and nobody answers. */
const ETH_P_LOOP = 0x9000;
const ETH_P_8021Q = 0x8100;
const VLAN_HAS_TAG = 0x8000;
const VLAN_MASK = 0x0fff;
/** The shortest frame, without its checksum. */
const LENGTH = 60;

/** The addresses that this fault is about, each on the networks where it is announced by another. */
export function announcement({ peer }: Fault, { mesh, taken }: Surroundings): Effect[] {
  const rows = taken.filter(({ originator }) => originator === peer);
  if (mesh === null || rows.length === 0) return [];
  return [{ type: 'send', frames: rows.map((row) => ({ interface: mesh.index, frame: toHex(frameOf(row)) })) }];
}

function frameOf({ station, vid }: Pick<Taken, 'station' | 'vid'>): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  const view = new DataView(bytes.buffer);
  const address = macToBytes(station);
  bytes.set(address, 0);
  bytes.set(address, 6);
  const isTagged = (vid & VLAN_HAS_TAG) !== 0;
  if (isTagged) view.setUint32(12, (ETH_P_8021Q << 16) | (vid & VLAN_MASK));
  view.setUint16(isTagged ? 16 : 12, ETH_P_LOOP);
  return bytes;
}

/** Is it such a frame? */
export function isAnnouncement(frame: string): boolean {
  const at = frame.slice(24, 28) === ETH_P_8021Q.toString(16) ? 32 : 24;
  return frame.slice(at, at + 4) === ETH_P_LOOP.toString(16) && frame.slice(0, 12) === frame.slice(12, 24);
}
