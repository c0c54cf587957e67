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
import { UciDocument, type UciOption, type UciSection, type UciValue } from './uci.ts';

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
  /** How many further problems there are, of sections of which there may be several. */
  readonly untold: number;
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
    const { changes, isNumberOnly } = migrate(doc);
    result = { ...validate(doc, overrides), migrated: isNumberOnly ? [] : changes };
  } catch (thrown) {
    const problem = asAgentError(thrown);
    return {
      config: lastGood ?? cautious(DEFAULTS),
      problems: [problem],
      untold: 0,
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
/** The same of problems in sections of which there may be several; all others are at most as many as options and rules. */
const MAX_REPEATED_PROBLEMS = 100;

/** Holds a document, and what overrides it, against the schema. Never throws. */
export function validate(doc: UciDocument, overrides: Overrides = NO_OVERRIDES): Validated {
  const problems: AgentError[] = [];
  const warnings: Warning[] = [];
  const found = new Map<string, { line: number; options: Map<string, UciOption> }>();
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
      const options = section.options();
      found.set(key, { line, options });
      for (const [option, { lines }] of options) {
        if (ROWS.some((r) => r.section === key && r.name === option)) continue;
        warn(lines[0]!, key, `unknown option ${key}.${clip(option)}`, option);
      }
    }
  }

  for (const why of overrides.idle) warn(0, '', `the environment variable ${why}`);

  const said = (row: Row): UciOption | undefined => {
    const over = overrides.by.get(row.path);
    return over === undefined ? found.get(row.section)?.options.get(row.name) : { value: over.text, lines: [] };
  };
  const refused = new Set<string>();
  const refuse = ({ path, section, name, option }: Row, expected: string, bad: Refused | undefined) => {
    const { variable, times = 1 } = overrides.by.get(path) ?? {};
    const line = variable === undefined ? (bad?.line ?? found.get(section)?.line ?? 0) : 0;
    const where =
      variable === undefined
        ? `${doc.file}:${line}`
        : `environment variable ${variable}${times === 1 ? '' : `, times ${times}`}`;
    problems.push(
      refusal(`${where}: ${path}`, { file: variable ?? doc.file, line, section, option: name, expected }, option, bad),
    );
    refused.add(path);
  };

  let config = build((row) => {
    const raw = said(row);
    if (raw === undefined) return row.option.default;
    const { value, bad } = readValue(row.option, raw);
    if (bad === undefined) return value;
    refuse(row, expectedOf(row.option, bad), bad);
    return row.option.default;
  });

  for (const rule of RULES) {
    if (rule.holds(config)) continue;
    const rows = rule.paths.map((path) => ROWS.find((r) => r.path === path)!);
    const at = rule.at?.(config);
    const isSaid = (row: Row) => said(row) !== undefined;
    const isChosen = (row: Row) => isSaid(row) && plain(optionValue(config, row)) !== plain(row.option.default);
    const blamed =
      rows.find((row) => row.path === at?.path && isSaid(row)) ?? rows.find(isChosen) ?? rows.find(isSaid) ?? rows[0]!;
    // With a default in the place of what was refused already, nobody knows whether it would hold.
    if (![...rule.paths, ...(rule.also ?? [])].some((path) => refused.has(path)))
      refuse(blamed, rule.expected, partOf(said(blamed), blamed.path === at?.path ? at.item : undefined));
    const without = (bad: Row, from: Config) =>
      build((row) => (row === bad ? row.option.default : optionValue(from, row)));
    const alone = rows.find((row) => rule.holds(without(row, config)));
    for (const bad of alone === undefined ? rows : [alone]) {
      config = without(bad, config);
      if (rule.holds(config)) break;
    }
  }
  if (config.file.format > FORMAT)
    warn(
      found.get('file')?.options.get('format')?.lines[0] ?? 0,
      'file',
      `form ${config.file.format} is newer than this agent, which knows ${FORMAT}`,
      'format',
    );
  const tunnel: Config['tunnel'][number][] = [];
  const program: Config['program'][number][] = [];
  const further: AgentError[] = [];
  for (const section of repeated) {
    const read = readRepeated(section, doc.file, further, (line, message, option) =>
      warn(line, `${section.type} ${section.name ?? ''}`, message, option),
    );
    if (read === null) continue;
    if ('selector' in read) {
      const broken = PROGRAM_RULES.find((rule) => !rule.holds(read));
      if (broken === undefined) program.push(read);
      else further.push(repeatedProblem(section, doc.file, broken.option, broken.expected));
    } else {
      const broken = TUNNEL_RULES.find((rule) => !rule.holds(read, tunnel));
      if (broken === undefined) tunnel.push(read);
      else further.push(repeatedProblem(section, doc.file, broken.option, broken.expected, broken.item?.(read)));
    }
  }
  problems.push(...further.slice(0, MAX_REPEATED_PROBLEMS));
  const untold = Math.max(0, further.length - MAX_REPEATED_PROBLEMS);
  return { config: { ...config, tunnel, program }, problems, untold, warnings };
}

