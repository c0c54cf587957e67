/** What came of a scenario that was played once, with agents or without: plain facts, nothing judged. Times in milliseconds of the timeline. */

/** An entry of an agent's journal, as /heal/log has it, with the router it is of and its time on the timeline. */
export interface JournalRow {
  readonly router: number;
  readonly atMs: number;
  readonly fault: string;
  readonly class: string;
  readonly interface: string | null;
  readonly peer: string | null;
  readonly step: string;
  readonly action: string;
  readonly why: string;
  readonly result: string | null;
}

/** What a fault cost one probe: tools/lab/outage.ts. */
export interface Cost {
  readonly probe: string;
  readonly outageMs: number;
  readonly lost: number;
  readonly runs: number;
  readonly recovered: boolean;
}

export interface PlayedFault {
  readonly name: string;
  readonly fault: string;
  readonly what: string;
  readonly atMs: number;
  /** When a person took it back; null if nobody did. */
  readonly mendedMs: number | null;
  /** The end of the time in which it counts as this fault's doing: its mending, the next fault, or the end. */
  readonly untilMs: number;
  readonly routers: readonly number[];
  readonly interfaces: Readonly<Record<number, readonly string[]>>;
  readonly links: readonly number[];
  /** When the state was as before, without a person's doing; null if never, undefined where it does not show in a state. */
  readonly restoredMs?: number | null;
  readonly costs: readonly Cost[];
}

/** One stretch of a probe: packets sent, lost, and the mean delay in microseconds of those that came. */
export type Stretch = readonly [fromMs: number, sent: number, lost: number, delayUs: number];

/** Packets lost one after the other: from the sending of the first to that of the next that came. */
export type Loss = readonly [fromMs: number, toMs: number, lost: number];

export interface PlayedProbe {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly sent: number;
  readonly lost: number;
  /** The longest time that the probe did not get to send: how finely the machine could measure. */
  readonly stallMs: number;
  readonly stretches: readonly Stretch[];
  /** The first few thousand. */
  readonly losses: readonly Loss[];
}

export interface PlayedAgent {
  readonly router: number;
  /** ended: by itself, which no agent should. */
  readonly state: 'running' | 'ended' | 'taken';
  readonly exit: string | null;
}

export interface Played {
  readonly agent: 'on' | 'off';
  /** From building the mesh to the first packet through. */
  readonly flowingMs: number;
  readonly durationMs: number;
  /** What of the timeline could not be done, in words. */
  readonly problems: readonly string[];
  readonly faults: readonly PlayedFault[];
  readonly probes: readonly PlayedProbe[];
  readonly journal: readonly JournalRow[];
  readonly agents: readonly PlayedAgent[];
  /** Every two routers at the end: whether a packet came back. */
  readonly reach: readonly { readonly from: number; readonly to: number; readonly ok: boolean }[];
  /** What is not as it was before the timeline, in words. */
  readonly drift: readonly string[];
}
