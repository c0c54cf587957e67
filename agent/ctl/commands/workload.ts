/** Identities for programs on this router. */
import type { workloadShape } from '../../report/api/workload.ts';
import type { Of } from '../../report/shape.ts';
import { type Command, showing } from '../command.ts';
import { EXIT } from '../exit.ts';
import { clean } from '../terminal.ts';

export const workloadCommands: readonly Command[] = [
  {
    name: 'workload',
    arguments: '',
    least: 0,
    most: 0,
    help: 'identities for programs on this router (the SPIFFE Workload API)',
    more: 'Exit status 1 if programs are given nothing.',
    example: 'x0ctl workload',
    run: showing<Of<typeof workloadShape>>(
      '/workload',
      async ({ workload: one }) => {
        if (one === null) return 'Section workload is off: no program is given an identity.\n';
        const lines = [
          `socket         ${one.socket}`,
          `programs       ${one.entries} in the configuration, ${one.connections} connected, ${one.streams} told of renewals`,
          `certificates   ${one.certificates} made`,
          `tokens         ${one.tokens} made`,
          ...(one.trouble === null ? [] : [`trouble        ${one.trouble}`]),
        ];
        return `${lines.map(clean).join('\n')}\n`;
      },
      ({ workload }) => (workload === null || workload.trouble === null ? EXIT.ok : EXIT.problem),
    ),
  },
];
