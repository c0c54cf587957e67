/**
 * This router's kernel as the machines know it: links by event, batman-adv's tables on request, changes at once.
 * Two netlink connections a protocol, so that no repair waits behind a table that is being read.
 */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Tables } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Change, InterfaceAddress, Link } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import type { Native } from './native.ts';
import { type Batadv, encodeSetMesh, openBatadv } from './netlink/batadv.ts';
import { type NetlinkConnection, openConnection } from './netlink/connection.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from './netlink/message.ts';
import {
  dumpAddresses,
  dumpLinks,
  encodeAddAddress,
  encodeCreateBatadv,
  encodeCreateBridge,
  encodeSetMaster,
  encodeSetUp,
  getLink,
  subscribeLinks,
} from './netlink/rtnetlink.ts';

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
}

export interface Kernel {
  readonly links: ReadonlyMap<IfIndex, Link>;
  byName(name: string): Link | undefined;
  tables(meshInterface: string): Promise<Tables>;
  addresses(name: string): Promise<InterfaceAddress[]>;
  /** Asks for one link and tells it as an event if it is not what events said. */
  look(name: string): void;
  /** Throws E_NOT_FOUND when an interface of it is not there. */
  prepare(change: Change): Prepared;
  /** At once; what the kernel says of it comes later: null is yes. */
  apply(change: Change, answer: (error: string | null) => void): void;
  close(): void;
}

/** Throws E_NO_BATADV, E_SOCKET, E_NETLINK. The first links have been told when the promise is kept. */
export async function openKernel(options: KernelOptions): Promise<Kernel> {
  const { native, log } = options;
  const route = openConnection({ native, protocol: NETLINK_ROUTE });
  const generic = openConnection({ native, protocol: NETLINK_GENERIC });
  let batadv: Batadv;
  const links = new Map<IfIndex, Link>();

  function changed(link: Link, cause: 'event' | 'resync'): void {
    links.set(link.index, link);
    options.onLink(link, cause);
  }

  function gone(index: IfIndex, name: string): void {
    if (!links.delete(index)) return;
    options.onLinkGone(index, name);
  }

  async function readLinks(): Promise<void> {
    const now = await dumpLinks(route);
    const present = new Set(now.map((link) => link.index));
    for (const link of [...links.values()]) if (!present.has(link.index)) gone(link.index, link.name);
    for (const link of now) changed(link, 'resync');
  }

  try {
    batadv = await openBatadv(generic);
    subscribeLinks(route, {
      onChange: (link) => changed(link, 'event'),
      onGone: gone,
      onResync: () => {
        log.warning('link events were lost: reading all links anew');
        readLinks().then(options.onResync, (thrown) => {
          const error = asAgentError(thrown, 'E_NETLINK');
          log.error('links cannot be read', { code: error.code, error: error.message });
        });
      },
    });
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
    look(name) {
      getLink(route, name).then(
        (link) => {
          if (link !== undefined) changed(link, 'event');
        },
        () => {},
      );
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
        case 'create-mesh':
          return { protocol: NETLINK_ROUTE, message: encodeCreateBatadv(change.mesh, change.algorithm, change.mac) };
        case 'create-bridge':
          return { protocol: NETLINK_ROUTE, message: encodeCreateBridge(change.interface) };
        case 'add-address':
          return { protocol: NETLINK_ROUTE, message: encodeAddAddress(indexOf(change.interface), change.address) };
      }
    },
    apply(change, answer) {
      let prepared: Prepared;
      try {
        prepared = kernel.prepare(change);
        connection(prepared.protocol).send(prepared.message, change.kind, (error) => answer(error?.message ?? null));
      } catch (thrown) {
        answer(asAgentError(thrown).message);
      }
    },
    close() {
      route.close();
      generic.close();
    },
  };

  function indexOf(name: string): IfIndex {
    const link = kernel.byName(name);
    if (link === undefined) throw new AgentError('E_NOT_FOUND', `there is no interface ${name}`, { interface: name });
    return link.index;
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
