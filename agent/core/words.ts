/** The words of healing that machines, journal, metrics and x0ctl share. */
import type { IfIndex, Mac } from './ids.ts';
import type { Change } from './kernel.ts';
import type { Nanos } from './time.ts';

export type Mode = 'off' | 'observe' | 'act';

/** Of one class of faults; 'auto': act where it is safe or has earned it, else observe. */
export type ClassMode = Mode | 'auto';

/** Faults of this agent's catalogue. The value is the root_cause label of the metrics. */
export type FaultClass =
  | 'link-down'
  | 'link-silent'
  | 'link-lossy'
  | 'link-slow'
  | 'link-one-way'
  | 'link-flapping'
  | 'interface-vanished'
  | 'interface-fell-out'
  | 'mesh-vanished'
  | 'mesh-misconfigured'
  | 'mesh-mismatch'
  | 'neighbour-dead'
  | 'router-dead'
  | 'partition'
  | 'gateway-lost'
  | 'gateway-no-upstream'
  | 'routing-loop'
  | 'broadcast-storm'
  | 'translation-inconsistent'
  | 'address-taken'
  | 'mtu-trouble'
  | 'config-drift'
  | 'overload'
  | 'clock-stepped'
  | 'remote-alarm'
  /** No fault: a person asked for a kick. */
  | 'asked';

/** The repairs, gentlest first. The value is the action label of the metrics. */
export type Action =
  | 'none'
  | 'tell'
  | 'announce'
  | 'clear-way'
  | 'ask'
  | 'kick'
  | 'ease'
  | 'link-cost'
  | 'pace'
  | 'restore'
  | 'set-feature'
  | 'cycle'
  | 'detach'
  | 'reattach'
  | 'gateway-any'
  | 'gateway-reselect'
  | 'gateway-stand-down'
  | 'isolate'
  | 'recreate-mesh'
  | 'restart-radio'
  | 'restart-service';

/** How far a repair reaches: what may be worse off while it is done. */
export type Radius = 'link' | 'router' | 'neighbourhood' | 'mesh';

export interface Evidence {
  /** Where it was seen: 'rtnetlink', 'batadv tables', 'alarm', 'operator'. */
  readonly source: string;
  readonly what: string;
  readonly at: Nanos;
}

export interface Fault {
  /** Unique on this router: epoch and a counter, as `e3-f17`. */
  readonly id: string;
  readonly class: FaultClass;
  /** When the first evidence reached the agent. */
  readonly at: Nanos;
  readonly interface: string | null;
  readonly interfaceIndex: IfIndex | null;
  /** The neighbour, originator or sender it is about. */
  readonly peer: Mac | null;
  /** 0..1 */
  readonly confidence: number;
  readonly evidence: readonly Evidence[];
  /** A remote alarm's `affected`, or the routers that the fault concerns beside this one. */
  readonly affected: readonly Mac[];
  readonly remedy?: Remedy;
}

/** What would put it right, where the evidence itself says so: a setting that was another before. */
export interface Remedy {
  readonly change: Change;
  readonly undo: Change;
}

/** What a detector of the catalogue says: a fault is there, or no longer. Said again, it adds to the evidence. */
export interface Finding {
  readonly class: FaultClass;
  /** '' and 0 where it is about no interface. */
  readonly interface: string;
  readonly index: IfIndex;
  readonly peer: Mac | null;
  /** Which of several things, where one interface or router may have this fault more than once. */
  readonly part?: string;
  readonly over: boolean;
  /** 0..1 */
  readonly confidence: number;
  readonly source: string;
  /** In words, with the figures it rests on. */
  readonly what: string;
  readonly affected?: readonly Mac[];
  readonly remedy?: Remedy;
  /** Of one that is over: would a repair have been right? Absent where its length tells. */
  readonly right?: boolean;
  /** Of one that is over: what it was about is gone, or cannot be seen any more. No repair has mended it. */
  readonly moot?: boolean;
}

export interface Alternative {
  readonly action: Action;
  /** Lower is gentler; NaN never: a refused alternative says why. */
  readonly cost: number;
  readonly refused: string | null;
  /** What is known here of how it fared, where that weighed. */
  readonly learned?: string;
}

/** One entry of the journal: a fault, what was weighed, what was done, and what came of it. */
export interface Decision {
  /** The fault's id, and the step: 'planned' | 'done' | 'verified' | 'rolled-back' | 'failed' | 'observed' | 'dropped' | 'over'. */
  readonly fault: Fault;
  readonly step: 'planned' | 'observed' | 'done' | 'verified' | 'rolled-back' | 'failed' | 'dropped' | 'over';
  /** 'verified': when the tables first showed it, and since then always. */
  readonly at: Nanos;
  readonly action: Action;
  readonly alternatives: readonly Alternative[];
  /** In words, for a person. */
  readonly why: string;
  readonly result: string | null;
}

/** Of a kick, and of word to others. 'silence' and 'remote-alarm' are what others can cause: they may use up half of a budget at most. */
export type KickReason = 'own-fault' | 'silence' | 'remote-alarm' | 'operator';

/** Word of a fault, as it travels over the hard interfaces outside bat0. */
export interface Alarm {
  /** The originator address of the router that saw it. */
  readonly sender: Mac;
  readonly epoch: number;
  readonly counter: number;
  readonly kind: 'link-down' | 'neighbour-lost' | 'interface-gone' | 'kick' | 'way-lost' | 'way-asked';
  /** Both ends of the broken link as hard-interface addresses; the far one all zero where unknown. 'way-lost': both zero; 'way-asked': far is who is asked. */
  readonly near: Mac;
  readonly far: Mac;
  /**
   * Originators whose routes the fault broke: only these need to kick. Empty: whoever hears it. 'way-lost': originators to
   * which the sender has no way any more, 'way-asked': whose OGMs it would hear anew; nobody kicks for these.
   */
  readonly affected: readonly Mac[];
  /** Routers it may still cross. */
  readonly hops: number;
}

/** What the monitor noticed, before anybody says what it means. */
export interface Symptom {
  readonly what:
    | 'carrier-lost'
    | 'carrier-back'
    | 'left-mesh'
    | 'joined-mesh'
    | 'vanished'
    | 'appeared'
    | 'mesh-gone'
    | 'mesh-back'
    | 'neighbour-silent'
    | 'neighbour-heard'
    | 'originator-dead'
    | 'originator-heard';
  readonly interface: string;
  readonly index: IfIndex;
  readonly peer: Mac | null;
  /** In words, with the figures it rests on. */
  readonly detail: string;
  /** Where it was seen, if not where symptoms of this kind usually are. */
  readonly source?: string;
}

/** What is to be done about a fault: the actions in order, and why these. */
export interface Plan {
  readonly fault: Fault;
  readonly actions: readonly Action[];
  readonly alternatives: readonly Alternative[];
  readonly why: string;
  /** What follows where routes still go by the broken path when the gentler repairs have had their time. */
  readonly later: readonly Action[];
  /** How long it is left to others, who may be about to repair it themselves, before the first step. */
  readonly delayNs: Nanos;
  readonly radius: Radius;
  /** False in observe mode: then it is only written down. */
  readonly act: boolean;
}
