/**
 * What this router knows of its mesh: its own links with their quality, the other routers, and the graph they make.
 * It only looks; deciding is heal's.
 *
 * batman-adv names a router by its originator address (the primary interface's MAC) and a neighbour by the MAC of the
 * hard interface that was heard. Which originator a neighbour's MAC belongs to is said nowhere in its tables, so it is
 * inferred (`#ownerOf`). A router two hops off on the same medium shows its secondary addresses as originators too
 * (they travel one hop more than needed); nothing in the tables tells those from routers, so they count as such, unless
 * they were a neighbour's within the last minutes (`Addresses`).
 */
import type { Effect } from '../core/effect.ts';
import type { Event, HealSettings, Tables } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type {
  Gateway,
  HardInterface,
  Link,
  MeshInfo,
  OriginatorPath,
  RadioStation,
  RoutingAlgorithm,
} from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import { Addresses } from './addresses.ts';
import { type Heard, type NodeChange, Nodes, type NodeView } from './nodes.ts';
import { Echoes, type Quality, SteadyQuality } from './quality.ts';
import { silentAfterMs } from './silence.ts';
import { type Edge, Graph } from './topology.ts';
import { Disturbance, TqWindow } from './window.ts';

/** One neighbour over one of our hard interfaces. Unknown figures are null. */
export interface LinkView {
  readonly interface: string;
  readonly index: IfIndex;
  /** The neighbour's hard interface. */
  readonly neighbour: Mac;
  /** Of our interface, as the kernel names it: '' for hardware; null while it is not known. */
  readonly kind: string | null;
  /** The router behind it, where it is known. */
  readonly originator: Mac | null;
  readonly quality: Quality | null;
  /** Of our interface. */
  readonly carrier: boolean;
  /** BATMAN_IV, 0..255 */
  readonly tq: number | null;
  /** BATMAN_V, kbit/s */
  readonly throughput: number | null;
  /** One way: half of the round trip. */
  readonly latencyNs: Nanos | null;
  /** 0..1 one way: what echoes say, or TQ where they are too few. null also while the kernel's OGM window is filling. */
  readonly loss: number | null;
  readonly lastSeen: Nanos;
  /** What our radio knows of it; null where it is none, or does not know it. */
  readonly radio: RadioStation | null;
}

/**
 * 'link' is a link of ours; 'route' is what a neighbour offers towards a router, over however many hops, where that is
 * the way in use; 'alternative' the same where it is not: what another neighbour offers, or one towards a neighbour.
 */
export interface TopologyEdge extends Edge {
  readonly kind: 'link' | 'route' | 'alternative';
}

export interface MeshView {
  /** This router's name and originator address. */
  readonly node: string;
  readonly self: Mac | null;
  /** null while there is no mesh interface. */
  readonly mesh: MeshInfo | null;
  readonly meshInterface: string;
  readonly algorithm: RoutingAlgorithm;
  readonly hardInterfaces: readonly (HardInterface & { readonly carrier: boolean; readonly primary: boolean })[];
  readonly nodes: readonly NodeView[];
  readonly links: readonly LinkView[];
  readonly gateways: number;
  readonly offers: readonly Gateway[];
  /** When the tables were last read; -1 for never. */
  readonly tablesAt: Nanos;
  readonly edges: readonly TopologyEdge[];
  /** The originator table as it was read last. */
  readonly paths: readonly OriginatorPath[];
}

interface Neighbourhood {
  readonly index: IfIndex;
  readonly neighbour: Mac;
  interface: string;
  originator: Mac | null;
  tq: number | null;
  throughput: number | null;
  lastSeen: Nanos;
  readAt: Nanos;
  /** The last reading of the tables that had it. */
  reading: number;
  readonly firstSeen: Nanos;
  silent: boolean;
  readonly window: TqWindow;
  readonly quality: SteadyQuality;
  readonly echoes: Echoes;
}

