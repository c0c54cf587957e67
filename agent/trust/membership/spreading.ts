/**
 * How what is declared to all (ledger.ts) gets to all: who has a session says what it has, is sent what it lacks, and hands on
 * what is new to it. Part of the membership machine (membership.ts).
 */
import { type Nanos, NEVER, SECOND } from '../../core/time.ts';
import type { Loose } from '../ledger/item.ts';
import type { Taken } from '../ledger/ledger.ts';
import { readStatement } from '../ledger/statement.ts';
import { BARS } from './gossip.ts';
import type { Router } from './router.ts';
import type { Session, Sessions } from './sessions.ts';

/** All of it again would be a lot for a little. */
const ASKED_AGAIN: Nanos = 10 * SECOND;
/** Says again to all what it has: a message may have found its session full, and no revocation may be lost for that. */
const GREETED_AGAIN: Nanos = 300 * SECOND;
/** Items of one session that nobody could tell in good faith, before no more are looked at. */
const MOST_REFUSED = 16;
/** Bytes of items in one message. */
const ITEMS_AT_ONCE = 128 * 1024;

export interface Affected {
  /** Somebody may be believed no longer. */
  distrusted(): void;
  /** Something was declared that is new here. */
  declared(): void;
}

export class Spreading {
  readonly #router: Router;
  readonly #sessions: Sessions;
  readonly #affected: Affected;
  #greetAt: Nanos = NEVER;

  constructor(router: Router, sessions: Sessions, affected: Affected) {
    this.#router = router;
    this.#sessions = sessions;
    this.#affected = affected;
  }

  deadline(): Nanos {
    return this.#greetAt;
  }

  tick(): void {
    const { now } = this.#router;
    if (now < this.#greetAt) return;
    this.#greetAt = NEVER;
    for (const key of this.#sessions.keys()) this.greet(key);
  }

  greet(key: string): void {
    this.#greetAt = Math.min(this.#greetAt, this.#router.now + GREETED_AGAIN);
    this.#router.say(key, { type: 'have', hashes: [BARS, ...this.#router.ledger.items().map(({ hash }) => hash)] });
  }

  /** It has these, and asks for the rest. */
  asked(session: Session, theirs: ReadonlySet<string>): void {
    const { now, ledger } = this.#router;
    if (now < session.answerAt) return;
    session.answerAt = now + ASKED_AGAIN;
    const key = session.peer.fingerprint;
    let batch: Loose[] = [];
    let size = 0;
    for (const one of ledger.items()) {
      if (theirs.has(one.hash) || (isOfCredential(one) && !session.knowsBars)) continue;
      if (size + one.bytes.length > ITEMS_AT_ONCE) {
        this.#router.say(key, { type: 'items', items: batch });
        batch = [];
        size = 0;
      }
      batch.push(one);
      size += one.bytes.length;
    }
    if (batch.length > 0) this.#router.say(key, { type: 'items', items: batch });
  }

  heard(session: Session, items: readonly Loose[]): void {
    for (const one of items) {
      if (session.refused >= MOST_REFUSED) return;
      const outcome = this.take(one, session.peer.fingerprint);
      if (typeof outcome === 'string') continue;
      // Told in good faith by who has seen others than this router: for that alone nobody is to be deaf to the next revocation.
      if (outcome.isLie) session.refused += 1;
      this.#router.log(outcome.isLie ? 'warning' : 'debug', 'a statement of a neighbour does not hold', {
        from: session.peer.node,
        why: outcome.refused,
      });
    }
  }

  /** One more item, of somebody or by hand: kept, told on, and acted upon. */
  take(one: Loose, from: string | null): Taken {
    const { ledger, keeping, leastMs } = this.#router;
    const before = ledger.bundle;
    const outcome = ledger.take(one.kind, one.bytes, leastMs);
    if (outcome !== 'new') return outcome;
    keeping.items();
    const isBar = isOfCredential(one);
    const others = this.#sessions
      .keys()
      .filter((key) => key !== from && (!isBar || this.#sessions.get(key)?.knowsBars === true));
    this.#sessions.tell(others, { type: 'items', items: [one] });
    if (one.kind === 'bundle' && before !== ledger.bundle)
      this.#router.log('info', 'the trust bundle has changed', { sequence: ledger.bundle?.sequence ?? 0 });
    if (one.kind !== 'steward') this.#affected.distrusted();
    this.#affected.declared();
    return outcome;
  }
}

function isOfCredential({ kind, bytes }: Loose): boolean {
  const body = kind === 'revocation' ? readStatement(bytes)?.body.kind : undefined;
  return body === 'bar' || body === 'readmission';
}
