/**
 * P of MAPE-K: weighs the repairs against a fault, gentlest first, and says why each was taken or refused.
 * Costs are the blast radius in words: 1 touches nothing but the air, 2 one interface of ours, 9 the whole mesh interface.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER } from '../core/time.ts';
import type { Action, Alternative, Fault, Plan as PlanWord } from '../core/words.ts';
import type { Knowledge } from './knowledge.ts';
import { dependants, isPrimary, type Surroundings, usable } from './surroundings.ts';

const COST: Readonly<Record<Action, number>> = { none: 0, kick: 1, detach: 2, reattach: 2, 'recreate-mesh': 9 };

/** What could help against each fault, in the order it is done. */
const REPAIRS: Readonly<Record<Fault['class'], readonly Action[]>> = {
  'link-down': ['kick', 'detach'],
  'interface-vanished': ['kick'],
  'interface-fell-out': ['kick', 'reattach'],
  'mesh-vanished': ['recreate-mesh'],
  'neighbour-lost': ['kick'],
  'router-dead': ['none'],
  'remote-alarm': ['kick'],
};

const WHY: Readonly<Record<Action, string>> = {
  none: 'there is nothing to repair from here; a person is told',
  kick: 'newer OGMs push the dead path out of every window',
  detach: 'taking the dead interface out of bat0 drops its routes at once',
  reattach: 'the interface belongs under bat0',
  'recreate-mesh': 'without bat0 there is no mesh; it is made anew with its MAC address and settings',
};

export class Plan implements Machine {
  readonly name = 'plan';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (event.type !== 'fault' || this.#around.settings.mode === 'off') return [];
    return [{ type: 'emit', event: { type: 'plan', plan: this.#plan(event.fault, now) } }];
  }

  deadline(): Nanos {
    return NEVER;
  }

  #plan(fault: Fault, now: Nanos): PlanWord {
    const alternatives: Alternative[] = REPAIRS[fault.class].map((action) => ({
      action,
      cost: COST[action],
      refused: this.#refusal(action, fault, now),
    }));
    const actions = alternatives.filter((alternative) => alternative.refused === null).map(({ action }) => action);
    const why = actions.length === 0 ? 'every repair was refused' : actions.map((action) => WHY[action]).join('; ');
    return { fault, actions, alternatives, why, act: this.#around.settings.mode === 'act' };
  }

  /** Why an action must not be done now, or null. */
  #refusal(action: Action, fault: Fault, now: Nanos): string | null {
    const { settings } = this.#around;
    switch (action) {
      case 'detach':
        return this.#detachRefusal(fault);
      case 'reattach':
        if (!settings.reattach) return 'heal.reattach is off';
        if (this.#knowledge.insists(fault.interface ?? '', now))
          return 'somebody takes it out again and again: left to a person';
        return null;
      case 'recreate-mesh':
        if (!settings.recreate) return 'heal.recreate is off';
        if (!settings.own && this.#around.lastMesh === null) return 'it was never seen, and mesh.own is off';
        return null;
      default:
        return null;
    }
  }

  #detachRefusal(fault: Fault): string | null {
    const { settings } = this.#around;
    const name = fault.interface ?? '';
    if (!settings.detach) return 'heal.detach is off';
    if (isPrimary(this.#around, name))
      return 'it is the primary interface: its address is this router’s name in the mesh';
    const link = this.#around.links.get(fault.interfaceIndex ?? 0);
    if (link?.up === false) return 'it was set down: batman-adv knows already';
    const others = usable(this.#around).filter((other) => other.name !== name && !isPrimary(this.#around, other.name));
    if (others.length === 0) return 'it is this router’s last hard interface';
    const { withOther, without } = dependants(this.#around, fault.interfaceIndex ?? 0);
    if (withOther.length === 0) return 'no route through it has another way: nothing would be won';
    if (without.length > 0)
      return `${without.length} routers behind it have no other way: it must be there when it comes back`;
    return null;
  }
}
