/** Stations behind the routers of the mesh, as batman-adv's translation tables have them. */
import type { Mac } from '../core/ids.ts';
import type { Backbone, LocalStation, RemoteStation, Stations, Taken } from '../core/kernel.ts';

/** batadv_packet.h, enum batadv_tt_client_flags: on its way to another router, or not announced yet. */
const UNSETTLED = 0x002 | 0x400 | 0x800;
const VLAN_HAS_TAG = 0x8000;
const VLAN_MASK = 0x0fff;
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
  // bat0's own address is a station on each of its networks. Of others a neighbour can announce any number, which must not
  // crowd out what matters.
  const networks = new Set(local.map(({ vid }) => vid));
  const isNear = (vid: number) => (vid & VLAN_HAS_TAG) === 0 || networks.has(vid);
  const room = { near: MOST_DISPUTED, elsewhere: MOST_DISPUTED };
  const disputed: [Mac, Mac][] = [];
  const taken: Taken[] = [];
  const tables = new Map<Mac, { ttvn: number; vlans: Map<number, number> }>();
  for (const { station, originator, vid, flags, lastTtvn, crc32 } of remote) {
    if ((flags & UNSETTLED) === 0 && !isGroup(station)) {
      const isOurs = own.has(`${station} ${vid}`);
      if (isOurs && disputed.length < MOST_DISPUTED) disputed.push([station, originator]);
      const where = isNear(vid) ? 'near' : 'elsewhere';
      if (!isOurs && addresses.includes(station) && room[where]-- > 0) taken.push({ station, vid, originator });
    }
    const table = tables.get(originator) ?? { ttvn: lastTtvn, vlans: new Map<number, number>() };
    table.vlans.set(vid, crc32);
    if (tables.size < MOST_TABLES) tables.set(originator, table);
  }
  let backboneMs = Number.POSITIVE_INFINITY;
  for (const { own: isOwn, lastSeenMs } of backbones)
    if (!isOwn && lastSeenMs !== undefined) backboneMs = Math.min(backboneMs, lastSeenMs);
  return {
    local: local.length,
    remote: remote.length,
    disputed,
    ...(taken.length > 0 && { taken }),
    ...(backboneMs < Number.POSITIVE_INFINITY && { backboneMs }),
    tables: [...tables].map(([originator, { ttvn, vlans }]) => ({ originator, ttvn, vlans: [...vlans] })),
  };
}

/**
 * Of what others announce only what is on networks that this router has in the mesh: the same address elsewhere (an uplink's,
 * plugged into another router's LAN) takes nothing from it, and batman-adv would note nothing there. `has`: asked once for each id.
 */
export async function onOurNetworks(said: Stations, has: (vid: number) => Promise<boolean>): Promise<Stations> {
  const { taken = [], ...rest } = said;
  const tagged = [...new Set(taken.map(({ vid }) => vid))].filter((vid) => (vid & VLAN_HAS_TAG) !== 0);
  const foreign = new Set<number>();
  for (const vid of tagged) if (!(await has(vid & VLAN_MASK))) foreign.add(vid);
  const ours = taken.filter(({ vid }) => !foreign.has(vid));
  return ours.length > 0 ? { ...rest, taken: ours } : rest;
}

/** A group belongs to all who listen to it: batman-adv announces its multicast listeners as stations, too. */
function isGroup(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}
