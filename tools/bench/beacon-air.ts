/**
 * Beacon machines on a simulated air: virtual time, clocks that are wrong, frames that are late or lost. For benches and
 * tests; frames travel as the bytes that a router would send.
 */
import { Beacon } from '../../agent/beacon/beacon.ts';
import type { BeaconSettings } from '../../agent/beacon/profile.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Event, HealSettings } from '../../agent/core/event.ts';
import type { Mac } from '../../agent/core/ids.ts';
import { STOCK_SETTINGS } from '../../agent/core/kernel.ts';
import { MS, type Nanos, SECOND, US } from '../../agent/core/time.ts';
import type { Symptom } from '../../agent/core/words.ts';
import { NO_SETTINGS } from '../../agent/heal/surroundings.ts';
import type { Draw } from './seeded.ts';

export interface AirConditions {
  readonly settings: BeaconSettings;
  readonly draw: Draw;
  /** Who hears whom, in both directions. */
  readonly links: readonly (readonly [number, number])[];
  /** Of each frame, for each listener, now. */
  loss(from: number, to: number, t: Nanos): number;
  /** How late a frame arrives; 5 to 50 us where it is not given. */
  delay?(): Nanos;
  /** Clocks are wrong by up to so much of their rate. */
  readonly skew?: number;
  /** OGMs are heard, as batman-adv's tables tell once a second. */
  readonly ogms?: boolean;
}

export interface Station {
  readonly id: number;
  readonly node: Mac;
  readonly port: Mac;
  machine: Beacon;
  readonly rate: number;
  readonly offset: Nanos;
  readonly symptoms: { readonly t: Nanos; readonly symptom: Symptom }[];
  readonly metrics: Map<string, number>;
  readonly near: number[];
  readonly lastOgm: Map<number, Nanos>;
  alive: boolean;
  epoch: number;
  /** The tick that is scheduled, in true time. */
  tickAt: Nanos;
}

interface Task {
  readonly t: Nanos;
  readonly order: number;
  run(): void;
}

const KEY = '5e'.repeat(32);
const PORT = 21;
const OGM: Nanos = SECOND;
/** The tables are read within so long of being asked for. */
const READ: Nanos = 5 * MS;
const hex = (n: number) => n.toString(16).padStart(2, '0');
const BROADCAST = 'ffffffffffff';

export class BeaconAir {
  readonly stations: Station[] = [];
  readonly #conditions: AirConditions;
  readonly #heap: Task[] = [];
  readonly #heal: HealSettings;
  #order = 0;
  t: Nanos = 0;
  frames = 0;

  constructor(count: number, conditions: AirConditions, key = KEY) {
    this.#conditions = conditions;
    this.#heal = { ...NO_SETTINGS, mode: 'act', key };
    const { skew = 0, draw, settings } = conditions;
    for (let id = 0; id < count; id++) {
      this.stations.push({
        id,
        node: `02:00:00:${hex(id >> 8)}:${hex(id & 255)}:00`,
        port: `02:00:00:${hex(id >> 8)}:${hex(id & 255)}:01`,
        machine: new Beacon(settings, this.#heal),
        rate: 1 + skew * (2 * draw() - 1),
        offset: Math.round(draw() * 1e6) * SECOND,
        symptoms: [],
        metrics: new Map(),
        near: conditions.links.flatMap(([a, b]) => (a === id ? [b] : b === id ? [a] : [])),
        lastOgm: new Map(),
        alive: false,
        epoch: 0,
        tickAt: Number.POSITIVE_INFINITY,
      });
    }
  }

  local({ rate, offset }: Station, t: Nanos = this.t): Nanos {
    return offset + rate * t;
  }

  #true({ rate, offset }: Station, local: Nanos): Nanos {
    return (local - offset) / rate;
  }

