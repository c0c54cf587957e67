/**
 * Boots Debian's own kernel in QEMU and runs one Node script in it, as uml.ts does with user-mode Linux: for what that
 * has not, above all radios (mac80211_hwsim) and WireGuard. All of it is emulated, so code runs some ten times slower.
 *
 * The kernel (linux-image-amd64) is downloaded through apt and unpacked into .cache, not installed. The guest sees the
 * host's root file system read-only over 9p; lines travel over a virtio console, kernel messages and stderr over the
 * serial line.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { follow, type Guest, type GuestOptions, quote, runScript, sayStart } from './guest.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** The unpacked kernel with the index of its modules: vmlinuz, lib/modules/VERSION, initramfs. */
const CACHE = join(ROOT, '.cache/qemu');
const BUILD = join(import.meta.dirname, 'build');
/** A package that always depends on the newest kernel. */
const KERNEL_PACKAGE = 'linux-image-amd64';
const DIRS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'];
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** What the first file system needs, and what is there once the script runs. */
const EARLY_MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p'];
const MODULES = ['veth', 'bridge', 'sch_netem', 'sch_ingress', 'cls_u32', 'cls_matchall', 'act_gact', 'batman-adv'];

/** Why this kernel cannot run here, in one sentence; undefined when it can. Tests skip with this as their reason. */
export function qemuMissing(): string | undefined {
  const missing = [
    ['qemu-system-x86_64', 'qemu-system-x86'],
    ['busybox', 'busybox-static'],
    ['modprobe', 'kmod'],
    ['ip', 'iproute2'],
    ['batctl', 'batctl'],
    ['iw', 'iw'],
  ].filter(([program]) => !DIRS.some((dir) => existsSync(join(dir, program!))));
  if (missing.length > 0)
    return `this kernel needs the Debian packages ${missing.map(([, name]) => name).join(', ')} (tools/setup.sh test brings them)`;
  if (kernelVersion() === undefined)
    return `the kernel of Debian's package ${KERNEL_PACKAGE} is not in .cache/qemu (tools/setup.sh soak fetches it)`;
  return undefined;
}

const kernelVersion = (): string | undefined => {
  const tree = join(CACHE, 'lib/modules');
  return existsSync(tree) ? readdirSync(tree).sort().at(-1) : undefined;
};

/** Downloads and unpacks the kernel unless it is there. Throws what apt, dpkg or depmod said. */
export function fetchKernel(say: (text: string) => void): void {
  if (kernelVersion() !== undefined) return;
  const depends = execFileSync('apt-cache', ['depends', KERNEL_PACKAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`apt knows no package ${KERNEL_PACKAGE}: apt-get update may help`);
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'draft-'));
  try {
    say(`downloading Debian's ${name}`);
    execFileSync('apt-get', ['download', '-q', '-o', 'APT::Sandbox::User=root', name], {
      cwd: draft,
      stdio: ['ignore', 2, 2],
    });
    say(`unpacking ${name}`);
    const archive = readdirSync(draft).find((file) => file.endsWith('.deb'))!;
    execFileSync('dpkg', ['-x', archive, 'tree'], { cwd: draft, stdio: ['ignore', 2, 2] });
    const tree = join(draft, 'tree');
    const version = readdirSync(join(tree, 'lib/modules'))[0]!;
    execFileSync('depmod', ['-b', tree, version], { env: { ...process.env, PATH } });
    renameSync(join(tree, 'boot', `vmlinuz-${version}`), join(CACHE, `vmlinuz-${version}`));
    mkdirSync(join(CACHE, 'lib/modules'), { recursive: true });
    renameSync(join(tree, 'lib/modules', version), join(CACHE, 'lib/modules', version));
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Builds the lab's C programs. */
export function prepareQemu(): void {
  execFileSync('make', ['-s', '-C', import.meta.dirname], { stdio: ['ignore', 2, 2] });
}

/** An archive as the kernel unpacks it at its start (cpio, "newc"). */
function archive(files: readonly { name: string; mode: number; bytes: Uint8Array }[]): Buffer {
  const parts: Buffer[] = [];
  const entries = [...files, { name: 'TRAILER!!!', mode: 0, bytes: new Uint8Array(0) }];
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)]);
  entries.forEach(({ name, mode, bytes }, number) => {
    const fields = [number + 1, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0];
    const head = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    parts.push(padded(Buffer.from(`070701${head}${name}\0`)), padded(bytes));
  });
  return Buffer.concat(parts);
}

