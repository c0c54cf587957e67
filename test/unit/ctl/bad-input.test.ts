/** Whatever is typed behind x0ctl: an error in a sentence that names what was wrong, and nothing that commands the terminal. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Command } from '../../../agent/ctl/command.ts';
import { COMMANDS } from '../../../agent/ctl/commands.ts';
import { inFull } from '../../../agent/ctl/completion.ts';
import { main } from '../../../agent/ctl/main.ts';
import { hear } from '../../../agent/host/http.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { FAULT, sources } from '../report/fixture.ts';
import { screen } from './screen.ts';

const HOSTILE = [
  '',
  ' ',
  '-',
  '\x1b[2J',
  '\x1b]0;owned\x07',
  '\u009b31m\u202e',
  'a\nb',
  '<script>alert(1)</script>',
  "';reboot;'",
  '$(reboot)',
  '../../etc/shadow/x',
  '__proto__',
  'NaN',
  '1e309',
  '99999999999999999999',
  '0x10',
  '-1',
  '1.5.5',
  'x'.repeat(100_000),
];
/** Those that change nothing, write no file and end by themselves: others are tried where they are tested. */
const TRIED = COMMANDS.filter(({ name }) =>
  [
    ...[
      'status',
      'nodes',
      'links',
      'probes',
      'topology',
      'ping',
      'traceroute',
      'throughput',
      'beacon',
      'xdp',
      'bpf explain',
    ],
    ...['heal log', 'heal explain', 'heal verify', 'heal mode', 'heal kick', 'record list', 'replay', 'twin what-if'],
    ...['config check', 'config migrate', 'config trial', 'completion', 'tunnels', 'workload', 'peers', 'twin run'],
  ].includes(name),
);
const PROPER: Readonly<Record<string, string>> = {
  FAULT: FAULT.id,
  NODE: 'nobody',
  QUESTION: 'kill 0b',
  FILE: '/nowhere',
  SCENARIO: '/nowhere',
  SHELL: 'bash',
};

async function run(argv: readonly string[]): Promise<{ status: number; said: string; err: string }> {
  const to = screen();
  const status = await main(argv, to);
  return { status, said: to.written, err: to.complained };
}

async function agent(t: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  const socket = join(folder, 's');
  const server = createServer(hear(sources(), new Metrics(), () => ({ name: 'uid 0', mayChange: true })));
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });
  return socket;
}

function answered({ status, said, err }: { status: number; said: string; err: string }, what: string): void {
  assert.ok([0, 1, 2, 3, 4, 5].includes(status), what);
  assert.match(said + err, /^[\x20-\x7e\n]*$/, what);
  assert.doesNotMatch(err, /invariant|is not a function|undefined|Cannot read prop/, `${what}: ${err}`);
  if (/^\{"version":1,"error"/.test(said)) return;
  if (status !== 0 && status !== 1) assert.match(err, /^x0ctl: .{5,1100}\n/, what);
}

const wordsOf = ({ arguments: names, least }: Command): string[] =>
  names
    .replaceAll(/[[\]]/g, '')
    .split(' ')
    .slice(0, least)
    .map((name) => PROPER[name] ?? name);

for (const command of TRIED) {
  const { name, options = {}, arguments: names, least, most } = command;
  const words = name.split(' ');

  test(`${name}: options with any value`, async (t) => {
    const socket = await agent(t);
    for (const [option, { type }] of Object.entries(options))
      for (const value of type === 'string' ? HOSTILE : ['1']) {
        const found = await run([...words, ...wordsOf(command), `--${option}=${value}`, '--socket', socket]);
        answered(found, `${name} --${option}=${value.slice(0, 40)}`);
        if (found.status === 2) assert.match(found.err, new RegExp(`--?${option}|NODE|${option}`), found.err);
      }
    for (const stranger of ['--nothing', '-x', '--__proto__', '--\x1b[31m', `--${'x'.repeat(9999)}`]) {
      const found = await run([...words, ...wordsOf(command), stranger, '--socket', socket]);
      answered(found, stranger);
      assert.equal(found.status, 2, stranger);
      assert.match(found.err, /there is no option|no option/i);
    }
  });

  test(`${name}: arguments of any kind`, async (t) => {
    const socket = await agent(t);
    if (most > 0)
      for (const value of HOSTILE) {
        const found = await run([...words, '--socket', socket, '--', value]);
        answered(found, `${name} ${value.slice(0, 40)}`);
        if (found.status === 2 && names !== '')
          assert.match(found.err, /[A-Z]{3,}|usage|there is no|expected/, found.err);
      }
    const few = await run([...words, '--socket', socket, ...wordsOf(command).slice(0, Math.max(0, least - 1))]);
    if (least > 0) assert.equal(few.status, 2);
    const many = await run([...words, '--socket', socket, ...Array<string>(most + 1).fill('x')]);
    assert.equal(many.status, 2, many.err);
    assert.match(many.err, /^x0ctl: (usage: x0ctl |MODE|there is)/);
  });
}

test('any line at all', async (t) => {
  const socket = await agent(t);
  const before = readdirSync('.');
  const known = TRIED.flatMap(({ name, options = {} }) => [
    ...name.split(' '),
    ...Object.keys(options).map((option) => `--${option}`),
  ]);
  const word = fc.oneof(
    fc.constantFrom(...known, '--json', '--help', '--version', 'help', '--', '-h'),
    fc.string({ maxLength: 20 }),
    fc.constantFrom(...HOSTILE),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 5 }), async (line) => {
      // The command that it would be, in full: only those above.
      const full = inFull(
        line.filter((one) => !one.startsWith('-') && one !== 'help'),
        COMMANDS,
      );
      const name = 'choices' in full ? '' : full.join(' ');
      if (COMMANDS.some((one) => !TRIED.includes(one) && `${name} `.startsWith(`${one.name} `))) return;
      answered({ ...(await run(['--socket', socket, ...line])) }, JSON.stringify(line).slice(0, 200));
    }),
    { numRuns: 300 },
  );
  assert.deepEqual(readdirSync('.'), before, 'no file was written');
});

