/**
 * Bench `ubus`: CALLS `status` calls through the path of rpcd's plugin to the real x0d, in a mesh of fifty originators.
 *
 *     p50_ms, p95_ms, max_ms   of one call, from handing it to the plugin until its answer is there
 *     grown_mib                what x0d's anonymous memory is larger at the end than after the first WARM calls
 *     in_ucode                 1: the plugin itself in ucode; 0: none is installed here, and its stand-in asked
 *
 * Baseline: the same calls over one kept connection, without the plugin.
 */
import { readFileSync } from 'node:fs';
import { Agent as Kept, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { openPlugin } from '../luci/plugin.ts';
import { prepare, Rig, stop } from './rig.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

const CALLS = 1000;
const WARM = 800;

function anonMib(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Anonymous:\s+(\d+) kB$/m.exec(rollup)![1]) / 1024;
}

async function timed(count: number, call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await call();
    times.push(performance.now() - began);
  }
  return times;
}

export async function run(progress: Progress): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  await prepare();
  const rig = new Rig({ ports: 3, originators: 50 });
  const agent = await rig.agent({ flags: NODE_FLAGS });
  const socket = join(rig.dir, 'ctl.sock');
  const plugin = openPlugin(socket);
  try {
    await sleep(2000);
    const status = async () => {
      const answer = (await plugin.call('status')) as { version?: number; error?: { message: string } };
      if (answer.version !== 1) throw new Error(`no answer: ${answer.error?.message}`);
    };
    progress(`${WARM} calls to warm up, through ${plugin.how}`);
    await timed(WARM, status);
    const before = anonMib(agent.pid);
    progress(`${CALLS} calls`);
    const times = await timed(CALLS, status);
    const grown = anonMib(agent.pid) - before;
    const kept = new Kept({ keepAlive: true, maxSockets: 1 });
    const bare = await timed(
      WARM,
      () =>
        new Promise((resolve, reject) => {
          const sent = request({ socketPath: socket, path: '/mesh/status', agent: kept }, (response) => {
            response.resume();
            response.on('end', resolve);
          });
          sent.on('error', reject);
          sent.end();
        }),
    );
    kept.destroy();
    return {
      figures: {
        p50_ms: percentile(times, 50),
        p95_ms: percentile(times, 95),
        max_ms: Math.max(...times),
        grown_mib: grown,
        in_ucode: plugin.how === 'ucode' ? 1 : 0,
      },
      baseline: { kept_p50_ms: percentile(bare, 50), kept_p95_ms: percentile(bare, 95) },
      targets: [
        { figure: 'p95_ms', atMost: 20 },
        // Flat: less than a page of V8's heap for each hundred calls.
        { figure: 'grown_mib', atMost: 3 },
      ],
    };
  } finally {
    plugin.close();
    await stop(agent);
    rig.close();
  }
}
