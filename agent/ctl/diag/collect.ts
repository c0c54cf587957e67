/**
 * Collects what a bug report needs, as it is: nothing here is hidden yet. With it comes what is to be hidden, as far as it is
 * known: secrets out of every configuration file, names of hosts and networks, addresses of cards.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { settle } from '../../config/load.ts';
import { UciDocument, type UciSection } from '../../config/uci.ts';
import { message, sqlite } from '../../host/state/sqlite.ts';
import type { gateways as offers } from '../../report/api/past.ts';
import { withoutConnections } from '../../report/connections.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import type { Client } from '../client.ts';
import { diagnose } from '../doctor/doctor.ts';
import { gather } from '../doctor/gather.ts';
import type { Edge } from '../edge.ts';
import { type KernelSight, seeKernel } from '../kernel.ts';
import { isPersonalName, isSecretName, type Known } from './scrub.ts';

export type Raw =
  | { readonly name: string; readonly kind: 'text'; readonly text: string }
  | { readonly name: string; readonly kind: 'json'; readonly value: unknown }
  /** A line of JSON each. */
  | { readonly name: string; readonly kind: 'lines'; readonly text: string }
  | { readonly name: string; readonly kind: 'uci'; readonly document: UciDocument };

export interface Collected {
  readonly parts: readonly Raw[];
  readonly known: Known;
  /** What could not be had, in words. */
  readonly missing: readonly string[];
}

export interface CollectOptions {
  readonly edge: Edge;
  readonly configFile: string;
  readonly version: string;
  agent(socket: string): Client;
}

/** Of one part, in characters. */
const MOST_TEXT = 2 << 20;
const MOST_TAPE = 16 << 20;
const LOG_LINES = 3000;
/** What the agent left on flash is copied into /tmp, which is memory: twice what it keeps by default. In bytes. */
const MOST_STATE = 16 << 20;

const CALLS = {
  health: '/health',
  status: '/mesh/status',
  nodes: '/mesh/nodes',
  links: '/mesh/links',
  topology: '/mesh/topology',
  paths: '/mesh/paths',
  gateways: '/mesh/gateways',
  probes: '/mesh/probes',
  beacon: '/mesh/beacon',
  identity: '/mesh/identity',
  peers: '/peers',
  tunnels: '/tunnels',
  workload: '/workload',
  xdp: '/mesh/xdp',
  journal: '/heal/log?limit=1000',
  classes: '/heal/classes',
  config: '/config',
  recordings: '/record',
} as const;

/** Configuration that the mesh rests on; others have nothing to do with it. */
const CONFIGS = ['x0tta6bl4', 'network', 'wireless', 'system', 'batman-adv'];
const FILES = [
  '/proc/version',
  '/proc/uptime',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/mounts',
  '/proc/net/dev',
  '/etc/openwrt_release',
];
const PROGRAMS: readonly (readonly [program: string, ...words: string[]])[] = [
  ['batctl', '-v'],
  ['iw', 'dev'],
  ['iw', 'reg', 'get'],
  ['ip', '-d', 'link'],
  ['ip', 'address'],
  ['ip', 'route'],
  ['ip', '-6', 'route'],
  ['bridge', 'link'],
  ['df', '-k'],
  ['ubus', 'call', 'system', 'board'],
  ['ubus', 'call', 'network.wireless', 'status'],
];
/** DHCP and DNS servers log who visits what: theirs stay here. */
const LOGGED = /x0d|x0tta6bl4|batman|bat0|kernel:|netifd|hostapd|wpa_supplicant|wpad|procd|mac80211|ath\d|mt76/i;
const PACKAGES = /batman|^x0|x0tta6bl4|^node\b|wpad|hostapd|^iw\b|libbpf|luci-app-x0|kmod-(mt|ath)|ujail/i;

