/** What is wrong with this router, and what to send to whoever is to find out. */
import { resolve } from 'node:path';
import { CONFIG_FILE, type Command, type Context } from '../command.ts';
import { VERSION } from '../version.ts';

async function looking({ options, socket: named }: Context) {
  const [{ edge }, { client }] = await Promise.all([import('../edge.ts'), import('../client.ts')]);
  return {
    edge: edge(),
    // What looks at a router begins at its root.
    configFile: typeof options.config === 'string' ? resolve(options.config) : CONFIG_FILE,
    version: VERSION,
    /** Without a named one the configuration's. */
    agent: (socket: string) => client(named ?? socket),
  };
}

const CONFIG = { type: 'string', value: 'FILE', help: `the configuration, ${CONFIG_FILE} without it` } as const;

export const doctorCommands: readonly Command[] = [
  {
    name: 'doctor',
    arguments: '',
    least: 0,
    most: 0,
    help: 'what is wrong here, why, and what mends it',
    more: `Looks for the most common mistakes; the agent need not run. As root it sees all;
it changes nothing, but a mesh radio without any peer leaves its channel for a
scan (--no-scan). Exit status 1 if there is a problem; advice is none.`,
    example: 'x0ctl doctor --all',
    options: {
      all: { type: 'boolean', help: 'also tell what was looked for and found well' },
      'no-scan': { type: 'boolean', help: 'no scan of the air' },
      config: CONFIG,
    },
    run: async (context) => {
      const { doctor } = await import('../doctor/show.ts');
      const options = { ...(await looking(context)), scan: context.options['no-scan'] !== true };
      return doctor(options, context.to, context.json, context.options.all === true);
    },
  },
  {
    name: 'diag',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'one archive for a bug report, without secrets',
    more: `State, journal, recording, configuration, kernel tables and logs, as root.
Without FILE it is x0tta6bl4-diag.tar.gz here; - is the standard output. Keys,
passphrases and places are taken out; addresses, and names of hosts and
networks become pseudonyms that are the same throughout one archive.`,
    example: 'x0ctl diag /tmp/attic.tar.gz',
    options: { config: CONFIG },
    run: async (context) => {
      const { diag } = await import('../diag/diag.ts');
      return diag(await looking(context), context.arguments[0], context.to, context.json);
    },
  },
];
