/**
 * Two sites in two network namespaces and a foreign network between them, for what needs a kernel with WireGuard
 * (qemu.ts): an end of a tunnel in each (tunnel-end.ts), and a session between them that this process carries.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, REPEATED } from '../../agent/config/schema.ts';
import type { TunnelRow } from '../../agent/host/tunnel/tunnels.ts';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { run } from './mesh.ts';
import type { EndOptions, FromEnd, ToEnd } from './tunnel-end.ts';

type Tunnel = Config['tunnel'][number];
type Site = 0 | 1;

export const SITES = ['east', 'west'] as const;
/** Of the foreign network, and inside the tunnel. */
export const OUTSIDE = ['192.0.2.1', '192.0.2.2'] as const;
export const INSIDE = ['10.99.0.1', '10.99.0.2'] as const;
export const UNDERLAY = 'wan';
/** Emulated, a datagram may be under way for seconds. */
const UNDER_WAY_MS = 4000;
const PROBE = join(import.meta.dirname, 'build', 'probe');

/** Names that sort as they stand: the first leads. */
const idOf = (site: Site): string => `spiffe://x0tta6bl4.mesh/router/${SITES[site]}`;

const STOCK = Object.fromEntries(
  Object.entries(REPEATED.tunnel.options).map(([name, option]) => [name, option.default]),
) as unknown as Omit<Tunnel, 'name'>;

interface Asked {
  readonly resolve: (answer: FromEnd) => void;
  readonly reject: (why: Error) => void;
}

export interface Lost {
  readonly sent: number;
  readonly received: number;
  /** What was lost when, in words: seconds since the first. */
  readonly where: string;
}

export class TwoSites {
  readonly #ends: (ChildProcess | null)[] = [null, null];
  readonly #asked: Asked[][] = [[], []];
  readonly #options: Partial<Tunnel>;
  /** Requests and answers that the session swallows, 0 to 1. */
  swallows = 0;

  constructor(options: Partial<Tunnel>) {
    this.#options = options;
  }

  /** The namespaces, and a cable between them. */
  async build(): Promise<void> {
    for (const site of SITES) {
      await run('ip', ['netns', 'add', site]);
      await run('ip', ['-n', site, 'link', 'set', 'lo', 'up']);
    }
    const [east, west] = SITES;
    await run('ip', ['link', 'add', UNDERLAY, 'netns', east, 'type', 'veth', 'peer', 'name', UNDERLAY, 'netns', west]);
    for (const [n, site] of SITES.entries()) {
      await run('ip', ['-n', site, 'address', 'add', `${OUTSIDE[n]}/24`, 'dev', UNDERLAY]);
      await run('ip', ['-n', site, 'link', 'set', UNDERLAY, 'up']);
    }
  }

