/**
 * The beacon machine: sends this router's beacons in its slot of the common time, takes in the neighbours', and says when
 * one of them has fallen silent. Who sends when is decided in slots.ts, what time it is in clock.ts, who is alive in
 * liveness.ts; WIRE.md draws the frames.
 */
import type { Effect } from '../core/effect.ts';
import { asAgentError } from '../core/errors.ts';
import type { Event, HealSettings, Tables } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Symptom } from '../core/words.ts';
import { type Entry, Ring } from '../heal/ring.ts';
import { isBeacon, VERSION } from '../heal/wire.ts';
import { Clock } from './clock.ts';
import {
  airBeaconKey,
  type BeaconKey,
  type Beacon as BeaconWord,
  beaconKey,
  decodeFrame,
  encodeBeacon,
  encodeProbe,
  keyOf as keyIn,
  MOST_REPORTED,
  type Probe,
  shortName,
} from './frame.ts';
import { Liveness } from './liveness.ts';
import { Ports } from './ports.ts';
import type { BeaconSettings } from './profile.ts';
import { hash, MOST_NEIGHBOURS, Slots } from './slots.ts';

/** Beacons planned for another time than this around their arrival are replayed, where both follow the same root. */
const REPLAY_WINDOW: Nanos = 10 * SECOND;
/** Superframes that two routers of one mesh time may count apart, and one to spare. */
const ROOT_AHEAD = 2;
/** Own beacons whose time of leaving is remembered, by interface. */
const REMEMBERED = 8;
/** Questions answered in a second. Those of who sends no beacons may be recordings: they leave the others theirs. */
const MOST_ANSWERS = { known: 200, strangers: 50 };
/** Questions that are open; the oldest are forgotten first. */
const QUESTIONS = 1024;
/** Beacons that a neighbour may miss, heard in other ways, until its agent counts as gone. */
const AGENT_GONE = 8;
/** Two OGMs are further apart: batman-adv's shortest interval is 40 ms, and its jitter. */
const SAME_OGM: Nanos = 30 * MS;
/** A neighbour that has not been heard for so long is no longer waited for. */
const GIVEN_UP: Nanos = 300 * SECOND;
/** Beacons that the shown jitter is taken from. */
const SHOWN = 100;

interface Neighbour {
  readonly interface: IfIndex;
  readonly address: Mac;
  readonly node: Mac;
  readonly name: number;
  epoch: number;
  seq: number;
  /** Of the youngest key that it has sealed with: under a younger one it may count anew. */
  serial: number;
  stride: number;
  slot: number;
  /** When its last two beacons arrived. */
  arrivals: { readonly seq: number; readonly at: Nanos }[];
  /** One bit a beacon of the last sixteen, the youngest lowest: was it heard? */
  heard: number;
  /** Its last OGM, by the tables. */
  ogmAt: Nanos;
  /** It has named a beacon of ours that left lately: until then it may be a recording, or deaf, and its silence says nothing. */
  hearsUs: boolean;
  /** What the kernel watches it with; null until it was told. */
  patience: Nanos | null;
  /** The last of its questions that was answered. */
  asked: { epoch: number; counter: number };
}

/** A beacon before it is made. */
interface Planned {
  readonly superframe: number;
  readonly next: number;
  readonly at: Nanos;
  readonly mesh: Nanos;
}

/** What status, API and metrics show. */
export interface BeaconView {
  readonly profile: string;
  readonly superframeNs: Nanos;
  readonly slotNs: Nanos;
  readonly slots: number;
  readonly place: { readonly slot: number; readonly stride: number; readonly phase: number } | null;
  readonly overfull: boolean;
  readonly within2Hops: number;
  readonly collisions: number;
  readonly root: Mac | null;
  readonly depth: number;
  readonly meshNs: Nanos;
  readonly offsetNs: Nanos;
  readonly driftPpm: number;
  /** null where nothing is known yet. */
  readonly boundNs: Nanos | null;
  readonly jitterNs: Nanos | null;
  readonly suspicions: number;
  readonly neighbours: readonly {
    readonly interface: string;
    readonly address: Mac;
    readonly node: Mac;
    readonly slot: number;
    readonly heard: number;
    readonly state: 'alive' | 'suspected' | 'silent';
    readonly lastNs: Nanos;
  }[];
}

