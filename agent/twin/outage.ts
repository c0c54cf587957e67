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
const LATE: Nanos = SECOND;

export interface Outage {
  /** From the fault to the end of the last run of three or more lost probes. */
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

/** `probes` in the order of sending, of one pair; those sent from `until` on do not count. `late`: a second, or less. */
export function outage(probes: readonly Probe[], fault: Nanos, until: Nanos, late?: Nanos): Outage {
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
      if (run >= RUN) end = sent;
      run = 0;
    }
  }
  const recovered = run < RUN;
  return { ns: (recovered ? end : last) - fault, lost, recovered };
}
