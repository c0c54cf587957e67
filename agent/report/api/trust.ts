/** Identities: who this router is, who the others are, and what a person does about it. */
import { AgentError } from '../../core/errors.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import type { Sources, TrustDesk } from '../sources.ts';
import { type Call, call, seconds, type Unversioned, usage } from './call.ts';

const LONGEST_INVITATION_MS = 30 * 24 * 3_600_000;
/** Of what the owner installs at once. */
const MOST_ITEMS = 300;
const KINDS = ['bundle', 'steward', 'revocation'] as const;

/** Digits of a fingerprint that stand for it: 128 bits, so that nobody makes a key that looks like another. */
const SHOWN = 32;
const ANCHOR = /^[0-9a-f]{32,64}$/;

const KEY = /^[A-Za-z0-9+/]{1,5464}={0,2}$/;

export const trustCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/identity',
    help: 'Who this router is in its mesh of identities, how long, and which cryptography is in use.',
    shape: shapes.identity,
    answer: ({ sources }) => ({ identity: identityOf(sources), trouble: sources.trust?.trouble() ?? null }),
  }),
  call({
    method: 'POST',
    path: '/trust/members',
    help: 'The routers that this steward knows to be in, and whoever is revoked.',
    shape: shapes.members,
    answer: ({ sources }) => membersOf(deskOf(sources)),
  }),
  call({
    method: 'POST',
    path: '/trust/wake',
    help: 'Loads what identities need, and makes this router keys where it has none.',
    changing: true,
    shape: shapes.done,
    answer: ({ sources }) => {
      const done = deskOf(sources).wake();
      return { done, message: done ? 'ready' : 'being loaded' };
    },
  }),
  call({
    method: 'POST',
    path: '/trust/join',
    help: 'Joins a mesh: by an invitation, by the SSH host key or by an X.509 certificate. /mesh/identity tells what came of it.',
    changing: true,
    body: [
      { name: 'invitation', type: 'string', help: 'its text; else method and anchor' },
      { name: 'method', type: 'string', help: 'ssh-host-key or x509-proof' },
      { name: 'anchor', type: 'string', help: "32 to 64 digits of the fingerprint of the owner's key" },
      {
        name: 'key',
        type: 'string',
        help: 'the file of the SSH host key in base64, which the agent itself may not read',
      },
    ],
    shape: shapes.done,
    answer: ({ sources, body: { invitation, method, anchor, key } }) => {
      if (typeof invitation === 'string') deskOf(sources).join(invitation);
      else if (method === undefined && anchor === undefined)
        throw usage('invitation: expected one, or a method (ssh-host-key, x509-proof) and an anchor');
      else if (method !== 'ssh-host-key' && method !== 'x509-proof')
        throw usage('method: expected ssh-host-key or x509-proof');
      else if (typeof anchor !== 'string' || !ANCHOR.test(anchor))
        throw usage('anchor: expected 32 to 64 digits of a fingerprint');
      else if (key !== undefined && (typeof key !== 'string' || !KEY.test(key)))
        throw usage('key: expected a file of at most 4096 bytes in base64');
      else deskOf(sources).joinBy(method, anchor, key === undefined ? undefined : Buffer.from(key as string, 'base64'));
      return { done: true, message: 'joining' };
    },
  }),
  call({
    method: 'POST',
    path: '/trust/invite',
    help: 'Makes an invitation for one router; by a steward.',
    changing: true,
    body: [
      { name: 'node', type: 'string', help: 'what the router will be called; may be left out' },
      { name: 'seconds', type: 'integer', help: 'how long it is good for' },
    ],
    shape: shapes.invitation,
    answer: ({ sources, body: { node, seconds } }) => {
      const lifeMs = Number(seconds ?? 3600) * 1000;
      if (!(lifeMs >= 60_000 && lifeMs <= LONGEST_INVITATION_MS)) throw usage('seconds: expected 60 to 2592000');
      const { text, id, untilMs } = deskOf(sources).invite(String(node ?? ''), lifeMs);
      return { text, id, until: new Date(untilMs).toISOString() };
    },
  }),
  call({
    method: 'POST',
    path: '/trust/revoke',
    help: 'Revokes a router, by a steward. A steward is revoked by the owner: x0ctl mesh revoke --owner-key.',
    changing: true,
    body: [{ name: 'whom', type: 'string', help: 'its name, or the fingerprint of its key' }],
    shape: shapes.done,
    answer: ({ sources, caller, body: { whom } }) => {
      if (typeof whom !== 'string') throw usage('whom: expected a name or a fingerprint');
      deskOf(sources).revoke(whom, caller.name);
      return { done: true, message: `${whom} is revoked` };
    },
  }),
  call({
    method: 'POST',
    path: '/trust/candidate',
    help: 'With which key would a router issue? For the owner, who makes it a steward. Empty while it is being asked.',
    body: [{ name: 'whom', type: 'string', help: 'its name or fingerprint; this router without it' }],
    shape: shapes.candidate,
    answer: ({ sources, body: { whom } }) => {
      const found = deskOf(sources).candidate(String(whom ?? ''));
      if (found === null) return { candidate: null };
      const { node, identity, spki } = found;
      return { candidate: { node, identity: base64(identity), spki: base64(spki) } };
    },
  }),
  call({
    method: 'POST',
    path: '/trust/items',
    help: 'What the mesh agrees on: the trust bundles, the certificates of the stewards, the revocations.',
    shape: shapes.trustItems,
    answer: ({ sources }) => ({
      items: deskOf(sources)
        .items()
        .map(({ kind, bytes }) => ({ kind, bytes: base64(bytes) })),
    }),
  }),
  call({
    method: 'POST',
    path: '/trust/install',
    help: 'Takes what the owner has signed, and tells the mesh.',
    changing: true,
    body: [{ name: 'items', type: 'array', help: 'a list of {kind, bytes}, bytes in base64' }],
    shape: shapes.done,
    answer: ({ sources, body: { items } }) => {
      if (!Array.isArray(items) || items.length > MOST_ITEMS) throw usage('items: expected a list');
      const read = items.map((one: { kind?: unknown; bytes?: unknown }) => {
        const kind = KINDS.find((known) => known === one?.kind);
        if (kind === undefined || typeof one.bytes !== 'string') throw usage('items: expected kind and bytes');
        return { kind, bytes: Buffer.from(one.bytes, 'base64') };
      });
      deskOf(sources).install(read);
      return { done: true, message: `${read.length} taken` };
    },
  }),
];

