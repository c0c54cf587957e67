/**
 * K of MAPE-K: what this router has learned and must remember between faults. Holds: how often an interface failed and
 * when it was put back (for damping), what is being changed by ourselves (so that nobody takes it for a fault), and
 * how each repair has fared.
 */
import type { Effect } from '../core/effect.ts';
import type { Event, Memory } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, Decision, Fault, FaultClass, Plan, Symptom } from '../core/words.ts';
import { isFaultClass } from './faults/catalogue.ts';
import { isAction, repairOf } from './repairs/catalogue.ts';
import type { Surroundings } from './surroundings.ts';

/** Two losses of an interface within this are flapping. */
const FLAP_WINDOW: Nanos = 60 * SECOND;

const INTENDED: Nanos = 5 * SECOND;
/** Three times within this is no accident. */
const INSIST_WINDOW: Nanos = 300 * SECOND;
const INSISTENT = 3;
/** BATADV_RESET_PROTECTION_MS: peers believe a new sequence number at most so often. */
const RESET_PROTECTION: Nanos = 30 * SECOND;

const LEAVES: ReadonlySet<Symptom['what']> = new Set(['left-mesh', 'mesh-gone']);

/** A neighbour that leaves so many echoes unanswered no longer runs the agent. */
const UNANSWERED = 3;

interface History {
  downs: Nanos[];
  /** When somebody else took it out of bat0, or deleted it where it is bat0 itself. */
  leaves: Nanos[];
  attachedAt: Nanos;
}

/** How a repair has fared here. Old cases count ever less. */
export interface Record {
  readonly class: FaultClass;
  readonly action: Action;
  tries: number;
  successes: number;
  /** Sum over the successes, from fault to verification. */
  repairNs: Nanos;
  /** Faults of other things that began just after it was carried out. */
  sideEffects: number;
}

/** Each further case leaves so much of the earlier ones: about the last hundred count. */
const FORGETTING = 0.99;
/** A repair that was tried so often is known; below the first it has failed here, above the second it has worked. */
const KNOWN = 3;
const POOR = 1 / 3;
const GOOD = 2 / 3;
/** What began just after a repair need not be its doing: it speaks against it half as much as a success speaks for it. */
const SIDE_EFFECT = 1 / 2;
/** What begins so soon after a repair may be its doing. */
const AFTERMATH: Nanos = 10 * SECOND;
/** Something put back so often within an hour is changed by somebody who means it. */
const CONTESTED = 2;
const HOUR: Nanos = 3600 * SECOND;
const MOST_TIRED = 256;
/** A neighbour with the key can answer under ever new addresses. */
const MOST_NEIGHBOURS = 1024;

