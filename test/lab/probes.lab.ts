/** Round-trip times over a live mesh, by ICMP and ICMPv6: to a neighbour, over two hops, and to who is not there. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { Probes } from '../../agent/report/api/probes.ts';
import { addressOf, run as command, Mesh, nsOf } from '../../tools/lab/mesh.ts';
import { startAgent } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, skip, Watched } from './suite.ts';

export const name = 'probes';

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'icmp' }]);

const NOBODY = '10.77.0.200';
/** The lab has IPv6 off, but for this. */
const V6 = ['fd77::1', 'fd77::2'] as const;

async function icmp(): Promise<void> {
  try {
    createRequire(import.meta.url)('raw-socket');
  } catch (thrown) {
    skip('probes', `raw-socket: ${(thrown as Error).message.split('\n', 1)[0]}`);
    return;
  }
  const mesh = await Mesh.build('line3');
  await mesh.warm();
  for (const [n, address] of V6.entries()) {
    const script = `sysctl -qw net.ipv6.conf.bat0.disable_ipv6=0; ip address add ${address}/64 dev bat0 nodad`;
    await command('ip', ['netns', 'exec', nsOf(n), 'sh', '-ec', script]);
  }
  const targets = [addressOf(1), addressOf(2), V6[1], NOBODY];
  const watched = new Watched(await startAgent(0, { config: { probe: { targets, interval: '1' } } }));
  await check('one hop, two hops, IPv6: answered; nobody: lost', async () => {
    const asked = await eventually('five questions each', 60_000, async () => {
      const { targets: rows } = await watched.control.get<Probes>('/mesh/probes');
      return rows.length === 4 && rows.every(({ sent }) => sent >= 5) && rows;
    });
    const [near, far, six, nobody] = asked as [
      (typeof asked)[0],
      (typeof asked)[0],
      (typeof asked)[0],
      (typeof asked)[0],
    ];
    for (const one of [near, far, six])
      assert.ok(one.answered >= one.sent - 2 && one.medianMs! > 0 && one.medianMs! < 500, JSON.stringify(one));
    assert.ok(nobody.answered === 0 && nobody.loss === 1, JSON.stringify(nobody));
    return asked.map(({ target, medianMs }) => `${target} ${medianMs ?? '-'} ms`).join(', ');
  });
  await check('they stand in the metrics', async () => {
    const rtt = await watched.metric('mesh_probe_rtt_seconds', { target: addressOf(2) });
    assert.ok(rtt > 0 && rtt < 1);
    assert.ok((await watched.metric('mesh_probes_total', { step: 'answered' })) >= 9);
  });
}

await insideOf(import.meta.filename, { icmp });
