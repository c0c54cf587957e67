/**
 * Who is at the other end, proven before anything else is said. TLS 1.3 with both certificates has been through; now both
 * sides sign what came out of it with the hybrid keys (Ed25519 and ML-DSA-65) that are bound into those certificates:
 *
 *     initiator → responder    { suite, agreement?, signature }
 *     responder → initiator    { suite, message?, signature }        CBOR
 *
 * Signed is a transcript (agent/trust/transcript.ts): the suite, the TLS session's exporter (RFC 8446, 7.5; RFC 9266 says
 * why), both names, both leaf certificates, what the initiator said, and in the responder's signature what it said itself.
 * Each role signs for a purpose of its own. So a proof is good for one session only, cannot be sent back, and who sits in
 * the middle of two TLS sessions has two exporters and can use neither signature.
 *
 * Where the TLS session's own key exchange is hybrid (X25519MLKEM768), that is all. Where it is not, because one of the
 * libraries cannot, `agreement` is a key for this once (X-Wing) and `message` a secret to it: from that and the transcript
 * come two keys, one a direction, under which all frames that follow are sealed once more.
 *
 * A router that has no identity yet shows no certificate and signs nothing; what it may ask is another matter.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { EMPTY } from '../trust/primitives.ts';
import type { SecretBytes } from '../trust/secret.ts';
import type { AgreementKey, IdentityKey, Suite } from '../trust/suite.ts';
import type { Transcript } from '../trust/transcript.ts';
import { fromCbor, toCbor } from './cbor.ts';

export const EXPORTER = { label: 'EXPORTER-x0tta6bl4-session-v1', length: 32 } as const;

const PURPOSES = { initiator: 'session initiator v1', responder: 'session responder v1' } as const;

export type Role = keyof typeof PURPOSES;

/** What both sides know of their TLS session. */
export interface Binding {
  readonly suite: Suite;
  readonly exporter: Uint8Array;
  /** null for a router without an identity. */
  readonly initiator: Party | null;
  readonly responder: Party;
}

export interface Party {
  readonly id: string;
  /** Its leaf certificate, DER. */
  readonly leaf: Uint8Array;
}

/** One a direction; whoever has used them to make sealers keeps them. */
export interface SessionKeys {
  readonly initiator: SecretBytes;
  readonly responder: SecretBytes;
}

/** The initiator's proof. `agreement`: a key for this once, where TLS is not hybrid. */
export function propose(binding: Binding, key: IdentityKey | null, agreement: AgreementKey | null): Uint8Array {
  const offered = agreement?.publicKey ?? EMPTY;
  const said = begun(binding, offered);
  return toCbor({
    suite: binding.suite.id,
    ...(agreement !== null && { agreement: offered }),
    ...(key !== null && { signature: key.sign(PURPOSES.initiator, said.digest()) }),
  });
}

/**
 * Takes the initiator's proof and makes the responder's. `theirs`: the identity key in the initiator's certificate, null
 * where it showed none. `isHybrid`: whether the TLS session may have been hybrid; if not, the initiator has to bring a key.
 * Throws E_PEER_UNTRUSTED.
 */
export function respond(
  binding: Binding,
  proposal: Uint8Array,
  theirs: Uint8Array | null,
  key: IdentityKey,
  isHybrid: boolean,
): { readonly response: Uint8Array; readonly keys: SessionKeys | null } {
  const { suite } = binding;
  const { agreement, signature } = parse(proposal, suite.id, ['suite', 'agreement', 'signature']);
  const said = begun(binding, agreement ?? EMPTY);
  if (
    theirs === null ? signature !== null : !suite.verify(theirs, PURPOSES.initiator, said.digest(), signature ?? EMPTY)
  )
    throw untrusted('the hybrid signature of this session does not hold');
  if (agreement === null && !isHybrid) throw untrusted('the key exchange would not be hybrid');
  let made: { readonly message: Uint8Array; readonly secret: SecretBytes } | null = null;
  try {
    made = agreement === null ? null : suite.offer(agreement);
  } catch {
    throw untrusted('its key for this session is malformed');
  }
  said.add('proposal', proposal).add('message', made?.message ?? EMPTY);
  const response = toCbor({
    suite: suite.id,
    ...(made !== null && { message: made.message }),
    signature: key.sign(PURPOSES.responder, said.digest()),
  });
  return { response, keys: made && derive(suite, made.secret, said) };
}

