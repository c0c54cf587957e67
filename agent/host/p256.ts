/** ECDSA on P-256 out of OpenSSL, for what ordinary TLS stacks verify. It draws its nonces itself, so no machine has it. */
import { createECDH, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { type P256, P256_SPKI_HEAD as SPKI_HEAD } from '../trust/certificate/tools.ts';

/** ECPrivateKey before the scalar, and between scalar and point (RFC 5915). */
const SEC1_HEAD = Buffer.from('30770201010420', 'hex');
const SEC1_POINT = Buffer.from('a00a06082a8648ce3d030107a144034200', 'hex');

export const p256: P256 = {
  key(secret) {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(secret);
    const point = ecdh.getPublicKey();
    const der = Buffer.concat([SEC1_HEAD, secret, SEC1_POINT, point]);
    const key = createPrivateKey({ key: der, format: 'der', type: 'sec1' });
    der.fill(0);
    return { spki: Buffer.concat([SPKI_HEAD, point]), sign: (message) => sign('sha256', message, key) };
  },
  verify(spki, message, signature) {
    try {
      // Of another curve or kind it is none of ours, however well it verifies.
      if (spki.length !== SPKI_HEAD.length + 65 || Buffer.compare(spki.subarray(0, SPKI_HEAD.length), SPKI_HEAD) !== 0)
        return false;
      return verify(
        'sha256',
        message,
        createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }),
        signature,
      );
    } catch {
      return false;
    }
  },
};
