import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ERRORS } from '../../../agent/core/errors.ts';
import { EXPECTATIONS, FAULTS, type Parsed, parseScenario, scenarioSchema } from '../../../agent/twin/scenario.ts';

const RING = { format: 1, name: 'a ring', topology: { kind: 'ring', nodes: 4 } };
const parse = (document: unknown, files: Record<string, string> = {}): Parsed =>
  parseScenario(JSON.stringify(document), { readFile: (name) => files[name] });
const withEntry = (entry: object) => ({
  ...RING,
  probes: [{ from: 'r0', to: 'r2' }],
  timeline: [{ at_s: 1, ...entry }],
});
const withExpect = (expectation: object) => ({ ...RING, expect: [expectation] });

test('a scenario of nothing but a name and a topology has every default', () => {
  const parsed = parse(RING);
  assert.ok(parsed.ok);
  const { scenario } = parsed;
  assert.deepEqual(scenario.graph.nodes, ['r0', 'r1', 'r2', 'r3']);
  assert.equal(scenario.graph.medium, 'cable');
  assert.equal(scenario.kernel.algorithm, 'BATMAN_IV');
  assert.equal(scenario.kernel.orig_interval_ms, 1000);
  assert.equal(scenario.duration_s, 30);
  assert.equal(scenario.seed, 1);
});

test('the timeline is in the order of time, with names by the order of the file', () => {
  const parsed = parse({
    ...RING,
    timeline: [
      { at_s: 20, fault: 'bat0-deleted', node: 'r1', for_s: 5 },
      { at_s: 3, fault: 'carrier-loss', link: ['r1', 'r0'], name: 'the cut' },
    ],
  });
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.scenario.timeline.map(({ name, at_s }) => [name, at_s]),
    [
      ['the cut', 3],
      ['f1', 20],
    ],
  );
  assert.equal(parsed.scenario.duration_s, 55);
});

test('a seed from outside counts instead of the own one', () => {
  const parsed = parseScenario(JSON.stringify({ ...RING, seed: 3 }), { seed: 9 });
  assert.ok(parsed.ok);
  assert.equal(parsed.scenario.seed, 9);
});

test('a key that is there twice is named, wherever it is; a comment may be', () => {
  const text = JSON.stringify({ ...RING, timeline: [{ at_s: 1, fault: 'carrier-loss', link: ['r0', 'r1'] }] });
  const commented = text.replace('{', '{"//":"a","//":"b",');
  assert.ok(parseScenario(commented).ok);
  const cases: readonly [text: string, path: string][] = [
    [text.replace('"format":1', '"format":1,"format":2'), '$.format'],
    [text.replace('"nodes":4', '"nodes":4,"nodes":5'), '$.topology.nodes'],
    [text.replace('"at_s":1', '"at_s":1,"fault":"bat0-deleted"'), '$.timeline[0].fault'],
    [text.replace('"name"', '"a b":1,"a b":2,"name"'), '$["a b"]'],
  ];
  for (const [wrong, path] of cases) {
    const parsed = parseScenario(wrong);
    assert.deepEqual(parsed, { ok: false, problems: [{ code: 'E_SCENARIO_KEY', path, message: 'is there twice' }] });
  }
});

