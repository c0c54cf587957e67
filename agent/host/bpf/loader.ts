/**
 * Brings the programs of bpf/ into the kernel: finds the objects, lets the validator look at them, loads the variant that
 * this kernel takes, chains the programs, and attaches `entry` to interfaces. What a kernel can do is found out by asking
 * it, never by its version.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentError } from '../../core/errors.ts';
import type { IfIndex } from '../../core/ids.ts';
import {
  type AttachedXdp,
  attachXdp,
  type BpfError,
  type Native,
  type NativeBpf,
  type NativeError,
} from '../native.ts';
import { type BpfObject, IMAGE_MOST } from './elf.ts';
import { CHAIN, encodeU32, NEIGHBOURS_MOST } from './layout.ts';
import { INSTALLED, manifestOf } from './place.ts';
import { type Entry, type Manifest, readManifest, type Variant, validate } from './validator.ts';

const HERE = dirname(fileURLToPath(import.meta.url));

/** Where the objects may lie: named by the environment, installed, beside the bundle, in the source tree. */
function folders(): string[] {
  const named = process.env.X0_BPF;
  if (named) return [named];
  return [INSTALLED, join(HERE, 'bpf'), join(HERE, '../bpf/build'), join(HERE, '../../../bpf/build')];
}

/**
 * A file of that folder, if it is one of a sane size: a pipe would hold the agent up for ever, and what is too large is
 * refused before it takes memory. Throws E_BPF_MANIFEST, E_BPF_SIZE.
 */
