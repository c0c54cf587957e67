/**
 * Bench `rotation`: 100 renewals of a tunnel's preshared key at an interval of 5 s under traffic, in Debian's own kernel
 * (QEMU), each proven by WireGuard's latest handshake moving on. The session between the two ends is a pipe that stands
 * for an authenticated one.
 */
import { join } from 'node:path';
import { bootQemu, prepareQemu, qemuMissing } from '../lab/qemu.ts';
import type { BenchResult, Progress } from './stats.ts';

const RENEWALS = Number(process.env.X0_ROTATION_RENEWALS ?? 100);

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
  progress(`${RENEWALS} renewals of a preshared key, 5 s apart`);
  const inside = await tunnel(progress);
  return {
    figures: {
      psk_renewals: inside?.renewals ?? null,
      renewals_effective: inside?.effective ?? null,
      renewals_failed: inside?.failures ?? null,
      packets_sent: inside?.sent ?? null,
      packets_lost: inside?.lost ?? null,
      seconds: inside?.seconds ?? null,
    },
    baseline: {},
    targets: [
      { figure: 'renewals_effective', atLeast: RENEWALS },
      { figure: 'packets_lost', atMost: 0 },
    ],
  };
}