export class Beacon implements Machine {
  readonly name = 'beacon';
  readonly #settings: BeaconSettings;
  readonly #ports: Ports;
  readonly #liveness: Liveness;
  #isOff: boolean;
  readonly #ring = new Ring<BeaconKey>({ mesh: (key, hasAir) => beaconKey(key, 0, hasAir), air: airBeaconKey });
  #epoch: number | null = null;
  #self: Mac | null = null;
  #clock: Clock | null = null;
  #slots: Slots | null = null;
  #seq = 0;
  #counter = 0;
  /** The superframe that was planned last, when to plan the next one, and the beacon that waits to be made. */
  #planned = -1;
  #planAt: Nanos = NEVER;
  #waiting: Planned | null = null;
  readonly #neighbours = new Map<string, Neighbour>();
  /** Who said farewell a moment ago: what it sent before could be played again. */
  readonly #parted = new Map<
    string,
    Pick<Neighbour, 'node' | 'epoch' | 'seq' | 'serial'> & { readonly until: Nanos }
  >();
  /** When own beacons left, by interface and number. */
  readonly #left = new Map<IfIndex, Map<number, Nanos>>();
  readonly #due = new Map<string, { readonly interface: IfIndex; readonly seq: number; readonly at: Nanos }>();
  readonly #questions = new Map<number, string>();
  #answers = { second: 0, known: 0, strangers: 0 };
  readonly #late: Nanos[] = [];

