/**
 * A conversation with the kernel over one netlink protocol, on up to three sockets, so that nothing waits behind what
 * it has nothing to do with: one for requests and dumps, one for urgent messages, one for multicast events.
 *
 * The kernel carries a request out inside send(); only its answer is awaited. One dump runs at a time on a socket (the
 * kernel refuses a second with EBUSY); requests do not wait for it.
 */
import { AgentError, asAgentError } from '../../core/errors.ts';
import type { Native, NativeError, NativeNetlink } from '../native.ts';
import {
  decodeAnswer,
  eachMessage,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  refusal,
  stamp,
} from './message.ts';

/** Reads one message's payload, bytes[start, end). undefined: nothing to keep. */
export type Decode<T> = (bytes: Uint8Array, start: number, end: number, type: number) => T | undefined;

export interface Subscriber {
  /** Every message of the connection's event socket, whichever group it came by: look at the type. */
  onMessage(type: number, bytes: Uint8Array, start: number, end: number): void;
  /** Events were lost or unreadable: read the state anew. */
  onOverrun(): void;
}

export interface NetlinkConnection {
  readonly protocol: number;
  /**
   * One request and what it is answered with, up to its acknowledgement. `what` names it in errors.
   * `again`: reading only, so it may be asked once more when the answer was lost.
   * Throws E_NETLINK for the kernel's refusal (detail.errno); E_NETLINK_LOST, E_NETLINK_TIMEOUT, E_NETLINK_DECODE and
   * E_SOCKET leave open what became of it.
   */
  request<T>(message: Uint8Array, what: string, decode?: Decode<T>, again?: boolean): Promise<T[]>;
  /** A whole table. Starts over when the kernel says that it changed meanwhile; E_NETLINK_INTERRUPTED after five times. */
  dump<T>(message: Uint8Array, what: string, decode: Decode<T>): Promise<T[]>;
  /**
   * At once, on a socket of its own: the kernel has dealt with it when this returns, and says how to `onAnswer`, with the
   * errors of `request`. Throws E_SOCKET where it could not be sent.
   */
  send(message: Uint8Array, what: string, onAnswer?: (error: AgentError | null) => void): void;
  /** Joins a multicast group; the answer leaves it again. */
  subscribe(group: number, subscriber: Subscriber): () => void;
  /** The sockets no longer keep the process alive. */
  unref(): void;
  /** What is pending fails with E_SOCKET. */
  close(): void;
}

export interface ConnectionOptions {
  readonly native: Native;
  readonly protocol: number;
  /** Time that the kernel has for an answer, or for the next part of a dump. */
  readonly timeoutMs?: number;
  /** Receive buffer for events, bytes. */
  readonly eventBuffer?: number;
}

interface Pending {
  readonly what: string;
  readonly timer: NodeJS.Timeout;
  readonly dump: boolean;
  interrupted: boolean;
  /** The first row that could not be read; the rest is still taken off the socket. */
  broken: AgentError | null;
  row(type: number, bytes: Uint8Array, start: number, end: number): void;
  done(error: AgentError | null): void;
}

const DUMP_TRIES = 5;

function socketError(what: string, cause: unknown): AgentError {
  const { code, syscall, message } = cause as NativeError;
  return new AgentError('E_SOCKET', `${what}: ${message}`, { errno: code, syscall }, { cause });
}

/** To links, addresses and routes, and to families such as batman-adv: both, or neither. Throws E_SOCKET. */
export function openConnections(native: Native): {
  readonly route: NetlinkConnection;
  readonly generic: NetlinkConnection;
} {
  const route = openConnection({ native, protocol: NETLINK_ROUTE });
  const generic = orElse(() => openConnection({ native, protocol: NETLINK_GENERIC }), route.close);
  return { route, generic };
}

