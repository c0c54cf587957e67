import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { COMMANDS } from '../../../agent/ctl/commands.ts';
import { calledAs, completion, inFull } from '../../../agent/ctl/completion.ts';
import { GLOBAL } from '../../../agent/ctl/help.ts';

const CTL = join(import.meta.dirname, '../../../agent/ctl.ts');

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('bash completes commands, their second words, options, and files', { skip: !existsSync('/bin/bash') }, () => {
  const cases: readonly (readonly [line: string[], words: RegExp])[] = [
    [['x0ctl', ''], /^status nodes .* help$/],
    [['x0ctl', 'he'], /^heal help$/],
    [['x0ctl', 'heal', ''], /^log explain verify mode kick$/],
    [['x0ctl', 'help', 'heal', 'l'], /^log$/],
    [['x0ctl', '--json', 'heal', 'log', '--l'], /^--limit$/],
    [['x0ctl', '--socket', '/tmp/x', 'heal', 'v'], /^verify$/],
    [['x0ctl', 'ping', '--re'], /^--record$/],
    [['x0ctl', 'status', '--'], /^--json --socket --version --help$/],
    [['x0ctl', 'replay', '/etc/host'], /\/etc\/hosts/],
    [['x0ctl', 'topology', '--file', '/etc/host'], /\/etc\/hosts/],
    [['x0ctl', 'nothing', 'x0'], /^$/],
  ];
  const script = `${completion('bash', COMMANDS, GLOBAL)}
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _x0ctl; echo "\${COMPREPLY[*]}"; }
${cases.map(([line]) => `try ${line.map((word) => `'${word}'`).join(' ')}`).join('\n')}
`;
  const said = execFileSync('/bin/bash', ['-c', script], { encoding: 'utf8', cwd: '/' }).split('\n');
  for (const [i, [line, words]] of cases.entries()) assert.match(said[i]!, words, line.join(' '));
});

test('for ash, links beside x0ctl that know what they are called', (t) => {
  const at = folder(t);
  const program = join(at, 'x0ctl');
  writeFileSync(program, `#!/bin/sh\nX0_CALLED=$0 exec '${process.execPath}' '${CTL}' "$@"\n`, { mode: 0o755 });
  // NODE_OPTIONS: older Nodes have to be told that types are to be stripped.
  const env = { PATH: `${at}:/usr/bin:/bin`, NODE_OPTIONS: process.env.NODE_OPTIONS ?? '' };
  execFileSync('sh', [], { input: completion('ash', COMMANDS, GLOBAL), env });
  assert.deepEqual(
    readdirSync(at).sort(),
    ['x0ctl', ...COMMANDS.map(({ name }) => `x0ctl-${name.replaceAll(' ', '-')}`)].sort(),
  );
  const { stdout } = spawnSync(join(at, 'x0ctl-config-check'), ['--help'], { encoding: 'utf8', env });
  assert.match(stdout, /^x0ctl config check \[FILE\]/);
  assert.deepEqual(calledAs('/usr/bin/x0ctl-twin-what-if', COMMANDS), ['twin', 'what-if']);
  for (const none of ['/usr/bin/x0ctl', 'x0ctl-', 'x0ctl-nothing', 'x0ctl.mjs', 'ax0ctl-status', '', 'x0ctl-__proto__'])
    assert.deepEqual(calledAs(none, COMMANDS), []);
});

test('unique beginnings stand for commands', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['st', 'status'],
    ['h l', 'heal log'],
    ['heal e e1-f1', 'heal explain e1-f1'],
    ['tw w cut self 9a', 'twin what-if cut self 9a'],
    ['ping st', 'ping st'],
    ['heal', 'heal'],
    ['nothing at all', 'nothing at all'],
    ['heal nothing', 'heal nothing'],
    ['', ''],
  ];
  for (const [typed, full] of cases)
    assert.deepEqual(inFull(typed === '' ? [] : typed.split(' '), COMMANDS), full === '' ? [] : full.split(' '), typed);
  assert.deepEqual(inFull(['re'], COMMANDS), { choices: ['record', 'replay'] });
  const { status, stderr } = spawnSync(process.execPath, [CTL, 're'], { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stderr, /^x0ctl: 're' may be record or replay\n/);
});
