/** A router's own keys: the secrets that it keeps, the hybrid keys made of them, and the names that follow from those. */
import { createHash } from 'node:crypto';
import type { SecretBytes } from './secret.ts';
import type { AgreementKey, IdentityKey, Suite } from './suite.ts';

export interface RouterSecrets {
  /** The identifier of the suite that the secrets are of. */
  readonly suite: number;
  readonly agreement: SecretBytes;
  readonly identity: SecretBytes;
}

/** A router's hybrid keys at work; made once, since making them costs more than using them. */
export interface RouterKeys {
  readonly identity: IdentityKey;
  readonly agreement: AgreementKey;
}

export function newSecrets(suite: Suite): RouterSecrets {
  return { suite: suite.id, agreement: suite.newAgreement(), identity: suite.newIdentity() };
}

/** Names an identity key: 64 hexadecimal digits. */
export function fingerprint(identityKey: Uint8Array): string {
  return createHash('sha256').update('x0tta6bl4 identity v1').update(identityKey).digest('hex');
}

/** The name of a router that was given none: the first 32 digits of its key's fingerprint. */
export function nodeOfKey(identityKey: Uint8Array): string {
  return fingerprint(identityKey).slice(0, 32);
}

export function openKeys({ suite }: { readonly suite: Suite }, { identity, agreement }: RouterSecrets): RouterKeys {
  return { identity: suite.identityKey(identity), agreement: suite.agreementKey(agreement) };
}
