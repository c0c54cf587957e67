/**
 * Bench `catalogue`: every fault that the lab can make, by x0lab's own scenarios and report: how many of them an agent
 * names rightly and how many are repaired before a person takes them back (several kernels side by side), the median time
 * of the repair (one kernel alone), and what batman-adv does by itself. tools/lab/verdicts.ts says what is right.
 *
 *     found_pct       of the faults that have a name
 *     repaired_pct    of those that a router can repair
 *     false_actions   in all runs with agents, those of faults without a name among them
 *     FAULT_found_pct, FAULT_repaired_pct, FAULT_repair_ms, FAULT_detect_ms: a row a fault; baseline: FAULT_repaired_pct,
 *                     FAULT_repair_ms without agents
 *
 * For a quick look: `--runs N`; X0_BENCH_ONLY with faults, as in `carrier-loss,delay`; X0_BENCH_WIDTH kernels side by side
 * (3, 0 for none: then all there is are the runs alone); X0_BENCH_ALONE runs alone (2, 0 for none: then the times are those
 * of kernels side by side); X0_BENCH_LOGS a directory for the agents' logs.
 */
import { join } from 'node:path';
import { FAULTS, parseScenario, type Scenario } from '../../agent/twin/scenario.ts';
import { play } from '../lab/play.ts';
import { buildReport, type FaultReport, type RunReport } from '../lab/report.ts';
import { prepareLab, umlMissing } from '../lab/uml.ts';
import { isOfTheLab, type LabFault, VERDICTS } from '../lab/verdicts.ts';
import { type BenchResult, median, type Progress, percentile } from './stats.ts';
import { runsOr, sideBySide } from './trials.ts';

const RUNS = 5;
/** batman-adv alone does the same each time. */
const OFF_RUNS = 2;
const WIDTH = Number(process.env.X0_BENCH_WIDTH ?? 3);
const ALONE = Number(process.env.X0_BENCH_ALONE ?? 2);
const ONLY = process.env.X0_BENCH_ONLY?.split(',');
/** From one fault's end to the next: an agent keeps an eye on an interface that has failed. */
const REST_S = 40;
/**
 * What was changed for a fault is given back a minute after it is over: until then a gateway that stood down is none, and a
 * link that costs more than it is worth is no way around the next one; and where loops are avoided there is no storm. And TQ rests
 * on 64 OGMs.
 */
const LONG_REST_S = 180;
/**
 * A link that is made dear a second time within the hour stays so for two minutes from when it is seen to be good, which takes
 * two more; links are four here, and faults five.
 */
const DEAR_REST_S = 300;
const FIRST_S = 5;
/** What is a fault only beside what a link used to be: an agent that has just begun does not know that yet. */
const HISTORY_S = 150;
/**
 * Loop avoidance that storms call for again and again stays on twice as long each time, and where it is on there is no fourth
 * storm to find: the next ones get a kernel of their own.
 */
const MOST_IN_ONE: Readonly<Partial<Record<LabFault, number>>> = { 'bridge-loop': 3 };
/** They leave nothing of the CPU to a kernel beside them. */
const HUNGRY: ReadonlySet<LabFault> = new Set(['bridge-loop', 'cpu-hog', 'memory-pressure']);
const BY_HISTORY: ReadonlySet<LabFault> = new Set(['partial-loss', 'delay', 'partition']);
const DEAR: ReadonlySet<LabFault> = new Set(['partial-loss', 'delay']);
const LASTING: ReadonlySet<LabFault> = new Set(['partition', 'bridge-loop']);

/** A storm is told beside what is usual, and the lab's one CPU has little room above that. */
const PACES: Readonly<Partial<Record<LabFault, number>>> = { 'bridge-loop': 50 };

/** With agents side by side, without agents, with agents and the machine to itself. */
type Kind = 'on' | 'off' | 'alone';

