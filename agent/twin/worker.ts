/**
 * A worker thread that rehearses: it is given { id, state, plan, options } and answers { id, verdict } or { id, error }.
 * Who waits for it keeps the deadline, and ends it where it takes too long.
 */
import { parentPort } from 'node:worker_threads';
import { asAgentError } from '../core/errors.ts';
import type { Plan } from '../core/words.ts';
import { type RehearsalOptions, type RehearsalState, rehearse } from './rehearse.ts';

interface Request {
  readonly id: number;
  readonly state: RehearsalState;
  readonly plan: Plan;
  readonly options?: RehearsalOptions;
}

parentPort?.on('message', ({ id, state, plan, options }: Request) => {
  try {
    parentPort?.postMessage({ id, verdict: rehearse(state, plan, options) });
  } catch (thrown) {
    parentPort?.postMessage({ id, error: asAgentError(thrown).toJSON() });
  }
});
