/**
 * How a router shows, once, that it may have an identity. One interface for all ways: the joining side proves a binding
 * (a digest of the whole conversation and of its new keys, messages.ts), the admitting side checks the proof. A proof is good
 * for its binding only, so what was overheard is worth nothing.
 */
import { timingSafeEqual } from 'node:crypto';

/** The numbers are on the wire, and never reused. */
export const METHODS = { invitation: 1, 'ssh-host-key': 2, 'x509-proof': 3, renewal: 4 } as const;

export type Method = keyof typeof METHODS;

/** The joining side of one way. */
export interface Prover {
  readonly method: Method;
  /** `binding`: 32 bytes. */
  prove(binding: Uint8Array): Uint8Array;
}

/** The admitting side of one way. */
export interface Attestor {
  readonly method: Method;
  /** `identity` is the key that asks, by fingerprint. Never throws. */
  check(evidence: Uint8Array, binding: Uint8Array, identity: string, wallMs: number): Attested;
}

export type AttestRefusal = 'malformed' | 'unknown' | 'expired' | 'used' | 'bad-proof' | 'revoked';

export type Attested =
  /**
   * `node`: the name that goes with the proof; null leaves it to the key. `how`: for the journal. `credentials`: what the
   * proof rested on, by name (ledger/statement.ts); none where it was the key itself.
   */
  | {
      readonly ok: true;
      readonly node: string | null;
      readonly how: string;
      readonly credentials: readonly string[];
    }
  | { readonly ok: false; readonly reason: AttestRefusal; readonly message: string };

/** No proof is longer: an X.509 chain of somebody's enterprise. */
export const MOST_EVIDENCE = 40 * 1024;

export function no(reason: AttestRefusal, message: string): Attested {
  return { ok: false, reason, message };
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
