/** What a router has a steward do over a real session, and what the steward's policy says of it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AgentError } from '../../../agent/core/errors.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { orders } from '../../../agent/daemon/orders.ts';
import type { Agent } from '../../../agent/daemon/part.ts';
import { questions } from '../../../agent/daemon/questions.ts';
import { sessions } from '../../../agent/daemon/sessions.ts';
import { trustTools } from '../../../agent/host/identity.ts';
import { readKeyFile } from '../../../agent/host/key-file.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { makeRevocations, openOwner } from '../../../agent/trust/ledger/owner.ts';
import { type BundleBody, readStatement } from '../../../agent/trust/ledger/statement.ts';
import { freePort } from '../host/help.ts';
import { sources } from '../report/fixture.ts';
import { now, ownerKey, type Router, router, until, well, x0ctl } from './help.ts';

/** A router that holds sessions over the loopback, and dials whoever is at `others`. */
async function talking(
  t: TestContext,
  port: number,
  others: readonly number[],
  allow?: readonly string[],
): Promise<Router> {
  const one = await router(t, undefined, {
    'peer.port': port,
    'peer.listen': ['127.0.0.1'],
    'peer.connect': others.map((other) => `[127.0.0.1]:${other}`),
    'peer.announce': false,
    'mesh.interface': 'x0-not-there',
    ...(allow && { 'trust.allow': allow }),
  });
  const { log, state, part, from, config } = one;
  const agent = {
    log,
    state,
    now,
    metrics: new Metrics(),
    machines: [],
    mesh: { view: () => ({ self: null }) },
    room: { monitor: { tables: null } },
    sources: from,
  } as unknown as Agent;
  let end = () => {};
  t.after(() => end());
  part.onLoaded((identity) => {
    void sessions(config, agent, identity, part).then((joined) => {
      Object.assign(from, joined.shows);
      end = () => joined.close?.();
    });
  });
  return one;
}

const standsWith = async (at: Router, node: string) =>
  until(() => at.from.peers?.view().some((one) => one.node === node) === true);
const wordOf = (text: string) => /^ {2}([a-z2-7]{72})$/m.exec(text)![1]!;
const saysOf = ({ journal }: Router) => journal.map(({ result, why }) => `${result}: ${why}`);

