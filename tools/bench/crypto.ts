/**
 * Bench `crypto`: operations a second of every primitive and of what is built of them, `native.*` as a router has it with
 * node:crypto for all that this Node has, `noble.*` with @noble alone. Keys are made once, as an agent does it; messages
 * have 64 bytes, sealed ones 1400.
 */
import { provider } from '../../agent/host/openssl.ts';
import { composite } from '../../agent/trust/keys/composite.ts';
import { EMPTY, type Kem, type Primitives, type Signatures } from '../../agent/trust/keys/primitives.ts';
import { xwing } from '../../agent/trust/keys/xwing.ts';
import type { BenchResult, Progress } from './stats.ts';

const WARM_MS = 100;
const MEASURE_MS = 300;

type Operations = Readonly<Record<string, () => unknown>>;

function kem(name: string, it: Kem): Operations {
  const secret = it.generate();
  const key = it.key(secret);
  const { ciphertext } = it.encapsulate(key.publicKey);
  return {
    [`${name}_keygen`]: () => it.key(secret),
    [`${name}_encaps`]: () => it.encapsulate(key.publicKey),
    [`${name}_decaps`]: () => key.decapsulate(ciphertext),
  };
}

function signatures(name: string, it: Signatures, seed: Uint8Array): Operations {
  const key = it.key(seed);
  const message = new Uint8Array(64);
  const signature = key.sign(message);
  return {
    [`${name}_keygen`]: () => it.key(seed),
    [`${name}_sign`]: () => key.sign(message),
    [`${name}_verify`]: () => it.verify(key.publicKey, message, signature),
  };
}

function operations(p: Primitives): Operations {
  const [key, nonce, frame] = [p.random(32), p.random(12), p.random(1400)];
  const sealed = p.chacha20Poly1305.seal(key, nonce, EMPTY, frame);
  const x25519 = p.x25519.key(key);
  return {
    x25519: () => x25519.shared(x25519.publicKey),
    ...kem('mlkem768', p.mlKem768),
    ...kem('xwing', xwing(p)),
    ...signatures('ed25519', p.ed25519, p.random(32)),
    ...signatures('mldsa65', p.mlDsa65, p.random(32)),
    ...signatures('composite', composite(p), p.random(64)),
    seal_1400: () => p.chacha20Poly1305.seal(key, nonce, EMPTY, frame),
    open_1400: () => p.chacha20Poly1305.open(key, nonce, EMPTY, sealed),
    hkdf: () => p.hkdfSha256(key, nonce, EMPTY, 32),
  };
}

function perSecond(operation: () => unknown): number {
  const during = (ms: number): number => {
    const start = performance.now();
    let count = 0;
    for (; performance.now() - start < ms; count++) operation();
    return (count * 1000) / (performance.now() - start);
  };
  during(WARM_MS);
  return during(MEASURE_MS);
}

export async function run(progress: Progress): Promise<BenchResult> {
  const figures: Record<string, number> = {};
  for (const [label, { primitives, inUse }] of [
    ['native', await provider()],
    ['noble', await provider({})],
  ] as const) {
    progress(`${label}: ${JSON.stringify(inUse)}`);
    for (const [name, operation] of Object.entries(operations(primitives)))
      figures[`${label}.${name}`] = perSecond(operation);
  }
  return { figures, baseline: {}, targets: [] };
}
