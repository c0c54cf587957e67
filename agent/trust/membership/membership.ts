/**
 * A router's membership: how it gets in, keeps its certificate fresh, lets others in where it is a steward, and learns
 * what the mesh believes. A machine like the others, but with a tape of its own: what it handles are secrets, and they do
 * not belong into a recording. It is told events and the monotonic time and answers with effects; a transport
 * (agent/peer) carries its bytes, asks it whom to believe (`verify`), and ends the sessions that it no longer believes in.
 *
 * Each thing that it does is a part of its own, which stands beside it and shares `Router` with the others; here it is said
 * which part an event is for, and what one part brings about in another.
 */
import { AgentError } from '../../core/errors.ts';
import { type Nanos, NEVER, SECOND } from '../../core/time.ts';
import type { Wanted } from '../../workload/vouch.ts';
import { Calendar } from '../certificate/calendar.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import type { Tools } from '../certificate/tools.ts';
import type { Peer, Refused } from '../certificate/verify.ts';
import type { Attestor, Prover } from '../join/attest.ts';
import { type Invited, invitationProver, readInvitation } from '../join/invitation.ts';
import { renewalProver } from '../join/renewal.ts';
import type { RouterSecrets } from '../keys/router.ts';
import type { Loose } from '../ledger/item.ts';
import type { Barred, Item } from '../ledger/ledger.ts';
import { readStatement } from '../ledger/statement.ts';
import { Air } from './air.ts';
import { Budgets } from './budget.ts';
import { Callers } from './callers.ts';
import { type Candidate, Candidates } from './candidates.ts';
import { BARS, type Gossip, readGossip } from './gossip.ts';
import { Joining } from './joining.ts';
import { recollect } from './kept.ts';
import { OwnCertificate } from './own.ts';
import { Router } from './router.ts';
import { type Session, Sessions } from './sessions.ts';
import { Spreading } from './spreading.ts';
import { Stewardship } from './stewardship.ts';
import { type Parts, viewOf, vouchingOf } from './view.ts';
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

const PRUNE_EVERY: Nanos = 3600 * SECOND;

export class Membership {
  readonly #router: Router;
  readonly #sessions: Sessions;
  readonly #spreading: Spreading;
  readonly #candidates: Candidates;
  readonly #own: OwnCertificate;
  readonly #joining: Joining;
  readonly #stewardship: Stewardship;
  readonly #air: Air;
  readonly #callers: Callers;
  readonly #budgets = new Budgets();
  readonly #parts: Parts;
  #pruneAt: Nanos = NEVER;

