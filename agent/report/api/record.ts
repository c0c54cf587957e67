/** The recordings of repairs, and of agents that ended without a word. */
import { AgentError } from '../../core/errors.ts';
import * as shapes from '../shapes.ts';
import { type Call, call, usage } from './call.ts';

export const recordCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/record',
    help: 'The recordings that are kept: of repairs, and of what an agent left that was killed or crashed.',
    shape: shapes.recordings,
    answer: ({ sources }) => ({
      recordings: sources.recorder.list().map(({ id, wall, bytes, faults, why }) => ({
        id,
        time: new Date(wall).toISOString(),
        bytes,
        faults,
        why,
      })),
    }),
  }),
  call({
    method: 'POST',
    path: '/record/export',
    help: 'One recording, or what the flight recorder holds now. Changes nothing.',
    body: [{ name: 'id', type: 'integer', help: 'of a recording that is kept; what the recorder holds without it' }],
    shape: shapes.recording,
    answer: ({ sources, body }) => {
      const id = body.id ?? null;
      if (id !== null && !Number.isSafeInteger(id)) throw usage('id: expected the number of a recording');
      const recording = sources.recorder.export(id as number | null);
      if (recording === null)
        throw new AgentError(
          'E_NOT_FOUND',
          id === null
            ? 'nothing is recorded: state.recorder is 0, or too small for this mesh'
            : `there is no recording ${id}; see record list`,
        );
      return { bytes: recording.length, data: Buffer.from(recording).toString('base64') };
    },
  }),
];
