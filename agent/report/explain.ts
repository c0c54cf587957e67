/** A fault's decisions as a story: what was seen, what was weighed, what was done, what came of it. */
import { type Nanos, toMs } from '../core/time.ts';
import type { Action, Decision, Fault } from '../core/words.ts';
import type { JournalEntry } from './api.ts';

/** What happened, in one clause. */
const FAULTS: Readonly<Record<Fault['class'], string>> = {
  'link-down': 'the link lost its carrier',
  'interface-vanished': 'the interface disappeared',
  'interface-fell-out': 'the interface fell out of the mesh',
  'mesh-vanished': 'the mesh interface disappeared',
  'neighbour-lost': 'a neighbour fell silent though the link has a carrier',
  'router-dead': 'a router was not heard of for a long time',
  'remote-alarm': 'another router reported a fault',
  asked: 'nothing is wrong; a person asked for a kick',
};

const ACTIONS: Readonly<Record<Action, string>> = {
  none: 'do nothing',
  'clear-way': "let other routers' OGMs pass without delay for a moment",
  kick: 'send our own OGMs at once, so that routes move in milliseconds',
  detach: 'take the dead interface out of the mesh until it lives again',
  reattach: 'put the interface back into the mesh',
  'recreate-mesh': 'create the mesh interface anew, with its MAC address kept',
};

const STEPS: Readonly<Record<Decision['step'], string>> = {
  planned: 'Decided',
  observed: 'Only observed',
  done: 'Done',
  verified: 'Verified',
  'rolled-back': 'Taken back',
  failed: 'Failed',
  over: 'Over',
};

const ENDS: ReadonlySet<Decision['step']> = new Set(['observed', 'verified', 'rolled-back', 'failed', 'over']);

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
    `Fault ${fault.id}: ${FAULTS[fault.class]}${about.length > 0 ? ` (${about.join(', ')})` : ''}.`,
    `Seen ${new Date(first.wall).toISOString()}; sure to ${Math.round(fault.confidence * 100)} %. Times below count from the first evidence.`,
    '',
    'What was seen:',
    ...fault.evidence.map(({ at, source, what }) => `  ${after(zero, at).padStart(10)}  ${source}: ${what}`),
  ];
  if (weighed !== undefined) {
    lines.push('', 'What was weighed, gentlest first:');
    for (const { action, refused } of [...weighed.alternatives].sort((a, b) => a.cost - b.cost)) {
      // What is not refused is done, one after the other.
      const verdict = refused === null ? (observed ? 'would have been done' : 'taken') : `no: ${refused}`;
      lines.push(`  ${action.padEnd(14)} ${ACTIONS[action]}`, `  ${''.padEnd(14)} -> ${verdict}`);
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
    lines.push(`  ${after(zero, at).padStart(10)}  ${STEPS[step]}${what}${result === null ? '' : `: ${result}`}`);
  }
  lines.push('', `Result: ${conclusion(entries)}`);
  return lines;
}

function conclusion(entries: readonly JournalEntry[]): string {
  const ended = entries.findLast(({ decision }) => ENDS.has(decision.step))?.decision;
  if (ended === undefined) {
    const { action } = entries.at(-1)!.decision;
    const refused = entries.at(-1)!.decision.alternatives.some((alternative) => alternative.refused !== null);
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
    case 'observed':
      return `heal.mode is observe: ${ended.action} would have been done, and nothing was.`;
    default:
      return `it was over after ${took}${ended.result === null ? '' : `: ${ended.result}`}.`;
  }
}
