/**
 * `--kernel netns`: this machine's own kernel, which has no batman-adv. One agent runs in a network namespace with veth
 * ports, links and carriers are real, and batman-adv's tables come from a stand-in (tools/bench/standin.ts). So there is
 * no mesh that could carry a probe: what can be shown is that the agent finds a lost carrier, how soon, and that it does
 * nothing else. Needs root.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import type { Problem } from '../../agent/twin/fields.ts';
import type { Scenario } from '../../agent/twin/scenario.ts';
import { prepare, Rig, stop } from '../bench/rig.ts';
import { Control } from './ask.ts';
import type { JournalRow, Played, PlayedFault } from './played.ts';

const EXPECTED = new Set(['found', 'no-actions', 'no-false-actions', 'agents-alive']);

/** The stand-in's router is r0, the middle of a star, and its ports lead to the others. */
export function unplayableStandin(scenario: Scenario, agent: 'on' | 'off' | 'both'): Problem[] {
  const found: Problem[] = [];
  const say = (path: string, what: string) =>
    found.push({
      code: 'E_SCENARIO_VALUE',
      path,
      message: `--kernel netns has no batman-adv: ${what}; use --kernel uml`,
    });
  const { topology, timeline, probes, expect, links, nodes, link } = scenario;
  if (agent !== 'on') say('$', 'it plays with --agent on only');
  if (topology.kind !== 'star' || topology.medium !== 'cable' || scenario.graph.nodes.length > 10)
    say('$.topology', 'it plays one router with its ports, which is a star of at most ten nodes over cables');
  if (probes.length > 0) say('$.probes', 'nothing carries a probe');
  if (links.length > 0 || Object.keys(link).length > 0) say('$.link', 'nothing passes through links');
  if (Object.keys(nodes).length > 0) say('$.nodes', 'there is only r0');
  if (Object.keys(scenario.agent.config).length > 0) say('$.agent.config', 'the agent has its defaults');
  if (Object.keys(scenario.agent.modes).length > 0) say('$.agent.modes', 'the agent has its defaults');
  for (const [i, { fault }] of timeline.entries())
    if (fault !== 'carrier-loss') say(`$.timeline[${i}].fault`, 'it can make carrier-loss only');
  for (const [i, expectation] of expect.entries())
    if (!EXPECTED.has(expectation.expect))
      say(`$.expect[${i}].expect`, `it can tell of ${[...EXPECTED].join(', ')} only`);
  if (found.length === 0 && process.getuid?.() !== 0)
    found.push({ code: 'E_SCENARIO_VALUE', path: '$', message: '--kernel netns needs root' });
  return found;
}

export async function playStandin(
  scenario: Scenario,
  onSay: (text: string) => void,
  signal: AbortSignal,
): Promise<Played> {
  const { graph, timeline, settle_s, duration_s } = scenario;
  onSay('bundling the agent and the stand-in');
  await prepare();
  const rig = new Rig({ ports: graph.nodes.length - 1, originators: 20 });
  const agent = await rig.agent({ flags: NODE_FLAGS }).catch((thrown) => {
    rig.close();
    throw thrown;
  });
  const witness = rig.witness();
  const wait = (ms: number) => sleep(Math.max(0, ms), undefined, { signal });
  const now = () => Number(process.hrtime.bigint());
  try {
    await wait(3000 + settle_s * 1000);
    const startNs = now();
    const faults: PlayedFault[] = [];
    const steps = timeline.flatMap((entry) => {
      const [a, b] = (entry as { link: readonly [string, string] }).link;
      const port = graph.nodes.indexOf(a === 'r0' ? b : a) - 1;
      const down = async () => {
        await witness.dump();
        witness.set(rig.far[port]!, false);
        await wait(20);
        const struck = (await witness.dump()).find(({ what }) => what === 'F')!;
        const atMs = (struck.ns - startNs) / 1e6;
        const mendedMs = entry.for_s === undefined ? null : (entry.at_s + entry.for_s) * 1000;
        faults.push({
          name: entry.name,
          fault: entry.fault,
          what: `eth${port} of r0`,
          atMs,
          mendedMs,
          untilMs: mendedMs ?? duration_s * 1000,
          routers: [0],
          interfaces: { 0: [`eth${port}`] },
          links: [port],
          costs: [],
        });
        onSay(`${(atMs / 1000).toFixed(1)} s: ${entry.name}: ${entry.fault}, eth${port}`);
      };
      const up = async () => witness.set(rig.far[port]!, true);
      return [{ at: entry.at_s, run: down }, ...(entry.for_s ? [{ at: entry.at_s + entry.for_s, run: up }] : [])];
    });
    for (const { at, run } of steps.sort((x, y) => x.at - y.at)) {
      await wait(at * 1000 - (now() - startNs) / 1e6);
      await run();
    }
    await wait(duration_s * 1000 - (now() - startNs) / 1e6);
    const control = new Control(`${rig.dir}/ctl.sock`);
    const { entries } = await control.get<{
      entries: (Omit<JournalRow, 'router' | 'atMs'> & { afterMs: number; faultAtNs: number })[];
    }>('/heal/log?limit=1000&since=0');
    control.close();
    return {
      agent: 'on',
      flowingMs: 0,
      durationMs: duration_s * 1000,
      problems: [],
      faults,
      probes: [],
      journal: entries.map((row) => ({ ...row, router: 0, atMs: (row.faultAtNs - startNs) / 1e6 + row.afterMs })),
      agents: [{ router: 0, state: agent.child.exitCode === null ? 'running' : 'ended', exit: null }],
      reach: [],
      drift: [],
    };
  } finally {
    witness.close();
    await stop(agent);
    rig.close();
  }
}