/** Takes the responder's proof. `theirs`: the identity key in its certificate. Throws E_PEER_UNTRUSTED. */
export function conclude(
  binding: Binding,
  proposal: Uint8Array,
  response: Uint8Array,
  theirs: Uint8Array,
  agreement: AgreementKey | null,
): SessionKeys | null {
  const { suite } = binding;
  const { message, signature } = parse(response, suite.id, ['suite', 'message', 'signature']);
  if ((message === null) !== (agreement === null)) throw untrusted('the key exchange would not be hybrid');
  const said = begun(binding, agreement?.publicKey ?? EMPTY);
  said.add('proposal', proposal).add('message', message ?? EMPTY);
  if (!suite.verify(theirs, PURPOSES.responder, said.digest(), signature ?? EMPTY))
    throw untrusted('the hybrid signature of this session does not hold');
  if (agreement === null || message === null) return null;
  try {
    return derive(suite, agreement.accept(message), said);
  } catch {
    throw untrusted('its secret for this session is malformed');
  }
}

/**
 * In a session that lasts longer than a certificate: whoever has a new one shows it, signed for this session with the keys
 * that are bound into it. `number` counts up, from 1.
 */
export function renewal(binding: Binding, role: Role, number: number, chain: readonly Uint8Array[]): Uint8Array {
  const said = begun(binding, EMPTY).add('renewal', Uint8Array.of(number >>> 24, number >> 16, number >> 8, number));
  for (const one of chain) said.add(role, one);
  return said.digest();
}

export const RENEWAL_PURPOSE = 'session renewal v1';

function begun({ suite, exporter, initiator, responder }: Binding, agreement: Uint8Array): Transcript {
  return suite
    .transcript()
    .add('exporter', exporter)
    .add('initiator', Buffer.from(initiator?.id ?? ''))
    .add('initiator leaf', initiator === null ? EMPTY : sha256(initiator.leaf))
    .add('responder', Buffer.from(responder.id))
    .add('responder leaf', sha256(responder.leaf))
    .add('agreement', agreement);
}

function derive(suite: Suite, secret: SecretBytes, said: Transcript): SessionKeys {
  try {
    return {
      initiator: suite.derive(secret, said, 'session initiator'),
      responder: suite.derive(secret, said, 'session responder'),
    };
  } finally {
    secret.wipe();
  }
}

type Field = 'agreement' | 'message' | 'signature';

function parse(
  bytes: Uint8Array,
  suite: number,
  fields: readonly ('suite' | Field)[],
): Record<Field, Uint8Array | null> {
  let said: unknown;
  try {
    said = fromCbor(bytes);
  } catch {
    throw untrusted('its proof is malformed');
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said) || said instanceof Uint8Array)
    throw untrusted('its proof is malformed');
  const map = said as Record<string, unknown>;
  if (map.suite !== suite) throw untrusted(`its suite is ${Number(map.suite)}, not ${suite}`);
  for (const [name, value] of Object.entries(map))
    if (!fields.includes(name as Field) || (name !== 'suite' && !(value instanceof Uint8Array)))
      throw untrusted('its proof is malformed');
  const field = (name: Field): Uint8Array | null => (map[name] as Uint8Array | undefined) ?? null;
  return { agreement: field('agreement'), message: field('message'), signature: field('signature') };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function untrusted(why: string): AgentError {
  return new AgentError('E_PEER_UNTRUSTED', `the other router did not prove who it is: ${why}`);
}
