/** What the commands of identities do. The owner's key is used here, in x0ctl, and never handed to the agent. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import { trustTools } from '../host/identity.ts';
import { createKeyFile, readKeyFile } from '../host/key-file.ts';
import { SSH_HOST_KEYS } from '../host/ssh-key.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import { readCertificate } from '../trust/certificate/certificate.ts';
import { isNodeId, isTrustDomain } from '../trust/certificate/spiffe.ts';
import type { Tools } from '../trust/certificate/tools.ts';
import { fingerprint, newSecrets } from '../trust/keys/router.ts';
import type { Loose } from '../trust/ledger/item.ts';
import {
  makeBundle,
  makeOwner,
  makeReadmissions,
  makeRevocations,
  makeSteward,
  type Owner,
  openOwner,
} from '../trust/ledger/owner.ts';
import { type BundleBody, type RevocationBody, readStatement } from '../trust/ledger/statement.ts';
import type { Client } from './client.ts';
import { clockText, isPlausible } from './clock.ts';
import { clean, type Terminal, table } from './terminal.ts';

type Identity = Of<typeof shapes.identity>;
type Screen = Pick<Terminal, 'columns' | 'color'>;

const LOAD_MS = 20_000;
const ANSWER_MS = 15_000;
const POLL_MS = 200;
/** Bytes that are handed to the agent in one request, which in base64 are a third more. */
const AT_ONCE = 128 * 1024;

/** Loads the agent's identity, with new keys where it has none. Throws what keeps it from that. */
async function awake(agent: Client): Promise<void> {
  for (const end = performance.now() + LOAD_MS; ; await sleep(POLL_MS)) {
    const { done } = (await agent.post('/trust/wake', {})) as Of<typeof shapes.done>;
    if (done) return;
    const { trouble } = (await agent.get('/mesh/identity')) as Identity;
    if (performance.now() > end)
      throw new AgentError('E_KEY_FILE', `the agent has no identity: ${trouble ?? 'it takes too long'}`);
  }
}

export async function found(
  agent: Client,
  file: string,
  domain: string | undefined,
  name: string,
): Promise<{ readonly id: string | null; readonly trustDomain: string }> {
  const trustDomain = domain ?? (await configured(agent));
  if (!isTrustDomain(trustDomain))
    throw new AgentError('E_USAGE', '--domain: expected lower-case letters, digits, dots, - and _');
  if (name !== '' && !isNodeId(name))
    throw new AgentError('E_USAGE', '--name: expected at most 63 letters, digits, dots, - and _');
  await awake(agent);
  const { identity } = (await agent.get('/mesh/identity')) as Identity;
  if (identity?.bundle != null) throw new AgentError('E_USAGE', `this router is in ${identity.trustDomain} already`);
  const { tools } = await trustTools();
  // Whatever may fail comes before the file, which the next attempt would find in its way.
  const own = await candidateOf(agent, '');
  const secrets = newSecrets(tools.suite);
  const wallMs = clock();
  const owner = makeOwner(tools, secrets, { trustDomain, wallMs });
  createKeyFile(file, secrets);
  const router = { ...own, node: name === '' ? own.node : name };
  await install(agent, [makeBundle(owner, 1, [owner]), makeSteward(tools, owner, router, { wallMs })]);
  const after = (await agent.get('/mesh/identity')) as Identity;
  return { id: after.identity?.id ?? null, trustDomain };
}

export async function steward(agent: Client, file: string, router: string): Promise<string> {
  const { tools, owner } = await ownerOf(agent, file);
  const one = await candidateOf(agent, router === 'self' ? '' : router);
  await install(agent, [makeSteward(tools, owner, one, { wallMs: clock() })]);
  return one.node;
}

