/**
 * rtnetlink (linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h; man 7 rtnetlink): interfaces, addresses, neighbours.
 *
 *     link       struct ifinfomsg: u8 family, u8 pad, u16 hardware type, s32 index, u32 flags, u32 change
 *     address    struct ifaddrmsg: u8 family, u8 prefix, u8 flags, u8 scope, u32 index
 *     neighbour  struct ndmsg: u8 family, 3 pad, s32 index, u16 state, u8 flags, u8 type
 *
 * each followed by attributes. The encode functions are pure and answer complete messages: the undo helper and prepared
 * repairs keep the bytes. An interface is named by index, or by name where the message has to outlive re-creation.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { AgentError } from '../../core/errors.ts';
import type { IfIndex, Mac } from '../../core/ids.ts';
import type { InterfaceAddress, Link, RoutingAlgorithm } from '../../core/kernel.ts';
import {
  bytesAttribute,
  join,
  macAttribute,
  nest,
  reader,
  s32At,
  stringAttribute,
  u8Attribute,
  u16At,
  u32At,
  u32Attribute,
  u32Bytes,
} from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeMessage, isErrno, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;

const RTNLGRP_LINK = 1;

const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;
const AF_INET = 2;
const AF_INET6 = 10;
/** IFLA_EXT_MASK: without counters, which are two thirds of a link message and which nobody here reads. */
const RTEXT_FILTER_SKIP_STATS = 8;

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  WIRELESS: 11,
  LINKINFO: 18,
  EXT_MASK: 29,
} as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_BATADV_ALGO_NAME = 1;
const IFLA_VXLAN = { ID: 1, LEARNING: 7, PORT: 15, GROUP6: 16, LOCAL6: 17 } as const;

const LINK = reader({
  name: 'RTM_NEWLINK',
  attributes: {
    IFLA_ADDRESS: [IFLA.ADDRESS, 'bytes'],
    IFLA_IFNAME: [IFLA.IFNAME, 'string'],
    IFLA_MTU: [IFLA.MTU, 'u32'],
    IFLA_LINK: [IFLA.LINK, 'u32'],
    IFLA_MASTER: [IFLA.MASTER, 'u32'],
    IFLA_WIRELESS: [IFLA.WIRELESS, 'bytes'],
    IFLA_LINKINFO: [IFLA.LINKINFO, 'nested'],
  },
  mandatory: ['IFLA_IFNAME'],
});
const LINKINFO = reader({
  name: 'IFLA_LINKINFO',
  attributes: { IFLA_INFO_KIND: [IFLA_INFO_KIND, 'string'] },
  mandatory: [],
});

/** An interface by index, or by name. */
export type Which = IfIndex | string;

function ifinfomsg(which: Which, flags = 0, change = 0): Uint8Array {
  const index = typeof which === 'number' ? which : 0;
  return join([new Uint8Array(4), u32Bytes(index), u32Bytes(flags), u32Bytes(change)]);
}

function named(which: Which): Uint8Array[] {
  return typeof which === 'string' ? [stringAttribute(IFLA.IFNAME, which)] : [];
}

/** Reads RTM_NEWLINK and RTM_DELLINK. undefined: not about the interface as a whole (a bridge's port, a wireless event). */
export function decodeLink(bytes: Uint8Array, start: number, end: number): Link | undefined {
  if (end - start < 16) throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWLINK: cut off');
  // A bridge tells of its ports with family AF_BRIDGE: leaving the bridge then looks like RTM_DELLINK.
  if (bytes[start] !== 0) return undefined;
  LINK.read(bytes, start + 16, end);
  if (LINK.has(IFLA.WIRELESS) || !LINK.has(IFLA.MTU)) return undefined; // wireless extensions send a rump
  const flags = u32At(bytes, start + 8);
  let kind = '';
  if (LINK.has(IFLA.LINKINFO)) {
    LINKINFO.read(bytes, LINK.start(IFLA.LINKINFO), LINK.end(IFLA.LINKINFO));
    if (LINKINFO.has(IFLA_INFO_KIND)) kind = LINKINFO.string(IFLA_INFO_KIND);
  }
  const ethernet = LINK.has(IFLA.ADDRESS) && LINK.end(IFLA.ADDRESS) - LINK.start(IFLA.ADDRESS) === 6;
  return {
    index: s32At(bytes, start + 4),
    name: LINK.string(IFLA.IFNAME),
    mac: ethernet ? LINK.mac(IFLA.ADDRESS) : '',
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    mtu: LINK.u32(IFLA.MTU),
    master: LINK.has(IFLA.MASTER) ? LINK.u32(IFLA.MASTER) : 0,
    kind,
    // An index in another namespace would only be taken for one of ours.
    peer: LINK.has(IFLA.LINK) ? LINK.u32(IFLA.LINK) : 0,
  };
}

