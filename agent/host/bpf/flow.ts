/**
 * What a BPF program can do, read off its instructions: its control-flow graph, the longest way through it, and where its
 * pointers come from, so that it can be said what it reads and changes. A guess never hides anything: a pointer whose
 * origin is not known counts as 'unknown'.
 */
import type { Program } from './elf.ts';
import {
  CALL,
  CALL_HELPER,
  CALL_LOCAL,
  CLASS,
  classOf,
  EXIT,
  type Instruction,
  isJump,
  JA,
  LD_IMM64,
  target,
} from './isa.ts';

export interface Block {
  readonly id: number;
  readonly instructions: readonly Instruction[];
  /** Ids of the blocks that follow: first where a condition does not hold, then where it does. */
  readonly next: readonly number[];
}

export interface Loop {
  /** Blocks. */
  readonly from: number;
  readonly to: number;
  /** At most, as a counter that it compares with a constant says; null where none does. */
  readonly rounds: number | null;
}

export interface Flow {
  readonly blocks: readonly Block[];
  /** Jumps that go back. */
  readonly loops: readonly Loop[];
  /** Instructions on the longest way, loops at their most; where a loop's rounds are not known it counts once. */
  readonly longest: number;
  /** Maps by what is done with them. */
  readonly maps: ReadonlyMap<
    string,
    ReadonlySet<'looked up' | 'written' | 'read' | 'sent to' | 'called through' | 'timed'>
  >;
  /** Helper numbers. */
  readonly helpers: readonly number[];
  /** Functions of its own that it calls, or hands out as callbacks. */
  readonly functions: readonly string[];
  readonly readsPacket: boolean;
  readonly writesPacket: boolean;
  /** Stores through a pointer whose origin could not be told. */
  readonly writesUnknown: boolean;
  /** The constants that it may answer with; null among them: something else. */
  readonly answers: readonly (number | null)[];
}

/** A flow of more blocks than this is not analysed: work stays bounded. */
const BLOCKS_MOST = 2000;
const PASSES_MOST = 64;

const LOOKUP = 1;
const TAIL_CALL = 12;
const RESERVE = 131;
const TIMER_INIT = 169;

/** Splits a program into blocks. A jump out of the program ends there: the validator has refused it. */
export function blocksOf({ instructions }: Program): Block[] {
  const leaders = new Set<number>([0]);
  for (const [i, insn] of instructions.entries()) {
    const after = instructions[i + 1]?.at;
    if (isJump(insn)) leaders.add(target(insn));
    if ((isJump(insn) || insn.code === EXIT) && after !== undefined) leaders.add(after);
  }
  const starts = instructions.filter(({ at }) => leaders.has(at)).map(({ at }) => at);
  const idOf = new Map(starts.map((at, id) => [at, id]));
  const groups: Instruction[][] = starts.map(() => []);
  let current = -1;
  for (const insn of instructions) {
    current = idOf.get(insn.at) ?? current;
    groups[current]?.push(insn);
  }
  return groups.map((group, id) => {
    const last = group.at(-1)!;
    const next: number[] = [];
    if (last.code !== EXIT && last.code !== JA && id + 1 < groups.length) next.push(id + 1);
    const jumped = isJump(last) ? idOf.get(target(last)) : undefined;
    if (jumped !== undefined && !next.includes(jumped)) next.push(jumped);
    return { id, instructions: group, next };
  });
}

/** Where a value may come from: 'ctx', 'packet', 'stack', 'map NAME' (the map itself), 'value NAME', a number, '?'. */
type Origin = string | number;
type Origins = ReadonlySet<Origin>;
const UNKNOWN: Origins = new Set<Origin>(['?']);
const NUMBER: Origins = new Set<Origin>(['number']);

/** Registers r0..r10, then stack slots by their offset. */
type State = Map<string, Origins>;

/** The register that points to the stack's frame. */
const FRAME = 10;
const xdpData = 0;
const xdpDataEnd = 4;

