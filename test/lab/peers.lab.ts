/**
 * Identities and sessions on real kernels: three routers in a line, one founds the mesh, two are let in over bat0 (the far
 * one through a router between), sessions stand between all, outlast a cut that another way goes around, and end within
 * seconds of a revocation. What is on the wires meanwhile, announcements too, shows nothing that can be read, and nothing
 * that the agents write or show holds a secret.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HeardFrames } from '../../tools/lab/eavesdrop.ts';
import { Helper } from '../../tools/lab/helper.ts';
import { Mesh, nsOf, run as program } from '../../tools/lab/mesh.ts';
import { type Agent, agentDir, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { secretsIn, whereFound } from './secrets.ts';
import { check, eventually, inKernels, insideOf, say, Watched } from './suite.ts';

export const name = 'peers';
/** Its rooms have unit tests for every day. */
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'a line of three' }]);

const KEY = 'the key of this mesh';
const OWNER_KEY = '/tmp/x0/owner.key';
/** From one router that knows of a revocation to the next, on one CPU that all of them share. */
const TOLD_WITHIN_MS = 10_000;

interface PeersAnswer {
  readonly peers: readonly { readonly id: string | null; readonly node: string | null; readonly hybrid: string }[];
}

const x0ctl = (agent: Agent, ...args: string[]): Promise<string> =>
  program(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args]);

const x0ctlReads = (agent: Agent, input: string, ...args: string[]): Promise<string> =>
  program(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args], `${input}\n`);

async function nodesOf(agent: Agent): Promise<string[]> {
  const { peers } = JSON.parse(await x0ctl(agent, 'peers', '--json')) as PeersAnswer;
  return peers.flatMap(({ node }) => node ?? []).sort();
}

const withSessions = (agent: Agent, wanted: readonly string[], ms: number) =>
  eventually(`r${agent.router} has sessions with ${wanted}`, ms, async () => {
    const found = await nodesOf(agent);
    return found.join() === wanted.join() ? true : undefined;
  });

async function rssOf(agent: Agent): Promise<number> {
  return (
    Number(/^process_resident_memory_bytes (\d+)$/m.exec(await new Watched(agent).metrics())?.[1] ?? Number.NaN) /
    2 ** 20
  );
}

