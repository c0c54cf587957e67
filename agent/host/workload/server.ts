/**
 * The SPIFFE Workload API for programs on this router: gRPC, over HTTP/2 without TLS, on a unix socket. The shim accepts,
 * since Node's own server keeps to itself who calls, and each connection is handed to node:http2 as a socket of its own.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { AgentError, asAgentError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Entry, Registry } from '../../workload/entry.ts';
import { Frames, frame, GRPC, GRPC_TYPE, GrpcError, type Method, messageText, methodOf } from '../../workload/grpc.ts';
import { isAudience, MOST_TOKEN } from '../../workload/jwt.ts';
import {
  readJwtSvidRequest,
  readValidateRequest,
  writeBundles,
  writeJwtSvidResponse,
  writeValidateResponse,
  writeX509SvidResponse,
} from '../../workload/messages.ts';
import { Malformed } from '../../workload/protobuf.ts';
import type { ListenOptions, NativeSocket } from '../native.ts';
import { Caller } from './caller.ts';
import type { Issuing } from './issuing.ts';

/** Any program may ask: who gets something is decided by its entry, not by the path's mode. */
const MODE = 0o666;
const DIRECTORY_MODE = 0o755;
const MOST_CONNECTIONS = 64;
const MOST_STREAMS = 128;
/** Of one uid; on many routers all programs have root's. */
const MOST_OF_ONE = 16;
const MOST_STREAMS_OF_ONE = 32;
const MOST_MESSAGE = MOST_TOKEN + 4096;
/** Milliseconds for a request's message to come, and for a connection without a request. */
const REQUEST_MS = 10_000;
const IDLE_MS = 60_000;
/** How often it is looked whether what the streams have sent is out of date. */
const LOOK_MS = 1_000;

const SESSION = {
  maxSessionMemory: 1,
  maxHeaderListPairs: 48,
  maxOutstandingPings: 2,
  settings: { maxConcurrentStreams: MOST_STREAMS_OF_ONE, maxHeaderListSize: 8192, enablePush: false },
} as const;

export interface WorkloadServerOptions {
  readonly path: string;
  readonly listener: (options: ListenOptions) => Pick<NativeSocket, 'close'>;
  /** The shim's: whether the process of a pidfd has not ended. */
  lives(pidfd: number): boolean;
  /** As the configuration has it now. */
  registry(): Registry;
  readonly issuing: Issuing;
  readonly log: Log;
  /** Told of each request that came to an end, by its method and gRPC status. */
  counted?(method: Method | 'other', status: number): void;
  readonly lookMs?: number;
  readonly requestMs?: number;
  readonly idleMs?: number;
}

interface Connection {
  readonly caller: Caller;
  readonly session: ServerHttp2Session;
  readonly streams: Set<ServerHttp2Stream>;
  idle: NodeJS.Timeout | null;
}

/** A stream that is told of changes. */
interface Watcher {
  readonly kind: 'svids' | 'x509' | 'jwt';
  readonly connection: Connection;
  sent: string | null;
}

export class WorkloadServer {
  readonly #options: WorkloadServerOptions;
  readonly #listener: Pick<NativeSocket, 'close'>;
  readonly #connections = new Set<Connection>();
  readonly #watchers = new Map<ServerHttp2Stream, Watcher>();
  #timer: NodeJS.Timeout | null = null;
  #isLooking = false;

