/**
 * Runs the tests and ends with one summary:
 *
 *     node tools/test.ts quick     types, lint, structure, generated files, unit tests but the longest
 *     node tools/test.ts unit      the unit tests only
 *     node tools/test.ts all       quick with all unit tests, those under other Nodes, and every lab suite: test/lab/*.lab.ts
 *     node tools/test.ts lab [NAME...]   lab suites only, all or those whose file name holds a NAME
 *     node tools/test.ts soak      every lab suite, also those that are too long, or too dear, for every day
 *
 * A lab suite is a module that exports `name` and `run(report)`: it says pass, fail or skip for each thing it tried.
 * Two suites run at a time, on a core each; one that exports `first` (it takes long) begins before the others. One that exports
 * `soak` runs only when it is named, or with all others in `soak`.
 * The last line is "N passed, N failed, N skipped"; the exit code is 1 if anything failed.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { MARK, type Told } from './reporter.ts';

export interface Report {
  pass(name: string): void;
  fail(name: string, why: string): void;
  skip(name: string, why: string): void;
}

export interface LabSuite {
  readonly name: string;
  readonly first?: boolean;
  readonly soak?: boolean;
  /** For one that takes longer than any other may. */
  readonly limitMs?: number;
  run(report: Report): Promise<void>;
}

const ROOT = join(import.meta.dirname, '..');
/** While the unit tests run. */
const PROGRESS_MS = 15_000;
/** A file of unit tests that takes longer is ended, and so is what keeps its pipes open. */
const FILE_LIMIT_MS = 300_000;
/** No lab suite takes as long as this, unless it says so itself: one that hangs must not hold the summary back. */
const SUITE_LIMIT_MS = 30 * 60_000;
/** Beside the Node that runs everything. */
const OTHER_NODES = ['22.13.1', '26.10.0'] as const;
/** Seeds by the hundred, rings by the megabyte, kernels and shells by the dozen: half of all the time, and so not in the quick part. */
export const LONG = ['feed/router', 'heal/fuzz', 'record/ring', 'twin/lossy', 'twin/rare', 'twin/seeds', 'twin/turns'];
/** Suites at a time: a kernel that more than one core's worth of others starve misses what the suite waits for. */
const LANES = 2;
const started = performance.now();

/** Counts, says each failure and skip when it falls, and again in the summary. */
export class Tally {
  passed = 0;
  readonly failed: string[] = [];
  readonly skipped: string[] = [];
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  of(suite: string): Report {
    return {
      pass: () => {
        this.passed++;
      },
      fail: (name, why) => {
        const line = `${suite}: ${name}: ${why}`;
        this.failed.push(line);
        this.#write(`  FAILED ${line}`);
      },
      skip: (name, why) => {
        const line = `${suite}: ${name}: ${why}`;
        this.skipped.push(line);
        this.#write(`  skipped ${line}`);
      },
    };
  }

  summary(): string {
    const lines = this.failed.map((line) => `FAILED  ${line.split('\n', 1)[0]}`);
    lines.push(...this.skipped.map((line) => `skipped ${line}`));
    lines.push(`${this.passed} passed, ${this.failed.length} failed, ${this.skipped.length} skipped`);
    return lines.join('\n');
  }
}

function say(line: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  process.stdout.write(`${seconds} s  ${line}\n`);
}

/** Runs one program of the project; its output is shown only when it fails. */
async function command(report: Report, name: string, file: string, args: readonly string[]): Promise<void> {
  say(name);
  await new Promise<void>((resolve) => {
    execFile(file, args, { cwd: ROOT, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error === null) report.pass(name);
      else report.fail(name, `${error.message.split('\n')[0]}\n${stdout}${stderr}`.trimEnd());
      resolve();
    });
  });
}

async function quick(tally: Tally, files: readonly string[]): Promise<void> {
  const report = tally.of('check');
  const node = process.execPath;
  const script = (name: string): string => join(ROOT, 'node_modules', name);
  await Promise.all([
    command(report, 'types', node, [script('typescript/bin/tsc'), '--noEmit']),
    command(report, 'lint and format', node, [script('@biomejs/biome/bin/biome'), 'check', '.']),
    command(report, 'direction of imports', node, ['tools/structure.ts']),
    command(report, 'generated files', node, ['tools/generate.ts', '--check']),
  ]);
  await unit(tally, files);
}

/**
 * Each file in a process of its own, a core each. Not by `node --test`, which waits without end for a file that hangs, and for
 * whatever still holds its pipes.
 */
