/**
 * Bench `detect`: from a lost link in this machine's kernel to what the agent does about it. The real x0d runs in a
 * network namespace with veth ports (rig.ts: only batman-adv's tables are pretended). A witness in another process takes
 * a port's far end down and notes the instant right before; an independent subscriber of its notes when the kernel's
 * word was there; and at the far ends of the other ports the kernel stamps the first frame that the agent sends, which is
 * the alarm. So every time here is taken outside the agent, and its decision is counted as taken when it is on the air.
 *
 *     p50_ms, p99_ms   fault → first frame of the repair
 *     decide_p99_ms    the kernel's message with the subscriber → first frame: our part
 *     equal_...        ports with their peers' indexes, as real cards have: linkwatch tells of their carrier once a second
 *     late_share       of faults within that second: decided more than LATE_MS after the fault
 *
 * Baseline: the independent subscriber, which only stamps; its share of late events is that of an agent that does not
 * read carriers itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { type Note, prepare, Rig, stop, type Witness } from './rig.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

/** Fewer only to try the bench itself out. */
const FAULTS = Number(process.env.X0_BENCH_FAULTS ?? 500);
/** Carriers are read every 10 ms where an event may be late; the kernel itself takes up to a second. */
const LATE_MS = 15;
/** linkwatch's rate limit. */
const SECOND_MS = 1020;
/** Neither the budget of kicks nor the detaching of ports is measured here: with them a port could fail twice an hour. */
const CONFIG = `config heal 'heal'\n\toption detach '0'\n\toption kick_budget '600'\n`;

/** What became of one fault; milliseconds since it, Infinity for never (within its hold). */
export interface Detection {
  readonly heardMs: number;
  readonly actedMs: number;
}

/**
 * Pairs each fault with the first word of the kernel about that port and the first frame at any other port, both before
 * the next fault. `near` maps a far end's index to the port's own.
 */
export function pair(notes: readonly Note[], near: ReadonlyMap<number, number>): Detection[] {
  const sorted = [...notes].sort((a, b) => a.ns - b.ns);
  const found: Detection[] = [];
  for (const [at, fault] of sorted.entries()) {
    if (fault.what !== 'F') continue;
    let heardMs = Number.POSITIVE_INFINITY;
    let actedMs = Number.POSITIVE_INFINITY;
    for (const note of sorted.slice(at + 1)) {
      if (note.what === 'F') break;
      const ms = (note.ns - fault.ns) / 1e6;
      if (note.what === 'L' && note.index === near.get(fault.index) && !note.carrier) heardMs = Math.min(heardMs, ms);
      if (note.what === 'A' && note.index !== fault.index) actedMs = Math.min(actedMs, ms);
    }
    found.push({ heardMs, actedMs });
  }
  return found;
}

interface Series {
  readonly quiet: Detection[];
  readonly hasty: Detection[];
}

/** Unequal indexes: every event is urgent. Equal ones: one fault each second that the kernel tells at once, one that it holds back. */
export async function series(equalIndexes: boolean, progress: Progress): Promise<Series> {
  const rig = new Rig({ ports: 3, originators: 50, equalIndexes });
  let witness: Witness | null = null;
  try {
    const agent = await rig.agent({ flags: NODE_FLAGS, config: CONFIG });
    witness = rig.witness();
    const near = new Map(rig.far.map((far, n) => [far, rig.fixture.ports[n]!.index]));
    // An OGM of its own has to pass before the agent can kick; and the second after the start is linkwatch's.
    await sleep(3000);
    const quiet: Detection[] = [];
    const hasty: Detection[] = [];
    const strike = async (far: number, holdMs: number): Promise<Detection> => {
      await witness!.dump();
      witness!.set(far, false);
      await sleep(holdMs);
      const [detection] = pair(await witness!.dump(), near);
      witness!.set(far, true);
      return detection!;
    };
    for (let i = 0; i < FAULTS; i++) {
      const began = performance.now();
      const [far, other] = [rig.far[i % rig.far.length]!, rig.far[(i + 1) % rig.far.length]!];
      quiet.push(await strike(far, 25));
      // The frames of its kick are on their way for 64 ms: they must not be taken for the next fault's.
      await sleep(80 + Math.random() * 20);
      if (!equalIndexes) continue;
      await sleep(Math.random() * 600);
      hasty.push(await strike(other, 60));
      await sleep(Math.max(80, SECOND_MS - (performance.now() - began)));
      if (i % 50 === 49) progress(`equal indexes: ${i + 1} of ${FAULTS}`);
    }
    await stop(agent);
    return { quiet, hasty };
  } finally {
    witness?.close();
    rig.close();
  }
}

export function figuresOf(prefix: string, detections: readonly Detection[]): Record<string, number> {
  const acted = detections.map(({ actedMs }) => actedMs);
  const ours = detections.map(({ heardMs, actedMs }) => Math.max(0, actedMs - heardMs));
  return {
    [`${prefix}p50_ms`]: percentile(acted, 50),
    [`${prefix}p99_ms`]: percentile(acted, 99),
    [`${prefix}max_ms`]: Math.max(...acted),
    [`${prefix}decide_p50_ms`]: percentile(ours, 50),
    [`${prefix}decide_p99_ms`]: percentile(ours, 99),
  };
}

const share = (values: readonly number[]) => values.filter((ms) => ms > LATE_MS).length / values.length;

export async function run(progress: Progress): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  await prepare();
  progress(`unequal indexes: ${FAULTS} faults`);
  const unequal = await series(false, progress);
  progress(`equal indexes: ${FAULTS} faults a second apart, ${FAULTS} in between: ten minutes`);
  const equal = await series(true, progress);
  const heard = ({ quiet }: Series) => quiet.map(({ heardMs }) => heardMs);
  return {
    figures: {
      faults: unequal.quiet.length + equal.quiet.length + equal.hasty.length,
      ...figuresOf('', unequal.quiet),
      ...figuresOf('equal_', equal.quiet),
      late_share: share(equal.hasty.map(({ actedMs }) => actedMs)),
      late_p50_ms: percentile(
        equal.hasty.map(({ actedMs }) => actedMs),
        50,
      ),
      late_p99_ms: percentile(
        equal.hasty.map(({ actedMs }) => actedMs),
        99,
      ),
    },
    baseline: {
      subscriber_p50_ms: percentile(heard(unequal), 50),
      subscriber_p99_ms: percentile(heard(unequal), 99),
      subscriber_equal_p50_ms: percentile(heard(equal), 50),
      subscriber_equal_p99_ms: percentile(heard(equal), 99),
      events_only_late_share: share(equal.hasty.map(({ heardMs }) => heardMs)),
    },
    targets: [
      { figure: 'p99_ms', atMost: 0.75 },
      { figure: 'decide_p99_ms', atMost: 0.25 },
      { figure: 'equal_p99_ms', atMost: 0.75 },
      { figure: 'equal_decide_p99_ms', atMost: 0.25 },
    ],
  };
}
