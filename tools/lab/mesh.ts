/**
 * Builds a batman-adv mesh out of network namespaces, breaks it and mends it. Runs inside the lab's kernel (uml.ts).
 *
 * Router n is the namespace `r<n>` with `bat0` at 10.77.0.<n+1>/24, its primary hard interface `primary0` (one end of a
 * veth pair that never goes away) and one hard interface per cable (`to<peer>`), or one on the shared medium (`air0`).
 * A cable is two veth pairs and a bridge in the namespace `cable`: taking the bridge's ends down takes the carrier from
 * both routers. The shared medium is one bridge that learns nothing, so that every frame reaches every router, except
 * between two that a filter keeps apart.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RoutingAlgorithm } from '../../agent/core/kernel.ts';
import type { Way } from './medium.ts';
import { Air, type MediumCount, placeRadio, type RadioType } from './radio.ts';

const BUILD = join(import.meta.dirname, 'build');
/** What a hard interface needs for a full Ethernet frame inside a batman-adv unicast frame. */
const HARD_MTU = 1532;

export type Pair = readonly [number, number];

export interface Topology {
  readonly name: string;
  readonly routers: number;
  /** The pairs of routers that hear each other. */
  readonly links: readonly Pair[];
  /** Cable: one interface per link. Air: one per router on one shared medium. Radio: that as real Wi-Fi (qemu.ts only). */
  readonly medium: 'cable' | 'air' | 'radio';
}

/** A ring of five with a chord: small enough to watch, and two links may break. */
export const CHORDED_RING: Topology = {
  name: 'ring of five with a chord',
  routers: 5,
  links: [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 0],
    [1, 4],
  ],
  medium: 'cable',
};

/** A topology by its name: ring4, line5, star5, grid3x3, full4; with `air-` before it on a shared medium, `radio-` on Wi-Fi. */
export function topology(name: string): Topology {
  const match = /^(air-|radio-)?(ring|line|star|full|grid)(\d+)(?:x(\d+))?$/.exec(name);
  if (!match) throw new Error(`no such topology: ${name} (ring4, line5, star5, full4, grid3x3, air-ring4, ...)`);
  const [, air, kind, first, second] = match;
  const width = Number(first);
  const height = Number(second ?? 1);
  const routers = width * height;
  const links: Pair[] = [];
  for (let n = 0; n < routers; n++)
    switch (kind) {
      case 'ring':
        if (n + 1 < routers || routers > 2) links.push([n, (n + 1) % routers]);
        break;
      case 'line':
        if (n + 1 < routers) links.push([n, n + 1]);
        break;
      case 'star':
        if (n > 0) links.push([0, n]);
        break;
      case 'full':
        for (let other = n + 1; other < routers; other++) links.push([n, other]);
        break;
      default:
        if ((n + 1) % width !== 0) links.push([n, n + 1]);
        if (n + width < routers) links.push([n, n + width]);
    }
  return { name, routers, links, medium: air === undefined ? 'cable' : air === 'air-' ? 'air' : 'radio' };
}

export interface MeshOptions {
  readonly algorithm?: RoutingAlgorithm;
  /** The OGM interval to be measured, in milliseconds (1000 as the kernel has it). */
  readonly origIntervalMs?: number;
  /** Bridge loop avoidance; off by default, because it holds traffic back for 26 s after bat0 is made. */
  readonly bla?: boolean;
  readonly hopPenalty?: number;
  /** Further `batctl meshif bat0` settings of every router, as in { distributed_arp_table: '0' }. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A hard interface has its peer's index (as real cards have, and fresh namespaces): its carrier events may be late. */
  readonly equalIndexes?: boolean;
  /** `primary0`, a primary hard interface that never goes away; on by default. */
  readonly stablePrimary?: boolean;
  /** Routers, by number, that route by another algorithm than the rest. */
  readonly otherAlgorithm?: Readonly<Record<number, RoutingAlgorithm>>;
  /** How radios make a network: mesh points (without 802.11s forwarding), or IBSS. */
  readonly radioType?: RadioType;
}

