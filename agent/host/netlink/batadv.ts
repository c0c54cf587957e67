/**
 * batman-adv's generic netlink family `batadv`, version 1 (linux/batman_adv.h; the same numbers from batman-adv 2022.3 to
 * 2026.2). Every table is a dump that names the mesh interface; settings are read and written one object at a time. The
 * kernel tells of changed settings (group `config`) and finished throughput tests (group `tpmeter`), never of changed
 * tables. All but reading settings needs CAP_NET_ADMIN.
 */
import { AgentError } from '../../core/errors.ts';
import type { IfIndex, Mac } from '../../core/ids.ts';
import type {
  ArpEntry,
  Backbone,
  Claim,
  Gateway,
  HardInterface,
  LocalStation,
  MeshInfo,
  MeshSettings,
  MeshVlan,
  MulticastFlags,
  Neighbour,
  OriginatorPath,
  RemoteStation,
  RoutingAlgorithm,
  ThroughputResult,
} from '../../core/kernel.ts';
import { type Kind, macAttribute, type Reader, reader, u8Attribute, u16Attribute, u32Attribute } from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeGeneric, type Family, GENERIC_HEADER, getFamily } from './genetlink.ts';
import { isErrno } from './message.ts';

const VERSION = 1;

const CMD = {
  GET_MESH: 1,
  TP_METER: 2,
  TP_METER_CANCEL: 3,
  GET_ROUTING_ALGOS: 4,
  GET_HARDIF: 5,
  GET_TRANSTABLE_LOCAL: 6,
  GET_TRANSTABLE_GLOBAL: 7,
  GET_ORIGINATORS: 8,
  GET_NEIGHBORS: 9,
  GET_GATEWAYS: 10,
  GET_BLA_CLAIM: 11,
  GET_BLA_BACKBONE: 12,
  GET_DAT_CACHE: 13,
  GET_MCAST_FLAGS: 14,
  SET_MESH: 15,
  SET_HARDIF: 16,
  GET_VLAN: 17,
  SET_VLAN: 18,
} as const;

/** enum batadv_nl_attrs: number and payload. */
const A = {
  VERSION: [1, 'string'],
  ALGO_NAME: [2, 'string'],
  MESH_IFINDEX: [3, 'u32'],
  MESH_IFNAME: [4, 'string'],
  MESH_ADDRESS: [5, 'mac'],
  HARD_IFINDEX: [6, 'u32'],
  HARD_IFNAME: [7, 'string'],
  HARD_ADDRESS: [8, 'mac'],
  ORIG_ADDRESS: [9, 'mac'],
  TPMETER_RESULT: [10, 'u8'],
  TPMETER_TEST_TIME: [11, 'u32'],
  TPMETER_BYTES: [12, 'u64'],
  TPMETER_COOKIE: [13, 'u32'],
  ACTIVE: [15, 'flag'],
  TT_ADDRESS: [16, 'mac'],
  TT_TTVN: [17, 'u8'],
  TT_LAST_TTVN: [18, 'u8'],
  TT_CRC32: [19, 'u32'],
  TT_VID: [20, 'u16'],
  TT_FLAGS: [21, 'u32'],
  FLAG_BEST: [22, 'flag'],
  LAST_SEEN_MSECS: [23, 'u32'],
  NEIGH_ADDRESS: [24, 'mac'],
  TQ: [25, 'u8'],
  THROUGHPUT: [26, 'u32'],
  BANDWIDTH_UP: [27, 'u32'],
  BANDWIDTH_DOWN: [28, 'u32'],
  ROUTER: [29, 'mac'],
  BLA_OWN: [30, 'flag'],
  BLA_ADDRESS: [31, 'mac'],
  BLA_VID: [32, 'u16'],
  BLA_BACKBONE: [33, 'mac'],
  BLA_CRC: [34, 'u16'],
  DAT_CACHE_IP4ADDRESS: [35, 'u32'],
  DAT_CACHE_HWADDRESS: [36, 'mac'],
  DAT_CACHE_VID: [37, 'u16'],
  MCAST_FLAGS: [38, 'u32'],
  MCAST_FLAGS_PRIV: [39, 'u32'],
  VLANID: [40, 'u16'],
  AGGREGATED_OGMS_ENABLED: [41, 'u8'],
  AP_ISOLATION_ENABLED: [42, 'u8'],
  ISOLATION_MARK: [43, 'u32'],
  ISOLATION_MASK: [44, 'u32'],
  BONDING_ENABLED: [45, 'u8'],
  BRIDGE_LOOP_AVOIDANCE_ENABLED: [46, 'u8'],
  DISTRIBUTED_ARP_TABLE_ENABLED: [47, 'u8'],
  FRAGMENTATION_ENABLED: [48, 'u8'],
  GW_BANDWIDTH_DOWN: [49, 'u32'],
  GW_BANDWIDTH_UP: [50, 'u32'],
  GW_MODE: [51, 'u8'],
  GW_SEL_CLASS: [52, 'u32'],
  HOP_PENALTY: [53, 'u8'],
  MULTICAST_FORCEFLOOD_ENABLED: [55, 'u8'],
  ORIG_INTERVAL: [57, 'u32'],
  ELP_INTERVAL: [58, 'u32'],
  THROUGHPUT_OVERRIDE: [59, 'u32'],
  MULTICAST_FANOUT: [60, 'u32'],
} as const satisfies Record<string, readonly [number, Kind]>;

