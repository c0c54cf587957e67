/** All checks over the facts: what is wrong, the worst first, and what could not be looked at. */
import { AGENT_CHECKS } from './agent.ts';
import type { Check, Facts, Finding } from './facts.ts';
import { MESH_CHECKS } from './mesh.ts';
import { RADIO_CHECKS } from './radio.ts';
import { SYSTEM_CHECKS } from './system.ts';

export const CHECKS: readonly Check[] = [...AGENT_CHECKS, ...MESH_CHECKS, ...RADIO_CHECKS, ...SYSTEM_CHECKS];

export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly skipped: readonly { readonly check: string; readonly why: string }[];
  readonly checks: number;
}

export function diagnose(facts: Facts): Diagnosis {
  const findings: Finding[] = [];
  const skipped: { check: string; why: string }[] = [];
  for (const { name, look } of CHECKS) {
    const found = look(facts);
    if (typeof found === 'string') skipped.push({ check: name, why: found });
    else for (const { weight, seen, why, remedy } of found) findings.push({ check: name, weight, seen, why, remedy });
  }
  findings.sort((a, b) => Number(a.weight === 'advice') - Number(b.weight === 'advice'));
  return { findings, skipped, checks: CHECKS.length };
}
