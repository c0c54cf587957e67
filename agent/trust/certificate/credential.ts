/**
 * What a router shows: its certificates, and the classical key that they are for. That key is derived from the router's one
 * secret and a salt that is in the open, so that a renewal changes the leaf key and the key file stays as it is.
 */
import { AgentError } from '../../core/errors.ts';
import { EMPTY } from '../keys/primitives.ts';
import { openKeys, type RouterKeys, type RouterSecrets } from '../keys/router.ts';
import { SecretBytes } from '../keys/secret.ts';
import type { AgreementKey, IdentityKey } from '../keys/suite.ts';
import { readCertificate } from './certificate.ts';
import type { P256Key, Tools } from './tools.ts';

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

/** The order of P-256's group. */
const ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
/** PKCS #8 before the scalar of a P-256 key (RFC 5958, 5915); the public key is left out. */
const PKCS8_HEAD = Buffer.from('3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420', 'hex');

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

/** DER as PEM, for TLS stacks. What comes of a private key is a secret. */
export function pem(label: 'CERTIFICATE' | 'PRIVATE KEY', der: Uint8Array): string {
  const lines = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines.trimEnd()}\n-----END ${label}-----\n`;
}
