/**
 * Invitations: a secret of 128 bits for one router and a limited time. As text, for a person, a QR code or a script:
 *
 *     base32 ( version 1 | id 8 | secret 16 | anchor 16 | check 4 )          72 letters, any case, blanks and dashes between them
 *
 * The anchor is the beginning of the fingerprint of the owner's key, so the new router knows the mesh as the mesh knows
 * it. The check is the beginning of the SHA-256 of all before it and finds what was typed wrongly.
 *
 * The stewards tell each other (over their sessions) which invitations there are and who has used one: each is good at
 * any steward. Two stewards that are apart may both let somebody in with the same one; when they meet again, both of
 * those routers are revoked, since one of them has stolen it.
 */
import { createHash, createHmac } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import type { Random } from '../keys/primitives.ts';
import { SecretBytes } from '../keys/secret.ts';
import { type Attested, type Attestor, equal, no, type Prover } from './attest.ts';
import { surplus } from './share.ts';

const VERSION = 1;
const ID = 8;
const SECRET = 16;
const ANCHOR = 16;
const CHECK = 4;
const LENGTH = 1 + ID + SECRET + ANCHOR + CHECK;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
/** Of a steward's own; the oldest goes first. */
const MOST_OWN = 1024;
/** Of those that one other steward has told of, and all others: a captured one fills its own share. */
const TOLD = { each: 512, all: 1024 } as const;
export const MOST_INVITATIONS = MOST_OWN + TOLD.all;
const LABEL = 'x0tta6bl4 invitation v1';

export interface Invitation {
  readonly id: string;
  readonly secret: SecretBytes;
  /** The first digits of the fingerprint of the owner's key. */
  readonly anchor: string;
}

/** An invitation as the stewards know it. */
export interface Invited {
  readonly id: string;
  readonly secret: SecretBytes;
  /** The name that the router will have; null: of its key. */
  readonly node: string | null;
  readonly untilMs: number;
  /** The steward that made it and said so, by fingerprint; absent where it was made here. */
  readonly by?: string;
}

/** Who came with an invitation. */
export interface Claimed {
  readonly id: string;
  readonly key: string;
  readonly node: string;
  /** The steward that let it in. */
  readonly by: string;
}

export function invitationText({ id, secret, anchor }: Invitation): string {
  const bytes = Buffer.alloc(LENGTH);
  bytes[0] = VERSION;
  bytes.write(id, 1, 'hex');
  bytes.set(secret.reveal(), 1 + ID);
  bytes.write(anchor.slice(0, 2 * ANCHOR), 1 + ID + SECRET, 'hex');
  bytes.set(check(bytes), LENGTH - CHECK);
  const text = base32(bytes);
  bytes.fill(0);
  return text;
}

/** Throws E_USAGE, which does not quote the text. */
export function readInvitation(text: string): Invitation {
  const bytes = unbase32(text.toLowerCase().replaceAll(/[\s-]/g, ''));
  if (bytes === null || bytes.length !== LENGTH)
    throw new AgentError('E_USAGE', 'that is no invitation: its length is wrong');
  if (!bytes.subarray(LENGTH - CHECK).equals(check(bytes)))
    throw new AgentError('E_USAGE', 'the invitation is mistyped: its check does not fit');
  if (bytes[0] !== VERSION) throw new AgentError('E_USAGE', `the invitation is of version ${bytes[0]}, not known here`);
  const at = 1 + ID + SECRET;
  return {
    id: bytes.toString('hex', 1, 1 + ID),
    secret: new SecretBytes(Uint8Array.from(bytes.subarray(1 + ID, at))),
    anchor: bytes.toString('hex', at, at + ANCHOR),
  };
}

export function invitationProver({ id, secret }: Pick<Invitation, 'id' | 'secret'>): Prover {
  return {
    method: 'invitation',
    prove: (binding) => Buffer.concat([Buffer.from(id, 'hex'), proof(secret, binding)]),
  };
}

/** The invitations that a steward knows, and who has used one. */
export class Invitations implements Attestor {
  readonly method = 'invitation';
  readonly #invited = new Map<string, Invited>();
  readonly #claimed = new Map<string, Claimed>();
  readonly #own: string;

  /** `own`: the key of the steward whose they are. */
  constructor(own = '') {
    this.#own = own;
  }

  issue(random: Random, node: string | null, untilMs: number): Invited {
    const id = Buffer.from(random(ID)).toString('hex');
    const one = { id, secret: new SecretBytes(random(SECRET)), node, untilMs };
    this.learn(one);
    return one;
  }

