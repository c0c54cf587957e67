/** gRPC over HTTP/2, as much of it as one message a request and a stream of answers need. */

/** The status codes that are spoken here. */
export const GRPC = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

export type GrpcCode = (typeof GRPC)[keyof typeof GRPC];

/** What the client is told in trailers instead of an answer. */
export class GrpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export const GRPC_TYPE = 'application/grpc';
/** The header without which nobody is heard: a request that somebody was tricked into does not carry it. */
export const SECURITY_HEADER = 'workload.spiffe.io';
const HEAD = 5;

const METHODS = ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTSVID', 'FetchJWTBundles', 'ValidateJWTSVID'] as const;
export type Method = (typeof METHODS)[number];

export function pathOf(method: Method): string {
  return `/SpiffeWorkloadAPI/${method}`;
}

export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Which method a request's headers ask for. Throws GrpcError. */
export function methodOf(headers: Headers): Method {
  const type = headers['content-type'];
  if (headers[':method'] !== 'POST' || typeof type !== 'string' || !/^application\/grpc(\+proto)?(;|$)/.test(type))
    throw new GrpcError(GRPC.internal, 'this socket speaks gRPC');
  if (headers[SECURITY_HEADER] !== 'true')
    throw new GrpcError(GRPC.invalidArgument, `the metadata lacks ${SECURITY_HEADER}: true`);
  const encoding = headers['grpc-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new GrpcError(GRPC.unimplemented, 'messages are not compressed here');
  const method = METHODS.find((one) => pathOf(one) === headers[':path']);
  if (method === undefined) throw new GrpcError(GRPC.unimplemented, 'the SPIFFE Workload API has no such method');
  return method;
}

/** One message with its prefix. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Takes bytes as they come and gives whole messages. */
export class Frames {
  readonly #most: number;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether part of a message has come. */
  get isWithin(): boolean {
    return this.#length > 0;
  }

  /** Throws GrpcError for one that is compressed or longer than is allowed, before its bytes are awaited. */
  take(chunk: Uint8Array): Buffer[] {
    this.#chunks.push(Buffer.from(chunk));
    this.#length += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#length < HEAD) return messages;
      if (this.#chunks[0]!.length < HEAD) this.#chunks = [Buffer.concat(this.#chunks)];
      const head = this.#chunks[0]!;
      if (head[0] !== 0) throw new GrpcError(GRPC.unimplemented, 'messages are not compressed here');
      const length = head.readUInt32BE(1);
      if (length > this.#most) throw new GrpcError(GRPC.resourceExhausted, `a message may have ${this.#most} bytes`);
      if (this.#length < HEAD + length) return messages;
      const all = Buffer.concat(this.#chunks);
      messages.push(all.subarray(HEAD, HEAD + length));
      this.#chunks = [all.subarray(HEAD + length)];
      this.#length = all.length - HEAD - length;
    }
  }
}

/** As grpc-message has it: percent signs for all but printable ASCII. */
export function messageText(text: string): string {
  return text.slice(0, 512).replace(/[^\x20-\x24\x26-\x7e]/gu, (one) => {
    return [...Buffer.from(one)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
}

/** What an answer's headers or trailers say; null while there is no word on it. */
export function statusOf(headers: Headers): GrpcError | 'ok' | null {
  const code = headers['grpc-status'];
  if (typeof code !== 'string' || !/^\d{1,3}$/.test(code)) return null;
  if (Number(code) === GRPC.ok) return 'ok';
  const message = headers['grpc-message'];
  return new GrpcError(Number(code), typeof message === 'string' ? message.slice(0, 512) : '');
}
