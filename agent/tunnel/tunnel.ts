/**
 * One tunnel's life, as one end of it sees it. A path is a WireGuard interface with one peer; its keys and its preshared
 * key are made for it and never changed, since a new preshared key acts only at a handshake, and that cannot be asked
 * of a path in use without a gap. To renew the key is to make a second path beside the first (make before break):
 *
 *     offer and accept (message.ts)    both have the new interface, the follower first; what comes in over it counts
 *     handshake                        each end looks for it; with it the preshared key is in use on both
 *     move                             the leader sends over the new path once it sees the handshake; still takes in both
 *     moved                            it says so until the follower, which has seen the handshake too, sends that way as well
 *     drain                            what was under way over the old path arrives; then it goes
 *
 * At every moment the path that an end sends over is one that the other takes from. Where anything fails the old path
 * stays in use, however old its key, and the leader tries again; the kernel forwards without the agent.
 *
 * Pure: it is told events and the time, and answers with effects, which its world carries out in their order ('ask'
 * beside the others). A path is named by this end's WireGuard key for it; a word of one that is no longer there is
 * passed over.
 */
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Slot, TunnelAnswer, TunnelRequest } from './message.ts';

/** While a handshake is awaited: WireGuard tells nobody. */
const LOOK: Nanos = 200 * MS;
/** What people read (counters, endpoint, age of the handshake). */
const LOOK_IDLE: Nanos = 10 * SECOND;
/** WireGuard tries each 5 s: four times. The follower waits longer, so that it is the leader who gives up. */
const HANDSHAKE_WITHIN: Nanos = 21 * SECOND;
const FOLLOWER_WAITS: Nanos = 40 * SECOND;
/** An offer whose answer may be lost is made again so often. */
const OFFERS = 4;
const FIRST_PAUSE: Nanos = 1 * SECOND;
const LONGEST_PAUSE: Nanos = 30 * SECOND;
const LONGEST_DRAIN: Nanos = 5 * SECOND;
const MOST_SPENT = 16;
const MOST_DROPS = 4;
/** Until the follower is asked again whether it has moved. */
const ASK_AGAIN: Nanos = 250 * MS;
/** WireGuard lets no session live longer (REJECT_AFTER_TIME, 180 s); a little for how late we look. */
const SESSION_LIVES: Nanos = 195 * SECOND;

export interface TunnelSettings {
  /** Ours is the smaller SPIFFE id. */
  readonly leads: boolean;
  /** It is known where the other end is. */
  readonly calls: boolean;
  readonly renewNs: Nanos;
}

/** What the kernel says of a path. */
export interface Look {
  /** Ours. */
  readonly key: string;
  /** null: never. How long ago. */
  readonly handshakeNs: Nanos | null;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** As in 192.0.2.1:51820 */
  readonly endpoint: string | null;
}

/** An interface of this tunnel that was there when the agent started. */
export interface Found extends Look {
  readonly slot: Slot;
  readonly theirs: string;
  /** What is sent goes this way. */
  readonly isRouted: boolean;
  /** Since when it has been in use, where that is known. */
  readonly since: Nanos | null;
  /** Larger for what was made later. */
  readonly order: number;
}

export type TunnelEvent =
  | { readonly type: 'found'; readonly paths: readonly Found[] }
  /** To 'key'. */
  | { readonly type: 'keyed'; readonly key: string; readonly agreement: Uint8Array }
  /** To 'raise': ours, and for a follower what it encapsulated. */
  | {
      readonly type: 'raised';
      readonly theirs: string;
      readonly key: string;
      readonly encapsulation: Uint8Array | null;
    }
  /** To 'key', 'raise', 'route': it could not be done. */
  | { readonly type: 'failed'; readonly what: 'key' | 'raise' | 'route'; readonly why: string }
  /** To 'route'. */
  | { readonly type: 'routed'; readonly key: string }
  | { readonly type: 'looked'; readonly looks: readonly Look[] }
  /** The other end asks; `ticket` goes back with the 'reply'. */
  | { readonly type: 'asked'; readonly ticket: number; readonly request: TunnelRequest }
  /** To 'ask'; null: there was no answer, and `why`. */
  | { readonly type: 'answered'; readonly id: number; readonly answer: TunnelAnswer | null; readonly why: string }
  /** There is a session with the other end again. */
  | { readonly type: 'reachable' }
  /** The router with which the paths were agreed is revoked. */
  | { readonly type: 'cast-out' }
  | { readonly type: 'tick' };

