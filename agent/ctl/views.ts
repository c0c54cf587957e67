/** The agent's answers as text for people. Pure: an answer and a terminal's width in, lines out. */

import type { Way } from '../mesh/alternatives.ts';
import { writeNetjson } from '../mesh/netjson.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import { isPlausible } from './clock.ts';
import {
  age,
  type Color,
  type Column,
  clean,
  fold,
  milliseconds,
  paint,
  type Terminal,
  table,
  wrap,
} from './terminal.ts';

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
    const rows = values.flatMap((value) => wrap(clean(value), Math.max(40, to.columns - 14), 2));
    for (const [i, text] of rows.entries()) lines.push(`  ${(i === 0 ? name : '').padEnd(11)} ${text}`);
  };
  const name = clean(status.node || 'this router');
  const title = `(${status.originator ?? 'no originator address yet'}): `;
  const isLong = name.length + title.length + status.health.length + 1 > to.columns;
  lines.push(
    paint(`${name}${isLong ? '\n  ' : ' '}${title}`, 'bold', to) +
      paint(status.health, HEALTH[status.health] ?? null, to),
  );
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
  if (status.xdp !== null) row('xdp', `${status.xdp.level}${status.xdp.why === null ? '' : `: ${status.xdp.why}`}`);
  row('dropped', ...(status.dropped ?? []).map(droppedText));
  if (status.identity !== null) row('identity', ...identityRows(status.identity));
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
    ...(heal.open > heal.faults.length ? [`and ${heal.open - heal.faults.length} more`] : []),
  );
  row(
    'last',
    ...heal.last.map(
      ({ fault, class: cause, action, step, time }) => `${localTime(time)} ${fault} ${cause}: ${action} ${step}`,
    ),
  );
  return `${lines.join('\n')}\n`;
}

const HEARD = {
  alarms: 'alarms, echoes or beacons',
  beacons: 'beacons',
  'own-ogms': 'own OGMs',
  neighbours: 'OGMs or ELP',
} as const;

function droppedText({ hears, interface: name, frames }: Of<typeof shapes.status>['dropped'][number]): string {
  const where = name === null ? 'any interface' : name;
  return `${frames} ${frames === 1 ? 'frame' : 'frames'} with ${HEARD[hears]}, on ${where}: no room`;
}

/** Names by address, as this router has them: they come before what others call themselves. */
type Names = ReadonlyMap<string, string>;

/** Of an address, which a name takes no more room than, but where there is some. */
const ADDRESS_WIDTH = 17;

/** A name in the place of an address, where two columns of a table have such. */
function called(name: string | null | undefined, address: string, { columns }: Screen): string {
  const most = ADDRESS_WIDTH + Math.max(0, Math.floor((columns - WITH_ADDRESS) / 2));
  const text = clean(name || address);
  return text.length <= most ? text : `${text.slice(0, most - 1)}~`;
}

/** Columns of a screen that takes the address beside the name. */
const WITH_ADDRESS = 100;

export function nodesText({ nodes }: Of<typeof shapes.nodes>, to: Screen, names: Names = new Map()): string {
  if (nodes.length === 0) return 'No other router is heard.\n';
  const nameOf = ({ originator, node }: (typeof nodes)[number]) => names.get(originator) ?? node;
  const isNamed = nodes.some((node) => nameOf(node) != null);
  return table(
    [
      { title: 'ROUTER', of: (node) => called(nameOf(node), node.originator, to) },
      ...(isNamed && to.columns >= WITH_ADDRESS
        ? [{ title: 'ADDRESS', of: ({ originator }: (typeof nodes)[number]) => originator }]
        : []),
      { title: 'STATE', of: ({ state }) => state },
      { title: 'HEALTH', of: ({ health }) => health, color: ({ health }) => HEALTH[health] ?? null },
      { title: 'METRIC', of: metric, right: true },
      {
        title: 'NEXT HOP',
        of: ({ nextHop, nextHopNode }) => called(names.get(nextHop) ?? nextHopNode, nextHop, to),
      },
      { title: 'VIA', of: (node) => node.interface, flexible: true },
      { title: 'SEEN', of: ({ lastSeenSeconds }) => age(lastSeenSeconds), right: true },
    ],
    nodes,
    to,
  );
}

