/**
 * What stands between a file and the kernel: libbpf trusts the bytes that it is given, and some damaged objects crash it.
 * So an object has to be the one that the manifest names, byte for byte, and apart from that to be what an object of ours
 * can be at all. Each kind of damage has its own code.
 */
import { createHash } from 'node:crypto';
import { AgentError, type ErrorCode } from '../../core/errors.ts';
import { type BpfObject, IMAGE_MOST, type MapSpec, readIdentity, readObject } from './elf.ts';
import { CALL, CALL_HELPER, CALL_LOCAL, HELPERS, isJump, isKnown, LD_IMM64, target } from './isa.ts';

export type Variant = 'timer' | 'no-timer';
export type Endianness = 'little' | 'big';

/** One object of the manifest. */
export interface Entry {
  /** What the explainer and the loader call it. */
  readonly name: string;
  readonly variant: Variant;
  readonly endianness: Endianness;
  readonly file: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly maps: readonly MapSpec[];
}

export interface Manifest {
  readonly version: 1;
  readonly compiler: string;
  readonly objects: readonly Entry[];
}

/** By their types (SHT_*): what is of another one is not looked at here, or read as something else by others. */
const SECTIONS: ReadonlyMap<string, number> = new Map([
  ['', 0],
  ['.strtab', 3],
  ['.symtab', 2],
  ['.text', 1],
  ['xdp', 1],
  ['license', 1],
  ['.maps', 1],
  ['.BTF', 1],
  ['.BTF.ext', 1],
  ['.rel.text', 9],
  ['.relxdp', 9],
]);
/** The kernel's list of what it counts as compatible with the GPL (include/linux/license.h), as far as we use it. */
const LICENCES = new Set(['GPL', 'Dual BSD/GPL', 'Dual MIT/GPL']);
/** BPF_MAP_TYPE_* and the most that a value may take. */
const MAP_TYPES: Readonly<Record<number, string>> = {
  1: 'hash',
  2: 'array',
  3: 'programs',
  6: 'per-CPU array',
  27: 'ring buffer',
};
export const mapTypeName = (type: number): string => MAP_TYPES[type] ?? `type ${type}`;
const KEY_MOST = 64;
const VALUE_MOST = 1024;
/** Of all maps of an object together: what the agent allows itself. */
const MEMORY_MOST = 1 << 20;
/** BPF_MAXINSNS: beyond it a kernel wants more rights, and we want another program. */
const INSTRUCTIONS_MOST = 4096;

function refuse(code: ErrorCode, message: string): never {
  throw new AgentError(code, message);
}

/** Reads a manifest. Throws E_BPF_MANIFEST. */
export function readManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    refuse('E_BPF_MANIFEST', 'the manifest of the BPF objects is no JSON');
  }
  const { version, compiler, objects } = (value ?? {}) as Partial<Manifest>;
  if (version !== 1 || typeof compiler !== 'string' || !Array.isArray(objects))
    refuse('E_BPF_MANIFEST', 'the manifest of the BPF objects is none of version 1');
  for (const one of objects as (Partial<Entry> | null)[]) {
    const good =
      typeof one === 'object' &&
      one !== null &&
      typeof one.name === 'string' &&
      (one.variant === 'timer' || one.variant === 'no-timer') &&
      (one.endianness === 'little' || one.endianness === 'big') &&
      typeof one.file === 'string' &&
      /^[a-z0-9-]{1,60}\.o$/.test(one.file) &&
      Number.isInteger(one.size) &&
      typeof one.sha256 === 'string' &&
      /^[0-9a-f]{64}$/.test(one.sha256) &&
      Array.isArray(one.maps);
    if (!good) refuse('E_BPF_MANIFEST', 'the manifest of the BPF objects has an object that is none');
  }
  return value as Manifest;
}

/**
 * Holds the bytes of a file against its manifest entry and the rules. Answers what is in it. Throws E_BPF_SIZE,
 * E_BPF_TRUNCATED, E_BPF_ELF, E_BPF_MACHINE, E_BPF_ENDIAN, E_BPF_HASH, and what `checkObject` throws.
 */
