/** Identifiers that travel between rooms. All are plain strings or numbers, so that events stay JSON. */

/** A 48-bit MAC address in canonical form: six lower-case hex pairs joined by colons. */
export type Mac = string;

/** A network interface's index in its namespace; the kernel never reuses one while the interface lives. */
export type IfIndex = number;

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

export function isMac(text: string): text is Mac {
  return MAC.test(text);
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** Reads six bytes at `offset`. The caller has checked the length. */
export function macFromBytes(bytes: Uint8Array, offset = 0): Mac {
  let out = HEX[bytes[offset]!]!;
  for (let i = 1; i < 6; i++) out += `:${HEX[bytes[offset + i]!]}`;
  return out;
}

/** Writes six bytes at `offset`. Throws a RangeError for a string that is no canonical MAC. */
export function macToBytes(mac: Mac, into: Uint8Array = new Uint8Array(6), offset = 0): Uint8Array {
  if (!isMac(mac)) throw new RangeError(`not a MAC address: ${mac}`);
  for (let i = 0; i < 6; i++) into[offset + i] = Number.parseInt(mac.slice(i * 3, i * 3 + 2), 16);
  return into;
}
