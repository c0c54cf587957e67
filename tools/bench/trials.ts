/**
 * What the heal benches have in common: a series of cuts of links in use, on one mesh in one kernel, with agents on all,
 * some or none of its routers. Outside: `series` boots the kernel and collects. Inside (the same file, run by that
 * kernel) the trials are made.
 *
 * The link that is cut rotates over the mesh, and rests for more than a minute where agents run: an interface that fails
 * twice within one is damped for half a minute, which is another experiment.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Control } from '../lab/ask.ts';
import { type Hop, Mesh, type MeshOptions, macOf, monotonicNs, nsOf, type Pair, run, topology } from '../lab/mesh.ts';
import {
  type Agent,
  type AgentConfig,
  agentDir,
  repairTrial,
  settle,
  startAgents,
  type Trial,
} from '../lab/scenario.ts';
import { bootUml, prepareLab, umlMissing } from '../lab/uml.ts';
import { median, type Progress, percentile } from './stats.ts';

export interface SeriesSpec extends MeshOptions {
  readonly topology: string;
  /** Routers with an agent. */
  readonly agents: readonly number[];
  readonly runs: number;
  readonly config?: AgentConfig;
  /** How long the mesh is watched after a cut: as long as the slowest repair and its late glitches. */
  readonly afterMs: number;
  /** What happens to the link: its carrier is lost, unless something else is said here. */
  readonly fault?: 'cut' | 'cut-silently';
  /** The agents at both ends of a cut link are told at that instant, where nothing else tells them. */
  readonly tell?: boolean;
  /** Counts the frames of the quiet mesh for so long, before the agents start and when they run. */
  readonly idleSeconds?: number;
}

export interface SeriesTrial extends Trial {
  readonly link: string;
  /** From the fault until the agents were told, where they are. */
  readonly toldMs?: number;
  /** From the fault to the first word of it in the journal of a router at either end. */
  readonly detectMs?: number;
}

export interface Series {
  readonly spec: SeriesSpec;
  readonly trials: readonly SeriesTrial[];
  /** Control frames a second in the quiet mesh; both 0 where they were not counted. */
  readonly idle: { readonly without: number; readonly with: number };
  /** Why the series ended before its time: the mesh did not become whole again after a mending. */
  readonly broken?: string;
}

type Line =
  | { readonly say: string }
  | { readonly trial: SeriesTrial }
  | { readonly idle: Series['idle'] }
  | { readonly problem: string }
  | { readonly broken: string };

/** All routers of a topology. */
export const everyRouter = (name: string) => Array.from({ length: topology(name).routers }, (_, n) => n);

/** Boots a kernel, runs the series in it and answers what came out. Throws where it could not be run to its end. */
export async function series(name: string, spec: SeriesSpec, progress: Progress): Promise<Series> {
  const missing = umlMissing();
  if (missing) throw new Error(missing);
  prepareLab();
  const trials: SeriesTrial[] = [];
  let idle: Series['idle'] = { without: 0, with: 0 };
  let broken: string | undefined;
  const console: string[] = [];
  const { X0_BENCH_LOGS: logs, X0_LAB_BUNDLE: bundle } = process.env;
  const uml = bootUml({
    script: import.meta.filename,
    args: [JSON.stringify(spec)],
    onConsole: (line) => console.push(line),
    ...(logs === undefined ? {} : { results: logs }),
    env: {
      ...(logs === undefined ? {} : { X0_BENCH_LOGS: name.replaceAll(/\W+/g, '-') }),
      ...(bundle === undefined ? {} : { X0_LAB_BUNDLE: bundle }),
    },
    onLine: (text) => {
      const line = JSON.parse(text) as Line;
      if ('idle' in line) idle = line.idle;
      if ('say' in line) progress(`${name}: ${line.say}`);
      if ('broken' in line) {
        broken = line.broken;
        progress(`${name}: ENDS HERE, the mesh is broken: ${broken}`);
      }
      if ('problem' in line) progress(`${name}: this trial does not count: ${line.problem}`);
      if (!('trial' in line)) return;
      trials.push(line.trial);
      const { outageMs, toldMs, detectMs, link, before, after, framesBurst, recovered, runs, lostMs, lastRunMs } =
        line.trial;
      const seen = detectMs === undefined ? '' : `, seen after ${detectMs.toFixed(1)} ms`;
      const told = toldMs === undefined ? seen : `, told after ${toldMs.toFixed(1)} ms`;
      const glitch =
        runs > 1
          ? `, ${runs} runs of losses (${lostMs.toFixed(0)} ms, the last from ${lastRunMs?.toFixed(0)} ms on)`
          : '';
      progress(
        `${name}: ${trials.length}/${spec.runs}: ${link} cut: ${outageMs.toFixed(1)} ms${recovered ? '' : ' and not back'}` +
          `${told}${glitch}, ${before.join('-')} to ${after.join('-') || 'nowhere'}, ${framesBurst.toFixed(0)} frames more`,
      );
    },
  });
  const onExit = (): void => uml.kill();
  process.once('exit', onExit);
  const code = await uml.exited;
  process.off('exit', onExit);
  if (code !== 0 || trials.length === 0)
    throw new Error(`${name}: ended with ${code}: ${console.slice(-15).join('\n')}`);
  return { spec, trials, idle, ...(broken === undefined ? {} : { broken }) };
}

