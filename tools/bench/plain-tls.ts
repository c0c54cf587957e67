/** Mutual TLS 1.3 without any post-quantum part: X25519, self-signed P-256 certificates that are each their own root. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';

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

/** Milliseconds from connecting to a first byte that the other end has accepted our certificate for. */
export async function plainHandshake(port: number, credentials: ReturnType<typeof plainCredentials>): Promise<number> {
  const began = performance.now();
  const checkServerIdentity = (): undefined => undefined;
  const socket = connect({ host: '127.0.0.1', port, ...credentials, ...PLAIN, checkServerIdentity });
  await once(socket, 'secureConnect');
  const took = performance.now() - began;
  socket.destroy();
  return took;
}
