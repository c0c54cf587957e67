/** A map of a mesh as a file tells it, in whichever of the formats that mesh people use. Pure. */
import { Place } from './document.ts';
import { readMeshviewer } from './meshviewer.ts';
import { readNetjson } from './netjson.ts';
import { Graph } from './topology.ts';

export interface MapNode {
  /** Unique in its map. */
  readonly id: string;
  readonly label: string | null;
  /** Further addresses of it. */
  readonly addresses: readonly string[];
  /** null where the format does not tell. */
  readonly online: boolean | null;
  readonly gateway: boolean | null;
}

/** A link between two different nodes of the map. There may be several between the same two, over different media. */
export interface MapLink {
  readonly source: string;
  readonly target: string;
  /** From source to target: above 0. */
  readonly cost: number;
  /** From target to source; null where only one direction is told. */
  readonly back: number | null;
  /** 'wifi', 'vpn', 'other', ... where the format tells. */
  readonly type: string | null;
}

export interface MeshMap {
  readonly format: 'netjson' | 'meshviewer';
  /** Of the routing protocol, as NetJSON has them. */
  readonly protocol: string;
  readonly version: string | null;
  /** What a cost is; null for static routes. */
  readonly metric: string | null;
  /** The node whose view this is. */
  readonly router: string | null;
  readonly label: string | null;
  readonly nodes: readonly MapNode[];
  readonly links: readonly MapLink[];
  /** What was left out because it says nothing of the mesh, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads a NetJSON NetworkGraph or a meshviewer.json, whichever it is. Throws E_MAP with {path} for what is neither,
 * malformed or too large; the message begins with the path. Node ids are unique in what it answers, and every link is
 * between two nodes of it.
 */
export function readMap(source: string | Uint8Array): MeshMap {
  const root = Place.root(source);
  root.object();
  return root.has('type') ? readNetjson(root) : readMeshviewer(root);
}

/** The map as an undirected graph: a link counts as its worse direction. */
export function graphOf({ nodes, links }: Pick<MeshMap, 'nodes' | 'links'>): Graph {
  return Graph.of(
    links.map(({ source, target, cost, back }) => ({ from: source, to: target, cost: Math.max(cost, back ?? cost) })),
    nodes.map(({ id }) => id),
  );
}
