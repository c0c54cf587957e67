/**
 * Boots user-mode Linux (Debian's package `user-mode-linux`) and runs one Node script in it.
 *
 * The guest sees the host's root file system read-only over hostfs, so that everything installed outside is there
 * inside. Lines travel over the guest's serial line (ttyS0), kernel messages and stderr over its console: the two never
 * mix. Several kernels run side by side; each one ends, with everything in it, when the process that started it ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = resolve(import.meta.dirname, '../..');
const MODULE_SOURCE = '/usr/lib/uml/modules';
/** The module tree with its index, as modprobe wants it. */
export const MODULE_DIR = join(ROOT, '.cache/uml');
const BUILD = join(import.meta.dirname, 'build');

export interface UmlOptions {
  /** The Node script that runs inside. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Memory of the guest in MiB; only what it touches is taken from the host. */
  readonly memMb?: number;
  /** A line that the script wrote to stdout, without its end. */
  readonly onLine?: (line: string) => void;
  /** A line of the script's stderr or of the kernel; goes to this process's stderr by default. */
  readonly onConsole?: (line: string) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** A directory of the host that the guest may write to; it finds it in the environment as LAB_RESULTS. */
  readonly results?: string;
}

export interface Uml {
  /** Writes one line to the script's stdin. */
  send(line: string): void;
  /** Resolves with the script's exit code, or with 255 where the kernel ended without handing one out. */
  readonly exited: Promise<number>;
  kill(): void;
}

/** Why a lab kernel cannot run here, in one sentence; undefined when it can. Tests skip with this as their reason. */
export function umlMissing(): string | undefined {
  const missing = [
    ['linux.uml', 'user-mode-linux'],
    ['modprobe', 'kmod'],
    ['ip', 'iproute2'],
    ['batctl', 'batctl'],
  ].filter(([program]) => !['/usr/bin', '/usr/sbin', '/bin', '/sbin'].some((dir) => existsSync(join(dir, program!))));
  if (missing.length === 0) return undefined;
  return `the lab needs the Debian packages ${missing.map(([, name]) => name).join(', ')} (tools/setup.sh lab brings them)`;
}

/** Builds the lab's C programs and the kernel's module index unless both are there. Throws what make or depmod said. */
export function prepareLab(): void {
  execFileSync('make', ['-s', '-C', import.meta.dirname], { stdio: ['ignore', 2, 2] });
  const version = readdirSync(MODULE_SOURCE).sort().at(-1);
  if (version === undefined) throw new Error(`no kernel modules in ${MODULE_SOURCE}`);
  const tree = join(MODULE_DIR, 'lib/modules', version);
  if (existsSync(join(tree, 'modules.dep.bin'))) return;
  // Whole or not at all: another process may look for it right now.
  mkdirSync(MODULE_DIR, { recursive: true });
  const draft = mkdtempSync(join(MODULE_DIR, 'draft-'));
  const copy = join(draft, 'lib/modules', version);
  mkdirSync(dirname(copy), { recursive: true });
  execFileSync('cp', ['-rT', join(MODULE_SOURCE, version), copy]);
  execFileSync('depmod', ['-b', draft, version], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  mkdirSync(dirname(tree), { recursive: true });
  try {
    renameSync(copy, tree);
  } catch (error) {
    if (!existsSync(join(tree, 'modules.dep.bin'))) throw error;
  }
  rmSync(draft, { recursive: true });
}

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
/** First and last on the serial line, behind a control character that no JSON has: the script begins, its exit code. */
const START_MARK = '\u001elab-start';
const EXIT_MARK = '\u001elab-exit ';

/** The guest's first process. */
function initScript(options: UmlOptions, work: string): string {
  const results = resolve(options.results ?? work);
  const env = { HOME: '/tmp', LAB_RESULTS: '/run/results', NO_COLOR: '1', ...options.env };
  const exports = Object.entries(env).map(([key, value]) => `export ${key}=${quote(value)}`);
  const command = [process.execPath, resolve(options.script), ...(options.args ?? [])].map(quote).join(' ');
  return `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /run/netns /run/results
mount -t hostfs -o ${quote(results)} none /run/results
# What a fresh tmpfs has just hidden comes back: a checkout or a node under /tmp works like any other.
for dir in ${quote(ROOT)} ${quote(dirname(process.execPath))} ${quote(dirname(resolve(options.script)))}; do
  [ -e "$dir/." ] || { mkdir -p "$dir" && mount -t hostfs -o "ro,$dir" none "$dir"; }
done
stty -F /dev/ttyS0 raw -echo
printf '\\036lab-start\\n' >/dev/ttyS0
ip link set lo up
for module in veth bridge sch_netem sch_htb sch_ingress cls_flower cls_u32 cls_matchall act_gact batman-adv; do
  modprobe -d ${quote(MODULE_DIR)} $module || echo "lab: no kernel module $module"
done
${exports.join('\n')}
cd ${quote(ROOT)}
${command} </dev/ttyS0 >/dev/ttyS0
code=$?
printf '\\036lab-exit %d\\n' $code >/dev/ttyS0
sleep 5
halt -f
`;
}

/** Where the guest's memory file (unlinked as soon as it is open) goes: tmpfs where there is room, else the disk. */
function memoryDir(memMb: number): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize > memMb * 2 ** 20) return '/dev/shm';
  } catch {}
  return tmpdir();
}

