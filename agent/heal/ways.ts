/**
 * Word of ways between neighbours: questions and answers, retractions, withdrawals. All of it moves routes without waiting for
 * OGMs of the originator itself, which batman-adv sends once a second and needs five of (bat_iv_ogm.c).
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { OriginatorPath } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Alarm, KickReason } from '../core/words.ts';
import { ask } from './asking.ts';
import { Budget, SharedBudget } from './budget.ts';
import type { Earned } from './earned.ts';
import type { Kick } from './kick.ts';
import { announceOgm, type Ogm, parseOgms, rerouteOgm, restoreOgm, seqnoAhead, withdrawOgm } from './ogm.ts';
import { ASK_FIRST } from './repairs/urgent.ts';
import { keep, Retractions } from './retract.ts';
import { broken, fallen, neighboursOn, originatorAddress, type Surroundings, ways } from './surroundings.ts';
import { ANY } from './wire.ts';

/** OGMs of a kick under way that still come and turn round whoever hears them. */
const ENOUGH = 5;
/** Of a withdrawn OGM, or of one that takes its place: in a window of five, four leave a fifth of what was there. */
const COPIES = 4;
/** So long a way that comes back is said to be as good as it is; after that the window has filled by itself. */
const WITHDRAWN: Nanos = 4 * SECOND;
const MOST_WITHDRAWN = 50;
/**
 * A window of five is emptied by five newer ones of another way; the neighbour may have had the first of them already. Where the
 * first makes a row it does not count as seen in it (batadv_iv_ogm_update_seqnos comes before): it comes twice, else the
 * originator's own, still on its way over the dead link's other side, would be taken for new and turn the route back.
 */
const ANNOUNCEMENTS = [1, 1, 2, 3, 4, 5, 6];
/** An originator sends as many itself meanwhile. */
const ANNOUNCED: Nanos = 2 * SECOND;
const TQ_MAX = 255;
/** Originators that neighbours are answered for in a minute, for each kick that may be sent in it. */
const ANSWERS_A_KICK = 30;
const MOST_ASKED = 16;
/** An answer that comes later finds a neighbour that has gone on to stronger means. */
const READING: Nanos = 100 * MS;
/** Aggregation and the jitter of batman-adv hold an OGM back for less. */
const ON_THE_WAY: Nanos = 400 * MS;
const MOST_FORWARDED = 1024;

interface Announced {
  readonly ogm: Ogm;
  readonly until: Nanos;
  /** By which interfaces it was said. */
  readonly to: ReadonlySet<IfIndex>;
}

interface Question {
  readonly originators: readonly Mac[];
  readonly index: IfIndex;
  readonly neighbour: Mac;
  readonly at: Nanos;
}

export class Ways implements Machine {
  readonly name = 'ways';
  readonly #around: Surroundings;
  readonly #kick: Kick;
  readonly #earned: Earned;
  /** The last OGM of each other router that we forwarded. */
  readonly #forwarded = new Map<Mac, Ogm>();
  readonly #retractions: Retractions;
  /** Originators whose OGMs we withdrew: the number, and until when it matters. */
  readonly #withdrawn = new Map<Mac, { readonly seqno: number; readonly until: Nanos }>();
  /** Neighbours' questions, until the tables have been read. */
  #asked: readonly Question[] = [];
  /** What was forwarded last of an originator when a neighbour asked for it. */
  readonly #announced = new Map<Mac, Announced>();
  /** Neighbours, also with an originator, by which no way leads any more, and until when OGMs of theirs may still be on their way. */
  readonly #dead = new Map<string, Nanos>();
  /** Ways that are being turned, and when they should have been. */
  readonly #turning = new Map<Mac, Nanos>();
  #lookAt: Nanos = NEVER;
  /** Withdrawals are bounded like kicks, and answers by what they name. */
  readonly #withdrawals = new SharedBudget(() => this.#around.settings.kickBudget);
  readonly #answers = new Budget(() => this.answersAMinute);

