/** ICMP and ICMPv6 echoes as bytes (RFC 792, RFC 4443). What comes in is hostile: anything may be sent to a raw socket. */

/** Identifier and sequence number are the kernel's to route by; the token is ours to know an answer by. */
export interface Echo {
  readonly id: number;
  readonly seq: number;
  /** Eight bytes. */
  readonly token: Uint8Array;
}

export type Family = 4 | 6;

const HEADER = 8;
const TOKEN = 8;
const REQUEST = { 4: 8, 6: 128 } as const;
const REPLY = { 4: 0, 6: 129 } as const;
/** As many bytes as ping(8) sends: what an echo takes on the air is then known. */
const PAYLOAD = 56;

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** For ICMPv6 the kernel fills the checksum in: it covers addresses that only the kernel knows. */
export function encodeEcho(family: Family, { id, seq, token }: Echo): Buffer {
  const packet = Buffer.alloc(HEADER + PAYLOAD);
  packet[0] = REQUEST[family];
  packet.writeUInt16BE(id, 4);
  packet.writeUInt16BE(seq, 6);
  packet.set(token.subarray(0, TOKEN), HEADER);
  if (family === 4) packet.writeUInt16BE(checksum(packet), 2);
  return packet;
}

/** The answer in what a raw socket received; null for all else. An IPv4 socket hands the IP header over as well. */
export function decodeAnswer(family: Family, packet: Uint8Array): Echo | null {
  const first = packet[0] ?? 0;
  const start = family === 4 ? (first & 15) * 4 : 0;
  if (family === 4 && (first >> 4 !== 4 || start < 20)) return null;
  if (packet.length < start + HEADER + TOKEN || packet[start] !== REPLY[family] || packet[start + 1] !== 0) return null;
  const word = (at: number) => (packet[start + at]! << 8) | packet[start + at + 1]!;
  return { id: word(4), seq: word(6), token: packet.subarray(start + HEADER, start + HEADER + TOKEN) };
}
