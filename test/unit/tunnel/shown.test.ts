/** Tunnels as the API, the metrics and x0ctl show them; and what x0ctl says where no agent runs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { EXIT } from '../../../agent/ctl/exit.ts';
import { main } from '../../../agent/ctl/main.ts';
import { tunnelsText } from '../../../agent/ctl/tunnels.ts';
import { tunnelsFile, writeTunnels } from '../../../agent/host/tunnel/memory.ts';
import { type TunnelShown, tunnelsShape } from '../../../agent/report/api/tunnels.ts';
import { answer } from '../../../agent/report/api.ts';
import { collect, Metrics } from '../../../agent/report/metrics.ts';
import { mismatch, type Of } from '../../../agent/report/shape.ts';
import { screen } from '../ctl/screen.ts';
import { sources } from '../report/fixture.ts';

const UP: TunnelShown = {
  name: 'home',
  peer: 'spiffe://x0tta6bl4.mesh/router/attic',
  state: 'up',
  slot: 'b',
  interface: 'wgb-home',
  hard: 'vx-home',
  leads: true,
  since: 3 * SECOND,
  renewals: 41,
  failures: 2,
  trouble: null,
  look: { key: 'k', handshakeNs: 5.4 * SECOND, rxBytes: 1000, txBytes: 2000, endpoint: '192.0.2.7:51821' },
};
const STARTING: TunnelShown = {
  ...UP,
  name: 'roof',
  state: 'starting',
  slot: null,
  interface: null,
  hard: null,
  since: null,
  renewals: 0,
  trouble: 'nobody there',
  look: null,
};

function asked(tunnels: readonly TunnelShown[] | null): Of<typeof tunnelsShape> {
  const caller = { name: 'root', mayChange: true };
  const request = { method: 'GET', url: '/tunnels', body: '', caller };
  return JSON.parse(answer(sources({ tunnels: () => tunnels }), request).body) as Of<typeof tunnelsShape>;
}

test('the API answers in its shape, also where there are none', () => {
  for (const tunnels of [[UP, STARTING], [], null]) assert.equal(mismatch(tunnelsShape.schema, asked(tunnels)), null);
  const [home] = asked([UP]).tunnels!;
  assert.deepEqual(
    [home!.keySeconds, home!.handshakeSeconds, home!.interface, home!.hardInterface, home!.receivedBytes],
    [7, 5, 'wgb-home', 'vx-home', 1000],
  );
  assert.equal(asked(null).tunnels, null);
  const before = asked([{ ...UP, look: { ...UP.look!, handshakeNs: 56 * 365 * 86_400 * SECOND } }]).tunnels!;
  assert.equal(before[0]!.handshakeSeconds, null, 'a handshake of before the clock was set');
});

test('metrics: up, how old the key is, and what became of renewals', () => {
  const metrics = new Metrics();
  collect(metrics, sources({ tunnels: () => [UP, STARTING] }));
  const lines = metrics.render().split('\n');
  for (const line of [
    'mesh_tunnel_up{tunnel="home"} 1',
    'mesh_tunnel_up{tunnel="roof"} 0',
    'mesh_tunnel_key_age_seconds{tunnel="home"} 7',
    'mesh_tunnel_renewals_total{tunnel="home",outcome="done"} 41',
    'mesh_tunnel_renewals_total{tunnel="home",outcome="failed"} 2',
  ])
    assert.ok(lines.includes(line), line);
  assert.ok(!lines.some((line) => line.startsWith('mesh_tunnel_key_age_seconds{tunnel="roof"}')));
});

test('x0ctl tunnels: a line each, and why where one does not come up', () => {
  const text = tunnelsText(asked([UP, STARTING]), { columns: 200, color: false });
  assert.match(text, /home +up +wgb-home +7\.0s +5\.0s +41 +192\.0\.2\.7:51821 +x0tta6bl4\.mesh\/router\/attic/);
  assert.match(text, /roof +starting +- +- +- +0 +-/);
  assert.match(text, /roof: nobody there\n$/);
  assert.match(tunnelsText(asked(null), { columns: 80, color: false }), /No tunnel is configured/);
});

test('x0ctl status without an agent tells what forwards on, and since when with which key', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-tunnel-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 'ctl.sock');
  const since = Date.now() - 20_000;
  const evil = {
    name: 'home\u001b[2J',
    peer: 'p',
    interface: 'wga-home',
    key: 'k',
    identity: '',
    since,
    addresses: [],
  };
  writeTunnels(tunnelsFile(socket), [evil]);
  const to = screen();
  assert.equal(await main(['status', '--socket', socket], to), EXIT.unreachable);
  assert.match(to.complained, /the agent does not run/);
  assert.match(to.written, /tunnel home\S+ to p forwards on over wga-home with its key of \d{4}-.*Z, 2\ds old\n/);
  assert.ok(!to.written.includes('\u001b'));
  to.written = '';
  writeTunnels(tunnelsFile(socket), [{ ...evil, name: 'home', since: 40_000 }]);
  await main(['status', '--socket', socket], to);
  assert.match(
    to.written,
    /^tunnel home to p forwards on over wga-home with its key of before this router's clock was set\n/m,
  );
  to.written = '';
  assert.equal(await main(['status', '--json', '--socket', socket], to), EXIT.unreachable);
  assert.equal((JSON.parse(to.written) as { error: { code: string } }).error.code, 'E_AGENT_UNREACHABLE');
});
