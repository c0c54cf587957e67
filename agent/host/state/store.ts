/** The live database. Its methods throw what SQLite throws; State decides what follows. */
import { closeSync, openSync } from 'node:fs';
import { AgentError } from '../../core/errors.ts';
import type { Mac } from '../../core/ids.ts';
import type { Nanos } from '../../core/time.ts';
import { type Checkpoint, GENESIS, type SealedRow, seal, type Verification, verifyChain } from '../journal.ts';
import { readEpoch } from './epoch.ts';
import type { KeyedMark, Mark } from './marks.ts';
import type { Memories } from './memories.ts';
import { Recordings } from './recordings.ts';
import { MIGRATIONS, migrate } from './schema.ts';
import { assertFiles, Damage, type Database, readable, sqlite, writable } from './sqlite.ts';

/** What may change while the state is open. */
export interface StateLimits {
  readonly journalEntries: number;
  /** Everything of the live database together: file, WAL. At least 256; set-aside files come on top, two at most. */
  readonly sizeLimitKib: number;
  readonly writeIntervalNs: Nanos;
}

export const PAGE = 4096;
/** What a bit that fell over in the file has made of a mark is none. */
const U32 = 'BETWEEN 0 AND 4294967295';
const SOUND_MARK = `typeof(epoch) || typeof(counter) || typeof(used) = 'integerintegerinteger'
  AND epoch ${U32} AND counter ${U32} AND used BETWEEN 0 AND 9007199254740991`;

export interface Pending {
  readonly id: number;
  readonly fault: string;
  readonly text: string;
  /** About what others can cause or feign. */
  readonly others: boolean;
}

export interface Chain {
  readonly checkpoint: Checkpoint;
  readonly head: Checkpoint;
  readonly rows: readonly SealedRow[];
}

/** SQLite would make it for all to read, and gives what it keeps beside it the same mode. */
function makePrivately(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o640));
  } catch {
    // It is there; or it cannot be made, and SQLite says why.
  }
}

export class Store {
  checkpoint: Checkpoint;
  /** The last entry on the medium, or the checkpoint where there is none. */
  head: Checkpoint;
  entries: number;
  /** Text of one transaction, bytes: small against the size limit, so that the WAL stays small. */
  batchBytes = 0;
  readonly recordings: Recordings;
  readonly #db: Database;
  #maxEntries = 0;
  /** Pages above which the oldest entries go. */
  #softPages = 0;
  #used: number;

  constructor(file: string, limits: StateLimits, begin: Checkpoint = GENESIS) {
    assertFiles(file);
    makePrivately(file);
    const db = new (sqlite())(file, { timeout: 0 });
    this.#db = db;
    this.recordings = new Recordings(db);
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
        db.prepare('SELECT id, wall, bytes, faults, why FROM recordings LIMIT 1').get();
        db.prepare('SELECT id, recording, data FROM recording_parts LIMIT 1').get();
        db.prepare("SELECT value FROM meta WHERE key = 'epoch'").get();
        return { last, kept, count };
      });
      for (const row of [read.last, read.kept])
        if (row !== undefined && !isCheckpoint(row)) throw new Damage('an entry without a number or a seal');
      this.checkpoint = read.kept ?? begin;
      this.head = read.last ?? this.checkpoint;
      this.entries = read.count;
      this.#used = db.prepare(`SELECT coalesce(max(used), 0) FROM marks WHERE ${SOUND_MARK}`).pluck().get() as number;
      this.settle(limits);
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
    const select = `SELECT key, sender, epoch, counter FROM marks WHERE ${SOUND_MARK} ORDER BY used`;
    return this.#db.prepare(select).all() as KeyedMark[];
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
    const bytes = batch.reduce((sum, one) => sum + one.text.length + 48, memories.bytes);
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
      writable(() => this.#db.transaction(work).immediate());
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

  /** A page of the chain: what it begins behind, its rows after this one, and what the last of all should be. */
  chain(after: number, limit: number): Chain {
    const rows = this.#db
      .prepare('SELECT id, entry, hash FROM journal WHERE id > ? ORDER BY id LIMIT ?')
      .all(after, limit);
    return { checkpoint: this.checkpoint, head: this.head, rows: rows as SealedRow[] };
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

function isCheckpoint({ id, hash }: Checkpoint): boolean {
  return Number.isSafeInteger(id) && id >= 0 && hash instanceof Uint8Array && hash.length === GENESIS.hash.length;
}
