import { type Nanos, SECOND } from '../core/time.ts';

/** A token bucket: `perMinute` tokens at most, refilled evenly. */
export class Budget {
  #tokens: number;
  #at: Nanos;
  #perMinute: number;

  constructor(perMinute: number, now: Nanos) {
    this.#perMinute = perMinute;
    this.#tokens = perMinute;
    this.#at = now;
  }

  set perMinute(value: number) {
    this.#perMinute = value;
    this.#tokens = Math.min(this.#tokens, value);
  }

  /** Takes one token, or answers false and takes none. */
  take(now: Nanos): boolean {
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  left(now: Nanos): number {
    this.#refill(now);
    return this.#tokens;
  }

  #refill(now: Nanos): void {
    const gained = ((now - this.#at) / (60 * SECOND)) * this.#perMinute;
    this.#tokens = Math.min(this.#perMinute, this.#tokens + Math.max(0, gained));
    this.#at = now;
  }
}