/** What one direction of a link is like. */
export interface Shape {
  readonly lossPct: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  /** 0 for as much as the kernel carries. */
  readonly rateKbitS: number;
}

/** What joins two routers. `a` and `b` are router numbers, `ends` the names of their hard interfaces. */
export interface MeshLink {
  readonly id: number;
  readonly a: number;
  readonly b: number;
  readonly ends: readonly [string, string];
  readonly medium: Topology['medium'];
}

export interface Hop {
  readonly link: MeshLink;
  readonly from: number;
  readonly to: number;
}

/**
 * Frames that the hard interfaces have sent since the mesh was built, counted at the far end of each (primary0, which
 * reaches nobody, is not counted). `data` are batman-adv's unicast frames, a probe's or ping's; `control` all others.
 */
export interface AirCount {
  readonly frames: number;
  readonly bytes: number;
  readonly data: number;
  readonly control: number;
  /** Frames by router number. */
  readonly byRouter: readonly number[];
  readonly atNs: number;
}

/** One line of `batctl originators_json`. */
interface OriginatorRow {
  readonly orig_address: string;
  readonly neigh_address: string;
  readonly hard_ifname: string;
  readonly tq?: number;
  readonly throughput?: number;
  readonly last_seen_msecs: number;
  readonly best?: boolean;
}

/** CLOCK_MONOTONIC in nanoseconds. */
export const monotonicNs = () => Number(process.hrtime.bigint());

