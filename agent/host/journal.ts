/**
 * The journal's chain: each entry is sealed by SHA-256 over the seal before it and its own canonical JSON.
 * Pure functions; state.ts keeps the entries.
 *
 * What the chain proves: no entry was changed, removed or slipped in after it was written. What it cannot: somebody who
 * may write the file can write a whole new chain; a copy of `head` kept elsewhere shows that too.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import type { Nanos } from '../core/time.ts';
import type { Decision } from '../core/words.ts';

export interface Entry {
  /** Grows from entry to entry; a gap means that entries were given up unwritten, not that they were removed. */
  readonly id: number;
  /** The boot epoch in which it was written; `at` counts within that boot's clock. */
  readonly epoch: number;
  readonly at: Nanos;
  /** Milliseconds since 1970, as good as this router's wall clock was. */
  readonly wall: number;
  readonly decision: Decision;
}

/** The last entry that is gone from the beginning: what remains is chained to it. */
export interface Checkpoint {
  readonly id: number;
  readonly hash: Uint8Array;
}

export interface SealedRow {
  readonly id: number;
  /** Canonical JSON of the Entry. */
  readonly entry: string;
  readonly hash: Uint8Array;
}

export type Verification =
  | { readonly ok: true; readonly entries: number; readonly first: number | null; readonly head: string }
  | { readonly ok: false; readonly entries: number; readonly broken: number; readonly error: AgentError };

export const GENESIS: Checkpoint = { id: 0, hash: new Uint8Array(32) };

/** An entry longer than this (bytes of JSON) loses evidence from its middle: flash is worth more than the tenth witness. */
export const ENTRY_LIMIT = 16_384;
/** Milliseconds from 1970 that a Date can hold. */
const LAST_DATE = 8.64e15;

/** JSON with keys in code-unit order and nothing optional in it, so that equal values give equal bytes. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item ?? null)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const parts: string[] = [];
    for (const key of Object.keys(value).sort()) {
      const item = (value as Record<string, unknown>)[key];
      if (item !== undefined) parts.push(`${JSON.stringify(key)}:${canonical(item)}`);
    }
    return `{${parts.join(',')}}`;
  }
  return JSON.stringify(value ?? null);
}

/** null for what is none: what lies on flash may be damaged where no checksum of SQLite's shows it. */
export function readEntry(text: unknown): Entry | null {
  try {
    const entry = JSON.parse(text as string) as Entry;
    const { fault, step, action, at, why, alternatives } = entry.decision;
    const isSound =
      [step, action, why, fault.id, fault.class].every((word) => typeof word === 'string') &&
      [entry.id, entry.epoch, at, fault.at].every(Number.isFinite) &&
      Math.abs(entry.wall) <= LAST_DATE &&
      Array.isArray(alternatives) &&
      Array.isArray(fault.evidence);
    return isSound ? entry : null;
  } catch {
    return null;
  }
}

export function seal(previous: Uint8Array, entry: string): Uint8Array {
  return createHash('sha256').update(previous).update(entry).digest();
}

/** Canonical JSON of an entry, cut to ENTRY_LIMIT: first and last evidence stay, with a word on what went. */
export function writeEntry(entry: Entry): string {
  const whole = canonical(entry);
  if (whole.length <= ENTRY_LIMIT) return whole;
  const { decision } = entry;
  const cut = (text: string): string => (text.length > 512 ? `${text.slice(0, 511)}…` : text);
  const { evidence } = decision.fault;
  const kept = evidence.length > 8 ? [...evidence.slice(0, 4), ...evidence.slice(-4)] : evidence;
  const lost = evidence.length - kept.length;
  const why = lost > 0 ? `${cut(decision.why)} (${lost} pieces of evidence not kept)` : cut(decision.why);
  return canonical({
    ...entry,
    decision: {
      ...decision,
      why,
      result: decision.result === null ? null : cut(decision.result),
      alternatives: decision.alternatives
        .slice(0, 8)
        .map((one) => ({ ...one, refused: one.refused === null ? null : cut(one.refused) })),
      fault: { ...decision.fault, evidence: kept.map((one) => ({ ...one, what: cut(one.what) })) },
    },
  });
}

/** Walks the chain from its checkpoint; stops at the first row that does not follow from the one before. */
export function verifyChain(checkpoint: Checkpoint, rows: Iterable<SealedRow>): Verification {
  let { id, hash } = checkpoint;
  let entries = 0;
  let first: number | null = null;
  const broken = (at: number, why: string): Verification => ({
    ok: false,
    entries,
    broken: at,
    error: new AgentError('E_JOURNAL_BROKEN', `journal entry ${at}: ${why}`, { entry: at, verified: entries }),
  });
  for (const row of rows) {
    if (row.id <= id) return broken(row.id, `does not come after entry ${id}`);
    // SQLite keeps a value of any type in any column.
    if (typeof row.entry !== 'string' || !(row.hash instanceof Uint8Array))
      return broken(row.id, 'it is no sealed text');
    if (Buffer.compare(seal(hash, row.entry), row.hash) !== 0) {
      return broken(row.id, `its seal does not follow from entry ${id} and its own text`);
    }
    if (idOf(row.entry) !== row.id) return broken(row.id, 'it was written under another number');
    ({ id, hash } = row);
    first ??= id;
    entries++;
  }
  return { ok: true, entries, first, head: Buffer.from(hash).toString('hex') };
}

function idOf(entry: string): unknown {
  try {
    return (JSON.parse(entry) as { id?: unknown }).id;
  } catch {
    return undefined;
  }
}
