/** What x0d does where the kernel does not let it in, or not yet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { Log } from '../../../agent/core/log.ts';
import { opened } from '../../../agent/daemon/kernel.ts';
import type { Host } from '../../../agent/host/world.ts';

test('without the rights it says which are missing', async () => {
  const log = new Log('error', () => {});
  const refusals = [
    Object.assign(new Error('socket: Operation not permitted (EPERM)'), { code: 'EPERM' }),
    new AgentError('E_NETLINK', 'originators: EPERM', { errno: 'EPERM' }),
  ];
  for (const refusal of refusals) {
    const host = { open: () => Promise.reject(refusal) } as unknown as Host;
    const said = /EPERM.*: x0d has to run as root, or with CAP_NET_ADMIN and CAP_NET_RAW$/;
    await assert.rejects(
      opened(host, log, () => {}),
      { code: 'E_NETLINK', message: said },
    );
  }
  const other = { open: () => Promise.reject(new AgentError('E_SOCKET', 'socket: EMFILE')) } as unknown as Host;
  await assert.rejects(
    opened(other, log, () => {}),
    { message: 'socket: EMFILE' },
  );
});

test('what the kernel lacks, or does not answer yet, is waited for', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const lines: string[] = [];
  const log = new Log('error', (line) => void lines.push(line));
  const answers = [
    new AgentError('E_NETLINK_TIMEOUT', 'family batadv: no answer within 5000 ms'),
    new AgentError('E_NO_BATADV', 'the kernel has no batman-adv.'),
    null,
  ];
  let tries = 0;
  const host = {
    open: () => {
      const answer = answers[tries++]!;
      return answer === null ? Promise.resolve() : Promise.reject(answer);
    },
  } as unknown as Host;
  const missing: (string | null)[] = [];
  const end = opened(host, log, (why) => void missing.push(why));
  for (const expected of [1, 2, 3]) {
    await new Promise(setImmediate);
    assert.equal(tries, expected);
    t.mock.timers.tick(5000);
  }
  await end;
  assert.deepEqual(missing, [answers[0]!.message, answers[1]!.message, null]);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /no answer within 5000 ms\. Asking again every 5 s/);
});

test('what was asked or said is not closed twice', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const why of ['is it loaded?', 'it is not loaded.']) {
    const lines: string[] = [];
    let isThere = false;
    const host = { open: async () => assert.ok(isThere, new AgentError('E_NO_BATADV', why)) } as unknown as Host;
    const end = opened(host, new Log('error', (line) => void lines.push(line)), () => {});
    await new Promise(setImmediate);
    isThere = true;
    t.mock.timers.tick(5000);
    await end;
    assert.ok(lines[0]!.includes(`${why} Asking again`), lines[0]);
  }
});
