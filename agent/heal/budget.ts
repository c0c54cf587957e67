import { type Nanos, SECOND } from '../core/time.ts';

const MINUTE: Nanos = 60 * SECOND;

/** At most `perMinute` in any minute. */
export class Budget {
  perMinute: number;
  /** When they were taken, oldest first. */
  #taken: Nanos[] = [];

  constructor(perMinute: number) {
    this.perMinute = perMinute;
  }

  /** Takes one, or answers false and takes none. */
  take(now: Nanos): boolean {
    if (this.left(now) < 1) return false;
    this.#taken.push(now);
    return true;
  }

  left(now: Nanos): number {
    const recent = this.#taken.findIndex((at) => now - at < MINUTE);
    if (recent !== 0) this.#taken = recent < 0 ? [] : this.#taken.slice(recent);
    return Math.max(0, Math.floor(this.perMinute) - this.#taken.length);
  }
}
