/** Identities for programs on this router. */
import type { workloadShape } from '../../report/api/workload.ts';
import type { Of } from '../../report/shape.ts';
import { type Command, showing } from '../command.ts';
import { EXIT } from '../exit.ts';
import { clean, fold } from '../terminal.ts';

export const workloadCommands: readonly Command[] = [
  {
    name: 'workload',
    arguments: '',
    least: 0,
    most: 0,
    help: 'identities for programs on this router',
    more: `They ask for them over the SPIFFE Workload API. Exit status 1
if they are given nothing.`,
    example: 'x0ctl workload',
    run: showing<Of<typeof workloadShape>>(
      '/workload',
      async ({ workload: one }, to) => {
        if (one === null)
          return fold('Section workload is off, or this router has no identity yet: no program is given one.\n', to);
        const lines = [
          `socket         ${one.socket}`,
          `programs       ${one.entries} in the configuration, ${one.connections} connected, ${one.streams} told of renewals`,
          `certificates   ${one.certificates} made`,
          `tokens         ${one.tokens} made`,
          ...(one.trouble === null ? [] : [`trouble        ${one.trouble}`]),
        ];
        return lines.map((line) => fold(`${clean(line)}\n`, to)).join('');
      },
      ({ workload }) => (workload?.trouble === null ? EXIT.ok : EXIT.problem),
    ),
  },
];
