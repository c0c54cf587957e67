/** The command line: one dispatch table is the whole of it, one entry a subcommand. What an entry needs it imports late. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { clean, plainJson, type Terminal } from './terminal.ts';

export const EXIT = {
  ok: 0,
  /** The command worked, and what it looked at has a problem. */
  problem: 1,
  usage: 2,
  unreachable: 3,
  /** Not allowed, or there is no such thing. */
  refused: 4,
  failed: 5,
} as const;

interface Context {
  readonly to: Terminal;
  readonly json: boolean;
  readonly arguments: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  agent(): Promise<Client>;
}

interface Command {
  readonly name: string;
  /** As the usage line shows them. */
  readonly arguments: string;
  /** Positional arguments at most. */
  readonly most: number;
  readonly least: number;
  readonly help: string;
  readonly more?: string;
  readonly example: string;
  readonly options?: Readonly<
    Record<string, { type: 'string' | 'boolean'; short?: string; help: string; value?: string }>
  >;
  run(context: Context): Promise<number>;
}

/** Set by the build. */
declare const X0_VERSION: string | undefined;
const VERSION = typeof X0_VERSION === 'string' ? X0_VERSION : '0.0.0-source';

const CONFIG_FILE = '/etc/config/x0tta6bl4';

const views = () => import('./views.ts');

/** A command that shows one answer of the agent. */
function showing<T>(
  path: string,
  text: (answer: T, to: Terminal, options: Context['options']) => Promise<string>,
  exit: (answer: T) => number = () => EXIT.ok,
): Command['run'] {
  return async ({ to, json, options, agent }) => {
    const answer = (await (await agent()).get(path)) as T;
    to.out(json ? `${plainJson(answer)}\n` : await text(answer, to, options));
    return exit(answer);
  };
}

