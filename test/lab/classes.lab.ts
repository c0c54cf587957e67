/**
 * Faults of the catalogue that no event of the kernel tells of, made on the real kernel: each has to be named, by the
 * router that can see it, and nothing else beside it. Classes that are repaired only once they have earned it are told to
 * act for those that a person would otherwise have to mend.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh, nsOf, run as program } from '../../tools/lab/mesh.ts';
import { startAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, Watched } from './suite.ts';

export const name = 'classes of faults';
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'ring' }]);

/** Windows of 64 OGMs are full, and everybody is known for a minute. */
const SETTLED_MS = 75_000;

async function ring(): Promise<void> {
  const mesh = await Mesh.build('ring4', { origIntervalMs: 1000, hopPenalty: 30, settings: { gw_mode: 'off' } });
  await mesh.warm();
  await program('ip', ['netns', 'exec', nsOf(2), 'batctl', 'meshif', 'bat0', 'gw_mode', 'server']);
  await program('ip', ['netns', 'exec', nsOf(0), 'batctl', 'meshif', 'bat0', 'gw_mode', 'client']);
  for (const line of [
    'link add wan type veth peer name wanp',
    'link set wan up',
    'link set wanp up',
    'route add default dev wan',
  ])
    await program('ip', ['-n', nsOf(2), ...line.split(' ')]);
  const all = (await startAgents([0, 1, 2, 3])).map((agent) => new Watched(agent));
  const [r0, r1, r2] = all as [Watched, Watched, Watched];
  await sleep(SETTLED_MS);
  const ip = (router: number, line: string) => program('ip', ['-n', nsOf(router), ...line.split(' ')]);
  const act = (watched: Watched, kind: string) =>
    watched.control.ask('POST', '/heal/mode', { class: kind, mode: 'act' });
  const over = (watched: Watched, kind: string, ms: number) =>
    eventually(`${kind} is over`, ms, async () => {
      const { heal } = await watched.control.get<{ heal: { faults: { class: string }[] } }>('/mesh/status');
      return heal.faults.every((fault) => fault.class !== kind);
    });

  await check('a minute without a fault: no entry in any journal', async () => {
    for (const [n, one] of all.entries()) {
      const said = (await one.journal()).map((entry) => `${entry.class} ${entry.step}`);
      if (said.length > 0) throw new Error(`r${n}: ${said.slice(0, 5).join('; ')}`);
    }
  });

  await check('link-one-way: r1 hears r0, and is not heard', async () => {
    await act(r1, 'link-one-way');
    const [since0, since1] = [await r0.newest(), await r1.newest()];
    // What comes to r0 by its cable to r1 is lost at the far end of that.
    await program('tc', ['-n', 'cable', 'qdisc', 'add', 'dev', 'c0.to1', 'root', 'netem', 'loss', '100%']);
    const silent = await r0.entry({ class: 'link-silent', interface: 'to1' }, since0, 20_000);
    const seen = await r1.entry({ class: 'link-one-way', interface: 'to0' }, since1, 60_000);
    await program('tc', ['-n', 'cable', 'qdisc', 'del', 'dev', 'c0.to1', 'root']);
    await over(r1, 'link-one-way', 90_000);
    return `${silent.afterMs.toFixed(0)} ms; ${seen.step} ${seen.action}: ${seen.why}`;
  });
  await check('config-drift: a hop penalty set by hand is seen, and put back', async () => {
    await act(r0, 'config-drift');
    const since = await r0.newest();
    await mesh.batctl(0, { hop_penalty: '77' });
    const done = await r0.entry({ class: 'config-drift', action: 'restore', step: 'verified' }, since, 30_000);
    return `${done.afterMs.toFixed(0)} ms: ${done.result}`;
  });
  await check('config-drift: an MTU set by hand is seen, and put back', async () => {
    const since = await r0.newest();
    await ip(0, 'link set to1 mtu 1450');
    const done = await r0.entry({ class: 'config-drift', interface: 'to1', step: 'verified' }, since, 30_000);
    return `${done.afterMs.toFixed(0)} ms: ${done.result}`;
  });
  await check('mesh-misconfigured: bat0 set down is set up again', async () => {
    await act(r1, 'mesh-misconfigured');
    const since = await r1.newest();
    await ip(1, 'link set bat0 down');
    const done = await r1.entry({ class: 'mesh-misconfigured', step: 'verified' }, since, 30_000);
    return `${done.afterMs.toFixed(0)} ms: ${done.result}`;
  });
  await check('gateway-no-upstream: a gateway without a default route', async () => {
    const since = await r2.newest();
    await ip(2, 'route del default dev wan');
    const seen = await r2.entry({ class: 'gateway-no-upstream' }, since, 60_000);
    await ip(2, 'route add default dev wan');
    await over(r2, 'gateway-no-upstream', 60_000);
    return `${seen.afterMs.toFixed(0)} ms: ${seen.why}`;
  });
  await check('gateway-lost: the only gateway is no longer offered', async () => {
    const since = await r0.newest();
    await mesh.batctl(2, { gw_mode: 'off' });
    const seen = await r0.entry({ class: 'gateway-lost' }, since, 40_000);
    await mesh.batctl(2, { gw_mode: 'server' });
    await over(r0, 'gateway-lost', 40_000);
    return `${seen.afterMs.toFixed(0)} ms`;
  });
  await check('clock-stepped: the wall clock is set an hour forward', async () => {
    const since = await r2.newest();
    await program('date', ['-s', '+1 hour']);
    const seen = await r2.entry({ class: 'clock-stepped' }, since, 30_000);
    return seen.why;
  });
  await check('nothing is left changed or open', () =>
    eventually('no undo armed', 120_000, async () => {
      const states = await Promise.all(
        all.map((one) => one.control.get<{ heal: { undoArmed: string[]; repairs: unknown[] } }>('/mesh/status')),
      );
      return states.every(({ heal }) => heal.undoArmed.length + heal.repairs.length === 0);
    }),
  );
}

await insideOf(import.meta.filename, { ring });
