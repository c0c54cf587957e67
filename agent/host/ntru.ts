/** Brings NTRU-HRSS-701 from an optional package, which only this loads, and only when it is called. */
import { AgentError } from '../core/errors.ts';
import { type Ntru, ntruSuite } from '../trust/keys/ntru.ts';
import type { Primitives } from '../trust/keys/primitives.ts';
import type { Suite } from '../trust/keys/suite.ts';

/**
 * The research suite. @openforge-sh/liboqs is WebAssembly, 55 MB on disk; what its memory held of a secret is not wiped.
 * Throws E_SUITE where it is not installed.
 */
export async function loadNtruSuite(primitives: Primitives, load: () => Promise<Ntru> = liboqs): Promise<Suite> {
  let ntru: Ntru;
  try {
    ntru = await load();
  } catch (cause) {
    const message = 'NTRU-HRSS-701 needs the optional npm package @openforge-sh/liboqs, which cannot be loaded';
    throw new AgentError('E_SUITE', message, {}, { cause });
  }
  // The package refuses Buffers.
  return ntruSuite(primitives, {
    generateKeyPair: () => ntru.generateKeyPair(),
    encapsulate: (publicKey) => ntru.encapsulate(Uint8Array.from(publicKey)),
    decapsulate: (ciphertext, secretKey) => ntru.decapsulate(Uint8Array.from(ciphertext), secretKey),
  });
}

async function liboqs(): Promise<Ntru> {
  const { createNTRUHrss701 } = await import('@openforge-sh/liboqs/kem');
  return createNTRUHrss701();
}
