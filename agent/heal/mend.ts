/**
 * Carries out the repairs that change settings (repairs/settings.ts), where nothing is urgent: each waits its turn, is
 * rehearsed in the twin where more than one link could be worse off, has its undo armed before it goes out, is verified,
 * and is given back when the fault is over. Repairs that cannot touch each other run side by side.
 */
import type { Effect } from '../core/effect.ts';
import type { Event, Tables } from '../core/event.ts';
import type { Change, MeshSettings, Stations } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, Decision, Fault, Plan } from '../core/words.ts';
import { announcement } from './announce.ts';
import type { Earned } from './earned.ts';
import type { Knowledge } from './knowledge.ts';
import { Partings } from './partings.ts';
import { repairOf } from './repairs/catalogue.ts';
import type { Mending, Scene, Step } from './repairs/spec.ts';
import { type Broken, broken, linkByName, type Surroundings } from './surroundings.ts';

const STEP_TIMEOUT: Nanos = 5 * SECOND;
/** A rehearsal that takes longer says nothing. */
const REHEARSAL: Nanos = 3 * SECOND;
/**
 * What others would suffer from is not done unseen: it is given more time, tried again where nobody knows, and then left
 * to a person.
 */
const WIDE_REHEARSAL: Nanos = 30 * SECOND;
const REHEARSE_AGAIN: Nanos = 10 * SECOND;
const MOST_REHEARSALS = 3;
/** Two of the ten seconds in which a router says that it avoids loops (BATADV_BLA_PERIOD_LENGTH), and a little. */
const APART: Nanos = 22 * SECOND;
/** Three readings of an agent that has little time for them (detect.ts). */
const JOINED: Nanos = 100 * SECOND;
const LONGEST_PAUSE: Nanos = 60 * SECOND;
/** After so many returns that were refused a person is told, and it goes on more slowly. */
const MOST_TRIES = 8;
const SLOWLY: Nanos = 600 * SECOND;
/** A radio has its carrier again by then, or has lost it. */
const RESTART: Nanos = 15 * SECOND;
const MOST_JOBS = 64;
const NO_ANSWER = 'the kernel did not answer';

interface Applied {
  readonly id: string;
  readonly step: Step & { readonly undo: Change };
}

interface Job {
  plan: Plan;
  readonly action: Action;
  readonly mending: Mending;
  /**
   * 'pausing': before a step. 'lasting': a step that is taken back before the next one. 'parting': the fault is over, and it
   * stays in force for a moment more.
   */
  state:
    | 'waiting'
    | 'rehearsing'
    | 'changing'
    | 'pausing'
    | 'lasting'
    | 'verifying'
    | 'holding'
    | 'parting'
    | 'returning';
  until: Nanos;
  steps: Step[];
  readonly applied: Applied[];
  /** The id of the change that has not been answered, and what it is. */
  waiting: string | null;
  step: Step | null;
  /** Originators that went by the fault's interface. */
  lost: readonly Broken[];
  tries: number;
  rehearsals: number;
  /** The fault was over before the change was answered. */
  over: string | null;
  /** With what it was about: nothing that was done has mended it. */
  moot: boolean;
  /** How it ended, once all is given back. */
  readonly ends: Effect[];
}

export class Mend implements Machine {
  readonly name = 'mend';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #earned: Earned;
  readonly #jobs = new Map<string, Job>();
  readonly #partings = new Partings();
  #count = 0;

  constructor(around: Surroundings, knowledge: Knowledge, earned: Earned) {
    this.#around = around;
    this.#knowledge = knowledge;
    this.#earned = earned;
  }

