/**
 * What this router's radios know of their neighbours: stations that are gone and frames that nobody acknowledged as they
 * happen, signal and rates by a rare look. Loaded only where a hard interface of the mesh is a radio's.
 */
import { asAgentError } from '../core/errors.ts';
import type { NeighbourEvidence } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { RadioStation } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import type { Native } from './native.ts';
import { openConnection } from './netlink/connection.ts';
import { NETLINK_GENERIC } from './netlink/message.ts';
import { openNl80211 } from './netlink/nl80211.ts';

/** People and machines look at signals in minutes. */
const LOOK_MS = 10_000;
/** An interface that goes down loses its stations a moment before we are told: that is another fault, and told as such. */
const SETTLE_MS = 20;
/** Of one interface, at most: what others can make us remember is bounded. */
const MOST_STATIONS = 256;

export interface RadioOptions {
  readonly native: Native;
  readonly log: Log;
  /** The hard interfaces that radios have, as they are now. */
  interfaces(): readonly IfIndex[];
  onEvidence(evidence: {
    readonly interface: IfIndex;
    readonly neighbour: Mac;
    readonly what: NeighbourEvidence;
    readonly count?: number;
  }): void;
  onStations(stations: readonly RadioStation[]): void;
}

export interface Radios {
  /** Looks now. */
  look(): void;
  close(): void;
}

/** Throws E_SOCKET and its like; null where the kernel has no nl80211. */
export async function watchRadios(options: RadioOptions): Promise<Radios | null> {
  const { native, log } = options;
  const generic = openConnection({ native, protocol: NETLINK_GENERIC });
  generic.unref();
  let nl80211: Awaited<ReturnType<typeof openNl80211>>;
  let looking = false;
  let closed = false;

  async function look(): Promise<void> {
    if (looking || closed || nl80211 === undefined) return;
    looking = true;
    try {
      const stations: RadioStation[] = [];
      for (const index of options.interfaces())
        stations.push(...(await nl80211.stations(index)).slice(0, MOST_STATIONS));
      if (!closed) options.onStations(stations);
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_NETLINK');
      if (!closed) log.debug('stations cannot be read', { code: error.code, error: error.message });
    } finally {
      looking = false;
    }
  }

  try {
    nl80211 = await openNl80211(generic);
    nl80211?.subscribe({
      onStation() {},
      onCandidate() {},
      onGone({ interface: index, station }) {
        setTimeout(() => {
          if (!closed && options.interfaces().includes(index))
            options.onEvidence({ interface: index, neighbour: station, what: 'station-gone' });
        }, SETTLE_MS).unref();
      },
      onPacketsLost({ interface: index, station, count }) {
        if (options.interfaces().includes(index))
          options.onEvidence({ interface: index, neighbour: station, what: 'packets-lost', count });
      },
      onResync: () => void look(),
    });
  } catch (thrown) {
    generic.close();
    throw thrown;
  }
  if (nl80211 === undefined) {
    generic.close();
    return null;
  }
  const timer = setInterval(() => void look(), LOOK_MS).unref();
  return {
    look: () => void look(),
    close() {
      closed = true;
      clearInterval(timer);
      generic.close();
    },
  };
}
