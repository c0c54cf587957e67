/**
 * musl for aarch64 and armv7, as Debian has it: its packages of that processor unpacked into .cache/musl, without telling this
 * machine's dpkg of another processor. Debian's cross compilers are told of it by the specs that musl brings (musl-gcc does
 * the same on x86-64). C only: Debian has no libstdc++ for musl.
 *
 * And what a file that was linked has to be so that a musl router's Node can load it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const CACHE = join(ROOT, '.cache/musl');
const FETCH_MS = 300_000;

export interface Target {
  /** As Debian and readelf name the processor, and Debian the folders and the cross compiler. */
  readonly debian: string;
  readonly machine: string;
  readonly folder: string;
  readonly gnu: 'aarch64-linux-gnu' | 'arm-linux-gnueabihf';
}

export const FOREIGN: readonly Target[] = [
  { debian: 'arm64', machine: 'AArch64', folder: 'aarch64-linux-musl', gnu: 'aarch64-linux-gnu' },
  { debian: 'armhf', machine: 'ARM', folder: 'arm-linux-musleabihf', gnu: 'arm-linux-gnueabihf' },
];

export interface Musl {
  /** A C compiler's command line. */
  readonly cc: string;
  readonly machine: string;
  /** The library itself. */
  readonly libc: string;
  /** The kernel's headers, which musl does not bring: to be looked into last. */
  readonly kernel: readonly string[];
}

/** Where what is there of one package lies. Throws, in a sentence, where apt cannot bring it. */
function fetched({ debian, folder }: Target): string {
  const kept = join(CACHE, debian);
  if (existsSync(kept)) return kept;
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'draft-'));
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial', 'tree'])
      mkdirSync(join(draft, folder), { recursive: true });
    // Lists of its own, of that processor: those of this machine stay as they are.
    const settings = [
      `APT::Architectures::=${debian}`,
      `Dir::State::Lists=${draft}/lists/`,
      `Dir::Cache=${draft}/cache/`,
      'Acquire::Languages=none',
      'APT::Sandbox::User=root',
      'Debug::NoLocking=1',
    ].flatMap((setting) => ['-o', setting]);
    const apt = (...args: string[]) =>
      spawnSync('apt-get', [...settings, '-q', ...args], { cwd: draft, encoding: 'utf8', timeout: FETCH_MS });
    // One list of several may fail and not be the one that is needed: what counts is whether the packages come.
    const lists = apt('update');
    const { status, stderr } = apt('download', `musl:${debian}`, `musl-dev:${debian}`);
    if (status !== 0) {
      const said = `${lists.error?.message ?? ''}\n${lists.stderr ?? ''}\n${stderr ?? ''}`.split('\n');
      throw new Error(`apt could not fetch Debian's musl-dev:${debian}: ${said.find((line) => line.trim() !== '')}`);
    }
    for (const archive of globSync('*.deb', { cwd: draft }))
      execFileSync('dpkg', ['-x', join(draft, archive), join(draft, 'tree')], { stdio: ['ignore', 2, 2] });
    // Without it the linker would take musl's libc.a into each file.
    symlinkSync(`../../../lib/${folder}/libc.so`, join(draft, 'tree/usr/lib', folder, 'libc.so'));
    renameSync(join(draft, 'tree'), kept);
    return kept;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** What compiles C for a target and musl, or, in words, why there is nothing. */
