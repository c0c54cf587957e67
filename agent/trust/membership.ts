/**
 * A router's membership: how it gets in, keeps its certificate fresh, lets others in where it is a steward, and learns
 * what the mesh believes. A machine like the others, but with a tape of its own: what it handles are secrets, and they do
 * not belong into a recording. It is told events and the monotonic time and answers with effects; a transport
 * (agent/peer) carries its bytes, asks it whom to believe (`verify`), and ends the sessions that it no longer believes in.
 */

import type { Level } from '../core/effect.ts';
import { AgentError } from '../core/errors.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Attestor, Prover } from './attest.ts';
import { Calendar } from './calendar.ts';
import { readCertificate } from './certificate.ts';
import { type Gossip, readGossip, writeGossip } from './gossip.ts';
import {
  type Claimed,
  Invitations,
  invitationIn,
  invitationProver,
  invitationText,
  readInvitation,
} from './invitation.ts';
import { type Admission, Admitter, type Applicant, isJoinMessage, Joiner, type Loose, type Rejection } from './join.ts';
import type { RouterSecrets } from './keys.ts';
import { type Item, Ledger, type Revoked, type Steward } from './ledger.ts';
import { renewalAttestor, renewalProver } from './renewal.ts';
import { SecretBytes } from './secret.ts';
import { isNodeId } from './spiffe.ts';
import { readStatement, sayRevocation } from './statement.ts';
import {
  type Authority,
  authority,
  authorityKey,
  type Credential,
  credential,
  fingerprint,
  issueRouter,
  leafKey,
  nodeOfKey,
  openKeys,
  type Peer,
  type Refused,
  type RouterKeys,
  type Tools,
  type TrustBundle,
  Verifier,
} from './svid.ts';

export interface TrustSettings {
  /** How long the certificates are good for that this router issues, and how long past its end one is believed while no steward can be reached; milliseconds. */
  readonly lifeMs: number;
  readonly graceMs: number;
}

/** Something that is kept across restarts. Plain text; none of it is secret. */
export interface Kept {
  readonly key: string;
  readonly value: string;
}

export type TrustEvent =
  /** First of all: what was kept. */
  | { readonly type: 'started'; readonly wallMs: number; readonly kept: readonly Kept[] }
  /** What the wall clock reads; once a minute, and when it was set. */
  | { readonly type: 'clock'; readonly wallMs: number }
  | { readonly type: 'tick' }
  /** A session with somebody whom `verify` believed. */
  | { readonly type: 'session-up'; readonly peer: Peer }
  | { readonly type: 'session-down'; readonly key: string }
  | { readonly type: 'message'; readonly key: string; readonly bytes: Uint8Array }
  /** Somebody who is in is heard now, and may not have been before: a joining need not wait for its next attempt. */
  | { readonly type: 'chance' }
  /** Bytes of a joining. OWN is this router's; others name whoever speaks, for the answer. */
  | { readonly type: 'joining'; readonly conversation: string; readonly bytes: Uint8Array };