export function linksText(
  { links, isolated = [] }: Of<typeof shapes.links>,
  to: Screen,
  names: Names = new Map(),
): string {
  const dropped = isolated
    .map(({ node, addresses }) => `Isolated: ${addresses.join(' ')} (${clean(node)}, revoked)\n`)
    .join('');
  if (links.length === 0) return `No neighbour is heard on any hard interface.\n${dropped}`;
  // Where no link is a radio's, nobody looks for what radios say; and there is not room for it everywhere.
  const hasRadio = links.some(({ radio }) => radio !== null);
  const isNarrow = to.columns < WITH_RADIO;
  let text = table(
    [
      VIA,
      NEIGHBOUR,
      {
        title: 'ROUTER',
        of: ({ originator, neighbour, node }) =>
          called(names.get(originator ?? neighbour) ?? names.get(neighbour) ?? node, originator ?? '-', to),
      },
      {
        title: 'QUALITY',
        of: ({ quality, carrier }) => (carrier ? (quality ?? '-') : 'no link'),
        color: ({ quality, carrier }) => (carrier ? (QUALITY[quality ?? ''] ?? null) : 'red'),
      },
      { title: 'METRIC', of: metric, right: true },
      { title: 'DELAY', of: ({ latencyMs }) => (latencyMs === null ? '-' : milliseconds(latencyMs)), right: true },
      { title: 'LOSS', of: ({ loss }) => (loss === null ? '-' : `${(loss * 100).toFixed(1)}%`), right: true },
      ...(hasRadio && !isNarrow ? RADIO : []),
      { title: 'SEEN', of: ({ lastSeenSeconds }) => age(lastSeenSeconds), right: true },
    ],
    links,
    to,
  );
  if (hasRadio && isNarrow) {
    const radios = links.filter(({ radio }) => radio !== null);
    text += `\nWhat the radios say:\n${table([VIA, NEIGHBOUR, ...RADIO], radios, to)}`;
  }
  const heard = links.flatMap(({ interface: via, neighbour, incoming }) =>
    incoming === null ? [] : [{ via, neighbour, ...incoming }],
  );
  if (heard.length > 0) text += `\nWhat came in:\n${incomingText(heard, to)}`;
  return dropped === '' ? text : `${text}\n${dropped}`;
}

type Incoming = NonNullable<Of<typeof shapes.links>['links'][number]['incoming']>;

/** What XDP saw, or a packet socket. */
function incomingText(rows: readonly (Incoming & { via: string; neighbour: string })[], to: Screen): string {
  return table(
    [
      { title: 'VIA', of: ({ via }) => via, flexible: true },
      { title: 'NEIGHBOUR', of: ({ neighbour }) => neighbour },
      { title: 'FRAMES', of: ({ frames }) => `${frames}`, right: true },
      { title: 'KIB', of: ({ bytes }) => (bytes / 1024).toFixed(0), right: true },
      {
        title: 'AIR LOSS',
        of: ({ lossOnAir }) => (lossOnAir === null ? '-' : `${(lossOnAir * 100).toFixed(1)}%`),
        right: true,
      },
      {
        title: 'LAST FRAME',
        of: ({ lastSeenMs }) => (lastSeenMs === null ? '-' : milliseconds(lastSeenMs)),
        right: true,
      },
      { title: '', of: ({ silent }) => (silent ? 'silent' : ''), color: ({ silent }) => (silent ? 'red' : null) },
    ],
    rows,
    to,
  );
}

