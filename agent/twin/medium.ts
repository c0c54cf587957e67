/**
 * What frames travel over. A port has a way to each port that may hear it; a cable is a medium of two ports, a shared
 * medium has more, and who cannot hear whom has no way there. Each direction is of its own: asymmetric links and hidden
 * routers are ways that differ or lack.
 */
import { type Nanos, US } from '../core/time.ts';
import type { Address, Frame } from './frames.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface Port {
  readonly medium: Medium;
  readonly ways: Way[];
  /** Of the interface that is plugged in here. */
  address: Address;
  /** What the interface here sees of its carrier. */
  carrier: boolean;
  onFrame: (frame: Frame) => void;
  onCarrier: () => void;
  /** Until when it sends. */
  sendsUntil: Nanos;
  /** Until when it hears somebody, and whom. */
  hearsUntil: Nanos;
  hears: Port | null;
}

export interface Way {
  readonly to: Port;
  /** 0..1, of each frame. */
  loss: number;
  delayNs: Nanos;
  /** False: frames vanish, and nobody is told. */
  open: boolean;
}

export interface MediumOptions {
  readonly kind: 'cable' | 'air';
  /** kbit/s */
  readonly rate: number;
  /** Frames to one receiver are sent so often again where they are lost (802.11). */
  readonly retries?: number;
  /** The loss of a way just now, where it changes by itself. */
  readonly lossAt?: (from: Port, way: Way, now: Nanos) => number;
}

/** What a frame takes where nothing holds it up. */
const AT_ONCE: Nanos = 50 * US;

export class Medium {
  readonly ports: Port[] = [];
  readonly kind: 'cable' | 'air';
  readonly #options: MediumOptions;
  readonly #scheduler: Scheduler;
  readonly #random: Random;

  constructor(options: MediumOptions, scheduler: Scheduler, random: Random) {
    this.kind = options.kind;
    this.#options = options;
    this.#scheduler = scheduler;
    this.#random = random;
  }

  port(): Port {
    const port: Port = {
      medium: this,
      ways: [],
      address: -1,
      carrier: true,
      onFrame: () => {},
      onCarrier: () => {},
      sendsUntil: 0,
      hearsUntil: 0,
      hears: null,
    };
    this.ports.push(port);
    return port;
  }

  /** One direction. */
  join(from: Port, to: Port, { loss = 0, delayNs = AT_ONCE }: Partial<Pick<Way, 'loss' | 'delayNs'>> = {}): void {
    from.ways.push({ to, loss, delayNs, open: true });
  }

  /** Plugged or unplugged: all interfaces here see it. */
  carrier(on: boolean): void {
    for (const port of this.ports) {
      if (port.carrier === on) continue;
      port.carrier = on;
      port.onCarrier();
    }
  }

  /**
   * Of what somebody sends to nobody in particular, the share that a port gets: of radios, whose worst ways carry hardly
   * anything. Loss of its own that a story gives a link is not counted: it befalls a mesh that was whole.
   */
  carries(from: Address, to: Port): number {
    const { lossAt } = this.#options;
    if (lossAt === undefined) return 1;
    const sender = this.ports.find(({ address }) => address === from);
    const way = sender?.ways.find((one) => one.to === to);
    return sender === undefined || way === undefined ? 1 : 1 - lossAt(sender, way, this.#scheduler.now);
  }

  /** `one` null: for everybody in reach. */
  send(from: Port, frame: Frame, one: Address | null): void {
    const { now } = this.#scheduler;
    const isAir = this.kind === 'air';
    const takes = Math.round((frame.bytes * 8e6) / this.#options.rate);
    let begins = Math.max(now, from.sendsUntil);
    // Listen before talk, and a short wait of each its own.
    if (isAir) begins = Math.max(begins, from.hearsUntil) + this.#random.int(16) * 9 * US;
    const ends = begins + takes;
    from.sendsUntil = ends;
    if (!isAir) {
      for (const way of from.ways) this.#pass(from, way, frame, one, ends);
      return;
    }
    const heard: Way[] = [];
    for (const way of from.ways) {
      const isDrowned = !this.#hears(from, way.to, begins, ends);
      if (one === null ? !isDrowned : way.to.address === one) heard.push(way);
    }
    // All hear it in the same instant, one event; but those behind something that holds frames up.
    this.#scheduler.at(ends, () => {
      for (const way of heard) {
        if (!this.#arrives(from, way, one !== null)) continue;
        if (way.delayNs > AT_ONCE) this.#later(from, way, frame, ends);
        else way.to.onFrame(frame);
      }
    });
  }

  #pass(from: Port, way: Way, frame: Frame, one: Address | null, ends: Nanos): void {
    if ((one !== null && way.to.address !== one) || !this.#arrives(from, way, one !== null)) return;
    this.#later(from, way, frame, ends);
  }

  #later(from: Port, way: Way, frame: Frame, ends: Nanos): void {
    this.#scheduler.at(ends + way.delayNs, () => {
      if (way.open && from.carrier && way.to.carrier) way.to.onFrame(frame);
    });
  }

  #arrives(from: Port, way: Way, isUnicast: boolean): boolean {
    if (!way.open || !from.carrier || !way.to.carrier) return false;
    const loss = this.#options.lossAt?.(from, way, this.#scheduler.now) ?? way.loss;
    if (loss <= 0) return true;
    for (let tries = isUnicast ? 1 + (this.#options.retries ?? 0) : 1; tries > 0; tries--)
      if (!this.#random.is(loss)) return true;
    return false;
  }

  /**
   * Who listens to somebody already, whom this sender cannot hear, goes on listening to that one. What is for one
   * receiver only is sent again until it is heard.
   */
  #hears(from: Port, to: Port, begins: Nanos, ends: Nanos): boolean {
    if (to.hears !== from && to.hearsUntil > begins) return false;
    to.hears = from;
    to.hearsUntil = ends;
    return true;
  }
}
