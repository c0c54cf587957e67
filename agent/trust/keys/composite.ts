/**
 * Composite ML-DSA: Ed25519 and ML-DSA-65 in one signature, which verifies only if both do. The combination
 * id-MLDSA65-Ed25519-SHA512 of draft-ietf-lamps-pq-composite-sigs: seed 64 bytes (ML-DSA's, then Ed25519's), public key
 * 1984, signature 3373, context at most 255.
 */
import { createHash } from 'node:crypto';
import { AgentError, invariant } from '../../core/errors.ts';
import { ED25519_SIZES as Ed, EMPTY, ML_DSA_65_SIZES as Ml, type Primitives, type Signatures } from './primitives.ts';

const PREFIX = Buffer.from('CompositeAlgorithmSignatures2025');
/** Also ML-DSA's own context, so that its half means nothing by itself. */
const LABEL = Buffer.from('COMPSIG-MLDSA65-Ed25519-SHA512');

export const COMPOSITE_SIZES = {
  seed: Ml.seed + Ed.seed,
  publicKey: Ml.publicKey + Ed.publicKey,
  signature: Ml.signature + Ed.signature,
} as const;

export function composite({ ed25519, mlDsa65 }: Primitives): Signatures {
  return {
    key(seed) {
      if (seed.length !== COMPOSITE_SIZES.seed) {
        throw new AgentError('E_KEY', `composite seed: ${seed.length} bytes instead of ${COMPOSITE_SIZES.seed}`);
      }
      const lattice = mlDsa65.key(seed.subarray(0, Ml.seed));
      const curve = ed25519.key(seed.subarray(Ml.seed));
      return {
        publicKey: Buffer.concat([lattice.publicKey, curve.publicKey]),
        sign(message, context) {
          const signed = representative(message, context);
          return Buffer.concat([lattice.sign(signed, LABEL), curve.sign(signed)]);
        },
        async signAside(message, context) {
          const signed = representative(message, context);
          // The lattice's half is begun first. The curve's is not worth a thread, and made here meanwhile.
          const halves = [
            async () => lattice.signAside?.(signed, LABEL) ?? lattice.sign(signed, LABEL),
            async () => curve.sign(signed),
          ];
          return Buffer.concat(await Promise.all(halves.map((half) => half())));
        },
        wipe() {
          lattice.wipe();
          curve.wipe();
        },
      };
    },
    verify(publicKey, message, signature, context = EMPTY) {
      if (publicKey.length !== COMPOSITE_SIZES.publicKey || signature.length !== COMPOSITE_SIZES.signature)
        return false;
      if (context.length > 255) return false;
      const signed = representative(message, context);
      return (
        ed25519.verify(publicKey.subarray(Ml.publicKey), signed, signature.subarray(Ml.signature)) &&
        mlDsa65.verify(publicKey.subarray(0, Ml.publicKey), signed, signature.subarray(0, Ml.signature), LABEL)
      );
    },
  };
}

function representative(message: Uint8Array, context: Uint8Array = EMPTY): Uint8Array {
  invariant(context.length <= 255, 'a signature context of at most 255 bytes');
  const digest = createHash('sha512').update(message).digest();
  return Buffer.concat([PREFIX, LABEL, Uint8Array.of(context.length), context, digest]);
}
