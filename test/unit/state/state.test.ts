import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test as nodeTest, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { SECOND } from '../../../agent/core/time.ts';
import type { FaultClass } from '../../../agent/core/words.ts';
import { BURST_BUDGET, DAILY_BUDGET } from '../../../agent/host/state/budget.ts';
import { nextEpoch } from '../../../agent/host/state/epoch.ts';
import { MARKS_LIMIT } from '../../../agent/host/state/marks.ts';
import { MIGRATIONS, migrate } from '../../../agent/host/state/schema.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { PENDING_LIMIT, type State } from '../../../agent/host/state.ts';
import { Bench, decision, WALL } from './help.ts';

const HOUR = 3600 * SECOND;
const refusal = sqliteRefusal();

function test(name: string, body: (t: TestContext) => void | Promise<void>): void {
  nodeTest(name, { skip: refusal ?? false }, body);
}

nodeTest('a Node too old for the addon: memory only, instead of a crash', () => {
  assert.match(sqliteRefusal('9')!, /22\.14/);
  assert.ok(sqliteRefusal(''));
  assert.equal(sqliteRefusal('10'), null);
});

function ids(state: State, query = {}): number[] {
  return state.query({ limit: 10_000, ...query }).map((entry) => entry.id);
}

function assertVerifies(state: State): number {
  const seen = state.verify();
  assert.ok(seen.ok, seen.ok ? '' : seen.error.message);
  return seen.entries;
}

/** Bytes that this process handed to write calls so far. */
function written(): number {
  return Number(/wchar: (\d+)/.exec(readFileSync('/proc/self/io', 'latin1'))![1]);
}

function asides(bench: Bench): string[] {
  return readdirSync(bench.directory).filter((name) => /\.damaged-[^/]*Z(-\d+)?$/.test(name));
}

test('nobody else on the router reads the state, nor what SQLite keeps beside it', (t) => {
  const bench = new Bench(t);
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const state = bench.open();
  for (const name of readdirSync(bench.directory)) {
    const { mode } = statSync(join(bench.directory, name));
    assert.equal(mode & 0o027, 0, `${name}: ${(mode & 0o777).toString(8)}`);
  }
  state.close();
});

test('epoch: grows at every start, from the wall clock when nothing is stored', (t) => {
  const bench = new Bench(t);
  const first = bench.open();
  assert.equal(first.epoch, Math.floor((WALL + bench.time / 1e6) / 1000));
  first.close();
  // The clock went back years (no battery): the stored epoch still grows.
  const second = bench.open({ wall: () => 1000 });
  assert.equal(second.epoch, first.epoch + 1);
  second.close();
  assert.equal(nextEpoch(7, Number.NaN), 8);
  assert.equal(nextEpoch(0, -5), 1);
  assert.equal(nextEpoch(7, 9e15), 8, 'a clock past 2100 is not believed');
  assert.ok(nextEpoch(0xffff_ffff, WALL) <= 0xffff_ffff);
});