/** What a fault is made of here, but for its name and its time. `turn` moves it round the ring. */
type Trial = (turn: number) => Readonly<Record<string, unknown>> & { readonly for_s?: number };

const inUse =
  (more: Readonly<Record<string, unknown>> & { readonly for_s?: number } = {}): Trial =>
  (turn) => ({ link: 'in-use', along: `p${(turn % 4) + 1}`, for_s: 25, ...more });
const atNode =
  (more: Readonly<Record<string, unknown>> & { readonly for_s?: number } = {}): Trial =>
  (turn) => ({ node: `r${(turn + 1) % 4}`, for_s: 25, ...more });
const onTheWay: Trial = (turn) => ({ node: 'in-use', along: `p${(turn % 4) + 1}`, for_s: 35 });

const TRIALS: Readonly<Record<LabFault, Trial>> = {
  'carrier-loss': inUse(),
  'silent-loss': inUse(),
  // What is told by a window of 64 OGMs, by echoes every ten seconds, or by looks every fifteen, takes its time.
  'partial-loss': inUse({ loss_pct: 35, for_s: 120 }),
  delay: inUse({ delay_ms: 150, jitter_ms: 20, for_s: 150 }),
  'one-way': inUse({ for_s: 45 }),
  flapping: inUse({ down_s: 1.5, up_s: 3, for_s: 30 }),
  partition: (turn) => ({ nodes: [`r${turn % 4}`, `r${(turn + 1) % 4}`], for_s: 25 }),
  'router-killed': onTheWay,
  'agent-killed': atNode({ for_s: 5 }),
  'agent-stopped': atNode(),
  'interface-deleted': inUse(),
  'interface-taken': inUse(),
  'interface-bridged': inUse(),
  'mtu-lowered': inUse({ mtu: 1400 }),
  'bat0-deleted': onTheWay,
  'bat0-down': atNode(),
  'bat0-unbridged': atNode(),
  // The router itself says so within a minute; the others when they have forgotten it, after four.
  'algorithm-changed': atNode({ for_s: 120 }),
  'setting-changed': (turn) => ({
    node: `r${(turn + 1) % 4}`,
    for_s: 25,
    ...[
      { setting: 'hop_penalty', value: 200 },
      { setting: 'orig_interval_ms', value: 20_000 },
      { setting: 'fragmentation', value: false },
      { setting: 'bla', value: true },
      { setting: 'distributed_arp_table', value: false },
    ][turn % 5],
  }),
  // The gateways are r0 and r3 of a ring of six: each is the nearest of two clients.
  'gateway-gone': (turn) => ({ node: `r${(turn % 2) * 3}`, for_s: 60 }),
  'upstream-gone': (turn) => ({ node: `r${(turn % 2) * 3}`, for_s: 90 }),
  'bridge-loop': () => ({ nodes: ['r0', 'r2'], for_s: 60 }),
  // A download keeps a router busy for less than a minute, and an upgrade takes its memory for a moment.
  'cpu-hog': atNode({ processes: 3, for_s: 90 }),
  'memory-pressure': atNode({ leave_mib: 20, for_s: 90 }),
  'clock-stepped': (turn) => ({ node: 'r0', step_s: turn % 2 === 0 ? 3600 : -7200 }),
};

