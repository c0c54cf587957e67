/**
 * This router's own joining: attempts, each a conversation (join/messages.ts) with whichever steward answers, until one lets
 * it in, or the time is over. Part of the membership machine (membership.ts).
 */
import { AgentError } from '../../core/errors.ts';
import { type Nanos, NEVER, SECOND } from '../../core/time.ts';
import { readCertificate } from '../certificate/certificate.ts';
import type { Prover } from '../join/attest.ts';
import { type Admission, isJoinMessage, Joiner, type Rejection } from '../join/messages.ts';
import type { Loose } from '../ledger/item.ts';
import { type Patience, waitOf } from './retry.ts';
import type { Router } from './router.ts';

const PATIENCE: Patience = { first: 5 * SECOND, longest: 20 * SECOND };
/** Between two attempts, whatever chances there are. */
const LEAST_RETRY: Nanos = 2 * SECOND;
const GIVE_UP: Nanos = 900 * SECOND;
const RENEWAL_GIVE_UP: Nanos = 30 * SECOND;
const UNKNOWN_TRIES = 4;

/** What it has of the other parts. */
export interface Way {
  send(bytes: Uint8Array, attempt: number): void;
  /** The mesh that it has joined, and what is believed there. */
  joined(items: readonly Loose[]): void;
  /** Takes its certificate into use; false where it is not what it should be. */
  replace(salt: Uint8Array, chain: readonly Uint8Array[]): boolean;
}

interface Attempts {
  readonly prover: Prover;
  readonly anchor: string;
  /** By the former certificate, where no session can be had with it. */
  readonly isRenewal: boolean;
  readonly began: Nanos;
  joiner: Joiner;
  attempt: number;
  tried: Nanos;
  next: Nanos;
}

export class Joining {
  readonly #router: Router;
  readonly #way: Way;
  #now: Attempts | null = null;
  /** What became of the last one, in words; '' where there is nothing to say. */
  trouble = '';

  constructor(router: Router, way: Way) {
    this.#router = router;
    this.#way = way;
  }

  get isUnderWay(): boolean {
    return this.#now !== null;
  }

  /** By what a person has given it. */
  get isAskedFor(): boolean {
    return this.#now?.isRenewal === false;
  }

  deadline(): Nanos {
    return this.#now?.next ?? NEVER;
  }

  tick(): void {
    if (this.#router.now >= this.deadline()) this.#again();
  }

  begin(prover: Prover, anchor: string, isRenewal: boolean): void {
    const now = this.#router.now;
    this.#now = {
      prover,
      anchor,
      isRenewal,
      began: now,
      joiner: this.#joiner(prover),
      attempt: 0,
      tried: now,
      next: now,
    };
    this.trouble = '';
    this.#again();
  }

  /** Somebody is heard who may let it in. */
  chance(): void {
    if (this.#now !== null && this.#router.now - this.#now.tried >= LEAST_RETRY) this.#again();
  }

  answered(bytes: Uint8Array): void {
    const now = this.#now;
    if (now === null) return;
    try {
      if (isJoinMessage(bytes, 2)) {
        const request = now.joiner.request(bytes, (chain) => this.#believeSteward(chain));
        this.#way.send(request, now.attempt);
      } else if (isJoinMessage(bytes, 4)) {
        this.#decided(now, now.joiner.answer(bytes));
      }
    } catch (thrown) {
      // Anybody can send such bytes: the attempt goes on, and ends by its time.
      if (!(thrown instanceof AgentError)) throw thrown;
      this.trouble = thrown.message;
      const { code, message } = thrown;
      this.#router.log('debug', 'an answer to the joining does not hold', { code, why: message });
    }
  }

  #again(): void {
    const now = this.#now!;
    const at = this.#router.now;
    if (at - now.began > (now.isRenewal ? RENEWAL_GIVE_UP : GIVE_UP)) {
      this.#now = null;
      if (!now.isRenewal) this.#failed('no steward answered');
      return;
    }
    if (now.attempt > 0) now.joiner = this.#joiner(now.prover);
    now.attempt += 1;
    now.tried = at;
    now.next = at + waitOf(PATIENCE, now.attempt - 1);
    this.#way.send(now.joiner.hello, now.attempt);
  }

  #joiner(prover: Prover): Joiner {
    const { tools, secrets, keys } = this.#router;
    return new Joiner(tools, secrets, prover, keys);
  }

  /**
   * A steward's agreement key out of the chain that it shows. Who joins for the first time has no bundle yet: it proves
   * only what an impostor cannot use, and looks at everything when the answer has brought the bundle.
   */
  #believeSteward(chain: readonly Uint8Array[]): { readonly agreement: Uint8Array } {
    const { ledger, settings } = this.#router;
    if (ledger.bundle !== null) {
      const verdict = this.#router.believe(chain, ledger.bundle, settings.graceMs);
      if (verdict.ok) return verdict.keys;
      // The owner's key may have changed meanwhile: the answer brings what was signed since, one after the other.
      if (verdict.reason !== 'unknown-issuer')
        throw new AgentError('E_SVID', `who answered is no steward: ${verdict.message}`);
    }
    const bound = readCertificate(chain[0] ?? new Uint8Array(0))?.bound;
    if (bound == null) throw new AgentError('E_SVID', 'who answered has no certificate of a mesh');
    return bound;
  }

  #decided(now: Attempts, answer: Admission | Rejection): void {
    const router = this.#router;
    const { ledger, keeping, calendar } = router;
    if (!answer.ok) {
      // 'busy' and what ends with time is tried again; the rest is said to a person.
      this.trouble = `${answer.reason}: ${answer.message}`;
      if (['busy', 'expired', 'not-a-steward', 'name-taken'].includes(answer.reason)) return;
      // Another steward may know the invitation, or this one in a moment.
      if (answer.reason === 'unknown' && now.attempt < UNKNOWN_TRIES) return;
      this.#now = null;
      if (now.isRenewal) router.log('warning', 'the certificate could not be renewed', { why: this.trouble });
      else this.#failed(this.trouble);
      return;
    }
    if (ledger.bundle === null || !now.isRenewal) {
      const newest = answer.items.filter(({ kind }) => kind === 'bundle').at(-1);
      if (newest === undefined) throw new AgentError('E_SVID', 'the answer has no trust bundle');
      ledger.found(newest.bytes, now.anchor);
      keeping.items();
    }
    this.#way.joined(answer.items);
    this.#now = null;
    this.trouble = '';
    // Fresh, since it is bound to our own nonce.
    const leaf = readCertificate(answer.chain[0] ?? new Uint8Array(0));
    if (leaf !== null && router.believe(answer.chain, ledger.bundle!, 0).ok)
      calendar.confirm(leaf.notBefore, router.now);
    keeping.floor(router.wallMs);
    if (!this.#way.replace(now.joiner.salt, answer.chain)) this.#failed('the certificate is not believed');
  }

  #failed(why: string): void {
    this.trouble = why;
    this.#router.log('error', 'this router could not join the mesh', { why });
  }
}
