/**
 * What only the owner's key can do. It runs where that key is, which need not be a router of the mesh: x0ctl signs, and
 * hands the agent what everybody may see.
 */

import { authorityKey } from '../certificate/credential.ts';
import { type Authority, authority, issueRoot, issueSteward } from '../certificate/issue.ts';
import type { Tools } from '../certificate/tools.ts';
import type { RouterSecrets } from '../keys/router.ts';
import type { Loose } from './item.ts';
import { LONGEST_MS } from './ledger.ts';
import { sayBundle, sayOfCredential, sayRevocation } from './statement.ts';

export interface Owner {
  readonly authority: Authority;
  readonly trustDomain: string;
}

const YEAR_MS = 365 * 24 * 3_600_000;
const ROOT_LIFE_MS = 10 * YEAR_MS;

/** Makes the root of a new mesh, or a new root of one that changes its owner's key. */
export function makeOwner(
  tools: Tools,
  secrets: RouterSecrets,
  { trustDomain, wallMs }: { readonly trustDomain: string; readonly wallMs: number },
): Owner {
  const identity = tools.suite.identityKey(secrets.identity);
  const key = authorityKey(tools, secrets.identity, 'owner');
  return { authority: issueRoot(tools, { key, identity }, { trustDomain, wallMs, lifeMs: ROOT_LIFE_MS }), trustDomain };
}

/** The owner of a mesh that there is: `root` is its certificate in the bundle. Throws E_SVID for another's key. */
export function openOwner(tools: Tools, secrets: RouterSecrets, trustDomain: string, root: Uint8Array): Owner {
  return { authority: authority(tools, root, secrets, 'owner'), trustDomain };
}

/** A bundle of these owners' roots; `by` has to be one that is believed already, or of the first bundle. */
export function makeBundle(by: Owner, sequence: number, of: readonly (Owner | Uint8Array)[]): Loose {
  const roots = of.map((one) => (one instanceof Uint8Array ? one : one.authority.certificate.der));
  return { kind: 'bundle', bytes: sayBundle(by.authority.identity, { domain: by.trustDomain, sequence, roots }) };
}

export function makeSteward(
  tools: Tools,
  by: Owner,
  router: { readonly node: string; readonly identity: Uint8Array; readonly spki: Uint8Array },
  { wallMs, lifeMs = YEAR_MS }: { readonly wallMs: number; readonly lifeMs?: number },
): Loose {
  return { kind: 'steward', bytes: issueSteward(tools, by.authority, router, { wallMs, lifeMs }) };
}

/** Revokes anybody, a steward too. */
export function makeRevocations(
  by: Owner,
  whom: readonly { readonly key: string; readonly node: string }[],
  wallMs: number,
): Loose[] {
  return whom.map(({ key, node }) => ({
    kind: 'revocation',
    bytes: sayRevocation(by.authority.identity, {
      domain: by.trustDomain,
      key,
      node,
      at: wallMs,
      until: wallMs + LONGEST_MS,
    }),
  }));
}

/** Lets credentials admit again in spite of the keys for which they were barred; of a later one's revocation this says nothing. */
export function makeReadmissions(
  by: Owner,
  which: readonly { readonly credential: string; readonly key: string; readonly node: string }[],
  wallMs: number,
): Loose[] {
  return which.map(({ credential, key, node }) => ({
    kind: 'revocation',
    bytes: sayOfCredential(by.authority.identity, {
      kind: 'readmission',
      domain: by.trustDomain,
      credential,
      key,
      node,
      at: wallMs,
    }),
  }));
}
