/**
 * P of MAPE-K: weighs the repairs against a fault, gentlest first, and says why each was taken or refused.
 * Costs are the blast radius in words: 1 touches nothing but the air, 2 one interface of ours, 9 the whole mesh interface.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, Alarm as AlarmWord, Alternative, Fault, Plan as PlanWord } from '../core/words.ts';
import type { Knowledge } from './knowledge.ts';
import { broken, isPrimary, neighboursOn, originatorAddress, type Surroundings, ways } from './surroundings.ts';

/** Seen in the lab: after a second fault some routes of BATMAN_V stood still for longer than without us. */
const HARMFUL_V = 'under BATMAN_V this has made things worse: batman-adv repairs by itself';
/** Word of the other end comes within this, or is about something else. */
const OTHER_END: Nanos = 2 * SECOND;
const NETIFD_FIRST: Nanos = 2 * SECOND;

/** An interface put back counts from nothing, for a minute; agents push each other over that, batman-adv alone waits. */
const NO_AGENT = 'the neighbour there runs no agent: a later fault would last longer than without us';

const COST: Readonly<Record<Action, number>> = {
  none: 0,
  'clear-way': 0.5,
  kick: 1,
  detach: 2,
  reattach: 2,
  'recreate-mesh': 9,
};

/** What could help against each fault, in the order it is done. */
const REPAIRS: Readonly<Record<Fault['class'], readonly Action[]>> = {
  'link-down': ['kick', 'detach'],
  'interface-vanished': ['kick'],
  'interface-fell-out': ['kick', 'reattach'],
  'mesh-vanished': ['recreate-mesh'],
  'neighbour-lost': ['kick'],
  'router-dead': ['none'],
  'remote-alarm': ['clear-way', 'kick'],
  asked: ['kick'],
};

const WHY: Readonly<Record<Action, string>> = {
  none: 'there is nothing to repair from here; a person is told',
  'clear-way': 'forwarding OGMs without aggregation lets the others’ kicks pass at once',
  kick: 'newer OGMs push the dead path out of every window',
  detach: 'taking the dead interface out of bat0 drops its routes at once',
  reattach: 'the interface belongs under bat0',
  'recreate-mesh': 'without bat0 there is no mesh; it is made anew with its MAC address and settings',
};

export class Plan implements Machine {
  readonly name = 'plan';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  /** Lost links with routers behind them to which no other way is known. */
  readonly #unsure = new Map<string, { fault: Fault; until: Nanos }>();

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (this.#around.settings.mode === 'off') return [];
    if (event.type === 'fault') return [this.#say(this.#plan(event.fault, now))];
    if (event.type === 'alarm') return this.#otherEnd(event.alarm, event.interface, now);
    if (event.type === 'fault-over') this.#unsure.delete(event.fault);
    return [];
  }

  deadline(): Nanos {
    return NEVER;
  }

  #say(plan: PlanWord): Effect {
    return { type: 'emit', event: { type: 'plan', plan } };
  }

  #plan(fault: Fault, now: Nanos): PlanWord {
    const alternatives: Alternative[] = REPAIRS[fault.class].map((action) => ({
      action,
      cost: COST[action],
      refused: this.#refusal(action, fault, now),
    }));
    const actions = alternatives.filter((alternative) => alternative.refused === null).map(({ action }) => action);
    const why = actions.length === 0 ? 'every repair was refused' : actions.map((action) => WHY[action]).join('; ');
    const lost = broken(this.#around, fault.interfaceIndex ?? 0);
    // On a doubtful row packets may circle until the kick has told the others; a good one, or none, is safe at once.
    const detachLate = lost.some(({ other }) => other === 'doubtful');
    const { mode, own } = this.#around.settings;
    // netifd, or whoever declared an adopted mesh, makes it anew too: it goes first.
    const delayNs = actions.includes('recreate-mesh') && !own ? NETIFD_FIRST : 0;
    return { fault, actions, alternatives, why, detachLate, delayNs, act: mode === 'act' };
  }

