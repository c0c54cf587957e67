/**
 * Compares every table and setting that agent/host/netlink/batadv.ts reads with batctl's JSON, on the same live kernel:
 *
 *     ip netns exec r0 node test/lab/batctl-agreement.ts [bat0]
 *
 * One JSON line a table: { table, ours, batctl, agree } with the numbers of rows, and on disagreement the rows that only
 * one side has. Exits 1 on disagreement. Last-seen times are left out, and a table that moved in between is read again.
 */
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { MeshInfo } from '../../agent/core/kernel.ts';
import { native } from '../../agent/host/native.ts';
import { type Batadv, openBatadv } from '../../agent/host/netlink/batadv.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from '../../agent/host/netlink/message.ts';
import { getLink } from '../../agent/host/netlink/rtnetlink.ts';

type Row = Readonly<Record<string, unknown>>;

/** 802.1Q id as batctl prints it: -1 without a tag. */
const vid = (raw: number) => (raw & 0x8000 ? raw & 0xfff : -1);
const best = (row: { best: boolean }) => (row.best ? { best: true } : {});
const some = (key: string, value: unknown) => (value === undefined ? {} : { [key]: value });

function meshRow(mesh: MeshInfo): Row {
  const s = mesh.settings;
  return {
    version: mesh.version,
    algo_name: mesh.algorithm,
    mesh_ifindex: mesh.index,
    mesh_ifname: mesh.name,
    mesh_address: mesh.mac,
    ...some('hard_ifindex', mesh.primary?.index),
    ...some('hard_ifname', mesh.primary?.name),
    ...some('hard_address', mesh.primary?.mac),
    aggregated_ogms_enabled: s.aggregatedOgms,
    ap_isolation_enabled: s.apIsolation,
    isolation_mark: s.isolationMark,
    isolation_mask: s.isolationMask,
    bonding_enabled: s.bonding,
    bridge_loop_avoidance_enabled: s.bridgeLoopAvoidance,
    distributed_arp_table_enabled: s.distributedArpTable,
    fragmentation_enabled: s.fragmentation,
    gw_bandwidth_down: s.gwBandwidthDown,
    gw_bandwidth_up: s.gwBandwidthUp,
    gw_mode: s.gwMode,
    gw_sel_class: s.gwSelClass,
    hop_penalty: s.hopPenalty,
    multicast_forceflood_enabled: s.multicastForceflood,
    multicast_fanout: s.multicastFanout,
    orig_interval: s.origInterval,
  };
}

/** What is not compared: times that run, and what the agent does not read. */
const IGNORED: Readonly<Record<string, readonly string[]>> = {
  mesh: ['tt_ttvn', 'bla_crc', 'mcast_flags', 'mcast_flags_priv', 'network_coding_enabled', 'log_level'],
  vlan: ['mesh_ifname'],
  hardifs: ['mesh_ifindex', 'mesh_ifname'],
};

interface Comparison {
  readonly table: string;
  readonly batctl: readonly string[];
  ours(batadv: Batadv, mesh: number): Promise<readonly Row[]>;
}

export const COMPARISONS: readonly Comparison[] = [
  {
    table: 'mesh',
    batctl: ['mesh_json'],
    async ours(batadv, index) {
      const mesh = await batadv.mesh(index);
      return mesh ? [meshRow(mesh)] : [];
    },
  },
  {
    table: 'hardifs',
    batctl: ['hardifs_json'],
    ours: async (batadv, mesh) =>
      (await batadv.hardInterfaces(mesh)).map((row) => ({
        hard_ifindex: row.index,
        hard_ifname: row.name,
        hard_address: row.mac,
        ...(row.active ? { active: true } : {}),
        ...some('hop_penalty', row.hopPenalty),
        ...some('elp_interval', row.elpInterval),
        ...some('throughput_override', row.throughputOverride),
      })),
  },
  {
    table: 'originators',
    batctl: ['originators_json'],
    ours: async (batadv, mesh) =>
      (await batadv.originators(mesh)).map((row) => ({
        hard_ifindex: row.interface,
        hard_ifname: row.interfaceName,
        orig_address: row.originator,
        neigh_address: row.neighbour,
        ...best(row),
        ...some('tq', row.tq),
        ...some('throughput', row.throughput),
      })),
  },
  {
    table: 'neighbours',
    batctl: ['neighbors_json'],
    ours: async (batadv, mesh) =>
      (await batadv.neighbours(mesh)).map((row) => ({
        hard_ifindex: row.interface,
        hard_ifname: row.interfaceName,
        neigh_address: row.neighbour,
        ...some('throughput', row.throughput),
      })),
  },
  {
    table: 'gateways',
    batctl: ['gateways_json'],
    ours: async (batadv, mesh) =>
      (await batadv.gateways(mesh)).map((row) => ({
        hard_ifname: row.interfaceName,
        orig_address: row.originator,
        router: row.router,
        bandwidth_down: row.bandwidthDown,
        bandwidth_up: row.bandwidthUp,
        ...best(row),
        ...some('tq', row.tq),
        ...some('throughput', row.throughput),
      })),
  },
  {
    table: 'translation-local',
    batctl: ['transtable_local_json'],
    ours: async (batadv, mesh) =>
      (await batadv.localStations(mesh)).map((row) => ({
        tt_address: row.station,
        tt_vid: vid(row.vid),
        tt_crc32: row.crc32,
        tt_flags: row.flags,
      })),
  },
  {
    table: 'translation-global',
    batctl: ['transtable_global_json'],
    ours: async (batadv, mesh) =>
      (await batadv.remoteStations(mesh)).map((row) => ({
        tt_address: row.station,
        orig_address: row.originator,
        tt_vid: vid(row.vid),
        tt_crc32: row.crc32,
        tt_flags: row.flags,
        tt_ttvn: row.ttvn,
        tt_last_ttvn: row.lastTtvn,
        ...best(row),
      })),
  },
  {
    table: 'claims',
    batctl: ['bla_claim_json'],
    ours: async (batadv, mesh) =>
      (await batadv.claims(mesh)).map((row) => ({
        bla_address: row.station,
        bla_vid: vid(row.vid),
        bla_backbone: row.backbone,
        bla_crc: row.crc,
        ...(row.own ? { bla_own: true } : {}),
      })),
  },
  {
    table: 'backbones',
    batctl: ['bla_backbone_json'],
    ours: async (batadv, mesh) =>
      (await batadv.backbones(mesh)).map((row) => ({
        bla_backbone: row.backbone,
        bla_vid: vid(row.vid),
        bla_crc: row.crc,
        ...(row.own ? { bla_own: true } : {}),
      })),
  },
  {
    table: 'arp-cache',
    batctl: ['dat_cache_json'],
    ours: async (batadv, mesh) =>
      (await batadv.arpCache(mesh)).map((row) => ({
        dat_cache_ip4address: row.address,
        dat_cache_hwaddress: row.mac,
        dat_cache_vid: vid(row.vid),
      })),
  },
  {
    table: 'multicast-flags',
    batctl: ['mcast_flags_json'],
    ours: async (batadv, mesh) =>
      (await batadv.multicastFlags(mesh)).map((row) => ({
        orig_address: row.originator,
        ...some('mcast_flags', row.flags),
      })),
  },
];

