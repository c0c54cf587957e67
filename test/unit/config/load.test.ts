import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { cautious, diff, settle, validate } from '../../../agent/config/load.ts';
import {
  type Config,
  DEFAULTS,
  defaultsUci,
  mac,
  optionTable,
  REPEATED,
  ROWS,
  RULES,
  Secret,
} from '../../../agent/config/schema.ts';
import { UciDocument } from '../../../agent/config/uci.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { endpoint } from '../../../agent/daemon/peers.ts';
import { spliceOptions } from '../../../tools/generate.ts';

const FILE = '/etc/config/x0tta6bl4';
const load = (text: string, lastGood?: Config) => settle(text, FILE, lastGood);

test('the default file is valid, gives the defaults, and is the one in the feed', () => {
  const result = load(defaultsUci());
  assert.deepEqual(result, { config: DEFAULTS, problems: [], untold: 0, warnings: [], migrated: [], source: 'file' });
  assert.deepEqual(load('').config, DEFAULTS);
  const feed = new URL('../../../openwrt-feed/x0tta6bl4/files/x0tta6bl4.config', import.meta.url);
  assert.equal(readFileSync(feed, 'utf8'), defaultsUci());
  for (const rule of RULES) assert.ok(rule.holds(DEFAULTS), rule.expected);
});

test('every row reads back what it writes, and its help is one sentence', () => {
  for (const { path, option } of ROWS) {
    const text = option.write(option.default);
    if (typeof text === 'string' && text !== '') assert.deepEqual(option.read(text), option.default, path);
    assert.match(option.help, /^[^.]+\.$/, path);
    if (option.range) {
      for (const edge of option.range) assert.notEqual(option.read(String(edge)), undefined, path);
      for (const over of [option.range[0] - 1, option.range[1] + 1, 0.5, '', '1x', '0x10', '1e3']) {
        assert.equal(option.read(String(over)), undefined, `${path} ${over}`);
      }
    }
  }
  const address = mac('live', 'An address.');
  assert.equal(address.read('02:AB:00:00:00:01'), '02:ab:00:00:00:01' satisfies Mac);
  assert.equal(address.read('02:ab:00:00:00'), undefined);
});

test('values arrive typed, durations in nanoseconds', () => {
  const { config, problems, warnings } = load(`
config mesh 'mesh'
	option own 'yes'
	list hard_interface 'mesh0'
	list hard_interface 'eth0.12'
	option key 'correct horse battery'
	option algorithm BATMAN_V
config heal
	option mode observe
	option poll_interval 250
	option dead_after 90
config report 'report'
	option http_address '::1'
`);
  assert.deepEqual([problems, warnings], [[], []]);
  const own: boolean = config.mesh.own;
  const poll: Nanos = config.heal.poll_interval;
  const mode: 'off' | 'observe' | 'act' = config.heal.mode;
  const hard: readonly string[] = config.mesh.hard_interface;
  const key: Secret | undefined = config.mesh.key;
  assert.deepEqual([own, poll, mode, hard], [true, 250 * MS, 'observe', ['mesh0', 'eth0.12']]);
  assert.equal(config.heal.dead_after, 90 * SECOND);
  assert.equal(key?.reveal(), 'correct horse battery');
  assert.deepEqual(load("config mesh mesh\noption own 1\noption hard_interface 'a  b'\n").config.mesh.hard_interface, [
    'a',
    'b',
  ]);
});