export type TunnelEffect =
  /** Make a WireGuard key and an agreement key for one path. */
  | { readonly type: 'key' }
  | { readonly type: 'ask'; readonly id: number; readonly request: TunnelRequest }
  | { readonly type: 'reply'; readonly ticket: number; readonly answer: TunnelAnswer }
  /**
   * Make the interface, in place of what is in its slot. A leader gives its key and what the other end encapsulated; a
   * follower, whose key is made now, the other end's agreement key. `calls`: begin the handshake.
   * `roamed`: look for the other end where it was last, instead of where the configuration says.
   */
  | {
      readonly type: 'raise';
      readonly slot: Slot;
      readonly theirs: string;
      readonly key: string | null;
      readonly agreed: Uint8Array;
      readonly calls: boolean;
      readonly roamed: boolean;
    }
  | { readonly type: 'call'; readonly slot: Slot }
  /** From now on send this way. */
  | { readonly type: 'route'; readonly slot: Slot; readonly key: string }
  /** Both ends use it: keepalives as configured. */
  | { readonly type: 'settle'; readonly slot: Slot }
  | { readonly type: 'lower'; readonly slot: Slot }
  /** Both paths go, and the hard interface over them. */
  | { readonly type: 'sever' }
  /** Keys of a path that never came to be. */
  | { readonly type: 'forget'; readonly key: string }
  | { readonly type: 'look' }
  | { readonly type: 'log'; readonly level: 'debug' | 'info' | 'warning'; readonly message: string };

export type TunnelState =
  /** No path yet. */
  | 'starting'
  | 'up'
  | 'renewing'
  /** In use, but nobody has answered over it for so long that WireGuard has given it up. */
  | 'silent';

/** What people see. */
export interface TunnelView {
  readonly state: TunnelState;
  readonly slot: Slot | null;
  /** Since when the key in use has been in use; null where there is none, or that is not known. */
  readonly since: Nanos | null;
  readonly renewals: number;
  readonly failures: number;
  /** Why the last try failed; null after one that did not. */
  readonly trouble: string | null;
  readonly look: Look | null;
}

interface Path {
  readonly slot: Slot;
  readonly ours: string;
  readonly theirs: string;
  since: Nanos | null;
}

interface Attempt {
  readonly slot: Slot;
  /** What it has come to. */
  phase: 'keying' | 'offering' | 'raising' | 'awaiting' | 'moving';
  ours: string | null;
  theirs: string | null;
  agreement: Uint8Array | null;
  offers: number;
  /** Until it has come further. */
  deadline: Nanos;
  /** When to offer again. */
  again: Nanos;
  /** Follower: requests that wait for the accept, and the accept. */
  readonly tickets: number[];
  accept: TunnelAnswer | null;
  /** Leader: paths that the follower still has, and we have not. */
  readonly drops: string[];
  /** Leader: the follower has it. */
  isSure: boolean;
  isShaken: boolean;
  /** Follower: the leader sends this way. */
  peerMoved: boolean;
}

const other = (slot: Slot): Slot => (slot === 'a' ? 'b' : 'a');

export class Tunnel {
  readonly #settings: TunnelSettings;
  #started = false;
  #active: Path | null = null;
  /** In use before; still taken in from. */
  #retiring: Path | null = null;
  #attempt: Attempt | null = null;
  /** Offers that have been dealt with: one that comes late must not take a path away. */
  readonly #spent: string[] = [];
  /** The last accept, in case that its offer comes once more. */
  #accepted: { readonly theirs: string; readonly answer: TunnelAnswer } | null = null;
  /** The other end is known to send over the active path. */
  #peerMoved = true;
  #drained: Nanos = NEVER;
  #nextAsk = 1;
  /** The request whose answer is waited for, and what it was. */
  #asking: { readonly id: number; readonly step: TunnelRequest['step']; readonly key: string | null } | null = null;
  #tellAt: Nanos = NEVER;
  #tellPause: Nanos = ASK_AGAIN;
  #beginAt: Nanos = NEVER;
  #pause: Nanos = FIRST_PAUSE;
  #lookAt: Nanos = NEVER;
  #tries = 0;
  #renewals = 0;
  #failures = 0;
  #trouble: string | null = null;
  #looks: readonly Look[] = [];
  #lookedAt: Nanos = 0;
  #out: TunnelEffect[] = [];

