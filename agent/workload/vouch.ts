/** What a steward does for a program: on itself, or on another router that asks over its session. */
import { AgentError } from '../core/errors.ts';
import { type Authority, issueWorkload } from '../trust/certificate/issue.ts';
import type { Tools } from '../trust/certificate/tools.ts';
import { isEntryPath, workloadId } from './entry.ts';
import { isAudience, writeJwt } from './jwt.ts';

/** No certificate and no token is good for longer, in milliseconds: what they rest on may be revoked. */
const LONGEST_X509 = 24 * 3_600_000;
const LONGEST_JWT = 3_600_000;

/** What is asked for; it is the router's own affair to which of its programs it gives it. */
export interface Wanted {
  /** Behind spiffe://TRUSTDOMAIN/workload/NODE/. */
  readonly path: string;
  /** The key to certify; empty where a token is wanted. */
  readonly spki: Uint8Array;
  readonly audience: readonly string[];
  readonly lifeMs: number;
}

export interface Given {
  /** DER, the leaf first; empty for a token. */
  readonly chain: readonly Uint8Array[];
  readonly jwt: string;
}

/** For a program on the router `node`, and under no other name. Throws E_USAGE, E_SVID. */
export function vouch(
  tools: Tools,
  by: Authority,
  { path, spki, audience, lifeMs }: Wanted,
  { trustDomain, node, wallMs }: { readonly trustDomain: string; readonly node: string; readonly wallMs: number },
): Given {
  if (!isEntryPath(path)) throw new AgentError('E_USAGE', 'the path of a program is malformed');
  if (!(lifeMs >= 1000)) throw new AgentError('E_USAGE', 'a life of less than a second');
  const id = workloadId(trustDomain, node, path);
  if (spki.length > 0) {
    const request = { wallMs, lifeMs: Math.min(lifeMs, LONGEST_X509) };
    const name = path.slice(-64);
    return { chain: issueWorkload(tools, by, { id, name, spki }, request), jwt: '' };
  }
  if (!isAudience(audience)) throw new AgentError('E_USAGE', 'the audience of a token is malformed');
  return { chain: [], jwt: writeJwt({ id, audience, wallMs, lifeMs: Math.min(lifeMs, LONGEST_JWT) }, by.key) };
}
