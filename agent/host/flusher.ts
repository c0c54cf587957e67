/** Writes the state when it is due, unless something more urgent is under way. */
import { MS, type Nanos, NEVER } from '../core/time.ts';
import type { State } from './state.ts';

/** What comes together is written together; and so soon it is looked again whether a repair is over. */
const SHORTEST_MS = 200;
const LONGEST_MS = 3_600_000;

export class Flusher {
  readonly #state: Pick<State, 'flush' | 'flushDue'>;
  readonly #now: () => Nanos;
  readonly #busy: () => boolean;
  #timer: NodeJS.Timeout | null = null;
  /** What the timer waits for. */
  #due: Nanos = NEVER;

  constructor(state: Pick<State, 'flush' | 'flushDue'>, now: () => Nanos, busy: () => boolean) {
    this.#state = state;
    this.#now = now;
    this.#busy = busy;
  }

  /** To be called after whatever may have changed when the state is due. */
  settle(): void {
    const due = this.#state.flushDue();
    if (due >= this.#due) return;
    this.#due = due;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const wait = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, (due - this.#now()) / MS));
    this.#timer = setTimeout(() => this.#wake(), wait).unref();
  }

  #wake(): void {
    this.#timer = null;
    this.#due = NEVER;
    if (this.#now() >= this.#state.flushDue() && !this.#busy()) this.#state.flush();
    this.settle();
  }
}
