/**
 * One router's kernel: interfaces, a mesh interface with batman-adv, and what both tell and take. Everything happens at
 * once here; what it takes until somebody hears of it is the world's.
 */
import type { Tables } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import {
  type Change,
  type InterfaceAddress,
  type Link,
  type MeshSettings,
  type Overheard,
  type RoutingAlgorithm,
  STOCK_SETTINGS,
} from '../core/kernel.ts';
import { MS, type Nanos, SECOND, US } from '../core/time.ts';
import { BatmanIv } from './batman-iv.ts';
import { BatmanV } from './batman-v.ts';
import type { Clock } from './clock.ts';
import {
  type Address,
  type AddressBook,
  type Announced,
  type Frame,
  type Ogm,
  ogmFrameHex,
  type Packet,
} from './frames.ts';
import type { Port } from './medium.ts';
import { type Device, type Ground, noTraffic, type Protocol } from './protocol.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { Translation } from './translation.ts';

export const MTU = 1532;
/** BRIDGE_LOOP_DETECT: a new bat0 holds what comes from its bridge back for so long. */
const LOOP_AVOIDANCE: Nanos = 27 * SECOND;
const LEAVING: readonly [Nanos, Nanos] = [8 * MS, 26 * MS];
/** A user's datagram, as it is on the air. */
const PACKET_BYTES = 120;
const VERSION = '2022.3';
const MIN_INTERVAL_MS = 40;
/** What batman-adv keeps of a hard interface, until somebody sets something. */
const UNSET: Device['settings'] = { hopPenalty: 0 };
const NO_DEVICE = 'No such device';
const EXISTS = 'File exists';
/** By kind of frame, of what only one routing algorithm sends (include/uapi/linux/batadv_packet.h, enum batadv_packettype). */
const TYPES: Readonly<Partial<Record<Frame['kind'], number>>> = { ogm: 0x00, elp: 0x03, ogm2: 0x04 };
const COMPAT_VERSION = 15;
/** What host/survey.ts keeps of what it hears. */
const MOST_HEARD = 64;
const OF_A_KIND = 2;
const NO_NETIFD = 'netifd does not run here';

interface Mesh {
  readonly index: IfIndex;
  readonly mac: Mac;
  readonly algorithm: RoutingAlgorithm;
  readonly settings: { -readonly [K in keyof MeshSettings]: MeshSettings[K] };
  readonly protocol: Protocol;
  readonly madeAt: Nanos;
  readonly addresses: InterfaceAddress[];
  up: boolean;
  master: IfIndex;
}

export interface KernelOptions {
  readonly number: number;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly book: AddressBook;
  readonly clock: Clock;
  readonly warm: { on: boolean };
  /** Length of a jiffy. */
  readonly jiffyMs: number;
  /** Where frames take time of a machine that is all routers. */
  readonly cpu?: Cpu;
  /** Routers tell of their stations and features with their OGMs (story.surveyed). */
  readonly announces?: boolean;
}

/** What runs turns one after the other: a router's own, or that of a lab in which all routers are one machine. */
export interface Cpu {
  freeAt: Nanos;
  /** Until when it is busy with frames, for which turns wait. */
  framesUntil: Nanos;
}

/** From one interface to the next in user-mode Linux, where 37 to 200 us were measured. */
const FRAME: Nanos = 100 * US;

/** Who listens to a kernel: an agent's world. */
export interface Listener {
  onLink(link: Link): void;
  onGone(index: IfIndex, name: string): void;
  onFrame(index: IfIndex, hex: string): void;
  onOgm(hex: string): void;
  /** Right after somebody set something of the mesh. */
  onSettings(settings: MeshSettings): void;
}

export const MESH = 'bat0';
export const PRIMARY = 'primary0';
/** The bridge of a client network. */
export const LAN = 'br-lan';

export class Kernel {
  readonly number: number;
  readonly devices: Device[] = [];
  mesh: Mesh | null = null;
  /** Raw frames of the agent cannot pass what nobody listens to. */
  listener: Listener | null = null;
  /** A datagram for this router has come. */
  onPacket: (packet: Packet) => void = () => {};
  /** The interface whose own OGMs are listened to. */
  tapped: IfIndex | null = null;
  /** What is known of the stations behind others. */
  readonly translation: Translation;
  /** What came out of bat0, and went into it. */
  readonly traffic = noTraffic();
  readonly #options: KernelOptions;
  /** Interfaces that somebody listens to, and what was heard there. */
  readonly #ears = new Map<IfIndex, Overheard[]>();
  #nextIndex = 10;

  constructor(options: KernelOptions) {
    this.number = options.number;
    this.#options = options;
    this.translation = new Translation(options.number);
  }

  // --- interfaces --------------------------------------------------------------------------------------------------