/** Runs a program to its end; throws with what it said on stderr. */
export function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((settle, fail) => {
    const child = execFile(program, [...args], { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error) fail(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || error.message}`));
      else settle(stdout);
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Many `ip` commands in one process, in one namespace. */
const ipBatch = (lines: readonly string[], ns?: string) =>
  run('ip', [...(ns ? ['-n', ns] : []), '-batch', '-'], `${lines.join('\n')}\n`);

export const nsOf = (router: number) => `r${router}`;
export const addressOf = (router: number) => `10.77.0.${router + 1}`;
const hex = (value: number) => value.toString(16).padStart(2, '0');
/** 02:00:00:00:<router>:<port>; port 0 is primary0, b0 is bat0. */
export const macOf = (router: number, port: number) => `02:00:00:00:${hex(router)}:${hex(port)}`;

/** How two radios hear each other where nothing is wrong, in dBm. */
const SIGNAL = -50;
const bothWays = ({ a, b }: MeshLink, signal: number | null = SIGNAL): Way[] => [
  { from: a, to: b, signal },
  { from: b, to: a, signal },
];

/** The instant of a fault and how long it took to make, in nanoseconds. */
export interface Struck {
  readonly ns: number;
  readonly doneNs: number;
}

/** Talks to the wire program: changes of links with their instants, in order. */
class Wire {
  readonly #child: ChildProcessWithoutNullStreams = spawn(join(BUILD, 'wire'));
  readonly #waiting: { settle: (struck: Struck) => void; fail: (error: Error) => void; changes: string }[] = [];

  constructor() {
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { error, ...struck } = JSON.parse(line) as Struck & { error?: string };
      const waiting = this.#waiting.shift();
      if (error) waiting?.fail(new Error(`${waiting.changes}: ${error}`));
      else waiting?.settle(struck);
    });
    this.#child.stdin.on('error', () => {});
    this.#child.once('close', () => {
      for (const { fail } of this.#waiting.splice(0)) fail(new Error('the wire program ended'));
    });
  }

  change(...changes: string[]): Promise<Struck> {
    return new Promise((settle, fail) => {
      this.#waiting.push({ settle, fail, changes: changes.join('; ') });
      this.#child.stdin.write(`${changes.join(';')}\n`);
    });
  }

  close(): void {
    this.#child.stdin.end();
  }
}

export class Mesh {
  readonly topology: Topology;
  readonly options: MeshOptions;
  readonly links: readonly MeshLink[];
  /** Whose MAC it is, of every hard interface: originator addresses (primary0's) and next hops alike. */
  readonly #routerOfMac = new Map<string, number>();
  readonly #wire = new Wire();
  /** Where the medium is radio. */
  #air: Air | null = null;
  readonly #muted = new Set<MeshLink>();
  readonly #ports: Map<string, { port: number; index: number }>[] = [];

  private constructor(shape: Topology, options: MeshOptions) {
    this.topology = shape;
    this.options = options;
    for (let n = 0; n < shape.routers; n++) this.#ports.push(new Map());
    this.links = shape.links.map(([a, b], id) => {
      const ends =
        shape.medium === 'cable'
          ? ([this.#name(a, b), this.#name(b, a)] as const)
          : ([`${shape.medium}0`, `${shape.medium}0`] as const);
      for (const [router, name] of [
        [a, ends[0]],
        [b, ends[1]],
      ] as const) {
        const ports = this.#ports[router]!;
        // 20 is bat0's.
        if (!ports.has(name))
          ports.set(name, { port: ports.size + 1, index: (ports.size < 10 ? 10 : 20) + ports.size });
      }
      return { id, a, b, ends, medium: shape.medium };
    });
    for (let n = 0; n < shape.routers; n++) {
      this.#routerOfMac.set(macOf(n, 0), n);
      for (const { port } of this.#ports[n]!.values()) this.#routerOfMac.set(macOf(n, port), n);
    }
  }

  /** A second cable between the same two routers is called to<peer>b, and so on. */
  #name(router: number, peer: number): string {
    const ports = this.#ports[router]!;
    for (const suffix of ['', 'b', 'c', 'd']) if (!ports.has(`to${peer}${suffix}`)) return `to${peer}${suffix}`;
    throw new Error(`more than four cables between ${router} and ${peer}`);
  }

  /** Makes namespaces, cables and bat0s. The mesh then finds itself: see `warm`. */
  static async build(shape: Topology | string, options: MeshOptions = {}): Promise<Mesh> {
    const mesh = new Mesh(typeof shape === 'string' ? topology(shape) : shape, options);
    await mesh.#build();
    return mesh;
  }

  /** The mesh that shell.ts has built in this kernel, for the command that it runs. */
  static attach(): Mesh {
    const { LAB_MESH } = process.env;
    if (LAB_MESH === undefined) throw new Error('not started by tools/lab/shell.ts');
    const options = JSON.parse(LAB_MESH) as MeshOptions & { topology: string };
    const mesh = new Mesh(topology(options.topology), options);
    mesh.#interval = options.origIntervalMs ?? 1000;
    return mesh;
  }

  get size(): number {
    return this.topology.routers;
  }

  /** A router's hard interfaces, without primary0. */
  interfacesOf(router: number): string[] {
    return [...this.#ports[router]!.keys()];
  }

  /** The bridge's end of a router's hard interface, in the namespace `cable`. */
  #far(router: number, name: string): string {
    return `c${router}.${name}`;
  }

  /** The `ip` command that makes one hard interface with its far end. */
  #veth(router: number, name: string): string {
    const { port, index } = this.#ports[router]!.get(name)!;
    // Indexes are per namespace: the far ends share one, so theirs carry the router's number too.
    const far = 1000 + router * 64 + port;
    const near = this.options.equalIndexes ? far : index;
    return (
      `link add name ${name} index ${near} mtu ${HARD_MTU} address ${macOf(router, port)} netns ${nsOf(router)} ` +
      `type veth peer name ${this.#far(router, name)} index ${far} mtu ${HARD_MTU} netns cable`
    );
  }

  async #build(): Promise<void> {
    // Neighbour discovery and router solicitations would be counted as the mesh's own frames.
    writeFileSync('/proc/sys/net/core/devconf_inherit_init_net', '1');
    for (const scope of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`, '1');
    const routers = Array.from({ length: this.size }, (_, n) => n);
    await ipBatch(['cable', ...routers.map(nsOf)].map((ns) => `netns add ${ns}`));
    if (this.topology.medium === 'radio') {
      this.#air = await Air.open(this.size);
      for (const n of routers) await placeRadio(n, 'radio0', macOf(n, 1), HARD_MTU, this.options.radioType ?? 'mesh');
      await this.hear(...this.links.flatMap((link) => bothWays(link)));
      for (const n of routers) await this.#buildRouter(n);
      return;
    }
    await ipBatch(routers.flatMap((n) => this.interfacesOf(n).map((name) => this.#veth(n, name))));
    const bridges =
      this.topology.medium === 'air'
        ? [{ name: 'air', ports: routers.map((n) => this.#far(n, 'air0')) }]
        : this.links.map((l) => ({
            name: `cable${l.id}`,
            ports: [this.#far(l.a, l.ends[0]), this.#far(l.b, l.ends[1])],
          }));
    await ipBatch(
      bridges.flatMap(({ name, ports }) => [
        `link add ${name} mtu ${HARD_MTU} type bridge mcast_snooping 0`,
        `link set ${name} up`,
        ...ports.flatMap((port) => [
          `link set ${port} master ${name}`,
          `link set ${port} type bridge_slave learning off`,
          `link set ${port} up`,
        ]),
      ]),
      'cable',
    );
    await this.#countData(routers.flatMap((n) => this.interfacesOf(n).map((name) => this.#far(n, name))));
    if (this.topology.medium === 'air') await this.#separate(routers);
    await Promise.all(routers.map((n) => this.#buildRouter(n)));
  }

  /** Counts batman-adv's unicast frames (packet type 0x40), then all others, as they come in from the routers. */
  async #countData(ports: readonly string[]): Promise<void> {
    const commands = ports.flatMap((port) => [
      `qdisc add dev ${port} clsact`,
      `filter add dev ${port} ingress protocol 0x4305 prio 1 u32 match u8 0x40 0xff at 0 action pass`,
      `filter add dev ${port} ingress protocol all prio 2 matchall action pass`,
    ]);
    await run('tc', ['-n', 'cable', '-batch', '-'], `${commands.join('\n')}\n`);
  }

  /** Lets each of these hear only those of the shared medium that it is to hear. */
  async #separate(listeners: readonly number[]): Promise<void> {
    const hears = new Set(this.topology.links.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
    for (const to of listeners)
      for (let from = 0; from < this.size; from++)
        if (from !== to && !hears.has(`${from} ${to}`)) await this.#wire.change(this.#block(from, to));
  }

  #block(from: number, to: number): string {
    return `block cable ${this.#far(to, 'air0')} ${macOf(from, 1)} ${from + 1}`;
  }

  #unblock(from: number, to: number): string {
    return `unblock cable ${this.#far(to, 'air0')} ${from + 1}`;
  }

  async #buildRouter(n: number): Promise<void> {
    const ns = nsOf(n);
    const commands = ['link set lo up'];
    if (this.options.stablePrimary ?? true)
      commands.push(
        `link add name primary0 index 8 mtu ${HARD_MTU} address ${macOf(n, 0)} type veth peer name primary0p index 9 mtu ${HARD_MTU}`,
        'link set primary0p up',
        'link set primary0 up',
      );
    await ipBatch(commands, ns);
    await this.makeBat0(n);
  }

  /** The algorithm that a router's bat0 has by the options. */
  algorithmOf(n: number): RoutingAlgorithm {
    return this.options.otherAlgorithm?.[n] ?? this.options.algorithm ?? 'BATMAN_IV';
  }

  /** Makes a router's bat0 with its settings, address and hard interfaces (again, after `deleteBat0`). */
  async makeBat0(n: number, algorithm = this.algorithmOf(n)): Promise<void> {
    const { bla = false, hopPenalty, settings = {}, stablePrimary = true } = this.options;
    const ns = nsOf(n);
    await ipBatch([`link add name bat0 index 20 address ${macOf(n, 0xb0)} type batadv ra ${algorithm}`], ns);
    await this.batctl(n, {
      orig_interval: String(this.#interval),
      bridge_loop_avoidance: bla ? '1' : '0',
      ...(hopPenalty === undefined ? {} : { hop_penalty: String(hopPenalty) }),
      ...settings,
    });
    const peers = Array.from({ length: this.size }, (_, peer) => peer).filter((peer) => peer !== n);
    await ipBatch(
      [
        ...(stablePrimary ? ['link set primary0 master bat0'] : []),
        ...this.interfacesOf(n).flatMap((name) => [`link set ${name} up`, `link set ${name} master bat0`]),
        'link set bat0 up',
        `address add ${addressOf(n)}/24 dev bat0`,
        // What is measured is the mesh, not how ARP's timers meet an outage.
        ...peers.map((p) => `neigh replace ${addressOf(p)} lladdr ${macOf(p, 0xb0)} dev bat0 nud permanent`),
      ],
      ns,
    );
  }

  #interval = 60;

  /** `batctl meshif bat0 KEY VALUE` for each setting, on one router. */
  async batctl(router: number, settings: Readonly<Record<string, string>>): Promise<void> {
    const commands = Object.entries(settings).map(([key, value]) => `batctl meshif bat0 ${key} ${value}`);
    await run('nsenter', [`--net=/run/netns/${nsOf(router)}`, 'sh', '-ec', commands.join('\n')]);
  }

  /** Sets the OGM interval everywhere, in milliseconds; the OGM already scheduled still comes at its old time. */
  async setInterval(ms: number): Promise<void> {
    this.#interval = ms;
    for (let n = 0; n < this.size; n++) await this.batctl(n, { orig_interval: String(ms) });
  }

  /** What a router knows of the others. */
  async originators(router: number): Promise<OriginatorRow[]> {
    const net = `--net=/run/netns/${nsOf(router)}`;
    return JSON.parse(await run('nsenter', [net, 'batctl', 'meshif', 'bat0', 'originators_json'])) as OriginatorRow[];
  }

  /** Whether every router has a route to every other one. */
  async complete(): Promise<boolean> {
    for (let n = 0; n < this.size; n++) {
      const known = new Set((await this.originators(n)).filter((row) => row.best).map((row) => row.orig_address));
      if (known.size < this.size - 1) return false;
    }
    return true;
  }

  /** Whether a datagram from one router to another comes back within `ms`. */
  async reaches(from: number, to: number, ms = 1000): Promise<boolean> {
    const ends = [nsOf(from), addressOf(from), nsOf(to), addressOf(to)];
    try {
      await run(join(BUILD, 'probe'), ['-e', '-i', '10000', '-w', String(ms), ...ends]);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Brings the mesh together with an OGM every 60 ms, fills batman-adv's window of 64 OGMs with them (radios, which are
   * emulated, get one every 250 ms and a quarter of the window), then sets the interval to be measured and waits until it has settled. Answers the milliseconds until traffic flowed. Throws when
   * that takes longer than `timeoutMs`.
   */
  async warm(timeoutMs = 60_000): Promise<number> {
    const start = monotonicNs();
    const elapsed = () => (monotonicNs() - start) / 1e6;
    const quick = this.topology.medium === 'radio' ? 250 : 60;
    await this.setInterval(quick);
    const wait = async (condition: () => Promise<boolean>, what: string) => {
      while (!(await condition())) {
        if (elapsed() > timeoutMs) throw new Error(`${this.topology.name}: ${what} after ${Math.round(elapsed())} ms`);
        await sleep(100);
      }
    };
    await wait(() => this.complete(), 'a router still misses another');
    for (let n = 0; n < this.size; n++) await wait(() => this.reaches(n, (n + 1) % this.size), `r${n} gets no answer`);
    for (let n = 2; n < this.size; n++) await wait(() => this.reaches(0, n), `r0 gets no answer from r${n}`);
    const flowing = elapsed();
    await sleep(Math.max(0, 64 * 60 - flowing));
    const interval = this.options.origIntervalMs ?? 1000;
    if (interval !== quick) {
      await this.setInterval(interval);
      await sleep(Math.min(3 * interval, 3000));
    }
    return flowing;
  }

  /** The way of unicast frames from one router to another now, hop by hop; undefined where there is none. */
  async route(from: number, to: number): Promise<Hop[] | undefined> {
    const hops: Hop[] = [];
    for (let at = from; at !== to; ) {
      // Without a stable primary, the originator's address is the MAC of whichever interface came first.
      const row = (await this.originators(at)).find(
        (entry) => entry.best && this.#routerOfMac.get(entry.orig_address) === to,
      );
      const next = row && this.#routerOfMac.get(row.neigh_address);
      const link =
        row &&
        this.links.find(
          (l) =>
            (l.a === at && l.b === next && l.ends[0] === row.hard_ifname) ||
            (l.b === at && l.a === next && l.ends[1] === row.hard_ifname),
        );
      if (next === undefined || link === undefined || hops.length > this.size) return undefined;
      hops.push({ link, from: at, to: next });
      at = next;
    }
    return hops;
  }

  #ends(link: MeshLink): [string, string] {
    return [this.#far(link.a, link.ends[0]), this.#far(link.b, link.ends[1])];
  }

  /** Radio: how they hear each other from now on, one way each. What a way loses it goes on losing, unless it says. */
  hear(...ways: Way[]): Promise<Struck> {
    return this.#air!.set(
      ways.map((way) => {
        const loss = way.loss ?? this.#losses.get(`${way.from} ${way.to}`) ?? 0;
        this.#losses.set(`${way.from} ${way.to}`, loss);
        this.#signals.set(`${way.from} ${way.to}`, way.signal);
        return { ...way, loss };
      }),
    );
  }

  readonly #losses = new Map<string, number>();
  readonly #signals = new Map<string, number | null>();

  #oneWay({ a, b }: MeshLink, from: number, signal: number | null = SIGNAL): Way {
    return { from, to: a === from ? b : a, signal };
  }

  /** Radio: what went over the air so far. */
  radioCount(): Promise<MediumCount> {
    return this.#air!.count();
  }

  /** Cable: both routers lose the carrier. Else: the two no longer hear each other, and nobody tells them. */
  cut(link: MeshLink): Promise<Struck> {
    if (link.medium !== 'cable') return this.cutSilently(link);
    const [a, b] = this.#ends(link);
    return this.#wire.change(`down cable ${a}`, `down cable ${b}`);
  }

  /** Undoes `cut` and `cutSilently`. */
  mend(link: MeshLink): Promise<Struck> {
    if (link.medium === 'radio') return this.hear(...bothWays(link));
    if (link.medium === 'air') return this.#wire.change(this.#unblock(link.a, link.b), this.#unblock(link.b, link.a));
    const [a, b] = this.#ends(link);
    // The bridge refuses a state for a port without carrier; a port that comes up forwards by itself.
    const change = this.#muted.delete(link) ? 'unmute' : 'up';
    return this.#wire.change(`${change} cable ${a}`, `${change} cable ${b}`);
  }

  /** Frames are lost in both directions; the carrier stays. */
  cutSilently(link: MeshLink): Promise<Struck> {
    if (link.medium === 'radio') return this.hear(...bothWays(link, null));
    if (link.medium === 'air') return this.#wire.change(this.#block(link.a, link.b), this.#block(link.b, link.a));
    const [a, b] = this.#ends(link);
    this.#muted.add(link);
    return this.#wire.change(`mute cable ${a}`, `mute cable ${b}`);
  }

  /** Frames from `from` to the other end are lost, those back arrive; the carrier stays. */
  cutOneWay(link: MeshLink, from: number): Promise<Struck> {
    if (link.medium === 'radio') return this.hear(this.#oneWay(link, from, null));
    const { port, prio, mac } = this.#direction(link, from);
    return this.#wire.change(`block cable ${port} ${mac} ${prio}`);
  }

  mendOneWay(link: MeshLink, from: number): Promise<Struck> {
    if (link.medium === 'radio') return this.hear(this.#oneWay(link, from));
    const { port, prio } = this.#direction(link, from);
    return this.#wire.change(`unblock cable ${port} ${prio}`);
  }

  /** Several links at once, as `cut` (or `cutSilently`) does one. */
  cutAll(links: readonly MeshLink[], silently: boolean): Promise<Struck> {
    if (this.#air !== null) return this.hear(...links.flatMap((link) => bothWays(link, null)));
    const changes = links.flatMap((link) => {
      if (link.medium === 'air') return [this.#block(link.a, link.b), this.#block(link.b, link.a)];
      if (silently) this.#muted.add(link);
      return this.#ends(link).map((end) => `${silently ? 'mute' : 'down'} cable ${end}`);
    });
    return this.#wire.change(...changes);
  }

  /** Where frames from one end of a link come out: the far port towards the other, and whose they are. */
  #direction(link: MeshLink, from: number): { port: string; prio: number; mac: string } {
    const [to, near, end] = link.a === from ? [link.b, ...link.ends] : [link.a, link.ends[1], link.ends[0]];
    return { port: this.#far(to, end), prio: from + 1, mac: macOf(from, this.#ports[from]!.get(near)!.port) };
  }

  /**
   * What frames from `from` to the other end of a link meet from now on. On a shared medium each sender has a class of its
   * own. Radios know loss alone, of each try of a frame: what is acknowledged is sent up to eight times.
   */
  async shape(link: MeshLink, from: number, { lossPct, delayMs, jitterMs, rateKbitS }: Shape): Promise<void> {
    if (link.medium === 'radio') {
      if (delayMs > 0 || jitterMs > 0 || rateKbitS > 0) throw new Error('over radios only loss can be made');
      const way = this.#oneWay(link, from);
      const signal = this.#signals.get(`${way.from} ${way.to}`) ?? null;
      await this.hear({ ...way, signal, loss: lossPct / 100 });
      return;
    }
    const { port, mac } = this.#direction(link, from);
    const netem = [
      'netem',
      ...(delayMs > 0 || jitterMs > 0 ? [`delay ${delayMs}ms ${jitterMs}ms`] : []),
      ...(lossPct > 0 ? [`loss ${lossPct}%`] : []),
      ...(rateKbitS > 0 ? [`rate ${rateKbitS}kbit`] : []),
      ...(delayMs === 0 && jitterMs === 0 && lossPct === 0 && rateKbitS === 0 ? ['delay 0ms'] : []),
    ].join(' ');
    if (link.medium === 'cable') return void (await this.#tc([`qdisc replace dev ${port} root ${netem}`]));
    const id = (from + 1).toString(16);
    const commands = [`class replace dev ${port} parent 1: classid 1:${id} htb rate 10gbit quantum 60000`];
    if (!this.#classed.has(port)) commands.unshift(`qdisc replace dev ${port} root handle 1: htb`);
    if (!this.#classed.has(`${port} ${from}`))
      commands.push(
        `filter add dev ${port} parent 1: protocol all prio ${from + 1} flower src_mac ${mac} classid 1:${id}`,
      );
    commands.push(`qdisc replace dev ${port} parent 1:${id} ${netem}`);
    this.#classed.add(port).add(`${port} ${from}`);
    await this.#tc(commands);
  }

  readonly #classed = new Set<string>();

  #tc(commands: readonly string[]): Promise<string> {
    return run('tc', ['-n', 'cable', '-batch', '-'], `${commands.join('\n')}\n`);
  }

  /** Changes of links anywhere, as wire.c has them, with their instant. */
  change(...changes: string[]): Promise<Struck> {
    return this.#wire.change(...changes);
  }

  /** A router without power: nobody hears it, and whoever is cabled to it loses the carrier. Its agent: scenario.ts. */
  killRouter(router: number): Promise<Struck> {
    if (this.#air !== null) return this.hear(...this.#linksOf(router).flatMap((link) => bothWays(link, null)));
    return this.#wire.change(...this.#around(router).map((port) => `down cable ${port}`));
  }

  reviveRouter(router: number): Promise<Struck> {
    if (this.#air !== null) return this.hear(...this.#linksOf(router).flatMap((link) => bothWays(link)));
    return this.#wire.change(...this.#around(router).map((port) => `up cable ${port}`));
  }

  #linksOf(router: number): MeshLink[] {
    return this.links.filter(({ a, b }) => a === router || b === router);
  }

  /** Both ends of every cable of a router, its own first. */
  #around(router: number): string[] {
    const own = this.interfacesOf(router).map((name) => this.#far(router, name));
    if (this.topology.medium === 'air') return own;
    const others = this.links.flatMap((l) =>
      l.a === router ? [this.#far(l.b, l.ends[1])] : l.b === router ? [this.#far(l.a, l.ends[0])] : [],
    );
    return [...own, ...others];
  }

  /** The hard interface vanishes, as a USB radio that was pulled out; its peer loses the carrier. */
  deleteInterface(router: number, name: string): Promise<Struck> {
    return this.#wire.change(`del ${nsOf(router)} ${name}`);
  }

  /** Brings back what `deleteInterface` took, out of bat0, up: as hardware comes back. */
  async restoreInterface(router: number, name: string): Promise<void> {
    await ipBatch([this.#veth(router, name)]);
    const port = this.#far(router, name);
    const link = this.links.find(
      (l) => (l.a === router && l.ends[0] === name) || (l.b === router && l.ends[1] === name),
    );
    const bridge = this.topology.medium === 'air' ? 'air' : `cable${link!.id}`;
    await ipBatch(
      [`link set ${port} master ${bridge}`, `link set ${port} type bridge_slave learning off`, `link set ${port} up`],
      'cable',
    );
    await this.#countData([port]);
    if (this.topology.medium === 'air') await this.#separate([router]);
    await ipBatch([`link set ${name} up`], nsOf(router));
  }

  takeFromBat0(router: number, name: string): Promise<Struck> {
    return this.#wire.change(`nomaster ${nsOf(router)} ${name}`);
  }

  putIntoBat0(router: number, name: string): Promise<Struck> {
    return this.#wire.change(`master ${nsOf(router)} ${name} bat0`);
  }

  async hasBat0(router: number): Promise<boolean> {
    return run('ip', ['-n', nsOf(router), 'link', 'show', 'bat0']).then(
      () => true,
      () => false,
    );
  }

  deleteBat0(router: number): Promise<Struck> {
    return this.#wire.change(`del ${nsOf(router)} bat0`);
  }

  async airCount(): Promise<AirCount> {
    const ports = this.#ports.flatMap((named, n) => [...named.keys()].map((name) => ({ n, port: this.#far(n, name) })));
    const show = ports.map(({ port }) => `filter show dev ${port} ingress`);
    const text = await run('tc', ['-n', 'cable', '-s', '-batch', '-'], `${show.join('\n')}\n`);
    const atNs = monotonicNs();
    // Two filters a port, in order: unicast data, the rest.
    const counts = [...text.matchAll(/Sent (\d+) bytes (\d+) pkt/g)];
    if (counts.length !== 2 * ports.length)
      throw new Error(`counters of only ${counts.length / 2} of ${ports.length} ports`);
    const byRouter = Array.from({ length: this.size }, () => 0);
    let bytes = 0;
    const kinds = [0, 0];
    counts.forEach(([, sent, packets], i) => {
      byRouter[ports[i >> 1]!.n]! += Number(packets);
      kinds[i % 2]! += Number(packets);
      bytes += Number(sent);
    });
    const [data, control] = kinds as [number, number];
    return { frames: data + control, bytes, data, control, byRouter, atNs };
  }

  /** Takes everything down; another mesh may be built afterwards. */
  async close(): Promise<void> {
    this.#wire.close();
    this.#air?.close();
    const all = ['cable', ...Array.from({ length: this.size }, (_, n) => nsOf(n))];
    await ipBatch(all.map((ns) => `netns delete ${ns}`));
  }
}
