/** A story played: routers with their kernels and agents, media between them, faults when they are due, users' probes. */
import { createHash, type Hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Effect } from '../core/effect.ts';
import { invariant } from '../core/errors.ts';
import type { HealSettings, WorldEvent } from '../core/event.ts';
import { type Change, type MeshSettings, type RoutingAlgorithm, STOCK_SETTINGS } from '../core/kernel.ts';
import { MS, type Nanos, SECOND, US } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import { NO_SETTINGS } from '../heal/surroundings.ts';
import { Clock } from './clock.ts';
import { type Address, AddressBook } from './frames.ts';
import { type Cpu, Kernel, LAN, MESH, MTU, makeNew, PRIMARY } from './kernel.ts';
import { Lans } from './lans.ts';
import { Medium, type Port, type Way } from './medium.ts';
import type { Probe } from './outage.ts';
import type { Device } from './protocol.ts';
import { Air } from './radio.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import type { Fault, Ill, Link, ProbePair, Routes, Story } from './story.ts';
import { type Answers, Surveys } from './surveys.ts';
import type { Stale } from './translation.ts';
import { type Rehearsing, TwinWorld, type Watcher } from './world.ts';

/** Until then windows are born full, and what the mesh does is no behaviour yet. */
export const WARM: Nanos = 4 * SECOND;
const BOOT: Nanos = SECOND;
const AGENTS: Nanos = 2.5 * SECOND;
/** Of clocks: what quartz does. */
const DRIFT_PPM = 40;
const KEY = '7e'.repeat(32);
const TTL = 50;
const DELAY: Nanos = 30 * US;
const CABLE_RATE = 1_000_000;
const AIR_RATE = 54_000;
const HUB_RATE = 100_000;
const RETRIES = 6;
/** What a router takes to begin anew with what was changed. */
const UPGRADE: Nanos = SECOND;
/** Out of bat0 and into a bridge. */
const BRIDGED: Nanos = 30 * MS;

/** A twin in a twin has none. */
const NOBODY: Rehearsing = () => ({ verdict: 'unknown', detail: 'there is no twin here', afterNs: 0 });

export interface Router {
  readonly number: number;
  readonly kernel: Kernel;
  readonly world: TwinWorld;
  /** Interfaces towards other routers. */
  readonly towards: Map<number, Device>;
  /** Where its last known name was, for others' translation tables. */
  name: number | null;
  on: boolean;
  /** Under which its bat0 is made. */
  algorithm: RoutingAlgorithm;
}

interface Entry {
  readonly at: Nanos;
  readonly node: string;
  readonly decision: Decision;
}

export class Simulation implements Watcher, Routes {
  readonly story: Story;
  readonly scheduler = new Scheduler();
  readonly routers: Router[] = [];
  readonly book = new AddressBook();
  /** By pair of probes, in their order. */
  readonly probes: Probe[][] = [];
  /** Faults that have happened. */
  readonly happened: { readonly at: Nanos; readonly fault: Fault }[] = [];
  /** Every decision; whoever asks for none keeps none. */
  readonly journal: Entry[] = [];
  /** Whose an address is. */
  readonly #owners = new Map<Address, { readonly router: Router; readonly device: Device }>();
  /** By 'a b', a < b. */
  readonly #between = new Map<string, Medium>();
  readonly #ills = new Map<Way, Ills>();
  readonly #warm = { on: true };
  readonly #random: Random;
  readonly #lans: Lans | null;
  readonly #surveys: Answers | null;
  /** Of the machine that all routers are, where they are one. */
  readonly #cpu: Cpu = { freeAt: 0, framesUntil: 0 };
  readonly #hash: Hash = createHash('sha256');
  readonly #watchers: readonly Watcher[];
  readonly #rehearsing: Rehearsing;
  /** By packet: whose it is, or what follows when it has come. */
  readonly #flying = new Map<number, Probe | (() => void)>();
  #packets = 0;