/** Several series at once, at most `width` kernels side by side: for what takes seconds, not for an agent's times. */
export async function sideBySide<T>(jobs: readonly (() => Promise<T>)[], width = 2): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let mine = next++; mine < jobs.length; mine = next++) results[mine] = await jobs[mine]!();
  };
  await Promise.all(Array.from({ length: Math.min(width, jobs.length) }, worker));
  return results;
}

/** Outages, from the moment that the agents knew where they were told. A mesh that did not come back counts in full. */
export const outages = ({ trials }: Series) => trials.map(({ outageMs, toldMs = 0 }) => Math.max(0, outageMs - toldMs));

/** Extra control frames that a fault cost, a router, in the middle of the trials. */
export const burst = ({ trials, spec }: Series) =>
  median(trials.map(({ framesBurst }) => framesBurst)) / topology(spec.topology).routers;

export const p95 = (values: readonly number[]) => percentile(values, 95);

/** How many trials: `--runs N` on the command line or X0_BENCH_RUNS for a quick look, else as the bench says. */
export function runsOr(full: number): number {
  const at = process.argv.indexOf('--runs');
  const asked = Number(at > 0 ? process.argv[at + 1] : process.env.X0_BENCH_RUNS);
  return Number.isInteger(asked) && asked > 0 ? Math.min(asked, full) : full;
}

// ---- inside the kernel ----

const REST_NS = 62e9;
const say = (line: Line) => process.stdout.write(`${JSON.stringify(line)}\n`);

class Trials {
  readonly #mesh: Mesh;
  readonly #spec: SeriesSpec;
  readonly #pairs: Pair[] = [];
  readonly #cutAt = new Map<number, number>();
  readonly #controls = new Map<number, Control>();
  #turn = 0;

