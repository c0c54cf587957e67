/**
 * What the whole mesh has to agree on: the trust bundle, who the stewards are, who is revoked. A set of signed items that
 * only grows and shrinks by rules that every router applies alike, so that whoever has seen the same items believes the
 * same, in whatever order they came.
 *
 * A revocation counts if a root of the bundle signed it, or a steward that no root has revoked, of a router that is no
 * steward. So a captured steward can shut routers out only until the owner revokes it, and never another steward. A bar of a
 * credential counts by the same rule, until a root has readmitted the credential in spite of the very key that it was barred for:
 * no clocks are compared, and who comes by it and is revoked after that has it barred anew.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { type Certificate, readCertificate } from '../certificate/certificate.ts';
import type { Tools } from '../certificate/tools.ts';
import { type Peer, type Revocations, type TrustBundle, trustBundle, type Verifier } from '../certificate/verify.ts';
import { fingerprint } from '../keys/router.ts';
import type { ItemKind } from './item.ts';
import {
  type BundleBody,
  type CredentialBody,
  holds,
  MOST_STATEMENT,
  type RevocationBody,
  readStatement,
  type Statement,
} from './statement.ts';

export interface Item {
  readonly kind: ItemKind;
  readonly bytes: Uint8Array;
  /** Names it among routers: 32 hexadecimal digits of its SHA-256. */
  readonly hash: string;
}

export interface Steward {
  readonly node: string;
  readonly fingerprint: string;
  readonly identity: Uint8Array;
  readonly notAfter: number;
}

export interface Revoked {
  readonly node: string;
  readonly key: string;
  readonly at: number;
  readonly by: string;
  /** By a root, not by a steward. */
  readonly isByOwner: boolean;
}

/** A credential that admits nobody, and the key for which it does not. */
export interface Barred {
  readonly credential: string;
  readonly key: string;
  readonly node: string;
  readonly at: number;
}

/**
 * What became of an item that was told. `isLie`: whoever told it could know that it does not hold, or it cost a signature to see. A
 * router that has seen less, more or others of the same mesh may well tell in good faith what is no use here.
 */
export type Taken = 'new' | 'known' | { readonly refused: string; readonly isLie: boolean };

const lie = (refused: string): Taken => ({ refused, isLie: true });
const noUse = (refused: string): Taken => ({ refused, isLie: false });

/** Bundles that are kept, so that who was away through several changes of the owner's key finds from one to the next. */
const MOST_BUNDLES = 8;
const MOST_STEWARDS = 32;
const MOST_OF_OWNER = 192;
const MOST_OF_STEWARD = 32;
/** Bars are for good, so their share is larger; readmissions are among the owner's. */
const MOST_BARS_OF_STEWARD = 64;
/** No revocation need be kept longer: what it revokes has ended. Owners grant a steward at most this. */
export const LONGEST_MS = 400 * 24 * 3_600_000;

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}

export class Ledger implements Revocations {
  readonly #tools: Tools;
  readonly #verifier: Verifier;
  #bundle: TrustBundle | null = null;
  /** The newest last. */
  readonly #bundles: Item[] = [];
  /** By fingerprint: of the newest root, the certificate that ends last. */
  readonly #stewards = new Map<string, Item & { readonly steward: Steward }>();
  readonly #revocations = new Map<string, Item & { readonly statement: Statement; readonly body: RevocationBody }>();
  readonly #credentials = new Map<string, Item & { readonly statement: Statement; readonly body: CredentialBody }>();
  /** Those that count, by the fingerprint of the key. */
  #revoked = new Map<string, Revoked>();

  constructor(tools: Tools, verifier: Verifier) {
    this.#tools = tools;
    this.#verifier = verifier;
  }

  get bundle(): TrustBundle | null {
    return this.#bundle;
  }

  /** The fingerprint of the key that signed the bundle: what an invitation names the mesh by. */
  get anchor(): string | null {
    const newest = this.#bundles.at(-1);
    return newest === undefined ? null : readStatement(newest.bytes)!.signer;
  }

