/** This router at a glance: is all well, and if not, why. */
import { SECOND } from '../../core/time.ts';
import type { Fault, FaultClass } from '../../core/words.ts';
import type { MeshView } from '../../mesh/mesh.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import type { Sources } from '../sources.ts';
import { type Call, call, seconds, type Unversioned } from './call.ts';
import { identityOf } from './trust.ts';

/** Reasons that are told, and open faults that are listed: more are a number. */
const MOST_REASONS = 10;
const MOST_FAULTS = 32;
/** What takes a way, or makes it worse: batman-adv finds others by itself, unless there are none. */
const OF_WAYS: ReadonlySet<FaultClass> = new Set<FaultClass>([
  'link-down',
  'link-silent',
  'link-lossy',
  'link-slow',
  'link-one-way',
  'link-flapping',
  'interface-vanished',
  'interface-fell-out',
]);

export const statusCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/health',
    help: 'Is all well? Status 503 for a problem.',
    also: { 503: 'a problem' },
    shape: shapes.health,
    answer: ({ sources }) => ({
      ...healthOf(sources),
      uptimeSeconds: seconds(sources.now() - sources.startedAt),
    }),
  }),
  call({
    method: 'GET',
    path: '/mesh/status',
    help: 'This router, its mesh and its healing at a glance.',
    shape: shapes.status,
    answer: ({ sources }) => statusOf(sources),
  }),
];

function healthOf(sources: Sources): { status: 'ok' | 'degraded' | 'problem'; reasons: string[] } {
  const mesh = sources.mesh();
  const { faults, repairs, untold } = sources.heal();
  const problems: string[] = [];
  const weak = sources.degraded().map(({ part, level, why }) => `${part}: ${level} (${why})`);
  if (mesh.mesh === null) problems.push(`the mesh interface ${mesh.meshInterface} is not there`);
  const up = mesh.nodes.some(({ state }) => state === 'joined' || state === 'registered');
  const busy = new Set(repairs.map(({ fault }) => fault.id));
  for (const fault of faults) {
    const about = [fault.interface, fault.peer].filter((part) => part !== null).join(' ');
    const what = `${fault.class}${about === '' ? '' : ` of ${about}`} (${fault.id})`;
    const last = sources.outcome(fault.id);
    const behind = up && !busy.has(fault.id) && OF_WAYS.has(fault.class) ? countBehind(mesh, fault) : null;
    if (last?.step === 'verified') weak.push(`${what} is repaired by ${last.action}: ${last.result}`);
    else if (behind === null) problems.push(`${what} is not over`);
    else if (behind > 0) problems.push(`${what} is not over, and it is the way to ${behind} routers`);
    else weak.push(`${what} is left to batman-adv: every router that is there is reached another way`);
  }
  if (untold > 0) problems.push(`${untold} more routers are dead`);
  if (mesh.mesh !== null && !up) weak.push('no other router is heard');
  if (sources.now() > mesh.tablesAt + 30 * SECOND) weak.push('the tables of batman-adv are not up to date');
  const status = problems.length > 0 ? 'problem' : weak.length > 0 ? 'degraded' : 'ok';
  const all = [...problems, ...weak];
  const more = all.length - MOST_REASONS;
  return { status, reasons: more > 0 ? [...all.slice(0, MOST_REASONS), `and ${more} more`] : all };
}

/** Routers whose best way is still the one that a fault is about: an interface, or a neighbour on it. */
function countBehind({ nodes }: MeshView, { interface: name, peer }: Fault): number {
  return nodes.filter((node) => node.interface === name && (peer === null || node.nextHop === peer)).length;
}

function statusOf(sources: Sources): Unversioned<Of<typeof shapes.status>> {
  const mesh = sources.mesh();
  const heal = sources.heal();
  const now = sources.now();
  const { status, reasons } = healthOf(sources);
  const xdp = sources.xdp?.() ?? null;
  const last: Of<typeof shapes.status>['heal']['last'][number][] = [];
  for (const { wall, decision } of sources.journal.query({ limit: 50 }).toReversed()) {
    if (!['verified', 'failed', 'rolled-back'].includes(decision.step) || last.length >= 5) continue;
    const { fault, action, step } = decision;
    last.push({ fault: fault.id, class: fault.class, action, step, time: new Date(wall).toISOString() });
  }
  return {
    agent: {
      version: sources.version,
      uptimeSeconds: seconds(now - sources.startedAt),
      degraded: sources.degraded().map(({ part, level, why }) => ({ part, level, why })),
    },
    health: status,
    reasons,
    node: mesh.node,
    now: new Date(sources.wall()).toISOString(),
    originator: mesh.self,
    mesh: {
      interface: mesh.meshInterface,
      present: mesh.mesh !== null,
      algorithm: mesh.algorithm,
      batmanVersion: mesh.mesh?.version ?? null,
      originatorIntervalMs: mesh.mesh?.settings.origInterval ?? null,
      hopPenalty: mesh.mesh?.settings.hopPenalty ?? null,
      peers: mesh.nodes.filter(({ state }) => state === 'joined' || state === 'registered').length,
      gateways: mesh.gateways,
    },
    hardInterfaces: mesh.hardInterfaces.map(({ name, mac, active, carrier, primary }) => ({
      name,
      mac,
      active,
      carrier,
      primary,
    })),
    identity: identityOf(sources),
    xdp: xdp === null ? null : { level: xdp.level, why: xdp.why },
    dropped: (sources.dropped?.() ?? []).filter(({ frames }) => frames > 0),
    heal: {
      mode: heal.mode,
      authenticated: heal.authenticated,
      open: heal.faults.length,
      faults: heal.faults.slice(0, MOST_FAULTS).map((fault) => ({
        id: fault.id,
        class: fault.class,
        interface: fault.interface,
        peer: fault.peer,
        confidence: fault.confidence,
        ageSeconds: seconds(now - fault.at),
        evidence: fault.evidence.map(({ source, what }) => ({ source, what })),
      })),
      repairs: heal.repairs.map(({ fault, action, state }) => ({ fault: fault.id, action, state })),
      last,
      budgets: heal.budgets.map(({ name, left, capacity }) => ({ name, left: Math.round(left * 100) / 100, capacity })),
      undoArmed: heal.undoArmed,
    },
  };
}