  on(event: Event, now: Nanos): Effect[] {
    if (event.type === 'plan') return this.#begin(event.plan, now);
    if (this.#jobs.size === 0) return [];
    switch (event.type) {
      case 'rehearsed':
        return this.#rehearsed(event.id, event.verdict, event.detail, now);
      case 'change-done':
        return this.#stepped(event.id, event.error, now);
      case 'tables':
        return [
          ...this.#each((job) => this.#overruled(job, event.tables, now)),
          ...this.#each((job) => this.#verify(job, event.tables, now)),
        ];
      case 'stations':
        return this.#each((job) => this.#whileJoined(job, event.stations, now));
      case 'fault-over': {
        const job = this.#jobOf(event.fault);
        return job === undefined ? [] : this.#faultOver(job, event.how, event.moot === true, now);
      }
      case 'settings':
      case 'mode-asked':
      case 'class-mode-asked':
        return this.#each((job) => (this.#mayAct(job.plan.fault) ? [] : this.#stop(job, now)));
      case 'symptom':
        if (event.symptom.what === 'joined-mesh')
          return this.#each((job) => (isBackFor(job, event.symptom.interface) ? this.#giveBack(job, now) : []));
        if (event.symptom.what === 'mesh-gone')
          return this.#gone((change) => 'mesh' in change, event.symptom.interface, now);
        return event.symptom.what === 'vanished' ? this.#gone(() => false, event.symptom.interface, now) : [];
      case 'renamed':
        return this.#renamed(event.from, event.to);
      case 'tick':
        return this.#each((job) => (now >= job.until ? this.#due(job, now) : []));
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const { until } of this.#jobs.values()) earliest = Math.min(earliest, until);
    return earliest;
  }

  /** Repairs under way or in force, for x0ctl. */
  busy(): readonly { fault: Fault; action: Action; state: string; holds: readonly string[] }[] {
    return [...this.#jobs.values()].map(({ plan, action, state, applied }) => {
      return { fault: plan.fault, action, state, holds: applied.map(({ step }) => step.holds) };
    });
  }

  #begin(plan: Plan, now: Nanos): Effect[] {
    const action = plan.actions.at(-1);
    const mending = action === undefined ? undefined : repairOf(action).mend;
    if (action === undefined || mending === undefined || !plan.act) return [];
    const { fault } = plan;
    // The same fault, seen more clearly, changes nothing about what is under way; what has not begun gives way.
    const known = this.#jobOf(fault.id);
    if (known !== undefined && (known.state !== 'waiting' || known.action === action)) return [];
    if (known !== undefined) this.#jobs.delete(fault.id);
    const again = this.#again(plan, action, now);
    if (again !== null) return again;
    const planned = write(plan, 'planned', action, now, null);
    if (this.#jobs.size >= MOST_JOBS) return [planned, write(plan, 'failed', action, now, 'too many are under way')];
    const job: Job = {
      plan,
      action,
      mending,
      state: 'waiting',
      until: now + plan.delayNs,
      steps: [],
      applied: [],
      waiting: null,
      step: null,
      lost: [],
      tries: 0,
      rehearsals: 0,
      over: null,
      moot: false,
      ends: [],
    };
    this.#jobs.set(fault.id, job);
    return [planned, ...(plan.delayNs === 0 ? this.#due(job, now) : [])];
  }

  /** What is in force still serves once more. null: nothing is. */
  #again(plan: Plan, action: Action, now: Nanos): Effect[] | null {
    const { fault } = plan;
    const parting = [...this.#jobs.values()].find(
      (job) => job.state === 'parting' && job.action === action && aboutOf(job.plan.fault) === aboutOf(fault),
    );
    if (parting === undefined) return null;
    this.#jobs.delete(parting.plan.fault.id);
    parting.plan = plan;
    parting.state = 'holding';
    parting.until = NEVER;
    parting.over = null;
    parting.moot = false;
    this.#jobs.set(fault.id, parting);
    // What lasts a moment has passed, and is wanted again; but who brings the fault about at will gets it a few times only.
    const isOften = this.#partings.isOften(partingOf(parting), now);
    const steps = isOften ? [] : parting.mending.steps(fault, this.#scene(now));
    parting.steps = steps.filter(({ forNs }) => forNs !== undefined);
    const next = parting.steps.length === 0 ? [] : this.#next(parting, now);
    return [write(plan, 'done', action, now, 'it is in force still, from the last time'), ...next];
  }

  #due(job: Job, now: Nanos): Effect[] {
    switch (job.state) {
      case 'waiting':
        return this.#proceed(job, now);
      case 'rehearsing':
        return this.#unseen(job, 'the rehearsal did not end', now);
      case 'changing':
        // netifd takes its time.
        return job.step?.undo === null ? this.#next(job, now) : this.#fail(job, NO_ANSWER, now);
      case 'pausing':
        // Somebody may have done it meanwhile, and it would not be ours to take back.
        if (!this.#isAsUndone(job.steps[0]?.undo)) job.steps.shift();
        return this.#next(job, now);
      case 'lasting':
        return this.#takeBack(job, now);
      case 'verifying':
        return this.#fail(job, 'it did not help in time', now);
      case 'parting':
        this.#partings.give(partingOf(job));
        return this.#giveBack(job, now);
      case 'returning':
        return this.#giveBack(job, now);
      default:
        job.until = NEVER;
        return [];
    }
  }

  #proceed(job: Job, now: Nanos): Effect[] {
    if (this.#isTaken(job, now)) {
      job.until = now + SECOND;
      return [];
    }
    // The one that it waited for may have done all this.
    const again = this.#again(job.plan, job.action, now);
    if (again !== null) return again;
    const changes = this.#changesOf(job, now);
    if (job.plan.radius === 'link' || changes.length === 0) return this.#apply(job, now);
    job.state = 'rehearsing';
    job.until = now + (isWide(job.plan) ? WIDE_REHEARSAL : REHEARSAL);
    return [{ type: 'rehearse', id: `mend-${job.plan.fault.id}`, plan: job.plan, changes, deadline: job.until }];
  }

  /** What it would change now; nothing where it would be refused. */
  #changesOf({ plan: { fault }, action, mending }: Job, now: Nanos): Change[] {
    const scene = this.#scene(now);
    if (repairOf(action).refusal(fault, scene) !== null) return [];
    // There is no netifd in the twin, and nobody there who would take back what lasts a moment: it would be shown as what stays.
    return mending.steps(fault, scene).flatMap(({ change, undo, forNs }) => {
      return undo === null || forNs !== undefined ? [] : [change];
    });
  }

  /** Another repair is at work on what this one would touch. */
  #isTaken(job: Job, now: Nanos): boolean {
    const { fault } = job.plan;
    if (fault.interface !== null && this.#knowledge.isOurs(fault.interface, now)) return true;
    // What is in force for the whole router, perhaps for days, holds a setting of its own.
    const isIdle = (state: Job['state'], of: string) =>
      state === 'waiting' || (of === ROUTER && (state === 'holding' || state === 'parting'));
    const isHeld =
      (of: string) =>
      ({ state, plan }: Job) =>
        !isIdle(state, of) && resourcesOf(plan).includes(of);
    const others = [...this.#jobs.values()].filter((other) => other !== job);
    return resourcesOf(job.plan).some((of) => others.some(isHeld(of)));
  }

  #rehearsed(id: string, verdict: string, detail: string, now: Nanos): Effect[] {
    const job = [...this.#jobs.values()].find(({ plan }) => id === `mend-${plan.fault.id}`);
    if (job?.state !== 'rehearsing') return [];
    if (verdict === 'unknown') return this.#unseen(job, detail, now);
    if (verdict !== 'worse') return this.#apply(job, now);
    return this.#end(job, write(job.plan, 'dropped', job.action, now, `rehearsed, it made things worse: ${detail}`));
  }

  /** Nobody knows what it would do to others. */
  #unseen(job: Job, why: string, now: Nanos): Effect[] {
    if (!isWide(job.plan)) return this.#apply(job, now);
    job.rehearsals += 1;
    if (job.rehearsals >= MOST_REHEARSALS) {
      const words = `it reaches beyond this router, and could not be rehearsed ${MOST_REHEARSALS} times: ${why}`;
      return this.#end(job, write(job.plan, 'dropped', job.action, now, words));
    }
    job.state = 'waiting';
    job.until = now + REHEARSE_AGAIN;
    return [];
  }

  #apply(job: Job, now: Nanos): Effect[] {
    const { plan, action, mending } = job;
    const { fault } = plan;
    const scene = this.#scene(now);
    // What has changed since it was planned may speak against it now.
    const refused = repairOf(action).refusal(fault, scene);
    if (refused !== null) return this.#end(job, write(plan, 'failed', action, now, refused));
    switch (action) {
      case 'tell':
        return this.#end(job, write(plan, 'done', action, now, fault.evidence.at(-1)?.what ?? null));
      case 'restart-service':
        return [
          ...this.#end(job, write(plan, 'done', action, now, null)),
          { type: 'restart', why: fault.evidence.at(-1)?.what ?? fault.class },
        ];
      case 'announce':
        job.state = 'verifying';
        job.until = now + mending.limitNs;
        return announcement(fault, this.#around);
      case 'ease':
        job.state = 'verifying';
        job.until = now + mending.limitNs;
        return [{ type: 'emit', event: { type: 'ease', on: true } }];
      default: {
        job.lost = fault.interfaceIndex === null ? [] : broken(this.#around, fault.interfaceIndex);
        job.steps = [...mending.steps(fault, scene)];
        if (job.steps.length === 0)
          return this.#end(job, write(plan, 'failed', action, now, 'what it is now is not known'));
        return this.#next(job, now);
      }
    }
  }

  #next(job: Job, now: Nanos): Effect[] {
    const step = job.steps.shift();
    if (step === undefined) {
      job.state = 'verifying';
      job.until = now + job.mending.limitNs;
      if (job.over !== null) return this.#faultOver(job, job.over, job.moot, now);
      return [{ type: 'poll' }];
    }
    const { afterNs, ...rest } = step;
    if (afterNs !== undefined) {
      job.state = 'pausing';
      job.until = now + afterNs;
      job.steps.unshift(rest);
      return [];
    }
    this.#count += 1;
    const { change, undo, holds } = step;
    const id =
      job.action === 'cycle' ? `detach-${job.plan.fault.interface}` : `mend-${this.#around.epoch}-${this.#count}`;
    job.state = 'changing';
    job.until = now + STEP_TIMEOUT;
    job.waiting = id;
    job.step = step;
    const changing: Effect = { type: 'change', id, change, undo };
    const name = job.plan.fault.interface ?? '';
    this.#knowledge.carriesOut(job.plan.fault, job.action, now);
    if (job.action === 'restart-radio') this.#knowledge.intend(name, now, RESTART);
    if (job.action === 'cycle') {
      // Out of bat0 it is owed, like one that broke: whatever happens, it goes back (returns.ts).
      this.#knowledge.intend(name, now);
      this.#knowledge.detached.set(name, { plan: job.plan, undo: id });
      return [changing];
    }
    if (undo === null) return [changing];
    job.applied.push({ id, step: { ...step, undo } });
    // What is put back for good is what it should be.
    if (job.mending.keeps === 'good') return [changing];
    const held: Effect = { type: 'emit', event: { type: 'held', what: holds, returned: false } };
    const lends = job.mending.keeps === 'while' ? lent(undo, false) : [];
    return [held, ...lends, changing];
  }

  /** A step has lasted as long as it is to. */
  #takeBack(job: Job, now: Nanos): Effect[] {
    const last = job.applied.at(-1);
    // With its interface it may have gone by itself.
    if (last?.step.forNs === undefined) return this.#next(job, now);
    if (this.#isGiven(last.step.undo)) return [...this.#release(job, last), ...this.#next(job, now)];
    job.state = 'changing';
    job.until = now + STEP_TIMEOUT;
    job.waiting = `${last.id}-back`;
    job.step = null;
    return [{ type: 'change', id: job.waiting, change: last.step.undo, undo: null }];
  }

  #stepped(id: string, error: string | null, now: Nanos): Effect[] {
    for (const job of this.#jobs.values()) {
      if (job.state === 'returning') {
        const returned = job.applied.find((one) => `${one.id}-back` === id);
        if (returned !== undefined) return this.#returned(job, returned, error, now);
      }
      if (job.waiting !== id || job.state !== 'changing') continue;
      job.waiting = null;
      const isAsked = job.step?.undo === null;
      if (error !== null && isAsked) {
        const message = `it goes on without netifd: ${error}`;
        return [{ type: 'log', level: 'info', message, fields: { fault: job.plan.fault.id } }, ...this.#next(job, now)];
      }
      if (error !== null) return this.#fail(job, `the kernel refused: ${error}`, now);
      if (job.step?.suffices === true) job.steps = [];
      if (job.step?.forNs !== undefined) {
        job.state = 'lasting';
        job.until = now + job.step.forNs;
        return [];
      }
      const passed = job.applied.find((one) => `${one.id}-back` === id);
      if (passed !== undefined) return [...this.#release(job, passed), ...this.#next(job, now)];
      const out: Effect[] =
        job.action === 'cycle'
          ? [{ type: 'emit', event: { type: 'give-back', interface: job.plan.fault.interface! } }]
          : [];
      return [...out, ...this.#next(job, now)];
    }
    return [];
  }

  #verify(job: Job, read: Tables, now: Nanos): Effect[] {
    if (job.state !== 'verifying' || job.mending.verdict === undefined) return [];
    const { good, words } = job.mending.verdict(job.plan.fault, this.#scene(now), job.lost, read);
    return good ? this.#verified(job, words, now) : [];
  }

  /** A setting of the mesh that is neither as a repair has made it nor as it was is somebody else's: it stays. */
  #overruled(job: Job, { mesh }: Tables, now: Nanos): Effect[] {
    const isInForce = job.state === 'verifying' || job.state === 'holding' || job.state === 'parting';
    if (mesh === null || job.mending.keeps !== 'while' || !isInForce) return [];
    const others = job.applied.filter(({ step }) => isOverruled(step, mesh.settings));
    const effects = others.flatMap((one) => this.#release(job, one));
    if (effects.length === 0 || job.applied.length > 0) return effects;
    const words = 'somebody else has set what it changed, and that stays';
    return [...effects, ...this.#end(job, write(job.plan, 'over', job.action, now, words))];
  }

  #verified(job: Job, words: string, now: Nanos): Effect[] {
    const verified = write(job.plan, 'verified', job.action, now, words);
    if (job.mending.keeps !== 'while') return this.#end(job, verified);
    job.state = 'holding';
    job.until = NEVER;
    return [verified];
  }

  #faultOver(job: Job, how: string, moot: boolean, now: Nanos): Effect[] {
    switch (job.state) {
      case 'waiting':
      case 'rehearsing':
        return this.#end(job, write(job.plan, 'over', job.action, now, how));
      case 'changing':
      case 'pausing':
      case 'lasting':
        // Of what stays in force only what lasts a moment is still wanted: the fault may have left something behind.
        job.over = how;
        job.moot = moot;
        job.steps = job.steps.filter(({ forNs }) => job.mending.keeps === 'moment' || forNs !== undefined);
        return [];
      case 'verifying': {
        if (moot) return this.#lost(job, how, now);
        const verified = this.#verified(job, how, now);
        return [...verified, ...(this.#jobs.has(job.plan.fault.id) ? this.#part(job, now) : [])];
      }
      case 'holding':
        return this.#part(job, now);
      default:
        return [];
    }
  }

  /** What it was to mend is gone, or cannot be seen any more: nobody knows whether it has helped. */
  #lost(job: Job, how: string, now: Nanos): Effect[] {
    const over = write(job.plan, 'over', job.action, now, how);
    if (job.mending.keeps !== 'while' || (job.applied.length === 0 && job.action !== 'ease'))
      return this.#end(job, over);
    job.ends.push(over);
    return this.#giveBack(job, now);
  }

  /** It stays in force for a moment more, lest the fault come back at once: longer each time that it did. */
  #part(job: Job, now: Nanos): Effect[] {
    job.state = 'parting';
    this.#knowledge.force(job.plan.fault, job.action, true);
    job.until = now + this.#partings.begin(partingOf(job), now);
    return [];
  }

  /**
   * What keeps LANs that are joined from making a circle is kept as long as they are: routers that avoid loops say so there
   * every ten seconds. Once they are not it goes at once, or stations that have moved would not be believed (bridge_loop_
   * avoidance.c: what a router on the same LAN announces is ignored until it was not heard for a minute). Where the storm has come
   * back after that again and again, as by a plug that makes no good contact, only time tells.
   */
  #whileJoined(job: Job, { backboneMs }: Stations, now: Nanos): Effect[] {
    const isKept = job.applied.some(
      ({ step: { change } }) => change.kind === 'set-mesh' && change.settings.bridgeLoopAvoidance,
    );
    if (job.state !== 'parting' || backboneMs === undefined || !isKept) return [];
    if (backboneMs * MS < APART) {
      job.until = Math.max(job.until, now + JOINED);
      return [];
    }
    if (this.#partings.isOftenGiven(partingOf(job), now)) return [];
    this.#partings.give(partingOf(job));
    return this.#giveBack(job, now);
  }

  /** It did not help, or nobody knows whether it was done: what it changed goes back. */
  #fail(job: Job, why: string, now: Nanos): Effect[] {
    if (job.action === 'cycle') {
      const name = job.plan.fault.interface ?? '';
      const owed: Effect[] = this.#knowledge.detached.has(name)
        ? [{ type: 'emit', event: { type: 'give-back', interface: name } }]
        : [];
      return [...owed, ...this.#end(job, write(job.plan, 'failed', job.action, now, why))];
    }
    if (job.applied.length === 0 && job.action !== 'ease')
      return this.#end(job, write(job.plan, 'failed', job.action, now, why));
    // Of what leaves nothing changed only a half-done one has to be undone.
    if (job.mending.keeps === 'moment' && job.state === 'verifying')
      return this.#end(job, write(job.plan, 'failed', job.action, now, why));
    job.ends.push(write(job.plan, 'rolled-back', job.action, now, why));
    return this.#giveBack(job, now);
  }

  /** The mode forbids it now. */
  #stop(job: Job, now: Nanos): Effect[] {
    switch (job.state) {
      case 'waiting':
      case 'rehearsing':
        return this.#end(job, write(job.plan, 'dropped', job.action, now, 'the mode does not allow it any more'));
      case 'returning':
        return [];
      default:
        return this.#giveBack(job, now);
    }
  }

  #giveBack(job: Job, now: Nanos): Effect[] {
    if (job.action === 'cycle') return this.#end(job);
    if (job.action === 'ease') {
      const isLast = ![...this.#jobs.values()].some((other) => other !== job && other.action === 'ease');
      const off: Effect[] = isLast ? [{ type: 'emit', event: { type: 'ease', on: false } }] : [];
      return [...off, ...this.#end(job)];
    }
    // What only netifd was asked for is not ours to undo.
    if (job.applied.length === 0)
      return this.#end(job, write(job.plan, 'over', job.action, now, 'there is nothing to put back'));
    const given = job.applied.filter(({ step }) => this.#isGiven(step.undo)).flatMap((one) => this.#release(job, one));
    if (job.applied.length === 0) {
      const words = 'somebody has given it to another bridge, where it stays';
      return [
        ...given,
        ...this.#end(job, ...(job.ends.length > 0 ? [] : [write(job.plan, 'over', job.action, now, words)])),
      ];
    }
    this.#knowledge.force(job.plan.fault, job.action, false);
    job.state = 'returning';
    job.steps = [];
    job.waiting = null;
    job.tries += 1;
    job.until = now + STEP_TIMEOUT + pauseAfter(job.tries);
    const back = job.applied
      .toReversed()
      .map(({ id, step }): Effect => ({ type: 'change', id: `${id}-back`, change: step.undo, undo: null }));
    if (job.tries !== MOST_TRIES + 1) return [...given, ...back];
    const words = 'what it changed cannot be put back: its undo stays armed, and it is tried again every ten minutes';
    return [...given, ...back, write(job.plan, 'failed', job.action, now, words)];
  }

  #returned(job: Job, one: Applied, error: string | null, now: Nanos): Effect[] {
    if (error !== null) {
      job.until = Math.min(job.until, now + pauseAfter(job.tries));
      if (this.#isThere(one.step.undo)) return [];
    }
    const effects = this.#release(job, one);
    if (job.applied.length > 0) return effects;
    const isSaid = job.ends.length > 0;
    const words = error === null ? 'what it changed is as it was' : 'what it changed is no longer there';
    return [...effects, ...this.#end(job, ...(isSaid ? [] : [write(job.plan, 'over', job.action, now, words)]))];
  }

  /** What an interface is under by name; null: nothing. */
  #masterOf(name: string): string | null {
    const { links } = this.#around;
    const master = linkByName(this.#around, name)?.master ?? 0;
    return master === 0 ? null : (links.get(master)?.name ?? `interface ${master}`);
  }

  /** Is it as this undo would make it? Of masters only. */
  #isAsUndone(undo: Change | null | undefined): boolean {
    return undo?.kind !== 'set-master' || this.#masterOf(undo.interface) === undo.master;
  }

  /** Has somebody put what is to go back under something else? */
  #isGiven(undo: Change): boolean {
    if (undo.kind !== 'set-master' || undo.master === null) return false;
    return this.#masterOf(undo.interface) !== null && !this.#isAsUndone(undo);
  }

  /** Is there still what a change is about? */
  #isThere(change: Change): boolean {
    const { mesh, links } = this.#around;
    const name = 'interface' in change ? change.interface : null;
    if (name === null) return mesh !== null;
    return [...links.values()].some((link) => link.name === name);
  }

  /** Nothing of this change is ours any more. */
  #release(job: Job, one: Applied): Effect[] {
    job.applied.splice(job.applied.indexOf(one), 1);
    const disarm: Effect = { type: 'disarm', id: one.id };
    if (job.mending.keeps === 'good') return [disarm];
    const held: Effect = { type: 'emit', event: { type: 'held', what: one.step.holds, returned: true } };
    return [disarm, held, ...(job.mending.keeps === 'while' ? lent(one.step.undo, true) : [])];
  }

