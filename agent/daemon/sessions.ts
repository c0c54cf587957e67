/**
 * Joins the identity of this router to its sessions: what membership says (agent/trust/membership) travels over them, and
 * whom it no longer believes has none. A router that has no identity yet asks to be let in over a session of its own, where
 * only the other end has proven anything; whether that is one of the mesh to join the joining itself finds out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Identity } from '../host/identity.ts';
import { provider } from '../host/openssl.ts';
import type { Exchange, Handler, Manner } from '../peer/exchange.ts';
import { ORDERS, type Order } from '../report/api/peers.ts';
import { readCertificate } from '../trust/certificate/certificate.ts';
import { nodeOf, parseSpiffeId, routerId } from '../trust/certificate/spiffe.ts';
import type { Peer, Refused } from '../trust/certificate/verify.ts';
import { fingerprint } from '../trust/keys/router.ts';
import type { Suite } from '../trust/keys/suite.ts';
import { OWN } from '../trust/membership/words.ts';
import { orders } from './orders.ts';
import type { Agent, Part } from './part.ts';
import { peering } from './peers.ts';
import type { Trust } from './trust.ts';

const GOSSIP = 'trust/gossip';
const JOIN = 'trust/join';
/** What is larger goes with bulk, where longer requests are taken. */
const MOST_OF_CONTROL = 24 * 1024;
const MOST_CONVERSATIONS = 64;

/** How long to wait for the first word of a router that could let this one in. */
const HEARS_MS = 4000;

export interface Sessions extends Part {
  /** Requests of one kind, for a part of the agent that asks and answers them; others never see them. */
  channel(kind: string): Channel;
}

interface Channel {
  readonly suite: Suite;
  /** This router's SPIFFE ID; null while it has none. */
  own(): string | null;
  /** Asks this router and nobody else, over a session that is made if there is none. Throws AgentError. */
  request(peer: string, body: unknown): Promise<unknown>;
  /** Which identity key this router has proven in the session that stands, by fingerprint; null where none does. */
  keyOf(peer: string): string | null;
  /** Whether the router with this key is revoked. */
  isRevoked(key: string): boolean;
  /** Who answers; `peer` is the SPIFFE ID that the session has proven. */
  answer(handle: (peer: string, body: unknown) => Promise<unknown>): void;
  /** Told of each session that begins, and at once of those that stand. */
  onUp(told: (peer: string) => void): void;
  /** Told when somebody with a session is believed no longer. */
  onDistrust(told: () => void): void;
}

