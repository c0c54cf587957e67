/** Stations behind the routers of the mesh, as batman-adv's translation tables have them. */
import type { Mac } from '../core/ids.ts';
import type { LocalStation, RemoteStation, Stations } from '../core/kernel.ts';

/** batadv_packet.h, enum batadv_tt_client_flags: on its way to another router, or not announced yet. */
const UNSETTLED = 0x002 | 0x400 | 0x800;
const MOST_DISPUTED = 32;
const MOST_TABLES = 1024;

/** The translation tables in short: what does not fit, and what each router's table is at. */
export function summedUp(local: readonly LocalStation[], remote: readonly RemoteStation[]): Stations {
  const own = new Set<string>();
  for (const { station, vid, flags } of local) if ((flags & UNSETTLED) === 0) own.add(`${station} ${vid}`);
  const disputed: [Mac, Mac][] = [];
  const tables = new Map<Mac, { ttvn: number; vlans: Map<number, number> }>();
  for (const { station, originator, vid, flags, lastTtvn, crc32 } of remote) {
    const isClaimed = (flags & UNSETTLED) === 0 && !isGroup(station) && own.has(`${station} ${vid}`);
    if (isClaimed && disputed.length < MOST_DISPUTED) disputed.push([station, originator]);
    const table = tables.get(originator) ?? { ttvn: lastTtvn, vlans: new Map<number, number>() };
    table.vlans.set(vid, crc32);
    if (tables.size < MOST_TABLES) tables.set(originator, table);
  }
  return {
    local: local.length,
    remote: remote.length,
    disputed,
    tables: [...tables].map(([originator, { ttvn, vlans }]) => ({ originator, ttvn, vlans: [...vlans] })),
  };
}

/** A group belongs to all who listen to it: batman-adv announces its multicast listeners as stations, too. */
function isGroup(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}
