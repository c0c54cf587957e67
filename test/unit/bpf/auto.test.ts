/** bpf.enabled = auto: on where somebody installed the objects, and nothing elsewhere but a word of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { DEFAULTS, SECTIONS } from '../../../agent/config/schema.ts';
import { Log } from '../../../agent/core/log.ts';
import type { Agent } from '../../../agent/daemon/part.ts';
import { xdp } from '../../../agent/daemon/xdp.ts';
import type { Native } from '../../../agent/host/native.ts';

const folder = mkdtempSync(join(tmpdir(), 'x0-auto-'));
const before = process.env.X0_BPF;
afterEach(() => {
  if (before === undefined) delete process.env.X0_BPF;
  else process.env.X0_BPF = before;
});
after(() => rmSync(folder, { recursive: true, force: true }));

const native = { bpfObstacle: () => 'no libbpf here', now: () => 1 } as unknown as Native;

async function start(enabled: 'auto' | '0' | '1') {
  const said: string[] = [];
  const host: Record<string, unknown> = {};
  const log = new Log('debug', (line) => said.push(line));
  const config = DEFAULTS;
  const part = await xdp({ ...config, bpf: { ...config.bpf, enabled } }, { native, log, host } as unknown as Agent);
  return { said: said.join('\n'), view: part.shows!.xdp!()!, measures: host.xdp !== undefined };
}

test('auto is the default, and the words of other switches are taken', () => {
  assert.equal(DEFAULTS.bpf.enabled, 'auto');
  const { read, write } = SECTIONS.bpf.options.enabled;
  assert.deepEqual(['auto', 'on', 'yes', '1', 'off', '0', 'perhaps', ''].map(read), [
    'auto',
    '1',
    '1',
    '1',
    '0',
    '0',
    undefined,
    undefined,
  ]);
  assert.equal(write('auto'), 'auto');
});

test('where nobody installed the objects nothing is loaded, and it is said why', async () => {
  process.env.X0_BPF = folder;
  const { said, view, measures } = await start('auto');
  assert.deepEqual([measures, view.level, said], [false, 'off', '']);
  assert.match(view.why!, /x0tta6bl4-bpf is not installed/);
});

test('where they are installed it is as if it were switched on: what cannot be is said too', async () => {
  process.env.X0_BPF = folder;
  writeFileSync(join(folder, 'manifest.json'), '{}');
  for (const enabled of ['auto', '1'] as const) {
    const { said, measures } = await start(enabled);
    assert.equal(measures, true);
    assert.match(said, /no XDP programs: a packet socket counts instead.*no libbpf here/);
  }
});
