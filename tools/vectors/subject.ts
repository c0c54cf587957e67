/** Who is put to the test: each provider by itself, behind the checks that every provider has. */
import crypto from 'node:crypto';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { openssl } from '../../agent/host/openssl.ts';
import { checked } from '../../agent/trust/keys/checked.ts';
import { noble } from '../../agent/trust/keys/noble.ts';
import type { Algorithms, Primitives } from '../../agent/trust/keys/primitives.ts';

export interface Subject {
  readonly name: 'node:crypto' | 'noble';
  has(algorithm: keyof Algorithms): boolean;
  /** Its primitives, with `random` as all that it ever draws; a provider that draws by itself ignores it. */
  primitives(random?: Uint8Array): Primitives;
  /** Whether what it draws can be given to it, and so its encapsulations and signatures foreseen. */
  readonly foreseen: boolean;
  /** Vectors of NIST hold private keys as they are inside of a library; the agent itself keeps seeds only. */
  readonly expanded: Expanded;
}

/** Throws whatever the library does for a key that is none. */
export interface Expanded {
  decapsulate(dk: Uint8Array, ciphertext: Uint8Array): Uint8Array;
  publicKey(sk: Uint8Array): Uint8Array;
  sign(sk: Uint8Array, message: Uint8Array, context: Uint8Array, rnd: Uint8Array): Uint8Array;
}

export function subjects(): readonly Subject[] {
  const native = openssl();
  return [
    {
      name: 'node:crypto',
      has: (algorithm) => algorithm in native,
      primitives: () => checked({ ...noble((length) => crypto.randomBytes(length)), ...native }),
      foreseen: false,
      expanded: {
        decapsulate: (dk, ciphertext) => crypto.decapsulate(privateKey(ML_KEM_768, dk), ciphertext),
        publicKey: (sk) => {
          const { pub = '' } = crypto.createPublicKey(privateKey(ML_DSA_65, sk)).export({ format: 'jwk' }) as {
            pub?: string;
          };
          return Uint8Array.from(Buffer.from(pub, 'base64url'));
        },
        sign: (sk, message, context) => crypto.sign(null, message, { key: privateKey(ML_DSA_65, sk), context }),
      },
    },
    {
      name: 'noble',
      has: () => true,
      primitives: (random = new Uint8Array(0)) => checked(noble(() => random)),
      foreseen: true,
      expanded: {
        decapsulate: (dk, ciphertext) => ml_kem768.decapsulate(ciphertext, dk),
        publicKey: (sk) => ml_dsa65.getPublicKey(sk),
        sign: (sk, message, context, rnd) => ml_dsa65.sign(message, sk, { context, extraEntropy: rnd }),
      },
    },
  ];
}

/** OBJECT IDENTIFIERs of RFC 9935 and RFC 9881. */
const ML_KEM_768 = '0609608648016503040402';
const ML_DSA_65 = '0609608648016503040312';

/** PKCS #8 with the expanded form of a private key, which both RFCs name beside the seed. */
function privateKey(algorithm: string, expanded: Uint8Array): crypto.KeyObject {
  const version = Buffer.from('020100', 'hex');
  const key = tlv(0x30, version, tlv(0x30, Buffer.from(algorithm, 'hex')), tlv(0x04, tlv(0x04, expanded)));
  return crypto.createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

function tlv(tag: number, ...parts: Uint8Array[]): Buffer {
  const value = Buffer.concat(parts);
  const length = value.length < 128 ? [value.length] : [0x82, value.length >> 8, value.length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...length), value]);
}
