/**
 * A rehearsal: what a plan would change, carried out in the twin of the mesh that this router knows, beside the same mesh
 * without it. Pure: the same state, plan and changes give the same verdict. What it cannot know is in sketch.ts.
 */
import type { Change } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Plan } from '../core/words.ts';
import { isShown, Stand } from './enact.ts';
import { counted } from './fields.ts';
import { MESH } from './kernel.ts';
import { isLost, type Probe } from './outage.ts';
import type { RehearsalState, Verdict } from './rehearsal.ts';
import { Simulation, WARM } from './simulation.ts';
import { type Sketch, sketch } from './sketch.ts';
import { story } from './story.ts';
import { type Users, users } from './users.ts';

export interface RehearsalOptions {
  readonly seed?: number;
  /** How long each of both is watched. */
  readonly watchNs?: Nanos;
}

const WATCH: Nanos = 10 * SECOND;
/** What takes an interface away for a moment is to win over what it cures, and that lasts. */
const LONG_WATCH: Nanos = 30 * SECOND;
const FAULT: Nanos = WARM + 3 * SECOND;
const PLAN_AFTER: Nanos = 5 * MS;
const PROBE: Nanos = 50 * MS;
const MOST_TARGETS = 24;
/** Who waits longer for an answer notices. */
const LATE: Nanos = 100 * MS;
/** A difference of this share, or of fewer probes than these, is none. */
const SHARE = 0.1;
const FEW = 5;

export function rehearse(
  state: RehearsalState,
  plan: Plan,
  changes: readonly Change[],
  options: RehearsalOptions = {},
): Verdict {
  const isMoment = changes.some((change) => change.kind === 'set-up' && !change.up);
  const { watchNs = isMoment ? LONG_WATCH : WATCH, seed = 1 } = options;
  const drawn = draw(state);
  const left: string[] = [];
  const steps = changes.filter((change) => isShown(change, left));
  if (drawn.left.length > 0) left.push(`${counted(drawn.left.length, 'router')} furthest away`);
  const routers = drawn.names.length;
  const none = { with: 0, without: 0 };
  // A router under a storm has no time to play the same twice.
  if (steps.length === 0) return { verdict: 'same', lost: none, unreached: none, left, virtualNs: 0, routers };
  const by = users(state, plan, steps, drawn);
  const watched = (mine: readonly Change[]) => watch({ state, plan, drawn, by, watchNs, seed }, mine);
  const [without, planned] = [watched([]), watched(steps)];
  return {
    verdict: judge(planned, without),
    lost: { with: planned.lost, without: without.lost },
    unreached: { with: planned.unreached, without: without.unreached },
    left,
    virtualNs: 2 * (FAULT + watchNs),
    routers,
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

interface Scene {
  readonly state: RehearsalState;
  readonly plan: Plan;
  readonly drawn: Sketch;
  readonly by: Users;
  readonly watchNs: Nanos;
  readonly seed: number;
}

function watch({ state, plan, drawn, by, watchNs, seed }: Scene, steps: readonly Change[]): Watched {
  const targets = drawn.names.slice(1, 1 + MOST_TARGETS).map((_, n) => n + 1);
  const { mesh } = state.tables;
  const { origInterval = 1000 } = mesh?.settings ?? {};
  const simulation = new Simulation(
    story({
      seed,
      routers: drawn.names.length,
      algorithm: mesh?.algorithm ?? 'BATMAN_IV',
      links: drawn.links,
      mesh: { origInterval },
      special: by.special,
      settings: { key: state.settings.key === '' ? '' : '00'.repeat(32), meshInterface: MESH },
      // This router's own agent would do what is to be judged.
      agents: drawn.names.flatMap((name, n) => (n > 0 && state.agents.includes(name) ? [n] : [])),
      probes: targets.map((to) => ({ from: 0, to, everyNs: PROBE, fromNs: FAULT })),
      lengthNs: FAULT + watchNs,
    }),
  );
  simulation.run(FAULT - SECOND);
  const stand = new Stand(simulation, drawn, state, plan);
  simulation.run(FAULT);
  stand.befall();
  const sent: Probe[] = [];
  for (let at = FAULT; at < FAULT + watchNs; at += PROBE)
    simulation.scheduler.at(at, () => by.send(simulation, targets, sent));
  let at = FAULT + PLAN_AFTER;
  for (const change of steps) {
    simulation.run(at);
    at += stand.carryOut(change);
  }
  simulation.run();
  const isMissed = (probe: Probe) => isLost(probe, LATE);
  const lost = [...simulation.probes, sent].reduce((sum, all) => sum + all.filter(isMissed).length, 0);
  return { lost, unreached: targets.filter((to) => simulation.route(0, to).length === 0).length };
}
