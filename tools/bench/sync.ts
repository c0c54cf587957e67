/**
 * Bench `sync`: six routers in a line, each a process in a network namespace of its own on this machine's kernel, veth
 * pairs between them. One machine has one clock: each router's is made up to 50 ppm fast or slow, and days off, between
 * the kernel's stamps and the beacon machine. Since it is one clock, the truth is known.
 *
 * `p95_us_N`: error of the mesh time N hops from the root, read ten times a second. `bound_us_N`: what the routers there
 * said that it is at most (median); `broken`: readings further off than that. Needs root.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../agent/host/native.ts';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import type { NodeSpec, Sample } from './beacon-node.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';

const ROUTERS = 6;
const WARM_S = 20;
const WATCH_S = 60;
/** Of each router's clock, ppm: neighbours differ by as much as can be. */
const SKEWS = [50, -50, 50, -50, 50, -50];
const DAY = 86_400e9;

const nsOf = (n: number) => `x0s${process.pid}-${n}`;
const mac = (n: number, port: number) => `02:00:00:00:0${n}:0${port}`;
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

function build(): NodeSpec['ports'][] {
  const ports: NodeSpec['ports'][number][][] = Array.from({ length: ROUTERS }, () => []);
  for (let n = 0; n < ROUTERS; n++) ip('netns', 'add', nsOf(n));
  for (let n = 0; n + 1 < ROUTERS; n++) {
    const near = { index: 100 + n, name: 'right', mac: mac(n, 2) };
    const far = { index: 200 + n, name: 'left', mac: mac(n + 1, 1) };
    const end = ({ index, name, mac: address }: typeof near) => [
      'name',
      name,
      'index',
      String(index),
      'address',
      address,
    ];
    ip('link', 'add', ...end(near), 'netns', nsOf(n), 'type', 'veth', 'peer', ...end(far), 'netns', nsOf(n + 1));
    ip('-n', nsOf(n), 'link', 'set', 'right', 'up');
    ip('-n', nsOf(n + 1), 'link', 'set', 'left', 'up');
    ports[n]!.push(near);
    ports[n + 1]!.push(far);
  }
  return ports;
}

export async function run(progress: Progress): Promise<BenchResult> {
  const nodes: ChildProcessWithoutNullStreams[] = [];
  const samples: Map<number, Sample>[] = Array.from({ length: ROUTERS }, () => new Map());
  try {
    const began = native().now();
    for (const [n, ports] of build().entries()) {
      const spec: NodeSpec = {
        node: mac(n, 0),
        ports,
        profile: 'default',
        rate: 1 + SKEWS[n]! * 1e-6,
        offset: (n + 1) * DAY,
        // The first one is the root.
        startAt: began + (n === 0 ? 2e9 : 8e9),
      };
      const script = join(import.meta.dirname, 'beacon-node.ts');
      const child = spawn('ip', [
        'netns',
        'exec',
        nsOf(n),
        process.execPath,
        ...NODE_FLAGS,
        script,
        JSON.stringify(spec),
      ]);
      child.stderr.pipe(process.stderr);
      createInterface({ input: child.stdout }).on('line', (line) => {
        const sample = JSON.parse(line) as Sample;
        samples[n]!.set(sample[0], sample);
      });
      nodes.push(child);
    }
    progress(`${ROUTERS} routers in a line, clocks ${SKEWS.join(', ')} ppm wrong; ${WARM_S + WATCH_S} s`);
    await sleep((8 + WARM_S + WATCH_S) * 1000);
    const since = native().now() - WATCH_S * 1e9;
    const errors: number[][] = Array.from({ length: ROUTERS }, () => []);
    const bounds: number[][] = Array.from({ length: ROUTERS }, () => []);
    let broken = 0;
    for (const [n, all] of samples.entries())
      for (const [t, mesh, bound, depth] of all.values()) {
        const root = samples[0]!.get(t);
        if (t < since || root === undefined) continue;
        if (depth !== n) throw new Error(`router ${n} is ${depth} hops from the root`);
        const error = Math.abs(mesh - root[1]);
        errors[n]!.push(error / 1e3);
        if (bound !== null) bounds[n]!.push(bound / 1e3);
        // A double holds days in nanoseconds to one.
        if (bound !== null && error > bound + 4) broken += 1;
      }
    const figures: Record<string, number | null> = {};
    for (const hops of [1, 3, 5]) {
      figures[`p95_us_${hops}`] = percentile(errors[hops]!, 95);
      figures[`p50_us_${hops}`] = median(errors[hops]!);
      figures[`bound_us_${hops}`] = median(bounds[hops]!);
    }
    figures.broken = broken;
    figures.n = errors[5]!.length;
    return {
      figures,
      baseline: {},
      targets: [
        { figure: 'p95_us_1', atMost: 20 },
        { figure: 'p95_us_5', atMost: 100 },
        { figure: 'broken', atMost: 0 },
      ],
    };
  } finally {
    for (const node of nodes) node.kill();
    for (let n = 0; n < ROUTERS; n++)
      try {
        ip('netns', 'delete', nsOf(n));
      } catch {
        // It was not there yet.
      }
  }
}
