/**
 * This router's own certificate: in use, renewed at half of its life, and what is said and done when nobody renews it. Part
 * of the membership machine (membership.ts).
 */
import { AgentError } from '../../core/errors.ts';
import { MS, type Nanos, NEVER, SECOND } from '../../core/time.ts';
import { readCertificate } from '../certificate/certificate.ts';
import { type Credential, credential, leafKey } from '../certificate/credential.ts';
import { type Authority, issueRouter } from '../certificate/issue.ts';
import { fingerprint, nodeOfKey } from '../keys/router.ts';
import type { Gossip } from './gossip.ts';
import { type Patience, waitOf } from './retry.ts';
import type { Router } from './router.ts';
import type { TrustView } from './words.ts';

const ANSWER_TIME: Nanos = 10 * SECOND;
const PATIENCE: Patience = { first: 30 * SECOND, longest: 600 * SECOND };
/** The least time between two renewals. */
const LEAST_LIFE: Nanos = 60 * SECOND;
const WARN_EVERY: Nanos = 3600 * SECOND;

/** What it has of the other parts. */
export interface Around {
  /** null where this router is no steward. */
  steward(): Authority | null;
  /** Keys of the stewards that there is a session with. */
  stewards(): readonly string[];
  /** As a steward, it has issued its own. */
  issued(chain: readonly Uint8Array[]): void;
  /** No session can be had with a certificate that nobody believes: by the way that who joins takes. */
  renewByJoining(mine: Credential): void;
}

interface Renewal {
  readonly salt: Uint8Array;
  readonly steward: string;
  readonly until: Nanos;
}

export class OwnCertificate {
  readonly #router: Router;
  readonly #around: Around;
  #credential: Credential | null = null;
  #renewal: Renewal | null = null;
  #renewAt: Nanos = NEVER;
  /** When the certificate in use came. */
  #renewedAt: Nanos = Number.NEGATIVE_INFINITY;
  /** Since the last one that came. */
  #failures = 0;
  #warnAt: Nanos = NEVER;

  constructor(router: Router, around: Around) {
    this.#router = router;
    this.#around = around;
  }

  /** null while this router has none. */
  get credential(): Credential | null {
    return this.#credential;
  }

  /** The name that this router goes by: of its certificate, as a steward of the owner's word, else of its key. */
  nodeName(): string {
    const { key, keys, ledger } = this.#router;
    const own = ledger.certificateOf(key);
    return (
      this.#credential?.id.split('/').at(-1) ??
      (own === null ? null : readCertificate(own)?.commonName) ??
      nodeOfKey(keys.identity.publicKey)
    );
  }

