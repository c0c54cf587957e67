import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Loose } from '../../../agent/trust/ledger/item.ts';
import { makeRevocations, makeSteward } from '../../../agent/trust/ledger/owner.ts';
import { sayRevocation } from '../../../agent/trust/ledger/statement.ts';
import { readGossip, writeGossip } from '../../../agent/trust/membership/gossip.ts';
import { DAY, DOMAIN, HOUR, Mesh, type Router, tools } from './mesh.ts';

const MINUTE = 60_000;

/** A founder, and these let in one after the other, each a neighbour of all before. */
function meshOf(...names: string[]): { mesh: Mesh; founder: Router; others: Router[] } {
  return grown(new Mesh(), names);
}

function grown(mesh: Mesh, names: readonly string[]): { mesh: Mesh; founder: Router; others: Router[] } {
  const founder = mesh.add('founder');
  mesh.found(founder);
  const others = names.map((name) => {
    const router = mesh.add(name);
    mesh.link(router, ...mesh.routers.filter((one) => one !== router));
    mesh.join(router, mesh.invite(founder, name));
    return router;
  });
  return { mesh, founder, others };
}

const stateOf = (mesh: Mesh, router: Router) => router.machine.view(mesh.now);

test('the owner founds a mesh, and a router joins by an invitation', () => {
  const { mesh, founder, others } = meshOf('kitchen');
  const [kitchen] = others as [Router];
  assert.equal(stateOf(mesh, founder).state, 'member');
  assert.ok(stateOf(mesh, founder).isSteward);
  assert.equal(kitchen.credential?.id, 'spiffe://x0tta6bl4.mesh/router/kitchen');
  assert.ok(kitchen.sessions.has(founder));
  assert.deepEqual(founder.decided.length, 1);
  assert.match(founder.decided[0]!, /^admitted kitchen: invitation [0-9a-f]{16}$/);
  assert.equal(stateOf(mesh, kitchen).clock, 'confirmed');
  assert.deepEqual(
    founder.machine
      .members()
      .map(({ node }) => node)
      .sort(),
    [stateOf(mesh, founder).id!.split('/').at(-1), 'kitchen'].sort(),
  );
});

test('who is no steward is told so, and who is in no mesh at all, that', () => {
  const { mesh, others } = meshOf('kitchen');
  const stranger = mesh.add('stranger');
  for (const [router, said] of [
    [others[0]!, /^only a steward may (invite|revoke): the owner makes one with x0ctl mesh steward$/],
    [stranger, /^this router is in no mesh yet and cannot (invite|revoke): x0ctl mesh init founds a mesh, /],
  ] as const) {
    assert.throws(() => mesh.invite(router), { code: 'E_FORBIDDEN', message: said });
    assert.throws(() => router.machine.revoke('kitchen', mesh.now), { code: 'E_FORBIDDEN', message: said });
  }
});

test('a stolen invitation used twice lets one router in, and tells the other who it was', () => {
  const { mesh, founder } = meshOf();
  const text = mesh.invite(founder);
  const [thief, honest] = [mesh.add('thief'), mesh.add('honest')];
  mesh.link(thief, founder);
  mesh.link(honest, founder);
  mesh.join(thief, text);
  mesh.join(honest, text);
  assert.equal(stateOf(mesh, thief).state, 'member');
  assert.equal(stateOf(mesh, honest).state, 'none');
  assert.match(stateOf(mesh, honest).trouble, /^used: [0-9a-f]{32} has used this invitation already$/);
  // The person revokes the thief, and the honest one comes with a new invitation.
  mesh.do(founder, (machine) => machine.revoke(stateOf(mesh, thief).key, mesh.now));
  assert.equal(stateOf(mesh, thief).state, 'revoked');
  mesh.join(honest, mesh.invite(founder));
  assert.equal(stateOf(mesh, honest).state, 'member');
});

test('an invitation used at two stewards that were apart costs both their place when they meet', () => {
  const { mesh, founder, others } = meshOf('second');
  const [second] = others as [Router];
  mesh.makeSteward(second, founder);
  assert.ok(stateOf(mesh, second).isSteward);
  const text = mesh.invite(founder);
  assert.equal(stateOf(mesh, second).openInvitations, 1);
  mesh.cut(founder, second);
  const [a, b] = [mesh.add('a'), mesh.add('b')];
  mesh.link(a, founder);
  mesh.link(b, second);
  mesh.join(a, text);
  mesh.join(b, text);
  assert.deepEqual([stateOf(mesh, a).state, stateOf(mesh, b).state], ['member', 'member']);
  mesh.link(founder, second);
  assert.deepEqual([stateOf(mesh, a).state, stateOf(mesh, b).state], ['revoked', 'revoked']);
  assert.ok(founder.log.concat(second.log).some((line) => line.includes('USED TWICE')));
});

