/** A of MAPE-K: says which fault the symptoms mean, on what evidence, and when it is over. */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision, Evidence, Fault, FaultClass, Mode, Symptom } from '../core/words.ts';
import type { Knowledge } from './knowledge.ts';
import type { Surroundings } from './surroundings.ts';

/** Which fault a symptom begins, and with what confidence. */
const BEGINS: Readonly<Partial<Record<Symptom['what'], readonly [FaultClass, number]>>> = {
  'carrier-lost': ['link-down', 1],
  vanished: ['interface-vanished', 1],
  'left-mesh': ['interface-fell-out', 1],
  'mesh-gone': ['mesh-vanished', 1],
  'neighbour-silent': ['neighbour-lost', 0.9],
  'originator-dead': ['router-dead', 0.9],
};

/** Which faults a symptom ends. */
const ENDS: Readonly<Partial<Record<Symptom['what'], readonly FaultClass[]>>> = {
  'carrier-back': ['link-down'],
  appeared: ['interface-vanished'],
  'joined-mesh': ['interface-fell-out'],
  'mesh-back': ['mesh-vanished'],
  'neighbour-heard': ['neighbour-lost'],
  'originator-heard': ['router-dead'],
};

const SOURCES: Readonly<Partial<Record<Symptom['what'], string>>> = {
  'neighbour-silent': 'batadv tables',
  'originator-dead': 'batadv tables',
};

/** Faults that nobody else repairs. */
const LASTING: ReadonlySet<FaultClass> = new Set<FaultClass>(['interface-fell-out', 'mesh-vanished']);
const FIRST_RETRY: Nanos = 30 * SECOND;
const SLOWEST_RETRY: Nanos = 600 * SECOND;

