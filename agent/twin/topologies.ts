/**
 * Who hears whom in a scenario: the kinds of topology that a person may ask for, and the graph that comes of each.
 * Pure: the text of a file is handed in. What is generated calls its nodes r0, r1, ...; a file brings its own names.
 */
import { asAgentError } from '../core/errors.ts';
import { type MeshMap, readMap } from '../mesh/map.ts';
import {
  below,
  flag,
  integer,
  list,
  number,
  type Of,
  object,
  oneOf,
  optional,
  pair,
  record,
  type Say,
  shown,
  text,
  two,
  variants,
  withDefault,
} from './fields.ts';
import { Random } from './random.ts';

/** What a scenario may hold in all. A kernel takes far fewer: tools/lab says how many. */
export const MOST_NODES = 2000;
export const MOST_LINKS = 20_000;
export const MOST_FILE_BYTES = 8 << 20;
/** So many placings are tried until one is connected. */
const PLACINGS = 100;
/** A `full` mesh has a link for every two of its nodes. */
const MOST_FULL = 100;

/** Over which a radio is heard well, if nothing is in the way. */
const LONGEST_M = 100;
const MOST_INTERFERERS = 16;

/** A node's name: people's own, so anything that fits on a line. */
export const nodeName = text(64, 'The name of a node.');
/** 2^53 - 1: what JSON carries without loss. */
export const seed = (description: string) => integer(0, Number.MAX_SAFE_INTEGER, description);

const count = (least: number, most = MOST_NODES) => integer(least, most, 'How many nodes; they are called r0, r1, ...');

const ofFile = {
  file: text(256, 'The file: a path relative to the scenario, at most 8 MiB.'),
  part: withDefault(
    oneOf(['all', 'largest'], 'Of a mesh in several parts: all is an error, largest keeps the largest.'),
    'all',
  ),
  limit_nodes: optional(
    integer(2, MOST_NODES, 'Keep only so many nodes: the one with the most links and those nearest to it.'),
  ),
  loss_from_quality: withDefault(
    flag("Each link loses what the file's quality says: 1 - TQ, or 1 - 1/cost where a cost is expected transmissions."),
    false,
  ),
};

const place = (description: string) => number(0, 1, description);
const interferer = object(
  {
    at: two(place('Of the square.'), 'Where it stands.'),
    power_dbm: withDefault(number(-20, 36, 'Its power.'), 20),
    on_s: number(0.001, 86_400, 'How long it is on each time.'),
    off_s: number(0, 86_400, 'How long it is off in between.'),
  },
  "Somebody else's transmitter, which is on first.",
);

export const topologyField = variants(
  'kind',
  {
    ring: { help: 'Each node has two neighbours.', fields: { nodes: count(3) } },
    line: { help: 'One after the other.', fields: { nodes: count(2) } },
    star: { help: 'r0 in the middle, no other links.', fields: { nodes: count(2) } },
    full: { help: 'Every two nodes have a link.', fields: { nodes: count(2, MOST_FULL) } },
    grid: {
      help: 'Rows and columns; r0 is the first of the first row, r1 beside it.',
      fields: {
        width: integer(1, MOST_NODES, 'Nodes in a row.'),
        height: integer(1, MOST_NODES, 'Nodes in a column.'),
      },
    },
    tree: {
      help: 'r0 is the root; numbered level by level.',
      fields: { nodes: count(2), branching: integer(1, 100, 'Children of a node.') },
    },
    'random-geometric': {
      help: 'Nodes at random places in a square of side 1; two that are near enough have a link. Always connected.',
      fields: {
        nodes: count(2),
        radius: number(0.01, 1.5, 'How far a node is heard, in sides of the square.'),
        seed: optional(seed("Of the places; the scenario's seed where it is missing.")),
      },
    },
    links: {
      help: 'Every link by the names of its ends.',
      fields: {
        links: list(pair(nodeName, 'Both ends of a link.'), MOST_LINKS, 'The links.', 1),
        nodes: optional(list(nodeName, MOST_NODES, 'The nodes in their order; else as the links name them.', 2)),
        places: optional(
          record(
            two(place('Across, or down.'), 'Where it stands.'),
            MOST_NODES,
            'Where each node stands in a square of side 1, by its name.',
          ),
        ),
      },
    },
    netjson: { help: 'A NetJSON NetworkGraph. Nodes are called as their id there.', fields: ofFile },
    meshviewer: { help: "meshviewer's meshviewer.json. Nodes are called as their node_id there.", fields: ofFile },
  },
  {
    medium: withDefault(
      oneOf(
        ['cable', 'shared', 'radio'],
        'cable: an interface for each link, and a carrier that can be lost; shared: one interface for each node, as a radio, and the links are who hears whom; radio: the same, and who hears whom, and how well, follows from where nodes stand, by path loss, shadowing, fading and interference. The links are then those that faults may name. Only the twin plays radio.',
      ),
      'cable',
    ),
    side_m: optional(
      number(
        1,
        1_000_000,
        `With radio: metres to a side of the square in which nodes stand; so many that the longest link is ${LONGEST_M} m where it is missing. Half of all frames are lost at some 170 m and hardly any below 80, a third more or less for what stands between.`,
      ),
    ),
    interferers: optional(list(interferer, MOST_INTERFERERS, 'With radio: what raises the noise.')),
  },
  'Who hears whom.',
);

