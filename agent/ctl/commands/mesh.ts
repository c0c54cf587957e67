/** This router, its neighbours, and the mesh beyond. */

import { asAgentError } from '../../core/errors.ts';
import type { Probes } from '../../report/api/probes.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, showing, views } from '../command.ts';
import { EXIT } from '../exit.ts';

/** Names of routers, as files of this one have them. */
const namesHere = async () => (await import('../reach/files.ts')).namesByAddress();

const showStatus = showing<Of<typeof shapes.status>>(
  '/mesh/status',
  async (answer, to) => (await views()).statusText(answer, to),
  ({ health }) => (health === 'problem' ? EXIT.problem : EXIT.ok),
);

export const meshCommands: readonly Command[] = [
  {
    name: 'status',
    arguments: '',
    least: 0,
    most: 0,
    help: 'this router, its mesh and its healing at a glance',
    more: 'Exit status 1 if there is a problem: an open fault, or no mesh interface.',
    example: 'x0ctl status && echo all is well',
    run: async (context) => {
      try {
        return await showStatus(context);
      } catch (thrown) {
        if (asAgentError(thrown).code === 'E_AGENT_UNREACHABLE')
          (await import('../tunnels.ts')).sayLeftBehind(context, thrown);
        throw thrown;
      }
    },
  },
  {
    name: 'nodes',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the other routers, and the way to each',
    more: `Routers by name where /etc/bat-hosts, ~/bat-hosts or their certificates have
one; with their addresses beside it on 100 columns, in a pipe and with --json.
METRIC is that of the whole path: the TQ, 0 to 255 (BATMAN_IV), or the
throughput in Mbit/s, with an M (BATMAN_V).`,
    example: 'x0ctl nodes',
    run: showing<Of<typeof shapes.nodes>>('/mesh/nodes', async (answer, to) =>
      (await views()).nodesText(answer, to, await namesHere()),
    ),
  },
  {
    name: 'links',
    arguments: '',
    least: 0,
    most: 0,
    help: 'our neighbours, with the quality of each link',
    more: `NEIGHBOUR is the address of the interface at the other end, ROUTER whose it is,
by name where x0ctl nodes has one. Below it what XDP saw come in. AIR LOSS is
what gaps in batman-adv's sequence numbers show: lost on the way here, whatever
happens to what we send.`,
    example: 'x0ctl links --json | jq \'.links[] | select(.quality == "BAD")\'',
    run: showing<Of<typeof shapes.links>>('/mesh/links', async (answer, to) =>
      (await views()).linksText(answer, to, await namesHere()),
    ),
  },
  {
    name: 'probes',
    arguments: '',
    least: 0,
    most: 0,
    help: 'round-trip times over the mesh, by ICMP',
    more: 'To the addresses of probe.targets. Exit status 1 if nobody is asked.',
    example: 'x0ctl probes',
    run: showing<Probes>(
      '/mesh/probes',
      async (answer, to) => (await import('../probes.ts')).probesText(answer, to),
      ({ why }) => (why === null ? EXIT.ok : EXIT.problem),
    ),
  },
  {
    name: 'topology',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the graph of the mesh, with shortest paths from here',
    more: `batman-adv knows next hops, not maps: beyond a neighbour stands the route,
over however many hops. Below the table stands what would split the mesh:
routers without which it falls apart, and edges that no other way goes around.`,
    example: 'x0ctl topology --dot | dot -Tsvg > mesh.svg',
    options: {
      dot: { type: 'boolean', help: 'for Graphviz' },
      netjson: { type: 'boolean', help: 'as NetJSON NetworkGraph' },
      to: { type: 'string', value: 'ROUTER', help: 'only the three cheapest ways to it' },
      from: { type: 'string', value: 'ROUTER', help: 'with --to: from it and not from here' },
      file: { type: 'string', value: 'FILE', help: 'of a map, NetJSON or meshviewer.json; needs no agent' },
    },
    run: async ({ to, json, options, agent }) => {
      const { showTopology } = await import('../topology.ts');
      return showTopology(options, to, json, agent);
    },
  },
];
