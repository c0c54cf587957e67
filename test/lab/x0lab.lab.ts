/**
 * x0lab as people run it: one scenario on real kernels, without agents and with them, and what its report says; an
 * expectation that cannot hold; an interruption, after which nothing is left.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Report as LabReport } from '../../tools/lab/report.ts';
import { prepareLab, umlMissing } from '../../tools/lab/uml.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'x0lab';

/** What a shell, a page or a command line would trip over, if it were given names. */
const NAMES = ['a;reboot', '$(halt -f)', '`halt`|id>/x', '<script>x</script> -rf'] as const;
const [FIRST, SECOND] = NAMES;
const PROGRAM = join(import.meta.dirname, '../../tools/x0lab');
const SCENARIO = {
  format: 1,
  name: 'short',
  topology: { kind: 'links', links: NAMES.map((name, n) => [name, NAMES[(n + 1) % NAMES.length]]) },
  settle_s: 3,
  // To a neighbour: of two ways that are as good batman-adv may choose the other one just before the cut.
  probes: [{ from: FIRST, to: SECOND, interval_ms: 5 }],
  timeline: [
    { at_s: 2, fault: 'carrier-loss', link: 'in-use', for_s: 9, name: 'cut' },
    // Again while it starts: then for good.
    { at_s: 12, fault: 'agent-killed', node: FIRST, for_s: 0.1 },
    { at_s: 12.2, fault: 'agent-killed', node: FIRST },
  ],
  duration_s: 16,
  expect: [
    { expect: 'found', within_s: 2 },
    { expect: 'repaired', within_s: 3 },
    { expect: 'no-false-actions' },
    { expect: 'settings-as-before', agent: 'both' },
    { expect: 'reachable', agent: 'both' },
    { expect: 'agents-alive' },
    // Nobody can: it has to be named, and nothing else.
    { expect: 'found', as: ['clock-stepped'] },
  ],
};

function started(args: readonly string[]): {
  child: ChildProcess;
  ended: Promise<{ code: number; out: string; err: string }>;
} {
  const settled = Promise.withResolvers<{ code: number; out: string; err: string }>();
  const child = execFile(PROGRAM, [...args], { maxBuffer: 64 << 20 }, (error, out, err) =>
    settled.resolve({ code: error ? Number(error.code) : 0, out, err }),
  );
  process.once('exit', () => child.kill());
  return { child, ended: settled.promise };
}

export async function run(report: Report): Promise<void> {
  const missing = umlMissing();
  if (missing !== undefined) return report.skip('a scenario', missing);
  prepareLab();
  const work = mkdtempSync(join(tmpdir(), 'x0lab-suite-'));
  const check = (what: string, holds: boolean, why: string): void => {
    if (holds) report.pass(what);
    else report.fail(what, why);
  };
  try {
    const file = join(work, 'short.json');
    const page = join(work, 'short.html');
    writeFileSync(file, JSON.stringify(SCENARIO));
    const [{ code, out, err }] = await Promise.all([
      started(['run', file, '--json', '--html', page]).ended,
      interrupted(file, check),
    ]);
    if (out === '') return report.fail('a scenario', `exit code ${code}: ${err.slice(-2000)}`);
    const told = JSON.parse(out) as LabReport;
    const [off, on] = told.runs;
    const failed = told.expectations.filter(({ held }) => !held);
    check(
      'what cannot hold is named, alone, and the exit code is 1',
      code === 1 && failed.length === 1 && failed[0]!.path === '$.expect[6]',
      JSON.stringify(failed),
    );
    const [cut] = on!.faults;
    check(
      'with agents the cut is found and repaired',
      cut!.detection_ms !== null && cut!.repair_ms !== null && cut!.named?.class === 'link-down',
      JSON.stringify(cut),
    );
    check(
      'they acted on it, and on nothing else',
      cut!.actions > 0 && on!.false_actions === 0,
      JSON.stringify(on!.actions),
    );
    const killed = on!.agents.find(({ router }) => router === FIRST);
    check('an agent that is killed while it starts is killed', killed?.state === 'taken', JSON.stringify(on!.agents));
    check(
      'without agents nobody finds or does anything',
      off!.actions.length === 0 && off!.faults[0]!.detection_ms === null,
      JSON.stringify(off),
    );
    const costs = [off, on].map((of) => of!.faults[0]!.probes[0]!.outage_ms);
    check('it costs less with agents', costs[1]! < costs[0]!, costs.join(' against '));
    const shown = readFileSync(page, 'utf8');
    check('the page is there', /^<!doctype html>[\s\S]*<\/html>\n$/.test(shown), 'it is not whole');
    check('names in it are text', shown.includes('a;reboot') && !shown.includes('<script>x'), 'one is not');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What the interrupted one starts has its files below a directory of its own, and names them on its command line. */
async function interrupted(file: string, check: (what: string, holds: boolean, why: string) => void): Promise<void> {
  const below = mkdtempSync(join(tmpdir(), 'x0lab-interrupted-'));
  const child = spawn(PROGRAM, ['run', file, '--agent', 'off'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TMPDIR: below },
  });
  process.once('exit', () => child.kill());
  const ended = new Promise<number | null>((settle) => child.once('close', settle));
  // The guest runs its script when it says something.
  await new Promise((settle) => child.stderr.once('data', settle));
  const during = runningBelow(below);
  child.kill('SIGINT');
  const code = await ended;
  check('interrupted, it ends with 130', code === 130, `it ended with ${code}`);
  for (let i = 0; i < 20 && runningBelow(below).length > 0; i++) await sleep(100);
  const left = [...runningBelow(below), ...readdirSync(below)];
  check(
    'interrupted, it leaves nothing',
    during.length > 0 && left.length === 0,
    left.join('; ') || 'nothing ran at all',
  );
  rmSync(below, { recursive: true, force: true });
}

function runningBelow(directory: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const line = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
      return line.includes(directory) ? [line.replaceAll('\0', ' ')] : [];
    } catch {
      // It has just ended.
      return [];
    }
  });
}
