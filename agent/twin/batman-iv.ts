/**
 * BATMAN_IV as Linux 6.1 runs it (net/batman-adv/bat_iv_ogm.c, originator.c; compatibility version 15): OGMs flooded along
 * best ways, links measured by echoes of one's own and by what is received, a way worth the average of its last five OGMs,
 * of which one that came another way counts as nothing here.
 *
 * The kernel keeps all of that once for itself and once for each outgoing interface. Here interfaces that have been in
 * since the beginning, and no radios, share theirs (view 0): it is the same.
 */
import type { Gateway, Neighbour, OriginatorPath } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { type Address, DIRECT_LINK, type Frame, NOT_BEST_NEXT_HOP, type Ogm, ogmBytes } from './frames.ts';
import type { Device, Ground, Protocol } from './protocol.ts';
import { Bits, isReset, Worths } from './window.ts';

const TQ_MAX = 255;
const TTL = 50;
const SECONDARY_TTL = 2;
const JITTER_MS = 20;
const FORWARD_JITTER_MS = 10;
const AGGREGATION_MS = 100;
const MAX_AGGREGATE = 512;
const PURGE_EVERY_MS = 1000;
const PURGE_NEIGHBOUR: Nanos = 200 * SECOND;
const PURGE_ORIGINATOR: Nanos = 400 * SECOND;
const RESET_PROTECTION: Nanos = 30 * SECOND;
/** After so long a new interface's windows are as full as the others'. */
const SETTLED: Nanos = 200 * SECOND;
const FIRST_OGM_MS = 10;
/** The first view: this router itself, and the interfaces that share its. */
const OWN = 0;

class NeighbourView {
  readonly bits = new Bits();
  readonly worths = new Worths();
  average = 0;
  lastTtl = 0;
}

class OriginatorView {
  /** Numbers that came by any of its ways: all their windows move together. */
  readonly any = new Bits();
  lastSeqno = 0;
  lastTtl = 0;
  resetAt: Nanos = Number.NEGATIVE_INFINITY;
  router: Way | null = null;
}

/** One neighbour by which an originator is heard, on one interface. */
class Way {
  readonly neighbour: Originator;
  readonly device: Device;
  lastSeen: Nanos;
  readonly views: (NeighbourView | undefined)[] = [];

  constructor(neighbour: Originator, device: Device, now: Nanos) {
    this.neighbour = neighbour;
    this.device = device;
    this.lastSeen = now;
  }
}

class Originator {
  readonly address: Address;
  lastSeen: Nanos;
  ways: Way[] = [];
  readonly views: (OriginatorView | undefined)[] = [];
  /** Our own OGMs as this neighbour sent them back, by interface. */
  echoes: { readonly device: Device; readonly bits: Bits }[] = [];
  gateway: Ogm['gateway'] = null;

  constructor(address: Address, now: Nanos) {
    this.address = address;
    this.lastSeen = now;
  }
}

/** An interface under the mesh. */
interface Port {
  readonly device: Device;
  /** Of the next own OGM. */
  seqno: number;
  view: number;
  readonly since: Nanos;
  /** Neighbours heard on it, and when. */
  readonly neighbours: Map<Address, Nanos>;
  /** Those that echo: what slides with each own OGM. */
  readonly echoes: Set<Bits>;
}

interface Waiting {
  readonly at: Nanos;
  readonly own: boolean;
  readonly incoming: Device;
  readonly outgoing: Device;
  readonly ogms: Ogm[];
  bytes: number;
  cancelled: boolean;
}

type Seen = 'new' | 'protected' | 'elsewhere' | 'here';

