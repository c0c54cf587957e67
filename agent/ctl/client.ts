/**
 * Asks the agent over its control socket. HTTP/1.1 by hand over node:net: loading node:http alone takes longer than all else
 * that `x0ctl status` does.
 */
import { connect } from 'node:net';
import { AgentError, ERRORS, type ErrorCode } from '../core/errors.ts';

const TIMEOUT = 5_000;
const LIMIT = 16 * 1024 * 1024;
const HEAD_LIMIT = 16 * 1024;

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'the agent does not run, or has its socket elsewhere (--socket)',
  ECONNREFUSED: 'the agent does not run',
};

export interface Client {
  get(path: string): Promise<unknown>;
  post(path: string, body: unknown): Promise<unknown>;
}

/** Throws E_AGENT_UNREACHABLE, E_FORBIDDEN where the socket is denied, or what the agent answers. A 503 of /health is an answer. */
export function client(socketPath: string, timeoutMs = TIMEOUT): Client {
  const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const fail = (reason: string, cause?: unknown) =>
      new AgentError('E_AGENT_UNREACHABLE', `no answer on ${socketPath}: ${reason}`, { socket: socketPath }, { cause });
    let answer: Buffer;
    try {
      answer = await exchange(socketPath, requestOf(method, path, body), timeoutMs);
    } catch (thrown) {
      const error = thrown as NodeJS.ErrnoException;
      if (error.code !== 'EACCES') throw fail(HINTS[error.code ?? ''] ?? error.message, error);
      const message = `you may not use the agent's socket ${socketPath}; try as root`;
      throw new AgentError('E_FORBIDDEN', message, { socket: socketPath }, { cause: error });
    }
    const { status, text } = answerOf(answer) ?? {};
    let value: unknown;
    try {
      value = JSON.parse(text!);
    } catch (cause) {
      throw fail('what answers there is no agent of ours', cause);
    }
    const refusal = (value as { error?: { code?: string; message?: string } } | null)?.error;
    if (refusal === undefined) return value;
    const code = Object.hasOwn(ERRORS, refusal.code ?? '') ? (refusal.code as ErrorCode) : 'E_BUG';
    throw new AgentError(code, refusal.message ?? `status ${status}`);
  };
  return { get: (path) => ask('GET', path), post: (path, body) => ask('POST', path, body) };
}

function requestOf(method: string, path: string, body: unknown): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const about =
    body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${about}\r\n${text}`;
}

/** All that comes until the other side ends, or the length that it announced is there. */
function exchange(path: string, request: string, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const chunks: Buffer[] = [];
    let length = 0;
    let wanted = Number.POSITIVE_INFINITY;
    // From the beginning to the end: what trickles in forever is no answer either.
    const timer = setTimeout(() => socket.destroy(new Error(`nothing within ${timeoutMs / 1000} s`)), timeoutMs);
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(Buffer.concat(chunks));
    };
    socket.on('data', (chunk) => {
      // The head comes in one piece, or in few: looking for its end again each time costs nothing.
      const isHead = length < HEAD_LIMIT && wanted === Number.POSITIVE_INFINITY;
      chunks.push(chunk);
      length += chunk.length;
      if (length > LIMIT) return void socket.destroy(new Error('the answer is too large'));
      if (isHead) wanted = lengthOf(chunks);
      if (length >= wanted) done();
    });
    socket.on('end', done);
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.write(request);
  });
}

/** Of the whole answer, head and body; infinite while it is not known. */
function lengthOf(chunks: readonly Buffer[]): number {
  const head = Buffer.concat(chunks).subarray(0, HEAD_LIMIT).toString('latin1');
  const end = head.indexOf('\r\n\r\n');
  const body = /\r\ncontent-length: *(\d{1,9})\r\n/i.exec(head.slice(0, end + 2))?.[1];
  return end < 0 || body === undefined ? Number.POSITIVE_INFINITY : end + 4 + Number(body);
}

function answerOf(bytes: Buffer): { status: string; text: string } | null {
  const end = bytes.indexOf('\r\n\r\n');
  const status = /^HTTP\/1\.[01] (\d{3}) /.exec(bytes.subarray(0, 32).toString('latin1'))?.[1];
  return end < 0 || status === undefined ? null : { status, text: bytes.subarray(end + 4).toString('utf8') };
}
