/** The flight recorder's ring in a file: bounded, the same as on the heap, and there after a kill. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as nodeTest, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { Log } from '../../../agent/core/log.ts';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import { BlackBox, type BlackBoxOptions } from '../../../agent/host/recorder/black-box.ts';
import { FileRing, type Left, readLeft } from '../../../agent/host/recorder/file.ts';
import { assembled, compressed, HeapRing, type Ring } from '../../../agent/host/recorder/ring.ts';
import { Recorder, type RecorderOptions } from '../../../agent/host/recorder.ts';
import { DAILY_BUDGET, recordingCost } from '../../../agent/host/state/budget.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { readRecording } from '../../../agent/record/format.ts';
import { replay } from '../../../agent/twin/replay.ts';
import { Router } from './help.ts';

const refusal = sqliteRefusal();
const HEADER = { agent: 'test', machines: [] };
const PACE = { kept: 0, until: 0 };
const HOUR = 3600 * SECOND;

function test(name: string, body: (t: TestContext) => void | Promise<void>): void {
  nodeTest(name, { skip: refusal ?? false }, body);
}

/** Where a ring may lie: nobody else writes there. */
function place(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0-ring-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return join(made, 'recorder.db');
}

function recorderOf(limitKib: number, over: Partial<RecorderOptions> = {}): Recorder {
  return new Recorder(limitKib, { header: HEADER, now: () => 0, busy: () => false, keep: () => {}, ...over });
}

/** The same router recorded into a file and on the heap. */
class Both {
  now = (): Nanos => 0;
  readonly file: string;
  readonly failed: unknown[] = [];
  readonly inFile: Recorder;
  readonly onHeap: Recorder;
  readonly router: Router;
  readonly #t: TestContext;

  constructor(
    t: TestContext,
    limitKib: number,
    ring: (file: string) => Ring = (file) => new FileRing(file, HEADER, PACE),
  ) {
    t.mock.timers.reset();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    this.#t = t;
    this.file = place(t);
    const now = () => this.now();
    this.inFile = recorderOf(limitKib, {
      now,
      ring: () => ring(this.file),
      onFailed: (thrown) => this.failed.push(thrown),
    });
    this.onHeap = recorderOf(limitKib, { now });
    this.router = new Router((turn) => {
      this.inFile.take(turn);
      this.onHeap.take(turn);
    });
    this.now = () => this.router.now;
  }

  live(seconds: number): void {
    for (let n = 0; n < seconds; n++) {
      this.router.pass(SECOND);
      // All wake-ups, however many they take.
      for (let ms = 0; ms < 1000; ms += 20) this.#t.mock.timers.tick(20);
    }
  }

  settle(limitKib: number): void {
    this.inFile.settle(limitKib);
    this.onHeap.settle(limitKib);
  }

  same(): Uint8Array | null {
    const [one, other] = [this.inFile.export(), this.onHeap.export()];
    assert.deepEqual(one, other);
    return one;
  }
}

function textOf(recording: Uint8Array | null): string {
  assert.ok(recording !== null);
  return gunzipSync(recording).toString('utf8');
}

/** As the next start would make a recording of it. */
function recordingOf({ header, parts, waiting }: Left): Uint8Array | null {
  return assembled(header, parts, waiting);
}

test('over many turns the file is bounded, and what it holds is byte for byte what the heap would', (t) => {
  const both = new Both(t, 16);
  const sizes: number[] = [];
  for (let n = 0; n < 40; n++) {
    both.live(60);
    if (n % 4 === 0) both.router.cut();
    if (n % 4 === 1) both.router.mend();
    both.same();
    sizes.push(statSync(both.file).size);
  }
  // Twice 16 KiB of parts that come and go, 32 of text, and the tree.
  const most = Math.max(...sizes);
  assert.ok(most < 100 * 1024, `${most} bytes`);
  assert.equal(Math.max(...sizes.slice(20)), most, 'pages are used again');
  const done = replay(readRecording(textOf(both.same())));
  assert.equal(done.difference, null);
  assert.ok(done.decisions > 0);
  assert.equal(lstatSync(both.file).mode & 0o777, 0o600, 'it tells who is where and when');
});