export async function collect({ edge, configFile, version, agent }: CollectOptions): Promise<Collected> {
  const parts: Raw[] = [];
  const missing: string[] = [];
  const { config } = settle(edge.read(configFile), configFile);
  const client = agent(config.report.socket);

  const facts = await gather({ edge, configFile, version, scan: false, agent });
  const kernel = await seeKernel(config.mesh.interface, { listenMs: 0, all: true });
  parts.push(
    { name: 'doctor.json', kind: 'json', value: diagnose(facts) },
    { name: 'facts.json', kind: 'json', value: plain({ ...facts, kernel: undefined }) },
    { name: 'kernel.json', kind: 'json', value: kernel },
  );
  if (kernel.trouble !== null) missing.push(`kernel: ${kernel.trouble}`);

  let answers = 0;
  const told: string[] = [];
  const named = new Set<string>();
  for (const [name, path] of Object.entries(CALLS)) {
    try {
      const value = sendable(name, await client.get(path));
      parts.push({ name: `agent/${name}.json`, kind: 'json', value });
      told.push(...routersIn(name, value));
      called(value, named);
      answers += 1;
    } catch (thrown) {
      missing.push(`agent/${name}: ${(thrown as Error).message}`);
      if (answers === 0) break;
    }
  }
  if (answers > 0) await tapes(client, parts, missing);
  else journalOnFlash(edge, config.state.directory, parts, missing);

  const files = edge.list('/etc/config').map((name) => `/etc/config/${name}`);
  if (!files.includes(configFile)) files.push(configFile);
  const documents = files.flatMap((file) => {
    const document = parse(edge.read(file), file);
    return document === null ? [] : [{ file, document }];
  });
  for (const { file, document } of documents) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    // A file that somebody named may be called anything, and the archive cannot say all of it.
    if (file === configFile) parts.push({ name: 'config/x0tta6bl4', kind: 'uci', document });
    else if (CONFIGS.includes(name) && name !== 'x0tta6bl4')
      parts.push({ name: `config/${name}`, kind: 'uci', document });
  }

  for (const file of FILES) {
    const text = edge.read(file);
    if (text !== '')
      parts.push({
        name: `system${file.replaceAll('/', '-')}`.replace('system-', 'system/'),
        kind: 'text',
        text: file === '/proc/mounts' ? withoutDisks(text) : text,
      });
  }
  for (const [program, ...words] of PROGRAMS) {
    const text = await edge.run(program, words);
    const name = `system/${[program, ...words].join('-').replaceAll(/[^\w.-]+/g, '')}`;
    if (text !== null) parts.push({ name, kind: 'text', text: bounded(program === 'df' ? withoutDisks(text) : text) });
  }
  const packages = (await edge.run('opkg', ['list-installed'])) ?? (await edge.run('apk', ['list', '--installed']));
  if (packages !== null) parts.push({ name: 'system/packages', kind: 'text', text: chosen(packages, PACKAGES) });
  const state = edge
    .list(config.state.directory)
    .map((name) => ({ name, ...edge.look(`${config.state.directory}/${name}`) }));
  parts.push({ name: 'system/state-directory.json', kind: 'json', value: state });

  const log =
    (await edge.run('logread', ['-l', String(LOG_LINES)])) ??
    (await edge.run('journalctl', ['-n', String(LOG_LINES), '--no-pager', '-o', 'short']));
  if (log === null) missing.push('log: neither logread nor journalctl answers');
  else parts.push({ name: 'log/system', kind: 'text', text: chosen(log, LOGGED) });
  const ring = await edge.run('dmesg', []);
  if (ring !== null) parts.push({ name: 'log/kernel', kind: 'text', text: chosen(ring, /./) });

  return {
    parts,
    missing,
    known: knownOf(
      edge,
      documents.map(({ document }) => document),
      kernel,
      told,
      named,
      parts,
    ),
  };
}

/** An answer without what is exact for this router's own people only: x0ctl asks as root, and the archive leaves the router. */
function sendable(name: string, value: unknown): unknown {
  if (name !== 'xdp') return value;
  const xdp = value as Of<typeof shapes.xdp>;
  return { ...xdp, totals: withoutConnections(xdp.totals ?? {}), medianHandshakeMs: null };
}

/** Addresses of routers in an answer of the agent. */
function routersIn(name: string, value: unknown): string[] {
  const { originator, hardInterfaces, nodes, links, gateways } = value as Partial<Of<typeof shapes.status>> &
    Partial<Of<typeof shapes.nodes>> &
    Partial<Of<typeof shapes.links>> &
    Partial<Of<typeof offers>>;
  if (name === 'status')
    return [originator, ...(hardInterfaces ?? []).map(({ mac }) => mac)].filter((mac) => mac != null);
  if (name === 'nodes') return (nodes ?? []).flatMap((node) => [node.originator, node.nextHop]);
  if (name === 'gateways') return (gateways ?? []).map((gateway) => gateway.originator);
  return name === 'links' ? (links ?? []).map(({ neighbour }) => neighbour) : [];
}

