/**
 * Frames on time: the shim's transmitter for 'transmit-at', and a packet socket of their own for beacons where their
 * ethertype is not that of the alarms. Loaded only where beacons are on.
 */
import type { Effect } from '../core/effect.ts';
import type { WorldEvent } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import type { Nanos } from '../core/time.ts';
import { ETH_P_X0 } from '../heal/wire.ts';
import { OUR_FRAMES } from './air.ts';
import type { Drops } from './drops.ts';
import type { Native, NativeError, NativePacket } from './native.ts';

/** Of SCHED_FIFO: before everything that is not a kernel's own thread; it sleeps nearly all the time. */
const PRIORITY = 40;

export interface Beat {
  transmit(effect: Extract<Effect, { type: 'transmit-at' }>): void;
  /** Whether frames leave with real-time priority. */
  readonly realtime: boolean;
  close(): void;
}

export interface BeatOptions {
  readonly native: Native;
  readonly log: Log;
  readonly drops: Drops;
  readonly ethertype: number;
  feed(event: WorldEvent): void;
  /** A better time of arrival than the packet socket's, where there is one. */
  stampOf?(index: IfIndex, frame: Uint8Array, at: Nanos): Nanos;
}

export function openBeat({
  native,
  log,
  drops,
  ethertype,
  feed,
  stampOf = (_index, _frame, at) => at,
}: BeatOptions): Beat {
  const ids = new Map<number, string>();
  const done = (ticket: number, at: number, stamped: boolean, error: string | null) => {
    const id = ids.get(ticket);
    ids.delete(ticket);
    if (id !== undefined) feed({ type: 'transmitted', id, at, stamped, error });
  };
  const transmitter = native.openTransmitter({
    priority: PRIORITY,
    onSent: (ticket, at, stamped) => done(ticket, at, stamped, null),
    onFailed: (ticket, at, code) => done(ticket, at, false, code),
  });
  if (!transmitter.realtime)
    log.info('beacons leave without real-time priority (CAP_SYS_NICE): less exactly when busy');
  let own: NativePacket | null = null;
  try {
    if (ethertype !== ETH_P_X0)
      own = drops.open(
        native,
        { hears: 'beacons', interface: null },
        {
          ethertype,
          filter: OUR_FRAMES,
          timestamps: true,
          onFrame: (frame, index, _type, at) =>
            feed({ type: 'frame', interface: index, frame: toHex(frame), at: stampOf(index, frame, at) }),
          onError: () => {},
        },
      );
  } catch (thrown) {
    // Nobody else could: its thread and descriptors would stay.
    transmitter.close();
    throw thrown;
  }
  return {
    realtime: transmitter.realtime,
    transmit({ id, interface: index, frame, at, latest }) {
      try {
        ids.set(transmitter.send(fromHex(frame), index, at, latest), id);
      } catch (thrown) {
        feed({ type: 'transmitted', id, at, stamped: false, error: (thrown as NativeError).code });
      }
    },
    close() {
      transmitter.close();
      if (own !== null) drops.close(own);
    },
  };
}
