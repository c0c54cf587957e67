/**
 * nl80211, the generic netlink family of Wi-Fi (linux/nl80211.h): which interfaces are radios, what each knows of its
 * stations, and what the kernel tells of them in group `mlme`: new, gone, candidate for a peer link, packets lost (mac80211:
 * fifty in a row without an acknowledgement, and none for a second). Reading needs no rights.
 */
import type { IfIndex, Mac } from '../../core/ids.ts';
import { PEER_LINK_STATES, type RadioStation } from '../../core/kernel.ts';
import { type Kind, type Reader, reader, u32Attribute } from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeGeneric, GENERIC_HEADER, getFamily } from './genetlink.ts';
import { isErrno } from './message.ts';

const VERSION = 1;
const GROUP = 'mlme';

const CMD = {
  GET_INTERFACE: 5,
  GET_STATION: 17,
  NEW_STATION: 19,
  DEL_STATION: 20,
  NOTIFY_CQM: 64,
  NEW_PEER_CANDIDATE: 72,
} as const;

/** enum nl80211_attrs: number and payload. */
const A = {
  WIPHY: [1, 'u32'],
  IFINDEX: [3, 'u32'],
  IFNAME: [4, 'string'],
  IFTYPE: [5, 'u32'],
  MAC: [6, 'mac'],
  STA_INFO: [21, 'nested'],
  WIPHY_FREQ: [38, 'u32'],
  CQM: [94, 'nested'],
  RX_SIGNAL_DBM: [151, 'u32'],
} as const satisfies Record<string, readonly [number, Kind]>;

/** enum nl80211_sta_info. Signals are signed. */
const S = {
  INACTIVE_TIME: [1, 'u32'],
  PLINK_STATE: [6, 'u8'],
  SIGNAL: [7, 'u8'],
  TX_BITRATE: [8, 'nested'],
  RX_PACKETS: [9, 'u32'],
  TX_PACKETS: [10, 'u32'],
  TX_RETRIES: [11, 'u32'],
  TX_FAILED: [12, 'u32'],
  SIGNAL_AVG: [13, 'u8'],
  RX_BITRATE: [14, 'nested'],
  CONNECTED_TIME: [16, 'u32'],
  EXPECTED_THROUGHPUT: [27, 'u32'],
  ACK_SIGNAL_AVG: [35, 'u8'],
} as const satisfies Record<string, readonly [number, Kind]>;

/** enum nl80211_rate_info: 100 kbit/s; the 16-bit one is absent above 6.5 Gbit/s. */
const RATE = { BITRATE: [1, 'u16'], BITRATE32: [5, 'u32'] } as const;
const PKT_LOSS_EVENT = 4;

/** enum nl80211_iftype, up to what can carry a mesh; others are ''. */
const TYPES = ['', 'ibss', 'station', 'ap', 'ap-vlan', 'wds', 'monitor', 'mesh'] as const;

type Name = keyof typeof A;

function policy(name: string, mandatory: readonly Name[], optional: readonly Name[] = []): Reader {
  const attributes = Object.fromEntries([...mandatory, ...optional].map((key) => [key, A[key]]));
  return reader({ name, attributes, mandatory });
}

const INTERFACE = policy('NEW_INTERFACE', ['IFTYPE', 'WIPHY'], ['IFINDEX', 'IFNAME', 'MAC', 'WIPHY_FREQ']);
const STATION = policy('NEW_STATION', ['IFINDEX', 'MAC'], ['STA_INFO']);
const CANDIDATE = policy('NEW_PEER_CANDIDATE', ['IFINDEX', 'MAC'], ['RX_SIGNAL_DBM']);
const QUALITY = policy('NOTIFY_CQM', ['IFINDEX', 'CQM'], ['MAC']);
const INFO = reader({ name: 'STA_INFO', attributes: S, mandatory: [] });
const BITRATE = reader({ name: 'RATE_INFO', attributes: RATE, mandatory: [] });
const LOSS = reader({ name: 'CQM', attributes: { PKT_LOSS_EVENT: [PKT_LOSS_EVENT, 'u32'] }, mandatory: [] });

type Building<T> = { -readonly [K in keyof T]: T[K] };

