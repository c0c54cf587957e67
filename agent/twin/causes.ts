/**
 * What happens to a mesh, and which faults an agent may rightly see by it, and where: the truth against which an agent's
 * word is held. What is in no row here nothing can cause in the twin.
 */
import type { FaultClass, Fault as Seen } from '../core/words.ts';
import type { Device } from './protocol.ts';
import type { Router } from './simulation.ts';
import type { Fault, Story } from './story.ts';

/**
 * 'ends': at either end of the link, on its interface, or of what joins two client networks. 'own': on that router, and on
 * that interface where it is about one;
 * 'near': on the routers next to it, by the interface towards it. 'far': on any router.
 */
type Where = 'ends' | 'own' | 'near' | 'far';
type Row = Readonly<Partial<Record<Where, readonly FaultClass[]>>>;

/** A link whose neighbour is no longer heard, or no longer hears, wholly or in part, or has begun anew. */
const UNHEARD = ['link-silent', 'link-lossy', 'link-one-way'] as const;
/** The same, again and again. */
const RESTLESS = ['link-flapping', ...UNHEARD] as const;
/** What shows wherever a router is no longer heard, and what others say of it. */
const APART = ['neighbour-dead', 'router-dead', 'partition', 'gateway-lost', 'remote-alarm'] as const;
/** Who does not hear somebody tells the others. */
const TOLD = ['remote-alarm'] as const;
const NONE: Row = {};

const CAUSES: Readonly<Record<Fault['kind'], Row>> = {
  cut: { ends: ['link-down', ...RESTLESS], far: APART },
  mend: { ends: RESTLESS, far: TOLD },
  'one-way': { ends: RESTLESS, far: APART },
  loss: { ends: RESTLESS, far: APART },
  delay: { ends: ['link-slow', ...UNHEARD], far: APART },
  busy: { own: ['overload', 'link-slow'], near: ['link-slow'] },
  'router-off': { near: ['link-down', ...RESTLESS], far: APART },
  'router-on': { own: UNHEARD, near: RESTLESS, far: TOLD },
  'agent-killed': { near: UNHEARD, far: TOLD },
  'agent-started': NONE,
  'agent-stopped': { near: ['link-slow', ...UNHEARD], far: TOLD },
  'agent-continued': { own: UNHEARD, near: ['link-slow'], far: TOLD },
  down: { own: ['link-down', ...UNHEARD], near: RESTLESS, far: APART },
  up: { own: UNHEARD, near: RESTLESS, far: TOLD },
  unplugged: {
    own: ['interface-vanished', 'interface-fell-out', 'link-down', ...RESTLESS],
    near: RESTLESS,
    far: APART,
  },
  plugged: { own: ['interface-fell-out', ...UNHEARD], near: RESTLESS, far: TOLD },
  taken: { own: ['interface-fell-out', ...UNHEARD], near: RESTLESS, far: APART },
  given: { own: UNHEARD, near: RESTLESS, far: TOLD },
  bridged: { own: ['interface-fell-out', ...UNHEARD], near: RESTLESS, far: APART },
  'mesh-deleted': { own: ['mesh-vanished', 'interface-fell-out', ...UNHEARD], near: UNHEARD, far: APART },
  'mesh-made': { own: UNHEARD, near: RESTLESS, far: TOLD },
  // The router itself has no way in or out; what others see of it is what its users see.
  'mesh-down': { own: ['mesh-misconfigured'] },
  'mesh-up': NONE,
  unbridged: { own: ['mesh-misconfigured'] },
  rebridged: NONE,
  algorithm: { own: ['mesh-mismatch', ...UNHEARD], near: ['mesh-mismatch', ...RESTLESS], far: APART },
  table: { own: ['translation-inconsistent'] },
  // Whoever goes a wrong way tells of no right one.
  route: { own: ['routing-loop'], near: ['routing-loop', ...UNHEARD], far: APART },
  mtu: { own: ['mtu-trouble', 'config-drift'] },
  upstream: { own: ['gateway-no-upstream'], far: ['gateway-lost'] },
  memory: { own: ['overload'] },
  clock: { own: ['clock-stepped'] },
  lans: { ends: ['broadcast-storm', 'address-taken'] },
  // An agent that is begun anew has not known a neighbour to have what somebody has turned off.
  setting: {
    own: ['config-drift', 'mtu-trouble', 'gateway-lost', 'mesh-mismatch'],
    near: ['mesh-mismatch', ...UNHEARD],
    far: ['gateway-lost', ...TOLD],
  },
};

/** What may bring that about. */
export function causeOf(seen: FaultClass): Fault['kind'][] {
  const kinds = Object.keys(CAUSES) as Fault['kind'][];
  return kinds.filter((kind) => Object.values(CAUSES[kind]).some((classes) => classes.includes(seen)));
}

/** Loss that a story begins with may bring about the same as loss that comes later, anywhere. */
const LOSSY: ReadonlySet<FaultClass> = new Set([...UNHEARD, ...APART]);

/** `byRadio`: what it loses comes and goes. */
export function lossExplains(seen: Seen, byRadio: boolean): boolean {
  return LOSSY.has(seen.class) || (byRadio && seen.class === 'link-flapping');
}

/** May a story that begins so bring that about by itself: routers side by side that are not set up alike? */
export function standsFor({ tongues, special, surveyed }: Story, seen: Seen, at: Router): boolean {
  if (seen.class !== 'mesh-mismatch' || !surveyed) return false;
  const isOther = (router: number) => {
    const { distributedArpTable, multicastForceflood } = special.get(router) ?? {};
    return tongues.has(router) || distributedArpTable !== undefined || multicastForceflood !== undefined;
  };
  return isOther(at.number) || [...at.towards.keys()].some(isOther);
}

/** Can what happened be why this router sees that fault there? */
export function explains(fault: Fault, seen: Seen, at: Router, device: Device | undefined): boolean {
  const row = CAUSES[fault.kind];
  const has = (where: Where) => row[where]?.includes(seen.class) === true;
  if (has('far')) return true;
  const isTowards = (other: number) =>
    at.towards.has(other) && (device === undefined || at.towards.get(other) === device);
  if ('routers' in fault) return fault.routers.includes(at.number) && has('ends');
  if ('a' in fault) {
    const other = fault.a === at.number ? fault.b : fault.b === at.number ? fault.a : null;
    return other !== null && has('ends') && isTowards(other);
  }
  const { router } = fault;
  const isAbout = !('towards' in fault) || isTowards(fault.towards);
  if (router === at.number) return has('own') && isAbout;
  // On one medium for all an interface is everybody's way to its router.
  const isShared = (at.towards.get(router)?.port?.medium.ports.length ?? 0) > 2;
  return has('near') && isTowards(router) && (!('towards' in fault) || fault.towards === at.number || isShared);
}
