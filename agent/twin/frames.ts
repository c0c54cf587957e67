/**
 * What travels between routers. The kernels' own messages travel as values; bytes are made of them only where an agent
 * listens, and read only where an agent sends: batman-adv's layout as in heal/ogm.ts, gateway TVLV included.
 */
import { fromHex, toHex } from '../core/hex.ts';
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';
import { ETH_P_BATMAN, IV_OGM, TVLV_TT } from '../heal/ogm.ts';

/** A MAC address as a small number: one book serves a whole simulation. */
export type Address = number;

export class AddressBook {
  readonly #macs: Mac[] = [];
  readonly #numbers = new Map<Mac, Address>();

  number(mac: Mac): Address {
    let number = this.#numbers.get(mac);
    if (number === undefined) {
      number = this.#macs.length;
      this.#macs.push(mac);
      this.#numbers.set(mac, number);
    }
    return number;
  }

  mac(address: Address): Mac {
    return this.#macs[address]!;
  }
}

/** BATADV_TVLV_GW: 100 kbit/s units. */
export interface GatewayWord {
  readonly down: number;
  readonly up: number;
}

/** What a router tells of its stations and features with each of its OGMs, to whom it means something (story.surveyed). */
export interface Announced {
  /** BATADV_TVLV_TT: version and checksum of its table. */
  readonly ttvn: number;
  readonly crc: number;
  /** BATADV_TVLV_DAT, BATADV_TVLV_MCAST: they are there where the feature is on. */
  readonly arp: boolean;
  readonly multicast: boolean;
}

/** enum batadv_iv_flags */
export const NOT_BEST_NEXT_HOP = 0x01;
export const DIRECT_LINK = 0x04;

export interface Ogm {
  readonly originator: Address;
  /** As a signed 32-bit number. */
  readonly seqno: number;
  readonly ttl: number;
  readonly flags: number;
  readonly previous: Address;
  /** `reserved`: relays leave it as it is. */
  readonly mark: number;
  readonly tq: number;
  readonly gateway: GatewayWord | null;
  readonly announced: Announced | null;
}

/** BATMAN_V: the OGM of version 2, and the echo location protocol's probe. */
export interface Ogm2 {
  readonly originator: Address;
  readonly seqno: number;
  readonly ttl: number;
  /** 100 kbit/s */
  readonly throughput: number;
  readonly gateway: GatewayWord | null;
}

/** A user's datagram on its way through the mesh. */
export interface Packet {
  readonly id: number;
  readonly target: Address;
  readonly ttl: number;
}

export type Frame =
  | { readonly kind: 'ogm'; readonly source: Address; readonly bytes: number; readonly ogms: readonly Ogm[] }
  | { readonly kind: 'ogm2'; readonly source: Address; readonly bytes: number; readonly ogms: readonly Ogm2[] }
  | { readonly kind: 'elp'; readonly source: Address; readonly bytes: number; readonly originator: Address }
  /** Of our own ethertype; `to` null for everybody. */
  | {
      readonly kind: 'raw';
      readonly source: Address;
      readonly bytes: number;
      readonly to: Address | null;
      readonly hex: string;
    }
  | {
      readonly kind: 'data';
      readonly source: Address;
      readonly bytes: number;
      readonly to: Address;
      readonly packet: Packet;
    };

const ETHER = 14;
const HEADER = 24;
const COMPAT_VERSION = 15;
/** enum batadv_tvlv_type, beside TVLV_TT. */
const TVLV_GW = 0x01;
const TVLV_DAT = 0x02;
const TVLV_MCAST = 0x06;
const GATEWAY_BYTES = 4 + 8;
/** One network, without a tag (struct batadv_tvlv_tt_data, batadv_tvlv_tt_vlan_data). */
const STATIONS_BYTES = 4 + 4 + 8;
const ARP_BYTES = 4;
const MULTICAST_BYTES = 4 + 4;
const BROADCAST = 'ffffffffffff';

export function ogmBytes({ gateway, announced }: Ogm): number {
  let bytes = HEADER + (gateway === null ? 0 : GATEWAY_BYTES);
  if (announced !== null)
    bytes += STATIONS_BYTES + (announced.arp ? ARP_BYTES : 0) + (announced.multicast ? MULTICAST_BYTES : 0);
  return bytes;
}

