/**
 * E of MAPE-K: carries plans out, step by step, verifies what came of them in the kernel's own tables, takes back what
 * did not help, and writes every decision down.
 */
import { hash } from 'node:crypto';
import type { Effect } from '../core/effect.ts';
import type { Event, MachineEvent } from '../core/event.ts';
import { type Mac, macFromBytes } from '../core/ids.ts';
import type { Change, OriginatorPath } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Action, Alarm, Decision, Fault, KickReason, Plan } from '../core/words.ts';
import { ask } from './asking.ts';
import type { Earned } from './earned.ts';
import type { Knowledge } from './knowledge.ts';
import { repairOf } from './repairs/catalogue.ts';
import { ASK_FIRST, KICK_FIRST, masterRefusal } from './repairs/urgent.ts';
import {
  type Broken,
  broken,
  linkByName,
  neighboursOn,
  originatorAddress,
  primaryName,
  type Surroundings,
  ways,
} from './surroundings.ts';
import { ANY } from './wire.ts';

/** When tables are read again after a repair: soon, then slower. */
const LOOKS: readonly Nanos[] = [100 * MS, 150 * MS, 400 * MS, SECOND, 2 * SECOND, 4 * SECOND];
const GIVE_UP: Nanos = 10 * SECOND;
/** bat0 made anew: with bridge loop avoidance it takes half a minute until traffic flows. */
const GIVE_UP_MESH: Nanos = 60 * SECOND;
/** A change that the kernel has not answered after this has failed. */
const STEP_TIMEOUT: Nanos = 5 * SECOND;
/** The longest kick that can be configured is over sooner. */
const KICK_TIMEOUT: Nanos = 10 * SECOND;
/** OGMs that were on their way when the link broke have arrived by then, and turn nothing back any more. */
const STEADY: Nanos = 400 * MS;
/** By then tables that were asked for are there. */
const READING: Nanos = 50 * MS;
/** From leaving bat0 to being in a bridge: batman-adv waits for its readers in between (synchronize_net). */
const GIVEN: Nanos = 100 * MS;
const NO_ANSWER = 'the kernel did not answer';
/** A mesh without bat0 does not wait longer for a rehearsal. */
const REHEARSAL: Nanos = 500 * MS;

interface Job {
  plan: Plan;
  action: Action;
  /** Originators that used the broken path and had another: their routes are what must move. */
  readonly affected: readonly Mac[];
  readonly without: number;
  steps: Change[];
  waiting: string | null;
  /** 'delayed': it begins at `until`. 'kicking', 'changing': it has failed if nothing came of it by then. */
  state: 'delayed' | 'kicking' | 'changing' | 'verifying';
  until: Nanos;
  readonly began: Nanos;
  /** The kick has gone out, or there is none. */
  kicked: boolean;
  looks: number;
  nextLook: Nanos;
  /** When the stronger repair's time has come, if the gentler ones have not helped by then. */
  laterAt: Nanos;
  isDue: boolean;
  /** It was looked at in its time, and had helped. */
  isTold: boolean;
  /** Since when the tables have shown that it has helped. */
  goodAt: Nanos | null;
}

export class Execute implements Machine {
  readonly name = 'execute';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  readonly #earned: Earned;
  readonly #jobs = new Map<string, Job>();
  #steps = 0;

  constructor(around: Surroundings, knowledge: Knowledge, earned: Earned) {
    this.#around = around;
    this.#knowledge = knowledge;
    this.#earned = earned;
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'plan':
        return this.#begin(event.plan, now);
      case 'kick-done':
        return this.#kicked(event.fault, event.frames, event.refused, now);
      case 'proceed': {
        const job = this.#jobs.get(event.fault);
        return job?.state === 'kicking' ? this.#soon(job, now) : [];
      }
      case 'change-done':
        return this.#stepped(event.id, event.error, now);
      case 'rehearsed':
        return this.#rehearsed(event.id, event.verdict, event.detail, now);
      case 'tables':
        return this.#verify(now);
      case 'fault-over':
        return this.#over(event.fault, event.how, now);
      case 'settings':
      case 'mode-asked':
        return this.#around.settings.mode === 'act' ? [] : this.#stop(() => true, now);
      case 'class-mode-asked':
        return this.#earned.acts(event.class) ? [] : this.#stop((fault) => fault.class === event.class, now);
      case 'tick':
        return this.#tick(now);
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = NEVER;
    for (const job of this.#jobs.values()) {
      earliest = Math.min(earliest, job.laterAt, job.state === 'verifying' ? job.nextLook : job.until);
    }
    return earliest;
  }

