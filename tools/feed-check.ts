/**
 * Runs OpenWrt's own metadata tools over openwrt-feed/ in an OpenWrt tree, and says pass or fail:
 *
 *     make feed-check OPENWRT=DIR        node tools/feed-check.ts DIR
 *
 * DIR is a buildroot of 24.10, 25.12 or main, with its feeds updated (scripts/feeds update -a). It is not changed: all is
 * done in a copy that consists of links. OpenWrt's tools end with success whatever happens; so what they print is read, and
 * each package has to be in what they wrote. Where the tree has compiled scripts/config/conf, the seeds of
 * openwrt-feed/profiles/ go through `defconfig`, and every line of them has to survive.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { type Report, Tally } from './test.ts';

const FEED = join(import.meta.dirname, '../openwrt-feed');
const NAME = 'x0tta6bl4';
/** What belongs to a build of that tree, and not into a copy of it. */
const LEFT_OUT = new Set([
  '.config',
  '.config.old',
  '.git',
  'bin',
  'build_dir',
  'dl',
  'feeds',
  'logs',
  'package',
  'staging_dir',
  'tmp',
]);

interface Ran {
  readonly status: number | null;
  readonly text: string;
}

class Scratch {
  readonly top = mkdtempSync(join(tmpdir(), 'x0-openwrt-'));

  constructor(tree: string) {
    const link = (from: string, to: string): void => symlinkSync(from, join(this.top, to));
    for (const entry of readdirSync(tree)) if (!LEFT_OUT.has(entry)) link(join(tree, entry), entry);
    for (const folder of ['package/feeds', 'feeds', 'tmp/info', 'staging_dir/host/bin'])
      mkdirSync(join(this.top, folder), { recursive: true });
    for (const entry of readdirSync(join(tree, 'package')))
      if (entry !== 'feeds') link(join(tree, 'package', entry), `package/${entry}`);
    for (const entry of globSync('package/feeds/*', { cwd: tree }))
      if (basename(entry) !== NAME) link(join(tree, entry), entry);
    for (const entry of globSync('feeds/*', { cwd: tree }))
      if (!basename(entry).startsWith(NAME)) link(join(tree, entry), entry);
    for (const tool of globSync('staging_dir/host/bin/*', { cwd: tree })) link(join(tree, tool), tool);
    // What the machine has for building is not asked: nothing is built.
    writeFileSync(join(this.top, 'staging_dir/host/.prereq-build'), '');
    link(FEED, `feeds/${NAME}`);
    mkdirSync(join(this.top, 'package/feeds', NAME));
    for (const name of packageFolders()) link(join(FEED, name), `package/feeds/${NAME}/${name}`);
  }

  run(file: string, args: readonly string[]): Ran {
    const { status, stdout, stderr, error } = spawnSync(file, args, {
      cwd: this.top,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, TOPDIR: this.top, FORCE: '1', LC_ALL: 'C' },
    });
    return { status, text: `${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}` };
  }

  scan(what: 'package' | 'target'): Ran {
    const settings =
      what === 'package'
        ? ['SCAN_DIR=package', 'SCAN_DEPTH=5']
        : ['SCAN_DIR=target/linux', 'SCAN_DEPTH=3', 'SCAN_MAKEOPTS=TARGET_BUILD=1'];
    return this.run('make', [
      ...['-j1', '-r', '-s', '-f', 'include/scan.mk', 'IS_TTY=0', `TOPDIR=${this.top}`],
      ...[`SCAN_TARGET=${what}info`, `SCAN_NAME=${what}`, 'SCAN_EXTRA=', ...settings],
    ]);
  }

  read(path: string): string {
    return readFileSync(join(this.top, path), 'utf8');
  }

  close(): void {
    rmSync(this.top, { recursive: true, force: true });
  }
}

function packageFolders(): string[] {
  return globSync('*/Makefile', { cwd: FEED }).map(dirname).sort();
}

/** What the image seeds select beside the packages of this feed. */
function seeded(): string[] {
  const seeds = globSync('profiles/*.config', { cwd: FEED }).map((file) => readFileSync(join(FEED, file), 'utf8'));
  const selected = seeds.flatMap((text) => [...text.matchAll(/^CONFIG_PACKAGE_(\S+)=y$/gm)].map(([, name]) => name!));
  return [...new Set(selected)];
}

/** Package name → what it depends on, out of a .packageinfo. */
function dependencies(info: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, name, rest] of info.matchAll(/^Package: (\S+)\n((?:(?!@@$).*\n)*)/gm))
    found.set(name!, /^Depends: (.*)$/m.exec(rest!)?.[1]?.split(/\s+/).filter(Boolean) ?? []);
  return found;
}

