/**
 * Bench `session`: one agent, a process of its own with the flags of x0d, and 64 routers here that have a session with it.
 * `mib_64`: how much more memory the agent takes with 64 sessions than with one, each asked and answered; `mib_64_burst`: how
 * much more after all of what follows, since what a burst took stays with the allocator. `msgs_s`: requests with a small body
 * and their answers, 32 of each router under way; `mb_s`: requests of 60 kB in the stream for bulk; with 1, 8, 64 routers.
 */
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import type { Exchange } from '../../agent/peer/exchange.ts';
import { credentialsOf, dialler, mesh, otherRouter } from './peers.ts';
import { memoryOf } from './proc.ts';
import type { BenchResult, Progress } from './stats.ts';

const SIZES = [1, 8, 64];
const MOST = 64;
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
  const memory: Record<string, number> = {};
  const settled = async (): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return memoryOf(pid).rssMib;
  };
  while (sessions.length < MOST) {
    const credentials = credentialsOf(router(`r${sessions.length}`));
    const session = await dialler(credentials).dial(at);
    for (let i = 0; i < 20; i++) await session.request('echo', SMALL);
    sessions.push(session);
    if (SIZES.includes(sessions.length)) memory[sessions.length] = await settled();
    // A router lets 25 strangers a second knock.
    await new Promise((resolve) => setTimeout(resolve, 45));
  }
  const figures: Record<string, number> = {};
  for (const size of SIZES) {
    progress(`${size} routers`);
    const some = sessions.slice(0, size);
    figures[`msgs_s_${size}`] = await rate(some, UNDER_WAY, (session) => session.request('echo', SMALL));
    const bulk = { priority: 'bulk' } as const;
    const large = await rate(some, 2, (session) => session.request('sink', LARGE, bulk));
    figures[`mb_s_${size}`] = (large * LARGE.length) / 1e6;
  }
  const after = await settled();
  child.disconnect();
  return {
    figures: {
      msgs_s: figures.msgs_s_1!,
      mb_s: figures.mb_s_1!,
      mib_8: memory[8]! - memory[1]!,
      mib_64: memory[64]! - memory[1]!,
      mib_64_burst: after - memory[1]!,
      ...figures,
    },
    baseline: {},
    targets: [{ figure: 'mib_64', atMost: 16 }],
  };
}