export async function unit(
  tally: Tally,
  files: readonly string[],
  everyMs = PROGRESS_MS,
  limitMs = FILE_LIMIT_MS,
): Promise<void> {
  say(`unit tests, ${files.length} files`);
  const report = tally.of('unit');
  let [done, passed] = [0, 0];
  const waiting = setInterval(() => {
    say(`unit tests: ${done} of ${files.length} files done, ${passed} tests passed so far`);
  }, everyMs);
  const took: { label: string; seconds: number }[] = [];
  const jobs = files.map((file) => async () => {
    const label = basename(file, '.test.ts');
    const at = performance.now();
    let failures = 0;
    const line = (text: string): void => {
      if (!text.startsWith(MARK)) return;
      const { name, failed, skipped } = JSON.parse(text.slice(MARK.length)) as Told;
      if (failed !== undefined) failures++;
      if (failed === undefined && skipped === undefined) passed++;
      if (failed !== undefined) report.fail(`${label}: ${name}`, failed);
      else if (skipped !== undefined) report.skip(`${label}: ${name}`, skipped);
      else report.pass(`${label}: ${name}`);
    };
    const args = [`--test-reporter=${join(import.meta.dirname, 'reporter.ts')}`, file];
    const { failed, why, text } = await output(process.execPath, args, { limitMs, line });
    if (failed && failures === 0) report.fail(label, `${why}\n${text}`.trimEnd());
    took.push({ label: `${basename(dirname(file))}/${label}`, seconds: (performance.now() - at) / 1000 });
    done++;
  });
  await inLanes(jobs, availableParallelism());
  clearInterval(waiting);
  took.sort((a, b) => b.seconds - a.seconds);
  const slowest = took.slice(0, 12).map(({ label, seconds }) => `${label} ${seconds.toFixed(0)}`);
  say(`unit tests ended; seconds of the slowest: ${slowest.join(', ')}`);
}

const unitFiles = (): string[] =>
  globSync('test/unit/**/*.test.ts', { cwd: ROOT })
    .map((file) => join(ROOT, file))
    .sort();

function isShort(file: string): boolean {
  return !LONG.some((name) => file.endsWith(`test/unit/${name}.test.ts`));
}

/** The unit tests once more under a Node that is fetched from npm and kept in .cache. */
async function underNode(report: Report, version: string): Promise<void> {
  const name = `unit tests under Node ${version}`;
  const prefix = join(ROOT, '.cache', `node-${version}`);
  const bin = join(prefix, 'node_modules/node/bin');
  if (!existsSync(join(bin, 'node'))) {
    say(`fetching Node ${version}`);
    const got = await output('npm', ['install', '--prefix', prefix, '--no-fund', '--no-audit', `node@${version}`], {});
    if (got.failed) return report.skip(name, `npm could not fetch it: ${got.text.trim().split('\n').at(-1)}`);
  }
  say(name);
  const types = version.startsWith('22.') ? '--experimental-strip-types --disable-warning=ExperimentalWarning' : '';
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, NODE_OPTIONS: types };
  const at = performance.now();
  const waiting = setInterval(() => say(`${name}, ${((performance.now() - at) / 1000).toFixed(0)} s so far`), 20_000);
  const ended = await output(join(bin, 'node'), [import.meta.filename, 'unit'], { env }).finally(() =>
    clearInterval(waiting),
  );
  const { failed, text } = ended;
  const lines = text.trimEnd().split('\n');
  const counts = /^\d+ passed, \d+ failed, \d+ skipped$/.test(lines.at(-1) ?? '') ? lines.at(-1) : 'it did not end';
  const broken = lines.filter((line) => line.startsWith('FAILED'));
  if (failed) report.fail(name, [counts, ...(broken.length > 0 ? broken : lines.slice(-20))].join('\n'));
  else report.pass(`${name}: ${counts}`);
}

interface Ended {
  readonly failed: boolean;
  /** How it ended. */
  readonly why: string;
  /** The lines that it printed, both streams, without those of the reporter. */
  readonly text: string;
}

interface Limits {
  readonly limitMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly line?: (text: string) => void;
}

