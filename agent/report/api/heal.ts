/** What healing decided, why, and what each class of faults has shown. */
import { AgentError } from '../../core/errors.ts';
import { toMs } from '../../core/time.ts';
import { explain } from '../explain.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import type { JournalEntry, Sealed, Sources } from '../sources.ts';
import { type Call, call, round, type Unversioned, wholeNumber } from './call.ts';

const LOG_LIMIT = 20;
const LOG_MOST = 1000;
/** Rows that are read in a millisecond or two. */
const CHAIN_PAGE = 200;

export const healCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/heal/log',
    help: 'The journal of decisions, oldest first: the newest ones, or those after an entry.',
    query: [
      { name: 'limit', type: 'integer', help: `entries at most, 1 to ${LOG_MOST}; ${LOG_LIMIT} without it` },
      { name: 'since', type: 'integer', help: 'only entries after this one, by its id' },
    ],
    shape: shapes.log,
    answer: ({ sources, query }) => {
      const limit = wholeNumber(query, 'limit', 1, LOG_MOST) ?? LOG_LIMIT;
      const since = wholeNumber(query, 'since', 0, Number.MAX_SAFE_INTEGER);
      const entries = sources.journal.query({ limit, ...(since !== undefined && { sinceId: since }) });
      return { entries: entries.map(entryOf) };
    },
  }),
  call({
    method: 'GET',
    path: '/heal/chain',
    help: 'The journal as it is on flash, with its seals, for whoever verifies it: x0ctl heal verify.',
    query: [{ name: 'since', type: 'integer', help: `only rows after this one, by its id; ${CHAIN_PAGE} at most` }],
    shape: shapes.chain,
    answer: ({ sources, query }) => {
      const since = wholeNumber(query, 'since', 0, Number.MAX_SAFE_INTEGER) ?? 0;
      const { checkpoint, head, rows } = sources.journal.chain(since, CHAIN_PAGE);
      return {
        checkpoint: sealOf(checkpoint),
        head: sealOf(head),
        pending: sources.journal.status().pending,
        rows: rows.map((row) => ({ ...sealOf(row), entry: row.entry })),
      };
    },
  }),
  call({
    method: 'GET',
    path: '/heal/explain/{id}',
    help: 'One fault: evidence, alternatives, what was done and what came of it, in words.',
    shape: shapes.explanation,
    answer: ({ sources, id }) => explanationOf(sources, id),
  }),
  call({
    method: 'GET',
    path: '/heal/classes',
    help: 'The classes of faults: which are repaired, which only observed, and what each has shown so far.',
    shape: shapes.classes,
    answer: ({ sources }) => {
      const { mode, classes, known } = sources.heal();
      return {
        mode,
        classes: classes.map((one) => ({
          ...one,
          confidence: round(one.confidence),
          repairs: known
            .filter((record) => record.class === one.class)
            .map(({ action, tries, successes, repairNs, sideEffects }) => ({
              action,
              tries: round(tries),
              successes: round(successes),
              meanMs: successes < 1 ? null : toMs(repairNs / successes),
              sideEffects: Math.round(sideEffects),
            })),
        })),
      };
    },
  }),
];

function sealOf({ id, hash }: Sealed): { id: number; hash: string } {
  // SQLite keeps a value of any type in any column; whoever verifies finds that none of them is a seal.
  return { id, hash: hash instanceof Uint8Array ? Buffer.from(hash).toString('hex') : '' };
}

function entryOf({ id, wall, decision }: JournalEntry): Of<typeof shapes.log>['entries'][number] {
  const { fault, step, action, at, why, result } = decision;
  return {
    id,
    time: new Date(wall).toISOString(),
    fault: fault.id,
    class: fault.class,
    interface: fault.interface,
    peer: fault.peer,
    step,
    action,
    afterMs: toMs(at - fault.at),
    faultAtNs: fault.at,
    why,
    result,
  };
}

function explanationOf(sources: Sources, id: string): Unversioned<Of<typeof shapes.explanation>> {
  const entries = sources.journal.query({ limit: 100, faultId: id });
  if (entries.length === 0) throw new AgentError('E_NOT_FOUND', `the journal has no fault ${id}; see heal log`);
  const { fault } = entries[0]!.decision;
  const weighed = entries.findLast(({ decision }) => decision.alternatives.length > 0)?.decision;
  const zero = fault.evidence[0]?.at ?? fault.at;
  return {
    fault: id,
    text: explain(entries),
    evidence: fault.evidence.map(({ source, what, at }) => ({ source, what, afterMs: toMs(at - zero) })),
    alternatives: (weighed?.alternatives ?? []).map(({ action, cost, refused }) => ({
      action,
      cost,
      refused,
      taken: refused === null && weighed!.step !== 'observed',
    })),
    entries: entries.map(entryOf),
  };
}
