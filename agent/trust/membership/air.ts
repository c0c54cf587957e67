/**
 * The keys of the air (air/keys.ts) on their way between routers, and whose frames come in (air/gate.ts). Part of the
 * membership machine (membership.ts), at the end of each of whose turns it says what has changed.
 */
import type { Mac } from '../../core/ids.ts';
import { MS, type Nanos, NEVER, SECOND } from '../../core/time.ts';
import { Gate, type GateNews, type Outcast } from '../air/gate.ts';
import { type AirKey, AirKeys, idOf, type KeptAirKey } from '../air/keys.ts';
import type { Gossip } from './gossip.ts';
import type { Router } from './router.ts';
import type { Session, Sessions } from './sessions.ts';
import type { TrustView } from './words.ts';

/** Flash wears, and a member can churn through keys: so often their file is written at once, and again after each such time. */
const WRITES = 24;
const WRITE_AGAIN: Nanos = 600 * SECOND;

/** What it has of the other parts. */
export interface Standing {
  isMember(): boolean;
  isSteward(): boolean;
}

export class Air {
  readonly #router: Router;
  readonly #sessions: Sessions;
  readonly #standing: Standing;
  readonly #keys: AirKeys;
  readonly #gate = new Gate();
  /** Of this router's hard interfaces. */
  #addresses: readonly Mac[] = [];
  /** Mesh keys that somebody knows who was revoked. */
  readonly #voidKeys = new Set<string>();
  /** What was said of each last, or kept. */
  #told = '';
  #kept = '';
  /** When what is not written yet is. */
  #keepAt: Nanos = NEVER;
  #writes = WRITES;
  #writesAt: Nanos = 0;
  #gateTold = '';
  #keptOutcasts: ReadonlySet<string> = new Set();

