/**
 * Runs benches, each a module tools/bench/NAME.ts that exports `run(progress)`:
 *
 *     npm run -s bench -- NAME [--json]    one; with --json the last line is one JSON object
 *     npm run -s bench -- [--json]         all, one after the other
 *
 * {"bench","figures","baseline","targets","pass"}. Progress goes to stderr. The exit code is 1 when a bench could not
 * run; a target that is missed is a result, not an error.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Bench, type BenchResult, reached, round, type Target } from './stats.ts';

/** What stands in this folder and exports `run`; the rest are helpers. */
function names(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith('.ts') && file !== 'main.ts')
    .filter((file) => /^export (async )?function run\(/m.test(readFileSync(join(import.meta.dirname, file), 'utf8')))
    .map((file) => file.slice(0, -3))
    .sort();
}

function asJson(name: string, { figures, baseline, targets }: BenchResult): string {
  const rounded = (of: BenchResult['figures']): BenchResult['figures'] =>
    Object.fromEntries(Object.entries(of).map(([key, value]) => [key, value === null ? null : round(value)]));
  const pass = targets.every((target) => reached(target, figures));
  return JSON.stringify({ bench: name, figures: rounded(figures), baseline: rounded(baseline), targets, pass });
}

function asTable(name: string, { figures, baseline, targets }: BenchResult): string {
  const rows: [string, string, string, string][] = [['figure', 'measured', 'to reach', '']];
  const show = (value: number | null | undefined): string =>
    value === null || value === undefined ? 'not measured' : String(round(value));
  for (const [key, value] of Object.entries(figures)) {
    const target = targets.find((one) => one.figure === key);
    const verdict = target === undefined ? '' : reached(target, figures) ? 'reached' : 'MISSED';
    rows.push([key, show(value), target === undefined ? '' : wanted(target), verdict]);
  }
  for (const [key, value] of Object.entries(baseline)) rows.push([key, show(value), 'baseline', '']);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map(([a, b, c, d]) =>
    `  ${a.padEnd(widths[0]!)}  ${b.padStart(widths[1]!)}  ${c.padEnd(widths[2]!)}  ${d}`.trimEnd(),
  );
  return [name, ...lines].join('\n');
}

function wanted({ atMost, atLeast }: Target): string {
  return [atMost === undefined ? '' : `<= ${atMost}`, atLeast === undefined ? '' : `>= ${atLeast}`].join(' ').trim();
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    // --runs N: fewer repetitions, for a quick look (trials.ts reads it).
    options: { json: { type: 'boolean' }, runs: { type: 'string' } },
  });
  const known = names();
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    console.error(`no bench is called ${unknown.join(', ')}; there are ${known.join(', ')}`);
    return 2;
  }
  let failures = 0;
  for (const name of positionals.length > 0 ? positionals : known) {
    const started = performance.now();
    const progress = (line: string): void => {
      process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${name}: ${line}\n`);
    };
    try {
      progress('begins');
      const bench = (await import(pathToFileURL(join(import.meta.dirname, `${name}.ts`)).href)) as Bench;
      const result = await bench.run(progress);
      process.stdout.write(`${values.json ? asJson(name, result) : asTable(name, result)}\n`);
    } catch (thrown) {
      failures++;
      console.error(
        `bench ${name} could not run: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : thrown}`,
      );
    }
  }
  return failures > 0 ? 1 : 0;
}

// What a bench left running must not keep this from ending.
process.exit(await main());
