import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import type { JsonSchema } from '../../../agent/twin/fields.ts';
import { FAULTS, parseScenario, type Scenario, scenarioSchema } from '../../../agent/twin/scenario.ts';
import { scenarioOf as trialOf } from '../../../tools/bench/catalogue.ts';
import { x0lab as command, deliver } from '../../../tools/lab/cli.ts';
import { asHtml, escaped } from '../../../tools/lab/html.ts';
import { unplayableStandin } from '../../../tools/lab/netns.ts';
import { hopeless, unplayable } from '../../../tools/lab/play.ts';
import type { JournalRow, Played, PlayedFault } from '../../../tools/lab/played.ts';
import { buildReport } from '../../../tools/lab/report.ts';
import { isOfTheLab, VERDICTS } from '../../../tools/lab/verdicts.ts';
import { asText } from '../../../tools/lab/words.ts';

const LAB = join(import.meta.dirname, '../../../tools/lab');

function scenarioOf(document: object): Scenario {
  const whole = { format: 1, name: 'a ring', topology: { kind: 'ring', nodes: 4 }, ...document };
  const parsed = parseScenario(JSON.stringify(whole));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.scenario;
}

const CUT: PlayedFault = {
  name: 'f1',
  fault: 'carrier-loss',
  what: 'link r0 - r1',
  atMs: 5000,
  mendedMs: 20_000,
  untilMs: 20_000,
  routers: [0, 1],
  interfaces: { 0: ['to1'], 1: ['to0'] },
  links: [0],
  costs: [{ probe: 'p1', outageMs: 40, lost: 20, runs: 1, recovered: true }],
};

const row = (over: Partial<JournalRow>): JournalRow => ({
  router: 0,
  atMs: 5002,
  fault: 'e1-f1',
  class: 'link-down',
  interface: 'to1',
  peer: null,
  step: 'planned',
  action: 'none',
  why: '',
  result: null,
  ...over,
});

const played = (over: Partial<Played>): Played => ({
  agent: 'on',
  flowingMs: 1,
  durationMs: 40_000,
  problems: [],
  faults: [CUT],
  probes: [
    {
      name: 'p1',
      from: 0,
      to: 2,
      sent: 4000,
      lost: 20,
      stallMs: 1,
      stretches: [
        [4900, 10, 0, 90],
        [5000, 10, 10, 0],
      ],
      losses: [[5000, 5040, 20]],
    },
  ],
  journal: [],
  agents: [0, 1, 2, 3].map((router) => ({ router, state: 'running', exit: null })),
  reach: [{ from: 0, to: 1, ok: true }],
  drift: [],
  ...over,
});

const runOf = (journal: readonly JournalRow[], over: Partial<Played> = {}) =>
  buildReport(scenarioOf({}), 'uml', [played({ journal, ...over })]).runs[0]!;

const NAMING: readonly [what: string, entries: readonly Partial<JournalRow>[], detectionMs: number | null][] = [
  ['nobody says anything', [], null],
  ['the right class at an end, about the right interface', [{}], 2],
  ['the first that is right counts', [{ atMs: 5900 }, { router: 1, interface: 'to0', atMs: 5400 }].reverse(), 400],
  ['the right class about another interface', [{ interface: 'to3' }], null],
  ['the right class at a router that cannot see it', [{ router: 2, interface: 'to1' }], null],
  ['another class', [{ class: 'link-lossy' }], null],
  ['before the fault', [{ atMs: 4000 }], null],
  ['only when it was taken back', [{ atMs: 20_500 }], null],
];

for (const [what, entries, detectionMs] of NAMING)
  test(`named rightly: ${what}`, () => {
    const [fault] = runOf(entries.map(row)).faults;
    assert.equal(fault!.detection_ms, detectionMs);
    assert.equal(fault!.named === null, detectionMs === null);
  });

test('named rightly: while another fault is there too, but not of the next one of its kind', () => {
  const lossy: PlayedFault = { ...CUT, name: 'f0', fault: 'partial-loss', atMs: 1000, mendedMs: null, untilMs: 5000 };
  const said = { class: 'link-lossy', atMs: 9000 };
  const seen = (faults: readonly PlayedFault[]) => runOf([row({}), row(said)], { faults }).faults;
  const [first, cut] = seen([lossy, CUT]);
  assert.deepEqual([first!.detection_ms, cut!.detection_ms], [8000, 2]);
  const again = seen([lossy, CUT, { ...lossy, name: 'f2', atMs: 8000, untilMs: 20_000 }]);
  assert.deepEqual(
    again.map(({ detection_ms }) => detection_ms),
    [null, 2, 1000],
  );
});