export async function revoke(agent: Client, file: string | undefined, router: string, keep: boolean): Promise<string> {
  if (file === undefined) {
    await agent.post('/trust/revoke', { whom: router });
    return router;
  }
  const { owner, items } = await ownerOf(agent, file);
  const { members } = (await agent.post('/trust/members', {})) as Of<typeof shapes.members>;
  const stewards = items.flatMap(({ kind, bytes }) => {
    const bound = kind === 'steward' ? readCertificate(bytes) : null;
    return bound?.bound == null ? [] : [{ node: bound.commonName, key: fingerprint(bound.bound.identity) }];
  });
  const all = new Map([...members, ...stewards].map(({ node, key }) => [key, { node, key }]));
  const matching = [...all.values()].filter(({ node, key }) => node === router || key === router);
  const whom = /^[0-9a-f]{64}$/.test(router)
    ? { key: router, node: matching[0]?.node ?? router.slice(0, 32) }
    : matching[0];
  if (whom === undefined)
    throw new AgentError('E_NOT_FOUND', `no router called ${clean(router)} is known here: give its key`);
  if (matching.length > 1)
    throw new AgentError('E_NOT_FOUND', `several routers are called ${clean(router)}: give its key`);
  const kept = keep ? revocationsIn(items).filter(({ signer }) => signer === whom.key) : [];
  await install(agent, makeRevocations(owner, [whom, ...kept.map(({ body }) => body)], clock()));
  return whom.node;
}

/**
 * Answers the credentials that admit again. Throws E_NOT_FOUND where none is barred by this name, E_USAGE where too few digits say
 * which one.
 */
export async function readmit(agent: Client, file: string, which: string): Promise<string[]> {
  const { owner } = await ownerOf(agent, file);
  const { barred } = (await agent.post('/trust/members', {})) as Of<typeof shapes.members>;
  const digits = /^(?:(?:ssh|x509|spiffe):)?([0-9a-f]{1,64})$/.exec(which)?.[1] ?? '';
  const isNamed = barred.some(({ node, key }) => node === which || key === which);
  if (!isNamed && digits !== '' && digits.length < 32)
    throw new AgentError('E_USAGE', `${which}: 32 digits or more say which credential is meant`);
  const meant = barred.filter(({ credential, node, key }) =>
    isNamed
      ? node === which || key === which
      : digits !== '' && (credential.startsWith(which) || credential.split(':')[1]!.startsWith(which)),
  );
  const credentials = [...new Set(meant.map(({ credential }) => credential))];
  if (credentials.length === 0)
    throw new AgentError(
      'E_NOT_FOUND',
      `${clean(which)}: no credential is barred by this name: see x0ctl mesh members`,
    );
  // In spite of all keys for which it was barred: else it would be no more than before.
  const all = barred.filter(({ credential }) => credentials.includes(credential));
  await install(agent, makeReadmissions(owner, all, clock()));
  return credentials;
}

export async function rotate(agent: Client, file: string, next: string): Promise<number> {
  const { tools, owner, items, bundle, root } = await ownerOf(agent, file);
  const secrets = newSecrets(tools.suite);
  createKeyFile(next, secrets);
  const wallMs = clock();
  const heir = makeOwner(tools, secrets, { trustDomain: owner.trustDomain, wallMs });
  await install(agent, [makeBundle(owner, bundle.sequence + 1, [heir, root]), ...restated(tools, heir, items, wallMs)]);
  return bundle.sequence + 1;
}

export async function finishRotation(agent: Client, file: string): Promise<number> {
  const { tools, owner, items, bundle, root } = await ownerOf(agent, file);
  if (bundle.roots.length < 2) throw new AgentError('E_USAGE', 'no change of the key is under way');
  const bundles: Loose[] = [makeBundle(owner, bundle.sequence + 1, [root])];
  await install(agent, [...restated(tools, owner, items, clock()), ...bundles]);
  return bundle.sequence + 1;
}

export async function join(
  agent: Client,
  body: () => Promise<unknown>,
  patienceMs: number,
): Promise<{ readonly id: string | null; readonly trouble: string }> {
  await awake(agent);
  await agent.post('/trust/join', await body());
  for (const end = performance.now() + patienceMs; ; await sleep(POLL_MS)) {
    const { identity, trouble } = (await agent.get('/mesh/identity')) as Identity;
    const state = identity?.state ?? 'joining';
    if (identity?.id != null && (state === 'member' || state === 'late')) return { id: identity.id, trouble: '' };
    const why = trouble ?? identity?.trouble ?? '';
    if (performance.now() > end || state !== 'joining')
      return { id: null, trouble: why === '' ? 'no answer so far; the agent goes on trying' : why };
  }
}

