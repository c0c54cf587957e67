/**
 * The host world: this router. Brings its events to the runtime and carries the machines' effects out.
 *
 * What the air and the kernel wait for is done inside the turn; what only people read (log, journal, metrics) is done
 * a moment later, when the burst is over, so that no repair waits for a line of text.
 */
import { existsSync } from 'node:fs';
import type { Effect } from '../core/effect.ts';
import { type AgentError, asAgentError } from '../core/errors.ts';
import type { HealSettings, Mark, WorldEvent } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { HardInterface, Link } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import type { World } from '../core/machine.ts';
import type { Runtime } from '../core/runtime.ts';
import { MS, type Nanos } from '../core/time.ts';
import { type Air, openAir } from './air.ts';
import type { Beat } from './beat.ts';
import type { Xdp } from './bpf/xdp.ts';
import { type CarrierWatch, watchCarrier } from './carrier.ts';
import { Drops } from './drops.ts';
import { type Kernel, openKernel } from './kernel.ts';
import type { Native } from './native.ts';
import { isRefusal } from './netlink/message.ts';
import type { Radios } from './radio.ts';
import type { Surveyor } from './survey.ts';
import { startUndo, type Undo } from './undo.ts';

/** Addresses of bat0 change rarely, and nobody needs them before bat0 is gone: read with every so many tables. */
const ADDRESSES_EVERY = 10;
/** setTimeout counts in whole milliseconds up to 2^31. */
const LONGEST_MS = 3_600_000;

/** A kick and its relays are over in less; a person does not notice. */
const BOOKS_MS = 200;

/** Effects that the daemon carries out: what is kept and shown. */
export type Book = Extract<Effect, { type: 'log' | 'journal' | 'remember-mark' | 'remember' | 'metric' }>;

type ChangeEffect = Extract<Effect, { type: 'change' }>;

export interface HostOptions {
  readonly native: Native;
  readonly log: Log;
  /** Where the state lies; null for nowhere. */
  readonly directory: string | null;
  onBook(book: Book): void;
  /** An address that is a member's. */
  onProven?(neighbour: Mac): void;
  /** A machine wants the agent to begin anew. */
  onRestart(why: string): void;
  /** Plays a plan in the twin and feeds 'rehearsed'. Without it nobody knows. */
  readonly onRehearse?: (rehearsal: Extract<Effect, { type: 'rehearse' }>) => void;
  /** Something took less than it could: for metrics and status. */
  onCount(name: 'netlink_resyncs_total' | 'netlink_errors_total', labels: Readonly<Record<string, string>>): void;
  /** Opens what sends frames on time, where somebody wants that: then frames that come in are stamped too. */
  beat?(feed: (event: WorldEvent) => void): Beat;
}

export class Host implements World {
  readonly #options: HostOptions;
  #runtime!: Runtime;
  #settings!: HealSettings;
  #kernel: Kernel | null = null;
  #air: Air | null = null;
  #beat: Beat | null = null;
  #undo: Undo | null = null;
  #carrier: CarrierWatch | null = null;
  #radios: Radios | null = null;
  /** The hard interfaces, and those of them that are radios', as the last reading had them. */
  #hardNames = '';
  #radioIndexes: readonly IfIndex[] = [];
  /** The newest change that armed an undo, by its id. */
  readonly #armedBy = new Map<string, ChangeEffect>();
  #timer: NodeJS.Timeout | null = null;
  #timerAt: Nanos = 0;
  #books: Book[] = [];
  #bookTimer: NodeJS.Timeout | null = null;
  #surveyor: Surveyor | null = null;
  /** The latest that a timer was since a survey asked. */
  #lateNs: Nanos = 0;
  #polling = false;
  #pollAgain = false;
  #polls = 0;
  #closed = false;
  /** Our frames that came in, by who stamped them. */
  readonly stamps = { xdp: 0, socket: 0 };
  readonly drops = new Drops();
  #xdp: Xdp | null = null;
  /** What it was asked to watch for, which may be before it is there. */
  readonly #deadlines = new Map<string, Extract<Effect, { type: 'deadline' }>>();
  #gate: { readonly admitted: readonly Mac[] | null; readonly isolated: readonly Mac[] } | null = null;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** What measures the hard interfaces, where that is on. */
  get xdp(): Xdp | null {
    return this.#xdp;
  }

