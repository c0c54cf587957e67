/**
 * Bench `handshake`: from the first packet to a session, between two agents, each a process of its own with the flags of x0d,
 * over the loopback: TLS 1.3 with both certificates, both chains judged, both hybrid signatures made and verified. Beside
 * it, in turn, the plain mutual TLS 1.3 handshake of the same Node between the same processes, without post-quantum parts.
 *
 * Each is over when both ends hold the other for proven. `dialler.*`: when the one who dials does, which in plain TLS is
 * before the other end has even seen its certificate. `cold_ms`: the first of all, when the issuers' signatures are verified
 * too.
 *
 * A Node 22, where npm has one, does the same (`node22.*`): its TLS has the hybrid group, its node:crypto has no ML-DSA, so
 * that @noble signs.
 */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { credentialsOf, dialler, mesh, otherRouter } from './peers.ts';
import { plainCredentials, plainHandshake } from './plain-tls.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';

const ROUNDS = 200;
const ROUNDS_22 = 60;
const WARM = 20;
/** A router lets 25 strangers a second knock. */
const PAUSE_MS = 45;

/** Milliseconds until both ends, and until the one who dials, hold the other for proven. */
interface Took {
  readonly both: number;
  readonly dialler: number;
}

interface Times {
  readonly full: Took[];
  readonly plain: Took[];
  readonly cold: number;
}

const now = (): number => Number(process.hrtime.bigint());

async function timed(
  child: ChildProcess,
  what: 'session' | 'plain',
  dial: () => Promise<{ end(): void }>,
): Promise<Took> {
  const began = now();
  const { end } = await dial();
  const ours = now();
  await sleep(PAUSE_MS / 2);
  child.send('when?');
  const [stood] = (await once(child, 'message')) as [Record<'session' | 'plain', number>];
  end();
  if (stood[what] < began) throw new Error(`the other end has no ${what}`);
  return { both: (Math.max(ours, stood[what]) - began) / 1e6, dialler: (ours - began) / 1e6 };
}

async function measure(rounds: number): Promise<Times> {
  const router = mesh();
  const { child, ports } = await otherRouter(router('roof'), NODE_FLAGS);
  const credentials = credentialsOf(router('kitchen'));
  const own = plainCredentials();
  const session = (): Promise<Took> => {
    const { dial, close } = dialler(credentials);
    return timed(child, 'session', async () => {
      await dial({ address: '127.0.0.1', port: ports.session });
      return { end: close };
    });
  };
  const plain = (): Promise<Took> =>
    timed(child, 'plain', async () => {
      const socket = await plainHandshake(ports.plain, own);
      return { end: () => socket.destroy() };
    });
  const times: Times = { full: [], plain: [], cold: (await session()).both };
  for (let i = -WARM; i < rounds; i++) {
    const [one, other] = [await session(), await plain()];
    if (i < 0) continue;
    times.full.push(one);
    times.plain.push(other);
  }
  child.disconnect();
  return times;
}

/** This module by itself under a Node, with x0d's flags. */
function under(node: string, rounds: number, progress: Progress): Times | null {
  const args = ['--no-warnings', ...NODE_FLAGS, import.meta.filename, String(rounds)];
  const ran = spawnSync(node, args, { timeout: 120_000, stdio: ['ignore', 'pipe', 'pipe'] });
  if (ran.status === 0) return JSON.parse(String(ran.stdout)) as Times;
  progress(`${node} failed: ${String(ran.stderr).slice(0, 500)}`);
  return null;
}

/** Another Node, brought by npm into a folder of its own; null where there is none. */
function node22(progress: Progress): Times | null {
  const folder = mkdtempSync(join(tmpdir(), 'x0-node22-'));
  try {
    progress('fetching Node 22');
    spawnSync('npm', ['install', '--prefix', folder, '--no-save', '--no-fund', '--no-audit', 'node@22']);
    const node = join(folder, 'node_modules/node/bin/node');
    if (existsSync(node)) return under(node, ROUNDS_22, progress);
    progress('npm brought no Node 22');
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function figuresOf({ full, plain, cold }: Times, prefix: string): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const until of ['both', 'dialler'] as const) {
    const [ours, theirs] = [full, plain].map((times) => times.map((took) => took[until])) as [number[], number[]];
    const name = `${prefix}${until === 'both' ? '' : 'dialler.'}`;
    figures[`${name}p50_ms`] = median(ours);
    figures[`${name}p95_ms`] = percentile(ours, 95);
    figures[`${name}plain_p50_ms`] = median(theirs);
    figures[`${name}plain_p95_ms`] = percentile(theirs, 95);
    figures[`${name}p95_ratio`] = percentile(ours, 95) / percentile(theirs, 95);
  }
  return { ...figures, [`${prefix}cold_ms`]: cold };
}

export async function run(progress: Progress): Promise<BenchResult> {
  progress(`Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`);
  const here = under(process.execPath, ROUNDS, progress);
  if (here === null) throw new Error('no handshake came about');
  const other = node22(progress);
  const figures = figuresOf(here, '');
  return {
    figures: { ...figures, ...(other === null ? { 'node22.p95_ms': null } : figuresOf(other, 'node22.')) },
    baseline: { plain_p95_ms: figures.plain_p95_ms! },
    targets: [{ figure: 'p95_ratio', atMost: 3 }],
  };
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  process.stdout.write(JSON.stringify(await measure(Number(process.argv[2] ?? ROUNDS))));
  process.exit(0);
}
