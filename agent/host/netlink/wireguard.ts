/**
 * WireGuard's generic netlink family `wireguard`, version 1 (linux/wireguard.h): reads and sets one device with its peers.
 * A device that does not fit into one message comes in several, and is set by several: device attributes stand in the
 * first only, and a peer whose allowed IPs continue is named again, with nothing but them. All of it needs CAP_NET_ADMIN.
 *
 * Keys are 32 bytes; public ones are base64 here, as `wg` shows them. Of secret ones nothing is kept but whether they are
 * set: what the kernel hands out is overwritten as soon as it is read, what we send as soon as it is sent.
 */
import { AgentError } from '../../core/errors.ts';
import type { IfIndex } from '../../core/ids.ts';
import type { SecretBytes } from '../../trust/keys/secret.ts';
import {
  bytesAttribute,
  eachAttribute,
  LITTLE_ENDIAN,
  nest,
  reader,
  stringAttribute,
  u8Attribute,
  u16At,
  u16Attribute,
  u32Attribute,
} from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeGeneric, GENERIC_HEADER, getFamily } from './genetlink.ts';
import { isErrno } from './message.ts';
import { ipBytes, ipText } from './rtnetlink.ts';

const VERSION = 1;
const CMD = { GET_DEVICE: 0, SET_DEVICE: 1 } as const;
const D = {
  IFINDEX: 1,
  IFNAME: 2,
  PRIVATE_KEY: 3,
  PUBLIC_KEY: 4,
  FLAGS: 5,
  LISTEN_PORT: 6,
  FWMARK: 7,
  PEERS: 8,
} as const;
const P = {
  PUBLIC_KEY: 1,
  PRESHARED_KEY: 2,
  FLAGS: 3,
  ENDPOINT: 4,
  KEEPALIVE: 5,
  LAST_HANDSHAKE: 6,
  RX_BYTES: 7,
  TX_BYTES: 8,
  ALLOWED_IPS: 9,
} as const;
const I = { FAMILY: 1, ADDRESS: 2, MASK: 3 } as const;
const REPLACE_PEERS = 1;
const REMOVE_ME = 1;
const REPLACE_ALLOWED_IPS = 2;
const UPDATE_ONLY = 4;
const AF_INET = 2;
const AF_INET6 = 10;
const KEY_BYTES = 32;
/** A nested attribute has at most 64 KiB, and the kernel reads a message into one piece of memory. */
const MESSAGE_MOST = 16_000;

const DEVICE = reader({
  name: 'WG_CMD_GET_DEVICE',
  attributes: {
    IFINDEX: [D.IFINDEX, 'u32'],
    IFNAME: [D.IFNAME, 'string'],
    PRIVATE_KEY: [D.PRIVATE_KEY, 'bytes'],
    PUBLIC_KEY: [D.PUBLIC_KEY, 'bytes'],
    LISTEN_PORT: [D.LISTEN_PORT, 'u16'],
    FWMARK: [D.FWMARK, 'u32'],
    PEERS: [D.PEERS, 'nested'],
  },
  mandatory: [],
});
const PEER = reader({
  name: 'WGDEVICE_A_PEERS',
  attributes: {
    PUBLIC_KEY: [P.PUBLIC_KEY, 'bytes'],
    PRESHARED_KEY: [P.PRESHARED_KEY, 'bytes'],
    ENDPOINT: [P.ENDPOINT, 'bytes'],
    KEEPALIVE: [P.KEEPALIVE, 'u16'],
    LAST_HANDSHAKE: [P.LAST_HANDSHAKE, 'bytes'],
    RX_BYTES: [P.RX_BYTES, 'u64'],
    TX_BYTES: [P.TX_BYTES, 'u64'],
    ALLOWED_IPS: [P.ALLOWED_IPS, 'nested'],
  },
  mandatory: ['PUBLIC_KEY'],
});
const ALLOWED = reader({
  name: 'WGPEER_A_ALLOWEDIPS',
  attributes: { FAMILY: [I.FAMILY, 'u16'], ADDRESS: [I.ADDRESS, 'bytes'], MASK: [I.MASK, 'u8'] },
  mandatory: ['FAMILY', 'ADDRESS', 'MASK'],
});

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  /** The interface that an IPv6 link-local address is on; 0 for none. */
  readonly scope: IfIndex;
}

export interface WireguardPeer {
  /** base64 */
  readonly publicKey: string;
  readonly hasPresharedKey: boolean;
  /** null while it is not known. It moves with the peer. */
  readonly endpoint: Endpoint | null;
  /** 0: none. */
  readonly keepaliveSeconds: number;
  /** Wall clock, milliseconds since 1970; null for never. */
  readonly lastHandshakeMs: number | null;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** As in 10.0.0.0/8 */
  readonly allowedIps: readonly string[];
}

