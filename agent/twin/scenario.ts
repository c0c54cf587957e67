/**
 * Scenarios: a mesh, what befalls it, who watches, and what has to hold at the end, as JSON that people write. The lab
 * plays them on real kernels, the twin under virtual time. tools/lab/README.md is the page for people; the JSON Schema
 * beside it is made of the tables here.
 *
 * Format version 1. Within a version members are only ever added. Units are in the key names. Every node that a
 * scenario names has a number, its place in `graph.nodes`.
 */
import { ROWS } from '../config/schema.ts';
import { repeatedMember } from '../core/json.ts';
import { isFaultClass } from '../heal/faults/catalogue.ts';
import {
  below,
  described,
  type Field,
  flag,
  integer,
  isComment,
  type JsonSchema,
  list,
  number,
  type Of,
  object,
  oneOf,
  optional,
  type Problem,
  pair,
  record,
  type Say,
  shown,
  text,
  textOr,
  variants,
  withDefault,
} from './fields.ts';
import {
  buildTopology,
  type MeshGraph,
  MOST_LINKS,
  MOST_NODES,
  nodeName,
  type ReadFile,
  seed,
  topologyField,
} from './topologies.ts';

export const FORMAT = 1;
const MOST_BYTES = 1 << 20;
const MOST_TIMELINE = 200;
const MOST_PROBES = 20;
const MOST_EXPECTATIONS = 100;
/** A day: the twin's quiet bench. */
const MOST_SECONDS = 86_400;
/** Over the whole scenario: each takes memory, in the twin and in the lab's kernel. */
const MOST_FLAPS = 100_000;
const MOST_PACKETS = 10_000_000;
/** More would help nobody. */
const MOST_PROBLEMS = 50;
/** Quiet time after the last thing of the timeline, where `duration_s` does not say otherwise. */
const AFTER_S = 30;

const seconds = (least: number, help: string) => number(least, MOST_SECONDS, help);
const lossPct = (help: string) => number(0, 100, help);
const delayMs = (help: string) => number(0, 5000, help);
const jitterMs = number(0, 5000, 'The delay varies by up to so much, both ways.');

/** What can be set at bat0, under batman-adv's names; defaults are the kernel's own, but for bla. */
const SETTINGS = {
  orig_interval_ms: withDefault(integer(40, 60_000, 'The time between two originator messages.'), 1000),
  elp_interval_ms: withDefault(integer(40, 60_000, 'BATMAN_V: the time between two ELP messages.'), 500),
  bla: withDefault(
    flag('Bridge loop avoidance. Off here, since it holds traffic back for half a minute at the start.'),
    false,
  ),
  hop_penalty: withDefault(integer(0, 255, 'What each hop takes off the quality, of 255.'), 30),
  gw_mode: withDefault(oneOf(['off', 'client', 'server'], 'Gateway mode; nodes with a gateway are servers.'), 'off'),
  aggregation: withDefault(flag('Several OGMs in one frame.'), true),
  ap_isolation: withDefault(flag('Keep clients of isolated networks apart.'), false),
  bonding: withDefault(flag('Use several links at once.'), false),
  fragmentation: withDefault(flag('Cut frames that are too large for a link.'), true),
  distributed_arp_table: withDefault(flag('Answer ARP from what the mesh knows.'), true),
  multicast_forceflood: withDefault(flag('Flood multicast instead of optimising it.'), false),
} as const;

export type SettingName = keyof typeof SETTINGS;

const algorithm = oneOf(['BATMAN_IV', 'BATMAN_V'], 'The routing algorithm.');
const kernelField = object(
  { algorithm: withDefault(algorithm, 'BATMAN_IV'), ...SETTINGS },
  'What every router sets at its bat0.',
);
const ownKernelField = object(
  { algorithm: optional(algorithm), ...(mapOptional(SETTINGS) as Optionals<typeof SETTINGS>) },
  'What this router sets otherwise than the rest.',
);

type Optionals<T> = { readonly [K in keyof T]: Field<Of<T[K]>, 'optional'> };

function mapOptional(fields: Readonly<Record<string, Field<unknown>>>): Record<string, Field<unknown, 'optional'>> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => {
      const { default: _, ...schema } = field.schema;
      return [key, { schema, presence: 'optional', read: field.read }];
    }),
  );
}

const LINK = {
  loss_pct: optional(lossPct('Frames that are lost, of a hundred, in each direction.')),
  delay_ms: optional(delayMs('How long a frame takes, in each direction.')),
  jitter_ms: optional(jitterMs),
  rate_kbit_s: optional(integer(8, 10_000_000, 'How much passes, in each direction.')),
} as const;

