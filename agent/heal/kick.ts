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
import type { IfIndex } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { power } from '../core/math.ts';
import { MS, type Nanos, NEVER, SECOND, toMs } from '../core/time.ts';
import type { KickReason } from '../core/words.ts';
import { SharedBudget } from './budget.ts';
import { Loan } from './loan.ts';
import { continueOgm, type Ogm, parseOgms, seqnoAhead } from './ogm.ts';
import { originatorAddress, type Surroundings, ways } from './surroundings.ts';

/** How long after our last frame others' OGMs may still be on their way through us: aggregation stays off so long. */
const LINGER: Nanos = 400 * MS;
/** The kernel's OGM interval while it catches up, in milliseconds. Its minimum is 40. */
const CATCH_UP_MS = 50;
/** From its first OGM on, a spell of short intervals never lasts longer than this: it is time for all we may be ahead. */
const LONGEST_CATCH_UP: Nanos = 5 * SECOND;
/** OGMs of a kick that go out at its spacing; each further one waits longer than the one before it by this factor. */
const TOGETHER = 3;
const SLOWING = 1.5;
const LONGEST_SPACING: Nanos = 200 * MS;
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
  /** The highest number sent, by the kernel or by us. */
  #highest = 0;
  readonly #budget = new SharedBudget(() => this.#around.settings.kickBudget);
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
        return this.#learn(event.frame);
      case 'kick':
        return this.#begin(event.reason, event.fault, event.avoid, now);
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
    return this.#budget.left(now);
  }

  /** OGMs of a kick under way that are still to come. */
  get coming(): number {
    return this.#next === NEVER ? 0 : this.#left;
  }

  #learn(hex: string): Effect[] {
    const self = originatorAddress(this.#around);
    for (const ogm of parseOgms(fromHex(hex))) if (ogm.originator === self && !ogm.continued) this.#own(ogm);
    return this.#behind() <= 0 && this.#interval.isOut ? this.#restoreInterval() : [];
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

  #begin(reason: KickReason, fault: string, avoid: readonly IfIndex[], now: Nanos): Effect[] {
    const { settings } = this.#around;
    if (settings.mode !== 'act') return [done(fault, 0, `${settings.mode} mode`)];
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
    if (!this.#budget.take(reason, now))
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
    this.#quietUntil = NEVER;
    this.#catchUpUntil = NEVER;
    return [...this.#aggregation.forget(), ...this.#interval.forget(), ...this.#stop('the mesh interface is gone')];
  }
}

function counted(frames: number): Effect {
  return { type: 'metric', name: 'kick_frames_total', labels: {}, value: frames };
}

function done(fault: string, frames: number, refused: string | null): Effect {
  return { type: 'emit', event: { type: 'kick-done', fault, frames, refused } };
}
