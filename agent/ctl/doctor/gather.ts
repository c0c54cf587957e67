/** Collects the facts: from files, the kernel, the agent where it answers, and programs that may be there. */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { settle } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import { UciDocument, type UciValue } from '../../config/uci.ts';
import { asAgentError } from '../../core/errors.ts';
import { INSTALLED, manifestOf } from '../../host/bpf/place.ts';
import { volatileMedium } from '../../host/state/medium.ts';
import { defaultRoute } from '../../host/survey.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import type { Client } from '../client.ts';
import type { Edge } from '../edge.ts';
import { type KernelSight, seeKernel } from '../kernel.ts';
import type { Answer, Facts, Process, Radio, Wireless } from './facts.ts';

/** OGMs come once a second, ELP twice. */
const LISTEN_MS = 1500;
const SCAN_MS = 15_000;
const LOG_LINES = 200;

export interface GatherOptions {
  readonly edge: Edge;
  readonly configFile: string;
  readonly version: string;
  /** Radios without a peer may be taken from their channel for a scan. */
  readonly scan: boolean;
  agent(socket: string): Client;
}

export async function gather({ edge, configFile, version, scan, agent }: GatherOptions): Promise<Facts> {
  const seen = edge.look(configFile);
  const source = edge.read(configFile);
  const { config, problems, warnings } = settle(source, configFile);
  const { mesh, report, state } = config;
  const [kernel, told, log] = await Promise.all([
    seeKernel(mesh.interface, { listenMs: LISTEN_MS, all: false }),
    ask(agent(report.socket)),
    agentLog(edge),
  ]);
  const agents = processes(edge);
  return {
    system: {
      ownNode: process.versions.node,
      agentNode: await nodeOf(edge, agents),
      wallMs: Date.now(),
      hostName: hostname(),
      packages: packageManager(edge),
      ...memoryOf(edge.read('/proc/meminfo')),
    },
    config: {
      file: configFile,
      exists: seen !== null,
      isEmpty: seen?.isFile === true && (seen.size === 0 || saysNothing(source)),
      unread: seen === null ? null : !seen.isFile ? 'no file' : seen.size > 0 && source === '' ? 'denied' : null,
      mode: seen?.mode ?? null,
      problems: problems.map(({ message }) => message),
      warnings: warnings.map(({ message, line }) => `${configFile}:${line}: ${message}`),
      mesh: { interface: mesh.interface, own: mesh.own, hard: hardOf(config, edge.read('/etc/config/network')) },
      nodeName: mesh.node_name,
      hasKey: mesh.key !== undefined,
      bpf: config.bpf.enabled === '1' || (config.bpf.enabled === 'auto' && edge.look(manifestOf(INSTALLED)) !== null),
      sizeLimitKib: state.size_limit,
      socket: report.socket,
    },
    state: stateOf(edge, state.directory),
    kernel: {
      release: edge.read('/proc/sys/kernel/osrelease').trim(),
      module: kernel.batadv === null ? null : kernel.batadv ? 'loaded' : moduleOf(edge),
      trouble: kernel.trouble,
      links: kernel.links,
      mesh: kernel.mesh,
      hard: kernel.hard,
      neighbours: kernel.neighbours,
      originators: kernel.originators,
      gateways: kernel.gateways,
      wayOut: wayOut(edge, kernel, mesh.interface),
    },
    air: kernel.air,
    radios: await radiosOf(edge, kernel, scan),
    wireless: wirelessOf(edge.read('/etc/config/wireless'), mesh.key?.reveal()),
    supplicantMesh: await supplicantOf(edge),
    country: kernel.radios.length === 0 ? null : countryOf(await edge.run('iw', ['reg', 'get'])),
    agents,
    ...told,
    log,
    version,
  };
}

async function ask(client: Client): Promise<Pick<Facts, 'answer' | 'silence'>> {
  try {
    const status = (await client.get('/mesh/status')) as Of<typeof shapes.status>;
    const xdp = (await client.get('/mesh/xdp')) as Of<typeof shapes.xdp>;
    const answer: Answer = {
      version: status.agent.version,
      mode: status.heal.mode,
      degraded: status.agent.degraded,
      xdp: xdp.interfaces,
    };
    return { answer, silence: null };
  } catch (thrown) {
    const { code, message } = asAgentError(thrown, 'E_AGENT_UNREACHABLE');
    return { answer: null, silence: { code, message } };
  }
}

/** Also what else a router of this mesh logs is in there: hostapd's and batman-adv's words are for diag. */
async function agentLog(edge: Edge): Promise<string[]> {
  const text =
    (await edge.run('logread', ['-l', '2000'])) ??
    (await edge.run('journalctl', ['-n', '2000', '--no-pager', '-o', 'short', '_COMM=node'])) ??
    '';
  return text
    .split('\n')
    .filter((line) => /x0d|x0tta6bl4/.test(line))
    .slice(-LOG_LINES);
}

