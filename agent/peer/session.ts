/**
 * One session, after both sides have proven who they are: requests and answers with deadlines over prioritised streams,
 * and the judgement whether the other side is still there. Pure: it is told frames and the time, says what happened, and
 * hands out the frames that are to be sent when its world can send.
 *
 * Frames are given in the order of the connection, already authenticated; whatever in them is wrong ends the session
 * ('broken') and nothing else.
 */
import { AgentError, asAgentError } from '../core/errors.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import { fromCbor, toCbor } from './cbor.ts';
import { BYE, type ByeReason, decodeFrame, encodeFrame, type Frame, malformed } from './frame.ts';
import { type Cost, Inbox, isRequests, Outbox, PRIORITIES, type Priority, streamOf } from './streams.ts';

/** Silence after which the other side is asked whether it is there, and how long it may then take. */
const IDLE: Nanos = 10 * SECOND;
const ANSWERS_WITHIN: Nanos = 20 * SECOND;
/** The same while something says that the link may be broken: long enough for the mesh to find another way. */
const SUSPECT_EVERY: Nanos = 0.5 * SECOND;
const SUSPECT_WITHIN: Nanos = 6 * SECOND;
/** A side that takes nothing for so long while there is something for it has stopped reading. */
const STALLED: Nanos = 15 * SECOND;
/** What is under way when the session is to end has so long. */
const LEAVE_WITHIN: Nanos = 5 * SECOND;
/** Requests of the other side that are answered at once; what is more is refused. */
const MOST_HANDLED = 64;
const MOST_ASKED = 1024;
const MOST_ANSWER = 1024 * 1024;
const USUAL_ANSWER = 256 * 1024;
const LONGEST_DEADLINE: Nanos = 600 * SECOND;
/** Pings of the other side in a row, without anything else of use. */
const MOST_PINGS = 64;
const LONGEST_KIND = 64;
const LONGEST_MESSAGE = 512;

export interface Ask {
  readonly kind: string;
  readonly body: unknown;
  readonly priority: Priority;
  readonly deadlineNs: Nanos;
  /** Bytes that the answer may have, 256 KiB if absent. */
  readonly most?: number;
}

export type SessionEvent =
  | {
      readonly type: 'request';
      /** null: it is told something and waits for no answer. Then too `settle` says when it has been dealt with. */
      readonly id: number | null;
      readonly ticket: number;
      readonly kind: string;
      readonly body: unknown;
      readonly priority: Priority;
      readonly deadline: Nanos;
    }
  | { readonly type: 'cancelled'; readonly ticket: number }
  | { readonly type: 'answered'; readonly id: number; readonly body: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly error: AgentError }
  /** The other side begins nothing new; the session ends when nothing is under way. */
  | { readonly type: 'leaving'; readonly reason: ByeReason }
  /** It is over. `error` is null where both sides wanted that. */
  | { readonly type: 'broken'; readonly error: AgentError | null };

interface Asked {
  readonly stream: number;
  readonly deadline: Nanos;
  readonly most: number;
}

interface Handled {
  readonly id: number;
  readonly stream: number;
  readonly cost: number;
  readonly deadline: Nanos;
  readonly most: number;
}

export class Session {
  readonly #outbox = new Outbox();
  readonly #inbox = new Inbox();
  readonly #asked = new Map<number, Asked>();
  readonly #handled = new Map<number, Handled>();
  /** Nobody waits for them any more, and somebody is at work on them still: they count until they are settled. */
  readonly #abandoned = new Set<number>();
  readonly #withheld: number[] = PRIORITIES.flatMap(() => [0, 0]);
  /** No deadline of a request is before this one. */
  #earliest: Nanos = NEVER;
  #nextId = 1;
  #nextTicket = 1;
  #heard: Nanos;
  #pingedAt: Nanos = NEVER;
  #ping = 0;
  #pings = 0;
  #pong: number | null = null;
  #suspectedAt: Nanos | null = null;
  #blockedSince: Nanos | null = null;
  #leaveBy: Nanos = NEVER;
  /** The other side has said bye too. */
  #hasLeft = false;
  #over = false;
  rttNs: Nanos | null = null;

  constructor(now: Nanos) {
    this.#heard = now;
  }