const linkField = object(LINK, 'What every link is like where `links` does not say otherwise.');
const ownLinkField = object(
  {
    between: pair(nodeName, 'Both ends of the link.'),
    direction: withDefault(oneOf(['both', 'forward'], 'forward: only from the first to the second.'), 'both'),
    ...LINK,
  },
  'What one link is like.',
);

const gatewayField = object(
  {
    down_kbit_s: withDefault(integer(100, 10_000_000, 'Announced download bandwidth.'), 10_000),
    up_kbit_s: withDefault(integer(100, 10_000_000, 'Announced upload bandwidth.'), 2000),
  },
  'This router is a gateway: it has an upstream, and announces it.',
);
const nodeField = object(
  { gateway: optional(gatewayField), kernel: optional(ownKernelField) },
  'What is special about one router.',
);

const agentField = object(
  {
    nodes: optional(
      list(nodeName, MOST_NODES, 'The routers that have an agent in the run with agents; all where it is missing.'),
    ),
    config: withDefault(
      record(
        record(configValue(), 64, 'Options of one section.'),
        64,
        "What the agents' configuration says, section by section, under the names of the file.",
      ),
      {},
    ),
    modes: withDefault(
      record(
        oneOf(['off', 'observe', 'act', 'auto'], 'As `x0ctl heal mode CLASS` has it.'),
        64,
        'Classes of faults by their names, and how the agents treat each: a class acts from the first day only where that is safe.',
      ),
      {},
    ),
  },
  'The agents.',
);

function configValue(): Field<string | number | boolean | readonly string[], 'required'> {
  const item = text(256, 'One value.');
  const items = list(item, 64, 'A list.');
  return {
    schema: {
      description: 'As the configuration file has it, in its unit.',
      oneOf: [item.schema, { type: 'number' }, { type: 'boolean' }, items.schema],
    },
    presence: 'required',
    read(value, path, say) {
      if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return value;
      return Array.isArray(value) ? items.read(value, path, say) : item.read(value, path, say);
    },
  };
}

// ---- the timeline ----

const IN_USE = 'in-use';
const linkTarget = textOr(
  oneOf([IN_USE], "The link in the middle of a probe's way, as it is when the fault comes."),
  pair(nodeName, 'Both ends. Where the fault has a direction or a side, it is from the first, or at the first.'),
  "The link that is hit: both its ends, the first being the side or the direction where there is one; or in-use, the link in the middle of a probe's way as it is then, in that direction.",
);
const nodeTarget = described(
  nodeName,
  "The router that is hit; in-use is the one in the middle of a probe's way, as it is when the fault comes.",
);
const direction = withDefault(oneOf(['both', 'forward'], 'forward: only frames from the first to the second.'), 'both');
const how = withDefault(
  oneOf(['carrier', 'silent'], 'carrier: the routers see it at once; silent: frames are lost and nobody tells.'),
  'carrier',
);