export class Analyse implements Machine {
  readonly name = 'analyse';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #open = new Map<string, Fault>();
  /** Open faults whose repair failed, by the same keys. */
  readonly #retries = new Map<string, { at: Nanos; tries: number }>();
  #mode: Mode = 'off';
  #count = 0;

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
  }

  /** Faults that are not over. */
  open(): readonly Fault[] {
    return [...this.#open.values()];
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'symptom':
        return [...this.#ends(event.symptom), ...this.#begins(event.symptom, now)];
      case 'alarm': {
        const { sender, kind, near, far, counter, affected } = event.alarm;
        const what = `${sender} says: ${kind} between ${near} and ${far}`;
        const about = {
          interface: this.#around.links.get(event.interface)?.name ?? null,
          index: event.interface,
          peer: sender,
        };
        const evidence = { source: 'alarm', what: `${what} (alarm ${counter})`, at: now };
        return [this.#tell(this.#fault('remote-alarm', about, 1, evidence, now, affected))];
      }
      case 'kick-asked': {
        const row = this.#around.tables?.neighbours.find((neighbour) => neighbour.neighbour === event.lost);
        const what =
          event.lost === null ? `${event.by} asked for a kick` : `${event.by} says that ${event.lost} is lost`;
        const about = { interface: row?.interfaceName ?? null, index: row?.interface ?? null, peer: event.lost };
        const fault = event.lost === null ? 'asked' : 'neighbour-lost';
        return [this.#tell(this.#fault(fault, about, 1, { source: 'operator', what, at: now }, now))];
      }
      case 'decision':
        return this.#failed(event.decision, now);
      case 'settings':
      case 'mode-asked':
        return this.#reconsider(now);
      case 'tick':
        return [...this.#retries].flatMap(([key, { at }]) => (now >= at ? this.#again(key) : []));
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const { at } of this.#retries.values()) earliest = Math.min(earliest, at);
    return earliest;
  }

  /** What stays broken until somebody repairs it is tried again, ever more slowly. Lost links batman-adv routes around. */
  #failed({ fault, step, action }: Decision, now: Nanos): Effect[] {
    const key = keyOf(fault.class, fault.interface ?? '', fault.peer);
    const isRefused = step === 'planned' && action !== 'reattach' && action !== 'recreate-mesh';
    if (!LASTING.has(fault.class) || this.#open.get(key)?.id !== fault.id || !(step === 'failed' || isRefused))
      return [];
    const tries = (this.#retries.get(key)?.tries ?? 0) + 1;
    const pause = isRefused ? SLOWEST_RETRY : Math.min(SLOWEST_RETRY, FIRST_RETRY * 2 ** (tries - 1));
    this.#retries.set(key, { at: now + pause, tries });
    return [];
  }

  /** What was only seen while the mode forbade more is told again when it allows it. */
  #reconsider(now: Nanos): Effect[] {
    const { mode } = this.#around.settings;
    const before = this.#mode;
    this.#mode = mode;
    if (mode !== 'act' || before === 'act') return [];
    for (const [key, fault] of this.#open) if (LASTING.has(fault.class)) this.#retries.set(key, { at: now, tries: 0 });
    return [];
  }

  #again(key: string): Effect[] {
    const retry = this.#retries.get(key)!;
    retry.at = NEVER;
    const fault = this.#open.get(key);
    if (fault !== undefined) return [this.#tell(fault)];
    this.#retries.delete(key);
    return [];
  }

  #begins(symptom: Symptom, now: Nanos): Effect[] {
    const begins = BEGINS[symptom.what];
    if (begins === undefined || !this.#concerns(symptom, now)) return [];
    const [fault, confidence] = begins;
    const key = keyOf(fault, symptom.interface, symptom.peer);
    if (this.#open.has(key)) return [];
    const evidence: Evidence = {
      source: symptom.source ?? SOURCES[symptom.what] ?? 'rtnetlink',
      what: symptom.detail,
      at: now,
    };
    const about = { interface: symptom.interface || null, index: symptom.index || null, peer: symptom.peer };
    const found = this.#fault(fault, about, confidence, evidence, now);
    this.#open.set(key, found);
    return [this.#tell(found)];
  }

  #ends(symptom: Symptom): Effect[] {
    const effects: Effect[] = [];
    for (const fault of ENDS[symptom.what] ?? [])
      effects.push(...this.#end(keyOf(fault, symptom.interface, symptom.peer), symptom.detail));
    // With the interface goes what was wrong with it.
    if (symptom.what === 'vanished')
      for (const [key, fault] of this.#open)
        if (fault.interface === symptom.interface) effects.push(...this.#end(key, symptom.detail));
    return effects;
  }

  #end(key: string, how: string): Effect[] {
    const open = this.#open.get(key);
    if (open === undefined) return [];
    this.#open.delete(key);
    this.#retries.delete(key);
    return [{ type: 'emit', event: { type: 'fault-over', fault: open.id, how } }];
  }

  /** Is this symptom about the mesh at all, and not our own doing? */
  #concerns(symptom: Symptom, now: Nanos): boolean {
    switch (symptom.what) {
      case 'carrier-lost':
        // An interface outside bat0 (taken out by us, or never in) carries no route.
        return this.#around.links.get(symptom.index)?.master === this.#around.mesh?.index && this.#around.mesh !== null;
      case 'left-mesh':
        return !this.#knowledge.isOurs(symptom.interface, now);
      case 'neighbour-silent':
        return !this.#open.has(keyOf('link-down', symptom.interface, null));
      default:
        return true;
    }
  }

  #fault(
    fault: FaultClass,
    about: { interface: string | null; index: number | null; peer: string | null },
    confidence: number,
    evidence: Evidence,
    now: Nanos,
    affected: readonly Mac[] = [],
  ): Fault {
    this.#count += 1;
    return {
      id: `e${this.#around.epoch}-f${this.#count}`,
      class: fault,
      at: now,
      interface: about.interface,
      interfaceIndex: about.index,
      peer: about.peer,
      confidence,
      evidence: [evidence],
      affected,
    };
  }

  #tell(fault: Fault): Effect {
    return { type: 'emit', event: { type: 'fault', fault } };
  }
}

function keyOf(fault: FaultClass, iface: string, peer: string | null): string {
  return `${fault} ${iface} ${peer ?? ''}`;
}