  get pending(): { readonly asked: number; readonly handled: number; readonly queued: number } {
    return { asked: this.#asked.size, handled: this.#handled.size, queued: this.#outbox.queued };
  }

  get isLeaving(): boolean {
    return this.#leaveBy !== NEVER;
  }

  /** Asks the other side; the outcome is an event with the id. Throws E_PEER_BUSY, E_PEER_CLOSED. */
  request({ kind, body, priority, deadlineNs, most = USUAL_ANSWER }: Ask, now: Nanos): number {
    this.#mayBegin();
    if (this.#asked.size >= MOST_ASKED) throw new AgentError('E_PEER_BUSY', 'too many requests wait for an answer');
    const id = this.#nextId;
    const stream = streamOf(priority, 'request');
    const within = Math.min(deadlineNs, LONGEST_DEADLINE);
    const limit = Math.min(most, MOST_ANSWER);
    this.#outbox.ask(stream, id, toCbor([kind, body, Math.round(within / MS), limit]));
    this.#nextId += 1;
    this.#asked.set(id, { stream, deadline: now + within, most: limit });
    this.#earliest = Math.min(this.#earliest, now + within);
    return id;
  }

  /** Says something that needs no answer. Throws as `request`. */
  tell(kind: string, body: unknown, priority: Priority): void {
    this.#mayBegin();
    this.#outbox.ask(streamOf(priority, 'request'), 0, toCbor([kind, body]));
  }

  /** The answer of this request is no longer waited for. */
  cancel(id: number): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    if (!this.#outbox.takeBack(asked.stream, id)) this.#outbox.push(encodeFrame({ type: 'cancel', id }));
  }

  /**
   * A request has been dealt with: its answer, or why there is none. Of something told nothing goes out. Throws a TypeError
   * for an answer that CBOR does not have; then it has not been dealt with.
   */
  settle(ticket: number, outcome: { readonly body: unknown } | { readonly error: AgentError }): void {
    this.#abandoned.delete(ticket);
    const handled = this.#handled.get(ticket);
    if (handled === undefined) return;
    const { id, stream, cost, most } = handled;
    let answer = 'error' in outcome ? refusal(outcome.error) : toCbor([0, outcome.body]);
    this.#handled.delete(ticket);
    if (id === 0) {
      this.#giveBack({ stream, cost });
      return;
    }
    if (answer.length > most)
      answer = refusal(new AgentError('E_PEER_BUSY', `the answer would have ${answer.length} bytes`));
    if (!this.#outbox.hasRoom(answer))
      answer = refusal(new AgentError('E_PEER_BUSY', 'too much is waiting to be sent to you'));
    this.#outbox.answer(stream + 1, id, answer, { stream, cost });
  }

  /** Something is known of the link: 'suspect' makes it ask at once, and often, whether the other side is there. */
  link(state: 'suspect' | 'sound', now: Nanos): void {
    if (state === 'sound') this.#suspectedAt = null;
    else if (this.#suspectedAt === null) {
      this.#suspectedAt = now;
      this.#sendPing(now);
    }
  }

  /** Whether its world can send at the moment. */
  writable(yes: boolean, now: Nanos): void {
    this.#blockedSince = yes ? null : (this.#blockedSince ?? now);
  }

  /** The next frame, without its length; null where nothing may go now. */
  next(): Uint8Array | null {
    if (this.#pong !== null) {
      const number = this.#pong;
      this.#pong = null;
      return encodeFrame({ type: 'pong', number });
    }
    const next = this.#outbox.next();
    if (next === null) return null;
    if (next.returns !== null) this.#giveBack(next.returns);
    return next.frame;
  }

  /** Begins nothing new, and ends the session once nothing is under way. */
  leave(reason: ByeReason, now: Nanos): void {
    if (this.isLeaving || this.#over) return;
    this.#outbox.push(encodeFrame({ type: 'bye', reason: BYE[reason] }));
    this.#leaveBy = now + LEAVE_WITHIN;
  }

  receive(content: Uint8Array, now: Nanos): SessionEvent[] {
    if (this.#over) return [];
    this.#heard = now;
    try {
      return this.#take(decodeFrame(content), now);
    } catch (thrown) {
      return this.#break(asAgentError(thrown));
    }
  }

  deadline(): Nanos {
    if (this.#over) return NEVER;
    let at = Math.min(this.#leaveBy, this.#nextPing(), this.#dead());
    if (this.#blockedSince !== null) at = Math.min(at, this.#blockedSince + STALLED);
    return Math.min(at, this.#earliest);
  }

  tick(now: Nanos): SessionEvent[] {
    if (this.#over) return [];
    if (this.#blockedSince !== null && now >= this.#blockedSince + STALLED)
      return this.#break(new AgentError('E_PEER_SILENT', 'the other router has stopped reading'));
    if (now >= this.#dead()) {
      const ms = Math.round((now - this.#heard) / MS);
      return this.#break(new AgentError('E_PEER_SILENT', `nothing came from the other router for ${ms} ms`));
    }
    const events = now >= this.#earliest ? this.#overdue(now) : [];
    if (now >= this.#nextPing()) this.#sendPing(now);
    return [...events, ...this.#leaveIfDone(now)];
  }

  /** To be asked after frames went out. */
  sent(now: Nanos): SessionEvent[] {
    return this.#over ? [] : this.#leaveIfDone(now);
  }

  /** The connection is gone: what waits for an answer gets none. */
  gone(error: AgentError | null): SessionEvent[] {
    return this.#over ? [] : this.#break(error);
  }

  #overdue(now: Nanos): SessionEvent[] {
    const events: SessionEvent[] = [];
    this.#earliest = NEVER;
    for (const [id, { deadline }] of this.#asked) {
      this.#earliest = Math.min(this.#earliest, now < deadline ? deadline : NEVER);
      if (now < deadline) continue;
      this.cancel(id);
      events.push({ type: 'failed', id, error: new AgentError('E_PEER_DEADLINE', 'no answer came in time') });
    }
    for (const [ticket, { deadline }] of this.#handled) {
      this.#earliest = Math.min(this.#earliest, now < deadline ? deadline : NEVER);
      if (now < deadline) continue;
      this.settle(ticket, { error: new AgentError('E_PEER_DEADLINE', 'it could not be answered in time') });
      this.#abandoned.add(ticket);
      events.push({ type: 'cancelled', ticket });
    }
    return events;
  }

  #take(frame: Frame, now: Nanos): SessionEvent[] {
    if (frame.type !== 'ping') this.#pings = 0;
    switch (frame.type) {
      case 'part':
        return this.#part(frame, now);
      case 'credit':
        this.#outbox.grant(frame.stream, frame.bytes);
        return [];
      case 'ping':
        if (++this.#pings > MOST_PINGS) throw malformed('nothing but pings');
        this.#pong = frame.number;
        return [];
      case 'pong':
        if (frame.number === this.#ping && this.#pingedAt !== NEVER) {
          const rtt = now - this.#pingedAt;
          this.rttNs = this.rttNs === null ? rtt : 0.75 * this.rttNs + 0.25 * rtt;
          this.#pingedAt = NEVER;
          this.#suspectedAt = null;
        }
        return [];
      case 'cancel':
        for (const [ticket, { id, stream, cost }] of this.#handled) {
          if (id !== frame.id) continue;
          this.#handled.delete(ticket);
          this.#abandoned.add(ticket);
          this.#giveBack({ stream, cost });
          return [{ type: 'cancelled', ticket }];
        }
        return [];
      case 'bye': {
        const reason = (Object.keys(BYE) as ByeReason[]).find((name) => BYE[name] === frame.reason) ?? 'leaving';
        this.#hasLeft = true;
        this.leave(reason, now);
        return [{ type: 'leaving', reason }, ...this.#leaveIfDone(now)];
      }
      default:
        throw malformed('a proof where there has been one');
    }
  }

  #part({ stream, id, last, bytes }: Extract<Frame, { type: 'part' }>, now: Nanos): SessionEvent[] {
    if (!isRequests(stream)) {
      // One that was cancelled may still be on its way: it is let go by.
      const asked = this.#asked.get(id);
      const answer = this.#inbox.part(stream, id, last, bytes, asked?.most ?? MOST_ANSWER, asked !== undefined);
      this.#giveBack({ stream, cost: this.#inbox.costOf(bytes) });
      return answer === null || asked === undefined ? [] : this.#answer(id, answer.bytes);
    }
    const arrived = this.#inbox.part(stream, id, last, bytes, this.#inbox.mostRequest(stream));
    if (arrived === null) return [];
    const { kind, body, deadlineNs, most: limit } = parseRequest(arrived.bytes, id !== 0);
    const ticket = this.#nextTicket++;
    const deadline = now + deadlineNs;
    this.#handled.set(ticket, { id, stream, cost: arrived.cost, deadline, most: limit });
    this.#earliest = Math.min(this.#earliest, deadline);
    if (this.#handled.size + this.#abandoned.size > MOST_HANDLED) {
      this.settle(ticket, { error: new AgentError('E_PEER_BUSY', 'too many requests at once') });
      return [];
    }
    const priority = PRIORITIES[stream >> 1]!;
    return [{ type: 'request', id: id === 0 ? null : id, ticket, kind, body, priority, deadline }];
  }

  #answer(id: number, bytes: Uint8Array): SessionEvent[] {
    const answer = fromCbor(bytes);
    if (!Array.isArray(answer)) throw malformed('an answer that is none');
    this.#asked.delete(id);
    if (answer[0] === 0 && answer.length === 2) return [{ type: 'answered', id, body: answer[1] }];
    const [one, code, message] = answer;
    if (one !== 1 || !isText(code, LONGEST_KIND) || !isText(message, LONGEST_MESSAGE))
      throw malformed('an answer that is none');
    const error = new AgentError('E_PEER_REFUSED', `the other router refused: ${message}`, { code });
    return [{ type: 'failed', id, error }];
  }

  #giveBack({ stream, cost }: Cost): void {
    this.#inbox.giveBack(stream, cost);
    this.#withheld[stream]! += cost;
    if (this.#withheld[stream]! < this.#inbox.window(stream) / 4) return;
    this.#outbox.push(encodeFrame({ type: 'credit', stream, bytes: this.#withheld[stream]! }));
    this.#withheld[stream] = 0;
  }

  #mayBegin(): void {
    if (this.#over || this.isLeaving) throw new AgentError('E_PEER_CLOSED', 'the session is ending');
  }

  #leaveIfDone(now: Nanos): SessionEvent[] {
    if (!this.isLeaving) return [];
    // What the other side asked before it heard of this is on its way until its own word has come.
    const done = this.#hasLeft && this.#asked.size === 0 && this.#handled.size === 0 && this.#outbox.isEmpty;
    return done || now >= this.#leaveBy ? this.#break(null) : [];
  }

  #break(error: AgentError | null): SessionEvent[] {
    this.#over = true;
    const why = error ?? new AgentError('E_PEER_CLOSED', 'the session has ended');
    const failed = [...this.#asked.keys()].map((id): SessionEvent => ({ type: 'failed', id, error: why }));
    const cancelled = [...this.#handled.keys()].map((ticket): SessionEvent => ({ type: 'cancelled', ticket }));
    this.#asked.clear();
    this.#handled.clear();
    return [...failed, ...cancelled, { type: 'broken', error }];
  }

  #sendPing(now: Nanos): void {
    this.#ping = (this.#ping + 1) % 2 ** 32;
    this.#pingedAt = now;
    this.#outbox.push(encodeFrame({ type: 'ping', number: this.#ping }));
  }

  #nextPing(): Nanos {
    const last = this.#pingedAt === NEVER ? 0 : this.#pingedAt;
    if (this.#suspectedAt !== null) return Math.max(this.#suspectedAt, last) + SUSPECT_EVERY;
    return Math.max(this.#heard, last) + IDLE;
  }

  #dead(): Nanos {
    if (this.#suspectedAt !== null) return Math.max(this.#suspectedAt, this.#heard) + SUSPECT_WITHIN;
    return this.#heard + IDLE + ANSWERS_WITHIN;
  }
}

function refusal({ code, message }: AgentError): Uint8Array {
  return toCbor([1, code, message.slice(0, LONGEST_MESSAGE)]);
}

function parseRequest(
  bytes: Uint8Array,
  waits: boolean,
): { kind: string; body: unknown; deadlineNs: Nanos; most: number } {
  const request = fromCbor(bytes);
  if (!Array.isArray(request) || request.length !== (waits ? 4 : 2)) throw malformed('a request that is none');
  const [kind, body, ms = LONGEST_DEADLINE / MS, most = 0] = request;
  if (!isText(kind, LONGEST_KIND)) throw malformed('a request without a kind');
  if (!isCount(ms, LONGEST_DEADLINE / MS) || !isCount(most, MOST_ANSWER)) throw malformed('a request without limits');
  return { kind, body, deadlineNs: ms * MS, most: Math.max(most, 1024) };
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length <= longest;
}

function isCount(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
