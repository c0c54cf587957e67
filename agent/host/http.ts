/**
 * The HTTP side of the API: status pages and Prometheus metrics, for reading only. By default on 127.0.0.1, where any
 * web page that a browser on this machine shows could reach it: hence the Host header is checked (against DNS
 * rebinding) and no CORS header ever sent.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { performance } from 'node:perf_hooks';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Caller } from '../report/api/call.ts';
import { type Answer, answer, errorAnswer } from '../report/api.ts';
import { collect, type Metrics } from '../report/metrics.ts';
import type { Sources } from '../report/sources.ts';

/** Bytes of a request line, of all its headers together, and of a body. */
const URL_LIMIT = 2048;
const HEADER_LIMIT = 8192;
export const BODY_LIMIT = 262_144;
/** Milliseconds for the headers, for the whole request, and between two requests of a connection. */
const HEADERS_TIMEOUT = 5_000;
const REQUEST_TIMEOUT = 10_000;
const IDLE_TIMEOUT = 5_000;
const MOST_CONNECTIONS = 32;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export const LIMITS = {
  maxHeaderSize: HEADER_LIMIT,
  headersTimeout: HEADERS_TIMEOUT,
  requestTimeout: REQUEST_TIMEOUT,
  keepAliveTimeout: IDLE_TIMEOUT,
  connectionsCheckingInterval: 1_000,
} as const;

/** Sends an answer and counts it. */
function send(
  response: ServerResponse,
  request: IncomingMessage,
  found: Answer,
  metrics: Metrics,
  began: number,
): void {
  const { status, type, body, endpoint, allow } = found;
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ...(allow !== undefined && { allow }),
    // Of what comes after a refusal nothing is read.
    ...(status >= 400 && { connection: 'close' }),
  });
  response.end(bytes);
  const method = request.method === 'GET' || request.method === 'POST' ? request.method : 'other';
  metrics.take('http_requests_total', { method, endpoint, status: String(status) }, 1);
  metrics.take('http_request_duration_seconds', { method, endpoint }, (performance.now() - began) / 1000);
}

function tooLong(request: IncomingMessage): Answer | null {
  if ((request.url ?? '').length <= URL_LIMIT) return null;
  return errorAnswer(414, 'E_USAGE', `an address may have ${URL_LIMIT} bytes`, 'other');
}

/** Requests of one connection that may wait for their answers: no client of ours sends further ones before the first is answered. */
const MOST_WAITING = 4;
/** Who reads nothing is waited for so long, and no connection is held for longer than that. */
const SILENT_MS = 30_000;
const LONGEST_MS = 300_000;

/** What one port answers in a second, and takes of connections: a router's time and memory are for its mesh, whoever asks. */
const MOST_A_SECOND = 50;

class Pace {
  #second = 0;
  #count = 0;

  take(): boolean {
    const second = Math.floor(performance.now() / 1000);
    this.#count = second === this.#second ? this.#count + 1 : 1;
    this.#second = second;
    return this.#count <= MOST_A_SECOND;
  }
}

/** All that comes in one read is served in one turn, in which nothing is healed: who sends many requests at once is cut off. */
export function fewAtATime(listener: RequestListener): RequestListener {
  const waiting = new WeakMap<object, number>();
  return (request, response) => {
    const { socket } = request;
    const count = (waiting.get(socket) ?? 0) + 1;
    if (socket.destroyed) return;
    if (count > MOST_WAITING) return void socket.destroy();
    waiting.set(socket, count);
    response.once('close', () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    listener(request, response);
  };
}

/** Hears one request of a caller whom the transport knows, with its body; what the control socket serves. */
export function hear(
  sources: Sources,
  metrics: Metrics,
  callerOf: (request: IncomingMessage) => Caller,
): RequestListener {
  return (request, response) => {
    const began = performance.now();
    const refused = tooLong(request);
    if (refused !== null) return send(response, request, refused, metrics, began);
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= BODY_LIMIT) chunks.push(chunk);
      else if (!response.headersSent)
        send(
          response,
          request,
          errorAnswer(413, 'E_USAGE', `a body may have ${BODY_LIMIT} bytes`, 'other'),
          metrics,
          began,
        );
    });
    request.on('end', () => {
      if (response.headersSent) return;
      const body = Buffer.concat(chunks).toString('utf8');
      const { method = '', url = '' } = request;
      send(response, request, answer(sources, { method, url, body, caller: callerOf(request) }), metrics, began);
    });
    request.on('error', () => response.destroy());
  };
}

