/**
 * Who is at the other end, proven before anything else is said. TLS 1.3 with both certificates has been through; now both
 * sides sign what came out of it with the hybrid keys (Ed25519 and ML-DSA-65) that are bound into those certificates:
 *
 *     initiator → responder    { suite, agreement? }
 *     initiator → responder    { suite, signature }        and at the same time
 *     responder → initiator    { suite, message?, signature }        CBOR
 *
 * Signed is a transcript (agent/trust/keys/transcript.ts): the suite, the TLS session's exporter (RFC 8446, 7.5; RFC 9266 says
 * why), both names, both leaf certificates, the initiator's first word, and in the responder's signature its `message`.
 * Each role signs for a purpose of its own. So a proof is good for one session only, cannot be sent back, and who sits in
 * the middle of two TLS sessions has two exporters and can use neither signature.
 *
 * The first word says nothing of who speaks, and leaves before the initiator has judged whom it has reached; its signature,
 * and all else of either side, only after.
 *
 * Where the TLS session's own key exchange is hybrid (X25519MLKEM768), that is all. Where it is not, because one of the
 * libraries cannot, `agreement` is a key for this once (X-Wing) and `message` a secret to it: from that and the transcript
 * come two keys, one a direction, under which all frames that follow are sealed once more.
 *
 * A router that has no identity yet shows no certificate and signs nothing; what it may ask is another matter.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { EMPTY } from '../trust/keys/primitives.ts';
import type { SecretBytes } from '../trust/keys/secret.ts';
import type { AgreementKey, IdentityKey, Suite } from '../trust/keys/suite.ts';
import type { Transcript } from '../trust/keys/transcript.ts';
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

/** The initiator's first word. `agreement`: a key for this once, where TLS is not hybrid. */
export function open(suite: Suite, agreement: AgreementKey | null): Uint8Array {
  return toCbor({ suite: suite.id, ...(agreement !== null && { agreement: agreement.publicKey }) });
}

/** The initiator's proof; without a key where it has no identity. */
export async function prove(binding: Binding, opening: Uint8Array, key: IdentityKey | null): Promise<Uint8Array> {
  const { suite } = binding;
  const signature = await key?.signAside(PURPOSES.initiator, begun(binding, opening).digest());
  return toCbor({ suite: suite.id, ...(signature !== undefined && { signature }) });
}

/**
 * The responder's proof, in answer to the initiator's first word; nothing is said to it before `check` has held.
 * `isHybrid`: whether the TLS session may have been hybrid; if not, the initiator has to bring a key. Throws
 * E_PEER_UNTRUSTED.
 */
export async function respond(
  binding: Binding,
  opening: Uint8Array,
  key: IdentityKey,
  isHybrid: boolean,
): Promise<{ readonly response: Uint8Array; readonly keys: SessionKeys | null }> {
  const { suite } = binding;
  const { agreement } = parse(opening, suite.id, ['agreement']);
  if (agreement === null && !isHybrid) throw untrusted('the key exchange would not be hybrid');
  let made: { readonly message: Uint8Array; readonly secret: SecretBytes } | null = null;
  try {
    made = agreement === null ? null : suite.offer(agreement);
  } catch {
    throw untrusted('its key for this session is malformed');
  }
  const said = begun(binding, opening).add('message', made?.message ?? EMPTY);
  const response = toCbor({
    suite: suite.id,
    ...(made !== null && { message: made.message }),
    signature: await key.signAside(PURPOSES.responder, said.digest()),
  });
  return { response, keys: made && derive(suite, made.secret, said) };
}

/**
 * Takes the initiator's proof. `theirs`: the identity key in its certificate, null where it showed none. Throws
 * E_PEER_UNTRUSTED.
 */
export function check(binding: Binding, opening: Uint8Array, proof: Uint8Array, theirs: Uint8Array | null): void {
  const { suite } = binding;
  const { signature } = parse(proof, suite.id, ['signature']);
  const holds =
    theirs === null
      ? signature === null
      : suite.verify(theirs, PURPOSES.initiator, begun(binding, opening).digest(), signature ?? EMPTY);
  if (!holds) throw untrusted('the hybrid signature of this session does not hold');
}

/** Takes the responder's proof. `theirs`: the identity key in its certificate. Throws E_PEER_UNTRUSTED. */
export function conclude(
  binding: Binding,
  opening: Uint8Array,
  response: Uint8Array,
  theirs: Uint8Array,
  agreement: AgreementKey | null,
): SessionKeys | null {
  const { suite } = binding;
  const { message, signature } = parse(response, suite.id, ['message', 'signature']);
  if ((message === null) !== (agreement === null)) throw untrusted('the key exchange would not be hybrid');
  const said = begun(binding, opening).add('message', message ?? EMPTY);
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

function begun({ suite, exporter, initiator, responder }: Binding, opening: Uint8Array): Transcript {
  return suite
    .transcript()
    .add('exporter', exporter)
    .add('initiator', Buffer.from(initiator?.id ?? ''))
    .add('initiator leaf', initiator === null ? EMPTY : sha256(initiator.leaf))
    .add('responder', Buffer.from(responder.id))
    .add('responder leaf', sha256(responder.leaf))
    .add('opening', opening);
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

function parse(bytes: Uint8Array, suite: number, fields: readonly Field[]): Record<Field, Uint8Array | null> {
  let said: unknown;
  try {
    said = fromCbor(bytes);
  } catch {
    throw untrusted('its proof is malformed');
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said) || said instanceof Uint8Array)
    throw untrusted('its proof is malformed');
  const { suite: theirs, ...rest } = said as Record<string, unknown>;
  if (theirs !== suite) throw untrusted(`its suite is ${Number(theirs)}, not ${suite}`);
  for (const [name, value] of Object.entries(rest))
    if (!fields.includes(name as Field) || !(value instanceof Uint8Array)) throw untrusted('its proof is malformed');
  const field = (name: Field): Uint8Array | null => (rest[name] as Uint8Array | undefined) ?? null;
  return { agreement: field('agreement'), message: field('message'), signature: field('signature') };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function untrusted(why: string): AgentError {
  return new AgentError('E_PEER_UNTRUSTED', `the other router did not prove who it is: ${why}`);
}
