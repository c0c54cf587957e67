import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { runVectors } from '../../tools/vectors/run.ts';
import { subjects } from '../../tools/vectors/subject.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase();
const repeated = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);

/** RFC 5869, test case 1. */
const HKDF = {
  algorithm: 'HKDF-SHA-256',
  testGroups: [
    {
      type: 'HkdfTest',
      tests: [
        {
          tcId: 1,
          ikm: '0b'.repeat(22),
          salt: '000102030405060708090a0b0c',
          info: 'f0f1f2f3f4f5f6f7f8f9',
          size: 42,
          okm: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
          result: 'valid',
        },
      ],
    },
  ],
};

function changed<T>(value: T, change: (copy: T) => void): T {
  const copy = structuredClone(value);
  change(copy);
  return copy;
}

function run(files: Record<string, unknown>, ...args: string[]): { code: number | null; out: string; err: string } {
  const folder = mkdtempSync(join(tmpdir(), 'x0-vectors-'));
  try {
    for (const [name, value] of Object.entries(files)) {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      writeFileSync(join(folder, name), name.endsWith('.gz') ? gzipSync(text) : text);
    }
    const tool = join(import.meta.dirname, '../../tools/vectors.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [tool, ...args], { cwd: folder, encoding: 'utf8' });
    return { code: status, out: stdout, err: stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the tool answers for each group and provider, and its exit code says the worst', () => {
  const wrong = changed(HKDF, (file) => {
    file.testGroups[0]!.tests[0]!.okm = '00';
  });
  const good = run({ 'a.json': HKDF, 'b.json.gz': HKDF }, 'a.json', 'b.json.gz');
  assert.equal(good.code, 0, good.err);
  assert.equal(good.out.match(/^pass {2}(node:crypto|noble) .*group 1, HkdfTest .*: 1 passed, 0 failed$/gm)?.length, 4);
  const bad = run({ 'a.json': wrong, 'b.json': HKDF }, 'a.json', 'b.json');
  assert.equal(bad.code, 1);
  assert.equal(bad.out.match(/^FAIL .*0 passed, 1 failed\n +test 1: the key differs$/gm)?.length, 2);
  assert.equal(bad.out.match(/^pass/gm)?.length, 2);
});

test('what cannot be run is said, and is no success', () => {
  const strange = changed(HKDF, (file) => {
    file.testGroups[0]!.type = 'NewTest';
  });
  const { code, out } = run({ 'a.json': strange }, 'a.json');
  assert.equal(code, 1);
  assert.match(out, /^none .*0 passed, 0 failed, 1 not covered: nothing here runs NewTest$/m);
  for (const text of [
    '{}',
    '[]',
    'null',
    '{"testGroups":[{}]}',
    '{"testGroups":[null]}',
    '{"testGroups":[{"tests":[null]}]}',
  ]) {
    const { code, err } = run({ 'a.json': text }, 'a.json');
    assert.deepEqual([code, err], [2, 'a.json: neither Wycheproof nor ACVP: it has no testGroups with tests\n'], text);
  }
  assert.deepEqual(run({ 'a.json': '{"secret"' }, 'a.json'), {
    code: 2,
    out: '',
    err: 'a.json cannot be read: it is no JSON\n',
  });
  assert.equal(run({}, 'missing.json').err, 'missing.json cannot be read: ENOENT\n');
  for (const args of [[], ['--bogus', 'a.json'], ['--answers', 'a.json', 'b.json', 'c.json']]) {
    const { code, err } = run({}, ...args);
    assert.deepEqual([code, err], [2, 'usage: node tools/vectors.ts FILE... | --answers FILE FILE\n']);
  }
});

test('what is malformed in a vector is no success, and no type of group is what every object has', () => {
  for (const type of ['constructor', 'toString', '__proto__']) {
    const strange = changed(HKDF, (file) => {
      file.testGroups[0]!.type = type;
    });
    const [first] = runVectors(strange, subjects());
    assert.deepEqual([first!.failed, [...first!.notCovered]], [[], [[`nothing here runs ${type}`, 1]]]);
  }
  const tests = [{ tcId: 1, private: '', public: '', shared: '', result: 'valid' }];
  for (const { passed } of runVectors({ testGroups: [{ type: 'XdhComp', curve: 'curve25519', tests }] }, subjects()))
    assert.equal(passed, 0, 'a secret of no bytes is not all zero');
});

test('what a file says of itself moves no cursor and breaks no line', () => {
  const strange = changed(HKDF, (file) => {
    file.testGroups[0]!.type = 'a\u001b[2J\u009b\nb';
  });
  const { out } = run({ 'a.json': strange }, 'a.json');
  assert.match(out, /nothing here runs a\?\[2J\?\?b$/m);
  assert.doesNotMatch(out, /[^\n -~]/);
});

test('a file that cannot be read is named, and the others are run', () => {
  const { code, out, err } = run({ 'a.json': '{', 'b.json': HKDF }, 'a.json', 'b.json');
  assert.equal(code, 2);
  assert.match(err, /^a\.json cannot be read/);
  assert.equal(out.match(/^pass/gm)?.length, 2);
  const answers = run({ 'a.json': '{', 'b.json': HKDF }, '--answers', 'a.json', 'b.json');
  assert.deepEqual([answers.code, answers.err], [2, 'a.json cannot be read: it is no JSON\n']);
});

test('a question without its answer is neither passed nor failed', () => {
  const invalid = changed(HKDF, (file) => {
    file.testGroups[0]!.tests[0]!.result = 'invalid';
  });
  for (const [field, file] of [
    ['okm', HKDF],
    ['result', HKDF],
    ['size', HKDF],
    ['size', invalid],
    ...Object.entries(acvp()).flatMap(([name, group]) => {
      const [algorithm, mode, does] = name.split(' ');
      const whole = { algorithm, mode, testGroups: [{ ...group, ...(does !== undefined && { function: does }) }] };
      return ['c', 'k', 'ek', 'pk', 'signature', 'testPassed', 'dk']
        .filter((one) => one in group.tests[0]! && !(one === 'dk' && (mode === 'keyGen' || does === 'encapsulation')))
        .map((one) => [one, whole] as const);
    }),
  ] as const) {
    const without = changed(file as object, (copy) => {
      for (const one of (copy as { testGroups: { tests: Record<string, unknown>[] }[] }).testGroups[0]!.tests)
        delete one[field];
    });
    for (const { provider, what, passed, failed, notCovered } of runVectors(without, subjects())) {
      assert.deepEqual([passed, failed], [0, []], `${provider}, ${what} without ${field}`);
      const why = [...notCovered.keys()];
      assert.ok(
        why.length === 1 && [`${field} is not in the file`, 'this Node has no such algorithm'].includes(why[0]!),
      );
    }
  }
});

/** Questions and answers of ACVP, made with @noble: the form is what this tests; the values, other vectors do. */
function acvp() {
  const kem = ml_kem768.keygen(Buffer.concat([repeated(1), repeated(2)]));
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(kem.publicKey, repeated(3));
  const dsa = ml_dsa65.keygen(repeated(4));
  const context = repeated(5, 7);
  const signature = ml_dsa65.sign(repeated(6), dsa.secretKey, { context, extraEntropy: repeated(7) });
  const external = { parameterSet: 'ML-DSA-65', signatureInterface: 'external', preHash: 'pure' };
  const message = { tcId: 1, message: hex(repeated(6)), context: hex(context) };
  const parameterSet = 'ML-KEM-768';
  const group = (fields: { parameterSet: string; [field: string]: unknown }, ...tests: object[]) => ({
    tgId: 1,
    ...fields,
    tests,
  });
  const [ek, dk, c, k] = [hex(kem.publicKey), hex(kem.secretKey), hex(cipherText), hex(sharedSecret)];
  const overflow = hex(Uint8Array.from(kem.publicKey).fill(255, 0, 384));
  const [pk, sk] = [hex(dsa.publicKey), hex(dsa.secretKey)];
  return {
    'ML-KEM keyGen': group({ parameterSet }, { tcId: 1, d: hex(repeated(1)), z: hex(repeated(2)), ek, dk }),
    'ML-KEM encapDecap encapsulation': group({ parameterSet }, { tcId: 1, ek, dk, m: hex(repeated(3)), c, k }),
    'ML-KEM encapDecap decapsulation': group({ parameterSet }, { tcId: 1, dk, c, k }),
    'ML-KEM encapDecap encapsulationKeyCheck': group(
      { parameterSet },
      { tcId: 1, ek, testPassed: true },
      { tcId: 2, ek: overflow, testPassed: false },
    ),
    'ML-KEM encapDecap decapsulationKeyCheck': group(
      { parameterSet },
      { tcId: 1, dk, testPassed: true },
      // The hash of the public key that it holds is another's.
      { tcId: 2, dk: `${dk.slice(0, -128)}${'00'.repeat(32)}${dk.slice(-64)}`, testPassed: false },
      { tcId: 3, dk: dk.slice(2), testPassed: false },
    ),
    'ML-DSA keyGen': group({ parameterSet: 'ML-DSA-65' }, { tcId: 1, seed: hex(repeated(4)), pk, sk }),
    'ML-DSA sigGen': group(
      { ...external, deterministic: false, sk },
      { ...message, rnd: hex(repeated(7)), signature: hex(signature) },
    ),
    'ML-DSA sigVer': group(
      external,
      { ...message, pk, signature: hex(signature), testPassed: true },
      { ...message, tcId: 2, pk, context: '', signature: hex(signature), testPassed: false },
    ),
  };
}

for (const [name, group] of Object.entries(acvp())) {
  const [algorithm, mode, does] = name.split(' ');
  const file = { algorithm, mode, testGroups: [{ ...group, ...(does === undefined ? {} : { function: does }) }] };
  test(`ACVP: ${name}`, (t) => {
    const all = subjects().filter((subject) => subject.has(algorithm === 'ML-KEM' ? 'mlKem768' : 'mlDsa65'));
    if (all.length < 2) t.diagnostic('node:crypto has no such algorithm here');
    for (const result of runVectors([{ acvVersion: '1.0' }, file], all)) {
      assert.deepEqual([result.passed, result.failed], [group.tests.length, []], result.provider);
    }
    // The same in two files.
    const [prompt, answers] = [changed(file, () => {}), changed(file, () => {})];
    const answer = ['c', 'k', 'ek', 'pk', 'signature', 'testPassed'].find((field) => field in group.tests[0]!)!;
    for (const one of prompt.testGroups[0]!.tests as Record<string, unknown>[]) delete one[answer];
    for (const { passed } of runVectors(prompt, all, answers)) assert.equal(passed, group.tests.length);
    // And what is wrong is found: an answer of another, in turn for each field that is one.
    const fault = changed(file, (copy) => {
      for (const one of copy.testGroups[0]!.tests as Record<string, unknown>[]) {
        if ('testPassed' in one) one.testPassed = !one.testPassed;
        else if ('signature' in one) one.signature = `00${String(one.signature).slice(2)}`;
        else if ('k' in one) one.k = '00'.repeat(32);
        else one[mode === 'keyGen' && algorithm === 'ML-DSA' ? 'pk' : 'ek'] = '00';
      }
    });
    for (const { provider, failed } of runVectors(fault, all)) {
      assert.equal(failed.length, group.tests.length, provider);
    }
    const set = changed(file, (copy) => {
      copy.testGroups[0]!.parameterSet = 'ML-KEM-512';
    });
    for (const { notCovered } of runVectors(set, all)) assert.equal(notCovered.size, 1);
  });
}

test('Wycheproof: private keys in their expanded form', () => {
  const kem = ml_kem768.keygen(Buffer.concat([repeated(1), repeated(2)]));
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(kem.publicKey, repeated(3));
  const dsa = ml_dsa65.keygen(repeated(4));
  const signature = ml_dsa65.sign(repeated(6), dsa.secretKey, { extraEntropy: repeated(0) });
  const [dk, c, K, sk, msg, sig] = [kem.secretKey, cipherText, sharedSecret, dsa.secretKey, repeated(6), signature].map(
    hex,
  );
  const decaps = { type: 'MLKEMDecapsValidationTest', parameterSet: 'ML-KEM-768' };
  const sign = { type: 'MlDsaSign', algorithm: 'ML-DSA-65' };
  for (const [group, right, wrong] of [
    [decaps, { dk, c, K, result: 'valid' }, { dk, c, K: '00'.repeat(32), result: 'valid' }],
    [decaps, { dk, c: c!.slice(2), K: '', result: 'invalid' }, { dk, c, K, result: 'invalid' }],
    [decaps, { dk: dk!.slice(2), c, K: '', result: 'invalid' }, { dk: dk!.slice(2), c, K, result: 'valid' }],
    [
      { ...sign, privateKey: sk },
      { msg, sig, result: 'valid' },
      { msg, sig: sig!.slice(0, -2), result: 'valid' },
    ],
    [
      { ...sign, privateKey: sk!.slice(2) },
      { msg, sig: '', result: 'invalid' },
      { msg, sig, result: 'valid' },
    ],
    [
      { ...sign, privateKey: sk },
      { msg, ctx: '00'.repeat(256), result: 'invalid' },
      { msg, sig, result: 'invalid' },
    ],
  ] as const) {
    const tests = [right, wrong].map((test, at) => ({ tcId: at + 1, ...test }));
    const all = subjects().filter((subject) => subject.has(group.type === 'MlDsaSign' ? 'mlDsa65' : 'mlKem768'));
    for (const { provider, passed, failed } of runVectors({ testGroups: [{ ...group, tests }] }, all))
      assert.deepEqual(
        [passed, failed.map((one) => one.slice(0, 2))],
        [1, ['2:']],
        `${provider} ${JSON.stringify(right).slice(-80)}`,
      );
  }
});
