/**
 * Holds the direction of imports, and what a machine may not do:
 *
 *     node tools/structure.ts [root]     names every breach as file:line: what; exit code 1 if there is one
 *
 *     core  ◄  machine rooms  ◄  host | twin  ◄  daemon, ctl
 *
 * A machine room may use another's types, tables and pure functions, its machines only through events: a file that
 * names core/machine.ts, or reaches one that does, gives other machine rooms nothing but types.
 *
 * A room that has rooms within (WITHIN) keeps one direction among them too, for types as well.
 *
 * Every room of agent/ that is not named here is a machine room. It reads the sources line by line, which suffices for
 * code that biome has formatted; what it cannot read (an import of a computed name) it refuses.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

type Layer = 'core' | 'machine' | 'world' | 'entry';

const LAYERS: Readonly<Record<string, Layer>> = {
  core: 'core',
  host: 'world',
  twin: 'world',
  daemon: 'entry',
  ctl: 'entry',
};

/** Rooms within a room: each knows those before it and no others. Files at the room's door may know all, and none of them it. */
const WITHIN: Readonly<Record<string, readonly string[]>> = {
  trust: ['keys', 'certificate', 'ledger', 'join', 'air', 'membership'],
};

/** What core and machines may have of Node: nothing that does I/O, knows the time or starts anything. */
const PURE_BUILTINS = new Set(['node:buffer', 'node:crypto', 'node:util']);

/** The packages that a machine room may have, by file: they compute, and do nothing else. */
const PURE_PACKAGES: Readonly<Record<string, RegExp>> = {
  'agent/peer/cbor.ts': /^cborg$/,
  'agent/trust/keys/noble.ts': /^@noble\//,
};

/** The only files that load native code, and what each may load. */
const ADDONS: Readonly<Record<string, RegExp>> = {
  'agent/host/native.ts': /./,
  'agent/host/state/sqlite.ts': /^(better-sqlite3|node:module)$/,
  'agent/host/probe.ts': /^(raw-socket|node:module)$/,
};