const ORIG_MS = 1000;
/** As with nodes: what a neighbour can make us remember is bounded. */
const MOST_LINKS = 1024;
/** OGM intervals after which a new neighbour's own originator would have been heard through it. */
const GRACE = 3;

export class Mesh implements Machine {
  readonly name = 'mesh';
  #node = '';
  #started = false;
  #settings: Pick<HealSettings, 'meshInterface' | 'algorithm' | 'pollNs' | 'deadAfterNs' | 'origIntervalMs'> = {
    meshInterface: 'bat0',
    algorithm: 'BATMAN_IV',
    pollNs: SECOND,
    deadAfterNs: 60 * SECOND,
    origIntervalMs: 0,
  };
  readonly #interfaces = new Map<IfIndex, Link>();
  readonly #links = new Map<string, Neighbourhood>();
  readonly #nodes = new Nodes();
  readonly #addresses = new Addresses();
  readonly #disturbance = new Disturbance();
  /** By the keys of links: the newest look at the stations of our radios. */
  #stations: ReadonlyMap<string, RadioStation> = new Map();
  #readings = 0;
  #tables: Tables | null = null;
  #tablesAt: Nanos = -1;
  /** Kept while bat0 is away: who we are does not change with it. */
  #self: Mac | null = null;

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'started':
        this.#node = event.node;
        this.#started = true;
        return [];
      case 'settings':
        this.#settings = event.settings;
        this.#nodes.deadAfterNs = event.settings.deadAfterNs;
        return [];
      case 'link': {
        const before = this.#interfaces.get(event.link.index);
        this.#interfaces.set(event.link.index, event.link);
        const isNew = before !== undefined && (before.master !== event.link.master || !usable(before));
        if (isNew) this.#restart(event.link.index, now);
        return usable(event.link) ? [] : this.#cut(event.link.index);
      }
      case 'link-gone':
        this.#interfaces.delete(event.index);
        for (const [key, link] of this.#links) if (link.index === event.index) this.#links.delete(key);
        return [];
      case 'tables':
        return this.#read(event.tables, now);
      case 'echo':
        if (event.asked !== true)
          this.#links.get(keyOf(event.interface, event.neighbour))?.echoes.answered(event.rttNs);
        return [];
      case 'echo-lost': {
        const over = this.#interfaces.get(event.interface);
        // An outage is not loss.
        if (over === undefined || usable(over)) this.#links.get(keyOf(event.interface, event.neighbour))?.echoes.lost();
        return [];
      }
      case 'radio-stations':
        this.#stations = new Map(event.stations.map((row) => [keyOf(row.interface, row.station), row]));
        return [];
      case 'lent':
        this.#lent(event.settings.origInterval, event.returned, now);
        return [];
      case 'held':
        if (event.what.endsWith(' hopPenalty')) this.#disturbance.end(this.#intervalNs(), now);
        return [];
      case 'kick-done':
        if (event.frames > 0) this.#disturbance.end(this.#intervalNs(), now);
        return [];
      case 'tick':
        return this.#tell(this.#nodes.advance(now));
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return this.#started ? this.#nodes.deadline() : NEVER;
  }

  /** A copy of what is known now; it does not change afterwards. */
  view(): MeshView {
    const mesh = this.#tables?.mesh ?? null;
    const links = [...this.#links.values()].map((link) => this.#viewOf(link)).sort(byInterface);
    return {
      node: this.#node,
      self: this.#self,
      mesh,
      meshInterface: this.#settings.meshInterface,
      algorithm: mesh?.algorithm ?? this.#settings.algorithm,
      hardInterfaces: (this.#tables?.hardInterfaces ?? []).map((hard) => ({
        ...hard,
        carrier: usable(this.#interfaces.get(hard.index)),
        primary: hard.index === mesh?.primary?.index,
      })),
      nodes: this.#nodes.view(),
      links,
      gateways: this.#tables?.gateways.length ?? 0,
      offers: this.#tables?.gateways ?? [],
      tablesAt: this.#tablesAt,
      edges: this.#edges(links),
      paths: this.#tables?.originators ?? [],
    };
  }

  #read(tables: Tables, now: Nanos): Effect[] {
    this.#tables = tables;
    this.#tablesAt = now;
    this.#readings += 1;
    this.#self = tables.mesh?.primary?.mac ?? this.#self;
    this.#nodes.intervalNs = this.#intervalNs();
    const effects = this.#readLinks(tables, now);
    const listed = new Set(tables.originators.map(({ originator }) => originator));
    const near = new Set(tables.neighbours.map(({ neighbour }) => neighbour));
    this.#addresses.read(listed, near, now);

    // A neighbour's further interfaces are not routers, and neither are our own.
    const aliases = new Set(tables.hardInterfaces.map((hard) => hard.mac));
    for (const { address, router } of this.#addresses.aliases()) {
      // One that counted as a router before it came near does so until it is known to be none.
      if (router !== null || this.#nodes.get(address) === undefined) aliases.add(address);
    }
    for (const alias of aliases) this.#nodes.drop(alias);
    const heard: Heard[] = [];
    for (const path of tables.originators) {
      if (!path.best || aliases.has(path.originator)) continue;
      heard.push({
        originator: path.originator,
        lastSeen: now - path.lastSeenMs * MS,
        nextHop: path.neighbour,
        interface: path.interfaceName,
        tq: path.tq ?? null,
        throughput: path.throughput ?? null,
      });
    }
    return [...effects, ...this.#tell(this.#nodes.read(heard, now)), this.#figures()];
  }

  #figures(): Effect {
    const links = [...this.#links.values()]
      .filter(({ reading }) => reading === this.#readings)
      .map((link) => ({
        interface: link.interface,
        index: link.index,
        neighbour: link.neighbour,
        originator: link.originator,
        carrier: usable(this.#interfaces.get(link.index)),
        // TQ tells of a change sooner than a hundred echoes do.
        loss: link.window.loss ?? link.echoes.loss,
        latencyNs: link.echoes.latencyNs,
        throughput: knownThroughput(link),
        lastSeen: link.lastSeen,
      }));
    return { type: 'emit', event: { type: 'links', links } };
  }

  #readLinks(tables: Tables, now: Nanos): Effect[] {
    const effects: Effect[] = [];
    const throughNeighbour = new Map<string, OriginatorPath[]>();
    for (const path of tables.originators) {
      const key = keyOf(path.interface, path.neighbour);
      const paths = throughNeighbour.get(key);
      if (paths === undefined) throughNeighbour.set(key, [path]);
      else paths.push(path);
    }
    for (const row of tables.neighbours) {
      const key = keyOf(row.interface, row.neighbour);
      let link = this.#links.get(key);
      if (link === undefined) {
        if (this.#links.size >= MOST_LINKS) continue;
        link = {
          index: row.interface,
          neighbour: row.neighbour,
          interface: row.interfaceName,
          originator: this.#addresses.routerOf(row.neighbour),
          tq: null,
          throughput: null,
          lastSeen: 0,
          readAt: Number.NEGATIVE_INFINITY,
          reading: this.#readings,
          firstSeen: now,
          silent: false,
          window: new TqWindow(now),
          quality: new SteadyQuality(),
          echoes: new Echoes(),
        };
        this.#links.set(key, link);
      }
      // It was out of the tables: the kernel begins anew with it.
      if (link.reading < this.#readings - 1) restart(link, now);
      link.reading = this.#readings;
      const paths = throughNeighbour.get(key) ?? [];
      link.interface = row.interfaceName;
      link.lastSeen = now - row.lastSeenMs * MS;
      link.throughput = row.throughput ?? null;
      link.tq = paths.find((path) => path.originator === row.neighbour)?.tq ?? null;
      link.silent = row.lastSeenMs > this.#silentAfterMs(tables, link.index);
      const tq = withoutPenalty(link.tq, tables.hardInterfaces, link.index);
      const anew = link.window.read(tq, link.lastSeen, this.#intervalNs(), this.#disturbance.on(now), now);
      if (anew) link.echoes.restart();
      link.originator = this.#ownerOf(link, paths, tables, now);
      effects.push(...this.#judge(link, now));
    }
    for (const [key, link] of this.#links) {
      if (now >= link.lastSeen + this.#settings.deadAfterNs) this.#links.delete(key);
    }
    return effects;
  }

  /** The OGM interval of the mesh. A shorter one is a spell after a repair, and need not be the others'. */
  #intervalNs(): Nanos {
    const listed = this.#disturbance.lentMs ?? this.#tables?.mesh?.settings.origInterval ?? ORIG_MS;
    return Math.max(listed, this.#settings.origIntervalMs, ORIG_MS) * MS;
  }

  #silentAfterMs(tables: Tables, index: IfIndex): number {
    const { lentMs } = this.#disturbance;
    if (tables.mesh === null || lentMs === null) return silentAfterMs(tables, index);
    const settings = { ...tables.mesh.settings, origInterval: lentMs };
    return silentAfterMs({ ...tables, mesh: { ...tables.mesh, settings } }, index);
  }

  #lent(origInterval: number | undefined, returned: boolean, now: Nanos): void {
    if (origInterval === undefined) return;
    if (returned) this.#disturbance.returned(Math.max(origInterval, ORIG_MS) * MS, now);
    else this.#disturbance.begin(origInterval);
  }

  /** An interface has its carrier back, or another master. */
  #restart(index: IfIndex, now: Nanos): void {
    for (const link of this.#links.values()) if (link.index === index) restart(link, now);
  }

  #judge(link: Neighbourhood, now: Nanos): Effect[] {
    // After a fault the tables are read many times a second; a run of readings is meant to span time.
    if (now < link.readAt + 0.4 * this.#settings.pollNs) return [];
    link.readAt = now;
    const before = link.quality.quality;
    const interfaceOf = this.#interfaces.get(link.index);
    const dead = link.silent || (interfaceOf !== undefined && !usable(interfaceOf));
    if (dead) link.quality.force('BAD');
    else link.quality.take({ loss: lossOf(link), latencyNs: link.echoes.latencyNs, throughput: knownThroughput(link) });
    return changed(link, before);
  }

  /** The carrier of an interface is gone: none of its links waits for the next reading. */
  #cut(index: IfIndex): Effect[] {
    const effects: Effect[] = [];
    for (const link of this.#links.values()) {
      if (link.index !== index) continue;
      const before = link.quality.quality;
      link.quality.force('BAD');
      effects.push(...changed(link, before));
    }
    return effects;
  }

  /**
   * The originator behind a neighbour's hard interface, null where it cannot be told.
   *
   * A router sends its originator's OGMs over all of its interfaces at full metric, so over the neighbour that IS the
   * originator the path is as good as the link itself; any other originator's path has at least one hop penalty in it.
   * So: the one originator whose path through the neighbour is within half a hop penalty of the link's own metric; the
   * neighbour itself if there is none (its only interface is the primary). An answer once found stays while it fits.
   *
   * In a window that is filling the metrics run apart by more than a hop penalty, and when routes move a path's metric
   * falls for other reasons than its length: what was found before holds then, and nothing is made a router by it.
   */
  #ownerOf(link: Neighbourhood, paths: readonly OriginatorPath[], tables: Tables, now: Nanos): Mac | null {
    const { neighbour } = link;
    const penalty = (tables.mesh?.settings.hopPenalty ?? 30) / 510;
    const known = link.originator ?? this.#addresses.routerOf(neighbour);
    const own = link.tq ?? link.throughput ?? 0;
    const { blur } = link.window;
    let found: Mac | null;
    if (own > 0 && blur > own * penalty) {
      const others = paths.some(({ originator, tq }) => {
        return originator !== neighbour && originator !== this.#self && (tq ?? 0) >= own * (1 - penalty) - blur;
      });
      const alone = !others && now >= link.firstSeen + GRACE * this.#intervalNs();
      found = known ?? (alone ? neighbour : null);
      this.#addresses.note(neighbour, found, now);
      return found;
    }
    found = this.#fittingOwner(link, paths, tables);
    const remembered = this.#addresses.routerOf(neighbour);
    if (found === neighbour && remembered !== null && remembered !== neighbour) return remembered;
    this.#addresses.note(neighbour, found, now);
    return found;
  }

  #fittingOwner(link: Neighbourhood, paths: readonly OriginatorPath[], tables: Tables): Mac | null {
    const own = link.tq ?? link.throughput;
    if (own === null || own === 0) return link.originator;
    const penalty = tables.mesh?.settings.hopPenalty ?? 30;
    const least = own * (1 - penalty / 510);
    const fitting = paths.filter(
      ({ originator, tq, throughput }) =>
        originator !== link.neighbour && originator !== this.#self && (tq ?? throughput ?? 0) >= least,
    );
    if (fitting.some(({ originator }) => originator === link.originator)) return link.originator;
    if (fitting.length === 0) {
      // BATMAN_V makes no originators of secondary interfaces: then it is one only if it is listed.
      const isOriginator = paths.some(({ originator }) => originator === link.neighbour);
      return isOriginator ? link.neighbour : link.originator;
    }
    if (fitting.length === 1) return fitting[0]!.originator;
    const best = Math.max(...fitting.map(({ tq, throughput }) => tq ?? throughput ?? 0));
    const top = fitting.filter(({ tq, throughput }) => (tq ?? throughput ?? 0) === best);
    return top.length === 1 ? top[0]!.originator : null;
  }

  /**
   * The graph as one router sees it: batman-adv knows next hops, not maps. Its links, and beyond each neighbour the
   * routes that lead through it.
   */
  #edges(links: readonly LinkView[]): TopologyEdge[] {
    const self = this.#self;
    if (self === null) return [];
    const edges: TopologyEdge[] = [];
    const near = new Map<string, LinkView>();
    const direct = new Graph();
    for (const link of links) {
      near.set(link.neighbour, link);
      if (link.quality === 'BAD' && !link.carrier) continue;
      direct.addEdge(self, link.originator ?? link.neighbour, costOf(link.tq, link.throughput));
    }
    for (const [to, cost] of direct.neighbours(self)) edges.push({ from: self, to, cost, kind: 'link' });
    for (const node of this.#nodes.view()) {
      if (node.state === 'left' || node.state === 'dead' || direct.neighbours(self).has(node.originator)) continue;
      const link = near.get(node.nextHop);
      const from = link?.originator ?? node.nextHop;
      // TQ multiplies along a path; a throughput is that of its narrowest part.
      const rest = node.tq !== null && link?.tq ? Math.min(255, (255 * node.tq) / link.tq) : node.tq;
      edges.push({ from, to: node.originator, cost: costOf(rest, node.throughput), kind: 'route' });
    }
    return [...edges, ...this.#alternatives(near, edges)];
  }

  /** What neighbours offer besides the ways in use. The kernel keeps a way for minutes after it fell silent. */
  #alternatives(near: ReadonlyMap<string, LinkView>, inUse: readonly TopologyEdge[]): TopologyEdge[] {
    const tables = this.#tables;
    const known = new Set(inUse.map(({ from, to }) => `${from} ${to}`));
    const cheapest = new Map<string, TopologyEdge>();
    for (const path of tables?.originators ?? []) {
      const to = path.originator;
      const node = this.#nodes.get(to);
      const link = near.get(path.neighbour);
      if (node === undefined || node.state === 'left' || node.state === 'dead' || link === undefined) continue;
      const from = link.originator ?? link.neighbour;
      const key = `${from} ${to}`;
      if (from === to || known.has(key) || !link.carrier || link.quality === 'BAD') continue;
      if (path.tq === 0 || path.lastSeenMs > this.#silentAfterMs(tables!, path.interface)) continue;
      const rest = path.tq !== undefined && link.tq ? Math.min(255, (255 * path.tq) / link.tq) : (path.tq ?? null);
      const cost = costOf(rest, path.throughput ?? null);
      if (cost < (cheapest.get(key)?.cost ?? Number.POSITIVE_INFINITY))
        cheapest.set(key, { from, to, cost, kind: 'alternative' });
    }
    return [...cheapest.values()];
  }

  #viewOf(link: Neighbourhood): LinkView {
    return {
      interface: link.interface,
      index: link.index,
      neighbour: link.neighbour,
      kind: this.#interfaces.get(link.index)?.kind ?? null,
      originator: link.originator,
      quality: link.quality.quality,
      carrier: usable(this.#interfaces.get(link.index)),
      tq: link.tq,
      throughput: link.throughput,
      latencyNs: link.echoes.latencyNs,
      loss: lossOf(link),
      lastSeen: link.lastSeen,
      radio: this.#stations.get(keyOf(link.index, link.neighbour)) ?? null,
    };
  }

  #tell(changes: readonly NodeChange[]): Effect[] {
    const effects: Effect[] = [];
    for (const { originator, to } of changes) {
      const event = to ?? 'forgotten';
      effects.push({ type: 'metric', name: 'mesh_node_events_total', labels: { event }, value: 1 });
      const level = to === 'dead' ? 'warning' : to === 'joined' || to === 'left' ? 'info' : 'debug';
      effects.push({ type: 'log', level, message: `router ${event}`, fields: { originator } });
    }
    return effects;
  }
}