  constructor(around: Surroundings, kick: Kick, earned: Earned) {
    this.#around = around;
    this.#kick = kick;
    this.#earned = earned;
    this.#retractions = new Retractions(around);
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'ogm-sent':
        return this.#learn(event.frame, now);
      case 'withdraw':
        for (const neighbour of event.by) keep(this.#dead, neighbour, now + ON_THE_WAY);
        return [
          ...this.#withdraw(event.originators, event.avoid, event.reason, now),
          ...this.#retract(this.#retractions.tell(event.stuck, now), event.avoid, event.reason),
        ];
      case 'alarm':
        return this.#heard(event.alarm, event.interface, event.source, now);
      case 'tables':
        return [...this.#answer(event.since ?? now, now), ...this.#look(now)];
      case 'tick':
        if (now < this.#lookAt) return [];
        this.#lookAt = NEVER;
        return [{ type: 'poll' }];
      case 'symptom':
        if (event.symptom.what === 'mesh-gone') this.#forwarded.clear();
        return [];
      case 'settings':
      case 'mode-asked':
        if (this.#around.settings.mode !== 'act') this.#rest();
        return [];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return this.#lookAt;
  }

  /** Originators that neighbours may still be answered for. */
  left(now: Nanos): number {
    return this.#answers.left(now);
  }

  get answersAMinute(): number {
    return this.#around.settings.kickBudget * ANSWERS_A_KICK;
  }

  /** Nothing is said any more of what was begun. */
  #rest(): void {
    for (const begun of [this.#withdrawn, this.#dead, this.#turning]) begun.clear();
    this.#asked = [];
    this.#lookAt = NEVER;
  }

  /** The newest OGM of another router that this one forwarded. */
  forwarded(originator: Mac): Ogm | undefined {
    return this.#forwarded.get(originator);
  }

  #learn(hex: string, now: Nanos): Effect[] {
    const self = originatorAddress(this.#around);
    const others = parseOgms(fromHex(hex)).filter(({ originator }) => originator !== self);
    return others.flatMap((ogm) => this.#other(ogm, now));
  }

  /** What an OGM is worth where we pass it on (batadv_hop_penalty). */
  #passed(tq: number): number {
    const hopPenalty = this.#around.tables?.mesh?.settings.hopPenalty ?? 0;
    return Math.floor((tq * (TQ_MAX - hopPenalty)) / TQ_MAX);
  }

  #other(ogm: Ogm, now: Nanos): Effect[] {
    this.#forwarded.delete(ogm.originator);
    this.#forwarded.set(ogm.originator, ogm);
    if (this.#forwarded.size > MOST_FORWARDED) this.#forwarded.delete(this.#forwarded.keys().next().value!);
    if ([ogm.previous, `${ogm.previous} ${ogm.originator}`].some((dead) => now <= (this.#dead.get(dead) ?? -1))) {
      // It came before its way was gone, and the kernel had it in its queue: whoever hears it would believe in that way again.
      const way = this.#retractions.wayFor(ogm.originator, 0, '', now);
      if (way?.tq != null) {
        const [tq, { neighbour, interface: index }] = [this.#passed(way.tq), way];
        // Whom we go by now takes nothing that he has said himself: to him there is no way by us (poisoned reverse, RFC 2453, 3.4.3).
        const others = ways(this.#around, [index]).map((link) => link.index);
        return [
          ...this.#repeat([ogm], (one, source) => rerouteOgm(one, tq, neighbour, source), [index]),
          ...this.#repeat([ogm], withdrawOgm, others),
        ];
      }
      keep(this.#withdrawn, ogm.originator, { seqno: ogm.seqno, until: now + WITHDRAWN });
      return this.#repeat([ogm], withdrawOgm, []);
    }
    const withdrawn = this.#withdrawn.get(ogm.originator);
    if (withdrawn === undefined || seqnoAhead(ogm.seqno, withdrawn.seqno) <= 0) return [];
    this.#withdrawn.delete(ogm.originator);
    return now > withdrawn.until ? [] : this.#repeat([ogm], restoreOgm, []);
  }

  /** Their OGMs as we forwarded them last, worth next to nothing. */
  #withdraw(originators: readonly Mac[], avoid: readonly IfIndex[], reason: KickReason, now: Nanos): Effect[] {
    const known = originators.slice(0, MOST_WITHDRAWN).flatMap((originator) => this.#forwarded.get(originator) ?? []);
    if (known.length === 0 || !this.#withdrawals.take(reason, now)) return [];
    for (const { originator, seqno } of known) keep(this.#withdrawn, originator, { seqno, until: now + WITHDRAWN });
    return [...this.#repeat(known, withdrawOgm, avoid), ...this.#unsay(known, avoid)];
  }

  /** Who was answered has newer numbers from us than we forwarded: only the newest of these is taken back. */
  #unsay(ogms: readonly Ogm[], avoid: readonly IfIndex[]): Effect[] {
    const frames = ogms.flatMap((ogm) => {
      const said = this.#announced.get(ogm.originator);
      const newest = said === undefined ? ogm.seqno : said.ogm.seqno + ANNOUNCEMENTS.at(-1)!;
      if (said === undefined || seqnoAhead(newest, ogm.seqno) <= 0) return [];
      return ways(this.#around, avoid)
        .filter(({ index }) => said.to.has(index))
        .flatMap(({ index, mac }) => {
          const frame = { interface: index, frame: toHex(withdrawOgm(ogm, mac, newest)) };
          return Array.from({ length: COPIES }, () => frame);
        });
    });
    return frames.length === 0 ? [] : [{ type: 'send', frames }, counted(frames.length)];
  }

  /** Into the neighbours' windows of five. */
  #repeat(ogms: readonly Ogm[], as: (ogm: Ogm, source: Mac) => Uint8Array, avoid: readonly IfIndex[]): Effect[] {
    const links = [...ways(this.#around), ...fallen(this.#around)].filter(({ index }) => !avoid.includes(index));
    const frames = ogms.flatMap((ogm) =>
      links.flatMap((link) => {
        const frame = { interface: link.index, frame: toHex(as(ogm, link.mac)) };
        return Array.from({ length: COPIES }, () => frame);
      }),
    );
    return frames.length === 0 ? [] : [{ type: 'send', frames }, counted(frames.length)];
  }

  #heard({ kind, affected, near, far }: Alarm, index: IfIndex, neighbour: Mac, now: Nanos): Effect[] {
    if (this.#around.settings.mode !== 'act' || !this.#earned.acts('remote-alarm')) return [];
    if (kind === 'way-lost') return this.#wayLost(affected, index, neighbour, now);
    if (kind === 'link-down') return this.#otherEnd(near, far, index, now);
    const isAsked = kind === 'way-asked' && far === this.#around.links.get(index)?.mac;
    if (!isAsked || this.#asked.length >= MOST_ASKED) return [];
    this.#asked = [...this.#asked, { originators: affected, index, neighbour, at: now }];
    return [{ type: 'poll' }];
  }

  /**
   * A neighbour has lost its own ways, and by us there are others: the OGMs that these originators will send next, as we would
   * pass them on, to it alone. Their own with the same numbers then count as heard (and a kick of theirs goes beyond).
   */
  #announce(originators: readonly Mac[], index: IfIndex, neighbour: Mac, now: Nanos): Effect[] {
    const source = this.#around.links.get(index)?.mac;
    // Whoever else hears it would give up ways of its own for ours, which may lead by it.
    const isShared = neighboursOn(this.#around, index).some((other) => other !== neighbour);
    if (source === undefined || isShared) return [];
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const originator of originators) {
      const forwarded = this.#forwarded.get(originator);
      const way = this.#retractions.wayFor(originator, index, neighbour, now);
      if (forwarded === undefined || way?.tq == null) continue;
      // Whoever else asks gets the same numbers: the originator's own must not fall further behind.
      const known = this.#announced.get(originator);
      const { ogm, until } =
        known !== undefined && now < known.until ? known : { ogm: forwarded, until: now + ANNOUNCED };
      // Said there already: the same numbers would move nothing.
      if (known?.ogm === ogm && known.to.has(index)) continue;
      if (!this.#answers.take(now)) break;
      const to = new Set([...(known?.ogm === ogm ? known.to : []), index]);
      keep(this.#announced, originator, { ogm, until, to });
      const tq = this.#passed(way.tq);
      for (const n of ANNOUNCEMENTS)
        frames.push({
          interface: index,
          frame: toHex(announceOgm(ogm, ogm.seqno + n, tq, way.neighbour, source)),
        });
    }
    return frames.length === 0 ? [] : [{ type: 'send', frames }, counted(frames.length)];
  }

  /**
   * Who asks has lost its own ways. Those of ours that go by it are turned as well; without that we would send its packets back,
   * so it is answered by tables that are not older than the question.
   */
  #answer(since: Nanos, now: Nanos): Effect[] {
    const asked = this.#asked.filter(({ at }) => at <= since && now <= at + READING);
    this.#asked = this.#asked.filter(({ at }) => at > since);
    for (const { originators, neighbour } of asked)
      for (const originator of originators) keep(this.#dead, `${neighbour} ${originator}`, now + ON_THE_WAY);
    return asked.flatMap(({ originators, index, neighbour }) => [
      ...this.#turn(this.#retractions.take(originators, index, neighbour, now), now),
      ...this.#announce(originators, index, neighbour, now),
    ]);
  }

  /** Ways that went by a neighbour that has none any more: others are asked for, and it is looked at what came of it. */
  #turn(gone: readonly { readonly originator: Mac; readonly by: OriginatorPath | null }[], now: Nanos): Effect[] {
    const turning = gone.filter(({ by }) => by !== null);
    if (turning.length === 0) return [];
    for (const { originator } of turning) keep(this.#turning, originator, now + ASK_FIRST);
    this.#lookAt = Math.min(this.#lookAt, now + ASK_FIRST);
    return ask(this.#around, turning, 'remote-alarm');
  }

  /** Where one still goes by that neighbour, packets circle: then the originators themselves have to kick. */
  #look(now: Nanos): Effect[] {
    const due = [...this.#turning].filter(([, at]) => now >= at).map(([originator]) => originator);
    for (const originator of due) this.#turning.delete(originator);
    this.#lookAt = Math.min(...this.#turning.values(), NEVER);
    const affected = due.filter((originator) => this.#retractions.isStuck(originator, now));
    const near = originatorAddress(this.#around);
    if (affected.length === 0 || near === null) return [];
    const hops = this.#around.settings.alarmHops;
    const alarm = { kind: 'kick', near, far: ANY, affected, hops } as const;
    return [emit({ type: 'raise-alarm', reason: 'remote-alarm', alarm, avoid: [] })];
  }

  /** The far end of a link of ours says that it is gone, where this end still has a carrier: our ways by it are gone too. */
  #otherEnd(near: Mac, far: Mac, by: IfIndex, now: Nanos): Effect[] {
    const link = ways(this.#around).find((one) => one.mac === far && one.index !== by);
    if (link === undefined) return [];
    const lost = broken(this.#around, link.index, near);
    const stuck = lost.filter(({ other }) => other !== 'good').map(({ originator }) => originator);
    return [
      ...ask(this.#around, lost, 'remote-alarm'),
      ...this.#withdraw(stuck, [], 'remote-alarm', now),
      ...this.#retract(this.#retractions.tell(stuck, now), [], 'remote-alarm'),
    ];
  }

  /** A neighbour has no way any more to some originators: who went by it and has no other either says so in its turn. */
  #wayLost(originators: readonly Mac[], index: IfIndex, neighbour: Mac, now: Nanos): Effect[] {
    const gone = this.#retractions.take(originators, index, neighbour, now);
    for (const originator of originators) keep(this.#dead, `${neighbour} ${originator}`, now + ON_THE_WAY);
    const effects = [
      // What was poisoned here is left only when the other neighbour is heard again.
      ...this.#turn(gone, now),
      ...this.#announce(originators, index, neighbour, now),
    ];
    const lost = gone.filter(({ by }) => by === null).map(({ originator }) => originator);
    const told = this.#retractions.tell(lost, now);
    if (told.length === 0) return effects;
    // Who shares a radio with that neighbour may hear only us.
    const avoid = neighboursOn(this.#around, index).length > 1 ? [] : [index];
    // To whom we went by it, they came to us by it: our own OGMs are what turns them round.
    if (this.#kick.coming < ENOUGH)
      effects.push(emit({ type: 'kick', reason: 'remote-alarm', fault: `way-lost ${neighbour}`, avoid: [] }));
    return [
      ...this.#withdraw(told, avoid, 'remote-alarm', now),
      ...this.#retract(told, avoid, 'remote-alarm'),
      ...effects,
    ];
  }

  #retract(affected: readonly Mac[], avoid: readonly IfIndex[], reason: KickReason): Effect[] {
    if (affected.length === 0) return [];
    return [
      { type: 'metric', name: 'ways_retracted_total', labels: {}, value: affected.length },
      emit({ type: 'raise-alarm', reason, alarm: { kind: 'way-lost', near: ANY, far: ANY, affected, hops: 1 }, avoid }),
    ];
  }
}

function counted(frames: number): Effect {
  return { type: 'metric', name: 'kick_frames_total', labels: {}, value: frames };
}

function emit(event: Extract<Effect, { type: 'emit' }>['event']): Effect {
  return { type: 'emit', event };
}