test("a steward that lies about an invitation shuts nobody out by another steward's hand", () => {
  const { mesh, founder, others } = meshOf('liar');
  const [liar] = others as [Router];
  mesh.makeSteward(liar, founder);
  const victim = mesh.add('victim');
  mesh.link(victim, founder);
  mesh.join(victim, mesh.invite(founder, 'victim'));
  const { invitation } = claimOf(founder, 'victim');
  const key = stateOf(mesh, liar).key;
  const bytes = writeGossip({
    type: 'issued',
    key: 'ab'.repeat(32),
    node: 'nobody',
    untilMs: mesh.wallMs + HOUR,
    invitation,
  });
  mesh.tell(founder, { type: 'message', key, bytes });
  assert.equal(stateOf(mesh, victim).state, 'member');
  assert.deepEqual(
    stateOf(mesh, founder).revoked.map(({ node }) => node),
    ['nobody'],
  );
});

test('nor anybody who came by an invitation of its own, nor so many that the other can revoke nobody any more', () => {
  const { mesh, founder, others } = meshOf('liar', 'victim', 'other');
  const [liar, victim] = others as [Router, Router];
  mesh.makeSteward(liar, founder);
  const { invitation } = claimOf(founder, 'other');
  const key = stateOf(mesh, liar).key;
  const says = (of: string, node: string) => {
    const said = { type: 'issued', key: of, node, untilMs: mesh.wallMs + HOUR, invitation } as const;
    mesh.tell(founder, { type: 'message', key, bytes: writeGossip(said) });
  };
  for (let i = 0; i < 3; i++) says(stateOf(mesh, victim).key, 'victim');
  assert.equal(stateOf(mesh, victim).state, 'member');
  assert.equal(founder.log.filter((line) => line.includes('came by another one')).length, 1);
  for (let i = 0; i < 40; i++) says(i.toString(16).padStart(64, '0'), `n${i}`);
  assert.equal(stateOf(mesh, founder).revoked.length, 7);
  mesh.do(founder, (machine) => machine.revoke('other', mesh.now));
  assert.equal(stateOf(mesh, others[2]!).state, 'revoked');
});

/** What a steward has kept of who used an invitation. */
function claimOf(steward: Router, name: string): { invitation: string } {
  const [key] = [...steward.kept].find(([one, value]) => one.startsWith('claim ') && value.split(' ')[1] === name)!;
  return { invitation: key.slice('claim '.length) };
}

test('what others ask for is answered within bounds', () => {
  const { mesh, founder, others } = meshOf('greedy');
  const key = stateOf(mesh, others[0]!).key;
  const ask = (said: Parameters<typeof writeGossip>[0], times: number) => {
    let answers = 0;
    for (let i = 0; i < times; i++)
      answers += founder.machine
        .on({ type: 'message', key, bytes: writeGossip(said) }, mesh.now)
        .filter(({ type }) => type === 'send').length;
    return answers;
  };
  assert.ok(ask({ type: 'have', hashes: [] }, 100) <= 1);
  assert.ok(ask({ type: 'ask-key' }, 1000) <= 150);
  mesh.pass(MINUTE);
  assert.equal(ask({ type: 'have', hashes: [] }, 100), 1);
});

test('an invitation ends, and a wrong, foreign or mistyped one is none', () => {
  const { mesh, founder } = meshOf();
  const late = mesh.add('late');
  mesh.link(late, founder);
  const text = mesh.invite(founder, '', 10 * MINUTE);
  mesh.pass(11 * MINUTE);
  mesh.join(late, text);
  assert.match(stateOf(mesh, late).trouble, /^expired: it ended 2026-11-21T12:10/);
  assert.throws(() => late.machine.join(`${text.slice(0, -1)}${text.endsWith('a') ? 'b' : 'a'}`, mesh.now), {
    code: 'E_USAGE',
    message: /mistyped/,
  });
  assert.throws(() => late.machine.join('hello', mesh.now), { code: 'E_USAGE' });
  const stranger = new Mesh();
  const theirs = stranger.add('theirs');
  stranger.found(theirs);
  const foreign = mesh.add('foreign');
  mesh.link(foreign, founder);
  mesh.join(foreign, stranger.invite(theirs));
  assert.match(stateOf(mesh, foreign).trouble, /^unknown:/);
});

