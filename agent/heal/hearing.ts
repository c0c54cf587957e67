/**
 * One neighbour, by ear: when its silence counts. What is usual on a link decides how many OGMs in a row may be missing,
 * and a neighbour that runs the agent is asked as soon as the second is overdue: questions that go unanswered, too, make
 * its silence count sooner, and only together with it.
 */
import type { Neighbour } from '../core/kernel.ts';
import { MS, type Nanos, NEVER } from '../core/time.ts';
import { Missed, repeated } from './missed.ts';

/**
 * A neighbour that was silent for so long and came back may be so again: its OGMs are rarer than ours. Twice its longest
 * silence is unusual; that is forgotten slowly, and never taken for longer than this.
 */
const UNUSUAL = 2;
const FORGETTING = 0.999;
const LONGEST_USUAL_MS = 30_000;
/** A reading reaches us a little later than it was made: what it calls heard just after a loss was heard before. */
const READING_TAKES: Nanos = 200 * MS;

/** By chance, on a link that is whole, no oftener than once in ten million OGMs. */
const CHANCE = 1e-7;
const MOST_MISSED = 8;
/** So many more where its agent has answered meanwhile. */
const ALIVE = 2;

/** Overdue, in intervals; where more are missing than that its OGMs are rarer than ours, and it is not asked each time. */
const OVERDUE = 1.4;
const MOST_LOSS = 0.4;
const PACE: Nanos = 100 * MS;
const FEWEST_ASKED = 4;
const MOST_ASKED = 12;
/** An answer takes four times the usual round trip at most, within these. */
const SLOWER = 4;
const QUICKEST: Nanos = 150 * MS;
const SLOWEST: Nanos = 1000 * MS;
/** A tick that comes so late was held up, and answers with it: it is asked anew. */
const HELD_UP: Nanos = 500 * MS;
/** Two ordinary echoes in a row that are lost: its agent has ended. */
const ENDED = 2;

/**
 * A neighbour that appeared so many OGMs ago has not settled: radios come and go while they begin. Nor has one that was
 * silent a minute ago: at the edge of what a radio reaches that is how it always is.
 */
const SETTLED = 15;
const SETTLED_AGAIN = 60;

export class Hearing {
  row: Neighbour;
  /** Not heard for so long, as far as we could hear. */
  #silentMs = 0;
  silent = false;
  usualMs = 0;
  /** Our radio has dropped it: nothing heard before that counts. */
  goneAt: Nanos = 0;
  /** Frames to it were not acknowledged, and how many in a row. */
  unheardAt: Nanos = 0;
  unheard = 0;
  readonly #missed = new Missed();
  /** It has answered, and not left ENDED echoes in a row unanswered. */
  #answers = false;
  #lost = 0;
  #rttNs: Nanos = 0;
  /** Questions of this doubt, all unanswered; the next one, or the verdict. */
  #asked = 0;
  #next: Nanos = NEVER;
  #unanswered = false;
  /** It has answered since its last OGM. */
  #isAlive = false;

  /** Until then it has not settled. */
  #youngUntil: Nanos;

  constructor(row: Neighbour, everyMs: number, now: Nanos) {
    this.row = row;
    this.#youngUntil = now + SETTLED * everyMs * MS;
  }

  isYoung(now: Nanos): boolean {
    return now < this.#youngUntil;
  }

  get isAsked(): boolean {
    return this.#next !== NEVER;
  }

  /** The next question, or the end of the last one's patience. */
  get deadline(): Nanos {
    return this.#next;
  }

  /** The last questions went unanswered: how many. */
  get unanswered(): number {
    return this.#unanswered ? this.#asked : 0;
  }

