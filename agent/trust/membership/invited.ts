/**
 * When a steward's invitations are written, which are a file of their own and go into it as a whole. Flash wears, and others have
 * a say in how many there are. Part of the membership machine (membership.ts).
 */
import { type Nanos, NEVER, SECOND } from '../../core/time.ts';
import type { Invitations } from '../join/invitation.ts';
import type { Router } from './router.ts';

/** What others tell is collected so long: they tell it again to who has forgotten it. */
const WITHIN: Nanos = 600 * SECOND;
/** Invitations, of some 160 bytes, that may be written at once and in a day; and how many of them a file costs by itself. */
const BURST = 4096;
const DAILY = 13_000;
const FILE = 32;
const DAY: Nanos = 86_400 * SECOND;

export class KeptInvitations {
  readonly #router: Router;
  readonly #invitations: Invitations;
  #at: Nanos = NEVER;
  #credit = BURST;
  #creditAt: Nanos = 0;

  constructor(router: Router, invitations: Invitations) {
    this.#router = router;
    this.#invitations = invitations;
  }

  deadline(): Nanos {
    return this.#at;
  }

  now(): void {
    this.#at = this.#router.now;
    this.tick();
  }

  later(): void {
    this.#at = Math.min(this.#at, this.#router.now + WITHIN);
  }

  tick(): void {
    const { now } = this.#router;
    if (now < this.#at) return;
    this.#credit = Math.min(BURST, this.#credit + ((now - this.#creditAt) / DAY) * DAILY);
    this.#creditAt = now;
    const invited = this.#invitations.all();
    const cost = FILE + invited.length;
    if (cost > this.#credit) {
      this.#at = now + Math.ceil(((cost - this.#credit) / DAILY) * DAY);
      return;
    }
    this.#credit -= cost;
    this.#at = NEVER;
    this.#router.effect({ type: 'keep-invitations', invited });
  }
}
