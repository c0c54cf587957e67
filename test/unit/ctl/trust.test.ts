/** The commands of identities, against the agent's part for them on real sockets, files and databases. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Config } from '../../../agent/config/schema.ts';
import type { Identity } from '../../../agent/host/identity.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { mismatch } from '../../../agent/report/shape.ts';
import * as shapes from '../../../agent/report/shapes.ts';
import { readStatement } from '../../../agent/trust/ledger/statement.ts';
import { OWN } from '../../../agent/trust/membership/words.ts';
import { endOf, now, ownerKey, type Router, router, until, well, x0ctl } from './help.ts';

/** Two agents that are each other's neighbours: bytes go from one to the other, sessions stand while both believe. */
function wire(a: Router, b: Router): void {
  const both: [Identity | null, Identity | null] = [null, null];
  let isOpen = false;
  const keyOf = (one: Identity) => one.machine.view(now()).key;
  const meet = () => {
    const [one, two] = both;
    const [c1, c2] = [one?.current(), two?.current()];
    if (isOpen || one === null || two === null || c1 == null || c2 == null) return;
    const [of1, of2] = [two.verify(c1.chain), one.verify(c2.chain)];
    if (!of1.ok || !of2.ok) return;
    isOpen = true;
    setImmediate(() => {
      one.feed({ type: 'session-up', peer: of2 });
      two.feed({ type: 'session-up', peer: of1 });
    });
  };
  for (const [i, { part }] of [a, b].entries())
    part.onLoaded((one) => {
      both[i] = one;
      const other = () => both[1 - i];
      one.attach({
        send(_key, bytes) {
          // What was said before the end of a session still arrives.
          if (isOpen) setImmediate(() => other()?.feed({ type: 'message', key: keyOf(one), bytes }));
        },
        joinSend: (conversation, bytes) =>
          void setImmediate(() =>
            other()?.feed({ type: 'joining', conversation: conversation === OWN ? 'them' : OWN, bytes }),
          ),
        distrust() {
          isOpen = false;
          setImmediate(() => {
            for (const [j, each] of both.entries())
              if (both[1 - j] != null) each?.feed({ type: 'session-down', key: keyOf(both[1 - j]!) });
          });
        },
        reach() {},
        credential: () => setImmediate(meet),
      });
    });
}