export function validate(bytes: Uint8Array, entry: Entry): BpfObject {
  if (bytes.length > IMAGE_MOST || bytes.length > entry.size)
    refuse('E_BPF_SIZE', `${entry.file} has ${bytes.length} bytes, its manifest says ${entry.size}`);
  const { littleEndian } = readIdentity(bytes);
  if (littleEndian !== (entry.endianness === 'little'))
    refuse(
      'E_BPF_ENDIAN',
      `${entry.file} is ${littleEndian ? 'little' : 'big'}-endian, its manifest says ${entry.endianness}`,
    );
  if (bytes.length < entry.size)
    refuse('E_BPF_TRUNCATED', `${entry.file} has ${bytes.length} bytes of the ${entry.size} that its manifest says`);
  const digest = createHash('sha256').update(bytes).digest('hex');
  if (digest !== entry.sha256)
    refuse('E_BPF_HASH', `${entry.file} is not the object of its manifest: its SHA-256 is ${digest}`);
  const object = readObject(bytes);
  checkObject(object);
  if (JSON.stringify(object.maps) !== JSON.stringify(entry.maps))
    refuse('E_BPF_MAP', `${entry.file} has other maps than its manifest says`);
  return object;
}

/** What an object of ours can be at all. Throws E_BPF_SECTION, E_BPF_LICENCE, E_BPF_MAP, E_BPF_INSTRUCTIONS, E_BPF_HELPER. */
export function checkObject(object: BpfObject): void {
  const { sections, licence, maps, programs, functions } = object;
  for (const { name, type } of sections) {
    if (!SECTIONS.has(name)) refuse('E_BPF_SECTION', `it has a section ${name}, which none of ours has`);
    if (SECTIONS.get(name) !== type)
      refuse('E_BPF_SECTION', `its section ${name} is of type ${type}, not ${SECTIONS.get(name)}`);
  }
  if (!LICENCES.has(licence))
    refuse('E_BPF_LICENCE', `its licence is "${licence}", not one of ${[...LICENCES].join(', ')}`);
  for (const { name, type, keySize, valueSize, maxEntries } of maps) {
    if (MAP_TYPES[type] === undefined) refuse('E_BPF_MAP', `map ${name} is of type ${type}, which none of ours is`);
    const isRing = MAP_TYPES[type] === 'ring buffer';
    const sane = isRing
      ? keySize === 0 && valueSize === 0 && (maxEntries & (maxEntries - 1)) === 0 && maxEntries >= 4096
      : keySize > 0 && keySize <= KEY_MOST && valueSize > 0 && valueSize <= VALUE_MOST && maxEntries > 0;
    if (!sane) refuse('E_BPF_MAP', `map ${name} has ${maxEntries} entries of ${keySize} and ${valueSize} bytes`);
  }
  const bytes = maps.reduce(
    (sum, { keySize, valueSize, maxEntries }) => sum + maxEntries * (keySize + valueSize || 1),
    0,
  );
  if (bytes > MEMORY_MOST) refuse('E_BPF_MAP', `its maps take ${bytes} bytes: ${MEMORY_MOST} at most`);
  if (programs.length === 0) refuse('E_BPF_INSTRUCTIONS', 'it has no program');
  for (const { name, instructions } of [...programs, ...functions]) {
    const last = instructions.at(-1)!;
    const count = last.at + (last.upper === null ? 1 : 2);
    if (count > INSTRUCTIONS_MOST)
      refuse('E_BPF_INSTRUCTIONS', `${name} has ${count} instructions: ${INSTRUCTIONS_MOST} at most`);
    const starts = new Set(instructions.map(({ at }) => at));
    for (const insn of instructions) {
      if (insn.code === LD_IMM64 && insn.upper === null)
        refuse('E_BPF_INSTRUCTIONS', `${name} ends within an instruction`);
      // Of newer ones a jump would lead elsewhere than the explainer says: what stands there would not be looked at.
      if (!isKnown(insn))
        refuse(
          'E_BPF_INSTRUCTIONS',
          `${name} has an instruction 0x${insn.code.toString(16)} at ${insn.at}, which none of ours has`,
        );
      if (isJump(insn) && !starts.has(target(insn)))
        refuse('E_BPF_INSTRUCTIONS', `${name} jumps to ${target(insn)}, where no instruction begins`);
      if (insn.code !== CALL || insn.src === CALL_LOCAL) continue;
      if (insn.src !== CALL_HELPER) refuse('E_BPF_HELPER', `${name} calls a function of the kernel (kfunc)`);
      if (HELPERS[insn.immediate] === undefined)
        refuse('E_BPF_HELPER', `${name} calls helper ${insn.immediate}, which is not among those allowed`);
    }
  }
}