  set xdp(xdp: Xdp) {
    this.#xdp = xdp;
    for (const effect of this.#deadlines.values()) this.#watchFor(effect);
    if (this.#gate !== null) xdp.gate(this.#gate.admitted, this.#gate.isolated);
  }

  /** Whose batman-adv frames alone come in (null: everybody's), and whose frames do not. */
  gate(admitted: readonly Mac[] | null, isolated: readonly Mac[]): void {
    this.#gate = { admitted, isolated };
    this.#xdp?.gate(admitted, isolated);
  }

  /** Whose world this is, in which boot epoch, and what it follows at first. Comes before everything else. */
  attach(runtime: Runtime, settings: HealSettings, epoch: number): void {
    this.#runtime = runtime;
    this.#settings = settings;
    this.feed({ type: 'settings', settings, marks: [], epoch });
  }

  /**
   * Opens every source and feeds what is there now; afterwards the machines know their surroundings. Where that fails
   * nothing stays open, and it may be tried again. Throws E_NO_BATADV, E_SOCKET, E_NETLINK and its like.
   */
  async open(): Promise<void> {
    try {
      await this.#open();
    } catch (thrown) {
      this.#shut();
      throw thrown;
    }
  }

  async #open(): Promise<void> {
    const { native, log } = this.#options;
    // First, since what it lacks (batman-adv) may come later, and the rest is of no use until then.
    this.#kernel = await openKernel({
      native,
      log,
      onLink: (link, cause) => {
        this.feed({ type: 'link', link, cause });
        this.#surveyor?.moved();
        if (cause === 'event' && mayBeLate(link) && link.master !== 0) this.#carrier?.stir(native.now());
      },
      onMeshSettings: (name, settings) => {
        if (name === this.#settings.meshInterface) this.feed({ type: 'mesh-settings', interface: name, settings });
      },
      onLinkGone: (index, name) => this.feed({ type: 'link-gone', index, name }),
      onResync: () => {
        this.#options.onCount('netlink_resyncs_total', {});
        this.#poll();
      },
    });
    this.#carrier = watchCarrier({
      log,
      now: () => native.now(),
      interfaces: () => this.#hardLinks(),
      onDifference: (name) => void this.#kernel?.look(name),
    });
    this.#air = openAir({
      native,
      log,
      drops: this.drops,
      timestamps: this.#options.beat !== undefined,
      onFrame: (index, frame, at) => {
        const stamp = this.stampOf(index, frame, at);
        this.feed({ type: 'frame', interface: index, frame: toHex(frame), ...(stamp > 0 && { at: stamp }) });
      },
      onOwnOgm: (frame) => this.feed({ type: 'ogm-sent', frame: toHex(frame) }),
    });
    this.#beat = this.#openBeat();
    this.#undo = startUndo(log);
    await this.#read();
  }

  /** When a frame of ours arrived: XDP's word, else the packet socket's `at`, which is 0 where it was not asked. */
  stampOf(index: IfIndex, frame: Uint8Array, at: Nanos): Nanos {
    const seen = this.xdp?.stampOf(index, frame) ?? null;
    this.stamps[seen === null ? 'socket' : 'xdp'] += 1;
    return seen ?? at;
  }

  /** Whether frames leave on time; null where nobody wants that. */
  onTime(): boolean | null {
    return this.#options.beat === undefined ? null : this.#beat !== null;
  }

  /** Without it the mesh is healed all the same. */
  #openBeat(): Beat | null {
    try {
      return this.#options.beat?.((event) => this.feed(event)) ?? null;
    } catch (thrown) {
      const { message } = asAgentError(thrown, 'E_SOCKET');
      this.#options.log.error(`no beacons: ${message}`, { code: 'E_SOCKET' });
      return null;
    }
  }

  /** From the outside world, at this instant. */
  feed(event: WorldEvent): void {
    if (this.#closed) return;
    this.#runtime.feed(event, this.#options.native.now());
    this.#settleBooks();
    this.#schedule();
  }

  /** `marks`: what is remembered of senders under the key of these settings, where that is another. */
  settings(settings: HealSettings, marks: readonly Mark[] = []): void {
    this.#settings = settings;
    this.feed({ type: 'settings', settings, marks });
  }

  /** Whether a hard interface is a radio's, by the newest reading. */
  isRadio(index: IfIndex): boolean {
    return this.#radioIndexes.includes(index);
  }

  armed(): readonly string[] {
    return this.#undo?.armed() ?? [];
  }

  undoAlive(): boolean {
    return this.#undo?.alive() ?? false;
  }

  carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'send':
        this.#air?.send(
          effect.frames.map(({ interface: index, frame }) => ({ interface: index, frame: fromHex(frame) })),
        );
        return;
      case 'transmit-at':
        this.#beat?.transmit(effect);
        return;
      case 'change':
        this.#change(effect);
        return;
      case 'disarm':
        this.#undo?.disarm(effect.id);
        this.#armedBy.delete(effect.id);
        return;
      case 'deadline':
        if (effect.silenceNs === null) this.#deadlines.delete(`${effect.interface} ${effect.neighbour}`);
        else this.#deadlines.set(`${effect.interface} ${effect.neighbour}`, effect);
        this.#watchFor(effect);
        return;
      case 'proven':
        this.#options.onProven?.(effect.neighbour);
        return;
      case 'poll':
        this.#poll();
        return;
      case 'survey':
        void this.#survey(effect);
        return;
      case 'rehearse':
        if (this.#options.onRehearse !== undefined) this.#options.onRehearse(effect);
        else this.feed({ type: 'rehearsed', id: effect.id, verdict: 'unknown', detail: 'there is no twin here' });
        return;
      case 'restart':
        // After the turn: what else it decided, the journal's entry of the restart too, must not be lost with it.
        setImmediate(() => this.#options.onRestart(effect.why));
        return;
      case 'emit':
        return;
      default:
        this.#books.push(effect);
    }
  }

  #watchFor({ neighbour, interface: index, silenceNs }: Extract<Effect, { type: 'deadline' }>): void {
    this.#xdp?.setDeadline({ neighbour, index }, silenceNs);
  }

  /** What is armed is undone by the helper: a stop leaves the mesh as a crash does, and as it was. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.writeBooks();
    this.#shut();
  }

  #shut(): void {
    this.xdp?.close();
    this.#carrier?.close();
    this.#radios?.close();
    this.#undo?.close();
    this.#beat?.close();
    this.#air?.close();
    this.#kernel?.close();
    this.#surveyor?.close();
    this.#carrier = this.#radios = this.#undo = this.#beat = this.#air = this.#kernel = this.#surveyor = null;
    this.#hardNames = '';
  }

  /** Hands over at once what waits to be kept and shown: before that changes which it is kept under. */
  writeBooks(): void {
    if (this.#bookTimer !== null) clearTimeout(this.#bookTimer);
    this.#bookTimer = null;
    for (const book of this.#books.splice(0)) this.#options.onBook(book);
  }

  #hardLinks(): { name: string; carrier: boolean }[] {
    const mesh = this.#kernel?.byName(this.#settings.meshInterface);
    if (!this.#kernel || mesh === undefined) return [];
    return [...this.#kernel.links.values()].filter((link) => link.master === mesh.index && link.up && mayBeLate(link));
  }

  #change(effect: ChangeEffect): void {
    const { id, change, undo } = effect;
    const [kernel, helper] = [this.#kernel, this.#undo];
    if (kernel === null || helper === null) {
      this.#changed(id, 'the kernel is not open');
      return;
    }
    if (change.kind === 'netifd-up' || change.kind === 'netifd-radio') {
      const { kind, interface: name } = change;
      void import('./netifd.ts')
        .then(({ bringUp, restartRadio }) => (kind === 'netifd-up' ? bringUp(name) : restartRadio(name)))
        .then((error) => this.#changed(id, error));
      return;
    }
    // What is out already has to be undone, whatever becomes of this change; and so has what a later one does.
    const isFirst = !helper.armed().includes(id);
    if (undo !== null) this.#armedBy.set(id, effect);
    const disarm = () => {
      if (undo !== null && isFirst && this.#armedBy.get(id) === effect) helper.disarm(id);
    };
    if (undo !== null) {
      try {
        const { protocol, message } = kernel.prepare(undo);
        helper.arm(id, protocol, message, Math.ceil((effect.undoAfter ?? 0) / MS));
      } catch (thrown) {
        // What cannot be taken back is not done.
        this.#changed(id, `no undo could be prepared: ${asAgentError(thrown).message}`);
        return;
      }
    }
    try {
      kernel.apply(change, (error) => this.#answered(kernel, effect, error, disarm));
    } catch (thrown) {
      // It did not go out.
      disarm();
      this.#changed(id, asAgentError(thrown).message);
    }
  }

  #answered(kernel: Kernel, { id, change }: ChangeEffect, error: AgentError | null, disarm: () => void): void {
    const done = () => this.#changed(id, error?.message ?? null);
    const refused = error !== null && isRefusal(error);
    if (refused) disarm();
    // What a creation made, or found there, is told by a link event as well, but the next step may need it now. Where the
    // outcome is not known the undo stays armed, and what the interface is now is told before the error.
    const creates = change.kind === 'create-mesh' || change.kind === 'create-bridge';
    if (creates || (error !== null && !refused))
      void kernel.look('interface' in change ? change.interface : change.mesh).then(done);
    else done();
  }

  #changed(id: string, error: string | null): void {
    this.feed({ type: 'change-done', id, error });
  }

  #poll(): void {
    if (this.#polling) {
      this.#pollAgain = true;
      return;
    }
    this.#polling = true;
    this.#read()
      .catch((thrown) => {
        const error = asAgentError(thrown, 'E_NETLINK');
        this.#options.onCount('netlink_errors_total', { code: error.code });
        this.#options.log.warning('tables cannot be read', { code: error.code, error: error.message });
      })
      .finally(() => {
        this.#polling = false;
        if (!this.#pollAgain || this.#closed) return;
        this.#pollAgain = false;
        this.#poll();
      });
  }

  async #read(): Promise<void> {
    const kernel = this.#kernel;
    if (kernel === null) return;
    const since = this.#options.native.now();
    const tables = await kernel.tables(this.#settings.meshInterface);
    if (this.#closed) return;
    this.feed({ type: 'tables', tables, since });
    this.#findRadios(tables.hardInterfaces);
    this.xdp?.tables(tables);
    const { mesh } = tables;
    if (mesh !== null) this.#air?.tap(mesh.algorithm === 'BATMAN_IV' ? (mesh.primary ?? null) : null);
    if (this.#polls % ADDRESSES_EVERY === 0 && mesh !== null) {
      const addresses = await kernel.addresses(mesh.name);
      if (!this.#closed) this.feed({ type: 'addresses', interface: mesh.name, addresses });
    }
    this.#polls += 1;
  }

  async #survey({ of, interfaces }: Extract<Effect, { type: 'survey' }>): Promise<void> {
    const kernel = this.#kernel;
    if (kernel === null) return;
    if (this.#surveyor === null) {
      const { Surveyor } = await import('./survey.ts');
      if (this.#kernel !== kernel) return;
      const { native, log, directory } = this.#options;
      this.#surveyor ??= new Surveyor({
        native,
        log,
        kernel,
        directory,
        feed: (event) => this.feed(event),
        late: () => {
          const late = this.#lateNs;
          this.#lateNs = 0;
          return late;
        },
      });
    }
    const { meshInterface } = this.#settings;
    for (const survey of of) {
      if (survey === 'air') this.#surveyor.air(interfaces);
      else this.#surveyor[survey](meshInterface);
    }
  }

  /** Where a hard interface is a radio's, what it knows of its stations is worth the memory that this takes. */
  #findRadios(hard: readonly HardInterface[]): void {
    const names = hard.map(({ name, index }) => `${name} ${index}`).join();
    if (names === this.#hardNames) return;
    this.#hardNames = names;
    this.#radioIndexes = hard
      .filter(({ name }) => existsSync(`/sys/class/net/${name}/phy80211`))
      .map(({ index }) => index);
    if (this.#radioIndexes.length === 0) return;
    if (this.#radios !== null) this.#radios.look();
    else void this.#watchRadios();
  }

  async #watchRadios(): Promise<void> {
    const { native, log } = this.#options;
    try {
      const { watchRadios } = await import('./radio.ts');
      const radios = await watchRadios({
        native,
        log,
        interfaces: () => this.#radioIndexes,
        onEvidence: (evidence) => this.feed({ type: 'neighbour-evidence', ...evidence, at: native.now() }),
        onStations: (stations) => this.feed({ type: 'radio-stations', stations }),
      });
      if (this.#kernel === null || this.#radios !== null) radios?.close();
      else this.#radios = radios;
      this.#radios?.look();
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_NETLINK');
      log.warning('radios cannot be watched', { code: error.code, error: error.message });
    }
  }

  #settleBooks(): void {
    if (this.#books.length === 0 || this.#bookTimer !== null) return;
    this.#bookTimer = setTimeout(() => this.writeBooks(), BOOKS_MS);
  }

  #schedule(): void {
    const at = this.#runtime.deadline();
    if (this.#timer !== null) {
      if (at === this.#timerAt) return;
      clearTimeout(this.#timer);
    }
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) {
      this.#timer = null;
      return;
    }
    const wait = Math.min(LONGEST_MS, Math.max(0, Math.ceil((at - this.#options.native.now()) / MS)));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // What was due already when it was set says nothing of how late timers are.
      if (wait > 0) this.#lateNs = Math.max(this.#lateNs, this.#options.native.now() - at);
      this.feed({ type: 'tick' });
    }, wait);
  }
}

/** linkwatch lets the loss of a carrier wait only where the interface is its own lower one (dev_get_iflink). */
function mayBeLate(link: Link): boolean {
  return link.kind !== 'batadv' && link.kind !== 'bridge' && (link.peer === 0 || link.peer === link.index);
}
