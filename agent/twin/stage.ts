/** A scenario set up for the twin: every name a number, every fault what happens to the simulated mesh, and when. */
import { readBool } from '../config/schema.ts';
import type { HealSettings } from '../core/event.ts';
import type { MeshSettings, RoutingAlgorithm } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { isJudged } from './expected.ts';
import type { KernelSettings, Scenario, TimelineEntry } from './scenario.ts';
import { WARM } from './simulation.ts';
import { type Fault, type Ill, type Link, type Routes, type Story, story, type Timed } from './story.ts';
import type { Stale } from './translation.ts';
import { FREE_KIB } from './world.ts';

/** The mesh is warm, and every agent runs and knows its neighbours. */
const READY: Nanos = WARM + 2 * SECOND;
const KBIT_PER_UNIT = 100;
/** batman-v.ts probes at the kernel's own pace. */
const ELP_MS = 500;

type Optional<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** What a scenario's configuration of the agents comes to. The names are those of the configuration file. */
const CONFIG: Readonly<Record<string, (value: string | number | boolean) => Partial<HealSettings>>> = {
  'heal.mode': (value) => ({ mode: value as HealSettings['mode'] }),
  'heal.poll_interval': (value) => ({ pollNs: Number(value) * MS }),
  'heal.kick_count': (value) => ({ kickCount: Number(value) }),
  'heal.kick_spacing': (value) => ({ kickSpacingNs: Number(value) * MS }),
  'heal.kick_budget': (value) => ({ kickBudget: Number(value) }),
  'heal.sender_budget': (value) => ({ senderBudget: Number(value) }),
  'heal.alarm_hops': (value) => ({ alarmHops: Number(value) }),
  'heal.detach': (value) => ({ detach: isOn(value) }),
  'heal.reattach': (value) => ({ reattach: isOn(value) }),
  'heal.recreate': (value) => ({ recreate: isOn(value) }),
  'heal.reattach_damping': (value) => ({ reattachDampingNs: Number(value) * SECOND }),
  'heal.flap_damping': (value) => ({ flapDampingNs: Number(value) * SECOND }),
  'heal.echo_interval': (value) => ({ echoNs: Number(value) * SECOND }),
  'heal.dead_after': (value) => ({ deadAfterNs: Number(value) * SECOND }),
  'heal.restart': (value) => ({ restart: isOn(value) }),
  'heal.earn_right': (value) => ({ earnRight: Number(value) / 100 }),
  'heal.earn_false': (value) => ({ earnFalse: Number(value) / 100 }),
  'heal.earn_cases': (value) => ({ earnCases: Number(value) }),
  'heal.explore': (value) => ({ explore: Number(value) }),
  'mesh.orig_interval': (value) => ({ origIntervalMs: Number(value) }),
  'mesh.key': (value) => (value === '' ? { key: '' } : {}),
};

const isOn = (value: string | number | boolean) => readBool(String(value)) === true;

/** Where a story begins its timeline. */
export function beginsAt({ settle_s }: Pick<Scenario, 'settle_s'>): Nanos {
  return READY + settle_s * SECOND;
}

export function stage(scenario: Scenario, agents: 'on' | 'off' = 'on'): Story {
  const { graph, kernel, nodes, duration_s, probes, seed, timeline } = scenario;
  const begin = beginsAt(scenario);
  const numbers = new Map(graph.nodes.map((name, n) => [name, n]));
  const number = (name: string) => numbers.get(name)!;
  const special = new Map<number, Partial<MeshSettings>>();
  const tongues = new Map<number, RoutingAlgorithm>();
  for (const [name, { gateway, kernel: own }] of Object.entries(nodes)) {
    if (own?.algorithm !== undefined && own.algorithm !== kernel.algorithm) tongues.set(number(name), own.algorithm);
    special.set(number(name), {
      ...(own === undefined ? {} : settingsOf(own)),
      ...(gateway === undefined
        ? {}
        : {
            gwMode: 'server',
            gwBandwidthDown: gateway.down_kbit_s / KBIT_PER_UNIT,
            gwBandwidthUp: gateway.up_kbit_s / KBIT_PER_UNIT,
          }),
    });
  }
  const told = agents === 'off' ? [] : (scenario.agent.nodes ?? graph.nodes).map(number);
  return story({
    seed,
    routers: graph.nodes.length,
    algorithm: kernel.algorithm,
    links: linksOf(scenario, number),
    lans: [...new Set(timeline.flatMap(lansOf).map(number))],
    medium: graph.medium,
    ...(graph.medium === 'radio' && radios(scenario)),
    agents: told,
    settings: configured(scenario),
    modes: scenario.agent.modes,
    mesh: settingsOf(kernel),
    special,
    tongues,
    surveyed: isSurveyed(scenario),
    faults: new Timeline(scenario, number, begin).faults(),
    probes: probes.map(({ from, to, interval_ms, echo }) => ({
      from: number(from),
      to: number(to),
      echo,
      everyNs: interval_ms * MS,
      fromNs: begin,
    })),
    lengthNs: begin + duration_s * SECOND,
  });
}

