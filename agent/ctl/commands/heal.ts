/** What healing did and why, and what a person has it do. */
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { CONFIG_FILE, type Command, macOf, numberOf, showing, tell, usage, views } from '../command.ts';
import { clip } from '../terminal.ts';

export const healCommands: readonly Command[] = [
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
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(id))
        throw usage(`FAULT: ${clip(id)} is no fault; heal log shows them, as e3-f17`);
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
      const { verifyAgent, verifyFile, showVerification } = await import('../verify.ts');
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
      const { healMode } = await import('../mode.ts');
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
      const body = lost === undefined ? {} : { lost: macOf(lost) };
      return tell(to, json, await (await agent()).post('/heal/kick', body));
    },
  },
];
