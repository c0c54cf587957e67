/**
 * What no story may break, checked at every event against what really happened in the simulated mesh, which the agents
 * cannot see: no repair without a fault, no cut of a last way, no repair without end, everything given back.
 */
import type { Effect } from '../core/effect.ts';
import type { WorldEvent } from '../core/event.ts';
import { fromHex } from '../core/hex.ts';
import type { Mac } from '../core/ids.ts';
import type { Change, MeshSettings } from '../core/kernel.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Decision, FaultClass } from '../core/words.ts';
import { ETH_P_BATMAN, parseOgms, seqnoAhead } from '../heal/ogm.ts';
import { explains, lossExplains, standsFor } from './causes.ts';
import { LAN, MESH, MTU, PRIMARY } from './kernel.ts';
import type { Device } from './protocol.ts';
import type { Router, Simulation } from './simulation.ts';
import type { Fault } from './story.ts';
import type { TwinWorld, Watcher } from './world.ts';

/** What is promised, in words; the keys name what was broken. */
export const INVARIANTS = {
  evidence: 'no repair without evidence, and no fault that was not there',
  'last way':
    'no agent takes out, or sets down, the last interface by which its router reaches anybody, nor the primary',
  loop: 'no repair is tried again and again without a pause',
  numbers: 'own sequence numbers never lead the kernel’s by more than a kick may',
  errors: 'no machine fails',
  memory: 'what an agent keeps is bounded',
  undo: 'what is lent or taken out has an undo armed',
  owed: 'after a quiet time nothing is owed',
  armed: 'after a quiet time no undo is armed',
  settings: 'after a quiet time settings are as they were',
  members: 'after a quiet time what is whole is in the mesh',
  busy: 'after a quiet time no repair is under way',
  outcome: 'every repair ends: verified, rolled back, failed, dropped or over',
  open: 'after a quiet time no fault is open about what is whole',
  whole: 'after a quiet time all routers that are joined reach each other, where they speak the same',
} as const;

export type Invariant = keyof typeof INVARIANTS;

/** The first breach of its kind: what follows is often its consequence. */
export interface Breach {
  readonly invariant: Invariant;
  readonly at: Nanos;
  readonly what: string;
}

const MOST_AHEAD = 48;
const MINUTE = 60 * SECOND;
/** Long enough for what was damped to be back, and for the slowest return of a setting. */
export const QUIET: Nanos = 80 * SECOND;
/** Planned repairs of one router in a minute for each thing that happened, those that others ask for left out. */
const MOST_PLANS = 10;
/** Of one thing, beyond what happened to the mesh meanwhile: a link that flaps is repaired as often as it breaks. */
const MOST_REPEATED = 3;
const MOST_CHANGES = 120;
const MOST_OPEN = 64;
/** An order of magnitude above what any of the meshes here need. */
const MOST_KEPT = 2000;
const ANEW: ReadonlySet<Fault['kind']> = new Set(['router-off', 'router-on', 'mesh-deleted', 'algorithm']);
/** Silence that loss alone may bring about is no invention. */
const LOSSY = 0.03;

const CLOSED: ReadonlySet<Decision['step']> = new Set(['verified', 'rolled-back', 'failed', 'dropped', 'over', 'done']);

interface Record {
  readonly plans: Nanos[];
  readonly byFault: Map<string, Nanos[]>;
  readonly changes: Nanos[];
  /** Faults with a plan that has no outcome yet, and when it was made. */
  readonly pending: Map<string, { readonly decision: Decision; readonly at: Nanos }>;
  /** The kernel's own newest number by originator, as it was on the air. */
  readonly numbers: Map<Mac, number>;
  readonly taken: Set<Device>;
  /** It has put back what somebody had changed. */
  restored: boolean;
}

