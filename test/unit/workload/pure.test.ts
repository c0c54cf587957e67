import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { p256 } from '../../../agent/host/p256.ts';
import { type Facts, isEntryPath, Registry, readCgroups, readSelector } from '../../../agent/workload/entry.ts';
import { Frames, frame, GrpcError, messageText, statusOf } from '../../../agent/workload/grpc.ts';
import { keyId, verifyJwt, writeJwks, writeJwt } from '../../../agent/workload/jwt.ts';
import {
  type Json,
  readBundles,
  readJwtSvidRequest,
  readJwtSvidResponse,
  readValidateRequest,
  readValidateResponse,
  readX509SvidResponse,
  writeBundles,
  writeJwtSvidRequest,
  writeJwtSvidResponse,
  writeValidateRequest,
  writeValidateResponse,
  writeX509SvidResponse,
} from '../../../agent/workload/messages.ts';
import { Malformed } from '../../../agent/workload/protobuf.ts';

const bytes = fc.uint8Array({ maxLength: 200 });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });

test('messages are read as they were written', () => {
  const svid = fc.record({ id: text, chain: bytes, key: bytes, bundle: bytes, hint: text });
  const map = fc.array(fc.tuple(text, bytes), { maxLength: 5 }).map((entries) => new Map(entries));
  const plain = (value: unknown): string =>
    JSON.stringify(value, (_, one) =>
      one instanceof Map
        ? [...one].map(([k, v]) => [k, ...v])
        : one?.type === 'Buffer'
          ? one.data
          : one instanceof Uint8Array
            ? [...one]
            : one,
    );
  fc.assert(
    fc.property(fc.array(svid, { maxLength: 3 }), map, (svids, federated) => {
      assert.equal(
        plain(readX509SvidResponse(writeX509SvidResponse({ svids, federated }))),
        plain({ svids, federated }),
      );
      for (const kind of ['x509', 'jwt'] as const)
        assert.equal(plain(readBundles(kind, writeBundles(kind, federated))), plain(federated));
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.array(text), text, (audience, id) => {
      assert.deepEqual(readJwtSvidRequest(writeJwtSvidRequest({ audience, id })), { audience, id });
      assert.deepEqual(readValidateRequest(writeValidateRequest(id, id)), { audience: id, token: id });
      const svids = audience.map((token) => ({ id, token, hint: token }));
      assert.deepEqual(readJwtSvidResponse(writeJwtSvidResponse(svids)), svids);
    }),
  );
  fc.assert(
    fc.property(
      fc.dictionary(text, fc.jsonValue({ maxDepth: 5, noUnicodeString: false }) as fc.Arbitrary<Json>),
      (claims) => {
        assert.equal(
          JSON.stringify(readValidateResponse(writeValidateResponse('a', claims)).claims),
          JSON.stringify(claims),
        );
      },
    ),
  );
});

test('a message as another library encodes it', () => {
  // What protobufjs 7 makes of { audience: ["a", "bc"], spiffe_id: "spiffe://d/x" } as a JWTSVIDRequest.
  const encoded = Buffer.from('0a01610a026263120c7370696666653a2f2f642f78', 'hex');
  assert.deepEqual(readJwtSvidRequest(encoded), { audience: ['a', 'bc'], id: 'spiffe://d/x' });
  assert.deepEqual(writeJwtSvidRequest({ audience: ['a', 'bc'], id: 'spiffe://d/x' }), encoded);
  // Fields that nobody knows, of every type: 15 as varint, fixed64, fixed32, bytes.
  const unknown = Buffer.from('78ffffffffffffffffff01790102030405060708' + '7d01020304' + '7a0161', 'hex');
  assert.deepEqual(readJwtSvidRequest(Buffer.concat([unknown, encoded, unknown])).audience, ['a', 'bc']);
});

const READERS = [
  readX509SvidResponse,
  readJwtSvidRequest,
  readJwtSvidResponse,
  readValidateRequest,
  readValidateResponse,
  (message: Uint8Array) => readBundles('x509', message),
  (message: Uint8Array) => readBundles('jwt', message),
];

test('hostile bytes are malformed, and nothing else', () => {
  const seeds = [
    writeX509SvidResponse({
      svids: [{ id: 'a', chain: Buffer.alloc(9), key: Buffer.alloc(9), bundle: Buffer.alloc(9), hint: 'h' }],
      federated: new Map([['d', Buffer.alloc(4)]]),
    }),
    writeValidateResponse('id', { a: [1, 'x', null, { b: true }] }),
    writeJwtSvidRequest({ audience: ['a', 'b'], id: 'c' }),
  ];
  const damaged = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(100))
    .map(([seed, changes, cut]) => {
      const copy = Buffer.from(seed);
      for (const [at, to] of changes) copy[at % copy.length] = to;
      return copy.subarray(0, copy.length - (cut % copy.length));
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged), (message) => {
      for (const read of READERS) {
        try {
          read(message);
        } catch (thrown) {
          assert.ok(thrown instanceof Malformed, String(thrown));
        }
      }
    }),
    { numRuns: 2000 },
  );
  // Numbers of groups, a group, no UTF-8, too many fields, claims in claims.
  for (const hex of ['0b', '00', '0a01ff', '0a', '0affffffff7f', '08ffffffffffffffffffff01'])
    assert.throws(() => readJwtSvidRequest(Buffer.from(hex, 'hex')), Malformed, hex);
  assert.throws(() => readJwtSvidRequest(Buffer.alloc(600, '0a00', 'hex')), Malformed);
  const deep = (levels: number): Json => (levels === 0 ? 1 : [deep(levels - 1)]);
  assert.throws(() => writeValidateResponse('a', { deep: deep(5000) }), Malformed);
  let nested = Buffer.alloc(0);
  for (let i = 0; i < 60; i++) {
    const head = Buffer.from([0x32, nested.length + 2, 0x0a, nested.length]);
    nested = nested.length > 100 ? nested : Buffer.concat([head, nested]);
  }
  const inside = Buffer.concat([Buffer.from([0x12, nested.length]), nested]);
  const struct = Buffer.concat([Buffer.from([0x0a, inside.length]), inside]);
  assert.throws(() => readValidateResponse(Buffer.concat([Buffer.from([0x12, struct.length]), struct])), Malformed);
});

