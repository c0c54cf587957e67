/**
 * What it means that an agent names a fault of the lab rightly, and that the fault is repaired: one table for the report,
 * the expectations and the bench `catalogue`. Classes are named as the agent's journal names them.
 */
import type { FaultName } from '../../agent/twin/scenario.ts';

export interface Verdict {
  /** The classes that name the fault; none where there is nothing that an agent could name. */
  readonly names: readonly string[];
  /** Classes that are right beside it: what the fault brings about elsewhere, or before its name is certain. */
  readonly follows: readonly string[];
  /**
   * How it shows that it is repaired. traffic: every probe's packets flow again while the fault is there. state: what was
   * changed is as before. none: there is nothing that a router could repair; the mesh has to live on.
   */
  readonly repair: 'traffic' | 'state' | 'none';
}

/** How a link ends of which nobody knows why. */
export const ENDS_OF_LINKS: readonly string[] = ['link-down', 'link-silent'];
/** Before a link is certain to be down, or to be only bad, it looks like one of these. */
const LINK = ['link-down', 'link-silent', 'link-lossy', 'link-one-way', 'link-flapping'];
/** What others see of it. */
const ELSEWHERE = ['remote-alarm', 'neighbour-dead', 'router-dead'];
const GATEWAY = ['gateway-lost', 'gateway-no-upstream'];
/** What is behind a link, where no other way leads there. */
const BEHIND = [...ELSEWHERE, 'gateway-lost', 'partition'];

/** What no command brings a kernel to, and so only the twin plays: why not, by fault. */
export const TWIN_ONLY = {
  'table-stale': 'a kernel mends a translation table by itself, and nothing sets one',
  'route-stuck': 'a kernel chooses its routes by itself, and nothing sets one',
} as const satisfies Readonly<Partial<Record<FaultName, string>>>;

/** A fault that the lab can make. */
export type LabFault = Exclude<FaultName, keyof typeof TWIN_ONLY>;

export function isOfTheLab(fault: FaultName): fault is LabFault {
  return !Object.hasOwn(TWIN_ONLY, fault);
}

export const VERDICTS: Readonly<Record<FaultName, Verdict>> = {
  'carrier-loss': { names: ['link-down'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  'silent-loss': { names: ['link-silent'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  'partial-loss': { names: ['link-lossy'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  delay: { names: ['link-slow'], follows: [...LINK, 'remote-alarm'], repair: 'traffic' },
  'one-way': { names: ['link-one-way'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  flapping: { names: ['link-flapping'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  partition: { names: ['partition'], follows: [...LINK, ...ELSEWHERE, ...GATEWAY], repair: 'none' },
  'router-killed': {
    names: ['router-dead', 'neighbour-dead'],
    follows: [...LINK, ...ELSEWHERE, ...GATEWAY, 'partition'],
    repair: 'traffic',
  },
  'agent-killed': { names: [], follows: [], repair: 'none' },
  'agent-stopped': { names: [], follows: ['overload', 'clock-stepped'], repair: 'none' },
  'interface-deleted': { names: ['interface-vanished'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  'interface-taken': { names: ['interface-fell-out'], follows: [...LINK, ...BEHIND], repair: 'state' },
  // Out of another's bridge it is taken by nobody but a person.
  'interface-bridged': { names: ['interface-fell-out'], follows: [...LINK, ...BEHIND], repair: 'traffic' },
  'mtu-lowered': { names: ['mtu-trouble', 'config-drift'], follows: LINK, repair: 'state' },
  'bat0-deleted': {
    names: ['mesh-vanished'],
    follows: [...LINK, ...ELSEWHERE, ...GATEWAY, 'interface-fell-out', 'mesh-misconfigured', 'config-drift'],
    repair: 'state',
  },
  'bat0-down': { names: ['mesh-misconfigured'], follows: [...ELSEWHERE, ...GATEWAY], repair: 'state' },
  'bat0-unbridged': { names: ['mesh-misconfigured'], follows: [...ELSEWHERE, ...GATEWAY], repair: 'state' },
  // Who speaks another algorithm is silent to the others, until it is heard what it speaks.
  'algorithm-changed': {
    names: ['mesh-mismatch'],
    follows: [...LINK, ...ELSEWHERE, ...GATEWAY, 'partition'],
    repair: 'none',
  },
  'table-stale': { names: ['translation-inconsistent'], follows: [], repair: 'none' },
  'route-stuck': { names: ['routing-loop'], follows: [...LINK, ...ELSEWHERE, ...GATEWAY], repair: 'none' },
  'setting-changed': {
    names: ['config-drift', 'mesh-misconfigured'],
    // Rarer OGMs look like silence to others.
    follows: ['mesh-mismatch', 'translation-inconsistent', ...LINK, ...ELSEWHERE, ...GATEWAY],
    repair: 'state',
  },
  'gateway-gone': {
    names: ['gateway-lost'],
    follows: [...LINK, ...ELSEWHERE, ...GATEWAY, 'partition'],
    repair: 'state',
  },
  'upstream-gone': { names: ['gateway-no-upstream'], follows: GATEWAY, repair: 'state' },
  'bridge-loop': {
    names: ['broadcast-storm'],
    follows: ['routing-loop', 'translation-inconsistent', 'address-taken', 'overload', ...LINK, ...ELSEWHERE],
    repair: 'state',
  },
  'cpu-hog': { names: ['overload'], follows: ['link-slow'], repair: 'none' },
  'memory-pressure': { names: ['overload'], follows: [], repair: 'none' },
  'clock-stepped': { names: ['clock-stepped'], follows: [], repair: 'none' },
};
