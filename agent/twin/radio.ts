/**
 * Who hears whom by radio, and how well: log-distance path loss with shadowing (Rappaport, Wireless Communications, 4.9),
 * slow fading in blocks, interferers that come and go. Each router has its own power and noise, so no link is quite
 * symmetric, and two that cannot hear each other may both reach a third.
 */

import { decibels, exp, fromDecibels } from '../core/math.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Port, Way } from './medium.ts';
import { drawn, type Random } from './random.ts';

export interface Place {
  /** Metres. */
  readonly x: number;
  readonly y: number;
}

/** Somebody else's transmitter. */
export interface Interferer extends Place {
  readonly powerDbm: number;
  /** How long it is on, and how long off. */
  readonly onNs: Nanos;
  readonly offNs: Nanos;
}

const POWER_DBM = 20;
const NOISE_DBM = -95;
/** At one metre, 2.4 GHz in the open. */
const FIRST_METRE_DB = 40;
const EXPONENT = 3;
const SHADOW_DB = 4;
/** Of power and noise, from router to router. */
const SPREAD_DB = 1.5;
const FADE_DB = 1.5;
const COHERENCE: Nanos = 2 * SECOND;
/** Half of all frames are lost at this ratio of signal to noise; how fast that changes. */
const HALF_DB = 8;
const SLOPE_DB = 1.5;
/** Ways that are worse than this are none. */
const HEARD_DB = 4;

interface Radio {
  readonly port: Port;
  readonly place: Place;
  readonly powerDbm: number;
  readonly noiseDbm: number;
}

export class Air {
  readonly #seed: number;
  readonly #radios: Radio[] = [];
  readonly #numbers = new Map<Port, number>();
  /** Of each way, without fading and interference. */
  readonly #ratios = new Map<Way, number>();
  readonly #interferers: readonly Interferer[];
  readonly #random: Random;

  constructor(random: Random, interferers: readonly Interferer[]) {
    this.#random = random;
    this.#interferers = interferers;
    this.#seed = random.uint32();
  }

  add(port: Port, place: Place): void {
    const own = this.#random.split(this.#radios.length);
    const powerDbm = POWER_DBM + SPREAD_DB * own.normal();
    const noiseDbm = NOISE_DBM + Math.max(0, SPREAD_DB * own.normal());
    const radio = { port, place, powerDbm, noiseDbm };
    for (const [n, other] of this.#radios.entries()) {
      const loss = this.#pathLoss(radio, other, this.#radios.length * 65536 + n);
      if (ratioOf(radio, other, loss) >= HEARD_DB) this.#join(radio, other, loss);
      if (ratioOf(other, radio, loss) >= HEARD_DB) this.#join(other, radio, loss);
    }
    this.#numbers.set(port, this.#radios.length);
    this.#radios.push(radio);
  }

  /** There is a way, however bad, and this is what it does to frames beside what the air does. */
  name(from: Port, to: Port, beside: Pick<Way, 'loss' | 'delayNs'>): void {
    const [a, b] = [this.#numbers.get(from)!, this.#numbers.get(to)!];
    if (!from.ways.some((way) => way.to === to)) {
      const [one, other] = [this.#radios[Math.max(a, b)]!, this.#radios[Math.min(a, b)]!];
      const loss = this.#pathLoss(one, other, Math.max(a, b) * 65536 + Math.min(a, b));
      this.#join(this.#radios[a]!, this.#radios[b]!, loss);
    }
    Object.assign(from.ways.find((way) => way.to === to)!, beside);
  }

  /** What Medium asks. */
  lossAt(from: Port, way: Way, now: Nanos): number {
    const ratio = this.#ratios.get(way);
    if (ratio === undefined) return way.loss;
    const [a, b] = [this.#numbers.get(from)!, this.#numbers.get(way.to)!];
    const block = Math.floor(now / COHERENCE);
    // Both directions fade together.
    const fade =
      drawn(this.#seed, Math.min(a, b) * 65536 + Math.max(a, b), block) + drawn(this.#seed, block, a + b) - 1;
    const loss = lossOf(ratio + 2 * FADE_DB * fade - this.#noiseAbove(this.#radios[b]!, now));
    return 1 - (1 - loss) * (1 - way.loss);
  }

  #join(from: Radio, to: Radio, loss: number): void {
    from.port.medium.join(from.port, to.port);
    this.#ratios.set(from.port.ways.at(-1)!, ratioOf(from, to, loss));
  }

  #pathLoss(a: Radio, b: Radio, pair: number): number {
    const [dx, dy] = [a.place.x - b.place.x, a.place.y - b.place.y];
    const metres = Math.max(1, Math.sqrt(dx * dx + dy * dy));
    return FIRST_METRE_DB + EXPONENT * decibels(metres) + SHADOW_DB * this.#random.split(`shadow ${pair}`).normal();
  }

  /** By how much interferers raise the noise at a receiver just now. */
  #noiseAbove(at: Radio, now: Nanos): number {
    if (this.#interferers.length === 0) return 0;
    let power = 0;
    for (const { x, y, powerDbm, onNs, offNs } of this.#interferers) {
      if (now % (onNs + offNs) >= onNs) continue;
      const [dx, dy] = [at.place.x - x, at.place.y - y];
      const metres = Math.max(1, Math.sqrt(dx * dx + dy * dy));
      power += fromDecibels(powerDbm - FIRST_METRE_DB - EXPONENT * decibels(metres) - at.noiseDbm);
    }
    return decibels(1 + power);
  }
}

function ratioOf(from: Radio, to: Radio, loss: number): number {
  return from.powerDbm - loss - to.noiseDbm;
}

function lossOf(ratioDb: number): number {
  const loss = 1 / (1 + exp((ratioDb - HALF_DB) / SLOPE_DB));
  return loss < 0.0005 ? 0 : loss;
}
