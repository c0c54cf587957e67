/** Frames travel through events as hex, so that a tape of them is plain JSON. */

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Bytes of a hex string; a trailing odd digit or anything that is no hex digit ends the reading. */
export function fromHex(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex');
}
