/**
 * Bench `beacon-jitter`: how late frames leave that the shim's transmitter sends at a given time, as the kernel stamps them
 * in the driver (veth, in a network namespace of its own), while the JavaScript thread is busy half of the time and
 * collects its garbage ten times a second. A frame every 20 ms at odd times, handed over 100 ms before, as beacons are.
 *
 * `p50_us`, `p99_us`, `max_us`: with that; `loaded_`: and with a second process for each CPU that computes without end;
 * `timer_p99_us`: a setTimeout of the same thread, which is what there would be without the shim. `realtime` is 1 where the
 * kernel gave real-time priority. Needs root for the namespace.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { toHex } from '../../agent/core/hex.ts';
import { Log } from '../../agent/core/log.ts';
import { MS, type Nanos } from '../../agent/core/time.ts';
import { openBeat } from '../../agent/host/beat.ts';
import { Drops } from '../../agent/host/drops.ts';
import { native } from '../../agent/host/native.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { NETLINK_ROUTE } from '../../agent/host/netlink/message.ts';
import * as rt from '../../agent/host/netlink/rtnetlink.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

const FRAMES = 1500;
const EVERY: Nanos = 20 * MS;
const LEAD: Nanos = 100 * MS;

interface Measured {
  readonly lateUs: number[];
  readonly timerUs: number[];
  readonly failed: number;
  readonly unstamped: number;
  readonly realtime: boolean;
}

/** In the namespace: sends, and says what it measured. */
async function inside(): Promise<void> {
  const shim = native();
  const route = openConnection({ native: shim, protocol: NETLINK_ROUTE });
  await rt.change(route, rt.encodeCreateVeth('a0', 'b0', '02:00:00:00:00:0a', '02:00:00:00:00:0b'), 'create');
  for (const name of ['a0', 'b0']) await rt.change(route, rt.encodeSetUp(name, true), 'up');
  const index = (await rt.getLink(route, 'a0'))!.index;
  const wanted = new Map<string, Nanos>();
  const measured = { lateUs: [] as number[], timerUs: [] as number[], failed: 0, unstamped: 0 };
  const done = Promise.withResolvers<void>();
  const beat = openBeat({
    native: shim,
    log: new Log('error', (line) => void process.stderr.write(`${line}\n`)),
    drops: new Drops(),
    ethertype: 0x88b5,
    feed: (event) => {
      if (event.type !== 'transmitted') return;
      if (event.error !== null) measured.failed += 1;
      else measured.lateUs.push((event.at - wanted.get(event.id)!) / 1e3);
      if (!event.stamped) measured.unstamped += 1;
      if (measured.lateUs.length + measured.failed === FRAMES) done.resolve();
    },
  });
  const frame = Buffer.alloc(490, 0x55);
  Buffer.from('ffffffffffff02000000000a88b5', 'hex').copy(frame);
  const hex = toHex(frame);
  const begin = shim.now() + 500 * MS;
  let sent = 0;
  // Ahead of time, and all that is due: the thread is busy when it would be their turn.
  const hand = setInterval(() => {
    for (; sent < FRAMES && begin + sent * EVERY < shim.now() + LEAD + EVERY; sent++) {
      const at = begin + sent * EVERY + ((sent * 7919) % 1000) * 1e3;
      wanted.set(String(sent), at);
      beat.transmit({ type: 'transmit-at', id: String(sent), interface: index, frame: hex, at, latest: at + 100 * MS });
    }
  }, 5);
  const collect = setInterval(() => (globalThis as { gc?: () => void }).gc?.(), 100);
  // Five milliseconds of work, five of rest; and garbage.
  let kept: object[] = [];
  const work = setInterval(() => {
    const end = performance.now() + 5;
    while (performance.now() < end) kept.push({ at: kept.length, text: `${kept.length}` });
    if (kept.length > 200_000) kept = [];
  }, 10);
  let due = shim.now() + EVERY;
  const timer = (): void => {
    measured.timerUs.push((shim.now() - due) / 1e3);
    due = shim.now() + EVERY;
    setTimeout(timer, EVERY / MS);
  };
  setTimeout(timer, EVERY / MS);
  await done.promise;
  for (const one of [hand, collect, work]) clearInterval(one);
  const { realtime } = beat;
  process.stdout.write(`${JSON.stringify({ ...measured, realtime } satisfies Measured)}\n`);
  process.exit(0);
}

async function measure(): Promise<Measured> {
  const child = spawn('unshare', ['-n', process.execPath, '--expose-gc', import.meta.filename], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let found: Measured | null = null;
  for await (const line of createInterface({ input: child.stdout })) found = JSON.parse(line) as Measured;
  if (found === null) throw new Error('the sender ended without a word');
  return found;
}

export async function run(progress: Progress): Promise<BenchResult> {
  if (spawnSync('unshare', ['-n', 'true']).status !== 0) throw new Error('needs root for a network namespace');
  const quiet = await measure();
  progress(`${quiet.lateUs.length} frames, ${quiet.failed} failed, ${quiet.unstamped} without a stamp`);
  const burners: ChildProcess[] = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  );
  let loaded: Measured;
  try {
    loaded = await measure();
  } finally {
    for (const burner of burners) burner.kill('SIGKILL');
  }
  progress(`and ${loaded.lateUs.length} beside ${burners.length} busy processes, ${loaded.failed} failed`);
  return {
    figures: {
      p50_us: percentile(quiet.lateUs, 50),
      p99_us: percentile(quiet.lateUs, 99),
      max_us: Math.max(...quiet.lateUs),
      loaded_p50_us: percentile(loaded.lateUs, 50),
      loaded_p99_us: percentile(loaded.lateUs, 99),
      loaded_max_us: Math.max(...loaded.lateUs),
      failed: quiet.failed + loaded.failed,
      realtime: Number(quiet.realtime),
    },
    baseline: { timer_p99_us: percentile(quiet.timerUs, 99), loaded_timer_p99_us: percentile(loaded.timerUs, 99) },
    targets: [
      { figure: 'p99_us', atMost: 200 },
      { figure: 'loaded_p99_us', atMost: 1000 },
    ],
  };
}

if (process.argv[1] === import.meta.filename) await inside();
