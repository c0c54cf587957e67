/**
 * A small OpenWrt router: a directory with Debian's busybox, the feed's files where its packages put them, and stand-ins
 * for uci, /lib/functions.sh and rc.common, which Debian does not have. Scripts run in it by chroot.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const FILES = join(import.meta.dirname, '../../../openwrt-feed/x0tta6bl4/files');
const STANDIN = join(import.meta.dirname, 'standin');
const BUSYBOX = '/bin/busybox';
const BASE = mkdtempSync(join(tmpdir(), 'x0-router-'));
process.on('exit', () => rmSync(BASE, { recursive: true, force: true }));

/** Where what comes from the package's files lies on a router. */
const INSTALLED = {
  'x0tta6bl4.init': 'etc/init.d/x0tta6bl4',
  'capabilities.json': 'etc/capabilities/x0tta6bl4.json',
  'x0tta6bl4.defaults': 'etc/uci-defaults/80-x0tta6bl4',
  'x0tta6bl4.hotplug': 'etc/hotplug.d/ieee80211/20-x0tta6bl4',
  'setup.sh': 'usr/lib/x0tta6bl4/setup.sh',
  '../../x0tta6bl4-yggdrasil/files/yggdrasil.sh': 'usr/lib/x0tta6bl4/yggdrasil.sh',
  '../../x0tta6bl4-yggdrasil/files/yggdrasil.hotplug': 'etc/hotplug.d/iface/40-x0tta6bl4-yggdrasil',
} as const;

/** Why there can be no router here, or false. */
export function noRouter(): string | false {
  if (!existsSync(BUSYBOX)) return 'busybox is missing (Debian: busybox)';
  return spawnSync(HOW[0]!, [...HOW.slice(1), 'true']).status === 0 ? false : 'it takes root or user namespaces';
}

/** In a namespace of one's own there is nobody else to give a file to. */
export const ALONE = process.getuid?.() !== 0 && 'it takes root: files are given to another user';

/** chroot takes root, or a user namespace in which one is. */
const HOW = process.getuid?.() === 0 ? ['env'] : ['unshare', '--map-root-user'];

export class Router {
  readonly root = mkdtempSync(join(BASE, 'root-'));

  /** `config`: packages by name, in lines of `uci show`. */
  constructor(config: Record<string, readonly string[]> = {}) {
    if (!existsSync(join(BASE, 'bin'))) busybox();
    execFileSync('cp', ['-al', join(BASE, 'bin'), ...globSync(join(BASE, 'libraries/*')), this.root]);
    for (const [from, to] of Object.entries(INSTALLED)) this.#copy(join(FILES, from), to);
    this.#copy(join(STANDIN, 'uci'), 'bin/uci');
    this.#copy(join(STANDIN, 'functions.sh'), 'lib/functions.sh');
    this.#copy(join(STANDIN, 'rc.common'), 'etc/rc.common');
    for (const folder of ['dev', 'etc/config', 'var/run', 'tmp'])
      mkdirSync(join(this.root, folder), { recursive: true });
    this.write('etc/passwd', 'root:x:0:0::/:/bin/sh\nx0tta6bl4:x:4305:4305::/:/bin/false\n');
    this.write('etc/group', 'root:x:0:\nx0tta6bl4:x:4305:\n');
    for (const [name, lines] of Object.entries(config)) this.write(`etc/config/${name}`, `${lines.join('\n')}\n`);
  }

  #copy(from: string, to: string): void {
    mkdirSync(dirname(join(this.root, to)), { recursive: true });
    copyFileSync(from, join(this.root, to));
    chmodSync(join(this.root, to), 0o755);
  }

  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text, { mode });
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  /** One line of ash. */
  sh(
    line: string,
    env: Record<string, string> = {},
  ): { readonly status: number; readonly out: string; readonly err: string } {
    const args = [...HOW.slice(1), 'chroot', this.root, '/bin/sh', '-c', line];
    const { status, stdout, stderr } = spawnSync(HOW[0]!, args, {
      encoding: 'utf8',
      env: { PATH: '/bin:/usr/sbin:/usr/bin:/sbin', ...env },
    });
    return { status: status ?? -1, out: stdout, err: stderr };
  }

  service(action: string): ReturnType<Router['sh']> {
    return this.sh(`/bin/sh /etc/rc.common /etc/init.d/x0tta6bl4 ${action}`);
  }

  /** Runs what was placed in /etc/uci-defaults, as /etc/init.d/boot does. */
  boot(): ReturnType<Router['sh']> {
    return this.sh('cd /etc/uci-defaults; ( . ./80-x0tta6bl4 ) && rm 80-x0tta6bl4');
  }

  config(name: string): string[] {
    return this.has(`etc/config/${name}`) ? this.read(`etc/config/${name}`).trim().split('\n') : [];
  }
}

/** busybox, its names as links, and the libraries that it was linked with. */
function busybox(): void {
  const bin = join(BASE, 'bin');
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(BASE, 'libraries'), { recursive: true });
  copyFileSync(BUSYBOX, join(bin, 'busybox'));
  const names = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  execFileSync('sh', [
    '-c',
    `cd "$0" && for name in "$@"; do [ $name = busybox ] || ln -s busybox "$name"; done`,
    bin,
    ...names,
  ]);
  const { stdout } = spawnSync('ldd', [BUSYBOX], { encoding: 'utf8' });
  for (const [, library] of stdout.matchAll(/(\/\S+\.so\S*) /g)) {
    mkdirSync(join(BASE, 'libraries', dirname(library!)), { recursive: true });
    copyFileSync(library!, join(BASE, 'libraries', library!));
  }
}
