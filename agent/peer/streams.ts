/**
 * The streams of a session: messages of four priorities, each in two streams, requests and answers. Whoever has something
 * urgent overtakes at the next part of 8 KiB. On each stream only so much is under way as the receiver gave credit for:
 *
 * - on a stream of requests credit comes back when the request has been answered, so that who is slow is asked less;
 * - on a stream of answers at once, since who asks has said how much it will take: answers never wait for requests.
 *
 * Each part costs its length and an overhead, so that many small messages are bounded too.
 */
import { AgentError } from '../core/errors.ts';
import { encodeFrame, MOST_PART, malformed } from './frame.ts';

/** Most urgent first. */
export const PRIORITIES = ['fault', 'control', 'normal', 'bulk'] as const;
export type Priority = (typeof PRIORITIES)[number];

const KIB = 1024;
const EMPTY = new Uint8Array(0);
const STREAMS = PRIORITIES.length * 2;
/** By stream: requests and answers of each priority. */
const WINDOWS = [32, 32, 64, 64, 64, 128, 320, 128].map((kib) => kib * KIB);
const OVERHEAD = 128;
/** No part is cut smaller than this to fit what credit is left; only the last one of a message may have less. */
const WORTH_IT = 1024;
/** Waiting in one direction of a session. */
const MOST_QUEUED = 2048 * KIB;
/** Half a window, so that a second one can be under way. */
const MOST_REQUEST = WINDOWS.map((window) => window / 2);

export function streamOf(priority: Priority, what: 'request' | 'answer'): number {
  return PRIORITIES.indexOf(priority) * 2 + Number(what === 'answer');
}

export function isRequests(stream: number): boolean {
  return stream % 2 === 0;
}

interface Outgoing {
  readonly id: number;
  readonly bytes: Uint8Array;
  at: number;
  /** Of an answer: what its request took, which may be given back when it has gone out. */
  readonly returns: Cost | null;
}

export interface Cost {
  readonly stream: number;
  readonly cost: number;
}

/** What waits to be sent, and the order in which it goes. */
export class Outbox {
  readonly #urgent: Uint8Array[] = [];
  readonly #queues: Outgoing[][] = WINDOWS.map(() => []);
  readonly #credit = [...WINDOWS];
  #queued = 0;

  get queued(): number {
    return this.#queued;
  }

  get isEmpty(): boolean {
    return this.#queued === 0 && this.#urgent.length === 0;
  }

  /** A frame that is no part of a message goes before everything else. */
  push(frame: Uint8Array): void {
    this.#urgent.push(frame);
  }

  hasRoom(message: Uint8Array): boolean {
    return this.#queued + message.length <= MOST_QUEUED;
  }

  /** Throws E_PEER_BUSY where it is more than can wait, or more than such a message may have. */
  ask(stream: number, id: number, bytes: Uint8Array): void {
    const most = MOST_REQUEST[stream]!;
    if (bytes.length > most)
      throw new AgentError('E_PEER_BUSY', `a request of ${bytes.length} bytes: ${most} are the most of its priority`);
    if (!this.hasRoom(bytes))
      throw new AgentError('E_PEER_BUSY', 'the other router is slower than what is to be sent to it');
    this.#add(stream, { id, bytes, at: 0, returns: null });
  }

  /** `returns` is what its request took. Whoever calls this has seen that there is room, or has little to say. */
  answer(stream: number, id: number, bytes: Uint8Array, returns: Cost): void {
    this.#add(stream, { id, bytes, at: 0, returns });
  }

