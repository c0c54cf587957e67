/**
 * Netlink messages (linux/netlink.h, struct nlmsghdr; man 7 netlink). A datagram holds one or more:
 *
 *     u32 length, u16 type, u16 flags, u32 sequence, u32 port    then the payload, padded to 4 bytes
 *
 * NLMSG_ERROR: s32 negative errno (0 is an acknowledgement), the request's header (and, not capped, its payload), then,
 * with NLM_F_ACK_TLVS, attributes with the kernel's words. NLMSG_DONE ends a dump and may carry an errno the same way.
 */
import { constants } from 'node:os';
import { AgentError } from '../../core/errors.ts';
import { join, LITTLE_ENDIAN, reader, s32At, u16At, u32At } from './attributes.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_HEADER = 16;

/** A complete message. Sequence and port stay 0: the connection (or the undo helper) fills the sequence in. */
export function encodeMessage(type: number, flags: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const out = join([new Uint8Array(NLMSG_HEADER), ...parts]);
  const view = new DataView(out.buffer);
  view.setUint32(0, out.length, LITTLE_ENDIAN);
  view.setUint16(4, type, LITTLE_ENDIAN);
  view.setUint16(6, flags | NLM_F_REQUEST, LITTLE_ENDIAN);
  return out;
}

/** Writes the sequence number and adds flags, in place. */
export function stamp(message: Uint8Array, sequence: number, flags: number): void {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  view.setUint16(6, view.getUint16(6, LITTLE_ENDIAN) | flags, LITTLE_ENDIAN);
  view.setUint32(8, sequence, LITTLE_ENDIAN);
}

/** Walks a datagram's messages; `start` and `end` bound the payload. Throws E_NETLINK_DECODE at the first bad header. */
export function eachMessage(
  datagram: Uint8Array,
  visit: (type: number, flags: number, sequence: number, start: number, end: number) => void,
): void {
  let at = 0;
  while (at < datagram.length) {
    const left = datagram.length - at;
    const length = left < NLMSG_HEADER ? 0 : u32At(datagram, at);
    if (length < NLMSG_HEADER || length > left)
      throw new AgentError('E_NETLINK_DECODE', `netlink message of ${length} bytes where ${left} are left`, { at });
    visit(u16At(datagram, at + 4), u16At(datagram, at + 6), u32At(datagram, at + 8), at + NLMSG_HEADER, at + length);
    at += (length + 3) & ~3;
  }
}

/** What the kernel answered: 0 for an acknowledgement. */
export interface Answer {
  /** Positive errno, 0 for success. */
  readonly errno: number;
  /** The kernel's own words, where it has some. */
  readonly words?: string;
  /** Offset of the offending attribute in the request. */
  readonly offset?: number;
}

const ACK_ATTRIBUTES = reader({
  name: 'extended acknowledgement',
  attributes: { MSG: [1, 'string'], OFFS: [2, 'u32'] },
  mandatory: [],
});

/** Reads the payload of NLMSG_ERROR or NLMSG_DONE. */
export function decodeAnswer(type: number, flags: number, bytes: Uint8Array, start: number, end: number): Answer {
  if (end - start < 4) {
    if (type === NLMSG_DONE) return { errno: 0 };
    throw new AgentError('E_NETLINK_DECODE', 'netlink error message is cut off');
  }
  const errno = -s32At(bytes, start);
  let at = start + 4;
  if (type === NLMSG_ERROR) {
    if (end - at < NLMSG_HEADER) throw new AgentError('E_NETLINK_DECODE', 'netlink error message is cut off');
    at += flags & NLM_F_CAPPED ? NLMSG_HEADER : (Math.max(u32At(bytes, at), NLMSG_HEADER) + 3) & ~3;
  }
  if (!(flags & NLM_F_ACK_TLVS) || at >= end) return { errno };
  ACK_ATTRIBUTES.read(bytes, at, end);
  return {
    errno,
    ...(ACK_ATTRIBUTES.has(1) && { words: ACK_ATTRIBUTES.string(1) }),
    ...(ACK_ATTRIBUTES.has(2) && { offset: ACK_ATTRIBUTES.u32(2) }),
  };
}

/** Linux has two names for some numbers; these are the ones that the kernel's netlink code uses. */
const NAMES = new Map<number, string>(
  [...Object.entries(constants.errno), ['EOPNOTSUPP', 95] as const, ['EAGAIN', 11] as const].map(([name, number]) => [
    number,
    name,
  ]),
);

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** The error that a refused request is answered with; detail.errno is the errno's name. */
export function refusal(what: string, answer: Answer): AgentError {
  const name = errnoName(answer.errno);
  return new AgentError('E_NETLINK', `${what}: ${name}${answer.words ? `, ${answer.words}` : ''}`, {
    request: what,
    errno: name,
    ...(answer.words !== undefined && { words: answer.words }),
    ...(answer.offset !== undefined && { offset: answer.offset }),
  });
}

/**
 * Whether the kernel said no, so that nothing was changed. Of a change that was sent and failed with any other error
 * nobody knows whether it was made.
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'E_NETLINK';
}

/** Whether an error is the kernel's refusal with this errno. */
export function isErrno(error: unknown, name: string): boolean {
  return isRefusal(error) && (error as AgentError).detail.errno === name;
}