test('entries are seen before and after the flush, by number, by fault, newest and onwards', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  for (let n = 1; n <= 5; n++) state.append(decision(n));
  assert.deepEqual(ids(state), [1, 2, 3, 4, 5]);
  state.flush();
  assert.equal(state.append(decision(3, { step: 'verified' })), 6);
  assert.equal(state.append(decision(7)), 7);
  assert.deepEqual(ids(state), [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(ids(state, { limit: 3 }), [5, 6, 7]);
  assert.deepEqual(ids(state, { limit: 1 }), [7]);
  assert.deepEqual(ids(state, { limit: 0 }), []);
  assert.deepEqual(ids(state, { limit: 3, sinceId: 3 }), [4, 5, 6]);
  assert.deepEqual(ids(state, { sinceId: 6 }), [7]);
  assert.deepEqual(ids(state, { sinceId: 7 }), []);
  assert.deepEqual(ids(state, { faultId: 'e1-f3' }), [3, 6]);
  const [entry] = state.query({ limit: 1 });
  assert.deepEqual(entry!.decision, decision(7));
  assert.equal(entry!.at, bench.time);
  assert.equal(entry!.epoch, state.epoch);
  state.close();
  const again = bench.open();
  assert.deepEqual(ids(again), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(again.append(decision(8)), 8);
  again.flush();
  assert.equal(assertVerifies(again), 8);
  again.close();
});

test('what matters is due within a second, what others cause within the write interval', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  assert.equal(state.flushDue(), Number.POSITIVE_INFINITY);
  state.append(decision(1, { step: 'observed' }));
  assert.equal(state.flushDue(), bench.time + 300 * SECOND);
  for (const about of ['remote-alarm', 'router-dead'] as const)
    state.append(decision(1, { fault: { ...decision(1).fault, class: about } }));
  state.rememberMark('02:00:00:00:00:01', 1, 1);
  assert.equal(state.flushDue(), bench.time + 300 * SECOND);
  state.append(decision(2));
  assert.equal(state.flushDue(), bench.time + SECOND);
  bench.pass(state, SECOND);
  assert.equal(state.status().pending, 0);
  assert.equal(state.flushDue(), Number.POSITIVE_INFINITY);
  state.close();
});

test('marks: only forward, kept across restarts, bounded, the longest silent goes first', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  const mac = (n: number) =>
    `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
  state.rememberMark(mac(1), 5, 10);
  state.rememberMark(mac(1), 5, 9);
  state.rememberMark(mac(1), 4, 99);
  assert.deepEqual(state.marks(), [{ sender: mac(1), epoch: 5, counter: 10 }]);
  for (let n = 2; n <= MARKS_LIMIT; n++) state.rememberMark(mac(n), 1, 1);
  state.flush();
  state.rememberMark(mac(1), 6, 1);
  state.rememberMark(mac(9999), 1, 1);
  state.close();
  const again = bench.open();
  const marks = again.marks();
  assert.equal(marks.length, MARKS_LIMIT);
  assert.deepEqual(marks.slice(-2), [
    { sender: mac(1), epoch: 6, counter: 1 },
    { sender: mac(9999), epoch: 1, counter: 1 },
  ]);
  assert.ok(!marks.some((mark) => mark.sender === mac(2)));
  again.close();
});

test('marks of one key say nothing under another, and are there again when the key returns, also after a restart', (t) => {
  const bench = new Bench(t);
  const sender = '02:00:00:00:00:01';
  const state = bench.open();
  state.useKey('aa');
  state.rememberMark(sender, 9, 9);
  state.useKey('bb');
  assert.deepEqual(state.marks(), []);
  state.rememberMark(sender, 1, 1);
  assert.deepEqual(state.marks(), [{ sender, epoch: 1, counter: 1 }]);
  state.useKey('');
  assert.deepEqual(state.marks(), []);
  state.close();

  const again = bench.open();
  assert.deepEqual(again.marks(), []);
  again.useKey('aa');
  assert.deepEqual(again.marks(), [{ sender, epoch: 9, counter: 9 }]);
  again.rememberMark(sender, 9, 8);
  again.useKey('bb');
  assert.deepEqual(again.marks(), [{ sender, epoch: 1, counter: 1 }]);
  again.close();
});

test('marks of all keys together are bounded: one key cannot push out those of another, on the medium as in memory', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  const mac = (n: number) => `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:00`;
  state.useKey('aa');
  for (let n = 0; n < 3; n++) state.rememberMark(mac(n << 8), 1, 1);
  state.rememberMark(mac(0), 1, 2);
  state.useKey('bb');
  for (let n = 0; n < MARKS_LIMIT - 2; n++) state.rememberMark(`02:00:00:01:${n >> 8}:${n & 255}`, 1, 1);
  state.close();
  const again = bench.open();
  again.useKey('aa');
  assert.deepEqual(
    again.marks().map((mark) => mark.sender),
    [mac(1 << 8), mac(2 << 8), mac(0)],
  );
  again.rememberMark(mac(7 << 8), 1, 1);
  assert.deepEqual(
    again.marks().map((mark) => mark.sender),
    [mac(1 << 8), mac(2 << 8), mac(0), mac(7 << 8)],
    'their order has outlived the restart',
  );
  again.useKey('bb');
  const last = again.marks().map((mark) => mark.sender);
  assert.equal(last.length, MARKS_LIMIT - 4);
  assert.equal(last[0], '02:00:00:01:0:2', 'of the key with the most the longest silent went');
  again.close();
});

test('marks from before they had keys belong to the first key in use, and to no other', (t) => {
  const bench = new Bench(t);
  const old = new Database(bench.file);
  migrate(old, MIGRATIONS.slice(0, 1));
  old.exec("INSERT INTO marks VALUES ('02:00:00:00:00:01', 5, 6, 1), ('02:00:00:00:00:02', 7, 8, 2)");
  old.close();
  const marks = [
    { sender: '02:00:00:00:00:01', epoch: 5, counter: 6 },
    { sender: '02:00:00:00:00:02', epoch: 7, counter: 8 },
  ];
  let state = bench.open();
  state.useKey('');
  state.useKey('aa');
  assert.deepEqual(state.marks(), marks);
  state.close();
  state = bench.open();
  state.useKey('bb');
  assert.deepEqual(state.marks(), []);
  state.useKey('aa');
  assert.deepEqual(state.marks(), marks);
  state.close();
});

test('limits change while running: fewer entries, a smaller file, a shorter wait', (t) => {
  const bench = new Bench(t);
  const limits = { journalEntries: 10_000, sizeLimitKib: 4096, writeIntervalNs: 300 * SECOND };
  const state = bench.open(limits);
  state.append(decision(1, { step: 'observed' }));
  assert.equal(state.flushDue(), bench.time + 300 * SECOND);
  state.settle({ ...limits, writeIntervalNs: 5 * SECOND });
  assert.equal(state.flushDue(), bench.time + 5 * SECOND);
  for (let n = 2; n <= 1500; n++) {
    state.append(decision(n, { why: 'w'.repeat(900) }));
    if (n % 50 === 0) state.flush();
  }
  const size = () => readdirSync(bench.directory).reduce((sum, n) => sum + statSync(join(bench.directory, n)).size, 0);
  assert.ok(size() > 1024 * 1024);
  state.settle({ ...limits, sizeLimitKib: 512 });
  assert.ok(size() <= 512 * 1024, `${size()}`);
  state.settle({ ...limits, sizeLimitKib: 512, journalEntries: 100 });
  assert.ok(state.status().entries <= 100);
  assertVerifies(state);

  state.settle(limits);
  // And up again: more than the smaller file would have held.
  for (let n = 1501; n <= 3000; n++) {
    state.append(decision(n, { why: 'w'.repeat(900) }));
    if (n % 50 === 0) state.flush();
  }
  state.flush();
  assert.equal(state.trouble, null);
  assert.ok(assertVerifies(state) > 1400);
  state.close();
});

test('limits of a state that is in memory only', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ directory: null });
  for (let n = 1; n <= 200; n++) state.append(decision(n));
  state.settle({ journalEntries: 100, sizeLimitKib: 256, writeIntervalNs: SECOND });
  assert.equal(ids(state).length, 100);
  assert.equal(state.flushDue(), Number.POSITIVE_INFINITY);
  state.close();
});

test('a stranger cannot flush the journal: what others can feign has a quota, each kind of it its own', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ journalEntries: 1000, sizeLimitKib: 8192 });
  const of = (kind: FaultClass, n: number) => decision(n, { fault: { ...decision(n).fault, class: kind } });
  const kinds = () => {
    const count: Record<string, number> = {};
    for (const { decision: one } of state.query({ limit: 5000 }))
      count[one.fault.class] = (count[one.fault.class] ?? 0) + 1;
    return count;
  };
  for (let n = 1; n <= 200; n++) state.append(of('link-down', n));
  for (let n = 0; n < 3600; n++) {
    // 32 a second for an hour, before the flush and after it.
    for (let i = 0; i < 32; i++) state.append(of('router-dead', 1000 + n));
    bench.pass(state, SECOND);
  }
  state.append(of('remote-alarm', 9000));
  state.append(of('link-down', 9001));
  state.flush();
  const { 'link-down': own, 'router-dead': dead, 'remote-alarm': told } = kinds();
  assert.deepEqual([own, told], [201, 1]);
  assert.ok(dead! >= 40 && dead! < 60, `${dead}`);
  assert.ok(state.status().omitted > 115_000);
  assert.equal(assertVerifies(state), 201 + 1 + dead!, 'the gaps do not break the chain');
  // A day later there is room again.
  bench.time += 86_400 * SECOND;
  for (let n = 0; n < 100; n++) state.append(of('router-dead', 10_000 + n));
  assert.ok(kinds()['router-dead']! >= dead! + 20);
  state.close();
});

test('before a disk that takes nothing, what others can feign is given up first', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ journalEntries: 100_000 });
  for (let n = 1; n <= 20; n++) state.append(decision(n));
  for (let n = 21; n <= PENDING_LIMIT + 100; n++)
    state.append(decision(n, { fault: { ...decision(n).fault, class: 'link-silent' } }));
  const own = state.query({ limit: 1000 }).filter(({ decision: one }) => one.fault.class === 'link-down');
  assert.equal(own.length, 20);
  assert.equal(state.status().pending, PENDING_LIMIT);
  state.close();
});

const SHM = '/dev/shm';
const isTmpfs = existsSync(SHM) && statfsSync(SHM).type === 0x01021994;

test('a directory that the next boot finds empty is said', (t) => {
  if (!isTmpfs) return t.skip('no tmpfs on /dev/shm');
  const bench = new Bench(t);
  const directory = mkdtempSync(join(SHM, 'x0-state-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const below = join(directory, 'not', 'yet');
  const state = bench.open({ directory: below });
  assert.deepEqual([state.level, state.status().volatile], ['disk', 'tmpfs']);
  assert.equal(statSync(below).mode & 0o777, 0o750);
  state.close();
  assert.equal(bench.open({ directory: null }).status().volatile, null);
});

test('kill -9 in the middle of writing: what was flushed is there, the chain verifies, the epoch grows', async (t) => {
  const bench = new Bench(t);
  let epoch = 0;
  let last = 0;
  let first = 1;
  const flushed = (out: string) => Number([...out.matchAll(/flushed (\d+)\n/g)].at(-1)?.[1] ?? last);
  // The last one goes on until the beginning has been thinned out, however slow the machine.
  for (const wait of [0, 3, 11, 30, 70, 140, 200, 260, null]) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.ts'), bench.directory]);
    let out = '';
    let complaints = '';
    child.stderr.on('data', (chunk) => (complaints += chunk));
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk) => {
        if (out === '' && wait !== null) setTimeout(() => child.kill('SIGKILL'), wait + Math.random() * 10);
        out += chunk;
        if (wait === null && flushed(out) > 250) child.kill('SIGKILL');
      });
      child.on('close', () => resolve());
    });
    assert.doesNotMatch(complaints, /E_STATE/);
    const was = Number(/epoch (\d+)/.exec(out)![1]);
    assert.ok(was > epoch);
    epoch = was;
    last = flushed(out);
    const state = bench.open({ wall: () => 0 });
    assert.equal(state.trouble, null);
    assertVerifies(state);
    assert.ok((ids(state).at(-1) ?? 0) >= last, 'a flushed entry is lost');
    assert.equal(state.epoch, epoch + 1);
    epoch = state.epoch;
    first = ids(state)[0] ?? 1;
    state.close();
  }
  assert.ok(last > 250 && first > 1, 'it has also been thinned out');
});

const DAMAGES: Record<string, (file: string) => void> = {
  'cut short': (file) => truncateSync(file, Math.floor(statSync(file).size / 2) + 100),
  'its header overwritten': (file) => {
    const bytes = readFileSync(file);
    bytes.fill(0xff, 0, 512);
    writeFileSync(file, bytes);
  },
  'random bytes in every page': (file) => {
    const bytes = readFileSync(file);
    for (let at = 100; at < bytes.length; at += 97) bytes[at] = (Math.random() * 256) | 0;
    writeFileSync(file, bytes);
  },
  'text in its place': (file) =>
    writeFileSync(file, 'not a database at all, and long enough to be read as one\n'.repeat(40)),
  'another schema': (file) => {
    const db = new Database(file);
    db.exec('DROP TABLE journal');
    db.close();
  },
  'of a newer agent': (file) => {
    const db = new Database(file);
    db.pragma('user_version = 99');
    db.close();
  },
};

for (const [name, damage] of Object.entries(DAMAGES)) {
  test(`a damaged file is set aside and begun anew: ${name}`, (t) => {
    const bench = new Bench(t);
    const first = bench.open();
    for (let n = 1; n <= 200; n++) first.append(decision(n));
    first.close();
    damage(bench.file);
    bench.time += 10 * SECOND;
    const state = bench.open();
    assert.equal(state.trouble?.code, 'E_STATE_DAMAGED');
    assert.ok(bench.lines.some((line) => line.includes('E_STATE_DAMAGED')));
    assert.equal(state.level, 'disk');
    assert.ok(state.epoch > first.epoch);
    assert.equal(asides(bench).length, 1);
    assert.deepEqual(ids(state), []);
    state.append(decision(1));
    state.close();
    const again = bench.open();
    assert.equal(again.trouble, null);
    assert.equal(assertVerifies(again), 1);
    again.close();
  });
}

test('the newest two damaged files are kept, a directory is renamed and left whole', (t) => {
  const bench = new Bench(t);
  mkdirSync(bench.file);
  writeFileSync(join(bench.file, 'precious'), 'x');
  for (let n = 0; n < 5; n++) {
    const state = bench.open();
    assert.equal(state.trouble?.code, 'E_STATE_DAMAGED');
    assert.equal(state.level, 'disk');
    state.close();
    writeFileSync(bench.file, `garbage ${n}`.repeat(500));
    bench.time += SECOND;
  }
  const kept = asides(bench).map((name) => join(bench.directory, name));
  const directory = kept.find((path) => statSync(path).isDirectory())!;
  assert.ok(existsSync(join(directory, 'precious')));
  const files = kept.filter((path) => path !== directory);
  assert.equal(files.length, 2);
  assert.ok(files.every((path) => /garbage [23]/.test(readFileSync(path, 'latin1'))));
});

test('a FIFO or a link in the place of the file, or of one beside it, is set aside, and nothing waits for its other end', (t) => {
  const fifo = (path: string) => execFileSync('mkfifo', [path]);
  for (const make of [
    (file: string) => fifo(file),
    (file: string) => {
      fifo(`${file}.other`);
      symlinkSync(`${file}.other`, file);
    },
    (file: string) => fifo(`${file}-journal`),
    (file: string) => fifo(`${file}-wal`),
    (file: string) => mkdirSync(`${file}-shm`),
    (file: string) => symlinkSync('/nowhere', `${file}-wal`),
    (file: string) => symlinkSync(file, file),
  ]) {
    const bench = new Bench(t);
    bench.open().close();
    rmSync(bench.file);
    make(bench.file);
    const state = bench.open();
    assert.equal(state.trouble?.code, 'E_STATE_DAMAGED', String(make));
    assert.equal(state.level, 'disk');
    state.close();
    const again = bench.open();
    assert.equal(again.trouble, null);
    again.close();
  }
});

test('a file of no length is a new one', (t) => {
  const bench = new Bench(t);
  writeFileSync(bench.file, '');
  const state = bench.open();
  assert.equal(state.level, 'disk');
  assert.equal(state.epoch, nextEpoch(0, WALL + bench.time / 1e6));
  state.close();
});

test('a directory that cannot be: memory only, bounded, and said so; so is a file that another process holds', (t) => {
  const bench = new Bench(t);
  writeFileSync(join(bench.directory, 'plain'), '');
  const state = bench.open({ directory: join(bench.directory, 'plain', 'below') });
  assert.equal(state.level, 'memory');
  assert.equal(state.trouble?.code, 'E_STATE');
  assert.ok(bench.lines.some((line) => line.includes('memory only')));
  assert.equal(state.epoch, nextEpoch(0, WALL + bench.time / 1e6));
  for (let n = 1; n <= PENDING_LIMIT + 50; n++) state.append(decision(n));
  assert.equal(ids(state).length, PENDING_LIMIT);
  assert.equal(state.flushDue(), Number.POSITIVE_INFINITY);
  state.flush();
  assert.ok(state.verify().ok);
  state.close();

  const holder = bench.open();
  const second = bench.open();
  assert.equal(second.level, 'memory');
  assert.equal(holder.level, 'disk');
  assert.deepEqual(asides(bench), [], 'a file in use is not damaged');
  second.close();
  holder.close();
});

test('a disk that takes no more: entries wait, are written when it does again, and nothing throws', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  state.append(decision(1));
  state.flush();
  // Another handle cannot lock an exclusively held file, so make the disk "full" where SQLite asks for it.
  const original = Database.prototype.transaction;
  Database.prototype.transaction = () => {
    throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
  };
  try {
    for (let n = 2; n <= 20; n++) state.append(decision(n));
    state.flush();
    assert.equal(state.trouble?.code, 'E_STATE');
    assert.equal(ids(state).length, 20);
    assert.ok(state.flushDue() >= bench.time + 60 * SECOND, 'no hammering');
    for (let n = 21; n <= PENDING_LIMIT + 30; n++) state.append(decision(n));
    assert.ok(state.status().dropped > 0);
  } finally {
    Database.prototype.transaction = original;
  }
  bench.pass(state, HOUR);
  assert.equal(state.trouble, null);
  assert.equal(state.status().pending, 0);
  assert.equal(assertVerifies(state), 1 + PENDING_LIMIT, 'the gap of given-up entries does not break the chain');
  state.close();
});

nodeTest('a disk that is really full, at the start and later (a small tmpfs)', (t) => {
  const bench = new Bench(t);
  const mount = `mount -t tmpfs -o size=200k tmpfs ${bench.directory}`;
  const can = refusal === null && spawnSync('unshare', ['-rm', 'sh', '-c', mount]).status === 0;
  if (!can) return t.skip(refusal ?? 'no namespace with a file system of its own may be made here');
  const child = `${mount} && exec ${process.execPath} ${join(import.meta.dirname, 'full.ts')} ${bench.directory}`;
  const { stdout, stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', child], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(stdout || stderr), {
    atStart: { level: 'memory', trouble: 'E_STATE', seen: 1 },
    whileFull: { level: 'disk', trouble: 'E_STATE', seen: 100 },
    afterwards: { level: 'disk', trouble: null, entries: 100 },
  });
});

test('damage that shows while running: begun anew, numbers and epoch go on', (t) => {
  const bench = new Bench(t);
  const state = bench.open();
  for (let n = 1; n <= 10; n++) state.append(decision(n));
  state.flush();
  const original = Database.prototype.transaction;
  let broken = true;
  Database.prototype.transaction = function (this: Database.Database, ...args: Parameters<typeof original>) {
    if (broken) {
      broken = false;
      throw Object.assign(new Error('database disk image is malformed'), { code: 'SQLITE_CORRUPT' });
    }
    return original.apply(this, args);
  } as typeof original;
  try {
    state.append(decision(11));
    state.rememberMark('02:00:00:00:00:01', 1, 1);
    bench.pass(state, 10 * SECOND);
  } finally {
    Database.prototype.transaction = original;
  }
  assert.equal(state.trouble?.code, 'E_STATE_DAMAGED');
  assert.deepEqual(ids(state), [11]);
  assert.equal(assertVerifies(state), 1);
  state.close();
  const again = bench.open({ wall: () => 0 });
  assert.equal(again.epoch, state.epoch + 1);
  assert.equal(again.marks().length, 1);
  assert.equal(again.append(decision(12)), 12);
  again.close();
});

/** What SQLite itself finds nothing wrong with. */
const ODD: Readonly<Record<string, readonly string[]>> = {
  'a number that none can follow': ['UPDATE journal SET id = 4611686018427387904 WHERE id = 3'],
  'a checkpoint of another kind': ['DELETE FROM journal', "INSERT OR REPLACE INTO checkpoint VALUES (1, 'abc', 'def')"],
  'a checkpoint that none can follow': [
    'DELETE FROM journal',
    "INSERT OR REPLACE INTO checkpoint VALUES (1, 4611686018427387904, x'00')",
  ],
  'marks of another kind': [
    "INSERT INTO marks VALUES ('k', 'zz', 'a', 'b', 'c')",
    "INSERT INTO marks VALUES ('k', 5, 1e300, -1, 2)",
    "INSERT INTO marks VALUES ('k', '02:00:00:00:00:01', 1, 1, 9223372036854775807)",
  ],
  'a table that takes nothing': ["CREATE TRIGGER t BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no'); END"],
  'a view in place of a table': [
    'DROP TABLE marks',
    "CREATE VIEW marks AS SELECT '' AS key, '' AS sender, 1 AS epoch, -1 AS counter, 1 AS used",
  ],
};

for (const [what, statements] of Object.entries(ODD))
  test(`sound pages with what nobody wrote: ${what}: it is written again, and no number is wrong`, (t) => {
    const bench = new Bench(t);
    const first = bench.open();
    first.useKey('k');
    for (let n = 1; n <= 4; n++) first.append(decision(n));
    first.close();
    const db = new Database(bench.file);
    for (const one of statements) db.exec(one);
    db.close();
    const state = bench.open();
    state.useKey('k');
    assert.ok(state.epoch > first.epoch);
    assert.deepEqual(state.marks(), []);
    const written = state.append(decision(5));
    assert.ok(Number.isSafeInteger(written));
    state.rememberMark('02:00:00:00:00:09', 5, 5);
    // What finds out writes it anew, a second later.
    bench.pass(state, 400 * SECOND);
    state.append(decision(6));
    bench.pass(state, 400 * SECOND);
    const { level, pending, trouble } = state.status();
    assert.deepEqual([level, pending], ['disk', 0], JSON.stringify(trouble));
    assert.notEqual(trouble?.code, 'E_STATE');
    assertVerifies(state);
    state.close();
    const again = bench.open();
    again.useKey('k');
    assert.ok(again.status().entries >= 2);
    assert.deepEqual(again.marks(), [{ sender: '02:00:00:00:00:09', epoch: 5, counter: 5 }]);
    again.close();
  });

test('migrations: from every older version; a step that fails changes nothing', (t) => {
  const bench = new Bench(t);
  for (let version = 0; version < MIGRATIONS.length; version++) {
    const directory = join(bench.directory, `v${version}`);
    mkdirSync(directory);
    const old = new Database(join(directory, 'state.db'));
    migrate(old, MIGRATIONS.slice(0, version));
    old.close();
    const state = bench.open({ directory });
    assert.equal(state.trouble, null);
    state.append(decision(1));
    state.flush();
    assert.equal(assertVerifies(state), 1);
    state.close();
    const now = new Database(join(directory, 'state.db'));
    assert.equal(now.pragma('user_version', { simple: true }), MIGRATIONS.length);
    now.close();
  }
  const db = new Database(':memory:');
  const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y', 'CREATE TABLE b (x); CREATE TABLE a (z)'];
  assert.throws(() => migrate(db, steps), /already exists/);
  assert.equal(db.pragma('user_version', { simple: true }), 2);
  assert.deepEqual(db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all(), ['a']);
  db.close();
});

test('thinned out by number and by size, the rest verifies, across restarts', (t) => {
  const bench = new Bench(t);
  for (const over of [{ journalEntries: 100 }, { journalEntries: 1_000_000, sizeLimitKib: 256 }]) {
    for (let round = 0; round < 3; round++) {
      const state = bench.open(over);
      for (let n = 1; n <= 600; n++) {
        state.append(decision(n));
        if (n % 20 === 0) state.flush();
      }
      state.flush();
      const entries = assertVerifies(state);
      assert.equal(entries, ids(state).length);
      if (over.journalEntries === 100) assert.ok(entries <= 100 && entries >= 80);
      else assert.ok(entries < 600 && entries > 30, `${entries}`);
      state.close();
    }
  }
});

test('a flood of long entries and of senders: file and log stay under the limit, also after it was lowered', (t) => {
  const bench = new Bench(t);
  for (const kib of [2048, 256]) {
    const state = bench.open({ journalEntries: 1_000_000, sizeLimitKib: kib });
    let most = 0;
    for (let n = 1; n <= 800; n++) {
      state.append(decision(n, { why: 'w'.repeat(n % 97 === 0 ? 60_000 : 900) }, n % 11 === 0 ? 400 : 5));
      state.rememberMark(
        `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
        1,
        n,
      );
      if (n % 40 === 0) {
        state.flush();
        const size = readdirSync(bench.directory).reduce(
          (sum, name) => sum + statSync(join(bench.directory, name)).size,
          0,
        );
        most = Math.max(most, size);
      }
    }
    assertVerifies(state);
    assert.equal(state.trouble, null);
    assert.ok(most <= kib * 1024, `${most} bytes of ${kib} KiB`);
    assert.ok(!existsSync(`${bench.file}-shm`), 'no shared-memory file');
    state.close();
  }
});

