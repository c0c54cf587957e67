/** Faults of interfaces: those of the mesh, and the mesh interface itself. */
import type { Event } from '../../core/event.ts';
import type { IfIndex, Mac } from '../../core/ids.ts';
import type { MeshSettings, Overheard, RoutingAlgorithm } from '../../core/kernel.ts';
import { type Nanos, SECOND } from '../../core/time.ts';
import type { Finding } from '../../core/words.ts';
import { IV_OGM, type Ogm, TVLV_TT, tvlvsOf } from '../ogm.ts';
import { attached, isPrimary, neighboursOn, type Surroundings } from '../surroundings.ts';
import { type About, type Detector, type FaultSpec, type Seen, Steady } from './spec.ts';

export const INTERFACE_FAULTS: readonly FaultSpec[] = [
  {
    class: 'interface-vanished',
    words: 'the interface disappeared',
    safe: true,
    repairs: ['kick'],
    begins: ['vanished', 1, 'rtnetlink'],
    ends: 'appeared',
    rightAfterNs: SECOND,
  },
  {
    class: 'interface-fell-out',
    words: 'the interface fell out of the mesh, or was given to another bridge',
    safe: true,
    repairs: ['kick', 'reattach'],
    begins: ['left-mesh', 1, 'rtnetlink'],
    ends: 'joined-mesh',
    lasting: true,
    rightAfterNs: SECOND,
  },
  {
    class: 'mesh-vanished',
    words: 'the mesh interface disappeared',
    safe: true,
    repairs: ['recreate-mesh'],
    begins: ['mesh-gone', 1, 'rtnetlink'],
    ends: 'mesh-back',
    lasting: true,
    rightAfterNs: 2 * SECOND,
  },
  {
    class: 'mesh-misconfigured',
    words: 'the mesh interface is there, and cannot carry traffic as it did',
    safe: false,
    repairs: ['restore', 'tell'],
    lasting: true,
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'mtu-trouble',
    words: 'frames of full size do not fit through an interface',
    safe: false,
    repairs: ['set-feature', 'restore', 'tell'],
    lasting: true,
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'mesh-mismatch',
    words: 'a neighbour speaks another routing protocol, or lacks a feature that is on here',
    safe: false,
    repairs: ['set-feature', 'tell'],
    rightAfterNs: 60 * SECOND,
  },
];

/** netifd, or a person at work, needs a moment. */
const SETTLING: Nanos = 4 * SECOND;

/** bat0 is down, or has left its bridge, and neither was so before. */
export class MisconfiguredDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables', 'held'];
  readonly #around: Surroundings;
  readonly #state = new Steady('mesh-misconfigured', SETTLING, 2, 0);
  #index: IfIndex = 0;
  #wasUp = false;
  #bridge = '';
  /** Its master is ours to change, for now. */
  #isOurs = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    const { mesh, links, started, settings } = this.#around;
    if (event.type === 'held') {
      if (event.what === `${settings.meshInterface} master`) this.#isOurs = !event.returned;
      return [];
    }
    if (mesh === null) {
      this.#index = 0;
      return this.#state.sweep(now, 'the mesh interface is gone');
    }
    if (!started) return [];
    if (mesh.index !== this.#index) {
      // Whoever made it decides what it is like.
      this.#index = mesh.index;
      this.#wasUp = mesh.up;
      this.#bridge = '';
    }
    this.#wasUp ||= mesh.up;
    if (mesh.master !== 0) this.#bridge = links.get(mesh.master)?.name ?? '';
    const about: About = { interface: mesh.name, index: mesh.index, peer: null };
    return this.#state.read(about, this.#judge(mesh.name, mesh.up, mesh.master), now);
  }

  #judge(name: string, up: boolean, master: IfIndex): Seen | string {
    if (this.#wasUp && !up) {
      const remedy = {
        change: { kind: 'set-up', interface: name, up: true },
        undo: { kind: 'set-up', interface: name, up: false },
      } as const;
      return { confidence: 0.9, source: 'rtnetlink', what: `${name} was set down`, remedy };
    }
    if (this.#bridge !== '' && master === 0 && !this.#isOurs) {
      const exists = [...this.#around.links.values()].some((link) => link.name === this.#bridge);
      if (!exists) return `${this.#bridge} is gone`;
      const remedy = {
        change: { kind: 'set-master', interface: name, master: this.#bridge },
        undo: { kind: 'set-master', interface: name, master: null },
      } as const;
      return { confidence: 0.8, source: 'rtnetlink', what: `${name} was taken out of ${this.#bridge}`, remedy };
    }
    return `${name} is up, and where it was`;
  }
}

