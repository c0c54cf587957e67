/**
 * The release's archive: the same bytes twice, and enough of them to build the bundles, the native part and better-sqlite3 on
 * a machine without a network, to the same bytes as here. No kernel is needed, but npm once, and a minute.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeRelease, vendored, vendorFile } from '../../tools/release.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'release and feed';
/** npm and a compiler hold this whole process up. */
export const first = true;

const ROOT = join(import.meta.dirname, '../..');

export async function run(report: Report): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'x0-feed-'));
  try {
    releaseIn(work, report);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function releaseIn(work: string, report: Report): void {
  let file: string;
  try {
    const [one, two] = ['one', 'two'].map((folder) => makeRelease(join(work, folder)));
    if (one!.sha256 === two!.sha256) report.pass('the archive is the same bytes twice');
    else report.fail('the archive is the same bytes twice', `${one!.sha256} and ${two!.sha256}`);
    file = one!.file;
  } catch (thrown) {
    const why = (thrown as Error).message.split('\n')[0]!;
    if (!why.startsWith('Command failed: npm')) throw thrown;
    report.skip('release', `npm could not fetch what goes into it: ${why}`);
    return;
  }

  // As openwrt-feed/source.mk does it.
  const top = join(work, 'build');
  mkdirSync(top);
  const steps = [`tar -xzf ${file} --strip-components=1`, '(cd vendor && sha512sum -c --quiet SHA512SUMS)'];
  for (const { name } of vendored())
    steps.push(
      `mkdir -p node_modules/${name} && tar -C node_modules/${name} -xzf vendor/${vendorFile(name)} --strip-components=1`,
    );
  // A network of nothing, where one may have that.
  const alone = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : ['env'];
  const step = (what: string, line: string): boolean => {
    const { status, stdout, stderr } = spawnSync(alone[0]!, [...alone.slice(1), 'sh', '-ec', line], {
      cwd: top,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}`, npm_config_offline: 'true' },
    });
    if (status === 0) report.pass(what);
    else report.fail(what, `${stdout}${stderr}`.slice(-2000));
    return status === 0;
  };
  if (!step('it unpacks, and every npm package is what the lock says', steps.join('\n'))) return;
  if (!step('the bundles build from it without a network', 'tools/node tools/build.ts')) return;
  const [there, here] = [top, ROOT].map((root) => {
    const bundles = globSync('*.mjs', { cwd: join(root, 'dist') }).sort();
    return bundles.map((bundle) => `${sha256(join(root, 'dist', bundle))} ${bundle}`);
  }) as [string[], string[]];
  const differ = [...there, ...here].filter((one) => !there.includes(one) || !here.includes(one));
  if (differ.length === 0) report.pass(`${here.length} bundles are what they are here`);
  else report.fail('the bundles are what they are here', `${differ.join(', ')}: is dist/ out of date?`);
  step('the native part builds from it', 'make -s -C native && make -s -C native clean');
  step('better-sqlite3 builds from it', 'make -s -C native -f sqlite.mk && make -s -C native clean');
  step(
    'a release that somebody changed is refused',
    'echo x >>vendor/esbuild.tgz; if (cd vendor && sha512sum -c --quiet SHA512SUMS) 2>/dev/null; then exit 1; fi',
  );
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
