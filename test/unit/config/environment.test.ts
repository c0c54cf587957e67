import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALIASES, aliasTable, overridesOf } from '../../../agent/config/environment.ts';
import { settle } from '../../../agent/config/load.ts';
import { ROWS } from '../../../agent/config/schema.ts';
import { MS } from '../../../agent/core/time.ts';

const FILE = "config mesh 'mesh'\n\toption node_name 'from-the-file'\nconfig beacon 'beacon'\n\toption slot '50'\n";

test('every name of the table has an option that is there, and no two the same', () => {
  const paths = new Set(ROWS.map(({ path }) => path));
  for (const { path, variable, helm } of ALIASES) {
    assert.ok(path === null || paths.has(path), `${path} is no option`);
    assert.ok(variable !== undefined || helm !== undefined);
  }
  for (const names of [ALIASES.map(({ variable }) => variable), ALIASES.map(({ helm }) => helm)]) {
    const given = names.filter((name) => name !== undefined);
    assert.equal(new Set(given).size, given.length);
  }
  for (const name of ['MESH_NODE_ID', 'MESH_SLOT_DURATION_MS', 'MESH_BEACON_INTERVAL_S', 'PQ_CRYPTO_ENABLED'])
    assert.match(aliasTable(), new RegExp(`\`${name}\``));
});

test('a variable overrides its option, in its own unit, and nothing else', () => {
  const cases: readonly (readonly [Record<string, string>, string | undefined, number, number])[] = [
    [{}, 'from-the-file', 50, 0],
    [{ MESH_NODE_ID: 'node-01' }, 'node-01', 50, 0],
    [{ MESH_SLOT_DURATION_MS: '40' }, 'from-the-file', 40, 0],
    [{ MESH_BEACON_INTERVAL_S: '5' }, 'from-the-file', 50, 5000],
    [{ MESH_BEACON_INTERVAL_S: ' 2.5 ', MESH_NODE_ID: 'n' }, 'n', 50, 2500],
    [{ MESH_NODE_ID: '' }, 'from-the-file', 50, 0],
    [{ mesh_node_id: 'lower', PATH: '/bin' }, 'from-the-file', 50, 0],
  ];
  for (const [environment, name, slot, interval] of cases) {
    const { config, problems } = settle(FILE, 'x', undefined, overridesOf(environment));
    assert.deepEqual(problems, [], JSON.stringify(environment));
    assert.equal(config.mesh.node_name, name);
    assert.equal(config.beacon.slot, slot * MS);
    assert.equal(config.beacon.interval, interval * MS);
  }
});

test('a bad one is a problem that names the variable, whatever a hostile one holds', () => {
  const bad: readonly (readonly [string, string])[] = [
    ['MESH_NODE_ID', '<script>alert(1)</script>'],
    ['MESH_NODE_ID', 'x'.repeat(100_000)],
    ['MESH_NODE_ID', 'a\u0007b'],
    ['MESH_SLOT_DURATION_MS', '1e3'],
    ['MESH_SLOT_DURATION_MS', '-1'],
    ['MESH_SLOT_DURATION_MS', '99999999999999999999'],
    ['MESH_BEACON_INTERVAL_S', 'soon'],
    ['MESH_BEACON_INTERVAL_S', '0.0001x'],
    ['MESH_BEACON_INTERVAL_S', '61'],
  ];
  for (const [variable, text] of bad) {
    const { problems } = settle(FILE, 'x', undefined, overridesOf({ [variable]: text }));
    assert.equal(problems.length, 1, `${variable}=${text.slice(0, 40)}`);
    const times = variable.endsWith('_S') ? ', times 1000' : '';
    assert.match(problems[0]!.message, new RegExp(`^environment variable ${variable}${times}: .*: expected `));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not pass.
    assert.doesNotMatch(problems[0]!.message, /[\x00-\x1f]/);
    assert.ok(problems[0]!.message.length < 400);
  }
});

test('what does not go together is blamed on the variable that brought it', () => {
  const { problems } = settle('', 'x', undefined, overridesOf({ MESH_SLOT_DURATION_MS: '1000' }));
  assert.equal(problems.length, 1);
  assert.match(problems[0]!.message, /^environment variable MESH_SLOT_DURATION_MS: beacon\.slot: /);
});

test('one that has nothing to override is said, and harms nothing', () => {
  const { config, problems, warnings } = settle(FILE, 'x', undefined, overridesOf({ DAO_QUADRATIC_VOTING: 'true' }));
  assert.deepEqual(problems, []);
  assert.deepEqual(config, settle(FILE, 'x').config);
  assert.ok(warnings.some(({ message }) => message.includes('DAO_QUADRATIC_VOTING')));
});

test('what cannot be switched off is told as such', () => {
  const { warnings } = settle(FILE, 'x', undefined, overridesOf({ PQ_CRYPTO_ENABLED: 'false' }));
  assert.match(warnings[0]!.message, /PQ_CRYPTO_ENABLED overrides nothing: always on/);
});
