/** A of MAPE-K: says which fault the symptoms mean, on what evidence, and when it is over. */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision, Evidence, Fault, FaultClass, Finding, Mode, Remedy, Symptom } from '../core/words.ts';
import type { Earned } from './earned.ts';
import { BEGINS, ENDS, specOf } from './faults/catalogue.ts';
import type { Knowledge } from './knowledge.ts';
import { repairOf } from './repairs/catalogue.ts';
import type { Surroundings } from './surroundings.ts';

const FIRST_RETRY: Nanos = 30 * SECOND;
const SLOWEST_RETRY: Nanos = 600 * SECOND;
const LEFT_RETRY: Nanos = 1800 * SECOND;
const HOPELESS_RETRY: Nanos = 5 * SECOND;
/** Of what was seen of one fault, the first and the newest are kept. */
const MOST_EVIDENCE = 6;
/** Strangers can invent routers and let them die: of more than these only the number is kept. */
const MOST_DEAD = 32;

export class Analyse implements Machine {
  readonly name = 'analyse';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #earned: Earned;
  /** knowledge.ts has it for all who need to know. */
  readonly #open: Map<string, Fault>;
  /** Those of classes that are off, by the same keys: nobody hears of them before a person says otherwise. */
  readonly #unsaid = new Map<string, Fault>();
  /** Open faults whose repair failed, by the same keys. */
  readonly #retries = new Map<string, { at: Nanos; tries: number }>();
  /** Of these the bad links that were left alone as making them dear had won nothing, and from when on it counts that it would. */
  readonly #hopeless = new Map<string, Nanos>();
  /** Carriers that went by our doing, by interface: they are to come back. */
  readonly #withheld = new Map<string, Symptom>();
  /** Dead routers beyond MOST_DEAD, by the keys that their faults would have. */
  readonly #untold = new Set<string>();
  #mode: Mode = 'off';
  #count = 0;

  constructor(around: Surroundings, knowledge: Knowledge, earned: Earned) {
    this.#around = around;
    this.#knowledge = knowledge;
    this.#open = knowledge.open;
    this.#earned = earned;
  }