/** Names of routers in an answer, by the members that hold them, and out of SPIFFE ids wherever they stand. */
function called(value: unknown, into: Set<string>): void {
  if (typeof value === 'string') for (const name of namesInIds(value)) into.add(name);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    called(member, into);
    if (typeof member === 'string' && isPersonalName(key)) into.add(member);
    if (key === 'tunnel' || key === 'tunnels')
      for (const row of Array.isArray(member) ? member : []) for (const name of tunnelNames(row ?? {})) into.add(name);
  }
}

/** The trust domain and the router. */
function namesInIds(text: string): string[] {
  const ids = text.matchAll(/spiffe:\/\/([A-Za-z0-9._-]{1,255})(?:\/(?:router|workload)\/([A-Za-z0-9._-]{1,128}))?/g);
  return [...ids].flatMap(([, domain, node]) => (node === undefined ? [domain!] : [domain!, node]));
}

/** People name tunnels by where they lead, and the other end may stand there by its name alone. */
function tunnelNames({ name, peer, endpoint }: Readonly<Record<string, unknown>>): string[] {
  const text = (one: unknown) => (typeof one === 'string' ? one : '');
  const host = text(endpoint).replace(/:\d+$/, '');
  return [text(name), text(peer).replace(/^.*\//, ''), ...(isIP(host.replace(/^\[(.*)\]$/, '$1')) === 0 ? [host] : [])];
}

/** What the flight recorder holds, and the newest recording that is kept. */
async function tapes(client: Client, parts: Raw[], missing: string[]): Promise<void> {
  try {
    const { recordings } = (await client.get('/record')) as Of<typeof shapes.recordings>;
    const newest = recordings.at(-1)?.id;
    for (const id of newest === undefined ? [null] : [null, newest]) {
      const { data } = (await client.post('/record/export', id === null ? {} : { id })) as Of<typeof shapes.recording>;
      const text = gunzipSync(Buffer.from(data, 'base64'), { maxOutputLength: MOST_TAPE }).toString('utf8');
      parts.push({ name: id === null ? 'tape/now.jsonl' : `tape/${id}.jsonl`, kind: 'lines', text });
    }
  } catch (thrown) {
    missing.push(`tape: ${(thrown as Error).message}`);
  }
}

/** Where no agent answers: what it left. Looked at in a copy, for opening it would change what lies beside it. */
function journalOnFlash(edge: Edge, directory: string, parts: Raw[], missing: string[]): void {
  const file = edge.path(`${directory}/state.db`);
  const folder = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  try {
    const copy = join(folder, 'state.db');
    const kept = ['', '-wal'].flatMap((suffix) => {
      const seen = edge.look(`${directory}/state.db${suffix}`);
      return seen === null ? [] : [{ suffix, size: seen.size }];
    });
    const size = kept.reduce((sum, one) => sum + one.size, 0);
    if (size > MOST_STATE) {
      missing.push(
        `journal: state.db has ${Math.ceil(size / 1024)} KiB, and no more than ${MOST_STATE >> 10} are copied`,
      );
      return;
    }
    for (const { suffix } of kept) cpSync(file + suffix, copy + suffix);
    const db = new (sqlite())(copy, { fileMustExist: true });
    try {
      const rows = db.prepare('SELECT entry FROM journal ORDER BY id DESC LIMIT 1000').all() as { entry: string }[];
      parts.push({
        name: 'state/journal.jsonl',
        kind: 'lines',
        text: rows
          .map(({ entry }) => entry)
          .reverse()
          .join('\n'),
      });
    } finally {
      db.close();
    }
  } catch (thrown) {
    missing.push(`journal: ${message(thrown)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function knownOf(
  edge: Edge,
  documents: readonly UciDocument[],
  { originators, neighbours, hard, mesh, radios, links }: KernelSight,
  told: readonly string[],
  named: ReadonlySet<string>,
  parts: readonly Raw[],
): Known {
  const secrets = new Set<string>();
  const names = new Set<string>([...named, hostname(), edge.read('/proc/sys/kernel/hostname').trim()]);
  for (const document of documents)
    for (const section of document.sections()) {
      if (section.type === 'tunnel')
        for (const name of tunnelNames({ ...Object.fromEntries(section.values()), name: section.name }))
          names.add(name);
      for (const [option, value] of section.values())
        for (const one of typeof value === 'string' ? [value] : value) {
          for (const name of namesInIds(one)) names.add(name);
          // A user called root is no secret, and everywhere.
          if (isSecretName(option) && one.length >= 6) secrets.add(one);
          if (isPersonalName(option) || (section.type === 'host' && option === 'name')) names.add(one);
        }
    }
  for (const file of edge.list('/var/run').filter((name) => /^(hostapd|wpa_supplicant).*\.conf$/.test(name)))
    for (const line of edge.read(`/var/run/${file}`).split('\n')) {
      const [, option, value] = /^\s*([\w.]+)=(.*)$/.exec(line) ?? [];
      if (option === undefined || value === undefined) continue;
      const bare = value.replace(/^"(.*)"$/, '$1');
      if (isSecretName(option) && bare.length >= 6) secrets.add(bare);
      if (isPersonalName(option)) names.add(bare);
    }
  for (const row of edge.read('/etc/shadow').split('\n')) {
    const hash = row.split(':')[1] ?? '';
    if (hash.length > 12) secrets.add(hash);
  }
  // dnsmasq: time, address of the card, IP address, name; hosts(5), ethers(5) and bat-hosts: an address, then names.
  for (const row of edge.read('/tmp/dhcp.leases').split('\n')) names.add(row.split(' ')[3] ?? '');
  for (const file of [
    '/etc/hosts',
    '/etc/ethers',
    '/etc/bat-hosts',
    ...edge.list('/tmp/hosts').map((name) => `/tmp/hosts/${name}`),
  ])
    for (const row of edge.read(file).split('\n'))
      for (const name of row.split('#')[0]!.trim().split(/\s+/).slice(1)) names.add(name);
  const routers = [
    ...originators.flatMap(({ originator, neighbour }) => [originator, neighbour]),
    ...neighbours.map(({ neighbour }) => neighbour),
    ...[...hard, ...links, ...radios].map(({ mac }) => mac),
    ...(mesh === null ? [] : [mesh.mac]),
    ...told,
  ].filter((mac) => typeof mac === 'string' && mac !== '');
  const macs = new Set(routers);
  for (const part of parts) {
    const text =
      part.kind === 'json'
        ? JSON.stringify(plain(part.value))
        : part.kind === 'uci'
          ? part.document.toString()
          : part.text;
    for (const mac of macsIn(text)) macs.add(mac);
  }
  for (const row of [edge.read('/tmp/dhcp.leases'), edge.read('/proc/net/arp')])
    for (const mac of macsIn(row)) macs.add(mac);
  return { secrets: [...secrets], names: [...names], macs: [...macs], routers: [...new Set(routers)] };
}

const MOST_MACS = 20_000;

function macsIn(text: string): string[] {
  const found = new Set<string>();
  for (const [mac] of text.matchAll(/(?<![0-9a-f])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![0-9a-f])/gi)) {
    found.add(mac.toLowerCase().replaceAll('-', ':'));
    if (found.size >= MOST_MACS) break;
  }
  return [...found];
}

function parse(text: string, file: string): UciDocument | null {
  try {
    return text === '' ? null : UciDocument.parse(text, file);
  } catch {
    return null;
  }
}

/** As JSON has it: rights are a bigint. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? `0x${one.toString(16)}` : one)),
  );
}

function chosen(text: string, wanted: RegExp): string {
  return bounded(
    text
      .split('\n')
      .filter((line) => wanted.test(line))
      .slice(-LOG_LINES)
      .join('\n'),
  );
}

/** Mounts but for people's own disks and other machines', which they name as they like; df gives a long one two lines. */
function withoutDisks(text: string): string {
  return text
    .replace(/^(\S+)\n +(?=\d)/gm, '$1 ')
    .split('\n')
    .filter((line) => !/^\/\/|^[^\s/][^\s:]*:|\s\/(mnt|media|home|srv|export|run\/media)(\/|\s|$)/.test(line))
    .join('\n');
}

/** The end of it: the newest lines, whole ones, for of a part of a secret nobody can tell what it is. */
function bounded(text: string): string {
  if (text.length <= MOST_TEXT) return text;
  const end = text.slice(-MOST_TEXT);
  return end.slice(end.indexOf('\n') + 1 || end.length);
}

/** Its options in order; comments are left behind, for what they say nobody knows. */
export function optionsOf(section: UciSection): { name: string; value: string; isList: boolean }[] {
  const found = [];
  for (const [name, value] of section.values()) {
    const isList = typeof value !== 'string';
    for (const one of isList ? value : [value]) found.push({ name, value: one, isList });
  }
  return found;
}
