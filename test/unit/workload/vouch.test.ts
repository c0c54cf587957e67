import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AgentError } from '../../../agent/core/errors.ts';
import { readSvid } from '../../../agent/host/workload/client.ts';
import { readCertificate } from '../../../agent/trust/certificate/certificate.ts';
import { type Gossip, readGossip, writeGossip } from '../../../agent/trust/membership/gossip.ts';
import { tools } from '../trust/mesh.ts';
import { asking, OWN_UID, stage } from './help.ts';

const ID = 'spiffe://x0tta6bl4.mesh/workload/b/shop/database';

test('a router that is no steward has one vouch, under its own name; both believe what came of it', async (t) => {
  const one = stage(t);
  const { router, issuing } = asking(one);
  assert.equal(issuing.trouble(), null);
  const [svid] = await issuing.x509([OWN_UID]);
  assert.equal(svid!.id, ID);
  assert.equal(readSvid(svid!).id, ID);
  const [token] = await issuing.jwt([OWN_UID], ['shop'], '');
  assert.equal(one.issuing.validate(token!.token, 'shop').id, ID);
  assert.equal(issuing.validate(token!.token, 'shop').id, ID);
  // What is still good is not asked for again.
  const sent = one.mesh.sent;
  assert.deepEqual(await issuing.x509([OWN_UID]), [svid]);
  assert.deepEqual(await issuing.jwt([OWN_UID], ['shop'], ''), [token]);
  assert.equal(one.mesh.sent, sent);
  assert.deepEqual(issuing.issued, { x509: 1, jwt: 1 });
  assert.notEqual((await issuing.jwt([OWN_UID], ['bank'], ''))[0]!.token, token!.token);
  assert.equal(router.vouched.length, 0);
});

test('no steward, none that answers, and one that comes back: what is good stays good', async (t) => {
  const one = stage(t);
  const { router, issuing } = asking(one);
  const busy = (error: AgentError) => error.code === 'E_BUSY';
  const [first] = await issuing.x509([OWN_UID]);
  one.mesh.cut(one.router, router);
  assert.match(issuing.trouble()!, /no steward/);
  await assert.rejects(issuing.jwt([OWN_UID], ['shop'], ''), busy);
  await assert.rejects(issuing.x509([{ ...OWN_UID, name: 'new', path: 'new' }]), busy);
  one.mesh.pass(2_000_000);
  assert.deepEqual(await issuing.x509([OWN_UID]), [first]);
  one.mesh.pass(1_700_000);
  await assert.rejects(issuing.x509([OWN_UID]), busy, 'it has ended');
  one.mesh.link(one.router, router);
  assert.notDeepEqual(await issuing.x509([OWN_UID]), [first]);
  one.mesh.tap = (_from, _to, bytes) => (readGossip(bytes)?.type === 'vouched' ? null : bytes);
  await assert.rejects(issuing.jwt([OWN_UID], ['shop'], ''), /does not answer/);
});

test('a steward that answers for somebody else is not believed; a revoked router gets nothing', async (t) => {
  const one = stage(t);
  const { router, issuing } = asking(one);
  one.mesh.tap = (_from, _to, bytes) => {
    const said = readGossip(bytes);
    return said?.type === 'vouch' ? writeGossip({ ...said, path: 'bank' }) : bytes;
  };
  await assert.rejects(issuing.x509([OWN_UID]), /somebody else/);
  await assert.rejects(issuing.jwt([OWN_UID], ['shop'], ''), /somebody else/);
  one.mesh.tap = (_from, _to, bytes) => bytes;
  one.mesh.do(one.router, (machine) => machine.revoke('b', one.mesh.now));
  assert.equal(router.machine.vouching(one.mesh.now), null);
  await assert.rejects(issuing.x509([OWN_UID]), (error: AgentError) => error.code === 'E_NOT_FOUND');
});

