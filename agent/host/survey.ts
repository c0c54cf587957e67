/**
 * Looks at what the kernel does not announce, when a machine asks: counters, this router's own load, the translation
 * tables, the way out of the mesh, and who speaks on an interface. Loaded with the first question.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { asAgentError } from '../core/errors.ts';
import type { WorldEvent } from '../core/event.ts';
import { type IfIndex, macFromBytes } from '../core/ids.ts';
import type { InterfaceCounters, Overheard, Upstream, Vitals } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { ETH_P_BATMAN } from '../heal/ogm.ts';
import type { Kernel } from './kernel.ts';
import type { BpfInstruction, Native } from './native.ts';

/** Longer than an OGM interval. */
const LISTEN_MS = 2500;
const MOST_HEARD = 64;
/** Of one sender and kind; more would say nothing more, and leave no room for others. */
const OF_A_KIND = 2;
const LDB = 0x30; // BPF_LD | BPF_B | BPF_ABS
const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET = 0x06; // BPF_RET | BPF_K
/**
 * Classic BPF (linux/filter.h): what says which routing protocol is spoken, and not the traffic. OGM, ELP and OGM2 (0, 3, 4)
 * of the version that we speak, all of any other; batadv_packet.h.
 */
const PROTOCOL: readonly BpfInstruction[] = [
  [LDB, 0, 0, 15],
  [JEQ, 0, 4, 15],
  [LDB, 0, 0, 14],
  [JEQ, 2, 0, 0],
  [JEQ, 1, 0, 3],
  [JEQ, 0, 1, 4],
  [RET, 0, 0, 0xffff],
  [RET, 0, 0, 0],
];
/** So long after an interface has changed netifd is asked what it declares, and then not again for a while. */
const NETIFD_SETTLES: Nanos = 3 * SECOND;
const NETIFD_REST: Nanos = 30 * SECOND;
/** Two readings of clocks that count as one, and how often that is tried. */
const TOGETHER: Nanos = MS;
const TRIES = 5;
const RTF_UP = 0x1;
const NUD_FAILED = 0x20;
const NUD_ALIVE = 0x02 | 0x04 | 0x08 | 0x80; // reachable, stale, delay, permanent

export interface SurveyOptions {
  readonly native: Native;
  readonly log: Log;
  readonly kernel: Kernel;
  /** Where the state lies; null for nowhere. */
  readonly directory: string | null;
  feed(event: WorldEvent): void;
  /** How late a timer has been since this was asked last. */
  late(): Nanos;
}