  constructor(tools: Tools, secrets: RouterSecrets, settings: TrustSettings, attestors: readonly Attestor[] = []) {
    const router = new Router(tools, secrets, settings);
    const sessions = new Sessions(router);
    this.#router = router;
    this.#sessions = sessions;
    this.#spreading = new Spreading(router, sessions, {
      distrusted: () => {
        sessions.endDistrusted();
        this.#own.revoked();
      },
      declared: () => this.#stewardship.appoint(),
    });
    this.#own = new OwnCertificate(router, {
      steward: () => this.#stewardship.authority,
      stewards: () => sessions.stewards(),
      issued: (chain) => this.#stewardship.issued(router.key, this.#own.nodeName(), chain, ''),
      renewByJoining: ({ chain }) => {
        if (!this.#joining.isUnderWay)
          this.#joining.begin(renewalProver(router.keys.identity, chain), router.ledger.anchor!, true);
      },
    });
    this.#joining = new Joining(router, {
      send: (bytes, attempt) => this.#callers.send(OWN, bytes, attempt),
      joined: (items) => {
        for (const one of items) this.#spreading.take(one, null);
        this.#stewardship.appoint();
      },
      replace: (salt, chain) => this.#own.replace(salt, chain),
    });
    this.#stewardship = new Stewardship(router, sessions, {
      attestors,
      nodeName: () => this.#own.nodeName(),
      renewOwn: (by) => this.#own.renewBy(by),
      take: (item) => this.#spreading.take(item, null),
    });
    this.#callers = new Callers(router, {
      sessions,
      stewardship: this.#stewardship,
      budgets: this.#budgets,
      credential: () => this.#own.credential,
    });
    this.#air = new Air(router, sessions, {
      isMember: () => this.#own.credential !== null,
      isSteward: () => this.#stewardship.authority !== null,
    });
    this.#candidates = new Candidates(router, sessions, {
      nodeName: () => this.#own.nodeName(),
      members: () => this.members(),
      claims: () => this.#stewardship.claims(),
    });
    this.#parts = {
      router,
      sessions,
      own: this.#own,
      joining: this.#joining,
      stewardship: this.#stewardship,
      air: this.#air,
    };
  }

  settle(settings: TrustSettings): void {
    this.#router.settings = settings;
  }

  on(event: TrustEvent, now: Nanos): TrustEffect[] {
    return this.#turn(now, () => this.#told(event)).effects;
  }

  deadline(): Nanos {
    return Math.min(
      this.#own.deadline(),
      this.#joining.deadline(),
      this.#stewardship.deadline(),
      this.#pruneAt,
      this.#spreading.deadline(),
      this.#air.deadline(),
    );
  }

  /** Whom a chain proves, as far as this router can know the time. Never throws. */
  verify(chain: readonly Uint8Array[], now: Nanos): Peer | Refused {
    const { bundle } = this.#router.ledger;
    if (bundle === null) return { ok: false, code: 'E_SVID', reason: 'unknown-issuer', message: 'no mesh was joined' };
    return this.#router.believe(chain, bundle, this.#own.graceMs(now), now);
  }

  /** Joins with an invitation's text. Throws E_USAGE for one that is none, or where this router is in a mesh already. */
  join(invitation: string, now: Nanos): TrustEffect[] {
    const one = readInvitation(invitation);
    return this.joinWith(invitationProver(one), one.anchor, now);
  }

  /** Joins another way. `anchor`: 32 digits or more of the fingerprint of the owner's key. Throws E_USAGE. */
  joinWith(prover: Prover, anchor: string, now: Nanos): TrustEffect[] {
    // Less than 128 bits of it somebody may be able to make a key for that has the same ones.
    if (!/^[0-9a-f]{32,64}$/.test(anchor))
      throw new AgentError('E_USAGE', "the mesh is named by 32 to 64 digits of the fingerprint of its owner's key");
    const { credential: mine } = this.#own;
    if (mine !== null && this.#own.state(this.#router.calendar.now(now)) !== 'ended')
      throw new AgentError('E_USAGE', `this router is ${mine.id} already`);
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
   * Revokes a router: by a steward. Stewards are revoked by the owner (`install`). `by`: who asked for it. Throws
   * E_FORBIDDEN, E_NOT_FOUND.
   */
  revoke(whom: string, now: Nanos, by = 'a person'): TrustEffect[] {
    this.#stewardship.authorised('revoke');
    const { key, node } = this.find(whom);
    if (this.#router.ledger.isSteward(key))
      throw new AgentError('E_FORBIDDEN', `${node} is a steward: only the owner's key revokes it`);
    return this.#turn(now, () => this.#stewardship.revoke(key, node, `${by} asked for it`, true)).effects;
  }

  /** A router by its name or its key's fingerprint (or 32 digits or more of it). Throws E_NOT_FOUND. */
  find(whom: string): { readonly key: string; readonly node: string } {
    return this.#candidates.find(whom);
  }

  /**
   * Takes what the owner has signed: bundles, stewards, revocations. The first bundle of a router that is in no mesh is
   * taken from whoever may call this. Throws E_SVID for what does not hold.
   */
  install(items: readonly Loose[], now: Nanos): TrustEffect[] {
    const { ledger, keeping } = this.#router;
    return this.#turn(now, () => {
      for (const { kind, bytes } of items) {
        if (ledger.bundle === null && kind === 'bundle') {
          ledger.found(bytes, readStatement(bytes)?.signer ?? '');
          keeping.items();
          continue;
        }
        const outcome = this.#spreading.take({ kind, bytes }, null);
        if (typeof outcome !== 'string') throw new AgentError('E_SVID', outcome.refused);
        const body = kind === 'revocation' ? readStatement(bytes)?.body : undefined;
        if (body?.kind === 'revocation' && !ledger.has(body.key))
          throw new AgentError(
            'E_SVID',
            `the revocation of ${body.node} has ended already: is the clock right by which it was signed?`,
          );
      }
    }).effects;
  }

  /** With which classical key would this router issue? For the owner, who makes it a steward. */
  candidate(): Candidate {
    return this.#candidates.own();
  }

  /** The same of another router, by its session: null while its answer is awaited. Throws E_NOT_FOUND. */
  candidateOf(whom: string, now: Nanos): { found: Candidate | null; effects: TrustEffect[] } {
    const { key, found } = this.#candidates.of(whom);
    if (found !== null) return { found, effects: [] };
    return { found, effects: this.#turn(now, () => this.#router.say(key, { type: 'ask-key' })).effects };
  }

  /** What programs on this router rest on (agent/workload); null while this router has no identity of its own. */
  vouching(now: Nanos): Vouching | null {
    return vouchingOf(this.#parts, now);
  }

  /** Asks a steward for something for a program on this router; 'vouched' with this token answers. Throws E_BUSY. */
  vouchFor(token: number, wanted: Wanted, now: Nanos): TrustEffect[] {
    const stewards = this.#sessions.stewards();
    if (this.#own.credential === null || stewards.length === 0)
      throw new AgentError('E_BUSY', 'no steward can be reached, and only a steward vouches for programs');
    const said: Gossip = { type: 'vouch', token, ...wanted };
    return this.#turn(now, () => this.#router.say(stewards[token % stewards.length]!, said)).effects;
  }

  /** `key`: a fingerprint. */
  isRevoked(key: string): boolean {
    return this.#router.ledger.has(key);
  }

  members(): Member[] {
    return this.#stewardship.members();
  }

  /** Credentials that let nobody in, as far as this router knows: by what was declared, and by whom it has seen come. */
  barred(): Barred[] {
    return this.#stewardship.barred();
  }

  items(): Item[] {
    return this.#router.ledger.items();
  }

  view(now: Nanos): TrustView {
    return viewOf(this.#parts, now);
  }

  #told(event: TrustEvent): void {
    const router = this.#router;
    switch (event.type) {
      case 'started':
        this.#start(event.kept, event.wallMs, event.invited ?? []);
        this.#air.restore(event.air ?? []);
        return;
      case 'clock':
        router.calendar.hear(event.wallMs, router.now);
        this.#own.plan();
        return;
      case 'tick':
        this.#air.tick();
        if (router.now >= this.#pruneAt) this.#prune();
        this.#spreading.tick();
        this.#own.tick();
        this.#joining.tick();
        this.#stewardship.tick();
        return;
      case 'session-up':
        this.#sessionUp(event.peer);
        return;
      case 'session-renewed':
        this.#sessions.renewed(event.peer);
        return;
      case 'session-down':
        this.#sessions.down(event.key);
        this.#candidates.left(event.key);
        this.#air.left(event.key);
        this.#own.sessionEnded(event.key);
        return;
      case 'message': {
        const session = this.#sessions.get(event.key);
        if (session !== undefined) this.#heard(session, event.bytes);
        return;
      }
      case 'addresses':
        this.#air.own(event.addresses);
        return;
      case 'proven':
        this.#air.proven(event.address);
        return;
      case 'chance':
        this.#joining.chance();
        return;
      case 'joining':
        if (event.conversation === OWN) this.#joining.answered(event.bytes);
        else this.#callers.asked(event.conversation, event.bytes);
    }
  }

  #turn<T>(now: Nanos, work: () => T): T & { effects: TrustEffect[] } {
    return this.#router.turn(now, () => {
      const answer = work();
      this.#air.settle();
      return answer;
    });
  }

  #start(kept: readonly Kept[], wallMs: number, invited: readonly Invited[]): void {
    const router = this.#router;
    const { ledger, now } = router;
    const { floorMs, items, claims, members, came, own, voidKeys, outcasts } = recollect(kept);
    router.calendar = new Calendar(floorMs, now);
    router.calendar.hear(wallMs, now);
    this.#pruneAt = now + PRUNE_EVERY;
    for (const { kind, bytes, by } of items) {
      if (kind !== 'bundle' || ledger.bundle !== null) ledger.take(kind, bytes, router.leastMs);
      else router.tolerate('a trust bundle that was kept', () => ledger.found(bytes, by));
    }
    this.#stewardship.remember(members, claims, invited, came);
    this.#air.remember(voidKeys, outcasts);
    this.#stewardship.appoint();
    if (own !== null && ledger.bundle !== null && !ledger.has(router.key)) {
      const [salt, ...chain] = own;
      router.tolerate('the certificate that was kept', () => this.#own.load(salt, chain));
    }
    this.#own.plan();
  }

  #prune(): void {
    const { ledger, keeping, now, leastMs } = this.#router;
    this.#pruneAt = now + PRUNE_EVERY;
    const before = ledger.items();
    ledger.prune(leastMs);
    this.#stewardship.prune();
    for (const { hash } of before) if (!ledger.knows(hash)) keeping.forget(hash);
  }

  #sessionUp(peer: Peer): void {
    const { fingerprint: key } = peer;
    if (!this.#sessions.up(peer)) return;
    this.#spreading.greet(key);
    this.#air.greet(key);
    if (!this.#router.isSteward(key)) return;
    this.#stewardship.meet(key);
    this.#callers.stewardCame();
    this.#own.stewardCame();
  }

  #heard(session: Session, bytes: Uint8Array): void {
    const { peer } = session;
    const { fingerprint: key } = peer;
    const { now } = this.#router;
    const said = readGossip(bytes);
    if (said === null) {
      session.refused += 1;
      return;
    }
    const isSteward = this.#router.isSteward(key);
    switch (said.type) {
      case 'have': {
        const theirs = new Set(said.hashes);
        const isFirst = !session.knowsBars && theirs.has(BARS);
        if (isFirst) session.knowsBars = true;
        this.#spreading.asked(session, theirs);
        if (isFirst && isSteward) this.#stewardship.tellProvenance(key);
        return;
      }
      case 'items':
        this.#spreading.heard(session, said.items);
        return;
      case 'renew':
        if (this.#budgets.take(key, now)) this.#stewardship.renew(peer, said.spki);
        return;
      case 'renewed':
        this.#own.renewed(said, key);
        return;
      case 'invited':
      case 'issued':
      case 'came':
        if (isSteward) this.#stewardship.heard(key, said);
        return;
      case 'relay':
        this.#callers.relayed(key, said.token, said.bytes);
        return;
      case 'ask-key':
        if (this.#budgets.take(key, now)) this.#router.say(key, { type: 'key', spki: this.candidate().spki });
        return;
      case 'key':
        this.#candidates.said(key, said.spki);
        return;
      case 'air-key':
        if (this.#sessions.mayHandKey(session)) this.#air.handed(session, said);
        return;
      case 'here':
        if (this.#budgets.take(`${key} here`, now)) this.#air.claimed(session, said.addresses);
        return;
      case 'vouch':
        // Of its own: what a router's programs ask for costs it no renewal.
        if (this.#budgets.take(`${key} vouch`, now)) this.#stewardship.vouch(peer, said);
        return;
      case 'vouched':
        if (isSteward) this.#router.effect(said);
    }
  }
}
