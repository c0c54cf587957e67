import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh, monotonicNs } from '../../tools/lab/mesh.ts';
import { Probe, startAgent, startAgents, strike } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { eventually, inKernels, insideOf, say, Watched } from './suite.ts';
export const name = 'bz';
export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'grid' }]);
const OPTIONS = { origIntervalMs: 1000, hopPenalty: 23, settings: { gw_mode: 'client', multicast_forceflood: '1' } };
const AGENTS = { config: { heal: { dead_after: 20 } } };
async function grid() {
  const mesh = await Mesh.build('grid3x3', OPTIONS);
  await mesh.warm();
  const all = Array.from({ length: mesh.size }, (_, n) => n);
  const watched = (await startAgents(all, AGENTS)).map((a) => new Watched(a));
  await sleep(8000);
  for (let i = 0; i < Number(process.env.BZ_RUNS ?? 6); i++) {
    const [src, dst] = (
      [
        [8, 2],
        [6, 2],
        [0, 6],
        [2, 0],
        [6, 8],
      ] as const
    )[i % 5]!;
    const probe = await Probe.start(src, dst);
    await sleep(1000);
    const hops = (await eventually('route', 30000, () => mesh.route(src, dst).catch(() => undefined))) as any;
    say(`run ${i}: r${src}-r${dst}: ${hops.map((h: any) => `${h.from}>${h.to}`).join(' ')}`);
    const fault = await strike(mesh, 'kill-router', hops, 0);
    const at = fault.struck.ns;
    const dead = hops[0].to;
    watched[dead]!.agent.kill('SIGKILL');
    await sleep(40_000);
    const records = await probe.records(at - 1e8);
    await probe.stop();
    let from = 0,
      n = 0;
    for (const { sent, received } of records) {
      const lost = received === 0 || received - sent > 1e9;
      if (lost) {
        if (n++ === 0) from = sent;
      } else {
        if (n > 0)
          say(
            `  LOST ${n} from ${((from - at) / 1e6).toFixed(0)} to ${((sent - at) / 1e6).toFixed(0)} ms (kernel ${(at / 1e9).toFixed(3)})`,
          );
        n = 0;
      }
    }
    if (n > 0) say(`  LOST ${n} to the end`);
    void monotonicNs;
    await fault.mend();
    watched[dead] = new Watched(await startAgent(dead, AGENTS));
    await sleep(62_000);
    await eventually('complete', 60_000, () => mesh.complete().catch(() => false)).catch(() => say('NOT COMPLETE'));
  }
}
await insideOf(import.meta.filename, { grid });
