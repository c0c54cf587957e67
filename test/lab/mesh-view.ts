/**
 * Holds what agent/mesh makes of batman-adv's tables against the truth of the lab, whose MAC addresses say whose they are:
 *
 *     node tools/lab/shell.ts --topology ring4 -- test/lab/mesh-view.ts
 *
 * One JSON line a router: { router, owners, wrong, unknown, nodes, strangers, missing, qualities }. Exits 1 where a
 * neighbour was given to the wrong router, or a router is missing.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Tables } from '../../agent/core/event.ts';
import { NO_SETTINGS } from '../../agent/heal/surroundings.ts';
import { Mesh as MeshMachine } from '../../agent/mesh/mesh.ts';
import { Mesh, macOf, monotonicNs, nsOf, run } from '../../tools/lab/mesh.ts';

const READINGS = 15;

interface Row {
  readonly hard_ifindex: number;
  readonly hard_ifname: string;
  readonly hard_address: string;
  readonly orig_address: string;
  readonly neigh_address: string;
  readonly last_seen_msecs: number;
  readonly best?: boolean;
  readonly tq?: number;
  readonly throughput?: number;
}

const mesh = Mesh.attach();
const isV = mesh.options.algorithm === 'BATMAN_V';

async function read(router: number): Promise<Tables> {
  const json = async (table: string) =>
    JSON.parse(await run('ip', ['netns', 'exec', nsOf(router), 'batctl', 'meshif', 'bat0', table])) as Row[];
  const figures = ({ tq, throughput }: Row) => ({
    ...(tq !== undefined && { tq }),
    ...(throughput !== undefined && { throughput }),
  });
  const common = (row: Row) => ({
    neighbour: row.neigh_address,
    interface: row.hard_ifindex,
    interfaceName: row.hard_ifname,
    lastSeenMs: row.last_seen_msecs,
    ...figures(row),
  });
  const [originators, neighbours, hardifs] = [
    await json('originators_json'),
    await json('neighbors_json'),
    await json('hardifs_json'),
  ];
  return {
    mesh: {
      index: 1,
      name: 'bat0',
      mac: '02:00:00:00:00:00',
      version: '',
      algorithm: isV ? 'BATMAN_V' : 'BATMAN_IV',
      primary: { index: 1, name: 'primary0', mac: macOf(router, 0) },
      settings: {
        hopPenalty: mesh.options.hopPenalty ?? 30,
        origInterval: mesh.options.origIntervalMs ?? 1000,
      } as never,
    },
    hardInterfaces: hardifs.map((row) => ({
      index: row.hard_ifindex,
      name: row.hard_ifname,
      mac: row.hard_address,
      active: true,
    })),
    originators: originators.map((row) => ({ ...common(row), originator: row.orig_address, best: row.best === true })),
    neighbours: neighbours.map(common),
    gateways: [],
  };
}

const machines = Array.from({ length: mesh.size }, () => new MeshMachine());
for (const machine of machines) machine.on({ type: 'settings', settings: NO_SETTINGS }, 0);
for (let n = 0; n < READINGS; n++) {
  for (const [router, machine] of machines.entries())
    machine.on({ type: 'tables', tables: await read(router) }, monotonicNs());
  await pause(1000);
}

let good = true;
for (const [router, machine] of machines.entries()) {
  const { links, nodes } = machine.view();
  const owner = (neighbour: string) => `${neighbour.slice(0, -2)}00`;
  const others = Array.from({ length: mesh.size }, (_, n) => macOf(n, 0)).filter((_, n) => n !== router);
  const heard = nodes
    .filter(({ state }) => state === 'joined' || state === 'registered')
    .map(({ originator }) => originator);
  const wrong = links.filter(({ neighbour, originator }) => originator !== null && originator !== owner(neighbour));
  const missing = others.filter((other) => !heard.includes(other));
  good &&= wrong.length === 0 && missing.length === 0;
  const report = {
    router,
    owners: links.length,
    wrong: wrong.map(({ neighbour, originator }) => [neighbour, originator]),
    unknown: links.filter(({ originator }) => originator === null).length,
    nodes: heard.length,
    strangers: heard.filter((originator) => !others.includes(originator)),
    missing,
    qualities: links.map(({ quality, tq, throughput }) => `${quality} ${tq ?? throughput}`),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
process.exit(good ? 0 : 1);
