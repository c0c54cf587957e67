/**
 * What routers tell each other about trust over their sessions, which have proved who speaks. DER, one message at a time:
 *
 *     have     SEQUENCE { 1, hashes OCTET STRING (16 each) }         all that the sender has; asks for the rest
 *     items    SEQUENCE { 2, SEQUENCE OF item }
 *     renew    SEQUENCE { 3, leaf key }                              to a steward
 *     renewed  SEQUENCE { 4, chain, reason, message, time }          chain empty for a refusal
 *     invited  SEQUENCE { 5, id, secret, node, until }               among stewards; so are the next two
 *     issued   SEQUENCE { 6, key, node, until, invitation }
 *     relay    SEQUENCE { 7, token, bytes }                          somebody's joining, to a steward and back
 *     ask-key  SEQUENCE { 8 }                                        with which key would you issue?
 *     key      SEQUENCE { 9, leaf key }
 *     vouch    SEQUENCE { 10, token, path, leaf key, audience, life } for a program on the sender, to a steward: a certificate
 *                                                                    for that key, or where it is empty a JWT-SVID
 *     vouched  SEQUENCE { 11, token, chain, jwt, message }           chain and jwt empty for a refusal
 *     air-key  SEQUENCE { 12, epoch, secret, age, against OCTET STRING (8 each) }   a key of the air (air/keys.ts)
 *     here     SEQUENCE { 13, addresses OCTET STRING (6 each) }      of the sender's own hard interfaces
 *     came     SEQUENCE { 14, key, node, SEQUENCE OF UTF8String }    among stewards: by which credentials the sender let it in
 *
 * An agent of before there were bars of credentials knows neither those nor `came`, and would count each as a lie. So who does
 * know them says so by one hash in `have` that no item has (BARS), and nobody else is sent any.
 */
import { type Mac, macFromBytes, macToBytes } from '../../core/ids.ts';
import type { Given, Wanted } from '../../workload/vouch.ts';
import type { KeptAirKey } from '../air/keys.ts';
import { der, Malformed, Reader, sequence, TAG } from '../certificate/der.ts';
import { key32, list, number, octets, orNull, readMoment, readNumber, readText, text } from '../certificate/fields.ts';
import { item, type Loose, readItem } from '../ledger/item.ts';
import { isCredential } from '../ledger/statement.ts';
import { MOST_CREDENTIALS } from './provenance.ts';

export type Gossip =
  | { readonly type: 'have'; readonly hashes: readonly string[] }
  | { readonly type: 'items'; readonly items: readonly Loose[] }
  | { readonly type: 'renew'; readonly spki: Uint8Array }
  | {
      readonly type: 'renewed';
      readonly chain: readonly Uint8Array[];
      readonly reason: string;
      readonly message: string;
      /** The steward's clock, milliseconds since 1970. */
      readonly timeMs: number;
    }
  | {
      readonly type: 'invited';
      readonly id: string;
      readonly secret: Uint8Array;
      /** '' for none. */
      readonly node: string;
      readonly untilMs: number;
    }
  | {
      readonly type: 'issued';
      readonly key: string;
      readonly node: string;
      readonly untilMs: number;
      /** '' where it was another way. */
      readonly invitation: string;
    }
  | { readonly type: 'came'; readonly key: string; readonly node: string; readonly credentials: readonly string[] }
  | { readonly type: 'relay'; readonly token: number; readonly bytes: Uint8Array }
  | { readonly type: 'ask-key' }
  | { readonly type: 'key'; readonly spki: Uint8Array }
  | ({ readonly type: 'air-key' } & KeptAirKey)
  | { readonly type: 'here'; readonly addresses: readonly Mac[] }
  | ({ readonly type: 'vouch'; readonly token: number } & Wanted)
  | ({
      readonly type: 'vouched';
      readonly token: number /** Why not; '' where it was done. */;
      readonly message: string;
    } & Given);

/** Of one message, in bytes; what is more goes in several. */
export const MOST_GOSSIP = 300 * 1024;
const HASH = 16;
/** The beginning of the SHA-256 of "x0tta6bl4 bars of credentials". */
export const BARS = 'e4e3c98002d869c473c09faf2388972f';
const NAME = 8;
const MAC = 6;
/** The name of an invitation. */
const INVITATION = 8;
/** More revocations than a mesh may have, and more addresses than a router has. */
const MOST_AGAINST = 2048;
const MOST_HERE = 32;