  /** Faults that are not over. */
  open(): readonly Fault[] {
    return [...this.#open.values()];
  }

  /** How many routers are dead beside those that have a fault. */
  untold(): number {
    return this.#untold.size;
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'symptom':
        return [...this.#ends(event.symptom), ...this.#begins(event.symptom, now)];
      case 'finding':
        return event.finding.over ? this.#mended(event.finding) : this.#found(event.finding, now);
      case 'alarm': {
        const { sender, kind, near, far, counter, affected } = event.alarm;
        // No fault but what a fault has brought about here; whose own routes hang on it hears of that fault as well.
        if (kind === 'way-lost') return [];
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
        const fault = event.lost === null ? 'asked' : 'link-silent';
        return [this.#tell(this.#fault(fault, about, 1, { source: 'operator', what, at: now }, now))];
      }
      case 'decision':
        return this.#failed(event.decision, now);
      case 'settings':
      case 'mode-asked':
        return this.#reconsider(now);
      case 'class-mode-asked':
        if (this.#earned.acts(event.class))
          for (const [key, fault] of this.#open)
            if (fault.class === event.class && this.#isRetried(fault)) this.#retries.set(key, { at: now, tries: 0 });
        return this.#isOff(event.class) ? [] : this.#say(event.class);
      case 'tables':
        return [...this.#hopeless].flatMap(([key, from]) => (now >= from ? this.#hoped(key, now) : []));
      case 'tick':
        return [
          ...[...this.#withheld].flatMap(([name, symptom]) => this.#stayed(name, symptom, now)),
          ...[...this.#retries].flatMap(([key, { at }]) => (now >= at ? this.#again(key) : [])),
        ];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const { at } of this.#retries.values()) earliest = Math.min(earliest, at);
    for (const name of this.#withheld.keys()) earliest = Math.min(earliest, this.#knowledge.oursUntil(name));
    return earliest;
  }

  /** What stays broken until somebody repairs it is tried again, ever more slowly. Lost links batman-adv routes around. */
  #failed({ fault, step, action }: Decision, now: Nanos): Effect[] {
    const { safe } = specOf(fault.class);
    const isRefused = safe && step === 'planned' && action !== 'reattach' && action !== 'recreate-mesh';
    const isFailed = step === 'failed' || step === 'dropped' || (!safe && step === 'rolled-back');
    // A person was told, or nothing could be done: what stands against a repair may change.
    const isLeft = !safe && (step === 'planned' ? action === 'none' : step === 'done' && action === 'tell');
    if (!this.#isRetried(fault) || !(isFailed || isRefused || isLeft)) return [];
    const key = this.#keyOfOpen(fault.id);
    if (key === undefined) return [];
    const tries = (this.#retries.get(key)?.tries ?? 0) + 1;
    const pause = isLeft
      ? LEFT_RETRY
      : isRefused
        ? SLOWEST_RETRY
        : Math.min(SLOWEST_RETRY, FIRST_RETRY * 2 ** (tries - 1));
    this.#retries.set(key, { at: now + pause, tries });
    if (isLeft && this.#isHopeless(fault, now))
      this.#hopeless.set(key, now + Math.min(SLOWEST_RETRY, HOPELESS_RETRY * 2 ** (tries - 1)));
    return [];
  }

  /**
   * No route goes by it, or no other way is known to somebody behind it: batman-adv may bring one as the link's quality falls.
   * Or it is dear already, for another fault's sake: it must not be taken for one that nothing gentle helps.
   */
  #isHopeless(fault: Fault, now: Nanos): boolean {
    if (!specOf(fault.class).repairs.includes('link-cost') || fault.interfaceIndex === null) return false;
    return repairOf('link-cost').refusal(fault, { around: this.#around, knowledge: this.#knowledge, now }) !== null;
  }

  #hoped(key: string, now: Nanos): Effect[] {
    if (this.#isHopeless(this.#open.get(key)!, now)) return [];
    this.#hopeless.delete(key);
    return this.#again(key);
  }

  /** What was only seen while the mode forbade more is told again when it allows it. */
  #reconsider(now: Nanos): Effect[] {
    const { mode } = this.#around.settings;
    const before = this.#mode;
    this.#mode = mode;
    if (mode !== 'act' || before === 'act') return [];
    for (const [key, fault] of this.#open)
      if (specOf(fault.class).lasting === true || !specOf(fault.class).safe)
        this.#retries.set(key, { at: now, tries: 0 });
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

  #isOff(kind: FaultClass): boolean {
    return this.#earned.modeOf(kind) === 'off';
  }

  /** What began while its class was off, and is not over: who saw it says it only once. */
  #say(kind: FaultClass): Effect[] {
    const unsaid = [...this.#unsaid].filter(([, fault]) => fault.class === kind);
    for (const [key, fault] of unsaid) {
      this.#unsaid.delete(key);
      this.#open.set(key, fault);
    }
    return unsaid.map(([, fault]) => this.#tell(fault));
  }

  #begins(symptom: Symptom, now: Nanos): Effect[] {
    const spec = BEGINS.get(symptom.what);
    if (spec === undefined || !this.#concerns(symptom, now)) return [];
    const [, confidence, usual] = spec.begins!;
    const source = symptom.source ?? usual;
    const key = keyOf(spec.class, symptom.interface, symptom.peer);
    const isOff = this.#isOff(spec.class);
    if (this.#open.has(key) || this.#unsaid.has(key)) return [];
    if (spec.class === 'router-dead' && this.#countOf('router-dead') >= MOST_DEAD) return this.#leave(key, isOff);
    const evidence: Evidence = { source, what: symptom.detail, at: now };
    const about = { interface: symptom.interface || null, index: symptom.index || null, peer: symptom.peer };
    const found = this.#fault(spec.class, about, confidence, evidence, now);
    (isOff ? this.#unsaid : this.#open).set(key, found);
    return isOff ? [] : [this.#tell(found)];
  }

  #countOf(kind: FaultClass): number {
    let count = 0;
    for (const faults of [this.#open, this.#unsaid])
      for (const fault of faults.values()) if (fault.class === kind) count += 1;
    return count;
  }

  #leave(key: string, isOff: boolean): Effect[] {
    this.#untold.add(key);
    if (isOff || this.#untold.size > 1) return [];
    const message = `more than ${MOST_DEAD} routers are dead: the others are only counted`;
    return [{ type: 'log', level: 'warning', message, fields: {} }];
  }

  #ends(symptom: Symptom): Effect[] {
    const isBack = symptom.what === 'carrier-back' || symptom.what === 'vanished';
    if (isBack && this.#withheld.delete(symptom.interface)) this.#knowledge.settle(symptom.interface);
    const effects: Effect[] = [];
    const ends = ENDS.get(symptom.what);
    if (ends !== undefined) effects.push(...this.#end(keyOf(ends, symptom.interface, symptom.peer), symptom.detail));
    // With the interface goes what was wrong with it.
    if (symptom.what === 'vanished')
      for (const [key, fault] of [...this.#open, ...this.#unsaid])
        if (fault.interface === symptom.interface) effects.push(...this.#end(key, symptom.detail, { moot: true }));
    return effects;
  }

  /** What a detector sees, or sees more clearly. */
  #found(finding: Finding, now: Nanos): Effect[] {
    const { class: kind, confidence, source, what, affected, remedy } = finding;
    const isOff = this.#isOff(kind);
    const key = keyOf(kind, finding.interface, finding.peer, finding.part);
    const evidence: Evidence = { source, what, at: now };
    const faults = isOff && !this.#open.has(key) ? this.#unsaid : this.#open;
    const open = faults.get(key);
    if (open === undefined) {
      const about = { interface: finding.interface || null, index: finding.index || null, peer: finding.peer };
      const found = this.#fault(kind, about, confidence, evidence, now, affected, remedy);
      faults.set(key, found);
      return isOff ? [] : [this.#tell(found)];
    }
    const seen = [...open.evidence, evidence];
    if (seen.length > MOST_EVIDENCE) seen.splice(1, 1);
    const better = { ...open, confidence: Math.max(open.confidence, confidence), evidence: seen };
    faults.set(key, better);
    return isOff ? [] : [this.#tell(better)];
  }

  #mended(finding: Finding): Effect[] {
    const { class: kind, interface: name, peer, part, what } = finding;
    return this.#end(keyOf(kind, name, peer, part), what, finding);
  }

  /** Nobody else repairs it, or there are further repairs. */
  #isRetried({ class: kind }: Fault): boolean {
    const { lasting = false, safe } = specOf(kind);
    return lasting || !safe;
  }

  #keyOfOpen(id: string): string | undefined {
    for (const [key, fault] of this.#open) if (fault.id === id) return key;
    return undefined;
  }

  #end(key: string, how: string, { right, moot }: Pick<Finding, 'right' | 'moot'> = {}): Effect[] {
    const open = this.#open.get(key);
    this.#untold.delete(key);
    this.#unsaid.delete(key);
    if (open === undefined) return [];
    this.#open.delete(key);
    this.#retries.delete(key);
    this.#hopeless.delete(key);
    const over = { type: 'fault-over', fault: open.id, how } as const;
    const said = { ...(right === undefined ? {} : { right }), ...(moot === true ? { moot } : {}) };
    return [{ type: 'emit', event: { ...over, ...said } }];
  }

  /** Is this symptom about the mesh at all, and not our own doing? */
  #concerns(symptom: Symptom, now: Nanos): boolean {
    switch (symptom.what) {
      case 'carrier-lost':
        // An interface outside bat0 (taken out by us, or never in) carries no route.
        return this.#isInMesh(symptom) && !this.#isWithheld(symptom, now);
      case 'left-mesh':
        return !this.#knowledge.isOurs(symptom.interface, now);
      case 'neighbour-silent':
        return !this.#open.has(keyOf('link-down', symptom.interface, null));
      default:
        return true;
    }
  }

  #isInMesh({ index }: Symptom): boolean {
    return this.#around.mesh !== null && this.#around.links.get(index)?.master === this.#around.mesh.index;
  }

  /** A radio that is restarted has no carrier for a moment. */
  #isWithheld(symptom: Symptom, now: Nanos): boolean {
    const isOurs = this.#knowledge.oursUntil(symptom.interface) > now;
    if (isOurs) this.#withheld.set(symptom.interface, symptom);
    return isOurs;
  }

  /** It has had the time to come back. */
  #stayed(name: string, symptom: Symptom, now: Nanos): Effect[] {
    if (now < this.#knowledge.oursUntil(name)) return [];
    this.#withheld.delete(name);
    return this.#begins(symptom, now);
  }

  #fault(
    fault: FaultClass,
    about: { interface: string | null; index: number | null; peer: string | null },
    confidence: number,
    evidence: Evidence,
    now: Nanos,
    affected: readonly Mac[] = [],
    remedy?: Remedy,
  ): Fault {
    this.#count += 1;
    const found: Fault = {
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
    return remedy === undefined ? found : { ...found, remedy };
  }

  #tell(fault: Fault): Effect {
    return { type: 'emit', event: { type: 'fault', fault } };
  }
}

function keyOf(fault: FaultClass, iface: string, peer: string | null, part = ''): string {
  return `${fault} ${iface} ${peer ?? ''} ${part}`;
}