test('the limit changes at run time: less gives room back, 0 leaves nothing, more begins with what is known', (t) => {
  const both = new Both(t, 64);
  both.live(1800);
  const before = statSync(both.file).size;
  both.settle(16);
  const less = both.same()!;
  assert.ok(less.length < 24 * 1024);
  assert.ok(statSync(both.file).size < before - 16 * 1024, `${before} bytes, then ${statSync(both.file).size}`);
  both.settle(0);
  assert.equal(both.same(), null);
  assert.deepEqual(readdirSync(join(both.file, '..')), []);
  both.live(10);
  both.settle(64);
  both.live(120);
  both.router.cut();
  both.live(20);
  const recording = readRecording(textOf(both.same()));
  assert.equal(recording.begins, 'later');
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.ok(done.decisions >= 2);
});

test('an orderly end leaves nothing; 0 makes no file at all', (t) => {
  const both = new Both(t, 64);
  both.live(30);
  assert.ok(existsSync(both.file));
  both.inFile.close();
  assert.deepEqual(readdirSync(join(both.file, '..')), []);
  const off = new Both(t, 0);
  off.live(30);
  off.inFile.close();
  assert.deepEqual(readdirSync(join(off.file, '..')), []);
});

test('what is written down is in the file a second later, a decision at once, also in a repair', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const rows: { at: Nanos; lines: readonly string[] }[] = [];
  const notes: (readonly string[])[] = [];
  class Watched extends HeapRing {
    override wait(lines?: readonly string[]): void {
      rows.push({ at: router.now, lines: lines! });
    }
    override note(faults?: readonly string[]): void {
      notes.push(faults!);
    }
  }
  let busy = false;
  const recorder = recorderOf(256, { now: () => router.now, busy: () => busy, ring: () => new Watched() });
  const router: Router = new Router((turn) => recorder.take(turn));
  const live = (seconds: number): void => {
    for (let n = 0; n < 4 * seconds; n++) {
      router.pass(SECOND / 4);
      t.mock.timers.tick(250);
    }
  };
  live(30);
  assert.ok(rows.length >= 20 && rows.length <= 32, `${rows.length} writes in 30 s`);
  rows.length = 0;
  busy = true;
  router.cut();
  live(3);
  const decided = rows.findIndex(({ lines }) => lines.some((line) => line.includes('"journal"')));
  assert.ok(decided >= 0, 'a kill in the middle of a repair leaves what was decided');
  busy = false;
  live(20);
  assert.ok(notes.some((faults) => faults.length === 1));
  const lines = rows.flatMap((row) => row.lines);
  const text = textOf(recorder.export()).trimEnd().split('\n');
  assert.deepEqual(text.slice(-lines.length), lines, 'each line once, in their order');
});

/** Starts the writer, lets it write for so long and kills it. */
async function killed(file: string, what: 'life' | 'rows', ms: number): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.ts'), file, what], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await pause(ms);
  child.kill('SIGKILL');
  await ended;
}

test('a killed process leaves its last minutes, which replay', async (t) => {
  const file = place(t);
  await killed(file, 'life', 50);
  const left = readLeft(file)!;
  assert.equal(left.faults.length, 1, String(left.faults));
  const recording = readRecording(textOf(recordingOf(left)));
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.deepEqual(done.machines, []);
  assert.ok(done.decisions >= 2 && done.turns > 100, JSON.stringify(done));
});

test('wherever a kill cuts, the file is whole: no line is missing, none is there twice', async (t) => {
  for (let n = 0; n < 6; n++) {
    const file = place(t);
    await killed(file, 'rows', n * 9);
    const text = textOf(recordingOf(readLeft(file)!));
    const numbers = text
      .trimEnd()
      .split('\n')
      .slice(1)
      .filter((line) => !line.startsWith('keyframe'))
      .map((line) => Number.parseInt(line, 10));
    assert.ok(numbers.length >= 70);
    for (const [i, number] of numbers.entries()) assert.equal(number, numbers[0]! + i, `kill ${n}`);
  }
});

interface Kept {
  readonly recording: Uint8Array;
  readonly faults: readonly string[];
}

/** The next life. */
class Next {
  readonly kept: Kept[] = [];
  readonly said: string[] = [];
  readonly box: BlackBox;

