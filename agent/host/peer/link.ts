/**
 * One connection to another router: TLS below, the proof, then the session's machine, joined to the socket. It writes
 * little ahead of what the kernel takes, so that what is urgent overtakes as late as can be.
 */
import type { TLSSocket } from 'node:tls';
import { AgentError, asAgentError } from '../../core/errors.ts';
import { MS, type Nanos, NEVER } from '../../core/time.ts';
import type { Credentials, Verify } from '../../peer/credentials.ts';
import type { Asked, Exchange, Handler, Manner, RequestManner } from '../../peer/exchange.ts';
import { type ByeReason, decodeFrame, encodeFrame, FrameReader, framed, malformed } from '../../peer/frame.ts';
import {
  type Binding,
  check,
  conclude,
  EXPORTER,
  open,
  prove,
  RENEWAL_PURPOSE,
  type Role,
  renewal,
  respond,
  type SessionKeys,
} from '../../peer/proof.ts';
import { Session, type SessionEvent } from '../../peer/session.ts';
import type { PeerView } from '../../report/api/peers.ts';
import type { Peer } from '../../trust/certificate/verify.ts';
import { EMPTY } from '../../trust/keys/primitives.ts';
import type { Sealer } from '../../trust/keys/seal.ts';
import type { SecretBytes } from '../../trust/keys/secret.ts';
import type { AgreementKey, IdentityKey } from '../../trust/keys/suite.ts';
import { Budgets } from '../../trust/membership/budget.ts';
import { chainOf, isHybrid, peerOf } from './tls.ts';

/** Frames are put together to no more than a TLS record. */
const RECORD = 16 * 1024 - 64;
const LINGER_MS = 2000;
const USUAL_DEADLINE_MS = 10_000;
/** The kind under which a new certificate is shown. */
const RENEW = 'session/renew';

export interface LinkOptions {
  readonly number: number;
  readonly socket: TLSSocket;
  readonly role: Role;
  readonly address: string;
  readonly credentials: Credentials;
  /** Whom to believe on this connection, if not whom the credentials do: a steward that an invitation names. */
  readonly verify?: Verify;
  /** Whether a router without an identity may come in. */
  readonly anonymous: boolean;
  /** This router shows nothing of itself here: it asks to be let in, and nobody may believe what it has. */
  readonly asStranger?: boolean;
  /** Whether TLS offers the hybrid group here. */
  readonly hybrid: boolean;
  readonly handlers: ReadonlyMap<string, Handler>;
  now(): Nanos;
  /** It stands. */
  onOpen(link: Link): void;
  /** The other side has shown a new certificate. */
  onRenewed?(link: Link): void;
  /** The other side begins nothing new. */
  onLeaving(link: Link): void;
  /** It is over; `error` says why, null for in good order. */
  onClosed(link: Link, error: AgentError | null): void;
}

interface Opening {
  readonly bytes: Uint8Array;
  /** A key for this once, where TLS is not hybrid. */
  readonly agreement: AgreementKey | null;
}

interface Waiting {
  resolve(body: unknown): void;
  reject(error: AgentError): void;
}

