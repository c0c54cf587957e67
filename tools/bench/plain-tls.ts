/** Mutual TLS 1.3 without any post-quantum part: X25519, self-signed P-256 certificates that are each their own root. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';

export const PLAIN = { minVersion: 'TLSv1.3', ecdhCurve: 'X25519' } as const;

/** One certificate for both ends: each verifies the other's against it. */
export function plainCredentials(): { cert: string; key: string; ca: string } {
  const [key, cert] = ['key', 'crt'].map((kind) => join(tmpdir(), `x0-bench-plain-${process.getuid?.()}.${kind}`));
  if (!existsSync(cert!))
    spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'],
      ...['-keyout', key!, '-out', cert!, '-subj', '/CN=bench', '-addext', 'subjectAltName=URI:spiffe://bench/plain'],
    ]);
  const text = readFileSync(cert!, 'utf8');
  return { key: readFileSync(key!, 'utf8'), cert: text, ca: text };
}

/**
 * Dials; resolves when this end has verified the other's certificate. The other end verifies ours after that, and knows
 * itself when: who closes the socket before has had half of a mutual handshake.
 */
export async function plainHandshake(
  port: number,
  credentials: ReturnType<typeof plainCredentials>,
): Promise<TLSSocket> {
  const checkServerIdentity = (): undefined => undefined;
  const socket = connect({ host: '127.0.0.1', port, ...credentials, ...PLAIN, checkServerIdentity });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}