test('tampering is found: a changed, removed, added, renumbered entry, a cut-off end', (t) => {
  const tampers: Record<string, [sql: string, broken: number]> = {
    changed: ["UPDATE journal SET entry = replace(entry, 'kick', 'none') WHERE id = 5", 5],
    removed: ['DELETE FROM journal WHERE id = 5', 6],
    'removed at the beginning': ['DELETE FROM journal WHERE id = 1', 2],
    added: [
      'INSERT INTO journal (id, entry, hash) SELECT 11, replace(entry, \'"id":10\', \'"id":11\'), hash FROM journal WHERE id = 10',
      11,
    ],
    renumbered: ['UPDATE journal SET id = 20 WHERE id = 10', 20],
  };
  for (const [name, [sql, broken]] of Object.entries(tampers)) {
    const bench = new Bench(t);
    const first = bench.open();
    for (let n = 1; n <= 10; n++) first.append(decision(n));
    first.close();
    const db = new Database(bench.file);
    db.exec(sql);
    db.close();
    const state = bench.open();
    const seen = state.verify();
    assert.ok(!seen.ok, name);
    assert.equal(seen.broken, broken, name);
    assert.equal(seen.error.code, 'E_JOURNAL_BROKEN');
    state.close();
  }
});

test('a quiet day writes less than 1 MB', (t) => {
  const bench = new Bench(t);
  const before = written();
  let state = bench.open();
  let n = 0;
  // Two restarts, a passing trouble every other hour with its three steps, and now and then a neighbour's alarm.
  for (let hour = 0; hour < 24; hour++) {
    if (hour % 12 === 11) {
      state.close();
      state = bench.open();
    }
    if (hour % 2 === 0) {
      n++;
      for (const step of ['planned', 'done', 'verified', 'over'] as const) {
        state.append(decision(n, { step }));
        bench.pass(state, 400e6);
      }
    }
    if (hour % 3 === 0) {
      state.rememberMark('02:00:00:00:00:01', 1, hour + 1);
      state.append(decision(1000 + hour, { fault: { ...decision(hour).fault, class: 'remote-alarm' } }));
    }
    bench.pass(state, HOUR);
  }
  state.close();
  const bytes = written() - before;
  t.diagnostic(`${Math.round(bytes / 1024)} KiB in a quiet day`);
  assert.ok(bytes < 1_000_000, `${bytes} bytes`);
});

