/**
 * Compiles bpf/*.bpf.c into bpf/build: both byte orders, with bpf_timer and without, and the manifest that the agent holds
 * the objects against.
 *
 *     node tools/bpf.ts [--check]     --check: exit code 1 where what lies there is not what the sources give
 *     node tools/bpf.ts --manifest DIR   only checks the objects that lie in DIR and writes their manifest (OpenWrt's bpf.mk
 *                                        compiles them itself)
 *
 * The same compiler and headers give the same bytes wherever the sources lie. Kept in the objects is what libbpf and the
 * verifier need: code, maps, types (BTF) with line numbers; no debug information, no labels.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readObject } from '../agent/host/bpf/elf.ts';
import { checkObject, type Entry, type Manifest } from '../agent/host/bpf/validator.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDER = join(ROOT, 'bpf');
const OUT = join(FOLDER, 'build');
const MULTIARCH = globSync('/usr/include/*-linux-gnu/asm/types.h').map((file) => file.replace('/asm/types.h', ''));
const VARIANTS = { timer: [], 'no-timer': ['-DNO_TIMER'] } as const;
const TARGETS = { little: 'bpfel', big: 'bpfeb' } as const;
/** The oldest kernel that we support (6.1) and every JIT of it knows version 3. */
const FLAGS = ['-O2', '-g', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter', '-mcpu=v3'];
const STRIP = [
  '--strip-debug',
  '--wildcard',
  '--strip-symbol=LBB*',
  '-R',
  '.rel.BTF',
  '-R',
  '.rel.BTF.ext',
  '-R',
  '.llvm_addrsig',
];

function run(file: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd: FOLDER, encoding: 'utf8' });
  if (error !== undefined) throw new Error(`${file} is missing (Debian: clang llvm libbpf-dev)`);
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}\n${stderr}`);
  return stdout;
}

/** Builds everything into `into`. Throws with the compiler's words. */
export function buildBpf(into: string): Manifest {
  mkdirSync(into, { recursive: true });
  const objects: Entry[] = [];
  for (const source of globSync('*.bpf.c', { cwd: FOLDER }).sort()) {
    const name = basename(source, '.bpf.c');
    for (const [variant, defines] of Object.entries(VARIANTS) as [Entry['variant'], readonly string[]][]) {
      // One that has no timer is the same in both variants.
      if (variant === 'no-timer' && !readFileSync(join(FOLDER, source), 'utf8').includes('NO_TIMER')) continue;
      for (const [endianness, target] of Object.entries(TARGETS) as [Entry['endianness'], string][]) {
        const file = `${name}-${variant}-${target}.o`;
        const out = join(into, file);
        const include = MULTIARCH.flatMap((folder) => ['-idirafter', folder]);
        run('clang', [
          ...FLAGS,
          '-target',
          target,
          ...include,
          ...defines,
          `-ffile-prefix-map=${FOLDER}=bpf`,
          '-c',
          source,
          '-o',
          out,
        ]);
        run('llvm-objcopy', [...STRIP, out]);
        objects.push(checked(into, { name, variant, endianness, file }));
      }
    }
  }
  return writeManifest(into, objects);
}

type Named = Pick<Entry, 'name' | 'variant' | 'endianness' | 'file'>;

/** An object's entry. Throws E_BPF_OBJECT where it is not one that the agent would load. */
function checked(folder: string, named: Named): Entry {
  const bytes = readFileSync(join(folder, named.file));
  const object = readObject(bytes);
  checkObject(object);
  return { ...named, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), maps: object.maps };
}

function writeManifest(folder: string, objects: readonly Entry[]): Manifest {
  const compiler = run(process.env.CLANG ?? 'clang', ['--version']).split('\n')[0]!;
  const manifest: Manifest = { version: 1, compiler, objects };
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 1)}\n`);
  return manifest;
}

/** The manifest of objects that somebody else compiled, told by their names: mesh-no-timer-bpfeb.o. */
function describe(folder: string): Manifest {
  const objects = globSync('*.o', { cwd: folder })
    .sort()
    .map((file) => {
      const [, name, variant, end] = /^(\w+)-((?:no-)?timer)-bpf(e[lb])\.o$/.exec(file) ?? [];
      if (name === undefined) throw new Error(`${file} has no name of ours`);
      const endianness = end === 'el' ? ('little' as const) : ('big' as const);
      return checked(folder, { name, variant: variant as Entry['variant'], endianness, file });
    });
  return writeManifest(folder, objects);
}

function main(args: readonly string[]): number {
  if (args[0] === '--manifest' && args[1] !== undefined) {
    for (const { file, size } of describe(args[1]).objects) console.log(`${file} ${(size / 1024).toFixed(1)} KiB`);
    return 0;
  }
  mkdirSync(OUT, { recursive: true });
  const into = mkdtempSync(join(OUT, 'new-'));
  try {
    const { objects } = buildBpf(into);
    const files = ['manifest.json', ...objects.map(({ file }) => file)];
    if (args[0] === '--check') {
      const old = files.filter(
        (file) => !globSync(join(OUT, file)).some((path) => readFileSync(path).equals(readFileSync(join(into, file)))),
      );
      for (const file of old) console.error(`bpf/build/${file} is out of date`);
      return old.length > 0 ? 1 : 0;
    }
    // The manifest last: whoever reads it finds what it names.
    for (const file of files.toReversed()) renameSync(join(into, file), join(OUT, file));
    for (const { file, size } of objects) console.log(`bpf/build/${file} ${(size / 1024).toFixed(1)} KiB`);
    return 0;
  } catch (thrown) {
    console.error(`bpf: ${(thrown as Error).message}`);
    return 1;
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) process.exit(main(process.argv.slice(2)));
