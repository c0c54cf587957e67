/** The kernel as doctor and diag see it, once: with the agent or without, as root or with less. */
import { AgentError, asAgentError } from '../core/errors.ts';
import type {
  Gateway,
  HardInterface,
  Link,
  MeshInfo,
  Neighbour,
  OriginatorPath,
  RadioStation,
} from '../core/kernel.ts';
import { type Native, native } from '../host/native.ts';
import { type Batadv, openBatadv } from '../host/netlink/batadv.ts';
import { openConnections } from '../host/netlink/connection.ts';
import { openNl80211, type RadioInterface } from '../host/netlink/nl80211.ts';
import { dumpLinks } from '../host/netlink/rtnetlink.ts';
import type { Heard } from './doctor/facts.ts';

export interface KernelSight {
  /** Whether it has batman-adv; null where that could not be asked. */
  readonly batadv: boolean | null;
  /** Why the rest is empty or only in part there; null where it is whole. */
  readonly trouble: string | null;
  readonly links: readonly Link[];
  readonly mesh: MeshInfo | null;
  readonly hard: readonly HardInterface[];
  readonly neighbours: readonly Neighbour[];
  readonly originators: readonly OriginatorPath[];
  readonly gateways: readonly Gateway[];
  /** Further tables by name, where they were asked for; null where the kernel refused. */
  readonly tables: Readonly<Record<string, readonly unknown[] | null>>;
  readonly radios: readonly (RadioInterface & { readonly stations: readonly RadioStation[] })[];
  readonly air: readonly Heard[] | null;
}

export interface SightOptions {
  /** Listen on the hard interfaces for so long; 0 for not at all. */
  readonly listenMs: number;
  /** Also the tables that only a bug report needs. */
  readonly all: boolean;
}

const EMPTY: Omit<KernelSight, 'batadv' | 'trouble'> = {
  links: [],
  mesh: null,
  hard: [],
  neighbours: [],
  originators: [],
  gateways: [],
  tables: {},
  radios: [],
  air: null,
};

const ETH_P_BATMAN = 0x4305;
const PACKET_OUTGOING = 4;
const MOST_HEARD = 256;

/** Never throws: what could not be seen is in `trouble`. */
export async function seeKernel(meshInterface: string, { listenMs, all }: SightOptions): Promise<KernelSight> {
  let shim: Native;
  try {
    shim = native();
  } catch (thrown) {
    return { ...EMPTY, batadv: null, trouble: asAgentError(thrown, 'E_NATIVE').message };
  }
  const { route, generic } = openConnections(shim);
  let trouble: string | null = null;
  /** A part that is missing keeps nothing else from being seen. */
  const part = async <T>(work: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_NETLINK');
      const isDenied = error.detail.errno === 'EPERM' || error.detail.errno === 'EACCES';
      trouble ??= isDenied ? 'the tables are for root to read: run it as root' : error.message;
      return otherwise;
    }
  };
  try {
    const links = await part(() => dumpLinks(route), []);
    const radios = await part(async () => {
      const nl80211 = await openNl80211(generic);
      const found = [];
      for (const radio of (await nl80211?.interfaces()) ?? [])
        found.push({ ...radio, stations: (await nl80211?.stations(radio.index)) ?? [] });
      return found;
    }, []);
    let batadv: Batadv;
    try {
      batadv = await openBatadv(generic);
    } catch (thrown) {
      const isMissing = thrown instanceof AgentError && thrown.code === 'E_NO_BATADV';
      if (!isMissing) return { ...EMPTY, links, radios, batadv: null, trouble: asAgentError(thrown).message };
      return { ...EMPTY, links, radios, batadv: false, trouble };
    }
    const index = links.find(({ name, kind }) => name === meshInterface && kind === 'batadv')?.index;
    if (index === undefined) return { ...EMPTY, links, radios, batadv: true, trouble };
    const mesh = await part(async () => (await batadv.mesh(index)) ?? null, null);
    const hard = await part(() => batadv.hardInterfaces(index), []);
    const air = listenMs > 0 ? await listen(shim, hard, listenMs) : null;
    const tables: Record<string, readonly unknown[] | null> = {};
    if (all)
      for (const [name, ask] of Object.entries({
        'local-stations': batadv.localStations,
        'remote-stations': batadv.remoteStations,
        claims: batadv.claims,
        backbones: batadv.backbones,
        'arp-cache': batadv.arpCache,
        'multicast-flags': batadv.multicastFlags,
      }) as [string, (mesh: number) => Promise<readonly unknown[]>][])
        tables[name] = await part<readonly unknown[] | null>(() => ask(index), null);
    return {
      batadv: true,
      links,
      radios,
      mesh,
      hard,
      neighbours: await part(() => batadv.neighbours(index), []),
      originators: await part(() => batadv.originators(index), []),
      gateways: await part(() => batadv.gateways(index), []),
      tables,
      air,
      trouble,
    };
  } finally {
    route.close();
    generic.close();
  }
}

/** Who speaks batman-adv on these interfaces; null where we may not listen. */
function listen(shim: Native, hard: readonly HardInterface[], ms: number): Promise<Heard[] | null> {
  const heard = new Map<string, Heard>();
  const sockets: { close(): void }[] = [];
  try {
    for (const { index, name } of hard)
      sockets.push(
        shim.openPacket({
          ethertype: ETH_P_BATMAN,
          ifindex: index,
          snap: 64,
          onFrame: (frame, _index, packetType) => {
            if (packetType === PACKET_OUTGOING || frame.length < 16 || heard.size >= MOST_HEARD) return;
            const source = frame
              .subarray(6, 12)
              .toString('hex')
              .replace(/..(?=.)/g, '$&:');
            const one = { interface: name, source, type: frame[14]!, version: frame[15]! };
            heard.set(JSON.stringify(one), one);
          },
          onError: () => {},
        }),
      );
  } catch {
    for (const socket of sockets) socket.close();
    return Promise.resolve(null);
  }
  return new Promise((resolve) =>
    setTimeout(() => {
      for (const socket of sockets) socket.close();
      resolve([...heard.values()]);
    }, ms),
  );
}
