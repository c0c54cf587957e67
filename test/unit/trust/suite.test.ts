import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';
import { SUITE_IDS, Suite, standardSuite } from '../../../agent/trust/keys/suite.ts';
import { Transcript } from '../../../agent/trust/keys/transcript.ts';
import { xwing } from '../../../agent/trust/keys/xwing.ts';
import { flipped, hex, PAIRS, PROVIDERS } from './help.ts';

const FEW = { numRuns: 5 };
const text = (words: string) => Buffer.from(words);

/** The same algorithms under another number, as if they were weaker. */
const other = (p: (typeof PROVIDERS)[number][1]): Suite =>
  new Suite(p, { id: 0x0002, name: 'another', grade: 'standard' }, xwing(p));

for (const [name, a, b] of PAIRS) {
  test(`${name}: two sides agree on keys, and only if they were told the same`, () => {
    const [mine, theirs] = [standardSuite(a), standardSuite(b)];
    const key = theirs.agreementKey(theirs.newAgreement());
    const { message, secret } = mine.offer(key.publicKey);
    const found = key.accept(message);
    const said = (suite: Suite, ...parts: string[]): Transcript =>
      parts.reduce((transcript, part) => transcript.add('hello', text(part)), suite.transcript());
    const keyOf = (suite: Suite, shared: SecretBytes, use: string, ...parts: string[]): string =>
      hex(suite.derive(shared, said(suite, ...parts), use).reveal());
    const one = keyOf(mine, secret, 'there', 'x', 'y');
    assert.equal(keyOf(theirs, found, 'there', 'x', 'y'), one);
    assert.equal(one.length, 64);
    const others = [
      keyOf(theirs, found, 'back', 'x', 'y'),
      keyOf(theirs, found, 'there', 'xy'),
      keyOf(theirs, found, 'there', 'x', 'y', ''),
      keyOf(other(b), found, 'there', 'x', 'y'),
    ];
    assert.equal(new Set([one, ...others]).size, 5);
    key.wipe();
    assert.throws(() => key.accept(message), { code: 'E_KEY' });
  });

  test(`${name}: a signature is for one purpose of one suite`, () => {
    const [mine, theirs] = [standardSuite(a), standardSuite(b)];
    const key = mine.identityKey(mine.newIdentity());
    const signature = key.sign('session', text('message'));
    assert.ok(theirs.verify(key.publicKey, 'session', text('message'), signature));
    assert.ok(!theirs.verify(key.publicKey, 'invitation', text('message'), signature));
    assert.ok(!other(b).verify(key.publicKey, 'session', text('message'), signature));
    // Told to be of another suite, it is not one of that suite either: the number is signed.
    const [renamedKey, renamed] = [key.publicKey, signature].map((bytes) => Buffer.from([0, 2, ...bytes.subarray(2)]));
    assert.ok(!other(b).verify(renamedKey!, 'session', text('message'), renamed!));
    assert.throws(() => key.sign('x'.repeat(254), text('message')), { code: 'E_BUG' });
    key.wipe();
    assert.throws(() => key.sign('session', text('message')), { code: 'E_KEY' });
  });

  test(`${name}: a signature that is made aside is one like the others`, async () => {
    const [mine, theirs] = [standardSuite(a), standardSuite(b)];
    const key = mine.identityKey(mine.newIdentity());
    const made = await Promise.all(['one', 'other'].map((word) => key.signAside('session', text(word))));
    assert.ok(theirs.verify(key.publicKey, 'session', text('one'), made[0]!));
    assert.ok(theirs.verify(key.publicKey, 'session', text('other'), made[1]!));
    assert.ok(!theirs.verify(key.publicKey, 'session', text('one'), made[1]!));
    assert.ok(!theirs.verify(key.publicKey, 'invitation', text('one'), made[0]!));
    await assert.rejects(key.signAside('x'.repeat(254), text('message')), { code: 'E_BUG' });
    const underWay = key.signAside('session', text('one'));
    key.wipe();
    assert.ok(theirs.verify(key.publicKey, 'session', text('one'), await underWay));
    await assert.rejects(key.signAside('session', text('message')), { code: 'E_KEY' });
  });

  test(`${name}: sealed messages open on the other side, in any order, unchanged only`, () => {
    const [mine, theirs] = [standardSuite(a), standardSuite(b)];
    const raw = a.random(32);
    const key = () => new SecretBytes(Uint8Array.from(raw));
    const sealer = mine.sealer(key());
    const sealed = ['one', 'two', 'three'].map((words) => sealer.seal(text(words), text('aad')));
    for (const at of [2, 0, 1]) {
      const { text: opened, counter } = theirs.open(key(), sealed[at]!, text('aad'));
      assert.equal(Buffer.from(opened).toString(), ['one', 'two', 'three'][at]);
      assert.equal(counter, at);
    }
    assert.throws(() => theirs.open(key(), sealed[0]!, text('other')), { code: 'E_SEAL' });
    assert.throws(() => other(b).open(key(), sealed[0]!, text('aad')), { code: 'E_SUITE' });
    const renamed = Buffer.from([0, 2, ...sealed[0]!.subarray(2)]);
    assert.throws(() => other(b).open(key(), renamed, text('aad')), { code: 'E_SEAL' });
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        const refused = { code: bit % (sealed[0]!.length * 8) < 16 ? 'E_SUITE' : 'E_SEAL' };
        assert.throws(() => theirs.open(key(), flipped(sealed[0]!, bit), text('aad')), refused);
      }),
    );
  });
}

