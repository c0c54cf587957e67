/** The transmit schedule and the common time. */
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, showing, views } from '../command.ts';
import { EXIT } from '../exit.ts';

export const beaconCommands: readonly Command[] = [
  {
    name: 'beacon',
    arguments: '',
    least: 0,
    most: 0,
    help: 'transmit schedule and common time of the mesh',
    more: 'The error bound is what the time here can be wrong by at most. Exit status 1 if\nbeacons are off or have not begun.',
    example: 'x0ctl beacon --json | jq .beacon.errorBoundUs',
    run: showing<Of<typeof shapes.beacon>>(
      '/mesh/beacon',
      async (answer, to) => (await views()).beaconText(answer, to),
      ({ beacon }) => (beacon === null ? EXIT.problem : EXIT.ok),
    ),
  },
];
