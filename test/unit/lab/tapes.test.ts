/** The recordings that a scenario's agents leave, replayed after the kernel has ended. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { replayed } from '../../../tools/lab/play.ts';
import type { Played } from '../../../tools/lab/played.ts';
import { replayTapes, tapeName } from '../../../tools/lab/tapes.ts';

const TAPE = join(import.meta.dirname, '../../data/tapes/ring-ends.jsonl.gz');
const whole = gunzipSync(readFileSync(TAPE)).toString('utf8');
const played: Played = {
  agent: 'on',
  flowingMs: 0,
  durationMs: 0,
  problems: ['before'],
  faults: [],
  probes: [],
  journal: [],
  agents: [{ router: 0, state: 'running', exit: null }],
  reach: [],
  drift: [],
};

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'x0-tapes-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('what agents left replays: to its end, or to where a killed agent was cut off', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, tapeName(0, 1)), whole);
  const lines = whole.split('\n');
  writeFileSync(join(dir, tapeName(0, 2)), `${lines.slice(0, 900).join('\n')}\n${lines[900]!.slice(0, 20)}`);
  writeFileSync(join(dir, tapeName(3, 1)), '');
  const said: string[] = [];
  const { problems } = replayed(played, dir, (text) => void said.push(text));
  assert.deepEqual(problems, ['before']);
  const turns = lines.length - 2;
  assert.match(said[0]!, new RegExp(`^2 recordings replayed: ${turns + 899} events, \\d+ decisions$`));
});

test('one that decides otherwise is a problem that names router, start and event, and is kept; so is a damaged one', (t) => {
  const [dir, keep] = [folder(t), folder(t)];
  const changed = whole.replace('"step":"planned"', '"step":"verified"');
  assert.notEqual(changed, whole);
  writeFileSync(join(dir, tapeName(2, 3)), changed);
  writeFileSync(join(dir, tapeName(4, 1)), whole.replace('\n[', '\n{'));
  writeFileSync(join(dir, tapeName(5, 1)), whole);
  const { recordings, problems } = replayTapes(dir, keep);
  assert.equal(recordings, 3);
  assert.equal(problems.length, 2);
  assert.match(problems[0]!, /of r2, start 3, does not replay \(.*tape-r2-3\.jsonl\): event \d+ .*verified.*planned/);
  assert.match(problems[1]!, /of r4, start 1, .*line 2: no JSON/);
  assert.deepEqual(readdirSync(keep).sort(), ['tape-r2-3.jsonl', 'tape-r4-1.jsonl']);
  assert.equal(readFileSync(join(keep, 'tape-r2-3.jsonl'), 'utf8'), changed);
});

test('agents of which none has left a recording are a problem as well', (t) => {
  assert.deepEqual(replayed(played, folder(t)).problems, ['before', 'no agent has left a recording']);
});
