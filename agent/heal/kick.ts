/**
 * The kick: this router's own next OGMs, sent at once instead of one a second, so that the others' windows fill and
 * their routes move (batman-adv, bat_iv_ogm.c: a dead path's TQ falls to nothing after five newer OGMs came another way).
 *
 * Two settings of the mesh are borrowed meanwhile. Aggregation, which would hold every forwarded OGM back by 100 ms, is
 * off for as long as kicks are about. And since the kernel's own number is then behind ours by as many as we sent, and its
 * OGMs count as duplicates until it has caught up, it counts faster until it has; one in that time goes on from the highest.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { power } from '../core/math.ts';
import { MS, type Nanos, NEVER, SECOND, toMs } from '../core/time.ts';
import type { Alarm, KickReason } from '../core/words.ts';
import { ask } from './asking.ts';
import { Budget } from './budget.ts';
import { Loan } from './loan.ts';
import { announceOgm, continueOgm, type Ogm, parseOgms, restoreOgm, seqnoAhead, withdrawOgm } from './ogm.ts';
import { keep, Retractions } from './retract.ts';
import { broken, fallen, neighboursOn, originatorAddress, type Surroundings, ways } from './surroundings.ts';
import { ANY } from './wire.ts';

/** How long after our last frame others' OGMs may still be on their way through us: aggregation stays off so long. */
const LINGER: Nanos = 400 * MS;
/** The kernel's OGM interval while it catches up, in milliseconds. Its minimum is 40. */
const CATCH_UP_MS = 50;
/** From its first OGM on, a spell of short intervals never lasts longer than this: it is time for all we may be ahead. */
const LONGEST_CATCH_UP: Nanos = 5 * SECOND;
/** OGMs of a kick that go out at its spacing; each further one waits longer than the one before it by this factor. */
const TOGETHER = 3;
const SLOWING = 1.5;
/** OGMs of a kick under way that still come and turn round whoever hears them. */
const ENOUGH = 5;
const LONGEST_SPACING: Nanos = 200 * MS;
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
const MOST_ASKED = 16;
/** An answer that comes later finds a neighbour that has gone on to stronger means. */
const READING: Nanos = 100 * MS;
const MOST_FORWARDED = 1024;
/**
 * How far our numbers may be ahead of the kernel's. Receivers take a number that is more than 64 behind the newest for
 * that of a router begun anew, and then nothing at all for 30 s (batadv_window_protected, TQ_LOCAL_WINDOW_SIZE).
 */
const MOST_AHEAD = 48;
/** Where its interval cannot be shortened, it takes a second for each of these. */
const MOST_AHEAD_ALONE = 12;
/** The kernel's numbers follow one another. A step further than this is a new beginning: another primary interface. */
const LARGEST_STEP = 64;

