/**
 * What a tunnel's interfaces are called and have, from its configuration and the two SPIFFE ids; both ends come to the
 * same without asking each other.
 *
 * A tunnel that is a hard interface of the mesh carries Ethernet, and WireGuard carries IP: batman-adv's frames go
 * through a VXLAN (RFC 7348) whose two ends are addresses inside the tunnel, as Gluon has it. What that costs:
 *
 *     1500 of the foreign network - 80 (IPv6 40, UDP 8, WireGuard 32) = 1420, WireGuard's MTU
 *     1420 - 70 (IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14) = 1350, the hard interface's
 *
 * batman-adv wants 1532 for whole frames of 1500 and below that fragments them by itself, which is its default.
 * The VXLAN is bound to no interface below: the route to its other end decides which path it takes.
 */
import { createHash } from 'node:crypto';
import type { Mac } from '../core/ids.ts';
import type { Slot } from './message.ts';

/** IPv6, UDP, VXLAN and the inner Ethernet header. */
export const VXLAN_OVERHEAD = 70;
/** What VXLAN is received on: IANA's. */
export const VXLAN_PORT = 4789;
export const SLOTS: readonly Slot[] = ['a', 'b'];
/** Of interface names, which have 15. */
export const LONGEST_NAME = 11;

export const wireguardName = (tunnel: string, slot: Slot): string => `wg${slot}-${tunnel}`;
export const vxlanName = (tunnel: string): string => `vx-${tunnel}`;
/** Each slot has its own: two interfaces cannot share one. 0: whichever the kernel picks. */
export const portOf = (base: number, slot: Slot): number => (base === 0 ? 0 : base + SLOTS.indexOf(slot));

/** The smaller SPIFFE id leads. Whoever compares must have them in canonical form, as certificates do. */
export const leads = (own: string, peer: string): boolean => Buffer.compare(Buffer.from(own), Buffer.from(peer)) < 0;

export interface MeshEnd {
  /** Inside the tunnel: from fd00::/8, only these two use it. */
  readonly local: string;
  readonly remote: string;
  readonly vni: number;
  /** The same after a restart: for the mesh it is the same neighbour. */
  readonly mac: Mac;
}

export function meshEnd(own: string, peer: string): MeshEnd {
  const pair = leads(own, peer) ? [own, peer] : [peer, own];
  const digest = (...words: readonly string[]): Buffer =>
    createHash('sha256')
      .update(['x0tta6bl4 tunnel', ...words].join('\0'))
      .digest();
  const common = digest('mesh', ...pair);
  const address = (id: string): string => {
    const bytes = Buffer.concat([Uint8Array.of(0xfd), common.subarray(0, 7), digest('end', id).subarray(0, 8)]);
    return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
  };
  const mac = digest('mac', own, peer).subarray(0, 6);
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return {
    local: address(own),
    remote: address(peer),
    vni: common.readUIntBE(8, 3) || 1,
    mac: Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':'),
  };
}