test('messages are found in bytes however they come, and too long ones before they came', () => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, step) => {
      const all = Buffer.concat(messages.map(frame));
      const frames = new Frames(200);
      const found: Buffer[] = [];
      for (let at = 0; at < all.length; at += step) found.push(...frames.take(all.subarray(at, at + step)));
      assert.deepEqual(
        found.map((one) => [...one]),
        messages.map((one) => [...one]),
      );
      assert.equal(frames.isWithin, false);
    }),
  );
  assert.throws(() => new Frames(200).take(Buffer.from([0, 0, 0, 0, 201])), GrpcError);
  assert.throws(() => new Frames(200).take(Buffer.from([1, 0, 0, 0, 0])), GrpcError);
});

test('a status and its words', () => {
  assert.equal(messageText('a%b\nü'), 'a%25b%0A%C3%BC');
  assert.equal(statusOf({}), null);
  assert.equal(statusOf({ 'grpc-status': '0' }), 'ok');
  assert.equal((statusOf({ 'grpc-status': '7', 'grpc-message': 'no' }) as GrpcError).code, 7);
  assert.equal(statusOf({ 'grpc-status': 'seven' }), null);
});

const FACTS: Facts = {
  uid: 1000,
  gid: 100,
  path: '/usr/bin/shop',
  sha256: null,
  cgroups: [`/system.slice/docker-${'ab'.repeat(32)}.scope`],
};