/** Every fault: what it is, and what has to be said of it beside `at_s` and `for_s`. */
export const FAULTS = {
  'carrier-loss': { help: 'A cable is cut: both ends lose the carrier.', fields: { link: linkTarget } },
  'silent-loss': { help: 'All frames of a link are lost, both ways; the carrier stays.', fields: { link: linkTarget } },
  'partial-loss': {
    help: 'Some frames of a link are lost; the carrier stays. Agents name it by what is usual on the link, once they have known it for two minutes.',
    fields: { link: linkTarget, loss_pct: number(0.1, 100, 'Frames that are lost, of a hundred.'), direction },
  },
  delay: {
    help: 'A link becomes slow. Agents name it by what is usual on the link, once they have known it for two minutes.',
    fields: {
      link: linkTarget,
      delay_ms: number(0.1, 5000, 'How long a frame takes more.'),
      jitter_ms: optional(jitterMs),
      direction,
    },
  },
  'one-way': {
    help: 'All frames from the first end to the second are lost; those back arrive.',
    fields: { link: linkTarget },
  },
  flapping: {
    help: 'A link fails and comes back, over and over, for as long as `for_s` says. Silent, agents name it where three OGMs in a row are missing three times in three minutes, on a link that they have known for five.',
    fields: {
      link: linkTarget,
      how,
      down_s: number(0.05, 3600, 'How long it is gone each time.'),
      up_s: number(0.05, 3600, 'How long it is there in between.'),
    },
  },
  partition: {
    help: 'Some routers lose every link to the others at once.',
    fields: { nodes: list(nodeName, MOST_NODES, 'The routers on one side.', 1), how },
  },
  'router-killed': {
    help: 'A router loses power, and its agent with it; with `for_s` both come back.',
    fields: { node: nodeTarget },
  },
  'agent-killed': {
    help: 'The agent is ended by SIGKILL; with `for_s` it is started again.',
    fields: { node: nodeTarget },
  },
  'agent-stopped': { help: 'The agent is stopped by SIGSTOP; with `for_s` it goes on.', fields: { node: nodeTarget } },
  'interface-deleted': {
    help: 'The hard interface of the first end towards the second vanishes, as a radio that is pulled out; with `for_s` it is plugged in again.',
    fields: { link: linkTarget },
  },
  'interface-taken': {
    help: 'Somebody takes the hard interface of the first end out of bat0.',
    fields: { link: linkTarget },
  },
  'interface-bridged': {
    help: 'Somebody puts the hard interface of the first end into a bridge.',
    fields: { link: linkTarget },
  },
  'mtu-lowered': {
    help: 'The MTU of the hard interface of the first end is too small for a full frame of the mesh.',
    fields: { link: linkTarget, mtu: integer(576, 1531, 'The MTU, in bytes.') },
  },
  'bat0-deleted': { help: 'Somebody deletes bat0.', fields: { node: nodeTarget } },
  'bat0-down': {
    help: 'Somebody sets bat0 down: the router still passes on what others send, and is itself cut off.',
    fields: { node: nodeTarget },
  },
  'bat0-unbridged': {
    help: "Somebody takes bat0 out of the bridge of the router's client network: that is cut off.",
    fields: { node: described(nodeName, 'The router; it has a client network, bridged to bat0.') },
  },
  'algorithm-changed': {
    help: 'A router begins anew with the other routing algorithm, as after an upgrade of it alone, and its agent with it: neither it nor its neighbours understand each other. With `for_s` it is set back. Agents name it once its neighbours are forgotten, after some four minutes, or on a shared medium after ten.',
    fields: { node: nodeTarget },
  },
  'table-stale': {
    help: "A router's kernel has a translation table of another's stations that is not what that one announces, and its requests for it are not answered. Only the twin can make it. Under BATMAN_IV.",
    fields: {
      node: described(nodeName, 'The router whose table is stale.'),
      of: described(nodeName, 'The router whose stations it is about.'),
      how: withDefault(
        oneOf(['version', 'checksum'], 'version: a station has come there since; checksum: the table is spoilt.'),
        'version',
      ),
    },
  },
  'route-stuck': {
    help: "A router's kernel holds a neighbour to be the best way to a third router, however bad it is. Two of them that hold each other to be it make a routing loop. Only the twin can make it. Under BATMAN_IV.",
    fields: {
      node: described(nodeName, 'The router that is wrong.'),
      to: described(nodeName, 'Where the way would lead.'),
      by: described(nodeName, 'The neighbour that it takes for the way there.'),
    },
  },
  'setting-changed': {
    help: "Somebody changes a setting of bat0 behind the agent's back.",
    fields: {
      node: nodeTarget,
      setting: oneOf(Object.keys(SETTINGS) as SettingName[], 'The setting.'),
      value: settingValue(),
    },
  },
  'gateway-gone': { help: 'A gateway loses power.', fields: { node: nodeTarget } },
  'upstream-gone': {
    help: "A gateway's way to the internet is dead; its link there stays up.",
    fields: { node: nodeTarget },
  },
  'bridge-loop': {
    help: 'The client networks of two routers are joined by a cable: broadcasts run in circles.',
    fields: { nodes: pair(nodeName, 'The two routers.') },
  },
  'cpu-hog': {
    help: 'Other programs of a router take all the CPU they get.',
    fields: { node: nodeTarget, processes: withDefault(integer(1, 16, 'How many.'), 2) },
  },
  'memory-pressure': {
    help: 'Another program of a router takes memory: so much, or all but so much.',
    fields: {
      node: nodeTarget,
      mib: optional(integer(1, 65_536, 'How much it takes.')),
      leave_mib: optional(integer(1, 65_536, 'How much of what is available it leaves.')),
    },
  },
  'clock-stepped': {
    help: "A router's wall clock jumps. (The lab's routers share one.)",
    fields: { node: nodeTarget, step_s: number(-1e9, 1e9, 'By how much; below 0 into the past.') },
  },
} as const;

