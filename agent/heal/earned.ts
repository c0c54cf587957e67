/**
 * Observe mode by class of faults. What is only observed is held against what then happened: would its repair have been
 * right? Yes, if the fault was no passing one, and when it had lasted long enough to tell, the repair was still wanted and
 * still possible (an interface made dear helps who has another way, and as long as routes go by it); and if what a repair
 * rests on can be seen in no other way, if somebody did it and the fault was over then. A class acts once enough of its cases were, and stops when they no longer are. Safe classes act from the first
 * day; a person overrides any of them (`x0ctl heal mode CLASS`).
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Link } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, ClassMode, Fault, FaultClass } from '../core/words.ts';
import { CATALOGUE, isFaultClass, specOf } from './faults/catalogue.ts';
import type { Knowledge } from './knowledge.ts';
import { repairOf } from './repairs/catalogue.ts';
import type { Surroundings } from './surroundings.ts';

/** Cases in all, beyond which old ones count less and less. */
const MEMORY = 200;
/** Faults that are open at one time, at most. */
const MOST_OPEN = 512;
/** Of the standard normal distribution: 95 %, one-sided. */
const Z = 1.645;
const MODES: ReadonlySet<string> = new Set(['off', 'observe', 'act', 'auto']);

/** What others report, and people ask for, is never said to be over: it shows nothing, and would be watched for ever. */
const ENDLESS: ReadonlySet<FaultClass> = new Set(['remote-alarm', 'asked']);

/** What is over so soon after somebody did it is over by that. */
const AFTER_DEED: Nanos = 120 * SECOND;

interface Watched {
  readonly fault: Fault;
  readonly action: Action;
  /** Its repair was wanted and possible when it had lasted; null: not looked yet. */
  wanted: boolean | null;
  wasDown: boolean;
  /** When somebody set the interface down and up again. */
  doneAt: Nanos;
}

interface Cases {
  right: number;
  wrong: number;
}

/** What a person sees of a class. */
export interface ClassView {
  readonly class: FaultClass;
  readonly mode: ClassMode;
  readonly safe: boolean;
  /** What follows from these now. */
  readonly acts: boolean;
  readonly right: number;
  readonly wrong: number;
  /** The share that was right is at least this, to 95 %. */
  readonly confidence: number;
}

