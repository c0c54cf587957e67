/**
 * The report of a scenario: per fault how soon it was found and repaired, what it cost, what the agents did and what of
 * that was wrong; with agents beside without; and whether what was expected holds. Pure. tools/lab/README.md documents the
 * JSON; within a format version members are only ever added.
 */
import {
  actionText,
  all,
  isAction,
  type Judged,
  judge as judgeAlike,
  type Outcome,
  shownMs,
} from '../../agent/twin/expected.ts';
import { counted } from '../../agent/twin/fields.ts';
import type { Expectation, Scenario } from '../../agent/twin/scenario.ts';
import type { JournalRow, Played, PlayedFault } from './played.ts';
import { ENDS_OF_LINKS, VERDICTS, type Verdict } from './verdicts.ts';

export const REPORT_FORMAT = 1;

/** What a fault does goes on for so long after it was taken back: interfaces are let in again, neighbours recounted. */
const AFTERMATH_MS = 45_000;
/** An agent may stamp its evidence by a clock read a moment before ours. */
const BEFORE_MS = 50;

export interface FaultReport {
  readonly name: string;
  readonly fault: string;
  readonly what: string;
  readonly at_ms: number;
  readonly mended_ms: number | null;
  /** From the fault to the first decision that names it rightly; null if none did, or there is nothing to name. */
  readonly detection_ms: number | null;
  /** Whether the fault has a name that an agent could say; where not, `detection_ms` is null and that is right. */
  readonly nameable: boolean;
  /** The class that named it, and where. */
  readonly named: { readonly class: string; readonly router: string } | null;
  /** Every class that the agents said while it lasted. */
  readonly classes: readonly string[];
  /** From the fault to the repair; null if it was not repaired before it was taken back, or has no repair. */
  readonly repair_ms: number | null;
  /** Whether it is one that a router can repair. */
  readonly repairable: boolean;
  readonly packets_lost: number;
  readonly probes: readonly {
    readonly probe: string;
    readonly outage_ms: number;
    readonly lost: number;
    readonly runs_of_losses: number;
    readonly recovered: boolean;
  }[];
  readonly actions: number;
  readonly rollbacks: number;
}

export interface ActionReport {
  readonly at_ms: number;
  readonly router: string;
  readonly class: string;
  readonly action: string;
  readonly ended: string;
  /** The fault of the timeline that explains it; null for a false action. */
  readonly because_of: string | null;
}

export interface RunReport {
  readonly agent: 'on' | 'off';
  /** What of the timeline could not be done, in words; then the report is not ok. */
  readonly problems: readonly string[];
  /** What of the machine it was played on speaks against the figures, in words. */
  readonly warnings: readonly string[];
  readonly faults: readonly FaultReport[];
  readonly probes: readonly {
    readonly name: string;
    readonly from: string;
    readonly to: string;
    readonly sent: number;
    readonly lost: number;
    readonly loss_pct: number;
    readonly longest_stall_ms: number;
  }[];
  readonly actions: readonly ActionReport[];
  readonly false_actions: number;
  readonly rollbacks: number;
  readonly agents: readonly { readonly router: string; readonly state: string; readonly exit: string | null }[];
  readonly drift: readonly string[];
}

export interface ExpectationReport {
  readonly path: string;
  readonly expect: string;
  readonly agent: 'on' | 'off';
  readonly held: boolean;
  /** In words: the figures, or what did not hold. */
  readonly why: string;
}

export interface Report {
  readonly report: typeof REPORT_FORMAT;
  readonly scenario: string;
  readonly description: string | null;
  readonly kernel: 'uml' | 'netns' | 'qemu';
  readonly seed: number;
  readonly ok: boolean;
  readonly expectations: readonly ExpectationReport[];
  readonly runs: readonly RunReport[];
}

export function buildReport(scenario: Scenario, kernel: Report['kernel'], played: readonly Played[]): Report {
  const runs = played.map((one) => runReport(scenario, one));
  const expectations = scenario.expect.flatMap((expectation, i) =>
    played.flatMap((one, n) =>
      expectation.agent !== 'both' && expectation.agent !== one.agent
        ? []
        : [
            {
              path: `$.expect[${i}]`,
              expect: expectation.expect,
              agent: one.agent,
              ...judge(expectation, scenario, one, runs[n]!),
            },
          ],
    ),
  );
  return {
    report: REPORT_FORMAT,
    scenario: scenario.name,
    description: scenario.description ?? null,
    kernel,
    seed: scenario.seed,
    ok: expectations.every(({ held }) => held) && runs.every(({ problems }) => problems.length === 0),
    expectations,
    runs,
  };
}

/** When entries of the journal can be this fault's doing. */
const isWithin = (fault: PlayedFault, atMs: number) =>
  atMs >= fault.atMs - BEFORE_MS && atMs <= (fault.mendedMs ?? Number.POSITIVE_INFINITY) + AFTERMATH_MS;