export class Invariants implements Watcher {
  readonly breaches: Breach[] = [];
  readonly #simulation: Simulation;
  readonly #records = new Map<TwinWorld, Record>();
  readonly #isLossy: boolean;
  readonly #isRadio: boolean;
  /** Routers whose agent has ended itself, to begin anew. */
  readonly #restarted = new Set<number>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    const { links, places } = simulation.story;
    this.#isRadio = places.length > 0;
    this.#isLossy = this.#isRadio || links.some(({ loss = [0, 0] }) => Math.max(...loss) > LOSSY);
  }

  get isBroken(): boolean {
    return this.breaches.length > 0;
  }

  onEvent(world: TwinWorld, event: WorldEvent): void {
    // A new agent knows nothing of what the one before it left unfinished.
    if (event.type === 'started') this.#of(world).pending.clear();
    if (event.type !== 'ogm-sent') return;
    const { numbers } = this.#of(world);
    for (const { originator, seqno, continued } of parseOgms(fromHex(event.frame)))
      if (!continued) numbers.set(originator, seqno);
  }

  onEffect(world: TwinWorld, effect: Effect): void {
    switch (effect.type) {
      case 'journal':
        this.#decided(world, effect.decision);
        return;
      case 'log': {
        const isBug = effect.fields.code === 'E_BUG' || /^(machine|the turn|the world) .*failed/.test(effect.message);
        if (isBug) this.#break('errors', world, `${effect.message} ${effect.fields.stack ?? ''}`);
        return;
      }
      case 'send':
        for (const { frame } of effect.frames)
          if (frame.slice(24, 28) === ETH_P_BATMAN.toString(16)) this.#sentOgm(world, frame);
        return;
      case 'restart':
        this.#restarted.add(this.#routerOf(world).number);
        return;
      case 'change': {
        const { changes } = this.#of(world);
        if (often(changes, this.#simulation.now) > MOST_CHANGES)
          this.#break('loop', world, `${changes.length} changes within a minute`);
        return;
      }
      default:
    }
  }

  /** Right before a kernel carries it out. */
  onChange(world: TwinWorld, change: Change, isUndo: boolean): void {
    if ((change.kind !== 'set-master' && change.kind !== 'set-up') || isUndo) return;
    const device = world.kernel.byName(change.interface);
    if (device === undefined || change.interface === MESH) return;
    if (change.kind === 'set-up') {
      if (!change.up && device.master === world.kernel.mesh?.index) this.#checkLast(world, device, 'set down');
      return;
    }
    const record = this.#of(world);
    if (change.master !== null) {
      record.taken.delete(device);
      return;
    }
    if (device.master !== world.kernel.mesh?.index) return;
    record.taken.add(device);
    this.#checkLast(world, device, 'taken out');
    if (!world.armed().some((id) => id.startsWith('detach-')))
      this.#break('undo', world, `${device.name} is taken out, and no undo is armed`);
  }

  #checkLast(world: TwinWorld, device: Device, how: 'taken out' | 'set down'): void {
    const { kernel } = world;
    if (kernel.mesh?.protocol.primary === device)
      this.#break('last way', world, `the primary ${device.name} is ${how}`);
    const others = kernel.attached().filter((other) => other !== device && reachesSomebody(world, other));
    if (others.length === 0 && reachesSomebody(world, device))
      this.#break('last way', world, `${device.name} is ${how}, by which alone somebody is reached`);
  }

  /** Now and then, and at the end: what is kept is bounded. */
  checkMemory(): void {
    for (const { world, kernel } of this.#simulation.routers) {
      if (world.agent === null) continue;
      const { room, mesh } = world.agent;
      const open = room.analyse.open().length;
      if (open > MOST_OPEN) this.#break('memory', world, `${open} faults are open`);
      const { nodes, links } = mesh.view();
      const busy = room.execute.busy().length + room.mend.busy().length;
      const kept = nodes.length + links.length + room.knowledge.records().length + busy;
      if (kept > MOST_KEPT) this.#break('memory', world, `${kept} entries are kept`);
      if ((kernel.mesh?.protocol.size ?? 0) > MOST_KEPT) this.#break('memory', world, 'the kernel keeps too much');
    }
  }

  /** After a quiet time, in which everything outside was whole. */
  checkEnd(): void {
    this.checkMemory();
    for (const router of this.#simulation.routers) {
      const { world } = router;
      if (world.agent !== null) this.#checkAgent(router);
      this.#checkArmed(world);
    }
    this.#checkWhole();
  }

  /** What is in force has its undo armed for as long. */
  #checkArmed(world: TwinWorld): void {
    const inForce = (world.agent?.room.mend.busy() ?? []).filter(isInForce).flatMap(({ holds }) => holds);
    const armed = world.armed().filter((id) => !id.startsWith('mend-'));
    const mending = world.armed().filter((id) => id.startsWith('mend-'));
    if (mending.length > inForce.length) armed.push(...mending);
    if (armed.length > 0) this.#break('armed', world, `${armed.join()} is armed`);
  }

  #checkAgent(router: Router): void {
    const { world, kernel } = router;
    const { room } = world.agent!;
    const record = this.#of(world);
    const owed = [...room.knowledge.detached.keys()];
    if (owed.length > 0) this.#break('owed', world, `${owed.join()} is owed`);
    const busy = [...room.execute.busy(), ...room.mend.busy().filter((one) => !isInForce(one))];
    if (busy.length > 0) this.#break('busy', world, `${busy[0]!.action} for ${busy[0]!.fault.class} is under way`);
    for (const { decision } of record.pending.values())
      this.#break('outcome', world, `${decision.fault.id} ${decision.fault.class} ${decision.action} has no outcome`);
    const { mesh } = kernel;
    if (mesh === null) {
      this.#break('members', world, `there is no ${MESH}`);
      return;
    }
    this.#checkSettings(router, mesh);
    for (const device of kernel.devices)
      if (device.kind !== 'bridge' && kernel.hasCarrier(device) && device.master === 0)
        this.#break('members', world, `${device.name} is not under ${MESH}`);
    for (const fault of room.analyse.open())
      if (!this.#isReal(world, fault.class, fault.interface))
        this.#break('open', world, `${fault.class} ${fault.interface ?? ''} ${fault.peer ?? ''} is open`);
  }

  /** What a repair holds while its fault lasts, or for a while after it, is not left behind. */
  #checkSettings(router: Router, mesh: NonNullable<Router['kernel']['mesh']>): void {
    const { world, kernel } = router;
    const held = new Set(world.agent!.room.mend.busy().flatMap(({ holds }) => holds));
    const left = (what: string, value: unknown) => {
      if (!held.has(what)) this.#break('settings', world, `${what} is left at ${value}`);
    };
    for (const name of Object.keys(mesh.settings) as (keyof MeshSettings)[])
      if (!this.#wanted(router, name).has(mesh.settings[name])) left(`${MESH} ${name}`, mesh.settings[name]);
    if (!mesh.up) left(`${MESH} up`, false);
    const bridge = this.#simulation.story.lans.includes(router.number) ? (kernel.byName(LAN)?.index ?? 0) : 0;
    if (mesh.master !== bridge) left(`${MESH} master`, mesh.master);
    for (const device of kernel.devices) {
      const { name, mtu, settings } = device;
      if (!this.#wantedMtus(router, device).has(mtu)) left(`${name} set-mtu`, mtu);
      for (const [key, value] of Object.entries(settings)) if (value !== 0) left(`${name} ${key}`, value);
    }
  }

  /**
   * What a setting may be: as somebody set it last, or as the story began. A mesh made anew has what was known of it; an
   * agent that puts back what drifts has taken one of the values before for what is meant.
   */
  #wanted({ number, world }: Router, name: keyof MeshSettings): Set<unknown> {
    const { restored } = this.#of(world);
    const { happened } = this.#simulation;
    const first = this.#simulation.settingsOf(number)[name];
    let wanted = new Set<unknown>([first]);
    for (const { fault } of happened) {
      if (!('router' in fault) || fault.router !== number) continue;
      if (fault.kind === 'setting' && fault.settings[name] !== undefined)
        wanted = new Set([fault.settings[name], ...(restored ? wanted : [])]);
      else if (fault.kind === 'router-on' || fault.kind === 'algorithm') wanted = new Set([first]);
      else if (fault.kind === 'mesh-deleted') wanted.add(first);
    }
    return wanted;
  }

  /** The same of an interface's MTU, which somebody may have set before the agent knew it, or while it was out of the mesh. */
  #wantedMtus({ number, world, towards }: Router, device: Device): Set<number> {
    const wanted = new Set([MTU]);
    if (!this.#of(world).restored) return wanted;
    for (const { fault } of this.#simulation.happened)
      if (fault.kind === 'mtu' && fault.router === number && towards.get(fault.towards) === device)
        wanted.add(fault.mtu ?? MTU);
    return wanted;
  }

  /** Is there anything of that kind now? What is told by tables, of loss or silence, ends by itself, much later. */
  #isReal(world: TwinWorld, fault: FaultClass, name: string | null): boolean {
    const device = world.kernel.byName(name ?? '');
    switch (fault) {
      case 'link-down':
        return device === undefined || !world.kernel.hasCarrier(device);
      case 'mesh-vanished':
        return world.kernel.mesh === null;
      case 'interface-vanished':
        return device === undefined;
      case 'interface-fell-out':
        return device === undefined || device.master !== world.kernel.mesh?.index;
      default:
        return true;
    }
  }

  #checkWhole(): void {
    const { routers, story, happened } = this.#simulation;
    // BATMAN_V may ignore a router begun anew, to which it has lost all ways, until it forgets it after 400 s.
    const begunAnew = new Set(
      happened.flatMap(({ fault }) => (ANEW.has(fault.kind) && 'router' in fault ? [fault.router] : [])),
    );
    const parts = understanding(routers);
    for (const from of routers)
      for (const to of routers) {
        if (from === to || !from.on || !to.on || parts.get(from) !== parts.get(to)) continue;
        if (story.algorithm === 'BATMAN_V' && begunAnew.has(to.number)) continue;
        const way = this.#simulation.route(from.number, to.number);
        if (way.length === 0) this.#break('whole', from.world, `it does not reach ${to.world.node}`);
      }
  }

  #decided(world: TwinWorld, decision: Decision): void {
    const { fault, step, at } = decision;
    const record = this.#of(world);
    if (fault.evidence.length === 0 || fault.evidence.some((one) => one.at > at))
      this.#break('evidence', world, `${fault.id} ${fault.class} has no evidence, or of later`);
    if (step === 'planned' && !this.#hasHappened(world, decision))
      this.#break(
        'evidence',
        world,
        `${fault.class} ${fault.interface ?? ''} ${fault.peer ?? ''}, and nothing is wrong`,
      );
    if (step === 'planned') {
      const isActing = decision.action !== 'none';
      const isOwn = fault.class !== 'remote-alarm' && fault.class !== 'asked';
      if (isActing && isOwn) {
        const { now } = this.#simulation;
        const key = `${fault.class} ${fault.interface} ${fault.peer}`;
        const same = record.byFault.get(key) ?? [];
        record.byFault.set(key, same);
        if (often(record.plans, now) > MOST_PLANS * (1 + this.#lately()))
          this.#break('loop', world, 'too many plans within a minute');
        if (often(same, now) > MOST_REPEATED + this.#lately())
          this.#break('loop', world, `${key} is repaired again and again`);
        record.pending.set(fault.id, { decision, at: now });
      }
    } else if (CLOSED.has(step)) record.pending.delete(fault.id);
    if (step === 'verified' && decision.action === 'restore') record.restored = true;
  }

  /** What happened in the last minute. */
  #lately(): number {
    const { happened, now } = this.#simulation;
    return happened.filter(({ at }) => at > now - MINUTE).length;
  }

  /** What the agent says was wrong: was it, ever? */
  #hasHappened(world: TwinWorld, { fault }: Decision): boolean {
    const { happened, now } = this.#simulation;
    // A person asks when that person likes.
    if (fault.class === 'asked' || (this.#isLossy && lossExplains(fault, this.#isRadio))) return true;
    const device = world.kernel.devices.find(({ name }) => name === fault.interface);
    const router = this.#routerOf(world);
    if (standsFor(this.#simulation.story, fault, router)) return true;
    // To the others an agent that restarts itself is one that somebody killed.
    const killed = [...this.#restarted].map((number): Fault => ({ kind: 'agent-killed', router: number }));
    if (![...happened.map((one) => one.fault), ...killed].some((one) => explains(one, fault, router, device)))
      return false;
    if (fault.class !== 'link-down' || device === undefined || device.port === null) return true;
    // Carrier is not a matter of opinion; it may be back already.
    return !world.kernel.hasCarrier(device) || happened.some(({ at }) => at > now - 5 * SECOND);
  }

  #sentOgm(world: TwinWorld, frame: string): void {
    const { numbers } = this.#of(world);
    for (const { originator, seqno } of parseOgms(fromHex(frame))) {
      const kernels = numbers.get(originator);
      const ahead = kernels === undefined ? 0 : seqnoAhead(seqno, kernels);
      if (ahead > MOST_AHEAD) this.#break('numbers', world, `${originator} is ${ahead} ahead of its kernel`);
    }
  }

  #routerOf(world: TwinWorld): Router {
    return this.#simulation.routers.find((one) => one.world === world)!;
  }

  #of(world: TwinWorld): Record {
    let record = this.#records.get(world);
    if (record === undefined) {
      record = {
        plans: [],
        byFault: new Map(),
        changes: [],
        pending: new Map(),
        numbers: new Map(),
        taken: new Set(),
        restored: false,
      };
      this.#records.set(world, record);
    }
    return record;
  }

  #break(invariant: Invariant, world: TwinWorld, what: string): void {
    if (this.breaches.some((breach) => breach.invariant === invariant)) return;
    this.breaches.push({ invariant, at: this.#simulation.now, what: `${world.node}: ${what}` });
  }
}

/** For as long as its fault, and for a while after it. */
function isInForce({ state }: { state: string }): boolean {
  return state === 'holding' || state === 'parting';
}

/** Notes one more, and counts those of the last minute. */
function often(times: Nanos[], now: Nanos): number {
  times.push(now);
  while (times[0]! < now - MINUTE) times.shift();
  return times.length;
}

function reachesSomebody(world: TwinWorld, device: Device): boolean {
  const { port } = device;
  if (port === null || device.name === PRIMARY || !world.kernel.hasCarrier(device)) return false;
  return port.ways.some(({ to, open, loss }) => open && loss < 0.5 && to.carrier);
}

/** What a way by radio carries at least, where two are joined by it for good. */
const WELL = 0.7;

/** Routers that are joined by ways that carry, and others of the same routing algorithm: by the first of each such part. */
function understanding(routers: readonly Router[]): Map<Router, Router> {
  const parts = new Map<Router, Router>();
  for (const first of routers) {
    const reached = parts.has(first) ? [] : [first];
    for (const router of reached) {
      parts.set(router, first);
      for (const other of router.towards.keys()) {
        const next = routers[other]!;
        const isNew = next.algorithm === first.algorithm && !parts.has(next) && !reached.includes(next);
        if (isNew && carries(router, next) && carries(next, router)) reached.push(next);
      }
    }
  }
  return parts;
}

function carries(from: Router, to: Router): boolean {
  const port = to.towards.get(from.number)?.port;
  const address = from.towards.get(to.number)?.address;
  return port != null && address !== undefined && port.medium.carries(address, port) >= WELL;
}
