/** The agent's answers as text for people. Pure: an answer and a terminal's width in, lines out. */

import type * as shapes from '../report/shapes.ts';
import type { Of } from '../report/shapes.ts';
import { age, type Color, clean, milliseconds, paint, type Terminal, table, wrap } from './terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'color'>;

const HEALTH: Readonly<Record<string, Color>> = {
  ok: 'green',
  healthy: 'green',
  degraded: 'yellow',
  problem: 'red',
  unreachable: 'red',
};
const QUALITY: Readonly<Record<string, Color>> = {
  EXCELLENT: 'green',
  GOOD: 'green',
  FAIR: 'yellow',
  POOR: 'yellow',
  BAD: 'red',
};
const STEP: Readonly<Record<string, Color>> = { verified: 'green', 'rolled-back': 'yellow', failed: 'red' };

export function statusText(status: Of<typeof shapes.status>, to: Screen): string {
  const { agent, mesh, heal } = status;
  const lines: string[] = [];
  const row = (name: string, ...values: readonly string[]) => {
    for (const [i, value] of values.entries()) lines.push(`  ${(i === 0 ? name : '').padEnd(11)} ${clean(value)}`);
  };
  const title = clean(`${status.node || 'this router'} (${status.originator ?? 'no originator address yet'}): `);
  lines.push(paint(title, 'bold', to) + paint(status.health, HEALTH[status.health] ?? null, to));
  row('why', ...status.reasons);
  row('agent', `version ${agent.version}, up ${age(agent.uptimeSeconds)}`);
  const version = mesh.batmanVersion === null ? '' : `, batman-adv ${mesh.batmanVersion}`;
  const interval = mesh.originatorIntervalMs === null ? '' : `, OGM every ${mesh.originatorIntervalMs} ms`;
  row('mesh', `${mesh.interface}${mesh.present ? '' : ' (missing)'}, ${mesh.algorithm}${version}${interval}`);
  row('routers', `${mesh.peers} heard${mesh.gateways > 0 ? `, ${mesh.gateways} gateways` : ''}`);
  row(
    'interfaces',
    ...status.hardInterfaces.map(
      ({ name, mac, active, carrier, primary }) =>
        `${name.padEnd(15)} ${mac} ${carrier ? 'up' : 'no carrier'}${active ? '' : ', not active'}${primary ? ', primary' : ''}`,
    ),
  );
  row('healing', `${heal.mode}${heal.authenticated ? '' : '; no mesh key: this router heals by itself only'}`);
  if (heal.budgets.length > 0)
    row(
      'budgets',
      heal.budgets.map(({ name, left, capacity }) => `${name} ${Math.floor(left)} of ${capacity}`).join(', '),
    );
  row('repairing', ...heal.repairs.map(({ fault, action, state }) => `${action} for ${fault}: ${state}`));
  row('undo armed', ...heal.undoArmed);
  row(
    'faults',
    ...(heal.faults.length === 0
      ? ['none open']
      : heal.faults.map(
          (fault) =>
            `${fault.id} ${[fault.class, fault.interface, fault.peer].filter((part) => part !== null).join(' ')}, for ${age(fault.ageSeconds)}`,
        )),
  );
  row(
    'last',
    ...heal.last.map(
      ({ fault, class: cause, action, step, time }) => `${localTime(time)} ${fault} ${cause}: ${action} ${step}`,
    ),
  );
  return `${lines.join('\n')}\n`;
}

export function nodesText({ nodes }: Of<typeof shapes.nodes>, to: Screen): string {
  if (nodes.length === 0) return 'No other router is heard.\n';
  return table(
    [
      { title: 'ROUTER', of: ({ originator }) => originator },
      { title: 'STATE', of: ({ state }) => state },
      { title: 'HEALTH', of: ({ health }) => health, color: ({ health }) => HEALTH[health] ?? null },
      { title: 'METRIC', of: metric, right: true },
      { title: 'NEXT HOP', of: ({ nextHop }) => nextHop },
      { title: 'VIA', of: (node) => node.interface, flexible: true },
      { title: 'SEEN', of: ({ lastSeenSeconds }) => age(lastSeenSeconds), right: true },
    ],
    nodes,
    to,
  );
}