test('an impostor that answers a joining gets nothing that it could use, and gives nothing that is believed', () => {
  const { mesh, founder } = meshOf();
  const evil = new Mesh();
  const impostor = evil.add('impostor');
  evil.found(impostor);
  const joiner = mesh.add('joiner');
  const text = mesh.invite(founder);
  // All that the joiner says goes to the impostor, and back.
  let answers = 0;
  const effects = joiner.machine.join(text, mesh.now);
  const hello = effects.find((one) => one.type === 'join-send')!;
  const relayed = impostor.machine.on({ type: 'joining', conversation: 'x', bytes: hello.bytes }, 0);
  for (const one of relayed) {
    if (one.type !== 'join-send') continue;
    for (const next of joiner.machine.on({ type: 'joining', conversation: 'own', bytes: one.bytes }, mesh.now)) {
      if (next.type !== 'join-send') continue;
      // The proof is bound to the impostor's certificate: the true steward does not take it.
      assert.equal(founder.machine.on({ type: 'joining', conversation: 'x', bytes: next.bytes }, mesh.now).length, 0);
      for (const last of impostor.machine.on({ type: 'joining', conversation: 'x', bytes: next.bytes }, 0)) {
        if (last.type !== 'join-send') continue;
        answers += 1;
        joiner.machine.on({ type: 'joining', conversation: 'own', bytes: last.bytes }, mesh.now);
      }
    }
  }
  assert.equal(answers, 1);
  assert.equal(joiner.credential, null);
  assert.notEqual(stateOf(mesh, joiner).state, 'member');
});

test('a joining that was recorded and is played again lets nobody in, and bits that were flipped do not either', () => {
  const { mesh, founder } = meshOf();
  const said: Uint8Array[] = [];
  const joiner = mesh.add('joiner');
  mesh.link(joiner, founder);
  mesh.tap = (from, to, bytes) => {
    if (from === joiner && to === founder && said.length < 2) said.push(bytes);
    return bytes;
  };
  mesh.join(joiner, mesh.invite(founder, 'joiner'));
  assert.equal(said.length, 2);
  const issued = founder.decided.length;
  const before = founder.machine.members().length;
  mesh.pass(3 * MINUTE);
  for (const bytes of said) mesh.tell(founder, { type: 'joining', conversation: 'elsewhere', bytes });
  assert.equal(founder.decided.length, issued, 'an old request gets no certificate');
  assert.equal(founder.machine.members().length, before);
  for (const bytes of said)
    for (const at of [1, 5, 40, bytes.length - 1]) {
      const bad = Uint8Array.from(bytes);
      bad[at]! ^= 1;
      mesh.tell(founder, { type: 'joining', conversation: 'elsewhere', bytes: bad });
    }
  assert.equal(founder.decided.length, issued);
});

test('a router far from a steward joins by way of one that is in', () => {
  const { mesh, founder, others } = meshOf('near');
  const far = mesh.add('far');
  mesh.link(far, others[0]!);
  mesh.join(far, mesh.invite(founder, 'far'));
  assert.equal(far.credential?.id, 'spiffe://x0tta6bl4.mesh/router/far');
  assert.ok(far.sessions.has(others[0]!));
});

test('nothing readable passes while a router joins', () => {
  const { mesh, founder } = meshOf();
  const heard: Uint8Array[] = [];
  mesh.tap = (_from, _to, bytes) => {
    heard.push(bytes);
    return bytes;
  };
  const joiner = mesh.add('joiner');
  joiner.neighbours.add(founder);
  founder.neighbours.add(joiner);
  const text = mesh.invite(founder, 'a-secret-name');
  mesh.do(joiner, (machine) => machine.join(text, mesh.now));
  assert.equal(joiner.credential?.id, 'spiffe://x0tta6bl4.mesh/router/a-secret-name');
  const all = Buffer.concat(heard).toString('latin1');
  for (const word of ['a-secret-name', 'x0tta6bl4', 'spiffe', stateOf(mesh, founder).id!.split('/').at(-1)!])
    assert.ok(!all.includes(word), word);
});

test('certificates are renewed well before their end, for weeks, and no session ends by it', () => {
  const { mesh, founder, others } = meshOf('a', 'b');
  const first = others.map(({ credential }) => credential!);
  const ended = mesh.routers.map(({ sessions }) => sessions.size);
  for (let day = 0; day < 14; day++) mesh.pass(DAY);
  assert.deepEqual(
    mesh.routers.map(({ sessions }) => sessions.size),
    ended,
  );
  for (const [i, router] of [...others, founder].entries()) {
    const mine = router.credential!;
    assert.ok(mine.notAfter - mesh.wallMs > 4 * HOUR, 'more than a third of its life is left');
    if (i < 2) {
      assert.equal(mine.id, first[i]!.id);
      assert.notDeepEqual(Buffer.from(mine.privateKey.reveal()), Buffer.from(first[i]!.privateKey.reveal()));
    }
    assert.equal(stateOf(mesh, router).trouble, '');
  }
});