for (const [name, p] of PROVIDERS) {
  test(`${name}: whatever comes in, a suite answers with one of its errors`, () => {
    const suite = standardSuite(p);
    const key = suite.agreementKey(suite.newAgreement());
    const aead = () => new SecretBytes(new Uint8Array(32));
    const code = (work: () => unknown, codes: readonly string[]): void =>
      assert.throws(work, (thrown: { code?: string }) => codes.includes(thrown.code ?? ''));
    // The right beginning, so that more than its check is reached; and lengths around the right ones.
    const length = fc.oneof(fc.nat(40), ...[1120, 1216, 1984, 3373].map((n) => fc.integer({ min: n, max: n + 3 })));
    const input = fc
      .tuple(length, fc.boolean(), fc.uint8Array({ minLength: 3400, maxLength: 3400 }))
      .map(([n, begins, all]) => Uint8Array.from(begins ? [0, 1, ...all.subarray(0, n)] : all.subarray(0, n)));
    fc.assert(
      fc.property(input, (bytes) => {
        code(() => suite.offer(bytes), ['E_SUITE', 'E_KEY']);
        code(() => suite.open(aead(), bytes, bytes), ['E_SUITE', 'E_SEAL']);
        assert.equal(suite.verify(bytes, 'session', bytes, bytes), false);
        // Of the right length and number, any ciphertext is taken: implicit rejection.
        if (bytes.length !== 1122 || bytes[0] !== 0 || bytes[1] !== 1)
          code(() => key.accept(bytes), ['E_SUITE', 'E_KEY']);
        else assert.equal(key.accept(bytes).reveal().length, 32);
      }),
      FEW,
    );
  });
}

test('a transcript tells apart what looks the same when put together', () => {
  const digest = (suite: number, ...parts: (readonly [string, string])[]): string =>
    hex(parts.reduce((all, [name, said]) => all.add(name, text(said)), new Transcript(suite)).digest());
  const all = [
    digest(1),
    digest(2),
    digest(1, ['a', 'b']),
    digest(1, ['ab', '']),
    digest(1, ['', 'ab']),
    digest(1, ['a', 'b'], ['c', 'd']),
    digest(1, ['a', 'bcd']),
    digest(1, ['c', 'd'], ['a', 'b']),
  ];
  assert.equal(new Set(all).size, all.length);
  const growing = new Transcript(1);
  assert.equal(hex(growing.digest()), digest(1));
  assert.equal(hex(growing.add('a', text('b')).digest()), digest(1, ['a', 'b']));
});

test('the standard suite is the one that everybody has', () => {
  const suite = standardSuite(PROVIDERS[0]![1]);
  assert.deepEqual([suite.id, suite.grade], [SUITE_IDS.xwing, 'standard']);
});
