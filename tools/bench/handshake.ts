/**
 * Bench `handshake`: from the first packet to a session, between two agents, each a process of its own, over the loopback:
 * TLS 1.3 with both certificates, both chains judged, both hybrid signatures made and verified. Beside it, in turn, the
 * plain mutual TLS 1.3 handshake of the same Node between the same processes, without post-quantum parts. Both end when
 * the one who dials holds the other for proven. `cold_ms`: the first of all, when the issuers' signatures are verified too.
 *
 * A Node 22, where npm has one, does the same (`node22.*`): its TLS has the hybrid group, its node:crypto has no ML-DSA, so
 * that @noble signs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentialsOf, mesh, otherRouter, peersOf } from './peers.ts';
import { plainCredentials, plainHandshake } from './plain-tls.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';

const ROUNDS = 200;
const ROUNDS_22 = 60;
const WARM = 20;
/** A router lets 25 strangers a second knock. */
const PAUSE_MS = 45;

interface Times {
  readonly full: number[];
  readonly plain: number[];
  readonly cold: number;
}

async function measure(rounds: number): Promise<Times> {
  const router = mesh();
  const { child, ports } = await otherRouter(router('roof'));
  const credentials = credentialsOf(router('kitchen'));
  const peers = peersOf(credentials);
  const ours = plainCredentials();
  const session = async (): Promise<number> => {
    const began = performance.now();
    const visit = await peers.visit({ address: '127.0.0.1', port: ports.session }, credentials.verify);
    const took = performance.now() - began;
    visit.close();
    return took;
  };
  const times: Times = { full: [], plain: [], cold: await session() };
  for (let i = -WARM; i < rounds; i++) {
    const full = await session();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS / 2));
    const plain = await plainHandshake(ports.plain, ours);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS / 2));
    if (i < 0) continue;
    times.full.push(full);
    times.plain.push(plain);
  }
  peers.close();
  child.disconnect();
  return times;
}

/** The same under another Node, brought by npm into a folder of its own; null where there is none. */
function node22(progress: Progress): Times | null {
  const folder = mkdtempSync(join(tmpdir(), 'x0-node22-'));
  try {
    progress('fetching Node 22');
    spawnSync('npm', ['install', '--prefix', folder, '--no-save', '--no-fund', '--no-audit', 'node@22']);
    const node = join(folder, 'node_modules/node/bin/node');
    if (!existsSync(node)) {
      progress('npm brought no Node 22');
      return null;
    }
    const ran = spawnSync(node, ['--no-warnings', import.meta.filename, String(ROUNDS_22)], { timeout: 120_000 });
    if (ran.status === 0) return JSON.parse(String(ran.stdout)) as Times;
    progress(`Node 22 failed: ${String(ran.stderr).slice(0, 500)}`);
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function figuresOf({ full, plain, cold }: Times, prefix: string): Record<string, number> {
  return {
    [`${prefix}p50_ms`]: median(full),
    [`${prefix}p95_ms`]: percentile(full, 95),
    [`${prefix}plain_p50_ms`]: median(plain),
    [`${prefix}plain_p95_ms`]: percentile(plain, 95),
    [`${prefix}p95_ratio`]: percentile(full, 95) / percentile(plain, 95),
    [`${prefix}cold_ms`]: cold,
  };
}

export async function run(progress: Progress): Promise<BenchResult> {
  progress(`Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`);
  const here = await measure(ROUNDS);
  const other = node22(progress);
  return {
    figures: { ...figuresOf(here, ''), ...(other === null ? { 'node22.p95_ms': null } : figuresOf(other, 'node22.')) },
    baseline: { plain_p95_ms: percentile(here.plain, 95) },
    targets: [{ figure: 'p95_ratio', atMost: 3 }],
  };
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  process.stdout.write(JSON.stringify(await measure(Number(process.argv[2] ?? ROUNDS))));
  process.exit(0);
}