test('a bad value names file, line, section, option, value and what was expected', () => {
  const cases: [section: string, line: string, expected: RegExp, value: string | undefined][] = [
    ['heal', "option poll_interval '100'", /milliseconds from 200 to 60000/, '"100"'],
    ['heal', "option mode 'on'", /one of off, observe, act/, '"on"'],
    ['heal', "option detach 'maybe'", /0 or 1/, '"maybe"'],
    ['heal', "list kick_count '3'", /one option and no list/, '"3"'],
    ['heal', "option reattach_damping '60'", /flap_damping to be at least/, '"60"'],
    ['mesh', "option interface 'bat/0'", /interface name/, '"bat/0"'],
    ['mesh', "list hard_interface 'sixteen_letters_'", /each item an interface name/, '"sixteen_letters_"'],
    ['mesh', "option own '1'", /hard_interface to name/, '"1"'],
    ['mesh', "option orig_interval '39'", /at least 40/, '"39"'],
    ['mesh', "option node_name '\u001b[2J\u009b'", /letters, digits/, '"\\u001b[2J\\u009b"'],
    ['mesh', "option key 'short-geheim'", /16 to 256/, undefined],
    ['mesh', "list key 'long-enough-geheim'", /16 to 256/, undefined],
    ['report', "option http_port '9091'", /different ports/, '"9091"'],
    ['report', "option http_address '300.1.1.1'", /IPv4 or IPv6/, '"300.1.1.1"'],
    ['report', "option http_address '1::2::3'", /IPv4 or IPv6/, '"1::2::3"'],
    ['report', "option socket 'ctl.sock'", /absolute path/, '"ctl.sock"'],
    ['state', "option directory '/var/../etc'", /absolute path/, '"/var/../etc"'],
  ];
  for (const [section, line, expected, value] of cases) {
    const option = line.split(' ')[1];
    const { problems, config, source } = load(`# first\n\nconfig ${section} '${section}'\n\t${line}\n`);
    assert.equal(problems.length, 1, line);
    const { code, detail, message } = problems[0]!;
    assert.equal(code, 'E_CONFIG_VALUE');
    assert.deepEqual(
      { ...detail, expected: 0 },
      { file: FILE, line: 4, section, option, expected: 0, ...(value && { value }) },
    );
    assert.match(String(detail.expected), expected);
    assert.ok(message.startsWith(`${FILE}:4: ${section}.${option}: expected ${detail.expected}`), message);
    // First start: the bad option has its default, the rest counts; and where it may be about healing, nothing is repaired.
    const mode = section === 'heal' || section === 'mesh' ? 'observe' : 'act';
    assert.deepEqual([config, source], [{ ...DEFAULTS, heal: { ...DEFAULTS.heal, mode } }, 'file'], line);
  }
});

test('blamed is the line that counts, and of a list the item that is wrong', () => {
  const cases: [lines: string, line: number, option: string, value: string | undefined][] = [
    [
      "config mesh mesh\nlist hard_interface 'a/b'\nlist hard_interface b\nlist hard_interface c",
      2,
      'hard_interface',
      '"a/b"',
    ],
    [
      "config mesh mesh\nlist hard_interface a\nlist hard_interface 'a/b'\nlist hard_interface c",
      3,
      'hard_interface',
      '"a/b"',
    ],
    [
      "config mesh mesh\noption hard_interface a\nlist hard_interface b\nlist hard_interface 'a/b'",
      4,
      'hard_interface',
      '"a/b"',
    ],
    ["config mesh mesh\nlist hard_interface 'a/b'\noption hard_interface 'a  c/d e'", 3, 'hard_interface', '"c/d"'],
    ["config heal heal\noption mode acct\noption mode ''", 2, 'mode', '"acct"'],
    ['config heal heal\noption mode acct\noption detach 1\noption mode acc', 4, 'mode', '"acc"'],
    ['config heal heal\noption mode act\nlist mode off', 3, 'mode', '"act off"'],
    [
      "config heal heal\noption detach 1\nconfig log log\nconfig heal heal\noption mode acct\noption mode ''",
      5,
      'mode',
      '"acct"',
    ],
    // A rule: what makes it not hold, and not what has its default.
    [
      'config mesh mesh\noption own 1\noption primary primary0\nlist hard_interface a\nlist hard_interface b\nlist hard_interface a',
      6,
      'hard_interface',
      '"a"',
    ],
    ['config mesh mesh\noption own 1\nlist hard_interface a\nlist hard_interface bat0', 4, 'hard_interface', '"bat0"'],
    ["config mesh mesh\noption own 1\noption hard_interface 'a primary0'", 3, 'hard_interface', '"primary0"'],
    ['config mesh mesh\noption own 1\nlist hard_interface a\noption interface primary0', 4, 'interface', '"primary0"'],
    [
      'config mesh mesh\noption interface bat0\noption own 1\nlist hard_interface a\noption primary bat0',
      5,
      'primary',
      '"bat0"',
    ],
    ['config report report\noption metrics_port 9091\noption http_port 9091', 3, 'http_port', '"9091"'],
    ['config alert alert\nlist command logger\nlist command -t', 2, 'command', '"logger"'],
  ];
  for (const [text, line, option, value] of cases) {
    const { problems } = load(text);
    assert.deepEqual(
      problems.map(({ detail }) => [detail.line, detail.option, detail.value]),
      [[line, option, value]],
      text,
    );
    assert.match(problems[0]!.message, new RegExp(`^${FILE}:${line}: \\w+\\.${option}: expected .*, not ${value}$`));
  }
  // An option that nobody knows, the same.
  assert.deepEqual(
    load("config heal heal\noption colour red\noption detach 1\noption colour ''").warnings.map(({ line }) => line),
    [2],
  );
  assert.equal(load("config log log\nconfig file file\noption format '99'").warnings[0]!.line, 3);
});