/** This router's SSH host key for the agent, whose jail does not have it; nothing where there is none that may be read. */
export function hostKey(): { readonly key?: string } {
  for (const file of SSH_HOST_KEYS)
    try {
      return { key: readFileSync(file).toString('base64') };
    } catch {
      // The next, or the agent says what it lacks.
    }
  return {};
}

/** Of the standard input, where the process list does not show it. */
export async function readText(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    text += chunk;
    if (text.length > 4096) break;
  }
  return text.trim();
}

export async function invitationText(
  { text, until }: Pick<Of<typeof shapes.invitation>, 'text' | 'until'>,
  qr: boolean,
): Promise<string> {
  // Letters and digits in upper case make a QR code of few points.
  const code = qr ? `${(await import('uqr')).renderUnicodeCompact(text.toUpperCase())}\n\n` : '';
  return `${code}On the new router, until ${clean(until)}:

  x0ctl join \\
  ${clean(text)}

Whoever has this text can join in its place: it is good once.
`;
}

/** Digits of a key's fingerprint that are shown, and are enough to name it: 128 bits. */
const SHOWN = 32;
/** Columns from which on the tables have room for them. */
const WIDE = 100;

export function membersText({ members, revoked, barred = [] }: Of<typeof shapes.members>, to: Screen): string {
  const time = (iso: string) => iso.slice(0, 16).replace('T', ' ');
  const short = ({ key }: { readonly key: string }) => key.slice(0, SHOWN);
  const beside = to.columns >= WIDE ? [{ title: 'KEY', of: short }] : [];
  const all = table(
    [
      { title: 'ROUTER', of: ({ node }) => node, flexible: true },
      { title: 'ROLE', of: ({ isSteward }) => (isSteward ? 'steward' : 'router') },
      { title: 'UNTIL (UTC)', of: ({ notAfter }) => time(notAfter) },
      { title: 'RENEWED BY', of: ({ by }) => by, flexible: true },
      ...beside,
    ],
    members,
    to,
  );
  const gone = table(
    [
      { title: 'REVOKED', of: ({ node }) => node, flexible: true },
      { title: 'AT (UTC)', of: ({ at }) => time(at) },
      { title: 'BY', of: ({ by }) => by, flexible: true },
      ...beside,
    ],
    revoked,
    to,
  );
  const keys = table(
    [
      { title: 'KEY', of: short },
      { title: 'OF', of: ({ node }) => node, flexible: true },
    ],
    [...members, ...revoked],
    to,
  );
  // Whole: it is what x0ctl mesh readmit takes, and what a person holds against ssh-keygen -l.
  const bars = barred.map(({ credential, node }) => `${clean(credential)}\n  of ${clean(node)}, revoked\n`).join('');
  return [
    all,
    ...(revoked.length === 0 ? [] : [gone]),
    ...(barred.length === 0 ? [] : [`ADMIT NOBODY ANY MORE\n${bars}`]),
    ...(beside.length === 0 && members.length + revoked.length > 0 ? [keys] : []),
  ].join('\n');
}

async function configured(agent: Client): Promise<string> {
  const { config } = (await agent.get('/config')) as { config?: { trust?: { domain?: string } } };
  return config?.trust?.domain ?? 'x0tta6bl4.mesh';
}

interface OwnerAtWork {
  readonly tools: Tools;
  readonly owner: Owner;
  readonly items: readonly Loose[];
  /** The newest. */
  readonly bundle: BundleBody;
  readonly root: Uint8Array;
}

