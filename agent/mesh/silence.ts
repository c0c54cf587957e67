/** When a neighbour counts as silent. */
import type { Tables } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';

/** So many missed OGMs (BATMAN_IV) or ELP probes (BATMAN_V), and half an interval: the fewest, where a link loses next to none. */
export const MISSED = 3;
const HALF = 0.5;
/** The same where frames to it are not acknowledged, or questions not answered, either. */
const MISSED_UNHEARD = 2.2;
/** What we have need not be what the neighbour has: nobody is called silent sooner than the default interval allows. */
const SLOWEST_MS = 1000;
/** The default ELP interval; GET_HARDIF tells the real one where the kernel has it. */
const ELP_MS = 500;

/** The time between two signs of life of a neighbour on this interface, in milliseconds. */
export function expectedEveryMs({ mesh, hardInterfaces }: Tables, index: IfIndex): number {
  if (mesh?.algorithm !== 'BATMAN_V') return mesh?.settings.origInterval ?? SLOWEST_MS;
  return hardInterfaces.find((hard) => hard.index === index)?.elpInterval ?? ELP_MS;
}

/** The same, as long as it may be at the neighbour's. */
export function patientEveryMs(tables: Tables, index: IfIndex): number {
  return Math.max(expectedEveryMs(tables, index), SLOWEST_MS);
}

/** After so many milliseconds without one it is silent. */
export function silentAfterMs(tables: Tables, index: IfIndex, missed = MISSED): number {
  return (missed + HALF) * patientEveryMs(tables, index);
}

/** The same while our radio says that nothing it sends to the neighbour is acknowledged, or its agent does not answer. */
export function unheardAfterMs(tables: Tables, index: IfIndex): number {
  return MISSED_UNHEARD * patientEveryMs(tables, index);
}
