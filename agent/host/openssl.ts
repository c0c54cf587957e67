/**
 * The provider that is OpenSSL, by way of node:crypto: ten times as fast and more than @noble, where the running Node
 * has the algorithm. That is tried, never told from a version: a distribution's Node uses the system's OpenSSL.
 *
 * OpenSSL draws its own randomness, so this is a world's and no machine imports it.
 */
import crypto, { type KeyObject } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { checked } from '../trust/keys/checked.ts';
import { type Algorithms, EMPTY, ML_KEM_768_SIZES, type Primitives, type Random } from '../trust/keys/primitives.ts';

/** Node has no raw keys before 25: these DER heads (RFC 8410, 9881, 9935) stand before the raw bytes of each. */
const HEADS = {
  x25519: { secret: der('302e020100300506032b656e04220420'), public: der('302a300506032b656e032100') },
  ed25519: { secret: der('302e020100300506032b657004220420'), public: der('302a300506032b6570032100') },
  mlKem768: {
    secret: der('3054020100300b060960864801650304040204428040'),
    public: der('308204b2300b0609608648016503040402038204a100'),
  },
  mlDsa65: {
    secret: der('3034020100300b060960864801650304031204228020'),
    public: der('308207b2300b0609608648016503040312038207a100'),
  },
} as const;

const AEAD = 'chacha20-poly1305';
const TAG = 16;

/** `wipe` has nothing to do here: OpenSSL cleans a key when the last reference to it is gone. */
const ALL: Algorithms = {
  x25519: {
    key(secret) {
      const privateKey = secretKey('x25519', secret);
      return {
        publicKey: rawPublic('x25519', privateKey),
        shared: (theirs) => crypto.diffieHellman({ privateKey, publicKey: publicKey('x25519', theirs) }),
        wipe() {},
      };
    },
  },
  mlKem768: {
    sizes: ML_KEM_768_SIZES,
    generate: () => crypto.randomBytes(ML_KEM_768_SIZES.secret),
    key(secret) {
      const key = secretKey('mlKem768', secret);
      return {
        publicKey: rawPublic('mlKem768', key),
        decapsulate: (ciphertext) => crypto.decapsulate(key, ciphertext),
        wipe() {},
      };
    },
    encapsulate(theirs) {
      const { ciphertext, sharedKey } = crypto.encapsulate(publicKey('mlKem768', theirs));
      return { ciphertext, shared: sharedKey };
    },
  },
  ed25519: {
    key(seed) {
      const key = secretKey('ed25519', seed);
      return {
        publicKey: rawPublic('ed25519', key),
        sign: (message) => crypto.sign(null, message, key),
        wipe() {},
      };
    },
    verify: (theirs, message, signature) => crypto.verify(null, message, publicKey('ed25519', theirs), signature),
  },
  mlDsa65: {
    key(seed) {
      const key = secretKey('mlDsa65', seed);
      return {
        publicKey: rawPublic('mlDsa65', key),
        sign: (message, context = EMPTY) => crypto.sign(null, message, { key, context }),
        signAside: (message, context = EMPTY) =>
          new Promise((resolve, reject) =>
            crypto.sign(null, message, { key, context }, (error, signature) =>
              error === null ? resolve(signature) : reject(error),
            ),
          ),
        wipe() {},
      };
    },
    verify: (theirs, message, signature, context = EMPTY) =>
      crypto.verify(null, message, { key: publicKey('mlDsa65', theirs), context }, signature),
  },
  chacha20Poly1305: {
    seal(key, nonce, aad, text) {
      const cipher = crypto.createCipheriv(AEAD, key, nonce, { authTagLength: TAG });
      cipher.setAAD(aad, { plaintextLength: text.length });
      return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    },
    open(key, nonce, aad, sealed) {
      const end = sealed.length - TAG;
      const decipher = crypto.createDecipheriv(AEAD, key, nonce, { authTagLength: TAG });
      decipher.setAAD(aad, { plaintextLength: end });
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
    },
  },
  hkdfSha256: (ikm, salt, info, length) => new Uint8Array(crypto.hkdfSync('sha256', ikm, salt, info, length)),
};

