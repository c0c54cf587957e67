/**
 * Announcements on the air: UDP over IPv6, link-local on one interface, to a multicast group of this mesh's own. Every half
 * minute and more often at the start; who hears of somebody for the first time answers it alone, a moment later.
 */
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { Log } from '../../core/log.ts';
import { type Nanos, toMs } from '../../core/time.ts';
import {
  type Announcement,
  Announcements,
  MOST_ANNOUNCEMENT,
  openAnnouncement,
  sealAnnouncement,
} from '../../peer/announce.ts';
import type { Aead, Random } from '../../trust/keys/primitives.ts';
import type { SecretBytes } from '../../trust/keys/secret.ts';

/** Transient and of link-local scope (RFC 4291, 2.7): nobody else's by assignment. */
const GROUP = 'ff12::7830:7065';
const START_MS = [200, 1000, 3000, 10_000];
const EVERY_MS = 30_000;
const ANSWER_WITHIN_MS = 1000;
/** A mesh that has just come back is not to answer all at once. */
const MOST_ANSWERS = 64;

export interface DiscoveryOptions {
  /** bat0, or the bridge that has it, and whatever else there is to be heard on. */
  readonly interfaces: readonly string[];
  /** Of the group; the sessions' own port is in the announcement. */
  readonly port: number;
  readonly key: SecretBytes;
  readonly aead: Aead;
  readonly random: Random;
  readonly log: Log;
  now(): Nanos;
  /** What this router says of itself. */
  self(): Omit<Announcement, 'counter'>;
  onAnnounced(announcement: Announcement, address: string): void;
}

export interface Discovery {
  /** Says now where this router is. */
  announce(): void;
  close(): void;
}

/** Goes on without a word where the interface cannot be used; whoever opened it opens it anew when that has changed. */
export function openDiscovery(options: DiscoveryOptions): Discovery {
  const { interfaces, port, key, aead, random, log, now } = options;
  const heard = new Announcements(now());
  const local = networkInterfaces();
  const own = new Set(interfaces.flatMap((name) => local[name]?.map(({ address }) => `${address}%${name}`) ?? []));
  let counter = Math.floor(toMs(now()));
  let closed = false;
  let answers = 0;
  const timers = new Set<NodeJS.Timeout>();
  const socket: Socket = createSocket({ type: 'udp6', reuseAddr: true, ipv6Only: true });

  socket.on('error', (error: NodeJS.ErrnoException) => log.debug('discovery is not heard', { errno: error.code }));
  socket.on('message', (datagram, { address }) => {
    if (datagram.length > MOST_ANNOUNCEMENT || !isHere(address) || !heard.affords(now())) return;
    const said = openAnnouncement(aead, key, datagram);
    if (said === null || isOwn(said, address)) return;
    const news = heard.judge(said, address, now());
    if (news === 'old') return;
    if (said.port !== 0) options.onAnnounced(said, address);
    if ((news === 'again' && said.port !== 0) || answers >= MOST_ANSWERS || options.self().port === 0) return;
    answers += 1;
    later(ANSWER_WITHIN_MS * chance(), () => {
      answers -= 1;
      send(address);
    });
  });
  socket.bind({ port, address: '::' }, () => {
    socket.setMulticastTTL(1);
    for (const name of interfaces) {
      try {
        socket.addMembership(GROUP, `::%${name}`);
      } catch (thrown) {
        log.debug('discovery is not heard', { interface: name, errno: (thrown as NodeJS.ErrnoException).code });
      }
    }
    for (const ms of START_MS) later(ms * (0.5 + chance()), announce);
    again();
  });
  socket.unref();

  function isOwn({ id }: Announcement, address: string): boolean {
    return id === '' ? own.has(address) : id === options.self().id;
  }

  /** Link-local, and of an interface of ours: nobody from afar. */
  function isHere(address: string): boolean {
    return address.startsWith('fe80:') && interfaces.some((name) => address.endsWith(`%${name}`));
  }

  function chance(): number {
    return random(1)[0]! / 256;
  }

  function again(): void {
    later(EVERY_MS * (0.75 + chance() / 2), () => {
      announce();
      again();
    });
  }

  function later(ms: number, work: () => void): void {
    if (closed) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timer.unref();
    timers.add(timer);
  }

  function announce(): void {
    for (const name of interfaces) send(`${GROUP}%${name}`);
  }

  function send(to: string): void {
    const self = options.self();
    if (closed) return;
    counter += 1;
    socket.send(sealAnnouncement(aead, key, random(12), { ...self, counter }), port, to, (error) => {
      if (error !== null) log.debug('an announcement did not leave', { errno: (error as NodeJS.ErrnoException).code });
    });
  }

  return {
    announce,
    close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      socket.close();
    },
  };
}