  constructor(mesh: Mesh, spec: SeriesSpec, agents: readonly Agent[]) {
    this.#mesh = mesh;
    this.#spec = spec;
    for (const { router, socket } of agents) this.#controls.set(router, new Control(socket));
    const distances = everyRouter(spec.topology).map((n) => this.#distancesFrom(n));
    const far = Math.max(...distances.flat());
    // Far apart: one hop less than the whole width of a grid still crosses its middle.
    for (const [a, row] of distances.entries())
      for (const [b, hops] of row.entries()) if (hops >= Math.max(2, far - 1)) this.#pairs.push([a, b]);
  }

  #distancesFrom(from: number): number[] {
    const hops = Array.from({ length: this.#mesh.size }, () => Number.POSITIVE_INFINITY);
    hops[from] = 0;
    for (const queue = [from]; queue.length > 0; ) {
      const at = queue.shift()!;
      for (const { a, b } of this.#mesh.links) {
        const other = a === at ? b : b === at ? a : undefined;
        if (other === undefined || hops[other]! <= hops[at]! + 1) continue;
        hops[other] = hops[at]! + 1;
        queue.push(other);
      }
    }
    return hops;
  }

  #mayBeCut = (hop: Hop) =>
    this.#spec.agents.length === 0 ||
    monotonicNs() - (this.#cutAt.get(hop.link.id) ?? Number.NEGATIVE_INFINITY) > REST_NS;

  /** The hop to be cut: of those that may be, the one whose link has rested longest. */
  #choose = (hops: readonly Hop[]): number => {
    const rested = hops.map((hop, index) => ({
      index,
      at: this.#cutAt.get(hop.link.id) ?? 0,
      free: this.#mayBeCut(hop),
    }));
    const best = rested.filter(({ free }) => free).sort((a, b) => a.at - b.at || ((a.index + this.#turn) % 2) - 0.5)[0];
    if (best === undefined) throw new Error('the route has moved to links that were cut a moment ago');
    return best.index;
  };

  /** The pair whose way has the link that rested longest; waits for one where all are too fresh. */
  async #pair(): Promise<Pair> {
    for (let waited = 0; waited < 120; waited++) {
      let best: { pair: Pair; at: number } | undefined;
      for (let i = 0; i < this.#pairs.length; i++) {
        const pair = this.#pairs[(i + this.#turn * 3) % this.#pairs.length]!;
        const hops = (await this.#mesh.route(...pair))?.filter(this.#mayBeCut) ?? [];
        for (const { link } of hops) {
          const at = this.#cutAt.get(link.id) ?? 0;
          if (best === undefined || at < best.at) best = { pair, at };
        }
        if (best?.at === 0) break;
      }
      if (best !== undefined) return best.pair;
      await sleep(1000);
    }
    throw new Error('no link in use has rested long enough');
  }

  async one(): Promise<SeriesTrial> {
    const { afterMs, tell = false, fault = 'cut' } = this.#spec;
    this.#turn += 1;
    const [src, dst] = await this.#pair();
    if (tell) for (const control of this.#controls.values()) await control.get('/health');
    let link = '';
    let told: Promise<number> | undefined;
    let ends: number[] = [];
    const trial = await repairTrial({
      mesh: this.#mesh,
      src,
      dst,
      fault,
      hop: this.#choose,
      afterMs,
      onStruck: ({ ns }, hit) => {
        link = `r${hit.from}-r${hit.to}`;
        ends = [hit.from, hit.to];
        this.#cutAt.set(hit.link.id, monotonicNs());
        if (!tell) return;
        const at = (monotonicNs() - ns) / 1e6;
        const kicks = [this.#kick(hit.from, hit.to), this.#kick(hit.to, hit.from)];
        told = Promise.all(kicks).then(() => at);
        told.catch(() => {});
      },
    });
    const detectMs = fault === 'cut' ? undefined : await this.#detected(ends, trial.faultNs);
    return {
      ...trial,
      link,
      ...(told === undefined ? {} : { toldMs: await told }),
      ...(detectMs === undefined ? {} : { detectMs }),
    };
  }

  async #detected(routers: readonly number[], faultNs: number): Promise<number | undefined> {
    let first = Number.POSITIVE_INFINITY;
    for (const router of routers) {
      const log = await this.#controls.get(router)?.get('/heal/log?limit=100');
      const { entries = [] } = (log ?? {}) as { entries?: { class: string; faultAtNs: number }[] };
      for (const { class: kind, faultAtNs } of entries)
        if (kind === 'link-silent' && faultAtNs > faultNs) first = Math.min(first, faultAtNs);
    }
    return Number.isFinite(first) ? (first - faultNs) / 1e6 : undefined;
  }

  #kick(router: number, lost: number): Promise<unknown> {
    return this.#controls.get(router)?.post('/heal/kick', { lost: macOf(lost, 1) }) ?? Promise.resolve();
  }

  /** Until every interface is back under bat0, everybody has a route to everybody, and traffic flows. */
  async whole(timeoutMs = 90_000): Promise<void> {
    if (this.#spec.agents.length === 0) return settle(this.#mesh, 'warm');
    const start = monotonicNs();
    const end = start + timeoutMs * 1e6;
    const until = async (good: () => Promise<boolean>, what: string): Promise<void> => {
      while (!(await good())) {
        if (monotonicNs() > end) throw new Error(`${what} ${timeoutMs / 1000} s after the mending`);
        await sleep(500);
      }
    };
    for (let n = 0; n < this.#mesh.size; n++) {
      const wanted = this.#mesh.interfacesOf(n).length + 1;
      const under = async () =>
        (await run('ip', ['-n', nsOf(n), '-o', 'link', 'show', 'master', 'bat0'])).trim().split('\n');
      await until(async () => (await under()).length >= wanted, `an interface of r${n} is not under bat0`);
    }
    await until(() => this.#mesh.complete(), 'a router still misses another');
    // A cable that came back carries nothing for a while: its ends begin anew with counting what they hear.
    for (const { a, b, ends, medium } of this.#mesh.links)
      for (const [at, peer, end] of [
        [a, b, ends[0]],
        [b, a, ends[1]],
      ] as const) {
        if (medium === 'cable' && this.#mesh.size > 4) continue; // A grid has other ways enough.
        await until(async () => {
          const rows = await this.#mesh.originators(at);
          const own = rows.find(
            (row) =>
              row.orig_address === macOf(peer, 0) &&
              row.neigh_address.startsWith(macOf(peer, 0).slice(0, -2)) &&
              row.hard_ifname === end,
          );
          return own !== undefined && own.last_seen_msecs < 3000 && (own.tq ?? 255) > 100;
        }, `r${at} does not hear r${peer} on ${end}`);
      }
    say({ say: `whole again after ${((monotonicNs() - start) / 1e9).toFixed(1)} s` });
    const [a, b] = this.#pairs[this.#turn % this.#pairs.length]!;
    await until(() => this.#mesh.reaches(a, b), `r${a} does not reach r${b}`);
    // The interface that came back sends its first OGMs in this time.
    await sleep(2000);
  }
}

async function inside(spec: SeriesSpec): Promise<void> {
  const mesh = await Mesh.build(spec.topology, spec);
  await mesh.warm(120_000);
  const idle = { without: 0, with: 0 };
  const seconds = spec.idleSeconds ?? 0;
  const quiet = async (): Promise<number> => {
    const start = await mesh.airCount();
    await sleep(seconds * 1000);
    const end = await mesh.airCount();
    return (end.control - start.control) / ((end.atNs - start.atNs) / 1e9);
  };
  if (seconds > 0) {
    say({ say: `counting the frames of the quiet mesh for ${seconds} s` });
    idle.without = await quiet();
  }
  const agents = await startAgents(spec.agents, { ...(spec.config ? { config: spec.config } : {}) });
  if (agents.length > 0) await sleep(5000);
  if (seconds > 0) {
    say({ say: `and for ${seconds} s with agents` });
    idle.with = await quiet();
    say({ idle });
  }
  const trials = new Trials(mesh, spec, agents);
  let problems = 0;
  for (let done = 0; done < spec.runs; ) {
    try {
      say({ trial: await trials.one() });
      done += 1;
    } catch (thrown) {
      problems += 1;
      say({ problem: (thrown as Error).message });
      if (problems > 3 + spec.runs / 2) throw thrown;
      await sleep(2000);
    }
    if (done === spec.runs) break;
    try {
      await trials.whole();
    } catch (thrown) {
      // What was measured counts; what would follow is another experiment.
      say({ broken: (thrown as Error).message });
      break;
    }
  }
  const { X0_BENCH_LOGS: logs, LAB_RESULTS: results } = process.env;
  if (logs !== undefined)
    for (const { router } of agents)
      cpSync(join(agentDir(router), 'log'), join(results!, `${logs}-${nsOf(router)}.log`), { force: true });
}

if (process.argv[1] === import.meta.filename) {
  try {
    await inside(JSON.parse(process.argv[2]!) as SeriesSpec);
    process.exit(0);
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).stack}\n`);
    process.exit(1);
  }
}