export function muslFor(target: Target): Musl | { readonly why: string } {
  const { folder, gnu } = target;
  const [compiler, headers] = [`${gnu}-gcc`, `/usr/${gnu}/include`];
  if (spawnSync(compiler, ['--version']).error !== undefined)
    return { why: `${compiler} is missing (Debian: gcc-${gnu})` };
  if (!existsSync(join(headers, 'linux/netlink.h')))
    return { why: `the kernel's headers are missing in ${headers} (Debian: linux-libc-dev-${target.debian}-cross)` };
  let tree: string;
  try {
    tree = fetched(target);
  } catch (error) {
    return { why: (error as Error).message };
  }
  const specs = join(tree, 'musl-gcc.specs');
  const theirs = readFileSync(join(tree, `usr/lib/${folder}/musl-gcc.specs`), 'utf8');
  writeFileSync(specs, theirs.replaceAll(/\/usr\/(?=(?:include|lib)\/)/g, `${tree}/usr/`));
  return {
    cc: `${compiler} -specs ${specs}`,
    machine: target.machine,
    libc: join(tree, `lib/${folder}/libc.so`),
    kernel: ['linux', 'asm-generic', 'asm'].map((name) => join(headers, name)),
  };
}

/** The same of what musl-gcc makes on this machine. */
export const HERE = { machine: 'Advanced Micro Devices X86-64', libc: '/usr/lib/x86_64-linux-musl/libc.so' } as const;

/** Names that a library or program has or lacks, as the loader sees them; weak ones that are lacking may stay so. */
function names(file: string): { readonly has: Set<string>; readonly lacks: Set<string> } {
  const [has, lacks] = [new Set<string>(), new Set<string>()];
  const table = execFileSync('readelf', ['-W', '--dyn-syms', file], { encoding: 'utf8' });
  for (const line of table.split('\n')) {
    const [, bind, , index, name] = /: +\S+ +\S+ +\S+ +(\S+) +(\S+) +(\S+) +([^\s@]+)/.exec(line) ?? [];
    if (name === undefined) continue;
    if (index !== 'UND') has.add(name);
    else if (bind === 'GLOBAL') lacks.add(name);
  }
  return { has, lacks };
}

/** Functions that Node's own program brings: Node-API, and those of libuv that the shim declares. */
function nodes(): Set<string> {
  const { symbols } = createRequire(import.meta.url)('node-api-headers') as {
    symbols: Record<string, { js_native_api_symbols: string[]; node_api_symbols: string[] }>;
  };
  const uv = readFileSync(join(ROOT, 'native/uv.h'), 'utf8').match(/\buv_\w+(?=\()/g) ?? [];
  const api = Object.values(symbols).flatMap((one) => [...one.js_native_api_symbols, ...one.node_api_symbols]);
  return new Set([...api, ...uv]);
}

/**
 * What keeps a file from being loaded on a musl router of that processor; empty where nothing does.
 *
 * @param addon Node loads it: what Node brings is there.
 */
export function wrongForMusl(
  file: string,
  { machine, libc }: Pick<Musl, 'machine' | 'libc'>,
  addon: boolean,
): string[] {
  if (!existsSync(file)) return [`${file} was not made`];
  const read = (...args: string[]): string => execFileSync('readelf', ['-W', ...args, file], { encoding: 'utf8' });
  const found: string[] = [];
  const said = /^ *Machine: +(.*)$/m.exec(read('-h'))?.[1]?.trim();
  if (said !== machine) found.push(`is for ${said}, not for ${machine}`);
  const needed = [...read('-d').matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, library]) => library!);
  // musl is all of it: libpthread and libdl are within.
  for (const library of needed.filter((one) => one !== 'libc.so')) found.push(`needs ${library}`);
  if (!needed.includes('libc.so')) found.push("does not need musl's libc.so");
  if (/GLIBC/.test(read('-V'))) found.push("asks for versions of glibc's symbols");
  const interpreter = /interpreter: (.*)\]/.exec(read('-l'))?.[1];
  if (!addon && !/^\/lib\/ld-musl-\w+\.so\.1$/.test(interpreter ?? '')) found.push(`is started by ${interpreter}`);
  const { has } = names(realpathSync(libc));
  const theirs = addon ? nodes() : new Set<string>();
  for (const name of names(file).lacks)
    if (!has.has(name) && !theirs.has(name)) found.push(`asks for ${name}, which neither musl nor Node has`);
  return found;
}
