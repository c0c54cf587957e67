/** What a person has healing do: another mode, or a kick now. */
import { isMac } from '../../core/ids.ts';
import type { Decision } from '../../core/words.ts';
import { isFaultClass } from '../../heal/faults/catalogue.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import type { Sources } from '../sources.ts';
import { type Call, type Caller, call, clip, type Unversioned, usage } from './call.ts';

export const steeringCalls: readonly Call[] = [
  call({
    method: 'POST',
    path: '/heal/mode',
    help: 'Sets heal.mode until the next start or change of the configuration, or the mode of one class of faults for good.',
    changing: true,
    body: [
      { name: 'mode', type: 'string', help: 'off, observe or act; of a class also auto' },
      { name: 'class', type: 'string', help: 'a class of faults; may be left out' },
    ],
    shape: shapes.done,
    answer: ({ sources, caller, body }) => {
      const { mode, class: kind } = body;
      if (kind !== undefined) return classMode(sources, caller, kind, mode);
      if (mode !== 'off' && mode !== 'observe' && mode !== 'act') throw usage('mode: expected off, observe or act');
      sources.ask({ type: 'mode-asked', by: caller.name, mode });
      return { done: true, message: `heal.mode is ${mode} until the next start` };
    },
  }),
  call({
    method: 'POST',
    path: '/heal/kick',
    help: 'Has this router send its next OGMs at once, as after a fault, and by an alarm the others; within the budget.',
    changing: true,
    body: [{ name: 'lost', type: 'string', help: 'MAC address of a neighbour that is lost; may be left out' }],
    shape: shapes.kicked,
    answer: ({ sources, caller, body }) => {
      const lost = body.lost ?? null;
      if (lost !== null && (typeof lost !== 'string' || !isMac(lost)))
        throw usage('lost: expected a MAC address such as 02:12:34:56:78:9a, in lower case');
      return kickedOf(sources.ask({ type: 'kick-asked', by: caller.name, lost }));
    },
  }),
];

/** What was decided on a kick that was asked for: planned, and then perhaps refused by its budget, all in one turn. */
function kickedOf(decisions: readonly Decision[]): Unversioned<Of<typeof shapes.kicked>> {
  const last = decisions.at(-1);
  const steps = decisions.map(({ step, action, result }) => ({ step, action, result }));
  if (last === undefined)
    return { done: false, message: 'nothing was done: heal.mode is off', fault: null, decisions: steps };
  const { fault, step, action, alternatives, result } = last;
  const refused = alternatives.find((one) => one.action === 'kick')?.refused ?? null;
  const done = refused === null && step !== 'observed' && action !== 'none';
  const what = done ? `${step} ${action}` : (refused ?? result ?? 'nothing was done');
  const message = `fault ${fault.id}: ${what}; x0ctl heal explain ${fault.id} tells what came of it`;
  return { done, message, fault: fault.id, decisions: steps };
}

function classMode(sources: Sources, caller: Caller, kind: unknown, mode: unknown): { done: boolean; message: string } {
  if (typeof kind !== 'string' || !isFaultClass(kind))
    throw usage(`class: ${clip(String(kind))} is no class of faults; /heal/classes shows them`);
  if (mode !== 'off' && mode !== 'observe' && mode !== 'act' && mode !== 'auto')
    throw usage('mode: expected off, observe, act or auto');
  sources.ask({ type: 'class-mode-asked', by: caller.name, class: kind, mode });
  return { done: true, message: `${kind} is ${mode} from now on` };
}
