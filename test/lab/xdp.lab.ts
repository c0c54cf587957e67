/**
 * The XDP programs where there is neither a JIT nor kernel BTF, as on some routers: the variant without timers loads, and
 * does on this kernel what test/unit/bpf shows on the host's; and an agent measures a live mesh with it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Of } from '../../agent/report/shape.ts';
import type * as shapes from '../../agent/report/shapes.ts';
import { Mesh } from '../../tools/lab/mesh.ts';
import { startAgent, startAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, say, Watched } from './suite.ts';

export const name = 'xdp without JIT and BTF';

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'xdp' }, { name: 'beacons' }]);

const SCENARIOS = join(import.meta.dirname, '../unit/bpf/scenarios.ts');

async function scenarios(): Promise<void> {
  const { stdout } = await promisify(execFile)('unshare', ['-n', process.execPath, SCENARIOS, 'no-timer'], {
    timeout: 60_000,
    env: { ...process.env, X0_TEST_SLOW: '3' },
  });
  for (const line of stdout.trim().split('\n')) {
    const { name: what, why } = JSON.parse(line) as { name: string; why: string | null };
    await check(what, () => {
      if (why !== null) throw new Error(why);
    });
  }
}

async function agent(): Promise<void> {
  const mesh = await Mesh.build('line3', { origIntervalMs: 200 });
  const watched = new Watched(await startAgent(1, { config: { bpf: { enabled: '1' } } }));
  await check('an agent picks the variant without timers, and counts its neighbours natively', async () => {
    const xdp = await eventually('both interfaces', 10_000, async () => {
      const found = await watched.control.get<Of<typeof shapes.xdp>>('/mesh/xdp');
      return found.interfaces.length >= 2 && found;
    });
    assert.deepEqual([xdp.variant, xdp.jit, xdp.level, xdp.why], ['no-timer', false, 'native', null]);
    const links = await eventually('OGMs of both neighbours', 10_000, async () => {
      const found = await watched.control.get<Of<typeof shapes.links>>('/mesh/links');
      return (
        found.links.length === 2 && found.links.every(({ incoming }) => (incoming?.received ?? 0) > 8) && found.links
      );
    });
    for (const { incoming } of links)
      assert.ok(incoming!.lossOnAir! <= 0.1, `${incoming!.lost} of ${incoming!.received} lost`);
    return links.map(({ interface: via, incoming }) => `${via} ${incoming!.received}`).join(', ');
  });
  await check('its figures stand in the metrics', async () => {
    const count = await watched.metric('mesh_xdp_interface', { level: 'native' });
    assert.ok(count >= 1);
  });
  say(`the mesh had ${mesh.links.length} links`);
}

/** Beacons beside the programs: their arrival is stamped there, and a neighbour's silence is theirs to tell. */
async function beacons(): Promise<void> {
  const mesh = await Mesh.build('ring4');
  await mesh.warm();
  const config = { bpf: { enabled: '1' }, beacon: { enabled: '1', profile: 'fast', rate: '6000' } };
  const [watched] = (await startAgents([0, 1, 2, 3], { config })).map((agent) => new Watched(agent));
  const beacon = async () => (await watched!.control.get<Of<typeof shapes.beacon>>('/mesh/beacon')).beacon;
  await check('beacons are stamped by XDP as they arrive', async () => {
    await eventually('both neighbours send beacons', 30_000, async () => (await beacon())?.neighbours.length === 2);
    const before = (await beacon())!;
    const after = await eventually('a hundred stamps', 30_000, async () => {
      const now = await beacon();
      return now !== null && now.stampedByXdp >= before.stampedByXdp + 100 && now;
    });
    const missed = after.stampedBySocket - before.stampedBySocket;
    assert.ok(missed <= 5, `${missed} of a hundred were not`);
    assert.ok((await watched!.metric('mesh_arrivals_stamped_total', { by: 'xdp' })) >= 100);
  });
  await check('a silent neighbour is found, and the program knows it as silent', async () => {
    const since = await watched!.newest();
    const cut = mesh.links.find(({ a, b }) => a + b === 1)!;
    await mesh.cutSilently(cut);
    const { fault, afterMs } = await watched!.entry({ class: 'link-silent', step: 'planned' }, since, 20_000);
    const { evidence } = await watched!.control.get<Of<typeof shapes.explanation>>(`/heal/explain/${fault}`);
    await eventually('silent in links', 5000, async () => {
      const { links } = await watched!.control.get<Of<typeof shapes.links>>('/mesh/links');
      return links.some(({ interface: via, incoming }) => via === cut.ends[0] && incoming?.silent === true);
    });
    return `${afterMs} ms; ${evidence.map(({ source, what }) => `${source}: ${what}`).join('; ')}`;
  });
}

async function xdp(): Promise<void> {
  await scenarios();
  await agent();
}

await insideOf(import.meta.filename, { xdp, beacons });
