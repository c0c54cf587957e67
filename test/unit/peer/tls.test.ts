/** What is asked of OpenSSL at the edge of sessions. */
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { hasHybridGroup } from '../../../agent/host/peer/tls.ts';

test('looking for a group that is not there leaves no error behind for whoever makes a key next', () => {
  const key = generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' });
  hasHybridGroup();
  assert.equal(createPrivateKey({ key, format: 'der', type: 'pkcs8' }).asymmetricKeyType, 'ed25519');
});
