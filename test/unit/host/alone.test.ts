/** Who may keep an agent from starting: another agent, and nobody else who happens to be on the machine. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const skip = !existsSync(join(ROOT, 'native', 'build', 'x0shim.node'))
  ? 'the native part is not built (make -C native)'
  : process.getuid?.() !== 0
    ? 'needs root, to be several users'
    : false;
const [AGENT, OTHER] = [65_534, 65_533];
const LISTENS = `import net from 'node:net';
net.createServer().listen(NAME, () => console.log('holds'));`;
/** Its queue is full before it ever lets one in. */
const FULL = `import fs from 'node:fs';
import net from 'node:net';
net.createServer().listen({ path: NAME, backlog: 1 }, () => {
  for (let n = 0; n < 8; n++) net.connect(NAME).on('error', () => {});
  fs.writeSync(1, 'holds');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

function node(t: TestContext, uid: number, script: string): { child: ChildProcess; said: () => string } {
  let said = '';
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { uid, gid: uid, cwd: '/' });
  child.stdout!.on('data', (text) => {
    said += text;
  });
  child.stderr!.on('data', (text) => {
    said += text;
  });
  t.after(() => child.kill('SIGKILL'));
  return { child, said: () => said };
}

/** What an agent that is no root says, and whether it goes on. */
async function agent(t: TestContext, holder: number, how: string): Promise<string> {
  const mesh = `x0-${Math.random().toString(36).slice(2, 10)}`;
  const held = node(t, holder, how.replaceAll('NAME', JSON.stringify(`\0x0tta6bl4 ${mesh}`)));
  while (!held.said().includes('holds')) await once(held.child.stdout!, 'data');
  const from = (path: string) => JSON.stringify(join(ROOT, path));
  const { child, said } = node(
    t,
    AGENT,
    `import { beAlone } from ${from('agent/host/alone.ts')};
    import { createRequire } from 'node:module';
    const native = createRequire('/')(${from('native/build/x0shim.node')});
    const log = { warning: (text) => console.log(text) };
    await beAlone(${JSON.stringify(mesh)}, native, log).then(() => console.log('goes on'), ({ code }) => console.log(code));`,
  );
  await once(child, 'close');
  return said();
}

test('an agent that is no root and cannot look into others: who it is tells the kernel', { skip }, async (t) => {
  assert.match(await agent(t, OTHER, LISTENS), /somebody who cannot be one\ngoes on/);
  assert.match(await agent(t, AGENT, LISTENS), /^E_SOCKET/);
  assert.match(await agent(t, 0, LISTENS), /^E_SOCKET/);
});

test('whoever has the name and lets nobody in is no agent', { skip }, async (t) => {
  assert.match(await agent(t, OTHER, FULL), /somebody who cannot be one\ngoes on/);
});
