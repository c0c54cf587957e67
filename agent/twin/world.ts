/**
 * One router's world for its agent: what the agent asks for is done to the simulated kernel and medium, what happens there
 * is told to it, each a little later, as on a router (host/world.ts). It outlives the agent: an agent that is killed leaves
 * its undo to be sent, and the next one finds what was remembered: all of it, as if flash were written at once.
 */
import type { Effect } from '../core/effect.ts';
import type { HealSettings, Mark, Memory, WorldEvent } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Change, Link, MeshSettings, Upstream, Vitals } from '../core/kernel.ts';
import type { World } from '../core/machine.ts';
import { Runtime } from '../core/runtime.ts';
import { MS, type Nanos, SECOND, US } from '../core/time.ts';
import { isAnnouncement } from '../heal/announce.ts';
import { type Heal, heal } from '../heal/heal.ts';
import { Mesh } from '../mesh/mesh.ts';
import type { Clock } from './clock.ts';
import { type AddressBook, frameOf } from './frames.ts';
import { type Cpu, type Kernel, type Listener, MESH } from './kernel.ts';
import type { Random } from './random.ts';
import { type RehearsalState, rehearsalState } from './rehearsal.ts';
import type { Scheduler } from './scheduler.ts';
import type { Story } from './story.ts';
import type { Answers } from './surveys.ts';

/** From the kernel's event to the agent's turn, and the longest that takes. */
const NOTICE: readonly [Nanos, Nanos] = [200 * US, 500 * US];
/** Until a frame or a change of the agent's is out, and until the kernel's answer is in. */
const ACT: readonly [Nanos, Nanos] = [80 * US, 200 * US];
/** Reading the tables. */
const READ: readonly [Nanos, Nanos] = [500 * US, 3 * MS];
/** What a turn takes of the CPU, by what it is about: in user-mode Linux, where a system call costs 50 us. */
const TURNS: Readonly<Partial<Record<WorldEvent['type'], Nanos>>> = {
  link: MS,
  frame: 1500 * US,
  tables: 2 * MS,
  'ogm-sent': 200 * US,
  tick: 800 * US,
};
const TURN: Nanos = 600 * US;
const ADDRESSES_EVERY = 10;
const SURVEY: Nanos = 2 * MS;
/** A router of 256 MiB that has little else to do: what is available of its memory before anybody takes some. */
export const FREE_KIB = 120 * 1024;
const [TOTAL_KIB, OWN_KIB, FLASH_KIB] = [256 * 1024, 70 * 1024, 10 * 1024];
const IDLE = 0.1;
/** The undo helper sees the pipe close. */
const UNDO: Nanos = MS;
/** Events that a stopped agent's sockets hold; more are lost. */
const MOST_HELD = 2000;
/** An agent that ends itself is started again after so long: procd, as our init script sets it. */
const RESPAWN: Nanos = 5 * SECOND;
/** It waits so long for the kernel's numbers to catch up with its last kick, and looks so often (daemon.ts). */
const LONGEST_END: Nanos = 4 * SECOND;
const END_AGAIN: Nanos = 50 * MS;

type ChangeEffect = Extract<Effect, { type: 'change' }>;

/** What a story wants to know of an agent. */
export interface Watcher {
  /** Before the agent is told. */
  onEvent?(world: TwinWorld, event: WorldEvent): void;
  /** What the agent asked for, before it is done. */
  onEffect(world: TwinWorld, effect: Effect): void;
  /** A change, right before the kernel carries it out; of the agent's, or undone for it. */
  onChange?(world: TwinWorld, change: Change, isUndo: boolean): void;
}

type RehearseEffect = Extract<Effect, { type: 'rehearse' }>;
type Rehearsed = Extract<WorldEvent, { type: 'rehearsed' }>;

/**
 * What comes of a rehearsal that an agent asks for, by what it knows of its mesh, and after how long; null: nothing ever.
 */
export type Rehearsing = (
  effect: RehearseEffect,
  known: RehearsalState | null,
  random: Random,
) => (Pick<Rehearsed, 'verdict' | 'detail'> & { readonly afterNs: Nanos }) | null;

export interface WorldOptions {
  readonly node: string;
  readonly kernel: Kernel;
  readonly book: AddressBook;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly clock: Clock;
  readonly cpu: Cpu;
  readonly settings: HealSettings;
  readonly modes: Story['modes'];
  readonly watcher: Watcher;
  readonly rehearsing: Rehearsing;
  /** What counters, stations and the air say, where they say anything. */
  readonly surveys: Answers | null;
}

