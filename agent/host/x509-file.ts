/** Certificates and keys of others' making, as PEM files: for attestation by X.509. */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { X509Holder } from '../trust/join/x509.ts';
import { readConfigFile } from './config-file.ts';

/** The certificates of a PEM file, as DER. Throws E_KEY_FILE. */
export function readCertificates(file: string): Uint8Array[] {
  const blocks = read(file).matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  const found = [...blocks].map(([, base64]) => Buffer.from(base64!, 'base64'));
  if (found.length === 0) throw new AgentError('E_KEY_FILE', `${file} has no certificate in PEM`, { file });
  return found;
}

/** A certificate with its chain and its private key. Throws E_KEY_FILE, which quotes nothing of them. */
export function openHolder(certificateFile: string, keyFile: string): X509Holder {
  const chain = readCertificates(certificateFile);
  const pem = read(keyFile);
  let key: ReturnType<typeof createPrivateKey>;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new AgentError('E_KEY_FILE', `${keyFile} has no private key without a passphrase`, { file: keyFile });
  }
  return { chain, sign: (message) => signBy(key, message) };
}

/** As stewards verify it (agent/trust/join/x509.ts). */
export function signBy(key: KeyObject, message: Uint8Array): Uint8Array {
  const isPlain = key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyType === 'ed448';
  return sign(isPlain ? null : 'sha256', message, key);
}

/** As configuration files are: a FIFO or a device that an option names must not hang the agent. */
function read(file: string): string {
  try {
    return Buffer.from(readConfigFile(file)).toString('utf8');
  } catch (thrown) {
    const { message, detail } = asAgentError(thrown);
    throw new AgentError('E_KEY_FILE', file === '' ? `no file${message}` : message, { ...detail, file });
  }
}
