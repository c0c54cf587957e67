/** What issuing and believing compute with: a world brings it. */
import type { Random } from '../keys/primitives.ts';
import type { Suite } from '../keys/suite.ts';

/** ECDSA on P-256 with SHA-256, signatures in DER; OpenSSL draws the nonce, so a world brings it (agent/host/p256.ts). */
export interface P256 {
  /** `secret`: the scalar, 32 bytes, from 1 to the group's order less 1. */
  key(secret: Uint8Array): P256Key;
  /** Never throws: whatever is malformed does not verify. */
  verify(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export interface P256Key {
  /** The public key as a SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** What issuing and believing compute with. */
export interface Tools {
  readonly suite: Suite;
  readonly p256: P256;
  readonly random: Random;
}

/** SubjectPublicKeyInfo of a P-256 key before its point (RFC 5480). */
export const P256_SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