  constructor(file: string, over: Partial<BlackBoxOptions> = {}) {
    this.box = new BlackBox({
      file,
      header: HEADER,
      now: () => HOUR,
      log: new Log('warning', (line) => this.said.push(line)),
      room: () => 1e6,
      keep: (recording, faults) => this.kept.push({ recording, faults }) > 0,
      ...over,
    });
    this.box.open();
  }
}

/** What stays of a life in which this was done and that ended without a word. */
function abandon(file: string, ring: Ring): void {
  const bytes = readFileSync(file);
  ring.end();
  writeFileSync(file, bytes, { mode: 0o600 });
}

function abandoned(file: string): void {
  const ring = new FileRing(file, { agent: 'before', machines: [] }, PACE);
  for (let part = 0; part < 3; part++) {
    ring.begin(part === 0 ? null : compressed([`keyframe ${part}`]));
    ring.add(compressed([`line ${part}`]));
  }
  ring.wait(['waiting 1', 'waiting 2']);
  ring.wait(['waiting 3']);
  ring.note(['e1-f1', 'e1-f2']);
  abandon(file, ring);
}

test('what a life left is kept once, whole, by its own header and faults; then its place is begun anew', (t) => {
  const file = place(t);
  abandoned(file);
  const next = new Next(file);
  assert.equal(next.kept.length, 1);
  const [{ recording, faults }] = next.kept as [Kept];
  assert.deepEqual(faults, ['e1-f1', 'e1-f2']);
  const [header, ...lines] = textOf(recording).trimEnd().split('\n');
  assert.match(header!, /"agent":"before".*"begins":"start"/);
  assert.deepEqual(
    lines.map((line) => line.replace('keyframe', 'line')),
    ['line 0', 'line 1', 'line 1', 'line 2', 'line 2', 'waiting 1', 'waiting 2', 'waiting 3'],
  );
  assert.equal(next.said.length, 1);
  assert.match(next.said[0]!, /ended without a word.*kept: x0ctl record list/);
  assert.deepEqual(readdirSync(join(file, '..')), []);
  const ring = next.box.ring();
  assert.ok(ring instanceof FileRing && next.box.trouble === null);
  ring.end();
  const after = new Next(file);
  assert.deepEqual([after.kept, after.said], [[], []], 'nothing is said after an orderly end');
});

test('where there is no room for all of it the end of it is kept', (t) => {
  const file = place(t);
  abandoned(file);
  const next = new Next(file, { room: () => 150 });
  const [header, ...lines] = textOf(next.kept[0]!.recording).trimEnd().split('\n');
  assert.match(header!, /"begins":"later"/);
  assert.deepEqual(lines, ['keyframe 2', 'line 2', 'waiting 1', 'waiting 2', 'waiting 3']);
  abandoned(file);
  const sizes = readLeft(file)!.parts.map(({ members }) => members.reduce((sum, { length }) => sum + length, 0));
  assert.equal(readLeft(file, sizes[1]! + sizes[2]!)!.parts.length, 2);
  assert.equal(readLeft(file, sizes[1]! + sizes[2]! - 1)!.parts.length, 1, 'nor is the rest read');
});

test('where not even the last part has room nothing of it is read, and that is told', (t) => {
  const file = place(t);
  abandoned(file);
  const next = new Next(file, { room: () => 10 });
  assert.equal(next.kept.length, 0);
  assert.equal(next.said.length, 1);
  assert.match(next.said[0]!, /ended without a word.*not kept: .*bytes=[1-9]/);
  assert.deepEqual(readdirSync(join(file, '..')), []);
  abandoned(file);
  edit(file, `INSERT INTO waiting (lines) VALUES ('${'w'.repeat(4096)}')`);
  const { parts, waiting, bytes } = readLeft(file, 2000)!;
  assert.deepEqual([parts, waiting], [[], []]);
  assert.ok(bytes > 4096);
});

