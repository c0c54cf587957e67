/** x0lab over emulated radios: a scenario that comes with it, with loss in the air and a radio that falls silent. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Report as LabReport } from '../../tools/lab/report.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'radios';
/** Suite wifi has the same radios for every day. */
export const soak = true;

const PROGRAM = join(import.meta.dirname, '../../tools/x0lab');

export async function run(report: Report): Promise<void> {
  const args = ['run', 'radios', '--kernel', 'qemu', '--agent', 'on', '--json'];
  const play = () =>
    promisify(execFile)(PROGRAM, args, { maxBuffer: 64 << 20 }).catch(
      // Not as expected: the report says what.
      (thrown: { stdout: string; stderr: string }) => thrown,
    );
  const reportOf = ({ stdout }: { stdout: string }): Partial<LabReport> => (stdout === '' ? {} : JSON.parse(stdout));
  let played = await play();
  if (reportOf(played).expectations === undefined) {
    // The emulator, or Node in it, has died before there was anything to judge: once more, as every suite in QEMU.
    process.stdout.write(`           no report, once more: ${(played.stdout || played.stderr).slice(-500).trim()}\n`);
    played = await play();
  }
  const { expectations } = reportOf(played);
  if (expectations === undefined)
    return report.fail('a scenario over radios', (played.stdout || played.stderr).slice(-2000));
  for (const { path, expect, held, why } of expectations) {
    if (held) report.pass(`${path} ${expect}: ${why}`);
    else report.fail(`${path} ${expect}`, why);
  }
}