test('stewards that are gone for long: the mesh goes on in its grace, loudly, and one that comes back renews all', () => {
  const { mesh, founder, others } = grown(new Mesh({ lifeMs: 3 * HOUR, graceMs: DAY }), ['a', 'b', 'c']);
  const [a, b, c] = others as [Router, Router, Router];
  mesh.off(founder);
  mesh.pass(20 * HOUR);
  assert.equal(stateOf(mesh, a).state, 'late');
  assert.match(stateOf(mesh, a).trouble, /no steward renews it/);
  const warnings = a.log.filter((line) => line.startsWith('warning: NO STEWARD RENEWS'));
  assert.ok(warnings.length >= 16 && warnings.length <= 19, `${warnings.length} warnings`);
  assert.ok(a.sessions.has(b) && b.sessions.has(c));
  // A session that has to be opened anew still can be.
  mesh.cut(a, b);
  mesh.link(a, b);
  assert.ok(a.sessions.has(b));
  mesh.reboot(founder);
  mesh.pass(11 * MINUTE);
  for (const router of others) assert.equal(stateOf(mesh, router).state, 'member', router.name);
  // Beyond the grace nobody is believed any more.
  mesh.off(founder);
  mesh.pass(30 * HOUR);
  assert.equal(stateOf(mesh, a).state, 'ended');
  mesh.cut(a, b);
  mesh.link(a, b);
  assert.ok(!a.sessions.has(b));
});

test('a router that was off for two days comes back by its old certificate; for two weeks, it does not', () => {
  const { mesh, founder, others } = meshOf('a');
  const [a] = others as [Router];
  mesh.off(a);
  mesh.pass(2 * DAY);
  mesh.reboot(a);
  mesh.pass(2 * MINUTE);
  assert.equal(stateOf(mesh, a).state, 'member');
  assert.ok(a.sessions.has(founder));
  mesh.off(a);
  mesh.pass(14 * DAY);
  mesh.reboot(a);
  mesh.pass(20 * MINUTE);
  assert.equal(stateOf(mesh, a).state, 'ended');
  assert.ok(!a.sessions.has(founder));
  assert.match(stateOf(mesh, a).trouble, /^the certificate has ended and so has its grace: x0ctl join takes a new/);
  // By a new invitation it does, and under another name if that has one.
  const text = mesh.invite(founder, 'again');
  mesh.cut(a, founder);
  mesh.join(a, text);
  assert.equal(stateOf(mesh, a).state, 'joining');
  mesh.link(a, founder);
  mesh.pass(MINUTE);
  assert.deepEqual([stateOf(mesh, a).state, stateOf(mesh, a).id?.split('/').at(-1)], ['member', 'again']);
  assert.ok(a.sessions.has(founder));
  assert.throws(() => a.machine.join(mesh.invite(founder), mesh.now), { code: 'E_USAGE', message: /already/ });
});

test('a revocation reaches all of a connected mesh at once, what is cut off when it is back, and survives restarts', () => {
  const { mesh, founder, others } = meshOf('a', 'b', 'c', 'bad');
  const [a, b, c, bad] = others as [Router, Router, Router, Router];
  // A line founder - a - b - bad, and c apart from all.
  for (const one of [b, c, bad]) mesh.cut(founder, one);
  for (const one of [bad, c]) mesh.cut(a, one);
  mesh.cut(b, c);
  mesh.cut(c, bad);
  assert.ok(b.sessions.has(bad));
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  assert.ok(!b.sessions.has(bad));
  assert.equal(stateOf(mesh, bad).state, 'revoked');
  assert.ok(founder.decided.includes('revoked bad: a person asked for it'));
  mesh.meet();
  assert.equal(bad.sessions.size, 0);
  assert.equal(stateOf(mesh, c).revoked.length, 0);
  mesh.link(b, c);
  assert.equal(stateOf(mesh, c).revoked.length, 1);
  for (const router of [b, c, bad]) mesh.reboot(router);
  for (const router of [b, c]) assert.equal(stateOf(mesh, router).revoked[0]?.node, 'bad');
  mesh.link(c, bad);
  assert.ok(!c.sessions.has(bad));
  assert.equal(bad.credential, null);
  // With its old keys it has no way back, whatever invitation it gets hold of.
  mesh.link(bad, founder);
  mesh.join(bad, mesh.invite(founder, 'good'));
  assert.match(stateOf(mesh, bad).trouble, /revoked/);
  assert.equal(bad.credential, null);
});

