/** What a steward knows after a restart: whom it has let in, whom it has invited, and which names are taken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY, HOUR, Mesh, type Router } from './mesh.ts';

const MINUTE = 60_000;

function meshOf(...names: string[]): { mesh: Mesh; founder: Router; others: Router[] } {
  const mesh = new Mesh();
  const founder = mesh.add('founder');
  mesh.found(founder);
  return { mesh, founder, others: names.map((name) => letIn(mesh, founder, name)) };
}

function letIn(mesh: Mesh, by: Router, name: string, text = mesh.invite(by, name)): Router {
  const router = mesh.add(name);
  mesh.link(router, by);
  mesh.join(router, text);
  return router;
}

const viewOf = (mesh: Mesh, router: Router) => router.machine.view(mesh.now);
const membersOf = ({ machine }: Router) =>
  machine
    .members()
    .map(({ node }) => node)
    .sort();

test('a steward that starts anew knows its members: they are listed, revoked by name, and keep their names', () => {
  const { mesh, founder, others } = meshOf('kitchen', 'attic');
  const before = membersOf(founder);
  assert.equal(before.length, 3);
  // Nobody is there to tell it again.
  for (const one of others) mesh.off(one);
  mesh.reboot(founder);
  assert.deepEqual(membersOf(founder), before);
  const taken = { code: 'E_USAGE', message: /called kitchen/ };
  assert.throws(() => founder.machine.invite('kitchen', HOUR, mesh.now), taken);
  mesh.do(founder, (machine) => machine.revoke('kitchen', mesh.now));
  assert.deepEqual(
    viewOf(mesh, founder).revoked.map(({ node }) => node),
    ['kitchen'],
  );
  mesh.reboot(founder);
  assert.ok(!membersOf(founder).includes('kitchen'));
  mesh.invite(founder, 'kitchen');
});

test('an open invitation outlasts the restarts of its steward, is good once, and never longer than it was', () => {
  const { mesh, founder } = meshOf();
  const [month, hour] = [mesh.invite(founder, 'attic', 30 * DAY), mesh.invite(founder, 'shed')];
  mesh.reboot(founder);
  assert.equal(viewOf(mesh, founder).openInvitations, 2);
  mesh.off(founder);
  mesh.pass(2 * HOUR);
  mesh.reboot(founder);
  assert.equal(viewOf(mesh, founder).openInvitations, 1, 'one has ended meanwhile');
  mesh.pass(11 * MINUTE);
  assert.equal(founder.invited.length, 1, 'and is on flash no longer');
  mesh.pass(20 * DAY);
  const attic = letIn(mesh, founder, 'attic', month);
  assert.equal(viewOf(mesh, attic).state, 'member');
  mesh.reboot(founder);
  const thief = letIn(mesh, founder, 'thief', month);
  assert.match(viewOf(mesh, thief).trouble, /^used: attic has used this invitation already/);
  assert.match(viewOf(mesh, letIn(mesh, founder, 'late', hour)).trouble, /not known here, or has ended/);
  // Its secret does not stay on flash for ever.
  mesh.pass(11 * DAY);
  assert.deepEqual(founder.invited, []);
});

test('a steward keeps what others have told it of invitations too', () => {
  const { mesh, founder, others } = meshOf('second');
  const [second] = others as [Router];
  mesh.makeSteward(second, founder);
  const text = mesh.invite(founder, 'attic', DAY);
  assert.deepEqual(second.invited, [], 'what is told is collected before it is written');
  mesh.pass(11 * MINUTE);
  mesh.off(founder);
  mesh.reboot(second);
  assert.equal(viewOf(mesh, letIn(mesh, second, 'attic', text)).state, 'member');
});

test('what a steward has invited ends with its revocation, whoever knows of it, and is not told on as another steward’s', () => {
  const { mesh, founder, others } = meshOf('second', 'third');
  const [second, third] = others as [Router, Router];
  mesh.makeSteward(second, founder);
  mesh.invite(founder, 'shed');
  const planted = mesh.invite(second, 'attic', 300 * DAY);
  assert.equal(viewOf(mesh, founder).openInvitations, 2);
  mesh.pass(11 * MINUTE);
  mesh.reboot(founder);
  mesh.makeSteward(third, founder);
  mesh.cut(third, founder);
  mesh.link(third, founder);
  assert.equal(viewOf(mesh, third).openInvitations, 1, 'of the one that it has met');
  mesh.revokeByOwner(founder, second);
  assert.equal(viewOf(mesh, founder).openInvitations, 1);
  assert.match(viewOf(mesh, letIn(mesh, founder, 'attic', planted)).trouble, /not known here, or has ended/);
});

test('however many are invited, flash takes a few MB a day; what was put off is written all the same', () => {
  const { mesh, founder } = meshOf();
  let [written, last] = [0, founder.invited];
  const count = () => {
    if (founder.invited !== last) written += 160 * (founder.invited.length + 32);
    last = founder.invited;
  };
  for (let minutes = 0; minutes < 24 * 60; minutes++) {
    for (let i = 0; i < 2; i++) {
      mesh.invite(founder, '', 30 * DAY);
      count();
    }
    mesh.pass(MINUTE);
    count();
  }
  assert.ok(written > 1_000_000 && written < 3_000_000, `${written} bytes`);
  mesh.pass(2 * HOUR);
  assert.equal(founder.invited.length, 1024);
  mesh.reboot(founder);
  assert.equal(viewOf(mesh, founder).openInvitations, 1024);
});

test('who was let in by a steward that is revoked now comes back by one that started anew meanwhile', () => {
  const { mesh, founder, others } = meshOf('second');
  const [second] = others as [Router];
  mesh.makeSteward(second, founder);
  const pupil = letIn(mesh, second, 'pupil');
  mesh.reboot(founder);
  mesh.link(pupil, founder);
  mesh.revokeByOwner(founder, second);
  mesh.pass(2 * MINUTE);
  assert.equal(viewOf(mesh, pupil).state, 'member');
  assert.ok(pupil.sessions.has(founder));
});

test('renewals of a member are written once a day at most, and who is gone for long is forgotten with its name', () => {
  const { mesh, founder, others } = meshOf('kitchen');
  const [kitchen] = others as [Router];
  const name = `member ${mesh.keyOf(kitchen)}`;
  const writes = () => founder.written.filter((one) => one === name).length;
  assert.equal(writes(), 1);
  let [renewals, ends] = [0, kitchen.credential!.notAfter];
  for (let hours = 0; hours < 240; hours++) {
    mesh.pass(HOUR);
    if (kitchen.credential!.notAfter !== ends) renewals += 1;
    ends = kitchen.credential!.notAfter;
  }
  assert.ok(renewals > 25, `${renewals} renewals`);
  assert.ok(writes() <= 11, `${writes()} writes`);
  // What is kept of its end may be old, and still it is a member.
  mesh.off(kitchen);
  mesh.reboot(founder);
  mesh.pass(3 * DAY);
  mesh.reboot(founder);
  assert.throws(() => founder.machine.invite('kitchen', HOUR, mesh.now), { code: 'E_USAGE' });
  mesh.pass(2 * DAY);
  mesh.invite(founder, 'kitchen');
  assert.ok(!founder.kept.has(name));
});

test('where no member was kept, claims and sessions still say who is meant and which name is taken', () => {
  const { mesh, founder, others } = meshOf('kitchen', 'attic');
  const [kitchen] = others as [Router];
  for (const name of founder.kept.keys()) if (name.startsWith('member ')) founder.kept.delete(name);
  mesh.cut(kitchen, founder);
  mesh.reboot(founder);
  assert.throws(() => founder.machine.invite('attic', HOUR, mesh.now), { code: 'E_USAGE', message: /called attic/ });
  assert.equal(founder.machine.find('kitchen').key, mesh.keyOf(kitchen));
  mesh.do(founder, (machine) => machine.revoke('kitchen', mesh.now));
  assert.equal(viewOf(mesh, founder).revoked[0]!.key, mesh.keyOf(kitchen));
  assert.throws(() => founder.machine.find('kitchen'), { code: 'E_NOT_FOUND' });
});

test('what is kept of a member may be damaged: the others are there', () => {
  const { mesh, founder, others } = meshOf('kitchen', 'attic');
  for (const one of others) mesh.off(one);
  const name = `member ${mesh.keyOf(others[0]!)}`;
  const whole = founder.kept.get(name)!;
  for (const bad of ['', 'kitchen', whole.slice(0, -1), whole.replace(/ \d+ /, ' 1e99 '), `../${whole}`, `${whole}0`]) {
    founder.kept.set(name, bad);
    mesh.reboot(founder);
    assert.deepEqual(membersOf(founder).length, 2, bad);
  }
  founder.kept.set(name, whole);
  mesh.reboot(founder);
  assert.equal(membersOf(founder).length, 3);
});