/** An interface of a radio (NEW_INTERFACE). */
export interface RadioInterface {
  readonly index: IfIndex;
  readonly name: string;
  /** '' where it has none. */
  readonly mac: Mac;
  readonly type: (typeof TYPES)[number];
  /** The radio's number, as in phy0. */
  readonly wiphy: number;
  /** MHz; absent while it is on no channel. */
  readonly frequency?: number;
}

/** undefined for what has no network interface (P2P devices). */
export function decodeRadioInterface(bytes: Uint8Array, start: number, end: number): RadioInterface | undefined {
  INTERFACE.read(bytes, start + GENERIC_HEADER, end);
  if (!INTERFACE.has(A.IFINDEX[0])) return undefined;
  return {
    index: INTERFACE.u32(A.IFINDEX[0]),
    name: INTERFACE.has(A.IFNAME[0]) ? INTERFACE.string(A.IFNAME[0]) : '',
    mac: INTERFACE.has(A.MAC[0]) ? INTERFACE.mac(A.MAC[0]) : '',
    type: TYPES[INTERFACE.u32(A.IFTYPE[0])] ?? '',
    wiphy: INTERFACE.u32(A.WIPHY[0]),
    ...(INTERFACE.has(A.WIPHY_FREQ[0]) && { frequency: INTERFACE.u32(A.WIPHY_FREQ[0]) }),
  };
}

function bitrate(bytes: Uint8Array, start: number, end: number): number | undefined {
  BITRATE.read(bytes, start, end);
  if (BITRATE.has(RATE.BITRATE32[0])) return BITRATE.u32(RATE.BITRATE32[0]) * 100;
  return BITRATE.has(RATE.BITRATE[0]) ? BITRATE.u16(RATE.BITRATE[0]) * 100 : undefined;
}

/** NEW_STATION, and DEL_STATION with the last that was known of it. */
export function decodeStation(bytes: Uint8Array, start: number, end: number): RadioStation {
  STATION.read(bytes, start + GENERIC_HEADER, end);
  const row: Building<RadioStation> = { interface: STATION.u32(A.IFINDEX[0]), station: STATION.mac(A.MAC[0]) };
  if (!STATION.has(A.STA_INFO[0])) return row;
  INFO.read(bytes, STATION.start(A.STA_INFO[0]), STATION.end(A.STA_INFO[0]));
  const signed = ([type]: readonly [number, Kind]) => (INFO.u8(type) << 24) >> 24;
  if (INFO.has(S.SIGNAL[0])) row.signal = signed(S.SIGNAL);
  if (INFO.has(S.SIGNAL_AVG[0])) row.signalAverage = signed(S.SIGNAL_AVG);
  if (INFO.has(S.ACK_SIGNAL_AVG[0])) row.ackSignal = signed(S.ACK_SIGNAL_AVG);
  if (INFO.has(S.INACTIVE_TIME[0])) row.inactiveMs = INFO.u32(S.INACTIVE_TIME[0]);
  if (INFO.has(S.CONNECTED_TIME[0])) row.connectedSeconds = INFO.u32(S.CONNECTED_TIME[0]);
  if (INFO.has(S.RX_PACKETS[0])) row.rxPackets = INFO.u32(S.RX_PACKETS[0]);
  if (INFO.has(S.TX_PACKETS[0])) row.txPackets = INFO.u32(S.TX_PACKETS[0]);
  if (INFO.has(S.TX_RETRIES[0])) row.txRetries = INFO.u32(S.TX_RETRIES[0]);
  if (INFO.has(S.TX_FAILED[0])) row.txFailed = INFO.u32(S.TX_FAILED[0]);
  if (INFO.has(S.EXPECTED_THROUGHPUT[0])) row.expectedThroughput = INFO.u32(S.EXPECTED_THROUGHPUT[0]);
  const peerLink = INFO.has(S.PLINK_STATE[0]) ? PEER_LINK_STATES[INFO.u8(S.PLINK_STATE[0])] : undefined;
  if (peerLink !== undefined) row.peerLink = peerLink;
  const tx = INFO.has(S.TX_BITRATE[0])
    ? bitrate(bytes, INFO.start(S.TX_BITRATE[0]), INFO.end(S.TX_BITRATE[0]))
    : undefined;
  if (tx !== undefined) row.txBitrate = tx;
  const rx = INFO.has(S.RX_BITRATE[0])
    ? bitrate(bytes, INFO.start(S.RX_BITRATE[0]), INFO.end(S.RX_BITRATE[0]))
    : undefined;
  if (rx !== undefined) row.rxBitrate = rx;
  return row;
}

