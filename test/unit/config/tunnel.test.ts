import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff, settle } from '../../../agent/config/load.ts';
import { type Option, REPEATED } from '../../../agent/config/schema.ts';
import { SECOND } from '../../../agent/core/time.ts';

const FILE = '/etc/config/x0tta6bl4';
const load = (text: string) => settle(text, FILE);
const GOOD = `
config tunnel 'home'
	option peer 'spiffe://x0tta6bl4.mesh/router/attic'
	option endpoint 'vpn.example.org:51820'
	list allowed_ips '10.1.0.0/16'
	list allowed_ips 'fd00:1::/48'
`;

test('tunnels have names, several may stand there, options have their defaults', () => {
  const { config, problems, warnings } = load(`${GOOD}
config tunnel site_2
	option peer 'roof'
	option listen_port 51830
	option mesh 1
	option psk_interval 5
`);
  assert.deepEqual([problems, warnings], [[], []]);
  assert.deepEqual(
    config.tunnel.map(({ name, peer }) => [name, peer]),
    [
      ['home', 'spiffe://x0tta6bl4.mesh/router/attic'],
      ['site_2', 'roof'],
    ],
  );
  const [home, second] = config.tunnel;
  assert.deepEqual(home!.allowed_ips, ['10.1.0.0/16', 'fd00:1::/48']);
  assert.deepEqual(
    [home!.psk_interval, home!.keepalive, home!.mtu, home!.mesh, second!.psk_interval, second!.mesh],
    [120 * SECOND, 25 * SECOND, 1420, false, 5 * SECOND, true],
  );
  assert.deepEqual(load('').config.tunnel, []);
});

test('a tunnel with something wrong is none, and its line and option are named', () => {
  const cases: readonly [string, string, string?][] = [
    ['config tunnel\n\toption peer x\n\toption mesh 1', 'name'],
    ["config tunnel 'a_name_too_long'\n\toption peer x\n\toption mesh 1", 'name'],
    ["config tunnel 'a'\n\toption mesh 1", 'peer'],
    ["config tunnel 'a'\n\toption peer 'http://x'\n\toption mesh 1", 'peer'],
    ["config tunnel 'a'\n\toption peer x", 'allowed_ips'],
    ["config tunnel 'a'\n\toption peer x\n\tlist allowed_ips '10.0.0.0/33'", 'allowed_ips'],
    ["config tunnel 'a'\n\toption peer x\n\tlist allowed_ips '0.0.0.0/0'", 'allowed_ips'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption listen_port 0", 'listen_port'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption psk_interval 4", 'psk_interval'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption mtu 1279", 'mtu'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption endpoint '2001:db8::1:51820'", 'endpoint'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption endpoint 'host'", 'endpoint'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\toption endpoint 'host:65535'", 'endpoint'],
    ["config tunnel 'a'\n\toption peer x\n\toption mesh 1\n\tlist address '10.0.0.1/24'", 'address'],
  ];
  for (const [text, option] of cases) {
    const { config, problems } = load(text);
    assert.deepEqual(
      problems.map(({ code, detail }) => [code, detail.section, detail.option]),
      [['E_CONFIG_VALUE', 'tunnel', option]],
      text,
    );
    assert.match(problems[0]!.message, new RegExp(`${FILE}:\\d+: tunnel\\..*${option}`));
    assert.deepEqual(config.tunnel, []);
  }
});