const ACTIONS: readonly [what: string, entries: readonly Partial<JournalRow>[], actions: number, wrong: number][] = [
  ['a plan is no action', [{ action: 'kick' }], 0, 0],
  ['telling a person is no action', [{ step: 'done', action: 'tell' }], 0, 0],
  ['what a person asked for is none', [{ step: 'done', action: 'kick', class: 'asked', atMs: 1 }], 0, 0],
  [
    'done and verified are one',
    [
      { step: 'done', action: 'kick' },
      { step: 'verified', action: 'kick' },
    ],
    1,
    0,
  ],
  [
    'two actions of one fault are two',
    [
      { step: 'done', action: 'kick' },
      { step: 'done', action: 'detach' },
    ],
    2,
    0,
  ],
  [
    'two routers are two',
    [
      { step: 'done', action: 'kick' },
      { step: 'done', action: 'kick', router: 1, interface: 'to0' },
    ],
    2,
    0,
  ],
  [
    'elsewhere, what follows from it',
    [{ step: 'done', action: 'kick', class: 'remote-alarm', router: 2, interface: 'to1' }],
    1,
    0,
  ],
  ['in the aftermath', [{ step: 'done', action: 'reattach', atMs: 60_000 }], 1, 0],
  ['before the fault', [{ step: 'done', action: 'kick', atMs: 4000 }], 1, 1],
  ['long after', [{ step: 'done', action: 'kick', atMs: 66_000 }], 1, 1],
  ['for something else', [{ step: 'done', action: 'restore', class: 'config-drift' }], 1, 1],
];

for (const [what, entries, actions, wrong] of ACTIONS)
  test(`false actions: ${what}`, () => {
    const run = runOf(entries.map(row));
    assert.deepEqual([run.actions.length, run.false_actions], [actions, wrong]);
    assert.equal(run.faults[0]!.actions, actions - wrong);
  });

test('an action that was taken back counts as rolled back', () => {
  const run = runOf([
    row({ step: 'done', action: 'detach' }),
    row({ step: 'rolled-back', action: 'detach', atMs: 9000 }),
  ]);
  assert.deepEqual([run.rollbacks, run.faults[0]!.rollbacks, run.actions.length], [1, 1, 1]);
});

const cost = (over: object) => [{ ...CUT.costs[0]!, ...over }];
test('the death of a router with one link is named by what its only neighbour can see; of one with two it is not', () => {
  const killed: PlayedFault = { ...CUT, fault: 'router-killed' };
  for (const [links, says, isNamed] of [
    [[0], 'link-down', true],
    [[0], 'link-silent', true],
    [[0], 'link-lossy', false],
    [[0, 1], 'link-down', false],
    [[0, 1], 'neighbour-dead', true],
  ] as const) {
    const [fault] = runOf([row({ class: says })], { faults: [{ ...killed, links }] }).faults;
    assert.equal(fault!.named?.class, isNamed ? says : undefined, `${links} ${says}`);
  }
});

test('what a cut leaves without its gateway is no false action', () => {
  const { false_actions } = runOf([
    row({}),
    row({ class: 'gateway-lost', action: 'gateway-reselect', step: 'verified', fault: 'g' }),
  ]);
  assert.equal(false_actions, 0);
});

const REPAIRS: readonly [what: string, fault: Partial<PlayedFault>, repairMs: number | null][] = [
  ['packets flow again', {}, 40],
  ['they never stopped', { costs: cost({ outageMs: 0 }) }, 0],
  ['they flow only at the very end', { costs: cost({ outageMs: 12_500 }) }, null],
  ['they do not', { costs: cost({ recovered: false }) }, null],
  ['nobody watched', { costs: [] }, null],
  ['the worst probe counts', { costs: [...CUT.costs, ...cost({ outageMs: 90 })] }, 90],
  ['a state that came back', { fault: 'interface-taken', restoredMs: 6000 }, 1000],
  ['a state that came back before the packets', { fault: 'interface-taken', restoredMs: 5010 }, 40],
  ['a state that never came back', { fault: 'interface-taken', restoredMs: null }, null],
  ['nothing to repair', { fault: 'clock-stepped' }, null],
];

for (const [what, fault, repairMs] of REPAIRS)
  test(`repaired: ${what}`, () => {
    assert.equal(runOf([], { faults: [{ ...CUT, ...fault }] }).faults[0]!.repair_ms, repairMs);
  });

