/**
 * Confirm or revert on a real mesh: a change that is followed by the loss of everybody is taken back, byte for byte, by a
 * reload and by a restart; one after which the mesh is whole stays; a person may decide sooner.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh } from '../../tools/lab/mesh.ts';
import { agentConfig, agentDir, startAgent, startAgents, stopAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, Watched } from './suite.ts';

export const name = 'configuration on trial';
/** Its rooms have unit tests for every day. */
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'pair' }]);

/** Shorter than five seconds a trial does not look. */
const WITHIN_S = 8;

async function pair(): Promise<void> {
  const mesh = await Mesh.build('line2', {});
  await mesh.warm();
  const link = mesh.links[0]!;
  const file = join(agentDir(0), 'config');
  const config = { mesh: { revert_after: String(WITHIN_S) } };
  let first = new Watched((await startAgents([0], { config }))[0]!);
  const others = await startAgents([1], { config });
  // A person's own hand is kept: comments, order, what nobody knows.
  const original = `# mine\n${agentConfig(0, config)}\nconfig mine 'mine'\n\toption x '1'\n`;
  const secondsLeft = async (): Promise<number | null> =>
    (await first.control.get<{ secondsLeft: number | null }>('/config/trial')).secondsLeft;
  const poll = async (): Promise<unknown> =>
    (await first.control.get<{ config: { heal: { poll_interval: number } } }>('/config')).config.heal.poll_interval;
  const changeTo = async (text: string, wanted: number): Promise<void> => {
    writeFileSync(file, text);
    first.agent.kill('SIGHUP');
    await eventually(`heal.poll_interval is ${wanted}`, 5000, async () => (await poll()) === wanted);
  };
  const changed = (ms: number): string =>
    original.replace("option mode 'act'", `option mode 'act'\n\toption poll_interval '${ms}'`);

  await sleep(6000);
  writeFileSync(file, original);
  first.agent.kill('SIGHUP');
  await sleep(500);

  await check('a change without loss stays, without a word from anybody', async () => {
    await changeTo(changed(900), 900);
    assert.ok((await secondsLeft())! > 0, 'it is on trial');
    await eventually('it is over', (WITHIN_S + 5) * 1000, async () => (await secondsLeft()) === null);
    assert.equal(readFileSync(file, 'utf8'), changed(900));
  });

  await check('a change that is followed by the loss of the mesh is taken back, byte for byte', async () => {
    await changeTo(changed(800), 800);
    await mesh.cut(link);
    await eventually('taken back', (WITHIN_S + 8) * 1000, async () => (await poll()) === 900);
    assert.equal(readFileSync(file, 'utf8'), changed(900));
    const { agent } = await first.control.get<{ agent: { degraded: { part: string; why: string }[] } }>('/mesh/status');
    assert.match(
      agent.degraded.find(({ part }) => part === 'configuration')?.why ?? '',
      /taken back: .*reached before/,
    );
    await mesh.mend(link);
    await mesh.warm();
    assert.equal(await secondsLeft(), null, 'what was taken back is not tried again');
  });

  await check('x0ctl config confirm ends it at once', async () => {
    await sleep(4000);
    await changeTo(changed(700), 700);
    await first.control.post('/config/confirm', {});
    assert.equal(await secondsLeft(), null);
    await mesh.cut(link);
    await sleep((WITHIN_S + 3) * 1000);
    assert.equal(readFileSync(file, 'utf8'), changed(700), 'kept, whatever comes');
    await mesh.mend(link);
    await mesh.warm();
  });

  await check('x0ctl config revert takes it back at once', async () => {
    await sleep(4000);
    await changeTo(changed(600), 600);
    await first.control.post('/config/revert', {});
    await eventually('taken back', 5000, async () => (await poll()) === 700);
    assert.equal(readFileSync(file, 'utf8'), changed(700));
  });

  await check('what counts from a restart only is tried after it', async () => {
    await sleep(4000);
    first.agent.kill('SIGTERM');
    await first.agent.exited;
    await mesh.cut(link);
    const generic = `${changed(700)}\nconfig bpf 'bpf'\n\toption generic '0'\n`;
    first = new Watched(await startAgent(0, { config: { ...config, bpf: { generic: '0' } } }));
    assert.notEqual(readFileSync(file, 'utf8'), generic);
    const code = await Promise.race([first.agent.exited, sleep((WITHIN_S + 8) * 1000)]);
    assert.equal(code, 0, 'it ends itself, to be started again');
    assert.equal(readFileSync(file, 'utf8'), changed(700));
    await mesh.mend(link);
  });

  await stopAgents(others);
}

await insideOf(import.meta.filename, { pair });
