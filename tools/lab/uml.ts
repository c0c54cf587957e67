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
import { follow, type Guest, type GuestOptions, quote, runScript, sayStart } from './guest.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MODULE_SOURCE = '/usr/lib/uml/modules';
/** The module tree with its index, as modprobe wants it. */
export const MODULE_DIR = join(ROOT, '.cache/uml');
const BUILD = join(import.meta.dirname, 'build');

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

/** The guest's first process. */
function initScript(options: GuestOptions, work: string): string {
  const results = resolve(options.results ?? work);
  const env = { HOME: '/tmp', LAB_RESULTS: '/run/results', NO_COLOR: '1', ...options.env };
  const script = resolve(options.script);
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
for dir in ${quote(ROOT)} ${quote(dirname(process.execPath))} ${quote(dirname(script))}; do
  [ -e "$dir/." ] || { mkdir -p "$dir" && mount -t hostfs -o "ro,$dir" none "$dir"; }
done
${sayStart('/dev/ttyS0')}
ip link set lo up
for module in veth bridge sch_netem sch_htb sch_ingress cls_flower cls_u32 cls_matchall act_gact batman-adv; do
  modprobe -d ${quote(MODULE_DIR)} $module || echo "lab: no kernel module $module"
done
${runScript({ ...options, script, env }, ROOT, '/dev/ttyS0')}
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
export function bootUml(options: GuestOptions): Guest {
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
  // User-mode Linux itself says a few things about its ptrace and memory checks before the kernel is quiet.
  return follow(child, [stdout, stderr], output, input, options);
}
