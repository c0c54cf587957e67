/** Every command on a console of 80 columns without UTF-8: with the longest names there are, and with names that are attacks. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULTS } from '../../../agent/config/schema.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { SOCKET } from '../../../agent/ctl/command.ts';
import { COMMANDS } from '../../../agent/ctl/commands.ts';
import { main } from '../../../agent/ctl/main.ts';
import { profileText } from '../../../agent/ctl/views.ts';
import { hear } from '../../../agent/host/http.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import type { Sources } from '../../../agent/report/sources.ts';
import { BEACON, DESK, ENTRIES, FAULT, meshOfThree, PEER, sources } from '../report/fixture.ts';
import { screen } from './screen.ts';

const COLUMNS = 80;

/** What people and networks name themselves. */
interface Names {
  readonly node: string;
  readonly interface: string;
  readonly words: string;
}
const LONG: Names = {
  node: 'a-router-with-a-name-of-sixty-three-letters-which-is-the-most-x',
  interface: 'wlan1-mesh-5ghz',
  words: 'a sentence that goes on and on, about many things that happened, '.repeat(5),
};
const EVIL: Names = {
  node: '\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>\u009b31m\u202e',
  interface: "\x1b[1m';reboot;'",
  words: `\r\n\x1b[A\x00${'\u2028<img src=x onerror=alert(1)>'.repeat(9)}`,
};

function agentOf({ node, interface: name, words }: Names): Sources {
  const mesh = meshOfThree().view();
  const fault = { ...FAULT, id: 'e123456-f1234567', class: 'translation-inconsistent', interface: name } as const;
  const entries = ENTRIES.map((entry) => ({
    ...entry,
    decision: {
      ...entry.decision,
      fault,
      why: words,
      result: words,
      step: 'rolled-back',
      action: 'recreate-mesh',
    } as const,
  }));
  const station = {
    interface: 7,
    station: '02:00:00:00:01:0b',
    signal: -100,
    txBitrate: 1_200_900,
    peerLink: 'confirm-received',
  } as const;
  const neighbour = {
    interface: name,
    neighbour: '02:00:00:00:01:0b',
    frames: 1e12,
    bytes: 1e15,
    silent: true,
    lastSeenNs: 1e15,
    received: 1,
    lost: 1,
    lossOnAir: 1,
    restarts: 0,
    medianGapNs: 1,
  };
  return sources({
    degraded: () => [{ part: words, level: node, why: words }],
    trial: { secondsLeft: () => 3600, decide: () => true },
    mesh: () => ({
      ...mesh,
      node,
      meshInterface: name,
      hardInterfaces: mesh.hardInterfaces.map((hard) => ({ ...hard, name, active: false })),
      nodes: mesh.nodes.map((one) => ({ ...one, interface: name, throughput: 9_999_999, lastSeen: -9e5 * SECOND })),
      links: mesh.links.map((link) => ({
        ...link,
        interface: name,
        originator: '02:00:00:00:00:0b',
        quality: 'EXCELLENT',
        latencyNs: 12.3e6,
        loss: 1,
        throughput: 9_999_999,
        radio: station,
      })),
    }),
    workload: () => ({
      socket: `/${words}`,
      entries: 1e9,
      connections: 1e9,
      streams: 1e9,
      certificates: 1e9,
      tokens: 1e9,
      trouble: words,
    }),
    peers: {
      view: () => [{ ...PEER, id: `spiffe://x0tta6bl4.mesh/router/${node}`, node, address: `fe80::1%${name}` }],
      halfOpen: 9,
      ask: () => '',
      answer: () => null,
    },
    trust: {
      ...DESK,
      view: () => ({
        ...DESK.view()!,
        id: `spiffe://x0tta6bl4.mesh/router/${node}`,
        names: new Map(['00:0b', '00:0c', '01:0b'].map((end) => [`02:00:00:00:${end}`, node])),
        trouble: words,
        suite: words,
      }),
      invite: () => ({ text: 'a'.repeat(72), id: 'ff'.repeat(8), untilMs: 0 }),
      members: () => [{ key: 'ab'.repeat(32), node, notAfter: 0, by: words }],
    },
    beacon: () => ({
      ...BEACON,
      neighbours: BEACON.neighbours.map((one) => ({ ...one, interface: name, state: 'suspected' })),
    }),
    heal: () => ({
      ...sources().heal(),
      faults: [{ ...fault, evidence: [{ source: 'rtnetlink', what: words, at: 0 }] }],
      repairs: [{ fault, action: 'recreate-mesh', state: words }],
      undoArmed: [words],
      classes: [
        {
          class: 'translation-inconsistent',
          mode: 'observe',
          safe: true,
          acts: false,
          right: 1234.5,
          wrong: 1234.5,
          confidence: 0.999,
        },
      ],
    }),
    journal: { ...sources().journal, query: () => entries },
    recorder: {
      list: () => [{ id: 123, wall: 0, bytes: 1e9, faults: Array<string>(20).fill('e123456-f1234567'), why: 'ended' }],
      export: () => null,
    },
    xdp: () => ({
      level: 'packet-socket',
      why: words,
      variant: 'timer',
      jit: true,
      interfaces: [{ name, level: 'packet-socket', why: words }],
      neighbours: [neighbour],
      totals: { [words.slice(0, 20)]: 1e15 },
      strangers: 1e9,
      medianHandshakeNs: 1e9,
      programs: [],
      lockedBytes: 1e9,
      shared: { opened: 0, established: 0, spent: 0.5 },
    }),
  });
}