  /** Why an action must not be done now, or null. */
  #refusal(action: Action, fault: Fault, now: Nanos): string | null {
    const { settings } = this.#around;
    switch (action) {
      case 'kick':
        if (this.#isV()) return HARMFUL_V;
        if (fault.class === 'remote-alarm' && !this.#isNamed(fault)) return 'none of the broken routes leads here';
        return this.#isIdle(fault) ? 'no route goes by it: nothing would be won' : null;
      case 'clear-way':
        if (this.#isV()) return HARMFUL_V;
        return this.#isNamed(fault) ? 'the kick does that too' : null;
      case 'detach':
        return this.#detachRefusal(fault, now);
      case 'reattach':
        if (!settings.reattach) return 'heal.reattach is off';
        return this.#masterRefusal(fault) ?? this.#insistence(fault, 'takes it out', now);
      case 'recreate-mesh':
        if (!settings.recreate) return 'heal.recreate is off';
        if (!settings.own && this.#around.lastMesh === null) return 'it was never seen, and mesh.own is off';
        return this.#insistence(fault, 'deletes it', now);
      default:
        return null;
    }
  }

  #insistence(fault: Fault, does: string, now: Nanos): string | null {
    if (!this.#knowledge.insists(fault.interface ?? '', now)) return null;
    return `somebody ${does} again and again: left to a person`;
  }

  #masterRefusal(fault: Fault): string | null {
    const master = this.#around.links.get(fault.interfaceIndex ?? 0)?.master ?? 0;
    if (master === 0 || master === this.#around.mesh?.index) return null;
    return `it was given to ${this.#around.links.get(master)?.name ?? `interface ${master}`}: left to a person`;
  }

  #meetsAgent(index: IfIndex): boolean {
    return neighboursOn(this.#around, index).some((neighbour) => this.#knowledge.isAgent(index, neighbour));
  }

  /** A silent neighbour by which nothing goes. */
  #isIdle({ class: kind, interfaceIndex, peer }: Fault): boolean {
    return kind === 'neighbour-lost' && peer !== null && broken(this.#around, interfaceIndex ?? 0, peer).length === 0;
  }

  #isV(): boolean {
    return this.#around.lastMesh?.algorithm === 'BATMAN_V';
  }

  #isNamed(fault: Fault): boolean {
    const self = originatorAddress(this.#around);
    return fault.affected.length === 0 || (self !== null && fault.affected.includes(self));
  }

  /** Why an interface must stay in, whatever there would be to win. */
  #untouchable(fault: Fault): string | null {
    const { settings, links } = this.#around;
    const name = fault.interface ?? '';
    if (this.#isV()) return HARMFUL_V;
    if (!settings.detach) return 'heal.detach is off';
    if (isPrimary(this.#around, name))
      return 'it is the primary interface: its address is this router’s name in the mesh';
    if (!this.#around.primaryKnown) return 'the primary interface left: who is the new one is not known yet';
    if (links.get(fault.interfaceIndex ?? 0)?.up === false) return 'it was set down: batman-adv knows already';
    const others = ways(this.#around).filter((other) => other.name !== name);
    return others.length === 0 ? 'it is this router’s last hard interface' : null;
  }

  #detachRefusal(fault: Fault, now: Nanos): string | null {
    const untouchable = this.#untouchable(fault);
    if (untouchable !== null) return untouchable;
    const lost = broken(this.#around, fault.interfaceIndex ?? 0);
    if (lost.length === 0) return 'no route goes through it: nothing would be won';
    const without = lost.filter(({ other }) => other === 'none').length;
    if (without === 0) return this.#meetsAgent(fault.interfaceIndex ?? 0) ? null : NO_AGENT;
    this.#unsure.set(fault.id, { fault, until: now + OTHER_END });
    if (this.#unsure.size > 64) this.#unsure.delete(this.#unsure.keys().next().value!);
    return `no other way is known to ${without} of ${lost.length} routers behind it: it waits for word from the other end`;
  }

  /**
   * The far end of a link that we lost tells of it, by another way: so there is one. Now the dead interface may go
   * though our own tables knew of none (a neighbour whose best way was through us never forwarded those OGMs).
   */
  #otherEnd(alarm: AlarmWord, by: IfIndex, now: Nanos): Effect[] {
    for (const [id, { fault, until }] of this.#unsure) {
      const link = this.#around.links.get(fault.interfaceIndex ?? 0);
      if (now > until || link === undefined) {
        this.#unsure.delete(id);
        continue;
      }
      if (alarm.kind !== 'link-down' || alarm.far !== link.mac || by === link.index) continue;
      if (!broken(this.#around, link.index).some(({ originator }) => originator === alarm.sender)) continue;
      if (this.#untouchable(fault) !== null) continue;
      this.#unsure.delete(id);
      const alternatives: Alternative[] = [{ action: 'detach', cost: COST.detach, refused: null }];
      const why = `the other end of ${link.name} is alive and was heard another way; ${WHY.detach}`;
      const act = this.#around.settings.mode === 'act';
      const detachLate = broken(this.#around, link.index).some(({ other }) => other === 'doubtful');
      return [this.#say({ fault, actions: ['detach'], alternatives, why, detachLate, delayNs: 0, act })];
    }
    return [];
  }
}
