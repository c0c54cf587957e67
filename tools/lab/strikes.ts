/**
 * Makes the faults of a scenario (agent/twin/scenario.ts) on the lab's mesh, and takes them back. Runs inside the lab's
 * kernel.
 */
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  KernelSettings,
  LinkProperties,
  Scenario,
  SettingName,
  TimelineEntry,
} from '../../agent/twin/scenario.ts';
import { addressOf, type Hop, type Mesh, type MeshLink, macOf, monotonicNs, nsOf, run, type Shape } from './mesh.ts';
import { TWIN_ONLY } from './verdicts.ts';

/** What a fault needs of those who play the scenario. */
export interface Stage {
  readonly mesh: Mesh;
  readonly scenario: Scenario;
  /** Whether agents run: a person who mends leaves to them what is theirs to do. */
  readonly withAgents: boolean;
  killAgent(router: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  startAgent(router: number): Promise<void>;
}

/** A fault that was made. */
export interface Made {
  /** What was hit, for people: router and interface names of the lab. */
  readonly what: string;
  readonly ns: number;
  /** Who sees it at first hand. An agent elsewhere that names it would be guessing. */
  readonly routers: readonly number[];
  /** Their interfaces that it is about, by router; whatever interface where a router is not there. */
  readonly interfaces: Readonly<Record<number, readonly string[]>>;
  readonly links: readonly number[];
  /** Routers that are dead: a probe from or to them tells nothing of the mesh. */
  readonly dead?: readonly number[];
  mend(): Promise<void>;
  /** Of a fault whose repair shows in a state: is all as before? */
  readonly repaired?: () => Promise<boolean>;
}

export const IN_USE = 'in-use';
const HARD_MTU = 1532;

/** Names of `batctl meshif bat0`, and their values there. */
const BATCTL: Readonly<Record<Exclude<SettingName, 'elp_interval_ms'>, string>> = {
  orig_interval_ms: 'orig_interval',
  bla: 'bridge_loop_avoidance',
  hop_penalty: 'hop_penalty',
  gw_mode: 'gw_mode',
  aggregation: 'aggregation',
  ap_isolation: 'ap_isolation',
  bonding: 'bonding',
  fragmentation: 'fragmentation',
  distributed_arp_table: 'distributed_arp_table',
  multicast_forceflood: 'multicast_forceflood',
};

const batctlValue = (value: string | number | boolean) =>
  typeof value === 'boolean' ? String(Number(value)) : String(value);

/** Sets what a scenario calls a setting, on one router. */
export async function setSetting(mesh: Mesh, router: number, name: SettingName, value: string | number | boolean) {
  if (name !== 'elp_interval_ms') return mesh.batctl(router, { [BATCTL[name]]: batctlValue(value) });
  const commands = mesh.interfacesOf(router).map((port) => `batctl hardif ${port} elp_interval ${value}`);
  await inside(router, 'sh', '-ec', commands.join('\n'));
}

async function readSetting(mesh: Mesh, router: number, name: SettingName): Promise<string> {
  const of = name === 'elp_interval_ms' ? ['hardif', mesh.interfacesOf(router)[0]!] : ['meshif', 'bat0'];
  const said = (
    await inside(router, 'batctl', ...of, name === 'elp_interval_ms' ? 'elp_interval' : BATCTL[name])
  ).trim();
  // `gw_mode` of a server says its bandwidth too.
  return said === 'enabled' ? '1' : said === 'disabled' ? '0' : said.split(' ')[0]!;
}

const inside = (router: number, ...command: string[]) =>
  run('nsenter', [`--net=/run/netns/${nsOf(router)}`, ...command]);

/** What a router sets, all of it, as the scenario has it. */
export function settingsOf(scenario: Scenario, router: number): KernelSettings {
  const own = scenario.nodes[scenario.graph.nodes[router]!] ?? {};
  return { ...scenario.kernel, ...own.kernel, ...(own.gateway && { gw_mode: 'server' as const }) };
}

/** What each direction of each link is like at rest, and with what befalls it now. */
export class Weather {
  readonly #mesh: Mesh;
  /** By link and sender. */
  readonly #rest = new Map<string, Shape>();
  readonly #worse = new Map<string, { lossPct: number; delayMs: number; jitterMs: number }[]>();

