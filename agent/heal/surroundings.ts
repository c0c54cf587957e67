/**
 * What this router's kernel looks like right now, as far as events have told. The monitor keeps it; the other machines
 * of this room read it. Nothing here decides anything.
 */
import type { HealSettings, Tables } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { InterfaceAddress, Link, MeshInfo } from '../core/kernel.ts';
import type { Nanos } from '../core/time.ts';

export interface Surroundings {
  /** Act only when true: the first links and tables are in, and who we are is known. */
  readonly started: boolean;
  readonly node: string;
  readonly epoch: number;
  readonly settings: HealSettings;
  readonly links: ReadonlyMap<IfIndex, Link>;
  readonly mesh: Link | null;
  /** Names of interfaces that belong under the mesh interface: seen there, or configured. */
  readonly members: ReadonlySet<string>;
  readonly tables: Tables | null;
  readonly tablesAt: Nanos;
  /** The last GET_MESH answer that was not empty: what bat0 was, if it is gone. */
  readonly lastMesh: MeshInfo | null;
  readonly lastMeshUp: { readonly mac: Mac; readonly master: IfIndex } | null;
  readonly addresses: readonly InterfaceAddress[];
}

export const NO_SETTINGS: HealSettings = {
  mode: 'off',
  meshInterface: 'bat0',
  own: false,
  algorithm: 'BATMAN_IV',
  primary: 'primary0',
  hardInterfaces: [],
  key: '',
  pollNs: 1e9,
  origIntervalMs: 0,
  kickCount: 6,
  kickSpacingNs: 5e6,
  kickBudget: 20,
  senderBudget: 6,
  alarmHops: 8,
  detach: true,
  reattach: true,
  recreate: true,
  reattachDampingNs: 0,
  flapDampingNs: 30e9,
  deadAfterNs: 60e9,
  echoNs: 0,
};

export function linkByName(around: Surroundings, name: string): Link | undefined {
  for (const link of around.links.values()) if (link.name === name) return link;
  return undefined;
}

/** Hard interfaces that are under the mesh interface now. */
export function attached(around: Surroundings): Link[] {
  const mesh = around.mesh;
  if (mesh === null) return [];
  const found: Link[] = [];
  for (const link of around.links.values()) if (link.master === mesh.index) found.push(link);
  return found.sort((a, b) => a.index - b.index);
}

/** Attached hard interfaces that frames can leave by. */
export function usable(around: Surroundings): Link[] {
  return attached(around).filter((link) => link.up && link.carrier);
}

/** The originator address of this router: its primary interface's, as batman-adv says. */
export function originatorAddress(around: Surroundings): Mac | null {
  return around.tables?.mesh?.primary?.mac ?? around.lastMesh?.primary?.mac ?? null;
}

export function primaryName(around: Surroundings): string | null {
  return around.tables?.mesh?.primary?.name ?? around.lastMesh?.primary?.name ?? null;
}

/** Is this the primary interface? Taking that out would change this router's originator address. */
export function isPrimary(around: Surroundings, name: string): boolean {
  return name === primaryName(around) || name === around.settings.primary;
}

/** The neighbours last seen on an interface. */
export function neighboursOn(around: Surroundings, index: IfIndex): Mac[] {
  return (around.tables?.neighbours ?? []).filter((row) => row.interface === index).map((row) => row.neighbour);
}

/**
 * Originators whose best path leaves by this interface: those that have another way, and those that have none.
 * A neighbour's own hard-interface address is an originator too (OGMs of secondary interfaces) and counts for nothing.
 */
export function dependants(around: Surroundings, index: IfIndex): { withOther: Mac[]; without: Mac[] } {
  const paths = around.tables?.originators ?? [];
  const hard = new Set((around.tables?.neighbours ?? []).map((row) => row.neighbour));
  const other = new Set<Mac>();
  const through = new Set<Mac>();
  for (const path of paths) {
    if (path.interface !== index) other.add(path.originator);
    else if (path.best && !hard.has(path.originator)) through.add(path.originator);
  }
  const withOther: Mac[] = [];
  const without: Mac[] = [];
  for (const originator of through) (other.has(originator) ? withOther : without).push(originator);
  return { withOther, without };
}
