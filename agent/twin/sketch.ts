/**
 * A mesh as one router can know it, drawn from its own tables. batman-adv tells next hops and what a way is worth, no map:
 * how many hops lie beyond a neighbour is read off the hop penalties, and who stands between from who is one hop nearer by
 * the same neighbour. Ways that this router never heard of are missing.
 */
import type { Mac } from '../core/ids.ts';
import { log } from '../core/math.ts';
import type { Link } from './story.ts';

export interface Known {
  readonly self: Mac;
  readonly hopPenalty: number;
  /** Neighbours by interface: the address heard, the router it belongs to, what the link is worth. */
  readonly links: readonly {
    readonly interface: string;
    readonly neighbour: Mac;
    readonly originator: Mac | null;
    readonly worth: number;
  }[];
  /** All rows of the originator table. */
  readonly paths: readonly {
    readonly originator: Mac;
    readonly neighbour: Mac;
    readonly interface: string;
    readonly worth: number;
  }[];
}

export interface Sketch {
  /** Routers by number; this one is 0. */
  readonly names: readonly Mac[];
  readonly links: readonly Link[];
  /** Routers that are known of, and have no place in it: those furthest away. */
  readonly left: readonly Mac[];
  /** The routers next to this one, by its interfaces. */
  readonly interfaces: ReadonlyMap<string, readonly number[]>;
}

/** Nearest first, and no more of them than this: the rest would cost more than it tells. */
const MOST_ROUTERS = 64;
const FURTHEST = 8;

export function sketch(known: Known): Sketch {
  const names: Mac[] = [known.self];
  const numbers = new Map<Mac, number>([[known.self, 0]]);
  const links = new Map<string, Link>();
  const interfaces = new Map<string, number[]>();
  const left = new Set<Mac>();
  const numberOf = (mac: Mac): number | null => {
    const number = numbers.get(mac);
    if (number !== undefined) return number;
    if (names.length >= MOST_ROUTERS) {
      left.add(mac);
      return null;
    }
    numbers.set(mac, names.length);
    return names.push(mac) - 1;
  };
  const join = (a: number, b: number) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    if (low !== high) links.set(`${low} ${high}`, { a: low, b: high });
  };
  const hard = new Set(known.links.map(({ neighbour }) => neighbour));
  for (const { interface: name, neighbour, originator } of known.links) {
    const number = numberOf(originator ?? neighbour);
    if (number === null) continue;
    join(0, number);
    interfaces.set(name, [...(interfaces.get(name) ?? []), number]);
  }
  const nearer = Math.max(1, known.hopPenalty);
  for (const link of known.links) {
    const router = numbers.get(link.originator ?? link.neighbour);
    if (router === undefined) continue;
    const beyond = known.paths
      .filter((path) => path.neighbour === link.neighbour && path.interface === link.interface)
      .filter(({ originator }) => originator !== link.originator && originator !== known.self && !hard.has(originator))
      .map((path) => ({ ...path, hops: hopsBeyond(path.worth, link.worth, nearer) }))
      .sort((a, b) => a.hops - b.hops || (a.originator < b.originator ? -1 : 1));
    const last = new Map<number, number>([[0, router]]);
    for (const { originator, hops } of beyond) {
      const number = numberOf(originator);
      if (number === null) continue;
      let before = hops - 1;
      while (!last.has(before)) before -= 1;
      join(last.get(before)!, number);
      if (!last.has(hops)) last.set(hops, number);
    }
  }
  return { names, links: [...links.values()], left: [...left], interfaces };
}

/** Each hop leaves 1 - penalty/255 of what a way is worth. */
function hopsBeyond(worth: number, link: number, penalty: number): number {
  if (worth <= 0 || link <= 0) return FURTHEST;
  const hops = Math.round(log(worth / link) / log(1 - penalty / 255));
  return Math.min(FURTHEST, Math.max(1, hops));
}
