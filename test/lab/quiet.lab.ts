/**
 * Ten minutes without a fault, agents on every router, in a grid and in a ring under BATMAN_V: no repair, no word of a
 * fault, no setting touched, no packet of the user's lost, and next to nothing written. X0_QUIET_MINUTES shortens it for
 * a quick look.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh, type MeshOptions, monotonicNs } from '../../tools/lab/mesh.ts';
import { outage } from '../../tools/lab/outage.ts';
import { agentDir, Probe, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, inKernels, insideOf, sameAs, say, snapshots, Watched } from './suite.ts';

export const name = 'ten quiet minutes';
export const first = true;

const minutes = process.env.X0_QUIET_MINUTES ?? '10';

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [
    { name: 'grid', args: [minutes] },
    { name: 'BATMAN_V', args: [minutes] },
  ]);

async function quiet(topology: string, options: MeshOptions, [time]: string[]): Promise<void> {
  const mesh = await Mesh.build(topology, options);
  await mesh.warm();
  const before = await snapshots(mesh);
  const all = Array.from({ length: mesh.size }, (_, n) => n);
  const agents = await startAgents(all);
  const watched = agents.map((agent) => new Watched(agent));
  const probe = await Probe.start(0, mesh.size - 1, { paceUs: 10_000 });
  // The start itself (a dozen runtimes on one CPU) is not what is watched.
  await sleep(5000);
  const start = monotonicNs();
  const total = Number(time);
  for (let minute = 1; minute <= total; minute++) {
    await sleep(60_000);
    if (minute % 2 === 0) say(`${minute} of ${total} minutes`);
  }
  const lost = outage(await probe.records(start), start);
  await probe.stop();
  await check(`no repair and no fault in ${total} minutes`, async () => {
    for (const [n, one] of watched.entries()) {
      const said = (await one.journal()).map(({ class: fault, peer, interface: on, step, action }) =>
        [fault, on, peer, step, action].filter((word) => word !== null).join(' '),
      );
      if (said.length > 0) throw new Error(`r${n}: ${said.length} entries: ${said.slice(0, 4).join('; ')}`);
    }
  });
  await check('no kick sent, no alarm sent, none refused', async () => {
    const none = [
      'kick_frames_total',
      'alarms_sent_total',
      'alarms_refused_total',
      'echoes_refused_total',
      'self_healing_events_total',
    ];
    for (const [n, one] of watched.entries()) {
      const said = (await one.metrics()).split('\n').filter((line) => none.some((name) => line.startsWith(name)));
      // A dozen runtimes share one CPU: an echo may come late, and nothing follows from it.
      const wrong = said.filter((line) => !line.endsWith(' 0') && !line.includes('"late-echo"'));
      if (wrong.length > 0) throw new Error(`r${n}: ${wrong.join('; ')}`);
    }
  });
  await check('nothing has changed in any router', () => sameAs(before, mesh));
  await check('no packet of the probe was missed for longer than a moment', () => {
    if (lost.runs > 0) throw new Error(`${lost.lost} lost in ${lost.runs} runs`);
    return `${lost.lost} lost`;
  });
  await stopAgents(agents);
  await check('the state on flash stays small', () => {
    const sizes = all.map((n) => {
      const dir = join(agentDir(n), 'state');
      return readdirSync(dir).reduce((sum, file) => sum + statSync(join(dir, file)).size, 0);
    });
    const most = Math.max(...sizes);
    if (most > 200 * 1024) throw new Error(`${most} bytes`);
    return `${most} bytes at most`;
  });
}

await insideOf(import.meta.filename, {
  grid: (args) => quiet('grid3x3', {}, args),
  BATMAN_V: (args) => quiet('ring4', { algorithm: 'BATMAN_V', bla: true }, args),
});
