/**
 * Trials on a mesh inside the lab's kernel: a probe between two routers, a fault on the way that it takes, what it cost;
 * and real agents in the routers' namespaces.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { addressOf, type Hop, type Mesh, monotonicNs, nsOf, type Struck } from './mesh.ts';
import { type Outage, outage, type ProbeRecord } from './outage.ts';

/** One interval of the probe: `t` is its end in CLOCK_MONOTONIC nanoseconds, delays in microseconds. */
export interface ProbeReport {
  readonly t: number;
  readonly sent: number;
  readonly lost: number;
  readonly delayUs: number;
  readonly maxUs: number;
  readonly total: number;
}

export interface ProbeSummary {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  /** The longest time that the probe did not get to send: a loaded machine, not the mesh. */
  readonly stallUs: number;
}

export interface ProbeOptions {
  readonly paceUs?: number;
  /** There and back instead of one way. */
  readonly echo?: boolean;
  /** UDP payload. */
  readonly bytes?: number;
  /** Two probes that meet at a router need different ones, two apart. */
  readonly port?: number;
  readonly reportMs?: number;
  readonly onReport?: (report: ProbeReport) => void;
}

/** A running probe.c. */
export class Probe {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #dumps: (() => void)[] = [];
  readonly #ended: Promise<ProbeSummary>;
  readonly #ready: Promise<void>;