function packageManager(edge: Edge): Facts['system']['packages'] {
  if (edge.look('/etc/openwrt_release') === null) return null;
  return edge.look('/usr/bin/apk') !== null || edge.look('/sbin/apk') !== null ? 'apk' : 'opkg';
}

function memoryOf(meminfo: string): { availableKib: number | null; totalKib: number | null } {
  const kib = (name: string) => {
    const found = new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(meminfo)?.[1];
    return found === undefined ? null : Number(found);
  };
  return { availableKib: kib('MemAvailable'), totalKib: kib('MemTotal') };
}

function stateOf(edge: Edge, directory: string): Facts['state'] {
  // The nearest that is there: the agent makes the rest.
  let place = directory;
  while (place !== '/' && edge.look(place) === null) place = place.slice(0, place.lastIndexOf('/')) || '/';
  const keys = edge
    .list(directory)
    .filter((name) => /key|secret|\.pem$/i.test(name))
    .flatMap((name) => {
      const seen = edge.look(`${directory}/${name}`);
      return seen?.isFile ? [{ path: `${directory}/${name}`, mode: seen.mode }] : [];
    });
  return { directory, volatile: volatileMedium(place), freeKib: edge.freeKib(place), keys };
}

function moduleOf(edge: Edge): 'installed' | 'missing' {
  const folder = `/lib/modules/${edge.read('/proc/sys/kernel/osrelease').trim()}`;
  const isThere =
    edge.look(`${folder}/batman-adv.ko`) !== null ||
    /\/batman-adv\.ko(\.[a-z]+)?:/.test(edge.read(`${folder}/modules.dep`, 8 << 20));
  return isThere ? 'installed' : 'missing';
}

function wayOut(edge: Edge, { links }: KernelSight, meshInterface: string): string | null {
  const link = links.find(({ name }) => name === meshInterface);
  const bridge = links.find(({ index }) => index === link?.master)?.name;
  const inside = [meshInterface, ...(bridge === undefined ? [] : [bridge])];
  return defaultRoute(edge.read('/proc/net/route'), inside)?.interface ?? null;
}

/** Interfaces that somebody means to be in the mesh: ours, and those that netifd declares (batadv_hardif). */
function hardOf({ mesh }: Config, network: string): string[] {
  const declared = sections(network, 'interface')
    .filter((section) => section.get('proto') === 'batadv_hardif')
    .flatMap((section) => [section.get('device'), section.get('ifname')])
    .flatMap((value) => (typeof value === 'string' ? value.split(/\s+/) : []));
  return [...new Set([...mesh.hard_interface, ...declared])];
}

function wirelessOf(text: string, key: string | undefined): Wireless[] {
  const off = new Set(
    sections(text, 'wifi-device')
      .filter((device) => isTrue(device.get('disabled')))
      .map(({ name }) => name),
  );
  return sections(text, 'wifi-iface')
    .filter((section) => section.get('mode') === 'mesh' || section.get('mode') === 'adhoc')
    .map((section) => {
      const word = (name: string) => {
        const value = section.get(name);
        return typeof value === 'string' ? value : '';
      };
      return {
        section: section.name ?? '@wifi-iface',
        meshId: word('mesh_id') || word('ssid'),
        encryption: word('encryption'),
        disabled: isTrue(section.get('disabled')) || off.has(word('device')),
        sealed: word('key') === '' ? 'no' : isMade(word('key'), key) ? 'by mesh.key' : 'otherwise',
      };
    });
}

/** As x0_password of openwrt-feed/x0tta6bl4/files/setup.sh. Of a key that is no UTF-8 nobody can tell here: it is believed. */
function isMade(password: string, key = ''): boolean {
  const made = createHash('sha256').update(`x0tta6bl4 sae v1 ${key}`).digest('hex').slice(0, 32);
  return password === made || key.includes('\ufffd');
}

function isTrue(value: UciValue | undefined): boolean {
  return value === '1' || value === 'on' || value === 'true' || value === 'yes' || value === 'enabled';
}

/** Comments only. What could not be read says nothing of that. */
function saysNothing(text: string): boolean {
  try {
    return text !== '' && UciDocument.parse(text, 'uci').sections().length === 0;
  } catch {
    return false;
  }
}

function sections(text: string, type: string) {
  try {
    return UciDocument.parse(text, 'uci').sections(type);
  } catch {
    return [];
  }
}

