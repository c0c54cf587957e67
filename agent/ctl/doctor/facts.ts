/**
 * What `x0ctl doctor` looks at, as it was found: plain data, so that every check is a function of it. null is "could not be
 * found out", and a check that needs it says so instead of guessing.
 */
import type { Mac } from '../../core/ids.ts';
import type {
  Gateway,
  HardInterface,
  Link,
  MeshInfo,
  Neighbour,
  OriginatorPath,
  RadioStation,
} from '../../core/kernel.ts';
import { clean } from '../terminal.ts';

export interface Facts {
  readonly system: {
    /** Of x0ctl's own Node, and of the one that the agent runs on. */
    readonly ownNode: string;
    readonly agentNode: string | null;
    readonly wallMs: number;
    readonly hostName: string;
    /** OpenWrt's package manager, where this is OpenWrt. */
    readonly packages: 'apk' | 'opkg' | null;
    readonly availableKib: number | null;
    readonly totalKib: number | null;
  };
  readonly config: {
    readonly file: string;
    readonly exists: boolean;
    /** A file with nothing in it. */
    readonly isEmpty: boolean;
    /** Why what is there could not be read: it is a directory or a device, or for others only. */
    readonly unread: 'no file' | 'denied' | null;
    /** Permission bits. */
    readonly mode: number | null;
    readonly problems: readonly string[];
    readonly warnings: readonly string[];
    readonly mesh: { readonly interface: string; readonly own: boolean; readonly hard: readonly string[] };
    readonly nodeName: string;
    readonly hasKey: boolean;
    readonly bpf: boolean;
    readonly sizeLimitKib: number;
    readonly socket: string;
  };
  readonly state: {
    readonly directory: string;
    /** The file system's name where a reboot empties it. */
    readonly volatile: string | null;
    readonly freeKib: number | null;
    /** Files with secrets in them. */
    readonly keys: readonly { readonly path: string; readonly mode: number }[];
  };
  readonly kernel: {
    readonly release: string;
    /** Of batman-adv. */
    readonly module: 'loaded' | 'installed' | 'missing' | null;
    /** Why the rest could not be asked, and is empty. */
    readonly trouble: string | null;
    readonly links: readonly Link[];
    readonly mesh: MeshInfo | null;
    readonly hard: readonly HardInterface[];
    readonly neighbours: readonly Neighbour[];
    readonly originators: readonly OriginatorPath[];
    readonly gateways: readonly Gateway[];
    /** The interface of the default route that leads out of the mesh. */
    readonly wayOut: string | null;
  };
  /** batman-adv frames that came in while we listened; null where we may not. */
  readonly air: readonly Heard[] | null;
  readonly radios: readonly Radio[];
  /** Of /etc/config/wireless, interfaces of mode mesh or adhoc. */
  readonly wireless: readonly Wireless[];
  /** Whether this wpa_supplicant can do a mesh with encryption; null where there is none to ask. */
  readonly supplicantMesh: boolean | null;
  /** '00' where none is set; null where there is no Wi-Fi. */
  readonly country: string | null;
  readonly agents: readonly Process[];
  /** What the running agent answers; null where none does. */
  readonly answer: Answer | null;
  /** Why there is no answer. */
  readonly silence: { readonly code: string; readonly message: string } | null;
  /** Of the system log, the agent's last lines. */
  readonly log: readonly string[];
  /** Of this x0ctl. */
  readonly version: string;
}

export interface Heard {
  readonly interface: string;
  readonly source: Mac;
  /** enum batadv_packettype, and the version of the protocol. */
  readonly type: number;
  readonly version: number;
}

export interface Radio {
  readonly interface: string;
  readonly type: string;
  readonly mac: Mac;
  /** MHz; null while it is on no channel. */
  readonly frequency: number | null;
  readonly stations: readonly RadioStation[];
  /** 802.11s' own forwarding. */
  readonly forwarding: boolean | null;
  /** 802.11s asks for a path even to who is its peer. */
  readonly discovers: boolean | null;
  /** Mesh points in reach. */
  readonly heard: readonly { readonly bssid: Mac; readonly meshId: string; readonly frequency: number }[];
}

export interface Wireless {
  readonly section: string;
  readonly meshId: string;
  readonly encryption: string;
  readonly disabled: boolean;
  /** Whether it has a password, and whether setup made that from mesh.key as it is now. */
  readonly sealed: 'no' | 'by mesh.key' | 'otherwise';
}

export interface Process {
  readonly pid: number;
  readonly uid: number;
  /** Its configuration file. */
  readonly config: string;
  /** CapEff of /proc/PID/status. */
  readonly capabilities: bigint | null;
  /** Its program was replaced on flash after it had begun. */
  readonly replaced: boolean;
}

export interface Answer {
  readonly version: string;
  readonly mode: string;
  readonly degraded: readonly { readonly part: string; readonly level: string; readonly why: string }[];
  readonly xdp: readonly { readonly name: string; readonly level: string; readonly why: string | null }[];
}

/** One thing that is wrong, or could be better. */
export interface Finding {
  readonly check: string;
  /** A problem keeps the mesh from working as it should; advice is for what may become one. */
  readonly weight: 'problem' | 'advice';
  readonly seen: string;
  readonly why: string;
  /** Commands that a person can run as they stand, but for words in capitals. */
  readonly remedy: readonly string[];
}

/** A check answers what it found, or in words why it could not look. */
export interface Check {
  readonly name: string;
  readonly looksFor: string;
  look(facts: Facts): readonly Omit<Finding, 'check'>[] | string;
}

/** A problem or an advice, in the order in which a person reads it. */
export function problem(seen: string, why: string, ...remedy: readonly string[]): Omit<Finding, 'check'> {
  return { weight: 'problem', seen, why, remedy };
}

export function advice(seen: string, why: string, ...remedy: readonly string[]): Omit<Finding, 'check'> {
  return { weight: 'advice', seen, why, remedy };
}

/** A word of a command line, for a shell. Cleaned first: what a terminal shows must not have quotes that were none here. */
export function quoted(word: string): string {
  const text = clean(word);
  return /^[A-Za-z0-9_./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function install({ system }: Facts, name: string): string {
  if (system.packages === 'apk') return `apk update && apk add ${name}`;
  if (system.packages === 'opkg') return `opkg update && opkg install ${name}`;
  return `install the package that brings ${name}`;
}

/** What the init script can be asked for, or systemd. */
export const service = (facts: Facts, verb: string): string =>
  isOpenWrt(facts) ? `/etc/init.d/x0tta6bl4 ${verb}` : `systemctl ${verb} x0d   # or however it is started here`;

/** Sections that setup has prepared: their password is made from the key of the mesh. */
const isPrepared = ({ section }: Wireless): boolean => section.startsWith('x0mesh_');

/** They wait for it, or for setup where it was set since. */
export const waitsForKey = (one: Wireless): boolean => isPrepared(one) && one.disabled && one.sealed === 'no';

/** The key was changed since, or somebody gave them a password by hand. */
export const hasOtherKey = ({ config }: Facts, one: Wireless): boolean =>
  isPrepared(one) && config.hasKey && one.sealed === 'otherwise';

/** A key that was set comes to the agent, and to the radios that wait for it. */
export function givesRadios(facts: Facts): string[] {
  if (!facts.wireless.some((one) => waitsForKey(one) || hasOtherKey(facts, one))) return ['reload_config'];
  return ['/etc/init.d/x0tta6bl4 setup', '/etc/init.d/network reload && reload_config'];
}

export const isOpenWrt = ({ system }: Facts): boolean => system.packages !== null;
