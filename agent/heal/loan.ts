/**
 * One setting of the mesh interface, changed for a moment and given back. The undo is armed for as long as it is out, and
 * disarmed only when the kernel has confirmed the return; until then the return is tried again. Where somebody else sets it
 * meanwhile the loan is over, and what they set stays.
 */
import type { Effect } from '../core/effect.ts';
import type { MeshSettings } from '../core/kernel.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Surroundings } from './surroundings.ts';

const LONGEST_PAUSE: Nanos = 60 * SECOND;

type Lendable = 'aggregatedOgms' | 'origInterval';

export class Loan<K extends Lendable> {
  readonly #around: Surroundings;
  readonly #id: string;
  readonly #key: K;
  readonly #value: MeshSettings[K];
  #state: 'in' | 'out' | 'returning' = 'in';
  #original: MeshSettings[K] | null = null;
  /** What we have set since it was lent. */
  readonly #ours = new Set<MeshSettings[K]>();
  #works = true;
  #tries = 0;
  #unanswered = 0;
  #retryAt: Nanos = NEVER;

  readonly #undoAfter: (original: MeshSettings[K]) => Nanos;

  /** `undoAfter`: how long it stays out where the agent ends meanwhile. */
  constructor(
    around: Surroundings,
    key: K,
    value: MeshSettings[K],
    undoAfter: (original: MeshSettings[K]) => Nanos = () => 0,
  ) {
    this.#undoAfter = undoAfter;
    this.#around = around;
    this.#id = `loan-${key}`;
    this.#key = key;
    this.#value = value;
  }

  get isOut(): boolean {
    return this.#state === 'out';
  }

  deadline(): Nanos {
    return this.#retryAt;
  }

  /** False where the last attempt failed. */
  get works(): boolean {
    return this.#works;
  }

  take(): Effect[] {
    if (this.#state === 'out' || this.#around.mesh === null) return [];
    // While it is on its way back the tables are not to be asked what it was.
    this.#original =
      this.#state === 'returning' ? this.#original : (this.#around.lastMesh?.settings[this.#key] ?? null);
    if (this.#original === null || this.#original === this.#value) return [];
    if (this.#state === 'in') this.#ours.clear();
    this.#ours.add(this.#value);
    this.#state = 'out';
    this.#retryAt = NEVER;
    return [
      {
        type: 'change',
        id: this.#id,
        change: this.#set(this.#value),
        undo: this.#set(this.#original),
        undoAfter: this.#undoAfter(this.#original),
      },
      { type: 'emit', event: { type: 'lent', settings: this.#settings(this.#original), returned: false } },
    ];
  }

  giveBack(): Effect[] {
    if (this.#state !== 'out') return [];
    this.#state = 'returning';
    this.#tries = 0;
    return this.#send();
  }

  done(id: string, error: string | null, now: Nanos): Effect[] {
    if (id === this.#id) {
      // Perhaps it was done all the same: it goes back as if it had been.
      this.#works = error === null;
      return error === null ? [] : this.giveBack();
    }
    if (id !== this.#returnId()) return [];
    // An answer to an earlier return says nothing about the last one.
    this.#unanswered = Math.max(0, this.#unanswered - 1);
    if (this.#state !== 'returning' || this.#unanswered > 0) return [];
    if (error === null) return this.#end();
    this.#tries += 1;
    this.#retryAt = now + Math.min(LONGEST_PAUSE, SECOND * 2 ** this.#tries);
    const fields = { error, again_in_s: (this.#retryAt - now) / SECOND };
    return [{ type: 'log', level: 'warning', message: `${this.#key} could not be given back`, fields }];
  }

  /** The settings of the mesh, right after somebody set something: perhaps we. */
  seen(settings: MeshSettings): Effect[] {
    const value = settings[this.#key];
    if (this.#original === null || value === this.#original) return [];
    // Word of what we set ourselves comes late, and out of step with the answers.
    if (this.#state !== 'in' && this.#ours.has(value)) return [];
    this.#original = value;
    // Readings that are on their way are told apart from it, as after a return.
    if (this.#state === 'in') return [this.#returned()];
    const told: Effect = {
      type: 'log',
      level: 'info',
      message: `${this.#key} was set by somebody else: it stays`,
      fields: { value },
    };
    // On its way back it is set once more, whichever came first.
    return [told, ...(this.#state === 'out' ? this.giveBack() : this.#send())];
  }

  tick(now: Nanos): Effect[] {
    return now >= this.#retryAt ? this.#send() : [];
  }

  /** The mesh interface is gone, and its settings with it. */
  forget(): Effect[] {
    return this.#state === 'in' ? [] : this.#end();
  }

  #send(): Effect[] {
    this.#retryAt = NEVER;
    this.#unanswered += 1;
    this.#ours.add(this.#original!);
    return [{ type: 'change', id: this.#returnId(), change: this.#set(this.#original!), undo: null }];
  }

  #end(): Effect[] {
    this.#state = 'in';
    this.#retryAt = NEVER;
    return [{ type: 'disarm', id: this.#id }, this.#returned()];
  }

  #returned(): Effect {
    return { type: 'emit', event: { type: 'lent', settings: this.#settings(this.#original!), returned: true } };
  }

  #set(value: MeshSettings[K]) {
    return { kind: 'set-mesh', mesh: this.#around.settings.meshInterface, settings: this.#settings(value) } as const;
  }

  #settings(value: MeshSettings[K]): Partial<MeshSettings> {
    return { [this.#key]: value };
  }

  #returnId(): string {
    return `${this.#id}-back`;
  }
}
