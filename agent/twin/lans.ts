/**
 * Client networks of routers, each bridged to bat0 as OpenWrt has it, and the cables that somebody plugs in between two of
 * them. What is broadcast then goes round by cable and mesh, until one of the two lets go of its client network or both
 * avoid bridge loops (batman-adv's bridge_loop_avoidance.c; one alone hears nobody's claims). Only what an agent can read
 * of it is there: counters, stations that two routers announce, and who avoids loops by the same cable. Broadcasts take no
 * time of any CPU or cable here. What went round has moved the address of either router to the other, in the tables of all,
 * until that router is heard again by its bat0; users' packets do not go by those tables.
 */
import type { Mac } from '../core/ids.ts';
import type { InterfaceCounters, Stations, Taken } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { type Kernel, LAN, MESH } from './kernel.ts';
import type { Scheduler } from './scheduler.ts';
import type { Answers } from './surveys.ts';

/** Frames a second, and their size: ARP requests on a cable of 0.5 Mbit/s, as the lab has it. */
const STORM = 1000;
const BYTES = 60;
const STEP: Nanos = 100 * MS;
/** A router that was not heard for so long on a LAN is no longer there (BATADV_BLA_BACKBONE_TIMEOUT). */
const BACKBONE_TIMEOUT: Nanos = 60 * SECOND;

interface Joined {
  readonly pair: readonly [Kernel, Kernel];
  plugged: boolean;
  /** Something looks every STEP whether anything goes round: once it is unplugged, no longer. */
  watched: boolean;
  circling: boolean;
  /** When both were there last, and avoided loops. */
  avoidedAt: Nanos | null;
}

export class Lans implements Answers {
  readonly #scheduler: Scheduler;
  readonly #kernels: () => readonly Kernel[];
  readonly #reaches: (from: Kernel, to: Kernel) => boolean;
  readonly #cables: Joined[] = [];
  /** Broadcasts that came out of the mesh by each kernel's bat0, and went into it. */
  readonly #seen = new Map<Kernel, { rx: number; tx: number }>();
  /** Whose own address has moved. */
  readonly #moved = new Set<Kernel>();

  /** `kernels`: of all routers. `reaches`: a frame from one arrives at the other. */
  constructor(scheduler: Scheduler, kernels: () => readonly Kernel[], reaches: (from: Kernel, to: Kernel) => boolean) {
    this.#scheduler = scheduler;
    this.#kernels = kernels;
    this.#reaches = reaches;
  }

  join(pair: readonly [Kernel, Kernel], plugged: boolean): void {
    let cable = this.#cables.find((one) => one.pair[0] === pair[0] && one.pair[1] === pair[1]);
    if (cable === undefined) {
      cable = { pair, plugged: false, watched: false, circling: false, avoidedAt: null };
      this.#cables.push(cable);
    }
    cable.plugged = plugged;
    if (!plugged) cable.circling = false;
    else if (!cable.watched) this.#run(cable);
  }

  unplugAll(): void {
    for (const { pair } of this.#cables) this.join(pair, false);
  }

  counters(kernel: Kernel): InterfaceCounters[] {
    const { rx, tx } = this.#seen.get(kernel) ?? { rx: 0, tx: 0 };
    const row = (name: string, came: number, went: number, multicast: number): InterfaceCounters => ({
      name,
      rxPackets: came,
      rxBytes: came * BYTES,
      rxMulticast: multicast,
      txPackets: went,
      txBytes: went * BYTES,
    });
    const bridge = kernel.byName(LAN);
    return [
      // batman-adv counts no multicast.
      ...(kernel.mesh === null ? [] : [row(MESH, rx, tx, 0)]),
      ...(bridge === undefined ? [] : [row(LAN, rx, tx, rx)]),
      // Flooded, each broadcast comes and goes once by each.
      ...kernel.attached().map(({ name }) => row(name, rx + tx, rx + tx, 0)),
    ];
  }

  stations(kernel: Kernel): Stations {
    const disputed: [Mac, Mac][] = [];
    const taken: Taken[] = [];
    const heard: number[] = [];
    for (const { pair, circling, avoidedAt } of this.#cables) {
      if (!pair.includes(kernel)) continue;
      const other = pair[0] === kernel ? pair[1] : pair[0];
      const ageNs = this.#scheduler.now - (avoidedAt ?? Number.NEGATIVE_INFINITY);
      if (avoids(kernel) && ageNs < BACKBONE_TIMEOUT) heard.push(ageNs / MS);
      const by = other.mesh?.protocol.primary?.mac;
      if (by === undefined) continue;
      if (circling) disputed.push([other.byName(LAN)!.mac, by]);
      // Who avoids loops does not listen to what another on its LAN announces.
      else if (this.#moved.has(kernel) && !avoids(kernel) && !avoids(other))
        taken.push({ station: kernel.byName(LAN)!.mac, vid: 0, originator: by });
    }
    return {
      local: 1,
      remote: this.#cables.length,
      disputed,
      ...(taken.length > 0 && { taken }),
      ...(heard.length > 0 && { backboneMs: Math.min(...heard) }),
      tables: [],
    };
  }

  /** A frame of its own has gone into this router's bat0: it moves there, until it goes round again. */
  announced(kernel: Kernel): void {
    this.#moved.delete(kernel);
  }

  #run(cable: Joined): void {
    cable.watched = true;
    this.#scheduler.after(STEP, () => {
      if (!cable.plugged) {
        cable.watched = false;
        return;
      }
      cable.circling = this.#isCircle(cable.pair);
      if (cable.pair.every(avoids)) cable.avoidedAt = this.#scheduler.now;
      if (cable.circling) {
        for (const kernel of cable.pair) this.#moved.add(kernel);
        for (const kernel of this.#kernels()) this.#count(kernel, cable.pair);
      }
      this.#run(cable);
    });
  }

  /** What the two take from their client networks and give to them; to all others it comes. */
  #count(kernel: Kernel, pair: Joined['pair']): void {
    const { rx, tx } = this.#seen.get(kernel) ?? { rx: 0, tx: 0 };
    const more = (STORM * STEP) / SECOND;
    if (pair.includes(kernel)) this.#seen.set(kernel, { rx: rx + more, tx: tx + more });
    else if (this.#reaches(pair[0], kernel)) this.#seen.set(kernel, { rx: rx + more, tx });
  }

  #isCircle([one, other]: Joined['pair']): boolean {
    if (!isBridged(one) || !isBridged(other)) return false;
    if (avoids(one) && avoids(other)) return false;
    return this.#reaches(one, other) && this.#reaches(other, one);
  }
}

function avoids({ mesh }: Kernel): boolean {
  return mesh?.settings.bridgeLoopAvoidance === true;
}

function isBridged(kernel: Kernel): boolean {
  const { mesh } = kernel;
  return mesh?.up === true && kernel.byName(LAN)?.index === mesh.master;
}
