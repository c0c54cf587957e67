/**
 * Bench `session`: one agent, a process of its own with the flags of x0d, and 1, 8 and 64 routers here that have a session
 * with it. `msgs_s`: requests with a small body and their answers, 32 of each router under way; `mb_s`: requests of 60 kB in
 * the stream for bulk. `mib_64`: how much more memory the agent takes with 64 sessions than with one, all used.
 */
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import type { Exchange } from '../../agent/peer/exchange.ts';
import { credentialsOf, mesh, otherRouter, peersOf } from './peers.ts';
import { memoryOf } from './proc.ts';
import type { BenchResult, Progress } from './stats.ts';

const SIZES = [1, 8, 64];
const UNDER_WAY = 32;
const MEASURE_MS = 3000;
const SMALL = { fault: 'link-down', hops: 3, at: 123_456_789 };
const LARGE = new Uint8Array(60_000);

/** So much a second, with so many askers; each asks again when it has its answer. */
async function rate(sessions: readonly Exchange[], underWay: number, ask: (session: Exchange) => Promise<unknown>) {
  let answers = 0;
  const began = performance.now();
  const until = began + MEASURE_MS;
  const asker = async (session: Exchange): Promise<void> => {
    for (; performance.now() < until; answers++) await ask(session);
  };
  await Promise.all(sessions.flatMap((session) => Array.from({ length: underWay }, () => asker(session))));
  return (answers * 1000) / (performance.now() - began);
}

export async function run(progress: Progress): Promise<BenchResult> {
  const router = mesh();
  const { child, pid, ports } = await otherRouter(router('hub'), NODE_FLAGS);
  const at = { address: '127.0.0.1', port: ports.session };
  const sessions: Exchange[] = [];
  const memory: Record<number, number> = {};
  const figures: Record<string, number> = {};
  for (const size of SIZES) {
    while (sessions.length < size) {
      const credentials = credentialsOf(router(`r${sessions.length}`));
      sessions.push(await peersOf(credentials).visit(at, credentials.verify));
      await new Promise((resolve) => setTimeout(resolve, 45));
    }
    progress(`${size} routers`);
    figures[`msgs_s_${size}`] = await rate(sessions, UNDER_WAY, (session) => session.request('echo', SMALL));
    const bulk = { priority: 'bulk' } as const;
    figures[`mb_s_${size}`] =
      ((await rate(sessions, 2, (session) => session.request('sink', LARGE, bulk))) * LARGE.length) / 1e6;
    // What a burst has left behind is not what sessions take.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const { rssMib, anonMib } = memoryOf(pid);
    memory[size] = rssMib;
    figures[`rss_mib_${size}`] = rssMib;
    figures[`anon_mib_${size}`] = anonMib;
  }
  child.disconnect();
  return {
    figures: { msgs_s: figures.msgs_s_1!, mb_s: figures.mb_s_1!, mib_64: memory[64]! - memory[1]!, ...figures },
    baseline: {},
    targets: [{ figure: 'mib_64', atMost: 16 }],
  };
}
