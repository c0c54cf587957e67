/** Stations behind the routers of the mesh, as batman-adv's translation tables have them. */
import type { Mac } from '../core/ids.ts';
import type { Backbone, LocalStation, RemoteStation, Stations, Taken } from '../core/kernel.ts';

/** batadv_packet.h, enum batadv_tt_client_flags: on its way to another router, or not announced yet. */
const UNSETTLED = 0x002 | 0x400 | 0x800;
const MOST_DISPUTED = 32;
const MOST_TABLES = 1024;

/** The translation tables in short: what does not fit, and what each router's table is at. `addresses`: this router's own. */
export function summedUp(
  local: readonly LocalStation[],
  remote: readonly RemoteStation[],
  addresses: readonly Mac[],
  backbones: readonly Backbone[],
): Stations {
  const own = new Set<string>();
  for (const { station, vid, flags } of local) if ((flags & UNSETTLED) === 0) own.add(`${station} ${vid}`);
  const disputed: [Mac, Mac][] = [];
  const taken: Taken[] = [];
  const tables = new Map<Mac, { ttvn: number; vlans: Map<number, number> }>();
  for (const { station, originator, vid, flags, lastTtvn, crc32 } of remote) {
    if ((flags & UNSETTLED) === 0 && !isGroup(station)) {
      const isOurs = own.has(`${station} ${vid}`);
      if (isOurs && disputed.length < MOST_DISPUTED) disputed.push([station, originator]);
      if (!isOurs && addresses.includes(station) && taken.length < MOST_DISPUTED)
        taken.push({ station, vid, originator });
    }
    const table = tables.get(originator) ?? { ttvn: lastTtvn, vlans: new Map<number, number>() };
    table.vlans.set(vid, crc32);
    if (tables.size < MOST_TABLES) tables.set(originator, table);
  }
  const heard = backbones.flatMap(({ own: isOwn, lastSeenMs }) =>
    isOwn || lastSeenMs === undefined ? [] : lastSeenMs,
  );
  return {
    local: local.length,
    remote: remote.length,
    disputed,
    ...(taken.length > 0 && { taken }),
    ...(heard.length > 0 && { backboneMs: Math.min(...heard) }),
    tables: [...tables].map(([originator, { ttvn, vlans }]) => ({ originator, ttvn, vlans: [...vlans] })),
  };
}

/** A group belongs to all who listen to it: batman-adv announces its multicast listeners as stations, too. */
function isGroup(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}
