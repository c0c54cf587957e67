/**
 * Puts interfaces back under the mesh interface: those that a repair took out, when they live again, and members that
 * came back from elsewhere, where the class of their fault acts; what is put in is written down. Damped, never into what
 * somebody else made of them, and tried until it is done.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Change, Link } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision, Fault, FaultClass, Plan } from '../core/words.ts';
import type { Earned } from './earned.ts';
import type { Knowledge } from './knowledge.ts';
import { repairOf } from './repairs/catalogue.ts';
import { isPrimary, linkByName, primaryName, type Surroundings, ways } from './surroundings.ts';

/** netifd puts in what it declares: it goes first. */
const NETIFD_FIRST: Nanos = 2 * SECOND;
/** The kernel has so long to answer; then it is asked again. */
const ANSWER_TIMEOUT: Nanos = 5 * SECOND;
/** Others wait so long for a primary that is out: as long as making a mesh anew may take. */
const PRIMARY_FIRST: Nanos = 15 * SECOND;
/** Refusals that come in quick succession, before a person is told and it goes on more slowly. */
const QUICK_TRIES = 5;
const SLOWLY: Nanos = 60 * SECOND;

/** Why a member is out: its fault may be over, or have been none where its class is off. */
type Lost = Extract<FaultClass, 'interface-vanished' | 'interface-fell-out'>;

interface Waiting {
  at: Nanos;
  readonly since: Nanos;
  tries: number;
  /** Of what no repair took out: what the journal says of it, once it is put in. */
  readonly plan: Plan | null;
}

export class Returns implements Machine {
  readonly name = 'returns';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #earned: Earned;
  readonly #waiting = new Map<string, Waiting>();
  readonly #lost = new Map<string, Lost>();
  #count = 0;

