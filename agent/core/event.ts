/**
 * Events: everything that a machine can be told. Plain JSON (frames as hex), so that a tape of them can be
 * recorded on a router and played again anywhere.
 *
 * The upper half comes from a world; the lower half is said by one machine to the others (effect 'emit').
 */

import type { IfIndex, Mac } from './ids.ts';
import type {
  Gateway,
  HardInterface,
  InterfaceAddress,
  InterfaceCounters,
  Link,
  MeshInfo,
  MeshSettings,
  Neighbour,
  OriginatorPath,
  Overheard,
  RadioStation,
  Stations,
  Upstream,
  Vitals,
} from './kernel.ts';
import type { Nanos } from './time.ts';
import type {
  Alarm,
  ClassMode,
  Decision,
  Fault,
  FaultClass,
  Finding,
  KickReason,
  Mode,
  Plan,
  Symptom,
} from './words.ts';

/** Settings that machines follow; the daemon derives them from the configuration, at start and when it changes. */
export interface HealSettings {
  readonly mode: Mode;
  readonly meshInterface: string;
  /** The agent made the mesh interface and may make it anew; otherwise it adopts what netifd or a person made. */
  readonly own: boolean;
  readonly algorithm: 'BATMAN_IV' | 'BATMAN_V';
  readonly primary: string;
  readonly hardInterfaces: readonly string[];
  /** Alarm key as 64 hex digits, '' for none: then the agent heals locally only. */
  readonly key: string;
  readonly pollNs: Nanos;
  /** OGM interval that the configuration asks for, in milliseconds; 0 leaves what the mesh has. */
  readonly origIntervalMs: number;
  readonly kickCount: number;
  readonly kickSpacingNs: Nanos;
  /** Kicks a minute in all, and alarms a minute accepted from one sender. */
  readonly kickBudget: number;
  readonly senderBudget: number;
  readonly alarmHops: number;
  readonly detach: boolean;
  readonly reattach: boolean;
  readonly recreate: boolean;
  readonly reattachDampingNs: Nanos;
  readonly flapDampingNs: Nanos;
  readonly deadAfterNs: Nanos;
  /** Neighbour echo interval for latency; 0 = none. */
  readonly echoNs: Nanos;
  /** May a radio, or the agent, be restarted as the last resort? */
  readonly restart: boolean;
  /** What a class of faults has to show before it acts: the share that was right, the share that was not, and of how many. */
  readonly earnRight: number;
  readonly earnFalse: number;
  readonly earnCases: number;
  /** One plan in so many tries the gentlest repair again, though another has worked better here; 0 never. */
  readonly explore: number;
}

/** The newest alarm that was taken from a sender under the key in force. */
export interface Mark {
  readonly sender: Mac;
  readonly epoch: number;
  readonly counter: number;
}

/** A key that the identities of the mesh have agreed on for frames on the air. */
export interface AirKey {
  /** Names it among those of this router; says nothing of it. */
  readonly id: string;
  readonly epoch: number;
  /** 64 hex digits. */
  readonly key: string;
  /** As in 'started', under this key. */
  readonly marks: readonly Mark[];
}

/** Something learned that outlasts a restart; the value is its machine's own JSON. */
export interface Memory {
  readonly kind: 'repair' | 'earned' | 'class-mode' | 'restarted' | 'trust';
  readonly key: string;
  readonly value: string;
}

/** Heard; its deadline expired without a frame; the radio lost the station; frames to it were not acknowledged. */
export type NeighbourEvidence = 'heard' | 'deadline' | 'station-gone' | 'packets-lost';

/** One reading of batman-adv's tables. */
export interface Tables {
  readonly mesh: MeshInfo | null;
  readonly hardInterfaces: readonly HardInterface[];
  readonly originators: readonly OriginatorPath[];
  readonly neighbours: readonly Neighbour[];
  readonly gateways: readonly Gateway[];
}

/** One link as the mesh room reckons it. Unknown figures are null. */
export interface LinkFigures {
  readonly interface: string;
  readonly index: IfIndex;
  readonly neighbour: Mac;
  readonly originator: Mac | null;
  readonly carrier: boolean;
  /** 0..1 one way, by OGMs (BATMAN_IV), else by echoes; null also while a window fills. */
  readonly loss: number | null;
  readonly latencyNs: Nanos | null;
  /** BATMAN_V, kbit/s */
  readonly throughput: number | null;
  readonly lastSeen: Nanos;
}

