/**
 * Faults that show in the traffic and the tables of stations: packets that circle, a LAN joined to the mesh twice, and
 * translation tables that do not agree. The counters are read every ten seconds, so what passes by itself is not seen.
 */
import type { Event } from '../../core/event.ts';
import type { Mac } from '../../core/ids.ts';
import type { InterfaceCounters, Stations, Taken } from '../../core/kernel.ts';
import { type Nanos, SECOND } from '../../core/time.ts';
import type { Finding } from '../../core/words.ts';
import { type Ogm, TVLV_TT, tvlvsOf } from '../ogm.ts';
import { attached, neighboursOn, originatorAddress, type Surroundings } from '../surroundings.ts';
import { type About, type Detector, type FaultSpec, type Seen, Steady, Usual } from './spec.ts';

export const TRAFFIC_FAULTS: readonly FaultSpec[] = [
  {
    class: 'routing-loop',
    words: 'packets go back where they came from, and circle',
    safe: false,
    repairs: ['link-cost', 'tell'],
    rightAfterNs: 20 * SECOND,
  },
  {
    class: 'broadcast-storm',
    words: 'a LAN is joined to the mesh twice, and broadcasts circle',
    safe: false,
    repairs: ['set-feature', 'isolate', 'tell'],
    rightAfterNs: 20 * SECOND,
  },
  {
    class: 'translation-inconsistent',
    words: 'what is known of the stations behind a router is not what it says of them',
    safe: false,
    repairs: ['tell'],
    rightAfterNs: 120 * SECOND,
  },
  {
    class: 'address-taken',
    words: "another router announces this router's own address, and gets what is sent to it",
    safe: true,
    repairs: ['announce'],
    lasting: true,
    rightAfterNs: 10 * SECOND,
  },
];

export const COUNTERS_EVERY: Nanos = 10 * SECOND;
const HISTORY: Nanos = 1800 * SECOND;
const SETTLED: Nanos = 300 * SECOND;
/** A storm: so many packets a second through bat0, and so many times the usual; fewer times where as much goes as comes. */
const STORM_LEAST = 400;
const STORM_TIMES = 10;
const STORM_TIMES_ALIKE = 4;
/** What circles comes as often, and as large, as it goes. */
const ALIKE = 1.5;
const DISPUTED_FOR: Nanos = 30 * SECOND;
/** Packets a second that come back by the cable they went by, beyond what OGMs make. */
const CIRCLING = 200;
const OGMS_A_ROUTER = 4;

interface Rates {
  readonly rx: number;
  readonly tx: number;
  readonly rxSize: number;
  readonly txSize: number;
  /** Of what came in; drivers need not count it, and batman-adv does not. */
  readonly multicast: number;
}

