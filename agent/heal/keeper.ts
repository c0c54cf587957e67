/** Keeps the one setting of the mesh that the configuration may ask for. Everything else is left as it is found. */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Surroundings } from './surroundings.ts';

/** Somebody else who sets it as often as we do would otherwise make us fight. */
const PATIENCE: Nanos = 60 * SECOND;

export class Keeper implements Machine {
  readonly name = 'keeper';
  readonly #around: Surroundings;
  #last: Nanos = Number.NEGATIVE_INFINITY;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (event.type === 'settings') this.#last = Number.NEGATIVE_INFINITY;
    if (event.type !== 'tables' || !this.#around.started) return [];
    const { settings, tables } = this.#around;
    const mesh = tables?.mesh;
    const wanted = settings.origIntervalMs;
    if (settings.mode !== 'act' || wanted === 0 || !mesh || mesh.settings.origInterval === wanted) return [];
    if (now - this.#last < PATIENCE) return [];
    this.#last = now;
    const change = { kind: 'set-mesh', mesh: mesh.name, settings: { origInterval: wanted } } as const;
    return [
      { type: 'change', id: 'orig-interval', change, undo: null },
      {
        type: 'log',
        level: 'info',
        message: `orig_interval set to ${wanted} ms`,
        fields: { was: mesh.settings.origInterval },
      },
    ];
  }

  deadline(): Nanos {
    return NEVER;
  }
}