/** So many faults of a kind, one after the other; `turn` says where the first one strikes. */
export function scenarioOf(fault: LabFault, runs: number, turn: number): Scenario {
  const isGateway = fault === 'gateway-gone' || fault === 'upstream-gone';
  const rest = DEAR.has(fault) ? DEAR_REST_S : isGateway || LASTING.has(fault) ? LONG_REST_S : REST_S;
  const every = (TRIALS[fault](turn).for_s ?? 0) + rest;
  const first = BY_HISTORY.has(fault) ? HISTORY_S : FIRST_S;
  const document = {
    format: 1,
    name: fault,
    topology: { kind: 'ring', nodes: isGateway ? 6 : 4 },
    ...(isGateway && { kernel: { gw_mode: 'client' }, nodes: { r0: { gateway: {} }, r3: { gateway: {} } } }),
    // Classes that have to earn it elsewhere act here from the beginning: it is their repairs that are counted.
    agent: {
      config: { heal: { dead_after: 10 } },
      modes: Object.fromEntries(VERDICTS[fault].names.map((kind) => [kind, 'act'])),
    },
    // Every router is the start of a way, so that the link in use is another one each time.
    probes: [0, 1, 2, 3].map((n) => ({ from: `r${n}`, to: `r${(n + 2) % 4}`, interval_ms: PACES[fault] ?? 5 })),
    timeline: Array.from({ length: runs }, (_, i) => ({
      at_s: first + i * every,
      fault,
      ...TRIALS[fault](turn + i),
    })),
    duration_s: first + runs * every,
  };
  const parsed = parseScenario(JSON.stringify(document));
  if (!parsed.ok) throw new Error(`${fault}: ${JSON.stringify(parsed.problems)}`);
  return parsed.scenario;
}

/** One kernel; null where it did not come to its end, which is said and counted. */
async function trial(
  fault: LabFault,
  agent: 'on' | 'off',
  { runs, turn }: { runs: number; turn: number },
  progress: Progress,
): Promise<RunReport | null> {
  const scenario = scenarioOf(fault, runs, turn);
  const name = `${fault}, agents ${agent}`;
  try {
    const { X0_BENCH_LOGS: logs } = process.env;
    const played = await play(scenario, {
      agent,
      onSay: () => {},
      ...(logs === undefined || agent === 'off' ? {} : { logs: join(logs, `${fault}-${turn}`) }),
    });
    const [run] = buildReport(scenario, 'uml', [played]).runs;
    const faults = run!.faults;
    const found = faults.filter(({ detection_ms }) => detection_ms !== null).length;
    const repaired = faults.filter(({ repair_ms }) => repair_ms !== null).length;
    const classes = [...new Set(faults.flatMap((one) => one.classes))].join(' ') || 'nothing';
    for (const {
      name: one,
      what,
      detection_ms,
      repair_ms,
      nameable,
      repairable,
      actions,
      mended_ms,
      at_ms,
    } of faults) {
      const missing = [nameable && detection_ms === null && 'found', repairable && repair_ms === null && 'repaired'];
      if (agent === 'off' || missing.every((of) => of === false)) continue;
      const lasted = mended_ms === null ? 'to the end' : `${((mended_ms - at_ms) / 1000).toFixed(1)} s`;
      progress(
        `${name}: ${one}, ${what}, ${lasted}: not ${missing.filter(Boolean).join(', not ')}; ${actions} actions`,
      );
    }
    progress(
      `${name}: ${faults.length} times, ${found} found, ${repaired} repaired, ${run!.false_actions} false actions; said: ${classes}`,
    );
    for (const { router, action, class: of, because_of } of run!.actions)
      if (because_of === null) progress(`${name}: FALSE: ${router}: ${action} for ${of}`);
    for (const problem of run!.problems) progress(`${name}: NOT DONE: ${problem}`);
    return run!;
  } catch (thrown) {
    progress(`${name}: BROKEN: ${(thrown as Error).message}`);
    return null;
  }
}

const share = (some: readonly FaultReport[], of: readonly FaultReport[]): number | null =>
  of.length === 0 ? null : (100 * some.length) / of.length;
const foundPct = (faults: readonly FaultReport[]) =>
  share(
    faults.filter(({ detection_ms }) => detection_ms !== null),
    faults.filter(({ nameable }) => nameable),
  );
const repairedPct = (faults: readonly FaultReport[]) =>
  share(
    faults.filter(({ repair_ms }) => repair_ms !== null),
    faults.filter(({ repairable }) => repairable),
  );
/** Of those that were repaired: how many were not, the share beside it says. */
function middle(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : median(known);
}

