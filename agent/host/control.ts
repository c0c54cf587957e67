/**
 * The control socket of x0ctl: HTTP over a unix socket, all calls. Who may change something is decided by the uid that
 * the kernel names as the peer's (SO_PEERCRED): root, or the agent's own. Others whom the path's mode lets in may read.
 */
import { mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { AgentError } from '../core/errors.ts';
import type { Caller } from '../report/api/call.ts';
import type { Metrics } from '../report/metrics.ts';
import type { Sources } from '../report/sources.ts';
import { fewAtATime, hear, LIMITS } from './http.ts';
import type { ListenOptions, NativeSocket } from './native.ts';

/** native().listenUnix, or what a test puts in its place. */
export type ListenerFactory = (options: ListenOptions) => Pick<NativeSocket, 'close'>;

const MODE = 0o660;
/** /var/run is empty after each boot, so the directory is ours to make. */
const DIRECTORY_MODE = 0o750;
const IDLE_TIMEOUT = 10_000;
const MOST_CONNECTIONS = 32;
/** Of these for one uid that may only read, and for all such together: the rest is for who may mend something. */
const MOST_OF_READER = 8;
const MOST_OF_READERS = 24;

export interface ControlOptions {
  readonly path: string;
  readonly sources: Sources;
  readonly metrics: Metrics;
  readonly listener: ListenerFactory;
  /** The uid, besides root's, that may change something; the agent's own if absent. */
  readonly uid?: number;
  /** Milliseconds after which a connection that says nothing is closed. */
  readonly idleMs?: number;
  /** Told of an errno's name when accepting fails; the socket goes on. */
  readonly onError?: (code: string) => void;
}

export interface Control {
  /** Stops listening, removes the path and ends what is open. */
  close(): void;
}

/** Whether this error of serveControl says that another process listens on the path. */
export function isTaken(error: AgentError): boolean {
  return error.code === 'E_SOCKET' && error.detail.errno === 'EADDRINUSE';
}

/** Throws E_SOCKET: with `isTaken` where another agent runs, else where the path cannot be used. */
export function serveControl(options: ControlOptions): Control {
  const { path, sources, metrics, uid: own = process.getuid?.(), idleMs = IDLE_TIMEOUT } = options;
  const callers = new WeakMap<Socket, Caller>();
  /** The uids of those that may only read; null for the others. */
  const open = new Map<Socket, number | null>();
  const nobody: Caller = { name: 'somebody unknown', mayChange: false };
  const server: Server = createServer(
    LIMITS,
    fewAtATime(hear(sources, metrics, (request) => callers.get(request.socket) ?? nobody)),
  );

  const isCrowded = (uid: number): boolean => {
    const readers = [...open.values()].filter((one) => one !== null);
    return readers.length >= MOST_OF_READERS || readers.filter((one) => one === uid).length >= MOST_OF_READER;
  };

  const onConnection = (fd: number, pid: number, uid: number): void => {
    const socket = new Socket({ fd, readable: true, writable: true });
    const mayChange = uid === 0 || uid === own;
    if (open.size >= MOST_CONNECTIONS || (!mayChange && isCrowded(uid))) {
      socket.destroy();
      return;
    }
    open.set(socket, mayChange ? null : uid);
    callers.set(socket, { name: `uid ${uid} (pid ${pid})`, mayChange });
    socket.once('close', () => open.delete(socket));
    // The server never listens itself, so its own checking of slow clients does not run. Idle ones `timeout` ends.
    const deadline = setTimeout(() => socket.destroy(), 6 * idleMs);
    deadline.unref();
    socket.once('close', () => clearTimeout(deadline));
    server.emit('connection', socket);
  };

  let listener: Pick<NativeSocket, 'close'>;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
    listener = options.listener({
      path,
      mode: MODE,
      onConnection,
      onError: options.onError ?? (() => {}),
    });
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const why = reason === 'EADDRINUSE' ? 'another agent answers there' : reason;
    throw new AgentError('E_SOCKET', `cannot listen on ${path}: ${why}`, { path, errno: reason }, { cause });
  }
  server.timeout = idleMs;
  return {
    close: () => {
      listener.close();
      for (const socket of open.keys()) socket.destroy();
    },
  };
}
