/**
 * How long `x0ctl status` takes as a person sees it, from the start of the process to its end, beside a Node that does
 * nothing (`node -e 0`), in turns: on the Node at hand, and on Node 22 and 24 where npm has them.
 * The agent that answers is one in name: its API over a mesh of three, in another process, on a unix socket.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type BenchResult, type Progress, percentile } from './stats.ts';
import { runsOr } from './trials.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const X0CTL = join(ROOT, 'dist', 'x0ctl.mjs');
const WARM = 3;
const RUNS = 40;
/** As the npm package `node` has them. */
const VERSIONS = { node22: '22.23.1', node24: '24.21.0' } as const;

interface Times {
  readonly ctl: readonly number[];
  readonly node: readonly number[];
}

export async function run(progress: Progress): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'x0-ctl-'));
  const socket = join(folder, 'ctl.sock');
  const agent = spawn(process.execPath, [import.meta.filename, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise((ready, failed) => {
      agent.stdout.once('data', ready);
      agent.once('exit', (code) => failed(new Error(`the agent's stand-in ended with ${code}`)));
    });
    progress(`Node ${process.versions.node}`);
    const here = measure(process.execPath, socket);
    const figures: Record<string, number | null> = {
      p50_ms: percentile(here.ctl, 50),
      p95_ms: percentile(here.ctl, 95),
      times_node: percentile(here.ctl, 50) / percentile(here.node, 50),
    };
    const baseline: Record<string, number | null> = { node_p50_ms: percentile(here.node, 50) };
    for (const [name, version] of Object.entries(VERSIONS)) {
      const program = await obtain(version, progress);
      const times = program === null ? null : measure(program, socket);
      figures[`${name}_p50_ms`] = times && percentile(times.ctl, 50);
      figures[`${name}_times`] = times && percentile(times.ctl, 50) / percentile(times.node, 50);
      baseline[`${name}_node_p50_ms`] = times && percentile(times.node, 50);
    }
    const targets = ['times_node', 'node22_times', 'node24_times'].map((figure) => ({ figure, atMost: 2 }));
    return { figures, baseline, targets };
  } finally {
    agent.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One of each in turn, so that what else the machine does meets both. */
function measure(program: string, socket: string): Times {
  const times = { ctl: [] as number[], node: [] as number[] };
  const lines = { ctl: [X0CTL, 'status', '--socket', socket], node: ['-e', '0'] };
  const runs = runsOr(RUNS);
  for (let n = -WARM; n < runs; n++)
    for (const key of ['ctl', 'node'] as const) {
      const began = performance.now();
      const { status, stderr } = spawnSync(program, lines[key], { env: { PATH: process.env.PATH } });
      const took = performance.now() - began;
      if (status !== 0) throw new Error(`${lines[key].join(' ')} ended with ${status}: ${stderr}`);
      if (n >= 0) times[key].push(took);
    }
  return times;
}

/** A Node of this version; null where neither the cache nor the registry has it. */
async function obtain(version: string, progress: Progress): Promise<string | null> {
  if (process.versions.node === version) return process.execPath;
  const prefix = join(ROOT, '.cache', `node-${version}`);
  const program = join(prefix, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(program)) {
    progress(`fetching Node ${version}`);
    mkdirSync(prefix, { recursive: true });
    const words = ['install', '--prefix', prefix, '--no-fund', '--no-audit', '--loglevel=error', `node@${version}`];
    await promisify(execFile)('npm', words, { timeout: 300_000 }).catch(() => {});
  }
  const works = existsSync(program) && spawnSync(program, ['-e', '0']).status === 0;
  progress(works ? `Node ${version}` : `without Node ${version}: it could not be fetched`);
  return works ? program : null;
}

if (process.argv[1] === import.meta.filename && process.argv[2] !== undefined) {
  const [{ createServer }, { hear }, { Metrics }, { sources }] = await Promise.all([
    import('node:http'),
    import('../../agent/host/http.ts'),
    import('../../agent/report/metrics.ts'),
    import('../../test/unit/report/fixture.ts'),
  ]);
  createServer(hear(sources(), new Metrics(), () => ({ name: 'bench', mayChange: false }))).listen(
    process.argv[2],
    () => process.stdout.write('ready\n'),
  );
}
