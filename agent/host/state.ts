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
import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Memory } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision, FaultClass } from '../core/words.ts';
import {
  type Checkpoint,
  type Entry,
  GENESIS,
  type SealedRow,
  seal,
  type Verification,
  verifyChain,
  writeEntry,
} from './journal.ts';
import { MEMORIES_MIGRATION, Memories } from './memories.ts';

/** What may change while the state is open. */
export interface StateLimits {
  readonly journalEntries: number;
  /** Everything of the live database together: file, WAL. At least 256; set-aside files come on top, two at most. */
  readonly sizeLimitKib: number;
  readonly writeIntervalNs: Nanos;
}

export interface StateOptions extends StateLimits {
  /** Where state.db lies; null for memory only (lab, tests). */
  readonly directory: string | null;
  readonly now: () => Nanos;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
  readonly log: Log;
}

export interface Mark {
  readonly sender: Mac;
  readonly epoch: number;
  readonly counter: number;
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
  readonly usedKib: number;
  readonly trouble: { readonly code: string; readonly message: string } | null;
}

const PAGE = 4096;
/** Senders whose newest alarm is remembered, under all keys together; the longest silent goes first. */
export const MARKS_LIMIT = 512;
/** Entries that may wait for a disk that does not take them. */
export const PENDING_LIMIT = 256;
/** Bytes a day that go to flash whatever happens, and how many of them can go at once. */
export const DAILY_BUDGET = 8 * 1024 * 1024;
export const BURST_BUDGET = 1024 * 1024;
const DAY: Nanos = 86_400 * SECOND;
const URGENT: Nanos = SECOND;
const RETRY: Nanos = 60 * SECOND;
const EPOCH_MAX = 0xffff_ffff;
/** 2100-01-01 in seconds: a wall clock past this is broken, and an epoch taken from it could never be outgrown. */
const CLOCK_MAX = 4_102_444_800;

/** Step n brings a database from user_version n to n + 1. Steps are never changed once released, only added. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE marks (sender TEXT PRIMARY KEY, epoch INTEGER NOT NULL, counter INTEGER NOT NULL, used INTEGER NOT NULL)
     WITHOUT ROWID;
   CREATE TABLE journal (
     id INTEGER PRIMARY KEY,
     entry TEXT NOT NULL,
     hash BLOB NOT NULL,
     fault TEXT GENERATED ALWAYS AS (json_extract(entry, '$.decision.fault.id')) VIRTUAL);
   CREATE TABLE checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER NOT NULL, hash BLOB NOT NULL);`,
  // Marks of the time before have the key '', until useKey() says whose they are.
  `CREATE TABLE marks_of_keys (key TEXT NOT NULL, sender TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
     used INTEGER NOT NULL, PRIMARY KEY (key, sender)) WITHOUT ROWID;
   INSERT INTO marks_of_keys SELECT '', sender, epoch, counter, used FROM marks;
   DROP TABLE marks;
   ALTER TABLE marks_of_keys RENAME TO marks;`,
  MEMORIES_MIGRATION,
];

/** Brings a database to the newest version, each step in a transaction of its own. */
export function migrate(db: BetterSqlite3.Database, steps: readonly string[] = MIGRATIONS): void {
  for (let version = db.pragma('user_version', { simple: true }) as number; version < steps.length; version++) {
    db.transaction(() => {
      db.exec(steps[version]!);
      db.pragma(`user_version = ${version + 1}`);
    }).immediate();
  }
}

/**
 * The next boot epoch: above the stored one, and not below the wall clock's seconds, so that it still grows after the
 * stored one was lost or could not be written. Only with no storage and no clock (a router without a battery, before
 * NTP) can it repeat; then others take this boot's alarms for replays, and healing stays local.
 */
export function nextEpoch(stored: number, wallMs: number): number {
  const seconds = Math.floor(wallMs / 1000);
  const clock = seconds > 0 && seconds < CLOCK_MAX ? seconds : 0;
  return stored >= EPOCH_MAX ? Math.max(clock, 1) : Math.max(stored + 1, clock);
}

