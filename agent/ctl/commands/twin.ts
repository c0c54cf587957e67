/** Simulated routers. */
import { type Command, numberOf, usage } from '../command.ts';
import { EXIT } from '../exit.ts';

export const twinCommands: readonly Command[] = [
  {
    name: 'twin run',
    arguments: 'SCENARIO',
    least: 1,
    most: 1,
    help: 'play a scenario on simulated routers; needs no agent',
    more: `Afterwards everything outside is made whole, and what has to hold then is
checked too. Exit status 1 if something did not come as the scenario expects,
or an invariant was broken: then the shortest scenario that still shows it is
printed. Exit status 4 if it is no scenario.`,
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
      const { runScenario } = await import('../twin.ts');
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
      const { whatIf } = await import('../twin.ts');
      await whatIf(words.join(' '), await agent(), to, json);
      return EXIT.ok;
    },
  },
];
