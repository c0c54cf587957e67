/**
 * What a Linux kernel with batman-adv shows and accepts: the vocabulary that machines share with both worlds.
 * Names follow batman-adv's generic netlink (include/uapi/linux/batman_adv.h) and rtnetlink. All values are plain JSON.
 */
import type { IfIndex, Mac } from './ids.ts';

export type RoutingAlgorithm = 'BATMAN_IV' | 'BATMAN_V';

/** A network interface as rtnetlink (RTM_NEWLINK) shows it. */
export interface Link {
  readonly index: IfIndex;
  readonly name: string;
  /** '' where the interface has no 48-bit address. */
  readonly mac: Mac;
  /** IFF_UP: somebody wants it up. */
  readonly up: boolean;
  /** IFF_LOWER_UP: the carrier is there. */
  readonly carrier: boolean;
  readonly mtu: number;
  /** The index of the interface it is enslaved to (a bat0, a bridge), 0 for none. */
  readonly master: IfIndex;
  /** IFLA_INFO_KIND: 'batadv', 'bridge', 'veth', ...; '' for hardware. */
  readonly kind: string;
  /** Index of the peer or lower interface (IFLA_LINK), in whichever namespace that lies; 0 or its own where there is none. */
  readonly peer: IfIndex;
}

/** A hard interface of a mesh (GET_HARDIF). Fields that only one algorithm has are absent under the other. */
export interface HardInterface {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
  readonly active: boolean;
  readonly hopPenalty?: number;
  /** BATMAN_V: milliseconds. */
  readonly elpInterval?: number;
  /** BATMAN_V: 100 kbit/s units as the kernel has them; 0 = automatic. */
  readonly throughputOverride?: number;
}

/** What SET_HARDIF can change. */
export type HardSettings = Pick<HardInterface, 'hopPenalty' | 'elpInterval' | 'throughputOverride'>;

/** The settings and identity of one mesh interface (GET_MESH). */
export interface MeshInfo {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
  readonly version: string;
  readonly algorithm: RoutingAlgorithm;
  /** The primary hard interface's name and MAC: the originator address of this router. Absent while there is none. */
  readonly primary?: { readonly index: IfIndex; readonly name: string; readonly mac: Mac };
  readonly settings: MeshSettings;
}

/** What SET_MESH can change. */
export interface MeshSettings {
  readonly aggregatedOgms: boolean;
  readonly apIsolation: boolean;
  readonly bonding: boolean;
  readonly bridgeLoopAvoidance: boolean;
  readonly distributedArpTable: boolean;
  readonly fragmentation: boolean;
  readonly gwMode: 'off' | 'client' | 'server';
  /** 100 kbit/s units. */
  readonly gwBandwidthDown: number;
  readonly gwBandwidthUp: number;
  readonly gwSelClass: number;
  readonly hopPenalty: number;
  readonly multicastForceflood: boolean;
  readonly multicastFanout: number;
  /** Milliseconds; the kernel's minimum is 40. */
  readonly origInterval: number;
  readonly isolationMark: number;
  readonly isolationMask: number;
}

/** What a new mesh interface has (batman-adv 2022.3, batadv_meshif_init_late). */
export const STOCK_SETTINGS: MeshSettings = {
  aggregatedOgms: true,
  apIsolation: false,
  bonding: false,
  bridgeLoopAvoidance: true,
  distributedArpTable: true,
  fragmentation: true,
  gwMode: 'off',
  gwBandwidthDown: 100,
  gwBandwidthUp: 20,
  gwSelClass: 20,
  hopPenalty: 30,
  multicastForceflood: false,
  multicastFanout: 16,
  origInterval: 1000,
  isolationMark: 0,
  isolationMask: 0,
};

/** One path to an originator (GET_ORIGINATORS answers one row a path). */
export interface OriginatorPath {
  readonly originator: Mac;
  readonly neighbour: Mac;
  readonly interface: IfIndex;
  readonly interfaceName: string;
  readonly best: boolean;
  /** Milliseconds since the last OGM. */
  readonly lastSeenMs: number;
  /** BATMAN_IV: 0..255. */
  readonly tq?: number;
  /** BATMAN_V: kbit/s. */
  readonly throughput?: number;
}