export class Earned implements Machine {
  readonly name = 'earned';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #modes = new Map<FaultClass, ClassMode>();
  readonly #cases = new Map<FaultClass, Cases>();
  /** Faults that are only watched, by id. */
  readonly #watched = new Map<string, Watched>();

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'started':
        for (const { kind, key, value } of event.memories ?? []) this.#recall(kind, key, value);
        return [];
      case 'class-mode-asked': {
        this.#modes.set(event.class, event.mode);
        const value = event.mode === 'auto' ? null : event.mode;
        return [
          { type: 'remember', kind: 'class-mode', key: event.class, value },
          { type: 'log', level: 'info', message: `${event.class} is now ${event.mode}`, fields: { by: event.by } },
        ];
      }
      case 'decision': {
        const { fault, step, action } = event.decision;
        const isShown = action !== 'none' && action !== 'tell' && !ENDLESS.has(fault.class);
        if (step === 'observed' && isShown && this.#watched.size < MOST_OPEN)
          this.#watched.set(fault.id, {
            fault,
            action,
            wanted: null,
            wasDown: false,
            doneAt: Number.NEGATIVE_INFINITY,
          });
        if (specOf(fault.class).safe || action === 'tell') return [];
        // Of what was done it is known better than of what would have been.
        if (step === 'verified') return this.#count(fault.class, true);
        if (step === 'rolled-back' || step === 'failed') return this.#count(fault.class, false);
        return [];
      }
      case 'tables':
        for (const watched of this.#watched.values()) this.#look(watched, now);
        return [];
      case 'link':
        for (const watched of this.#watched.values()) restarted(watched, event.link, now);
        return [];
      case 'fault-over': {
        const watched = this.#watched.get(event.fault);
        if (watched === undefined || !this.#watched.delete(event.fault)) return [];
        return this.#count(watched.fault.class, event.right ?? this.#isRight(watched, now));
      }
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return NEVER;
  }

  /** Once, when it has lasted: is the repair still wanted, and still possible? */
  #look(watched: Watched, now: Nanos): void {
    const { fault, action, wanted } = watched;
    if (wanted !== null || now - fault.at < specOf(fault.class).rightAfterNs) return;
    const scene = { around: this.#around, knowledge: this.#knowledge, now };
    const { refusal, helps = () => true } = repairOf(action);
    watched.wanted = refusal(fault, scene) === null && helps(fault, scene);
  }

  #isRight(watched: Watched, now: Nanos): boolean {
    const { fault, action, doneAt } = watched;
    if (now - fault.at < specOf(fault.class).rightAfterNs) return false;
    if (repairOf(action).shownBy === 'deed') return now - doneAt < AFTER_DEED;
    this.#look(watched, now);
    return watched.wanted === true;
  }

  modeOf(fault: FaultClass): ClassMode {
    return this.#modes.get(fault) ?? 'auto';
  }

  /** May a repair of this class be done, as far as the class decides? */
  acts(fault: FaultClass): boolean {
    const mode = this.modeOf(fault);
    return mode === 'act' || (mode === 'auto' && (specOf(fault).safe || this.#hasEarned(fault)));
  }

  view(): ClassView[] {
    return CATALOGUE.map(({ class: fault, safe }) => {
      const { right, wrong } = this.#cases.get(fault) ?? { right: 0, wrong: 0 };
      const [mode, acts, confidence] = [this.modeOf(fault), this.acts(fault), atLeast(right, right + wrong)];
      return { class: fault, mode, safe, acts, right: round(right), wrong: round(wrong), confidence };
    });
  }

  #hasEarned(fault: FaultClass): boolean {
    const { earnRight, earnFalse, earnCases } = this.#around.settings;
    const { right, wrong } = this.#cases.get(fault) ?? { right: 0, wrong: 0 };
    const all = right + wrong;
    return all >= earnCases && right > earnRight * all && wrong < earnFalse * all;
  }

  #count(fault: FaultClass, right: boolean): Effect[] {
    const cases = this.#cases.get(fault) ?? { right: 0, wrong: 0 };
    this.#cases.set(fault, cases);
    const acted = this.acts(fault);
    const keep = Math.min(1, (MEMORY - 1) / Math.max(1, cases.right + cases.wrong));
    cases.right = cases.right * keep + (right ? 1 : 0);
    cases.wrong = cases.wrong * keep + (right ? 0 : 1);
    const effects: Effect[] = [{ type: 'remember', kind: 'earned', key: fault, value: JSON.stringify(cases) }];
    if (acted === this.acts(fault)) return effects;
    const words = acted
      ? 'is only observed again: too many cases were wrong'
      : 'has earned it, and is repaired from now on';
    const fields = { right: round(cases.right), wrong: round(cases.wrong) };
    return [...effects, { type: 'log', level: 'warning', message: `${fault} ${words}`, fields }];
  }

  #recall(kind: string, key: string, value: string): void {
    if (!isFaultClass(key)) return;
    if (kind === 'class-mode' && MODES.has(value)) this.#modes.set(key, value as ClassMode);
    if (kind !== 'earned') return;
    try {
      const { right, wrong } = JSON.parse(value) as Cases;
      if (right >= 0 && wrong >= 0 && right + wrong <= 2 * MEMORY) this.#cases.set(key, { right, wrong });
    } catch {
      // It is learned anew.
    }
  }
}

function restarted(watched: Watched, { name, up }: Link, now: Nanos): void {
  if (name !== watched.fault.interface) return;
  if (watched.wasDown && up) watched.doneAt = now;
  watched.wasDown = !up;
}

/** The lower end of Wilson's interval for `right` of `all`. */
function atLeast(right: number, all: number): number {
  if (all === 0) return 0;
  const share = right / all;
  const z2 = Z * Z;
  const spread = Z * Math.sqrt((share * (1 - share)) / all + z2 / (4 * all * all));
  return Math.max(0, (share + z2 / (2 * all) - spread) / (1 + z2 / all));
}

function round(cases: number): number {
  return Math.round(cases * 10) / 10;
}