export class BatmanIv implements Protocol {
  primary: Device | null = null;
  readonly #ground: Ground;
  readonly #ports = new Map<Device, Port>();
  readonly #byAddress = new Map<Address, Device>();
  readonly #originators = new Map<Address, Originator>();
  /** Views in use, but the first. */
  readonly #views: number[] = [OWN];
  #waiting: Waiting[] = [];
  #gateway: Address | null = null;
  #running = true;
  /** Ways held to be as good as any can be, by originator. */
  readonly #stuck = new Map<Address, { readonly device: Device; readonly neighbour: Address }>();
  /** No entry has to be purged before this. */
  #purgeAt: Nanos = 0;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.#purgeLater();
  }

  get size(): number {
    return this.#originators.size;
  }

  // --- interfaces --------------------------------------------------------------------------------------------------

  attach(device: Device): void {
    const { scheduler, warm, random } = this.#ground;
    const port: Port = {
      device,
      seqno: random.uint32() | 0,
      view: OWN,
      since: scheduler.now,
      neighbours: new Map(),
      echoes: new Set(),
    };
    if (device.isRadio || !warm.on) port.view = this.#newView();
    this.#ports.set(device, port);
    this.#byAddress.set(device.address, device);
    if (device.up) this.primary ??= device;
    this.#schedule(port, this.#ground.expiry(FIRST_OGM_MS));
  }

  detach(device: Device): void {
    const port = this.#ports.get(device);
    if (port === undefined) return;
    this.#ports.delete(device);
    this.#byAddress.delete(device.address);
    for (const one of this.#waiting) {
      if (one.incoming === device || one.outgoing === device) one.cancelled = true;
    }
    this.#waiting = this.#waiting.filter(({ cancelled }) => !cancelled);
    if (this.primary === device) this.primary = [...this.#ports.keys()].find(({ up }) => up) ?? null;
    if (port.view !== OWN) this.#dropView(port.view);
    this.#forget((way) => way.device === device);
    for (const originator of this.#originators.values())
      originator.echoes = originator.echoes.filter((echo) => echo.device !== device);
  }

  changed(device: Device): void {
    if (!this.#ports.has(device)) return;
    if (device.up) this.primary ??= device;
    // Its neighbours go with the next purge.
    else this.#purgeAt = 0;
  }

  isOwn(address: Address): boolean {
    return this.#byAddress.has(address);
  }

  stop(): void {
    this.#running = false;
    for (const device of [...this.#ports.keys()]) this.detach(device);
  }

  #newView(): number {
    let view = OWN + 1;
    while (this.#views.includes(view)) view += 1;
    this.#views.push(view);
    return view;
  }

  #dropView(view: number): void {
    this.#views.splice(this.#views.indexOf(view), 1);
    for (const originator of this.#originators.values()) {
      originator.views[view] = undefined;
      for (const way of originator.ways) way.views[view] = undefined;
    }
  }

  // --- sending -----------------------------------------------------------------------------------------------------

  /** The next own OGM of an interface: the primary's goes out everywhere. */
  #schedule(port: Port, at = this.#nextOwn()): void {
    const { device } = port;
    const isPrimary = device === this.primary;
    const { settings } = this.#ground;
    const gateway =
      isPrimary && settings.gwMode === 'server' ? { down: settings.gwBandwidthDown, up: settings.gwBandwidthUp } : null;
    const ogm: Ogm = {
      originator: device.address,
      seqno: port.seqno,
      ttl: isPrimary ? TTL : SECONDARY_TTL,
      flags: 0,
      previous: device.address,
      mark: 0,
      tq: TQ_MAX,
      gateway,
      // Only what the primary sends carries any (batadv_iv_ogm_schedule_buff).
      announced: isPrimary ? this.#ground.announced() : null,
    };
    port.seqno = (port.seqno + 1) | 0;
    for (const bits of port.echoes) bits.shift(1);
    const outgoing = isPrimary ? [...this.#ports.keys()] : [device];
    for (const to of outgoing) this.#queue(ogm, device, to, at, true);
  }

  #nextOwn(): Nanos {
    const { random, settings } = this.#ground;
    return this.#ground.expiry(settings.origInterval - JITTER_MS + random.int(2 * JITTER_MS));
  }

  #queue(ogm: Ogm, incoming: Device, outgoing: Device, at: Nanos, own: boolean): void {
    const one = { at, own, incoming, outgoing, ogms: [ogm], bytes: ogmBytes(ogm), cancelled: false };
    this.#waiting.push(one);
    this.#ground.scheduler.at(at, () => this.#emit(one));
  }

  #forward(ogm: Ogm, incoming: Device, outgoing: Device): void {
    const { random, settings } = this.#ground;
    const jitter = random.int(FORWARD_JITTER_MS);
    if (!settings.aggregatedOgms) {
      this.#queue(ogm, incoming, outgoing, this.#ground.expiry(jitter), false);
      return;
    }
    const at = this.#ground.expiry(jitter);
    const bytes = ogmBytes(ogm);
    for (const one of this.#waiting) {
      if (one.outgoing !== outgoing || one.at <= at || one.at > at + AGGREGATION_MS * MS) continue;
      if (one.bytes + bytes > MAX_AGGREGATE || !this.#goTogether(one, ogm, incoming)) continue;
      one.ogms.push(ogm);
      one.bytes += bytes;
      return;
    }
    this.#queue(ogm, incoming, outgoing, this.#ground.expiry(jitter + AGGREGATION_MS), false);
  }

  /** Flooded ones with flooded ones; what stays on one link with its like (batadv_iv_ogm_can_aggregate). */
  #goTogether(one: Waiting, ogm: Ogm, incoming: Device): boolean {
    const first = one.ogms[0]!;
    const isDirect = (ogm.flags & DIRECT_LINK) !== 0;
    const firstIsDirect = (first.flags & DIRECT_LINK) !== 0;
    if (!isDirect && !firstIsDirect && first.ttl !== 1 && (!one.own || one.incoming === this.primary)) return true;
    return (
      isDirect &&
      ogm.ttl === 1 &&
      one.incoming === incoming &&
      (firstIsDirect || (one.own && one.incoming !== this.primary))
    );
  }

  #emit(one: Waiting): void {
    if (one.cancelled) return;
    this.#waiting.splice(this.#waiting.indexOf(one), 1);
    const port = this.#ports.get(one.outgoing);
    if (port === undefined) return;
    if (this.primary !== null && one.outgoing.up) {
      const bytes = 14 + one.bytes;
      this.#ground.send(one.outgoing, { kind: 'ogm', source: one.outgoing.address, ogms: one.ogms, bytes });
    }
    if (one.own && one.incoming === one.outgoing) this.#schedule(port);
  }

  // --- receiving ---------------------------------------------------------------------------------------------------

  receive(device: Device, frame: Frame): void {
    if (frame.kind !== 'ogm' || !this.#ports.has(device) || !device.up) return;
    for (const ogm of frame.ogms) this.#process(device, frame.source, ogm);
  }

  #process(device: Device, source: Address, ogm: Ogm): void {
    const own = this.#byAddress;
    if (own.has(source)) return;
    if (own.has(ogm.originator)) {
      this.#echoed(device, source, ogm);
      return;
    }
    if (own.has(ogm.previous) || (ogm.flags & NOT_BEST_NEXT_HOP) !== 0) return;
    const { now } = this.#ground.scheduler;
    const originator = this.#originator(ogm.originator);
    const isDirect = source === ogm.originator;
    if (isDirect) this.#ports.get(device)!.neighbours.set(source, now);
    const neighbour = isDirect ? originator : this.#originator(source);
    for (const view of this.#views) {
      const taken = this.#take(device, neighbour, originator, ogm, view);
      if (taken === null) continue;
      const { tq, isBidirectional, seen, isBest } = taken;
      for (const { device: outgoing, view: viewOf } of this.#ports.values()) {
        if (viewOf !== view) continue;
        if (isDirect) {
          if (ogm.ttl <= 2 && device !== outgoing) continue;
        } else if (!isBidirectional || seen === 'here') continue;
        this.#relay(ogm, tq, source, isDirect, isBest, device, outgoing);
      }
    }
    if (originator.gateway !== ogm.gateway) originator.gateway = ogm.gateway;
  }

  /** batadv_iv_ogm_process_per_outif, up to the forwarding. null: it is dropped. */
  #take(
    device: Device,
    neighbour: Originator,
    originator: Originator,
    ogm: Ogm,
    view: number,
  ): { tq: number; isBidirectional: boolean; seen: Seen; isBest: boolean } | null {
    const about = this.#viewOf(originator, view, ogm.seqno);
    const seen = this.#update(device, neighbour, originator, about, ogm.seqno, view);
    if (seen === 'protected' || ogm.tq === 0) return null;
    const { router } = about;
    const isBest = router !== null && router.neighbour === neighbour && (router.views[view]?.average ?? 0) !== 0;
    // What our own next hop has sent to a third one, and comes from there: following it might lead in a circle.
    if (router !== null && router.neighbour.address === ogm.previous && ogm.originator !== ogm.previous) return null;
    if (neighbour !== originator && neighbour.views[view]?.router == null) return null;
    const tq = this.#worth(device, neighbour, originator, ogm.tq, view);
    const isBidirectional = tq >= 1;
    const isLike = about.lastSeqno === ogm.seqno && about.lastTtl - 3 <= ogm.ttl;
    if (isBidirectional && (seen === 'new' || isLike))
      this.#rank(device, neighbour, originator, about, ogm, tq, seen, view);
    return { tq, isBidirectional, seen, isBest };
  }

  /** batadv_iv_ogm_update_seqnos */
  #update(
    device: Device,
    neighbour: Originator,
    originator: Originator,
    about: OriginatorView,
    seqno: number,
    view: number,
  ): Seen {
    const ahead = (seqno - about.lastSeqno) | 0;
    if (originator.ways.length > 0 && isReset(ahead)) {
      const { now } = this.#ground.scheduler;
      if (now - about.resetAt < RESET_PROTECTION) return 'protected';
      about.resetAt = now;
    }
    let here: Way | undefined;
    for (const way of originator.ways) {
      // One that this view has not seen yet may be born with a full window.
      if (way.views[view] === undefined) this.#wayView(originator, way, view);
      if (way.neighbour === neighbour && way.device === device) here = way;
    }
    const mine = here?.views[view]?.bits;
    const { any } = about;
    const seen: Seen = mine?.has(-ahead) === true ? 'here' : any.has(-ahead) ? 'elsewhere' : 'new';
    if (ahead <= 0 && !isReset(ahead)) {
      // Nothing is newer, so nothing moves.
      mine?.mark(-ahead);
      if (mine !== undefined) any.mark(-ahead);
      return seen;
    }
    let isNewest = false;
    for (const way of originator.ways) if (way.views[view]!.bits.take(ahead, way === here)) isNewest = true;
    any.take(ahead, here !== undefined);
    if (isNewest) about.lastSeqno = seqno;
    return seen;
  }

  /** batadv_iv_ogm_calc_tq: what the OGM is worth with the link by which it came. */
  #worth(device: Device, neighbour: Originator, originator: Originator, tq: number, view: number): number {
    const { now } = this.#ground.scheduler;
    const direct = this.#way(neighbour, neighbour, device);
    if (originator === neighbour) direct.lastSeen = now;
    originator.lastSeen = now;
    const received = this.#wayView(neighbour, direct, view).bits.count;
    const echoed = this.#echoBits(neighbour, device)?.count ?? 0;
    const both = Math.min(echoed, received);
    if (both < 1 || received < 1) return 0;
    const own = Math.floor((TQ_MAX * both) / received);
    const missing = 64 - received;
    const symmetry = TQ_MAX - Math.floor((TQ_MAX * missing * missing * missing) / 262144);
    // Half duplex: the same radio has to send it once more.
    const twice = device.isRadio && this.#ports.get(device)!.view === view ? this.#lessPenalty(TQ_MAX) : TQ_MAX;
    const less = TQ_MAX - (device.settings.hopPenalty ?? 0);
    return Math.floor((tq * own * symmetry * twice * less) / (TQ_MAX * TQ_MAX * TQ_MAX * TQ_MAX));
  }

  /** batadv_iv_ogm_orig_update */
  #rank(
    device: Device,
    neighbour: Originator,
    originator: Originator,
    about: OriginatorView,
    ogm: Ogm,
    tq: number,
    seen: Seen,
    view: number,
  ): void {
    let here: Way | undefined;
    for (const way of originator.ways) {
      if (way.neighbour === neighbour && way.device === device) here = way;
      else if (seen === 'new') {
        const other = way.views[view];
        if (other === undefined) continue;
        other.worths.push(0);
        other.average = other.worths.average;
      }
    }
    here ??= this.#way(originator, neighbour, device);
    const mine = this.#wayView(originator, here, view);
    here.lastSeen = this.#ground.scheduler.now;
    if (this.#ground.warm.on && mine.average === 0) mine.worths.fill(tq);
    else mine.worths.push(tq);
    mine.average = mine.worths.average;
    if (seen === 'new') {
      about.lastTtl = ogm.ttl;
      mine.lastTtl = ogm.ttl;
    }
    if (this.#stuck.size > 0) this.#holdStuck(originator, about, view);
    const { router } = about;
    if (router === here) return;
    // Where both are worth the same the kernel compares echoes, of what is the same originator for both: it stays.
    if (router !== null && (router.views[view]?.average ?? 0) >= mine.average) return;
    about.router = here;
  }

  stick(target: Address, by: { readonly device: Device; readonly neighbour: Address } | null): void {
    const originator = this.#originators.get(target);
    if (by !== null) this.#stuck.set(target, by);
    else if (this.#stuck.delete(target))
      for (const way of originator?.ways ?? [])
        for (const mine of way.views) if (mine !== undefined) mine.average = mine.worths.average;
    if (originator === undefined) return;
    for (const view of this.#views) {
      const about = originator.views[view];
      if (about !== undefined && by !== null) this.#holdStuck(originator, about, view);
    }
  }

  /** As if each OGM came by it, and with a TQ of 255: what the interface costs it costs all the same. */
  #holdStuck(originator: Originator, about: OriginatorView, view: number): void {
    const stuck = this.#stuck.get(originator.address);
    if (stuck === undefined || !this.#ports.has(stuck.device) || !stuck.device.up) return;
    const way = this.#way(originator, this.#originator(stuck.neighbour), stuck.device);
    const mine = this.#wayView(originator, way, view);
    way.lastSeen = this.#ground.scheduler.now;
    mine.average = TQ_MAX - (stuck.device.settings.hopPenalty ?? 0);
    const { router } = about;
    if (router !== way && (router?.views[view]?.average ?? 0) <= mine.average) about.router = way;
  }

  /** batadv_iv_ogm_forward */
  #relay(
    ogm: Ogm,
    tq: number,
    source: Address,
    isDirect: boolean,
    isBest: boolean,
    incoming: Device,
    outgoing: Device,
  ): void {
    if (ogm.ttl <= 1 || (!isBest && !isDirect)) return;
    const flags = (isBest ? 0 : NOT_BEST_NEXT_HOP) | (isDirect && incoming === outgoing ? DIRECT_LINK : 0);
    const relayed: Ogm = {
      originator: ogm.originator,
      seqno: ogm.seqno,
      ttl: ogm.ttl - 1,
      flags,
      previous: source,
      mark: ogm.mark,
      tq: this.#lessPenalty(tq),
      gateway: ogm.gateway,
      announced: ogm.announced,
    };
    this.#forward(relayed, incoming, outgoing);
  }

  #lessPenalty(tq: number): number {
    return Math.floor((tq * (TQ_MAX - this.#ground.settings.hopPenalty)) / TQ_MAX);
  }

  /** One of our own came back: is the link good in our direction? */
  #echoed(device: Device, source: Address, ogm: Ogm): void {
    if ((ogm.flags & DIRECT_LINK) === 0 || device.address !== ogm.originator) return;
    const port = this.#ports.get(device)!;
    const neighbour = this.#originator(source);
    let bits = this.#echoBits(neighbour, device);
    if (bits === undefined) {
      bits = new Bits();
      if (this.#ground.warm.on) {
        const oneWay = this.#carried(source, device);
        bits.fill(oneWay * oneWay);
      }
      neighbour.echoes.push({ device, bits });
      port.echoes.add(bits);
    }
    bits.mark((port.seqno - 2 - ogm.seqno) | 0);
  }

  // --- entries -----------------------------------------------------------------------------------------------------

  #originator(address: Address): Originator {
    let originator = this.#originators.get(address);
    if (originator === undefined) {
      originator = new Originator(address, this.#ground.scheduler.now);
      this.#originators.set(address, originator);
    }
    return originator;
  }

  #viewOf(originator: Originator, view: number, seqno: number): OriginatorView {
    let about = originator.views[view];
    if (about === undefined) {
      about = new OriginatorView();
      if (this.#ground.warm.on) about.lastSeqno = (seqno - 1) | 0;
      for (const way of originator.ways) gather(about, way, view);
      while (originator.views.length <= view) originator.views.push(undefined);
      originator.views[view] = about;
    }
    return about;
  }

  #way(originator: Originator, neighbour: Originator, device: Device): Way {
    for (const way of originator.ways) if (way.neighbour === neighbour && way.device === device) return way;
    const way = new Way(neighbour, device, this.#ground.scheduler.now);
    originator.ways.push(way);
    return way;
  }

  #wayView(originator: Originator, way: Way, view: number): NeighbourView {
    let mine = way.views[view];
    if (mine === undefined) {
      mine = new NeighbourView();
      if (this.#ground.warm.on) {
        mine.bits.fill(this.#carried(way.neighbour.address, way.device));
        originator.views[view]?.any.add(mine.bits);
      }
      while (way.views.length <= view) way.views.push(undefined);
      way.views[view] = mine;
    }
    return mine;
  }

  /** The share of a neighbour's OGMs that a link carries as the story begins. */
  #carried(neighbour: Address, { port }: Device): number {
    return port?.medium.carries(neighbour, port) ?? 1;
  }

  #echoBits(neighbour: Originator, device: Device): Bits | undefined {
    for (const echo of neighbour.echoes) if (echo.device === device) return echo.bits;
    return undefined;
  }

  #purgeLater(): void {
    this.#ground.scheduler.at(this.#ground.expiry(PURGE_EVERY_MS), () => {
      if (!this.#running) return;
      if (this.#ground.scheduler.now >= this.#purgeAt) this.#purge();
      this.#purgeLater();
    });
  }

  #purge(): void {
    const { now } = this.#ground.scheduler;
    this.#forget((way) => !way.device.up || now - way.lastSeen > PURGE_NEIGHBOUR);
    let oldest = now;
    for (const [address, originator] of this.#originators) {
      if (now - originator.lastSeen > PURGE_ORIGINATOR) {
        this.#originators.delete(address);
        for (const { device, bits } of originator.echoes) this.#ports.get(device)?.echoes.delete(bits);
        continue;
      }
      oldest = Math.min(oldest, originator.lastSeen + PURGE_NEIGHBOUR);
      for (const way of originator.ways) oldest = Math.min(oldest, way.lastSeen);
    }
    for (const port of this.#ports.values()) {
      for (const [address, at] of port.neighbours) {
        if (now - at > PURGE_NEIGHBOUR || !port.device.up) port.neighbours.delete(address);
        else oldest = Math.min(oldest, at);
      }
      if (port.view !== OWN && !port.device.isRadio && now - port.since > SETTLED) {
        this.#dropView(port.view);
        port.view = OWN;
      } else if (port.view !== OWN && !port.device.isRadio) oldest = Math.min(oldest, port.since);
    }
    this.#purgeAt = oldest === now && this.#originators.size === 0 ? 0 : oldest + PURGE_NEIGHBOUR;
  }

  /** Ways go, and what was routed by them takes the best that is left. */
  #forget(isGone: (way: Way) => boolean): void {
    for (const originator of this.#originators.values()) {
      if (!originator.ways.some(isGone)) continue;
      originator.ways = originator.ways.filter((way) => !isGone(way));
      for (const view of this.#views) {
        const about = originator.views[view];
        if (about === undefined) continue;
        about.router = null;
        about.any.clear();
        for (const way of originator.ways) {
          gather(about, way, view);
          const best = (about.router as Way | null)?.views[view]?.average ?? -1;
          if ((way.views[view]?.average ?? -1) > best) about.router = way;
        }
      }
    }
  }

  // --- what it tells -----------------------------------------------------------------------------------------------

  route(target: Address, by: Device | null): { readonly device: Device; readonly neighbour: Address } | null {
    const view = by === null ? OWN : (this.#ports.get(by)?.view ?? OWN);
    const router = this.#originators.get(target)?.views[view]?.router ?? null;
    return router === null || !router.device.up ? null : { device: router.device, neighbour: router.neighbour.address };
  }

  originators(): OriginatorPath[] {
    const { book, scheduler } = this.#ground;
    const rows: OriginatorPath[] = [];
    for (const { address, lastSeen, ways, views } of this.#originators.values()) {
      const router = views[OWN]?.router ?? null;
      if (router === null || (router.views[OWN]?.average ?? 0) === 0) continue;
      const originator = book.mac(address);
      const lastSeenMs = Math.floor((scheduler.now - lastSeen) / MS);
      for (const way of ways) {
        const view = way.views[OWN];
        if (view === undefined) continue;
        rows.push({
          originator,
          neighbour: book.mac(way.neighbour.address),
          interface: way.device.index,
          interfaceName: way.device.name,
          best: way === router,
          lastSeenMs,
          tq: view.average,
        });
      }
    }
    return rows;
  }

  neighbours(): Neighbour[] {
    const { book, scheduler } = this.#ground;
    const rows: Neighbour[] = [];
    for (const { device, neighbours } of this.#ports.values())
      for (const [address, at] of neighbours)
        rows.push({
          neighbour: book.mac(address),
          interface: device.index,
          interfaceName: device.name,
          lastSeenMs: Math.floor((scheduler.now - at) / MS),
        });
    return rows;
  }

  reselect(): void {
    this.#gateway = null;
  }

  /** Where the mode is client, the one chosen is marked (gateway_client.c, for the selection classes above 1). */
  gateways(): Gateway[] {
    const { book, settings } = this.#ground;
    const rows: (Gateway & { readonly address: Address })[] = [];
    for (const { address, gateway, views } of this.#originators.values()) {
      const router = views[OWN]?.router ?? null;
      const tq = router?.views[OWN]?.average ?? 0;
      if (gateway === null || router === null || tq === 0) continue;
      const about = { originator: book.mac(address), router: book.mac(router.neighbour.address), tq, address };
      const offers = { bandwidthDown: gateway.down, bandwidthUp: gateway.up };
      rows.push({ ...about, ...offers, interfaceName: router.device.name, best: false });
    }
    if (settings.gwMode === 'client') {
      const current = rows.find(({ address }) => address === this.#gateway);
      const best = rows.reduce<(typeof rows)[number] | undefined>(
        (a, b) => (a === undefined || b.tq! > a.tq! ? b : a),
        undefined,
      );
      if (current === undefined || (best !== undefined && best.tq! - current.tq! >= settings.gwSelClass))
        this.#gateway = best?.address ?? null;
    }
    return rows.map(({ address, ...row }) => ({ ...row, best: address === this.#gateway }));
  }
}

function gather({ any }: OriginatorView, { views }: Way, view: number): void {
  const mine = views[view];
  if (mine !== undefined) any.add(mine.bits);
}
