/**
 * Plays a scenario in a kernel of its own, user-mode Linux or Debian's in QEMU, and answers what came of it. In QEMU a
 * shared medium is one of radios (mac80211_hwsim).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { below, type Problem, shown } from '../../agent/twin/fields.ts';
import type { Scenario, TimelineEntry } from '../../agent/twin/scenario.ts';
import { KERNELS, type KernelName } from './kernels.ts';
import type { Play } from './play-inside.ts';
import type { Played } from './played.ts';
import { lanPairs } from './strikes.ts';
import { replayTapes, TAPE_MIB } from './tapes.ts';
import { TWIN_ONLY, VERDICTS } from './verdicts.ts';

/** Addresses are of one network of 254, a MAC has one byte for the router, and all share one CPU. */
const MOST_ROUTERS = 64;
/** A far end's index has room for so many interfaces of a router. */
const MOST_INTERFACES = 60;
const BASE_MIB = 400;
/** Debian's kernel with its modules, and what is written over its read-only files. */
const QEMU_MIB = 600;
/** Emulated code is ten times slower, and each frame of a radio passes through one more program. */
const MOST_EMULATED = 12;
const ROUTER_MIB = 6;
/** What an agent takes at work, and what it may grow to before the kernel's memory is the fault. */
const AGENT_MIB = 120;

export interface PlayOptions {
  /** uml, where none is named. */
  readonly kernel?: KernelName;
  readonly agent: 'on' | 'off';
  readonly onSay?: (text: string) => void;
  /** A directory for the agents' logs, and for recordings that do not replay. */
  readonly logs?: string;
  readonly signal?: AbortSignal;
}

function memoryMib({ graph, agent, timeline }: Scenario, withAgents: boolean, kernel: KernelName): number {
  const agents = withAgents ? (agent.nodes ?? graph.nodes).length : 0;
  const pressure = timeline.map((entry) => (entry.fault === 'memory-pressure' ? (entry.mib ?? 0) : 0));
  const base = BASE_MIB + (kernel === 'qemu' ? QEMU_MIB : 0);
  return base + ROUTER_MIB * graph.nodes.length + (AGENT_MIB + TAPE_MIB) * agents + 2 * Math.max(0, ...pressure);
}

/** Options that say where the lab keeps what. */
const OURS = new Set([
  'mesh.interface',
  'mesh.primary',
  'mesh.node_name',
  'report.socket',
  'state.directory',
  'workload.socket',
]);

/** Who plays a scenario need not have read it, and the lab's kernels see this machine's files. */
const PROGRAMS = new Set(['alert.command']);

/** What of the agents' configuration no scenario may say here. */
function configProblems({ agent }: Scenario): Problem[] {
  const found: Problem[] = [];
  for (const [section, options] of Object.entries(agent.config))
    for (const name of Object.keys(options)) {
      const option = `${section}.${name}`;
      const why = OURS.has(option)
        ? "is the lab's own"
        : PROGRAMS.has(option)
          ? 'a scenario starts no program on the machine that plays it'
          : null;
      const path = below(below('$.agent.config', section), name);
      if (why !== null) found.push({ code: 'E_SCENARIO_KEY', path, message: why });
    }
  return found;
}

/** Radios cannot do what cables can: why not, by fault. */
const NOT_BY_RADIO: Readonly<Record<string, string>> = {
  delay: 'the emulated air has loss and no delay',
  'interface-deleted': "mac80211_hwsim's interfaces cannot be deleted one by one",
  'interface-bridged': 'a mesh point in a bridge would be another network',
};

/** What of a scenario cannot be played over radios, which is what a shared medium is in QEMU. */
function radioProblems({ link, links, timeline }: Scenario): Problem[] {
  const found: Problem[] = [];
  const say = (path: string, message: string) => found.push({ code: 'E_SCENARIO_VALUE', path, message });
  const still = ['delay_ms', 'jitter_ms', 'rate_kbit_s'] as const;
  for (const [path, properties] of [
    ['$.link', link] as const,
    ...links.map((own, i) => [`$.links[${i}]`, own] as const),
  ])
    for (const name of still)
      if ((properties[name] ?? 0) > 0) say(below(path, name), 'over radios (--kernel qemu) only loss can be made');
  for (const [i, { fault }] of timeline.entries()) {
    const why = NOT_BY_RADIO[fault];
    if (why !== undefined) say(`$.timeline[${i}].fault`, `cannot be made over radios (--kernel qemu): ${why}`);
  }
  return found;
}

