/** What a session needs of this router's identity, and of whom it believes. Both may change while sessions stand. */

import type { Credential } from '../trust/certificate/credential.ts';
import type { Peer, Refused } from '../trust/certificate/verify.ts';
import type { Suite } from '../trust/keys/suite.ts';

/** Whom a chain of certificates (DER, the leaf first) proves, by the bundle, the revocations and the clock of now. */
export type Verify = (chain: readonly Uint8Array[]) => Peer | Refused;

export interface Credentials {
  readonly suite: Suite;
  /** null while this router has no identity: then it can ask to join, and nothing else. */
  current(): Credential | null;
  readonly verify: Verify;
}
