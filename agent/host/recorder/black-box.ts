/** The flight recorder's file from life to life: what the last one left is kept as a recording, then the next one begins. */
import type { Log } from '../../core/log.ts';
import type { Nanos } from '../../core/time.ts';
import type { Header } from '../../record/format.ts';
import { recordingPace } from '../state/budget.ts';
import { isDamage, message } from '../state/sqlite.ts';
import { FileRing, type Left, type Pace, readLeft, remove } from './file.ts';
import { assembled, HeapRing, type Ring } from './ring.ts';

export interface BlackBoxOptions {
  readonly file: string;
  /** Of the life that begins. */
  readonly header: Omit<Header, 'begins'>;
  readonly now: () => Nanos;
  readonly log: Log;
  /** Bytes that a recording may have. */
  readonly room: () => number;
  /** Answers whether it was kept. */
  readonly keep: (recording: Uint8Array, faults: readonly string[]) => boolean;
}

export class BlackBox {
  readonly #options: BlackBoxOptions;
  #pace: Pace = { kept: 0, until: 0 };
  #trouble: string | null = null;
  #isSaid = false;

  constructor(options: BlackBoxOptions) {
    this.#options = options;
  }

  /** Why what is recorded lies on the heap, where a kill takes it; null where it does not. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Looks at what the last life left. Once no other agent can have the directory, and before `ring`. Never throws. */
  open(): void {
    try {
      const left = this.#left();
      if (left !== null) this.#keep(left);
      remove(this.#options.file);
    } catch (thrown) {
      // Said when something is to be recorded.
      this.#trouble = troubleOf(thrown);
    }
  }

  /** For a recording that begins. */
  ring(): Ring {
    try {
      if (this.#trouble === null) return new FileRing(this.#options.file, this.#options.header, this.#pace);
      this.#say();
    } catch (thrown) {
      this.failed(thrown);
    }
    return new HeapRing();
  }

  /** The ring cannot be used any more. */
  failed(thrown: unknown): void {
    this.#trouble ??= troubleOf(thrown);
    this.#say();
  }

  #say(): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    this.#options.log.warning(`the flight recorder is ${this.#trouble}`, { file: this.#options.file });
  }

  /** A damaged file goes; one that is not ours is an error. */
  #left(): Left | null {
    const { file, log, room } = this.#options;
    try {
      return readLeft(file, room());
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown;
      log.warning(`what the last life recorded is damaged, and begun anew: ${message(thrown)}`, { file });
      return null;
    }
  }

  /**
   * Each life has a flash budget of its own, and one that is killed as soon as it begins has as many of them as there are
   * starts. So what goes to flash here goes at the pace that the budget has in the long run.
   */
  #keep({ header, parts, waiting, faults, pace, bytes }: Left): void {
    const { now, log, room, keep } = this.#options;
    const at = now();
    // Of another boot, if the clock was ahead then.
    if (pace.kept <= at) this.#pace = pace;
    if (bytes === 0) return;
    const recording = at < this.#pace.until ? null : assembled(header, parts, waiting, room());
    const isKept = recording !== null && keep(recording, faults);
    if (isKept) this.#pace = { kept: at, until: at + recordingPace(recording.length) };
    log.warning(
      `the last life ended without a word (killed, crashed or out of memory); what it recorded is ${
        isKept ? 'kept: x0ctl record list' : 'not kept: flash has had enough for now, or there is no room'
      }`,
      { bytes, ...(faults.length > 0 && { faults: faults.join(' ') }) },
    );
  }
}

function troubleOf(thrown: unknown): string {
  return `kept on the heap, where a kill takes it: ${message(thrown)}`;
}
