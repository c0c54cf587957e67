/**
 * The shim, the connection and the undo helper on this machine's own kernel. Needs root; see scenarios.ts. X0_TEST_RUNNER
 * is a command line that each scenario's Node is run by, X0_TEST_SLOW how much longer it may take (tools/native.ts).
 */
import assert from 'node:assert/strict';
import { type ExecFileException, execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type BpfError, native, undoHelperPath } from '../../../agent/host/native.ts';
import { BPF_SCENARIOS, TRANSMIT_SCENARIOS } from './bpf-scenarios.ts';
import { SCENARIOS, SLOW } from './scenarios.ts';

/** Unshare's: also processes, so that none outlives its scenario, be it stopped (agent-that-arms) or a helper. */
const APART = ['--net', '--pid', '--fork', '--kill-child', '--mount-proc'];

function obstacle(): string | false {
  try {
    native();
    undoHelperPath();
  } catch (error) {
    return (error as Error).message;
  }
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  if (spawnSync('unshare', [...APART, 'true']).status !== 0) return 'this kernel or container gives no namespaces';
  return false;
}

/** Compiles the BPF objects of the tests into `into`; a sentence where that cannot be done or they could not be used. */
function bpfObstacle(into: string): string | false {
  const missing = native().bpfObstacle();
  if (missing !== null) return missing;
  const multiarch = `/usr/include/${{ x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch}-linux-gnu`;
  const source = join(import.meta.dirname, 'shim.bpf.c');
  for (const [name, ...more] of [['shim'], ['refused', '-DREFUSED']]) {
    const flags = ['-O2', '-g', '-target', 'bpf', '-idirafter', multiarch, ...more];
    const built = spawnSync('clang', [...flags, '-c', source, '-o', join(into, `${name}.o`)], { encoding: 'utf8' });
    if (built.error !== undefined) return 'there is no clang to compile BPF objects with';
    assert.equal(built.status, 0, built.stderr);
  }
  try {
    native()
      .openBpf(readFileSync(join(into, 'shim.o')))
      .close();
  } catch (error) {
    const { code, message, log } = error as BpfError;
    if (['EPERM', 'ENOSYS'].includes(code)) return `this kernel or container lets nobody load BPF: ${message}`;
    throw new Error(`${message}\n${log}`);
  }
  return false;
}

const skip = obstacle();
const objects = mkdtempSync(join(tmpdir(), 'x0-bpf-'));
after(() => rmSync(objects, { recursive: true, force: true }));
const bpfSkip = skip || bpfObstacle(objects);
const { NODE_TEST_CONTEXT: _, ...env } = process.env;
const runner = (process.env.X0_TEST_RUNNER ?? '').split(' ').filter((word) => word !== '');

function runAll(file: string, scenarios: Readonly<Record<string, unknown>>, skipped: string | false): void {
  for (const name of Object.keys(scenarios)) {
    if (name === 'agent-that-arms') continue; // the victim of another one
    test(name, { skip: skipped, timeout: 60_000 * SLOW }, async () => {
      const command = [...APART, ...runner, process.execPath, join(import.meta.dirname, file), name];
      const options = { timeout: 50_000 * SLOW, killSignal: 'SIGKILL' as const, env: { ...env, X0_TEST_BPF: objects } };
      // Not spawnSync: what has passed is then told as it passes, which under valgrind is worth it.
      const [error, said] = await new Promise<[ExecFileException | null, string]>((settle) => {
        execFile('unshare', command, options, (failed, _, stderr) => settle([failed, stderr]));
      });
      assert.equal(error, null, `${error?.signal ?? error?.code ?? ''} ${said}`);
    });
  }
}

runAll('scenarios.ts', SCENARIOS, skip);
runAll('bpf-scenarios.ts', TRANSMIT_SCENARIOS, skip);
runAll('bpf-scenarios.ts', BPF_SCENARIOS, bpfSkip);
