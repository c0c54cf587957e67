/** Asks a running agent over its control socket, on one connection that stays open: at an instant that counts it is there. */
import { Agent as Connections, request } from 'node:http';

export interface Answered {
  readonly status: number;
  readonly body: unknown;
}

export class Control {
  readonly #socketPath: string;
  readonly #patienceMs: number;
  readonly #connections = new Connections({ keepAlive: true, maxSockets: 1 });

  /** `patienceMs`: an answer may take so long; in an emulated machine everything takes ten times as long and more. */
  constructor(socketPath: string, patienceMs = 5000) {
    this.#socketPath = socketPath;
    this.#patienceMs = patienceMs;
  }

  /** Whatever the agent answers, refusals too. Rejects where nobody listens. */
  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answered> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    const asked = request(
      {
        socketPath: this.#socketPath,
        agent: this.#connections,
        method,
        path,
        headers: {
          host: 'localhost',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
        timeout: this.#patienceMs,
      },
      (answer) => {
        let said = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          said += part;
        });
        answer.on('end', () => {
          try {
            resolve({ status: answer.statusCode ?? 0, body: JSON.parse(said) });
          } catch (thrown) {
            reject(thrown);
          }
        });
      },
    );
    const late = `no answer to ${method} ${path} within ${this.#patienceMs / 1000} s`;
    asked.on('timeout', () => asked.destroy(new Error(late)));
    asked.on('error', (error: NodeJS.ErrnoException) => {
      // The agent closes a connection that was silent for ten seconds: it may do so as we write.
      const stale = asked.reusedSocket && (error.code === 'EPIPE' || error.code === 'ECONNRESET');
      if (stale) this.ask(method, path, body).then(resolve, reject);
      else reject(error);
    });
    asked.end(text);
    return promise;
  }

  async get<T>(path: string): Promise<T> {
    const { status, body } = await this.ask('GET', path);
    if (status !== 200 && status !== 503) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    return body as T;
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    const answered = await this.ask('POST', path, body);
    if (answered.status !== 200) throw new Error(`POST ${path}: ${answered.status} ${JSON.stringify(answered.body)}`);
    return answered.body as T;
  }

  close(): void {
    this.#connections.destroy();
  }
}