type Name = keyof typeof A;

/** The policy of one command's answer: what has to be there, and what may. Anything else is passed over. */
function answer(name: string, mandatory: readonly Name[], optional: readonly Name[] = []): Reader {
  const attributes = Object.fromEntries([...mandatory, ...optional].map((key) => [key, A[key]]));
  return reader({ name, attributes, mandatory });
}

const SETTINGS = [
  'AGGREGATED_OGMS_ENABLED',
  'AP_ISOLATION_ENABLED',
  'ISOLATION_MARK',
  'ISOLATION_MASK',
  'BONDING_ENABLED',
  'BRIDGE_LOOP_AVOIDANCE_ENABLED',
  'DISTRIBUTED_ARP_TABLE_ENABLED',
  'FRAGMENTATION_ENABLED',
  'GW_BANDWIDTH_DOWN',
  'GW_BANDWIDTH_UP',
  'GW_MODE',
  'GW_SEL_CLASS',
  'HOP_PENALTY',
  'MULTICAST_FORCEFLOOD_ENABLED',
  'MULTICAST_FANOUT',
  'ORIG_INTERVAL',
] as const satisfies readonly Name[];

const MESH = answer(
  'GET_MESH',
  ['VERSION', 'ALGO_NAME', 'MESH_IFINDEX', 'MESH_IFNAME', 'MESH_ADDRESS'],
  ['HARD_IFINDEX', 'HARD_IFNAME', 'HARD_ADDRESS', ...SETTINGS],
);
const ALGORITHM = answer('GET_ROUTING_ALGOS', ['ALGO_NAME']);
const HARDIF = answer(
  'GET_HARDIF',
  ['HARD_IFINDEX', 'HARD_IFNAME', 'HARD_ADDRESS'],
  ['ACTIVE', 'HOP_PENALTY', 'ELP_INTERVAL', 'THROUGHPUT_OVERRIDE'],
);
const VLAN = answer('GET_VLAN', ['MESH_IFINDEX', 'VLANID'], ['AP_ISOLATION_ENABLED']);
const ORIGINATOR = answer(
  'GET_ORIGINATORS',
  ['ORIG_ADDRESS', 'NEIGH_ADDRESS', 'HARD_IFINDEX', 'LAST_SEEN_MSECS'],
  ['HARD_IFNAME', 'FLAG_BEST', 'TQ', 'THROUGHPUT'],
);
const NEIGHBOUR = answer(
  'GET_NEIGHBORS',
  ['NEIGH_ADDRESS', 'HARD_IFINDEX', 'LAST_SEEN_MSECS'],
  ['HARD_IFNAME', 'THROUGHPUT'],
);
const GATEWAY = answer(
  'GET_GATEWAYS',
  ['ORIG_ADDRESS', 'ROUTER', 'HARD_IFNAME', 'BANDWIDTH_DOWN', 'BANDWIDTH_UP'],
  ['FLAG_BEST', 'TQ', 'THROUGHPUT'],
);
const LOCAL = answer('GET_TRANSTABLE_LOCAL', ['TT_ADDRESS', 'TT_VID', 'TT_FLAGS', 'TT_CRC32'], ['LAST_SEEN_MSECS']);
const REMOTE = answer(
  'GET_TRANSTABLE_GLOBAL',
  ['TT_ADDRESS', 'ORIG_ADDRESS', 'TT_VID', 'TT_FLAGS', 'TT_CRC32', 'TT_TTVN', 'TT_LAST_TTVN'],
  ['FLAG_BEST'],
);
const CLAIM = answer('GET_BLA_CLAIM', ['BLA_ADDRESS', 'BLA_VID', 'BLA_BACKBONE', 'BLA_CRC'], ['BLA_OWN']);
const BACKBONE = answer('GET_BLA_BACKBONE', ['BLA_BACKBONE', 'BLA_VID', 'BLA_CRC'], ['BLA_OWN', 'LAST_SEEN_MSECS']);
const ARP = answer('GET_DAT_CACHE', [
  'DAT_CACHE_IP4ADDRESS',
  'DAT_CACHE_HWADDRESS',
  'DAT_CACHE_VID',
  'LAST_SEEN_MSECS',
]);
const MULTICAST = answer('GET_MCAST_FLAGS', ['ORIG_ADDRESS'], ['MCAST_FLAGS']);
const THROUGHPUT_STARTED = answer('TP_METER', ['TPMETER_COOKIE']);
const THROUGHPUT_ENDED = answer(
  'TP_METER event',
  ['TPMETER_RESULT', 'TPMETER_COOKIE'],
  ['TPMETER_TEST_TIME', 'TPMETER_BYTES'],
);

