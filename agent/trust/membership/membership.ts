/**
 * A router's membership: how it gets in, keeps its certificate fresh, lets others in where it is a steward, and learns
 * what the mesh believes. A machine like the others, but with a tape of its own: what it handles are secrets, and they do
 * not belong into a recording. It is told events and the monotonic time and answers with effects; a transport
 * (agent/peer) carries its bytes, asks it whom to believe (`verify`), and ends the sessions that it no longer believes in.
 */

import type { Level } from '../../core/effect.ts';
import { AgentError } from '../../core/errors.ts';
import type { Mac } from '../../core/ids.ts';
import { MS, type Nanos, NEVER, SECOND } from '../../core/time.ts';
import type { Wanted } from '../../workload/vouch.ts';
import { Gate, type GateNews } from '../air/gate.ts';
import { type AirKey, AirKeys, idOf } from '../air/keys.ts';
import { Calendar } from '../certificate/calendar.ts';
import { readCertificate } from '../certificate/certificate.ts';
import { authorityKey } from '../certificate/credential.ts';
import { authority } from '../certificate/issue.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import type { Tools } from '../certificate/tools.ts';
import { type Peer, type Refused, type TrustBundle, Verifier } from '../certificate/verify.ts';
import type { Attestor, Prover } from '../join/attest.ts';
import { invitationProver, readInvitation } from '../join/invitation.ts';
import { isJoinMessage } from '../join/messages.ts';
import { renewalProver } from '../join/renewal.ts';
import { EMPTY } from '../keys/primitives.ts';
import { fingerprint, nodeOfKey, openKeys, type RouterKeys, type RouterSecrets } from '../keys/router.ts';
import type { Loose } from '../ledger/item.ts';
import { type Item, Ledger } from '../ledger/ledger.ts';
import { readStatement } from '../ledger/statement.ts';
import { Budgets } from './budget.ts';
import { type Gossip, readGossip, writeGossip } from './gossip.ts';
import { Joining } from './joining.ts';
import { Keeping, recollect } from './kept.ts';
import { OwnCertificate } from './own.ts';
import { Relay } from './relay.ts';
import { Stewardship } from './stewardship.ts';
import {
  type Kept,
  type Member,
  OWN,
  type TrustEffect,
  type TrustEvent,
  type TrustSettings,
  type TrustView,
  type Vouching,
} from './words.ts';

export { OWN } from './words.ts';

/** Where a message of a joining came from that no member passed on. */
const AIR = 'air';
/** A steward's own certificate is for the owner to renew, who wants to be told early. */
const STEWARD_ENDS_MS = 30 * 24 * 3_600_000;
const ANSWER_TIME: Nanos = 10 * SECOND;
const PRUNE_EVERY: Nanos = 3600 * SECOND;
const MOST_SESSIONS = 1024;
/** Items of one session that did not hold, before no more are looked at. */
const MOST_REFUSED = 16;
/** Keys of the air that are taken of one session in a minute: each is told on to all others. */
const MOST_KEYS = 16;
const KEYS_FOR: Nanos = 60 * SECOND;
/** Bytes of items in one message. */
const ITEMS_AT_ONCE = 128 * 1024;

interface Session {
  readonly peer: Peer;
  refused: number;
  /** When it may ask again for what this router has. */
  answerAt: Nanos;
  /** Keys of the air that it has handed on in the minute that ends then. */
  keys: number;
  keysUntil: Nanos;
}

export class Membership {
  readonly #tools: Tools;
  readonly #secrets: RouterSecrets;
  readonly #key: string;
  readonly #keys: RouterKeys;
  readonly #identity: Uint8Array;
  readonly #verifier: Verifier;
  readonly #ledger: Ledger;
  readonly #sessions = new Map<string, Session>();
  readonly #budgets = new Budgets();
  readonly #relay: Relay;
  readonly #keeping: Keeping;
  readonly #stewardship: Stewardship;
  /** Keys with which others would issue, as they said. */
  readonly #candidates = new Map<string, Uint8Array>();
  readonly #air: AirKeys;
  readonly #gate = new Gate();
  /** Of this router's hard interfaces. */
  #addresses: readonly Mac[] = [];
  /** What was said of them last. */
  #airTold = '';
  #airKept = '';
  #gateTold = '';
  #settings: TrustSettings;
  #calendar = new Calendar(0, 0);
  readonly #own: OwnCertificate;
  readonly #joining: Joining;
  #pruneAt: Nanos = NEVER;
  #effects: TrustEffect[] = [];
  #now: Nanos = 0;