/** Adds the packages that ours need and that the tree's feeds have, but nobody installed: a feed at a time, as `feeds install`. */
function installNeeded(scratch: Scratch, missing: readonly string[]): string[] {
  const added: string[] = [];
  // OpenWrt's own feed has a node for the host only.
  const last = (index: string): number => Number(index.endsWith('/packages.index'));
  for (const index of globSync('feeds/*.index', { cwd: scratch.top }).sort((a, b) => last(a) - last(b))) {
    const feed = basename(index, '.index');
    let makefile = '';
    for (const line of scratch.read(index).split('\n')) {
      if (line.startsWith('Source-Makefile: ')) makefile = line.slice(17);
      const name = /^(?:Package|Provides): (.*)$/.exec(line)?.[1];
      const wanted = name?.split(' ').find((one) => missing.includes(one));
      const at = `package/feeds/${feed}-needed/${basename(dirname(makefile))}`;
      if (wanted === undefined || added.includes(wanted) || existsSync(join(scratch.top, at))) continue;
      mkdirSync(join(scratch.top, dirname(at)), { recursive: true });
      symlinkSync(join(scratch.top, dirname(makefile)), join(scratch.top, at));
      added.push(wanted);
    }
  }
  return added;
}

function check(tree: string, report: Report): void {
  const scratch = new Scratch(tree);
  try {
    checkIn(scratch, report);
  } finally {
    scratch.close();
  }
}

