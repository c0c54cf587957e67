import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { main } from '../../../agent/ctl/main.ts';
import { screen } from '../ctl/screen.ts';

const folder = mkdtempSync(join(tmpdir(), 'x0-twin-'));
after(() => rmSync(folder, { recursive: true }));

async function x0ctl(...argv: string[]): Promise<{ status: number; out: string; err: string }> {
  const to = screen({ columns: 120, rows: 40 });
  const status = await main(argv, to);
  return { status, out: to.written, err: to.complained };
}

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const RING = file('ring.json', {
  format: 1,
  name: 'ring',
  topology: { kind: 'ring', nodes: 4 },
  settle_s: 0,
  probes: [{ from: 'r0', to: 'r2', interval_ms: 5 }],
  timeline: [{ at_s: 1, fault: 'carrier-loss', link: 'in-use', for_s: 3 }],
  duration_s: 8,
});

test('twin run plays a scenario, and the same again for the same seed', async () => {
  const first = await x0ctl('twin', 'run', RING, '--seeds', '2', '--json');
  assert.equal(first.status, 0, first.err);
  const { reports, shortest } = JSON.parse(first.out);
  assert.equal(reports.length, 2);
  assert.equal(shortest, null);
  assert.equal(reports[0].outages[0].fault, 'f1');
  assert.ok(reports[0].outages[0].ms < 300);
  const again = JSON.parse((await x0ctl('twin', 'run', RING, '--seed', '2', '--json')).out);
  assert.deepEqual(again.reports[0], reports[1]);
  assert.notEqual(reports[0].digest, reports[1].digest);
});

test('twin run says now and then how far it is, and nothing of it on the standard output', async (t) => {
  let ms = 0;
  t.mock.method(performance, 'now', () => (ms += 3000));
  const { out, err } = await x0ctl('twin', 'run', RING, '--seeds', '2', '--json');
  assert.match(err, /^(seed [12], [12] of 2: \d+ of \d+ virtual seconds\n)+$/);
  JSON.parse(out);
  const seconds = [...err.matchAll(/seed 1, .* (\d+) of (\d+) /g)].map(([, now, end]) => [Number(now), Number(end)]);
  assert.ok(seconds.length > 1 && seconds.every(([now, end]) => now! <= end!), err);
});

test('twin run without agents shows what batman-adv alone needs, in words', async () => {
  const { status, out } = await x0ctl('twin', 'run', RING, '--agents', 'off');
  assert.equal(status, 0);
  assert.match(out, /FAULT +PROBE +OUTAGE MS/);
  const [, ms] = /f1 +p1 +(\d+)/.exec(out)!;
  assert.ok(Number(ms) > 2000, out);
  assert.match(out, /no invariant was broken/);
});

test('what is wrong with a scenario or a question is named', async () => {
  const wrong = await x0ctl('twin', 'run', file('wrong.json', { format: 1, name: 'x', topolgy: {} }));
  assert.equal(wrong.status, 4);
  assert.match(wrong.err, /\$\.topolgy no such key/);
  const several = file('several.json', {
    format: 1,
    name: 'x',
    topology: { kind: 'ring', nodes: 4 },
    probes: ['a', 'b', 'c', 'd', 'e', 'f'].map((from) => ({ from, to: 'r0' })),
  });
  assert.match(
    (await x0ctl('twin', 'run', several)).err,
    /: (\$\.probes\[[0-3]\]\.from there is no node "[a-d]"(; )?){4} \(and 2 more\)/,
  );
  const beyond = await x0ctl('twin', 'run', RING, '--seed', `${Number.MAX_SAFE_INTEGER}`, '--seeds', '2');
  assert.equal(beyond.status, 2);
  assert.match(beyond.err, /--seeds: .* there are no 2 seeds/);
  const none = await x0ctl('twin', 'run', join(folder, 'none.json'));
  assert.equal(none.status, 4);
  const device = await x0ctl('twin', 'run', '/dev/zero');
  assert.equal(device.status, 2);
  assert.match(device.err, /SCENARIO: \/dev\/zero is not a file/);
  for (const named of ['/dev/zero', '../../dev/zero', join(folder, 'ring.json')]) {
    const outside = file('outside.json', { format: 1, name: 'x', topology: { kind: 'netjson', file: named } });
    const { status, err } = await x0ctl('twin', 'run', outside);
    assert.equal(status, 4);
    assert.match(err, /\$\.topology\.file /);
  }
  const question = await x0ctl('twin', 'what-if', 'burn r1');
  assert.equal(question.status, 2);
  assert.match(question.err, /'burn r1' is no question/);
  assert.equal((await x0ctl('twin', 'run', RING, '--agents', 'half')).status, 2);
});

