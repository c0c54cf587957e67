/**
 * Who issues identities: the owner's key makes a root certificate, the root makes stewards, a steward makes the X.509-SVIDs of
 * routers. What a classical key (ECDSA P-256) signs there is for ordinary TLS stacks; beside it the issuer's hybrid key signs
 * the same certificate (certificate.ts).
 */
import { AgentError, invariant } from '../../core/errors.ts';
import { COMPOSITE_SIZES } from '../keys/composite.ts';
import { EMPTY } from '../keys/primitives.ts';
import { nodeOfKey, openKeys, type RouterKeys, type RouterSecrets } from '../keys/router.ts';
import type { IdentityKey } from '../keys/suite.ts';
import {
  type Certificate,
  type CertificateFields,
  type Name,
  PURPOSE,
  readCertificate,
  writeCertificate,
} from './certificate.ts';
import { authorityKey } from './credential.ts';
import { parseSpiffeId, routerId } from './spiffe.ts';
import { P256_SPKI_HEAD, type P256Key, type Tools } from './tools.ts';

/** Who may issue: a root or a steward, with both of its private keys. */
export interface Authority {
  readonly certificate: Certificate;
  /** What goes behind a leaf that it issues: its own certificate, nothing for a root. */
  readonly chain: readonly Uint8Array[];
  readonly key: P256Key;
  readonly identity: IdentityKey;
}

/** Certificates begin a little before they are made, for TLS stacks that allow no difference. */
const BACKDATE_MS = 2 * 60_000;
/** The suite, then the composite signature, which every suite has. */
const SIGNATURE_SIZE = 2 + COMPOSITE_SIZES.signature;
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

/** What an applicant brings goes into a certificate as it is: anything but one key of the right form could add to it. */
function requireP256(spki: Uint8Array): void {
  const head = P256_SPKI_HEAD.length;
  if (spki.length === head + 65 && Buffer.compare(spki.subarray(0, head), P256_SPKI_HEAD) === 0 && spki[head] === 4)
    return;
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
