import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LONG, Tally } from '../../tools/test.ts';

test('the summary: failures and skips with their reasons, then the counts alone on the last line', () => {
  const said: string[] = [];
  const tally = new Tally((line) => said.push(line));
  const report = tally.of('faults');
  report.pass('link down');
  report.pass('router dead');
  report.fail('mesh vanished', 'still gone after 60 s');
  report.skip('radio', 'this kernel has no mac80211_hwsim');
  assert.deepEqual(tally.summary().split('\n'), [
    'FAILED  faults: mesh vanished: still gone after 60 s',
    'skipped faults: radio: this kernel has no mac80211_hwsim',
    '2 passed, 1 failed, 1 skipped',
  ]);
  assert.equal(said.length, 2);
});

test('while the unit tests run a line says now and then how far they have come', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'x0-driver-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = [
    ['quick', "test('four', () => {}); test('five', () => {}); test('six', { skip: 'no' }, () => {});"],
    ['slow', "test('one', () => sleep(1)); test('two', () => sleep(1500)); test('three', () => sleep(1));"],
  ].map(([name, body]) => {
    const file = join(folder, `${name}.test.mjs`);
    const imports = "import { test } from 'node:test'; import { setTimeout as sleep } from 'node:timers/promises';";
    writeFileSync(file, `${imports}\n${body}\n`);
    return file;
  });
  const script = join(folder, 'driver.mjs');
  writeFileSync(
    script,
    `const { Tally, unit } = await import(${JSON.stringify(join(import.meta.dirname, '../../tools/test.ts'))});
    const tally = new Tally((line) => console.log(line));
    await unit(tally, ${JSON.stringify(files)}, 250);
    console.log(tally.summary());`,
  );
  // Not one of the files that this run itself is about.
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', env, timeout: 60_000 });
  const said = stdout.split('\n').filter((line) => line.includes('so far'));
  assert.ok(said.length >= 3, stdout + stderr);
  for (const line of said)
    assert.match(line, /^ *[\d.]+ s {2}unit tests: [012] of 2 files done, [0-5] tests passed so far$/);
  const counts = said.map((line) => Number(/done, (\d+)/.exec(line)![1]));
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  );
  assert.match(said.at(-1)!, /[12] of 2 files done, [2-5] tests/);
  assert.match(stdout, /^5 passed, 0 failed, 1 skipped$/m);
});

test('a file that never ends is ended and told, though what it left behind holds its pipes', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'x0-driver-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = [
    ['busy', "test('spins', () => { for (;;); });"],
    ['left', "test('fine', () => { spawn('sleep', ['20'], { stdio: 'inherit', detached: true }).unref(); });"],
  ].map(([name, body]) => {
    const file = join(folder, `${name}.test.mjs`);
    const imports = "import { test } from 'node:test'; import { spawn } from 'node:child_process';";
    writeFileSync(file, `${imports}\n${body}\n`);
    return file;
  });
  const script = join(folder, 'driver.mjs');
  writeFileSync(
    script,
    `const { Tally, unit } = await import(${JSON.stringify(join(import.meta.dirname, '../../tools/test.ts'))});
    const tally = new Tally((line) => console.log(line));
    await unit(tally, ${JSON.stringify(files)}, 10000, 4000);
    console.log(tally.summary());
    process.exit();`,
  );
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', env, timeout: 18_000 });
  assert.match(stdout, /^FAILED {2}unit: busy\.test\.mjs: still running after 4 s$/m, stderr);
  assert.match(stdout, /^1 passed, 1 failed, 0 skipped$/m, stderr);
});

test('what the quick part leaves out is there', () => {
  for (const name of LONG) assert.ok(existsSync(join(import.meta.dirname, `${name}.test.ts`)), name);
});
