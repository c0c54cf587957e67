/**
 * A worker thread that rehearses: it is given { id, state, plan, changes } and answers { id, verdict } or { id, error }.
 * Who waits for it keeps the deadline, and ends it where it takes too long.
 */
import { parentPort } from 'node:worker_threads';
import { asAgentError } from '../core/errors.ts';
import type { Change } from '../core/kernel.ts';
import type { Plan } from '../core/words.ts';
import type { RehearsalState } from './rehearsal.ts';
import { rehearse } from './rehearse.ts';

interface Request {
  readonly id: number;
  readonly state: RehearsalState;
  readonly plan: Plan;
  readonly changes: readonly Change[];
}

parentPort?.on('message', ({ id, state, plan, changes }: Request) => {
  try {
    parentPort?.postMessage({ id, verdict: rehearse(state, plan, changes) });
  } catch (thrown) {
    parentPort?.postMessage({ id, error: asAgentError(thrown).toJSON() });
  }
});
