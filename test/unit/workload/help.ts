/** A steward with the SPIFFE Workload API on a socket of its own, and a plain HTTP/2 client of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { Log } from '../../../agent/core/log.ts';
import { native } from '../../../agent/host/native.ts';
import { Asking, Issuing } from '../../../agent/host/workload/issuing.ts';
import { WorkloadServer } from '../../../agent/host/workload/server.ts';
import type { Vouching } from '../../../agent/trust/membership/words.ts';
import { type Entry, Registry } from '../../../agent/workload/entry.ts';
import { Frames, frame } from '../../../agent/workload/grpc.ts';
import { Mesh, type Router, tools } from '../trust/mesh.ts';

export const OWN_UID: Entry = {
  name: 'own',
  path: 'shop/database',
  selectors: [`unix:uid:${process.getuid!()}`],
  hint: 'shop',
};

export interface Stage {
  readonly mesh: Mesh;
  readonly router: Router;
  readonly path: string;
  readonly server: WorkloadServer;
  readonly issuing: Issuing;
  readonly counted: string[];
  entries: readonly Entry[];
  /** Milliseconds that the router's time is ahead. */
  aheadMs: number;
  vouching(): Vouching | null;
}

/** `times`: longer than a machine stands still, but where it is they that are tried. */
export function stage(
  t: TestContext,
  entries: readonly Entry[] = [OWN_UID],
  lives: (pidfd: number) => boolean = (pidfd) => native().lives(pidfd),
  times: { readonly requestMs?: number; readonly idleMs?: number } = {},
): Stage {
  const directory = mkdtempSync(join(tmpdir(), 'x0-workload-'));
  const mesh = new Mesh();
  const router = mesh.add('a');
  mesh.found(router);
  const counted: string[] = [];
  const made = {
    mesh,
    router,
    path: join(directory, 'run', 'api.sock'),
    counted,
    entries,
    aheadMs: 0,
    vouching(): Vouching | null {
      const found = router.machine.vouching(mesh.now);
      return found === null ? null : { ...found, wallMs: found.wallMs + made.aheadMs };
    },
  };
  const issuing = new Issuing({
    tools,
    vouching: () => made.vouching(),
    ask: () => Promise.reject(new AgentError('E_BUSY', 'nobody is asked here')),
    x509LifeMs: 3_600_000,
    jwtLifeMs: 300_000,
  });
  const server = new WorkloadServer({
    path: made.path,
    listener: (options) => native().listenUnix(options),
    lives,
    registry: () => new Registry(made.entries),
    issuing,
    log: new Log('error', () => {}),
    counted: (method, status) => void counted.push(`${method} ${status}`),
    lookMs: 10,
    requestMs: 30_000,
    idleMs: 30_000,
    ...times,
  });
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  return Object.assign(made, { server, issuing });
}

/** A router that is no steward, and what it issues by asking the one that is. */
export function asking(one: Stage): { readonly router: Router; readonly issuing: Issuing } {
  const { mesh } = one;
  const router = mesh.add('b');
  mesh.link(one.router, router);
  mesh.join(router, mesh.invite(one.router, 'b'));
  const ask = new Asking((token, wanted) => {
    mesh.do(router, (machine) => machine.vouchFor(token, wanted, mesh.now));
    for (const answer of router.vouched.splice(0)) queueMicrotask(() => ask.answered(answer));
  }, 50);
  const issuing = new Issuing({
    tools,
    vouching: () => router.machine.vouching(mesh.now),
    ask: (wanted) => ask.ask(wanted),
    x509LifeMs: 3_600_000,
    jwtLifeMs: 300_000,
  });
  return { router, issuing };
}

export function dial(t: TestContext, path: string): ClientHttp2Session {
  const session = connect('http://localhost', { createConnection: () => connectSocket(path) });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}

export const METADATA = { 'workload.spiffe.io': 'true' };

export interface Call {
  readonly messages: Buffer[];
  /** When so many messages have come. */
  received(count: number): Promise<Buffer[]>;
  readonly status: Promise<number>;
  /** What it was told with the status. */
  told(): string;
  cancel(): void;
}

/** Sends `bytes`, framed already where `isRaw`. */
export function call(
  session: ClientHttp2Session,
  method: string,
  bytes: Uint8Array = new Uint8Array(),
  { metadata = METADATA as Record<string, string>, isRaw = false } = {},
): Call {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/SpiffeWorkloadAPI/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...metadata,
  });
  const messages: Buffer[] = [];
  const waiting: { count: number; resolve: (messages: Buffer[]) => void }[] = [];
  const frames = new Frames(1 << 20);
  let status = -1;
  let told = '';
  stream.on('response', (headers) => {
    if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status']);
    told = decodeURIComponent(String(headers['grpc-message'] ?? ''));
  });
  stream.on('trailers', (trailers) => {
    status = Number(trailers['grpc-status']);
  });
  stream.on('data', (chunk: Buffer) => {
    messages.push(...frames.take(chunk));
    for (const one of waiting) if (messages.length >= one.count) one.resolve(messages);
  });
  stream.on('error', () => {});
  const ended = new Promise<number>((resolve) => stream.on('close', () => resolve(status)));
  stream.end(isRaw ? bytes : frame(bytes));
  return {
    messages,
    received: (count) =>
      new Promise((resolve, reject) => {
        if (messages.length >= count) resolve(messages);
        else waiting.push({ count, resolve });
        void ended.then((why) => reject(new Error(`ended with status ${why} after ${messages.length}`)));
      }),
    status: ended,
    told: () => told,
    cancel: () => stream.close(8),
  };
}