  constructor(tools: Tools, secrets: RouterSecrets, settings: TrustSettings, attestors: readonly Attestor[] = []) {
    this.#tools = tools;
    this.#secrets = secrets;
    this.#settings = settings;
    this.#keys = openKeys(tools, secrets);
    this.#identity = this.#keys.identity.publicKey;
    this.#key = fingerprint(this.#identity);
    this.#verifier = new Verifier(tools);
    this.#ledger = new Ledger(tools, this.#verifier);
    this.#relay = new Relay(Number.parseInt(this.#key.slice(0, 6), 16));
    this.#air = new AirKeys({
      self: this.#key,
      rotate: () => this.#settings.rotateNs,
      isSteward: () => this.#stewardship.authority !== null,
      random: tools.random,
    });
    this.#keeping = new Keeping(this.#ledger, (effect) => this.#effect(effect));
    const common = {
      tools,
      secrets,
      keys: this.#keys,
      key: this.#key,
      ledger: this.#ledger,
      settings: () => this.#settings,
      now: () => this.#now,
      calendar: () => this.#calendar,
      nodeName: () => this.#nodeName(),
      believe: (chain: readonly Uint8Array[], bundle: TrustBundle, graceMs: number) =>
        this.#believe(chain, bundle, graceMs, this.#now),
      say: (key: string, said: Gossip) => this.#say(key, said),
      effect: (effect: TrustEffect) => this.#effect(effect),
      keeping: this.#keeping,
    };
    this.#own = new OwnCertificate({
      ...common,
      steward: () => this.#stewardship.authority,
      stewards: () => this.#stewardSessions(),
      issued: (chain) => this.#stewardship.issued(this.#key, this.#nodeName(), chain, ''),
      renewByJoining: ({ chain }) => {
        if (!this.#joining.isUnderWay)
          this.#joining.begin(renewalProver(this.#keys.identity, chain), this.#ledger.anchor!, true);
      },
    });
    this.#joining = new Joining({
      ...common,
      send: (bytes, attempt) => this.#joinSend(OWN, bytes, attempt),
      joined: (items) => {
        for (const one of items) this.#takeItem(one, null);
        this.#becomeSteward();
      },
      replace: (salt, chain) => this.#own.replace(salt, chain),
    });
    this.#stewardship = new Stewardship({
      ...common,
      verifier: this.#verifier,
      attestors,
      wall: () => this.#wall(),
      tellStewards: (said) => {
        for (const key of this.#stewardSessions()) this.#say(key, said);
      },
      take: (item) => this.#takeItem(item, null),
    });
  }

  settle(settings: TrustSettings): void {
    this.#settings = settings;
  }

  on(event: TrustEvent, now: Nanos): TrustEffect[] {
    return this.#turn(now, () => this.#told(event)).effects;
  }

  deadline(): Nanos {
    return Math.min(
      this.#own.deadline(),
      this.#joining.deadline(),
      this.#pruneAt,
      this.#air.deadline(),
      this.#gate.deadline(),
    );
  }

  /** Whom a chain proves, as far as this router can know the time. Never throws. */
  verify(chain: readonly Uint8Array[], now: Nanos): Peer | Refused {
    const { bundle } = this.#ledger;
    if (bundle === null) return { ok: false, code: 'E_SVID', reason: 'unknown-issuer', message: 'no mesh was joined' };
    return this.#believe(chain, bundle, this.#own.graceMs(now), now);
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
    const { credential: mine } = this.#own;
    if (mine !== null) throw new AgentError('E_USAGE', `this router is ${mine.id} already`);
    return this.#turn(now, () => this.#joining.begin(prover, anchor, false)).effects;
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
    this.#stewardship.authorised('invite');
    if (node !== '' && !isNodeId(node))
      throw new AgentError('E_USAGE', 'a name has at most 63 letters, digits, dots, - and _');
    return this.#turn(now, () => ({ ...this.#stewardship.invite(node, lifeMs), effects: [] }));
  }

  /**
   * Revokes a router: by a steward. Stewards are revoked by the owner (`install`). Throws E_FORBIDDEN, E_NOT_FOUND.
   */
  revoke(whom: string, now: Nanos): TrustEffect[] {
    this.#stewardship.authorised('revoke');
    const { key, node } = this.find(whom);
    if (this.#ledger.isSteward(key))
      throw new AgentError('E_FORBIDDEN', `${node} is a steward: only the owner's key revokes it`);
    return this.#turn(now, () => this.#stewardship.revoke(key, node, 'a person asked for it')).effects;
  }

  /** A router by its name or its key's fingerprint (or the beginning of it). Throws E_NOT_FOUND. */
  find(whom: string): { readonly key: string; readonly node: string } {
    const peers = [...this.#sessions.values()].map(({ peer }) => ({ key: peer.fingerprint, node: peer.node }));
    const stewards = this.#ledger.stewards().map(({ fingerprint: key, node }) => ({ key, node }));
    const all = new Map([...this.members(), ...stewards, ...peers].map((one) => [one.key, one]));
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
          this.#keeping.items();
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

  /** What programs on this router rest on (agent/workload); null while this router has no identity of its own. */
  vouching(now: Nanos): Vouching | null {
    const { bundle } = this.#ledger;
    if (bundle === null || this.#own.credential === null) return null;
    const wallMs = this.#calendar.now(now);
    const keys = this.#ledger.stewards().flatMap(({ fingerprint: key }) => {
      const steward = readCertificate(this.#ledger.certificateOf(key) ?? EMPTY);
      return steward === null || steward.notAfter < wallMs ? [] : [steward.spki];
    });
    return {
      trustDomain: bundle.trustDomain,
      node: this.#nodeName(),
      roots: bundle.roots.map(({ der }) => der),
      keys,
      by: this.#stewardship.authority,
      isReached: this.#stewardship.authority !== null || this.#stewardSessions().length > 0,
      wallMs,
    };
  }

  /** Asks a steward for something for a program on this router; 'vouched' with this token answers. Throws E_BUSY. */
  vouchFor(token: number, wanted: Wanted, now: Nanos): TrustEffect[] {
    const stewards = this.#stewardSessions();
    if (this.#own.credential === null || stewards.length === 0)
      throw new AgentError('E_BUSY', 'no steward can be reached, and only a steward vouches for programs');
    const said: Gossip = { type: 'vouch', token, ...wanted };
    return this.#turn(now, () => ({ said: this.#say(stewards[token % stewards.length]!, said) })).effects;
  }

  members(): Member[] {
    return this.#stewardship.members();
  }

  items(): Item[] {
    return this.#ledger.items();
  }

  view(now: Nanos): TrustView {
    const mine = this.#own.credential;
    const nowMs = this.#calendar.now(now);
    const without = this.#ledger.has(this.#key) ? 'revoked' : this.#joining.isUnderWay ? 'joining' : 'none';
    const state = this.#own.state(nowMs) ?? without;
    return {
      state,
      id: mine?.id ?? null,
      key: this.#key,
      trustDomain: this.#ledger.bundle?.trustDomain ?? null,
      isSteward: this.#stewardship.authority !== null,
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
      openInvitations: this.#stewardship.openInvitations(),
      air: {
        epoch: this.#air.sending?.epoch ?? null,
        keys: this.#air.keys().length,
        ageNs: this.#air.sending === null ? 0 : now - this.#air.sending.born,
        isMixed: this.#isMixed(),
      },
      outcasts: this.#gate.outcasts(),
      admitted: this.#gate.admitted(now),
      trouble: this.#trouble(state, now),
    };
  }

  #told(event: TrustEvent): void {
    switch (event.type) {
      case 'started':
        this.#start(event.kept, event.wallMs);
        this.#airKept = (event.air ?? []).map(({ secret }) => idOf(secret)).join();
        this.#air.settle(this.#own.credential !== null, this.#revokedKeys(), this.#now);
        if (this.#own.credential !== null) this.#air.restore(event.air ?? [], this.#now);
        return;
      case 'clock':
        this.#calendar.hear(event.wallMs, this.#now);
        this.#own.plan();
        return;
      case 'tick':
        this.#tick();
        return;
      case 'session-up':
        this.#sessionUp(event.peer);
        return;
      case 'session-renewed': {
        const known = this.#sessions.get(event.peer.fingerprint);
        if (known !== undefined) this.#sessions.set(event.peer.fingerprint, { ...known, peer: event.peer });
        return;
      }
      case 'session-down':
        this.#sessions.delete(event.key);
        this.#candidates.delete(event.key);
        this.#gate.left(event.key, this.#now);
        this.#own.sessionEnded(event.key);
        return;
      case 'message':
        this.#heard(event.key, event.bytes);
        return;
      case 'addresses':
        this.#addresses = event.addresses;
        this.#journal(this.#gate.own(event.addresses));
        for (const key of this.#sessions.keys()) this.#say(key, { type: 'here', addresses: this.#addresses });
        return;
      case 'proven':
        this.#gate.proven(event.address, this.#now);
        return;
      case 'chance':
        this.#joining.chance();
        return;
      case 'joining':
        if (event.conversation === OWN) this.#joining.answered(event.bytes);
        else this.#joinAsked(event.conversation, AIR, event.bytes);
    }
  }

  #turn<T>(now: Nanos, work: () => T): T & { effects: TrustEffect[] } {
    this.#now = now;
    this.#effects = [];
    const answer = work();
    this.#settleAir();
    const effects = this.#effects;
    this.#effects = [];
    return { ...(answer as T & object), effects };
  }

  // What was kept.

  #start(kept: readonly Kept[], wallMs: number): void {
    const { floorMs, items, claims, own, voidKeys, outcasts } = recollect(kept);
    this.#calendar = new Calendar(floorMs, this.#now);
    this.#calendar.hear(wallMs, this.#now);
    this.#pruneAt = this.#now + PRUNE_EVERY;
    for (const { kind, bytes, by } of items) {
      if (kind !== 'bundle' || this.#ledger.bundle !== null) this.#ledger.take(kind, bytes, this.#wall());
      else this.#tolerate('a trust bundle that was kept', () => this.#ledger.found(bytes, by));
    }
    for (const one of claims) this.#stewardship.remember(one);
    for (const one of voidKeys) this.#voidKeys.add(one);
    this.#gate.restore(outcasts);
    this.#becomeSteward();
    if (own !== null && this.#ledger.bundle !== null && !this.#ledger.has(this.#key)) {
      const [salt, ...chain] = own;
      this.#tolerate('the certificate that was kept', () => this.#own.load(salt, chain));
    }
    this.#own.plan();
  }

  #tick(): void {
    const made = this.#air.tick(this.#now);
    if (made !== null) {
      this.#log('info', 'a new key of the air is made here', { epoch: made.epoch });
      this.#handOn(made, null);
    }
    if (this.#now >= this.#pruneAt) this.#prune();
    this.#own.tick();
    this.#joining.tick();
  }

  #prune(): void {
    this.#pruneAt = this.#now + PRUNE_EVERY;
    const before = this.#ledger.items();
    this.#ledger.prune(this.#wall());
    this.#stewardship.prune();
    for (const { hash } of before) if (!this.#ledger.knows(hash)) this.#keeping.forget(hash);
  }

  #trouble(state: TrustView['state'], now: Nanos): string {
    if (state === 'revoked')
      return 'this router was revoked: it comes back with new keys (stop the agent, remove identity.key) and an invitation';
    if (state === 'ended') return 'the certificate has ended and so has its grace: nobody believes this router';
    if (state === 'late')
      return 'the certificate has ended and no steward renews it: it is believed for its grace only';
    if (this.#own.graceMs(now) > 0) return 'no steward has renewed the certificate in time';
    const ends = this.#stewardship.authority?.certificate.notAfter ?? Number.POSITIVE_INFINITY;
    if (ends < this.#calendar.now(now) + STEWARD_ENDS_MS)
      return `this steward may admit and renew until ${new Date(ends).toISOString()} only: x0ctl mesh steward self`;
    return this.#joining.trouble;
  }

  // Joinings of others.

  /** A message of somebody's joining: for this steward, or to be passed on to one. */
  #joinAsked(conversation: string, source: string, bytes: Uint8Array): void {
    const mine = this.#own.credential;
    if (!isJoinMessage(bytes, 1) && !isJoinMessage(bytes, 3)) return;
    if (mine === null || !this.#budgets.take(source, this.#now)) return;
    if (this.#stewardship.authority !== null) {
      const answer = this.#stewardship.joining(bytes, mine);
      if (answer !== null) this.#joinSend(conversation, answer, 0);
      return;
    }
    // Passed on once only: who relays has a session with a steward.
    if (source !== AIR) return;
    const to = this.#relay.pass(conversation, bytes, this.#stewardSessions(), this.#now);
    if (to === null) this.#effect({ type: 'reach', stewards: this.#ledger.stewards() });
    else this.#say(to.steward, { type: 'relay', token: to.token, bytes });
  }

  #joinSend(conversation: string, bytes: Uint8Array, attempt: number): void {
    const [key = '', token] = conversation.split(' ');
    if (token !== undefined && this.#sessions.has(key)) this.#say(key, { type: 'relay', token: Number(token), bytes });
    else this.#effect({ type: 'join-send', conversation, bytes, attempt });
  }

  /** Becomes a steward, or one anew, where the owner has said so. */
  #becomeSteward(): void {
    const der = this.#ledger.isSteward(this.#key) ? this.#ledger.certificateOf(this.#key) : null;
    const { authority: before } = this.#stewardship;
    if (der === null) this.#stewardship.become(null);
    if (der === null || (before !== null && Buffer.compare(before.certificate.der, der) === 0)) return;
    this.#tolerate("the steward's certificate", () => {
      const by = authority(this.#tools, der, this.#secrets, 'steward', this.#keys);
      this.#stewardship.become(by);
      this.#log('info', 'this router is a steward', { ends: new Date(by.certificate.notAfter).toISOString() });
      this.#own.renewBy(by);
      for (const key of this.#stewardSessions()) this.#stewardship.meet(key);
    });
  }

  // Sessions.

  #sessionUp(peer: Peer): void {
    if (this.#sessions.size >= MOST_SESSIONS && !this.#sessions.has(peer.fingerprint)) return;
    this.#sessions.set(peer.fingerprint, {
      peer,
      refused: 0,
      answerAt: this.#now,
      keys: 0,
      keysUntil: this.#now + KEYS_FOR,
    });
    this.#say(peer.fingerprint, { type: 'have', hashes: this.#ledger.items().map(({ hash }) => hash) });
    for (const key of this.#air.keys())
      if (this.#air.isFor(key, peer.fingerprint)) this.#say(peer.fingerprint, this.#airSaid(key));
    if (this.#addresses.length > 0) this.#say(peer.fingerprint, { type: 'here', addresses: this.#addresses });
    if (!this.#ledger.isSteward(peer.fingerprint)) return;
    this.#stewardship.meet(peer.fingerprint);
    for (const { conversation, bytes } of this.#relay.unpark(this.#now)) this.#joinAsked(conversation, AIR, bytes);
    this.#own.stewardCame();
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
        // All of it again would be a lot for a little.
        if (this.#now < session.answerAt) return;
        session.answerAt = this.#now + ANSWER_TIME;
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
        if (this.#budgets.take(key, this.#now)) this.#stewardship.renew(session.peer, said.spki);
        return;
      case 'renewed':
        this.#own.renewed(said, key);
        return;
      case 'invited':
      case 'issued':
        if (isSteward) this.#stewardship.heard(key, said);
        return;
      case 'relay': {
        if (this.#stewardship.authority !== null) {
          this.#joinAsked(`${key} ${said.token}`, key, said.bytes);
          return;
        }
        const conversation = isSteward ? this.#relay.back(key, said.token, said.bytes, this.#now) : null;
        if (conversation !== null) this.#joinSend(conversation, said.bytes, 0);
        return;
      }
      case 'ask-key':
        if (this.#budgets.take(key, this.#now)) this.#say(key, { type: 'key', spki: this.candidate().spki });
        return;
      case 'key':
        this.#candidates.set(key, said.spki);
        return;
      case 'air-key': {
        if (this.#now >= session.keysUntil) Object.assign(session, { keys: 0, keysUntil: this.#now + KEYS_FOR });
        session.keys += 1;
        if (session.keys > MOST_KEYS) return;
        const { epoch, secret, ageMs, against } = said;
        if (!this.#air.take(epoch, secret, ageMs, against, this.#now)) return;
        this.#log('info', 'a key of the air has come', { epoch, from: session.peer.node });
        const fresh = this.#air.keys().find((one) => Buffer.compare(one.secret, secret) === 0);
        if (fresh !== undefined) this.#handOn(fresh, key);
        return;
      }
      case 'here':
        if (this.#budgets.take(`${key} here`, this.#now))
          this.#journal(this.#gate.claimed(key, session.peer.node, said.addresses));
        return;
      case 'vouch':
        if (this.#budgets.take(key, this.#now)) this.#stewardship.vouch(session.peer, said);
        return;
      case 'vouched':
        if (isSteward) this.#effect(said);
    }
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
    this.#keeping.items();
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
    this.#own.revoked();
  }

  // The keys of the air, and whose frames come in.

  #revokedKeys(): string[] {
    return this.#ledger.revoked().map(({ key }) => key);
  }

  /** Who was revoked knows the mesh key: it says nothing any more, also when the revocation itself is forgotten. */
  #isMixed(): boolean {
    const { isMixed, meshKey } = this.#settings;
    return isMixed && this.#ledger.revoked().length === 0 && !this.#voidKeys.has(meshKey);
  }

  #handOn(key: AirKey, from: string | null): void {
    const said = this.#airSaid(key);
    for (const to of this.#sessions.keys()) if (to !== from && this.#air.isFor(key, to)) this.#say(to, said);
  }

  #airSaid({ epoch, secret, born, against }: AirKey): Gossip & { type: 'air-key' } {
    return { type: 'air-key', epoch, secret, ageMs: (this.#now - born) / MS, against };
  }

  /** At the end of each turn: whatever happened in it may have changed them. */
  #settleAir(): void {
    const isMember = this.#own.credential !== null;
    const revoked = this.#ledger.revoked();
    this.#air.settle(isMember, this.#revokedKeys(), this.#now);
    const { meshKey } = this.#settings;
    if (revoked.length > 0 && meshKey !== '' && !this.#voidKeys.has(meshKey)) {
      this.#voidKeys.add(meshKey);
      this.#keeping.voidKey(meshKey);
    }
    const names = new Map(this.#ledger.stewards().map(({ fingerprint: key, node }) => [key, node]));
    this.#journal(
      this.#gate.revoke(
        new Map(
          revoked.map(({ key, node, by, isByOwner }) => [
            key,
            { node, by: isByOwner ? 'the owner' : (names.get(by) ?? by.slice(0, 16)) },
          ]),
        ),
        this.#now,
      ),
    );
    const isOut = this.#ledger.has(this.#key);
    const keys = this.#air.keys();
    const sending = this.#air.sending?.id ?? null;
    const isMixed = this.#isMixed();
    const told = isMember || isOut ? [sending, isMixed, ...keys.map(({ id }) => id)].join() : '';
    if (told !== this.#airTold) {
      this.#airTold = told;
      this.#effect({
        type: 'air',
        state:
          told === '' ? null : { keys: keys.map(({ id, epoch, secret }) => ({ id, epoch, secret })), sending, isMixed },
      });
    }
    const kept = keys.map(({ id }) => id).join();
    if (kept !== this.#airKept) {
      this.#airKept = kept;
      this.#effect({ type: 'keep-air', keys: keys.map((key) => this.#airSaid(key)) });
    }
    const state = { admitted: this.#gate.admitted(this.#now), isolated: this.#gate.isolated() };
    const gate = JSON.stringify(state);
    if (gate === this.#gateTold) return;
    this.#gateTold = gate;
    this.#effect({ type: 'gate', state });
  }

  #journal(news: readonly GateNews[]): void {
    for (const { what, who, why } of news) this.#effect({ type: 'decided', what, who, why });
    if (news.length === 0) return;
    const now = new Set(this.#gate.outcasts().map(({ key }) => key));
    for (const one of this.#gate.outcasts()) this.#keeping.outcast(one);
    for (const key of this.#keptOutcasts) if (!now.has(key)) this.#keeping.admittedAnew(key);
    this.#keptOutcasts = now;
  }

  /** Mesh keys that somebody knows who was revoked. */
  readonly #voidKeys = new Set<string>();
  #keptOutcasts: ReadonlySet<string> = new Set();

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
    const id = this.#own.credential?.id;
    const own = this.#ledger.certificateOf(this.#key);
    return (
      id?.split('/').at(-1) ?? (own === null ? null : readCertificate(own)?.commonName) ?? nodeOfKey(this.#identity)
    );
  }

  #wall(): number {
    return this.#calendar.now(this.#now);
  }

  #stewardSessions(): string[] {
    return [...this.#sessions.keys()].filter((key) => this.#ledger.isSteward(key));
  }

  #say(key: string, said: Gossip): void {
    this.#effect({ type: 'send', key, bytes: writeGossip(said) });
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