test('a program that asks for tokens without end gets so many, and costs neither others theirs nor its router the renewal', async (t) => {
  const one = stage(t);
  const { router, issuing } = asking(one);
  const audiences = Array.from({ length: 200 }, (_, at) => [`shop ${at}`]);
  const got = await Promise.allSettled(audiences.map((audience) => issuing.jwt([OWN_UID], audience, '')));
  const refused = got.flatMap((each) => (each.status === 'rejected' ? (each.reason as AgentError) : []));
  assert.ok(refused.length >= 140 && refused.length <= 150, `${refused.length} refused`);
  assert.ok(refused.every(({ code, message }) => code === 'E_BUSY' && /more tokens/.test(message)));
  const other = { ...OWN_UID, name: 'other', path: 'other' };
  assert.equal((await issuing.jwt([other], ['shop'], '')).length, 1);
  // A router that does not hold its programs back: whatever it asks for them, its steward still renews it.
  const key = one.mesh.keyOf(router);
  const { spki } = router.machine.candidate();
  const hear = (said: Gossip) =>
    one.router.machine
      .on({ type: 'message', key, bytes: writeGossip(said) }, one.mesh.now)
      .flatMap((effect) => (effect.type === 'send' ? (readGossip(effect.bytes)?.type ?? []) : []));
  const vouch: Gossip = { type: 'vouch', token: 1, path: 'x', spki: new Uint8Array(), audience: ['a'], lifeMs: 60_000 };
  const answers = Array.from({ length: 1000 }, () => hear(vouch)).flat();
  assert.ok(answers.length <= 150, `${answers.length} answers`);
  assert.ok(hear({ type: 'renew', spki }).includes('renewed'));
});

test("nothing outlives the router's own certificate, and what is asked for may be anything", (t) => {
  const one = stage(t);
  const { router } = asking(one);
  const ask = (wanted: object) => {
    const all = { path: 'a', spki: new Uint8Array(), audience: ['x'], lifeMs: 60_000, ...wanted };
    one.mesh.do(router, (machine) => machine.vouchFor(1, all, one.mesh.now));
    return router.vouched.pop();
  };
  assert.equal(ask({})!.message, '');
  for (const path of ['', '../a', 'a b', '/a']) assert.match(ask({ path })!.message, /path/, path);
  assert.match(ask({ audience: [] })!.message, /audience/);
  assert.match(ask({ audience: ['x'.repeat(2000)] })!.message, /audience/);
  assert.match(ask({ lifeMs: 0 })!.message, /life/);
  assert.match(ask({ spki: new Uint8Array(91) })!.message, /P-256/);
  const { spki } = tools.p256.key(tools.random(32));
  const { chain } = ask({ spki, lifeMs: 1e12 })!;
  assert.equal(readCertificate(chain[0]!)!.notAfter, router.credential!.notAfter);
});

test('what is said of it is read as it was, and nothing else', () => {
  const bytes = fc.uint8Array({ maxLength: 100 });
  const word = fc.stringMatching(/^[ -~]{0,50}$/);
  const token = fc.nat(2 ** 31);
  const said = fc.oneof(
    fc.record({
      type: fc.constant('vouch' as const),
      token,
      path: word,
      spki: bytes,
      audience: fc.array(word),
      lifeMs: fc.nat(),
    }),
    fc.record({ type: fc.constant('vouched' as const), token, chain: fc.array(bytes), jwt: word, message: word }),
  );
  const plain = (one: Gossip | null) =>
    JSON.stringify(one, (_, v) => (v?.type === 'Buffer' ? v.data : v instanceof Uint8Array ? [...v] : v));
  fc.assert(fc.property(said, (one) => assert.equal(plain(readGossip(writeGossip(one))), plain(one))));
  fc.assert(
    fc.property(said, fc.nat(), fc.nat(255), (one, at, to) => {
      const copy = Buffer.from(writeGossip(one));
      copy[at % copy.length] = to;
      readGossip(copy);
    }),
  );
});
