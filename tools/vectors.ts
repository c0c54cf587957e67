/**
 * Runs public test vectors against both providers of cryptography, and answers for each group:
 *
 *     node tools/vectors.ts FILE...                          Wycheproof, or ACVP with answers (internalProjection.json)
 *     node tools/vectors.ts --answers expectedResults.json prompt.json      ACVP in two files
 *
 * Files are JSON, as it is or with gzip. The exit code is 1 when a vector failed or nothing in a file could be run, 2 when
 * a file cannot be read.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type GroupResult, runVectors } from './vectors/run.ts';
import { subjects } from './vectors/subject.ts';

const MOST_SHOWN = 10;

export function readVectors(file: string): unknown {
  const bytes = readFileSync(file);
  return JSON.parse((bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8'));
}

function* lines(file: string, { group, what, provider, passed, failed, notCovered }: GroupResult): Generator<string> {
  const verdict = failed.length > 0 ? 'FAIL' : passed > 0 ? 'pass' : 'none';
  const rest = [...notCovered].map(([why, count]) => `, ${count} not covered: ${why}`).join('');
  const counts = `${passed} passed, ${failed.length} failed${rest}`;
  yield `${verdict}  ${provider.padEnd(11)}  ${file} group ${group}, ${what}: ${counts}`;
  yield* failed.slice(0, MOST_SHOWN).map((line) => `        test ${line}`);
}

function main(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { answers: { type: 'string' } },
  });
  if (positionals.length === 0 || (values.answers !== undefined && positionals.length > 1)) {
    console.error('usage: node tools/vectors.ts FILE... | --answers FILE FILE');
    return 2;
  }
  const all = subjects();
  let code = 0;
  for (const file of positionals) {
    let results: GroupResult[];
    try {
      const answers = values.answers === undefined ? undefined : readVectors(values.answers);
      results = runVectors(readVectors(file), all, answers);
    } catch (thrown) {
      console.error(`${file}: ${thrown instanceof Error ? thrown.message : thrown}`);
      return 2;
    }
    for (const result of results) for (const line of lines(basename(file), result)) console.log(line);
    const nothing = results.every(({ passed, failed }) => passed + failed.length === 0);
    if (nothing) console.log(`none  ${basename(file)}: nothing in it could be run`);
    if (nothing || results.some(({ failed }) => failed.length > 0)) code = 1;
  }
  return code;
}

if (process.argv[1] === import.meta.filename) process.exitCode = main(process.argv.slice(2));
