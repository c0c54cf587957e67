/**
 * Reads BPF object files: ELF64 relocatables as clang writes them, with the types of their maps in BTF (the kernel's
 * Documentation/bpf/btf.rst). The bytes may be hostile: whatever is wrong with them is an AgentError with one of the codes
 * E_BPF_*, and work is bounded by the length of the file.
 */
import { AgentError, type ErrorCode } from '../../core/errors.ts';
import { decode, type Instruction } from './isa.ts';

export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
}

export interface MapSpec {
  readonly name: string;
  /** BPF_MAP_TYPE_* */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

export interface Program {
  readonly name: string;
  readonly section: string;
  readonly instructions: readonly Instruction[];
}

export interface BpfObject {
  readonly littleEndian: boolean;
  readonly sections: readonly Section[];
  readonly licence: string;
  readonly maps: readonly MapSpec[];
  readonly programs: readonly Program[];
  /** Functions that programs call or hand to the kernel as callbacks: section .text. */
  readonly functions: readonly Program[];
}

/** No object of ours is a quarter of it. */
export const IMAGE_MOST = 256 * 1024;
const SECTIONS_MOST = 64;
const SYMBOLS_MOST = 4096;
const HEADER = 64;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const RELOCATION = 16;
const EM_BPF = 247;
const ET_REL = 1;
const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const SHF_EXECINSTR = 4;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_SECTION = 3;

interface Symbol_ {
  readonly name: string;
  readonly type: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

function refuse(code: ErrorCode, message: string, detail: Record<string, unknown> = {}): never {
  throw new AgentError(code, message, detail);
}

class Reader {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly little: boolean;

  constructor(bytes: Uint8Array, little: boolean) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.little = little;
  }

  u16(at: number): number {
    return this.view.getUint16(at, this.little);
  }

  u32(at: number): number {
    return this.view.getUint32(at, this.little);
  }

  /** Offsets and sizes: what a double cannot hold exactly is beyond every file. */
  size(at: number): number {
    return Number(this.view.getBigUint64(at, this.little));
  }