/** The owner of the mesh that the agent is in. Throws E_SVID where the key is another's. */
async function ownerOf(agent: Client, file: string): Promise<OwnerAtWork> {
  const secrets = readKeyFile(file);
  const { tools } = await trustTools();
  const answer = (await agent.post('/trust/items', {})) as Of<typeof shapes.trustItems>;
  const items = answer.items.map(({ kind, bytes }) => ({ kind, bytes: Buffer.from(bytes, 'base64') }));
  const bundle = items.flatMap(({ kind, bytes }) => (kind === 'bundle' ? [readStatement(bytes)?.body] : [])).at(-1);
  if (bundle?.kind !== 'bundle') throw new AgentError('E_NOT_FOUND', 'this router is in no mesh of identities');
  const key = tools.suite.identityKey(secrets.identity);
  const own = bundle.roots.find((der) => {
    const bound = readCertificate(der)?.bound;
    return bound != null && Buffer.compare(bound.identity, key.publicKey) === 0;
  });
  if (own === undefined) throw new AgentError('E_SVID', `${file} is not the key of the owner of ${bundle.domain}`);
  return { tools, owner: openOwner(tools, secrets, bundle.domain, own), items, bundle, root: own };
}

/** The stewards, the owner's revocations and its readmissions, as this owner's own word. */
function restated(tools: Tools, owner: Owner, items: readonly Loose[], wallMs: number): Loose[] {
  const stewards = items.flatMap(({ kind, bytes }) => {
    const one = kind === 'steward' ? readCertificate(bytes) : null;
    if (one?.bound == null) return [];
    return [
      makeSteward(tools, owner, { node: one.commonName, identity: one.bound.identity, spki: one.spki }, { wallMs }),
    ];
  });
  const ofStewards = new Set(
    items.flatMap(({ kind, bytes }) => {
      const bound = kind === 'steward' ? readCertificate(bytes)?.bound : null;
      return bound == null ? [] : [fingerprint(bound.identity)];
    }),
  );
  const revoked = revocationsIn(items).filter(({ signer }) => !ofStewards.has(signer));
  const readmitted = items.flatMap(({ kind, bytes }) => {
    const body = kind === 'revocation' ? readStatement(bytes)?.body : undefined;
    return body?.kind === 'readmission' ? [body] : [];
  });
  return [
    ...makeReadmissions(owner, readmitted, wallMs),
    ...stewards,
    ...makeRevocations(
      owner,
      revoked.map(({ body }) => body),
      wallMs,
    ),
  ];
}

function revocationsIn(items: readonly Loose[]): { readonly signer: string; readonly body: RevocationBody }[] {
  return items.flatMap(({ kind, bytes }) => {
    const statement = kind === 'revocation' ? readStatement(bytes) : null;
    return statement?.body.kind === 'revocation' ? [{ signer: statement.signer, body: statement.body }] : [];
  });
}

async function candidateOf(
  agent: Client,
  whom: string,
): Promise<{ node: string; identity: Uint8Array; spki: Uint8Array }> {
  for (const end = performance.now() + ANSWER_MS; ; await sleep(POLL_MS)) {
    const { candidate } = (await agent.post('/trust/candidate', { whom })) as Of<typeof shapes.candidate>;
    if (candidate !== null) {
      const { node, identity, spki } = candidate;
      return { node, identity: Buffer.from(identity, 'base64'), spki: Buffer.from(spki, 'base64') };
    }
    if (performance.now() > end) throw new AgentError('E_NOT_FOUND', `${clean(whom)} does not answer`);
  }
}

/** Milliseconds since 1970. Throws E_USAGE: what the owner signs by a clock that was never set has ended once it is. */
function clock(): number {
  const wallMs = Date.now();
  if (isPlausible(wallMs)) return wallMs;
  throw new AgentError(
    'E_USAGE',
    `the clock of this router says ${clockText(wallMs)}, and what the owner signs has a time: set it first (date -s)`,
  );
}

/** In their order, as many at once as a request may have. */
async function install(agent: Client, items: readonly Loose[]): Promise<void> {
  for (let at = 0; at < items.length; ) {
    let [end, size] = [at, 0];
    while (end < items.length && (end === at || size + items[end]!.bytes.length <= AT_ONCE)) {
      size += items[end]!.bytes.length;
      end += 1;
    }
    const some = items.slice(at, end);
    await agent.post('/trust/install', {
      items: some.map(({ kind, bytes }) => ({ kind, bytes: Buffer.from(bytes).toString('base64') })),
    });
    at = end;
  }
}
