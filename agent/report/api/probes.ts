/** Round-trip times over the mesh, by ICMP. */
import { type Nanos, toMs } from '../../core/time.ts';
import { array, integer, number, type Of, object, orNull, text, version } from '../shape.ts';
import { type Call, call } from './call.ts';

export interface ProbeView {
  /** Why nothing is asked; null where all is well. */
  readonly why: string | null;
  readonly targets: readonly {
    /** An IPv4 or IPv6 address. */
    readonly target: string;
    readonly sent: number;
    readonly answered: number;
    /** Of the last answers; null while there is none. */
    readonly lastNs: Nanos | null;
    readonly medianNs: Nanos | null;
    /** Of the last questions that had time to be answered, 0 to 1; null while there is none. */
    readonly loss: number | null;
    /** What the kernel said of the last question, where it did not leave. */
    readonly error: string | null;
  }[];
}

const probes = object({
  version,
  why: orNull(text('why nothing is asked')),
  targets: array(
    object({
      target: text('IPv4 or IPv6 address'),
      sent: integer('questions'),
      answered: integer('those answered in time'),
      lastMs: orNull(number('round trip of the last answer')),
      medianMs: orNull(number('half of the last sixty took no longer')),
      loss: orNull(number('of the last sixty, 0 to 1')),
      error: orNull(text('what the kernel said of the last question, where it did not leave')),
    }),
    'the addresses of probe.targets',
  ),
});

export type Probes = Of<typeof probes>;

export const probeCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/probes',
    help: 'Round-trip times over the mesh to the addresses of probe.targets, by ICMP and ICMPv6.',
    shape: probes,
    answer: ({ sources }) => {
      const view = sources.probes?.() ?? { why: 'probe.targets is empty', targets: [] };
      return {
        why: view.why,
        targets: view.targets.map(({ lastNs, medianNs, loss, ...one }) => ({
          ...one,
          lastMs: lastNs === null ? null : toMs(lastNs),
          medianMs: medianNs === null ? null : toMs(medianNs),
          loss: loss === null ? null : Math.round(loss * 1e4) / 1e4,
        })),
      };
    },
  }),
];
