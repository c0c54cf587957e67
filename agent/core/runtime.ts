/**
 * The runtime joins machines to a world: it tells every event to every machine in a fixed order, carries what they
 * emit to all of them in the same turn, hands the other effects to the world, and can record all that it fed in.
 */

import type { Effect } from './effect.ts';
import { AgentError, asAgentError } from './errors.ts';
import type { Event, WorldEvent } from './event.ts';
import type { Machine, World } from './machine.ts';
import { type Nanos, NEVER } from './time.ts';

/** More emitted events in one turn than this is a loop between machines. */
const TURN_LIMIT = 1000;

export interface RuntimeOptions {
  /** Sees every event that is fed in, with its time: a tape of them can be played again. */
  readonly record?: (now: Nanos, event: WorldEvent) => void;
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
    const { record, stopwatch } = this.#options;
    record?.(now, first);
    const queue: Event[] = [first];
    // The clock is read, and its readings are told, as little as can be while a repair waits: what a machine ignores
    // costs no reading and counts to the next one that answers, and `took` comes when all is carried out.
    const laps: [string, Nanos, Nanos][] = [];
    const began = stopwatch?.now() ?? 0;
    let mark = began;
    for (let i = 0; i < queue.length; i++) {
      if (i > TURN_LIMIT) throw new AgentError('E_BUG', `machines loop over '${queue[i]!.type}'`);
      for (const machine of this.machines) {
        const effects = this.#ask(machine, queue[i]!, now);
        if (effects.length === 0) continue;
        if (stopwatch !== undefined) {
          const at = stopwatch.now();
          laps.push([machine.name, at - mark, at - began]);
        }
        for (const effect of effects) {
          if (effect.type === 'emit') queue.push(effect.event);
          else this.#world.carryOut(effect, now);
        }
        if (stopwatch !== undefined) mark = stopwatch.now();
      }
    }
    for (const lap of laps) stopwatch!.took(...lap);
  }

  /** A machine that throws is a bug of ours; it must not take the others with it. */
  #ask(machine: Machine, event: Event, now: Nanos): Effect[] {
    try {
      return machine.on(event, now);
    } catch (thrown) {
      const error = asAgentError(thrown);
      return [
        {
          type: 'log',
          level: 'error',
          message: `machine ${machine.name} failed on '${event.type}': ${error.message}`,
          fields: { code: error.code, stack: error.stack },
        },
      ];
    }
  }
}
