/** tools/release.ts in a small repository of its own, whose lock has no npm packages: no network. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';

const MISSING = ['git', 'tar', 'gzip', 'make'].find((tool) => spawnSync(tool, ['--version']).error !== undefined);

const FILES: Record<string, string> = {
  'package.json': '{ "name": "x", "type": "module", "version": "1.2.3" }',
  'package-lock.json': '{ "packages": {} }',
  'openwrt-feed/source.mk': 'X0_SOURCES:=package.json package-lock.json agent\n',
  'openwrt-feed/release.mk': 'X0_VERSION:=0\nX0_HASH:=0\n',
  'agent/daemon.ts': '// committed\n',
  'README.md': 'committed\n',
};

class Repository {
  readonly top = mkdtempSync(join(tmpdir(), 'x0-release-'));

  constructor(t: TestContext) {
    t.after(() => rmSync(this.top, { recursive: true }));
    for (const [file, text] of Object.entries(FILES)) this.write(file, text);
    mkdirSync(join(this.top, 'tools'));
    copyFileSync(join(import.meta.dirname, '../../../tools/release.ts'), join(this.top, 'tools/release.ts'));
    for (const line of ['init -q', 'add -A', '-c user.name=x -c user.email=x@x.invalid commit -qm x'])
      execFileSync('git', line.split(' '), { cwd: this.top });
  }

  write(file: string, text: string): void {
    mkdirSync(join(this.top, dirname(file)), { recursive: true });
    writeFileSync(join(this.top, file), text);
  }

  release(...args: string[]): { readonly status: number | null; readonly said: string; readonly made: boolean } {
    const { status, stderr } = spawnSync(process.execPath, ['tools/release.ts', '--out', 'made', ...args], {
      cwd: this.top,
      encoding: 'utf8',
    });
    const made = existsSync(join(this.top, 'made/x0tta6bl4-1.2.3.tar.gz'));
    rmSync(join(this.top, 'made'), { recursive: true, force: true });
    return { status, said: stderr, made };
  }
}

const options = { skip: MISSING !== undefined && `${MISSING} is missing` };

test('a release is its commit: with a source of it edited, staged or deleted there is none', options, (t) => {
  for (const edit of [
    (it: Repository) => it.write('agent/daemon.ts', '// not committed\n'),
    (it: Repository) => {
      it.write('agent/daemon.ts', '// staged\n');
      execFileSync('git', ['add', '-A'], { cwd: it.top });
    },
    (it: Repository) => rmSync(join(it.top, 'agent/daemon.ts')),
  ]) {
    const repository = new Repository(t);
    edit(repository);
    const { status, said, made } = repository.release('--write');
    assert.equal(status, 1, said);
    assert.equal(said, 'release: not committed: agent/daemon.ts. Commit or stash first; no archive was made.\n');
    assert.equal(made, false);
  }
});

test('what decides on its contents counts, too', options, (t) => {
  const repository = new Repository(t);
  repository.write('openwrt-feed/source.mk', 'X0_SOURCES:=package.json\n');
  assert.match(repository.release().said, /^release: not committed: openwrt-feed\/source\.mk\. /);
});

test(
  'what is not in it may be as it likes: other files, untracked ones, the hash that --write has put there',
  options,
  (t) => {
    const repository = new Repository(t);
    repository.write('README.md', 'edited\n');
    repository.write('agent/draft.ts', '// nobody knows this one yet\n');
    for (let n = 0; n < 2; n++) {
      const { status, said, made } = repository.release('--write');
      assert.equal(status, 0, said);
      assert.ok(made);
    }
  },
);

test('beside the archive lies the feed that builds from it, and knows its hash', options, (t) => {
  const repository = new Repository(t);
  const { top } = repository;
  repository.write('openwrt-feed/release.mk', 'X0_VERSION:=9\nX0_URL:=\nX0_HASH:=skip\n');
  const make = () => {
    const args = ['tools/release.ts', '--out', 'made', '--url', 'https://example.org/$&'];
    execFileSync(process.execPath, args, { cwd: top, stdio: 'pipe' });
    return readFileSync(join(top, 'made/x0tta6bl4-feed-1.2.3.tar.gz'));
  };
  const feed = make();
  execFileSync('tar', ['-xzf', 'made/x0tta6bl4-feed-1.2.3.tar.gz', '-C', 'made'], { cwd: top });
  const sha256 = createHash('sha256')
    .update(readFileSync(join(top, 'made/x0tta6bl4-1.2.3.tar.gz')))
    .digest('hex');
  assert.equal(
    readFileSync(join(top, 'made/openwrt-feed/release.mk'), 'utf8'),
    `X0_VERSION:=1.2.3\nX0_URL:=https://example.org/$&\nX0_HASH:=${sha256}\n`,
  );
  assert.equal(readFileSync(join(top, 'openwrt-feed/release.mk'), 'utf8').includes('skip'), true, 'this one stays');
  assert.deepEqual(make(), feed, 'the same bytes each time');
});

test('a feed that stands alone builds from an archive of a known hash only, and says so', options, (t) => {
  const top = mkdtempSync(join(tmpdir(), 'x0-feed-'));
  t.after(() => rmSync(top, { recursive: true }));
  mkdirSync(join(top, 'feed'));
  copyFileSync(join(import.meta.dirname, '../../../openwrt-feed/source.mk'), join(top, 'feed/source.mk'));
  writeFileSync(
    join(top, 'Makefile'),
    'include feed/source.mk\ndownload prepare compile clean all:\n\t@echo goes on\n',
  );
  const make = (hash: string, ...args: string[]): string => {
    writeFileSync(join(top, 'feed/release.mk'), `X0_VERSION:=1.2.3\nX0_URL:=\nX0_HASH:=${hash}\n`);
    const { status, stdout, stderr } = spawnSync('make', ['-s', ...args], { cwd: top, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : stderr;
  };
  const sum = '0123456789abcdef'.repeat(4);
  for (const goal of ['download', 'prepare', 'compile']) {
    for (const hash of ['skip', '', 'x', sum.slice(1), `${sum}0`, `${sum} ${sum}`, sum.replace('f', 'g')])
      assert.match(
        make(hash, goal),
        /stands alone, and X0_HASH in .*feed\/release\.mk is not the SHA-256 of x0tta6bl4-1\.2\.3\.tar\.gz\. Take the feed that 'make release'/,
      );
    assert.equal(make(sum, goal), 'goes on');
  }
  for (const goal of ['clean', 'all']) assert.equal(make('skip', goal), 'goes on');
  mkdirSync(join(top, 'agent'));
  writeFileSync(join(top, 'agent/daemon.ts'), '');
  assert.equal(make('skip', 'compile'), 'goes on', 'in a checkout there is no archive');
});