/** In metres. */
function radios({ graph, topology }: Scenario): Pick<Story, 'places' | 'interferers'> {
  const [side, places] = [graph.sideM!, graph.places!];
  const at = ([x, y]: readonly [number, number]) => ({ x: x * side, y: y * side });
  const interferers = (topology.interferers ?? []).map((one) => ({
    ...at(one.at),
    powerDbm: one.power_dbm,
    onNs: Math.round(one.on_s * SECOND),
    offNs: Math.round(one.off_s * SECOND),
  }));
  return { places: places.map(at), interferers };
}

/** Routers with a client network. */
function lansOf(entry: TimelineEntry): readonly string[] {
  return entry.fault === 'bridge-loop' ? entry.nodes : entry.fault === 'bat0-unbridged' ? [entry.node] : [];
}

const SURVEYED: ReadonlySet<TimelineEntry['fault']> = new Set(['algorithm-changed', 'table-stale', 'route-stuck']);

/** Is there anything that agents tell only by counters, stations, the air, or what OGMs carry? */
function isSurveyed({ nodes, kernel, timeline }: Scenario): boolean {
  const isOther = ({ kernel: own }: Scenario['nodes'][string]) =>
    (['algorithm', 'distributed_arp_table', 'multicast_forceflood'] as const).some(
      (key) => own?.[key] !== undefined && own[key] !== kernel[key],
    );
  return Object.values(nodes).some(isOther) || timeline.some(({ fault }) => SURVEYED.has(fault));
}

/** What a scenario says and the twin has nothing for, by its path: it plays on without. */
export function unplayed({ graph, agent, kernel, nodes, link, links, timeline, expect }: Scenario): string[] {
  const found: string[] = [];
  for (const [section, options] of Object.entries(agent.config))
    for (const [name, value] of Object.entries(options))
      if (!Object.hasOwn(CONFIG, `${section}.${name}`) || Array.isArray(value))
        found.push(`$.agent.config.${section}.${name}`);
  if (kernel.elp_interval_ms !== ELP_MS) found.push('$.kernel.elp_interval_ms');
  for (const [name, { kernel: own }] of Object.entries(nodes))
    if (own?.elp_interval_ms !== undefined) found.push(`$.nodes.${name}.kernel.elp_interval_ms`);
  // What all hear at once has one rate.
  const properties = graph.medium !== 'cable' ? (['jitter_ms', 'rate_kbit_s'] as const) : (['jitter_ms'] as const);
  for (const name of properties) {
    if (link[name] !== undefined) found.push(`$.link.${name}`);
    for (const [n, one] of links.entries()) if (one[name] !== undefined) found.push(`$.links[${n}].${name}`);
  }
  for (const [n, entry] of timeline.entries()) {
    if ('jitter_ms' in entry && entry.jitter_ms !== undefined) found.push(`$.timeline[${n}].jitter_ms`);
  }
  for (const [n, one] of expect.entries()) if (!isJudged(one)) found.push(`$.expect[${n}]`);
  return found;
}

function linksOf({ graph, link, links }: Scenario, number: (name: string) => number): Link[] {
  const pair = (value: number) => [value, value] as [number, number];
  const built = graph.links.map(({ a, b, loss }) => ({
    a,
    b,
    loss: loss === undefined ? pair((link.loss_pct ?? 0) / 100) : ([...loss] as [number, number]),
    delayNs: pair((link.delay_ms ?? 0) * MS + 30_000),
    rate: link.rate_kbit_s,
  }));
  for (const { between, direction, loss_pct, delay_ms, rate_kbit_s } of links) {
    const [from, to] = between.map(number) as [number, number];
    const one = built.find(({ a, b }) => (a === from && b === to) || (a === to && b === from))!;
    const sides = direction === 'both' ? [0, 1] : [one.a === from ? 0 : 1];
    for (const side of sides) {
      if (loss_pct !== undefined) one.loss[side] = loss_pct / 100;
      if (delay_ms !== undefined) one.delayNs[side] = delay_ms * MS + 30_000;
    }
    one.rate = rate_kbit_s ?? one.rate;
  }
  return built.map(({ rate, ...rest }) => ({ ...rest, ...(rate === undefined ? {} : { rate }) }));
}

