/** Recordings of real agents on a real kernel (test/data/tapes). */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SECOND } from '../../../agent/core/time.ts';
import { headerLine, type Recording, readRecording, Scribe } from '../../../agent/record/format.ts';
import { Known } from '../../../agent/record/known.ts';
import type { Turn } from '../../../agent/record/turns.ts';
import { replay } from '../../../agent/twin/replay.ts';

const FOLDER = join(import.meta.dirname, '../../data/tapes');
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith('.jsonl.gz'));
const textOf = (file: string): string => gunzipSync(readFileSync(join(FOLDER, file))).toString('utf8');

/** The same, as the flight recorder would have it if its memory reached back so far. */
function cutTo(recording: Recording, seconds: number): Recording {
  const turns = recording.turns as readonly Turn[];
  const begin = turns.findIndex(({ now }) => now >= turns[0]!.now + seconds * SECOND);
  const known = new Known();
  for (const turn of turns.slice(0, begin)) known.take(turn);
  const scribe = new Scribe();
  const lines = [headerLine({ ...recording, begins: 'later' }), scribe.keyframe(known.keyframe(turns[begin]!.now))];
  for (const turn of turns.slice(begin)) lines.push(scribe.line(turn) ?? '');
  return readRecording(`${lines.join('\n')}\n`);
}

test('there are some', () => assert.ok(FILES.length >= 3));

for (const file of FILES) {
  const text = textOf(file);
  const recording = readRecording(text);

  test(`${file} replays to the same decisions`, () => {
    const { difference, decisions, uncompared } = replay(recording);
    assert.equal(
      difference,
      null,
      'tools/tapes.ts says what the machines decide otherwise, and accepts it with --write',
    );
    assert.ok(decisions >= 5 && uncompared === 0, `${decisions} decisions`);
  });

  test(`${file} replays from any time on`, () => {
    let decisions = 0;
    for (const seconds of [3, 15, 33, 61]) {
      const done = replay(cutTo(recording, seconds));
      assert.equal(done.difference, null, `${seconds} s: ${JSON.stringify(done.difference)}`);
      decisions += done.decisions;
    }
    assert.ok(decisions >= 5, `${decisions}`);
  });

  test(`${file} is written as it was read`, () => {
    const scribe = new Scribe();
    const lines = recording.turns.map((turn) =>
      'keyframe' in turn ? scribe.keyframe(turn.keyframe) : scribe.line(turn),
    );
    assert.equal([headerLine(recording), ...lines, ''].join('\n'), text);
  });

  test(`${file} tells no secret`, () => {
    // A key or a seal of one would be a long run of hexadecimal that is no frame of batman-adv's.
    const runs = text.replaceAll(/"type":"ogm-sent","frame":"[0-9a-f]*"/g, '').match(/[0-9a-f]{24,}/g) ?? [];
    assert.deepEqual([...new Set(runs)], ['00'.repeat(32)]);
  });
}
