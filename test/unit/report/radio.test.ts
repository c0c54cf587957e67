/** What radios know of neighbours, from the look at their stations to HTTP, metrics and the terminal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linksText } from '../../../agent/ctl/views.ts';
import { answer } from '../../../agent/report/api.ts';
import { collect, Metrics } from '../../../agent/report/metrics.ts';
import type { Of } from '../../../agent/report/shape.ts';
import type { links } from '../../../agent/report/shapes.ts';
import { link, meshOfThree, sources } from './fixture.ts';

const NEIGHBOUR = '02:00:00:00:01:0b';
const STATION = { interface: link.index, station: NEIGHBOUR, signalAverage: -61, signal: -58, txBitrate: 54_000 };

function mesh(...stations: (typeof STATION)[]) {
  const machine = meshOfThree();
  machine.on({ type: 'radio-stations', stations }, 0);
  return sources({ mesh: () => machine.view() });
}

function shown(from: ReturnType<typeof sources>): Of<typeof links> {
  const caller = { name: 'uid 1234 (pid 5)', mayChange: false };
  const { body } = answer(from, { method: 'GET', url: '/mesh/links', body: '', caller });
  return JSON.parse(body) as Of<typeof links>;
}

const screen = { columns: 120, color: false };

test('signal and rate of a neighbour are shown where our radio knows it', () => {
  const found = shown(mesh(STATION));
  assert.deepEqual(found.links[0]!.radio, {
    signalDbm: -61,
    bitrateKbits: 54_000,
    expectedKbits: null,
    retries: null,
    failed: null,
    inactiveMs: null,
    peerLink: null,
  });
  const text = linksText(found, screen);
  assert.match(text, /SIGNAL +RATE +SEEN\n.* -61 dBm +54M /);
  const metrics = new Metrics();
  collect(metrics, mesh(STATION));
  const labels = `\\{interface="eth0",neighbour="${NEIGHBOUR}"\\}`;
  assert.match(metrics.render(), new RegExp(`^mesh_link_signal_dbm${labels} -61$`, 'm'));
  assert.match(metrics.render(), new RegExp(`^mesh_link_bitrate_bits_per_second${labels} 54000000$`, 'm'));
  assert.doesNotMatch(metrics.render(), /^mesh_link_expected_throughput/m);
});

test('without a radio there are no columns for it; a look replaces the one before', () => {
  const elsewhere = { ...STATION, station: '02:00:00:00:09:09' };
  const gone = meshOfThree();
  gone.on({ type: 'radio-stations', stations: [STATION] }, 0);
  gone.on({ type: 'radio-stations', stations: [] }, 0);
  for (const from of [mesh(), mesh(elsewhere), sources({ mesh: () => gone.view() })]) {
    const found = shown(from);
    assert.equal(found.links[0]!.radio, null);
    assert.doesNotMatch(linksText(found, screen), /SIGNAL/);
  }
});

test('what a link goes over is said as far as the kernel knows it: no cable is made up', () => {
  const over = (kind: string, isRadio = false) => {
    const machine = meshOfThree();
    machine.on({ type: 'link', link: { ...link, kind }, cause: 'resync' }, 0);
    return shown(sources({ mesh: () => machine.view(), isRadio: (index) => isRadio && index === link.index })).links[0]!
      .kind;
  };
  assert.equal(over(''), 'ethernet');
  assert.equal(over('dsa'), 'ethernet', 'a port of a switch');
  assert.equal(over('', true), 'wifi', 'a radio whose stations nobody could read');
  for (const kind of ['vlan', 'vxlan', 'bridge', 'veth']) assert.equal(over(kind), kind);
  assert.equal(shown(mesh(STATION)).links[0]!.kind, 'wifi');
  const machine = meshOfThree();
  machine.on({ type: 'link-gone', index: link.index, name: link.name }, 0);
  for (const one of shown(sources({ mesh: () => machine.view() })).links) assert.equal(one.kind, null);
});