test('whatever a file says, the line that is blamed speaks of the option and has the value', () => {
  const statement = fc.tuple(
    fc.constantFrom('option', 'list'),
    fc.constantFrom(...ROWS.filter(({ section, option }) => section !== 'trust' && option.kind !== 'secret')),
    fc.constantFrom(
      '',
      '0',
      '1',
      '7',
      '9091',
      '99999',
      'bat0',
      'mesh0',
      'primary0',
      'a/b',
      'act',
      '/x',
      'a b',
      '0x88b6',
    ),
  );
  fc.assert(
    fc.property(fc.array(statement, { maxLength: 30 }), (statements) => {
      const lines = statements.flatMap(([kind, { section, name }, value]) => [
        `config ${section} '${section}'`,
        `\t${kind} ${name} '${value}'`,
      ]);
      for (const { detail, message } of load(lines.join('\n')).problems) {
        const blamed = /^\t\w+ (\w+) '(.*)'$/.exec(lines[Number(detail.line) - 1]!);
        assert.equal(blamed?.[1], detail.option, message);
        // Of a list either the one item, or all of it.
        const [value, there] = [JSON.parse(String(detail.value)) as string, blamed![2]!];
        assert.ok(value.includes(there) || there.includes(value), `${message}: ${there}`);
      }
    }),
    { numRuns: 500 },
  );
});

test('of one mistake one problem is made, though a default in its place breaks a rule', () => {
  const own = load("config mesh mesh\noption own 1\nlist hard_interface 'a/b'");
  assert.deepEqual(
    own.problems.map(({ detail }) => detail.option),
    ['hard_interface'],
  );
  const slow = load('config mesh mesh\noption orig_interval 60000\nconfig heal heal\noption dead_after x');
  assert.deepEqual(
    slow.problems.map(({ detail }) => detail.option),
    ['dead_after'],
  );
  for (const { config } of [own, slow]) for (const rule of RULES) assert.ok(rule.holds(config), rule.expected);
});

test('a rule that is broken costs as little as can be: the mesh that the agent is to make is still made', () => {
  for (const [lines, primary, name] of [
    ['option primary a', 'primary0', 'bat0'],
    ['option interface primary0', 'primary0', 'bat0'],
    ['option primary bat0', 'primary0', 'bat0'],
  ] as const) {
    const { config, problems } = load(`config mesh mesh\noption own 1\nlist hard_interface a\n${lines}`);
    assert.equal(problems.length, 1, lines);
    const { own, hard_interface } = config.mesh;
    assert.deepEqual([own, hard_interface, config.mesh.primary, config.mesh.interface], [true, ['a'], primary, name]);
  }
});

