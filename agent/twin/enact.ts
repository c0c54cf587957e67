/** This router in the mesh of a rehearsal: set up as it is, befallen by its fault, and changed as the plan says. */
import type { Change, MeshSettings } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Plan } from '../core/words.ts';
import { MESH } from './kernel.ts';
import type { Device } from './protocol.ts';
import type { RehearsalState } from './rehearsal.ts';
import type { Router, Simulation } from './simulation.ts';
import type { Sketch } from './sketch.ts';

/** From one change to the next; and where an interface was set down, until its driver is ready again. */
const STEP: Nanos = 20 * MS;
const DRIVER: Nanos = 2 * SECOND;
/** What a slow link takes longer. */
const SLOW: Nanos = 300 * MS;

/** Settings of batman-adv that mean something in the twin. */
const MEANT: ReadonlySet<keyof MeshSettings> = new Set([
  'aggregatedOgms',
  'gwBandwidthDown',
  'gwBandwidthUp',
  'gwMode',
  'gwSelClass',
  'hopPenalty',
  'origInterval',
]);

/** Can the twin show this change? What it cannot is named in `left`. */
export function isShown(change: Change, left: string[]): boolean {
  switch (change.kind) {
    case 'set-master':
    case 'set-up':
    case 'set-hard':
      return true;
    case 'set-mesh': {
      const unknown = (Object.keys(change.settings) as (keyof MeshSettings)[]).filter((key) => !MEANT.has(key));
      left.push(...unknown);
      return unknown.length < Object.keys(change.settings).length;
    }
    default:
      left.push(change.kind);
      return false;
  }
}

export class Stand {
  readonly #simulation: Simulation;
  readonly #drawn: Sketch;
  readonly #state: RehearsalState;
  readonly #plan: Plan;
  readonly #self: Router;

  /** Sets everything as it is on this router now, but for what is broken. */
  constructor(simulation: Simulation, drawn: Sketch, state: RehearsalState, plan: Plan) {
    this.#simulation = simulation;
    this.#drawn = drawn;
    this.#state = state;
    this.#plan = plan;
    this.#self = simulation.routers[0]!;
    const { kernel } = this.#self;
    const { settings } = state.tables.mesh ?? {};
    if (settings !== undefined)
      kernel.apply({ kind: 'set-mesh', mesh: MESH, settings: { hopPenalty: settings.hopPenalty } });
    for (const { name, hopPenalty, throughputOverride } of state.tables.hardInterfaces)
      for (const { settings: own } of this.#devices(name)) {
        if (hopPenalty !== undefined) own.hopPenalty = hopPenalty;
        if (throughputOverride !== undefined) own.throughputOverride = throughputOverride;
      }
  }

  /** What is broken by now, and what the fault of the plan does. */
  befall(): void {
    const { links, settings } = this.#state;
    for (const { name, up, carrier } of links)
      if (!up || !carrier)
        for (const other of this.#drawn.interfaces.get(name) ?? [])
          this.#simulation.inject({ kind: 'cut', a: 0, b: other, silent: false });
    const mesh = links.find(({ name }) => name === settings.meshInterface);
    const bridge = links.find(({ index }) => index === mesh?.master);
    if (bridge !== undefined) this.carryOut({ kind: 'set-master', interface: MESH, master: bridge.name });
    if (mesh?.up === false) this.carryOut({ kind: 'set-up', interface: MESH, up: false });
    for (const other of this.#others()) this.#spoil(other);
    const [lost] = this.#plan.fault.class === 'gateway-lost' ? this.#plan.fault.affected : [];
    const gateway = lost === undefined ? -1 : this.#drawn.names.indexOf(lost);
    if (gateway > 0) this.#simulation.inject({ kind: 'router-off', router: gateway });
  }

  /** Answers how long it takes until the next change follows. One interface here may be several cables there. */
  carryOut(change: Change): Nanos {
    const { kernel } = this.#self;
    if (change.kind === 'set-mesh') {
      kernel.apply({ ...change, mesh: MESH });
      return STEP;
    }
    if (change.kind !== 'set-master' && change.kind !== 'set-up' && change.kind !== 'set-hard') return 0;
    if (this.#isMesh(change.interface)) {
      if (change.kind === 'set-up') kernel.apply({ ...change, interface: MESH });
      else if (change.kind === 'set-master') this.#bridge(change.master);
      return STEP;
    }
    for (const device of this.#devices(change.interface)) {
      if (change.kind === 'set-hard') Object.assign(device.settings, change.settings);
      else if (change.kind === 'set-up') kernel.setUp(device, change.up);
      else kernel.setMaster(device, change.master === null ? 0 : (kernel.mesh?.index ?? 0));
    }
    if (change.kind !== 'set-up') return STEP;
    // Begun anew, what was stuck is well: that is what is hoped for.
    if (change.up && change.interface === this.#plan.fault.interface)
      for (const other of this.#others()) this.#simulation.inject({ kind: 'mend', a: 0, b: other });
    return change.up ? STEP : DRIVER;
  }

  #bridge(name: string | null): void {
    const { kernel } = this.#self;
    if (name !== null && kernel.byName(name) === undefined) kernel.addDevice(name, 'bridge', null);
    kernel.apply({ kind: 'set-master', interface: MESH, master: name });
  }

  /** The link of the fault is as bad as it is said to be. */
  #spoil(other: number): void {
    switch (this.#plan.fault.class) {
      case 'link-lossy': {
        const loss = this.#lossOn(this.#plan.fault.interface ?? '');
        for (const [a, b] of [
          [0, other],
          [other, 0],
        ] as const)
          this.#simulation.inject({ kind: 'loss', a, b, loss });
        return;
      }
      case 'link-slow':
        this.#simulation.inject({ kind: 'delay', a: 0, b: other, delayNs: SLOW });
        return;
      case 'link-one-way':
        this.#simulation.inject({ kind: 'one-way', a: 0, b: other });
        return;
      default:
    }
  }

  /** Of each way: what a direct path is worth has been lost there and back. */
  #lossOn(name: string): number {
    const worths = this.#state.tables.originators
      .filter(({ originator, neighbour, interfaceName }) => originator === neighbour && interfaceName === name)
      .map(({ tq = 255 }) => tq / 255);
    return worths.length === 0 ? 0 : 1 - Math.sqrt(Math.min(...worths));
  }

  /** The routers at the other end of the fault's link. */
  #others(): readonly number[] {
    const { interface: name, peer } = this.#plan.fault;
    const all = this.#drawn.interfaces.get(name ?? '') ?? [];
    const one = this.#drawn.names.indexOf(this.#state.owners[peer ?? ''] ?? peer ?? '');
    return all.includes(one) ? [one] : all;
  }

  #devices(name: string): Device[] {
    return (this.#drawn.interfaces.get(name) ?? []).map((other) => this.#self.towards.get(other)!);
  }

  #isMesh(name: string): boolean {
    return name === MESH || name === this.#state.settings.meshInterface;
  }
}
