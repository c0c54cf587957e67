/**
 * Makes the release's archive, from which the packages of openwrt-feed/ build without a network:
 *
 *     node tools/release.ts [--out DIR] [--url URL] [--write]     dist/release/x0tta6bl4-VERSION.tar.gz
 *                                                                 dist/release/x0tta6bl4-feed-VERSION.tar.gz
 *
 * In it are the sources that a build reads (X0_SOURCES of openwrt-feed/source.mk) and, in vendor/, the npm packages as their
 * authors published them, each held against the SHA-512 of package-lock.json. The same commit gives the same bytes: names
 * in order, owner 0, the commit's time; with edits of these sources that are not committed none is made.
 *
 * The second archive is openwrt-feed/ to stand alone, with version, address and SHA-256 of the first in its release.mk. --write
 * puts them into this checkout's openwrt-feed/release.mk as well.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const CACHE = join(ROOT, '.cache/vendor');
/** Beside what the agent itself depends on: the bundler with its binaries for the machines that build, Node's headers. */
const TO_BUILD = ['esbuild', '@esbuild/linux-x64', '@esbuild/linux-arm64', 'node-api-headers'];

interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

function run(file: string, args: readonly string[], cwd = ROOT): string {
  return execFileSync(file, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** What the feed's packages build from, as they name it. */
export function sourceNames(): string[] {
  const makefile = readFileSync(join(ROOT, 'openwrt-feed/source.mk'), 'utf8');
  return /^X0_SOURCES:=(.*)$/m.exec(makefile)![1]!.split(' ');
}

/** The npm packages of the archive, with the SHA-512 that the lock has for each. */
export function vendored(): { readonly name: string; readonly version: string; readonly sha512: string }[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>;
  };
  return Object.entries(packages)
    .flatMap(([path, { version, integrity = '', dev, devOptional, optional }]) => {
      const name = path.replace('node_modules/', '');
      const wanted = TO_BUILD.includes(name) || (path !== '' && !dev && !devOptional && !optional);
      const sum = /sha512-([A-Za-z0-9+/=]+)/.exec(integrity)?.[1];
      if (!wanted) return [];
      if (sum === undefined) throw new Error(`package-lock.json has no SHA-512 of ${name}`);
      return [{ name, version, sha512: Buffer.from(sum, 'base64').toString('hex') }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function vendorFile(name: string): string {
  return `${name.replaceAll('/', '+')}.tgz`;
}

/** Brings one package into the cache. Throws where what npm has is not what the lock says. */
function fetchPackage({ name, version, sha512 }: ReturnType<typeof vendored>[number]): string {
  const kept = join(CACHE, `${vendorFile(name).slice(0, -4)}-${version}.tgz`);
  const hash = (file: string): string => createHash('sha512').update(readFileSync(file)).digest('hex');
  if (existsSync(kept) && hash(kept) === sha512) return kept;
  mkdirSync(CACHE, { recursive: true });
  const into = mkdtempSync(join(CACHE, 'new-'));
  try {
    const made = run('npm', ['pack', '--silent', '--pack-destination', into, `${name}@${version}`]).trim();
    const file = join(into, made.split('\n').at(-1)!);
    if (hash(file) !== sha512) throw new Error(`${name} ${version} from npm is not what package-lock.json says`);
    renameSync(file, kept);
    return kept;
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}

/** Where the archive lies, and its SHA-256. */
export function makeRelease(out: string): { readonly file: string; readonly sha256: string } {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const name = `x0tta6bl4-${version}`;
  const work = mkdtempSync(join(tmpdir(), 'x0-release-'));
  try {
    const root = join(work, name);
    copyTracked(sourceNames(), root);
    mkdirSync(join(root, 'vendor'));
    const sums = vendored().map((one) => {
      copyFileSync(fetchPackage(one), join(root, 'vendor', vendorFile(one.name)));
      return `${one.sha512}  ${vendorFile(one.name)}\n`;
    });
    writeFileSync(join(root, 'vendor/SHA512SUMS'), sums.join(''));
    const file = pack(work, name, name, out);
    return { file, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The feed that builds from an archive of that SHA-256. Answers where it lies. */
export function makeFeed(out: string, { sha256, url }: { readonly sha256: string; readonly url?: string }): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const work = mkdtempSync(join(tmpdir(), 'x0-release-'));
  try {
    copyTracked(['openwrt-feed'], work);
    const makefile = join(work, 'openwrt-feed/release.mk');
    const text = filled(readFileSync(join(ROOT, 'openwrt-feed/release.mk'), 'utf8'), { version, url, sha256 });
    writeFileSync(makefile, text);
    return pack(work, 'openwrt-feed', `x0tta6bl4-feed-${version}`, out);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What git knows of these, as it is here. */
function copyTracked(names: readonly string[], into: string): void {
  for (const file of run('git', ['ls-files', '-z', '--', ...names])
    .split('\0')
    .filter(Boolean)) {
    mkdirSync(join(into, dirname(file)), { recursive: true });
    copyFileSync(join(ROOT, file), join(into, file));
    // As git has it, whatever this machine's umask made of it.
    chmodSync(join(into, file), statSync(join(ROOT, file)).mode & 0o100 ? 0o755 : 0o644);
  }
}

/** A folder of `work` as OUT/NAME.tar.gz, the same bytes each time. */
function pack(work: string, folder: string, name: string, out: string): string {
  const time = run('git', ['log', '-1', '--format=%ct']).trim();
  const stable = ['--sort=name', `--mtime=@${time}`, '--owner=0', '--group=0', '--numeric-owner', '--mode=u+rw,go=rX'];
  run('tar', ['--format=ustar', ...stable, '-cf', `${name}.tar`, folder], work);
  // The packages in it are compressed already: more than this costs time and gains nothing.
  run('gzip', ['-n', '-6', `${name}.tar`], work);
  mkdirSync(out, { recursive: true });
  const file = join(out, `${name}.tar.gz`);
  copyFileSync(join(work, `${name}.tar.gz`), file);
  return file;
}

/** release.mk for an archive. */
function filled(
  text: string,
  { version, url, sha256 }: { readonly version: string; readonly url?: string | undefined; readonly sha256: string },
): string {
  const settings = { X0_VERSION: version, X0_URL: url, X0_HASH: sha256 };
  return Object.entries(settings).reduce(
    (so, [name, value]) =>
      value === undefined ? so : so.replace(new RegExp(`^${name}:=.*$`, 'm'), () => `${name}:=${value}`),
    text,
  );
}

/** Files of the archive, and of what decides on it, that are not as the commit has them. Untracked ones are in no archive. */
function uncommitted(): string[] {
  // What release.mk says is written into the archive's copy of it.
  const decisive = [...sourceNames(), 'openwrt-feed', ':!openwrt-feed/release.mk', 'tools/release.ts'];
  const rows = run('git', ['status', '--porcelain', '--no-renames', '--untracked-files=no', '-z', '--', ...decisive]);
  return rows
    .split('\0')
    .filter(Boolean)
    .map((row) => row.slice(3));
}

function main(args: readonly string[]): number {
  const options = { out: { type: 'string' }, url: { type: 'string' }, write: { type: 'boolean' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  // The lab makes archives of work under way; what is handed out bears its commit's time, and has to be that commit.
  const edited = uncommitted();
  if (edited.length > 0) {
    const more = edited.length > 5 ? ` and ${edited.length - 5} more` : '';
    console.error(
      `release: not committed: ${edited.slice(0, 5).join(', ')}${more}. Commit or stash first; no archive was made.`,
    );
    return 1;
  }
  const out = values.out ?? join(ROOT, 'dist/release');
  const { file, sha256 } = makeRelease(out);
  console.log(`${file} ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB\nsha256 ${sha256}`);
  const { url } = values;
  console.log(`${makeFeed(out, { sha256, ...(url === undefined ? {} : { url }) })}: the feed that builds from it`);
  if (values.write) {
    const makefile = join(ROOT, 'openwrt-feed/release.mk');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    writeFileSync(makefile, filled(readFileSync(makefile, 'utf8'), { version, url, sha256 }));
  }
  return 0;
}

if (process.argv[1] === import.meta.filename) process.exit(main(process.argv.slice(2)));
