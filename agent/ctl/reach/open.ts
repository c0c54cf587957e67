/** What ping, traceroute and throughput have in common: the mesh interface, NODE by whatever name, and an end on Ctrl-C. */
import { asAgentError } from '../../core/errors.ts';
import type { Mac } from '../../core/ids.ts';
import { native } from '../../host/native.ts';
import { openReach, type Reach } from '../../host/reach.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { client } from '../client.ts';
import { configOf } from '../configured.ts';
import { namesHere } from './files.ts';
import { type Known, nameOf, resolveNode } from './names.ts';

/** An agent that hangs keeps nobody waiting for a name. */
const AGENT_MS = 2000;

export interface Asked {
  /** As the person named the router. */
  readonly word: string;
  readonly mesh: string | undefined;
  readonly configFile: string;
  /** The agent's, where one was named. */
  readonly socket: string | undefined;
}

export interface Found {
  readonly reach: Reach;
  readonly target: Mac;
  name(mac: Mac): string;
  /** Ctrl-C: the figures so far are an answer, too. */
  readonly stopped: AbortSignal;
}

/** Runs `work` with the router found. Throws what `openReach` and `resolveNode` throw. */
export async function reaching<T>(
  { word, mesh, configFile, socket }: Asked,
  work: (found: Found) => Promise<T>,
): Promise<T> {
  const config = configOf(configFile);
  const reach = await openReach(native(), mesh ?? config.mesh.interface);
  const ended = new AbortController();
  const stop = () => ended.abort();
  try {
    const [originators, stations, addresses] = await Promise.all([
      reach.originators(),
      reach.batadv.remoteStations(reach.mesh.index),
      reach.ipNeighbours(),
    ]);
    const names = namesHere();
    const known: Known = {
      self: reach.mesh.primary.mac,
      originators: [...new Set(originators.map(({ originator }) => originator))],
      stations: [...stations].sort((a, b) => Number(b.best) - Number(a.best)),
      addresses: addresses.flatMap(({ address, mac }) => (mac === undefined ? [] : [{ address, mac }])),
      names,
    };
    const target = await resolve(word, known, names, socket ?? config.report.socket);
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    return await work({ reach, target, name: (mac) => nameOf(mac, names), stopped: ended.signal });
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    reach.close();
  }
}

/** As files have it, and else as the agent knows its routers, where it answers. */
export async function resolve(word: string, known: Known, names: Map<string, string>, socket: string): Promise<Mac> {
  try {
    return resolveNode(word, known);
  } catch (thrown) {
    if (asAgentError(thrown).code !== 'E_NOT_FOUND') throw thrown;
    let told: Of<typeof shapes.nodes>['nodes'];
    try {
      told = ((await client(socket, AGENT_MS).get('/mesh/nodes')) as Of<typeof shapes.nodes>).nodes;
    } catch {
      throw thrown;
    }
    // An agent of before an upgrade tells none.
    for (const { node, originator } of told)
      if (node != null && !names.has(node.toLowerCase())) names.set(node.toLowerCase(), originator);
    return resolveNode(word, known);
  }
}