export function writeGossip(said: Gossip): Uint8Array {
  switch (said.type) {
    case 'have':
      return sequence(number(1), der(TAG.octets, Buffer.from(said.hashes.join(''), 'hex')));
    case 'items':
      return sequence(number(2), sequence(...said.items.map(item)));
    case 'renew':
      return sequence(number(3), der(TAG.octets, said.spki));
    case 'renewed':
      return sequence(number(4), list(said.chain), text(said.reason), text(said.message), number(said.timeMs));
    case 'invited': {
      const { id, secret, node, untilMs } = said;
      return sequence(number(5), hex(id), der(TAG.octets, secret), text(node), number(untilMs));
    }
    case 'issued':
      return sequence(number(6), hex(said.key), text(said.node), number(said.untilMs), hex(said.invitation));
    case 'came':
      return sequence(number(14), hex(said.key), text(said.node), sequence(...said.credentials.map(text)));
    case 'relay':
      return sequence(number(7), number(said.token), der(TAG.octets, said.bytes));
    case 'ask-key':
      return sequence(number(8));
    case 'key':
      return sequence(number(9), der(TAG.octets, said.spki));
    case 'vouch': {
      const { token, path, spki, audience, lifeMs } = said;
      const audiences = list(audience.map((one) => Buffer.from(one)));
      return sequence(number(10), number(token), text(path), der(TAG.octets, spki), audiences, number(lifeMs));
    }
    case 'vouched':
      return sequence(
        number(11),
        number(said.token),
        list(said.chain),
        der(TAG.octets, Buffer.from(said.jwt)),
        text(said.message),
      );
    case 'air-key':
      return sequence(
        number(12),
        number(said.epoch),
        der(TAG.octets, said.secret),
        number(Math.max(0, Math.round(said.ageMs))),
        der(TAG.octets, Buffer.from(said.against.join(''), 'hex')),
      );
    case 'here':
      return sequence(
        number(13),
        der(TAG.octets, ...said.addresses.slice(0, MOST_HERE).map((address) => macToBytes(address))),
      );
  }
}

/** null for what is none. */
export function readGossip(bytes: Uint8Array): Gossip | null {
  if (bytes.length > MOST_GOSSIP) return null;
  return orNull(() => {
    const outer = new Reader(bytes);
    const from = outer.enter(TAG.sequence);
    outer.end();
    const said = read(readNumber(from), from);
    from.end();
    return said;
  });
}

function read(type: number, from: Reader): Gossip {
  switch (type) {
    case 1: {
      const all = from.take(TAG.octets).toString('hex');
      if (all.length % (2 * HASH) !== 0) throw new Malformed('hashes of another length');
      return { type: 'have', hashes: all.match(/.{32}/g) ?? [] };
    }
    case 2: {
      const parts = from.enter(TAG.sequence);
      const items: Loose[] = [];
      while (!parts.isAtEnd) items.push(readItem(parts.enter(TAG.sequence)));
      return { type: 'items', items };
    }
    case 3:
      return { type: 'renew', spki: from.take(TAG.octets) };
    case 4: {
      const chain = octets(from);
      return { type: 'renewed', chain, reason: readText(from), message: readText(from), timeMs: readMoment(from) };
    }
    case 5: {
      const id = bytesOf(from, INVITATION).toString('hex');
      const secret = Uint8Array.from(bytesOf(from, 16));
      return { type: 'invited', id, secret, node: readText(from), untilMs: readMoment(from) };
    }
    case 6: {
      const [key, node, untilMs] = [key32(from), readText(from), readMoment(from)];
      const invitation = from.take(TAG.octets).toString('hex');
      if (invitation.length !== 0 && invitation.length !== 2 * INVITATION)
        throw new Malformed('an invitation of another length');
      return { type: 'issued', key, node, untilMs, invitation };
    }
    case 7:
      return { type: 'relay', token: readNumber(from), bytes: from.take(TAG.octets) };
    case 8:
      return { type: 'ask-key' };
    case 9:
      return { type: 'key', spki: from.take(TAG.octets) };
    case 10: {
      const [token, path, spki] = [readNumber(from), readText(from), from.take(TAG.octets)];
      const audience = octets(from).map((one) => Buffer.from(one).toString('utf8'));
      return { type: 'vouch', token, path, spki, audience, lifeMs: readNumber(from) };
    }
    case 11: {
      const [token, chain] = [readNumber(from), octets(from)];
      const jwt = from.take(TAG.octets).toString('latin1');
      return { type: 'vouched', token, chain, jwt, message: readText(from) };
    }
    case 12: {
      const epoch = readNumber(from);
      const secret = Uint8Array.from(bytesOf(from, 32));
      const ageMs = readNumber(from);
      const against = from.take(TAG.octets).toString('hex');
      if (against.length % (2 * NAME) !== 0 || against.length > 2 * NAME * MOST_AGAINST)
        throw new Malformed('names of another length');
      return { type: 'air-key', epoch, secret, ageMs, against: against.match(/.{16}/g) ?? [] };
    }
    case 13: {
      const bytes = from.take(TAG.octets);
      if (bytes.length % MAC !== 0 || bytes.length > MAC * MOST_HERE)
        throw new Malformed('addresses of another length');
      const addresses = Array.from({ length: bytes.length / MAC }, (_, i) => macFromBytes(bytes, MAC * i));
      return { type: 'here', addresses };
    }
    case 14: {
      const [key, node, parts] = [key32(from), readText(from), from.enter(TAG.sequence)];
      const credentials: string[] = [];
      while (!parts.isAtEnd) credentials.push(readText(parts));
      if (credentials.length > MOST_CREDENTIALS || !credentials.every(isCredential))
        throw new Malformed('credentials of an unknown kind, or too many');
      return { type: 'came', key, node, credentials };
    }
    default:
      throw new Malformed('a message of an unknown type');
  }
}

function hex(digits: string): Buffer {
  return der(TAG.octets, Buffer.from(digits, 'hex'));
}

function bytesOf(from: Reader, length: number): Buffer {
  const bytes = from.take(TAG.octets);
  if (bytes.length !== length) throw new Malformed('bytes of another length');
  return bytes;
}