const EXPECTATIONS: readonly [expectation: object, over: Partial<Played>, held: boolean][] = [
  [{ expect: 'reachable' }, {}, true],
  [{ expect: 'reachable' }, { reach: [{ from: 0, to: 2, ok: false }] }, false],
  [{ expect: 'reachable', from: 'r1' }, { reach: [{ from: 0, to: 2, ok: false }] }, true],
  [{ expect: 'unreachable', from: 'r0', to: 'r2' }, { reach: [{ from: 0, to: 2, ok: false }] }, true],
  [{ expect: 'unreachable' }, {}, false],
  [{ expect: 'outage-below', ms: 41 }, {}, true],
  [{ expect: 'outage-below', ms: 40 }, {}, false],
  [{ expect: 'outage-below', ms: 1e6 }, { faults: [{ ...CUT, costs: cost({ recovered: false }) }] }, false],
  [{ expect: 'outage-below', ms: 41, fault: 'f1' }, { faults: [] }, false],
  [{ expect: 'loss-below', pct: 0.6 }, {}, true],
  [{ expect: 'loss-below', pct: 0.5 }, {}, false],
  [{ expect: 'found' }, { journal: [row({})] }, true],
  [{ expect: 'found', within_s: 0.001 }, { journal: [row({})] }, false],
  [{ expect: 'found' }, {}, false],
  [{ expect: 'found', as: ['remote-alarm'] }, { journal: [row({ class: 'remote-alarm', router: 2 })] }, true],
  [{ expect: 'repaired', within_s: 0.05 }, {}, true],
  [{ expect: 'repaired', within_s: 0.03 }, {}, false],
  [{ expect: 'repaired' }, { faults: [{ ...CUT, fault: 'clock-stepped' }] }, false],
  [{ expect: 'repaired' }, { faults: [CUT, { ...CUT, name: 'f2', fault: 'clock-stepped' }] }, true],
  [{ expect: 'found' }, { faults: [CUT, { ...CUT, name: 'f2', fault: 'agent-killed' }], journal: [row({})] }, true],
  [{ expect: 'found', fault: 'f1' }, { faults: [{ ...CUT, fault: 'agent-killed' }] }, false],
  [{ expect: 'no-actions' }, { journal: [row({})] }, true],
  [{ expect: 'no-actions' }, { journal: [row({ step: 'done', action: 'kick' })] }, false],
  [{ expect: 'no-false-actions' }, { journal: [row({ step: 'done', action: 'kick' })] }, true],
  [{ expect: 'no-false-actions' }, { journal: [row({ step: 'done', action: 'kick', atMs: 1 })] }, false],
  [{ expect: 'settings-as-before' }, {}, true],
  [{ expect: 'settings-as-before' }, { drift: ['r0: x was 1, is 2'] }, false],
  [{ expect: 'agents-alive' }, { agents: [{ router: 1, state: 'taken', exit: null }] }, true],
  [{ expect: 'agents-alive' }, { agents: [{ router: 1, state: 'ended', exit: 'SIGSEGV' }] }, false],
];

const PROBED = {
  probes: [{ from: 'r0', to: 'r2' }],
  timeline: [{ at_s: 5, for_s: 15, fault: 'carrier-loss', link: ['r0', 'r1'] }],
};

for (const [i, [expectation, over, held]] of EXPECTATIONS.entries())
  test(`expectation ${i + 1}: ${JSON.stringify(expectation)} ${held ? 'holds' : 'does not'}`, () => {
    const report = buildReport(scenarioOf({ ...PROBED, expect: [expectation] }), 'uml', [played(over)]);
    assert.equal(report.ok, held, report.expectations[0]!.why);
    assert.notEqual(report.expectations[0]!.why, '');
  });

test('an expectation counts for the runs that it names', () => {
  const scenario = scenarioOf({
    ...PROBED,
    expect: [{ expect: 'no-actions' }, { expect: 'reachable', agent: 'both' }],
  });
  const { expectations } = buildReport(scenario, 'uml', [played({ agent: 'off' }), played({})]);
  assert.deepEqual(
    expectations.map(({ expect, agent }) => [expect, agent]),
    [
      ['no-actions', 'on'],
      ['reachable', 'off'],
      ['reachable', 'on'],
    ],
  );
});

test('what could not be done makes the report not ok', () => {
  assert.equal(buildReport(scenarioOf({}), 'uml', [played({ problems: ['f1: no way'] })]).ok, false);
});

test('a machine that stood still, or was late, is named beside its figures', () => {
  const warned = (over: Partial<Played>) =>
    buildReport(scenarioOf({ timeline: [{ at_s: 5, for_s: 15, fault: 'carrier-loss', link: ['r0', 'r1'] }] }), 'uml', [
      played(over),
    ]);
  assert.deepEqual(warned({}).runs[0]!.warnings, []);
  const probe = { name: 'p1', from: 0, to: 2, sent: 100, lost: 0, stallMs: 23_156, stretches: [], losses: [] };
  const report = warned({ probes: [{ ...probe, stallMs: 900 }, probe], faults: [{ ...CUT, atMs: 8000 }] });
  const [stood, late, ...more] = report.runs[0]!.warnings;
  assert.match(stood!, /stood still for up to 23\.2 s/);
  assert.match(late!, /f1 came 3000 ms late/);
  assert.deepEqual(more, []);
  assert.equal(asText(report).filter((line) => line.includes('BEWARE')).length, 2);
});

test('every fault has a verdict', () => {
  assert.deepEqual(Object.keys(VERDICTS).sort(), Object.keys(FAULTS).sort());
});

// ---- the page ----

const HOSTILE = `<script>alert('1')</script>"&`;

