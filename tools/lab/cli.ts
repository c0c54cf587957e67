/**
 * x0lab: plays a scenario on real kernels and reports what came of it.
 *
 *     x0lab run SCENARIO [--kernel uml|netns|qemu] [--agent on|off|both] [--seed N] [--json] [--html FILE] [--logs DIR]
 *     x0lab check SCENARIO [--json]      only reads it
 *     x0lab new [FILE]                   writes a scenario to begin with
 *     x0lab list [--json]                the scenarios that come with it
 *     x0lab schema                       the JSON Schema
 *
 * SCENARIO is a file, or the name of one that comes with it. Exit code: 0 when all that was expected holds, 1 when not or
 * when it could not be played, 2 for bad input, 128 and the signal's number when it was interrupted.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readBeside, readNamed, textOf } from '../../agent/ctl/file.ts';
import { counted, type Problem } from '../../agent/twin/fields.ts';
import { type Parsed, parseScenario, type Scenario, scenarioSchema } from '../../agent/twin/scenario.ts';
import { MOST_FILE_BYTES } from '../../agent/twin/topologies.ts';
import type { Played } from './played.ts';
import type { Report } from './report.ts';
import { asText, clean } from './words.ts';

const OWN = join(import.meta.dirname, 'scenarios');
const USAGE = `usage: x0lab run SCENARIO [--kernel uml|netns|qemu] [--agent on|off|both] [--seed N] [--json] [--html FILE] [--logs DIR]
       x0lab check SCENARIO [--seed N] [--json]
       x0lab new [FILE]
       x0lab list [--json]
       x0lab schema
tools/lab/README.md says what a scenario may hold and what a report says.`;

/** What makes an exit code of 2. */
class BadInput extends Error {
  readonly problems: readonly Problem[];

  constructor(message: string, problems: readonly Problem[] = []) {
    super(message);
    this.problems = problems;
  }
}

/** Where a command says what, and what ends it before its time. */
export interface Terminal {
  readonly out: (text: string) => unknown;
  readonly err: (text: string) => unknown;
  readonly signal: AbortSignal;
}

function fileOf(name: string): string {
  if (existsSync(name)) return name;
  const own = join(OWN, `${name}.json`);
  if (/^[\w-]+$/.test(name) && existsSync(own)) return own;
  throw new BadInput(`there is no scenario ${name}; x0lab list names those that come with it`);
}

function read(name: string, seed: number | undefined): Scenario {
  const file = fileOf(name);
  let source: string;
  try {
    source = textOf(file, readNamed(file, MOST_FILE_BYTES));
  } catch (thrown) {
    throw new BadInput((thrown as Error).message);
  }
  const parsed: Parsed = parseScenario(source, {
    readFile: (named) => readBeside(file, named, MOST_FILE_BYTES),
    ...(seed !== undefined && { seed }),
  });
  if (!parsed.ok) throw new BadInput(`${file} is no scenario`, parsed.problems);
  return parsed.scenario;
}

interface Values {
  readonly kernel?: string;
  readonly agent?: string;
  readonly seed?: string;
  readonly json?: boolean;
  readonly html?: string;
  readonly logs?: string;
}

function oneOf<const C extends readonly string[]>(value: string, choices: C, option: string): C[number] {
  if (choices.includes(value)) return value;
  throw new BadInput(`--${option} is one of ${choices.join(', ')}, not ${value}`);
}

function seedOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seed = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(seed)) return seed;
  throw new BadInput(`--seed is a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, not ${text}`);
}