/** Opens, repairs or replaces the state. Never throws: at worst everything is kept in memory, and `trouble` says why. */
export function openState(options: StateOptions): State {
  return new State(options);
}

interface Pending {
  readonly id: number;
  readonly fault: string;
  readonly text: string;
}

/** A mark with the fingerprint of the key under which its alarm was accepted. */
interface KeyedMark extends Mark {
  readonly key: string;
}

/** Faults that others can cause or feign. */
const OTHERS: ReadonlySet<FaultClass> = new Set<FaultClass>(['remote-alarm', 'router-dead', 'link-silent']);

export class State {
  readonly epoch: number;
  #options: StateOptions;
  readonly #file: string | null;
  #store: Store | null = null;
  #trouble: AgentError | null = null;
  /** Fingerprint of the alarm key in use, '' for none. */
  #key = '';
  /** By key and sender, in the order of their last use, oldest first. */
  readonly #marks = new Map<string, KeyedMark>();
  readonly #dirty = new Map<string, Pick<KeyedMark, 'key' | 'sender'>>();
  readonly #memories = new Memories();
  readonly #pending: Pending[] = [];
  #lastId: number;
  #dropped = 0;
  #due: Nanos = NEVER;
  #credit = BURST_BUDGET;
  #creditAt: Nanos;

