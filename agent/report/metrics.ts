/**
 * Metrics: every family in one table, a small registry over it, and the Prometheus text format 0.0.4.
 * Ours, because prom-client costs 20 MB of a router's flash.
 */
import { QUALITIES } from '../mesh/quality.ts';
import type { Sources } from './sources.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds, ascending, without +Inf. */
  readonly buckets?: readonly number[];
}

/** Repairs take milliseconds, and stock batman-adv seconds: both have to be told apart. */
const REPAIR = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const DETECTION = [
  0.00005, 0.0001, 0.00015, 0.0002, 0.00025, 0.0003, 0.0004, 0.0005, 0.00075, 0.001, 0.0025, 0.005, 0.01, 0.1, 1,
];
const CYCLE = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

export const FAMILIES = {
  mesh_peers_count: { type: 'gauge', help: 'Routers of the mesh that are heard, this one not counted.' },
  mesh_nodes: { type: 'gauge', help: 'Known routers by state.', labels: ['state'] },
  mesh_node_events_total: { type: 'counter', help: 'Changes in the life of routers.', labels: ['event'] },
  mesh_latency_seconds: {
    type: 'gauge',
    help: 'One-way latency to a neighbour: half of the round trip.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_quality: {
    type: 'gauge',
    help: 'Quality class of a link: 4 EXCELLENT, 3 GOOD, 2 FAIR, 1 POOR, 0 BAD.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_loss_ratio: {
    type: 'gauge',
    help: 'Loss towards a neighbour, 0 to 1.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_throughput_bits_per_second: {
    type: 'gauge',
    help: 'Throughput to a neighbour as BATMAN_V has it.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_tq: {
    type: 'gauge',
    help: 'Transmit quality of a neighbour as BATMAN_IV has it, 0 to 255.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_signal_dbm: {
    type: 'gauge',
    help: 'Signal of a neighbour at our radio, averaged by its driver.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_bitrate_bits_per_second: {
    type: 'gauge',
    help: 'Bitrate at which our radio sends to a neighbour.',
    labels: ['interface', 'neighbour'],
  },
  mesh_link_expected_throughput_bits_per_second: {
    type: 'gauge',
    help: 'Throughput that the rate control of our radio expects towards a neighbour.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_frames_total: {
    type: 'counter',
    help: 'Frames that came in from a neighbour, as XDP counted them.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_bytes_total: {
    type: 'counter',
    help: 'Bytes that came in from a neighbour.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_sequence_numbers_total: {
    type: 'counter',
    help: "Sequence numbers of a neighbour's OGMs or ELP frames: those that came, and those lost on the air.",
    labels: ['interface', 'neighbour', 'outcome'],
  },
  mesh_neighbour_silent: {
    type: 'gauge',
    help: '1 while a neighbour is silent for longer than its deadline.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_last_seen_seconds: {
    type: 'gauge',
    help: 'Time since the last frame of a neighbour came in.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_gap_seconds: {
    type: 'gauge',
    help: 'Half of the frames of a neighbour came no further apart than this.',
    labels: ['interface', 'neighbour'],
  },
  mesh_neighbour_restarts_total: {
    type: 'counter',
    help: 'How often the sequence numbers of a neighbour began anew.',
    labels: ['interface', 'neighbour'],
  },
  mesh_xdp_interface: {
    type: 'gauge',
    help: '1 for what counts on a hard interface: native, generic, packet-socket or off.',
    labels: ['interface', 'level'],
  },
  mesh_xdp_frames_total: {
    type: 'counter',
    help: 'Frames from strangers, and those that XDP dropped, by why.',
    labels: ['what'],
  },
  mesh_tcp_connections_total: {
    type: 'counter',
    help: 'TCP connections of forwarded traffic, incoming side: an hourly sum with noise (differential privacy).',
    labels: ['step'],
  },
  mesh_privacy_budget_spent: {
    type: 'gauge',
    help: 'Of the epsilon of a day (bpf.epsilon / 100), what those sums have cost since it began.',
  },
  mesh_link_quality_changes_total: { type: 'counter', help: 'Changes of link quality classes.', labels: ['to'] },
  mesh_interface_up: { type: 'gauge', help: '1 while the mesh interface is there.' },
  mesh_hard_interface_up: { type: 'gauge', help: '1 while a hard interface has a carrier.', labels: ['interface'] },
  mesh_mttd_seconds: {
    type: 'histogram',
    help: 'From the arrival of what shows a fault to the decision about it.',
    buckets: DETECTION,
  },
  mesh_mttr_seconds: {
    type: 'histogram',
    help: 'From the first evidence of a fault to its verified repair.',
    buckets: REPAIR,
  },
  mape_k_cycle_duration_seconds: {
    type: 'histogram',
    help: 'Time that one phase of the MAPE-K loop took for one event.',
    labels: ['phase'],
    buckets: CYCLE,
  },
  self_healing_events_total: {
    type: 'counter',
    help: 'Repairs that came to an end.',
    labels: ['root_cause', 'action', 'success'],
  },
  self_healing_mttr_seconds: {
    type: 'histogram',
    help: 'From the first evidence of a fault to its verified repair, by what repaired it.',
    labels: ['recovery_type'],
    buckets: REPAIR,
  },
  self_healing_faults: { type: 'gauge', help: 'Faults that are not over.', labels: ['root_cause'] },
  self_healing_mode: { type: 'gauge', help: '1 for the mode of healing that is on.', labels: ['mode'] },
  self_healing_budget_left: { type: 'gauge', help: 'What may still be spent now.', labels: ['budget'] },
  self_healing_undo_armed: { type: 'gauge', help: 'Changes that would be undone if the agent died now.' },
  alarms_sent_total: { type: 'counter', help: 'Alarms of this router.' },
  alarms_received_total: { type: 'counter', help: 'Alarms accepted from others.' },
  alarms_refused_total: { type: 'counter', help: 'Frames from others that were refused.', labels: ['reason'] },
  echoes_refused_total: { type: 'counter', help: 'Echoes that were refused, or came too late.', labels: ['reason'] },
  kick_frames_total: { type: 'counter', help: 'Frames that kicks, withdrawals and answers to neighbours have cost.' },
  ways_retracted_total: {
    type: 'counter',
    help: 'Originators to which this router told its neighbours that it has no way.',
  },
  mesh_socket_frames_dropped_total: {
    type: 'counter',
    help: 'Frames that packet sockets of the agent had no room for, by what they hear; interface any: one for all.',
    labels: ['interface', 'hears'],
  },
  netlink_resyncs_total: { type: 'counter', help: 'Netlink events were lost and everything was read anew.' },
  netlink_errors_total: { type: 'counter', help: 'Netlink requests that failed.', labels: ['code'] },
  mesh_beacon_jitter_ms: {
    type: 'gauge',
    help: '99th percentile of how late the last hundred beacons left, in milliseconds.',
  },
  mesh_arrivals_stamped_total: {
    type: 'counter',
    help: 'Beacons, alarms and echoes that came in, by what stamped their arrival.',
    labels: ['by'],
  },
  mesh_probe_rtt_seconds: {
    type: 'gauge',
    help: 'Round trip of the last ICMP echo over the mesh.',
    labels: ['target'],
  },
  mesh_probes_total: {
    type: 'counter',
    help: 'ICMP echoes over the mesh: questions sent, and those answered in time.',
    labels: ['target', 'step'],
  },
  mesh_clock_offset_seconds: { type: 'gauge', help: 'How far the common time is ahead of the clock here.' },
  mesh_clock_error_bound_seconds: { type: 'gauge', help: 'No error of the common time here is larger.' },
  mesh_clock_depth: { type: 'gauge', help: 'Hops from the router whose clock is the common time.' },
  mesh_clock_drift_ratio: { type: 'gauge', help: 'How much faster the common time runs than the clock here.' },
  mesh_beacon_interval_seconds: {
    type: 'gauge',
    help: 'Time between two beacons of this router as it sends them now.',
  },
  mesh_beacon_routers: { type: 'gauge', help: 'Other routers within two hops that send beacons.' },
  mesh_beacon_overfull: { type: 'gauge', help: '1 where these outnumber the slots, and this router shares one.' },
  mesh_beacon_neighbours: {
    type: 'gauge',
    help: 'Neighbours that send beacons, by what is known of their life.',
    labels: ['state'],
  },
  mesh_beacon_collisions_total: { type: 'counter', help: 'Collisions of beacons noticed and moved away from.' },
  mesh_beacon_suspicions_total: { type: 'counter', help: 'Neighbours asked because of their silence that answered.' },
  beacons_sent_total: { type: 'counter', help: 'Beacons that left.' },
  beacons_failed_total: { type: 'counter', help: 'Beacons that did not leave.', labels: ['reason'] },
  beacons_received_total: { type: 'counter', help: 'Beacons accepted from neighbours.' },
  beacons_refused_total: {
    type: 'counter',
    help: 'Frames of beacons and probes that were refused.',
    labels: ['reason'],
  },
  workload_requests_total: {
    type: 'counter',
    help: 'Requests of programs to the SPIFFE Workload API, by the gRPC status of the answer.',
    labels: ['method', 'status'],
  },
  workload_streams: { type: 'gauge', help: 'Programs that are told of every renewal of their identity.' },
  workload_identities_total: { type: 'counter', help: 'Certificates and tokens made for programs.', labels: ['kind'] },
  mesh_tunnel_up: {
    type: 'gauge',
    help: 'Tunnels to other sites: 1 where one carries, 0 where it does not.',
    labels: ['tunnel'],
  },
  mesh_tunnel_key_age_seconds: {
    type: 'gauge',
    help: 'How long the preshared key in use has been in use.',
    labels: ['tunnel'],
  },
  mesh_tunnel_renewals_total: {
    type: 'counter',
    help: 'Renewals of a preshared key, by what became of them.',
    labels: ['tunnel', 'outcome'],
  },
  beacon_silences_total: { type: 'counter', help: 'Neighbours that were declared silent.' },
  peer_sessions: {
    type: 'gauge',
    help: 'Sessions that stand, by where their key exchange is hybrid.',
    labels: ['hybrid'],
  },
  peer_half_open: { type: 'gauge', help: 'Connections where nobody has proven anything yet.' },
  peer_queued_bytes: { type: 'gauge', help: 'What waits to be sent in all sessions.' },
  peer_handshakes_total: {
    type: 'counter',
    help: 'Connections to and from other routers, by what became of them.',
    labels: ['role', 'outcome'],
  },
  peer_refused_total: { type: 'counter', help: 'Connections to and from other routers that came to nothing.' },
  peer_announcements_total: { type: 'counter', help: 'Announcements of other routers.' },
  journal_entries: { type: 'gauge', help: 'Decisions in the journal.' },
  journal_entries_omitted_total: {
    type: 'counter',
    help: 'Decisions on what others can cause or feign, beyond what the journal keeps of those.',
  },
  node_health_status: {
    type: 'gauge',
    help: 'Health of a router: 1 healthy, 0.5 degraded, 0 unreachable; this one goes by its own address.',
    labels: ['node'],
  },
  node_uptime_seconds: { type: 'gauge', help: 'Time since the agent started.' },
  agent_degraded: {
    type: 'gauge',
    help: '1 for a part that works with less than it could.',
    labels: ['part', 'level'],
  },
  agent_build_info: { type: 'gauge', help: 'Always 1; the labels say what runs.', labels: ['version'] },
  http_requests_total: {
    type: 'counter',
    help: 'Requests answered, over HTTP and the control socket.',
    labels: ['method', 'endpoint', 'status'],
  },
  http_request_duration_seconds: {
    type: 'histogram',
    help: 'Time to answer a request.',
    labels: ['method', 'endpoint'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5],
  },
  process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory of the agent.' },
  process_cpu_seconds_total: { type: 'counter', help: 'CPU time of the agent.' },
  metrics_dropped_total: {
    type: 'counter',
    help: 'Figures left out because a family had too many series or was asked for wrongly.',
  },
} as const satisfies Record<string, Family>;

