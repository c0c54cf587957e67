/**
 * The recordings in test/data/tapes: what agents in the lab were told, and what they decide.
 *
 *     node tools/tapes.ts              says what the machines of today decide otherwise
 *     node tools/tapes.ts --write      accepts it: the decisions in the files become today's
 *     node tools/tapes.ts FILE NAME    makes NAME.jsonl.gz of a recording that a lab suite left (X0_LAB_LOGS)
 *
 * A change of the machines that changes decisions shows as a changed file, for whoever reads the change.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { headerLine, type Recording, readRecording, Scribe } from '../agent/record/format.ts';
import type { Turn } from '../agent/record/turns.ts';
import { replay } from '../agent/twin/replay.ts';

const FOLDER = join(import.meta.dirname, '../test/data/tapes');

/** With the decisions of today. What was heard stays: it is what came in. */
function redecided(recording: Recording): string {
  const scribe = new Scribe();
  const lines = [headerLine(recording)];
  const now: Turn[] = [];
  replay(recording, { onTurn: (turn) => now.push(turn), goOn: true });
  let next = 0;
  for (const turn of recording.turns)
    lines.push(
      'keyframe' in turn
        ? scribe.keyframe(turn.keyframe)
        : (scribe.line({ ...turn, decided: now[next++]!.decided }) ?? ''),
    );
  return `${lines.join('\n')}\n`;
}

const write = (name: string, text: string): void => writeFileSync(join(FOLDER, name), gzipSync(text, { level: 9 }));

const [from, name] = process.argv.slice(2);
if (from !== undefined && from !== '--write') {
  if (name === undefined) throw new Error('usage: node tools/tapes.ts FILE NAME');
  write(`${name}.jsonl.gz`, redecided(readRecording(readFileSync(from, 'utf8'))));
} else {
  for (const file of readdirSync(FOLDER).filter((one) => one.endsWith('.jsonl.gz'))) {
    const recording = readRecording(gunzipSync(readFileSync(join(FOLDER, file))).toString('utf8'));
    const { difference, turns, decisions } = replay(recording);
    if (difference === null) console.log(`${file}: ${turns} events, ${decisions} decisions: the same`);
    else {
      console.log(`${file}: event ${difference.turn} (${difference.event.type})`);
      console.log(`  then ${JSON.stringify(difference.expected)}\n  now  ${JSON.stringify(difference.got)}`);
      if (from === '--write') write(file, redecided(recording));
      else process.exitCode = 1;
    }
  }
}