  #end(job: Job, ...last: Effect[]): Effect[] {
    this.#jobs.delete(job.plan.fault.id);
    this.#knowledge.force(job.plan.fault, job.action, false);
    const released = [...job.applied].flatMap((one) => this.#release(job, one));
    return [...released, ...job.ends.splice(0), ...last];
  }

  /** With an interface goes what was set of it; with bat0, its settings. */
  #gone(also: (change: Change) => boolean, name: string, now: Nanos): Effect[] {
    return this.#each((job) => {
      const effects: Effect[] = [];
      for (const one of [...job.applied]) {
        const { change } = one.step;
        if (also(change) || ('interface' in change && change.interface === name))
          effects.push(...this.#release(job, one));
      }
      if (effects.length === 0 || job.applied.length > 0) return effects;
      // What had helped, or is on its way back, has been told.
      const isTold = job.state === 'holding' || job.state === 'parting' || job.state === 'returning';
      const failed = write(job.plan, 'failed', job.action, now, `what it changed went with ${name}`);
      return [...effects, ...this.#end(job, ...(isTold ? [] : [failed]))];
    });
  }

  #renamed(from: string, to: string): Effect[] {
    const name = <C extends Change>(change: C): C => {
      const itself = 'interface' in change && change.interface === from ? { interface: to } : {};
      const above = 'master' in change && change.master === from ? { master: to } : {};
      return { ...change, ...itself, ...above };
    };
    for (const job of this.#jobs.values()) {
      job.steps = job.steps.map((step) => {
        return { ...step, change: name(step.change), undo: step.undo === null ? null : name(step.undo) };
      });
      for (const [i, { id, step }] of job.applied.entries())
        job.applied[i] = { id, step: { ...step, change: name(step.change), undo: name(step.undo) } };
    }
    return [];
  }

  #jobOf(fault: string): Job | undefined {
    return this.#jobs.get(fault);
  }

  #each(each: (job: Job) => Effect[]): Effect[] {
    return [...this.#jobs.values()].flatMap(each);
  }

  #mayAct(fault: Fault): boolean {
    return this.#around.settings.mode === 'act' && this.#earned.acts(fault.class);
  }

  #scene(now: Nanos): Scene {
    return { around: this.#around, knowledge: this.#knowledge, now };
  }
}