function readBounded(folder: string, file: string): Buffer {
  let fd: number;
  try {
    fd = openSync(join(folder, file), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new AgentError('E_BPF_MANIFEST', `${file} of the BPF objects cannot be read`, { folder }, { cause });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new AgentError('E_BPF_MANIFEST', `${file} of the BPF objects is not a file`, { folder });
    if (stat.size > IMAGE_MOST)
      throw new AgentError('E_BPF_SIZE', `${file} has ${stat.size} bytes: ${IMAGE_MOST} at most`, { folder });
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The folder of the objects and what lies in it. Throws E_BPF_MANIFEST. */
export function findObjects(): { readonly folder: string; readonly manifest: Manifest } {
  const places = folders();
  const folder = places.find((place) => existsSync(manifestOf(place)));
  if (folder === undefined)
    throw new AgentError(
      'E_BPF_MANIFEST',
      'the BPF objects are missing: build them with `make bpf` (it takes clang), or name their folder in X0_BPF',
      { places },
    );
  return { folder, manifest: readManifest(readBounded(folder, 'manifest.json').toString('utf8')) };
}

export const HERE_ENDIAN = endianness() === 'LE' ? 'little' : 'big';

/** The manifest's entry of an object. Throws E_NOT_FOUND. */
export function entryOf(
  manifest: Manifest,
  name: string,
  variant: Variant,
  endian: Entry['endianness'] = HERE_ENDIAN,
): Entry {
  const of = manifest.objects.filter((entry) => entry.name === name && entry.endianness === endian);
  const entry = of.find((one) => one.variant === variant) ?? (of.length === 1 ? of[0] : undefined);
  if (entry === undefined)
    throw new AgentError('E_NOT_FOUND', `there is no BPF object ${name} (${variant}, ${endian}-endian)`);
  return entry;
}

/** Reads an object and lets the validator look at it. Throws what that throws, and E_BPF_MANIFEST where there is no file. */
export function readValid(folder: string, entry: Entry): { readonly image: Buffer; readonly object: BpfObject } {
  const image = readBounded(folder, entry.file);
  return { image, object: validate(image, entry) };
}

/** What this kernel turned out to do for our programs. */
interface Features {
  /** Compiled to machine code; else interpreted. */
  readonly jit: boolean;
  /** The kernel itself says when a neighbour falls silent; else it is looked at. */
  readonly timer: boolean;
  /** Why not, in the kernel's words. */
  readonly noTimer: string | null;
}

export interface Loaded {
  readonly object: NativeBpf;
  readonly variant: Variant;
  readonly features: Features;
  /** The bytes of a neighbour's value, as the map has it. */
  readonly neighbourSize: number;
  /** The bytes of a place of the map `counts`, of all CPUs together. */
  readonly countsSize: number;
  /** What all maps take of the kernel's memory: none of them grows. */
  readonly lockedBytes: number;
  /**
   * Native where the driver can, generic otherwise if `generic` says so. Throws E_BPF_FOREIGN where somebody else's program sits, and stays;
   * E_BPF_LOAD for what else the kernel says.
   */
  attach(index: IfIndex, generic?: boolean): AttachedXdp;
  close(): void;
}

/** What of the verifier's log says it: its last line that is no statistics. */
function lastWords(log: string): string {
  const lines = log
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(processed |libbpf: |-- |verification time|stack depth)/.test(line));
  return lines.at(-1)?.trim().slice(0, 200) ?? '';
}

function loadError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const { code, message, log } = thrown as BpfError;
  const words = lastWords(log ?? '');
  const rights = code === 'EPERM' || code === 'EACCES' ? ' (it takes CAP_BPF and CAP_NET_ADMIN)' : '';
  return new AgentError('E_BPF_LOAD', `${message}${words && `: ${words}`}${code === 'EPERM' ? rights : ''}`, {
    errno: code,
  });
}

/** Loads and chains the programs. `only`: for tests. Throws E_BPF_*. */
export function loadMesh(native: Native, only?: Variant): Loaded {
  const missing = native.bpfObstacle();
  if (missing !== null) throw new AgentError('E_BPF_LOAD', missing);
  const { folder, manifest } = findObjects();
  const variants: readonly Variant[] = only === undefined ? ['timer', 'no-timer'] : [only];
  let noTimer: AgentError | null = null;
  for (const variant of variants) {
    const { image } = readValid(folder, entryOf(manifest, 'mesh', variant));
    try {
      const before = new Set(readdirSync('/proc/self/fd'));
      const object = native.openBpf(image);
      const bytes = readdirSync('/proc/self/fd')
        .filter((fd) => !before.has(fd))
        .map((fd) => fdinfo(Number(fd)))
        .reduce((sum, info) => sum + (info.has('map_id') ? Number(info.get('memlock') ?? 0) : 0), 0);
      return chained(object, variant, noTimer, bytes);
    } catch (thrown) {
      const error = loadError(thrown);
      // Another variant would need the same rights.
      if (error.code !== 'E_BPF_LOAD' || error.detail.errno === 'EPERM') throw error;
      noTimer = error;
    }
  }
  throw noTimer!;
}

function chained(object: NativeBpf, variant: Variant, noTimer: AgentError | null, lockedBytes: number): Loaded {
  let countsSize: number;
  try {
    for (const [name, place] of Object.entries(CHAIN)) {
      const program = object.programs.find((one) => one.name === name);
      if (program !== undefined) object.update('chain', encodeU32(place), encodeU32(program.fd));
    }
    countsSize = object.read('counts')[1].length / NEIGHBOURS_MOST;
  } catch (thrown) {
    object.close();
    throw loadError(thrown);
  }
  const jited = Number(fdinfo(object.programs[0]!.fd).get('prog_jited') ?? '0');
  return {
    object,
    variant,
    features: { jit: jited === 1, timer: variant === 'timer', noTimer: noTimer?.message ?? null },
    neighbourSize: object.maps.find(({ name }) => name === 'neighbours')!.valueSize,
    countsSize,
    lockedBytes,
    attach(index, generic = true) {
      try {
        if (generic) return attachXdp(object, 'entry', index);
        const link = object.attachXdp('entry', index, false);
        return { mode: 'native', close: () => link.close() };
      } catch (thrown) {
        const { code, message } = thrown as NativeError;
        if (code === 'EBUSY' || code === 'EEXIST')
          throw new AgentError('E_BPF_FOREIGN', "somebody else's XDP program sits there, and stays");
        if (code === 'EOPNOTSUPP' && !generic)
          throw new AgentError('E_BPF_LOAD', 'the driver has no XDP of its own, and bpf.generic is 0');
        throw new AgentError('E_BPF_LOAD', message, { errno: code });
      }
    },
    close: () => object.close(),
  };
}

/** What the kernel tells of a descriptor of ours: /proc/self/fdinfo. */
export function fdinfo(fd: number): ReadonlyMap<string, string> {
  try {
    const lines = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').split('\n');
    return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
  } catch {
    return new Map();
  }
}