function settingValue(): Field<string | number | boolean, 'required'> {
  return {
    schema: { description: 'What the setting becomes, as `kernel` would have it.' },
    presence: 'required',
    read(value, path, say) {
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
      say('E_SCENARIO_VALUE', path, `expected a value of the setting, not ${shown(value)}`);
      return undefined;
    },
  };
}

export type FaultName = keyof typeof FAULTS;

const timelineField = variants(
  'fault',
  FAULTS,
  {
    name: optional(text(64, 'How reports call it, unique; f1, f2, ... by default.')),
    at_s: seconds(0, 'When it comes, from the start of the timeline: the mesh has settled and the agents are ready.'),
    along: optional(
      text(64, 'With in-use: the probe, by its name, on whose way it strikes; the first where it is missing.'),
    ),
    for_s: optional(seconds(0.01, 'After so long it is taken back by a person; never where it is missing.')),
  },
  'Something that befalls the mesh.',
);

/** Nothing to take back, or nobody who could. */
const NEVER_MENDED: ReadonlySet<FaultName> = new Set(['clock-stepped']);
/** These last by themselves: how long has to be said. */
const HAS_TO_END: ReadonlySet<FaultName> = new Set(['flapping']);

// ---- probes and expectations ----

const probeField = object(
  {
    name: optional(text(64, 'How reports call it, unique; p1, p2, ... by default.')),
    from: described(nodeName, 'Who sends.'),
    to: described(nodeName, 'Who answers, or receives.'),
    interval_ms: withDefault(number(1, 60_000, 'The time between two packets.'), 10),
    bytes: withDefault(integer(16, 1400, 'Size of a packet (UDP payload).'), 64),
    echo: withDefault(flag('There and back, as a ping, instead of one way.'), false),
  },
  'A stream of packets from one router to another, for the whole timeline.',
);

const faultRef = optional(text(64, 'Only of the fault of this name; of every fault where it is missing.'));
const probeRef = optional(text(64, 'Only by the probe of this name; by every probe where it is missing.'));
const pairOfNodes = {
  from: optional(described(nodeName, 'From this router; from every one where it is missing.')),
  to: optional(described(nodeName, 'To this router; to every other one where it is missing.')),
};

export const EXPECTATIONS = {
  reachable: { help: 'At the end routers reach each other.', fields: pairOfNodes },
  unreachable: { help: 'At the end routers do not reach each other.', fields: pairOfNodes },
  'outage-below': {
    help: 'A fault costs a probe less than this: from the fault to the end of the last run of three or more lost packets.',
    fields: { fault: faultRef, probe: probeRef, ms: number(0.1, 1e8, 'Less than so much.') },
  },
  'loss-below': {
    help: 'A probe loses less than this in all.',
    fields: { probe: probeRef, pct: number(0.001, 100, 'Less than so many of a hundred.') },
  },
  found: {
    help: 'An agent names the fault rightly.',
    fields: {
      fault: faultRef,
      as: optional(
        list(
          text(64, 'A class.'),
          16,
          'The classes that are right, wherever they are said; else those of the last table.',
          1,
        ),
      ),
      within_s: optional(seconds(0.001, 'From the fault on.')),
    },
  },
  repaired: {
    help: 'The fault is repaired before a person takes it back; the last table says how that shows.',
    fields: { fault: faultRef, within_s: optional(seconds(0.001, 'From the fault on.')) },
  },
  'no-actions': { help: 'No agent changed or sent anything.', fields: {} },
  'no-false-actions': { help: 'No agent acted on a fault that was not there.', fields: {} },
  'settings-as-before': {
    help: "At the end every router's bat0, interfaces and settings are as at the start.",
    fields: {},
  },
  'agents-alive': { help: 'At the end every agent runs that the timeline did not end.', fields: {} },
} as const;

const expectField = variants(
  'expect',
  EXPECTATIONS,
  {
    agent: withDefault(oneOf(['on', 'off', 'both'], 'Whether this has to hold with agents, without, or both.'), 'on'),
  },
  'What has to hold at the end.',
);

