/**
 * Runs public test vectors against both providers of cryptography, and answers for each group:
 *
 *     node tools/vectors.ts FILE...                          Wycheproof, or ACVP with answers (internalProjection.json)
 *     node tools/vectors.ts --answers expectedResults.json prompt.json      ACVP in two files
 *
 * Files are JSON, as it is or with gzip. The exit code is 1 when a vector failed or nothing in a file could be run, 2 when
 * a file cannot be read; the others are run all the same.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type GroupResult, runVectors } from './vectors/run.ts';
import { subjects } from './vectors/subject.ts';

const MOST_SHOWN = 10;

const USAGE = 'usage: node tools/vectors.ts FILE... | --answers FILE FILE';

/** Throws an Error with a sentence that names the file. */
export function readVectors(file: string): unknown {
  try {
    const bytes = readFileSync(file);
    return JSON.parse((bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8'));
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    // JSON's own words quote what is in the file, which may be anything.
    const why = thrown instanceof SyntaxError ? 'it is no JSON' : code.startsWith('Z_') ? 'its gzip is damaged' : code;
    throw new Error(`${file} cannot be read: ${why}`);
  }
}

function* lines(file: string, { group, what, provider, passed, failed, notCovered }: GroupResult): Generator<string> {
  const verdict = failed.length > 0 ? 'FAIL' : passed > 0 ? 'pass' : 'none';
  const rest = [...notCovered].map(([why, count]) => `, ${count} not covered: ${why}`).join('');
  const counts = `${passed} passed, ${failed.length} failed${rest}`;
  yield `${verdict}  ${provider.padEnd(11)}  ${file} group ${group}, ${what}: ${counts}`;
  yield* failed.slice(0, MOST_SHOWN).map((line) => `        test ${line}`);
}

/** What a file says of itself may be anything. */
function printable(line: string): string {
  return line.replace(/\p{C}/gu, '?');
}

/** null: wrong usage. */
function parsed(args: readonly string[]): { files: readonly string[]; answers: string | undefined } | null {
  try {
    const options = { answers: { type: 'string' } } as const;
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
    const fits = positionals.length > 0 && (values.answers === undefined || positionals.length === 1);
    return fits ? { files: positionals, answers: values.answers } : null;
  } catch {
    return null;
  }
}

function main(args: readonly string[]): number {
  const asked = parsed(args);
  if (asked === null) {
    console.error(USAGE);
    return 2;
  }
  const all = subjects();
  let code = 0;
  for (const file of asked.files) {
    let results: GroupResult[];
    try {
      const vectors = readVectors(file);
      results = runVectors(vectors, all, asked.answers === undefined ? undefined : readVectors(asked.answers));
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      console.error(why.startsWith(file) || why.startsWith(`${asked.answers}`) ? why : `${file}: ${why}`);
      code = 2;
      continue;
    }
    for (const result of results) for (const line of lines(basename(file), result)) console.log(printable(line));
    const nothing = results.every(({ passed, failed }) => passed + failed.length === 0);
    if (nothing) console.log(`none  ${basename(file)}: nothing in it could be run`);
    if (nothing || results.some(({ failed }) => failed.length > 0)) code = Math.max(code, 1);
  }
  return code;
}

if (process.argv[1] === import.meta.filename) process.exitCode = main(process.argv.slice(2));