type Building<T> = { -readonly [K in keyof T]: T[K] };

function read(policy: Reader, bytes: Uint8Array, start: number, end: number): void {
  if (end - start < GENERIC_HEADER) throw new AgentError('E_NETLINK_DECODE', `${policy.policy.name}: cut off`);
  policy.read(bytes, start + GENERIC_HEADER, end);
}

// ---- decoders: bytes[start, end) is a netlink message's payload, with the generic header ----

const GW_MODES = ['off', 'client', 'server'] as const;

export function decodeMesh(bytes: Uint8Array, start: number, end: number): MeshInfo {
  read(MESH, bytes, start, end);
  // A kernel built without a feature leaves its attributes out; writing them back is then ignored.
  const flag = (name: Name) => MESH.has(A[name][0]) && MESH.u8(A[name][0]) !== 0;
  const small = (name: Name) => (MESH.has(A[name][0]) ? MESH.u8(A[name][0]) : 0);
  const number = (name: Name) => (MESH.has(A[name][0]) ? MESH.u32(A[name][0]) : 0);
  const algorithm = MESH.string(A.ALGO_NAME[0]);
  if (algorithm !== 'BATMAN_IV' && algorithm !== 'BATMAN_V')
    throw new AgentError('E_NETLINK_DECODE', `GET_MESH: unknown routing algorithm ${algorithm}`);
  const info: Building<MeshInfo> = {
    index: MESH.u32(A.MESH_IFINDEX[0]),
    name: MESH.string(A.MESH_IFNAME[0]),
    mac: MESH.mac(A.MESH_ADDRESS[0]),
    version: MESH.string(A.VERSION[0]),
    algorithm,
    settings: {
      aggregatedOgms: flag('AGGREGATED_OGMS_ENABLED'),
      apIsolation: flag('AP_ISOLATION_ENABLED'),
      bonding: flag('BONDING_ENABLED'),
      bridgeLoopAvoidance: flag('BRIDGE_LOOP_AVOIDANCE_ENABLED'),
      distributedArpTable: flag('DISTRIBUTED_ARP_TABLE_ENABLED'),
      fragmentation: flag('FRAGMENTATION_ENABLED'),
      gwMode: GW_MODES[small('GW_MODE')] ?? 'off',
      gwBandwidthDown: number('GW_BANDWIDTH_DOWN'),
      gwBandwidthUp: number('GW_BANDWIDTH_UP'),
      gwSelClass: number('GW_SEL_CLASS'),
      hopPenalty: small('HOP_PENALTY'),
      multicastForceflood: flag('MULTICAST_FORCEFLOOD_ENABLED'),
      multicastFanout: number('MULTICAST_FANOUT'),
      origInterval: number('ORIG_INTERVAL'),
      isolationMark: number('ISOLATION_MARK'),
      isolationMask: number('ISOLATION_MASK'),
    },
  };
  if (MESH.has(A.HARD_IFINDEX[0]) && MESH.has(A.HARD_IFNAME[0]) && MESH.has(A.HARD_ADDRESS[0]))
    info.primary = {
      index: MESH.u32(A.HARD_IFINDEX[0]),
      name: MESH.string(A.HARD_IFNAME[0]),
      mac: MESH.mac(A.HARD_ADDRESS[0]),
    };
  return info;
}

