/** Tunnels to other sites. */
import type { tunnelsShape } from '../../report/api/tunnels.ts';
import type { Of } from '../../report/shape.ts';
import { type Command, showing } from '../command.ts';
import { EXIT } from '../exit.ts';

export const tunnelCommands: readonly Command[] = [
  {
    name: 'tunnels',
    arguments: '',
    least: 0,
    most: 0,
    help: 'tunnels to other sites, and the age of their keys',
    more: `KEY is how long the preshared key in use has been in use, HANDSHAKE how long
ago the two ends last agreed on a session. Exit status 1 if one carries nothing.`,
    example: 'x0ctl tunnels',
    run: showing<Of<typeof tunnelsShape>>(
      '/tunnels',
      async (answer, to) => (await import('../tunnels.ts')).tunnelsText(answer, to),
      ({ tunnels }) =>
        tunnels?.some(({ state }) => state === 'starting' || state === 'silent') ? EXIT.problem : EXIT.ok,
    ),
  },
];