  constructor(options: StateOptions) {
    this.#options = options;
    this.#file = options.directory === null ? null : join(options.directory, 'state.db');
    this.#creditAt = options.now();
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
    for (const mark of this.#store?.marks() ?? []) this.#marks.set(idOf(mark), mark);
    this.#store?.loadMemories(this.#memories);
    this.#lastId = this.#store?.head.id ?? 0;
  }

  get level(): 'disk' | 'memory' {
    return this.#store === null ? 'memory' : 'disk';
  }

  /** What is wrong with the storage now (E_STATE), or was at the start (E_STATE_DAMAGED); null while all is well. */
  get trouble(): AgentError | null {
    return this.#trouble;
  }

  /**
   * From now on marks are those of this alarm key. Others are kept: a key that returns must not let replays in. What was
   * accepted under one says nothing under another, though, or who had the old key could silence a sender for good.
   */
  useKey(fingerprint: string): void {
    this.#key = fingerprint;
    if (fingerprint === '') return;
    for (const mark of [...this.#marks.values()]) {
      if (mark.key !== '') continue;
      // From before marks had keys: as far as anybody knows this one was in use.
      this.#forget(mark);
      this.rememberMark(mark.sender, mark.epoch, mark.counter);
    }
  }

  /** Of the key in use. */
  marks(): Mark[] {
    return [...this.#marks.values()]
      .filter(({ key }) => key === this.#key)
      .map(({ sender, epoch, counter }) => ({ sender, epoch, counter }));
  }

  /** Older than what is known changes nothing. */
  rememberMark(sender: Mac, epoch: number, counter: number): void {
    const mark = { key: this.#key, sender, epoch, counter };
    const known = this.#marks.get(idOf(mark));
    if (known !== undefined && (epoch < known.epoch || (epoch === known.epoch && counter <= known.counter))) return;
    this.#forget(mark);
    this.#marks.set(idOf(mark), mark);
    if (this.#marks.size > MARKS_LIMIT) this.#forget(this.#marks.values().next().value!);
    // Others decide how often this comes: their word must not decide how often our flash is written.
    this.#want(false);
  }

  /** What the machines have learned. */
  memories(): Memory[] {
    return this.#memories.all();
  }

  /** null forgets it. */
  remember(kind: Memory['kind'], key: string, value: string | null): void {
    if (this.#memories.remember(kind, key, value)) this.#want(false);
  }

  #forget(mark: KeyedMark): void {
    const id = idOf(mark);
    this.#marks.delete(id);
    if (this.#store === null) return;
    // At the end of those that are to be written, so that the medium has them in the order of their use as well.
    this.#dirty.delete(id);
    this.#dirty.set(id, mark);
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
    if (this.#pending.length > 0 || this.#dirty.size > 0 || this.#memories.pending > 0) this.#want(false);
  }

  /** Answers the entry's number. It is visible to `query` at once, and on the medium after the next flush. */
  append(decision: Decision): number {
    const id = ++this.#lastId;
    const entry: Entry = { id, epoch: this.epoch, at: this.#options.now(), wall: this.#options.wall(), decision };
    this.#pending.push({ id, fault: decision.fault.id, text: writeEntry(entry) });
    this.#bound();
    // What was only watched, or is about others, can wait: a stranger must not decide how often our flash is written.
    this.#want(decision.step !== 'observed' && !OTHERS.has(decision.fault.class));
    return id;
  }

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
    const entries: Entry[] = [];
    for (const text of texts) {
      try {
        entries.push(JSON.parse(text) as Entry);
      } catch {
        // Damaged on the medium; `verify` names it, and the others are still worth showing.
      }
    }
    return entries;
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

  /** When `flush` is wanted next, or NEVER. Asked again after every append, mark and flush. */
  flushDue(): Nanos {
    return this.#due;
  }

  /** Writes all that waits, whatever the hour: when due, and before the end. */
  flush(): void {
    this.#due = NEVER;
    const store = this.#store;
    const waits = () => this.#pending.length > 0 || this.#dirty.size > 0 || this.#memories.pending > 0;
    if (store === null || !waits()) return;
    try {
      while (waits()) {
        const batch = this.#nextBatch(store.batchBytes);
        const marks = [...this.#dirty].map(([id, { key, sender }]) => ({ key, sender, mark: this.#marks.get(id) }));
        this.#spend(store.write(batch, marks, this.#memories));
        this.#pending.splice(0, batch.length);
        this.#dirty.clear();
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

  status(): StateStatus {
    return {
      level: this.level,
      epoch: this.epoch,
      file: this.#store === null ? null : this.#file,
      entries: (this.#store?.entries ?? 0) + this.#pending.length,
      pending: this.#pending.length,
      dropped: this.#dropped,
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
        for (const [id, mark] of this.#marks) this.#dirty.set(id, mark);
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

  /** Memory is bounded too: the oldest waiting entries go first. */
  #bound(): void {
    const most = this.#store === null ? Math.min(PENDING_LIMIT, this.#options.journalEntries) : PENDING_LIMIT;
    while (this.#pending.length > most) {
      this.#pending.shift();
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
    const debt = -this.#refill(now);
    let wait = urgent && debt < 0 && !retrying ? URGENT : this.#options.writeIntervalNs;
    if (debt > 0) wait = Math.max(wait, (debt / DAILY_BUDGET) * DAY);
    if (retrying) wait = Math.max(wait, RETRY);
    this.#due = Math.min(this.#due, now + wait);
  }

  #refill(now: Nanos): number {
    this.#credit = Math.min(BURST_BUDGET, this.#credit + ((now - this.#creditAt) / DAY) * DAILY_BUDGET);
    this.#creditAt = now;
    return this.#credit;
  }

  #spend(bytes: number): void {
    this.#refill(this.#options.now());
    this.#credit -= bytes;
  }
}

/** The live database. Its methods throw what SQLite throws; State decides what follows. */
class Store {
  checkpoint: Checkpoint;
  /** The last entry on the medium, or the checkpoint where there is none. */
  head: Checkpoint;
  entries: number;
  /** Text of one transaction, bytes: small against the size limit, so that the WAL stays small. */
  batchBytes = 0;
  readonly #db: BetterSqlite3.Database;
  #maxEntries = 0;
  /** Pages above which the oldest entries go. */
  #softPages = 0;
  #used: number;

  constructor(file: string, options: StateOptions, begin: Checkpoint = GENESIS) {
    const found = lstatSync(file, { throwIfNoEntry: false });
    if (found !== undefined && !found.isFile() && !found.isSymbolicLink()) throw new Damage('not a file');
    const db = new (sqlite())(file, { timeout: 0 });
    this.#db = db;
    try {
      db.pragma('locking_mode = EXCLUSIVE');
      db.pragma(`page_size = ${PAGE}`);
      const mode = db.pragma('journal_mode = WAL', { simple: true });
      if (mode !== 'wal') throw new AgentError('E_STATE', `the file system allows no write-ahead log (${mode})`);
      db.pragma('synchronous = FULL');
      db.pragma('temp_store = MEMORY');
      db.pragma('cache_size = -512');
      db.pragma('trusted_schema = OFF');
      const check = db.pragma('quick_check(1)', { simple: true });
      if (check !== 'ok') throw new Damage(String(check));
      const version = db.pragma('user_version', { simple: true }) as number;
      if (version > MIGRATIONS.length) throw new Damage(`written by a newer agent, version ${version}`);
      readable(() => migrate(db));
      const read = readable(() => {
        const last = db.prepare('SELECT id, hash FROM journal ORDER BY id DESC LIMIT 1').get() as
          | Checkpoint
          | undefined;
        const kept = db.prepare('SELECT id, hash FROM checkpoint').get() as Checkpoint | undefined;
        const count = db.prepare('SELECT count(*) FROM journal').pluck().get() as number;
        db.prepare('SELECT key, sender, epoch, counter, used FROM marks LIMIT 1').get();
        db.prepare('SELECT kind, key, value FROM memories LIMIT 1').get();
        db.prepare("SELECT value FROM meta WHERE key = 'epoch'").get();
        return { last, kept, count };
      });
      this.checkpoint = read.kept ?? begin;
      this.head = read.last ?? this.checkpoint;
      this.entries = read.count;
      this.#used = db.prepare('SELECT coalesce(max(used), 0) FROM marks').pluck().get() as number;
      this.settle(options);
      if (read.kept === undefined && begin.id > 0) this.#writeCheckpoint(begin);
    } catch (thrown) {
      this.abandon();
      throw thrown;
    }
  }

  /** Bounds the database anew. Where it is larger than that, the oldest entries go and the space is given back. */
  settle({ journalEntries, sizeLimitKib }: StateLimits): void {
    const db = this.#db;
    const kib = Math.max(256, sizeLimitKib);
    const walPages = Math.min(64, Math.floor(kib / 64));
    // Twice the WAL's checkpoint size stays free for it: one transaction may run past the mark before it is noticed.
    const hardPages = Math.floor((kib * 1024) / PAGE) - 2 * walPages - 1;
    this.batchBytes = Math.min(65_536, kib * 64);
    this.#softPages = hardPages - Math.ceil((this.batchBytes * 1.25) / PAGE) - 4;
    this.#maxEntries = Math.max(1, journalEntries);
    db.pragma(`wal_autocheckpoint = ${walPages}`);
    db.pragma(`journal_size_limit = ${walPages * PAGE}`);
    const pages = db.pragma('page_count', { simple: true }) as number;
    if (pages > hardPages || this.entries > this.#maxEntries) this.#transact(() => this.#thin(0, 0));
    if (pages > hardPages) {
      db.exec('VACUUM');
      db.pragma('wal_checkpoint(TRUNCATE)');
    }
    db.pragma(`max_page_count = ${hardPages}`);
  }

  epoch(): number {
    return readEpoch(this.#db);
  }

  writeEpoch(epoch: number): void {
    this.#db
      .prepare("INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
      .run(epoch);
  }

  loadMemories(memories: Memories): void {
    memories.load(this.#db);
  }

  marks(): KeyedMark[] {
    return this.#db.prepare('SELECT key, sender, epoch, counter FROM marks ORDER BY used').all() as KeyedMark[];
  }

  after(id: number, fault: string | undefined, limit: number): string[] {
    const where = fault === undefined ? '' : 'AND fault = @fault';
    return this.#db
      .prepare(`SELECT entry FROM journal WHERE id > @id ${where} ORDER BY id LIMIT @limit`)
      .pluck()
      .all({ id, limit: Math.max(0, limit), ...(fault === undefined ? {} : { fault }) }) as string[];
  }

  newest(fault: string | undefined, limit: number): string[] {
    const where = fault === undefined ? '' : 'WHERE fault = @fault';
    const rows = this.#db
      .prepare(`SELECT entry FROM journal ${where} ORDER BY id DESC LIMIT @limit`)
      .pluck()
      .all({ limit: Math.max(0, limit), ...(fault === undefined ? {} : { fault }) }) as string[];
    return rows.reverse();
  }

  /** One transaction: entries sealed and stored, marks brought up to date, the beginning thinned out. Answers bytes. */
  write(
    batch: readonly Pending[],
    marks: readonly { readonly key: string; readonly sender: Mac; readonly mark: Mark | undefined }[],
    memories: Memories,
  ): number {
    const bytes = batch.reduce((sum, one) => sum + one.text.length + 48, 0);
    let head = this.head;
    this.#transact(() => {
      this.#thin(batch.length, bytes);
      const insert = this.#db.prepare('INSERT INTO journal (id, entry, hash) VALUES (?, ?, ?)');
      for (const { id, text } of batch) {
        head = { id, hash: seal(head.hash, text) };
        insert.run(id, text, head.hash);
      }
      const put = this.#db.prepare('INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?)');
      const drop = this.#db.prepare('DELETE FROM marks WHERE key = ? AND sender = ?');
      for (const { key, sender, mark } of marks) {
        if (mark === undefined) drop.run(key, sender);
        else put.run(key, sender, mark.epoch, mark.counter, ++this.#used);
      }
      memories.write(this.#db);
    });
    this.head = head;
    this.entries += batch.length;
    // Every page goes to the WAL first and to the file later; some pages of tree, thinning and marks.
    return 2 * PAGE * (Math.ceil(bytes / PAGE) + 3 + Math.ceil((marks.length + memories.pending) / 64));
  }

  #transact(work: () => void): void {
    const before = { checkpoint: this.checkpoint, entries: this.entries };
    try {
      this.#db.transaction(work).immediate();
    } catch (thrown) {
      // Rolled back: the entries that thinning took are there again.
      ({ checkpoint: this.checkpoint, entries: this.entries } = before);
      throw thrown;
    }
  }

  /** Also holds the file against what this process remembers, so that a cut-off end shows. */
  verify(): Verification {
    const rows = this.#db.prepare('SELECT id, entry, hash FROM journal ORDER BY id').iterate() as Iterable<SealedRow>;
    const kept = (this.#db.prepare('SELECT id, hash FROM checkpoint').get() as Checkpoint | undefined) ?? GENESIS;
    const seen = verifyChain(kept, rows);
    if (!seen.ok || seen.head === Buffer.from(this.head.hash).toString('hex')) return seen;
    const error = new AgentError('E_JOURNAL_BROKEN', `the journal ends before entry ${this.head.id}`, {
      entry: this.head.id,
    });
    return { ok: false, entries: seen.entries, broken: this.head.id, error };
  }

  usedPages(): number {
    const pages = this.#db.pragma('page_count', { simple: true }) as number;
    return pages - (this.#db.pragma('freelist_count', { simple: true }) as number);
  }

  close(): void {
    this.#db.close();
  }

  abandon(): void {
    try {
      this.#db.close();
    } catch {
      // It is given up either way.
    }
  }

  /** Takes an eighth of the entries off the beginning, as often as it takes for so many more entries and bytes. */
  #thin(entries: number, bytes: number): void {
    const pages = Math.ceil((bytes * 1.25) / PAGE);
    while (this.entries > 0) {
      const many = this.entries + entries > this.#maxEntries;
      if (!many && this.usedPages() + pages <= this.#softPages) return;
      const going = Math.ceil(this.entries / 8);
      const last = this.#db
        .prepare('SELECT id, hash FROM journal ORDER BY id LIMIT 1 OFFSET ?')
        .get(going - 1) as Checkpoint;
      this.#db.prepare('DELETE FROM journal WHERE id <= ?').run(last.id);
      this.#writeCheckpoint(last);
      this.entries -= going;
    }
  }

  #writeCheckpoint(at: Checkpoint): void {
    this.#db.prepare('INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?)').run(at.id, at.hash);
    this.checkpoint = at;
  }
}

function idOf({ key, sender }: Pick<KeyedMark, 'key' | 'sender'>): string {
  return `${key} ${sender}`;
}

/** What is in the file is no good, as opposed to: the file cannot be reached. */
class Damage extends Error {}

function isDamage(thrown: unknown): boolean {
  if (thrown instanceof Damage) return true;
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^SQLITE_(CORRUPT|NOTADB|FORMAT|MISMATCH)/.test(code);
}

/** Reads that fail with a plain SQL error mean a schema that is not ours: damage too. */
function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === 'SQLITE_ERROR') throw new Damage(message(thrown));
    throw thrown;
  }
}

/**
 * Why SQLite cannot be used in this process, or null. better-sqlite3 13 is built for Node-API 10 (Node 22.14, 23.6) and
 * does not refuse an older one: it takes the process down with a segmentation fault when a database is opened.
 */
export function sqliteRefusal(napi: string | undefined = process.versions.napi): string | null {
  return Number(napi) >= 10 ? null : `better-sqlite3 needs Node 22.14 or newer (this is ${process.version})`;
}

/** Loaded on use, so that a machine without the addon still heals, with its state in memory. */
function sqlite(): typeof BetterSqlite3 {
  const refusal = sqliteRefusal();
  if (refusal !== null) throw new AgentError('E_STATE', refusal);
  return createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3;
}

function readEpoch(db: BetterSqlite3.Database): number {
  const value = db.prepare("SELECT value FROM meta WHERE key = 'epoch'").pluck().get();
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < EPOCH_MAX ? value : 0;
}

/** The epoch in a file that is damaged or cannot be written, as far as it can be read; else 0. */
function epochIn(file: string): number {
  let db: BetterSqlite3.Database | undefined;
  try {
    db = new (sqlite())(file, { readonly: true, fileMustExist: true, timeout: 0 });
    return readEpoch(db);
  } catch {
    return 0;
  } finally {
    db?.close();
  }
}

/** Renames the database and its WAL to `….damaged-<time>`, and keeps the newest two such. Answers the new name. */
function setAside(file: string, wallMs: number): string {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[:.]/g, '-');
  let aside = `${file}.damaged-${stamp}`;
  for (let n = 2; lstatSync(aside, { throwIfNoEntry: false }) !== undefined; n++) {
    aside = `${file}.damaged-${stamp}-${n}`;
  }
  renameSync(file, aside);
  for (const suffix of ['-wal', '-journal']) {
    if (statSync(file + suffix, { throwIfNoEntry: false }) !== undefined) renameSync(file + suffix, aside + suffix);
  }
  rmSync(`${file}-shm`, { force: true });
  const prefix = `${file}.damaged-`;
  const others = readdirSync(dirname(file))
    .map((name) => join(dirname(file), name))
    .filter((name) => name.startsWith(prefix) && !/-(wal|journal)$/.test(name) && name !== aside)
    .sort();
  for (const old of others.slice(0, -1)) {
    try {
      // A directory is not ours to empty: it goes only when nothing is in it.
      if (lstatSync(old).isDirectory()) rmdirSync(old);
      else for (const suffix of ['', '-wal', '-journal']) rmSync(old + suffix, { force: true });
    } catch {
      // One file too many is no reason not to start.
    }
  }
  return aside;
}

function message(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!;
}