export function decodeHardInterface(bytes: Uint8Array, start: number, end: number): HardInterface {
  read(HARDIF, bytes, start, end);
  const row: Building<HardInterface> = {
    index: HARDIF.u32(A.HARD_IFINDEX[0]),
    name: HARDIF.string(A.HARD_IFNAME[0]),
    mac: HARDIF.mac(A.HARD_ADDRESS[0]),
    active: HARDIF.has(A.ACTIVE[0]),
  };
  if (HARDIF.has(A.HOP_PENALTY[0])) row.hopPenalty = HARDIF.u8(A.HOP_PENALTY[0]);
  if (HARDIF.has(A.ELP_INTERVAL[0])) row.elpInterval = HARDIF.u32(A.ELP_INTERVAL[0]);
  if (HARDIF.has(A.THROUGHPUT_OVERRIDE[0])) row.throughputOverride = HARDIF.u32(A.THROUGHPUT_OVERRIDE[0]);
  return row;
}

export function decodeVlan(bytes: Uint8Array, start: number, end: number): MeshVlan {
  read(VLAN, bytes, start, end);
  return {
    mesh: VLAN.u32(A.MESH_IFINDEX[0]),
    vid: VLAN.u16(A.VLANID[0]),
    apIsolation: VLAN.has(A.AP_ISOLATION_ENABLED[0]) && VLAN.u8(A.AP_ISOLATION_ENABLED[0]) !== 0,
  };
}

export function decodeOriginator(bytes: Uint8Array, start: number, end: number): OriginatorPath {
  read(ORIGINATOR, bytes, start, end);
  const row: Building<OriginatorPath> = {
    originator: ORIGINATOR.mac(A.ORIG_ADDRESS[0]),
    neighbour: ORIGINATOR.mac(A.NEIGH_ADDRESS[0]),
    interface: ORIGINATOR.u32(A.HARD_IFINDEX[0]),
    interfaceName: ORIGINATOR.has(A.HARD_IFNAME[0]) ? ORIGINATOR.string(A.HARD_IFNAME[0]) : '',
    best: ORIGINATOR.has(A.FLAG_BEST[0]),
    lastSeenMs: ORIGINATOR.u32(A.LAST_SEEN_MSECS[0]),
  };
  if (ORIGINATOR.has(A.TQ[0])) row.tq = ORIGINATOR.u8(A.TQ[0]);
  if (ORIGINATOR.has(A.THROUGHPUT[0])) row.throughput = ORIGINATOR.u32(A.THROUGHPUT[0]);
  return row;
}

export function decodeNeighbour(bytes: Uint8Array, start: number, end: number): Neighbour {
  read(NEIGHBOUR, bytes, start, end);
  const row: Building<Neighbour> = {
    neighbour: NEIGHBOUR.mac(A.NEIGH_ADDRESS[0]),
    interface: NEIGHBOUR.u32(A.HARD_IFINDEX[0]),
    interfaceName: NEIGHBOUR.has(A.HARD_IFNAME[0]) ? NEIGHBOUR.string(A.HARD_IFNAME[0]) : '',
    lastSeenMs: NEIGHBOUR.u32(A.LAST_SEEN_MSECS[0]),
  };
  if (NEIGHBOUR.has(A.THROUGHPUT[0])) row.throughput = NEIGHBOUR.u32(A.THROUGHPUT[0]);
  return row;
}

export function decodeGateway(bytes: Uint8Array, start: number, end: number): Gateway {
  read(GATEWAY, bytes, start, end);
  const row: Building<Gateway> = {
    originator: GATEWAY.mac(A.ORIG_ADDRESS[0]),
    router: GATEWAY.mac(A.ROUTER[0]),
    interfaceName: GATEWAY.string(A.HARD_IFNAME[0]),
    best: GATEWAY.has(A.FLAG_BEST[0]),
    bandwidthDown: GATEWAY.u32(A.BANDWIDTH_DOWN[0]),
    bandwidthUp: GATEWAY.u32(A.BANDWIDTH_UP[0]),
  };
  if (GATEWAY.has(A.TQ[0])) row.tq = GATEWAY.u8(A.TQ[0]);
  if (GATEWAY.has(A.THROUGHPUT[0])) row.throughput = GATEWAY.u32(A.THROUGHPUT[0]);
  return row;
}

