/** Reads this router's SSH host key, to join a mesh with it: OpenSSH's form (openssh-key-v1) or Dropbear's, Ed25519. */
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AgentError } from '../core/errors.ts';
import { type SshHostKey, Strings } from '../trust/join/ssh.ts';

/** Where they lie, OpenWrt's first. */
export const SSH_HOST_KEYS = ['/etc/dropbear/dropbear_ed25519_host_key', '/etc/ssh/ssh_host_ed25519_key'] as const;

const TYPE = 'ssh-ed25519';
const MAGIC = Buffer.from('openssh-key-v1\0');
/** PKCS #8 before the seed (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Throws E_KEY_FILE, which quotes nothing of it. */
export function readSshHostKey(file: string): SshHostKey {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    throw new AgentError('E_KEY_FILE', `${file} cannot be read: ${code}`, { file, errno: code });
  }
  return parseSshHostKey(bytes, file);
}

/** The bytes of a host key file, which are overwritten. Throws E_KEY_FILE, which quotes nothing of them. */
export function parseSshHostKey(bytes: Buffer, file: string): SshHostKey {
  const pair = bytes.includes('OPENSSH PRIVATE KEY') ? openssh(bytes) : dropbear(bytes);
  if (pair?.length !== 64)
    throw new AgentError('E_KEY_FILE', `${file} is no Ed25519 host key without a passphrase`, { file });
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_HEAD, pair.subarray(0, 32)]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = Uint8Array.from(pair.subarray(32));
  bytes.fill(0);
  return { publicKey, sign: (message) => sign(null, message, key) };
}

/** Seed and public key; null for another form. */
function openssh(text: Buffer): Buffer | null {
  const body = Buffer.from(text.toString('latin1').replaceAll(/-----[A-Z ]+-----/g, ''), 'base64');
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const head = new Strings(body.subarray(MAGIC.length));
  const [cipher] = [head.take()?.toString(), head.take(), head.take()];
  // One key: its number stands between the head and the keys.
  const rest = new Strings(body.subarray(MAGIC.length + lengthOf(cipher ?? '', 'none', '') + 4));
  const inside = rest.take() === null ? null : rest.take();
  if (cipher !== 'none' || inside === null) return null;
  const fields = new Strings(inside.subarray(8));
  const [type, , pair] = [fields.take()?.toString(), fields.take(), fields.take()];
  return type === TYPE ? pair : null;
}

function lengthOf(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + 4 + text.length, 0);
}

function dropbear(bytes: Buffer): Buffer | null {
  const fields = new Strings(bytes);
  return fields.take()?.toString() === TYPE ? fields.take() : null;
}
