/** The provider that runs everywhere: Paul Miller's @noble packages, plain JavaScript without dependencies. */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { EMPTY, ML_KEM_768_SIZES, type Primitives, type Random } from './primitives.ts';

const { Point } = ed25519;

/** All of it, unchecked (checked.ts does that), with the world's randomness, or a test's. */
export function noble(random: Random): Primitives {
  return {
    random,
    x25519: {
      key(given) {
        // Not `slice`, which in a Buffer shares the memory: the caller wipes what it gave.
        const secret = Uint8Array.from(given);
        return {
          publicKey: x25519.getPublicKey(secret),
          shared: (publicKey) => x25519.getSharedSecret(secret, publicKey),
          wipe: () => secret.fill(0),
        };
      },
    },
    mlKem768: {
      sizes: ML_KEM_768_SIZES,
      generate: () => random(ML_KEM_768_SIZES.secret),
      key(secret) {
        const { publicKey, secretKey } = ml_kem768.keygen(secret);
        return {
          publicKey,
          decapsulate: (ciphertext) => ml_kem768.decapsulate(ciphertext, secretKey),
          wipe: () => secretKey.fill(0),
        };
      },
      encapsulate(publicKey) {
        const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, random(32));
        return { ciphertext: cipherText, shared: sharedSecret };
      },
    },
    ed25519: {
      key(given) {
        const seed = Uint8Array.from(given);
        return {
          publicKey: ed25519.getPublicKey(seed),
          sign: (message) => ed25519.sign(message, seed),
          wipe: () => seed.fill(0),
        };
      },
      verify: verifyEd25519,
    },
    mlDsa65: {
      key(seed) {
        const { publicKey, secretKey } = ml_dsa65.keygen(seed);
        return {
          publicKey,
          sign: (message, context = EMPTY) => ml_dsa65.sign(message, secretKey, { context, extraEntropy: random(32) }),
          wipe: () => secretKey.fill(0),
        };
      },
      verify: (publicKey, message, signature, context = EMPTY) =>
        ml_dsa65.verify(signature, message, publicKey, { context }),
    },
    chacha20Poly1305: {
      seal: (key, nonce, aad, text) => chacha20poly1305(key, nonce, aad).encrypt(text),
      open: (key, nonce, aad, sealed) => chacha20poly1305(key, nonce, aad).decrypt(sealed),
    },
    hkdfSha256: (ikm, salt, info, length) => hkdf(sha256, ikm, salt, info, length),
  };
}

/**
 * [S]B = R + [k]A without the cofactor, and R compared as it was sent, both as RFC 8032, 5.1.7 allows and OpenSSL does.
 * @noble's own `verify` multiplies by the cofactor: what one router accepts the next must not refuse.
 */
function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  if (s >= Point.Fn.ORDER) return false;
  const k = littleEndian(sha512.create().update(r).update(publicKey).update(message).digest()) % Point.Fn.ORDER;
  const a = Point.fromBytes(publicKey, false);
  const expected = Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k));
  return Buffer.compare(expected.toBytes(), r) === 0;
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}