  addDevice(name: string, kind: string, port: Port | null): Device {
    const mac = this.#mac(this.devices.length + 1);
    const device: Device = {
      address: this.#options.book.number(mac),
      mac,
      kind,
      isRadio: port?.medium.kind === 'air',
      port,
      name,
      index: this.#nextIndex++,
      present: true,
      up: true,
      master: 0,
      mtu: MTU,
      settings: { ...UNSET },
      traffic: noTraffic(),
    };
    this.devices.push(device);
    if (port !== null) {
      port.address = device.address;
      port.onFrame = (frame) => this.#arrives(device, frame);
      port.onCarrier = () => this.#tell(device);
    }
    this.#tell(device);
    return device;
  }

  byName(name: string): Device | undefined {
    return this.devices.find((device) => device.present && device.name === name);
  }

  attached(): Device[] {
    const { mesh } = this;
    return mesh === null ? [] : this.devices.filter(({ present, master }) => present && master === mesh.index);
  }

  hasCarrier(device: Device): boolean {
    return device.present && device.up && (device.port?.carrier ?? true);
  }

  setUp(device: Device, up: boolean): void {
    if (device.up === up || !device.present) return;
    device.up = up;
    if (this.mesh !== null && device.master === this.mesh.index) this.mesh.protocol.changed(device);
    this.#tell(device);
  }

  /** Leaving batman-adv takes a while (dev_remove_pack waits for RCU): frames stop at once, routes go after. */
  setMaster(device: Device, master: IfIndex): void {
    if (device.master === master || !device.present) return;
    const { mesh } = this;
    const hasLeft = mesh !== null && device.master === mesh.index;
    device.master = master;
    if (hasLeft) {
      const { scheduler, random } = this.#options;
      scheduler.after(random.between(...LEAVING), () => {
        mesh.protocol.detach(device);
        if (device.master === mesh.index && this.mesh === mesh) mesh.protocol.attach(device);
        this.#tell(device);
      });
      return;
    }
    if (mesh !== null && master === mesh.index) mesh.protocol.attach(device);
    this.#tell(device);
  }

  setMtu(device: Device, mtu: number): void {
    device.mtu = mtu;
    this.#tell(device);
  }

  /** Pulled out of its slot; what comes back later is the same card under another index, and as new. */
  unplug(device: Device): void {
    if (!device.present) return;
    this.setUp(device, false);
    this.setMaster(device, 0);
    device.present = false;
    this.listener?.onGone(device.index, device.name);
  }

  plug(device: Device): void {
    if (device.present) return;
    device.present = true;
    device.up = true;
    device.index = this.#nextIndex++;
    makeNew(device);
    this.#tell(device);
  }

  createMesh(algorithm: RoutingAlgorithm, mac: Mac | null, settings: MeshSettings = STOCK_SETTINGS): Mesh {
    const { scheduler, random, book, warm } = this.#options;
    const own = { ...settings };
    const ground: Ground = {
      scheduler,
      random: random.split(`mesh ${this.#nextIndex}`),
      book,
      settings: own,
      warm,
      send: (device, frame) => this.#send(device, frame, null),
      announced: () => this.#announced(own),
      expiry: (ms) => this.#expiry(ms),
    };
    this.translation.reset();
    this.mesh = {
      index: this.#nextIndex++,
      mac: mac ?? this.#mac(0xb0),
      algorithm,
      settings: own,
      protocol: algorithm === 'BATMAN_V' ? new BatmanV(ground) : new BatmanIv(ground),
      madeAt: scheduler.now,
      addresses: [],
      up: false,
      master: 0,
    };
    this.#tellMesh();
    return this.mesh;
  }

  #announced({ distributedArpTable, multicastForceflood, multicastFanout }: MeshSettings): Announced | null {
    if (this.#options.announces !== true) return null;
    const multicast = !multicastForceflood && multicastFanout > 0;
    return { ...this.translation.local, arp: distributedArpTable, multicast };
  }

  deleteMesh(): void {
    const { mesh } = this;
    if (mesh === null) return;
    for (const device of this.attached()) this.setMaster(device, 0);
    mesh.protocol.stop();
    this.mesh = null;
    this.listener?.onGone(mesh.index, MESH);
  }

