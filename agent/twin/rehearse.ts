/**
 * A rehearsal: a plan carried out in the twin of the mesh that this router knows, beside the same mesh without it. Pure:
 * the same state and plan give the same verdict. What it cannot know is in sketch.ts.
 */
import type { HealSettings, Tables } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Change, Link as KernelLink } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Plan } from '../core/words.ts';
import { MESH } from './kernel.ts';
import { Simulation, WARM } from './simulation.ts';
import { type Sketch, sketch } from './sketch.ts';
import { type Story, story } from './story.ts';

/** The mesh as the agent knows it. Plain JSON: it may come from another thread. */
export interface RehearsalState {
  readonly self: Mac;
  readonly settings: HealSettings;
  readonly tables: Tables;
  readonly links: readonly KernelLink[];
  /** Which router a neighbour's address belongs to, where that is known. */
  readonly owners: Readonly<Record<Mac, Mac>>;
  /** Routers that run the agent. */
  readonly agents: readonly Mac[];
}

export interface RehearsalOptions {
  /** What the plan's actions come to; where it is missing they are derived from the actions. */
  readonly changes?: readonly Change[];
  readonly seed?: number;
  /** How long each of both is watched. */
  readonly watchNs?: Nanos;
}

export interface Verdict {
  readonly verdict: 'better' | 'same' | 'worse';
  /** Probes lost to all routers, and routers that are out of reach at the end, with the plan and without. */
  readonly lost: { readonly with: number; readonly without: number };
  readonly unreached: { readonly with: number; readonly without: number };
  /** What a rehearsal would have to show, and this cannot: steps left out, a mesh cut down. */
  readonly left: readonly string[];
  readonly virtualNs: Nanos;
  readonly routers: number;
}

const WATCH: Nanos = 10 * SECOND;
const FAULT: Nanos = WARM + 3 * SECOND;
const PLAN_AFTER: Nanos = 5 * MS;
const PROBE: Nanos = 50 * MS;
const MOST_TARGETS = 24;
/** A difference of this share, or of fewer probes than these, is none. */
const SHARE = 0.1;
const FEW = 5;

export function rehearse(state: RehearsalState, plan: Plan, options: RehearsalOptions = {}): Verdict {
  const { watchNs = WATCH, seed = 1 } = options;
  const drawn = draw(state);
  const left: string[] = [];
  const steps = (options.changes ?? changesOf(plan, state.settings, left)).filter((change) => isKnown(change, left));
  const watched = (mine: readonly Change[]) => watch(state, drawn, mine, watchNs, seed);
  const [without, planned] = [watched([]), watched(steps)];
  return {
    verdict: judge(planned, without),
    lost: { with: planned.lost, without: without.lost },
    unreached: { with: planned.unreached, without: without.unreached },
    left,
    virtualNs: 2 * (FAULT + watchNs),
    routers: drawn.names.length,
  };
}

interface Watched {
  readonly lost: number;
  readonly unreached: number;
}

function judge(planned: Watched, without: Watched): Verdict['verdict'] {
  if (planned.unreached !== without.unreached) return planned.unreached > without.unreached ? 'worse' : 'better';
  const difference = planned.lost - without.lost;
  if (Math.abs(difference) <= Math.max(FEW, SHARE * without.lost)) return 'same';
  return difference > 0 ? 'worse' : 'better';
}

function draw({ self, tables, owners }: RehearsalState): Sketch {
  const worthOf = ({ tq, throughput }: { tq?: number; throughput?: number }) => tq ?? throughput ?? 0;
  return sketch({
    self,
    hopPenalty: tables.mesh?.settings.hopPenalty ?? 30,
    links: tables.neighbours.map((row) => {
      const own = tables.originators.find(
        (path) =>
          path.originator === row.neighbour && path.neighbour === row.neighbour && path.interface === row.interface,
      );
      return {
        interface: row.interfaceName,
        neighbour: row.neighbour,
        originator: owners[row.neighbour] ?? null,
        worth: worthOf(own ?? row),
      };
    }),
    paths: tables.originators.map((path) => ({
      originator: path.originator,
      neighbour: path.neighbour,
      interface: path.interfaceName,
      worth: worthOf(path),
    })),
  });
}

function watch(state: RehearsalState, drawn: Sketch, steps: readonly Change[], watchNs: Nanos, seed: number): Watched {
  const targets = drawn.names.slice(1, 1 + MOST_TARGETS).map((_, n) => n + 1);
  const algorithm = state.tables.mesh?.algorithm ?? 'BATMAN_IV';
  const { origInterval = 1000 } = state.tables.mesh?.settings ?? {};
  const played: Story = story({
    seed,
    routers: drawn.names.length,
    algorithm,
    links: drawn.links,
    mesh: { origInterval },
    settings: { key: state.settings.key === '' ? '' : '00'.repeat(32), meshInterface: MESH },
    // This router's own agent would do what is to be judged.
    agents: drawn.names.flatMap((name, n) => (n > 0 && state.agents.includes(name) ? [n] : [])),
    probes: targets.map((to) => ({ from: 0, to, everyNs: PROBE, fromNs: FAULT })),
    lengthNs: FAULT + watchNs,
  });
  const simulation = new Simulation(played);
  simulation.run(FAULT);
  for (const { name, up, carrier } of state.links)
    if (!up || !carrier)
      for (const other of drawn.interfaces.get(name) ?? [])
        simulation.inject({ kind: 'cut', a: 0, b: other, silent: false });
  simulation.run(FAULT + PLAN_AFTER);
  for (const change of steps) carryOut(simulation, drawn, change);
  simulation.run();
  const lost = simulation.probes.reduce((sum, all) => sum + all.filter(({ received }) => received === 0).length, 0);
  return { lost, unreached: targets.filter((to) => simulation.route(0, to).length === 0).length };
}

/** One interface here may be several cables there. */
function carryOut(simulation: Simulation, drawn: Sketch, change: Change): void {
  const { kernel, towards } = simulation.routers[0]!;
  if (change.kind === 'set-mesh') {
    kernel.apply(change);
    return;
  }
  if (change.kind !== 'set-master' && change.kind !== 'set-up') return;
  for (const other of drawn.interfaces.get(change.interface) ?? []) {
    const device = towards.get(other)!;
    if (change.kind === 'set-up') kernel.setUp(device, change.up);
    else kernel.setMaster(device, change.master === null ? 0 : (kernel.mesh?.index ?? 0));
  }
}

function isKnown(change: Change, left: string[]): boolean {
  if (change.kind === 'set-master' || change.kind === 'set-up' || change.kind === 'set-mesh') return true;
  left.push(change.kind);
  return false;
}

function changesOf({ actions, fault }: Plan, settings: HealSettings, left: string[]): Change[] {
  return actions.flatMap((action): Change[] => {
    const name = fault.interface ?? '';
    if (action === 'detach') return [{ kind: 'set-master', interface: name, master: null }];
    if (action === 'reattach') return [{ kind: 'set-master', interface: name, master: settings.meshInterface }];
    // A kick only hastens what comes anyway.
    if (action !== 'none' && action !== 'kick' && action !== 'clear-way') left.push(action);
    return [];
  });
}
