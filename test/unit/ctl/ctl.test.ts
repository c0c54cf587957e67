import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { UciDocument } from '../../../agent/config/uci.ts';
import { client } from '../../../agent/ctl/client.ts';
import { COMMANDS } from '../../../agent/ctl/commands.ts';
import { EXIT } from '../../../agent/ctl/exit.ts';
import { main } from '../../../agent/ctl/main.ts';
import { age, clean, milliseconds, table, terminal, wrap } from '../../../agent/ctl/terminal.ts';
import { logText } from '../../../agent/ctl/views.ts';
import { watch } from '../../../agent/ctl/watch.ts';
import { hear } from '../../../agent/host/http.ts';
import { readMap } from '../../../agent/mesh/map.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { mismatch, type Of, type Shape } from '../../../agent/report/shape.ts';
import * as shapes from '../../../agent/report/shapes.ts';
import type { Sources } from '../../../agent/report/sources.ts';
import { DESK, FAULT, sources } from '../report/fixture.ts';
import { type Screen, screen } from './screen.ts';

// Times are shown in the reader's zone.
process.env.TZ = 'UTC';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** An agent's API on a unix socket. */
async function agent(t: TestContext, from: Sources = sources(), mayChange = true): Promise<string> {
  const path = join(folder(t), 'ctl.sock');
  const server = createServer(hear(from, new Metrics(), () => ({ name: 'uid 1 (pid 2)', mayChange })));
  await new Promise<void>((listening) => server.listen(path, listening));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return path;
}

async function run(argv: string[], to = screen()): Promise<{ status: number; out: string; err: string }> {
  const status = await main(argv, to);
  return { status, out: to.written, err: to.complained };
}

/** Why no x0ctl may have an /etc/config and a /var/run of its own here, or false. */
const noPlaces =
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'x', '/etc']).status !== 0 && 'no mount namespaces';

/** Runs `x0ctl status` as a program, on a router with this configuration; `usual` is what the usual socket leads to. */
async function onRouter(t: TestContext, config: string | null, usual: string | null, args: readonly string[] = []) {
  const file = join(folder(t), 'config');
  if (config !== null) writeFileSync(file, config);
  const line = [
    'mount -t tmpfs x /etc && mount -t tmpfs x "$(readlink -f /var/run)" && mkdir /etc/config /var/run/x0tta6bl4',
    config !== null && `cp ${file} /etc/config/x0tta6bl4`,
    usual !== null && `ln -s ${usual} /var/run/x0tta6bl4/ctl.sock`,
    `exec ${process.execPath} ${join(import.meta.dirname, '../../../agent/ctl.ts')} status ${args.join(' ')}`,
  ];
  const { X0_SOCKET: _, ...env } = process.env;
  return new Promise<{ out: string; err: string }>((done) => {
    execFile('unshare', ['-rm', 'sh', '-c', line.filter(Boolean).join(' && ')], { env }, (_, out, err) =>
      done({ out, err }),
    );
  });
}

test('the agent is found where the configuration has put its socket', { skip: noPlaces }, async (t) => {
  const at = await agent(t);
  const said = (socket: string): string => `config report 'report'\n\toption socket '${socket}'\n`;
  const moved = await onRouter(t, said(at), null);
  assert.match(moved.out, /^router-a /, moved.err);
  const usual = await onRouter(t, said('/nowhere/ctl.sock'), at);
  assert.match(usual.out, /^router-a /, 'the usual one is there, and nothing is read');
  const named = await onRouter(t, said('/nowhere/ctl.sock'), null, ['--socket', at]);
  assert.match(named.out, /^router-a /, named.err);
  const none = await onRouter(t, said('/nowhere/ctl.sock'), null);
  assert.match(none.err, /no answer on \/nowhere\/ctl\.sock: the agent does not run/);
  for (const config of [null, 'config {'])
    assert.match((await onRouter(t, config, null)).err, /no answer on \/var\/run\/x0tta6bl4\/ctl\.sock: the agent/);
});

