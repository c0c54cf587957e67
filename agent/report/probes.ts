/** Round-trip times over the mesh, as status, API and metrics show them. */
import type { Nanos } from '../core/time.ts';

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
