/**
 * K of MAPE-K: what this router has learned and must remember between faults. Holds: how often an interface failed and
 * when it was put back (for damping), what is being changed by ourselves (so that nobody takes it for a fault), and
 * how each repair has fared.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, FaultClass, Plan, Symptom } from '../core/words.ts';
import type { Surroundings } from './surroundings.ts';

/** Two losses of an interface within this are flapping. */
const FLAP_WINDOW: Nanos = 60 * SECOND;

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

export interface Record {
  readonly class: FaultClass;
  readonly action: Action;
  tries: number;
  successes: number;
  /** Sum over the successes, from fault to verification. */
  repairNs: Nanos;
}

export class Knowledge implements Machine {
  readonly name = 'knowledge';
  readonly #around: Surroundings;
  readonly #history = new Map<string, History>();
  /** Interfaces that we took out of the mesh and owe it, with the plan that did, and the id of the undo that is armed. */
  readonly detached = new Map<string, { readonly plan: Plan; readonly undo: string }>();
  /** Interfaces with a change of ours under way: what happens to them now is our doing. */
  readonly #ours = new Map<string, Nanos>();
  /** Echoes that a neighbour has left unanswered since its last answer. */
  readonly #unanswered = new Map<string, number>();
  readonly #records = new Map<string, Record>();

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
    if (event.type === 'echo') this.#unanswered.set(`${event.interface} ${event.neighbour}`, 0);
    if (event.type === 'echo-lost') {
      const key = `${event.interface} ${event.neighbour}`;
      this.#unanswered.set(key, (this.#unanswered.get(key) ?? 0) + 1);
    }
    if (event.type === 'symptom' && event.symptom.what === 'joined-mesh')
      this.#of(event.symptom.interface).attachedAt = now;
    if (event.type === 'decision')
      this.#learn(
        event.decision.fault.class,
        event.decision.action,
        event.decision.step,
        now - event.decision.fault.at,
      );
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

  intend(name: string, now: Nanos): void {
    this.#ours.set(name, now + 5 * SECOND);
  }

  isOurs(name: string, now: Nanos): boolean {
    return this.detached.has(name) || (this.#ours.get(name) ?? 0) > now;
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

  #learn(fault: FaultClass, action: Action, step: string, took: Nanos): void {
    if (step !== 'verified' && step !== 'failed' && step !== 'rolled-back') return;
    const key = `${fault} ${action}`;
    const record = this.#records.get(key) ?? { class: fault, action, tries: 0, successes: 0, repairNs: 0 };
    record.tries += 1;
    if (step === 'verified') {
      record.successes += 1;
      record.repairNs += took;
    }
    this.#records.set(key, record);
  }
}
