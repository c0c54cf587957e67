/** The schema in words, for forms that people fill in: LuCI's settings, and its translations' templates. */
import { type Option, REPEATED, SECTIONS } from './schema.ts';

interface DescribedOption {
  readonly name: string;
  readonly title: string;
  readonly help: string;
  readonly kind: Option['kind'];
  /** Counts from the next start only. */
  readonly restart: boolean;
  /** As the file would have it; a list's items, none where there is no default. */
  readonly value: readonly string[];
  readonly choices: readonly string[];
  /** Least and most; none where it is no number. */
  readonly range: readonly number[];
  readonly unit: string | null;
}

interface DescribedSection {
  readonly name: string;
  readonly title: string;
  readonly help: string;
  /** There may be several of this type, each with a name of its own. */
  readonly repeated: boolean;
  readonly options: readonly DescribedOption[];
}

/** Where the name of a section or option does not read well as a title. */
const TITLES: Readonly<Record<string, string>> = {
  log: 'System log',
  heal: 'Healing',
  bpf: 'Measuring (XDP)',
  beacon: 'Beacons',
  report: 'Answering',
  alert: 'Telling people',
  state: 'What is kept',
  peer: 'Sessions',
  workload: 'Identities for programs',
  tunnel: 'Tunnels',
  program: 'Programs',
  'mesh.own': 'The agent makes the mesh',
  'mesh.orig_interval': 'Originator interval',
  'mesh.primary': 'Primary interface',
  'mesh.hard_interface': 'Interfaces',
  'mesh.node_name': 'Name of this router',
  'bpf.admission': 'Members only',
  'bpf.admitted': 'Addresses admitted',
  'report.http': 'HTTP',
  'report.http_address': 'HTTP address',
  'report.http_port': 'HTTP port',
  'alert.url': 'Address (URL)',
  'trust.rotate': 'Key of the air renewed after',
  'trust.mixed': 'Routers without an identity',
  'trust.ssh_allowed': 'SSH host keys admitted',
  'trust.x509_authority': 'X.509 authorities',
  'trust.x509_certificate': 'X.509 certificate',
  'trust.x509_key': 'X.509 key',
  'workload.x509_life': 'Life of a certificate',
  'workload.jwt_life': 'Life of a token',
  'tunnel.allowed_ips': 'Networks behind it',
  'tunnel.psk_interval': 'Key renewed after',
  'tunnel.mtu': 'MTU',
  'tunnel.mesh': 'Part of the mesh',
};

/** What people look for first, first; the others in the file's order. */
const FIRST = ['mesh', 'heal'];
/** The packages' own. */
const HIDDEN = ['file'];

export function describe(): DescribedSection[] {
  const single = Object.keys(SECTIONS).filter((name) => !HIDDEN.includes(name) && !FIRST.includes(name));
  return [
    ...[...FIRST, ...single].map((name) => section(name, SECTIONS[name as keyof typeof SECTIONS], false)),
    ...Object.entries(REPEATED).map(([name, one]) => section(name, one, true)),
  ];
}

function section(
  name: string,
  { help, options }: { readonly help: string; readonly options: Readonly<Record<string, unknown>> },
  repeated: boolean,
): DescribedSection {
  const rows = Object.entries(options).map(([key, option]) => described(name, key, option as Option));
  return { name, title: titleOf(name, name), help, repeated, options: rows };
}

function described(section: string, name: string, option: Option): DescribedOption {
  const { kind, help, choices = [], range = [], unit = null } = option;
  const title = titleOf(`${section}.${name}`, name);
  const value = [option.write(option.default)].flat().filter((text) => text !== '');
  return { name, title, help, kind, restart: option.apply === 'restart', value, choices, range, unit };
}

function titleOf(path: string, name: string): string {
  const known = TITLES[path];
  if (known !== undefined) return known;
  const words = name.replaceAll('_', ' ');
  return `${words[0]!.toUpperCase()}${words.slice(1)}`;
}
