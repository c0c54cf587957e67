/** What a fresh set of machines has to be told to know its surroundings: the newest of what only changes are told of. */
import type { Memory, WorldEvent } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Nanos } from '../core/time.ts';
import type { Keyframe } from './format.ts';
import type { Turn } from './turns.ts';

export class Known {
  readonly #links = new Map<IfIndex, WorldEvent>();
  /** By their type, in the order in which a start tells them. */
  readonly #newest = new Map<WorldEvent['type'], WorldEvent>();

  /** By kind and key: what was known at the start, and learned since. */
  readonly #memories = new Map<string, Memory>();

  take({ event, learned = [] }: Pick<Turn, 'event' | 'learned'>): void {
    if (event.type === 'started') for (const memory of event.memories ?? []) this.#memories.set(nameOf(memory), memory);
    for (const { kind, key, value } of learned) {
      if (value === null) this.#memories.delete(nameOf({ kind, key }));
      else this.#memories.set(nameOf({ kind, key }), { kind, key, value });
    }
    switch (event.type) {
      case 'link':
        this.#links.set(event.link.index, { ...event, cause: 'resync' });
        return;
      case 'link-gone':
        this.#links.delete(event.index);
        return;
      case 'settings':
        // What a person asked for holds until the file is read again.
        this.#newest.delete('mode-asked');
        this.#newest.set(event.type, event);
        return;
      case 'air-keys':
      case 'tables':
      case 'addresses':
      case 'started':
      case 'ogm-sent':
      case 'mode-asked':
      case 'declared':
        this.#newest.set(event.type, event);
    }
  }

  keyframe(now: Nanos): Keyframe {
    const of = (...types: WorldEvent['type'][]): WorldEvent[] =>
      types.map((type) => this.#newest.get(type)).filter((event) => event !== undefined);
    const events = [
      ...of('settings', 'air-keys'),
      ...this.#links.values(),
      ...of('tables', 'addresses', 'started', 'ogm-sent', 'mode-asked', 'declared'),
    ];
    const memories = [...this.#memories.values()];
    return events.map((event) => [now, event.type === 'started' ? { ...event, memories } : event] as const);
  }
}

function nameOf({ kind, key }: Pick<Memory, 'kind' | 'key'>): string {
  return `${kind} ${key}`;
}
