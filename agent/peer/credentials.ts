/** What a session needs of this router's identity, and of whom it believes. Both may change while sessions stand. */
import type { Suite } from '../trust/suite.ts';
import type { Credential, Peer, Refused } from '../trust/svid.ts';

/** Whom a chain of certificates (DER, the leaf first) proves, by the bundle, the revocations and the clock of now. */
export type Verify = (chain: readonly Uint8Array[]) => Peer | Refused;

export interface Credentials {
  readonly suite: Suite;
  /** null while this router has no identity: then it can ask to join, and nothing else. */
  current(): Credential | null;
  readonly verify: Verify;
}