export const COMMANDS: readonly Command[] = [
  {
    name: 'status',
    arguments: '',
    least: 0,
    most: 0,
    help: 'this router, its mesh and its healing at a glance',
    more: 'Exit status 1 if there is a problem: an open fault, or no mesh interface.',
    example: 'x0ctl status && echo all is well',
    run: showing<Of<typeof shapes.status>>(
      '/mesh/status',
      async (answer, to) => (await views()).statusText(answer, to),
      ({ health }) => (health === 'problem' ? EXIT.problem : EXIT.ok),
    ),
  },
  {
    name: 'nodes',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the other routers, and the way to each',
    more: 'METRIC is that of the whole path: the TQ, 0 to 255 (BATMAN_IV), or the\nthroughput in Mbit/s, with an M (BATMAN_V).',
    example: 'x0ctl nodes',
    run: showing<Of<typeof shapes.nodes>>('/mesh/nodes', async (answer, to) => (await views()).nodesText(answer, to)),
  },
  {
    name: 'links',
    arguments: '',
    least: 0,
    most: 0,
    help: 'our neighbours, with the quality of each link',
    more: `NEIGHBOUR is the address of the interface at the other end, ROUTER whose it is.
Below it what XDP saw come in. AIR LOSS is what gaps in batman-adv's sequence
numbers show: lost on the way here, whatever happens to what we send.`,
    example: 'x0ctl links --json | jq \'.links[] | select(.quality == "BAD")\'',
    run: showing<Of<typeof shapes.links>>('/mesh/links', async (answer, to) => (await views()).linksText(answer, to)),
  },
  {
    name: 'topology',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the graph of the mesh, with shortest paths from here',
    more: `batman-adv knows next hops, not maps: beyond a neighbour stands the route,
over however many hops. Below the table stands what would split the mesh:
routers without which it falls apart, and edges that no other way goes around.`,
    example: 'x0ctl topology --dot | dot -Tsvg > mesh.svg',
    options: {
      dot: { type: 'boolean', help: 'for Graphviz' },
      netjson: { type: 'boolean', help: 'as NetJSON NetworkGraph' },
      to: { type: 'string', value: 'ROUTER', help: 'only the three cheapest ways to it' },
      from: { type: 'string', value: 'ROUTER', help: 'with --to: from it and not from here' },
      file: { type: 'string', value: 'FILE', help: 'of a map, NetJSON or meshviewer.json; needs no agent' },
    },
    run: async ({ to, json, options, agent }) => {
      const { showTopology } = await import('./topology.ts');
      return showTopology(options, to, json, agent);
    },
  },
  {
    name: 'beacon',
    arguments: '',
    least: 0,
    most: 0,
    help: 'transmit schedule and common time of the mesh',
    more: 'The error bound is what the time here can be wrong by at most. Exit status 1 if\nbeacons are off or have not begun.',
    example: 'x0ctl beacon --json | jq .beacon.errorBoundUs',
    run: showing<Of<typeof shapes.beacon>>(
      '/mesh/beacon',
      async (answer, to) => (await views()).beaconText(answer, to),
      ({ beacon }) => (beacon === null ? EXIT.problem : EXIT.ok),
    ),
  },
  {
    name: 'watch',
    arguments: '',
    least: 0,
    most: 0,
    help: 'all of it live; q quits',
    more: `Where the output is no terminal it prints a line for each change. With --json
each look is one line, its members status, links and log as those commands print
them (the log only what is new), or else error.`,
    example: 'x0ctl watch --interval 0.5',
    options: {
      interval: { type: 'string', value: 'SECONDS', help: 'between two looks, 0.1 to 3600; 1 without it' },
      count: { type: 'string', value: 'N', help: 'looks in all; endless without it' },
    },
    run: async ({ to, json, options, agent }) => {
      const interval = numberOf(options.interval, 'interval', 0.1, 3600) ?? 1;
      const count = numberOf(options.count, 'count', 1, 1e9) ?? 0;
      const { watch } = await import('./watch.ts');
      return watch(await agent(), to, json, interval * 1000, count);
    },
  },
  {
    name: 'heal log',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the journal of decisions, the newest last',
    example: 'x0ctl heal log --limit 50',
    options: {
      limit: { type: 'string', value: 'N', help: 'entries at most, 1 to 1000; 20 without it' },
      since: { type: 'string', value: 'ID', help: 'only entries after this one (the id in --json)' },
    },
    run: async (context) => {
      const query = new URLSearchParams();
      const limit = numberOf(context.options.limit, 'limit', 1, 1000);
      const since = numberOf(context.options.since, 'since', 0, Number.MAX_SAFE_INTEGER);
      if (limit !== undefined) query.set('limit', String(limit));
      if (since !== undefined) query.set('since', String(since));
      return showing<Of<typeof shapes.log>>(`/heal/log?${query}`, async (answer, to) =>
        (await views()).logText(
          answer,
          to,
          since === undefined ? undefined : `The journal has nothing after ${since}.`,
        ),
      )(context);
    },
  },
  {
    name: 'heal explain',
    arguments: 'FAULT',
    least: 1,
    most: 1,
    help: 'one fault: what was seen, weighed and done, and why',
    example: 'x0ctl heal explain e3-f17',
    run: async (context) => {
      const { to } = context;
      const id = context.arguments[0]!;
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(id)) throw usage(`${clean(id)} is no fault; heal log shows them, as e3-f17`);
      return showing<Of<typeof shapes.explanation>>(`/heal/explain/${id}`, async (answer) =>
        (await views()).explanationText(answer, to),
      )(context);
    },
  },
  {
    name: 'heal verify',
    arguments: '',
    least: 0,
    most: 0,
    help: 'prove the journal whole, or say where it is broken',
    more: `Each entry is sealed by a hash over the seal before it. What was taken off the
beginning to save flash is behind a checkpoint. Who may write the file can write
a whole new chain: keep the head that this prints elsewhere to see that, too.
Exit status 1 if it is broken.`,
    example: 'x0ctl heal verify --file /mnt/backup/state.db',
    options: { file: { type: 'string', value: 'FILE', help: 'a state file that no agent uses' } },
    run: async ({ to, json, options, agent }) => {
      const { verifyAgent, verifyFile, showVerification } = await import('./verify.ts');
      const { file } = options;
      const found = typeof file === 'string' ? verifyFile(file) : await verifyAgent(await agent());
      return showVerification(found, to, json);
    },
  },
  {
    name: 'heal mode',
    arguments: '[CLASS] [MODE]',
    least: 0,
    most: 2,
    help: 'show or set whether it repairs, or a class of faults',
    more: `off: nothing; observe: the journal tells what it would have done;
act: it repairs. As a whole it holds until the agent's next start; for longer,
set heal.mode in ${CONFIG_FILE}.

CLASS is a class of faults, or "classes" to show all of them with what each has
shown so far; there auto means: repaired where it is safe or has earned it.
That of a class is kept across restarts.`,
    example: 'x0ctl heal mode link-lossy observe',
    run: async ({ to, json, arguments: words, agent }) => {
      const { healMode } = await import('./mode.ts');
      return healMode(to, json, words, await agent());
    },
  },
  {
    name: 'heal kick',
    arguments: '[MAC]',
    least: 0,
    most: 1,
    help: 'have all agents send OGMs early, so that routes move',
    more: `Others hear of it where there is a mesh key. MAC names a neighbour that is
lost: then the routes over it are withdrawn, and of the others only those send
that were reached over it. Budgets hold here as well.`,
    example: 'x0ctl heal kick 02:12:34:56:78:9a',
    run: async ({ to, json, arguments: [lost], agent }) => {
      const mac = lost?.toLowerCase();
      if (mac !== undefined && !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
        throw usage(`${clean(lost!)} is no MAC address such as 02:12:34:56:78:9a`);
      return tell(to, json, await (await agent()).post('/heal/kick', mac === undefined ? {} : { lost: mac }));
    },
  },
  {
    name: 'record list',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the recordings of repairs that are kept',
    example: 'x0ctl record list',
    run: showing<Of<typeof shapes.recordings>>('/record', async (answer, to) =>
      (await views()).recordingsText(answer, to),
    ),
  },
  {
    name: 'record export',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'what the flight recorder holds, as a file for replay',
    more: `The last minutes, up to now, or with --id a recording that is kept. Without
FILE it is x0tta6bl4-recording.jsonl.gz here; - is the standard output, as text.
It holds addresses and times, no key and no traffic of users.`,
    example: 'x0ctl record export incident.jsonl.gz --id 3',
    options: { id: { type: 'string', value: 'N', help: 'of a kept recording, as record list shows them' } },
    run: async ({ to, json, arguments: [file], options, agent }) => {
      const id = numberOf(options.id, 'id', 1, Number.MAX_SAFE_INTEGER);
      const { exportRecording } = await import('./record.ts');
      return exportRecording(await agent(), file, id, to, json);
    },
  },
  {
    name: 'replay',
    arguments: 'FILE',
    least: 1,
    most: 1,
    help: 'play a recording again, decision for decision',
    more: `FILE comes from record export or x0d --record, on any machine; plain or gzip.
Exit status 1 with the first difference, if there is one. Needs no agent.`,
    example: 'x0ctl replay incident.jsonl.gz',
    options: { log: { type: 'boolean', help: 'show every decision as it is taken' } },
    run: async ({ to, json, arguments: [file], options }) => {
      const { replayFile } = await import('./replay.ts');
      return replayFile(file!, to, json, options.log === true);
    },
  },
  {
    name: 'twin run',
    arguments: 'SCENARIO',
    least: 1,
    most: 1,
    help: 'play a scenario on simulated routers; needs no agent',
    more: `Afterwards everything outside is made whole, and what has to hold then is
checked too. Exit status 1 if an invariant was broken: then the shortest
scenario that still shows it is printed.`,
    example: 'x0ctl twin run ring.json --seeds 20',
    options: {
      seed: { type: 'string', value: 'N', help: "instead of the scenario's own" },
      seeds: { type: 'string', value: 'M', help: 'so many, one after the other; 1 without it' },
      agents: { type: 'string', value: 'on|off', help: 'off: batman-adv alone' },
    },
    run: async ({ to, json, options, arguments: [file] }) => {
      const { agents = 'on' } = options;
      if (agents !== 'on' && agents !== 'off') throw usage('--agents: expected on or off');
      const seed = numberOf(options.seed, 'seed', 0, Number.MAX_SAFE_INTEGER);
      const seeds = numberOf(options.seeds, 'seeds', 1, 1_000_000) ?? 1;
      const { runScenario } = await import('./twin.ts');
      return runScenario({ file: file!, seed, seeds, agents }, to, json) ? EXIT.ok : EXIT.problem;
    },
  },
  {
    name: 'twin what-if',
    arguments: 'QUESTION',
    least: 1,
    most: 3,
    help: 'what a cut link or a dead router would do',
    more: `QUESTION is "cut A B" for a link or "kill A" for a router; A and B are
originator addresses, or ends of them, or self. Answered by simulated routers,
from what this router's tables tell: ways it never heard of are missing.`,
    example: 'x0ctl twin what-if "cut self 9a"',
    run: async ({ to, json, arguments: words, agent }) => {
      const { whatIf } = await import('./twin.ts');
      await whatIf(words.join(' '), await agent(), to, json);
      return EXIT.ok;
    },
  },
  {
    name: 'xdp',
    arguments: '',
    least: 0,
    most: 0,
    help: 'how what comes in is measured, and what was counted',
    more: 'XDP sees what comes in; what goes out is not in any of these figures.',
    example: "x0ctl xdp --json | jq '.totals.retransmitted'",
    run: showing<Of<typeof shapes.xdp>>('/mesh/xdp', async (answer, to) => (await views()).xdpText(answer, to)),
  },
  {
    name: 'bpf explain',
    arguments: '[NAME]',
    least: 0,
    most: 1,
    help: 'what the BPF programs are and may do; needs no agent',
    more: `NAME is a program (entry, heard, stamp, tcp, ogm2, control), shown with its
control flow and disassembly, or an object (mesh, pass), shown in short. The
object is validated first, against its manifest.`,
    example: 'x0ctl bpf explain tcp --dot | dot -Tsvg > tcp.svg',
    options: {
      dot: { type: 'boolean', help: 'the control-flow graph for Graphviz' },
      variant: { type: 'string', value: 'VARIANT', help: 'timer or no-timer; timer without it' },
      endian: { type: 'string', value: 'ORDER', help: "little or big; this router's without it" },
    },
    run: async ({ to, json, arguments: [named = 'mesh'], options }) => {
      const variant = choiceOf(options.variant, 'variant', ['timer', 'no-timer']) ?? 'timer';
      const endian = choiceOf(options.endian, 'endian', ['little', 'big']);
      const { explain } = await import('../host/bpf/explain.ts');
      const { text, facts } = explain(named, { variant, endian, dot: options.dot === true });
      to.out(json ? `${plainJson({ version: 1, ...facts })}\n` : text);
      return EXIT.ok;
    },
  },
  {
    name: 'bpf profile',
    arguments: '',
    least: 0,
    most: 0,
    help: 'what the BPF programs cost now; as root',
    more: `Switches the kernel's BPF statistics on for so long, which costs each program of
the kernel some 20 ns a run, and off again. What a tail call leads to counts for
the program that made it.`,
    example: 'x0ctl bpf profile --seconds 10',
    options: { seconds: { type: 'string', value: 'N', help: 'how long, 0.1 to 600; 5 without it' } },
    run: async ({ to, json, options, agent }) => {
      const seconds = numberOf(options.seconds, 'seconds', 0.1, 600) ?? 5;
      const [{ profile }, client, { profileText }] = await Promise.all([
        import('../host/bpf/profiler.ts'),
        agent(),
        views(),
      ]);
      const read = async () => ((await client.get('/mesh/xdp')) as Of<typeof shapes.xdp>).programs;
      const programs = await profile(read, seconds);
      to.out(json ? `${plainJson({ version: 1, seconds, programs })}\n` : profileText(programs, to));
      return EXIT.ok;
    },
  },
  {
    name: 'config check',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'check a configuration file; needs no agent',
    more: `${CONFIG_FILE} without FILE. Exit status 1 if there is a problem.`,
    example: 'x0ctl config check && /etc/init.d/x0tta6bl4 reload',
    run: async ({ to, json, arguments: [file = CONFIG_FILE] }) => {
      const [{ checkConfig }, { readConfigFile }, { reportText }] = await Promise.all([
        import('../report/api/check.ts'),
        import('../host/config-file.ts'),
        views(),
      ]);
      const report = checkConfig(readConfigFile(file), file);
      to.out(json ? `${plainJson(report)}\n` : reportText(report, to));
      return report.valid ? EXIT.ok : EXIT.problem;
    },
  },
];

