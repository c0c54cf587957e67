/** The table of calls about itself. */
import { docsPage, openapi } from '../openapi.ts';
import { COMMANDS } from '../shapes.ts';
import { type Call, JSON_TYPE } from './call.ts';

const HTML = 'text/html; charset=utf-8';

/** `calls` is asked when a page is: these two are in the table themselves. */
export function documentCalls(calls: () => readonly Call[]): readonly Call[] {
  const schema = once((version) => JSON.stringify(openapi(calls(), COMMANDS, version)));
  const page = once((version) => docsPage(calls(), COMMANDS, version));
  return [
    {
      method: 'GET',
      path: '/openapi.json',
      help: 'This table as OpenAPI 3.1.',
      changing: false,
      shape: null,
      type: JSON_TYPE,
      answer: ({ sources }) => schema(sources.version),
    },
    {
      method: 'GET',
      path: '/docs',
      help: 'This table as a page for people.',
      changing: false,
      shape: null,
      type: HTML,
      answer: ({ sources }) => page(sources.version),
    },
  ];
}

/** Made when it is first asked for, and then kept: to make it anew takes longer than all other answers. */
function once(make: (version: string) => string): (version: string) => string {
  let made: { readonly version: string; readonly text: string } | null = null;
  return (version) => {
    if (made?.version !== version) made = { version, text: make(version) };
    return made.text;
  };
}
