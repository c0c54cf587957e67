/**
 * Runs the detectors of the catalogue: gives each the events that it wants, tells what they find, and has looked at what
 * the kernel does not announce, each no more often than its answer can change. Nothing urgent passes through here: a lost
 * carrier is told by the monitor.
 */
import type { Effect, Survey } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import { UPSTREAM_EVERY } from './faults/gateway.ts';
import { VITALS_EVERY } from './faults/self.ts';
import type { Detector } from './faults/spec.ts';
import { COUNTERS_EVERY, STATIONS_EVERY } from './faults/traffic.ts';
import type { Surroundings } from './surroundings.ts';

/** What is declared changes when a person changes it. */
const NETIFD_EVERY: Nanos = 300 * SECOND;
const EVERY: readonly (readonly [Survey, Nanos])[] = [
  ['counters', COUNTERS_EVERY],
  ['vitals', VITALS_EVERY],
  ['upstream', UPSTREAM_EVERY],
  ['stations', STATIONS_EVERY],
  ['netifd', NETIFD_EVERY],
];
/** What a detector wants looked at out of turn comes no sooner after the last look. */
const SOONEST: Nanos = 5 * SECOND;

export class Detect implements Machine {
  readonly name = 'detect';
  readonly #around: Surroundings;
  readonly #wanted = new Map<Event['type'], Detector[]>();
  readonly #next = new Map<Survey, Nanos>();
  readonly #last = new Map<Survey, Nanos>();
  #eased = false;
  #deadline: Nanos = NEVER;

  constructor(around: Surroundings, detectors: readonly Detector[]) {
    this.#around = around;
    for (const detector of detectors)
      for (const type of detector.wants) this.#wanted.set(type, [...(this.#wanted.get(type) ?? []), detector]);
  }

  on(event: Event, now: Nanos): Effect[] {
    if (event.type === 'tick') return now >= this.#deadline ? this.#survey(now) : [];
    if (event.type === 'started') {
      for (const [survey, every] of EVERY) this.#next.set(survey, now + every / 10);
      this.#settle();
    }
    if (event.type === 'ease') this.#eased = event.on;
    const wanting = this.#wanted.get(event.type);
    if (wanting === undefined) return [];
    const effects: Effect[] = [];
    for (const detector of wanting)
      for (const finding of detector.on(event, now))
        effects.push({ type: 'emit', event: { type: 'finding', finding } });
    for (const detector of wanting) {
      const wish = detector.wish?.();
      if (wish != null) effects.push(...this.#wish(wish.of, wish.interfaces, now));
    }
    return effects;
  }

  deadline(): Nanos {
    return this.#deadline;
  }

  #survey(now: Nanos): Effect[] {
    const due = EVERY.filter(([survey]) => (this.#next.get(survey) ?? NEVER) <= now);
    // Vitals cost next to nothing, and say when there is enough time again.
    const isRarer = (survey: Survey) => this.#eased && survey !== 'vitals';
    for (const [survey, every] of due) this.#next.set(survey, now + (isRarer(survey) ? 3 * every : every));
    this.#settle();
    const of = due.map(([survey]) => survey).filter((survey) => this.#isOfUse(survey));
    for (const survey of of) this.#last.set(survey, now);
    return of.length === 0 ? [] : [{ type: 'survey', of, interfaces: [] }];
  }

  #isOfUse(survey: Survey): boolean {
    const { settings, mesh, tables } = this.#around;
    if (settings.mode === 'off') return false;
    if (survey === 'upstream') return tables?.mesh?.settings.gwMode === 'server';
    return survey === 'vitals' || survey === 'netifd' || mesh !== null;
  }

  #wish(of: Survey, interfaces: readonly IfIndex[], now: Nanos): Effect[] {
    if (of === 'air') return this.#isOfUse(of) ? [{ type: 'survey', of: [of], interfaces }] : [];
    // On the next tick.
    this.#next.set(of, Math.max(now, (this.#last.get(of) ?? 0) + SOONEST));
    this.#settle();
    return [];
  }

  #settle(): void {
    this.#deadline = Math.min(...this.#next.values());
  }
}
