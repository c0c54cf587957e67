/**
 * A router with a small kernel that does as it is told, for the faults of the catalogue: two cables to two neighbours,
 * a third router behind both. What a test changes in `kernel` the agent finds at its next look; what the agent changes is
 * changed, answered, and noted.
 */
import type { Effect } from '../../../agent/core/effect.ts';
import type { HealSettings, Memory, Tables } from '../../../agent/core/event.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import {
  type Change,
  type Gateway,
  type InterfaceCounters,
  type Link,
  type MeshSettings,
  type Overheard,
  STOCK_SETTINGS,
  type Stations,
  type Upstream,
  type Vitals,
} from '../../../agent/core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Decision, FaultClass } from '../../../agent/core/words.ts';
import { Mesh } from '../../../agent/mesh/mesh.ts';
import { BAT0, bat0, ORIGINATOR, port, Router } from './harness.ts';

export const N1 = '02:00:00:00:01:01';
export const N2 = '02:00:00:00:01:02';
export const X = '02:00:00:00:00:aa';
const BR_LAN = 12;

export interface Port {
  link: Link;
  hopPenalty: number;
  neighbour: Mac;
  /** Nothing comes from it any more. */
  silent: boolean;
  /** The TQ towards it, before our own hop penalty. */
  tq: number;
  rttNs: Nanos;
  /** What is left of it towards the routers beyond. */
  beyond: number;
  heardAt: Nanos;
}

export class Story {
  readonly kernel: {
    ports: Port[];
    settings: MeshSettings;
    mesh: Link;
    /** Routers beyond the neighbours, heard through both; when they were silenced. */
    far: Map<Mac, Nanos | null>;
    gateways: Gateway[];
    counters: Map<string, InterfaceCounters>;
    /** Packets a second: [in, out], and their size. */
    rates: Map<string, [rx: number, tx: number, size: number, multicast?: number]>;
    vitals: Vitals;
    stations: Stations;
    upstream: Upstream;
    overheard: Overheard[];
    verdict: 'better' | 'same' | 'worse' | 'unknown' | null;
  };
  readonly router: Router;
  readonly changed: Change[] = [];
  readonly decisions: Decision[] = [];
  /** Rehearsals that were asked for. */
  readonly asked: Effect[] = [];
  readonly log: string[] = [];
  readonly armed = new Map<string, Change>();
  /** What went into bat0, as hex. */
  readonly sent: string[] = [];
  readonly surveys = new Map<string, number>();
  readonly memories: Memory[] = [];
  polls = 0;
  /** Why the kernel does not take a change, or null. */
  refuse: (change: Change) => string | null = () => null;
  /** Whether it says what became of it. */
  answer: (change: Change) => boolean = () => true;
  #countedAt: Nanos = 1e12;