export type TrustEffect =
  /** Over the session with this key. */
  | { readonly type: 'send'; readonly key: string; readonly bytes: Uint8Array }
  /** `attempt` counts up from 1 for OWN: another one is better tried through another neighbour. */
  | { readonly type: 'join-send'; readonly conversation: string; readonly bytes: Uint8Array; readonly attempt: number }
  /** null forgets it. What is urgent is on the medium within a second. */
  | { readonly type: 'keep'; readonly key: string; readonly value: string | null; readonly isUrgent: boolean }
  /** What this router shows from now on; sessions that are open stay. null: it has nothing to show any more. */
  | { readonly type: 'credential'; readonly credential: Credential | null }
  /** End the sessions with these keys. */
  | { readonly type: 'distrust'; readonly keys: readonly string[] }
  /** A session with one of these is wanted: fingerprints and names of stewards. */
  | { readonly type: 'reach'; readonly stewards: readonly Steward[] }
  /** What was decided about somebody else, for the journal. */
  | {
      readonly type: 'decided';
      readonly what: 'admitted' | 'not-admitted' | 'not-renewed' | 'revoked' | 'allowed' | 'not-allowed';
      readonly who: string;
      readonly why: string;
    }
  | {
      readonly type: 'log';
      readonly level: Level;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

export interface Member {
  readonly key: string;
  readonly node: string;
  readonly notAfter: number;
  /** Fingerprint of the steward that said so. */
  readonly by: string;
}

export interface TrustView {
  readonly state: 'none' | 'joining' | 'member' | 'late' | 'ended' | 'revoked';
  readonly id: string | null;
  readonly key: string;
  readonly trustDomain: string | null;
  readonly isSteward: boolean;
  readonly notBefore: number | null;
  readonly notAfter: number | null;
  /** Milliseconds since 1970 by which this router goes, and whether a steward has confirmed its clock. */
  readonly nowMs: number;
  readonly clock: 'confirmed' | 'unconfirmed' | 'behind';
  readonly bundle: number | null;
  readonly stewards: readonly { readonly node: string; readonly notAfter: number; readonly isReached: boolean }[];
  readonly revoked: readonly Revoked[];
  readonly sessions: number;
  readonly openInvitations: number;
  /** In words; '' where all is well. */
  readonly trouble: string;
}

/** The conversation that is this router's own joining. */
export const OWN = 'own';

const ANSWER_TIME: Nanos = 10 * SECOND;
const RETRY: Nanos = 30 * SECOND;
const LONGEST_RETRY: Nanos = 600 * SECOND;
const JOIN_RETRY: Nanos = 5 * SECOND;
const UNKNOWN_TRIES = 4;
const LEAST_RETRY: Nanos = 2 * SECOND;
const LONGEST_JOIN_RETRY: Nanos = 20 * SECOND;
const JOIN_GIVE_UP: Nanos = 900 * SECOND;
const RENEWAL_GIVE_UP: Nanos = 30 * SECOND;
const WARN_EVERY: Nanos = 3600 * SECOND;
const PRUNE_EVERY: Nanos = 3600 * SECOND;
const RELAY_TIME: Nanos = 30 * SECOND;
const MOST_RELAYS = 64;
const MOST_MEMBERS = 4096;
const MOST_SESSIONS = 1024;
/** Items of one session that did not hold, before no more are looked at. */
const MOST_REFUSED = 16;
/** Joinings that are looked at: so many a second, and so many at once, of each source. */
const JOIN_RATE = 5;
const JOIN_BURST = 150;
/** Bytes of items in one message. */
const ITEMS_AT_ONCE = 128 * 1024;
/** How long a revocation of a router is kept: longer than any of its certificates and their grace can last. */
export const REVOKED_FOR_MS = 60 * 24 * 3_600_000;

interface Session {
  readonly peer: Peer;
  refused: number;
}

interface Renewal {
  readonly salt: Uint8Array;
  readonly steward: string;
  readonly until: Nanos;
}

interface Joining {
  readonly prover: Prover;
  readonly anchor: string;
  readonly isRenewal: boolean;
  readonly began: Nanos;
  joiner: Joiner;
  attempt: number;
  tried: Nanos;
  next: Nanos;
}

export class Membership {
  readonly #tools: Tools;
  readonly #secrets: RouterSecrets;
  readonly #attestors: readonly Attestor[];
  readonly #key: string;
  readonly #keys: RouterKeys;
  readonly #identity: Uint8Array;
  readonly #verifier: Verifier;
  readonly #ledger: Ledger;
  readonly #invitations = new Invitations();
  readonly #sessions = new Map<string, Session>();
  readonly #members = new Map<string, Member>();
  readonly #relays = new Map<
    number,
    { readonly conversation: string; readonly steward: string; readonly until: Nanos }
  >();
  /** Hellos for which there was no session with a steward yet. */
  readonly #parked = new Map<string, { readonly bytes: Uint8Array; readonly until: Nanos }>();
  readonly #budgets = new Map<string, { left: number; at: Nanos }>();
  /** Keys with which others would issue, as they said. */
  readonly #candidates = new Map<string, Uint8Array>();
  #settings: TrustSettings;
  #calendar = new Calendar(0, 0);
  #credential: Credential | null = null;
  #authority: Authority | null = null;
  #admitter: Admitter | null = null;
  #renewal: Renewal | null = null;
  #joining: Joining | null = null;
  #joinTrouble = '';
  #renewAt: Nanos = NEVER;
  #retry: Nanos = RETRY;
  #warnAt: Nanos = NEVER;
  #pruneAt: Nanos = NEVER;
  #lastToken = 0;
  #effects: TrustEffect[] = [];
  #now: Nanos = 0;

  constructor(tools: Tools, secrets: RouterSecrets, settings: TrustSettings, attestors: readonly Attestor[] = []) {
    this.#tools = tools;
    this.#secrets = secrets;
    this.#settings = settings;
    this.#attestors = attestors;
    this.#keys = openKeys(tools, secrets);
    this.#identity = this.#keys.identity.publicKey;
    this.#key = fingerprint(this.#identity);
    this.#verifier = new Verifier(tools);
    this.#ledger = new Ledger(tools, this.#verifier);
  }

  settle(settings: TrustSettings): void {
    this.#settings = settings;
  }

  on(event: TrustEvent, now: Nanos): TrustEffect[] {
    return this.#turn(now, () => this.#told(event)).effects;
  }

  deadline(): Nanos {
    const { next = NEVER } = this.#joining ?? {};
    return Math.min(this.#renewAt, this.#renewal?.until ?? NEVER, next, this.#warnAt, this.#pruneAt);
  }

  /** Whom a chain proves, as far as this router can know the time. Never throws. */
  verify(chain: readonly Uint8Array[], now: Nanos): Peer | Refused {
    const { bundle } = this.#ledger;
    if (bundle === null) return { ok: false, code: 'E_SVID', reason: 'unknown-issuer', message: 'no mesh was joined' };
    return this.#believe(chain, bundle, this.#graceMs(now), now);
  }

  /** Joins with an invitation's text. Throws E_USAGE for one that is none, or where this router is in a mesh already. */
  join(invitation: string, now: Nanos): TrustEffect[] {
    const one = readInvitation(invitation);
    return this.joinWith(invitationProver(one), one.anchor, now);
  }

  /** Joins another way. `anchor`: the beginning of the fingerprint of the owner's key. Throws E_USAGE. */
  joinWith(prover: Prover, anchor: string, now: Nanos): TrustEffect[] {
    if (!/^[0-9a-f]{16,64}$/.test(anchor))
      throw new AgentError('E_USAGE', "the mesh is named by 16 to 64 digits of the fingerprint of its owner's key");
    if (this.#credential !== null) throw new AgentError('E_USAGE', `this router is ${this.#credential.id} already`);
    return this.#turn(now, () => this.#beginJoining(prover, anchor, false)).effects;
  }

  /**
   * Makes an invitation; by a steward. `node`: the name of the router that comes with it, '' for one of its key. Throws
   * E_FORBIDDEN, E_USAGE.
   */
  invite(
    node: string,
    lifeMs: number,
    now: Nanos,
  ): { text: string; id: string; untilMs: number; effects: TrustEffect[] } {
    this.#requireSteward('invite');
    if (node !== '' && !isNodeId(node))
      throw new AgentError('E_USAGE', 'a name has at most 63 letters, digits, dots, - and _');
    return this.#turn(now, () => {
      if (node !== '') this.#requireFree(node, null);
      const one = this.#invitations.issue(this.#tools.random, node === '' ? null : node, this.#wall() + lifeMs);
      this.#tellStewards(invited(one));
      const { id, secret, untilMs } = one;
      const text = invitationText({ id, secret, anchor: this.#ledger.anchor! });
      return { text, id, untilMs, effects: [] };
    });
  }

  /**
   * Revokes a router: by a steward. Stewards are revoked by the owner (`install`). Throws E_FORBIDDEN, E_NOT_FOUND.
   */
  revoke(whom: string, now: Nanos): TrustEffect[] {
    const by = this.#requireSteward('revoke');
    const { key, node } = this.find(whom);
    if (this.#ledger.isSteward(key))
      throw new AgentError('E_FORBIDDEN', `${node} is a steward: only the owner's key revokes it`);
    return this.#turn(now, () => this.#revoke(by, key, node, 'a person asked for it')).effects;
  }

  /** A router by its name or its key's fingerprint (or the beginning of it). Throws E_NOT_FOUND. */
  find(whom: string): { readonly key: string; readonly node: string } {
    const peers = [...this.#sessions.values()].map(({ peer }) => ({ key: peer.fingerprint, node: peer.node }));
    const stewards = this.#ledger.stewards().map(({ fingerprint: key, node }) => ({ key, node }));
    const all = new Map([...this.#members.values(), ...stewards, ...peers].map((one) => [one.key, one]));
    const found = [...all.values()].filter(
      ({ key, node }) => node === whom || (/^[0-9a-f]{16,64}$/.test(whom) && key.startsWith(whom)),
    );
    if (found.length === 1) return found[0]!;
    if (/^[0-9a-f]{64}$/.test(whom)) return { key: whom, node: whom.slice(0, 16) };
    const why =
      found.length === 0 ? 'no router of this name is known here' : 'several routers have this name: give its key';
    throw new AgentError('E_NOT_FOUND', `${whom}: ${why}`);
  }

  /**
   * Takes what the owner has signed: bundles, stewards, revocations. The first bundle of a router that is in no mesh is
   * taken from whoever may call this. Throws E_SVID for what does not hold.
   */
  install(items: readonly Loose[], now: Nanos): TrustEffect[] {
    return this.#turn(now, () => {
      for (const { kind, bytes } of items) {
        if (this.#ledger.bundle === null && kind === 'bundle') {
          this.#ledger.found(bytes, readStatement(bytes)?.signer ?? '');
          this.#keepItems();
          continue;
        }
        const outcome = this.#takeItem({ kind, bytes }, null);
        if (typeof outcome !== 'string') throw new AgentError('E_SVID', outcome.refused);
      }
    }).effects;
  }

  /** With which classical key would this router issue? For the owner, who makes it a steward. */
  candidate(): { readonly node: string; readonly identity: Uint8Array; readonly spki: Uint8Array } {
    const { spki } = authorityKey(this.#tools, this.#secrets.identity, 'steward');
    return { node: this.#nodeName(), identity: this.#identity, spki };
  }

  /** The same of another router, by its session: null while its answer is awaited. Throws E_NOT_FOUND. */
  candidateOf(
    whom: string,
    now: Nanos,
  ): { found: { node: string; identity: Uint8Array; spki: Uint8Array } | null; effects: TrustEffect[] } {
    const { key, node } = this.find(whom);
    if (key === this.#key) return { found: this.candidate(), effects: [] };
    const session = this.#sessions.get(key);
    if (session === undefined) throw new AgentError('E_NOT_FOUND', `there is no session with ${node} now`);
    const spki = this.#candidates.get(key);
    if (spki !== undefined) return { found: { node, identity: session.peer.keys.identity, spki }, effects: [] };
    return this.#turn(now, () => {
      this.#say(key, { type: 'ask-key' });
      return { found: null, effects: [] };
    });
  }

  members(): Member[] {
    return [...this.#members.values()];
  }

  items(): Item[] {
    return this.#ledger.items();
  }

  view(now: Nanos): TrustView {
    const mine = this.#credential;
    const nowMs = this.#calendar.now(now);
    const isGone = this.#ledger.has(this.#key);
    const state =
      mine === null
        ? isGone
          ? 'revoked'
          : this.#joining === null
            ? 'none'
            : 'joining'
        : nowMs <= mine.notAfter
          ? 'member'
          : nowMs <= mine.notAfter + this.#settings.graceMs
            ? 'late'
            : 'ended';
    return {
      state,
      id: mine?.id ?? null,
      key: this.#key,
      trustDomain: this.#ledger.bundle?.trustDomain ?? null,
      isSteward: this.#authority !== null,
      notBefore: mine?.notBefore ?? null,
      notAfter: mine?.notAfter ?? null,
      nowMs,
      clock: this.#calendar.isSure ? 'confirmed' : this.#calendar.isBehind(now) ? 'behind' : 'unconfirmed',
      bundle: this.#ledger.bundle?.sequence ?? null,
      stewards: this.#ledger.stewards().map(({ node, notAfter, fingerprint: key }) => ({
        node,
        notAfter,
        isReached: key === this.#key || this.#sessions.has(key),
      })),
      revoked: this.#ledger.revoked(),
      sessions: this.#sessions.size,
      openInvitations: this.#invitations.open().length,
      trouble: this.#trouble(state, now),
    };
  }

  #told(event: TrustEvent): void {
    switch (event.type) {
      case 'started':
        this.#start(event.kept, event.wallMs);
        return;
      case 'clock':
        this.#calendar.hear(event.wallMs, this.#now);
        this.#plan();
        return;
      case 'tick':
        this.#tick();
        return;
      case 'session-up':
        this.#sessionUp(event.peer);
        return;
      case 'session-down':
        this.#sessions.delete(event.key);
        this.#budgets.delete(event.key);
        this.#candidates.delete(event.key);
        if (this.#renewal?.steward === event.key) this.#renewalFailed('the session ended');
        return;
      case 'message':
        this.#heard(event.key, event.bytes);
        return;
      case 'chance':
        if (this.#joining !== null && this.#now - this.#joining.tried >= LEAST_RETRY) this.#joinAgain();
        return;
      case 'joining':
        if (event.conversation === OWN) this.#joinAnswered(event.bytes);
        else this.#joinAsked(event.conversation, 'air', event.bytes);
    }
  }

  #turn<T>(now: Nanos, work: () => T): T & { effects: TrustEffect[] } {
    this.#now = now;
    this.#effects = [];
    const answer = work();
    const effects = this.#effects;
    this.#effects = [];
    return { ...(answer as T & object), effects };
  }

  // What was kept, and the own certificate.

  #start(kept: readonly Kept[], wallMs: number): void {
    const of = (prefix: string) => kept.filter(({ key }) => key.startsWith(prefix));
    const floor = Number(of('floor')[0]?.value ?? 0);
    this.#calendar = new Calendar(Number.isFinite(floor) ? floor : 0, this.#now);
    this.#calendar.hear(wallMs, this.#now);
    this.#pruneAt = this.#now + PRUNE_EVERY;
    const items = of('item ').map(({ value }) => looseOf(value));
    const bundles = items
      .flatMap((one) => (one?.kind === 'bundle' ? [{ one, statement: readStatement(one.bytes) }] : []))
      .flatMap(({ one, statement }) =>
        statement?.body.kind === 'bundle' ? [{ one, ...statement.body, by: statement.signer }] : [],
      )
      .sort((a, b) => a.sequence - b.sequence);
    for (const { one, by } of bundles) {
      if (this.#ledger.bundle !== null) this.#ledger.take('bundle', one.bytes, this.#wall());
      else this.#tolerate('a trust bundle that was kept', () => this.#ledger.found(one.bytes, by));
    }
    for (const kind of ['steward', 'revocation'])
      for (const one of items) if (one?.kind === kind) this.#ledger.take(one.kind, one.bytes, this.#wall());
    for (const { key, value } of of('claim ')) {
      const [id, [by = '', node = '']] = [key.slice(6), value.split(' ')];
      this.#invitations.claim({ id, key: by, node });
    }
    this.#becomeSteward();
    const own = of('own')[0];
    if (own !== undefined && this.#ledger.bundle !== null && !this.#ledger.has(this.#key)) {
      const [salt = '', ...chain] = own.value.split(' ').map((part) => Buffer.from(part, 'base64'));
      this.#tolerate('the certificate that was kept', () => {
        this.#show(credential(this.#tools, this.#secrets, Buffer.from(salt), chain, this.#keys));
      });
    }
    this.#plan();
  }

  /** Shows this credential from now on. */
  #show(mine: Credential): void {
    this.#credential = mine;
    this.#retry = RETRY;
    this.#warnAt = NEVER;
    this.#effect({ type: 'credential', credential: mine });
    if (this.#calendar.witness(mine.notBefore, this.#now)) this.#keepFloor();
  }

  /** When the certificate is to be renewed: at half of its life, each router a little differently. */
  #plan(): void {
    const mine = this.#credential;
    if (mine === null || this.#renewal !== null) return;
    const life = mine.notAfter - mine.notBefore;
    const spread = (Number.parseInt(this.#key.slice(0, 4), 16) / 0xffff) * (life / 8);
    const due = mine.notBefore + life / 2 + spread;
    const wait = Math.max(0, due - this.#wall()) * MS;
    const isVoid = this.#isVoid(mine);
    const earliest = this.#renewAt === NEVER ? this.#now : Math.min(this.#renewAt, this.#now + wait);
    this.#renewAt = isVoid || wait === 0 ? Math.max(this.#now, earliest) : this.#now + wait;
    const isOrphan = this.#graceMs(this.#now) > 0;
    if (isOrphan && this.#warnAt === NEVER) this.#warnAt = this.#now;
    if (!isOrphan) this.#warnAt = NEVER;
  }

  /** Somebody who issued it is revoked: nobody believes it any more, though it has not ended. */
  #isVoid(mine: Credential): boolean {
    const issuer = readCertificate(mine.chain[1] ?? new Uint8Array(0))?.bound;
    return issuer != null && this.#ledger.has(fingerprint(issuer.identity));
  }

  #tick(): void {
    if (this.#now >= this.#pruneAt) this.#prune();
    if (this.#now >= (this.#renewal?.until ?? NEVER)) this.#renewalFailed('the steward did not answer');
    if (this.#now >= this.#renewAt) this.#renew();
    if (this.#now >= (this.#joining?.next ?? NEVER)) this.#joinAgain();
    if (this.#now >= this.#warnAt) this.#warn();
  }

  #prune(): void {
    this.#pruneAt = this.#now + PRUNE_EVERY;
    const before = this.#ledger.items();
    this.#ledger.prune(this.#wall());
    this.#invitations.prune(this.#wall());
    for (const { hash } of before) if (!this.#ledger.knows(hash)) this.#keep(`item ${hash}`, null, false);
    for (const [key, { notAfter }] of this.#members)
      if (notAfter + this.#settings.graceMs < this.#wall()) this.#members.delete(key);
    for (const [token, { until }] of this.#relays) if (until < this.#now) this.#relays.delete(token);
  }

  /** Nobody has renewed this router's certificate in time: then nobody else's has to be fresher. */
  #graceMs(now: Nanos): number {
    const mine = this.#credential;
    if (mine === null) return 0;
    const isOrphan = this.#calendar.now(now) > mine.notBefore + (3 * (mine.notAfter - mine.notBefore)) / 4;
    return isOrphan ? this.#settings.graceMs : 0;
  }

  #warn(): void {
    const mine = this.#credential;
    this.#warnAt = NEVER;
    if (mine === null || this.#graceMs(this.#now) === 0) return;
    this.#warnAt = this.#now + WARN_EVERY;
    const fields = {
      stewards: this.#ledger.stewards().map(({ node }) => node),
      ends: new Date(mine.notAfter).toISOString(),
      believedUntil: new Date(mine.notAfter + this.#settings.graceMs).toISOString(),
    };
    const isOver = this.#wall() > mine.notAfter + this.#settings.graceMs;
    const message = isOver
      ? 'THE IDENTITY HAS ENDED: no steward was reached in all the grace, and nobody believes this router any more'
      : 'NO STEWARD RENEWS THIS IDENTITY: bring one back, or make another router a steward (x0ctl mesh steward)';
    this.#log(isOver ? 'error' : 'warning', message, fields);
  }

  #trouble(state: TrustView['state'], now: Nanos): string {
    if (state === 'revoked') return 'this router was revoked: it needs new keys and an invitation to come back';
    if (state === 'ended') return 'the certificate has ended and so has its grace: nobody believes this router';
    if (state === 'late')
      return 'the certificate has ended and no steward renews it: it is believed for its grace only';
    if (this.#graceMs(now) > 0) return 'no steward has renewed the certificate in time';
    return this.#joinTrouble;
  }

  // Renewal.

  #renew(): void {
    const mine = this.#credential;
    this.#renewAt = NEVER;
    if (mine === null) return;
    if (this.#authority !== null) {
      this.#renewOwn(this.#authority);
      return;
    }
    const stewards = [...this.#sessions.keys()].filter((key) => this.#ledger.isSteward(key)).sort();
    if (stewards.length > 0) {
      const salt = this.#tools.random(16);
      const steward = stewards[salt[0]! % stewards.length]!;
      this.#renewal = { salt, steward, until: this.#now + ANSWER_TIME };
      const { spki } = leafKey(this.#tools, this.#secrets.identity, salt);
      this.#say(steward, { type: 'renew', spki });
      return;
    }
    this.#effect({ type: 'reach', stewards: this.#ledger.stewards() });
    this.#again();
    // No session can be had with a certificate that nobody believes: then by the way that who joins takes.
    const isPressing = this.#graceMs(this.#now) > 0 || this.#isVoid(mine);
    if (isPressing && this.#joining === null) {
      this.#beginJoining(renewalProver(this.#keys.identity, mine.chain), this.#ledger.anchor!, true);
    }
  }

  #again(): void {
    this.#renewAt = this.#now + this.#retry;
    this.#retry = Math.min(2 * this.#retry, LONGEST_RETRY);
    if (this.#warnAt === NEVER && this.#graceMs(this.#now) > 0) this.#warnAt = this.#now;
  }

  #renewOwn(by: Authority): void {
    const salt = this.#tools.random(16);
    const { spki } = leafKey(this.#tools, this.#secrets.identity, salt);
    const node = this.#nodeName();
    const one = { node, spki, identity: this.#identity, agreement: this.#keys.agreement.publicKey };
    const chain = issueRouter(this.#tools, by, one, { wallMs: this.#wall(), lifeMs: this.#settings.lifeMs });
    this.#replace(salt, chain);
    this.#issued(this.#key, node, chain, '');
  }

  #renewed({ chain, reason, message, timeMs }: Gossip & { type: 'renewed' }, from: string): void {
    const renewal = this.#renewal;
    if (renewal?.steward !== from) return;
    if (chain.length === 0) {
      this.#renewalFailed(`${reason}: ${message}`);
      return;
    }
    this.#renewal = null;
    this.#calendar.confirm(timeMs, this.#now);
    this.#keepFloor();
    if (!this.#replace(renewal.salt, chain)) this.#again();
  }

  #renewalFailed(why: string): void {
    this.#renewal = null;
    this.#log('warning', 'the certificate could not be renewed', { why });
    this.#again();
  }

  /** Takes a new certificate into use, if it is what it should be. */
  #replace(salt: Uint8Array, chain: readonly Uint8Array[]): boolean {
    try {
      const mine = credential(this.#tools, this.#secrets, salt, chain, this.#keys);
      const verdict = this.#believe(chain, this.#ledger.bundle!, 0, this.#now);
      if (!verdict.ok) throw new AgentError('E_SVID', verdict.message);
      if (this.#credential !== null && mine.id !== this.#credential.id)
        throw new AgentError('E_SVID', `it is for ${mine.id}`);
      const kept = [salt, ...chain].map((part) => Buffer.from(part).toString('base64'));
      this.#keep('own', kept.join(' '), true);
      this.#show(mine);
      this.#renewAt = NEVER;
      this.#plan();
      this.#log('info', 'a new certificate is in use', { id: mine.id, ends: new Date(mine.notAfter).toISOString() });
      return true;
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      this.#log('warning', 'the new certificate is not believed', { why: thrown.message });
      return false;
    }
  }

  // Joining.

  #beginJoining(prover: Prover, anchor: string, isRenewal: boolean): void {
    const joiner = new Joiner(this.#tools, this.#secrets, prover, this.#keys);
    this.#joining = {
      prover,
      anchor,
      isRenewal,
      began: this.#now,
      joiner,
      attempt: 0,
      tried: this.#now,
      next: this.#now,
    };
    this.#joinTrouble = '';
    this.#joinAgain();
  }

  #joinAgain(): void {
    const joining = this.#joining!;
    if (this.#now - joining.began > (joining.isRenewal ? RENEWAL_GIVE_UP : JOIN_GIVE_UP)) {
      this.#joining = null;
      if (!joining.isRenewal) this.#joinFailed('no steward answered');
      return;
    }
    if (joining.attempt > 0) joining.joiner = new Joiner(this.#tools, this.#secrets, joining.prover, this.#keys);
    joining.attempt += 1;
    joining.tried = this.#now;
    joining.next = this.#now + Math.min(JOIN_RETRY * 2 ** (joining.attempt - 1), LONGEST_JOIN_RETRY);
    this.#joinSend(OWN, joining.joiner.hello, joining.attempt);
  }

  #joinAnswered(bytes: Uint8Array): void {
    const joining = this.#joining;
    if (joining === null) return;
    try {
      if (isJoinMessage(bytes, 2)) {
        const request = joining.joiner.request(bytes, (chain) => this.#believeSteward(chain));
        this.#joinSend(OWN, request, joining.attempt);
      } else if (isJoinMessage(bytes, 4)) {
        this.#joined(joining, joining.joiner.answer(bytes));
      }
    } catch (thrown) {
      // Anybody can send such bytes: the attempt goes on, and ends by its time.
      if (!(thrown instanceof AgentError)) throw thrown;
      this.#joinTrouble = thrown.message;
      this.#log('debug', 'an answer to the joining does not hold', { code: thrown.code, why: thrown.message });
    }
  }

  /**
   * A steward's agreement key out of the chain that it shows. Who joins for the first time has no bundle yet: it proves
   * only what an impostor cannot use, and looks at everything when the answer has brought the bundle.
   */
  #believeSteward(chain: readonly Uint8Array[]): { readonly agreement: Uint8Array } {
    const { bundle } = this.#ledger;
    if (bundle !== null) {
      const verdict = this.#believe(chain, bundle, this.#settings.graceMs, this.#now);
      if (verdict.ok) return verdict.keys;
      // The owner's key may have changed meanwhile: the answer brings what was signed since, one after the other.
      if (verdict.reason !== 'unknown-issuer')
        throw new AgentError('E_SVID', `who answered is no steward: ${verdict.message}`);
    }
    const bound = readCertificate(chain[0] ?? new Uint8Array(0))?.bound;
    if (bound == null) throw new AgentError('E_SVID', 'who answered has no certificate of a mesh');
    return bound;
  }

  #joined(joining: Joining, answer: Admission | Rejection): void {
    if (!answer.ok) {
      // 'busy' and what ends with time is tried again; the rest is said to a person.
      this.#joinTrouble = `${answer.reason}: ${answer.message}`;
      if (['busy', 'expired', 'not-a-steward', 'name-taken'].includes(answer.reason)) return;
      // Another steward may know the invitation, or this one in a moment.
      if (answer.reason === 'unknown' && joining.attempt < UNKNOWN_TRIES) return;
      this.#joining = null;
      if (joining.isRenewal) this.#log('warning', 'the certificate could not be renewed', { why: this.#joinTrouble });
      else this.#joinFailed(this.#joinTrouble);
      return;
    }
    const first = answer.items.find(({ kind }) => kind === 'bundle');
    if (this.#ledger.bundle === null || !joining.isRenewal) {
      const newest = answer.items.filter(({ kind }) => kind === 'bundle').at(-1) ?? first;
      if (newest === undefined) throw new AgentError('E_SVID', 'the answer has no trust bundle');
      this.#ledger.found(newest.bytes, joining.anchor);
      this.#keepItems();
    }
    for (const one of answer.items) this.#takeItem(one, null);
    this.#becomeSteward();
    this.#joining = null;
    this.#joinTrouble = '';
    // Fresh, since it is bound to our own nonce.
    const leaf = readCertificate(answer.chain[0] ?? new Uint8Array(0));
    if (leaf !== null && this.#believe(answer.chain, this.#ledger.bundle!, 0, this.#now).ok)
      this.#calendar.confirm(leaf.notBefore, this.#now);
    this.#keepFloor();
    if (!this.#replace(joining.joiner.salt, answer.chain)) this.#joinFailed('the certificate is not believed');
  }

  #joinFailed(why: string): void {
    this.#joinTrouble = why;
    this.#log('error', 'this router could not join the mesh', { why });
  }

  /** A message of somebody's joining: for this steward, or to be passed on to one. */
  #joinAsked(conversation: string, source: string, bytes: Uint8Array): void {
    if (!isJoinMessage(bytes, 1) && !isJoinMessage(bytes, 3)) return;
    if (!this.#affords(source)) return;
    const mine = this.#credential;
    if (mine === null) return;
    if (this.#authority !== null && this.#admitter !== null) {
      const { agreement, chain } = mine;
      const answer = isJoinMessage(bytes, 1)
        ? this.#admitter.challenge(bytes, chain, this.#wall())
        : (this.#admitter.answer(bytes, { agreement, chain }, this.#wall(), (who) => this.#admit(who))?.bytes ?? null);
      if (answer !== null) this.#joinSend(conversation, answer, 0);
      return;
    }
    // Passed on once only: who relays has a session with a steward.
    if (source !== 'air') return;
    const known = [...this.#relays].find(([, one]) => one.conversation === conversation);
    const stewards = [...this.#sessions.keys()].filter((key) => this.#ledger.isSteward(key));
    if (stewards.length === 0) {
      // It waits for a session with one, the oldest no longer where there are too many.
      if (this.#parked.size >= MOST_RELAYS) this.#parked.delete(this.#parked.keys().next().value!);
      if (isJoinMessage(bytes, 1)) this.#parked.set(conversation, { bytes, until: this.#now + RELAY_TIME });
      this.#effect({ type: 'reach', stewards: this.#ledger.stewards() });
      return;
    }
    const isKnown = known !== undefined && isJoinMessage(bytes, 3) && stewards.includes(known[1].steward);
    const token = isKnown ? known[0] : ++this.#lastToken;
    // Each router asks another one first, so that they share the work.
    const turn = (Number.parseInt(this.#key.slice(0, 4), 16) + token) % stewards.length;
    const steward = isKnown ? known[1].steward : stewards.sort()[turn]!;
    if (known !== undefined) this.#relays.delete(known[0]);
    if (this.#relays.size >= MOST_RELAYS) this.#relays.delete(this.#relays.keys().next().value!);
    this.#relays.set(token, { conversation, steward, until: this.#now + RELAY_TIME });
    this.#say(steward, { type: 'relay', token, bytes });
  }

  #affords(source: string): boolean {
    const budget = this.#budgets.get(source) ?? { left: JOIN_BURST, at: this.#now };
    budget.left = Math.min(JOIN_BURST, budget.left + ((this.#now - budget.at) / SECOND) * JOIN_RATE);
    budget.at = this.#now;
    this.#budgets.set(source, budget);
    if (budget.left < 1) return false;
    budget.left -= 1;
    return true;
  }

  // A steward's work.

  /** Becomes one, or a newer one, where the owner has said so. */
  #becomeSteward(): void {
    const der = this.#ledger.isSteward(this.#key) ? this.#ledger.certificateOf(this.#key) : null;
    if (der === null) {
      this.#authority = null;
      this.#admitter = null;
      return;
    }
    if (this.#authority !== null && Buffer.compare(this.#authority.certificate.der, der) === 0) return;
    this.#tolerate("the steward's certificate", () => {
      this.#authority = authority(this.#tools, der, this.#secrets, 'steward', this.#keys);
      this.#admitter ??= new Admitter(this.#tools, [
        this.#invitations,
        ...this.#attestors,
        renewalAttestor(this.#tools.suite, (chain) => this.#believeReturn(chain)),
      ]);
      this.#log('info', 'this router is a steward', {
        ends: new Date(this.#authority.certificate.notAfter).toISOString(),
      });
      this.#renewOwn(this.#authority);
      for (const key of this.#sessions.keys()) if (this.#ledger.isSteward(key)) this.#meetSteward(key);
    });
  }

  #requireSteward(what: string): Authority {
    if (this.#authority === null)
      throw new AgentError('E_FORBIDDEN', `only a steward may ${what}: the owner makes one with x0ctl mesh steward`);
    return this.#authority;
  }

  #admit({ identity, agreement, spki, method, evidence, attested }: Applicant): Admission | Rejection {
    const key = fingerprint(identity);
    const node = attested.node ?? nodeOfKey(identity);
    try {
      if (this.#ledger.has(key)) throw new AgentError('E_FORBIDDEN', 'it was revoked');
      if (method !== 'renewal') this.#requireFree(node, key);
      const by = this.#authority!;
      const chain = issueRouter(
        this.#tools,
        by,
        { node, spki, identity, agreement },
        { wallMs: this.#wall(), lifeMs: this.#settings.lifeMs },
      );
      const invitation = method === 'invitation' ? invitationIn(evidence) : '';
      if (invitation !== '') this.#claim({ id: invitation, key, node });
      this.#issued(key, node, chain, invitation);
      this.#effect({ type: 'decided', what: 'admitted', who: node, why: attested.how });
      const items = this.#ledger.items().filter(({ kind }) => kind !== 'revocation');
      return { ok: true, chain, items };
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      const reason = thrown.code === 'E_FORBIDDEN' ? 'revoked' : thrown.code === 'E_USAGE' ? 'name-taken' : 'malformed';
      this.#effect({ type: 'decided', what: 'not-admitted', who: node, why: thrown.message });
      return { ok: false, reason, message: thrown.message };
    }
  }

  /** Throws E_USAGE where another router has the name. */
  #requireFree(node: string, key: string | null): void {
    const others = [
      ...this.#members.values(),
      ...this.#ledger.stewards().map((one) => ({ ...one, key: one.fingerprint })),
    ];
    const holder = others.find((one) => one.node === node && one.key !== key && !this.#ledger.has(one.key));
    if (holder !== undefined || (node === this.#nodeName() && key !== this.#key))
      throw new AgentError('E_USAGE', `another router is called ${node}: revoke it first, or give another name`);
  }

  #renewFor(peer: Peer, spki: Uint8Array): void {
    const say = (chain: readonly Uint8Array[], reason: string, message: string) =>
      this.#say(peer.fingerprint, { type: 'renewed', chain, reason, message, timeMs: this.#wall() });
    const by = this.#authority;
    try {
      if (by === null) throw new AgentError('E_FORBIDDEN', 'this router is no steward');
      if (this.#ledger.has(peer.fingerprint)) throw new AgentError('E_FORBIDDEN', 'it was revoked');
      const { node, keys } = peer;
      const chain = issueRouter(
        this.#tools,
        by,
        { node, spki, ...keys },
        { wallMs: this.#wall(), lifeMs: this.#settings.lifeMs },
      );
      this.#issued(peer.fingerprint, node, chain, '');
      say(chain, '', '');
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      this.#effect({ type: 'decided', what: 'not-renewed', who: peer.node, why: thrown.message });
      say([], thrown.code === 'E_FORBIDDEN' ? 'forbidden' : 'malformed', thrown.message);
    }
  }

  /** Who comes back was let in before: by a steward that is believed, or by one of whom this router had heard it then. */
  #believeReturn(chain: readonly Uint8Array[]): Peer | Refused {
    const { bundle } = this.#ledger;
    const leaf = readCertificate(chain[0] ?? new Uint8Array(0))?.bound;
    const isKnown = leaf != null && this.#members.has(fingerprint(leaf.identity));
    const revoked = isKnown
      ? { has: (key: string) => key === fingerprint(leaf.identity) && this.#ledger.has(key) }
      : this.#ledger;
    return this.#verifier.verifyPeer(chain, bundle!, revoked, this.#wall(), this.#settings.graceMs);
  }

  #issued(key: string, node: string, chain: readonly Uint8Array[], invitation: string): void {
    const notAfter = readCertificate(chain[0]!)!.notAfter;
    this.#noteMember({ key, node, notAfter, by: this.#key });
    this.#tellStewards({ type: 'issued', key, node, untilMs: notAfter, invitation });
  }

  #noteMember(one: Member): void {
    const known = this.#members.get(one.key);
    if (known !== undefined && known.notAfter > one.notAfter) return;
    if (known === undefined && this.#members.size >= MOST_MEMBERS) return;
    this.#members.set(one.key, one);
  }

  #claim(one: Claimed): void {
    const other = this.#invitations.claim(one);
    if (other === null) {
      this.#keep(`claim ${one.id}`, `${one.key} ${one.node}`, true);
      return;
    }
    const by = this.#authority;
    if (by === null) return;
    this.#log('error', 'AN INVITATION WAS USED TWICE: both routers are revoked, one of them has stolen it', {
      invitation: one.id,
      routers: [one.node, other.node],
    });
    for (const { key, node } of [one, other])
      if (!this.#ledger.has(key) && !this.#ledger.isSteward(key))
        this.#revoke(by, key, node, 'its invitation was used twice');
  }

  #revoke(by: Authority, key: string, node: string, why: string): void {
    const at = this.#wall();
    const domain = this.#ledger.bundle!.trustDomain;
    const bytes = sayRevocation(by.identity, { domain, key, node, at, until: at + REVOKED_FOR_MS });
    const outcome = this.#takeItem({ kind: 'revocation', bytes }, null);
    if (typeof outcome !== 'string') throw new AgentError('E_FORBIDDEN', outcome.refused);
    this.#members.delete(key);
    this.#effect({ type: 'decided', what: 'revoked', who: node, why });
  }

  // Sessions.

  #sessionUp(peer: Peer): void {
    if (this.#sessions.size >= MOST_SESSIONS && !this.#sessions.has(peer.fingerprint)) return;
    this.#sessions.set(peer.fingerprint, { peer, refused: 0 });
    this.#say(peer.fingerprint, { type: 'have', hashes: this.#ledger.items().map(({ hash }) => hash) });
    if (!this.#ledger.isSteward(peer.fingerprint)) return;
    if (this.#authority !== null) this.#meetSteward(peer.fingerprint);
    for (const [conversation, { bytes, until }] of this.#parked) {
      this.#parked.delete(conversation);
      if (until > this.#now) this.#joinAsked(conversation, 'air', bytes);
    }
    // One was waited for.
    if (this.#renewal === null && this.#renewAt !== NEVER && this.#retry > RETRY) this.#renewAt = this.#now;
  }

  /** Two stewards tell each other whom they have invited and let in. */
  #meetSteward(key: string): void {
    for (const one of this.#invitations.all()) this.#say(key, invited(one));
    const claims = new Map(this.#invitations.claims().map(({ key: by, id }) => [by, id]));
    for (const { key: member, node, notAfter } of this.#members.values())
      this.#say(key, { type: 'issued', key: member, node, untilMs: notAfter, invitation: claims.get(member) ?? '' });
  }

  #heard(key: string, bytes: Uint8Array): void {
    const session = this.#sessions.get(key);
    const said = readGossip(bytes);
    if (session === undefined) return;
    if (said === null) {
      session.refused += 1;
      return;
    }
    const isSteward = this.#ledger.isSteward(key);
    switch (said.type) {
      case 'have':
        this.#sendMissing(key, new Set(said.hashes));
        return;
      case 'items':
        for (const one of said.items) {
          if (session.refused >= MOST_REFUSED) return;
          const outcome = this.#takeItem(one, key);
          if (typeof outcome === 'string') continue;
          session.refused += 1;
          this.#log('warning', 'a statement of a neighbour does not hold', {
            from: session.peer.node,
            why: outcome.refused,
          });
        }
        return;
      case 'renew':
        if (this.#affords(key)) this.#renewFor(session.peer, said.spki);
        return;
      case 'renewed':
        this.#renewed(said, key);
        return;
      case 'invited':
        if (!isSteward || this.#authority === null || (said.node !== '' && !isNodeId(said.node))) return;
        this.#invitations.learn({
          id: said.id,
          secret: new SecretBytes(Uint8Array.from(said.secret)),
          node: said.node === '' ? null : said.node,
          untilMs: said.untilMs,
        });
        return;
      case 'issued':
        if (!isSteward || this.#authority === null || !isNodeId(said.node)) return;
        this.#noteMember({ key: said.key, node: said.node, notAfter: said.untilMs, by: key });
        if (said.invitation !== '') this.#claim({ id: said.invitation, key: said.key, node: said.node });
        return;
      case 'relay':
        if (this.#authority !== null) {
          this.#joinAsked(`${key} ${said.token}`, key, said.bytes);
          return;
        }
        if (isSteward) this.#relayBack(key, said.token, said.bytes);
        return;
      case 'ask-key':
        this.#say(key, { type: 'key', spki: this.candidate().spki });
        return;
      case 'key':
        this.#candidates.set(key, said.spki);
    }
  }

  #relayBack(key: string, token: number, bytes: Uint8Array): void {
    const relay = this.#relays.get(token);
    if (relay?.steward !== key || relay.until < this.#now) return;
    if (!isJoinMessage(bytes, 2) && !isJoinMessage(bytes, 4)) return;
    this.#effect({ type: 'join-send', conversation: relay.conversation, bytes, attempt: 0 });
  }

  #joinSend(conversation: string, bytes: Uint8Array, attempt: number): void {
    const [key = '', token] = conversation.split(' ');
    if (token !== undefined && this.#sessions.has(key)) this.#say(key, { type: 'relay', token: Number(token), bytes });
    else this.#effect({ type: 'join-send', conversation, bytes, attempt });
  }

  #sendMissing(key: string, theirs: ReadonlySet<string>): void {
    let batch: Loose[] = [];
    let size = 0;
    for (const one of this.#ledger.items()) {
      if (theirs.has(one.hash)) continue;
      if (size + one.bytes.length > ITEMS_AT_ONCE) {
        this.#say(key, { type: 'items', items: batch });
        batch = [];
        size = 0;
      }
      batch.push(one);
      size += one.bytes.length;
    }
    if (batch.length > 0) this.#say(key, { type: 'items', items: batch });
  }

  /** One more item, of somebody or by hand: kept, told on, and acted upon. */
  #takeItem(one: Loose, from: string | null): ReturnType<Ledger['take']> {
    const before = this.#ledger.bundle;
    const outcome = this.#ledger.take(one.kind, one.bytes, this.#wall());
    if (outcome !== 'new') return outcome;
    this.#keepItems();
    for (const key of this.#sessions.keys()) if (key !== from) this.#say(key, { type: 'items', items: [one] });
    if (one.kind === 'bundle' && before !== this.#ledger.bundle)
      this.#log('info', 'the trust bundle has changed', { sequence: this.#ledger.bundle?.sequence ?? 0 });
    if (one.kind !== 'steward') this.#endDistrusted();
    this.#becomeSteward();
    return outcome;
  }

  /** Ends what rests on somebody who is revoked, this router itself among them. */
  #endDistrusted(): void {
    const keys = [...this.#sessions.values()]
      .filter(({ peer }) => [peer.fingerprint, ...peer.issuers].some((key) => this.#ledger.has(key)))
      .map(({ peer }) => peer.fingerprint);
    for (const key of keys) this.#sessions.delete(key);
    if (keys.length > 0) this.#effect({ type: 'distrust', keys });
    const mine = this.#credential;
    if (mine === null) return;
    if (this.#ledger.has(this.#key)) {
      this.#log('error', 'THIS ROUTER WAS REVOKED', { id: mine.id });
      this.#credential = null;
      this.#renewal = null;
      this.#renewAt = NEVER;
      this.#keep('own', null, true);
      this.#effect({ type: 'credential', credential: null });
    } else if (this.#isVoid(mine)) {
      this.#log('warning', 'who issued the certificate was revoked: another steward is asked', {});
      this.#renewal = null;
      this.#renewAt = this.#now;
    }
  }

  // Small things.

  #believe(chain: readonly Uint8Array[], bundle: TrustBundle, graceMs: number, now: Nanos): Peer | Refused {
    const verdict = this.#verifier.verifyPeer(chain, bundle, this.#ledger, this.#calendar.now(now), graceMs);
    if (verdict.ok || verdict.reason !== 'not-yet-valid' || this.#calendar.isSure) return verdict;
    // Both signatures hold, or it would have been refused for them: then it is our clock that is behind.
    const begun = Math.max(...chain.map((der) => readCertificate(der)?.notBefore ?? 0));
    const then = this.#verifier.verifyPeer(chain, bundle, this.#ledger, begun, graceMs);
    if (then.ok) this.#calendar.witness(begun, now);
    return then;
  }

  #nodeName(): string {
    const id = this.#credential?.id;
    const own = this.#ledger.certificateOf(this.#key);
    return (
      id?.split('/').at(-1) ?? (own === null ? null : readCertificate(own)?.commonName) ?? nodeOfKey(this.#identity)
    );
  }

  #wall(): number {
    return this.#calendar.now(this.#now);
  }

  #tellStewards(said: Gossip): void {
    for (const key of this.#sessions.keys()) if (this.#ledger.isSteward(key)) this.#say(key, said);
  }

  #say(key: string, said: Gossip): void {
    this.#effect({ type: 'send', key, bytes: writeGossip(said) });
  }

  #keepItems(): void {
    for (const { hash, kind, bytes } of this.#ledger.items()) {
      if (this.#keptItems.has(hash)) continue;
      this.#keptItems.add(hash);
      this.#keep(`item ${hash}`, `${kind} ${Buffer.from(bytes).toString('base64')}`, true);
    }
    for (const hash of this.#keptItems) {
      if (this.#ledger.knows(hash)) continue;
      this.#keptItems.delete(hash);
      this.#keep(`item ${hash}`, null, false);
    }
  }

  readonly #keptItems = new Set<string>();

  #keepFloor(): void {
    this.#keep('floor', String(this.#wall()), false);
  }

  #keep(key: string, value: string | null, isUrgent: boolean): void {
    this.#effect({ type: 'keep', key, value, isUrgent });
  }

  #log(level: Level, message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#effect({ type: 'log', level, message, fields });
  }

  #effect(effect: TrustEffect): void {
    this.#effects.push(effect);
  }

  /** What was damaged on flash must not keep the rest from working. */
  #tolerate(what: string, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      this.#log('warning', `${what} cannot be used`, { code: thrown.code, why: thrown.message });
    }
  }
}

function invited(one: {
  readonly id: string;
  readonly secret: SecretBytes;
  readonly node: string | null;
  readonly untilMs: number;
}): Gossip {
  return { type: 'invited', id: one.id, secret: one.secret.reveal(), node: one.node ?? '', untilMs: one.untilMs };
}

function looseOf(value: string): Loose | null {
  const [kind = '', base64 = ''] = value.split(' ');
  if (kind !== 'bundle' && kind !== 'steward' && kind !== 'revocation') return null;
  return { kind, bytes: Buffer.from(base64, 'base64') };
}
