/** What the machines have learned, in the state's database: short values that outlast restarts; of a steward some thousand. */
import type { Memory } from '../../core/event.ts';

/** What this needs of better-sqlite3. */
interface Database {
  prepare(sql: string): { all(...values: string[]): unknown[]; run(...values: string[]): unknown };
}

/**
 * Classes of faults times repairs, a steward's 2048 members and 1024 used invitations, by what its 2048 and others' came, what a mesh
 * agrees on, and more.
 */
const MOST = 12_288;

export class Memories {
  readonly #known = new Map<string, Memory>();
  /** Not written yet. */
  readonly #dirty = new Map<string, { readonly memory: Memory; readonly gone: boolean }>();

  load(db: Database): void {
    // What a bit that fell over in the file has made of one is none.
    const texts = "typeof(kind) || typeof(key) || typeof(value) = 'texttexttext'";
    for (const row of db.prepare(`SELECT kind, key, value FROM memories WHERE ${texts}`).all() as Memory[])
      this.#known.set(`${row.kind} ${row.key}`, row);
  }

  all(): Memory[] {
    return [...this.#known.values()];
  }

  /** Answers whether there is something to write. */
  remember(kind: Memory['kind'], key: string, value: string | null): boolean {
    const id = `${kind} ${key}`;
    const known = this.#known.get(id);
    if (known?.value === (value ?? undefined)) return false;
    if (known === undefined && this.#known.size >= MOST) return false;
    const memory = { kind, key, value: value ?? '' };
    if (value === null) this.#known.delete(id);
    else this.#known.set(id, memory);
    this.#dirty.set(id, { memory, gone: value === null });
    return true;
  }

  get pending(): number {
    return this.#dirty.size;
  }

  /** Of what is to be written. */
  get bytes(): number {
    let sum = 0;
    for (const { memory } of this.#dirty.values()) sum += memory.key.length + memory.value.length;
    return sum;
  }

  /** Within a transaction of the caller's. */
  write(db: Database): void {
    if (this.#dirty.size === 0) return;
    const put = db.prepare('INSERT OR REPLACE INTO memories VALUES (?, ?, ?)');
    const drop = db.prepare('DELETE FROM memories WHERE kind = ? AND key = ?');
    for (const { memory, gone } of this.#dirty.values()) {
      if (gone) drop.run(memory.kind, memory.key);
      else put.run(memory.kind, memory.key, memory.value);
    }
  }

  written(): void {
    this.#dirty.clear();
  }

  /** The file was begun anew: all of it is to be written again. */
  again(): void {
    for (const [id, memory] of this.#known) this.#dirty.set(id, { memory, gone: false });
  }
}