/** A rule that a section of a type breaks, by this option, or by one item of it. */
function repeatedProblem(
  section: UciSection,
  file: string,
  option: string,
  expected: string,
  item?: number,
): AgentError {
  return refusalIn(section, file, option, expected, partOf(section.options().get(option), item));
}

function refusalIn(
  section: UciSection,
  file: string,
  name: string,
  expected: string,
  bad: Refused | undefined,
): AgentError {
  const { type, line: first } = section;
  const line = bad?.line ?? first;
  const path = [type, ...(section.name === undefined ? [] : [clip(section.name)]), name].join('.');
  const option = (REPEATED[type as RepeatedName].options as Readonly<Record<string, Option>>)[name];
  return refusal(`${file}:${line}: ${path}`, { file, line, section: type, option: name, expected }, option, bad);
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
  const { name = '', line } = section;
  if (!test(name))
    problems.push(refusalIn(section, file, 'name', form, name === '' ? undefined : { value: name, line }));
  const said = section.options();
  for (const [option, { lines }] of said)
    if (!Object.hasOwn(options, option)) warn(lines[0]!, `unknown option ${section.type}.${clip(option)}`, option);
  const read = Object.entries<Option>(options).map(([key, option]) => {
    const raw = said.get(key);
    if (raw === undefined) return [key, option.default] as const;
    const { value, bad } = readValue(option, raw);
    if (bad !== undefined) problems.push(refusalIn(section, file, key, expectedOf(option, bad), bad));
    return [key, value] as const;
  });
  if (problems.length > before) return null;
  return { name, ...Object.fromEntries(read) } as unknown as Config[RepeatedName][number];
}

/** What is not taken, a whole value or one item of a list, and its line, where it stands in the file. */
interface Refused {
  readonly value: UciValue;
  readonly line: number | undefined;
}

/** What it is that does not hold of an option: one item, where it is known which, else all that was said. */
function partOf(said: UciOption | undefined, item = -1): Refused | undefined {
  if (said === undefined) return undefined;
  return itemsOf(said)[item] ?? { value: said.value, line: said.lines[0] };
}

/** A list may also stand in one option, its items parted by blanks, as OpenWrt's own scripts take it. */
function itemsOf({ value, lines }: UciOption): (Refused & { readonly value: string })[] {
  if (typeof value !== 'string') return value.map((item, i) => ({ value: item, line: lines[i] }));
  const items = value.split(/\s+/).filter(Boolean);
  return items.map((item) => ({ value: item, line: lines[0] }));
}

function readValue(option: Option, said: UciOption): { readonly value?: unknown; readonly bad?: Refused } {
  if (option.kind !== 'list') {
    const value = typeof said.value === 'string' ? option.read(said.value) : undefined;
    return value === undefined ? { bad: { value: said.value, line: said.lines.at(-1) } } : { value };
  }
  const values: unknown[] = [];
  for (const item of itemsOf(said)) {
    const value = option.read(item.value);
    if (!Array.isArray(value)) return { bad: item };
    values.push(...value);
  }
  return { value: values };
}

/** Of a list it is one item that is refused; all of it only where there should be none. */
function expectedOf({ expected }: Option, { value }: Refused): string {
  return typeof value === 'string' ? expected : `one option and no list, ${expected}`;
}

/** E_CONFIG_VALUE that says what is refused, unless that is a secret. */
function refusal(
  where: string,
  detail: Readonly<Record<string, unknown>> & { readonly expected: string },
  option: Option | undefined,
  bad: Refused | undefined,
): AgentError {
  const message = `${where}: expected ${detail.expected}`;
  if (bad === undefined || option?.kind === 'secret') return new AgentError('E_CONFIG_VALUE', message, detail);
  const value = printable(bad.value);
  return new AgentError('E_CONFIG_VALUE', `${message}, not ${value}`, { ...detail, value });
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