export type WorldEvent =
  /**
   * Who this router is, in which boot epoch, and what alarm counters it remembers. Fed once, after 'settings' and the
   * first links and tables: before it machines only look, from it on they act.
   */
  | {
      readonly type: 'started';
      readonly node: string;
      readonly epoch: number;
      readonly marks: readonly Mark[];
      readonly memories?: readonly Memory[];
    }
  /** `marks`: as in 'started', where the key may have changed. `epoch`: at first, since faults are named after it. */
  | {
      readonly type: 'settings';
      readonly settings: HealSettings;
      readonly marks?: readonly Mark[];
      readonly epoch?: number;
    }
  /**
   * With which keys frames on the air are sealed from now on: all that are accepted, the best first; null on a router without
   * an identity, where the mesh key alone counts. `sending`: the id of one of them, null for none. `mixed`: the mesh key counts
   * beside them. `hello`: whether neighbours are told that this router is a member.
   */
  | {
      readonly type: 'air-keys';
      readonly keys: readonly AirKey[] | null;
      readonly sending: string | null;
      readonly mixed: boolean;
      readonly hello: boolean;
    }
  /** An interface appeared or changed (RTM_NEWLINK). `cause` is 'resync' when read from a dump. */
  | { readonly type: 'link'; readonly link: Link; readonly cause: 'event' | 'resync' }
  | { readonly type: 'link-gone'; readonly index: IfIndex; readonly name: string }
  /** `since`: when their reading began. */
  | { readonly type: 'tables'; readonly tables: Tables; readonly since?: Nanos }
  /** Somebody set something of a mesh interface, perhaps we: its settings right after. */
  | { readonly type: 'mesh-settings'; readonly interface: string; readonly settings: MeshSettings }
  /** Addresses of the mesh interface, so that they can be put back when it is made anew. */
  | { readonly type: 'addresses'; readonly interface: string; readonly addresses: readonly InterfaceAddress[] }
  /** OGMs as the kernel sent them, this router's own and those it forwards: one whole Ethernet frame as hex. */
  | { readonly type: 'ogm-sent'; readonly frame: string }
  /** A frame of our ethertype came in; `at`: when the kernel received it, where that is asked for. */
  | { readonly type: 'frame'; readonly interface: IfIndex; readonly frame: string; readonly at?: Nanos }
  /** What became of a 'transmit-at' effect. `stamped`: `at` is the driver's, else read before the call. */
  | {
      readonly type: 'transmitted';
      readonly id: string;
      readonly at: Nanos;
      readonly stamped: boolean;
      readonly error: string | null;
    }
  /** What the kernel's programs (XDP) or a radio (nl80211) know of a neighbour's hard interface. */
  | {
      readonly type: 'neighbour-evidence';
      readonly interface: IfIndex;
      readonly neighbour: Mac;
      readonly what: NeighbourEvidence;
      readonly at: Nanos;
      /** Of 'packets-lost': how many in a row. */
      readonly count?: number;
    }
  /** A rare look at the stations of all radios that are hard interfaces. */
  | { readonly type: 'radio-stations'; readonly stations: readonly RadioStation[] }
  /** What became of a 'change' effect. */
  | { readonly type: 'change-done'; readonly id: string; readonly error: string | null }
  /** A person asked for a kick (x0ctl heal kick), naming a lost neighbour or nothing. */
  | { readonly type: 'kick-asked'; readonly by: string; readonly lost: Mac | null }
  | { readonly type: 'mode-asked'; readonly by: string; readonly mode: Mode }
  | { readonly type: 'class-mode-asked'; readonly by: string; readonly class: FaultClass; readonly mode: ClassMode }
  /** What became of a plan in the twin, against doing nothing; `detail` in words. */
  | {
      readonly type: 'rehearsed';
      readonly id: string;
      readonly verdict: 'better' | 'same' | 'worse' | 'unknown';
      readonly detail: string;
    }
  /** Answers to 'survey', each when it is there. */
  | { readonly type: 'counters'; readonly interfaces: readonly InterfaceCounters[] }
  | { readonly type: 'vitals'; readonly vitals: Vitals }
  | { readonly type: 'stations'; readonly stations: Stations }
  | { readonly type: 'upstream'; readonly upstream: Upstream }
  /** The devices that netifd has declared; asked for as 'netifd', and answered only where it runs. */
  | { readonly type: 'declared'; readonly interfaces: readonly string[] }
  | { readonly type: 'overheard'; readonly interface: IfIndex; readonly heard: readonly Overheard[] }
  | { readonly type: 'tick' };