export type TopologySpec = Of<typeof topologyField>;

export interface GraphLink {
  /** Numbers of nodes; a < b in what is generated. */
  readonly a: number;
  readonly b: number;
  /** From a to b and from b to a, 0 to 1: what the file's quality says, where that was asked for. */
  readonly loss?: readonly [number, number];
}

export interface MeshGraph {
  readonly medium: 'cable' | 'shared' | 'radio';
  /** Names by number. */
  readonly nodes: readonly string[];
  readonly links: readonly GraphLink[];
  /** Places in a square of side 1, where the topology has any. */
  readonly places?: readonly (readonly [x: number, y: number])[];
  /** Of radios: how many metres the square's side has. */
  readonly sideM?: number;
}

/** The text of a file that a scenario names; undefined where there is none, a number for one of too many bytes. */
export type ReadFile = (name: string) => string | number | undefined;

interface Drawn {
  readonly names?: readonly string[];
  readonly links: readonly GraphLink[];
  readonly places?: MeshGraph['places'];
}

/**
 * The graph of a topology, or undefined after saying why there is none. `path` is the topology's place in its document.
 * The same topology and seed give the same graph everywhere.
 */
export function buildTopology(
  spec: TopologySpec,
  seedOfScenario: number,
  read: ReadFile,
  path: string,
  say: Say,
): MeshGraph | undefined {
  const drawn = draw(spec, seedOfScenario, read, path, say);
  if (drawn === undefined) return undefined;
  const nodes = drawn.names ?? generated(countOf(spec));
  if (nodes.length > MOST_NODES)
    say('E_SCENARIO_LIMIT', path, `has ${nodes.length} nodes, at most ${MOST_NODES} are allowed`);
  else if (drawn.links.length > MOST_LINKS)
    say('E_SCENARIO_LIMIT', path, `has ${drawn.links.length} links, at most ${MOST_LINKS} are allowed`);
  else if (nodes.length < 2) say('E_SCENARIO_TOPOLOGY', path, 'has fewer than two nodes: that is no mesh');
  else {
    const parts = components(nodes.length, drawn.links);
    const radio = radioOf(spec, drawn, path, say);
    if (radio === undefined) return undefined;
    if (parts.length === 1)
      return {
        medium: spec.medium,
        nodes,
        links: drawn.links,
        ...(drawn.places && { places: drawn.places }),
        ...radio,
      };
    const [one, other] = [parts[0]![0]!, parts[1]![0]!];
    const remedy = 'part' in spec ? '; part: "largest" keeps the largest' : '';
    say(
      'E_SCENARIO_TOPOLOGY',
      path,
      `is in ${parts.length} parts: no way leads from ${shown(nodes[one])} to ${shown(nodes[other])}${remedy}`,
    );
  }
  return undefined;
}

