/** A router's own CLOCK_MONOTONIC: it began when that router did, and runs a little too fast or too slow. */
import type { Nanos } from '../core/time.ts';

export class Clock {
  readonly #rate: number;
  readonly #offset: Nanos;

  /** `ppm`: how much it is too fast, in millionths. `offset`: what it shows at virtual time 0. */
  constructor(ppm = 0, offset: Nanos = 0) {
    this.#rate = 1 + ppm / 1e6;
    this.#offset = offset;
  }

  local(time: Nanos): Nanos {
    return Math.round(this.#offset + time * this.#rate);
  }

  /** The first virtual nanosecond at which it shows `local` or more. */
  time(local: Nanos): Nanos {
    return Math.ceil((local - this.#offset) / this.#rate) + 1;
  }
}