export class TrafficDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['counters', 'stations', 'held'];
  readonly #around: Surroundings;
  readonly #storm = new Steady('broadcast-storm', 0, 2, 15 * SECOND);
  readonly #loop = new Steady('routing-loop', 8 * SECOND, 2, 15 * SECOND);
  readonly #usual = new Usual(HISTORY);
  /** When the first figure was learned. */
  #since: Nanos | null = null;
  #before: { readonly at: Nanos; readonly rows: ReadonlyMap<string, InterfaceCounters> } | null = null;
  #disputes: { readonly at: Nanos; readonly stations: Stations } | null = null;
  #wantsStations = false;
  /** A repair keeps the circle open: whether the LANs are still joined shows in who is heard there. */
  #isHeld = false;
  /** The last counters may be those of a storm that is not told yet. */
  #suspects = false;
  #wantsCounters = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type === 'stations') {
      this.#disputes = { at: now, stations: event.stations };
      this.#wantsCounters = this.#suspects;
      return [];
    }
    if (event.type === 'held' && event.what.endsWith(' bridgeLoopAvoidance')) this.#isHeld = !event.returned;
    if (event.type !== 'counters') return [];
    this.#wantsStations = this.#isHeld;
    this.#suspects = this.#wantsCounters = false;
    const rows = new Map(event.interfaces.map((row) => [row.name, row]));
    const before = this.#before;
    this.#before = { at: now, rows };
    const { mesh } = this.#around;
    // Of two readings close together, or far apart after a pause, no rate can be told.
    const dt = before === null ? 0 : (now - before.at) / SECOND;
    if (before === null || mesh === null || dt < 1 || dt > 6 * (COUNTERS_EVERY / SECOND)) return [];
    const rates = new Map<string, Rates>();
    for (const [name, row] of rows) {
      const old = before.rows.get(name);
      if (old !== undefined) rates.set(name, ratesOf(old, row, dt));
    }
    const bat = rates.get(mesh.name);
    if (bat === undefined) return [];
    const bridge = rates.get(this.#around.links.get(mesh.master)?.name ?? '');
    return [
      ...this.#judgeStorm(bat, isToAll(bat, bridge), mesh.name, mesh.index, now),
      ...this.#judgeLoops(bat, rates, now),
    ];
  }

  /** What goes round leaves nothing to anybody: stations are looked at next, and then the counters, out of turn. */
  wish() {
    const of = this.#wantsStations ? 'stations' : this.#wantsCounters ? 'counters' : null;
    this.#wantsStations = this.#wantsCounters = false;
    return of === null ? null : ({ of, interfaces: [] } as const);
  }

  /** `toAll`: most of it is sent to everybody. */
  #judgeStorm({ rx, tx, rxSize, txSize }: Rates, toAll: boolean, name: string, index: number, now: Nanos): Finding[] {
    const about: About = { interface: name, index, peer: null };
    const usual = this.#usual.value ?? 0;
    // What is sent to all goes round both ways, though hardly as often: each way loses by itself.
    const bothAlike = toAll || (alike(rx, tx) && alike(rxSize, txSize));
    const least = Math.max(STORM_LEAST, (bothAlike ? STORM_TIMES_ALIKE : STORM_TIMES) * usual);
    const figures = `${Math.round(rx)} packets a second come by ${name} and ${Math.round(tx)} go; the usual is ${Math.round(usual)}`;
    if (Math.max(rx, tx) < least) {
      this.#learn(Math.max(rx, tx), now);
      return this.#storm.read(about, figures, now);
    }
    const looked = this.#disputes !== null && now - this.#disputes.at < DISPUTED_FOR;
    const disputed = looked ? this.#disputes!.stations.disputed : [];
    // What is known of it is kept fresh while it lasts.
    this.#wantsStations ||= disputed.length === 0 || now - this.#disputes!.at > DISPUTED_FOR / 3;
    this.#suspects = this.#wantsStations && !this.#storm.isOpen(about);
    const settings = this.#around.tables?.mesh?.settings;
    const off = settings?.bridgeLoopAvoidance === false;
    const bothWays = Math.min(rx, tx) >= least && bothAlike;
    // A circle may be closed in one direction only; then it is who comes from both sides that tells it from a download.
    // And stations that are announced by two routers in turn, within a second, are disputed in no reading.
    const isCircle = (bothWays && (disputed.length > 0 || toAll)) || (off && disputed.length > 0);
    if (!isCircle) {
      if (looked) this.#learn(Math.max(rx, tx), now);
      else this.#usual.skip(now);
      return this.#storm.read(about, figures, now);
    }
    this.#usual.skip(now);
    const who =
      disputed.length > 0
        ? `${disputed.length} stations here are announced by others too, ${disputed[0]![0]} by ${disputed[0]![1]}`
        : 'most of them are sent to all';
    const self = originatorAddress(this.#around);
    const affected = [...new Set([...disputed.map(([, router]) => router), ...(self === null ? [] : [self])])];
    const set = (on: boolean) => ({ kind: 'set-mesh', mesh: name, settings: { bridgeLoopAvoidance: on } }) as const;
    const remedy = off ? { remedy: { change: set(true), undo: set(false) } } : {};
    const seen = { confidence: 0.9, source: 'counters', what: `${figures}; ${who}`, affected, ...remedy };
    return this.#storm.read(about, seen, now);
  }

  /** An agent that has just begun would take the first storm for what is usual. */
  #learn(figure: number, now: Nanos): void {
    const { value } = this.#usual;
    this.#since ??= now;
    const isMuch = value !== null && figure >= Math.max(STORM_LEAST, STORM_TIMES_ALIKE * value);
    if (isMuch && now - this.#since < SETTLED) this.#usual.skip(now);
    else this.#usual.learn(figure, now);
  }

  /** On a cable with one neighbour nothing that came from it has to go back to it. */
  #judgeLoops(bat: Rates, rates: ReadonlyMap<string, Rates>, now: Nanos): Finding[] {
    const findings: Finding[] = [];
    const hard = attached(this.#around);
    const routers = new Set((this.#around.tables?.originators ?? []).map(({ originator }) => originator)).size;
    for (const link of hard) {
      const own = rates.get(link.name);
      if (own === undefined || neighboursOn(this.#around, link.index).length !== 1) continue;
      let others = bat.rx + bat.tx;
      for (const { name } of hard)
        if (name !== link.name) others += (rates.get(name)?.rx ?? 0) + (rates.get(name)?.tx ?? 0);
      const circling = Math.min(own.rx, own.tx) - others;
      const about: About = { interface: link.name, index: link.index, peer: null };
      const figures = `${Math.round(own.rx)} packets a second come by ${link.name} and ${Math.round(own.tx)} go back by it, ${Math.round(others)} by all else`;
      const isLoop = circling >= CIRCLING + OGMS_A_ROUTER * routers && circling >= 0.5 * Math.min(own.rx, own.tx);
      findings.push(
        ...this.#loop.read(about, isLoop ? { confidence: 0.8, source: 'counters', what: figures } : figures, now),
      );
    }
    return [...findings, ...this.#loop.sweep(now - 60 * SECOND, 'the interface is out of the mesh')];
  }
}

function ratesOf(old: InterfaceCounters, row: InterfaceCounters, dt: number): Rates {
  // Counters that ran over, or an interface made anew, give nothing.
  const per = (a: number, b: number) => Math.max(0, b - a) / dt;
  const rx = per(old.rxPackets, row.rxPackets);
  const tx = per(old.txPackets, row.txPackets);
  return {
    rx,
    tx,
    rxSize: per(old.rxBytes, row.rxBytes) / (rx || 1),
    txSize: per(old.txBytes, row.txBytes) / (tx || 1),
    multicast: per(old.rxMulticast, row.rxMulticast),
  };
}

/**
 * What goes to all the bridge above gets too, whichever way it goes, and sends none of it itself; what is for one it only passes
 * on (net/bridge/br_input.c). Of multicasts it keeps a count, and of broadcasts none.
 */
function isToAll({ rx, tx, multicast }: Rates, bridge: Rates | undefined): boolean {
  if (Math.max(multicast, bridge?.multicast ?? 0) >= rx / 2) return true;
  // No more than that either: what a router forwards to elsewhere its bridge gets too.
  const isSum = bridge !== undefined && alike(bridge.rx, rx + tx);
  return isSum && bridge.tx < tx / 2;
}

function alike(a: number, b: number): boolean {
  return Math.max(a, b) <= ALIKE * Math.min(a, b);
}

export const STATIONS_EVERY: Nanos = 60 * SECOND;
/** Three readings in a row that do not fit, for one router: no race between an OGM and a table is so constant. */
const MISFITS = 3;

export class TranslationDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['stations'];
  readonly #ogmOf: (originator: Mac) => Ogm | undefined;
  readonly #misfit = new Steady('translation-inconsistent', 20 * SECOND, MISFITS, 0);
  #again = 0;

  /** `ogmOf`: the newest OGM of a router that this one forwarded. */
  constructor(ogmOf: (originator: Mac) => Ogm | undefined) {
    this.#ogmOf = ogmOf;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type !== 'stations') return [];
    const findings: Finding[] = [];
    this.#again = 0;
    for (const { originator, ttvn, vlans } of event.stations.tables) {
      const said = announced(this.#ogmOf(originator));
      if (said === null) continue;
      const wrong =
        said.ttvn === ttvn
          ? vlans.filter(([vid, crc]) => said.vlans.has(vid) && said.vlans.get(vid) !== crc).length
          : 0;
      const about: About = { interface: '', index: 0, peer: originator };
      if (said.ttvn === ttvn && wrong === 0) {
        findings.push(...this.#misfit.read(about, `both are at version ${ttvn}`, now));
        continue;
      }
      const what =
        said.ttvn === ttvn
          ? `of version ${ttvn} ${wrong} of ${vlans.length} checksums differ from what it announces`
          : `our table of its stations is at version ${ttvn}, it announces ${said.ttvn}`;
      this.#again += 1;
      findings.push(...this.#misfit.read(about, { confidence: 0.85, source: 'translation tables', what }, now));
    }
    return [...findings, ...this.#misfit.sweep(now - 3 * STATIONS_EVERY, 'the router is gone')];
  }

  wish() {
    if (this.#again === 0) return null;
    this.#again = 0;
    return { of: 'stations', interfaces: [] } as const;
  }
}

/** So often stations are looked at after what kept a circle open was given back: only now others' word of them counts again. */
const LOOKS_AFTER = 6;
/** And after a frame has been sent: whether it has helped. */
const LOOKS_MENDED = 2;
const HOUR: Nanos = 3600 * SECOND;
/**
 * Two routers that have one address take it from each other for ever, and a neighbour can announce whatever it likes under ever
 * new names: after so many within the hour it is told, and answered, at most once in TOLD_AGAIN.
 */
const MOST_TOLD = 12;
const TOLD_AGAIN: Nanos = 300 * SECOND;

/** This router's own addresses among another's stations: a circle through a LAN has carried its frames there. */
export class AddressDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['stations', 'held', 'fault'];
  readonly #around: Surroundings;
  readonly #taken = new Steady('address-taken', 0, 2, 0);
  #by: readonly Mac[] = [];
  /** When it was told within the hour, the oldest first. */
  #told: Nanos[] = [];
  #looks = 0;
  #wants = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type === 'held') {
      if (event.returned && /(bridgeLoopAvoidance|master)$/.test(event.what)) this.#looks = LOOKS_AFTER;
      this.#wants = this.#looks > 0;
      return [];
    }
    // Told again, it is mended again.
    if (event.type === 'fault' && event.fault.class === 'address-taken') {
      this.#looks = Math.max(this.#looks, LOOKS_MENDED);
      this.#wants = true;
      return [];
    }
    const { mesh } = this.#around;
    if (event.type !== 'stations' || mesh === null) return [];
    const taken = Map.groupBy(event.stations.taken ?? [], ({ originator }) => originator);
    const isNew = [...taken.keys()].some((peer) => !this.#by.includes(peer));
    // What stays taken whatever is done is looked at as often as stations usually are: it may be many thousands of rows.
    this.#looks = isNew && this.#mayTell(now) ? LOOKS_AFTER : Math.max(0, this.#looks - 1);
    this.#wants = this.#looks > 0;
    const known = new Set([...this.#by, ...taken.keys()]);
    this.#by = [...taken.keys()];
    return [...known].flatMap((peer) => this.#judge({ interface: mesh.name, index: mesh.index, peer }, taken, now));
  }

  #judge(about: About & { peer: Mac }, taken: ReadonlyMap<Mac, readonly Taken[]>, now: Nanos): Finding[] {
    const seen = seenOf(about.peer, taken.get(about.peer), this.#told.length);
    if (typeof seen === 'string') return this.#taken.read(about, seen, now);
    if (this.#taken.isOpen(about) || !this.#mayTell(now)) return [];
    const findings = this.#taken.read(about, seen, now);
    if (findings.length > 0) this.#told.push(now);
    return findings;
  }

  #mayTell(now: Nanos): boolean {
    this.#told = this.#told.filter((at) => now - at < HOUR);
    return this.#told.length < MOST_TOLD || now - this.#told.at(-1)! >= TOLD_AGAIN;
  }

  wish() {
    if (!this.#wants) return null;
    this.#wants = false;
    return { of: 'stations', interfaces: [] } as const;
  }
}

/** `before`: how often the like was told within the hour. */
function seenOf(peer: Mac, rows: readonly Taken[] | undefined, before: number): Seen | string {
  if (rows === undefined) return `${peer} announces none of this router's own addresses any more`;
  const affected = [...new Set(rows.map(({ station }) => station))];
  const often = before < MOST_TOLD - 1 ? '' : `, ${before + 1} times within the hour: do two routers have one address?`;
  const what = `${peer} announces ${affected.join(' and ')}, which is this router's own${often}`;
  return { confidence: 0.95, source: 'translation tables', what, affected };
}

/** The translation table's version and checksums as an OGM tells them (struct batadv_tvlv_tt_data). */
function announced(ogm: Ogm | undefined): { ttvn: number; vlans: Map<number, number> } | null {
  const table = ogm && tvlvsOf(ogm).get(TVLV_TT);
  if (table === undefined || table.length < 4) return null;
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const vlans = new Map<number, number>();
  const count = view.getUint16(2);
  for (let i = 0, at = 4; i < count && at + 8 <= table.length; i++, at += 8)
    vlans.set(view.getUint16(at + 4), view.getUint32(at));
  return { ttvn: table[1]!, vlans };
}