const GLOBAL = {
  json: { type: 'boolean', help: 'print the answer as JSON (shapes: /docs of the agent)' },
  socket: { type: 'string', value: 'PATH', help: "the agent's control socket" },
  version: { type: 'boolean', help: 'the version of x0ctl' },
  help: { type: 'boolean', short: 'h', help: 'this text; also -h' },
} as const satisfies Command['options'];

function tell(to: Terminal, json: boolean, answer: unknown): number {
  to.out(json ? `${plainJson(answer)}\n` : `${clean((answer as Of<typeof shapes.done>).message)}\n`);
  return EXIT.ok;
}

function usage(message: string): AgentError {
  return new AgentError('E_USAGE', message);
}

function numberOf(raw: string | boolean | undefined, name: string, min: number, max: number): number | undefined {
  if (raw === undefined) return undefined;
  const value = /^\d+(\.\d+)?$/.test(String(raw)) ? Number(raw) : Number.NaN;
  const whole = Number.isInteger(min);
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value)))
    throw usage(`--${name}: expected a ${whole ? 'whole ' : ''}number from ${min} to ${max}`);
  return value;
}

function choiceOf<const C extends readonly string[]>(
  raw: string | boolean | undefined,
  name: string,
  choices: C,
): C[number] | undefined {
  if (raw === undefined || choices.includes(String(raw))) return raw as C[number] | undefined;
  throw usage(`--${name}: expected ${choices.join(' or ')}`);
}