test('a revocation that a session lost on its way is told again, though the session stands', () => {
  const { mesh, founder, others } = meshOf('a', 'bad');
  const [a, bad] = others as [Router, Router];
  mesh.cut(founder, bad);
  mesh.tap = (from, to, bytes) => (from === founder && to === a ? null : bytes);
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  mesh.tap = (_from, _to, bytes) => bytes;
  assert.ok(a.sessions.has(bad));
  mesh.pass(5 * 60_000);
  assert.equal(stateOf(mesh, a).revoked[0]?.node, 'bad');
  assert.ok(!a.sessions.has(bad));
  assert.ok(a.sessions.has(founder));
});

test('what is no use here, told in good faith, deafens nobody to the next revocation', () => {
  const { mesh, founder, others } = meshOf('second', 'a', 'b');
  const [second, a, b] = others as [Router, Router, Router];
  mesh.makeSteward(second, founder);
  // A captured steward tells each of two routers so many other ones that neither has room for what the other was told.
  const { identity } = second.credential!;
  const revoked = (of: string): Loose[] =>
    Array.from({ length: 32 }, (_, i) => {
      const key = createHash('sha256').update(`${of} ${i}`).digest('hex');
      const body = { domain: DOMAIN, key, node: `${of}${i}`, at: mesh.wallMs, until: mesh.wallMs + DAY };
      return { kind: 'revocation', bytes: sayRevocation(identity, body) };
    });
  for (const one of [a, founder]) mesh.cut(b, one);
  mesh.cut(founder, second);
  const key = mesh.keyOf(second);
  for (const one of [a, b])
    mesh.tell(one, { type: 'message', key, bytes: writeGossip({ type: 'items', items: revoked(one.name) }) });
  for (const one of [a, b]) mesh.cut(one, second);
  mesh.link(a, b);
  for (const one of [a, b]) assert.equal(one.machine.view(mesh.now).revoked.length, 32);
  mesh.revokeByOwner(founder, second);
  assert.ok(a.sessions.has(b));
  assert.deepEqual(
    b.machine.view(mesh.now).revoked.map(({ node }) => node),
    ['second'],
  );
});

test('a revocation that had ended when it was signed, by a clock that is behind, is not taken for done', () => {
  const { mesh, founder, others } = meshOf('bad');
  const key = stateOf(mesh, others[0]!).key;
  const signed = (wallMs: number) => makeRevocations(mesh.owner, [{ key, node: 'bad' }], wallMs);
  assert.throws(() => mesh.install(founder, signed(mesh.wallMs - 500 * DAY)), {
    code: 'E_SVID',
    message: /clock right/,
  });
  assert.equal(stateOf(mesh, others[0]!).state, 'member');
  for (let twice = 0; twice < 2; twice++) mesh.install(founder, signed(mesh.wallMs));
  assert.equal(stateOf(mesh, others[0]!).state, 'revoked');
});

test('what a captured steward can do ends with its revocation: who it let in comes back by another one', () => {
  const { mesh, founder, others } = meshOf('second', 'victim');
  const [second, victim] = others as [Router, Router];
  mesh.makeSteward(second, founder);
  const [pupil, fake] = [mesh.add('pupil'), mesh.add('fake')];
  mesh.link(pupil, second, founder);
  mesh.join(pupil, mesh.invite(second, 'pupil'));
  const wrong = (work: () => void) => assert.throws(work, { code: 'E_FORBIDDEN' });
  wrong(() => second.machine.revoke(stateOf(mesh, founder).key, mesh.now));
  wrong(() => founder.machine.revoke('second', mesh.now));
  wrong(() => victim.machine.revoke('pupil', mesh.now));
  wrong(() => victim.machine.invite('', HOUR, mesh.now));
  mesh.do(second, (machine) => machine.revoke('victim', mesh.now));
  assert.equal(stateOf(mesh, victim).state, 'revoked');

  mesh.revokeByOwner(founder, second);
  assert.equal(stateOf(mesh, second).state, 'revoked');
  assert.ok(!stateOf(mesh, second).isSteward);
  // It was let in by the revoked one, and was known then.
  mesh.pass(2 * MINUTE);
  assert.equal(stateOf(mesh, pupil).state, 'member');
  assert.ok(pupil.sessions.has(founder));
  // What it makes from now on nobody believes, though it has its keys still.
  mesh.link(fake, second, founder);
  assert.ok(!founder.sessions.has(second));
  // Whom it revoked is revoked no longer, since the owner did not take that over.
  assert.ok(!stateOf(mesh, founder).revoked.some(({ node }) => node === 'victim'));
});