  /** Answers what the kernel says: null for yes. */
  apply(change: Change): string | null {
    const { mesh } = this;
    switch (change.kind) {
      case 'set-master':
        return this.#applyMaster(change.interface, change.master);
      case 'set-up': {
        if (change.interface === MESH && mesh !== null) {
          mesh.up = change.up;
          this.#tellMesh();
          return null;
        }
        const device = this.byName(change.interface);
        if (device === undefined) return NO_DEVICE;
        this.setUp(device, change.up);
        return null;
      }
      case 'set-mesh':
        if (mesh === null) return NO_DEVICE;
        Object.assign(mesh.settings, change.settings);
        mesh.settings.origInterval = Math.max(MIN_INTERVAL_MS, mesh.settings.origInterval);
        if (change.settings.gwMode !== undefined || change.settings.gwSelClass !== undefined) mesh.protocol.reselect();
        this.listener?.onSettings({ ...mesh.settings });
        return null;
      case 'set-hard':
      case 'set-mtu': {
        const device = this.byName(change.interface);
        if (device === undefined) return NO_DEVICE;
        if (change.kind === 'set-hard') Object.assign(device.settings, change.settings);
        else this.setMtu(device, change.mtu);
        return null;
      }
      case 'netifd-up':
      case 'netifd-radio':
        return NO_NETIFD;
      case 'create-mesh':
        if (mesh !== null) return EXISTS;
        this.createMesh(change.algorithm, change.mac);
        return null;
      case 'create-bridge':
        if (this.byName(change.interface) !== undefined) return EXISTS;
        this.addDevice(change.interface, 'bridge', null);
        return null;
      case 'add-address':
        if (mesh === null) return NO_DEVICE;
        if (mesh.addresses.some(({ address }) => address === change.address.address)) return EXISTS;
        mesh.addresses.push(change.address);
        return null;
    }
  }

