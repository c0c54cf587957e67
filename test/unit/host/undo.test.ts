import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Log } from '../../../agent/core/log.ts';
import { startUndo } from '../../../agent/host/undo.ts';
import { undoScene, until } from './help.ts';

const MESSAGE = Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

function scene(t: TestContext) {
  const lines: string[] = [];
  return { ...undoScene(t), lines, log: new Log('debug', (line) => void lines.push(line)) };
}

test('no helper: nothing is thrown but what arm says, and it is tried again until there is one', async (t) => {
  const { lines, log, told, install } = scene(t);
  const undo = startUndo(log);
  assert.equal(undo.alive(), false);
  assert.throws(() => undo.arm('a', 0, MESSAGE, 0), { code: 'E_SOCKET' });
  assert.deepEqual(undo.armed(), [], 'what was refused is not held');
  await until('tried again', () => lines.length >= 3);
  const pauses = lines.map((line) => Number(/again_ms=(\d+)/.exec(line)?.[1]));
  assert.ok(pauses[0]! < pauses[1]! && pauses[1]! < pauses[2]!, pauses.join());
  install();
  await until('alive', () => undo.alive());
  undo.arm('a', 0, MESSAGE, 0);
  await until('told', () => told(1).length > 0);
  undo.disarm('a');
  undo.close();
});

test('a helper that is killed: arm refuses until another one is there, which is told what is held', async (t) => {
  const { log, told, pid, install } = scene(t);
  install();
  const undo = startUndo(log);
  undo.arm('a', 0, MESSAGE, 0);
  undo.arm('b', 0, MESSAGE, 0);
  undo.arm('a', 0, MESSAGE, 0);
  await until('three records', () => told(1).length === 3 * (12 + MESSAGE.length));
  process.kill(pid(1), 'SIGKILL');
  await until('gone', () => !undo.alive());
  assert.throws(() => undo.arm('c', 0, MESSAGE, 0), { code: 'E_SOCKET' });
  await until('another', () => told(2).length === 2 * (12 + MESSAGE.length));
  assert.deepEqual(undo.armed(), ['b', 'a']);
  const ids = [8, 8 + 12 + MESSAGE.length].map((at) => told(2).readUInt32LE(at));
  assert.deepEqual(ids, [2, 1], 'in the order of arming, what was replaced last');
  undo.disarm('a');
  undo.disarm('b');
  undo.close();
});

test('a program that cannot be run is no helper', async (t) => {
  const { lines, log, program } = scene(t);
  // There, and not to be executed: the system says so only after the start.
  writeFileSync(program, 'no program', { mode: 0o644 });
  const undo = startUndo(log);
  assert.throws(() => undo.arm('a', 0, MESSAGE, 0), { code: 'E_SOCKET' });
  await until('said', () => lines.length >= 2);
  assert.equal(undo.alive(), false);
  assert.match(lines[0]!, /EACCES/);
  undo.close();
});
