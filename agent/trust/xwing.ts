/**
 * X-Wing: X25519 and ML-KEM-768 in one KEM, secure while either of them is (draft-connolly-cfrg-xwing-kem;
 * Barbosa, Connolly, Duarte, Kaiser, Schwabe, Varner, Westerbaan, "X-Wing: The Hybrid KEM You've Been Looking For",
 * IACR Communications in Cryptology 1(1), 2024). Secret 32 bytes, public key 1216, ciphertext 1120, shared 32.
 *
 * One thing is stricter than the draft: an all-zero X25519 result is refused with E_KEY.
 */
import { createHash } from 'node:crypto';
import { checkedKem } from './checked.ts';
import { type Kem, ML_KEM_768_SIZES as ML, type Primitives } from './primitives.ts';

const X = 32;
/** \.//^\ */
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c);

export function xwing({ x25519, mlKem768, random }: Primitives): Kem {
  const raw: Kem = {
    sizes: { secret: 32, publicKey: ML.publicKey + X, ciphertext: ML.ciphertext + X },
    generate: () => random(32),
    key(secret) {
      const expanded = createHash('shake256', { outputLength: 96 }).update(secret).digest();
      const lattice = mlKem768.key(expanded.subarray(0, ML.secret));
      const curve = x25519.key(expanded.subarray(ML.secret));
      expanded.fill(0);
      return {
        publicKey: Buffer.concat([lattice.publicKey, curve.publicKey]),
        decapsulate(ciphertext) {
          const theirs = ciphertext.subarray(ML.ciphertext);
          const latticeShared = lattice.decapsulate(ciphertext.subarray(0, ML.ciphertext));
          return combine(latticeShared, curve.shared(theirs), theirs, curve.publicKey);
        },
        wipe() {
          lattice.wipe();
          curve.wipe();
        },
      };
    },
    encapsulate(publicKey) {
      const theirs = publicKey.subarray(ML.publicKey);
      const { ciphertext, shared } = mlKem768.encapsulate(publicKey.subarray(0, ML.publicKey));
      const secret = random(X);
      const ephemeral = x25519.key(secret);
      secret.fill(0);
      try {
        return {
          ciphertext: Buffer.concat([ciphertext, ephemeral.publicKey]),
          shared: combine(shared, ephemeral.shared(theirs), ephemeral.publicKey, theirs),
        };
      } finally {
        ephemeral.wipe();
      }
    },
  };
  return checkedKem(raw, 'X-Wing');
}

/** Takes the two shared secrets in, and wipes them. ML-KEM binds its ciphertext by itself, so it need not be hashed. */
function combine(lattice: Uint8Array, curve: Uint8Array, ciphertext: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const hash = createHash('sha3-256').update(lattice).update(curve).update(ciphertext).update(publicKey).update(LABEL);
  lattice.fill(0);
  curve.fill(0);
  return hash.digest();
}