/** Starts a kernel; it is up, with the script running, after about two seconds. */
export function bootUml(options: UmlOptions): Uml {
  const memMb = options.memMb ?? 1500;
  const work = mkdtempSync(join(tmpdir(), 'x0-uml-'));
  const init = join(work, 'init');
  writeFileSync(init, initScript(options, work), { mode: 0o755 });
  const child: ChildProcess = spawn(
    join(BUILD, 'tether'),
    [
      work,
      'linux.uml',
      `mem=${memMb}M`,
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      `init=${init}`,
      'con0=null,fd:1',
      'con=null',
      'ssl0=fd:3,fd:4',
      'ssl=null',
      'selinux=0',
      'quiet',
      'loglevel=2',
      `uml_dir=${work}/`,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, TMPDIR: memoryDir(memMb), HOME: work },
    },
  );
  const [, stdout, stderr, input, output] = child.stdio as [
    null,
    NodeJS.ReadableStream,
    NodeJS.ReadableStream,
    NodeJS.WritableStream,
    NodeJS.ReadableStream,
  ];
  const onConsole = options.onConsole ?? ((line) => process.stderr.write(`${line}\n`));
  // User-mode Linux itself says a few things about its ptrace and memory checks before the kernel is quiet.
  let started = false;
  for (const stream of [stdout, stderr])
    createInterface({ input: stream }).on('line', (line) => {
      const text = line.trimEnd();
      if (started && text !== '') onConsole(text);
      else early.push(text);
    });
  const early: string[] = [];
  let code = 255;
  createInterface({ input: output }).on('line', (line) => {
    if (line === START_MARK) started = true;
    else {
      // The mark may follow output that had no line end.
      const mark = line.indexOf(EXIT_MARK);
      const text = mark === -1 ? line : line.slice(0, mark);
      if (mark === -1 || text !== '') options.onLine?.(text);
      if (mark === -1) return;
      code = Number(line.slice(mark + EXIT_MARK.length));
      child.kill('SIGTERM');
    }
  });
  // A guest that is gone reads no more: its end is told by `exited`.
  input.on('error', () => {});
  const exited = new Promise<number>((settle, fail) => {
    child.once('error', fail);
    child.once('close', () => {
      if (!started && code !== 0) for (const line of early) onConsole(line);
      settle(code);
    });
  });
  return {
    send: (line) => void input.write(`${line}\n`),
    exited,
    kill: () => void child.kill('SIGTERM'),
  };
}
