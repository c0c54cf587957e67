/** From a parsed file to a configuration, and from two configurations to what changed. No I/O here. */
import { AgentError, asAgentError } from '../core/errors.ts';
import { NO_OVERRIDES, type Overrides } from './environment.ts';
import { FORMAT, migrate } from './migrate.ts';
import {
  type Apply,
  build,
  type Config,
  DEFAULTS,
  type Option,
  optionValue,
  PROGRAM_RULES,
  REPEATED,
  type RepeatedName,
  ROWS,
  type Row,
  RULES,
  SECTIONS,
  Secret,
  TUNNEL_RULES,
} from './schema.ts';
import { UciDocument, type UciSection, type UciValue } from './uci.ts';

/** Something that is odd but harms nothing: the agent goes on as if it were not there, and an edit keeps it. */
export interface Warning {
  readonly file: string;
  readonly line: number;
  readonly section: string;
  readonly option?: string;
  readonly message: string;
}

export interface Validated {
  /** Complete in any case: where an option has a problem, its default stands in. */
  readonly config: Config;
  /** E_CONFIG_VALUE (or one E_CONFIG_SYNTAX), each with {file, line, section, option, expected, value}; no value of a secret. */
  readonly problems: readonly AgentError[];
  readonly warnings: readonly Warning[];
}

export interface Settled extends Validated {
  /** What of the file was brought into today's form, in memory, a line each. */
  readonly migrated: readonly string[];
  /** Where `config` comes from. */
  readonly source: 'file' | 'last-good' | 'defaults';
}

/**
 * The configuration that counts after a file was read. A file with problems never stops a running mesh: with a last
 * good configuration that one stays, whole; at the first start each bad option falls back to its default, and a file
 * that is no UCI to all defaults. Then what was asked for is not known, and healing only observes until the file is right.
 */
export function settle(
  source: Uint8Array | string,
  file: string,
  lastGood?: Config,
  overrides: Overrides = NO_OVERRIDES,
): Settled {
  let result: Omit<Settled, 'source'>;
  try {
    const doc = UciDocument.parse(source, file);
    const { changes } = migrate(doc);
    result = { ...validate(doc, overrides), migrated: changes };
  } catch (thrown) {
    const problem = asAgentError(thrown);
    return {
      config: lastGood ?? cautious(DEFAULTS),
      problems: [problem],
      warnings: [],
      migrated: [],
      source: lastGood ? 'last-good' : 'defaults',
    };
  }
  if (result.problems.length > 0 && lastGood) return { ...result, config: lastGood, source: 'last-good' };
  const isUnsure = result.problems.some(({ detail }) => detail.section === 'heal' || detail.section === 'mesh');
  return { ...result, config: isUnsure ? cautious(result.config) : result.config, source: 'file' };
}

/** Whoever meant to turn healing off must not find it on because of a slip of the pen. */
export function cautious(config: Config): Config {
  return { ...config, heal: { ...config.heal, mode: config.heal.mode === 'off' ? 'off' : 'observe' } };
}

/** Warnings kept of one file; a hostile one could cause a hundred thousand. */
const MAX_WARNINGS = 100;

/** Holds a document, and what overrides it, against the schema. Never throws. */
export function validate(doc: UciDocument, overrides: Overrides = NO_OVERRIDES): Validated {
  const problems: AgentError[] = [];
  const warnings: Warning[] = [];
  const found = new Map<string, { line: number; lines: Map<string, number>; values: Map<string, UciValue> }>();
  const warn = (line: number, section: string, message: string, option?: string) => {
    if (warnings.length >= MAX_WARNINGS) return;
    warnings.push({ file: doc.file, line, section: clip(section), ...(option && { option: clip(option) }), message });
  };

  const repeated: UciSection[] = [];

  for (const section of doc.sections()) {
    if (Object.hasOwn(REPEATED, section.type)) {
      repeated.push(section);
      continue;
    }
    // The name decides, as in `uci get x0tta6bl4.heal.mode`; a section without a name goes by its type.
    const key = section.name ?? section.type;
    const { line } = section;
    const first = found.get(key);
    if (!Object.hasOwn(SECTIONS, key)) warn(line, key, `unknown section ${clip(key)}`);
    else if (first) warn(line, key, `section ${key} stands on line ${first.line} already; this one does not count`);
    else {
      if (section.type !== key) warn(line, key, `section ${key} should have the type ${key}`);
      const lines = section.lines();
      const values = section.values();
      found.set(key, { line, lines, values });
      for (const option of values.keys()) {
        if (ROWS.some((r) => r.section === key && r.name === option)) continue;
        warn(lines.get(option) ?? line, key, `unknown option ${key}.${clip(option)}`, option);
      }
    }
  }

  for (const why of overrides.idle) warn(0, '', `the environment variable ${why}`);

  const problem = (row: Row, expected: string) => {
    const over = overrides.by.get(row.path);
    if (over !== undefined) {
      const detail = { file: over.variable, line: 0, section: row.section, option: row.name, expected };
      const value = row.option.kind === 'secret' ? undefined : printable(over.text);
      const message = `environment variable ${over.variable}: ${row.path}: expected ${expected}`;
      problems.push(
        value === undefined
          ? new AgentError('E_CONFIG_VALUE', message, detail)
          : new AgentError('E_CONFIG_VALUE', `${message}, not ${value}`, { ...detail, value }),
      );
      return;
    }
    const section = found.get(row.section);
    const line = section?.lines.get(row.name) ?? section?.line ?? 0;
    const raw = section?.values.get(row.name);
    const value = row.option.kind === 'secret' || raw === undefined ? undefined : printable(raw);
    const detail = { file: doc.file, line, section: row.section, option: row.name, expected };
    const message = `${doc.file}:${line}: ${row.path}: expected ${expected}`;
    problems.push(
      value === undefined
        ? new AgentError('E_CONFIG_VALUE', message, detail)
        : new AgentError('E_CONFIG_VALUE', `${message}, not ${value}`, { ...detail, value }),
    );
  };

  let config = build((row) => {
    const raw = overrides.by.get(row.path)?.text ?? found.get(row.section)?.values.get(row.name);
    if (raw === undefined) return row.option.default;
    const value = readValue(row.option, raw);
    if (value !== undefined) return value;
    const several = row.option.kind !== 'list' && typeof raw !== 'string';
    problem(row, several ? `one option and no list, ${row.option.expected}` : row.option.expected);
    return row.option.default;
  });

  for (const rule of RULES) {
    if (rule.holds(config)) continue;
    const rows = rule.paths.map((path) => ROWS.find((r) => r.path === path)!);
    const isSaid = (r: Row) => overrides.by.has(r.path) || found.get(r.section)?.values.has(r.name);
    problem(rows.find(isSaid) ?? rows[0]!, rule.expected);
    for (const bad of rows) {
      const before = config;
      config = build((row) => (row === bad ? row.option.default : optionValue(before, row)));
      if (rule.holds(config)) break;
    }
  }
  if (config.file.format > FORMAT)
    warn(0, 'file', `form ${config.file.format} is newer than this agent, which knows ${FORMAT}`, 'format');
  const tunnel: Config['tunnel'][number][] = [];
  const program: Config['program'][number][] = [];
  for (const section of repeated) {
    const read = readRepeated(section, doc.file, problems, (line, message, option) =>
      warn(line, `${section.type} ${section.name ?? ''}`, message, option),
    );
    if (read === null) continue;
    const broken =
      'selector' in read
        ? PROGRAM_RULES.find((rule) => !rule.holds(read))
        : TUNNEL_RULES.find((rule) => !rule.holds(read, tunnel));
    if (broken === undefined) 'selector' in read ? program.push(read) : tunnel.push(read);
    else problems.push(repeatedProblem(section, doc.file, broken.option, broken.expected));
  }
  return { config: { ...config, tunnel, program }, problems, warnings };
}

