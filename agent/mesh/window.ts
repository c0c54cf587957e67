/**
 * What the TQ of a neighbour says of loss. The kernel reckons it over the last 64 OGMs and takes what it has not heard yet
 * for lost, so a window that has just begun shows a perfect cable as a bad one: TQ = 255 * (1 - (1 - n / 64) ** 3) after
 * n OGMs (bat_iv_ogm.c, batadv_iv_ogm_calc_tq), averaged over five. Until the window has filled the loss is not known.
 */
import { exp, log } from '../core/math.ts';
import { type Nanos, NEVER } from '../core/time.ts';
import { lossOfTq } from './quality.ts';

/** TQ_LOCAL_WINDOW_SIZE */
export const WINDOW_OGMS = 64;
const FULL = 255;
/** The most that a TQ rises, or by real loss falls, within one OGM: three times a 64th. */
const STEP = (3 * FULL) / WINDOW_OGMS;

export class TqWindow {
  /** 0..1, null while it is not known. */
  loss: number | null = null;
  /** When it began to fill; -1 once it is known to be full. */
  #since: Nanos;
  /** What was heard before this says nothing of the window there is now. */
  #after: Nanos = Number.NEGATIVE_INFINITY;
  #tq: number | null = null;
  #heardAt: Nanos = 0;
  #doubtUntil: Nanos = -1;

  constructor(now: Nanos) {
    this.#since = now;
  }

  /** It has to fill anew. */
  restart(now: Nanos): void {
    this.#since = now;
    this.#after = now;
    this.#tq = null;
    this.loss = null;
  }

  /**
   * `disturbed`: our own OGMs are not as usual, and a worse TQ may come of that alone.
   * Answers whether the other end began anew.
   */
  read(tq: number | null, heardAt: Nanos, intervalNs: Nanos, disturbed: boolean, now: Nanos): boolean {
    if (tq === null) {
      // Without an originator entry there is no window either.
      this.restart(now);
      return false;
    }
    const fallen = this.#tq === null ? 0 : this.#tq - tq;
    const intervals = (now - this.#heardAt) / intervalNs + 1;
    // It fell faster than loss can make it fall: the other end began to count anew (its interface was out of its mesh).
    // After a silence that shows at the second OGM only.
    const anew = !disturbed && fallen > STEP * intervals;
    if (anew) this.restart(now);
    else if (fallen > 1.5 * STEP) this.#doubtUntil = now + 3 * intervalNs;
    this.#tq = tq;
    this.#heardAt = heardAt;
    // Too few OGMs can only lower it. One that is full shows that there are enough of them.
    if (tq === FULL && heardAt > this.#after) this.#since = -1;
    if (this.#since !== -1 && now >= this.#since + WINDOW_OGMS * intervalNs) this.#since = -1;
    if (this.#since !== -1) return anew;
    const loss = lossOfTq(tq);
    const believed = !disturbed && now >= this.#doubtUntil;
    if (believed || loss === 0 || (this.loss !== null && loss < this.loss)) this.loss = loss;
    return anew;
  }

  get isFull(): boolean {
    return this.#since === -1;
  }

  /** How far apart two TQs that rest on the same window may be, for having been averaged at different OGMs. */
  get blur(): number {
    if (this.isFull || this.#tq === null) return 0;
    return 3 * STEP * exp((2 / 3) * log(1 - this.#tq / FULL));
  }
}

/** While our own OGMs are not as usual: a kick, or its short interval (heal/kick.ts). */
export class Disturbance {
  /** The interval that the mesh has when none is lent, in milliseconds. */
  lentMs: number | null = null;
  #until: Nanos = -1;

  begin(originalMs: number): void {
    this.lentMs = originalMs;
    this.#until = NEVER;
  }

  /** The kernel averages over five OGMs; the last odd ones may still be on their way. */
  end(intervalNs: Nanos, now: Nanos): void {
    const until = now + 8 * intervalNs;
    if (this.lentMs === null) this.#until = Math.max(this.#until, until);
  }

  returned(intervalNs: Nanos, now: Nanos): void {
    this.lentMs = null;
    this.#until = now + 8 * intervalNs;
  }

  on(now: Nanos): boolean {
    return now < this.#until;
  }
}
