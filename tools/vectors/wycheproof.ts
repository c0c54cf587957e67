/** Vectors of C2SP/wycheproof, testvectors_v1: a handler for each type of test group that concerns the agent. */
import type { Algorithms } from '../../agent/trust/keys/primitives.ts';
import {
  attempt,
  bytes,
  count,
  expected,
  Failed,
  type Fields,
  holds,
  NotCovered,
  possible,
  refused,
  same,
} from './outcome.ts';
import type { Subject } from './subject.ts';

export interface Handler {
  readonly needs: keyof Algorithms;
  /** What the group has to say for this handler to fit: field → value. */
  readonly only?: Fields;
  check(subject: Subject, group: Fields, test: Fields): void;
}

const valid = (test: Fields): boolean => expected(test, 'result', ['valid'], ['invalid', 'acceptable']);

export const WYCHEPROOF: Readonly<Record<string, Handler>> = {
  AeadTest: {
    needs: 'chacha20Poly1305',
    only: { algorithm: 'CHACHA20-POLY1305' },
    check(subject, _group, test) {
      const { chacha20Poly1305: aead } = subject.primitives();
      const [key, nonce, aad, text] = [bytes(test, 'key'), bytes(test, 'iv'), bytes(test, 'aad'), bytes(test, 'msg')];
      const sealed = Buffer.concat([bytes(test, 'ct'), bytes(test, 'tag')]);
      if (!valid(test)) return refused(() => aead.open(key, nonce, aad, sealed), 'a forged message');
      same(aead.seal(key, nonce, aad, text), sealed, 'the sealed message');
      same(aead.open(key, nonce, aad, sealed), text, 'the text');
    },
  },
  HkdfTest: {
    needs: 'hkdfSha256',
    only: { algorithm: 'HKDF-SHA-256' },
    check(subject, _group, test) {
      const [ikm, salt, info, size] = [
        bytes(test, 'ikm'),
        bytes(test, 'salt'),
        bytes(test, 'info'),
        count(test, 'size'),
      ];
      const derive = () => subject.primitives().hkdfSha256(ikm, salt, info, size);
      if (valid(test)) same(derive(), bytes(test, 'okm'), 'the key');
      else refused(derive, 'the length');
    },
  },
  XdhComp: {
    needs: 'x25519',
    only: { curve: 'curve25519' },
    check(subject, _group, test) {
      const [secret, theirs, expects] = [bytes(test, 'private'), bytes(test, 'public'), bytes(test, 'shared')];
      const shared = () => subject.primitives().x25519.key(secret).shared(theirs);
      // "acceptable" here is what a library may refuse; we refuse all-zero results, and nothing else.
      if (expects.length > 0 && expects.every((byte) => byte === 0)) refused(shared, 'an all-zero secret');
      else same(shared(), expects, 'the secret');
    },
  },
  EddsaVerify: {
    needs: 'ed25519',
    check(subject, group, test) {
      const { curve, pk } = (group.publicKey ?? {}) as Fields;
      if (curve !== 'edwards25519') throw new NotCovered(`curve ${curve}`);
      const verdict = subject.primitives().ed25519.verify(bytes({ pk }, 'pk'), bytes(test, 'msg'), bytes(test, 'sig'));
      holds(verdict === valid(test), `the signature ${verdict ? 'verifies' : 'does not verify'}`);
    },
  },
  MlDsaVerify: {
    needs: 'mlDsa65',
    only: { algorithm: 'ML-DSA-65' },
    check(subject, group, test) {
      const given = [
        bytes(group, 'publicKey'),
        bytes(test, 'msg'),
        bytes(test, 'sig'),
        bytes(test, 'ctx', ''),
      ] as const;
      const verdict = subject.primitives().mlDsa65.verify(...given);
      holds(verdict === valid(test), `the signature ${verdict ? 'verifies' : 'does not verify'}`);
    },
  },
  MlDsaSign: {
    needs: 'mlDsa65',
    only: { algorithm: 'ML-DSA-65' },
    check(subject, group, test) {
      if (test.msg === undefined) throw new NotCovered('the internal interface, which signs a digest');
      const rnd = test.rnd === undefined ? new Uint8Array(32) : bytes(test, 'rnd');
      const { mlDsa65 } = subject.primitives(rnd);
      const [message, context] = [bytes(test, 'msg'), bytes(test, 'ctx', '')];
      if (group.privateSeed === undefined && group.privateKey !== undefined) {
        const sk = bytes(group, 'privateKey');
        if (valid(test)) signing(subject, sk, message, context, rnd, bytes(test, 'sig'));
        else holds(possible(() => subject.expanded.sign(sk, message, context, rnd)) === null, 'the key was accepted');
        return;
      }
      const sign = () => mlDsa65.key(bytes(group, 'privateSeed')).sign(message, context);
      if (!valid(test)) return refused(sign, 'the seed or context');
      const theirs = bytes(test, 'sig');
      const { publicKey } = mlDsa65.key(bytes(group, 'privateSeed'));
      same(publicKey, bytes(group, 'publicKey'), 'the public key');
      holds(mlDsa65.verify(publicKey, message, theirs, context), 'the signature does not verify');
      if (subject.foreseen) same(sign(), theirs, 'the signature');
      else holds(mlDsa65.verify(publicKey, message, sign(), context), 'its own signature does not verify');
    },
  },
  MLKEMKeyGen: {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      same(subject.primitives().mlKem768.key(bytes(test, 'seed')).publicKey, bytes(test, 'ek'), 'the public key');
    },
  },
  MLKEMEncapsTest: {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const m = bytes(test, 'm');
      if (!subject.foreseen && m.length !== 32)
        throw new NotCovered('randomness of the wrong length: it draws its own');
      const encapsulate = () => subject.primitives(m).mlKem768.encapsulate(bytes(test, 'ek'));
      if (!valid(test)) return refused(encapsulate, 'the public key');
      encapsulation(subject, encapsulate, bytes(test, 'c'), bytes(test, 'K'));
    },
  },
  MLKEMDecapsValidationTest: {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const [dk, c] = [bytes(test, 'dk'), bytes(test, 'c')];
      const shared = possible(() => subject.expanded.decapsulate(dk, c));
      if (!valid(test)) return holds(shared === null, 'the key or ciphertext was accepted');
      if (shared === null) throw new Failed('the key or ciphertext was refused');
      same(shared, bytes(test, 'K'), 'the secret');
    },
  },
  MLKEMTest: {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const key = () => subject.primitives().mlKem768.key(bytes(test, 'seed'));
      if (!valid(test)) return refused(() => key().decapsulate(bytes(test, 'c')), 'the seed or ciphertext');
      same(key().publicKey, bytes(test, 'ek'), 'the public key');
      same(key().decapsulate(bytes(test, 'c')), bytes(test, 'K'), 'the secret');
    },
  },
};

/** With a private key in its expanded form. Of a provider that draws by itself its own signature has to verify, and theirs. */
export function signing(
  { foreseen, expanded, primitives }: Subject,
  sk: Uint8Array,
  message: Uint8Array,
  context: Uint8Array,
  rnd: Uint8Array,
  theirs: Uint8Array,
): void {
  const made = expanded.sign(sk, message, context, rnd);
  if (foreseen) {
    same(made, theirs, 'the signature');
    return;
  }
  const pk = expanded.publicKey(sk);
  const { verify } = primitives().mlDsa65;
  holds(verify(pk, message, made, context), 'its own signature does not verify');
  holds(verify(pk, message, theirs, context), 'the signature does not verify');
}

type Encapsulated = ReturnType<Algorithms['mlKem768']['encapsulate']>;

/** Of a provider that draws by itself only this can be seen from a public key alone: that it takes it. */
export function encapsulation(subject: Subject, make: () => Encapsulated, c: Uint8Array, k: Uint8Array): void {
  const made = attempt(make);
  if (made === null) throw new Failed('the public key was refused');
  if (!subject.foreseen) return;
  same(made.ciphertext, c, 'the ciphertext');
  same(made.shared, k, 'the secret');
}
