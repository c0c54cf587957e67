/** A mesh of memberships in one process: what they say arrives, in order, and time is what the test says. */
import { p256 } from '../../../agent/host/p256.ts';
import type { GateState } from '../../../agent/trust/air/gate.ts';
import type { AirState, KeptAirKey } from '../../../agent/trust/air/keys.ts';
import type { Credential } from '../../../agent/trust/certificate/credential.ts';
import type { Tools } from '../../../agent/trust/certificate/tools.ts';
import type { Attestor } from '../../../agent/trust/join/attest.ts';
import type { Invited } from '../../../agent/trust/join/invitation.ts';
import { newSecrets, type RouterSecrets } from '../../../agent/trust/keys/router.ts';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';
import { standardSuite } from '../../../agent/trust/keys/suite.ts';
import type { Loose } from '../../../agent/trust/ledger/item.ts';
import { makeBundle, makeOwner, makeRevocations, makeSteward, type Owner } from '../../../agent/trust/ledger/owner.ts';
import { Membership } from '../../../agent/trust/membership/membership.ts';
import { OWN, type TrustEffect, type TrustEvent, type TrustSettings } from '../../../agent/trust/membership/words.ts';
import { PROVIDERS } from './help.ts';

const { suite, random } = { suite: standardSuite(PROVIDERS[0]![1]), random: PROVIDERS[0]![1].random };
export const tools: Tools = { suite, p256, random };
export const BEGIN = Date.UTC(2026, 10, 21, 12);
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
export const DOMAIN = 'x0tta6bl4.mesh';
const SETTINGS: TrustSettings = {
  lifeMs: 12 * HOUR,
  graceMs: 3 * DAY,
  rotateNs: 6 * HOUR * 1e6,
  isMixed: true,
  meshKey: 'fa',
};

export interface Router {
  readonly name: string;
  readonly secrets: RouterSecrets;
  machine: Membership;
  credential: Credential | null;
  readonly kept: Map<string, string>;
  /** Under which names something was written, each time. */
  readonly written: string[];
  readonly neighbours: Set<Router>;
  readonly sessions: Set<Router>;
  readonly log: string[];
  readonly decided: string[];
  /** What frames on the air are sealed with, by ids and secrets; and whose come in. */
  air: AirState | null;
  airKept: readonly KeptAirKey[];
  /** The file of its invitations. */
  invited: readonly Invited[];
  gate: GateState;
  readonly vouched: (TrustEffect & { type: 'vouched' })[];
  /** What its wall clock is off by, milliseconds. */
  offMs: number;
  isOn: boolean;
}

export class Mesh {
  readonly routers: Router[] = [];
  owner: Owner = makeOwner(tools, newSecrets(suite), { trustDomain: DOMAIN, wallMs: BEGIN });
  /** Milliseconds since the beginning. */
  #at = 0;
  readonly #waiting: (() => void)[] = [];
  sent = 0;
  /** Sees every byte that anybody sends. */
  tap: (from: Router, to: Router, bytes: Uint8Array) => Uint8Array | null = (_from, _to, bytes) => bytes;
  readonly attestors: Attestor[] = [];
  readonly #settings: TrustSettings;

  constructor(settings: Partial<TrustSettings> = {}) {
    this.#settings = { ...SETTINGS, ...settings };
  }

  get now(): number {
    return this.#at * 1e6;
  }

  get wallMs(): number {
    return BEGIN + this.#at;
  }

  add(name: string, offMs = 0, secrets = newSecrets(suite)): Router {
    const router: Router = {
      name,
      secrets,
      machine: new Membership(tools, secrets, this.#settings, this.attestors),
      credential: null,
      kept: new Map(),
      written: [],
      neighbours: new Set(),
      sessions: new Set(),
      log: [],
      decided: [],
      air: null,
      airKept: [],
      invited: [],
      gate: { admitted: [], isolated: [] },
      vouched: [],
      offMs,
      isOn: true,
    };
    this.routers.push(router);
    this.#begin(router);
    return router;
  }

  #begin(router: Router): void {
    const kept = [...router.kept].map(([key, value]) => ({ key, value }));
    const invited = copies(router.invited);
    this.tell(router, { type: 'started', wallMs: this.wallMs + router.offMs, kept, air: router.airKept, invited });
  }

