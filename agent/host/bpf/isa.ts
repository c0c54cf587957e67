/**
 * The BPF instruction set (RFC 9669): what 8 bytes mean, and how they are written for people. Knows what clang makes of
 * our sources; what it does not know it shows as a number.
 */
export interface Instruction {
  /** Its number in the program; a load of 64 bits takes two. */
  readonly at: number;
  readonly code: number;
  readonly dst: number;
  readonly src: number;
  readonly offset: number;
  readonly immediate: number;
  /** The upper half of a load of 64 bits, else null. */
  readonly upper: number | null;
  /** The map or function that a relocation puts in. */
  readonly symbol: string | null;
}

export const CLASS = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, jmp32: 6, alu64: 7 } as const;
/** A load of a 64-bit number, or of a map's or function's address: two instructions wide. */
export const LD_IMM64 = 0x18;
export const CALL = 0x85;
export const EXIT = 0x95;
export const JA = 0x05;
/** `src` of a call: a helper, one of the program's own functions, a kernel function. */
export const CALL_HELPER = 0;
export const CALL_LOCAL = 1;

export const classOf = ({ code }: Instruction): number => code & 7;
export const isJump = (insn: Instruction): boolean =>
  (classOf(insn) === CLASS.jmp || classOf(insn) === CLASS.jmp32) && insn.code !== CALL && insn.code !== EXIT;
/** The instruction that a jump leads to. */
export const target = (insn: Instruction): number => insn.at + 1 + insn.offset;

/** Instructions of `size` bytes at `at`, a multiple of 8. A load cut in half has no upper half: `upper` is null. */
export function decode(
  view: DataView,
  at: number,
  size: number,
  little: boolean,
  symbolAt: (at: number) => string | undefined,
): Instruction[] {
  const found: Instruction[] = [];
  for (let i = 0; i < size / 8; i++) {
    const from = at + i * 8;
    const code = view.getUint8(from);
    const registers = view.getUint8(from + 1);
    const wide = code === LD_IMM64 && (i + 1) * 8 < size;
    found.push({
      at: i,
      code,
      dst: little ? registers & 15 : registers >> 4,
      src: little ? registers >> 4 : registers & 15,
      offset: view.getInt16(from + 2, little),
      immediate: view.getInt32(from + 4, little),
      upper: wide ? view.getInt32(from + 12, little) : null,
      symbol: symbolAt(from) ?? null,
    });
    if (wide) i++;
  }
  return found;
}

/** linux/bpf.h: the helpers that programs of ours may call, and what they do, in words. */
export const HELPERS: Readonly<Record<number, { readonly name: string; readonly does: string }>> = {
  1: { name: 'bpf_map_lookup_elem', does: 'looks an entry of a map up' },
  5: { name: 'bpf_ktime_get_ns', does: 'reads CLOCK_MONOTONIC' },
  12: { name: 'bpf_tail_call', does: 'goes on in another program of a map, and does not come back' },
  131: { name: 'bpf_ringbuf_reserve', does: 'takes room in a ring buffer' },
  132: { name: 'bpf_ringbuf_submit', does: 'hands what it wrote there to userland' },
  169: { name: 'bpf_timer_init', does: 'makes a timer of an entry ready' },
  170: { name: 'bpf_timer_set_callback', does: 'says what a timer calls' },
  171: { name: 'bpf_timer_start', does: 'sets a timer' },
};

const SIZES: Readonly<Record<number, string>> = { 0: 'u32', 8: 'u16', 16: 'u8', 24: 'u64' };
const ALU = ['+=', '-=', '*=', '/=', '|=', '&=', '<<=', '>>=', '', '%=', '^=', '=', 's>>='] as const;
const JUMP = ['', '==', '>', '>=', '&', '!=', 's>', 's>=', '', '', '<', '<=', 's<', 's<='] as const;

export const sizeOf = (insn: Instruction): string => SIZES[insn.code & 0x18]!;

const signed = (n: number): string => (n < 0 ? ` - ${-n}` : n > 0 ? ` + ${n}` : '');

/** One line of disassembly, as the kernel's verifier and llvm-objdump write it. */
export function disassemble(insn: Instruction): string {
  const { code, dst, src, offset, immediate, upper, symbol } = insn;
  const cls = classOf(insn);
  const wide = cls === CLASS.alu64 || cls === CLASS.jmp;
  const reg = (n: number): string => `${wide || cls < CLASS.alu ? 'r' : 'w'}${n}`;
  const operand = (code & 8) !== 0 ? reg(src) : String(immediate);
  if (code === LD_IMM64) {
    if (symbol !== null) return `r${dst} = ${symbol} ll`;
    const number = (BigInt((upper ?? 0) >>> 0) << 32n) | BigInt(immediate >>> 0);
    return `r${dst} = 0x${number.toString(16)} ll`;
  }
  if (code === CALL)
    return `call ${src === CALL_HELPER ? (HELPERS[immediate]?.name ?? immediate) : (symbol ?? immediate)}`;
  if (code === EXIT) return 'exit';
  if (code === JA) return `goto ${target(insn)}`;
  switch (cls) {
    case CLASS.ldx:
      return `r${dst} = *(${sizeOf(insn)} *)(r${src}${signed(offset)})`;
    case CLASS.st:
      return `*(${sizeOf(insn)} *)(r${dst}${signed(offset)}) = ${immediate}`;
    case CLASS.stx:
      if ((code & 0xe0) !== 0xc0) return `*(${sizeOf(insn)} *)(r${dst}${signed(offset)}) = r${src}`;
      // The other atomic ones fetch, exchange, or even load.
      return immediate === 0
        ? `lock *(${sizeOf(insn)} *)(r${dst}${signed(offset)}) += r${src}`
        : `unknown 0x${code.toString(16)}, 0x${(immediate >>> 0).toString(16)}`;
    case CLASS.alu:
    case CLASS.alu64: {
      const operation = code >> 4;
      if (operation === 8) return `${reg(dst)} = -${reg(dst)}`;
      if (operation === 13) return `r${dst} = ${(code & 8) !== 0 ? 'be' : 'le'}${immediate} r${dst}`;
      const sign = ALU[operation];
      return sign === undefined || sign === '' ? `unknown 0x${code.toString(16)}` : `${reg(dst)} ${sign} ${operand}`;
    }
    case CLASS.jmp:
    case CLASS.jmp32: {
      const sign = JUMP[code >> 4];
      return sign === undefined || sign === ''
        ? `unknown 0x${code.toString(16)}`
        : `if ${reg(dst)} ${sign} ${operand} goto ${target(insn)}`;
    }
    default:
      return `unknown 0x${code.toString(16)}`;
  }
}

/** Whether it is an instruction that is shown, and followed, as what it is. */
export const isKnown = (insn: Instruction): boolean => !disassemble(insn).startsWith('unknown ');