  constructor(settings: TunnelSettings) {
    this.#settings = settings;
  }

  view(now: Nanos): TunnelView {
    const active = this.#active;
    const look = this.#looks.find(({ key }) => key === active?.ours) ?? null;
    const age = look?.handshakeNs == null ? null : look.handshakeNs + (now - this.#lookedAt);
    const isSilent = age !== null && age > SESSION_LIVES;
    const state = active === null ? 'starting' : isSilent ? 'silent' : this.#attempt === null ? 'up' : 'renewing';
    return {
      state,
      slot: active?.slot ?? null,
      since: active?.since ?? null,
      renewals: this.#renewals,
      failures: this.#failures,
      trouble: this.#trouble,
      look: look === null ? null : { ...look, handshakeNs: age },
    };
  }

  /** The path that is sent over. */
  get active(): { readonly slot: Slot; readonly ours: string; readonly theirs: string } | null {
    return this.#active;
  }

  deadline(): Nanos {
    if (!this.#started) return NEVER;
    const attempt = this.#attempt;
    const own = attempt === null ? this.#beginAt : Math.min(attempt.deadline, attempt.again);
    return Math.min(own, this.#drained, this.#tellAt, this.#lookAt);
  }

  on(event: TunnelEvent, now: Nanos): TunnelEffect[] {
    if (event.type === 'found') this.#start(event.paths, now);
    else if (this.#started) this.#take(event, now);
    // Not 'unknown', from which a leader would conclude that its path is gone.
    else if (event.type === 'asked') this.#reply(event.ticket, { step: 'later' });
    return this.#out.splice(0);
  }

  #take(event: Exclude<TunnelEvent, { type: 'found' }>, now: Nanos): void {
    switch (event.type) {
      case 'keyed':
        this.#keyed(event.key, event.agreement, now);
        return;
      case 'raised':
        this.#raised(event, now);
        return;
      case 'failed':
        this.#failed(event.what, event.why, now);
        return;
      case 'routed':
        this.#routed(event.key, now);
        return;
      case 'looked':
        this.#looked(event.looks, now);
        return;
      case 'asked':
        this.#asked(event.ticket, event.request, now);
        return;
      case 'answered':
        if (this.#asking?.id === event.id) this.#answered(event.answer, event.why, now);
        return;
      case 'reachable':
        this.#reachable(now);
        return;
      case 'cast-out':
        this.#castOut(now);
        return;
      case 'tick':
        this.#tick(now);
    }
  }

  // ---- start ----

  /** The kernel forwarded on while the agent was gone: what is there is taken over. */
  #start(found: readonly Found[], now: Nanos): void {
    if (this.#started) return;
    this.#started = true;
    this.#looks = found;
    this.#lookedAt = now;
    const pathOf = ({ slot, key: ours, theirs, since }: Found): Path => ({ slot, ours, theirs, since });
    const routed = found.find(({ isRouted }) => isRouted);
    const [rest, ...more] = found.filter((path) => path !== routed);
    if (routed !== undefined) {
      this.#active = pathOf(routed);
      this.#log('info', 'the tunnel was there already: its path is taken over');
    }
    if (rest !== undefined) {
      if (routed === undefined || rest.order > routed.order) this.#await(pathOf(rest), now);
      else {
        this.#retiring = pathOf(rest);
        this.#peerMoved = false;
      }
    }
    for (const { slot } of more) this.#out.push({ type: 'lower', slot });
    this.#lookAt = now;
    if (this.#settings.leads && this.#active !== null) {
      this.#peerMoved = false;
      this.#tellAt = now;
    }
    this.#beginAt = this.#active === null ? now : this.#renewAt(now);
  }

  /** A path that was coming. The follower may have given it up meanwhile: a leader asks before it moves. */
  #await({ slot, ours, theirs }: Path, now: Nanos): void {
    const { leads } = this.#settings;
    this.#attempt = {
      ...newAttempt(slot),
      phase: 'awaiting',
      ours,
      theirs,
      isSure: false,
      deadline: now + (leads ? HANDSHAKE_WITHIN : FOLLOWER_WAITS),
      again: leads ? now : NEVER,
    };
  }

  /** Of the path in use; at once where it is not known since when that is. */
  #renewAt(now: Nanos): Nanos {
    const { leads, renewNs } = this.#settings;
    if (this.#active === null) return this.#beginAt;
    if (!leads) return NEVER;
    const { since } = this.#active;
    return since === null ? now : since + renewNs;
  }

  // ---- time ----

  #tick(now: Nanos): void {
    const attempt = this.#attempt;
    if (now >= this.#drained) this.#drop(now);
    if (now >= this.#lookAt) {
      this.#lookAt = now + (attempt?.phase === 'awaiting' && !attempt.isShaken ? LOOK : LOOK_IDLE);
      this.#out.push({ type: 'look' });
    }
    if (now >= this.#tellAt) this.#tell(now);
    if (attempt !== null) {
      if (now >= attempt.deadline) this.#giveUp(`no ${WAITED_FOR[attempt.phase]} came in time`, now);
      else if (now >= attempt.again) this.#pushOn(attempt, now);
    } else if (now >= this.#beginAt) {
      if (this.#settings.leads) this.#begin(now);
      else this.#please(now);
    }
  }

  #reachable(now: Nanos): void {
    this.#pause = FIRST_PAUSE;
    this.#tellPause = ASK_AGAIN;
    if (this.#attempt === null && (this.#active === null || this.#trouble !== null)) this.#beginAt = now;
    if (this.#tellAt !== NEVER) this.#tellAt = now;
    if (this.#attempt?.phase === 'offering') this.#attempt.again = now;
  }

  // ---- leader ----

  #begin(now: Nanos): void {
    // The slot of a path that the other end may still send over is not free: it is asked ('moved') until it has moved.
    if (this.#retiring !== null) {
      this.#beginAt = NEVER;
      return;
    }
    this.#tries += 1;
    this.#attempt = {
      ...newAttempt(this.#active === null ? 'a' : other(this.#active.slot)),
      deadline: now + HANDSHAKE_WITHIN,
    };
    this.#out.push({ type: 'key' });
  }

  #keyed(key: string, agreement: Uint8Array, now: Nanos): void {
    const attempt = this.#attempt;
    if (attempt?.phase !== 'keying') {
      this.#out.push({ type: 'forget', key });
      return;
    }
    Object.assign(attempt, { ours: key, agreement, phase: 'offering', deadline: NEVER });
    this.#pushOn(attempt, now);
  }

  /** Says again what may have been lost. */
  #pushOn(attempt: Attempt, now: Nanos): void {
    attempt.again = NEVER;
    if (this.#asking !== null) {
      attempt.again = now + ASK_AGAIN;
      return;
    }
    if (attempt.phase === 'awaiting') {
      this.#ask({ step: 'ready', wireguard: attempt.ours! }, attempt.ours);
      return;
    }
    if (attempt.phase !== 'offering') return;
    if (attempt.offers >= OFFERS) {
      this.#giveUp(this.#trouble ?? 'no answer', now);
      return;
    }
    attempt.offers += 1;
    this.#ask(
      {
        step: 'offer',
        slot: attempt.slot,
        wireguard: attempt.ours!,
        agreement: attempt.agreement!,
        uses: this.#active?.ours ?? null,
        drops: [...attempt.drops],
        calls: this.#settings.calls,
      },
      attempt.ours,
    );
  }

  #ask(request: TunnelRequest, key: string | null): void {
    const id = this.#nextAsk;
    this.#nextAsk += 1;
    this.#asking = { id, step: request.step, key };
    this.#out.push({ type: 'ask', id, request });
  }

  /** Tells the follower what we send over, until it does so too. */
  #tell(now: Nanos): void {
    this.#tellAt = NEVER;
    const active = this.#active;
    if (active === null || !this.#settings.leads || this.#peerMoved) return;
    if (this.#asking !== null) this.#tellAt = now + ASK_AGAIN;
    else this.#ask({ step: 'moved', wireguard: active.ours }, active.ours);
  }

  #answered(given: TunnelAnswer | null, reason: string, now: Nanos): void {
    const { step, key } = this.#asking!;
    this.#asking = null;
    const [answer, why] =
      given?.step === 'later' ? [null, 'the other end has only just started'] : [given, given === null ? reason : ''];
    const attempt = this.#attempt;
    if (step === 'please') {
      if (answer === null) this.#trouble = why;
      return;
    }
    if (step === 'moved') {
      if (key === this.#active?.ours) this.#toldMoved(answer, now);
      return;
    }
    if (attempt === null || key !== attempt.ours) return;
    if (answer === null) {
      this.#trouble = why;
      attempt.again = now + this.#slower();
      return;
    }
    if (step === 'offer' && attempt.phase === 'offering') {
      if (answer.step === 'taken') {
        const isOurs = [this.#active, this.#retiring].some((path) => path?.ours === answer.by);
        if (isOurs || attempt.drops.length >= MOST_DROPS) this.#giveUp('its slot is in use', now);
        else {
          attempt.drops.push(answer.by);
          attempt.offers -= 1;
          this.#pushOn(attempt, now);
        }
        return;
      }
      if (answer.step !== 'accept') {
        this.#giveUp('the other end knows nothing of this tunnel, or leads it itself', now);
        return;
      }
      this.#pause = FIRST_PAUSE;
      Object.assign(attempt, { phase: 'raising', theirs: answer.wireguard, deadline: now + HANDSHAKE_WITHIN });
      this.#out.push({
        type: 'raise',
        slot: attempt.slot,
        theirs: answer.wireguard,
        key: attempt.ours,
        agreed: answer.encapsulation,
        calls: this.#settings.calls,
        roamed: this.#tries % 2 === 0,
      });
    } else if (step === 'ready' && attempt.phase === 'awaiting') {
      if (answer.step === 'heard') attempt.isSure = true;
      else this.#giveUp('the other end has lost the path that was agreed', now);
      this.#mayMove(attempt);
    }
  }

  #toldMoved(answer: TunnelAnswer | null, now: Nanos): void {
    if (answer === null) {
      this.#tellAt = now + this.#tellPause;
      this.#tellPause = Math.min(2 * this.#tellPause, LONGEST_PAUSE);
      return;
    }
    this.#tellPause = ASK_AGAIN;
    if (answer.step === 'heard') {
      if (answer.moved) this.#bothMoved(now);
      else this.#tellAt = now + ASK_AGAIN;
      return;
    }
    // It never had the path that we send over, or has it no longer. What it sends over may be the one before.
    this.#log('warning', 'the other end does not know the path in use: another is made');
    if (this.#retiring !== null) {
      this.#goBack();
      this.#tellAt = now;
    } else this.#peerMoved = true;
    if (this.#attempt === null) this.#beginAt = now;
  }

  // ---- follower ----

  #asked(ticket: number, request: TunnelRequest, now: Nanos): void {
    const { leads } = this.#settings;
    if (leads !== (request.step === 'please')) {
      this.#reply(ticket, { step: 'unknown' });
      return;
    }
    switch (request.step) {
      case 'offer':
        this.#offered(ticket, request, now);
        return;
      case 'ready': {
        const attempt = this.#attempt;
        const isIts = attempt?.theirs === request.wireguard && attempt.phase === 'awaiting';
        if (isIts) {
          if (!attempt.isShaken) attempt.deadline = now + FOLLOWER_WAITS;
          if (this.#settings.calls) this.#out.push({ type: 'call', slot: attempt.slot });
        }
        const isThere = isIts || this.#active?.theirs === request.wireguard;
        this.#reply(ticket, isThere ? { step: 'heard', moved: false } : { step: 'unknown' });
        return;
      }
      case 'moved':
        this.#heardMoved(ticket, request.wireguard, now);
        return;
      case 'please':
        this.#reply(ticket, { step: 'heard', moved: false });
        this.#pleased(now);
    }
  }

  #offered(ticket: number, offer: Extract<TunnelRequest, { step: 'offer' }>, now: Nanos): void {
    const { slot, wireguard: theirs } = offer;
    if (this.#accepted?.theirs === theirs) {
      this.#reply(ticket, this.#accepted.answer);
      return;
    }
    const attempt = this.#attempt;
    if (attempt?.theirs === theirs && attempt.phase === 'raising') {
      attempt.tickets.push(ticket);
      return;
    }
    const isKnown = [attempt, this.#active, this.#retiring].some((path) => path?.theirs === theirs);
    if (isKnown || this.#spent.includes(theirs)) {
      this.#reply(ticket, { step: 'unknown' });
      return;
    }
    // One that comes late knows nothing of the paths since: what would go has to be named by who no longer has it.
    const hasMoved = offer.uses !== null && offer.uses === this.#active?.theirs;
    const kept = [attempt, this.#active, hasMoved ? null : this.#retiring].find(
      (path) => path != null && (path === attempt || path.slot === slot) && !offer.drops.includes(path.theirs!),
    );
    if (kept != null) {
      this.#reply(ticket, { step: 'taken', by: kept.theirs! });
      return;
    }
    this.#spent.unshift(theirs);
    this.#spent.splice(MOST_SPENT);
    if (attempt !== null) this.#abandon(attempt);
    if (this.#retiring?.slot === slot) {
      this.#retiring = null;
      this.#drained = NEVER;
    }
    if (this.#active?.slot === slot) {
      if (this.#retiring !== null) this.#goBack();
      else this.#active = null;
    }
    this.#tries += 1;
    this.#attempt = {
      ...newAttempt(slot),
      phase: 'raising',
      theirs,
      tickets: [ticket],
      deadline: now + FOLLOWER_WAITS,
    };
    this.#out.push({
      type: 'raise',
      slot,
      theirs,
      key: null,
      agreed: offer.agreement,
      calls: false,
      roamed: this.#tries % 2 === 0,
    });
  }

  #heardMoved(ticket: number, theirs: string, now: Nanos): void {
    if (this.#active?.theirs === theirs) {
      this.#reply(ticket, { step: 'heard', moved: true });
      this.#bothMoved(now);
      return;
    }
    const attempt = this.#attempt;
    const isComing = attempt?.theirs === theirs;
    this.#reply(ticket, isComing ? { step: 'heard', moved: false } : { step: 'unknown' });
    if (!isComing) return;
    attempt.peerMoved = true;
    this.#mayMove(attempt);
  }

  /** Asks the leader for a path: it may not know that there is none any more. */
  #please(now: Nanos): void {
    this.#beginAt = now + this.#slower();
    if (this.#asking !== null) return;
    if (this.#active !== null) {
      this.#beginAt = NEVER;
      return;
    }
    this.#ask({ step: 'please' }, null);
  }

  #pleased(now: Nanos): void {
    if (this.#attempt?.phase === 'awaiting') this.#giveUp('the other end began anew', now);
    if (this.#attempt === null) this.#beginAt = now;
  }

  // ---- both ----

  #raised({ theirs, key, encapsulation }: Extract<TunnelEvent, { type: 'raised' }>, now: Nanos): void {
    const attempt = this.#attempt;
    if (attempt?.phase !== 'raising' || attempt.theirs !== theirs) return;
    attempt.ours = key;
    attempt.phase = 'awaiting';
    this.#lookAt = now + LOOK;
    if (encapsulation !== null) {
      attempt.accept = { step: 'accept', wireguard: key, encapsulation };
      this.#accepted = { theirs, answer: attempt.accept };
      for (const ticket of attempt.tickets.splice(0)) this.#reply(ticket, attempt.accept);
    } else if (!this.#settings.calls || this.#tries % 2 === 0) this.#pushOn(attempt, now);
  }

  #looked(looks: readonly Look[], now: Nanos): void {
    this.#looks = looks;
    this.#lookedAt = now;
    const attempt = this.#attempt;
    if (attempt?.phase !== 'awaiting') return;
    const look = looks.find(({ key }) => key === attempt.ours);
    if (look === undefined || look.handshakeNs === null) return;
    attempt.isShaken = true;
    // The leader may send this way already, and its word of it be lost: from now on only the leader ends it.
    if (!this.#settings.leads) attempt.deadline = NEVER;
    this.#mayMove(attempt);
  }

  /** The leader goes first: a path over which the follower sends is never one that the leader has given up. */
  #mayMove(attempt: Attempt): void {
    const isMeet = this.#settings.leads ? attempt.isSure : attempt.peerMoved;
    if (attempt !== this.#attempt || attempt.phase !== 'awaiting' || !attempt.isShaken || !isMeet) return;
    attempt.phase = 'moving';
    attempt.again = NEVER;
    this.#out.push({ type: 'route', slot: attempt.slot, key: attempt.ours! });
  }

  #routed(key: string, now: Nanos): void {
    const attempt = this.#attempt;
    if (attempt?.phase !== 'moving' || attempt.ours !== key) return;
    this.#attempt = null;
    this.#retiring = this.#active;
    this.#active = { slot: attempt.slot, ours: key, theirs: attempt.theirs!, since: now };
    this.#renewals += 1;
    this.#trouble = null;
    this.#tries = 0;
    this.#pause = FIRST_PAUSE;
    this.#beginAt = this.#renewAt(now);
    this.#lookAt = now + LOOK_IDLE;
    this.#peerMoved = false;
    this.#drained = NEVER;
    if (this.#settings.leads) this.#tellAt = now;
    else if (attempt.peerMoved) this.#bothMoved(now);
  }

  #bothMoved(now: Nanos): void {
    if (this.#peerMoved) return;
    this.#peerMoved = true;
    this.#tellAt = NEVER;
    this.#drained = now + Math.min(LONGEST_DRAIN, this.#settings.renewNs / 2);
  }

  #drop(now: Nanos): void {
    this.#drained = NEVER;
    if (this.#retiring !== null) this.#out.push({ type: 'lower', slot: this.#retiring.slot });
    this.#retiring = null;
    if (this.#active !== null) this.#out.push({ type: 'settle', slot: this.#active.slot });
    if (this.#attempt === null) this.#beginAt = this.#renewAt(now);
  }

  /** Sends over the path before again. */
  #goBack(): void {
    const [from, to] = [this.#active, this.#retiring!];
    this.#active = to;
    this.#retiring = null;
    this.#drained = NEVER;
    this.#out.push({ type: 'route', slot: to.slot, key: to.ours });
    if (from !== null) this.#out.push({ type: 'lower', slot: from.slot });
  }

  #failed(what: 'key' | 'raise' | 'route', why: string, now: Nanos): void {
    const phase = ({ key: 'keying', raise: 'raising', route: 'moving' } as const)[what];
    if (this.#attempt?.phase === phase) this.#giveUp(why, now);
  }

  /** What is in use stays in use. */
  #giveUp(why: string, now: Nanos): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#abandon(attempt);
    this.#failures += 1;
    this.#trouble = why;
    this.#beginAt = this.#settings.leads || this.#active === null ? now + this.#slower() : NEVER;
    this.#log('warning', `a new key did not come into use: ${why}`);
  }

  #abandon(attempt: Attempt): void {
    this.#attempt = null;
    for (const ticket of attempt.tickets) this.#reply(ticket, { step: 'unknown' });
    if (this.#accepted?.theirs === attempt.theirs) this.#accepted = null;
    if (attempt.phase === 'keying' || attempt.phase === 'offering') {
      if (attempt.ours !== null) this.#out.push({ type: 'forget', key: attempt.ours });
      return;
    }
    const active = this.#active;
    if (attempt.phase === 'moving' && active !== null)
      this.#out.push({ type: 'route', slot: active.slot, key: active.ours });
    this.#out.push({ type: 'lower', slot: attempt.slot });
  }

  /** Nothing may go there or come from there any more; who comes by this name later has other keys. */
  #castOut(now: Nanos): void {
    const attempt = this.#attempt;
    for (const ticket of attempt?.tickets ?? []) this.#reply(ticket, { step: 'unknown' });
    if (attempt?.ours != null && (attempt.phase === 'keying' || attempt.phase === 'offering'))
      this.#out.push({ type: 'forget', key: attempt.ours });
    this.#attempt = this.#active = this.#retiring = this.#accepted = null;
    this.#peerMoved = true;
    this.#drained = this.#tellAt = NEVER;
    this.#trouble = 'the other end was revoked';
    this.#beginAt = now + LONGEST_PAUSE;
    this.#out.push({ type: 'sever' });
    this.#log('warning', 'the other end was revoked: its paths are taken down');
  }

  #slower(): Nanos {
    const pause = this.#pause;
    this.#pause = Math.min(2 * pause, LONGEST_PAUSE);
    return pause;
  }

  #reply(ticket: number, answer: TunnelAnswer): void {
    this.#out.push({ type: 'reply', ticket, answer });
  }

  #log(level: 'debug' | 'info' | 'warning', message: string): void {
    this.#out.push({ type: 'log', level, message });
  }
}

const WAITED_FOR = {
  keying: 'key',
  offering: 'answer',
  raising: 'interface',
  awaiting: 'handshake',
  moving: 'route',
} as const;

function newAttempt(slot: Slot): Attempt {
  return {
    slot,
    phase: 'keying',
    ours: null,
    theirs: null,
    agreement: null,
    offers: 0,
    deadline: NEVER,
    again: NEVER,
    tickets: [],
    accept: null,
    drops: [],
    isSure: true,
    isShaken: false,
    peerMoved: false,
  };
}