  constructor(mesh: Mesh, scenario: Scenario) {
    this.#mesh = mesh;
    const numbers = new Map(scenario.graph.nodes.map((name, n) => [name, n]));
    for (const [id, link] of mesh.links.entries()) {
      const losses = scenario.graph.links[id]!.loss;
      for (const from of [link.a, link.b]) {
        const of: LinkProperties[] = [scenario.link];
        if (losses) of.push({ loss_pct: 100 * losses[from === link.a ? 0 : 1] });
        for (const own of scenario.links) {
          const [first, second] = own.between.map((name) => numbers.get(name)!);
          const isIt = (first === link.a && second === link.b) || (first === link.b && second === link.a);
          if (isIt && (own.direction === 'both' || first === from)) of.push(own);
        }
        const {
          loss_pct = 0,
          delay_ms = 0,
          jitter_ms = 0,
          rate_kbit_s = 0,
        } = Object.assign({}, ...of) as LinkProperties;
        const rest = { lossPct: loss_pct, delayMs: delay_ms, jitterMs: jitter_ms, rateKbitS: rate_kbit_s };
        this.#rest.set(`${id} ${from}`, rest);
      }
    }
  }

  /** Puts every link that is not perfect into its state of rest. */
  async settle(): Promise<void> {
    for (const link of this.#mesh.links)
      for (const from of [link.a, link.b]) {
        const rest = this.#rest.get(`${link.id} ${from}`)!;
        if (Object.values(rest).some((value) => value > 0)) await this.#mesh.shape(link, from, rest);
      }
  }

  /** Answers what takes it back. */
  async worsen(
    link: MeshLink,
    senders: readonly number[],
    by: { lossPct?: number; delayMs?: number; jitterMs?: number },
  ): Promise<{ ns: number; better: () => Promise<void> }> {
    const more = { lossPct: 0, delayMs: 0, jitterMs: 0, ...by };
    for (const from of senders) {
      const key = `${link.id} ${from}`;
      this.#worse.set(key, [...(this.#worse.get(key) ?? []), more]);
    }
    const ns = monotonicNs();
    await this.#apply(link, senders);
    const better = async () => {
      for (const from of senders) {
        const key = `${link.id} ${from}`;
        this.#worse.set(
          key,
          this.#worse.get(key)!.filter((one) => one !== more),
        );
      }
      await this.#apply(link, senders);
    };
    return { ns, better };
  }

  async #apply(link: MeshLink, senders: readonly number[]): Promise<void> {
    for (const from of senders) {
      const key = `${link.id} ${from}`;
      const rest = this.#rest.get(key)!;
      let through = 1 - rest.lossPct / 100;
      let { delayMs, jitterMs } = rest;
      for (const one of this.#worse.get(key) ?? []) {
        through *= 1 - one.lossPct / 100;
        delayMs += one.delayMs;
        jitterMs += one.jitterMs;
      }
      await this.#mesh.shape(link, from, { ...rest, lossPct: 100 * (1 - through), delayMs, jitterMs });
    }
  }
}

/** The upstreams of gateways: a network of its own that they reach over wan0, with somebody in it who answers. */
export async function buildUpstreams(gateways: readonly number[]): Promise<void> {
  if (gateways.length === 0) return;
  const setup = [
    'ip netns add upstream',
    'ip -n upstream link add internet type bridge mcast_snooping 0',
    'ip -n upstream link set internet up',
    'ip -n upstream address add 10.78.0.254/24 dev internet',
    ...gateways.flatMap((n) => [
      `ip link add wan0 index 40 netns ${nsOf(n)} type veth peer name w${n} netns upstream`,
      `ip -n upstream link set w${n} master internet up`,
      `ip -n ${nsOf(n)} link set wan0 up`,
      `ip -n ${nsOf(n)} address add 10.78.0.${n + 1}/24 dev wan0`,
      `ip -n ${nsOf(n)} route add default via 10.78.0.254 dev wan0`,
    ]),
  ];
  await run('sh', ['-ec', setup.join('\n')]);
}