export async function run(progress: Progress): Promise<BenchResult> {
  const missing = umlMissing();
  if (missing) throw new Error(missing);
  prepareLab();
  const runs = runsOr(RUNS);
  const faults = (Object.keys(FAULTS) as (keyof typeof FAULTS)[])
    .filter(isOfTheLab)
    .filter((fault) => ONLY?.includes(fault) ?? true);
  /** One kernel each. */
  const trials: { fault: LabFault; kind: Kind; runs: number; turn: number; run?: RunReport | null }[] = [];
  for (const fault of faults) {
    const most = MOST_IN_ONE[fault] ?? Number.POSITIVE_INFINITY;
    const split = (kind: Kind, count: number, first: number) => {
      for (let done = 0; done < count; done += most)
        trials.push({ fault, kind, runs: Math.min(most, count - done), turn: first + done });
    };
    if (WIDTH > 0) split('on', runs, 0);
    if (WIDTH > 0) split('off', Math.min(runs, OFF_RUNS), 0);
    if (VERDICTS[fault].repair !== 'none') split('alone', ALONE, runs);
  }
  const playAll = (some: typeof trials, width: number) =>
    sideBySide(
      some.map((one) => async () => {
        one.run = await trial(one.fault, one.kind === 'off' ? 'off' : 'on', one, progress);
      }),
      width,
    );
  const isModest = ({ fault }: { fault: LabFault }) => !HUNGRY.has(fault);
  const beside = trials.filter(({ kind }) => kind !== 'alone');
  await playAll(beside.filter(isModest), Math.max(1, WIDTH));
  await playAll(
    beside.filter((one) => !isModest(one)),
    1,
  );
  await playAll(
    trials.filter(({ kind }) => kind === 'alone'),
    1,
  );
  const figures: Record<string, number | null> = {};
  const baseline: Record<string, number | null> = {};
  const every: FaultReport[] = [];
  const all = trials.flatMap(({ kind, run }) => (kind === 'off' ? [] : [run ?? null]));
  for (const fault of faults) {
    const faultsOf = (kind: Kind) =>
      trials.flatMap((one) => (one.fault === fault && one.kind === kind ? (one.run?.faults ?? []) : []));
    const both = [...faultsOf('on'), ...faultsOf('alone')];
    const timed = faultsOf('alone').length > 0 ? faultsOf('alone') : faultsOf('on');
    const off = faultsOf('off');
    every.push(...both);
    if (VERDICTS[fault].names.length > 0) {
      figures[`${fault}_found_pct`] = foundPct(both);
      figures[`${fault}_detect_ms`] = middle(timed.map(({ detection_ms }) => detection_ms));
    }
    if (VERDICTS[fault].repair !== 'none') {
      figures[`${fault}_repaired_pct`] = repairedPct(both);
      figures[`${fault}_repair_ms`] = middle(timed.map(({ repair_ms }) => repair_ms));
      baseline[`${fault}_repaired_pct`] = repairedPct(off);
      baseline[`${fault}_repair_ms`] = middle(off.map(({ repair_ms }) => repair_ms));
    }
  }
  const repairs = every.flatMap(({ repair_ms }) => (repair_ms === null ? [] : [repair_ms]));
  return {
    figures: {
      found_pct: foundPct(every),
      repaired_pct: repairedPct(every),
      false_actions: all.reduce((sum, run) => sum + (run?.false_actions ?? 0), 0),
      trials: every.length,
      broken_kernels: all.filter((run) => run === null).length,
      repair_p50_ms: middle(repairs),
      repair_p95_ms: repairs.length === 0 ? null : percentile(repairs, 95),
      ...figures,
    },
    baseline,
    targets: [
      { figure: 'found_pct', atLeast: 98 },
      { figure: 'repaired_pct', atLeast: 96 },
      { figure: 'false_actions', atMost: 0 },
      { figure: 'broken_kernels', atMost: 0 },
    ],
  };
}
