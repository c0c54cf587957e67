/** The mesh beyond our links: its graph, and every way that batman-adv keeps. */
import * as shapes from '../shapes.ts';
import { topologyOf } from '../topology.ts';
import { type Call, call } from './call.ts';

export const topologyCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/topology',
    help: 'The graph of the mesh as this router knows it, with shortest paths.',
    shape: shapes.topology,
    answer: ({ sources }) => topologyOf(sources.mesh()),
  }),
  call({
    method: 'GET',
    path: '/mesh/paths',
    help: 'Every way to every router, the worse ones too: batman-adv’s originator table.',
    shape: shapes.paths,
    answer: ({ sources }) => ({
      paths: sources.mesh().paths.map(({ originator, neighbour, interfaceName, best, tq, throughput }) => ({
        originator,
        neighbour,
        interface: interfaceName,
        best,
        tq: tq ?? null,
        throughput: throughput ?? null,
      })),
    }),
  }),
];