const SLIM = u32Attribute(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);

export function encodeDumpLinks(): Uint8Array {
  return encodeMessage(RTM_GETLINK, 0, ifinfomsg(0), SLIM);
}

export function encodeGetLink(which: Which): Uint8Array {
  return encodeMessage(RTM_GETLINK, 0, ifinfomsg(which), ...named(which), SLIM);
}

function encodeCreate(name: string, kind: string, mac: Mac | null, data: readonly Uint8Array[] = []): Uint8Array {
  return encodeMessage(
    RTM_NEWLINK,
    NLM_F_CREATE | NLM_F_EXCL,
    ifinfomsg(0),
    stringAttribute(IFLA.IFNAME, name),
    ...(mac ? [macAttribute(IFLA.ADDRESS, mac)] : []),
    nest(
      IFLA.LINKINFO,
      stringAttribute(IFLA_INFO_KIND, kind),
      ...(data.length > 0 ? [nest(IFLA_INFO_DATA, ...data)] : []),
    ),
  );
}

export function encodeCreateBatadv(name: string, algorithm: RoutingAlgorithm, mac: Mac | null = null): Uint8Array {
  return encodeCreate(name, 'batadv', mac, [stringAttribute(IFLA_BATADV_ALGO_NAME, algorithm)]);
}

export function encodeCreateBridge(name: string, mac: Mac | null = null): Uint8Array {
  return encodeCreate(name, 'bridge', mac);
}

export function encodeCreateVeth(
  name: string,
  peer: string,
  mac: Mac | null = null,
  peerMac: Mac | null = null,
): Uint8Array {
  const other = join([
    ifinfomsg(0),
    stringAttribute(IFLA.IFNAME, peer),
    ...(peerMac ? [macAttribute(IFLA.ADDRESS, peerMac)] : []),
  ]);
  return encodeCreate(name, 'veth', mac, [bytesAttribute(VETH_INFO_PEER | 0x8000, other)]);
}

export function encodeCreateWireguard(name: string): Uint8Array {
  return encodeCreate(name, 'wireguard', null);
}

export interface VxlanEnds {
  /** IPv6 addresses. */
  readonly local: string;
  readonly remote: string;
  readonly vni: number;
  /** UDP, of both. */
  readonly port: number;
}

/** From one address to one other, bound to no interface: the routes decide. It learns nothing, there is only one other end. */
export function encodeCreateVxlan(name: string, { local, remote, vni, port }: VxlanEnds, mac: Mac): Uint8Array {
  return encodeCreate(name, 'vxlan', mac, [
    u32Attribute(IFLA_VXLAN.ID, vni),
    bytesAttribute(IFLA_VXLAN.LOCAL6, ipBytes(local)),
    bytesAttribute(IFLA_VXLAN.GROUP6, ipBytes(remote)),
    bytesAttribute(IFLA_VXLAN.PORT, Uint8Array.of(port >> 8, port & 0xff)),
    u8Attribute(IFLA_VXLAN.LEARNING, 0),
  ]);
}

export function encodeDeleteLink(which: Which): Uint8Array {
  return encodeMessage(RTM_DELLINK, 0, ifinfomsg(which), ...named(which));
}

/** Puts an interface under a bat0 or a bridge; master 0 takes it out. */
export function encodeSetMaster(which: Which, master: IfIndex): Uint8Array {
  return encodeMessage(RTM_NEWLINK, 0, ifinfomsg(which), ...named(which), u32Attribute(IFLA.MASTER, master));
}

export function encodeSetUp(which: Which, up: boolean): Uint8Array {
  return encodeMessage(RTM_NEWLINK, 0, ifinfomsg(which, up ? IFF_UP : 0, IFF_UP), ...named(which));
}

export function encodeSetMac(which: Which, mac: Mac): Uint8Array {
  return encodeMessage(RTM_NEWLINK, 0, ifinfomsg(which), ...named(which), macAttribute(IFLA.ADDRESS, mac));
}