/** Slow enough that a storm in it leaves the one CPU to others, and fast enough to be one. */
const LAN_KBIT_S = 500;

/** What puts a router's bat0 into the bridge of a client network, as OpenWrt has it; as lines of `ip -batch`. */
export function bridging(n: number, size: number): string[] {
  const peers = Array.from({ length: size }, (_, peer) => peer).filter((peer) => peer !== n);
  return [
    `link add br-lan index 50 address ${macOf(n, 0xb0)} type bridge mcast_snooping 0`,
    'link set br-lan addrgenmode none',
    `address del ${addressOf(n)}/24 dev bat0`,
    'link set bat0 master br-lan',
    'link set br-lan up',
    `address add ${addressOf(n)}/24 dev br-lan`,
    ...peers.map((p) => `neigh replace ${addressOf(p)} lladdr ${macOf(p, 0xb0)} dev br-lan nud permanent`),
  ];
}

/** Routers with a client network that no cable leads to. */
export function lonelyLans(scenario: Scenario): number[] {
  const { timeline, graph } = scenario;
  const joined = new Set(lanPairs(scenario).flat());
  const named = timeline.flatMap((entry) =>
    entry.fault === 'bat0-unbridged' ? [graph.nodes.indexOf(entry.node)] : [],
  );
  return [...new Set(named)].filter((n) => !joined.has(n));
}

/**
 * The client networks of two routers, each with its bat0 in a bridge as OpenWrt has it, and a cable between them that is
 * not plugged in yet.
 */
export async function buildLans(
  mesh: Mesh,
  pairs: readonly (readonly [number, number])[],
  lonely: readonly number[],
): Promise<void> {
  for (const n of lonely) await run('ip', ['-n', nsOf(n), '-batch', '-'], `${bridging(n, mesh.size).join('\n')}\n`);
  for (const [i, routers] of pairs.entries()) {
    await run('sh', [
      '-ec',
      `ip -n cable link add lan${i} type bridge mcast_snooping 0\nip -n cable link set lan${i} up`,
    ]);
    for (const n of routers) {
      const ns = nsOf(n);
      const far = `l${i}.${n}`;
      const [bridge, ...rest] = bridging(n, mesh.size);
      const lines = [
        bridge!,
        `link add lan0 index 51 type veth peer name ${far} netns cable`,
        'link set lan0 addrgenmode none up',
        'link set lan0 master br-lan',
        ...rest,
      ];
      await run('ip', ['-n', ns, '-batch', '-'], `${lines.join('\n')}\n`);
      const cable = [
        `ip -n cable link set ${far} master lan${i}`,
        `tc -n cable qdisc add dev ${far} root netem rate ${LAN_KBIT_S}kbit limit 200`,
        ...(n === routers[0] ? [`ip -n cable link set ${far} up`] : []),
      ];
      await run('sh', ['-ec', cable.join('\n')]);
    }
  }
}

/** Routers of each pair whose LANs a scenario joins; whichever is named first, it is the same cable. */
export function lanPairs({ timeline, graph }: Scenario): (readonly [number, number])[] {
  const pairs = timeline.flatMap((entry) =>
    entry.fault === 'bridge-loop' ? [inOrder(entry.nodes.map((name) => graph.nodes.indexOf(name)))] : [],
  );
  return pairs.filter((pair, i) => pairs.findIndex((other) => String(other) === String(pair)) === i);
}

const inOrder = (pair: readonly number[]) => pair.toSorted((a, b) => a - b) as [number, number];

/** Frames a second on a cable between LANs above which it is a storm. */
const STORM_FRAMES = 300;

export class Striker {
  readonly #stage: Stage;
  readonly #weather: Weather;
  readonly #numbers: ReadonlyMap<string, number>;

  constructor(stage: Stage, weather: Weather) {
    this.#stage = stage;
    this.#weather = weather;
    this.#numbers = new Map(stage.scenario.graph.nodes.map((name, n) => [name, n]));
  }

