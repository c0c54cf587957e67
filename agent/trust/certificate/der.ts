/** DER (ITU-T X.690), as much of it as certificates need: written by functions, read strictly. */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  printable: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: its tag, its length, and these parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const size: number[] = [];
  for (let left = length; left > 0 || size.length === 0; left >>= 8) size.unshift(left & 0xff);
  if (length >= 0x80) size.unshift(0x80 + size.length);
  return Buffer.concat([Uint8Array.of(tag, ...size), ...parts]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...parts);
}

/** A positive number of these bytes, big-endian. */
export function integer(bytes: Uint8Array): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const digits = bytes.subarray(from);
  return der(TAG.integer, ...(digits[0]! >= 0x80 ? [Uint8Array.of(0)] : []), digits);
}

/** `dotted` as in 1.2.840.10045; an arc may be of any size. */
export function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(BigInt) as [bigint, bigint, ...bigint[]];
  const bytes: number[] = [];
  for (const arc of [first * 40n + second, ...rest]) {
    const digits = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) digits.unshift(Number(left & 0x7fn) | 0x80);
    bytes.push(...digits);
  }
  return der(TAG.oid, Uint8Array.from(bytes));
}

/** RFC 5280, 4.1.2.5: two digits for the year up to 2049. Parts of a second are dropped. */
export function time(wallMs: number): Buffer {
  const text = `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '')}Z`;
  const short = text >= '1950' && text < '2050';
  return der(short ? TAG.utcTime : TAG.generalizedTime, Buffer.from(short ? text.slice(2) : text));
}

/** What Reader throws; it does not leave this room. */
export class Malformed extends Error {}

/** Reads the elements of a range, one after the other. Throws Malformed. */
export class Reader {
  readonly bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
    this.#end = end;
  }

  get at(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  /** Whether the next element is of this tag. */
  has(tag: number): boolean {
    return this.#at < this.#end && this.bytes[this.#at] === tag;
  }

  /** Steps into the next element; this reader goes on behind it. */
  enter(tag: number): Reader {
    if (!this.has(tag)) throw new Malformed(`no element ${tag.toString(16)} at ${this.#at}`);
    let at = this.#at + 2;
    let length = this.bytes[this.#at + 1] ?? 0xff;
    if (length > 0x83) throw new Malformed(`a length of an unknown form at ${this.#at}`);
    if (length >= 0x80) {
      const digits = length & 0x7f;
      if (digits === 0 || at + digits > this.#end) throw new Malformed(`a length of an unknown form at ${this.#at}`);
      length = this.bytes.readUIntBE(at, digits);
      if (length < (digits === 1 ? 0x80 : 2 ** (8 * (digits - 1))))
        throw new Malformed(`a length that is too long at ${this.#at}`);
      at += digits;
    }
    if (at + length > this.#end) throw new Malformed(`an element at ${this.#at} is longer than what holds it`);
    this.#at = at + length;
    return new Reader(this.bytes, at, at + length);
  }

  /** The content of the next element. It shares the memory. */
  take(tag: number): Buffer {
    return this.enter(tag).rest();
  }

  /** The next element whole, with its tag and length. */
  whole(tag: number): Buffer {
    const from = this.#at;
    this.enter(tag);
    return this.bytes.subarray(from, this.#at);
  }

  rest(): Buffer {
    const from = this.#at;
    this.#at = this.#end;
    return this.bytes.subarray(from, this.#end);
  }

  end(): void {
    if (!this.isAtEnd) throw new Malformed(`something follows at ${this.#at}`);
  }

  /** Milliseconds since 1970 of either form that `time` writes. */
  time(): number {
    const short = this.has(TAG.utcTime);
    const text = this.take(short ? TAG.utcTime : TAG.generalizedTime).toString('latin1');
    const digits = short ? `${text < '5' ? '20' : '19'}${text}` : text;
    const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits);
    if (parts === null) throw new Malformed('a time of an unknown form');
    const [, y, mo, d, h, mi, s] = parts;
    const wallMs = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
    if (Number.isNaN(wallMs)) throw new Malformed('a time that does not exist');
    return wallMs;
  }
}