  /** The string at an offset of a string table. */
  string(table: { readonly offset: number; readonly size: number }, at: number): string {
    const begin = table.offset + at;
    const end = at < table.size ? this.bytes.indexOf(0, begin) : -1;
    if (end < 0 || end >= table.offset + table.size) refuse('E_BPF_ELF', 'a name lies outside of its string table');
    const name = this.bytes.toString('latin1', begin, end);
    if (!/^[\x20-\x7e]{0,128}$/.test(name)) refuse('E_BPF_ELF', 'a name holds what no name holds');
    return name;
  }
}

/** The byte order and kind that the first bytes claim. Throws E_BPF_TRUNCATED, E_BPF_ELF, E_BPF_MACHINE. */
export function readIdentity(bytes: Uint8Array): { readonly littleEndian: boolean } {
  if (bytes.length < HEADER) refuse('E_BPF_TRUNCATED', `${bytes.length} bytes are too few for an ELF header`);
  if (bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46)
    refuse('E_BPF_ELF', 'it is no ELF file');
  if (bytes[4] !== 2) refuse('E_BPF_MACHINE', `it is of ELF class ${bytes[4]}, not 2 (64 bit)`);
  if (bytes[5] !== 1 && bytes[5] !== 2) refuse('E_BPF_ELF', `there is no byte order ${bytes[5]}`);
  const littleEndian = bytes[5] === 1;
  const machine = new Reader(bytes, littleEndian).u16(18);
  if (machine !== EM_BPF) {
    const swapped = new Reader(bytes, !littleEndian).u16(18) === EM_BPF;
    if (swapped) refuse('E_BPF_ENDIAN', 'its byte order is not the one that it claims');
    refuse('E_BPF_MACHINE', `it is for machine ${machine}, not ${EM_BPF} (BPF)`);
  }
  return { littleEndian };
}

/** Reads all of an object. Throws E_BPF_TRUNCATED, E_BPF_ELF, E_BPF_MACHINE, E_BPF_ENDIAN, E_BPF_SIZE, E_BPF_MAP. */
export function readObject(bytes: Uint8Array): BpfObject {
  if (bytes.length > IMAGE_MOST) refuse('E_BPF_SIZE', `${bytes.length} bytes: ${IMAGE_MOST} at most`);
  const { littleEndian } = readIdentity(bytes);
  const reader = new Reader(bytes, littleEndian);
  const sections = readSections(reader);
  const symbols = readSymbols(reader, sections);
  const maps = readMaps(reader, sections, symbols);
  const code = sections.filter(({ type, flags }) => type === SHT_PROGBITS && (flags & SHF_EXECINSTR) !== 0);
  const units = code.flatMap((section) => readPrograms(reader, sections, symbols, section));
  const terms = contentOf(sections, 'license');
  const licence = terms === undefined ? '' : reader.string(terms, 0);
  return {
    littleEndian,
    sections,
    licence,
    maps,
    programs: units.filter(({ section }) => section !== '.text'),
    functions: units.filter(({ section }) => section === '.text'),
  };
}

/** The section of that name, which lies in the file: only of those is it known where they end. */
function contentOf(sections: readonly Section[], name: string): Section | undefined {
  const section = sections.find((one) => one.name === name);
  if (section !== undefined && section.type !== SHT_PROGBITS)
    refuse('E_BPF_ELF', `section ${name} is of type ${section.type}, not ${SHT_PROGBITS}`);
  return section;
}

function readSections(reader: Reader): Section[] {
  const total = reader.bytes.length;
  if (reader.u16(16) !== ET_REL) refuse('E_BPF_ELF', 'it is no relocatable object');
  const table = reader.size(40);
  const count = reader.u16(60);
  const names = reader.u16(62);
  if (reader.u16(52) !== HEADER || reader.u16(58) !== SECTION_HEADER || reader.u16(56) !== 0)
    refuse('E_BPF_ELF', 'its header has other sizes than ELF64 objects have');
  if (count === 0 || count > SECTIONS_MOST) refuse('E_BPF_ELF', `${count} sections: 1 to ${SECTIONS_MOST} are sane`);
  if (table + count * SECTION_HEADER > total)
    refuse('E_BPF_TRUNCATED', `its section table ends at ${table + count * SECTION_HEADER}, the file at ${total}`);
  if (table < HEADER || table % 8 !== 0) refuse('E_BPF_ELF', 'its section table lies where none can lie');
  const raw = Array.from({ length: count }, (_, index) => {
    const at = table + index * SECTION_HEADER;
    const section = {
      index,
      nameAt: reader.u32(at),
      type: reader.u32(at + 4),
      flags: reader.size(at + 8),
      offset: reader.size(at + 24),
      size: reader.size(at + 32),
      link: reader.u32(at + 40),
      info: reader.u32(at + 44),
    };
    if (section.type !== SHT_NOBITS && section.type !== 0 && section.offset + section.size > total)
      refuse('E_BPF_TRUNCATED', `section ${index} ends at ${section.offset + section.size}, the file at ${total}`);
    if (section.link >= count) refuse('E_BPF_ELF', `section ${index} links to one that is not there`);
    return section;
  });
  const strings = raw[names];
  if (strings?.type !== SHT_STRTAB) refuse('E_BPF_ELF', 'it has no section names');
  const taken = [
    { begin: 0, end: HEADER, what: 'the header' },
    { begin: table, end: table + count * SECTION_HEADER, what: 'the section table' },
    ...raw
      .filter(({ type, size }) => type !== SHT_NOBITS && type !== 0 && size > 0)
      .map(({ index, offset, size }) => ({ begin: offset, end: offset + size, what: `section ${index}` })),
  ].sort((a, b) => a.begin - b.begin);
  for (let i = 1; i < taken.length; i++)
    if (taken[i]!.begin < taken[i - 1]!.end) refuse('E_BPF_ELF', `${taken[i]!.what} overlaps ${taken[i - 1]!.what}`);
  const sections = raw.map(({ nameAt, ...section }) => ({ ...section, name: reader.string(strings, nameAt) }));
  // Who reads it after us might take the other one.
  const seen = new Set<string>();
  for (const { name } of sections) {
    if (seen.has(name)) refuse('E_BPF_ELF', `it has two sections ${name}`);
    seen.add(name);
  }
  return sections;
}

function readSymbols(reader: Reader, sections: readonly Section[]): Symbol_[] {
  const tables = sections.filter(({ type }) => type === SHT_SYMTAB);
  if (tables.length !== 1) refuse('E_BPF_ELF', `${tables.length} symbol tables: one is sane`);
  const [table] = tables as [Section];
  const strings = sections[table.link]!;
  if (strings.type !== SHT_STRTAB) refuse('E_BPF_ELF', 'its symbols have no names');
  if (table.size % SYMBOL !== 0 || table.size / SYMBOL > SYMBOLS_MOST)
    refuse('E_BPF_ELF', 'its symbol table has no sane size');
  return Array.from({ length: table.size / SYMBOL }, (_, index) => {
    const at = table.offset + index * SYMBOL;
    return {
      name: reader.string(strings, reader.u32(at)),
      type: reader.bytes[at + 4]! & 15,
      section: reader.u16(at + 6),
      value: reader.size(at + 8),
      size: reader.size(at + 16),
    };
  });
}

function readPrograms(
  reader: Reader,
  sections: readonly Section[],
  symbols: readonly Symbol_[],
  section: Section,
): Program[] {
  if (section.size % 8 !== 0) refuse('E_BPF_ELF', `section ${section.name} ends within an instruction`);
  const references = new Map<number, string>();
  for (const table of sections) {
    if (table.type !== SHT_REL || table.info !== section.index) continue;
    if (table.size % RELOCATION !== 0) refuse('E_BPF_ELF', `section ${table.name} ends within a relocation`);
    for (let at = table.offset; at < table.offset + table.size; at += RELOCATION) {
      const where = reader.size(at);
      const info = reader.view.getBigUint64(at + 8, reader.little);
      const symbol = symbols[Number(info >> 32n)];
      if (symbol === undefined) refuse('E_BPF_ELF', `section ${table.name} relocates by a symbol that is not there`);
      if (where % 8 !== 0 || where >= section.size)
        refuse('E_BPF_ELF', `section ${table.name} relocates outside of ${section.name}`);
      references.set(where, symbol.type === STT_SECTION ? (sections[symbol.section]?.name ?? '') : symbol.name);
    }
  }
  const starts = symbols
    .filter(({ type, section: of }) => type === STT_FUNC && of === section.index)
    .sort((a, b) => a.value - b.value);
  let end = 0;
  const programs = starts.map(({ name, value, size }) => {
    if (value !== end) refuse('E_BPF_ELF', `${name} does not begin where the one before it ends`);
    if (size === 0 || size % 8 !== 0 || value + size > section.size)
      refuse('E_BPF_ELF', `${name} does not lie within ${section.name}`);
    end = value + size;
    const code = decode(reader.view, section.offset + value, size, reader.little, (at) =>
      references.get(at - section.offset),
    );
    return { name, section: section.name, instructions: code };
  });
  if (end !== section.size) refuse('E_BPF_ELF', `section ${section.name} holds code that belongs to no program`);
  return programs;
}

/** What BTF says of a type: its size in bytes where it has one. */
interface Type {
  readonly kind: number;
  /** Names by their place among the strings: source lines are there too, and few are asked for. */
  readonly nameAt: number;
  /** `size` or `type`, as the kind has it. */
  readonly word: number;
  readonly members: readonly { readonly nameAt: number; readonly type: number }[];
  /** Of an array. */
  readonly element: number;
  readonly count: number;
}

const KIND = { int: 1, ptr: 2, array: 3, struct: 4, union: 5, enum: 6, typedef: 8, var: 14, datasec: 15, enum64: 19 };
/** Bytes after the common 12, fixed and for each of vlen, by kind. */
const TAIL: Readonly<Record<number, readonly [number, number]>> = {
  1: [4, 0],
  2: [0, 0],
  3: [12, 0],
  4: [0, 12],
  5: [0, 12],
  6: [0, 8],
  7: [0, 0],
  8: [0, 0],
  9: [0, 0],
  10: [0, 0],
  11: [0, 0],
  12: [0, 0],
  13: [0, 8],
  14: [4, 0],
  15: [0, 12],
  16: [0, 0],
  17: [4, 0],
  18: [0, 0],
  19: [0, 12],
};

interface Types {
  readonly types: readonly Type[];
  nameOf(of: { readonly nameAt: number }): string;
}

function readTypes(reader: Reader, section: Section): Types {
  const bad = (what: string): never => refuse('E_BPF_ELF', `its types (BTF) ${what}`);
  const base = section.offset;
  if (section.size < 24) bad('have no header');
  if (reader.u16(base) !== 0xeb9f) bad(reader.u16(base) === 0x9feb ? 'are of the other byte order' : 'are none');
  const header = reader.u32(base + 4);
  const [typesAt, typesSize] = [reader.u32(base + 8), reader.u32(base + 12)];
  const [stringsAt, stringsSize] = [reader.u32(base + 16), reader.u32(base + 20)];
  if (header + typesAt + typesSize > section.size || header + stringsAt + stringsSize > section.size || header < 24)
    bad('lie outside of their section');
  const strings = { offset: base + header + stringsAt, size: stringsSize };
  const types: Type[] = [{ kind: 0, nameAt: 0, word: 0, members: [], element: 0, count: 0 }];
  let at = base + header + typesAt;
  const end = at + typesSize;
  while (at < end) {
    if (at + 12 > end) bad('end within one');
    const info = reader.u32(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const vlen = info & 0xffff;
    const tail = TAIL[kind];
    if (tail === undefined) return bad(`have one of kind ${kind}`);
    const next = at + 12 + tail[0] + tail[1] * vlen;
    if (next > end) bad('end within one');
    const hasMembers = kind === KIND.struct || kind === KIND.union || kind === KIND.datasec;
    const members = hasMembers
      ? Array.from({ length: vlen }, (_, i) => {
          const from = at + 12 + i * 12;
          return kind === KIND.datasec
            ? { nameAt: 0, type: reader.u32(from) }
            : { nameAt: reader.u32(from), type: reader.u32(from + 4) };
        })
      : [];
    const isArray = kind === KIND.array;
    types.push({
      kind,
      nameAt: reader.u32(at),
      word: reader.u32(at + 8),
      members,
      element: isArray ? reader.u32(at + 12) : 0,
      count: isArray ? reader.u32(at + 20) : 0,
    });
    at = next;
  }
  return { types, nameOf: ({ nameAt }) => (nameAt === 0 ? '' : reader.string(strings, nameAt)) };
}

/** The maps of section .maps, which clang describes by the types of its variables (libbpf's BTF-defined maps). */
function readMaps(reader: Reader, sections: readonly Section[], symbols: readonly Symbol_[]): MapSpec[] {
  const section = contentOf(sections, '.maps');
  if (section === undefined) return [];
  const names = symbols.filter(({ type, section: of }) => type === STT_OBJECT && of === section.index);
  const btf = contentOf(sections, '.BTF');
  if (btf === undefined) refuse('E_BPF_MAP', 'its maps have no types (BTF)');
  const { types, nameOf } = readTypes(reader, btf);
  const typeOf = (id: number): Type => types[id] ?? refuse('E_BPF_ELF', 'its types (BTF) name one that is not there');
  const sizeOf = (id: number, depth = 0): number => {
    if (depth > 16) refuse('E_BPF_MAP', 'a type of its maps leads nowhere');
    const { kind, word, element, count } = typeOf(id);
    if ([KIND.int, KIND.struct, KIND.union, KIND.enum, KIND.enum64].includes(kind)) return word;
    if (kind === KIND.ptr) return 8;
    if (kind === KIND.array) return count * sizeOf(element, depth + 1);
    if (kind === KIND.typedef || (kind >= 9 && kind <= 11)) return sizeOf(word, depth + 1);
    return refuse('E_BPF_MAP', 'a type of its maps has no size');
  };
  const variables = new Map(types.filter(({ kind }) => kind === KIND.var).map((type) => [nameOf(type), type]));
  if (names.length === 0 || names.length > SECTIONS_MOST)
    refuse('E_BPF_MAP', `${names.length} maps: 1 to ${SECTIONS_MOST} are sane`);
  return names.map(({ name }) => {
    const variable = variables.get(name) ?? refuse('E_BPF_MAP', `map ${name} has no type`);
    const { kind, members } = typeOf(variable.word);
    if (kind !== KIND.struct) refuse('E_BPF_MAP', `map ${name} is no structure`);
    const spec = { name, type: 0, keySize: 0, valueSize: 0, maxEntries: 0 };
    for (const member of members) {
      const pointed = typeOf(member.type).kind === KIND.ptr ? typeOf(member.type).word : 0;
      const number = typeOf(pointed).count;
      const property = nameOf(member);
      if (property === 'type') spec.type = number;
      else if (property === 'max_entries') spec.maxEntries = number;
      else if (property === 'key') spec.keySize = sizeOf(pointed);
      else if (property === 'value') spec.valueSize = sizeOf(pointed);
      else refuse('E_BPF_MAP', `map ${name} has a ${property}, which none of ours has`);
    }
    return spec;
  });
}
