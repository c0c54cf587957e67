/** What is read off an object: instructions, control flow, the worst case, what it reads and changes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { bpfCommands } from '../../../agent/ctl/commands/bpf.ts';
import { readObject } from '../../../agent/host/bpf/elf.ts';
import { explain } from '../../../agent/host/bpf/explain.ts';
import { explainDot, explainText, factsOf } from '../../../agent/host/bpf/explainer.ts';
import { analyse, blocksOf } from '../../../agent/host/bpf/flow.ts';
import { CALL, CALL_HELPER, disassemble, type Instruction } from '../../../agent/host/bpf/isa.ts';
import { entryOf, findObjects, readValid } from '../../../agent/host/bpf/loader.ts';
import { entryFor, seed } from './seeds.ts';

const HELP = bpfCommands.find(({ name }) => name === 'bpf explain')!.more!;
const little = readObject(seed('little'));
const [first, second] = little.programs as [(typeof little.programs)[0], (typeof little.programs)[0]];

describe('the explainer', () => {
  test('disassembles as llvm-objdump does', () => {
    const lines = new Map(first.instructions.map((insn) => [insn.at, disassemble(insn)]));
    assert.equal(lines.get(2), 'r6 = *(u32 *)(r8 + 4)');
    assert.equal(lines.get(4), 'w2 = 0');
    assert.equal(lines.get(5), '*(u32 *)(r10 - 4) = r2');
    assert.equal(lines.get(6), 'goto 12');
    assert.equal(lines.get(11), 'if r1 == 10 goto 17');
    assert.equal(lines.get(16), 'if r4 <= r6 goto 7');
    assert.equal(lines.get(19), 'r1 = values ll');
    assert.equal(lines.get(21), 'call bpf_map_lookup_elem');
    assert.equal(lines.get(29), 'lock *(u64 *)(r7 + 0) += r1'.replace(' + 0', ''));
    assert.equal(lines.get(43), 'r2 = 0x123456789a ll');
    assert.equal(lines.get(56), 'exit');
    const insn = { at: 0, dst: 1, src: 2, offset: 0, immediate: 16, upper: null, symbol: null };
    assert.equal(disassemble({ ...insn, code: 0xdc }), 'r1 = be16 r1');
    assert.equal(disassemble({ ...insn, code: 0xd4 }), 'r1 = le16 r1');
    assert.equal(disassemble({ ...insn, code: 0x87 }), 'r1 = -r1');
    assert.equal(disassemble({ ...insn, code: 0xc7 }), 'r1 s>>= 16');
    assert.equal(disassemble({ ...insn, code: 0x3e, offset: 4 }), 'if w1 >= w2 goto 5');
    assert.equal(disassemble({ ...insn, code: 0x62, offset: -8 }), '*(u32 *)(r1 - 8) = 16');
    for (let code = 0; code < 256; code++) assert.notEqual(disassemble({ ...insn, code }), '');
  });

  test('blocks cover every instruction once, and lead to each other', () => {
    for (const program of [...little.programs, ...little.functions]) {
      const blocks = blocksOf(program);
      assert.deepEqual(
        blocks.flatMap(({ instructions }) => instructions),
        program.instructions,
      );
      for (const { next } of blocks) assert.ok(next.every((id) => id < blocks.length));
      assert.ok(blocks.at(-1)!.next.length === 0);
    }
  });

  test('a loop counts as often as its counter says', () => {
    const { loops, longest } = analyse(first);
    assert.deepEqual(
      loops.map(({ rounds }) => rounds),
      [10],
    );
    // Ten rounds of ten instructions, and what stands around them.
    assert.ok(longest > 100 && longest < 160, `${longest}`);
    assert.deepEqual(analyse(second).loops, []);
    assert.equal(analyse(second).longest, second.instructions.length);
  });

  test('says what a program reads and changes', () => {
    const [one, two] = factsOf(little, null);
    assert.deepEqual([one!.readsFrame, one!.changesFrame, one!.answers], [true, true, ['XDP_DROP', 'XDP_PASS']]);
    assert.deepEqual(one!.maps, { chain: ['called through'], values: ['looked up', 'timed', 'written'] });
    assert.deepEqual([two!.readsFrame, two!.changesFrame, two!.answers], [false, false, ['XDP_TX']]);
    assert.deepEqual(two!.maps, { ring: ['sent to', 'written'] });
    assert.deepEqual(two!.helpers, ['bpf_ktime_get_ns', 'bpf_ringbuf_reserve', 'bpf_ringbuf_submit']);
    const text = explainText(entryFor(seed('little'), 'little'), little, 'first');
    assert.match(text, /reads it, CHANGES IT/);
    assert.match(text, /control flow\n {4}B0: 0-6 -> B\d+\n/);
  });

  test('what could not be told is not said to be harmless', () => {
    const insn: Instruction = { at: 0, code: 0, dst: 0, src: 0, offset: 0, immediate: 0, upper: null, symbol: null };
    const program = (...instructions: readonly Partial<Instruction>[]) => ({
      name: 'odd',
      section: 'xdp',
      instructions: instructions.map((one, at) => ({ ...insn, at, ...one })),
    });
    const exit = { code: 0x95 };
    // A store through what the stack held: nobody knows what that was.
    const hidden = program({ code: 0x79, dst: 1, src: 10, offset: -8 }, { code: 0x7b, dst: 1, src: 2 }, exit);
    // More jumps than are followed.
    const jumps = Array.from({ length: 2100 }, () => ({ code: 0x15, offset: 0 }));
    // What another register wrote over a map's value on the stack, or reads from elsewhere there, is no map's.
    const value: readonly Partial<Instruction>[] = [
      { code: 0x18, dst: 1, symbol: 'values', upper: 0 },
      { code: 0x85, immediate: 1 },
      { code: 0x7b, dst: 10, src: 0, offset: -8 },
      { code: 0x61, dst: 7, src: 6 },
      { code: 0xbf, dst: 2, src: 10 },
    ];
    const [store, back] = [
      { code: 0x7b, src: 7, dst: 2, offset: -8 },
      { code: 0x79, dst: 3, src: 10, offset: -8 },
    ];
    const begin = { code: 0xbf, dst: 6, src: 1 };
    const change = { code: 0x62, dst: 3 };
    const over = program(begin, ...value, store, back, change, exit);
    const elsewhere = program(
      begin,
      ...value,
      { code: 0x07, dst: 2, immediate: -16 },
      { ...back, src: 2 },
      change,
      exit,
    );
    for (const odd of [hidden, program(...jumps, exit), over, elsewhere]) {
      const object = { ...little, programs: [odd], functions: [] };
      assert.equal(factsOf(object, 'odd')[0]!.changesFrame, true);
      assert.match(explainText(entryFor(seed('little'), 'little'), object, null), /MAY CHANGE IT|CHANGES IT/);
    }
  });

  test('both byte orders read alike', () => {
    const big = readObject(seed('big'));
    assert.deepEqual(factsOf(big, null), factsOf(little, null));
    assert.equal(explainDot(big, 'first'), explainDot(little, 'first'));
  });

  test('the graph is what Graphviz reads', () => {
    const dot = explainDot(little, null);
    assert.match(dot, /^digraph bpf \{\n/);
    assert.equal(dot.match(/\{/g)!.length, dot.match(/\}/g)!.length);
    for (const line of dot.split('\n'))
      assert.equal((line.replaceAll('\\"', '').match(/"/g) ?? []).length % 2, 0, line);
    assert.match(dot, /"first_0" -> "first_\d+";/);
  });

  // arch/arm/net/bpf_jit_32.c: a program with one of these is not compiled, and those that call others are then refused.
  test('none of our programs has what the JIT of 32-bit ARM lacks: atomics, 64-bit division, calls of functions', (t) => {
    let found: ReturnType<typeof findObjects>;
    try {
      found = findObjects();
    } catch (error) {
      t.skip((error as Error).message);
      return;
    }
    const isLacked = ({ code, src }: Instruction): boolean =>
      (code & 0xe7) === 0xc3 || [0x37, 0x3f, 0x97, 0x9f].includes(code) || (code === CALL && src !== CALL_HELPER);
    for (const variant of ['timer', 'no-timer'] as const) {
      const { object } = readValid(found.folder, entryOf(found.manifest, 'mesh', variant, 'little'));
      for (const { name, instructions } of [...object.programs, ...object.functions])
        assert.deepEqual(instructions.filter(isLacked).map(disassemble), [], name);
    }
    assert.ok(first.instructions.some(isLacked), 'would be told');
  });

  test('none of our programs changes a frame, and all end', (t) => {
    try {
      findObjects();
    } catch (error) {
      t.skip((error as Error).message);
      return;
    }
    for (const variant of ['timer', 'no-timer'] as const)
      for (const endian of ['little', 'big'] as const) {
        const { facts, text } = explain('mesh', { variant, endian, dot: false });
        assert.deepEqual(facts.programs.map(({ name }) => name).slice(0, 5), [
          'entry',
          'heard',
          'ogm2',
          'tcp',
          'control',
        ]);
        assert.match(
          HELP,
          new RegExp(
            `a program \\(${facts.programs
              .slice(0, 5)
              .map((one) => one.name)
              .join(', ')}\\)`,
          ),
        );
        for (const program of facts.programs) {
          assert.ok(!program.changesFrame, program.name);
          const drops = program.answers.includes('XDP_DROP');
          assert.equal(drops, program.name === 'entry' || program.name === 'control', program.name);
          assert.ok(
            program.worstCase <= 1500 && !program.rounds.includes(null),
            `${program.name} ${program.worstCase}`,
          );
          assert.equal(program.helpers.includes('bpf_timer_start') && variant === 'no-timer', false);
        }
        assert.ok(!/could not be told/.test(text), text);
      }
    assert.throws(
      () => explain('nothing', { variant: 'timer', endian: undefined, dot: false }),
      (error) => error instanceof AgentError && error.code === 'E_NOT_FOUND',
    );
  });
});
