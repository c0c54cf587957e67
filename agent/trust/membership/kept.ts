/**
 * What a membership keeps across restarts, as text under names, none of it secret: what the mesh believes, the own
 * certificate, who was let in and by which invitation, who was cast out, and the earliest that it can be now. Flash may have
 * damaged any of it.
 */
import { isMac } from '../../core/ids.ts';
import type { Outcast } from '../air/gate.ts';
import { LAST_MOMENT } from '../certificate/fields.ts';
import { isNodeId } from '../certificate/spiffe.ts';
import type { Claimed } from '../join/invitation.ts';
import type { Loose } from '../ledger/item.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { isCredential, readStatement } from '../ledger/statement.ts';
import { type Came, MOST_CREDENTIALS } from './provenance.ts';
import type { Kept, Member, TrustEffect } from './words.ts';

const KEY = /^[0-9a-f]{64}$/;

export class Keeping {
  readonly #ledger: Ledger;
  readonly #effect: (effect: TrustEffect) => void;
  readonly #items = new Set<string>();

  constructor(ledger: Ledger, effect: (effect: TrustEffect) => void) {
    this.#ledger = ledger;
    this.#effect = effect;
  }

  /** What of the ledger is new is kept, and what has gone forgotten. */
  items(): void {
    for (const { hash, kind, bytes } of this.#ledger.items()) {
      if (this.#items.has(hash)) continue;
      this.#items.add(hash);
      this.#keep(`item ${hash}`, `${kind} ${base64(bytes)}`, true);
    }
    for (const hash of this.#items) {
      if (this.#ledger.knows(hash)) continue;
      this.#items.delete(hash);
      this.forget(hash);
    }
  }

  forget(hash: string): void {
    this.#keep(`item ${hash}`, null, false);
  }

  /** The salt of the leaf key and the chain; null where there is none any more. */
  own(one: readonly Uint8Array[] | null): void {
    this.#keep('own', one?.map(base64).join(' ') ?? null, true);
  }

  /** Milliseconds since 1970. */
  floor(wallMs: number): void {
    this.#keep('floor', String(wallMs), false);
  }

  member({ key, node, notAfter, by }: Member): void {
    this.#keep(`member ${key}`, `${node} ${notAfter} ${by}`, false);
  }

  noMember(key: string): void {
    this.#keep(`member ${key}`, null, false);
  }

  provenance({ key, node, credentials, by }: Came): void {
    this.#keep(`came ${key}`, [node, by, ...credentials].join(' '), true);
  }

  noProvenance(key: string): void {
    this.#keep(`came ${key}`, null, false);
  }

  /** A mesh key that somebody knows who was revoked. */
  voidKey(name: string): void {
    this.#keep(`void ${name}`, '1', true);
  }

  outcast({ key, node, addresses }: Outcast): void {
    this.#keep(`outcast ${key}`, [node, ...addresses].join(' '), false);
  }

  admittedAnew(key: string): void {
    this.#keep(`outcast ${key}`, null, false);
  }

  #keep(key: string, value: string | null, isUrgent: boolean): void {
    this.#effect({ type: 'keep', key, value, isUrgent });
  }
}

export interface Recollection {
  readonly floorMs: number;
  /** Trust bundles in their order, then stewards, then revocations. `by`: whose a bundle is. */
  readonly items: readonly (Loose & { readonly by: string })[];
  readonly claims: readonly Claimed[];
  readonly members: readonly Member[];
  readonly came: readonly Came[];
  /** The salt and the chain; null where there is none. */
  readonly own: readonly [Uint8Array, ...Uint8Array[]] | null;
  readonly voidKeys: readonly string[];
  readonly outcasts: readonly Outcast[];
}

export function recollect(kept: readonly Kept[]): Recollection {
  const of = (prefix: string) => kept.filter(({ key }) => key.startsWith(prefix));
  const floor = Number(of('floor')[0]?.value ?? 0);
  const items = of('item ').flatMap(({ value }) => looseOf(value) ?? []);
  const bundles = items.flatMap((one) => {
    const statement = one.kind === 'bundle' ? readStatement(one.bytes) : null;
    if (statement?.body.kind !== 'bundle') return [];
    return [{ ...one, by: statement.signer, sequence: statement.body.sequence }];
  });
  bundles.sort((a, b) => a.sequence - b.sequence);
  const others = (kind: string) => items.filter((one) => one.kind === kind).map((one) => ({ ...one, by: '' }));
  const [salt, ...chain] =
    of('own')[0]
      ?.value.split(' ')
      .map((part) => Buffer.from(part, 'base64')) ?? [];
  return {
    floorMs: floor >= 0 && floor <= LAST_MOMENT ? floor : 0,
    items: [...bundles, ...others('steward'), ...others('revocation')],
    claims: of('claim ').flatMap(({ key, value }) => {
      const [by, node, steward] = value.split(' ');
      return steward === undefined ? [] : [{ id: key.slice(6), key: by!, node: node!, by: steward }];
    }),
    members: of('member ').flatMap(({ key, value }) => memberOf(key.slice(7), value)),
    came: of('came ').flatMap(({ key, value }) => cameOf(key.slice(5), value)),
    own: salt === undefined ? null : [salt, ...chain],
    voidKeys: of('void ').map(({ key }) => key.slice(5)),
    outcasts: of('outcast ').flatMap(({ key, value }) => outcastOf(key.slice(8), value)),
  };
}

function looseOf(value: string): Loose | null {
  const [kind = '', text = ''] = value.split(' ');
  if (kind !== 'bundle' && kind !== 'steward' && kind !== 'revocation') return null;
  return { kind, bytes: Buffer.from(text, 'base64') };
}

function memberOf(key: string, value: string): Member[] {
  const [node = '', ends = '', by = ''] = value.split(' ');
  const isWhole = KEY.test(key) && isNodeId(node) && /^\d{1,15}$/.test(ends) && KEY.test(by);
  return isWhole ? [{ key, node, notAfter: Number(ends), by }] : [];
}

function cameOf(key: string, value: string): Came[] {
  const [node = '', by = '', ...credentials] = value.split(' ');
  const isWhole =
    KEY.test(key) &&
    isNodeId(node) &&
    KEY.test(by) &&
    credentials.length <= MOST_CREDENTIALS &&
    credentials.every(isCredential);
  return isWhole ? [{ key, node, credentials, by }] : [];
}

function outcastOf(key: string, value: string): Outcast[] {
  const [node = '', ...addresses] = value.split(' ');
  return addresses.every(isMac) ? [{ key, node, addresses }] : [];
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