export function linksText({ links }: Of<typeof shapes.links>, to: Screen): string {
  if (links.length === 0) return 'No neighbour is heard on any hard interface.\n';
  return table(
    [
      { title: 'VIA', of: (link) => link.interface, flexible: true },
      { title: 'NEIGHBOUR', of: ({ neighbour }) => neighbour },
      { title: 'ROUTER', of: ({ originator }) => originator ?? '-' },
      {
        title: 'QUALITY',
        of: ({ quality, carrier }) => (carrier ? (quality ?? '-') : 'no link'),
        color: ({ quality, carrier }) => (carrier ? (QUALITY[quality ?? ''] ?? null) : 'red'),
      },
      { title: 'METRIC', of: metric, right: true },
      { title: 'DELAY', of: ({ latencyMs }) => (latencyMs === null ? '-' : milliseconds(latencyMs)), right: true },
      { title: 'LOSS', of: ({ loss }) => (loss === null ? '-' : `${(loss * 100).toFixed(1)}%`), right: true },
      { title: 'SEEN', of: ({ lastSeenSeconds }) => age(lastSeenSeconds), right: true },
    ],
    links,
    to,
  );
}

const LIFE: Readonly<Record<string, Color>> = { alive: 'green', suspected: 'yellow', silent: 'red' };

export function beaconText({ beacon }: Of<typeof shapes.beacon>, to: Screen): string {
  if (beacon === null) return 'No beacons: beacon.enabled is off, or the mesh is not there yet.\n';
  const { slot, stride, phase, root, errorBoundUs: bound, jitterUs } = beacon;
  const lines: string[] = [];
  const row = (name: string, value: string) => lines.push(`  ${name.padEnd(10)} ${clean(value)}`);
  const turn = stride === null || stride === 1 ? '' : `, each ${stride}th superframe (${phase})`;
  const place =
    slot === null ? 'listening' : `slot ${slot} of ${beacon.slots}${turn}${beacon.overfull ? ', shared' : ''}`;
  lines.push(paint(clean(`beacons (${beacon.profile})`), 'bold', to));
  row('schedule', `${place}; a superframe of ${beacon.superframeMs} ms, slots of ${beacon.slotMs} ms`);
  row('two hops', `${beacon.within2Hops} other routers with beacons; collisions moved away from: ${beacon.collisions}`);
  row(
    'root',
    root === null ? 'looked for' : beacon.depth === 0 ? `${root}: this router` : `${root}, ${beacon.depth} hops away`,
  );
  row(
    'offset',
    `${beacon.offsetMs.toFixed(3)} ms ahead of this router's clock, drift ${beacon.driftPpm.toFixed(2)} ppm`,
  );
  row('error', bound === null ? 'not known yet' : `at most ${bound.toFixed(1)} us`);
  row('jitter', jitterUs === null ? 'no beacon has left yet' : `${jitterUs.toFixed(0)} us late (99th percentile)`);
  row('suspicions', `${beacon.suspicions} that proved wrong`);
  const head = `${lines.join('\n')}\n`;
  if (beacon.neighbours.length === 0) return `${head}No neighbour sends beacons.\n`;
  return `${head}${table(
    [
      { title: 'VIA', of: (one) => one.interface, flexible: true },
      { title: 'NEIGHBOUR', of: ({ address }) => address },
      { title: 'ROUTER', of: ({ node }) => node },
      { title: 'SLOT', of: (one) => String(one.slot), right: true },
      { title: 'HEARD', of: ({ heard }) => `${(heard * 100).toFixed(0)}%`, right: true },
      { title: 'STATE', of: ({ state }) => state, color: ({ state }) => LIFE[state] ?? null },
      { title: 'SEEN', of: ({ lastMs }) => age(lastMs / 1000), right: true },
    ],
    beacon.neighbours,
    to,
  )}`;
}

/** TQ as n/255, or throughput in Mbit/s. */
function metric({ tq, throughput }: { readonly tq: number | null; readonly throughput: number | null }): string {
  if (throughput !== null) return `${(throughput / 1000).toFixed(throughput < 100_000 ? 1 : 0)}M`;
  return tq === null ? '-' : `${tq}`;
}

