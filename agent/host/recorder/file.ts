/**
 * The flight recorder's ring as a SQLite file in the agent's runtime directory, where its control socket is: on OpenWrt a
 * tmpfs, so no flash is written, and a reboot takes it. What an agent leaves there that is killed, crashes or runs out of
 * memory the next one finds.
 *
 * Nothing is ever synced: what a process has written outlasts it, and more is not asked. A rollback journal makes whole
 * again what a kill has cut through; pages that are only added, or were free, need no entry in it. Pages of parts that
 * went are used again: the file stays about as large as what it holds.
 */
import { closeSync, lstatSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from '../../core/errors.ts';
import type { Nanos } from '../../core/time.ts';
import type { Header } from '../../record/format.ts';
import { Damage, type Database, readable, sqlite } from '../state/sqlite.ts';
import { firstThatFits, type Part, type Ring } from './ring.ts';

const VERSION = 1;
/** "x0fr": whose file it is, for file(1) and for us. */
const APPLICATION = 0x78306672;
/** A member is some KiB: larger pages would be half empty. */
const PAGE = 1024;
const JOURNAL = '-journal';
/** Members of one part at most, far beyond what fits into one: the number of a row is that of its part, times this, and on. */
const SPAN = 2 ** 24;

/** Word for word as the file has them. */
const TABLES = [
  `CREATE TABLE life (only INTEGER PRIMARY KEY CHECK (only = 1), header TEXT NOT NULL, faults TEXT NOT NULL,
    kept INTEGER NOT NULL, until INTEGER NOT NULL)`,
  'CREATE TABLE members (id INTEGER PRIMARY KEY, data BLOB NOT NULL)',
  'CREATE TABLE waiting (id INTEGER PRIMARY KEY, lines TEXT NOT NULL)',
];
/** A header and the names of faults have less. */
const MOST_TEXT = 65_536;

/** When flash has been written with what a life before left, and until when no more of that is; CLOCK_MONOTONIC. */
export interface Pace {
  readonly kept: Nanos;
  readonly until: Nanos;
}

/** What one life of the agent has left. */
export interface Left {
  readonly header: Omit<Header, 'begins'>;
  readonly parts: readonly Part[];
  readonly waiting: readonly string[];
  /** Of which no recording has been kept. */
  readonly faults: readonly string[];
  readonly pace: Pace;
  /** Of its parts, also those left out, and of what waited. */
  readonly bytes: number;
}

/**
 * Throws E_STATE where somebody else could put there what he likes, or has: SQLite follows links, and of a FIFO it would
 * wait for the other end.
 */
function assertOurs(file: string): void {
  const own = process.geteuid?.();
  const refuse = (what: string): never => {
    throw new AgentError('E_STATE', `${file}: ${what}`);
  };
  const directory = statSync(dirname(file));
  if (directory.uid !== own && directory.uid !== 0) refuse('the directory belongs to another user');
  if ((directory.mode & 0o022) !== 0) refuse('others may write its directory');
  for (const name of [file, file + JOURNAL]) {
    const found = lstatSync(name, { throwIfNoEntry: false });
    if (found === undefined) continue;
    if (!found.isFile()) refuse(`${name === file ? 'it' : JOURNAL} is not a file`);
    if (found.uid !== own) refuse('it belongs to another user');
    if (found.nlink > 1) refuse('it has another name');
  }
}

function open(file: string): Database {
  const db = new (sqlite())(file, { timeout: 0 });
  try {
    // Its lock is held until the end: whoever comes second is told that it is busy.
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma(`page_size = ${PAGE}`);
    db.pragma('journal_mode = PERSIST');
    db.pragma('journal_size_limit = 16384');
    db.pragma('synchronous = OFF');
    db.pragma('temp_store = MEMORY');
    db.pragma('cache_size = -64');
    db.pragma('trusted_schema = OFF');
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

/**
 * What stands there of a life that did not end orderly; null where there is nothing. Throws what isDamage knows where it is
 * no good, and anything else where it cannot be reached or must not be touched: another agent's, or another user's. Parts
 * beyond `most` bytes are left out, the oldest first: who died for want of memory shall not take it all for what it left.
 */
export function readLeft(file: string, most = Number.POSITIVE_INFINITY): Left | null {
  assertOurs(file);
  const size = lstatSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return null;
  return readable(() => {
    const db = open(file);
    try {
      return read(db, most);
    } finally {
      db.close();
    }
  });
}

function read(db: Database, most: number): Left | null {
  // This reads for the first time, and so takes the lock. Views could be endless: tables it has to be, and these.
  const schema = db.prepare('SELECT sql FROM sqlite_schema').pluck().all() as unknown[];
  // Killed before the first of all transactions was over.
  if (schema.length === 0 && db.pragma('schema_version', { simple: true }) === 0) return null;
  if (db.pragma('application_id', { simple: true }) !== APPLICATION) throw new Damage('not a flight recorder');
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version !== VERSION) throw new Damage(`of version ${version}`);
  if (schema.length !== TABLES.length || !TABLES.every((table, n) => schema[n] === table))
    throw new Damage('its tables are others');
  const check = db.pragma('quick_check(1)', { simple: true });
  if (check !== 'ok') throw new Damage(String(check));
  const life = db
    .prepare('SELECT header, faults, kept, until FROM life WHERE length(header) + length(faults) <= ?')
    .get(MOST_TEXT) as { header: unknown; faults: unknown; kept: unknown; until: unknown } | undefined;
  const { header, faults, kept, until } = life ?? {};
  if (typeof header !== 'string' || typeof faults !== 'string' || typeof kept !== 'number' || typeof until !== 'number')
    throw new Damage('its first row is none');
  const sized = db
    .prepare(`SELECT id / ${SPAN} AS part, sum(length(data)) AS bytes FROM members GROUP BY part ORDER BY part`)
    .all() as { part: number; bytes: number }[];
  if (db.prepare('SELECT min(id) < 0 FROM members').pluck().get() === 1) throw new Damage('a row before the first');
  const waits = db.prepare('SELECT ifnull(sum(length(lines)), 0) FROM waiting').pluck().get() as number;
  const sizes = sized.map(({ bytes }) => bytes);
  const left = {
    header: headerOf(header),
    faults: faults === '' ? [] : faults.split(' '),
    pace: { kept, until },
    bytes: sizes.reduce((sum, bytes) => sum + bytes, waits),
  };
  // The end of a life is what is worth keeping; where not even that fits nothing is.
  if (Math.max(sizes.at(-1) ?? 0, waits) > most) return { ...left, parts: [], waiting: [] };
  const numbers = sized.slice(firstThatFits(sizes, most)).map(({ part }) => part);
  const rows = db.prepare('SELECT id, data FROM members WHERE id >= ? ORDER BY id').all((numbers[0] ?? 0) * SPAN) as {
    id: number;
    data: unknown;
  }[];
  const waiting = db.prepare('SELECT lines FROM waiting ORDER BY id').pluck().all() as unknown[];
  if (!rows.every(({ data }) => isGzip(data)) || !waiting.every((lines) => typeof lines === 'string'))
    throw new Damage('a row is none');
  return {
    ...left,
    parts: partsOf(rows as Row[], numbers.length === 0 && waiting.length > 0 ? [0] : numbers),
    waiting: waiting as string[],
  };
}

/** By its first bytes (RFC 1952, section 2.3.1). */
function isGzip(data: unknown): boolean {
  return data instanceof Uint8Array && data[0] === 0x1f && data[1] === 0x8b;
}

function headerOf(text: string): Omit<Header, 'begins'> {
  try {
    const { agent, machines } = JSON.parse(text) as Partial<Header>;
    if (typeof agent === 'string' && Array.isArray(machines) && machines.every((name) => typeof name === 'string'))
      return { agent, machines };
  } catch {
    // Told below.
  }
  throw new Damage('its header is none');
}

interface Row {
  readonly id: number;
  readonly data: Uint8Array;
}

function partOf(id: number): number {
  return Math.floor(id / SPAN);
}

/** Part 0 is the one that begins where the agent did. */
function partsOf(rows: readonly Row[], numbers: readonly number[]): Part[] {
  const byPart = Map.groupBy(rows, ({ id }) => partOf(id));
  return numbers.map((n) => ({ isFirst: n === 0, members: (byPart.get(n) ?? []).map(({ data }) => data) }));
}

/** Throws what SQLite throws. */
export class FileRing implements Ring {
  readonly #db: Database;
  readonly #file: string;
  /** The numbers of its parts, and of the next row. */
  readonly #parts: number[] = [];
  #newest = 0;
  #next = 0;
  readonly #insert;
  readonly #await;
  readonly #note;
  readonly #settle;
  /** Whether lines wait in the file. */
  #waits = false;

  /** Throws where a file stands there already. */
  constructor(file: string, header: Omit<Header, 'begins'>, pace: Pace) {
    assertOurs(file);
    this.#file = file;
    // It tells who is where and when.
    closeSync(openSync(file, 'wx', 0o600));
    const db = open(file);
    this.#db = db;
    try {
      db.transaction(() => {
        db.pragma(`application_id = ${APPLICATION}`);
        db.pragma(`user_version = ${VERSION}`);
        for (const table of TABLES) db.exec(table);
        db.prepare("INSERT INTO life VALUES (1, ?, '', ?, ?)").run(JSON.stringify(header), pace.kept, pace.until);
      }).immediate();
      this.#insert = db.prepare('INSERT INTO members VALUES (?, ?)');
      this.#await = db.prepare('INSERT INTO waiting (lines) VALUES (?)');
      this.#note = db.prepare('UPDATE life SET faults = ?');
      const drop = db.prepare('DELETE FROM waiting');
      this.#settle = db.transaction((id: number, member: Uint8Array) => {
        this.#insert.run(id, member);
        drop.run();
      });
    } catch (thrown) {
      this.end();
      throw thrown;
    }
  }

  begin(keyframe: Uint8Array | null): void {
    const part = keyframe === null ? 0 : this.#newest + 1;
    if (keyframe !== null) this.#insert.run(part * SPAN, keyframe);
    this.#parts.push(part);
    this.#newest = part;
    this.#next = part * SPAN + 1;
  }

  add(member: Uint8Array): void {
    if (this.#waits) this.#settle.immediate(this.#next, member);
    else this.#insert.run(this.#next, member);
    this.#waits = false;
    this.#next += 1;
  }

  shift(): void {
    const [oldest] = this.#parts;
    if (oldest === undefined) return;
    this.#db.prepare('DELETE FROM members WHERE id < ?').run((oldest + 1) * SPAN);
    this.#parts.shift();
  }

  wait(lines: readonly string[]): void {
    this.#await.run(lines.join('\n'));
    this.#waits = true;
  }

  note(faults: readonly string[]): void {
    this.#note.run(faults.join(' '));
  }

  parts(): readonly Part[] {
    return partsOf(this.#db.prepare('SELECT id, data FROM members ORDER BY id').all() as Row[], this.#parts);
  }

  /** A copy in memory of what it holds, for a moment. */
  trim(): void {
    this.#db.exec('VACUUM');
  }

  end(): void {
    try {
      this.#db.close();
      remove(this.#file);
    } catch {
      // What is left of it the next start finds.
    }
  }
}

/** Names only: nothing is followed. */
export function remove(file: string): void {
  for (const name of [file, file + JOURNAL]) rmSync(name, { force: true });
}
