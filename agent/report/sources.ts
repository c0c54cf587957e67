/** What the calls of the API rest on, as types: the daemon provides it, and a test can. A room adds a member that shows it. */
import type { BeaconView } from '../beacon/beacon.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Nanos } from '../core/time.ts';
import type { Action, ClassMode, Decision, Fault, FaultClass, Mode } from '../core/words.ts';
import type { MeshView } from '../mesh/mesh.ts';
import type { Loose } from '../trust/ledger/item.ts';
import type { Barred, Item } from '../trust/ledger/ledger.ts';
import type { Member, TrustView } from '../trust/membership/words.ts';
import type { PastView } from './api/past.ts';
import type { PeerDesk } from './api/peers.ts';
import type { ProbeView } from './api/probes.ts';
import type { TunnelShown } from './api/tunnels.ts';
import type { WorkloadView } from './api/workload.ts';
import type { XdpView } from './api/xdp.ts';

/** A decision as the journal keeps it: host's `Entry`. */
export interface JournalEntry {
  readonly id: number;
  /** Milliseconds since 1970; `decision.at` counts from that boot's zero. */
  readonly wall: number;
  readonly decision: Decision;
}

/** What host's `State` offers of itself. */
export interface JournalReader {
  /** At most `limit` entries in the order of their numbers: those after `sinceId`, or without it the newest. */
  query(query: {
    readonly limit: number;
    readonly sinceId?: number;
    readonly faultId?: string;
  }): readonly JournalEntry[];
  status(): { readonly entries: number; readonly pending: number; readonly omitted: number };
  /** Rows of the chain as they are on the medium. Throws E_JOURNAL_BROKEN. */
  chain(
    after: number,
    limit: number,
  ): {
    readonly checkpoint: Sealed;
    readonly head: Sealed;
    readonly rows: readonly (Sealed & { readonly entry: string })[];
  };
}

export interface Sealed {
  readonly id: number;
  readonly hash: Uint8Array;
}

/** What host's `State` and `Recorder` have: recordings that are kept, the oldest first, and what is recorded now (id null). */
export interface RecordingReader {
  list(): readonly {
    readonly id: number;
    readonly wall: number;
    readonly bytes: number;
    readonly faults: readonly string[];
    readonly why: 'faults' | 'ended';
  }[];
  /** gzip; null where there is none. */
  export(id: number | null): Uint8Array | null;
}

/** What heal shows of itself. */
export interface HealView {
  readonly mode: Mode;
  /** Faults that are not over. */
  readonly faults: readonly Fault[];
  /** Routers that are dead beside those that have a fault. */
  readonly untold: number;
  /** Repairs under way. */
  readonly repairs: readonly { readonly fault: Fault; readonly action: Action; readonly state: string }[];
  /** Each class of faults: whether it is repaired, and what it has shown. */
  readonly classes: readonly {
    readonly class: FaultClass;
    readonly mode: ClassMode;
    readonly safe: boolean;
    readonly acts: boolean;
    readonly right: number;
    readonly wrong: number;
    readonly confidence: number;
  }[];
  /** How each repair has fared here. */
  readonly known: readonly {
    readonly class: FaultClass;
    readonly action: Action;
    readonly tries: number;
    readonly successes: number;
    readonly repairNs: Nanos;
    readonly sideEffects: number;
  }[];
  readonly budgets: readonly { readonly name: string; readonly left: number; readonly capacity: number }[];
  /** Ids of changes that would be undone if the agent died now. */
  readonly undoArmed: readonly string[];
  /** There is an alarm key. */
  readonly authenticated: boolean;
}

/** A part that works with less than it could: 'netlink events' at 'polling', because ... */
export interface Degraded {
  readonly part: string;
  readonly level: string;
  readonly why: string;
}

/** What a person sees and does of identities. All but wake, view and trouble throw E_NOT_FOUND on a router without them. */
export interface TrustDesk {
  /** Loads what it needs, with new keys where there are none. Answers whether it is there. */
  wake(): boolean;
  /** null on a router that is in no mesh of identities. */
  view(): (TrustView & { readonly suite: string; readonly providers: Readonly<Record<string, string>> }) | null;
  /** Why there is no view, in words. */
  trouble(): string | null;
  join(invitation: string): void;
  /** `key`: the SSH host key's file, where the caller may read it and the agent may not. */
  joinBy(method: 'ssh-host-key' | 'x509-proof', anchor: string, key?: Buffer): void;
  invite(node: string, lifeMs: number): { readonly text: string; readonly id: string; readonly untilMs: number };
  /** `by`: who asks for it. */
  revoke(whom: string, by: string): void;
  install(items: readonly Loose[]): void;
  /** null while the other router is being asked. */
  candidate(whom: string): { readonly node: string; readonly identity: Uint8Array; readonly spki: Uint8Array } | null;
  members(): readonly Member[];
  items(): readonly Item[];
  barred(): readonly Barred[];
}

/** Frames that one of the agent's packet sockets had no room for. */
export interface Dropped {
  readonly hears: 'alarms' | 'beacons' | 'own-ogms' | 'neighbours';
  /** null: a socket that hears all interfaces, and the kernel does not say on which. */
  readonly interface: string | null;
  readonly frames: number;
}

/** All that the calls rest on. The daemon provides it; every function answers at once and does not throw. */
export interface Sources {
  readonly version: string;
  readonly startedAt: Nanos;
  now(): Nanos;
  /** Milliseconds since 1970. */
  wall(): number;
  degraded(): readonly Degraded[];
  mesh(): MeshView;
  /** Whether a hard interface is a radio's, whatever that says of its stations. */
  isRadio(index: IfIndex): boolean;
  /** null where there are no beacons, or where who we are is not known yet. */
  beacon(): BeaconView | null;
  heal(): HealView;
  readonly journal: JournalReader;
  /** The last decision on an open fault, or the one that repaired it. */
  outcome(fault: string): Decision | null;
  readonly recorder: RecordingReader;
  /** null where the section bpf is off. */
  xdp?(): XdpView | null;
  /** null where nobody is asked. */
  probes?(): ProbeView | null;
  /** Our own frames that came in since the start, by what stamped their arrival. */
  stamps?(): { readonly xdp: number; readonly socket: number };
  /** Since the start, of each kind of packet socket that there is or that dropped something. */
  dropped?(): readonly Dropped[];
  /** A changed configuration on trial: where there is none `secondsLeft` is null, and `decide` answers false. */
  readonly trial?: {
    secondsLeft(): number | null;
    decide(what: 'confirm' | 'revert', by: string): boolean;
  };
  readonly trust?: TrustDesk;
  /** The last hour; absent until the agent is ready. */
  past?(): PastView;
  /** Absent on a router without an identity. */
  readonly peers?: PeerDesk;
  /** null where no tunnel is configured. */
  tunnels?(): readonly TunnelShown[] | null;
  /** Absent where section workload is off. */
  workload?(): WorkloadView;
  /** Section → option → value as JSON; secrets are `Secret`, which shows as '[secret]'. */
  config(): Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  process(): { readonly rssBytes: number; readonly cpuSeconds: number };
  /** Feeds the runtime a 'mode-asked' or 'kick-asked' event. Answers what was decided in that turn. */
  ask(
    event:
      | { readonly type: 'mode-asked'; readonly by: string; readonly mode: Mode }
      | {
          readonly type: 'class-mode-asked';
          readonly by: string;
          readonly class: FaultClass;
          readonly mode: ClassMode;
        }
      | { readonly type: 'kick-asked'; readonly by: string; readonly lost: Mac | null },
  ): readonly Decision[];
}