const SNAPSHOTS: Readonly<Record<string, string>> = {
  status: `router-a (02:00:00:00:00:0a): ok
  agent       version 0.1.0, up 10s
  mesh        bat0, BATMAN_IV, batman-adv 2022.3, OGM every 1000 ms
  routers     2 heard
  interfaces  primary0        02:00:00:00:00:0a no carrier, primary
              eth0            02:00:00:00:01:0a up
  healing     act
  budgets     kick 19 of 20
  undo armed  detach-eth1
  faults      none open
  last        01-02 03:04:05 e1-f1 link-down: detach verified
`,
  nodes: `ROUTER            STATE  HEALTH  METRIC NEXT HOP          VIA  SEEN
02:00:00:00:00:0b joined healthy    255 02:00:00:00:01:0b eth0  10s
02:00:00:00:00:0c joined healthy    225 02:00:00:00:01:0b eth0  10s
`,
  links: `VIA  NEIGHBOUR         ROUTER            QUALITY   METRIC DELAY LOSS SEEN
eth0 02:00:00:00:01:0b 02:00:00:00:00:0b EXCELLENT    255     - 0.0%  10s
`,
  topology: `ROUTER                   EDGES  COST THROUGH
02:00:00:00:00:0a (here)     0     0 -
02:00:00:00:00:0b            1     1 02:00:00:00:00:0b
02:00:00:00:00:0c            2 2.133 02:00:00:00:00:0b
3 routers, 2 edges, 1 part, diameter 2 edges (cost 2.133)
without 02:00:00:00:00:0b it splits: 1 + 1 routers
without the edge 02:00:00:00:00:0a to 02:00:00:00:00:0b it splits: 1 + 2 routers
without the edge 02:00:00:00:00:0b to 02:00:00:00:00:0c it splits: 2 + 1 routers
as seen from here; links between others are not known
`,
  'topology --dot': `graph mesh {
  "02:00:00:00:00:0a" [shape=box];
  "02:00:00:00:00:0b";
  "02:00:00:00:00:0c";
  "02:00:00:00:00:0a" -- "02:00:00:00:00:0b" [label="1"];
  "02:00:00:00:00:0b" -- "02:00:00:00:00:0c" [label="1.133", style=dashed];
}
`,
  'topology --to 02:00:00:00:00:0c': '2.133  02:00:00:00:00:0a > 02:00:00:00:00:0b > 02:00:00:00:00:0c\n',
  'topology --to 02:00:00:00:00:0a --from 02:00:00:00:00:0b': '1  02:00:00:00:00:0b > 02:00:00:00:00:0a\n',
  'heal log': `TIME           FAULT STEP     ACTION   AFTER WHAT
01-02 03:04:05 e1-f1 planned  detach  120 us link-down eth1
01-02 03:04:05 e1-f1 verified detach 43.1 ms link-down eth1: 2 of 2 routes go
                                             another way
`,
  'record list': `ID TIME           BYTES FAULTS
 3 01-02 03:05:05 12345 e1-f1
`,
  beacon: `beacons (default)
  schedule   slot 42 of 100; a superframe of 500 ms, slots of 5 ms
  two hops   2 other routers with beacons; collisions moved away from: 1
  root       02:00:00:00:00:0c, 2 hops away
  offset     50000.000 ms ahead of this router's clock, drift -12.35 ppm
  error      at most 87.7 us
  jitter     61 us late (99th percentile)
  arrivals   40 frames, 75 % of them stamped by XDP, the rest by a packet socket
  suspicions 3 that proved wrong
VIA  NEIGHBOUR         ROUTER            SLOT HEARD STATE SEEN
eth0 02:00:00:00:01:0b 02:00:00:00:00:0b    7   94% alive 0.1s
`,
  probes: `ADDRESS        LAST MEDIAN   LOSS ASKED
10.77.0.2    3.2 ms 2.8 ms   1.7%    61
fe80::1%bat0      -      - 100.0%     2 EHOSTUNREACH
`,
  'heal mode': 'act\n',
  'heal mode observe': 'heal.mode is observe until the next start\n',
  'heal mode classes': `CLASS       MODE  NOW       SAFE  RIGHT
link-lossy  auto  observed        19.5 of 20.5, at least 80 %
`,
  'heal mode link-lossy act': 'link-lossy is act from now on\n',
};

test('tables for people', async (t) => {
  const socket = await agent(t);
  for (const [line, expected] of Object.entries(SNAPSHOTS)) {
    const { status, out, err } = await run([...line.split(' '), '--socket', socket]);
    assert.equal(err, '');
    assert.equal(out, expected, line);
    assert.equal(status, EXIT.ok);
  }
});

test('topology --netjson is a NetworkGraph', async (t) => {
  const socket = await agent(t);
  const { out, status } = await run(['topology', '--netjson', '--socket', socket]);
  assert.equal(status, EXIT.ok);
  const map = readMap(out);
  assert.deepEqual(
    [map.format, map.protocol, map.version, map.metric, map.router],
    ['netjson', 'batman-adv', '2022.3', 'ETX', '02:00:00:00:00:0a'],
  );
  assert.deepEqual(
    map.links.map(({ source, target, cost }) => [source, target, cost]),
    [
      ['02:00:00:00:00:0a', '02:00:00:00:00:0b', 1],
      ['02:00:00:00:00:0b', '02:00:00:00:00:0c', 1.133],
    ],
  );
});

test('topology of a map needs no agent', async (t) => {
  const file = join(folder(t), 'map.json');
  const nodes = ['a', 'b', 'c'].map((node_id) => ({ node_id }));
  const ends = [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'c'],
  ];
  writeFileSync(file, JSON.stringify({ nodes, links: ends.map(([source, target]) => ({ source, target })) }));
  const { out, err, status } = await run(['topology', '--file', file, '--socket', '/nowhere']);
  assert.equal(status, EXIT.ok);
  assert.equal(err, '1 link from a node to itself left out\n');
  assert.equal(
    out,
    `3 routers, 2 edges, 1 part, diameter 2 edges (cost 2)
without b it splits: 1 + 1 routers
without the edge a to b it splits: 1 + 2 routers
without the edge b to c it splits: 2 + 1 routers
`,
  );
  const json = await run(['topology', '--file', file, '--json']);
  assert.equal(mismatch(shapes.topology.schema, JSON.parse(json.out)), null);
  assert.equal((await run(['topology', '--file', file, '--to', 'c', '--from', 'a'])).out, '2  a > b > c\n');
  assert.match((await run(['topology', '--file', file, '--netjson'])).out, /"type": "NetworkGraph"/);
  assert.match((await run(['topology', '--file', file, '--dot'])).out, /"a" -- "b"/);

  const refused = async (...argv: string[]) => {
    const answer = await run(['topology', '--json', ...argv]);
    return [answer.status, (JSON.parse(answer.out) as { error: { code: string } }).error.code];
  };
  assert.deepEqual(await refused('--file', `${file}x`), [EXIT.refused, 'E_NOT_FOUND']);
  assert.deepEqual(await refused('--file', folder(t)), [EXIT.usage, 'E_USAGE']);
  assert.deepEqual(await refused('--file', file, '--dot'), [EXIT.usage, 'E_USAGE']);
  writeFileSync(file, '{"nodes": 1}');
  assert.deepEqual(await refused('--file', file), [EXIT.refused, 'E_MAP']);
  assert.match((await run(['topology', '--file', file])).err, /map\.json: \$\.nodes: expected an array, found 1/);
  writeFileSync(file, JSON.stringify({ nodes, links: [] }));
  assert.equal((await run(['topology', '--file', file, '--to', 'a'])).status, EXIT.usage);
  assert.equal((await run(['topology', '--file', file, '--to', 'z', '--from', 'a'])).status, EXIT.refused);
  assert.equal(
    (await run(['topology', '--file', file, '--to', 'b', '--from', 'a'])).out,
    'no way from a to b is known\n',
  );
});

