/** SQLite as this agent uses it: loaded on use, and what its errors mean. */
import { lstatSync, type Stats, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';
import { AgentError } from '../../core/errors.ts';

export type Database = BetterSqlite3.Database;

/**
 * Why SQLite cannot be used in this process, or null. better-sqlite3 13 is built for Node-API 10 (Node 22.14, 23.6) and
 * does not refuse an older one: it takes the process down with a segmentation fault when a database is opened.
 */
export function sqliteRefusal(napi: string | undefined = process.versions.napi): string | null {
  return Number(napi) >= 10 ? null : `better-sqlite3 needs Node 22.14, 23.6 or newer (this is ${process.version})`;
}

/** Loaded on use, so that a machine without the addon still heals, with its state in memory. */
export function sqlite(): typeof BetterSqlite3 {
  const refusal = sqliteRefusal();
  if (refusal !== null) throw new AgentError('E_STATE', refusal);
  return createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3;
}

/** What SQLite keeps beside a database. */
export const BESIDE = ['-wal', '-journal', '-shm'] as const;

/** Throws Damage where SQLite would open something else than a file: of a FIFO it would wait for the other end, for ever. */
export function assertFiles(file: string): void {
  if (statOf(file)?.isFile() === false) throw new Damage('not a file');
  for (const suffix of BESIDE)
    if (lstatSync(file + suffix, { throwIfNoEntry: false })?.isFile() === false)
      throw new Damage(`what stands beside it as ${suffix} is not a file`);
}

/** Of what links lead to, where they lead anywhere. */
function statOf(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ELOOP') throw new Damage('a link that leads to itself');
    throw thrown;
  }
}

/** What is in the file is no good, as opposed to: the file cannot be reached. */
export class Damage extends Error {}

export function isDamage(thrown: unknown): boolean {
  if (thrown instanceof Damage) return true;
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^SQLITE_(CORRUPT|NOTADB|FORMAT|MISMATCH)/.test(code);
}

/** Reads that fail with a plain SQL error mean a schema that is not ours: damage too. */
export function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === 'SQLITE_ERROR') throw new Damage(message(thrown));
    throw thrown;
  }
}

/** Writes that the file refuses for what is in it, its numbers or its schema: no later one would fare better. */
export function writable<T>(write: () => T): T {
  try {
    return write();
  } catch (thrown) {
    const { code } = thrown as { code?: unknown };
    if (typeof code === 'string' && /^SQLITE_(ERROR|CONSTRAINT)/.test(code)) throw new Damage(message(thrown));
    throw thrown;
  }
}

/** The first line of what an error says. */
export function message(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!;
}