  constructor(
    story: Story,
    watchers: (simulation: Simulation) => readonly Watcher[] = () => [],
    rehearsing: Rehearsing = NOBODY,
  ) {
    this.story = story;
    this.#rehearsing = rehearsing;
    this.#random = new Random(story.seed, 'twin');
    this.#watchers = watchers(this);
    const kernels = () => this.routers.map(({ kernel }) => kernel);
    this.#lans =
      story.lans.length === 0
        ? null
        : new Lans(this.scheduler, kernels, ({ number: from }, { number: to }) => this.route(from, to).length > 0);
    this.#surveys = story.surveyed ? new Surveys(this.#lans, this.book, this.scheduler) : this.#lans;
    for (let number = 0; number < story.routers; number++) this.routers.push(this.#router(number));
    if (story.medium === 'shared') this.#hub();
    else if (story.medium === 'cable') for (const link of story.links) this.#cable(link);
    if (story.places.length > 0) this.#radios();
    for (const router of this.routers) {
      for (const device of router.kernel.devices) this.#owners.set(device.address, { router, device });
      this.#boot(router);
    }
    this.scheduler.at(WARM, () => {
      this.#warm.on = false;
    });
    for (const { at, fault } of story.faults)
      this.scheduler.at(at, () => {
        const chosen = typeof fault === 'function' ? fault(this) : fault;
        if (chosen !== null) this.inject(chosen);
      });
    for (const pair of story.probes) this.#probe(pair);
  }

  get now(): Nanos {
    return this.scheduler.now;
  }

  /** To the end of the story, or until somebody has seen enough. */
  run(until: Nanos = this.story.lengthNs, stop?: () => boolean): void {
    this.scheduler.run(until, stop);
  }

  /** Of all decisions so far, byte for byte. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** With which a router's mesh begins. */
  settingsOf(number: number): MeshSettings {
    const { mesh, special } = this.story;
    return { ...STOCK_SETTINGS, bridgeLoopAvoidance: false, ...mesh, ...special.get(number) };
  }

  /** Which a router has where nobody gives it another. */
  algorithmOf(number: number): RoutingAlgorithm {
    return this.story.tongues.get(number) ?? this.story.algorithm;
  }

  medium(a: number, b: number): Medium {
    const found = this.#between.get(keyOf(a, b));
    invariant(found, `routers ${a} and ${b} are joined`);
    return found;
  }

  // --- Watcher -----------------------------------------------------------------------------------------------------

  onEvent(world: TwinWorld, event: WorldEvent): void {
    for (const watcher of this.#watchers) watcher.onEvent?.(world, event);
  }

  onEffect(world: TwinWorld, effect: Effect): void {
    if (effect.type === 'journal') {
      this.journal.push({ at: this.now, node: world.node, decision: effect.decision });
      this.#hash.update(`${this.now} ${world.node} ${JSON.stringify(effect.decision)}\n`);
    }
    for (const watcher of this.#watchers) watcher.onEffect(world, effect);
  }

  onChange(world: TwinWorld, change: Change, isUndo: boolean): void {
    this.#hash.update(`${this.now} ${world.node} ${isUndo ? 'undo' : 'change'} ${JSON.stringify(change)}\n`);
    for (const watcher of this.#watchers) watcher.onChange?.(world, change, isUndo);
  }

  // --- building ----------------------------------------------------------------------------------------------------

  #router(number: number): Router {
    const { story, scheduler, book } = this;
    const random = this.#random.split(`router ${number}`);
    const drift = random.between(-DRIFT_PPM, DRIFT_PPM);
    const began = Math.round(random.between(1, 1000) * SECOND);
    const clock = story.together === true ? new Clock() : new Clock(drift, began);
    const kernel = new Kernel({
      number,
      scheduler,
      random: random.split('kernel'),
      book,
      clock,
      warm: this.#warm,
      jiffyMs: story.jiffyMs ?? 10,
      ...(story.together === true && { cpu: this.#cpu }),
      announces: story.surveyed,
    });
    const algorithm = this.algorithmOf(number);
    const settings: HealSettings = {
      ...NO_SETTINGS,
      mode: 'act',
      key: KEY,
      echoNs: 10 * SECOND,
      algorithm,
      ...story.settings,
    };
    const world = new TwinWorld({
      node: `r${number}`,
      kernel,
      book,
      scheduler,
      random: random.split('world'),
      clock,
      cpu: story.together === true ? this.#cpu : { freeAt: 0, framesUntil: 0 },
      settings,
      modes: story.modes,
      watcher: this,
      rehearsing: this.#rehearsing,
      surveys: this.#surveys,
    });
    kernel.addDevice(PRIMARY, 'bridge', null);
    if (story.lans.includes(number)) kernel.addDevice(LAN, 'bridge', null);
    kernel.onPacket = ({ id }) => this.#arrived(id);
    return { number, kernel, world, towards: new Map(), name: null, on: true, algorithm };
  }

  #cable(link: Link): void {
    const { a, b, loss = [0, 0], delayNs = [DELAY, DELAY], rate = CABLE_RATE } = link;
    const medium = new Medium({ kind: 'cable', rate }, this.scheduler, this.#random.split(`cable ${keyOf(a, b)}`));
    const [near, far] = [medium.port(), medium.port()];
    medium.join(near, far, { loss: loss[0], delayNs: delayNs[0] });
    medium.join(far, near, { loss: loss[1], delayNs: delayNs[1] });
    this.#plug(a, near, 'eth', [b]);
    this.#plug(b, far, 'eth', [a]);
    this.#between.set(keyOf(a, b), medium);
  }

  /** One interface a router, on a medium that copies frames to whoever is to hear them. */
  #hub(): void {
    const options = { kind: 'air', rate: HUB_RATE, retries: RETRIES } as const;
    const medium = new Medium(options, this.scheduler, this.#random.split('hub'));
    const ports = this.routers.map(() => medium.port());
    const heard = this.routers.map((): number[] => []);
    for (const { a, b, loss = [0, 0], delayNs = [DELAY, DELAY] } of this.story.links) {
      medium.join(ports[a]!, ports[b]!, { loss: loss[0], delayNs: delayNs[0] });
      medium.join(ports[b]!, ports[a]!, { loss: loss[1], delayNs: delayNs[1] });
      heard[a]!.push(b);
      heard[b]!.push(a);
      this.#between.set(keyOf(a, b), medium);
    }
    for (const [n, port] of ports.entries()) this.#plug(n, port, 'hub', heard[n]!);
  }

  #radios(): void {
    const air = new Air(this.#random.split('air'), this.story.interferers ?? []);
    const options = {
      kind: 'air',
      rate: AIR_RATE,
      retries: RETRIES,
      lossAt: (from: Port, way: Way, now: Nanos) => air.lossAt(from, way, now),
    } as const;
    const medium = new Medium(options, this.scheduler, this.#random.split('medium'));
    const ports = this.story.places.map((place) => {
      const port = medium.port();
      air.add(port, place);
      return port;
    });
    if (this.story.medium === 'radio')
      for (const { a, b, loss = [0, 0], delayNs = [DELAY, DELAY] } of this.story.links) {
        air.name(ports[a]!, ports[b]!, { loss: loss[0], delayNs: delayNs[0] });
        air.name(ports[b]!, ports[a]!, { loss: loss[1], delayNs: delayNs[1] });
      }
    const numbers = new Map(ports.map((port, n) => [port, n]));
    for (const [n, port] of ports.entries()) {
      const heard = port.ways.map(({ to }) => numbers.get(to)!);
      this.#plug(n, port, 'wlan', heard);
      for (const other of heard) this.#between.set(keyOf(n, other), medium);
    }
  }

  #plug(number: number, port: Port, prefix: string, towards: readonly number[]): void {
    const router = this.#at(number);
    const count = router.kernel.devices.filter(({ name }) => name.startsWith(prefix)).length;
    const device = router.kernel.addDevice(`${prefix}${count}`, prefix === 'wlan' ? 'wlan' : 'veth', port);
    for (const other of towards) router.towards.set(other, device);
  }

  #at(number: number): Router {
    const router = this.routers[number];
    invariant(router, `there is a router ${number}`);
    return router;
  }

  #boot(router: Router): void {
    const random = this.#random.split(`boot ${router.number}`);
    this.scheduler.after(random.unit() * BOOT, () => this.#makeMesh(router));
    if (this.story.agents.includes(router.number))
      this.scheduler.after(AGENTS + random.unit() * SECOND, () => router.world.start());
  }

  #makeMesh(router: Router): void {
    const { kernel } = router;
    const { index } = kernel.createMesh(router.algorithm, null, this.settingsOf(router.number));
    for (const device of kernel.devices) if (device.name !== LAN) kernel.setMaster(device, index);
    if (this.story.lans.includes(router.number)) kernel.apply({ kind: 'set-master', interface: MESH, master: LAN });
    kernel.apply({ kind: 'set-up', interface: MESH, up: true });
    router.name = kernel.name;
  }

  // --- users -------------------------------------------------------------------------------------------------------

  #probe(pair: ProbePair): void {
    const records: Probe[] = [];
    this.probes.push(records);
    const again = (at: Nanos): void => {
      this.scheduler.at(at, () => {
        const probe = { sent: this.now, received: 0 };
        records.push(probe);
        this.send(pair.from, pair.to, probe, pair.echo);
        again(at + pair.everyNs);
      });
    };
    again(pair.fromNs);
  }

  /** One datagram; `probe` is told when it has come, or with `echo` when it has come back. */
  send(from: number, to: number, probe: Probe, echo = false): void {
    const [source, target] = [this.#at(from), this.#at(to)];
    // Translation tables follow the name once there is a way to it.
    const { mesh } = source.kernel;
    const { name } = target.kernel;
    if (name !== null && mesh !== null && mesh.protocol.route(name, null) !== null) target.name = name;
    if (target.name === null) return;
    const id = this.#packets++;
    this.#flying.set(id, echo ? () => this.send(to, from, probe) : probe);
    this.scheduler.after(SECOND, () => this.#flying.delete(id));
    source.kernel.sendPacket({ id, target: target.name, ttl: TTL });
  }

  #arrived(id: number): void {
    const flying = this.#flying.get(id);
    this.#flying.delete(id);
    if (typeof flying === 'function') flying();
    else if (flying !== undefined && flying.received === 0) flying.received = this.now;
  }

  // --- faults ------------------------------------------------------------------------------------------------------

  inject(fault: Fault): void {
    // Where there is no mesh to set, nothing is.
    if (fault.kind === 'setting' && this.#at(fault.router).kernel.mesh === null) return;
    this.happened.push({ at: this.now, fault });
    switch (fault.kind) {
      case 'cut':
        this.#cut(fault);
        return;
      case 'mend':
        this.#mend(fault.a, fault.b, fault.of);
        return;
      case 'one-way':
      case 'loss':
      case 'delay':
        for (const way of this.ways(fault.a, fault.b)) this.#worsen(way, fault);
        return;
      case 'setting':
        this.#at(fault.router).kernel.apply({ kind: 'set-mesh', mesh: MESH, settings: fault.settings });
        return;
      case 'busy':
        this.#at(fault.router).world.slowness = fault.factor;
        return;
      case 'mesh-deleted':
        this.#at(fault.router).kernel.deleteMesh();
        return;
      case 'mesh-made': {
        const router = this.#at(fault.router);
        if (router.on && router.kernel.mesh === null) this.#makeMesh(router);
        return;
      }
      case 'mesh-down':
      case 'mesh-up':
        this.#at(fault.router).kernel.apply({ kind: 'set-up', interface: MESH, up: fault.kind === 'mesh-up' });
        return;
      case 'unbridged':
      case 'rebridged': {
        const master = fault.kind === 'rebridged' ? LAN : null;
        this.#at(fault.router).kernel.apply({ kind: 'set-master', interface: MESH, master });
        return;
      }
      case 'algorithm':
        this.#upgrade(this.#at(fault.router), fault.algorithm);
        return;
      case 'table':
        this.#stall(this.#at(fault.router), this.#at(fault.of), fault.stale);
        return;
      case 'route':
        this.#stick(this.#at(fault.router), this.#at(fault.to), fault.by);
        return;
      case 'mtu':
        this.#setMtu(this.#at(fault.router), fault.towards, fault.mtu);
        return;
      case 'upstream':
        this.#at(fault.router).world.upstreamAnswers = fault.answers;
        return;
      case 'memory':
        this.#at(fault.router).world.takenKib = fault.kib;
        return;
      case 'clock':
        this.#at(fault.router).world.wallMs += fault.stepMs;
        return;
      case 'lans': {
        const [one, other] = fault.routers.map((n) => this.#at(n).kernel);
        this.#lans?.join([one!, other!], fault.joined);
        return;
      }
      default:
        if ('towards' in fault) this.#meddle(fault.kind, this.#at(fault.router), fault.towards);
        else this.#power(fault.kind, this.#at(fault.router));
    }
  }

  /** As a new firmware comes up: bat0 under another algorithm, and an agent that knows nothing of before. */
  #upgrade(router: Router, algorithm: RoutingAlgorithm): void {
    const { world, kernel } = router;
    router.algorithm = algorithm;
    world.settings = { ...world.settings, algorithm };
    if (!router.on) return;
    const hadAgent = world.agent !== null;
    world.kill();
    kernel.deleteMesh();
    this.scheduler.after(UPGRADE, () => {
      if (router.on && kernel.mesh === null) this.#makeMesh(router);
      if (hadAgent) this.scheduler.after(AGENTS, () => world.start());
    });
  }

  #stall({ kernel }: Router, of: Router, stale: Stale | null): void {
    const originator = of.kernel.name;
    if (originator === null) return;
    kernel.translation.stall(originator, stale);
    if (stale === 'version') of.kernel.translation.change();
  }

  #stick({ kernel, towards }: Router, to: Router, by: number | null): void {
    const target = to.kernel.name ?? to.name;
    if (kernel.mesh === null || target === null) return;
    if (by === null) {
      kernel.mesh.protocol.stick(target, null);
      return;
    }
    const device = towards.get(by);
    const there = this.#at(by).towards.get(kernel.number);
    invariant(device && there, `routers ${kernel.number} and ${by} are joined`);
    kernel.mesh.protocol.stick(target, { device, neighbour: there.address });
  }

  /** The ways of frames from one router to another. */
  ways(from: number, to: number): Way[] {
    const device = this.#at(from).towards.get(to);
    const there = this.#at(to).towards.get(from);
    return device?.port?.ways.filter((way) => way.to === there?.port) ?? [];
  }

  #cut(cut: Extract<Ill, { kind: 'cut' }>): void {
    const { a, b, silent } = cut;
    const medium = this.medium(a, b);
    if (!silent && medium.kind === 'cable') medium.carrier(false);
    else for (const way of [...this.ways(a, b), ...this.ways(b, a)]) this.#worsen(way, cut);
  }

  #worsen(way: Way, ill: Ill): void {
    const known = this.#ills.get(way) ?? { rest: { loss: way.loss, delayNs: way.delayNs }, ills: [] };
    this.#ills.set(way, known);
    known.ills.push(ill);
    weather(way, known);
  }

