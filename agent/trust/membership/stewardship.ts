/**
 * A steward's work: inviting, letting in, renewing, revoking, and telling the other stewards. Part of the membership machine
 * (membership.ts).
 */
import { AgentError } from '../../core/errors.ts';
import type { Nanos } from '../../core/time.ts';
import { type Given, vouch } from '../../workload/vouch.ts';
import { readCertificate } from '../certificate/certificate.ts';
import type { Credential } from '../certificate/credential.ts';
import { type Authority, authority, issueRouter } from '../certificate/issue.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import type { Peer, Refused } from '../certificate/verify.ts';
import type { Attestor } from '../join/attest.ts';
import { type Claimed, Invitations, type Invited, invitationIn, invitationText } from '../join/invitation.ts';
import { type Admission, Admitter, type Applicant, isJoinMessage, type Rejection } from '../join/messages.ts';
import { renewalAttestor } from '../join/renewal.ts';
import { fingerprint, nodeOfKey } from '../keys/router.ts';
import { SecretBytes } from '../keys/secret.ts';
import type { Loose } from '../ledger/item.ts';
import type { Barred, Taken } from '../ledger/ledger.ts';
import { sayOfCredential, sayRevocation } from '../ledger/statement.ts';
import type { Gossip } from './gossip.ts';
import { KeptInvitations } from './invited.ts';
import { Members } from './members.ts';
import { type Came, Provenance } from './provenance.ts';
import type { Router } from './router.ts';
import type { Sessions } from './sessions.ts';
import type { Member } from './words.ts';

/** What it has of the other parts. */
export interface Office {
  readonly attestors: readonly Attestor[];
  /** Its own name. */
  nodeName(): string;
  /** Its own certificate, issued by itself. */
  renewOwn(by: Authority): void;
  take(item: Loose): Taken;
}

/** Longer than any certificate is good for. */
const LONGEST_LIFE_MS = 8 * 24 * 3_600_000;
/** How long a revocation of a router is kept: longer than any of its certificates and their grace can last. */
const REVOKED_FOR_MS = 60 * 24 * 3_600_000;
/** Keys that are revoked here on the word of one other steward, of the few that a steward may revoke. */
const MOST_ON_WORD = 8;

export class Stewardship {
  readonly #router: Router;
  readonly #sessions: Sessions;
  readonly #office: Office;
  readonly #invitations: Invitations;
  readonly #members: Members;
  readonly #provenance: Provenance;
  /** Credentials, with keys, that could not be barred: not signed again at each turn. */
  readonly #unbarred = new Set<string>();
  readonly #kept: KeptInvitations;
  /** Which keys each other steward has said to have come by an invitation that was used here. */
  readonly #saidTwice = new Map<string, Set<string>>();
  #authority: Authority | null = null;
  #admitter: Admitter | null = null;

  constructor(router: Router, sessions: Sessions, office: Office) {
    this.#router = router;
    this.#sessions = sessions;
    this.#office = office;
    this.#invitations = new Invitations(router.key);
    this.#members = new Members(router.keeping, router.key);
    this.#provenance = new Provenance(router.keeping, router.key);
    this.#kept = new KeptInvitations(router, this.#invitations);
  }

  /** null where this router is no steward. */
  get authority(): Authority | null {
    return this.#authority;
  }