  /** A router comes, or comes back, with a new life. */
  start(id: number): void {
    const station = this.stations[id]!;
    station.machine = new Beacon(this.#conditions.settings, this.#heal);
    station.alive = true;
    station.epoch += 1;
    const { epoch, node, port } = station;
    const link = { up: true, carrier: true, mtu: 1532, peer: 0 };
    const bat0 = { ...link, index: 10, name: 'bat0', mac: '02:ff:00:00:00:00', master: 0, kind: 'batadv' };
    this.feed(station, { type: 'link', link: bat0, cause: 'resync' });
    const hard = { ...link, index: PORT, name: 'wlan0', mac: port, master: 10, kind: '' };
    this.feed(station, { type: 'link', link: hard, cause: 'resync' });
    this.#tables(station);
    this.feed(station, { type: 'started', node, epoch, marks: [] });
    if (this.#conditions.ogms) {
      this.#ogm(station, epoch);
      this.#poll(station, epoch);
    }
  }

  stop(id: number, politely = false): void {
    const station = this.stations[id]!;
    if (politely) this.#carryOut(station, station.machine.farewell(this.local(station)));
    station.alive = false;
  }

  feed(station: Station, event: Event): void {
    if (!station.alive) return;
    this.#carryOut(station, station.machine.on(event, this.local(station)));
    this.#schedule(station);
  }

  run(until: Nanos): void {
    for (let task = this.#heap[0]; task !== undefined && task.t <= until; task = this.#heap[0]) {
      this.#pop();
      this.t = Math.max(this.t, task.t);
      task.run();
    }
    this.t = until;
  }

  /** At a time, in order. */
  at(t: Nanos, run: () => void): void {
    this.#order += 1;
    const heap = this.#heap;
    heap.push({ t, order: this.#order, run });
    for (let i = heap.length - 1; i > 0; ) {
      const up = (i - 1) >> 1;
      if (!before(heap[i]!, heap[up]!)) break;
      [heap[i], heap[up]] = [heap[up]!, heap[i]!];
      i = up;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }

  #schedule(station: Station): void {
    const deadline = station.machine.deadline();
    if (deadline === Number.POSITIVE_INFINITY) return;
    // As a timer: never early, whatever the digits of two clocks make of each other.
    const t = Math.max(this.t, this.#true(station, deadline) + US);
    if (t >= station.tickAt) return;
    station.tickAt = t;
    this.at(t, () => {
      if (station.tickAt !== t) return;
      station.tickAt = Number.POSITIVE_INFINITY;
      this.feed(station, { type: 'tick' });
    });
  }

  #carryOut(station: Station, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') for (const { frame } of effect.frames) this.#send(station, frame);
      else if (effect.type === 'transmit-at') {
        const { id, frame, at } = effect;
        const t = Math.max(this.t, this.#true(station, at));
        const { epoch } = station;
        this.at(t, () => {
          if (!station.alive || station.epoch !== epoch) return;
          const left = this.local(station);
          this.#send(station, frame);
          this.feed(station, { type: 'transmitted', id, at: left, stamped: true, error: null });
        });
      } else if (effect.type === 'poll') {
        const { epoch } = station;
        if (this.#conditions.ogms)
          this.at(this.t + READ, () => station.alive && station.epoch === epoch && this.#tables(station));
      } else if (effect.type === 'emit' && effect.event.type === 'symptom')
        station.symptoms.push({ t: this.t, symptom: effect.event.symptom });
      else if (effect.type === 'metric') {
        const name = [effect.name, ...Object.values(effect.labels)].join(' ');
        station.metrics.set(name, (station.metrics.get(name) ?? 0) + effect.value);
      }
    }
  }

  #send(from: Station, frame: string): void {
    const { draw, loss, delay } = this.#conditions;
    this.frames += 1;
    const to = frame.slice(0, 12);
    for (const id of from.near) {
      const station = this.stations[id]!;
      if (!station.alive || (to !== BROADCAST && to !== station.port.replaceAll(':', ''))) continue;
      if (draw() < loss(from.id, id, this.t)) continue;
      const t = this.t + (delay?.() ?? (5 + 45 * draw()) * US);
      this.at(t, () => this.feed(station, { type: 'frame', interface: PORT, frame, at: this.local(station) }));
    }
  }

  #ogm(station: Station, epoch: number): void {
    if (!station.alive || station.epoch !== epoch) return;
    for (const id of station.near)
      if (this.#conditions.draw() >= this.#conditions.loss(station.id, id, this.t))
        this.stations[id]!.lastOgm.set(station.id, this.t);
    // batman-adv's own jitter is +-20 ms.
    this.at(this.t + OGM + (this.#conditions.draw() - 0.5) * 40 * MS, () => this.#ogm(station, epoch));
  }

  #poll(station: Station, epoch: number): void {
    if (!station.alive || station.epoch !== epoch) return;
    this.#tables(station);
    this.at(this.t + SECOND, () => this.#poll(station, epoch));
  }

  #tables(station: Station): void {
    const neighbours = [...station.lastOgm].map(([id, at]) => ({
      neighbour: this.stations[id]!.port,
      interface: PORT,
      interfaceName: 'wlan0',
      lastSeenMs: Math.floor((this.t - at) / MS),
    }));
    const mesh = {
      index: 10,
      name: 'bat0',
      mac: '02:ff:00:00:00:00',
      version: '2022.3',
      algorithm: 'BATMAN_IV' as const,
      primary: { index: PORT, name: 'wlan0', mac: station.node },
      settings: STOCK_SETTINGS,
    };
    const tables = { mesh, hardInterfaces: [], originators: [], neighbours, gateways: [] };
    this.feed(station, { type: 'tables', tables });
  }
}

function before(a: Task, b: Task): boolean {
  return a.t < b.t || (a.t === b.t && a.order < b.order);
}