test('a mesh of another trust domain: all read status, and whom the policy lets invites and revokes', async (t) => {
  const [a, b, c] = [await freePort(), await freePort(), await freePort()];
  const rules = [
    'router/* read-status',
    'router/kitchen admit,revoke,tell-faults,change-configuration',
    'spiffe://example.org/router/desk revoke',
  ];
  const attic = await talking(t, a, [], rules);
  const [kitchen, shed] = [await talking(t, b, [a]), await talking(t, c, [a])];
  await well(attic, 'mesh', 'init', '--name', 'attic', '--domain', 'example.org', '--owner-key', ownerKey(attic));
  await well(kitchen, 'join', wordOf(await well(attic, 'invite', 'kitchen')));
  await standsWith(kitchen, 'attic');
  await standsWith(attic, 'kitchen');

  // The default policy of one, asked by the other, and the other way around.
  assert.equal(JSON.parse(await well(attic, 'peers', 'kitchen', 'status')).version, 1);
  assert.equal(JSON.parse(await well(kitchen, 'peers', 'attic', 'topology')).version, 1);

  const id = 'spiffe://example.org/router/kitchen';
  const text = await well(kitchen, 'peers', 'attic', 'invite', 'shed', '--minutes', '5');
  assert.match(text, /On the new router, until \d{4}-/);
  assert.equal(saysOf(attic).at(-1), `allowed ${id}: admit: the rule for router/kitchen allows it`);
  await well(shed, 'join', wordOf(text));
  await standsWith(shed, 'attic');
  const { until: ends } = JSON.parse(await well(kitchen, 'peers', 'attic', 'invite', '--json'));
  assert.ok(Math.abs(Date.parse(ends) - Date.now() - 3_600_000) < 60_000);

  const refused: readonly (readonly [at: Router, argv: readonly string[], status: number, says: RegExp])[] = [
    [shed, ['attic', 'invite', 'x'], 4, /policy of this router does not let \S+shed invite anybody/],
    [shed, ['attic', 'revoke', 'kitchen'], 4, /policy of this router does not let \S+shed revoke anybody/],
    [shed, ['attic', 'kick'], 4, /policy of this router does not let \S+shed tell it of faults/],
    [shed, ['attic', 'mode', 'off'], 4, /policy of this router does not let \S+shed change how it is set/],
    [attic, ['kitchen', 'mode', 'off'], 4, /policy of this router does not let \S+attic change how it is set/],
    [kitchen, ['attic', 'kick', 'x'], 2, /MAC: x is no MAC address/],
    [kitchen, ['attic', 'mode'], 2, /MODE: expected off, observe or act/],
    [kitchen, ['attic', 'mode', 'fly'], 4, /mode: expected off, observe or act/],
    [kitchen, ['attic', 'mode', 'fly', 'act'], 4, /fly is no class of faults/],
    [kitchen, ['attic', 'mode', 'link-lossy', 'act', 'now'], 2, /usage: x0ctl peers/],
    [attic, ['kitchen', 'revoke', 'shed'], 4, /policy of this router does not let \S+attic revoke anybody/],
    [kitchen, ['attic', 'invite', 'desk'], 4, /has a rule for that name/],
    [kitchen, ['attic', 'invite', 'shed'], 4, /another router is called shed/],
    [kitchen, ['attic', 'invite', '../x'], 4, /a name has at most 63/],
    [kitchen, ['attic', 'revoke', 'attic'], 4, /is a steward/],
    [kitchen, ['attic', 'revoke', 'nobody'], 4, /no router of this name/],
    [kitchen, ['attic', 'revoke'], 2, /WHO/],
    [kitchen, ['attic', 'status', 'x'], 2, /status takes no x/],
    [kitchen, ['attic', 'revoke', 'x', 'y'], 2, /revoke takes no y/],
    [kitchen, ['attic', 'status', '--minutes', '5'], 2, /only with invite/],
    [kitchen, ['attic', 'invite', 'x', '--minutes', '0'], 2, /minutes/],
    [kitchen, ['attic', 'fly'], 2, /status, topology, log, invite, revoke, kick or mode/],
  ];
  for (const [at, argv, status, says] of refused) {
    const answer = await x0ctl(at, 'peers', ...argv);
    assert.match(answer.err, says, argv.join(' '));
    assert.equal(answer.status, status, argv.join(' '));
  }
  const denied = 'not-allowed spiffe://example.org/router/shed: admit: no rule for router/* allows it';
  assert.ok(saysOf(attic).includes(denied));

  const asked: unknown[] = [];
  attic.from.ask = (event) => {
    asked.push(event);
    return [];
  };
  assert.match(await well(kitchen, 'peers', 'attic', 'mode', 'observe'), /^heal\.mode is observe/);
  assert.equal(saysOf(attic).at(-1), `allowed ${id}: change-configuration: the rule for router/kitchen allows it`);
  assert.match(await well(kitchen, 'peers', 'attic', 'mode', 'link-lossy', 'act'), /^link-lossy is act/);
  const kicked = await x0ctl(kitchen, 'peers', 'attic', 'kick', '02:00:00:00:01:0B');
  assert.deepEqual([kicked.status, kicked.out], [4, 'nothing was done: heal.mode is off\n']);
  assert.equal(saysOf(attic).at(-1), `allowed ${id}: tell-faults: the rule for router/kitchen allows it`);
  assert.deepEqual(asked, [
    { type: 'mode-asked', by: id, mode: 'observe' },
    { type: 'class-mode-asked', by: id, class: 'link-lossy', mode: 'act' },
    { type: 'kick-asked', by: id, lost: '02:00:00:00:01:0b' },
  ]);

  assert.match(await well(kitchen, 'peers', 'attic', 'revoke', 'shed'), /^shed is revoked/);
  assert.equal(saysOf(attic).at(-1), `revoked shed: ${id} asked for it`);
  await until(() => attic.from.peers!.view().every(({ node }) => node !== 'shed'));
});