  private constructor(src: number, dst: number, options: ProbeOptions) {
    const { paceUs = 2000, echo = false, bytes = 64, port = 7077, reportMs = 100, onReport } = options;
    this.#child = spawn(join(import.meta.dirname, 'build/probe'), [
      ...['-i', String(paceUs), '-r', String(reportMs), '-s', String(bytes), '-p', String(port)],
      ...(echo ? ['-e'] : []),
      ...[nsOf(src), addressOf(src), nsOf(dst), addressOf(dst)],
    ]);
    this.#child.stdin.on('error', () => {});
    let said = '';
    this.#child.stderr.on('data', (data) => {
      said += data;
    });
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ProbeSummary>();
    this.#ready = ready.promise;
    this.#ended = ended.promise;
    this.#ended.catch(() => {});
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as Record<string, unknown>;
      if ('t' in message) onReport?.(message as unknown as ProbeReport);
      else if ('dumped' in message) this.#dumps.shift()?.();
      else if ('ready' in message) ready.resolve();
      else ended.resolve(message as unknown as ProbeSummary);
    });
    this.#child.once('close', (code) => {
      const error = new Error(`the probe ended with ${code}: ${said.trim()}`);
      ready.reject(error);
      ended.reject(error);
    });
  }

  static async start(src: number, dst: number, options: ProbeOptions = {}): Promise<Probe> {
    const probe = new Probe(src, dst, options);
    await probe.#ready;
    return probe;
  }

  /** Every probe sent since an instant (CLOCK_MONOTONIC, nanoseconds). */
  async records(sinceNs = 0): Promise<ProbeRecord[]> {
    const file = `/tmp/probe-${process.pid}-${this.#child.pid}`;
    const dumped = new Promise<void>((settle) => this.#dumps.push(settle));
    this.#child.stdin.write(`dump ${file} ${Math.max(0, Math.floor(sinceNs))}\n`);
    await Promise.race([dumped, this.#ended]);
    const bytes = readFileSync(file);
    rmSync(file);
    const records: ProbeRecord[] = [];
    for (let at = 0; at + 16 <= bytes.length; at += 16)
      records.push({ sent: Number(bytes.readBigUInt64LE(at)), received: Number(bytes.readBigUInt64LE(at + 8)) });
    return records;
  }

  stop(): Promise<ProbeSummary> {
    this.#child.kill('SIGTERM');
    return this.#ended;
  }
}

/** What a trial does to the way that the probe takes. */
export type FaultKind = 'cut' | 'cut-silently' | 'kill-router' | 'delete-interface' | 'take-from-bat0' | 'delete-bat0';

export interface Fault {
  readonly kind: FaultKind;
  /** What was hit, for people. */
  readonly what: string;
  readonly struck: Struck;
  /** Undoes it, as a person with a spare cable would. */
  mend(): Promise<void>;
}

/** Strikes hop `index` of a route: its link, its sending end, or (kill-router, delete-bat0) the router that it leads to. */
export async function strike(mesh: Mesh, kind: FaultKind, hops: readonly Hop[], index: number): Promise<Fault> {
  const hop = hops[index];
  if (hop === undefined) throw new RangeError(`the route has no hop ${index}`);
  const { link, from, to } = hop;
  const name = link.a === from ? link.ends[0] : link.ends[1];
  switch (kind) {
    case 'cut':
    case 'cut-silently': {
      const struck = await (kind === 'cut' ? mesh.cut(link) : mesh.cutSilently(link));
      return { kind, what: `link r${from}-r${to}`, struck, mend: async () => void (await mesh.mend(link)) };
    }
    case 'kill-router':
      return {
        kind,
        what: `router r${to}`,
        struck: await mesh.killRouter(to),
        mend: async () => void (await mesh.reviveRouter(to)),
      };
    case 'delete-interface':
      return {
        kind,
        what: `${name} of r${from}`,
        struck: await mesh.deleteInterface(from, name),
        mend: async () => {
          await mesh.restoreInterface(from, name);
          await mesh.putIntoBat0(from, name);
        },
      };
    case 'take-from-bat0':
      return {
        kind,
        what: `${name} of r${from} out of bat0`,
        struck: await mesh.takeFromBat0(from, name),
        mend: async () => void (await mesh.putIntoBat0(from, name)),
      };
    case 'delete-bat0':
      return {
        kind,
        what: `bat0 of r${to}`,
        struck: await mesh.deleteBat0(to),
        // An agent may have made it anew in the meantime.
        mend: async () => {
          if (!(await mesh.hasBat0(to))) await mesh.makeBat0(to);
        },
      };
  }
}

export interface TrialOptions {
  readonly mesh: Mesh;
  readonly src: number;
  readonly dst: number;
  readonly fault?: FaultKind;
  /** Which hop of the route is hit; the middle one by default. A function may find none to its liking: then it throws. */
  readonly hop?: number | 'first' | 'middle' | 'last' | ((hops: readonly Hop[]) => number);
  readonly paceUs?: number;
  /** How long the probe runs before the fault, and how long frames are counted for `framesQuiet`. */
  readonly beforeMs?: number;
  /** How long the mesh is watched after the fault: as long as the slowest repair and its late glitches. */
  readonly afterMs?: number;
  /** For how long after the fault the frames of `framesBurst` are counted. */
  readonly burstMs?: number;
  readonly onReport?: (report: ProbeReport) => void;
  /** At once after the fault was made: to tell agents what they cannot know. */
  readonly onStruck?: (struck: Struck, hit: Hop) => void;
}

export interface Trial extends Outage {
  readonly faultNs: number;
  readonly fault: string;
  /** The routers on the way before the fault and at the end, empty where there is none. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Control frames (all but batman-adv's unicast) a second in all, before the fault. */
  readonly framesQuiet: number;
  /** Control frames in all within `burstMs` after the fault, beyond what the quiet mesh would have sent. */
  readonly framesBurst: number;
  readonly duplicates: number;
  /** The longest time around the fault that the probe did not get to send: how finely this trial was resolved. */
  readonly stallMs: number;
}

const routersOf = (src: number, hops: readonly Hop[] | undefined) => (hops ? [src, ...hops.map(({ to }) => to)] : []);

/**
 * One fault on the route from `src` to `dst` and what it cost. Mends it at the end, but does not wait for the mesh to
 * settle again: that is `settle`. Throws when there is no route to begin with.
 */
export async function repairTrial(options: TrialOptions): Promise<Trial> {
  const { mesh, src, dst, fault = 'cut', hop = 'middle', beforeMs = 2000, afterMs = 9000, burstMs = 2000 } = options;
  const probe = await Probe.start(src, dst, {
    paceUs: options.paceUs ?? 2000,
    ...(options.onReport ? { onReport: options.onReport } : {}),
  });
  try {
    const start = await mesh.airCount();
    await sleep(beforeMs);
    const quiet = await mesh.airCount();
    const hops = await mesh.route(src, dst);
    if (!hops) throw new Error(`no route from r${src} to r${dst}`);
    const named = { first: 0, middle: hops.length >> 1, last: hops.length - 1 };
    const index = typeof hop === 'number' ? hop : typeof hop === 'string' ? named[hop] : hop(hops);
    const idle = await mesh.airCount();
    // Counting starts processes, which hold up the only CPU: not in the moment of the fault.
    await sleep(200);
    const made = await strike(mesh, fault, hops, index);
    options.onStruck?.(made.struck, hops[index]!);
    await sleep(burstMs);
    const burst = await mesh.airCount();
    await sleep(Math.max(0, afterMs - burstMs));
    const untilNs = monotonicNs();
    const after = await mesh.route(src, dst);
    // What was sent a moment ago may still arrive.
    await sleep(50);
    const records = await probe.records(made.struck.ns - 1e9);
    await made.mend();
    const { duplicates } = await probe.stop();
    const cost = outage(records, made.struck.ns, { untilNs });
    const watched = records.filter(
      ({ sent }) => sent > made.struck.ns - 20e6 && sent < made.struck.ns + Math.min(cost.outageMs, 500) * 1e6 + 20e6,
    );
    const stallNs = Math.max(0, ...watched.slice(1).map(({ sent }, i) => sent - watched[i]!.sent));
    const framesQuiet = (quiet.control - start.control) / ((quiet.atNs - start.atNs) / 1e9);
    return {
      ...cost,
      faultNs: made.struck.ns,
      fault: `${made.kind} ${made.what}`,
      before: routersOf(src, hops),
      after: routersOf(src, after),
      framesQuiet,
      framesBurst: burst.control - idle.control - framesQuiet * ((burst.atNs - idle.atNs) / 1e9),
      duplicates,
      stallMs: stallNs / 1e6,
    };
  } catch (error) {
    await probe.stop().catch(() => {});
    throw error;
  }
}

/**
 * Waits until the mesh is whole again after a trial: `warm` brings it there in some eight seconds and touches the OGM
 * interval meanwhile; 'wait' leaves it alone and takes its own time.
 */
export async function settle(mesh: Mesh, how: 'warm' | 'wait' = 'warm', timeoutMs = 120_000): Promise<void> {
  if (how === 'warm') {
    await mesh.warm(timeoutMs);
    return;
  }
  const end = monotonicNs() + timeoutMs * 1e6;
  while (!(await mesh.complete())) {
    if (monotonicNs() > end) throw new Error(`not whole again after ${timeoutMs} ms`);
    await sleep(500);
  }
  await sleep(10_000);
}

/**
 * What an agent's configuration file says beyond the lab's own choices: section → option → value or list. A section of which
 * there may be several is its type and its name: 'tunnel home'.
 */
export type AgentConfig = Readonly<Record<string, Readonly<Record<string, string | number | readonly string[]>>>>;

export interface AgentOptions {
  /** The agent's program under Node; dist/x0d.mjs, or what X0_LAB_BUNDLE names. */
  readonly bundle?: string;
  readonly nodeArgs?: readonly string[];
  /** Further arguments of x0d. */
  readonly args?: readonly string[];
  readonly config?: AgentConfig;
  readonly env?: Readonly<Record<string, string>>;
  readonly readyMs?: number;
  /** A line of an agent's stdout or stderr as it falls. */
  readonly onLine?: (router: number, line: string) => void;
}

const quoteUci = (value: string | number) => `'${String(value).replaceAll("'", `'\\''`)}'`;

/** The lab's directory of a router's agent: config, log, ctl.sock, state/. */
export const agentDir = (router: number) => join('/tmp/x0', nsOf(router));

/** The UCI text of a router's /etc/config/x0tta6bl4 in the lab: an adopted bat0, one key for all, files in /tmp. */
export function agentConfig(router: number, extra: AgentConfig = {}): string {
  const dir = agentDir(router);
  const base: AgentConfig = {
    log: { level: 'info' },
    mesh: {
      interface: 'bat0',
      primary: 'primary0',
      node_name: nsOf(router),
      key: 'the lab shares this key with everybody',
    },
    heal: { mode: 'act' },
    report: { socket: join(dir, 'ctl.sock') },
    state: { directory: join(dir, 'state') },
  };
  const names = new Set([...Object.keys(base), ...Object.keys(extra)]);
  const sections = [...names].map((section) => {
    const rows = Object.entries({ ...base[section], ...extra[section] }).flatMap(([option, value]) =>
      typeof value === 'object'
        ? value.map((item) => `\tlist ${option} ${quoteUci(item)}`)
        : [`\toption ${option} ${quoteUci(value)}`],
    );
    const [type, name = type] = section.split(' ');
    return [`config ${type} '${name}'`, ...rows].join('\n');
  });
  return `${sections.join('\n\n')}\n`;
}

/** One running agent. */
export interface Agent {
  readonly router: number;
  readonly pid: number;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  readonly socket: string;
  kill(signal?: NodeJS.Signals): void;
  log(): string;
}

/** Starts an agent in each of these routers and waits until all are ready: a `{"ready":...}` line. */
export async function startAgents(routers: readonly number[], options: AgentOptions = {}): Promise<Agent[]> {
  const agents: Agent[] = [];
  try {
    // One after the other: on one CPU a dozen runtimes starting at once only slow each other down.
    for (const router of routers) agents.push(await startAgent(router, options));
  } catch (error) {
    await stopAgents(agents);
    throw error;
  }
  return agents;
}

/** Counts the recordings that X0_LAB_RECORD asks for: one of each start. */
let tapes = 0;

export async function startAgent(router: number, options: AgentOptions = {}): Promise<Agent> {
  const {
    bundle = process.env.X0_LAB_BUNDLE ?? 'dist/x0d.mjs',
    nodeArgs = NODE_FLAGS,
    args = [],
    config,
    env = {},
    readyMs = 60_000,
    onLine,
  } = options;
  const dir = agentDir(router);
  const socket = join(dir, 'ctl.sock');
  const logFile = join(dir, 'log');
  mkdirSync(join(dir, 'state'), { recursive: true });
  rmSync(socket, { force: true });
  writeFileSync(join(dir, 'config'), agentConfig(router, config));
  const logFd = openSync(logFile, 'a');
  // `ip netns exec` replaces itself by the program: the process is the agent, and signals reach it.
  const child: ChildProcess = spawn(
    'ip',
    [
      ...['netns', 'exec', nsOf(router), process.execPath, ...nodeArgs, bundle, '--config', join(dir, 'config')],
      ...(process.env.X0_LAB_RECORD === undefined ? [] : ['--record', join(dir, `tape-${++tapes}.jsonl`)]),
      ...args,
    ],
    // The log goes to its file without passing through us: one CPU, and a fault is when everybody writes.
    { stdio: ['ignore', 'pipe', onLine ? 'pipe' : logFd], env: { ...process.env, ...env } },
  );
  const ready = Promise.withResolvers<void>();
  const exited = Promise.withResolvers<number | string>();
  child.once('error', (error) => {
    ready.reject(error);
    exited.resolve(error.message);
  });
  for (const stream of [child.stdout, child.stderr])
    if (stream)
      createInterface({ input: stream }).on('line', (line) => {
        writeFileSync(logFd, `${line}\n`);
        if (line.startsWith('{"ready"')) ready.resolve();
        onLine?.(router, line);
      });
  const log = () => readFileSync(logFile, 'utf8');
  child.once('close', (code, signal) => {
    closeSync(logFd);
    ready.reject(new Error(`the agent of r${router} ended with ${code ?? signal}: ${log().slice(-2000)}`));
    exited.resolve(code ?? signal ?? 'unknown');
  });
  const end = monotonicNs() + readyMs * 1e6;
  const poll = setInterval(() => {
    // On a machine that stood still this comes before what the agent said meanwhile.
    if (monotonicNs() > end && !log().includes('{"ready"'))
      ready.reject(new Error(`the agent of r${router} was not ready: ${log().slice(-2000)}`));
  }, 50);
  const agent: Agent = {
    router,
    pid: child.pid!,
    exited: exited.promise,
    socket,
    kill: (signal = 'SIGTERM') => void child.kill(signal),
    log,
  };
  try {
    await ready.promise;
    return agent;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearInterval(poll);
  }
}

/** SIGTERM to all; SIGKILL to those that have not ended after five seconds. Answers the exit codes. */
export async function stopAgents(agents: readonly Agent[]): Promise<(number | string)[]> {
  for (const agent of agents) agent.kill();
  const late = setTimeout(() => {
    for (const agent of agents) agent.kill('SIGKILL');
  }, 5000);
  const codes = await Promise.all(agents.map(({ exited }) => exited));
  clearTimeout(late);
  return codes;
}