export interface WireguardDevice {
  readonly index: IfIndex;
  readonly name: string;
  /** base64; null while it has no private key. */
  readonly publicKey: string | null;
  readonly listenPort: number;
  /** 0: none. */
  readonly fwmark: number;
  readonly peers: readonly WireguardPeer[];
}

/** What is absent stays as it is. */
export interface PeerChange {
  readonly publicKey: string;
  /** null takes it away. */
  readonly presharedKey?: SecretBytes | null;
  readonly endpoint?: Endpoint;
  readonly keepaliveSeconds?: number;
  /** Added; in place of those that it has, where `replaceAllowedIps`. An address that another peer has moves to this one. */
  readonly allowedIps?: readonly string[];
  readonly replaceAllowedIps?: boolean;
  readonly remove?: boolean;
  /** Only if there is such a peer. */
  readonly updateOnly?: boolean;
}

export interface DeviceChange {
  /** null takes it away. */
  readonly privateKey?: SecretBytes | null;
  /** 0: one that the kernel picks. */
  readonly listenPort?: number;
  readonly fwmark?: number;
  readonly replacePeers?: boolean;
  readonly peers?: readonly PeerChange[];
}

/** One message of a dump. */
export interface DevicePart {
  readonly device: Omit<WireguardDevice, 'peers'> | null;
  readonly peers: readonly WireguardPeer[];
}

function malformed(what: string): AgentError {
  return new AgentError('E_NETLINK_DECODE', `WG_CMD_GET_DEVICE: ${what}`);
}

function keyText(bytes: Uint8Array): string {
  if (bytes.length !== KEY_BYTES) throw malformed(`a key of ${bytes.length} bytes`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, KEY_BYTES).toString('base64');
}

/** Overwrites a secret that the kernel handed out, and says whether it was set. */
function wiped(secret: Uint8Array): boolean {
  const isSet = secret.some((byte) => byte !== 0);
  secret.fill(0);
  return isSet;
}

/** struct sockaddr_in or sockaddr_in6: the family in the machine's byte order, the port in the network's. */
function decodeEndpoint(bytes: Uint8Array): Endpoint | null {
  if (bytes.length < 2) return null;
  const family = u16At(bytes, 0);
  const port = (): number => (bytes[2]! << 8) | bytes[3]!;
  if (family === AF_INET && bytes.length >= 8) return { address: ipText(bytes.subarray(4, 8)), port: port(), scope: 0 };
  if (family !== AF_INET6 || bytes.length < 28) return null;
  const scope = new DataView(bytes.buffer, bytes.byteOffset).getUint32(24, LITTLE_ENDIAN);
  return { address: ipText(bytes.subarray(8, 24)), port: port(), scope };
}

/** struct __kernel_timespec */
function decodeTime(bytes: Uint8Array): number | null {
  if (bytes.length < 16) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [seconds, ns] = [Number(view.getBigInt64(0, LITTLE_ENDIAN)), Number(view.getBigInt64(8, LITTLE_ENDIAN))];
  return seconds === 0 && ns === 0 ? null : seconds * 1000 + Math.floor(ns / 1e6);
}

function decodeAllowedIps(bytes: Uint8Array, start: number, end: number): string[] {
  const found: string[] = [];
  eachAttribute(bytes, start, end, (_type, at, till) => {
    ALLOWED.read(bytes, at, till);
    const address = ALLOWED.bytes(I.ADDRESS);
    const length = { [AF_INET]: 4, [AF_INET6]: 16 }[ALLOWED.u16(I.FAMILY)];
    // A family of addresses that is not known here.
    if (length === undefined) return;
    if (address.length !== length) throw malformed(`an allowed address of ${address.length} bytes`);
    found.push(`${ipText(address)}/${ALLOWED.u8(I.MASK)}`);
  });
  return found;
}

function decodePeer(bytes: Uint8Array, start: number, end: number): WireguardPeer {
  PEER.read(bytes, start, end);
  const has = (type: number): boolean => PEER.has(type);
  return {
    publicKey: keyText(PEER.bytes(P.PUBLIC_KEY)),
    hasPresharedKey: has(P.PRESHARED_KEY) && wiped(PEER.bytes(P.PRESHARED_KEY)),
    endpoint: has(P.ENDPOINT) ? decodeEndpoint(PEER.bytes(P.ENDPOINT)) : null,
    keepaliveSeconds: has(P.KEEPALIVE) ? PEER.u16(P.KEEPALIVE) : 0,
    lastHandshakeMs: has(P.LAST_HANDSHAKE) ? decodeTime(PEER.bytes(P.LAST_HANDSHAKE)) : null,
    rxBytes: has(P.RX_BYTES) ? PEER.u64(P.RX_BYTES) : 0,
    txBytes: has(P.TX_BYTES) ? PEER.u64(P.TX_BYTES) : 0,
    allowedIps: has(P.ALLOWED_IPS) ? decodeAllowedIps(bytes, PEER.start(P.ALLOWED_IPS), PEER.end(P.ALLOWED_IPS)) : [],
  };
}

