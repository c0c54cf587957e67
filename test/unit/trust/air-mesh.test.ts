/** Keys of the air and whose frames come in, in whole memberships: over real sessions' words, with real revocations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MOST_GOSSIP, readGossip, writeGossip } from '../../../agent/trust/membership/gossip.ts';
import { Mesh, type Router } from './mesh.ts';

const SECOND = 1000;
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';

function meshOf(...names: readonly string[]): { mesh: Mesh; founder: Router; others: Router[] } {
  const mesh = new Mesh();
  const founder = mesh.add('attic');
  mesh.found(founder);
  const others = names.map((name) => {
    const router = mesh.add(name);
    mesh.link(router, founder, ...mesh.routers.filter((one) => one !== router && one !== founder));
    mesh.join(router, mesh.invite(founder, name));
    return router;
  });
  return { mesh, founder, others };
}

const sendingOf = (router: Router) => router.air?.sending ?? null;
const idsOf = (router: Router) => router.air?.keys.map(({ id }) => id) ?? [];

test('once there is an identity there is a key, who joins gets it at once, and restarts keep it', () => {
  const { mesh, founder, others } = meshOf();
  assert.deepEqual(others, []);
  assert.deepEqual(founder.air, { keys: [], sending: null, isMixed: true });
  mesh.pass(5 * SECOND);
  assert.ok(sendingOf(founder) !== null);
  const late = mesh.add('late');
  assert.equal(late.air, null, 'without an identity the mesh key alone counts');
  mesh.link(late, founder);
  mesh.join(late, mesh.invite(founder, 'late'));
  assert.equal(sendingOf(late), sendingOf(founder));
  const before = sendingOf(late);
  mesh.cut(late, founder);
  mesh.reboot(late);
  assert.equal(sendingOf(late), before, 'before it has met anybody');
});

test('a revocation: another key within two seconds, the old one dropped within six, the mesh key worth nothing', () => {
  const { mesh, founder, others } = meshOf('hall', 'bad');
  const [hall, bad] = others as [Router, Router];
  mesh.pass(5 * SECOND);
  for (const one of [founder, hall, bad]) mesh.tell(one, { type: 'addresses', addresses: [one === bad ? B : A] });
  const old = idsOf(bad);
  assert.deepEqual([...founder.gate.admitted].sort(), [A, B]);
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  assert.deepEqual(bad.air, { keys: [], sending: null, isMixed: false });
  assert.deepEqual([founder.gate.isolated, hall.gate.isolated, founder.gate.admitted], [[B], [B], [A]]);
  assert.ok(
    founder.decided.includes(`isolated bad: ${B}: bad was revoked by ${founder.credential!.id.split('/').at(-1)}`),
  );
  assert.equal(hall.air?.isMixed, false);
  mesh.pass(6 * SECOND);
  assert.equal(sendingOf(hall), sendingOf(founder));
  for (const one of [founder, hall]) for (const id of old) assert.ok(!idsOf(one).includes(id));
  // The list outlasts a restart, and ends where a member has the address: here with new keys.
  mesh.reboot(hall);
  assert.deepEqual(hall.gate.isolated, [B]);
  const anew = mesh.add('anew');
  mesh.link(anew, founder, hall);
  mesh.join(anew, mesh.invite(founder, 'anew'));
  mesh.tell(anew, { type: 'addresses', addresses: [B] });
  assert.deepEqual([founder.gate.isolated, hall.gate.isolated], [[], []]);
  assert.ok(hall.gate.admitted.includes(B));
  assert.ok(founder.decided.some((said) => said.startsWith(`let-in ${B}: anew, a member, has them now`)));
});

test('a mesh key that an outcast knows stays worthless when the revocation itself is forgotten', () => {
  const { mesh, founder } = meshOf('bad');
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  founder.offMs = 70 * 24 * 3_600_000;
  mesh.pass(60 * SECOND);
  mesh.pass(2 * 3_600_000);
  assert.deepEqual(founder.machine.view(mesh.now).revoked, []);
  assert.equal(founder.air?.isMixed, false);
  assert.ok(founder.kept.has('void fa'));
  mesh.reboot(founder);
  assert.equal(founder.air?.isMixed, false);
});

test('two halves that were apart, with a revocation on one side, agree when they meet', () => {
  const { mesh, founder, others } = meshOf('a', 'b', 'c', 'bad');
  const [a, b, c, bad] = others as [Router, Router, Router, Router];
  mesh.pass(100 * SECOND);
  for (const one of [founder, a]) for (const other of [b, c, bad]) mesh.cut(one, other);
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  mesh.pass(10 * SECOND);
  assert.notEqual(sendingOf(founder), sendingOf(b));
  assert.equal(sendingOf(b), sendingOf(bad), 'nothing has come there yet');
  mesh.link(a, b);
  mesh.pass(10 * SECOND);
  for (const one of [a, b, c]) assert.equal(sendingOf(one), sendingOf(founder));
  for (const one of [founder, a, b, c]) assert.ok(idsOf(bad).every((id) => !idsOf(one).includes(id)));
});

test('one that hands on ever new keys is heard sixteen times a minute', () => {
  const { mesh, founder, others } = meshOf('hall', 'mad');
  const [hall, mad] = others as [Router, Router];
  mesh.pass(5 * SECOND);
  const before = mesh.sent;
  for (let i = 0; i < 500; i++) {
    const key = { type: 'air-key' as const, epoch: 100 + i, secret: Buffer.alloc(32, `${i}`), ageMs: 0, against: [] };
    mesh.tell(founder, { type: 'message', key: mesh.keyOf(mad), bytes: writeGossip(key) });
  }
  assert.ok(mesh.sent - before < 60, `${mesh.sent - before} messages`);
  assert.ok(founder.log.filter((line) => line.includes('a key of the air has come')).length <= 20);
  mesh.pass(120 * SECOND);
  assert.equal(sendingOf(hall), sendingOf(founder), 'all agree on what it made them agree on');
});

test('nor does it wear the flash out: the file of keys is written so often, and holds what counts in the end', () => {
  const { mesh, founder, others } = meshOf('mad');
  const [mad] = others as [Router];
  mesh.pass(5 * SECOND);
  const writes = () => founder.written.filter((one) => one === 'air.key').length;
  const before = writes();
  for (let i = 0; i < 120; i++) {
    for (let n = 0; n < 16; n++) {
      const secret = Buffer.alloc(32, `${i} ${n}`);
      const key = { type: 'air-key' as const, epoch: 100 + i * 16 + n, secret, ageMs: 0, against: [] };
      mesh.tell(founder, { type: 'message', key: mesh.keyOf(mad), bytes: writeGossip(key) });
    }
    mesh.pass(60 * SECOND);
  }
  assert.ok(writes() - before <= 24 + 12, `${writes() - before} in two hours`);
  mesh.pass(3600 * SECOND);
  assert.deepEqual(
    founder.airKept.map(({ epoch }) => epoch),
    founder.air!.keys.map(({ epoch }) => epoch),
  );
  mesh.revokeByOwner(founder, founder);
  assert.deepEqual(founder.airKept, [], 'who is out keeps none');
});

test('the keys are in nothing that is kept or logged, and nothing of them passes to who is not in', () => {
  const { mesh, founder, others } = meshOf('hall', 'bad');
  const [hall, bad] = others as [Router, Router];
  mesh.pass(5 * SECOND);
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  const told: Buffer[] = [];
  mesh.tap = (_from, to, bytes) => {
    if (to === bad) told.push(Buffer.from(bytes));
    return bytes;
  };
  mesh.pass(10 * SECOND);
  const secrets = hall.air!.keys.map(({ secret }) => Buffer.from(secret));
  assert.ok(secrets.length > 0);
  for (const secret of secrets) {
    assert.ok(told.every((bytes) => !bytes.includes(secret)));
    for (const one of [founder, hall])
      for (const text of [...one.log, ...one.decided, ...[...one.kept].flat()])
        for (const form of ['hex', 'base64'] as const) assert.ok(!text.includes(secret.toString(form)));
  }
});

test('gossip of keys and addresses is read as it was written; whatever else it is, is refused or taken within bounds', () => {
  const name = fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => n.toString(16).padStart(16, '0'));
  const mac = fc
    .integer({ min: 0, max: 0xffff })
    .map((n) => `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`);
  const key = fc.record(
    {
      type: fc.constant('air-key' as const),
      epoch: fc.nat(2 ** 31 - 1),
      secret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      ageMs: fc.nat(2 ** 31 - 1),
      against: fc.array(name, { maxLength: 40 }),
    },
    { noNullPrototype: true },
  );
  const here = fc.record(
    { type: fc.constant('here' as const), addresses: fc.array(mac, { maxLength: 32 }) },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(fc.oneof(key, here), (said) => assert.deepEqual(readGossip(writeGossip(said)), said)));
  const { mesh, founder, others } = meshOf('hall');
  const hallKey = mesh.keyOf(others[0]!);
  fc.assert(
    fc.property(fc.oneof(key, here), fc.nat(), fc.nat(255), (said, at, value) => {
      const bytes = Uint8Array.from(writeGossip(said));
      bytes[at % bytes.length] = value;
      founder.machine.on({ type: 'message', key: hallKey, bytes }, mesh.now);
    }),
    { numRuns: 600 },
  );
  assert.ok(idsOf(founder).length <= 8 && founder.gate.admitted.length <= 64);
  const many = writeGossip({
    type: 'air-key',
    epoch: 1,
    secret: new Uint8Array(32),
    ageMs: 0,
    against: Array(5000).fill('ab'.repeat(8)),
  });
  assert.ok(many.length < MOST_GOSSIP);
  assert.equal(readGossip(many), null);
});
