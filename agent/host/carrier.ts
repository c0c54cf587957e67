/**
 * Carrier, read directly where the kernel's word of it may be late: linkwatch (net/core/link_watch.c) passes on the loss
 * of a real card's carrier at most once a second, so right after one event the next may wait for up to a second. In
 * that second, and only then, /sys/class/net/NAME/carrier of the mesh's interfaces is read every few milliseconds.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Log } from '../core/log.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';

/**
 * Twice linkwatch's rate limit, and a little: what came while the first second ran (of any interface, or what we read
 * ourselves before it was told) is worked off at its end and begins another.
 */
const WINDOW: Nanos = 2.2 * SECOND;
const EVERY_MS = 10;

export interface CarrierWatch {
  /** A link event came: for the next second the following ones may be late. */
  stir(now: Nanos): void;
  close(): void;
}

export interface CarrierOptions {
  readonly log: Log;
  now(): Nanos;
  /** Hard interfaces of the mesh, with the carrier as events have it. */
  interfaces(): readonly { readonly name: string; readonly carrier: boolean }[];
  /** The carrier is not what events say. */
  onDifference(name: string): void;
}

export function watchCarrier(options: CarrierOptions): CarrierWatch {
  const byte = new Uint8Array(1);
  let until: Nanos = 0;
  let timer: NodeJS.Timeout | null = null;

  function look(): void {
    const now = options.now();
    for (const { name, carrier } of options.interfaces()) {
      const seen = read(name);
      if (seen !== null && seen !== carrier) options.onDifference(name);
    }
    if (now >= until) stop();
  }

  /** null: no such interface, or it is not up (EINVAL). */
  function read(name: string): boolean | null {
    let fd = -1;
    try {
      fd = openSync(`/sys/class/net/${name}/carrier`, 'r');
      return readSync(fd, byte, 0, 1, 0) === 1 ? byte[0] === 0x31 : null;
    } catch {
      return null;
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  function stop(): void {
    if (timer !== null) clearInterval(timer);
    timer = null;
  }

  return {
    stir(now) {
      until = now + WINDOW;
      if (timer !== null) return;
      timer = setInterval(look, EVERY_MS);
      timer.unref();
      options.log.debug('reading carriers directly', { for_ms: WINDOW / MS });
    },
    close: stop,
  };
}
