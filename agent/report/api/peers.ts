/** Sessions with other routers, and what those say of themselves. */
import { AgentError } from '../../core/errors.ts';
import { type Nanos, toMs } from '../../core/time.ts';
import type { Power } from '../../trust/policy.ts';
import * as shapes from '../shapes.ts';
import type { Sources } from '../sources.ts';
import { type Call, call, seconds, usage } from './call.ts';

/** One session, as it stands. */
export interface PeerView {
  /** Its SPIFFE ID and the name in it; null for a router that has no identity yet. */
  readonly id: string | null;
  readonly node: string | null;
  readonly address: string;
  /** This router's part in it. */
  readonly role: 'initiator' | 'responder';
  readonly since: Nanos;
  readonly suite: string;
  /** Where the post-quantum half of the key exchange is: in TLS, or in the session beside it. */
  readonly hybrid: 'TLS' | 'session';
  readonly rttNs: Nanos | null;
  /** Requests of ours and of the other side that are under way, and bytes that wait. */
  readonly asked: number;
  readonly handled: number;
  readonly queued: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What can be asked of another router, each a page of its API as JSON. */
export const QUESTIONS = { status: '/mesh/status', topology: '/mesh/topology', log: '/heal/log' } as const;
export type Question = keyof typeof QUESTIONS;

/** What another router can be asked to do: a call of its API, and what its policy has to allow for that. */
export const ORDERS = {
  invite: { url: '/trust/invite', power: 'admit', words: 'invite anybody' },
  revoke: { url: '/trust/revoke', power: 'revoke', words: 'revoke anybody' },
  kick: { url: '/heal/kick', power: 'tell-faults', words: 'tell it of faults' },
  mode: { url: '/heal/mode', power: 'change-configuration', words: 'change how it is set' },
} as const satisfies Record<string, { readonly url: string; readonly power: Power; readonly words: string }>;
export type Order = keyof typeof ORDERS;

export interface PeerDesk {
  view(): readonly PeerView[];
  readonly halfOpen: number;
  /** Asks a router, by its SPIFFE ID or its name; answers a ticket. `body` is of an order's call. Throws E_NOT_FOUND, E_PEER_BUSY. */
  ask(whom: string, what: Question | Order, body: Readonly<Record<string, unknown>>): string;
  /** The answer: JSON; null while it is awaited. Throws what came instead, E_NOT_FOUND for no such ticket. */
  answer(ticket: string): string | null;
}

const ASKED = [...Object.keys(QUESTIONS), ...Object.keys(ORDERS)] as (Question | Order)[];

export const peerCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/peers',
    help: 'The sessions with other routers: who has proven to be at the other end.',
    shape: shapes.peers,
    answer: ({ sources }) => {
      const desk = sources.peers ?? null;
      const now = sources.now();
      const peers = (desk?.view() ?? []).map(({ since, rttNs, asked, handled, queued, ...one }) => ({
        ...one,
        sinceSeconds: seconds(now - since),
        rttMs: rttNs === null ? null : toMs(rttNs),
        streams: asked + handled,
        queuedBytes: queued,
      }));
      return { enabled: desk !== null, halfOpen: desk?.halfOpen ?? 0, peers };
    },
  }),
  call({
    method: 'POST',
    path: '/peers/ask',
    help: 'Asks another router over its session, to tell or to do something; the answer is fetched with the ticket.',
    body: [
      { name: 'whom', type: 'string', help: 'its SPIFFE ID or its name' },
      { name: 'what', type: 'string', help: ASKED.join(', ') },
      { name: 'router', type: 'string', help: 'whom it shall invite or revoke' },
      { name: 'seconds', type: 'integer', help: 'how long the invitation is good for' },
      { name: 'lost', type: 'string', help: 'with kick: MAC address of a neighbour that is lost' },
      { name: 'mode', type: 'string', help: 'with mode: off, observe or act; of a class also auto' },
      { name: 'class', type: 'string', help: 'with mode: a class of faults' },
    ],
    changing: true,
    shape: shapes.peerTicket,
    answer: ({ sources, body: { whom, what, ...more } }) => {
      if (typeof whom !== 'string' || !/^[A-Za-z0-9._:/-]{1,400}$/.test(whom))
        throw usage('whom: expected a SPIFFE ID or the name of a router');
      const asked = ASKED.find((one) => one === what);
      if (asked === undefined) throw usage(`what: expected ${ASKED.join(' or ')}`);
      return { ticket: deskOf(sources).ask(whom, asked, bodyOf(asked, more)) };
    },
  }),
  call({
    method: 'GET',
    path: '/peers/answers/{id}',
    help: 'What a router answered; null while the answer is awaited.',
    shape: shapes.peerAnswer,
    answer: ({ sources, id }) => {
      return { answer: deskOf(sources).answer(id) };
    },
  }),
];

/** Of the call that the other router makes of it, and looks at. Throws E_USAGE. */
function bodyOf(
  asked: Question | Order,
  { router, seconds, lost, mode, class: kind }: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (asked === 'revoke' && router === undefined) throw usage('router: expected whom to revoke');
  if (asked === 'mode' && mode === undefined) throw usage('mode: expected off, observe, act or auto');
  if (asked === 'invite') return { node: router, seconds };
  if (asked === 'revoke') return { whom: router };
  if (asked === 'kick') return { lost };
  return asked === 'mode' ? { mode, class: kind } : {};
}

function deskOf({ peers }: Sources): PeerDesk {
  if (peers !== undefined) return peers;
  throw new AgentError('E_NOT_FOUND', 'this router has no identity, or peer.enabled is 0: there are no sessions');
}
