/**
 * Bench `footprint`: what the real x0d (dist/x0d.mjs under agent/node-flags.ts) takes on this machine's own kernel, at
 * native speed: links, events, packet sockets, timers, SQLite, HTTP are real; batman-adv's tables come from rig.ts's
 * stand-in, with as many system calls and wake-ups as the kernel's (its own memory and time are counted as the agent's).
 *
 *     rss_mib, anon_mib   the most seen of /proc/PID/smaps_rollup in MEASURED_S seconds in a mesh of 50 originators
 *     cpu_pct             of one core in that time
 *     start_ms            from the spawn (ip netns exec and all) to the line that says ready: median of STARTS
 *     idle_...            bat0 with its ports and nobody there
 *     cgroup_...          the mesh of 50 in a memory cgroup of 96 MiB, page cache included
 *     uml_...             x0d in user-mode Linux in a real mesh of 51 routers, where a system call costs some 50 us
 *
 * Baseline: a Node with the same flags that only waits.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { bootUml } from '../lab/uml.ts';
import { type Footprint, watch } from './proc.ts';
import { type Agent, prepare, Rig, ROOT, stop } from './rig.ts';
import { type BenchResult, median, type Progress } from './stats.ts';

/** Fewer only to try the bench itself out. */
const MEASURED_S = Number(process.env.X0_BENCH_SECONDS ?? 90);
const STARTS = 9;
const LIMIT_MIB = 96;

const prefixed = (prefix: string, of: object): Record<string, number> =>
  Object.fromEntries(Object.entries(of).map(([key, value]) => [`${prefix}${key}`, value as number]));

/** A memory cgroup, by either version of the interface; null where there is none to be had. */
function memoryCgroup(limitMib: number): { join: string; worst(): number; close(): void } | null {
  const name = `x0-bench-${process.pid}`;
  for (const [root, limit, peak] of [
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.max_usage_in_bytes'],
    ['/sys/fs/cgroup', 'memory.max', 'memory.peak'],
  ] as const) {
    const dir = join(root, name);
    try {
      mkdirSync(dir);
      writeFileSync(join(dir, limit), String(limitMib * 2 ** 20));
    } catch {
      try {
        rmdirSync(dir);
      } catch {
        // It was not made.
      }
      continue;
    }
    const file = join(dir, peak);
    return {
      join: join(dir, 'cgroup.procs'),
      worst: () => (existsSync(file) ? Number(readFileSync(file, 'utf8')) / 2 ** 20 : Number.NaN),
      close: () => rmdirSync(dir),
    };
  }
  return null;
}

/** Medians over starts, one after the other: until x0d says that it is ready, and by its own clock since Node began. */
async function starts(
  rig: Rig,
  options: Parameters<Rig['agent']>[0],
): Promise<{ start_ms: number; start_own_ms: number }> {
  const [spawned, own]: [number[], number[]] = [[], []];
  for (let i = 0; i < STARTS; i++) {
    const agent = await rig.agent(options);
    spawned.push(agent.spawnMs);
    own.push(agent.startMs);
    await stop(agent);
  }
  return { start_ms: median(spawned), start_own_ms: median(own) };
}

async function measured(rig: Rig, options: Parameters<Rig['agent']>[0]): Promise<Footprint> {
  const agent: Agent = await rig.agent(options);
  const footprint = await watch(agent.pid, MEASURED_S);
  await stop(agent);
  return footprint;
}

/** x0d in a real mesh: one router of fifty-one has an agent. */
async function inUml(progress: Progress): Promise<Record<string, number | null>> {
  let result: Record<string, number | null> = {
    uml_rss_mib: null,
    uml_anon_mib: null,
    uml_cpu_pct: null,
    uml_start_ms: null,
  };
  const uml = bootUml({
    script: join(import.meta.dirname, 'footprint-inside.ts'),
    args: [String(MEASURED_S)],
    onLine: (line) => {
      if (line.startsWith('{')) result = prefixed('uml_', JSON.parse(line) as object);
      else progress(`lab: ${line}`);
    },
  });
  const code = await uml.exited;
  if (code !== 0) progress(`the lab ended with ${code}`);
  return result;
}

async function bare(): Promise<Footprint> {
  const child = spawn(process.execPath, [...NODE_FLAGS, '-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  const footprint = await watch(child.pid!, 5);
  child.kill();
  return footprint;
}

export async function run(progress: Progress): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  await prepare();
  const flags = NODE_FLAGS;
  const figures: Record<string, number | null> = {};
  const baseline = prefixed('node_', await bare());

  let rig = new Rig({ ports: 3, originators: 50 });
  try {
    progress(`${STARTS} starts`);
    Object.assign(figures, await starts(rig, { flags }));
    progress(`a mesh of 50 originators, ${MEASURED_S} s`);
    Object.assign(figures, await measured(rig, { flags }));
    const cgroup = memoryCgroup(LIMIT_MIB);
    if (cgroup === null) progress('no memory cgroup can be made here: not measured');
    else {
      try {
        // Into the cgroup first, so that everything from Node's own start on is charged to it.
        const wrap = ['sh', '-c', `echo $$ >${cgroup.join} && exec "$@"`, 'sh'];
        progress(`the same in a memory cgroup of ${LIMIT_MIB} MiB`);
        Object.assign(figures, prefixed('cgroup_', await starts(rig, { flags, wrap })));
        Object.assign(figures, prefixed('cgroup_', await measured(rig, { flags, wrap })));
        figures.cgroup_peak_mib = cgroup.worst();
      } finally {
        await sleep(200);
        cgroup.close();
      }
    }
  } finally {
    rig.close();
  }

  rig = new Rig({ ports: 3, originators: 0 });
  try {
    progress(`idle, ${MEASURED_S} s`);
    Object.assign(figures, prefixed('idle_', await measured(rig, { flags })));
  } finally {
    rig.close();
  }
  execFileSync('make', ['-s', '-C', join(ROOT, 'tools', 'lab')], { stdio: ['ignore', 2, 2] });
  Object.assign(figures, await inUml(progress));
  return {
    figures,
    baseline,
    targets: [
      { figure: 'rss_mib', atMost: 80 },
      { figure: 'anon_mib', atMost: 35 },
      { figure: 'cpu_pct', atMost: 1 },
      { figure: 'start_ms', atMost: 500 },
      { figure: 'idle_rss_mib', atMost: 80 },
      { figure: 'cgroup_rss_mib', atMost: 80 },
      // No slower than outside, within what starts vary.
      { figure: 'cgroup_start_ms', atMost: 500 },
    ],
  };
}