test('an agent that is killed over and over writes flash at the pace of a day’s budget, and tells each time', (t) => {
  const file = place(t);
  let now = HOUR;
  let bytes = 0;
  let kept = 0;
  let starts = 0;
  const keep = (recording: Uint8Array): boolean => {
    bytes += recordingCost(recording.length);
    return ++kept > 0;
  };
  for (; now < 3 * HOUR; now += 30 * SECOND) {
    const next = new Next(file, { keep, now: () => now });
    if (starts++ > 0) assert.match(next.said.join(), /ended without a word/);
    const ring = next.box.ring();
    ring.begin(null);
    ring.add(compressed(['a short life']));
    abandon(file, ring);
  }
  assert.ok(kept > 10, `${kept} of ${starts}`);
  assert.ok(bytes <= DAILY_BUDGET / 12 + recordingCost(1000), `${bytes} bytes in two hours`);
  const other = new Next(file, { keep, now: () => SECOND });
  assert.match(other.said.join(), /kept: x0ctl/, 'another boot, by its clock: no life of this one has written flash');
});

test('a damaged file is told and begun anew', (t) => {
  const harms: Readonly<Record<string, (file: string) => void>> = {
    garbage: (file) => writeFileSync(file, 'no database at all, '.repeat(500), { mode: 0o600 }),
    short: (file) => truncateSync(file, statSync(file).size - 2500),
    'a page of zeros': (file) => {
      const bytes = readFileSync(file);
      bytes.fill(0, 2048, 3072);
      writeFileSync(file, bytes);
    },
    'a schema of another SQLite': (file) => {
      const bytes = readFileSync(file);
      bytes.writeUInt32BE(9, 44);
      writeFileSync(file, bytes);
    },
    'a file of another SQLite': (file) => {
      const bytes = readFileSync(file);
      bytes[19] = 9;
      writeFileSync(file, bytes);
    },
    'another version': (file) => edit(file, 'PRAGMA user_version = 99'),
    'another database': (file) => edit(file, 'PRAGMA application_id = 1'),
    'other tables': (file) => edit(file, 'DROP TABLE waiting'),
    'one table more': (file) => edit(file, 'CREATE TABLE more (id INTEGER PRIMARY KEY)'),
    'a trigger': (file) => edit(file, 'CREATE TRIGGER more AFTER DELETE ON members BEGIN DELETE FROM waiting; END'),
    'an endless view in place of a table': (file) =>
      edit(
        file,
        `DROP TABLE waiting; CREATE VIEW waiting AS
           WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 'line' AS lines FROM n`,
      ),
    'no first row': (file) => edit(file, 'DELETE FROM life'),
    'a header that is none': (file) => edit(file, "UPDATE life SET header = '{}'"),
    'a header that names no machines': (file) => edit(file, `UPDATE life SET header = '{"agent":"a","machines":[1]}'`),
    'a header of a megabyte': (file) => edit(file, `UPDATE life SET header = '{"agent":"${'a'.repeat(1 << 20)}"}'`),
    'a row before the first': (file) => edit(file, 'UPDATE members SET id = -1 WHERE id = 1'),
    'a row that is not compressed': (file) => edit(file, "UPDATE members SET data = x'0102'"),
    'an empty row': (file) => edit(file, "UPDATE members SET data = x''"),
    'a row that is none': (file) => edit(file, "UPDATE members SET data = 'text'"),
    'a pace that is none': (file) => edit(file, "UPDATE life SET until = 'soon'"),
  };
  for (const [name, harm] of Object.entries(harms)) {
    const file = place(t);
    abandoned(file);
    harm(file);
    const next = new Next(file);
    assert.equal(next.kept.length, 0, name);
    assert.equal(next.said.length, 1, `${name}: ${next.said}`);
    assert.match(next.said[0]!, /^warning: what the last life recorded is damaged, and begun anew: /, name);
    const ring = next.box.ring();
    assert.ok(ring instanceof FileRing, name);
    ring.end();
  }
});

function edit(file: string, sql: string): void {
  const db = new Database(file);
  db.exec(sql);
  db.close();
}

test('a file that a kill left before anything was in it is none', (t) => {
  const file = place(t);
  writeFileSync(file, '', { mode: 0o600 });
  const next = new Next(file);
  assert.deepEqual([next.kept, next.said], [[], []]);
  next.box.ring().end();
});

