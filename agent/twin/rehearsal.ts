/** What a rehearsal starts from and what it says: the side of whoever asks for one, which loads nothing of the twin. */
import type { HealSettings, Tables } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Link } from '../core/kernel.ts';
import type { Nanos } from '../core/time.ts';
import type { Heal } from '../heal/heal.ts';
import type { Mesh } from '../mesh/mesh.ts';

/** The mesh as the agent knows it. Plain JSON: it may come from another thread. */
export interface RehearsalState {
  readonly self: Mac;
  readonly settings: HealSettings;
  readonly tables: Tables;
  readonly links: readonly Link[];
  /** Which router a neighbour's address belongs to, where that is known. */
  readonly owners: Readonly<Record<Mac, Mac>>;
  /** Routers that run the agent. */
  readonly agents: readonly Mac[];
}

/** With the plan, and without. */
interface Both {
  readonly with: number;
  readonly without: number;
}

export interface Verdict {
  readonly verdict: 'better' | 'same' | 'worse';
  /** Probes lost: to all routers, from the LAN behind this one, and to the gateways that clients choose. */
  readonly lost: Both;
  /** Routers that are out of reach at the end. */
  readonly unreached: Both;
  /** What a rehearsal would have to show, and this cannot: steps left out, a mesh cut down. */
  readonly left: readonly string[];
  readonly virtualNs: Nanos;
  readonly routers: number;
}

export function wordsOf({ lost, unreached, routers, left }: Verdict): string {
  const probes = `in a mesh of ${routers} routers ${lost.with} probes were lost with it, ${lost.without} without`;
  const gone = `${unreached.with} and ${unreached.without} routers out of reach afterwards`;
  return `${probes}; ${gone}${left.length > 0 ? `; not shown: ${left.join(', ')}` : ''}`;
}

/** null while who we are, or what the tables hold, is not known. */
export function rehearsalState({ monitor, knowledge }: Heal, mesh: Mesh): RehearsalState | null {
  const { self, links } = mesh.view();
  const { tables, settings } = monitor;
  if (self === null || tables === null) return null;
  const owned = links.filter(({ originator }) => originator !== null);
  return {
    self,
    // There is a key, and another thread need not have it.
    settings: { ...settings, key: settings.key === '' ? '' : '00'.repeat(32) },
    tables,
    links: [...monitor.links.values()],
    owners: Object.fromEntries(owned.map(({ neighbour, originator }) => [neighbour, originator!])),
    agents: owned
      .filter(({ index, neighbour }) => knowledge.isAgent(index, neighbour))
      .map(({ originator }) => originator!),
  };
}
