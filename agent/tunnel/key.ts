/**
 * The preshared key of one path of a tunnel. WireGuard mixes it into each handshake (PSK2 of the Noise framework), so
 * what X25519 hides there stays hidden from who can break X25519 later, as long as this key does.
 *
 *     secret      32 bytes: what the follower encapsulated to the leader's agreement key, made for this path only
 *                 (X-Wing: X25519 and ML-KEM-768); both forget key and secret at once
 *     transcript  of the suite (transcript.ts): its number, then in this order, each with its name and length,
 *                 'purpose'             'tunnel v1'
 *                 'leader', 'follower'  their SPIFFE ids, as the session proved them
 *                 'leader wireguard', 'follower wireguard'    32 bytes each, made for this path only
 *                 'agreement', 'encapsulation'                as they were sent, with the suite's number
 *     key         HKDF-SHA-256(secret, salt = SHA-256 of the transcript, info = 'x0tta6bl4 v1 tunnel preshared key'), 32 bytes
 *
 * So a key made with another router, for another WireGuard key, in another suite or in the other role is another key,
 * and the handshake, which proves that both have the same, fails.
 */
import type { SecretBytes } from '../trust/keys/secret.ts';
import type { Suite } from '../trust/keys/suite.ts';

export interface KeyFacts {
  /** SPIFFE ids. */
  readonly leader: string;
  readonly follower: string;
  /** base64 */
  readonly leaderWireguard: string;
  readonly followerWireguard: string;
  readonly agreement: Uint8Array;
  readonly encapsulation: Uint8Array;
}

/** Takes the secret in, and wipes it. */
export function presharedKey(suite: Suite, secret: SecretBytes, facts: KeyFacts): SecretBytes {
  const transcript = suite
    .transcript()
    .add('purpose', Buffer.from('tunnel v1'))
    .add('leader', Buffer.from(facts.leader))
    .add('follower', Buffer.from(facts.follower))
    .add('leader wireguard', Buffer.from(facts.leaderWireguard, 'base64'))
    .add('follower wireguard', Buffer.from(facts.followerWireguard, 'base64'))
    .add('agreement', facts.agreement)
    .add('encapsulation', facts.encapsulation);
  try {
    return suite.derive(secret, transcript, 'tunnel preshared key');
  } finally {
    secret.wipe();
  }
}
