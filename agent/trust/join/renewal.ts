/**
 * Attestation by the identity that a router already has: how one comes back whose certificate has ended, or whose steward
 * was revoked, so that nobody opens a session to it any more. Its identity key signs; a revoked one stays out.
 */

import { der, Reader, sequence, TAG } from '../certificate/der.ts';
import { orNull } from '../certificate/fields.ts';
import type { Peer, Refused } from '../certificate/verify.ts';
import type { IdentityKey, Suite } from '../keys/suite.ts';
import { type Attested, type Attestor, no, type Prover } from './attest.ts';

const PURPOSE = 'renewal v1';

export function renewalProver(identity: IdentityKey, chain: readonly Uint8Array[]): Prover {
  return {
    method: 'renewal',
    prove: (binding) =>
      sequence(sequence(...chain.map((one) => der(TAG.octets, one))), der(TAG.octets, identity.sign(PURPOSE, binding))),
  };
}

/** `believe` says whom a chain proved while it was valid, with what grace there is for a return. */
export function renewalAttestor(
  suite: Suite,
  believe: (chain: readonly Uint8Array[], wallMs: number) => Peer | Refused,
): Attestor {
  return {
    method: 'renewal',
    check(evidence, binding, identity, wallMs): Attested {
      const parts = orNull(() => {
        const outer = new Reader(evidence);
        const inner = outer.enter(TAG.sequence);
        outer.end();
        const list = inner.enter(TAG.sequence);
        const chain: Uint8Array[] = [];
        while (!list.isAtEnd && chain.length < 4) chain.push(list.take(TAG.octets));
        list.end();
        const signature = inner.take(TAG.octets);
        inner.end();
        return { chain, signature };
      });
      if (parts === null) return no('malformed', 'the proof is no chain with a signature');
      const peer = believe(parts.chain, wallMs);
      if (!peer.ok) {
        const reason = peer.reason === 'revoked' || peer.reason === 'expired' ? peer.reason : 'unknown';
        return no(reason, peer.message);
      }
      if (peer.fingerprint !== identity) return no('bad-proof', 'the certificate is for another key');
      if (!suite.verify(peer.keys.identity, PURPOSE, binding, parts.signature))
        return no('bad-proof', 'its identity key did not sign this');
      return { ok: true, node: peer.node, how: 'its former certificate', credentials: [] };
    },
  };
}
