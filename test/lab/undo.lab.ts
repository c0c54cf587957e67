/**
 * An agent killed in the middle of a repair (SIGKILL, at several moments; SIGTERM) leaves a whole mesh: its interface
 * under bat0, aggregation on. And one that starts again is believed again: its boot epoch has grown. What breaks after it
 * is gone costs no more than without it: its kernel has caught up with the numbers that its kick was ahead. One that is
 * stopped (SIGSTOP) there keeps nothing either, and goes on when it may.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CHORDED_RING, type Hop, Mesh, monotonicNs } from '../../tools/lab/mesh.ts';
import { outage } from '../../tools/lab/outage.ts';
import { Probe, startAgent, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Snapshot } from '../../tools/lab/snapshot.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, sameAs, say, snapshot, snapshots, Watched } from './suite.ts';

export const name = 'undo';

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [{ name: 'ring' }, { name: 'second cut' }]);

/**
 * When the agent dies: as soon as this is armed for undoing, then so many milliseconds later. The others only observe: nobody
 * answers it or kicks, so that it goes on to the strongest repair.
 */
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
    await onlyActs(watched, hop.from);
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
    if (started === 0) {
      await onlyActs(watched, null);
      await believed(mesh, watched, hop.from);
    }
    await eventually('the mesh is complete', 60_000, () => mesh.complete());
    await sleep(4000);
  }
  await stopped(mesh, watched, before);
}

/** In the middle of a repair, for longer than its undo helper watches that. */
async function stopped(mesh: Mesh, watched: readonly Watched[], before: readonly Snapshot[]): Promise<void> {
  const { link, from } = await oneIn(mesh, MOMENTS.length);
  const end = link.a === from ? link.ends[0] : link.ends[1];
  const { agent, control } = watched[from]!;
  await onlyActs(watched, from);
  await mesh.cut(link);
  await eventually('the repair is under way', 2000, async () => {
    const { undoArmed } = (await control.get<Status>('/mesh/status')).heal;
    return ['loan-aggregatedOgms', 'detach'].every((id) => undoArmed.some((one) => one.startsWith(id)));
  });
  agent.kill('SIGSTOP');
  await check('SIGSTOP: what it had lent and taken out goes back without it', async () => {
    const isBack = async () => {
      const { interfaces, settings } = await snapshot(from);
      return (
        interfaces[end]?.master === 'bat0' &&
        settings.aggregated_ogms_enabled === true &&
        settings.orig_interval === before[from]!.settings.orig_interval
      );
    };
    await sleep(1000);
    if (await isBack()) throw new Error('it was back after a second: nothing was in flight');
    await eventually(`${end} under bat0, aggregation and OGM interval as before`, 12_000, isBack);
  });
  agent.kill('SIGCONT');
  await sleep(2000);
  await mesh.mend(link);
  await check('SIGCONT: it goes on, and all is as before when the cable is back', async () => {
    await sameAs(before, mesh, 90_000);
    await eventually('nothing is armed', 15_000, async () => {
      const { heal } = await control.get<Status>('/mesh/status');
      return heal.undoArmed.length === 0;
    });
    await sameAs(before, mesh);
  });
}

/** The others observe; null: nobody only observes. */
async function onlyActs(watched: readonly Watched[], router: number | null): Promise<void> {
  for (const [n, { control }] of watched.entries())
    await control.post('/heal/mode', { mode: router === null || n === router ? 'act' : 'observe' });
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

/** Stock takes up to 5.2 s for it (measured), and what follows a fresh restart a second more. */
const STOCK_MS = 6500;
/** Its kernel has caught up by then: 48 numbers, 50 ms each, after an interval of a second. */
const CAUGHT_UP_MS = 5000;

/** r3 reaches r1 by r4; the chord and a side are cut one after the other, and r2 is left. */
async function secondCut(): Promise<void> {
  const mesh = await Mesh.build(CHORDED_RING, {});
  const link = (a: number, b: number) => mesh.links.find((one) => one.a === a && one.b === b)!;
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await mesh.warm();
    const agents = await startAgents([0, 1, 2, 3, 4]);
    await sleep(12_000);
    const probe = await Probe.start(3, 1);
    await sleep(1500);
    await mesh.cut(link(1, 4));
    await sleep(500);
    const ended = signal === 'SIGKILL' ? agents.slice(1, 2) : agents;
    for (const agent of ended) agent.kill(signal);
    await Promise.all(ended.map(({ exited }) => exited));
    await sleep(CAUGHT_UP_MS);
    const second = await mesh.cut(link(1, 2));
    await sleep(12_000);
    await check(`${signal} half a second after a cut: the next cut costs no more than without an agent`, async () => {
      const { outageMs } = outage(await probe.records(second.ns - 1e9), second.ns);
      if (!(outageMs < STOCK_MS)) throw new Error(`${outageMs.toFixed(0)} ms`);
      return `${outageMs.toFixed(0)} ms`;
    });
    await probe.stop();
    await stopAgents(agents);
    await mesh.mend(link(1, 4));
    await mesh.mend(link(1, 2));
  }
}

await insideOf(import.meta.filename, { ring, 'second cut': secondCut });