/** Reads one message of a dump, and overwrites the secrets in it. */
export function decodeDevicePart(bytes: Uint8Array, start: number, end: number): DevicePart {
  DEVICE.read(bytes, start + GENERIC_HEADER, end);
  if (DEVICE.has(D.PRIVATE_KEY)) wiped(DEVICE.bytes(D.PRIVATE_KEY));
  const device = DEVICE.has(D.IFINDEX)
    ? {
        index: DEVICE.u32(D.IFINDEX),
        name: DEVICE.has(D.IFNAME) ? DEVICE.string(D.IFNAME) : '',
        publicKey: DEVICE.has(D.PUBLIC_KEY) ? keyText(DEVICE.bytes(D.PUBLIC_KEY)) : null,
        listenPort: DEVICE.has(D.LISTEN_PORT) ? DEVICE.u16(D.LISTEN_PORT) : 0,
        fwmark: DEVICE.has(D.FWMARK) ? DEVICE.u32(D.FWMARK) : 0,
      }
    : null;
  const peers: WireguardPeer[] = [];
  if (DEVICE.has(D.PEERS))
    eachAttribute(bytes, DEVICE.start(D.PEERS), DEVICE.end(D.PEERS), (_type, at, till) =>
      peers.push(decodePeer(bytes, at, till)),
    );
  return { device, peers };
}

/** The device of a whole dump. Throws E_NETLINK_DECODE where no message says which it is. */
export function joinParts(parts: readonly DevicePart[]): WireguardDevice {
  const device = parts[0]?.device;
  if (!device) throw malformed('nothing says which device it is');
  const peers: WireguardPeer[] = [];
  for (const peer of parts.flatMap((part) => part.peers)) {
    const last = peers.at(-1);
    // The first of a message may be the last of the one before, going on.
    if (last?.publicKey === peer.publicKey)
      peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...peer.allowedIps] };
    else peers.push(peer);
  }
  return { ...device, peers };
}

function keyBytes(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== text)
    throw new AgentError('E_KEY', 'a WireGuard key is 32 bytes in base64');
  return bytes;
}

function secretAttribute(type: number, secret: SecretBytes | null): Uint8Array {
  const bytes = secret === null ? new Uint8Array(KEY_BYTES) : secret.reveal();
  if (bytes.length !== KEY_BYTES) throw new AgentError('E_KEY', `a WireGuard key is 32 bytes, not ${bytes.length}`);
  return bytesAttribute(type, bytes);
}

function address(text: string): Uint8Array {
  try {
    return ipBytes(text);
  } catch (cause) {
    throw new AgentError('E_USAGE', (cause as Error).message, {}, { cause });
  }
}

function within(what: string, value: number, most: number): number {
  if (!Number.isInteger(value) || value < 0 || value > most)
    throw new AgentError('E_USAGE', `${what} is 0 to ${most}, not ${value}`);
  return value;
}

function endpointAttribute({ address: text, port, scope }: Endpoint): Uint8Array {
  const ip = address(text);
  const bytes = new Uint8Array(ip.length === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ip.length === 4 ? AF_INET : AF_INET6, LITTLE_ENDIAN);
  view.setUint16(2, within('a port', port, 0xffff));
  bytes.set(ip, ip.length === 4 ? 4 : 8);
  if (ip.length === 16) view.setUint32(24, within('a scope', scope, 0x7fff_ffff), LITTLE_ENDIAN);
  return bytesAttribute(P.ENDPOINT, bytes);
}

function allowedIpAttribute(text: string): Uint8Array {
  const [ip = '', mask = ''] = text.split('/');
  const bytes = address(ip);
  const most = bytes.length * 8;
  if (!/^\d{1,3}$/.test(mask) || Number(mask) > most)
    throw new AgentError('E_USAGE', `an allowed address is ADDRESS/0 to ${most}, not ${text}`);
  return nest(
    0,
    u16Attribute(I.FAMILY, bytes.length === 4 ? AF_INET : AF_INET6),
    bytesAttribute(I.ADDRESS, bytes),
    u8Attribute(I.MASK, Number(mask)),
  );
}

