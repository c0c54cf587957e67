import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../../agent/config/load.ts';
import { FORMAT, MIGRATIONS, migrate } from '../../../agent/config/migrate.ts';
import { DEFAULTS, defaultsUci, ROWS } from '../../../agent/config/schema.ts';
import { UciDocument } from '../../../agent/config/uci.ts';

const parse = (text: string): UciDocument => UciDocument.parse(text, 'x');

/** A table with a step of each kind, over two forms. */
const TABLE = [
  { format: 1, steps: [{ rename: 'old.name', to: 'mesh.node_name' }] },
  {
    format: 2,
    steps: [
      { rename: 'mesh.node_name', to: 'mesh.name' },
      { change: 'heal.mode', from: 'yes', to: 'act', why: 'words are clearer' },
    ],
  },
] as const;

test('forms follow one another, the newest is what the defaults have, every step ends at an option', () => {
  assert.deepEqual(
    MIGRATIONS.map(({ format }) => format),
    MIGRATIONS.map((_, i) => i + 1),
  );
  assert.equal(DEFAULTS.file.format, FORMAT);
  const paths = new Set(ROWS.map(({ path }) => path));
  for (const step of MIGRATIONS.flatMap(({ steps }) => steps))
    assert.ok(paths.has('rename' in step ? step.to : 'items' in step ? step.items : step.change));
});

test('the default file is of the newest form', () => {
  const doc = parse(defaultsUci());
  assert.deepEqual(migrate(doc), { from: FORMAT, changes: [], isNumberOnly: true });
  assert.equal(doc.toString(), defaultsUci());
});

test('each step: what becomes of a file', () => {
  const mesh = (options: string): string => `config mesh 'mesh'\n${options}`;
  const cases: readonly (readonly [what: string, before: string, after: string, changes: number])[] = [
    ['nothing there', '', '', 0],
    ['a comment only', '# mine\n', '# mine\n', 0],
    [
      'both forms, in order',
      "config old 'old'\n\toption name 'a' # mine\n",
      "config old 'old'\n\nconfig mesh 'mesh'\n\toption name 'a'\n\nconfig file 'file'\n\toption format '2'\n",
      3,
    ],
    [
      'the second only',
      `${mesh("\toption node_name 'a'\n")}config file 'file'\n\toption format '1'\n`,
      `${mesh("\toption name 'a'\n")}config file 'file'\n\toption format '2'\n`,
      2,
    ],
    [
      'the new name is there already: both stay',
      mesh("\toption node_name 'a'\n\toption name 'b'\n"),
      `${mesh("\toption node_name 'a'\n\toption name 'b'\n")}\nconfig file 'file'\n\toption format '2'\n`,
      1,
    ],
    [
      'a list goes as a list',
      mesh("\tlist node_name 'a'\n\tlist node_name 'b'\n"),
      `${mesh("\tlist name 'a'\n\tlist name 'b'\n")}\nconfig file 'file'\n\toption format '2'\n`,
      2,
    ],
    [
      'an old default',
      "config heal 'heal'\n\toption mode 'yes' # why\n",
      "config heal 'heal'\n\toption mode 'act' # why\n\nconfig file 'file'\n\toption format '2'\n",
      2,
    ],
    [
      'a value that was chosen stays',
      "config heal 'heal'\n\toption mode 'off'\n",
      "config heal 'heal'\n\toption mode 'off'\n\nconfig file 'file'\n\toption format '2'\n",
      1,
    ],
    [
      'newer than we are',
      "config file 'file'\n\toption format '3'\nconfig old 'old'\n\toption name 'a'\n",
      "config file 'file'\n\toption format '3'\nconfig old 'old'\n\toption name 'a'\n",
      0,
    ],
    [
      'no number',
      "config file 'file'\n\toption format 'new'\nconfig old 'old'\n\toption name 'a'\n",
      "config file 'file'\n\toption format 'new'\nconfig old 'old'\n\toption name 'a'\n",
      0,
    ],
    [
      'what nobody knows stays',
      "config mine 'mine'\n\toption x '1'\n",
      "config mine 'mine'\n\toption x '1'\n\nconfig file 'file'\n\toption format '2'\n",
      1,
    ],
  ];
  for (const [what, before, after, changes] of cases) {
    const doc = parse(before);
    assert.equal(migrate(doc, TABLE).changes.length, changes, what);
    assert.equal(doc.toString(), after, what);
    // Once is enough.
    assert.deepEqual(migrate(parse(after), TABLE).changes, [], what);
  }
});

