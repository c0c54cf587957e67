/** The words of healing that machines, journal, metrics and x0ctl share. */
import type { IfIndex, Mac } from './ids.ts';
import type { Nanos } from './time.ts';

export type Mode = 'off' | 'observe' | 'act';

/** Faults of this agent's catalogue. The value is the root_cause label of the metrics. */
export type FaultClass =
  | 'link-down'
  | 'interface-vanished'
  | 'interface-fell-out'
  | 'mesh-vanished'
  | 'neighbour-lost'
  | 'router-dead'
  | 'remote-alarm'
  /** No fault: a person asked for a kick. */
  | 'asked';

/** The repairs, gentlest first. The value is the action label of the metrics. */
export type Action = 'none' | 'clear-way' | 'kick' | 'detach' | 'reattach' | 'recreate-mesh';

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
  /** A remote alarm's `affected`; empty for all else. */
  readonly affected: readonly Mac[];
}

export interface Alternative {
  readonly action: Action;
  /** Lower is gentler; NaN never: a refused alternative says why. */
  readonly cost: number;
  readonly refused: string | null;
}

/** One entry of the journal: a fault, what was weighed, what was done, and what came of it. */
export interface Decision {
  /** The fault's id, and the step: 'planned' | 'done' | 'verified' | 'rolled-back' | 'failed' | 'observed' | 'over'. */
  readonly fault: Fault;
  readonly step: 'planned' | 'observed' | 'done' | 'verified' | 'rolled-back' | 'failed' | 'over';
  readonly at: Nanos;
  readonly action: Action;
  readonly alternatives: readonly Alternative[];
  /** In words, for a person. */
  readonly why: string;
  readonly result: string | null;
}

/** 'silence' and 'remote-alarm' are what others can cause: they may use up half of the kicks at most. */
export type KickReason = 'own-fault' | 'silence' | 'remote-alarm' | 'operator';

/** Word of a fault, as it travels over the hard interfaces outside bat0. */
export interface Alarm {
  /** The originator address of the router that saw it. */
  readonly sender: Mac;
  readonly epoch: number;
  readonly counter: number;
  readonly kind: 'link-down' | 'neighbour-lost' | 'interface-gone' | 'kick';
  /** Both ends of the broken link as hard-interface addresses; the far one all zero where unknown. */
  readonly near: Mac;
  readonly far: Mac;
  /** Originators whose routes the fault broke: only these need to kick. Empty: whoever hears it. */
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
  /** Whether taking the interface out waits until the kick has gone out, so that no packet circles meanwhile. */
  readonly detachLate: boolean;
  /** How long it is left to others, who may be about to repair it themselves, before the first step. */
  readonly delayNs: Nanos;
  /** False in observe mode: then it is only written down. */
  readonly act: boolean;
}
