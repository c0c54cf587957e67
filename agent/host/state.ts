/**
 * What the agent keeps across restarts, in one SQLite file: the boot epoch, the newest alarm of each sender, and the
 * journal of decisions. Written for flash that wears and for power that fails:
 *
 * - WAL with `synchronous = FULL`: a flush that returned is on the medium. The cost is one fsync a flush, and flushes
 *   are batched (`writeIntervalNs`, what matters within a second), so NORMAL would save next to nothing here.
 * - `locking_mode = EXCLUSIVE`: one process owns the file, so SQLite needs no shared-memory file beside it. That file
 *   would be a memory map that wears flash, and on JFFS2, which has no writable maps, WAL would not work at all.
 * - A budget of bytes a day (DAILY_BUDGET) bounds the wear in a storm of faults or alarms: when it is spent, flushes
 *   wait, and if need be the oldest unwritten entries are given up, counted.
 * - The agent starts in any case. A damaged file is set aside (the newest two are kept) and begun anew; a directory
 *   that cannot be used means memory only, and `trouble` says so. No method here throws for what the disk does.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Memory } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import {
  type Checkpoint,
  type Entry,
  GENESIS,
  readEntry,
  type Verification,
  verifyChain,
  writeEntry,
} from './journal.ts';
import { setAside } from './state/aside.ts';
import { FlashBudget, recordingCost } from './state/budget.ts';
import { epochIn, nextEpoch } from './state/epoch.ts';
import { type Mark, Marks } from './state/marks.ts';
import { volatileMedium } from './state/medium.ts';
import { Memories } from './state/memories.ts';
import { isOthers, Quota } from './state/quota.ts';
import type { KeptRecording, Why } from './state/recordings.ts';
import { isDamage, message } from './state/sqlite.ts';
import { type Chain, PAGE, type Pending, type StateLimits, Store } from './state/store.ts';

export interface StateOptions extends StateLimits {
  /** Where state.db lies; null for memory only (lab, tests). */
  readonly directory: string | null;
  readonly now: () => Nanos;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
  readonly log: Log;
}

export interface Query {
  readonly limit?: number;
  /** Entries after this one, oldest first. Without it: the newest ones (still in the order of their numbers). */
  readonly sinceId?: number;
  readonly faultId?: string;
}

export interface StateStatus {
  readonly level: 'disk' | 'memory';
  readonly epoch: number;
  readonly file: string | null;
  readonly entries: number;
  /** Entries that wait to be written, and entries given up unwritten since the start. */
  readonly pending: number;
  readonly dropped: number;
  /** Entries beyond the quota of what others can cause, since the start. */
  readonly omitted: number;
  /** 'tmpfs' or 'ramfs' where the next boot finds nothing of it. */
  readonly volatile: string | null;
  readonly usedKib: number;
  readonly trouble: { readonly code: string; readonly message: string } | null;
}

/** Entries that may wait for a disk that does not take them. */
export const PENDING_LIMIT = 256;
const URGENT: Nanos = SECOND;
const RETRY: Nanos = 60 * SECOND;
/** By less than this a clock is slewed, or read a moment later. */
const STEPPED_MS = 10_000;

/** Opens, repairs or replaces the state. Never throws: at worst everything is kept in memory, and `trouble` says why. */
export function openState(options: StateOptions): State {
  return new State(options);
}

export class State {
  readonly epoch: number;
  #options: StateOptions;
  readonly #file: string | null;
  #store: Store | null = null;
  #trouble: AgentError | null = null;
  readonly #marks: Marks;
  readonly #memories = new Memories();
  readonly #pending: Pending[] = [];
  #lastId: number;
  #dropped = 0;
  #omitted = 0;
  /** It was said that recordings are too large to be kept. */
  #saidTooLarge = false;
  readonly #quota = new Quota();
  readonly #volatile: string | null;
  #due: Nanos = NEVER;
  readonly #budget: FlashBudget;