/** Are frames of full size lost on an interface of this MTU? */
export function isTooSmall(mtu: number, { mesh, tables }: Surroundings): boolean {
  return mesh !== null && tables?.mesh?.settings.fragmentation === false && mtu < mesh.mtu + OVERHEAD;
}

/** What batman-adv puts in front of a frame (batadv_max_header_len, with the Ethernet header it carries). */
const OVERHEAD = 32;

/** An interface that is too small for a whole frame, where nobody may cut one in two. */
export class MtuDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables'];
  readonly #around: Surroundings;
  readonly #small = new Steady('mtu-trouble', 2 * SETTLING, 3, 0);
  /** The last MTU of each interface that sufficed. */
  readonly #sufficed = new Map<IfIndex, number>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(_event: Event, now: Nanos): readonly Finding[] {
    const { mesh, tables, started } = this.#around;
    if (!started || mesh === null || !tables?.mesh) return this.#small.sweep(now, 'the mesh interface is gone');
    const { fragmentation } = tables.mesh.settings;
    const needed = mesh.mtu + OVERHEAD;
    const findings: Finding[] = [];
    for (const index of this.#sufficed.keys()) if (!this.#around.links.has(index)) this.#sufficed.delete(index);
    for (const link of attached(this.#around)) {
      if (neighboursOn(this.#around, link.index).length === 0) continue;
      const about: About = { interface: link.name, index: link.index, peer: null };
      if (link.mtu >= needed) this.#sufficed.set(link.index, link.mtu);
      if (fragmentation || link.mtu >= needed) {
        const how = fragmentation ? 'frames are cut in two where they do not fit' : `its MTU is ${link.mtu}`;
        findings.push(...this.#small.read(about, how, now));
        continue;
      }
      const what = `its MTU is ${link.mtu}; ${mesh.name}, with ${mesh.mtu}, needs ${needed}, and fragmentation is off`;
      const cut = (on: boolean) => ({ kind: 'set-mesh', mesh: mesh.name, settings: { fragmentation: on } }) as const;
      const size = (mtu: number) => ({ kind: 'set-mtu', interface: link.name, mtu }) as const;
      const before = this.#sufficed.get(link.index);
      const remedy =
        before === undefined ? { change: cut(true), undo: cut(false) } : { change: size(before), undo: size(link.mtu) };
      findings.push(...this.#small.read(about, { confidence: 0.9, source: 'rtnetlink', what, remedy }, now));
    }
    return [...findings, ...this.#small.sweep(now, 'the interface is out of the mesh')];
  }
}

const ALONE: Nanos = 30 * SECOND;
const LISTEN_AGAIN: Nanos = 600 * SECOND;
/** Where somebody foreign was heard beside others: more than once, and for a while. */
const LISTEN_SOON: Nanos = 60 * SECOND;
const FOREIGN_FOR: Nanos = 100 * SECOND;
const MOST_FOREIGN = 8;
/** Packet types of batman-adv (include/uapi/linux/batadv_packet.h) that only one of its protocols sends. */
const ELP = 0x03;
const OGM2 = 0x04;
const COMPAT_VERSION = 15;
/** Frames of a kind that are no accident. */
const ENOUGH = 2;

interface Listening {
  isAlone: boolean;
  since: Nanos;
  listened: Nanos;
  /** Who spoke something else there when it was listened to last. */
  foreign: readonly Mac[];
}

/** What is spoken on an interface that we do not understand: the kernel drops it without a word. */
export class MismatchDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables', 'overheard'];
  readonly #around: Surroundings;
  readonly #alone = new Steady('mesh-mismatch', 0, 1, 0);
  readonly #beside = new Steady('mesh-mismatch', FOREIGN_FOR, 3, 0);
  readonly #listening = new Map<IfIndex, Listening>();
  #listen: IfIndex[] = [];

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type === 'overheard') return this.#heard(event, now);
    if (!this.#around.started || this.#around.tables?.mesh == null) return [];
    const findings = [this.#alone, this.#beside].flatMap((one) =>
      one.sweep(now - 2 * LISTEN_AGAIN, 'it cannot be listened to any more'),
    );
    const present = new Set<IfIndex>();
    for (const { index, name, up, carrier } of attached(this.#around)) {
      const isAlone = neighboursOn(this.#around, index).length === 0;
      const about: About = { interface: name, index, peer: null };
      if (!isAlone) findings.push(...this.#alone.end(about, 'a neighbour is heard'));
      else if (!up || !carrier) findings.push(...this.#alone.lose(about, 'nothing can be heard there'));
      // One that never goes away has nobody on it.
      if (!up || !carrier || (isAlone && isPrimary(this.#around, name))) continue;
      present.add(index);
      let one = this.#listening.get(index);
      if (one?.isAlone !== isAlone) {
        one = { isAlone, since: now, listened: Number.NEGATIVE_INFINITY, foreign: one?.foreign ?? [] };
        this.#listening.set(index, one);
      }
      const isOpen = one.foreign.every((peer) => this.#beside.isOpen({ ...about, peer }));
      const pause = isAlone || isOpen ? LISTEN_AGAIN : LISTEN_SOON;
      if (now - one.since < (isAlone ? ALONE : LISTEN_AGAIN / 2) || now - one.listened < pause) continue;
      one.listened = now;
      this.#listen.push(index);
    }
    for (const index of this.#listening.keys()) if (!present.has(index)) this.#listening.delete(index);
    return findings;
  }

  wish() {
    const interfaces = this.#listen;
    if (interfaces.length === 0) return null;
    this.#listen = [];
    return { of: 'air', interfaces } as const;
  }

  #heard({ interface: index, heard }: Extract<Event, { type: 'overheard' }>, now: Nanos): readonly Finding[] {
    const link = this.#around.links.get(index);
    const mesh = this.#around.tables?.mesh;
    if (link === undefined || !mesh) return [];
    const about: About = { interface: link.name, index, peer: null };
    const [own, other] = mesh.algorithm === 'BATMAN_V' ? [V, IV] : [IV, V];
    const isOwn = ({ type, version }: Overheard) => version === COMPAT_VERSION && own.includes(type);
    const isForeign = ({ type, version }: Overheard) => version !== COMPAT_VERSION || other.includes(type);
    const isAlone = neighboursOn(this.#around, index).length === 0;
    const isUnderstood = !isAlone || heard.some(isOwn);
    // Who speaks both is understood.
    const understood = new Set(heard.filter(isOwn).map(({ source }) => source));
    const said = heard.filter((one) => isForeign(one) && !understood.has(one.source));
    return [
      ...(isUnderstood
        ? this.#alone.end(about, `somebody speaks ${mesh.algorithm} there`)
        : this.#judgeAlone(about, said, mesh.algorithm, now)),
      ...(isUnderstood ? this.#judgeBeside(about, said, mesh.algorithm, now) : []),
    ];
  }

  #judgeAlone(about: About, said: readonly Overheard[], algorithm: RoutingAlgorithm, now: Nanos): Finding[] {
    if (said.length < ENOUGH) return this.#alone.end(about, 'nothing foreign is heard');
    const what = `${said[0]!.source} speaks ${tongueOf(said, algorithm)} there, and nobody ${algorithm}: ${said.length} frames heard`;
    return this.#alone.read(about, { confidence: 0.95, source: 'air', what }, now);
  }

  /** Each of those that speak something else is a fault of its own, among others that do not. */
  #judgeBeside(about: About, said: readonly Overheard[], algorithm: RoutingAlgorithm, now: Nanos): Finding[] {
    const one = this.#listening.get(about.index);
    if (one === undefined) return [];
    const of = (peer: Mac) => said.filter(({ source }) => source === peer);
    const foreign = [...new Set(said.map(({ source }) => source))].filter((peer) => of(peer).length >= ENOUGH);
    const gone = one.foreign.filter((peer) => !foreign.includes(peer));
    // Who was there before goes first: new ones, however many, do not push him out.
    one.foreign = [...one.foreign.filter((peer) => foreign.includes(peer)), ...foreign]
      .filter((peer, n, all) => all.indexOf(peer) === n)
      .slice(0, MOST_FOREIGN);
    return [
      ...gone.flatMap((peer) =>
        this.#beside.read({ ...about, peer }, 'it is not heard to speak anything else now', now),
      ),
      ...one.foreign.flatMap((peer) => {
        const what = `it speaks ${tongueOf(of(peer), algorithm)} beside routers that speak ${algorithm}: neither understands the other`;
        return this.#beside.read({ ...about, peer }, { confidence: 0.9, source: 'air', what }, now);
      }),
    ];
  }
}

const IV: readonly number[] = [IV_OGM];
const V: readonly number[] = [ELP, OGM2];

function tongueOf(said: readonly Overheard[], algorithm: RoutingAlgorithm): string {
  const strange = said.find(({ version }) => version !== COMPAT_VERSION);
  if (strange !== undefined) return `version ${strange.version} of the protocol, not ${COMPAT_VERSION}`;
  return algorithm === 'BATMAN_V' ? 'BATMAN_IV' : 'BATMAN_V';
}

/** A feature of batman-adv that a router announces with each OGM, and the setting that has it here. */
const FEATURES = [
  {
    setting: 'distributedArpTable',
    words: 'distributed ARP table',
    tvlv: 0x02,
    isOn: (mesh: MeshSettings) => mesh.distributedArpTable,
    off: false,
  },
  {
    setting: 'multicastForceflood',
    words: 'multicast optimisations',
    tvlv: 0x06,
    // Where the kernel was built without them it tells no fan-out.
    isOn: (mesh: MeshSettings) => !mesh.multicastForceflood && mesh.multicastFanout > 0,
    off: true,
  },
] as const;
/** A neighbour for so long is one to reckon with. */
const LASTING: Nanos = 600 * SECOND;
const LACKS_FOR: Nanos = 60 * SECOND;
const LACKS_READINGS = 10;

interface Announcer {
  readonly since: Nanos;
  /** What it has ever announced: who turned a feature off does not lack it. */
  readonly had: Set<number>;
}

/**
 * A feature that is on here and that a lasting neighbour does not have. batman-adv gets along with that, so it is told, and
 * turned off only where no neighbour at all has it: else a single old router would turn it off in the whole mesh, one after
 * the other. Under BATMAN_IV, whose OGMs we hear.
 */
export class FeatureDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['links'];
  readonly #around: Surroundings;
  readonly #ogmOf: (originator: Mac) => Ogm | undefined;
  readonly #lacking = new Steady('mesh-mismatch', LACKS_FOR, LACKS_READINGS, 0);
  readonly #announcers = new Map<Mac, Announcer>();

  /** `ogmOf`: the newest OGM of a router that this one forwarded. */
  constructor(around: Surroundings, ogmOf: (originator: Mac) => Ogm | undefined) {
    this.#around = around;
    this.#ogmOf = ogmOf;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    const mesh = this.#around.tables?.mesh;
    if (event.type !== 'links' || mesh == null) return [];
    const present = new Set(event.links.flatMap(({ originator }) => originator ?? []));
    for (const originator of this.#announcers.keys()) if (!present.has(originator)) this.#announcers.delete(originator);
    for (const originator of present) {
      const ogm = this.#ogmOf(originator);
      const announced = ogm && tvlvsOf(ogm);
      if (!announced?.has(TVLV_TT)) continue;
      const known = this.#announcers.get(originator) ?? { since: now, had: new Set() };
      for (const { tvlv } of FEATURES) if (announced.has(tvlv)) known.had.add(tvlv);
      this.#announcers.set(originator, known);
    }
    const lasting = [...this.#announcers].filter(([, { since }]) => now - since >= LASTING);
    const findings = FEATURES.flatMap(({ setting, words, tvlv, isOn, off }) => {
      if (!isOn(mesh.settings)) return [];
      const lacks = lasting.filter(([, { had }]) => !had.has(tvlv));
      const isAll = lacks.length === this.#announcers.size;
      return lacks.flatMap(([peer]) => {
        // What could be done about it changes with who else is there.
        const about = { interface: mesh.name, index: mesh.index, peer, part: `${setting}${isAll ? ' of all' : ''}` };
        const set = (value: boolean) =>
          ({ kind: 'set-mesh', mesh: mesh.name, settings: { [setting]: value } }) as const;
        const remedy = isAll ? { remedy: { change: set(off), undo: set(!off) } } : {};
        const others = isAll ? 'nor has any other neighbour' : 'others have it';
        const what = `it announces no ${words}, and here that is on; ${others}`;
        return this.#lacking.read(about, { confidence: 0.8, source: 'OGMs', what, ...remedy }, now);
      });
    });
    return [...findings, ...this.#lacking.sweep(now, 'it is no longer so')];
  }
}