test('a node may call itself <script>: nothing of a name becomes markup', () => {
  const links = [
    [HOSTILE, 'b'],
    ['b', '--><svg onload=x>'],
    [HOSTILE, '--><svg onload=x>'],
  ];
  const scenario = scenarioOf({
    name: HOSTILE,
    description: HOSTILE,
    topology: { kind: 'links', links },
    probes: [{ from: HOSTILE, to: 'b', name: HOSTILE }],
    expect: [{ expect: 'no-false-actions' }, { expect: 'settings-as-before' }],
  });
  const all = played({
    problems: [HOSTILE],
    faults: [{ ...CUT, name: HOSTILE, what: HOSTILE }],
    probes: [{ ...played({}).probes[0]!, name: HOSTILE }],
    journal: [row({ result: HOSTILE, class: HOSTILE, interface: HOSTILE, action: HOSTILE, step: 'done' })],
    agents: [0, 1, 2].map((router) => ({ router, state: 'ended', exit: HOSTILE })),
    drift: [HOSTILE],
  });
  const report = buildReport(scenario, 'uml', [all]);
  const page = asHtml(scenario, [all], report);
  assert.doesNotMatch(page, /<script|onload=x>|alert\('1'\)/);
  assert.ok(page.includes('&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;'));
  wellFormed(page);
  assert.doesNotMatch(page, /\b(?:src|href)=|url\(|@import|https?:/, 'something from elsewhere');
});

/** Every tag that is opened is closed in order; attributes are quoted. */
function wellFormed(page: string): void {
  const open: string[] = [];
  for (const [tag, slash, name] of page.matchAll(/<(\/?)([a-zA-Z0-9]+)(?:"[^"]*"|[^<>"])*>/g)) {
    if (slash) assert.equal(open.pop(), name, `${tag} closes another`);
    else if (!/^(meta|br)$/.test(name!) && !tag.endsWith('/>')) open.push(name!);
  }
  assert.deepEqual(open, []);
}

test('the page holds for any shape of mesh, no journal, no probe, no fault', () => {
  for (const topology of [
    { kind: 'grid', width: 3, height: 3 },
    { kind: 'star', nodes: 60 },
    { kind: 'tree', nodes: 9, branching: 3 },
    { kind: 'links', links: [['a', 'b']] },
  ]) {
    const scenario = scenarioOf({ topology });
    const none = played({ faults: [], probes: [], agents: [], reach: [] });
    const page = asHtml(scenario, [none], buildReport(scenario, 'uml', [none]));
    wellFormed(page);
    assert.doesNotMatch(page, /NaN|Infinity|undefined/);
  }
});

test('escaped: nothing that HTML or XML would take for its own', () => {
  assert.equal(escaped(`<a b="c">'&\u0000\u009b`), '&lt;a b=&quot;c&quot;&gt;&#39;&amp;  ');
});

test('as text: no control character reaches the terminal', () => {
  const report = buildReport(scenarioOf({ expect: [{ expect: 'settings-as-before' }] }), 'uml', [
    played({ drift: ['\u001b[2J'], faults: [{ ...CUT, what: '\u009b5n' }] }),
  ]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal.
  assert.doesNotMatch(asText(report).join(''), /[\x00-\x1f\x7f-\x9f]/);
});

// ---- what comes with it ----

const shipped = readdirSync(join(LAB, 'scenarios')).map((file) => join(LAB, 'scenarios', file));

test('every scenario that comes with it is well made, is called as its file, and fits the schema', () => {
  for (const file of [...shipped, join(LAB, 'start.json')]) {
    const source = readFileSync(file, 'utf8');
    const parsed = parseScenario(source);
    assert.ok(parsed.ok, `${file}: ${JSON.stringify(parsed)}`);
    assert.equal(misfit(scenarioSchema(), JSON.parse(source)), null, file);
    if (!file.endsWith('start.json')) assert.ok(file.endsWith(`/${parsed.scenario.name}.json`));
    assert.ok(parsed.scenario.expect.length > 0 && parsed.scenario.description, file);
  }
});

test('the scenarios that come with it have every fault', () => {
  const made = new Set(
    shipped
      .flatMap((file) => (JSON.parse(readFileSync(file, 'utf8')) as Scenario).timeline ?? [])
      .map(({ fault }) => fault),
  );
  assert.deepEqual(
    Object.keys(FAULTS).filter((fault) => !made.has(fault as 'delay')),
    [],
  );
});

test('the schema refuses what the parser refuses for its shape', () => {
  const good = JSON.parse(readFileSync(join(LAB, 'scenarios/cable-cut.json'), 'utf8')) as object;
  for (const bad of [
    { ...good, tpology: 1 },
    { ...good, format: 2 },
    { ...good, topology: { kind: 'ring', nodes: 2 } },
    { ...good, topology: { kind: 'ring', nodes: 4, width: 2 } },
    { ...good, timeline: [{ fault: 'carrier-loss', link: ['r0', 'r1'] }] },
    { ...good, expect: [{ expect: 'luck' }] },
  ])
    assert.notEqual(misfit(scenarioSchema(), bad), null, JSON.stringify(bad).slice(0, 200));
});

/** As much of JSON Schema as ours uses: another reading of it than the parser's. */
function misfit(schema: JsonSchema, value: unknown, at = '$'): string | null {
  if (schema.oneOf) {
    const fits = schema.oneOf.filter((one) => misfit(one, value, at) === null).length;
    if (fits !== 1) return `${at}: fits ${fits} of the alternatives`;
  }
  if ('const' in schema && value !== schema.const) return `${at}: const`;
  if (schema.enum && !schema.enum.includes(value)) return `${at}: enum`;
  const type = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
  if (schema.type === 'integer' ? !Number.isInteger(value) : schema.type !== undefined && schema.type !== type)
    return `${at}: is no ${schema.type}`;
  if (typeof value === 'number' && (value < (schema.minimum ?? value) || value > (schema.maximum ?? value)))
    return `${at}: range`;
  if (typeof value === 'string' && (value.length < (schema.minLength ?? 0) || value.length > (schema.maxLength ?? 1e9)))
    return `${at}: length`;
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? 1e9)) return `${at}: items`;
    for (const [i, item] of value.entries()) {
      const found = schema.items && misfit(schema.items, item, `${at}[${i}]`);
      if (found) return found;
    }
  } else if (type === 'object') {
    const members = value as Record<string, unknown>;
    for (const key of schema.required ?? []) if (!(key in members)) return `${at}.${key}: missing`;
    for (const [key, member] of Object.entries(members)) {
      if (Object.keys(schema.patternProperties ?? {}).some((pattern) => new RegExp(pattern).test(key))) continue;
      const own = schema.properties?.[key] ?? schema.additionalProperties;
      if (own === false) return `${at}.${key}: unknown`;
      const found = typeof own === 'object' ? misfit(own, member, `${at}.${key}`) : null;
      if (found) return found;
    }
  }
  return null;
}

