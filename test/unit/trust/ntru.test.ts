import assert from 'node:assert/strict';
import crypto, { createCipheriv, createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadNtruSuite } from '../../../agent/host/ntru.ts';
import { type Suite, standardSuite } from '../../../agent/trust/keys/suite.ts';
import { flipped, hex, PAIRS, PROVIDERS } from './help.ts';

const installed = await import('@openforge-sh/liboqs/kem').catch(() => null);
const skip = installed === null ? '@openforge-sh/liboqs is not installed' : false;

for (const [name, a, b] of PAIRS) {
  test(`${name}: NTRU-HRSS-701 with X25519 goes there and back`, { skip }, async () => {
    const [mine, theirs] = [await loadNtruSuite(a), await loadNtruSuite(b)];
    assert.equal(mine.grade, 'research');
    const stored = theirs.newAgreement();
    const key = theirs.agreementKey(stored);
    assert.equal(hex(theirs.agreementKey(stored).publicKey), hex(key.publicKey));
    const { message, secret } = mine.offer(key.publicKey);
    const shared = hex(secret.reveal());
    assert.equal(hex(key.accept(message).reveal()), shared);
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        // Neither half may be changed, nor what no half reads. The number in front is another test's.
        const changed = Buffer.concat([message.subarray(0, 2), flipped(message.subarray(2), bit)]);
        assert.notEqual(hex(key.accept(changed).reveal()), shared);
      }),
      { numRuns: 10 },
    );
    refuses(standardSuite(b), mine);
    key.wipe();
    assert.throws(() => key.accept(message), { code: 'E_KEY' });
  });
}

function refuses(standard: Suite, research: Suite): void {
  const [ours, theirs] = [standard, research].map((suite) => suite.agreementKey(suite.newAgreement()).publicKey);
  assert.throws(() => standard.offer(theirs!), { code: 'E_SUITE' });
  assert.throws(() => research.offer(ours!), { code: 'E_SUITE' });
  const zero = Uint8Array.from(theirs!).fill(0, 2 + 1138);
  assert.throws(() => research.offer(zero), { code: 'E_KEY' });
}

test('the package gives the known answer of NTRU-HRSS-701', { skip }, async (t) => {
  // As NIST's PQCgenKAT_kem.c does it, for count = 0; the digest of the answer is "single" of NTRU-HRSS-701 in
  // open-quantum-safe/liboqs, tests/KATs/kem/kats.json.
  const seed = new Drbg(Uint8Array.from({ length: 48 }, (_, i) => i)).generate(48);
  const drbg = new Drbg(seed);
  // Key generation draws two pieces and encapsulation one, but WebAssembly fetches them 256 bytes at a time.
  let drawn = Buffer.concat([1400, 32, 1400].map((length) => drbg.generate(length)));
  const ntru = await installed!.createNTRUHrss701();
  t.mock.method(crypto, 'randomFillSync', (into: Uint8Array) => {
    into.set(drawn.subarray(0, into.length));
    drawn = drawn.subarray(into.length);
    return into;
  });
  const { publicKey, secretKey } = ntru.generateKeyPair();
  const { ciphertext, sharedSecret } = ntru.encapsulate(publicKey);
  assert.equal(drawn.length, 0);
  assert.equal(hex(ntru.decapsulate(ciphertext, secretKey)), hex(sharedSecret));
  const lines = Object.entries({ seed, pk: publicKey, sk: secretKey, ct: ciphertext, ss: sharedSecret });
  const text = lines.map(([name, value]) => `${name} = ${hex(value).toUpperCase()}\n`).join('');
  const digest = createHash('sha256').update(`count = 0\n${text}`).digest('hex');
  assert.equal(digest, '501e000c3eb374ffbfb81b0f16673a6282116465936608d7d164b05635e769e8');
});

test('without the package the suite is not there, and the error names it', async () => {
  const load = () => Promise.reject(new Error('Cannot find package'));
  await assert.rejects(loadNtruSuite(PROVIDERS[0]![1], load), { code: 'E_SUITE', message: /@openforge-sh\/liboqs/ });
});

/** AES-256 CTR_DRBG without derivation function (NIST SP 800-90A), as NIST's generator of known answers has it. */
class Drbg {
  #key: Uint8Array = new Uint8Array(32);
  #counter = 0n;

  constructor(seed: Uint8Array) {
    this.#update(seed);
  }

  generate(length: number): Buffer {
    const blocks = Array.from({ length: Math.ceil(length / 16) }, () => this.#block());
    this.#update(new Uint8Array(48));
    return Buffer.concat(blocks).subarray(0, length);
  }

  #update(data: Uint8Array): void {
    const next = Buffer.concat([this.#block(), this.#block(), this.#block()]).map((byte, i) => byte ^ data[i]!);
    this.#key = next.subarray(0, 32);
    this.#counter = BigInt(`0x${hex(next.subarray(32))}`);
  }

  #block(): Buffer {
    this.#counter = (this.#counter + 1n) & ((1n << 128n) - 1n);
    const cipher = createCipheriv('aes-256-ecb', this.#key, null).setAutoPadding(false);
    return cipher.update(Buffer.from(this.#counter.toString(16).padStart(32, '0'), 'hex'));
  }
}
