/**
 * X-Wing: X25519 and ML-KEM-768 in one KEM, secure while either of them is (draft-connolly-cfrg-xwing-kem;
 * Barbosa, Connolly, Duarte, Kaiser, Schwabe, Varner, Westerbaan, "X-Wing: The Hybrid KEM You've Been Looking For",
 * IACR Communications in Cryptology 1(1), 2024). Secret 32 bytes, public key 1216, ciphertext 1120, shared 32.
 *
 * One thing is stricter than the draft: an all-zero X25519 result is refused with E_KEY.
 */
import { createHash } from 'node:crypto';
import { checkedKem } from './checked.ts';
import { combine, ephemeral } from './combine.ts';
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
          const shared = lattice.decapsulate(ciphertext.subarray(0, ML.ciphertext));
          return combine([shared, curve.shared(theirs)], [theirs, curve.publicKey, LABEL]);
        },
        wipe() {
          lattice.wipe();
          curve.wipe();
        },
      };
    },
    encapsulate(publicKey) {
      const theirs = publicKey.subarray(ML.publicKey);
      const lattice = mlKem768.encapsulate(publicKey.subarray(0, ML.publicKey));
      const curve = ephemeral({ x25519, random }, theirs);
      return {
        ciphertext: Buffer.concat([lattice.ciphertext, curve.publicKey]),
        // ML-KEM binds its ciphertext and public key by itself: they need not be hashed.
        shared: combine([lattice.shared, curve.shared], [curve.publicKey, theirs, LABEL]),
      };
    },
  };
  return checkedKem(raw, 'X-Wing');
}