export class Knowledge implements Machine {
  readonly name = 'knowledge';
  readonly #around: Surroundings;
  readonly #history = new Map<string, History>();
  /** Faults that are not over; analyse.ts keeps them, by keys of its own. */
  readonly open = new Map<string, Fault>();
  /** Interfaces that we took out of the mesh and owe it, with the plan that did, and the id of the undo that is armed. */
  readonly detached = new Map<string, { readonly plan: Plan; readonly undo: string }>();
  /** Interfaces with a change of ours under way: what happens to them now is our doing. */
  readonly #ours = new Map<string, Nanos>();
  /** Echoes that a neighbour has left unanswered since its last answer. */
  readonly #unanswered = new Map<string, number>();
  readonly #records = new Map<string, Record>();
  /** Repairs that failed, and when, by what they were for. */
  readonly #failed = new Map<string, Nanos>();
  /** What was put back, and when. */
  readonly #restored = new Map<string, Nanos[]>();
  readonly #plans = new Map<FaultClass, number>();
  /** Repairs that stay in force while something lasts, by what they are for: what they changed speaks not against them. */
  readonly #inForce = new Set<string>();
  #lastDone: { readonly record: string; readonly fault: Fault; readonly at: Nanos } | null = null;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (event.type === 'symptom' && (event.symptom.what === 'carrier-lost' || event.symptom.what === 'vanished')) {
      const history = this.#of(event.symptom.interface);
      history.downs = history.downs.filter((at) => now - at < FLAP_WINDOW);
      history.downs.push(now);
    }
    if (event.type === 'symptom' && LEAVES.has(event.symptom.what) && !this.isOurs(event.symptom.interface, now)) {
      const history = this.#of(event.symptom.interface);
      history.leaves = history.leaves.filter((at) => now - at < INSIST_WINDOW);
      history.leaves.push(now);
    }
    if (event.type === 'symptom' && event.symptom.what === 'mesh-gone') {
      // Its ports fell out because it went, not because somebody took them.
      for (const [name, history] of this.#history)
        if (name !== event.symptom.interface) history.leaves = history.leaves.filter((at) => now - at > SECOND);
    }
    if (event.type === 'echo' || event.type === 'echo-lost') {
      const key = `${event.interface} ${event.neighbour}`;
      const count = event.type === 'echo' ? 0 : (this.#unanswered.get(key) ?? 0) + 1;
      // Who was heard of last is the last to be forgotten.
      this.#unanswered.delete(key);
      this.#unanswered.set(key, count);
      if (this.#unanswered.size > MOST_NEIGHBOURS) this.#unanswered.delete(this.#unanswered.keys().next().value!);
    }
    if (event.type === 'symptom' && event.symptom.what === 'joined-mesh')
      this.#of(event.symptom.interface).attachedAt = now;
    if (event.type === 'fault') return this.#suspect(event.fault, now);
    if (event.type === 'kick-done' && event.refused !== null && event.fault === this.#lastDone?.fault.id)
      this.#lastDone = null;
    if (event.type === 'decision') return this.#learn(event.decision, now);
    if (event.type === 'started') for (const memory of event.memories ?? []) this.#recall(memory, now);
    return [];
  }

  deadline(): Nanos {
    return NEVER;
  }

  isFlapping(name: string, now: Nanos): boolean {
    return (this.#history.get(name)?.downs ?? []).filter((at) => now - at < FLAP_WINDOW).length > 1;
  }

  /**
   * When an interface that is whole again may go back under bat0. batman-adv begins a new sequence number with each
   * attachment, and peers take one such step in 30 s (reset protection): a second one sooner would be worse than waiting.
   */
  mayReturnAt(name: string, now: Nanos): Nanos {
    const { settings } = this.#around;
    const history = this.#history.get(name);
    if (history === undefined) return now + settings.reattachDampingNs;
    const damping = this.isFlapping(name, now) ? settings.flapDampingNs : settings.reattachDampingNs;
    const afterLast = history.attachedAt > 0 ? history.attachedAt + settings.flapDampingNs : now;
    return Math.max(now + damping, afterLast);
  }

  /** Before this an interface must not go back, whatever happens. */
  protectedUntil(name: string, now: Nanos): Nanos {
    const attachedAt = this.#history.get(name)?.attachedAt ?? 0;
    return attachedAt > 0 ? Math.max(now, attachedAt + RESET_PROTECTION) : now;
  }

  /** Was it taken out of bat0, by somebody else, three times within the window? Then that somebody means it. */
  insists(name: string, now: Nanos): boolean {
    return (this.#history.get(name)?.leaves ?? []).filter((at) => now - at < INSIST_WINDOW).length >= INSISTENT;
  }

  /** Does this neighbour run the agent? Then it answers echoes. */
  isAgent(index: IfIndex, neighbour: Mac): boolean {
    return (this.#unanswered.get(`${index} ${neighbour}`) ?? UNANSWERED) < UNANSWERED;
  }

  intend(name: string, now: Nanos, forNs: Nanos = INTENDED): void {
    this.#ours.set(name, now + forNs);
  }

  isOurs(name: string, now: Nanos): boolean {
    return this.detached.has(name) || (this.#ours.get(name) ?? 0) > now;
  }

  /** Until when what happens to it is our doing, if nothing settles it before. */
  oursUntil(name: string): Nanos {
    return this.#ours.get(name) ?? 0;
  }

  settle(name: string): void {
    this.#ours.delete(name);
  }

  records(): readonly Readonly<Record>[] {
    return [...this.#records.values()];
  }

  #of(name: string): History {
    let history = this.#history.get(name);
    if (history === undefined) {
      history = { downs: [], leaves: [], attachedAt: 0 };
      this.#history.set(name, history);
    }
    return history;
  }

  /** The repairs of a class in the order in which to try them: gentlest first, but what has worked here before what has not. */
  inOrder(fault: FaultClass, repairs: readonly Action[]): { action: Action; learned: string | null }[] {
    const { explore } = this.#around.settings;
    const count = (this.#plans.get(fault) ?? 0) + 1;
    this.#plans.set(fault, count);
    const known = repairs.map((action) => {
      const record = this.#records.get(`${fault} ${action}`);
      const share = record === undefined || record.tries < KNOWN ? null : worthOf(record);
      return { action, record, share };
    });
    const isExploring = explore > 0 && count % explore === 0;
    const good = known.some(({ share }) => share !== null && share >= GOOD);
    const order =
      isExploring || !good
        ? known
        : [
            ...known.filter(({ share }) => share === null || share >= POOR),
            ...known.filter(({ share }) => share !== null && share < POOR),
          ].sort((a, b) => Number(isLast(a.action)) - Number(isLast(b.action)));
    return order.map(({ action, record }) => ({ action, learned: record === undefined ? null : inWords(record) }));
  }

  /** Why a repair that failed for this is not tried again yet, or null. */
  isTired(fault: Fault, action: Action, now: Nanos): string | null {
    const at = this.#failed.get(triedFor(fault, action));
    const cooldown = repairOf(action).mend?.cooldownNs ?? 0;
    if (at === undefined || now - at >= cooldown) return null;
    return `${DONE[action] ?? 'it was tried and did not help'} ${Math.round((now - at) / SECOND)} s ago`;
  }

  /** Is anything known to be wrong with this interface? */
  isWhole(index: IfIndex): boolean {
    for (const { interfaceIndex } of this.open.values()) if (interfaceIndex === index) return false;
    return true;
  }

  /** mend.ts says what it carries out, and when. */
  carriesOut(fault: Fault, action: Action, now: Nanos): void {
    this.#lastDone = { record: `${fault.class} ${action}`, fault, at: now };
  }

  /** mend.ts says what is in force. */
  force(fault: Fault, action: Action, isOn: boolean): void {
    const key = triedFor(fault, action);
    if (isOn) this.#inForce.add(key);
    else this.#inForce.delete(key);
  }

  isInForce(fault: Fault, action: Action): boolean {
    return this.#inForce.has(triedFor(fault, action));
  }

  /** Was this put back again and again, and changed each time? */
  isContested(kind: FaultClass, name: string, now: Nanos): boolean {
    return (this.#restored.get(`${kind} ${name}`) ?? []).filter((at) => now - at < HOUR).length >= CONTESTED;
  }

  #learn({ fault, action, step, at }: Decision, now: Nanos): Effect[] {
    // What execute.ts plans is on its way, but for what is rehearsed first.
    const { mend, radius } = repairOf(action);
    if (step === 'planned' && action !== 'none' && mend === undefined && radius === 'link')
      this.carriesOut(fault, action, now);
    const isFailed = step === 'failed' || step === 'rolled-back' || step === 'dropped';
    const isRestart = step === 'done' && action === 'restart-service';
    // An interface that goes down takes what was wrong with it along, for a while.
    const isRadio = step === 'verified' && action === 'restart-radio';
    if (isFailed || isRestart || isRadio || (step === 'done' && action === 'tell')) {
      const key = triedFor(fault, action);
      this.#failed.delete(key);
      this.#failed.set(key, now);
      if (this.#failed.size > MOST_TIRED) this.#failed.delete(this.#failed.keys().next().value!);
    }
    // Who begins anew has forgotten it otherwise, and would do it again and again.
    if (isRestart) return [{ type: 'remember', kind: 'restarted', key: triedFor(fault, action), value: String(now) }];
    if (step !== 'verified' && step !== 'failed' && step !== 'rolled-back') return [];
    if (step === 'verified' && action === 'restore') {
      const key = `${fault.class} ${fault.interface ?? ''}`;
      const lately = (this.#restored.get(key) ?? []).filter((at) => now - at < HOUR);
      this.#restored.delete(key);
      this.#restored.set(key, [...lately, now].slice(-8));
      if (this.#restored.size > MOST_TIRED) this.#restored.delete(this.#restored.keys().next().value!);
    }
    const record = this.#recordOf(fault.class, action);
    record.tries = record.tries * FORGETTING + 1;
    record.successes *= FORGETTING;
    record.repairNs *= FORGETTING;
    record.sideEffects *= FORGETTING;
    if (step === 'verified') {
      record.successes += 1;
      record.repairNs += at - fault.at;
    }
    return [remember(record)];
  }

  /** A fault of something else, just after something was done. */
  #suspect(fault: Fault, now: Nanos): Effect[] {
    const last = this.#lastDone;
    if (last === null || now - last.at > AFTERMATH || fault.at !== now || fault.id === last.fault.id) return [];
    if (fault.class === 'remote-alarm' || fault.class === 'asked' || last.at === now) return [];
    const [kind, action] = last.record.split(' ') as [FaultClass, Action];
    const record = this.#recordOf(kind, action);
    record.sideEffects += 1;
    return [remember(record)];
  }

  #recordOf(kind: FaultClass, action: Action): Record {
    const key = `${kind} ${action}`;
    const record = this.#records.get(key) ?? {
      class: kind,
      action,
      tries: 0,
      successes: 0,
      repairNs: 0,
      sideEffects: 0,
    };
    this.#records.set(key, record);
    return record;
  }

  #recall({ kind, key, value }: Memory, now: Nanos): void {
    const [fault, action] = key.split(' ');
    // Of a time that is still to come it was before the last boot.
    const at = Number(value);
    if (kind === 'restarted' && at >= 0 && at <= now && this.#failed.size < MOST_TIRED) this.#failed.set(key, at);
    if (kind !== 'repair' || !isFaultClass(fault ?? '') || !isAction(action ?? '')) return;
    try {
      const [tries, successes, repairNs, sideEffects] = JSON.parse(value) as number[];
      const figures = [tries, successes, repairNs, sideEffects];
      if (!figures.every((one) => typeof one === 'number' && Number.isFinite(one) && one >= 0)) return;
      Object.assign(this.#recordOf(fault as FaultClass, action as Action), { tries, successes, repairNs, sideEffects });
    } catch {
      // It is learned anew.
    }
  }
}

/** What need not have failed to be enough for now. */
const DONE: Readonly<Partial<{ [action in Action]: string }>> = {
  tell: 'a person was told',
  'restart-radio': 'it was done',
};

function triedFor({ class: kind, interface: name, peer }: Fault, action: Action): string {
  return `${kind} ${action} ${name ?? ''} ${peer ?? ''}`;
}

/** The share that worked, less what came of it beside. */
function worthOf({ tries, successes, sideEffects }: Record): number {
  return (successes - SIDE_EFFECT * sideEffects) / tries;
}

function isLast(action: Action): boolean {
  return action === 'tell' || action === 'restart-radio' || action === 'restart-service';
}

function inWords({ tries, successes, repairNs, sideEffects }: Record): string {
  const time = successes >= 1 ? `, in ${(repairNs / successes / SECOND).toFixed(1)} s on average` : '';
  const beside =
    sideEffects >= 0.5 ? `; ${Math.round(sideEffects)} other faults began just after, which counts against it` : '';
  return `here it has worked ${Math.round(successes)} of ${Math.round(tries)} times${time}${beside}`;
}

function remember({ class: kind, action, tries, successes, repairNs, sideEffects }: Record): Effect {
  const value = JSON.stringify([tries, successes, repairNs, sideEffects]);
  return { type: 'remember', kind: 'repair', key: `${kind} ${action}`, value };
}