/** While it is there, whatever else befalls the mesh meanwhile; but not what is said of the next one of its kind. */
function rowsDuring(fault: PlayedFault, { journal, faults }: Played): JournalRow[] {
  const next = faults.find((other) => other.fault === fault.fault && other.atMs > fault.atMs);
  const until = Math.min(fault.mendedMs ?? Number.POSITIVE_INFINITY, next?.atMs ?? Number.POSITIVE_INFINITY);
  return journal.filter(({ atMs }) => atMs >= fault.atMs - BEFORE_MS && atMs <= until);
}

/** Whether who says it can see it at first hand, and says it of the right interface. */
function isThere(fault: PlayedFault, { router, interface: name }: JournalRow): boolean {
  if (!fault.routers.includes(router)) return false;
  const names = fault.interfaces[router];
  return names === undefined || name === null || name === '' || names.includes(name);
}

function verdictOf({ fault, links }: PlayedFault): Verdict {
  const verdict = VERDICTS[fault as keyof typeof VERDICTS];
  // The only router that could tell sees the link end, and nothing else.
  const isLeaf = fault === 'router-killed' && links.length === 1;
  return isLeaf ? { ...verdict, names: [...verdict.names, ...ENDS_OF_LINKS] } : verdict;
}

const names = (fault: PlayedFault, row: JournalRow) =>
  verdictOf(fault).names.includes(row.class) && isThere(fault, row);

function explains(fault: PlayedFault, row: JournalRow): boolean {
  if (!isWithin(fault, row.atMs)) return false;
  return names(fault, row) || verdictOf(fault).follows.includes(row.class);
}

/** Actions that were taken, each once, with how it ended. */
function actionsOf(journal: readonly JournalRow[]): { first: JournalRow; ended: string }[] {
  const found = new Map<string, { first: JournalRow; ended: string }>();
  for (const row of journal) {
    if (!isAction(row)) continue;
    const key = JSON.stringify([row.router, row.fault, row.action]);
    const known = found.get(key);
    found.set(key, { first: known?.first ?? row, ended: row.step });
  }
  return [...found.values()];
}

function runReport(scenario: Scenario, played: Played): RunReport {
  const nameOf = (router: number) => scenario.graph.nodes[router]!;
  const { journal, faults } = played;
  const actions = actionsOf(journal).map(({ first, ended }): ActionReport => {
    // Of several faults that explain it the latest is the likeliest.
    const because = faults.filter((fault) => explains(fault, first)).sort((a, b) => b.atMs - a.atMs)[0];
    return {
      at_ms: first.atMs,
      router: nameOf(first.router),
      class: first.class,
      action: first.action,
      ended,
      because_of: because?.name ?? null,
    };
  });
  return {
    agent: played.agent,
    problems: played.problems,
    warnings: warningsOf(scenario, played),
    faults: faults.map((fault) => faultReport(fault, played, actions, nameOf)),
    probes: played.probes.map(({ name, from, to, sent, lost, stallMs }) => ({
      name,
      from: nameOf(from),
      to: nameOf(to),
      sent,
      lost,
      loss_pct: sent === 0 ? 0 : (100 * lost) / sent,
      longest_stall_ms: stallMs,
    })),
    actions,
    false_actions: actions.filter(({ because_of }) => because_of === null).length,
    rollbacks: actions.filter(({ ended }) => ended === 'rolled-back').length,
    agents: played.agents.map(({ router, state, exit }) => ({ router: nameOf(router), state, exit })),
    drift: played.drift,
  };
}

/** From then on silence, repairs and false actions may be the machine's doing. */
const STALL_MS = 1000;
/** What is in use is looked up first. */
const LATE_MS = 2000;

function warningsOf({ timeline }: Scenario, { probes, faults }: Played): string[] {
  const stall = Math.max(0, ...probes.map(({ stallMs }) => stallMs));
  const stalled =
    stall < STALL_MS
      ? []
      : [`this machine stood still for up to ${shownMs(stall)}: what was found, done and lost then may be its doing`];
  const late = faults.flatMap(({ name, atMs }) => {
    const wanted = timeline.find((entry) => entry.name === name)?.at_s;
    const lateMs = wanted === undefined ? 0 : atMs - wanted * 1000;
    return lateMs < LATE_MS ? [] : [`${name} came ${shownMs(lateMs)} late: this machine is too slow for the scenario`];
  });
  return [...stalled, ...late];
}

function faultReport(
  fault: PlayedFault,
  played: Played,
  actions: readonly ActionReport[],
  nameOf: (router: number) => string,
): FaultReport {
  const { repair, names: right } = verdictOf(fault);
  const during = rowsDuring(fault, played);
  const first = during.find((row) => names(fault, row));
  const own = actions.filter(({ because_of }) => because_of === fault.name);
  return {
    name: fault.name,
    fault: fault.fault,
    what: fault.what,
    at_ms: fault.atMs,
    mended_ms: fault.mendedMs,
    detection_ms: first === undefined ? null : Math.max(0, first.atMs - fault.atMs),
    nameable: right.length > 0,
    named: first === undefined ? null : { class: first.class, router: nameOf(first.router) },
    classes: [...new Set(during.map((row) => row.class))],
    repair_ms: repairOf(fault, repair),
    repairable: repair !== 'none',
    packets_lost: fault.costs.reduce((sum, { lost }) => sum + lost, 0),
    probes: fault.costs.map(({ probe, outageMs, lost, runs, recovered }) => ({
      probe,
      outage_ms: outageMs,
      lost,
      runs_of_losses: runs,
      recovered,
    })),
    actions: own.length,
    rollbacks: own.filter(({ ended }) => ended === 'rolled-back').length,
  };
}

