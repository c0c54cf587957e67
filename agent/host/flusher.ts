/** Writes the state when it is due, unless something more urgent is under way. */
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { State } from './state.ts';

/** What comes together is written together; and so soon it is looked again whether a repair is over. */
const SHORTEST_MS = 200;
/** A repair is over in less, as a rule. What is not on the medium by then would be forgotten by a crash. */
const LONGEST_WAIT: Nanos = 30 * SECOND;
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
    const late = this.#now() - this.#state.flushDue();
    if (late >= (this.#busy() ? LONGEST_WAIT : 0)) this.#state.flush();
    this.settle();
  }
}
