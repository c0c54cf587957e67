/**
 * The tunnels of this router: a machine each (agent/tunnel), what they ask for carried out in the kernel (links.ts), and
 * their conversation with the other ends over sessions. Keys are in memory only, from when they are made until the kernel
 * has them; the kernel does not hand them to us again.
 */
import { generateKeyPairSync } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Config } from '../../config/schema.ts';
import { AgentError, asAgentError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import { SecretBytes } from '../../trust/keys/secret.ts';
import type { AgreementKey, Suite } from '../../trust/keys/suite.ts';
import { type KeyFacts, presharedKey } from '../../tunnel/key.ts';
import { readAnswer, readRequest, type Slot, type TunnelAnswer } from '../../tunnel/message.ts';
import { leads, meshEnd, portOf, vxlanName, wireguardName } from '../../tunnel/plan.ts';
import { type Look, Tunnel, type TunnelEffect, type TunnelEvent, type TunnelView } from '../../tunnel/tunnel.ts';
import type { Endpoint, WireguardDevice } from '../netlink/wireguard.ts';
import type { LinkPlan, TunnelLinks } from './links.ts';
import { type Remembered, readTunnels, writeTunnels } from './memory.ts';

const LONGEST_MS = 3_600_000;
/** Requests of one peer that wait for an answer. */
const MOST_TICKETS = 16;

type TunnelConfig = Config['tunnel'][number];

/** What the tunnels need of the sessions. */
export interface Exchange {
  /** This router's SPIFFE id. */
  readonly own: string;
  readonly suite: Suite;
  /** Over an authenticated session with this peer and nobody else. Throws AgentError. */
  request(peer: string, body: unknown): Promise<unknown>;
  /** The fingerprint of the identity key that this peer has proven in the session that stands; null where none does. */
  keyOf(peer: string): string | null;
  /** Whether the router with this key is cast out of the mesh. */
  isRevoked(key: string): boolean;
}

export interface TunnelsOptions {
  readonly tunnels: readonly TunnelConfig[];
  readonly exchange: Exchange;
  readonly links: TunnelLinks;
  /** The mesh interface. */
  readonly mesh: string;
  /** What outlives the agent; null for nowhere. */
  readonly file: string | null;
  readonly log: Log;
  now(): Nanos;
  /** Milliseconds since 1970. */
  wall(): number;
}

/** What people see of one. */
export interface TunnelRow extends TunnelView {
  readonly name: string;
  readonly peer: string;
  readonly interface: string | null;
  /** The hard interface of the mesh; null where it is none. */
  readonly hard: string | null;
  readonly leads: boolean;
}

export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #ends = new Map<string, End>();

  constructor(options: TunnelsOptions) {
    this.#options = options;
    const { exchange, tunnels } = options;
    for (const tunnel of tunnels) {
      const peer = peerOf(exchange.own, tunnel.peer);
      if (peer === exchange.own) options.log.error(`tunnel ${tunnel.name} leads to this router itself`);
      else this.#ends.set(peer, new End(options, tunnel, peer, () => this.#remember()));
    }
  }

  /** Takes over what is there, and begins. */
  async start(): Promise<void> {
    const { file } = this.#options;
    const remembered = file === null ? [] : readTunnels(file);
    for (const end of this.#ends.values()) await end.start(remembered.find(({ name }) => name === end.name));
  }

  /** What the peer of a session asks. Throws E_NOT_FOUND where there is no tunnel with it, E_TUNNEL. */
  handle(peer: string, body: unknown): Promise<TunnelAnswer> {
    const end = this.#ends.get(peer);
    if (end === undefined) throw new AgentError('E_NOT_FOUND', 'no tunnel with that router is configured here');
    return end.asked(body);
  }

  /** A session with this router has begun. */
  reachable(peer: string): void {
    this.#ends.get(peer)?.reachable();
  }

  /** Somebody may have been revoked. */
  recheck(): void {
    for (const end of this.#ends.values()) end.recheck();
  }

  view(): TunnelRow[] {
    return [...this.#ends.values()].map((end) => end.view());
  }

  /** The interfaces stay: the kernel forwards on. */
  close(): void {
    for (const end of this.#ends.values()) end.close();
  }

  #remember(): void {
    const { file, log } = this.#options;
    if (file === null) return;
    try {
      writeTunnels(
        file,
        [...this.#ends.values()].flatMap((end) => end.remembered() ?? []),
      );
    } catch (thrown) {
      log.warning(`what tunnels there are cannot be written: ${asAgentError(thrown).message}`, { file });
    }
  }
}

/** Takes down what was left by an agent before and is configured no longer. */
export async function removeOthers(
  file: string,
  configured: readonly TunnelConfig[],
  open: () => Promise<TunnelLinks>,
  log: Log,
): Promise<void> {
  const remembered = readTunnels(file);
  const others = remembered.filter(({ name }) => !configured.some((tunnel) => tunnel.name === name));
  if (others.length === 0) return;
  const links = await open();
  try {
    for (const { name, addresses } of others) {
      log.info(`tunnel ${name} is configured no longer and is removed`);
      await links.remove(name, addresses);
    }
    writeTunnels(
      file,
      remembered.filter((one) => !others.includes(one)),
    );
  } finally {
    links.close();
  }
}

/** A node alone is one of our own trust domain. */
function peerOf(own: string, peer: string): string {
  return peer.startsWith('spiffe://') ? peer : own.replace(/[^/]+$/, () => peer);
}

interface Keys {
  readonly privateKey: SecretBytes;
  readonly agreement: AgreementKey;
}

class End {
  readonly name: string;
  readonly #options: TunnelsOptions;
  readonly #tunnel: TunnelConfig;
  readonly #peer: string;
  readonly #plan: LinkPlan;
  readonly #machine: Tunnel;
  readonly #leads: boolean;
  readonly #onMoved: () => void;
  /** Of paths that are being agreed, by our WireGuard key. */
  readonly #keys = new Map<string, Keys>();
  /** With whom the paths that there are were agreed, by our WireGuard key: fingerprints of identity keys. */
  readonly #agreedWith = new Map<Slot, { readonly key: string; readonly identity: string }>();
  readonly #tickets = new Map<number, (answer: TunnelAnswer) => void>();
  #nextTicket = 1;
  /** What changes the kernel, one after the other. */
  #queue: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: TunnelsOptions, tunnel: TunnelConfig, peer: string, onMoved: () => void) {
    const { own } = options.exchange;
    this.name = tunnel.name;
    this.#options = options;
    this.#tunnel = tunnel;
    this.#peer = peer;
    this.#onMoved = onMoved;
    this.#plan = {
      name: tunnel.name,
      mtu: tunnel.mtu,
      addresses: tunnel.address,
      networks: tunnel.allowed_ips,
      table: tunnel.table,
      keepaliveSeconds: tunnel.keepalive / SECOND,
      mesh: tunnel.mesh ? { ...meshEnd(own, peer), under: options.mesh } : null,
    };
    this.#leads = leads(own, peer);
    this.#machine = new Tunnel({
      leads: this.#leads,
      calls: tunnel.endpoint !== '',
      renewNs: tunnel.psk_interval,
    });
  }

  async start(remembered: Remembered | undefined): Promise<void> {
    const { links, exchange, now, wall, log } = this.#options;
    const sinceOf = (key: string | null): Nanos | null => {
      if (remembered === undefined || remembered.key !== key) return null;
      const since = now() - Math.max(0, wall() - remembered.since) * MS;
      // The file is gone with a reboot: what is older than that has the time of a clock that was set meanwhile.
      return since < 0 ? null : since;
    };
    try {
      // The configuration may name another router by now, and who was trusted may be cast out.
      const isRevoked = remembered !== undefined && exchange.isRevoked(remembered.identity);
      if (remembered !== undefined && (isRevoked || remembered.peer !== this.#peer)) {
        const why = isRevoked ? 'was revoked' : 'is configured no longer';
        log.warning(`tunnel ${this.name}: what is there leads to ${remembered.peer}, which ${why}: it is taken down`);
        await links.remove(this.name, remembered.addresses);
      }
      const found = await links.found(this.#plan);
      for (const { slot, device } of found)
        if (remembered !== undefined && device.publicKey === remembered.key)
          this.#agreedWith.set(slot, { key: remembered.key, identity: remembered.identity });
      this.#feed({
        type: 'found',
        paths: found.map(({ slot, device, isRouted }) => ({
          ...this.#lookOf(device),
          slot,
          theirs: device.peers[0]!.publicKey,
          isRouted,
          since: sinceOf(device.publicKey),
          order: device.index,
        })),
      });
    } catch (thrown) {
      const { code, message } = asAgentError(thrown, 'E_TUNNEL');
      log.error(`tunnel ${this.name} cannot be looked at: ${message}`, { code });
    }
  }

  asked(body: unknown): Promise<TunnelAnswer> {
    const request = readRequest(body);
    if (this.#tickets.size >= MOST_TICKETS) throw new AgentError('E_TUNNEL', 'too many requests wait for this tunnel');
    return new Promise((resolve) => {
      const ticket = this.#nextTicket;
      this.#nextTicket += 1;
      this.#tickets.set(ticket, resolve);
      this.#feed({ type: 'asked', ticket, request });
    });
  }

  reachable(): void {
    this.#feed({ type: 'reachable' });
  }

  recheck(): void {
    const { exchange } = this.#options;
    if (![...this.#agreedWith.values()].some(({ identity }) => exchange.isRevoked(identity))) return;
    this.#agreedWith.clear();
    this.#feed({ type: 'cast-out' });
  }

  view(): TunnelRow {
    const view = this.#machine.view(this.#options.now());
    return {
      ...view,
      name: this.name,
      peer: this.#peer,
      interface: view.slot === null ? null : wireguardName(this.name, view.slot),
      hard: this.#plan.mesh === null ? null : vxlanName(this.name),
      leads: this.#leads,
    };
  }

  remembered(): Remembered | null {
    const { now, wall } = this.#options;
    const { active } = this.#machine;
    const { since } = this.#machine.view(now());
    if (active === null || since === null) return null;
    const agreed = this.#agreedWith.get(active.slot);
    return {
      name: this.name,
      peer: this.#peer,
      interface: wireguardName(this.name, active.slot),
      key: active.ours,
      identity: agreed?.key === active.ours ? agreed.identity : '',
      since: Math.round(wall() - (now() - since) / MS),
      addresses: this.#addresses(),
    };
  }

  #addresses(): readonly string[] {
    const { addresses, mesh } = this.#plan;
    return [...addresses, ...(mesh === null ? [] : [mesh.local])];
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const keys of this.#keys.values()) wipe(keys);
    this.#keys.clear();
  }

  #feed(event: TunnelEvent): void {
    if (this.#closed) return;
    const { now, log } = this.#options;
    for (const effect of this.#machine.on(event, now())) {
      switch (effect.type) {
        case 'log':
          log.at(effect.level, `tunnel ${this.name}: ${effect.message}`, { peer: this.#peer });
          break;
        case 'ask':
          void this.#ask(effect);
          break;
        case 'reply':
          this.#tickets.get(effect.ticket)?.(effect.answer);
          this.#tickets.delete(effect.ticket);
          break;
        default:
          this.#queue = this.#queue.then(() => this.#carryOut(effect));
      }
    }
    if (event.type === 'routed') this.#onMoved();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const at = this.#machine.deadline();
    if (at === Number.POSITIVE_INFINITY || this.#closed) return;
    const wait = Math.min(LONGEST_MS, Math.max(1, Math.ceil((at - this.#options.now()) / MS)));
    this.#timer = setTimeout(() => this.#feed({ type: 'tick' }), wait).unref();
  }

  async #ask({ id, request }: Extract<TunnelEffect, { type: 'ask' }>): Promise<void> {
    try {
      const answer = readAnswer(await this.#options.exchange.request(this.#peer, request));
      this.#feed({ type: 'answered', id, answer, why: '' });
    } catch (thrown) {
      this.#feed({ type: 'answered', id, answer: null, why: asAgentError(thrown).message });
    }
  }

  async #carryOut(effect: Exclude<TunnelEffect, { type: 'ask' | 'reply' | 'log' }>): Promise<void> {
    if (this.#closed) return;
    const { links, log } = this.#options;
    const plan = this.#plan;
    try {
      switch (effect.type) {
        case 'key':
          this.#makeKeys();
          return;
        case 'raise':
          await this.#raise(effect);
          return;
        case 'call':
          await links.call(plan, effect.slot);
          return;
        case 'route':
          await links.route(plan, effect.slot, effect.key);
          this.#feed({ type: 'routed', key: effect.key });
          return;
        case 'settle':
          await links.settle(plan, effect.slot);
          return;
        case 'lower':
          this.#agreedWith.delete(effect.slot);
          await links.lower(plan, effect.slot);
          return;
        case 'sever':
          await links.remove(this.name, this.#addresses());
          this.#onMoved();
          return;
        case 'forget':
          this.#forget(effect.key);
          return;
        case 'look':
          this.recheck();
          this.#feed({ type: 'looked', looks: (await links.look(plan)).map((device) => this.#lookOf(device)) });
          await links.join(plan);
      }
    } catch (thrown) {
      const { code, message } = asAgentError(thrown, 'E_TUNNEL');
      if (effect.type === 'key' || effect.type === 'raise' || effect.type === 'route')
        this.#feed({ type: 'failed', what: effect.type, why: message });
      else log.warning(`tunnel ${this.name}: ${effect.type} did not work: ${message}`, { code });
    }
  }

  #makeKeys(): void {
    const { suite } = this.#options.exchange;
    const { privateKey, publicKey } = newWireguardKey();
    const secret = suite.newAgreement();
    const agreement = suite.agreementKey(secret);
    secret.wipe();
    this.#keys.set(publicKey, { privateKey, agreement });
    this.#feed({ type: 'keyed', key: publicKey, agreement: agreement.publicKey });
  }

  #forget(key: string): void {
    const keys = this.#keys.get(key);
    if (keys !== undefined) wipe(keys);
    this.#keys.delete(key);
  }

  async #raise(effect: Extract<TunnelEffect, { type: 'raise' }>): Promise<void> {
    const { slot, theirs, calls } = effect;
    const identity = this.#options.exchange.keyOf(this.#peer);
    if (identity === null) throw new AgentError('E_TUNNEL', 'the session over which it was agreed has ended');
    const { key, encapsulation, privateKey, presharedKey: psk } = this.#agreed(effect);
    this.#agreedWith.set(slot, { key, identity });
    try {
      const endpoint = calls || this.#tunnel.endpoint !== '' ? await this.#endpoint(slot, effect.roamed) : null;
      await this.#options.links.raise(this.#plan, {
        slot,
        privateKey,
        theirs,
        presharedKey: psk,
        listenPort: portOf(this.#tunnel.listen_port, slot),
        endpoint,
        calls,
      });
    } finally {
      privateKey.wipe();
      psk.wipe();
      this.#forget(key);
    }
    this.#feed({ type: 'raised', theirs, key, encapsulation });
  }

  /** The preshared key, as leader from what the other end encapsulated, as follower from what is encapsulated here. */
  #agreed({ key, theirs, agreed }: Extract<TunnelEffect, { type: 'raise' }>) {
    const { suite, own } = this.#options.exchange;
    if (key !== null) {
      const keys = this.#keys.get(key);
      if (keys === undefined) throw new AgentError('E_KEY', 'the keys of this path are gone');
      const facts: KeyFacts = {
        leader: own,
        follower: this.#peer,
        leaderWireguard: key,
        followerWireguard: theirs,
        agreement: keys.agreement.publicKey,
        encapsulation: agreed,
      };
      const psk = presharedKey(suite, keys.agreement.accept(agreed), facts);
      return { key, encapsulation: null, privateKey: keys.privateKey, presharedKey: psk };
    }
    const { message: encapsulation, secret } = suite.offer(agreed);
    const { privateKey, publicKey } = newWireguardKey();
    const psk = presharedKey(suite, secret, {
      leader: this.#peer,
      follower: own,
      leaderWireguard: theirs,
      followerWireguard: publicKey,
      agreement: agreed,
      encapsulation,
    });
    return { key: publicKey, encapsulation, privateKey, presharedKey: psk };
  }

  /** Where the other end is to be called: as configured, or `roamed`, where it was heard last. */
  async #endpoint(slot: Slot, roamed: boolean): Promise<Endpoint> {
    const [, bracketed, name, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(this.#tunnel.endpoint)!;
    const host = bracketed ?? name!;
    const last = roamed ? this.#machine.view(this.#options.now()).look?.endpoint : null;
    const known = /^\[?([^\]]+?)\]?:\d+$/.exec(last ?? '')?.[1];
    const address = known ?? (isIP(host) !== 0 ? host : (await lookup(host)).address);
    return { address, port: portOf(Number(port), slot), scope: 0 };
  }

  #lookOf(device: WireguardDevice): Look {
    const [peer] = device.peers;
    const { lastHandshakeMs = null, rxBytes = 0, txBytes = 0, endpoint = null } = peer ?? {};
    return {
      key: device.publicKey ?? '',
      handshakeNs: lastHandshakeMs === null ? null : Math.max(0, this.#options.wall() - lastHandshakeMs) * MS,
      rxBytes,
      txBytes,
      endpoint:
        endpoint === null
          ? null
          : endpoint.address.includes(':')
            ? `[${endpoint.address}]:${endpoint.port}`
            : `${endpoint.address}:${endpoint.port}`,
    };
  }
}

function wipe({ privateKey, agreement }: Keys): void {
  privateKey.wipe();
  agreement.wipe();
}

/** Both are the last 32 bytes of their DER (RFC 8410). */
function newWireguardKey(): { privateKey: SecretBytes; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  });
  const secret = Uint8Array.from(privateKey.subarray(-32));
  privateKey.fill(0);
  return { privateKey: new SecretBytes(secret), publicKey: publicKey.subarray(-32).toString('base64') };
}
