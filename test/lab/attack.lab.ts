/**
 * Attacks on sessions, on a real kernel: a line of three, and the one in the middle has an agent of its own at most. He hears
 * every frame of the control plane from the first word of a joining on, relays connections, flips bits in them, ends TLS by a
 * certificate of his own, uses an invitation that he has stolen, and floods. What is held is that nothing is readable, that no
 * session comes about but with who it is meant to be with, and that routers that are meant go on.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Control } from '../../tools/lab/ask.ts';
import type { HeardFrames } from '../../tools/lab/eavesdrop.ts';
import { Helper } from '../../tools/lab/helper.ts';
import { Mesh, macOf, nsOf, run as program } from '../../tools/lab/mesh.ts';
import type { Part, Relayed, RelayOptions } from '../../tools/lab/relay.ts';
import { type Agent, agentDir, startAgent, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf } from './suite.ts';

export const name = 'attack';
/** Each attack has its unit test for every day. */
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'a man in the middle' }]);

const [ATTIC, MALLORY, ROOF] = [0, 1, 2] as const;
const PORT = 17447;
/** Where roof looks for attic, and where attic really is for who sits between. */
const SAID = '10.77.0.1';
const REAL = '10.78.0.1';
const KEY = `the key of this mesh ${randomBytes(6).toString('hex')}`;
/** A router's turn comes within a minute and a half, whatever has failed. */
const AGAIN_MS = 120_000;
const FLOODED_MS = 20_000;
const MOST_GROWTH_MIB = 16;

const ip = (line: string) => program('ip', line.split(' '));
const x0ctl = (agent: Agent, ...args: string[]): Promise<string> =>
  program(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args]);

interface PeersShown {
  readonly halfOpen: number;
  readonly peers: readonly { readonly node: string | null }[];
}

async function peersOf(agent: Agent): Promise<{ halfOpen: number; nodes: string[] }> {
  const { halfOpen, peers } = await new Control(agent.socket).get<PeersShown>('/peers');
  return { halfOpen, nodes: peers.flatMap(({ node }) => node ?? []) };
}

const together = (agent: Agent, node: string, ms: number) =>
  eventually(`r${agent.router} has a session with ${node}`, ms, async () =>
    (await peersOf(agent)).nodes.includes(node),
  );

async function apart(agent: Agent, ms: number): Promise<void> {
  await eventually(`r${agent.router} has no session`, ms, async () => (await peersOf(agent)).nodes.length === 0);
}

async function staysApart(agents: readonly Agent[], ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    for (const agent of agents) assert.deepEqual((await peersOf(agent)).nodes, [], `r${agent.router}`);
    await sleep(200);
  }
}

const rssOf = (agent: Agent): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))![1]) / 1024;

