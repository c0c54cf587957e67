/** Sessions with other routers, and what those say of themselves. */
import { type Nanos, toMs } from '../../core/time.ts';
import * as shapes from '../shapes.ts';
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

export interface PeerDesk {
  view(): readonly PeerView[];
  readonly halfOpen: number;
  /** Asks a router, by its SPIFFE ID or its name; answers a ticket. Throws E_NOT_FOUND, E_PEER_BUSY. */
  ask(whom: string, what: Question): string;
  /** The answer: JSON; null while it is awaited. Throws what came instead, E_NOT_FOUND for no such ticket. */
  answer(ticket: string): string | null;
}

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
    help: 'Asks another router over its session; the answer is fetched with the ticket.',
    body: [
      { name: 'whom', type: 'string', help: 'its SPIFFE ID or its name' },
      { name: 'what', type: 'string', help: Object.keys(QUESTIONS).join(', ') },
    ],
    changing: true,
    shape: shapes.peerTicket,
    answer: ({ sources, body: { whom, what } }) => {
      if (typeof whom !== 'string' || !/^[A-Za-z0-9._:/-]{1,400}$/.test(whom))
        throw usage('whom: expected a SPIFFE ID or the name of a router');
      if (typeof what !== 'string' || !Object.hasOwn(QUESTIONS, what))
        throw usage(`what: expected ${Object.keys(QUESTIONS).join(' or ')}`);
      if (sources.peers === undefined) throw usage('this router has no identity, and so no sessions');
      return { ticket: sources.peers.ask(whom, what as Question) };
    },
  }),
  call({
    method: 'GET',
    path: '/peers/answers/{id}',
    help: 'What a router answered; null while the answer is awaited.',
    shape: shapes.peerAnswer,
    answer: ({ sources, id }) => {
      if (sources.peers === undefined) throw usage('this router has no identity, and so no sessions');
      return { answer: sources.peers.answer(id) };
    },
  }),
];
