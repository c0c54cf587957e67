/**
 * Plays one scenario inside the lab's kernel, for play.ts: builds the mesh, starts the agents, makes the faults at their
 * times, and writes what came of it. LAB_RESULTS holds play.json (what to play) and gets played.json.
 *
 * There is one CPU in here: in the moments after a fault nothing is started and nobody asked, but for a fault whose
 * repair shows in a state, which is looked at several times a second.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toMs } from '../../agent/core/time.ts';
import { isLost, lateOf } from '../../agent/twin/outage.ts';
import type { Scenario, TimelineEntry } from '../../agent/twin/scenario.ts';
import { Control } from './ask.ts';
import type { KernelName } from './kernels.ts';
import { Mesh, monotonicNs, nsOf, run, type Topology } from './mesh.ts';
import { outage, type ProbeRecord, usualLossOf } from './outage.ts';
import type { Cost, JournalRow, Loss, Played, PlayedAgent, PlayedFault, PlayedProbe, Stretch } from './played.ts';
import { type Agent, type AgentConfig, agentDir, Probe, startAgent, stopAgents } from './scenario.ts';
import { differences, type Snapshot, snapshots } from './snapshot.ts';
import {
  applySettings,
  buildLans,
  buildUpstreams,
  lanPairs,
  lonelyLans,
  type Made,
  Striker,
  settingsOf,
  Weather,
} from './strikes.ts';
import { hasRoom, TAPE_MIB, tapeName } from './tapes.ts';

export interface Play {
  readonly scenario: Scenario;
  readonly kernel: KernelName;
  readonly agent: 'on' | 'off';
  /** Copies the agents' logs beside the results. */
  readonly logs: boolean;
}

const WARM_MS = 240_000;
/** With many kernels side by side, or emulated, an agent's start that takes a second takes many. */
const READY_MS = { uml: 60_000, qemu: 120_000 } as const;
/** How often a state is looked at. */
const LOOK_MS = 150;
/** A state that is as before for a moment, while one repair follows another, is none that is repaired. */
const STAYS_NS = 5e9;
/** Stretches of a probe in a report: as many as a page has room for. */
const STRETCHES = 600;
const MOST_LOSSES = 3000;
/** Entries of a journal that are asked for at once, and in all that a report holds. */
const PAGE = 1000;
const MOST_ENTRIES = 20_000;
/** For so long the mesh may settle before what is left of a fault counts as left. */
const SETTLED_MS = 20_000;
/** These end an agent, or stop it. */
const ENDS: ReadonlySet<string> = new Set(['router-killed', 'gateway-gone', 'agent-killed', 'agent-stopped']);
/** Mended, these start an agent. */
const RESTARTS: ReadonlySet<string> = new Set(['router-killed', 'gateway-gone', 'agent-killed']);

/** Where the agents' recordings grow; its size is their limit. */
const TAPES = '/tmp/tapes';

const { LAB_RESULTS: results } = process.env;
const say = (text: string) => process.stdout.write(`${JSON.stringify({ say: text })}\n`);

class Stage {
  readonly scenario: Scenario;
  readonly mesh: Mesh;
  readonly withAgents: boolean;
  readonly #readyMs: number;
  readonly #agents = new Map<number, Agent>();
  readonly #starting = new Set<Promise<void>>();
  readonly #starts = new Map<number, number>();
  /** Whom the timeline ended, or stopped. */
  readonly #taken = new Set<number>();
  readonly #stopped = new Set<number>();
  readonly #ended = new Map<number, string>();
  /** By router, fault and step: an agent that is started again has its journal from its flash. */
  readonly #journal = new Map<string, JournalRow & { readonly atNs: number }>();

  constructor(scenario: Scenario, mesh: Mesh, withAgents: boolean, readyMs: number) {
    this.#readyMs = readyMs;
    this.scenario = scenario;
    this.mesh = mesh;
    this.withAgents = withAgents;
  }

