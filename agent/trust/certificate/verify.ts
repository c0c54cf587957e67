/** Who believes identities: of a chain, classical and hybrid signatures (certificate.ts) both have to hold, up to a root. */
import { createHash } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { fingerprint } from '../keys/router.ts';
import { type Certificate, PURPOSE, readCertificate } from './certificate.ts';
import { nodeOf, parseSpiffeId } from './spiffe.ts';
import type { Tools } from './tools.ts';

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
/** Leaf, steward; one more for a mesh below another's root. */
const LONGEST_CHAIN = 3;
const MOST_REMEMBERED = 512;
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

function refused(reason: Refusal, message: string): Refused {
  return { ok: false, code: 'E_SVID', reason, message };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function digest({ der }: Certificate): Uint8Array {
  return createHash('sha256').update(der).digest();
}
