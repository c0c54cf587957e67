/**
 * Attestation by SSH host key: the owner lists the public host keys of the routers that may join, as known_hosts has
 * them, and a router signs with its own. The proof is a signature as `ssh-keygen -Y sign -n x0tta6bl4-join` makes it
 * (PROTOCOL.sshsig), Ed25519 only. It is classical: it is worth as much as the day on which it is used, no longer.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import { type Attested, type Attestor, no, type Prover } from './attest.ts';

const MAGIC = Buffer.from('SSHSIG');
const VERSION = Uint8Array.of(0, 0, 0, 1);
const NAMESPACE = 'x0tta6bl4-join';
const TYPE = 'ssh-ed25519';
const HASH = 'sha512';
/** SubjectPublicKeyInfo before the raw key (RFC 8410). */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

/** A host key at work; the world holds it (agent/host/ssh-key.ts). */
export interface SshHostKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** One that may join. */
export interface SshAllowed {
  readonly publicKey: string;
  readonly node: string | null;
}

/** `ssh-ed25519 AAAA... [NODE]`. Throws E_CONFIG_VALUE. */
export function readSshAllowed(line: string): SshAllowed {
  const [type, base64 = '', node = null] = line.trim().split(/\s+/);
  const blob = type === TYPE ? new Strings(Buffer.from(base64, 'base64')) : null;
  const name = blob?.take()?.toString();
  const key = blob?.take();
  if (name !== TYPE || key?.length !== 32 || !blob?.isAtEnd || (node !== null && !isNodeId(node)))
    throw new AgentError('E_CONFIG_VALUE', 'expected "ssh-ed25519 KEY", and a name for the router where it has one');
  return { publicKey: key.toString('hex'), node };
}

export function sshProver(key: SshHostKey): Prover {
  return {
    method: 'ssh-host-key',
    prove: (binding) =>
      Buffer.concat([
        MAGIC,
        VERSION,
        str(Buffer.concat([str(TYPE), str(key.publicKey)])),
        str(NAMESPACE),
        str(''),
        str(HASH),
        str(Buffer.concat([str(TYPE), str(key.sign(signedOf(binding)))])),
      ]),
  };
}

export function sshAttestor(allowed: readonly SshAllowed[]): Attestor {
  return {
    method: 'ssh-host-key',
    check(evidence, binding): Attested {
      if (!Buffer.concat([MAGIC, VERSION]).equals(evidence.subarray(0, 10)))
        return no('malformed', 'the proof is no SSH signature');
      const outer = new Strings(Buffer.from(evidence.subarray(10)));
      const [key, namespace, reserved, hash, wrapped] = [
        outer.take(),
        outer.take(),
        outer.take(),
        outer.take(),
        outer.take(),
      ];
      const inner = new Strings(key ?? Buffer.alloc(0));
      const [keyType, publicKey] = [inner.take()?.toString(), inner.take()];
      const signed = new Strings(wrapped ?? Buffer.alloc(0));
      const [type, signature] = [signed.take()?.toString(), signed.take()];
      if (!outer.isAtEnd || !inner.isAtEnd || !signed.isAtEnd || publicKey?.length !== 32 || signature?.length !== 64)
        return no('malformed', 'the proof is no SSH signature with Ed25519');
      if (
        keyType !== TYPE ||
        type !== TYPE ||
        namespace?.toString() !== NAMESPACE ||
        reserved?.length !== 0 ||
        hash?.toString() !== HASH
      )
        return no('malformed', 'the SSH signature is for another use');
      const known = allowed.find((one) => one.publicKey === publicKey.toString('hex'));
      if (known === undefined) return no('unknown', 'this SSH host key is not among those that may join');
      const spki = createPublicKey({ key: Buffer.concat([SPKI_HEAD, publicKey]), format: 'der', type: 'spki' });
      if (!verify(null, signedOf(binding), spki, signature)) return no('bad-proof', 'the SSH signature does not hold');
      // Of the same bytes as what ssh-keygen -l prints in base64.
      const name = createHash('sha256').update(key!).digest('hex');
      return { ok: true, node: known.node, how: `SSH host key ${name.slice(0, 32)}`, credentials: [`ssh:${name}`] };
    },
  };
}

function signedOf(binding: Uint8Array): Buffer {
  const digest = createHash(HASH).update(binding).digest();
  return Buffer.concat([MAGIC, str(NAMESPACE), str(''), str(HASH), str(digest)]);
}

function str(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Reads SSH's strings (RFC 4251, 5), one after the other; null at the end and for what is cut off. */
export class Strings {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(): Buffer | null {
    if (this.#at + 4 > this.#bytes.length) return null;
    const from = this.#at + 4;
    const end = from + this.#bytes.readUInt32BE(this.#at);
    if (end > this.#bytes.length) return null;
    this.#at = end;
    return this.#bytes.subarray(from, end);
  }
}
