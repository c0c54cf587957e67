/**
 * Bench `detect`: from the netlink message of a lost link, in this machine's kernel, to what the agent does about it. The
 * real x0d runs in a network namespace with veth ports (rig.ts: only batman-adv's tables are pretended). A witness in
 * another process takes a port's far end down and notes the instant right before; a filter on its netlink socket stamps
 * the message in the kernel, where it is handed to all subscribers; and at the far ends of the other ports the kernel
 * stamps the first frame that the agent sends, which is the alarm. So every time here is taken outside the agent, and its
 * decision is counted as taken only when it is on the air.
 *
 *     p50_ms, p99_ms   the message in the kernel → first frame of the repair: waking up, deciding, signing, sending
 *     fault_...        the far end taken down → first frame: with linkwatch's worker, which turns one into the other
 *     decide_p99_ms    the event in the agent's hands → the plan, by the agent's own histogram (an upper bound: the
 *                      bucket's end)
 *     equal_...        ports with their peers' indexes, as real cards have: linkwatch tells of their carrier once a second
 *     late_share       of faults within that second: decided more than LATE_MS after the fault
 *
 * Baseline: the witness's own subscriber, a thread of C at real-time priority that does nothing but take the message. Its
 * share of late events is that of an agent that does not read carriers itself, and is taken in a run of its own without
 * the agent: newer kernels (this one among them) tell of a carrier at once when somebody reads it, and then tell everybody.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { type Note, prepare, Rig, stop, type Witness } from './rig.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

/** Fewer only to try the bench itself out. */
const FAULTS = Number(process.env.X0_BENCH_FAULTS ?? 500);
/** Carriers are read every 10 ms where an event may be late; the kernel itself takes up to a second. */
const LATE_MS = 15;
/** linkwatch's rate limit, and its tick. */
const SECOND_MS = 1100;
/** Faults of the run without an agent: each takes a second. */
const SILENT = Math.min(100, FAULTS);
/** Neither the budgets nor the detaching of ports are measured here: with them a port could fail twice an hour. */
const CONFIG = `config heal 'heal'\n\toption detach '0'\n\toption kick_budget '600'\n\toption sender_budget '600'\n`;

/** What became of one fault; milliseconds since it, Infinity for never (within its hold). */
export interface Detection {
  /** The kernel said so, and the subscriber had it. */
  readonly saidMs: number;
  readonly heardMs: number;
  readonly actedMs: number;
}

/** What a series of faults showed: from outside, and as the agent itself counted. */
interface Shown {
  readonly detections: readonly Detection[];
  readonly metrics: string;
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
    let saidMs = Number.POSITIVE_INFINITY;
    let heardMs = Number.POSITIVE_INFINITY;
    let actedMs = Number.POSITIVE_INFINITY;
    for (const note of sorted.slice(at + 1)) {
      if (note.what === 'F') break;
      const ms = (note.ns - fault.ns) / 1e6;
      const isLoss = note.index === near.get(fault.index) && !note.carrier;
      if (note.what === 'K' && isLoss) saidMs = Math.min(saidMs, ms);
      if (note.what === 'L' && isLoss) heardMs = Math.min(heardMs, ms);
      if (note.what === 'A' && note.index !== fault.index) actedMs = Math.min(actedMs, ms);
    }
    found.push({ saidMs, heardMs, actedMs });
  }
  return found;
}

interface Series {
  readonly equalIndexes: boolean;
  readonly faults: number;
  /**
   * Ports that fail one after the other before all are mended: the far ends' own coming up, told when the second is
   * over, begins another one, so it must not fall into a fault's. One port more stays whole.
   */
  readonly group: number;
  /** How long the far end stays down: longer than the decision takes. */
  readonly holdMs: number;
  /** From one fault to the next, at least. */
  readonly apart: () => number;
  readonly withAgent?: boolean;
}

async function series({ equalIndexes, faults, group, holdMs, apart, withAgent = true }: Series): Promise<Shown> {
  const rig = new Rig({ ports: Math.max(3, group + 1), originators: 50, equalIndexes });
  let witness: Witness | null = null;
  try {
    const agent = withAgent ? await rig.agent({ flags: NODE_FLAGS, config: CONFIG }) : null;
    witness = rig.witness();
    const near = new Map(rig.far.map((far, n) => [far, rig.fixture.ports[n]!.index]));
    // An OGM of its own has to pass before the agent can kick; and the second after the start is linkwatch's.
    await sleep(3000);
    const found: Detection[] = [];
    // The frames of a kick are on their way for 64 ms: they must not be taken for the next fault's.
    const rest = (began: number) => sleep(Math.max(80, apart() - (performance.now() - began)));
    for (let i = 0; i < faults; i++) {
      const began = performance.now();
      await witness.dump();
      witness.set(rig.far[i % group]!, false);
      await sleep(holdMs);
      found.push(...pair(await witness.dump(), near));
      if (group > 1) await rest(began);
      // Somebody else's link on this machine took the second. Late once must not make the next one late too.
      if (group > 1 && found.at(-1)!.heardMs > 1) await sleep(SECOND_MS);
      if ((i + 1) % group > 0) continue;
      const mended = performance.now();
      for (const far of rig.far.slice(0, group)) witness.set(far, true);
      await rest(group > 1 ? mended : began);
    }
    const metrics = agent === null ? '' : rig.metrics();
    if (agent !== null) await stop(agent);
    return { detections: found, metrics };
  } finally {
    witness?.close();
    rig.close();
  }
}

