/**
 * What the two ends of a tunnel say to each other, as requests of kind 'tunnel/key' over their authenticated session. The
 * end whose SPIFFE id is the smaller leads:
 *
 *     leader      offer    a new path: its slot, the leader's WireGuard key for it, a fresh hybrid agreement key
 *     follower             accept: its own WireGuard key for it, and what it encapsulated; its interface is there already.
 *                          Or taken: a path is in the way; the leader, if it has no such one, offers again and says so
 *     leader      ready    its interface is there too, and the follower may call; is the follower's still there?
 *     leader      moved    what the leader sends goes over the path with this key from now on; the answer says whether
 *                          the follower's does as well
 *     follower    please   it has no path
 *
 * Every request may be lost, and come twice or late: it names the path by the leader's WireGuard key, which is fresh
 * for each, so the same request again has the same answer.
 */
import { AgentError } from '../core/errors.ts';

/** A tunnel has room for two paths: the one in use, and one that comes or goes. */
export type Slot = 'a' | 'b';

/** WireGuard's public keys are base64, as everywhere. */
export type TunnelRequest =
  | {
      readonly step: 'offer';
      readonly slot: Slot;
      readonly wireguard: string;
      /** A public key of the suite, with its number. */
      readonly agreement: Uint8Array;
      /** The leader's key of the path that it sends over now; null where it has none. */
      readonly uses: string | null;
      /** The leader's keys of paths that it no longer has: they may go. */
      readonly drops: readonly string[];
      /** The leader knows where the follower is, and calls. */
      readonly calls: boolean;
    }
  | { readonly step: 'ready' | 'moved'; readonly wireguard: string }
  | { readonly step: 'please' };

export type TunnelAnswer =
  | { readonly step: 'accept'; readonly wireguard: string; readonly encapsulation: Uint8Array }
  /** Does the one who answers send over that path now? */
  | { readonly step: 'heard'; readonly moved: boolean }
  /** Where the new path would be there is one already, of which the leader has this key. */
  | { readonly step: 'taken'; readonly by: string }
  /** It knows no such path, or is not the one to ask. */
  | { readonly step: 'unknown' }
  /** It has only just started. */
  | { readonly step: 'later' };

/** More than any suite's public key or encapsulation has. */
const LONGEST_AGREEMENT = 8192;
const MOST_KEYS = 8;
const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

type Body = Readonly<Record<string, unknown>>;

function body(said: unknown): Body {
  if (typeof said !== 'object' || said === null || Array.isArray(said) || said instanceof Uint8Array)
    throw bad('it is no object');
  return said as Body;
}

function key(of: Body, name: string): string {
  const value = of[name];
  if (typeof value !== 'string' || !KEY.test(value)) throw bad(`${name} is no WireGuard key`);
  return value;
}

function keys(of: Body, name: string): string[] {
  const value = of[name];
  if (!Array.isArray(value) || value.length > MOST_KEYS) throw bad(`${name} is no list of at most ${MOST_KEYS} keys`);
  return value.map((_, index) => key(value as unknown as Body, String(index)));
}

function bytes(of: Body, name: string): Uint8Array {
  const value = of[name];
  if (!(value instanceof Uint8Array) || value.length === 0 || value.length > LONGEST_AGREEMENT)
    throw bad(`${name} is not 1 to ${LONGEST_AGREEMENT} bytes`);
  return value;
}

function flag(of: Body, name: string): boolean {
  const value = of[name];
  if (typeof value !== 'boolean') throw bad(`${name} is neither true nor false`);
  return value;
}

/** Throws E_TUNNEL, which names the member and quotes nothing. */
export function readRequest(said: unknown): TunnelRequest {
  const of = body(said);
  switch (of.step) {
    case 'offer':
      if (of.slot !== 'a' && of.slot !== 'b') throw bad('slot is neither a nor b');
      return {
        step: 'offer',
        slot: of.slot,
        wireguard: key(of, 'wireguard'),
        agreement: bytes(of, 'agreement'),
        uses: of.uses === null ? null : key(of, 'uses'),
        drops: keys(of, 'drops'),
        calls: flag(of, 'calls'),
      };
    case 'ready':
    case 'moved':
      return { step: of.step, wireguard: key(of, 'wireguard') };
    case 'please':
      return { step: 'please' };
    default:
      throw bad('its step is not known');
  }
}

/** Throws E_TUNNEL. */
export function readAnswer(said: unknown): TunnelAnswer {
  const of = body(said);
  switch (of.step) {
    case 'accept':
      return { step: 'accept', wireguard: key(of, 'wireguard'), encapsulation: bytes(of, 'encapsulation') };
    case 'heard':
      return { step: 'heard', moved: flag(of, 'moved') };
    case 'taken':
      return { step: 'taken', by: key(of, 'by') };
    case 'unknown':
    case 'later':
      return { step: of.step };
    default:
      throw bad('its step is not known');
  }
}

function bad(why: string): AgentError {
  return new AgentError('E_TUNNEL', `a tunnel's message is malformed: ${why}`);
}
