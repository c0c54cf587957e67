/**
 * Sessions with other routers: where they are listened for, who is dialled, what goes over them. Not on every router, so not
 * in every router's memory: loaded once there is an identity.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { basename } from 'node:path';
import type { Config } from '../config/schema.ts';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Event, LinkFigures } from '../core/event.ts';
import type { Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Symptom } from '../core/words.ts';
import { type Discovery, openDiscovery } from '../host/peer/discovery.ts';
import { type Address, Peers } from '../host/peer/peers.ts';
import type { Credentials } from '../peer/credentials.ts';
import type { Exchange } from '../peer/exchange.ts';
import { Newcomers } from '../peer/newcomers.ts';
import { ORDERS, type Order, type PeerDesk, QUESTIONS, type Question } from '../report/api/peers.ts';
import type { Aead } from '../trust/keys/primitives.ts';
import { SecretBytes } from '../trust/keys/secret.ts';
import type { Agent, Part } from './part.ts';
import { questions } from './questions.ts';

/** What says that a way may be broken, before it is known whether there is another. */
const SUSPICIOUS: ReadonlySet<Symptom['what']> = new Set([
  'carrier-lost',
  'left-mesh',
  'vanished',
  'mesh-gone',
  'neighbour-silent',
  'originator-dead',
]);
/** An interface that comes has its address a moment later: the kernel looks whether it is anybody else's first. */
const SETTLES_MS = 2500;
const LOOKS_MS = 10_000;
/** Without a session for so long, or none yet, the mesh is looked for beside bat0 too. */
const LONELY: Nanos = 60 * SECOND;
const MOST_TICKETS = 16;
const TICKET_MS = 60_000;
const MOST_ANSWER = 1024 * 1024;

export interface Peering extends Part {
  readonly peers: Peers;
  /** Tells the mesh now where this router is, or asks where others are. */
  announce(): void;
}

export interface PeeringOptions {
  readonly config: Config;
  readonly agent: Agent;
  readonly credentials: Credentials;
  readonly aead: Aead;
  /** Whether a router may read what this one shows. */
  mayRead(id: string): boolean;
  /** A router is heard that was not before. */
  onFound?(): void;
  onUp?(session: Exchange): void;
  onRenewed?(session: Exchange): void;
  onDown?(session: Exchange): void;
}

export function peering(options: PeeringOptions): Peering {
  const { config, agent, credentials, aead, mayRead } = options;
  const { log, now, metrics, mesh } = agent;
  const { port } = config.peer;
  const secret = config.mesh.key?.reveal() ?? '';
  const key = new SecretBytes(Buffer.from(hkdfSync('sha256', secret, 'x0tta6bl4', 'announcement v1', 32)));
  const peers = new Peers({
    credentials,
    log,
    now,
    random: () => randomBytes(4).readUInt32BE() / 2 ** 32,
    count: (name, labels) => metrics.take(name, labels, 1),
    onUp: (session) => options.onUp?.(session),
    onRenewed: (session) => options.onRenewed?.(session),
    onDown: (session) => options.onDown?.(session),
  });
  const tell = questions(agent, mayRead);
  for (const what of Object.keys(QUESTIONS) as Question[])
    peers.handle(`node/${what}`, { handle: (_body, { from }) => tell(what, from.peer!.id) });

  let discovery: Discovery | null = null;
  const newcomers = new Newcomers();
  /** Interfaces, their indexes and link-local addresses, as they are listened on. */
  let place = '';
  let name = config.mesh.interface;
  /** When a session stood last; the mesh itself may not let this router in. */
  let metAt = Number.NEGATIVE_INFINITY;
  const look = (): void => {
    name = interfaceOf(config.mesh.interface);
    if (peers.sessions().length > 0) metAt = now();
    const isLonely = now() >= metAt + LONELY;
    // Where only members' frames come in, who is none yet has no other way than the wire itself.
    const wires = config.bpf.admission || isLonely ? (agent.room.monitor.tables?.hardInterfaces ?? []) : [];
    const names = [...new Set([name, ...wires.map((hard) => hard.name)])];
    const interfaces = networkInterfaces();
    const local = names.flatMap((on) => {
      const one = interfaces[on]?.find(({ family, address }) => family === 'IPv6' && isLinkLocal(address));
      return one === undefined ? [] : [{ on, address: one.address, scope: 'scopeid' in one ? one.scopeid : 0 }];
    });
    const found = local.map(({ on, address, scope }) => `${on} ${scope} ${address}`).join();
    if (found === place) return;
    place = found;
    discovery?.close();
    discovery = null;
    const own: Address[] = local.map(({ on, address }) => ({ address: `${address}%${on}`, port }));
    peers.listen([...own, ...config.peer.listen.map((address) => ({ address, port }))]);
    if (local.length === 0 || !config.peer.announce) return;
    discovery = openDiscovery({
      interfaces: local.map(({ on }) => on),
      port,
      key,
      aead,
      random: (length) => randomBytes(length),
      log,
      now,
      self() {
        const own = credentials.current();
        const originator: Mac | '' = mesh.view().self ?? '';
        // Without a mesh key anybody can read it, so that it bears no name.
        const { epoch } = agent.state;
        return own === null
          ? { id: '', port: 0, originator, epoch }
          : { id: secret === '' ? '' : own.id, port, originator, epoch };
      },
      onAnnounced(said, address) {
        metrics.take('peer_announcements_total', {}, 1);
        if (peers.announced(said, address, !address.endsWith(`%${name}`))) options.onFound?.();
      },
    });
  };
  const later = (): void => {
    setTimeout(look, SETTLES_MS).unref();
  };
  const timer = setInterval(look, LOOKS_MS);
  timer.unref();
  peers.listen(config.peer.listen.map((address) => ({ address, port })));
  peers.configure(config.peer.connect.map((text) => endpoint(text, port)));
  look();

  // Only looks: what it hears is in the recordings already, and it decides nothing.
  const witness: Machine = {
    name: 'peers',
    on(event: Event) {
      // A repair does not wait for any of this.
      if (event.type === 'links')
        setImmediate(() => {
          const near = neighboursOf(event.links);
          peers.neighbours(near);
          // Beacons tell of a neighbour before batman-adv does.
          for (const { node } of agent.sources.beacon()?.neighbours ?? []) near.add(node);
          if (newcomers.take(near, now())) discovery?.announce();
        });
      else if (event.type === 'symptom' && SUSPICIOUS.has(event.symptom.what)) setImmediate(() => peers.suspect());
      else if (event.type === 'link' && (event.link.name === name || event.link.name === config.mesh.interface))
        later();
      return [];
    },
    deadline: () => NEVER,
  };
  agent.machines.push(witness);

  return {
    peers,
    announce: () => discovery?.announce(),
    shows: { peers: desk(peers) },
    close() {
      clearInterval(timer);
      discovery?.close();
      peers.close();
      key.wipe();
    },
  };
}

