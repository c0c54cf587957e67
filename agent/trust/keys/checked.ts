/**
 * What holds for every provider, said once: lengths, keys that are refused, errors of one kind. The libraries' own
 * errors do not get out, neither as message nor as cause: they may quote what they were given.
 */
import { AgentError, invariant } from '../../core/errors.ts';
import {
  ED25519_SIZES,
  EMPTY,
  type Kem,
  ML_DSA_65_SIZES,
  type Primitives,
  type PrivateKey,
  type Signatures,
} from './primitives.ts';

const X25519_SIZE = 32;
const KEY = 32;
const NONCE = 12;
const TAG = 16;
const LONGEST_HKDF = 255 * 32;
const LONGEST_CONTEXT = 255;

/** The largest y that a point in canonical form has, 2^255 - 20; turned around, to compare. */
const LARGEST_Y = Buffer.from('ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', 'hex').reverse();

/** The y of the eight points of small order on edwards25519, whatever their x. */
const SMALL_ORDER_Y = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/** The same primitives as a room may use them. */
export function checked(raw: Primitives): Primitives {
  return {
    random: raw.random,
    x25519: {
      key: (secret) => {
        const { key, use } = held(() => raw.x25519.key(sized(secret, X25519_SIZE, 'X25519 secret')));
        return {
          ...key,
          shared(publicKey) {
            sized(publicKey, X25519_SIZE, 'X25519 public key');
            const shared = orThrow('E_KEY', 'the X25519 public key is unsafe', () => use().shared(publicKey));
            // Both libraries refuse it by themselves; this is too dear to rest on that.
            if (shared.every((byte) => byte === 0)) throw new AgentError('E_KEY', 'the X25519 public key is unsafe');
            return shared;
          },
        };
      },
    },
    mlKem768: checkedKem(raw.mlKem768, 'ML-KEM-768'),
    ed25519: checkedSignatures(raw.ed25519, 'Ed25519', ED25519_SIZES, isSoundEd25519Key),
    mlDsa65: checkedSignatures(raw.mlDsa65, 'ML-DSA-65', ML_DSA_65_SIZES, () => true),
    chacha20Poly1305: {
      seal(key, nonce, aad, text) {
        invariant(key.length === KEY && nonce.length === NONCE, 'an AEAD key of 32 bytes and a nonce of 12');
        return raw.chacha20Poly1305.seal(key, nonce, aad, text);
      },
      open(key, nonce, aad, sealed) {
        invariant(key.length === KEY && nonce.length === NONCE, 'an AEAD key of 32 bytes and a nonce of 12');
        if (sealed.length < TAG) throw new AgentError('E_SEAL', 'a sealed message is too short');
        return orThrow('E_SEAL', 'a sealed message does not open', () =>
          raw.chacha20Poly1305.open(key, nonce, aad, sealed),
        );
      },
    },
    hkdfSha256(ikm, salt, info, length) {
      invariant(length <= LONGEST_HKDF, `at most ${LONGEST_HKDF} bytes of HKDF`);
      return raw.hkdfSha256(ikm, salt, info, length);
    },
  };
}

/** The same for a KEM that is built of primitives, or brought by a package. */
export function checkedKem(raw: Kem, name: string): Kem {
  const { sizes } = raw;
  return {
    sizes,
    generate: () => raw.generate(),
    key: (secret) => {
      sized(secret, sizes.secret, `${name} secret`);
      const { key, use } = held(() => raw.key(secret));
      return {
        ...key,
        decapsulate(ciphertext) {
          sized(ciphertext, sizes.ciphertext, `${name} ciphertext`);
          return orThrow('E_KEY', `the ${name} ciphertext is malformed`, () => use().decapsulate(ciphertext));
        },
      };
    },
    encapsulate(publicKey) {
      sized(publicKey, sizes.publicKey, `${name} public key`);
      return orThrow('E_KEY', `the ${name} public key is malformed`, () => raw.encapsulate(publicKey));
    },
  };
}

function checkedSignatures(
  raw: Signatures,
  name: string,
  sizes: { readonly seed: number; readonly publicKey: number; readonly signature: number },
  sound: (publicKey: Uint8Array) => boolean,
): Signatures {
  return {
    key: (seed) => {
      const { key, use } = held(() => raw.key(sized(seed, sizes.seed, `${name} seed`)));
      return {
        ...key,
        sign(message, context = EMPTY) {
          invariant(context.length <= LONGEST_CONTEXT, 'a signature context of at most 255 bytes');
          return use().sign(message, context);
        },
        async signAside(message, context = EMPTY) {
          invariant(context.length <= LONGEST_CONTEXT, 'a signature context of at most 255 bytes');
          return use().signAside?.(message, context) ?? use().sign(message, context);
        },
      };
    },
    verify(publicKey, message, signature, context = EMPTY) {
      if (publicKey.length !== sizes.publicKey || signature.length !== sizes.signature) return false;
      if (context.length > LONGEST_CONTEXT || !sound(publicKey)) return false;
      try {
        return raw.verify(publicKey, message, signature, context);
      } catch {
        return false;
      }
    },
  };
}

/**
 * Whether an Ed25519 public key is in canonical form and no point of small order, under which one signature fits many
 * messages. OpenSSL takes both kinds and @noble neither: asked here, they agree on every key.
 */
function isSoundEd25519Key(publicKey: Uint8Array): boolean {
  const y = Buffer.from(publicKey);
  y[31]! &= 0x7f;
  if (SMALL_ORDER_Y.has(y.toString('hex'))) return false;
  return Buffer.compare(y.reverse(), LARGEST_Y) <= 0;
}

/** A private key that can be let go of; `use` gives what computes with it. */
function held<K extends PrivateKey>(make: () => K): { key: PrivateKey; use: () => K } {
  let raw: K | null = make();
  const { publicKey } = raw;
  return {
    key: {
      publicKey,
      wipe() {
        raw?.wipe();
        raw = null;
      },
    },
    use() {
      if (raw === null) throw new AgentError('E_KEY', 'a private key was used after it had been wiped');
      return raw;
    },
  };
}

function sized(bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new AgentError('E_KEY', `${what}: ${bytes.length} bytes instead of ${length}`, { what, expected: length });
}

function orThrow<T>(code: 'E_KEY' | 'E_SEAL', message: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw thrown instanceof AgentError ? thrown : new AgentError(code, message);
  }
}
