/** A steward's invitations across a restart: nobody else's to read, and whatever is damaged is as if nobody had been invited. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readInvitationFile, writeInvitationFile } from '../../../agent/host/invitation-file.ts';
import type { Invited } from '../../../agent/trust/join/invitation.ts';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';

const plain = (invited: readonly Invited[]) =>
  invited.map(({ secret, ...rest }) => ({ ...rest, secret: Buffer.from(secret.reveal()).toString('hex') }));

test('what was written is read again, mode 0600; damaged or open to others it is none', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-invitations-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'invitations.key');
  const invited: Invited[] = [
    { id: '0a'.repeat(8), secret: new SecretBytes(new Uint8Array(16).fill(1)), node: 'attic', untilMs: 5000 },
    {
      id: '0b'.repeat(8),
      secret: new SecretBytes(new Uint8Array(16).fill(2)),
      node: null,
      untilMs: 9000,
      by: 'cd'.repeat(32),
    },
  ];
  assert.deepEqual(readInvitationFile(file), []);
  writeInvitationFile(file, invited.slice(1));
  writeInvitationFile(file, invited);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(plain(readInvitationFile(file)), plain(invited));
  assert.deepEqual(readdirSync(directory), ['invitations.key'], 'nothing is left beside it');
  const whole = readFileSync(file, 'utf8');
  for (let length = 0; length < whole.length; length += 7) {
    writeFileSync(file, whole.slice(0, length));
    assert.deepEqual(readInvitationFile(file), [], `${length} bytes`);
  }
  for (const [from, to, left] of [
    ['"version":1', '"version":2', 0],
    ['"invitations":[', '"invitations":7,"x":[', 0],
    ['"invitations":[', '"invitations":[null,', 2],
    ['0a0a', '0A0A', 1],
    ['0101', 'x101', 1],
    ['"attic"', '"../attic"', 1],
    ['"attic"', '7', 1],
    ['5000', '"5000"', 1],
    ['cdcd', 'CDCD', 1],
  ] as const) {
    assert.ok(whole.includes(from));
    writeFileSync(file, whole.replace(from, to));
    assert.equal(readInvitationFile(file).length, left, to);
  }
  writeFileSync(file, whole);
  chmodSync(file, 0o644);
  assert.deepEqual(readInvitationFile(file), []);
  writeInvitationFile(file, []);
  assert.deepEqual(readdirSync(directory), []);
});

test('where it cannot be put in its place that is thrown, and no draft with a secret in it is left', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-invitations-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'invitations.key');
  mkdirSync(file);
  const secret = new SecretBytes(new Uint8Array(16));
  assert.throws(() => writeInvitationFile(file, [{ id: '0a'.repeat(8), secret, node: null, untilMs: 5000 }]), /EISDIR/);
  assert.deepEqual(readdirSync(directory), ['invitations.key']);
});