/** The API answers at once, other routers do not: a question gets a ticket, with which its answer is fetched. */
function desk(peers: Peers): PeerDesk {
  const tickets = new Map<string, { answer: string | null; error: AgentError | null }>();
  const idOf = (whom: string): string => {
    const found = peers.view().find(({ id, node }) => id === whom || node === whom);
    if (found?.id != null) return found.id;
    if (whom.startsWith('spiffe://')) return whom;
    throw new AgentError('E_NOT_FOUND', `no session with ${whom} stands; give its SPIFFE ID`);
  };
  return {
    view: () => peers.view(),
    get halfOpen() {
      return peers.halfOpen;
    },
    ask(whom: string, what: Question | Order, body: Readonly<Record<string, unknown>>) {
      if (tickets.size >= MOST_TICKETS) throw new AgentError('E_PEER_BUSY', 'too many answers are awaited');
      const id = idOf(whom);
      const ticket = randomBytes(8).toString('hex');
      const entry = { answer: null as string | null, error: null as AgentError | null };
      tickets.set(ticket, entry);
      setTimeout(() => tickets.delete(ticket), TICKET_MS).unref();
      const said = Object.hasOwn(ORDERS, what) ? JSON.stringify(body) : null;
      peers.request(id, `node/${what}`, said, { priority: 'bulk', most: MOST_ANSWER }).then(
        (page) => {
          if (typeof page === 'string') entry.answer = page;
          else entry.error = new AgentError('E_PEER_PROTOCOL', `${id} answered what is no page`);
        },
        (thrown) => {
          entry.error = asAgentError(thrown);
        },
      );
      return ticket;
    },
    answer(ticket) {
      const entry = tickets.get(ticket);
      if (entry === undefined) throw new AgentError('E_NOT_FOUND', 'there is no such ticket, or not any more');
      if (entry.answer !== null || entry.error !== null) tickets.delete(ticket);
      if (entry.error !== null) throw entry.error;
      return entry.answer;
    },
  };
}

/** The mesh interface, or the bridge that it is a port of: there the addresses are. */
function interfaceOf(mesh: string): string {
  try {
    return basename(readlinkSync(`/sys/class/net/${mesh}/master`));
  } catch {
    return mesh;
  }
}

function neighboursOf(links: readonly LinkFigures[]): Set<Mac> {
  return new Set(links.flatMap(({ originator }) => originator ?? []));
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/.test(address);
}

/** What `peer.connect` names, which the schema has checked: IPv4 or [IPv6] with or without a port, or an IPv6 address. */
export function endpoint(text: string, port: number): Address {
  const [, bracketed, plain, own] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d+))?$/.exec(text) ?? [];
  return { address: bracketed ?? plain ?? text, port: own === undefined ? port : Number(own) };
}
