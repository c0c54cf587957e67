/** `x0ctl topology`: the mesh as this router sees it, or a map of one from a file. */
import { AgentError } from '../core/errors.ts';
import { alternatives } from '../mesh/alternatives.ts';
import { MOST_BYTES } from '../mesh/document.ts';
import { graphOf, type MeshMap, readMap } from '../mesh/map.ts';
import { writeNetjson } from '../mesh/netjson.ts';
import { Graph } from '../mesh/topology.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import { topologyOfMap } from '../report/topology.ts';
import type { Client } from './client.ts';
import { usage } from './command.ts';
import { readNamed } from './file.ts';
import { clean, clip, fold, plainJson, type Terminal } from './terminal.ts';
import { topologyDot, topologyNetjson, topologyText, waysText } from './views.ts';

const WAYS = 3;

/** Answers the exit status. */
export async function showTopology(
  { dot, netjson, to: target, from, file }: Readonly<Record<string, string | boolean | undefined>>,
  to: Terminal,
  json: boolean,
  agent: () => Promise<Client>,
): Promise<number> {
  if ([dot, netjson, target !== undefined, json].filter((one) => one === true).length > 1)
    throw usage('--dot, --netjson, --to and --json exclude each other');
  if (from !== undefined && target === undefined) throw usage('--from goes with --to');
  const map = typeof file === 'string' ? open(file) : null;
  const topology =
    map === null
      ? ((await (await agent()).get('/mesh/topology')) as Of<typeof shapes.topology>)
      : { version: 1 as const, ...topologyOfMap(map) };
  if (typeof target === 'string') {
    const graph = map === null ? Graph.of(topology.edges) : graphOf(map);
    const source = typeof from === 'string' ? from : topology.self;
    if (source === null)
      throw map === null
        ? new AgentError('E_NOT_FOUND', 'this router has no address in the mesh yet: --from says where from')
        : usage('--from: a map does not say where from');
    const known = new Set(topology.nodes.map(({ id }) => id));
    for (const [option, end] of Object.entries({ from: source, to: target }))
      if (!known.has(end))
        throw new AgentError('E_NOT_FOUND', `--${option}: there is no router ${clip(end)}; x0ctl topology shows them`);
    to.out(fold(waysText(alternatives(graph, source, target, WAYS), source, target), to));
  } else if (dot === true) to.out(topologyDot(topology));
  else if (netjson === true) to.out(map === null ? topologyNetjson(topology) : writeNetjson(map));
  else if (json) to.out(`${plainJson(topology)}\n`);
  else {
    to.out(topologyText(topology, to, map !== null));
    for (const note of map?.notes ?? []) to.err(`${clean(note)}\n`);
  }
  return 0;
}

function open(file: string): MeshMap {
  try {
    return readMap(readNamed(file, MOST_BYTES));
  } catch (thrown) {
    if (!(thrown instanceof AgentError) || thrown.code !== 'E_MAP') throw thrown;
    throw new AgentError('E_MAP', `${file}: ${thrown.message}`, thrown.detail, { cause: thrown });
  }
}