/** What a program is linked with, by where it has to lie: none where it is static. Debian has either busybox, never both. */
function libraries(program: string): { name: string; path: string }[] {
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  const found = [...stdout.matchAll(/^\s+(?:(\S+) => )?(\/\S+) \(0x/gm)];
  return found.map(([, name, path]) => ({ name: name === undefined ? path!.slice(1) : `lib/${name}`, path: path! }));
}

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;

/** The first file system: busybox, the modules that reach the host's, and a script that changes over to it. */
function initramfs(version: string): Buffer {
  const wanted = execFileSync('modprobe', ['-d', CACHE, '-S', version, '-a', '--show-depends', ...EARLY_MODULES], {
    encoding: 'utf8',
    env: { ...process.env, PATH },
  });
  const modules = [...new Set([...wanted.matchAll(/^insmod (\S+)/gm)].map((match) => match[1]!))];
  const busybox = DIRS.map((dir) => join(dir, 'busybox')).find((file) => existsSync(file))!;
  const script = `#!/busybox sh
${modules.map((file) => `/busybox insmod /${basename(file)}`).join('\n')}
/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /new || exec /busybox poweroff -f
/busybox mount -t devtmpfs dev /new/dev
/busybox mount -t proc proc /new/proc
/busybox mount -t tmpfs run /new/run
/busybox mkdir /new/run/results /new/run/lab
/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 results /new/run/results
/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro work /new/run/lab
exec /busybox switch_root /new /bin/sh /run/lab/init
`;
  return archive([
    ...['new', 'lib', 'lib64'].map((name) => ({ name, mode: DIRECTORY, bytes: new Uint8Array(0) })),
    ...libraries(busybox).map(({ name, path }) => ({ name, mode: EXECUTABLE, bytes: readFileSync(path) })),
    { name: 'busybox', mode: EXECUTABLE, bytes: readFileSync(busybox) },
    ...modules.map((file) => ({ name: basename(file), mode: EXECUTABLE, bytes: readFileSync(file) })),
    { name: 'init', mode: EXECUTABLE, bytes: Buffer.from(script) },
  ]);
}

/** The guest's first process after the change to the host's files. */
function initScript(options: GuestOptions): string {
  const env = { HOME: '/tmp', LAB_RESULTS: '/run/results', LAB_MODULES: CACHE, NO_COLOR: '1', ...options.env };
  const script = resolve(options.script);
  return `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /run/host
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mkdir -p /run/netns
mount --bind / /run/host
mount -t tmpfs tmp /tmp
# What a fresh tmpfs has just hidden comes back: a checkout or a node under /tmp works like any other.
for dir in ${quote(ROOT)} ${quote(dirname(process.execPath))} ${quote(dirname(script))}; do
  [ -e "$dir/." ] || { mkdir -p "$dir" && mount --bind "/run/host$dir" "$dir"; }
done
${sayStart('/dev/hvc0')}
ip link set lo up
for module in ${MODULES.join(' ')}; do
  modprobe -d ${quote(CACHE)} $module || echo "lab: no kernel module $module"
done
${runScript({ ...options, script, env }, ROOT, '/dev/hvc0')}
busybox poweroff -f
`;
}

/** Starts a kernel; it is up, with the script running, after some ten seconds. */
export function bootQemu(options: GuestOptions): Guest {
  const version = kernelVersion();
  if (version === undefined) throw new Error(qemuMissing());
  const work = mkdtempSync(join(tmpdir(), 'x0-qemu-'));
  writeFileSync(join(work, 'init'), initScript(options));
  writeFileSync(join(work, 'initramfs'), initramfs(version));
  const share = (tag: string, path: string, how: string) => [
    '-virtfs',
    `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,multidevs=remap${how}`,
  ];
  const child: ChildProcess = spawn(
    join(BUILD, 'tether'),
    [
      work,
      'qemu-system-x86_64',
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-machine', 'q35,vmport=off'],
      // Without protection keys: where a CPU has them V8 guards its code with them, and threads have died by SIGSEGV of that.
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max,-la57,-pku', '-smp', '2', '-m', `${options.memMb ?? 1500}M`],
      ...['-kernel', join(CACHE, `vmlinuz-${version}`), '-initrd', join(work, 'initramfs')],
      // The emulated TSC is calibrated once at the start: on a busy machine wrongly, and time then runs at a wrong pace.
      ...[
        '-append',
        // no_timer_check: a machine too busy for ten ticks in time would panic ("IO-APIC + timer doesn't work").
        'console=ttyS0 quiet loglevel=2 panic=-1 mitigations=off audit=0 apparmor=0 tsc=unstable clocksource=hpet no_timer_check',
      ],
      ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
      ...['-chardev', 'socket,id=lines,fd=3', '-device', 'virtio-serial', '-device', 'virtconsole,chardev=lines'],
      ...share('host', '/', ',readonly=on'),
      ...share('results', resolve(options.results ?? work), ''),
      ...share('work', work, ',readonly=on'),
    ],
    { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: { PATH, HOME: work, TMPDIR: tmpdir() } },
  );
  // A socket: both ways.
  const lines = child.stdio[3] as Socket;
  return follow(child, [child.stdout!, child.stderr!], lines, lines, options);
}