export async function sessions(
  config: Config,
  agent: Agent,
  identity: Identity,
  trust: Pick<Trust, 'permits' | 'isNamed'>,
): Promise<Sessions> {
  const { primitives } = await provider();
  const conversations = new Map<string, Exchange>();
  const told: ((peer: string) => void)[] = [];
  const distrusted: (() => void)[] = [];
  let counter = 0;
  let own: { readonly attempt: number; readonly session: Promise<Exchange & { close(): void }> } | null = null;

  const part = peering({
    config,
    agent,
    credentials: {
      suite: identity.tools.suite,
      current: () => identity.current(),
      verify: (chain) => identity.verify(chain),
    },
    aead: primitives.chacha20Poly1305,
    mayRead: (id) => trust.permits(id, 'read-status'),
    onFound() {
      // A joining that somebody listens to is not begun anew for another one.
      if (visited === null) identity.feed({ type: 'chance' });
    },
    onRenewed: ({ peer }) => identity.feed({ type: 'session-renewed', peer: peer! }),
    onUp({ peer }) {
      identity.feed({ type: 'session-up', peer: peer! });
      for (const tell of told) tell(peer!.id);
    },
    onDown: ({ peer }) => identity.feed({ type: 'session-down', key: peer!.fingerprint }),
  });
  const { peers } = part;

  const gossip: Handler = {
    handle(body, { from }) {
      identity.feed({ type: 'message', key: from.peer!.fingerprint, bytes: bytesOf(body) });
    },
  };
  const join: Handler = {
    anonymous: true,
    handle(body, { from }) {
      identity.feed({ type: 'joining', conversation: conversationOf(from), bytes: bytesOf(body) });
    },
  };
  peers.handle(GOSSIP, gossip);
  peers.handle(JOIN, join);
  const obey = orders(agent, trust);
  for (const what of Object.keys(ORDERS) as Order[])
    peers.handle(`node/${what}`, { handle: (body, { from }) => obey(what, from.peer!.id, body) });

  function conversationOf(from: Exchange): string {
    if (visited === from) return OWN;
    for (const [name, session] of conversations) if (session === from) return name;
    const name = `visit ${++counter}`;
    conversations.set(name, from);
    if (conversations.size > MOST_CONVERSATIONS) conversations.delete(conversations.keys().next().value!);
    return name;
  }

  /** The session over which this router asks to be let in. */
  let visited: Exchange | null = null;
  let latest = 0;

  async function ask(bytes: Uint8Array, attempt: number): Promise<void> {
    latest = attempt;
    if (own?.attempt !== attempt) {
      forgetVisit();
      for (let waited = 0; peers.places().length === 0 && waited < HEARS_MS; waited += 100) await sleep(100);
      if (attempt !== latest) return;
      const places = peers.places();
      const place = places[(attempt - 1) % Math.max(1, places.length)];
      if (place === undefined) throw new AgentError('E_NOT_FOUND', 'no router has said where it is');
      own = { attempt, session: peers.visit(place, unverified) };
    }
    const session = await own.session;
    // Another attempt may have begun meanwhile, with a session of its own.
    if (attempt !== latest) return;
    visited = session;
    visited.tell(JOIN, bytes, mannerOf(bytes));
  }

  function forgetVisit(): void {
    own?.session.then((session) => session.close()).catch(() => {});
    own = null;
    visited = null;
  }

  identity.attach({
    send(key, bytes) {
      const session = peers.sessions().find(({ peer }) => peer!.fingerprint === key);
      session?.tell(GOSSIP, bytes, mannerOf(bytes));
    },
    joinSend(conversation, bytes, attempt) {
      if (conversation !== OWN) conversations.get(conversation)?.tell(JOIN, bytes, mannerOf(bytes));
      else
        ask(bytes, attempt).catch((thrown: Error) => {
          if (attempt === latest) forgetVisit();
          agent.log.info('could not ask to be let in', { attempt, why: thrown.message });
        });
    },
    distrust(keys) {
      peers.distrust(keys);
      for (const tell of distrusted) tell();
    },
    reach(stewards) {
      const domain = parseSpiffeId(identity.current()?.id ?? '')?.trustDomain;
      if (domain === undefined) return;
      // Whoever is not reached now is asked for again.
      for (const { node } of stewards) void peers.reach(routerId(domain, node)).catch(() => {});
    },
    credential(credential) {
      if (credential !== null) forgetVisit();
      peers.renewed();
      part.announce();
    },
  });

  return {
    ...part,
    channel: (kind) => ({
      suite: identity.tools.suite,
      own: () => identity.current()?.id ?? null,
      request: (peer, body) => peers.request(peer, kind, body, { priority: 'control' }),
      keyOf: (peer) => peers.session(peer)?.peer?.fingerprint ?? null,
      isRevoked: (key) => identity.machine.isRevoked(key),
      answer: (handle) => peers.handle(kind, { handle: (body, { from }) => handle(from.peer!.id, body) }),
      onUp(tell) {
        told.push(tell);
        for (const { peer } of peers.sessions()) tell(peer!.id);
      },
      onDistrust: (tell) => void distrusted.push(tell),
    }),
  };
}

/** Whoever shows a certificate with bound keys: its holder proves these keys in the session, and nothing says whose they are. */
function unverified(chain: readonly Uint8Array[]): Peer | Refused {
  const leaf = readCertificate(chain[0] ?? new Uint8Array(0));
  const id = leaf?.uris[0] ?? '';
  if (leaf === null || leaf.bound === null)
    return {
      ok: false,
      code: 'E_SVID',
      reason: 'no-bound-keys',
      message: 'its certificate has no hybrid keys bound in',
    };
  const { spki, notBefore, notAfter, bound } = leaf;
  return {
    ok: true,
    id,
    node: nodeOf(id, parseSpiffeId(id)?.trustDomain ?? '') ?? '',
    fingerprint: fingerprint(bound.identity),
    issuers: [],
    keys: { identity: bound.identity, agreement: bound.agreement },
    spki,
    notBefore,
    notAfter,
    isLate: false,
  };
}

function mannerOf({ length }: Uint8Array): Manner {
  return { priority: length > MOST_OF_CONTROL ? 'bulk' : 'control' };
}

function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  throw new AgentError('E_PEER_PROTOCOL', 'membership speaks in bytes');
}