  /** An agent's tunnels at one site; ready when it has looked at what is there. */
  start(site: Site): Promise<void> {
    const tunnel: Tunnel = {
      ...STOCK,
      name: 'site',
      peer: idOf(site === 0 ? 1 : 0),
      endpoint: `${OUTSIDE[site === 0 ? 1 : 0]}:51820`,
      address: [INSIDE[site]],
      allowed_ips: [`${INSIDE[site === 0 ? 1 : 0]}/32`],
      ...this.#options,
    };
    const options: EndOptions = { own: idOf(site), tunnels: [tunnel], file: `/tmp/tunnels-${SITES[site]}.json` };
    const script = join(import.meta.dirname, 'tunnel-end.ts');
    // With x0d's flags, as on a router: V8's compilers have died in the emulator.
    const node = [process.execPath, ...NODE_FLAGS, script, JSON.stringify(options)];
    const child = spawn('ip', ['netns', 'exec', SITES[site], ...node], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#ends[site] = child;
    return new Promise((resolve, reject) => {
      child.once('exit', (code) => {
        if (this.#ends[site] === child) this.#ends[site] = null;
        const why = new Error(`the end at ${SITES[site]} ended with ${code}`);
        reject(why);
        for (const asked of this.#asked[site]!.splice(0)) asked.reject(why);
      });
      child.on('message', (message: FromEnd) => {
        if (message.type === 'ready') resolve();
        else this.#take(site, message);
      });
    });
  }

  #take(site: Site, message: FromEnd): void {
    const other = this.#ends[site === 0 ? 1 : 0];
    const isLost = Math.random() < this.swallows;
    switch (message.type) {
      case 'ask':
        if (!isLost) this.#send(other ?? null, { type: 'asked', id: message.id, from: idOf(site), body: message.body });
        return;
      case 'answer':
        if (!isLost)
          this.#send(other ?? null, { type: 'answered', id: message.id, answer: message.answer, error: message.error });
        return;
      case 'view':
      case 'captured':
        this.#asked[site]!.shift()?.resolve(message);
    }
  }

  #send(end: ChildProcess | null, message: ToEnd): void {
    if (end?.connected === true) end.send(message);
  }

  /** kill -9. */
  async kill(site: Site): Promise<void> {
    const end = this.#ends[site];
    if (end == null) return;
    this.#ends[site] = null;
    const gone = new Promise((resolve) => end.once('exit', resolve));
    end.kill('SIGKILL');
    await gone;
  }

  async view(site: Site): Promise<TunnelRow> {
    return ((await this.#ask(site, { type: 'view' })) as Extract<FromEnd, { type: 'view' }>).rows[0]!;
  }

  /** What went over the foreign network since it was asked last; from the first time on it is watched. */
  async capture(site: Site, words: readonly string[]): Promise<Extract<FromEnd, { type: 'captured' }>> {
    return (await this.#ask(site, { type: 'capture', interface: UNDERLAY, words })) as Extract<
      FromEnd,
      { type: 'captured' }
    >;
  }

  /** Answers come in the order of the questions. */
  #ask(site: Site, message: ToEnd): Promise<FromEnd> {
    const end = this.#ends[site];
    if (end == null) return Promise.reject(new Error(`the end at ${SITES[site]} does not run`));
    return new Promise((resolve, reject) => {
      this.#asked[site]!.push({ resolve, reject });
      this.#send(end, message);
    });
  }

  /** A datagram each so many microseconds from east to west and back, inside the tunnel, or between other addresses. */
  probe(us: number, [east, west]: readonly [string, string] = INSIDE, bytes = 64): Probe {
    return new Probe(us, bytes, [SITES[0], east, SITES[1], west]);
  }

  async reaches(ms: number, [east, west]: readonly [string, string] = INSIDE, bytes = 64): Promise<boolean> {
    const ends = [SITES[0], east, SITES[1], west];
    try {
      await run(PROBE, ['-e', '-i', '20000', '-w', String(ms), '-s', String(bytes), ...ends]);
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.kill(0);
    await this.kill(1);
    for (const site of SITES) await run('ip', ['netns', 'delete', site]);
  }
}

export class Probe {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: string[] = [];
  readonly #gone: Promise<unknown>;

  /** `ends`: namespace and address of each. */
  constructor(us: number, bytes: number, ends: readonly [string, string, string, string]) {
    this.#child = spawn(PROBE, ['-e', '-r', '1000', '-i', String(us), '-s', String(bytes), ...ends]);
    this.#child.stderr.pipe(process.stderr);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#lines.splice(0, this.#lines.length - 4);
    });
    this.#gone = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Ends it, and counts what was sent up to some seconds before: the rest may still be under way. */
  async stop(underWayMs = UNDER_WAY_MS): Promise<Lost> {
    const file = `/tmp/probe-${this.#child.pid}.bin`;
    await sleep(underWayMs);
    this.#child.stdin.write(`dump ${file} 0\n`);
    while (!this.#lines.some((line) => line.includes('dumped'))) await sleep(50);
    this.#child.kill('SIGTERM');
    await this.#gone;
    const records = readFileSync(file);
    rmSync(file);
    const last = Number(records.readBigUInt64LE(records.length - 16));
    const first = Number(records.readBigUInt64LE(0));
    const end = last - underWayMs * 1e6;
    let [sent, received] = [0, 0];
    const lost: string[] = [];
    for (let at = 0; at < records.length; at += 16) {
      if (Number(records.readBigUInt64LE(at)) > end) break;
      sent += 1;
      if (records.readBigUInt64LE(at + 8) > 0n) received += 1;
      else if (lost.length < 20) lost.push(((Number(records.readBigUInt64LE(at)) - first) / 1e9).toFixed(2));
    }
    // Not sent for want of a way, or lost on it, or the machine stood still: these are three things.
    const { refused, errno, stallUs } = JSON.parse(this.#lines.at(-1)!) as Record<string, number>;
    const told = refused === 0 ? 'none refused' : `${refused} refused, the last with errno ${errno}`;
    const span = ((end - first) / 1e9).toFixed(2);
    const where = `, at ${lost.join(' ')} of ${span} s; ${told}; the longest pause was ${Math.round(stallUs! / 1000)} ms`;
    return { sent, received, where: lost.length === 0 ? '' : where };
  }
}

/**
 * What `wg` says of a site's handshakes, asked again and again beside everything else: a path lives for seconds, and an
 * emulated machine takes its time.
 */
export class Witness {
  readonly #child: ChildProcessWithoutNullStreams;
  /** When the path with this key of the other end had a handshake first: seconds since 1970. */
  readonly #first = new Map<string, number>();

  constructor(namespace: string) {
    const script = 'while :; do wg show all latest-handshakes; sleep 0.2; done';
    this.#child = spawn('ip', ['netns', 'exec', namespace, 'sh', '-c', script]);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [, key = '', at = '0'] = line.split('\t');
      if (at !== '0' && !this.#first.has(key)) this.#first.set(key, Number(at));
    });
  }

  /** Paths whose handshake was later than that of every path before. */
  get effective(): number {
    let [count, latest] = [0, 0];
    for (const at of this.#first.values()) {
      if (at > latest) count += 1;
      latest = Math.max(latest, at);
    }
    return count;
  }

  stop(): void {
    this.#child.kill('SIGTERM');
  }
}
