/**
 * How the key file holds a router's own secrets:
 *
 *     'x0key' | version 1 | suite 2 | length 2, agreement secret | length 2, identity secret | check 8     big-endian
 *
 * The check is the beginning of the SHA-256 of all before it. It tells a damaged file from a key; it authenticates nothing.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import type { RouterSecrets } from './router.ts';
import { SecretBytes } from './secret.ts';

const MAGIC = Buffer.from('x0key');
const VERSION = 1;
const HEAD = MAGIC.length + 1 + 2;
const CHECK = 8;
/** Room for any suite's secrets. */
export const MOST_KEY_FILE = 16 * 1024;

/** The bytes of a key file. They are the secret: whoever has written them wipes them. */
export function encodeKeyFile({ suite, agreement, identity }: RouterSecrets): Uint8Array {
  const fields = [agreement.reveal(), identity.reveal()];
  const bytes = Buffer.alloc(fields.reduce((sum, field) => sum + 2 + field.length, HEAD) + CHECK);
  MAGIC.copy(bytes);
  bytes[MAGIC.length] = VERSION;
  bytes.writeUInt16BE(suite, MAGIC.length + 1);
  let at = HEAD;
  for (const field of fields) {
    bytes.writeUInt16BE(field.length, at);
    bytes.set(field, at + 2);
    at += 2 + field.length;
  }
  bytes.set(check(bytes.subarray(0, at)), at);
  return bytes;
}

/** Reads a key file's bytes. Throws E_KEY_FILE, which says what is wrong and quotes nothing of it. */
export function decodeKeyFile(bytes: Uint8Array): RouterSecrets {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < HEAD + CHECK || !file.subarray(0, MAGIC.length).equals(MAGIC)) throw bad('it is none');
  if (file[MAGIC.length] !== VERSION) throw bad(`version ${file[MAGIC.length]} is not known here`);
  const end = file.length - CHECK;
  if (!file.subarray(end).equals(check(file.subarray(0, end)))) throw bad('it is damaged');
  let at = HEAD;
  const field = (): SecretBytes => {
    const from = at + 2;
    at = from <= end ? from + file.readUInt16BE(at) : end + 1;
    if (at > end) throw bad('it is too short');
    return new SecretBytes(Uint8Array.from(file.subarray(from, at)));
  };
  const secrets = { suite: file.readUInt16BE(MAGIC.length + 1), agreement: field(), identity: field() };
  if (at !== end) throw bad('it is too long');
  return secrets;
}

function check(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest().subarray(0, CHECK);
}

function bad(why: string): AgentError {
  return new AgentError('E_KEY_FILE', `not a key file: ${why}`);
}
