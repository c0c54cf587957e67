/**
 * Netlink attributes (linux/netlink.h, struct nlattr; man 7 netlink):
 *
 *     u16 length   header and payload, without padding
 *     u16 type     bit 15: nested, bit 14: network byte order, the rest: the number
 *     payload, padded to 4 bytes
 *
 * All numbers are in the machine's own byte order. Reading is one pass that notes where each known attribute lies;
 * values are then taken straight from the bytes. Nothing here throws anything but E_NETLINK_DECODE.
 */
import { AgentError, invariant } from '../../core/errors.ts';
import { type Mac, macFromBytes, macToBytes } from '../../core/ids.ts';

export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Shape of a payload. 'bytes' and 'nested' have any length. */
export type Kind = 'u8' | 'u16' | 'u32' | 'u64' | 'mac' | 'string' | 'flag' | 'bytes' | 'nested';

const MINIMUM: Readonly<Record<Kind, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  mac: 6,
  string: 0,
  flag: 0,
  bytes: 0,
  nested: 0,
};

const HEADER = 4;

/** What may stand in a message, and what must. Names are for errors. */
export interface Policy {
  readonly name: string;
  readonly attributes: Readonly<Record<string, readonly [number, Kind]>>;
  readonly mandatory: readonly string[];
}

/**
 * Where the attributes of the message read last lie. One reader serves one policy and is overwritten by the next
 * read(), so that a dump of thousands of messages makes no garbage.
 */
export interface Reader {
  readonly policy: Policy;
  /** Notes the attributes of bytes[start, end). Unknown ones are passed over; the last of a repeated one counts. */
  read(bytes: Uint8Array, start: number, end: number): void;
  has(type: number): boolean;
  u8(type: number): number;
  u16(type: number): number;
  u32(type: number): number;
  s32(type: number): number;
  /** Exact to 2^53. */
  u64(type: number): number;
  mac(type: number): Mac;
  /** Up to the first NUL, control characters made harmless. */
  string(type: number): string;
  bytes(type: number): Uint8Array;
  /** Start and end of the payload. */
  start(type: number): number;
  end(type: number): number;
}

function malformed(policy: Policy, what: string): AgentError {
  return new AgentError('E_NETLINK_DECODE', `${policy.name}: ${what}`, { message: policy.name });
}

export function u16At(bytes: Uint8Array, at: number): number {
  return LITTLE_ENDIAN ? bytes[at]! | (bytes[at + 1]! << 8) : (bytes[at]! << 8) | bytes[at + 1]!;
}

export function s32At(bytes: Uint8Array, at: number): number {
  return LITTLE_ENDIAN
    ? bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    : (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

export function u32At(bytes: Uint8Array, at: number): number {
  return s32At(bytes, at) >>> 0;
}

/** Makes a string fit for logs and terminals: control, format and separator characters become U+FFFD. */
export function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}

/** A kernel string: up to the first NUL or the end. Plain ASCII, which is nearly all, is taken without a decoder. */
export function stringAt(bytes: Uint8Array, start: number, end: number): string {
  let out = '';
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0) return out;
    if (byte < 0x20 || byte > 0x7e || at - start >= 64) {
      const nul = bytes.subarray(start, end).indexOf(0);
      return clean(new TextDecoder().decode(bytes.subarray(start, nul < 0 ? end : start + nul)));
    }
    out += String.fromCharCode(byte);
  }
  return out;
}