/** A neighbour on one hard interface (GET_NEIGHBORS). */
export interface Neighbour {
  readonly neighbour: Mac;
  readonly interface: IfIndex;
  readonly interfaceName: string;
  readonly lastSeenMs: number;
  /** BATMAN_V: kbit/s. */
  readonly throughput?: number;
}

/** A gateway that the mesh offers (GET_GATEWAYS). Bandwidths in 100 kbit/s. */
export interface Gateway {
  readonly originator: Mac;
  readonly router: Mac;
  readonly interfaceName: string;
  readonly best: boolean;
  readonly tq?: number;
  readonly throughput?: number;
  readonly bandwidthDown: number;
  readonly bandwidthUp: number;
}

/** An address of an interface (RTM_NEWADDR), as `ip address` prints it. */
export interface InterfaceAddress {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
}

/** A change of the kernel's settings. Interfaces go by name: a name survives re-creation, an index does not. */
export type Change =
  | { readonly kind: 'set-master'; readonly interface: string; readonly master: string | null }
  | { readonly kind: 'set-up'; readonly interface: string; readonly up: boolean }
  | { readonly kind: 'set-mesh'; readonly mesh: string; readonly settings: Partial<MeshSettings> }
  | {
      readonly kind: 'create-mesh';
      readonly mesh: string;
      readonly algorithm: RoutingAlgorithm;
      readonly mac: Mac | null;
    }
  | { readonly kind: 'set-hard'; readonly interface: string; readonly settings: HardSettings }
  | { readonly kind: 'set-mtu'; readonly interface: string; readonly mtu: number }
  /** Has netifd bring up what it declares for this device (OpenWrt). */
  | { readonly kind: 'netifd-up'; readonly interface: string }
  /** Has netifd take the radio of this device down and up, with all that it declares on it. */
  | { readonly kind: 'netifd-radio'; readonly interface: string }
  /** A bridge without ports: the stable primary interface where the agent owns the mesh. */
  | { readonly kind: 'create-bridge'; readonly interface: string; readonly mac: Mac | null }
  | { readonly kind: 'add-address'; readonly interface: string; readonly address: InterfaceAddress };

/** A station of this router's own (GET_TRANSTABLE_LOCAL). Flags: BATADV_TT_CLIENT_*. */
export interface LocalStation {
  readonly station: Mac;
  /** 802.1Q id with BATADV_VLAN_HAS_TAG in bit 15. */
  readonly vid: number;
  readonly flags: number;
  readonly crc32: number;
  /** Absent for a station that is never forgotten. */
  readonly lastSeenMs?: number;
}

/** A station behind another router (GET_TRANSTABLE_GLOBAL answers one row a router that announces it). */
export interface RemoteStation {
  readonly station: Mac;
  readonly originator: Mac;
  readonly vid: number;
  readonly flags: number;
  readonly crc32: number;
  /** Version of the translation table by which it was announced, and the originator's newest. */
  readonly ttvn: number;
  readonly lastTtvn: number;
  readonly best: boolean;
}

/** A station that a backbone gateway claims (GET_BLA_CLAIM). */
export interface Claim {
  readonly station: Mac;
  readonly vid: number;
  readonly backbone: Mac;
  readonly crc: number;
  readonly own: boolean;
}

/** A gateway on a shared backbone (GET_BLA_BACKBONE). */
export interface Backbone {
  readonly backbone: Mac;
  readonly vid: number;
  readonly crc: number;
  readonly own: boolean;
  readonly lastSeenMs?: number;
}

/** An entry of the distributed ARP table's cache (GET_DAT_CACHE). */
export interface ArpEntry {
  readonly address: string;
  readonly mac: Mac;
  readonly vid: number;
  readonly lastSeenMs: number;
}

/** What multicast traffic a router wants (GET_MCAST_FLAGS). Flags absent: it does not say. */
export interface MulticastFlags {
  readonly originator: Mac;
  readonly flags?: number;
}