/** Runs one command line. Answers the exit status; never throws. */
export async function main(argv: readonly string[], to: Terminal): Promise<number> {
  let json = argv.includes('--json');
  try {
    const found = find(argv);
    if (found.kind === 'help') {
      if (found.status === EXIT.ok) to.out(found.text);
      else to.err(found.text);
      return found.status;
    }
    const { command, rest } = found;
    const options = strip({ ...GLOBAL, ...command.options });
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    if (values.help === true) {
      to.out(helpOf(command));
      return EXIT.ok;
    }
    if (rest.length < command.least || rest.length > command.most)
      throw usage(`usage: x0ctl ${command.name} ${command.arguments}`.trimEnd());
    json = values.json === true;
    const socket = typeof values.socket === 'string' ? values.socket : to.environment.X0_SOCKET;
    return await command.run({
      to,
      json,
      arguments: positionals.slice(command.name.split(' ').length),
      options: values as Context['options'],
      agent: async () => {
        const { client } = await import('./client.ts');
        return client(socket ?? (await import('../config/schema.ts')).DEFAULTS.report.socket);
      },
    });
  } catch (thrown) {
    const isUsage = (thrown as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
    const error = isUsage ? usage((thrown as Error).message) : asAgentError(thrown);
    if (json) to.out(`${plainJson({ version: 1, error: { code: error.code, message: error.message } }, 0)}\n`);
    else to.err(`x0ctl: ${clean(error.message)}\n`);
    if (error.code === 'E_USAGE' && !json && !error.message.includes('--help')) to.err('x0ctl --help tells more.\n');
    return STATUS[error.code] ?? (error.code.startsWith('E_SCENARIO_') ? EXIT.problem : EXIT.failed);
  }
}

const STATUS: Readonly<Record<string, number>> = {
  E_USAGE: EXIT.usage,
  E_AGENT_UNREACHABLE: EXIT.unreachable,
  E_FORBIDDEN: EXIT.refused,
  E_NOT_FOUND: EXIT.refused,
  E_CONFIG_READ: EXIT.refused,
  E_JOURNAL_BROKEN: EXIT.problem,
  E_MAP: EXIT.refused,
  E_RECORDING: EXIT.refused,
};

type Found =
  | { readonly kind: 'command'; readonly command: Command; readonly rest: readonly string[] }
  | { readonly kind: 'help'; readonly text: string; readonly status: number };

/** The command that a line names; options may stand anywhere in it. */
function find(argv: readonly string[]): Found {
  const all = Object.assign({}, GLOBAL, ...COMMANDS.map(({ options }) => options ?? {})) as NonNullable<
    Command['options']
  >;
  const { values, positionals, tokens } = parseArgs({
    args: [...argv],
    options: strip(all),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const words = positionals[0] === 'help' ? positionals.slice(1) : positionals;
  const asksHelp = values.help === true || positionals[0] === 'help';
  const only = (options: object, of: string) => {
    for (const token of tokens)
      if (token.kind === 'option' && !Object.hasOwn(options, token.name))
        throw usage(`there is no option ${clean(token.rawName)}; x0ctl${of} --help shows those there are`);
  };
  const command = COMMANDS.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '));
  if (command !== undefined) {
    if (positionals[0] === 'help') return { kind: 'help', text: helpOf(command), status: EXIT.ok };
    only({ ...GLOBAL, ...command.options }, ` ${command.name}`);
    if (values.version !== true) return { kind: 'command', command, rest: words.slice(command.name.split(' ').length) };
  }
  if (words.length === 0) only(all, '');
  if (values.version === true) return { kind: 'help', text: `${VERSION}\n`, status: EXIT.ok };
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${words[0]} `));
  if (words.length === 0 || (group.length > 0 && words.length === 1))
    return {
      kind: 'help',
      text: overview(group.length > 0 ? group : COMMANDS),
      status: asksHelp ? EXIT.ok : EXIT.usage,
    };
  throw usage(`there is no command '${clean(words.slice(0, 2).join(' '))}'`);
}

function strip(options: NonNullable<Command['options']>): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [name, { type, ...(short !== undefined && { short }) }]),
  );
}

function overview(commands: readonly Command[]): string {
  const usageOf = ({ name, arguments: args }: Command) => `${name} ${args}`.trimEnd();
  const width = Math.max(...commands.map((command) => usageOf(command).length));
  return `x0ctl: look at the mesh and its healing from this router

  ${commands.map((command) => `${usageOf(command).padEnd(width)}  ${command.help}`).join('\n  ')}

Options of all of them:
${optionLines(GLOBAL)}
Exit status: 0 well; 1 what was looked at has a problem; 2 wrong usage;
3 the agent does not answer; 4 refused, or not found; 5 failed.

In trouble, begin with:  x0ctl status
`;
}

function helpOf({ name, arguments: args, help, more, example, options }: Command): string {
  return `${`x0ctl ${name} ${args}`.trimEnd()}
${help[0]!.toUpperCase()}${help.slice(1)}.
${more === undefined ? '' : `\n${more}\n`}
Example:
  ${example}

Options:
${optionLines({ ...options, ...GLOBAL })}`;
}

function optionLines(options: NonNullable<Command['options']>): string {
  return Object.entries(options)
    .map(([name, { value, help }]) => `  ${`--${name}${value === undefined ? '' : ` ${value}`}`.padEnd(20)} ${help}\n`)
    .join('');
}
