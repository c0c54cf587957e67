/** What became of each open fault so far, in memory: the journal on flash is too slow to be asked for each of many. */
import type { Decision, Fault } from '../core/words.ts';

/** Decisions of faults that are over go when there are more than this, and twice as many as open faults. */
const MOST = 128;

export class Outcomes {
  readonly #open: () => readonly Fault[];
  readonly #last = new Map<string, Decision>();
  #most = MOST;

  constructor(open: () => readonly Fault[]) {
    this.#open = open;
  }

  take(decision: Decision): void {
    const { fault, step } = decision;
    // A further plan does not undo what an earlier one has repaired; what came of it may.
    if ((step === 'planned' || step === 'done') && this.#last.get(fault.id)?.step === 'verified') return;
    this.#last.set(fault.id, decision);
    if (this.#last.size > this.#most) this.#forget();
  }

  /** The last decision on a fault that is not over, or the one that repaired it; null for none. */
  of(fault: string): Decision | null {
    return this.#last.get(fault) ?? null;
  }

  #forget(): void {
    const open = new Set(this.#open().map(({ id }) => id));
    for (const id of this.#last.keys()) if (!open.has(id)) this.#last.delete(id);
    this.#most = Math.max(MOST, 2 * this.#last.size);
  }
}
