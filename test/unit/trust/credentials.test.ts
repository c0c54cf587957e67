/** A credential whose router was revoked admits nobody any more, until the owner says so. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { authorityKey } from '../../../agent/trust/certificate/credential.ts';
import { Verifier } from '../../../agent/trust/certificate/verify.ts';
import { invitationText, readInvitation } from '../../../agent/trust/join/invitation.ts';
import { readSshAllowed, type SshHostKey, sshAttestor, sshProver } from '../../../agent/trust/join/ssh.ts';
import { fingerprint, newSecrets } from '../../../agent/trust/keys/router.ts';
import type { Loose } from '../../../agent/trust/ledger/item.ts';
import { Ledger } from '../../../agent/trust/ledger/ledger.ts';
import {
  makeBundle,
  makeOwner,
  makeReadmissions,
  makeRevocations,
  makeSteward,
} from '../../../agent/trust/ledger/owner.ts';
import { readStatement, sayOfCredential, sayRevocation } from '../../../agent/trust/ledger/statement.ts';
import { BARS, readGossip, writeGossip } from '../../../agent/trust/membership/gossip.ts';
import { recollect } from '../../../agent/trust/membership/kept.ts';
import { BEGIN, DAY, DOMAIN, HOUR, Mesh, type Router, tools } from './mesh.ts';

interface HostKey extends SshHostKey {
  readonly line: string;
}

function hostKey(node = ''): HostKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), raw]);
  const line = `ssh-ed25519 ${blob.toString('base64')} ${node}`.trim();
  return { publicKey: raw, sign: (message) => sign(null, message, privateKey), line };
}

/** Two stewards that know these host keys, and `attic` let in by the first of them by the first host key. */
function meshOf(keys: readonly HostKey[]): { mesh: Mesh; one: Router; two: Router; attic: Router } {
  const mesh = new Mesh();
  mesh.attestors.push(sshAttestor(keys.map(({ line }) => readSshAllowed(line))));
  const [one, two] = [mesh.add('one'), mesh.add('two')];
  mesh.found(one);
  mesh.link(one, two);
  mesh.join(two, mesh.invite(one, 'two'));
  mesh.makeSteward(two, one);
  const attic = mesh.add('attic');
  mesh.link(attic, one);
  come(mesh, attic, keys[0]!);
  assert.ok(attic.credential !== null, attic.machine.view(mesh.now).trouble);
  return { mesh, one, two, attic };
}

function come(mesh: Mesh, router: Router, key: HostKey): void {
  mesh.do(router, (machine) => machine.joinWith(sshProver(key), anchorOf(mesh), mesh.now));
  mesh.meet();
}

function anchorOf(mesh: Mesh): string {
  return fingerprint(mesh.owner.authority.identity.publicKey);
}

/** A router with new keys that asks this steward alone; whether it got in. */
function isLetIn(mesh: Mesh, name: string, by: Router, key: HostKey): boolean {
  const router = mesh.add(name);
  mesh.link(router, by);
  come(mesh, router, key);
  return router.credential !== null;
}

function readmitAll(mesh: Mesh, by: Router): void {
  mesh.install(by, makeReadmissions(mesh.owner, by.machine.barred(), mesh.wallMs));
}

test('whom a steward revokes does not come back with new keys by its SSH host key: not there, not elsewhere, not after restarts', () => {
  const [key, other] = [hostKey('attic'), hostKey('shed')];
  const { mesh, one, two } = meshOf([key, other]);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  assert.ok(!isLetIn(mesh, 'back', one, key));
  const why = one.decided.find((line) => /^not-admitted attic/.test(line)) ?? '';
  assert.match(why, /attic, which came by the same credential, was revoked: .* \(ssh:[0-9a-f]{64}\)$/);
  const [told] = mesh.routers.at(-1)!.log.filter((line) => /could not join/.test(line));
  assert.match(told!, /revoked: attic, which came by the same credential/);
  assert.ok(!isLetIn(mesh, 'elsewhere', two, key));
  for (const steward of [one, two]) mesh.reboot(steward);
  assert.ok(!isLetIn(mesh, 'restarted', one, key) && !isLetIn(mesh, 'restarted too', two, key));
  assert.ok(isLetIn(mesh, 'shed', one, other), 'another host key is another router');
});

test('the owner readmits it, everywhere, and who is revoked after that has it barred anew', () => {
  const key = hostKey('attic');
  const { mesh, one, two } = meshOf([key]);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  assert.deepEqual(
    two.machine.barred().map(({ node, credential }) => [node, credential.slice(0, 4)]),
    [['attic', 'ssh:']],
  );
  readmitAll(mesh, one);
  for (const steward of [one, two]) {
    assert.deepEqual(steward.machine.barred(), []);
    mesh.reboot(steward);
    assert.deepEqual(steward.machine.barred(), [], 'after a restart too');
  }
  mesh.pass(HOUR);
  assert.ok(isLetIn(mesh, 'attic again', two, key));
  mesh.do(two, (machine) => machine.revoke('attic', mesh.now));
  assert.ok(!isLetIn(mesh, 'a third', two, key) && !isLetIn(mesh, 'a fourth', one, key));
});

