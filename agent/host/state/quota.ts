/**
 * The journal is bounded, and its oldest entries go first: who could fill it could make it forget. So what others can cause
 * or feign has a quota, each class of faults its own, and what goes beyond it is not kept.
 */
import { type Nanos, SECOND } from '../../core/time.ts';
import type { FaultClass } from '../../core/words.ts';

/** This router's own interfaces, settings and load, and what people ask of it. All else comes by the air. */
const OWN: ReadonlySet<FaultClass> = new Set<FaultClass>([
  'link-down',
  'link-flapping',
  'interface-vanished',
  'interface-fell-out',
  'mesh-vanished',
  'mesh-misconfigured',
  'config-drift',
  'overload',
  'clock-stepped',
  'asked',
]);

/** Can others cause or feign it? */
export function isOthers(fault: FaultClass): boolean {
  return !OWN.has(fault);
}

/** Of each class so much of the journal at once, and so much a day. */
const BURST = 1 / 25;
const DAILY = 1 / 50;
const DAY: Nanos = 86_400 * SECOND;

export class Quota {
  readonly #left = new Map<FaultClass, { entries: number; at: Nanos }>();

  /** Takes one entry of this class from its quota, in a journal of so many, and answers whether there was one. */
  take(fault: FaultClass, journalEntries: number, now: Nanos): boolean {
    const burst = Math.max(8, BURST * journalEntries);
    const last = this.#left.get(fault) ?? { entries: burst, at: now };
    const entries = Math.min(burst, last.entries + ((now - last.at) / DAY) * DAILY * journalEntries);
    this.#left.set(fault, { entries: entries < 1 ? entries : entries - 1, at: now });
    return entries >= 1;
  }
}