  constructor(options: StateOptions) {
    this.#options = options;
    this.#file = options.directory === null ? null : join(options.directory, 'state.db');
    this.#budget = new FlashBudget(options.now);
    let stored = 0;
    if (this.#file !== null) {
      try {
        stored = this.#begin(this.#file);
      } catch (thrown) {
        stored = Math.max(stored, epochIn(this.#file));
        this.#memoryOnly(thrown);
      }
    }
    this.epoch = nextEpoch(stored, options.wall());
    if (this.#store !== null) {
      try {
        // Synchronous and on the medium before the constructor returns: no alarm can go out under an unstored epoch.
        this.#store.writeEpoch(this.epoch);
      } catch (thrown) {
        this.#memoryOnly(thrown);
      }
    }
    if (this.#store === null) {
      options.log.info('state is kept in memory only: the epoch comes from the wall clock', { epoch: this.epoch });
    }
    this.#marks = new Marks(this.#store?.marks() ?? [], () => this.#store !== null);
    this.#store?.loadMemories(this.#memories);
    this.#lastId = this.#store?.head.id ?? 0;
    this.#volatile = this.#file === null || this.#store === null ? null : volatileMedium(dirname(this.#file));
  }

  get level(): 'disk' | 'memory' {
    return this.#store === null ? 'memory' : 'disk';
  }

  /** What is wrong with the storage now (E_STATE), or was at the start (E_STATE_DAMAGED); null while all is well. */
  get trouble(): AgentError | null {
    return this.#trouble;
  }

  /** From now on marks are those of this alarm key, named by its fingerprint; '' for none. */
  useKey(fingerprint: string): void {
    if (this.#marks.useKey(fingerprint)) this.#want(false);
  }

  /** Of the key in use. */
  marks(): Mark[] {
    return this.#marks.list();
  }

  /** Of a key of the air, by its id. */
  marksUnder(key: string): Mark[] {
    return this.#marks.list(`air ${key}`);
  }

  /** Older than what is known changes nothing. */
  rememberMark(sender: Mac, epoch: number, counter: number, key?: string): void {
    // Others decide how often this comes: their word must not decide how often our flash is written.
    if (this.#marks.remember(sender, epoch, counter, key === undefined ? undefined : `air ${key}`)) this.#want(false);
  }

  /** What the machines have learned. */
  memories(): Memory[] {
    return this.#memories.all().filter(({ kind }) => kind !== 'trust');
  }

  /** What the identity keeps: for nobody else, and on no tape. */
  kept(): Memory[] {
    return this.#memories.all().filter(({ kind }) => kind === 'trust');
  }

  /** null forgets it. What is urgent is on the medium within a second, whatever happens next: who was revoked has to stay so. */
  remember(kind: Memory['kind'], key: string, value: string | null, isUrgent = false): void {
    if (this.#memories.remember(kind, key, value)) this.#want(isUrgent);
  }

  /** Takes over other limits while running. */
  settle(limits: StateLimits): void {
    this.#options = { ...this.#options, ...limits };
    this.#bound();
    try {
      this.#store?.settle(limits);
    } catch (thrown) {
      this.#failed(thrown);
    }
    if (this.#waits()) this.#want(false);
  }

  /**
   * Answers the entry's number. It is visible to `query` at once, and on the medium after the next flush; where the quota
   * of its class is used up it is neither, and its number remains a gap.
   */
  append(decision: Decision): number {
    const id = ++this.#lastId;
    const now = this.#options.now();
    const { class: kind } = decision.fault;
    const others = isOthers(kind);
    if (others && !this.#quota.take(kind, this.#options.journalEntries, now)) {
      if (this.#omitted++ === 0)
        this.#options.log.warning('more decisions on what others can feign than the journal keeps', { class: kind });
      return id;
    }
    const entry: Entry = { id, epoch: this.epoch, at: now, wall: this.#options.wall(), decision };
    this.#pending.push({ id, fault: decision.fault.id, text: writeEntry(entry), others });
    this.#bound();
    // What was only watched, or is about others, can wait: a stranger must not decide how often our flash is written.
    this.#want(decision.step !== 'observed' && !others);
    return id;
  }

  /** `wall` of what this start has written goes by the clock as it is now, where that was set since. */
  query({ limit = 100, sinceId, faultId }: Query = {}): Entry[] {
    const waiting = this.#pending.filter(
      (one) => one.id > (sinceId ?? 0) && (faultId === undefined || one.fault === faultId),
    );
    let texts: string[] = [];
    try {
      if (sinceId !== undefined) {
        texts = this.#store?.after(sinceId, faultId, limit) ?? [];
        texts.push(...waiting.slice(0, Math.max(0, limit - texts.length)).map((one) => one.text));
      } else {
        const newest = waiting.slice(-limit || waiting.length).map((one) => one.text);
        texts = [...(this.#store?.newest(faultId, limit - newest.length) ?? []), ...newest];
      }
    } catch (thrown) {
      this.#failed(thrown);
      texts = waiting.map((one) => one.text).slice(-limit);
    }
    // What is damaged on the medium `verify` names; the others are still worth showing.
    return texts.flatMap((text) => {
      const entry = readEntry(text);
      return entry === null ? [] : [this.#restated(entry)];
    });
  }

  /**
   * A clock that was set since this start: before that it may have said 1970, and what was repaired a minute ago was 56 years
   * ago. How long ago it was is known of this start's entries alone; the medium keeps what the clock said then.
   */
  #restated(entry: Entry): Entry {
    if (entry.epoch !== this.epoch) return entry;
    const wall = this.#options.wall() - (this.#options.now() - entry.at) / MS;
    return Math.abs(wall - entry.wall) < STEPPED_MS ? entry : { ...entry, wall };
  }

  /** Walks the whole chain on the medium. Entries not yet written are not part of it. Costs a read of the file. */
  verify(): Verification {
    if (this.#store === null) return verifyChain(GENESIS, []);
    try {
      return this.#store.verify();
    } catch (thrown) {
      const error = new AgentError('E_JOURNAL_BROKEN', `the journal cannot be read: ${message(thrown)}`);
      return { ok: false, entries: 0, broken: this.#store.checkpoint.id + 1, error };
    }
  }

  /**
   * At most `limit` rows after this one as they are on the medium, for whoever verifies them: page by page, since all at
   * once would hold up a repair. Throws E_JOURNAL_BROKEN where they cannot be read.
   */
  chain(after: number, limit: number): Chain {
    try {
      return this.#store?.chain(after, limit) ?? { checkpoint: GENESIS, head: GENESIS, rows: [] };
    } catch (thrown) {
      throw new AgentError('E_JOURNAL_BROKEN', `the journal cannot be read: ${message(thrown)}`);
    }
  }

  /**
   * Keeps a recording of these faults, at the cost of older ones: an eighth of the size limit is for recordings. Answers
   * whether it did; not, where there is no disk, no room, or flash has had enough for now.
   */
  keepRecording(recording: Uint8Array, faults: readonly string[], why: Why = 'faults'): boolean {
    const limit = this.#recordingLimit;
    if (this.#store === null) return false;
    if (recording.length > limit) {
      this.#tooLarge(recording.length, limit);
      return false;
    }
    if (!this.#budget.spares(recording.length)) return false;
    try {
      this.#store.recordings.write(this.#options.wall(), recording, { faults, why }, limit, this.#store.batchBytes);
      this.#budget.spend(recordingCost(recording.length));
      return true;
    } catch (thrown) {
      this.#failed(thrown);
      return false;
    }
  }

  /** Bytes that a recording may have to be kept now; 0 and less where none is. */
  recordingRoom(): number {
    return this.#store === null ? 0 : Math.min(this.#recordingLimit, this.#budget.recordingRoom());
  }

  get #recordingLimit(): number {
    return this.#options.sizeLimitKib * 128;
  }

  /** The next one will hardly be smaller: a person has to know that there will be none. */
  #tooLarge(bytes: number, limit: number): void {
    if (this.#saidTooLarge) return;
    this.#saidTooLarge = true;
    const kib = (of: number): number => Math.ceil(of / 1024);
    const message =
      'a recording is not kept: it is larger than an eighth of state.size_limit; a smaller state.recorder helps, or a larger limit';
    this.#options.log.warning(message, { kib: kib(bytes), limit_kib: kib(limit) });
  }

  /** Those that are kept, the oldest first. */
  recordings(): KeptRecording[] {
    try {
      return this.#store?.recordings.list() ?? [];
    } catch (thrown) {
      this.#failed(thrown);
      return [];
    }
  }

  /** null where there is no such recording. */
  recording(id: number): Uint8Array | null {
    try {
      return this.#store?.recordings.read(id) ?? null;
    } catch (thrown) {
      this.#failed(thrown);
      return null;
    }
  }

  /** When `flush` is wanted next, or NEVER. Asked again after every append, mark and flush. */
  flushDue(): Nanos {
    return this.#due;
  }

  /** Writes all that waits, whatever the hour: when due, and before the end. */
  flush(): void {
    this.#due = NEVER;
    const store = this.#store;
    if (store === null || !this.#waits()) return;
    try {
      while (this.#waits()) {
        const batch = this.#nextBatch(store.batchBytes);
        this.#budget.spend(store.write(batch, this.#marks.changes(), this.#memories));
        this.#pending.splice(0, batch.length);
        this.#marks.written();
        this.#memories.written();
      }
      if (this.#trouble?.code === 'E_STATE') {
        this.#options.log.info('the state database can be written again', { dropped: this.#dropped });
        this.#trouble = null;
      }
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  #waits(): boolean {
    return this.#pending.length > 0 || this.#marks.dirty > 0 || this.#memories.pending > 0;
  }

  status(): StateStatus {
    return {
      level: this.level,
      epoch: this.epoch,
      file: this.#store === null ? null : this.#file,
      entries: (this.#store?.entries ?? 0) + this.#pending.length,
      pending: this.#pending.length,
      dropped: this.#dropped,
      omitted: this.#omitted,
      volatile: this.#volatile,
      usedKib: Math.ceil((this.#store?.usedPages() ?? 0) * (PAGE / 1024)),
      trouble: this.#trouble === null ? null : { code: this.#trouble.code, message: this.#trouble.message },
    };
  }

  close(): void {
    this.flush();
    try {
      this.#store?.close();
    } catch {
      // What could be written was; the next start repairs the rest.
    }
    this.#store = null;
  }

  /** Opens the file, or sets a damaged one aside and begins anew. Answers the epoch that was stored. */
  #begin(file: string): number {
    mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
    try {
      this.#store = new Store(file, this.#options);
      return this.#store.epoch();
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown;
      const stored = epochIn(file);
      this.#replace(file, thrown, GENESIS);
      return stored;
    }
  }

  /** Sets the file aside and makes a new one whose chain begins after `checkpoint`. */
  #replace(file: string, reason: unknown, checkpoint: Checkpoint): void {
    this.#store?.abandon();
    this.#store = null;
    const aside = setAside(file, this.#options.wall());
    this.#trouble = new AgentError('E_STATE_DAMAGED', `${file} was damaged (${message(reason)}) and set aside`, {
      file,
      aside,
    });
    this.#options.log.error(this.#trouble.message, { code: this.#trouble.code, aside });
    this.#store = new Store(file, this.#options, checkpoint);
  }

  #memoryOnly(thrown: unknown): void {
    this.#store?.abandon();
    this.#store = null;
    const error = asAgentError(thrown, 'E_STATE');
    this.#trouble = new AgentError('E_STATE', `state is kept in memory only: ${message(error)}`, { file: this.#file });
    this.#options.log.error(this.#trouble.message, { code: 'E_STATE' });
  }

  /** A read or write failed while running. Damage: begin anew. Anything else (full, gone, I/O): keep, and try again. */
  #failed(thrown: unknown): void {
    const store = this.#store;
    if (store === null) return;
    if (isDamage(thrown)) {
      try {
        this.#replace(this.#file!, thrown, store.head);
        this.#store!.writeEpoch(this.epoch);
        this.#marks.writeAll();
        this.#memories.again();
        this.#want(true);
      } catch (again) {
        this.#memoryOnly(again);
      }
      return;
    }
    if (this.#trouble?.code !== 'E_STATE') {
      this.#trouble = new AgentError('E_STATE', `the state database cannot be used: ${message(thrown)}`);
      this.#options.log.error(this.#trouble.message, { code: 'E_STATE' });
    }
    this.#due = this.#options.now() + Math.max(RETRY, this.#options.writeIntervalNs);
  }

  #nextBatch(bytes: number): Pending[] {
    let size = 0;
    let count = 0;
    for (const one of this.#pending) {
      size += one.text.length;
      if (count > 0 && size > bytes) break;
      count++;
    }
    return this.#pending.slice(0, count);
  }

  /** Memory is bounded too: the oldest waiting entries go first, and before a disk those that others can cause. */
  #bound(): void {
    const most = this.#store === null ? Math.min(PENDING_LIMIT, this.#options.journalEntries) : PENDING_LIMIT;
    while (this.#pending.length > most) {
      const oldest = this.#store === null ? -1 : this.#pending.findIndex(({ others }) => others);
      this.#pending.splice(Math.max(0, oldest), 1);
      // In memory this is the ordinary thinning; before a disk it is a loss, and counted.
      if (this.#store !== null && this.#dropped++ === 0) {
        this.#options.log.warning('more decisions than flash may be written with: the oldest unwritten are given up');
      }
    }
  }

  #want(urgent: boolean): void {
    if (this.#store === null) return;
    const now = this.#options.now();
    const retrying = this.#trouble?.code === 'E_STATE';
    const debt = this.#budget.debt();
    let wait = urgent && debt < 0 && !retrying ? URGENT : this.#options.writeIntervalNs;
    if (debt > 0) wait = Math.max(wait, debt);
    if (retrying) wait = Math.max(wait, RETRY);
    this.#due = Math.min(this.#due, now + wait);
  }
}
