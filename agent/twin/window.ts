/** batman-adv's two windows: which of the last 64 sequence numbers came, and what the last five OGMs were worth. */

const LOCAL_WINDOW = 64;
const GLOBAL_WINDOW = 5;
/** A step further than this is a router begun anew (BATADV_EXPECTED_SEQNO_RANGE). */
const EXPECTED_RANGE = 65536;

export class Bits {
  #low = 0;
  #high = 0;
  count = 0;

  /** As it is when this share of all numbers came, one as far from the next as the other. */
  fill(share = 1): void {
    if (share >= 1) {
      this.#low = this.#high = -1;
      this.count = LOCAL_WINDOW;
      return;
    }
    this.clear();
    for (let back = 0; back < LOCAL_WINDOW; back++)
      if (Math.floor((back + 1) * share) > Math.floor(back * share)) this.mark(back);
  }

  /** Was the number that is `back` behind the newest received? */
  has(back: number): boolean {
    if (back < 0 || back >= LOCAL_WINDOW) return false;
    return back < 32 ? ((this.#low >>> back) & 1) === 1 : ((this.#high >>> (back - 32)) & 1) === 1;
  }

  mark(back: number): void {
    if (back < 0 || back >= LOCAL_WINDOW || this.has(back)) return;
    if (back < 32) this.#low |= 1 << back;
    else this.#high |= 1 << (back - 32);
    this.count += 1;
  }

  /** All that another has too. */
  add(other: Bits): void {
    this.#low |= other.#low;
    this.#high |= other.#high;
    this.count = ones(this.#low) + ones(this.#high);
  }

  clear(): void {
    this.#low = this.#high = this.count = 0;
  }

  /** The newest is newer by `by`. */
  shift(by: number): void {
    if (by >= LOCAL_WINDOW || by < 0) {
      this.#low = this.#high = 0;
      this.count = 0;
      return;
    }
    if (by === 0) return;
    if (by === 1) {
      // What nearly always happens: one falls out, and nothing has to be counted.
      this.count -= this.#high >>> 31;
      this.#high = (this.#high << 1) | (this.#low >>> 31);
      this.#low <<= 1;
      return;
    }
    if (by >= 32) {
      this.#high = by === 32 ? this.#low : this.#low << (by - 32);
      this.#low = 0;
    } else {
      this.#high = (this.#high << by) | (this.#low >>> (32 - by));
      this.#low <<= by;
    }
    this.count = ones(this.#low) + ones(this.#high);
  }

  /**
   * A number that is `ahead` of the newest came, here (`isHere`) or elsewhere. Answers whether it is the newest now
   * (batadv_bit_get_packet).
   */
  take(ahead: number, isHere: boolean): boolean {
    if (ahead <= 0 && ahead > -LOCAL_WINDOW) {
      if (isHere) this.mark(-ahead);
      return false;
    }
    this.shift(ahead > 0 && ahead < EXPECTED_RANGE ? ahead : LOCAL_WINDOW);
    if (isHere) this.mark(0);
    return true;
  }
}

/** Is a number this far ahead one that only a router begun anew sends? */
export function isReset(ahead: number): boolean {
  return ahead <= -LOCAL_WINDOW || ahead >= EXPECTED_RANGE;
}

export class Worths {
  /** The newest four, the newest lowest. */
  #newest = 0;
  #oldest = 0;
  #sum = 0;
  #count = 0;

  /** Of those that are not nothing (batadv_ring_buffer_avg): a dead way is worth what it was until the last of them is gone. */
  get average(): number {
    return this.#count === 0 ? 0 : (this.#sum / this.#count) | 0;
  }

  push(value: number): void {
    this.#sum += value - this.#oldest;
    if (value !== 0) this.#count += 1;
    if (this.#oldest !== 0) this.#count -= 1;
    this.#oldest = this.#newest >>> 24;
    this.#newest = (this.#newest << 8) | value;
  }

  fill(value: number): void {
    for (let i = 0; i < GLOBAL_WINDOW; i++) this.push(value);
  }
}

function ones(bits: number): number {
  let n = bits - ((bits >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
