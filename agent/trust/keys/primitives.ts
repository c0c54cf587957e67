/**
 * The small interface behind which cryptography is done, and which both providers fill: @noble (noble.ts) everywhere,
 * OpenSSL by way of node:crypto (agent/host/openssl.ts) where the running Node has the algorithm.
 *
 * A provider brings its randomness along: a machine is given its provider by the world, and draws nothing by itself.
 * All keys, messages and secrets are the raw bytes of the standard that is named; there is no ASN.1 anywhere.
 */

/** A private key. Its bytes stay inside: only what it computes comes out. */
export interface PrivateKey {
  readonly publicKey: Uint8Array;
  /** Forgets the key, overwriting it where JavaScript owns the memory; every later use throws E_KEY. */
  wipe(): void;
}

/** X25519 (RFC 7748): secrets, public keys and shared secrets have 32 bytes. */
export interface X25519 {
  key(secret: Uint8Array): X25519Key;
}

export interface X25519Key extends PrivateKey {
  /**
   * Throws E_KEY where the result would be all zero (RFC 7748, 6.1): a point of small order, which makes everybody's
   * secret the same.
   */
  shared(publicKey: Uint8Array): Uint8Array;
}

/** Key encapsulation: whoever has the public key makes a secret that only the private key finds again. */
export interface Kem {
  /** In bytes. */
  readonly sizes: { readonly secret: number; readonly publicKey: number; readonly ciphertext: number };
  /** A new secret, for `key`; it is all that has to be kept. */
  generate(): Uint8Array;
  key(secret: Uint8Array): KemKey;
  /** `shared` has 32 bytes. Throws E_KEY for a public key that the standard refuses (FIPS 203, 7.2: the modulus check). */
  encapsulate(publicKey: Uint8Array): { readonly ciphertext: Uint8Array; readonly shared: Uint8Array };
}

export interface KemKey extends PrivateKey {
  /**
   * 32 bytes. Throws E_KEY for a ciphertext of the wrong length only. One that was tampered with gives a secret that
   * nobody else has (implicit rejection, FIPS 203, 6.3): that shows where the secret is first used, never here.
   */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
}

/**
 * Signatures. Ed25519 (RFC 8032): seed and public key 32 bytes, signature 64, no context. ML-DSA-65 (FIPS 204, pure,
 * hedged): seed 32, public key 1952, signature 3309, context at most 255.
 */
export interface Signatures {
  key(seed: Uint8Array): SigningKey;
  /** Never throws: whatever is malformed does not verify. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, context?: Uint8Array): boolean;
}

export interface SigningKey extends PrivateKey {
  sign(message: Uint8Array, context?: Uint8Array): Uint8Array;
  /** The same in a thread of its own, where the provider has one: it takes milliseconds, and nobody else waits for them. */
  signAside?(message: Uint8Array, context?: Uint8Array): Promise<Uint8Array>;
}

/** ChaCha20-Poly1305 (RFC 8439): key 32 bytes, nonce 12 and never twice with one key; sealed is text and a tag of 16. */
export interface Aead {
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array): Uint8Array;
  /** Throws E_SEAL for what `seal` did not make of these. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array;
}

export interface Algorithms {
  readonly x25519: X25519;
  /** FIPS 203: secret 64 bytes (d and z), public key 1184, ciphertext 1088. */
  readonly mlKem768: Kem;
  readonly ed25519: Signatures;
  readonly mlDsa65: Signatures;
  readonly chacha20Poly1305: Aead;
  /** RFC 5869; `length` at most 8160 bytes. */
  readonly hkdfSha256: (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number) => Uint8Array;
}

/** So many bytes that nobody can guess. */
export type Random = (length: number) => Uint8Array;

export interface Primitives extends Algorithms {
  readonly random: Random;
}

export const EMPTY = new Uint8Array(0);
export const ML_KEM_768_SIZES = { secret: 64, publicKey: 1184, ciphertext: 1088 } as const;
export const ML_DSA_65_SIZES = { seed: 32, publicKey: 1952, signature: 3309 } as const;
export const ED25519_SIZES = { seed: 32, publicKey: 32, signature: 64 } as const;