/** Runs a program in a group of its own, and ends the group with it, or when its time is up. */
function output(
  file: string,
  args: readonly string[],
  { limitMs = SUITE_LIMIT_MS, env, line }: Limits,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: ROOT,
      // Not a part of the run that this one itself may be in.
      env: { ...(env ?? process.env), NODE_TEST_CONTEXT: undefined },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text: string[] = [];
    const streams = [child.stdout, child.stderr];
    const closed = streams.map((stream) => {
      const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
      lines.on('line', (one) => {
        line?.(one);
        if (one !== '' && !one.startsWith(MARK)) text.push(one);
      });
      return once(lines, 'close');
    });
    let over = false;
    const end = async (failed: boolean, why: string): Promise<void> => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      // Who outlives it may hold its pipes for ever.
      await Promise.race([Promise.all(closed), new Promise((left) => setTimeout(left, 500).unref())]);
      for (const stream of streams) stream.destroy();
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nobody is left.
      }
      resolve({ failed, why, text: text.join('\n') });
    };
    const timer = setTimeout(() => void end(true, `still running after ${limitMs / 1000} s`), limitMs);
    child.once('error', ({ message }) => void end(true, message));
    child.once('exit', (code, signal) => void end(code !== 0, `ended with ${signal ?? `code ${code}`}`));
  });
}

type Job = () => Promise<void>;

/** The suites that are wanted. */
async function lab(tally: Tally, wanted: readonly string[], soak = false): Promise<{ first: Job[]; then: Job[] }> {
  const files = globSync('test/lab/*.lab.ts', { cwd: ROOT })
    .filter((file) => wanted.length === 0 || wanted.some((name) => basename(file).includes(name)))
    .sort();
  const [first, then]: [Job[], Job[]] = [[], []];
  if (wanted.length > 0 && files.length === 0) {
    const all = globSync('test/lab/*.lab.ts', { cwd: ROOT }).map((file) => basename(file, '.lab.ts'));
    tally.of('lab').fail(wanted.join(' '), `no suite is called so; there are ${all.sort().join(', ')}`);
  }
  for (const [index, file] of files.entries()) {
    const label = `lab ${index + 1}/${files.length}`;
    try {
      const loaded = (await import(pathToFileURL(join(ROOT, file)).href)) as LabSuite;
      if (loaded.soak === true && !soak && wanted.length === 0) continue;
      (loaded.first === true ? first : then).push(() => suite(tally, label, loaded));
    } catch (thrown) {
      tally.of(basename(file, '.lab.ts')).fail('could be loaded', words(thrown));
    }
  }
  return { first, then };
}

async function inLanes(jobs: readonly Job[], lanes: number): Promise<void> {
  const left = [...jobs];
  const lane = async (): Promise<void> => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) await job();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function suite(tally: Tally, label: string, { name, limitMs, run: runSuite }: LabSuite): Promise<void> {
  const report = tally.of(name);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const counted: Report = {
    pass: (what) => {
      counts.passed++;
      report.pass(what);
    },
    fail: (what, why) => {
      counts.failed++;
      report.fail(what, why);
    },
    skip: (what, why) => {
      counts.skipped++;
      report.skip(what, why);
    },
  };
  const at = performance.now();
  const took = (): string => ((performance.now() - at) / 1000).toFixed(0);
  say(`${label}: ${name}`);
  const waiting = setInterval(() => say(`${label}: ${name}, ${took()} s so far`), 20_000);
  try {
    await within(limitMs ?? SUITE_LIMIT_MS, runSuite(counted));
  } catch (thrown) {
    counted.fail('ran to its end', words(thrown));
  } finally {
    clearInterval(waiting);
  }
  const { passed, failed, skipped } = counts;
  say(`${label}: ${name} took ${took()} s: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}

const words = (thrown: unknown): string =>
  thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`still running after ${ms / 60_000} minutes`)), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function main([what = 'quick', ...names]: readonly string[]): Promise<number> {
  const tally = new Tally((line) => process.stdout.write(`${line}\n`));
  if (what === 'quick') await quick(tally, unitFiles().filter(isShort));
  if (what === 'all') await quick(tally, unitFiles());
  if (what === 'all' || what === 'lab' || what === 'soak') {
    const { first, then } = await lab(tally, what === 'lab' ? names : [], what === 'soak');
    const nodes = OTHER_NODES.map((version) => () => underNode(tally.of('node'), version));
    await inLanes([...first, ...(what === 'all' ? nodes : []), ...then], LANES);
  }
  if (what === 'unit') await unit(tally, unitFiles());
  if (!['quick', 'unit', 'all', 'lab', 'soak'].includes(what)) {
    console.error('usage: node tools/test.ts quick | unit | all | lab [NAME...] | soak');
    return 2;
  }
  process.stdout.write(`\n${tally.summary()}\n`);
  return tally.failed.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) {
  // What a suite left running must not keep the driver from ending.
  process.exit(await main(process.argv.slice(2)));
}
