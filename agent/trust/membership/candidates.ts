/**
 * Which router is meant, and with which classical key it would issue: what the owner asks who makes it a steward. Part of the
 * membership machine (membership.ts).
 */
import { AgentError } from '../../core/errors.ts';
import { authorityKey } from '../certificate/credential.ts';
import type { Claimed } from '../join/invitation.ts';
import type { Router } from './router.ts';
import type { Sessions } from './sessions.ts';
import type { Member } from './words.ts';

export interface Candidate {
  readonly node: string;
  readonly identity: Uint8Array;
  readonly spki: Uint8Array;
}

/** What it has of the other parts. */
export interface Known {
  /** This router's own name. */
  nodeName(): string;
  members(): readonly Member[];
  /** Who came with an invitation, be it long ago. */
  claims(): readonly Claimed[];
}

export class Candidates {
  readonly #router: Router;
  readonly #sessions: Sessions;
  readonly #known: Known;
  /** Keys with which others would issue, as they said. */
  readonly #said = new Map<string, Uint8Array>();

  constructor(router: Router, sessions: Sessions, known: Known) {
    this.#router = router;
    this.#sessions = sessions;
    this.#known = known;
  }

  /** A router by its name or its key's fingerprint (or 32 digits or more of it). Throws E_NOT_FOUND. */
  find(whom: string): { readonly key: string; readonly node: string } {
    const { ledger } = this.#router;
    const peers = this.#sessions.peers().map(({ fingerprint: key, node }) => ({ key, node }));
    const stewards = ledger.stewards().map(({ fingerprint: key, node }) => ({ key, node }));
    const meant = (among: readonly { readonly key: string; readonly node: string }[]) =>
      [...new Map(among.map((one) => [one.key, one])).values()].filter(
        ({ key, node }) => node === whom || (/^[0-9a-f]{32,64}$/.test(whom) && key.startsWith(whom)),
      );
    const named = meant([...this.#known.members(), ...stewards, ...peers]);
    // Whoever had the name before, and was revoked, is not meant where another has it now.
    const unrevoked = named.filter(({ key }) => !ledger.has(key));
    const standing = unrevoked.length > 0 ? unrevoked : named;
    const found = standing.length > 0 ? standing : meant(this.#known.claims().filter(({ key }) => !ledger.has(key)));
    if (found.length === 1) return found[0]!;
    if (/^[0-9a-f]{64}$/.test(whom)) return { key: whom, node: whom.slice(0, 32) };
    const why =
      found.length === 0 ? 'no router of this name is known here' : 'several routers have this name: give its key';
    throw new AgentError('E_NOT_FOUND', `${whom}: ${why}`);
  }

  own(): Candidate {
    const { tools, secrets, keys } = this.#router;
    const { spki } = authorityKey(tools, secrets.identity, 'steward');
    return { node: this.#known.nodeName(), identity: keys.identity.publicKey, spki };
  }

  /** Another router, by its session; null where it has not said its key yet. Throws E_NOT_FOUND. */
  of(whom: string): { readonly key: string; readonly found: Candidate | null } {
    const { key, node } = this.find(whom);
    if (key === this.#router.key) return { key, found: this.own() };
    const session = this.#sessions.get(key);
    if (session === undefined) throw new AgentError('E_NOT_FOUND', `there is no session with ${node} now`);
    const spki = this.#said.get(key);
    return { key, found: spki === undefined ? null : { node, identity: session.peer.keys.identity, spki } };
  }

  said(key: string, spki: Uint8Array): void {
    this.#said.set(key, spki);
  }

  left(key: string): void {
    this.#said.delete(key);
  }
}