export function decodeLocalStation(bytes: Uint8Array, start: number, end: number): LocalStation {
  read(LOCAL, bytes, start, end);
  const row: Building<LocalStation> = {
    station: LOCAL.mac(A.TT_ADDRESS[0]),
    vid: LOCAL.u16(A.TT_VID[0]),
    flags: LOCAL.u32(A.TT_FLAGS[0]),
    crc32: LOCAL.u32(A.TT_CRC32[0]),
  };
  if (LOCAL.has(A.LAST_SEEN_MSECS[0])) row.lastSeenMs = LOCAL.u32(A.LAST_SEEN_MSECS[0]);
  return row;
}

export function decodeRemoteStation(bytes: Uint8Array, start: number, end: number): RemoteStation {
  read(REMOTE, bytes, start, end);
  return {
    station: REMOTE.mac(A.TT_ADDRESS[0]),
    originator: REMOTE.mac(A.ORIG_ADDRESS[0]),
    vid: REMOTE.u16(A.TT_VID[0]),
    flags: REMOTE.u32(A.TT_FLAGS[0]),
    crc32: REMOTE.u32(A.TT_CRC32[0]),
    ttvn: REMOTE.u8(A.TT_TTVN[0]),
    lastTtvn: REMOTE.u8(A.TT_LAST_TTVN[0]),
    best: REMOTE.has(A.FLAG_BEST[0]),
  };
}

export function decodeClaim(bytes: Uint8Array, start: number, end: number): Claim {
  read(CLAIM, bytes, start, end);
  return {
    station: CLAIM.mac(A.BLA_ADDRESS[0]),
    vid: CLAIM.u16(A.BLA_VID[0]),
    backbone: CLAIM.mac(A.BLA_BACKBONE[0]),
    crc: CLAIM.u16(A.BLA_CRC[0]),
    own: CLAIM.has(A.BLA_OWN[0]),
  };
}

export function decodeBackbone(bytes: Uint8Array, start: number, end: number): Backbone {
  read(BACKBONE, bytes, start, end);
  const row: Building<Backbone> = {
    backbone: BACKBONE.mac(A.BLA_BACKBONE[0]),
    vid: BACKBONE.u16(A.BLA_VID[0]),
    crc: BACKBONE.u16(A.BLA_CRC[0]),
    own: BACKBONE.has(A.BLA_OWN[0]),
  };
  if (BACKBONE.has(A.LAST_SEEN_MSECS[0])) row.lastSeenMs = BACKBONE.u32(A.LAST_SEEN_MSECS[0]);
  return row;
}

export function decodeArpEntry(bytes: Uint8Array, start: number, end: number): ArpEntry {
  read(ARP, bytes, start, end);
  return {
    address: ARP.bytes(A.DAT_CACHE_IP4ADDRESS[0]).subarray(0, 4).join('.'), // network order, whatever the machine's is
    mac: ARP.mac(A.DAT_CACHE_HWADDRESS[0]),
    vid: ARP.u16(A.DAT_CACHE_VID[0]),
    lastSeenMs: ARP.u32(A.LAST_SEEN_MSECS[0]),
  };
}

export function decodeMulticastFlags(bytes: Uint8Array, start: number, end: number): MulticastFlags {
  read(MULTICAST, bytes, start, end);
  const originator = MULTICAST.mac(A.ORIG_ADDRESS[0]);
  return MULTICAST.has(A.MCAST_FLAGS[0]) ? { originator, flags: MULTICAST.u32(A.MCAST_FLAGS[0]) } : { originator };
}

export function decodeRoutingAlgorithm(bytes: Uint8Array, start: number, end: number): string {
  read(ALGORITHM, bytes, start, end);
  return ALGORITHM.string(A.ALGO_NAME[0]);
}

export function decodeThroughputResult(bytes: Uint8Array, start: number, end: number): ThroughputResult {
  read(THROUGHPUT_ENDED, bytes, start, end);
  const row: Building<ThroughputResult> = {
    cookie: THROUGHPUT_ENDED.u32(A.TPMETER_COOKIE[0]),
    result: THROUGHPUT_ENDED.u8(A.TPMETER_RESULT[0]),
  };
  if (THROUGHPUT_ENDED.has(A.TPMETER_TEST_TIME[0])) row.testMs = THROUGHPUT_ENDED.u32(A.TPMETER_TEST_TIME[0]);
  if (THROUGHPUT_ENDED.has(A.TPMETER_BYTES[0])) row.bytes = THROUGHPUT_ENDED.u64(A.TPMETER_BYTES[0]);
  return row;
}

