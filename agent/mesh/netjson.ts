/**
 * NetJSON NetworkGraph: a mesh as its routing protocol sees it (netjson.org/rfc.html, section 4).
 *
 * A link there has one direction, its cost is that from source to target. Two links of opposite directions between the
 * same nodes become one of a map; read and written again they are two as before.
 */
import { type Place, refused } from './document.ts';
import type { MapLink, MapNode, MeshMap } from './map.ts';

export const MOST_NODES = 10_000;
export const MOST_LINKS = 100_000;
/** Far above any metric in use; costs are added up along paths. */
const MOST_COST = 1e9;
const LEAST_COST = 1e-9;
const MOST_ADDRESSES = 64;

export function readNetjson(root: Place): MeshMap {
  const type = root.at('type');
  if (type.value !== 'NetworkGraph') throw type.refused('"NetworkGraph"');
  const nodes: MapNode[] = [];
  const ids = new Set<string>();
  for (const node of root.at('nodes').list(MOST_NODES)) {
    nodes.push({
      id: newId(node.at('id'), ids),
      label: textOrNull(node, 'label'),
      addresses: node.has('local_addresses')
        ? node
            .at('local_addresses')
            .list(MOST_ADDRESSES)
            .map((one) => one.text())
        : [],
      online: null,
      gateway: null,
    });
  }
  const links: (MapLink & { back: number | null })[] = [];
  /** By 'from', 'to': those whose way back has not been told. */
  const oneWay = new Map<string, (MapLink & { back: number | null })[]>();
  let toSelf = 0;
  for (const link of root.at('links').list(MOST_LINKS)) {
    const source = knownId(link.at('source'), ids);
    const target = knownId(link.at('target'), ids);
    // "MAY be omitted when representing static routes"
    const cost = link.has('cost') ? link.at('cost').number(LEAST_COST, MOST_COST) : 1;
    if (source === target) {
      toSelf++;
      continue;
    }
    const there = oneWay.get(JSON.stringify([target, source]))?.shift();
    if (there !== undefined) {
      there.back = cost;
      continue;
    }
    const found = { source, target, cost, back: null, type: null };
    links.push(found);
    const key = JSON.stringify([source, target]);
    const waiting = oneWay.get(key);
    if (waiting === undefined) oneWay.set(key, [found]);
    else waiting.push(found);
  }
  return {
    format: 'netjson',
    protocol: root.at('protocol').text(),
    version: textOrNull(root, 'version'),
    metric: textOrNull(root, 'metric'),
    router: textOrNull(root, 'router_id'),
    label: textOrNull(root, 'label'),
    nodes,
    links,
    notes: notesOf(toSelf),
  };
}

/** Members that a map does not know are left out, the required ones are there in any case. */
export function writeNetjson(map: Omit<MeshMap, 'format' | 'notes'>): string {
  const { protocol, version, metric, router, label } = map;
  const graph = {
    type: 'NetworkGraph',
    protocol,
    version,
    metric,
    ...(router !== null && { router_id: router }),
    ...(label !== null && { label }),
    nodes: map.nodes.map((node) => ({
      id: node.id,
      ...(node.label !== null && { label: node.label }),
      ...(node.addresses.length > 0 && { local_addresses: node.addresses }),
      ...((node.online !== null || node.gateway !== null) && {
        properties: {
          ...(node.online !== null && { online: node.online }),
          ...(node.gateway !== null && { gateway: node.gateway }),
        },
      }),
    })),
    links: map.links.flatMap(({ source, target, cost, back, type }) => {
      const more = type === null ? {} : { properties: { type } };
      const there = { source, target, cost, ...more };
      return back === null ? [there] : [there, { source: target, target: source, cost: back, ...more }];
    }),
  };
  return `${JSON.stringify(graph, null, 2)}\n`;
}

/** Reads an id that no node before had. */
export function newId(place: Place, ids: Set<string>): string {
  const id = place.text();
  if (ids.has(id)) throw refused(place.path, `a second node ${JSON.stringify(id)}`);
  ids.add(id);
  return id;
}

export function knownId(place: Place, ids: ReadonlySet<string>): string {
  const id = place.text();
  if (!ids.has(id)) throw refused(place.path, `there is no node ${JSON.stringify(id)}`);
  return id;
}

export function textOrNull(place: Place, name: string): string | null {
  return place.has(name) && place.at(name).value !== '' ? place.at(name).text() : null;
}

export function notesOf(toSelf: number): string[] {
  return toSelf === 0 ? [] : [`${toSelf} ${toSelf === 1 ? 'link' : 'links'} from a node to itself left out`];
}
