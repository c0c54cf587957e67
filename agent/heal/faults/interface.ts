/** Faults of interfaces: those of the mesh, and the mesh interface itself. */
import type { Event } from '../../core/event.ts';
import type { IfIndex } from '../../core/ids.ts';
import { type Nanos, SECOND } from '../../core/time.ts';
import type { Finding } from '../../core/words.ts';
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
    words: 'somebody on the interface speaks another routing protocol, and neither understands the other',
    safe: false,
    repairs: ['tell'],
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
/** Packet types of batman-adv (include/uapi/linux/batadv_packet.h) that only one of its protocols sends. */
const IV_OGM = 0x00;
const ELP = 0x03;
const OGM2 = 0x04;
const COMPAT_VERSION = 15;
/** Frames of a kind that are no accident. */
const ENOUGH = 2;

/** Where nobody is heard on a live interface, what is spoken there? */
export class MismatchDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables', 'overheard'];
  readonly #around: Surroundings;
  readonly #foreign = new Steady('mesh-mismatch', 0, 1, 0);
  readonly #alone = new Map<IfIndex, { since: Nanos; listened: Nanos }>();
  #listen: IfIndex[] = [];

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type === 'overheard') return this.#heard(event, now);
    if (!this.#around.started || this.#around.tables?.mesh == null) return [];
    const findings: Finding[] = [];
    const present = new Set<IfIndex>();
    for (const { index, name, up, carrier } of attached(this.#around)) {
      if (!up || !carrier || neighboursOn(this.#around, index).length > 0) {
        findings.push(...this.#foreign.end({ interface: name, index, peer: null }, 'a neighbour is heard'));
        continue;
      }
      // One that never goes away has nobody on it.
      if (isPrimary(this.#around, name)) continue;
      present.add(index);
      const alone = this.#alone.get(index) ?? { since: now, listened: Number.NEGATIVE_INFINITY };
      this.#alone.set(index, alone);
      if (now - alone.since < ALONE || now - alone.listened < LISTEN_AGAIN) continue;
      alone.listened = now;
      this.#listen.push(index);
    }
    for (const index of this.#alone.keys()) if (!present.has(index)) this.#alone.delete(index);
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
    if (link === undefined || !mesh || neighboursOn(this.#around, index).length > 0) return [];
    const about: About = { interface: link.name, index, peer: null };
    const own = mesh.algorithm === 'BATMAN_V' ? [ELP, OGM2] : [IV_OGM];
    const other = mesh.algorithm === 'BATMAN_V' ? [IV_OGM] : [ELP, OGM2];
    const strange = heard.filter(({ version }) => version !== COMPAT_VERSION);
    const foreign = heard.filter(({ type, version }) => version === COMPAT_VERSION && other.includes(type));
    if (heard.some(({ type, version }) => version === COMPAT_VERSION && own.includes(type)))
      return this.#foreign.end(about, `somebody speaks ${mesh.algorithm} there`);
    const said = strange.length > foreign.length ? strange : foreign;
    if (said.length < ENOUGH) return this.#foreign.end(about, 'nothing foreign is heard');
    const protocol = mesh.algorithm === 'BATMAN_V' ? 'BATMAN_IV' : 'BATMAN_V';
    const which = said === strange ? `version ${said[0]!.version} of the protocol, not ${COMPAT_VERSION}` : protocol;
    const what = `${said[0]!.source} speaks ${which} there, and nobody ${mesh.algorithm}: ${said.length} frames heard`;
    return this.#foreign.read(about, { confidence: 0.95, source: 'air', what }, now);
  }
}
