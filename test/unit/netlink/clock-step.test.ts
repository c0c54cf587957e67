import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

test('a wall clock that is set does no harm to what the kernel stamped with it', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'x0-clock-c-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, 'clock-step');
  const source = join(import.meta.dirname, 'clock-step.c');
  const built = spawnSync('cc', ['-std=gnu11', '-Wall', '-Wextra', '-o', program, source], { encoding: 'utf8' });
  if (built.error !== undefined) return t.skip('there is no C compiler');
  assert.equal(built.status, 0, built.stderr);
  const { stdout } = spawnSync(program, { encoding: 'utf8', timeout: 10_000 });
  assert.equal(stdout, 'done\n');
});
