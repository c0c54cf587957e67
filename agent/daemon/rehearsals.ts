/**
 * Rehearsals for the machines: a plan is played in the twin (twin/worker.ts) on a thread of its own, which is there only
 * meanwhile: a router has no memory to keep one. What takes longer than its deadline is ended, and nobody knows.
 */
import { Worker } from 'node:worker_threads';
import type { Effect } from '../core/effect.ts';
import type { WorldEvent } from '../core/event.ts';
import { MS, type Nanos } from '../core/time.ts';
import { type RehearsalState, type Verdict, wordsOf } from '../twin/rehearsal.ts';

type Rehearsal = Extract<Effect, { type: 'rehearse' }>;

interface Options {
  now(): Nanos;
  /** The mesh as this router knows it now; null while it knows none. */
  state(): RehearsalState | null;
  feed(event: WorldEvent): void;
}

type Answer = { readonly verdict: Verdict } | { readonly error: { readonly message: string } };

const WORKER = new URL(import.meta.url.endsWith('.ts') ? '../twin/worker.ts' : './x0twin.mjs', import.meta.url);
/** A mesh that does not fit is not rehearsed. */
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

export function rehearsals({ now, state, feed }: Options): (rehearsal: Rehearsal) => void {
  let busy = false;
  return ({ id, plan, changes, deadline }) => {
    const unknown = (detail: string) => feed({ type: 'rehearsed', id, verdict: 'unknown', detail });
    if (changes.length === 0) return unknown('it changes nothing that a rehearsal could show');
    const known = state();
    if (busy) return unknown('another rehearsal is under way');
    if (known === null) return unknown('this router does not know its mesh yet');
    busy = true;
    const worker = new Worker(WORKER, { resourceLimits: LIMITS });
    let settled = false;
    const settle = (tell: () => void) => {
      if (settled) return;
      settled = true;
      clearTimeout(late);
      void worker.terminate().then(() => {
        busy = false;
      });
      tell();
    };
    const late = setTimeout(
      () => settle(() => unknown('the rehearsal took too long')),
      Math.max(0, (deadline - now()) / MS),
    );
    worker.unref();
    worker.on('error', (error) => settle(() => unknown(error.message)));
    worker.on('exit', () => settle(() => unknown('the rehearsal ended without a word')));
    worker.on('message', (answer: Answer) =>
      settle(() => {
        if ('error' in answer) unknown(answer.error.message);
        else feed({ type: 'rehearsed', id, verdict: answer.verdict.verdict, detail: wordsOf(answer.verdict) });
      }),
    );
    worker.postMessage({ id: 1, state: known, plan, changes });
  };
}