  constructor(settings: BeaconSettings, heal: HealSettings) {
    this.#settings = settings;
    this.#ports = new Ports(heal.meshInterface);
    this.#liveness = new Liveness(settings);
    this.#isOff = heal.mode === 'off';
    this.#ring.settle(heal.key);
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'settings':
        return [...this.#rekey(event.settings.key, now), ...this.#turn(event.settings.mode === 'off', now)];
      case 'air-keys':
        this.#ring.take(event);
        return [];
      case 'mode-asked':
        return this.#turn(event.mode === 'off', now);
      case 'started':
        this.#epoch = event.epoch;
        return this.#begin(now);
      case 'link':
      case 'link-gone':
        this.#ports.on(event);
        return this.#lostPorts(now);
      case 'tables':
        this.#ports.on(event);
        return [...this.#begin(now), ...this.#ogms(event.tables, now)];
      case 'frame':
        return this.#take(event.interface, event.frame, event.at ?? now, now);
      case 'transmitted':
        return this.#transmitted(event.id, event.at, event.error);
      case 'echo':
        return this.#sign(keyOf(event.interface, event.neighbour), now);
      case 'neighbour-evidence': {
        const key = keyOf(event.interface, event.neighbour);
        return this.#liveness.evidence(key, event.what, event.at, now) ? this.#heardAgain(key) : [];
      }
      case 'tick':
        return this.#tick(now);
      default:
        return [];
    }
  }

  deadline(): Nanos {
    if (this.#clock === null || this.#isOff || !this.#ring.canSpeak) return NEVER;
    const make = this.#waiting === null ? NEVER : this.#waiting.at - this.#settings.leadNs;
    return Math.min(this.#planAt, make, this.#liveness.deadline());
  }

  /** The common time, for whoever needs one; null before there is one. It never runs backwards. */
  read(now: Nanos): { mesh: Nanos; bound: Nanos } | null {
    return this.#clock === null || this.#clock.root === null ? null : this.#clock.read(now);
  }

  view(now: Nanos): BeaconView | null {
    const [clock, slots] = [this.#clock, this.#slots];
    if (clock === null || slots === null) return null;
    const { profile, superframeNs, slotNs } = this.#settings;
    const { mesh, bound } = clock.read(now);
    const late = [...this.#late].map(Math.abs).sort((a, b) => a - b);
    return {
      profile,
      superframeNs,
      slotNs,
      slots: this.#settings.slots,
      place: slots.place,
      overfull: slots.overfull,
      within2Hops: slots.within2Hops(),
      collisions: slots.collisions,
      root: clock.root,
      depth: clock.depth,
      meshNs: mesh,
      offsetNs: mesh - now,
      driftPpm: clock.drift * 1e6,
      boundNs: bound === NEVER ? null : bound,
      jitterNs: late.length === 0 ? null : late[Math.ceil(late.length * 0.99) - 1]!,
      suspicions: this.#liveness.suspicions,
      neighbours: [...this.#neighbours].map(([key, one]) => ({
        interface: this.#ports.usable(one.interface)?.name ?? String(one.interface),
        address: one.address,
        node: one.node,
        slot: one.slot,
        heard: share(one.heard),
        state: this.#liveness.state(key) ?? 'alive',
        lastNs: now - one.arrivals.at(-1)!.at,
      })),
    };
  }

  /** The last beacon: the neighbours take the slot back at once, and do not wonder about the silence. */
  farewell(now: Nanos): Effect[] {
    const [clock, place] = [this.#clock, this.#slots?.place];
    if (clock === null || clock.root === null || !place || this.#isOff || !this.#ring.canSpeak) return [];
    const superframe = this.#superframeAt(now);
    const frames = this.#make({ superframe, next: 0, at: now, mesh: clock.mesh(now) });
    this.#waiting = null;
    this.#planAt = NEVER;
    return [{ type: 'send', frames }];
  }

  /** Who falls silent without a word is dead to its neighbours: they would go another way, though this one is good. */
  #turn(isOff: boolean, now: Nanos): Effect[] {
    if (isOff === this.#isOff) return [];
    const effects = isOff ? this.farewell(now) : [];
    this.#isOff = isOff;
    if (this.#clock !== null) this.#planAt = now;
    return effects;
  }

  /** Where the mesh key is what frames are sealed with: who has another one is heard no more, on either side. */
  #rekey(key: string, now: Nanos): Effect[] {
    const effects: Effect[] = [];
    if (this.#ring.sending === null && key !== (this.#ring.mesh?.id ?? '')) {
      effects.push(...this.farewell(now));
      for (const one of [...this.#neighbours.keys()])
        effects.push(...this.#forget(one, now, 'our mesh key is another'));
      if (this.#clock !== null) this.#planAt = now;
    }
    this.#ring.settle(key);
    return effects;
  }

  /** As soon as it is known who we are. */
  #begin(now: Nanos): Effect[] {
    const { superframeNs, slotNs, slots, ease, leadNs } = this.#settings;
    if (this.#clock !== null || this.#epoch === null || this.#ports.node === null) return [];
    this.#self = this.#ports.node;
    this.#clock = new Clock(this.#self, { superframeNs, slowestNs: superframeNs * ease }, now);
    this.#slots = new Slots(shortName(this.#self), { slots, ease, lead: Math.ceil(leadNs / slotNs) });
    // What others recorded in an earlier life of ours names no beacon of this one.
    this.#seq = hash(shortName(this.#self), this.#epoch) >>> 1;
    this.#planAt = now + superframeNs;
    return [];
  }

  #superframeAt(now: Nanos): number {
    return Math.max(0, Math.floor(this.#clock!.mesh(now) / this.#settings.superframeNs));
  }

  #tick(now: Nanos): Effect[] {
    if (this.#clock === null || this.#isOff || !this.#ring.canSpeak) return [];
    // Who was held up may have both to do: a beacon that is planned already goes before the plan of the next one.
    const effects = this.#handOver(now);
    if (now >= this.#planAt) {
      this.#plan(now);
      effects.push(...this.#handOver(now));
    }
    return [...effects, ...this.#watch(now)];
  }

  /** Makes the beacon that waits, if it is time to. */
  #handOver(now: Nanos): Effect[] {
    const [clock, waiting] = [this.#clock!, this.#waiting];
    if (waiting === null || now < waiting.at - this.#settings.leadNs) return [];
    this.#waiting = null;
    // The clock may know better by now.
    const at = clock.local(waiting.mesh);
    // Better late than never: it is a sign of life, and the air is shared by listening first anyway.
    const latest = at + this.#settings.superframeNs / 2;
    if (now > latest) return [metric('beacons_failed_total', { reason: 'ETIME' })];
    const effects: Effect[] = [];
    for (const { interface: index, frame } of this.#make({ ...waiting, at })) {
      const id = `beacon ${index} ${this.#seq}`;
      this.#due.set(id, { interface: index, seq: this.#seq, at });
      effects.push({ type: 'transmit-at', id, interface: index, frame, at, latest });
    }
    while (this.#due.size > 256) this.#due.delete(this.#due.keys().next().value!);
    return effects;
  }

  /** Plans the superframe that is next to begin. */
  #plan(now: Nanos): void {
    const [clock, slots] = [this.#clock!, this.#slots!];
    const { superframeNs, slotNs, guardNs, leadNs } = this.#settings;
    if (clock.tick(now)) this.#renumber(now);
    if (clock.root === null) {
      this.#planAt = now + superframeNs;
      return;
    }
    const superframe = Math.max(this.#planned + 1, this.#superframeAt(now + leadNs));
    this.#planned = superframe;
    this.#planAt = clock.local((superframe + 1) * superframeNs) - leadNs;
    const place = slots.plan(superframe);
    if (place === null) return;
    const mesh = superframe * superframeNs + place.slot * slotNs + guardNs / 2;
    this.#waiting = { superframe, next: place.next, at: clock.local(mesh), mesh };
  }

  /** Superframes have other numbers now. */
  #renumber(now: Nanos): void {
    const superframe = this.#superframeAt(now);
    if (this.#planned >= 0) this.#slots!.shift(superframe - this.#planned);
    this.#planned = superframe;
    this.#planAt = now;
    this.#waiting = null;
  }

  #make(what: Planned): { readonly interface: IfIndex; readonly frame: string }[] {
    const [clock, slots, self] = [this.#clock!, this.#slots!, this.#self!];
    const { slot, stride, phase } = slots.place!;
    this.#seq += 1;
    slots.sent(this.#seq, what.superframe);
    const told = slots.reports(what.superframe, MOST_NEIGHBOURS);
    return this.#ports.all().flatMap(({ index, mac }) => {
      // One beacon has room in a slot: where somebody knows the mesh key only, all do with that.
      const key = this.#ring.towardsAll(index, what.at).at(-1)?.key;
      if (key === undefined) return [];
      const near = told.filter((report) => this.#neighbours.get(report.key)?.interface === index);
      const first = near.length > MOST_REPORTED ? (what.superframe * MOST_REPORTED) % near.length : 0;
      const chosen = [...near.slice(first), ...near.slice(0, first)].slice(0, MOST_REPORTED);
      const left = [...(this.#left.get(index) ?? [])].at(-1);
      const receipts = chosen.map((report) => this.#neighbours.get(report.key)!.arrivals.at(-1)!.at);
      const beacon: BeaconWord = {
        node: self,
        epoch: this.#epoch!,
        seq: this.#seq,
        superframe: what.superframe,
        slot,
        stride,
        phase,
        next: what.next,
        planned: what.mesh,
        sent: left === undefined ? { seq: 0, at: 0 } : { seq: left[0], at: clock.mesh(left[1]) },
        bound: clock.stated([what.at, ...receipts, ...(left === undefined ? [] : [left[1]])]),
        root: clock.root!,
        rootSeq: clock.rootSeq,
        depth: clock.depth,
        partial: chosen.length < near.length,
        reports: chosen.map((report, i) => ({
          ...report,
          at: clock.mesh(receipts[i]!),
          heard: share(this.#neighbours.get(report.key)!.heard),
        })),
      };
      return [{ interface: index, frame: toHex(encodeBeacon(beacon, mac, this.#settings.ethertype, key)) }];
    });
  }

  #transmitted(id: string, at: Nanos, error: string | null): Effect[] {
    const due = this.#due.get(id);
    if (due === undefined) return [];
    this.#due.delete(id);
    if (error !== null) return [metric('beacons_failed_total', { reason: error })];
    const left = this.#left.get(due.interface) ?? new Map<number, Nanos>();
    this.#left.set(due.interface, left.set(due.seq, at));
    if (left.size > REMEMBERED) left.delete(left.keys().next().value!);
    this.#late.push(at - due.at);
    if (this.#late.length > SHOWN) this.#late.shift();
    return [metric('beacons_sent_total', {})];
  }

  #take(index: IfIndex, hex: string, at: Nanos, now: Nanos): Effect[] {
    const bytes = fromHex(hex);
    if (!isBeacon(bytes) || this.#isOff || this.#clock === null) return [];
    const link = this.#ports.usable(index);
    if (link === null) return [refused('not-a-member')];
    if (!this.#ring.canSpeak) return [refused('no-key')];
    const said = keyIn(bytes);
    const entry = said === null ? null : this.#entryFor(said);
    if (said === null || entry === null) {
      if (said !== null && said.version !== VERSION) this.#ring.heardStrange(index, now);
      return [refused(said === null ? 'short' : 'key')];
    }
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(bytes, entry.key);
    } catch (thrown) {
      return [refused(String(asAgentError(thrown).detail.field ?? 'malformed'))];
    }
    if (!entry.isMesh) this.#ring.heard(index, frame.source, 'air', now);
    else if (!said.hasAir) this.#ring.heard(index, frame.source, 'mesh', now);
    const key = keyOf(index, frame.source);
    const proven: Effect[] =
      !entry.isMesh && this.#ring.isNews(index, frame.source, now)
        ? [{ type: 'proven', neighbour: frame.source, interface: index }]
        : [];
    if (frame.kind === 'beacon')
      return [...proven, ...this.#heard(key, entry.serial, index, frame.source, frame.beacon, at, now)];
    if (frame.kind === 'answer') return [...proven, ...this.#answered(key, frame.probe, at)];
    return [...proven, ...this.#answer(key, entry.key, index, frame.source, link.mac, frame.probe, at, now)];
  }

  /** Of the mesh key there is one, whatever the frame calls it: what differs is refused by name. */
  #entryFor({ version, epoch, meshId }: Omit<BeaconKey, 'mac'>): Entry<BeaconKey> | null {
    if (version === VERSION) return this.#ring.mesh;
    return (
      this.#ring.accepted.find(({ key }) => key.version === version && key.epoch === epoch && key.meshId === meshId) ??
      null
    );
  }

  #heard(
    key: string,
    serial: number,
    index: IfIndex,
    address: Mac,
    beacon: BeaconWord,
    at: Nanos,
    now: Nanos,
  ): Effect[] {
    const [clock, slots] = [this.#clock!, this.#slots!];
    if (beacon.node === this.#self) return [];
    const { superframeNs } = this.#settings;
    if (Math.abs(beacon.planned / superframeNs - beacon.superframe - 0.5) > 1 || beacon.slot >= this.#settings.slots)
      return [refused('profile')];
    // A root cannot have spoken in superframes to come. Whoever believes so takes it for dead when it speaks next, and for a ghost.
    if (beacon.rootSeq > beacon.superframe + ROOT_AHEAD) return [refused('root')];
    const before = this.#neighbours.get(key);
    const last = before ?? this.#partedFrom(key, now);
    const isNewer =
      last === undefined ||
      last.node !== beacon.node ||
      serial > last.serial ||
      beacon.epoch > last.epoch ||
      (beacon.epoch === last.epoch && beacon.seq > last.seq);
    if (!isNewer) return [refused('replay')];
    if (beacon.root === clock.root && Math.abs(beacon.planned - clock.mesh(at)) > REPLAY_WINDOW)
      return [refused('replay')];
    if (before === undefined && this.#neighbours.size >= MOST_NEIGHBOURS) return [refused('too-many')];
    if (beacon.next === 0) {
      const effects = this.#forget(key, now, 'it said farewell');
      const { node, epoch, seq } = beacon;
      this.#parted.set(key, { node, epoch, seq, serial, until: now + REPLAY_WINDOW });
      if (this.#parted.size > MOST_NEIGHBOURS) this.#parted.delete(this.#parted.keys().next().value!);
      return [...effects, metric('beacons_received_total', {})];
    }
    const neighbour = this.#remember(key, serial, index, address, beacon, at);
    const name = shortName(this.#self!);
    const mine = beacon.reports.find((report) => report.name === name);
    const left = mine === undefined ? undefined : this.#left.get(index)?.get(mine.seq);
    neighbour.hearsUs ||= left !== undefined;
    const arrival = neighbour.arrivals.find(({ seq }) => seq === beacon.sent.seq);
    const stepped = clock.heard(
      key,
      {
        root: beacon.root,
        rootSeq: beacon.rootSeq,
        depth: beacon.depth,
        bound: beacon.bound,
        planned: beacon.planned,
        arrived: at,
        down: arrival === undefined ? null : { mesh: beacon.sent.at, local: arrival.at },
        up: left === undefined || mine!.at === null ? null : { local: left, mesh: mine!.at },
      },
      now,
    );
    if (stepped) this.#renumber(now);
    // In our own numbers: two that follow different roots do not mean the same superframe.
    slots.heard(key, { ...beacon, name: neighbour.name }, this.#superframeAt(at));
    // A pause in which it listens is so rare that a question costs less than waiting.
    const gap = beacon.stride === 1 ? 1 : beacon.next;
    const effects = [metric('beacons_received_total', {})];
    if (!neighbour.hearsUs && this.#liveness.state(key) === null) return effects;
    if (this.#liveness.beacon(key, at, at + gap * superframeNs)) effects.push(...this.#heardAgain(key));
    const patience = this.#liveness.patience(gap * superframeNs);
    if (patience !== neighbour.patience) effects.push(this.#deadline(neighbour, patience));
    return effects;
  }

  #partedFrom(key: string, now: Nanos) {
    const parted = this.#parted.get(key);
    if (parted === undefined || now < parted.until) return parted;
    this.#parted.delete(key);
    return undefined;
  }

  #remember(key: string, serial: number, index: IfIndex, address: Mac, beacon: BeaconWord, at: Nanos): Neighbour {
    const { node, epoch, seq, stride, slot } = beacon;
    const before = this.#neighbours.get(key);
    const isFresh = before === undefined || before.node !== node || before.epoch !== epoch || seq <= before.seq;
    if (isFresh) {
      const asked = { epoch: 0, counter: 0 };
      const arrivals = [{ seq, at }];
      const name = shortName(node);
      const fresh: Neighbour = {
        interface: index,
        address,
        node,
        name,
        epoch,
        seq,
        serial: Math.max(serial, before?.node === node ? before.serial : 0),
        stride,
        slot,
        arrivals,
        heard: 0xffff,
        ogmAt: before?.ogmAt ?? 0,
        hearsUs: false,
        patience: before?.patience ?? null,
        asked: before?.node === node ? before.asked : asked,
      };
      this.#neighbours.set(key, fresh);
      return fresh;
    }
    before.heard = ((before.heard << Math.min(16, seq - before.seq)) | 1) & 0xffff;
    Object.assign(before, { seq, stride, slot, serial: Math.max(serial, before.serial) });
    before.arrivals = [...before.arrivals.slice(-1), { seq, at }];
    return before;
  }

  #answered(key: string, probe: Probe, at: Nanos): Effect[] {
    if (probe.asker !== this.#self || probe.epoch !== this.#epoch || this.#questions.get(probe.counter) !== key)
      return [refused('unasked')];
    this.#questions.delete(probe.counter);
    return this.#sign(key, at);
  }

  #answer(
    key: string,
    sealing: BeaconKey,
    index: IfIndex,
    to: Mac,
    from: Mac,
    probe: Probe,
    at: Nanos,
    now: Nanos,
  ): Effect[] {
    const neighbour = this.#neighbours.get(key);
    const effects: Effect[] = [];
    if (neighbour !== undefined) {
      const { asked } = neighbour;
      const isNew = probe.epoch > asked.epoch || (probe.epoch === asked.epoch && probe.counter > asked.counter);
      if (!isNew || probe.asker !== neighbour.node) return [refused('replay')];
      neighbour.asked = { epoch: probe.epoch, counter: probe.counter };
      effects.push(...this.#sign(key, at));
    }
    const second = Math.floor(now / SECOND);
    if (second !== this.#answers.second) this.#answers = { second, known: 0, strangers: 0 };
    const who = neighbour === undefined ? 'strangers' : 'known';
    this.#answers[who] += 1;
    if (this.#answers[who] > MOST_ANSWERS[who]) return [...effects, refused('budget')];
    const frame = toHex(encodeProbe(probe, true, to, from, this.#settings.ethertype, sealing));
    effects.push({ type: 'send', frames: [{ interface: index, frame }] });
    return effects;
  }

  /** The kernel's deadline for a neighbour follows its schedule; its answer says when it was heard last. */
  #deadline(neighbour: Neighbour, patience: Nanos | null): Effect {
    neighbour.patience = patience;
    const { address, interface: index } = neighbour;
    return { type: 'deadline', neighbour: address, interface: index, silenceNs: patience };
  }

  /** Asks who is suspected, and says who is silent. */
  #watch(now: Nanos): Effect[] {
    const { ask, look, isOdd, isBlind, silent } = this.#liveness.tick(now);
    if (ask.length + look.length + silent.length === 0 && !isBlind) return [];
    const effects = look.flatMap((key): Effect[] => {
      const neighbour = this.#neighbours.get(key);
      return neighbour === undefined ? [] : [this.#deadline(neighbour, neighbour.patience)];
    });
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const key of ask) {
      const neighbour = this.#neighbours.get(key);
      const link = neighbour === undefined ? null : this.#ports.usable(neighbour.interface);
      const entry = neighbour === undefined ? null : this.#ring.towards(neighbour.interface, neighbour.address, now);
      if (neighbour === undefined || link === null || entry === null) continue;
      this.#counter += 1;
      this.#questions.set(this.#counter, key);
      if (this.#questions.size > QUESTIONS) this.#questions.delete(this.#questions.keys().next().value!);
      const probe = { asker: this.#self!, epoch: this.#epoch!, counter: this.#counter };
      const { ethertype } = this.#settings;
      const frame = encodeProbe(probe, false, neighbour.address, link.mac, ethertype, entry.key);
      frames.push({ interface: link.index, frame: toHex(frame) });
    }
    // Of a router whose agent has died the kernel goes on: its OGMs tell.
    if (isBlind) effects.push({ type: 'poll' });
    if (isOdd) this.#slots!.stir(this.#superframeAt(now));
    if (frames.length > 0) effects.push({ type: 'send', frames });
    for (const { key, detail } of silent) {
      const neighbour = this.#neighbours.get(key)!;
      this.#slots!.lost(key, this.#superframeAt(now));
      this.#clock!.lost(key, now);
      effects.push(this.#say('neighbour-silent', neighbour, detail), metric('beacon_silences_total', {}));
    }
    return effects;
  }

  /** batman-adv heard a neighbour: a sign of life, though not of its agent. */
  #ogms({ neighbours }: Tables, now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const row of neighbours) {
      const key = keyOf(row.interface, row.neighbour);
      const known = this.#neighbours.get(key);
      if (known === undefined) continue;
      // A reading takes its time, and counts in milliseconds: the same OGM seems to be a little younger each time.
      const at = now - row.lastSeenMs * MS;
      if (at < known.ogmAt + SAME_OGM) continue;
      known.ogmAt = at;
      const beaconAt = known.arrivals.at(-1)!.at;
      const isAgentGone = at - beaconAt > AGENT_GONE * known.stride * this.#settings.superframeNs;
      if (isAgentGone) effects.push(...this.#forget(key, now, 'only its agent is silent'));
      else effects.push(...this.#sign(key, at));
    }
    for (const [key, { arrivals }] of this.#neighbours)
      if (now - arrivals.at(-1)!.at > GIVEN_UP)
        effects.push(...this.#forget(key, now, `no beacon for ${GIVEN_UP / SECOND} s: it is waited for no longer`));
    return effects;
  }

  #sign(key: string, at: Nanos): Effect[] {
    return this.#liveness.sign(key, at) ? this.#heardAgain(key) : [];
  }

  #heardAgain(key: string): Effect[] {
    return [this.#say('neighbour-heard', this.#neighbours.get(key)!, 'it is heard again')];
  }

  /** It is watched no longer: what was said of its silence is taken back, with the reason. */
  #forget(key: string, now: Nanos, why: string): Effect[] {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return [];
    const wasSilent = this.#liveness.state(key) === 'silent';
    this.#neighbours.delete(key);
    this.#liveness.forget(key);
    this.#clock!.lost(key, now);
    this.#slots!.lost(key, this.#superframeAt(now));
    const effects = [this.#deadline(neighbour, null)];
    if (wasSilent) effects.push(this.#say('neighbour-heard', neighbour, why));
    return effects;
  }

  /** What rtnetlink tells of an interface is quicker and surer than silence. */
  #lostPorts(now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const [key, { interface: index }] of this.#neighbours)
      if (this.#ports.usable(index) === null) effects.push(...this.#forget(key, now, 'our interface to it is down'));
    for (const index of this.#left.keys()) if (this.#ports.usable(index) === null) this.#left.delete(index);
    return effects;
  }

  #say(what: Symptom['what'], neighbour: Neighbour, detail: string): Effect {
    const { interface: index, address: peer } = neighbour;
    const name = this.#ports.usable(index)?.name ?? '';
    const symptom: Symptom = { what, interface: name, index, peer, detail, source: 'beacon' };
    return { type: 'emit', event: { type: 'symptom', symptom } };
  }
}

function keyOf(index: IfIndex, address: Mac): string {
  return `${index} ${address}`;
}

function share(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count / 16;
}

function metric(name: string, labels: Record<string, string>): Effect {
  return { type: 'metric', name, labels, value: 1 };
}

function refused(reason: string): Effect {
  return metric('beacons_refused_total', { reason });
}
