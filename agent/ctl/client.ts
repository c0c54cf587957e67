/** Asks the agent over its control socket. */
import { request as httpRequest } from 'node:http';
import { AgentError, ERRORS, type ErrorCode } from '../core/errors.ts';

const TIMEOUT = 5_000;
const LIMIT = 16 * 1024 * 1024;

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'the agent does not run, or has its socket elsewhere (--socket)',
  ECONNREFUSED: 'the agent does not run',
};

export interface Client {
  get(path: string): Promise<unknown>;
  post(path: string, body: unknown): Promise<unknown>;
}

/** Throws E_AGENT_UNREACHABLE, E_FORBIDDEN where the socket is denied, or what the agent answers. A 503 of /health is an answer. */
export function client(socketPath: string): Client {
  const ask = (method: string, path: string, body?: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const fail = (reason: string, cause?: unknown) =>
        reject(
          new AgentError(
            'E_AGENT_UNREACHABLE',
            `no answer on ${socketPath}: ${reason}`,
            { socket: socketPath },
            { cause },
          ),
        );
      const text = body === undefined ? '' : JSON.stringify(body);
      const headers =
        body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const sent = httpRequest({ socketPath, path, method, agent: false, headers, timeout: TIMEOUT }, (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > LIMIT) sent.destroy(new Error('the answer is too large'));
          else chunks.push(chunk);
        });
        response.on('error', (error) => fail(error.message, error));
        response.on('end', () => {
          try {
            const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
            const refusal = (value as { error?: { code?: string; message?: string } }).error;
            if (refusal === undefined) return resolve(value);
            const code = Object.hasOwn(ERRORS, refusal.code ?? '') ? (refusal.code as ErrorCode) : 'E_BUG';
            reject(new AgentError(code, refusal.message ?? `status ${response.statusCode}`));
          } catch (cause) {
            fail('what answers there is no agent of ours', cause);
          }
        });
      });
      sent.on('timeout', () => sent.destroy(new Error(`nothing within ${TIMEOUT / 1000} s`)));
      sent.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EACCES') return fail(HINTS[error.code ?? ''] ?? error.message, error);
        const message = `you may not use the agent's socket ${socketPath}; try as root`;
        reject(new AgentError('E_FORBIDDEN', message, { socket: socketPath }, { cause: error }));
      });
      sent.end(text);
    });
  return { get: (path) => ask('GET', path), post: (path, body) => ask('POST', path, body) };
}
