/** The keys of the air across a restart: whole, nobody else's to read, and whatever is damaged is as if there were none. */
import assert from 'node:assert/strict';
import {
  chmodSync,
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
import { readAirFile, writeAirFile } from '../../../agent/host/air-file.ts';

test('what was written is read again, mode 0600; damaged or open to others it is none', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-air-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'air.key');
  const keys = [
    { epoch: 7, secret: new Uint8Array(32).fill(1), ageMs: 5000, against: ['ab'.repeat(8)] },
    { epoch: 6, secret: new Uint8Array(32).fill(2), ageMs: 9000, against: [] },
  ];
  assert.deepEqual(readAirFile(file), []);
  writeAirFile(file, [keys[1]!]);
  writeAirFile(file, keys);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readAirFile(file), keys);
  assert.deepEqual(readdirSync(directory), ['air.key'], 'nothing is left beside it');
  const whole = readFileSync(file);
  for (let length = 0; length < whole.length; length += 7) {
    writeFileSync(file, whole.subarray(0, length));
    assert.deepEqual(readAirFile(file), [], `${length} bytes`);
  }
  for (const text of [
    'null',
    '[]',
    '{"version":2,"keys":[]}',
    '{"version":1,"keys":[null,{"epoch":"1"}]}',
    '{"version":1,"keys":7}',
  ]) {
    writeFileSync(file, text);
    assert.deepEqual(readAirFile(file), [], text);
  }
  writeFileSync(file, whole);
  chmodSync(file, 0o640);
  assert.deepEqual(readAirFile(file), []);
  chmodSync(file, 0o600);
  symlinkSync(file, join(directory, 'link'));
  assert.deepEqual(readAirFile(join(directory, 'link')), []);
  writeAirFile(file, []);
  assert.deepEqual(readdirSync(directory), ['link']);
});
