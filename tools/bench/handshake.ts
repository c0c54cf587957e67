/**
 * Bench `handshake`: from the first packet to a session that both ends hold for proven, between two agents of one process
 * over the loopback: TLS 1.3 with both certificates, both certificates' chains judged, both hybrid signatures made and
 * verified. Beside it, interleaved, the plain mutual TLS 1.3 handshake of the same Node: X25519, P-256 certificates, no
 * post-quantum part. `cold_ms`: the first between two that have never met, when the issuers' signatures are verified too.
 *
 * A Node 22, where npm has one, does the same in a process of its own (`node22.*`): its TLS has the hybrid group, its
 * node:crypto has no ML-DSA, so @noble signs.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { type Mesh, mesh, peersOf } from './peers.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';

const ROUNDS = 200;
const WARM = 20;
const NODE_22 = '22.23.1';

interface Times {
  readonly full: number[];
  readonly plain: number[];
  readonly cold: number;
}

/** What a bare client and server need: self-signed P-256 certificates, each the other's only root. */
function plainCredentials(): { cert: string; key: string } {
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-keyout', '-', '-subj', '/CN=bench', '-addext', 'subjectAltName=URI:spiffe://bench/plain'],
  ]);
  const text = String(made.stdout);
  const part = (label: string): string =>
    new RegExp(`-----BEGIN ${label}-----[^]*?-----END ${label}-----`).exec(text)![0];
  return { key: part('PRIVATE KEY'), cert: part('CERTIFICATE') };
}

async function plainHandshakes(): Promise<{ once: () => Promise<number>; close(): void }> {
  const [ours, theirs] = [plainCredentials(), plainCredentials()];
  const group = { minVersion: 'TLSv1.3', ecdhCurve: 'X25519' } as const;
  const server = createServer({ ...ours, ...group, ca: theirs.cert, requestCert: true, rejectUnauthorized: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    async once() {
      const began = performance.now();
      const accepted = once(server, 'secureConnection');
      const checkServerIdentity = (): undefined => undefined;
      const client = connect({ host: '127.0.0.1', port, ...theirs, ...group, ca: ours.cert, checkServerIdentity });
      const [[far]] = await Promise.all([accepted, once(client, 'secureConnect')]);
      const took = performance.now() - began;
      client.destroy();
      far.destroy();
      return took;
    },
    close: () => server.close(),
  };
}

async function sessions(of: Mesh): Promise<{ once: () => Promise<number>; close(): void }> {
  const [a, b] = ['a', 'b'].map((node) => of.router(node));
  const theirs = of.credentials(b!);
  const server = await peersOf(theirs);
  const ours = of.credentials(a!);
  const client = await peersOf(ours);
  const at = { address: '127.0.0.1', port: server.ports()[0]! };
  return {
    async once() {
      const began = performance.now();
      // It stands here once the other end's proof has been verified, and that came after it had verified ours.
      const session = await client.visit(at, ours.verify);
      const took = performance.now() - began;
      session.close();
      while (server.view().length > 0 || client.view().length > 0)
        await new Promise((resolve) => setTimeout(resolve, 1));
      return took;
    },
    close() {
      for (const peers of [client, server]) peers.close();
    },
  };
}

export async function measure(rounds = ROUNDS): Promise<Times> {
  const plain = await plainHandshakes();
  const session = await sessions(await mesh());
  const times: Times = { full: [], plain: [], cold: await session.once() };
  for (let i = -WARM; i < rounds; i++) {
    // The gate lets 25 strangers a second in.
    const [full, bare] = [await session.once(), await plain.once()];
    if (i >= 0) times.full.push(full);
    if (i >= 0) times.plain.push(bare);
    await new Promise((resolve) => setTimeout(resolve, 45));
  }
  session.close();
  plain.close();
  return times;
}

/** Another Node, brought by npm into a folder of its own; null where there is none. */
function node22(progress: Progress): Times | null {
  const folder = mkdtempSync(join(tmpdir(), 'x0-node22-'));
  try {
    progress('fetching Node 22');
    spawnSync('npm', ['install', '--prefix', folder, '--no-save', '--no-fund', '--no-audit', `node@${NODE_22}`]);
    const node = join(folder, 'node_modules/node/bin/node');
    if (!existsSync(node)) {
      progress('npm brought no Node 22');
      return null;
    }
    const script = `import { measure } from ${JSON.stringify(import.meta.filename)};
      process.stdout.write(JSON.stringify(await measure(60))); process.exit(0);`;
    const ran = spawnSync(node, ['--experimental-strip-types', '--no-warnings', '--input-type=module', '-e', script], {
      timeout: 120_000,
    });
    if (ran.status !== 0) {
      progress(`Node 22 failed: ${String(ran.stderr).slice(0, 500)}`);
      return null;
    }
    return JSON.parse(String(ran.stdout)) as Times;
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
  const here = await measure();
  const other = node22(progress);
  return {
    figures: { ...figuresOf(here, ''), ...(other === null ? { 'node22.p95_ms': null } : figuresOf(other, 'node22.')) },
    baseline: { plain_p95_ms: percentile(here.plain, 95) },
    targets: [{ figure: 'p95_ratio', atMost: 3 }],
  };
}