function decodeCookie(bytes: Uint8Array, start: number, end: number): number {
  read(THROUGHPUT_STARTED, bytes, start, end);
  return THROUGHPUT_STARTED.u32(A.TPMETER_COOKIE[0]);
}

// ---- encoders: complete messages, for requests, prepared repairs and the undo helper alike ----

function command(family: number, number: number, mesh: IfIndex, ...attributes: readonly Uint8Array[]): Uint8Array {
  return encodeGeneric(family, number, VERSION, u32Attribute(A.MESH_IFINDEX[0], mesh), ...attributes);
}

const WRITE: { readonly [K in keyof MeshSettings]: readonly [Name, (value: MeshSettings[K]) => number] } = {
  aggregatedOgms: ['AGGREGATED_OGMS_ENABLED', Number],
  apIsolation: ['AP_ISOLATION_ENABLED', Number],
  bonding: ['BONDING_ENABLED', Number],
  bridgeLoopAvoidance: ['BRIDGE_LOOP_AVOIDANCE_ENABLED', Number],
  distributedArpTable: ['DISTRIBUTED_ARP_TABLE_ENABLED', Number],
  fragmentation: ['FRAGMENTATION_ENABLED', Number],
  gwMode: ['GW_MODE', (mode) => GW_MODES.indexOf(mode)],
  gwBandwidthDown: ['GW_BANDWIDTH_DOWN', Number],
  gwBandwidthUp: ['GW_BANDWIDTH_UP', Number],
  gwSelClass: ['GW_SEL_CLASS', Number],
  hopPenalty: ['HOP_PENALTY', Number],
  multicastForceflood: ['MULTICAST_FORCEFLOOD_ENABLED', Number],
  multicastFanout: ['MULTICAST_FANOUT', Number],
  origInterval: ['ORIG_INTERVAL', Number],
  isolationMark: ['ISOLATION_MARK', Number],
  isolationMask: ['ISOLATION_MASK', Number],
};

function setting<K extends keyof MeshSettings>(key: K, value: MeshSettings[K]): Uint8Array {
  const [name, toNumber] = WRITE[key];
  const [type, kind] = A[name];
  return kind === 'u8' ? u8Attribute(type, toNumber(value)) : u32Attribute(type, toNumber(value));
}

/** Changes only what is named. */
export function encodeSetMesh(family: number, mesh: IfIndex, settings: Partial<MeshSettings>): Uint8Array {
  const keys = (Object.keys(WRITE) as (keyof MeshSettings)[]).filter((key) => settings[key] !== undefined);
  return command(family, CMD.SET_MESH, mesh, ...keys.map((key) => setting(key, settings[key]!)));
}

export type HardInterfaceSettings = Pick<HardInterface, 'hopPenalty' | 'elpInterval' | 'throughputOverride'>;

export function encodeSetHardInterface(
  family: number,
  mesh: IfIndex,
  index: IfIndex,
  settings: HardInterfaceSettings,
): Uint8Array {
  const { hopPenalty, elpInterval, throughputOverride } = settings;
  return command(
    family,
    CMD.SET_HARDIF,
    mesh,
    u32Attribute(A.HARD_IFINDEX[0], index),
    ...(hopPenalty === undefined ? [] : [u8Attribute(A.HOP_PENALTY[0], hopPenalty)]),
    ...(elpInterval === undefined ? [] : [u32Attribute(A.ELP_INTERVAL[0], elpInterval)]),
    ...(throughputOverride === undefined ? [] : [u32Attribute(A.THROUGHPUT_OVERRIDE[0], throughputOverride)]),
  );
}

export function encodeSetVlan(family: number, mesh: IfIndex, vid: number, apIsolation: boolean): Uint8Array {
  return command(
    family,
    CMD.SET_VLAN,
    mesh,
    u16Attribute(A.VLANID[0], vid),
    u8Attribute(A.AP_ISOLATION_ENABLED[0], Number(apIsolation)),
  );
}

// ---- over a connection ----

