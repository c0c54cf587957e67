import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

test('x0undo takes the word of the kernel only, and reads no further than a message goes', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'x0-undo-c-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, 'undo-answer');
  const source = join(import.meta.dirname, 'undo-answer.c');
  const built = spawnSync('cc', ['-std=gnu11', '-Wno-unused-function', '-o', program, source], { encoding: 'utf8' });
  if (built.error !== undefined) return t.skip('there is no C compiler');
  assert.equal(built.status, 0, built.stderr);
  const { stdout } = spawnSync(program, { encoding: 'utf8', timeout: 10_000 });
  assert.equal(stdout, 'aligned past the end: 1\nnot the kernel: 1\n');
});