function settingsOf(kernel: Optional<Omit<KernelSettings, 'algorithm'>>): Partial<MeshSettings> {
  const all: { [K in keyof MeshSettings]?: MeshSettings[K] | undefined } = {
    origInterval: kernel.orig_interval_ms,
    bridgeLoopAvoidance: kernel.bla,
    hopPenalty: kernel.hop_penalty,
    gwMode: kernel.gw_mode as MeshSettings['gwMode'] | undefined,
    aggregatedOgms: kernel.aggregation,
    apIsolation: kernel.ap_isolation,
    bonding: kernel.bonding,
    fragmentation: kernel.fragmentation,
    distributedArpTable: kernel.distributed_arp_table,
    multicastForceflood: kernel.multicast_forceflood,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function configured({ agent }: Scenario): Partial<HealSettings> {
  const settings: Partial<HealSettings>[] = [];
  for (const [section, options] of Object.entries(agent.config))
    for (const [name, value] of Object.entries(options))
      if (!Array.isArray(value))
        settings.push(CONFIG[`${section}.${name}`]?.(value as string | number | boolean) ?? {});
  return Object.assign({}, ...settings);
}

/** In use where a probe has no router on its way. */
const NOBODY = -1;

/** The entries of a timeline as single events, with what takes each back. */
class Timeline {
  readonly #scenario: Scenario;
  readonly #number: (name: string) => number;
  readonly #begin: Nanos;
  readonly #timed: Timed[] = [];

  constructor(scenario: Scenario, number: (name: string) => number, begin: Nanos) {
    this.#scenario = scenario;
    this.#number = number;
    this.#begin = begin;
  }

  faults(): Timed[] {
    for (const entry of this.#scenario.timeline) this.#add(entry);
    return this.#timed.sort((a, b) => a.at - b.at);
  }

  #add(entry: TimelineEntry): void {
    switch (entry.fault) {
      case 'carrier-loss':
      case 'silent-loss':
        this.#onLink(entry, (a, b) => [{ kind: 'cut', a, b, silent: entry.fault === 'silent-loss' }]);
        return;
      case 'partial-loss':
        this.#onLink(entry, (a, b) =>
          both(entry, a, b, (x, y) => ({ kind: 'loss', a: x, b: y, loss: entry.loss_pct / 100 })),
        );
        return;
      case 'delay':
        this.#onLink(entry, (a, b) =>
          both(entry, a, b, (x, y) => ({ kind: 'delay', a: x, b: y, delayNs: entry.delay_ms * MS })),
        );
        return;
      case 'one-way':
        this.#onLink(entry, (a, b) => [{ kind: 'one-way', a, b }]);
        return;
      case 'flapping': {
        const choose = this.#chosen(entry.link, entry.along);
        const silent = entry.how === 'silent';
        const pace = entry.down_s + entry.up_s;
        for (let at = 0; at < entry.for_s!; at += pace) {
          const cut = (a: number, b: number) => ({ kind: 'cut', a, b, silent }) as const;
          this.#at(entry.at_s + at, (routes) => choose(routes, cut));
          this.#at(Math.min(entry.at_s + at + entry.down_s, entry.at_s + entry.for_s!), (routes) =>
            choose(routes, (a, b) => mended(cut(a, b))),
          );
        }
        return;
      }
      case 'partition': {
        const inside = new Set(entry.nodes.map(this.#number));
        for (const { a, b } of this.#scenario.graph.links) {
          if (inside.has(a) === inside.has(b)) continue;
          const cut = { kind: 'cut', a, b, silent: entry.how === 'silent' } as const;
          this.#at(entry.at_s, cut);
          if (entry.for_s !== undefined) this.#at(entry.at_s + entry.for_s, mended(cut));
        }
        return;
      }
      case 'router-killed':
      case 'gateway-gone':
        this.#onNode(entry, 'router-off', 'router-on');
        return;
      case 'agent-killed':
        this.#onNode(entry, 'agent-killed', 'agent-started');
        return;
      case 'agent-stopped':
        this.#onNode(entry, 'agent-stopped', 'agent-continued');
        return;
      case 'interface-deleted':
        this.#onSide(entry, 'unplugged', 'plugged');
        return;
      case 'interface-taken':
        this.#onSide(entry, 'taken', 'given');
        return;
      case 'interface-bridged':
        this.#onSide(entry, 'bridged', 'given');
        return;
      case 'bat0-deleted': {
        this.#onNode(entry, 'mesh-deleted', 'mesh-made');
        return;
      }
      case 'bat0-down':
        this.#onNode(entry, 'mesh-down', 'mesh-up');
        return;
      case 'bat0-unbridged':
        this.#onNode(entry, 'unbridged', 'rebridged');
        return;
      case 'algorithm-changed': {
        const own = (router: number) => this.#usual(router, 'algorithm') as RoutingAlgorithm;
        const of = (router: number, algorithm: RoutingAlgorithm): Fault => ({ kind: 'algorithm', router, algorithm });
        this.#onRouter(
          entry,
          (router) => of(router, own(router) === 'BATMAN_V' ? 'BATMAN_IV' : 'BATMAN_V'),
          (router) => of(router, own(router)),
        );
        return;
      }
      case 'table-stale': {
        const set = (stale: Stale | null) => (router: number) =>
          ({ kind: 'table', router, of: this.#number(entry.of), stale }) as const;
        this.#onRouter(entry, set(entry.how), set(null));
        return;
      }
      case 'route-stuck': {
        const set = (by: number | null) => (router: number) =>
          ({ kind: 'route', router, to: this.#number(entry.to), by }) as const;
        this.#onRouter(entry, set(this.#number(entry.by)), set(null));
        return;
      }
      case 'setting-changed': {
        const of = (router: number, value: unknown): Fault => {
          return { kind: 'setting', router, settings: settingsOf({ [entry.setting]: value }) };
        };
        this.#onRouter(
          entry,
          (router) => of(router, entry.value),
          (router) => of(router, this.#usual(router, entry.setting)),
        );
        return;
      }
      case 'cpu-hog': {
        const busy = (factor: number) => (router: number) => ({ kind: 'busy', router, factor }) as const;
        this.#onRouter(entry, busy(1 + entry.processes), busy(1));
        return;
      }
      case 'mtu-lowered': {
        const choose = this.#chosen(entry.link, entry.along);
        const set = (mtu: number | null) => (router: number, towards: number) =>
          ({ kind: 'mtu', router, towards, mtu }) as const;
        this.#at(entry.at_s, (routes) => choose(routes, set(entry.mtu)));
        if (entry.for_s !== undefined) this.#at(entry.at_s + entry.for_s, (routes) => choose(routes, set(null)));
        return;
      }
      case 'upstream-gone': {
        const set = (answers: boolean) => (router: number) => ({ kind: 'upstream', router, answers }) as const;
        this.#onRouter(entry, set(false), set(true));
        return;
      }
      case 'memory-pressure': {
        const set = (mib: number) => (router: number) => ({ kind: 'memory', router, kib: mib * 1024 }) as const;
        this.#onRouter(entry, set(entry.mib ?? FREE_KIB / 1024 - entry.leave_mib!), set(0));
        return;
      }
      case 'bridge-loop': {
        const [one, other] = entry.nodes.map(this.#number);
        const set = (joined: boolean): Fault => ({ kind: 'lans', routers: [one!, other!], joined });
        this.#at(entry.at_s, set(true));
        if (entry.for_s !== undefined) this.#at(entry.at_s + entry.for_s, set(false));
        return;
      }
      case 'clock-stepped': {
        const by = (stepMs: number) => (router: number) => ({ kind: 'clock', router, stepMs }) as const;
        const stepMs = Math.round(entry.step_s * 1000);
        this.#onRouter(entry, by(stepMs), by(-stepMs));
        return;
      }
    }
  }

  #at(atS: number, fault: Timed['fault']): void {
    this.#timed.push({ at: this.#begin + Math.round(atS * SECOND), fault });
  }

  #onLink(
    entry: TimelineEntry & { readonly link: 'in-use' | readonly [string, string] | string },
    make: (a: number, b: number) => Ill[],
  ): void {
    const choose = this.#chosen(entry.link, entry.along);
    const { at_s, for_s } = entry;
    for (let i = 0; i < make(0, 1).length; i++) {
      this.#at(at_s, (routes) => choose(routes, (a, b) => make(a, b)[i]!));
      if (for_s !== undefined) this.#at(at_s + for_s, (routes) => choose(routes, (a, b) => mended(make(a, b)[i]!)));
    }
  }

  #onSide(
    entry: TimelineEntry & { readonly link: 'in-use' | readonly [string, string] | string },
    kind: 'unplugged' | 'taken' | 'bridged',
    back: 'plugged' | 'given',
  ): void {
    const choose = this.#chosen(entry.link, entry.along);
    const at = (what: typeof kind | typeof back) => (router: number, towards: number) =>
      ({ kind: what, router, towards }) as const;
    this.#at(entry.at_s, (routes) => choose(routes, at(kind)));
    if (entry.for_s !== undefined) this.#at(entry.at_s + entry.for_s, (routes) => choose(routes, at(back)));
  }

  #onNode(
    entry: TimelineEntry & { readonly node: string },
    kind: 'router-off' | 'agent-killed' | 'agent-stopped' | 'mesh-deleted' | 'mesh-down' | 'unbridged',
    back: 'router-on' | 'agent-started' | 'agent-continued' | 'mesh-made' | 'mesh-up' | 'rebridged',
  ): void {
    const of = (what: typeof kind | typeof back) => (router: number) => ({ kind: what, router }) as Fault;
    this.#onRouter(entry, of(kind), of(back));
  }

  /** Where nobody is in use nothing is struck, and nothing taken back. */
  #onRouter(
    entry: TimelineEntry & { readonly node: string },
    make: (router: number) => Fault,
    back: (router: number) => Fault,
  ): void {
    const choose = this.#node(entry.node, entry.along);
    const on = (of: typeof make) => (routes: Routes) => {
      const router = choose(routes);
      return router === null ? null : of(router);
    };
    this.#at(entry.at_s, on(make));
    if (entry.for_s !== undefined) this.#at(entry.at_s + entry.for_s, on(back));
  }

  /** What a router sets where nobody meddles. */
  #usual(router: number, setting: keyof KernelSettings): unknown {
    const { kernel, nodes, graph } = this.#scenario;
    const own = nodes[graph.nodes[router]!] ?? {};
    return { ...kernel, ...own.kernel, ...(own.gateway && { gw_mode: 'server' }) }[setting];
  }

  /** The link that is meant, chosen once: what is taken back is what was done. */
  #chosen(link: 'in-use' | readonly [string, string] | string, along: string | undefined) {
    let ends: readonly [number, number] | null =
      typeof link === 'string' ? null : [this.#number(link[0]), this.#number(link[1])];
    return (routes: Routes, make: (a: number, b: number) => Fault): Fault | null => {
      if (ends === null) {
        const way = this.#way(routes, along);
        const middle = (way.length - 1) >> 1;
        if (way.length < 2) return null;
        const first = Math.min(middle, way.length - 2);
        ends = [way[first]!, way[first + 1]!];
      }
      return make(...ends);
    };
  }

  /** The router that is meant, chosen once: never the one that a probe is for. */
  #node(name: string, along: string | undefined) {
    let chosen = name === 'in-use' ? undefined : this.#number(name);
    return (routes: Routes): number | null => {
      if (chosen === undefined) {
        const way = this.#way(routes, along);
        chosen = way.length < 3 ? NOBODY : way[way.length >> 1]!;
      }
      return chosen === NOBODY ? null : chosen;
    };
  }

  /** Of the probe that is named, or the first. */
  #way(routes: Routes, along: string | undefined): number[] {
    const { probes } = this.#scenario;
    const { from, to } = probes.find(({ name }) => name === along) ?? probes[0]!;
    return routes.route(this.#number(from), this.#number(to));
  }
}

function mended(of: Ill): Fault {
  return { kind: 'mend', a: of.a, b: of.b, of };
}

function both(entry: { readonly direction: string }, a: number, b: number, make: (a: number, b: number) => Ill): Ill[] {
  return entry.direction === 'forward' ? [make(a, b)] : [make(a, b), make(b, a)];
}