const scenarioField = object(
  {
    $schema: optional(text(256, 'Where an editor finds the schema; nobody else reads it.')),
    format: oneOf([FORMAT], 'Version of this format.'),
    name: text(64, 'How reports call it.'),
    description: optional(text(1000, 'One line for people.')),
    seed: withDefault(seed('Of everything that is random.'), 1),
    topology: topologyField,
    kernel: withDefault(kernelField, kernelDefaults()),
    link: withDefault(linkField, {}),
    links: withDefault(list(ownLinkField, MOST_LINKS, 'Links that differ.'), []),
    nodes: withDefault(record(nodeField, MOST_NODES, 'Routers that differ, by their names.'), {}),
    agent: withDefault(agentField, { config: {}, modes: {} }),
    settle_s: withDefault(seconds(0, 'Quiet time before the timeline begins.'), 5),
    timeline: withDefault(list(timelineField, MOST_TIMELINE, 'What befalls the mesh.'), []),
    duration_s: optional(
      seconds(0.1, `How long the timeline is; else until ${AFTER_S} s after the last fault has come and gone.`),
    ),
    probes: withDefault(list(probeField, MOST_PROBES, 'Who watches.'), []),
    expect: withDefault(list(expectField, MOST_EXPECTATIONS, 'What has to hold at the end.'), []),
  },
  'A scenario of x0lab and of the twin.',
);

function kernelDefaults(): Of<typeof kernelField> {
  return kernelField.read({}, '$', () => {})!;
}

type Document = Of<typeof scenarioField>;
type Entry = Document['timeline'][number];

export type KernelSettings = Document['kernel'];
export type LinkProperties = Document['link'];
export type TimelineEntry = Entry & { readonly name: string };
export type ScenarioProbe = Document['probes'][number] & { readonly name: string };
export type Expectation = Document['expect'][number];

/** A scenario that holds together: every name in it is one of its own, every default is filled in. */
export type Scenario = Omit<Document, 'timeline' | 'probes' | 'duration_s'> & {
  readonly graph: MeshGraph;
  readonly duration_s: number;
  /** By time. */
  readonly timeline: readonly TimelineEntry[];
  readonly probes: readonly ScenarioProbe[];
};

export interface ParseOptions {
  /** Instead of the scenario's own. */
  readonly seed?: number;
  /** The files that a topology may name. Without it there are none. */
  readonly readFile?: ReadFile;
}

export type Parsed =
  | { readonly ok: true; readonly scenario: Scenario }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads a scenario. Never throws; every problem has a code and a path, and there are at most fifty of them. */
export function parseScenario(source: string, options: ParseOptions = {}): Parsed {
  const problems: Problem[] = [];
  const say: Say = (code, path, message) => {
    if (problems.length < MOST_PROBLEMS) problems.push({ code, path, message });
  };
  const scenario = read(source, options, say);
  return scenario !== undefined && problems.length === 0 ? { ok: true, scenario } : { ok: false, problems };
}

export function scenarioSchema(): JsonSchema & { readonly $schema: string; readonly title: string } {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Scenario of x0lab',
    ...scenarioField.schema,
  };
}

function read(source: string, options: ParseOptions, say: Say): Scenario | undefined {
  if (source.length > MOST_BYTES) {
    say('E_SCENARIO_LIMIT', '$', `has ${source.length} characters, at most ${MOST_BYTES} are allowed`);
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (thrown) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the engine quotes the text, whatever is in it.
    say('E_SCENARIO_SYNTAX', '$', `no JSON: ${(thrown as Error).message.replace(/[\x00-\x1f\x7f]/g, ' ')}`);
    return undefined;
  }
  const twice = repeatedMember(source, isComment);
  if (twice !== null) {
    const path = twice.reduce<string>((at, key) => (typeof key === 'number' ? `${at}[${key}]` : below(at, key)), '$');
    say('E_SCENARIO_KEY', path, 'is there twice');
    return undefined;
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format !== FORMAT) {
    say('E_SCENARIO_FORMAT', '$.format', `version ${format} is not known here; this reads version ${FORMAT}`);
    return undefined;
  }
  const document = scenarioField.read(value, '$', say);
  if (document === undefined) return undefined;
  const used = options.seed ?? document.seed;
  const graph = buildTopology(document.topology, used, options.readFile ?? (() => undefined), '$.topology', say);
  if (graph === undefined) return undefined;

  const timeline = document.timeline.map((entry, i) => ({ ...entry, name: entry.name ?? `f${i + 1}` }));
  const probes = document.probes.map((probe, i) => ({ ...probe, name: probe.name ?? `p${i + 1}` }));
  const scenario = { ...document, seed: used, graph, timeline, probes, duration_s: lengthOf(document) };
  new References(scenario, say).check(document);
  return { ...scenario, timeline: timeline.toSorted((a, b) => a.at_s - b.at_s) };
}

