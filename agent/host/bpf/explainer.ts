/** What a BPF object is and may do, for people: x0ctl bpf explain. Everything is read off the object itself. */
import type { BpfObject, Program } from './elf.ts';
import { analyse, type Block, type Flow } from './flow.ts';
import { disassemble, HELPERS } from './isa.ts';
import { type Entry, mapTypeName } from './validator.ts';

/** linux/bpf.h: enum xdp_action */
const ACTIONS = ['XDP_ABORTED', 'XDP_DROP', 'XDP_PASS', 'XDP_TX', 'XDP_REDIRECT'] as const;

/** The text of an object; of one program of it with its control flow and disassembly. */
export function explainText(entry: Entry, object: BpfObject, only: string | null): string {
  const out: string[] = [];
  const units = unitsOf(object, only);
  if (only === null) {
    out.push(
      `${entry.file}: ${entry.size} bytes, ${entry.endianness}-endian, variant ${entry.variant}, licence ${object.licence}`,
      `SHA-256 ${entry.sha256}, as the manifest says`,
      '',
      'maps',
      ...object.maps.map(({ name, type, keySize, valueSize, maxEntries }) =>
        mapTypeName(type) === 'ring buffer'
          ? `  ${name}: ring buffer of ${maxEntries} bytes`
          : `  ${name}: ${mapTypeName(type)}, ${maxEntries} entries of ${keySize} + ${valueSize} bytes`,
      ),
      '',
    );
  }
  for (const unit of units) out.push(...explainProgram(unit, only !== null), '');
  return `${out.join('\n').trimEnd()}\n`;
}

/** The same for programs: plain JSON. */
export interface ProgramFacts {
  readonly name: string;
  readonly instructions: number;
  readonly worstCase: number;
  /** Of each loop, at most; null where that cannot be read off. */
  readonly rounds: readonly (number | null)[];
  readonly maps: Readonly<Record<string, readonly string[]>>;
  readonly helpers: readonly string[];
  readonly readsFrame: boolean;
  /** Also where it could not be told. */
  readonly changesFrame: boolean;
  readonly answers: readonly string[];
}

export function factsOf(object: BpfObject, only: string | null): ProgramFacts[] {
  return unitsOf(object, only).map((program) => {
    const flow = analyse(program);
    return {
      name: program.name,
      instructions: program.instructions.length,
      worstCase: flow.longest,
      rounds: flow.loops.map(({ rounds }) => rounds),
      maps: Object.fromEntries([...flow.maps].map(([name, uses]) => [name, [...uses].sort()])),
      helpers: flow.helpers.map((id) => HELPERS[id]?.name ?? `helper ${id}`),
      readsFrame: flow.readsPacket,
      changesFrame: flow.writesPacket || flow.writesUnknown,
      answers: actionsOf(flow),
    };
  });
}

function actionsOf(flow: Flow): string[] {
  return flow.answers.map((answer) => (answer === null ? 'another value' : (ACTIONS[answer] ?? String(answer))));
}

function unitsOf(object: BpfObject, only: string | null): readonly Program[] {
  const all = [...object.programs, ...object.functions];
  return only === null ? all : all.filter(({ name }) => name === only);
}

function explainProgram(program: Program, whole: boolean): string[] {
  const flow = analyse(program);
  const count = program.instructions.length;
  const kind = program.section === '.text' ? 'function' : `program (${program.section})`;
  const out = [
    `${kind} ${program.name}: ${count} instructions, ${flow.blocks.length} blocks`,
    ...sentences(program, flow).map((line) => `  ${line}`),
  ];
  if (whole)
    out.push(
      '  control flow',
      ...flow.blocks.map((block) => `    ${blockLine(block, flow)}`),
      '  disassembly',
      ...program.instructions.map((insn) => `    ${String(insn.at).padStart(4)}: ${disassemble(insn)}`),
    );
  return out;
}

/** What it may read and change, in words. */
export function sentences(program: Program, flow: Flow): string[] {
  const out: string[] = [];
  const rounds = flow.loops.map((loop) => loop.rounds);
  const loops =
    rounds.length === 0
      ? 'it has no loop'
      : rounds.includes(null)
        ? `a loop of unknown rounds counted once; the verifier proves that it ends`
        : `with ${rounds.length === 1 ? 'its loop' : 'its loops'} at ${rounds.join(' and ')} rounds`;
  out.push(`worst case: ${flow.longest} instructions; ${loops}`);
  out.push(`the frame: ${flow.readsPacket ? 'reads it' : 'does not read it'}, ${changing(flow)}`);
  const names = [...flow.maps.keys()].sort();
  if (names.length > 0)
    out.push(`maps: ${names.map((name) => `${name} (${[...flow.maps.get(name)!].sort().join(', ')})`).join('; ')}`);
  const changed = names.filter((name) => flow.maps.get(name)!.has('written'));
  out.push(
    `changes: ${changed.length > 0 ? `values of ${changed.join(', ')}` : 'nothing'}${flow.writesUnknown ? ', and what could not be told' : ''}`,
  );
  if (flow.helpers.length > 0) {
    out.push('helpers');
    for (const id of flow.helpers)
      out.push(`  ${HELPERS[id]?.name ?? `helper ${id}`}: ${HELPERS[id]?.does ?? 'not known'}`);
  }
  if (flow.functions.length > 0) out.push(`functions of its own: ${flow.functions.join(', ')}`);
  if (program.section === 'xdp') out.push(`answers: ${actionsOf(flow).join(', ') || 'nothing'}`);
  return out;
}

function changing({ writesPacket, writesUnknown }: Flow): string {
  return writesPacket ? 'CHANGES IT' : writesUnknown ? 'MAY CHANGE IT: that could not be told' : 'cannot change it';
}

function blockLine({ id, instructions, next }: Block, flow: Flow): string {
  const [first, last] = [instructions[0]!.at, instructions.at(-1)!.at];
  const back = new Set(flow.loops.filter(({ from }) => from === id).map(({ to }) => to));
  const arrows = next.map((to) => `B${to}${back.has(to) ? ' (back)' : ''}`).join(', ');
  return `B${id}: ${first}-${last}${arrows === '' ? ', ends' : ` -> ${arrows}`}`;
}

/** The control-flow graphs for Graphviz. */
export function explainDot(object: BpfObject, only: string | null): string {
  const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  const out = ['digraph bpf {', '  node [shape=box, fontname=monospace];'];
  for (const program of unitsOf(object, only)) {
    const { blocks } = analyse(program);
    out.push(`  subgraph ${quote(`cluster_${program.name}`)} {`, `    label=${quote(program.name)};`);
    for (const { id, instructions, next } of blocks) {
      const lines = instructions.map((insn) => `${insn.at}: ${disassemble(insn)}`);
      const label = quote(lines.join('\n')).replaceAll('\n', '\\l').replace(/"$/, '\\l"');
      out.push(`    ${quote(`${program.name}_${id}`)} [label=${label}];`);
      for (const to of next) out.push(`    ${quote(`${program.name}_${id}`)} -> ${quote(`${program.name}_${to}`)};`);
    }
    out.push('  }');
  }
  return `${[...out, '}'].join('\n')}\n`;
}
