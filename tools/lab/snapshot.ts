/** What of a router no repair may leave changed, and what differs between two looks at it. Runs inside the lab's kernel. */
import { type Mesh, nsOf, run } from './mesh.ts';

type Row = Record<string, unknown>;

const json = async <T>(router: number, ...command: string[]): Promise<T> =>
  JSON.parse(await run('ip', ['netns', 'exec', nsOf(router), ...command])) as T;

/** bat0 with MAC, addresses and settings, and every interface's place. */
export interface Snapshot {
  readonly settings: Row;
  readonly interfaces: Readonly<Record<string, Row>>;
}

/** Of `mesh_json`: what runs by itself. */
const RUNNING = new Set(['tt_ttvn', 'bla_crc', 'mcast_flags', 'mcast_flags_priv', 'mesh_ifindex']);

export async function snapshot(router: number): Promise<Snapshot> {
  const links = await json<Row[]>(router, 'ip', '-j', 'address', 'show');
  const has = links.some(({ ifname }) => ifname === 'bat0');
  const settings = has ? await json<Row>(router, 'batctl', 'meshif', 'bat0', 'mesh_json') : {};
  const hard = has ? await json<Row[]>(router, 'batctl', 'meshif', 'bat0', 'hardifs_json') : [];
  return {
    settings: Object.fromEntries(Object.entries(settings).filter(([key]) => !RUNNING.has(key))),
    interfaces: Object.fromEntries(
      links.map(({ ifname, address, master, mtu, flags, addr_info }) => {
        const { hard_ifindex: _, mesh_ifindex: __, ...own } = hard.find((row) => row.hard_ifname === ifname) ?? {};
        return [
          ifname as string,
          {
            address,
            master: master ?? null,
            mtu,
            up: (flags as string[]).includes('UP'),
            carrier: (flags as string[]).includes('LOWER_UP'),
            addresses: (addr_info as Row[]).map(({ local, prefixlen }) => `${local}/${prefixlen}`),
            ...own,
          },
        ];
      }),
    ),
  };
}

export const snapshots = (mesh: Mesh): Promise<Snapshot[]> =>
  Promise.all(Array.from({ length: mesh.size }, (_, router) => snapshot(router)));

export function differences(then: unknown, now: unknown, path = ''): string[] {
  if (typeof then !== 'object' || then === null || typeof now !== 'object' || now === null)
    return Object.is(then, now) ? [] : [`${path} was ${JSON.stringify(then)}, is ${JSON.stringify(now)}`];
  const keys = new Set([...Object.keys(then), ...Object.keys(now)]);
  return [...keys].flatMap((key) =>
    differences((then as Row)[key], (now as Row)[key], path === '' ? key : `${path}.${key}`),
  );
}
