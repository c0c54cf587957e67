/** Recordings, and playing them again. */
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, numberOf, showing, usage, views } from '../command.ts';

export const recordCommands: readonly Command[] = [
  {
    name: 'record list',
    arguments: '',
    least: 0,
    most: 0,
    help: 'the recordings that are kept',
    more: `Of repairs, of faults that this router saw in itself, and of what an agent\nleft that was killed, crashed or ran out of memory.`,
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
      if (json && file === '-') throw usage('--json and - exclude each other: the recording itself goes there');
      const { exportRecording } = await import('../record.ts');
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
      if (json && options.log === true) throw usage('--log and --json exclude each other');
      const { replayFile } = await import('../replay.ts');
      return replayFile(file!, to, json, options.log === true);
    },
  },
];
