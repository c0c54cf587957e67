/**
 * A cipher suite: one choice of every algorithm, under one number. The number stands in front of every public key,
 * encapsulation, signature and sealed message, and both sides' transcripts begin with it. Nothing of one suite is
 * accepted by another (E_SUITE), so there is nothing to be talked down to.
 *
 * Which suite two routers use is settled by the keys that they know of each other, not by what a stranger offers.
 */
import { AgentError, invariant } from '../../core/errors.ts';
import { COMPOSITE_SIZES, composite } from './composite.ts';
import type { Kem, Primitives, Signatures } from './primitives.ts';
import { type Opened, open, requireSuite, Sealer } from './seal.ts';
import { SecretBytes } from './secret.ts';
import { Transcript } from './transcript.ts';
import { xwing } from './xwing.ts';

/** Never reused. What is for research begins at 0xf000. */
export const SUITE_IDS = { xwing: 0x0001, ntru: 0xf001 } as const;

export interface SuiteName {
  readonly id: number;
  readonly name: string;
  /** 'research': for experiments; nobody vouches for it, and it is never chosen by itself. */
  readonly grade: 'standard' | 'research';
}

/** Private keys at work; all that goes out carries the suite. */
export interface AgreementKey {
  readonly publicKey: Uint8Array;
  /** The secret, 32 bytes, that the other side's `offer` made. Throws E_SUITE, E_KEY. */
  accept(message: Uint8Array): SecretBytes;
  wipe(): void;
}

export interface IdentityKey {
  readonly publicKey: Uint8Array;
  sign(purpose: string, message: Uint8Array): Uint8Array;
  /** The same without holding up this thread, where the provider can. */
  signAside(purpose: string, message: Uint8Array): Promise<Uint8Array>;
  wipe(): void;
}

export class Suite implements SuiteName {
  readonly id: number;
  readonly name: string;
  readonly grade: SuiteName['grade'];
  readonly #primitives: Primitives;
  readonly #kem: Kem;
  readonly #signatures: Signatures;

  constructor(primitives: Primitives, { id, name, grade }: SuiteName, kem: Kem) {
    this.id = id;
    this.name = name;
    this.grade = grade;
    this.#primitives = primitives;
    this.#kem = kem;
    this.#signatures = composite(primitives);
  }

  /** A new secret for `agreementKey`; it is what has to be kept. */
  newAgreement(): SecretBytes {
    return new SecretBytes(this.#kem.generate());
  }

  /** A new secret for `identityKey`. */
  newIdentity(): SecretBytes {
    return new SecretBytes(this.#primitives.random(COMPOSITE_SIZES.seed));
  }

  /** Throws E_KEY for a secret of another length. */
  agreementKey(secret: SecretBytes): AgreementKey {
    const key = this.#kem.key(secret.reveal());
    return {
      publicKey: this.#tagged(key.publicKey),
      accept: (message) => new SecretBytes(key.decapsulate(this.#untagged(message))),
      wipe: () => key.wipe(),
    };
  }

  /** A secret, 32 bytes, and the message from which only the holder of `publicKey` finds it. Throws E_SUITE, E_KEY. */
  offer(publicKey: Uint8Array): { readonly message: Uint8Array; readonly secret: SecretBytes } {
    const { ciphertext, shared } = this.#kem.encapsulate(this.#untagged(publicKey));
    return { message: this.#tagged(ciphertext), secret: new SecretBytes(shared) };
  }

  /** Throws E_KEY for a secret of another length. */
  identityKey(secret: SecretBytes): IdentityKey {
    const key = this.#signatures.key(secret.reveal());
    return {
      publicKey: this.#tagged(key.publicKey),
      sign: (purpose, message) => this.#tagged(key.sign(message, this.#context(purpose))),
      signAside: async (purpose, message) => {
        const context = this.#context(purpose);
        return this.#tagged(await (key.signAside?.(message, context) ?? key.sign(message, context)));
      },
      wipe: () => key.wipe(),
    };
  }

  /** Whether both halves of a signature hold, for this purpose. Another suite's signature is none: no input throws. */
  verify(publicKey: Uint8Array, purpose: string, message: Uint8Array, signature: Uint8Array): boolean {
    try {
      const context = this.#context(purpose);
      return this.#signatures.verify(this.#untagged(publicKey), message, this.#untagged(signature), context);
    } catch (thrown) {
      if (thrown instanceof AgentError && thrown.code === 'E_SUITE') return false;
      throw thrown;
    }
  }

  transcript(): Transcript {
    return new Transcript(this.id);
  }

  /** HKDF-SHA-256 (RFC 5869) of a secret, bound to all that was said; `use` keeps keys of one secret apart. */
  derive(secret: SecretBytes, transcript: Transcript, use: string, length = 32): SecretBytes {
    const info = Buffer.from(`x0tta6bl4 v1 ${use}`);
    return new SecretBytes(this.#primitives.hkdfSha256(secret.reveal(), transcript.digest(), info, length));
  }

  /** One for each key and direction; `key` has 32 bytes. */
  sealer(key: SecretBytes): Sealer {
    return new Sealer(this.#primitives.chacha20Poly1305, this.id, key);
  }

  /** Throws E_SUITE, E_SEAL. */
  open(key: SecretBytes, message: Uint8Array, aad: Uint8Array): Opened {
    return open(this.#primitives.chacha20Poly1305, this.id, key, message, aad);
  }

  #tagged(bytes: Uint8Array): Uint8Array {
    return Buffer.concat([Uint8Array.of(this.id >> 8, this.id & 0xff), bytes]);
  }

  #untagged(bytes: Uint8Array): Uint8Array {
    requireSuite(bytes, this.id);
    return bytes.subarray(2);
  }

  /** Suite and purpose go into what is signed: a signature is good for nothing else. */
  #context(purpose: string): Uint8Array {
    const context = this.#tagged(Buffer.from(purpose));
    invariant(context.length <= 255, 'a purpose of at most 253 bytes');
    return context;
  }
}

/** The suite that everybody has: X-Wing, composite Ed25519 and ML-DSA-65, ChaCha20-Poly1305, HKDF-SHA-256. */
export function standardSuite(primitives: Primitives): Suite {
  const name = 'X-Wing, ML-DSA-65 with Ed25519, ChaCha20-Poly1305, HKDF-SHA-256';
  return new Suite(primitives, { id: SUITE_IDS.xwing, name, grade: 'standard' }, xwing(primitives));
}
