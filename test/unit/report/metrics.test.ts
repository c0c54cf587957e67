import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BeaconView } from '../../../agent/beacon/beacon.ts';
import { collect, FAMILIES, type Family, Metrics } from '../../../agent/report/metrics.ts';
import { BEACON, sources } from './fixture.ts';

/** Every family with a value in it. */
function full(): Metrics {
  const metrics = new Metrics();
  for (const [name, { labels = [] }] of Object.entries(FAMILIES) as [string, Family][])
    metrics.take(name, Object.fromEntries(labels.map((label) => [label, 'x'])), 0.02);
  const degraded = [{ part: 'netlink events', level: 'polling', why: 'no "shim"' }];
  const seen = sources({ degraded: () => degraded });
  collect(metrics, seen);
  return metrics;
}

/** Names of the project's brief that promtool's linter dislikes. Nothing else may turn up. */
const DISLIKED = [
  'mesh_beacon_jitter_ms metric names should not contain abbreviated units',
  'mesh_peers_count non-histogram and non-summary metrics should not have "_count" suffix',
];

test('promtool finds nothing but the names of the brief', (t) => {
  const run = spawnSync('promtool', ['check', 'metrics'], { input: full().render(), encoding: 'utf8' });
  if (run.error !== undefined) return t.skip('promtool is not installed (Debian: prometheus)');
  const found = `${run.stdout}${run.stderr}`.split('\n').filter((line) => line !== '');
  assert.deepEqual(found, DISLIKED);
});

test('what x0ctl beacon shows of schedule and time is on the page', () => {
  const page = (beacon: BeaconView) => {
    const metrics = new Metrics();
    collect(metrics, sources({ beacon: () => beacon }));
    return metrics.render();
  };
  const shown = page({ ...BEACON, place: { slot: 1, stride: 2, phase: 0 }, overfull: true });
  for (const line of [
    'mesh_beacon_jitter_ms 0.061',
    'mesh_beacon_interval_seconds 1',
    'mesh_beacon_routers 2',
    'mesh_beacon_overfull 1',
    'mesh_beacon_collisions_total 1',
    'mesh_clock_offset_seconds 50',
    'mesh_clock_depth 2',
  ])
    assert.ok(shown.includes(`\n${line}\n`), line);
  assert.ok(!page({ ...BEACON, place: null }).includes('mesh_beacon_interval_seconds'), 'it listens');
});

test('a histogram is cumulative and ends in +Inf', () => {
  const metrics = new Metrics({ took_seconds: { type: 'histogram', help: 'h', labels: ['a'], buckets: [0.1, 1] } });
  for (const value of [0.05, 0.1, 0.5, 7]) metrics.take('took_seconds', { a: 'b' }, value);
  assert.equal(
    metrics.render(),
    `# HELP took_seconds h
# TYPE took_seconds histogram
took_seconds_bucket{a="b",le="0.1"} 2
took_seconds_bucket{a="b",le="1"} 3
took_seconds_bucket{a="b",le="+Inf"} 4
took_seconds_sum{a="b"} 7.65
took_seconds_count{a="b"} 4
`,
  );
});

test('labels are escaped so that a reader gets back what went in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const metrics = new Metrics({ some_total: { type: 'counter', help: 'h', labels: ['a'] } });
      metrics.take('some_total', { a: text }, 1);
      const lines = metrics.render().split('\n');
      assert.equal(lines.length, 4, 'one series is one line');
      const value = /^some_total\{a="((?:[^"\\]|\\.)*)"\} 1$/su.exec(lines[2]!)![1]!;
      const back = value.replaceAll(/\\(.)/gs, (_, char: string) => (char === 'n' ? '\n' : char));
      assert.equal(back, text);
    }),
  );
});

test('what the table does not know, or too many series, is dropped and counted', () => {
  const metrics = new Metrics();
  metrics.take('no_such_total', {}, 1);
  metrics.take('alarms_refused_total', {}, 1);
  metrics.take('alarms_refused_total', { reason: 'x', more: 'y' }, 1);
  metrics.take('alarms_sent_total', {}, Number.NaN);
  for (let i = 0; i < 600; i++) metrics.take('alarms_refused_total', { reason: `r${i}` }, 1);
  const page = metrics.render();
  assert.match(page, /^metrics_dropped_total 92$/m);
  assert.equal(page.match(/^alarms_refused_total\{/gm)!.length, 512);
});

test('mirrored gauges go when what they mirror goes', () => {
  const metrics = new Metrics();
  collect(metrics, sources());
  assert.match(metrics.render(), /^mesh_link_quality\{interface="eth0",neighbour="02:00:00:00:01:0b"\} 4$/m);
  assert.match(metrics.render(), /^mesh_peers_count 2$/m);
  assert.match(metrics.render(), /^self_healing_mode\{mode="act"\} 1$/m);
  const { mesh } = sources();
  collect(metrics, sources({ mesh: () => ({ ...mesh(), links: [] }) }));
  assert.doesNotMatch(metrics.render(), /^mesh_link_quality/m);
});

test('counters do not fall', () => {
  const metrics = new Metrics();
  metrics.take('kick_frames_total', {}, 5);
  metrics.take('kick_frames_total', {}, -3);
  assert.match(metrics.render(), /^kick_frames_total 5$/m);
});