const LINK = { fault: 'carrier-loss', link: ['r0', 'r1'] };
const BAD: readonly [what: string, document: unknown, code: string, path: string][] = [
  ['a number', 7, 'E_SCENARIO_VALUE', '$'],
  ['null', null, 'E_SCENARIO_VALUE', '$'],
  ['an array', [RING], 'E_SCENARIO_VALUE', '$'],
  ['another version', { ...RING, format: 2 }, 'E_SCENARIO_FORMAT', '$.format'],
  ['a version as text', { ...RING, format: '1' }, 'E_SCENARIO_VALUE', '$.format'],
  ['no version', { name: 'x', topology: RING.topology }, 'E_SCENARIO_KEY', '$.format'],
  ['no name', { format: 1, topology: RING.topology }, 'E_SCENARIO_KEY', '$.name'],
  ['an empty name', { ...RING, name: '' }, 'E_SCENARIO_VALUE', '$.name'],
  ['a name with a control character of eight bits', { ...RING, name: 'a\u009b2J' }, 'E_SCENARIO_VALUE', '$.name'],
  ['a name that turns the direction round', { ...RING, name: 'a\u202eb' }, 'E_SCENARIO_VALUE', '$.name'],
  [
    'links that fail without end',
    withEntry({ ...LINK, fault: 'flapping', down_s: 0.05, up_s: 0.05, for_s: 20_000 }),
    'E_SCENARIO_LIMIT',
    '$.timeline[0].for_s',
  ],
  [
    'packets without end',
    { ...RING, probes: [{ from: 'r0', to: 'r2', interval_ms: 1 }], duration_s: 10_001 },
    'E_SCENARIO_LIMIT',
    '$.probes',
  ],
  ['a name with a control character', { ...RING, name: 'a\u001b[2J' }, 'E_SCENARIO_VALUE', '$.name'],
  ['a long name', { ...RING, name: 'x'.repeat(65) }, 'E_SCENARIO_VALUE', '$.name'],
  ['an unknown key', { ...RING, tpology: 1 }, 'E_SCENARIO_KEY', '$.tpology'],
  ['an unknown key with blanks', { ...RING, 'a b': 1 }, 'E_SCENARIO_KEY', '$["a b"]'],
  ['a seed below 0', { ...RING, seed: -1 }, 'E_SCENARIO_VALUE', '$.seed'],
  ['a broken seed', { ...RING, seed: 1.5 }, 'E_SCENARIO_VALUE', '$.seed'],
  ['no topology', { format: 1, name: 'x' }, 'E_SCENARIO_KEY', '$.topology'],
  ['a topology without a kind', { ...RING, topology: { nodes: 4 } }, 'E_SCENARIO_KEY', '$.topology.kind'],
  ['an unknown topology', { ...RING, topology: { kind: 'torus' } }, 'E_SCENARIO_VALUE', '$.topology.kind'],
  ['an inherited topology', { ...RING, topology: { kind: 'toString' } }, 'E_SCENARIO_VALUE', '$.topology.kind'],
  ['a ring of two', { ...RING, topology: { kind: 'ring', nodes: 2 } }, 'E_SCENARIO_VALUE', '$.topology.nodes'],
  ['a ring without nodes', { ...RING, topology: { kind: 'ring' } }, 'E_SCENARIO_KEY', '$.topology.nodes'],
  [
    'a ring with a width',
    { ...RING, topology: { kind: 'ring', nodes: 4, width: 2 } },
    'E_SCENARIO_KEY',
    '$.topology.width',
  ],
  ['too many nodes', { ...RING, topology: { kind: 'ring', nodes: 2001 } }, 'E_SCENARIO_VALUE', '$.topology.nodes'],
  [
    'an unknown medium',
    { ...RING, topology: { kind: 'ring', nodes: 4, medium: 'tin' } },
    'E_SCENARIO_VALUE',
    '$.topology.medium',
  ],
  ['an unknown kernel setting', { ...RING, kernel: { orig_interval: 5 } }, 'E_SCENARIO_KEY', '$.kernel.orig_interval'],
  [
    'an OGM interval of 1 ms',
    { ...RING, kernel: { orig_interval_ms: 1 } },
    'E_SCENARIO_VALUE',
    '$.kernel.orig_interval_ms',
  ],
  ['an unknown algorithm', { ...RING, kernel: { algorithm: 'OLSR' } }, 'E_SCENARIO_VALUE', '$.kernel.algorithm'],
  ['a loss of 101 %', { ...RING, link: { loss_pct: 101 } }, 'E_SCENARIO_VALUE', '$.link.loss_pct'],
  ['a negative delay', { ...RING, link: { delay_ms: -1 } }, 'E_SCENARIO_VALUE', '$.link.delay_ms'],
  [
    'a link that is not there',
    { ...RING, links: [{ between: ['r0', 'r2'] }] },
    'E_SCENARIO_REFERENCE',
    '$.links[0].between',
  ],
  [
    'a link to nobody',
    { ...RING, links: [{ between: ['r0', 'r9'] }] },
    'E_SCENARIO_REFERENCE',
    '$.links[0].between[1]',
  ],
  ['a link to itself', { ...RING, links: [{ between: ['r0', 'r0'] }] }, 'E_SCENARIO_VALUE', '$.links[0].between'],
  ['a link of three', { ...RING, links: [{ between: ['r0', 'r1', 'r2'] }] }, 'E_SCENARIO_VALUE', '$.links[0].between'],
  ['a router that is not there', { ...RING, nodes: { r7: {} } }, 'E_SCENARIO_REFERENCE', '$.nodes.r7'],
  ['an unknown key of a router', { ...RING, nodes: { r1: { cpu: 1 } } }, 'E_SCENARIO_KEY', '$.nodes.r1.cpu'],
  ['an agent on nobody', { ...RING, agent: { nodes: ['r4'] } }, 'E_SCENARIO_REFERENCE', '$.agent.nodes[0]'],
  [
    'a class that there is not',
    { ...RING, agent: { modes: { 'link-dwon': 'act' } } },
    'E_SCENARIO_REFERENCE',
    '$.agent.modes.link-dwon',
  ],
  [
    'an option that there is not',
    { ...RING, agent: { config: { heal: { kikc: true } } } },
    'E_SCENARIO_KEY',
    '$.agent.config.heal.kikc',
  ],
  [
    'found as nothing',
    withExpect({ expect: 'found', as: ['link-down', 'linkdown'] }),
    'E_SCENARIO_REFERENCE',
    '$.expect[0].as[1]',
  ],
  [
    'an option with what it cannot be',
    { ...RING, agent: { config: { heal: { mode: 'fast' } } } },
    'E_SCENARIO_VALUE',
    '$.agent.config.heal.mode',
  ],
  [
    'an option that is an object',
    { ...RING, agent: { config: { heal: { mode: {} } } } },
    'E_SCENARIO_VALUE',
    '$.agent.config.heal.mode',
  ],
  ['a timeline that is no list', { ...RING, timeline: {} }, 'E_SCENARIO_VALUE', '$.timeline'],
  ['a timeline that is too long', { ...RING, timeline: Array(201).fill({}) }, 'E_SCENARIO_LIMIT', '$.timeline'],
  ['an unknown fault', withEntry({ fault: 'gremlins' }), 'E_SCENARIO_VALUE', '$.timeline[0].fault'],
  ['no fault', withEntry({}), 'E_SCENARIO_KEY', '$.timeline[0].fault'],
  ['no time', { ...RING, timeline: [LINK] }, 'E_SCENARIO_KEY', '$.timeline[0].at_s'],
  ['a time before the start', withEntry({ ...LINK, at_s: -1 }), 'E_SCENARIO_VALUE', '$.timeline[0].at_s'],
  ['a key of another fault', withEntry({ ...LINK, loss_pct: 5 }), 'E_SCENARIO_KEY', '$.timeline[0].loss_pct'],
  ['a fault without its link', withEntry({ fault: 'one-way' }), 'E_SCENARIO_KEY', '$.timeline[0].link'],
  [
    'a fault on a link that is not there',
    withEntry({ ...LINK, link: ['r1', 'r3'] }),
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].link',
  ],
  ['a fault on a word', withEntry({ ...LINK, link: 'any' }), 'E_SCENARIO_VALUE', '$.timeline[0].link'],
  ['a fault on nobody', withEntry({ fault: 'bat0-deleted', node: 'r4' }), 'E_SCENARIO_REFERENCE', '$.timeline[0].node'],
  [
    'in use by nobody',
    { ...RING, timeline: [{ at_s: 1, ...LINK, link: 'in-use' }] },
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].link',
  ],
  ['along nothing', withEntry({ ...LINK, link: 'in-use', along: 'p2' }), 'E_SCENARIO_REFERENCE', '$.timeline[0].along'],
  [
    'a loss of nothing',
    withEntry({ ...LINK, fault: 'partial-loss', loss_pct: 0 }),
    'E_SCENARIO_VALUE',
    '$.timeline[0].loss_pct',
  ],
  [
    'flapping for ever',
    withEntry({ ...LINK, fault: 'flapping', down_s: 1, up_s: 1 }),
    'E_SCENARIO_KEY',
    '$.timeline[0].for_s',
  ],
  [
    'a step of the clock with an end',
    withEntry({ fault: 'clock-stepped', node: 'r1', step_s: 9, for_s: 1 }),
    'E_SCENARIO_KEY',
    '$.timeline[0].for_s',
  ],
  [
    'a part that is all',
    withEntry({ fault: 'partition', nodes: ['r0', 'r1', 'r2', 'r3'] }),
    'E_SCENARIO_TOPOLOGY',
    '$.timeline[0].nodes',
  ],
  [
    'a part of nobody',
    withEntry({ fault: 'partition', nodes: ['r0', 'x'] }),
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].nodes[1]',
  ],
  [
    'a gateway that is none',
    withEntry({ fault: 'gateway-gone', node: 'r1' }),
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].node',
  ],
  [
    'memory of which nobody says how much',
    withEntry({ fault: 'memory-pressure', node: 'r1', for_s: 5 }),
    'E_SCENARIO_KEY',
    '$.timeline[0].mib',
  ],
  [
    'an unknown setting',
    withEntry({ fault: 'setting-changed', node: 'r1', setting: 'x', value: 1 }),
    'E_SCENARIO_VALUE',
    '$.timeline[0].setting',
  ],
  [
    'a value that its setting cannot have',
    withEntry({ fault: 'setting-changed', node: 'r1', setting: 'hop_penalty', value: 256 }),
    'E_SCENARIO_VALUE',
    '$.timeline[0].value',
  ],
  [
    'carrier loss in the air',
    { ...withEntry(LINK), topology: { kind: 'ring', nodes: 4, medium: 'shared' } },
    'E_SCENARIO_TOPOLOGY',
    '$.timeline[0].fault',
  ],
  [
    'carrier loss by radio',
    { ...withEntry(LINK), topology: { kind: 'ring', nodes: 4, medium: 'radio' } },
    'E_SCENARIO_TOPOLOGY',
    '$.timeline[0].fault',
  ],
  [
    'a client network of whoever is in use',
    { ...withEntry({ fault: 'bat0-unbridged', node: 'in-use' }), probes: [{ from: 'r0', to: 'r2' }] },
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].node',
  ],
  [
    'a table of nobody',
    withEntry({ fault: 'table-stale', node: 'r0', of: 'r9' }),
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].of',
  ],
  [
    'a table of its own stations',
    withEntry({ fault: 'table-stale', node: 'r0', of: 'r0' }),
    'E_SCENARIO_VALUE',
    '$.timeline[0].of',
  ],
  [
    'a table under the other algorithm',
    { ...withEntry({ fault: 'table-stale', node: 'r0', of: 'r1' }), kernel: { algorithm: 'BATMAN_V' } },
    'E_SCENARIO_VALUE',
    '$.timeline[0].fault',
  ],
  [
    'a way by somebody who is no neighbour',
    withEntry({ fault: 'route-stuck', node: 'r0', to: 'r1', by: 'r2' }),
    'E_SCENARIO_REFERENCE',
    '$.timeline[0].by',
  ],
  [
    'a way that is the right one',
    withEntry({ fault: 'route-stuck', node: 'r0', to: 'r1', by: 'r1' }),
    'E_SCENARIO_VALUE',
    '$.timeline[0].by',
  ],
  [
    'the same fault in one direction, and in both',
    {
      ...RING,
      timeline: [
        { at_s: 1, fault: 'partial-loss', loss_pct: 50, link: ['r0', 'r1'] },
        { at_s: 9, fault: 'partial-loss', loss_pct: 20, link: ['r1', 'r0'], direction: 'forward' },
      ],
    },
    'E_SCENARIO_VALUE',
    '$.timeline[1].at_s',
  ],
  ['an agent twice', { ...RING, agent: { nodes: ['r0', 'r1', 'r0'] } }, 'E_SCENARIO_VALUE', '$.agent.nodes[2]'],
  [
    'the same fault while it lasts',
    {
      ...RING,
      timeline: [
        { at_s: 1, ...LINK },
        { at_s: 9, ...LINK, link: ['r1', 'r0'] },
      ],
    },
    'E_SCENARIO_VALUE',
    '$.timeline[1].at_s',
  ],
  [
    'two faults of one name',
    {
      ...RING,
      timeline: [
        { at_s: 1, ...LINK, name: 'f2' },
        { at_s: 9, fault: 'bat0-deleted', node: 'r1' },
      ],
    },
    'E_SCENARIO_VALUE',
    '$.timeline[1].name',
  ],
  [
    'a fault after the end',
    { ...withEntry({ ...LINK, at_s: 11 }), duration_s: 10 },
    'E_SCENARIO_VALUE',
    '$.timeline[0].at_s',
  ],
  [
    'a mending after the end',
    { ...withEntry({ ...LINK, for_s: 11 }), duration_s: 10 },
    'E_SCENARIO_VALUE',
    '$.timeline[0].for_s',
  ],
  ['a probe from nobody', { ...RING, probes: [{ from: 'x', to: 'r1' }] }, 'E_SCENARIO_REFERENCE', '$.probes[0].from'],
  ['a probe to itself', { ...RING, probes: [{ from: 'r1', to: 'r1' }] }, 'E_SCENARIO_VALUE', '$.probes[0].to'],
  [
    'a probe every 0 ms',
    { ...RING, probes: [{ from: 'r1', to: 'r2', interval_ms: 0 }] },
    'E_SCENARIO_VALUE',
    '$.probes[0].interval_ms',
  ],
  ['an unknown expectation', withExpect({ expect: 'luck' }), 'E_SCENARIO_VALUE', '$.expect[0].expect'],
  ['an unknown key of one', withExpect({ expect: 'no-actions', ms: 4 }), 'E_SCENARIO_KEY', '$.expect[0].ms'],
  [
    'an outage of no probe',
    withExpect({ expect: 'outage-below', ms: 4 }),
    'E_SCENARIO_REFERENCE',
    '$.expect[0].expect',
  ],
  [
    'a fault that is not there',
    withExpect({ expect: 'found', fault: 'f1' }),
    'E_SCENARIO_REFERENCE',
    '$.expect[0].fault',
  ],
  [
    'a probe that is not there',
    withExpect({ expect: 'loss-below', pct: 1, probe: 'p1' }),
    'E_SCENARIO_REFERENCE',
    '$.expect[0].probe',
  ],
  ['reachable from nobody', withExpect({ expect: 'reachable', from: 'x' }), 'E_SCENARIO_REFERENCE', '$.expect[0].from'],
  [
    'reachable from itself',
    withExpect({ expect: 'reachable', from: 'r1', to: 'r1' }),
    'E_SCENARIO_VALUE',
    '$.expect[0].to',
  ],
  ['with half an agent', withExpect({ expect: 'reachable', agent: 'half' }), 'E_SCENARIO_VALUE', '$.expect[0].agent'],
];