  #mend(a: number, b: number, of?: Ill): void {
    const isCut = of === undefined || of.kind === 'cut';
    for (const way of isCut ? [...this.ways(a, b), ...this.ways(b, a)] : this.ways(a, b)) {
      const known = this.#ills.get(way);
      if (known === undefined) continue;
      known.ills = without(known.ills, of);
      weather(way, known);
    }
    const medium = this.medium(a, b);
    if (isCut && medium.kind === 'cable' && this.#at(a).on && this.#at(b).on) medium.carrier(true);
  }

  /**
   * Everything outside is whole again. What fell out of a mesh is for its agent to mend, where there is one that has
   * seen it in: in an adopted mesh one that started later cannot know that it belongs there.
   */
  mendAll(): void {
    this.#lans?.unplugAll();
    for (const router of this.routers) this.#power('router-on', router);
    for (const key of this.#between.keys()) {
      const [a, b] = key.split(' ').map(Number) as [number, number];
      this.#mend(a, b);
    }
    for (const router of this.routers) {
      const { kernel } = router;
      kernel.translation.answerAll();
      for (const to of this.routers) this.#stick(router, to, null);
      const own = this.algorithmOf(router.number);
      if (router.algorithm !== own) this.#upgrade(router, own);
      const last = this.happened.findLast(({ fault }) => BRIDGING.has(fault.kind) && isOf(fault, router.number));
      if (last?.fault.kind === 'unbridged') this.inject({ kind: 'rebridged', router: router.number });
      if (this.happened.some(({ fault }) => fault.kind === 'mesh-down' && isOf(fault, router.number)))
        this.inject({ kind: 'mesh-up', router: router.number });
    }
    for (const { kernel, world, number } of this.routers) {
      world.slowness = 1;
      world.takenKib = 0;
      world.upstreamAnswers = true;
      const bridge = kernel.byName(LAN)?.index ?? -1;
      for (const device of kernel.devices) {
        kernel.plug(device);
        kernel.setUp(device, true);
        if (device.mtu !== MTU) kernel.setMtu(device, MTU);
        // Who gave it to a bridge gives it back; no agent takes it out of there.
        if (device.master === bridge) kernel.setMaster(device, kernel.mesh?.index ?? 0);
      }
      const { agent } = world;
      const known = agent?.room.monitor;
      if (kernel.mesh === null && (known === undefined || known.lastMesh === null))
        this.#makeMesh(this.routers[number]!);
      if (kernel.mesh !== null)
        for (const device of kernel.devices)
          if (device.master === 0 && device.name !== LAN && !known?.members.has(device.name))
            kernel.setMaster(device, kernel.mesh.index);
      if (!this.story.agents.includes(number)) continue;
      world.pause(false);
      world.start();
    }
  }

