/** Bytes that must not be seen. */
import { inspect } from 'node:util';
import { AgentError } from '../../core/errors.ts';

const HIDDEN = '[secret]';

/** Secret bytes in memory: neither JSON, nor string conversion, nor console output shows them. */
export class SecretBytes {
  readonly #bytes: Uint8Array;
  #wiped = false;

  /** Takes the bytes over: they are wiped with it, and nobody else should keep them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The secret itself, not a copy. Whoever calls this must not log or keep it. Throws E_KEY once it is wiped. */
  reveal(): Uint8Array {
    if (this.#wiped) throw new AgentError('E_KEY', 'a secret was used after it had been wiped');
    return this.#bytes;
  }

  /** Overwrites the bytes. Copies that the language made (in a garbage collection, in OpenSSL) are out of reach. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toJSON(): string {
    return HIDDEN;
  }

  toString(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
