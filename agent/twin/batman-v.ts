/**
 * BATMAN_V as Linux 6.1 runs it (net/batman-adv/bat_v_elp.c, bat_v_ogm.c): neighbours by ELP probes, links by their
 * throughput, OGMs of version 2 flooded along best ways. A way is given up for a worse one only when that is five OGMs
 * ahead of it.
 */
import type { Gateway, Neighbour, OriginatorPath } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Address, Frame, Ogm2 } from './frames.ts';
import type { Device, Ground, Protocol } from './protocol.ts';
import { isReset } from './window.ts';

const TTL = 50;
const ELP_MS = 500;
const JITTER_MS = 20;
const AGGREGATION_MS = 100;
const FORWARD_JITTER_MS = 10;
/** BATADV_OGM_MAX_ORIGDIFF */
const MOST_BEHIND = 5;
const PURGE_EVERY_MS = 1000;
const PURGE: Nanos = 200 * SECOND;
const RESET_PROTECTION: Nanos = 30 * SECOND;
const PENALTY_BASE = 255;
const OGM2_BYTES = 20;
const ELP_BYTES = 30;
/** 100 kbit/s: what a veth says of itself, and what is taken for a radio that says nothing. */
const CABLE = 100_000;
const RADIO = 10;

class Link {
  lastSeen: Nanos;
  constructor(now: Nanos) {
    this.lastSeen = now;
  }
}

interface Way {
  readonly neighbour: Address;
  readonly device: Device;
  throughput: number;
  lastSeqno: number;
  lastSeen: Nanos;
}

class Originator {
  readonly address: Address;
  ways: Way[] = [];
  router: Way | null = null;
  lastSeqno = 0;
  resetAt: Nanos = Number.NEGATIVE_INFINITY;
  lastSeen: Nanos;
  gateway: Ogm2['gateway'] = null;
  /** The last number passed on, by interface. */
  readonly forwarded = new Map<Device, number>();

  constructor(address: Address, now: Nanos) {
    this.address = address;
    this.lastSeen = now;
  }
}