  route(from: number, to: number): number[] {
    const target = this.#at(to).kernel.name;
    const way = [from];
    let by: Device | null = null;
    for (let at = this.#at(from); at.number !== to; ) {
      const next: { device: Device; neighbour: number } | null =
        target === null ? null : (at.kernel.mesh?.protocol.route(target, by) ?? null);
      if (next === null || way.length > TTL || !isAlive(next.device, next.neighbour)) return [];
      const owner = this.#owners.get(next.neighbour);
      if (owner === undefined) return [];
      at = owner.router;
      by = owner.device;
      way.push(at.number);
    }
    return way;
  }

  #setMtu({ kernel, towards }: Router, other: number, mtu: number | null): void {
    const device = towards.get(other);
    invariant(device, `router ${kernel.number} has an interface towards ${other}`);
    kernel.setMtu(device, mtu ?? MTU);
  }

  #meddle(
    kind: Exclude<Extract<Fault, { towards: number }>['kind'], 'mtu'>,
    { kernel, towards }: Router,
    other: number,
  ): void {
    const device = towards.get(other);
    invariant(device, `router ${kernel.number} has an interface towards ${other}`);
    switch (kind) {
      case 'down':
      case 'up':
        kernel.setUp(device, kind === 'up');
        return;
      case 'unplugged':
        kernel.unplug(device);
        return;
      case 'plugged':
        kernel.plug(device);
        return;
      case 'taken':
        kernel.setMaster(device, 0);
        return;
      case 'given':
        if (kernel.mesh !== null) kernel.setMaster(device, kernel.mesh.index);
        return;
      case 'bridged': {
        const bridge = kernel.byName(LAN) ?? kernel.addDevice(LAN, 'bridge', null);
        // Told twice, as rtnetlink does: that it left, and where it went.
        kernel.setMaster(device, 0);
        this.scheduler.after(BRIDGED, () => {
          if (device.master === 0) kernel.setMaster(device, bridge.index);
        });
      }
    }
  }

  #power(kind: Extract<Fault, { router: number }>['kind'], router: Router): void {
    const { world, kernel } = router;
    switch (kind) {
      case 'agent-killed':
        world.kill();
        return;
      case 'agent-started':
        if (router.on) world.start();
        return;
      case 'agent-stopped':
      case 'agent-continued':
        world.pause(kind === 'agent-stopped');
        return;
      case 'router-off':
        if (!router.on) return;
        router.on = false;
        world.kill();
        kernel.deleteMesh();
        for (const device of kernel.devices) {
          device.up = false;
          if (device.port?.medium.kind === 'cable') device.port.medium.carrier(false);
        }
        return;
      case 'router-on':
        if (router.on) return;
        router.on = true;
        for (const device of kernel.devices) {
          device.up = device.present = true;
          device.master = 0;
          makeNew(device);
        }
        for (const [other, { port }] of router.towards)
          if (port?.medium.kind === 'cable' && this.#at(other).on) port.medium.carrier(true);
        this.#makeMesh(router);
        if (this.story.agents.includes(router.number)) this.scheduler.after(10 * SECOND, () => world.start());
        return;
      default:
    }
  }
}