export type MetricName = keyof typeof FAMILIES;

/** Series of one family at most: a hostile mesh must not fill a router's memory with labels. */
const MOST_SERIES = 512;

interface Series {
  readonly labels: string;
  value: number;
  /** Histograms: counts a bucket, the last for +Inf; `value` is their sum. */
  counts?: number[];
}

export class Metrics {
  readonly #families = new Map<string, { family: Family; series: Map<string, Series> }>();

  constructor(families: Readonly<Record<string, Family>> = FAMILIES) {
    for (const [name, family] of Object.entries(families)) {
      this.#families.set(name, { family, series: new Map() });
      // What has no labels exists from the start, at 0: a rate needs a beginning.
      if (family.labels === undefined && family.type !== 'gauge') this.#series(name, {});
    }
  }

  /**
   * Adds to a counter, sets a gauge, or puts a value into a histogram, as the family's type says. Carries out the
   * effect 'metric'; never throws: what the table does not know is counted as dropped.
   */
  take(name: string, labels: Labels, value: number): void {
    const series = this.#series(name, labels);
    if (series === null || Number.isNaN(value)) {
      this.#drop();
      return;
    }
    const { family } = this.#families.get(name)!;
    if (family.type === 'gauge') series.value = value;
    else if (family.type === 'counter') series.value += Math.max(0, value);
    else {
      series.value += value;
      const at = family.buckets!.findIndex((bound) => value <= bound);
      series.counts![at === -1 ? family.buckets!.length : at]! += 1;
    }
  }

