/** A story: a mesh, what happens to it and when. Plain values, from which everything else follows. */
import type { HealSettings } from '../core/event.ts';
import type { MeshSettings, RoutingAlgorithm } from '../core/kernel.ts';
import type { Nanos } from '../core/time.ts';
import type { ClassMode, FaultClass } from '../core/words.ts';
import type { Interferer, Place } from './radio.ts';
import type { Stale } from './translation.ts';

/** Routers are known by their number, from 0. */
export interface Link {
  readonly a: number;
  readonly b: number;
  /** 0..1, from a to b and back. */
  readonly loss?: readonly [number, number];
  readonly delayNs?: readonly [Nanos, Nanos];
  /** kbit/s */
  readonly rate?: number;
}

/** What is wrong with a link; several at a time are each a thing of its own. */
export type Ill =
  /** `silent`: the carrier stays. */
  | { readonly kind: 'cut'; readonly a: number; readonly b: number; readonly silent: boolean }
  /** From a to b only, and nobody is told. */
  | { readonly kind: 'one-way'; readonly a: number; readonly b: number }
  /** From a to b only, of what is not lost there anyway; and beside what a frame takes there anyway. */
  | { readonly kind: 'loss'; readonly a: number; readonly b: number; readonly loss: number }
  | { readonly kind: 'delay'; readonly a: number; readonly b: number; readonly delayNs: Nanos };

export type Fault =
  | Ill
  /** `of`: that is taken back; where it is missing the link is whole. */
  | { readonly kind: 'mend'; readonly a: number; readonly b: number; readonly of?: Ill }
  /** Everything that its agent does takes so many times longer. */
  | { readonly kind: 'busy'; readonly router: number; readonly factor: number }
  /** The power goes, and comes back. */
  | { readonly kind: 'router-off' | 'router-on'; readonly router: number }
  | {
      readonly kind: 'agent-killed' | 'agent-started' | 'agent-stopped' | 'agent-continued';
      readonly router: number;
    }
  /** The interface of a router towards another: set down, up, pulled out, plugged in, taken from bat0, put in, bridged. */
  | {
      readonly kind: 'down' | 'up' | 'unplugged' | 'plugged' | 'taken' | 'given' | 'bridged';
      readonly router: number;
      readonly towards: number;
    }
  | { readonly kind: 'mesh-deleted' | 'mesh-made'; readonly router: number }
  /** bat0 is set down, or up; taken out of the bridge of the client network (story.lans), or put back. */
  | { readonly kind: 'mesh-down' | 'mesh-up' | 'unbridged' | 'rebridged'; readonly router: number }
  /** A router comes back from an upgrade with bat0 made anew under this algorithm, its agent begun anew. */
  | { readonly kind: 'algorithm'; readonly router: number; readonly algorithm: RoutingAlgorithm }
  /**
   * What a router's kernel asks another about its stations is not answered (translation.ts), and its table is not what the
   * other announces: a station has come there, or it is spoilt; null: it is answered again.
   */
  | { readonly kind: 'table'; readonly router: number; readonly of: number; readonly stale: Stale | null }
  /** A router's kernel holds the way to another by a neighbour to be better than it is (Protocol.stick); null: no longer. */
  | { readonly kind: 'route'; readonly router: number; readonly to: number; readonly by: number | null }
  /** Of the interface towards another router; null: as it was. */
  | { readonly kind: 'mtu'; readonly router: number; readonly towards: number; readonly mtu: number | null }
  /** A gateway's next router answers no more, or again. */
  | { readonly kind: 'upstream'; readonly router: number; readonly answers: boolean }
  /** So much memory is somebody else's. */
  | { readonly kind: 'memory'; readonly router: number; readonly kib: number }
  /** A cable between the client networks of two routers (story.lans) is plugged in, or out. */
  | { readonly kind: 'lans'; readonly routers: readonly [number, number]; readonly joined: boolean }
  /** The wall clock jumps. */
  | { readonly kind: 'clock'; readonly router: number; readonly stepMs: number }
  | { readonly kind: 'setting'; readonly router: number; readonly settings: Partial<MeshSettings> };

export interface Timed {
  readonly at: Nanos;
  /** Or who chooses it when it is due, by where the probes' packets go then. */
  readonly fault: Fault | ((routes: Routes) => Fault | null);
}

export interface Routes {
  /** The routers that a packet would pass just now, both ends included; [] where it would not arrive. */
  route(from: number, to: number): number[];
}

export interface ProbePair {
  readonly from: number;
  readonly to: number;
  readonly everyNs: Nanos;
  readonly fromNs: Nanos;
  /** There and back. */
  readonly echo?: boolean;
}

export interface Story {
  readonly seed: number;
  readonly routers: number;
  readonly algorithm: RoutingAlgorithm;
  /**
   * Who hears whom, each over a cable of their own, or all by one interface each on one medium. By radio: those that faults
   * may be about, and what such a link loses and takes beside what the air does to it.
   */
  readonly links: readonly Link[];
  readonly medium: 'cable' | 'shared' | 'radio';
  /** Where each router stands, if all have a radio. */
  readonly places: readonly Place[];
  readonly interferers?: readonly Interferer[];
  /** Routers with a client network, bridged to bat0. */
  readonly lans: readonly number[];
  /** Routers with the agent. */
  readonly agents: readonly number[];
  readonly settings: Partial<HealSettings>;
  /** What a person has said of classes of faults, as 'x0ctl heal mode CLASS MODE'. */
  readonly modes: Readonly<Partial<Record<FaultClass, ClassMode>>>;
  readonly mesh: Partial<MeshSettings>;
  /** Routers whose settings differ. */
  readonly special: ReadonlyMap<number, Partial<MeshSettings>>;
  /** Routers whose routing algorithm differs. */
  readonly tongues: ReadonlyMap<number, RoutingAlgorithm>;
  /** Routers tell of stations and features with their OGMs, and what agents ask of counters, stations and air is answered. */
  readonly surveyed: boolean;
  readonly faults: readonly Timed[];
  readonly probes: readonly ProbePair[];
  readonly lengthNs: Nanos;
  /** Milliseconds; 100 Hz where nothing is said, as OpenWrt and the lab have it. */
  readonly jiffyMs?: number;
  /** All kernels tick together, as they do in the lab, where they are one. */
  readonly together?: boolean;
}

/** All of a story that may be left out. */
export function story(given: Partial<Story> & Pick<Story, 'seed' | 'routers' | 'lengthNs'>): Story {
  return {
    algorithm: 'BATMAN_IV',
    links: [],
    medium: 'cable',
    places: [],
    lans: [],
    agents: Array.from({ length: given.routers }, (_, n) => n),
    settings: {},
    modes: {},
    mesh: {},
    special: new Map(),
    tongues: new Map(),
    surveyed: false,
    faults: [],
    probes: [],
    ...given,
  };
}