/** A figure that would be infinite, because the agent or the kernel was silent too often, is none. */
const figure = (samples: readonly number[], p: number): number | null => {
  const value = percentile(samples, p);
  return Number.isFinite(value) ? value : null;
};

function figuresOf(prefix: string, { detections, metrics }: Shown): Record<string, number | null> {
  const acted = detections.map(({ actedMs }) => actedMs);
  // Where the agent saw the carrier's loss itself, before the kernel told of it, it waited for nothing.
  const ours = detections.map(({ saidMs, actedMs }) => Math.max(0, actedMs - Math.min(saidMs, actedMs)));
  return {
    [`${prefix}faults`]: detections.length,
    [`${prefix}missed`]: acted.filter((ms) => ms === Number.POSITIVE_INFINITY).length,
    [`${prefix}p50_ms`]: figure(ours, 50),
    [`${prefix}p99_ms`]: figure(ours, 99),
    [`${prefix}fault_p50_ms`]: figure(acted, 50),
    [`${prefix}fault_p99_ms`]: figure(acted, 99),
    [`${prefix}decide_p50_ms`]: bucketEnd(metrics, 50),
    [`${prefix}decide_p99_ms`]: bucketEnd(metrics, 99),
  };
}

/** Milliseconds: the end of the bucket of mesh_mttd_seconds that holds this percentile; null where nothing was counted. */
export function bucketEnd(metrics: string, p: number): number | null {
  const rows = [...metrics.matchAll(/^mesh_mttd_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)];
  const total = Number(rows.at(-1)?.[2] ?? 0);
  const row = rows.find(([, , count]) => total > 0 && Number(count) >= (p / 100) * total);
  return row === undefined || row[1] === '+Inf' ? null : Number(row[1]) * 1e3;
}

const share = (values: readonly number[]) => values.filter((ms) => ms > LATE_MS).length / values.length;

export async function run(progress: Progress): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  await prepare();
  progress(`unequal indexes: ${FAULTS} faults`);
  const unequal = await series({ equalIndexes: false, faults: FAULTS, group: 1, holdMs: 60, apart: () => 0 });
  progress(`equal indexes: ${FAULTS} faults a second apart, ten minutes`);
  const equal = await series({ equalIndexes: true, faults: FAULTS, group: 4, holdMs: 60, apart: () => SECOND_MS });
  progress(`equal indexes: ${FAULTS} faults within linkwatch's second`);
  const random = () => 100 + Math.random() * 200;
  const hasty = await series({ equalIndexes: true, faults: FAULTS, group: 1, holdMs: 60, apart: random });
  progress('the same without an agent: what the kernel tells of them, and when');
  const silent = await series({
    equalIndexes: true,
    faults: SILENT,
    group: 1,
    holdMs: SECOND_MS,
    apart: random,
    withAgent: false,
  });
  const late = silent.detections.map(({ heardMs }) => heardMs);
  const waking = ({ detections }: Shown) =>
    detections.map(({ saidMs, heardMs }) => heardMs - saidMs).filter(Number.isFinite);
  const acted = hasty.detections.map(({ actedMs }) => actedMs);
  return {
    figures: {
      ...figuresOf('', unequal),
      ...figuresOf('equal_', equal),
      late_share: share(acted),
      late_p50_ms: figure(acted, 50),
      late_p99_ms: figure(acted, 99),
    },
    baseline: {
      subscriber_p50_ms: figure(waking(unequal), 50),
      subscriber_p99_ms: figure(waking(unequal), 99),
      subscriber_equal_p50_ms: figure(waking(equal), 50),
      subscriber_equal_p99_ms: figure(waking(equal), 99),
      subscriber_late_share: share(late),
      subscriber_late_p50_ms: figure(late, 50),
    },
    targets: [
      { figure: 'p99_ms', atMost: 0.75 },
      { figure: 'decide_p99_ms', atMost: 0.25 },
      { figure: 'equal_p99_ms', atMost: 0.75 },
      { figure: 'equal_decide_p99_ms', atMost: 0.25 },
    ],
  };
}
