/**
 * Long scenarios by chance: some ten minutes, in which every class of faults is repaired. What an agent tells by what is
 * usual on a link, or only when it lasts, needs a mesh that was well for two minutes, and faults that last as long.
 */
import { CATALOGUE } from '../heal/faults/catalogue.ts';
import { type Document, type Entry, shape } from './chance.ts';
import { Random } from './random.ts';

const FAULTS: readonly [number, number] = [5, 7];
/** Seconds into the timeline in which faults come: links are known by then, and those that flap for five minutes. */
const KNOWN = 130;
const LONG_KNOWN = 300;
const LATEST = 360;
const LASTS: readonly [number, number] = [30, 160];
/** After these a flapping link was down often enough to be called that. */
const FLAPS_FOR = 120;
/** After the last fault is over. */
const AFTER = 10;
/** Of batman-adv's settings those that mean something to an agent, and to what somebody changes them. */
const SETTINGS: readonly (readonly [string, readonly (number | boolean | string)[]])[] = [
  ['orig_interval_ms', [500, 2000]],
  ['hop_penalty', [5, 90]],
  ['bla', [true]],
  ['fragmentation', [true, false]],
  ['distributed_arp_table', [false]],
  ['aggregation', [false]],
  ['bonding', [true]],
  ['multicast_forceflood', [true]],
];

type Befalling = Readonly<Record<string, unknown>> & { readonly fault: string };

/** A stream of its own: the same seed's short scenario is another. */
export function longScenarioOf(seed: number): Document {
  const random = new Random(seed, 'long');
  const medium = random.is(0.25) ? 'shared' : 'cable';
  const links = shape(random);
  const names = [...new Set(links.flat())];
  const mixed = random.is(0.2);
  const agents = mixed ? names.filter(() => random.is(0.7)) : names;
  const gateways = random.is(0.4) ? names.filter(() => random.is(0.4)).slice(0, 2) : [];
  const kernel = {
    ...(random.is(0.08) && { algorithm: 'BATMAN_V' }),
    // Where frames are cut in two, no MTU is too small.
    ...(random.is(0.4) && { fragmentation: false }),
    ...(gateways.length > 0 && { gw_mode: 'client' }),
  };
  const lossy = random.is(0.2);
  const modes = Object.fromEntries(CATALOGUE.filter(({ safe }) => !safe).map((spec) => [spec.class, 'act']));
  return {
    format: 1,
    name: `long seed ${seed}`,
    seed,
    topology: { kind: 'links', links, medium },
    kernel,
    ...(lossy && { link: { loss_pct: tenths(random.between(0.1, 5)) } }),
    ...(gateways.length > 0 && { nodes: Object.fromEntries(gateways.map((name) => [name, { gateway: {} }])) }),
    agent: {
      ...(agents.length < names.length && { nodes: agents }),
      modes,
      config: { heal: { restart: random.is(0.5) } },
    },
    settle_s: 0,
    timeline: timeline(random, { links, names, gateways, medium }),
    duration_s: LATEST + LASTS[1] + AFTER,
  };
}

interface Ground {
  readonly links: readonly (readonly [string, string])[];
  readonly names: readonly string[];
  readonly gateways: readonly string[];
  readonly medium: 'cable' | 'shared';
}

function timeline(random: Random, ground: Ground): Entry[] {
  const entries: Entry[] = [];
  const held = new Set<string>();
  const [least, most] = FAULTS;
  for (let i = least + random.int(most - least + 1); i > 0; i--) {
    const about = befalls(random, ground);
    const from = about.fault === 'flapping' ? LONG_KNOWN : KNOWN;
    const at_s = whole(random.between(from, LATEST));
    // The same thing twice at once is no scenario.
    const key = JSON.stringify([about.fault, [about.link ?? about.nodes ?? about.node].flat().sort()]);
    if (held.has(key)) continue;
    held.add(key);
    entries.push({ at_s, ...about });
  }
  return entries;
}

function befalls(random: Random, { links, names, gateways, medium }: Ground): Befalling {
  const [a, b] = random.pick(links);
  const link = random.is(0.5) ? [a, b] : [b, a];
  const node = random.pick(names);
  const for_s = whole(random.between(...LASTS));
  const how = medium === 'cable' ? random.pick(['carrier', 'silent']) : 'silent';
  const ways = random.pick(['both', 'forward']);
  const kinds: (() => Befalling)[] = [
    () => ({ fault: medium === 'cable' ? 'carrier-loss' : 'silent-loss', link, for_s }),
    () => ({ fault: 'silent-loss', link, for_s: whole(for_s / 4) }),
    () => ({ fault: 'partial-loss', link, for_s, loss_pct: random.pick([20, 35, 60]), direction: ways }),
    () => ({ fault: 'delay', link, for_s, delay_ms: random.pick([80, 150, 400]), direction: ways }),
    () => ({ fault: 'one-way', link, for_s }),
    () => ({ fault: 'flapping', link, how, for_s: FLAPS_FOR, down_s: random.pick([4, 5]), up_s: random.pick([5, 8]) }),
    () => ({ fault: 'partition', nodes: part(random, links, names, node), how, for_s }),
    () => ({ fault: 'router-killed', node, for_s }),
    () => ({ fault: 'agent-killed', node, for_s: whole(for_s / 8) }),
    () => ({ fault: 'agent-stopped', node, for_s: whole(for_s / 8) }),
    () => ({ fault: 'interface-deleted', link, for_s: whole(for_s / 4) }),
    () => ({ fault: 'interface-taken', link }),
    () => ({ fault: 'interface-bridged', link, for_s }),
    () => ({ fault: 'mtu-lowered', link, for_s, mtu: random.pick([1280, 1400]) }),
    () => ({ fault: 'bat0-deleted', node, ...(random.is(0.5) && { for_s: whole(for_s / 4) }) }),
    () => {
      const [setting, values] = random.pick(SETTINGS);
      return { fault: 'setting-changed', node, setting, value: random.pick(values), for_s };
    },
    () => ({ fault: 'bridge-loop', nodes: [node, random.pick(names.filter((other) => other !== node))], for_s }),
    () => ({ fault: 'cpu-hog', node, for_s, processes: random.pick([1, 4]) }),
    () => ({ fault: 'memory-pressure', node, for_s, leave_mib: 3 }),
    () => ({ fault: 'clock-stepped', node, step_s: random.pick([-7200, 3, 1e8]) }),
  ];
  if (gateways.length > 0) {
    const gateway = random.pick(gateways);
    const gone = () => ({ fault: random.pick(['gateway-gone', 'upstream-gone']), node: gateway, for_s });
    kinds.push(gone, gone, gone);
  }
  return random.pick(kinds)();
}

/** One router, or one with some of those beside it: never all. */
function part(random: Random, links: Ground['links'], names: readonly string[], node: string): string[] {
  const beside = names.filter(
    (other) => other !== node && links.some((link) => link.includes(node) && link.includes(other)),
  );
  const most = random.int(names.length - 1);
  return [node, ...beside.slice(0, most)];
}

const tenths = (value: number) => Math.round(value * 10) / 10;
const whole = (seconds: number) => Math.round(seconds * 1000) / 1000;