function lengthOf({ timeline, duration_s }: Document): number {
  const ends = timeline.map(({ at_s, for_s }) => at_s + (for_s ?? 0));
  return duration_s ?? Math.min(MOST_SECONDS, Math.max(0, ...ends) + AFTER_S);
}

/** At one side of a link, or in one direction of it: the other is another place. */
const SIDED: ReadonlySet<FaultName> = new Set([
  'one-way',
  'interface-deleted',
  'interface-taken',
  'interface-bridged',
  'mtu-lowered',
]);

/** What a fault befalls, each as text that is the same for the same; nothing of what is only known when it comes. */
function placesOf(entry: TimelineEntry): string[] {
  const { fault } = entry;
  const named = (...place: readonly string[]) => JSON.stringify([fault, ...place]);
  if ('link' in entry) {
    const { link } = entry;
    if (typeof link === 'string') return [];
    const [a, b] = link;
    if (SIDED.has(fault)) return [named(a, b)];
    if ('direction' in entry) return entry.direction === 'forward' ? [named(a, b)] : [named(a, b), named(b, a)];
    return [named(...[a, b].sort())];
  }
  if ('nodes' in entry) return [named(...[...entry.nodes].sort())];
  if (entry.node === IN_USE) return [];
  const about = 'setting' in entry ? entry.setting : 'of' in entry ? entry.of : 'to' in entry ? entry.to : '';
  return [named(entry.node, about)];
}

/** Expectations that nothing could meet where there is no probe. */
const OF_PROBES: ReadonlySet<string> = new Set(['outage-below', 'loss-below']);

/** Everything in a scenario that names something else in it, and what has to fit together. */
class References {
  readonly #scenario: Omit<Scenario, 'timeline'> & { readonly timeline: readonly TimelineEntry[] };
  readonly #say: Say;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #links: ReadonlySet<string>;

  constructor(scenario: Scenario, say: Say) {
    this.#scenario = scenario;
    this.#say = say;
    const { nodes, links } = scenario.graph;
    this.#numbers = new Map(nodes.map((name, n) => [name, n]));
    this.#links = new Set(links.flatMap(({ a, b }) => [`${a} ${b}`, `${b} ${a}`]));
  }

  check(document: Document): void {
    const { links, nodes, agent, timeline, probes, expect } = this.#scenario;
    for (const [i, { between }] of links.entries()) this.#link(between, `$.links[${i}].between`);
    for (const name of Object.keys(nodes)) this.#node(name, below('$.nodes', name));
    for (const [i, name] of (agent.nodes ?? []).entries())
      if (this.#node(name, `$.agent.nodes[${i}]`) && agent.nodes!.indexOf(name) < i)
        this.#say('E_SCENARIO_VALUE', `$.agent.nodes[${i}]`, `${shown(name)} is there twice`);
    for (const [section, options] of Object.entries(agent.config))
      for (const [name, value] of Object.entries(options))
        this.#option(`${section}.${name}`, value, below(below('$.agent.config', section), name));
    for (const name of Object.keys(agent.modes)) this.#class(name, below('$.agent.modes', name));
    this.#unique(timeline, '$.timeline');
    for (const [i, entry] of timeline.entries()) this.#entry(entry, `$.timeline[${i}]`);
    this.#overlaps(timeline);
    this.#unique(probes, '$.probes');
    for (const [i, { from, to }] of probes.entries()) {
      const [a, b] = [this.#node(from, `$.probes[${i}].from`), this.#node(to, `$.probes[${i}].to`)];
      if (a && b && from === to) this.#say('E_SCENARIO_VALUE', `$.probes[${i}].to`, 'is the router that sends');
    }
    for (const [i, expectation] of expect.entries()) this.#expectation(expectation, `$.expect[${i}]`);
    this.#sizes();
    const { duration_s: asked } = document;
    if (asked === undefined) return;
    for (const [i, { at_s, for_s }] of timeline.entries())
      if (at_s + (for_s ?? 0) > asked) {
        const what = at_s > asked ? 'at_s' : 'for_s';
        this.#say('E_SCENARIO_VALUE', `$.timeline[${i}].${what}`, `is after the end, at duration_s ${asked}`);
      }
  }

  #sizes(): void {
    const { timeline, probes, duration_s } = this.#scenario;
    let flaps = 0;
    for (const [i, entry] of timeline.entries()) {
      if (entry.fault !== 'flapping') continue;
      flaps += (entry.for_s ?? 0) / (entry.down_s + entry.up_s);
      if (flaps <= MOST_FLAPS) continue;
      const many = `links fail ${Math.round(flaps)} times up to here, at most ${MOST_FLAPS} are allowed`;
      this.#say('E_SCENARIO_LIMIT', `$.timeline[${i}].for_s`, many);
      break;
    }
    const packets = probes.reduce((sum, { interval_ms }) => sum + (duration_s * 1000) / interval_ms, 0);
    if (packets > MOST_PACKETS)
      this.#say(
        'E_SCENARIO_LIMIT',
        '$.probes',
        `send ${Math.round(packets)} packets, at most ${MOST_PACKETS} are allowed`,
      );
  }