/** As a tap on the interface sees it. */
export function ogmFrameHex(source: Address, ogms: readonly Ogm[], book: AddressBook): string {
  let length = ETHER;
  for (const ogm of ogms) length += ogmBytes(ogm);
  const frame = new Uint8Array(length);
  const view = new DataView(frame.buffer);
  frame.fill(0xff, 0, 6);
  macToBytes(book.mac(source), frame, 6);
  view.setUint16(12, ETH_P_BATMAN);
  let at = ETHER;
  for (const ogm of ogms) {
    frame[at] = IV_OGM;
    frame[at + 1] = COMPAT_VERSION;
    frame[at + 2] = ogm.ttl;
    frame[at + 3] = ogm.flags;
    view.setInt32(at + 4, ogm.seqno);
    macToBytes(book.mac(ogm.originator), frame, at + 8);
    macToBytes(book.mac(ogm.previous), frame, at + 14);
    frame[at + 20] = ogm.mark;
    frame[at + 21] = ogm.tq;
    view.setUint16(at + 22, ogmBytes(ogm) - HEADER);
    at += HEADER;
    const { gateway, announced } = ogm;
    if (gateway !== null) {
      at = tvlv(view, at, TVLV_GW, 1, 8);
      view.setUint32(at - 8, gateway.down);
      view.setUint32(at - 4, gateway.up);
    }
    if (announced === null) continue;
    at = tvlv(view, at, TVLV_TT, 1, 12);
    view.setUint8(at - 11, announced.ttvn);
    view.setUint16(at - 10, 1);
    view.setUint32(at - 8, announced.crc);
    if (announced.arp) at = tvlv(view, at, TVLV_DAT, 1, 0);
    if (announced.multicast) at = tvlv(view, at, TVLV_MCAST, 2, 4);
  }
  return toHex(frame);
}

/** Writes a header (struct batadv_tvlv_hdr), and answers where what it is of ends. */
function tvlv(view: DataView, at: number, type: number, version: number, length: number): number {
  view.setUint8(at, type);
  view.setUint8(at + 1, version);
  view.setUint16(at + 2, length);
  return at + 4 + length;
}

/** A frame as an agent sends it. null for what no router would take. */
export function frameOf(hex: string, book: AddressBook): Frame | null {
  const bytes = fromHex(hex);
  if (bytes.length < ETHER) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const source = book.number(macFromBytes(bytes, 6));
  const to = hex.startsWith(BROADCAST) ? null : book.number(macFromBytes(bytes, 0));
  if (view.getUint16(12) !== ETH_P_BATMAN) return { kind: 'raw', source, to, hex, bytes: bytes.length };
  const ogms: Ogm[] = [];
  for (let at = ETHER; at + HEADER <= bytes.length; ) {
    if (bytes[at] !== IV_OGM || bytes[at + 1] !== COMPAT_VERSION) break;
    const end = at + HEADER + view.getUint16(at + 22);
    if (end > bytes.length) break;
    const [gateway, announced] = told(view, at + HEADER, end);
    ogms.push({
      originator: book.number(macFromBytes(bytes, at + 8)),
      seqno: view.getInt32(at + 4),
      ttl: bytes[at + 2]!,
      flags: bytes[at + 3]!,
      previous: book.number(macFromBytes(bytes, at + 14)),
      mark: bytes[at + 20]!,
      tq: bytes[at + 21]!,
      gateway,
      announced,
    });
    at = end;
  }
  return { kind: 'ogm', source, ogms, bytes: bytes.length };
}

/** What hangs on an OGM. */
function told(view: DataView, from: number, end: number): [GatewayWord | null, Announced | null] {
  let gateway: GatewayWord | null = null;
  let stations: Pick<Announced, 'ttvn' | 'crc'> | null = null;
  const types = new Set<number>();
  for (let at = from; at + 4 <= end; ) {
    const [type, length] = [view.getUint8(at), view.getUint16(at + 2)];
    at += 4;
    if (at + length > end) break;
    types.add(type);
    if (type === TVLV_GW && length >= 8) gateway = { down: view.getUint32(at), up: view.getUint32(at + 4) };
    else if (type === TVLV_TT && length >= 12) stations = { ttvn: view.getUint8(at + 1), crc: view.getUint32(at + 4) };
    at += length;
  }
  if (stations === null) return [gateway, null];
  return [gateway, { ...stations, arp: types.has(TVLV_DAT), multicast: types.has(TVLV_MCAST) }];
}
