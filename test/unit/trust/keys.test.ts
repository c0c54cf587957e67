import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { createKeyFile, readKeyFile } from '../../../agent/host/key-file.ts';
import { decodeKeyFile, encodeKeyFile } from '../../../agent/trust/keys/file.ts';
import { newSecrets, type RouterSecrets } from '../../../agent/trust/keys/router.ts';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';
import { standardSuite } from '../../../agent/trust/keys/suite.ts';
import { flipped, hex, PROVIDERS } from './help.ts';

const suite = standardSuite(PROVIDERS[0]![1]);
const shown = ({ suite: id, agreement, identity }: RouterSecrets) => [
  id,
  hex(agreement.reveal()),
  hex(identity.reveal()),
];
const refused = { code: 'E_KEY_FILE' };

function inFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'x0-keys-'));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a secret shows in no way that something is shown', () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);
  const secret = new SecretBytes(bytes);
  const error = new AgentError('E_KEY', `with ${secret}`, { secret });
  const ways = [String(secret), JSON.stringify({ secret }), inspect({ secret }, { showHidden: true, depth: 9 })];
  for (const way of [...ways, JSON.stringify(error), inspect(error), inspect(structuredClone({ ...secret }))])
    assert.doesNotMatch(way, /a0a1|160, ?161|a0 a1/i);
  assert.equal(hex(secret.reveal()), hex(bytes));
  secret.wipe();
  assert.deepEqual(bytes, new Uint8Array(32));
  assert.throws(() => secret.reveal(), { code: 'E_KEY' });
});

test('a key file gives back what was put in, and the same keys', () => {
  const secrets = newSecrets(suite);
  const read = decodeKeyFile(encodeKeyFile(secrets));
  assert.deepEqual(shown(read), shown(secrets));
  assert.equal(hex(suite.identityKey(read.identity).publicKey), hex(suite.identityKey(secrets.identity).publicKey));
});

test('a key file of any suite is read, and a damaged one never', () => {
  const secret = fc.uint8Array({ maxLength: 3000 });
  fc.assert(
    fc.property(fc.nat(0xffff), secret, secret, fc.nat(), (id, agreement, identity, bit) => {
      const secrets = { suite: id, agreement: new SecretBytes(agreement), identity: new SecretBytes(identity) };
      const bytes = encodeKeyFile(secrets);
      assert.deepEqual(shown(decodeKeyFile(bytes)), shown(secrets));
      assert.throws(() => decodeKeyFile(flipped(bytes, bit)), refused);
      assert.throws(() => decodeKeyFile(bytes.subarray(0, bit % bytes.length)), refused);
      assert.throws(() => decodeKeyFile(Buffer.concat([bytes, Uint8Array.of(0)])), refused);
    }),
  );
});

test('lengths that lie are refused, though the check is right', () => {
  const good = encodeKeyFile(newSecrets(suite));

  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
      const bytes = Buffer.concat([good.subarray(0, 8), body]);
      const checked = Buffer.concat([bytes, createHash('sha256').update(bytes).digest().subarray(0, 8)]);
      try {
        const [, a, b] = shown(decodeKeyFile(checked)) as [number, string, string];
        assert.equal(a.length / 2 + b.length / 2 + 4, body.length);
      } catch (thrown) {
        assert.equal((thrown as AgentError).code, 'E_KEY_FILE');
      }
    }),
  );
});

test('the file is made once, whole, for its owner alone', () => {
  inFolder((folder) => {
    const file = join(folder, 'keys');
    const secrets = newSecrets(suite);
    assert.throws(() => readKeyFile(file), { ...refused, detail: { file, errno: 'ENOENT' } });
    // What a crash in the middle has left does not stand in the way.
    writeFileSync(join(folder, `.keys.x0-${process.pid}`), 'half');
    createKeyFile(file, secrets);
    assert.equal(statSync(file).mode & 0o7777, 0o600);
    assert.deepEqual(readdirSync(folder), ['keys']);
    assert.deepEqual(shown(readKeyFile(file)), shown(secrets));
    const before = readFileSync(file);
    assert.throws(() => createKeyFile(file, newSecrets(suite)), { ...refused, detail: { file, errno: 'EEXIST' } });
    assert.deepEqual(readFileSync(file), before);
    assert.deepEqual(readdirSync(folder), ['keys']);
    assert.throws(() => createKeyFile(join(folder, 'none', 'keys'), secrets), refused);
  });
});

test('a file that others can read, or that is none, is not trusted', () => {
  inFolder((folder) => {
    const file = join(folder, 'keys');
    createKeyFile(file, newSecrets(suite));
    for (const mode of [0o640, 0o604, 0o620, 0o602]) {
      chmodSync(file, mode);
      assert.throws(() => readKeyFile(file), refused);
    }
    chmodSync(file, 0o600);
    symlinkSync(file, join(folder, 'link'));
    assert.throws(() => readKeyFile(join(folder, 'link')), refused);
    mkdirSync(join(folder, 'folder'), { mode: 0o700 });
    assert.throws(() => readKeyFile(join(folder, 'folder')), refused);
    writeFileSync(join(folder, 'large'), Buffer.alloc(20_000), { mode: 0o600 });
    assert.throws(() => readKeyFile(join(folder, 'large')), /larger than/);
    writeFileSync(join(folder, 'other'), 'something else', { mode: 0o600 });
    assert.throws(() => readKeyFile(join(folder, 'other')), {
      ...refused,
      detail: { file: join(folder, 'other'), errno: undefined },
    });
  });
});