test('selectors', () => {
  const table: readonly [selector: string, holds: boolean | null][] = [
    ['unix:uid:1000', true],
    ['unix:uid:100', false],
    ['unix:uid:01000', null],
    ['unix:uid:-1', null],
    ['unix:uid:4294967295', null],
    ['unix:gid:100', true],
    ['unix:gid:1000', false],
    ['unix:path:/usr/bin/shop', true],
    ['unix:path:/usr/bin/sho', false],
    ['unix:path:/usr/bin/../bin/shop', null],
    ['unix:path:shop', null],
    [`unix:sha256:${'a'.repeat(64)}`, false],
    ['unix:sha256:abc', null],
    ['cgroup:/system.slice', true],
    ['cgroup:/system.sl', false],
    ['cgroup:/', null],
    [`container:${'ab'.repeat(32)}`, true],
    ['container:abababababab', true],
    ['container:babababababa', false],
    ['container:ababab', null],
    ['unix:name:shop', null],
    ['', null],
  ];
  for (const [selector, holds] of table) assert.equal(readSelector(selector)?.holds(FACTS) ?? null, holds, selector);
  fc.assert(fc.property(fc.string(), (any) => void readSelector(any)));
});

test('all of an entry has to hold; an entry of nothing is for nobody', () => {
  const entry = (name: string, ...selectors: string[]) => ({ name, path: name, selectors, hint: '' });
  const hash = 'c'.repeat(64);
  const registry = new Registry([
    entry('both', 'unix:uid:1000', 'unix:gid:100'),
    entry('one', 'unix:uid:1000', 'unix:gid:101'),
    entry('none'),
    entry('bad', 'unix:uid:1000', 'nonsense'),
    entry('hashed', 'unix:uid:1000', `unix:sha256:${hash}`),
    entry('other', 'unix:uid:0', `unix:sha256:${hash}`),
  ]);
  const names = (facts: Facts) => registry.match(facts).map(({ name }) => name);
  assert.deepEqual(names(FACTS), ['both']);
  assert.deepEqual(names({ ...FACTS, sha256: hash }), ['both', 'hashed']);
  assert.equal(registry.wantsHash(FACTS), true);
  assert.equal(registry.wantsHash({ ...FACTS, uid: 1001 }), false, 'nobody makes the router hash for nothing');
  assert.deepEqual(names({ ...FACTS, uid: 4 }), []);
});

test('paths of cgroups, and of identities', () => {
  assert.deepEqual(readCgroups('0::/a/b\n1:name=systemd:/c\nnonsense\n2:cpu:relative\n3:x:/c\n'), ['/a/b', '/c']);
  for (const good of ['a', 'shop/database', 'A.b-c_d']) assert.ok(isEntryPath(good), good);
  for (const bad of ['', '/', 'a/', '/a', 'a//b', '.', 'a/..', 'a b', 'a%20', 'ü']) assert.ok(!isEntryPath(bad), bad);
});

const key = p256.key(createHash('sha256').update('a steward').digest());
const other = p256.key(createHash('sha256').update('another').digest());
const NOW = Date.UTC(2026, 10, 21);
const ID = 'spiffe://d/workload/a/x';
const BELIEVED = { trustDomain: 'd', keys: [other.spki, key.spki], wallMs: NOW };
const token = writeJwt({ id: ID, audience: ['shop', 'bank'], wallMs: NOW, lifeMs: 300_000 }, key);

function forged(header: object, claims: object, by = key): string {
  const signed = [header, claims].map((one) => Buffer.from(JSON.stringify(one)).toString('base64url')).join('.');
  const made = writeJwt(
    { id: ID, audience: ['shop'], wallMs: NOW, lifeMs: 1 },
    { ...by, sign: () => by.sign(Buffer.from(signed)) },
  );
  return `${signed}.${made.split('.')[2]}`;
}

