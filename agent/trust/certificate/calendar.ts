/**
 * What day it is, for a router that may have no clock: many boot in 1970, or at the hour of their last write to flash.
 *
 * The wall clock is only heard. Time is at least what a signed certificate says has begun, plus what has passed since
 * then on the monotonic clock; this floor is kept across restarts. So an old clock never brings an expired certificate
 * back to life for longer than the router was off, and never locks it out: what is validly signed and seems to be of the
 * future moves the floor. Only a clock that a steward's fresh answer has confirmed is believed against a certificate.
 *
 * A captured steward can so turn unconfirmed clocks forward, but not past the end of its own certificate, since nothing
 * outlives its issuer.
 */
import { MS, type Nanos } from '../../core/time.ts';
import { SKEW_MS } from './verify.ts';

export class Calendar {
  #floorMs: number;
  #floorAt: Nanos;
  #wallMs = 0;
  #wallAt: Nanos = 0;
  #isSure = false;

  constructor(floorMs: number, now: Nanos) {
    this.#floorMs = floorMs;
    this.#floorAt = now;
  }

  /** What the wall clock reads. */
  hear(wallMs: number, now: Nanos): void {
    // A clock that was set is another clock.
    if (Math.abs(wallMs - this.#wallMs - (now - this.#wallAt) / MS) > SKEW_MS) this.#isSure = false;
    this.#wallMs = wallMs;
    this.#wallAt = now;
  }

  /** Milliseconds since 1970. */
  now(now: Nanos): number {
    return Math.round(Math.max(this.#wallMs + (now - this.#wallAt) / MS, this.#floorMs + (now - this.#floorAt) / MS));
  }

  /** The earliest that it can be, whatever the wall clock reads: what is forgotten for good goes by this. */
  least(now: Nanos): number {
    return Math.round(this.#floorMs + (now - this.#floorAt) / MS);
  }

  /** Something validly signed says that this time has come. Answers whether it moved the floor, which is then to be kept. */
  witness(ms: number, now: Nanos): boolean {
    if (this.#isSure || ms <= this.#floorMs + (now - this.#floorAt) / MS) return false;
    this.#floorMs = ms;
    this.#floorAt = now;
    return true;
  }

  /** A steward has just answered a question of ours, and by its clock it is this time. */
  confirm(ms: number, now: Nanos): void {
    this.witness(ms, now);
    this.#isSure = Math.abs(this.#wallMs + (now - this.#wallAt) / MS - ms) <= SKEW_MS;
  }

  /** Whether the wall clock is believed. */
  get isSure(): boolean {
    return this.#isSure;
  }

  /** The wall clock is behind what was signed. */
  isBehind(now: Nanos): boolean {
    return this.now(now) - (this.#wallMs + (now - this.#wallAt) / MS) > SKEW_MS;
  }
}
