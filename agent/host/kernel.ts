/**
 * This router's kernel as the machines know it: links by event, batman-adv's tables on request, changes at once.
 * Two netlink connections a protocol, so that no repair waits behind a table that is being read.
 */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Tables } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Change, InterfaceAddress, Link, MeshSettings, Stations } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import type { Native } from './native.ts';
import { type Batadv, encodeSetHardInterface, encodeSetMesh, openBatadv } from './netlink/batadv.ts';
import { type NetlinkConnection, openConnections } from './netlink/connection.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from './netlink/message.ts';
import {
  dumpAddresses,
  dumpIpNeighbours,
  dumpLinks,
  encodeAddAddress,
  encodeCreateBatadv,
  encodeCreateBridge,
  encodeSetMaster,
  encodeSetMtu,
  encodeSetUp,
  encodeUseIpNeighbour,
  getLink,
  subscribeLinks,
} from './netlink/rtnetlink.ts';
import { onOurNetworks, summedUp } from './stations.ts';

/** Readings of all links in a row, on a router where they never stand still. */
const READINGS = 5;
/** Until they are read once more, where that failed or events were lost again. */
const RESYNC_MS = 1000;

/** A change as one netlink message, ready to go out or to be armed in the undo helper. */
export interface Prepared {
  readonly protocol: number;
  readonly message: Uint8Array;
}

export interface KernelOptions {
  readonly native: Native;
  readonly log: Log;
  onLink(link: Link, cause: 'event' | 'resync'): void;
  onLinkGone(index: IfIndex, name: string): void;
  /** Events were lost and everything has been read anew. */
  onResync(): void;
  /** Somebody set something of a mesh interface, perhaps we. */
  onMeshSettings(name: string, settings: MeshSettings): void;
}

export interface Kernel {
  readonly links: ReadonlyMap<IfIndex, Link>;
  byName(name: string): Link | undefined;
  tables(meshInterface: string): Promise<Tables>;
  addresses(name: string): Promise<InterfaceAddress[]>;
  /** null where it is no mesh. */
  stations(meshInterface: string): Promise<Stations | null>;
  /** NUD_* of whoever has this address. */
  neighbourStates(address: string): Promise<number[]>;
  /** Has the kernel find out whether somebody with this address is there: the states tell, some seconds later. */
  askNeighbour(index: IfIndex, address: string): Promise<void>;
  /** Asks for one link and tells what it is now, unless events have told something newer. Kept when that is over. */
  look(name: string): Promise<void>;
  /** Throws E_NOT_FOUND when an interface of it is not there. */
  prepare(change: Change): Prepared;
  /**
   * At once; what the kernel says of it comes later: null is yes, `isRefusal` a no, all else that nobody knows.
   * Throws E_NOT_FOUND or E_SOCKET where it did not go out at all.
   */
  apply(change: Change, answer: (error: AgentError | null) => void): void;
  close(): void;
}

