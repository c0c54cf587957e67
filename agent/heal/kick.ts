/**
 * The kick: this router's own next OGMs, sent at once instead of one a second, so that the others' windows fill and
 * their routes move (batman-adv, bat_iv_ogm.c: a dead path's TQ falls to nothing after five newer OGMs came another way).
 *
 * Aggregation, which would hold every forwarded OGM back by 100 ms, is off for as long as kicks are about.
 * Afterwards the kernel's own number is behind ours by as many as we sent: its OGMs count as duplicates, and nothing
 * would move for those seconds. We follow up for it until it has caught up; a kick in that time goes on from the highest.
 */
import type { Effect } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Link } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, toMs } from '../core/time.ts';
import type { KickReason } from '../core/words.ts';
import { Budget } from './budget.ts';
import type { Knowledge } from './knowledge.ts';
import { continueOgm, type Ogm, parseOgms, seqnoAhead, withdrawOgm } from './ogm.ts';
import { isPrimary, originatorAddress, type Surroundings, usable } from './surroundings.ts';

/** How long after our last frame others' OGMs may still be on their way through us: aggregation stays off so long. */
const LINGER: Nanos = 400 * MS;
const AGGREGATION = 'kick-aggregation';
/** OGMs of a kick that go out at its spacing; each further one waits longer than the one before it by this factor. */
const TOGETHER = 3;
const SLOWING = 1.5;
/** OGM intervals between two of our OGMs while the kernel's number is behind ours. */
const FOLLOW_UP = 1.5;
/** Copies of a withdrawn OGM: of a window of five, four leave a fifth of what the way was worth. */
const WITHDRAWALS = 4;
/**
 * BATMAN_V has no window to fill: one newer OGM by another way is enough once the old way is withdrawn, and all that
 * the kernel's own number lags behind holds back what V learns from OGMs.
 */
const MOST_V = 2;
const MOST_WITHDRAWN = 50;
const MOST_FORWARDED = 1024;

export class Kick implements Machine {
  readonly name = 'kick';
  readonly #around: Surroundings;
  readonly #knowledge: Knowledge;
  #ogm: Ogm | null = null;
  /** The last OGM of each other router that we forwarded. */
  readonly #forwarded = new Map<Mac, Ogm>();
  #highest: number | null = null;
  #budget: Budget | null = null;
  #left = 0;
  /** OGMs sent since the last request. */
  #count = 0;
  #sent = 0;
  #next: Nanos = NEVER;
  /** The faults that the kick under way serves. */
  #faults: string[] = [];
  #avoid: ReadonlySet<IfIndex> = new Set();
  #quiet: 'untouched' | 'off' = 'untouched';
  #restoreAt: Nanos = NEVER;
  #follow: Nanos = NEVER;

  constructor(around: Surroundings, knowledge: Knowledge) {
    this.#around = around;
    this.#knowledge = knowledge;
  }