  has(key: string): boolean {
    return this.#revoked.has(key);
  }

  revoked(): Revoked[] {
    return [...this.#revoked.values()];
  }

  /** The bars that count. */
  barred(): Barred[] {
    const found = new Map<string, Barred>();
    for (const { statement, body } of this.#credentials.values()) {
      const { kind, credential, key, node, at } = body;
      if (kind !== 'bar' || !this.#isWord(statement) || this.isReadmitted(credential, key)) continue;
      found.set(`${credential} ${key}`, { credential, key, node, at });
    }
    return [...found.values()];
  }

  /** Whether the owner has let it admit again in spite of this key. */
  isReadmitted(credential: string, key: string): boolean {
    return [...this.#credentials.values()].some(
      ({ statement, body }) =>
        body.kind === 'readmission' &&
        body.credential === credential &&
        body.key === key &&
        isSigner(statement, this.#bundle!),
    );
  }

  /** Those that are believed: not revoked. Whether one has ended is for the caller, who knows the time. */
  stewards(): Steward[] {
    return [...this.#stewards.values()].map(({ steward }) => steward).filter((one) => !this.has(one.fingerprint));
  }

  /** `leastMs`: nor one whose certificate had ended by then. */
  isSteward(key: string, leastMs = Number.NEGATIVE_INFINITY): boolean {
    const one = this.#stewards.get(key);
    return one !== undefined && one.steward.notAfter >= leastMs && !this.has(key);
  }

  /** The certificate of a steward, DER. */
  certificateOf(key: string): Uint8Array | null {
    return this.#stewards.get(key)?.bytes ?? null;
  }

  /** All of it, in the order in which another router can take it. */
  items(): Item[] {
    const all = [
      ...this.#bundles,
      ...this.#stewards.values(),
      ...this.#revocations.values(),
      ...this.#credentials.values(),
    ];
    return all.map(({ kind, bytes, hash }) => ({ kind, bytes, hash }));
  }

  knows(hash: string): boolean {
    return this.items().some((one) => one.hash === hash);
  }

  /**
   * Takes the first bundle: it has to be signed by the root that `anchor`, the beginning of a fingerprint, names. Throws
   * E_SVID.
   */
  found(bytes: Uint8Array, anchor: string): void {
    const statement = readStatement(bytes);
    if (statement?.body.kind !== 'bundle') throw new AgentError('E_SVID', 'the trust bundle is none');
    if (!statement.signer.startsWith(anchor)) throw new AgentError('E_SVID', "the trust bundle is another owner's");
    const bundle = this.#read(statement.body);
    if (bundle === null || !this.#isSignedBy(statement, bundle))
      throw new AgentError('E_SVID', "the trust bundle does not bear its owner's signature");
    if (this.#bundle?.trustDomain !== bundle.trustDomain) {
      this.#stewards.clear();
      this.#revocations.clear();
      this.#credentials.clear();
    }
    this.#bundles.splice(0);
    this.#bundles.push(item('bundle', bytes));
    this.#bundle = bundle;
    this.#count();
  }

  /**
   * Takes one item in. Answers whether it is new and holds; what does not hold says why. `leastMs`: the earliest that it can
   * be. Never throws.
   */
  take(kind: ItemKind, bytes: Uint8Array, leastMs: number): Taken {
    if (this.#bundle === null) return noUse('there is no trust bundle yet');
    if (bytes.length > MOST_STATEMENT) return lie('it is too large');
    const one = item(kind, bytes);
    if (this.knows(one.hash)) return 'known';
    if (kind === 'steward') return this.#takeSteward(one, leastMs);
    const statement = readStatement(bytes);
    if (statement === null || (statement.body.kind === 'bundle') !== (kind === 'bundle')) return lie('it is malformed');
    const { body } = statement;
    if (body.domain !== this.#bundle.trustDomain) return lie('it is of another trust domain');
    if (body.kind === 'bundle') return this.#takeBundle(one, statement, body);
    if (body.kind === 'revocation') return this.#takeRevocation(one, statement, body, leastMs);
    return this.#takeOfCredential(one, statement, body);
  }

  /** Forgets revocations of what has ended, and stewards that have. */
  prune(leastMs: number): void {
    for (const [id, { body }] of this.#revocations) if (body.until < leastMs) this.#revocations.delete(id);
    for (const [key, { steward }] of this.#stewards)
      if (steward.notAfter + LONGEST_MS < leastMs) this.#stewards.delete(key);
    this.#count();
  }

  #takeBundle(one: Item, statement: Statement, body: BundleBody): Taken {
    const current = this.#bundle!;
    if (body.sequence <= current.sequence) return 'known';
    // By a root that is believed now; a bundle that follows others waits until those have come.
    if (!isSigner(statement, current)) return noUse('no root that is believed here signed it');
    if (!this.#isSignedBy(statement, current)) return lie('its signature does not hold');
    const bundle = this.#read(body);
    if (bundle === null) return lie('a root in it is none');
    this.#bundle = bundle;
    this.#bundles.push(one);
    if (this.#bundles.length > MOST_BUNDLES) this.#bundles.shift();
    // What the former roots alone vouched for is no longer there.
    for (const [key, { bytes }] of this.#stewards) {
      const issuer = readCertificate(bytes)!.issuer;
      if (!bundle.roots.some(({ subject }) => Buffer.compare(subject, issuer) === 0)) this.#stewards.delete(key);
    }
    this.#count();
    return 'new';
  }

  #takeSteward(one: Item, leastMs: number): Taken {
    const certificate = readCertificate(one.bytes);
    if (certificate === null) return lie('the certificate is malformed');
    // What time it is may not be known here; that it is a steward's is.
    const within = Math.min(Math.max(leastMs, certificate.notBefore), certificate.notAfter);
    const verdict = this.#verifier.verifySteward(one.bytes, this.#bundle!, NOBODY, within);
    if (!verdict.ok) return { refused: verdict.message, isLie: verdict.reason !== 'unknown-issuer' };
    const known = this.#stewards.get(verdict.fingerprint);
    // Of two, the one that the newer root made; that stands first in the bundle.
    const rank = (of: Certificate) =>
      this.#bundle!.roots.findIndex(({ subject }) => Buffer.compare(subject, of.issuer) === 0);
    const step = known === undefined ? -1 : rank(certificate) - rank(readCertificate(known.bytes)!);
    if (step > 0 || (step === 0 && known!.steward.notAfter >= verdict.notAfter)) return 'known';
    if (known === undefined && this.#stewards.size >= MOST_STEWARDS) return noUse('there are too many stewards');
    this.#stewards.set(verdict.fingerprint, { ...one, steward: stewardOf(verdict) });
    this.#count();
    return 'new';
  }

  #takeRevocation(one: Item, statement: Statement, body: RevocationBody, leastMs: number): Taken {
    if (body.until < leastMs) return 'known';
    if (body.until > body.at + LONGEST_MS) return lie('it would have to be kept too long');
    const id = `${body.key} ${statement.signer}`;
    if (this.#revocations.has(id)) return 'known';
    const isByOwner = isSigner(statement, this.#bundle!);
    const steward = this.#stewards.get(statement.signer)?.steward;
    if (!isByOwner && steward === undefined) return noUse('neither a root nor a steward that is known here signed it');
    const others = [...this.#revocations.values()].filter(({ statement: { signer } }) => signer === statement.signer);
    // Before its signature is looked at, which is dear: others may have come to know other ones of a signer without measure.
    if (others.length >= (isByOwner ? MOST_OF_OWNER : MOST_OF_STEWARD)) return noUse('its signer has revoked too many');
    const { suite } = this.#tools;
    if (!(isByOwner ? this.#isSignedBy(statement, this.#bundle!) : holds(suite, statement, steward!.identity)))
      return lie('its signature does not hold');
    this.#revocations.set(id, { ...one, statement, body });
    this.#count();
    return 'new';
  }

  #takeOfCredential(one: Item, statement: Statement, body: CredentialBody): Taken {
    const { kind, credential, key } = body;
    const id = `${kind} ${credential} ${key} ${statement.signer}`;
    if (this.#credentials.has(id)) return 'known';
    if (credential.startsWith('invitation:')) return lie('an invitation is good once, and not barred');
    const isByOwner = isSigner(statement, this.#bundle!);
    const steward = this.#stewards.get(statement.signer)?.steward;
    if (!isByOwner && (kind === 'readmission' || steward === undefined))
      return noUse('neither a root nor a steward that is known here signed it');
    // It would not count: whoever tells it has not heard that yet.
    if (kind === 'bar' && this.isReadmitted(credential, key)) return 'known';
    const others = [...this.#credentials.values()].filter(({ statement: { signer } }) => signer === statement.signer);
    if (others.length >= (isByOwner ? MOST_OF_OWNER : MOST_BARS_OF_STEWARD))
      return noUse('its signer has barred or readmitted too many');
    const { suite } = this.#tools;
    if (!(isByOwner ? this.#isSignedBy(statement, this.#bundle!) : holds(suite, statement, steward!.identity)))
      return lie('its signature does not hold');
    if (kind === 'readmission')
      for (const [other, { body: bar }] of this.#credentials)
        if (bar.kind === 'bar' && bar.credential === credential && bar.key === key) this.#credentials.delete(other);
    this.#credentials.set(id, { ...one, statement, body });
    return 'new';
  }

  /** Whether who signed it is believed now: a root, or a steward that was not revoked. */
  #isWord(statement: Statement): boolean {
    return isSigner(statement, this.#bundle!) || this.isSteward(statement.signer);
  }

  /** Which revocations count now. */
  #count(): void {
    const roots = new Set(this.#bundle?.roots.map((root) => fingerprint(root.bound!.identity)));
    const revoked = new Map<string, Revoked>();
    const all = [...this.#revocations.values()];
    for (const { statement, body } of all)
      if (roots.has(statement.signer)) revoked.set(body.key, { ...revokedOf(statement, body), isByOwner: true });
    const byOwner = new Set(revoked.keys());
    for (const { statement, body } of all) {
      if (roots.has(statement.signer) || byOwner.has(statement.signer) || revoked.has(body.key)) continue;
      if (!this.#stewards.has(statement.signer) || this.#stewards.has(body.key) || roots.has(body.key)) continue;
      revoked.set(body.key, { ...revokedOf(statement, body), isByOwner: false });
    }
    this.#revoked = revoked;
  }

  #read(body: BundleBody): TrustBundle | null {
    try {
      return trustBundle(this.#tools, body.domain, body.sequence, body.roots);
    } catch {
      return null;
    }
  }

  #isSignedBy(statement: Statement, { roots }: TrustBundle): boolean {
    return roots.some((root) => holds(this.#tools.suite, statement, root.bound!.identity));
  }
}

/** Whether it names one of these roots as its signer; nothing is verified. */
function isSigner({ signer }: Statement, { roots }: TrustBundle): boolean {
  return roots.some(({ bound }) => fingerprint(bound!.identity) === signer);
}

const NOBODY: Revocations = { has: () => false };

function item(kind: ItemKind, bytes: Uint8Array): Item {
  return { kind, bytes, hash: hashOf(bytes) };
}

function stewardOf({ node, fingerprint: key, keys, notAfter }: Peer): Steward {
  return { node, fingerprint: key, identity: keys.identity, notAfter };
}

function revokedOf(statement: Statement, { node, key, at }: RevocationBody): Omit<Revoked, 'isByOwner'> {
  return { node, key, at, by: statement.signer };
}
