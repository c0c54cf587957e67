/** Beacons: the machine and what sends on time. Not on every router, so not in every router's memory: loaded where they are on. */
import type { Beacon } from '../beacon/beacon.ts';
import { beaconOf, type Config } from '../config/schema.ts';
import type { HealSettings, WorldEvent } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import type { Machine } from '../core/machine.ts';
import type { Nanos } from '../core/time.ts';
import type { Beat } from '../host/beat.ts';
import type { Native } from '../host/native.ts';
import type { Host } from '../host/world.ts';
import type { Degraded } from '../report/sources.ts';
import type { Part } from './part.ts';

interface Beacons extends Part {
  /** Answers the machine. */
  load(settings: HealSettings): Promise<Machine>;
  /** For the host; only once it is loaded. */
  beat(feed: (event: WorldEvent) => void): Beat;
}

interface Options {
  readonly config: Config;
  readonly native: Native;
  readonly log: Log;
  now(): Nanos;
  /** false: frames cannot be sent on time. */
  onTime(): boolean | null;
  /** There is a key to seal with, the mesh key or one that identities have agreed on. */
  canSpeak(): boolean;
  /** Where arrivals are stamped. */
  stamping(): Pick<Host, 'stampOf' | 'stamps' | 'drops'>;
}

export function beacons({ config: started, native, log, now, onTime, canSpeak, stamping }: Options): Beacons {
  let beacon: Beacon | null = null;
  let openBeat: typeof import('../host/beat.ts').openBeat | null = null;
  return {
    async load(settings) {
      ({ openBeat } = await import('../host/beat.ts'));
      const { Beacon } = await import('../beacon/beacon.ts');
      beacon = new Beacon(beaconOf(started), settings);
      return beacon;
    },
    beat: (feed) => {
      const stampOf = (index: IfIndex, frame: Uint8Array, at: Nanos) => stamping().stampOf(index, frame, at);
      const { drops } = stamping();
      return openBeat!({ native, log, drops, ethertype: beaconOf(started).ethertype, feed, stampOf });
    },
    shows: { beacon: () => beacon?.view(now()) ?? null, stamps: () => stamping().stamps },
    degraded(config) {
      const found: Degraded[] = [];
      if (config.beacon.enabled && config.mesh.key === undefined && !canSpeak())
        found.push({ part: 'beacons', level: 'none', why: 'mesh.key is not set' });
      if (onTime() === false)
        found.push({ part: 'beacons', level: 'none', why: 'frames cannot be sent on time: the log says why' });
      return found;
    },
    farewell: () => beacon?.farewell(now()) ?? [],
  };
}
