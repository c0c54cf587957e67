/**
 * Two ends of one tunnel in virtual time: their machines, a network that loses, delays, doubles and reorders, and of
 * WireGuard what matters here: who has which keys, that a handshake takes three messages which may be lost, that the side
 * that was called may send only once it has heard the other over the new session, and that it takes in from any session.
 */
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Slot, TunnelAnswer, TunnelRequest } from '../../../agent/tunnel/message.ts';
import { type Found, Tunnel, type TunnelEffect, type TunnelEvent } from '../../../agent/tunnel/tunnel.ts';
import { Random } from '../../../agent/twin/random.ts';
import { Scheduler } from '../../../agent/twin/scheduler.ts';

interface Device {
  readonly slot: Slot;
  readonly ours: string;
  readonly theirs: string;
  readonly psk: string;
  calls: boolean;
  /** Sessions that are taken in from, and the one that is sent over. */
  readonly takes: Set<number>;
  sends: number | null;
  handshakeAt: Nanos | null;
  calledAt: Nanos;
  since: Nanos | null;
  readonly order: number;
}

export interface Air {
  loss: number;
  /** Of requests and answers; also doubled and late. */
  trouble: number;
}

export interface Options {
  readonly seed: number;
  readonly renewNs: Nanos;
  /** Which ends know where the other is: leader, follower. */
  readonly calls: readonly [boolean, boolean];
}

export class End {
  readonly index: 0 | 1;
  readonly devices = new Map<Slot, Device>();
  routed: Slot | null = null;
  machine: Tunnel;
  /** Counts up when the agent dies: what the one before has under way is nothing any more. */
  life = 0;
  alive = true;
  readonly secrets = new Map<string, string>();
  busyUntil: Nanos = 0;
  wake: Nanos | null = null;
  readonly tickets = new Map<number, (answer: TunnelAnswer) => void>();
  lowered = 0;

  constructor(index: 0 | 1, machine: Tunnel) {
    this.index = index;
    this.machine = machine;
  }
}

export class Two {
  readonly air: Air = { loss: 0, trouble: 0 };
  readonly ends: readonly [End, End];
  readonly #options: Options;
  readonly #random: Random;
  readonly #time = new Scheduler();
  #count = 0;
  /** What never may be: found after any step. */
  readonly gaps: string[] = [];
  /** What led to the first. */
  before: readonly string[] = [];
  #established = false;
  readonly log: string[] = [];

  constructor(options: Options) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#time.now = 1000 * SECOND;
    this.ends = [new End(0, this.#machine(0)), new End(1, this.#machine(1))];
    for (const end of this.ends) this.#begin(end);
  }

  get now(): Nanos {
    return this.#time.now;
  }

  #machine(index: 0 | 1): Tunnel {
    const { calls, renewNs } = this.#options;
    return new Tunnel({ leads: index === 0, calls: calls[index], renewNs });
  }

  #chance = (p: number): boolean => this.#random.unit() < p;
  #between = (from: Nanos, to: Nanos): Nanos => from + this.#random.unit() * (to - from);