  on(event: Event, now: Nanos): Effect[] {
    switch (event.type) {
      case 'ogm-sent':
        this.#learn(event.frame);
        return [];
      case 'tables':
        if (this.#quiet === 'untouched' && event.tables.mesh !== null) {
          this.#knowledge.aggregation = event.tables.mesh.settings.aggregatedOgms;
        }
        return [];
      case 'kick':
        return this.#begin(event.reason, event.fault, event.avoid, now);
      case 'withdraw':
        return this.#withdraw(event.originators, event.avoid, now);
      case 'clear-way':
        this.#restoreAt = Math.max(this.#restoreAt === NEVER ? 0 : this.#restoreAt, now + LINGER);
        return this.#stopAggregation();
      case 'tick':
        return this.#tick(now);
      case 'symptom':
        // A new bat0 counts from a new number, and its settings are its own.
        return event.symptom.what === 'mesh-gone' ? this.#forget() : [];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return Math.min(this.#next, this.#restoreAt, this.#follow);
  }

  /** Kicks that the budget still allows. */
  left(now: Nanos): number {
    return this.#budget?.left(now) ?? this.#around.settings.kickBudget;
  }

  #learn(hex: string): void {
    const { settings, lastMesh } = this.#around;
    const self = originatorAddress(this.#around);
    for (const ogm of parseOgms(fromHex(hex), lastMesh?.algorithm ?? settings.algorithm)) {
      if (ogm.originator === self) this.#own(ogm);
      else this.#other(ogm);
    }
  }

  /**
   * While the kernel's own number is behind, nobody learns anything new from it. So we go on for it, a little slower than
   * it counts: routes stay alive, and it catches up within a minute.
   */
  #followUp(now: Nanos): Effect[] {
    const behind = this.#ogm === null || this.#highest === null ? 0 : seqnoAhead(this.#highest, this.#ogm.seqno);
    if (behind <= 0 || this.#around.settings.mode !== 'act') {
      this.#follow = NEVER;
      return [];
    }
    this.#follow = now + this.#followEvery();
    return [{ type: 'send', frames: this.#nextOgm(new Set()) }];
  }

  #followEvery(): Nanos {
    return FOLLOW_UP * (this.#around.lastMesh?.settings.origInterval ?? 1000) * MS;
  }

  /** This router's next OGM, once for each hard interface. */
  #nextOgm(avoid: ReadonlySet<IfIndex>): { interface: IfIndex; frame: string }[] {
    const seqno = (this.#highest! + 1) >>> 0;
    this.#highest = seqno;
    return this.#ways(avoid).map((link) => ({
      interface: link.index,
      frame: toHex(continueOgm(this.#ogm!, seqno, link.mac)),
    }));
  }

  #own(ogm: Ogm): void {
    if (this.#ogm !== null && this.#ogm.originator !== ogm.originator) this.#highest = null;
    this.#ogm = ogm;
    if (this.#highest === null || seqnoAhead(ogm.seqno, this.#highest) > 0) this.#highest = ogm.seqno;
    // A counter that fell far behind was begun anew (the primary interface was attached again).
    else if (seqnoAhead(ogm.seqno, this.#highest) < -64) this.#highest = ogm.seqno;
  }

  #other(ogm: Ogm): void {
    this.#forwarded.delete(ogm.originator);
    this.#forwarded.set(ogm.originator, ogm);
    if (this.#forwarded.size > MOST_FORWARDED) this.#forwarded.delete(this.#forwarded.keys().next().value!);
  }

  /** Comes before a kick, and goes when the budget has one left; the kick then takes it. */
  #withdraw(originators: readonly Mac[], avoid: readonly IfIndex[], now: Nanos): Effect[] {
    if (this.left(now) < 1) return [];
    const ways = this.#ways(new Set(avoid));
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const originator of originators.slice(0, MOST_WITHDRAWN)) {
      const ogm = this.#forwarded.get(originator);
      if (ogm === undefined) continue;
      const copies = ogm.algorithm === 'BATMAN_IV' ? WITHDRAWALS : 1;
      for (const link of ways) {
        const frame = toHex(withdrawOgm(ogm, link.mac));
        for (let copy = 0; copy < copies; copy++) frames.push({ interface: link.index, frame });
      }
    }
    if (frames.length === 0) return [];
    return [
      { type: 'send', frames },
      { type: 'metric', name: 'kick_frames_total', labels: {}, value: frames.length },
    ];
  }

  /** Usable hard interfaces, without the primary one that reaches nobody. */
  #ways(avoid: ReadonlySet<IfIndex>): Link[] {
    return usable(this.#around).filter((link) => !isPrimary(this.#around, link.name) && !avoid.has(link.index));
  }

  #begin(reason: KickReason, fault: string, avoid: readonly IfIndex[], now: Nanos): Effect[] {
    const { settings } = this.#around;
    this.#budget ??= new Budget(settings.kickBudget, now);
    this.#budget.perMinute = settings.kickBudget;
    if (this.#ogm === null) return [done(fault, 0, 'this router has sent no OGM of its own yet')];
    const ways = this.#ways(new Set(avoid));
    if (ways.length === 0) return [done(fault, 0, 'no usable hard interface is left')];
    if (!this.#budget.take(now)) {
      return [done(fault, 0, `the budget of ${settings.kickBudget} kicks a minute is used up`)];
    }
    // A kick under way serves this fault too: what is still missing to a whole one is added.
    this.#left = this.#ogm.algorithm === 'BATMAN_V' ? Math.min(MOST_V, settings.kickCount) : settings.kickCount;
    this.#count = 0;
    this.#sent = this.#next === NEVER ? 0 : this.#sent;
    this.#faults.push(fault);
    this.#avoid = new Set([...(this.#next === NEVER ? [] : this.#avoid), ...avoid]);
    this.#next = now;
    const log: Effect = {
      type: 'log',
      level: 'info',
      message: `kick: ${settings.kickCount} OGMs, ${toMs(settings.kickSpacingNs)} ms apart, on ${ways.map((link) => link.name).join(' ')}`,
      fields: { reason, fault },
    };
    return [...this.#stopAggregation(), ...this.#send(now), log];
  }

  #tick(now: Nanos): Effect[] {
    const effects: Effect[] = [];
    if (now >= this.#next) effects.push(...this.#send(now));
    if (now >= this.#follow) effects.push(...this.#followUp(now));
    if (now >= this.#restoreAt && this.#next === NEVER) effects.push(...this.#restoreAggregation());
    return effects;
  }

  #send(now: Nanos): Effect[] {
    const { settings } = this.#around;
    const frames = this.#nextOgm(this.#avoid);
    this.#sent += frames.length;
    this.#left -= 1;
    this.#count += 1;
    const count = this.#count;
    // The first few repair nearly everything; the later ones, for long ways round, come ever slower.
    this.#next = this.#left > 0 ? now + settings.kickSpacingNs * SLOWING ** Math.max(0, count - TOGETHER) : NEVER;
    this.#restoreAt = now + LINGER;
    this.#follow = now + this.#followEvery();
    const effects: Effect[] = [{ type: 'send', frames }];
    if (count === TOGETHER || (this.#left === 0 && count < TOGETHER))
      effects.push(...this.#faults.map((fault) => emit({ type: 'proceed', fault })));
    if (this.#left === 0) {
      effects.push({ type: 'metric', name: 'kick_frames_total', labels: {}, value: this.#sent });
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

  #stopAggregation(): Effect[] {
    if (this.#quiet === 'off' || this.#knowledge.aggregation !== true) return [];
    this.#quiet = 'off';
    const mesh = this.#around.settings.meshInterface;
    return [
      {
        type: 'change',
        id: AGGREGATION,
        change: { kind: 'set-mesh', mesh, settings: { aggregatedOgms: false } },
        undo: { kind: 'set-mesh', mesh, settings: { aggregatedOgms: true } },
      },
    ];
  }

  #restoreAggregation(): Effect[] {
    this.#restoreAt = NEVER;
    if (this.#quiet === 'untouched') return [];
    this.#quiet = 'untouched';
    const mesh = this.#around.settings.meshInterface;
    const change = { kind: 'set-mesh', mesh, settings: { aggregatedOgms: true } } as const;
    return [
      { type: 'change', id: `${AGGREGATION}-back`, change, undo: null },
      { type: 'disarm', id: AGGREGATION },
    ];
  }

  #forget(): Effect[] {
    this.#ogm = null;
    this.#highest = null;
    this.#next = NEVER;
    this.#faults = [];
    this.#forwarded.clear();
    this.#follow = NEVER;
    this.#restoreAt = NEVER;
    if (this.#quiet === 'untouched') return [];
    this.#quiet = 'untouched';
    return [{ type: 'disarm', id: AGGREGATION }];
  }
}

function emit(event: Extract<Effect, { type: 'emit' }>['event']): Effect {
  return { type: 'emit', event };
}

function done(fault: string, frames: number, refused: string | null): Effect {
  return { type: 'emit', event: { type: 'kick-done', fault, frames, refused } };
}