test('what would be ignored is refused instead, before anything is done', async () => {
  const asked: readonly [line: readonly string[], says: RegExp][] = [
    [['topology', '--dot', '--json'], /exclude each other/],
    [['bpf', 'explain', '--dot', '--json'], /exclude each other/],
    [['replay', '/nowhere', '--log', '--json'], /exclude each other/],
    [['record', 'export', '-', '--json'], /exclude each other/],
    [['invite', '--qr', '--json'], /exclude each other/],
    [['completion', 'bash', '--json'], /--json/],
    [['join', 'text', '--anchor', '0123456789abcdef'], /--anchor goes with/],
    [['join', 'text', '--x509', '--anchor', '0123456789abcdef'], /--anchor goes with|TEXT alone/],
    [['join', '--x509', '--ssh-host-key', '--anchor', '0123456789abcdef'], /exclude each other/],
    [['mesh', 'revoke', 'attic', '--keep'], /--keep goes with --owner-key/],
    // Of a shell's variable that is not set: an empty ROUTER would be this one.
    [['mesh', 'steward', ''], /ROUTER, and one is empty/],
    [['mesh', 'steward', 'attic', '--owner-key', ''], /--owner-key: expected FILE, and it is empty/],
    [['mesh', 'init', '--name='], /--name: expected NAME, and it is empty/],
    [['invite', ''], /one is empty/],
    [['replay', ''], /one is empty/],
    [['config', 'check', ''], /one is empty/],
    [['status', '--socket='], /--socket: expected PATH, and it is empty/],
  ];
  for (const [words, says] of asked) {
    const { status, err, said } = await run([...words, ...(words.includes('status') ? [] : ['--socket', '/nowhere'])]);
    assert.equal(status, 2, `${words.join(' ')}: ${err}`);
    assert.match(err + said, says, words.join(' '));
  }
});

test('X0_SOCKET that is empty is one that is not set', async () => {
  const to = screen({ environment: { X0_SOCKET: '' } });
  await main(['status'], to);
  assert.doesNotMatch(to.complained, /no answer on : /);
});

test('wrong words are refused before anybody is asked', async () => {
  const asked: readonly string[][] = [
    ['heal', 'mode', 'nonsense'],
    ['heal', 'mode', 'nonsense', 'act'],
    ['heal', 'mode', 'link-lossy', 'nonsense'],
    ['heal', 'kick', 'nonsense'],
    ['heal', 'explain', 'e1 f1'],
    ['heal', 'log', '--limit', '0'],
    ['peers', 'attic', 'nonsense'],
    ['twin', 'what-if', 'burn', 'attic'],
    ['record', 'export', '-', '--id', 'x'],
    ['topology', '--from', 'attic'],
  ];
  for (const words of asked) {
    const { status, err } = await run([...words, '--socket', '/nowhere/at/all']);
    assert.equal(status, 2, `${words.join(' ')}: ${err}`);
  }
});