test('a session outlasts the revocation of a steward that its other end has left behind', () => {
  const { mesh, founder, others } = meshOf('second', 'witness');
  const [second, witness] = others as [Router, Router];
  mesh.makeSteward(second, founder);
  const pupil = mesh.add('pupil');
  mesh.link(pupil, second, witness);
  mesh.join(pupil, mesh.invite(second, 'pupil'));
  mesh.link(pupil, founder);
  mesh.cut(pupil, second);
  assert.ok(pupil.sessions.has(witness));
  for (let hours = 0; hours < 12; hours++) mesh.pass(HOUR);
  const { chain } = pupil.credential!;
  const verdict = witness.machine.verify(chain, mesh.now);
  assert.ok(verdict.ok && !verdict.issuers.includes(stateOf(mesh, second).key), 'renewed by the founder');
  mesh.tell(witness, { type: 'session-renewed', peer: verdict });
  mesh.revokeByOwner(founder, second);
  assert.ok(pupil.sessions.has(witness));
  assert.ok(!witness.sessions.has(second));
});

test("the owner's key is changed: all follow, also one that was away, and the old key is worth nothing", () => {
  const { mesh, founder, others } = meshOf('a', 'b');
  const [a, b] = others as [Router, Router];
  mesh.off(b);
  const old = mesh.owner;
  mesh.rotate(founder);
  mesh.pass(DAY);
  assert.equal(stateOf(mesh, a).bundle, 2);
  mesh.reboot(b);
  mesh.pass(5 * MINUTE);
  assert.equal(stateOf(mesh, b).bundle, 2);
  mesh.dropOldRoots(founder);
  mesh.pass(DAY);
  assert.equal(stateOf(mesh, a).bundle, 3);
  assert.equal(stateOf(mesh, a).state, 'member');
  assert.equal(stateOf(mesh, b).bundle, 3);
  assert.equal(stateOf(mesh, b).state, 'member');
  mesh.owner = old;
  assert.throws(() => mesh.makeSteward(a, founder), { code: 'E_SVID' });
  const fresh = mesh.add('fresh');
  mesh.link(fresh, founder);
  mesh.join(fresh, mesh.invite(founder, 'fresh'));
  assert.equal(stateOf(mesh, fresh).state, 'member');
});

test('a router without a clock boots in 1970: it joins, and comes back, and still tells what has ended', () => {
  const { mesh, founder, others } = meshOf('a', 'b');
  const [a, b] = others as [Router, Router];
  const in1970 = -mesh.wallMs;
  const fresh = mesh.add('fresh', in1970);
  mesh.link(fresh, founder);
  mesh.join(fresh, mesh.invite(founder, 'fresh'));
  assert.equal(stateOf(mesh, fresh).state, 'member');
  assert.equal(stateOf(mesh, fresh).clock, 'behind');
  assert.ok(Math.abs(stateOf(mesh, fresh).nowMs - mesh.wallMs) < 5 * MINUTE);
  // What it kept is the least that it can be, so an old certificate of another is not young again.
  const old = b.credential!.chain;
  mesh.pass(2 * DAY);
  mesh.reboot(a, in1970);
  mesh.pass(MINUTE);
  assert.ok(a.sessions.has(founder));
  assert.equal(stateOf(mesh, a).state, 'member');
  const verdict = a.machine.verify(old, mesh.now);
  assert.ok(!verdict.ok && verdict.reason === 'expired');
  // A clock that a steward has confirmed is believed against a certificate of the future.
  const ahead = founder.machine.on({ type: 'clock', wallMs: mesh.wallMs }, mesh.now);
  assert.deepEqual(ahead, []);
  assert.equal(stateOf(mesh, b).clock, 'confirmed');
});