test('a reload with problems keeps the last good configuration whole', () => {
  const good = load('config heal heal\noption mode observe\noption kick_count 3\n').config;
  const bad = load('config heal heal\noption mode act\noption kick_count 99\n', good);
  assert.deepEqual([bad.config === good, bad.source, bad.problems.length], [true, 'last-good', 1]);
  const broken = load("config heal heal\noption mode 'act\n", good);
  assert.deepEqual(
    [broken.config === good, broken.source, broken.problems[0]?.code],
    [true, 'last-good', 'E_CONFIG_SYNTAX'],
  );
  const first = load("config heal heal\noption mode 'act\n");
  assert.deepEqual([first.config, first.source], [cautious(DEFAULTS), 'defaults']);
  assert.equal(first.config.heal.mode, 'observe');
  assert.equal(load('config heal heal\noption mode off\noption kick_count 99\n').config.heal.mode, 'off');
  const partly = load('config heal heal\noption mode observe\noption kick_count 99\n');
  assert.deepEqual([partly.config.heal.mode, partly.config.heal.kick_count], ['observe', DEFAULTS.heal.kick_count]);
});

test('what is unknown is a warning and stays in the file', () => {
  const text =
    "config heal heal\n\toption colour 'red' # mine\nconfig extra\n\toption x 1\nconfig heal\nconfig foo log\n";
  const doc = UciDocument.parse(text, FILE);
  const { problems, warnings } = validate(doc);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    warnings.map((w) => [w.line, w.section, w.option, w.message]),
    [
      [2, 'heal', 'colour', 'unknown option heal.colour'],
      [3, 'extra', undefined, 'unknown section extra'],
      [5, 'heal', undefined, 'section heal stands on line 1 already; this one does not count'],
      [6, 'log', undefined, 'section log should have the type log'],
    ],
  );
  doc.set(doc.section('heal')!, 'mode', 'off');
  assert.equal(doc.toString(), text.replace('# mine\n', "# mine\n\toption mode 'off'\n"));
  assert.equal(load('config a\n'.repeat(1e5)).warnings.length, 100);
});

test('diff names what changed with how it is applied, a secret by its value and without showing it', () => {
  const key = (text: string) => load(`config mesh mesh\noption key '${text}'\n`).config;
  assert.deepEqual(diff(key('0123456789abcdef'), key('0123456789abcdef')), []);
  assert.deepEqual(diff(key('0123456789abcdef'), key('0123456789abcdeX')), [
    { section: 'mesh', option: 'key', path: 'mesh.key', apply: 'live' },
  ]);
  const changed = load('config heal\noption mode off\nconfig report\noption http_port 80\n').config;
  assert.deepEqual(
    diff(DEFAULTS, changed).map((c) => [c.path, c.apply]),
    [
      ['heal.mode', 'live'],
      ['report.http_port', 'restart'],
    ],
  );
});

test('a secret shows nowhere: not in the configuration, not in a problem, not in a warning', () => {
  const secret = fc.string({
    unit: fc.constantFrom('g', 'h', "'", '"', ' ', '\\', '\n', '\u0001', ';', '#'),
    minLength: 4,
    maxLength: 40,
  });
  fc.assert(
    fc.property(secret, fc.constantFrom("'", '"', ''), fc.constantFrom('option', 'list'), (text, mark, kind) => {
      const needle = `geheim${text}`;
      const result = load(`config mesh mesh\n\t${kind} key ${mark}${needle}${mark}\n\toption own 1\n`);
      for (const shown of [
        JSON.stringify(result),
        inspect(result, { depth: 9, showHidden: true }),
        String(result.config.mesh.key),
      ]) {
        assert.ok(!shown.includes('geheim'), shown);
      }
    }),
    { numRuns: 1000 },
  );
  assert.equal(`${new Secret('x')} ${JSON.stringify(new Secret('x'))}`, '[secret] "[secret]"');
});