test('a day of storm stays within the budget of bytes', (t) => {
  const bench = new Bench(t);
  const state = bench.open({ sizeLimitKib: 4096, journalEntries: 5000 });
  const before = written();
  for (let n = 0; n < 86_400 / 10; n++) {
    for (let k = 0; k < 10; k++) state.append(decision(n * 10 + k));
    state.rememberMark('02:00:00:00:00:01', 1, n + 1);
    bench.pass(state, 10 * SECOND);
  }
  const bytes = written() - before;
  t.diagnostic(`${Math.round(bytes / 1024)} KiB in a day of storm, ${state.status().dropped} entries given up`);
  assert.ok(bytes <= DAILY_BUDGET + BURST_BUDGET, `${bytes} bytes`);
  assert.ok(state.status().dropped > 0);
  assertVerifies(state);
  state.close();
});

test('a clock that is set: what this start has written is as long ago as it was, and the chain has what the clock said', (t) => {
  const bench = new Bench(t);
  const [epochs, zero] = [{ wall: 30_000 }, bench.time];
  const wall = () => epochs.wall + (bench.time - zero) / 1e6;
  const first = bench.open({ wall });
  first.append(decision(1));
  first.flush();
  first.close();
  const state = bench.open({ wall });
  bench.time += 5 * SECOND;
  state.append(decision(2));
  state.flush();
  bench.time += 60 * SECOND;
  const told = () => state.query().map((entry) => entry.wall);
  assert.deepEqual(told(), [30_000, 35_000], 'nobody has set it');
  epochs.wall += 9_000;
  assert.deepEqual(told(), [30_000, 35_000], 'slewed');
  epochs.wall = WALL;
  assert.deepEqual(told(), [30_000, WALL + 5000], 'of the start before nobody knows how long ago it was');
  state.append(decision(3));
  assert.deepEqual(told(), [30_000, WALL + 5000, WALL + 65_000]);
  epochs.wall = 0;
  assert.deepEqual(told().slice(1), [5000, 65_000], 'set back');
  state.flush();
  assertVerifies(state);
  assert.match(state.chain(0, 10).rows[1]!.entry, /"wall":35000\b/);
});
