/**
 * Identities and sessions on real kernels: three routers in a line, one founds the mesh, two are let in over bat0 (the far
 * one through a router between), sessions stand between all, outlast a cut that another way goes around, and end within
 * seconds of a revocation.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh, nsOf, run as program } from '../../tools/lab/mesh.ts';
import { type Agent, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, say, Watched } from './suite.ts';

export const name = 'peers';
/** Its rooms have unit tests for every day. */
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'a line of three' }]);

interface PeersAnswer {
  readonly peers: readonly { readonly id: string | null; readonly node: string | null; readonly hybrid: string }[];
}

const x0ctl = (agent: Agent, ...args: string[]): Promise<string> =>
  program(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args]);

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
  const options = { config: { mesh: { key: 'the key of this mesh' } } };
  const agents = await startAgents([0, 1, 2], options);
  const [attic, hall, shed] = agents as [Agent, Agent, Agent];

  await check('a router without an identity has no sessions, and loads nothing for them', async () => {
    const text = await x0ctl(attic, 'peers');
    if (!text.includes('no identity')) throw new Error(text);
  });
  const alone = await rssOf(hall);
  await check('one founds the mesh', () =>
    x0ctl(attic, 'mesh', 'init', '--name', 'attic', '--owner-key', '/tmp/x0/owner.key'),
  );
  for (const [agent, node] of [
    [hall, 'hall'],
    [shed, 'shed'],
  ] as const)
    await check(`${node} is let in by an invitation, over bat0`, async () => {
      const began = performance.now();
      const invitation = JSON.parse(await x0ctl(attic, 'invite', node, '--json')) as { text: string };
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
  await check('who is revoked has no session any more, within seconds', async () => {
    await x0ctl(attic, 'mesh', 'revoke', 'shed');
    const began = performance.now();
    await withSessions(attic, ['hall'], 10_000);
    await withSessions(hall, ['attic'], 10_000);
    return `${Math.round(performance.now() - began)} ms`;
  });
  await check('an agent that starts anew has its sessions back', async () => {
    await stopAgents([hall]);
    const [again] = (await startAgents([1], options)) as [Agent];
    agents[1] = again;
    await withSessions(again, ['attic'], 60_000);
  });
  await stopAgents(agents);
  await mesh.close();
}

await insideOf(import.meta.filename, { 'a line of three': line });