test('what is no scenario is told by its code and path, and is not what a broken invariant is', async (t) => {
  const file = join(folder(t), 'scenario.json');
  writeFileSync(file, '{"format":1,"name":"x"}');
  const { status, err } = await run(['twin', 'run', file]);
  assert.deepEqual([status, err], [EXIT.refused, `x0ctl: ${file}: $.topology is missing (E_SCENARIO_KEY)\n`]);
  writeFileSync(file, '{"format":1,"name":"x","topology":{"kind":"netjson","file":"../map.json"}}');
  const outside = await run(['twin', 'run', file, '--json']);
  assert.equal(outside.status, EXIT.refused);
  const { error } = JSON.parse(outside.out) as { error: { code: string; message: string } };
  assert.equal(error.code, 'E_SCENARIO_REFERENCE');
  assert.match(error.message, /\$\.topology\.file expected a file beside the scenario or below.*"\.\.\/map\.json"/);
});

test('record export writes what is in memory, or a recording that is kept', async (t) => {
  const socket = await agent(t);
  const file = join(folder(t), 'r.gz');
  const now = await run(['record', 'export', file, '--socket', socket]);
  assert.deepEqual([now.status, now.out], [EXIT.ok, `${file}: 14 bytes\n`]);
  assert.equal(readFileSync(file, 'utf8'), 'recording null');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await run(['record', 'export', file, '--id', '3', '--socket', socket]);
  assert.equal(readFileSync(file, 'utf8'), 'recording 3');
  assert.equal((await run(['record', 'export', file, '--id', '4', '--socket', socket])).status, EXIT.refused);
  assert.equal((await run(['record', 'export', file, '--id', 'x', '--socket', socket])).status, EXIT.usage);
  const nowhere = await run(['record', 'export', join(file, 'x'), '--socket', socket]);
  assert.deepEqual(
    [nowhere.status, nowhere.err],
    [EXIT.refused, `x0ctl: FILE: ${join(file, 'x')} cannot be written: ENOTDIR (E_FORBIDDEN)\n`],
  );
  const text = sources({ recorder: { list: () => [], export: () => gzipSync('all of it\n') } });
  const other = await agent(t, text);
  assert.equal((await run(['record', 'export', '-', '--socket', other])).out, 'all of it\n');
  assert.match((await run(['record', 'list', '--socket', other])).out, /^No recording is kept/);
  const ended = [
    { id: 1, wall: 0, bytes: 10, faults: [], why: 'ended' },
    { id: 2, wall: 0, bytes: 20, faults: ['e1-f1'], why: 'faults' },
  ] as const;
  const third = await agent(t, sources({ recorder: { list: () => ended, export: () => null } }));
  const [, first, second] = (await run(['record', 'list', '--socket', third])).out.split('\n');
  assert.match(first!, / 10 \(the agent ended without a word\)$/);
  assert.match(second!, / 20 e1-f1$/);
});

test('--json answers in the documented shapes, wherever the option stands', async (t) => {
  const socket = await agent(t);
  const table: [string[], Shape<unknown>][] = [
    [['status'], shapes.status],
    [['nodes'], shapes.nodes],
    [['links'], shapes.links],
    [['topology'], shapes.topology],
    [['record', 'list'], shapes.recordings],
    [['beacon'], shapes.beacon],
    [['heal', 'log', '--limit', '1'], shapes.log],
    [['heal', 'explain', FAULT.id], shapes.explanation],
    [['heal', 'mode', 'off'], shapes.done],
    [['heal', 'mode', 'classes'], shapes.classes],
    [['heal', 'mode', 'link-lossy', 'auto'], shapes.done],
    [['heal', 'kick', '02:00:00:00:01:0B'], shapes.kicked],
  ];
  for (const [line, { schema }] of table) {
    for (const argv of [
      ['--json', '--socket', socket, ...line],
      [...line, '--json', '--socket', socket],
    ]) {
      const { status, out } = await run(argv);
      assert.equal(status, EXIT.ok, argv.join(' '));
      assert.equal(mismatch(schema, JSON.parse(out)), null);
    }
  }
  for (const [argv, wanted] of [
    [['heal', 'explain', 'e9-f9', '--json', '--socket', socket], EXIT.refused],
    [['heal', '--json'], EXIT.usage],
    [['--json'], EXIT.usage],
  ] as const) {
    const refused = await run([...argv]);
    assert.equal(refused.status, wanted);
    assert.equal(mismatch(shapes.error.schema, JSON.parse(refused.out)), null);
  }
});

