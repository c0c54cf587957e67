/**
 * Bench `rotation`: 1000 renewals of a router's certificate while a session stands and is asked over, each seen by the other
 * end; and 100 renewals of a tunnel's preshared key at an interval of 5 s under traffic, in Debian's own kernel
 * (QEMU), each proven by WireGuard's latest handshake moving on. The session between the two ends is a pipe that stands
 * for an authenticated one.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootQemu, prepareQemu, qemuMissing } from '../lab/qemu.ts';
import { credentialsOf, listening, mesh, peersOf } from './peers.ts';
import type { BenchResult, Progress } from './stats.ts';

const RENEWALS = 100;

const CERTIFICATES = 1000;
const LONGEST_MS = 10_000;
/** A session takes no more than five a second, but for a burst. */
const PACE_MS = 210;

/** Sessions that ended, and certificates that the other end took, while every one was asked over. */
async function certificates(progress: Progress): Promise<{ renewed: number; dropped: number; seconds: number }> {
  const router = mesh();
  let material = router('leaf');
  let own = credentialsOf(material).current();
  const credentials = { ...credentialsOf(material), current: () => own };
  let dropped = 0;
  const hub = peersOf(credentialsOf(router('hub')));
  const leaf = peersOf(credentials, {
    onDown: () => {
      dropped += 1;
    },
  });
  hub.handle('echo', { handle: (body) => body });
  leaf.configure([await listening(hub)]);
  for (const until = performance.now() + LONGEST_MS; leaf.sessions().length === 0; await sleep(10))
    if (performance.now() > until) throw new Error('no session came about');
  const [session] = leaf.sessions();
  let renewed = 0;
  const began = performance.now();
  for (let count = 1; count <= CERTIFICATES; count++) {
    material = router('leaf', material);
    own = credentialsOf(material).current();
    leaf.renewed();
    if ((await session!.request('echo', count)) !== count) throw new Error('another answer');
    const seen = hub.sessions()[0]?.peer;
    const mine = credentials.verify(own!.chain);
    if (mine.ok && seen != null && Buffer.compare(seen.spki, mine.spki) === 0) renewed += 1;
    await sleep(PACE_MS);
    if (count % 250 === 0) progress(`${count} certificates`);
  }
  const seconds = (performance.now() - began) / 1000;
  // Closing ends them too.
  const result = { renewed, dropped, seconds };
  leaf.close();
  hub.close();
  return result;
}

interface Inside {
  readonly renewals: number;
  readonly effective: number;
  readonly failures: number;
  readonly sent: number;
  readonly lost: number;
  readonly seconds: number;
}

async function tunnel(progress: Progress): Promise<Inside | null> {
  const missing = qemuMissing();
  if (missing !== undefined) {
    progress(`the tunnel is not measured: ${missing}`);
    return null;
  }
  prepareQemu();
  let result: Inside | null = null;
  const guest = bootQemu({
    script: join(import.meta.dirname, 'rotation-inside.ts'),
    args: [String(RENEWALS)],
    onLine: (line) => {
      if (line.startsWith('{')) result = JSON.parse(line) as Inside;
      else progress(`lab: ${line}`);
    },
    onConsole: (line) => progress(`lab: ${line}`),
  });
  const code = await guest.exited;
  if (code !== 0) progress(`the lab ended with ${code}`);
  return result;
}

export async function run(progress: Progress): Promise<BenchResult> {
  progress(`${CERTIFICATES} renewals of a certificate`);
  const { renewed, dropped, seconds } = await certificates(progress);
  progress(`${RENEWALS} renewals of a preshared key, 5 s apart`);
  const inside = await tunnel(progress);
  return {
    figures: {
      certificates_renewed: renewed,
      sessions_dropped: dropped,
      certificates_seconds: seconds,
      psk_renewals: inside?.renewals ?? null,
      renewals_effective: inside?.effective ?? null,
      renewals_failed: inside?.failures ?? null,
      packets_sent: inside?.sent ?? null,
      packets_lost: inside?.lost ?? null,
      psk_seconds: inside?.seconds ?? null,
    },
    baseline: {},
    targets: [
      { figure: 'certificates_renewed', atLeast: CERTIFICATES },
      { figure: 'sessions_dropped', atMost: 0 },
      { figure: 'renewals_effective', atLeast: RENEWALS },
      { figure: 'packets_lost', atMost: 0 },
    ],
  };
}
