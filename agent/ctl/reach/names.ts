/**
 * Which router a person means: by its address in the mesh or the end of it, by the address of anything that it announces,
 * by an IP address, or by a name of /etc/bat-hosts (batctl's file) or /etc/hosts.
 */
import { AgentError } from '../../core/errors.ts';
import { isMac, type Mac } from '../../core/ids.ts';
import { clip } from '../terminal.ts';

export interface Known {
  readonly self: Mac;
  /** Every address of an originator, a neighbour's interfaces too. */
  readonly originators: readonly Mac[];
  /** Stations with the router that announces each; the best one first. */
  readonly stations: readonly { readonly station: Mac; readonly originator: Mac }[];
  readonly addresses: readonly { readonly address: string; readonly mac: Mac }[];
  /** Names with a MAC or IP address each. */
  readonly names: ReadonlyMap<string, string>;
}

/** Letters too, or any number would be the end of an address. */
const MOST_WORD = 253;

/** The originator to ask. Throws E_NOT_FOUND, or E_USAGE where the word may mean several or none. */
export function resolveNode(word: string, known: Known): Mac {
  if (word === '' || word.length > MOST_WORD || /[^\x21-\x7e]/.test(word))
    throw new AgentError('E_USAGE', `NODE: '${clip(word)}' is no name and no address`);
  const named = known.names.get(word.toLowerCase());
  const text = (named ?? word).toLowerCase().replaceAll('-', ':');
  const found = byAddress(text, known) ?? byEnd(text, known);
  if (found === null)
    throw new AgentError(
      'E_NOT_FOUND',
      `NODE: no router ${clip(word)} is known${named === undefined ? '' : ` (${clip(named)})`}; x0ctl nodes shows them`,
    );
  if (found === known.self) throw new AgentError('E_USAGE', `NODE: ${clip(word)} is this router`);
  return found;
}

function byAddress(text: string, { self, originators, stations, addresses }: Known): Mac | null {
  const mac = isMac(text) ? text : addresses.find(({ address }) => address === text)?.mac;
  if (mac === undefined) return null;
  if (mac === self || originators.includes(mac)) return mac;
  return stations.find(({ station }) => station === mac)?.originator ?? null;
}

/** An end of at least two digits: '9a', '56:9a', '569a'. */
function byEnd(text: string, { self, originators }: Known): Mac | null {
  const digits = text.replaceAll(':', '');
  if (!/^[0-9a-f]{2,12}$/.test(digits)) return null;
  const found = [self, ...originators].filter((mac) => mac.replaceAll(':', '').endsWith(digits));
  if (new Set(found).size > 1)
    throw new AgentError('E_USAGE', `NODE: ${clip(text)} may be ${[...new Set(found)].slice(0, 5).join(' or ')}`);
  return found[0] ?? null;
}

/** bat-hosts: an address and a name a line. hosts(5): an address and names. Later files do not overrule earlier ones. */
export function readNames(batHosts: readonly string[], hosts: string): Map<string, string> {
  const names = new Map<string, string>();
  const enter = (name: string | undefined, address: string) => {
    if (name !== undefined && !names.has(name.toLowerCase())) names.set(name.toLowerCase(), address.toLowerCase());
  };
  for (const text of batHosts)
    for (const [address, name] of rows(text)) if (isMac(address!.toLowerCase())) enter(name, address!);
  for (const [address, ...all] of rows(hosts)) for (const name of all) enter(name, address!);
  return names;
}

/** The name of an address, for people; the address where it has none. */
export function nameOf(mac: Mac, names: ReadonlyMap<string, string>): string {
  for (const [name, address] of names) if (address === mac) return name;
  return mac;
}

function rows(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.split('#')[0]!.trim().split(/\s+/))
    .filter((words) => words.length >= 2);
}
