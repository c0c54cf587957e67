/** Sessions as the rooms that talk over them see them. */
import type { Peer } from '../trust/certificate/verify.ts';
import type { Priority } from './streams.ts';

export interface Manner {
  /** 'normal' if absent. */
  readonly priority?: Priority;
}

export interface RequestManner extends Manner {
  /** 10000 if absent, 600000 at most. */
  readonly deadlineMs?: number;
  /** Bytes that the answer may have: 262144 if absent, 1048576 at most. */
  readonly most?: number;
}

/** A session that stands: whoever is at the other end has proven it. */
export interface Exchange {
  /** null: a router that has no identity yet, and may only ask what a handler lets such ask. */
  readonly peer: Peer | null;
  /**
   * Asks and waits for the answer; `body` and answer are what CBOR holds: null, booleans, numbers, text, Uint8Array, arrays
   * and plain objects. Throws E_PEER_DEADLINE, E_PEER_REFUSED (detail.code is the other side's), E_PEER_BUSY,
   * E_PEER_CLOSED and E_PEER_SILENT.
   */
  request(kind: string, body: unknown, manner?: RequestManner): Promise<unknown>;
  /** Says something without waiting. It may be lost with the session. Throws E_PEER_BUSY, E_PEER_CLOSED. */
  tell(kind: string, body: unknown, manner?: Manner): void;
  /** 32 bytes that only the two ends of this session know, other ones for each `use` (RFC 8446, 7.5). */
  exporter(use: string): Uint8Array;
}

export interface Asked {
  readonly kind: string;
  readonly from: Exchange;
  readonly priority: Priority;
  /** False where it is told and waits for nothing: then what the handler gives back goes nowhere. */
  readonly waits: boolean;
  /** Fires when the answer is no longer waited for. */
  readonly signal: AbortSignal;
}

/**
 * Answers one kind of request. What it throws goes back as E_PEER_REFUSED: an AgentError with its code and message, anything
 * else as E_BUG and no more.
 */
export interface Handler {
  /** Routers without an identity may ask it too; all others have been verified. */
  readonly anonymous?: boolean;
  handle(body: unknown, asked: Asked): unknown | Promise<unknown>;
}
