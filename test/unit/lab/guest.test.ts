/** How a kernel of the lab ended: whether the script inside, we, or a fault of the emulator itself. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { follow, runScript, signalOf } from '../../../tools/lab/guest.ts';

/** A shell in the place of the emulator, held by a process in the place of the tether. */
async function end(script: string, kill = false): Promise<{ code: number; crash: string | null }> {
  const tether = `sh -c "$0" & child=$!; trap 'kill $child; exit 143' TERM; wait $child`;
  const child = spawn('sh', ['-c', tether, script], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const lines = child.stdio[3] as Socket;
  const guest = follow(child, [], lines, lines, { script: '', onConsole() {} });
  if (kill) setTimeout(() => guest.kill(), 100);
  return { code: await guest.exited, crash: guest.crashedBy() };
}

const says = (code: number) => `printf '\\036lab-start\\n\\036lab-exit ${code}\\n' >&3; exec sleep 20`;

test("the emulator's own death by a signal is told from the script's, and from what we ended", async () => {
  const [segv, abort, left, script, inside, ours] = await Promise.all([
    end('kill -SEGV $$'),
    end('kill -ABRT $$'),
    end('exit 3'),
    end(says(1)),
    end(says(139)),
    end('exec sleep 20', true),
  ]);
  assert.deepEqual(segv, { code: 255, crash: 'SIGSEGV' });
  assert.deepEqual(abort, { code: 255, crash: 'SIGABRT' });
  assert.deepEqual(left, { code: 255, crash: null });
  assert.deepEqual(script, { code: 1, crash: null });
  assert.deepEqual(inside, { code: 139, crash: null });
  assert.deepEqual(ours, { code: 255, crash: null });
  assert.deepEqual([139, 1, 128, 255].map(signalOf), ['SIGSEGV', null, null, null]);
});

test('a guest runs its script as this process runs its own: older Nodes are told to strip types there too', (t) => {
  const { NODE_OPTIONS } = process.env;
  t.after(() => {
    if (NODE_OPTIONS === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = NODE_OPTIONS;
  });
  const exported = (options: string, env: Record<string, string> = {}) => {
    process.env.NODE_OPTIONS = options;
    return runScript({ script: '/x/inside.ts', env }, '/x', '/dev/null')
      .split('\n')
      .filter((line) => line.startsWith('export NODE_OPTIONS='));
  };
  assert.deepEqual(exported('--experimental-strip-types'), ["export NODE_OPTIONS='--experimental-strip-types'"]);
  assert.deepEqual(exported('--x', { NODE_OPTIONS: '--y' }), ["export NODE_OPTIONS='--y'"]);
  assert.deepEqual(exported(''), []);
});