  /** The way of a probe, hop by hop; of the first one, if no other is named. */
  async #way(along: string | undefined): Promise<Hop[]> {
    const { mesh, scenario } = this.#stage;
    const { from, to } = scenario.probes.find(({ name }) => name === along) ?? scenario.probes[0]!;
    const hops = await mesh.route(this.#number(from), this.#number(to));
    if (hops === undefined) throw new Error(`there is no way from ${from} to ${to} that a fault could strike`);
    return hops;
  }

  #number(name: string): number {
    return this.#numbers.get(name)!;
  }

  /** Link and its first end: for a link in use the end that the probe's packets come from. */
  async #link(
    target: 'in-use' | readonly [string, string],
    along: string | undefined,
  ): Promise<{ link: MeshLink; from: number; to: number }> {
    if (target === IN_USE) {
      const hops = await this.#way(along);
      return hops[hops.length >> 1]!;
    }
    const [from, to] = target.map((name) => this.#number(name)) as [number, number];
    const link = this.#stage.mesh.links.find(({ a, b }) => (a === from && b === to) || (a === to && b === from))!;
    return { link, from, to };
  }

  async #node({ node, along }: { node: string; along?: string }): Promise<number> {
    const known = this.#numbers.get(node);
    if (known !== undefined) return known;
    const hops = await this.#way(along);
    await sleep(200);
    if (hops.length < 2) throw new Error('the probe has no router on its way that a fault could strike');
    return hops[(hops.length - 1) >> 1]!.to;
  }

  /** Makes one fault of the timeline. */
  async strike(entry: TimelineEntry): Promise<Made> {
    const { mesh } = this.#stage;
    switch (entry.fault) {
      case 'carrier-loss':
      case 'silent-loss': {
        const { link } = await this.#aimed(entry);
        const { ns } = await (entry.fault === 'carrier-loss' ? mesh.cut(link) : mesh.cutSilently(link));
        return { ...this.#both(link), ns, mend: async () => void (await mesh.mend(link)) };
      }
      case 'one-way': {
        const { link, from } = await this.#aimed(entry);
        const { ns } = await mesh.cutOneWay(link, from);
        return { ...this.#both(link), ns, mend: async () => void (await mesh.mendOneWay(link, from)) };
      }
      case 'partial-loss':
      case 'delay': {
        const { link, from } = await this.#aimed(entry);
        const senders = entry.direction === 'both' ? [link.a, link.b] : [from];
        const by =
          entry.fault === 'delay'
            ? { delayMs: entry.delay_ms, jitterMs: entry.jitter_ms ?? 0 }
            : { lossPct: entry.loss_pct };
        const { ns, better } = await this.#weather.worsen(link, senders, by);
        return { ...this.#both(link), ns, mend: better };
      }
      case 'flapping':
        return this.#flap((await this.#aimed(entry)).link, entry.how === 'silent', entry.down_s, entry.up_s);
      case 'partition':
        return this.#part(new Set(entry.nodes.map((name) => this.#number(name))), entry.how === 'silent');
      case 'router-killed':
      case 'gateway-gone':
        return this.#killRouter(await this.#node(entry), entry.fault === 'gateway-gone');
      case 'agent-killed':
        return this.#atAgent(await this.#node(entry), 'SIGKILL');
      case 'agent-stopped':
        return this.#atAgent(await this.#node(entry), 'SIGSTOP');
      case 'interface-deleted':
      case 'interface-taken':
      case 'interface-bridged':
      case 'mtu-lowered':
        return this.#atInterface(entry, await this.#aimed(entry));
      case 'bat0-deleted':
        return this.#deleteBat0(await this.#node(entry));
      case 'bat0-down':
        return this.#setBat0Down(await this.#node(entry));
      case 'bat0-unbridged':
        return this.#unbridgeBat0(await this.#node(entry));
      case 'algorithm-changed':
        return this.#changeAlgorithm(await this.#node(entry));
      case 'table-stale':
      case 'route-stuck':
        throw new Error(`${entry.fault}: ${TWIN_ONLY[entry.fault]}`);
      case 'setting-changed':
        return this.#changeSetting(await this.#node(entry), entry.setting, entry.value);
      case 'upstream-gone':
        return this.#cutUpstream(await this.#node(entry));
      case 'bridge-loop':
        return this.#loop(inOrder(entry.nodes.map((name) => this.#number(name))));
      case 'cpu-hog':
        return this.#hog(await this.#node(entry), entry.processes);
      case 'memory-pressure':
        return this.#press(await this.#node(entry), entry.mib ?? availableMib() - entry.leave_mib!);
      case 'clock-stepped':
        return this.#stepClock(entry.step_s);
    }
  }

  /** Looking a way up starts processes, which hold up the only CPU: not in the moment of the fault. */
  async #aimed({
    link,
    along,
  }: {
    link: 'in-use' | readonly [string, string];
    along?: string;
  }): Promise<{ link: MeshLink; from: number; to: number }> {
    const found = await this.#link(link, along);
    if (link === IN_USE) await sleep(200);
    return found;
  }

  #both(link: MeshLink): Pick<Made, 'what' | 'routers' | 'interfaces' | 'links'> {
    const { a, b, ends } = link;
    return {
      what: `link ${this.#name(a)} - ${this.#name(b)}`,
      routers: [a, b],
      interfaces: { [a]: [ends[0]], [b]: [ends[1]] },
      links: [link.id],
    };
  }

  #at(router: number, what: string): Pick<Made, 'what' | 'routers' | 'interfaces' | 'links'> {
    return { what, routers: [router], interfaces: {}, links: [] };
  }

  #name(router: number): string {
    return this.#stage.scenario.graph.nodes[router]!;
  }

  async #flap(link: MeshLink, silent: boolean, downS: number, upS: number): Promise<Made> {
    const { mesh } = this.#stage;
    const down = () => (silent ? mesh.cutSilently(link) : mesh.cut(link));
    const { ns } = await down();
    let over = false;
    let isDown = true;
    const stopped = Promise.withResolvers<void>();
    const wait = (s: number) => Promise.race([sleep(s * 1000, undefined, { ref: false }), stopped.promise]);
    const flapping = (async () => {
      for (;;) {
        await wait(downS);
        if (over) return;
        await mesh.mend(link);
        isDown = false;
        await wait(upS);
        if (over) return;
        await down();
        isDown = true;
      }
    })();
    // Whoever takes it back is told; until then nobody waits for it, and it must not end the kernel.
    flapping.catch(() => {});
    const mend = async () => {
      over = true;
      stopped.resolve();
      await flapping;
      if (isDown) await mesh.mend(link);
    };
    return { ...this.#both(link), ns, mend };
  }

  async #part(side: ReadonlySet<number>, silently: boolean): Promise<Made> {
    const { mesh } = this.#stage;
    const links = mesh.links.filter(({ a, b }) => side.has(a) !== side.has(b));
    const { ns } = await mesh.cutAll(links, silently);
    const mend = async () => {
      for (const link of links) await mesh.mend(link);
    };
    const routers = Array.from({ length: mesh.size }, (_, n) => n);
    const what = `${[...side].map((n) => this.#name(n)).join(', ')} against the rest`;
    return { what, ns, routers, interfaces: {}, links: links.map(({ id }) => id), mend };
  }

  async #killRouter(router: number, isGateway: boolean): Promise<Made> {
    const { mesh, withAgents, killAgent, startAgent } = this.#stage;
    const { ns } = await mesh.killRouter(router);
    // Without power nobody saves anything.
    if (withAgents) await killAgent(router, 'SIGKILL');
    const links = mesh.links.filter(({ a, b }) => a === router || b === router).map(({ id }) => id);
    const others = Array.from({ length: mesh.size }, (_, n) => n).filter((n) => n !== router);
    const mend = async () => {
      await mesh.reviveRouter(router);
      if (withAgents) await startAgent(router);
    };
    const what = `router ${this.#name(router)}`;
    const made = { what, ns, routers: others, interfaces: {}, links, dead: [router], mend };
    return isGateway ? { ...made, repaired: () => this.#chosenElse(router, others) } : made;
  }

  /** Every client among these has chosen another gateway, or none is left. */
  async #chosenElse(gone: number, among: readonly number[]): Promise<boolean> {
    for (const router of among) {
      const rows = JSON.parse(await inside(router, 'batctl', 'meshif', 'bat0', 'gateways_json')) as {
        orig_address: string;
        best?: boolean;
      }[];
      const best = rows.find((row) => row.best);
      if (best?.orig_address === macOf(gone, 0)) return false;
    }
    return true;
  }

  async #atAgent(router: number, signal: 'SIGKILL' | 'SIGSTOP'): Promise<Made> {
    const { withAgents, killAgent, startAgent } = this.#stage;
    const ns = monotonicNs();
    if (withAgents) await killAgent(router, signal);
    const mend = async () => {
      if (!withAgents) return;
      if (signal === 'SIGSTOP') await killAgent(router, 'SIGCONT');
      else await startAgent(router);
    };
    return { ...this.#at(router, `agent of ${this.#name(router)}`), ns, mend };
  }

  async #atInterface(
    entry: Extract<
      TimelineEntry,
      { fault: 'interface-deleted' | 'interface-taken' | 'interface-bridged' | 'mtu-lowered' }
    >,
    { link, from, to }: { link: MeshLink; from: number; to: number },
  ): Promise<Made> {
    const { mesh, withAgents } = this.#stage;
    const name = link.a === from ? link.ends[0] : link.ends[1];
    const base = { ...this.#both(link), what: `${name} of ${this.#name(from)}`, routers: [from] };
    const isIn = async () => /master bat0/.test(await inside(from, 'ip', '-o', 'link', 'show', name).catch(() => ''));
    switch (entry.fault) {
      case 'interface-deleted': {
        const { ns } = await mesh.deleteInterface(from, name);
        const mend = async () => {
          await mesh.restoreInterface(from, name);
          // As hardware comes back: up, and out of bat0. Where there is no agent, somebody puts it in.
          if (!withAgents) await mesh.putIntoBat0(from, name);
        };
        // A cable's other end sees it too.
        return { ...base, routers: link.medium === 'cable' ? [from, to] : [from], ns, mend };
      }
      case 'interface-taken': {
        const { ns } = await mesh.takeFromBat0(from, name);
        const mend = async () => {
          if (!(await isIn())) await mesh.putIntoBat0(from, name);
        };
        return { ...base, ns, mend, repaired: isIn };
      }
      case 'interface-bridged': {
        await inside(
          from,
          'sh',
          '-ec',
          'ip link show br-x >/dev/null 2>&1 || ip link add br-x type bridge\nip link set br-x up',
        );
        const { ns } = await mesh.change(`master ${nsOf(from)} ${name} br-x`);
        const mend = async () => {
          if (!(await isIn())) await mesh.putIntoBat0(from, name);
          await inside(from, 'ip', 'link', 'delete', 'br-x');
        };
        return { ...base, ns, mend };
      }
      default: {
        const ns = monotonicNs();
        await inside(from, 'ip', 'link', 'set', name, 'mtu', String(entry.mtu));
        const repaired = async () => (await inside(from, 'ip', '-o', 'link', 'show', name)).includes(`mtu ${HARD_MTU}`);
        const mend = async () => void (await inside(from, 'ip', 'link', 'set', name, 'mtu', String(HARD_MTU)));
        return { ...base, ns, mend, repaired };
      }
    }
  }

  async #deleteBat0(router: number): Promise<Made> {
    const { mesh, scenario } = this.#stage;
    const { ns } = await mesh.deleteBat0(router);
    const mend = async () => {
      if (await mesh.hasBat0(router)) return;
      await mesh.makeBat0(router);
      await applySettings(mesh, scenario, router);
    };
    const repaired = async () => {
      const under = await inside(router, 'ip', '-o', 'link', 'show', 'master', 'bat0').catch(() => '');
      return mesh.interfacesOf(router).every((name) => under.includes(` ${name}@`) || under.includes(` ${name}:`));
    };
    return { ...this.#at(router, `bat0 of ${this.#name(router)}`), ns, mend, repaired };
  }

  async #setBat0Down(router: number): Promise<Made> {
    const { mesh } = this.#stage;
    const { ns } = await mesh.change(`down ${nsOf(router)} bat0`);
    const repaired = async () => isUp(await inside(router, 'ip', '-o', 'link', 'show', 'bat0').catch(() => ''));
    const mend = async () => {
      if (!(await repaired())) await mesh.change(`up ${nsOf(router)} bat0`);
    };
    return { ...this.#at(router, `bat0 of ${this.#name(router)}`), ns, mend, repaired };
  }

  async #unbridgeBat0(router: number): Promise<Made> {
    const { mesh } = this.#stage;
    const { ns } = await mesh.change(`nomaster ${nsOf(router)} bat0`);
    const repaired = async () =>
      /master br-lan\b/.test(await inside(router, 'ip', '-o', 'link', 'show', 'bat0').catch(() => ''));
    const mend = async () => {
      if (!(await repaired())) await mesh.change(`master ${nsOf(router)} bat0 br-lan`);
    };
    return { ...this.#at(router, `bat0 of ${this.#name(router)}`), ns, mend, repaired };
  }

  /** As a router comes back from an upgrade: it is the kernel that begins anew, and the agent with it. */
  async #changeAlgorithm(router: number): Promise<Made> {
    const { mesh, scenario, withAgents, killAgent, startAgent } = this.#stage;
    const own = mesh.algorithmOf(router);
    const begin = async (algorithm: KernelSettings['algorithm']) => {
      if (withAgents) await killAgent(router, 'SIGKILL');
      const { ns } = await mesh.deleteBat0(router);
      await mesh.makeBat0(router, algorithm);
      await applySettings(mesh, scenario, router, algorithm);
      if (withAgents) await startAgent(router);
      return ns;
    };
    const ns = await begin(own === 'BATMAN_V' ? 'BATMAN_IV' : 'BATMAN_V');
    const links = mesh.links.filter(({ a, b }) => a === router || b === router);
    const routers = [...new Set([router, ...links.flatMap(({ a, b }) => [a, b])])];
    const what = `routing algorithm of ${this.#name(router)}`;
    return {
      what,
      ns,
      routers,
      interfaces: {},
      links: links.map(({ id }) => id),
      mend: async () => void (await begin(own)),
    };
  }

  async #changeSetting(router: number, name: SettingName, value: string | number | boolean): Promise<Made> {
    const { mesh } = this.#stage;
    const before = await readSetting(mesh, router, name);
    const mtu = async () => /mtu (\d+)/.exec(await inside(router, 'ip', '-o', 'link', 'show', 'bat0'))![1]!;
    const usual = await mtu();
    await sleep(200);
    const ns = monotonicNs();
    await setSetting(mesh, router, name, value);
    const repaired = async () => (await readSetting(mesh, router, name)) === before;
    const mend = async () => {
      if (await repaired()) return;
      await setSetting(mesh, router, name, before);
      // Without fragmentation the kernel makes bat0's MTU smaller, and does not take that back.
      if ((await mtu()) !== usual) await inside(router, 'ip', 'link', 'set', 'bat0', 'mtu', usual);
    };
    return { ...this.#at(router, `${name} of ${this.#name(router)}`), ns, mend, repaired };
  }

  async #cutUpstream(router: number): Promise<Made> {
    const { mesh } = this.#stage;
    const { ns } = await mesh.change(`mute upstream w${router}`);
    const mend = async () => void (await mesh.change(`unmute upstream w${router}`));
    const others = Array.from({ length: mesh.size }, (_, n) => n).filter((n) => n !== router);
    // Clients see no more of it than that the gateway no longer offers itself.
    const repaired = () => this.#chosenElse(router, others);
    return { ...this.#at(router, `upstream of ${this.#name(router)}`), ns, mend, repaired };
  }

  async #loop(pair: readonly [number, number]): Promise<Made> {
    const { mesh, scenario } = this.#stage;
    const lan = lanPairs(scenario).findIndex((other) => String(other) === String(pair));
    const [first, second] = pair;
    const { ns } = await mesh.change(`up cable l${lan}.${second}`);
    // Broadcasts to go round: somebody looks for an address that nobody has.
    await inside(first, 'bash', '-c', 'echo >/dev/udp/10.77.0.253/9');
    const frames = async () => {
      const text = await run('ip', ['-n', 'cable', '-s', '-j', 'link', 'show', `l${lan}.${second}`]);
      const [row] = JSON.parse(text) as { stats64: { rx: { packets: number }; tx: { packets: number } } }[];
      return row!.stats64.rx.packets + row!.stats64.tx.packets;
    };
    const repaired = async () => {
      const before = await frames();
      await sleep(500);
      return (await frames()) - before < STORM_FRAMES / 2;
    };
    const mend = async () => void (await mesh.change(`down cable l${lan}.${second}`));
    const what = `cable between the LANs of ${this.#name(first)} and ${this.#name(second)}`;
    return { what, ns, routers: [first, second], interfaces: {}, links: [], mend, repaired };
  }

  async #hog(router: number, processes: number): Promise<Made> {
    const ns = monotonicNs();
    const hogs = Array.from({ length: processes }, () =>
      spawn('ip', ['netns', 'exec', nsOf(router), 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    const mend = async () => {
      for (const hog of hogs) hog.kill('SIGKILL');
    };
    return { ...this.#everywhere(`CPU, by ${processes} processes of ${this.#name(router)}`), ns, mend };
  }

  async #press(router: number, mib: number): Promise<Made> {
    const ns = monotonicNs();
    const file = `/dev/shm/pressure-${router}`;
    // Half of the memory is what a tmpfs may take by itself.
    await run('sh', [
      '-c',
      `mount -o remount,size=100% /dev/shm; head -c ${Math.max(1, mib)}M /dev/zero >${file} || true`,
    ]);
    const mend = async () => rmSync(file, { force: true });
    return { ...this.#everywhere(`memory, ${mib} MiB by ${this.#name(router)}`), ns, mend };
  }

  async #stepClock(stepS: number): Promise<Made> {
    const to = Date.now() / 1000 + stepS;
    const ns = monotonicNs();
    await run('date', ['-s', `@${to.toFixed(3)}`]);
    return { ...this.#everywhere(`wall clock, by ${stepS} s`), ns, mend: async () => {} };
  }

  /** What all routers of the lab share, because they are of one kernel. */
  #everywhere(what: string): Pick<Made, 'what' | 'routers' | 'interfaces' | 'links'> {
    const routers = Array.from({ length: this.#stage.mesh.size }, (_, n) => n);
    return { what, routers, interfaces: {}, links: [] };
  }
}

/** What `ip -o link` says: with the flag UP among others, not only LOWER_UP. */
export const isUp = (said: string): boolean => /<([^>]*,)?UP[,>]/.test(said);

function availableMib(): number {
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))!;
  return Math.floor(Number(kib) / 1024);
}

/** Settings of a router beyond those that the whole mesh was built with. */
export async function applySettings(
  mesh: Mesh,
  scenario: Scenario,
  router: number,
  algorithm = settingsOf(scenario, router).algorithm,
): Promise<void> {
  const wanted = { ...settingsOf(scenario, router), algorithm };
  for (const name of Object.keys(BATCTL) as (keyof typeof BATCTL)[]) await setSetting(mesh, router, name, wanted[name]);
  if (wanted.algorithm === 'BATMAN_V') await setSetting(mesh, router, 'elp_interval_ms', wanted.elp_interval_ms);
  const gateway = scenario.nodes[scenario.graph.nodes[router]!]?.gateway;
  if (gateway) await mesh.batctl(router, { gw_mode: `server ${gateway.down_kbit_s}kbit/${gateway.up_kbit_s}kbit` });
}