test("the owner's word at another steward, with who let it in away: what that one has told counts there", () => {
  const key = hostKey('attic');
  const { mesh, one, two, attic } = meshOf([key]);
  mesh.reboot(two);
  mesh.off(one);
  mesh.revokeByOwner(two, attic);
  assert.ok(!isLetIn(mesh, 'back', two, key));
  const bars = () => two.machine.items().filter(({ bytes }) => readStatement(bytes)?.body.kind === 'bar');
  assert.equal(bars().length, 0, 'not signed on the word of another');
  mesh.reboot(one);
  assert.equal(bars().length, 1, 'signed by who has seen it');
});

test('a bar outlasts the revocation that it is for', () => {
  const key = hostKey('attic');
  const { mesh, one } = meshOf([key]);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  const ledger = new Ledger(tools, new Verifier(tools));
  for (const { kind, bytes } of one.machine.items())
    if (kind === 'bundle') ledger.found(bytes, anchorOf(mesh));
    else ledger.take(kind, bytes, BEGIN);
  assert.deepEqual([ledger.revoked().length, ledger.barred().length], [1, 1]);
  ledger.prune(BEGIN + 90 * DAY);
  assert.deepEqual([ledger.revoked().length, ledger.barred().length], [0, 1]);
});

test('a captured steward bars nobody by a lie about who is revoked already, nor may it readmit', () => {
  const [key, other] = [hostKey('attic'), hostKey('shed')];
  const { mesh, one, two, attic } = meshOf([key, other]);
  const gone = mesh.keyOf(attic);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  const [bar] = one.machine.barred();
  const lie = `ssh:${'ab'.repeat(32)}`;
  const said = writeGossip({ type: 'came', key: gone, node: 'attic', credentials: [lie] });
  mesh.tell(one, { type: 'message', key: mesh.keyOf(two), bytes: said });
  assert.deepEqual(one.machine.barred(), [bar]);
  // What the steward that let it in has seen stands as well while the router is in.
  const shed = mesh.add('shed');
  mesh.link(shed, one);
  come(mesh, shed, other);
  const about = writeGossip({ type: 'came', key: mesh.keyOf(shed), node: 'shed', credentials: [lie] });
  mesh.tell(one, { type: 'message', key: mesh.keyOf(two), bytes: about });
  mesh.do(one, (machine) => machine.revoke('shed', mesh.now));
  assert.ok(!one.machine.barred().some(({ credential }) => credential === lie));
  const identity = tools.suite.identityKey(two.secrets.identity);
  const body = { ...bar!, kind: 'readmission', domain: DOMAIN } as const;
  assert.throws(
    () => one.machine.install([{ kind: 'revocation', bytes: sayOfCredential(identity, body) }], mesh.now),
    /neither a root nor a steward/,
  );
  assert.equal(one.machine.barred().length, 2);
});

test('an agent of before bars is sent none of it, and hears all else', () => {
  const key = hostKey('attic');
  const { mesh, one, two } = meshOf([key]);
  const heard: string[] = [];
  mesh.tap = (from, to, bytes) => {
    const said = readGossip(bytes);
    // What `two` says of what it has is what it was before; what it is sent is looked at.
    if (from === two && said?.type === 'have')
      return writeGossip({ ...said, hashes: said.hashes.filter((hash) => hash !== BARS) });
    if (to === two && said?.type === 'came') heard.push('came');
    if (to === two && said?.type === 'items')
      for (const one of said.items) heard.push(readStatement(one.bytes)?.body.kind ?? one.kind);
    return bytes;
  };
  mesh.reboot(two);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  assert.ok(!heard.includes('bar') && !heard.includes('came') && heard.includes('revocation'), heard.join());
  mesh.pass(HOUR);
  assert.ok(!heard.includes('bar'), heard.join());
  assert.equal(two.machine.view(mesh.now).revoked.length, 1);
});

test('what was kept before there was such a thing is read, and what is damaged of it passed over', () => {
  const { mesh, one } = meshOf([hostKey('attic')]);
  const [name, value] = [...one.kept].find(([name, text]) => name.startsWith('came ') && / ssh:/.test(text))!;
  const read = (text: string) => recollect([{ key: name, value: text }]).came;
  assert.deepEqual(read(value), [{ key: name.slice(5), ...read(value)[0] }]);
  for (const bad of [
    '',
    'attic',
    value.replace(/ [0-9a-f]{64} /, ' x '),
    `${value} ssh:12`,
    value.replace('ssh:', 'SSH:'),
  ])
    assert.deepEqual(read(bad), [], bad);
  for (const name of [...one.kept.keys()]) if (name.startsWith('came ')) one.kept.delete(name);
  mesh.reboot(one);
  mesh.do(one, (machine) => machine.revoke('attic', mesh.now));
  assert.ok(one.log.some((line) => /^warning: by which credential it came is not known here/.test(line)));
});

