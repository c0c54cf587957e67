/**
 * Attestation by proof of possession of an X.509 key: an enterprise or a maker has given each router a certificate, and
 * the stewards are told which CA to believe. Any algorithm that OpenSSL verifies; as classical as that algorithm is.
 */
import { createHash, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { der, Reader, sequence, TAG } from '../certificate/der.ts';
import { orNull } from '../certificate/fields.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import { SKEW_MS } from '../certificate/verify.ts';
import { type Attested, type Attestor, no, type Prover } from './attest.ts';
import { limitsOf } from './x509-limits.ts';

const LONGEST_CHAIN = 4;
const PURPOSE = Buffer.from('x0tta6bl4 X.509 proof v1\0');

/** The certificate's key at work; the world holds it, and may have another one at the next proof. Throws AgentError where it has none. */
export interface X509Holder {
  /** DER, the leaf first. */
  readonly chain: readonly Uint8Array[];
  sign(message: Uint8Array): Uint8Array;
}

export function x509Prover(holder: X509Holder): Prover {
  return {
    method: 'x509-proof',
    prove: (binding) =>
      sequence(
        sequence(...holder.chain.map((one) => der(TAG.octets, one))),
        der(TAG.octets, holder.sign(Buffer.concat([PURPOSE, binding]))),
      ),
  };
}

/** `authorities`: DER. Throws what node:crypto throws for one that is no certificate. */
export function x509Attestor(authorities: readonly Uint8Array[]): Attestor {
  const roots = authorities.map((one) => new X509Certificate(one));
  return {
    method: 'x509-proof',
    check(evidence, binding, _identity, wallMs): Attested {
      const parts = orNull(() => read(evidence));
      const chain = parts === null ? null : certificates(parts.chain);
      if (parts === null || chain === null) return no('malformed', 'the proof is no X.509 chain with a signature');
      for (const [i, one] of chain.entries()) {
        const issuer = chain[i + 1];
        if (issuer !== undefined && !(issuer.ca && isIssued(one, issuer)))
          return no('bad-proof', 'the chain is broken');
        if (wallMs < Date.parse(one.validFrom) - SKEW_MS || wallMs > Date.parse(one.validTo) + SKEW_MS)
          return no('expired', 'a certificate of the chain is not valid now');
      }
      const top = chain.at(-1)!;
      const root = roots.find((one) => one.fingerprint256 === top.fingerprint256 || isIssued(top, one));
      if (root === undefined) return no('unknown', 'the chain does not lead to a CA that is believed');
      if (wallMs > Date.parse(root.validTo) + SKEW_MS) return no('expired', 'the CA has ended');
      const beyond = beyondLimits(root.fingerprint256 === top.fingerprint256 ? chain : [...chain, root]);
      if (beyond !== null) return no('bad-proof', beyond);
      const leaf = chain[0]!;
      if (leaf.ca) return no('bad-proof', 'the certificate is a CA');
      if (!isSigned(leaf.publicKey, Buffer.concat([PURPOSE, binding]), parts.signature))
        return no('bad-proof', "the certificate's key did not sign this");
      const name = /^CN=(.+)$/m.exec(leaf.subject ?? '')?.[1] ?? '';
      return {
        ok: true,
        node: isNodeId(name) ? name : null,
        how: `X.509 certificate ${leaf.serialNumber.slice(0, 40)}`,
        credentials: credentialsOf(leaf),
      };
    },
  };
}

/** Why this path, the leaf first, is none although each certificate of it is signed by the next; null: it is one. */
function beyondLimits(path: readonly X509Certificate[]): string | null {
  let below = 0;
  for (const [i, one] of path.entries()) {
    const limits = orNull(() => limitsOf(one.raw));
    if (limits === null) return 'a certificate of the chain cannot be read';
    if (limits.unknown !== null)
      return `a certificate of the chain has a limit that is not known here: ${limits.unknown}`;
    if (i === 0 && !limits.maySign) return "the certificate's key is not for signing";
    if (limits.pathLength !== null && below > limits.pathLength)
      return 'the chain has more CAs than one of them allows';
    // What a CA has issued to itself does not count (RFC 5280, 4.2.1.9).
    if (i > 0 && one.subject !== one.issuer) below += 1;
  }
  return null;
}

function read(evidence: Uint8Array): { readonly chain: Uint8Array[]; readonly signature: Uint8Array } {
  const outer = new Reader(evidence);
  const parts = outer.enter(TAG.sequence);
  outer.end();
  const list = parts.enter(TAG.sequence);
  const chain: Uint8Array[] = [];
  while (!list.isAtEnd) chain.push(list.take(TAG.octets));
  const signature = parts.take(TAG.octets);
  parts.end();
  return { chain, signature };
}

/**
 * Its key, which a renewed certificate may keep; and its SPIFFE ID where it has one, since SPIRE gives a router new keys
 * every hour.
 */
function credentialsOf(leaf: X509Certificate): string[] {
  const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
  const key = leaf.publicKey.export({ format: 'der', type: 'spki' });
  const [, id] = /(?:^|, )URI:(spiffe:\/\/[^\s,"]+)/.exec(leaf.subjectAltName ?? '') ?? [];
  return [`x509:${sha256(key)}`, ...(id === undefined ? [] : [`spiffe:${sha256(id)}`])];
}

function certificates(chain: readonly Uint8Array[]): X509Certificate[] | null {
  if (chain.length === 0 || chain.length > LONGEST_CHAIN) return null;
  try {
    return chain.map((one) => new X509Certificate(one));
  } catch {
    return null;
  }
}

function isIssued(one: X509Certificate, by: X509Certificate): boolean {
  try {
    return one.checkIssued(by) && one.verify(by.publicKey);
  } catch {
    return false;
  }
}

function isSigned(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  const isPlain = key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyType === 'ed448';
  try {
    return verify(isPlain ? null : 'sha256', message, key, signature);
  } catch {
    return false;
  }
}