export function reader(policy: Policy): Reader {
  const entries = Object.entries(policy.attributes);
  const size = entries.reduce((most, [, [type]]) => Math.max(most, type), 0) + 1;
  const minimum = new Int8Array(size).fill(-1);
  const names: string[] = [];
  for (const [name, [type, kind]] of entries) {
    minimum[type] = MINIMUM[kind];
    names[type] = name;
  }
  const mandatory = policy.mandatory.map((name) => {
    const entry = policy.attributes[name];
    invariant(entry, `${policy.name} knows its mandatory attribute ${name}`);
    return entry[0];
  });
  const starts = new Int32Array(size);
  const ends = new Int32Array(size);
  let source: Uint8Array = new Uint8Array(0);

  return {
    policy,
    read(bytes, start, end) {
      starts.fill(0);
      source = bytes;
      if (start < 0 || end > bytes.length || start > end) throw malformed(policy, 'message cut off');
      let at = start;
      while (end - at >= HEADER) {
        const length = u16At(bytes, at);
        if (length < HEADER || at + length > end)
          throw malformed(policy, `attribute of ${length} bytes at ${at - start}`);
        const type = u16At(bytes, at + 2) & 0x3fff;
        if (type < size && minimum[type]! >= 0) {
          if (length - HEADER < minimum[type]!) throw malformed(policy, `${names[type]} of ${length - HEADER} bytes`);
          starts[type] = at + HEADER;
          ends[type] = at + length;
        }
        at += (length + 3) & ~3;
      }
      if (at < end) throw malformed(policy, `${end - at} bytes left over`);
      for (const type of mandatory) if (starts[type] === 0) throw malformed(policy, `${names[type]} is missing`);
    },
    has: (type) => starts[type] !== 0,
    u8: (type) => source[starts[type]!]!,
    u16: (type) => u16At(source, starts[type]!),
    u32: (type) => u32At(source, starts[type]!),
    s32: (type) => s32At(source, starts[type]!),
    u64(type) {
      const [low, high] = LITTLE_ENDIAN ? [0, 4] : [4, 0];
      return u32At(source, starts[type]! + low) + u32At(source, starts[type]! + high) * 0x1_0000_0000;
    },
    mac: (type) => macFromBytes(source, starts[type]!),
    string: (type) => stringAt(source, starts[type]!, ends[type]!),
    bytes: (type) => source.subarray(starts[type]!, ends[type]!),
    start: (type) => starts[type]!,
    end: (type) => ends[type]!,
  };
}

/** Every attribute of bytes[start, end) in order, for lists whose types say nothing. Throws E_NETLINK_DECODE. */
export function eachAttribute(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (type: number, start: number, end: number) => void,
): void {
  for (let at = start; at < end; ) {
    const length = end - at < HEADER ? 0 : u16At(bytes, at);
    if (length < HEADER || at + length > end)
      throw new AgentError('E_NETLINK_DECODE', `attribute of ${length} bytes where ${end - at} are left`);
    visit(u16At(bytes, at + 2) & 0x3fff, at + HEADER, at + length);
    at += (length + 3) & ~3;
  }
}

// ---- writing: small pure functions that answer bytes ----

export function bytesAttribute(type: number, payload: Uint8Array): Uint8Array {
  const length = HEADER + payload.length;
  invariant(length <= 0xffff && type >= 0 && type <= 0xffff, 'an attribute fits its header');
  const out = new Uint8Array((length + 3) & ~3);
  const view = new DataView(out.buffer);
  view.setUint16(0, length, LITTLE_ENDIAN);
  view.setUint16(2, type, LITTLE_ENDIAN);
  out.set(payload, HEADER);
  return out;
}

export function u8Attribute(type: number, value: number): Uint8Array {
  return bytesAttribute(type, Uint8Array.of(value));
}

export function u16Attribute(type: number, value: number): Uint8Array {
  return bytesAttribute(type, u16Bytes(value));
}

export function u32Attribute(type: number, value: number): Uint8Array {
  return bytesAttribute(type, u32Bytes(value));
}

export function flagAttribute(type: number): Uint8Array {
  return bytesAttribute(type, new Uint8Array(0));
}

export function macAttribute(type: number, mac: Mac): Uint8Array {
  return bytesAttribute(type, macToBytes(mac));
}

/** A string with its terminating NUL. */
export function stringAttribute(type: number, text: string): Uint8Array {
  invariant(!text.includes('\0'), 'a kernel string holds no NUL');
  return bytesAttribute(type, new TextEncoder().encode(`${text}\0`));
}

export function nest(type: number, ...attributes: readonly Uint8Array[]): Uint8Array {
  return bytesAttribute(type | 0x8000, join(attributes));
}

export function u16Bytes(value: number): Uint8Array {
  const out = new Uint8Array(2);
  new DataView(out.buffer).setUint16(0, value, LITTLE_ENDIAN);
  return out;
}

export function u32Bytes(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value >>> 0, LITTLE_ENDIAN);
  return out;
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
