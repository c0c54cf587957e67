import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { provider } from '../../../agent/host/openssl.ts';
import { standardSuite } from '../../../agent/trust/keys/suite.ts';
import { type KeyFacts, presharedKey } from '../../../agent/tunnel/key.ts';
import { readAnswer, readRequest, type TunnelAnswer, type TunnelRequest } from '../../../agent/tunnel/message.ts';
import { leads, meshEnd, portOf, vxlanName, wireguardName } from '../../../agent/tunnel/plan.ts';

const key = () => randomBytes(32).toString('base64');
const REQUESTS: readonly TunnelRequest[] = [
  {
    step: 'offer',
    slot: 'b',
    wireguard: key(),
    agreement: randomBytes(1218),
    uses: key(),
    drops: [key()],
    calls: true,
  },
  { step: 'ready', wireguard: key() },
  { step: 'moved', wireguard: key() },
  { step: 'please' },
];
const ANSWERS: readonly TunnelAnswer[] = [
  { step: 'accept', wireguard: key(), encapsulation: randomBytes(1122) },
  { step: 'heard', moved: true },
  { step: 'taken', by: key() },
  { step: 'unknown' },
  { step: 'later' },
];

test('what is said is read as it was', () => {
  for (const request of REQUESTS) assert.deepEqual(readRequest(request), request);
  for (const answer of ANSWERS) assert.deepEqual(readAnswer(answer), answer);
});

test('each member is held against what it has to be; what is wrong is named and not quoted', () => {
  const bad: readonly [object | null, RegExp][] = [
    [null, /no object/],
    [[], /no object/],
    [randomBytes(4), /no object/],
    [{ step: 'drop tables' }, /step/],
    [{ ...REQUESTS[0], slot: 'c' }, /slot/],
    [{ ...REQUESTS[0], wireguard: 'abc' }, /wireguard/],
    [{ ...REQUESTS[0], wireguard: `${'A'.repeat(42)}B=` }, /wireguard/],
    [{ ...REQUESTS[0], agreement: new Uint8Array(8193) }, /agreement/],
    [{ ...REQUESTS[0], agreement: 'text' }, /agreement/],
    [{ ...REQUESTS[0], uses: 7 }, /uses/],
    [{ ...REQUESTS[0], drops: Array(9).fill(key()) }, /drops/],
    [{ ...REQUESTS[0], drops: ['x'] }, /no WireGuard key/],
    [{ ...REQUESTS[0], calls: 1 }, /calls/],
    [{ step: 'moved' }, /wireguard/],
  ];
  for (const [body, words] of bad)
    assert.throws(
      () => readRequest(body),
      (error: AgentError) =>
        error.code === 'E_TUNNEL' && words.test(error.message) && !/tables|AAAA/.test(error.message),
    );
  assert.throws(() => readAnswer({ step: 'heard', moved: 'yes' }), /moved/);
});

test('whatever comes is read or refused', () => {
  const anything = fc.oneof(
    fc.anything(),
    fc.record({ step: fc.constantFrom('offer', 'ready', 'accept', 'heard', 'taken'), wireguard: fc.anything() }),
    fc.constantFrom(...REQUESTS).chain((request) =>
      fc.record({ name: fc.constantFrom(...Object.keys(request)), value: fc.anything() }).map(({ name, value }) => ({
        ...request,
        [name]: value,
      })),
    ),
  );
  fc.assert(
    fc.property(anything, (body) => {
      for (const read of [readRequest, readAnswer])
        try {
          read(body);
        } catch (thrown) {
          assert.ok(thrown instanceof AgentError && thrown.code === 'E_TUNNEL', String(thrown));
        }
    }),
    { numRuns: 2000 },
  );
});

