import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { openssl, provider } from '../../../agent/host/openssl.ts';
import { NODE_FLAGS } from '../../../agent/node-flags.ts';
import { checked } from '../../../agent/trust/keys/checked.ts';
import type { Primitives } from '../../../agent/trust/keys/primitives.ts';
import { flipped, hex, PAIRS, PROVIDERS } from './help.ts';

const ROOM = join(import.meta.dirname, '../../../agent');
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const some = fc.uint8Array({ maxLength: 200 });
const FEW = { numRuns: 8 };

test('both providers make the same of the same', () => {
  fc.assert(
    fc.property(bytes(64), some, some, (seed, text, aad) => {
      const [[, a], [, b]] = [PROVIDERS[0]!, PROVIDERS[1]!];
      const [short, nonce] = [seed.subarray(0, 32), seed.subarray(0, 12)];
      const all = (p: Primitives) => [
        p.x25519.key(short).publicKey,
        p.mlKem768.key(seed).publicKey,
        p.ed25519.key(short).publicKey,
        p.ed25519.key(short).sign(text),
        p.mlDsa65.key(short).publicKey,
        p.chacha20Poly1305.seal(short, nonce, aad, text),
        p.hkdfSha256(text, aad, seed, 77),
      ];
      assert.deepEqual(all(a).map(hex), all(b).map(hex));
    }),
    FEW,
  );
});

for (const [name, maker, taker] of PAIRS) {
  test(`${name}: what one makes the other takes, and nothing that was changed`, () => {
    fc.assert(
      fc.property(bytes(64), some, fc.uint8Array({ maxLength: 255 }), fc.nat(), (seed, text, context, bit) => {
        const short = seed.subarray(0, 32);

        const mine = maker.x25519.key(short);
        const theirs = taker.x25519.key(seed.subarray(32));
        assert.equal(hex(mine.shared(theirs.publicKey)), hex(theirs.shared(mine.publicKey)));

        const kem = taker.mlKem768.key(seed);
        const { ciphertext, shared } = maker.mlKem768.encapsulate(kem.publicKey);
        assert.equal(hex(kem.decapsulate(ciphertext)), hex(shared));
        // Implicit rejection: another secret and no error, the same from both.
        const rejected = kem.decapsulate(flipped(ciphertext, bit));
        assert.notEqual(hex(rejected), hex(shared));
        assert.equal(hex(maker.mlKem768.key(seed).decapsulate(flipped(ciphertext, bit))), hex(rejected));

        const ed = maker.ed25519.key(short);
        const edSignature = ed.sign(text);
        assert.ok(taker.ed25519.verify(ed.publicKey, text, edSignature));
        assert.ok(!taker.ed25519.verify(ed.publicKey, text, flipped(edSignature, bit)));

        const ml = maker.mlDsa65.key(short);
        const mlSignature = ml.sign(text, context);
        assert.ok(taker.mlDsa65.verify(ml.publicKey, text, mlSignature, context));
        assert.ok(!taker.mlDsa65.verify(ml.publicKey, text, flipped(mlSignature, bit), context));
        assert.equal(taker.mlDsa65.verify(ml.publicKey, text, mlSignature), context.length === 0);

        const nonce = seed.subarray(0, 12);
        const sealed = maker.chacha20Poly1305.seal(short, nonce, context, text);
        assert.equal(hex(taker.chacha20Poly1305.open(short, nonce, context, sealed)), hex(text));
        const changed = flipped(sealed, bit);
        assert.throws(() => taker.chacha20Poly1305.open(short, nonce, context, changed), { code: 'E_SEAL' });
      }),
      FEW,
    );
  });
}

/** The eight points of small order on Curve25519 and its twist, in canonical form, that are no duplicates (RFC 7748, 7). */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

/** y = 1 and y = -1 with the sign of an x that is 0, and y = 1 as 2^255 - 18, with either sign: not canonical. */
const NOT_CANONICAL = [
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
];

/** A point of order 8 of edwards25519. */
const ORDER_8 = '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05';