  #add(stream: number, message: Outgoing): void {
    this.#queues[stream]!.push(message);
    this.#queued += message.bytes.length + OVERHEAD;
  }

  /** Takes a message back of which nothing has been sent yet. */
  takeBack(stream: number, id: number): boolean {
    const queue = this.#queues[stream]!;
    const at = queue.findIndex((one) => one.id === id && one.at === 0);
    if (at < 0) return false;
    const [{ bytes }] = queue.splice(at, 1) as [Outgoing];
    this.#queued -= bytes.length + OVERHEAD;
    return true;
  }

  /** The receiver takes so many more. Throws E_PEER_PROTOCOL for more than a window can have. */
  grant(stream: number, bytes: number): void {
    if (stream >= STREAMS) throw malformed(`stream ${stream}`);
    this.#credit[stream]! += bytes;
    if (this.#credit[stream]! > WINDOWS[stream]!) throw malformed('more credit than the window has');
  }

  /** The frame that goes next, and what the message that it ends gives back; null where nothing can go now. */
  next(): { readonly frame: Uint8Array; readonly returns: Cost | null } | null {
    const urgent = this.#urgent.shift();
    if (urgent !== undefined) return { frame: urgent, returns: null };
    for (let lane = 0; lane < PRIORITIES.length; lane++) {
      // Answers first: somebody is waiting for them.
      for (const stream of [lane * 2 + 1, lane * 2]) {
        const queue = this.#queues[stream]!;
        const message = queue[0];
        if (message === undefined) continue;
        const left = message.bytes.length - message.at;
        const room = this.#credit[stream]! - OVERHEAD;
        if (room < Math.min(left, WORTH_IT)) continue;
        const bytes = message.bytes.subarray(message.at, message.at + Math.min(left, room, MOST_PART));
        message.at += bytes.length;
        this.#credit[stream]! -= bytes.length + OVERHEAD;
        this.#queued -= bytes.length;
        const last = message.at === message.bytes.length;
        if (last) {
          queue.shift();
          this.#queued -= OVERHEAD;
        }
        const { id, returns } = message;
        return { frame: encodeFrame({ type: 'part', stream, last, id, bytes }), returns: last ? returns : null };
      }
    }
    return null;
  }
}

export interface Arrived {
  readonly bytes: Uint8Array;
  /** What it took of the window, to be given back once it is dealt with. */
  readonly cost: number;
}

/** Puts messages together. What it holds is bounded by the windows, and for answers by what `most` allows. */
export class Inbox {
  readonly #window = [...WINDOWS];
  readonly #partial: ({ id: number; parts: Uint8Array[]; size: number; cost: number } | null)[] = WINDOWS.map(
    () => null,
  );

  /**
   * Takes one part in. A message where it is complete; else null. `most`: how many bytes a message of this id may have.
   * `isWanted`: nobody waits for one that is not, so that it is counted and not held; whole it has no bytes. Throws
   * E_PEER_PROTOCOL for more than the window allows, and for what no Outbox does.
   */
  part(stream: number, id: number, last: boolean, bytes: Uint8Array, most: number, isWanted = true): Arrived | null {
    if (stream >= STREAMS) throw malformed(`stream ${stream}`);
    const cost = bytes.length + OVERHEAD;
    this.#window[stream]! -= cost;
    if (this.#window[stream]! < 0) throw malformed('more was sent than there was credit for');
    if (bytes.length === 0) throw malformed('an empty part');
    // What holds a part takes memory of its own, however short that is.
    if (!last && bytes.length < WORTH_IT) throw malformed('a part that is too short');
    const before = this.#partial[stream] ?? null;
    if (before !== null && before.id !== id) throw malformed('a message was begun within another');
    if ((before?.size ?? 0) + bytes.length > most) throw malformed('a message that is too long');
    if (before === null && last) return { bytes: isWanted ? bytes : EMPTY, cost };
    const partial = before ?? { id, parts: [], size: 0, cost: 0 };
    // A copy: the part itself is a view of a much larger buffer.
    if (isWanted) partial.parts.push(Uint8Array.from(bytes));
    else partial.parts.splice(0);
    partial.size += bytes.length;
    partial.cost += cost;
    this.#partial[stream] = last ? null : partial;
    return last ? { bytes: isWanted ? Buffer.concat(partial.parts) : EMPTY, cost: partial.cost } : null;
  }

  /** What may be sent anew on a stream. */
  giveBack(stream: number, cost: number): void {
    this.#window[stream]! += cost;
  }

  costOf(part: Uint8Array): number {
    return part.length + OVERHEAD;
  }

  window(stream: number): number {
    return WINDOWS[stream]!;
  }

  mostRequest(stream: number): number {
    return MOST_REQUEST[stream]!;
  }
}
