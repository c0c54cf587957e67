/**
 * What routers say to each other, as CBOR (RFC 8949) in its deterministic form: definite lengths, shortest numbers, keys
 * that are text and come once, no tags, no undefined, no integer beyond 2^53. Anything else does not decode.
 */
import { decode, encode } from 'cborg';
import { AgentError } from '../core/errors.ts';

const STRICT = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
};

/** Throws a TypeError for what is no such value: functions, undefined, circles. */
export function toCbor(value: unknown): Uint8Array {
  return encode(value, { ignoreUndefinedProperties: true });
}

/** Whoever calls this has bounded the length. Throws E_PEER_PROTOCOL. */
export function fromCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, STRICT);
  } catch {
    // The library's own words quote the bytes; nesting without end shows as a RangeError of the stack, and is caught too.
    throw new AgentError('E_PEER_PROTOCOL', 'a message is not CBOR as it is spoken here');
  }
}