  /** Answers whether it is new, and there was room for it. */
  learn(one: Invited): boolean {
    if (this.#invited.has(one.id)) return false;
    this.#invited.set(one.id, one);
    const own = this.all().filter(({ by }) => by === undefined);
    if (one.by === undefined && own.length > MOST_OWN) this.#forget(own[0]!.id);
    const told = this.all().filter(({ by }) => by !== undefined);
    const extra = surplus(told, { ...TOLD, by: ({ by }) => by!, name: ({ id }) => id });
    if (extra !== null) this.#forget(extra.id);
    return this.#invited.has(one.id);
  }

  /**
   * `known`: the claim of another key that there is already, which then stays. `forgotten`: the oldest one, where there
   * are too many.
   */
  claim(one: Claimed): { readonly known: Claimed | null; readonly forgotten: string | null } {
    const known = this.#claimed.get(one.id);
    if (known !== undefined) return { known: known.key === one.key ? null : known, forgotten: null };
    this.#claimed.set(one.id, one);
    const own = this.claims().filter(({ by }) => by === this.#own);
    const told = this.claims().filter(({ by }) => by !== this.#own);
    const extra =
      own.length > MOST_OWN ? own[0]! : surplus(told, { ...TOLD, by: ({ by }) => by, name: ({ id }) => id });
    if (extra !== null) this.#claimed.delete(extra.id);
    return { known: null, forgotten: extra?.id ?? null };
  }

  open(): Invited[] {
    return [...this.#invited.values()].filter(({ id }) => !this.#claimed.has(id));
  }

  all(): Invited[] {
    return [...this.#invited.values()];
  }

  claims(): Claimed[] {
    return [...this.#claimed.values()];
  }

  /** Takes one back. */
  withdraw(id: string): boolean {
    if (!this.#invited.has(id)) return false;
    this.#forget(id);
    return true;
  }

  /** Answers whether any has ended. */
  prune(wallMs: number): boolean {
    const ended = this.all().filter(({ untilMs }) => untilMs < wallMs);
    for (const { id } of ended) this.#forget(id);
    return ended.length > 0;
  }

  check(evidence: Uint8Array, binding: Uint8Array, identity: string, wallMs: number): Attested {
    if (evidence.length !== ID + 32) return no('malformed', 'the proof of an invitation has another length');
    const id = Buffer.from(evidence.subarray(0, ID)).toString('hex');
    const one = this.#invited.get(id);
    if (one === undefined) return no('unknown', 'this invitation is not known here, or has ended');
    if (!equal(proof(one.secret, binding), evidence.subarray(ID))) return no('bad-proof', 'the invitation is another');
    const claimed = this.#claimed.get(id);
    // Asked again by the same key, an answer has been lost on its way.
    if (claimed !== undefined && claimed.key !== identity)
      return no('used', `${claimed.node} has used this invitation already`);
    if (one.untilMs < wallMs) return no('expired', `it ended ${new Date(one.untilMs).toISOString()}`);
    return { ok: true, node: one.node, how: `invitation ${id}`, credentials: [`invitation:${id}`] };
  }

  #forget(id: string): void {
    this.#invited.get(id)?.secret.wipe();
    this.#invited.delete(id);
  }
}

/** The invitation that a proof names. */
export function invitationIn(evidence: Uint8Array): string {
  return Buffer.from(evidence.subarray(0, ID)).toString('hex');
}

function proof(secret: SecretBytes, binding: Uint8Array): Uint8Array {
  return createHmac('sha256', secret.reveal()).update(LABEL).update(binding).digest();
}

function check(bytes: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(LABEL)
    .update(bytes.subarray(0, LENGTH - CHECK))
    .digest()
    .subarray(0, CHECK);
}

/** RFC 4648, lower case, no padding. */
function base32(bytes: Uint8Array): string {
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  const letters = Math.ceil((bytes.length * 8) / 5);
  bits <<= BigInt(letters * 5 - bytes.length * 8);
  let text = '';
  for (let i = letters - 1; i >= 0; i--) text += LETTERS[Number((bits >> BigInt(5 * i)) & 31n)];
  return text;
}

function unbase32(text: string): Buffer | null {
  if (text.length > 200) return null;
  let bits = 0n;
  for (const letter of text) {
    const value = LETTERS.indexOf(letter);
    if (value < 0) return null;
    bits = (bits << 5n) | BigInt(value);
  }
  const length = Math.floor((text.length * 5) / 8);
  bits >>= BigInt(text.length * 5 - length * 8);
  return Buffer.from(bits.toString(16).padStart(2 * length, '0'), 'hex');
}