function checkIn(scratch: Scratch, report: Report): void {
  const ok = (name: string, holds: boolean, why: () => string): boolean => {
    if (holds) report.pass(name);
    else report.fail(name, why());
    return holds;
  };

  let scanned = scratch.scan('package');
  if (!ok('the tree can be scanned', existsSync(join(scratch.top, 'tmp/.packageinfo')), () => scanned.text)) return;
  let all = dependencies(scratch.read('tmp/.packageinfo'));
  const ours = [...all.keys()].filter((name) => name === NAME || name.includes(NAME));
  const plain = (name: string): string => name.replace(/^[+@!]*/, '').replace(/^.*:/, '');
  const isPackage = (name: string): boolean => !name.startsWith('@') && !/^\+?@/.test(name);
  const needed = (): string[] => [...new Set(ours.flatMap((name) => all.get(name)!.filter(isPackage).map(plain)))];
  if (
    installNeeded(
      scratch,
      [...needed(), ...seeded(), 'node'].filter((name) => !all.has(name)),
    ).length > 0
  ) {
    rmSync(join(scratch.top, 'tmp'), { recursive: true });
    mkdirSync(join(scratch.top, 'tmp/info'), { recursive: true });
    scanned = scratch.scan('package');
    all = dependencies(scratch.read('tmp/.packageinfo'));
  }

  for (const folder of packageFolders()) {
    const dump = globSync(`logs/package/feeds/${NAME}/${folder}/dump.txt`, { cwd: scratch.top });
    const bad = scanned.text.includes(`please fix package/feeds/${NAME}/${folder}/`) || dump.length > 0;
    ok(
      `${folder}: its Makefile can be read`,
      !bad && all.has(folder),
      () => dump.map((file) => scratch.read(file)).join() || 'it is not in tmp/.packageinfo',
    );
  }

  const makefiles = globSync('*{/Makefile,.mk}', { cwd: FEED }).map((file) => readFileSync(join(FEED, file), 'utf8'));
  /** Of what a warning says is missing: luci.mk asks for things of its own. */
  const isOurs = (line: string): boolean => {
    const missing = /dependency on '([^'/]+)/.exec(line)?.[1];
    return line.includes(NAME) && (missing === undefined || makefiles.some((text) => text.includes(missing)));
  };
  for (const command of ['mk', 'config', 'pkgaux', 'usergroup', 'license']) {
    const { status, text } = scratch.run('perl', ['scripts/package-metadata.pl', command, 'tmp/.packageinfo']);
    const words = text.split('\n').filter((line) => /^(WARNING|ERROR|Can't|Use of)/.test(line) && isOurs(line));
    ok(
      `package-metadata.pl ${command} has nothing to say of us`,
      status === 0 && words.length === 0,
      () => words.join('\n') || text.slice(-500),
    );
    if (command === 'config') {
      writeFileSync(join(scratch.top, 'tmp/.config-package.in'), text);
      for (const folder of packageFolders())
        ok(
          `${folder}: in the menus`,
          new RegExp(`^\\s*(menu)?config PACKAGE_${folder}$`, 'm').test(text),
          () => 'not there',
        );
    }
    if (command === 'usergroup') ok('the user has a number', /^user x0tta6bl4 4305/m.test(text), () => text);
  }

  // What conditional dependencies name has to be somewhere, too: nothing else says that it is not.
  for (const name of needed())
    if (all.has(name) || [...all.keys()].some((one) => one.startsWith(`${name}-`)) || provided(scratch, name))
      report.pass(`${name}: is there`);
    else if (name === 'node') report.skip('node', 'no feed of this tree has it: a build would say which to add');
    else report.fail(`${name}: is there`, 'no feed of this tree has it (luci, packages, routing are needed)');

  profiles(scratch, report);
}

function provided(scratch: Scratch, name: string): boolean {
  return new RegExp(`^Provides: (.* )?@?${name.replaceAll('.', '\\.')}( |$)`, 'm').test(
    scratch.read('tmp/.packageinfo'),
  );
}

/** The image seeds, as `make defconfig` leaves them. */
function profiles(scratch: Scratch, report: Report): void {
  const conf = join(scratch.top, 'scripts/config/conf');
  const seeds = globSync('profiles/*.config', { cwd: FEED }).sort();
  if (!existsSync(conf)) {
    report.skip('image profiles', 'scripts/config/conf is not compiled in that tree (make defconfig there does it)');
    return;
  }
  scratch.scan('target');
  for (const [script, info] of [
    ['target-metadata.pl', '.targetinfo'],
    ['package-metadata.pl', '.packageinfo'],
  ] as const) {
    const { text } = scratch.run('sh', ['-c', `perl scripts/${script} config tmp/${info} 2>/dev/null`]);
    writeFileSync(join(scratch.top, `tmp/.config-${info.slice(1, -4)}.in`), text);
  }
  scratch.run('sh', ['-c', './scripts/feeds feed_config > tmp/.config-feeds.in 2>/dev/null']);
  for (const seed of seeds) {
    const name = `profile ${basename(seed, '.config')}`;
    const wanted = readFileSync(join(FEED, seed), 'utf8')
      .split('\n')
      .filter((line) => /^(CONFIG_|# CONFIG_)/.test(line));
    const target = /^CONFIG_TARGET_([a-z0-9]+)=y$/m.exec(wanted.join('\n'))?.[1];
    if (target === undefined || !existsSync(join(scratch.top, 'target/linux', target))) {
      report.skip(name, `this tree has no target ${target}`);
      continue;
    }
    writeFileSync(join(scratch.top, '.config'), `${wanted.join('\n')}\n`);
    const { status, text } = scratch.run(conf, ['--defconfig=.config', '-w', '.config', 'Config.in']);
    const got = new Set(existsSync(join(scratch.top, '.config')) ? scratch.read('.config').split('\n') : []);
    // What is off need not be mentioned.
    const off = (line: string): boolean =>
      line.startsWith('# ') && ![...got].some((one) => one.startsWith(`${line.split(' ')[1]}=`));
    const lost = wanted.filter((line) => !got.has(line) && !off(line));
    const circle = /recursive dependency detected!\n(?:.*\n)*?(?=.*(?:resolution|subsection))/g;
    const circles = (text.match(circle) ?? []).filter((words) => words.toLowerCase().includes(NAME));
    if (status === 0 && lost.length === 0 && circles.length === 0) report.pass(name);
    else if (circles.length > 0) report.fail(name, circles.join('\n'));
    else report.fail(name, lost.length > 0 ? `defconfig drops ${lost.join(', ')}` : text.slice(-500));
  }
}

function main(args: readonly string[]): number {
  const tree = args[0] === undefined || args[0] === '' ? undefined : resolve(args[0]);
  if (
    tree === undefined ||
    !existsSync(join(tree, 'scripts/package-metadata.pl')) ||
    !existsSync(join(tree, 'include/scan.mk'))
  ) {
    console.error(
      `usage: make feed-check OPENWRT=DIR, where DIR is an OpenWrt buildroot${tree ? `; ${tree} is none` : ''}`,
    );
    return 2;
  }
  const tally = new Tally((line) => process.stdout.write(`${line}\n`));
  check(tree, tally.of('feed'));
  process.stdout.write(`\n${tally.summary()}\n${tally.failed.length > 0 ? 'fail' : 'pass'}\n`);
  return tally.failed.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) process.exit(main(process.argv.slice(2)));