const BEACONS: readonly [text: string, option: string | null, words: RegExp][] = [
  [
    'option profile fast',
    'profile',
    /a beacon of 490 bytes at beacon\.rate \(4\.4 ms at 1 Mbit\/s, 0\.9 ms at 6\).*2 ms/,
  ],
  ['option profile fast\n\toption rate 6000', null, /^$/],
  ['option profile brief', null, /^$/],
  ['option slot 4', 'slot', /beacon\.slot to hold the guard time/],
  ['option slot 8\n\toption guard 4000', 'slot', /the guard time/],
  ['option profile brief\n\toption interval 500', 'interval', /8 times beacon\.slot/],
  ['option ethertype 0x88b6', null, /^$/],
  ['option ethertype 0x4305', 'ethertype', /not in use already/],
  ['option ethertype 0x05dc', 'ethertype', /from 0x0600/],
  ['option ethertype 35001', 'ethertype', /in hexadecimal/],
];
for (const [text, option, words] of BEACONS)
  test(`beacons: ${text.replaceAll('\n\t', ', ')}`, () => {
    const { problems, config } = load(`config beacon 'beacon'\n\t${text}\n`);
    assert.equal(problems[0]?.detail.option ?? null, option);
    assert.match(problems[0]?.message ?? '', words);
    for (const rule of RULES) assert.ok(rule.holds(config), rule.expected);
  });

test('whatever the values are, validation ends in a configuration that satisfies every rule', () => {
  const word = fc.oneof(
    fc.constantFrom(
      '0',
      '1',
      'bat0',
      'primary0',
      'mesh0',
      '39',
      '9091',
      '8080',
      '3600',
      '30',
      'act',
      '',
      '__proto__',
      '/',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const line = fc.tuple(fc.constantFrom(...ROWS), word, fc.boolean());
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const doc = UciDocument.parse('', FILE);
      for (const [row, text, asList] of lines) {
        const value = text.replaceAll('\0', '');
        doc.set(doc.addSection(row.section, row.section), row.name, asList ? [value] : value);
      }
      const { config, problems } = validate(doc);
      for (const rule of RULES) assert.ok(rule.holds(config), rule.expected);
      for (const { section, name, option } of ROWS) {
        const value = (config[section] as Record<string, unknown>)[name];
        if (option.kind === 'list' || option.kind === 'secret') continue;
        assert.deepEqual(option.read(String(option.write(value))), value, name);
      }
      for (const { detail } of problems) {
        for (const fact of ['file', 'line', 'section', 'option', 'expected'])
          assert.ok(detail[fact] !== undefined, fact);
      }
    }),
    { numRuns: 2000 },
  );
});

test('the table of the README has a row an option and goes between its markers', () => {
  const table = optionTable();
  const repeated = Object.values(REPEATED).flatMap(({ options }) => Object.keys(options));
  assert.equal(table.split('\n').length, ROWS.length + repeated.length + 2);
  for (const row of table.split('\n')) assert.equal(row.split(/(?<!\\)\|/).length, 8, row);
  const page = 'a\n<!-- options:begin -->\nold\n<!-- options:end -->\nb\n';
  const made = spliceOptions(page, table);
  assert.equal(made, `a\n<!-- options:begin -->\n\n${table}\n\n<!-- options:end -->\nb\n`);
  assert.equal(spliceOptions(made, table), made);
  for (const bad of [undefined, '', '<!-- options:end --><!-- options:begin -->', page + page]) {
    assert.throws(() => spliceOptions(bad, table));
  }
});

test('where other routers are: an address with or without a port, and nothing that nobody could dial', () => {
  const connect = (text: string) => load(`config peer 'peer'\n\tlist connect '${text}'\n`);
  for (const [text, address, port] of [
    ['192.0.2.1', '192.0.2.1', 17447],
    ['192.0.2.1:65535', '192.0.2.1', 65535],
    ['[192.0.2.1]:1', '192.0.2.1', 1],
    ['2001:db8::1', '2001:db8::1', 17447],
    ['[2001:db8::1]', '2001:db8::1', 17447],
    ['[fe80::1%eth0]:1234', 'fe80::1%eth0', 1234],
  ] as const) {
    assert.deepEqual(connect(text).problems, [], text);
    assert.deepEqual(endpoint(text, 17447), { address, port });
  }
  for (const text of [
    ...['192.0.2.1:0', '192.0.2.1:65536', '[::1]:0', '[::1]:99999', '[::1]:', '[1:2]:3', '1.2.3', '1.2.3.4.5', 'cafe'],
    ...['2001:db8::1:::2', '[]:1', '[%eth0]', 'host:17447', '...', '2001:db8::1%eth0'],
  ])
    assert.equal(connect(text).problems[0]?.detail.option, 'connect', text);
});