/** What is whole again once a fault is taken back, whoever else broke it; nothing of what is only known when it comes. */
function wholeAfter(entry: TimelineEntry, { graph }: Scenario): string[] {
  const numberOf = (name: string) => graph.nodes.indexOf(name);
  const nameOf = ({ a, b }: { a: number; b: number }) => `the link ${graph.nodes[a]} - ${graph.nodes[b]}`;
  const linksOf = (isIt: (a: number, b: number) => boolean) => graph.links.filter(({ a, b }) => isIt(a, b)).map(nameOf);
  const isShared = graph.medium !== 'cable';
  if ('link' in entry) {
    if (typeof entry.link === 'string') return [];
    const [from, to] = entry.link.map(numberOf) as [number, number];
    const link = linksOf((a, b) => (a === from && b === to) || (a === to && b === from));
    const port = `the interface of ${entry.link[0]}${isShared ? '' : ` towards ${entry.link[1]}`}`;
    switch (entry.fault) {
      case 'carrier-loss':
      case 'silent-loss':
      case 'flapping':
        return link;
      case 'one-way':
        return isShared ? link : [];
      case 'interface-deleted':
        return isShared ? [port] : [port, ...link];
      case 'interface-taken':
      case 'interface-bridged':
        return [port];
      default:
        return [];
    }
  }
  if (entry.fault === 'partition') {
    const side = new Set(entry.nodes.map(numberOf));
    return linksOf((a, b) => side.has(a) !== side.has(b));
  }
  if (!('node' in entry) || !graph.nodes.includes(entry.node)) return [];
  const agent = `the agent of ${entry.node}`;
  const node = numberOf(entry.node);
  switch (entry.fault) {
    case 'router-killed':
    case 'gateway-gone':
      return [agent, ...linksOf((a, b) => a === node || b === node)];
    case 'agent-killed':
    case 'agent-stopped':
    case 'algorithm-changed':
      return [agent];
    default:
      return [];
  }
}

/** Different faults at once in one place, of which the first that is taken back would end the other too. */
function entangled(scenario: Scenario): Problem[] {
  const found: Problem[] = [];
  const spans = scenario.timeline.map((entry, i) => ({
    i,
    entry,
    places: wholeAfter(entry, scenario),
    to: entry.at_s + (entry.for_s ?? Number.POSITIVE_INFINITY),
  }));
  for (const [n, one] of spans.entries())
    for (const other of spans.slice(0, n)) {
      // What both leave broken to the end nobody makes whole.
      if (other.to <= one.entry.at_s || (one.entry.for_s === undefined && other.entry.for_s === undefined)) continue;
      const place = one.places.find((at) => other.places.includes(at));
      if (place === undefined) continue;
      const message = `${other.entry.name} has ${place} too, and is not over then: this lab would take back both at once`;
      found.push({ code: 'E_SCENARIO_VALUE', path: `$.timeline[${one.i}].at_s`, message });
      break;
    }
  return found;
}

/** Expectations that no run can meet, in words: the report has all else, and that they did not hold. */
export function hopeless({ expect, timeline, probes }: Scenario): string[] {
  const found: string[] = [];
  for (const [i, expectation] of expect.entries()) {
    if (expectation.expect !== 'found' && expectation.expect !== 'repaired') continue;
    const { fault: only } = expectation;
    const asked = timeline
      .filter(({ name }) => only === undefined || name === only)
      .map(({ fault }) => VERDICTS[fault]);
    const path = only === undefined ? `$.expect[${i}].expect` : `$.expect[${i}].fault`;
    const say = (message: string) => found.push(`${path}: ${message}`);
    const which = only === undefined ? 'no fault of the timeline' : `no fault like ${shown(only)}`;
    if (expectation.expect === 'found') {
      if (expectation.as === undefined && asked.every(({ names }) => names.length === 0))
        say(`${which} has a name that an agent could say; \`as\` says what counts`);
      continue;
    }
    const repairable = asked.filter(({ repair }) => repair !== 'none');
    if (repairable.length === 0) say(`${which} can be repaired by a router`);
    else if (probes.length === 0 && repairable.some(({ repair }) => repair === 'traffic'))
      say('only a probe can tell whether packets flow again, and there is none');
  }
  return found;
}