test('no beacons: said, and a problem for scripts', async (t) => {
  const socket = await agent(t, sources({ beacon: () => null }));
  const { status, out } = await run(['beacon', '--socket', socket]);
  assert.equal(status, EXIT.problem);
  assert.match(out, /beacon\.enabled is off/);
});

test('what was asked for and not done is refused', async (t) => {
  const socket = await agent(t, sources({ ask: () => [] }));
  for (const [line, says] of [
    [['config', 'confirm'], /no changed configuration is on trial/],
    [['config', 'revert'], /no changed configuration is on trial/],
    [['heal', 'kick'], /heal\.mode is off/],
  ] as const) {
    const { status, out } = await run([...line, '--socket', socket]);
    assert.deepEqual([status, says.test(out)], [EXIT.refused, true], `${line.join(' ')}: ${out}`);
  }
});

test('what is not there is no wrong usage, and the exit status says what the help does', async (t) => {
  const { peers: _, ...without } = sources();
  const bare = await agent(t, { ...without, mesh: () => ({ ...without.mesh(), self: null }) } as Sources);
  for (const [line, status, says] of [
    [['peers', 'attic', 'status'], EXIT.refused, /no sessions/],
    [['topology', '--to', 'x'], EXIT.refused, /no address in the mesh yet/],
    [['workload'], EXIT.problem, /no program is given one/],
    [['probes'], EXIT.ok, /10\.77\.0\.2/],
  ] as const) {
    const found = await run([...line, '--socket', bare]);
    assert.deepEqual([found.status, says.test(found.out + found.err)], [status, true], `${line[0]}: ${found.err}`);
  }
});

test('whatever another router answers, it is shown only as the page that was asked for', async (t) => {
  const { peers } = sources();
  const asked = async (page: string) => {
    const socket = await agent(t, sources({ peers: { ...peers!, answer: () => page } }));
    return run(['peers', 'attic', 'status', '--socket', socket]);
  };
  assert.deepEqual(await asked('{"version":1}'), { status: EXIT.ok, out: '{\n  "version": 1\n}\n', err: '' });
  for (const [page, says] of [
    [
      '{"version":1,"error":{"code":"E_BUG","message":"the agent failed"}}',
      /attic answered with an error: the agent fa/,
    ],
    ['{"error":null}', /answered with an error/],
    ['\x1b[2J', /^x0ctl: attic answered what is no JSON \(E_[A-Z_]+\)\n$/],
    ['', /no JSON/],
  ] as const) {
    const { status, out, err } = await asked(page);
    assert.deepEqual([status, out], [EXIT.failed, ''], page);
    assert.match(err, says);
  }
});

test('heal mode classes: nothing is repaired where healing as a whole only observes, or is off', async (t) => {
  const { heal } = sources();
  const [known] = heal().classes;
  const now = async (whole: 'off' | 'observe' | 'act', mode: 'auto' | 'off', acts: boolean) => {
    const socket = await agent(
      t,
      sources({ heal: () => ({ ...heal(), mode: whole, classes: [{ ...known!, mode, acts }] }) }),
    );
    const { out } = await run(['heal', 'mode', 'classes', '--socket', socket]);
    return /^link-lossy +\S+ +(\S+)/m.exec(out)?.[1];
  };
  assert.deepEqual(
    await Promise.all([
      now('act', 'auto', true),
      now('act', 'auto', false),
      now('act', 'off', false),
      now('observe', 'auto', true),
      now('observe', 'off', false),
      now('off', 'auto', true),
    ]),
    ['repaired', 'observed', 'ignored', 'observed', 'ignored', 'ignored'],
  );
});

test('a configuration that is wrong is the same kind of problem to whoever looks at it', async (t) => {
  const file = join(folder(t), 'config');
  for (const text of ["config mesh 'mesh\n", 'option own 1\n', 'config mesh mesh\n\toption a b c\n', 'a\0b']) {
    writeFileSync(file, text);
    const [check, migrate] = [await run(['config', 'check', file]), await run(['config', 'migrate', file, '--write'])];
    assert.deepEqual([check.status, migrate.status], [EXIT.problem, EXIT.problem], text);
    assert.match(migrate.err, /config:[12]: expected/);
    assert.equal(readFileSync(file, 'utf8'), text);
  }
});