/** For /mesh/status and /mesh/identity. */
export function identityOf({ trust }: Sources): Of<typeof shapes.identity>['identity'] {
  const view = trust?.view() ?? null;
  if (view === null) return null;
  const {
    providers,
    nowMs,
    notBefore,
    notAfter,
    stewards,
    revoked,
    air,
    admitted,
    outcasts: _,
    names: __,
    ...rest
  } = view;
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  return {
    ...rest,
    now: new Date(nowMs).toISOString(),
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    stewards: stewards.map(({ node, notAfter: ends, isReached }) => ({ node, isReached, notAfter: time(ends)! })),
    revoked: revoked.length,
    air: { epoch: air.epoch, keys: air.keys, ageSeconds: seconds(air.ageNs), mixed: air.isMixed },
    admitted: [...admitted],
    isolated: isolatedOf(trust),
    cryptography: Object.entries(providers).map(([algorithm, provider]) => ({ algorithm, provider })),
  };
}

/** Whose frames XDP drops. */
export function isolatedOf(trust: TrustDesk | undefined): Of<typeof shapes.links>['isolated'] {
  const outcasts = trust?.view()?.outcasts ?? [];
  return outcasts.flatMap(({ node, addresses }) =>
    addresses.length === 0 ? [] : [{ node, addresses: [...addresses] }],
  );
}

function membersOf(desk: TrustDesk): Unversioned<Of<typeof shapes.members>> {
  const view = desk.view();
  const nodes = new Map(desk.members().map(({ key, node }) => [key, node]));
  const stewards = new Set(view?.stewards.map(({ node }) => node));
  return {
    members: desk.members().map(({ key, node, notAfter, by }) => ({
      node,
      key,
      notAfter: new Date(notAfter).toISOString(),
      by: nodes.get(by) ?? by.slice(0, SHOWN),
      isSteward: stewards.has(node),
    })),
    revoked: (view?.revoked ?? []).map(({ node, key, at, by, isByOwner }) => ({
      node,
      key,
      at: new Date(at).toISOString(),
      by: isByOwner ? 'owner' : (nodes.get(by) ?? by.slice(0, SHOWN)),
    })),
    barred: desk.barred().map(({ credential, node, key, at }) => ({
      credential,
      node,
      key,
      at: new Date(at).toISOString(),
    })),
  };
}

function deskOf({ trust }: Sources): TrustDesk {
  if (trust === undefined) throw new AgentError('E_NOT_FOUND', 'this agent knows no identities');
  return trust;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