test("a steward that lies about the time turns nobody's clock to when nobody is believed", () => {
  const { mesh, founder, others } = meshOf('a');
  const [a] = others as [Router];
  mesh.reboot(a);
  assert.equal(stateOf(mesh, a).clock, 'unconfirmed');
  let lies = 0;
  mesh.tap = (from, _to, bytes) => {
    const said = from === founder ? readGossip(bytes) : null;
    if (said?.type !== 'renewed') return bytes;
    lies += 1;
    return writeGossip({ ...said, timeMs: Date.UTC(2226, 0) });
  };
  mesh.pass(9 * HOUR);
  assert.equal(lies, 1);
  assert.ok(Math.abs(stateOf(mesh, a).nowMs - mesh.wallMs) < 5 * MINUTE);
  mesh.reboot(a);
  assert.equal(stateOf(mesh, a).state, 'member');
  assert.ok(a.sessions.has(founder));
});

test('a clock that is years ahead makes no router forget who was revoked, nor who is in', () => {
  const { mesh, founder, others } = meshOf('good', 'bad');
  const [good, bad] = others as [Router, Router];
  mesh.do(founder, (machine) => machine.revoke('bad', mesh.now));
  mesh.off(good);
  mesh.reboot(founder, 30 * 365 * DAY);
  mesh.pass(3 * HOUR);
  founder.offMs = 0;
  mesh.pass(MINUTE);
  const names = (router: Router) => stateOf(mesh, router).revoked.map(({ node }) => node);
  assert.deepEqual(names(founder), ['bad']);
  assert.equal(founder.machine.members().length, 2);
  mesh.reboot(founder);
  assert.deepEqual(names(founder), ['bad']);
  assert.ok(stateOf(mesh, founder).isSteward);
  mesh.link(founder, bad);
  assert.ok(!founder.sessions.has(bad));
  mesh.cut(founder, good);
  mesh.reboot(good, 30 * 365 * DAY);
  assert.deepEqual(names(good), ['bad']);
});

test('a certificate of the future is refused by whoever knows the time', () => {
  const { mesh, others } = meshOf('a');
  const ahead = new Mesh();
  ahead.owner = mesh.owner;
  const [a] = others as [Router];
  ahead.pass(20 * DAY);
  const steward = ahead.add('steward');
  ahead.found(steward);
  assert.equal(stateOf(mesh, a).clock, 'confirmed');
  const verdict = a.machine.verify(steward.credential!.chain, mesh.now);
  assert.ok(!verdict.ok && verdict.reason === 'not-yet-valid');
});

test("a steward whose certificate nears its end says so, and past it admits nobody; the owner's word makes it one again", () => {
  const mesh = new Mesh({ lifeMs: 7 * DAY, graceMs: DAY });
  const founder = mesh.add('founder');
  mesh.found(founder, 34 * DAY);
  assert.equal(stateOf(mesh, founder).trouble, '');
  mesh.pass(5 * DAY);
  assert.match(stateOf(mesh, founder).trouble, /until 2026-12-25T12:00:00.000Z only: x0ctl mesh steward self/);
  mesh.invite(founder);
  mesh.pass(30 * DAY);
  assert.throws(() => mesh.invite(founder), { code: 'E_FORBIDDEN', message: /has ended/ });
  mesh.makeSteward(founder, founder);
  mesh.invite(founder);
  mesh.pass(MINUTE);
  assert.equal(stateOf(mesh, founder).state, 'member');
});

test('a steward whose certificate has ended is a router like others: it hears of no invitation, and is asked for nothing', () => {
  const { mesh, founder, others } = meshOf('second', 'kitchen');
  const [second, kitchen] = others as [Router, Router];
  const wallMs = mesh.wallMs;
  mesh.install(founder, [makeSteward(tools, mesh.owner, second.machine.candidate(), { wallMs, lifeMs: 2 * DAY })]);
  mesh.invite(founder, 'shed', 30 * DAY);
  assert.equal(second.machine.view(mesh.now).openInvitations, 1);
  mesh.pass(3 * DAY);
  assert.ok(founder.sessions.has(second));
  assert.equal(stateOf(mesh, second).state, 'member', 'another steward has renewed it');
  mesh.invite(founder, 'roof', 30 * DAY);
  mesh.cut(founder, second);
  mesh.link(founder, second);
  assert.ok(founder.sessions.has(second));
  assert.equal(second.machine.view(mesh.now).openInvitations, 1, 'only the one that it knew');
  mesh.cut(founder, kitchen);
  assert.ok(kitchen.sessions.has(second));
  assert.equal(kitchen.machine.vouching(mesh.now)?.isReached, false);
});