export interface Batadv {
  /** The family's number now, for the pure encoders. */
  familyId(): number;
  /** undefined where the interface is no mesh or does not exist. */
  mesh(mesh: IfIndex): Promise<MeshInfo | undefined>;
  setMesh(mesh: IfIndex, settings: Partial<MeshSettings>): Promise<void>;
  hardInterfaces(mesh: IfIndex): Promise<HardInterface[]>;
  hardInterface(mesh: IfIndex, index: IfIndex): Promise<HardInterface>;
  setHardInterface(mesh: IfIndex, index: IfIndex, settings: HardInterfaceSettings): Promise<void>;
  vlan(mesh: IfIndex, vid: number): Promise<MeshVlan>;
  setVlan(mesh: IfIndex, vid: number, apIsolation: boolean): Promise<void>;
  /** Tables are empty where the mesh has no active interface yet. */
  originators(mesh: IfIndex): Promise<OriginatorPath[]>;
  neighbours(mesh: IfIndex): Promise<Neighbour[]>;
  gateways(mesh: IfIndex): Promise<Gateway[]>;
  localStations(mesh: IfIndex): Promise<LocalStation[]>;
  remoteStations(mesh: IfIndex): Promise<RemoteStation[]>;
  claims(mesh: IfIndex): Promise<Claim[]>;
  backbones(mesh: IfIndex): Promise<Backbone[]>;
  arpCache(mesh: IfIndex): Promise<ArpEntry[]>;
  multicastFlags(mesh: IfIndex): Promise<MulticastFlags[]>;
  routingAlgorithms(): Promise<string[]>;
  /** Starts a test; the answer is its cookie, the result comes to subscribeThroughput(). */
  startThroughputTest(mesh: IfIndex, originator: Mac, testMs?: number): Promise<number>;
  cancelThroughputTest(mesh: IfIndex, originator: Mac): Promise<void>;
  subscribeThroughput(onResult: (result: ThroughputResult) => void): () => void;
  /** Somebody (we ourselves, batctl, netifd) changed settings of a mesh interface. Throws E_NO_BATADV where it does not tell. */
  subscribeConfig(onChange: (mesh: MeshInfo) => void): () => void;
}

