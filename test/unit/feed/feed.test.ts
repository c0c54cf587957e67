/** What openwrt-feed/ holds, as far as no OpenWrt is needed: shell, JSON, versions, flags. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { COMMANDS as commands } from '../../../agent/ctl/commands.ts';
import { completion } from '../../../agent/ctl/completion.ts';
import { NODE_FLAGS } from '../../../agent/node-flags.ts';
import { vendored } from '../../../tools/release.ts';

const ROOT = join(import.meta.dirname, '../../..');
const FEED = join(ROOT, 'openwrt-feed');
const read = (path: string): string => readFileSync(join(FEED, path), 'utf8');

/** Everything that says it is shell, or is sourced by such. */
const SHELL = globSync('**/*', { cwd: FEED, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((file) => /^(#!\/bin\/sh|# .*\n(#.*\n)*# shellcheck shell)/.test(readFileSync(file, 'utf8')));

describe('shell', () => {
  const missing = (tool: string): string | false =>
    spawnSync(tool, ['--help']).error === undefined ? false : `${tool} is missing (Debian: ${tool})`;

  test('is what it is taken for', () => assert.ok(SHELL.length >= 5, SHELL.join(' ')));
  test('shellcheck has nothing to say', { skip: missing('shellcheck') }, () => {
    const { status, stdout } = spawnSync('shellcheck', ['--shell=dash', ...SHELL], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
  test('ash can read it', { skip: missing('busybox') }, () => {
    for (const file of SHELL) {
      const { status, stderr } = spawnSync('busybox', ['ash', '-n', file], { encoding: 'utf8' });
      assert.equal(status, 0, `${file}: ${stderr}`);
    }
  });
});

test('JSON is JSON', () => {
  const files = globSync('**/*.json', { cwd: FEED });
  assert.ok(files.length >= 2);
  for (const file of files) assert.doesNotThrow(() => JSON.parse(read(file)), file);
});

test('the capabilities are the same in all five sets, and those that the agent needs', () => {
  const sets = JSON.parse(read('x0tta6bl4/files/capabilities.json')) as Record<string, string[]>;
  assert.deepEqual(Object.keys(sets).sort(), ['ambient', 'bounding', 'effective', 'inheritable', 'permitted']);
  for (const set of Object.values(sets))
    assert.deepEqual(set, ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF', 'CAP_PERFMON', 'CAP_SYS_NICE']);
});

test('the service starts Node with the flags of agent/node-flags.ts', () => {
  const flags = /^NODE_FLAGS="(.*)"$/m.exec(read('x0tta6bl4/files/x0tta6bl4.init'))![1]!.split(' ');
  assert.deepEqual(flags, NODE_FLAGS);
});

test('the feed builds the version of package.json', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  assert.equal(/^X0_VERSION:=(.*)$/m.exec(read('release.mk'))![1], version);
});

test('every file that a Makefile installs from the feed is there', () => {
  for (const makefile of globSync('*/Makefile', { cwd: FEED })) {
    const folder = join(FEED, makefile, '..');
    for (const [, file] of read(makefile).matchAll(/ \.\/(files\/\S+)/g))
      assert.doesNotThrow(() => readFileSync(join(folder, file!)), `${makefile}: ${file}`);
  }
});

test('the packages are built with all that the release brings, and with nothing else', () => {
  const named = globSync('*/Makefile', { cwd: FEED }).flatMap((file) => {
    const words = /^X0_MODULES:=(.*)$/m.exec(read(file))?.[1] ?? '';
    // The bundler's binary is one of two, as the machine that builds needs it.
    const both = words.replace(/@esbuild\/linux-\$\(.*/, '@esbuild/linux-arm64 @esbuild/linux-x64');
    return both.split(' ').filter(Boolean);
  });
  const brought = vendored().map(({ name }) => name);
  assert.deepEqual([...new Set(named)].sort(), brought.sort());
});

test('the package has a link for each command, which ash completes', () => {
  const words = /sed -n '([^']+)' \$\(PKG_BUILD_DIR\)\/dist\/completion\.ash/.exec(read('x0tta6bl4/Makefile'))![1]!;
  const { stdout } = spawnSync('sed', ['-n', words], { input: completion('ash', commands, {}), encoding: 'utf8' });
  assert.deepEqual(
    stdout.trim().split(' '),
    commands.map(({ name }) => name.replaceAll(' ', '-')),
  );
});

describe('need-node.sh', () => {
  const node = (version: string, more = ''): string =>
    `Source-Makefile: feeds/x/node/Makefile\n\nPackage: node\n${more}Version: ${version}\n@@\n`;
  const cases: readonly (readonly [name: string, packages: string, config: string, said: RegExp | null])[] = [
    ['no feed has Node', 'Package: jq\nVersion: 1\n@@\n', '', /no package 'node' for routers.*src-git node https/],
    ['25.12: for the host only', node('22.23.2-r1', 'Build-Only: 1\n'), '', /no package 'node' for routers.*src-git/],
    [
      "24.10's own",
      node('20.20.2-r1'),
      'CONFIG_PACKAGE_node=y',
      /'node' here is 20\.20\.2-r1.*22\.13 or newer.*src-git/,
    ],
    ['just too old', node('22.12.0-r1'), 'CONFIG_PACKAGE_node=y', /22\.13 or newer/],
    [
      'not selected',
      node('24.19.0-r1'),
      '# CONFIG_PACKAGE_node is not set',
      /24\.19\.0-r1 is known here, but not selected/,
    ],
    ['no version at all', node(''), 'CONFIG_PACKAGE_node=y', /no package 'node'/],
    ['a version of letters', node('git-r1'), 'CONFIG_PACKAGE_node=y', /22\.13 or newer/],
    ['old enough', node('22.13.0-r1'), 'CONFIG_PACKAGE_node=m', null],
    ['two feeds', node('20.20.2-r1') + node('24.19.0-r1'), 'CONFIG_PACKAGE_node=y', null],
    ['no list of packages', '', '', /no package 'node'/],
  ];
  for (const [name, packages, config, said] of cases)
    test(name, () => {
      const top = mkdtempSync(join(tmpdir(), 'x0-top-'));
      try {
        mkdirSync(join(top, 'tmp'));
        if (packages !== '') writeFileSync(join(top, 'tmp/.packageinfo'), packages);
        writeFileSync(join(top, '.config'), `${config}\n`);
        const shell = spawnSync('busybox').error === undefined ? ['busybox', 'ash'] : ['sh'];
        const { status, stderr } = spawnSync(shell[0]!, [...shell.slice(1), join(FEED, 'need-node.sh'), top], {
          encoding: 'utf8',
        });
        assert.equal(status, said === null ? 0 : 1, stderr);
        if (said === null) assert.equal(stderr, '');
        else assert.match(stderr, said);
        assert.ok(stderr.split('\n').length <= 2, 'one sentence, one line');
      } finally {
        rmSync(top, { recursive: true });
      }
    });
});
