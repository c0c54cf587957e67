/** Every batman-adv table that the agent reads agrees with batctl, on the same live kernel, for both routing algorithms. */
import { addressOf, run as command, Mesh, nsOf } from '../../tools/lab/mesh.ts';
import type { Report } from '../../tools/test.ts';
import { check, inKernels, insideOf, say } from './suite.ts';

export const name = 'netlink tables';

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [{ name: 'BATMAN_IV' }, { name: 'BATMAN_V' }]);

interface Agreement {
  readonly table: string;
  readonly ours: number;
  readonly agree: boolean;
}

async function inside(algorithm: 'BATMAN_IV' | 'BATMAN_V'): Promise<void> {
  // Bridge loop avoidance on, for claims and backbones; a gateway and an ARP entry, so that tables are not empty.
  const mesh = await Mesh.build('ring4', { algorithm, bla: true });
  await mesh.batctl(1, { gw_mode: 'server 20mbit/5mbit' });
  await mesh.batctl(0, { gw_mode: 'client' });
  say(`traffic flowed after ${Math.round(await mesh.warm(120_000))} ms`);
  // A question that ARP has to answer fills the distributed ARP table.
  await command('ip', ['-n', nsOf(0), 'neigh', 'del', addressOf(1), 'dev', 'bat0']);
  await mesh.reaches(0, 1, 3000);
  for (const router of [0, 1])
    await check(`r${router}: every table agrees with batctl`, async () => {
      const script = `${import.meta.dirname}/batctl-agreement.ts`;
      const text = await command('ip', ['netns', 'exec', nsOf(router), process.execPath, script]);
      const tables = text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Agreement);
      const wrong = tables.filter(({ agree }) => !agree);
      if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
      return tables.map(({ table, ours }) => `${table} ${ours}`).join(', ');
    });
}

await insideOf(import.meta.filename, { BATMAN_IV: () => inside('BATMAN_IV'), BATMAN_V: () => inside('BATMAN_V') });