export type MachineEvent =
  | { readonly type: 'symptom'; readonly symptom: Symptom }
  | { readonly type: 'fault'; readonly fault: Fault }
  /** `right`: would a repair have been right? Absent where how long it lasted tells. */
  | {
      readonly type: 'fault-over';
      readonly fault: string;
      readonly how: string;
      readonly right?: boolean;
      readonly moot?: boolean;
    }
  | { readonly type: 'plan'; readonly plan: Plan }
  | { readonly type: 'decision'; readonly decision: Decision }
  | { readonly type: 'kick'; readonly reason: KickReason; readonly fault: string; readonly avoid: readonly IfIndex[] }
  /**
   * Our ways to these routers are gone: tell the neighbours, so that they look for another one now. `stuck`: those among them to
   * whom no good other way is known. `by`: the neighbours that were the way.
   */
  | {
      readonly type: 'withdraw';
      readonly reason: KickReason;
      readonly originators: readonly Mac[];
      readonly stuck: readonly Mac[];
      readonly by: readonly Mac[];
      readonly avoid: readonly IfIndex[];
    }
  /** After alarm and kick of this fault are on the air: the steps that wait for nothing else. */
  | { readonly type: 'proceed'; readonly fault: string }
  /** Let others' kicks pass without delay: forward OGMs unaggregated for a moment, send none. */
  | { readonly type: 'clear-way'; readonly fault: string }
  | { readonly type: 'kick-done'; readonly fault: string; readonly frames: number; readonly refused: string | null }
  /** A setting of the mesh is ours for a moment; what tables say of it is not what the mesh has. `returned`: no longer. */
  | { readonly type: 'lent'; readonly settings: Partial<MeshSettings>; readonly returned: boolean }
  /** An interface, of the mesh or not, has another name: what is owed to it goes on under that. */
  | { readonly type: 'renamed'; readonly from: string; readonly to: string }
  /** An interface that a repair took out has to go back: it did not help. */
  | { readonly type: 'give-back'; readonly interface: string }
  | {
      readonly type: 'raise-alarm';
      readonly reason: KickReason;
      readonly alarm: Omit<Alarm, 'sender' | 'epoch' | 'counter'>;
      readonly avoid: readonly IfIndex[];
    }
  /** `source`: the hard interface that sent it, or passed it on. */
  | { readonly type: 'alarm'; readonly alarm: Alarm; readonly interface: IfIndex; readonly source: Mac }
  /** A neighbour answered an echo: round trip over one hard interface. */
  | {
      readonly type: 'echo';
      readonly neighbour: Mac;
      readonly interface: IfIndex;
      readonly rttNs: Nanos;
      /** It answers an 'ask': what a doubt has asked says nothing of what the link loses. */
      readonly asked?: boolean;
    }
  | { readonly type: 'echo-lost'; readonly neighbour: Mac; readonly interface: IfIndex }
  /** An echo now, outside the usual ones: a neighbour may have fallen silent. */
  | { readonly type: 'ask'; readonly neighbour: Mac; readonly interface: IfIndex }
  /** What the last reading of the tables says of each link, cleaned of what repairs do to it. */
  | { readonly type: 'links'; readonly links: readonly LinkFigures[] }
  | { readonly type: 'finding'; readonly finding: Finding }
  /** A setting is ours while a fault lasts, as in 'eth1 hopPenalty'; `returned`: no longer. */
  | { readonly type: 'held'; readonly what: string; readonly returned: boolean }
  /** This router is short of time: look and ask less often, until told otherwise. */
  | { readonly type: 'ease'; readonly on: boolean };

export type Event = WorldEvent | MachineEvent;
