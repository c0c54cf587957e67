/**
 * Writes what is generated from the sources, or with --check names what is out of date and exits with 1.
 *
 *     node tools/generate.ts [--check]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { aliasTable } from '../agent/config/environment.ts';
import { defaultsUci, optionTable } from '../agent/config/schema.ts';
import { scenarioPage, schemaText } from './lab/pages.ts';
import { ARTEFACTS as LUCI } from './luci/artefacts.ts';

const ROOT = new URL('../', import.meta.url);
const BEGIN = '<!-- options:begin -->';
const END = '<!-- options:end -->';
const NAMES =
  'Environment variables of x0d override the file, an option each; `x0ctl config check` shows which. An init script of OpenWrt is\nstarted without any: there only the file counts. Of other names these are known:';
const SCENARIO = ['<!-- scenario:begin -->', '<!-- scenario:end -->'] as const;

/** The new text of an artefact from its old one (undefined: there is no such file); throws where it cannot be made. */
type Artefact = readonly [path: string, make: (old: string | undefined) => string];

/** Replaces what stands between the two markers, which must be there once each and in this order. */
export function spliceOptions(
  old: string | undefined,
  table: string,
  [first, last]: readonly [string, string] = [BEGIN, END],
): string {
  if (old === undefined) throw new Error('does not exist');
  const begin = old.indexOf(first);
  const end = old.indexOf(last);
  if (begin < 0 || end < begin || old.indexOf(first, begin + 1) >= 0 || old.indexOf(last, end + 1) >= 0) {
    throw new Error(`needs one line ${first} and, below it, one line ${last}`);
  }
  return `${old.slice(0, begin + first.length)}\n\n${table}\n\n${old.slice(end)}`;
}

const ARTEFACTS: readonly Artefact[] = [
  ['openwrt-feed/x0tta6bl4/files/x0tta6bl4.config', () => defaultsUci()],
  ['README.md', (old) => spliceOptions(old, `${optionTable()}\n\n${NAMES}\n\n${aliasTable()}`)],
  ['tools/lab/README.md', (old) => spliceOptions(old, scenarioPage(), SCENARIO)],
  ['tools/lab/scenario.schema.json', () => schemaText()],
  ...LUCI,
];

function read(path: string): string | undefined {
  try {
    return readFileSync(new URL(path, ROOT), 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

function main(args: readonly string[]): number {
  const check = args[0] === '--check';
  if (args.length > (check ? 1 : 0)) {
    console.error('usage: node tools/generate.ts [--check]');
    return 2;
  }
  let failures = 0;
  for (const [path, make] of ARTEFACTS) {
    const old = read(path);
    let text: string;
    try {
      text = make(old);
    } catch (thrown) {
      // While writing this is only said: the README may be about to be written.
      console.error(`${path} ${(thrown as Error).message}`);
      if (check) failures++;
      continue;
    }
    if (text === old) continue;
    if (check) {
      console.error(`${path} is out of date: run node tools/generate.ts`);
      failures++;
    } else {
      const file = new URL(path, ROOT).pathname;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      console.log(`wrote ${path}`);
    }
  }
  return failures === 0 ? 0 : 1;
}

if (import.meta.main ?? process.argv[1] === new URL(import.meta.url).pathname)
  process.exitCode = main(process.argv.slice(2));
