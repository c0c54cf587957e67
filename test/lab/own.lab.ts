/**
 * A mesh that the agent makes itself (mesh.own): its own primary interface comes first and gives the router an address
 * that stays, through restarts and lost interfaces; and a configuration that is broken elsewhere still makes the mesh.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { nsOf, run as program } from '../../tools/lab/mesh.ts';
import { type Agent, startAgent, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, Watched } from './suite.ts';

export const name = 'own';

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'two routers' }]);

const OWN = { mesh: { own: '1', hard_interface: ['e0', 'e1'] } } as const;
const START_MS = 15_000;

const ip = (line: string) => program('ip', line.split(' '));

async function primaryOf(router: number): Promise<string> {
  const answer = await program('ip', ['netns', 'exec', nsOf(router), 'batctl', 'meshif', 'bat0', 'mesh_json']);
  const { hard_ifname: name, hard_address: address } = JSON.parse(answer) as Record<string, string>;
  return `${name} ${address}`;
}

const complete = (router: number) =>
  eventually(`r${router} has its mesh`, START_MS, async () => {
    const links = await program('ip', ['-n', nsOf(router), '-o', 'link', 'show', 'master', 'bat0']).catch(() => '');
    return links.split('\n').filter((line) => line !== '').length === 3 ? primaryOf(router) : false;
  });

async function own(): Promise<void> {
  for (const router of [0, 1]) await ip(`netns add ${nsOf(router)}`);
  for (const cable of ['e0', 'e1'])
    await ip(`link add ${cable} netns ${nsOf(0)} type veth peer name ${cable} netns ${nsOf(1)}`);
  for (const router of [0, 1])
    for (const cable of ['lo', 'e0', 'e1']) await ip(`-n ${nsOf(router)} link set ${cable} up`);
  let agents: Agent[] = [];
  const names: string[] = [];
  for (const turn of ['first', 'second', 'third']) {
    agents = [await startAgent(0, { config: OWN }), await startAgent(1, { config: OWN })];
    await check(`${turn} start: primary0 is the primary interface`, async () => {
      for (const router of [0, 1]) {
        const primary = await complete(router);
        if (!primary.startsWith('primary0 ')) throw new Error(`r${router}: ${primary}`);
      }
      names.push(await primaryOf(0));
      return names.at(-1);
    });
    if (turn === 'third') break;
    await stopAgents(agents);
    for (const router of [0, 1])
      for (const made of ['bat0', 'primary0']) await ip(`-n ${nsOf(router)} link del ${made}`);
  }
  await check('the address is the same at each start', () => {
    if (new Set(names).size !== 1) throw new Error(names.join(', '));
  });
  await check('an interface that is lost leaves the address as it is', async () => {
    await ip(`-n ${nsOf(0)} link del e0`);
    await sleep(3000);
    const now = await primaryOf(0);
    if (now !== names[0]) throw new Error(`${names[0]}, then ${now}`);
  });
  await check('bat0 made anew has it too', async () => {
    await ip(`-n ${nsOf(0)} link del bat0`);
    const now = await eventually('bat0 is back', START_MS, () => primaryOf(0).catch(() => false as const));
    if (now !== names[0]) throw new Error(`${names[0]}, then ${now}`);
  });
  await stopAgents(agents);
  await ip(`-n ${nsOf(1)} link del bat0`);
  await check('a broken option of healing does not keep the router out of its mesh', async () => {
    const agent = await startAgent(1, { config: { ...OWN, heal: { kick_count: '99' } } });
    agents = [agent];
    await eventually('bat0 is there', START_MS, () => primaryOf(1).catch(() => false as const));
    const { heal } = await new Watched(agent).control.get<{ heal: { mode: string } }>('/mesh/status');
    if (heal.mode !== 'observe')
      throw new Error(`healing is ${heal.mode}, though the configuration is not to be trusted`);
  });
  await stopAgents(agents);
}

await insideOf(import.meta.filename, { 'two routers': own });