/** Packets have to flow for this last part of a fault's time: in between they may by luck. */
const LAST_PART = 0.2;

function repairOf({ atMs, untilMs, restoredMs, costs }: PlayedFault, how: 'traffic' | 'state' | 'none'): number | null {
  if (how === 'none' || costs.some(({ recovered }) => !recovered)) return null;
  const outage = Math.max(0, ...costs.map(({ outageMs }) => outageMs));
  if (outage > (1 - LAST_PART) * (untilMs - atMs)) return null;
  if (how === 'traffic') return costs.length === 0 ? null : outage;
  return restoredMs === undefined || restoredMs === null ? null : Math.max(restoredMs - atMs, outage);
}

// ---- expectations ----

/** As far as the twin judges alike. */
const outcomeOf = ({ graph }: Scenario, { reach, faults }: Played, { probes, actions }: RunReport): Outcome => ({
  reach: reach.map(({ from, to, ok }) => ({ from: graph.nodes[from]!, to: graph.nodes[to]!, ok })),
  costs: faults.flatMap(({ name, costs }) =>
    costs.map(({ probe, outageMs, recovered }) => ({ fault: name, probe, outageMs, recovered })),
  ),
  probes: probes.map(({ name, loss_pct }) => ({ name, lossPct: loss_pct })),
  actions: actions.map(({ router, action, class: of, at_ms }) => ({ router, action, class: of, atMs: at_ms })),
});

function judge(expectation: Expectation, scenario: Scenario, played: Played, run: RunReport): Judged {
  const alike = judgeAlike(expectation, outcomeOf(scenario, played, run));
  if (alike !== null) return alike;
  const about = <T extends { readonly name: string }>(of: readonly T[], name: string | undefined) =>
    name === undefined ? of : of.filter((one) => one.name === name);
  switch (expectation.expect) {
    case 'found':
      return found(expectation, played, run);
    case 'repaired': {
      // Of all faults only those count that have a repair; one that is named has to be repaired.
      const faults = about(run.faults, expectation.fault).filter(
        ({ repairable }) => repairable || expectation.fault !== undefined,
      );
      const limit = (expectation.within_s ?? Number.POSITIVE_INFINITY) * 1000;
      const said = ({ name, repair_ms, repairable }: FaultReport) =>
        repair_ms !== null
          ? `${name} was repaired after ${shownMs(repair_ms)}`
          : repairable
            ? `${name} was not repaired`
            : `${name} is no fault that a router could repair`;
      const isWrong = ({ repair_ms }: FaultReport) => repair_ms === null || repair_ms > limit;
      if (faults.length === 0) return { held: false, why: 'no such fault was made' };
      return all(faults.filter(isWrong).map(said), faults.map(said).join('; '));
    }
    case 'no-false-actions':
      return all(
        run.actions.filter(({ because_of }) => because_of === null).map(describe),
        `${counted(run.actions.length, 'action')}, all of them explained`,
      );
    case 'settings-as-before':
      return all(played.drift, 'nothing differs');
    default:
      return all(
        run.agents
          .filter(({ state }) => state === 'ended')
          .map(({ router, exit }) => `the agent of ${router} ended with ${exit}`),
        counted(run.agents.length, 'agent'),
      );
  }
}

const describe = ({ router, action, class: of, at_ms }: ActionReport) =>
  actionText({ router, action, class: of, atMs: at_ms });

function found(expectation: Extract<Expectation, { expect: 'found' }>, played: Played, run: RunReport): Judged {
  const { fault: only, as, within_s: within } = expectation;
  const wrong: string[] = [];
  const right: string[] = [];
  for (const [i, fault] of played.faults.entries()) {
    // Of all faults only those count that have a name; one that is asked for has to be found.
    if (only === undefined ? !as && !run.faults[i]!.nameable : fault.name !== only) continue;
    // Classes that the scenario itself calls right, wherever they are said.
    const named = as ? rowsDuring(fault, played).find(({ class: said }) => as.includes(said)) : undefined;
    const ms = as ? (named === undefined ? null : Math.max(0, named.atMs - fault.atMs)) : run.faults[i]!.detection_ms;
    if (ms === null) {
      const said = run.faults[i]!.classes.join(', ');
      wrong.push(`${fault.name} was not named; what was said: ${said === '' ? 'nothing' : said}`);
    } else if (ms > (within ?? Number.POSITIVE_INFINITY) * 1000)
      wrong.push(`${fault.name} was found after ${shownMs(ms)}`);
    else right.push(`${fault.name} was found after ${shownMs(ms)}`);
  }
  if (wrong.length + right.length === 0) return { held: false, why: 'no such fault was made' };
  return all(wrong, right.join('; '));
}
