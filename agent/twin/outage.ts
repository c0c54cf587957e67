/** What a fault cost a user: the lab's definition (tools/lab/outage.ts), on the twin's probes. */
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { TimelineEntry } from './scenario.ts';

export interface Probe {
  readonly sent: Nanos;
  /** 0: never. */
  received: Nanos;
}

/** Fewer losses in a row are the noise of any network. */
const RUN = 3;
/** Of a thousand stretches of quiet time one may have a longer run than is called chance. */
const CHANCE = 1e-3;
const LONGEST_RUN = 50;
const LATE: Nanos = SECOND;

/**
 * So many losses in a row are an outage, where `loss` of 0 to 1 is usual on the way and `probes` are looked at: fewer come by
 * chance.
 */
export function runOf(loss: number, probes: number): number {
  let run = 1;
  for (let expected = probes * loss; expected >= CHANCE && run < LONGEST_RUN; expected *= loss) run += 1;
  return Math.max(RUN, run);
}

export interface Outage {
  /** From the fault to the end of the last run of three or more lost probes, or of `run`. */
  readonly ns: Nanos;
  readonly lost: number;
  /** Whether traffic flows at the end. */
  readonly recovered: boolean;
}

/** Whether it came too late to be of use, or never. */
export function isLost({ sent, received }: Probe, late: Nanos = LATE): boolean {
  return received === 0 || received - sent > late;
}

/** While this fault lasts: what a slow link held up by half of what it takes counts as one that did not come. */
export function lateOf(entry: TimelineEntry): Nanos {
  return entry.fault === 'delay' ? Math.min(LATE, (entry.delay_ms * MS) / 2) : LATE;
}

/**
 * `probes` in the order of sending, of one pair; those sent from `until` on do not count. `late`: a second, or less. `longest`:
 * as runOf has it.
 */
export function outage(probes: readonly Probe[], fault: Nanos, until: Nanos, late?: Nanos, longest = RUN): Outage {
  let run = 0;
  let lost = 0;
  let end = fault;
  let last = fault;
  for (const probe of probes) {
    const { sent } = probe;
    if (sent < fault || sent >= until) continue;
    last = sent;
    if (isLost(probe, late)) {
      run += 1;
      lost += 1;
    } else {
      if (run >= longest) end = sent;
      run = 0;
    }
  }
  const recovered = run < longest;
  return { ns: (recovered ? end : last) - fault, lost, recovered };
}