async function radiosOf(edge: Edge, { radios }: KernelSight, scan: boolean): Promise<Radio[]> {
  const found: Radio[] = [];
  for (const { name, type, mac, frequency, stations } of radios) {
    const isMesh = type === 'mesh';
    const isAlone = stations.every(({ peerLink }) => peerLink !== undefined && peerLink !== 'established');
    // A scan leaves the channel for seconds: only where nobody is there to miss us.
    const scanned = isMesh && isAlone && scan ? await edge.run('iw', ['dev', name, 'scan'], SCAN_MS) : null;
    const known = isMesh ? (scanned ?? (await edge.run('iw', ['dev', name, 'scan', 'dump']))) : null;
    const parameter = async (of: string) =>
      isMesh ? await edge.run('iw', ['dev', name, 'get', 'mesh_param', of]) : null;
    const forwarding = await parameter('mesh_fwding');
    const nolearn = await parameter('mesh_nolearn');
    found.push({
      interface: name,
      type,
      mac,
      frequency: frequency ?? null,
      stations,
      forwarding: forwarding === null ? null : forwarding.trim().startsWith('1'),
      discovers: nolearn === null ? null : nolearn.trim().startsWith('0'),
      heard: known === null ? [] : parseScan(known),
    });
  }
  return found;
}

/** What `iw scan` prints of mesh points: of each as it was heard last, for the kernel keeps older words of it for a while. */
export function parseScan(text: string): Radio['heard'][number][] {
  const found = new Map<string, { ageMs: number; heard: Radio['heard'][number] }>();
  for (const block of text.split(/^BSS /m).slice(1, 257)) {
    const bssid = /^([0-9a-f]{2}(?::[0-9a-f]{2}){5})/.exec(block)?.[1];
    const frequency = /^\s*freq: (\d+)/m.exec(block)?.[1];
    const meshId = /^\s*MESH ID: (.*)$/m.exec(block)?.[1];
    const ageMs = Number(/^\s*last seen: (\d+) ms ago/m.exec(block)?.[1] ?? 0);
    if (bssid === undefined || frequency === undefined || meshId === undefined) continue;
    if ((found.get(bssid)?.ageMs ?? Number.POSITIVE_INFINITY) > ageMs)
      found.set(bssid, { ageMs, heard: { bssid, meshId: meshId.trim(), frequency: Number(frequency) } });
  }
  return [...found.values()].map(({ heard }) => heard);
}

/** As OpenWrt's own scripts ask. */
async function supplicantOf(edge: Edge): Promise<boolean | null> {
  const places = ['/usr/sbin/wpa_supplicant', '/usr/sbin/wpad'];
  if (places.every((path) => edge.look(path) === null)) return null;
  return (await edge.run('wpa_supplicant', ['-vmesh'])) !== null;
}

function countryOf(text: string | null): string | null {
  return /^country ([A-Z0-9]{2})/m.exec(text ?? '')?.[1] ?? null;
}

/** Agents in our own network namespace; what /proc does not show us is not there. */
export function processes(edge: Edge): Process[] {
  const own = edge.link('/proc/self/ns/net');
  const found: Process[] = [];
  for (const pid of edge.list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = edge.read(`/proc/${pid}/cmdline`, 4096).split('\0');
    const script = words.slice(0, 12).find((word) => /^x0d(\.mjs)?$/.test(basename(word)));
    // A shell or a jail that starts it has the same words.
    if (script === undefined || !/^(node|x0d)/.test(basename(words[0] ?? ''))) continue;
    const space = edge.link(`/proc/${pid}/ns/net`);
    if (own !== null && space !== null && own !== space) continue;
    const status = edge.read(`/proc/${pid}/status`, 8192);
    const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
    const at = words.indexOf('--config');
    const config = at >= 0 ? words[at + 1] : words.find((word) => word.startsWith('--config='))?.slice(9);
    found.push({
      pid: Number(pid),
      uid: Number(/^Uid:\s*\d+\s+(\d+)/m.exec(status)?.[1] ?? 0),
      config: config ?? '/etc/config/x0tta6bl4',
      capabilities: capabilities === undefined ? null : BigInt(`0x${capabilities}`),
      replaced: isReplaced(edge, pid, script),
    });
  }
  return found;
}

/** The program on flash is younger than the process. proc(5): ticks of 1/100 s since the boot, in field 22 of stat. */
function isReplaced(edge: Edge, pid: string, script: string): boolean {
  const program = script.startsWith('/') ? edge.look(script) : null;
  const stat = edge.read(`/proc/${pid}/stat`, 4096);
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  const boot = Number(/^btime (\d+)$/m.exec(edge.read('/proc/stat'))?.[1]);
  return program !== null && program.mtimeMs > boot * 1000 + ticks * 10 + 1000;
}

async function nodeOf(edge: Edge, agents: readonly Process[]): Promise<string | null> {
  const first = agents[0];
  const program = first === undefined ? 'node' : edge.link(`/proc/${first.pid}/exe`);
  if (program === null) return null;
  return /^v(\d+\.\d+\.\d+)/.exec((await edge.run(program, ['--version'])) ?? '')?.[1] ?? null;
}
