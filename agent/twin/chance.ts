/** Scenarios by chance: a small mesh of some shape and what may befall it, everything from one seed. */
import { CATALOGUE } from '../heal/faults/catalogue.ts';
import { Random } from './random.ts';

/** A scenario as people write it; parseScenario has the last word. */
export type Document = Readonly<Record<string, unknown>> & {
  readonly topology: {
    readonly kind: 'links';
    readonly links: readonly Pair[];
    readonly nodes?: readonly string[];
    readonly medium: 'cable' | 'shared' | 'radio';
    readonly places?: Readonly<Record<string, readonly [number, number]>>;
  };
  readonly timeline: readonly Entry[];
};

type Pair = readonly [string, string];
export type Entry = Readonly<Record<string, unknown>> & { readonly at_s: number };

const MOST_FAULTS = 4;
/** The timeline, in seconds. */
const LENGTH = 25;
const LONGEST = 20;

export function scenarioOf(seed: number): Document {
  const random = new Random(seed, 'scenario');
  const medium = random.is(0.25) ? 'shared' : 'cable';
  const links = shape(random);
  const names = [...new Set(links.flat())];
  const mixed = random.is(0.2);
  const agents = mixed ? names.filter(() => random.is(0.7)) : names;
  const lossy = random.is(0.2);
  const plain: Document = {
    format: 1,
    name: `seed ${seed}`,
    seed,
    topology: { kind: 'links', links, medium },
    ...(random.is(0.08) ? { kernel: { algorithm: 'BATMAN_V' } } : {}),
    ...(lossy ? { link: { loss_pct: Math.round(random.between(0.1, 5) * 10) / 10 } } : {}),
    ...(agents.length === names.length ? {} : { agent: { nodes: agents } }),
    settle_s: 0,
    timeline: timeline(random, links, names, medium),
    duration_s: LENGTH + LONGEST,
  };
  return settled(daring(plain, names, new Random(seed, 'daring')), names, new Random(seed, 'settled'));
}

/** In some the routers are homes: a cable between two client networks, and a clock that somebody sets. */
function settled(plain: Document, names: readonly string[], random: Random): Document {
  const entries: Entry[] = [];
  const at = (most: number) => Math.round(random.between(0, most) * 1000) / 1000;
  if (random.is(0.15)) {
    const one = random.int(names.length);
    const other = (one + 1 + random.int(names.length - 1)) % names.length;
    entries.push({
      at_s: at(LENGTH / 3),
      fault: 'bridge-loop',
      nodes: [names[one], names[other]],
      for_s: LONGEST * 1.5,
    });
  }
  if (random.is(0.1))
    entries.push({
      at_s: at(LENGTH),
      fault: 'clock-stepped',
      node: random.pick(names),
      step_s: random.pick([-7200, 3, 1e8]),
    });
  return entries.length === 0 ? plain : { ...plain, timeline: [...plain.timeline, ...entries] };
}

/** In some every class of faults is repaired, also what has to be rehearsed before; and in some of those routers go out by gateways that lose their upstream. */
function daring(plain: Document, names: readonly string[], random: Random): Document {
  if (!random.is(0.3)) return plain;
  const modes = Object.fromEntries(CATALOGUE.filter(({ safe }) => !safe).map((spec) => [spec.class, 'act']));
  const node = random.pick(names);
  const at_s = Math.round(random.between(LENGTH / 5, LENGTH) * 1000) / 1000;
  const drift = { fault: 'setting-changed', node, setting: 'hop_penalty', value: random.pick([5, 90]), for_s: LONGEST };
  // The same thing twice at once is no scenario.
  const isMeddledWith = plain.timeline.some((entry) => entry.fault === drift.fault && entry.node === node);
  const agent = { ...(plain.agent as object | undefined), modes };
  const document = { ...plain, agent, timeline: [...plain.timeline, ...(isMeddledWith ? [] : [{ at_s, ...drift }])] };
  if (!random.is(0.4)) return document;
  const gateways = names.filter(() => random.is(0.4)).slice(0, 2);
  const entries = gateways.flatMap((node): Entry[] => {
    const at_s = Math.round(random.between(0, LENGTH) * 1000) / 1000;
    const gone: Entry = { at_s, fault: 'upstream-gone', node, for_s: LONGEST };
    return random.is(0.7) ? [gone] : [];
  });
  return {
    ...document,
    kernel: { ...(plain.kernel as object | undefined), gw_mode: 'client' },
    nodes: Object.fromEntries(gateways.map((name) => [name, { gateway: {} }])),
    timeline: [...document.timeline, ...entries],
  };
}