  /** Replaces all series of a gauge or a counter that somebody else keeps: what is gone goes from the page as well. */
  replace(name: string, rows: Iterable<readonly [Labels, number | null]>): void {
    const found = this.#families.get(name);
    if (found === undefined) {
      this.#drop();
      return;
    }
    found.series.clear();
    for (const [labels, value] of rows) {
      if (value === null) continue;
      const series = this.#series(name, labels);
      if (series === null) this.#drop();
      else series.value = value;
    }
  }

  /** The page, in the text format 0.0.4. */
  render(): string {
    const out: string[] = [];
    for (const [name, { family, series }] of this.#families) {
      if (series.size === 0) continue;
      const help = family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
      out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${family.type}`);
      for (const { labels, value, counts } of series.values()) {
        if (counts === undefined) {
          out.push(`${name}${labels && `{${labels}}`} ${numberText(value)}`);
          continue;
        }
        let total = 0;
        for (const [i, count] of counts.entries()) {
          total += count;
          const bound = numberText(family.buckets![i] ?? Number.POSITIVE_INFINITY);
          out.push(`${name}_bucket{${labels}${labels && ','}le="${bound}"} ${total}`);
        }
        const braces = labels && `{${labels}}`;
        out.push(`${name}_sum${braces} ${numberText(value)}`, `${name}_count${braces} ${total}`);
      }
    }
    return `${out.join('\n')}\n`;
  }

  #series(name: string, labels: Labels): Series | null {
    const found = this.#families.get(name);
    if (found === undefined) return null;
    const { family, series } = found;
    const names = family.labels ?? [];
    if (Object.keys(labels).length !== names.length || !names.every((label) => Object.hasOwn(labels, label)))
      return null;
    const key = names.map((label) => `${label}="${escapeLabel(labels[label]!)}"`).join(',');
    let one = series.get(key);
    if (one === undefined) {
      if (series.size >= MOST_SERIES) return null;
      one = { labels: key, value: 0 };
      if (family.type === 'histogram') one.counts = new Array(family.buckets!.length + 1).fill(0);
      series.set(key, one);
    }
    return one;
  }

  #drop(): void {
    const dropped = this.#families.get('metrics_dropped_total')?.series.get('');
    if (dropped !== undefined) dropped.value += 1;
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}

const HEALTH = { healthy: 1, degraded: 0.5, unreachable: 0 } as const;

/** Brings the gauges that mirror other rooms' state up to date; to be called before `render`. */
export function collect(metrics: Metrics, sources: Sources): void {
  const mesh = sources.mesh();
  const heal = sources.heal();
  const now = sources.now();
  const one = (name: MetricName, value: number) => metrics.replace(name, [[{}, value]]);

  one('mesh_peers_count', mesh.nodes.filter(({ state }) => state === 'joined' || state === 'registered').length);
  metrics.replace(
    'mesh_nodes',
    ['joined', 'registered', 'left', 'dead'].map((state) => [
      { state },
      mesh.nodes.filter((node) => node.state === state).length,
    ]),
  );
  const links = mesh.links.map((link) => ({
    link,
    labels: { interface: link.interface, neighbour: link.neighbour },
  }));
  metrics.replace(
    'mesh_latency_seconds',
    links.map(({ link, labels }) => [labels, link.latencyNs === null ? null : link.latencyNs / 1e9]),
  );
  metrics.replace(
    'mesh_link_quality',
    links.map(({ link, labels }) => [labels, link.quality === null ? null : 4 - QUALITIES.indexOf(link.quality)]),
  );
  metrics.replace(
    'mesh_link_loss_ratio',
    links.map(({ link, labels }) => [labels, link.loss]),
  );
  metrics.replace(
    'mesh_link_throughput_bits_per_second',
    links.map(({ link, labels }) => [labels, link.throughput === null ? null : link.throughput * 1000]),
  );
  metrics.replace(
    'mesh_link_tq',
    links.map(({ link, labels }) => [labels, link.tq]),
  );
  const radios = links.flatMap(({ link: { radio }, labels }) => (radio === null ? [] : [{ radio, labels }]));
  metrics.replace(
    'mesh_link_signal_dbm',
    radios.map(({ radio, labels }) => [labels, radio.signalAverage ?? radio.signal ?? null]),
  );
  metrics.replace(
    'mesh_link_bitrate_bits_per_second',
    radios.map(({ radio, labels }) => [labels, radio.txBitrate === undefined ? null : radio.txBitrate * 1000]),
  );
  metrics.replace(
    'mesh_link_expected_throughput_bits_per_second',
    radios.map(({ radio: { expectedThroughput: expected }, labels }) => [
      labels,
      expected === undefined ? null : expected * 1000,
    ]),
  );
  const xdp = sources.xdp?.() ?? null;
  const heard = (xdp?.neighbours ?? []).map((seen) => ({
    seen,
    labels: { interface: seen.interface, neighbour: seen.neighbour },
  }));
  metrics.replace(
    'mesh_neighbour_frames_total',
    heard.map(({ seen, labels }) => [labels, seen.frames]),
  );
  metrics.replace(
    'mesh_neighbour_bytes_total',
    heard.map(({ seen, labels }) => [labels, seen.bytes]),
  );
  metrics.replace(
    'mesh_neighbour_sequence_numbers_total',
    heard.flatMap(({ seen, labels }): [Labels, number][] => [
      [{ ...labels, outcome: 'received' }, seen.received],
      [{ ...labels, outcome: 'lost' }, seen.lost],
    ]),
  );
  metrics.replace(
    'mesh_neighbour_silent',
    heard.map(({ seen, labels }) => [labels, Number(seen.silent)]),
  );
  metrics.replace(
    'mesh_neighbour_last_seen_seconds',
    heard.map(({ seen, labels }) => [labels, seen.lastSeenNs === null ? null : seen.lastSeenNs / 1e9]),
  );
  metrics.replace(
    'mesh_neighbour_gap_seconds',
    heard.map(({ seen, labels }) => [labels, seen.medianGapNs === null ? null : seen.medianGapNs / 1e9]),
  );
  metrics.replace(
    'mesh_neighbour_restarts_total',
    heard.map(({ seen, labels }) => [labels, seen.restarts]),
  );
  metrics.replace(
    'mesh_xdp_interface',
    (xdp?.interfaces ?? []).map(({ name, level }) => [{ interface: name, level }, 1]),
  );
  metrics.replace(
    'mesh_xdp_frames_total',
    ['strangers', 'isolated', 'unadmitted', 'fragments', 'unstamped'].map((what) => [
      { what },
      xdp?.totals[what] ?? null,
    ]),
  );
  metrics.replace(
    'mesh_tcp_connections_total',
    xdp?.variant == null
      ? []
      : [
          [{ step: 'opened' }, xdp.shared.opened],
          [{ step: 'established' }, xdp.shared.established],
        ],
  );
  metrics.replace('mesh_privacy_budget_spent', xdp?.variant == null ? [] : [[{}, xdp.shared.spent]]);
  metrics.replace(
    'mesh_socket_frames_dropped_total',
    (sources.dropped?.() ?? []).map(({ hears, interface: name, frames }) => [
      { interface: name ?? 'any', hears },
      frames,
    ]),
  );
  one('mesh_interface_up', Number(mesh.mesh !== null));
  metrics.replace(
    'mesh_hard_interface_up',
    mesh.hardInterfaces.map((hard) => [{ interface: hard.name }, Number(hard.carrier)]),
  );

  const beacon = sources.beacon();
  if (beacon !== null) {
    const { jitterNs, boundNs, neighbours, place } = beacon;
    metrics.replace('mesh_beacon_jitter_ms', [[{}, jitterNs === null ? null : jitterNs / 1e6]]);
    metrics.replace('mesh_clock_error_bound_seconds', [[{}, boundNs === null ? null : boundNs / 1e9]]);
    const stamps = sources.stamps?.();
    if (stamps !== undefined)
      metrics.replace('mesh_arrivals_stamped_total', [
        [{ by: 'xdp' }, stamps.xdp],
        [{ by: 'packet-socket' }, stamps.socket],
      ]);
    one('mesh_clock_offset_seconds', beacon.offsetNs / 1e9);
    one('mesh_clock_depth', beacon.depth);
    one('mesh_clock_drift_ratio', beacon.driftPpm / 1e6);
    metrics.replace(
      'mesh_beacon_neighbours',
      ['alive', 'suspected', 'silent'].map((state) => [
        { state },
        neighbours.filter((neighbour) => neighbour.state === state).length,
      ]),
    );
    metrics.replace('mesh_beacon_interval_seconds', [
      [{}, place === null ? null : (place.stride * beacon.superframeNs) / 1e9],
    ]);
    one('mesh_beacon_routers', beacon.within2Hops);
    one('mesh_beacon_overfull', Number(beacon.overfull));
    one('mesh_beacon_collisions_total', beacon.collisions);
    one('mesh_beacon_suspicions_total', beacon.suspicions);
  }

  const asked = sources.probes?.()?.targets ?? [];
  metrics.replace(
    'mesh_probe_rtt_seconds',
    asked.map(({ target, lastNs }) => [{ target }, lastNs === null ? null : lastNs / 1e9]),
  );
  metrics.replace(
    'mesh_probes_total',
    asked.flatMap(({ target, sent, answered }): [Labels, number][] => [
      [{ target, step: 'sent' }, sent],
      [{ target, step: 'answered' }, answered],
    ]),
  );
  const { peers } = sources;
  if (peers !== undefined) {
    const sessions = peers.view();
    metrics.replace(
      'peer_sessions',
      ['TLS', 'session'].map((hybrid) => [{ hybrid }, sessions.filter((one) => one.hybrid === hybrid).length]),
    );
    one('peer_half_open', peers.halfOpen);
    one(
      'peer_queued_bytes',
      sessions.reduce((sum, { queued }) => sum + queued, 0),
    );
  }
  const tunnels = sources.tunnels?.() ?? [];
  metrics.replace(
    'mesh_tunnel_up',
    tunnels.map(({ name, state }) => [{ tunnel: name }, Number(state === 'up' || state === 'renewing')]),
  );
  metrics.replace(
    'mesh_tunnel_key_age_seconds',
    tunnels.map(({ name, since }) => [{ tunnel: name }, since === null ? null : (now - since) / 1e9]),
  );
  metrics.replace(
    'mesh_tunnel_renewals_total',
    tunnels.flatMap(({ name, renewals, failures }): [Labels, number][] => [
      [{ tunnel: name, outcome: 'done' }, renewals],
      [{ tunnel: name, outcome: 'failed' }, failures],
    ]),
  );

  const workload = sources.workload?.();
  if (workload !== undefined) {
    one('workload_streams', workload.streams);
    metrics.replace('workload_identities_total', [
      [{ kind: 'x509' }, workload.certificates],
      [{ kind: 'jwt' }, workload.tokens],
    ]);
  }

  const open = new Map<string, number>();
  for (const { class: cause } of heal.faults) open.set(cause, (open.get(cause) ?? 0) + 1);
  if (heal.untold > 0) open.set('router-dead', (open.get('router-dead') ?? 0) + heal.untold);
  metrics.replace(
    'self_healing_faults',
    [...open].map(([root_cause, count]) => [{ root_cause }, count]),
  );
  metrics.replace(
    'self_healing_mode',
    ['off', 'observe', 'act'].map((mode) => [{ mode }, Number(mode === heal.mode)]),
  );
  metrics.replace(
    'self_healing_budget_left',
    heal.budgets.map(({ name, left }) => [{ budget: name }, left]),
  );
  one('self_healing_undo_armed', heal.undoArmed.length);
  const { entries, omitted } = sources.journal.status();
  one('journal_entries', entries);
  one('journal_entries_omitted_total', omitted);

  const self: [Labels, number][] = mesh.self === null ? [] : [[{ node: mesh.self }, mesh.mesh === null ? 0 : 1]];
  metrics.replace('node_health_status', [
    ...self,
    ...mesh.nodes.map((node): [Labels, number] => [{ node: node.originator }, HEALTH[node.health]]),
  ]);
  one('node_uptime_seconds', (now - sources.startedAt) / 1e9);
  metrics.replace(
    'agent_degraded',
    sources.degraded().map(({ part, level }) => [{ part, level }, 1]),
  );
  metrics.replace('agent_build_info', [[{ version: sources.version }, 1]]);
  const { rssBytes, cpuSeconds } = sources.process();
  one('process_resident_memory_bytes', rssBytes);
  one('process_cpu_seconds_total', cpuSeconds);
}
