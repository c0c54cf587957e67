/**
 * Vectors of NIST's ACVP for FIPS 203 and 204, in the form of usnistgov/ACVP-Server's internalProjection.json (questions
 * and answers in one). A field that is the same for a whole group may stand in the group: both are looked at.
 */

import { attempt, bytes, expected, type Fields, holds, possible, same } from './outcome.ts';
import type { Handler } from './wycheproof.ts';
import { encapsulation, signing } from './wycheproof.ts';

const passes = (test: Fields): boolean => expected(test, 'testPassed', [true], [false]);

/** `algorithm/mode`, and `/function` where the group has one. */
export const ACVP: Readonly<Record<string, Handler>> = {
  'ML-KEM/keyGen': {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const seed = Buffer.concat([bytes(test, 'd'), bytes(test, 'z')]);
      same(subject.primitives().mlKem768.key(seed).publicKey, bytes(test, 'ek'), 'the public key');
    },
  },
  'ML-KEM/encapDecap/encapsulation': {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const encapsulate = () => subject.primitives(bytes(test, 'm')).mlKem768.encapsulate(bytes(test, 'ek'));
      encapsulation(subject, encapsulate, bytes(test, 'c'), bytes(test, 'k'));
      // With the private key an answer can be judged by who draws by itself as well.
      if (subject.foreseen || test.dk === undefined) return;
      const dk = bytes(test, 'dk');
      same(subject.expanded.decapsulate(dk, bytes(test, 'c')), bytes(test, 'k'), 'the secret');
      const own = encapsulate();
      same(subject.expanded.decapsulate(dk, own.ciphertext), own.shared, 'its own secret');
    },
  },
  'ML-KEM/encapDecap/decapsulation': {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, group, test) {
      const { dk } = { ...group, ...test };
      same(subject.expanded.decapsulate(bytes({ dk }, 'dk'), bytes(test, 'c')), bytes(test, 'k'), 'the secret');
    },
  },
  'ML-KEM/encapDecap/decapsulationKeyCheck': {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const dk = bytes(test, 'dk');
      const accepted = possible(() => subject.expanded.decapsulate(dk, new Uint8Array(1088))) !== null;
      holds(accepted === passes(test), `the private key was ${accepted ? 'accepted' : 'refused'}`);
    },
  },
  'ML-KEM/encapDecap/encapsulationKeyCheck': {
    needs: 'mlKem768',
    only: { parameterSet: 'ML-KEM-768' },
    check(subject, _group, test) {
      const random = new Uint8Array(32);
      const accepted = attempt(() => subject.primitives(random).mlKem768.encapsulate(bytes(test, 'ek'))) !== null;
      holds(accepted === passes(test), `the public key was ${accepted ? 'accepted' : 'refused'}`);
    },
  },
  'ML-DSA/keyGen': {
    needs: 'mlDsa65',
    only: { parameterSet: 'ML-DSA-65' },
    check(subject, _group, test) {
      same(subject.primitives().mlDsa65.key(bytes(test, 'seed')).publicKey, bytes(test, 'pk'), 'the public key');
    },
  },
  'ML-DSA/sigGen': {
    needs: 'mlDsa65',
    only: { parameterSet: 'ML-DSA-65', signatureInterface: 'external', preHash: 'pure' },
    check(subject, group, test) {
      const all: Fields = { ...group, ...test };
      const [message, context] = [bytes(test, 'message'), bytes(test, 'context', '')];
      const rnd = group.deterministic === true ? new Uint8Array(32) : bytes(test, 'rnd');
      signing(subject, bytes(all, 'sk'), message, context, rnd, bytes(test, 'signature'));
    },
  },
  'ML-DSA/sigVer': {
    needs: 'mlDsa65',
    only: { parameterSet: 'ML-DSA-65', signatureInterface: 'external', preHash: 'pure' },
    check(subject, group, test) {
      const all: Fields = { ...group, ...test };
      const given = [
        bytes(all, 'pk'),
        bytes(test, 'message'),
        bytes(test, 'signature'),
        bytes(test, 'context', ''),
      ] as const;
      const verdict = subject.primitives().mlDsa65.verify(...given);
      holds(verdict === passes(test), `the signature ${verdict ? 'verifies' : 'does not verify'}`);
    },
  },
};
