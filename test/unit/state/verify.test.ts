/** x0ctl heal verify, on state files that somebody changed, and on what an agent answers. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test as nodeTest, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { AgentError } from '../../../agent/core/errors.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { Client } from '../../../agent/ctl/client.ts';
import { EXIT, exitOf } from '../../../agent/ctl/exit.ts';
import { showVerification, verifyAgent, verifyFile } from '../../../agent/ctl/verify.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import type { State } from '../../../agent/host/state.ts';
import { answer } from '../../../agent/report/api.ts';
import { screen } from '../ctl/screen.ts';
import { sources } from '../report/fixture.ts';
import { Bench, decision } from './help.ts';

const refusal = sqliteRefusal();

function test(name: string, body: (t: TestContext) => void | Promise<void>): void {
  nodeTest(name, { skip: refusal ?? false }, body);
}

/** A state file with a checkpoint, closed. */
function written(t: TestContext, entries = 30): Bench {
  const bench = new Bench(t);
  const state = bench.open({ journalEntries: 20 });
  for (let n = 1; n <= entries; n++) {
    state.append(decision(n));
    bench.pass(state, 10 * SECOND);
  }
  state.close();
  return bench;
}

function changed(bench: Bench, ...statements: string[]): ReturnType<typeof verifyFile> {
  const db = new Database(bench.file);
  for (const statement of statements) db.exec(statement);
  db.close();
  return verifyFile(bench.file);
}