for (const [name, p] of PROVIDERS) {
  test(`${name}: an all-zero X25519 secret is refused`, () => {
    const key = p.x25519.key(p.random(32));
    for (const point of SMALL_ORDER) assert.throws(() => key.shared(Buffer.from(point, 'hex')), { code: 'E_KEY' });
  });

  test(`${name}: Ed25519 keys of small order, or in another form, verify nothing`, () => {
    const { BASE } = ed25519.Point;
    // R = B and S = 1: holds for the neutral element as key and every message there is.
    const forged = Buffer.concat([BASE.toBytes(), Uint8Array.of(1), new Uint8Array(31)]);
    for (const key of [...smallOrder(), ...NOT_CANONICAL])
      for (const message of ['one', 'two'])
        assert.ok(!p.ed25519.verify(Buffer.from(key, 'hex'), Buffer.from(message), forged), key);
  });

  test(`${name}: an Ed25519 signature that only a verifier with the cofactor takes is refused`, () => {
    const { Point, utils } = ed25519;
    const { scalar, pointBytes } = utils.getExtendedPublicKey(p.random(32));
    const torsion = Point.fromHex(ORDER_8);
    const r = Point.BASE.multiply(7n).add(torsion).toBytes();
    const message = Buffer.from('message');
    const k = littleEndian(sha512(Buffer.concat([r, pointBytes, message])));
    const s = Point.Fn.toBytes(Point.Fn.create(7n + k * scalar));
    const signature = Buffer.concat([r, s]);
    assert.ok(ed25519.verify(signature, message, pointBytes, { zip215: false }), 'the premise');
    assert.ok(!p.ed25519.verify(pointBytes, message, signature));
  });

  test(`${name}: lengths that are wrong are refused in one way, and errors quote nothing`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), (given) => {
        fc.pre(![32, 64, 1088, 1184].includes(given.length));
        const key = bare('E_KEY');
        assert.throws(() => p.x25519.key(given), key);
        assert.throws(() => p.x25519.key(new Uint8Array(32)).shared(given), key);
        assert.throws(() => p.mlKem768.key(given), key);
        assert.throws(() => p.mlKem768.encapsulate(given), key);
        assert.throws(() => p.mlKem768.key(new Uint8Array(64)).decapsulate(given), key);
        assert.throws(() => p.ed25519.key(given), key);
        assert.throws(() => p.mlDsa65.key(given), key);
        assert.ok(!p.ed25519.verify(given, given, given));
        assert.ok(!p.mlDsa65.verify(given, given, given));
        const open = () => p.chacha20Poly1305.open(new Uint8Array(32), new Uint8Array(12), given, given);
        assert.throws(open, bare('E_SEAL'));
      }),
      { numRuns: 20 },
    );
    assert.throws(() => p.mlKem768.encapsulate(new Uint8Array(1184).fill(255)), bare('E_KEY'));
    assert.throws(() => p.mlDsa65.key(new Uint8Array(32)).sign(new Uint8Array(1), new Uint8Array(256)), {
      code: 'E_BUG',
    });
    assert.throws(() => p.hkdfSha256(new Uint8Array(1), new Uint8Array(1), new Uint8Array(1), 8161), { code: 'E_BUG' });
  });

  test(`${name}: a wiped key does nothing more, and what it was made of is the caller's to wipe`, () => {
    const seed = p.random(64);
    const keys = [
      p.x25519.key(seed.subarray(0, 32)),
      p.mlKem768.key(seed),
      p.ed25519.key(seed.subarray(0, 32)),
      p.mlDsa65.key(seed.subarray(0, 32)),
    ] as const;
    const [x, kem, ed, ml] = keys;
    // A Buffer, whose `slice` shares memory: the keys have to have copies.
    const other = Buffer.from(seed);
    const copies = [p.x25519.key(other.subarray(0, 32)), p.ed25519.key(other.subarray(0, 32))] as const;
    other.fill(0);
    assert.equal(hex(copies[0].shared(x.publicKey)), hex(x.shared(x.publicKey)));
    assert.equal(hex(copies[1].sign(seed)), hex(ed.sign(seed)));
    const { ciphertext } = p.mlKem768.encapsulate(kem.publicKey);
    for (const key of keys) key.wipe();
    assert.throws(() => x.shared(x.publicKey), { code: 'E_KEY' });
    assert.throws(() => kem.decapsulate(ciphertext), { code: 'E_KEY' });
    assert.throws(() => ed.sign(seed), { code: 'E_KEY' });
    assert.throws(() => ml.sign(seed), { code: 'E_KEY' });
  });
}

test('an all-zero X25519 secret is refused even where the library gives it out', () => {
  const raw = PROVIDERS[1]![1];
  const lax = checked({
    ...raw,
    x25519: { key: () => ({ publicKey: new Uint8Array(32), shared: () => new Uint8Array(32), wipe() {} }) },
  });
  assert.throws(() => lax.x25519.key(new Uint8Array(32)).shared(new Uint8Array(32)), { code: 'E_KEY' });
});

test('status can show which provider does what', async () => {
  const native = openssl();
  for (const [algorithm, who] of Object.entries((await provider()).inUse))
    assert.equal(who, algorithm in native ? 'node:crypto' : 'noble');
  assert.deepEqual(new Set(Object.values((await provider({})).inUse)), new Set(['noble']));
  // Those every OpenSSL has that a supported Node comes with.
  for (const algorithm of ['x25519', 'ed25519', 'chacha20Poly1305', 'hkdfSha256']) assert.ok(algorithm in native);
});

/** All eight points, in each form of x's sign that OpenSSL would read. */
function smallOrder(): string[] {
  const torsion = ed25519.Point.fromHex(ORDER_8);
  return Array.from({ length: 8 }, (_, i) => torsion.multiplyUnsafe(BigInt(i)).toBytes()).flatMap((key) =>
    [key, flipped(key, 255)].map(hex),
  );
}

/** An error with this code and nothing of the library's behind it. */
function bare(code: string): (thrown: Error & { code?: string }) => boolean {
  return (thrown) => thrown.code === code && thrown.cause === undefined;
}

function sha512(data: Uint8Array): Uint8Array {
  return createHash('sha512').update(data).digest();
}

function littleEndian(data: Uint8Array): bigint {
  return BigInt(`0x${hex(Uint8Array.from(data).reverse())}`);
}

test('with x0d’s flags, where @noble is needed its code is optimised', () => {
  // The best of some: other processes take time away, and give none.
  const script = `
    import { noble } from ${JSON.stringify(join(ROOM, 'trust/keys/noble.ts'))};
    import { provider } from ${JSON.stringify(join(ROOM, 'host/openssl.ts'))};
    const { mlDsa65 } = noble((length) => new Uint8Array(length));
    const best = (times) => Math.min(...Array.from({ length: times }, () => {
      const began = performance.now();
      mlDsa65.key(new Uint8Array(32));
      return performance.now() - began;
    }));
    const before = best(20);
    await provider({});
    best(20);
    console.log(JSON.stringify([before, best(20)]));`;
  const args = ['--no-warnings', ...NODE_FLAGS, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(stderr, '');
  const [before, after] = JSON.parse(stdout) as [number, number];
  assert.ok(after < before / 3, `${before} ms, then ${after}`);
});
