/**
 * Asks the addresses of `probe.targets` by ICMP and ICMPv6 echo how long the way over the mesh is, there and back: what
 * users' packets meet, where echoes of the alarm frames measure one link. The sockets are raw-socket's (npm), an optional
 * package with a native part; where it is missing nothing is asked, and status says so.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { isIPv6 } from 'node:net';
import type { Log } from '../core/log.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { ProbeView } from '../report/api/probes.ts';
import { decodeAnswer, encodeEcho, type Family } from './icmp.ts';

/** Later than that an answer counts as lost: over a mesh it then is of no use. */
const TIMEOUT: Nanos = 2 * SECOND;
const MOST = 64;
/** Questions that the shown figures are taken from. */
const SHOWN = 60;

/** What is used of raw-socket 1.8. */
interface RawSocket {
  on(event: 'message', listener: (packet: Buffer) => void): void;
  on(event: 'error' | 'close', listener: (error?: Error) => void): void;
  send(packet: Buffer, offset: number, length: number, to: string, done: (error: Error | null) => void): void;
  close(): void;
}
interface RawModule {
  readonly Protocol: { readonly ICMP: number; readonly ICMPv6: number };
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): RawSocket;
}

export interface ProbeOptions {
  readonly targets: readonly string[];
  readonly intervalNs: Nanos;
  readonly now: () => Nanos;
  readonly log: Log;
  /** For tests: another raw-socket, or its absence. */
  readonly load?: () => RawModule;
}

interface Target {
  readonly address: string;
  readonly family: Family;
  sent: number;
  answered: number;
  error: string | null;
  /** Of the last questions, oldest first; null: no answer in time. */
  readonly took: (Nanos | null)[];
  pending: { readonly seq: number; readonly token: Buffer; readonly at: Nanos } | null;
}

export class Prober {
  readonly #options: ProbeOptions;
  readonly #id = randomInt(1, 0x10000);
  readonly #targets: readonly Target[];
  readonly #sockets = new Map<Family, RawSocket>();
  readonly #timer: NodeJS.Timeout | null = null;
  #why: string | null = null;
  #seq = 0;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.#targets = options.targets.slice(0, MOST).map((address) => ({
      address,
      family: isIPv6(address) ? 6 : 4,
      sent: 0,
      answered: 0,
      error: null,
      took: [],
      pending: null,
    }));
    try {
      const raw = (options.load ?? load)();
      for (const { family } of this.#targets) if (!this.#sockets.has(family)) this.#open(raw, family);
    } catch (thrown) {
      this.close();
      this.#why = `round-trip times need raw-socket: ${(thrown as Error).message.split('\n', 1)[0]}`;
      options.log.warning('no probes', { why: this.#why });
      return;
    }
    // Not all in the same moment.
    this.#timer = setInterval(() => this.#ask(), Math.max(1, options.intervalNs / MS / this.#targets.length)).unref();
  }

  #open(raw: RawModule, family: Family): void {
    const socket = raw.createSocket({
      protocol: family === 4 ? raw.Protocol.ICMP : raw.Protocol.ICMPv6,
      addressFamily: family === 4 ? raw.AddressFamily.IPv4 : raw.AddressFamily.IPv6,
      bufferSize: 2048,
    });
    this.#sockets.set(family, socket);
    socket.on('message', (packet) => this.#take(family, packet, this.#options.now()));
    socket.on('error', (error) => {
      this.#why = `the ${family === 4 ? 'ICMP' : 'ICMPv6'} socket failed: ${error?.message ?? 'no reason given'}`;
      this.#sockets.delete(family);
    });
  }

  /** The next target in turn. */
  #ask(): void {
    const target = this.#targets[this.#seq % this.#targets.length]!;
    this.#seq += 1;
    const { now } = this.#options;
    this.#expire(target, now());
    const socket = this.#sockets.get(target.family);
    if (socket === undefined || target.pending !== null) return;
    const seq = this.#seq & 0xffff;
    const token = randomBytes(8);
    const packet = encodeEcho(target.family, { id: this.#id, seq, token });
    target.sent += 1;
    target.pending = { seq, token, at: now() };
    socket.send(packet, 0, packet.length, target.address, (error) => {
      target.error = error?.message ?? null;
    });
  }

  #take(family: Family, packet: Uint8Array, now: Nanos): void {
    const answer = decodeAnswer(family, packet);
    if (answer === null || answer.id !== this.#id) return;
    const target = this.#targets.find(
      (one) => one.family === family && one.pending?.seq === answer.seq && one.pending.token.equals(answer.token),
    );
    if (target?.pending == null) return;
    const took = now - target.pending.at;
    target.pending = null;
    if (took <= TIMEOUT) target.answered += 1;
    note(target, took <= TIMEOUT ? took : null);
  }

  #expire(target: Target, now: Nanos): void {
    if (target.pending === null || now - target.pending.at < TIMEOUT) return;
    target.pending = null;
    note(target, null);
  }

  view(): ProbeView {
    const now = this.#options.now();
    return {
      why: this.#why,
      targets: this.#targets.map((target) => {
        this.#expire(target, now);
        const { address, sent, answered, error, took } = target;
        const times = took.filter((one) => one !== null).sort((a, b) => a - b);
        return {
          target: address,
          sent,
          answered,
          lastNs: took.findLast((one) => one !== null) ?? null,
          medianNs: times[times.length >> 1] ?? null,
          loss: took.length === 0 ? null : 1 - times.length / took.length,
          error,
        };
      }),
    };
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }
}

function note(target: Target, took: Nanos | null): void {
  target.took.push(took);
  if (target.took.length > SHOWN) target.took.shift();
}

function load(): RawModule {
  return createRequire(import.meta.url)('raw-socket') as RawModule;
}
