/**
 * Other routers' joinings: a steward answers them, another router passes them on to one (relay.ts). Part of the membership
 * machine (membership.ts).
 */
import type { Credential } from '../certificate/credential.ts';
import { isJoinMessage } from '../join/messages.ts';
import type { Budgets } from './budget.ts';
import { Relay } from './relay.ts';
import type { Router } from './router.ts';
import type { Sessions } from './sessions.ts';
import type { Stewardship } from './stewardship.ts';

/** Where a message came from that no member passed on. */
const AIR = 'air';

/** What it has of the other parts. */
export interface Household {
  readonly sessions: Sessions;
  readonly stewardship: Stewardship;
  readonly budgets: Budgets;
  /** What this router shows. */
  credential(): Credential | null;
}

export class Callers {
  readonly #router: Router;
  readonly #household: Household;
  readonly #relay: Relay;

  constructor(router: Router, household: Household) {
    this.#router = router;
    this.#household = household;
    this.#relay = new Relay(Number.parseInt(router.key.slice(0, 6), 16));
  }

  /** One that nobody passed on. */
  asked(conversation: string, bytes: Uint8Array): void {
    this.#asked(conversation, AIR, bytes);
  }

  /** Over the session with `key`: to a steward, or a steward's answer back. */
  relayed(key: string, token: number, bytes: Uint8Array): void {
    const { now } = this.#router;
    if (this.#household.stewardship.authority !== null) {
      this.#asked(`${key} ${token}`, key, bytes);
      return;
    }
    const conversation = this.#router.isSteward(key) ? this.#relay.back(key, token, bytes, now) : null;
    if (conversation !== null) this.send(conversation, bytes, 0);
  }

  /** There is a session with a steward: some have waited for that. */
  stewardCame(): void {
    const waited = this.#relay.unpark(this.#router.now);
    for (const { conversation, bytes } of waited) this.#asked(conversation, AIR, bytes);
  }

  send(conversation: string, bytes: Uint8Array, attempt: number): void {
    const [key = '', token] = conversation.split(' ');
    if (token !== undefined && this.#household.sessions.has(key))
      this.#router.say(key, { type: 'relay', token: Number(token), bytes });
    else this.#router.effect({ type: 'join-send', conversation, bytes, attempt });
  }

  #asked(conversation: string, source: string, bytes: Uint8Array): void {
    const { now, ledger } = this.#router;
    const { sessions, stewardship, budgets, credential } = this.#household;
    const mine = credential();
    if (!isJoinMessage(bytes, 1) && !isJoinMessage(bytes, 3)) return;
    if (mine === null || !budgets.take(source, now)) return;
    if (stewardship.authority !== null) {
      const answer = stewardship.joining(bytes, mine);
      if (answer !== null) this.send(conversation, answer, 0);
      return;
    }
    // Passed on once only: who relays has a session with a steward.
    if (source !== AIR) return;
    const to = this.#relay.pass(conversation, bytes, sessions.stewards(), now);
    if (to === null) this.#router.effect({ type: 'reach', stewards: ledger.stewards() });
    else this.#router.say(to.steward, { type: 'relay', token: to.token, bytes });
  }
}