/** What was opened before is not left open. */
function orElse<T>(open: () => T, otherwise: (error: AgentError) => void): T {
  try {
    return open();
  } catch (thrown) {
    otherwise(asAgentError(thrown));
    throw thrown;
  }
}

export function openConnection(options: ConnectionOptions): NetlinkConnection {
  const { native, protocol, timeoutMs = 5000, eventBuffer = 1 << 20 } = options;
  let sequence = Math.floor(Math.random() * 0x3fff_ffff);
  let closed = false;
  let referenced = true;

  /** A socket that asks and is answered. */
  function openAsker(role: string) {
    const pending = new Map<number, Pending>();
    let socket: NativeNetlink | null = open();

    function open(): NativeNetlink {
      try {
        const opened = native.openNetlink({
          protocol,
          rcvbuf: 1 << 18,
          onMessages: take,
          onOverrun: () => lost('the answer was lost', 'ENOBUFS'),
          onError: (code) => lost('the socket failed', code),
        });
        if (!referenced) opened.unref();
        return opened;
      } catch (cause) {
        throw socketError(`netlink socket for ${role}`, cause);
      }
    }

    /** Dumps are not affected: the kernel holds them back when there is no room. Their time-out is still running. */
    function lost(message: string, errno: string) {
      for (const [seq, p] of [...pending])
        if (!p.dump)
          settle(seq, p, new AgentError('E_NETLINK_LOST', `${p.what}: ${message}`, { request: p.what, errno }));
    }

    /**
     * A dump that was given up is still running in the kernel: only a new socket is free of it. Whoever asks next opens
     * that one, and is told where it cannot be.
     */
    function reset(error: AgentError) {
      socket?.close();
      socket = null;
      for (const [seq, p] of [...pending]) settle(seq, p, error);
    }

    function settle(seq: number, p: Pending, error: AgentError | null) {
      pending.delete(seq);
      clearTimeout(p.timer);
      p.done(error);
    }

    function take(datagram: Buffer) {
      try {
        eachMessage(datagram, (type, flags, seq, start, end) => {
          const p = pending.get(seq);
          if (type === NLMSG_OVERRUN) return lost('the answer was lost', 'ENOBUFS');
          if (!p || type === NLMSG_NOOP) return;
          if (flags & NLM_F_DUMP_INTR) p.interrupted = true;
          if (type === NLMSG_ERROR || type === NLMSG_DONE) {
            const answer = decodeAnswer(type, flags, datagram, start, end);
            settle(seq, p, answer.errno === 0 ? p.broken : refusal(p.what, answer));
          } else {
            p.timer.refresh();
            p.row(type, datagram, start, end);
          }
        });
      } catch (thrown) {
        reset(asAgentError(thrown));
      }
    }

    function ask(
      message: Uint8Array,
      what: string,
      flags: number,
      row: Pending['row'],
      done: Pending['done'],
    ): Pending {
      if (closed) throw new AgentError('E_SOCKET', `${what}: the connection is closed`);
      socket ??= open();
      const dump = flags === NLM_F_DUMP;
      sequence = (sequence + 1) >>> 0 || 1;
      const seq = sequence;
      stamp(message, seq, flags);
      const timer = setTimeout(() => {
        const error = new AgentError('E_NETLINK_TIMEOUT', `${what}: no answer within ${timeoutMs} ms`, {
          request: what,
        });
        if (dump) reset(error);
        else settle(seq, p, error);
      }, timeoutMs);
      if (!referenced) timer.unref();
      const p: Pending = { what, timer, dump, interrupted: false, broken: null, row, done };
      pending.set(seq, p);
      try {
        socket.send(message);
      } catch (cause) {
        pending.delete(seq);
        clearTimeout(timer);
        throw socketError(what, cause);
      }
      return p;
    }

    return {
      ask,
      close: reset,
      unref: () => socket?.unref(),
    };
  }

  function collect<T>(message: Uint8Array, what: string, flags: number, decode: Decode<T> | undefined) {
    return new Promise<{ rows: T[]; interrupted: boolean }>((resolve, reject) => {
      const rows: T[] = [];
      const pending: Pending = requests.ask(
        message,
        what,
        flags,
        (type, bytes, start, end) => {
          if (!decode || pending.broken) return;
          try {
            const row = decode(bytes, start, end, type);
            if (row !== undefined) rows.push(row);
          } catch (thrown) {
            pending.broken = asAgentError(thrown, 'E_NETLINK_DECODE');
          }
        },
        (error) => (error ? reject(error) : resolve({ rows, interrupted: pending.interrupted })),
      );
    });
  }

  const requests = openAsker('requests');
  const urgent = orElse(
    () => openAsker('urgent messages'),
    (error) => requests.close(error),
  );
  let dumps: Promise<unknown> = Promise.resolve();

  const subscribers = new Map<Subscriber, number>();
  let events: NativeNetlink | null = null;

  function overrun() {
    for (const subscriber of [...subscribers.keys()]) subscriber.onOverrun();
  }

  function openEvents(): NativeNetlink {
    try {
      const opened = native.openNetlink({
        protocol,
        rcvbuf: eventBuffer,
        onMessages(datagram) {
          try {
            eachMessage(datagram, (type, _flags, _seq, start, end) => {
              for (const subscriber of subscribers.keys()) subscriber.onMessage(type, datagram, start, end);
            });
          } catch (thrown) {
            if (!(thrown instanceof AgentError) || thrown.code !== 'E_NETLINK_DECODE') throw thrown;
            overrun(); // whatever it said, the state can still be read
          }
        },
        onOverrun: overrun,
        onError: overrun,
      });
      if (!referenced) opened.unref();
      return opened;
    } catch (cause) {
      throw socketError('netlink socket for events', cause);
    }
  }

  return {
    protocol,
    async request<T>(message: Uint8Array, what: string, decode?: Decode<T>, again = false) {
      try {
        return (await collect(message, what, NLM_F_ACK, decode)).rows;
      } catch (error) {
        if (!again || !(error instanceof AgentError) || error.code !== 'E_NETLINK_LOST') throw error;
        return (await collect(message, what, NLM_F_ACK, decode)).rows;
      }
    },
    dump<T>(message: Uint8Array, what: string, decode: Decode<T>) {
      const run = async () => {
        for (let tries = 0; tries < DUMP_TRIES; tries++) {
          const { rows, interrupted } = await collect(message, what, NLM_F_DUMP, decode);
          if (!interrupted) return rows;
        }
        throw new AgentError('E_NETLINK_INTERRUPTED', `${what}: the table changed during each of ${DUMP_TRIES} dumps`, {
          request: what,
        });
      };
      const mine = dumps.then(run);
      dumps = mine.catch(() => {});
      return mine;
    },
    send(message, what, onAnswer) {
      urgent.ask(
        message,
        what,
        NLM_F_ACK,
        () => {},
        (error) => onAnswer?.(error),
      );
    },
    subscribe(group, subscriber) {
      if (closed) throw new AgentError('E_SOCKET', 'the connection is closed');
      const entry = { ...subscriber };
      events ??= openEvents();
      const joined = [...subscribers.values()].includes(group);
      try {
        if (!joined) events.addMembership(group);
      } catch (cause) {
        throw socketError(`netlink group ${group}`, cause);
      }
      subscribers.set(entry, group);
      return () => {
        if (!subscribers.delete(entry) || closed) return;
        if (![...subscribers.values()].includes(group)) events?.dropMembership(group);
      };
    },
    unref() {
      referenced = false;
      requests.unref();
      urgent.unref();
      events?.unref();
    },
    close() {
      if (closed) return;
      closed = true;
      const error = new AgentError('E_SOCKET', 'the connection was closed');
      requests.close(error);
      urgent.close(error);
      events?.close();
      subscribers.clear();
    },
  };
}