/** Three to seven routers: a ring, a line with some shortcuts, a star of rings, all with all. */
export function shape(random: Random): Pair[] {
  const count = 3 + random.int(5);
  const kind = random.int(4);
  const links: Pair[] = [];
  const join = (a: number, b: number) => {
    const [low, high] = [`r${Math.min(a, b)}`, `r${Math.max(a, b)}`];
    if (a !== b && !links.some(([x, y]) => x === low && y === high)) links.push([low, high]);
  };
  for (let n = 1; n < count; n++) join(n, kind === 2 ? random.int(n) : n - 1);
  if (kind === 0) join(0, count - 1);
  const more = kind === 3 ? count * count : random.int(count);
  for (let i = 0; i < more && kind !== 0; i++) join(random.int(count), random.int(count));
  return links;
}

function timeline(random: Random, links: readonly Pair[], names: readonly string[], medium: string): Entry[] {
  const entries: Entry[] = [];
  const held = new Set<string>();
  for (let i = 1 + random.int(MOST_FAULTS); i > 0; i--) {
    const link = random.pick(links);
    const sided = random.is(0.5) ? link : ([link[1], link[0]] as const);
    const node = random.pick(names);
    const about = befalls(random, medium, sided, node);
    // The same thing twice at once is no scenario.
    const key = JSON.stringify([about.fault, [about.link ?? about.node].flat().sort()]);
    if (held.has(key)) continue;
    held.add(key);
    const at_s = Math.round(random.between(0, LENGTH) * 1000) / 1000;
    entries.push({ at_s, ...about });
  }
  return entries;
}

function befalls(random: Random, medium: string, link: Pair, node: string): Readonly<Record<string, unknown>> {
  const for_s = Math.round(random.between(0.2, LONGEST) * 1000) / 1000;
  const how = medium === 'cable' ? 'carrier' : 'silent';
  const kinds: readonly (() => Readonly<Record<string, unknown>>)[] = [
    () => ({ fault: medium === 'cable' ? 'carrier-loss' : 'silent-loss', link, for_s }),
    () => ({ fault: medium === 'cable' ? 'carrier-loss' : 'silent-loss', link, for_s }),
    () => ({ fault: 'silent-loss', link, for_s }),
    () => ({ fault: 'partial-loss', link, for_s, loss_pct: random.pick([5, 20, 50, 80]) }),
    () => ({ fault: 'one-way', link, for_s }),
    () => ({ fault: 'delay', link, for_s, delay_ms: random.pick([5, 50, 300]) }),
    () => ({ fault: 'flapping', link, how, for_s, down_s: random.pick([0.3, 1, 4]), up_s: random.pick([0.2, 1, 5]) }),
    () => ({ fault: 'router-killed', node, for_s }),
    () => ({ fault: 'agent-killed', node, for_s }),
    () => ({ fault: 'agent-stopped', node, for_s }),
    () => ({ fault: 'interface-deleted', link, for_s }),
    () => ({ fault: 'interface-taken', link }),
    () => ({ fault: 'interface-bridged', link, for_s }),
    () => ({ fault: 'bat0-deleted', node }),
    () => ({
      fault: 'setting-changed',
      node,
      setting: 'orig_interval_ms',
      value: random.pick([200, 500, 2000]),
      for_s,
    }),
    () => ({ fault: 'cpu-hog', node, for_s, processes: random.pick([1, 4, 16]) }),
  ];
  return random.pick(kinds)();
}
