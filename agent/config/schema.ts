/**
 * Every option of /etc/config/x0tta6bl4, once. UCI defaults, validation, the README's table and the type `Config`
 * all come from `SECTIONS`: a new option is one row here and `node tools/generate.ts`.
 */
import {
  type BeaconSettings,
  beaconSettings,
  ENOUGH_SLOTS,
  FITTING,
  fits,
  hasSlots,
  PROFILES,
} from '../beacon/profile.ts';
import { isMac, type Mac } from '../core/ids.ts';
import { MS, type Nanos, SECOND, US } from '../core/time.ts';
import { POWERS, readRule } from '../trust/policy.ts';
import { isEntryPath, readSelector, SELECTOR } from '../workload/entry.ts';
import { FORMAT } from './migrate.ts';
import { quote } from './uci.ts';

export const PACKAGE = 'x0tta6bl4';

/** 'live': a reload applies it. 'restart': it counts from the agent's next start. */
export type Apply = 'live' | 'restart';

export type Kind = 'bool' | 'int' | 'enum' | 'string' | 'list' | 'mac' | 'path' | 'duration' | 'secret';

/** A secret in memory: neither JSON, nor string conversion, nor console output shows it. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The secret itself. Whoever calls this must not log what comes back. */
  reveal(): string {
    return this.#value;
  }

  toJSON(): string {
    return '[secret]';
  }

  toString(): string {
    return '[secret]';
  }
}

/** One option. T is what the agent works with, UCI text is what the file holds. */
export interface Option<T = unknown> {
  readonly kind: Kind;
  readonly default: T;
  readonly apply: Apply;
  /** One sentence for a person. */
  readonly help: string;
  /** What a value has to be, to follow the word "expected". */
  readonly expected: string;
  /** The unit of the number in the file; durations are nanoseconds in the agent. */
  readonly unit?: 'ms' | 's' | 'KiB';
  /** In the file's unit, both ends included. */
  readonly range?: readonly [min: number, max: number];
  readonly choices?: readonly string[];
  /** The value of one piece of text (for a list: of one item), undefined if it is none. */
  read(text: string): T | undefined;
  /** As the file has it: one text, or the items of a list. */
  write(value: T): string | readonly string[];
}

const TRUE = ['1', 'on', 'true', 'yes', 'enabled'];
const FALSE = ['0', 'off', 'false', 'no', 'disabled'];

/** The value of one piece of text by the words that OpenWrt's config_get_bool takes, undefined if it is none. */
export function readBool(text: string): boolean | undefined {
  return TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined;
}

function bool(value: boolean, apply: Apply, help: string): Option<boolean> {
  return {
    kind: 'bool',
    default: value,
    apply,
    help,
    expected: '0 or 1',
    read: readBool,
    write: (v) => (v ? '1' : '0'),
  };
}

/** A switch with a third position: on where that is possible without asking anybody. The words of bool() are taken as well. */
function autoBool(apply: Apply, help: string): Option<'auto' | '0' | '1'> {
  return {
    kind: 'enum',
    default: 'auto',
    apply,
    help,
    choices: ['auto', '0', '1'],
    expected: 'auto, 0 or 1',
    read: (text) => (text === 'auto' ? text : TRUE.includes(text) ? '1' : FALSE.includes(text) ? '0' : undefined),
    write: (v) => v,
  };
}

function readInt(text: string, [min, max]: readonly [number, number]): number | undefined {
  if (!/^-?\d{1,15}$/.test(text)) return undefined;
  const n = Number(text);
  return n >= min && n <= max ? n : undefined;
}

function int(
  value: number,
  range: readonly [number, number],
  apply: Apply,
  help: string,
  unit?: 'KiB',
): Option<number> {
  return {
    kind: 'int',
    default: value,
    apply,
    help,
    range,
    ...(unit && { unit }),
    expected: `a whole number${unit ? ` of ${unit}` : ''} from ${range[0]} to ${range[1]}`,
    read: (text) => readInt(text, range),
    write: (v) => String(v),
  };
}

/** `value` and `range` are in `unit`, as the file has them; the agent gets nanoseconds. */
function duration(
  value: number,
  unit: 'ms' | 's',
  range: readonly [number, number],
  apply: Apply,
  help: string,
): Option<Nanos> {
  const scale = unit === 'ms' ? MS : SECOND;
  const name = unit === 'ms' ? 'milliseconds' : 'seconds';
  return {
    kind: 'duration',
    default: value * scale,
    apply,
    help,
    unit,
    range,
    expected: `a whole number of ${name} from ${range[0]} to ${range[1]}`,
    read: (text) => {
      const n = readInt(text, range);
      return n === undefined ? undefined : n * scale;
    },
    write: (v) => String(v / scale),
  };
}

