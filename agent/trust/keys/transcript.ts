/**
 * What two sides have said to each other, as one digest. The suite is its first word and every part has a name and a
 * length, so two conversations that differ in anything have digests that differ: who signs the digest, or derives keys
 * from it, has agreed to all of it, and nobody in between can have taken a better suite out of an offer.
 */
import { createHash } from 'node:crypto';

/** Transcripts of other protocols, and of later versions, are no prefix of ours. */
const BEGIN = 'x0tta6bl4 transcript v1';

export class Transcript {
  readonly #hash = createHash('sha256');

  /** `suite`: its identifier, 16 bits. */
  constructor(suite: number) {
    this.add(BEGIN, Uint8Array.of(suite >> 8, suite & 0xff));
  }

  /** One more thing that was said, by either side. */
  add(name: string, said: Uint8Array): this {
    const label = Buffer.from(name);
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(label.length, 0);
    lengths.writeUInt32BE(said.length, 4);
    this.#hash.update(lengths).update(label).update(said);
    return this;
  }

  /** 32 bytes, of what was said so far; more may follow. */
  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }
}