export class Kick implements Machine {
  readonly name = 'kick';
  readonly #around: Surroundings;
  readonly #aggregation: Loan<'aggregatedOgms'>;
  readonly #interval: Loan<'origInterval'>;
  /** The kernel's last own OGM. */
  #ogm: Ogm | null = null;
  /** The last OGM of each other router that we forwarded. */
  readonly #forwarded = new Map<Mac, Ogm>();
  readonly #retractions: Retractions;
  /** Originators whose OGMs we withdrew: the number, and until when it matters. */
  readonly #withdrawn = new Map<Mac, { readonly seqno: number; readonly until: Nanos }>();
  /** Neighbours' questions, until the tables have been read. */
  readonly #asked: { originators: readonly Mac[]; index: IfIndex; neighbour: Mac; until: Nanos }[] = [];
  /** What was forwarded last of an originator when a neighbour asked for it. */
  readonly #announced = new Map<Mac, { readonly ogm: Ogm; readonly until: Nanos }>();
  /** The highest number sent, by the kernel or by us. */
  #highest = 0;
  /** All kicks, and of these the ones that others may cause: our own interfaces' faults always find some left. */
  #budget: Budget | null = null;
  #othersBudget: Budget | null = null;
  #begunAt: Nanos = -1;
  #left = 0;
  /** OGMs sent since the last request. */
  #count = 0;
  #sent = 0;
  #next: Nanos = NEVER;
  /** The faults that the kick under way serves. */
  #faults: string[] = [];
  #avoid: ReadonlySet<IfIndex> = new Set();
  #quietUntil: Nanos = NEVER;
  #catchUpUntil: Nanos = NEVER;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#retractions = new Retractions(around);
    this.#aggregation = new Loan(around, 'aggregatedOgms', false);
    // Where the agent ends first the kernel still catches up: behind its own OGMs it would be worse off than without us.
    this.#interval = new Loan(
      around,
      'origInterval',
      CATCH_UP_MS,
      (originalMs) => (originalMs + MOST_AHEAD * CATCH_UP_MS) * MS,
    );
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'ogm-sent':
        return this.#learn(event.frame, now);
      case 'kick':
        return this.#begin(event.reason, event.fault, event.avoid, now);
      case 'withdraw':
        return [
          ...this.#withdraw(event.originators, event.avoid, now),
          ...this.#retract(this.#retractions.tell(event.stuck, now), event.avoid),
        ];
      case 'alarm':
        return this.#heard(event.alarm, event.interface, event.source, now);
      case 'tables':
        return this.#answer(now);
      case 'clear-way':
        this.#quietUntil = Math.max(this.#quietUntil === NEVER ? 0 : this.#quietUntil, now + LINGER);
        return this.#aggregation.take();
      case 'settings':
      case 'mode-asked':
        return this.#around.settings.mode === 'act' ? [] : this.#stop('healing was turned off');
      case 'tick':
        return this.#tick(now);
      case 'change-done':
        return [
          ...this.#aggregation.done(event.id, event.error, now),
          ...this.#interval.done(event.id, event.error, now),
        ];
      case 'mesh-settings':
        return event.interface === this.#around.settings.meshInterface
          ? [...this.#aggregation.seen(event.settings), ...this.#interval.seen(event.settings)]
          : [];
      case 'symptom':
        // A new bat0 counts from a new number, and its settings are its own.
        return event.symptom.what === 'mesh-gone' ? this.#forget() : [];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return Math.min(
      this.#next,
      this.#quietUntil,
      this.#catchUpUntil,
      this.#aggregation.deadline(),
      this.#interval.deadline(),
    );
  }

  /** The kernel has not caught up with the last kick, and is given short intervals for it. */
  get isCatchingUp(): boolean {
    return this.#interval.isOut;
  }

  /** Kicks that the budget still allows. */
  left(now: Nanos): number {
    return this.#budget?.left(now) ?? this.#around.settings.kickBudget;
  }

  /** The newest OGM of another router that this one forwarded. */
  forwarded(originator: Mac): Ogm | undefined {
    return this.#forwarded.get(originator);
  }

  #learn(hex: string, now: Nanos): Effect[] {
    const self = originatorAddress(this.#around);
    const effects: Effect[] = [];
    for (const ogm of parseOgms(fromHex(hex))) {
      if (ogm.originator !== self) effects.push(...this.#other(ogm, now));
      else if (!ogm.continued) this.#own(ogm);
    }
    if (this.#behind() <= 0 && this.#interval.isOut) effects.push(...this.#restoreInterval());
    return effects;
  }

  #own(ogm: Ogm): void {
    const step = this.#ogm?.originator === ogm.originator ? seqnoAhead(ogm.seqno, this.#ogm.seqno) : LARGEST_STEP;
    this.#ogm = ogm;
    const isNew = step < 0 || step >= LARGEST_STEP;
    if (isNew || seqnoAhead(ogm.seqno, this.#highest) > 0) this.#highest = ogm.seqno;
  }

  /** OGMs that may still be sent before the kernel has caught up. */
  #room(): number {
    return (this.#interval.works ? MOST_AHEAD : MOST_AHEAD_ALONE) - this.#behind();
  }

  /** By how much the kernel's number is behind the highest sent. */
  #behind(): number {
    return this.#ogm === null ? 0 : seqnoAhead(this.#highest, this.#ogm.seqno);
  }

  #other(ogm: Ogm, now: Nanos): Effect[] {
    this.#forwarded.delete(ogm.originator);
    this.#forwarded.set(ogm.originator, ogm);
    if (this.#forwarded.size > MOST_FORWARDED) this.#forwarded.delete(this.#forwarded.keys().next().value!);
    const withdrawn = this.#withdrawn.get(ogm.originator);
    if (withdrawn === undefined || seqnoAhead(ogm.seqno, withdrawn.seqno) <= 0) return [];
    this.#withdrawn.delete(ogm.originator);
    return now > withdrawn.until ? [] : this.#repeat([ogm], restoreOgm, []);
  }

  /** Comes before a kick, and goes when the budget has one left; the kick then takes it. */
  #withdraw(originators: readonly Mac[], avoid: readonly IfIndex[], now: Nanos): Effect[] {
    return this.left(now) < 1 || this.#room() < TOGETHER ? [] : this.#poison(originators, avoid, now);
  }

  /** Their OGMs as we forwarded them last, worth next to nothing. */
  #poison(originators: readonly Mac[], avoid: readonly IfIndex[], now: Nanos): Effect[] {
    const known = originators.slice(0, MOST_WITHDRAWN).flatMap((originator) => this.#forwarded.get(originator) ?? []);
    for (const { originator, seqno } of known) keep(this.#withdrawn, originator, { seqno, until: now + WITHDRAWN });
    return this.#repeat(known, withdrawOgm, avoid);
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
    if (this.#around.settings.mode !== 'act') return [];
    if (kind === 'way-lost') return this.#wayLost(affected, index, neighbour, now);
    if (kind === 'link-down') return this.#otherEnd(near, far, index, now);
    const isAsked = kind === 'way-asked' && far === this.#around.links.get(index)?.mac;
    if (!isAsked || this.#asked.length >= MOST_ASKED) return [];
    this.#asked.push({ originators: affected, index, neighbour, until: now + READING });
    return [{ type: 'poll' }];
  }

  /**
   * A neighbour has lost its own ways, and by us there are others: the OGMs that these originators will send next, as we would
   * pass them on, to it alone. Their own with the same numbers then count as heard (and a kick of theirs goes beyond).
   */
  #announce(originators: readonly Mac[], index: IfIndex, neighbour: Mac, now: Nanos): Effect[] {
    const source = this.#around.links.get(index)!.mac;
    const hopPenalty = this.#around.tables?.mesh?.settings.hopPenalty ?? 0;
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const originator of originators.slice(0, MOST_WITHDRAWN)) {
      const forwarded = this.#forwarded.get(originator);
      const way = this.#retractions.wayFor(originator, index, neighbour, now);
      if (forwarded === undefined || way?.tq == null) continue;
      // Whoever else asks gets the same numbers: the originator's own must not fall further behind.
      const known = this.#announced.get(originator);
      const { ogm, until } =
        known !== undefined && now < known.until ? known : { ogm: forwarded, until: now + ANNOUNCED };
      keep(this.#announced, originator, { ogm, until });
      const tq = Math.floor((way.tq * (TQ_MAX - hopPenalty)) / TQ_MAX);
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
  #answer(now: Nanos): Effect[] {
    const asked = this.#asked.splice(0).filter(({ until }) => now <= until);
    return asked.flatMap(({ originators, index, neighbour }) => [
      ...ask(this.#around, this.#retractions.take(originators, index, neighbour, now)),
      ...this.#announce(originators, index, neighbour, now),
    ]);
  }

  /** The far end of a link of ours says that it is gone, where this end still has a carrier: our ways by it are gone too. */
  #otherEnd(near: Mac, far: Mac, by: IfIndex, now: Nanos): Effect[] {
    const link = ways(this.#around).find((one) => one.mac === far && one.index !== by);
    if (link === undefined) return [];
    const lost = broken(this.#around, link.index, near);
    const stuck = lost.filter(({ other }) => other !== 'good').map(({ originator }) => originator);
    return [
      ...ask(this.#around, lost),
      ...this.#withdraw(stuck, [], now),
      ...this.#retract(this.#retractions.tell(stuck, now), []),
    ];
  }

  /** A neighbour has no way any more to some originators: who went by it and has no other either says so in its turn. */
  #wayLost(originators: readonly Mac[], index: IfIndex, neighbour: Mac, now: Nanos): Effect[] {
    const gone = this.#retractions.take(originators, index, neighbour, now);
    const effects = [
      // What was poisoned here is left only when the other neighbour is heard again.
      ...ask(this.#around, gone),
      ...this.#announce(originators, index, neighbour, now),
    ];
    const lost = gone.filter(({ by }) => by === null).map(({ originator }) => originator);
    const told = this.#retractions.tell(lost, now);
    if (told.length === 0) return effects;
    // Who shares a radio with that neighbour may hear only us.
    const avoid = neighboursOn(this.#around, index).length > 1 ? [] : [index];
    // To whom we went by it, they came to us by it: our own OGMs are what turns them round.
    const kick = this.#left >= ENOUGH ? [] : this.#begin('remote-alarm', `way-lost ${neighbour}`, [], now);
    return [...effects, ...this.#poison(told, avoid, now), ...this.#retract(told, avoid), ...kick];
  }

  #retract(affected: readonly Mac[], avoid: readonly IfIndex[]): Effect[] {
    if (affected.length === 0) return [];
    return [
      { type: 'metric', name: 'ways_retracted_total', labels: {}, value: affected.length },
      emit({ type: 'raise-alarm', alarm: { kind: 'way-lost', near: ANY, far: ANY, affected, hops: 1 }, avoid }),
    ];
  }

  #begin(reason: KickReason, fault: string, avoid: readonly IfIndex[], now: Nanos): Effect[] {
    const { settings } = this.#around;
    if (this.#ogm === null) return [done(fault, 0, 'this router has sent no OGM of its own yet')];
    const links = ways(this.#around, avoid);
    if (links.length === 0) return [done(fault, 0, 'no usable hard interface is left')];
    const isRunning = this.#next !== NEVER;
    if (isRunning && this.#begunAt === now) {
      // What breaks in one instant is served by one kick.
      this.#faults.push(fault);
      this.#avoid = new Set([...this.#avoid, ...avoid]);
      return [];
    }
    const room = this.#room();
    if (room < TOGETHER)
      return [done(fault, 0, `the kernel's OGMs are ${this.#behind()} behind: further ones would not be believed`)];
    if (!this.#afford(reason, now))
      return [done(fault, 0, `the budget of ${settings.kickBudget} kicks a minute is used up`)];
    // A kick under way serves this fault too: what is still missing to a whole one is added.
    this.#begunAt = now;
    this.#left = Math.min(room, settings.kickCount);
    this.#count = 0;
    this.#sent = isRunning ? this.#sent : 0;
    this.#faults.push(fault);
    this.#avoid = new Set([...(isRunning ? this.#avoid : []), ...avoid]);
    const log: Effect = {
      type: 'log',
      level: 'info',
      message: `kick: ${this.#left} OGMs, ${toMs(settings.kickSpacingNs)} ms apart, on ${links.map((link) => link.name).join(' ')}`,
      fields: { reason, fault },
    };
    return [...this.#aggregation.take(), ...this.#send(now), ...this.#interval.take(), log];
  }

  #afford(reason: KickReason, now: Nanos): boolean {
    const { kickBudget } = this.#around.settings;
    this.#budget ??= new Budget(kickBudget);
    const others = Math.max(1, kickBudget / 2);
    this.#othersBudget ??= new Budget(others);
    this.#budget.perMinute = kickBudget;
    this.#othersBudget.perMinute = others;
    if (this.#budget.left(now) < 1) return false;
    if ((reason === 'remote-alarm' || reason === 'silence') && !this.#othersBudget.take(now)) return false;
    return this.#budget.take(now);
  }

  #tick(now: Nanos): Effect[] {
    const effects = [...this.#aggregation.tick(now), ...this.#interval.tick(now)];
    if (now >= this.#next) effects.push(...this.#send(now));
    if (now >= this.#quietUntil && this.#next === NEVER) {
      this.#quietUntil = NEVER;
      effects.push(...this.#aggregation.giveBack());
    }
    if (now >= this.#catchUpUntil) effects.push(...this.#restoreInterval());
    return effects;
  }

  #restoreInterval(): Effect[] {
    // The kick is not over while it still adds to what the kernel has to catch up with.
    if (this.#next !== NEVER) return [];
    this.#catchUpUntil = NEVER;
    return this.#interval.giveBack();
  }

  /** This router's next OGM, once for each hard interface. */
  #send(now: Nanos): Effect[] {
    const { settings } = this.#around;
    const links = ways(this.#around, this.#avoid);
    // Where no interface is left in the middle of a kick, no number is used up.
    const seqno = (this.#highest + 1) >>> 0;
    if (links.length > 0) this.#highest = seqno;
    const frames = links.map((link) => ({
      interface: link.index,
      frame: toHex(continueOgm(this.#ogm!, seqno, link.mac)),
    }));
    this.#sent += frames.length;
    this.#left -= 1;
    this.#count += 1;
    const count = this.#count;
    // The first few repair nearly everything; the later ones, for long ways round, come ever slower.
    const spacing = Math.min(LONGEST_SPACING, settings.kickSpacingNs * power(SLOWING, count - TOGETHER));
    this.#next = this.#left > 0 ? now + spacing : NEVER;
    this.#quietUntil = now + LINGER;
    // The OGM that is scheduled already is up to a whole interval away.
    this.#catchUpUntil = now + LONGEST_CATCH_UP + (this.#around.lastMesh?.settings.origInterval ?? 0) * MS;
    const effects: Effect[] = [{ type: 'send', frames }, counted(frames.length)];
    if (this.#left === 0) {
      effects.push({
        type: 'log',
        level: 'debug',
        message: 'kick sent',
        fields: { frames: this.#sent, seqno: this.#highest },
      });
      effects.push(...this.#faults.map((fault) => done(fault, this.#sent, null)));
      this.#sent = 0;
      this.#faults = [];
    }
    return effects;
  }

  /** A kick under way ends here; what is lent goes back in its time. */
  #stop(why: string): Effect[] {
    const faults = this.#faults;
    this.#next = NEVER;
    this.#faults = [];
    return faults.map((fault) => done(fault, this.#sent, why));
  }

  #forget(): Effect[] {
    this.#ogm = null;
    this.#forwarded.clear();
    this.#quietUntil = NEVER;
    this.#catchUpUntil = NEVER;
    return [...this.#aggregation.forget(), ...this.#interval.forget(), ...this.#stop('the mesh interface is gone')];
  }
}

function counted(frames: number): Effect {
  return { type: 'metric', name: 'kick_frames_total', labels: {}, value: frames };
}

function emit(event: Extract<Effect, { type: 'emit' }>['event']): Effect {
  return { type: 'emit', event };
}

function done(fault: string, frames: number, refused: string | null): Effect {
  return { type: 'emit', event: { type: 'kick-done', fault, frames, refused } };
}