test('the value, its line and of a list the item are named', () => {
  const cases: readonly [string, number, string, string?][] = [
    [
      "config tunnel 'a'\noption peer x\noption mesh 1\noption listen_port 9999999",
      4,
      'tunnel.a.listen_port',
      '"9999999"',
    ],
    ["config tunnel 'a'\noption peer x\noption mesh 1\noption mtu 9\noption mtu ''", 4, 'tunnel.a.mtu', '"9"'],
    [
      "config tunnel 'a'\noption peer x\nlist allowed_ips '::/128'\nlist allowed_ips 'net'\nlist allowed_ips '::/1'",
      4,
      'tunnel.a.allowed_ips',
      '"net"',
    ],
    [
      "config tunnel 'a'\noption peer x\nlist allowed_ips '::/128'\nlist allowed_ips '0.0.0.0/0'",
      4,
      'tunnel.a.allowed_ips',
      '"0.0.0.0/0"',
    ],
    ["config tunnel 'a'\noption peer x\noption allowed_ips '10.0.0.0/8 ::/0'", 3, 'tunnel.a.allowed_ips', '"::/0"'],
    [
      "config tunnel 'a_name_too_long'\noption peer x\noption mesh 1\noption name b",
      1,
      'tunnel.a_name_too_long.name',
      '"a_name_too_long"',
    ],
    ['\nconfig tunnel\noption peer x\noption mesh 1', 2, 'tunnel.name'],
    ['config tunnel a\noption mesh 1', 1, 'tunnel.a.peer'],
    ['config tunnel a\nlist peer x\nlist peer y\noption mesh 1', 3, 'tunnel.a.peer', '"x y"'],
    ["config program 'a'\noption path '/x'\nlist selector 'unix:uid:0'", 2, 'program.a.path', '"/x"'],
    [
      "config program 'a'\noption path 'x'\nlist selector 'unix:uid:0'\nlist selector root",
      4,
      'program.a.selector',
      '"root"',
    ],
  ];
  for (const [text, line, path, value] of cases) {
    const { problems } = load(text);
    assert.equal(problems.length, 1, text);
    const { message, detail } = problems[0]!;
    assert.deepEqual([detail.line, detail.value], [line, value], text);
    assert.equal(message, `${FILE}:${line}: ${path}: expected ${detail.expected}${value ? `, not ${value}` : ''}`);
  }
});

test('what two tunnels cannot both have', () => {
  const other = (line: string) => load(`${GOOD}\nconfig tunnel b\n\toption mesh 1\n${line}`).problems[0]?.detail.option;
  assert.equal(other('\toption listen_port 51820\n\toption peer roof'), 'listen_port');
  assert.equal(other('\toption listen_port 51821\n\toption peer roof'), 'listen_port');
  assert.equal(other('\toption listen_port 51822\n\toption peer roof'), undefined);
  assert.equal(other("\toption listen_port 0\n\toption endpoint 'h:1'\n\toption peer roof"), undefined);
  assert.equal(other("\toption listen_port 6000\n\toption peer 'spiffe://x0tta6bl4.mesh/router/attic'"), 'peer');
});

test('a default route may be in a table of its own, an unknown option is warned of', () => {
  const { config, warnings } = load(
    "config tunnel a\n\toption peer x\n\toption table 100\n\tlist allowed_ips '0.0.0.0/0'\n\toption colour red",
  );
  assert.deepEqual(config.tunnel[0]!.allowed_ips, ['0.0.0.0/0']);
  assert.match(warnings[0]!.message, /unknown option tunnel\.colour/);
});

test('what changed is named by its tunnel', () => {
  const before = load(GOOD).config;
  const paths = (text: string) => diff(before, load(text).config).map(({ path, apply }) => `${path} ${apply}`);
  assert.deepEqual(paths(GOOD), []);
  assert.deepEqual(paths(''), ['tunnel.home restart']);
  assert.deepEqual(paths(GOOD.replace('10.1.', '10.2.')), ['tunnel.home restart']);
  assert.deepEqual(paths(`${GOOD}\nconfig tunnel b\n\toption peer y\n\toption mesh 1\n\toption listen_port 1`), [
    'tunnel.b restart',
  ]);
});

test('every option reads back what it writes, and its help is one sentence', () => {
  for (const [name, option] of Object.entries<Option>(REPEATED.tunnel.options)) {
    const text = option.write(option.default);
    if (typeof text === 'string' && text !== '') assert.deepEqual(option.read(text), option.default, name);
    assert.match(option.help, /^[^.]+\.$/, name);
  }
});