/** Is this Host header one that leads here? `bound` is the address that the server listens on. */
export function isOurHost(header: string | undefined, bound: string, port: number): boolean {
  if (header === undefined) return false;
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?$/i.exec(header);
  if (match === null) return false;
  const name = match[1]!.toLowerCase();
  if (match[2] !== undefined ? Number(match[2]) !== port : port !== 80) return false;
  const literal = isIP(bound) === 6 ? `[${bound.toLowerCase()}]` : bound;
  if (['localhost', '127.0.0.1', '[::1]', literal].includes(name)) return true;
  // Bound to every address: any literal address is ours; a name could be anybody's.
  return (bound === '0.0.0.0' || bound === '::') && isIP(name.replace(/^\[|\]$/g, '')) !== 0;
}

const READER: Caller = { name: 'HTTP', mayChange: false };

function reading(port: () => number, bound: string, metrics: Metrics, page: (url: string) => Answer): RequestListener {
  const pace = new Pace();
  return (request, response) => {
    const began = performance.now();
    const refuse = () => {
      if (!pace.take()) return errorAnswer(503, 'E_BUSY', `more than ${MOST_A_SECOND} requests in a second`, 'other');
      // Which of two counts, others on the way may see otherwise (RFC 9112, 3.2).
      if ((request.headersDistinct.host?.length ?? 0) > 1)
        return errorAnswer(400, 'E_USAGE', 'more than one Host header', 'other');
      if (!isOurHost(request.headers.host, bound, port()))
        return errorAnswer(421, 'E_FORBIDDEN', 'the Host header names another server', 'other');
      if (request.method !== 'GET')
        return {
          ...errorAnswer(405, 'E_USAGE', 'only GET; changes go over the control socket', 'other'),
          allow: 'GET',
        };
      return tooLong(request);
    };
    request.resume();
    send(response, request, refuse() ?? page(request.url ?? ''), metrics, began);
  };
}

export interface Listening {
  /** The TCP port in use. */
  readonly port: number;
  close(): Promise<void>;
}

/** Serves the API for reading. Throws E_SOCKET. Port 0 takes any. */
export function serveApi(sources: Sources, metrics: Metrics, address: string, port: number): Promise<Listening> {
  return listen(address, port, (bound) =>
    reading(bound, address, metrics, (url) => answer(sources, { method: 'GET', url, body: '', caller: READER })),
  );
}

/** Serves /metrics. Throws E_SOCKET. */
export function serveMetrics(sources: Sources, metrics: Metrics, address: string, port: number): Promise<Listening> {
  return listen(address, port, (bound) =>
    reading(bound, address, metrics, (url) => {
      if (url.split('?')[0] !== '/metrics') return errorAnswer(404, 'E_NOT_FOUND', 'there is only /metrics', 'other');
      collect(metrics, sources);
      return { status: 200, type: METRICS_TYPE, body: metrics.render(), endpoint: '/metrics' };
    }),
  );
}

/** A port that somebody else has may be free later. */
const RETRY_MS = 30_000;

/** Ports that must not keep the mesh from being healed: what is taken is said, and tried again now and then. */
export class Ports {
  readonly #log: Log;
  readonly #retryMs: number;
  readonly #open = new Set<Listening>();
  readonly #trouble = new Map<string, AgentError>();
  #closed = false;

  constructor(log: Log, retryMs = RETRY_MS) {
    this.#log = log;
    this.#retryMs = retryMs;
  }

  trouble(): { readonly what: string; readonly why: string }[] {
    return [...this.#trouble].map(([what, { message }]) => ({ what, why: message }));
  }

  /** Answers after the first try. */
  async keep(what: string, serve: () => Promise<Listening>): Promise<void> {
    try {
      const listening = await serve();
      if (this.#closed) return void listening.close();
      this.#open.add(listening);
      if (this.#trouble.delete(what)) this.#log.info(`${what} over HTTP again`, { port: listening.port });
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_SOCKET');
      if (!this.#trouble.has(what)) this.#log.error(`no ${what} over HTTP: ${error.message}`, { code: error.code });
      this.#trouble.set(what, error);
      if (!this.#closed) setTimeout(() => void this.keep(what, serve), this.#retryMs).unref();
    }
  }

  close(): void {
    this.#closed = true;
    for (const listening of this.#open) void listening.close();
  }
}

function listen(address: string, port: number, listener: (port: () => number) => RequestListener): Promise<Listening> {
  let bound = port;
  const server: Server = createServer(LIMITS, fewAtATime(listener(() => bound)));
  server.maxConnections = MOST_CONNECTIONS;
  server.timeout = SILENT_MS;
  const pace = new Pace();
  server.on('connection', (socket) => {
    if (!pace.take()) return void socket.destroy();
    const deadline = setTimeout(() => socket.destroy(), LONGEST_MS).unref();
    socket.once('close', () => clearTimeout(deadline));
  });
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new AgentError(
          'E_SOCKET',
          `cannot listen on ${address} port ${port}: ${cause.code}`,
          { address, port, errno: cause.code },
          { cause },
        ),
      ),
    );
    server.listen({ host: address, port }, () => {
      const found = server.address();
      if (typeof found === 'object' && found !== null) bound = found.port;
      resolve({
        port: bound,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}
