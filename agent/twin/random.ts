/**
 * Seeded randomness: integers only, so that every engine draws the same. A stream is split by name: who draws once more
 * changes nothing for the others.
 */

/** 2^-53 */
const UNIT = 1.1102230246251565e-16;

export class Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, name = '') {
    this.#seed = mix(seed | 0, hash(name) ^ Math.floor(seed / 2 ** 32));
    this.#a = this.#seed;
    this.#b = mix(this.#a, 0x9e3779b9);
    this.#c = mix(this.#b, 0x85ebca6b);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** A stream of its own; the same name gives the same one, however much has been drawn here. */
  split(name: string | number): Random {
    return new Random(this.#seed, String(name));
  }

  /** sfc32 (Chris Doty-Humphrey's PractRand): 0 to 2^32 - 1. */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 0 <= x < 1, with 53 bits. */
  unit(): number {
    const high = this.uint32() >>> 5;
    return (high * 0x4000000 + (this.uint32() >>> 6)) * UNIT;
  }

  /** A whole number from 0 to below `limit` (at most 2^32). */
  int(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit);
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  is(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(from.length)]!;
  }

  /** Mean 0, deviation 1: the sum of twelve draws (Irwin-Hall), which needs no logarithm and ends at six. */
  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.unit();
    return sum;
  }
}

/** A draw without a stream, from whatever it is to depend on: 0 <= x < 1. */
export function drawn(seed: number, a: number, b: number): number {
  return (mix(mix(seed, a | 0), b | 0) >>> 0) / 2 ** 32;
}

/** FNV-1a */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value;
}

/** The finalizer of MurmurHash3, over both. */
function mix(a: number, b: number): number {
  let value = (a ^ Math.imul(b, 0x9e3779b1)) | 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
