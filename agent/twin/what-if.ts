/** What would happen if: a link of the mesh that a router knows is cut, or a router dies. Seen from that router. */
import { AgentError } from '../core/errors.ts';
import type { Mac } from '../core/ids.ts';
import { type MeshSettings, type RoutingAlgorithm, STOCK_SETTINGS } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { outage } from './outage.ts';
import { Simulation, WARM } from './simulation.ts';
import { type Sketch, sketch } from './sketch.ts';
import { type Fault, story } from './story.ts';

export type Question =
  | { readonly what: 'cut'; readonly a: string; readonly b: string }
  | { readonly what: 'kill'; readonly a: string };

/** What the agent's API tells of its mesh. */
export interface View {
  readonly status: {
    readonly originator: Mac | null;
    readonly mesh: {
      readonly algorithm: string;
      readonly originatorIntervalMs: number | null;
      /** An agent of an earlier version does not say. */
      readonly hopPenalty?: number | null;
    };
  };
  readonly links: readonly {
    readonly interface: string;
    readonly neighbour: Mac;
    readonly originator: Mac | null;
    readonly carrier: boolean;
    readonly tq: number | null;
    readonly throughput: number | null;
  }[];
  readonly paths: readonly {
    readonly originator: Mac;
    readonly neighbour: Mac;
    readonly interface: string;
    readonly tq: number | null;
    readonly throughput: number | null;
  }[];
}

export interface Answer {
  readonly question: string;
  /** That were simulated, this one among them. */
  readonly routers: number;
  /** Those furthest away, beyond what is simulated: nothing is said of them. */
  readonly leftOut: number;
  /** Routers whose way changes, or is lost. */
  readonly rows: readonly {
    readonly router: Mac;
    readonly before: readonly Mac[];
    readonly after: readonly Mac[];
    /** Outage from here to there; null where it does not end. */
    readonly withAgentsMs: number | null;
    readonly withoutMs: number | null;
  }[];
  readonly cutOff: readonly Mac[];
}

const FAULT: Nanos = WARM + 3.5 * SECOND;
const WATCH: Nanos = 10 * SECOND;
const PROBE: Nanos = 10 * MS;
const SEED = 1;

/** Throws E_NOT_FOUND, naming what there is. */
export function askWhatIf(view: View, question: Question): Answer {
  const { status } = view;
  if (status.originator === null) throw new AgentError('E_NOT_FOUND', 'this router has no originator address yet');
  const hopPenalty = status.mesh.hopPenalty ?? STOCK_SETTINGS.hopPenalty;
  const drawn = sketch({
    self: status.originator,
    hopPenalty,
    links: view.links
      .filter(({ carrier }) => carrier)
      .map(({ tq, throughput, ...link }) => ({ ...link, worth: tq ?? throughput ?? 0 })),
    paths: view.paths.map(({ tq, throughput, ...path }) => ({ ...path, worth: tq ?? throughput ?? 0 })),
  });
  const fault = faultOf(question, drawn);
  const algorithm: RoutingAlgorithm = status.mesh.algorithm === 'BATMAN_V' ? 'BATMAN_V' : 'BATMAN_IV';
  const mesh = { origInterval: status.mesh.originatorIntervalMs ?? 1000, hopPenalty };
  const [on, off] = [true, false].map((agents) => played(drawn, fault, agents, algorithm, mesh));
  const asMacs = (way: readonly number[]) => way.map((n) => drawn.names[n]!);
  const rows = drawn.names.flatMap((router, n) => {
    const [before, after] = [on!.before[n]!, on!.after[n]!];
    if (n === 0 || (before.join() === after.join() && on!.outages[n] === 0)) return [];
    const row = { router, before: asMacs(before), after: asMacs(after) };
    return [{ ...row, withAgentsMs: on!.outages[n] ?? null, withoutMs: off!.outages[n] ?? null }];
  });
  const words = question.what === 'cut' ? `cut ${question.a} ${question.b}` : `kill ${question.a}`;
  const cutOff = rows.filter(({ after }) => after.length === 0).map(({ router }) => router);
  return { question: words, routers: drawn.names.length, leftOut: drawn.left.length, rows, cutOff };
}

interface Played {
  readonly before: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
  /** Milliseconds by router; null where it did not end. */
  readonly outages: readonly (number | null)[];
}

function played(
  drawn: Sketch,
  fault: Fault,
  agents: boolean,
  algorithm: RoutingAlgorithm,
  mesh: Partial<MeshSettings>,
): Played {
  const all = drawn.names.map((_, n) => n);
  const simulation = new Simulation(
    story({
      seed: SEED,
      routers: drawn.names.length,
      algorithm,
      links: drawn.links,
      mesh,
      agents: agents ? all : [],
      probes: all.slice(1).map((to) => ({ from: 0, to, everyNs: PROBE, fromNs: FAULT - SECOND / 10 })),
      lengthNs: FAULT + WATCH,
    }),
  );
  const ways = () => all.map((n) => simulation.route(0, n));
  simulation.run(FAULT);
  const before = ways();
  simulation.inject(fault);
  simulation.run();
  const outages = all.map((n) => {
    if (n === 0) return 0;
    const { ns, recovered } = outage(simulation.probes[n - 1]!, FAULT, FAULT + WATCH);
    return recovered ? Math.round(ns / MS) : null;
  });
  return { before, after: ways(), outages };
}

function faultOf(question: Question, drawn: Sketch): Fault {
  const a = routerOf(question.a, drawn);
  if (question.what === 'kill') {
    if (a === 0) throw new AgentError('E_USAGE', 'that is this router: without it nobody asks');
    return { kind: 'router-off', router: a };
  }
  const b = routerOf(question.b, drawn);
  const isJoined = drawn.links.some((link) => (link.a === a && link.b === b) || (link.a === b && link.b === a));
  if (isJoined) return { kind: 'cut', a, b, silent: false };
  const near = drawn.links.flatMap((link) => (link.a === a ? [link.b] : link.b === a ? [link.a] : []));
  const names = near.map((n) => drawn.names[n]!).join(' ');
  throw new AgentError('E_NOT_FOUND', `no link between them is known here; ${drawn.names[a]} has links to ${names}`);
}

/** By address, or by an end of one that only one has; `self` is this router. */
function routerOf(name: string, { names, left }: Sketch): number {
  const wanted = name.toLowerCase();
  if (wanted === 'self') return 0;
  const found = names.flatMap((mac, n) => (mac.endsWith(wanted) ? [n] : []));
  const beyond = left.filter((mac) => mac.endsWith(wanted));
  if (found.length === 1 && beyond.length === 0) return found[0]!;
  const many = found.length + beyond.length;
  if (many === 1)
    throw new AgentError(
      'E_NOT_FOUND',
      `${beyond[0]} is further away than the ${names.length} routers that are simulated`,
    );
  throw new AgentError(
    'E_NOT_FOUND',
    `${many === 0 ? 'no router of this mesh ends' : `${many} routers of this mesh end`} in ${name}; x0ctl nodes shows those there are`,
  );
}