async function line(): Promise<void> {
  const mesh = await Mesh.build({
    name: 'a ring of three',
    routers: 3,
    links: [
      [0, 1],
      [1, 2],
      [2, 0],
    ],
    medium: 'cable',
  });
  for (let n = 0; n < mesh.size; n++)
    await program('ip', ['netns', 'exec', nsOf(n), 'sysctl', '-qw', 'net.ipv6.conf.bat0.disable_ipv6=0']);
  // A line at first: the far one is let in through the one between.
  await mesh.cut(mesh.links[2]!);
  /** What the agents say, and when it was heard. */
  const said: { readonly router: number; readonly line: string; readonly at: number }[] = [];
  const options = {
    config: { log: { level: 'debug' }, mesh: { key: KEY } },
    onLine: (router: number, line: string) => void said.push({ router, line, at: performance.now() }),
  };
  const names = ['attic', 'hall', 'shed', 'spiffe', 'x0tta6bl4', 'router/', 'trust/', 'session/', 'admitted', KEY];
  const outside = 'a word in the clear, to be heard';
  const ear = new Helper('cable', 'eavesdrop.ts', {
    interfaces: mesh.links.map(({ a, ends }) => `c${a}.${ends[0]}`),
    words: [...names, outside],
  });
  await ear.ready;
  const invitations: string[] = [];
  const agents = await startAgents([0, 1, 2], options);
  const [attic, hall, shed] = agents as [Agent, Agent, Agent];

  await check('a router without an identity has no sessions, and loads nothing for them', async () => {
    const text = await x0ctl(attic, 'peers');
    if (!text.includes('no identity')) throw new Error(text);
  });
  const alone = await rssOf(hall);
  await check('one founds the mesh', () => x0ctl(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', OWNER_KEY));
  for (const [agent, node] of [
    [hall, 'hall'],
    [shed, 'shed'],
  ] as const)
    await check(`${node} is let in by an invitation, over bat0`, async () => {
      const began = performance.now();
      const invitation = JSON.parse(await x0ctl(attic, 'invite', node, '--json')) as { text: string };
      invitations.push(invitation.text);
      await x0ctl(agent, 'join', invitation.text);
      await eventually('it is a member', 60_000, async () =>
        (await x0ctl(agent, 'peers', '--json').catch(() => '')).includes('"id": "spiffe:') ? true : undefined,
      );
      return `${Math.round(performance.now() - began)} ms`;
    });
  await check('sessions stand between all', async () => {
    await withSessions(attic, ['hall', 'shed'], 60_000);
    await withSessions(hall, ['attic', 'shed'], 60_000);
    await withSessions(shed, ['attic', 'hall'], 60_000);
    return x0ctl(attic, 'peers');
  });
  say(
    `hall without an identity: ${alone.toFixed(1)} MiB; with it and two sessions: ${(await rssOf(hall)).toFixed(1)} MiB`,
  );
  await check('a router reads what another shows, if its policy lets it', async () => {
    const status = JSON.parse(await x0ctl(shed, 'peers', 'attic', 'status')) as { healing?: unknown };
    if (typeof status !== 'object') throw new Error('no status');
    for (const what of ['topology', 'log']) JSON.parse(await x0ctl(hall, 'peers', 'attic', what));
  });
  await check('a session outlasts a cut that another way goes around', async () => {
    await mesh.mend(mesh.links[2]!);
    await sleep(5000);
    const before = JSON.parse(await x0ctl(attic, 'peers', '--json')) as {
      peers: { node: string; sinceSeconds: number }[];
    };
    await mesh.cut(mesh.links[0]!);
    await sleep(8000);
    const after = JSON.parse(await x0ctl(attic, 'peers', '--json')) as typeof before;
    for (const { node, sinceSeconds } of before.peers) {
      const now = after.peers.find((one) => one.node === node);
      if (now === undefined || now.sinceSeconds < sinceSeconds) throw new Error(`the session with ${node} was lost`);
    }
    await mesh.mend(mesh.links[0]!);
  });
  await check('the wires of a whole mesh show nothing that can be read, announcements included', async () => {
    const talk = `const s = require('node:dgram').createSocket('udp6'); s.send(${JSON.stringify(outside)}, 9, 'ff02::1%bat0', () => process.exit())`;
    await program('ip', ['netns', 'exec', nsOf(0), process.execPath, '-e', talk]);
    await sleep(1000);
    const heard = await ear.ask<HeardFrames>('');
    assert.deepEqual(Object.keys(heard.found), [outside], 'only what was said in the clear');
    return `${heard.frames} frames, ${heard.bytes} bytes: ${heard.kinds.join(', ')}`;
  });
  await check('nothing that agents write or show holds a secret', async () => {
    const invited = JSON.parse(await x0ctl(attic, 'invite', 'loft', '--json')) as { text: string };
    // Errors too: what cannot be right, where secrets go. By standard input, or the words would be in what was asked.
    const errors: string[] = [];
    for (const text of [`${invited.text.slice(0, -1)}0`, ...invitations])
      await x0ctlReads(shed, text, 'join', '-').catch((thrown: Error) => errors.push(thrown.message));
    assert.equal(errors.length, 1 + invitations.length);
    const keyFiles = agents.flatMap(({ router }) => {
      const folder = join(agentDir(router), 'state');
      return readdirSync(folder).flatMap((name) => (name.endsWith('.key') ? [join(folder, name)] : []));
    });
    const perFile = [...keyFiles, OWNER_KEY].map((file) => ({ file, secrets: secretsIn(file) }));
    for (const { file, secrets } of perFile) {
      assert.ok(secrets.length > 0, `no secret in ${file}`);
      assert.deepEqual(whereFound(secrets, { file: readFileSync(file) }), ['file'], `${file} itself`);
    }
    const texts = [KEY, invited.text.slice(4), ...invitations.map((text) => text.slice(4))];
    const secrets = [...perFile.flatMap((one) => one.secrets), ...texts.map((text) => Buffer.from(text))];
    const among: Record<string, Uint8Array | string> = { errors: errors.join('\n') };
    for (const agent of agents) {
      const { router } = agent;
      among[`r${router} log`] = said.flatMap((one) => (one.router === router ? [one.line] : [])).join('\n');
      const watched = new Watched(agent);
      const show = async (name: string, args: readonly string[]): Promise<void> => {
        among[`r${router} ${name}`] = await x0ctl(agent, ...args);
      };
      among[`r${router} metrics`] = await watched.metrics();
      for (const name of ['status', 'peers', 'links', 'mesh members', 'heal log', 'workload', 'tunnels'])
        await show(name, [...name.split(' '), '--json']).catch((thrown: Error) => {
          among[`r${router} ${name}`] = thrown.message;
        });
      const folder = join(agentDir(router), 'state');
      for (const [name, args] of [
        ['diag', ['diag']],
        ['recording', ['record', 'export']],
      ] as const) {
        const file = `/tmp/x0/${name}-r${router}.gz`;
        await x0ctl(agent, ...args, file);
        among[`r${router} ${name}`] = readFileSync(file);
        rmSync(file);
      }
      for (const name of readdirSync(folder).filter((one) => one.startsWith('state.db')))
        among[`r${router} ${name}`] = readFileSync(join(folder, name));
    }
    assert.deepEqual(whereFound(secrets, among), []);
    const size = Object.values(among).reduce((sum, { length }) => sum + length, 0);
    return `${secrets.length} secrets, ${Object.keys(among).length} places, ${Math.round(size / 1024)} KiB`;
  });
  await check('who is revoked has no session any more, within seconds', async () => {
    const from = said.length;
    await x0ctl(attic, 'mesh', 'revoke', 'shed');
    const ended = (router: number): number | undefined =>
      said.slice(from).find((one) => one.router === router && /a session has ended.*router\/shed/.test(one.line))?.at;
    const [first, last] = await eventually('both have ended it', 60_000, async () => {
      const [here, there] = [ended(0), ended(1)];
      return here !== undefined && there !== undefined && ([here, there] as const);
    });
    await withSessions(attic, ['hall'], 10_000);
    await withSessions(hall, ['attic'], 10_000);
    const ms = Math.round(Math.abs(last - first));
    assert.ok(ms < TOLD_WITHIN_MS, `hall ended it ${ms} ms after attic`);
    return `hall ended it ${ms} ms after attic`;
  });
  await check('an agent that starts anew has its sessions back', async () => {
    await stopAgents([hall]);
    const [again] = (await startAgents([1], options)) as [Agent];
    agents[1] = again;
    await withSessions(again, ['attic'], 60_000);
  });
  await ear.end();
  await stopAgents(agents);
  await mesh.close();
}

await insideOf(import.meta.filename, { 'a line of three': line });
