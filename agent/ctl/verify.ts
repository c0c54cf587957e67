/** `x0ctl heal verify`: the journal's chain, held against its seals here and not by who keeps it. */
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { type Checkpoint, GENESIS, type SealedRow, type Verification, verifyChain } from '../host/journal.ts';
import { isDamage, message, sqlite } from '../host/state/sqlite.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { clean, clip, fold, plainJson, type Terminal } from './terminal.ts';

/** As large as state.size_limit can be, and what stands in the log besides. */
const MOST_BYTES = 2 ** 30 + 2 ** 26;

export interface Verified {
  readonly result: Verification;
  /** The last entry that is gone from the beginning; 0 for none. */
  readonly checkpoint: number;
  /** Entries that wait to be written, and are not part of it. */
  readonly pending: number;
}

/** Of the running agent, page by page; what it adds meanwhile is verified too. */
export async function verifyAgent(agent: Client): Promise<Verified> {
  let at: Checkpoint | null = null;
  let entries = 0;
  let first: number | null = null;
  for (;;) {
    const page = (await agent.get(`/heal/chain?since=${at?.id ?? 0}`)) as Of<typeof shapes.chain>;
    const checkpoint = sealed(page.checkpoint);
    // At the beginning; and where that was taken off further than we are.
    if (at === null || checkpoint.id > at.id) at = checkpoint;
    const rows = page.rows.map((row) => ({ ...sealed(row), entry: row.entry }));
    const seen = verifyChain(at, rows);
    entries += seen.entries;
    const of = { checkpoint: checkpoint.id, pending: page.pending };
    if (!seen.ok) return { result: { ...seen, entries }, ...of };
    first ??= seen.first;
    const last = rows.at(-1);
    if (last === undefined) return { result: ended({ ...seen, entries, first }, sealed(page.head)), ...of };
    at = last;
  }
}

function sealed({ id, hash }: { readonly id: number; readonly hash: string }): Checkpoint {
  return { id, hash: Buffer.from(hash, 'hex') };
}

/** A chain that is whole may still lack its end. */
function ended(result: Verification, head: Checkpoint): Verification {
  if (!result.ok || result.head === Buffer.from(head.hash).toString('hex')) return result;
  const error = new AgentError('E_JOURNAL_BROKEN', `the journal ends before entry ${head.id}`, { entry: head.id });
  return { ok: false, entries: result.entries, broken: head.id, error };
}

/**
 * Of a state file. It is looked at in a copy: opening it would change what lies beside it. Throws E_NOT_FOUND, E_STATE where
 * it is no state file, and E_JOURNAL_BROKEN where it was one and SQLite cannot make it out any more.
 */
export function verifyFile(file: string): Verified {
  if (!existsSync(file)) throw new AgentError('E_NOT_FOUND', `there is no ${clip(file, 255)}`);
  const parts = ['', '-wal'].filter((suffix) => existsSync(file + suffix));
  for (const suffix of parts) {
    // A device has no end, and a FIFO waits for one.
    const [name, seen] = [clip(file + suffix, 255), statSync(file + suffix)];
    if (!seen.isFile()) throw new AgentError('E_STATE', `${name} is not a file`);
    if (seen.size > MOST_BYTES)
      throw new AgentError('E_STATE', `${name} has ${seen.size} bytes, at most ${MOST_BYTES} are read`);
  }
  const directory = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  try {
    const copy = join(directory, 'state.db');
    for (const suffix of parts) copyFileSync(file + suffix, copy + suffix);
    const db = new (sqlite())(copy, { fileMustExist: true });
    try {
      const kept = db.prepare('SELECT id, hash FROM checkpoint').get() as Checkpoint | undefined;
      const checkpoint = kept ?? GENESIS;
      // Last: as long as it is open the database cannot be closed, whatever is wrong with it.
      const rows = db.prepare('SELECT id, entry, hash FROM journal ORDER BY id').iterate() as Iterable<SealedRow>;
      return { result: verifyChain(checkpoint, rows), checkpoint: checkpoint.id, pending: 0 };
    } finally {
      db.close();
    }
  } catch (thrown) {
    if (thrown instanceof AgentError) throw thrown;
    const { code } = thrown as { code?: unknown };
    const isBroken = isDamage(thrown) && code !== 'SQLITE_NOTADB';
    throw new AgentError(
      isBroken ? 'E_JOURNAL_BROKEN' : 'E_STATE',
      `${clip(file, 255)} cannot be read as a state file: ${message(thrown)}`,
      {},
      { cause: thrown },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Answers the exit status. */
export function showVerification({ result, checkpoint, pending }: Verified, to: Terminal, json: boolean): number {
  const { ok, entries } = result;
  const found = ok
    ? { first: result.first, head: result.head, broken: null, why: null }
    : { first: null, head: null, broken: result.broken, why: result.error.message };
  if (json) to.out(`${plainJson({ version: 1, ok, entries, checkpoint, pending, ...found })}\n`);
  else to.out(fold(`${clean(textOf(result, checkpoint, pending))}\n`, to));
  return ok ? 0 : 1;
}

function textOf(result: Verification, checkpoint: number, pending: number): string {
  const behind = checkpoint === 0 ? '' : `, behind the checkpoint at entry ${checkpoint}`;
  if (!result.ok) return `broken: ${result.error.message}; ${result.entries} entries before that are whole${behind}`;
  const waiting = pending === 0 ? '' : `; ${pending} more wait to be written`;
  return `whole: ${result.entries} entries${behind}, head ${result.head}${waiting}`;
}