/** What radios have beside it; undefined after saying what does not fit. */
function radioOf(spec: TopologySpec, drawn: Drawn, path: string, say: Say): Pick<MeshGraph, 'sideM'> | undefined {
  if (spec.medium !== 'radio') {
    const extra = (['side_m', 'interferers'] as const).find((key) => spec[key] !== undefined);
    if (extra !== undefined) say('E_SCENARIO_KEY', `${path}.${extra}`, `is there with medium: "radio" only`);
    return extra === undefined ? {} : undefined;
  }
  const { places, links } = drawn;
  if (places === undefined) {
    const remedy = spec.kind === 'links' ? 'places has to say where nodes stand' : `${spec.kind} has no places`;
    say('E_SCENARIO_TOPOLOGY', `${path}.medium`, `radio needs to know who stands where: ${remedy}`);
    return undefined;
  }
  const longest = Math.max(...links.map(({ a, b }) => distance(places[a]!, places[b]!)));
  return { sideM: spec.side_m ?? (longest === 0 ? LONGEST_M : LONGEST_M / longest) };
}

const distance = ([x, y]: readonly [number, number], [toX, toY]: readonly [number, number]) =>
  Math.sqrt((x - toX) * (x - toX) + (y - toY) * (y - toY));

const generated = (length: number) => Array.from({ length }, (_, n) => `r${n}`);

function countOf(spec: TopologySpec): number {
  if (spec.kind === 'grid') return spec.width * spec.height;
  return typeof (spec as { nodes?: unknown }).nodes === 'number' ? (spec as { nodes: number }).nodes : 0;
}

function draw(spec: TopologySpec, seedOfScenario: number, read: ReadFile, path: string, say: Say): Drawn | undefined {
  switch (spec.kind) {
    case 'ring': {
      const links = chain(spec.nodes);
      return { links: [...links, { a: 0, b: spec.nodes - 1 }], places: circle(spec.nodes) };
    }
    case 'line':
      return { links: chain(spec.nodes), places: generated(spec.nodes).map((_, n) => [n / (spec.nodes - 1), 0.5]) };
    case 'star':
      return {
        links: Array.from({ length: spec.nodes - 1 }, (_, n) => ({ a: 0, b: n + 1 })),
        places: [[0.5, 0.5], ...circle(spec.nodes - 1)],
      };
    case 'full':
      return { links: everyTwo(spec.nodes), places: circle(spec.nodes) };
    case 'grid':
      return grid(spec.width, spec.height, path, say);
    case 'tree':
      return tree(spec.nodes, spec.branching);
    case 'random-geometric':
      return randomGeometric(spec.nodes, spec.radius, spec.seed ?? seedOfScenario, path, say);
    case 'links':
      return placed(named(spec.links, spec.nodes, path, say), spec.places, path, say);
    default:
      return fromFile(spec, read, path, say);
  }
}

const chain = (nodes: number): GraphLink[] => Array.from({ length: nodes - 1 }, (_, n) => ({ a: n, b: n + 1 }));

function everyTwo(nodes: number): GraphLink[] {
  const links: GraphLink[] = [];
  for (let a = 0; a < nodes; a++) for (let b = a + 1; b < nodes; b++) links.push({ a, b });
  return links;
}

/** Around the square's middle without sin and cos, whose last bits an engine may choose: along a square turned by 45 degrees. */
function circle(nodes: number): [number, number][] {
  const corners = [
    [0.5, 0],
    [1, 0.5],
    [0.5, 1],
    [0, 0.5],
  ] as const;
  return Array.from({ length: nodes }, (_, n) => {
    const at = (4 * n) / nodes;
    const side = Math.floor(at);
    const [x, y] = corners[side]!;
    const [toX, toY] = corners[(side + 1) % 4]!;
    return [x + (toX - x) * (at - side), y + (toY - y) * (at - side)];
  });
}

function grid(width: number, height: number, path: string, say: Say): Drawn | undefined {
  const nodes = width * height;
  if (nodes > MOST_NODES) {
    say('E_SCENARIO_LIMIT', path, `has ${nodes} nodes, at most ${MOST_NODES} are allowed`);
    return undefined;
  }
  const links: GraphLink[] = [];
  for (let n = 0; n < nodes; n++) {
    if ((n + 1) % width !== 0) links.push({ a: n, b: n + 1 });
    if (n + width < nodes) links.push({ a: n, b: n + width });
  }
  const longest = Math.max(width, height) - 1 || 1;
  return { links, places: generated(nodes).map((_, n) => [(n % width) / longest, Math.floor(n / width) / longest]) };
}