const BRIDGING: ReadonlySet<Fault['kind']> = new Set(['unbridged', 'rebridged']);

const isOf = (fault: Fault, router: number) => 'router' in fault && fault.router === router;

/** What one direction of a link is like at rest, and what is wrong with it. */
interface Ills {
  readonly rest: Pick<Way, 'loss' | 'delayNs'>;
  ills: Ill[];
}

function weather(way: Way, { rest, ills }: Ills): void {
  way.open = true;
  way.loss = rest.loss;
  way.delayNs = rest.delayNs;
  for (const ill of ills) {
    if (ill.kind === 'loss') way.loss += (1 - way.loss) * ill.loss;
    else if (ill.kind === 'delay') way.delayNs += ill.delayNs;
    else way.open = false;
  }
}

/** Who takes back a cut makes whole what was cut, however often; of all else as much as was done. */
function without(ills: readonly Ill[], of: Ill | undefined): Ill[] {
  if (of === undefined) return [];
  const which = ills.findIndex((ill) => isDeepStrictEqual(ill, of));
  return ills.filter((ill, i) => (of.kind === 'cut' ? ill.kind !== 'cut' : i !== which));
}

function keyOf(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function isAlive({ port, up, present }: Device, neighbour: Address): boolean {
  const way = port?.ways.find(({ to }) => to.address === neighbour);
  return up && present && port?.carrier === true && way?.open === true && way.to.carrier;
}
