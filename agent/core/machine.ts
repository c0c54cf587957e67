/**
 * A machine: a pure state machine that owns its state, is told events and the time, and answers with effects.
 * It does no I/O, reads no clock and draws no random number, so the same tape of events gives the same effects.
 */
import type { Effect } from './effect.ts';
import type { Event } from './event.ts';
import type { Nanos } from './time.ts';

export interface Machine {
  readonly name: string;
  /** Takes in one event. Must not throw for any event; what it cannot use it ignores. */
  on(event: Event, now: Nanos): Effect[];
  /** When it next wants a 'tick', or NEVER. Asked again after every event. */
  deadline(): Nanos;
}

/** What carries effects out: the host world, the twin, or a test. */
export interface World {
  carryOut(effect: Effect, now: Nanos): void;
}