test('the bench has a trial for every fault that the lab can make, which it can play', () => {
  for (const fault of (Object.keys(FAULTS) as (keyof typeof FAULTS)[]).filter(isOfTheLab))
    for (const turn of [0, 1, 4]) assert.deepEqual(unplayable(trialOf(fault, 5, turn)), []);
});

// ---- what this lab cannot do ----

const problemsOf = (document: object) => unplayable(scenarioOf(document)).map(({ code, path }) => [code, path]);

test('what one kernel cannot play is refused by name', () => {
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(problemsOf({ topology: { kind: 'ring', nodes: 65 } })[0], ['E_SCENARIO_LIMIT', '$.topology']);
  assert.deepEqual(problemsOf({ topology: { kind: 'star', nodes: 62 } })[0], ['E_SCENARIO_LIMIT', '$.topology']);
  const config = (heal: object) => problemsOf({ agent: { config: { heal } } });
  assert.deepEqual(config({ mode: 'observe', kick_count: 4, detach: false }), []);
  for (const section of ['report', 'workload']) {
    const socket = problemsOf({ agent: { config: { [section]: { socket: '/x' } } } });
    assert.deepEqual(socket, [['E_SCENARIO_KEY', `$.agent.config.${section}.socket`]]);
  }
});

test('no scenario starts a program on the machine that plays it', () => {
  const config = { alert: { command: ['/bin/sh', '-c', 'mount -o remount,rw /'] } };
  assert.deepEqual(problemsOf({ agent: { config } }), [['E_SCENARIO_KEY', '$.agent.config.alert.command']]);
  assert.deepEqual(
    unplayable(scenarioOf({ agent: { config } }), 'qemu').map(({ path }) => path),
    ['$.agent.config.alert.command'],
  );
});

test('different faults that only one mending would end are refused, and all others may overlap', () => {
  const link = ['r0', 'r1'];
  const refused = (first: object, second: object, medium = 'cable') => {
    const timeline = [
      { at_s: 1, for_s: 20, ...first },
      { at_s: 5, for_s: 5, ...second },
    ];
    const found = unplayable(scenarioOf({ topology: { kind: 'ring', nodes: 4, medium }, timeline }));
    assert.ok(
      found.every(({ code, path }) => code === 'E_SCENARIO_VALUE' && path === '$.timeline[1].at_s'),
      JSON.stringify(found),
    );
    return found.length > 0;
  };
  const cut = { fault: 'carrier-loss', link };
  assert.ok(refused(cut, { fault: 'silent-loss', link: ['r1', 'r0'] }));
  assert.ok(refused({ fault: 'partition', nodes: ['r0', 'r3'] }, cut));
  assert.ok(refused({ fault: 'router-killed', node: 'r1' }, cut));
  assert.ok(refused({ fault: 'agent-killed', node: 'r1' }, { fault: 'router-killed', node: 'r1' }));
  assert.ok(refused({ fault: 'interface-taken', link }, { fault: 'interface-bridged', link }));
  assert.ok(refused({ fault: 'one-way', link }, { fault: 'silent-loss', link }, 'shared'));
  assert.ok(
    refused({ fault: 'interface-taken', link }, { fault: 'interface-bridged', link: ['r0', 'r3'] }, 'shared'),
    'one interface for all',
  );

  assert.ok(!refused(cut, { fault: 'carrier-loss', link: ['r1', 'r2'] }));
  assert.ok(!refused(cut, { fault: 'partial-loss', loss_pct: 5, link }));
  assert.ok(!refused({ fault: 'one-way', link }, { fault: 'one-way', link: ['r1', 'r0'] }));
  assert.ok(!refused({ fault: 'interface-taken', link }, { fault: 'interface-taken', link: ['r1', 'r0'] }));
  assert.ok(
    !refused(
      { fault: 'setting-changed', node: 'r0', setting: 'hop_penalty', value: 9 },
      { fault: 'setting-changed', node: 'r0', setting: 'bonding', value: true },
    ),
  );
  assert.ok(!refused({ ...cut, for_s: 4 }, { fault: 'silent-loss', link }), 'one after the other');
  assert.ok(!refused({ ...cut, for_s: undefined }, { fault: 'router-killed', node: 'r0', for_s: undefined }));
});