const NAMES = Object.keys(ALL) as (keyof Algorithms)[];

/** What each algorithm has to do here before it counts as there. */
const TRIALS: { readonly [Name in keyof Algorithms]: (it: Algorithms[Name]) => boolean } = {
  x25519: (it) => it.key(new Uint8Array(32)).shared(it.key(new Uint8Array(32)).publicKey).length === 32,
  mlKem768(it) {
    const key = it.key(new Uint8Array(64));
    const { ciphertext, shared } = it.encapsulate(key.publicKey);
    return Buffer.compare(key.decapsulate(ciphertext), shared) === 0;
  },
  ed25519(it) {
    const key = it.key(new Uint8Array(32));
    return it.verify(key.publicKey, EMPTY, key.sign(EMPTY));
  },
  // Node 24.6 has ML-DSA but passes over the context without a word: the signature would mean less than it should.
  mlDsa65(it) {
    const key = it.key(new Uint8Array(32));
    const context = Uint8Array.of(1);
    const signature = key.sign(EMPTY, context);
    return it.verify(key.publicKey, EMPTY, signature, context) && !it.verify(key.publicKey, EMPTY, signature);
  },
  chacha20Poly1305(it) {
    const [key, nonce] = [new Uint8Array(32), new Uint8Array(12)];
    return it.open(key, nonce, EMPTY, it.seal(key, nonce, EMPTY, EMPTY)).length === 0;
  },
  hkdfSha256: (it) => it(EMPTY, EMPTY, EMPTY, 32).length === 32,
};

/** Those of OpenSSL's algorithms that this Node has and that work, as they are: unchecked. */
export function openssl(): Partial<Algorithms> {
  const works = <Name extends keyof Algorithms>(name: Name): boolean => {
    try {
      return TRIALS[name](ALL[name]);
    } catch {
      return false;
    }
  };
  return Object.fromEntries(NAMES.filter(works).map((name) => [name, ALL[name]]));
}

export interface Provider {
  readonly primitives: Primitives;
  /** Which of the two does what, for a person to see. */
  readonly inUse: Readonly<Record<keyof Algorithms, 'node:crypto' | 'noble'>>;
}

/** This router's cryptography: `native` (what `openssl()` found) where it is there, @noble for the rest. */
export async function provider(native: Partial<Algorithms> = openssl()): Promise<Provider> {
  const random: Random = (length) => crypto.randomBytes(length);
  // Loaded only where something is missing: it takes several megabytes of memory.
  const complete = NAMES.every((name) => name in native);
  // x0d does without V8's optimising compiler (node-flags.ts), which costs it nothing elsewhere; but lattices in plain
  // JavaScript take twenty times as long without it, on the only thread: 130 ms a signature, and seconds on a router.
  if (!complete) setFlagsFromString('--opt');
  const rest = complete ? { random } : (await import('../trust/keys/noble.ts')).noble(random);
  return {
    primitives: checked({ ...rest, ...native } as Primitives),
    inUse: Object.fromEntries(
      NAMES.map((name) => [name, name in native ? 'node:crypto' : 'noble']),
    ) as Provider['inUse'],
  };
}

type Named = keyof typeof HEADS;

function secretKey(name: Named, raw: Uint8Array): KeyObject {
  const key = Buffer.concat([HEADS[name].secret, raw]);
  try {
    return crypto.createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  } finally {
    key.fill(0);
  }
}

function publicKey(name: Named, raw: Uint8Array): KeyObject {
  return crypto.createPublicKey({ key: Buffer.concat([HEADS[name].public, raw]), format: 'der', type: 'spki' });
}

function rawPublic(name: Named, key: KeyObject): Uint8Array {
  return crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(HEADS[name].public.length);
}

function der(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}
