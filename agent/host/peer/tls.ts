/**
 * The TLS below a session: 1.3 and nothing older, a certificate on both sides, no resumption (it would leave out the
 * certificates), and the hybrid group X25519MLKEM768 where the library has it. Whom a certificate proves is judged by
 * agent/trust over the chain that was shown; TLS itself vouches for the possession of the leaf's key.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import type { Verify } from '../../peer/credentials.ts';
import { type Credential, pem } from '../../trust/certificate/credential.ts';
import type { Peer } from '../../trust/certificate/verify.ts';

const HYBRID = 'X25519MLKEM768';
const CLASSICAL = 'X25519';
/** Leaf, steward, root, and one more to tell that there are too many. */
const LONGEST_CHAIN = 4;

let offered: boolean | null = null;

/** Whether this Node's OpenSSL has the hybrid group; tried, since a distribution's Node brings the system's. */
export function hasHybridGroup(): boolean {
  if (offered === null) {
    try {
      createSecureContext({ ecdhCurve: HYBRID });
      offered = true;
    } catch {
      offered = false;
      // The refusal stays in OpenSSL's queue of errors, and the next key that is made would be refused for it.
      createSecureContext({ ecdhCurve: CLASSICAL });
    }
  }
  return offered;
}

/** null: a client that has no certificate. `hybrid`: whether to offer the hybrid group, first. */
export function contextOf(credential: Credential | null, hybrid: boolean): SecureContextOptions {
  return {
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ecdhCurve: hybrid ? `${HYBRID}:${CLASSICAL}` : CLASSICAL,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(credential !== null && {
      cert: credential.chain.map((der) => pem('CERTIFICATE', der)).join(''),
      key: pem('PRIVATE KEY', credential.privateKey.reveal()),
    }),
  };
}

/**
 * On the client's side only: whether the key exchange of this connection was hybrid. `offered`: whether it was offered;
 * beside it there is X25519 alone, which every Node knows by name. Node 22 has no name for the hybrid group.
 */
export function isHybrid(socket: TLSSocket, offered: boolean): boolean {
  const group = socket.getEphemeralKeyInfo();
  if (!offered || group === null) return false;
  return 'name' in group ? group.name === HYBRID : Object.keys(group).length === 0;
}

/** The certificates that the other side has shown, DER, the leaf first; none where it showed none. */
export function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let one = socket.getPeerX509Certificate();
  for (; one !== undefined && chain.length < LONGEST_CHAIN; one = one.issuerCertificate) chain.push(one.raw);
  return chain;
}

/** Whom the other side's chain proves. null: it showed none. */
export function peerOf(chain: readonly Uint8Array[], verify: Verify): Peer | string | null {
  if (chain.length === 0) return null;
  const verdict = verify(chain);
  return verdict.ok ? verdict : `${verdict.message} (${verdict.reason})`;
}