  /** A reading of the tables; `everyMs`: between two signs of life; `stoodStillMs`: of the time since the last one, we. */
  read(row: Neighbour, everyMs: number, now: Nanos, stoodStillMs: number): void {
    const heardAnew = row.lastSeenMs < this.row.lastSeenMs;
    if (heardAnew) {
      this.usualMs = Math.min(LONGEST_USUAL_MS, Math.max(this.#silentMs, this.usualMs * FORGETTING));
      // It is alive, so its agent is not.
      if (this.#unanswered) this.#answers = false;
      this.trust();
      this.#isAlive = false;
    }
    this.row = row;
    this.#silentMs = row.lastSeenMs - stoodStillMs;
    if (this.silent) {
      this.#missed.silent();
      return;
    }
    if (heardAnew) this.#missed.heard();
    this.#missed.read(this.#silentMs, everyMs, now);
  }

  /** Its silence is over. */
  heardAgain(everyMs: number, now: Nanos): void {
    this.silent = false;
    this.#youngUntil = now + SETTLED_AGAIN * everyMs * MS;
  }

  /** It answered. */
  answered(rttNs: Nanos): void {
    this.#answers = true;
    this.#lost = 0;
    this.#rttNs = Math.max(rttNs, 0.9 * this.#rttNs);
    this.#isAlive ||= this.isAsked;
    this.trust();
  }

  /** An ordinary echo was lost. */
  lost(): void {
    this.#lost += 1;
    if (this.#lost >= ENDED && this.#next === NEVER) this.#answers = false;
  }

  /** Is it time to ask? `everyMs` as above. */
  doubts(everyMs: number, now: Nanos): boolean {
    if (
      !this.#answers ||
      this.silent ||
      this.isYoung(now) ||
      this.isAsked ||
      this.#unanswered ||
      this.#missed.loss() > MOST_LOSS
    )
      return false;
    return this.row.lastSeenMs > OVERDUE * everyMs;
  }

  /** The first question is due. */
  begin(now: Nanos): void {
    this.#next = now;
  }

  /** At the deadline: asks, or has asked enough. */
  ask(now: Nanos): 'ask' | 'enough' {
    if (now - this.#next > HELD_UP) this.#asked = 0;
    const enough = this.#asked >= this.#questions();
    if (enough) {
      this.#unanswered = true;
      this.#next = NEVER;
      return 'enough';
    }
    this.#asked += 1;
    const isLast = this.#asked >= this.#questions();
    this.#next = now + (isLast ? Math.min(SLOWEST, Math.max(QUICKEST, SLOWER * this.#rttNs)) : PACE);
    return 'ask';
  }

  /** No doubt, or none any more. */
  trust(): void {
    this.#asked = 0;
    this.#next = NEVER;
    this.#unanswered = false;
  }

  /** So many OGMs in a row may be missing: more are no chance. */
  missable(fewest: number, now: Nanos): number {
    if (this.isYoung(now)) return MOST_MISSED;
    return Math.min(
      MOST_MISSED,
      repeated(this.#missed.loss(), CHANCE, fewest, MOST_MISSED) + (this.#isAlive ? ALIVE : 0),
    );
  }

  /** Is it silent, where `slowMs` without a word are too long, and `soonMs` where frames to it are not answered either? */
  isSilent(slowMs: number, soonMs: number, now: Nanos): boolean {
    const slow = Math.max(slowMs, UNUSUAL * this.usualMs);
    const isSure = (this.isUnheard(now) || this.#unanswered) && !this.isYoung(now);
    const limit = isSure ? Math.min(slow, soonMs) : slow;
    const isGone = this.#before(this.goneAt, now);
    if (!isGone) this.goneAt = 0;
    return this.#silentMs > limit || (isGone && !this.isYoung(now));
  }

  /** Frames to it were not acknowledged, and it was not heard since. */
  isUnheard(now: Nanos): boolean {
    return this.#before(this.unheardAt, now);
  }

  #before(at: Nanos, now: Nanos): boolean {
    return at > 0 && now - this.row.lastSeenMs * MS <= at + READING_TAKES;
  }

  /** As many as it takes that chance alone does not leave them unanswered, beside two missing OGMs. */
  #questions(): number {
    const loss = this.#missed.loss();
    return repeated(1 - (1 - loss) * (1 - loss), CHANCE / (loss * loss), FEWEST_ASKED, MOST_ASKED);
  }
}