test('a token is believed by whom it is for, until it ends', () => {
  assert.equal(verifyJwt(p256, token, 'bank', BELIEVED).id, ID);
  const good = { alg: 'ES256', kid: keyId(key.spki), typ: 'JWT' };
  const claims = { sub: ID, aud: 'shop', exp: NOW / 1000 + 60 };
  assert.equal(verifyJwt(p256, forged(good, claims), 'shop', BELIEVED).id, ID);
  const bad: readonly [string, string, RegExp, Partial<typeof BELIEVED>?][] = [
    [token, 'elsewhere', /audience/],
    [token, '', /audience/],
    [token, 'shop', /expired/, { wallMs: NOW + 361_000 }],
    [token, 'shop', /future/, { wallMs: NOW - 61_000 }],
    [token, 'shop', /trust bundle/, { keys: [other.spki] }],
    [token, 'shop', /trust domain/, { trustDomain: 'e' }],
    [forged({ ...good, alg: 'none' }, claims), 'shop', /ES256/],
    [forged({ ...good, alg: 'HS256' }, claims), 'shop', /ES256/],
    [forged({ ...good, crit: ['x'] }, claims), 'shop', /not known/],
    [forged({ ...good, typ: 'at+jwt' }, claims), 'shop', /type/],
    [forged({ ...good, kid: keyId(other.spki) }, claims), 'shop', /signature does not hold/],
    [forged(good, claims, other), 'shop', /signature does not hold/],
    [forged(good, { ...claims, sub: 'spiffe://d' }), 'shop', /subject/],
    [forged(good, { ...claims, sub: 7 }), 'shop', /subject/],
    [forged(good, { ...claims, exp: undefined }), 'shop', /expired/],
    [forged(good, { ...claims, exp: '9999999999' }), 'shop', /expired/],
    [forged(good, { ...claims, nbf: NOW }), 'shop', /future/],
    [forged(good, { ...claims, aud: ['x'] }), 'shop', /audience/],
    [`${token}.x`, 'shop', /none/],
    [`${token}=`, 'shop', /none/],
    ['x'.repeat(20_000), 'shop', /too long/],
    [`${token.split('.').slice(0, 2).join('.')}.`, 'shop', /none/],
    ['a.b.c', 'shop', /JSON/],
  ];
  for (const [text, audience, words, at] of bad)
    assert.throws(
      () => verifyJwt(p256, text, audience, { ...BELIEVED, ...at }),
      (error: AgentError) => error.code === 'E_SVID' && words.test(error.message),
      `${words}`,
    );
});

test('no change of a token is believed, and no text throws anything else', () => {
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom(...'AQgw_-09z.'), (at, to) => {
      fc.pre(token[at] !== to);
      assert.throws(
        () => verifyJwt(p256, `${token.slice(0, at)}${to}${token.slice(at + 1)}`, 'shop', BELIEVED),
        AgentError,
      );
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(fc.base64String(), fc.base64String(), fc.base64String()).map((p) => p.join('.')),
      ),
      (any) => {
        assert.throws(() => verifyJwt(p256, any, 'shop', BELIEVED), AgentError);
      },
    ),
  );
});

test('the key set is one that node:crypto takes, and its keys verify tokens', () => {
  const { keys } = JSON.parse(writeJwks([key.spki])) as { keys: (object & { kid: string })[] };
  const jwk = createPublicKey({ key: keys[0]! as never, format: 'jwk' });
  assert.deepEqual(jwk.export({ type: 'spki', format: 'der' }), Buffer.from(key.spki));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const many = { ...BELIEVED, keys: [spki] };
  // Numbers of a signature are 31 bytes long now and then.
  for (let i = 0; i < 300; i++) {
    const by = { spki, sign: (message: Uint8Array) => sign('sha256', message, privateKey) };
    assert.equal(
      verifyJwt(p256, writeJwt({ id: ID, audience: ['a'], wallMs: NOW + i, lifeMs: 9e4 }, by), 'a', many).id,
      ID,
    );
  }
});