export function xdpText(xdp: Of<typeof shapes.xdp>, to: Screen): string {
  const { level, why, variant, jit, interfaces, totals, strangers, lockedBytes, medianHandshakeMs } = xdp;
  const out = [`${level}${why === null ? '' : ` (${clean(why)})`}`];
  if (variant !== null)
    out.push(
      `programs: ${jit ? 'compiled' : 'interpreted'}, ${variant === 'timer' ? 'the kernel says who fell silent' : 'no kernel timer: silence is looked for'}, maps take ${Math.round(lockedBytes / 1024)} KiB`,
    );
  if (interfaces.length > 0)
    out.push(
      table(
        [
          { title: 'INTERFACE', of: ({ name }) => name, flexible: true },
          { title: 'COUNTS', of: (one) => one.level },
          { title: 'WHY', of: (one) => one.why ?? '', flexible: true },
        ],
        interfaces,
        to,
      ).trimEnd(),
    );
  const counted = Object.entries(totals);
  if (counted.length > 0)
    out.push(
      'what came in:',
      ...counted.map(([name, count]) => `  ${clean(name).padEnd(14)} ${count}`),
      `  ${strangers} senders at least are no neighbours`,
    );
  if (medianHandshakeMs !== null)
    out.push(`half of the TCP handshakes took at most ${milliseconds(medianHandshakeMs)}`);
  return fold(`${out.join('\n')}\n`, to);
}

interface ProfileRow {
  readonly name: string;
  readonly runs: number;
  readonly nsARun: number;
  readonly runsASecond: number;
  readonly share: number;
}

export function profileText(programs: readonly ProfileRow[], to: Screen): string {
  if (programs.length === 0) return 'No BPF program is loaded.\n';
  return table(
    [
      { title: 'PROGRAM', of: ({ name }) => name },
      { title: 'RUNS', of: ({ runs }) => `${runs}`, right: true },
      { title: 'NS A FRAME', of: ({ runs, nsARun }) => (runs === 0 ? '-' : nsARun.toFixed(0)), right: true },
      { title: 'FRAMES/S', of: ({ runsASecond }) => runsASecond.toFixed(1), right: true },
      { title: 'CPU', of: ({ share }) => `${(share * 100).toFixed(3)}%`, right: true },
    ],
    programs,
    to,
  );
}

type Link = Of<typeof shapes.links>['links'][number];

const VIA: Column<Link> = { title: 'VIA', of: (link) => link.interface, flexible: true };
const NEIGHBOUR: Column<Link> = { title: 'NEIGHBOUR', of: ({ neighbour }) => neighbour };
/** Columns of a screen that takes a link with what its radio says. */
const WITH_RADIO = 100;
const RADIO: readonly Column<Link>[] = [
  { title: 'SIGNAL', of: ({ radio }) => (radio?.signalDbm == null ? '-' : `${radio.signalDbm} dBm`), right: true },
  {
    title: 'RATE',
    of: ({ radio }) => (radio?.bitrateKbits == null ? '-' : `${radio.bitrateKbits / 1000}M`),
    right: true,
  },
];

const LIFE: Readonly<Record<string, Color>> = { alive: 'green', suspected: 'yellow', silent: 'red' };