test('what only the twin can make is refused by name, and bat0 made anew beside a client network', () => {
  const entries = (...timeline: object[]) => unplayable(scenarioOf({ timeline }));
  const poked = entries(
    { at_s: 1, fault: 'table-stale', node: 'r0', of: 'r1' },
    { at_s: 2, fault: 'route-stuck', node: 'r0', to: 'r2', by: 'r1' },
  );
  assert.deepEqual(
    poked.map(({ code, path }) => [code, path]),
    [0, 1].map((i) => ['E_SCENARIO_VALUE', `$.timeline[${i}].fault`]),
  );
  for (const { message } of poked) assert.match(message, /in the twin only \(x0ctl twin run\)/);
  const unbridged = { at_s: 1, for_s: 5, fault: 'bat0-unbridged', node: 'r0' };
  const other = { at_s: 20, for_s: 5, fault: 'algorithm-changed', node: 'r1' };
  assert.deepEqual(entries(unbridged, { at_s: 9, fault: 'bat0-down', node: 'r0', for_s: 3 }), []);
  assert.deepEqual(entries(other), []);
  assert.match(entries(unbridged, other)[0]!.message, /not with algorithm-changed/);
});

test('a mesh by radio is the twin’s: every kernel refuses it and says so', () => {
  const RADIO = { topology: { kind: 'ring', nodes: 4, medium: 'radio' } };
  for (const kernel of ['uml', 'qemu'] as const) {
    const [first, ...rest] = unplayable(scenarioOf(RADIO), kernel);
    assert.deepEqual([first?.code, first?.path, rest], ['E_SCENARIO_VALUE', '$.topology.medium', []]);
    assert.match(first!.message, /in the twin only \(x0ctl twin run\)/);
  }
  const refused = unplayableStandin(scenarioOf(RADIO), 'on');
  assert.ok(refused.some(({ path }) => path === '$.topology'));
});

test('--kernel qemu plays a shared medium over radios, and refuses by name what those cannot do', () => {
  const SHARED = { probes: PROBED.probes, topology: { kind: 'ring', nodes: 4, medium: 'shared' } };
  const paths = (document: object) => unplayable(scenarioOf(document), 'qemu').map(({ path }) => path);
  const fault = (more: object) => ({ ...SHARED, timeline: [{ at_s: 1, link: ['r0', 'r1'], ...more }] });
  assert.deepEqual(paths(fault({ fault: 'partial-loss', loss_pct: 30 })), []);
  assert.deepEqual(paths(fault({ fault: 'one-way' })), []);
  assert.deepEqual(paths({ ...SHARED, link: { loss_pct: 5 } }), []);
  assert.deepEqual(paths(fault({ fault: 'delay', delay_ms: 30 })), ['$.timeline[0].fault']);
  assert.deepEqual(paths({ ...SHARED, link: { delay_ms: 5 } }), ['$.link.delay_ms']);
  assert.deepEqual(paths({ ...SHARED, links: [{ between: ['r0', 'r1'], rate_kbit_s: 500 }] }), [
    '$.links[0].rate_kbit_s',
  ]);
  assert.deepEqual(paths({ topology: { kind: 'ring', nodes: 13 } }), ['$.topology']);
  // Over cables that kernel does what the other does.
  const cable = { ...PROBED, timeline: [{ at_s: 1, fault: 'delay', delay_ms: 30, link: ['r0', 'r1'] }] };
  assert.deepEqual(paths(cable), []);
});

test('--kernel netns refuses what it cannot play, by name', () => {
  const paths = (document: object, agent: 'on' | 'both' = 'on') =>
    unplayableStandin(scenarioOf(document), agent)
      .filter(({ message }) => !message.includes('root'))
      .map(({ path }) => path);
  const STAR = {
    topology: { kind: 'star', nodes: 4 },
    timeline: [{ at_s: 1, fault: 'carrier-loss', link: ['r0', 'r2'] }],
  };
  assert.deepEqual(paths({ ...STAR, expect: [{ expect: 'found' }] }), []);
  assert.deepEqual(paths(STAR, 'both'), ['$']);
  assert.deepEqual(paths({ ...STAR, expect: [{ expect: 'reachable' }] }), ['$.expect[0].expect']);
  assert.deepEqual(paths({ ...PROBED, timeline: [{ at_s: 1, fault: 'bat0-deleted', node: 'r1' }] }), [
    '$.topology',
    '$.probes',
    '$.timeline[0].fault',
  ]);
});