function keyOf(index: IfIndex, neighbour: Mac): string {
  return `${index} ${neighbour}`;
}

function usable(link: Link | undefined): boolean {
  return link?.up === true && link.carrier;
}

function lossOf(link: Neighbourhood): number | null {
  return link.echoes.loss ?? link.window.loss;
}

function restart(link: Neighbourhood, now: Nanos): void {
  link.window.restart(now);
  link.echoes.restart();
}

/** What our interface takes off by its hop penalty (batadv_iv_ogm_calc_tq) is no loss. */
function withoutPenalty(tq: number | null, hard: readonly HardInterface[], index: IfIndex): number | null {
  const penalty = hard.find((one) => one.index === index)?.hopPenalty ?? 0;
  return tq === null || penalty === 0 ? tq : Math.min(255, Math.round((tq * 255) / Math.max(1, 255 - penalty)));
}

/** BATMAN_V shows 0 for a throughput that it has not measured yet. */
function knownThroughput(link: Neighbourhood): number | null {
  return link.throughput === 0 ? null : link.throughput;
}

/** Expected transmissions for a TQ; the milliseconds that one Mbit takes for a throughput; 1 where nothing is known. */
function costOf(tq: number | null, throughput: number | null): number {
  if (throughput !== null) return 1e6 / Math.max(throughput, 1);
  return tq === null ? 1 : 255 / Math.max(tq, 1);
}

function changed(link: Neighbourhood, before: Quality | null): Effect[] {
  const quality = link.quality.quality;
  if (quality === before || quality === null) return [];
  const fields = { interface: link.interface, neighbour: link.neighbour, from: before, to: quality };
  const notable = before !== null && (quality === 'BAD' || before === 'BAD');
  return [
    { type: 'metric', name: 'mesh_link_quality_changes_total', labels: { to: quality }, value: 1 },
    { type: 'log', level: notable ? 'info' : 'debug', message: 'link quality changed', fields },
  ];
}

function byInterface(a: LinkView, b: LinkView): number {
  return a.interface === b.interface ? (a.neighbour < b.neighbour ? -1 : 1) : a.interface < b.interface ? -1 : 1;
}
