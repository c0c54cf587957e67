/**
 * An agent killed in the middle of a repair (SIGKILL, at several moments; SIGTERM) leaves a whole mesh: its interface
 * under bat0, aggregation on. And one that starts again is believed again: its boot epoch has grown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Hop, Mesh, monotonicNs } from '../../tools/lab/mesh.ts';
import { startAgent, startAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, sameAs, say, snapshot, snapshots, Watched } from './suite.ts';

export const name = 'undo';

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'ring' }]);

/** When the agent dies: as soon as this is armed for undoing, then so many milliseconds later. */
const MOMENTS: readonly { armed: readonly string[]; afterMs: number; signal: 'SIGKILL' | 'SIGTERM' }[] = [
  { armed: ['loan-aggregatedOgms'], afterMs: 0, signal: 'SIGKILL' },
  { armed: ['detach'], afterMs: 0, signal: 'SIGKILL' },
  { armed: ['loan-aggregatedOgms', 'detach'], afterMs: 30, signal: 'SIGKILL' },
  { armed: ['detach'], afterMs: 1500, signal: 'SIGKILL' },
  { armed: ['loan-aggregatedOgms', 'detach'], afterMs: 10, signal: 'SIGTERM' },
  { armed: ['detach'], afterMs: 2000, signal: 'SIGTERM' },
];

interface Status {
  readonly heal: { readonly undoArmed: readonly string[] };
}

async function ring(): Promise<void> {
  const mesh = await Mesh.build('ring4', {});
  await mesh.warm();
  const watched = (await startAgents([0, 1, 2, 3])).map((agent) => new Watched(agent));
  await sleep(8000);
  const before = await snapshots(mesh);
  const epochs: string[] = [];
  for (const [turn, { armed, afterMs, signal }] of MOMENTS.entries()) {
    // Each moment has another link, so that none is damped as flapping.
    const hop = await oneIn(mesh, turn);
    const victim = watched[hop.from]!;
    const end = hop.link.a === hop.from ? hop.link.ends[0] : hop.link.ends[1];
    const title = `${signal} ${afterMs} ms after ${armed.join(' and ')} was armed`;
    say(`${title}: r${hop.from} loses ${end}`);
    await victim.control.get<Status>('/mesh/status');
    const started = epochs.length;
    const struck = await mesh.cut(hop.link);
    let seen: readonly string[] = [];
    try {
      seen = await eventually('the repair is under way', 2000, async () => {
        const now = (await victim.control.get<Status>('/mesh/status')).heal.undoArmed;
        return armed.every((id) => now.some((one) => one.startsWith(id))) ? now : false;
      });
    } catch (thrown) {
      await check(title, () => {
        throw thrown;
      });
    }
    await sleep(afterMs);
    victim.agent.kill(signal);
    const code = await victim.agent.exited;
    const diedMs = (monotonicNs() - struck.ns) / 1e6;
    await check(`${title}: the mesh is whole at once`, async () => {
      const put = await eventually(`${end} under bat0 and aggregation on`, 3000, async () => {
        const { interfaces, settings } = await snapshot(hop.from);
        return interfaces[end]?.master === 'bat0' && settings.aggregated_ogms_enabled === true;
      });
      return put ? `died ${diedMs.toFixed(0)} ms after the cut with ${seen.join(', ')} armed; exit ${code}` : '';
    });
    if (signal === 'SIGTERM')
      await check(`${title}: it ended as asked`, () => {
        if (code !== 0) throw new Error(`exit ${code}`);
      });
    await mesh.mend(hop.link);
    await check(`${title}: and stays so when the cable is back`, () => sameAs(before, mesh, 45_000));
    watched[hop.from] = new Watched(await startAgent(hop.from));
    epochs.push(
      /epoch=(\d+)/g.exec(
        watched[hop.from]!.agent.log()
          .split('\n')
          .findLast((l) => l.includes('epoch='))!,
      )![1]!,
    );
    if (started === 0) await believed(mesh, watched, hop.from);
    await eventually('the mesh is complete', 60_000, () => mesh.complete());
    await sleep(4000);
  }
}

/** A hop of the ring; the turns go round, and take both directions. */
async function oneIn(mesh: Mesh, turn: number): Promise<Hop> {
  const link = mesh.links[turn % mesh.links.length]!;
  return turn % 2 === 0 ? { link, from: link.a, to: link.b } : { link, from: link.b, to: link.a };
}

/** After its restart a router's alarms are taken by the others, and theirs by it. */
async function believed(mesh: Mesh, watched: readonly Watched[], router: number): Promise<void> {
  // Its own OGM has to have been on the wire once before it can kick.
  await sleep(5000);
  await check('after a restart: the epoch has grown', () => {
    const epochs = [...watched[router]!.agent.log().matchAll(/ready .*epoch=(\d+)/g)].map(([, epoch]) => Number(epoch));
    if (epochs.length < 2 || epochs.at(-1)! <= epochs.at(-2)!) throw new Error(epochs.join(', '));
    return epochs.join(' then ');
  });
  const neighbour = mesh.links.flatMap(({ a, b }) => (a === router ? [b] : b === router ? [a] : []))[0]!;
  for (const [from, to] of [
    [router, neighbour],
    [neighbour, router],
  ] as const)
    await check(
      `after a restart: ${from === router ? 'the others believe it' : 'it believes the others'}`,
      async () => {
        const since = await watched[to]!.newest();
        const replays = await watched[to]!.metric('alarms_refused_total', { reason: 'replay' });
        await watched[from]!.control.post('/heal/kick', {});
        await watched[to]!.entry({ class: 'remote-alarm', peer: `02:00:00:00:0${from}:00` }, since, 3000);
        const more = (await watched[to]!.metric('alarms_refused_total', { reason: 'replay' })) - replays;
        if (more > 0) throw new Error(`${more} alarms refused as replays`);
      },
    );
}

await insideOf(import.meta.filename, { ring });
