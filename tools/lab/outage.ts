/** What a fault cost the user's packets: pure arithmetic on a probe's record. */
import { runOf } from '../../agent/twin/outage.ts';

/** One datagram of the probe (probe.c), in CLOCK_MONOTONIC nanoseconds; `received` 0 = lost. */
export interface ProbeRecord {
  readonly sent: number;
  readonly received: number;
}

export interface Outage {
  /**
   * Milliseconds from the fault to the end of the last run of three or more lost probes, or of more than chance brings where
   * some are always lost: to the sending of the first probe after it that came through. 0 without such a run; up to the last probe sent where none came through again.
   */
  readonly outageMs: number;
  /** All lost time, single losses included: lost probes times the probe's pace, in milliseconds. */
  readonly lostMs: number;
  readonly lost: number;
  /** Milliseconds from the fault to the sending of the first lost probe (negative: it was under way when the fault came). */
  readonly firstLossMs?: number;
  /** Such runs. More than one: a lucky packet in between, or a glitch after the repair. */
  readonly runs: number;
  /** When the last of them began, in milliseconds from the fault. */
  readonly lastRunMs?: number;
  /** Whether the record ends with traffic that flows. */
  readonly recovered: boolean;
}

export interface OutageOptions {
  /** Probes sent from this instant on do not count: the next fault, or the mending. */
  readonly untilNs?: number;
  /** A probe that took longer than this was of no use any more: it counts as lost. 1000 by default. */
  readonly lateMs?: number;
  /** The share that is lost without a fault, 0 to 1: runs of losses that chance brings then are no outage. 0 by default. */
  readonly usualLoss?: number;
}

/** A probe sent this long before the fault can still have been under way when the fault came. */
const UNDER_WAY_NS = 50e6;

/** `records` in the order of sending. Throws a RangeError when no probe was sent after the fault. */
export function outage(records: readonly ProbeRecord[], faultNs: number, options: OutageOptions = {}): Outage {
  const { untilNs = Number.POSITIVE_INFINITY, lateMs = 1000, usualLoss = 0 } = options;
  const isLost = (record: ProbeRecord) => isLate(record, lateMs);
  const end = records.findIndex(({ sent }) => sent >= untilNs);
  const all = end === -1 ? records : records.slice(0, end);
  const after = all.findIndex(({ sent }) => sent >= faultNs);
  if (after === -1) throw new RangeError('no probe was sent after the fault');

  // What was lost right before the fault was still on its way; what was lost earlier has another reason.
  let first = after;
  while (first > 0 && isLost(all[first - 1]!) && all[first - 1]!.sent > faultNs - UNDER_WAY_NS) first--;

  const window = all.slice(first);
  const longest = runOf(usualLoss, window.length);
  const pace = paceNs(all);
  let run = 0;
  let runs = 0;
  let lost = 0;
  let endNs = faultNs;
  let firstLossNs: number | undefined;
  let runNs = faultNs;
  let lastRunNs: number | undefined;
  for (const record of window) {
    if (isLost(record)) {
      lost++;
      firstLossNs ??= record.sent;
      if (run === 0) runNs = record.sent;
      run++;
    } else {
      if (run >= longest && record.sent > faultNs) {
        endNs = record.sent;
        lastRunNs = runNs;
        runs++;
      }
      run = 0;
    }
  }
  const recovered = run < longest;
  if (!recovered) {
    endNs = window.at(-1)!.sent + pace;
    lastRunNs = runNs;
    runs++;
  }
  return {
    outageMs: Math.max(0, endNs - faultNs) / 1e6,
    lostMs: (lost * pace) / 1e6,
    lost,
    ...(firstLossNs === undefined ? {} : { firstLossMs: (firstLossNs - faultNs) / 1e6 }),
    runs,
    ...(lastRunNs === undefined ? {} : { lastRunMs: (lastRunNs - faultNs) / 1e6 }),
    recovered,
  };
}

function isLate({ sent, received }: ProbeRecord, lateMs: number): boolean {
  return received === 0 || received - sent > lateMs * 1e6;
}

/** The share of those sent before the first fault that were lost, 0 to 1; 0 where there are none. */
export function usualLossOf(records: readonly ProbeRecord[], faultNs: number): number {
  const before = records.filter(({ sent }) => sent < faultNs - UNDER_WAY_NS);
  return before.filter((record) => isLate(record, 1000)).length / Math.max(1, before.length);
}

/** The median time between two probes, which a few stalls of the machine do not move. */
function paceNs(records: readonly ProbeRecord[]): number {
  const gaps = records.slice(1).map(({ sent }, i) => sent - records[i]!.sent);
  return gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0;
}

/** The value below which `q` (0 to 1) of the values lie, nearest rank; NaN without values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
