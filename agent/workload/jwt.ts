/**
 * JWT-SVIDs (the SPIFFE standard of that name): ES256 by a steward's classical key, short-lived, for named audiences. They
 * are verified against the keys of the mesh's stewards, which are the trust domain's JWT bundle (JWKS).
 *
 * Nothing of a token is post-quantum: an ES256 signature is what programs verify. Minutes are what it is good for.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { integer as derInteger, Malformed, Reader, sequence, TAG } from '../trust/certificate/der.ts';
import { parseSpiffeId } from '../trust/certificate/spiffe.ts';
import { type P256, P256_SPKI_HEAD, type P256Key } from '../trust/certificate/tools.ts';
import type { Json } from './messages.ts';

/** Bytes of a token, and what claims may have of levels and members. */
export const MOST_TOKEN = 16 * 1024;
const LONGEST_AUDIENCE = 1024;
const MOST_AUDIENCES = 16;
/** What clocks may differ by, in seconds. */
const SKEW = 60;
const HALF = 32;

export interface JwtClaims {
  readonly id: string;
  readonly audience: readonly string[];
  readonly wallMs: number;
  readonly lifeMs: number;
}

type Claims = Readonly<Record<string, Json>>;

/** Names a classical key in a JWKS and in a token. */
export function keyId(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex').slice(0, 32);
}

/** Whether this can be asked for: some audiences, none empty or overlong. */
export function isAudience(audience: readonly string[]): boolean {
  return (
    audience.length >= 1 &&
    audience.length <= MOST_AUDIENCES &&
    audience.every((one) => one.length >= 1 && one.length <= LONGEST_AUDIENCE)
  );
}

export function writeJwt({ id, audience, wallMs, lifeMs }: JwtClaims, key: P256Key): string {
  const at = Math.floor(wallMs / 1000);
  const header = { alg: 'ES256', kid: keyId(key.spki), typ: 'JWT' };
  const claims = { sub: id, aud: audience, exp: at + Math.floor(lifeMs / 1000), iat: at };
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  return `${signed}.${rawSignature(key.sign(Buffer.from(signed))).toString('base64url')}`;
}

/**
 * What a token proves to somebody of this audience. Throws E_SVID, which says what does not hold and quotes nothing of it.
 */
export function verifyJwt(
  p256: Pick<P256, 'verify'>,
  token: string,
  audience: string,
  {
    trustDomain,
    keys,
    wallMs,
  }: { readonly trustDomain: string; readonly keys: readonly Uint8Array[]; readonly wallMs: number },
): { readonly id: string; readonly claims: Claims; readonly expiresMs: number } {
  if (token.length > MOST_TOKEN) throw refused('it is too long');
  const parts = token.split('.');
  const [head, body, signature] = parts;
  if (parts.length !== 3 || !parts.every((one) => /^[A-Za-z0-9_-]+$/.test(one))) throw refused('it is none');
  const { alg, kid, typ, crit } = object(head!);
  // The standard allows other algorithms; this mesh signs with one, and another is an attack.
  if (alg !== 'ES256') throw refused('its algorithm is not ES256');
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw refused('its type is another one');
  if (crit !== undefined) throw refused('it wants something that is not known here');
  const key = keys.find((one) => keyId(one) === kid);
  if (key === undefined) throw refused('its key is not in the trust bundle');
  const raw = Buffer.from(signature!, 'base64url');
  if (raw.length !== 2 * HALF || raw.toString('base64url') !== signature) throw refused('its signature is malformed');
  if (!p256.verify(key, Buffer.from(`${head}.${body}`), derSignature(raw)))
    throw refused('its signature does not hold');

  const claims = object(body!);
  const { sub, aud, exp, iat, nbf } = claims;
  const id = typeof sub === 'string' ? parseSpiffeId(sub) : null;
  if (id === null || id.path === '') throw refused('its subject is no SPIFFE ID of a workload');
  if (id.trustDomain !== trustDomain) throw refused('it is of another trust domain');
  const audiences = typeof aud === 'string' ? [aud] : Array.isArray(aud) ? aud : [];
  if (audience === '' || !audiences.includes(audience)) throw refused('it is for another audience');
  const now = wallMs / 1000;
  if (typeof exp !== 'number' || exp + SKEW <= now) throw refused('it has expired');
  for (const begin of [iat, nbf])
    if (begin !== undefined && (typeof begin !== 'number' || begin - SKEW > now)) throw refused('it is of the future');
  return { id: sub as string, claims, expiresMs: exp * 1000 };
}

/** The keys as a JSON Web Key Set. */
export function writeJwks(keys: readonly Uint8Array[]): string {
  return JSON.stringify({
    keys: keys.map((spki) => {
      const point = Buffer.from(spki.subarray(P256_SPKI_HEAD.length + 1));
      return {
        kty: 'EC',
        use: 'jwt-svid',
        kid: keyId(spki),
        crv: 'P-256',
        x: point.subarray(0, HALF).toString('base64url'),
        y: point.subarray(HALF).toString('base64url'),
      };
    }),
  });
}

function object(part: string): Claims {
  const bytes = Buffer.from(part, 'base64url');
  try {
    const found: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof found === 'object' && found !== null && !Array.isArray(found)) return found as Claims;
  } catch {
    // It is none.
  }
  throw refused('it is no JSON');
}

/** ECDSA's two numbers, side by side (RFC 7518, 3.4), out of DER. */
function rawSignature(der: Uint8Array): Buffer {
  const both = new Reader(der).enter(TAG.sequence);
  return Buffer.concat(
    [both.take(TAG.integer), both.take(TAG.integer)].map((number) => {
      const digits = number[0] === 0 ? number.subarray(1) : number;
      if (digits.length > HALF) throw new Malformed('a number of a signature is too long');
      return Buffer.concat([Buffer.alloc(HALF - digits.length), digits]);
    }),
  );
}

function derSignature(raw: Buffer): Buffer {
  return sequence(derInteger(raw.subarray(0, HALF)), derInteger(raw.subarray(HALF)));
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function refused(why: string): AgentError {
  return new AgentError('E_SVID', `the JWT-SVID is not believed: ${why}`);
}