export class Surveyor {
  readonly #options: SurveyOptions;
  #cpu = { busy: 0, total: 0 };
  #own = { at: 0, micros: 0 };
  readonly #listening = new Map<IfIndex, () => void>();
  /** When netifd may be asked again out of turn; null where it does not run, or was not asked yet. */
  #askAgain: Nanos | null = null;
  #asking: NodeJS.Timeout | null = null;

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#cpu = cpuTimes(text('/proc/stat')) ?? this.#cpu;
    this.#own = { at: options.native.now(), micros: ownMicros() };
  }

  counters(): void {
    const interfaces = parseCounters(text('/proc/net/dev'));
    this.#options.feed({ type: 'counters', interfaces });
  }

  vitals(): void {
    const { native, directory, late, feed } = this.#options;
    const now = native.now();
    const cpu = cpuTimes(text('/proc/stat'));
    const total = (cpu?.total ?? 0) - this.#cpu.total;
    const memory = text('/proc/meminfo');
    const micros = ownMicros();
    const vitals: Vitals = {
      busy: cpu === null || total <= 0 ? null : (cpu.busy - this.#cpu.busy) / total,
      ownBusy: ((micros - this.#own.micros) * 1000) / Math.max(1, now - this.#own.at),
      lateNs: late(),
      availableKib: kibOf(memory, 'MemAvailable'),
      totalKib: kibOf(memory, 'MemTotal'),
      rssKib: Math.round(process.memoryUsage.rss() / 1024),
      flashKib: directory === null ? null : freeKib(directory),
      wallOffsetMs: wallOffsetMs(() => native.now(), Date.now),
    };
    if (cpu !== null) this.#cpu = cpu;
    this.#own = { at: now, micros };
    feed({ type: 'vitals', vitals });
  }

  stations(mesh: string): void {
    this.#later(async () => {
      const stations = await this.#options.kernel.stations(mesh);
      if (stations !== null) this.#options.feed({ type: 'stations', stations });
    }, 'the translation tables');
  }

  upstream(mesh: string): void {
    this.#later(async () => {
      const { kernel, feed } = this.#options;
      const link = kernel.byName(mesh);
      const bridge = link === undefined ? undefined : kernel.links.get(link.master)?.name;
      const route = defaultRoute(text('/proc/net/route'), [mesh, ...(bridge === undefined ? [] : [bridge])]);
      const out = route === null ? undefined : kernel.byName(route.interface);
      const states = route === null || route.gateway === '' ? [] : await kernel.neighbourStates(route.gateway);
      const answers = states.some((state) => (state & NUD_ALIVE) !== 0)
        ? true
        : states.some((state) => (state & NUD_FAILED) !== 0)
          ? false
          : null;
      const upstream: Upstream = {
        interface: route?.interface ?? null,
        carrier: out?.up === true && out.carrier,
        answers,
      };
      feed({ type: 'upstream', upstream });
      // Where nobody sends anything out, nobody notices that nothing goes out.
      if (out !== undefined && route !== null && route.gateway !== '' && upstream.carrier)
        await kernel.askNeighbour(out.index, route.gateway);
    }, 'the default route');
  }

  /** Nothing is said where netifd does not run. */
  netifd(): void {
    this.#later(async () => {
      const { declaredDevices } = await import('./netifd.ts');
      const interfaces = await declaredDevices();
      if (interfaces === null) return;
      this.#askAgain = this.#options.native.now() + NETIFD_REST;
      this.#options.feed({ type: 'declared', interfaces });
    }, 'what netifd declares');
  }

  /** An interface changed: what netifd declares may be more or less now, once it has come to rest. */
  moved(): void {
    if (this.#askAgain === null || this.#asking !== null) return;
    const wait = Math.max(NETIFD_SETTLES, this.#askAgain - this.#options.native.now());
    this.#asking = setTimeout(() => {
      this.#asking = null;
      this.netifd();
    }, wait / MS).unref();
  }

  /** What batman-adv frames come in on these interfaces, for a while. */
  air(interfaces: readonly IfIndex[]): void {
    const { native, feed, log } = this.#options;
    for (const index of interfaces) {
      if (this.#listening.has(index)) continue;
      const heard: Overheard[] = [];
      try {
        const socket = native.openPacket({
          ethertype: ETH_P_BATMAN,
          ifindex: index,
          filter: PROTOCOL,
          snap: 64,
          onFrame: (frame, _on, packetType) => {
            // PACKET_OUTGOING: our own.
            if (packetType === 4 || frame.length < 16 || heard.length >= MOST_HEARD) return;
            const one = { source: macFromBytes(frame, 6), type: frame[14]!, version: frame[15]! };
            const same = heard.filter(({ source, type }) => source === one.source && type === one.type);
            if (same.length < OF_A_KIND) heard.push(one);
          },
          onError: () => {},
        });
        const timer = setTimeout(() => {
          this.#listening.get(index)?.();
          feed({ type: 'overheard', interface: index, heard });
        }, LISTEN_MS);
        timer.unref();
        this.#listening.set(index, () => {
          clearTimeout(timer);
          socket.close();
          this.#listening.delete(index);
        });
      } catch (thrown) {
        log.debug('an interface cannot be listened to', { interface: index, error: asAgentError(thrown).message });
      }
    }
  }

  close(): void {
    if (this.#asking !== null) clearTimeout(this.#asking);
    for (const stop of [...this.#listening.values()]) stop();
  }

  #later(work: () => Promise<void>, what: string): void {
    work().catch((thrown) => {
      const error = asAgentError(thrown, 'E_NETLINK');
      this.#options.log.debug(`${what} cannot be read`, { code: error.code, error: error.message });
    });
  }
}

/** '' where it cannot be read: then nothing is known. */
function text(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** Both clocks at one moment: where something came in between, which would look like a step, they are read again. */
export function wallOffsetMs(monotonic: () => Nanos, wall: () => number): number {
  let best = { gap: Number.POSITIVE_INFINITY, offset: 0 };
  for (let tries = 0; tries < TRIES && best.gap > TOGETHER; tries++) {
    const before = monotonic();
    const wallMs = wall();
    const gap = monotonic() - before;
    if (gap < best.gap) best = { gap, offset: wallMs - (before + gap / 2) / MS };
  }
  return best.offset;
}

function ownMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** /proc/stat (man 5 proc): user nice system idle iowait irq softirq steal; of the virtual ones in user nothing more. */
export function cpuTimes(stat: string): { busy: number; total: number } | null {
  const line = /^cpu +([\d ]+)/m.exec(stat)?.[1];
  if (line === undefined) return null;
  const times = line.trim().split(/ +/).slice(0, 8).map(Number);
  const total = times.reduce((sum, one) => sum + one, 0);
  return { busy: total - (times[3] ?? 0) - (times[4] ?? 0), total };
}

function kibOf(meminfo: string, name: string): number | null {
  const found = new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(meminfo)?.[1];
  return found === undefined ? null : Number(found);
}

function freeKib(directory: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return (bavail * bsize) / 1024;
  } catch {
    return null;
  }
}

/** /proc/net/dev: NAME: 8 columns of what came in, 8 of what went out. */
export function parseCounters(dev: string): InterfaceCounters[] {
  const found: InterfaceCounters[] = [];
  for (const line of dev.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':');
    const columns = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map(Number);
    if (colon < 0 || columns.length < 16 || !columns.every(Number.isFinite)) continue;
    found.push({
      name: line.slice(0, colon).trim(),
      rxBytes: columns[0]!,
      rxPackets: columns[1]!,
      rxMulticast: columns[7]!,
      txBytes: columns[8]!,
      txPackets: columns[9]!,
    });
  }
  return found;
}

/** /proc/net/route: the best IPv4 default route that does not lead into the mesh. Addresses are in host byte order. */
export function defaultRoute(
  routes: string,
  mesh: readonly string[],
): { readonly interface: string; readonly gateway: string } | null {
  let best: { metric: number; interface: string; gateway: string } | null = null;
  for (const line of routes.split('\n').slice(1)) {
    const [name, destination, gateway, flags, , , metric, mask] = line.split('\t');
    if (name === undefined || mask === undefined || mesh.includes(name)) continue;
    if (destination !== '00000000' || mask.trim() !== '00000000' || !(Number.parseInt(flags!, 16) & RTF_UP)) continue;
    if (best !== null && best.metric <= Number(metric)) continue;
    best = { metric: Number(metric), interface: name, gateway: gateway === '00000000' ? '' : dotted(gateway!) };
  }
  return best;
}

function dotted(hex: string): string {
  const value = Number.parseInt(hex, 16);
  const bytes = [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  // As the kernel printed it: in this machine's own byte order.
  return (new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? bytes : bytes.reverse()).join('.');
}