/** What this lab cannot play of a scenario that is as such well made. */
export function unplayable(scenario: Scenario, on: KernelName = 'uml'): Problem[] {
  const { graph, timeline, kernel } = scenario;
  const isRadio = on === 'qemu' && graph.medium === 'shared';
  const found: Problem[] = [
    ...configProblems(scenario),
    ...entangled(scenario),
    ...(isRadio ? radioProblems(scenario) : []),
  ];
  const say = (code: Problem['code'], path: string, message: string) => found.push({ code, path, message });
  if (graph.medium === 'radio')
    say(
      'E_SCENARIO_VALUE',
      '$.topology.medium',
      'radio is played in the twin only (x0ctl twin run); shared is what this lab has, over emulated radios with --kernel qemu',
    );
  if (graph.nodes.length > MOST_ROUTERS)
    say('E_SCENARIO_LIMIT', '$.topology', `has ${graph.nodes.length} nodes; one kernel takes at most ${MOST_ROUTERS}`);
  if (on === 'qemu' && graph.nodes.length > MOST_EMULATED)
    say('E_SCENARIO_LIMIT', '$.topology', `has ${graph.nodes.length} nodes; QEMU plays at most ${MOST_EMULATED}`);
  const ends = new Map<number, number>();
  if (graph.medium === 'cable')
    for (const { a, b } of graph.links) for (const n of [a, b]) ends.set(n, (ends.get(n) ?? 0) + 1);
  for (const [n, count] of ends)
    if (count > MOST_INTERFACES)
      say(
        'E_SCENARIO_LIMIT',
        '$.topology',
        `${shown(graph.nodes[n])} has ${count} links; a router takes at most ${MOST_INTERFACES} cables`,
      );
  const need = memoryMib(scenario, true, on);
  const free = freemem() / 2 ** 20;
  if (need > free)
    say(
      'E_SCENARIO_LIMIT',
      '$.topology',
      `needs ${need} MiB of memory for its agents; this machine has ${free | 0} free`,
    );
  const pairs = lanPairs(scenario);
  const shared = pairs.flat().find((n, i, all) => all.indexOf(n) !== i);
  for (const [i, entry] of timeline.entries()) {
    if (entry.fault === 'bridge-loop' && shared !== undefined && entry.nodes.includes(graph.nodes[shared]!))
      say(
        'E_SCENARIO_VALUE',
        `$.timeline[${i}].nodes`,
        `${shown(graph.nodes[shared])} is joined to several LANs: this lab gives a router one cable for that`,
      );
    if (entry.fault === 'setting-changed' && entry.setting === 'elp_interval_ms' && kernel.algorithm !== 'BATMAN_V')
      say('E_SCENARIO_VALUE', `$.timeline[${i}].setting`, 'elp_interval_ms is there under BATMAN_V only');
    if (entry.fault === 'table-stale' || entry.fault === 'route-stuck')
      say(
        'E_SCENARIO_VALUE',
        `$.timeline[${i}].fault`,
        `${entry.fault} can be made in the twin only (x0ctl twin run): ${TWIN_ONLY[entry.fault]}`,
      );
    const anew = timeline.find(({ fault }) => fault === 'bat0-deleted' || fault === 'algorithm-changed');
    if ((entry.fault === 'bridge-loop' || entry.fault === 'bat0-unbridged') && anew !== undefined)
      say(
        'E_SCENARIO_VALUE',
        `$.timeline[${i}].fault`,
        `this lab cannot make bat0 anew under a bridge: not with ${anew.fault}`,
      );
  }
  return found;
}

/**
 * Its problems tell also which agents' recordings do not replay. Throws what the kernel said last where the scenario could
 * not be played to its end.
 */
export async function play(
  scenario: Scenario,
  { kernel = 'uml', agent, onSay, logs, signal }: PlayOptions,
): Promise<Played> {
  const work = mkdtempSync(join(tmpdir(), 'x0lab-'));
  const console: string[] = [];
  const what: Play = { scenario, kernel, agent, logs: logs !== undefined };
  try {
    writeFileSync(join(work, 'play.json'), JSON.stringify(what));
    const { X0_LAB_BUNDLE: bundle } = process.env;
    const guest = KERNELS[kernel].boot({
      script: join(import.meta.dirname, 'play-inside.ts'),
      memMb: memoryMib(scenario, agent === 'on', kernel),
      results: work,
      env: { NODE_NO_WARNINGS: '1', ...(bundle === undefined ? {} : { X0_LAB_BUNDLE: bundle }) },
      onConsole: (line) => void console.push(line),
      onLine: (line) => {
        try {
          onSay?.((JSON.parse(line) as { say: string }).say);
        } catch {
          console.push(line);
        }
      },
    });
    const end = () => guest.kill();
    process.once('exit', end);
    signal?.addEventListener('abort', end, { once: true });
    const code = await guest.exited;
    process.off('exit', end);
    signal?.throwIfAborted();
    if (logs !== undefined) keepLogs(work, logs, scenario.graph.nodes.length);
    if (code !== 0) throw new Error(`the kernel ended with ${code}: ${console.slice(-12).join('\n')}`);
    const played = JSON.parse(readFileSync(join(work, 'played.json'), 'utf8')) as Played;
    return played.agents.length === 0 ? played : replayed(played, join(work, 'tapes'), onSay, logs);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** With a problem for each recording that does not replay, and one where there is none to replay. */
export function replayed(played: Played, tapes: string, onSay?: (text: string) => void, logs?: string): Played {
  const { recordings, events, decisions, problems } = replayTapes(tapes, logs);
  onSay?.(`${recordings} recordings replayed: ${events} events, ${decisions} decisions`);
  const missing = recordings === 0 ? ['no agent has left a recording'] : [];
  return { ...played, problems: [...played.problems, ...problems, ...missing] };
}

function keepLogs(work: string, to: string, routers: number): void {
  mkdirSync(to, { recursive: true });
  for (let n = 0; n < routers; n++) {
    try {
      writeFileSync(join(to, `r${n}.log`), readFileSync(join(work, `r${n}.log`)));
    } catch {
      // No agent ran there.
    }
  }
}