/** What it could not put back it can now. */
function isBackFor({ state, tries, applied }: Job, name: string): boolean {
  const isIts = ({ step: { undo } }: Applied) => 'interface' in undo && undo.interface === name;
  return state === 'returning' && tries > 1 && applied.some(isIts);
}

const ROUTER = 'router';

/** What a repair touches: what two of them must not at one time. */
function resourcesOf({ fault, radius, actions }: Plan): readonly string[] {
  const action = actions.at(-1);
  if (action === 'tell' || action === 'ease' || action === 'announce') return [];
  const own = fault.interface === null ? [] : [`interface ${fault.interface}`];
  if (radius === 'link') return own;
  return action === 'restart-radio' ? [ROUTER, ...own] : [ROUTER];
}

/** Does it reach beyond this router? */
function isWide({ radius }: Plan): boolean {
  return radius === 'neighbourhood' || radius === 'mesh';
}

/** After a return that was refused. */
function pauseAfter(tries: number): Nanos {
  return tries > MOST_TRIES ? SLOWLY : Math.min(LONGEST_PAUSE, SECOND * 2 ** tries);
}

function partingOf({ action, plan }: Job): string {
  return `${action} ${aboutOf(plan.fault)}`;
}

function aboutOf({ class: kind, interface: name, peer }: Fault): string {
  return `${kind} ${name ?? ''} ${peer ?? ''}`;
}

function isOverruled({ change, undo }: Applied['step'], settings: MeshSettings): boolean {
  if (change.kind !== 'set-mesh' || undo.kind !== 'set-mesh') return false;
  const keys = Object.keys(change.settings) as (keyof MeshSettings)[];
  return keys.some((key) => settings[key] !== change.settings[key] && settings[key] !== undo.settings[key]);
}

function lent(undo: Change, returned: boolean): Effect[] {
  if (undo.kind !== 'set-mesh') return [];
  return [{ type: 'emit', event: { type: 'lent', settings: undo.settings, returned } }];
}

function write(plan: Plan, step: Decision['step'], action: Action, now: Nanos, result: string | null): Effect {
  const { fault, alternatives, why } = plan;
  const decision: Decision = { fault, step, at: now, action, alternatives, why, result };
  return { type: 'emit', event: { type: 'decision', decision } };
}
