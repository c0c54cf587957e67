/**
 * The runtime joins machines to a world: it tells every event to every machine in a fixed order, carries what they
 * emit to all of them in the same turn, hands the other effects to the world, and can record all that it fed in.
 */

import type { Effect } from './effect.ts';
import { AgentError, asAgentError } from './errors.ts';
import type { Event, WorldEvent } from './event.ts';
import type { Machine, World } from './machine.ts';
import { type Nanos, NEVER } from './time.ts';

/** An event emitted for an event that was itself emitted, and so on: deeper than this, machines only answer each other. */
const DEPTH_LIMIT = 100;
/** Events of one turn. A large mesh that dies at once takes some for each of its routers; this is the last resort. */
const TURN_LIMIT = 100_000;

export interface RuntimeOptions {
  /** Sees every event that is fed in, with its time: a tape of them can be played again. */
  readonly record?: (now: Nanos, event: WorldEvent) => void;
  /** Sees every effect of every machine, in order, before it is carried out. Must not throw. */
  readonly observe?: (machine: string, effect: Effect) => void;
  /** A clock and what is done with its readings: how long each machine took. Machines themselves read no clock. */
  readonly stopwatch?: { now(): Nanos; took(machine: string, ns: Nanos, sinceTurnBegan: Nanos): void };
}

export class Runtime {
  readonly machines: readonly Machine[];
  readonly #world: World;
  readonly #options: RuntimeOptions;
  #turning = false;
  readonly #waiting: [WorldEvent, Nanos][] = [];

  constructor(machines: readonly Machine[], world: World, options: RuntimeOptions = {}) {
    this.machines = machines;
    this.#world = world;
    this.#options = options;
  }

  /**
   * Feeds one event from the world and everything that follows from it. Events that the world feeds while a turn is
   * under way wait for its end.
   */
  feed(event: WorldEvent, now: Nanos): void {
    if (this.#turning) {
      this.#waiting.push([event, now]);
      return;
    }
    this.#turning = true;
    try {
      this.#turn(event, now);
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#turn(...next);
    } finally {
      this.#turning = false;
    }
  }

  /** The earliest deadline of all machines, or NEVER. */
  deadline(): Nanos {
    let earliest = NEVER;
    for (const machine of this.machines) earliest = Math.min(earliest, machine.deadline());
    return earliest;
  }

  #turn(first: WorldEvent, now: Nanos): void {
    const { record, observe, stopwatch } = this.#options;
    record?.(now, first);
    const queue: { readonly event: Event; readonly depth: number }[] = [{ event: first, depth: 0 }];
    let dropped = 0;
    let droppedType = '';
    // The clock is read, and its readings are told, as little as can be while a repair waits: what a machine ignores
    // costs no reading and counts to the next one that answers, and `took` comes when all is carried out.
    const laps: [string, Nanos, Nanos][] = [];
    const began = stopwatch?.now() ?? 0;
    let mark = began;
    for (let i = 0; i < queue.length; i++) {
      const { event, depth } = queue[i]!;
      for (const machine of this.machines) {
        const effects = this.#ask(machine, event, now);
        if (effects.length === 0) continue;
        if (stopwatch !== undefined) {
          const at = stopwatch.now();
          laps.push([machine.name, at - mark, at - began]);
        }
        for (const effect of effects) {
          observe?.(machine.name, effect);
          if (effect.type !== 'emit') this.#carryOut(effect, now);
          else if (depth < DEPTH_LIMIT && queue.length < TURN_LIMIT) {
            queue.push({ event: effect.event, depth: depth + 1 });
          } else {
            dropped += 1;
            droppedType = effect.event.type;
          }
        }
        if (stopwatch !== undefined) mark = stopwatch.now();
      }
    }
    if (dropped > 0) {
      const loop = new AgentError('E_BUG', `machines loop over '${droppedType}', ${dropped} events dropped`);
      this.#carryOut(failure(`the turn of '${first.type}'`, loop), now);
    }
    for (const lap of laps) stopwatch!.took(...lap);
  }

  /** A machine that throws is a bug of ours; it must not take the others with it. */
  #ask(machine: Machine, event: Event, now: Nanos): Effect[] {
    try {
      return machine.on(event, now);
    } catch (thrown) {
      return [failure(`machine ${machine.name} failed on '${event.type}'`, thrown)];
    }
  }

  /** Nor must an effect that the world fails on: what else the turn decided is still carried out. */
  #carryOut(effect: Effect, now: Nanos): void {
    try {
      this.#world.carryOut(effect, now);
    } catch (thrown) {
      try {
        this.#world.carryOut(failure(`the world failed on '${effect.type}'`, thrown), now);
      } catch {
        // A world that cannot even log: there is nobody left to tell.
      }
    }
  }
}

function failure(what: string, thrown: unknown): Effect {
  const error = asAgentError(thrown);
  const { stack } = error.cause instanceof Error ? error.cause : error;
  const fields = { code: error.code, stack };
  return { type: 'log', level: 'error', message: `${what}: ${error.message}`, fields };
}
