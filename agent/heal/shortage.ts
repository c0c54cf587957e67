/** Is this router short of time? Then who asks may be too late to hear the answer, and silence says nothing of others. */
import type { Event } from '../core/event.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';

const BUSY = 0.98;
const LATE: Nanos = 300 * MS;
/** Vitals come each ten seconds, and tell of those before. */
const LASTS: Nanos = 25 * SECOND;

export class Shortage {
  #until: Nanos = Number.NEGATIVE_INFINITY;
  #eased = false;

  note(event: Event, now: Nanos): void {
    if (event.type === 'ease') this.#eased = event.on;
    if (event.type !== 'vitals') return;
    const { busy, lateNs } = event.vitals;
    if ((busy !== null && busy > BUSY) || lateNs > LATE) this.#until = now + LASTS;
  }

  isOn(now: Nanos): boolean {
    return this.#eased || now < this.#until;
  }
}