// ---- the command line ----

const work = mkdtempSync(join(tmpdir(), 'x0lab-test-'));
after(() => rmSync(work, { recursive: true }));

async function x0lab(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const { signal } = new AbortController();
  const code = await command(args, { out: (text) => out.push(text), err: (text) => err.push(text), signal });
  return { code, out: out.join(''), err: err.join('') };
}

const file = (name: string, content: unknown) => {
  const path = join(work, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};

test('bad input ends with 2 and names the key; as JSON too', async () => {
  const bad = file('bad.json', { format: 1, name: 'x', topology: { kind: 'ring', nodes: 4 }, timelime: [] });
  const [text, json] = await Promise.all([x0lab('run', bad), x0lab('run', bad, '--json')]);
  assert.equal(text.code, 2);
  assert.match(text.err, /\$\.timelime: no such key.*\(E_SCENARIO_KEY\)/);
  assert.equal(text.out, '');
  assert.equal(json.code, 2);
  const { ok, problems } = JSON.parse(json.out) as { ok: boolean; problems: { path: string }[] };
  assert.deepEqual([ok, problems[0]!.path], [false, '$.timelime']);
});

test('nothing of what a scenario says reaches the terminal but as text, and an editor may have marked it as UTF-8', async () => {
  const ring = JSON.stringify({ format: 1, name: 'x', topology: { kind: 'ring', nodes: 4 } });
  const hostile = file('hostile.json', ring.replace('"x"', '"x","\u009b2J\u202e\u0085":1'));
  for (const name of [hostile, file('quoted.json', '\u009b2J'), '\u009b2J']) {
    const { code, err } = await x0lab('check', name);
    assert.equal(code, 2);
    assert.doesNotMatch(err, /[\u0080-\u009f\u202e]/);
  }
  assert.equal((await x0lab('check', file('marked.json', `\ufeff${ring}`))).code, 0);
  const other = join(work, 'other.json');
  writeFileSync(other, Buffer.from(ring, 'utf16le').fill(0xff, 0, 1));
  assert.match((await x0lab('check', other)).err, /is not UTF-8/);
});

test('the program ends with the exit code of its command', async () => {
  const program = join(LAB, '../x0lab');
  const code = await new Promise((settle) => {
    execFile(program, ['run', 'nowhere'], (error) => settle(error?.code));
  });
  assert.equal(code, 2);
});

test('wrong usage ends with 2', async () => {
  const outside = file('outside.json', {
    format: 1,
    name: 'x',
    topology: { kind: 'netjson', file: '../../etc/passwd' },
  });
  const fifo = file('fifo.json', { format: 1, name: 'x', topology: { kind: 'netjson', file: 'fifo' } });
  execFileSync('mkfifo', [join(dirname(fifo), 'fifo')]);
  const cases: readonly [args: string[], says: RegExp][] = [
    [['check', fifo], /\$\.topology\.file/],
    [[], /usage/],
    [['fly'], /no command fly/],
    [['toString'], /no command toString/],
    [['run'], /usage/],
    [['run', 'no-such-scenario'], /there is no scenario/],
    [['run', 'cable-cut', '--kernel', 'windows'], /--kernel is one of uml, netns, qemu/],
    [['run', 'cable-cut', '--agent', 'maybe'], /--agent/],
    [['run', 'cable-cut', '--seed', '-1'], /--seed/],
    [['run', 'cable-cut', '--wings'], /wings/],
    [['check', 'cable-cut', '--kernel', 'netns'], /check has no option --kernel\n/],
    [['list', '--seed', '3'], /list has no option --seed\n/],
    [['new', '--json'], /new has no option --json\n/],
    [['run', 'cable-cut', '--html', '/no/such/place.html'], /--html/],
    [['run', 'cable-cut', '--logs', fifo], /--logs: .*EEXIST/],
    [['run', 'cable-cut', '--logs', join(fifo, 'logs')], /--logs: .*ENOTDIR/],
    [['check', outside], /\$\.topology\.file/],
  ];
  const answers = await Promise.all(cases.map(([args]) => x0lab(...args)));
  for (const [i, [args, says]] of cases.entries()) {
    assert.equal(answers[i]!.code, 2, args.join(' '));
    assert.match(answers[i]!.err, says);
  }
});

test('a topology is read beside its scenario or below, and nowhere else, whatever links lead there', async () => {
  const graph = { type: 'NetworkGraph', protocol: 'x', version: null, metric: null, nodes: [{ id: 'a' }, { id: 'b' }] };
  const content = JSON.stringify({ ...graph, links: [{ source: 'a', target: 'b', cost: 1 }] });
  const above = join(work, 'above.json');
  const below = join(work, 'box/below');
  mkdirSync(below, { recursive: true });
  writeFileSync(above, content);
  writeFileSync(join(below, 'mine.json'), content);
  symlinkSync(above, join(below, 'link.json'));
  symlinkSync(work, join(below, 'up'));
  symlinkSync('below/mine.json', join(work, 'box/inner.json'));
  for (const [name, code] of [
    ['below/mine.json', 0],
    ['inner.json', 0],
    ['below/link.json', 2],
    ['below/up/above.json', 2],
    ['below/../../above.json', 2],
    [above, 2],
  ] as const) {
    const scenario = file('box/its.json', { format: 1, name: 'x', topology: { kind: 'netjson', file: name } });
    const { code: ended, err } = await x0lab('check', scenario);
    assert.equal(ended, code, `${name}: ${err}`);
  }
});

test('what is no file is no scenario: it is neither read without end nor waited for', async () => {
  const pipe = join(work, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const name of ['/dev/zero', pipe, work]) {
    const { code, err } = await x0lab('check', name);
    assert.equal(code, 2, name);
    assert.match(err, /is not a file/, name);
  }
});

test('a page that cannot be written: what can be known before is refused, and the report is never lost', async () => {
  const early = await x0lab('run', 'cable-cut', '--html', work);
  assert.equal(early.code, 2);
  assert.match(early.err, /--html: .* is a directory/);
  const scenario = scenarioOf({});
  const all = [played({})];
  const report = buildReport(scenario, 'uml', all);
  const said = { out: '', err: '' };
  const terminal = { out: (text: string) => (said.out += text), err: (text: string) => (said.err += text) };
  assert.equal(await deliver(scenario, all, report, { html: work, json: true }, terminal), 1);
  assert.deepEqual(JSON.parse(said.out), JSON.parse(JSON.stringify(report)));
  assert.match(said.err, /there is no page: EISDIR/);
});

test('LANs that are joined by one cable each are played, a router in two pairs is named', () => {
  const loop = (...nodes: string[]) => ({ at_s: 1, fault: 'bridge-loop', nodes });
  assert.deepEqual(problemsOf({ timeline: [loop('r0', 'r1'), loop('r2', 'r3')] }), []);
  const again = { ...loop('r1', 'r0'), at_s: 30 };
  assert.deepEqual(problemsOf({ timeline: [{ ...loop('r0', 'r1'), for_s: 5 }, again] }), []);
  assert.deepEqual(problemsOf({ timeline: [loop('r0', 'r1'), loop('r1', 'r2'), loop('r3', 'r0')] }), [
    ['E_SCENARIO_VALUE', '$.timeline[0].nodes'],
    ['E_SCENARIO_VALUE', '$.timeline[1].nodes'],
  ]);
});

test('an expectation that no run could meet is told before one', () => {
  const killed = { at_s: 1, fault: 'agent-killed', node: 'r0' };
  const cut = { at_s: 2, fault: 'carrier-loss', link: ['r0', 'r1'] };
  const probes = [{ from: 'r0', to: 'r2' }];
  const cases: readonly [document: object, path: string | null][] = [
    [{ timeline: [killed], expect: [{ expect: 'found' }] }, '$.expect[0].expect'],
    [{ timeline: [killed], expect: [{ expect: 'found', as: ['overload'] }] }, null],
    [{ timeline: [killed, cut], expect: [{ expect: 'found' }] }, null],
    [{ timeline: [killed, cut], expect: [{ expect: 'found', fault: 'f1' }] }, '$.expect[0].fault'],
    [{ timeline: [killed, cut], probes, expect: [{ expect: 'repaired' }] }, null],
    [{ timeline: [killed, cut], expect: [{ expect: 'repaired' }] }, '$.expect[0].expect'],
    [{ timeline: [killed, cut], probes, expect: [{ expect: 'repaired', fault: 'f1' }] }, '$.expect[0].fault'],
    [{ timeline: [{ at_s: 1, fault: 'bat0-deleted', node: 'r1' }], expect: [{ expect: 'repaired' }] }, null],
  ];
  for (const [document, path] of cases) {
    assert.deepEqual(unplayable(scenarioOf(document)), []);
    const paths = hopeless(scenarioOf(document)).map((one) => one.split(': ')[0]);
    assert.deepEqual(paths, path === null ? [] : [path], JSON.stringify(document));
  }
});

test('new writes a scenario that is well made, and overwrites nothing', async () => {
  assert.equal((await x0lab('new', join(work, 'mine.json'))).code, 0);
  const [checked, again] = await Promise.all([
    x0lab('check', join(work, 'mine.json')),
    x0lab('new', join(work, 'mine.json')),
  ]);
  assert.equal(checked.code, 0);
  assert.match(checked.out, /4 nodes, 4 links, 1 fault in/);
  assert.equal(again.code, 2);
  assert.match(again.err, /is there already/);
  assert.ok(existsSync(join(work, 'mine.json')));
});

test('list has a line for each, schema is the one beside the sources', async () => {
  const [list, schema] = await Promise.all([x0lab('list', '--json'), x0lab('schema')]);
  assert.equal((JSON.parse(list.out) as object[]).length, shipped.length);
  assert.equal(schema.out, readFileSync(join(LAB, 'scenario.schema.json'), 'utf8'));
});
