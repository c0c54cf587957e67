/**
 * The recordings of a scenario's agents: where they lie in the lab's kernel, and whether they replay. Inside they are on a
 * file system of their own, so that they can take so much of its memory and no more: one that finds no room ends
 * early, and replays as far as it goes. So does that of an agent that was killed.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readRecording } from '../../agent/record/format.ts';
import { replay } from '../../agent/twin/replay.ts';

/** Of the kernel's memory, for each agent. An agent of a small ring writes some 5 MiB an hour, more while there are faults. */
export const TAPE_MIB = 10;
/** A decision in a problem's words: as much as tells which it is. */
const SHOWN = 400;

/** The file of a router's n-th start, from 1. */
export const tapeName = (router: number, start: number): string => `r${router}-${start}.jsonl`;

/** Whether there is room for more on the file system of a directory. */
export const hasRoom = (dir: string): boolean => statfsSync(dir).bavail > 0;

export interface Replays {
  readonly recordings: number;
  readonly events: number;
  readonly decisions: number;
  /** Those that do not replay to what was decided, or cannot be read, in words. */
  readonly problems: readonly string[];
}

/**
 * Replays every recording of a directory, one at a time. Those that do not replay are kept in `keep`, or, where that is
 * not given, in a new directory below the system's for temporary files: the problem names the file.
 */
export function replayTapes(dir: string, keep?: string): Replays {
  const problems: string[] = [];
  let [recordings, events, decisions] = [0, 0, 0];
  let kept = keep;
  for (const name of readdirSync(dir)
    .filter((one) => one.endsWith('.jsonl'))
    .sort()) {
    const file = join(dir, name);
    const text = readFileSync(file, 'utf8');
    // Killed before it had begun.
    if (text === '') continue;
    recordings++;
    const why = (() => {
      try {
        const { difference, ...told } = replay(readRecording(text));
        events += told.turns;
        decisions += told.decisions;
        if (difference === null) return null;
        const { turn, event, expected, got } = difference;
        return `event ${turn} (${event.type}): decided then ${shown(expected)}, now ${shown(got)}`;
      } catch (thrown) {
        return (thrown as Error).message;
      }
    })();
    if (why === null) continue;
    if (keep !== undefined) mkdirSync(keep, { recursive: true });
    kept ??= mkdtempSync(join(tmpdir(), 'x0lab-tapes-'));
    const copy = join(kept, `tape-${name}`);
    copyFileSync(file, copy);
    const [, router, start] = /^(r\d+)-(\d+)/.exec(basename(name)) ?? [null, name, '1'];
    problems.push(`the recording of ${router}, start ${start}, does not replay (${copy}): ${why}`);
  }
  return { recordings, events, decisions, problems };
}

function shown(output: unknown): string {
  const text = JSON.stringify(output);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
}