test('a steward is revoked: whom it had let in comes back by another one, by itself, over real sessions', async (t) => {
  const [a, b, c] = [await freePort(), await freePort(), await freePort()];
  const attic = await talking(t, a, []);
  const roof = await talking(t, b, [a]);
  const owner = ownerKey(attic);
  await well(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', owner);
  await well(roof, 'join', wordOf(await well(attic, 'invite', 'roof')));
  await standsWith(attic, 'roof');
  await well(attic, 'mesh', 'steward', 'roof', '--owner-key', owner);
  await until(() => roof.from.trust!.view()!.isSteward);
  // In the order in which it asks: the one that lets it in, and the one that is left.
  const kitchen = await talking(t, c, [b, a]);
  await well(kitchen, 'join', wordOf(await well(roof, 'invite', 'kitchen')));
  const letInBy = (at: Router) => at.from.trust!.members().find(({ node }) => node === 'kitchen')?.by;
  const keyOf = (at: Router) => at.from.trust!.view()!.key;
  await until(() => letInBy(attic) === keyOf(roof));
  await well(attic, 'mesh', 'revoke', 'roof', '--owner-key', owner);
  const began = performance.now();
  await until(() => letInBy(attic) === keyOf(attic));
  await standsWith(attic, 'kitchen');
  assert.ok(performance.now() - began < 20_000, 'within moments');
  assert.equal(kitchen.from.trust!.view()!.state, 'member');
});

test('a mesh whose owner has changed the key, twice, lets routers in: what it tells them is long by then', async (t) => {
  const [a, b] = [await freePort(), await freePort()];
  const attic = await talking(t, a, []);
  const keys = ['owner', 'second', 'third'].map((name) => `${attic.directory}/${name}.key`);
  await well(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', keys[0]!);
  // Whom the owner has revoked is said anew by the new key.
  const { tools } = await trustTools();
  const root = readStatement(attic.from.trust!.items()[0]!.bytes)!.body;
  assert.equal(root.kind, 'bundle');
  const owner = openOwner(tools, readKeyFile(keys[0]!), 'x0tta6bl4.mesh', (root as BundleBody).roots[0]!);
  const whom = Array.from({ length: 90 }, (_, n) => ({ key: n.toString(16).padStart(64, '0'), node: `n${n}` }));
  attic.from.trust!.install(makeRevocations(owner, whom, Date.now()));
  await well(attic, 'mesh', 'rotate', '--owner-key', keys[0]!, '--new-key', keys[1]!);
  assert.equal(attic.from.trust!.items().filter(({ kind }) => kind === 'revocation').length, 180);
  await well(attic, 'mesh', 'rotate', '--owner-key', keys[1]!, '--new-key', keys[2]!);
  const shed = await talking(t, b, [a]);
  await well(shed, 'join', wordOf(await well(attic, 'invite', 'shed')));
  await standsWith(shed, 'attic');
});

test('orders are counted for each router, and what is no call is none', () => {
  let at = 0;
  const asked: string[] = [];
  const from = { ...sources(), now: () => at };
  const trust = {
    ...from.trust!,
    invite: (node: string) => {
      asked.push(node);
      return { text: 'a', id: 'b', untilMs: 0 };
    },
  };
  const policy = { permits: (id: string) => id !== 'c', isNamed: (node: string) => node === 'desk' };
  const obey = orders({ sources: { ...from, trust }, now: () => at }, policy);
  const refuses = (code: AgentError['code'], id: string, body: unknown) =>
    assert.throws(() => obey('invite', id, body), { code }, `${id} ${String(body)}`);
  for (const [code, body] of [
    ['E_PEER_PROTOCOL', null],
    ['E_PEER_PROTOCOL', { node: 'x' }],
    ['E_PEER_PROTOCOL', `{"node":"${'x'.repeat(1024)}"}`],
    ['E_USAGE', 'nonsense'],
    ['E_USAGE', '[]'],
    ['E_USAGE', 'null'],
    ['E_USAGE', '{"node":7}'],
    ['E_USAGE', '{"seconds":1}'],
    ['E_USAGE', '{"whom":"x"}'],
    ['E_FORBIDDEN', '{"node":"desk"}'],
  ] as const)
    refuses(code, 'd', body);
  refuses('E_FORBIDDEN', 'c', '{"node":"x"}');
  assert.deepEqual(asked, []);
  for (let i = 0; i < 30; i++) assert.equal(JSON.parse(obey('invite', 'a', `{"node":"n${i}"}`)).text, 'a');
  refuses('E_PEER_BUSY', 'a', '{"node":"x"}');
  obey('invite', 'b', '{}');
  at = 3600 * SECOND;
  obey('invite', 'a', '{}');
  assert.equal(asked.length, 32);
});

test('pages are told to who may read them, so many a second to each router and to all together', () => {
  let at = 0;
  const tell = questions({ sources: sources(), now: () => at }, (id) => id !== 'stranger');
  const told = (id: string) => {
    for (let count = 0; ; count += 1)
      try {
        assert.equal(JSON.parse(tell('status', id)).version, 1);
      } catch (thrown) {
        assert.equal((thrown as AgentError).code, 'E_PEER_BUSY');
        return count;
      }
  };
  for (let i = 0; i < 200; i++) assert.throws(() => tell('log', 'stranger'), { code: 'E_FORBIDDEN' });
  assert.deepEqual(['a', 'b', 'c', 'd', 'e', 'f'].map(told), [20, 20, 20, 20, 20, 0]);
  at = SECOND;
  assert.deepEqual(['a', 'b'].map(told), [2, 2]);
});