/** A machine is told the time and is given its randomness. */
const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/(?<!\bnew )\bDate\b(?!\.(UTC|parse)\b|\w)|\bnew Date\(\)|\bperformance\b[.[]|\bhrtime\b/, 'reads a clock'],
  [/\bMath\.random\b|\brandom(Bytes|UUID|Int|FillSync)\b|\bgetRandomValues\b/, 'draws a random number'],
  [/\bset(Timeout|Interval|Immediate)\(/, 'starts a timer'],
  [/\bprocess(\.|\[|\?\.)/, 'touches the process'],
  [/\bfetch\(|\bconsole\./, 'does I/O'],
];

/**
 * What the twin runs comes out the same on every engine. Square roots are rounded alike everywhere (IEEE 754), and powers of
 * two are exact.
 */
const ROUNDED =
  /\bMath\.(a?(cos|sin|tan)h?|atan2|cbrt|exp|expm1|hypot|log(10|1p|2)?|pow)\b|(?<!(^|[^\w.])2) \*\* |\*\*=|\bMath\b(?!\.\w)/m;
const REPEATABLE = new Set(['core', 'heal', 'mesh', 'record', 'twin']);

interface Import {
  readonly line: number;
  readonly typeOnly: boolean;
  /** import() or require(), of a literal name; null for a computed one. */
  readonly name: string | null;
}

interface Source {
  readonly text: string;
  readonly imports: readonly Import[];
  /** Files of ours that it imports, as paths from the root: all of them, and those whose values it uses. */
  readonly all: readonly string[];
  readonly valued: readonly string[];
}

/** The breaches of all files under root/agent, in the order of the files. */
export function checkStructure(root: string): string[] {
  const files = new Map<string, Source>();
  for (const path of sources(root)) {
    const text = withoutComments(readFileSync(join(root, path), 'utf8'));
    const imports = [...importsOf(text)];
    const ours = imports.filter((one) => one.name?.startsWith('.'));
    const target = (one: Import): string => join(dirname(path), one.name!);
    files.set(path, { text, imports, all: ours.map(target), valued: ours.filter((one) => !one.typeOnly).map(target) });
  }

  const breaches: string[] = [];
  for (const [path, { text, imports }] of files) {
    const layer = layerOf(path);
    const inner = innerOf(path);
    const say = (line: number, what: string): number => breaches.push(`${path}:${line}: ${what}`);
    if (inner !== '' && WITHIN[roomOf(path)]?.includes(inner) === false)
      say(1, `is in a room within that WITHIN does not name (${inner})`);
    for (const { line, name, typeOnly } of imports) {
      const why = name?.startsWith('.')
        ? refusal(path, join(dirname(path), name), typeOnly, files)
        : foreign(path, layer, name);
      if (why !== null) say(line, `${why} (${name ?? 'a computed name'})`);
    }
    const addon = text.search(/\bcreateRequire\b|\bdlopen\b/);
    if (addon >= 0 && !(path in ADDONS)) say(lineOf(text, addon), 'loads native code, which only host/native.ts does');
    const rounded = REPEATABLE.has(roomOf(path)) ? text.search(ROUNDED) : -1;
    if (rounded >= 0) say(lineOf(text, rounded), 'an engine may round that as it likes: core/math.ts does not');
    if (layer !== 'core' && layer !== 'machine') continue;
    for (const [pattern, what] of IMPURE) {
      const at = text.search(pattern);
      if (at >= 0) say(lineOf(text, at), `${what}: only a world may`);
    }
  }
  return [...breaches, ...cycles(files)];
}

function refusal(from: string, to: string, typeOnly: boolean, files: ReadonlyMap<string, Source>): string | null {
  if (!to.startsWith('agent/')) return to === 'package.json' ? null : 'agent imports from outside agent';
  const [a, b] = [layerOf(from), layerOf(to)];
  if (roomOf(from) === roomOf(to)) return refusalWithin(from, to);
  if (b === 'core') return null;
  if (a === 'core') return 'core imports nothing of ours';
  if (b === 'entry') return 'nobody imports an entry point';
  if (a === 'entry') return null;
  if (b === 'world') return a === 'world' ? 'one world imports the other' : 'a machine imports a world';
  if (a === 'world' || typeOnly || !reachesMachine(to, files)) return null;
  return "a machine room imports another's machine: types only, the rest goes through events";
}

function refusalWithin(from: string, to: string): string | null {
  const order = WITHIN[roomOf(from)];
  const [a, b] = [innerOf(from), innerOf(to)];
  if (order === undefined || a === '' || a === b) return null;
  if (b === '') return 'a room within imports from the door of its room';
  return order.indexOf(b) < order.indexOf(a) ? null : `it comes the other way round: ${order.join(' ◄ ')}`;
}

function reachesMachine(path: string, files: ReadonlyMap<string, Source>, seen = new Set<string>()): boolean {
  if (seen.has(path)) return false;
  seen.add(path);
  const source = files.get(path);
  if (source === undefined) return false;
  if (source.all.includes('agent/core/machine.ts') || source.all.includes('agent/core/runtime.ts')) return true;
  return source.valued.some((next) => layerOf(next) === 'machine' && reachesMachine(next, files, seen));
}

function foreign(path: string, layer: Layer, name: string | null): string | null {
  if (name === null) return path === 'agent/host/native.ts' ? null : 'imports what cannot be read off';
  if (layer === 'core' || layer === 'machine') {
    return PURE_BUILTINS.has(name) || PURE_PACKAGES[path]?.test(name)
      ? null
      : 'core and machines do no I/O and need no package';
  }
  const addon = name === 'node:module' || name === 'better-sqlite3' || name.endsWith('.node');
  return addon && !ADDONS[path]?.test(name) ? 'loads native code, which only host/native.ts does' : null;
}

function layerOf(path: string): Layer {
  return LAYERS[roomOf(path)] ?? 'machine';
}

/** 'heal' of agent/heal/plan.ts, 'daemon' of agent/daemon.ts. */
function roomOf(path: string): string {
  return path.split('/')[1]!.replace(/\.ts$/, '');
}

/** 'faults' of agent/heal/faults/link.ts, '' of agent/heal/plan.ts. */
function innerOf(path: string): string {
  const [, , inner, ...rest] = path.split('/');
  return rest.length > 0 ? inner! : '';
}

function* importsOf(text: string): Generator<Import> {
  const statement =
    /^[ \t]*(import|export)\b([^'"`;=()]*?)\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]/gm;
  for (const match of text.matchAll(statement)) {
    const [, , clause = '', from, bare] = match;
    const inBraces = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1] ?? '';
    const names = inBraces.split(',').filter((name) => name.trim() !== '');
    const typeOnly = /^\s*type\b/.test(clause) || (names.length > 0 && names.every((name) => /^\s*type\s/.test(name)));
    yield { line: lineOf(text, match.index), typeOnly, name: from ?? bare ?? null };
  }
  for (const match of text.matchAll(/(?<![.\w])(?:import|require)\s*\(\s*(?:['"]([^'"]*)['"]\s*[,)])?/g)) {
    yield { line: lineOf(text, match.index), typeOnly: false, name: match[1] ?? null };
  }
}

/** Comments become blanks of the same lines, so that a line number stays true. */
function withoutComments(text: string): string {
  return text
    .replace(/^([ \t]*)\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function lineOf(text: string, at: number): number {
  let line = 1;
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) line++;
  return line;
}

/** Circles among imports of values: whichever is loaded first sees the other half made. Each is named once. */
function cycles(files: ReadonlyMap<string, Source>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const at = trail.indexOf(file);
    if (at >= 0) found.push(`${file}:1: imports itself by way of ${[...trail.slice(at + 1), file].join(' → ')}`);
    if (at >= 0 || done.has(file)) return;
    trail.push(file);
    for (const next of files.get(file)?.valued ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of files.keys()) visit(file);
  return found;
}

function sources(root: string): string[] {
  return readdirSync(join(root, 'agent'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join('agent', name))
    .sort();
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const breaches = checkStructure(resolve(process.argv[2] ?? join(import.meta.dirname, '..')));
  for (const breach of breaches) console.error(breach);
  process.exitCode = breaches.length > 0 ? 1 : 0;
}