/** Throws E_NO_BATADV where the kernel has no batman-adv and cannot load it. */
export async function openBatadv(generic: NetlinkConnection): Promise<Batadv> {
  const lookUp = async (): Promise<Family> => {
    const found = await getFamily(generic, 'batadv');
    if (!found)
      throw new AgentError('E_NO_BATADV', 'the kernel has no batman-adv: is the module installed and loaded?');
    return found;
  };
  let family = await lookUp();

  /** ENOENT may mean that the module was loaded anew and the family has another number. */
  async function renewed(error: unknown): Promise<boolean> {
    if (!isErrno(error, 'ENOENT')) return false;
    const before = family.id;
    family = await lookUp();
    return family.id !== before;
  }

  async function ask<T>(
    what: string,
    encode: (id: number) => Uint8Array,
    decode?: Decoder<T>,
    again = false,
  ): Promise<T[]> {
    try {
      return await generic.request(encode(family.id), what, decode, again);
    } catch (error) {
      if (!(await renewed(error))) throw error;
      return generic.request(encode(family.id), what, decode, again);
    }
  }

  async function table<T>(number: number, what: string, mesh: IfIndex, decode: Decoder<T>): Promise<T[]> {
    const dump = () => generic.dump(command(family.id, number, mesh), what, decode);
    try {
      return await dump();
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      return (await renewed(error)) ? dump() : []; // without an active primary interface the kernel says ENOENT
    }
  }

  function only<T>(rows: readonly T[], what: string): T {
    const [row] = rows;
    if (row === undefined) throw new AgentError('E_NETLINK_DECODE', `${what}: an empty answer`);
    return row;
  }

  function on(
    group: string,
    handle: (command: number, bytes: Uint8Array, start: number, end: number) => void,
    lost: () => void,
  ) {
    const number = family.groups.get(group);
    if (number === undefined) throw new AgentError('E_NO_BATADV', `this batman-adv has no multicast group ${group}`);
    return generic.subscribe(number, {
      onMessage(type, bytes, start, end) {
        if (type === family.id && end - start >= GENERIC_HEADER) handle(bytes[start]!, bytes, start, end);
      },
      onOverrun: lost,
    });
  }

  return {
    familyId: () => family.id,
    async mesh(mesh) {
      try {
        const rows = await ask('read the mesh', (id) => command(id, CMD.GET_MESH, mesh), decodeMesh, true);
        return only(rows, 'read the mesh');
      } catch (error) {
        if (isErrno(error, 'ENODEV') || isErrno(error, 'EINVAL')) return undefined;
        throw error;
      }
    },
    async setMesh(mesh, settings) {
      await ask('change the mesh', (id) => encodeSetMesh(id, mesh, settings));
    },
    hardInterfaces: (mesh) => table(CMD.GET_HARDIF, 'list hard interfaces', mesh, decodeHardInterface),
    async hardInterface(mesh, index) {
      const what = 'read a hard interface';
      const encode = (id: number) => command(id, CMD.GET_HARDIF, mesh, u32Attribute(A.HARD_IFINDEX[0], index));
      return only(await ask(what, encode, decodeHardInterface, true), what);
    },
    async setHardInterface(mesh, index, settings) {
      await ask('change a hard interface', (id) => encodeSetHardInterface(id, mesh, index, settings));
    },
    async vlan(mesh, vid) {
      const what = 'read a VLAN';
      const encode = (id: number) => command(id, CMD.GET_VLAN, mesh, u16Attribute(A.VLANID[0], vid));
      return only(await ask(what, encode, decodeVlan, true), what);
    },
    async setVlan(mesh, vid, apIsolation) {
      await ask('change a VLAN', (id) => encodeSetVlan(id, mesh, vid, apIsolation));
    },
    originators: (mesh) => table(CMD.GET_ORIGINATORS, 'list originators', mesh, decodeOriginator),
    neighbours: (mesh) => table(CMD.GET_NEIGHBORS, 'list neighbours', mesh, decodeNeighbour),
    gateways: (mesh) => table(CMD.GET_GATEWAYS, 'list gateways', mesh, decodeGateway),
    localStations: (mesh) => table(CMD.GET_TRANSTABLE_LOCAL, 'list local stations', mesh, decodeLocalStation),
    remoteStations: (mesh) => table(CMD.GET_TRANSTABLE_GLOBAL, 'list remote stations', mesh, decodeRemoteStation),
    claims: (mesh) => table(CMD.GET_BLA_CLAIM, 'list claims', mesh, decodeClaim),
    backbones: (mesh) => table(CMD.GET_BLA_BACKBONE, 'list backbone gateways', mesh, decodeBackbone),
    arpCache: (mesh) => table(CMD.GET_DAT_CACHE, 'list the ARP cache', mesh, decodeArpEntry),
    multicastFlags: (mesh) => table(CMD.GET_MCAST_FLAGS, 'list multicast flags', mesh, decodeMulticastFlags),
    routingAlgorithms: () =>
      generic.dump(
        encodeGeneric(family.id, CMD.GET_ROUTING_ALGOS, VERSION),
        'list routing algorithms',
        decodeRoutingAlgorithm,
      ),
    async startThroughputTest(mesh, originator, testMs) {
      const what = 'start a throughput test';
      const attributes = [macAttribute(A.ORIG_ADDRESS[0], originator)];
      if (testMs !== undefined) attributes.push(u32Attribute(A.TPMETER_TEST_TIME[0], testMs));
      return only(await ask(what, (id) => command(id, CMD.TP_METER, mesh, ...attributes), decodeCookie), what);
    },
    async cancelThroughputTest(mesh, originator) {
      await ask('cancel a throughput test', (id) =>
        command(id, CMD.TP_METER_CANCEL, mesh, macAttribute(A.ORIG_ADDRESS[0], originator)),
      );
    },
    subscribeThroughput: (onResult) =>
      on(
        'tpmeter',
        (number, bytes, start, end) => {
          if (number === CMD.TP_METER) onResult(decodeThroughputResult(bytes, start, end));
        },
        () => {}, // a lost result shows as a test that never ends: whoever started it has a deadline
      ),
    subscribeConfig: (onChange) =>
      on(
        'config',
        (number, bytes, start, end) => {
          if (number === CMD.SET_MESH) onChange(decodeMesh(bytes, start, end));
        },
        () => {}, // what was lost shows at the next reading
      ),
  };
}

type Decoder<T> = (bytes: Uint8Array, start: number, end: number) => T;

/** The routing algorithms that encodeCreateBatadv takes and this kernel has. */
export function isRoutingAlgorithm(name: string): name is RoutingAlgorithm {
  return name === 'BATMAN_IV' || name === 'BATMAN_V';
}
