/** The table of calls about itself. */
import { docsPage, openapi } from '../openapi.ts';
import { COMMANDS } from '../shapes.ts';
import { type Call, JSON_TYPE } from './call.ts';

const HTML = 'text/html; charset=utf-8';

/** `calls` is asked when a page is: these two are in the table themselves. */
export function documentCalls(calls: () => readonly Call[]): readonly Call[] {
  return [
    {
      method: 'GET',
      path: '/openapi.json',
      help: 'This table as OpenAPI 3.1.',
      changing: false,
      shape: null,
      type: JSON_TYPE,
      answer: ({ sources }) => JSON.stringify(openapi(calls(), COMMANDS, sources.version)),
    },
    {
      method: 'GET',
      path: '/docs',
      help: 'This table as a page for people.',
      changing: false,
      shape: null,
      type: HTML,
      answer: ({ sources }) => docsPage(calls(), COMMANDS, sources.version),
    },
  ];
}