  /** A cable between two, or of one with many. */
  link(a: Router, ...others: readonly Router[]): void {
    for (const b of others) {
      a.neighbours.add(b);
      b.neighbours.add(a);
    }
    this.meet();
  }

  cut(a: Router, b: Router): void {
    a.neighbours.delete(b);
    b.neighbours.delete(a);
    this.#part(a, b);
  }

  off(router: Router): void {
    router.isOn = false;
    for (const other of [...router.sessions]) this.#part(router, other);
  }

  /** Comes up again with what it kept. */
  reboot(router: Router, offMs = router.offMs): void {
    this.off(router);
    router.isOn = true;
    router.offMs = offMs;
    router.credential = null;
    router.machine = new Membership(tools, router.secrets, this.#settings, this.attestors);
    this.#begin(router);
    this.meet();
  }

  /** Fingerprint. */
  keyOf(router: Router): string {
    return router.machine.view(this.now).key;
  }

  /** Makes this router the first steward of a mesh. */
  found(router: Router, lifeMs = 365 * DAY): void {
    const items: Loose[] = [
      makeBundle(this.owner, 1, [this.owner]),
      makeSteward(tools, this.owner, router.machine.candidate(), { wallMs: this.wallMs, lifeMs }),
    ];
    this.install(router, items);
    this.meet();
  }

  install(router: Router, items: readonly Loose[]): void {
    this.#carryOut(router, router.machine.install(items, this.now));
    this.settle();
  }

  makeSteward(router: Router, by: Router): void {
    this.install(by, [makeSteward(tools, this.owner, router.machine.candidate(), { wallMs: this.wallMs })]);
  }

  /** As x0ctl does with the owner's key. */
  revokeByOwner(by: Router, whom: Router): void {
    const { key } = whom.machine.view(this.now);
    this.install(by, makeRevocations(this.owner, [{ key, node: whom.name }], this.wallMs));
  }

  /** A new owner's key, believed beside the old one; the stewards are made again. */
  rotate(by: Router): void {
    const old = this.owner;
    this.owner = makeOwner(tools, newSecrets(suite), { trustDomain: DOMAIN, wallMs: this.wallMs });
    const { wallMs } = this;
    const bundle = makeBundle(old, 2, [this.owner, old]);
    this.install(by, [bundle, makeSteward(tools, this.owner, by.machine.candidate(), { wallMs })]);
  }

  dropOldRoots(by: Router): void {
    this.install(by, [makeBundle(this.owner, 3, [this.owner])]);
  }

  invite(by: Router, node = '', lifeMs = HOUR): string {
    const { text, effects } = by.machine.invite(node, lifeMs, this.now);
    this.#carryOut(by, effects);
    this.settle();
    return text;
  }

  join(router: Router, text: string): void {
    this.do(router, (machine) => machine.join(text, this.now));
    this.meet();
  }

  do(router: Router, work: (machine: Membership) => TrustEffect[]): void {
    this.#carryOut(router, work(router.machine));
    this.settle();
  }

  tell(router: Router, event: TrustEvent): void {
    this.#carryOut(router, router.machine.on(event, this.now));
    this.settle();
  }

  /** Everybody who can opens a session with every neighbour. */
  meet(): void {
    for (const a of this.routers)
      for (const b of a.neighbours) {
        if (a.sessions.has(b) || !a.isOn || !b.isOn || a.credential === null || b.credential === null) continue;
        const [ofA, ofB] = [
          b.machine.verify(a.credential.chain, this.now),
          a.machine.verify(b.credential.chain, this.now),
        ];
        if (!ofA.ok || !ofB.ok) continue;
        a.sessions.add(b);
        b.sessions.add(a);
        // Both know of it before either hears the other.
        this.#carryOut(a, a.machine.on({ type: 'session-up', peer: ofB }, this.now));
        this.tell(b, { type: 'session-up', peer: ofA });
      }
  }

  /** Lets so much time pass. */
  pass(ms: number): void {
    const end = this.#at + ms;
    for (;;) {
      const due = Math.min(...this.routers.filter(({ isOn }) => isOn).map(({ machine }) => machine.deadline() / 1e6));
      if (due > end) break;
      this.#at = Math.max(this.#at, Math.ceil(due));
      for (const router of this.routers)
        if (router.isOn && router.machine.deadline() <= this.now) this.tell(router, { type: 'tick' });
      this.meet();
    }
    this.#at = end;
    for (const router of this.routers)
      if (router.isOn) this.tell(router, { type: 'clock', wallMs: this.wallMs + router.offMs });
    this.meet();
  }

  /** Until nobody has anything more to say. */
  settle(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    this.#isSettling = false;
  }

  #isSettling = false;

  #carryOut(router: Router, effects: readonly TrustEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') {
        const to = [...router.sessions].find(({ machine }) => machine.view(this.now).key === effect.key);
        if (to === undefined) continue;
        const bytes = this.tap(router, to, effect.bytes);
        const key = router.machine.view(this.now).key;
        if (bytes !== null) this.#later(to, () => this.tell(to, { type: 'message', key, bytes }));
      } else if (effect.type === 'join-send') {
        const near = [...router.neighbours].filter(({ isOn }) => isOn);
        const isOwn = effect.conversation === OWN;
        const to = isOwn
          ? near[(effect.attempt - 1) % near.length]
          : near.find(({ name }) => name === effect.conversation);
        const bytes = to === undefined ? null : this.tap(router, to, effect.bytes);
        const conversation = isOwn ? router.name : OWN;
        if (to !== undefined && bytes !== null)
          this.#later(to, () => this.tell(to, { type: 'joining', conversation, bytes }));
      } else if (effect.type === 'keep') {
        if (effect.value === null) router.kept.delete(effect.key);
        else router.kept.set(effect.key, effect.value);
        router.written.push(effect.key);
      } else if (effect.type === 'keep-invitations') router.invited = copies(effect.invited);
      else if (effect.type === 'air') router.air = effect.state;
      else if (effect.type === 'gate') router.gate = effect.state;
      else if (effect.type === 'keep-air') {
        router.airKept = effect.keys.map((key) => ({ ...key, secret: Uint8Array.from(key.secret) }));
        router.written.push('air.key');
      } else if (effect.type === 'credential') router.credential = effect.credential;
      else if (effect.type === 'distrust') {
        for (const other of [...router.sessions])
          if (effect.keys.includes(other.machine.view(this.now).key)) this.#part(router, other);
      } else if (effect.type === 'log')
        router.log.push(`${effect.level}: ${effect.message} ${JSON.stringify(effect.fields)}`);
      else if (effect.type === 'vouched') router.vouched.push(effect);
      else if (effect.type === 'decided') router.decided.push(`${effect.what} ${effect.who}: ${effect.why}`);
    }
  }

  #later(to: Router, work: () => unknown): void {
    this.sent += 1;
    this.#waiting.push(() => void (to.isOn && work()));
  }

  #part(a: Router, b: Router): void {
    if (!a.sessions.delete(b)) return;
    b.sessions.delete(a);
    const [ofA, ofB] = [a.machine.view(this.now).key, b.machine.view(this.now).key];
    this.#later(a, () => this.tell(a, { type: 'session-down', key: ofB }));
    this.#later(b, () => this.tell(b, { type: 'session-down', key: ofA }));
    this.settle();
  }
}

/** The machine wipes its own. */
function copies(invited: readonly Invited[]): Invited[] {
  return invited.map((one) => ({ ...one, secret: new SecretBytes(Uint8Array.from(one.secret.reveal())) }));
}
