/** `make run` without a terminal, over a kernel that only says what one would: how it ends, and what it leaves running. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { umlMissing } from '../../../tools/lab/uml.ts';
import type { Event } from '../../../tools/run/story.ts';
import { cost, decision, fault, MESH, MS, probe } from './events.ts';

const ROOT = join(import.meta.dirname, '../../..');
const missing = umlMissing() ?? (existsSync(join(ROOT, 'tools/lab/build/tether')) ? undefined : 'the lab is not built');
const skip = missing ?? false;

const STORY: readonly Event[] = [
  MESH,
  fault(0, 'cut', false),
  cost(0, 4600, { after: [0, 4, 3, 2], frames: 0 }),
  fault(1, 'cut', true, 100_000 * MS),
  decision(1, { heardAt: 100_001 * MS }),
  cost(1, 40, { after: [0, 4, 3, 2], frames: 96 }),
];
const LOST = STORY.map((event) => (event.type === 'cost' ? { ...event, recovered: false } : event));

interface Ended {
  readonly code: number | string;
  readonly said: string;
  /** Whether the program in the kernel's place still runs, or its directory is still there. */
  readonly left: boolean;
}

/** Plays `events` in a kernel that then goes on for ever, or ends with `exit`. */
async function play(
  t: TestContext,
  events: readonly Event[],
  { exit, meanwhile }: { exit?: number; meanwhile?: (child: ChildProcess) => void } = {},
): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'x0-run-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'events'), events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  writeFileSync(
    join(folder, 'linux.uml'),
    `#!/bin/sh
echo $$ >'${folder}/pid'
printf '\\036lab-start\\n' >&4
cat '${folder}/events' >&4
${exit === undefined ? '' : `printf '\\036lab-exit ${exit}\\n' >&4`}
exec sleep 60
`,
    { mode: 0o755 },
  );
  // Not one of the files that this run of tests is about.
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, TMPDIR: folder, NODE_TEST_CONTEXT: undefined };
  const child = spawn(process.execPath, [join(ROOT, 'tools/run/main.ts')], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env,
  });
  let said = '';
  child.stdout.on('data', (data) => {
    said += data;
    if (said.includes('traffic went')) meanwhile?.(child);
  });
  const code = await new Promise<number | string>((resolve) =>
    child.once('exit', (status, signal) => resolve(status ?? signal ?? 'nothing')),
  );
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
  const isLeft = () => isThere(pid) || readdirSync(folder).some((name) => name.startsWith('x0-uml-'));
  // Who holds it ends a moment later.
  for (const end = Date.now() + 5000; isLeft() && Date.now() < end; ) await sleep(20);
  return { code, said, left: isLeft() };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('it exits with 0 where the mesh recovered, and prints its report', { skip }, async (t) => {
  const { code, said, left } = await play(t, [...STORY, { type: 'told' }]);
  assert.deepEqual([code, left], [0, false], said);
  assert.match(said, /times shorter +115/);
  assert.match(said, /The mesh recovered from every fault of the story; with the agents within 40 ms\.\n$/);
});

test('it exits with 1 where it did not, where nothing gets through at the end, and where the kernel ends early', {
  skip,
}, async (t) => {
  const lost = await play(t, [...LOST, { type: 'told' }]);
  assert.deepEqual([lost.code, lost.left], [1, false]);
  assert.match(lost.said, /outage with agents +over 40 ms/);
  assert.match(lost.said, /traffic from r0 to r2 was still lost 40 ms after link r1-r2 cut\.\n$/);
  const silent = Array.from({ length: 10 }, (_, i) => probe(200_000 * MS + i, 50));
  const dumb = await play(t, [...STORY, ...silent, { type: 'told' }]);
  assert.deepEqual([dumb.code, dumb.left], [1, false]);
  assert.match(dumb.said, /nothing got through from r0 to r2\.\n$/);
  const early = await play(t, STORY, { exit: 3 });
  assert.deepEqual([early.code, early.left], [1, false]);
  assert.match(early.said, /The story did not come to its end\. The kernel of the lab ended with 3 while it said: /);
});

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  test(`${signal} ends it with what it started, and what was measured is shown`, { skip }, async (t) => {
    const { code, said, left } = await play(t, STORY, { meanwhile: (child) => child.kill(signal) });
    assert.deepEqual([code, left], [status, false]);
    assert.match(said, /outage without agents/);
  });

test('a reader that goes away ends it with what it started, and that is no success', { skip }, async (t) => {
  const { code, left } = await play(t, STORY, { meanwhile: ({ stdout }) => stdout!.destroy() });
  assert.deepEqual([code, left], [141, false]);
});

test('its own sudden death leaves nothing running either', { skip }, async (t) => {
  const { code, left } = await play(t, STORY, { meanwhile: (child) => child.kill('SIGKILL') });
  assert.deepEqual([code, left], ['SIGKILL', false]);
});
