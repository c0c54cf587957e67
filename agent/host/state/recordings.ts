/** Recordings in the state file, of faults and of lives that ended without a word. Throws what SQLite throws; State decides what follows. */
import type { Database } from './sqlite.ts';

export interface KeptRecording {
  readonly id: number;
  /** When it was kept: milliseconds since 1970. */
  readonly wall: number;
  readonly bytes: number;
  /** Ids of the faults that it tells of. */
  readonly faults: readonly string[];
  readonly why: Why;
}

/** For the sake of these faults; or because the agent ended without a word, whatever it had seen. */
export type Why = 'faults' | 'ended';

export type About = Pick<KeptRecording, 'faults' | 'why'>;

export class Recordings {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The oldest first. */
  list(): KeptRecording[] {
    const rows = this.#db.prepare('SELECT id, wall, bytes, faults, why FROM recordings ORDER BY id').all();
    return (rows as (Omit<KeptRecording, 'faults'> & { faults: string })[]).map(({ faults, why, ...row }) => ({
      ...row,
      faults: faults === '' ? [] : faults.split(' '),
      why: why === 'ended' ? why : 'faults',
    }));
  }

  read(id: number): Uint8Array | null {
    if (this.#db.prepare('SELECT id FROM recordings WHERE id = ?').get(id) === undefined) return null;
    const parts = this.#db.prepare('SELECT data FROM recording_parts WHERE recording = ? ORDER BY id').pluck().all(id);
    return Buffer.concat(parts as Buffer[]);
  }

  /** Makes room among the older ones for at most `limit` bytes in all, and writes in parts of `part` bytes. */
  write(wall: number, data: Uint8Array, { faults, why }: About, limit: number, part: number): void {
    const kept = this.list();
    let bytes = kept.reduce((sum, one) => sum + one.bytes, 0);
    for (const { id, bytes: its } of kept) {
      if (bytes + data.length <= limit) break;
      bytes -= its;
      this.#remove(id);
    }
    const id = (kept.at(-1)?.id ?? 0) + 1;
    // What a write before this one left unfinished.
    this.#remove(id);
    const insert = this.#db.prepare('INSERT INTO recording_parts (recording, data) VALUES (?, ?)');
    for (let at = 0; at < data.length; at += part) insert.run(id, data.subarray(at, at + part));
    this.#db
      .prepare('INSERT INTO recordings (id, wall, bytes, faults, why) VALUES (?, ?, ?, ?, ?)')
      .run(id, Math.round(wall), data.length, faults.join(' '), why);
  }

  #remove(id: number): void {
    this.#db.prepare('DELETE FROM recordings WHERE id = ?').run(id);
    this.#db.prepare('DELETE FROM recording_parts WHERE recording = ?').run(id);
  }
}
