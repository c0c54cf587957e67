/** What brings and finds the tools: tools/setup.sh and tools/node. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const TOOLS = join(import.meta.dirname, '../../tools');

function place(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'x0-setup-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('tools/node: a Node that is new enough runs, told to strip types where it does not by itself', (t) => {
  const folder = place(t);
  const run = (version: string) => {
    writeFileSync(
      join(folder, 'node'),
      `#!/bin/sh\n[ "$1" = --version ] && echo ${version} || echo "$NODE_OPTIONS:$*"\n`,
      {
        mode: 0o755,
      },
    );
    // A copy, beside which there is no Node of the project's own.
    writeFileSync(join(folder, 'run'), readFileSync(join(TOOLS, 'node')), { mode: 0o755 });
    const env = { PATH: `${folder}:/usr/bin:/bin`, NODE_OPTIONS: '--mine' };
    const { status, stdout, stderr } = spawnSync(join(folder, 'run'), ['x.ts'], { encoding: 'utf8', env });
    return { status, stdout: stdout.trim(), stderr };
  };
  const told = '--experimental-strip-types --disable-warning=ExperimentalWarning --mine:x.ts';
  const plain = '--mine:x.ts';
  const cases: readonly (readonly [version: string, runs: string | null])[] = [
    ['v18.20.4', null],
    ['v20.19.0', null],
    ['v22.1.0', null],
    ['v22.9.0', null],
    ['v22.12.0', null],
    ['v22.13.0', told],
    ['v22.17.1', told],
    ['v22.18.0', plain],
    ['v22.20.0', plain],
    ['v23.0.0', told],
    ['v23.5.0', told],
    ['v23.6.0', plain],
    ['v23.11.1', plain],
    ['v24.0.0', plain],
    ['v26.10.0', plain],
    ['v30.1.0', plain],
  ];
  for (const [version, runs] of cases) {
    const { status, stdout, stderr } = run(version);
    assert.equal(status, runs === null ? 127 : 0, `${version} ${stderr}`);
    if (runs === null) assert.match(stderr, /22\.13 or newer is missing/);
    else assert.equal(stdout, runs, version);
  }
});

test('tools/setup.sh: what can be done without is tried once, but only where it could be tried', (t) => {
  const folder = place(t);
  mkdirSync(join(folder, '.cache'));
  const script = readFileSync(join(TOOLS, 'setup.sh'), 'utf8');
  const body = /^may_have\(\) \{\n[\s\S]*?^\}/m.exec(script)![0];
  const run = (root: string, installs: boolean) => {
    const text = `set -euo pipefail
      have() { [ "$1" = apt-get ]; }
      say() { echo "say $*"; }
      install() { echo "install $*"; ${installs}; }
      root=(${root})
      ${body}
      may_have nothing-like-it 'much is lost' some-package other-package`;
    const { status, stdout, stderr } = spawnSync('bash', ['-c', text], { cwd: folder, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stdout.split('\n').filter((line) => line.startsWith('install')).length;
  };
  const mark = join(folder, '.cache/without-nothing-like-it');
  assert.equal(run('', true), 0, 'who is not root');
  assert.equal(existsSync(mark), false);
  assert.equal(run('env', true), 1, 'root, later');
  assert.equal(existsSync(mark), false);
  assert.equal(run('env', false), 1, 'it fails');
  assert.equal(existsSync(mark), true);
  assert.equal(run('env', true), 0, 'and is not tried again');
});
