/**
 * What the lab suites have in common. A suite is one file with two sides: `run` boots kernels in which the same file runs
 * again, and there it checks things and says what came of each, a JSON line a time.
 */
import assert from 'node:assert/strict';
import { cpSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readRecording } from '../../agent/record/format.ts';
import { replay } from '../../agent/twin/replay.ts';
import { Control } from '../../tools/lab/ask.ts';
import { signalOf } from '../../tools/lab/guest.ts';
import { KERNELS, type KernelName } from '../../tools/lab/kernels.ts';
import { type Mesh, nsOf, run } from '../../tools/lab/mesh.ts';
import type { Agent } from '../../tools/lab/scenario.ts';
import { differences, type Snapshot, snapshots } from '../../tools/lab/snapshot.ts';
import type { Report } from '../../tools/test.ts';
import { ranNs } from './ran.ts';

export { snapshot, snapshots } from '../../tools/lab/snapshot.ts';

type Line =
  | { readonly pass: string }
  | { readonly fail: string; readonly why: string }
  | { readonly skip: string; readonly why: string }
  | { readonly say: string };

/** A directory for the agents' logs, for whoever looks into a failure. */
const LOGS = process.env.X0_LAB_LOGS;
/** Another agent than dist/x0d.mjs: to try a change without taking the others' away. */
const BUNDLE = process.env.X0_LAB_BUNDLE;

/** One kernel with this suite in it: its part and further arguments. */
export interface Part {
  readonly name: string;
  readonly args?: readonly string[];
}

/** Runs parts of a suite, each in a kernel of its own, at most `width` side by side. */
export async function inKernels(
  report: Report,
  file: string,
  parts: readonly Part[],
  width = 2,
  kernel: KernelName = 'uml',
): Promise<void> {
  const missing = KERNELS[kernel].missing();
  if (missing !== undefined) {
    for (const { name } of parts) report.skip(name, missing);
    return;
  }
  KERNELS[kernel].prepare();
  const waiting = [...parts];
  const worker = async (): Promise<void> => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift())
      await inKernel(report, file, part, kernel);
  };
  await Promise.all(Array.from({ length: Math.min(width, parts.length) }, worker));
}

/** By these an emulator dies of its own faults; SIGKILL is somebody's, or the machine's for want of memory. */
const FAULTS: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT']);

/**
 * One part in one kernel. Nothing of ours runs in QEMU: where that dies of a fault of its own, and nothing had failed until
 * then, its part is started once more, and what was said before does not count; so it is where Node, on the emulated CPU, dies
 * before the part has said its first word. User-mode Linux is the kernel itself.
 */
async function inKernel(report: Report, file: string, part: Part, kernel: KernelName): Promise<void> {
  const { name } = part;
  const say = (text: string) => process.stdout.write(`           ${name}: ${text}\n`);
  let ended = await once(file, part, kernel, say);
  const died = kernel === 'qemu' ? ofTheEmulator(ended) : null;
  if (died !== null) {
    say(`${died}, and no check had failed: once more, from the start`);
    ended = await once(file, part, kernel, say);
  }
  const { lines, code, crash, console } = ended;
  for (const line of lines) {
    if ('pass' in line) report.pass(`${name}: ${line.pass}`);
    else if ('fail' in line) report.fail(`${name}: ${line.fail}`, line.why);
    else if ('skip' in line) report.skip(`${name}: ${line.skip}`, line.why);
  }
  if (code === 0) return;
  const signal = signalOf(code);
  const how =
    crash !== null
      ? `${kernel} itself died by ${crash}: that is no check that failed, but those that were to follow were not made`
      : signal !== null
        ? `the suite's own process in the kernel died by ${signal}`
        : `exit code ${code}`;
  report.fail(`${name}: ran to its end`, `${how}\n${console.slice(-30).join('\n')}`);
}

/** What died that is not ours; null where nothing did. */
function ofTheEmulator({ crash, code, lines }: Ended): string | null {
  if (FAULTS.has(crash ?? '') && !lines.some((line) => 'fail' in line)) return `QEMU itself died by ${crash}`;
  const signal = crash === null ? signalOf(code) : null;
  return FAULTS.has(signal ?? '') && lines.length === 0 ? `Node died by ${signal} in QEMU before its first word` : null;
}

interface Ended {
  readonly lines: readonly Line[];
  readonly code: number;
  readonly crash: string | null;
  readonly console: readonly string[];
}

async function once(
  file: string,
  { name, args = [] }: Part,
  kernel: KernelName,
  say: (text: string) => void,
): Promise<Ended> {
  const console: string[] = [];
  const lines: Line[] = [];
  if (kernel === 'qemu') say("boots Debian's kernel in QEMU, some ten seconds");
  const guest = KERNELS[kernel].boot({
    script: file,
    args: [name, ...args],
    onConsole: (line) => console.push(line),
    ...(LOGS === undefined ? {} : { results: LOGS }),
    env: {
      ...(LOGS === undefined ? {} : { X0_LAB_LOGS: basename(file, '.lab.ts') }),
      ...(BUNDLE === undefined ? {} : { X0_LAB_BUNDLE: BUNDLE }),
    },
    onLine: (text) => {
      const line = JSON.parse(text) as Line;
      lines.push(line);
      if ('say' in line) say(line.say);
      else if ('pass' in line) say(`ok: ${line.pass}`);
      else say('fail' in line ? `failed: ${line.fail}` : `skipped: ${line.skip}`);
    },
  });
  const onExit = (): void => guest.kill();
  process.once('exit', onExit);
  const code = await guest.exited;
  process.off('exit', onExit);
  return { lines, code, crash: guest.crashedBy(), console };
}

