/** The newest alarm of each sender, under each key: what an alarm has to be newer than, or it is a replay. */
import type { Mac } from '../../core/ids.ts';

export interface Mark {
  readonly sender: Mac;
  readonly epoch: number;
  readonly counter: number;
}

/**
 * Senders whose newest alarm is remembered, under all keys together. Of the key with the most of them the longest silent goes
 * first: who has a key that counts no more would else push out what was heard under the others.
 */
export const MARKS_LIMIT = 512;
/** A mark with the fingerprint of the key under which its alarm was accepted. */
export interface KeyedMark extends Mark {
  readonly key: string;
}

export class Marks {
  /** Fingerprint of the alarm key in use, '' for none. */
  #key = '';
  /** By key and sender, in the order of their last use, oldest first. */
  readonly #marks = new Map<string, KeyedMark>();
  readonly #dirty = new Map<string, Pick<KeyedMark, 'key' | 'sender'>>();
  /** Whether changes are to be kept for a medium. */
  readonly #stored: () => boolean;

  constructor(marks: readonly KeyedMark[], stored: () => boolean) {
    this.#stored = stored;
    for (const mark of marks) this.#marks.set(idOf(mark), mark);
  }

  /** Marks that the medium does not have yet. */
  get dirty(): number {
    return this.#dirty.size;
  }

  /**
   * From now on marks are those of this alarm key. Others are kept: a key that returns must not let replays in. What was
   * accepted under one says nothing under another, though, or who had the old key could silence a sender for good.
   * Answers whether anything changed.
   */
  useKey(fingerprint: string): boolean {
    this.#key = fingerprint;
    let changed = false;
    if (fingerprint === '') return changed;
    for (const mark of [...this.#marks.values()]) {
      if (mark.key !== '') continue;
      // From before marks had keys: as far as anybody knows this one was in use.
      this.#forget(mark);
      changed = this.remember(mark.sender, mark.epoch, mark.counter) || changed;
    }
    return changed;
  }

  /** Of the key in use, or of another one. */
  list(of = this.#key): Mark[] {
    return [...this.#marks.values()]
      .filter(({ key }) => key === of)
      .map(({ sender, epoch, counter }) => ({ sender, epoch, counter }));
  }

  /** Older than what is known changes nothing. Answers whether it was newer. */
  remember(sender: Mac, epoch: number, counter: number, key = this.#key): boolean {
    const mark = { key, sender, epoch, counter };
    const known = this.#marks.get(idOf(mark));
    if (known !== undefined && (epoch < known.epoch || (epoch === known.epoch && counter <= known.counter)))
      return false;
    this.#forget(mark);
    this.#marks.set(idOf(mark), mark);
    if (this.#marks.size > MARKS_LIMIT) this.#forget(this.#leastWorth());
    return true;
  }

  /** What is to be written, in the order of its use; undefined where a mark is to go. */
  changes(): { readonly key: string; readonly sender: Mac; readonly mark: Mark | undefined }[] {
    return [...this.#dirty].map(([id, { key, sender }]) => ({ key, sender, mark: this.#marks.get(id) }));
  }

  written(): void {
    this.#dirty.clear();
  }

  /** The medium is a new one: all of them are to be written. */
  writeAll(): void {
    for (const [id, mark] of this.#marks) this.#dirty.set(id, mark);
  }

  #leastWorth(): KeyedMark {
    const byKey = [...Map.groupBy(this.#marks.values(), ({ key }) => key).values()];
    return byKey.reduce((most, marks) => (marks.length > most.length ? marks : most))[0]!;
  }

  #forget(mark: KeyedMark): void {
    const id = idOf(mark);
    this.#marks.delete(id);
    if (!this.#stored()) return;
    // At the end of those that are to be written, so that the medium has them in the order of their use as well.
    this.#dirty.delete(id);
    this.#dirty.set(id, mark);
  }
}

function idOf({ key, sender }: Pick<KeyedMark, 'key' | 'sender'>): string {
  return `${key} ${sender}`;
}
