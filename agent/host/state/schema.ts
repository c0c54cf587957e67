/** The tables of the state file, and how an older file becomes one of today. */
import type { Database } from './sqlite.ts';

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
  // A recording comes in parts, so that no transaction is large; one whose row is missing was not finished.
  `CREATE TABLE recordings (id INTEGER PRIMARY KEY, wall INTEGER NOT NULL, bytes INTEGER NOT NULL, faults TEXT NOT NULL);
   CREATE TABLE recording_parts (id INTEGER PRIMARY KEY, recording INTEGER NOT NULL, data BLOB NOT NULL);`,
  'CREATE TABLE memories (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;',
  // 'faults', or 'ended': what a life has left that ended without a word.
  "ALTER TABLE recordings ADD COLUMN why TEXT NOT NULL DEFAULT 'faults'",
];

/** Brings a database to the newest version, each step in a transaction of its own. */
export function migrate(db: Database, steps: readonly string[] = MIGRATIONS): void {
  for (let version = db.pragma('user_version', { simple: true }) as number; version < steps.length; version++) {
    db.transaction(() => {
      db.exec(steps[version]!);
      db.pragma(`user_version = ${version + 1}`);
    }).immediate();
  }
}
