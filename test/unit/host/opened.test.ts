/** What x0d says where the kernel does not let it in. */
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