async function serve(t: TestContext, from: Sources): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  const socket = join(folder, 's');
  const server = createServer(hear(from, new Metrics(), () => ({ name: 'uid 0', mayChange: true })));
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });
  return socket;
}

/** Commands with what they are run with here. Others write files, change this machine, or have a test of their own. */
const LINES: Readonly<Record<string, readonly string[][]>> = {
  status: [[]],
  nodes: [[]],
  links: [[]],
  topology: [[], ['--to', '02:00:00:00:00:0c']],
  beacon: [[]],
  watch: [['--count', '1']],
  'heal log': [[]],
  'heal explain': [['e123456-f1234567']],
  'heal verify': [[]],
  'heal mode': [[], ['classes'], ['link-lossy', 'observe']],
  'heal kick': [[], ['02:00:00:00:00:0c']],
  'record list': [[]],
  'mesh members': [[]],
  peers: [[]],
  invite: [[], ['NAME']],
  join: [['TEXT', '--seconds', '1']],
  xdp: [[]],
  probes: [[]],
  tunnels: [[]],
  workload: [[]],
  'bpf explain': [['mesh'], ['pass']],
  'config check': [['FILE']],
  'config migrate': [['FILE']],
  'config trial': [[]],
  'config confirm': [[]],
  'config revert': [[]],
  'twin what-if': [['kill', '0b']],
  'twin run': [['/nowhere/at/all']],
  replay: [['/nowhere/at/all']],
};
const ELSEWHERE = [
  'mesh init',
  'mesh steward',
  'mesh revoke',
  'mesh readmit',
  'mesh rotate',
  'ping',
  'traceroute',
  'throughput',
  'doctor',
  'diag',
  'record export',
  'bpf profile',
  'config defaults',
  'completion',
];

test('every command is tried here, or elsewhere', () => {
  assert.deepEqual(
    COMMANDS.map(({ name }) => name).filter((name) => !(name in LINES) && !ELSEWHERE.includes(name)),
    [],
  );
});

test('the socket is the schema’s', () => {
  assert.equal(SOCKET, DEFAULTS.report.socket);
});

for (const [kind, names] of [
  ['the longest names', LONG],
  ['names that are attacks', EVIL],
] as const)
  test(`${kind}: 80 columns, and nothing but printable ASCII`, async (t) => {
    const socket = await serve(t, agentOf(names));
    const file = join(mkdtempSync(join(tmpdir(), 'x0ctl-')), 'a-configuration-file-with-a-long-name');
    t.after(() => rmSync(join(file, '..'), { recursive: true, force: true }));
    writeFileSync(file, `config heal 'heal'\n\toption mode '${names.node}'\n\toption ${'x'.repeat(90)} '1'\n`);
    const wide: string[] = [];
    for (const [name, lines] of Object.entries(LINES))
      for (const line of lines) {
        // What watch redraws on a screen has a test of its own.
        const to = screen({ columns: COLUMNS, isScreen: name !== 'watch' });
        const words = [...name.split(' '), ...line.map((word) => (word === 'FILE' ? file : word))];
        await main([...words, '--socket', socket], to);
        const said = to.written + to.complained;
        assert.notEqual(said, '', name);
        assert.match(said, /^[\x20-\x7e\n]*$/, name);
        if (name !== 'watch')
          for (const one of said.split('\n')) if (one.length > COLUMNS) wide.push(`${words.join(' ')}: ${one}`);
      }
    const programs = [{ name: 'x'.repeat(15), runs: 1e12, nsARun: 1e9, runsASecond: 1e9, share: 1 }];
    wide.push(
      ...profileText(programs, { columns: COLUMNS, color: false })
        .split('\n')
        .filter((one) => one.length > COLUMNS),
    );
    assert.deepEqual(wide, []);
  });
