/** The command line: finds the command that a line names, and runs it or tells how it is used. */
import { existsSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { asAgentError } from '../core/errors.ts';
import { CONFIG_FILE, type Command, type Context, SOCKET, usage } from './command.ts';
import { COMMANDS } from './commands.ts';
import { inFull } from './completion.ts';
import { EXIT, exitOf } from './exit.ts';
import { GLOBAL, helpOf, overview } from './help.ts';
import { clip, fold, plainJson, type Terminal } from './terminal.ts';
import { VERSION } from './version.ts';

/** Runs one command line. Answers the exit status; never throws. */
export async function main(argv: readonly string[], to: Terminal): Promise<number> {
  let json = argv.includes('--json');
  try {
    const found = find(argv);
    if (found.kind === 'help') {
      if (found.status !== EXIT.ok && json) throw usage('which command?');
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
    // A variable of a shell that is not set: what was meant is not known.
    for (const [name, { value = 'a value' }] of Object.entries<Flag>({ ...GLOBAL, ...command.options }))
      if (values[name] === '') throw usage(`--${name}: expected ${value}, and it is empty`);
    if (rest.includes('')) throw usage(`usage: x0ctl ${command.name} ${command.arguments}, and one is empty`);
    const socket = typeof values.socket === 'string' ? values.socket : to.environment.X0_SOCKET || undefined;
    return await command.run({
      to,
      json,
      arguments: positionals.slice(command.name.split(' ').length),
      options: values as Context['options'],
      socket,
      agent: async () => {
        const { client } = await import('./client.ts');
        return client(socket ?? (await standing()));
      },
    });
  } catch (thrown) {
    const isUsage = (thrown as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
    // Node says some of it in several lines.
    const error = isUsage ? usage((thrown as Error).message.replaceAll('\n', ' ')) : asAgentError(thrown);
    // What is wrong may be a megabyte, and stand in what is said of it.
    const message = clip(error.message, 1000);
    if (json) to.out(`${plainJson({ version: 1, error: { code: error.code, message } }, 0)}\n`);
    // How to call it is told without: nobody looks that up.
    else to.err(fold(`x0ctl: ${message}${error.code === 'E_USAGE' ? '' : ` (${error.code})`}\n`, to));
    if (error.code === 'E_USAGE' && !json && !error.message.includes('--help')) to.err('x0ctl --help tells more.\n');
    return exitOf(error.code);
  }
}

/** Where the agent has its socket. The configuration is asked only where the usual one is not there: reading it takes longer than asking. */
async function standing(): Promise<string> {
  if (existsSync(SOCKET)) return SOCKET;
  const { configOf } = await import('./configured.ts');
  return configOf(CONFIG_FILE).report.socket;
}

type Flag = NonNullable<Command['options']>[string];

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
  const typed = positionals[0] === 'help' ? positionals.slice(1) : positionals;
  const words = inFull(typed, COMMANDS);
  if ('choices' in words) throw usage(`'${clip(typed.slice(0, 2).join(' '))}' may be ${words.choices.join(' or ')}`);
  const asksHelp = values.help === true || positionals[0] === 'help';
  const only = (options: object, of: string) => {
    for (const token of tokens)
      if (token.kind === 'option' && !Object.hasOwn(options, token.name))
        throw usage(`there is no option ${clip(token.rawName)}; x0ctl${of} --help shows those there are`);
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
  const line = words.slice(0, 2).join(' ');
  const meant = COMMANDS.find(({ name }) => isMeant(line, name) || isMeant(words[0]!, name));
  throw usage(`there is no command '${clip(line)}'${meant === undefined ? '' : `; '${meant.name}' is one`}`);
}

/** Whether at most one letter in three is wrong, missing or too many (Levenshtein). */
function isMeant(typed: string, name: string): boolean {
  if (Math.abs(typed.length - name.length) > 2) return false;
  let row = Array.from({ length: name.length + 1 }, (_, n) => n);
  for (const [i, letter] of [...typed].entries()) {
    const above = row;
    row = [i + 1];
    for (let n = 0; n < name.length; n++)
      row.push(Math.min(above[n + 1]! + 1, row[n]! + 1, above[n]! + (letter === name[n] ? 0 : 1)));
  }
  return row.at(-1)! <= Math.min(2, name.length / 3);
}

function strip(options: NonNullable<Command['options']>): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [name, { type, ...(short !== undefined && { short }) }]),
  );
}
