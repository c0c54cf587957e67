/** The configuration that is in use. */
import * as shapes from '../shapes.ts';
import { type Call, call } from './call.ts';

export const configCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/config',
    help: 'The configuration in use, without secrets.',
    shape: shapes.config,
    answer: ({ sources }) => ({ config: sources.config() }),
  }),
];
