/** A part of the agent that daemon.ts joins, and what there is to join to. */
import type { Config } from '../config/schema.ts';
import type { Effect } from '../core/effect.ts';
import type { Log } from '../core/log.ts';
import type { Machine } from '../core/machine.ts';
import type { Nanos } from '../core/time.ts';
import type { Heal } from '../heal/heal.ts';
import type { Native } from '../host/native.ts';
import type { State } from '../host/state.ts';
import type { Host } from '../host/world.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Metrics } from '../report/metrics.ts';
import type { Degraded, Sources } from '../report/sources.ts';

/** Each member is asked of all parts, in the order in which they were joined. */
export interface Part {
  /** What the API, the metrics and x0ctl may show of it, from when it is joined. */
  readonly shows?: Partial<Sources>;
  /** Where it works with less than it could. `config` is the file as it was read last. */
  degraded?(config: Config): Degraded[];
  /** The file was read again: these sections have changes that count at once. */
  settle?(config: Config, live: ReadonlySet<string>): void;
  /** What is still to be sent when the agent ends. */
  farewell?(): readonly Effect[];
  /** The agent ends; the host world is still there. */
  close?(): void;
}

export interface Agent {
  /** The name of this router. */
  readonly node: string;
  readonly log: Log;
  readonly native: Native;
  now(): Nanos;
  readonly host: Host;
  /** One that is added before the kernel is opened takes part from the first turn, after the others. */
  readonly machines: Machine[];
  readonly room: Heal;
  readonly mesh: Mesh;
  readonly state: State;
  readonly metrics: Metrics;
  /** What all parts show. */
  readonly sources: Sources;
}