test('names are one router only', () => {
  const { mesh, founder } = meshOf('kitchen');
  assert.throws(() => founder.machine.invite('kitchen', HOUR, mesh.now), {
    code: 'E_USAGE',
    message: /called kitchen/,
  });
  assert.throws(() => founder.machine.invite('../x', HOUR, mesh.now), { code: 'E_USAGE' });
  const texts = [mesh.invite(founder, 'attic'), mesh.invite(founder, 'attic')];
  const [one, two] = [mesh.add('one'), mesh.add('two')];
  mesh.link(one, founder);
  mesh.link(two, founder);
  mesh.join(one, texts[0]!);
  mesh.join(two, texts[1]!);
  assert.equal(stateOf(mesh, one).state, 'member');
  assert.match(stateOf(mesh, two).trouble, /^name-taken/);
});

test('whom a captured steward lets in under a taken name, the others warn of, and it does not outlast that steward', () => {
  const { mesh, founder, others } = meshOf('second', 'victim');
  const [second, victim] = others as [Router, Router];
  mesh.makeSteward(second, founder);
  for (const one of [founder, victim]) mesh.cut(second, one);
  // As one that has been tampered with, it minds no name.
  for (const key of [...second.kept.keys()]) if (key.startsWith('member ')) second.kept.delete(key);
  mesh.reboot(second);
  const impostor = mesh.add('impostor');
  mesh.link(impostor, second);
  mesh.join(impostor, mesh.invite(second, 'victim'));
  assert.equal(stateOf(mesh, impostor).id, stateOf(mesh, victim).id);
  mesh.link(second, founder);
  assert.ok(founder.log.some((line) => /^warning: .* a name that is taken/.test(line)));
  const { key } = founder.machine.find('victim');
  assert.equal(key, mesh.keyOf(victim));
  mesh.link(impostor, founder);
  mesh.revokeByOwner(founder, second);
  mesh.pass(2 * MINUTE);
  assert.ok(!impostor.sessions.has(founder));
  assert.ok(victim.sessions.has(founder));
});

test('garbage, from the air or over a session, changes nothing; a neighbour that lies is heard no longer', () => {
  const { mesh, founder, others } = meshOf('liar');
  const [liar] = others as [Router];
  const key = stateOf(mesh, liar).key;
  for (let i = 0; i < 200; i++) {
    const bytes = Buffer.alloc((i * 37) % 500, i);
    mesh.tell(founder, { type: 'message', key, bytes });
    mesh.tell(founder, { type: 'message', key: 'nobody', bytes });
    mesh.tell(founder, { type: 'joining', conversation: `c${i}`, bytes });
    mesh.tell(liar, { type: 'joining', conversation: 'own', bytes });
  }
  assert.equal(stateOf(mesh, founder).state, 'member');
  assert.ok(founder.log.length < 40, `${founder.log.length} lines`);
});

test('a flood of hellos is answered within bounds, and who truly joins gets in', () => {
  const { mesh, founder } = meshOf();
  const flooder = mesh.add('flooder');
  const effects = flooder.machine.join(mesh.invite(founder), mesh.now);
  const hello = effects.find((one) => one.type === 'join-send')!.bytes;
  let answered = 0;
  for (let i = 0; i < 1000; i++)
    answered += founder.machine.on({ type: 'joining', conversation: `f${i}`, bytes: hello }, mesh.now).length;
  assert.ok(answered <= 150, `${answered} answers`);
  const joiner = mesh.add('joiner');
  mesh.link(joiner, founder);
  mesh.join(joiner, mesh.invite(founder, 'joiner'));
  mesh.pass(2 * MINUTE);
  assert.equal(stateOf(mesh, joiner).state, 'member');
});

test('everything that is kept may be damaged: the router still starts', () => {
  const { mesh, others } = meshOf('a');
  const [a] = others as [Router];
  for (const [key, value] of [...a.kept]) {
    a.kept.set(key, value.slice(0, value.length / 2));
    mesh.reboot(a);
    assert.ok(['member', 'none'].includes(stateOf(mesh, a).state));
    a.kept.set(key, value);
  }
  mesh.reboot(a);
  assert.equal(stateOf(mesh, a).state, 'member');
});

test('secrets are in nothing that is kept or logged', () => {
  const { mesh, founder, others } = meshOf('a');
  const text = mesh.invite(founder, 'b');
  for (const router of [founder, ...others]) {
    const all = [...router.kept.values(), ...router.log, ...router.decided].join('\n');
    for (const secret of [router.secrets.identity, router.secrets.agreement, router.credential!.privateKey]) {
      const bytes = Buffer.from(secret.reveal());
      assert.ok(
        !all.includes(bytes.toString('base64').slice(0, 20)) && !all.includes(bytes.toString('hex').slice(0, 20)),
      );
    }
    assert.ok(!all.includes(text.slice(20)));
  }
});