  /** Throws E_SOCKET. */
  constructor(options: WorkloadServerOptions) {
    this.#options = options;
    const { path, listener, log } = options;
    try {
      // Whatever the umask is: programs of other users have to get there.
      const made = mkdirSync(dirname(path), { recursive: true });
      if (made !== undefined) chmodSync(dirname(path), DIRECTORY_MODE);
      this.#listener = listener({
        path,
        mode: MODE,
        pidfds: true,
        onConnection: (fd, pid, uid, gid, pidfd) => this.#accept(fd, new Caller(pid, uid, gid, pidfd, options.lives)),
        onError: (code) => log.warning('a program could not be let in', { code }),
      });
    } catch (cause) {
      const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw new AgentError('E_SOCKET', `cannot listen on ${path}: ${errno}`, { path, errno }, { cause });
    }
  }

  /** Connections that are open, and streams that are told of changes. */
  counts(): { readonly connections: number; readonly streams: number } {
    return { connections: this.#connections.size, streams: this.#watchers.size };
  }

  close(): void {
    this.#listener.close();
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { session } of this.#connections) session.destroy();
  }

  #accept(fd: number, caller: Caller): void {
    const socket = new Socket({ fd, readable: true, writable: true });
    const ofOne = [...this.#connections].filter((one) => one.caller.uid === caller.uid);
    if (this.#connections.size >= MOST_CONNECTIONS || ofOne.length >= MOST_OF_ONE) {
      caller.close();
      socket.destroy();
      return;
    }
    const session = performServerHandshake(socket, SESSION);
    const connection: Connection = { caller, session, streams: new Set(), idle: null };
    this.#connections.add(connection);
    this.#rest(connection);
    session.on('stream', (stream, headers) => this.#request(connection, stream, headers));
    session.on('error', () => session.destroy());
    session.on('close', () => {
      this.#connections.delete(connection);
      if (connection.idle !== null) clearTimeout(connection.idle);
      caller.close();
      socket.destroy();
    });
  }

  /** A connection without a request is let go of after a while. */
  #rest(connection: Connection): void {
    connection.idle = setTimeout(() => connection.session.destroy(), this.#options.idleMs ?? IDLE_MS).unref();
  }

  #request(connection: Connection, stream: ServerHttp2Stream, headers: NodeJS.Dict<string | string[]>): void {
    if (connection.idle !== null) clearTimeout(connection.idle);
    connection.streams.add(stream);
    let method: Method | 'other' = 'other';
    const frames = new Frames(MOST_MESSAGE);
    const messages: Buffer[] = [];
    let isAnswered = false;
    const { requestMs = REQUEST_MS } = this.#options;

    const fail = (thrown: unknown): void => {
      clearTimeout(deadline);
      isAnswered = true;
      const { code, message } = grpcError(thrown);
      this.#options.counted?.(method, code);
      end(stream, code, message);
      // What it still sends is let go by, and it may not go on sending.
      stream.resume();
      deadline = setTimeout(() => stream.destroy(), requestMs).unref();
    };
    let deadline = setTimeout(
      () => fail(new GrpcError(GRPC.deadlineExceeded, 'the request did not come in time')),
      requestMs,
    ).unref();
    const answer = (): void => {
      if (isAnswered) return;
      isAnswered = true;
      clearTimeout(deadline);
      if (method === 'other' || frames.isWithin || messages.length !== 1) {
        fail(new GrpcError(GRPC.invalidArgument, 'a request is one message'));
        return;
      }
      const asked = method;
      this.#answer(connection, stream, asked, messages[0]!).then(() => this.#options.counted?.(asked, GRPC.ok), fail);
    };

    stream.on('error', () => stream.destroy());
    stream.on('close', () => {
      clearTimeout(deadline);
      connection.streams.delete(stream);
      this.#watchers.delete(stream);
      if (this.#watchers.size === 0 && this.#timer !== null) {
        clearInterval(this.#timer);
        this.#timer = null;
      }
      if (connection.streams.size === 0 && !connection.session.destroyed) this.#rest(connection);
    });
    try {
      method = methodOf(headers);
      const ofOne = [...this.#connections].filter((one) => one.caller.uid === connection.caller.uid);
      const count = (of: Iterable<Connection>): number => [...of].reduce((sum, one) => sum + one.streams.size, 0);
      if (count(this.#connections) > MOST_STREAMS || count(ofOne) > MOST_STREAMS_OF_ONE)
        throw new GrpcError(GRPC.resourceExhausted, 'too many requests are open');
    } catch (thrown) {
      fail(thrown);
      return;
    }
    stream.on('data', (chunk: Buffer) => {
      if (isAnswered) return;
      try {
        messages.push(...frames.take(chunk));
        if (messages.length > 1) throw new GrpcError(GRPC.invalidArgument, 'a request is one message');
      } catch (thrown) {
        fail(thrown);
      }
    });
    stream.on('end', answer);
  }

  /** The entries of who calls, as it is now. Throws GrpcError, E_CALLER. */
  async #entries({ caller }: Connection): Promise<Entry[]> {
    const registry = this.#options.registry();
    let facts = await caller.facts(false);
    if (registry.wantsHash(facts)) facts = await caller.facts(true);
    const entries = registry.match(facts);
    if (entries.length === 0) throw new GrpcError(GRPC.permissionDenied, 'no identity issued');
    return entries;
  }

  async #answer(connection: Connection, stream: ServerHttp2Stream, method: Method, message: Buffer): Promise<void> {
    const { issuing } = this.#options;
    const entries = await this.#entries(connection);
    switch (method) {
      case 'FetchX509SVID':
        return this.#watch(connection, stream, 'svids', entries);
      case 'FetchX509Bundles':
        return this.#watch(connection, stream, 'x509', entries);
      case 'FetchJWTBundles':
        return this.#watch(connection, stream, 'jwt', entries);
      case 'FetchJWTSVID': {
        const { audience, id } = readJwtSvidRequest(message);
        if (!isAudience(audience)) throw new GrpcError(GRPC.invalidArgument, 'an audience has to be named');
        const tokens = await issuing.jwt(entries, audience, id);
        // A steward may have been asked, which takes its time.
        connection.caller.ensureAlive();
        return once(stream, writeJwtSvidResponse(tokens));
      }
      case 'ValidateJWTSVID': {
        const { audience, token } = readValidateRequest(message);
        if (audience === '' || token === '')
          throw new GrpcError(GRPC.invalidArgument, 'an audience and a token have to be given');
        const { id, claims } = issuing.validate(token, audience);
        return once(stream, writeValidateResponse(id, claims));
      }
    }
  }

  async #watch(
    connection: Connection,
    stream: ServerHttp2Stream,
    kind: Watcher['kind'],
    entries: readonly Entry[],
  ): Promise<void> {
    const watcher: Watcher = { kind, connection, sent: null };
    const bytes = await this.#news(watcher, entries);
    connection.caller.ensureAlive();
    if (isOver(stream)) return;
    begin(stream);
    if (bytes !== null) stream.write(bytes);
    this.#watchers.set(stream, watcher);
    this.#timer ??= setInterval(() => void this.#look(), this.#options.lookMs ?? LOOK_MS).unref();
  }

  /** What this stream has not been sent yet; null for nothing. Rejects with an AgentError. */
  async #news(watcher: Watcher, entries: readonly Entry[]): Promise<Buffer | null> {
    const { issuing } = this.#options;
    const { kind } = watcher;
    const message =
      kind === 'svids'
        ? writeX509SvidResponse({ svids: await issuing.x509(entries), federated: new Map() })
        : writeBundles(kind, issuing.bundles(kind));
    // Only its digest is kept: it has private keys in it.
    const digest = createHash('sha256').update(message).digest('hex');
    if (digest === watcher.sent) return null;
    watcher.sent = digest;
    return frame(message);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    for (const [stream, watcher] of [...this.#watchers]) {
      // Who does not read what was sent is sent the newest once it does.
      if (isOver(stream) || stream.writableLength > 0) continue;
      try {
        // Asked anew: a process that is gone, or has become another program, gets nothing more.
        const bytes = await this.#news(watcher, await this.#entries(watcher.connection));
        watcher.connection.caller.ensureAlive();
        if (bytes !== null && !isOver(stream)) stream.write(bytes);
      } catch (thrown) {
        this.#watchers.delete(stream);
        const { code, message } = grpcError(thrown);
        end(stream, code, message);
      }
    }
    this.#isLooking = false;
  }
}

function grpcError(thrown: unknown): GrpcError {
  if (thrown instanceof GrpcError) return thrown;
  if (thrown instanceof Malformed) return new GrpcError(GRPC.invalidArgument, `malformed: ${thrown.message}`);
  const error = asAgentError(thrown);
  switch (error.code) {
    case 'E_SVID':
      return new GrpcError(GRPC.invalidArgument, error.message);
    case 'E_FORBIDDEN':
    case 'E_NOT_FOUND':
      // Whoever hears this gives up what it had before: so it should, where this router was revoked.
      return new GrpcError(GRPC.permissionDenied, error.message);
    case 'E_CALLER':
      return new GrpcError(GRPC.permissionDenied, `E_CALLER: ${error.message}`);
    case 'E_BUSY':
      return new GrpcError(GRPC.unavailable, error.message);
    default:
      return new GrpcError(GRPC.internal, 'an error of the agent');
  }
}

/** Whether the client has gone back on it. One that it reset without an error is closed, and not destroyed before it was read out. */
function isOver(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

function begin(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': GRPC_TYPE }, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    if (!isOver(stream)) stream.sendTrailers(trailersOf.get(stream) ?? { 'grpc-status': `${GRPC.ok}` });
  });
}

const trailersOf = new WeakMap<ServerHttp2Stream, Record<string, string>>();

function once(stream: ServerHttp2Stream, message: Buffer): void {
  if (isOver(stream)) return;
  begin(stream);
  stream.end(frame(message));
}

function end(stream: ServerHttp2Stream, code: number, message: string): void {
  if (isOver(stream)) return;
  const status = { 'grpc-status': String(code), 'grpc-message': messageText(message) };
  if (stream.headersSent) {
    trailersOf.set(stream, status);
    stream.end();
    return;
  }
  stream.respond({ ':status': 200, 'content-type': GRPC_TYPE, ...status }, { endStream: true });
}