test('both ends come to one key; whatever they do not agree on makes another', async () => {
  for (const has of [undefined, {}] as const) {
    const suite = standardSuite((await provider(has)).primitives);
    const agreement = suite.agreementKey(suite.newAgreement());
    const { message: encapsulation, secret } = suite.offer(agreement.publicKey);
    const facts: KeyFacts = {
      leader: 'spiffe://x0tta6bl4.mesh/router/a',
      follower: 'spiffe://x0tta6bl4.mesh/router/b',
      leaderWireguard: key(),
      followerWireguard: key(),
      agreement: agreement.publicKey,
      encapsulation,
    };
    const ours = presharedKey(suite, secret, facts);
    assert.throws(() => secret.reveal(), /wiped/);
    const theirs = (more: Partial<KeyFacts> = {}) =>
      Buffer.from(presharedKey(suite, agreement.accept(encapsulation), { ...facts, ...more }).reveal()).toString('hex');
    const wanted = Buffer.from(ours.reveal()).toString('hex');
    assert.equal(theirs(), wanted);
    assert.equal(wanted.length, 64);
    for (const more of [
      { leader: facts.follower, follower: facts.leader },
      { leader: `${facts.leader}x` },
      { follower: 'spiffe://x0tta6bl4.mesh/router/c' },
      { leaderWireguard: key() },
      { followerWireguard: key() },
      { leaderWireguard: facts.followerWireguard, followerWireguard: facts.leaderWireguard },
      { agreement: suite.agreementKey(suite.newAgreement()).publicKey },
      { encapsulation: suite.offer(agreement.publicKey).message },
    ])
      assert.notEqual(theirs(more), wanted, Object.keys(more).join());
  }
});

test('the derivation is the one that is written down', () => {
  // HKDF-SHA-256 (RFC 5869) of a known secret over the transcript of known facts: a change here is another protocol.
  return provider({}).then(async ({ primitives }) => {
    const { SecretBytes } = await import('../../../agent/trust/keys/secret.ts');
    const suite = standardSuite(primitives);
    const fixed = (byte: number, length: number) => new Uint8Array(length).fill(byte);
    const psk = presharedKey(suite, new SecretBytes(fixed(1, 32)), {
      leader: 'spiffe://x0tta6bl4.mesh/router/a',
      follower: 'spiffe://x0tta6bl4.mesh/router/b',
      leaderWireguard: Buffer.from(fixed(2, 32)).toString('base64'),
      followerWireguard: Buffer.from(fixed(3, 32)).toString('base64'),
      agreement: fixed(4, 1218),
      encapsulation: fixed(5, 1122),
    });
    const { createHash, hkdfSync } = await import('node:crypto');
    const said = (name: string, bytes: Uint8Array): Buffer => {
      const lengths = Buffer.alloc(8);
      lengths.writeUInt32BE(name.length, 0);
      lengths.writeUInt32BE(bytes.length, 4);
      return Buffer.concat([lengths, Buffer.from(name), bytes]);
    };
    const transcript = createHash('sha256')
      .update(said('x0tta6bl4 transcript v1', Uint8Array.of(0, 1)))
      .update(said('purpose', Buffer.from('tunnel v1')))
      .update(said('leader', Buffer.from('spiffe://x0tta6bl4.mesh/router/a')))
      .update(said('follower', Buffer.from('spiffe://x0tta6bl4.mesh/router/b')))
      .update(said('leader wireguard', fixed(2, 32)))
      .update(said('follower wireguard', fixed(3, 32)))
      .update(said('agreement', fixed(4, 1218)))
      .update(said('encapsulation', fixed(5, 1122)))
      .digest();
    const wanted = hkdfSync('sha256', fixed(1, 32), transcript, 'x0tta6bl4 v1 tunnel preshared key', 32);
    assert.deepEqual(Buffer.from(psk.reveal()), Buffer.from(wanted));
  });
});

test('names fit the kernel, ports follow the slots, one leads', () => {
  assert.ok(wireguardName('a'.repeat(11), 'b').length <= 15 && vxlanName('a'.repeat(11)).length <= 15);
  assert.deepEqual([portOf(51820, 'a'), portOf(51820, 'b'), portOf(0, 'b')], [51820, 51821, 0]);
  const [a, b] = ['spiffe://x0tta6bl4.mesh/router/a', 'spiffe://x0tta6bl4.mesh/router/b'] as const;
  assert.deepEqual([leads(a, b), leads(b, a)], [true, false]);
});

test('both ends come to the same mesh link without asking', () => {
  const [a, b] = ['spiffe://x0tta6bl4.mesh/router/a', 'spiffe://x0tta6bl4.mesh/router/b'] as const;
  const [ours, theirs] = [meshEnd(a, b), meshEnd(b, a)];
  assert.deepEqual([ours.local, ours.remote, ours.vni], [theirs.remote, theirs.local, theirs.vni]);
  assert.notEqual(ours.local, ours.remote);
  assert.notEqual(ours.mac, theirs.mac);
  assert.match(ours.mac, /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  assert.match(ours.local, /^fd/);
  assert.notEqual(meshEnd(a, `${b}c`).vni, ours.vni);
});