  #node(name: string, path: string): boolean {
    if (this.#numbers.has(name)) return true;
    this.#say('E_SCENARIO_REFERENCE', path, `there is no node ${shown(name)}`);
    return false;
  }

  #option(name: string, value: string | number | boolean | readonly string[], path: string): void {
    const row = ROWS.find((one) => one.path === name);
    if (row === undefined) {
      this.#say('E_SCENARIO_KEY', path, 'the agent has no such option');
      return;
    }
    const { option } = row;
    const items = option.kind === 'list' ? [value].flat() : [value];
    const texts = items.map((item) => (typeof item === 'boolean' ? String(Number(item)) : String(item)));
    if (texts.every((one) => option.read(one) !== undefined)) return;
    this.#say('E_SCENARIO_VALUE', path, `expected ${option.expected}, not ${shown(value)}`);
  }

  #class(name: string, path: string): void {
    if (!isFaultClass(name)) this.#say('E_SCENARIO_REFERENCE', path, `there is no class of faults ${shown(name)}`);
  }

  #link([a, b]: readonly [string, string], path: string): void {
    const known = [this.#node(a, `${path}[0]`), this.#node(b, `${path}[1]`)];
    if (known.includes(false) || this.#links.has(`${this.#numbers.get(a)} ${this.#numbers.get(b)}`)) return;
    this.#say('E_SCENARIO_REFERENCE', path, `there is no link between ${shown(a)} and ${shown(b)}`);
  }

  #unique(named: readonly { readonly name: string }[], path: string): void {
    const first = new Map<string, number>();
    for (const [i, { name }] of named.entries()) {
      const other = first.get(name);
      if (other === undefined) first.set(name, i);
      else this.#say('E_SCENARIO_VALUE', `${path}[${i}].name`, `${shown(name)} is the name of [${other}]`);
    }
  }

  #entry(entry: TimelineEntry, path: string): void {
    const { graph, probes } = this.#scenario;
    const { fault, for_s } = entry;
    if ('link' in entry && typeof entry.link !== 'string') this.#link(entry.link, `${path}.link`);
    if ('node' in entry && entry.node !== IN_USE) this.#node(entry.node, `${path}.node`);
    if ('nodes' in entry) for (const [i, name] of entry.nodes.entries()) this.#node(name, `${path}.nodes[${i}]`);
    for (const key of ['link', 'node'] as const)
      if ((entry as { link?: unknown; node?: unknown })[key] === IN_USE && probes.length === 0)
        this.#say('E_SCENARIO_REFERENCE', `${path}.${key}`, 'in-use needs a probe');
    if (entry.along !== undefined && !probes.some(({ name }) => name === entry.along))
      this.#say('E_SCENARIO_REFERENCE', `${path}.along`, `there is no probe ${shown(entry.along)}`);
    if (for_s === undefined && HAS_TO_END.has(fault))
      this.#say('E_SCENARIO_KEY', `${path}.for_s`, `is missing; ${fault} has to end`);
    if (for_s !== undefined && NEVER_MENDED.has(fault))
      this.#say('E_SCENARIO_KEY', `${path}.for_s`, `no such key of ${fault}: it is over at once`);
    const silentOnly =
      fault === 'carrier-loss' || ((fault === 'flapping' || fault === 'partition') && entry.how === 'carrier');
    if (silentOnly && graph.medium !== 'cable')
      this.#say(
        'E_SCENARIO_TOPOLOGY',
        `${path}.fault`,
        `${graph.medium === 'radio' ? 'radio' : 'a shared medium'} has no carrier between two routers: use silent-loss, or how: "silent"`,
      );
    if (fault === 'partition' && new Set(entry.nodes).size >= graph.nodes.length)
      this.#say('E_SCENARIO_TOPOLOGY', `${path}.nodes`, 'are all nodes: nothing is parted');
    if (fault === 'gateway-gone' || fault === 'upstream-gone') this.#gateway(entry.node, `${path}.node`);
    if (fault === 'memory-pressure' && (entry.mib === undefined) === (entry.leave_mib === undefined))
      this.#say('E_SCENARIO_KEY', `${path}.mib`, 'either mib or leave_mib has to be given');
    if (fault === 'bat0-unbridged' && entry.node === IN_USE)
      this.#say('E_SCENARIO_REFERENCE', `${path}.node`, 'has to be named: its client network is there from the start');
    if (fault === 'table-stale' || fault === 'route-stuck') this.#poked(entry, path);
    if (fault === 'setting-changed') SETTINGS[entry.setting].read(entry.value, `${path}.value`, this.#say);
  }

  /** What one kernel has in its tables of another router. */
  #poked(entry: Extract<TimelineEntry, { fault: 'table-stale' | 'route-stuck' }>, path: string): void {
    const { kernel, nodes } = this.#scenario;
    const others = entry.fault === 'table-stale' ? { of: entry.of } : { to: entry.to, by: entry.by };
    const known = Object.entries(others).map(([key, name]) => {
      if (name === entry.node) this.#say('E_SCENARIO_VALUE', `${path}.${key}`, 'is the same router as node');
      return this.#node(name, `${path}.${key}`) && name !== entry.node;
    });
    if ((nodes[entry.node]?.kernel?.algorithm ?? kernel.algorithm) !== 'BATMAN_IV')
      this.#say('E_SCENARIO_VALUE', `${path}.fault`, `${entry.fault} is there under BATMAN_IV only`);
    if (entry.fault !== 'route-stuck' || known.includes(false) || !this.#numbers.has(entry.node)) return;
    if (entry.to === entry.by)
      this.#say('E_SCENARIO_VALUE', `${path}.by`, 'is where the way leads: that is the right one');
    this.#link([entry.node, entry.by], `${path}.by`);
  }

  #gateway(name: string, path: string): void {
    const { nodes } = this.#scenario;
    if (name === IN_USE || (this.#numbers.has(name) && nodes[name]?.gateway === undefined))
      this.#say('E_SCENARIO_REFERENCE', path, `${shown(name)} is no gateway in nodes`);
  }

  /** The same fault twice at once in one place: the first mending would end the second too. */
  #overlaps(timeline: readonly TimelineEntry[]): void {
    const held: { key: string; from: number; to: number; i: number }[] = [];
    for (const [i, entry] of timeline.entries()) {
      const { fault, at_s: from, for_s = MOST_SECONDS } = entry;
      if (NEVER_MENDED.has(fault)) continue;
      const to = from + for_s;
      for (const key of placesOf(entry)) {
        const other = held.find((one) => one.key === key && one.from < to && from < one.to);
        held.push({ key, from, to, i });
        if (other === undefined) continue;
        this.#say(
          'E_SCENARIO_VALUE',
          `$.timeline[${i}].at_s`,
          `timeline[${other.i}] is the same fault, and not over then`,
        );
        break;
      }
    }
  }

  #expectation(expectation: Expectation, path: string): void {
    const { timeline, probes } = this.#scenario;
    const has = (named: readonly { name: string }[], name: string, key: string) => {
      if (!named.some((one) => one.name === name))
        this.#say('E_SCENARIO_REFERENCE', `${path}.${key}`, `there is no ${key} ${shown(name)}`);
    };
    if ('from' in expectation && expectation.from !== undefined) this.#node(expectation.from, `${path}.from`);
    if ('to' in expectation && expectation.to !== undefined) {
      const isKnown = this.#node(expectation.to, `${path}.to`);
      if (isKnown && expectation.from === expectation.to)
        this.#say('E_SCENARIO_VALUE', `${path}.to`, 'is the same router as from');
    }
    if ('fault' in expectation && expectation.fault !== undefined) has(timeline, expectation.fault, 'fault');
    if ('as' in expectation)
      for (const [i, name] of (expectation.as ?? []).entries()) this.#class(name, `${path}.as[${i}]`);
    if ('probe' in expectation && expectation.probe !== undefined) has(probes, expectation.probe, 'probe');
    const { expect } = expectation;
    if (OF_PROBES.has(expect) && probes.length === 0)
      this.#say('E_SCENARIO_REFERENCE', `${path}.expect`, `${expect} needs a probe`);
  }
}