test('a mesh of two, by hand: init, invite, join, members, steward, rotate, revoke, and it all survives a restart', async (t) => {
  const [attic, kitchen] = [await router(t), await router(t)];
  wire(attic, kitchen);
  assert.deepEqual(
    readdirSync(attic.directory).filter((name) => name.endsWith('.key')),
    [],
  );
  assert.match((await x0ctl(attic, 'invite')).err, /x0ctl mesh init/);
  assert.doesNotMatch(await well(attic, 'status').catch(() => ''), /identity/);

  const owner = ownerKey(attic);
  assert.match(
    await well(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', owner),
    /router\/attic,\s+the first steward/,
  );
  for (const file of [owner, join(attic.directory, 'identity.key')]) assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match((await x0ctl(attic, 'mesh', 'init', '--owner-key', owner)).err, /in x0tta6bl4\.mesh already/);

  const shown = await well(attic, 'invite', 'kitchen', '--qr');
  assert.match(shown, /[█▀▄]/);
  const text = /^ {2}([a-z2-7]{72})$/m.exec(shown)![1]!;
  assert.match(await well(kitchen, 'join', text), /router\/kitchen\./);
  assert.equal((await x0ctl(kitchen, 'join', text)).status, 2);
  const members = JSON.parse(await well(attic, 'mesh', 'members', '--json'));
  assert.equal(mismatch(shapes.members.schema, members), null);
  assert.deepEqual(members.members.map(({ node }: { node: string }) => node).sort(), ['attic', 'kitchen']);
  const rows = await well(attic, 'mesh', 'members');
  assert.match(rows, /^attic +steward /m);
  for (const { node, key } of members.members) assert.match(rows, new RegExp(`^${key.slice(0, 32)} ${node}$`, 'm'));
  assert.match(await well(kitchen, 'status'), /identity +spiffe:\/\/x0tta6bl4\.mesh\/router\/kitchen: member\n.*until/);
  assert.equal(mismatch(shapes.status.schema, JSON.parse(await well(kitchen, 'status', '--json'))), null);
  assert.match(attic.journal.at(-1)!.why, /^invitation /);
  assert.equal(attic.journal.at(-1)!.result, 'admitted kitchen');

  assert.equal((await x0ctl(kitchen, 'invite')).status, 4, 'no steward');
  assert.match(await well(attic, 'mesh', 'steward', 'kitchen', '--owner-key', owner), /kitchen is a steward/);
  await until(() => kitchen.part.identity()!.machine.view(now()).isSteward);
  await well(kitchen, 'invite');

  const next = join(attic.directory, 'next.key');
  assert.match(await well(attic, 'mesh', 'rotate', '--owner-key', owner, '--new-key', next), /Trust bundle 2/);
  assert.match(await well(attic, 'mesh', 'rotate', '--owner-key', next, '--finish'), /Trust bundle 3/);
  await until(() => kitchen.part.identity()!.machine.view(now()).bundle === 3);
  assert.match((await x0ctl(attic, 'mesh', 'steward', 'self', '--owner-key', owner)).err, /not the key of the owner/);
  assert.equal(kitchen.part.identity()!.machine.view(now()).state, 'member');

  assert.equal((await x0ctl(attic, 'mesh', 'revoke', 'kitchen')).status, 4, 'a steward');
  assert.match(await well(attic, 'mesh', 'revoke', 'kitchen', '--owner-key', next), /kitchen is revoked/);
  await until(() => kitchen.part.identity()!.machine.view(now()).state === 'revoked');
  assert.match(await well(attic, 'mesh', 'members'), /^kitchen +\S+ \S+ owner/m);

  // Without SQLite nothing is remembered, as the status says.
  const refusal = sqliteRefusal();
  if (refusal !== null) return t.skip(refusal);
  attic.state.flush();
  const again = await router(t, endOf(attic));
  await until(() => again.part.identity() !== null);
  const view = again.part.identity()!.machine.view(now());
  assert.equal(view.state, 'member');
  assert.ok(view.isSteward);
  assert.deepEqual(
    view.revoked.map(({ node }) => node),
    ['kitchen'],
  );
  assert.deepEqual(again.state.memories(), [], 'machines are told nothing of it');
  for (const line of [...attic.lines, ...kitchen.lines]) assert.ok(!line.includes(text.slice(6, 30)));
});

test('what is wrong is said, and no key is overwritten', async (t) => {
  const one = await router(t);
  const cases: readonly [argv: readonly string[], status: number, says: RegExp][] = [
    [['mesh', 'members'], 4, /x0ctl mesh init, or x0ctl join/],
    [['mesh', 'init', '--domain', 'A B'], 2, /--domain/],
    [['mesh', 'init', '--name', 'a/b'], 2, /--name/],
    [['mesh', 'rotate'], 2, /--new-key FILE as well, or --finish/],
    [['mesh', 'revoke', 'x', '--owner-key', '/nowhere'], 4, /ENOENT/],
    [['join'], 2, /TEXT/],
    [['join', '--ssh-host-key'], 2, /--anchor/],
    [['join', '--ssh-host-key', '--anchor', 'ab'.repeat(8), '--seconds', '1'], 2, /anchor: expected 32 to 64 digits/],
    [['join', 'hello'], 2, /no invitation/],
    [['invite', '--minutes', '0'], 2, /minutes/],
  ];
  for (const [argv, status, says] of cases) {
    const answer = await x0ctl(one, ...argv);
    assert.match(answer.err, says, argv.join(' '));
    assert.equal(answer.status, status, argv.join(' '));
  }
  const owner = ownerKey(one);
  t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(1970, 0, 2) });
  const early = await x0ctl(one, 'mesh', 'init', '--owner-key', owner);
  t.mock.timers.reset();
  assert.deepEqual([early.status, /clock of this router says 1970-01-02 00:00/.test(early.err)], [2, true], early.err);
  assert.ok(!existsSync(owner));
  await well(one, 'mesh', 'init', '--owner-key', owner);
  const bytes = readFileSync(owner);
  const other = await router(t);
  assert.match(
    (await x0ctl(other, 'mesh', 'init', '--owner-key', owner)).err,
    /owner.key cannot be written: it is there already, and a key is never replaced/,
  );
  assert.deepEqual(readFileSync(owner), bytes);
  assert.match((await x0ctl(one, 'mesh', 'revoke', 'nobody', '--owner-key', owner)).err, /no router called nobody/);
});

