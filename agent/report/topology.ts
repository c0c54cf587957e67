/** The answer to "what does the mesh look like": a graph, shortest paths in it, and what would split it. Pure. */
import { cuts } from '../mesh/cuts.ts';
import type { MeshMap } from '../mesh/map.ts';
import type { MeshView } from '../mesh/mesh.ts';
import { firstHops, Graph, shortestPaths, statistics } from '../mesh/topology.ts';
import type { Of } from './shape.ts';
import type * as shapes from './shapes.ts';

/** What an answer may cost the agent, whose repairs wait meanwhile, and what a person may wait for. */
const VISITS_HERE = 100_000;
const VISITS_OF_MAP = 20_000_000;

type Topology = Omit<Of<typeof shapes.topology>, 'version'>;

/** As this router knows it: paths and statistics are of the ways in use, cuts of all that it knows of. */
export function topologyOf(mesh: MeshView): Topology {
  const known = mesh.self === null ? [] : [mesh.self];
  for (const { originator, state } of mesh.nodes)
    if (state === 'joined' || state === 'registered') known.push(originator);
  const inUse = mesh.edges.filter(({ kind }) => kind !== 'alternative');
  return {
    algorithm: mesh.algorithm,
    batmanVersion: mesh.mesh?.version ?? null,
    ...describe(mesh.self, Graph.of(inUse, known), mesh.edges, VISITS_HERE),
    cuts: cutsOf(Graph.of(mesh.edges, known)),
  };
}

/** A whole mesh from a file. Paths are those from the node whose view the file is, where it says so. */
export function topologyOfMap({ router, links, nodes }: MeshMap): Topology {
  const edges = links.map(({ source, target, cost, back }) => ({
    from: source,
    to: target,
    kind: 'link' as const,
    cost: Math.max(cost, back ?? cost),
  }));
  const graph = Graph.of(
    edges,
    nodes.map(({ id }) => id),
  );
  return {
    algorithm: null,
    batmanVersion: null,
    ...describe(router, graph, edges, VISITS_OF_MAP),
    cuts: cutsOf(graph),
  };
}

function describe(
  self: string | null,
  graph: Graph,
  edges: MeshView['edges'],
  visits: number,
): Pick<Topology, 'self' | 'nodes' | 'edges' | 'statistics'> {
  const paths = shortestPaths(graph, self ?? '');
  const via = firstHops(paths);
  const { meanDegree, diameterCost, meanCost, ...counts } = statistics(graph, visits);
  return {
    self,
    nodes: graph.nodes().map((id) => {
      const path = paths.get(id);
      return {
        id,
        cost: path === undefined ? null : round(path.cost),
        hops: path?.hops ?? null,
        via: via.get(id) ?? null,
      };
    }),
    edges: edges.map(({ from, to, kind, cost }) => ({ from, to, kind, cost: round(cost) })),
    statistics: {
      ...counts,
      meanDegree: round(meanDegree),
      diameterCost: round(diameterCost),
      meanCost: round(meanCost),
    },
  };
}

function cutsOf(graph: Graph): Topology['cuts'] {
  const { routers, edges } = cuts(graph);
  return {
    routers: routers.map(({ node, parts }) => ({ id: node, parts })),
    edges: edges.map(({ from, to, sides }) => ({ from, to, parts: sides })),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
