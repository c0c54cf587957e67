/**
 * Frames, as they follow each other on a connection (big-endian):
 *
 *     length 4, of what follows | type 1 | by type:
 *
 *     proof     CBOR: who is speaking, the first frame of each side (proof.ts)
 *     part      stream 1 | last 1 | id 4 | some bytes of a message
 *     credit    stream 1 | bytes 4: so many more may come on that stream
 *     ping      number 4           pong      the same
 *     cancel    id 4: the answer to this request is no longer waited for
 *     bye       reason 1: nothing new is begun, what is under way is finished
 *
 * A stream is a priority and a direction of asking: messages on it follow each other whole. What a message says is CBOR.
 */
import { AgentError } from '../core/errors.ts';

export const TYPES = { proof: 0, part: 1, credit: 2, ping: 3, pong: 4, cancel: 5, bye: 6 } as const;

/** Of a message in one frame: little enough that something urgent never waits long. */
export const MOST_PART = 8192;
/** Type, part's head, and what sealing adds. */
const MOST_FRAME = MOST_PART + 64;
const LENGTH = 4;
const PART_HEAD = 7;

export const BYE = { leaving: 0, duplicate: 1, untrusted: 2 } as const;
export type ByeReason = keyof typeof BYE;

export type Frame =
  | { readonly type: 'proof'; readonly bytes: Uint8Array }
  | {
      readonly type: 'part';
      readonly stream: number;
      readonly last: boolean;
      readonly id: number;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'credit'; readonly stream: number; readonly bytes: number }
  | { readonly type: 'ping'; readonly number: number }
  | { readonly type: 'pong'; readonly number: number }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'bye'; readonly reason: number };

/** What follows the length. Ids and numbers are below 2^32. */
export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.type) {
    case 'proof':
      return Buffer.concat([Uint8Array.of(TYPES.proof), frame.bytes]);
    case 'part': {
      const bytes = Buffer.allocUnsafe(PART_HEAD + frame.bytes.length);
      bytes[0] = TYPES.part;
      bytes[1] = frame.stream;
      bytes[2] = Number(frame.last);
      bytes.writeUInt32BE(frame.id, 3);
      bytes.set(frame.bytes, PART_HEAD);
      return bytes;
    }
    case 'credit': {
      const bytes = Buffer.allocUnsafe(6);
      bytes[0] = TYPES.credit;
      bytes[1] = frame.stream;
      bytes.writeUInt32BE(frame.bytes, 2);
      return bytes;
    }
    case 'bye':
      return Uint8Array.of(TYPES.bye, frame.reason);
    default: {
      const bytes = Buffer.allocUnsafe(5);
      bytes[0] = TYPES[frame.type];
      bytes.writeUInt32BE(frame.type === 'cancel' ? frame.id : frame.number, 1);
      return bytes;
    }
  }
}

/** Throws E_PEER_PROTOCOL. The bytes of a part or proof are a view of what was given. */
export function decodeFrame(given: Uint8Array): Frame {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  const exactly = (length: number): void => {
    if (bytes.length !== length) throw malformed(`${bytes.length} bytes instead of ${length} in frame ${bytes[0]}`);
  };
  switch (bytes[0]) {
    case TYPES.proof:
      return { type: 'proof', bytes: bytes.subarray(1) };
    case TYPES.part:
      if (bytes.length < PART_HEAD) throw malformed('a part without its head');
      if (bytes[2]! > 1) throw malformed('a part that is neither last nor not');
      return {
        type: 'part',
        stream: bytes[1]!,
        last: bytes[2] === 1,
        id: bytes.readUInt32BE(3),
        bytes: bytes.subarray(PART_HEAD),
      };
    case TYPES.credit:
      exactly(6);
      return { type: 'credit', stream: bytes[1]!, bytes: bytes.readUInt32BE(2) };
    case TYPES.ping:
      exactly(5);
      return { type: 'ping', number: bytes.readUInt32BE(1) };
    case TYPES.pong:
      exactly(5);
      return { type: 'pong', number: bytes.readUInt32BE(1) };
    case TYPES.cancel:
      exactly(5);
      return { type: 'cancel', id: bytes.readUInt32BE(1) };
    case TYPES.bye:
      exactly(2);
      return { type: 'bye', reason: bytes[1]! };
    default:
      throw malformed(`frame type ${bytes[0]}`);
  }
}

/** Puts the length in front. */
export function framed(content: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(LENGTH + content.length);
  bytes.writeUInt32BE(content.length);
  bytes.set(content, LENGTH);
  return bytes;
}

/** Finds the frames in a stream of bytes, however it is cut. It holds one unfinished frame at most. */
export class FrameReader {
  #head = 0;
  #headBytes = 0;
  #body: Uint8Array | null = null;
  #filled = 0;

  /**
   * What follows the lengths of the frames that these bytes complete, mostly as views of them. Throws E_PEER_PROTOCOL for
   * a length that no frame has; nothing can be read after that.
   */
  read(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let at = 0; at < chunk.length; ) {
      if (this.#body === null) {
        while (this.#headBytes < LENGTH && at < chunk.length) {
          this.#head = this.#head * 256 + chunk[at++]!;
          this.#headBytes++;
        }
        if (this.#headBytes < LENGTH) break;
        const length = this.#head;
        if (length === 0 || length > MOST_FRAME) throw malformed(`a frame of ${length} bytes`);
        this.#head = 0;
        this.#headBytes = 0;
        if (chunk.length - at >= length) {
          frames.push(chunk.subarray(at, at + length));
          at += length;
          continue;
        }
        this.#body = Buffer.allocUnsafeSlow(length);
        this.#filled = 0;
      }
      const some = chunk.subarray(at, at + this.#body.length - this.#filled);
      this.#body.set(some, this.#filled);
      this.#filled += some.length;
      at += some.length;
      if (this.#filled < this.#body.length) break;
      frames.push(this.#body);
      this.#body = null;
    }
    return frames;
  }
}

export function malformed(what: string): AgentError {
  return new AgentError('E_PEER_PROTOCOL', `the other router broke the protocol: ${what}`);
}