test('what a revoked router came by is shown, admits nobody, and does again when the owner says so', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  const str = (value: string | Uint8Array) => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([str('ssh-ed25519'), str(raw)]);
  // As dropbear keeps it: the seed and the public key in one.
  const file = Buffer.concat([str('ssh-ed25519'), str(Buffer.concat([seed, raw]))]);
  const allowed = [`ssh-ed25519 ${blob.toString('base64')} kitchen`];
  const [attic, kitchen] = [await router(t, undefined, { 'trust.ssh_allowed': allowed }), await router(t)];
  wire(attic, kitchen);
  const owner = ownerKey(attic);
  await well(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', owner);
  const desk = kitchen.part.shows!.trust!;
  await until(() => desk.wake());
  const [bundle] = attic.part.identity()!.machine.items();
  desk.joinBy('ssh-host-key', readStatement(bundle!.bytes)!.signer, file);
  await until(() => kitchen.part.identity()!.machine.view(now()).state === 'member');
  assert.doesNotMatch(await well(attic, 'mesh', 'members'), /ADMIT NOBODY/);
  await well(attic, 'mesh', 'revoke', 'kitchen');
  const credential = `ssh:${createHash('sha256').update(blob).digest('hex')}`;
  const shown = await well(attic, 'mesh', 'members');
  assert.ok(shown.includes(`ADMIT NOBODY ANY MORE\n${credential}\n  of kitchen, revoked\n`), shown);
  const members = JSON.parse(await well(attic, 'mesh', 'members', '--json'));
  assert.equal(mismatch(shapes.members.schema, members), null);

  const readmit = (which: string) => x0ctl(attic, 'mesh', 'readmit', which, '--owner-key', owner);
  assert.match((await readmit(credential.slice(0, 20))).err, /32 digits or more/);
  assert.match((await readmit('attic')).err, /no credential is barred by this name/);
  assert.match((await readmit(`ssh:${'0'.repeat(64)}`)).err, /no credential is barred by this name/);
  assert.match((await readmit(credential.slice(0, 4 + 32))).out, new RegExp(`^Admits again: ${credential}\n$`));
  assert.doesNotMatch(await well(attic, 'mesh', 'members'), /ADMIT NOBODY/);
  // The owner's new key says it again.
  const next = join(attic.directory, 'next.key');
  await well(attic, 'mesh', 'rotate', '--owner-key', owner, '--new-key', next);
  await well(attic, 'mesh', 'rotate', '--owner-key', next, '--finish');
  assert.doesNotMatch(await well(attic, 'mesh', 'members'), /ADMIT NOBODY/);
});

test('a policy decides what a proven ID may do, and the journal says why', async (t) => {
  const rules = ['spiffe://x0tta6bl4.mesh/router/* read-status', 'spiffe://x0tta6bl4.mesh/router/desk admit'];
  const one = await router(t, undefined, { 'trust.allow': rules });
  const desk = 'spiffe://x0tta6bl4.mesh/router/desk';
  assert.ok(one.part.permits(desk, 'read-status'));
  assert.deepEqual(one.journal, []);
  assert.ok(one.part.permits(desk, 'admit'));
  assert.ok(!one.part.permits(desk, 'revoke'));
  assert.ok(!one.part.permits('spiffe://other.mesh/router/desk', 'read-status'));
  assert.deepEqual(
    one.journal.map(({ result, why, step }) => [step, result, why]),
    [
      ['done', `allowed ${desk}: admit`, `the rule for ${desk} allows it`],
      ['dropped', `not-allowed ${desk}: revoke`, `no rule for ${rules[0]!.split(' ')[0]} or ${desk} allows it`],
    ],
  );
});

test('a key file that others could read keeps the identity from loading, and says so', async (t) => {
  const one = await router(t);
  await well(one, 'mesh', 'init', '--owner-key', ownerKey(one));
  const directory = endOf(one);
  const { chmodSync } = await import('node:fs');
  chmodSync(join(directory, 'identity.key'), 0o644);
  const two = await router(t, directory);
  await until(() => two.part.degraded!({} as Config).length > 0);
  assert.match(two.part.degraded!({} as Config)[0]!.why, /its mode is 644/);
  assert.match((await x0ctl(two, 'mesh', 'members')).err, /its mode is 644/);
});
