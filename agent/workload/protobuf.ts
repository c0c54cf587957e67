/** Protocol Buffers on the wire, as much of them as the SPIFFE Workload API needs: varints, doubles, bytes and messages. */

/** What reading throws; it does not leave this room. */
export class Malformed extends Error {}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const LONGEST_VARINT = 10;
const LARGEST_FIELD = 2 ** 29 - 1;

/** One field as it was read: what is of another type than asked for is malformed. */
export class Field {
  readonly number: number;
  readonly #wire: number;
  readonly #value: number | Buffer;

  constructor(number: number, wire: number, value: number | Buffer) {
    this.number = number;
    this.#wire = wire;
    this.#value = value;
  }

  /** It shares the memory. */
  bytes(): Buffer {
    if (typeof this.#value === 'number' || this.#wire !== WIRE.bytes)
      throw new Malformed(`field ${this.number} is of another type`);
    return this.#value;
  }

  text(): string {
    const bytes = this.bytes();
    const text = bytes.toString('utf8');
    if (!Buffer.from(text).equals(bytes)) throw new Malformed(`field ${this.number} is no UTF-8`);
    return text;
  }

  integer(): number {
    if (typeof this.#value !== 'number') throw new Malformed(`field ${this.number} is of another type`);
    return this.#value;
  }

  double(): number {
    if (this.#wire !== WIRE.fixed64 || typeof this.#value === 'number')
      throw new Malformed(`field ${this.number} is of another type`);
    return this.#value.readDoubleLE();
  }
}

/** The fields of a message, in order; those that nobody knows are for the caller to pass over. Throws Malformed. */
export function fields(message: Uint8Array, most: number): Field[] {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const found: Field[] = [];
  let at = 0;

  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < LONGEST_VARINT; i++) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Malformed('it ends within a number');
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw new Malformed('a number is too long');
  };
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw new Malformed('a field is longer than what holds it');
    at += length;
    return bytes.subarray(at - length, at);
  };

  while (at < bytes.length) {
    if (found.length >= most) throw new Malformed(`more than ${most} fields`);
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number < 1 || number > LARGEST_FIELD) throw new Malformed('a field has no number that there is');
    if (wire === WIRE.varint) found.push(new Field(number, wire, varint()));
    else if (wire === WIRE.fixed64) found.push(new Field(number, wire, take(8)));
    else if (wire === WIRE.fixed32) found.push(new Field(number, wire, take(4)));
    else if (wire === WIRE.bytes) found.push(new Field(number, wire, take(varint())));
    else throw new Malformed(`wire type ${wire} is not read`);
  }
  return found;
}

function varintOf(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  return Buffer.from([...bytes, left]);
}

/** A field of bytes, text or a message. An empty one is written too: in a list it counts. */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varintOf(number * 8 + WIRE.bytes), varintOf(bytes.length), bytes]);
}

export function integerField(number: number, value: number): Buffer {
  return Buffer.concat([varintOf(number * 8 + WIRE.varint), varintOf(value)]);
}

export function doubleField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varintOf(number * 8 + WIRE.fixed64), bytes]);
}