export function encodeSetMtu(which: Which, mtu: number): Uint8Array {
  return encodeMessage(RTM_NEWLINK, 0, ifinfomsg(which), ...named(which), u32Attribute(IFLA.MTU, mtu));
}

// ---- addresses ----

/** RFC 5952 */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  let [best, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === '0') run++;
    if (run > length) [best, length] = [i, run];
  }
  if (best < 0) return groups.join(':');
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + length).join(':')}`;
}

/** Throws a RangeError for what is no IP address (a zone is none). */
export function ipBytes(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) throw new RangeError(`not an IP address: ${text}`);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16);
  const plain = dotted ? `${dotted[1]}${hex(dotted[2]!, dotted[3]!)}:${hex(dotted[4]!, dotted[5]!)}` : text;
  const [head = '', tail] = plain.split('::');
  const split = (part: string | undefined) => (part ? part.split(':') : []);
  const [before, after] = [split(head), split(tail)];
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}

export interface AddressRow extends InterfaceAddress {
  readonly index: IfIndex;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
  /** Set by somebody, not learned from a router or made for a time. */
  readonly permanent: boolean;
}

const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NODAD = 0x02;
const ADDRESS = reader({
  name: 'RTM_NEWADDR',
  attributes: { IFA_ADDRESS: [IFA.ADDRESS, 'bytes'], IFA_LOCAL: [IFA.LOCAL, 'bytes'], IFA_FLAGS: [IFA.FLAGS, 'u32'] },
  mandatory: [],
});

export function decodeAddress(bytes: Uint8Array, start: number, end: number): AddressRow | undefined {
  if (end - start < 8) throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWADDR: cut off');
  const family = bytes[start]!;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  ADDRESS.read(bytes, start + 8, end);
  // With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours.
  const which = ADDRESS.has(IFA.LOCAL) ? IFA.LOCAL : IFA.ADDRESS;
  const length = family === AF_INET ? 4 : 16;
  if (!ADDRESS.has(which) || ADDRESS.end(which) - ADDRESS.start(which) !== length)
    throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWADDR: no address of its family');
  return {
    index: s32At(bytes, start + 4),
    family: family === AF_INET ? 4 : 6,
    address: ipText(ADDRESS.bytes(which)),
    prefix: bytes[start + 1]!,
    scope: bytes[start + 3]!,
    permanent: ((ADDRESS.has(IFA.FLAGS) ? ADDRESS.u32(IFA.FLAGS) : bytes[start + 2]!) & IFA_F_PERMANENT) !== 0,
  };
}

function encodeAddress(
  type: number,
  flags: number,
  index: IfIndex,
  address: InterfaceAddress,
  addressFlags = 0,
): Uint8Array {
  const ip = ipBytes(address.address);
  if (ip.length !== (address.family === 4 ? 4 : 16) || address.prefix > ip.length * 8)
    throw new RangeError(`not an IPv${address.family} address: ${address.address}/${address.prefix}`);
  const head = Uint8Array.of(address.family === 4 ? AF_INET : AF_INET6, address.prefix, addressFlags, 0);
  return encodeMessage(
    type,
    flags,
    join([head, u32Bytes(index)]),
    bytesAttribute(IFA.LOCAL, ip),
    bytesAttribute(IFA.ADDRESS, ip),
  );
}

export function encodeAddAddress(index: IfIndex, address: InterfaceAddress): Uint8Array {
  return encodeAddress(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address);
}

/**
 * An address of the router itself, for its loopback interface. Without IFA_F_NODAD one of IPv6 is tentative until a worker
 * of the kernel has run, also there, and until then no route may be sent from it: EINVAL (ip6_route_info_create).
 */
export function encodeAddOwnAddress(index: IfIndex, address: InterfaceAddress): Uint8Array {
  const flags = address.family === 6 ? IFA_F_NODAD : 0;
  return encodeAddress(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address, flags);
}

export function encodeDeleteAddress(index: IfIndex, address: InterfaceAddress): Uint8Array {
  return encodeAddress(RTM_DELADDR, 0, index, address);
}

export function encodeDumpAddresses(): Uint8Array {
  return encodeMessage(RTM_GETADDR, 0, new Uint8Array(8));
}

// ---- neighbours (ARP and NDP) ----

export interface IpNeighbour {
  readonly index: IfIndex;
  readonly address: string;
  /** Absent while it is being resolved. */
  readonly mac?: Mac;
  /** NUD_*: 2 reachable, 4 stale, 32 failed, 128 permanent, ... */
  readonly state: number;
}

const NDA = { DST: 1, LLADDR: 2 } as const;
const NEIGHBOUR = reader({
  name: 'RTM_NEWNEIGH',
  attributes: { NDA_DST: [NDA.DST, 'bytes'], NDA_LLADDR: [NDA.LLADDR, 'bytes'] },
  mandatory: [],
});

export function decodeIpNeighbour(bytes: Uint8Array, start: number, end: number): IpNeighbour | undefined {
  if (end - start < 12) throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWNEIGH: cut off');
  const family = bytes[start]!;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  NEIGHBOUR.read(bytes, start + 12, end);
  if (!NEIGHBOUR.has(NDA.DST) || NEIGHBOUR.end(NDA.DST) - NEIGHBOUR.start(NDA.DST) !== (family === AF_INET ? 4 : 16))
    throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWNEIGH: no address of its family');
  const hasMac = NEIGHBOUR.has(NDA.LLADDR) && NEIGHBOUR.end(NDA.LLADDR) - NEIGHBOUR.start(NDA.LLADDR) === 6;
  return {
    index: s32At(bytes, start + 4),
    address: ipText(NEIGHBOUR.bytes(NDA.DST)),
    ...(hasMac && { mac: NEIGHBOUR.mac(NDA.LLADDR) }),
    state: u16At(bytes, start + 8),
  };
}

const NTF_USE = 1;

/** As though a packet were sent to it: what is stale is asked for anew, and who does not answer has failed seconds later. */
export function encodeUseIpNeighbour(index: IfIndex, address: string): Uint8Array {
  const ip = ipBytes(address);
  const family = ip.length === 4 ? AF_INET : AF_INET6;
  const head = [Uint8Array.of(family, 0, 0, 0), u32Bytes(index), Uint8Array.of(0, 0, NTF_USE, 0)];
  return encodeMessage(RTM_NEWNEIGH, NLM_F_CREATE, join(head), bytesAttribute(NDA.DST, ip));
}

export function encodeDumpIpNeighbours(): Uint8Array {
  return encodeMessage(RTM_GETNEIGH, 0, new Uint8Array(12));
}

// ---- over a connection ----

export function dumpLinks(route: NetlinkConnection): Promise<Link[]> {
  return route.dump(encodeDumpLinks(), 'list interfaces', (bytes, start, end, type) =>
    type === RTM_NEWLINK ? decodeLink(bytes, start, end) : undefined,
  );
}

/** One interface as it is now, undefined where there is none. */
export async function getLink(route: NetlinkConnection, which: Which): Promise<Link | undefined> {
  try {
    const [link] = await route.request(encodeGetLink(which), `look at interface ${which}`, decodeLink, true);
    return link;
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return undefined;
    throw error;
  }
}

export function dumpAddresses(route: NetlinkConnection): Promise<AddressRow[]> {
  return route.dump(encodeDumpAddresses(), 'list addresses', (bytes, start, end, type) =>
    type === RTM_NEWADDR ? decodeAddress(bytes, start, end) : undefined,
  );
}

export function dumpIpNeighbours(route: NetlinkConnection): Promise<IpNeighbour[]> {
  return route.dump(encodeDumpIpNeighbours(), 'list neighbours', (bytes, start, end, type) =>
    type === RTM_NEWNEIGH ? decodeIpNeighbour(bytes, start, end) : undefined,
  );
}

/** Any message of the encode functions that changes something. */
export async function change(route: NetlinkConnection, message: Uint8Array, what: string): Promise<void> {
  await route.request(message, what);
}

export interface LinkSubscriber {
  onChange(link: Link): void;
  onGone(index: IfIndex, name: string): void;
  /** Events were lost: read all links anew. */
  onResync(): void;
}

/** Changes of interfaces from now on; read the state itself with dumpLinks() afterwards. The answer ends it. */
export function subscribeLinks(route: NetlinkConnection, subscriber: LinkSubscriber): () => void {
  return route.subscribe(RTNLGRP_LINK, {
    onMessage(type, bytes, start, end) {
      if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return;
      const link = decodeLink(bytes, start, end);
      if (!link) return;
      if (type === RTM_NEWLINK) subscriber.onChange(link);
      else subscriber.onGone(link.index, link.name);
    },
    onOverrun: () => subscriber.onResync(),
  });
}
