import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import fc from 'fast-check';
import { composite } from '../../../agent/trust/keys/composite.ts';
import { xwing } from '../../../agent/trust/keys/xwing.ts';
import { flipped, hex, PAIRS, PROVIDERS, scripted } from './help.ts';

const FEW = { numRuns: 5 };
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

test("X-Wing gives the draft's test vectors", () => {
  // The draft draws its three vectors from SHAKE128 of nothing: secret 32, encapsulation's randomness 64. What comes out is
  // compared by digest with spec/test-vectors.json of dconnolly/draft-connolly-cfrg-xwing-kem, 9b6ce9e.
  const drawn = createHash('shake128', { outputLength: 3 * 96 }).digest();
  const digest = createHash('sha256');
  for (let at = 0; at < drawn.length; at += 96) {
    const secret = drawn.subarray(at, at + 32);
    const kem = xwing(scripted(drawn.subarray(at + 32, at + 96)));
    const { publicKey } = kem.key(secret);
    const { ciphertext, shared } = kem.encapsulate(publicKey);
    digest.update(publicKey).update(ciphertext).update(shared);
    for (const [, p] of PROVIDERS) {
      assert.equal(hex(xwing(p).key(secret).publicKey), hex(publicKey));
      assert.equal(hex(xwing(p).key(secret).decapsulate(ciphertext)), hex(shared));
    }
  }
  assert.equal(digest.digest('hex'), '11ab070a6ac184cfdffe944a3ef920015c88cda8d14f597afbdaf7dcc3dfc418');
});

for (const [name, p] of PROVIDERS) {
  test(`${name}: X-Wing as another has written it`, () => {
    fc.assert(
      fc.property(bytes(32), fc.nat(), (secret, bit) => {
        const other = ml_kem768_x25519.keygen(secret);
        const mine = xwing(p).key(secret);
        assert.equal(hex(mine.publicKey), hex(other.publicKey));
        const sent = xwing(p).encapsulate(other.publicKey);
        assert.equal(hex(ml_kem768_x25519.decapsulate(sent.ciphertext, other.secretKey)), hex(sent.shared));
        const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(mine.publicKey);
        assert.equal(hex(mine.decapsulate(cipherText)), hex(sharedSecret));
        assert.notEqual(hex(mine.decapsulate(flipped(cipherText, bit % (1088 * 8)))), hex(sharedSecret));
      }),
      FEW,
    );
  });

  test(`${name}: X-Wing refuses an all-zero X25519 half, from either side`, () => {
    const key = xwing(p).key(p.random(32));
    const publicKey = Uint8Array.from(key.publicKey).fill(0, 1184);
    assert.throws(() => xwing(p).encapsulate(publicKey), { code: 'E_KEY' });
    const ciphertext = Uint8Array.from(xwing(p).encapsulate(key.publicKey).ciphertext).fill(0, 1088);
    assert.throws(() => key.decapsulate(ciphertext), { code: 'E_KEY' });
    key.wipe();
    assert.throws(() => key.decapsulate(ciphertext), { code: 'E_KEY' });
  });

  test(`${name}: a composite signature is two over one message, each useless alone`, () => {
    const seed = p.random(64);
    const [message, context] = [Buffer.from('message'), Buffer.from('context')];
    const key = composite(p).key(seed);
    const signature = key.sign(message, context);
    // draft-ietf-lamps-pq-composite-sigs: M' = Prefix || Label || len(ctx) || ctx || SHA-512(M)
    const label = Buffer.from('COMPSIG-MLDSA65-Ed25519-SHA512');
    const digest = createHash('sha512').update(message).digest();
    const prefix = Buffer.from('CompositeAlgorithmSignatures2025');
    const signed = Buffer.concat([prefix, label, Uint8Array.of(context.length), context, digest]);
    const [lattice, curve] = [signature.subarray(0, 3309), signature.subarray(3309)];
    assert.ok(ml_dsa65.verify(lattice, signed, key.publicKey.subarray(0, 1952), { context: label }));
    assert.ok(ed25519.verify(curve, signed, key.publicKey.subarray(1952)));
    assert.ok(!ml_dsa65.verify(lattice, signed, key.publicKey.subarray(0, 1952)));
    assert.ok(!ed25519.verify(curve, message, key.publicKey.subarray(1952)));
    key.wipe();
    assert.throws(() => key.sign(message), { code: 'E_KEY' });
    assert.throws(() => composite(p).key(seed.subarray(1)), { code: 'E_KEY' });
  });
}

for (const [name, maker, taker] of PAIRS) {
  test(`${name}: both halves of a composite signature have to hold`, () => {
    fc.assert(
      fc.property(bytes(64), fc.uint8Array(), fc.nat(), (seed, message, bit) => {
        const { publicKey, sign } = composite(maker).key(seed);
        const { verify } = composite(taker);
        const signature = sign(message);
        assert.ok(verify(publicKey, message, signature));
        const lattice = flipped(signature.subarray(0, 3309), bit);
        const curve = flipped(signature.subarray(3309), bit);
        assert.ok(!verify(publicKey, message, Buffer.concat([lattice, signature.subarray(3309)])));
        assert.ok(!verify(publicKey, message, Buffer.concat([signature.subarray(0, 3309), curve])));
        assert.ok(!verify(publicKey, message, signature, Uint8Array.of(0)));
        assert.ok(!verify(publicKey, Buffer.concat([message, Uint8Array.of(0)]), signature));
        assert.ok(!verify(publicKey, message, signature, new Uint8Array(256)));
      }),
      FEW,
    );
  });
}