/** A row of batctl's as ours are written: flags as the number, no running times, nothing that is not compared. */
function plain(row: Row, table: string): Row {
  const ignored = new Set([
    'last_seen_msecs',
    ...(table === 'gateways' ? ['hard_ifindex'] : []),
    ...(IGNORED[table] ?? []),
  ]);
  return Object.fromEntries(
    Object.entries(row)
      .filter(([key]) => !ignored.has(key))
      .map(([key, value]) => [key, value && typeof value === 'object' && 'raw' in value ? value.raw : value]),
  );
}

function sorted(rows: readonly Row[]): string[] {
  return rows
    .map((row) => JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))))
    .sort();
}

/** Rows that batctl printed, in our form, for comparing: also used on captured output. */
export function batctlRows(json: string, table: string): string[] {
  const parsed: Row | Row[] = json.trim() === '' ? [] : JSON.parse(json);
  return sorted((Array.isArray(parsed) ? parsed : [parsed]).map((row) => plain(row, table)));
}

export async function ourRows(comparison: Comparison, batadv: Batadv, mesh: number): Promise<string[]> {
  return sorted(await comparison.ours(batadv, mesh));
}

/** Word comes of what batctl sets. */
async function isTold(
  batadv: Batadv,
  mesh: number,
  name: string,
  batctl: (...args: string[]) => Promise<unknown>,
): Promise<boolean> {
  const told: string[] = [];
  const end = batadv.subscribeConfig(({ name: of, settings }) => told.push(`${of} ${settings.origInterval}`));
  const before = (await batadv.mesh(mesh))!.settings.origInterval;
  for (const ms of [before + 1500, before]) await batctl('meshif', name, 'orig_interval', String(ms));
  await pause(200);
  end();
  const expected = [`${name} ${before + 1500}`, `${name} ${before}`];
  const agree = JSON.stringify(told) === JSON.stringify(expected);
  process.stdout.write(`${JSON.stringify({ table: 'told', ours: told.length, batctl: 2, agree, told })}\n`);
  return agree;
}

async function main(name: string): Promise<boolean> {
  const run = promisify(execFile);
  const route = openConnection({ native: native(), protocol: NETLINK_ROUTE });
  const generic = openConnection({ native: native(), protocol: NETLINK_GENERIC });
  const link = await getLink(route, name);
  if (!link) throw new Error(`no interface ${name} here`);
  const batadv = await openBatadv(generic);
  const vids = [...new Set((await batadv.localStations(link.index)).map((row) => vid(row.vid)))].filter(
    (id) => id >= 0,
  );
  const vlans: Comparison[] = vids.map((id) => ({
    table: 'vlan',
    batctl: ['vid', String(id), 'vlan_json'],
    async ours(from, mesh) {
      const vlan = await from.vlan(mesh, id);
      return [{ mesh_ifindex: vlan.mesh, vlanid: vlan.vid & 0xfff, ap_isolation_enabled: vlan.apIsolation }];
    },
  }));
  let allAgree = true;
  for (const comparison of [...COMPARISONS, ...vlans]) {
    let ours: string[] = [];
    let theirs: string[] = [];
    let agree = false;
    for (let tries = 0; tries < 20 && !agree; tries++) {
      if (tries > 0) await pause(100);
      const { stdout } = await run('batctl', ['meshif', name, ...comparison.batctl]);
      theirs = batctlRows(stdout, comparison.table);
      ours = await ourRows(comparison, batadv, link.index);
      agree = JSON.stringify(ours) === JSON.stringify(theirs);
    }
    allAgree &&= agree;
    const report = { table: comparison.table, ours: ours.length, batctl: theirs.length, agree };
    const difference = {
      onlyOurs: ours.filter((row) => !theirs.includes(row)),
      onlyBatctl: theirs.filter((row) => !ours.includes(row)),
    };
    process.stdout.write(`${JSON.stringify(agree ? report : { ...report, ...difference })}\n`);
  }
  allAgree = (await isTold(batadv, link.index, name, (...args) => run('batctl', args))) && allAgree;
  route.close();
  generic.close();
  return allAgree;
}

if (process.argv[1] === import.meta.filename) process.exitCode = (await main(process.argv[2] ?? 'bat0')) ? 0 : 1;