test('a scenario that breaks an invariant is made shorter, also where what is left cannot be played', async () => {
  const taken = file('taken.json', {
    format: 1,
    name: 'taken',
    topology: { kind: 'ring', nodes: 3 },
    kernel: { orig_interval_ms: 500 },
    // Without that router there would be no scenario, nor without what it is about.
    nodes: { r1: { kernel: { algorithm: 'BATMAN_V' } } },
    agent: { config: { heal: { reattach: '0' } } },
    settle_s: 0,
    timeline: [{ at_s: 1, fault: 'interface-taken', link: ['r0', 'r1'] }],
    duration_s: 4,
  });
  const { status, out, err } = await x0ctl('twin', 'run', taken, '--json');
  assert.equal(status, 1, err);
  const { reports, shortest } = JSON.parse(out);
  assert.equal(reports[0].broken[0].invariant, 'members');
  assert.equal(shortest.kernel, undefined);
  assert.deepEqual(shortest.topology.links, [['r0', 'r1']]);
});

test('what is expected, who watches and what is special elsewhere keep nothing in the shortest scenario', async () => {
  const watched = file('watched.json', {
    format: 1,
    name: 'watched',
    topology: { kind: 'ring', nodes: 4 },
    links: [{ between: ['r2', 'r3'], loss_pct: 1 }],
    nodes: { r3: { gateway: {} } },
    agent: { config: { heal: { reattach: '0' } } },
    settle_s: 0,
    probes: [{ from: 'r2', to: 'r3' }],
    timeline: [
      { at_s: 0.5, fault: 'bat0-down', node: 'r2', for_s: 1, name: 'other' },
      { at_s: 1, fault: 'interface-taken', link: ['r0', 'r1'] },
    ],
    duration_s: 4,
    expect: [{ expect: 'outage-below', fault: 'other', ms: 1e8 }],
  });
  const { status, out, err } = await x0ctl('twin', 'run', watched, '--json');
  assert.equal(status, 1, err);
  const { shortest } = JSON.parse(out);
  assert.equal(shortest.timeline.length, 1);
  assert.deepEqual(shortest.topology.links, [['r0', 'r1']]);
  for (const key of ['expect', 'probes', 'links', 'nodes']) assert.ok(!(key in shortest), key);
});

test('a mesh by radio is made shorter with its places', async () => {
  const air = file('air.json', {
    format: 1,
    name: 'air',
    topology: { kind: 'line', nodes: 3, medium: 'radio', side_m: 100 },
    agent: { config: { heal: { reattach: '0' } } },
    settle_s: 0,
    timeline: [{ at_s: 1, fault: 'interface-taken', link: ['r0', 'r1'] }],
    duration_s: 4,
  });
  const { status, out, err } = await x0ctl('twin', 'run', air, '--json');
  assert.equal(status, 1, err);
  const { shortest } = JSON.parse(out);
  const { medium, places, side_m, nodes } = shortest.topology;
  assert.deepEqual([medium, side_m], ['radio', 100]);
  assert.deepEqual(Object.keys(places).sort(), [...nodes].sort());
  assert.ok(nodes.length < 3);
});

test('the shortest scenario has its routers in the order of the long one', async () => {
  const taken = file('order.json', {
    format: 1,
    name: 'order',
    topology: {
      kind: 'links',
      links: [
        ['a', 'c'],
        ['c', 'b'],
        ['b', 'a'],
      ],
      nodes: ['c', 'b', 'a'],
    },
    // Any of its words for no.
    agent: { config: { heal: { reattach: 'off' } } },
    settle_s: 0,
    timeline: [{ at_s: 1, fault: 'interface-taken', link: ['c', 'a'] }],
    duration_s: 4,
  });
  const { status, out, err } = await x0ctl('twin', 'run', taken, '--json');
  assert.equal(status, 1, err);
  const { nodes } = JSON.parse(out).shortest.topology;
  assert.deepEqual(
    nodes,
    ['c', 'b', 'a'].filter((name) => nodes.includes(name)),
  );
});

