/**
 * A client of the SPIFFE Workload API, as a SPIRE agent serves it: it asks for X.509-SVIDs, is told of each renewal over
 * the same stream, and comes again, later and later, when the stream ends.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { AgentError } from '../../core/errors.ts';
import { parseSpiffeId } from '../../trust/certificate/spiffe.ts';
import { Frames, frame, GRPC, GRPC_TYPE, GrpcError, type Headers, pathOf, statusOf } from '../../workload/grpc.ts';
import { readX509SvidResponse, type X509Svid } from '../../workload/messages.ts';

/** Of one answer: a chain and the bundles of some trust domains. */
const MOST_MESSAGE = 1024 * 1024;
const LONGEST_CHAIN = 8;
const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 60_000;
/** A server that accepts and then says nothing. */
const FIRST_ANSWER_MS = 15_000;
/** A connection whose other end is gone without a word. */
const PING_MS = 30_000;

/** What the other end has given, checked to be what it says. */
export interface Svid {
  readonly id: string;
  /** DER, the leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
  /** The roots of its trust domain, DER. */
  readonly bundle: readonly Uint8Array[];
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

export interface WorkloadClientOptions {
  readonly socket: string;
  /** The newest, each time there is one; null where the other end says that there is none any more. */
  given(svid: Svid | null): void;
  /** Why the stream ended; it is tried again in so many milliseconds. */
  failed(why: string, againMs: number): void;
  /** From 0 to 1: clients that lost one server do not come back at one moment. */
  random(): number;
  readonly leastWaitMs?: number;
}

export class WorkloadClient {
  readonly #options: WorkloadClientOptions;
  #session: ClientHttp2Session | null = null;
  #timer: NodeJS.Timeout | null = null;
  #ping: NodeJS.Timeout | null = null;
  #failures = 0;
  #isClosed = false;

  constructor(options: WorkloadClientOptions) {
    this.#options = options;
    this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#leave();
  }

  #leave(): void {
    if (this.#ping !== null) clearInterval(this.#ping);
    this.#ping = null;
    this.#session?.destroy();
    this.#session = null;
  }

  #connect(): void {
    const { socket, given } = this.#options;
    let isOver = false;
    const over = (thrown: Error): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(deadline);
      this.#leave();
      if (!this.#isClosed) this.#again(thrown);
    };
    const deadline = setTimeout(() => over(new Error('it does not answer')), FIRST_ANSWER_MS).unref();
    const session = connect('http://localhost', { createConnection: () => connectSocket(socket), maxSessionMemory: 4 });
    this.#session = session;
    session.on('error', over);
    session.on('close', () => over(new Error('the connection ended')));
    session.unref();
    this.#ping = setInterval(() => {
      const unanswered = setTimeout(() => over(new Error('it does not answer')), PING_MS / 2).unref();
      if (!session.destroyed && !session.closed) session.ping(() => clearTimeout(unanswered));
      else clearTimeout(unanswered);
    }, PING_MS).unref();

    const frames = new Frames(MOST_MESSAGE);
    let status: GrpcError | 'ok' | null = null;
    const stream: ClientHttp2Stream = session.request({
      ':method': 'POST',
      ':path': pathOf('FetchX509SVID'),
      'content-type': GRPC_TYPE,
      te: 'trailers',
      'workload.spiffe.io': 'true',
    });
    stream.on('response', (headers) => {
      status = statusOf(headers as Headers);
      if (headers[':status'] !== 200) over(new Error(`it answers with HTTP status ${headers[':status']}`));
    });
    stream.on('trailers', (trailers) => {
      status = statusOf(trailers as Headers) ?? status;
    });
    stream.on('error', over);
    stream.on('data', (chunk: Buffer) => {
      if (isOver) return;
      try {
        for (const message of frames.take(chunk)) {
          const [first] = readX509SvidResponse(message).svids;
          if (first === undefined) throw new AgentError('E_SVID', 'an answer without a certificate');
          given(readSvid(first));
          clearTimeout(deadline);
          this.#failures = 0;
        }
      } catch (thrown) {
        over(thrown as Error);
      }
    });
    stream.on('close', () => {
      // What was given before is to be given up: the standard says so.
      if (status instanceof GrpcError && status.code === GRPC.permissionDenied && !isOver) given(null);
      over(status instanceof GrpcError ? status : new Error('the stream ended'));
    });
    stream.end(frame(new Uint8Array()));
  }

  #again(thrown: Error): void {
    const { leastWaitMs = LEAST_WAIT_MS, random, failed } = this.#options;
    const most = Math.min(MOST_WAIT_MS, leastWaitMs * 2 ** Math.min(this.#failures++, 16));
    const wait = Math.round(most / 2 + (most / 2) * random());
    failed(thrown instanceof GrpcError ? `gRPC status ${thrown.code}: ${thrown.message}` : thrown.message, wait);
    this.#timer = setTimeout(() => this.#connect(), wait).unref();
  }
}

/** Throws E_SVID, which quotes nothing of it. */
export function readSvid({ id, chain, key, bundle }: X509Svid): Svid {
  const certificates = split(chain);
  const leaf = certificateOf(certificates[0]);
  const names = (leaf.subjectAltName ?? '').split(', ').filter((one) => one.startsWith('URI:'));
  if (parseSpiffeId(id) === null || names.length !== 1 || names[0] !== `URI:${id}`)
    throw new AgentError('E_SVID', 'the certificate is not one of the SPIFFE ID that it came with');
  if (leaf.ca) throw new AgentError('E_SVID', 'the certificate is a CA');
  let secret: KeyObject;
  try {
    secret = createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' });
  } catch {
    throw new AgentError('E_SVID', 'the key is none');
  }
  if (!leaf.checkPrivateKey(secret)) throw new AgentError('E_SVID', 'the key is of another certificate');
  return { id, chain: certificates, key: secret, bundle: split(bundle), notAfter: Date.parse(leaf.validTo) };
}

function certificateOf(der: Uint8Array | undefined): X509Certificate {
  try {
    return new X509Certificate(der ?? new Uint8Array());
  } catch {
    throw new AgentError('E_SVID', 'an answer without a certificate');
  }
}

/** Certificates that stand one after the other. Throws E_SVID. */
function split(der: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < der.length; ) {
    // A sequence whose length takes two bytes, or three: every certificate is.
    const digits = (der[at + 1] ?? 0) - 0x80;
    const head = 2 + digits;
    if (der[at] !== 0x30 || digits < 1 || digits > 3 || at + head > der.length || found.length >= LONGEST_CHAIN)
      throw new AgentError('E_SVID', 'certificates that are none, or too many');
    const end = at + head + Buffer.from(der.subarray(at + 2, at + head)).readUIntBE(0, digits);
    if (end > der.length) throw new AgentError('E_SVID', 'a certificate ends too early');
    found.push(Uint8Array.from(der.subarray(at, end)));
    at = end;
  }
  return found;
}