for (const [what, document, code, path] of BAD) {
  test(`refused: ${what}`, () => {
    const parsed = parse(document);
    assert.ok(!parsed.ok, 'it was taken');
    assert.deepEqual(
      parsed.problems.map((one) => [one.code, one.path]).filter(([c, p]) => c === code && p === path),
      [[code, path]],
      JSON.stringify(parsed.problems),
    );
    for (const problem of parsed.problems) {
      assert.ok(problem.code in ERRORS);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal.
      assert.doesNotMatch(problem.path + problem.message, /[\x00-\x1f\x7f]/);
    }
  });
}

test('what is no JSON, and what is too much of it', () => {
  for (const [source, code] of [
    ['', 'E_SCENARIO_SYNTAX'],
    ['{"format": 1,', 'E_SCENARIO_SYNTAX'],
    ['\u001b[31m', 'E_SCENARIO_SYNTAX'],
    [' '.repeat((1 << 20) + 1), 'E_SCENARIO_LIMIT'],
  ] as const) {
    const parsed = parseScenario(source);
    assert.ok(!parsed.ok);
    assert.deepEqual(
      parsed.problems.map(({ code: found, path }) => [found, path]),
      [[code, '$']],
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal.
    assert.doesNotMatch(parsed.problems[0]!.message, /[\x00-\x1f\x7f]/);
  }
});

test('every problem is told, up to fifty', () => {
  const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`key${i}`, 0]));
  const parsed = parse({ ...RING, ...many });
  assert.ok(!parsed.ok);
  assert.equal(parsed.problems.length, 50);
});