export function analyse(program: Program): Flow {
  const blocks = blocksOf(program);
  const maps = new Map<string, Set<'looked up' | 'written' | 'read' | 'sent to' | 'called through' | 'timed'>>();
  const helpers = new Set<number>();
  const functions = new Set<string>();
  const answers = new Set<number | null>();
  const found = { readsPacket: false, writesPacket: false, writesUnknown: false };
  const note = (origins: Origins, what: 'looked up' | 'written' | 'read' | 'sent to' | 'called through' | 'timed') => {
    for (const origin of origins) {
      const name = typeof origin === 'string' ? /^(?:map|value) (.*)$/.exec(origin)?.[1] : undefined;
      if (name === undefined) continue;
      const set = maps.get(name) ?? new Set();
      maps.set(name, set.add(what));
    }
  };

  /** Where on the stack another register than r10 points is not followed: then each place may hold it. */
  function keep(state: State, { dst, offset }: Instruction, held: Origins): void {
    if (dst === FRAME) state.set(`s${offset}`, held);
    else for (const [name, had] of state) if (name.startsWith('s')) state.set(name, new Set([...had, ...held]));
  }

  function step(state: State, insn: Instruction): void {
    const get = (name: string): Origins => state.get(name) ?? UNKNOWN;
    const reg = (n: number): Origins => get(`r${n}`);
    const set = (n: number, origins: Origins): void => void state.set(`r${n}`, origins);
    const cls = classOf(insn);
    if (insn.code === LD_IMM64) {
      if (insn.symbol === null) set(insn.dst, new Set([insn.upper === 0 ? insn.immediate : 'number']));
      else if (insn.src === 4 || insn.symbol === '.text') set(insn.dst, UNKNOWN);
      else set(insn.dst, new Set([`map ${insn.symbol}`]));
      return;
    }
    if (insn.code === CALL) {
      let answer: Origins = NUMBER;
      if (insn.src === CALL_LOCAL) functions.add(insn.symbol ?? '?');
      else if (insn.src === CALL_HELPER) {
        helpers.add(insn.immediate);
        const first = insn.immediate === TAIL_CALL || insn.immediate === TIMER_INIT ? reg(2) : reg(1);
        if (insn.immediate === LOOKUP || insn.immediate === RESERVE) {
          note(first, insn.immediate === LOOKUP ? 'looked up' : 'sent to');
          answer = new Set(
            [...first].map((origin) => (typeof origin === 'string' ? origin.replace(/^map /, 'value ') : origin)),
          );
        } else if (insn.immediate === TAIL_CALL) note(first, 'called through');
        else if (insn.immediate === TIMER_INIT) note(first, 'timed');
      }
      set(0, answer);
      for (let n = 1; n <= 5; n++) state.delete(`r${n}`);
      return;
    }
    if (insn.code === EXIT) {
      for (const origin of reg(0)) answers.add(typeof origin === 'number' ? origin : null);
      return;
    }
    if (cls === CLASS.ldx) {
      const from = reg(insn.src);
      const result = new Set<Origin>();
      for (const origin of from) {
        if (origin === 'ctx') result.add(insn.offset === xdpData || insn.offset === xdpDataEnd ? 'packet' : 'number');
        else if (origin === 'stack')
          for (const one of insn.src === FRAME ? get(`s${insn.offset}`) : UNKNOWN) result.add(one);
        else result.add('number');
        if (origin === 'packet') found.readsPacket = true;
      }
      note(from, 'read');
      set(insn.dst, result);
      return;
    }
    if (cls === CLASS.st || cls === CLASS.stx) {
      const into = reg(insn.dst);
      for (const origin of into) {
        if (origin === 'stack') keep(state, insn, cls === CLASS.stx ? reg(insn.src) : NUMBER);
        else if (origin === 'packet') found.writesPacket = true;
        else if (typeof origin !== 'string' || !origin.startsWith('value ')) found.writesUnknown = true;
      }
      note(into, 'written');
      return;
    }
    if (cls !== CLASS.alu && cls !== CLASS.alu64) return;
    const operation = insn.code >> 4;
    const isRegister = (insn.code & 8) !== 0;
    if (operation === 11) set(insn.dst, isRegister ? reg(insn.src) : new Set([insn.immediate]));
    // A pointer with a number added stays the pointer; of two pointers a difference is a number.
    else if ((operation === 0 || operation === 1) && cls === CLASS.alu64) {
      const both = [...reg(insn.dst), ...(isRegister ? reg(insn.src) : [])];
      const pointers = both.filter((origin) => typeof origin === 'string' && origin !== 'number');
      set(insn.dst, pointers.length > 0 ? new Set(pointers) : NUMBER);
    } else set(insn.dst, NUMBER);
  }

  const entry: State = new Map([
    ['r1', new Set<Origin>(['ctx'])],
    ['r10', new Set<Origin>(['stack'])],
  ]);
  // A callback gets a map, and a key and value of it; which map is not in its code.
  if (program.section === '.text')
    entry
      .set('r1', UNKNOWN)
      .set('r2', UNKNOWN)
      .set('r3', new Set(['value of its map']));
  const states = new Map<number, State>([[0, entry]]);
  const waiting = [0];
  const rounds = new Map<number, number>();
  // Too large to be followed: it may do anything.
  if (blocks.length > BLOCKS_MOST) found.writesUnknown = true;
  while (waiting.length > 0 && blocks.length <= BLOCKS_MOST) {
    const id = waiting.shift()!;
    const passes = (rounds.get(id) ?? 0) + 1;
    rounds.set(id, passes);
    if (passes > PASSES_MOST) {
      found.writesUnknown = true;
      continue;
    }
    const state: State = new Map(states.get(id));
    for (const insn of blocks[id]!.instructions) step(state, insn);
    for (const next of blocks[id]!.next) {
      const merged = merge(states.get(next), state);
      if (merged === null) continue;
      states.set(next, merged);
      if (!waiting.includes(next)) waiting.push(next);
    }
  }
  const { longest: once, loops: back } = longestWay(blocks);
  const loops = back.map(([from, to]) => ({ from, to, rounds: roundsOf(blocks, from, to) }));
  const again = loops.map(({ from, to, rounds }) => ((rounds ?? 1) - 1) * sizeOfLoop(blocks, from, to));
  const longest = again.reduce((sum, more) => sum + more, once);
  for (const insn of program.instructions)
    if (insn.code === LD_IMM64 && insn.src === 4) functions.add(insn.symbol ?? '?');
  return {
    blocks,
    loops,
    longest,
    maps,
    helpers: [...helpers].sort((a, b) => a - b),
    functions: [...functions],
    ...found,
    answers: [...answers].sort((a, b) => (a ?? 99) - (b ?? 99)),
  };
}