function repeatedProblem(section: UciSection, file: string, option: string, expected: string): AgentError {
  const line = section.lines().get(option) ?? section.line;
  const path = `${section.type}.${clip(section.name ?? '')}.${option}`;
  return new AgentError('E_CONFIG_VALUE', `${file}:${line}: ${path}: expected ${expected}`, {
    file,
    line,
    section: section.type,
    option,
    expected,
  });
}

/** One of several sections of a type. A bad option takes the whole section with it: half a tunnel is none. */
function readRepeated(
  section: UciSection,
  file: string,
  problems: AgentError[],
  warn: (line: number, message: string, option?: string) => void,
): Config[RepeatedName][number] | null {
  const { options, name: form, test } = REPEATED[section.type as RepeatedName];
  const before = problems.length;
  const refuse = (option: string, expected: string): number =>
    problems.push(repeatedProblem(section, file, option, expected));
  const name = section.name ?? '';
  if (!test(name)) refuse('name', form);
  const values = section.values();
  for (const option of values.keys())
    if (!Object.hasOwn(options, option))
      warn(section.lines().get(option) ?? section.line, `unknown option ${section.type}.${clip(option)}`, option);
  const read = Object.entries<Option>(options).map(([key, option]) => {
    const raw = values.get(key);
    const value = raw === undefined ? option.default : readValue(option, raw);
    if (value === undefined) refuse(key, option.expected);
    return [key, value] as const;
  });
  if (problems.length > before) return null;
  return { name, ...Object.fromEntries(read) } as unknown as Config[RepeatedName][number];
}

/** A list may also stand in one option, its items parted by blanks, as OpenWrt's own scripts take it. */
function readValue(option: Option, raw: UciValue): unknown {
  if (option.kind !== 'list') return typeof raw === 'string' ? option.read(raw) : undefined;
  const items = typeof raw === 'string' ? raw.split(/\s+/).filter(Boolean) : raw;
  const values: unknown[] = [];
  for (const item of items) {
    const value = option.read(item);
    if (!Array.isArray(value)) return undefined;
    values.push(...value);
  }
  return values;
}

function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

/** A value for people: in quotes, short, and with nothing in it that a terminal would obey. */
function printable(raw: UciValue): string {
  const text = clip(typeof raw === 'string' ? raw : raw.join(' '));
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export interface Change {
  readonly section: string;
  readonly option: string;
  /** section.option */
  readonly path: string;
  readonly apply: Apply;
}

/** The options in which two configurations differ, in the schema's order. */
export function diff(from: Config, to: Config): Change[] {
  const changes: Change[] = ROWS.filter((row) => plain(optionValue(from, row)) !== plain(optionValue(to, row))).map(
    ({ section, name, path, option }) => ({ section, option: name, path, apply: option.apply }),
  );
  for (const [section, apply] of [
    ['tunnel', 'restart'],
    ['program', 'live'],
  ] as const) {
    const named = (config: Config) => new Map(config[section].map((one) => [one.name, plain(one)]));
    const [before, after] = [named(from), named(to)];
    for (const name of new Set([...before.keys(), ...after.keys()]))
      if (before.get(name) !== after.get(name))
        changes.push({ section, option: name, path: `${section}.${name}`, apply });
  }
  return changes;
}

/** A value for comparison only: it may be a secret. */
function plain(value: unknown): string {
  return value instanceof Secret ? `secret ${value.reveal()}` : (JSON.stringify(value) ?? '');
}