  constructor(router: Router, sessions: Sessions, standing: Standing) {
    this.#router = router;
    this.#sessions = sessions;
    this.#standing = standing;
    this.#keys = new AirKeys({
      self: router.key,
      rotate: () => router.settings.rotateNs,
      isSteward: () => standing.isSteward(),
      random: router.tools.random,
    });
  }

  /** What was kept, but for the keys. */
  remember(voidKeys: readonly string[], outcasts: readonly Outcast[]): void {
    for (const one of voidKeys) this.#voidKeys.add(one);
    this.#gate.restore(outcasts);
  }

  /** The keys that were kept: those of a member, which this router has to be known as by now. */
  restore(kept: readonly KeptAirKey[]): void {
    const { now } = this.#router;
    this.#kept = kept.map(({ secret }) => idOf(secret)).join();
    this.#keys.settle(this.#standing.isMember(), this.#revokedKeys(), now);
    if (this.#standing.isMember()) this.#keys.restore(kept, now);
  }

  deadline(): Nanos {
    return Math.min(this.#keys.deadline(), this.#gate.deadline(), this.#keepAt);
  }

  tick(): void {
    const made = this.#keys.tick(this.#router.now);
    if (made === null) return;
    this.#router.log('info', 'a new key of the air is made here', { epoch: made.epoch });
    this.#handOn(made, null);
  }

  /** What a router is told with which a session begins. */
  greet(to: string): void {
    for (const key of this.#keys.keys()) if (this.#keys.isFor(key, to)) this.#router.say(to, this.#said(key));
    if (this.#addresses.length > 0) this.#router.say(to, { type: 'here', addresses: this.#addresses });
  }

  left(key: string): void {
    this.#gate.left(key, this.#router.now);
  }

  /** A member has handed a key on. */
  handed({ peer }: Session, { epoch, secret, ageMs, against }: KeptAirKey): void {
    if (!this.#keys.take(epoch, secret, ageMs, against, this.#router.now)) return;
    this.#router.log('info', 'a key of the air has come', { epoch, from: peer.node });
    const fresh = this.#keys.keys().find((one) => Buffer.compare(one.secret, secret) === 0);
    if (fresh !== undefined) this.#handOn(fresh, peer.fingerprint);
  }

  /** A member says which addresses it has. */
  claimed({ peer }: Session, addresses: readonly Mac[]): void {
    this.#journal(this.#gate.claimed(peer.fingerprint, peer.node, addresses));
  }

  /** The addresses of this router. */
  own(addresses: readonly Mac[]): void {
    this.#addresses = addresses;
    this.#journal(this.#gate.own(addresses));
    this.#sessions.tell(this.#sessions.keys(), { type: 'here', addresses });
  }

  /** A frame under a key of the air came from this address. */
  proven(address: Mac): void {
    this.#gate.proven(address, this.#router.now);
  }

  /** At the end of each turn: whatever happened in it may have changed them. */
  settle(): void {
    const { now } = this.#router;
    this.#keys.settle(this.#standing.isMember(), this.#revokedKeys(), now);
    this.#voidMeshKey();
    this.#castOut();
    this.#tellAir();
    const state = { admitted: this.#gate.admitted(now), isolated: this.#gate.isolated() };
    const gate = JSON.stringify(state);
    if (gate === this.#gateTold) return;
    this.#gateTold = gate;
    this.#router.effect({ type: 'gate', state });
  }

  view(now: Nanos): Pick<TrustView, 'air' | 'outcasts' | 'admitted' | 'names'> {
    const { sending } = this.#keys;
    return {
      air: {
        epoch: sending?.epoch ?? null,
        keys: this.#keys.keys().length,
        ageNs: sending === null ? 0 : now - sending.born,
        isMixed: this.#isMixed(),
      },
      outcasts: this.#gate.outcasts(),
      admitted: this.#gate.admitted(now),
      names: this.#gate.names(),
    };
  }

  #revokedKeys(): string[] {
    return this.#router.ledger.revoked().map(({ key }) => key);
  }

  /** Who was revoked knows the mesh key: it says nothing any more, also when the revocation itself is forgotten. */
  #isMixed(): boolean {
    const { settings, ledger } = this.#router;
    return settings.isMixed && ledger.revoked().length === 0 && !this.#voidKeys.has(settings.meshKey);
  }

  #voidMeshKey(): void {
    const { settings, ledger, keeping } = this.#router;
    const { meshKey } = settings;
    if (ledger.revoked().length === 0 || meshKey === '' || this.#voidKeys.has(meshKey)) return;
    this.#voidKeys.add(meshKey);
    keeping.voidKey(meshKey);
  }

  #castOut(): void {
    const { ledger, now } = this.#router;
    const names = new Map(ledger.stewards().map(({ fingerprint: key, node }) => [key, node]));
    const revoked = ledger
      .revoked()
      .map(({ key, node, by, isByOwner }): [string, { node: string; by: string }] => [
        key,
        { node, by: isByOwner ? 'the owner' : (names.get(by) ?? by.slice(0, 32)) },
      ]);
    this.#journal(this.#gate.revoke(new Map(revoked), now));
  }

  #tellAir(): void {
    const isOut = this.#router.ledger.has(this.#router.key);
    const keys = this.#keys.keys();
    const sending = this.#keys.sending?.id ?? null;
    const isMixed = this.#isMixed();
    const told = this.#standing.isMember() || isOut ? [sending, isMixed, ...keys.map(({ id }) => id)].join() : '';
    if (told !== this.#told) {
      this.#told = told;
      const open = keys.map(({ id, epoch, secret }) => ({ id, epoch, secret }));
      this.#router.effect({ type: 'air', state: told === '' ? null : { keys: open, sending, isMixed } });
    }
    this.#keep(keys);
  }

  #keep(keys: readonly AirKey[]): void {
    const { now } = this.#router;
    const kept = keys.map(({ id }) => id).join();
    this.#keepAt = NEVER;
    if (kept === this.#kept) return;
    this.#writes = Math.min(WRITES, this.#writes + (now - this.#writesAt) / WRITE_AGAIN);
    this.#writesAt = now;
    // Who is out keeps none, at once.
    if (this.#writes < 1 && keys.length > 0) {
      this.#keepAt = now + Math.ceil((1 - this.#writes) * WRITE_AGAIN);
      return;
    }
    this.#writes -= 1;
    this.#kept = kept;
    this.#router.effect({ type: 'keep-air', keys: keys.map((key) => this.#said(key)) });
  }

  #handOn(key: AirKey, from: string | null): void {
    const to = this.#sessions.keys().filter((one) => one !== from && this.#keys.isFor(key, one));
    this.#sessions.tell(to, this.#said(key));
  }

  #said({ epoch, secret, born, against }: AirKey): Gossip & { type: 'air-key' } {
    return { type: 'air-key', epoch, secret, ageMs: (this.#router.now - born) / MS, against };
  }

  #journal(news: readonly GateNews[]): void {
    const { keeping } = this.#router;
    for (const { what, who, why } of news) this.#router.effect({ type: 'decided', what, who, why });
    if (news.length === 0) return;
    const outcasts = this.#gate.outcasts();
    const now = new Set(outcasts.map(({ key }) => key));
    for (const one of outcasts) keeping.outcast(one);
    for (const key of this.#keptOutcasts) if (!now.has(key)) keeping.admittedAnew(key);
    this.#keptOutcasts = now;
  }
}
