/**
 * What an owner or a steward declares to the whole mesh, signed with its hybrid key:
 *
 *     Statement ::= SEQUENCE { body OCTET STRING, signer OCTET STRING (32, fingerprint), signature OCTET STRING }
 *     bundle     body ::= SEQUENCE { 1, domain UTF8String, sequence INTEGER, roots SEQUENCE OF OCTET STRING }
 *     revocation body ::= SEQUENCE { 2, domain UTF8String, key OCTET STRING (32), node UTF8String, at, until INTEGER }
 *     bar, readmission
 *                body ::= SEQUENCE { 3 or 4, domain, credential UTF8String, key OCTET STRING (32), node UTF8String, at INTEGER }
 *
 * A bar says that a credential admits nobody any more, since `key`, which came by it, was revoked; a readmission, which is the
 * owner's alone, that it does again in spite of that key. Neither ends by time. A credential goes by its kind and digits:
 *
 *     ssh:SHA-256 of the SSH host key     x509:SHA-256 of the certificate's public key     spiffe:SHA-256 of its SPIFFE ID
 *     invitation:ID, which is not barred, being good once
 *
 * Times are milliseconds since 1970. A steward's certificate is a declaration by itself and travels as it is.
 */
import { der, Malformed, Reader, sequence, TAG } from '../certificate/der.ts';
import { key32, number, orNull, readMoment, readNumber, readText, text } from '../certificate/fields.ts';
import { fingerprint } from '../keys/router.ts';
import type { IdentityKey, Suite } from '../keys/suite.ts';

export interface BundleBody {
  readonly kind: 'bundle';
  readonly domain: string;
  readonly sequence: number;
  /** Root certificates, DER. */
  readonly roots: readonly Uint8Array[];
}

export interface RevocationBody {
  readonly kind: 'revocation';
  readonly domain: string;
  /** Fingerprint of the identity key that is believed no longer. */
  readonly key: string;
  /** For people. */
  readonly node: string;
  readonly at: number;
  /** When every certificate of the key has ended, and this may be forgotten. */
  readonly until: number;
}

/** They travel and are kept as revocations do. */
export interface CredentialBody {
  readonly kind: 'bar' | 'readmission';
  readonly domain: string;
  readonly credential: string;
  /** Fingerprint of the identity key that came by it and was revoked. */
  readonly key: string;
  /** For people. */
  readonly node: string;
  readonly at: number;
}

type Body = BundleBody | RevocationBody | CredentialBody;

export interface Statement {
  readonly bytes: Uint8Array;
  readonly body: Body;
  /** Fingerprint of the signer's identity key. */
  readonly signer: string;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

const PURPOSE = 'statement v1';
export const MOST_STATEMENT = 48 * 1024;
const MOST_ROOTS = 4;

/** Whether this names what a router can come by (join/attest.ts). */
export function isCredential(name: string): boolean {
  return /^(?:(?:ssh|x509|spiffe):[0-9a-f]{64}|invitation:[0-9a-f]{16})$/.test(name);
}

export function sayBundle(by: IdentityKey, { domain, sequence: count, roots }: Omit<BundleBody, 'kind'>): Uint8Array {
  return say(by, [number(1), text(domain), number(count), sequence(...roots.map((root) => der(TAG.octets, root)))]);
}

export function sayRevocation(
  by: IdentityKey,
  { domain, key, node, at, until }: Omit<RevocationBody, 'kind'>,
): Uint8Array {
  return say(by, [
    number(2),
    text(domain),
    der(TAG.octets, Buffer.from(key, 'hex')),
    text(node),
    number(at),
    number(until),
  ]);
}

export function sayOfCredential(
  by: IdentityKey,
  { kind, domain, credential, key, node, at }: CredentialBody,
): Uint8Array {
  return say(by, [
    number(kind === 'bar' ? 3 : 4),
    text(domain),
    text(credential),
    der(TAG.octets, Buffer.from(key, 'hex')),
    text(node),
    number(at),
  ]);
}

/** null for what is none. The signature is not verified: `holds` does that. */
export function readStatement(bytes: Uint8Array): Statement | null {
  if (bytes.length > MOST_STATEMENT) return null;
  return orNull(() => {
    const outer = new Reader(bytes);
    const parts = outer.enter(TAG.sequence);
    outer.end();
    const signed = parts.take(TAG.octets);
    const signer = key32(parts);
    const signature = parts.take(TAG.octets);
    parts.end();
    return { bytes, body: readBody(signed), signer, signed, signature };
  });
}

export function holds(suite: Suite, { signed, signature, signer }: Statement, identityKey: Uint8Array): boolean {
  return signer === fingerprint(identityKey) && suite.verify(identityKey, PURPOSE, signed, signature);
}

function say(by: IdentityKey, parts: readonly Uint8Array[]): Uint8Array {
  const body = sequence(...parts);
  const signer = Buffer.from(fingerprint(by.publicKey), 'hex');
  return sequence(der(TAG.octets, body), der(TAG.octets, signer), der(TAG.octets, by.sign(PURPOSE, body)));
}

function readBody(signed: Uint8Array): Body {
  const outer = new Reader(signed);
  const parts = outer.enter(TAG.sequence);
  outer.end();
  const kind = readNumber(parts);
  const domain = readText(parts);
  let body: Body;
  if (kind === 1) {
    const count = readNumber(parts);
    const list = parts.enter(TAG.sequence);
    const roots: Uint8Array[] = [];
    while (!list.isAtEnd) roots.push(list.take(TAG.octets));
    if (roots.length === 0 || roots.length > MOST_ROOTS)
      throw new Malformed('a bundle without roots, or with too many');
    body = { kind: 'bundle', domain, sequence: count, roots };
  } else if (kind === 2) {
    const key = key32(parts);
    body = { kind: 'revocation', domain, key, node: readText(parts), at: readMoment(parts), until: readMoment(parts) };
  } else if (kind === 3 || kind === 4) {
    const credential = readText(parts);
    if (!isCredential(credential)) throw new Malformed('a credential of an unknown kind');
    const [key, node, at] = [key32(parts), readText(parts), readMoment(parts)];
    body = { kind: kind === 3 ? 'bar' : 'readmission', domain, credential, key, node, at };
  } else throw new Malformed('a statement of an unknown kind');
  parts.end();
  return body;
}