test('hostile names harm nothing', () => {
  const document = `{"format":1,"name":"x","topology":{"kind":"links","links":[["__proto__","constructor"]]},
    "nodes":{"__proto__":{"gateway":{}}}}`;
  const parsed = parseScenario(document);
  assert.ok(parsed.ok);
  const option = parseScenario(`${document.slice(0, -1)},"agent":{"config":{"__proto__":{"a":"b"}}}}`);
  assert.deepEqual(!option.ok && option.problems.map(({ path }) => path), ['$.agent.config.__proto__.a']);
  assert.deepEqual(parsed.scenario.graph.nodes, ['__proto__', 'constructor']);
  assert.equal(({} as { gateway?: unknown }).gateway, undefined);
});

test('whatever JSON comes: an answer, never an exception', () => {
  const keys = fc.constantFrom(
    ...[
      'format',
      'name',
      'topology',
      'kind',
      'nodes',
      'links',
      'timeline',
      'fault',
      'link',
      'at_s',
      'probes',
      'expect',
    ],
    ...Object.keys(FAULTS),
    ...Object.keys(EXPECTATIONS),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(
        1,
        0,
        -1,
        1e300,
        true,
        null,
        'ring',
        'r0',
        'in-use',
        'r1',
        ['r0', 'r1'],
        ...Object.keys(FAULTS),
      ),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(keys, tie('tree'), { maxKeys: 5 }),
    ),
  }));
  fc.assert(
    fc.property(fc.dictionary(keys, tree, { maxKeys: 6 }), fc.boolean(), (some, based) => {
      const parsed = parse(based ? { ...RING, ...some } : some);
      assert.ok(parsed.ok || parsed.problems.length > 0);
    }),
    { numRuns: 1500 },
  );
});

test('the schema knows every fault and every expectation, and says something of each', () => {
  const text = JSON.stringify(scenarioSchema());
  for (const name of [...Object.keys(FAULTS), ...Object.keys(EXPECTATIONS)])
    assert.ok(text.includes(`{"const":"${name}"}`), name);
});