/** The agent itself, from a start to its end. */
interface Agent {
  readonly room: Heal;
  readonly mesh: Mesh;
  readonly runtime: Runtime;
}

export class TwinWorld implements World, Listener {
  readonly node: string;
  readonly kernel: Kernel;
  agent: Agent | null = null;
  settings: HealSettings;
  /** How many times longer than usual a turn takes: other programs are at work. */
  slowness = 1;
  /** Memory that others have, and whether what a gateway has behind it answers. */
  takenKib = 0;
  upstreamAnswers = true;
  /** What the wall clock is ahead of the agent's own, in milliseconds. */
  wallMs = 1.8e12;
  readonly #options: WorldOptions;
  readonly #armed = new Map<string, Change>();
  readonly #armedBy = new Map<string, ChangeEffect>();
  readonly #marks = new Map<Mac, Mark>();
  /** What agents here have learned, by kind and key. */
  readonly #memories = new Map<string, Memory>();
  #epoch = 0;
  #stopped = false;
  /** The agent has ended itself, and is to be started again. */
  #respawning = false;
  #held: WorldEvent[] = [];
  #told: Nanos = 0;
  #changed: Nanos = 0;
  #tickAt: Nanos = Number.POSITIVE_INFINITY;
  #polling = false;
  #pollAgain = false;
  #polls = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.node = options.node;
    this.kernel = options.kernel;
    this.settings = options.settings;
    options.kernel.listener = this;
    for (const [key, value] of Object.entries(options.modes)) this.#remember({ kind: 'class-mode', key, value });
  }

  /** The agent's own clock. */
  get now(): Nanos {
    return this.#options.clock.local(this.#options.scheduler.now);
  }

  armed(): readonly string[] {
    return [...this.#armed.keys()];
  }

  start(): void {
    if (this.agent !== null) return;
    this.#respawning = false;
    this.#epoch += 1;
    const room = heal();
    const mesh = new Mesh();
    this.agent = { room, mesh, runtime: new Runtime([...room.machines, mesh], this) };
    this.#polling = this.#pollAgain = false;
    this.#polls = 0;
    this.feed({ type: 'settings', settings: this.settings });
    for (const link of this.kernel.links()) this.feed({ type: 'link', link, cause: 'resync' });
    this.feed({ type: 'tables', tables: this.kernel.tables() });
    this.#tap();
    if (this.kernel.mesh !== null)
      this.feed({ type: 'addresses', interface: MESH, addresses: [...this.kernel.mesh.addresses] });
    const [epoch, marks, memories] = [this.#epoch, [...this.#marks.values()], [...this.#memories.values()]];
    this.feed({ type: 'started', node: this.node, epoch, marks, ...(memories.length > 0 && { memories }) });
  }

  /** As by kill -9: what is armed is undone by the helper. */
  kill(): void {
    // Whoever ends it, or cuts the power, ends also what would start it again.
    this.#respawning = false;
    if (this.agent === null) return;
    this.agent = null;
    this.kernel.tapped = null;
    this.#held = [];
    this.#stopped = false;
    const undos = [...this.#armed].map(([id, undo]) => ({ undo, after: this.#armedBy.get(id)?.undoAfter ?? 0 }));
    this.#armed.clear();
    this.#armedBy.clear();
    for (const { undo, after } of undos.reverse())
      this.#options.scheduler.after(UNDO + after, () => {
        this.#options.watcher.onChange?.(this, undo, true);
        this.kernel.apply(undo);
      });
  }

  /** SIGSTOP, SIGCONT: what happens meanwhile waits in its sockets. */
  pause(on: boolean): void {
    this.#stopped = on;
    if (on) return;
    for (const event of this.#held.splice(0)) this.feed(event);
    this.feed({ type: 'tick' });
  }

  change(settings: HealSettings): void {
    this.settings = settings;
    this.feed({ type: 'settings', settings });
  }

  feed(event: WorldEvent): void {
    const { agent } = this;
    if (agent === null) return;
    if (this.#stopped) {
      if (this.#held.length < MOST_HELD && event.type !== 'tick') this.#held.push(event);
      return;
    }
    this.#options.watcher.onEvent?.(this, event);
    agent.runtime.feed(event, this.now);
    this.#schedule();
  }

  // --- Listener: what the kernel tells -----------------------------------------------------------------------------

  onLink(link: Link): void {
    this.#notice({ type: 'link', link, cause: 'event' });
  }

  onGone(index: IfIndex, name: string): void {
    this.#notice({ type: 'link-gone', index, name });
  }

  onSettings(settings: MeshSettings): void {
    this.#notice({ type: 'mesh-settings', interface: MESH, settings });
  }

  onFrame(index: IfIndex, frame: string): void {
    this.#later(this.#span(NOTICE), () => this.#turn({ type: 'frame', interface: index, frame }));
  }

  onOgm(frame: string): void {
    this.#later(this.#span(NOTICE), () => this.#turn({ type: 'ogm-sent', frame }));
  }

  /** Links are told in the order in which they changed. */
  #notice(event: WorldEvent): void {
    if (this.agent === null) return;
    const { scheduler } = this.#options;
    this.#told = Math.max(this.#told, scheduler.now + this.#span(NOTICE));
    this.#later(this.#told - scheduler.now, () => this.#turn(event));
  }

  /** The agent's turn about it, as soon as the CPU is free. */
  #turn(event: WorldEvent): void {
    const { cpu, scheduler } = this.#options;
    const begins = Math.max(scheduler.now, cpu.freeAt);
    cpu.freeAt = begins + this.slowness * (TURNS[event.type] ?? TURN);
    if (begins === scheduler.now) this.feed(event);
    else this.#later(begins - scheduler.now, () => this.feed(event));
  }

  // --- World: what the agent asks for ------------------------------------------------------------------------------

  carryOut(effect: Effect): void {
    this.#options.watcher.onEffect(this, effect);
    switch (effect.type) {
      case 'send': {
        const { book } = this.#options;
        this.#later(this.#span(ACT), () => {
          for (const { interface: index, frame } of effect.frames) {
            if (index === this.kernel.mesh?.index && isAnnouncement(frame))
              this.#options.surveys?.announced?.(this.kernel);
            const read = frameOf(frame, book);
            if (read !== null) this.kernel.inject(index, read);
          }
        });
        return;
      }
      case 'change':
        this.#change(effect);
        return;
      case 'disarm':
        this.#armed.delete(effect.id);
        this.#armedBy.delete(effect.id);
        return;
      case 'poll':
        this.#poll();
        return;
      case 'survey':
        this.#later(SURVEY, () => {
          const { kernel } = this;
          const { surveys } = this.#options;
          if (surveys !== null && effect.of.includes('counters'))
            this.#turn({ type: 'counters', interfaces: surveys.counters(kernel) });
          if (surveys !== null && effect.of.includes('stations'))
            this.#turn({ type: 'stations', stations: surveys.stations(kernel) });
          if (effect.of.includes('vitals')) this.#turn({ type: 'vitals', vitals: this.#vitals() });
          if (effect.of.includes('upstream')) this.#turn({ type: 'upstream', upstream: this.#upstream() });
          if (effect.of.includes('air')) this.#overhear(effect.interfaces);
        });
        return;
      case 'rehearse':
        this.#rehearse(effect);
        return;
      case 'remember-mark': {
        const { sender, epoch, counter } = effect;
        this.#marks.set(sender, { sender, epoch, counter });
        return;
      }
      case 'remember':
        this.#remember(effect);
        return;
      case 'restart':
        // After the turn, as on a router: what else was decided in it is not lost.
        this.#later(0, () => this.#restart(this.#options.scheduler.now + LONGEST_END));
        return;
      default:
    }
  }

  #overhear(interfaces: readonly IfIndex[]): void {
    const { agent } = this;
    for (const index of interfaces)
      this.#options.surveys?.overhear?.(this.kernel, index, (heard) => {
        if (this.agent === agent) this.#turn({ type: 'overheard', interface: index, heard });
      });
  }

  /** `value` null: it is forgotten. */
  #remember({ kind, key, value }: Pick<Memory, 'kind' | 'key'> & { readonly value: string | null }): void {
    if (value === null) this.#memories.delete(`${kind} ${key}`);
    else this.#memories.set(`${kind} ${key}`, { kind, key, value });
  }

  /** Ends once the kernel has caught up with the last kick, or at `until`, and is started again if nobody does so sooner. */
  #restart(until: Nanos): void {
    const { scheduler } = this.#options;
    if (this.agent?.room.kick.isCatchingUp && scheduler.now < until) {
      this.#later(END_AGAIN, () => this.#restart(until));
      return;
    }
    this.kill();
    this.#respawning = true;
    scheduler.after(RESPAWN, () => {
      if (this.#respawning) this.start();
    });
  }

  #rehearse(effect: RehearseEffect): void {
    const { rehearsing, random } = this.#options;
    const { room, mesh } = this.agent!;
    const known = rehearsalState(room, mesh);
    const came = rehearsing(effect, known, random.split(`rehearsal ${effect.id} ${this.now}`));
    if (came === null) return;
    const { afterNs, ...verdict } = came;
    this.#later(afterNs, () => this.#turn({ type: 'rehearsed', id: effect.id, ...verdict }));
  }

  #vitals(): Vitals {
    return {
      busy: this.slowness > 1 ? 1 : IDLE,
      ownBusy: 0.01,
      lateNs: 0,
      availableKib: Math.max(0, FREE_KIB - this.takenKib),
      totalKib: TOTAL_KIB,
      rssKib: OWN_KIB,
      flashKib: FLASH_KIB,
      wallOffsetMs: this.wallMs,
    };
  }

  #upstream(): Upstream {
    return { interface: 'wan0', carrier: true, answers: this.upstreamAnswers };
  }

  /** As the host does it: what cannot be taken back is not done, and what was refused needs no undo. */
  #change(effect: ChangeEffect): void {
    const { id, change, undo } = effect;
    const unknown = [change, ...(undo === null ? [] : [undo])].map((one) => this.#unknown(one)).find((name) => name);
    if (unknown !== undefined) {
      this.feed({ type: 'change-done', id, error: `there is no interface ${unknown}` });
      return;
    }
    const isFirst = !this.#armed.has(id);
    if (undo !== null) {
      this.#armedBy.set(id, effect);
      this.#armed.delete(id);
      this.#armed.set(id, undo);
    }
    // One after the other, as they were asked for. Killed between asking and doing: what went out is done all the same.
    const { scheduler } = this.#options;
    this.#changed = Math.max(this.#changed, scheduler.now + this.#span(ACT));
    scheduler.at(this.#changed, () => {
      this.#options.watcher.onChange?.(this, change, false);
      const error = this.kernel.apply(change);
      if (error !== null && undo !== null && isFirst && this.#armedBy.get(id) === effect) {
        this.#armed.delete(id);
        this.#armedBy.delete(id);
      }
      this.#notice({ type: 'change-done', id, error });
    });
  }

  /** An interface of a change that is not there; '' for none. */
  #unknown(change: Change): string {
    if (change.kind.startsWith('create') || change.kind === 'set-up') return '';
    const names = ['interface' in change ? change.interface : change.mesh];
    if (change.kind === 'set-master' && change.master !== null) names.push(change.master);
    return names.find((name) => (name === MESH ? this.kernel.mesh === null : !this.kernel.byName(name))) ?? '';
  }

  #poll(): void {
    if (this.#polling) {
      this.#pollAgain = true;
      return;
    }
    this.#polling = true;
    this.#later(this.#span(READ), () => {
      this.#polling = false;
      this.#turn({ type: 'tables', tables: this.kernel.tables() });
      this.#tap();
      const { mesh } = this.kernel;
      if (this.#polls % ADDRESSES_EVERY === 0 && mesh !== null)
        this.#turn({ type: 'addresses', interface: MESH, addresses: [...mesh.addresses] });
      this.#polls += 1;
      if (!this.#pollAgain) return;
      this.#pollAgain = false;
      this.#poll();
    });
  }

  #tap(): void {
    const { mesh } = this.kernel;
    if (mesh !== null)
      this.kernel.tapped = mesh.algorithm === 'BATMAN_IV' ? (mesh.protocol.primary?.index ?? null) : null;
  }

  /** setTimeout counts in whole milliseconds. */
  #schedule(): void {
    const { scheduler, clock } = this.#options;
    const deadline = this.agent?.runtime.deadline() ?? Number.POSITIVE_INFINITY;
    if (deadline === Number.POSITIVE_INFINITY) return;
    const wait = Math.max(0, Math.ceil((deadline - this.now) / MS)) * MS;
    const at = Math.max(scheduler.now, clock.time(this.now + wait));
    if (at >= this.#tickAt) return;
    this.#tickAt = at;
    scheduler.at(at, () => {
      if (this.#tickAt !== at) return;
      this.#tickAt = Number.POSITIVE_INFINITY;
      if (this.agent !== null && this.agent.runtime.deadline() <= this.now) this.#turn({ type: 'tick' });
      else this.#schedule();
    });
  }

  /** For the agent that asked or listens now; another one started meanwhile has nothing of it. */
  #later(after: Nanos, run: () => void): void {
    const { agent } = this;
    if (agent === null) return;
    this.#options.scheduler.after(after, () => {
      if (this.agent === agent) run();
    });
  }

  #span([low, high]: readonly [Nanos, Nanos]): Nanos {
    return Math.round(this.#options.random.between(low, high));
  }
}
