/** What a scenario showed in the twin, over one seed or many: for x0ctl, as JSON and in words. */
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { isAction, isJudged, type Judged, judge, type Outcome } from './expected.ts';
import { isLost, lateOf, outage, runOf } from './outage.ts';
import type { Scenario } from './scenario.ts';
import type { Simulation } from './simulation.ts';
import { beginsAt } from './stage.ts';
import { type OnStep, play } from './trial.ts';

/** So long two routers are given to reach each other at the end. */
const REACH_WITHIN: Nanos = 2 * SECOND;
const REACH_EVERY: Nanos = 100 * MS;

export interface SeedReport {
  readonly seed: number;
  /** Of every decision and change, in their order. */
  readonly digest: string;
  readonly broken: readonly { readonly invariant: string; readonly atS: number; readonly what: string }[];
  /** By fault and probe, in milliseconds; none where no packet was sent while the fault lasted, or an end was off by it. */
  readonly outages: readonly {
    readonly fault: string;
    readonly probe: string;
    readonly ms: number;
    readonly back: boolean;
  }[];
  readonly repairs: Readonly<Record<string, number>>;
  /** Of what the scenario expects, what is of such agents and the twin can judge; nothing where an invariant was broken. */
  readonly expectations: readonly (Judged & { readonly path: string; readonly expect: string })[];
  readonly virtualS: number;
}

/** `mended`: afterwards everything outside is made whole, and what must hold after a quiet time is asked too. */
export function playSeed(scenario: Scenario, agents: 'on' | 'off', mended: boolean, onStep?: OnStep): SeedReport {
  const asked = [...scenario.expect.entries()].filter(
    ([, expectation]) => isJudged(expectation) && (expectation.agent === 'both' || expectation.agent === agents),
  );
  let reach: Outcome['reach'] = [];
  const atEnd = (simulation: Simulation): void => {
    if (asked.some(([, { expect }]) => expect === 'reachable' || expect === 'unreachable'))
      reach = reachOf(simulation, scenario.graph.nodes);
  };
  const { breaches, simulation } = play(scenario, { agents, mended, atEnd, ...(onStep && { onStep }) });
  const outcome = outcomeOf(scenario, simulation, reach);
  const repairs: Record<string, number> = {};
  for (const { decision } of simulation.journal) {
    if (decision.step !== 'verified' && decision.step !== 'rolled-back' && decision.step !== 'failed') continue;
    const key = `${decision.fault.class}: ${decision.action} ${decision.step}`;
    repairs[key] = (repairs[key] ?? 0) + 1;
  }
  return {
    seed: scenario.seed,
    digest: simulation.digest(),
    broken: breaches.map(({ invariant, at, what }) => ({ invariant, atS: at / SECOND, what })),
    outages: outcome.costs.map(({ fault, probe, outageMs, recovered }) => ({
      fault,
      probe,
      ms: Math.round(outageMs),
      back: recovered,
    })),
    repairs,
    expectations:
      breaches.length > 0
        ? []
        : asked.map(([i, expectation]) => ({
            path: `$.expect[${i}]`,
            expect: expectation.expect,
            ...judge(expectation, outcome)!,
          })),
    virtualS: Math.round(simulation.now / SECOND),
  };
}

/** Every two routers: by what their tables and the links between say, there and back. */
function reachOf(simulation: Simulation, names: readonly string[]): Outcome['reach'] {
  const found = names.flatMap((from, a) =>
    names.slice(a + 1).map((to, n) => ({ from, to, a, b: a + 1 + n, ok: false })),
  );
  const until = simulation.now + REACH_WITHIN;
  for (;;) {
    for (const pair of found)
      pair.ok ||= simulation.route(pair.a, pair.b).length > 0 && simulation.route(pair.b, pair.a).length > 0;
    if (simulation.now >= until || found.every(({ ok }) => ok)) break;
    simulation.run(simulation.now + REACH_EVERY);
  }
  return found.map(({ from, to, ok }) => ({ from, to, ok }));
}

/** As the lab reckons it (tools/lab/play-inside.ts): up to the mending or the next fault, and not where an end is off. */
function outcomeOf(scenario: Scenario, simulation: Simulation, reach: Outcome['reach']): Outcome {
  const { timeline, probes, graph } = scenario;
  const begin = beginsAt(scenario);
  const end = simulation.story.lengthNs;
  const instant = (atS: number) => begin + Math.round(atS * SECOND);
  const quiet = instant(Math.min(...timeline.map(({ at_s }) => at_s)));
  const usual = simulation.probes.map((sent) => {
    const before = sent.filter((one) => one.sent >= begin && one.sent < quiet);
    return before.filter((one) => isLost(one)).length / Math.max(1, before.length);
  });
  const costs = timeline.flatMap((entry, n) => {
    const at = instant(entry.at_s);
    const next = timeline.slice(n + 1).find(({ at_s }) => at_s > entry.at_s);
    const until = Math.min(
      end,
      ...(next === undefined ? [] : [instant(next.at_s)]),
      ...(entry.for_s === undefined ? [] : [instant(entry.at_s + entry.for_s)]),
    );
    const off = simulation.happened.flatMap((one) =>
      one.at === at && one.fault.kind === 'router-off' ? [graph.nodes[one.fault.router]!] : [],
    );
    return probes.flatMap(({ name: probe, from, to }, i) => {
      const sent = simulation.probes[i]!.filter((one) => one.sent >= at && one.sent < until);
      if (sent.length === 0 || off.includes(from) || off.includes(to)) return [];
      const { ns, recovered } = outage(sent, at, until, lateOf(entry), runOf(usual[i]!, sent.length));
      return [{ fault: entry.name, probe, outageMs: ns / MS, recovered }];
    });
  });
  const losses = probes.map(({ name }, i) => {
    const sent = simulation.probes[i]!.filter((one) => one.sent < end);
    const lost = sent.filter((one) => isLost(one)).length;
    return { name, lossPct: sent.length === 0 ? 0 : (100 * lost) / sent.length };
  });
  return { reach, costs, probes: losses, actions: actionsOf(scenario, simulation, begin, end) };
}

/** Each once, however many steps it took. */
function actionsOf({ graph }: Scenario, { journal }: Simulation, begin: Nanos, end: Nanos): Outcome['actions'] {
  const found = new Map<string, Outcome['actions'][number]>();
  for (const { at, node, decision } of journal) {
    const { fault, step, action } = decision;
    const key = `${node} ${fault.id} ${action}`;
    if (at > end || found.has(key) || !isAction({ step, action, class: fault.class })) continue;
    const router = graph.nodes[Number(node.slice(1))]!;
    found.set(key, { router, action, class: fault.class, atMs: (at - begin) / MS });
  }
  return [...found.values()];
}
