import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MAX_FILE } from '../../../agent/config/uci.ts';
import { readConfigFile, writeConfigFile } from '../../../agent/host/config-file.ts';

const dir = mkdtempSync(join(tmpdir(), 'x0-config-'));
after(() => rmSync(dir, { recursive: true }));
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

test('a file is replaced whole, keeps its mode and its symbolic link, and leaves nothing beside it', () => {
  const file = join(dir, 'a');
  writeConfigFile(file, bytes('one'));
  assert.equal(statSync(file).mode & 0o7777, 0o600);
  chmodSync(file, 0o640);
  const link = join(dir, 'link');
  symlinkSync('a', link);
  writeConfigFile(link, bytes('two'));
  assert.equal(readFileSync(file, 'utf8'), 'two');
  assert.equal(statSync(file).mode & 0o7777, 0o640);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.deepEqual(Buffer.from(readConfigFile(link)).toString(), 'two');
  assert.deepEqual(readdirSync(dir).toSorted(), ['a', 'link']);
});

test('what cannot be read or written is E_CONFIG_READ with the file and the errno', () => {
  const missing = join(dir, 'none', 'x');
  const error = (errno: string | undefined, file: string) => ({ code: 'E_CONFIG_READ', detail: { file, errno } });
  assert.throws(() => readConfigFile(missing), error('ENOENT', missing));
  assert.throws(() => writeConfigFile(missing, bytes('x')), error('ENOENT', missing));
  assert.throws(() => readConfigFile(dir), { code: 'E_CONFIG_READ', message: /not a file/ });
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  assert.throws(() => readConfigFile(fifo), { code: 'E_CONFIG_READ', message: /not a file/ });
  const large = join(dir, 'large');
  writeFileSync(large, '');
  truncateSync(large, MAX_FILE);
  assert.equal(readConfigFile(large).length, MAX_FILE);
  truncateSync(large, MAX_FILE + 1);
  assert.throws(() => readConfigFile(large), { code: 'E_CONFIG_READ', message: /larger/ });
  assert.throws(() => writeConfigFile(large, new Uint8Array(MAX_FILE + 1)), {
    code: 'E_CONFIG_READ',
    message: /more than/,
  });
});