test('what is not ours is not touched: recording goes on on the heap, and says so once', (t) => {
  const traps: Readonly<Record<string, (file: string) => void>> = {
    'a link': (file) => {
      writeFileSync(`${file}.other`, 'precious');
      symlinkSync(`${file}.other`, file);
    },
    'a link to nowhere': (file) => symlinkSync(`${file}.other`, file),
    'another name of a file': (file) => {
      writeFileSync(`${file}.other`, 'precious');
      linkSync(`${file}.other`, file);
    },
    'a FIFO': (file) => void execFileSync('mkfifo', [file]),
    'a FIFO for a journal': (file) => void execFileSync('mkfifo', [`${file}-journal`]),
    'a link for a journal': (file) => symlinkSync(`${file}.other`, `${file}-journal`),
    'a directory': (file) => mkdirSync(file),
    'a directory that others may write': (file) => chmodSync(join(file, '..'), 0o777),
    'no directory': (file) => rmSync(join(file, '..'), { recursive: true }),
    ...(process.getuid?.() === 0 && {
      'a file of another user': (file) => {
        writeFileSync(file, 'precious');
        chownSync(file, 65534, 65534);
      },
      'a directory of another user': (file) => chownSync(join(file, '..'), 65534, 65534),
    }),
  };
  for (const [name, set] of Object.entries(traps)) {
    const file = place(t);
    set(file);
    const seen = () =>
      existsSync(join(file, '..'))
        ? readdirSync(join(file, '..')).map((one) => {
            const { mode, size, nlink, ino } = lstatSync(join(file, '..', one));
            return { one, mode, size, nlink, ino };
          })
        : null;
    const before = seen();
    const next = new Next(file);
    const recorder = recorderOf(64, { ring: () => next.box.ring(), onFailed: (thrown) => next.box.failed(thrown) });
    recorder.open();
    assert.match(next.box.trouble ?? '', /on the heap, where a kill takes it/, name);
    assert.equal(next.said.length, 1, `${name}: ${next.said}`);
    assert.match(next.said[0]!, /^warning: the flight recorder is kept on the heap/);
    assert.ok(recorder.export() !== null, name);
    recorder.close();
    assert.deepEqual(seen(), before, name);
  }
});

test('another agent’s file is left to it', async (t) => {
  const file = place(t);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.ts'), file, 'life'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const next = new Next(file);
  assert.deepEqual(next.said, [], 'as long as nothing is to be recorded');
  assert.ok(next.box.ring() instanceof HeapRing);
  assert.match(next.said.join(), /on the heap.*locked/);
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
  assert.ok((readLeft(file)?.parts.length ?? 0) > 0, 'it went on');
});

test('a ring that fails while it runs: what it has goes to the heap, or is begun anew there', (t) => {
  for (const [call, isReadable] of [
    ['add', true],
    ['begin', true],
    ['shift', true],
    ['wait', true],
    ['note', true],
    ['add', false],
    ['wait', false],
  ] as const) {
    const both = new Both(t, 16, () => new Failing(call, isReadable));
    both.live(900);
    both.router.cut();
    both.live(30);
    const recording = textOf(both.inFile.export());
    assert.equal(both.failed.length, 1, call);
    if (isReadable) both.same();
    const done = replay(readRecording(recording));
    assert.equal(done.difference, null, call);
    assert.ok(done.decisions >= 2, call);
  }
});

/** As when its directory has no room left, once it has been used for a while. */
class Failing extends HeapRing {
  readonly #call: keyof Ring;
  readonly #isReadable: boolean;
  #left = 3;

  constructor(call: keyof Ring, isReadable: boolean) {
    super();
    this.#call = call;
    this.#isReadable = isReadable;
    if (call === 'note') this.#left = 1;
  }

  #try(call: keyof Ring): void {
    if (call === this.#call && --this.#left <= 0) throw new Error('database or disk is full');
  }

  override begin(keyframe: Uint8Array | null): void {
    this.#try('begin');
    super.begin(keyframe);
  }
  override add(member: Uint8Array): void {
    this.#try('add');
    super.add(member);
  }
  override shift(): void {
    this.#try('shift');
    super.shift();
  }
  override wait(): void {
    this.#try('wait');
  }
  override note(): void {
    this.#try('note');
  }
  override parts() {
    if (!this.#isReadable && this.#left <= 0) throw new Error('disk I/O error');
    return super.parts();
  }
}