export function topologyText(topology: Of<typeof shapes.topology>, to: Screen): string {
  const { nodes, statistics: found, self } = topology;
  const rows = [...nodes].sort((a, b) => (a.cost ?? Number.MAX_VALUE) - (b.cost ?? Number.MAX_VALUE));
  const summary = `${found.nodes} routers, ${found.edges} edges, ${found.components} ${found.components === 1 ? 'part' : 'parts'}, diameter ${found.diameterHops} edges (cost ${found.diameterCost})\nas seen from here; links between others are not known\n`;
  return (
    table(
      [
        { title: 'ROUTER', of: ({ id }) => (id === self ? `${id} (here)` : id) },
        { title: 'EDGES', of: ({ hops }) => (hops === null ? '-' : String(hops)), right: true },
        { title: 'COST', of: ({ cost }) => (cost === null ? 'no way' : String(cost)), right: true },
        { title: 'THROUGH', of: ({ via }) => via ?? '-' },
      ],
      rows,
      to,
    ) + summary
  );
}

/** Graphviz: `x0ctl topology --dot | dot -Tsvg`. Routes beyond a neighbour are dashed. */
export function topologyDot({ self, nodes, edges }: Of<typeof shapes.topology>): string {
  const quote = (text: string) => `"${clean(text).replaceAll(/["\\]/g, '\\$&')}"`;
  return [
    'graph mesh {',
    ...nodes.map(({ id }) => `  ${quote(id)}${id === self ? ' [shape=box]' : ''};`),
    ...edges.map(
      ({ from, to, kind, cost }) =>
        `  ${quote(from)} -- ${quote(to)} [label="${cost}"${kind === 'route' ? ', style=dashed' : ''}];`,
    ),
    '}',
    '',
  ].join('\n');
}

type Entry = Of<typeof shapes.log>['entries'][number];

export function logText({ entries }: Of<typeof shapes.log>, to: Screen, none = 'The journal is empty.'): string {
  if (entries.length === 0) return `${none}\n`;
  return table<Entry>(
    [
      { title: 'TIME', of: ({ time }) => localTime(time) },
      { title: 'FAULT', of: ({ fault }) => fault },
      { title: 'STEP', of: ({ step }) => step, color: ({ step }) => STEP[step] ?? null },
      { title: 'ACTION', of: ({ action }) => action },
      { title: 'AFTER', of: ({ afterMs }) => milliseconds(afterMs), right: true },
      {
        title: 'WHAT',
        // The peer stands in the explanation: here the result matters more than the width it would take.
        of: ({ class: cause, interface: name, peer, result }) =>
          `${cause} ${name ?? peer ?? ''}`.trimEnd() + (result === null ? '' : `: ${result}`),
        flexible: true,
      },
    ],
    entries,
    to,
  );
}

/** One journal entry as one line, for watch without a screen. */
export function entryLine(entry: Entry): string {
  const { time, fault, class: cause, interface: name, peer, step, action, afterMs, result } = entry;
  const about = [cause, name, peer].filter((part) => part !== null).join(' ');
  return clean(
    `${time} ${fault} ${about}: ${step} ${action} after ${milliseconds(afterMs)}${result === null ? '' : `: ${result}`}`,
  );
}

export function explanationText({ text }: Of<typeof shapes.explanation>, to: Screen): string {
  // What is indented goes on a little further in.
  const lines = text.flatMap((line) =>
    wrap(clean(line), to.columns, line.search(/\S|$/) + (line.startsWith(' ') ? 4 : 0)),
  );
  return `${lines.join('\n')}\n`;
}

export function reportText({ file, valid, problems, warnings }: Of<typeof shapes.configReport>, to: Screen): string {
  const lines = [
    ...problems.map(({ message }) => `${paint('error', 'red', to)}: ${clean(message)}`),
    ...warnings.map(
      ({ line, message }) => `${paint('warning', 'yellow', to)}: ${clean(`${file}:${line}: ${message}`)}`,
    ),
    valid
      ? `${clean(file)} is valid.`
      : `${clean(file)} has ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}.`,
  ];
  return `${lines.join('\n')}\n`;
}

/** An RFC 3339 time in the zone of whoever reads, to the second. */
function localTime(time: string): string {
  const date = new Date(time);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