function oneOf<const C extends readonly string[]>(
  value: C[number],
  choices: C,
  apply: Apply,
  help: string,
): Option<C[number]> {
  return {
    kind: 'enum',
    default: value,
    apply,
    help,
    choices,
    expected: `one of ${choices.join(', ')}`,
    read: (text) => (choices.includes(text) ? text : undefined),
    write: (v) => v,
  };
}

/** What a text has to be: a test and the words for it. */
interface Form {
  readonly expected: string;
  test(text: string): boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not pass.
const CONTROL = /[\x00-\x1f\x7f]/;

/** dev_valid_name() of the kernel: at most 15 bytes, no slash, colon or blank, not . or .. */
const INTERFACE: Form = {
  expected: 'an interface name of 1 to 15 characters without blank, / and :',
  test: (text) => /^[\x21-\x7e]{1,15}$/.test(text) && !/[/:]/.test(text) && text !== '.' && text !== '..',
};

const LOWER_MAC: Form = {
  expected: 'a MAC address in lower case such as 02:12:34:56:78:9a',
  test: isMac,
};

/** Not a length, and nobody else's: batman-adv, IPv4, ARP, VLANs, IPv6. */
const ETHERTYPE: Form = {
  expected: 'an ethertype in hexadecimal from 0x0600 to 0xffff that is not in use already, such as 0x88b6',
  test: (text) =>
    /^0x[0-9a-f]{4}$/i.test(text) &&
    Number(text) >= 0x600 &&
    ![0x4305, 0x0800, 0x0806, 0x8100, 0x88a8, 0x86dd].includes(Number(text)),
};

const HOST_NAME: Form = {
  expected: 'at most 63 letters, digits, dots, - and _ (empty: the host name)',
  test: (text) => /^[A-Za-z0-9._-]{0,63}$/.test(text),
};

const ADDRESS: Form = {
  expected: 'an IPv4 or IPv6 address of this router',
  test: (text) => IPV4.test(text) || isIpv6(text),
};

const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

const isIpv6 = (text: string): boolean =>
  /^[0-9A-Fa-f:.]{2,45}$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]/`);

/** A name in DNS, or an address; IPv6 in brackets, since a port follows. */
const TUNNEL_ENDPOINT: Form = {
  expected: 'HOST:PORT, or [IPV6]:PORT (empty where only the other end calls)',
  test: (text) => {
    if (text === '') return true;
    const [, bracketed, name, port] = /^(?:\[([^\]]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text) ?? [];
    const isHost = bracketed === undefined ? name !== undefined : isIpv6(bracketed);
    return isHost && Number(port) >= 1 && Number(port) <= 65534;
  },
};

const NETWORK: Form = {
  expected: 'a network such as 10.0.0.0/8 or fd00::/8',
  test: (text) => {
    const [, address = '', prefix] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
    return IPV4.test(address) ? Number(prefix) <= 32 : isIpv6(address) && Number(prefix) <= 128;
  },
};

const PEER: Form = {
  expected: 'the SPIFFE id of a router, spiffe://DOMAIN/router/NODE, or its NODE alone',
  test: (text) =>
    /^(spiffe:\/\/[a-z0-9._-]{1,255}\/router\/)?[A-Za-z0-9._-]{1,128}$/.test(text) && text !== '.' && text !== '..',
};

const TARGET: Form = {
  expected: 'an IPv4 or IPv6 address such as 10.77.0.2 or fe80::1%bat0',
  test: (text) => ADDRESS.test(text.replace(/^(fe80:.*)%[A-Za-z0-9._-]{1,15}$/i, '$1')),
};

/** An address with or without a port; a link-local one with its interface. */
const ENDPOINT: Form = {
  expected: 'an address such as 192.0.2.1, 192.0.2.1:17447, 2001:db8::1 or [fe80::1%eth0]:17447',
  test: (text) => {
    if (isIpv6(text)) return true;
    const [, bracketed, plain, port] =
      /^(?:\[([^\]%]+)(?:%[\x21-\x5c\x5e-\x7e]{1,15})?\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
    const isAddress = IPV4.test(plain ?? bracketed ?? '') || (bracketed !== undefined && isIpv6(bracketed));
    return isAddress && (port === undefined || (Number(port) >= 1 && Number(port) <= 65535));
  },
};

const ARGUMENT: Form = {
  expected: 'an argument of 1 to 1024 characters without control characters',
  test: (text) => text.length >= 1 && text.length <= 1024 && !CONTROL.test(text),
};

const TRUST_DOMAIN: Form = {
  expected: 'a trust domain of at most 255 lower-case letters, digits, dots, - and _',
  test: (text) => /^[a-z0-9._-]{1,255}$/.test(text),
};

const RULE: Form = {
  expected: `router/NAME or a SPIFFE ID (* for the last part), and what it may out of ${POWERS.join(', ')}, since another router can ask for nothing else`,
  test: (text) => {
    try {
      return readRule(text) !== null;
    } catch {
      return false;
    }
  },
};

const PATH: Form = {
  expected: 'an absolute path',
  test: (text) => /^(\/[^/]+)+$/.test(text) && text.length <= 1024 && !CONTROL.test(text),
};

const PROGRAM: Form = {
  expected: 'a path of at most 200 letters, digits, dots, - and _ such as shop/database',
  test: isEntryPath,
};

const PROGRAM_SELECTOR: Form = {
  expected: SELECTOR,
  test: (text) => readSelector(text) !== null,
};

const HINT: Form = {
  expected: 'at most 64 letters, digits, dots, - and _ (empty for none)',
  test: (text) => /^[A-Za-z0-9._-]{0,64}$/.test(text),
};

const PATH_OR_NONE: Form = {
  expected: 'an absolute path (empty for none)',
  test: (text) => text === '' || PATH.test(text),
};

const HOOK: Form = {
  expected: 'an http: or https: address (empty for none)',
  test: (text) => text === '' || (/^https?:\/\/[^\s]{1,1000}$/.test(text) && URL.canParse(text)),
};

function string(value: string, form: Form, apply: Apply, help: string): Option<string> {
  return {
    kind: 'string',
    default: value,
    apply,
    help,
    expected: form.expected,
    read: (text) => (form.test(text) ? text : undefined),
    write: (v) => v,
  };
}

/** An absolute path without . and .. in it, short enough for a unix socket (sun_path is 108 bytes with its NUL). */
function path(value: string, apply: Apply, help: string): Option<string> {
  return {
    kind: 'path',
    default: value,
    apply,
    help,
    expected: 'an absolute path of at most 107 bytes without . and .. in it',
    read: (text) =>
      /^(\/[^/]+)+$/.test(text) &&
      new TextEncoder().encode(text).length <= 107 &&
      !CONTROL.test(text) &&
      !/\/\.\.?(\/|$)/.test(text)
        ? text
        : undefined,
    write: (v) => v,
  };
}

function list(value: readonly string[], form: Form, apply: Apply, help: string): Option<readonly string[]> {
  return {
    kind: 'list',
    default: value,
    apply,
    help,
    expected: `a list, each item ${form.expected}`,
    read: (text) => (form.test(text) ? [text] : undefined),
    write: (v) => v,
  };
}

/** What the beacons follow, out of the configuration. */
export function beaconOf({ beacon }: Config): BeaconSettings {
  return beaconSettings({
    profile: beacon.profile,
    intervalNs: beacon.interval,
    slotNs: beacon.slot,
    guardNs: beacon.guard * US,
    rateKbit: beacon.rate,
    ethertype: Number(beacon.ethertype),
  });
}

/** Optional; either case is read. */
export function mac(apply: Apply, help: string): Option<Mac | undefined> {
  return {
    kind: 'mac',
    default: undefined,
    apply,
    help,
    expected: 'a MAC address such as 02:12:34:56:78:9a',
    read: (text) => (isMac(text.toLowerCase()) ? text.toLowerCase() : undefined),
    write: (v) => v ?? '',
  };
}

/** Optional: there is no such thing as a default secret. */
function secret(apply: Apply, help: string): Option<Secret | undefined> {
  return {
    kind: 'secret',
    default: undefined,
    apply,
    help,
    expected: '16 to 256 characters without control characters, the same on every router',
    read: (text) => (text.length >= 16 && text.length <= 256 && !CONTROL.test(text) ? new Secret(text) : undefined),
    write: (v) => v?.reveal() ?? '',
  };
}

export const SECTIONS = {
  file: {
    help: 'The form of this file.',
    options: {
      format: int(
        FORMAT,
        [0, 999999],
        'restart',
        'Written by the packages; a file of an older form is brought into this one, and loses nothing.',
      ),
    },
  },
  log: {
    help: 'What goes to the system log.',
    options: {
      level: oneOf('info', ['debug', 'info', 'warning', 'error'], 'live', 'The least severe message that is logged.'),
    },
  },
  mesh: {
    help: 'The batman-adv mesh that the agent looks after.',
    options: {
      interface: string('bat0', INTERFACE, 'restart', 'The mesh interface.'),
      own: bool(
        false,
        'restart',
        'The agent creates the mesh interface and sets it up itself; 0 adopts the one that the network configuration declares.',
      ),
      hard_interface: list([], INTERFACE, 'restart', 'The interfaces that are put into a mesh that the agent owns.'),
      algorithm: oneOf(
        'BATMAN_IV',
        ['BATMAN_IV', 'BATMAN_V'],
        'restart',
        'The routing algorithm of a mesh that the agent owns; all routers of a mesh need the same.',
      ),
      primary: string(
        'primary0',
        INTERFACE,
        'restart',
        'The interface that never goes away and gives this router its address in a mesh that the agent owns; created if missing.',
      ),
      orig_interval: duration(
        0,
        'ms',
        [0, 60000],
        'live',
        'The time between two originator messages; 0 leaves what batman-adv has, else at least 40.',
      ),
      key: secret(
        'live',
        'The key that authenticates alarms between routers, in hexadecimal or as a passphrase; the radios of the mesh get theirs from it by the setup of the init script; without it the agent repairs only by itself.',
      ),
      node_name: string(
        '',
        HOST_NAME,
        'restart',
        'The name that people see for this router; empty takes the host name.',
      ),
      max_neighbours: int(
        0,
        [0, 255],
        'restart',
        'The neighbours that a radio of the mesh takes at most (IEEE 802 mesh peers), told to it by the init script when it is set up; 0 leaves what the radio has.',
      ),
      revert_after: duration(
        60,
        's',
        [0, 3600],
        'live',
        'The time after which a changed configuration is taken back if it has cut this router off from the mesh or from who is logged in; 0 never takes it back.',
      ),
    },
  },
  heal: {
    help: 'How faults are found and repaired.',
    options: {
      mode: oneOf(
        'act',
        ['off', 'observe', 'act'],
        'live',
        'off does nothing, observe only journals what it would have done, act repairs.',
      ),
      poll_interval: duration(
        1000,
        'ms',
        [200, 60000],
        'live',
        'The time between two looks at the tables that the kernel does not announce.',
      ),
      kick_count: int(12, [1, 32], 'live', 'The originator messages of one kick: three at once, the rest ever slower.'),
      kick_spacing: duration(4, 'ms', [1, 100], 'live', 'The time between the first originator messages of a kick.'),
      kick_budget: int(
        20,
        [1, 600],
        'live',
        'The kicks that this router may send in a minute, half of them for what others tell or feign.',
      ),
      sender_budget: int(6, [1, 600], 'live', 'The alarms that are accepted from one router in a minute.'),
      alarm_hops: int(8, [1, 32], 'live', 'The number of hops that an alarm of this router travels.'),
      detach: bool(
        true,
        'live',
        'Take a dead interface out of the mesh until it lives again, where nothing gentler has moved the routes.',
      ),
      reattach: bool(true, 'live', 'Put an interface back that fell out of the mesh.'),
      recreate: bool(true, 'live', 'Create the mesh interface anew, with its MAC address, when it has vanished.'),
      reattach_damping: duration(
        0,
        's',
        [0, 3600],
        'live',
        'The time that an interface has to live before it goes back into the mesh the first time.',
      ),
      flap_damping: duration(
        30,
        's',
        [30, 3600],
        'live',
        'The time that an interface has to live before it goes back when it keeps failing.',
      ),
      echo_interval: duration(
        10,
        's',
        [0, 3600],
        'live',
        'The time between two latency probes to each neighbour that has the agent; 0 sends none.',
      ),
      dead_after: duration(60, 's', [5, 3600], 'live', 'The silence after which another router counts as dead.'),
      restart: bool(false, 'live', 'Restart a radio, or the agent itself, as the last resort.'),
      earn_right: int(
        95,
        [50, 100],
        'live',
        'The percentage of observed cases in which a repair has to have been right before its class of faults is repaired.',
      ),
      earn_false: int(
        5,
        [0, 50],
        'live',
        'The percentage of observed cases below which false ones have to stay for that.',
      ),
      earn_cases: int(20, [1, 10000], 'live', 'The observed cases that it takes at least.'),
      explore: int(
        0,
        [0, 1000],
        'live',
        'One repair in so many tries the gentlest way again, though another has worked better here; 0 never.',
      ),
    },
  },
  bpf: {
    help: 'What comes in from the neighbours, measured in the kernel (XDP); only incoming frames are seen.',
    options: {
      enabled: autoBool(
        'restart',
        'Measure with XDP programs where the kernel takes them, else with a packet socket; takes some 3 MiB of memory; auto is on where the package x0tta6bl4-bpf is installed.',
      ),
      generic: bool(
        true,
        'restart',
        'Also where the driver has no XDP of its own, as with most radios: then the kernel may copy each frame first.',
      ),
      deadline: duration(
        5000,
        'ms',
        [0, 60000],
        'restart',
        'The silence after which a neighbour is reported as silent, where no schedule says otherwise; 0 is never.',
      ),
      admitted: list(
        [],
        LOWER_MAC,
        'restart',
        'Addresses of neighbours whose batman-adv frames pass, all others being dropped; empty lets all pass.',
      ),
      admission: bool(
        false,
        'restart',
        'Whether batman-adv frames pass from members of the mesh only, where this router has an identity; all others are dropped.',
      ),
      epsilon: int(
        100,
        [0, 1000],
        'restart',
        'How much the shared TCP figures may give away of a connection in a day, in hundredths of an epsilon; 0 shares none.',
      ),
    },
  },
  probe: {
    help: 'Round-trip times over the mesh by ICMP and ICMPv6 echo; needs the optional package raw-socket (OpenWrt: node-raw-socket).',
    options: {
      targets: list([], TARGET, 'restart', 'The addresses to ask, IPv4 or IPv6, 64 at most; empty asks nobody.'),
      interval: duration(10, 's', [1, 3600], 'restart', 'Each of them is asked so often.'),
    },
  },
  peer: {
    help: 'Sessions with other routers, where this one has an identity: mutually authenticated and encrypted.',
    options: {
      enabled: bool(true, 'restart', 'Have sessions with other routers once this one has an identity.'),
      port: int(17447, [1, 65535], 'restart', 'The TCP port of sessions, and the UDP port of announcements.'),
      listen: list(
        [],
        ADDRESS,
        'restart',
        'Further addresses of this router to listen on, beside the link-local one of the mesh interface.',
      ),
      connect: list(
        [],
        ENDPOINT,
        'restart',
        'Addresses of routers to keep a session with, which need not be in the same mesh: an address, or [address]:port.',
      ),
      announce: bool(true, 'restart', 'Tell the mesh every half minute where sessions with this router can be had.'),
    },
  },
  beacon: {
    help: 'Beacons between neighbours: a common time, a transmit schedule, silent neighbours found soon.',
    options: {
      enabled: bool(
        false,
        'restart',
        'Send beacons; that needs a mesh key, and the same options here on every router of the mesh.',
      ),
      profile: oneOf(
        'default',
        PROFILES,
        'restart',
        'brief: a beacon every 5 s in slots of 100 ms; default: every 500 ms, silent neighbours are found within 1500 ms; fast: every 100 ms in slots of 2 ms, found within 300 ms.',
      ),
      interval: duration(
        0,
        'ms',
        [0, 60000],
        'restart',
        'The superframe: the time between two beacons; 0 as the profile says.',
      ),
      slot: duration(
        0,
        'ms',
        [0, 1000],
        'restart',
        'The time that one router has in a superframe; 0 as the profile says.',
      ),
      guard: int(
        0,
        [0, 100000],
        'restart',
        'The part of a slot, in microseconds, that clocks may be wrong by; 0 as the profile says.',
      ),
      rate: int(
        1000,
        [1000, 1000000],
        'restart',
        'The lowest multicast rate of the radios, in kbit/s: what a beacon takes on the air follows from it.',
      ),
      ethertype: string(
        '0x88b5',
        ETHERTYPE,
        'restart',
        'The ethertype of beacons: IEEE local experimental 1, shared with the alarms, unless something else uses that.',
      ),
    },
  },
  report: {
    help: 'Where the agent can be asked.',
    options: {
      http: bool(true, 'restart', 'Answer HTTP requests, which can only read.'),
      http_address: string('127.0.0.1', ADDRESS, 'restart', 'The address of both HTTP ports.'),
      http_port: int(8080, [1, 65535], 'restart', 'The TCP port of the status pages.'),
      metrics_port: int(9091, [1, 65535], 'restart', 'The TCP port of the Prometheus metrics.'),
      socket: path('/var/run/x0tta6bl4/ctl.sock', 'restart', 'The unix socket that x0ctl talks to.'),
    },
  },
  alert: {
    help: 'Who is told of each entry of the journal, as JSON; nobody by default.',
    options: {
      command: list(
        [],
        ARGUMENT,
        'live',
        'A program, by its absolute path, and its arguments, without a shell; the entry comes on its standard input.',
      ),
      url: string('', HOOK, 'live', 'An address that gets the entry by HTTP POST.'),
      timeout: duration(10, 's', [1, 300], 'live', 'The time that a handler may take; then it is killed.'),
    },
  },
  state: {
    help: 'What is kept on flash.',
    options: {
      directory: path(
        '/etc/x0tta6bl4',
        'restart',
        'The directory of the state database, on flash: a reboot empties /var.',
      ),
      journal_entries: int(5000, [100, 1000000], 'live', 'The decisions that the journal keeps; the oldest go first.'),
      write_interval: duration(
        60,
        's',
        [1, 3600],
        'live',
        'The time that entries are collected before they are written.',
      ),
      size_limit: int(8192, [256, 1048576], 'live', 'The size that the state database may reach.', 'KiB'),
      recorder: int(
        256,
        [0, 65536],
        'live',
        'The memory of the flight recorder, compressed; 0 records nothing.',
        'KiB',
      ),
    },
  },
  trust: {
    help: 'The identity of this router in its mesh; x0ctl mesh init and x0ctl join make one.',
    options: {
      domain: string(
        'x0tta6bl4.mesh',
        TRUST_DOMAIN,
        'restart',
        'The SPIFFE trust domain of a mesh that x0ctl mesh init makes.',
      ),
      life: duration(
        43200,
        's',
        [600, 604800],
        'live',
        'The time that the certificates are good for which this router issues as a steward; they are renewed at half of it.',
      ),
      grace: duration(
        604800,
        's',
        [0, 2592000],
        'live',
        'The time that certificates are still believed after their end while no steward can be reached.',
      ),
      rotate: duration(
        21600,
        's',
        [60, 604800],
        'live',
        'How long alarms and beacons are sealed with the same key of the air; a revocation changes it at once.',
      ),
      mixed: bool(
        true,
        'live',
        'Whether routers without an identity are spoken with and believed under the mesh key too, until somebody is revoked.',
      ),
      allow: list(
        ['router/* read-status'],
        RULE,
        'live',
        'Who may do what on this router over a session: router/NAME, router/* for all of its mesh or a SPIFFE ID, and read-status, tell-faults, change-configuration, admit or revoke; the rest is denied.',
      ),
      ssh_allowed: list(
        [],
        ARGUMENT,
        'restart',
        'The SSH host keys whose routers this steward admits: ssh-ed25519, the key, and a name where the router has one.',
      ),
      x509_authority: list(
        [],
        PATH,
        'restart',
        'The files of the CA certificates whose routers this steward admits, in PEM.',
      ),
      x509_certificate: string('', PATH_OR_NONE, 'restart', 'The certificate that this router joins with, in PEM.'),
      x509_key: string('', PATH_OR_NONE, 'restart', 'The private key of that certificate, in PEM.'),
      workload_socket: string(
        '',
        PATH_OR_NONE,
        'restart',
        'The socket of a SPIRE agent on this router, from which the certificate to join with is taken instead.',
      ),
    },
  },
  workload: {
    help: 'The SPIFFE Workload API: certificates and tokens for programs on this router.',
    options: {
      enabled: bool(
        false,
        'restart',
        'Serve the SPIFFE Workload API to the programs that have a section of their own.',
      ),
      socket: path('/var/run/x0tta6bl4-workload/api.sock', 'restart', 'Where programs find it; any of them may ask.'),
      x509_life: duration(
        3600,
        's',
        [60, 86400],
        'restart',
        "The time that a program's certificate is good for; it is renewed at half of it.",
      ),
      jwt_life: duration(300, 's', [30, 3600], 'restart', "The time that a program's token is good for."),
    },
  },
} as const satisfies Record<string, { help: string; options: Record<string, Option> }>;

/** Sections of which there may be several, each with a name of its own: config TYPE 'NAME'. */
export const REPEATED = {
  tunnel: {
    help: 'A WireGuard tunnel to another router that has the agent, over a foreign network.',
    name: 'a name of 1 to 11 letters, digits and _',
    test: (name: string): boolean => /^[A-Za-z0-9_]{1,11}$/.test(name),
    options: {
      peer: string('', PEER, 'restart', 'The router at the other end, which needs the same tunnel with this one.'),
      endpoint: string(
        '',
        TUNNEL_ENDPOINT,
        'restart',
        'Where the other end listens, as this router reaches it, on that port and the next one; at least one end needs it.',
      ),
      listen_port: int(
        51820,
        [0, 65534],
        'restart',
        'The UDP port that this end listens on, and the next one; 0 lets the kernel pick, where only this end calls.',
      ),
      address: list([], ADDRESS, 'restart', 'Addresses of this router inside the tunnel.'),
      allowed_ips: list([], NETWORK, 'restart', 'The networks behind the other end; they are routed into the tunnel.'),
      table: int(254, [1, 2147483647], 'restart', 'The routing table for that; 254 is the main one.'),
      keepalive: duration(
        25,
        's',
        [0, 3600],
        'restart',
        'The time between two packets that keep a NAT or firewall on the way open; 0 sends none.',
      ),
      psk_interval: duration(
        120,
        's',
        [5, 86400],
        'restart',
        'The time after which the post-quantum preshared key is renewed; what the leading end (the smaller SPIFFE id) has counts.',
      ),
      mtu: int(1420, [1280, 9000], 'restart', 'The largest packet inside: that of the foreign network less 80.'),
      mesh: bool(false, 'restart', 'Make the tunnel a hard interface of the mesh, so that it spans both sites.'),
    },
  },
  program: {
    help: 'A program on this router that is given an identity, where section workload is on.',
    name: 'a name of 1 to 32 letters, digits and _',
    test: (name: string): boolean => /^[A-Za-z0-9_]{1,32}$/.test(name),
    options: {
      path: string('', PROGRAM, 'live', 'What its SPIFFE id ends in: spiffe://DOMAIN/workload/NODE/PATH.'),
      selector: list(
        [],
        PROGRAM_SELECTOR,
        'live',
        'What has to hold of the process that asks, all of it: uid, gid, executable, its SHA-256, cgroup, container.',
      ),
      hint: string('', HINT, 'live', 'A word by which a program that has several identities tells them apart.'),
    },
  },
} as const satisfies Record<
  string,
  { help: string; name: string; test(name: string): boolean; options: Record<string, Option> }
>;

type Repeated = typeof REPEATED;
export type RepeatedName = keyof Repeated;

type Sections = typeof SECTIONS;
export type SectionName = keyof Sections;
type ValueOf<O> = O extends Option<infer T> ? T : never;

/** The whole configuration, under the names that it has in the file. Durations are nanoseconds. */
export type Config = {
  readonly [S in SectionName]: {
    readonly [O in keyof Sections[S]['options']]: ValueOf<Sections[S]['options'][O]>;
  };
} & {
  readonly [S in RepeatedName]: readonly ({ readonly name: string } & {
    readonly [O in keyof Repeated[S]['options']]: ValueOf<Repeated[S]['options'][O]>;
  })[];
};

/** An option with where it stands. */
export interface Row {
  readonly section: SectionName;
  readonly name: string;
  /** section.option */
  readonly path: string;
  readonly option: Option;
}

/** The table in one piece, in the order of the file. */
export const ROWS: readonly Row[] = (Object.keys(SECTIONS) as SectionName[]).flatMap((section) =>
  Object.entries<Option>(SECTIONS[section].options as Record<string, Option>).map(([name, option]) => ({
    section,
    name,
    path: `${section}.${name}`,
    option,
  })),
);

/** A configuration from one value a row. */
export function build(value: (row: Row) => unknown): Config {
  const config: Record<string, Record<string, unknown>> = {};
  for (const row of ROWS) {
    config[row.section] ??= {};
    config[row.section]![row.name] = value(row);
  }
  const none = Object.keys(REPEATED).map((type) => [type, []]);
  return { ...config, ...Object.fromEntries(none) } as unknown as Config;
}

export const DEFAULTS: Config = build((row) => row.option.default);

export function optionValue(config: Config, row: Row): unknown {
  return (config[row.section] as Record<string, unknown>)[row.name];
}

/**
 * What has to hold between options that are each valid. Where it does not, the first of `paths` whose default alone makes
 * it hold falls back to that, or else one after the other until it does; their defaults together satisfy it. Blamed is what
 * `at` names; else the first of them that the file has, if it can be with another value than the default. Nothing is said
 * where one of them, or of what it is `also` about, was refused already.
 */
export const RULES: readonly {
  readonly paths: readonly string[];
  readonly also?: readonly string[];
  readonly expected: string;
  holds(config: Config): boolean;
  /** Where it does not hold, as far as that can be told; of a list, which item. */
  at?(config: Config): { readonly path: string; readonly item?: number };
}[] = [
  {
    paths: ['mesh.primary', 'mesh.hard_interface', 'mesh.interface'],
    expected: 'mesh.interface, mesh.primary and every mesh.hard_interface to be different interfaces',
    holds: ({ mesh }) => {
      const names = [mesh.interface, mesh.primary, ...mesh.hard_interface];
      return !mesh.own || new Set(names).size === names.length;
    },
    at: ({ mesh }) => {
      if (mesh.primary === mesh.interface)
        return { path: mesh.interface === DEFAULTS.mesh.interface ? 'mesh.primary' : 'mesh.interface' };
      const hard = mesh.hard_interface;
      const isTaken = (name: string, i: number) => [mesh.interface, mesh.primary, ...hard.slice(0, i)].includes(name);
      return { path: 'mesh.hard_interface', item: hard.findIndex(isTaken) };
    },
  },
  {
    paths: ['heal.dead_after', 'mesh.orig_interval'],
    expected: 'heal.dead_after to be at least three times mesh.orig_interval: a router lives between two OGMs',
    holds: ({ heal, mesh }) => heal.dead_after >= 3 * mesh.orig_interval,
  },
  {
    paths: ['mesh.own'],
    also: ['mesh.hard_interface'],
    expected: 'mesh.own to be 0, or mesh.hard_interface to name an interface for the mesh',
    holds: ({ mesh }) => !mesh.own || mesh.hard_interface.length > 0,
  },
  {
    paths: ['mesh.orig_interval'],
    expected: 'mesh.orig_interval to be 0 or at least 40 milliseconds',
    holds: ({ mesh }) => mesh.orig_interval === 0 || mesh.orig_interval >= 40 * MS,
  },
  {
    paths: ['report.metrics_port', 'report.http_port'],
    expected: 'report.http_port and report.metrics_port to be different ports',
    holds: ({ report }) => report.metrics_port !== report.http_port,
  },
  {
    paths: ['alert.command'],
    expected: 'the first item of alert.command to be an absolute path',
    holds: ({ alert }) => alert.command.length === 0 || alert.command[0]!.startsWith('/'),
    at: () => ({ path: 'alert.command', item: 0 }),
  },
  {
    paths: ['beacon.rate', 'beacon.slot', 'beacon.guard', 'beacon.profile'],
    expected: FITTING,
    holds: (config) => fits(beaconOf(config)),
  },
  {
    paths: ['beacon.interval', 'beacon.slot'],
    also: ['beacon.profile'],
    expected: ENOUGH_SLOTS,
    holds: (config) => hasSlots(beaconOf(config)),
  },
  {
    paths: ['heal.reattach_damping', 'heal.flap_damping'],
    expected: 'heal.flap_damping to be at least heal.reattach_damping',
    holds: ({ heal }) => heal.flap_damping >= heal.reattach_damping,
  },
];

const isDefaultRoute = (network: string): boolean => network.endsWith('/0');

/** What has to hold of one program. */
export const PROGRAM_RULES: readonly {
  readonly option: string;
  readonly expected: string;
  holds(program: Config['program'][number]): boolean;
}[] = [
  { option: 'path', expected: PROGRAM.expected, holds: ({ path }) => path !== '' },
  { option: 'selector', expected: `at least one of ${SELECTOR}`, holds: ({ selector }) => selector.length > 0 },
];

/** What has to hold within one section of a type, and what among all of that type. */
export const TUNNEL_RULES: readonly {
  readonly option: string;
  readonly expected: string;
  holds(tunnel: Config['tunnel'][number], others: Config['tunnel']): boolean;
  /** Of a list, the item by which it does not hold. */
  item?(tunnel: Config['tunnel'][number]): number;
}[] = [
  { option: 'peer', expected: PEER.expected, holds: ({ peer }) => peer !== '' },
  {
    option: 'peer',
    expected: 'a router to which no other tunnel leads',
    holds: ({ peer }, others) => !others.some((other) => other.peer === peer),
  },
  {
    option: 'listen_port',
    expected: 'a port that, with the next one, no other tunnel has',
    holds: ({ listen_port: port }, others) =>
      port === 0 || !others.some((other) => other.listen_port !== 0 && Math.abs(other.listen_port - port) < 2),
  },
  {
    option: 'listen_port',
    expected: 'a port, since without an endpoint this end is called',
    holds: ({ listen_port: port, endpoint }) => port !== 0 || endpoint !== '',
  },
  {
    option: 'allowed_ips',
    expected: 'a network behind the other end, or mesh to be 1',
    holds: ({ allowed_ips: networks, mesh }) => mesh || networks.length > 0,
  },
  {
    option: 'allowed_ips',
    expected: 'no default route in the main table, which the tunnel itself needs; another table may have it',
    holds: ({ allowed_ips: networks, table }) => table !== 254 || !networks.some(isDefaultRoute),
    item: ({ allowed_ips: networks }) => networks.findIndex(isDefaultRoute),
  },
];

function rangeText({ kind, range, choices, unit }: Option): string {
  if (choices) return choices.join(', ');
  if (range) return `${range[0]} to ${range[1]}${unit ? ` ${unit}` : ''}`;
  return kind === 'bool' ? '0, 1' : '';
}

/** The text of the default /etc/config/x0tta6bl4. Options that are empty by default stand there as comments. */
export function defaultsUci(): string {
  const out = [
    `# The configuration of ${PACKAGE}. "x0ctl config check" says what is wrong with it,`,
    `# "/etc/init.d/${PACKAGE} reload" applies it. Written by tools/generate.ts from agent/config/schema.ts.`,
  ];
  for (const section of Object.keys(SECTIONS) as SectionName[]) {
    out.push('', `# ${SECTIONS[section].help}`, `config ${section} '${section}'`);
    for (const { name, option } of ROWS.filter((r) => r.section === section)) {
      const range = rangeText(option);
      const note = [range && `(${range})`, option.apply === 'restart' && '(needs a restart)'].filter(Boolean);
      out.push(`\t# ${[option.help, ...note].join(' ')}`);
      const value = option.write(option.default);
      if (typeof value !== 'string' && value.length > 0) out.push(...value.map((v) => `\tlist ${name} ${quote(v)}`));
      else if (value.length > 0) out.push(`\toption ${name} ${quote(value as string)}`);
      else out.push(`\t#${option.kind === 'list' ? 'list' : 'option'} ${name} ''`);
    }
  }
  for (const [type, { help, options }] of Object.entries(REPEATED)) {
    out.push('', `# ${help} There may be several.`, `#config ${type} 'NAME'`);
    for (const [name, option] of Object.entries<Option>(options)) {
      const value = option.write(option.default);
      out.push(
        `#\t${option.kind === 'list' ? 'list' : 'option'} ${name} ${quote(typeof value === 'string' ? value : '')}`,
      );
    }
  }
  return `${out.join('\n')}\n`;
}

/** The README's table of all options, in Markdown. */
export function optionTable(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|') || ' ';
  const code = (text: string) => (text === '' ? '' : `\`${text}\``);
  const repeated = Object.entries(REPEATED).flatMap(([type, { options }]) =>
    Object.entries<Option>(options).map(([name, option]) => ({ path: `${type}.NAME.${name}`, option })),
  );
  const rows = [...ROWS, ...repeated].map(({ path, option }) => {
    const value = option.write(option.default);
    const unit = option.unit && value !== '' ? ` ${option.unit}` : '';
    const shown = typeof value === 'string' ? value : value.join(' ');
    const cells = [code(path), option.kind, shown && code(shown) + unit, rangeText(option), option.apply, option.help];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  return ['| Option | Type | Default | Values | Applies | What it does |', '|---|---|---|---|---|---|', ...rows].join(
    '\n',
  );
}