test('a switch of the agents is on or off by any word that the configuration file takes', async () => {
  for (const [word, status] of [
    ['off', 1],
    ['no', 1],
    ['on', 0],
    ['yes', 0],
  ] as const) {
    const taken = file('word.json', {
      format: 1,
      name: 'word',
      topology: { kind: 'ring', nodes: 3 },
      agent: { config: { heal: { reattach: word } } },
      settle_s: 0,
      timeline: [{ at_s: 1, fault: 'interface-taken', link: ['r0', 'r1'] }],
      duration_s: 4,
    });
    const done = await x0ctl('twin', 'run', taken, '--json');
    assert.equal(done.status, status, `${word}: ${done.out}${done.err}`);
  }
});

test('what a scenario says and the twin has nothing for is named, and not passed over', async () => {
  const more = {
    format: 1,
    name: 'more',
    topology: { kind: 'ring', nodes: 3 },
    kernel: { elp_interval_ms: 200 },
    link: { jitter_ms: 3, delay_ms: 5 },
    agent: { config: { heal: { restart: '1', mode: 'act' }, beacon: { enabled: '1' } } },
    settle_s: 0,
    timeline: [{ at_s: 1, fault: 'delay', link: ['r0', 'r1'], delay_ms: 5, jitter_ms: 2 }],
    duration_s: 2,
  };
  const paths = [
    '$.agent.config.beacon.enabled',
    '$.kernel.elp_interval_ms',
    '$.link.jitter_ms',
    '$.timeline[0].jitter_ms',
  ];
  const told = await x0ctl('twin', 'run', file('more.json', more));
  assert.equal(told.status, 0, told.err);
  assert.match(
    told.err.replaceAll(/\s+/g, ' '),
    new RegExp(`played without: ${paths.join(', ').replaceAll(/[$.[\]]/g, '\\$&')}`),
  );
  assert.deepEqual(JSON.parse((await x0ctl('twin', 'run', join(folder, 'more.json'), '--json')).out).unplayed, paths);
  assert.equal((await x0ctl('twin', 'run', RING)).err, '');
});

test('what a scenario expects and does not get ends in 1 and is named; what the twin cannot judge is named too', async () => {
  const ring = JSON.parse(readFileSync(RING, 'utf8')) as object;
  const well = [
    { expect: 'reachable' },
    { expect: 'outage-below', ms: 500 },
    { expect: 'loss-below', pct: 10 },
    { expect: 'found', within_s: 1 },
  ];
  const held = await x0ctl('twin', 'run', file('held.json', { ...ring, expect: well }));
  assert.equal(held.status, 0, held.out);
  assert.match(held.out, /all came as expected, as far as the twin can judge it/);
  assert.match(held.err, /played without: \$\.expect\[3\]/);

  const both = { expect: 'outage-below', fault: 'f1', ms: 500, agent: 'both' };
  const failing = file('failing.json', { ...ring, expect: [both, { expect: 'no-actions' }, ...well] });
  const { status, out } = await x0ctl('twin', 'run', failing, '--seeds', '2');
  assert.equal(status, 1);
  for (const seed of [1, 2])
    assert.match(out, new RegExp(`NOT AS EXPECTED with seed ${seed}: \\$\\.expect\\[1\\] no-actions: r\\d: `));
  assert.doesNotMatch(out, /all came as expected|expect\[0\]/);
  const json = await x0ctl('twin', 'run', failing, '--json');
  assert.equal(json.status, 1);
  const { reports, unplayed } = JSON.parse(json.out);
  assert.deepEqual(unplayed, ['$.expect[5]']);
  assert.deepEqual(
    reports[0].expectations.map(({ held }: { held: boolean }) => held),
    [true, false, true, true, true],
  );

  const off = await x0ctl('twin', 'run', failing, '--agents', 'off');
  assert.equal(off.status, 1);
  assert.match(off.out, /NOT AS EXPECTED with seed 1: \$\.expect\[0\] outage-below: f1 cost p1 \d{4} ms/);
  assert.match(off.err, /5 of what is expected is about agents on: --agents on/);
});
