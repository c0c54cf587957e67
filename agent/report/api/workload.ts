/** Identities for programs on this router. */
import { integer, object, orNull, text, version } from '../shape.ts';
import { type Call, call } from './call.ts';

export interface WorkloadView {
  readonly socket: string;
  readonly entries: number;
  readonly connections: number;
  readonly streams: number;
  readonly certificates: number;
  readonly tokens: number;
  readonly trouble: string | null;
}

export const workloadShape = object({
  version,
  workload: orNull(
    object({
      socket: text('where programs find the SPIFFE Workload API'),
      entries: integer('programs in the configuration'),
      connections: integer('of programs, open now'),
      streams: integer('of those, that are told of every renewal'),
      certificates: integer('made since the agent started'),
      tokens: integer('made since the agent started'),
      trouble: orNull(text('why programs are given nothing; null where they are')),
    }),
  ),
});

export const workloadCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/workload',
    help: 'Identities for programs on this router; null where section workload is off, or this router has no identity.',
    shape: workloadShape,
    answer: ({ sources }) => ({ workload: sources.workload?.() ?? null }),
  }),
];