  constructor(around: Surroundings, knowledge: Knowledge, earned: Earned) {
    this.#around = around;
    this.#knowledge = knowledge;
    this.#earned = earned;
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'plan': {
        const { act, fault } = event.plan;
        if (act && (fault.class === 'link-down' || fault.class === 'interface-vanished')) this.#release(now);
        return [];
      }
      case 'settings':
      case 'mode-asked':
      case 'class-mode-asked':
        return this.#modeIs(now);
      case 'give-back': {
        const at = this.#knowledge.protectedUntil(event.interface, now);
        this.#schedule(event.interface, at);
        return at > now ? [] : this.#return(event.interface, now);
      }
      case 'renamed':
        this.#rename(event.from, event.to, now);
        return [];
      case 'change-done':
        return this.#answered(event.id, event.error, now);
      case 'symptom':
        return this.#noticed(event.symptom.what, event.symptom.interface, now);
      case 'tick':
        return [...this.#waiting].flatMap(([name, { at }]) => (now >= at ? this.#return(name, now) : []));
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const { at } of this.#waiting.values()) earliest = Math.min(earliest, at);
    return earliest;
  }

  #noticed(what: string, name: string, now: Nanos): Effect[] {
    const isOwed = this.#knowledge.detached.has(name);
    switch (what) {
      case 'carrier-back':
        // With no other way left there is nothing to wait for: out of the mesh it is of no use at all.
        if (isOwed)
          this.#schedule(name, ways(this.#around).length === 0 ? now : this.#knowledge.mayReturnAt(name, now));
        return [];
      case 'carrier-lost':
        // It went again while it waited.
        if (isOwed) this.#waiting.delete(name);
        return [];
      case 'appeared':
        if (this.#around.mesh !== null && !isOwed) this.#welcome(name, now);
        return [];
      case 'mesh-back':
        // Whoever made it puts in what belongs there; what is left over after that is ours to do.
        for (const owed of this.#knowledge.detached.keys()) this.#schedule(owed, now + NETIFD_FIRST);
        for (const member of this.#around.members) this.#welcome(member, now);
        return [];
      case 'left-mesh':
        this.#lost.set(name, 'interface-fell-out');
        return [];
      case 'mesh-gone':
        // What it had falls out with it, told or not.
        if (this.#around.lastMesh !== null)
          for (const member of this.#around.members)
            if (!this.#lost.has(member)) this.#lost.set(member, 'interface-fell-out');
        return [];
      case 'vanished':
        this.#lost.set(name, 'interface-vanished');
        return [...this.#ended(name, 'failed', now, 'it is gone again'), ...this.#settled(name, now, null)];
      case 'joined-mesh': {
        this.#lost.delete(name);
        const verified = this.#ended(name, 'verified', now, 'it is under the mesh interface');
        this.#knowledge.settle(name);
        return [...verified, ...this.#settled(name, now, 'it is back under the mesh interface')];
      }
      default:
        return [];
    }
  }

  /** The armed undo goes by the interface's index, and stays as it is. */
  #rename(from: string, to: string, now: Nanos): void {
    const owed = this.#knowledge.detached.get(from);
    if (owed === undefined) return;
    this.#waiting.delete(from);
    this.#knowledge.detached.delete(from);
    this.#knowledge.detached.set(to, owed);
    this.#schedule(to, this.#knowledge.protectedUntil(from, now));
  }

  /** A member that nobody has put in yet. */
  #welcome(name: string, now: Nanos): void {
    const { settings } = this.#around;
    const link = linkByName(this.#around, name);
    if (!this.#mayPut(name) || link === undefined || link.master !== 0) return;
    if (isPrimary(this.#around, name) && !settings.own) return;
    const at = Math.max(this.#knowledge.mayReturnAt(name, now), settings.own ? now : now + NETIFD_FIRST);
    this.#schedule(name, at, this.#planFor(link, now));
  }

  /** May a member that no repair took out be put in? */
  #mayPut(name: string): boolean {
    const { mode, reattach, own } = this.#around.settings;
    const lost = this.#lost.get(name);
    // The mesh that this router is configured to make is no repair, and so is its first time with each interface.
    const acts = lost === undefined && own ? true : this.#earned.acts(lost ?? 'interface-fell-out');
    return mode === 'act' && reattach && acts;
  }

  /** The fault may be over by what there is again; what it came to is of one of its own then. */
  #planFor({ name, index }: Link, now: Nanos): Plan {
    const kind = this.#lost.get(name) ?? 'interface-fell-out';
    const { cost, words, radius } = repairOf('reattach');
    let fault: Fault | undefined;
    for (const one of this.#knowledge.open.values()) if (one.class === kind && one.interface === name) fault = one;
    if (fault === undefined) {
      this.#count += 1;
      fault = {
        id: `e${this.#around.epoch}-r${this.#count}`,
        class: kind,
        at: now,
        interface: name,
        interfaceIndex: index,
        peer: null,
        confidence: 1,
        evidence: [{ source: 'rtnetlink', what: 'it is there, and nobody has put it into the mesh', at: now }],
        affected: [],
      };
    }
    const alternatives = [{ action: 'reattach', cost, refused: null }] as const;
    return { fault, actions: ['reattach'], alternatives, why: words, later: [], delayNs: 0, radius, act: true };
  }

  #schedule(name: string, at: Nanos, plan: Plan | null = null): void {
    this.#waiting.set(name, { at, since: at, tries: 0, plan });
  }

  /** It waits no more. What was put in, or was to be, has come to this. */
  #ended(name: string, step: Decision['step'], now: Nanos, how: string): Effect[] {
    const back = this.#waiting.get(name);
    this.#waiting.delete(name);
    return back === undefined || back.plan === null || back.tries === 0 ? [] : [decided(back.plan, step, now, how)];
  }

  /** Something else broke: an interface that only waits out its damping may be the way round it. */
  #release(now: Nanos): void {
    const isLast = ways(this.#around).length === 0;
    for (const [name, back] of this.#waiting) {
      if (linkByName(this.#around, name)?.carrier !== true) continue;
      back.at = Math.min(back.at, isLast ? now : this.#knowledge.protectedUntil(name, now));
    }
  }

  #modeIs(now: Nanos): Effect[] {
    // What a repair took out goes back in any mode; the rest waits for one that allows it.
    const isForbidden = (name: string) => !this.#mayPut(name) && !this.#knowledge.detached.has(name);
    const dropped = [...this.#waiting.keys()]
      .filter(isForbidden)
      .flatMap((name) => this.#ended(name, 'dropped', now, 'the mode does not allow it any more'));
    if (!this.#around.started || this.#around.mesh === null) return dropped;
    for (const member of this.#around.members) if (!this.#waiting.has(member)) this.#welcome(member, now);
    return dropped;
  }

  #return(name: string, now: Nanos): Effect[] {
    const back = this.#waiting.get(name)!;
    const { mesh } = this.#around;
    const link = linkByName(this.#around, name);
    if (mesh === null) {
      back.at = now + SECOND;
      return [];
    }
    if (link !== undefined && link.master !== 0 && link.master !== mesh.index) {
      const master = this.#around.links.get(link.master)?.name ?? `interface ${link.master}`;
      const words = `it was given to ${master} meanwhile: left to a person`;
      return [...this.#ended(name, 'failed', now, words), ...this.#settled(name, now, words)];
    }
    if (this.#comesAfterPrimary(name) && now < back.since + PRIMARY_FIRST) {
      back.at = now + SECOND;
      return [];
    }
    back.tries += 1;
    const planned = back.plan !== null && back.tries === 1 ? [decided(back.plan, 'planned', now, null)] : [];
    back.at = now + ANSWER_TIMEOUT;
    const { meshInterface, own } = this.#around.settings;
    const change: Change = { kind: 'set-master', interface: name, master: meshInterface };
    const put: Effect = { type: 'change', id: returnId(name), change, undo: null };
    // What was unplugged comes back down. In an adopted mesh that is for netifd to mend.
    if (!own || link === undefined || link.up) return [...planned, put];
    const up: Change = { kind: 'set-up', interface: name, up: true };
    return [...planned, { type: 'change', id: `up-${name}`, change: up, undo: null }, put];
  }

  /** Who is put in first becomes the primary, and gives the router its address. */
  #comesAfterPrimary(name: string): boolean {
    const { own, primary: configured } = this.#around.settings;
    const first = own ? configured : primaryName(this.#around);
    const primary = linkByName(this.#around, first ?? '');
    if (name === first) return false;
    // One of our own may not be there yet: it is made right after the mesh interface.
    return own ? !this.#isIn(primary) : primary !== undefined && primary.master === 0;
  }

  #answered(id: string, error: string | null, now: Nanos): Effect[] {
    for (const [name, back] of this.#waiting) {
      if (id !== returnId(name)) continue;
      if (error === null) {
        // As a rule 'joined-mesh' has told, or will. Where it never really left, nothing else does.
        if (!this.#isIn(linkByName(this.#around, name))) return [];
        const words = 'it is under the mesh interface';
        const verified = this.#ended(name, 'verified', now, words);
        this.#knowledge.settle(name);
        return [...verified, ...this.#settled(name, now, words)];
      }
      back.at = now + (back.tries < QUICK_TRIES ? back.tries * SECOND : SLOWLY);
      if (back.tries !== QUICK_TRIES) return [];
      const words = `it could not be put back under the mesh interface, and is tried once a minute: ${error}`;
      const plan = this.#knowledge.detached.get(name)?.plan ?? back.plan;
      return plan === null
        ? [{ type: 'log', level: 'error', message: words, fields: { interface: name } }]
        : [decided(plan, 'failed', now, words)];
    }
    return [];
  }

  #isIn(link: Link | undefined): boolean {
    return this.#around.mesh !== null && link?.master === this.#around.mesh.index;
  }

  /** Nothing is owed any more. `how` goes into the journal, where a repair had taken it out. */
  #settled(name: string, now: Nanos, how: string | null): Effect[] {
    const owed = this.#knowledge.detached.get(name);
    if (owed === undefined) return [];
    this.#knowledge.detached.delete(name);
    const disarm: Effect = { type: 'disarm', id: owed.undo };
    return how === null ? [disarm] : [disarm, decided(owed.plan, 'over', now, how)];
  }
}

function decided(plan: Plan, step: Decision['step'], now: Nanos, result: string | null): Effect {
  const { fault, alternatives, why } = plan;
  const decision: Decision = { fault, step, at: now, action: 'reattach', alternatives, why, result };
  return { type: 'emit', event: { type: 'decision', decision } };
}

function returnId(name: string): string {
  return `return-${name}`;
}