/** The union of what is known on two ways; null where the second adds nothing. */
function merge(into: State | undefined, from: State): State | null {
  if (into === undefined) return new Map(from);
  let changed = false;
  const out: State = new Map(into);
  for (const [name, origins] of from) {
    const had = into.get(name);
    const union = new Set([...(had ?? []), ...origins]);
    if (had !== undefined && union.size === had.size) continue;
    out.set(name, union);
    changed = true;
  }
  return changed ? out : null;
}

/** Depth first, without recursion: an object may be as deep as it likes. */
function longestWay(blocks: readonly Block[]): { longest: number; loops: (readonly [number, number])[] } {
  const loops: (readonly [number, number])[] = [];
  const order: number[] = [];
  const open = new Set<number>();
  const done = new Set<number>();
  const trail: { id: number; next: number }[] = blocks.length > 0 ? [{ id: 0, next: 0 }] : [];
  open.add(0);
  while (trail.length > 0) {
    const top = trail.at(-1)!;
    const to = blocks[top.id]!.next[top.next++];
    if (to === undefined) {
      trail.pop();
      open.delete(top.id);
      done.add(top.id);
      order.push(top.id);
    } else if (open.has(to)) loops.push([top.id, to]);
    else if (!done.has(to)) {
      open.add(to);
      trail.push({ id: to, next: 0 });
    }
  }
  const isBack = new Set(loops.map(([from, to]) => `${from} ${to}`));
  const best = new Map<number, number>();
  // Each after all that follow it.
  for (const id of order) {
    const { instructions, next } = blocks[id]!;
    const rest = next.filter((to) => !isBack.has(`${id} ${to}`)).map((to) => best.get(to) ?? 0);
    best.set(id, instructions.length + Math.max(0, ...rest));
  }
  return { longest: best.get(0) ?? 0, loops };
}

/** The blocks of the loop that a jump back closes. */
function bodyOf(blocks: readonly Block[], from: number, to: number): Block[] {
  const inside = new Set([to, from]);
  const waiting = from === to ? [] : [from];
  while (waiting.length > 0) {
    const id = waiting.pop()!;
    for (const { id: before, next } of blocks)
      if (next.includes(id) && !inside.has(before)) {
        inside.add(before);
        waiting.push(before);
      }
  }
  return blocks.filter(({ id }) => inside.has(id));
}

const sizeOfLoop = (blocks: readonly Block[], from: number, to: number): number =>
  bodyOf(blocks, from, to).reduce((sum, { instructions }) => sum + instructions.length, 0);

/**
 * A register that the loop counts up by one and compares with a constant, from 0 or above; or down by one from a constant
 * that is put in outside: what clang makes of a loop with a fixed bound.
 */
function roundsOf(blocks: readonly Block[], from: number, to: number): number | null {
  const body = bodyOf(blocks, from, to);
  const inside = body.flatMap(({ instructions }) => instructions);
  const outside = blocks.filter((block) => !body.includes(block)).flatMap(({ instructions }) => instructions);
  const steps = (by: number): Set<number> =>
    new Set(
      inside
        .filter(({ code, immediate }) => (code === 0x07 || code === 0x04) && immediate === by)
        .map(({ dst }) => dst),
    );
  const tests = inside.filter((insn) => isJump(insn) && (insn.code & 8) === 0);
  const [up, down] = [steps(1), steps(-1)];
  const bounds = tests.filter(({ dst, immediate }) => up.has(dst) && immediate > 1).map(({ immediate }) => immediate);
  for (const { dst, immediate } of tests)
    if ((down.has(dst) || down.size === 1) && immediate === 0)
      for (const { code, dst: into, immediate: start } of outside)
        if ((code === 0xb7 || code === 0xb4) && down.has(into) && start > 1) bounds.push(start + 1);
  return bounds.length === 0 ? null : Math.max(...bounds);
}