  /** Repairs under way, for x0ctl. */
  busy(): readonly { fault: Fault; action: Action; state: string }[] {
    return [...this.#jobs.values()].map((job) => ({ fault: job.plan.fault, action: job.action, state: job.state }));
  }

  #begin(plan: Plan, now: Nanos): Effect[] {
    const { fault } = plan;
    const action = plan.actions.at(-1) ?? 'none';
    // mend.ts does that.
    if (plan.act && repairOf(action).mend !== undefined) return [];
    if (!plan.act) return [this.#write(plan, 'observed', action, now, this.#why())];
    const planned = this.#write(plan, 'planned', action, now, null);
    if (plan.actions.length === 0 || action === 'none') return [planned];

    const running = this.#jobs.get(fault.id);
    if (running !== undefined) {
      // The same fault, better understood: its job gets the further step.
      running.action = action;
      running.steps.push(...this.#stepsOf(plan));
      return running.waiting === null ? [planned, ...this.#next(running, now)] : [planned];
    }
    const lost = this.#broken(fault);
    const isWide = plan.radius !== 'link';
    const delayNs = isWide ? Math.max(plan.delayNs, REHEARSAL) : plan.delayNs;
    const job: Job = {
      plan,
      action,
      affected: lost.filter(({ other }) => other !== 'none').map(({ originator }) => originator),
      without: lost.filter(({ other }) => other === 'none').length,
      steps: this.#stepsOf(plan),
      waiting: null,
      state: delayNs > 0 ? 'delayed' : plan.actions.includes('kick') ? 'kicking' : 'changing',
      until: now + (delayNs > 0 ? delayNs : KICK_TIMEOUT),
      began: now,
      kicked: !plan.actions.includes('kick'),
      looks: 0,
      nextLook: NEVER,
      laterAt: laterAt(plan, now),
      isDue: false,
      isTold: false,
      goodAt: null,
    };
    this.#jobs.set(fault.id, job);
    // The air first, the books after: every line written before the kick is a line that the repair waits for.
    const effects: Effect[] = [];
    if (job.state === 'kicking') {
      effects.push(...this.#kick(job, lost, true));
    } else if (action === 'ask') {
      // Where another way is about to come in, taking this one back would only move others for nothing.
      const stuck = lost.filter(({ other }) => other !== 'good');
      effects.push(...ask(this.#around, lost, reasonOf(fault)), this.#withdraw(fault, stuck));
      job.state = 'verifying';
      job.nextLook = now + STEADY;
    } else if (action === 'clear-way') {
      // Whose routes did not break has nothing to verify.
      this.#jobs.delete(fault.id);
      effects.push({ type: 'emit', event: { type: 'clear-way', fault: fault.id } });
    } else if (isWide) {
      // A mesh begun anew cannot be shown in the twin, and without bat0 nothing could be worse.
      effects.push({ type: 'rehearse', id: rehearsalId(fault.id), plan, changes: [], deadline: job.until });
    } else if (job.state !== 'delayed') {
      effects.push(...this.#soon(job, now));
    }
    return [...effects, planned];
  }

  #why(): string {
    const { mode } = this.#around.settings;
    return mode === 'act'
      ? 'this class of faults is only observed: nothing was done'
      : `${mode} mode: nothing was done`;
  }

  /** Word for the others; none for what we only heard of. */
  #alarm(fault: Fault, lost: readonly Broken[]): Omit<Alarm, 'sender' | 'epoch' | 'counter'> | null {
    if (fault.class === 'remote-alarm') return null;
    const link = fault.interfaceIndex === null ? undefined : this.#around.links.get(fault.interfaceIndex);
    const neighbours = this.#around.tables?.neighbours.filter((row) => row.interface === fault.interfaceIndex) ?? [];
    const asked = fault.class === 'asked';
    const self = originatorAddress(this.#around);
    // None named means all. Where no route broke that we know of, only our own has to move, and only we kick.
    const named = lost.length > 0 ? lost.map(({ originator }) => originator) : self === null ? [] : [self];
    return {
      kind: KINDS[fault.class] ?? 'kick',
      near: link?.mac ?? originatorAddress(this.#around) ?? ANY,
      far: fault.peer ?? (neighbours.length === 1 ? neighbours[0]!.neighbour : ANY),
      affected: asked ? [] : named,
      hops: this.#around.settings.alarmHops,
    };
  }

  /** Alarm and kick; and before the first, word to the neighbours. */
  #kick(job: Job, lost: readonly Broken[], isFirst: boolean): Effect[] {
    const { fault } = job.plan;
    const avoid = avoided(fault);
    const effects = this.#raise(fault, lost);
    if (isFirst) effects.push(...ask(this.#around, lost, reasonOf(fault)));
    if (lost.length > 0) effects.push(this.#withdraw(fault, lost));
    effects.push({ type: 'emit', event: { type: 'kick', reason: reasonOf(fault), fault: fault.id, avoid } });
    if (job.steps.length > 0) effects.push({ type: 'emit', event: { type: 'proceed', fault: fault.id } });
    return effects;
  }

  #raise(fault: Fault, lost: readonly Broken[]): Effect[] {
    const alarm = this.#alarm(fault, lost);
    if (alarm === null) return [];
    return [emit({ type: 'raise-alarm', reason: reasonOf(fault), alarm, avoid: avoided(fault) })];
  }

  /**
   * Our routes have moved by what neighbours said in others' names. Where packets circle between others we cannot see it: the
   * originators say themselves what is so, when nobody waits for it any more.
   */
  #confirm({ plan: { fault }, affected }: Job): Effect[] {
    if (affected.length === 0) return [];
    const alarm = this.#alarm(fault, []);
    const [reason, avoid] = [reasonOf(fault), avoided(fault)];
    return [
      ...(alarm === null ? [] : [emit({ type: 'raise-alarm', reason, alarm: { ...alarm, affected }, avoid })]),
      emit({ type: 'kick', reason, fault: fault.id, avoid }),
    ];
  }

  #withdraw(fault: Fault, lost: readonly Broken[]): Effect {
    const originators = lost.map(({ originator }) => originator);
    const stuck = lost.filter(({ other }) => other !== 'good').map(({ originator }) => originator);
    // Who is behind a fallen interface must hear the alarm; that the way to them has gone is for the others.
    const isFallen = fault.class === 'interface-fell-out' && fault.interfaceIndex !== null;
    const avoid = isFallen ? [fault.interfaceIndex] : avoided(fault);
    const met = neighboursOn(this.#around, fault.interfaceIndex ?? 0);
    const by = fault.class === 'link-silent' && fault.peer !== null ? [fault.peer] : met;
    return { type: 'emit', event: { type: 'withdraw', reason: reasonOf(fault), originators, stuck, by, avoid } };
  }

  /** The routes that a fault of ours broke, as the last tables have them. */
  #broken(fault: Fault): readonly Broken[] {
    if (fault.interfaceIndex === null || fault.class === 'remote-alarm') return [];
    return broken(this.#around, fault.interfaceIndex, fault.class === 'link-silent' ? fault.peer : null);
  }

  /** The changes that a plan's actions come to, in order. */
  #stepsOf(plan: Plan): Change[] {
    const { settings } = this.#around;
    const name = plan.fault.interface ?? '';
    if (plan.actions.includes('detach')) return [{ kind: 'set-master', interface: name, master: null }];
    if (plan.actions.includes('reattach'))
      return [
        ...this.#primaryFirst(name),
        ...this.#declared(name),
        { kind: 'set-master', interface: name, master: settings.meshInterface },
      ];
    if (plan.actions.includes('recreate-mesh')) return this.#meshSteps();
    return [];
  }

  /** Of all that fell out the primary goes in before the others: who is first is the primary. */
  #primaryFirst(name: string): Change[] {
    const { settings, members, tables } = this.#around;
    const primary = primaryName(this.#around) ?? settings.primary;
    const link = linkByName(this.#around, primary);
    const isOut = link !== undefined && link.master === 0 && members.has(primary) && !tables?.mesh?.primary;
    if (!isOut || primary === name) return [];
    return [
      { kind: 'set-up', interface: primary, up: true },
      { kind: 'set-master', interface: primary, master: settings.meshInterface },
    ];
  }

  /** What netifd has declared it brings up as declared; what is missing after that is ours. */
  #declared(name: string): Change[] {
    return this.#around.declared.has(name) ? [{ kind: 'netifd-up', interface: name }] : [];
  }

  /** bat0 from nothing: its MAC and settings as they were, the primary first (who is first is the primary). */
  #meshSteps(): Change[] {
    const { settings, lastMesh, lastMeshUp, members, addresses, links } = this.#around;
    const mesh = settings.meshInterface;
    const steps: Change[] = [
      ...this.#declared(mesh),
      {
        kind: 'create-mesh',
        mesh,
        algorithm: lastMesh?.algorithm ?? settings.algorithm,
        mac: lastMeshUp?.mac ?? lastMesh?.mac ?? null,
      },
      // Early: should the agent be killed now, whoever comes next finds one that works, and puts in what is missing.
      { kind: 'set-up', interface: mesh, up: true },
    ];
    if (lastMesh !== null) steps.push({ kind: 'set-mesh', mesh, settings: lastMesh.settings });
    const primary = primaryName(this.#around) ?? settings.primary;
    if (settings.own && linkByName(this.#around, primary) === undefined)
      steps.push({
        kind: 'create-bridge',
        interface: primary,
        mac: lastMesh?.primary?.mac ?? primaryMac(this.#around),
      });
    // What somebody gave another master meanwhile is no longer ours.
    const isFree = (name: string) => !links.has(linkByName(this.#around, name)?.master ?? 0);
    const present = [...members].filter(
      (name) => name !== primary && linkByName(this.#around, name) !== undefined && isFree(name),
    );
    const ports = members.has(primary) || settings.own ? [primary, ...present] : present;
    for (const port of ports) {
      steps.push({ kind: 'set-up', interface: port, up: true }, { kind: 'set-master', interface: port, master: mesh });
    }
    const bridge = links.get(lastMeshUp?.master ?? 0);
    if (bridge !== undefined) steps.push({ kind: 'set-master', interface: mesh, master: bridge.name });
    for (const address of addresses) steps.push({ kind: 'add-address', interface: mesh, address });
    return steps;
  }

  #kicked(id: string, frames: number, refused: string | null, now: Nanos): Effect[] {
    const job = this.#jobs.get(id);
    if (job === undefined || job.kicked) return [];
    job.kicked = true;
    if (refused !== null) job.plan = withoutKick(job.plan, refused);
    const said =
      refused === null
        ? log('debug', `kick sent: ${frames} frames`, { fault: id })
        : log('warning', `kick refused: ${refused}`, { fault: id });
    if (job.plan.fault.class === 'remote-alarm' || job.plan.fault.class === 'asked') {
      // Others' routes: whether they moved is for those to verify who raised the alarm, or asked.
      this.#jobs.delete(id);
      return [said, this.#write(job.plan, 'done', job.action, now, refused ?? `${frames} frames sent`)];
    }
    return job.waiting === null && job.state !== 'delayed' ? [said, ...this.#next(job, now)] : [said];
  }

  /** What somebody gives to a bridge is told twice: that it left bat0, and where it went. */
  #soon(job: Job, now: Nanos): Effect[] {
    if (job.action !== 'reattach') return this.#next(job, now);
    job.state = 'delayed';
    job.until = now + GIVEN;
    return [];
  }

  /** What was delayed is done by what is so now: what a step is about may have been given away meanwhile. */
  #start(job: Job, now: Nanos): Effect[] {
    job.steps = this.#stepsOf(job.plan);
    return this.#next(job, now);
  }

  /** The next step of a job, or its verification. */
  #next(job: Job, now: Nanos): Effect[] {
    const given = job.action === 'reattach' ? masterRefusal(job.plan.fault, this.#around) : null;
    if (given !== null) return this.#fail(job, given, now);
    const step = this.#nextStep(job);
    if (step === undefined) {
      // An early step may be through before the kick is.
      if (!job.kicked) {
        job.state = 'kicking';
        job.until = now + KICK_TIMEOUT;
        return [];
      }
      job.state = 'verifying';
      job.nextLook = now + LOOKS[0]!;
      return [];
    }
    job.state = 'changing';
    this.#steps += 1;
    job.waiting = `${job.plan.fault.id}-s${this.#steps}`;
    job.until = now + STEP_TIMEOUT;
    return [this.#change(job.waiting, step, job.plan, now)];
  }

  #nextStep(job: Job): Change | undefined {
    // A mesh that is made anew takes its members back itself, the primary first: one put in before it would be the primary.
    if (job.action === 'reattach' && this.#isMadeAnew()) job.steps = [];
    for (let step = job.steps.shift(); step !== undefined; step = job.steps.shift()) {
      if (step.kind !== 'set-master' || step.master !== null) return step;
      // What lives again is not taken out any more, nor what may be the last by now.
      const link = linkByName(this.#around, step.interface);
      const isAlive = link?.up === true && link.carrier;
      if (!isAlive && ways(this.#around, link === undefined ? [] : [link.index]).length > 0) return step;
    }
    return undefined;
  }

  #isMadeAnew(): boolean {
    return [...this.#jobs.values()].some((job) => job.action === 'recreate-mesh');
  }

  #change(id: string, change: Change, plan: Plan, now: Nanos): Effect {
    if (change.kind !== 'set-master') return { type: 'change', id, change, undo: null };
    if (change.master !== null) return { type: 'change', id, change, undo: null };
    this.#knowledge.intend(change.interface, now);
    this.#knowledge.detached.set(change.interface, { plan, undo: detachId(change.interface) });
    const undo: Change = {
      kind: 'set-master',
      interface: change.interface,
      master: this.#around.settings.meshInterface,
    };
    return { type: 'change', id: detachId(change.interface), change, undo };
  }

  /** Nothing above one link is changed where the twin has shown that it makes things worse. */
  #rehearsed(id: string, verdict: string, detail: string, now: Nanos): Effect[] {
    const job = [...this.#jobs.values()].find(({ plan }) => rehearsalId(plan.fault.id) === id);
    if (job?.state !== 'delayed') return [];
    if (verdict !== 'worse') return job.plan.delayNs > 0 ? [] : this.#start(job, now);
    this.#jobs.delete(job.plan.fault.id);
    return [this.#write(job.plan, 'dropped', job.action, now, `rehearsed, it made things worse: ${detail}`)];
  }

  #stepped(id: string, error: string | null, now: Nanos): Effect[] {
    for (const job of this.#jobs.values()) {
      if (job.waiting === null) continue;
      const isDetach = job.action === 'detach' && id === detachId(job.plan.fault.interface ?? '');
      if (job.waiting !== id && !isDetach) continue;
      job.waiting = null;
      if (error === null) return this.#next(job, now);
      if (isBuilding(job)) return this.#goOn(job, error, now);
      return this.#fail(job, `the kernel refused: ${error}`, now);
    }
    return [];
  }

  /** Half a mesh is better than none, and what netifd cannot do is done without it: verification judges. */
  #goOn(job: Job, error: string, now: Nanos): Effect[] {
    return [log('warning', `step failed, going on: ${error}`, { fault: job.plan.fault.id }), ...this.#next(job, now)];
  }

  #tick(now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const job of [...this.#jobs.values()]) {
      if (now >= job.laterAt) {
        if (job.isDue) {
          job.laterAt = NEVER;
          effects.push(...this.#goFurther(job, 'the tables did not come', now));
          continue;
        }
        job.isDue = true;
        job.laterAt = job.plan.later.includes('kick') ? now + READING : NEVER;
        effects.push({ type: 'poll' });
      }
      if (job.state === 'verifying' && now >= job.nextLook) {
        job.looks += 1;
        job.nextLook = now + LOOKS[Math.min(job.looks, LOOKS.length - 1)]!;
        effects.push({ type: 'poll' });
      }
      if (job.state === 'verifying' || now < job.until) continue;
      if (job.state === 'delayed') effects.push(...this.#start(job, now));
      // Of a router that stood still the answer is only late: what was done is seen in the tables.
      else if (job.state === 'changing' && isBuilding(job)) effects.push(...this.#goOn(job, NO_ANSWER, now));
      else effects.push(...this.#fail(job, job.state === 'kicking' ? 'the kick did not end' : NO_ANSWER, now));
    }
    return effects;
  }

  #verify(now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const job of [...this.#jobs.values()]) {
      const verdict = this.#verdict(job);
      const isAsking = job.plan.later.includes('kick');
      job.goodAt = verdict.good ? (job.goodAt ?? now) : null;
      // Routers to which no way was known may have one by now; others' OGMs are what is missing then.
      const isStuck = !verdict.good || (isAsking && this.#broken(job.plan.fault).length > 0);
      if (job.isDue && isStuck) effects.push(...this.#goFurther(job, verdict.words, now));
      else if (job.isDue && !job.isTold) {
        job.isTold = true;
        job.laterAt = NEVER;
        // The other end may not know yet that the link is gone; nobody has to kick.
        if (isAsking) effects.push(...this.#raise(job.plan.fault, []));
      }
      if (job.state !== 'verifying' || (isAsking && now < job.began + STEADY)) continue;
      const limit = job.action === 'recreate-mesh' ? GIVE_UP_MESH : GIVE_UP;
      if (verdict.good) {
        this.#jobs.delete(job.plan.fault.id);
        if (isAsking) effects.push(...this.#confirm(job));
        effects.push(this.#write(job.plan, 'verified', job.action, job.goodAt ?? now, verdict.words));
      } else if (now - job.began > limit) {
        effects.push(...this.#fail(job, verdict.words, now));
      }
    }
    return effects;
  }

  /** The gentler repair has not moved the routes: the stronger one follows, where the tables of now allow it. */
  #goFurther(job: Job, why: string, now: Nanos): Effect[] {
    const scene = { around: this.#around, knowledge: this.#knowledge, now };
    const { fault, later } = job.plan;
    const action = later.find((one) => repairOf(one).refusal(fault, scene) === null);
    if (action === undefined || job.waiting !== null) return [];
    job.isDue = false;
    job.action = action;
    job.plan = {
      ...job.plan,
      actions: [...job.plan.actions, action],
      alternatives: job.plan.alternatives.map((one) => (one.action === action ? { ...one, refused: null } : one)),
      why: `${why}; ${repairOf(action).words}`,
      later: later.slice(later.indexOf(action) + 1),
    };
    job.laterAt = laterAt(job.plan, job.began);
    const planned = this.#write(job.plan, 'planned', action, now, null);
    if (action === 'kick') {
      job.state = 'kicking';
      job.until = now + KICK_TIMEOUT;
      job.kicked = false;
      return [...this.#kick(job, this.#broken(fault), false), planned];
    }
    job.steps = this.#stepsOf(job.plan);
    return [...this.#next(job, now), planned];
  }

  #verdict(job: Job): { good: boolean; words: string } {
    const { tables, mesh, settings } = this.#around;
    const { fault } = job.plan;
    if (job.action === 'recreate-mesh') {
      const count = tables?.hardInterfaces.length ?? 0;
      const good = mesh !== null && count > 0;
      return {
        good,
        words: good ? `${settings.meshInterface} is there with ${count} hard interfaces` : 'bat0 is not there',
      };
    }
    if (job.action === 'reattach') {
      const link = linkByName(this.#around, fault.interface ?? '');
      const good = mesh !== null && link?.master === mesh.index;
      return { good, words: good ? 'it is back under the mesh interface' : 'it is still not under the mesh interface' };
    }
    if (fault.class === 'interface-fell-out' && linkByName(this.#around, fault.interface ?? '')?.master !== mesh?.index)
      return { good: false, words: 'it is not under the mesh interface' };
    const paths = tables?.originators ?? [];
    // On a shared interface the way may lead over the same one, by another neighbour.
    const lostPeer = fault.class === 'link-silent' ? fault.peer : null;
    const isOther = ({ interface: index, neighbour }: OriginatorPath) =>
      index !== fault.interfaceIndex || (lostPeer !== null && neighbour !== lostPeer);
    const moved = job.affected.filter((originator) =>
      paths.some((path) => path.best && path.originator === originator && isOther(path)),
    );
    const good = moved.length === job.affected.length;
    const lost = job.without > 0 ? `; ${job.without} routers had no other way` : '';
    if (job.affected.length === 0) return { good: true, words: `no route here depended on it${lost}` };
    return { good, words: `${moved.length} of ${job.affected.length} routes go another way${lost}` };
  }

  #fail(job: Job, why: string, now: Nanos): Effect[] {
    this.#jobs.delete(job.plan.fault.id);
    const name = job.plan.fault.interface ?? '';
    if (job.action !== 'detach' || !this.#knowledge.detached.has(name)) {
      return [this.#write(job.plan, 'failed', job.action, now, why)];
    }
    // It did not help, or nobody knows whether it was done: it goes back, so that we are no worse than without us.
    return [
      { type: 'emit', event: { type: 'give-back', interface: name } },
      this.#write(job.plan, 'rolled-back', job.action, now, why),
    ];
  }

  /** Nothing new is begun any more. What is under way ends by itself, and what was taken out goes back. */
  #stop(isMeant: (fault: Fault) => boolean, now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const [id, job] of this.#jobs) {
      if (!isMeant(job.plan.fault)) continue;
      job.steps = [];
      job.plan = { ...job.plan, later: [] };
      job.laterAt = NEVER;
      job.isDue = false;
      if (job.state !== 'delayed') continue;
      this.#jobs.delete(id);
      effects.push(this.#write(job.plan, 'dropped', job.action, now, 'the mode does not allow it any more'));
    }
    return effects;
  }

  #over(id: string, how: string, now: Nanos): Effect[] {
    const job = this.#jobs.get(id);
    if (job === undefined) return [];
    // What lives again is not taken out any more.
    job.laterAt = NEVER;
    job.isDue = false;
    job.steps = job.steps.filter((step) => step.kind !== 'set-master' || step.master !== null);
    if (job.state === 'verifying' || job.state === 'delayed') {
      this.#jobs.delete(id);
      const isAsking = job.plan.later.includes('kick');
      return [...(isAsking ? this.#confirm(job) : []), this.#write(job.plan, 'over', job.action, now, how)];
    }
    return [];
  }

  #write(plan: Plan, step: Decision['step'], action: Action, now: Nanos, result: string | null): Effect {
    const { fault, alternatives, why } = plan;
    return {
      type: 'emit',
      event: { type: 'decision', decision: { fault, step, at: now, action, alternatives, why, result } },
    };
  }
}

const KINDS: Readonly<Partial<Record<Fault['class'], Alarm['kind']>>> = {
  'link-down': 'link-down',
  'link-silent': 'neighbour-lost',
  'interface-vanished': 'interface-gone',
  'interface-fell-out': 'interface-gone',
};

/** It puts in, takes nothing away, and has more to put in. */
function isBuilding({ action, steps }: Job): boolean {
  return (action === 'recreate-mesh' || action === 'reattach') && steps.length > 0;
}

/** When the first of what may follow has its time. */
function laterAt({ later }: Plan, began: Nanos): Nanos {
  if (later.length === 0) return NEVER;
  return began + (later[0] === 'kick' ? ASK_FIRST : KICK_FIRST);
}

/** Where nobody is heard any more. */
function avoided({ class: kind, interfaceIndex }: Fault): number[] {
  return kind === 'link-down' && interfaceIndex !== null ? [interfaceIndex] : [];
}

function reasonOf(fault: Fault): KickReason {
  if (fault.class === 'remote-alarm') return 'remote-alarm';
  if (fault.evidence.some((evidence) => evidence.source === 'operator')) return 'operator';
  return fault.class === 'link-silent' ? 'silence' : 'own-fault';
}

/**
 * The address of a primary interface of our own, by which the mesh knows this router: the same at each start, so it follows
 * from the card with the lowest universally administered address (IEEE 802, 8.2), else from the lowest configured one.
 */
function primaryMac({ links, settings }: Surroundings): Mac | null {
  const cards = [...links.values()].filter(({ kind, mac }) => kind === '' && mac !== '' && isUniversal(mac));
  const configured = [...links.values()].filter(
    ({ name, mac }) => settings.hardInterfaces.includes(name) && mac !== '',
  );
  const [lowest] = (cards.length > 0 ? cards : configured).map(({ mac }) => mac).sort();
  if (lowest === undefined) return null;
  const bytes = hash('sha256', `x0tta6bl4 ${settings.primary} ${lowest}`, 'buffer').subarray(0, 6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return macFromBytes(bytes);
}

function isUniversal(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 0x03) === 0;
}

function rehearsalId(fault: string): string {
  return `execute-${fault}`;
}

/** A plan whose kick was taken, and then not to be had: what is written from here on says so. */
function withoutKick(plan: Plan, refused: string): Plan {
  const alternatives = plan.alternatives.map((one) => (one.action === 'kick' ? { ...one, refused } : one));
  return { ...plan, alternatives };
}

/** Names the taking out of an interface, to the kernel and to the undo helper. */
function detachId(name: string): string {
  return `detach-${name}`;
}

function emit(event: MachineEvent): Effect {
  return { type: 'emit', event };
}

function log(level: 'debug' | 'info' | 'warning' | 'error', message: string, fields: Record<string, unknown>): Effect {
  return { type: 'log', level, message, fields };
}
