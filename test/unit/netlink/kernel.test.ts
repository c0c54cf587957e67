/** The shim, the connection and the undo helper on this machine's own kernel. Needs root; see scenarios.ts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { native, undoHelperPath } from '../../../agent/host/native.ts';
import { SCENARIOS } from './scenarios.ts';

function obstacle(): string | false {
  try {
    native();
    undoHelperPath();
  } catch (error) {
    return (error as Error).message;
  }
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  if (spawnSync('unshare', ['-n', 'true']).status !== 0) return 'this kernel or container gives no network namespace';
  return false;
}

const skip = obstacle();
const file = new URL('./scenarios.ts', import.meta.url).pathname;
const { NODE_TEST_CONTEXT: _, ...env } = process.env;

for (const name of Object.keys(SCENARIOS)) {
  if (name === 'agent-that-arms') continue; // the victim of another one
  test(name, { skip, timeout: 60_000 }, () => {
    const { status, signal, stderr } = spawnSync('unshare', ['-n', process.execPath, file, name], {
      encoding: 'utf8',
      timeout: 50_000,
      env,
    });
    assert.equal(status, 0, `${signal ?? ''} ${stderr}`);
  });
}
