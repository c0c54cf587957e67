/** Identifiers that travel between rooms. All are plain strings or numbers, so that events stay JSON. */

/** A 48-bit MAC address in canonical form: six lower-case hex pairs joined by colons. */
export type Mac = string;

/** A network interface's index in its namespace; the kernel never reuses one while the interface lives. */
export type IfIndex = number;

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

export function isMac(text: string): text is Mac {
  return MAC.test(text);
}

const DIGIT = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));

/** Reads six bytes at `offset`. The caller has checked the length. Whole tables are read with it: one flat string each. */
export function macFromBytes(bytes: Uint8Array, offset = 0): Mac {
  const a = bytes[offset]!;
  const b = bytes[offset + 1]!;
  const c = bytes[offset + 2]!;
  const d = bytes[offset + 3]!;
  const e = bytes[offset + 4]!;
  const f = bytes[offset + 5]!;
  // biome-ignore format: one pair and its colon a line
  return String.fromCharCode(
    DIGIT[a >> 4]!, DIGIT[a & 15]!, 58,
    DIGIT[b >> 4]!, DIGIT[b & 15]!, 58,
    DIGIT[c >> 4]!, DIGIT[c & 15]!, 58,
    DIGIT[d >> 4]!, DIGIT[d & 15]!, 58,
    DIGIT[e >> 4]!, DIGIT[e & 15]!, 58,
    DIGIT[f >> 4]!, DIGIT[f & 15]!,
  );
}

/** Writes six bytes at `offset`. Throws a RangeError for a string that is no canonical MAC. */
export function macToBytes(mac: Mac, into: Uint8Array = new Uint8Array(6), offset = 0): Uint8Array {
  if (!isMac(mac)) throw new RangeError(`not a MAC address: ${mac}`);
  for (let i = 0; i < 6; i++) into[offset + i] = (nibble(mac, i * 3) << 4) | nibble(mac, i * 3 + 1);
  return into;
}

/** Of a lower-case hex digit that is known to be one. */
function nibble(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code < 58 ? code - 48 : code - 87;
}
