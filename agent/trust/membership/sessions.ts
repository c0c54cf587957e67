/**
 * With whom this router has a session, and how much each of them has asked of it. Part of the membership machine
 * (membership.ts).
 */
import { type Nanos, SECOND } from '../../core/time.ts';
import type { Peer } from '../certificate/verify.ts';
import type { Gossip } from './gossip.ts';
import type { Router } from './router.ts';

const MOST_SESSIONS = 1024;
/** Keys of the air that are taken of one session in a minute: each is told on to all others. */
const MOST_KEYS = 16;
const KEYS_FOR: Nanos = 60 * SECOND;

export interface Session {
  readonly peer: Peer;
  /** Items and messages of it that did not hold. */
  refused: number;
  /** When it may ask again for what this router has. */
  answerAt: Nanos;
  /** Keys of the air that it has handed on in the minute that ends then. */
  keys: number;
  keysUntil: Nanos;
  /** It has said that it knows bars of credentials. */
  knowsBars: boolean;
}

export class Sessions {
  readonly #router: Router;
  readonly #all = new Map<string, Session>();

  constructor(router: Router) {
    this.#router = router;
  }

  get size(): number {
    return this.#all.size;
  }

  has(key: string): boolean {
    return this.#all.has(key);
  }

  get(key: string): Session | undefined {
    return this.#all.get(key);
  }

  keys(): readonly string[] {
    return [...this.#all.keys()];
  }

  peers(): Peer[] {
    return [...this.#all.values()].map(({ peer }) => peer);
  }

  /** Keys of the stewards among them. */
  stewards(): string[] {
    return [...this.#all.keys()].filter((key) => this.#router.isSteward(key));
  }

  /** False where there are too many. */
  up(peer: Peer): boolean {
    if (this.#all.size >= MOST_SESSIONS && !this.#all.has(peer.fingerprint)) return false;
    const { now } = this.#router;
    const session = { peer, refused: 0, answerAt: now, keys: 0, keysUntil: now + KEYS_FOR, knowsBars: false };
    this.#all.set(peer.fingerprint, session);
    return true;
  }

  renewed(peer: Peer): void {
    const known = this.#all.get(peer.fingerprint);
    if (known !== undefined) this.#all.set(peer.fingerprint, { ...known, peer });
  }

  down(key: string): void {
    this.#all.delete(key);
  }

  /** Ends those that rest on somebody who is revoked. */
  endDistrusted(): void {
    const { ledger } = this.#router;
    const keys = this.peers()
      .filter(({ fingerprint, issuers }) => [fingerprint, ...issuers].some((key) => ledger.has(key)))
      .map(({ fingerprint }) => fingerprint);
    for (const key of keys) this.#all.delete(key);
    if (keys.length > 0) this.#router.effect({ type: 'distrust', keys });
  }

  tell(to: readonly string[], said: Gossip): void {
    for (const key of to) this.#router.say(key, said);
  }

  /** Whether one more key of the air is taken of it. */
  mayHandKey(session: Session): boolean {
    const { now } = this.#router;
    if (now >= session.keysUntil) Object.assign(session, { keys: 0, keysUntil: now + KEYS_FOR });
    session.keys += 1;
    return session.keys <= MOST_KEYS;
  }
}
