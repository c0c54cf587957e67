/**
 * Measures what comes in on the mesh's hard interfaces: with XDP programs where the kernel takes them, else with a packet
 * socket. Follows batman-adv's tables: attaches to the interfaces of the mesh, and keeps its neighbours in the maps.
 *
 * A deadline is the kernel's own timer where it has one for us; else it is looked at here, when the first could be due.
 */
import { randomBytes } from 'node:crypto';
import { asAgentError } from '../../core/errors.ts';
import type { NeighbourEvidence, Tables, WorldEvent } from '../../core/event.ts';
import type { IfIndex, Mac } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import { MS, type Nanos, NEVER, SECOND } from '../../core/time.ts';
import type { XdpView } from '../../report/api/xdp.ts';
import type { Drops } from '../drops.ts';
import type { AttachedXdp, Native, NativePacket, NativeRing } from '../native.ts';
import { type Candidate, figuresOf, type Ledger, openLedger, quantile, release, roster } from './counters.ts';
import {
  decodeCounts,
  decodeEvent,
  decodeNeighbours,
  decodeStamp,
  decodeStrangers,
  decodeTotals,
  encodeCommand,
  encodeKey,
  encodeNeighbour,
  encodeOutcast,
  encodeSettings,
  encodeU32,
  HANDSHAKE_NS,
  NEIGHBOURS_MOST,
  type NeighbourFigures,
  type NeighbourState,
  OUTCASTS_MOST,
  type Placed,
  type Stamp,
  type Totals,
  type Who,
} from './layout.ts';
import { fdinfo, type Loaded, loadMesh } from './loader.ts';
import { openTally, Tally } from './tally.ts';
import type { Variant } from './validator.ts';

/** Stamps that wait for their frame: the packet socket brings it a moment later. */
const STAMPS_MOST = 64;
/** An interface that refused is asked again so much later. */
const AGAIN: Nanos = 30 * SECOND;
/**
 * An interface that left the mesh keeps its program for so long: a repair may have taken it out for a moment, and some
 * drivers restart a card to attach one.
 */
const LINGER: Nanos = 600 * SECOND;
/** Who was never heard gives way to who was, where there is no room for all. */
const UNHEARD_MS = 3_600_000;
/** So long whoever was admitted, and was not heard yet, has a place where there is not room for all: for some OGMs. */
const TURN: Nanos = 10 * SECOND;
/** Without the kernel's timer: no look sooner than this after the one before. */
const LOOK_MS = 5;

const LEVELS = ['off', 'packet-socket', 'generic', 'native'] as const;

export interface XdpSettings {
  /** The silence after which a neighbour counts as silent, unless a machine says otherwise for it; 0 for never. */
  readonly deadlineNs: Nanos;
  /** Only batman-adv frames from these pass, and from members where that is asked for (`gate`); empty: from all. */
  readonly admitted: readonly Mac[];
  /** The port of sessions: over it who was cast out may join anew. */
  readonly port: number;
  /** Ethertypes whose frames are stamped on arrival, two at most. */
  readonly stamped: readonly number[];
  /** Also where the driver has no XDP of its own. */
  readonly generic: boolean;
  /** Of a day; 0 shares nothing. */
  readonly epsilon: number;
}

export interface XdpOptions {
  readonly native: Native;
  readonly log: Log;
  readonly drops: Drops;
  readonly settings: XdpSettings;
  feed(event: WorldEvent): void;
  /** For tests. */
  readonly variant?: Variant;
}

interface Post {
  readonly name: string;
  attached: AttachedXdp | null;
  /** What counts there where no program does. */
  socket: NativePacket | null;
  why: string | null;
  triedAt: Nanos;
  /** When it left the mesh; null while it is in it. */
  leftAt: Nanos | null;
}

export class Xdp {
  readonly #options: XdpOptions;
  readonly #loaded: Loaded | null;
  /** Why no program is loaded. */
  readonly #why: string | null;
  #events: NativeRing | null = null;
  #stampRing: NativeRing | null = null;
  readonly #posts = new Map<IfIndex, Post>();
  readonly #tally = new Tally();
  #stamps: Stamp[] = [];
  #roster: Who[] = [];
  /** Where the program counts whose frames, and the places that are free. */
  readonly #places = new Map<string, number>();
  readonly #free = Array.from({ length: NEIGHBOURS_MOST }, (_, i) => NEIGHBOURS_MOST - 1 - i);
  readonly #deadlines = new Map<string, Nanos>();
  /** Of those who wait for a place: whose turn it is, and since when. */
  #turn = { first: 0, since: 0 };
  #outcasts: ReadonlySet<Mac> = new Set();
  /** Members, where only they are let in; null: the configuration alone says who. */
  #members: readonly Mac[] | null = null;
  /** The tables as they were read last. */
  #tables: Tables | null = null;
  readonly #secret = randomBytes(16);
  #ledger: Ledger | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerAt: Nanos = NEVER;
  #closed = false;