/** Frames to a station that nobody acknowledged, in a row. */
export interface PacketsLost {
  readonly interface: IfIndex;
  readonly station: Mac;
  readonly count: number;
}

/** undefined for what else NOTIFY_CQM tells: signal thresholds, lost beacons. */
export function decodePacketsLost(bytes: Uint8Array, start: number, end: number): PacketsLost | undefined {
  QUALITY.read(bytes, start + GENERIC_HEADER, end);
  LOSS.read(bytes, QUALITY.start(A.CQM[0]), QUALITY.end(A.CQM[0]));
  if (!LOSS.has(PKT_LOSS_EVENT) || !QUALITY.has(A.MAC[0])) return undefined;
  return {
    interface: QUALITY.u32(A.IFINDEX[0]),
    station: QUALITY.mac(A.MAC[0]),
    count: LOSS.u32(PKT_LOSS_EVENT),
  };
}

/** A mesh point that is heard and has no peer link with us. */
export interface PeerCandidate {
  readonly interface: IfIndex;
  readonly station: Mac;
  /** dBm */
  readonly signal?: number;
}

export function decodePeerCandidate(bytes: Uint8Array, start: number, end: number): PeerCandidate {
  CANDIDATE.read(bytes, start + GENERIC_HEADER, end);
  return {
    interface: CANDIDATE.u32(A.IFINDEX[0]),
    station: CANDIDATE.mac(A.MAC[0]),
    ...(CANDIDATE.has(A.RX_SIGNAL_DBM[0]) && { signal: CANDIDATE.s32(A.RX_SIGNAL_DBM[0]) }),
  };
}

export interface StationSubscriber {
  onStation(station: RadioStation): void;
  onGone(station: RadioStation): void;
  onPacketsLost(lost: PacketsLost): void;
  onCandidate(candidate: PeerCandidate): void;
  /** Events were lost: read all stations anew. */
  onResync(): void;
}

export interface Nl80211 {
  interfaces(): Promise<RadioInterface[]>;
  /** Empty also where the interface is no radio's, or has just gone. */
  stations(index: IfIndex): Promise<RadioStation[]>;
  /** What happens from now on; the answer ends it. */
  subscribe(subscriber: StationSubscriber): () => void;
}

/** undefined where this kernel has no Wi-Fi. */
export async function openNl80211(generic: NetlinkConnection): Promise<Nl80211 | undefined> {
  const family = await getFamily(generic, 'nl80211');
  const group = family?.groups.get(GROUP);
  if (family === undefined || group === undefined) return undefined;
  return {
    interfaces: () =>
      generic.dump(encodeGeneric(family.id, CMD.GET_INTERFACE, VERSION), 'list radios', decodeRadioInterface),
    async stations(index) {
      const ask = encodeGeneric(family.id, CMD.GET_STATION, VERSION, u32Attribute(A.IFINDEX[0], index));
      try {
        return await generic.dump(ask, 'list stations', decodeStation);
      } catch (error) {
        if (isErrno(error, 'ENODEV') || isErrno(error, 'EOPNOTSUPP') || isErrno(error, 'ENETDOWN')) return [];
        throw error;
      }
    },
    subscribe: (subscriber) =>
      generic.subscribe(group, {
        onMessage(type, bytes, start, end) {
          if (type !== family.id || end - start < GENERIC_HEADER) return;
          const command = bytes[start];
          if (command === CMD.NEW_STATION) subscriber.onStation(decodeStation(bytes, start, end));
          else if (command === CMD.DEL_STATION) subscriber.onGone(decodeStation(bytes, start, end));
          else if (command === CMD.NEW_PEER_CANDIDATE) subscriber.onCandidate(decodePeerCandidate(bytes, start, end));
          else if (command === CMD.NOTIFY_CQM) {
            const lost = decodePacketsLost(bytes, start, end);
            if (lost !== undefined) subscriber.onPacketsLost(lost);
          }
        },
        onOverrun: () => subscriber.onResync(),
      }),
  };
}
