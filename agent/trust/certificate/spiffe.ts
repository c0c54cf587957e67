/** SPIFFE IDs (the SPIFFE-ID standard), as far as this mesh has them: spiffe://TRUSTDOMAIN/router/NODE. */

/** The standard's limits, in bytes. */
const LONGEST_DOMAIN = 255;
const LONGEST_ID = 2048;

export interface SpiffeId {
  readonly trustDomain: string;
  /** Without the slash in front; '' for the trust domain itself. */
  readonly path: string;
}

export function isTrustDomain(text: string): boolean {
  return text.length <= LONGEST_DOMAIN && /^[a-z0-9._-]+$/.test(text);
}

/** What may stand for a router in its ID: given with the invitation, or made of its key. */
export function isNodeId(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,63}$/.test(text) && text !== '.' && text !== '..';
}

export function routerId(trustDomain: string, node: string): string {
  return `spiffe://${trustDomain}/router/${node}`;
}

/** null for what is none: another scheme, user, port, query, an empty or relative segment, a percent sign. */
export function parseSpiffeId(text: string): SpiffeId | null {
  if (text.length > LONGEST_ID) return null;
  const parts = /^spiffe:\/\/([^/]+)((?:\/[A-Za-z0-9._-]+)*)$/.exec(text);
  if (parts === null) return null;
  const [, trustDomain, path] = parts as unknown as [string, string, string];
  const segments = path.split('/').slice(1);
  if (!isTrustDomain(trustDomain) || segments.some((one) => one === '.' || one === '..')) return null;
  return { trustDomain, path: segments.join('/') };
}

/** The NODE of a router's ID in this trust domain, null for every other ID. */
export function nodeOf(id: string, trustDomain: string): string | null {
  const parsed = parseSpiffeId(id);
  if (parsed === null || parsed.trustDomain !== trustDomain) return null;
  const node = /^router\/([^/]+)$/.exec(parsed.path)?.[1];
  return node !== undefined && isNodeId(node) ? node : null;
}
