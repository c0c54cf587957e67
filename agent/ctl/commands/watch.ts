/** All of it live. */
import { type Command, numberOf } from '../command.ts';

export const watchCommands: readonly Command[] = [
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
      const { watch } = await import('../watch.ts');
      return watch(await agent(), to, json, interval * 1000, count);
    },
  },
];