async function run(name: string, values: Values, { out, err, signal }: Terminal): Promise<number> {
  const kernel = oneOf(values.kernel ?? 'uml', ['uml', 'netns', 'qemu'], 'kernel');
  const agent = oneOf(values.agent ?? 'both', ['on', 'off', 'both'], 'agent');
  const scenario = read(name, seedOf(values.seed));
  if (values.html !== undefined && !existsSync(dirname(resolve(values.html))))
    throw new BadInput(`--html: there is no directory ${dirname(resolve(values.html))}`);
  if (values.html !== undefined && statSync(values.html, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new BadInput(`--html: ${values.html} is a directory`);
  // After minutes of playing it would take the report along with it.
  if (values.logs !== undefined) makeDirectory(values.logs);
  const modes = agent === 'both' ? (['off', 'on'] as const) : ([agent] as const);
  const began = performance.now();
  const onSay = (mode: string) => (text: string) => {
    const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(6);
    err(`${seconds} s  agents ${mode}: ${text}\n`);
  };
  const played: Played[] = [];
  if (kernel === 'netns') {
    const { playStandin, unplayableStandin } = await import('./netns.ts');
    refuse(unplayableStandin(scenario, agent));
    played.push(await playStandin(scenario, onSay('on'), signal));
  } else {
    const { hopeless, play, unplayable } = await import('./play.ts');
    const { KERNELS } = await import('./kernels.ts');
    refuse(unplayable(scenario, kernel));
    const missing = KERNELS[kernel].missing();
    if (missing) throw new Error(missing);
    KERNELS[kernel].prepare();
    for (const one of hopeless(scenario)) err(`BEWARE: nothing can meet ${one}\n`);
    for (const mode of modes) {
      const logs = values.logs === undefined ? {} : { logs: join(values.logs, `agents-${mode}`) };
      played.push(await play(scenario, { kernel, agent: mode, onSay: onSay(mode), signal, ...logs }));
    }
  }
  const { buildReport } = await import('./report.ts');
  return deliver(scenario, played, buildReport(scenario, kernel, played), values, { out, err });
}

/** The report first: a page that cannot be written must not take minutes of playing along with it. Answers the exit code. */
export async function deliver(
  scenario: Scenario,
  played: readonly Played[],
  report: Report,
  { html, json }: Pick<Values, 'html' | 'json'>,
  { out, err }: Pick<Terminal, 'out' | 'err'>,
): Promise<number> {
  out(json ? `${JSON.stringify(report)}\n` : `${asText(report).join('\n')}\n`);
  if (html === undefined) return report.ok ? 0 : 1;
  try {
    const { asHtml } = await import('./html.ts');
    writeFileSync(html, asHtml(scenario, played, report));
  } catch (thrown) {
    err(`x0lab: there is no page: ${(thrown as Error).message}\n`);
    return 1;
  }
  err(`the page is in ${html}\n`);
  return report.ok ? 0 : 1;
}

function makeDirectory(logs: string): void {
  try {
    mkdirSync(logs, { recursive: true });
    accessSync(logs, constants.W_OK);
  } catch (thrown) {
    throw new BadInput(`--logs: ${(thrown as Error).message}`);
  }
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new BadInput('this kernel cannot play the scenario', problems);
}

function check(name: string, { seed, json }: Values, { out }: Terminal): number {
  const { name: title, graph, timeline, duration_s: s } = read(name, seedOf(seed));
  if (json) out(`${JSON.stringify({ ok: true, name: title, nodes: graph.nodes.length, links: graph.links.length })}\n`);
  else
    out(
      `${title}: ${counted(graph.nodes.length, 'node')}, ${counted(graph.links.length, 'link')}, ${counted(timeline.length, 'fault')} in ${s} s: it is well made.\n`,
    );
  return 0;
}

function begin({ out }: Terminal, file = 'scenario.json'): number {
  try {
    writeFileSync(file, readFileSync(join(import.meta.dirname, 'start.json'), 'utf8'), { flag: 'wx' });
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new BadInput(code === 'EEXIST' ? `${file} is there already, and stays as it is` : message);
  }
  out(`wrote ${file}. Play it: tools/x0lab run ${file} --html report.html\n`);
  return 0;
}

function list({ json }: Values, { out }: Terminal): number {
  const rows = readdirSync(OWN)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => {
      const { name, description = '' } = JSON.parse(readFileSync(join(OWN, file), 'utf8')) as Scenario;
      return { name, description };
    });
  if (json) out(`${JSON.stringify(rows)}\n`);
  else {
    const width = Math.max(...rows.map(({ name }) => name.length));
    for (const { name, description } of rows) out(`${name.padEnd(width)}  ${description}\n`);
  }
  return 0;
}

/** How many arguments each command has, and which options. */
const TAKES: Readonly<
  Record<string, { readonly least: number; readonly most: number; readonly options: readonly string[] }>
> = {
  run: { least: 1, most: 1, options: ['kernel', 'agent', 'seed', 'json', 'html', 'logs'] },
  check: { least: 1, most: 1, options: ['seed', 'json'] },
  new: { least: 0, most: 1, options: [] },
  list: { least: 0, most: 0, options: ['json'] },
  schema: { least: 0, most: 0, options: [] },
};

async function command(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = readArguments(args);
  const [verb, ...rest] = positionals;
  if (values.help || verb === undefined) {
    (values.help ? terminal.out : terminal.err)(`${USAGE}\n`);
    return values.help ? 0 : 2;
  }
  const wanted = Object.hasOwn(TAKES, verb) ? TAKES[verb] : undefined;
  if (wanted === undefined) throw new BadInput(`there is no command ${clean(verb)}\n${USAGE}`);
  if (rest.length < wanted.least || rest.length > wanted.most) throw new BadInput(USAGE);
  const other = Object.keys(values).find((name) => !wanted.options.includes(name));
  if (other !== undefined) throw new BadInput(`${verb} has no option --${other}\n${USAGE}`);
  const named = rest[0]!;
  switch (verb) {
    case 'run':
      return run(named, values, terminal);
    case 'check':
      return check(named, values, terminal);
    case 'new':
      return begin(terminal, named);
    case 'list':
      return list(values, terminal);
    default:
      terminal.out(`${JSON.stringify(scenarioSchema(), null, 2)}\n`);
      return 0;
  }
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        kernel: { type: 'string' },
        agent: { type: 'string' },
        seed: { type: 'string' },
        json: { type: 'boolean' },
        html: { type: 'string' },
        logs: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (thrown) {
    throw new BadInput(`${(thrown as Error).message}\n${USAGE}`);
  }
}

/** One command; answers its exit code and never throws. What was interrupted says nothing more. */
export async function x0lab(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await command(args, terminal);
  } catch (thrown) {
    const isBad = thrown instanceof BadInput;
    const problems = isBad ? thrown.problems : [];
    const { message } = thrown as Error;
    if (terminal.signal.aborted) return 1;
    if (args.includes('--json')) terminal.out(`${JSON.stringify({ ok: false, error: message, problems })}\n`);
    // What is wrong stands in what is said of it, and came from anybody.
    terminal.err(`x0lab: ${message.split('\n').map(clean).join('\n')}\n`);
    for (const { code, path, message: why } of problems) terminal.err(`  ${clean(`${path}: ${why} (${code})`)}\n`);
    return isBad ? 2 : 1;
  }
}
