/** A fault's decisions as a story: what was seen, what was weighed, what was done, what came of it. */
import { type Nanos, toMs } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import { specOf } from '../heal/faults/catalogue.ts';
import { repairOf } from '../heal/repairs/catalogue.ts';
import type { JournalEntry } from './sources.ts';

const STEPS: Readonly<Record<Decision['step'], string>> = {
  planned: 'Decided',
  observed: 'Only observed',
  done: 'Done',
  verified: 'Verified',
  'rolled-back': 'Taken back',
  failed: 'Failed',
  dropped: 'Dropped',
  over: 'Over',
};

const ENDS: ReadonlySet<Decision['step']> = new Set([
  'observed',
  'done',
  'verified',
  'rolled-back',
  'failed',
  'dropped',
  'over',
]);

/** "+0.35 ms", "+4.2 s": from one instant to a later one, to about three digits. */
export function after(from: Nanos, to: Nanos): string {
  const ms = toMs(to - from);
  const sign = ms < 0 ? '-' : '+';
  const size = Math.abs(ms);
  if (size >= 60_000) return `${sign}${(size / 60_000).toFixed(1)} min`;
  if (size >= 1000) return `${sign}${(size / 1000).toFixed(1)} s`;
  return `${sign}${size.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)} ms`;
}

/** `entries` are of one fault, oldest first, at least one. */
export function explain(entries: readonly JournalEntry[]): string[] {
  const first = entries[0]!;
  const { fault } = first.decision;
  const zero = fault.evidence[0]?.at ?? fault.at;
  // The last word on what was weighed: planning may have been done in several rounds.
  const weighed = entries.findLast(({ decision }) => decision.alternatives.length > 0)?.decision;
  const observed = entries.some(({ decision }) => decision.step === 'observed');
  const about = [fault.interface && `interface ${fault.interface}`, fault.peer && `peer ${fault.peer}`].filter(Boolean);

  const lines = [
    `Fault ${fault.id}: ${specOf(fault.class)?.words ?? fault.class}${about.length > 0 ? ` (${about.join(', ')})` : ''}.`,
    `Seen ${new Date(first.wall).toISOString()}; sure to ${Math.round(fault.confidence * 100)} %. Times below count from the first evidence.`,
    '',
    'What was seen:',
    ...fault.evidence.map(({ at, source, what }) => `  ${after(zero, at).padStart(10)}  ${source}: ${what}`),
  ];
  if (weighed !== undefined) {
    lines.push('', 'What was weighed, gentlest first:');
    for (const { action, refused, learned } of [...weighed.alternatives].sort((a, b) => a.cost - b.cost)) {
      // What is not refused is done, one after the other.
      const verdict = refused === null ? (observed ? 'would have been done' : 'taken') : `no: ${refused}`;
      lines.push(`  ${action.padEnd(14)} ${repairOf(action)?.does ?? ''}`, `  ${''.padEnd(14)} -> ${verdict}`);
      if (learned !== undefined) lines.push(`  ${''.padEnd(14)}    ${learned}`);
    }
    if (weighed.why !== '') lines.push(`  Why: ${weighed.why}`);
  }
  lines.push('', 'What was done:');
  for (const { decision } of entries) {
    const { step, action, alternatives, result, at } = decision;
    const taken = alternatives.filter(({ refused }) => refused === null).map((alternative) => alternative.action);
    const isPlan = step === 'planned' || step === 'observed';
    const none = isPlan ? ' to do nothing' : '';
    const what = isPlan && taken.length > 0 ? ` ${taken.join(', then ')}` : action === 'none' ? none : ` ${action}`;
    const word = isRefused(decision) ? 'Refused' : STEPS[step];
    lines.push(`  ${after(zero, at).padStart(10)}  ${word}${what}${result === null ? '' : `: ${result}`}`);
  }
  lines.push('', `Result: ${conclusion(entries)}`);
  return lines;
}

function said({ result }: Decision): string {
  return result === null ? '' : `: ${result}`;
}

/** A kick that was planned, and then not to be had. */
function isRefused({ step, action, alternatives }: Decision): boolean {
  return step === 'done' && alternatives.some((one) => one.action === action && one.refused !== null);
}

function conclusion(entries: readonly JournalEntry[]): string {
  const ended = entries.findLast(({ decision }) => ENDS.has(decision.step))?.decision;
  if (ended === undefined) {
    const { action } = entries.at(-1)!.decision;
    const refused = entries.at(-1)!.decision.alternatives.some((alternative) => alternative.refused !== null);
    // Nothing more is written of those: forwarding without delay for a moment has nothing to verify.
    if (action === 'clear-way')
      return "others' OGMs were let pass at once; whether it helped, the router knows that asked.";
    if (action !== 'none') return 'still under way.';
    return refused ? 'nothing was done: every repair was refused, as said above.' : 'nothing had to be done.';
  }
  const took = after(ended.fault.at, ended.at).slice(1);
  switch (ended.step) {
    case 'verified':
      return `repaired by ${ended.action}, verified ${took} after the first evidence.`;
    case 'rolled-back':
      return `${ended.action} did not help and was taken back; the mesh is as it would be without the agent.`;
    case 'failed':
      return `not repaired: ${ended.result ?? 'the repair failed'}.`;
    case 'done':
      if (isRefused(ended)) return `nothing was done: ${ended.result}.`;
      if (ended.fault.class === 'remote-alarm')
        return `done${said(ended)}; whether it helped, the router knows that asked.`;
      return `done${said(ended)}.`;
    case 'observed':
      return `observe: ${ended.action} would have been done, and nothing was.`;
    case 'dropped':
      return `the plan was dropped: ${ended.result ?? 'it would have made things worse'}.`;
    default:
      return `it was over after ${took}${ended.result === null ? '' : `: ${ended.result}`}.`;
  }
}
