/**
 * Identities: who issues them, and who believes them.
 *
 * The owner's key makes a root certificate, the root makes stewards, a steward makes the X.509-SVIDs of routers. What a
 * classical key (ECDSA P-256) signs there is for ordinary TLS stacks; what counts here is the issuer's hybrid signature
 * over the same certificate (certificate.ts), and both have to hold. A router's leaf key is derived from its one secret
 * and a salt that is in the open, so that a renewal changes the leaf key and the key file stays as it is.
 */
import { createHash } from 'node:crypto';
import { AgentError, invariant } from '../core/errors.ts';
import {
  type Certificate,
  type CertificateFields,
  type Name,
  readCertificate,
  writeCertificate,
} from './certificate.ts';
import { COMPOSITE_SIZES } from './composite.ts';
import type { RouterSecrets } from './keys.ts';
import { EMPTY, type Random } from './primitives.ts';
import { SecretBytes } from './secret.ts';
import { nodeOf, parseSpiffeId, routerId } from './spiffe.ts';
import type { AgreementKey, IdentityKey, Suite } from './suite.ts';

/** ECDSA on P-256 with SHA-256, signatures in DER; OpenSSL draws the nonce, so a world brings it (agent/host/p256.ts). */
export interface P256 {
  /** `secret`: the scalar, 32 bytes, from 1 to the group's order less 1. */
  key(secret: Uint8Array): P256Key;
  /** Never throws: whatever is malformed does not verify. */
  verify(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export interface P256Key {
  /** The public key as a SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** What issuing and believing compute with. */
export interface Tools {
  readonly suite: Suite;
  readonly p256: P256;
  readonly random: Random;
}

/** All that a router needs to prove who it is. */
export interface Credential {
  /** spiffe://TRUSTDOMAIN/router/NODE */
  readonly id: string;
  /** DER, the leaf first, the root not among them. */
  readonly chain: readonly Uint8Array[];
  /** Of the leaf: PKCS #8 in DER (RFC 5958). */
  readonly privateKey: SecretBytes;
  readonly identity: IdentityKey;
  readonly agreement: AgreementKey;
  /** Milliseconds since 1970, of the leaf. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A router's hybrid keys at work; made once, since making them costs more than using them. */
export interface RouterKeys {
  readonly identity: IdentityKey;
  readonly agreement: AgreementKey;
}

/** Who may issue: a root or a steward, with both of its private keys. */
export interface Authority {
  readonly certificate: Certificate;
  /** What goes behind a leaf that it issues: its own certificate, nothing for a root. */
  readonly chain: readonly Uint8Array[];
  readonly key: P256Key;
  readonly identity: IdentityKey;
}

/** The roots that are believed in a trust domain. */
export interface TrustBundle {
  readonly trustDomain: string;
  /** Counts up by one at each change; the larger is the newer. */
  readonly sequence: number;
  readonly roots: readonly Certificate[];
}

/** Identity keys that are believed no longer, by fingerprint. */
export interface Revocations {
  has(fingerprint: string): boolean;
}

export type Refusal =
  | 'malformed'
  | 'no-bound-keys'
  | 'wrong-suite'
  | 'wrong-trust-domain'
  | 'not-a-router'
  | 'wrong-usage'
  | 'unknown-issuer'
  | 'bad-signature'
  | 'bad-hybrid-signature'
  | 'outlives-issuer'
  | 'not-yet-valid'
  | 'expired'
  | 'revoked';

/** Whom a chain proves. */
export interface Peer {
  readonly ok: true;
  readonly id: string;
  readonly node: string;
  /** Of its identity key; what a revocation names. */
  readonly fingerprint: string;
  /** Of the identity keys of all that issued it, the nearest first. */
  readonly issuers: readonly string[];
  readonly keys: { readonly identity: Uint8Array; readonly agreement: Uint8Array };
  readonly spki: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  /** It has expired, and is believed for the grace that was allowed. */
  readonly isLate: boolean;
}

export interface Refused {
  readonly ok: false;
  readonly code: 'E_SVID';
  readonly reason: Refusal;
  readonly message: string;
}

/** What clocks may differ by, in milliseconds. */
export const SKEW_MS = 5 * 60_000;
/** Certificates begin a little before they are made, for TLS stacks that allow no difference. */
const BACKDATE_MS = 2 * 60_000;
/** Leaf, steward; one more for a mesh below another's root. */
const LONGEST_CHAIN = 3;
const MOST_REMEMBERED = 512;
const PURPOSE = 'certificate v1';
/** The suite, then the composite signature, which every suite has. */
const SIGNATURE_SIZE = 2 + COMPOSITE_SIZES.signature;
/** The order of P-256's group. */
const ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
/** PKCS #8 before the scalar of a P-256 key (RFC 5958, 5915); the public key is left out. */
const PKCS8_HEAD = Buffer.from('3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420', 'hex');

/** SubjectPublicKeyInfo of a P-256 key before its point (RFC 5480). */
export const P256_SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');

/** Names an identity key: 64 hexadecimal digits. */
export function fingerprint(identityKey: Uint8Array): string {
  return createHash('sha256').update('x0tta6bl4 identity v1').update(identityKey).digest('hex');
}

/** The name of a router that was given none: the first 16 digits of its key's fingerprint. */
export function nodeOfKey(identityKey: Uint8Array): string {
  return fingerprint(identityKey).slice(0, 16);
}

export function openKeys({ suite }: Tools, { identity, agreement }: RouterSecrets): RouterKeys {
  return { identity: suite.identityKey(identity), agreement: suite.agreementKey(agreement) };
}

/** The scalar of a P-256 key out of an identity secret (FIPS 186-5, A.2.1); other `use`, other key. */
function scalar({ suite }: Tools, identity: SecretBytes, use: string, salt: Uint8Array): SecretBytes {
  const wide = suite.derive(identity, suite.transcript().add('salt', salt), `P-256 ${use}`, 48);
  const number = (BigInt(`0x${Buffer.from(wide.reveal()).toString('hex')}`) % (ORDER - 1n)) + 1n;
  wide.wipe();
  return new SecretBytes(Buffer.from(number.toString(16).padStart(64, '0'), 'hex'));
}

function p256Key(tools: Tools, identity: SecretBytes, use: string, salt: Uint8Array): P256Key {
  const secret = scalar(tools, identity, use, salt);
  try {
    return tools.p256.key(secret.reveal());
  } finally {
    secret.wipe();
  }
}

/** The classical public key for a new leaf certificate, and what belongs to it. */
export function leafKey(tools: Tools, identity: SecretBytes, salt: Uint8Array): P256Key {
  return p256Key(tools, identity, 'leaf', salt);
}

/** The classical key with which a steward or an owner issues. */
export function authorityKey(tools: Tools, identity: SecretBytes, use: 'steward' | 'owner'): P256Key {
  return p256Key(tools, identity, use, EMPTY);
}

interface Request {
  readonly wallMs: number;
  readonly lifeMs: number;
}

/** The owner's root: it signs itself, and is believed because it is in the bundle. */
export function issueRoot(
  tools: Tools,
  owner: { readonly key: P256Key; readonly identity: IdentityKey },
  { trustDomain, wallMs, lifeMs }: Request & { readonly trustDomain: string },
): Authority {
  const name: Name = { organisation: trustDomain, commonName: `owner ${nodeOfKey(owner.identity.publicKey)}` };
  const { spki } = owner.key;
  const der = sign(owner, {
    ...validity(wallMs, lifeMs, Number.POSITIVE_INFINITY),
    serial: serial(tools),
    issuer: name,
    subject: name,
    spki,
    issuerSpki: spki,
    uri: `spiffe://${trustDomain}`,
    authority: 1,
    identity: owner.identity.publicKey,
    agreement: EMPTY,
  });
  return { certificate: readAgain(der), chain: [], ...owner };
}

/** The certificate that lets `steward` issue; by a root. Throws E_KEY for a key of another suite. */
export function issueSteward(
  tools: Tools,
  root: Authority,
  steward: { readonly node: string; readonly spki: Uint8Array; readonly identity: Uint8Array },
  request: Request,
): Uint8Array {
  const id = `spiffe://${trustDomainOf(root)}`;
  return below(tools, root, { ...steward, authority: 0, name: steward.node, id, agreement: EMPTY }, request);
}

/** A router's X.509-SVID; answers its whole chain. `router.spki` is its leaf key's. */
export function issueRouter(
  tools: Tools,
  by: Authority,
  router: {
    readonly node: string;
    readonly spki: Uint8Array;
    readonly identity: Uint8Array;
    readonly agreement: Uint8Array;
  },
  request: Request,
): readonly Uint8Array[] {
  const id = routerId(trustDomainOf(by), router.node);
  return [below(tools, by, { ...router, authority: null, name: router.node, id }, request), ...by.chain];
}

/**
 * An X.509-SVID for a program (agent/workload); answers its whole chain. It has no hybrid keys bound in, without which
 * nobody takes it for a router.
 */
export function issueWorkload(
  tools: Tools,
  by: Authority,
  program: { readonly id: string; readonly name: string; readonly spki: Uint8Array },
  request: Request,
): readonly Uint8Array[] {
  const leaf = below(tools, by, { ...program, authority: null, identity: EMPTY, agreement: EMPTY }, request);
  return [leaf, ...by.chain];
}

/** One certificate, signed by `by`. */
function below(
  tools: Tools,
  by: Authority,
  subject: Pick<CertificateFields, 'spki' | 'authority' | 'identity' | 'agreement'> & {
    readonly id: string;
    readonly name: string;
  },
  { wallMs, lifeMs }: Request,
): Uint8Array {
  const organisation = trustDomainOf(by);
  const { spki, authority, identity, agreement } = subject;
  return sign(by, {
    ...validity(wallMs, lifeMs, by.certificate.notAfter),
    serial: serial(tools),
    issuer: { organisation, commonName: by.certificate.commonName },
    subject: { organisation, commonName: subject.name },
    spki,
    issuerSpki: by.certificate.spki,
    uri: subject.id,
    authority,
    identity,
    agreement,
  });
}

/** A steward at work: `der` is what the root gave it, for these secrets. Throws E_SVID where it is for others. */
export function authority(
  tools: Tools,
  der: Uint8Array,
  secrets: RouterSecrets,
  use: 'steward' | 'owner',
  { identity }: Pick<RouterKeys, 'identity'> = openKeys(tools, secrets),
): Authority {
  const certificate = readCertificate(der);
  const key = authorityKey(tools, secrets.identity, use);
  const isOurs =
    certificate?.bound != null &&
    certificate.authority !== null &&
    Buffer.compare(certificate.bound.identity, identity.publicKey) === 0 &&
    Buffer.compare(certificate.spki, key.spki) === 0;
  if (!isOurs) throw new AgentError('E_SVID', 'the certificate is not one to issue with, or not for this key');
  return { certificate, chain: use === 'owner' ? [] : [der], key, identity };
}

/** What a router shows, out of its secrets, the salt of its leaf key and the chain. Throws E_SVID if they do not fit. */
export function credential(
  tools: Tools,
  secrets: RouterSecrets,
  salt: Uint8Array,
  chain: readonly Uint8Array[],
  { identity, agreement }: RouterKeys = openKeys(tools, secrets),
): Credential {
  const leaf = readCertificate(chain[0] ?? EMPTY);
  const secret = scalar(tools, secrets.identity, 'leaf', salt);
  try {
    const isOurs =
      leaf?.bound != null &&
      Buffer.compare(leaf.spki, tools.p256.key(secret.reveal()).spki) === 0 &&
      Buffer.compare(leaf.bound.identity, identity.publicKey) === 0 &&
      Buffer.compare(leaf.bound.agreement, agreement.publicKey) === 0;
    if (!isOurs) throw new AgentError('E_SVID', 'the certificate is for other keys than these');
    const { notBefore, notAfter } = leaf;
    const privateKey = new SecretBytes(Buffer.concat([PKCS8_HEAD, secret.reveal()]));
    return { id: leaf.uris[0] ?? '', chain, privateKey, identity, agreement, notBefore, notAfter };
  } finally {
    secret.wipe();
  }
}

/** A bundle of these roots. Throws E_SVID for one that is no root of the trust domain, or does not sign itself. */
export function trustBundle(
  { suite, p256 }: Tools,
  trustDomain: string,
  sequence: number,
  roots: readonly Uint8Array[],
): TrustBundle {
  return {
    trustDomain,
    sequence,
    roots: roots.map((der) => {
      const root = readCertificate(der);
      const isRoot =
        root?.bound != null &&
        root.authority !== null &&
        root.mayLead &&
        root.uris.length === 1 &&
        root.uris[0] === `spiffe://${trustDomain}` &&
        Buffer.compare(root.issuer, root.subject) === 0 &&
        p256.verify(root.spki, root.tbs, root.signature) &&
        suite.verify(root.bound.identity, PURPOSE, root.bound.message, root.bound.signature);
      if (!isRoot) throw new AgentError('E_SVID', `not a root of ${trustDomain}`);
      return root;
    }),
  };
}

/** Believes chains, or says why not. It remembers which signatures it has verified, so that who comes again is cheap. */
export class Verifier {
  readonly #tools: Pick<Tools, 'suite' | 'p256'>;
  /** Digests of two certificates, of which the first is signed by the second. */
  readonly #signed = new Set<string>();

  constructor(tools: Pick<Tools, 'suite' | 'p256'>) {
    this.#tools = tools;
  }

  /**
   * Whom this chain proves at `wallMs` (calendar.ts). `chain` is DER, the leaf first, as a TLS stack hands it over; a
   * root at its end is passed over. `graceMs`: how long after its end a certificate is still believed. Never throws.
   */
  verifyPeer(
    chain: readonly Uint8Array[],
    bundle: TrustBundle,
    revoked: Revocations,
    wallMs: number,
    graceMs = 0,
  ): Peer | Refused {
    return this.#verify(chain, bundle, revoked, wallMs, graceMs, false);
  }

  /** The same for a steward's own certificate: may it issue? `node` is the steward's. */
  verifySteward(der: Uint8Array, bundle: TrustBundle, revoked: Revocations, wallMs: number): Peer | Refused {
    return this.#verify([der], bundle, revoked, wallMs, 0, true);
  }

  #verify(
    chain: readonly Uint8Array[],
    bundle: TrustBundle,
    revoked: Revocations,
    wallMs: number,
    graceMs: number,
    asSteward: boolean,
  ): Peer | Refused {
    const { suite } = this.#tools;
    if (chain.length === 0 || chain.length > LONGEST_CHAIN) return refused('malformed', `${chain.length} certificates`);
    const path: Certificate[] = [];
    for (const der of chain) {
      const one = readCertificate(der);
      if (one === null) return refused('malformed', 'a certificate is none that this mesh makes');
      if (path.length === 0 || !bundle.roots.some((root) => same(root.der, one.der))) path.push(one);
    }
    const leaf = path[0]!;
    const root = bundle.roots.find(({ subject }) => same(subject, path.at(-1)!.issuer));
    for (const { bound } of path) {
      if (bound === null) return refused('no-bound-keys', 'a certificate has no hybrid keys bound in');
      const isLeaf = bound === leaf.bound && !asSteward;
      for (const bytes of [bound.identity, bound.signature, ...(isLeaf ? [bound.agreement] : [])]) {
        if (bytes.length === 0) return refused('no-bound-keys', 'a certificate lacks one of its hybrid keys');
        if (bytes[0] !== suite.id >> 8 || bytes[1] !== (suite.id & 0xff))
          return refused('wrong-suite', `a certificate's keys are not of suite ${suite.id}`);
      }
    }
    const id = leaf.uris.length === 1 ? leaf.uris[0]! : '';
    const parsed = parseSpiffeId(id);
    if (parsed === null) return refused('not-a-router', 'the certificate has not exactly one SPIFFE ID');
    if (parsed.trustDomain !== bundle.trustDomain)
      return refused('wrong-trust-domain', `it is of ${parsed.trustDomain}, not of ${bundle.trustDomain}`);
    const node = asSteward ? leaf.commonName : nodeOf(id, bundle.trustDomain);
    if (node === null || (asSteward && parsed.path !== '')) return refused('not-a-router', `${id} is no router's ID`);
    if (asSteward ? leaf.authority === null || !leaf.mayLead : leaf.authority !== null || !leaf.maySign)
      return refused('wrong-usage', 'the certificate is for another use');
    if (root === undefined) return refused('unknown-issuer', 'it does not lead to a root of the trust bundle');

    const issuers: string[] = [];
    for (const [i, one] of path.entries()) {
      const issuer: Certificate = path[i + 1] ?? root;
      const below = asSteward ? i + 1 : i;
      if (!same(one.issuer, issuer.subject)) return refused('unknown-issuer', 'its chain is broken');
      if (issuer.authority === null || !issuer.mayLead || issuer.authority < below)
        return refused('wrong-usage', 'an issuer may not issue this');
      if (issuer !== root && issuer.uris[0] !== `spiffe://${bundle.trustDomain}`)
        return refused('wrong-trust-domain', 'an issuer is of another trust domain');
      const broken = this.#signatures(one, issuer);
      if (broken !== null) return broken;
      if (one.notAfter > issuer.notAfter || one.notBefore < issuer.notBefore - SKEW_MS)
        return refused('outlives-issuer', 'it is valid when its issuer is not');
      issuers.push(fingerprint(issuer.bound!.identity));
    }
    const own = fingerprint(leaf.bound!.identity);
    for (const key of [own, ...issuers])
      if (revoked.has(key)) return refused('revoked', key === own ? 'it is revoked' : 'who issued it is revoked');
    for (const one of [...path, root]) {
      if (wallMs < one.notBefore - SKEW_MS)
        return refused('not-yet-valid', `it begins ${new Date(one.notBefore).toISOString()}`);
      if (wallMs > one.notAfter + SKEW_MS + graceMs)
        return refused('expired', `it ended ${new Date(one.notAfter).toISOString()}`);
    }
    const { identity, agreement } = leaf.bound!;
    const { spki, notBefore, notAfter } = leaf;
    const isLate = [...path, root].some((one) => wallMs > one.notAfter + SKEW_MS);
    return {
      ok: true,
      id,
      node,
      fingerprint: own,
      issuers,
      keys: { identity, agreement },
      spki,
      notBefore,
      notAfter,
      isLate,
    };
  }

  #signatures(one: Certificate, issuer: Certificate): Refused | null {
    const pair = createHash('sha256').update(digest(one)).update(digest(issuer)).digest('base64');
    if (this.#signed.has(pair)) return null;
    const { suite, p256 } = this.#tools;
    const bound = one.bound!;
    if (!p256.verify(issuer.spki, one.tbs, one.signature))
      return refused('bad-signature', "its issuer's classical signature does not hold");
    if (!suite.verify(issuer.bound!.identity, PURPOSE, bound.message, bound.signature))
      return refused('bad-hybrid-signature', "its issuer's hybrid signature does not hold");
    if (this.#signed.size >= MOST_REMEMBERED) this.#signed.delete(this.#signed.values().next().value!);
    this.#signed.add(pair);
    return null;
  }
}

/** DER as PEM, for TLS stacks. What comes of a private key is a secret. */
export function pem(label: 'CERTIFICATE' | 'PRIVATE KEY', der: Uint8Array): string {
  const lines = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines.trimEnd()}\n-----END ${label}-----\n`;
}

/** What an applicant brings goes into a certificate as it is: anything but one key of the right form could add to it. */
function requireP256(spki: Uint8Array): void {
  const head = P256_SPKI_HEAD.length;
  if (spki.length === head + 65 && same(spki.subarray(0, head), P256_SPKI_HEAD) && spki[head] === 4) return;
  throw new AgentError('E_SVID', 'the key to certify is no P-256 key');
}

function sign(
  { key, identity }: { readonly key: P256Key; readonly identity: IdentityKey },
  fields: Parameters<typeof writeCertificate>[0],
): Uint8Array {
  requireP256(fields.spki);
  return writeCertificate(
    fields,
    SIGNATURE_SIZE,
    (message) => identity.sign(PURPOSE, message),
    (tbs) => key.sign(tbs),
  );
}

function validity(wallMs: number, lifeMs: number, end: number): { notBefore: number; notAfter: number } {
  const notAfter = Math.min(wallMs + lifeMs, end);
  return { notBefore: wallMs - BACKDATE_MS, notAfter };
}

function serial({ random }: Tools): Uint8Array {
  const bytes = random(16);
  bytes[0]! |= 1;
  return bytes;
}

function trustDomainOf({ certificate }: Authority): string {
  return parseSpiffeId(certificate.uris[0] ?? '')?.trustDomain ?? '';
}

function readAgain(der: Uint8Array): Certificate {
  const certificate = readCertificate(der);
  invariant(certificate !== null, 'a certificate that was written can be read');
  return certificate;
}

function refused(reason: Refusal, message: string): Refused {
  return { ok: false, code: 'E_SVID', reason, message };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function digest({ der }: Certificate): Uint8Array {
  return createHash('sha256').update(der).digest();
}
