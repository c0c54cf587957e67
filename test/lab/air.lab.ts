/**
 * What identities gate on the air, on real kernels with XDP: three routers let in members only, so two of them join over
 * the wire itself, before anybody takes a batman-adv frame of theirs; keys rotate under a stream of alarms of which none is
 * lost; one is revoked, and within seconds its alarms are refused and its frames dropped; with new keys it comes back.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Of } from '../../agent/report/shape.ts';
import type * as shapes from '../../agent/report/shapes.ts';
import { Mesh, macOf, nsOf, run as program } from '../../tools/lab/mesh.ts';
import { type Agent, agentDir, startAgent, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, Watched } from './suite.ts';

export const name = 'air';
/** Its rooms have unit tests for every day. */
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'a ring of three' }]);

const FORGE = join(import.meta.dirname, 'forge.ts');
type Identity = NonNullable<Of<typeof shapes.identity>['identity']>;

const x0ctl = (agent: Agent, ...args: string[]): Promise<string> =>
  program(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args]);

async function ring(): Promise<void> {
  const mesh = await Mesh.build('ring3', { origIntervalMs: 500 });
  for (let n = 0; n < mesh.size; n++)
    for (const on of ['bat0', ...mesh.interfacesOf(n)])
      await program('ip', ['netns', 'exec', nsOf(n), 'sysctl', '-qw', `net.ipv6.conf.${on}.disable_ipv6=0`]);
  const options = {
    config: {
      mesh: { key: 'the key of this mesh' },
      bpf: { enabled: '1', admission: '1' },
      trust: { rotate: '60' },
      heal: { sender_budget: '600', kick_budget: '600' },
    },
    readyMs: 180_000,
  };
  const watched = (await startAgents([0, 1, 2], options)).map((agent) => new Watched(agent));
  const [attic, hall, shed] = watched as [Watched, Watched, Watched];
  const identity = async (of: Watched): Promise<Identity> =>
    (await of.control.get<Of<typeof shapes.identity>>('/mesh/identity')).identity!;
  const links = (of: Watched) => of.control.get<Of<typeof shapes.links>>('/mesh/links');
  const dropped = async (of: Watched) => (await of.control.get<Of<typeof shapes.xdp>>('/mesh/xdp')).totals;
  const neighboursOf = async (of: Watched) =>
    new Set((await links(of)).links.filter(({ lastSeenSeconds }) => lastSeenSeconds < 3).map(({ interface: on }) => on))
      .size;

  const letIn = async (one: Watched, node: string) => {
    const invitation = JSON.parse(await x0ctl(attic.agent, 'invite', node, '--json')) as { text: string };
    // Making keys keeps the agent from answering for seconds, on one busy CPU.
    await x0ctl(one.agent, 'join', invitation.text, '--seconds', '180').catch((thrown: Error) => {
      if (!thrown.message.includes('no answer')) throw thrown;
    });
    await eventually(`${node} has the key of the air`, 180_000, async () => {
      const { air } = (await identity(one).catch(() => null)) ?? {};
      return air !== undefined && air.epoch !== null;
    });
  };

  await check('the first router of a mesh takes nobody’s batman-adv frames, once it has a key', async () => {
    await x0ctl(attic.agent, 'mesh', 'init', '--name', 'attic', '--owner-key', '/tmp/x0/owner.key');
    await eventually('it has a key', 60_000, async () => (await identity(attic)).air.epoch !== null);
    await eventually('it drops', 60_000, async () => (await dropped(attic)).unadmitted! > 10);
  });
  for (const [one, node] of [
    [hall, 'hall'],
    [shed, 'shed'],
  ] as const)
    await check(`${node} is let in over the wire, with no frame of bat0’s`, async () => {
      const began = performance.now();
      await letIn(one, node);
      return `${Math.round(performance.now() - began)} ms`;
    });
  await check('all are admitted, by all', async () => {
    for (const one of watched)
      await eventually(`r${one.agent.router} hears both`, 120_000, async () => (await neighboursOf(one)) === 2);
    return (await x0ctl(hall.agent, 'status'))
      .split('\n')
      .filter((line) => line.includes('key of the air'))
      .join('');
  });

  await check('a rotation under a stream of alarms loses none', async () => {
    // Whoever is short of time on this one CPU may seem silent to another one, which tells of that as well.
    const counted = async () => ({
      sent: await Promise.all(watched.map((one) => one.metric('alarms_sent_total'))),
      heard: await Promise.all(watched.map((one) => one.metric('alarms_received_total'))),
    });
    const before = await counted();
    const epoch = (await identity(attic)).air.epoch!;
    // A kick is a dozen OGMs and as many relays of each: one CPU has to keep up with it.
    for (let i = 0; i < 60 && (i < 20 || (await identity(attic)).air.epoch! < epoch + 2); i++) {
      await attic.control.ask('POST', '/heal/kick', {}).catch(() => {});
      await sleep(2000);
    }
    await sleep(3000);
    const after = await counted();
    const rotated = (await identity(attic)).air.epoch! - epoch;
    const sent = after.sent.map((count, n) => count - before.sent[n]!);
    const heard = after.heard.map((count, n) => count - before.heard[n]!);
    const all = sent.reduce((sum, count) => sum + count, 0);
    const said = `${rotated} rotations, ${sent.join(', ')} alarms sent, ${heard.join(', ')} heard`;
    if (rotated < 1 || sent[0]! < 15 || heard.some((count, n) => count !== all - sent[n]!)) throw new Error(said);
    return said;
  });

  const stolen = '/tmp/x0/stolen.key';
  const [own, forged] = [macOf(2, 1), '02:00:00:00:66:66'];
  const [towards] = mesh.interfacesOf(2) as [string];
  const victim = mesh.links.find(({ a, b, ends }) => [a, b].includes(2) && ends.includes(towards))!;
  const near = [attic, hall, shed][victim.a === 2 ? victim.b : victim.a]!;
  const forge = (source: string) =>
    program('ip', ['netns', 'exec', nsOf(2), process.execPath, FORGE, stolen, towards, source, '5']);
  await check('whoever has the keys of a member is believed', async () => {
    cpSync(join(agentDir(2), 'state', 'air.key'), stolen);
    const before = await near.metric('alarms_received_total');
    await forge(forged);
    await eventually('the alarms count', 5000, async () => (await near.metric('alarms_received_total')) >= before + 5);
  });
  await check('revoked: within seconds its keys are worth nothing, and XDP drops what it sends', async () => {
    const began = performance.now();
    await x0ctl(attic.agent, 'mesh', 'revoke', 'shed');
    await eventually('its addresses are isolated', 10_000, async () => (await links(near)).isolated.length === 1);
    const isolatedMs = performance.now() - began;
    const first = (await dropped(near)).isolated!;
    await eventually('its frames are dropped', 10_000, async () => (await dropped(near)).isolated! > first);
    await sleep(Math.max(0, 7000 - (performance.now() - began)));
    const refused = await near.metric('alarms_refused_total', { reason: 'key' });
    await forge(forged);
    await eventually(
      'refused',
      5000,
      async () => (await near.metric('alarms_refused_total', { reason: 'key' })) >= refused + 5,
    );
    const [before, said] = [
      (await dropped(near)).isolated!,
      await near.metric('alarms_refused_total', { reason: 'key' }),
    ];
    await forge(own);
    await eventually('dropped', 5000, async () => (await dropped(near)).isolated! >= before + 5);
    if ((await near.metric('alarms_refused_total', { reason: 'key' })) !== said)
      throw new Error('what wears its own address came through');
    return `isolated after ${Math.round(isolatedMs)} ms; ${(await x0ctl(near.agent, 'links'))
      .split('\n')
      .filter((line) => line.startsWith('Isolated'))
      .join('')}`;
  });
  await check('the journal says why', async () => {
    const entries = await near.journal();
    const found = entries.find(({ result }) => result?.startsWith('isolated shed'));
    if (!found?.why.includes('shed was revoked')) throw new Error(JSON.stringify(entries.slice(-3)));
    return `${found.result}: ${found.why}`;
  });
  await check('the other two go on with another key', async () => {
    const [a, b] = [await identity(attic), await identity(hall)];
    if (a.air.epoch !== b.air.epoch || a.air.mixed || b.air.mixed) throw new Error(JSON.stringify([a.air, b.air]));
  });
  await check('with new keys and an invitation it comes back, over the wire, and is isolated no more', async () => {
    await stopAgents([shed.agent]);
    for (const file of ['identity.key', 'air.key']) rmSync(join(agentDir(2), 'state', file), { force: true });
    const again = new Watched(await startAgent(2, options));
    watched[2] = again;
    await letIn(again, 'shed2');
    for (const one of [attic, hall])
      await eventually('it is let in', 30_000, async () => (await links(one)).isolated.length === 0);
    for (const one of [attic, hall, again])
      await eventually(`r${one.agent.router} hears both`, 120_000, async () => (await neighboursOf(one)) === 2);
  });
  await stopAgents(watched.map(({ agent }) => agent));
  await mesh.close();
}

await insideOf(import.meta.filename, { 'a ring of three': ring });
