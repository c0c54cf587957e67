/** `x0ctl replay`: a recording played again by the machines of this x0ctl. */
import { constants, gunzipSync } from 'node:zlib';
import { AgentError } from '../core/errors.ts';
import type { WorldEvent } from '../core/event.ts';
import { SECOND } from '../core/time.ts';
import { type Recording, readRecording } from '../record/format.ts';
import type { Output, Turn } from '../record/turns.ts';
import { counted } from '../twin/fields.ts';
import { type Difference, type Replayed, replay } from '../twin/replay.ts';
import { readNamed } from './file.ts';
import { clean, fold, plainJson, type Terminal } from './terminal.ts';

const MOST_BYTES = 256 * 1024 * 1024;
/** A string of JavaScript holds no more. */
const MOST_TEXT = 500_000_000;

/** Answers the exit status: 1 for a difference. */
export function replayFile(file: string, to: Terminal, json: boolean, log: boolean): number {
  const { recording, isCut } = open(file);
  const began = timeOf(recording);
  const done = replay(recording, {
    onTurn: (turn) => {
      if (log && !json) to.out(logLines(turn, began));
    },
  });
  if (done.turns === 0) throw new AgentError('E_RECORDING', `${file}: there is nothing in it to play`);
  const cut = isCut ? 'the end of the file is missing: what is whole of it was played\n' : '';
  to.out(
    json
      ? `${plainJson({ version: 1, ...shown(done), agent: recording.agent, cut: isCut })}\n`
      : fold(cut + reportText(done, recording), to),
  );
  return done.difference === null ? 0 : 1;
}

function open(file: string): { readonly recording: Recording; readonly isCut: boolean } {
  const bytes = readNamed(file, MOST_BYTES);
  try {
    const { text, isCut } = textOf(bytes);
    return { recording: readRecording(text), isCut: isCut || !text.endsWith('\n') };
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.code !== 'E_RECORDING') throw thrown;
    throw new AgentError('E_RECORDING', `${file}: ${thrown.message}`, thrown.detail, { cause: thrown });
  }
}

/** A file that was being written when the power went ends anywhere: what is there of it counts. */
function textOf(bytes: Uint8Array): { readonly text: string; readonly isCut: boolean } {
  try {
    const { plain, isCut } = unpacked(bytes);
    // Streaming: a character that was cut in two at the end is no damage.
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(plain, { stream: true }), isCut };
  } catch (thrown) {
    throw new AgentError('E_RECORDING', `no recording of x0tta6bl4: ${(thrown as Error).message}`);
  }
}

function unpacked(bytes: Uint8Array): { readonly plain: Uint8Array; readonly isCut: boolean } {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isGzip) return { plain: bytes, isCut: false };
  try {
    return { plain: gunzipSync(bytes, { maxOutputLength: MOST_TEXT }), isCut: false };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'Z_BUF_ERROR') throw thrown;
    const plain = gunzipSync(bytes, { maxOutputLength: MOST_TEXT, finishFlush: constants.Z_SYNC_FLUSH });
    return { plain, isCut: true };
  }
}

function timeOf({ turns }: Recording): number {
  for (const turn of turns) {
    const at = 'keyframe' in turn ? turn.keyframe[0]?.[0] : turn.now;
    if (at !== undefined) return at;
  }
  return 0;
}

function logLines({ now, decided }: Turn, began: number): string {
  return decided
    .filter((output) => 'journal' in output)
    .map((output) => `${clean(`${seconds(now - began).padStart(10)}  ${outputText(output)}`)}\n`)
    .join('');
}

function reportText(done: Replayed, { agent, begins }: Recording): string {
  const { turns, durationNs, decisions, uncompared, machines, difference } = done;
  const lines = [`recorded by agent ${agent}${begins === 'later' ? ', which had begun before' : ''}`];
  if (machines.length > 0) lines.push(`with other machines than these: ${machines.join(', ')}`);
  if (uncompared > 0)
    lines.push(`${uncompared} decisions rest on what was before the recording and could not be compared`);
  const played = `${counted(turns, 'event')} over ${seconds(durationNs)}, ${counted(decisions, 'decision')}`;
  if (difference === null) lines.push(`${played}: the same again`);
  else lines.push(`${played} to the first difference:`, ...differenceLines(difference));
  if (difference !== null && begins === 'later') lines.push('it may rest on what was before the recording');
  return lines.map((line) => `${clean(line)}\n`).join('');
}

function differenceLines({ turn, event, afterNs, expected, got }: Difference): string[] {
  const lines = [`event ${turn}, after ${seconds(afterNs)}: ${eventText(event)}`];
  const [was, is] = [expected, got].map((output) => (output === null ? 'nothing' : outputText(output)));
  lines.push(`  then  ${was}`, `  now   ${is}`);
  if (was !== is || expected === null || got === null) return lines;
  const [where, a, b] = firstDifference(expected, got) ?? ['', '', ''];
  return [...lines, `  they differ in ${where}: ${a} then, ${b} now`];
}

/** The path of the first member that is not the same. */
function firstDifference(a: unknown, b: unknown, at = ''): [string, string, string] | null {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    const [one, other] = [JSON.stringify(a) ?? 'nothing', JSON.stringify(b) ?? 'nothing'];
    return one === other ? null : [at, one, other];
  }
  const [left, right] = [a, b] as Record<string, unknown>[];
  for (const key of new Set([...Object.keys(left!), ...Object.keys(right!)])) {
    const found = firstDifference(left![key], right![key], at === '' ? key : `${at}.${key}`);
    if (found !== null) return found;
  }
  return null;
}

function outputText(output: Output): string {
  if ('send' in output) return `${counted(output.send.length, 'frame')} sent, over interfaces ${output.send.join(' ')}`;
  if ('change' in output) return `change ${output.change.id}: ${JSON.stringify(output.change.change)}`;
  const { fault, step, action, result, why } = output.journal;
  const about = [fault?.id, fault?.class, fault?.interface, fault?.peer].filter((part) => part != null).join(' ');
  return `${about}: ${step}${action === 'none' ? '' : ` ${action}`}: ${result ?? why}`;
}

function eventText(event: WorldEvent): string {
  switch (event.type) {
    case 'link':
      return `link ${event.link.name} (${event.link.index}): ${event.link.up ? 'up' : 'down'}, ${event.link.carrier ? 'carrier' : 'no carrier'}, master ${event.link.master}`;
    case 'tables':
      return `tables read: ${counted(event.tables.originators.length, 'path')}, ${counted(event.tables.neighbours.length, 'neighbour')}`;
    case 'change-done':
      return `change ${event.id} done${event.error === null ? '' : `: ${event.error}`}`;
    default:
      return event.type;
  }
}

function shown({ difference, ...rest }: Replayed): object {
  return {
    ...rest,
    difference:
      difference === null
        ? null
        : {
            ...difference,
            event: difference.event.type,
            inWords: differenceLines(difference).map((line) => clean(line)),
          },
  };
}

function seconds(ns: number): string {
  return `${(ns / SECOND).toFixed(3)} s`;
}
