/**
 * P of MAPE-K: weighs the repairs against a fault, gentlest first, and says why each was taken or refused. What is a fault
 * and which repairs it may have is in faults/, what a repair needs in repairs/.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, Alternative, Fault, Plan as PlanWord } from '../core/words.ts';
import type { Earned } from './earned.ts';
import { specOf } from './faults/catalogue.ts';
import type { Knowledge } from './knowledge.ts';
import { repairOf } from './repairs/catalogue.ts';
import { ASK_GOES_FIRST, staysIn } from './repairs/urgent.ts';
import { isItsName, isPrimary, neighboursOn, originatorAddress, type Surroundings } from './surroundings.ts';

const NETIFD_FIRST: Nanos = 2 * SECOND;
/** batman-adv chooses among the ways that it has: a dead one goes first. */
const AFTER_DETACH: Nanos = 1 * SECOND;
const MOST_DOWN = 64;
const KICK: readonly Action[] = ['kick'];
const DETACH: readonly Action[] = ['detach'];
const REFUSED = 'every repair was refused';

/** Where a repair by one of several routers suffices, the next one waits so long for it to help. */
const A_TURN: Nanos = 120 * SECOND;
const ONE_OF_US: ReadonlySet<Action> = new Set(['cycle', 'isolate', 'restart-radio', 'gateway-stand-down']);

export class Plan implements Machine {
  readonly name = 'plan';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #earned: Earned;
  /** Links that are down, with the interface still in the mesh. */
  readonly #down = new Map<string, Fault>();

  constructor(around: Surroundings, knowledge: Knowledge, earned: Earned) {
    this.#around = around;
    this.#knowledge = knowledge;
    this.#earned = earned;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (this.#around.settings.mode === 'off') return [];
    if (event.type === 'fault') {
      const past = this.#pastGateway(event.fault, now);
      return [...past, this.#say(this.#plan(event.fault, now, past.length > 0))];
    }
    if (event.type === 'fault-over') this.#down.delete(event.fault);
    return [];
  }

  deadline(): Nanos {
    return NEVER;
  }

  #say(plan: PlanWord): Effect {
    return { type: 'emit', event: { type: 'plan', plan } };
  }