  deadline(): Nanos {
    return Math.min(this.#renewAt, this.#renewal?.until ?? NEVER, this.#warnAt);
  }

  tick(): void {
    const { now } = this.#router;
    if (now >= (this.#renewal?.until ?? NEVER)) this.#failed('the steward did not answer');
    if (now >= this.#renewAt) this.#renew();
    if (now >= this.#warnAt) this.#warn();
  }

  /** One that was kept: shown from now on. Throws E_SVID where it is not for these keys. */
  load(salt: Uint8Array, chain: readonly Uint8Array[]): void {
    const { tools, secrets, keys } = this.#router;
    this.#show(credential(tools, secrets, salt, chain, keys));
  }

  /** When it is to be renewed: at half of its life, each router a little differently. */
  plan(): void {
    const mine = this.#credential;
    if (mine === null || this.#renewal !== null) return;
    const { key, now, calendar } = this.#router;
    const life = mine.notAfter - mine.notBefore;
    const spread = (Number.parseInt(key.slice(0, 4), 16) / 0xffff) * (life / 8);
    const due = mine.notBefore + life / 2 + spread;
    // What nears its issuer's end gets ever shorter certificates: then not ever more often.
    const wait = Math.max(0, (due - calendar.now(now)) * MS, this.#renewedAt + LEAST_LIFE - now);
    const isVoid = this.#isVoid(mine);
    const earliest = this.#renewAt === NEVER ? now : Math.min(this.#renewAt, now + wait);
    this.#renewAt = isVoid || wait === 0 ? Math.max(now, earliest) : now + wait;
    const isOrphan = this.graceMs(now) > 0;
    if (isOrphan && this.#warnAt === NEVER) this.#warnAt = now;
    if (!isOrphan) this.#warnAt = NEVER;
  }

  /** Takes a new one into use, if it is what it should be. */
  replace(salt: Uint8Array, chain: readonly Uint8Array[]): boolean {
    const router = this.#router;
    const { tools, secrets, keys, ledger, keeping, now } = router;
    try {
      const mine = credential(tools, secrets, salt, chain, keys);
      const verdict = router.believe(chain, ledger.bundle!, 0);
      if (!verdict.ok) throw new AgentError('E_SVID', verdict.message);
      // A router that nobody believes any more comes by a new invitation, and that may have another name.
      if (this.#credential !== null && mine.id !== this.#credential.id && this.state(router.wallMs) !== 'ended')
        throw new AgentError('E_SVID', `it is for ${mine.id}`);
      keeping.own([salt, ...chain]);
      this.#show(mine);
      this.#renewAt = NEVER;
      this.#renewedAt = now;
      this.plan();
      const ends = new Date(mine.notAfter).toISOString();
      router.log('info', 'a new certificate is in use', { id: mine.id, ends });
      return true;
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      this.#warning('the new certificate is not believed', thrown.message);
      return false;
    }
  }

  /** As a steward: issues its own. */
  renewBy(by: Authority): void {
    const { tools, secrets, keys, wallMs, settings } = this.#router;
    const salt = tools.random(16);
    const { spki } = leafKey(tools, secrets.identity, salt);
    const one = {
      node: this.nodeName(),
      spki,
      identity: keys.identity.publicKey,
      agreement: keys.agreement.publicKey,
    };
    const chain = issueRouter(tools, by, one, { wallMs, lifeMs: settings.lifeMs });
    if (this.replace(salt, chain)) this.#around.issued(chain);
    else this.#again();
  }

  /** What a steward has answered. */
  renewed({ chain, reason, message, timeMs }: Gossip & { type: 'renewed' }, from: string): void {
    const renewal = this.#renewal;
    if (renewal?.steward !== from) return;
    if (chain.length === 0) {
      this.#failed(`${reason}: ${message}`);
      return;
    }
    this.#renewal = null;
    const { calendar, ledger, verifier, now } = this.#router;
    // A time at which its own answer does not hold is no time: else it could set a clock to when nobody is believed any more.
    if (ledger.bundle !== null && verifier.verifyPeer(chain, ledger.bundle, ledger, timeMs).ok) {
      calendar.confirm(timeMs, now);
      this.#keepFloor();
    }
    if (!this.replace(renewal.salt, chain)) this.#again();
  }

  /** A session with a steward stands: one was waited for. */
  stewardCame(): void {
    if (this.#renewal === null && this.#renewAt !== NEVER && this.#failures > 0) this.#renewAt = this.#router.now;
  }

  sessionEnded(key: string): void {
    if (this.#renewal?.steward !== key) return;
    this.#failed('the session ended');
    // Who is not believed any more has no session to wait for: it goes the way of who joins.
    if (this.#credential !== null && this.#isVoid(this.#credential)) this.#renewAt = this.#router.now;
  }

  /** Who is revoked has been so: this router itself, or who issued its certificate. */
  revoked(): void {
    const router = this.#router;
    const { key, ledger, keeping, now } = router;
    const mine = this.#credential;
    if (mine === null) return;
    if (ledger.has(key)) {
      router.log('error', 'THIS ROUTER WAS REVOKED', { id: mine.id });
      this.#credential = null;
      this.#renewal = null;
      this.#renewAt = NEVER;
      keeping.own(null);
      router.effect({ type: 'credential', credential: null });
    } else if (this.#isVoid(mine)) {
      this.#warning('who issued the certificate was revoked: another steward is asked');
      this.#renewal = null;
      this.#renewAt = now;
    }
  }

  /** Nobody has renewed this router's certificate in time: then nobody else's has to be fresher. */
  graceMs(now: Nanos): number {
    const mine = this.#credential;
    if (mine === null) return 0;
    const { calendar, settings } = this.#router;
    const isOrphan = calendar.now(now) > mine.notBefore + (3 * (mine.notAfter - mine.notBefore)) / 4;
    return isOrphan ? settings.graceMs : 0;
  }

  /** null where there is none. */
  state(nowMs: number): TrustView['state'] | null {
    const mine = this.#credential;
    if (mine === null) return null;
    if (nowMs <= mine.notAfter) return 'member';
    return nowMs <= mine.notAfter + this.#router.settings.graceMs ? 'late' : 'ended';
  }

  /** Shows this one from now on. */
  #show(mine: Credential): void {
    const router = this.#router;
    this.#credential = mine;
    this.#failures = 0;
    this.#warnAt = NEVER;
    router.effect({ type: 'credential', credential: mine });
    if (router.calendar.witness(mine.notBefore, router.now)) this.#keepFloor();
  }

  /** Somebody who issued it is revoked: nobody believes it any more, though it has not ended. */
  #isVoid(mine: Credential): boolean {
    const issuer = readCertificate(mine.chain[1] ?? new Uint8Array(0))?.bound;
    return issuer != null && this.#router.ledger.has(fingerprint(issuer.identity));
  }

  #renew(): void {
    const router = this.#router;
    const { tools, secrets, ledger, now, wallMs, settings } = router;
    const mine = this.#credential;
    this.#renewAt = NEVER;
    if (mine === null) return;
    const by = this.#around.steward();
    const stewards = [...this.#around.stewards()].sort();
    // What nears its own end can give less than another steward, and past it nothing.
    const ends = by?.certificate.notAfter ?? 0;
    if (by !== null && ends > wallMs && (ends > wallMs + settings.lifeMs || stewards.length === 0)) {
      this.renewBy(by);
      return;
    }
    if (stewards.length > 0) {
      const salt = tools.random(16);
      const one = stewards[salt[0]! % stewards.length]!;
      this.#renewal = { salt, steward: one, until: now + ANSWER_TIME };
      const { spki } = leafKey(tools, secrets.identity, salt);
      router.say(one, { type: 'renew', spki });
      return;
    }
    router.effect({ type: 'reach', stewards: ledger.stewards() });
    this.#again();
    if (this.graceMs(now) > 0 || this.#isVoid(mine)) this.#around.renewByJoining(mine);
  }

  #again(): void {
    const { now } = this.#router;
    this.#renewAt = now + waitOf(PATIENCE, this.#failures);
    this.#failures += 1;
    if (this.#warnAt === NEVER && this.graceMs(now) > 0) this.#warnAt = now;
  }

  #failed(why: string): void {
    this.#renewal = null;
    this.#warning('the certificate could not be renewed', why);
    this.#again();
  }

  #warn(): void {
    const { ledger, settings, calendar, now } = this.#router;
    const mine = this.#credential;
    this.#warnAt = NEVER;
    if (mine === null || this.graceMs(now) === 0) return;
    this.#warnAt = now + WARN_EVERY;
    const believedUntil = mine.notAfter + settings.graceMs;
    const fields = {
      stewards: ledger.stewards().map(({ node }) => node),
      ends: new Date(mine.notAfter).toISOString(),
      believedUntil: new Date(believedUntil).toISOString(),
    };
    const isOver = calendar.now(now) > believedUntil;
    const message = isOver
      ? 'THE IDENTITY HAS ENDED: no steward was reached in all the grace, and nobody believes this router any more'
      : 'NO STEWARD RENEWS THIS IDENTITY: bring one back, or make another router a steward (x0ctl mesh steward)';
    this.#router.log(isOver ? 'error' : 'warning', message, fields);
  }

  #keepFloor(): void {
    const { keeping, wallMs } = this.#router;
    keeping.floor(wallMs);
  }

  #warning(message: string, why?: string): void {
    this.#router.log('warning', message, why === undefined ? {} : { why });
  }
}
