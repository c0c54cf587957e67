/**
 * This router, as all parts of its membership see it: its keys, what the mesh believes, what time it is, what is kept, and
 * what the turn that runs has brought about so far.
 */
import type { Level } from '../../core/effect.ts';
import { AgentError } from '../../core/errors.ts';
import type { Nanos } from '../../core/time.ts';
import { Calendar } from '../certificate/calendar.ts';
import { readCertificate } from '../certificate/certificate.ts';
import type { Tools } from '../certificate/tools.ts';
import { type Peer, type Refused, type TrustBundle, Verifier } from '../certificate/verify.ts';
import { fingerprint, openKeys, type RouterKeys, type RouterSecrets } from '../keys/router.ts';
import { Ledger } from '../ledger/ledger.ts';
import { type Gossip, writeGossip } from './gossip.ts';
import { Keeping } from './kept.ts';
import type { TrustEffect, TrustSettings } from './words.ts';

export class Router {
  readonly tools: Tools;
  readonly secrets: RouterSecrets;
  readonly keys: RouterKeys;
  /** Fingerprint of its identity key. */
  readonly key: string;
  readonly verifier: Verifier;
  readonly ledger: Ledger;
  readonly keeping: Keeping;
  settings: TrustSettings;
  calendar = new Calendar(0, 0);
  /** Of the turn that runs, or ran last. */
  now: Nanos = 0;
  #effects: TrustEffect[] = [];

  constructor(tools: Tools, secrets: RouterSecrets, settings: TrustSettings) {
    this.tools = tools;
    this.secrets = secrets;
    this.settings = settings;
    this.keys = openKeys(tools, secrets);
    this.key = fingerprint(this.keys.identity.publicKey);
    this.verifier = new Verifier(tools);
    this.ledger = new Ledger(tools, this.verifier);
    this.keeping = new Keeping(this.ledger, (effect) => this.effect(effect));
  }

  /** Milliseconds since 1970, as far as this router can know. */
  get wallMs(): number {
    return this.calendar.now(this.now);
  }

  /** The earliest that it can be: a clock that is ahead must not make this router forget who was revoked. */
  get leastMs(): number {
    return this.calendar.least(this.now);
  }

  /** Whether this is a steward at work: its certificate has not ended, for all that can be known. */
  isSteward(key: string): boolean {
    return this.ledger.isSteward(key, this.leastMs);
  }

  /** What `work` answers, with the effects that it has had. */
  turn<T>(now: Nanos, work: () => T): T & { effects: TrustEffect[] } {
    this.now = now;
    this.#effects = [];
    const answer = work();
    const effects = this.#effects;
    this.#effects = [];
    return { ...(answer as T & object), effects };
  }

  effect(effect: TrustEffect): void {
    this.#effects.push(effect);
  }

  /** Over the session with this key. */
  say(key: string, said: Gossip): void {
    this.effect({ type: 'send', key, bytes: writeGossip(said) });
  }

  log(level: Level, message: string, fields: Readonly<Record<string, unknown>>): void {
    this.effect({ type: 'log', level, message, fields });
  }

  believe(chain: readonly Uint8Array[], bundle: TrustBundle, graceMs: number, now = this.now): Peer | Refused {
    const verdict = this.verifier.verifyPeer(chain, bundle, this.ledger, this.calendar.now(now), graceMs);
    if (verdict.ok || verdict.reason !== 'not-yet-valid' || this.calendar.isSure) return verdict;
    // Both signatures hold, or it would have been refused for them: then it is our clock that is behind.
    const begun = Math.max(...chain.map((der) => readCertificate(der)?.notBefore ?? 0));
    const then = this.verifier.verifyPeer(chain, bundle, this.ledger, begun, graceMs);
    if (then.ok) this.calendar.witness(begun, now);
    return then;
  }

  /** What was damaged on flash must not keep the rest from working. */
  tolerate(what: string, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      this.log('warning', `${what} cannot be used`, { code: thrown.code, why: thrown.message });
    }
  }
}