/** Every path of a value that holds something, with what is there. */
function* leaves(value: unknown, path = '$'): Generator<[string, unknown]> {
  if (typeof value !== 'object' || value === null) return void (yield [path, value]);
  for (const [key, item] of Object.entries(value))
    yield* leaves(item, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`);
}

test('a whole journal verifies behind its checkpoint, and the file stays as it was', (t) => {
  const bench = written(t);
  const before = readFileSync(bench.file);
  const { result, checkpoint } = verifyFile(bench.file);
  assert.ok(result.ok);
  assert.equal(result.first, checkpoint + 1);
  assert.ok(checkpoint > 0 && result.entries === 30 - checkpoint);
  assert.deepEqual(readFileSync(bench.file), before);
});

test('every field of an entry is under its seal', (t) => {
  const bench = written(t);
  const db = new Database(bench.file);
  const { id, entry } = db.prepare('SELECT id, entry FROM journal ORDER BY id LIMIT 1 OFFSET 4').get() as {
    id: number;
    entry: string;
  };
  db.close();
  let fields = 0;
  for (const [path, value] of leaves(JSON.parse(entry))) {
    const to = typeof value === 'number' ? value + 1 : `${String(value)}x`;
    const set = (json: string): ReturnType<typeof verifyFile> => {
      const open = new Database(bench.file);
      open.prepare('UPDATE journal SET entry = ? WHERE id = ?').run(json, id);
      open.close();
      return verifyFile(bench.file);
    };
    const open = new Database(bench.file);
    const forged = open.prepare('SELECT json_set(?, ?, ?)').pluck().get(entry, path, to) as string;
    open.close();
    assert.notEqual(forged, entry, path);
    const { result } = set(forged);
    assert.ok(!result.ok && result.broken === id, path);
    assert.equal(result.error.code, 'E_JOURNAL_BROKEN');
    assert.ok(set(entry).result.ok);
    fields++;
  }
  assert.ok(fields > 20, `${fields}`);
});

for (const [what, statement, broken] of [
  ['another number', 'UPDATE journal SET id = id + 1000 WHERE id = (SELECT max(id) FROM journal)', 1030],
  ['another seal', "UPDATE journal SET hash = x'00' WHERE id = 25", 25],
  ['a seal that is text', "UPDATE journal SET hash = 'abc' WHERE id = 25", 25],
  ['an entry that is no text', "UPDATE journal SET entry = x'7b7d' WHERE id = 25", 25],
  ['an entry that is a number', 'UPDATE journal SET entry = 5 WHERE id = 25', 25],
  ['one taken out', 'DELETE FROM journal WHERE id = 25', 26],
  ['the first taken out', 'DELETE FROM journal WHERE id = (SELECT min(id) FROM journal)', null],
  ['one slipped in', 'INSERT INTO journal SELECT 2000, entry, hash FROM journal WHERE id = 25', 2000],
  [
    "two in each other's place",
    'UPDATE journal SET entry = (SELECT entry FROM journal WHERE id = 26) WHERE id = 25',
    25,
  ],
  [
    'another checkpoint',
    "UPDATE checkpoint SET hash = x'0000000000000000000000000000000000000000000000000000000000000000'",
    null,
  ],
  ['a checkpoint after the first', 'UPDATE checkpoint SET id = 25', null],
  ['no checkpoint', 'DELETE FROM checkpoint', null],
] as const) {
  test(`broken: ${what}`, (t) => {
    const bench = written(t);
    const { result } = changed(bench, statement);
    assert.ok(!result.ok);
    if (broken !== null) assert.equal(result.broken, broken);
  });
}

test('what is no state file says so', (t) => {
  const bench = new Bench(t);
  const code = (of: () => unknown): string => {
    try {
      of();
    } catch (thrown) {
      return (thrown as AgentError).code;
    }
    return 'nothing thrown';
  };
  assert.equal(
    code(() => verifyFile(bench.file)),
    'E_NOT_FOUND',
  );
  writeFileSync(bench.file, 'no database at all, but long enough to be looked at '.repeat(99));
  assert.equal(
    code(() => verifyFile(bench.file)),
    'E_STATE',
  );
  assert.equal(
    code(() => verifyFile(bench.directory)),
    'E_STATE',
  );
  writeFileSync(bench.file, '');
  assert.equal(
    code(() => verifyFile(bench.file)),
    'E_STATE',
  );
});

test('what SQLite cannot make out any more is a broken journal, what never was one is none, a device is neither', (t) => {
  const bench = written(t);
  const whole = readFileSync(bench.file);
  const found = new Set<unknown>();
  for (let at = 4096; at < whole.length; at += 4096) {
    writeFileSync(bench.file, Buffer.from(whole).fill(0xa5, at, at + 4096));
    try {
      found.add(verifyFile(bench.file).result.ok);
    } catch (thrown) {
      found.add((thrown as AgentError).code);
    }
  }
  // Some pages hold nothing of the journal.
  assert.deepEqual(found, new Set([true, 'E_JOURNAL_BROKEN']));
  writeFileSync(bench.file, whole.subarray(0, 2 * 4096));
  assert.throws(() => verifyFile(bench.file), { code: 'E_JOURNAL_BROKEN', message: /cannot be read as a state file/ });
  assert.deepEqual([exitOf('E_JOURNAL_BROKEN'), exitOf('E_STATE')], [EXIT.problem, EXIT.refused]);
  assert.throws(() => verifyFile('/dev/zero'), { code: 'E_STATE', message: '/dev/zero is not a file' });
});

/** x0ctl's client, over the API without a socket between. */
function client(state: State, meanwhile: () => void = () => {}): Client {
  const from = sources({ journal: state });
  return {
    async get(path) {
      const { status, body } = answer(from, {
        method: 'GET',
        url: path,
        body: '',
        caller: { name: 'x', mayChange: true },
      });
      meanwhile();
      const value: unknown = JSON.parse(body);
      if (status !== 200) throw new AgentError('E_JOURNAL_BROKEN', body);
      return value;
    },
    post: () => assert.fail('nothing is to be changed'),
  };
}

test('the running agent is verified page by page, what it writes meanwhile too', async (t) => {
  const bench = new Bench(t);
  const state = bench.open({ journalEntries: 5000, sizeLimitKib: 8192 });
  let n = 0;
  const write = (count: number): void => {
    for (let i = 0; i < count; i++) state.append(decision(++n));
    state.flush();
  };
  write(250);
  write(250);
  let pages = 0;
  const meanwhile = (): void => {
    if (++pages < 3) write(20);
  };
  const { result, checkpoint, pending } = await verifyAgent(client(state, meanwhile));
  assert.ok(result.ok);
  assert.deepEqual([result.entries, checkpoint, pending], [540, 0, 0]);
  state.append(decision(++n));
  assert.equal((await verifyAgent(client(state))).pending, 1);
  state.close();
});

test('entries that go from the beginning meanwhile are no breach', async (t) => {
  const bench = new Bench(t);
  const state = bench.open({ journalEntries: 300, sizeLimitKib: 8192 });
  let n = 0;
  const write = (count: number): void => {
    for (let i = 0; i < count; i++) state.append(decision(++n));
    state.flush();
  };
  write(250);
  let pages = 0;
  const found = await verifyAgent(client(state, () => (++pages === 1 ? write(200) : undefined)));
  assert.ok(found.result.ok);
  assert.ok(found.checkpoint > 0);
  state.close();
});

for (const [what, statement] of [
  ['a seal that is a number', 'UPDATE journal SET hash = 5 WHERE id = 25'],
  ['an entry that is a number', 'UPDATE journal SET entry = 5 WHERE id = 25'],
  ['an entry that is a list', "UPDATE journal SET entry = '[]' WHERE id = 25"],
] as const)
  test(`the running agent tells of ${what} what is wrong, and shows the others`, async (t) => {
    const bench = written(t);
    const db = new Database(bench.file);
    db.exec(statement);
    db.close();
    const state = bench.open();
    const { result } = await verifyAgent(client(state));
    assert.ok(!result.ok && result.broken === 25);
    for (const path of ['/heal/log', '/mesh/status']) assert.ok(await client(state).get(path), path);
    assert.ok(state.query().length >= state.status().entries - 1);
    state.close();
  });

test('an end that was cut off behind the agent shows', async (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  for (let n = 1; n <= 10; n++) state.append(decision(n));
  state.flush();
  const from = client(state);
  const cut: Client = {
    ...from,
    async get(path) {
      const page = (await from.get(path)) as { rows: { id: number }[] };
      return { ...page, rows: page.rows.filter(({ id }) => id < 9) };
    },
  };
  const { result } = await verifyAgent(cut);
  assert.ok(!result.ok);
  assert.equal(result.error.message, 'the journal ends before entry 10');
  state.close();
});

test('it is told in words, and by the exit status', (t) => {
  const bench = written(t);
  const to = screen();
  assert.equal(showVerification(verifyFile(bench.file), to, false), 0);
  assert.match(to.written, /^whole: \d+ entries, behind the checkpoint at entry \d+, head [0-9a-f]{64}\n$/);
  to.written = '';
  const broken = changed(bench, "UPDATE journal SET hash = x'00' WHERE id = 25");
  assert.equal(showVerification(broken, to, false), 1);
  assert.match(
    to.written,
    /^broken: journal entry 25: its seal does not follow from entry 24 and its own text; \d+ entries before that are whole, behind/,
  );
  to.written = '';
  assert.equal(showVerification(broken, to, true), 1);
  const json = JSON.parse(to.written) as Record<string, unknown>;
  assert.deepEqual([json.version, json.ok, json.broken], [1, false, 25]);
});
