/** What a map shows beside the graph: where the mesh can be left, and how it was in the last hour. */
import type { Nanos } from '../../core/time.ts';
import type { Frame, Way } from '../past.ts';
import { array, flag, integer, mac, number, object, oneOf, orNull, version } from '../shape.ts';
import { type Call, call, seconds } from './call.ts';

export interface PastView {
  readonly ways: readonly Way[];
  readonly frames: readonly Frame[];
}

export const gateways = object({
  version,
  gateways: array(
    object({
      originator: mac,
      best: flag('batman-adv has chosen this one'),
      tq: orNull(integer('BATMAN_IV transmit quality of the way there, 0 to 255')),
      throughput: orNull(number('BATMAN_V throughput of the way there, kbit/s')),
      downKbits: number('what it says to have, kbit/s'),
      upKbits: number('what it says to have, kbit/s'),
    }),
    'routers that offer a way out of the mesh',
  ),
});

export const history = object({
  version,
  edges: array(
    object({ from: mac, to: mac, kind: oneOf(['link', 'route', 'alternative'], 'as in /mesh/topology') }),
    'ways that were in use; frames name them by their place here',
  ),
  frames: array(
    object({
      ageSeconds: number('how long ago it began to be so'),
      changes: array(number('the place of an edge, then its cost; 0 where it was no longer in use'), 'in pairs'),
    }),
    'oldest first; the first one holds all that was in use then, the others what changed',
  ),
});

export const pastCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/gateways',
    help: 'The gateways that the mesh offers.',
    shape: gateways,
    answer: ({ sources }) => ({
      gateways: sources.mesh().offers.map(({ originator, best, tq, throughput, bandwidthDown, bandwidthUp }) => ({
        originator,
        best,
        tq: tq ?? null,
        throughput: throughput ?? null,
        downKbits: bandwidthDown * 100,
        upKbits: bandwidthUp * 100,
      })),
    }),
  }),
  call({
    method: 'GET',
    path: '/mesh/history',
    help: 'The ways in use over the last hour, as far back as the agent runs.',
    shape: history,
    answer: ({ sources }) => {
      const now: Nanos = sources.now();
      const { ways, frames } = sources.past?.() ?? { ways: [], frames: [] };
      return {
        edges: ways.map(({ from, to, kind }) => ({ from, to, kind })),
        frames: frames.map(({ at, changes }) => ({ ageSeconds: seconds(now - at), changes })),
      };
    },
  }),
];