  constructor(settings: Partial<HealSettings> = {}, over: Partial<Story['kernel']> = {}) {
    const a = (n: number, neighbour: Mac): Port => ({
      link: port(n),
      hopPenalty: 0,
      neighbour,
      silent: false,
      tq: 255,
      rttNs: 2 * MS,
      beyond: 0.88,
      heardAt: 1e12,
    });
    this.kernel = {
      ports: [a(1, N1), a(2, N2)],
      settings: { ...STOCK_SETTINGS, hopPenalty: 30 },
      mesh: { ...bat0, master: BR_LAN },
      far: new Map([[X, null]]),
      gateways: [],
      counters: new Map(),
      rates: new Map(),
      vitals: {
        busy: 0.1,
        ownBusy: 0.01,
        lateNs: MS,
        availableKib: 100_000,
        totalKib: 256_000,
        rssKib: 70_000,
        flashKib: 10_000,
        wallOffsetMs: 1.8e12,
      },
      stations: { local: 2, remote: 4, disputed: [], tables: [] },
      upstream: { interface: 'wan', carrier: true, answers: true },
      overheard: [],
      verdict: 'same',
      ...over,
    };
    const br: Link = { ...bat0, index: BR_LAN, name: 'br-lan', kind: 'bridge', mac: '02:00:00:00:00:b1' };
    this.router = new Router(settings, [br, ...this.kernel.ports.map(({ link }) => link)], this.#tables(1e12), {
      machines: [new Mesh()],
      carryOut: (effect) => this.#carryOut(effect),
    });
    this.router.feed({ type: 'link', link: this.kernel.mesh, cause: 'event' });
    this.router.effects.length = 0;
  }

  get now(): Nanos {
    return this.router.now;
  }

  /** Lets seconds pass, a neighbour's echoes and OGMs with them. */
  run(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      const { now } = this;
      for (const { link, neighbour, silent, rttNs } of this.kernel.ports)
        if (i % 10 === 0 && !silent && link.carrier && link.master === BAT0)
          this.router.runtime.feed({ type: 'echo', interface: link.index, neighbour, rttNs } as never, now);
      this.router.pass(SECOND);
      this.router.effects.length = 0;
    }
  }

  /** Over two minutes: windows are full, everybody is known. */
  settle(): this {
    this.run(150);
    this.decisions.length = 0;
    return this;
  }

  classes(): FaultClass[] {
    return [...new Set(this.decisions.map(({ fault }) => fault.class))];
  }

  open(): FaultClass[] {
    return this.router.room.analyse.open().map((fault) => fault.class);
  }

  steps(kind: FaultClass): string[] {
    return this.decisions.filter(({ fault }) => fault.class === kind).map(({ step, action }) => `${step} ${action}`);
  }

  tell(n: number, over: Partial<Link>): void {
    const one = this.kernel.ports[n - 1]!;
    one.link = { ...one.link, ...over };
    this.router.runtime.feed({ type: 'link', link: one.link, cause: 'event' }, this.now);
  }

  tellMesh(over: Partial<Link>): void {
    this.kernel.mesh = { ...this.kernel.mesh, ...over };
    this.router.runtime.feed({ type: 'link', link: this.kernel.mesh, cause: 'event' }, this.now);
  }

  act(kind: FaultClass): void {
    this.router.runtime.feed({ type: 'class-mode-asked', by: 'root', class: kind, mode: 'act' }, this.now);
  }

  #carryOut(effect: Effect): void {
    if (this.router === undefined) return;
    const { runtime, now } = this.router;
    switch (effect.type) {
      case 'remember':
        if (effect.value !== null) this.memories.push({ kind: effect.kind, key: effect.key, value: effect.value });
        return;
      case 'poll':
        this.polls += 1;
        runtime.feed({ type: 'tables', tables: this.#tables(now) }, now);
        return;
      case 'journal':
        this.decisions.push(effect.decision);
        return;
      case 'log':
        this.log.push(effect.message);
        return;
      case 'rehearse':
        this.asked.push(effect);
        if (this.kernel.verdict !== null)
          runtime.feed({ type: 'rehearsed', id: effect.id, verdict: this.kernel.verdict, detail: 'so it went' }, now);
        return;
      case 'send':
        for (const { interface: index, frame } of effect.frames) if (index === BAT0) this.sent.push(frame);
        return;
      case 'disarm':
        this.armed.delete(effect.id);
        return;
      case 'change':
        if (effect.undo !== null) this.armed.set(effect.id, effect.undo);
        this.changed.push(effect.change);
        if (!this.answer(effect.change)) return;
        runtime.feed(
          { type: 'change-done', id: effect.id, error: this.refuse(effect.change) ?? this.#change(effect.change) },
          now,
        );
        return;
      case 'survey':
        for (const of of effect.of) this.surveys.set(of, (this.surveys.get(of) ?? 0) + 1);
        if (effect.of.includes('counters')) this.#count(now);
        if (effect.of.includes('vitals')) runtime.feed({ type: 'vitals', vitals: this.kernel.vitals }, now);
        if (effect.of.includes('stations')) runtime.feed({ type: 'stations', stations: this.kernel.stations }, now);
        if (effect.of.includes('upstream')) runtime.feed({ type: 'upstream', upstream: this.kernel.upstream }, now);
        for (const index of effect.interfaces)
          runtime.feed({ type: 'overheard', interface: index, heard: this.kernel.overheard }, now);
    }
  }

  #change(change: Change): string | null {
    const named =
      'interface' in change ? this.kernel.ports.findIndex(({ link }) => link.name === change.interface) : -1;
    switch (change.kind) {
      case 'set-mesh':
        Object.assign(this.kernel.settings, change.settings);
        return null;
      case 'set-hard':
        if (named < 0) return 'No such device';
        this.kernel.ports[named]!.hopPenalty = change.settings.hopPenalty ?? 0;
        return null;
      case 'set-mtu':
        if (change.interface === 'bat0') this.tellMesh({ mtu: change.mtu });
        else this.tell(named + 1, { mtu: change.mtu });
        return null;
      case 'set-up':
        if (change.interface === 'bat0') this.tellMesh({ up: change.up });
        else this.tell(named + 1, { up: change.up });
        return null;
      case 'set-master': {
        const master = { bat0: BAT0, 'br-lan': BR_LAN }[change.master ?? ''] ?? 0;
        if (change.interface === 'bat0') this.tellMesh({ master });
        else this.tell(named + 1, { master });
        return null;
      }
      default:
        return null;
    }
  }

  #count(now: Nanos): void {
    const seconds = (now - this.#countedAt) / SECOND;
    this.#countedAt = now;
    for (const name of ['bat0', 'br-lan', ...this.kernel.ports.map(({ link }) => link.name)]) {
      const [rx, tx, size, multicast = 0] = this.kernel.rates.get(name) ?? [3, 3, 100];
      const was = this.kernel.counters.get(name);
      this.kernel.counters.set(name, {
        name,
        rxPackets: (was?.rxPackets ?? 0) + rx * seconds,
        rxBytes: (was?.rxBytes ?? 0) + rx * size * seconds,
        rxMulticast: (was?.rxMulticast ?? 0) + multicast * seconds,
        txPackets: (was?.txPackets ?? 0) + tx * seconds,
        txBytes: (was?.txBytes ?? 0) + tx * size * seconds,
      });
    }
    const interfaces = [...this.kernel.counters.values()];
    this.router.runtime.feed({ type: 'counters', interfaces }, now);
  }

  #tables(now: Nanos): Tables {
    const { settings, far, gateways, ports } = this.kernel;
    const live = ports.filter(({ link }) => link.master === BAT0);
    for (const one of live) if (!one.silent && one.link.carrier && one.link.up) one.heardAt = now - 300 * MS;
    const age = (at: Nanos) => Math.round((now - at) / MS);
    const worth = ({ tq, hopPenalty }: Port) => Math.floor((tq * (255 - hopPenalty)) / 255);
    const known = live.filter(({ heardAt }) => now - heardAt < 200 * SECOND);
    const best = [...known]
      .sort((a, b) => worth(b) * b.beyond - worth(a) * a.beyond)
      .find(({ heardAt }) => now - heardAt < 5 * SECOND);
    const path = (originator: Mac, one: Port, isBest: boolean, heard: Nanos, tq: number) => ({
      originator,
      neighbour: one.neighbour,
      interface: one.link.index,
      interfaceName: one.link.name,
      best: isBest,
      lastSeenMs: age(heard),
      tq,
    });
    return {
      mesh: {
        index: BAT0,
        name: 'bat0',
        mac: bat0.mac,
        version: '2022.3',
        algorithm: 'BATMAN_IV',
        primary: { index: 11, name: 'primary0', mac: ORIGINATOR },
        settings: { ...settings },
      },
      hardInterfaces: live.map(({ link, hopPenalty }) => ({
        index: link.index,
        name: link.name,
        mac: link.mac,
        active: true,
        hopPenalty,
      })),
      originators: [
        ...known.map((one) => path(one.neighbour, one, true, one.heardAt, worth(one))),
        ...[...far].flatMap(([router, silenced]) =>
          known.map((one) =>
            path(
              router,
              one,
              one === best,
              Math.min(one.heardAt, silenced ?? now),
              Math.floor(worth(one) * one.beyond),
            ),
          ),
        ),
      ],
      neighbours: known.map(({ neighbour, link, heardAt }) => ({
        neighbour,
        interface: link.index,
        interfaceName: link.name,
        lastSeenMs: age(heardAt),
      })),
      gateways,
    };
  }
}