// ---- inside the kernel ----

const tell = (line: Line): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
export const say = (text: string): void => tell({ say: text });
export const skip = (what: string, why: string): void => tell({ skip: what, why });

/** Thrown by what is checked where the machine, not the mesh, decided how it ended: it is skipped with that reason. */
export class Undecided extends Error {}

/**
 * One thing that has to hold; what `work` answers is told beside the name (never part of it: it may hold figures). Answers
 * whether it holds.
 */
export async function check(name: string, work: () => Promise<unknown> | unknown): Promise<boolean> {
  try {
    const figures = await work();
    tell({ pass: name });
    if (typeof figures === 'string') say(`    ${figures}`);
    return true;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    tell(thrown instanceof Undecided ? { skip: name, why } : { fail: name, why });
    return false;
  }
}

/** Runs the inner side if this process is it. Each part is a function by its name. */
export async function insideOf(file: string, parts: Readonly<Record<string, (args: string[]) => Promise<void>>>) {
  if (process.argv[1] !== file) return;
  const [name = '', ...args] = process.argv.slice(2);
  let code = 0;
  process.env.X0_LAB_RECORD = '1';
  try {
    await parts[name]!(args);
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).stack}\n`);
    code = 1;
  }
  await replayAll();
  if (LOGS !== undefined) {
    for (const tape of globSync('/tmp/x0/r*/tape-*.jsonl'))
      cpSync(tape, join(process.env.LAB_RESULTS!, `${LOGS}-${name}-${basename(dirname(tape))}-${basename(tape)}`));
    for (const log of globSync('/tmp/x0/r*/log'))
      cpSync(log, join(process.env.LAB_RESULTS!, `${LOGS}-${name}-${basename(dirname(log))}.log`), { force: true });
  }
  process.exit(code);
}

/** Whatever the agents of this suite decided, their recordings decide again. */
async function replayAll(): Promise<void> {
  for (const tape of globSync('/tmp/x0/r*/tape-*.jsonl').sort()) {
    const about = `${basename(dirname(tape))}, ${basename(tape, '.jsonl')}`;
    await check(`the recording of ${about} replays to the same decisions`, () => {
      const { difference, turns, decisions } = replay(readRecording(readFileSync(tape, 'utf8')));
      assert.equal(difference, null, JSON.stringify(difference));
      return `${turns} events, ${decisions} decisions`;
    });
  }
}

/** Waits until `probe` answers something other than undefined or false; throws `what` after `ms` in which this process ran. */
export async function eventually<T>(what: string, ms: number, probe: () => Promise<T | undefined | false>): Promise<T> {
  const end = ranNs() + ms * 1e6;
  for (let pause = 20; ; pause = Math.min(500, pause * 2)) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (ranNs() > end) throw new Error(`${what}: not within ${ms / 1000} s`);
    await sleep(pause);
  }
}

/** The mesh is as it was: waits, because carriers and addresses settle, then says what still differs. */
export async function sameAs(before: readonly Snapshot[], mesh: Mesh, ms = 10_000): Promise<void> {
  const end = ranNs() + ms * 1e6;
  for (;;) {
    const now = await snapshots(mesh);
    try {
      for (const [router, then] of before.entries()) assert.deepEqual(now[router], then, `r${router}`);
      return;
    } catch (thrown) {
      if (ranNs() > end) {
        const drift = before.flatMap((then, router) =>
          differences(then, now[router]!).map((one) => `r${router} ${one}`),
        );
        throw drift.length > 0 ? new Error(`${drift.length} differences: ${drift.slice(0, 8).join('; ')}`) : thrown;
      }
      await sleep(500);
    }
  }
}

export interface Entry {
  readonly id: number;
  readonly fault: string;
  readonly class: string;
  readonly interface: string | null;
  readonly peer: string | null;
  readonly step: string;
  readonly action: string;
  readonly afterMs: number;
  readonly faultAtNs: number;
  readonly why: string;
  readonly result: string | null;
}

/** An agent as a suite sees it: its process, its control socket, its journal. */
export class Watched {
  readonly agent: Agent;
  readonly control: Control;

  constructor(agent: Agent, patienceMs?: number) {
    this.agent = agent;
    this.control = new Control(agent.socket, patienceMs);
  }

  journal = async (since = 0): Promise<Entry[]> =>
    (await this.control.get<{ entries: Entry[] }>(`/heal/log?limit=1000&since=${since}`)).entries;

  /** The number of the newest entry. */
  newest = async (): Promise<number> => (await this.journal()).at(-1)?.id ?? 0;

  /** The first entry like this after another. */
  entry(wanted: Partial<Entry>, since: number, ms: number): Promise<Entry> {
    const isLike = (entry: Entry) =>
      Object.entries(wanted).every(([key, value]) => entry[key as keyof Entry] === value);
    const what = `r${this.agent.router} journals ${JSON.stringify(wanted)}`;
    return eventually(what, ms, async () => (await this.journal(since)).find(isLike));
  }

  async metrics(): Promise<string> {
    const script = "fetch('http://127.0.0.1:9091/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))";
    return run('ip', ['netns', 'exec', nsOf(this.agent.router), process.execPath, '-e', script]);
  }

  /** The sum over all series of a metric whose labels hold all of these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    let sum = 0;
    for (const line of (await this.metrics()).split('\n')) {
      const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match?.[1] !== name) continue;
      if (Object.entries(labels).every(([key, value]) => (match[2] ?? '').includes(`${key}="${value}"`)))
        sum += Number(match[3]);
    }
    return sum;
  }
}