  #at(delay: Nanos, work: () => void): void {
    this.#time.after(delay, work);
  }

  #begin(end: End): void {
    const { life } = end;
    this.#at(this.#between(5 * MS, 400 * MS), () => {
      if (end.life !== life) return;
      const paths: Found[] = [...end.devices.values()].map((device) => ({
        ...this.#look(device),
        slot: device.slot,
        theirs: device.theirs,
        isRouted: end.routed === device.slot,
        since: device.since,
        order: device.order,
      }));
      this.#feed(end, { type: 'found', paths });
      this.#feed(end, { type: 'reachable' });
    });
  }

  #look = (device: Device) => ({
    key: device.ours,
    handshakeNs: device.handshakeAt === null ? null : this.now - device.handshakeAt,
    rxBytes: 0,
    txBytes: 0,
    endpoint: null,
  });

  #feed(end: End, event: TunnelEvent): void {
    if (!end.alive) return;
    for (const effect of end.machine.on(event, this.now)) this.#carryOut(end, effect);
    this.#schedule(end);
  }

  #schedule(end: End): void {
    const at = end.machine.deadline();
    if (at === end.wake) return;
    end.wake = at;
    if (at === Number.POSITIVE_INFINITY) return;
    const { life } = end;
    this.#at(Math.max(MS, at - this.now), () => {
      if (end.life !== life || end.wake !== at) return;
      end.wake = null;
      this.#feed(end, { type: 'tick' });
    });
  }

  /** Changes of the kernel take a moment, one after the other; what is under way when the agent dies may be done or not. */
  #carryOut(end: End, effect: TunnelEffect): void {
    const { life } = end;
    if (effect.type === 'log') {
      this.log.push(`${(this.now / SECOND).toFixed(3)} ${end.index} ${effect.message}`);
      return;
    }
    if (effect.type === 'ask') {
      this.#ask(end, effect.id, effect.request);
      return;
    }
    if (effect.type === 'reply') {
      end.tickets.get(effect.ticket)?.(effect.answer);
      end.tickets.delete(effect.ticket);
      return;
    }
    end.busyUntil = Math.max(end.busyUntil, this.now) + this.#between(MS, 30 * MS);
    this.#at(end.busyUntil - this.now, () => {
      if (end.life !== life && this.#chance(0.5)) return;
      const told = this.#do(end, effect);
      if (end.life === life && told !== null) this.#feed(end, told);
    });
  }

  #do(end: End, effect: TunnelEffect): TunnelEvent | null {
    this.log.push(
      `${(this.now / SECOND).toFixed(3)} ${end.index} ${effect.type} ${'slot' in effect ? effect.slot : ''}`,
    );
    switch (effect.type) {
      case 'key': {
        const key = this.#newKey(end);
        end.secrets.set(key, key);
        return { type: 'keyed', key, agreement: Buffer.from(key) };
      }
      case 'raise': {
        const key = effect.key ?? this.#newKey(end);
        const agreed = Buffer.from(effect.agreed).toString();
        const psk = effect.key === null ? `${effect.theirs} ${key} ${agreed}` : agreed;
        if (effect.key !== null && !end.secrets.delete(effect.key)) throw new Error('the key is gone');
        if (end.routed === effect.slot) end.routed = null;
        this.#count += 1;
        end.devices.set(effect.slot, {
          slot: effect.slot,
          ours: key,
          theirs: effect.theirs,
          psk,
          calls: effect.calls,
          takes: new Set(),
          sends: null,
          handshakeAt: null,
          calledAt: Number.NEGATIVE_INFINITY,
          since: null,
          order: this.#count,
        });
        this.#keepCalling(end, key);
        return {
          type: 'raised',
          theirs: effect.theirs,
          key,
          encapsulation: effect.key === null ? Buffer.from(psk) : null,
        };
      }
      case 'call': {
        const device = end.devices.get(effect.slot);
        if (device !== undefined) {
          device.calls = true;
          this.#keepCalling(end, device.ours);
        }
        return null;
      }
      case 'route': {
        const device = end.devices.get(effect.slot);
        if (device?.ours !== effect.key) return { type: 'failed', what: 'route', why: 'no such interface' };
        end.routed = effect.slot;
        device.since ??= this.now;
        return { type: 'routed', key: effect.key };
      }
      case 'lower':
        if (end.routed === effect.slot) end.routed = null;
        end.devices.delete(effect.slot);
        end.lowered += 1;
        return null;
      case 'forget':
        end.secrets.delete(effect.key);
        return null;
      case 'look':
        return { type: 'looked', looks: [...end.devices.values()].map(this.#look) };
      default:
        return null;
    }
  }

  #newKey(end: End): string {
    this.#count += 1;
    return Buffer.from(`${end.index}/${this.#count}`.padEnd(32, '.')).toString('base64');
  }

  #ask(end: End, id: number, request: TunnelRequest): void {
    const { life } = end;
    const peer = this.ends[1 - end.index]!;
    let open = true;
    const settle = (answer: TunnelAnswer | null): void => {
      if (!open || end.life !== life) return;
      open = false;
      this.#feed(end, { type: 'answered', id, answer, why: answer === null ? 'no answer within 5 s' : '' });
    };
    this.#at(5 * SECOND, () => settle(null));
    const copies = this.#chance(this.air.trouble) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#chance(this.air.trouble)) continue;
      // Now and then one that is later than its deadline.
      const late = this.#chance(this.air.trouble / 4) ? 30 * SECOND : 60 * MS;
      this.#at(this.#between(5 * MS, late), () => {
        if (!peer.alive) return;
        this.#count += 1;
        const ticket = this.#count;
        peer.tickets.set(ticket, (answer) => {
          if (!this.#chance(this.air.trouble)) this.#at(this.#between(5 * MS, 60 * MS), () => settle(answer));
        });
        this.#feed(peer, { type: 'asked', ticket, request });
      });
    }
  }

  // ---- WireGuard ----

  #counterpart(end: End, device: Device): Device | undefined {
    const peer = this.ends[1 - end.index]!;
    return [...peer.devices.values()].find(
      (theirs) => theirs.ours === device.theirs && theirs.theirs === device.ours && theirs.psk === device.psk,
    );
  }

  #sent(work: () => void): void {
    if (!this.#chance(this.air.loss)) this.#at(this.#between(5 * MS, 80 * MS), work);
  }

  /** A handshake at once and each 5 s until there is one; then something each second. */
  #keepCalling(end: End, key: string): void {
    const find = (): Device | undefined => [...end.devices.values()].find(({ ours }) => ours === key);
    const device = find();
    if (device === undefined || !device.calls) return;
    if (device.sends === null && this.now - device.calledAt >= 5 * SECOND) {
      device.calledAt = this.now;
      this.#count += 1;
      const session = this.#count;
      this.#sent(() => {
        const theirs = this.#counterpart(end, device);
        if (theirs === undefined) return;
        theirs.takes.add(session);
        this.#sent(() => {
          if (find() !== device) return;
          device.takes.add(session);
          device.sends = session;
          device.handshakeAt = this.now;
          this.#keepalive(end, device);
        });
      });
    } else if (device.sends !== null) this.#keepalive(end, device);
    this.#at(1 * SECOND, () => this.#keepCalling(end, key));
  }

  #keepalive(end: End, device: Device): void {
    const { sends } = device;
    this.#sent(() => {
      const theirs = this.#counterpart(end, device);
      if (theirs === undefined || sends === null || !theirs.takes.has(sends)) return;
      theirs.sends ??= sends;
      theirs.handshakeAt ??= this.now;
    });
  }

  /** Would a packet that this end sends now be taken in? */
  works(end: End): boolean {
    const device = end.routed === null ? undefined : end.devices.get(end.routed);
    if (device === undefined || device.sends === null) return false;
    return this.#counterpart(end, device)?.takes.has(device.sends) === true;
  }

  get bothWork(): boolean {
    return this.works(this.ends[0]) && this.works(this.ends[1]);
  }

  // ---- what happens to them ----

  run(ns: Nanos): void {
    this.#time.run(this.now + ns, () => {
      if (this.bothWork) this.#established = true;
      else if (this.#established && this.gaps.length < 5) {
        if (this.gaps.length === 0) this.before = this.log.slice(-40);
        this.gaps.push(`${(this.now / SECOND).toFixed(3)} s`);
      }
      return false;
    });
  }

  /** kill -9 and a new start; the kernel keeps what it has. */
  restart(index: 0 | 1): void {
    const end = this.ends[index];
    this.log.push(`${(this.now / SECOND).toFixed(3)} ${index} restarts`);
    end.life += 1;
    end.tickets.clear();
    end.wake = null;
    end.machine = this.#machine(index);
    this.#begin(end);
  }

  die(index: 0 | 1): void {
    this.ends[index].alive = false;
    this.ends[index].life += 1;
  }

  /** The whole router: nothing is left. What was established is so no longer. */
  reboot(index: 0 | 1): void {
    const end = this.ends[index];
    end.devices.clear();
    end.routed = null;
    this.#established = false;
    this.restart(index);
  }
}
