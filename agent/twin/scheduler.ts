/** What happens when, in virtual nanoseconds: the earliest first, and what falls together in the order it was asked for. */
import type { Nanos } from '../core/time.ts';

interface Entry {
  readonly at: Nanos;
  readonly order: number;
  readonly run: () => void;
}

export class Scheduler {
  now: Nanos = 0;
  readonly #heap: Entry[] = [];
  #order = 0;

  /** Not before now: the past does not change. */
  at(time: Nanos, run: () => void): void {
    const entry = { at: Math.max(this.now, Math.round(time)), order: this.#order++, run };
    const heap = this.#heap;
    let place = heap.length;
    heap.push(entry);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = entry;
  }

  after(delay: Nanos, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** Runs all until `end`, which is then the time; `stop` is asked after each. */
  run(end: Nanos, stop: () => boolean = () => false): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#drop();
      this.now = next.at;
      next.run();
      if (stop()) return;
    }
    this.now = Math.max(this.now, end);
  }

  #drop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