/** A peer without its allowed addresses: `flags` and what else is to change. */
function peerAttributes(peer: PeerChange, flags: number): Uint8Array[] {
  return [
    bytesAttribute(P.PUBLIC_KEY, keyBytes(peer.publicKey)),
    ...(flags === 0 ? [] : [u32Attribute(P.FLAGS, flags)]),
    ...(peer.presharedKey === undefined ? [] : [secretAttribute(P.PRESHARED_KEY, peer.presharedKey)]),
    ...(peer.endpoint === undefined ? [] : [endpointAttribute(peer.endpoint)]),
    ...(peer.keepaliveSeconds === undefined
      ? []
      : [u16Attribute(P.KEEPALIVE, within('a keepalive', peer.keepaliveSeconds, 0xffff))]),
  ];
}

/**
 * The messages that make this change, in order. They hold the secrets: overwrite them when they are sent.
 * Throws E_KEY, E_USAGE; no error holds a key.
 */
export function encodeSetDevice(family: number, name: string, change: DeviceChange): Uint8Array[] {
  const head = [stringAttribute(D.IFNAME, name)];
  if (change.privateKey !== undefined) head.push(secretAttribute(D.PRIVATE_KEY, change.privateKey));
  if (change.listenPort !== undefined)
    head.push(u16Attribute(D.LISTEN_PORT, within('a port', change.listenPort, 0xffff)));
  if (change.fwmark !== undefined) head.push(u32Attribute(D.FWMARK, within('a mark', change.fwmark, 0xffff_ffff)));
  if (change.replacePeers === true) head.push(u32Attribute(D.FLAGS, REPLACE_PEERS));

  const messages: Uint8Array[] = [];
  let peers: Uint8Array[] = [];
  let size = 0;
  const flush = (): void => {
    const device = messages.length === 0 ? head : head.slice(0, 1);
    const list = peers.length === 0 ? [] : [nest(D.PEERS, ...peers)];
    messages.push(encodeGeneric(family, CMD.SET_DEVICE, VERSION, ...device, ...list));
    for (const part of [...device.slice(1), ...list, ...peers]) part.fill(0);
    [peers, size] = [[], 0];
  };
  const put = (peer: Uint8Array): void => {
    if (size + peer.length > MESSAGE_MOST && peers.length > 0) flush();
    peers.push(peer);
    size += peer.length;
  };
  for (const peer of change.peers ?? []) {
    const stays = peer.updateOnly === true ? UPDATE_ONLY : 0;
    const flags =
      stays | (peer.remove === true ? REMOVE_ME : 0) | (peer.replaceAllowedIps === true ? REPLACE_ALLOWED_IPS : 0);
    let attributes = peerAttributes(peer, flags);
    let ips: Uint8Array[] = [];
    let length = 0;
    const whole = (): void => {
      put(nest(0, ...attributes, ...(ips.length === 0 ? [] : [nest(P.ALLOWED_IPS, ...ips)])));
      for (const attribute of attributes) attribute.fill(0);
      // Going on: nothing is replaced any more, and what was not there before is there now or shall not be.
      attributes = peerAttributes({ publicKey: peer.publicKey }, stays);
      [ips, length] = [[], 0];
    };
    for (const text of peer.allowedIps ?? []) {
      const ip = allowedIpAttribute(text);
      if (length + ip.length > MESSAGE_MOST / 2) whole();
      ips.push(ip);
      length += ip.length;
    }
    whole();
  }
  if (peers.length > 0 || messages.length === 0) flush();
  return messages;
}

export interface Wireguard {
  /** undefined where there is no such interface, or it is none of WireGuard's. */
  device(name: string): Promise<WireguardDevice | undefined>;
  /** Where it takes several messages and one is refused, those before have been carried out. */
  set(name: string, change: DeviceChange): Promise<void>;
}

/** undefined where this kernel has no WireGuard. */
export async function openWireguard(generic: NetlinkConnection): Promise<Wireguard | undefined> {
  const family = await getFamily(generic, 'wireguard');
  if (family === undefined) return undefined;
  return {
    async device(name) {
      const ask = encodeGeneric(family.id, CMD.GET_DEVICE, VERSION, stringAttribute(D.IFNAME, name));
      try {
        return joinParts(await generic.dump(ask, 'read a WireGuard device', decodeDevicePart));
      } catch (error) {
        if (isErrno(error, 'ENODEV') || isErrno(error, 'EOPNOTSUPP')) return undefined;
        throw error;
      }
    },
    async set(name, change) {
      const messages = encodeSetDevice(family.id, name, change);
      try {
        for (const message of messages) await generic.request(message, 'change a WireGuard device');
      } finally {
        for (const message of messages) message.fill(0);
      }
    },
  };
}