test('an older file is read as today, before anybody has written it anew', () => {
  const old = "config state 'state'\n\toption directory '/var/lib/x0tta6bl4'\n";
  const { config, migrated, problems } = settle(old, 'x');
  assert.deepEqual(problems, []);
  assert.equal(config.state.directory, '/etc/x0tta6bl4');
  assert.equal(migrated.length, 2);
  assert.equal(settle(old.replace('/var/lib', '/mnt'), 'x').config.state.directory, '/mnt/x0tta6bl4');
});

test('rules of the policy lose what allowed nothing, and the old default is the new one', () => {
  const file = (...rules: string[]): string =>
    `config trust 'trust'\n${rules.map((one) => `\tlist allow '${one}'\n`).join('')}\nconfig file 'file'\n\toption format '1'\n`;
  const old = 'spiffe://x0tta6bl4.mesh/router/* read-status,tell-faults';
  const desk = 'spiffe://x0tta6bl4.mesh/router/desk';
  const cases: readonly (readonly [before: readonly string[], after: readonly string[]])[] = [
    [[old], ['router/* read-status']],
    [
      [old, `${desk} change-configuration,admit`, `${desk} tell-faults`],
      ['router/* read-status', `${desk} admit`],
    ],
    [[`${desk} read-status,admit,revoke`], [`${desk} read-status,admit,revoke`]],
    [
      ['spiffe://a/router/* tell-faults,read-status', 'router/x revoke'],
      ['spiffe://a/router/* read-status', 'router/x revoke'],
    ],
  ];
  for (const [before, after] of cases) {
    const { config, problems, migrated } = settle(file(...before), 'x');
    assert.deepEqual(problems, []);
    assert.deepEqual(config.trust.allow, after);
    assert.equal(migrated.length, before.join() === after.join() ? 0 : 2);
  }
  // What was never a rule stays, and is named. So stays a list of which nothing would be left: the default allows others more.
  for (const bad of ['nonsense', `${desk} read-status,fly`]) {
    const { problems } = settle(file(bad), 'x');
    assert.match(problems[0]!.message, /trust\.allow: expected .*read-status, tell-faults, .*admit, revoke/, bad);
  }
  assert.deepEqual(settle(file(`${desk} tell-faults`), 'x').config.trust.allow, [`${desk} tell-faults`]);
});

test('a word that allows nothing is refused, and what there is to allow is named', () => {
  for (const word of ['tell-fault', 'configure', 'fly']) {
    const text = `config trust 'trust'\n\tlist allow 'router/* read-status,${word}'\n\nconfig file 'file'\n\toption format '${FORMAT}'\n`;
    const { problems } = settle(text, 'x');
    assert.equal(problems.length, 1);
    assert.match(
      problems[0]!.message,
      /read-status, tell-faults, change-configuration, admit, revoke, since another router can ask for nothing else, not /,
    );
    assert.ok(problems[0]!.message.includes(word));
  }
});

test('of a file that lacks its number only nothing is told', () => {
  const current = "config mesh 'mesh'\n\toption node_name 'attic'\n";
  assert.deepEqual(settle(current, 'x').migrated, []);
  assert.deepEqual(settle(`${current}config file 'file'\n\toption format '0'\n`, 'x').migrated, []);
  // Who asks for the number gets it.
  const doc = parse(current);
  assert.deepEqual(migrate(doc), { from: 0, changes: [`file.format is ${FORMAT}`], isNumberOnly: true });
  assert.match(doc.toString(), /option format/);
  assert.equal(migrate(parse('config old old\noption name a\n'), TABLE).isNumberOnly, false);
});

test('a form from the future is a warning', () => {
  const { warnings, problems } = settle(`config file 'file'\n\toption format '${FORMAT + 1}'\n`, 'x');
  assert.deepEqual(problems, []);
  assert.ok(warnings.some(({ message }) => message.includes('newer than this agent')));
});

test('no change that is told holds a value that was a secret', () => {
  const doc = parse("config mesh 'mesh'\n\toption key 'do-not-tell-this-key'\nconfig old 'old'\n\toption name 'a'\n");
  assert.doesNotMatch(migrate(doc, TABLE).changes.join(), /do-not-tell/);
});
