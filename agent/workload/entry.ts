/**
 * Which program is which: entries of the configuration (config program 'NAME') with selectors, held against what the
 * kernel says of a peer. All selectors of an entry have to hold; who matches no entry gets nothing.
 */

/** What is known of a peer. null: it could not be found out, and no selector of that kind holds. */
export interface Facts {
  readonly uid: number;
  readonly gid: number;
  /** Of its executable; null as well for one that was deleted. */
  readonly path: string | null;
  /** Of the executable's bytes, 64 hexadecimal digits; null also while nobody has asked for it. */
  readonly sha256: string | null;
  /** Its cgroups, absolute paths. */
  readonly cgroups: readonly string[];
}

export interface Entry {
  readonly name: string;
  /** Behind spiffe://TRUSTDOMAIN/workload/NODE/. */
  readonly path: string;
  readonly selectors: readonly string[];
  readonly hint: string;
}

interface Selector {
  readonly needsHash: boolean;
  holds(facts: Facts): boolean;
}

/** A container's ID may be shortened to so many digits. */
const LEAST_CONTAINER = 12;
const CONTAINER = /(?:^|[^0-9a-f])([0-9a-f]{64})(?:[^0-9a-f]|$)/;

export const SELECTOR = 'unix:uid:N, unix:gid:N, unix:path:/FILE, unix:sha256:HEX, cgroup:/PATH or container:HEX';

/** null for what is none. */
export function readSelector(text: string): Selector | null {
  const [, kind, value] = /^(unix:uid|unix:gid|unix:path|unix:sha256|cgroup|container):(.+)$/.exec(text) ?? [];
  if (kind === undefined || value === undefined || text.length > 1024) return null;
  const of = (isGood: boolean, holds: (facts: Facts) => boolean, needsHash = false): Selector | null =>
    isGood ? { needsHash, holds } : null;
  const isNumber = /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) < 2 ** 32 - 1;
  const isPath = /^(\/[^/]+)+$/.test(value) && !/\/\.\.?(\/|$)/.test(value);
  switch (kind) {
    case 'unix:uid':
      return of(isNumber, ({ uid }) => uid === Number(value));
    case 'unix:gid':
      return of(isNumber, ({ gid }) => gid === Number(value));
    case 'unix:path':
      return of(isPath, ({ path }) => path === value);
    case 'unix:sha256':
      return of(/^[0-9a-f]{64}$/.test(value), ({ sha256 }) => sha256 === value, true);
    case 'cgroup':
      return of(isPath, ({ cgroups }) => cgroups.some((one) => one === value || one.startsWith(`${value}/`)));
    default:
      return of(new RegExp(`^[0-9a-f]{${LEAST_CONTAINER},64}$`).test(value), ({ cgroups }) =>
        cgroups.some((one) => containerIn(one)?.startsWith(value) === true),
      );
  }
}

/** The ID that a container engine has put into a cgroup's path, the innermost one; null where there is none. */
function containerIn(cgroup: string): string | null {
  for (const part of cgroup.split('/').reverse()) {
    const id = CONTAINER.exec(part)?.[1];
    if (id !== undefined) return id;
  }
  return null;
}

/** The last part of a program's ID. */
export function isEntryPath(text: string): boolean {
  return (
    /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(text) &&
    text.length <= 200 &&
    text.split('/').every((one) => one !== '.' && one !== '..')
  );
}

export function workloadId(trustDomain: string, node: string, path: string): string {
  return `spiffe://${trustDomain}/workload/${node}/${path}`;
}

/** The paths of /proc/PID/cgroup, of either version; lines that are none are passed over. */
export function readCgroups(text: string): string[] {
  const paths = text.split('\n').flatMap((line) => /^\d+:[^:]*:(\/.*)$/.exec(line)?.[1] ?? []);
  return [...new Set(paths)].slice(0, 32);
}

export class Registry {
  readonly #entries: readonly { readonly entry: Entry; readonly selectors: readonly (Selector | null)[] }[];

  constructor(entries: readonly Entry[]) {
    this.#entries = entries.map((entry) => ({ entry, selectors: entry.selectors.map(readSelector) }));
  }

  get size(): number {
    return this.#entries.length;
  }

  /** The entries that all of this fits. */
  match(facts: Facts): Entry[] {
    return this.#fitting(facts, () => false);
  }

  /** Whether the executable's hash decides about one: a hash costs reading the whole file. */
  wantsHash(facts: Facts): boolean {
    return this.#fitting(facts, ({ needsHash }) => needsHash).length > this.match({ ...facts, sha256: null }).length;
  }

  #fitting(facts: Facts, unless: (selector: Selector) => boolean): Entry[] {
    return this.#entries
      .filter(
        ({ selectors }) =>
          selectors.length > 0 && selectors.every((one) => one !== null && (unless(one) || one.holds(facts))),
      )
      .map(({ entry }) => entry);
  }
}
