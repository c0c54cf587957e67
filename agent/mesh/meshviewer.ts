/**
 * meshviewer.json: what the map servers of Freifunk communities (yanic, hopglass-server) offer. A node is known by
 * `node_id`, a link is told once and has the TQ of both directions, 0 to 1: `source_tq` is the source's for the target.
 */
import type { Place } from './document.ts';
import type { MapLink, MapNode, MeshMap } from './map.ts';
import { knownId, MOST_LINKS, MOST_NODES, newId, notesOf, textOrNull } from './netjson.ts';

const MOST_ADDRESSES = 64;

export function readMeshviewer(root: Place): MeshMap {
  const nodes: MapNode[] = [];
  const ids = new Set<string>();
  for (const node of root.at('nodes').list(MOST_NODES)) {
    const macs = node.has('macs') ? node.at('macs').list(MOST_ADDRESSES) : [];
    // '' stands for an address that the map server does not know.
    const addresses = [node.at('mac'), ...macs].filter(({ value }) => value !== undefined && value !== '');
    nodes.push({
      id: newId(node.at('node_id'), ids),
      label: textOrNull(node, 'hostname'),
      addresses: addresses.map((one) => one.text()),
      online: node.has('is_online') ? node.at('is_online').flag() : null,
      gateway: node.has('is_gateway') ? node.at('is_gateway').flag() : null,
    });
  }
  const links: MapLink[] = [];
  let toSelf = 0;
  for (const link of root.at('links').list(MOST_LINKS)) {
    const source = knownId(link.at('source'), ids);
    const target = knownId(link.at('target'), ids);
    const cost = costOf(link, 'source_tq');
    const back = costOf(link, 'target_tq');
    const type = textOrNull(link, 'type');
    if (source === target) toSelf++;
    else links.push({ source, target, cost: cost ?? back ?? 1, back: cost === null ? null : back, type });
  }
  return {
    format: 'meshviewer',
    protocol: 'batman-adv',
    version: null,
    metric: 'ETX',
    router: null,
    label: null,
    nodes,
    links,
    notes: notesOf(toSelf),
  };
}

/** Expected transmissions, as `costOf` of mesh.ts has them: 255 for no quality at all. null where it is not told. */
function costOf(link: Place, name: string): number | null {
  return link.has(name) ? 1 / Math.max(link.at(name).number(0, 1), 1 / 255) : null;
}
