/**
 * What this router's kernel looks like right now, as far as events have told. The monitor keeps it; the other machines
 * of this room read it. Nothing here decides anything.
 */
import type { HealSettings, Tables } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { InterfaceAddress, Link, MeshInfo, OriginatorPath, Taken } from '../core/kernel.ts';

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
  /** False from when the primary interface left until the tables have told who it is now. */
  readonly primaryKnown: boolean;
  /** The last GET_MESH answer that was not empty, without what is lent: what bat0 was, if it is gone. */
  readonly lastMesh: MeshInfo | null;
  /** bat0 as its link was, and the bridge that it belongs to, also while a repair has it out of that. */
  readonly lastMeshUp: { readonly mac: Mac; readonly master: IfIndex } | null;
  readonly addresses: readonly InterfaceAddress[];
  /** Devices that netifd has declared, where it runs: they are repaired through it. */
  readonly declared: ReadonlySet<string>;
  /** This router's own addresses that others announced when stations were read last. */
  readonly taken: readonly Taken[];
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
  kickCount: 12,
  kickSpacingNs: 4e6,
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
  restart: false,
  earnRight: 0.95,
  earnFalse: 0.05,
  earnCases: 20,
  explore: 0,
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
  if (name === primaryName(around) || name === around.settings.primary) return true;
  // Under another name than the tables still have.
  const index = around.tables?.mesh?.primary?.index;
  return index !== undefined && linkByName(around, name)?.index === index;
}

/** Hard interfaces by which frames reach somebody: all usable ones, less a primary without neighbours. */
export function ways(around: Surroundings, avoid: Iterable<IfIndex> = []): Link[] {
  const avoided = new Set(avoid);
  return usable(around).filter(
    ({ name, index }) => !avoided.has(index) && (!isPrimary(around, name) || neighboursOn(around, index).length > 0),
  );
}

/**
 * Live interfaces that were under the mesh and are nowhere now: bat0 is being deleted, or they were taken out. Whoever is
 * behind one of them is who has to know.
 */
export function fallen(around: Surroundings): Link[] {
  const isFallen = ({ name, up, carrier, master }: Link) =>
    up && carrier && master === 0 && around.members.has(name) && !isPrimary(around, name);
  return [...around.links.values()].filter(isFallen);
}

/** The neighbours last seen on an interface. */
export function neighboursOn(around: Surroundings, index: IfIndex): Mac[] {
  return (around.tables?.neighbours ?? []).filter((row) => row.interface === index).map((row) => row.neighbour);
}

/** An originator whose route a fault broke, and what this router's tables know of another way to it. */
export interface Broken {
  readonly originator: Mac;
  /**
   * 'good': another neighbour forwarded its OGM lately, and its TQ is too high for that OGM to have come round through
   * ourselves. 'doubtful': there is another row, old or weak: following it may send packets in a circle. 'none': no row.
   */
  readonly other: 'good' | 'doubtful' | 'none';
  /** The best of the good ones. */
  readonly by: OriginatorPath | null;
}

/**
 * A neighbour forwards an OGM only if it came from its own best next hop. So a fresh row means that its way does not
 * lead straight back here. An OGM that came round through us was forwarded three times or more, each time losing the
 * hop penalty (30 of 255 by default, 0.69 after three): a TQ above this share of the old one did not.
 */
const ROUND_TRIP_SHARE = 0.7;
/** A row older than this many OGM intervals when read is no longer being fed. */
const FRESH_INTERVALS = 1.6;

/** What was found in a reading, so that a fault need not wait for it to be found again. */
const findings = new WeakMap<Tables, Map<string, readonly Broken[]>>();

/**
 * Originators whose best path leaves by this interface (and this neighbour, where one is named).
 * A neighbour's own hard-interface address is an originator too (OGMs of secondary interfaces) and counts for nothing.
 */
export function broken(around: Surroundings, index: IfIndex, neighbour: Mac | null = null): readonly Broken[] {
  const { tables } = around;
  if (tables === null) return [];
  let found = findings.get(tables);
  if (found === undefined) {
    found = new Map();
    findings.set(tables, found);
  }
  const key = `${index} ${neighbour ?? ''}`;
  let lost = found.get(key);
  if (lost === undefined) {
    lost = lostWith(tables, index, neighbour);
    found.set(key, lost);
  }
  return lost;
}

function lostWith(tables: Tables, index: IfIndex, neighbour: Mac | null): Broken[] {
  const paths = tables.originators;
  const hard = new Set(tables.neighbours.map((row) => row.neighbour));
  const isDead = (path: OriginatorPath) =>
    path.interface === index && (neighbour === null || path.neighbour === neighbour);
  const lost = new Map<Mac, { best: OriginatorPath; other: Broken['other']; by: OriginatorPath | null }>();
  for (const path of paths) {
    if (path.best && isDead(path) && !hard.has(path.originator))
      lost.set(path.originator, { best: path, other: 'none', by: null });
  }
  for (const path of paths) {
    const entry = lost.get(path.originator);
    if (entry === undefined || isDead(path)) continue;
    const isGood = isGoodBeside(path, entry.best, tables);
    if (isGood && worth(path) > (entry.by === null ? 0 : worth(entry.by))) entry.by = path;
    entry.other = entry.by !== null ? 'good' : 'doubtful';
  }
  return [...lost].map(([originator, { other, by }]) => ({ originator, other, by }));
}

/** Whether a path may be followed where that best one is gone. */
export function isGoodBeside(path: OriginatorPath, best: OriginatorPath, tables: Tables): boolean {
  const fresh = FRESH_INTERVALS * (tables.mesh?.settings.origInterval ?? 1000);
  return path.lastSeenMs <= fresh && worth(path) > ROUND_TRIP_SHARE * worth(best);
}

/** Is a neighbour's interface its name in the mesh too? Where it has another, that is worth as much as the interface. */
export function isItsName({ tables }: Surroundings, index: IfIndex, neighbour: Mac): boolean {
  const rows = (tables?.originators ?? []).filter((row) => row.interface === index && row.neighbour === neighbour);
  const itself = rows.find((row) => row.originator === neighbour);
  const least = itself === undefined ? 0 : worth(itself) * (1 - (tables?.mesh?.settings.hopPenalty ?? 0) / 510);
  return itself !== undefined && !rows.some((row) => row.originator !== neighbour && worth(row) >= least);
}

function worth(path: OriginatorPath): number {
  return path.tq ?? path.throughput ?? 0;
}