function tree(nodes: number, branching: number): Drawn {
  const links: GraphLink[] = [];
  const level = [0];
  for (let n = 1; n < nodes; n++) {
    const parent = Math.floor((n - 1) / branching);
    links.push({ a: parent, b: n });
    level.push(level[parent]! + 1);
  }
  const width = new Map<number, number>();
  for (const at of level) width.set(at, (width.get(at) ?? 0) + 1);
  const placed = new Map<number, number>();
  const depth = level.at(-1)! || 1;
  const places = level.map((at): [number, number] => {
    const nth = placed.get(at) ?? 0;
    placed.set(at, nth + 1);
    return [(nth + 0.5) / width.get(at)!, at / depth];
  });
  return { links, places };
}

function randomGeometric(nodes: number, radius: number, from: number, path: string, say: Say): Drawn | undefined {
  const random = new Random(from);
  for (let placing = 0; placing < PLACINGS; placing++) {
    const places = Array.from({ length: nodes }, (): [number, number] => [random.unit(), random.unit()]);
    const links = near(places, radius);
    if (components(nodes, links).length === 1) return { links, places };
    // A thousand nodes that are far apart would be so again.
    if (links.length < nodes - 1 && nodes > 100) break;
  }
  const why = `no connected mesh of ${nodes} nodes came of radius ${radius} and seed ${from}; a larger radius helps`;
  say('E_SCENARIO_TOPOLOGY', path, why);
  return undefined;
}

function near(places: readonly (readonly [number, number])[], radius: number): GraphLink[] {
  const links: GraphLink[] = [];
  for (let a = 0; a < places.length; a++)
    for (let b = a + 1; b < places.length; b++) {
      const [dx, dy] = [places[a]![0] - places[b]![0], places[a]![1] - places[b]![1]];
      if (dx * dx + dy * dy <= radius * radius) links.push({ a, b });
    }
  return links;
}

function named(
  pairs: readonly (readonly [string, string])[],
  order: readonly string[] | undefined,
  path: string,
  say: Say,
): Drawn | undefined {
  const numbers = new Map<string, number>();
  for (const [i, name] of (order ?? []).entries()) {
    if (numbers.has(name)) {
      say('E_SCENARIO_TOPOLOGY', `${path}.nodes[${i}]`, `${shown(name)} is there twice`);
      return undefined;
    }
    numbers.set(name, i);
  }
  const seen = new Map<string, number>();
  const links: GraphLink[] = [];
  for (const [i, ends] of pairs.entries()) {
    for (const [end, name] of ends.entries()) {
      if (numbers.has(name)) continue;
      if (order !== undefined) {
        say('E_SCENARIO_REFERENCE', `${path}.links[${i}][${end}]`, `there is no node ${shown(name)} in nodes`);
        return undefined;
      }
      numbers.set(name, numbers.size);
    }
    const [a, b] = ends.map((name) => numbers.get(name)!).sort((x, y) => x - y) as [number, number];
    const first = seen.get(`${a} ${b}`);
    if (first !== undefined) {
      say('E_SCENARIO_TOPOLOGY', `${path}.links[${i}]`, `is the same link as links[${first}]`);
      return undefined;
    }
    seen.set(`${a} ${b}`, i);
    links.push({ a, b });
  }
  return { names: [...numbers.keys()], links };
}

function placed(
  drawn: Drawn | undefined,
  places: Readonly<Record<string, readonly [number, number]>> | undefined,
  path: string,
  say: Say,
): Drawn | undefined {
  if (drawn === undefined || places === undefined) return drawn;
  const names = new Set(drawn.names);
  const stranger = Object.keys(places).find((name) => !names.has(name));
  const lacking = drawn.names!.find((name) => !Object.hasOwn(places, name));
  if (stranger !== undefined)
    say('E_SCENARIO_REFERENCE', below(`${path}.places`, stranger), `there is no node ${shown(stranger)}`);
  else if (lacking !== undefined) say('E_SCENARIO_TOPOLOGY', `${path}.places`, `has none for ${shown(lacking)}`);
  else return { ...drawn, places: drawn.names!.map((name) => places[name]!) };
  return undefined;
}