/** Throws E_NO_BATADV, E_SOCKET, E_NETLINK. The first links have been told when the promise is kept. */
export async function openKernel(options: KernelOptions): Promise<Kernel> {
  const { native, log } = options;
  const { route, generic } = openConnections(native);
  let batadv: Batadv;
  const links = new Map<IfIndex, Link>();
  /** Events were lost since the last reading of all links began. */
  let lost = false;
  let resyncing = false;
  let closed = false;

  /** One set a reading under way, of what events have told since it began: what it answers of these may be older. */
  const readings = new Set<Set<IfIndex>>();

  async function reading<T>(
    ask: () => Promise<T>,
    take: (answer: T, told: ReadonlySet<IfIndex>) => void,
  ): Promise<void> {
    const told = new Set<IfIndex>();
    readings.add(told);
    try {
      take(await ask(), told);
    } finally {
      readings.delete(told);
    }
  }

  function changed(link: Link, cause: 'event' | 'resync'): void {
    // Two interfaces never have one name: whichever had it before is gone or renamed, and its own event on the way.
    for (const other of links.values()) if (other.name === link.name && other.index !== link.index) gone(other.index);
    links.set(link.index, link);
    options.onLink(link, cause);
  }

  /** By the name that was told of it last: a lost event may have renamed it. */
  function gone(index: IfIndex): void {
    const known = links.get(index);
    if (known === undefined) return;
    links.delete(index);
    options.onLinkGone(index, known.name);
  }

  /** Reads until nothing changes meanwhile: after lost events, those that were not lost may be older than the answer. */
  async function readLinks(): Promise<void> {
    for (let tries = 0, moved = true; moved && tries < READINGS; tries++) {
      lost = false;
      await reading(
        () => dumpLinks(route),
        (now, told) => {
          moved = lost || told.size > 0;
          const present = new Set(now.map((link) => link.index));
          for (const { index } of [...links.values()]) if (!present.has(index) && !told.has(index)) gone(index);
          for (const link of now) if (!told.has(link.index)) changed(link, 'resync');
        },
      );
    }
  }

  function resync(): void {
    lost = true;
    if (resyncing || closed) return;
    resyncing = true;
    log.warning('link events were lost: reading all links anew');
    readLinks()
      .then(options.onResync, (thrown) => {
        lost = true;
        const error = asAgentError(thrown, 'E_NETLINK');
        if (!closed) log.error('links cannot be read', { code: error.code, error: error.message });
      })
      .finally(() => {
        resyncing = false;
        if (lost && !closed) setTimeout(resync, RESYNC_MS).unref();
      });
  }

  try {
    batadv = await openBatadv(generic);
    subscribeLinks(route, {
      onChange: (link) => {
        for (const told of readings) told.add(link.index);
        changed(link, 'event');
      },
      onGone: (index) => {
        for (const told of readings) told.add(index);
        gone(index);
      },
      onResync: resync,
    });
    try {
      batadv.subscribeConfig(({ name, settings }) => options.onMeshSettings(name, settings));
    } catch (thrown) {
      log.info('settings are read now and then', { error: asAgentError(thrown).message });
    }
    await readLinks();
  } catch (thrown) {
    route.close();
    generic.close();
    throw thrown;
  }

  const kernel: Kernel = {
    links,
    byName(name) {
      for (const link of links.values()) if (link.name === name) return link;
      return undefined;
    },
    async tables(meshInterface) {
      const link = kernel.byName(meshInterface);
      if (link === undefined || link.kind !== 'batadv') return NOTHING;
      const index = link.index;
      const [mesh, hardInterfaces, originators, neighbours, gateways] = await Promise.all([
        batadv.mesh(index),
        batadv.hardInterfaces(index),
        batadv.originators(index),
        batadv.neighbours(index),
        batadv.gateways(index),
      ]);
      return mesh === undefined ? NOTHING : { mesh, hardInterfaces, originators, neighbours, gateways };
    },
    async addresses(name) {
      const index = kernel.byName(name)?.index;
      if (index === undefined) return [];
      const rows = await dumpAddresses(route);
      return rows
        .filter((row) => row.index === index && !isLinkLocal(row))
        .map(({ family, address, prefix }) => ({ family, address, prefix }));
    },
    async stations(meshInterface) {
      const link = kernel.byName(meshInterface);
      if (link === undefined || link.kind !== 'batadv') return null;
      const [local, remote, backbones] = await Promise.all([
        batadv.localStations(link.index),
        batadv.remoteStations(link.index),
        // A kernel without loop avoidance does not know the question.
        batadv.backbones(link.index).catch(() => []),
      ]);
      const bridge = links.get(link.master);
      const addresses = [link.mac, ...(bridge === undefined ? [] : [bridge.mac])];
      return onOurNetworks(summedUp(local, remote, addresses, backbones), (vid) =>
        batadv.vlan(link.index, vid).then(
          () => true,
          () => false,
        ),
      );
    },
    async neighbourStates(address) {
      const rows = await dumpIpNeighbours(route);
      return rows.filter((row) => row.address === address).map(({ state }) => state);
    },
    async askNeighbour(index, address) {
      await route.request(encodeUseIpNeighbour(index, address), `ask for ${address}`);
    },
    look(name) {
      const take = (link: Link | undefined, told: ReadonlySet<IfIndex>) => {
        if (link !== undefined && !told.has(link.index)) changed(link, 'event');
      };
      return reading(() => getLink(route, name), take).catch((thrown) => {
        const error = asAgentError(thrown, 'E_NETLINK');
        log.debug('an interface could not be looked at', { interface: name, code: error.code, error: error.message });
      });
    },
    prepare(change) {
      switch (change.kind) {
        case 'set-master':
          return {
            protocol: NETLINK_ROUTE,
            message: encodeSetMaster(indexOf(change.interface), change.master === null ? 0 : indexOf(change.master)),
          };
        case 'set-up':
          return { protocol: NETLINK_ROUTE, message: encodeSetUp(change.interface, change.up) };
        case 'set-mesh':
          return {
            protocol: NETLINK_GENERIC,
            message: encodeSetMesh(batadv.familyId(), indexOf(change.mesh), change.settings),
          };
        case 'set-hard':
          return {
            protocol: NETLINK_GENERIC,
            message: encodeSetHardInterface(
              batadv.familyId(),
              meshOf(change.interface),
              indexOf(change.interface),
              change.settings,
            ),
          };
        case 'netifd-up':
        case 'netifd-radio':
          throw new AgentError('E_BUG', 'netifd is not asked over netlink');
        case 'set-mtu':
          return { protocol: NETLINK_ROUTE, message: encodeSetMtu(change.interface, change.mtu) };
        case 'create-mesh':
          return { protocol: NETLINK_ROUTE, message: encodeCreateBatadv(change.mesh, change.algorithm, change.mac) };
        case 'create-bridge':
          return { protocol: NETLINK_ROUTE, message: encodeCreateBridge(change.interface, change.mac) };
        case 'add-address':
          return { protocol: NETLINK_ROUTE, message: encodeAddAddress(indexOf(change.interface), change.address) };
      }
    },
    apply(change, answer) {
      const { protocol, message } = kernel.prepare(change);
      connection(protocol).send(message, change.kind, answer);
    },
    close() {
      closed = true;
      route.close();
      generic.close();
    },
  };

  function indexOf(name: string): IfIndex {
    const link = kernel.byName(name);
    if (link === undefined) throw new AgentError('E_NOT_FOUND', `there is no interface ${name}`, { interface: name });
    return link.index;
  }

  /** The mesh interface that a hard interface is under. */
  function meshOf(name: string): IfIndex {
    const master = links.get(kernel.byName(name)?.master ?? 0);
    if (master?.kind !== 'batadv')
      throw new AgentError('E_NOT_FOUND', `${name} is under no mesh interface`, { interface: name });
    return master.index;
  }

  function connection(protocol: number): NetlinkConnection {
    return protocol === NETLINK_ROUTE ? route : generic;
  }

  return kernel;
}

const NOTHING: Tables = { mesh: null, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };

/** The kernel makes fe80:: addresses itself, from the MAC. */
function isLinkLocal({ family, address }: InterfaceAddress): boolean {
  return family === 6 && address.startsWith('fe80:');
}
