/**
 * Puts interfaces back under the mesh interface: those that a repair took out, when they live again, and members that
 * came back from elsewhere. Damped, never into what somebody else made of them, and tried until it is done.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Change, Link } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Decision, Mode, Plan } from '../core/words.ts';
import type { Knowledge } from './knowledge.ts';
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

export class Returns implements Machine {
  readonly name = 'returns';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #waiting = new Map<string, { at: Nanos; readonly since: Nanos; tries: number }>();

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
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
        this.#modeIs(this.#around.settings.mode, now);
        return [];
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
      case 'vanished':
        this.#waiting.delete(name);
        return this.#settled(name, now, null);
      case 'joined-mesh':
        this.#waiting.delete(name);
        this.#knowledge.settle(name);
        return this.#settled(name, now, 'it is back under the mesh interface');
      default:
        return [];
    }
  }

  /** The armed undo goes by the interface's index, and stays as it is. */
  #rename(from: string, to: string, now: Nanos): void {
    this.#waiting.delete(from);
    const owed = this.#knowledge.detached.get(from);
    if (owed === undefined) return;
    this.#knowledge.detached.delete(from);
    this.#knowledge.detached.set(to, owed);
    this.#schedule(to, this.#knowledge.protectedUntil(from, now));
  }

  /** A member that nobody has put in yet. */
  #welcome(name: string, now: Nanos): void {
    const { settings } = this.#around;
    const link = linkByName(this.#around, name);
    if (settings.mode !== 'act' || !settings.reattach || link === undefined || link.master !== 0) return;
    if (isPrimary(this.#around, name) && !settings.own) return;
    this.#schedule(name, Math.max(this.#knowledge.mayReturnAt(name, now), settings.own ? now : now + NETIFD_FIRST));
  }

  #schedule(name: string, at: Nanos): void {
    this.#waiting.set(name, { at, since: at, tries: 0 });
  }

  /** Something else broke: an interface that only waits out its damping may be the way round it. */
  #release(now: Nanos): void {
    const isLast = ways(this.#around).length === 0;
    for (const [name, back] of this.#waiting) {
      if (linkByName(this.#around, name)?.carrier !== true) continue;
      back.at = Math.min(back.at, isLast ? now : this.#knowledge.protectedUntil(name, now));
    }
  }

  #modeIs(mode: Mode, now: Nanos): void {
    // What a repair took out goes back in any mode; the rest waits for one that allows it.
    for (const name of this.#waiting.keys())
      if (mode !== 'act' && !this.#knowledge.detached.has(name)) this.#waiting.delete(name);
    if (!this.#around.started || this.#around.mesh === null) return;
    for (const member of this.#around.members) if (!this.#waiting.has(member)) this.#welcome(member, now);
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
      this.#waiting.delete(name);
      const master = this.#around.links.get(link.master)?.name ?? `interface ${link.master}`;
      return this.#settled(name, now, `it was given to ${master} meanwhile: left to a person`);
    }
    if (this.#comesAfterPrimary(name) && now < back.since + PRIMARY_FIRST) {
      back.at = now + SECOND;
      return [];
    }
    back.tries += 1;
    back.at = now + ANSWER_TIMEOUT;
    const { meshInterface, own } = this.#around.settings;
    const change: Change = { kind: 'set-master', interface: name, master: meshInterface };
    const put: Effect = { type: 'change', id: returnId(name), change, undo: null };
    // What was unplugged comes back down. In an adopted mesh that is for netifd to mend.
    if (!own || link === undefined || link.up) return [put];
    const up: Change = { kind: 'set-up', interface: name, up: true };
    return [{ type: 'change', id: `up-${name}`, change: up, undo: null }, put];
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
        this.#waiting.delete(name);
        this.#knowledge.settle(name);
        return this.#settled(name, now, 'it is under the mesh interface');
      }
      back.at = now + (back.tries < QUICK_TRIES ? back.tries * SECOND : SLOWLY);
      if (back.tries !== QUICK_TRIES) return [];
      const words = `it could not be put back under the mesh interface, and is tried once a minute: ${error}`;
      const owed = this.#knowledge.detached.get(name);
      return owed === undefined
        ? [{ type: 'log', level: 'error', message: words, fields: { interface: name } }]
        : [decided(owed.plan, 'failed', now, words)];
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

function decided(plan: Plan, step: Decision['step'], now: Nanos, result: string): Effect {
  const { fault, alternatives, why } = plan;
  const decision: Decision = { fault, step, at: now, action: 'reattach', alternatives, why, result };
  return { type: 'emit', event: { type: 'decision', decision } };
}

function returnId(name: string): string {
  return `return-${name}`;
}