/** enum nl80211_plink_state: how far two mesh points have got with each other. */
export const PEER_LINK_STATES = [
  'listen',
  'open-sent',
  'open-received',
  'confirm-received',
  'established',
  'holding',
  'blocked',
] as const;

/** A neighbour's hard interface as a radio of ours knows it (nl80211, NEW_STATION). What its driver does not say is absent. */
export interface RadioStation {
  readonly interface: IfIndex;
  readonly station: Mac;
  /** dBm: of the last frame, averaged, and of acknowledgements averaged. */
  readonly signal?: number;
  readonly signalAverage?: number;
  readonly ackSignal?: number;
  /** kbit/s; the last is what rate control expects to come through. */
  readonly txBitrate?: number;
  readonly rxBitrate?: number;
  readonly expectedThroughput?: number;
  /** Milliseconds since the last frame from it. */
  readonly inactiveMs?: number;
  readonly connectedSeconds?: number;
  readonly rxPackets?: number;
  readonly txPackets?: number;
  readonly txRetries?: number;
  readonly txFailed?: number;
  readonly peerLink?: (typeof PEER_LINK_STATES)[number];
}

/** The settings of one VLAN on a mesh (GET_VLAN). */
export interface MeshVlan {
  readonly mesh: IfIndex;
  readonly vid: number;
  readonly apIsolation: boolean;
}

/** The end of a throughput test (TP_METER event). */
export interface ThroughputResult {
  /** Names the test. */
  readonly cookie: number;
  /** BATADV_TP_REASON_*: 3 complete, 4 cancelled, 128 unreachable, 129 too many resends, 130 ongoing already, ... */
  readonly result: number;
  readonly testMs?: number;
  readonly bytes?: number;
}

/** Counters of one interface since it exists (/proc/net/dev). */
export interface InterfaceCounters {
  readonly name: string;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxMulticast: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

/** How this router and the agent on it are. Unknown figures are null. */
export interface Vitals {
  /** Since the last reading, of all CPUs together: 0..1; and this process of one CPU. */
  readonly busy: number | null;
  readonly ownBusy: number;
  /** The latest that a timer of ours was since the last reading. */
  readonly lateNs: number;
  readonly availableKib: number | null;
  readonly totalKib: number | null;
  readonly rssKib: number;
  /** Free where the state lies. */
  readonly flashKib: number | null;
  /** Wall clock less CLOCK_MONOTONIC, milliseconds. */
  readonly wallOffsetMs: number;
}

/** The translation tables, summed up. */
export interface Stations {
  readonly local: number;
  readonly remote: number;
  /** Stations of ours that another router announces as its own, with who does: [station, originator]. */
  readonly disputed: readonly (readonly [Mac, Mac])[];
  /** This router's own addresses that another announces, and it no longer; absent for none. */
  readonly taken?: readonly Taken[];
  /** How long ago another router was heard on this one's LAN that avoids bridge loops, too; absent for none. */
  readonly backboneMs?: number;
  /** What our table of each originator's stations is at. */
  readonly tables: readonly StationTable[];
}

/** An address of this router's own mesh interface, or of the bridge above it, among another's stations. */
export interface Taken {
  readonly station: Mac;
  /** 802.1Q id with BATADV_VLAN_HAS_TAG in bit 15. */
  readonly vid: number;
  readonly originator: Mac;
}

export interface StationTable {
  readonly originator: Mac;
  readonly ttvn: number;
  /** [802.1Q id with its tag bit, CRC-32 of the originator's stations there] */
  readonly vlans: readonly (readonly [number, number])[];
}

/** What a gateway has behind it. */
export interface Upstream {
  /** The interface of the IPv4 default route that leads out of the mesh; null for none. */
  readonly interface: string | null;
  readonly carrier: boolean;
  /** Whether the next router answers ARP; null where the kernel has not asked lately. */
  readonly answers: boolean | null;
}

/** A batman-adv frame heard on a hard interface: its packet type and the version of its protocol. */
export interface Overheard {
  readonly source: Mac;
  readonly type: number;
  readonly version: number;
}