  /** Becomes one, is one anew, or is one no longer, where the owner has said so. */
  appoint(): void {
    this.#appoint();
    // Of those alone that it has let in itself: what another has said would outlast that one's revocation under this one's name.
    const { ledger } = this.#router;
    for (const one of this.#provenance.own())
      if (this.#authority !== null && ledger.has(one.key)) this.#bar(this.#authority, one);
  }

  #appoint(): void {
    const router = this.#router;
    const { tools, secrets, keys, key, ledger } = router;
    const der = ledger.isSteward(key) ? ledger.certificateOf(key) : null;
    const before = this.#authority;
    this.#forsake();
    if (der === null) this.#become(null);
    if (der === null || (before !== null && Buffer.compare(before.certificate.der, der) === 0)) return;
    router.tolerate("the steward's certificate", () => {
      const by = authority(tools, der, secrets, 'steward', keys);
      this.#become(by);
      router.log('info', 'this router is a steward', { ends: new Date(by.certificate.notAfter).toISOString() });
      this.#office.renewOwn(by);
      for (const other of this.#sessions.stewards()) this.meet(other);
    });
  }

  /** Throws E_FORBIDDEN. */
  authorised(what: string): Authority {
    const by = this.#authority;
    if (by === null && this.#router.ledger.bundle === null) {
      const ways = 'x0ctl mesh init founds a mesh, x0ctl join joins one';
      throw new AgentError('E_FORBIDDEN', `this router is in no mesh yet and cannot ${what}: ${ways}`);
    }
    if (by === null)
      throw new AgentError('E_FORBIDDEN', `only a steward may ${what}: the owner makes one with x0ctl mesh steward`);
    if (by.certificate.notAfter < this.#router.wallMs)
      throw new AgentError('E_FORBIDDEN', "the steward's certificate has ended: x0ctl mesh steward makes another");
    return by;
  }

  members(): Member[] {
    return this.#members.all();
  }

  claims(): Claimed[] {
    return this.#invitations.claims();
  }

  openInvitations(): number {
    return this.#invitations.open().length;
  }

  /** What was kept. */
  remember(
    members: readonly Member[],
    claims: readonly Claimed[],
    invited: readonly Invited[],
    came: readonly Came[],
  ): void {
    for (const one of came) this.#provenance.remember(one);
    for (const one of members) this.#members.remember(one);
    for (const one of claims) this.#invitations.claim(one);
    for (const one of invited) this.#invitations.learn(one);
    if (this.#invitations.prune(this.#router.wallMs)) this.#kept.later();
  }

  deadline(): Nanos {
    return this.#kept.deadline();
  }

  tick(): void {
    this.#kept.tick();
  }

  invite(node: string, lifeMs: number): { readonly text: string; readonly id: string; readonly untilMs: number } {
    const { tools, ledger, wallMs } = this.#router;
    if (node !== '') this.#requireFree(node, null);
    const one = this.#invitations.issue(tools.random, node === '' ? null : node, wallMs + lifeMs);
    this.#kept.now();
    this.#tellStewards(invited(one));
    const { id, secret, untilMs } = one;
    return { text: invitationText({ id, secret, anchor: ledger.anchor! }), id, untilMs };
  }

  /** What is answered to a message of a joining; null for nothing. */
  joining(bytes: Uint8Array, { agreement, chain }: Credential): Uint8Array | null {
    const { wallMs } = this.#router;
    if (this.#admitter === null) return null;
    if (isJoinMessage(bytes, 1)) return this.#admitter.challenge(bytes, chain, wallMs);
    return this.#admitter.answer(bytes, { agreement, chain }, wallMs, (who) => this.#admit(who))?.bytes ?? null;
  }

  /** A new certificate for whoever has a session. */
  renew(peer: Peer, spki: Uint8Array): void {
    const router = this.#router;
    const { ledger, wallMs: timeMs } = router;
    const say = (chain: readonly Uint8Array[], reason: string, message: string) =>
      router.say(peer.fingerprint, { type: 'renewed', chain, reason, message, timeMs });
    try {
      const by = this.authorised('renew');
      if (ledger.has(peer.fingerprint)) throw new AgentError('E_FORBIDDEN', 'it was revoked');
      const chain = this.#issue(by, { node: peer.node, spki, ...peer.keys });
      this.issued(peer.fingerprint, peer.node, chain, '');
      say(chain, '', '');
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      router.effect({ type: 'decided', what: 'not-renewed', who: peer.node, why: thrown.message });
      say([], thrown.code === 'E_FORBIDDEN' ? 'forbidden' : 'malformed', thrown.message);
    }
  }

  /** For a program on a router that has a session: under that router's name, and not past its certificate's end. */
  vouch(peer: Peer, said: Gossip & { type: 'vouch' }): void {
    const { tools, ledger, wallMs } = this.#router;
    const say = (given: Given, message: string) =>
      this.#router.say(peer.fingerprint, { type: 'vouched', token: said.token, ...given, message });
    try {
      const by = this.authorised('vouch for programs');
      if (ledger.has(peer.fingerprint)) throw new AgentError('E_FORBIDDEN', 'it was revoked');
      const lifeMs = Math.min(said.lifeMs, peer.notAfter - wallMs);
      const router = { trustDomain: ledger.bundle!.trustDomain, node: peer.node, wallMs };
      say(vouch(tools, by, { ...said, lifeMs }, router), '');
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      say({ chain: [], jwt: '' }, thrown.message.slice(0, 255));
    }
  }

  /** `isAsked`: by a person; else on another steward's word, which bars no credential that it has told of. */
  revoke(key: string, node: string, why: string, isAsked: boolean): void {
    const { ledger, wallMs: at } = this.#router;
    const by = this.authorised('revoke');
    const domain = ledger.bundle!.trustDomain;
    const bytes = sayRevocation(by.identity, { domain, key, node, at, until: at + REVOKED_FOR_MS });
    const outcome = this.#office.take({ kind: 'revocation', bytes });
    if (typeof outcome !== 'string') throw new AgentError('E_FORBIDDEN', outcome.refused);
    this.#members.forget(key);
    this.#router.effect({ type: 'decided', what: 'revoked', who: node, why });
    const came = this.#provenance.get(key);
    if (came !== undefined && (isAsked || came.by === this.#router.key)) this.#bar(by, came);
    for (const credential of came?.credentials ?? [])
      for (const other of this.#provenance.by(credential))
        if (!ledger.has(other.key))
          this.#router.log(
            'warning',
            'another router came by the same credential: revoke it too, if it is the same one',
            {
              node: other.node,
              key: other.key,
              credential,
            },
          );
    if (
      came === undefined &&
      this.#office.attestors.length > 0 &&
      !this.#invitations.claims().some((one) => one.key === key)
    )
      this.#router.log(
        'warning',
        'by which credential it came is not known here: where it was an SSH host key or a certificate, take it off the stewards',
        { node, key },
      );
  }

  /** A certificate was made, by this steward: the others are told. */
  issued(key: string, node: string, chain: readonly Uint8Array[], invitation: string): void {
    const { notAfter } = readCertificate(chain[0]!)!;
    this.#members.note({ key, node, notAfter, by: this.#router.key });
    this.#tellStewards({ type: 'issued', key, node, untilMs: notAfter, invitation });
  }

  /** Another steward, to whom there is a session now, is told whom this one has invited and let in. */
  meet(key: string): void {
    if (this.#authority === null) return;
    // Its own alone: whose the others are would be lost, and with a steward's revocation its invitations end too.
    for (const one of this.#invitations.all()) if (one.by === undefined) this.#router.say(key, invited(one));
    const claims = new Map(this.#invitations.claims().map(({ key: by, id }) => [by, id]));
    for (const { key: member, node, notAfter } of this.#members.all()) {
      const invitation = claims.get(member) ?? '';
      this.#router.say(key, { type: 'issued', key: member, node, untilMs: notAfter, invitation });
    }
  }

  /** Another steward, which knows what that is for, is told by which credentials those came that this one has let in. */
  tellProvenance(key: string): void {
    if (this.#authority === null) return;
    for (const one of this.#provenance.own()) if (isTold(one)) this.#router.say(key, cameOf(one));
  }

  /** Credentials that let nobody in. */
  barred(): Barred[] {
    const { ledger } = this.#router;
    const found = new Map(ledger.barred().map((one) => [`${one.credential} ${one.key}`, one]));
    for (const { key, node, at } of ledger.revoked())
      for (const credential of this.#provenance.get(key)?.credentials ?? [])
        if (!found.has(`${credential} ${key}`) && !ledger.isReadmitted(credential, key))
          found.set(`${credential} ${key}`, { credential, key, node, at });
    return [...found.values()].filter(({ credential }) => !isInvitation(credential));
  }

  /** What another steward tells. */
  heard(from: string, said: Gossip & { type: 'invited' | 'issued' | 'came' }): void {
    if (this.#authority === null || (said.node !== '' && !isNodeId(said.node))) return;
    if (said.type === 'came') {
      const { key, node, credentials } = said;
      // Of who is revoked already nothing is believed but what is declared: a captured steward could bar whom it likes.
      if (node !== '' && !this.#router.ledger.has(key)) this.#provenance.note({ key, node, credentials, by: from });
      return;
    }
    if (said.type === 'invited') {
      const secret = new SecretBytes(Uint8Array.from(said.secret));
      const node = said.node === '' ? null : said.node;
      if (this.#invitations.learn({ id: said.id, secret, node, untilMs: said.untilMs, by: from })) this.#kept.later();
      return;
    }
    const { key, node, untilMs, invitation } = said;
    if (node === '' || untilMs > this.#router.wallMs + LONGEST_LIFE_MS) return;
    const holder = this.members().find(
      (one) => one.node === node && one.key !== key && !this.#router.ledger.has(one.key),
    );
    if (holder === undefined) this.#members.note({ key, node, notAfter: untilMs, by: from });
    // Noted, it would outlast the revocation of who let it in, under a name that rules and tunnels go by.
    else
      this.#router.log(
        'warning',
        'a steward has let another router in under a name that is taken: revoke one of the keys',
        {
          node,
          key,
          known: holder.key,
          by: from.slice(0, 32),
        },
      );
    if (invitation !== '') this.#claim({ id: invitation, key, node, by: from });
  }

  prune(): void {
    const { leastMs, wallMs } = this.#router;
    if (this.#invitations.prune(wallMs)) this.#kept.later();
    this.#members.prune(leastMs - this.#router.settings.graceMs);
  }

  /** What a steward has invited that is revoked now lets nobody in: it may have planted them for the day after. */
  #forsake(): void {
    const { ledger } = this.#router;
    const planted = this.#invitations.all().filter(({ by }) => by !== undefined && ledger.has(by));
    for (const { id } of planted) this.#invitations.withdraw(id);
    if (planted.length > 0) this.#kept.later();
  }

  #become(by: Authority | null): void {
    this.#authority = by;
    if (by === null) this.#admitter = null;
    this.#admitter ??= by === null ? null : this.#admitting();
  }

  #tellStewards(said: Gossip): void {
    this.#sessions.tell(this.#sessions.stewards(), said);
  }

  #admitting(): Admitter {
    const { tools } = this.#router;
    const returning = renewalAttestor(tools.suite, (chain) => this.#believeReturn(chain));
    return new Admitter(tools, [this.#invitations, ...this.#office.attestors, returning]);
  }

  #admit({ identity, agreement, spki, method, evidence, attested }: Applicant): Admission | Rejection {
    const router = this.#router;
    const { ledger } = router;
    const key = fingerprint(identity);
    const node = attested.node ?? nodeOfKey(identity);
    try {
      if (ledger.has(key)) throw new AgentError('E_FORBIDDEN', 'it was revoked');
      for (const credential of attested.credentials) this.#requireUnbarred(credential, key);
      if (method !== 'renewal') this.#requireFree(node, key);
      const chain = this.#issue(this.authorised('admit'), { node, spki, identity, agreement });
      const invitation = method === 'invitation' ? invitationIn(evidence) : '';
      if (invitation !== '') this.#claim({ id: invitation, key, node, by: this.#router.key });
      if (attested.credentials.length > 0) this.#came({ key, node, credentials: attested.credentials, by: router.key });
      this.issued(key, node, chain, invitation);
      router.effect({ type: 'decided', what: 'admitted', who: node, why: attested.how });
      return { ok: true, chain, items: this.#items(method === 'renewal') };
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      const reason = thrown.code === 'E_FORBIDDEN' ? 'revoked' : thrown.code === 'E_USAGE' ? 'name-taken' : 'malformed';
      router.effect({ type: 'decided', what: 'not-admitted', who: node, why: thrown.message });
      return { ok: false, reason, message: thrown.message };
    }
  }

  /** Throws E_FORBIDDEN where another router came by the same, and was revoked. */
  #requireUnbarred(credential: string, key: string): void {
    const { ledger } = this.#router;
    const seen = this.#provenance.by(credential).map((one) => ({ ...one, credential }));
    const gone = [...ledger.barred(), ...seen.filter((one) => ledger.has(one.key))].find(
      (one) => one.credential === credential && one.key !== key && !ledger.isReadmitted(credential, one.key),
    );
    if (gone !== undefined)
      throw new AgentError(
        'E_FORBIDDEN',
        `${gone.node}, which came by the same credential, was revoked: x0ctl mesh readmit lets it in again (${credential})`,
      );
  }

  #came(one: Came): void {
    this.#provenance.note(one);
    if (!isTold(one)) return;
    const others = this.#sessions.stewards().filter((key) => this.#sessions.get(key)?.knowsBars === true);
    this.#sessions.tell(others, cameOf(one));
  }

  /** What a router came by that is revoked: it lets nobody in any more, at any steward. */
  #bar(by: Authority, { key, node, credentials }: Came): void {
    const { ledger, wallMs: at } = this.#router;
    const { trustDomain: domain } = ledger.bundle!;
    for (const credential of credentials) {
      const id = `${credential} ${key}`;
      const isBarred = ledger.barred().some((one) => one.credential === credential && one.key === key);
      if (isBarred || isInvitation(credential) || ledger.isReadmitted(credential, key) || this.#unbarred.has(id))
        continue;
      this.#unbarred.add(id);
      const body = { kind: 'bar', domain, credential, key, node, at } as const;
      const outcome = this.#office.take({ kind: 'revocation', bytes: sayOfCredential(by.identity, body) });
      if (typeof outcome === 'string') this.#unbarred.delete(id);
      else
        this.#router.log('error', 'a credential could not be barred: take it off every steward', {
          node,
          credential,
          why: outcome.refused,
        });
    }
  }

  /**
   * What a joiner needs to believe its certificate, and no more, since a message has bounds: the newest bundle, and all to one that
   * may have missed some; the rest it is told with its first session.
   */
  #items(all: boolean): Loose[] {
    const { ledger } = this.#router;
    const bundles = ledger.items().filter(({ kind }) => kind === 'bundle');
    const own = ledger.certificateOf(this.#router.key);
    return [
      ...(all ? bundles : bundles.slice(-1)),
      ...(own === null ? [] : [{ kind: 'steward' as const, bytes: own }]),
    ];
  }

  #issue(by: Authority, router: Parameters<typeof issueRouter>[2]): readonly Uint8Array[] {
    const { tools, wallMs, settings } = this.#router;
    return issueRouter(tools, by, router, { wallMs, lifeMs: settings.lifeMs });
  }

  /** Throws E_USAGE where another router has the name. */
  #requireFree(node: string, key: string | null): void {
    const { ledger, key: own } = this.#router;
    const others = [...ledger.stewards(), ...this.#sessions.peers()].map((one) => ({
      node: one.node,
      key: one.fingerprint,
    }));
    const holder = [...this.members(), ...others, { node: this.#office.nodeName(), key: own }].find(
      (one) => one.node === node && one.key !== key && !ledger.has(one.key),
    );
    if (holder !== undefined)
      throw new AgentError('E_USAGE', `another router is called ${node}: revoke it first, or give another name`);
  }

  /** Who comes back was let in before: by a steward that is believed, or by one of whom this router had heard it then. */
  #believeReturn(chain: readonly Uint8Array[]): Peer | Refused {
    const { ledger, verifier, wallMs, settings } = this.#router;
    const leaf = readCertificate(chain[0] ?? new Uint8Array(0))?.bound;
    const own = leaf == null ? '' : fingerprint(leaf.identity);
    const revoked = this.#members.has(own) ? { has: (key: string) => key === own && ledger.has(key) } : ledger;
    return verifier.verifyPeer(chain, ledger.bundle!, revoked, wallMs, settings.graceMs);
  }

  /**
   * An invitation was used. Where it was used here already by another key, one of the two has stolen it, and nobody can
   * tell which: each steward revokes whom the other let in. Not its own, nor who is known to have come by another invitation:
   * then another's word could shut out anybody, and this steward's signature would outlast that one's revocation.
   */
  #claim(one: Claimed): void {
    const router = this.#router;
    const { ledger, key: own } = router;
    const { known, forgotten } = this.#invitations.claim(one);
    // There is no room for more of this steward's word.
    if (forgotten === one.id) return;
    if (forgotten !== null) router.effect({ type: 'keep', key: `claim ${forgotten}`, value: null, isUrgent: false });
    if (known === null) {
      const value = `${one.key} ${one.node} ${one.by}`;
      router.effect({ type: 'keep', key: `claim ${one.id}`, value, isUrgent: true });
      return;
    }
    if (known.by !== own || one.by === own || ledger.has(one.key) || ledger.isSteward(one.key)) return;
    const said = this.#saidTwice.get(one.by) ?? new Set();
    if (said.has(one.key) || said.size >= MOST_ON_WORD) return;
    this.#saidTwice.set(one.by, said.add(one.key));
    const fields = { invitation: one.id, here: known.node, elsewhere: one.node, by: one.by.slice(0, 32) };
    if (this.#invitations.claims().some(({ id, key }) => key === one.key && id !== one.id)) {
      router.log('warning', 'a steward says that an invitation was used twice, by who came by another one', fields);
      return;
    }
    const message = 'AN INVITATION WAS USED TWICE: one of the two routers has stolen it, and both are revoked';
    router.log('error', message, fields);
    this.revoke(one.key, one.node, 'its invitation was used twice', false);
  }
}

function invited({ id, secret, node, untilMs }: Invited): Gossip {
  return { type: 'invited', id, secret: secret.reveal(), node: node ?? '', untilMs };
}

function cameOf({ key, node, credentials }: Came): Gossip {
  return { type: 'came', key, node, credentials };
}

/** Which invitation it was, `issued` says. */
function isTold({ credentials }: Came): boolean {
  return !credentials.every(isInvitation);
}

/** Good once, it need not be barred. */
function isInvitation(credential: string): boolean {
  return credential.startsWith('invitation:');
}