export class Link implements Exchange {
  readonly number: number;
  readonly role: Role;
  readonly address: string;
  readonly #options: LinkOptions;
  readonly #socket: TLSSocket;
  readonly #reader = new FrameReader();
  readonly #waiting = new Map<number, Waiting>();
  readonly #aborts = new Map<number, AbortController>();
  #chain: readonly Uint8Array[] = [];
  #peer: Peer | null = null;
  #binding: Binding | null = null;
  /** What becomes of the next frame of the proof. */
  #proofNext: ((bytes: Uint8Array) => void) | null = null;
  #session: Session | null = null;
  #sealer: Sealer | null = null;
  #opener: SecretBytes | null = null;
  /** What this connection alone has: wiped when it ends, however far it came. */
  readonly #secrets: { wipe(): void }[] = [];
  #opened = 0;
  #renewals = { sent: 0, received: 0 };
  /** The leaf of this router that the other side was shown last; null where it was shown none. */
  #shown: Uint8Array | null = null;
  readonly #budget = new Budgets();
  #timer: NodeJS.Timeout | null = null;
  #timerAt: Nanos = NEVER;
  #closed = false;
  #bytesIn = 0;
  #bytesOut = 0;
  since: Nanos = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.number = options.number;
    this.role = options.role;
    this.address = options.address;
    const { socket } = options;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      this.#session?.writable(true, this.#now());
      this.#pump();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => this.#end(lost(error)));
    socket.on('end', () => this.#ended('the other router has closed the connection'));
    socket.on('close', () => this.#ended('the connection is gone'));
  }

  get peer(): Peer | null {
    return this.#peer;
  }

  get isOpen(): boolean {
    return this.#session !== null && !this.#closed && !this.#session.isLeaving;
  }

  /** The same at both ends. */
  get tag(): string {
    return Buffer.from(this.#binding?.exporter ?? EMPTY).toString('hex', 0, 8);
  }

  get view(): PeerView {
    return {
      id: this.#peer?.id ?? null,
      node: this.#peer?.node ?? null,
      address: this.address,
      role: this.role,
      since: this.since,
      suite: this.#options.credentials.suite.name,
      hybrid: this.#sealer === null ? 'TLS' : 'session',
      rttNs: this.#session?.rttNs ?? null,
      ...(this.#session?.pending ?? { asked: 0, handled: 0, queued: 0 }),
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    };
  }

  /** To be called when TLS is through, in the same turn. */
  begin(): void {
    this.#guard(() => {
      const { role, credentials, socket, anonymous, hybrid, verify = credentials.verify } = this.#options;
      const { suite } = credentials;
      const opening = role === 'initiator' ? this.#open(isHybrid(socket, hybrid)) : null;
      const own = this.#options.asStranger === true ? null : credentials.current();
      this.#chain = chainOf(socket);
      const peer = peerOf(this.#chain, verify);
      if (typeof peer === 'string') throw untrusted(peer);
      if (peer === null && (role === 'initiator' || !anonymous)) throw untrusted('it shows no certificate');
      if (own === null && role === 'responder') throw untrusted('this router has no identity itself');
      this.#peer = peer;
      const us = own && { id: own.id, leaf: socket.getX509Certificate()!.raw };
      this.#shown = us?.leaf ?? null;
      const them = peer && { id: peer.id, leaf: this.#chain[0]! };
      const exporter = this.exporter('session');
      this.#binding =
        role === 'initiator'
          ? { suite, exporter, initiator: us, responder: them! }
          : { suite, exporter, initiator: them, responder: us! };
      if (opening !== null) this.#propose(this.#binding, opening, own?.identity ?? null);
      else this.#await(this.#binding, own!.identity);
    });
  }

  request(kind: string, body: unknown, manner: RequestManner = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const session = this.#standing();
      const { priority = 'normal', deadlineMs = USUAL_DEADLINE_MS, most } = manner;
      const ask = { kind, body, priority, deadlineNs: deadlineMs * MS, ...(most !== undefined && { most }) };
      const id = session.request(ask, this.#now());
      this.#waiting.set(id, { resolve, reject });
      this.#pump();
    });
  }

  tell(kind: string, body: unknown, { priority = 'normal' }: Manner = {}): void {
    this.#standing().tell(kind, body, priority);
    this.#pump();
  }

  exporter(use: string): Uint8Array {
    return this.#socket.exportKeyingMaterial(EXPORTER.length, EXPORTER.label, Buffer.from(use));
  }

  /** What is under way is finished, and then it ends. */
  leave(reason: ByeReason): void {
    if (this.#session === null) this.destroy(new AgentError('E_PEER_CLOSED', 'the session is not wanted'));
    else {
      this.#session.leave(reason, this.#now());
      this.#pump();
    }
  }

  close(): void {
    this.leave('leaving');
  }

  destroy(error: AgentError | null): void {
    this.#end(error);
  }

  /** Something is known of the way there. */
  suspect(): void {
    this.#session?.link('suspect', this.#now());
    this.#pump();
  }

  /** Has another look at whom the other side proves: clocks, revocations and roots change. Why not, or null. */
  recheck(): string | null {
    if (this.#peer === null) return null;
    const { credentials, verify = credentials.verify } = this.#options;
    const verdict = peerOf(this.#chain, verify);
    return typeof verdict === 'string' ? verdict : null;
  }

  /** Whether this router has a certificate that the other side was not shown: it came in a handshake, or there was no room. */
  get isBehind(): boolean {
    const leaf = this.#options.credentials.current()?.chain[0];
    return this.#shown !== null && leaf !== undefined && Buffer.compare(this.#shown, leaf) !== 0;
  }

  /** Shows this router's new certificate, so that the session outlasts the old one. */
  renew(): void {
    const own = this.#options.credentials.current();
    if (own === null || this.#shown === null || !this.isOpen) return;
    const number = this.#renewals.sent + 1;
    const said = renewal(this.#binding!, this.role, number, own.chain);
    this.tell(RENEW, { number, chain: own.chain, signature: own.identity.sign(RENEWAL_PURPOSE, said) }, CONTROL);
    // What there was no room for was not said.
    this.#renewals.sent = number;
    this.#shown = own.chain[0]!;
  }

  #renewed(body: unknown): void {
    const { number, chain, signature } = (body ?? {}) as Record<string, unknown>;
    const isOne =
      Number.isInteger(number) &&
      Array.isArray(chain) &&
      [...chain, signature].every((one) => one instanceof Uint8Array) &&
      this.#peer !== null;
    if (!isOne || number !== this.#renewals.received + 1) throw malformed('a renewal that is none');
    // Each costs two signatures to verify.
    if (!this.#budget.take('', this.#options.now()))
      throw new AgentError('E_PEER_BUSY', 'it shows new certificates faster than anybody needs to');
    const { credentials, verify = credentials.verify } = this.#options;
    const peer = peerOf(chain, verify);
    if (peer === null || typeof peer === 'string') throw untrusted(peer ?? 'it shows no certificate');
    const role = this.role === 'initiator' ? 'responder' : 'initiator';
    const said = renewal(this.#binding!, role, number as number, chain);
    if (
      peer.id !== this.#peer!.id ||
      peer.fingerprint !== this.#peer!.fingerprint ||
      !credentials.suite.verify(peer.keys.identity, RENEWAL_PURPOSE, said, signature as Uint8Array)
    )
      throw untrusted('its new certificate is not for this session');
    this.#renewals.received += 1;
    this.#peer = peer;
    this.#chain = chain.map((one) => Uint8Array.from(one as Uint8Array));
    this.#options.onRenewed?.(this);
  }

  /**
   * The initiator's first word. It gives nothing away, so it may go before it is known who is there: TLS keeps the end of
   * its own handshake back until something is written, and the other side begins with both while this one looks on.
   */
  #open(isHybrid: boolean): Opening {
    const { suite } = this.#options.credentials;
    const secret = isHybrid ? null : suite.newAgreement();
    const agreement = secret && suite.agreementKey(secret);
    secret?.wipe();
    if (agreement !== null) this.#secrets.push(agreement);
    const bytes = open(suite, agreement);
    this.#sendProof(bytes);
    return { bytes, agreement };
  }

  // Both ends sign at the same time, aside where the provider can. A session stands when this end's proof has gone and the
  // other's holds, whichever is first; the other end says nothing more before it has ours.

  #propose(binding: Binding, { bytes, agreement }: Opening, own: IdentityKey | null): void {
    const theirs = this.#peer!.keys.identity;
    let keys: SessionKeys | null = null;
    const step = this.#standAfter(2, () => keys);
    this.#proofNext = (response) => {
      this.#proofNext = null;
      try {
        keys = this.#held(conclude(binding, bytes, response, theirs, agreement));
      } finally {
        agreement?.wipe();
      }
      step();
    };
    this.#whenDone(prove(binding, bytes, own), (proof) => {
      this.#sendProof(proof);
      step();
    });
  }

  #await(binding: Binding, own: IdentityKey): void {
    let keys: SessionKeys | null = null;
    const step = this.#standAfter(2, () => keys);
    this.#proofNext = (opening) => {
      this.#proofNext = (proof) => {
        this.#proofNext = null;
        check(binding, opening, proof, this.#peer?.keys.identity ?? null);
        step();
      };
      const answered = respond(binding, opening, own, this.#options.hybrid).then((answer) => {
        this.#held(answer.keys);
        return answer;
      });
      this.#whenDone(answered, (answer) => {
        keys = answer.keys;
        this.#sendProof(answer.response);
        step();
      });
    };
  }

  #held(keys: SessionKeys | null): SessionKeys | null {
    if (keys === null) return null;
    this.#secrets.push(keys.initiator, keys.responder);
    if (this.#closed) this.#wipe();
    return keys;
  }

  #wipe(): void {
    for (const one of this.#secrets.splice(0)) one.wipe();
  }

  #standAfter(steps: number, keys: () => SessionKeys | null): () => void {
    let left = steps;
    return () => {
      left -= 1;
      if (left === 0) this.#stand(keys());
    };
  }

  #whenDone<T>(work: Promise<T>, then: (done: T) => void): void {
    work.then(
      (done) => this.#guard(() => then(done)),
      (thrown) => this.#end(asAgentError(thrown)),
    );
  }

  #sendProof(bytes: Uint8Array): void {
    this.#send(encodeFrame({ type: 'proof', bytes }));
  }

  #stand(keys: SessionKeys | null): void {
    const { credentials, role } = this.#options;
    if (keys !== null) {
      this.#sealer = credentials.suite.sealer(keys[role]);
      this.#opener = keys[role === 'initiator' ? 'responder' : 'initiator'];
    }
    this.since = this.#now();
    this.#session = new Session(this.since);
    this.#options.onOpen(this);
    this.#arm();
  }

  #read(chunk: Buffer): void {
    this.#bytesIn += chunk.length;
    this.#guard(() => {
      const now = this.#now();
      for (const content of this.#reader.read(chunk)) {
        if (this.#closed) return;
        if (this.#session === null) {
          const frame = decodeFrame(content);
          if (frame.type !== 'proof' || this.#proofNext === null) throw malformed('something before the proof');
          this.#proofNext(frame.bytes);
        } else this.#take(this.#session.receive(this.#unsealed(content), now));
      }
      this.#pump();
    });
  }

  #unsealed(content: Uint8Array): Uint8Array {
    if (this.#opener === null) return content;
    const { text, counter } = this.#options.credentials.suite.open(this.#opener, content, EMPTY);
    if (counter !== this.#opened++) throw malformed('a sealed frame out of its order');
    return text;
  }

  #take(events: readonly SessionEvent[]): void {
    for (const event of events) {
      switch (event.type) {
        case 'request':
          this.#handle(event);
          break;
        case 'cancelled':
          this.#aborts.get(event.ticket)?.abort();
          this.#aborts.delete(event.ticket);
          break;
        case 'answered':
          this.#waiting.get(event.id)?.resolve(event.body);
          this.#waiting.delete(event.id);
          break;
        case 'failed':
          this.#waiting.get(event.id)?.reject(event.error);
          this.#waiting.delete(event.id);
          break;
        case 'leaving':
          this.#options.onLeaving(this);
          break;
        case 'broken':
          this.#end(event.error);
      }
    }
  }

  #handle({ id, ticket, kind, body, priority }: Extract<SessionEvent, { type: 'request' }>): void {
    const session = this.#session!;
    const settle = (outcome: { readonly body: unknown } | { readonly error: AgentError }): void => {
      this.#aborts.delete(ticket);
      try {
        session.settle(ticket, outcome);
      } catch (thrown) {
        // What a handler gave back is nothing that CBOR has.
        session.settle(ticket, { error: asAgentError(thrown) });
      }
      this.#pump();
    };
    const refuse = (thrown: unknown): void => {
      const told = thrown instanceof AgentError ? thrown : new AgentError('E_BUG', 'the request could not be answered');
      settle({ error: told });
    };
    if (kind === RENEW) {
      this.#renewed(body);
      settle({ body: null });
      return;
    }
    const handler = this.#options.handlers.get(kind);
    if (handler === undefined || (this.#peer === null && handler.anonymous !== true)) {
      refuse(
        new AgentError(handler === undefined ? 'E_NOT_FOUND' : 'E_FORBIDDEN', `nobody here answers ${kind} to you`),
      );
      return;
    }
    const aborts = this.#aborts;
    const asked: Asked = {
      kind,
      from: this,
      priority,
      waits: id !== null,
      get signal() {
        const controller = aborts.get(ticket) ?? new AbortController();
        aborts.set(ticket, controller);
        return controller.signal;
      },
    };
    try {
      const answer = handler.handle(body, asked);
      if (answer instanceof Promise) answer.then((value) => settle({ body: value ?? null }), refuse);
      else settle({ body: answer ?? null });
    } catch (thrown) {
      refuse(thrown);
    }
  }

  #standing(): Session {
    if (this.#session === null || this.#closed) throw new AgentError('E_PEER_CLOSED', 'the session does not stand');
    return this.#session;
  }

  /** Writes what may go now. */
  #pump(): void {
    const session = this.#session;
    if (session === null || this.#closed) return;
    while (!this.#socket.writableNeedDrain) {
      const frames: Uint8Array[] = [];
      let size = 0;
      while (size < RECORD) {
        const frame = session.next();
        if (frame === null) break;
        const bytes = framed(this.#sealer === null ? frame : this.#sealer.seal(frame, EMPTY));
        frames.push(bytes);
        size += bytes.length;
      }
      if (frames.length === 0) break;
      this.#bytesOut += size;
      this.#socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames, size));
    }
    const now = this.#now();
    session.writable(!this.#socket.writableNeedDrain, now);
    this.#take(session.sent(now));
    this.#arm();
  }

  #send(content: Uint8Array): void {
    const bytes = framed(content);
    this.#bytesOut += bytes.length;
    this.#socket.write(bytes);
  }

  #arm(): void {
    if (this.#session === null || this.#closed) return;
    const at = this.#session.deadline();
    if (at >= this.#timerAt) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#timerAt = NEVER;
        if (this.#session === null || this.#closed) return;
        this.#take(this.#session.tick(this.#now()));
        this.#pump();
      },
      Math.max(0, Math.ceil((at - this.#now()) / MS)),
    );
    this.#timer.unref();
  }

  /** What goes wrong ends this connection, and nothing else. */
  #guard(work: () => void): void {
    if (this.#closed) return;
    try {
      work();
    } catch (thrown) {
      this.#end(asAgentError(thrown));
    }
  }

  #ended(how: string): void {
    this.#end(this.#session?.isLeaving ? null : new AgentError('E_PEER_CLOSED', how));
  }

  #end(error: AgentError | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#take(this.#session?.gone(error) ?? []);
    this.#wipe();
    // In good order what has been written goes out first.
    if (error === null) {
      this.#socket.end(() => this.#socket.destroy());
      setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
    } else this.#socket.destroy();
    this.#options.onClosed(this, error);
  }

  #now(): Nanos {
    return this.#options.now();
  }
}

const CONTROL: Manner = { priority: 'control' };

function lost(error: NodeJS.ErrnoException): AgentError {
  return new AgentError('E_PEER_CLOSED', `the connection broke: ${error.code ?? 'TLS'}`, { errno: error.code });
}

function untrusted(why: string): AgentError {
  return new AgentError('E_PEER_UNTRUSTED', `the other router is not believed: ${why}`);
}