export function beaconText({ beacon }: Of<typeof shapes.beacon>, to: Screen): string {
  if (beacon === null) return 'No beacons: beacon.enabled is off, or the mesh is not there yet.\n';
  const { slot, stride, phase, root, errorBoundUs: bound, jitterUs } = beacon;
  const lines: string[] = [];
  const row = (name: string, value: string) => lines.push(`  ${name.padEnd(10)} ${clean(value)}`);
  const turn = stride === null || stride === 1 ? '' : `, every ${stride} superframes (${phase})`;
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
  const stamped = beacon.stampedByXdp + beacon.stampedBySocket;
  const byXdp = `${Math.round((100 * beacon.stampedByXdp) / Math.max(1, stamped))} %`;
  row('arrivals', `${stamped} frames, ${byXdp} of them stamped by XDP, the rest by a packet socket`);
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

type Topology = Of<typeof shapes.topology>;

/** A map from a file is the whole mesh, and from nowhere in particular; what a router tells is what it sees. */
export function peersText({ enabled, halfOpen, peers }: Of<typeof shapes.peers>, to: Screen): string {
  if (!enabled)
    return fold(
      'No sessions: this router has no identity (x0ctl mesh init, or x0ctl join), or peer.enabled is 0.\n',
      to,
    );
  const open = halfOpen === 0 ? '' : `${halfOpen} connections where nobody has proven anything yet.\n`;
  if (peers.length === 0) return `No session with another router stands.\n${open}`;
  const rows = table(
    [
      { title: 'ROUTER', of: ({ id }) => id ?? '(asks to be let in)', flexible: true },
      { title: 'ADDRESS', of: ({ address }) => address, flexible: true },
      { title: 'SINCE', of: ({ sinceSeconds }) => age(sinceSeconds), right: true },
      { title: 'HYBRID', of: ({ hybrid }) => hybrid },
      { title: 'STREAMS', of: ({ streams }) => `${streams}`, right: true },
      { title: 'RTT', of: ({ rttMs }) => (rttMs === null ? '-' : milliseconds(rttMs)), right: true },
      { title: 'KIB', of: ({ bytesIn, bytesOut }) => ((bytesIn + bytesOut) / 1024).toFixed(0), right: true },
    ],
    peers,
    to,
  );
  return `${rows}\nSuite: ${peers[0]!.suite}.\n${open}`;
}

export function topologyText(topology: Topology, to: Screen, isMap: boolean): string {
  const { nodes, statistics: found, self, cuts } = topology;
  const rows = [...nodes].sort((a, b) => (a.cost ?? Number.MAX_VALUE) - (b.cost ?? Number.MAX_VALUE));
  const parts = `${found.components} ${found.components === 1 ? 'part' : 'parts'}`;
  const least = found.sources < found.nodes ? 'at least ' : '';
  const diameter = `diameter ${least}${found.diameterHops} edges (cost ${found.diameterCost})`;
  const lines = [
    `${found.nodes} routers, ${found.edges} edges, ${parts}, ${found.sources === 0 ? 'diameter not reckoned' : diameter}`,
    ...cuts.routers.map(({ id, parts: left }) => `without ${id} it splits: ${left.join(' + ')} routers`),
    ...cuts.edges.map(
      ({ from, to: end, parts: left }) => `without the edge ${from} to ${end} it splits: ${left.join(' + ')} routers`,
    ),
    ...(isMap ? [] : ['as seen from here; links between others are not known']),
  ];
  const columns = [
    { title: 'ROUTER', of: ({ id }: Topology['nodes'][number]) => (id === self ? `${id} (here)` : id) },
    { title: 'EDGES', of: ({ hops }: Topology['nodes'][number]) => (hops === null ? '-' : String(hops)), right: true },
    {
      title: 'COST',
      of: ({ cost }: Topology['nodes'][number]) => (cost === null ? 'no way' : String(cost)),
      right: true,
    },
    { title: 'THROUGH', of: ({ via }: Topology['nodes'][number]) => via ?? '-' },
  ];
  return `${self === null && isMap ? '' : table(columns, rows, to)}${lines.map((line) => fold(`${clean(line)}\n`, to)).join('')}`;
}

/** The cheapest ways to a router, from here or from another one. */
export function waysText(ways: readonly Way[], from: string, target: string): string {
  if (ways.length === 0) return `no way from ${clean(from)} to ${clean(target)} is known\n`;
  const costs = ways.map(({ cost }) => String(Math.round(cost * 1000) / 1000));
  const width = Math.max(...costs.map((cost) => cost.length));
  return ways.map(({ nodes }, i) => `${costs[i]!.padStart(width)}  ${clean(nodes.join(' > '))}\n`).join('');
}

/** Graphviz: `x0ctl topology --dot | dot -Tsvg`. Routes beyond a neighbour are dashed, those not in use dotted. */
export function topologyDot({ self, nodes, edges }: Topology): string {
  const quote = (text: string) => `"${clean(text).replaceAll(/["\\]/g, '\\$&')}"`;
  const style = { link: '', route: ', style=dashed', alternative: ', style=dotted' };
  return [
    'graph mesh {',
    ...nodes.map(({ id }) => `  ${quote(id)}${id === self ? ' [shape=box]' : ''};`),
    ...edges.map(({ from, to, kind, cost }) => `  ${quote(from)} -- ${quote(to)} [label="${cost}"${style[kind]}];`),
    '}',
    '',
  ].join('\n');
}

/** NetJSON NetworkGraph, of the ways in use. */
export function topologyNetjson({ self, algorithm, batmanVersion, nodes, edges }: Topology): string {
  return writeNetjson({
    protocol: 'batman-adv',
    version: batmanVersion,
    // What our costs are, of which batman-adv's own metrics are the reciprocal.
    metric: algorithm === 'BATMAN_V' ? 'ms per Mbit' : 'ETX',
    router: self,
    label: null,
    nodes: nodes.map(({ id }) => ({ id, label: null, addresses: [], online: null, gateway: null })),
    links: edges
      .filter(({ kind }) => kind !== 'alternative')
      .map(({ from, to, cost, kind }) => ({ source: from, target: to, cost, back: null, type: kind })),
  });
}

const ENDED = '(the agent ended without a word)';

export function recordingsText({ recordings }: Of<typeof shapes.recordings>, to: Screen): string {
  if (recordings.length === 0) return 'No recording is kept; x0ctl record export has the last minutes.\n';
  return table(
    [
      { title: 'ID', of: ({ id }) => String(id), right: true },
      { title: 'TIME', of: ({ time }) => localTime(time) },
      { title: 'BYTES', of: ({ bytes }) => String(bytes), right: true },
      {
        title: 'FAULTS',
        of: ({ faults, why }) => [...(why === 'ended' ? [ENDED] : []), ...faults].join(' '),
        flexible: true,
      },
    ],
    recordings,
    to,
  );
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

export function reportText(report: Of<typeof shapes.configReport>, to: Screen): string {
  const { file, valid, problems, untold, warnings, migrated, overridden } = report;
  const all = problems.length + untold;
  const told = (word: string, color: Color, message: string) =>
    fold(`${word}: ${clean(message)}`, to).replace(word, (said) => paint(said, color, to));
  const lines = [
    ...migrated.map((change) => told('older form', 'yellow', change)),
    ...overridden.map(({ option, variable }) => fold(`${variable} in the environment overrides ${option}`, to)),
    ...problems.map(({ message }) => told('error', 'red', message)),
    ...(untold === 0 ? [] : [fold(`and ${untold} more, which are not listed`, to)]),
    ...warnings.map(({ line, message }) =>
      told('warning', 'yellow', line === 0 ? message : `${file}:${line}: ${message}`),
    ),
    valid ? `${clean(file)} is valid.` : `${clean(file)} has ${all} ${all === 1 ? 'problem' : 'problems'}.`,
  ];
  return `${lines.join('\n')}\n`;
}

/** An RFC 3339 time in the zone of whoever reads, to the second; of a clock that was not set yet, no day. */
function localTime(time: string): string {
  const date = new Date(time);
  const two = (n: number) => String(n).padStart(2, '0');
  const day = isPlausible(date.getTime()) ? `${two(date.getMonth() + 1)}-${two(date.getDate())}` : '??-??';
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

type IdentityStatus = NonNullable<Of<typeof shapes.status>['identity']>;

function identityRows({
  state,
  id,
  isSteward,
  notAfter,
  stewards,
  clock,
  trouble,
  air,
  isolated,
  cryptography,
}: IdentityStatus): string[] {
  const own = cryptography.filter(({ provider }) => provider === 'noble').map(({ algorithm }) => algorithm);
  const by = own.length === 0 ? 'node:crypto' : `node:crypto; @noble for ${own.join(', ')}`;
  const reached = stewards.filter(({ isReached }) => isReached).length;
  return [
    `${id ?? 'none yet'}: ${state}${isSteward ? ', steward' : ''}`,
    ...(trouble === '' ? [] : [trouble]),
    ...(notAfter === null ? [] : [`until ${localTime(notAfter)}; ${reached} of ${stewards.length} stewards reached`]),
    ...(air.epoch === null
      ? ['no key of the air yet']
      : [
          `key of the air ${air.epoch}, ${age(air.ageSeconds)} old, ${air.keys} accepted${air.mixed ? '; routers without an identity by the mesh key' : ''}`,
        ]),
    ...isolated.map(({ node, addresses }) => `isolated: ${node}, ${addresses.join(' ')}`),
    ...(clock === 'behind' ? ['the wall clock is behind what stewards have signed: theirs counts'] : []),
    `cryptography: ${by}`,
  ];
}