test('by an invitation a second key does not come in either, and nothing is declared of it', () => {
  const mesh = new Mesh();
  const [one, shed] = [mesh.add('one'), mesh.add('shed')];
  mesh.found(one);
  mesh.link(one, shed);
  const text = mesh.invite(one, 'shed');
  mesh.join(shed, text);
  assert.match(one.kept.get(`came ${mesh.keyOf(shed)}`)!, /^shed [0-9a-f]{64} invitation:[0-9a-f]{16}$/);
  mesh.do(one, (machine) => machine.revoke('shed', mesh.now));
  const thief = mesh.add('thief');
  mesh.link(one, thief);
  mesh.join(thief, text);
  assert.equal(thief.credential, null);
  assert.deepEqual(one.machine.barred(), []);
  assert.ok(!one.machine.items().some(({ bytes }) => readStatement(bytes)?.body.kind === 'bar'));
});

test('bars count by who signed them, whatever the order, and by as many as one steward may say', () => {
  const owner = makeOwner(tools, newSecrets(tools.suite), { trustDomain: DOMAIN, wallMs: BEGIN });
  const stewardOf = (node: string) => {
    const secrets = newSecrets(tools.suite);
    const identity = tools.suite.identityKey(secrets.identity);
    const { spki } = authorityKey(tools, secrets.identity, 'steward');
    const item = makeSteward(tools, owner, { node, spki, identity: identity.publicKey }, { wallMs: BEGIN });
    return { identity, key: fingerprint(identity.publicKey), node, item };
  };
  const [good, bad] = [stewardOf('good'), stewardOf('bad')];
  const digits = (n: number) => n.toString(16).padStart(64, '0');
  const bar = (by: typeof good, n: number): Loose => {
    const body = {
      kind: 'bar',
      domain: DOMAIN,
      credential: `ssh:${digits(n)}`,
      key: digits(n),
      node: `n${n}`,
      at: BEGIN,
    };
    return { kind: 'revocation', bytes: sayOfCredential(by.identity, body as Parameters<typeof sayOfCredential>[1]) };
  };
  const first = makeBundle(owner, 1, [owner]);
  const fresh = () => {
    const made = new Ledger(tools, new Verifier(tools));
    made.found(first.bytes, readStatement(first.bytes)!.signer);
    return made;
  };
  const items: Loose[] = [
    good.item,
    bad.item,
    bar(good, 1),
    bar(bad, 2),
    bar(bad, 3),
    bar(good, 3),
    bar(good, 4),
    ...makeRevocations(owner, [bad], BEGIN),
    ...makeReadmissions(owner, [{ credential: `ssh:${digits(4)}`, key: digits(4), node: 'n4' }], BEGIN),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(items, { minLength: items.length }), (order) => {
      const one = fresh();
      for (let i = 0; i < 2; i++) for (const { kind, bytes } of order) one.take(kind, bytes, BEGIN);
      assert.deepEqual(
        one
          .barred()
          .map(({ node }) => node)
          .sort(),
        ['n1', 'n3'],
      );
      const again = fresh();
      for (const { kind, bytes } of one.items()) again.take(kind, bytes, BEGIN);
      assert.deepEqual(again.barred().length, 2);
    }),
    { numRuns: 20 },
  );
  const full = fresh();
  full.take(good.item.kind, good.item.bytes, BEGIN);
  for (let n = 0; n < 64; n++) assert.equal(full.take('revocation', bar(good, n).bytes, BEGIN), 'new');
  assert.deepEqual(full.take('revocation', bar(good, 64).bytes, BEGIN), {
    refused: 'its signer has barred or readmitted too many',
    isLie: false,
  });
  const revoke = { domain: DOMAIN, key: digits(1), node: 'n1', at: BEGIN, until: BEGIN + DAY };
  assert.equal(
    full.take('revocation', sayRevocation(good.identity, revoke), BEGIN),
    'new',
    'revocations are not fewer',
  );
});

test('a mesh, and a router, is named by 128 bits of a fingerprint or more', () => {
  const { mesh, one, two, attic } = meshOf([hostKey('attic')]);
  const anchor = anchorOf(mesh);
  const late = mesh.add('late');
  for (const digits of [16, 31, 65]) {
    const short = `${anchor}0`.slice(0, digits);
    assert.throws(
      () => late.machine.joinWith(sshProver(hostKey()), short, mesh.now),
      { code: 'E_USAGE', message: /^the mesh is named by 32 to 64 digits/ },
      String(digits),
    );
  }
  const key = mesh.keyOf(attic);
  for (const digits of [16, 31])
    assert.throws(() => two.machine.find(key.slice(0, digits)), { code: 'E_NOT_FOUND' }, String(digits));
  assert.equal(two.machine.find(key.slice(0, 32)).key, key);
  // An invitation carries as much: of one that names another owner by the first half of its digits nobody is taken in.
  const invitation = readInvitation(mesh.invite(one));
  assert.equal(invitation.anchor, anchor.slice(0, 32));
  const forged = invitationText({ ...invitation, anchor: anchor.slice(0, 16) + 'e'.repeat(16) });
  mesh.link(late, one);
  mesh.join(late, forged);
  assert.equal(late.credential, null);
});