async function line(): Promise<void> {
  const mesh = await Mesh.build('line3');
  await mesh.warm();
  // Roof is lied to: who sits between has attic's address for it.
  await ip(`-n ${nsOf(ATTIC)} address add ${REAL}/24 dev bat0`);
  await ip(`-n ${nsOf(MALLORY)} address add 10.78.0.2/24 dev bat0`);
  await ip(`-n ${nsOf(MALLORY)} address add ${SAID}/32 dev bat0`);
  const lie = (router: number) =>
    ip(`-n ${nsOf(ROOF)} neigh replace ${SAID} lladdr ${macOf(router, 0xb0)} dev bat0 nud permanent`);
  await lie(MALLORY);

  const [cert, key] = ['/tmp/x0-mallory.crt', '/tmp/x0-mallory.key'] as const;
  await program('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
    ...['-keyout', key, '-out', cert, '-subj', '/O=x0tta6bl4.mesh/CN=attic'],
    ...['-addext', 'subjectAltName=URI:spiffe://x0tta6bl4.mesh/router/attic'],
  ]);
  const options: RelayOptions = { at: { host: SAID, port: PORT }, to: { host: REAL, port: PORT }, cert, key };
  const relay = new Helper(nsOf(MALLORY), 'relay.ts', options);
  await relay.ready;
  let was: Relayed | null = null;
  const becomes = async (part: Part): Promise<void> => {
    was = await relay.ask<Relayed>(part);
  };

  const common = { mesh: { key: KEY } };
  const config = {
    attic: { ...common, peer: { listen: [SAID, REAL], announce: '0' } },
    roof: { ...common, peer: { connect: [SAID], announce: '0' } },
  };
  const attic = await startAgent(ATTIC, { config: config.attic });
  let roof = await startAgent(ROOF, { config: config.roof });

  await x0ctl(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', '/tmp/x0/owner.key');
  const invitation = JSON.parse(await x0ctl(attic, 'invite', 'roof', '--json')) as { text: string };
  const atticKey = readFileSync(join(agentDir(ATTIC), 'state', 'identity.key'));
  const words = [
    ...['spiffe', 'x0tta6bl4', 'attic', 'roof', 'router/', 'BEGIN', '"version"', 'uptimeSeconds', 'EXPORTER', 'suite'],
    ...[invitation.text, invitation.text.slice(4, 24), KEY, 'trust/', 'session/', 'node/', 'admitted'],
    // Of a key file the second half is secrets.
    `base64:${atticKey.subarray(-48, -16).toString('base64')}`,
  ];
  const outside = 'a word in the clear, to be heard';
  const ear = new Helper('cable', 'eavesdrop.ts', {
    interfaces: mesh.links.map(({ a, ends }) => `c${a}.${ends[0]}`),
    words: [...words, outside],
  });
  await ear.ready;

  await check('over a relay that hands all on a router is let in, and has its session', async () => {
    const began = performance.now();
    await x0ctl(roof, 'join', invitation.text);
    await together(roof, 'attic', 60_000);
    await together(attic, 'roof', 60_000);
    return `${Math.round(performance.now() - began)} ms`;
  });

  await check('the whole control plane, from the joining on, shows nothing that can be read', async () => {
    for (const what of ['status', 'topology', 'log']) {
      const page = await x0ctl(roof, 'peers', 'attic', what);
      assert.ok(page.includes(what === 'log' ? 'admitted' : '"version"'), page.slice(0, 200));
    }
    // A certificate that is shown in a session, and a revocation that is told.
    await x0ctl(attic, 'mesh', 'revoke', '0'.repeat(64));
    await sleep(3000);
    const talk = `require('node:dgram').createSocket('udp4').send(${JSON.stringify(outside)}, 9, '${REAL}', () => process.exit())`;
    await program('ip', ['netns', 'exec', nsOf(MALLORY), process.execPath, '-e', talk]);
    await sleep(500);
    const heard = await ear.ask<HeardFrames>('');
    assert.deepEqual(Object.keys(heard.found), [outside], 'only what was said in the clear');
    assert.ok(heard.bytes > 100_000, `${heard.bytes} bytes`);
    return `${heard.frames} frames, ${heard.bytes} bytes: ${heard.kinds.join(', ')}`;
  });

  await check('a stolen invitation lets nobody in a second time', async () => {
    const thief = await startAgent(MALLORY, {
      config: { ...common, peer: { connect: [REAL], announce: '0' } },
    });
    try {
      const answer = await x0ctl(thief, 'join', invitation.text).catch((thrown: Error) => thrown.message);
      assert.match(answer, /not yet in: used/);
      const own = await new Control(thief.socket).get<{ identity: { id: string | null } }>('/mesh/identity');
      assert.equal(own.identity.id, null);
      const members = await x0ctl(attic, 'mesh', 'members', '--json');
      const nodes = (JSON.parse(members) as { members: { node: string }[] }).members.map(({ node }) => node).sort();
      assert.deepEqual(nodes, ['attic', 'roof']);
      return /not yet in: .*/.exec(answer)![0];
    } finally {
      await stopAgents([thief]);
    }
  });

  await check('flipped bits end the session, and no other comes about while they are flipped', async () => {
    await becomes('flip');
    assert.ok(was!.connections > 0 && was!.bytes > 20_000, 'the session went through him');
    await apart(roof, 40_000);
    await apart(attic, 40_000);
    await staysApart([attic, roof], 15_000);
    await becomes('own');
    assert.ok(was!.flipped > 0 && was!.connections > 0, JSON.stringify(was));
    return `${was!.connections} connections, ${was!.flipped} bits`;
  });

  await check('who ends TLS by a certificate of his own has no session with either, and reads nothing', async () => {
    const lines = roof.log().length;
    await staysApart([attic, roof], 30_000);
    await eventually('he was tried', AGAIN_MS, async () => roof.log().slice(lines).includes('not believed'));
    await staysApart([attic, roof], 2000);
    await becomes('pass');
    const { connections, handshakes, read } = was!;
    assert.ok(connections > 0 && handshakes > 0, JSON.stringify(was));
    const seen = Buffer.from(read, 'base64').toString('latin1');
    for (const word of words.slice(0, 6)) assert.ok(!seen.includes(word), word);
    assert.ok(seen.length < 200, `${seen.length} bytes: a signature was sent to him`);
    return `${connections} connections, ${handshakes} TLS handshakes, ${seen.length} bytes inside`;
  });

  await check('the session is back once he lets them', async () => {
    await together(roof, 'attic', AGAIN_MS);
    await together(attic, 'roof', 5000);
  });

  await check('a flood of half-open connections: sessions stand, new ones come about, memory is bounded', async () => {
    await stopAgents([roof]);
    await lie(ATTIC);
    const from = Array.from({ length: 200 }, (_, n) => `10.78.0.${n + 20}`);
    writeFileSync('/tmp/x0-addresses', from.map((one) => `address add ${one}/24 dev bat0\n`).join(''));
    await ip(`-n ${nsOf(MALLORY)} -batch /tmp/x0-addresses`);
    const before = rssOf(attic);
    const flood = new Helper(nsOf(MALLORY), 'flood.ts', { to: { host: REAL, port: PORT }, from, perSecond: 200 });
    await flood.ready;
    let [most, halfOpen] = [0, 0];
    const watch = async (): Promise<void> => {
      halfOpen = Math.max(halfOpen, (await peersOf(attic)).halfOpen);
      most = Math.max(most, rssOf(attic));
    };
    await eventually('the flood has come', 60_000, async () => {
      await watch();
      return halfOpen >= 30;
    });
    const began = performance.now();
    roof = await startAgent(ROOF, { config: config.roof });
    await together(attic, 'roof', 60_000);
    const took = Math.round(performance.now() - began);
    const until = performance.now() + FLOODED_MS;
    while (performance.now() < until) {
      await watch();
      assert.deepEqual((await peersOf(attic)).nodes, ['roof']);
      await x0ctl(roof, 'peers', 'attic', 'status');
    }
    const { begun } = JSON.parse(await flood.end()) as { begun: number };
    assert.ok(begun > 1000, `${begun} connections`);
    assert.ok(halfOpen <= 80, `${halfOpen} half-open`);
    assert.ok(most - before < MOST_GROWTH_MIB, `from ${before} to ${most} MiB`);
    return `${begun} connections, at most ${halfOpen} half-open; ${before.toFixed(1)} MiB before, at most ${most.toFixed(1)}; a router that starts: ${took} ms`;
  });

  await ear.end();
  await relay.end();
  await stopAgents([attic, roof]);
  await mesh.close();
}

await insideOf(import.meta.filename, { 'a man in the middle': line });