type FileSpec = Extract<TopologySpec, { file: string }>;

function fromFile(spec: FileSpec, read: ReadFile, path: string, say: Say): Drawn | undefined {
  const at = `${path}.file`;
  const content = read(spec.file);
  if (content === undefined) {
    say(
      'E_SCENARIO_REFERENCE',
      at,
      `expected a file beside the scenario or below, by its way from there; ${shown(spec.file)} cannot be read`,
    );
    return undefined;
  }
  if (typeof content === 'number' || content.length > MOST_FILE_BYTES) {
    const size = typeof content === 'number' ? content : content.length;
    say('E_SCENARIO_LIMIT', at, `has ${size} bytes, at most ${MOST_FILE_BYTES} are allowed`);
    return undefined;
  }
  try {
    const map = readMap(content);
    if (map.format === spec.kind) return limited(map, spec);
    say('E_SCENARIO_TOPOLOGY', at, `is ${map.format}, not ${spec.kind}`);
  } catch (thrown) {
    say('E_SCENARIO_TOPOLOGY', at, asAgentError(thrown).message);
  }
  return undefined;
}

/** What a link loses whose packets need so many transmissions. Expected transmissions are all that these formats tell. */
const lossOf = (cost: number) => Math.min(1, Math.max(0, 1 - 1 / cost));

/** Between two nodes the best of several links; then the part and the number of nodes that were asked for. */
function limited(map: MeshMap, spec: FileSpec): Drawn {
  const names = map.nodes.map(({ id }) => id);
  const numberOf = new Map(names.map((id, n) => [id, n]));
  const best = new Map<string, Required<GraphLink>>();
  for (const { source, target, cost, back } of map.links) {
    const [x, y] = [numberOf.get(source)!, numberOf.get(target)!];
    const there = lossOf(cost);
    const losses = [there, back === null ? there : lossOf(back)] as const;
    const link = x < y ? { a: x, b: y, loss: losses } : { a: y, b: x, loss: [losses[1], losses[0]] as const };
    const known = best.get(`${link.a} ${link.b}`);
    if (known === undefined || sum(losses) < sum(known.loss)) best.set(`${link.a} ${link.b}`, link);
  }
  const links = [...best.values()];
  let kept = spec.part === 'largest' ? (components(names.length, links)[0] ?? []) : [...names.keys()];
  if (spec.limit_nodes !== undefined && kept.length > spec.limit_nodes) {
    const next = neighbours(names.length, links);
    const start = kept.reduce((most, n) => (next[n]!.length > next[most]!.length ? n : most), kept[0]!);
    kept = reached(start, next).slice(0, spec.limit_nodes);
  }
  const numbers = new Map(kept.sort((x, y) => x - y).map((old, now) => [old, now]));
  return {
    names: kept.map((old) => names[old]!),
    links: links
      .filter(({ a, b }) => numbers.has(a) && numbers.has(b))
      .map(({ a, b, loss }) => ({
        a: numbers.get(a)!,
        b: numbers.get(b)!,
        ...(spec.loss_from_quality && { loss }),
      })),
  };
}

const sum = ([x, y]: readonly [number, number]) => x + y;

function neighbours(nodes: number, links: readonly GraphLink[]): number[][] {
  const next: number[][] = Array.from({ length: nodes }, () => []);
  for (const { a, b } of links) {
    next[a]!.push(b);
    next[b]!.push(a);
  }
  return next;
}

/** What can be reached from a node, the nearest first. */
function reached(start: number, next: readonly (readonly number[])[], seen = new Set<number>()): number[] {
  const found = [start];
  seen.add(start);
  for (let i = 0; i < found.length; i++)
    for (const other of next[found[i]!]!)
      if (!seen.has(other)) {
        seen.add(other);
        found.push(other);
      }
  return found;
}

/** The parts that cannot reach each other, the largest first. */
function components(nodes: number, links: readonly GraphLink[]): number[][] {
  const next = neighbours(nodes, links);
  const seen = new Set<number>();
  const parts: number[][] = [];
  for (let n = 0; n < nodes; n++) if (!seen.has(n)) parts.push(reached(n, next, seen));
  return parts.sort((x, y) => y.length - x.length);
}
