/** The configuration that is in use. */
import { describe } from '../../config/describe.ts';
import * as shapes from '../shapes.ts';
import type { Sources } from '../sources.ts';
import { type Call, call } from './call.ts';

export const configCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/config',
    help: 'The configuration in use, without secrets.',
    shape: shapes.config,
    answer: ({ sources }) => ({ config: sources.config() }),
  }),
  call({
    method: 'GET',
    path: '/config/options',
    help: 'Every option that the configuration can have, in words.',
    shape: shapes.options,
    answer: () => ({ sections: describe() }),
  }),
  call({
    method: 'GET',
    path: '/config/trial',
    help: 'Whether a changed configuration is on trial, which is taken back where it cuts this router off.',
    shape: shapes.trial,
    answer: ({ sources }) => ({ secondsLeft: sources.trial?.secondsLeft() ?? null }),
  }),
  call({
    method: 'POST',
    path: '/config/confirm',
    help: 'Keeps the changed configuration that is on trial.',
    changing: true,
    shape: shapes.done,
    answer: ({ sources, caller }) => decided(sources, 'confirm', caller.name),
  }),
  call({
    method: 'POST',
    path: '/config/revert',
    help: 'Takes the changed configuration back that is on trial.',
    changing: true,
    shape: shapes.done,
    answer: ({ sources, caller }) => decided(sources, 'revert', caller.name),
  }),
];

function decided({ trial }: Sources, what: 'confirm' | 'revert', by: string): { done: boolean; message: string } {
  if (trial?.decide(what, by) !== true) return { done: false, message: 'no changed configuration is on trial' };
  return {
    done: true,
    message: what === 'confirm' ? 'the changed configuration is kept' : 'the configuration becomes what it was before',
  };
}