test('a file of today that lacks its number is not told to be older, and can be given it', async (t) => {
  const file = join(folder(t), 'config');
  writeFileSync(file, "config mesh 'mesh'\n\toption node_name 'attic'\n");
  assert.equal((await run(['config', 'check', file])).out, `${file} is valid.\n`);
  assert.match((await run(['config', 'migrate', file, '--write'])).out, /^file\.format is \d+\n$/);
  assert.match(readFileSync(file, 'utf8'), /option format/);
  assert.match((await run(['config', 'migrate', file, '--write'])).out, /is of today's form/);
});

test('routers by name: as this router’s file has it, else as they are called; addresses where there is room', async (t) => {
  const socket = await agent(t, sources({ trust: DESK }));
  const home = folder(t);
  const before = process.env.HOME;
  process.env.HOME = home;
  t.after(() => {
    if (before === undefined) delete process.env.HOME;
    else process.env.HOME = before;
  });
  const nodes = async (columns: number) => (await run(['nodes', '--socket', socket], screen({ columns }))).out;
  assert.equal(
    await nodes(80),
    `ROUTER            STATE  HEALTH  METRIC NEXT HOP VIA  SEEN
hall              joined healthy    255 hall     eth0  10s
02:00:00:00:00:0c joined healthy    225 hall     eth0  10s
`,
  );
  writeFileSync(
    join(home, 'bat-hosts'),
    '02:00:00:00:00:0c the-shed-behind-the-orchard\n02:00:00:00:00:0b \x1b[31mcellar\n',
  );
  assert.equal(
    await nodes(80),
    `ROUTER            STATE  HEALTH  METRIC NEXT HOP VIA  SEEN
?[31mcellar       joined healthy    255 hall     eth0  10s
the-shed-behind-~ joined healthy    225 hall     eth0  10s
`,
  );
  assert.equal(
    (await nodes(120)).split('\n')[2],
    'the-shed-behind-the-orchard 02:00:00:00:00:0c joined healthy    225 hall     eth0  10s',
  );
  assert.match(await nodes(Number.MAX_SAFE_INTEGER), /^the-shed-behind-the-orchard +02:00:00:00:00:0c /m);
  const links = (await run(['links', '--socket', socket])).out;
  assert.match(links, /^eth0 02:00:00:00:01:0b \?\[31mcellar +EXCELLENT /m);
  const { nodes: rows } = JSON.parse((await run(['nodes', '--json', '--socket', socket])).out) as Of<
    typeof shapes.nodes
  >;
  assert.deepEqual(
    rows.map(({ originator, node, nextHopNode }) => [originator, node, nextHopNode]),
    [
      ['02:00:00:00:00:0b', 'hall', 'hall'],
      ['02:00:00:00:00:0c', null, 'hall'],
    ],
  );
  rmSync(join(home, 'bat-hosts'));
  spawnSync('mkfifo', [join(home, 'bat-hosts')]);
  assert.match(await nodes(80), /^hall /m, 'who would read a FIFO would wait for a writer');
});

test('the default file is the package’s, and is written where there is nothing to lose', async (t) => {
  const at = folder(t);
  const file = join(at, 'config');
  const feed = join(import.meta.dirname, '../../../openwrt-feed/x0tta6bl4/files/x0tta6bl4.config');
  const text = readFileSync(feed, 'utf8');
  assert.deepEqual(await run(['config', 'defaults']), { status: EXIT.ok, out: text, err: '' });
  for (const nothing of [null, '', ' \n\n']) {
    if (nothing === null) rmSync(file, { force: true });
    else writeFileSync(file, nothing);
    const { status, out } = await run(['config', 'defaults', file, '--write']);
    assert.equal(status, EXIT.ok);
    assert.match(out, /config has all defaults now\.$/m);
    assert.equal(readFileSync(file, 'utf8'), text);
    assert.match((await run(['config', 'check', file])).out, /is valid/);
  }
  rmSync(file);
  await run(['config', 'defaults', file, '--write']);
  assert.equal(statSync(file).mode & 0o777, 0o600, 'a key will be in it');
  for (const words of ['# a word of theirs\n', '\n# gr\xfc\xdfe\\', '# one\r\n#two', "package x0tta6bl4\n# isn't it"]) {
    writeFileSync(file, words, 'latin1');
    assert.equal((await run(['config', 'defaults', file, '--write'])).status, EXIT.ok, words);
    const now = readFileSync(file, 'latin1');
    assert.ok(now.startsWith(words) && now.endsWith(Buffer.from(`\n\n${text}`).toString('latin1')), words);
    const report = JSON.parse((await run(['config', 'check', file, '--json'])).out) as { warnings: unknown[] };
    assert.deepEqual(report.warnings, [], words);
    assert.equal(
      UciDocument.parse(readFileSync(file), file).sections().length,
      UciDocument.parse(text, '').sections().length,
    );
  }
  for (const [something, why] of [
    ["config mesh 'mesh'\n", /has settings: it stays as it is/],
    ['# one\nconfig mesh\n\toption revert_after 0\n', /has settings: it stays as it is/],
    ['\0', /is not empty: it stays as it is/],
    ["# one\npackage 'x0", /is not empty: it stays as it is/],
    ['package \\', /is not empty: it stays as it is/],
  ] as const) {
    writeFileSync(file, something);
    const { status, err } = await run(['config', 'defaults', file, '--write']);
    assert.equal(status, EXIT.refused, something);
    assert.match(err.replaceAll('\n', ' '), why);
    assert.equal(readFileSync(file, 'utf8'), something);
  }
  assert.equal((await run(['config', 'defaults', at, '--write'])).status, EXIT.refused, 'a folder');
  assert.equal((await run(['config', 'defaults', join(at, 'none', 'x'), '--write'])).status, EXIT.refused);
  const { written, text: shown } = JSON.parse((await run(['config', 'defaults', '--json'])).out) as Record<
    string,
    unknown
  >;
  assert.deepEqual([written, shown], [false, text]);
});

test('doctor asks where the configuration says, unless a socket is named: one that is empty is not', async (t) => {
  const [socket, file] = [await agent(t), join(folder(t), 'config')];
  writeFileSync(file, `config report 'report'\n\toption socket '${socket}'\n`);
  const isAnswered = async (to: Screen, ...more: string[]) => {
    const { out } = await run(['doctor', '--no-scan', '--json', '--config', file, ...more], to);
    const { skipped } = JSON.parse(out) as { skipped: { check: string; why: string }[] };
    return !skipped.some(({ why }) => why === 'the agent does not answer');
  };
  assert.ok(await isAnswered(screen()));
  assert.ok(await isAnswered(screen({ environment: { X0_SOCKET: '' } })));
  assert.ok(!(await isAnswered(screen({ environment: { X0_SOCKET: `${socket}.not` } }))));
  assert.ok(!(await isAnswered(screen(), '--socket', `${socket}.not`)));
});

test('exit statuses', async (t) => {
  const socket = await agent(t, sources({ mesh: () => ({ ...sources().mesh(), mesh: null }) }), false);
  const missing = join(folder(t), 'none.sock');
  const table: [string[], number, RegExp][] = [
    [['status', '--socket', socket], EXIT.problem, /bat0 is not there/],
    [['status', '--socket', missing], EXIT.unreachable, /the agent does not run/],
    [['heal', 'mode', 'off', '--socket', socket], EXIT.refused, /may not change anything/],
    [['heal', 'explain', 'e9-f9', '--socket', socket], EXIT.refused, /no fault e9-f9/],
    [['heal', 'explain', '--socket', socket], EXIT.usage, /usage: x0ctl heal explain FAULT/],
    [['heal', 'explain', '../x', '--socket', socket], EXIT.usage, /is no fault/],
    [['heal', 'mode', 'maybe', '--socket', socket], EXIT.usage, /is no mode/],
    [['heal', 'mode', 'link-lossy', 'auto', '--socket', socket], EXIT.refused, /may not change anything/],
    [['heal', 'mode', 'link-lossy', 'maybe', '--socket', socket], EXIT.usage, /is no mode: off, observe, act or auto/],
    [['heal', 'kick', 'x', '--socket', socket], EXIT.usage, /is no MAC address/],
    [['heal', 'log', '--limit', 'many', '--socket', socket], EXIT.usage, /expected a whole number/],
    [['heal', 'log', '--limit', '-1', '--socket', socket], EXIT.usage, /is ambiguous\. Did you .*'--limit=-XYZ'\.\n/],
    [['heal', 'log', '--limit=-1', '--socket', socket], EXIT.usage, /--limit: expected a whole number/],
    [['status', 'more', '--socket', socket], EXIT.usage, /usage: x0ctl status/],
    [['status', '--dot'], EXIT.usage, /^x0ctl: there is no option --dot; x0ctl status --help shows .*\n$/],
    [['--nonsense'], EXIT.usage, /^x0ctl: there is no option --nonsense; x0ctl --help shows .*\n$/],
    [['heal', 'log', '-x'], EXIT.usage, /there is no option -x;/],
    [['--version'], EXIT.ok, /^\d+\.\d+\.\d+\S*\n$/],
    [['status', '--version'], EXIT.ok, /^\d+\.\d+\.\d+\S*\n$/],
    [['-h'], EXIT.ok, /In trouble, begin with/],
    [['heal', 'log', '-h'], EXIT.ok, /Example:/],
    [['heal', 'log', '--since', '9', '--socket', socket], EXIT.ok, /nothing after 9\.|TIME/],
    [['reboot'], EXIT.usage, /there is no command 'reboot'\n/],
    [['statsu'], EXIT.usage, /there is no command 'statsu'; 'status' is one/],
    [['heel', 'log'], EXIT.usage, /there is no command 'heel log'; 'heal log' is one/],
    [[], EXIT.usage, /In trouble, begin with/],
    [['heal'], EXIT.usage, /heal explain FAULT/],
    [['--help'], EXIT.ok, /In trouble, begin with/],
    [['heal', '--help'], EXIT.ok, /heal explain FAULT/],
    [['help', 'heal', 'log'], EXIT.ok, /Example:/],
  ];
  for (const [argv, expected, words] of table) {
    const { status, out, err } = await run(argv);
    assert.equal(status, expected, argv.join(' '));
    assert.match(out + err, words, argv.join(' '));
  }
});

test('a denied socket is a refusal, in a sentence of its own', async (t) => {
  const socket = await agent(t);
  await assert.doesNotReject(client(socket).get('/mesh/links'));
  chmodSync(socket, 0);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  const { status, err } = await run(['status', '--socket', socket]).finally(() => isRoot && process.seteuid?.(0));
  assert.equal(status, EXIT.refused);
  assert.match(err, /^x0ctl: you may not use the agent's socket .*; try as root \(E_FORBIDDEN\)\n$/);
});

test('an empty journal says so', () => {
  assert.equal(logText({ version: 1, entries: [] }, { columns: 80, color: false }), 'The journal is empty.\n');
  // From a start before the clock was set: no first of January.
  const early = {
    id: 1,
    time: '1970-01-01T00:00:40.000Z',
    fault: 'e1-f1',
    class: 'link-down',
    interface: null,
    peer: null,
  };
  const entry = {
    ...early,
    step: 'verified',
    action: 'kick',
    afterMs: 3,
    faultAtNs: 1,
    why: '',
    result: null,
  } as const;
  const shown = logText({ version: 1, entries: [entry as never] }, { columns: 80, color: false });
  assert.match(shown, /^\?\?-\?\? \d\d:\d\d:40 e1-f1/m);
});

test('a console that tells no size has 80 columns and 24 rows, a pipe is not cut', (t) => {
  const { stdout } = process;
  const names = ['isTTY', 'columns', 'rows'] as const;
  const before = names.map((name) => Object.getOwnPropertyDescriptor(stdout, name));
  t.after(() => {
    names.forEach((name, i) => {
      if (before[i]) Object.defineProperty(stdout, name, before[i]);
      else Reflect.deleteProperty(stdout, name);
    });
  });
  const set = (isTTY: boolean) => {
    for (const [name, value] of Object.entries({ isTTY, columns: 0, rows: 0 }))
      Object.defineProperty(stdout, name, { value, configurable: true, writable: true });
    return terminal();
  };
  const console = set(true);
  assert.deepEqual([console.columns, console.rows], [80, 24]);
  assert.equal(set(false).columns, Number.MAX_SAFE_INTEGER);
});

test('every command has help with an example, in 80 columns', async () => {
  for (const { name } of COMMANDS) {
    const { status, out } = await run([...name.split(' '), '--help']);
    assert.equal(status, EXIT.ok);
    assert.match(out, /Example:\n {2}x0ctl/);
    for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
  }
  for (const line of (await run(['--help'])).out.split('\n')) assert.ok(line.length <= 80, line);
});

test('config check needs no agent', async (t) => {
  const file = join(folder(t), 'x0tta6bl4');
  writeFileSync(file, "config heal 'heal'\n\toption mode 'act'\n\toption speed 'high'\n");
  const good = await run(['config', 'check', file]);
  assert.equal(good.status, EXIT.ok);
  assert.match(good.out, /:3: unknown option heal\.speed\n.* is valid\.\n$/);

  writeFileSync(file, "config heal 'heal'\n\toption mode 'sometimes'\n");
  const bad = await run(['config', 'check', file, '--json']);
  assert.equal(bad.status, EXIT.problem);
  assert.equal(mismatch(shapes.configReport.schema, JSON.parse(bad.out)), null);
  assert.equal((await run(['config', 'check', `${file}.not`])).status, EXIT.refused);
});

test('config check of a large file without sense says the first of its problems, and how many more there are', async (t) => {
  const file = join(folder(t), 'x0tta6bl4');
  writeFileSync(
    file,
    `config heal 'heal'\n\toption mode 'x'\n${'config tunnel\n'.repeat(40_000)}${'config program\n'.repeat(30_000)}`,
  );
  const { status, out } = await run(['config', 'check', file]);
  assert.equal(status, EXIT.problem);
  assert.ok(out.length < 30_000, `${out.length} characters`);
  assert.match(out, /:2: heal\.mode: [\s\S]*:3: tunnel\.name: [\s\S]*:102: tunnel\.name: /);
  assert.match(out, /\nand 69900 more, which are not listed\n\S+ has 70001 problems\.\n$/);
  const report = JSON.parse((await run(['config', 'check', file, '--json'])).out);
  assert.equal(mismatch(shapes.configReport.schema, report), null);
  assert.deepEqual([report.valid, report.problems.length, report.untold], [false, 101, 69_900]);
  writeFileSync(file, 'config tunnel\n'.repeat(100));
  assert.doesNotMatch((await run(['config', 'check', file])).out, /more, which/);
});

test('watch without a screen prints what changed', async (t) => {
  let mesh = sources().mesh();
  const socket = await agent(t, sources({ mesh: () => mesh }));
  const to = screen({
    sleep: () => {
      mesh = { ...mesh, links: mesh.links.map((link) => ({ ...link, quality: 'BAD' as const })) };
      return Promise.resolve();
    },
  });
  assert.equal((await run(['watch', '--count', '3', '--socket', socket], to)).status, EXIT.ok);
  assert.deepEqual(to.written.split('\n'), [
    'router-a is ok',
    'link eth0 02:00:00:00:01:0b: EXCELLENT',
    'link eth0 02:00:00:00:01:0b: BAD',
    '',
  ]);
});

test('watch on a screen redraws until q, and leaves the screen as it was', async (t) => {
  const socket = await agent(t);
  let press: (key: string) => void = () => {};
  let restored = false;
  const to = screen({
    isScreen: true,
    rows: 12,
    keys: (onKey) => {
      press = onKey;
      return () => {
        restored = true;
      };
    },
    sleep: () => {
      press('q');
      return Promise.resolve();
    },
  });
  assert.equal((await run(['watch', '--socket', socket], to)).status, EXIT.ok);
  assert.ok(to.written.startsWith('\x1b[?1049h'));
  assert.ok(to.written.endsWith('\x1b[?1049l'));
  assert.equal(to.written.split('\r\n').length, 12, 'no line more than the screen has');
  assert.ok(to.written.includes('q quits'));
  assert.ok(restored);
});

test('watch on a small screen keeps the newest of the journal', async (t) => {
  const socket = await agent(t);
  const ask = client(socket);
  const { entries } = (await ask.get('/heal/log')) as Of<typeof shapes.log>;
  const log = {
    version: 1,
    entries: Array.from({ length: 40 }, (_, i) => ({ ...entries[0]!, id: i, fault: `e9-f${i}` })),
  };
  const wide = { version: 1, links: [] as unknown[] };
  const many = (await ask.get('/mesh/links')) as Of<typeof shapes.links>;
  for (const links of [wide, { ...many, links: Array.from({ length: 60 }, () => many.links[0]!) }]) {
    const to = screen({ isScreen: true });
    const get = async (path: string) =>
      path.startsWith('/heal/log') ? log : path === '/mesh/links' ? links : ask.get(path);
    await watch({ ...ask, get }, to, false, 1, 1);
    const shown = to.written.split('\r\n');
    assert.equal(shown.length, 24);
    assert.match(shown.at(-2)!, /e9-f39 /);
    assert.match(shown.at(-8)!, /e9-f33 /);
    assert.ok(shown.some((line) => line.startsWith('TIME')));
  }
});

test('watch --json: an object a line, in the documented shapes, trouble too', async (t) => {
  const socket = await agent(t);
  const ask = client(socket);
  let looks = 0;
  const get = async (path: string) => {
    if (path === '/mesh/status' && ++looks === 3) throw new Error('gone');
    return ask.get(path);
  };
  const to = screen({ isScreen: true });
  await watch({ ...ask, get }, to, true, 1, 3);
  const [first, second, third, ...rest] = to.written.split('\n');
  assert.deepEqual(rest, ['']);
  for (const line of [first!, second!]) {
    const { version, status, links, log } = JSON.parse(line);
    assert.equal(version, 1);
    assert.equal(mismatch(shapes.status.schema, status), null);
    assert.equal(mismatch(shapes.links.schema, links), null);
    assert.equal(mismatch(shapes.log.schema, log), null);
  }
  assert.equal(mismatch(shapes.error.schema, JSON.parse(third!)), null);
  const documented = (command: string) => shapes.COMMANDS.find((one) => one.command === command)!.shape.schema;
  for (const line of [first!, second!, third!])
    assert.equal(mismatch(documented('x0ctl watch --json'), JSON.parse(line)), null);
  const mode = JSON.parse((await run(['heal', 'mode', '--json', '--socket', socket])).out);
  assert.equal(mismatch(documented('x0ctl heal mode --json'), mode), null);
  const refused = await run(['watch', '--json', '--socket', `${socket}.not`]);
  assert.equal(refused.out.trimEnd().split('\n').length, 1);
});

test('status keeps to the width of the screen, whatever it has to say, and counts what it does not list', async (t) => {
  const usual = sources().heal();
  const why = 'the directory /etc/x0tta6bl4/somewhere/deep cannot be used, for a reason that is told in many words';
  const socket = await agent(
    t,
    sources({
      degraded: () => [{ part: 'state', level: 'memory', why }],
      heal: () => ({ ...usual, faults: Array.from({ length: 40 }, (_, n) => ({ ...FAULT, id: `e1-f${n}` })) }),
    }),
  );
  const { out } = await run(['status', '--socket', socket]);
  assert.deepEqual(
    out.split('\n').filter((line) => line.length > 80),
    [],
  );
  assert.match(out.replaceAll(/\s+/g, ' '), /for a reason that is told in many words/);
  assert.match(out, /e1-f31 .*\n +and 8 more\n/);
});

test('what the network says cannot command the terminal', async (t) => {
  const evil = 'a\x1b[2J\u009b1m\u202eb\n';
  const mesh = sources().mesh();
  const socket = await agent(
    t,
    sources({ mesh: () => ({ ...mesh, node: evil, links: mesh.links.map((link) => ({ ...link, interface: evil })) }) }),
  );
  for (const line of [['status'], ['links'], ['links', '--json'], ['watch', '--count', '1']]) {
    const { out } = await run([...line, '--socket', socket]);
    assert.match(out, /^[\x20-\x7e\n]*$/, line.join(' '));
  }
  assert.equal(JSON.parse((await run(['links', '--json', '--socket', socket])).out).links[0].interface, evil);
  assert.equal(clean(evil), 'a?[2J?1m?b?');
  assert.equal(clean('the others\u2019 \u2192 \u2026'), "the others' -> ...");
});

test('tables fit, and colour only where it is wanted', () => {
  const columns = [
    { title: 'A', of: (row: string) => row, flexible: true, color: () => 'red' as const },
    { title: 'B', of: () => 'fixed', right: true },
  ];
  const plain = table(columns, ['x'.repeat(100), 'y'], { columns: 50, color: false });
  const [head, first] = plain.split('\n');
  assert.equal(head, `${'A'.padEnd(44)}     B`);
  assert.equal(first, `${'x'.repeat(43)}~ fixed`);
  assert.ok(table(columns, ['y'], { columns: 50, color: true }).includes('\x1b[31my\x1b[0m'));
});

test('long lines go on in the next', () => {
  assert.deepEqual(wrap('one two three', 80), ['one two three']);
  assert.deepEqual(wrap('one two three', 8, 2), ['one two', '  three']);
  assert.deepEqual(wrap('x'.repeat(10), 4), ['xxxx', 'xxxx', 'xx']);
  assert.deepEqual(wrap('', 4), ['']);
});

test('figures for people', () => {
  assert.deepEqual([0.04, 9.99, 42, 300, 9000, 400_000].map(age), ['0.0s', '10.0s', '42s', '5m', '3h', '5d']);
  assert.deepEqual([0.35, 12.34, 420, 4200].map(milliseconds), ['350 us', '12.3 ms', '420 ms', '4.2 s']);
});

test('as a program: answers on standard output, without colour where that is no terminal', async (t) => {
  const socket = await agent(t);
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../../../agent/ctl.ts'),
    'links',
    '--socket',
    socket,
  ]);
  let out = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(status, 0);
  assert.equal(out, SNAPSHOTS.links);
});

test('colours are for a screen that takes them, and for nobody who asked for none', (t) => {
  const { isTTY } = process.stdout;
  const { NO_COLOR, TERM } = process.env;
  const put = (name: 'NO_COLOR' | 'TERM', value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  t.after(() => {
    process.stdout.isTTY = isTTY;
    put('NO_COLOR', NO_COLOR);
    put('TERM', TERM);
  });
  for (const [isScreen, noColor, term, expected] of [
    [true, undefined, 'xterm', true],
    // no-color.org: an empty one asks for nothing.
    [true, '', 'xterm', true],
    [true, '1', 'xterm', false],
    [true, undefined, 'dumb', false],
    [false, undefined, 'xterm', false],
  ] as const) {
    process.stdout.isTTY = isScreen;
    put('NO_COLOR', noColor);
    put('TERM', term);
    assert.equal(terminal().color, expected, `${isScreen} ${noColor} ${term}`);
  }
});
