/**
 * Sessions with other routers: listens, dials whom the roster names, and hands out what stands. Nothing of a connection
 * reaches anybody before both ends have proven who they are.
 */
import { createServer, isIP, type Server, type Socket } from 'node:net';
import {
  connect,
  createSecureContext,
  createServer as createTlsServer,
  type SecureContext,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { AgentError } from '../../core/errors.ts';
import type { Mac } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import type { Announcement } from '../../peer/announce.ts';
import type { Credentials, Verify } from '../../peer/credentials.ts';
import type { Exchange, Handler, RequestManner } from '../../peer/exchange.ts';
import { Gate, HALF_OPEN_FOR, Visitors } from '../../peer/gate.ts';
import type { Role } from '../../peer/proof.ts';
import { keyOf, Roster, type Target } from '../../peer/roster.ts';
import type { PeerView } from '../../report/api/peers.ts';
import { Link, type LinkOptions } from './link.ts';
import { contextOf, hasHybridGroup } from './tls.ts';

/** How long a session of a router without an identity may last. */
const ANONYMOUS_FOR_MS = 30_000;
/** How often it is asked anew whether the other ends are still to be believed. */
const RECHECK: Nanos = 30 * SECOND;
const LISTEN_RETRY_MS = 5000;
const BACKLOG = 64;
/** How long somebody who wants a session with a router waits for it. */
const REACH_MS = 10_000;
/** Warnings on connections that came to nothing: one in so long, with how many there were. */
const COMPLAIN: Nanos = 10 * SECOND;

export interface Address {
  /** IPv4 or IPv6; a link-local one with its interface, fe80::1%bat0. */
  readonly address: string;
  readonly port: number;
}

export interface PeersOptions {
  readonly credentials: Credentials;
  readonly log: Log;
  now(): Nanos;
  /** 0 to below 1. */
  random(): number;
  /** Metrics; see agent/report/metrics.ts. */
  count?(name: string, labels: Readonly<Record<string, string>>): void;
  /** False: TLS does without its hybrid group, as where the library has none, and the sessions bring their own. */
  readonly hybrid?: boolean;
  /** A session stands, or has ended: `error` null in good order. */
  onUp?(session: Exchange, role: Role): void;
  /** The other end of one has shown a new certificate in it. */
  onRenewed?(session: Exchange): void;
  onDown?(session: Exchange, error: AgentError | null): void;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #roster: Roster;
  readonly #gate: Gate;
  readonly #handlers = new Map<string, Handler>();
  readonly #listeners = new Map<string, Server>();
  readonly #listening = new Map<string, Address>();
  readonly #tls: TlsServer;
  /** Half-open connections to us: by their four addresses, and by the gate's key. */
  readonly #arriving = new Map<string, number>();
  readonly #halfOpen = new Map<number, Socket | TLSSocket>();
  readonly #gateKeys = new Map<Link, number>();
  readonly #links = new Map<number, Link>();
  readonly #targets = new Map<Link, string>();
  readonly #visitors = new Visitors<Link>();
  readonly #awaited = new Map<string, Set<(link: Link) => void>>();
  readonly #hybrid: boolean;
  #client: SecureContext;
  readonly #stranger: SecureContext;
  #numbers = 0;
  #timer: NodeJS.Timeout | null = null;
  #recheckAt: Nanos;
  #complaints = 0;
  #complainAt: Nanos = 0;
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    const { credentials, random, hybrid = true } = options;
    const now = options.now();
    this.#hybrid = hybrid && hasHybridGroup();
    this.#roster = new Roster(() => credentials.current()?.id ?? '', random);
    this.#gate = new Gate(now);
    this.#recheckAt = now + RECHECK;
    this.#tls = createTlsServer({
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      handshakeTimeout: HALF_OPEN_FOR / MS,
    });
    this.#tls.on('secureConnection', (socket) => this.#accepted(socket));
    this.#tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      // Before it is destroyed: after that it has no address any more.
      const address = socket.remoteAddress ?? 'gone already';
      socket.destroy();
      this.#complain(`TLS: ${error.code ?? 'it failed'}`, address);
    });
    this.#stranger = createSecureContext(contextOf(null, this.#hybrid));
    this.#client = this.#stranger;
    this.renewed();
  }

  /** Who answers one kind of request, in every session. */
  handle(kind: string, handler: Handler): void {
    this.#handlers.set(kind, handler);
  }

  /** Listens on these addresses and on no others. One that cannot be had yet is tried again. */
  listen(addresses: readonly Address[]): void {
    const wanted = new Map(addresses.map((one) => [keyOf(one), one]));
    for (const [key, server] of this.#listeners) {
      if (wanted.has(key)) continue;
      server.close();
      this.#listeners.delete(key);
    }
    this.#listening.clear();
    for (const [key, one] of wanted) this.#listening.set(key, one);
    for (const one of this.#listening.values()) this.#open(one);
  }

  /** The ports that it listens on now, in the order of the addresses; null where one cannot be had. */
  ports(): readonly (number | null)[] {
    return [...this.#listening.keys()].map((key) => {
      const address = this.#listeners.get(key)?.address();
      return typeof address === 'object' && address !== null ? address.port : null;
    });
  }

  /** Keeps a session with whoever is at these addresses. */
  configure(addresses: readonly Address[]): void {
    this.#roster.configure(addresses, this.#options.now());
    this.#turn();
  }

  /** `isLast`: by a way that is left to when the mesh does not carry. Whether this says of a place that was not known. */
  announced(announcement: Announcement, address: string, isLast = false): boolean {
    const isNew = this.#roster.announced(announcement, address, this.#options.now(), isLast);
    this.#turn();
    return isNew;
  }

  neighbours(originators: ReadonlySet<Mac>): void {
    this.#roster.neighbours(originators);
    this.#turn();
  }

  /** A link is suspected, or a route has gone: all sessions ask at once whether the other end is there. */
  suspect(): void {
    for (const link of this.#links.values()) link.suspect();
  }

  /** The session with this router, if one stands. */
  session(id: string): Exchange | null {
    return this.#linkTo(id);
  }

  sessions(): readonly Exchange[] {
    return this.#roster.held().flatMap(({ link }) => this.#links.get(link) ?? []);
  }

  view(): readonly PeerView[] {
    return [...this.#links.values()].filter((link) => link.since > 0).map((link) => link.view);
  }

  get halfOpen(): number {
    return this.#gate.size;
  }

  /** A session with this router, made if there is none. Throws E_NOT_FOUND, E_PEER_UNREACHABLE. */
  async reach(id: string, timeoutMs = REACH_MS): Promise<Exchange> {
    const standing = this.#linkTo(id);
    const known = this.#roster.want(id, this.#options.now());
    if (standing !== null) return standing;
    if (!known) throw new AgentError('E_NOT_FOUND', `nobody has said where ${id} is`, { id });
    return new Promise((resolve, reject) => {
      const waiting = this.#awaited.get(id) ?? new Set();
      this.#awaited.set(id, waiting);
      const done = (link: Link): void => {
        clearTimeout(timer);
        resolve(link);
      };
      const timer = setTimeout(() => {
        waiting.delete(done);
        if (waiting.size === 0) this.#awaited.delete(id);
        reject(new AgentError('E_PEER_UNREACHABLE', `no session with ${id} came about`, { id }));
      }, timeoutMs);
      waiting.add(done);
      this.#turn();
    });
  }

  /** Reaches a router and asks it. Throws as `reach` and Exchange.request. */
  async request(id: string, kind: string, body: unknown, manner: RequestManner = {}): Promise<unknown> {
    return (await this.reach(id, manner.deadlineMs)).request(kind, body, manner);
  }

  /**
   * A session of its own with the router at this address, whom `verify` is to believe; it belongs to who called, and ends
   * by `close`. So a router asks to be let in that has no identity, or one that nobody believes any more: it shows none. Throws E_PEER_UNREACHABLE, E_PEER_UNTRUSTED.
   */
  async visit(address: Address, verify: Verify): Promise<Exchange & { close(): void }> {
    return new Promise((resolve, reject) => {
      let up = false;
      this.#dial(address, {
        verify,
        asStranger: true,
        onOpen: (link) => {
          up = true;
          this.#links.set(link.number, link);
          resolve(link);
        },
        onLeaving: () => {},
        onClosed: (link, error) => {
          this.#links.delete(link.number);
          if (!up) reject(error ?? new AgentError('E_PEER_CLOSED', 'the session has ended'));
        },
        onFailed: reject,
      });
    });
  }

  /** This router has another certificate: who connects is shown it, and so is everybody who is connected. */
  renewed(): void {
    const credential = this.#options.credentials.current();
    this.#client = createSecureContext(contextOf(credential, this.#hybrid));
    if (credential !== null) this.#tls.setSecureContext(contextOf(credential, this.#hybrid));
    for (const link of this.#links.values()) this.#show(link);
    this.#roster.anew(this.#options.now());
    this.#turn();
  }

  #show(link: Link): void {
    try {
      link.renew();
    } catch {
      // It is busy or ending: at the next look again.
    }
  }

  /** Roots, revocations or the clock have changed: who is no longer believed goes at once. */
  recheck(): void {
    this.#recheckAt = this.#options.now() + RECHECK;
    for (const link of [...this.#links.values()]) {
      const why = link.recheck();
      if (why !== null)
        link.destroy(new AgentError('E_PEER_UNTRUSTED', `the other router is believed no longer: ${why}`));
      else if (link.isBehind) this.#show(link);
    }
  }

  /** Ends the sessions with routers that have these identity keys, by fingerprint. */
  distrust(keys: readonly string[]): void {
    for (const link of [...this.#links.values()])
      if (link.peer !== null && keys.includes(link.peer.fingerprint))
        link.destroy(new AgentError('E_PEER_UNTRUSTED', 'the other router is believed no longer'));
  }

  /** Where routers are said to be, by whomever. */
  places(): readonly Address[] {
    return this.#roster.places();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const server of this.#listeners.values()) server.close();
    for (const socket of this.#halfOpen.values()) socket.destroy();
    for (const link of [...this.#links.values()]) link.leave('leaving');
    for (const link of [...this.#links.values()]) link.destroy(null);
  }

  #linkTo(id: string): Link | null {
    const held = this.#roster.sessionWith(id);
    const link = held === null ? undefined : this.#links.get(held.link);
    return link?.isOpen ? link : null;
  }

  #open(at: Address): void {
    const key = keyOf(at);
    if (this.#closed || this.#listeners.has(key) || !this.#listening.has(key)) return;
    const server = createServer((socket) => this.#arrived(socket));
    this.#listeners.set(key, server);
    server.on('error', (error: NodeJS.ErrnoException) => {
      this.#options.log.debug('cannot listen for sessions yet', { ...at, errno: error.code });
      server.close();
      if (this.#listeners.get(key) === server) this.#listeners.delete(key);
      // The address may not be there yet, or belong to an interface that comes back.
      setTimeout(() => this.#open(at), LISTEN_RETRY_MS).unref();
    });
    server.listen({ host: at.address, port: at.port, backlog: BACKLOG, ipv6Only: isIP(at.address) === 6 });
    server.unref();
  }

  /** Somebody has connected; nothing has been said yet. */
  #arrived(socket: Socket): void {
    const { remoteAddress: address } = socket;
    const now = this.#options.now();
    if (address === undefined || this.#options.credentials.current() === null) {
      socket.destroy();
      return;
    }
    const { key, evicted } = this.#gate.knock(address, this.#roster.isKnown(address), now);
    for (const one of evicted) this.#turnOut(one);
    if (key === null || evicted.length > 0) this.#complain('crowded', address);
    if (key === null) {
      socket.resetAndDestroy();
      return;
    }
    const four = addressesOf(socket);
    this.#arriving.set(four, key);
    this.#halfOpen.set(key, socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      if (this.#arriving.get(four) === key) this.#arriving.delete(four);
      this.#halfOpen.delete(key);
      this.#gate.leave(key);
    });
    this.#tls.emit('connection', socket);
    this.#arm();
  }

  /** TLS is through with somebody who connected. */
  #accepted(socket: TLSSocket): void {
    const key = this.#arriving.get(addressesOf(socket));
    if (key === undefined || socket.isSessionReused()) {
      socket.destroy();
      return;
    }
    this.#halfOpen.set(key, socket);
    const link = new Link({
      ...this.#linkOptions(socket, 'responder', `${socket.remoteAddress}`),
      anonymous: [...this.#handlers.values()].some((one) => one.anonymous),
      onOpen: (it) => {
        this.#proven(it);
        if (it.peer === null) this.#visited(it);
        else this.#stands(it, null);
      },
    });
    this.#gateKeys.set(link, key);
    link.begin();
  }

  #linkOptions(socket: TLSSocket, role: Role, address: string): LinkOptions {
    const { credentials, now } = this.#options;
    return {
      number: ++this.#numbers,
      socket,
      role,
      address,
      credentials,
      anonymous: false,
      hybrid: this.#hybrid,
      handlers: this.#handlers,
      now,
      onOpen: (link) => this.#stands(link, null),
      onRenewed: (link) => this.#options.onRenewed?.(link),
      onLeaving: () => {},
      onClosed: (link, error) => this.#gone(link, error),
    };
  }

  /** It is no longer half-open. */
  #proven(link: Link): void {
    const key = this.#gateKeys.get(link);
    this.#gateKeys.delete(link);
    if (key === undefined) return;
    this.#gate.leave(key);
    this.#halfOpen.delete(key);
  }

  #visited(link: Link): void {
    const { comes, turnedOut } = this.#visitors.arrive(link, link.address, this.#options.now());
    const crowded = new AgentError('E_PEER_BUSY', 'too many routers without an identity are here');
    turnedOut?.destroy(crowded);
    if (turnedOut !== null || !comes) this.#complain(crowded.message, link.address);
    if (!comes) {
      link.destroy(crowded);
      return;
    }
    this.#links.set(link.number, link);
    setTimeout(() => link.leave('leaving'), ANONYMOUS_FOR_MS).unref();
  }

  #stands(link: Link, target: string | null): void {
    const { log, count, now } = this.#options;
    const id = link.peer!.id;
    const at = now();
    const other = this.#linkTo(id);
    if (other !== null && other.peer!.fingerprint !== link.peer!.fingerprint) {
      // A steward gone bad can give a name twice, and names are what rules and tunnels go by: who is here keeps it.
      const why = `another router, with other keys, is here as ${id}`;
      if (target !== null) this.#roster.failed(target, at);
      count?.('peer_handshakes_total', { role: link.role, outcome: 'E_PEER_UNTRUSTED' });
      link.destroy(new AgentError('E_PEER_UNTRUSTED', why));
      this.#complain(why, link.address);
      return;
    }
    const held = { link: link.number, id, role: link.role, target, since: at, tag: link.tag };
    const { keep, leave } = this.#roster.opened(held, at);
    this.#roster.provenAt(link.address);
    this.#links.set(link.number, link);
    if (target !== null) this.#targets.set(link, target);
    count?.('peer_handshakes_total', { role: link.role, outcome: keep ? 'stands' : 'superfluous' });
    if (!keep) {
      // Both ends see which one stays; the other end may have asked something on this one already.
      link.leave('duplicate');
      return;
    }
    for (const other of leave) this.#links.get(other)?.leave('duplicate');
    log.info('a session stands', { id, address: link.address, role: link.role, hybrid: link.view.hybrid });
    this.#options.onUp?.(link, link.role);
    for (const done of this.#awaited.get(id) ?? []) done(link);
    this.#awaited.delete(id);
    this.#turn();
  }

  #gone(link: Link, error: AgentError | null): void {
    const { log, count, now } = this.#options;
    this.#proven(link);
    this.#links.delete(link.number);
    this.#visitors.leave(link);
    const stood = link.since > 0;
    const held = this.#roster.held().some((one) => one.link === link.number);
    this.#roster.closed(link.number, now());
    const target = this.#targets.get(link);
    this.#targets.delete(link);
    if (!stood && target !== undefined) this.#roster.failed(target, now());
    if (!stood && error !== null) {
      count?.('peer_handshakes_total', { role: link.role, outcome: error.code });
      this.#complain(error.message, link.address);
    }
    if (held && link.peer !== null) {
      log.info('a session has ended', { id: link.peer.id, why: error?.message ?? 'in good order' });
      this.#options.onDown?.(link, error);
    }
    this.#turn();
  }

  #turnOut(key: number): void {
    this.#halfOpen.get(key)?.destroy();
    this.#halfOpen.delete(key);
  }

  /** Dials and times out what is due. */
  #turn(): void {
    if (this.#closed) return;
    const now = this.#options.now();
    for (const key of this.#gate.tick(now)) this.#turnOut(key);
    if (now >= this.#recheckAt) {
      this.recheck();
      for (const link of this.#roster.idle(now)) this.#links.get(link)?.leave('leaving');
    }
    if (this.#options.credentials.current() !== null)
      for (const target of this.#roster.tick(now)) this.#dialTarget(target);
    this.#arm();
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const now = this.#options.now();
    const at = Math.min(this.#gate.deadline(), this.#recheckAt, this.#roster.deadline(now));
    this.#timer = setTimeout(() => this.#turn(), Math.max(1, Math.ceil((at - now) / MS)));
    this.#timer.unref();
  }

  #dialTarget(target: Target): void {
    this.#dial(target, {
      onOpen: (link) => {
        if (target.id !== null && link.peer!.id !== target.id) {
          const why = `${link.peer!.id} is where ${target.id} was said to be`;
          this.#roster.failed(target.key, this.#options.now());
          link.destroy(new AgentError('E_PEER_UNTRUSTED', why));
          this.#complain(why, target.address);
        } else this.#stands(link, target.key);
      },
      onClosed: (link, error) => {
        this.#targets.set(link, target.key);
        this.#gone(link, error);
      },
      onFailed: (error) => {
        this.#options.count?.('peer_handshakes_total', { role: 'initiator', outcome: error.code });
        this.#complain(error.message, target.address);
        this.#roster.failed(target.key, this.#options.now());
        this.#arm();
      },
    });
  }

  /** `onFailed`: before there was a link. */
  #dial(
    { address, port }: Address,
    { onFailed, ...overrides }: Partial<LinkOptions> & { onFailed(error: AgentError): void },
  ): void {
    const socket = connect({
      host: address,
      port,
      secureContext: overrides.asStranger === true ? this.#stranger : this.#client,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    let link: Link | null = null;
    const failed = (why: string): void => {
      clearTimeout(timer);
      if (link !== null && link.since > 0) return;
      socket.destroy();
      if (link === null) onFailed(new AgentError('E_PEER_UNREACHABLE', `${address} port ${port}: ${why}`));
      else if (link.since === 0)
        link.destroy(new AgentError('E_PEER_SILENT', 'the other router did not finish its proof'));
    };
    const timer = setTimeout(() => failed('no answer in time'), HALF_OPEN_FOR / MS);
    timer.unref();
    const onError = (error: NodeJS.ErrnoException): void => failed(error.code ?? 'TLS');
    socket.once('error', onError);
    socket.once('close', onClose);
    function onClose(): void {
      failed('it closed the connection');
    }
    socket.once('secureConnect', () => {
      socket.off('error', onError);
      socket.off('close', onClose);
      const options = this.#linkOptions(socket, 'initiator', address);
      link = new Link({ ...options, ...overrides });
      link.begin();
    });
  }

  #complain(what: string, address: string): void {
    this.#complaints += 1;
    this.#options.count?.('peer_refused_total', {});
    const now = this.#options.now();
    if (now < this.#complainAt) return;
    this.#options.log.warning('a connection to or from another router came to nothing', {
      why: what,
      address,
      ...(this.#complaints > 1 && { since_the_last_word: this.#complaints }),
    });
    this.#complaints = 0;
    this.#complainAt = now + COMPLAIN;
  }
}

function addressesOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
