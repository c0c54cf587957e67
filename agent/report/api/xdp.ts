/** How the measuring of what comes in works, and what it counted. */
import type { Mac } from '../../core/ids.ts';
import { type Nanos, toMs } from '../../core/time.ts';
import { withoutConnections } from '../connections.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import { type Call, call, type Unversioned } from './call.ts';

/** What came in from one neighbour, as XDP or the packet socket saw it, since it was first known. */
export interface NeighbourXdp {
  /** Our hard interface. */
  readonly interface: string;
  readonly neighbour: Mac;
  readonly frames: number;
  readonly bytes: number;
  /** Beyond its deadline. */
  readonly silent: boolean;
  /** null: never. */
  readonly lastSeenNs: Nanos | null;
  /** batman-adv's sequence numbers: those that came, and those that were jumped over. */
  readonly received: number;
  readonly lost: number;
  /** 0 to 1; null while none has come. */
  readonly lossOnAir: number | null;
  /** How often its numbers began anew. */
  readonly restarts: number;
  /** Half of its frames came no further apart than this. */
  readonly medianGapNs: Nanos | null;
}

/** How the measuring of what comes in works, and what it counted. Only what comes in is seen. */
export interface XdpView {
  readonly level: 'native' | 'generic' | 'packet-socket' | 'off';
  /** Why not native; null where it is. */
  readonly why: string | null;
  /** With the kernel's timer, or without; null where no program is loaded. */
  readonly variant: string | null;
  readonly jit: boolean;
  readonly interfaces: readonly {
    readonly name: string;
    readonly level: XdpView['level'];
    readonly why: string | null;
  }[];
  readonly neighbours: readonly NeighbourXdp[];
  /** By name; all 0 where no program is loaded. */
  readonly totals: Readonly<Record<string, number>>;
  /** Senders who are no neighbours, told apart by keyed hashes; at least so many. */
  readonly strangers: number;
  /** Half of the TCP handshakes took no longer than this; null while there was none. */
  readonly medianHandshakeNs: Nanos | null;
  readonly programs: readonly {
    readonly name: string;
    readonly verified: number;
    /** Counted only while somebody has the kernel's statistics on: x0ctl bpf profile. */
    readonly runs: number;
    readonly ns: number;
  }[];
  readonly lockedBytes: number;
  /** With noise: what may leave this router, and the epsilon that this has cost since the day of its budget began. */
  readonly shared: { readonly opened: number; readonly established: number; readonly spent: number };
}

export const xdpCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/xdp',
    help: 'How what comes in is measured, and what was counted over all neighbours.',
    shape: shapes.xdp,
    answer: ({ sources, caller }) => xdpOf(sources.xdp?.() ?? null, caller.mayChange),
  }),
];

function xdpOf(xdp: XdpView | null, exact: boolean): Unversioned<Of<typeof shapes.xdp>> {
  if (xdp === null) {
    const none = { interfaces: [], totals: {}, strangers: 0, programs: [], lockedBytes: 0, medianHandshakeMs: null };
    return { level: 'off', why: 'bpf.enabled is 0', variant: null, jit: false, ...none };
  }
  const { level, why, variant, jit, interfaces, totals, strangers, programs, lockedBytes, medianHandshakeNs } = xdp;
  return {
    level,
    why,
    variant,
    jit,
    interfaces: interfaces.map((one) => ({ ...one })),
    totals: exact ? { ...totals } : withoutConnections(totals),
    strangers,
    medianHandshakeMs: medianHandshakeNs === null || !exact ? null : toMs(medianHandshakeNs),
    programs: programs.map(({ name, verified, runs, ns }) => ({ name, verified, runs, ns })),
    lockedBytes,
  };
}
