/**
 * A tunnel's interfaces in the kernel, by netlink. Its own addresses lie on lo, so that they outlive either path: an
 * address that goes with its interface takes connections and routes with it.
 *
 * Where a path is in use is what the routes say: nothing of that is kept elsewhere.
 */
import { writeFileSync } from 'node:fs';
import { AgentError, asAgentError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { SecretBytes } from '../../trust/keys/secret.ts';
import type { Slot } from '../../tunnel/message.ts';
import { type MeshEnd, SLOTS, vxlanName, wireguardName } from '../../tunnel/plan.ts';
import type { Native } from '../native.ts';
import { type NetlinkConnection, openConnections } from '../netlink/connection.ts';
import { isErrno } from '../netlink/message.ts';
import { dumpRoutes, encodeRefuse, encodeRefuseNot, encodeReplaceRoute, MAIN_TABLE } from '../netlink/routes.ts';
import {
  change,
  encodeAddAddress,
  encodeAddOwnAddress,
  encodeCreateWireguard,
  encodeDeleteAddress,
  encodeDeleteLink,
  encodeSetMtu,
  encodeSetUp,
  getLink,
  ipBytes,
  ipText,
} from '../netlink/rtnetlink.ts';
import { type Endpoint, openWireguard, type Wireguard, type WireguardDevice } from '../netlink/wireguard.ts';
import { holdHard, joinMesh } from './hard.ts';

/** Until there is a handshake the other end is to hear of us often: its side of the session begins with that. */
const CALL_SECONDS = 1;

/** What one tunnel has in the kernel. */
export interface LinkPlan {
  readonly name: string;
  readonly mtu: number;
  /** Of this router, inside. */
  readonly addresses: readonly string[];
  readonly networks: readonly string[];
  readonly table: number;
  readonly keepaliveSeconds: number;
  /** Where it is a hard interface of this mesh interface. */
  readonly mesh: (MeshEnd & { readonly under: string }) | null;
}

export interface Raise {
  readonly slot: Slot;
  readonly privateKey: SecretBytes;
  readonly theirs: string;
  readonly presharedKey: SecretBytes;
  readonly listenPort: number;
  readonly endpoint: Endpoint | null;
  readonly calls: boolean;
}

export interface FoundLink {
  readonly slot: Slot;
  readonly device: WireguardDevice;
  readonly isRouted: boolean;
}

export interface TunnelLinks {
  /** The paths of this tunnel that are there, with one peer. */
  found(plan: LinkPlan): Promise<FoundLink[]>;
  /** The same without a look at the routes. */
  look(plan: LinkPlan): Promise<WireguardDevice[]>;
  /** In place of what is there; takes no secret over. Throws E_NETLINK and its like. */
  raise(plan: LinkPlan, path: Raise): Promise<void>;
  call(plan: LinkPlan, slot: Slot): Promise<void>;
  /** Throws where the path is another one than that of this key. */
  route(plan: LinkPlan, slot: Slot, key: string): Promise<void>;
  /** Its hard interface into the mesh, where there was no mesh interface yet when it was made. */
  join(plan: LinkPlan): Promise<void>;
  settle(plan: LinkPlan, slot: Slot): Promise<void>;
  lower(plan: Pick<LinkPlan, 'name'>, slot: Slot): Promise<void>;
  /** All that there is of a tunnel that is configured no longer. */
  remove(name: string, addresses: readonly string[]): Promise<void>;
  close(): void;
}

/** Throws E_TUNNEL where this kernel has no WireGuard. */
export async function openLinks(native: Native, log: Log): Promise<TunnelLinks> {
  const { route, generic } = openConnections(native);
  const close = (): void => {
    route.close();
    generic.close();
  };
  try {
    const wireguard = await openWireguard(generic);
    if (wireguard === undefined)
      throw new AgentError('E_TUNNEL', 'this kernel has no WireGuard (kmod-wireguard, or the module wireguard)');
    return { ...links(route, wireguard, log), close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** As the kernel writes it, with no bits set behind the prefix, which it refuses in a route. */
function canonical(network: string): string {
  const [ip = '', prefix = ''] = network.split('/');
  const bytes = ipBytes(ip);
  for (let bit = Number(prefix); bit < bytes.length * 8; bit++) bytes[bit >> 3]! &= ~(0x80 >> (bit & 7));
  return `${ipText(bytes)}/${prefix}`;
}

/** Both inner ends of a tunnel that is part of the mesh are in it, and nobody else is. */
const meshNetwork = (local: string): string => canonical(`${local}/64`);

const hostNetwork = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

function links(route: NetlinkConnection, wireguard: Wireguard, log: Log): Omit<TunnelLinks, 'close'> {
  const networksOf = (plan: LinkPlan): string[] =>
    [...plan.networks, ...(plan.mesh === null ? [] : [hostNetwork(plan.mesh.remote)])].map(canonical);
  const addressesOf = (plan: LinkPlan): string[] => [
    ...plan.addresses,
    ...(plan.mesh === null ? [] : [plan.mesh.local]),
  ];
  const indexOf = async (name: string): Promise<number> => {
    const link = await getLink(route, name);
    if (link === undefined) throw new AgentError('E_NOT_FOUND', `there is no interface ${name}`, { interface: name });
    return link.index;
  };
  const peerOf = async (name: string): Promise<{ device: WireguardDevice; publicKey: string } | null> => {
    const device = await wireguard.device(name);
    const publicKey = device?.peers[0]?.publicKey;
    return device === undefined || publicKey === undefined ? null : { device, publicKey };
  };
  const unlessThere = async (message: Uint8Array, what: string): Promise<void> => {
    try {
      await change(route, message, what);
    } catch (thrown) {
      if (!isErrno(thrown, 'EEXIST')) throw thrown;
    }
  };
  const unlessGone = async (message: Uint8Array, what: string): Promise<void> => {
    try {
      await change(route, message, what);
    } catch (thrown) {
      if (!['ENODEV', 'EADDRNOTAVAIL', 'ESRCH'].some((name) => isErrno(thrown, name))) throw thrown;
    }
  };

  async function holdAddresses(plan: LinkPlan): Promise<void> {
    const lo = await indexOf('lo');
    for (const address of addressesOf(plan)) {
      const family = address.includes(':') ? 6 : 4;
      await unlessThere(
        encodeAddOwnAddress(lo, { family, address, prefix: family === 4 ? 32 : 128 }),
        `give ${plan.name} its address`,
      );
    }
  }

  return {
    async look(plan) {
      const paths = await Promise.all(SLOTS.map((slot) => peerOf(wireguardName(plan.name, slot))));
      return paths.flatMap((path) => (path === null ? [] : [path.device]));
    },
    async found(plan) {
      const found: FoundLink[] = [];
      const wanted = new Set(networksOf(plan));
      const routes = (await dumpRoutes(route)).filter(({ to, table }) => table === plan.table && wanted.has(to));
      for (const slot of SLOTS) {
        const path = await peerOf(wireguardName(plan.name, slot));
        if (path === null || path.device.publicKey === null) continue;
        const { device } = path;
        found.push({ slot, device, isRouted: routes.some(({ index }) => index === device.index) });
      }
      return found;
    },
    async raise(plan, { slot, privateKey, theirs, presharedKey, listenPort, endpoint, calls }) {
      const name = wireguardName(plan.name, slot);
      await unlessGone(encodeDeleteLink(name), `remove ${name}`);
      await change(route, encodeCreateWireguard(name), `make ${name}`);
      try {
        await change(route, encodeSetMtu(name, plan.mtu), `set the MTU of ${name}`);
        const old = plan.addresses.filter((address) => !address.includes(':'));
        loosen(name, old.length > 0, log);
        const index = old.length > 0 ? await indexOf(name) : 0;
        for (const address of old)
          await change(route, encodeAddAddress(index, { family: 4, address, prefix: 32 }), `give ${name} its address`);
        const peer = {
          publicKey: theirs,
          presharedKey,
          replaceAllowedIps: true,
          allowedIps: networksOf(plan),
          ...(endpoint !== null && { endpoint }),
          // With it the handshake begins as soon as the interface is up.
          keepaliveSeconds: calls ? CALL_SECONDS : 0,
        };
        await wireguard.set(name, { privateKey, listenPort, replacePeers: true, peers: [peer] });
        await change(route, encodeSetUp(name, true), `start ${name}`);
      } catch (thrown) {
        await unlessGone(encodeDeleteLink(name), `remove ${name}`).catch(() => {});
        throw thrown;
      }
    },
    async call(plan, slot) {
      await keepAlive(wireguardName(plan.name, slot), CALL_SECONDS);
    },
    async route(plan, slot, key) {
      const name = wireguardName(plan.name, slot);
      const path = await peerOf(name);
      if (path?.device.publicKey !== key) throw new AgentError('E_NOT_FOUND', `${name} is gone, or another one`);
      await holdAddresses(plan);
      const { index } = path.device;
      const sourceOf = (network: string): string | null =>
        addressesOf(plan).find((address) => address.includes(':') === network.includes(':')) ?? null;
      for (const to of networksOf(plan)) {
        const isMesh = plan.mesh !== null && to === canonical(hostNetwork(plan.mesh.remote));
        const source = isMesh ? plan.mesh!.local : sourceOf(to);
        await change(route, encodeReplaceRoute({ to, index, table: plan.table, source }), `route ${to} into ${name}`);
      }
      // While no path leads there the VXLAN's frames must not go by the default route, in the clear.
      if (plan.mesh !== null && plan.table === MAIN_TABLE)
        await change(route, encodeRefuse(meshNetwork(plan.mesh.local)), `keep ${plan.name} off other ways`);
      await holdHard(route, plan, log);
    },
    async join(plan) {
      await joinMesh(route, plan);
    },
    settle: (plan, slot) => keepAlive(wireguardName(plan.name, slot), plan.keepaliveSeconds),
    lower: (plan, slot) =>
      unlessGone(encodeDeleteLink(wireguardName(plan.name, slot)), `remove a path of ${plan.name}`),
    async remove(name, addresses) {
      for (const link of [vxlanName(name), ...SLOTS.map((slot) => wireguardName(name, slot))])
        await unlessGone(encodeDeleteLink(link), `remove ${link}`);
      const lo = await indexOf('lo');
      for (const address of addresses) {
        const family = address.includes(':') ? 6 : 4;
        // Where it was none of the mesh there is no such route.
        if (family === 6) await unlessGone(encodeRefuseNot(meshNetwork(address)), `let ${name} go other ways`);
        await unlessGone(
          encodeDeleteAddress(lo, { family, address, prefix: family === 4 ? 32 : 128 }),
          `remove ${address}`,
        );
      }
    },
  };

  async function keepAlive(name: string, keepaliveSeconds: number): Promise<void> {
    const path = await peerOf(name);
    if (path === null) return;
    await wireguard.set(name, { peers: [{ publicKey: path.publicKey, updateOnly: true, keepaliveSeconds }] });
  }
}

/**
 * For a moment each end sends over one path and takes in over two: a strict reverse path filter (RFC 3704) would take that
 * for a forged source. WireGuard itself has looked at it (allowed IPs). The loose one drops all that comes in over an
 * interface without an IPv4 address, so that each path has the tunnel's; without one there is only none at all.
 */
function loosen(name: string, hasAddress: boolean, log: Log): void {
  try {
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, hasAddress ? '2' : '0');
  } catch (thrown) {
    log.debug(`the reverse path filter of ${name} stays as it is`, { error: asAgentError(thrown, 'E_TUNNEL').message });
  }
}