export class BatmanV implements Protocol {
  primary: Device | null = null;
  readonly #ground: Ground;
  readonly #ports = new Map<Device, Map<Address, Link>>();
  readonly #originators = new Map<Address, Originator>();
  readonly #byAddress = new Map<Address, Device>();
  /** OGMs to be passed on, by interface. */
  readonly #queues = new Map<Device, Ogm2[]>();
  #seqno: number;
  #running = true;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.#seqno = ground.random.uint32() | 0;
    this.#own();
    this.#purge();
  }

  get size(): number {
    return this.#originators.size;
  }

  attach(device: Device): void {
    this.#ports.set(device, new Map());
    this.#byAddress.set(device.address, device);
    if (device.up) this.primary ??= device;
    this.#probe(device);
  }

  detach(device: Device): void {
    if (!this.#ports.delete(device)) return;
    this.#byAddress.delete(device.address);
    this.#queues.delete(device);
    if (this.primary === device) this.primary = [...this.#ports.keys()].find(({ up }) => up) ?? null;
    this.#forget((way) => way.device === device);
  }

  changed(device: Device): void {
    if (device.up && this.#ports.has(device)) this.primary ??= device;
  }

  isOwn(address: Address): boolean {
    return this.#byAddress.has(address);
  }

  stop(): void {
    this.#running = false;
    for (const device of [...this.#ports.keys()]) this.detach(device);
  }

  #every(ms: number, run: () => void): void {
    this.#ground.scheduler.at(this.#ground.expiry(ms), () => {
      if (this.#running) run();
    });
  }

  #own(): void {
    const { random, settings } = this.#ground;
    this.#every(settings.origInterval - JITTER_MS + random.int(2 * JITTER_MS), () => {
      if (this.primary !== null) {
        const gateway =
          settings.gwMode === 'server' ? { down: settings.gwBandwidthDown, up: settings.gwBandwidthUp } : null;
        const throughput = 0xffffffff;
        const ogm = { originator: this.primary.address, seqno: this.#seqno, ttl: TTL, throughput, gateway };
        this.#seqno = (this.#seqno + 1) | 0;
        for (const device of this.#ports.keys()) this.#queue(device, ogm);
      }
      this.#own();
    });
  }

  #probe(device: Device): void {
    const { random } = this.#ground;
    this.#every(ELP_MS - JITTER_MS + random.int(2 * JITTER_MS), () => {
      if (!this.#ports.has(device)) return;
      if (device.up && this.primary !== null) {
        const about = { source: device.address, originator: this.primary.address, bytes: ELP_BYTES };
        this.#ground.send(device, { kind: 'elp', ...about });
      }
      this.#probe(device);
    });
  }

  #queue(device: Device, ogm: Ogm2): void {
    const { random, settings } = this.#ground;
    if (!settings.aggregatedOgms) {
      this.#every(random.int(FORWARD_JITTER_MS), () => this.#send(device, [ogm]));
      return;
    }
    const waiting = this.#queues.get(device);
    if (waiting !== undefined) {
      waiting.push(ogm);
      return;
    }
    this.#queues.set(device, [ogm]);
    this.#every(AGGREGATION_MS, () => {
      const ogms = this.#queues.get(device);
      this.#queues.delete(device);
      if (ogms !== undefined) this.#send(device, ogms);
    });
  }

  #send(device: Device, ogms: readonly Ogm2[]): void {
    if (!this.#ports.has(device)) return;
    this.#ground.send(device, { kind: 'ogm2', source: device.address, ogms, bytes: 14 + OGM2_BYTES * ogms.length });
  }

  receive(device: Device, frame: Frame): void {
    const links = this.#ports.get(device);
    if (links === undefined || !device.up || this.#byAddress.has(frame.source)) return;
    const { now } = this.#ground.scheduler;
    if (frame.kind === 'elp') {
      const link = links.get(frame.source);
      if (link === undefined) links.set(frame.source, new Link(now));
      else link.lastSeen = now;
    } else if (frame.kind === 'ogm2') {
      // Who was never heard by ELP has no throughput.
      if (!links.has(frame.source)) return;
      for (const ogm of frame.ogms) this.#process(device, frame.source, ogm);
    }
  }

  #process(device: Device, source: Address, ogm: Ogm2): void {
    if (this.#byAddress.has(ogm.originator) || ogm.throughput === 0) return;
    const { now } = this.#ground.scheduler;
    let originator = this.#originators.get(ogm.originator);
    if (originator === undefined) {
      originator = new Originator(ogm.originator, now);
      originator.lastSeqno = (ogm.seqno - 1) | 0;
      this.#originators.set(ogm.originator, originator);
    }
    const ahead = (ogm.seqno - originator.lastSeqno) | 0;
    let isBegunAnew = false;
    if (originator.ways.length > 0 && isReset(ahead)) {
      if (now - originator.resetAt < RESET_PROTECTION) return;
      originator.resetAt = now;
      isBegunAnew = true;
    }
    if (ahead < 0 && !isBegunAnew) return;
    let way = originator.ways.find((one) => one.neighbour === source && one.device === device);
    if (way === undefined) {
      way = { neighbour: source, device, throughput: 0, lastSeqno: ogm.seqno, lastSeen: now };
      originator.ways.push(way);
    }
    originator.lastSeen = way.lastSeen = now;
    originator.lastSeqno = way.lastSeqno = ogm.seqno;
    originator.gateway = ogm.gateway;
    way.throughput = Math.min(ogm.throughput, linkThroughput(device));
    const { router } = originator;
    if (router !== way) {
      const isLate = router !== null && ((way.lastSeqno - router.lastSeqno) | 0) >= MOST_BEHIND;
      if (router === null || isLate || way.throughput > router.throughput) originator.router = way;
    }
    if (originator.router !== way || ogm.ttl <= 1) return;
    for (const outgoing of this.#ports.keys()) {
      if (originator.forwarded.get(outgoing) === ogm.seqno) continue;
      originator.forwarded.set(outgoing, ogm.seqno);
      const throughput = this.#afterHop(way.throughput, device === outgoing && device.isRadio);
      this.#queue(outgoing, { ...ogm, ttl: ogm.ttl - 1, throughput });
    }
  }

  /** batadv_v_forward_penalty: half on the same radio, else the hop penalty. */
  #afterHop(throughput: number, isTwice: boolean): number {
    if (isTwice && throughput > 10) return Math.floor(throughput / 2);
    return Math.floor((throughput * (PENALTY_BASE - this.#ground.settings.hopPenalty)) / PENALTY_BASE);
  }

  #purge(): void {
    this.#every(PURGE_EVERY_MS, () => {
      const { now } = this.#ground.scheduler;
      this.#forget((way) => !way.device.up || now - way.lastSeen > PURGE);
      for (const [address, { lastSeen }] of this.#originators)
        if (now - lastSeen > 2 * PURGE) this.#originators.delete(address);
      for (const [device, links] of this.#ports)
        for (const [address, { lastSeen }] of links) if (!device.up || now - lastSeen > PURGE) links.delete(address);
      this.#purge();
    });
  }

  #forget(isGone: (way: Way) => boolean): void {
    for (const originator of this.#originators.values()) {
      if (!originator.ways.some(isGone)) continue;
      originator.ways = originator.ways.filter((way) => !isGone(way));
      originator.router = null;
      for (const way of originator.ways)
        if (way.throughput > (originator.router?.throughput ?? -1)) originator.router = way;
    }
  }

  route(target: Address): { readonly device: Device; readonly neighbour: Address } | null {
    const router = this.#originators.get(target)?.router ?? null;
    return router?.device.up ? router : null;
  }

  originators(): OriginatorPath[] {
    const { book, scheduler } = this.#ground;
    return [...this.#originators.values()].flatMap(({ address, ways, router }) =>
      router === null
        ? []
        : ways.map((way) => ({
            originator: book.mac(address),
            neighbour: book.mac(way.neighbour),
            interface: way.device.index,
            interfaceName: way.device.name,
            best: way === router,
            lastSeenMs: Math.floor((scheduler.now - way.lastSeen) / MS),
            throughput: way.throughput * 100,
          })),
    );
  }

  neighbours(): Neighbour[] {
    const { book, scheduler } = this.#ground;
    return [...this.#ports].flatMap(([device, links]) =>
      [...links].map(([address, { lastSeen }]) => ({
        neighbour: book.mac(address),
        interface: device.index,
        interfaceName: device.name,
        lastSeenMs: Math.floor((scheduler.now - lastSeen) / MS),
        throughput: linkThroughput(device) * 100,
      })),
    );
  }

  stick(): void {}

  /** None is chosen here. */
  reselect(): void {}

  gateways(): Gateway[] {
    const { book } = this.#ground;
    return [...this.#originators.values()].flatMap(({ address, gateway, router }) =>
      gateway === null || router === null
        ? []
        : [
            {
              originator: book.mac(address),
              router: book.mac(router.neighbour),
              interfaceName: router.device.name,
              best: false,
              throughput: router.throughput * 100,
              bandwidthDown: gateway.down,
              bandwidthUp: gateway.up,
            },
          ],
    );
  }
}

/** In 100 kbit/s: what somebody set, or what the interface gives. */
function linkThroughput({ settings, isRadio }: Device): number {
  return settings.throughputOverride || (isRadio ? RADIO : CABLE);
}
