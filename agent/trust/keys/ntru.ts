/**
 * NTRU-HRSS-701 with X25519, as a suite of its own. Research grade: NTRU was a finalist of NIST's competition and was not
 * chosen, and the only implementation for Node (agent/host/ntru.ts) says of itself that it is for experiments.
 */
import { checkedKem } from './checked.ts';
import { combine, ephemeral } from './combine.ts';
import type { Kem, Primitives } from './primitives.ts';
import { SUITE_IDS, Suite } from './suite.ts';

/** What brings NTRU-HRSS-701 (NIST's third round): it draws its own randomness, and rejects implicitly. */
export interface Ntru {
  generateKeyPair(): { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array };
  encapsulate(publicKey: Uint8Array): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array };
  decapsulate(ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array;
}

const X = 32;
const SECRET_KEY = 1450;
const PUBLIC_KEY = 1138;
const CIPHERTEXT = 1138;
const LABEL = Buffer.from('x0tta6bl4 NTRU-HRSS-701 with X25519');

export function ntruSuite(primitives: Primitives, ntru: Ntru): Suite {
  const name = 'NTRU-HRSS-701 with X25519, ML-DSA-65 with Ed25519, ChaCha20-Poly1305, HKDF-SHA-256';
  return new Suite(primitives, { id: SUITE_IDS.ntru, name, grade: 'research' }, ntruX25519(primitives, ntru));
}

/**
 * Secret 2620 bytes (NTRU's keys cannot be made from a seed), public key and ciphertext 1170, shared 32. Everything goes
 * into the digest, as in the universal combiner of draft-irtf-cfrg-hybrid-kems: X-Wing's shorter one is proved for ML-KEM,
 * which hashes its public key and ciphertext by itself.
 */
function ntruX25519({ x25519, random }: Primitives, ntru: Ntru): Kem {
  const raw: Kem = {
    sizes: { secret: SECRET_KEY + PUBLIC_KEY + X, publicKey: PUBLIC_KEY + X, ciphertext: CIPHERTEXT + X },
    generate() {
      const { secretKey, publicKey } = ntru.generateKeyPair();
      return Buffer.concat([secretKey, publicKey, random(X)]);
    },
    key(secret) {
      const latticeSecret = Uint8Array.from(secret.subarray(0, SECRET_KEY));
      const curve = x25519.key(secret.subarray(SECRET_KEY + PUBLIC_KEY));
      const publicKey = Buffer.concat([secret.subarray(SECRET_KEY, SECRET_KEY + PUBLIC_KEY), curve.publicKey]);
      return {
        publicKey,
        decapsulate(ciphertext) {
          const lattice = ntru.decapsulate(ciphertext.subarray(0, CIPHERTEXT), latticeSecret);
          return combine([lattice, curve.shared(ciphertext.subarray(CIPHERTEXT))], [ciphertext, publicKey, LABEL]);
        },
        wipe() {
          latticeSecret.fill(0);
          curve.wipe();
        },
      };
    },
    encapsulate(publicKey) {
      const lattice = ntru.encapsulate(publicKey.subarray(0, PUBLIC_KEY));
      const curve = ephemeral({ x25519, random }, publicKey.subarray(PUBLIC_KEY));
      const ciphertext = Buffer.concat([lattice.ciphertext, curve.publicKey]);
      return { ciphertext, shared: combine([lattice.sharedSecret, curve.shared], [ciphertext, publicKey, LABEL]) };
    },
  };
  return checkedKem(raw, 'NTRU-HRSS-701 with X25519');
}