  constructor(options: XdpOptions) {
    this.#options = options;
    let loaded: Loaded | null = null;
    let why: string | null = null;
    try {
      loaded = loadMesh(options.native, options.variant);
      this.#open(loaded);
    } catch (thrown) {
      loaded?.close();
      loaded = null;
      why = asAgentError(thrown, 'E_BPF_LOAD').message;
    }
    this.#loaded = loaded;
    this.#why = why;
    if (loaded === null) options.log.warning('no XDP programs: a packet socket counts instead', { why });
    else options.log.info('XDP programs loaded', { variant: loaded.variant, jit: loaded.features.jit });
  }

  #open(loaded: Loaded): void {
    this.#writeSettings(loaded);
    this.#events = loaded.object.openRing('events', {
      onRecords: (records) => {
        for (const record of records) {
          const event = decodeEvent(record);
          if (event !== null) this.#tell(event, event.silent ? 'deadline' : 'heard', event.at);
        }
        if (!loaded.features.timer) this.#look();
      },
    });
    this.#stampRing = loaded.object.openRing('stamps', {
      onRecords: (records) => {
        for (const record of records) {
          const stamp = decodeStamp(record);
          if (stamp !== null) this.#stamps.push(stamp);
        }
        this.#stamps = this.#stamps.slice(-STAMPS_MOST);
      },
    });
    for (const ring of [this.#events, this.#stampRing]) ring.unref();
  }

  #tell({ neighbour, index }: Who, what: NeighbourEvidence, at: Nanos): void {
    this.#options.feed({ type: 'neighbour-evidence', neighbour, interface: index, what, at });
  }

  #writeSettings({ object }: Loaded): void {
    const { stamped, port } = this.#options.settings;
    const value = encodeSettings({
      secret: this.#secret,
      outcasts: this.#outcasts.size > 0,
      admittedOnly: this.#admitted() !== null,
      stamped,
      port,
    });
    object.update('settings', encodeU32(0), value);
  }

  /** batman-adv's tables were read. Does not throw: what measures must not keep others from healing. */
  tables(tables: Tables): void {
    this.#tables = tables;
    try {
      this.#follow(tables);
    } catch (thrown) {
      this.#options.log.warning('XDP cannot follow the mesh', { why: asAgentError(thrown).message });
    }
  }

  #follow({ mesh, hardInterfaces, neighbours }: Tables): void {
    const wanted = mesh === null ? [] : hardInterfaces;
    const now = this.#options.native.now();
    for (const [index, post] of this.#posts) {
      if (wanted.some((hard) => hard.index === index && hard.name === post.name)) continue;
      post.leftAt ??= now;
      if (now < post.leftAt + LINGER) continue;
      this.#remove(index, post);
    }
    for (const { index, name } of wanted) {
      const known = this.#posts.get(index);
      // Renamed, or another one by a number that is free again, where the handle of the program leads nowhere.
      if (known !== undefined && known.name !== name) this.#remove(index, known);
      const post = this.#posts.get(index) ?? {
        name,
        attached: null,
        socket: null,
        why: this.#why,
        triedAt: -AGAIN,
        leftAt: null,
      };
      post.leftAt = null;
      this.#posts.set(index, post);
      if (post.attached === null && now >= post.triedAt + AGAIN) this.#attach(index, post, now);
    }
    this.#settleTally();
    const admitted = this.#admitted();
    const heard = neighbours.map(({ neighbour, interface: index, lastSeenMs }) => ({ neighbour, index, lastSeenMs }));
    // Who was admitted has to be heard before batman-adv can know it.
    const early = wanted.flatMap(({ index }) =>
      (admitted ?? []).map((neighbour) => ({
        neighbour,
        index,
        lastSeenMs: heard.find((one) => one.neighbour === neighbour && one.index === index)?.lastSeenMs ?? UNHEARD_MS,
      })),
    );
    const mayStay = (admitted === null ? heard : early).filter(
      ({ neighbour, index }) => this.#posts.get(index)?.leftAt === null && !this.#outcasts.has(neighbour),
    );
    const candidates = mayStay.map((one) => ({ ...one, vouched: this.#deadlines.has(keyOf(one)) }));
    const isCrowded = admitted !== null && candidates.length > NEIGHBOURS_MOST;
    this.#settleRoster(isCrowded ? this.#inTurns(candidates, now) : candidates);
  }

  /**
   * Where not all who were admitted have room: who is heard goes first, even where somebody else has a place, then whose
   * beacons are. The others take turns: without a place none of them could ever be heard.
   */
  #inTurns(all: readonly Candidate[], now: Nanos): Candidate[] {
    const isHere = ({ lastSeenMs, vouched }: Candidate) => lastSeenMs < UNHEARD_MS || vouched;
    const here = all.filter(isHere).sort((a, b) => a.lastSeenMs - b.lastSeenMs);
    const waiting = all.filter((one) => !isHere(one));
    const room = Math.max(0, NEIGHBOURS_MOST - here.length);
    if (now >= this.#turn.since + TURN) this.#turn = { first: this.#turn.first + room, since: now };
    const first = this.#turn.first % Math.max(1, waiting.length);
    return [...here, ...waiting.slice(first), ...waiting.slice(0, first)].slice(0, NEIGHBOURS_MOST);
  }

  #attach(index: IfIndex, post: Post, now: Nanos): void {
    post.triedAt = now;
    if (this.#loaded === null) return;
    const before = post.why;
    try {
      post.attached = this.#loaded.attach(index, this.#options.settings.generic);
      post.why = post.attached.mode === 'native' ? null : 'the driver has no XDP of its own';
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_BPF_LOAD');
      post.why = error.message;
      if (post.why !== before)
        this.#options.log.warning('no XDP: a packet socket counts instead', {
          interface: post.name,
          code: error.code,
          why: post.why,
        });
    }
  }

  /** A packet socket stands on each interface of the mesh that has no program. */
  #settleTally(): void {
    for (const [index, post] of this.#posts) {
      if (post.attached !== null || post.leftAt !== null) this.#silence(post);
      else if (post.socket === null) {
        try {
          post.socket = openTally(this.#options, this.#tally, { index, name: post.name }, (who, at) => {
            this.#tell(who, 'heard', at);
            this.#look();
          });
          post.socket.unref();
        } catch {
          // Then nothing counts there: view() says so.
        }
      }
    }
  }

  #remove(index: IfIndex, post: Post): void {
    post.attached?.close();
    this.#silence(post);
    this.#posts.delete(index);
  }

  #silence(post: Post): void {
    if (post.socket !== null) this.#options.drops.close(post.socket);
    post.socket = null;
  }

  /** The interfaces that the mesh has now. */
  #present(): Post[] {
    return [...this.#posts.values()].filter(({ leftAt }) => leftAt === null);
  }

  #isBare(index: IfIndex): boolean {
    return this.#posts.get(index)?.attached === null;
  }

  #settleRoster(candidates: readonly Candidate[]): void {
    const { add, remove } = roster(this.#roster, candidates, NEIGHBOURS_MOST);
    this.#drop(remove);
    const gone = new Set(remove);
    this.#roster = this.#roster.filter((one) => !gone.has(one));
    for (const who of add) {
      const deadline = this.#deadlineOf(who);
      if (this.#loaded !== null) this.#place(this.#loaded, who, deadline);
      this.#tally.add(who, deadline);
      this.#roster.push(who);
    }
  }

  /** Puts a neighbour into the maps. What the one before it at its place has left is cleared first. */
  #place({ object, neighbourSize, countsSize }: Loaded, who: Who, deadline: Nanos): void {
    const place = this.#free.at(-1)!;
    object.update('counts', encodeU32(place), new Uint8Array(countsSize));
    object.update('neighbours', encodeKey(who), encodeNeighbour(deadline, place, neighbourSize));
    this.#free.pop();
    this.#places.set(keyOf(who), place);
  }

  #drop(gone: readonly Who[]): void {
    for (const who of gone) {
      this.#loaded?.object.remove('neighbours', encodeKey(who));
      const place = this.#places.get(keyOf(who));
      if (this.#places.delete(keyOf(who))) this.#free.push(place!);
      this.#tally.remove(who);
    }
  }

  #deadlineOf(who: Who): Nanos {
    return this.#deadlines.get(keyOf(who)) ?? this.#options.settings.deadlineNs;
  }

  #command(who: Who, what: 'deadline' | 'silent', value: Nanos): void {
    try {
      this.#loaded?.object.testRun('control', encodeCommand(who, what, value), 1);
    } catch (thrown) {
      this.#options.log.warning('XDP takes no command', { what, why: asAgentError(thrown).message });
    }
  }

  /** The effect 'deadline': null for what the configuration says. Tells when the neighbour was heard last. */
  setDeadline(who: Who, silenceNs: Nanos | null): void {
    const before = this.#deadlineOf(who);
    if (silenceNs === null) this.#deadlines.delete(keyOf(who));
    else this.#deadlines.set(keyOf(who), Math.max(0, Math.min(Math.round(silenceNs), 3600 * SECOND)));
    // Who batman-adv does not know yet gets it when it does.
    if (!this.#roster.some((one) => keyOf(one) === keyOf(who))) return;
    const deadline = this.#deadlineOf(who);
    if (before !== deadline) {
      this.#command(who, 'deadline', deadline);
      const row = this.#tally.row(who);
      if (row !== undefined) row.deadline = deadline;
      this.#look();
    }
    const last = this.#known().find((row) => keyOf(row) === keyOf(who))?.last ?? 0;
    if (last > 0) this.#tell(who, 'heard', last);
  }

  /** Whose batman-adv frames alone pass; null: everybody's. */
  #admitted(): readonly Mac[] | null {
    const { admitted } = this.#options.settings;
    if (this.#members === null) return admitted.length > 0 ? admitted : null;
    return [...new Set([...admitted, ...this.#members])];
  }

  /** Members, where only they are let in (null: the configuration alone says who), and who is not. Does not throw. */
  gate(members: readonly Mac[] | null, isolated: readonly Mac[]): void {
    this.#members = members;
    try {
      this.isolate(isolated);
    } catch (thrown) {
      this.#options.log.warning('XDP cannot isolate', { why: asAgentError(thrown).message });
    }
    // Before anybody else's frames are dropped, who is let in has to be known to the program.
    if (this.#tables !== null) this.tables(this.#tables);
  }

  /** Frames from these addresses are dropped from now on, from no others. Where no program is attached nothing is. */
  isolate(addresses: readonly Mac[]): void {
    const next = new Set(addresses.slice(0, OUTCASTS_MOST));
    const before = this.#outcasts;
    this.#outcasts = next;
    const out = this.#roster.filter(({ neighbour }) => next.has(neighbour));
    if (this.#loaded !== null) {
      const { object } = this.#loaded;
      for (const mac of before) if (!next.has(mac)) object.remove('outcasts', encodeOutcast(mac));
      for (const mac of next) object.update('outcasts', encodeOutcast(mac), encodeU32(1));
      this.#writeSettings(this.#loaded);
    }
    this.#drop(out);
    this.#roster = this.#roster.filter((one) => !out.includes(one));
  }

  /**
   * When XDP saw this frame of ours; null where it did not. Answers once. The program has written its stamp before the
   * packet socket gets the frame, but the loop may come to the ring later than to the socket.
   */
  stampOf(index: IfIndex, frame: Uint8Array): Nanos | null {
    if (this.#isBare(index)) return null;
    const found = this.#takeStamp(index, frame);
    if (found !== null) return found;
    this.#stampRing?.read();
    return this.#takeStamp(index, frame);
  }

  #takeStamp(index: IfIndex, frame: Uint8Array): Nanos | null {
    const at = this.#stamps.findIndex(
      (stamp) => stamp.index === index && stamp.length === frame.length && startsAlike(stamp.head, frame),
    );
    return at < 0 ? null : this.#stamps.splice(at, 1)[0]!.at;
  }

  /**
   * Without the kernel's timer: when is a look due, and, where it is, who is beyond its deadline? Only a look that was due
   * says so: whoever else calls may be behind with frames that have come.
   */
  #look(isDue = false): void {
    const { native } = this.#options;
    const now = native.now();
    let next = NEVER;
    for (const row of this.#known()) {
      const isKernels = !this.#isBare(row.index);
      if (row.state !== 'heard' || row.deadline === 0 || (isKernels && this.#loaded?.features.timer)) continue;
      const due = row.last + row.deadline;
      if (due > now || !isDue) {
        next = Math.min(next, due);
        continue;
      }
      if (isKernels) this.#command(row, 'silent', row.last);
      else this.#tally.row(row)!.state = 'silent';
      this.#tell(row, 'deadline', now);
    }
    if (next === NEVER || (this.#timer !== null && this.#timerAt <= next)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = next;
    // Frames that wait on sockets and rings are read between the timer and the look.
    this.#timer = setTimeout(
      () =>
        setImmediate(() => {
          this.#timer = null;
          if (!this.#closed) this.#look(true);
        }),
      Math.max(LOOK_MS, Math.ceil((next - now) / MS)),
    );
    this.#timer.unref();
  }

  /** The neighbours whose frames a program counts. */
  #inMaps(): Placed[] {
    if (this.#loaded === null) return [];
    const [keys, values] = this.#loaded.object.read('neighbours');
    return decodeNeighbours(keys, values, this.#loaded.neighbourSize).filter(({ index }) => !this.#isBare(index));
  }

  /** Those whose frames a packet socket counts. */
  #inTally(): NeighbourFigures[] {
    return this.#tally.rows().filter(({ index }) => (this.#posts.get(index)?.socket ?? null) !== null);
  }

  #known(): NeighbourState[] {
    return [...this.#inMaps(), ...this.#inTally()];
  }

  /** What was counted, of each neighbour where it is counted. */
  #rows(): NeighbourFigures[] {
    const placed = this.#inMaps();
    if (this.#loaded === null || placed.length === 0) return this.#inTally();
    const { object, countsSize } = this.#loaded;
    const counts = object.read('counts')[1];
    return [...placed.map((row) => ({ ...row, ...decodeCounts(counts, row.place, countsSize) })), ...this.#inTally()];
  }

  #totals(): Totals | null {
    return this.#loaded === null ? null : decodeTotals(this.#loaded.object.read('totals')[1]);
  }

  /** The worst level of all interfaces, and why it is not native. A bridge that nobody is behind is no radio. */
  standing(): Pick<XdpView, 'level' | 'why'> {
    const busy = new Set(this.#roster.map(({ index }) => this.#posts.get(index)));
    const present = this.#present();
    const heard = present.filter((post) => this.#levelOf(post) !== 'generic' || busy.has(post));
    const posts = heard.length > 0 ? heard : present;
    const worst = LEVELS.find((level) => posts.some((post) => this.#levelOf(post) === level));
    if (worst === undefined) return { level: 'off', why: null };
    const weak = posts.find((post) => this.#levelOf(post) === worst && post.why !== null);
    return { level: worst, why: weak === undefined ? null : `${weak.name}: ${weak.why}` };
  }

  #levelOf({ attached, socket }: Post): XdpView['level'] {
    return attached?.mode ?? (socket === null ? 'off' : 'packet-socket');
  }

  view(): XdpView {
    const loaded = this.#loaded;
    const now = this.#options.native.now();
    const totals = this.#totals();
    if (totals !== null) {
      this.#ledger ??= openLedger(totals, now);
      this.#ledger = release(this.#ledger, totals, now, this.#options.settings.epsilon, uniform);
    }
    const { handshakes = [], ...sums } = totals ?? {};
    return {
      ...this.standing(),
      variant: loaded?.variant ?? null,
      jit: loaded?.features.jit ?? false,
      interfaces: this.#present().map((post) => ({
        name: post.name,
        level: this.#levelOf(post),
        why: post.why,
      })),
      neighbours: this.#rows().map((row) => figuresOf(row, this.#posts.get(row.index)?.name ?? '', now)),
      totals: sums,
      strangers: loaded === null ? 0 : decodeStrangers(loaded.object.read('strangers')[1]).length,
      medianHandshakeNs: quantile(handshakes, HANDSHAKE_NS, 0.5),
      programs: (loaded?.object.programs ?? []).map(({ name, fd }) => {
        const info = fdinfo(fd);
        const count = (key: string) => Number(info.get(key) ?? '0');
        return { name, verified: count('verified_insns'), runs: count('run_cnt'), ns: count('run_time_ns') };
      }),
      lockedBytes: loaded?.lockedBytes ?? 0,
      shared: {
        opened: this.#ledger?.shared.opened ?? 0,
        established: this.#ledger?.shared.established ?? 0,
        spent: this.#ledger?.spent ?? 0,
      },
    };
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const post of this.#posts.values()) {
      post.attached?.close();
      this.#silence(post);
    }
    this.#events?.close();
    this.#stampRing?.close();
    this.#posts.clear();
    this.#loaded?.close();
  }
}

const keyOf = ({ neighbour, index }: Who): string => `${index} ${neighbour}`;

function startsAlike(head: Uint8Array, frame: Uint8Array): boolean {
  for (let i = 0; i < head.length; i++) if (head[i] !== (frame[14 + i] ?? 0)) return false;
  return true;
}

/** From 0 up to 1, with all of a double's 53 bits. */
function uniform(): number {
  const bytes = randomBytes(8);
  return Number(bytes.readBigUInt64LE() >> 11n) / 2 ** 53;
}