  #applyMaster(name: string, master: string | null): string | null {
    const index = master === null ? 0 : master === MESH ? this.mesh?.index : this.byName(master)?.index;
    if (index === undefined) return NO_DEVICE;
    if (name === MESH && this.mesh !== null) {
      this.mesh.master = index;
      this.#tellMesh();
      return null;
    }
    const device = this.byName(name);
    if (device === undefined) return NO_DEVICE;
    this.setMaster(device, index);
    return null;
  }

  // --- what it tells -----------------------------------------------------------------------------------------------

  links(): Link[] {
    const found = this.devices.filter(({ present }) => present).map((device) => this.linkOf(device));
    if (this.mesh !== null) found.push(this.#meshLink(this.mesh));
    return found.sort((a, b) => a.index - b.index);
  }

  linkOf(device: Device): Link {
    const { index, name, mac, up, master, kind, mtu } = device;
    const peer = kind === 'veth' ? 100 + index : 0;
    return { index, name, mac, up, carrier: this.hasCarrier(device), mtu, master, kind, peer };
  }

  tables(): Tables {
    const { mesh } = this;
    if (mesh === null) return { mesh: null, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };
    const { index, mac, algorithm, settings, protocol } = mesh;
    const { primary } = protocol;
    return {
      mesh: {
        index,
        name: MESH,
        mac,
        version: VERSION,
        algorithm,
        ...(primary === null ? {} : { primary: { index: primary.index, name: primary.name, mac: primary.mac } }),
        settings: { ...settings },
      },
      hardInterfaces: this.attached().map((device) => ({
        index: device.index,
        name: device.name,
        mac: device.mac,
        active: device.up,
        ...device.settings,
      })),
      originators: protocol.originators(),
      neighbours: protocol.neighbours(),
      gateways: protocol.gateways(),
    };
  }

  // --- frames ------------------------------------------------------------------------------------------------------

  /** As a packet socket sends: what is not up or not plugged in swallows it. */
  inject(index: IfIndex, frame: Frame): void {
    const device = this.devices.find((one) => one.present && one.index === index);
    if (device !== undefined) this.#send(device, frame, frame.kind === 'raw' ? frame.to : null);
  }

  /** The originator address of this router just now. */
  get name(): Address | null {
    return this.mesh?.protocol.primary?.address ?? null;
  }

  /** A datagram of a user's, into bat0. */
  sendPacket(packet: Packet): void {
    const { mesh } = this;
    if (mesh === null || !mesh.up || this.#isHeld(mesh)) return;
    this.traffic.txPackets += 1;
    this.traffic.txBytes += PACKET_BYTES;
    this.#route(packet, null);
  }

  #isHeld({ settings, madeAt }: Mesh): boolean {
    if (!settings.bridgeLoopAvoidance || madeAt === 0) return false;
    return this.#options.scheduler.now - madeAt < LOOP_AVOIDANCE;
  }

  #route(packet: Packet, by: Device | null): void {
    const { mesh } = this;
    if (mesh === null) return;
    if (mesh.protocol.isOwn(packet.target)) {
      if (!mesh.up || this.#isHeld(mesh)) return;
      this.traffic.rxPackets += 1;
      this.traffic.rxBytes += PACKET_BYTES;
      this.onPacket(packet);
      return;
    }
    const way = packet.ttl > 0 ? mesh.protocol.route(packet.target, by) : null;
    if (way === null) return;
    const { device, neighbour } = way;
    const onward = { ...packet, ttl: packet.ttl - 1 };
    this.#send(
      device,
      { kind: 'data', source: device.address, to: neighbour, packet: onward, bytes: PACKET_BYTES },
      neighbour,
    );
  }

  #send(device: Device, frame: Frame, one: Address | null): void {
    if (!device.up || !device.present) return;
    if (frame.kind === 'ogm' && device.index === this.tapped)
      this.listener?.onOgm(ogmFrameHex(frame.source, frame.ogms, this.#options.book));
    if (device.port === null || !device.port.carrier) return;
    device.traffic.txPackets += 1;
    device.traffic.txBytes += frame.bytes;
    device.port.medium.send(device.port, frame, one);
  }

  /** One after the other, and before any program's turn. */
  #arrives(device: Device, frame: Frame): void {
    const { cpu, scheduler } = this.#options;
    if (cpu === undefined) {
      this.#receive(device, frame);
      return;
    }
    const { now } = scheduler;
    cpu.framesUntil = Math.max(cpu.framesUntil, now) + FRAME;
    cpu.freeAt = Math.max(cpu.freeAt, now) + FRAME;
    scheduler.at(cpu.framesUntil, () => this.#receive(device, frame));
  }

  #receive(device: Device, frame: Frame): void {
    if (!device.present || !device.up) return;
    device.traffic.rxPackets += 1;
    device.traffic.rxBytes += frame.bytes;
    if (this.#ears.size > 0) this.#overhear(device, frame);
    if (frame.kind === 'raw') {
      if (frame.to === null || frame.to === device.address) this.listener?.onFrame(device.index, frame.hex);
      return;
    }
    const { mesh } = this;
    if (mesh === null || device.master !== mesh.index) return;
    if (frame.kind !== 'data') {
      mesh.protocol.receive(device, frame);
      if (frame.kind === 'ogm' && mesh.algorithm === 'BATMAN_IV') this.#hearStations(mesh, frame.ogms);
    } else if (frame.to === device.address) this.#route(frame.packet, device);
  }

  /** batadv_tvlv_ogm_receive */
  #hearStations({ protocol }: Mesh, ogms: readonly Ogm[]): void {
    for (const { originator, announced } of ogms)
      if (announced !== null && !protocol.isOwn(originator)) this.translation.heard(originator, announced);
  }

  // --- a packet socket for all of batman-adv on one interface ------------------------------------------------------

  /** null: somebody listens there already, or there is nothing to listen to. */
  listen(index: IfIndex): readonly Overheard[] | null {
    if (this.#ears.has(index) || !this.devices.some((device) => device.present && device.index === index)) return null;
    const heard: Overheard[] = [];
    this.#ears.set(index, heard);
    return heard;
  }

  unlisten(index: IfIndex): void {
    this.#ears.delete(index);
  }

  #overhear({ index }: Device, { kind, source }: Frame): void {
    const heard = this.#ears.get(index);
    const type = TYPES[kind];
    if (heard === undefined || type === undefined || heard.length >= MOST_HEARD) return;
    const one = { source: this.#options.book.mac(source), type, version: COMPAT_VERSION };
    const alike = heard.filter((other) => other.source === one.source && other.type === type);
    if (alike.length < OF_A_KIND) heard.push(one);
  }

  #tell(device: Device): void {
    if (device.present) this.listener?.onLink(this.linkOf(device));
  }

  #tellMesh(): void {
    if (this.mesh !== null) this.listener?.onLink(this.#meshLink(this.mesh));
  }

  #meshLink({ index, mac, up, master }: Mesh): Link {
    return { index, name: MESH, mac, up, carrier: up, mtu: 1500, master, kind: 'batadv', peer: 0 };
  }

  #mac(n: number): Mac {
    const hex = (value: number) => value.toString(16).padStart(2, '0');
    return `02:00:${hex(this.number >> 8)}:${hex(this.number & 255)}:00:${hex(n)}`;
  }

  /**
   * Timers go off with a tick of the kernel's own clock, as many jiffies later as it takes (msecs_to_jiffies), and one
   * more: the wheel rounds up, so that none is early (kernel/time/timer.c, calc_index).
   */
  #expiry(ms: number): Nanos {
    const { clock, scheduler, jiffyMs } = this.#options;
    if (ms <= 0) return scheduler.now;
    const jiffy = jiffyMs * MS;
    const ticks = Math.floor(clock.local(scheduler.now) / jiffy) + Math.ceil(ms / jiffyMs) + 1;
    return clock.time(ticks * jiffy);
  }
}

/** As it registers: nothing is set at it by anybody. */
export function makeNew(device: Device): void {
  device.mtu = MTU;
  device.settings = { ...UNSET };
}