  startAgent = async (router: number): Promise<void> => {
    const starting = this.#start(router);
    this.#starting.add(starting);
    await starting.finally(() => this.#starting.delete(starting));
  };

  async #start(router: number): Promise<void> {
    if (!this.#wanted().includes(router)) return;
    const { nodes } = this.scenario.graph;
    const config = configOf(this.scenario);
    const named: AgentConfig = { ...config, mesh: { ...config.mesh, node_name: hostName(nodes[router]!, router) } };
    const start = (this.#starts.get(router) ?? 0) + 1;
    this.#starts.set(router, start);
    const args = ['--record', join(TAPES, tapeName(router, start))];
    const agent = await startAgent(router, { config: named, readyMs: this.#readyMs, args });
    await this.#setModes(router, agent);
    this.#agents.set(router, agent);
    this.#taken.delete(router);
    void agent.exited.then((code) => {
      if (this.#agents.get(router) !== agent) return;
      this.#agents.delete(router);
      this.#ended.set(router, String(code));
    });
  }

  async #setModes(router: number, { socket }: Agent): Promise<void> {
    const control = new Control(socket);
    for (const [kind, mode] of Object.entries(this.scenario.agent.modes)) {
      const { status, body } = await control.ask('POST', '/heal/mode', { class: kind, mode });
      if (status !== 200) this.problems.add(`r${router}: ${kind} cannot be set to ${mode}: ${JSON.stringify(body)}`);
    }
    control.close();
  }

  /** What of the scenario could not be done. */
  readonly problems = new Set<string>();

  killAgent = async (router: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void> => {
    const agent = this.#agents.get(router);
    if (agent === undefined) return;
    if (signal === 'SIGSTOP') this.#stopped.add(router);
    if (signal === 'SIGCONT') this.#stopped.delete(router);
    if (signal === 'SIGKILL') {
      // What is not on flash yet would be gone, and it is evidence. At an instant that does not count.
      this.#agents.delete(router);
      this.#taken.add(router);
    }
    agent.kill(signal);
    if (signal === 'SIGKILL') await agent.exited;
  };

  #wanted(): number[] {
    const { agent, graph } = this.scenario;
    if (!this.withAgents) return [];
    return (agent.nodes ?? graph.nodes).map((name) => graph.nodes.indexOf(name));
  }

  async startAgents(): Promise<void> {
    const wanted = this.#wanted();
    if (wanted.length === 0) return;
    mkdirSync(TAPES, { recursive: true });
    await run('mount', ['-t', 'tmpfs', '-o', `size=${TAPE_MIB * wanted.length}m`, 'tapes', TAPES]);
    for (const router of wanted) await this.startAgent(router);
  }

  /** Takes what is in the agents' journals now. */
  async readJournals(of = [...this.#agents.keys()]): Promise<void> {
    for (const router of of) {
      const agent = this.#agents.get(router);
      if (agent === undefined || this.#stopped.has(router)) continue;
      const control = new Control(agent.socket);
      try {
        for (let since = 0, more = true; more; ) {
          const { entries } = await control.get<{ entries: Told[] }>(`/heal/log?limit=${PAGE}&since=${since}`);
          for (const { id, afterMs, faultAtNs, class: kind, interface: on, ...told } of entries) {
            const { fault, peer, step, action, why, result } = told;
            const atNs = faultAtNs + afterMs * 1e6;
            const row = { router, atMs: 0, atNs, fault, class: kind, interface: on, peer, step, action, why, result };
            this.#journal.set(JSON.stringify([router, fault, step, action, Math.round(atNs)]), row);
            since = id;
          }
          more = entries.length === PAGE && this.#journal.size < MOST_ENTRIES;
        }
      } catch (thrown) {
        say(`r${router} does not answer: ${(thrown as Error).message}`);
      } finally {
        control.close();
      }
    }
  }

  /** Before the timeline takes an agent away. One that is still starting could not be found then, and would run on. */
  async beforeEnd({ fault }: TimelineEntry): Promise<void> {
    if (!ENDS.has(fault)) return;
    await Promise.allSettled(this.#starting);
    if (fault === 'agent-stopped') return;
    await this.readJournals();
    await sleep(200);
  }

  /** Ends what the timeline began with the agents, reads their journals, and ends them. */
  async end(startNs: number): Promise<{ journal: JournalRow[]; agents: PlayedAgent[] }> {
    for (const router of this.#stopped) this.#agents.get(router)?.kill('SIGCONT');
    if (this.#stopped.size > 0) await sleep(1000);
    this.#stopped.clear();
    await this.readJournals();
    const journal = [...this.#journal.values()]
      .map(({ atNs, ...row }) => ({ ...row, atMs: (atNs - startNs) / 1e6 }))
      .sort((a, b) => a.atMs - b.atMs);
    const agents = this.#wanted().map((router): PlayedAgent => {
      const state = this.#agents.has(router) ? 'running' : this.#taken.has(router) ? 'taken' : 'ended';
      return { router, state, exit: this.#ended.get(router) ?? null };
    });
    return { journal, agents };
  }

  async stopAgents(): Promise<void> {
    const running = [...this.#agents.values()];
    this.#agents.clear();
    await stopAgents(running);
    if (this.#starts.size === 0) return;
    if (!hasRoom(TAPES)) say('the recordings had no more room, and end early');
    // They are replayed outside, where there are time and memory for it.
    const outside = join(results!, 'tapes');
    mkdirSync(outside);
    for (const tape of readdirSync(TAPES)) cpSync(join(TAPES, tape), join(outside, tape));
  }
}

interface Told extends Omit<JournalRow, 'router' | 'atMs'> {
  readonly id: number;
  readonly afterMs: number;
  readonly faultAtNs: number;
}

/** A name that the agent's configuration takes. */
const hostName = (name: string, router: number) => (/^[A-Za-z0-9._-]{1,63}$/.test(name) ? name : nsOf(router));

function configOf({ agent }: Scenario): AgentConfig {
  return Object.fromEntries(
    Object.entries(agent.config).map(([section, options]) => [
      section,
      Object.fromEntries(
        Object.entries(options).map(([name, value]) => [name, typeof value === 'boolean' ? Number(value) : value]),
      ),
    ]),
  );
}

function topologyOf({ graph, name }: Scenario, kernel: KernelName): Topology {
  const shared = kernel === 'qemu' ? 'radio' : 'air';
  return {
    name,
    routers: graph.nodes.length,
    links: graph.links.map(({ a, b }) => [a, b] as const),
    medium: graph.medium === 'shared' ? shared : 'cable',
  };
}

async function build(scenario: Scenario, on: KernelName): Promise<{ mesh: Mesh; weather: Weather; flowingMs: number }> {
  const { graph, kernel } = scenario;
  const all = graph.nodes.map((_, n) => n);
  const otherAlgorithm = Object.fromEntries(
    all.map((n) => [n, settingsOf(scenario, n).algorithm] as const).filter(([, own]) => own !== kernel.algorithm),
  );
  const mesh = await Mesh.build(topologyOf(scenario, on), {
    algorithm: kernel.algorithm,
    origIntervalMs: kernel.orig_interval_ms,
    bla: kernel.bla,
    otherAlgorithm,
  });
  const gateways = all.filter((n) => scenario.nodes[graph.nodes[n]!]?.gateway);
  await buildUpstreams(gateways);
  await buildLans(mesh, lanPairs(scenario), lonelyLans(scenario));
  let flowingMs = Number.NaN;
  if (Object.keys(otherAlgorithm).length === 0) flowingMs = await mesh.warm(WARM_MS);
  else {
    // A mesh of two kinds never becomes whole.
    await mesh.setInterval(60);
    await sleep(8000);
    await mesh.setInterval(kernel.orig_interval_ms);
  }
  for (const n of all) await applySettings(mesh, scenario, n);
  const weather = new Weather(mesh, scenario);
  await weather.settle();
  return { mesh, weather, flowingMs };
}

/** A fault that is under way, or over. */
interface Struck {
  readonly entry: TimelineEntry;
  readonly made: Made;
  mendedNs: number | null;
  restoredNs: number | null;
}

async function timeline(
  stage: Stage,
  weather: Weather,
  startNs: number,
): Promise<{ struck: Struck[]; problems: string[] }> {
  const { scenario } = stage;
  const striker = new Striker(stage, weather);
  const struck: Struck[] = [];
  const problems: string[] = [];
  const trouble = (name: string, doing: string) => (thrown: unknown) => {
    problems.push(`${name}: ${doing}: ${(thrown as Error).message}`);
    say(problems.at(-1)!);
  };
  const watching: Promise<void>[] = [];
  // Not by the clock: on a laden machine a fault comes late, and is to be looked at all the same.
  let isOver = false;
  const background: Promise<void>[] = [];
  const until = (s: number) => sleep(Math.max(0, s * 1000 - (monotonicNs() - startNs) / 1e6));
  type Step = { readonly at: number; readonly run: () => Promise<void> };
  const steps: Step[] = scenario.timeline.flatMap((entry) => {
    let one: Struck | undefined;
    const begin: Step = {
      at: entry.at_s,
      run: async () => {
        await stage.beforeEnd(entry);
        const made = await striker.strike(entry).catch(trouble(entry.name, 'it could not be made'));
        if (made === undefined) return;
        one = { entry, made, mendedNs: null, restoredNs: null };
        struck.push(one);
        say(`${((made.ns - startNs) / 1e9).toFixed(1)} s: ${entry.name}: ${entry.fault}, ${made.what}`);
        if (made.repaired) watching.push(watch(one, made.repaired, () => isOver));
      },
    };
    if (entry.for_s === undefined) return [begin];
    const end: Step = {
      at: entry.at_s + entry.for_s,
      run: async () => {
        if (one === undefined) return;
        // A laden machine strikes late; the fault lasts as long all the same.
        await until((one.made.ns - startNs) / 1e9 + entry.for_s!);
        one.mendedNs = monotonicNs();
        const mending = one.made.mend().catch(trouble(entry.name, 'it could not be taken back'));
        // An agent takes a second to start: that must not delay what comes next.
        if (RESTARTS.has(entry.fault)) background.push(mending);
        else await mending;
        say(`${((one.mendedNs - startNs) / 1e9).toFixed(1)} s: ${entry.name} is taken back`);
      },
    };
    return [begin, end];
  });
  for (const { at, run } of steps.sort((a, b) => a.at - b.at)) {
    await until(at);
    await run();
  }
  await until(scenario.duration_s);
  isOver = true;
  await Promise.all([...watching, ...background]);
  return { struck, problems };
}

/** Looks until the state is as before and stays so, or a person has made it so, or the end has come. */
async function watch(one: Struck, repaired: () => Promise<boolean>, isOver: () => boolean): Promise<void> {
  while (one.mendedNs === null && !isOver()) {
    await sleep(LOOK_MS);
    const before = monotonicNs();
    // A look that fails tells nothing.
    const is = await repaired().catch(() => null);
    // It may have been mended while we looked.
    if (one.mendedNs !== null) return;
    if (is === null) continue;
    if (!is) one.restoredNs = null;
    else if (one.restoredNs === null) one.restoredNs = before;
    else if (before - one.restoredNs >= STAYS_NS) return;
  }
}

interface Watched {
  readonly name: string;
  readonly ends: readonly number[];
  readonly records: readonly ProbeRecord[];
}

function costsOf(one: Struck, untilNs: number, firstNs: number, probes: readonly Watched[]): Cost[] {
  const { entry, made } = one;
  const lateMs = toMs(lateOf(entry));
  return probes.flatMap(({ name, ends, records }) => {
    if (ends.some((end) => made.dead?.includes(end))) return [];
    try {
      const { outageMs, lost, runs, recovered } = outage(records, made.ns, {
        untilNs,
        lateMs,
        usualLoss: usualLossOf(records, firstNs),
      });
      return [{ probe: name, outageMs, lost, runs, recovered }];
    } catch {
      // No packet was sent in that time.
      return [];
    }
  });
}

function stretches(records: readonly ProbeRecord[], startNs: number, durationS: number): Stretch[] {
  const width = Math.max(100, Math.ceil((durationS * 1000) / STRETCHES));
  const found = new Map<number, { sent: number; lost: number; delay: number }>();
  for (const record of records) {
    const { sent, received } = record;
    const at = Math.floor((sent - startNs) / 1e6 / width);
    const one = found.get(at) ?? { sent: 0, lost: 0, delay: 0 };
    one.sent += 1;
    if (isLost(record)) one.lost += 1;
    else one.delay += received - sent;
    found.set(at, one);
  }
  return [...found].map(([at, { sent, lost, delay }]) => [
    at * width,
    sent,
    lost,
    Math.round(delay / 1000 / Math.max(1, sent - lost)),
  ]);
}

function losses(records: readonly ProbeRecord[], startNs: number): Loss[] {
  const found: Loss[] = [];
  let from = -1;
  let count = 0;
  for (const record of records) {
    const { sent } = record;
    if (isLost(record)) {
      if (count === 0) from = sent;
      count += 1;
    } else if (count > 0) {
      found.push([(from - startNs) / 1e6, (sent - startNs) / 1e6, count]);
      count = 0;
      if (found.length === MOST_LOSSES) return found;
    }
  }
  if (count > 0) found.push([(from - startNs) / 1e6, (records.at(-1)!.sent - startNs) / 1e6, count]);
  return found;
}

/** Every two routers. */
async function reachOf(mesh: Mesh): Promise<Played['reach']> {
  const pairs: { from: number; to: number }[] = [];
  for (let from = 0; from < mesh.size; from++) for (let to = from + 1; to < mesh.size; to++) pairs.push({ from, to });
  const found: { from: number; to: number; ok: boolean }[] = [];
  // One question a router at a time: the probe's port is one for all.
  for (const { from, to } of pairs) found.push({ from, to, ok: await mesh.reaches(from, to, 2000) });
  return found;
}

async function driftOf(before: readonly Snapshot[], mesh: Mesh, names: readonly string[]): Promise<string[]> {
  const end = monotonicNs() + SETTLED_MS * 1e6;
  for (;;) {
    const now = await snapshots(mesh);
    const drift = before.flatMap((then, n) => differences(then, now[n]!).map((one) => `${names[n]}: ${one}`));
    if (drift.length === 0 || monotonicNs() > end) return drift;
    await sleep(1000);
  }
}

async function play({ scenario, kernel, agent, logs }: Play): Promise<Played> {
  const { graph, duration_s: durationS } = scenario;
  say(`${graph.nodes.length} routers, ${graph.links.length} links, ${scenario.kernel.algorithm}, agents ${agent}`);
  const { mesh, weather, flowingMs } = await build(scenario, kernel);
  say(`traffic flowed after ${(flowingMs / 1000).toFixed(1)} s`);
  const stage = new Stage(scenario, mesh, agent === 'on', READY_MS[kernel]);
  await stage.startAgents();
  const before = await snapshots(mesh);
  const numberOf = (name: string) => graph.nodes.indexOf(name);
  const probes = await Promise.all(
    scenario.probes.map(async (probe, i) => ({
      ...probe,
      running: await Probe.start(numberOf(probe.from), numberOf(probe.to), {
        paceUs: Math.round(probe.interval_ms * 1000),
        bytes: probe.bytes,
        echo: probe.echo,
        port: 7100 + 4 * i,
      }),
    })),
  );
  await sleep(scenario.settle_s * 1000);
  const startNs = monotonicNs();
  const { struck, problems } = await timeline(stage, weather, startNs);
  const endNs = monotonicNs();
  // What was sent a moment ago may still arrive.
  await sleep(100);
  const watched = await Promise.all(
    probes.map(async (probe) => ({
      ...probe,
      ends: [numberOf(probe.from), numberOf(probe.to)],
      records: (await probe.running.records(startNs - 1e9)).filter(({ sent }) => sent < endNs),
    })),
  );
  const summaries = await Promise.all(probes.map(({ running }) => running.stop()));
  const { journal, agents } = await stage.end(startNs);
  const ms = (ns: number) => (ns - startNs) / 1e6;
  const faults = struck.map((one, i): PlayedFault => {
    const { entry, made, mendedNs, restoredNs } = one;
    const next = struck.slice(i + 1).find((other) => other.made.ns > made.ns)?.made.ns ?? endNs;
    const untilNs = Math.min(mendedNs ?? endNs, next, endNs);
    return {
      name: entry.name,
      fault: entry.fault,
      what: made.what,
      atMs: ms(made.ns),
      mendedMs: mendedNs === null ? null : ms(mendedNs),
      untilMs: ms(untilNs),
      routers: made.routers,
      interfaces: made.interfaces,
      links: made.links,
      ...(made.repaired && { restoredMs: restoredNs === null ? null : ms(restoredNs) }),
      costs: costsOf(one, untilNs, Math.min(...struck.map(({ made }) => made.ns)), watched),
    };
  });
  const drift = scenario.expect.some(({ expect }) => expect === 'settings-as-before')
    ? await driftOf(before, mesh, graph.nodes)
    : [];
  const reach = scenario.expect.some(({ expect }) => expect === 'reachable' || expect === 'unreachable')
    ? await reachOf(mesh)
    : [];
  await stage.stopAgents();
  if (logs)
    for (const n of graph.nodes.keys()) {
      const log = join(agentDir(n), 'log');
      if (existsSync(log)) cpSync(log, join(results!, `${nsOf(n)}.log`), { force: true });
    }
  return {
    agent,
    flowingMs,
    durationMs: durationS * 1000,
    problems: [...stage.problems, ...problems],
    faults,
    probes: watched.map(({ name, from, to, records }, i): PlayedProbe => {
      const counted = records.filter(({ sent }) => sent >= startNs);
      const lost = counted.filter((record) => isLost(record)).length;
      return {
        name,
        from: numberOf(from),
        to: numberOf(to),
        sent: counted.length,
        lost,
        stallMs: summaries[i]!.stallUs / 1000,
        stretches: stretches(counted, startNs, durationS),
        losses: losses(counted, startNs),
      };
    }),
    journal,
    agents,
    reach,
    drift,
  };
}

try {
  const what = JSON.parse(readFileSync(join(results!, 'play.json'), 'utf8')) as Play;
  writeFileSync(join(results!, 'played.json'), JSON.stringify(await play(what)));
  process.exit(0);
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).stack}\n`);
  process.exit(1);
}