  /** `isPast`: the way to the lost gateway is taken out, and it with that. */
  #plan(fault: Fault, now: Nanos, isPast: boolean): PlanWord {
    const spec = specOf(fault.class);
    const repairs = isPast ? spec.repairs.filter((action) => action !== 'gateway-any') : spec.repairs;
    if (!spec.safe) return this.#choose(fault, repairs, now);
    const scene = { around: this.#around, knowledge: this.#knowledge, now };
    const weighed: Alternative[] = spec.repairs.map((action) => {
      const repair = repairOf(action);
      return { action, cost: repair.cost, refused: repair.refusal(fault, scene) };
    });
    const isOpen = (action: Action) => weighed.some((one) => one.action === action && one.refused === null);
    const isAsk = isOpen('ask') && isOpen('kick') && this.#turnsItself(fault);
    const alternatives = weighed.map((one) =>
      isAsk && (one.action === 'kick' || one.action === 'detach') && one.refused === null
        ? { ...one, refused: ASK_GOES_FIRST }
        : one,
    );
    const actions = alternatives.filter(({ refused }) => refused === null).map(({ action }) => action);
    // What it needs besides is judged when its time has come, by the tables of then.
    const isDetach = spec.repairs.includes('detach') && staysIn(fault, scene) === null;
    const later = [...(isAsk ? KICK : []), ...(isDetach ? DETACH : [])];
    if (spec.repairs.includes('detach')) keep(this.#down, fault);
    const why = actions.length === 0 ? REFUSED : actions.map((action) => repairOf(action).words).join('; ');
    // netifd, or whoever declared an adopted mesh, makes it anew too: it goes first.
    const isRecreated = actions.includes('recreate-mesh');
    const delayNs = isRecreated && !this.#around.settings.own ? NETIFD_FIRST : 0;
    const radius = isRecreated ? 'router' : 'link';
    return { fault, actions, alternatives, why, later, delayNs, radius, act: this.#acts(fault) };
  }

  /** One repair, the gentlest that is not refused; what has worked better here goes first. */
  #choose(fault: Fault, repairs: readonly Action[], now: Nanos): PlanWord {
    const scene = { around: this.#around, knowledge: this.#knowledge, now };
    let chosen: Action | null = null;
    const alternatives = this.#knowledge.inOrder(fault.class, repairs).map(({ action, learned }): Alternative => {
      const { cost, refusal } = repairOf(action);
      const refused = this.#knowledge.isInForce(fault, action)
        ? null
        : (this.#knowledge.isTired(fault, action, now) ?? refusal(fault, scene));
      const isLater = refused === null && chosen !== null;
      if (refused === null) chosen ??= action;
      const why = isLater ? `${chosen} comes first` : refused;
      return { action, cost, refused: why, ...(learned === null ? {} : { learned }) };
    });
    const actions: Action[] = chosen === null ? [] : [chosen];
    const repair = chosen === null ? null : repairOf(chosen);
    const turnNs = chosen !== null && ONE_OF_US.has(chosen) ? A_TURN * this.#turn(fault) : 0;
    const delayNs = chosen === 'gateway-reselect' ? AFTER_DETACH : turnNs;
    return {
      fault,
      actions,
      alternatives,
      why: repair?.words ?? REFUSED,
      later: [],
      delayNs,
      radius: repair?.radius ?? 'link',
      act: this.#acts(fault),
    };
  }

  /** Is the far end one router that mends its own ways? Else only our own OGMs turn what comes to us by that link. */
  #turnsItself({ interfaceIndex, interface: name }: Fault): boolean {
    if (isPrimary(this.#around, name ?? '')) return false;
    const met = neighboursOn(this.#around, interfaceIndex ?? 0);
    if (met.length !== 1 || !this.#knowledge.isAgent(interfaceIndex ?? 0, met[0]!)) return false;
    // What is not told from an interface's address is not among the routes that are looked after.
    return !isItsName(this.#around, interfaceIndex ?? 0, met[0]!);
  }

  /** The mesh that this router is configured to make is no repair: without it there is nothing to observe. */
  #acts(fault: Fault): boolean {
    if (fault.class === 'mesh-vanished' && this.#around.settings.own && this.#around.lastMesh === null) return true;
    return this.#around.settings.mode === 'act' && this.#earned.acts(fault.class);
  }

  /** How many that see the same fault go before us: those with a lower address. The next takes over when nothing comes of it. */
  #turn({ interfaceIndex, peer, affected }: Fault): number {
    const own = originatorAddress(this.#around);
    if (affected.length > 0) return own === null ? affected.length : affected.filter((other) => other < own).length;
    const mac = this.#around.links.get(interfaceIndex ?? 0)?.mac;
    return peer !== null && mac !== undefined && peer < mac ? 1 : 0;
  }

  /**
   * The gateway in use was reached over a link that was lost: batman-adv keeps that way, and with it the choice, for 200 s
   * (PURGE_TIMEOUT), and would choose the same again. Routers without another way have had the time to be heard by one.
   */
  #pastGateway(lost: Fault, now: Nanos): Effect[] {
    const [gateway] = lost.affected;
    if (lost.class !== 'gateway-lost' || !this.#acts(lost)) return [];
    const scene = { around: this.#around, knowledge: this.#knowledge, now };
    // Where there is nothing to choose anew, or batman-adv has, nothing stands in the way.
    if (repairOf('gateway-reselect').refusal(lost, scene) !== null) return [];
    const way = this.#around.tables?.originators.find((path) => path.best && path.originator === gateway);
    for (const [id, fault] of this.#down) {
      if (way?.interface !== fault.interfaceIndex || staysIn(fault, scene) !== null) continue;
      this.#down.delete(id);
      const { cost, words } = repairOf('detach');
      const alternatives: Alternative[] = [{ action: 'detach', cost, refused: null }];
      const why = `${gateway}, the gateway in use, was reached over it and is gone; ${words}`;
      const act = this.#acts(fault);
      return [this.#say({ fault, actions: ['detach'], alternatives, why, later: [], delayNs: 0, radius: 'link', act })];
    }
    return [];
  }
}

/** The oldest is forgotten first. */
function keep(map: Map<string, Fault>, fault: Fault): void {
  map.set(fault.id, fault);
  if (map.size > MOST_DOWN) map.delete(map.keys().next().value!);
}
