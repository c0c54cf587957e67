/** The texts of --help, and the options that all commands have. */
import type { Command } from './command.ts';

export const GLOBAL = {
  json: { type: 'boolean', help: 'print the answer as JSON (shapes: /docs of the agent)' },
  socket: { type: 'string', value: 'PATH', help: "the agent's control socket" },
  version: { type: 'boolean', help: 'the version of x0ctl' },
  help: { type: 'boolean', short: 'h', help: 'this text; also -h' },
} as const satisfies Command['options'];

export function overview(commands: readonly Command[]): string {
  const usageOf = ({ name, arguments: args }: Command) => `${name} ${args}`.trimEnd();
  const width = Math.max(...commands.map((command) => usageOf(command).length));
  return `x0ctl: look at the mesh and its healing from this router

  ${commands.map((command) => `${usageOf(command).padEnd(width)}  ${command.help}`).join('\n  ')}

Options of all of them:
${optionLines(GLOBAL)}
Exit status: 0 well; 1 what was looked at has a problem; 2 wrong usage;
3 the agent does not answer; 4 refused, or not found; 5 failed.

In trouble, begin with:  x0ctl doctor
`;
}

export function helpOf({ name, arguments: args, help, more, example, options }: Command): string {
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
