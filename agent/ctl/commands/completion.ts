/** Completing x0ctl's own lines. */
import { type Command, usage } from '../command.ts';
import { GLOBAL } from '../help.ts';

/** It tells of all commands, itself among them: the table is handed in by who has it. */
export const completionCommands = (commands: () => readonly Command[]): readonly Command[] => [
  {
    name: 'completion',
    arguments: 'SHELL',
    least: 1,
    most: 1,
    help: 'what makes bash or ash complete these commands',
    more: `SHELL is bash, for which eval "$(x0ctl completion bash)" goes into ~/.bashrc, or
ash (busybox), which completes names of programs only: given to sh, it makes
links beside x0ctl, and x0ctl-<TAB> shows them. Without any of it, beginnings of
commands stand for them where they are unique: x0ctl h l is x0ctl heal log.`,
    example: 'x0ctl completion ash | sh',
    run: async ({ to, json, arguments: [shell] }) => {
      if (json) throw usage('--json: what this prints is for a shell');
      const { SHELLS, completion } = await import('../completion.ts');
      const named = SHELLS.find((one) => one === shell);
      if (named === undefined) throw usage(`SHELL: expected ${SHELLS.join(' or ')}`);
      to.out(completion(named, commands(), GLOBAL));
      return 0;
    },
  },
];
