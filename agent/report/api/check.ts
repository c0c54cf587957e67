/** Holds a configuration file against the schema. */
import { NO_OVERRIDES, type Overrides } from '../../config/environment.ts';
import { settle } from '../../config/load.ts';
import { PACKAGE } from '../../config/schema.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import { type Call, call, usage } from './call.ts';

export const checkCalls: readonly Call[] = [
  call({
    method: 'POST',
    path: '/config/check',
    help: 'Holds the text of a configuration file against the schema. Changes nothing.',
    body: [
      { name: 'text', type: 'string', help: 'the text of the file' },
      { name: 'file', type: 'string', help: 'its name, for the messages; may be left out' },
    ],
    shape: shapes.configReport,
    answer: ({ body }) => {
      if (typeof body.text !== 'string') throw usage('text: expected the text of a configuration file');
      const file = body.file ?? PACKAGE;
      // It stands in every message.
      if (typeof file !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(file))
        throw usage('file: expected the name of a file, at most 255 printable characters');
      return checkConfig(body.text, file);
    },
  }),
];

/** What is wrong with the text of a configuration file. Also for x0ctl, which needs no agent for it. */
export function checkConfig(
  source: Uint8Array | string,
  file: string,
  overrides: Overrides = NO_OVERRIDES,
): Of<typeof shapes.configReport> {
  const { problems, untold, warnings, migrated } = settle(source, file, undefined, overrides);
  return {
    version: 1,
    file,
    valid: problems.length === 0,
    migrated,
    overridden: [...overrides.by].map(([option, { variable }]) => ({ option, variable })),
    problems: problems.map(({ message, detail }) => ({
      line: typeof detail.line === 'number' ? detail.line : 0,
      option: [detail.section, detail.option].filter((part) => typeof part === 'string').join('.'),
      message,
    })),
    untold,
    warnings: warnings.map(({ line, section, option, message }) => ({
      line,
      option: option === undefined ? section : `${section}.${option}`,
      message,
    })),
  };
}
