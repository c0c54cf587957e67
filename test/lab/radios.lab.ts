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
  const { stdout, stderr } = await promisify(execFile)(PROGRAM, args, { maxBuffer: 64 << 20 }).catch(
    // Not as expected: the report says what.
    (thrown: { stdout: string; stderr: string }) => thrown,
  );
  if (stdout === '') return report.fail('a scenario over radios', stderr.slice(-2000));
  for (const { path, expect, held, why } of (JSON.parse(stdout) as LabReport).expectations) {
    if (held) report.pass(`${path} ${expect}: ${why}`);
    else report.fail(`${path} ${expect}`, why);
  }
}
