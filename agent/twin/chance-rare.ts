/**
 * Rare scenarios by chance: what needs a router that is set up otherwise than those beside it, a client network, or a
 * kernel that is wrong, and so is in neither of the other streams: bat0 set down or taken out of its bridge, another routing
 * algorithm, a feature that neighbours lack, stale translation tables, routing loops. Three or four routers, as long as
 * the slowest of it takes to tell.
 */
import { CATALOGUE } from '../heal/faults/catalogue.ts';
import type { Document, Entry } from './chance.ts';
import { Random } from './random.ts';

/** Seconds into the timeline in which something comes: agents have seen a mesh that was well. */
const FROM: readonly [number, number] = [15, 25];
/** Short enough that what was lent is given back in the quiet time of a short scenario (trial.ts). */
const LASTS: readonly [number, number] = [40, 70];
const AFTER = 20;
/** Stations are looked at once a minute, and again where they do not fit. */
const STALE: readonly [number, number] = [90, 95];
/** On a cable a neighbour of another algorithm is forgotten after 200 s, and listened for after 30 more. */
const FOREIGN_CABLE = 300;
/** Beside others it is listened for after 300 s alike, and each minute. */
const FOREIGN_SHARED = 560;
/** A feature that is lacking is one after 600 s, and for a minute. */
const LACKS = 740;
const PROBES_MS = 20;

type Pair = readonly [string, string];
/** What a kind of scenario has of its own. */
type Rare = Partial<Document> & { readonly timeline: readonly Entry[]; readonly duration_s: number };

/** A stream of its own: the same seed's short and long scenarios are others. */
export function rareScenarioOf(seed: number): Document {
  const random = new Random(seed, 'rare');
  // In turn: of some tens of seeds each has its share, and what takes ten minutes to tell a smaller one.
  const rare = KINDS[seed % KINDS.length]!(random);
  const unsafe = CATALOGUE.filter(({ safe }) => !safe).map((spec) => [spec.class, 'act']);
  return {
    format: 1,
    name: `rare seed ${seed}`,
    seed,
    topology: { kind: 'links', links: LINE, medium: 'cable' },
    agent: { modes: random.is(0.6) ? Object.fromEntries(unsafe) : {} },
    settle_s: 0,
    ...rare,
  };
}

const LINE: readonly Pair[] = [
  ['r0', 'r1'],
  ['r1', 'r2'],
];
const TRIANGLE: readonly Pair[] = [...LINE, ['r2', 'r0']];
const LONG_LINE: readonly Pair[] = [...LINE, ['r2', 'r3']];
const RING: readonly Pair[] = [...LONG_LINE, ['r3', 'r0']];
const NODES = ['r0', 'r1', 'r2'];

const whole = (seconds: number) => Math.round(seconds * 1000) / 1000;
const some = (random: Random, span: readonly [number, number]) => whole(random.between(...span));
const cables = (links: readonly Pair[]) => ({ kind: 'links', links, medium: 'cable' }) as const;

/** bat0 down, or out of its bridge; put right by a person after a while where no agent has done it. */
function misconfigured(random: Random): Rare {
  const fault = random.pick(['bat0-down', 'bat0-unbridged']);
  const entry = { at_s: some(random, FROM), fault, node: random.pick(NODES), for_s: some(random, LASTS) };
  const links = random.pick([LINE, TRIANGLE, RING]);
  return { topology: cables(links), timeline: [entry], duration_s: FROM[1] + LASTS[1] + AFTER };
}

/** A router comes back with the other algorithm: on a cable of its own, or among others that all hear each other. */
function foreign(random: Random): Rare {
  const isShared = random.is(0.4);
  const lasts = isShared ? FOREIGN_SHARED : FOREIGN_CABLE;
  const isV = random.is(0.3);
  const node = random.pick(NODES);
  const at_s = some(random, FROM);
  const entry = { at_s, fault: 'algorithm-changed', node, ...(random.is(0.5) && { for_s: lasts }) };
  return {
    topology: isShared ? { kind: 'links', links: TRIANGLE, medium: 'shared' } : cables(random.pick([LINE, TRIANGLE])),
    ...(isV && { kernel: { algorithm: 'BATMAN_V' } }),
    timeline: [entry],
    duration_s: FROM[1] + lasts + AFTER,
  };
}

/** One or all of r1's neighbours never had what is on there. */
function lacking(random: Random): Rare {
  const kernel = random.pick([{ distributed_arp_table: false }, { multicast_forceflood: true }]);
  const without = random.is(0.5) ? ['r0'] : ['r0', 'r2'];
  return {
    topology: cables(LINE),
    nodes: Object.fromEntries(without.map((name) => [name, { kernel }])),
    timeline: [],
    duration_s: LACKS,
  };
}

/** Of one router's stations another knows what was, or something else. */
function stale(random: Random): Rare {
  const node = random.int(NODES.length);
  const of = (node + 1 + random.int(NODES.length - 1)) % NODES.length;
  const how = random.pick(['version', 'checksum']);
  const entry = { fault: 'table-stale', node: NODES[node], of: NODES[of], how };
  return {
    topology: cables(random.pick([LINE, TRIANGLE])),
    timeline: [{ at_s: whole(random.between(0, FROM[1])), ...entry, for_s: some(random, STALE) }],
    duration_s: FROM[1] + STALE[1],
  };
}

/** Two routers, each of which takes the other for the way to a third; or one alone, whose neighbour is right to go by it. */
function circling(random: Random): Rare {
  const for_s = some(random, LASTS);
  const at_s = some(random, FROM);
  const stuck = (node: string, by: string) => ({ at_s, fault: 'route-stuck', node, by, to: 'r3', for_s });
  const isRing = random.is(0.5);
  return {
    topology: cables(isRing ? RING : LONG_LINE),
    timeline: [stuck('r1', 'r2'), stuck('r2', 'r1')].slice(random.is(0.85) ? 0 : 1),
    probes: [{ from: isRing ? 'r1' : 'r0', to: 'r3', interval_ms: PROBES_MS }],
    duration_s: FROM[1] + LASTS[1] + AFTER,
  };
}

const KINDS: readonly ((random: Random) => Rare)[] = [
  lacking,
  ...[misconfigured, circling, stale],
  ...[misconfigured, circling, stale],
  foreign,
  ...[misconfigured, circling],
];
